/* sallyport/keys.h - the DNSKEY RRset of a trust anchor's zone on its way, and what comes of it.
 *
 *   keeper --ASK_KEYS--> resolver --KEYS--> keeper --ANCHOR.., KEYS, END--> sallyport-anchor
 *                                           keeper <-----SEEN.., READY-------'
 *
 * The resolver only fetches. Whoever has taken it over can withhold keys, but not make them:
 * sallyport-anchor, a process that lives for one RRset and holds nothing, verifies it against the
 * anchors that the keeper trusts. The keeper passes the octets of KEYS on and never looks into
 * them; what it reads are the fixed structs below.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/limits.h"
#include "sallyport/name.h"

/* Payload of ROLE_MSG_KEYS: a head, then records, each a row with its octets behind it. None at
 * all: the zone could not be asked. */
struct keys_head {
	uint8_t name[NAME_MAX_WIRE + 1]; /* lower case */
};
struct keys_row {
	uint32_t ttl;
	uint16_t type; /* DNSKEY or RRSIG */
	uint16_t len;
};

/* A key, without its REVOKE bit: the same before and after. */
#define KEYS_DIGESTS 4
struct keys_id {
	uint16_t len, tag;
	uint8_t rdata[LIMIT_ANCHOR_BYTES];
	/* What a DS of it says, by digest type: SHA-1, SHA-256, SHA-384. */
	uint8_t sha1[20], sha256[32], sha384[48];
};
uint16_t keys_tag(const uint8_t *rdata, size_t len); /* RFC 4034, appendix B */
size_t keys_digest_len(unsigned int type);           /* 0: not kept */
const uint8_t *keys_digest(const struct keys_id *id, unsigned int type);

/* One key of the RRset, payload of ROLE_MSG_SEEN. */
struct keys_seen {
	struct keys_id id;
	uint8_t revoked;     /* it has its REVOKE bit set */
	uint8_t self_signed; /* and signs the RRset itself: then it is revoked */
	uint8_t configured;  /* an anchor of the configuration names it */
	uint8_t reserved;
};
enum { KEYS_SEEN_MAX = 32 }; /* of one RRset; more are not looked at */

/* Payload of ROLE_MSG_ANCHOR: what the keeper trusts, one each. Whether the configuration says so
 * is the message's a. */

/* Append a record at *@len of @buf (@cap). Returns 0 or ERR_LIMIT. */
int keys_put(uint8_t *buf, size_t cap, size_t *len, const struct keys_row *row,
             const uint8_t *octets) MUST_CHECK;
/* Read the record at *@at, which moves on. Returns 1, 0 at the end, or ERR_MALFORMED. */
int keys_next(const uint8_t *payload, size_t len, size_t *at, struct keys_row *ret_row,
              const uint8_t **ret_octets) MUST_CHECK;
/* The head; ERR_MALFORMED when it is none. */
int keys_head_read(const uint8_t *payload, size_t len, struct keys_head *ret_head) MUST_CHECK;
