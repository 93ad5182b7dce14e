/* val_budget.c - counting down. */
#include "val_budget.h"

#include "sallyport/cleanup.h"

_Static_assert(VAL_LIMIT_N <= 32, "each has a bit");

void val_budget_init(struct val_budget *budget)
{
	*budget = (struct val_budget){ .checks = LIMIT_VAL_CHECKS,
		                       .failures = LIMIT_VAL_FAILURES,
		                       .hashes = LIMIT_VAL_HASHES,
		                       .questions = LIMIT_VAL_QUESTIONS };
	val_budget_message(budget);
	val_budget_proof(budget);
	val_budget_turn(budget);
}

bool val_budget_is_whole(const struct val_budget *budget)
{
	return budget->checks == LIMIT_VAL_CHECKS && budget->failures == LIMIT_VAL_FAILURES &&
	       budget->hashes == LIMIT_VAL_HASHES && budget->questions == LIMIT_VAL_QUESTIONS;
}

void val_budget_message(struct val_budget *budget)
{
	budget->failures_message = LIMIT_VAL_FAILURES_MESSAGE;
}

void val_budget_proof(struct val_budget *budget)
{
	budget->hashes_proof = LIMIT_VAL_HASHES_PROOF;
}

void val_budget_turn(struct val_budget *budget)
{
	budget->turn_checks = VAL_TURN_CHECKS;
	budget->turn_hashes = VAL_TURN_HASHES;
}

static bool spend(struct val_budget *budget, enum val_limit limit)
{
	val_budget_meet(budget, limit);
	budget->spent = true;
	return false;
}

bool val_budget_check(struct val_budget *budget)
{
	if (budget->checks == 0)
		return spend(budget, VAL_LIMIT_CHECKS);
	if (budget->failures == 0)
		return spend(budget, VAL_LIMIT_FAILURES);
	if (budget->failures_message == 0) { /* this message is done with, the query is not */
		val_budget_meet(budget, VAL_LIMIT_FAILURES_MESSAGE);
		return false;
	}
	budget->checks--;
	budget->turn_checks -= budget->turn_checks > 0;
	return true;
}

void val_budget_failed(struct val_budget *budget)
{
	budget->failures--;
	budget->failures_message--;
}

enum val_hashing val_budget_hash(struct val_budget *budget, uint32_t blocks)
{
	if (budget->hashes < blocks) {
		(void)spend(budget, VAL_LIMIT_HASHES);
		return VAL_HASH_OVER;
	}
	if (budget->hashes_proof < blocks) {
		val_budget_meet(budget, VAL_LIMIT_HASHES_PROOF);
		return VAL_HASH_OVER;
	}
	if (budget->turn_hashes == 0)
		return VAL_HASH_LATER;
	budget->hashes -= blocks;
	budget->hashes_proof -= blocks;
	budget->turn_hashes -= MIN(budget->turn_hashes, blocks);
	return VAL_HASH_NOW;
}
