/* val_budget.h - what it may cost to validate the answer to one question of a client.
 *
 * A budget belongs to the query, not to a link of its answer: whoever owns a chain's zones cannot
 * spend it once for each. It is counted down; what has run out is remembered, so that it can be
 * counted by its name. Besides, the budget knows how much of the work fits into one turn of the
 * loop: a core that finds the turn over stops where it is, and goes on in the next.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sallyport/limits.h"

/* X(symbol): the limits of limits.h that begin with LIMIT_VAL_, and LIMIT_RRSET_RECORDS. */
#define VAL_LIMITS(X)                                                                              \
	X(CHECKS)                                                                                  \
	X(CHECKS_SET)                                                                              \
	X(FAILURES)                                                                                \
	X(FAILURES_MESSAGE)                                                                        \
	X(KEYS_TAG)                                                                                \
	X(KEYS)                                                                                    \
	X(KEYS_ALL)                                                                                \
	X(DS)                                                                                      \
	X(DENIAL)                                                                                  \
	X(HASHES)                                                                                  \
	X(HASHES_PROOF)                                                                            \
	X(QUESTIONS)                                                                               \
	X(SIGNERS)                                                                                 \
	X(RECORDS)

#define VAL_LIMIT_ENUM_(sym) VAL_LIMIT_##sym,
enum val_limit { VAL_LIMITS(VAL_LIMIT_ENUM_) VAL_LIMIT_N };

enum val_turn_limit { /* in one turn of the loop, then others run */
	              VAL_TURN_CHECKS = 4,
	              VAL_TURN_HASHES = 512,
};

struct val_trace;
struct val_budget {
	/* What is left for the query. */
	uint32_t checks;    /* public-key operations (LIMIT_VAL_CHECKS) */
	uint32_t failures;  /* of these that fail (LIMIT_VAL_FAILURES) */
	uint32_t hashes;    /* SHA-1 blocks of NSEC3 (LIMIT_VAL_HASHES) */
	uint32_t questions; /* sub-queries (LIMIT_VAL_QUESTIONS) */
	bool spent;         /* one of these has run out, or memory: all that is unproven is bogus */
	uint32_t met;       /* a bit for each enum val_limit that was met */
	/* For the message at hand, and the proof. */
	uint32_t failures_message; /* LIMIT_VAL_FAILURES_MESSAGE */
	uint32_t hashes_proof;     /* LIMIT_VAL_HASHES_PROOF */
	/* For this turn. */
	uint32_t turn_checks, turn_hashes;
	/* Goes where the budget goes: who is told of each step, or NULL (val_trace.h). */
	const struct val_trace *trace;
};

void val_budget_init(struct val_budget *budget);
/* Has the query spent nothing yet? */
bool val_budget_is_whole(const struct val_budget *budget);
/* Another message is checked. */
void val_budget_message(struct val_budget *budget);
/* Another proof is made. */
void val_budget_proof(struct val_budget *budget);
/* The loop has turned. */
void val_budget_turn(struct val_budget *budget);
static inline bool val_budget_has_turn(const struct val_budget *budget)
{
	return budget->turn_checks > 0 && budget->turn_hashes > 0;
}

static inline void val_budget_meet(struct val_budget *budget, enum val_limit limit)
{
	budget->met |= UINT32_C(1) << limit;
}

/* May one more signature be checked? Counts it, if so. */
bool val_budget_check(struct val_budget *budget);
void val_budget_failed(struct val_budget *budget); /* the one that was counted last */

enum val_hashing { VAL_HASH_OVER, VAL_HASH_LATER, VAL_HASH_NOW };
/* May @blocks of SHA-1 be computed? Counts them, if so; LATER: in the next turn. */
enum val_hashing val_budget_hash(struct val_budget *budget, uint32_t blocks);
