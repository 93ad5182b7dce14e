/* fwsync/proof.h - what the self-test has found out, remembered in the ledger for those who come
 * after.
 *
 * A kernel does not change while it runs, so a successor need not try again what was tried on it
 * before: it is back the sooner. The ledger is foreign octets to it. A proof counts only if it is
 * whole, makes sense, and was made on the very same kernel since its very same start; else
 * everything is tried anew. (Where the start's id is hidden, the ledger's memory itself vouches for
 * it: a tmpfs or memfd does not outlive its kernel.)
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sallyport/boot.h"
#include "sallyport/ledger.h"

#include "elements.h"

struct proof {
	enum renew_way way; /* lengthens, shortens, renews; and what it made expires */
	bool owned_tables;  /* flags owner and persist, Linux 6.9 */
};

/* @age_ns: boot_age_ns(). False: there is none that counts. */
bool proof_recall(const struct ledger_head *head, const struct boot *boot, uint64_t age_ns,
                  struct proof *ret_proof);
/* What was built on it did not stand: the next one tries everything anew. */
void proof_forget(struct ledger_head *head);
void proof_keep(struct ledger_head *head, const struct boot *boot, uint64_t age_ns,
                const struct proof *proof);
