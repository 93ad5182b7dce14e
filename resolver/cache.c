/* resolver/cache.c - S3-FIFO (Yang et al., SOSP 2023) in shards.
 *
 *            put                        freq > 0 at the end            freq > 0: once more round
 *   new ----------> small (1/10) ----------------------------> main (9/10) ------------.
 *                     |  freq = 0 at the end                      ^  |    ^            |
 *                     v                                           |  v    '------------'
 *                   ghost (fingerprints only) --- put again ------'  evicted
 *
 * Invariants of a shard, under its lock: every node is in exactly one queue and one bucket;
 * bytes[q] is the sum over queue q; bytes[SMALL] + bytes[MAIN] <= limit after every put.
 */
#include "cache.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/clock.h"
#include "sallyport/cleanup.h"

#define SHARDS_MAX 64
#define SHARD_BYTES_MIN (UINT64_C(512) << 10) /* smaller caches have fewer shards */
#define BUCKETS_MIN 64
#define BYTES_PER_GHOST 512 /* about half as many fingerprints as entries: 1.6 % of the size */
#define GHOSTS_MIN 64
#define GHOSTS_MAX 65536
#define FREQ_MAX 3
#define NODE_OVERHEAD                                                                              \
	(sizeof(struct node) + 2 * 16) /* and what malloc keeps for node and entry                 \
	                                */
#define RECHECK_NS (30 * NS_PER_S)     /* RFC 8767, section 5 */

enum queue { SMALL, MAIN, N_QUEUES };

struct node {
	struct entry *entry; /* a reference */
	struct node *bucket_next;
	struct node *newer, *older; /* in its queue */
	uint64_t hash;
	uint64_t failed_until_ns;
	enum queue queue;
};

struct fifo {
	struct node *newest, *oldest;
	uint64_t bytes;
};

/* When its place in the order of evictions is too long ago, a ghost is nobody's. */
struct ghost {
	uint32_t fingerprint, seq;
};

struct shard {
	_Alignas(64) pthread_mutex_t lock;
	struct node **buckets;
	size_t n_buckets; /* a power of 2 */
	size_t n_nodes, n_main;
	uint64_t limit; /* bytes */
	struct fifo fifos[N_QUEUES];
	struct ghost *ghosts;
	size_t n_ghosts;    /* a power of 2 */
	uint32_t ghost_seq; /* of the newest ghost; starts at 1, so that zeros match nothing old */
};

struct cache {
	_Atomic uint64_t generation;
	size_t n_shards; /* a power of 2 */
	uint8_t hash_key[16];
	struct shard shards[];
};

static uint64_t hash_of(const struct cache *cache, const uint8_t *name, size_t name_len,
                        uint16_t type)
{
	uint8_t in[NAME_MAX_WIRE + 2];
	uint64_t hash;

	memcpy(in, name, name_len);
	memcpy(in + name_len, &type, 2);
	crypto_shorthash((uint8_t *)&hash, in, name_len + 2, cache->hash_key);
	return hash;
}

/* The upper bits choose the shard, the lower ones the bucket. */
static struct shard *shard_of(struct cache *cache, uint64_t hash)
{
	return &cache->shards[(hash >> 48) & (cache->n_shards - 1)];
}

static struct node **find(const struct shard *shard, uint64_t hash, const uint8_t *name,
                          size_t name_len, uint16_t type)
{
	struct node **at = &shard->buckets[hash & (shard->n_buckets - 1)];

	for (; *at; at = &(*at)->bucket_next) {
		const struct entry *entry = (*at)->entry;

		if ((*at)->hash == hash && entry->type == type && entry->name_len == name_len &&
		    memcmp(entry->name, name, name_len) == 0)
			break;
	}
	return at;
}

static uint64_t weight(const struct node *node)
{
	return node->entry->bytes + NODE_OVERHEAD;
}

static void push(struct shard *shard, struct node *node, enum queue queue)
{
	struct fifo *fifo = &shard->fifos[queue];

	node->queue = queue;
	node->newer = NULL;
	node->older = fifo->newest;
	if (fifo->newest)
		fifo->newest->newer = node;
	else
		fifo->oldest = node;
	fifo->newest = node;
	fifo->bytes += weight(node);
	shard->n_main += queue == MAIN;
}

static void pull(struct shard *shard, struct node *node)
{
	struct fifo *fifo = &shard->fifos[node->queue];

	*(node->newer ? &node->newer->older : &fifo->newest) = node->older;
	*(node->older ? &node->older->newer : &fifo->oldest) = node->newer;
	fifo->bytes -= weight(node);
	shard->n_main -= node->queue == MAIN;
}

/* Take the node out of everything and free it. @at: the pointer to it in its bucket. */
static void drop(struct shard *shard, struct node **at)
{
	struct node *node = *at;

	*at = node->bucket_next;
	pull(shard, node);
	shard->n_nodes--;
	entry_unref(node->entry);
	free(node);
}

static void evict(struct shard *shard, struct node *node)
{
	struct node **at = &shard->buckets[node->hash & (shard->n_buckets - 1)];

	while (*at != node)
		at = &(*at)->bucket_next;
	drop(shard, at);
}

static struct ghost *ghost_of(const struct shard *shard, uint64_t hash)
{
	return &shard->ghosts[(hash >> 32) & (shard->n_ghosts - 1)];
}

static void ghost_put(struct shard *shard, uint64_t hash)
{
	*ghost_of(shard, hash) = (struct ghost){ (uint32_t)hash, ++shard->ghost_seq };
}

/* Was this key thrown out of small not longer ago than main has nodes? */
static bool ghost_take(struct shard *shard, uint64_t hash)
{
	struct ghost *ghost = ghost_of(shard, hash);
	uint32_t age = shard->ghost_seq - ghost->seq;

	if (ghost->seq == 0 || ghost->fingerprint != (uint32_t)hash ||
	    age > MAX(shard->n_main, (size_t)BUCKETS_MIN))
		return false;
	*ghost = (struct ghost){ 0 };
	return true;
}

static bool dead(const struct entry *entry, uint64_t now_ns)
{
	return now_ns >= entry->stale_until_ns && now_ns >= entry->expires_ns;
}

/* Make room for one node's worth: look at the oldest of small or main. A node of main comes round
 * at most FREQ_MAX times, so this ends. Returns whether something was evicted. */
static bool evict_step(struct shard *shard, uint64_t now_ns)
{
	struct fifo *small = &shard->fifos[SMALL], *main_fifo = &shard->fifos[MAIN];
	bool from_small = small->oldest && (small->bytes > shard->limit / 10 || !main_fifo->oldest);
	struct node *node = from_small ? small->oldest : main_fifo->oldest;
	uint8_t freq;

	if (!node)
		return false;
	freq = atomic_load_explicit(&node->entry->freq, memory_order_relaxed);
	if (freq > 0 && !dead(node->entry, now_ns)) {
		pull(shard, node);
		atomic_store_explicit(&node->entry->freq, from_small ? 0 : (uint8_t)(freq - 1),
		                      memory_order_relaxed);
		push(shard, node, MAIN);
		return false;
	}
	if (from_small)
		ghost_put(shard, node->hash);
	evict(shard, node);
	return true;
}

static uint64_t used(const struct shard *shard)
{
	return shard->fifos[SMALL].bytes + shard->fifos[MAIN].bytes;
}

static uint64_t make_room(struct shard *shard, uint64_t now_ns)
{
	uint64_t n = 0;

	while (used(shard) > shard->limit && shard->n_nodes > 0)
		n += evict_step(shard, now_ns);
	return n;
}

/* Twice the buckets. Out of memory: longer chains, nothing worse. */
static void grow(struct shard *shard)
{
	size_t n = shard->n_buckets * 2;
	struct node **buckets = calloc(n, sizeof(*buckets));

	if (!buckets)
		return;
	for (size_t i = 0; i < shard->n_buckets; i++) {
		for (struct node *node = shard->buckets[i], *next; node; node = next) {
			struct node **at = &buckets[node->hash & (n - 1)];

			next = node->bucket_next;
			node->bucket_next = *at;
			*at = node;
		}
	}
	free(shard->buckets);
	shard->buckets = buckets;
	shard->n_buckets = n;
}

struct cache *cache_new(uint64_t bytes, const uint8_t hash_key[static 16])
{
	struct cache *cache;
	size_t n_shards = 1, size;

	while (n_shards < SHARDS_MAX && bytes / n_shards >= 2 * SHARD_BYTES_MIN)
		n_shards *= 2;
	size = sizeof(*cache) + n_shards * sizeof(struct shard);
	cache = aligned_alloc(_Alignof(struct cache), (size + 63) / 64 * 64);
	if (!cache)
		return NULL;
	memset(cache, 0, size);
	atomic_init(&cache->generation, 1);
	memcpy(cache->hash_key, hash_key, sizeof(cache->hash_key));

	for (; cache->n_shards < n_shards; cache->n_shards++) {
		struct shard *shard = &cache->shards[cache->n_shards];

		shard->n_buckets = BUCKETS_MIN;
		shard->limit = bytes / n_shards;
		shard->ghost_seq = 1;
		shard->buckets = calloc(shard->n_buckets, sizeof(struct node *));
		shard->n_ghosts = GHOSTS_MIN;
		while (shard->n_ghosts < GHOSTS_MAX &&
		       shard->n_ghosts * BYTES_PER_GHOST < shard->limit)
			shard->n_ghosts *= 2;
		shard->ghosts = calloc(shard->n_ghosts, sizeof(*shard->ghosts));
		if (!shard->buckets || !shard->ghosts ||
		    pthread_mutex_init(&shard->lock, NULL) != 0) {
			free(shard->buckets);
			free(shard->ghosts);
			cache_free(cache);
			return NULL;
		}
	}
	return cache;
}

void cache_free(struct cache *cache)
{
	if (!cache)
		return;
	for (size_t i = 0; i < cache->n_shards; i++) {
		struct shard *shard = &cache->shards[i];

		for (int q = 0; q < N_QUEUES; q++) {
			while (shard->fifos[q].oldest)
				evict(shard, shard->fifos[q].oldest);
		}
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): a shard that failed is not counted */
		free(shard->buckets);
		free(shard->ghosts);
		pthread_mutex_destroy(&shard->lock);
	}
	free(cache);
}

void cache_resize(struct cache *cache, uint64_t bytes)
{
	for (size_t i = 0; i < cache->n_shards; i++) {
		struct shard *shard = &cache->shards[i];

		pthread_mutex_lock(&shard->lock);
		shard->limit = bytes / cache->n_shards;
		make_room(shard, 0);
		pthread_mutex_unlock(&shard->lock);
	}
}

enum cache_hit cache_get(struct cache *cache, const uint8_t *name, uint16_t type, uint64_t now_ns,
                         struct entry **ret_entry)
{
	int len = name_wire_len(name, NAME_MAX_WIRE);
	enum cache_hit hit = CACHE_MISS;
	struct shard *shard;
	struct node **at;
	uint64_t hash;

	if (len < 0)
		return CACHE_MISS;
	hash = hash_of(cache, name, (size_t)len, type);
	shard = shard_of(cache, hash);

	pthread_mutex_lock(&shard->lock);
	at = find(shard, hash, name, (size_t)len, type);
	if (*at) {
		struct entry *entry = (*at)->entry;
		uint8_t freq = atomic_load_explicit(&entry->freq, memory_order_relaxed);

		if (now_ns < entry->expires_ns)
			hit = CACHE_FRESH;
		else if (now_ns < entry->stale_until_ns)
			hit = CACHE_STALE;
		if (hit == CACHE_MISS) {
			drop(shard, at);
		} else {
			if (freq < FREQ_MAX)
				atomic_store_explicit(&entry->freq, (uint8_t)(freq + 1),
				                      memory_order_relaxed);
			*ret_entry = entry_ref(entry);
		}
	}
	pthread_mutex_unlock(&shard->lock);
	return hit;
}

uint64_t cache_failed_until(struct cache *cache, const uint8_t *name, uint16_t type,
                            uint64_t now_ns)
{
	int len = name_wire_len(name, NAME_MAX_WIRE);
	struct shard *shard;
	struct node *node;
	uint64_t hash, until = 0;

	if (len < 0)
		return 0;
	hash = hash_of(cache, name, (size_t)len, type);
	shard = shard_of(cache, hash);
	pthread_mutex_lock(&shard->lock);
	node = *find(shard, hash, name, (size_t)len, type);
	if (node && node->failed_until_ns > now_ns)
		until = node->failed_until_ns;
	pthread_mutex_unlock(&shard->lock);
	return until;
}

/* Put @entry in the place of the one that is there. */
static void replace(struct shard *shard, struct node *node, struct entry *entry, uint64_t now_ns)
{
	struct entry *old = node->entry;
	uint8_t freq = atomic_load_explicit(&old->freq, memory_order_relaxed);

	if (entry->kind == ENTRY_FAILURE && old->kind != ENTRY_FAILURE && !dead(old, now_ns)) {
		node->failed_until_ns = now_ns + RECHECK_NS;
		return;
	}
	shard->fifos[node->queue].bytes -= weight(node);
	atomic_store_explicit(&entry->freq, freq, memory_order_relaxed);
	node->entry = entry_ref(entry);
	node->failed_until_ns = 0;
	shard->fifos[node->queue].bytes += weight(node);
	entry_unref(old);
}

static void insert(struct shard *shard, struct entry *entry, uint64_t hash)
{
	struct node *node = calloc(1, sizeof(*node));
	struct node **bucket;

	if (!node) /* not cached, then */
		return;
	if (shard->n_nodes >= shard->n_buckets)
		grow(shard);
	bucket = &shard->buckets[hash & (shard->n_buckets - 1)];
	node->entry = entry_ref(entry);
	node->hash = hash;
	node->bucket_next = *bucket;
	*bucket = node;
	shard->n_nodes++;
	push(shard, node, ghost_take(shard, hash) ? MAIN : SMALL);
}

void cache_put(struct cache *cache, struct entry *entry, uint64_t now_ns, struct stats_lane *lane)
{
	uint64_t hash = hash_of(cache, entry->name, entry->name_len, entry->type);
	struct shard *shard = shard_of(cache, hash);
	uint64_t n_evicted = 0;
	struct node **at;

	if (dead(entry, now_ns)) /* TTL 0: for those who wait, not for keeping */
		return;
	pthread_mutex_lock(&shard->lock);
	/* One entry shall not sweep a shard out. */
	if (entry->bytes <= shard->limit / 4) {
		at = find(shard, hash, entry->name, entry->name_len, entry->type);
		if (*at)
			replace(shard, *at, entry, now_ns);
		else
			insert(shard, entry, hash);
		n_evicted = make_room(shard, now_ns);
	}
	pthread_mutex_unlock(&shard->lock);
	if (n_evicted > 0 && lane)
		count_add(lane, COUNT_CACHE_EVICTED, n_evicted);
}

static size_t flush_queue(struct shard *shard, enum queue queue, const uint8_t *name, bool below)
{
	size_t n = 0;

	for (struct node *node = shard->fifos[queue].oldest, *next; node; node = next) {
		next = node->newer;
		if (below ? name_is_under(node->entry->name, name)
		          : name_equal(node->entry->name, name)) {
			evict(shard, node);
			n++;
		}
	}
	return n;
}

size_t cache_flush(struct cache *cache, const uint8_t *name, bool below)
{
	size_t n = 0;

	for (size_t i = 0; i < cache->n_shards; i++) {
		struct shard *shard = &cache->shards[i];

		pthread_mutex_lock(&shard->lock);
		n += flush_queue(shard, SMALL, name, below);
		n += flush_queue(shard, MAIN, name, below);
		pthread_mutex_unlock(&shard->lock);
	}
	/* After the removal: who sees the new generation finds nothing old in the shards. */
	atomic_fetch_add_explicit(&cache->generation, 1, memory_order_release);
	return n;
}

uint64_t cache_generation(const struct cache *cache)
{
	return atomic_load_explicit(&cache->generation, memory_order_acquire);
}

void cache_usage(struct cache *cache, uint64_t *ret_entries, uint64_t *ret_bytes)
{
	*ret_entries = *ret_bytes = 0;
	for (size_t i = 0; i < cache->n_shards; i++) {
		struct shard *shard = &cache->shards[i];

		pthread_mutex_lock(&shard->lock);
		*ret_entries += shard->n_nodes;
		*ret_bytes += used(shard);
		pthread_mutex_unlock(&shard->lock);
	}
}
