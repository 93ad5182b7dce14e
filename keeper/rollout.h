/* keeper/rollout.h - bringing one policy version into force everywhere, and keeping it there.
 *
 * Not a sequence but a state that is worked towards: after every event (a role is ready, has
 * answered, has died) rollout_advance() sends what is due now. So a role that dies in the middle of
 * a switch, or long after it, gets the same care.
 *
 *   historian: catalog  ->  fwsync: guard table  ->  resolver: image
 *                                        '-> fwsync: rows of the ledger without a reason any more
 *
 * - fwsync has the new guard table before anybody judges by the new version; from then on it
 * refuses what an older one allowed. Rows are closed when the resolver has switched, or
 * ROLLOUT_CLOSE_MS later in any case: a slow resolver does not delay a revocation, and judging a
 * long ledger does not delay a resolver that starts.
 * - The historian is waited for ROLLOUT_CATALOG_MS at most: history can never delay an answer. It
 *   gets all catalogs that it may need before it reads its first record. A start with the version
 *   that was in force before does not wait for it at all.
 * - The resolver never gets an image before fwsync has confirmed the guard table.
 * - The ledger is judged a second time ROLLOUT_SWEEP_MS later: a batch that was with the kernel
 * when the guard table changed may have written its rows after the first look.
 * - It is judged again whenever a rule expires: its pinholes close ROLLOUT_SWEEP_MS later.
 * - What an earlier run of the daemon left open is judged whole with the first version, so a crash
 * between storing a version and closing what it revokes is made good at the next start.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "child.h"
#include "config.h"
#include "edition.h"
#include "shared.h"

#define ROLLOUT_CATALOG_MS 400 /* a hung historian may not hold a revocation up */
#define ROLLOUT_CLOSE_MS 250
#define ROLLOUT_SWEEP_MS 600
#define ROLLOUT_CATALOGS 64 /* kept for a historian that starts again */
#define ROLLOUT_WAITERS 64

/* Called once: 0 in force everywhere; ERR_TIMEOUT; ERR_STALE: a newer version came before it. */
typedef void rollout_done_cb(void *arg, uint32_t version, int result);

struct rollout_part { /* what one role has of the current edition */
	bool sent, applied;
};
struct rollout_waiter {
	rollout_done_cb *done; /* NULL: free */
	void *arg;
	uint32_t version;
	uint64_t deadline_ns;
};
struct rollout_catalog {
	uint32_t version;
	int fd;
};
struct rollout {
	struct child *children; /* [ROLE_N], borrowed */
	const struct shared *shared;
	const struct config *config; /* the keeper swaps it at a reload */
	bool firewall;               /* there is a fwsync */
	uv_timer_t timer;
	struct edition *current;
	uint64_t began_ns;   /* when current came */
	uint64_t guarded_ns; /* when fwsync confirmed its guard table; 0: not yet */
	struct rollout_part parts[ROLE_N];
	uint32_t catalog_sent;    /* newest version that this historian has been sent */
	uint32_t catalog_applied; /* the same, and it has said so */
	bool close_sent, closed;
	unsigned int lists; /* of rows to close, not answered yet: no other answer counts */
	bool swept;         /* the second look is over */
	bool same_version;  /* rows that current itself has judged may have lost their reason */
	uint64_t judged_s;  /* wall clock at the last look at the ledger */
	uint32_t stored_version; /* in force before this run; 0: none */
	bool inherited; /* the ledger tells of an earlier run's pinholes, not judged yet by us */
	bool no_policy; /* none is stored, or it cannot be loaded: nobody will judge them */
	uint64_t closed_ns;
	uint64_t n_closed; /* elements, for the log */
	struct rollout_waiter waiters[ROLLOUT_WAITERS];
	struct rollout_catalog catalogs[ROLLOUT_CATALOGS]; /* oldest first */
	size_t n_catalogs;
};

/* The caller has set children, shared, config, firewall. @first: the edition to begin with, owned.
 */
int rollout_init(struct rollout *rollout, uv_loop_t *loop, struct edition *first) MUST_CHECK;
void rollout_fini(struct rollout *rollout); /* the timer is closed, waiters are told ERR_CLOSED */

/* Bring @edition (owned from here on) into force. */
void rollout_begin(struct rollout *rollout, struct edition *edition);
/* There will be no version for now: what an earlier run left open has no reason any more. */
void rollout_no_policy(struct rollout *rollout);
/* Its guard table was made anew: hand it out again. */
void rollout_guard_changed(struct rollout *rollout);
/* Tell when @version is in force, or @timeout_ms is over. Returns 0 or ERR_LIMIT. */
int rollout_wait(struct rollout *rollout, uint32_t version, uint32_t timeout_ms,
                 rollout_done_cb *done, void *arg) MUST_CHECK;
void rollout_forget(struct rollout *rollout, const void *arg); /* its waiters are not told */
bool rollout_in_force(const struct rollout *rollout);
/* What is being waited for, for people. */
const char *rollout_missing(const struct rollout *rollout);

/* Send the historian, which is there or in the making, the names that it has not been sent. */
void rollout_send_catalogs(struct rollout *rollout);

void rollout_advance(struct rollout *rollout);
/* From the children's callbacks. */
void rollout_child_down(struct rollout *rollout, enum role role);
void rollout_message(struct rollout *rollout, enum role role, const struct role_msg *msg);
