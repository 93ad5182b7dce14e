/* fwsync/rule.h - the rules of the table, one function a chain, in the order the kernel reads them.
 *
 * The argument in one paragraph. A packet from a guarded source passes `forward` only on a
 * conntrack entry that carries our egress bit, and only a pinhole sets that bit, on the first
 * packet. "Established" alone never lets anything pass: an entry that was born without us carries
 * no bit. Connections towards guarded hosts get the inbound bit from a TCP SYN, and nothing else
 * does (on the forward way); their replies need it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"

#include "nl.h"

struct rule_chain {
	const char *name;
	int hook; /* NF_INET_*, or -1: a chain that others jump to */
};
extern const struct rule_chain rule_chains[];
extern const size_t rule_n_chains;
extern const char *const rule_counters[];
extern const size_t rule_n_counters;

enum rule_log { RULE_SILENT = 0, RULE_LOG };
/* Put every rule into the transaction. Returns 0 or ERR_NOMEM. */
int rule_put_all(struct nl *nl, uint32_t mark_egress, uint32_t mark_inbound,
                 enum rule_log log) MUST_CHECK;
