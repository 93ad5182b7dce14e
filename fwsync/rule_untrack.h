/* fwsync/rule_untrack.h - DNS between clients and our listeners stays out of connection tracking.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sallyport/role.h"

#include "rule_make.h"

#define RULE_UNTRACK_IN "raw_prerouting" /* questions, before conntrack sees them */
#define RULE_UNTRACK_OUT "raw_output"    /* answers, and questions over loopback */
#define RULE_UNTRACK_ERRORS "errors"     /* ICMP errors about answers: nothing is related to them */

#define RULE_DNS_FAMILIES 2u

/* The listeners, as far as rules depend on them; IPv4, then IPv6. */
struct rule_dns {
	bool untracked; /* false: firewall.track_dns, no listener, or no RULE_FIB */
	bool one[RULE_DNS_FAMILIES], any[RULE_DNS_FAMILIES]; /* on one address, on all of them */
	uint16_t port; /* of all listeners; 0: they have several */
};
void rule_dns_of(const struct fwsync_conf *conf, unsigned int kernel, struct rule_dns *ret_dns);

/* The rules of the three chains: none, if @dns is not untracked. */
void rule_put_untracked(struct rule_maker *m, const struct rule_dns *dns);
