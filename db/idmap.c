/* db/idmap.c - a bounded map from octets to a number. Open addressing, at most half full. */
#include "idmap.h"

#include <sodium.h>
#include <string.h>

#include "sallyport/err.h"

#define SLOTS_FIRST 256
#define KEYS_FIRST 8192

int idmap_init(struct idmap *map, size_t n_max, size_t keys_max)
{
	*map = (struct idmap){ .n_max = n_max, .keys_max = MIN(keys_max, (size_t)UINT32_MAX) };
	map->slots = calloc(SLOTS_FIRST, sizeof(*map->slots));
	map->keys = malloc(KEYS_FIRST);
	if (!map->slots || !map->keys) {
		idmap_fini(map);
		return ERR_NOMEM;
	}
	map->n_slots = SLOTS_FIRST;
	map->keys_cap = KEYS_FIRST;
	randombytes_buf(map->hash_key, sizeof(map->hash_key));
	return ERR_OK;
}

void idmap_fini(struct idmap *map)
{
	free(map->slots);
	free(map->keys);
	*map = (struct idmap){ 0 };
}

void idmap_clear(struct idmap *map)
{
	if (map->n)
		memset(map->slots, 0, map->n_slots * sizeof(*map->slots));
	map->n = 0;
	map->keys_used = 0;
}

static uint64_t hash_of(const struct idmap *map, const void *key, size_t len)
{
	uint64_t hash;

	crypto_shorthash((uint8_t *)&hash, key, len, map->hash_key);
	return hash;
}

/* The slot that holds the key, or the empty one where it belongs. */
static struct idmap_slot *find(const struct idmap *map, uint64_t hash, const void *key, size_t len)
{
	for (size_t i = (size_t)hash & (map->n_slots - 1);; i = (i + 1) & (map->n_slots - 1)) {
		struct idmap_slot *slot = &map->slots[i];

		if (slot->id == 0 || (slot->hash == hash && slot->len == len &&
		                      memcmp(map->keys + slot->at, key, len) == 0))
			return slot;
	}
}

int64_t idmap_get(const struct idmap *map, const void *key, size_t len)
{
	return find(map, hash_of(map, key, len), key, len)->id;
}

/* Twice as many slots; without memory it stays as it is and forgets earlier. */
static void grow_slots(struct idmap *map)
{
	struct idmap_slot *old = map->slots;
	size_t n_old = map->n_slots;
	struct idmap_slot *slots = calloc(n_old * 2, sizeof(*slots));

	if (!slots)
		return;
	map->slots = slots;
	map->n_slots = n_old * 2;
	for (size_t i = 0; i < n_old; i++) {
		if (old[i].id)
			*find(map, old[i].hash, map->keys + old[i].at, old[i].len) = old[i];
	}
	free(old);
}

static void grow_keys(struct idmap *map, size_t need)
{
	size_t cap = map->keys_cap;
	uint8_t *keys;

	while (cap < need && cap < map->keys_max)
		cap = MIN(cap * 2, map->keys_max);
	keys = realloc(map->keys, cap);
	if (!keys)
		return;
	map->keys = keys;
	map->keys_cap = cap;
}

void idmap_put(struct idmap *map, const void *key, size_t len, int64_t id)
{
	uint64_t hash = hash_of(map, key, len);
	struct idmap_slot *slot;

	if ((map->n + 1) * 2 > map->n_slots && map->n < map->n_max)
		grow_slots(map);
	if (map->keys_used + len > map->keys_cap)
		grow_keys(map, map->keys_used + len);
	if ((map->n + 1) * 2 > map->n_slots || map->keys_used + len > map->keys_cap)
		idmap_clear(map);
	if (len > map->keys_cap)
		return;
	slot = find(map, hash, key, len);
	if (slot->id != 0)
		return;
	memcpy(map->keys + map->keys_used, key, len);
	*slot = (struct idmap_slot){ hash, id, (uint32_t)map->keys_used, (uint32_t)len };
	map->keys_used += len;
	map->n++;
}
