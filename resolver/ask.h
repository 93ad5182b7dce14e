/* resolver/ask.h - one question to an upstream as a message, and what its answer must look like.
 *
 * The message is built from nothing (promise P2): lower-case name with our own letter case, our ID,
 * RD=1, CD as told, one OPT with DO=1. Pure: no socket, no memory.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "entropy.h"
#include "sallyport/name.h"

#define ASK_HEADER_LEN 12
#define ASK_OPT_LEN 11
#define ASK_MAX (ASK_HEADER_LEN + NAME_MAX_WIRE + 4 + ASK_OPT_LEN)

struct ask {
	uint16_t id;
	uint16_t type;
	bool checking_disabled; /* CD=1: we validate ourselves (RFC 6840, section 5.9) */
	uint8_t name_len;
	uint8_t name[NAME_MAX_WIRE]; /* in the case in which it is sent */
};

/* @name: wire form, lower case. Draws the ID and a bit for the case of each letter
 * (draft-vixie-dnsext-dns0x20). */
void ask_init(struct ask *ask, const uint8_t *name, uint16_t type, bool checking_disabled,
              struct entropy *entropy);
/* Returns the octets written. */
size_t ask_write(const struct ask *ask, uint8_t out[static ASK_MAX]);

enum ask_result {
	ASK_FOREIGN = 0, /* not an answer to this question: ID, question or header differ */
	ASK_TRUNCATED,   /* TC=1 */
	ASK_FAILED,      /* the server could not or would not: SERVFAIL, REFUSED ... */
	ASK_USABLE,      /* NOERROR, NXDOMAIN or YXDOMAIN; not scanned yet */
};
enum ask_case {
	ASK_CASE_EXACT,  /* UDP: the case is part of what makes it hard to forge */
	ASK_CASE_IGNORE, /* TCP: the connection is proof enough, and some servers forget the case */
};
/* Is @msg an answer to @ask? *ret_rcode is set for FAILED and USABLE. */
enum ask_result ask_check(const struct ask *ask, const uint8_t *msg, size_t len,
                          enum ask_case compare, uint16_t *ret_rcode);
