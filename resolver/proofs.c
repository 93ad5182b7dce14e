/* resolver/proofs.c - records by zone, found by name, forgotten when there is no room.
 *
 *   shard --bucket--> zone: SOA, kind, array of records in canonical order
 *         '--clock--> all its records, oldest first
 *
 * Invariants of a shard, under its lock: a zone has at least one record; each record is in its
 * zone's array and in the clock once; bytes is what zones and records weigh, and at most the limit
 * after each proofs_learn().
 */
#include "proofs.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "proofs_own.h"
#include "sallyport/limits.h"
#include "sallyport/name.h"
#include "val_wire.h"

enum { SHARDS = 8, BUCKETS = 256 };

struct zone {
	struct zone *next; /* in its bucket */
	struct proofs_zone head;
	size_t n, cap;
	struct proof **sorted;
};

struct shard {
	_Alignas(64) pthread_mutex_t lock;
	struct zone *buckets[BUCKETS];
	struct proof *newest, *oldest; /* the clock */
	uint64_t bytes, n;
};

struct proofs {
	_Atomic uint64_t n; /* of all shards: is there anything to look for? */
	uint8_t hash_key[16];
	struct shard shards[SHARDS];
};
_Static_assert(crypto_shorthash_KEYBYTES == 16, "hash_key of the configuration");

/* ---- records ---- */

static struct proof *proof_new(const struct val_set *set, uint64_t until_ns)
{
	size_t owner_len = val_name_size(set->owner), size = owner_len + set->rrs[0].len;
	struct proof *proof;
	uint8_t *at;

	if (set->n_rrs != 1 || set->n_sigs == 0 || set->n_sigs > PROOF_SIGNATURES)
		return NULL;
	for (unsigned int i = 0; i < set->n_sigs; i++)
		size += set->sigs[i].len;
	proof = calloc(1, sizeof(*proof) + size);
	if (!proof)
		return NULL;
	atomic_init(&proof->refs, 1);
	proof->until_ns = until_ns;
	proof->bytes = (uint32_t)(sizeof(*proof) + size + 4 * sizeof(void *));
	proof->set = (struct val_set){ .owner = proof->octets,
		                       .type = set->type,
		                       .section = VAL_AUTHORITY,
		                       .n_rrs = 1,
		                       .n_sigs = set->n_sigs,
		                       .rrs = proof->rdata,
		                       .sigs = proof->rdata + 1 };
	memcpy(proof->octets, set->owner, owner_len);
	at = proof->octets + owner_len;
	for (unsigned int i = 0; i <= set->n_sigs; i++) {
		const struct val_rdata *from = i == 0 ? &set->rrs[0] : &set->sigs[i - 1];

		if (from->len > 0)
			memcpy(at, from->data, from->len);
		proof->rdata[i] = (struct val_rdata){ at, from->len };
		at += from->len;
	}
	return proof;
}

static struct proof *proof_ref(struct proof *proof)
{
	atomic_fetch_add_explicit(&proof->refs, 1, memory_order_relaxed);
	return proof;
}

void proof_unref(struct proof *proof)
{
	if (proof && atomic_fetch_sub_explicit(&proof->refs, 1, memory_order_acq_rel) == 1)
		free(proof);
}

/* ---- the clock ---- */

static void clock_put(struct shard *shard, struct proof *proof)
{
	proof->newer = NULL;
	proof->older = shard->newest;
	*(shard->newest ? &shard->newest->newer : &shard->oldest) = proof;
	shard->newest = proof;
}

static void clock_take(struct shard *shard, struct proof *proof)
{
	*(proof->newer ? &proof->newer->older : &shard->newest) = proof->older;
	*(proof->older ? &proof->older->newer : &shard->oldest) = proof->newer;
}

/* ---- zones ---- */

static uint64_t hash_of(const struct proofs *proofs, const uint8_t *name, uint16_t upstreams)
{
	uint8_t in[NAME_MAX_WIRE + sizeof(upstreams)];
	size_t len = val_name_size(name);
	uint64_t hash;

	memcpy(in, name, len);
	memcpy(in + len, &upstreams, sizeof(upstreams));
	crypto_shorthash((uint8_t *)&hash, in, len + sizeof(upstreams), proofs->hash_key);
	return hash;
}

static struct shard *shard_of(struct proofs *proofs, uint64_t hash)
{
	return &proofs->shards[hash % SHARDS];
}

static struct zone **find_zone(struct shard *shard, uint64_t hash, const uint8_t *name,
                               uint16_t upstreams)
{
	struct zone **at = &shard->buckets[hash / SHARDS % BUCKETS];

	while (*at && ((*at)->head.upstreams != upstreams || !name_equal((*at)->head.name, name)))
		at = &(*at)->next;
	return at;
}

static uint32_t zone_bytes(const struct zone *zone)
{
	return (uint32_t)sizeof(*zone) + (zone->head.soa ? zone->head.soa->bytes : 0);
}

static void zone_free(struct shard *shard, struct zone **at)
{
	struct zone *zone = *at;

	*at = zone->next;
	shard->bytes -= zone_bytes(zone);
	proof_unref(zone->head.soa);
	free(zone->sorted);
	free(zone);
}

/* The first place whose owner is not below @owner. */
static size_t place_of(const struct zone *zone, const uint8_t *owner)
{
	size_t low = 0, high = zone->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (val_name_cmp(zone->sorted[middle]->set.owner, owner) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Does not free the zone, which may be left without records. */
static void drop_at(struct proofs *proofs, struct shard *shard, struct zone *zone, size_t i)
{
	struct proof *proof = zone->sorted[i];

	memmove(&zone->sorted[i], &zone->sorted[i + 1], (--zone->n - i) * sizeof(proof));
	clock_take(shard, proof);
	shard->bytes -= proof->bytes;
	shard->n--;
	atomic_fetch_sub_explicit(&proofs->n, 1, memory_order_relaxed);
	proof_unref(proof);
}

static void drop_if_empty(struct proofs *proofs, struct shard *shard, const struct zone *zone)
{
	const struct proofs_zone *head = &zone->head;
	struct zone **at;

	if (zone->n > 0)
		return;
	at = find_zone(shard, hash_of(proofs, head->name, head->upstreams), head->name,
	               head->upstreams);
	if (*at)
		zone_free(shard, at);
}

static void drop(struct proofs *proofs, struct shard *shard, const struct proof *proof)
{
	struct zone *zone = proof->zone;

	drop_at(proofs, shard, zone, place_of(zone, proof->set.owner));
	drop_if_empty(proofs, shard, zone);
}

/* What was used comes round once more: each step frees, or clears a mark that only a search sets.
 */
static uint64_t make_room(struct proofs *proofs, struct shard *shard)
{
	uint64_t n = 0;

	while (shard->bytes > LIMIT_PROOF_BYTES / SHARDS && shard->oldest) {
		struct proof *oldest = shard->oldest;

		if (oldest->used) {
			oldest->used = false;
			clock_take(shard, oldest);
			clock_put(shard, oldest);
			continue;
		}
		drop(proofs, shard, oldest);
		n++;
	}
	return n;
}

static bool same_kind(const struct proofs_zone *a, const struct proofs_zone *b)
{
	return a->type == b->type && a->iterations == b->iterations && a->salt_len == b->salt_len &&
	       memcmp(a->salt, b->salt, a->salt_len) == 0;
}

/* The zone that @head describes, as new as that. NULL: out of memory. */
static struct zone *take_zone(struct proofs *proofs, struct shard *shard,
                              const struct proofs_zone *head, uint64_t hash)
{
	struct zone **at = find_zone(shard, hash, head->name, head->upstreams), *zone = *at;

	if (zone && !same_kind(&zone->head, head)) { /* signed anew in another way */
		while (zone->n > 0)
			drop_at(proofs, shard, zone, zone->n - 1);
	}
	if (!zone) {
		zone = calloc(1, sizeof(*zone));
		if (!zone)
			return NULL;
		*at = zone;
	} else {
		shard->bytes -= zone_bytes(zone);
		proof_unref(zone->head.soa);
	}
	zone->head = *head;
	proof_ref(zone->head.soa);
	shard->bytes += zone_bytes(zone);
	return zone;
}

static int reserve(struct zone *zone)
{
	size_t cap = MAX(zone->cap * 2, (size_t)8);
	struct proof **more;

	if (zone->n < zone->cap)
		return 0;
	more = realloc(zone->sorted, cap * sizeof(*more));
	if (!more)
		return -1;
	zone->sorted = more;
	zone->cap = cap;
	return 0;
}

static void put(struct proofs *proofs, struct shard *shard, struct zone *zone,
                const struct val_set *set, uint64_t until_ns)
{
	struct proof *proof = proof_new(set, until_ns);
	size_t at;

	if (!proof)
		return;
	proof->zone = zone;
	at = place_of(zone, set->owner);
	if (at < zone->n && name_equal(zone->sorted[at]->set.owner, set->owner)) {
		proof->used = zone->sorted[at]->used;
		drop_at(proofs, shard, zone, at);
	}
	if (reserve(zone) < 0) {
		proof_unref(proof);
		return;
	}
	memmove(&zone->sorted[at + 1], &zone->sorted[at], (zone->n++ - at) * sizeof(proof));
	zone->sorted[at] = proof;
	clock_put(shard, proof);
	shard->bytes += proof->bytes;
	shard->n++;
	atomic_fetch_add_explicit(&proofs->n, 1, memory_order_relaxed);
}

/* ---- learning ---- */

static bool is_opt_out(const struct val_set *set)
{
	return set->type == VAL_TYPE_NSEC3 && (set->rrs[0].data[1] & 1);
}

/* The zone and its kind of proof; false: nothing of use. */
static bool read_head(const struct entry *entry, const struct val_denial *denial,
                      struct proofs_zone *ret_head)
{
	*ret_head =
	    (struct proofs_zone){ .upstreams = entry->zone, .upstream_port = entry->upstream_port };
	memcpy(ret_head->upstream, entry->upstream, ADDR_LEN);
	memcpy(ret_head->name, denial->zone, val_name_size(denial->zone));
	if (denial->n_nsec > 0) {
		ret_head->type = VAL_TYPE_NSEC;
		return true;
	}
	ret_head->type = VAL_TYPE_NSEC3;
	ret_head->iterations = denial->iterations;
	ret_head->salt_len = denial->salt_len;
	memcpy(ret_head->salt, denial->salt, denial->salt_len);
	return denial->n_nsec3 > 0;
}

void proofs_learn(struct proofs *proofs, const struct entry *entry, const struct val_denial *denial,
                  const struct val_set *soa, uint64_t until_ns, uint64_t now_ns,
                  struct stats_lane *lane)
{
	const struct val_set *const *sets = denial->n_nsec > 0 ? denial->nsec : denial->nsec3;
	unsigned int n = denial->n_nsec > 0 ? denial->n_nsec : denial->n_nsec3;
	struct proofs_zone head;
	struct shard *shard;
	struct zone *zone;
	uint64_t hash, n_evicted;

	if (until_ns <= now_ns || !name_equal(soa->owner, denial->zone) ||
	    !read_head(entry, denial, &head))
		return;
	head.soa = proof_new(soa, until_ns);
	if (!head.soa)
		return;
	hash = hash_of(proofs, head.name, head.upstreams);
	shard = shard_of(proofs, hash);
	pthread_mutex_lock(&shard->lock);
	zone = take_zone(proofs, shard, &head, hash);
	for (unsigned int i = 0; zone && i < n; i++) {
		if (!is_opt_out(sets[i]))
			put(proofs, shard, zone, sets[i], until_ns);
	}
	if (zone)
		drop_if_empty(proofs, shard, zone);
	n_evicted = make_room(proofs, shard);
	pthread_mutex_unlock(&shard->lock);
	proof_unref(head.soa);
	if (n_evicted > 0 && lane)
		count_add(lane, COUNT_LIMIT_PROOFS, n_evicted);
}

/* ---- finding ---- */

bool proofs_is_empty(const struct proofs *proofs)
{
	return atomic_load_explicit(&proofs->n, memory_order_relaxed) == 0;
}

bool proofs_find_zone(struct proofs *proofs, const uint8_t *name, uint16_t upstreams,
                      struct proofs_zone *ret_zone)
{
	uint64_t hash = hash_of(proofs, name, upstreams);
	struct shard *shard = shard_of(proofs, hash);
	const struct zone *zone;

	pthread_mutex_lock(&shard->lock);
	zone = *find_zone(shard, hash, name, upstreams);
	if (zone) {
		*ret_zone = zone->head;
		proof_ref(ret_zone->soa);
	}
	pthread_mutex_unlock(&shard->lock);
	return zone != NULL;
}

struct proof *proofs_find(struct proofs *proofs, const struct proofs_zone *head,
                          const uint8_t *owner, uint64_t now_ns)
{
	uint64_t hash = hash_of(proofs, head->name, head->upstreams);
	struct shard *shard = shard_of(proofs, hash);
	struct proof *found = NULL;
	struct zone *zone;
	size_t at;

	pthread_mutex_lock(&shard->lock);
	zone = *find_zone(shard, hash, head->name, head->upstreams);
	if (zone && same_kind(&zone->head, head)) {
		at = place_of(zone, owner);
		if (at < zone->n && name_equal(zone->sorted[at]->set.owner, owner))
			found = zone->sorted[at];
		else if (at > 0)
			found = zone->sorted[at - 1];
		else if (head->type == VAL_TYPE_NSEC3) /* the last leads back to the first */
			found = zone->sorted[zone->n - 1];
	}
	if (found && now_ns >= found->until_ns) {
		drop(proofs, shard, found);
		found = NULL;
	}
	if (found) {
		found->used = true;
		proof_ref(found);
	}
	pthread_mutex_unlock(&shard->lock);
	return found;
}

/* ---- all of it ---- */

struct proofs *proofs_new(const uint8_t hash_key[static 16])
{
	struct proofs *proofs = aligned_alloc(_Alignof(struct proofs), sizeof(*proofs));

	if (!proofs)
		return NULL;
	memset(proofs, 0, sizeof(*proofs));
	memcpy(proofs->hash_key, hash_key, sizeof(proofs->hash_key));
	for (size_t i = 0; i < SHARDS; i++)
		pthread_mutex_init(&proofs->shards[i].lock, NULL);
	return proofs;
}

void proofs_clear(struct proofs *proofs)
{
	for (size_t i = 0; i < SHARDS; i++) {
		struct shard *shard = &proofs->shards[i];

		pthread_mutex_lock(&shard->lock);
		while (shard->oldest)
			drop(proofs, shard, shard->oldest);
		pthread_mutex_unlock(&shard->lock);
	}
}

void proofs_free(struct proofs *proofs)
{
	if (!proofs)
		return;
	proofs_clear(proofs);
	for (size_t i = 0; i < SHARDS; i++)
		pthread_mutex_destroy(&proofs->shards[i].lock);
	free(proofs);
}

void proofs_usage(struct proofs *proofs, uint64_t *ret_records, uint64_t *ret_bytes)
{
	*ret_records = *ret_bytes = 0;
	for (size_t i = 0; i < SHARDS; i++) {
		struct shard *shard = &proofs->shards[i];

		pthread_mutex_lock(&shard->lock);
		*ret_records += shard->n;
		*ret_bytes += shard->bytes;
		pthread_mutex_unlock(&shard->lock);
	}
}
