/* resolver/policy_slot.h - the policy image in force, swapped whole.
 *
 * The role's main thread maps an image, checks it and puts it into the slot; each worker takes it
 * at the beginning of a loop turn and keeps it until it takes the next one, so one datagram batch
 * is judged by one version. The mapping goes when the slot and every worker have let go of it.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/image.h"
#include "sallyport/cleanup.h"

struct policy_map { /* one mapped image; reference-counted */
	_Atomic uint32_t refs;
	struct policy_image image;
	void *data;
	size_t len;
};
struct policy_slot;

struct policy_slot *policy_slot_new(void);
void policy_slot_free(struct policy_slot *slot);
/* Map and check @fd (a sealed memfd) as @version and put it in. Returns 0, ERR_DAMAGED, ERR_VERSION
 * or -errno; after an error the old one stays. */
int policy_slot_load(struct policy_slot *slot, int fd, uint32_t version) MUST_CHECK;
/* The newest map, with a reference, if it is another one than @have; else NULL. One atomic load
 * when nothing changed. */
struct policy_map *policy_slot_newer(struct policy_slot *slot, const struct policy_map *have);
void policy_map_unref(struct policy_map *map); /* NULL is fine */
