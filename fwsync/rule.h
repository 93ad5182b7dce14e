/* fwsync/rule.h - the rules of the table, one function a chain, in the order the kernel reads them.
 *
 * The argument in one paragraph. A packet from a guarded source passes `forward` only on a
 * conntrack entry that carries our egress bit, and only a pinhole sets that bit, on the first
 * packet. "Established" alone never lets anything pass: an entry that was born without us carries
 * no bit. Connections towards guarded hosts get the inbound bit from a TCP SYN, or by UDP at an
 * inbound port, and from nothing else (on the forward way); their replies need it, and a SYN is no
 * reply. A source that the kernel would not answer
 * through the interface that it came from is not its sender's: such a packet goes nowhere and is
 * told nothing, for the answer would carry its words to whom the sender chose.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/role.h"

#include "nl.h"

struct rule_chain {
	const char *name;
	int hook;     /* NF_INET_*, or -1: a chain that others jump to */
	int priority; /* NF_IP_PRI_* */
};
extern const struct rule_chain rule_chains[];
extern const size_t rule_n_chains;
extern const char *const rule_counters[];
extern const size_t rule_n_counters;

/* What a kernel may lack (bits). Without RULE_FIB a packet's source is not looked up, so a refusal
 * is told only to guarded addresses: an answer to any other would carry words to whom the sender
 * chose; and nobody knows which of a listener's packets are ours, so DNS is tracked. */
enum rule_kernel { RULE_LOG = 1, RULE_FIB = 2 };
/* Put every rule into the transaction. Returns 0 or ERR_NOMEM. */
int rule_put_all(struct nl *nl, const struct fwsync_conf *conf, unsigned int kernel) MUST_CHECK;
