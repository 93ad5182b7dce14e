/* resolver/memo.h - forms that can be sent again, remembered by one worker.
 *
 * The key is everything that the guard's outcome depends on, so that no two policies, profiles or
 * rules ever see each other's forms. Bounded in bytes, clock eviction; a hit costs one hash and one
 * comparison. Entries past expires_ns, of another cache generation or policy version are misses.
 */
#pragma once

#include <stdint.h>

#include "form.h"

struct memo;
struct memo_key {
	const uint8_t *name; /* lower case */
	uint8_t name_len;
	uint16_t type;
	uint32_t policy_version, profile, rule;
	uint8_t reason; /* enum reason of the entry's verdict (follow and rule differ) */
	uint8_t flags;  /* enum memo_flag */
	uint64_t cache_generation;
};
enum memo_flag {
	MEMO_DO = 1,
	MEMO_NO_V4 = 2,
	MEMO_NO_V6 = 4,
	MEMO_INTERNAL = 8,
	MEMO_OBSERVED = 16
};

struct memo *memo_new(uint64_t bytes, const uint8_t hash_key[static 16]);
void memo_free(struct memo *memo);
/* Borrowed until the next call that changes the memo; NULL: miss. @valid_until_ns bounds a form
 * below its expires_ns (a rule of the policy expires earlier). */
struct form *memo_get(struct memo *memo, const struct memo_key *key, uint64_t now_ns);
void memo_put(struct memo *memo, const struct memo_key *key, struct form *form, /* takes a ref */
              uint64_t valid_until_ns);
