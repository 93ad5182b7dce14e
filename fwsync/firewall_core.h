/* fwsync/firewall_core.h - what the sources of the firewall share.
 *
 *   firewall.c          sockets, the loop's turn, what the planner asks
 *   firewall_install.c  the table at the start, and whom it filters
 *   firewall_restore.c  the table made anew with its pinholes
 *   firewall_close.c    revocation
 *   firewall_verify.c   strangers' changes, and every element looked at
 */
#pragma once

#include "firewall.h"

/* How much the buffers of struct firewall hold. */
#define FIREWALL_WISHES ((size_t)LIMIT_PINHOLE_BATCH_ELEMENTS)
#define FIREWALL_CLOSED ((size_t)1024)

uint64_t firewall_epoch(const struct firewall *fw);
void firewall_raise_epoch(struct firewall *fw);

/* Filling a set of many ranges is one call into the kernel that takes seconds. The keeper believes
 * a heartbeat that lies ahead, up to LIMIT_ROLE_BUSY_MS. @b may be NULL. */
void firewall_beat_ahead(const struct firewall *fw, const struct table_guarded *a,
                         const struct table_guarded *b);
void firewall_beat(const struct firewall *fw);

/* Without a policy, and without firewall.guard in the configuration, nobody has said whom to
 * filter. Then everybody stays filtered who was: a start must not open what a stop left closed. */
bool firewall_whom_is_unknown(const struct firewall *fw, const struct guard *guard);

/* Until when is @element to be in the kernel? 0: not at all, or not before the keeper has judged
 * the rows that want it (held_back). */
uint64_t firewall_wanted_until(const struct firewall *fw, const struct ledger_element *element);

struct table_want firewall_wanted(const struct firewall *fw);
/* Keep the table that is there, its pinholes and, if nobody else knows it, whom it filters. */
int firewall_adopt(struct firewall *fw) MUST_CHECK;
/* A new table with the book's pinholes, *ret_n of them. */
int firewall_rebuild(struct firewall *fw, enum table_way way, uint64_t *ret_n) MUST_CHECK;
/* Every open row's element back into the kernel, for the rest of its life. */
int firewall_put_back_all(struct firewall *fw, uint64_t *ret_n) MUST_CHECK;
/* The table or part of it is gone or changed: a new epoch, then all of it back. First the epoch,
 * for a table that is back without its elements rejects what an answer of the old one promised; who
 * asks in the new one waits behind us until they are there. Where somebody takes it again and
 * again, table_lost stays and the next turn of the loop goes on; that is no error yet. */
int firewall_restore(struct firewall *fw) MUST_CHECK;

/* Adopted rows, the next of them, at a bounded rate, until all are verified. */
int firewall_verify_some(struct firewall *fw) MUST_CHECK;
