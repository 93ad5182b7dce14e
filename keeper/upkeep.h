/* keeper/upkeep.h - trust anchors that keep themselves up (RFC 5011), one zone at a time.
 *
 *   START --new key--> ADDPEND --seen after its hold-down--> VALID <--seen-- MISSING
 *     ^------gone---------'                                    '-----gone-----^
 *   ADDPEND, VALID, MISSING --revoked, signed by itself--> REVOKED --hold-down over--> REMOVED
 *
 * Pure: no clock, no file, no network. What is given to it has been verified by another process
 * (sallyport/keys.h). VALID and MISSING keys are trusted; a configured key that the zone has not
 * shown yet is, too (its owner has said so). A key once revoked is never trusted again, whatever
 * the configuration says. When there is no room for a new key, the one that was REMOVED first goes,
 * unless the configuration names it (section 4.2 lets it be forgotten at once). When all keys of a
 * zone are revoked, and no trusted zone is above it, its anchor becomes one that nothing fits:
 * bogus, not insecure as section 5 would have it, for an answer that nobody vouches for must not
 * open a hole in the wall.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/keys.h"
#include "sallyport/limits.h"
#include "sallyport/role.h"

enum upkeep_state {
	UPKEEP_START = 0,
	UPKEEP_ADDPEND,
	UPKEEP_VALID,
	UPKEEP_MISSING,
	UPKEEP_REVOKED,
	UPKEEP_REMOVED, /* remembered, so that it never comes back */
	UPKEEP_STATE_N,
};
const char *upkeep_state_str(enum upkeep_state state); /* as RFC 5011, section 4 */

enum upkeep_result { /* of the newest refresh */
	             UPKEEP_NEVER = 0,
	             UPKEEP_OK,
	             UPKEEP_UNREACHABLE, /* no answer, or none with keys */
	             UPKEEP_BOGUS,       /* no key that is trusted signs it */
	             UPKEEP_LIMIT,       /* verified, and more keys than are kept */
	             UPKEEP_RESULT_N,
};
const char *upkeep_result_str(enum upkeep_result result);

/* Hold-downs and intervals; other than RFC 5011's in tests only. */
struct upkeep_times {
	uint64_t add_s, remove_s;
	uint64_t least_s; /* between refreshes, and between tries */
};
extern const struct upkeep_times upkeep_times_default;

struct upkeep_key {
	struct keys_id id;
	uint8_t state; /* enum upkeep_state */
	uint8_t named; /* by the configuration */
	uint8_t reserved[6];
	uint64_t since_s; /* in this state */
	uint64_t until_s; /* end of the hold-down: of ADDPEND and REVOKED; else 0 */
	uint64_t seen_s;  /* last in a verified RRset */
};
struct upkeep_zone {
	uint8_t name[NAME_MAX_WIRE + 1]; /* lower case */
	uint64_t verified_s;             /* of the newest refresh that succeeded; 0: none */
	uint64_t asked_s;                /* of the newest at all */
	uint64_t next_s;                 /* of the next one */
	uint32_t ttl_s;                  /* of the RRset, as signed */
	uint32_t expires_in_s;           /* of its signature, seen from verified_s */
	uint32_t result;                 /* enum upkeep_result */
	uint32_t n_keys;
	struct upkeep_key keys[LIMIT_UPKEEP_KEYS];
};

/* What came of one refresh. */
struct upkeep_seen {
	uint64_t now_s;
	bool reached;   /* there was an RRset */
	bool verified;  /* a trusted key signs it, whole */
	uint32_t ttl_s; /* original TTL */
	uint32_t expires_in_s;
	size_t n_keys;
	struct keys_seen keys[KEYS_SEEN_MAX];
};

/* Take it in. Returns true when another set of keys is trusted now. */
bool upkeep_observe(struct upkeep_zone *zone, const struct upkeep_seen *seen,
                    const struct upkeep_times *times);
/* Which keys the configuration names now: @configured (@n, any zones). */
void upkeep_name(struct upkeep_zone *zone, const struct conf_anchor *configured, size_t n);
/* The time alone: what was revoked long ago is removed. True when something has changed. */
bool upkeep_tick(struct upkeep_zone *zone, uint64_t now_s);

bool upkeep_trusts(const struct upkeep_key *key);
/* Is @anchor (of the configuration) one that @zone's state speaks for? Then the state counts. */
const struct upkeep_key *upkeep_find(const struct upkeep_zone *zone,
                                     const struct conf_anchor *anchor);
/**
 * The anchors of @zone in force: trusted keys, and those of @configured (@n, any zones) that the
 * zone has not shown. When that is none and @is_last: one that nothing fits.
 *
 * @ret  Room for LIMIT_UPKEEP_KEYS + @n.
 *
 * Returns their number.
 */
size_t upkeep_anchors(const struct upkeep_zone *zone, const struct conf_anchor *configured,
                      size_t n, bool is_last, struct conf_anchor *ret);
/* Everything in its bounds? For what was read from a file. */
bool upkeep_sound(const struct upkeep_zone *zone);
