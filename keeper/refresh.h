/* keeper/refresh.h - keeping trust anchors up (RFC 5011): who is asked when, and what becomes of
 * it.
 *
 *   IDLE --due--> ASKED (the resolver fetches) --KEYS--> VERIFYING (sallyport-anchor) --> IDLE
 *
 * One zone at a time. The state machine is upkeep.h, its memory state_dir/anchors. When other keys
 * are trusted than before, the resolver is told.
 */
#pragma once

#include <stdint.h>

#include "upkeep_file.h"
#include "verify.h"

struct keeper;

enum refresh_state { REFRESH_IDLE = 0, REFRESH_ASKED, REFRESH_VERIFYING };

struct refresh {
	struct upkeeps upkeeps; /* of zones that the configuration has anchors of */
	enum refresh_state state;
	uint32_t zone; /* that is being asked */
	uint64_t deadline_ns;
	struct verify *verify;
	struct verify *old; /* cancelled, not reaped yet */
};

/* At the start, and after a reload: the zones of the configuration, what is remembered of them. */
void refresh_load(struct keeper *keeper);
void refresh_configured(struct keeper *keeper);
void refresh_pulse(struct keeper *keeper, uint64_t now_ns);
void refresh_keys(struct keeper *keeper, const struct role_msg *msg); /* ROLE_MSG_KEYS */
bool refresh_reaped(struct keeper *keeper, pid_t pid, int status);
void refresh_stop(struct keeper *keeper);
/* The anchors in force, in place of the configured ones. */
void refresh_tell(const struct keeper *keeper, struct resolver_conf *conf);
/* The state of @zone, or NULL: its anchors stay as they are configured. */
const struct upkeep_zone *refresh_zone(const struct keeper *keeper, const uint8_t *zone);
