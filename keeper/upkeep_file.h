/* keeper/upkeep_file.h - the state of trust anchors that keep themselves up, on disk:
 * state_dir/anchors. A head, the zones as they are in memory, and a hash of all before it.
 */
#pragma once

#include "upkeep.h"

struct upkeeps {
	uint32_t n_zones;
	struct upkeep_zone zones[LIMIT_UPKEEP_ZONES];
};

int upkeep_save(const char *state_dir, const struct upkeeps *upkeeps) MUST_CHECK;
/* Returns 0 (nothing was kept: no zones), ERR_DAMAGED (set aside, no zones) or -errno. */
int upkeep_load(const char *state_dir, uint64_t now_s, struct upkeeps *ret_upkeeps) MUST_CHECK;
