/* fwsync/proof.c - the ledger's proof: written whole, believed only whole. */
#include "proof.h"

#include <string.h>

#include "seqlock.h"

bool proof_recall(const struct ledger_head *head, const struct boot *boot, uint64_t age_ns,
                  struct proof *ret_proof)
{
	const struct ledger_proof *p = &head->proof;

	if (atomic_load_explicit(&p->version, memory_order_acquire) & 1)
		return false; /* its writer died in the middle of it */
	if (p->proven_ns == 0 || p->proven_ns > age_ns)
		return false;
	if (p->way >= RENEW_N || p->owned_tables > 1 || p->reserved != 0)
		return false;
	if (boot->kernel[0] == '\0' || memcmp(&p->boot, boot, sizeof(*boot)) != 0)
		return false;
	*ret_proof = (struct proof){ (enum renew_way)p->way, p->owned_tables == 1 };
	return true;
}

void proof_forget(struct ledger_head *head)
{
	seqlock_begin(&head->proof.version);
	head->proof.proven_ns = 0;
	seqlock_end(&head->proof.version);
}

void proof_keep(struct ledger_head *head, const struct boot *boot, uint64_t age_ns,
                const struct proof *proof)
{
	struct ledger_proof *p = &head->proof;

	seqlock_begin(&p->version);
	p->way = (uint32_t)proof->way;
	p->owned_tables = proof->owned_tables;
	p->reserved = 0;
	p->proven_ns = age_ns;
	p->boot = *boot;
	seqlock_end(&p->version);
}
