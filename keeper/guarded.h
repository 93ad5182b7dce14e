/* keeper/guarded.h - whom the table guarded last, on disk, for the time before the next policy.
 *
 * Without firewall.guard the policy alone says whom the firewall filters. Before it is compiled, at
 * boot and at a start, this file does; and at boot, too, when the configuration has faults:
 * state_dir/guarded, a guard table of version 0, under which nothing may be opened.
 */
#pragma once

#include <stddef.h>

#include "config.h"

/* Keep whom @table filters, a guard table of guard_build(). Returns 0, ERR_LIMIT, ERR_NOMEM or
 * -errno; the file is then as it was. */
int guarded_save(const struct config *config, const void *table) MUST_CHECK;

/* What was kept, as a sealed guard table. Returns a descriptor, ERR_NOENT (nothing was kept) or an
 * error. */
int guarded_last(const struct config *config) MUST_CHECK;
/* The same where it is needed: ERR_NOENT also when the configuration itself says whom to filter. */
int guarded_load(const struct config *config) MUST_CHECK;
