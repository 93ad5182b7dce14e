/* keeper/guarded.h - whom the last policy guarded, on disk, for the time before the next one.
 *
 * Without firewall.guard the policy alone says whom the firewall filters. Before it is compiled, at
 * boot and at a start, this file does: state_dir/guarded, a guard table of version 0, under which
 * nothing may be opened.
 */
#pragma once

#include <stddef.h>

#include "config.h"

/* Keep whom @table filters, a guard table of guard_build(). Returns 0 or -errno. */
int guarded_save(const struct config *config, const void *table) MUST_CHECK;

/* What was kept, as a sealed guard table. Returns a descriptor, ERR_NOENT (nothing was kept, or the
 * configuration itself says whom to filter) or an error. */
int guarded_load(const struct config *config) MUST_CHECK;
