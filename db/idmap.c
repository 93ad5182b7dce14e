/* db/idmap.c - a bounded map from octets to a number. Open addressing, at most half full. */
#include "idmap.h"

#include <sodium.h>
#include <string.h>

#include "sallyport/err.h"

int idmap_init(struct idmap *map, size_t n_max, size_t keys_max)
{
	size_t n = 64;

	*map = (struct idmap){ 0 };
	while (n < n_max * 2)
		n *= 2;
	map->slots = calloc(n, sizeof(*map->slots));
	map->keys = malloc(keys_max);
	if (!map->slots || !map->keys) {
		idmap_fini(map);
		return ERR_NOMEM;
	}
	map->n_slots = n;
	map->keys_cap = MIN(keys_max, (size_t)UINT32_MAX);
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

void idmap_put(struct idmap *map, const void *key, size_t len, int64_t id)
{
	uint64_t hash = hash_of(map, key, len);
	struct idmap_slot *slot;

	if (len > map->keys_cap)
		return;
	if ((map->n + 1) * 2 > map->n_slots || map->keys_used + len > map->keys_cap)
		idmap_clear(map);
	slot = find(map, hash, key, len);
	if (slot->id != 0)
		return;
	memcpy(map->keys + map->keys_used, key, len);
	*slot = (struct idmap_slot){ hash, id, (uint32_t)map->keys_used, (uint32_t)len };
	map->keys_used += len;
	map->n++;
}
