/* keeper/shared.h - the memory and sockets that outlive every role: made once, handed to each
 * incarnation, so that a death loses nothing that was written or sent.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "sallyport/cleanup.h"
#include "sallyport/counter.h"
#include "sallyport/diag.h"
#include "sallyport/ledger.h"
#include "sallyport/limits.h"

struct shared_worker {
	int ring_data, ring_data_ro; /* the resolver's, the historian's */
	int ring_back, ring_back_ro; /* the historian's, the resolver's */
	int pinhole[2];              /* the resolver's end, fwsync's end */
};
struct shared {
	int stats[ROLE_N];
	struct stats_page *pages[ROLE_N];
	int area;            /* the historian's aggregation area */
	int epoch, epoch_ro; /* fwsync's, the resolver's */
	int ledger_fd;
	bool ledger_found;    /* it tells of an earlier keeper's pinholes */
	struct ledger ledger; /* our own view, only read */
	int netlink;          /* the owner of the nftables table; -1 without a firewall */
	uint32_t workers;
	struct shared_worker each[LIMIT_WORKERS];
};

#define SHARED_RING_SLOTS 262144 /* a worker: 16 MiB, some 40,000 new names with their answers */

/* Nothing in it yet: every descriptor -1. */
void shared_forget(struct shared *shared);
/* Make everything. After an error shared_fini() is still due. */
int shared_init(struct shared *shared, const struct config *config, struct diag *diag) MUST_CHECK;
/* Go on with what a predecessor had (@from is empty afterwards): all of it, or only its netlink
 * socket, the table's owner, and memory made anew. */
enum shared_part { SHARED_ALL, SHARED_NETLINK };
int shared_adopt(struct shared *shared, struct shared *from, enum shared_part part,
                 const struct config *config, struct diag *diag) MUST_CHECK;
void shared_fini(struct shared *shared);
/* The keeper's nftables write socket: NETLINK_NETFILTER, bound. Returns it or -errno. */
int shared_open_netlink(void);
/* Records that the rings hold and the historian has not stored yet, in slots. */
uint64_t shared_backlog(const struct shared *shared);
