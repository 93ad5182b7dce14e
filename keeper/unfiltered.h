/* keeper/unfiltered.h - how much was forwarded while the firewall's table was missing.
 *
 * Nothing tracks connections while there is no table, so nobody can name what passed; but the
 * kernel counts every packet that it forwards, whoever's. The difference between the last look at
 * which the table was there and the first at which it is there again is the most that can have
 * passed. A table that is owned (Linux 6.9) cannot go missing.
 */
#pragma once

#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/counter.h"

struct unfiltered_sample {
	uint64_t packets; /* forwarded by then */
	uint64_t at_ns;   /* CLOCK_MONOTONIC; 0: none */
};
struct unfiltered {
	uint64_t tables;               /* COUNT_FW_TABLE_LOST so far */
	struct unfiltered_sample good; /* the table was there, or what passed before is told */
	/* Is good as soon as fwsync has begun a turn after it and ended it without missing
	 * anything: a loss is no loss to us before it has noticed. */
	struct unfiltered_sample next;
	uint64_t turn_ns; /* the heartbeat of that turn; 0: not begun */
};

/* Look, a few times a second while fwsync runs. What may have passed goes into the log and into
 * COUNT_FW_UNFILTERED of @page, fwsync's. */
void unfiltered_look(struct unfiltered *u, struct stats_page *page, uint64_t now_ns);
/* The same with @now from elsewhere than the kernel. */
void unfiltered_step(struct unfiltered *u, const struct unfiltered_sample *now,
                     struct stats_page *page);

/* Of the texts of /proc/net/snmp and /proc/net/snmp6: packets forwarded. Returns 0 or
 * ERR_MALFORMED.
 */
int unfiltered_parse(const char *snmp, const char *snmp6, uint64_t *ret_packets) MUST_CHECK;
