/* val_failure.h - answers that did not validate are not asked for again at once (RFC 9520).
 *
 * A row for each question whose answer was bogus, shared by all workers: why, and until when. It
 * does not depend on the answer's TTL, which whoever forged it has chosen. A question that fails
 * again after its time is held longer, twice as long each time up to a limit. The table is bounded;
 * a row that another pushes out costs a validation, no more.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"

enum val_failure_limit {
	VAL_FAILURE_ROWS = 8192,
	VAL_FAILURE_MIN_S = 5,   /* RFC 9520, section 3.2: at least 1 s */
	VAL_FAILURE_MAX_S = 300, /* and at most 5 min */
};

/* How long the @streak-th failure in a row (0: the first) is held. */
uint32_t val_failure_hold_s(unsigned int streak);

struct val_failure {
	uint64_t until_ns;
	uint16_t type;  /* of the RRset that failed */
	uint16_t tag;   /* of the key that its signature names, or 0 */
	uint8_t labels; /* of that RRset's owner, which is the question's name or above it */
	uint8_t why;    /* enum val_why */
	uint8_t streak;
};

struct val_failures;
struct val_failures *val_failures_new(const uint8_t hash_key[static 16]);
void val_failures_free(struct val_failures *failures); /* NULL is fine */
DEFINE_CLEANUP(struct val_failures *, val_failures_free)

/* Has the answer to this question (lower case) failed, not long ago? */
bool val_failures_get(struct val_failures *failures, const uint8_t *name, uint16_t type,
                      uint64_t now_ns, struct val_failure *ret_failure);
/* It has failed now: @failure without its time and streak, which come back in it. */
void val_failures_put(struct val_failures *failures, const uint8_t *name, uint16_t type,
                      uint64_t now_ns, struct val_failure *failure);
/* It fails as long as something else does that is held until @until_ns: no failure of its own. */
void val_failures_follow(struct val_failures *failures, const uint8_t *name, uint16_t type,
                         uint64_t until_ns, struct val_failure *failure);
/* It is good again. */
void val_failures_forget(struct val_failures *failures, const uint8_t *name, uint16_t type);
void val_failures_clear(struct val_failures *failures);
