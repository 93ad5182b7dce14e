/* resolver/reply.h - write the message that goes back to a client. No allocation.
 *
 * The question is echoed as it came (its case included); OPT and EDE go only to clients that sent
 * OPT (RFC 6891, section 7); the additional section is OPT only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "form.h"
#include "question.h"

struct reply {
	uint16_t rcode; /* extended; the upper bits go into OPT (above 15 without OPT: SERVFAIL).
	                   In reply_form() 0 means the form's */
	uint16_t ede; /* INFO-CODE or RECORD_NO_EDE; in reply_form() the latter means the form's */
	const char *ede_text; /* UTF-8, cut to REPLY_EDE_TEXT; may be NULL */
	bool ad;              /* set AD if the client asked for it (RFC 6840, section 5.8) */
	bool ra;              /* normally true */
	const uint8_t *server_cookie; /* COOKIE_SERVER_LEN octets, or NULL */
	uint16_t udp_bytes;           /* what we advertise in OPT */
	size_t limit;   /* the answer may have so many octets: min(client's, ours) by UDP, 65535
	                   by TCP. Over it: TC=1, no records (it opens nothing) */
	bool keepalive; /* reserved: edns-tcp-keepalive */
};
#define REPLY_EDE_TEXT 200
/* What does not fit is given up in this order: EXTRA-TEXT, the whole EDE, the records (TC=1). */

struct reply_result {
	size_t len;     /* octets written, 0: not even the header fits */
	bool truncated; /* TC=1 */
};

/* Header, question, OPT: errors, refusals, SERVFAIL. */
struct reply_result reply_plain(uint8_t *out, size_t cap, const struct question *q,
                                const struct reply *reply);
/* The same with a synthesized SOA in the authority section (owner: the question's name; TTL and
 * MINIMUM REPLY_DENIAL_TTL): denials as NXDOMAIN or NODATA. */
#define REPLY_DENIAL_TTL 5
struct reply_result reply_denial(uint8_t *out, size_t cap, const struct question *q,
                                 const struct reply *reply);
/* Records of a form, TTLs counted down to @now_ns and capped to @ttl_cap_s. */
struct reply_result reply_form(uint8_t *out, size_t cap, const struct question *q,
                               const struct reply *reply, const struct form *form, uint64_t now_ns,
                               uint32_t ttl_cap_s);
/* HINFO "RFC8482" "" for ANY (RFC 8482, section 4.2), loopback data for localhost, and 192.0.0.170
 * and 192.0.0.171 for ipv4only.arpa (RFC 8880; of other types than A both say NODATA). */
struct reply_result reply_any(uint8_t *out, size_t cap, const struct question *q,
                              const struct reply *reply);
struct reply_result reply_localhost(uint8_t *out, size_t cap, const struct question *q,
                                    const struct reply *reply);
struct reply_result reply_ipv4only(uint8_t *out, size_t cap, const struct question *q,
                                   const struct reply *reply);
/* The header's id, RD, CD, opcode alone, when even the question could not be read. */
struct reply_result reply_header_only(uint8_t *out, size_t cap, const struct question *q,
                                      uint16_t rcode);
