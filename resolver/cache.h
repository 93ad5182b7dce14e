/* resolver/cache.h - the answer cache, shared by all workers of the process.
 *
 * Sharded by hash of (name, type); each shard has a mutex and an S3-FIFO of its own, sized in
 * bytes. Why S3-FIFO: a scan of names asked once (the rule under a random-subdomain flood) leaves
 * through the small queue and does not push out what is used, and a hit only raises a counter, so
 * no list is reordered under the lock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "entry.h"
#include "sallyport/counter.h"

struct cache;

struct cache *cache_new(uint64_t bytes,
                        const uint8_t hash_key[static 16]); /* NULL: out of memory */
void cache_free(struct cache *cache);
/* Change the size; shrinking evicts. */
void cache_resize(struct cache *cache, uint64_t bytes);

enum cache_hit { CACHE_MISS = 0, CACHE_FRESH, CACHE_STALE };
/* Look up; @ret_entry gets a reference on FRESH and STALE. One shard lock. */
enum cache_hit cache_get(struct cache *cache, const uint8_t *name, uint16_t type, uint64_t now_ns,
                         struct entry **ret_entry);
/* Put a reference of the cache's own. A failure never replaces a stale-servable answer. Evictions
 * are counted in @lane. */
void cache_put(struct cache *cache, struct entry *entry, uint64_t now_ns, struct stats_lane *lane);
/* A question whose stale-servable answer could not be refreshed: until when is it not worth asking
 * again (RFC 8767, section 5: the failure recheck timer)? 0: ask. Set by cache_put() of a failure
 * that found such an answer; CLOCK_MONOTONIC. */
uint64_t cache_failed_until(struct cache *cache, const uint8_t *name, uint16_t type,
                            uint64_t now_ns);
/* Remove a name (all types), or with @below everything under it too; the root with @below is all.
 * Returns how many entries went. Raises cache_generation(). */
size_t cache_flush(struct cache *cache, const uint8_t *name, bool below);
uint64_t cache_generation(const struct cache *cache); /* memos of an older one are void */
void cache_usage(struct cache *cache, uint64_t *ret_entries, uint64_t *ret_bytes);
