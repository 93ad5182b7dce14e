/* fwsync/ranges.h - prefixes as the kernel's interval sets want them: disjoint, sorted ranges. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/guard_table.h"
#include "sallyport/prefix.h"

struct range {
	uint8_t first[ADDR_LEN], last[ADDR_LEN]; /* inclusive, IPv4 mapped */
};
struct ranges {
	struct range *items;
	size_t n, cap;
};

void ranges_fini(struct ranges *ranges);
/* Add copies of @n prefixes. Returns 0 or ERR_NOMEM. */
int ranges_add(struct ranges *ranges, const struct guard_prefix *prefixes, size_t n) MUST_CHECK;
/* Sort, merge what overlaps or touches, and cut at the borders of ::ffff:0:0/96, so that each range
 * is of one family. */
int ranges_settle(struct ranges *ranges) MUST_CHECK;
bool ranges_equal(const struct ranges *a, const struct ranges *b);
