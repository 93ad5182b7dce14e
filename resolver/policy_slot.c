#include "policy_slot.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "sallyport/err.h"
#include "sallyport/limits.h"
#include "sallyport/shm.h"

struct policy_slot {
	_Atomic(struct policy_map *) current; /* the slot's own reference */
	pthread_mutex_t lock; /* held to exchange it, and from reading it to taking a reference */
};

struct policy_slot *policy_slot_new(void)
{
	struct policy_slot *slot = calloc(1, sizeof(*slot));

	if (!slot)
		return NULL;
	if (pthread_mutex_init(&slot->lock, NULL) != 0) {
		free(slot);
		return NULL;
	}
	atomic_init(&slot->current, NULL);
	return slot;
}

void policy_slot_free(struct policy_slot *slot)
{
	if (!slot)
		return;
	policy_map_unref(atomic_load(&slot->current));
	pthread_mutex_destroy(&slot->lock);
	free(slot);
}

static int map_image(int fd, uint32_t version, struct policy_map **ret_map)
{
	struct policy_map *map;
	int seals = fcntl(fd, F_GET_SEALS);
	int r;

	/* Judged from for as long as it is in force: nobody may change it under us. */
	if (seals < 0 || (seals & (F_SEAL_WRITE | F_SEAL_SHRINK)) != (F_SEAL_WRITE | F_SEAL_SHRINK))
		return ERR_DAMAGED;
	map = calloc(1, sizeof(*map));
	if (!map)
		return ERR_NOMEM;
	atomic_init(&map->refs, 1);
	r = shm_map(fd, SHM_READ, 1, &map->data, &map->len);
	if (r < 0) {
		free(map);
		return r;
	}
	r = map->len > LIMIT_IMAGE_BYTES
	        ? ERR_LIMIT
	        : policy_image_open(map->data, map->len, version, &map->image);
	if (r < 0) {
		policy_map_unref(map);
		return r;
	}
	*ret_map = map;
	return ERR_OK;
}

int policy_slot_load(struct policy_slot *slot, int fd, uint32_t version)
{
	struct policy_map *map, *old;
	int r = map_image(fd, version, &map);

	if (r < 0)
		return r;
	pthread_mutex_lock(&slot->lock);
	old = atomic_exchange_explicit(&slot->current, map, memory_order_acq_rel);
	pthread_mutex_unlock(&slot->lock);
	policy_map_unref(old);
	return ERR_OK;
}

struct policy_map *policy_slot_newer(struct policy_slot *slot, const struct policy_map *have)
{
	struct policy_map *map;

	/* @have is referenced by the caller, so a new map cannot have its address. */
	if (atomic_load_explicit(&slot->current, memory_order_acquire) == have)
		return NULL;
	pthread_mutex_lock(&slot->lock);
	map = atomic_load_explicit(&slot->current, memory_order_relaxed);
	atomic_fetch_add_explicit(&map->refs, 1, memory_order_relaxed);
	pthread_mutex_unlock(&slot->lock);
	return map;
}

void policy_map_unref(struct policy_map *map)
{
	if (!map || atomic_fetch_sub_explicit(&map->refs, 1, memory_order_acq_rel) != 1)
		return;
	munmap(map->data, map->len);
	free(map);
}
