/* keeper/guard.h - the guard table: what fwsync may open at most, derived from the policy image.
 *
 * For each workload: its sources, and whether any address that no workload names may be its, too,
 * for it has a listener; the union of the ports of all allow rules of its profile, own and
 * inherited; the addresses that are not globally reachable and that it may reach all the same:
 * those of `hosts`, and, if one of its rules is internal, all that can be used inside
 * (guard_internals). Guarded is what the configuration names, else every workload's sources.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/image.h"
#include "sallyport/cleanup.h"
#include "sallyport/guard_table.h"
#include "sallyport/role.h"

/* Build a table of @image (NULL: no policy, nothing may be opened). The caller frees *ret_data.
 * Returns 0, ERR_LIMIT or ERR_NOMEM. */
int guard_build(const struct policy_image *image, const struct fwsync_conf *conf,
                const struct resolver_conf *zones, void **ret_data, size_t *ret_len) MUST_CHECK;

/* Not globally reachable by the special-purpose registries but usable inside; also when it is an
 * IPv4 address of that kind inside NAT64, 6to4 or Teredo. */
bool guard_is_internal(const uint8_t addr[static ADDR_LEN]);
