/* fwsync/guard.h - the guard table in force, and whether it permits a request.
 *
 * The table is the keeper's, derived from the policy; the resolver never sees it. What it does not
 * permit is refused, whatever the resolver says.
 */
#pragma once

#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/guard_table.h"
#include "sallyport/pinhole.h"

struct guard {
	const struct guard_table *table; /* NULL: nothing is permitted */
	size_t len;                      /* of the mapping; 0: borrowed memory */
};

/* Map and check the table in @fd. Returns 0, ERR_DAMAGED or -errno; @guard is set on success only.
 */
int guard_load(struct guard *guard, int fd) MUST_CHECK;
void guard_fini(struct guard *guard);

static inline uint32_t guard_version(const struct guard *guard)
{
	return guard->table ? guard->table->policy_version : 0;
}

/* Judge one request that pinhole_batch_read() has passed, except for the number of pinholes, which
 * the book knows. Returns PINHOLE_OPEN (permitted), PINHOLE_STALE (another version),
 * PINHOLE_MALFORMED (a destination without a source of its family; too many elements) or
 * PINHOLE_OUTSIDE. @ret_workload is set with PINHOLE_OPEN. */
enum pinhole_status guard_permits(const struct guard *guard, const struct pinhole_view *view,
                                  const struct guard_workload **ret_workload);

/* The entries of one of the table's sections, and their number (NULL and 0 without a table). */
const struct guard_prefix *guard_prefixes(const struct guard *guard,
                                          const struct guard_section *section);
