/* resolver/message.h - the records of an upstream message, out of ldns' hands and in order.
 *
 * Names are whole, RDATA uncompressed, records of other classes than IN left out. An index over
 * section, type, covered type and owner makes RRsets of them: whoever owns a zone writes up to
 * LIMIT_MSG_RECORDS records with names of 127 labels, and nothing here or above may cost more than
 * n log n of them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"

#define SECTION_ANSWER 1
#define SECTION_AUTHORITY 2

struct message_rr {
	uint32_t owner, rdata; /* offsets into octets */
	uint32_t ttl;
	uint16_t rdata_len, type, covered; /* covered: of an RRSIG, else 0 */
	uint8_t owner_len;
	uint8_t section; /* 0: not the message's, see message_add() */
};

struct message {
	uint8_t *octets;
	size_t n_octets, octets_cap;
	struct message_rr *rrs;
	size_t n, cap;
	uint16_t *order; /* records by section, type, covered type, owner; duplicates left out */
	size_t n_order;
	uint16_t rcode; /* extended */
	bool truncated, authoritative;
	bool has_question;
};

/* Take apart the message at @msg, a copy that is written to, which has passed scan_message() and
 * answers (@name, @type). Start with a zeroed @m, and end with message_fini() whatever it returns:
 * 0, ERR_MALFORMED, ERR_LIMIT (LIMIT_MSG_GROWN) or ERR_NOMEM. */
int message_parse(struct message *m, uint8_t *msg, size_t len, const uint8_t *name,
                  uint16_t type) MUST_CHECK;
void message_fini(struct message *m);

static inline const uint8_t *message_owner(const struct message *m, const struct message_rr *rr)
{
	return m->octets + rr->owner;
}
static inline const uint8_t *message_rdata(const struct message *m, const struct message_rr *rr)
{
	return m->octets + rr->rdata;
}

/* An RRset, or the RRSIGs over one: indexes into rrs in the order of the message, each RDATA once
 * (RFC 2181, section 5). Borrowed from the message. */
struct message_set {
	const uint16_t *rrs;
	size_t n;
};
struct message_set message_find(const struct message *m, uint8_t section, uint16_t type,
                                uint16_t covered, const uint8_t *owner);
/* The sets of a type, one after the other: start with *pos = 0. n = 0 behind the last. */
struct message_set message_next(const struct message *m, uint8_t section, uint16_t type,
                                size_t *pos);
/* The set of a type that an ancestor of @name has, or @name itself if @self; of several the
 * closest one. */
enum message_self { MESSAGE_ABOVE, MESSAGE_SELF_OR_ABOVE };
struct message_set message_find_above(const struct message *m, uint8_t section, uint16_t type,
                                      const uint8_t *name, enum message_self self);

/* Append a record of our own making, outside of the index (section 0). Room for LIMIT_CHAIN of
 * them is there. Returns its index, ERR_LIMIT or ERR_NOMEM. */
int message_add(struct message *m, uint16_t type, const uint8_t *owner, const uint8_t *rdata,
                size_t rdata_len) MUST_CHECK;
