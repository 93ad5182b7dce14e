/* fwsync/monitor.h - hears who else changes our table (NFNLGRP_NFTABLES).
 *
 * Our own changes are filtered out in the kernel by a socket filter, so only strangers' words queue
 * up here. It is not a source of truth (a full queue loses words): what it says is a reason to
 * look, and a loss is one, too.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/ledger.h"

#define MONITOR_ELEMENTS 1024 /* touched one by one; more is all of them */

struct monitor {
	int fd;
	uint32_t own_portid; /* of the writing socket */
};
struct monitor_news {
	bool table;  /* table, chain, rule, set or counter touched: rebuild */
	bool lost;   /* words, or more elements than have room here: nobody knows what they were */
	bool others; /* elements of the other sets (guarded ones) touched: swap them back */
	struct ledger_element elements[MONITOR_ELEMENTS];
	size_t n_elements;
};

int monitor_open(struct monitor *monitor, uint32_t own_portid) MUST_CHECK;
void monitor_close(struct monitor *monitor);
/* Read what lies there. Returns 1 (news), 0 (nothing that concerns us) or -errno. */
int monitor_read(const struct monitor *monitor, struct monitor_news *ret_news);
