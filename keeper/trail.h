/* keeper/trail.h - how often those who may only read leave rows in the audit trail.
 *
 * Nothing is ever taken out of the trail, and an analyst who is refused, or has a name asked, leaves a
 * row in it. So these rows have a budget, of all such callers together: LIMIT_AUDIT_ROWS at once and
 * one more every LIMIT_AUDIT_ROW_MS. Administrators and the daemon itself have none.
 *
 * Pure: the clock goes in.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct trail {
	uint64_t paid_ns;    /* when all rows so far are paid off (GCRA) */
	uint64_t n_left_out; /* since the last row */
};

/* Is there a row left at @now_ns (monotonic)? True: it is taken, and @ret_left_out rows before it
 * were not written. False: it is to be left out, and has been counted. */
bool trail_take(struct trail *trail, uint64_t now_ns, uint64_t *ret_left_out);
