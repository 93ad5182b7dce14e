/* fwsync/firewall.h - the table, the book and the connections kept in agreement.
 *
 *   install     at the start: adopt the table that is there, or build it
 *   guard       a new policy version: whom to filter, what may be opened
 *   close       rows without a reason any more: elements removed, connections cut
 *   news        somebody else changed the table: put it right, raise the epoch
 *   tick        expiry, verification at a bounded rate, passes over connections
 *   counted     for who asks how much pinholes are used: a pass beside the others
 *
 * Every loss and every revocation raises the epoch: what the resolver remembers as held from before
 * is asked for again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/counter.h"
#include "sallyport/role.h"

#include "book.h"
#include "flows.h"
#include "guard.h"
#include "kernel.h"
#include "monitor.h"
#include "nl.h"
#include "table.h"
#include "use.h"

struct firewall {
	struct kernel kernel; /* first: the planner's functions find us by it */
	struct nl nl;
	struct fwsync_conf conf;
	struct stats_lane *lane;
	struct pinhole_epoch *epoch_page;
	struct book *book;
	struct ledger_head *ledger; /* borrowed; the book's */
	struct guard guard;
	struct table_guarded guarded; /* what the table has, unless guarded_kept */
	bool guarded_kept; /* it has what a predecessor's policy said, and we have no policy yet */
	char (*interfaces)[GUARD_IFNAME_LEN];
	struct flows flows;
	struct flows count; /* a socket of its own: who only asks delays no revocation */
	struct use use;
	uint64_t count_begun_ns, recount_ns; /* the last pass; no other before then */
	struct monitor monitor;
	/* Had at the start: what is lost or revoked must not wait for memory. */
	struct element_wish *wishes;   /* of one transaction */
	struct ledger_element *closed; /* the same */
	struct monitor_news *news;
	enum renew_way way;
	uint32_t table_flags;
	bool table_lost; /* it could not be put back yet: nothing is opened meanwhile */
	unsigned int restores_failed; /* one after the other, because somebody took it again */
	/* Elements may lie in the kernel that no row explains (book_complete()). They are left to
	 * expire, but not across a policy switch. */
	uint32_t
	    first_version; /* the first policy version that this process was told; 0: none yet */
	/* The table was lost before this process began, and rows in the book were judged by
	 * versions that may be over: they are put back when the keeper has judged them. */
	bool held_back;
	bool verifying; /* the table was adopted: what the kernel lacks is dropped from the book */
	uint32_t verify_next;
	uint64_t verify_lost;
	bool want_cut, want_look, want_cut_inbound;
	bool
	    inbound_known; /* what has been let in from outside was judged by the policy in force */
	uint64_t again_ns; /* a pass failed: not before then */
	unsigned int passes_failed; /* one after the other */
	uint64_t recut_ns; /* a second pass, for connections born while the first one ran */
	uint64_t recut_inbound_ns;
	uint64_t next_look_ns; /* when lingering rows are looked after again */
	uint64_t next_probe_ns;
	bool closing; /* CLOSED is owed, after the pass that runs or is wanted */
	uint32_t closing_version;
	uint64_t closing_removed;
};

/* Sockets and self-test; before the role confines itself. @fw holds conf, lane, epoch_page, book
 * and ledger (both NULL with --guard). Returns 0 or an error; @ret_why says for people what is
 * missing. */
int firewall_open(struct firewall *fw, int netlink_fd, const char **ret_why) MUST_CHECK;
void firewall_fini(struct firewall *fw);

/* Make the table be there, as conf and guard want it. */
int firewall_install(struct firewall *fw) MUST_CHECK;
/* --guard: only if nothing like it is there. */
int firewall_install_guard(struct firewall *fw) MUST_CHECK;

/* Take over a new guard table (@guard is taken on success) and filter whom it names. */
int firewall_guard(struct firewall *fw, struct guard *guard) MUST_CHECK;

/* Close rows that have lost their reason under @version, if they still are what the keeper judged.
 * @last: no more of this list. Then firewall_closed() tells when it is done. */
int firewall_close(struct firewall *fw, uint32_t version, const struct role_close_row *rows,
                   size_t n, bool last);
/* True once per list, when elements are gone and connections are cut. */
bool firewall_closed(struct firewall *fw, uint32_t *ret_version, uint64_t *ret_removed);

/* The monitor is readable. */
int firewall_news(struct firewall *fw);
/* The flows' descriptor is readable. */
void firewall_flows(struct firewall *fw);
/* That of the counting pass is. */
void firewall_count(struct firewall *fw);
/* Once a turn of the loop. Returns 0, or an error that cannot be lived with. */
int firewall_tick(struct firewall *fw);
