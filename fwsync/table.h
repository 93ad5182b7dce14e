/* fwsync/table.h - the table `inet sallyport`: its chains, rules and sets (docs/firewall.md shows
 * it as nft prints it, and explains every rule).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/role.h"

#include "elements.h"
#include "inbound.h"
#include "nl.h"
#include "ranges.h"

#define TABLE_FLAG_OWNER 2u   /* NFT_TABLE_F_OWNER, Linux 5.12 */
#define TABLE_FLAG_PERSIST 4u /* NFT_TABLE_F_PERSIST, Linux 6.9; Debian 12's headers lack it */

/* Whom the table filters, and where connections from outside may begin: what the GUARD message
 * changes. */
struct table_guarded {
	struct ranges guarded, observed;
	struct inbound inbound;
	const char (*interfaces)[GUARD_IFNAME_LEN]; /* borrowed; sorted, each once */
	size_t n_interfaces;
};

void table_guarded_fini(struct table_guarded *guarded); /* not the interfaces */

enum table_state {
	TABLE_ABSENT,
	TABLE_OURS,    /* the chains and sets that we would make */
	TABLE_FOREIGN, /* another shape: an older version's, another set_size, a stranger's */
};
/* What is there? Returns an enum table_state or -errno. @ret_flags: the table's flags. */
int table_probe(struct nl *nl, uint32_t set_size, uint32_t *ret_flags);

enum table_way {
	TABLE_ADOPT,   /* keep the pinhole sets and counters, renew chains, rules, guarded sets */
	TABLE_BUILD,   /* there is none */
	TABLE_REBUILD, /* delete the one that is there and make it anew */
	TABLE_RENEW,   /* the same, whether there is one or not, if its flags are the same */
};
struct table_want {
	const struct fwsync_conf *conf;
	const struct table_guarded *guarded; /* NULL, TABLE_ADOPT: as it is */
	uint32_t flags;                      /* 0, or OWNER and PERSIST */
	/* What is open from the first moment of a table that is made anew; at most
	 * LIMIT_PINHOLE_BATCH_ELEMENTS. */
	const struct element_wish *pinholes;
	size_t n_pinholes;
};
/* Install the table in one transaction, so that no packet sees half of it. Returns 0 or -errno.
 *
 * That does not hold for the change from one table to another: an interval set that the transaction
 * makes is empty for some 100 us after its rules are in force (Linux 6.18), and a new chain comes
 * before an old one of its priority, so that a packet between the two can find both empty. Where a
 * table is replaced, a copy of the new one under the name NL_INTERIM filters beside it, from before
 * the change until after it. A role that dies leaves it to the next one, which removes it when its
 * own table stands, whatever the way. */
int table_install(struct nl *nl, const struct table_want *want, enum table_way way) MUST_CHECK;
/* Only what differs between two contents of the guarded sets, in one transaction: a range set of
 * many thousands takes seconds to fill. */
int table_swap_guarded(struct nl *nl, const struct table_guarded *old,
                       const struct table_guarded *new) MUST_CHECK;
/* The same when nobody knows what the sets hold. */
int table_replace_guarded(struct nl *nl, const struct table_guarded *guarded) MUST_CHECK;

/* Does this kernel know owner and persist together? Tried on a scratch table. 1, 0 or -errno. */
int table_owner_works(struct nl *nl);
