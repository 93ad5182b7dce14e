/* db/idmap.h - a bounded map from octets to a number: what a history file calls a string.
 *
 * A cache in front of the file's own tables, so it may forget: when it is full it is emptied. Keys
 * come from the network, hence SipHash with a random key.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"

struct idmap_slot {
	uint64_t hash;
	int64_t id;
	uint32_t at, len; /* of the key in keys; id 0: empty slot */
};
struct idmap {
	struct idmap_slot *slots;
	uint8_t *keys;
	size_t n_slots, n, keys_used, keys_cap;
	size_t n_max, keys_max;
	uint8_t hash_key[16];
};

/* Grows up to @n_max entries and @keys_max octets of keys. Returns 0 or ERR_NOMEM. */
int idmap_init(struct idmap *map, size_t n_max, size_t keys_max) MUST_CHECK;
void idmap_fini(struct idmap *map);
void idmap_clear(struct idmap *map);
int64_t idmap_get(const struct idmap *map, const void *key, size_t len); /* 0: not there */
/* @id is not 0; the key is not there yet. */
void idmap_put(struct idmap *map, const void *key, size_t len, int64_t id);
