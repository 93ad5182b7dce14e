/* fwsync/use.h - how many connections each row of the ledger lets through, for the keeper, who asks
 * when somebody wants to know.
 *
 * The numbers go into memory of the keeper's. A connection counts for every row that lets it
 * through: with its port, its protocol, anything, and for each reason of these.
 *
 *   (none) --use_ask()--> waits --use_begin()--> counts --use_end()--> over --use_take()--> (none)
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/role.h"

#include "book.h"

struct use {
	struct role_use *rows; /* the keeper's; NULL: nobody has asked */
	size_t n_rows, len;
	uint64_t number;   /* of the question */
	uint64_t begun_ns; /* 0: not yet, or it failed */
	bool over;
};
struct use_flow {
	bool accounted;
	uint64_t packets, octets;
};

/* Somebody asks; whom that question replaces is not answered. Returns 0 or an error: @fd is no
 * memory for it, and nobody has asked. */
int use_ask(struct use *use, int fd, uint64_t number) MUST_CHECK;
bool use_waits(const struct use *use);
void use_begin(struct use *use, uint64_t now_ns);
/* A connection that the elements @candidates let in. */
void use_count(struct use *use, const struct book *book,
               const struct ledger_element candidates[static ELEMENT_CANDIDATES],
               struct use_flow flow);
/* The pass is over; @err < 0: it has not seen all connections. Nothing is said of a question that
 * came while it ran. */
void use_end(struct use *use, int err);
/* Is an answer owed? True once; *ret_begun_ns is 0 when it failed. */
bool use_take(struct use *use, uint64_t *ret_number, uint64_t *ret_begun_ns);
void use_fini(struct use *use);
