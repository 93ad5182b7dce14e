/* val_message.h - the RRsets of one message, each with the signatures over it.
 *
 * A message is given as rows, one record each, in any order; a validator wants RRsets. Grouping
 * sorts once (n log n), whatever the message looks like, and drops a record that is there twice
 * (RFC 2181, section 5). Owners are lower-cased; RDATA stays as it
 * came (val_canon.h makes the canonical form when it is needed). The octets of RDATA are borrowed
 * from the rows' owner and must outlive the message.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"

enum val_section { VAL_ANSWER = 1, VAL_AUTHORITY = 2 };

struct val_row {
	const uint8_t *owner; /* wire name, not compressed */
	const uint8_t *rdata; /* names in it not compressed */
	uint32_t ttl;
	uint16_t rdata_len, type;
	uint8_t section; /* enum val_section */
};

struct val_rdata {
	const uint8_t *data;
	uint16_t len;
};

struct val_set {
	const uint8_t *owner; /* lower case */
	uint16_t type;
	uint8_t section;
	uint32_t ttl; /* the smallest of its records' */
	unsigned int n_rrs, n_sigs;
	const struct val_rdata *rrs;
	const struct val_rdata *sigs; /* RRSIG RDATA, at least 18 octets and a signer's name each */
};

struct val_message {
	size_t bytes; /* of all of it */
	size_t n_sets;
	struct val_set *sets;
	uint16_t rcode;
};

/* Group @n rows. An RRSIG belongs to the RRset of its section, owner and type covered; one without
 * an RRset makes an RRset without records. Returns 0, ERR_NOMEM or ERR_MALFORMED (an RRSIG too
 * short for its fields). */
int val_message_make(const struct val_row *rows, size_t n, uint16_t rcode,
                     struct val_message **ret_message) MUST_CHECK;
void val_message_free(struct val_message *message); /* NULL is fine */
DEFINE_CLEANUP(struct val_message *, val_message_free)

/* The RRset (with records) of @owner (lower case), @type in @section, or NULL. */
const struct val_set *val_message_find(const struct val_message *message, uint8_t section,
                                       const uint8_t *owner, uint16_t type);

/* What an alias of @name (lower case) stands on: its own CNAME, if that is signed or alone; else
 * the DNAME above it, which made the CNAME (RFC 6672, section 3.1). NULL: there is no alias. */
const struct val_set *val_message_alias(const struct val_message *message, const uint8_t *name);

/* Fields of an RRSIG (RFC 4034, section 3.1), read where val_message_make() has checked them. */
struct val_sig {
	uint16_t covered;
	uint8_t algorithm, labels;
	uint32_t original_ttl, expiration, inception;
	uint16_t tag;
	const uint8_t *signer; /* wire name, case as it came */
	size_t signer_len;
	const uint8_t *signature;
	size_t signature_len;
};
void val_sig_read(const struct val_rdata *rdata, struct val_sig *ret_sig);
