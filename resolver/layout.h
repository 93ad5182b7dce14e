/* resolver/layout.h - write records into a message, with name compression (RFC 1035,
 * section 4.1.4).
 *
 *   struct layout l;
 *   layout_init(&l, buffer, cap, qname);      header and question are accounted for
 *   layout_record(&l, owner, type, ttl, rdata, rdata_len, &ttl_offset)   ...
 *
 * The first error sticks: later calls do nothing, and the caller asks once, at the end. Owners are
 * compressed always, names in RDATA only for the types of RFC 1035 (RFC 3597, section 4).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"

#define LAYOUT_SUFFIXES 512 /* slots for name suffixes; a power of 2 */
#define LAYOUT_DEPTH 8      /* pointers behind one another in one name, at most */

struct layout {
	uint8_t *msg; /* the whole message, header included; borrowed */
	size_t len, cap;
	int error; /* 0, ERR_LIMIT (the buffer is full) or ERR_MALFORMED (RDATA) */
	unsigned int n_suffixes;
	struct {
		uint32_t hash;
		uint16_t at; /* offset of the suffix in msg; 0: free */
		uint16_t depth;
	} suffixes[LAYOUT_SUFFIXES];
};

/* Begin behind a question for @qname, a valid wire name, at offset 12. */
void layout_init(struct layout *l, uint8_t *msg, size_t cap, const uint8_t *qname);
/* @rdata uncompressed. @ret_ttl_at: offset of the TTL in the message. */
void layout_record(struct layout *l, const uint8_t *owner, uint16_t type, uint32_t ttl,
                   const uint8_t *rdata, size_t rdata_len, size_t *ret_ttl_at);
