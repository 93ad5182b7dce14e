/* resolver/tally.c - the sums are atomics; the rows lie in shards by their key's hash. */
#include "tally.h"

#include <assert.h>
#include <pthread.h>
#include <sodium/crypto_shorthash.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/err.h"

#define SHARDS 16
#define BUCKETS 1024

struct row {
	struct row *next; /* in its bucket */
	struct tally_key key;
	uint32_t in_use; /* never 0 */
};

struct shard {
	pthread_mutex_t lock;
	struct row *buckets[BUCKETS];
};

struct tally {
	uint8_t hash_key[16];
	struct {
		_Alignas(64) _Atomic uint32_t in_use; /* a line of its own: every worker adds */
	} sums[TALLY_N];
	struct shard shards[SHARDS];
};

_Static_assert(sizeof(struct tally_key) == ADDR_LEN + 8, "hashed and compared as octets");

struct tally *tally_new(const uint8_t hash_key[static 16])
{
	struct tally *tally = aligned_alloc(_Alignof(struct tally), sizeof(*tally));

	if (!tally)
		return NULL;
	memset(tally, 0, sizeof(*tally));
	memcpy(tally->hash_key, hash_key, sizeof(tally->hash_key));
	for (size_t i = 0; i < SHARDS; i++)
		pthread_mutex_init(&tally->shards[i].lock, NULL); /* cannot fail on Linux */
	return tally;
}

void tally_free(struct tally *tally)
{
	if (!tally)
		return;
	for (size_t i = 0; i < SHARDS; i++) {
		for (size_t b = 0; b < BUCKETS; b++) {
			struct row *row = tally->shards[i].buckets[b];

			while (row) {
				struct row *next = row->next;

				free(row);
				row = next;
			}
		}
		pthread_mutex_destroy(&tally->shards[i].lock);
	}
	free(tally);
}

int tally_claim(struct tally *tally, enum tally_what what, uint32_t max)
{
	_Atomic uint32_t *sum = &tally->sums[what].in_use;
	uint32_t now = atomic_load_explicit(sum, memory_order_relaxed);

	/* Never above, not even for a moment: two who overshoot together would both be refused. */
	do {
		if (now >= max)
			return ERR_LIMIT;
	} while (!atomic_compare_exchange_weak_explicit(sum, &now, now + 1, memory_order_relaxed,
	                                                memory_order_relaxed));
	return ERR_OK;
}

void tally_release(struct tally *tally, enum tally_what what)
{
	uint32_t before =
	    atomic_fetch_sub_explicit(&tally->sums[what].in_use, 1, memory_order_relaxed);

	assert(before > 0);
	(void)before; /* looked at by the assertion only */
}

uint32_t tally_in_use(const struct tally *tally, enum tally_what what)
{
	return atomic_load_explicit(&tally->sums[what].in_use, memory_order_relaxed);
}

static struct row **bucket_of(struct tally *tally, const struct tally_key *key,
                              struct shard **ret_shard)
{
	uint64_t hash;

	crypto_shorthash((uint8_t *)&hash, (const uint8_t *)key, sizeof(*key), tally->hash_key);
	*ret_shard = &tally->shards[hash % SHARDS];
	return &(*ret_shard)->buckets[hash / SHARDS % BUCKETS];
}

/* The link that points at the key's row, or at the end of its bucket. */
static struct row **find(struct row **at, const struct tally_key *key)
{
	while (*at && memcmp(&(*at)->key, key, sizeof(*key)) != 0)
		at = &(*at)->next;
	return at;
}

static int claim(struct row **at, const struct tally_key *key, uint32_t max)
{
	struct row *row = *at;

	if ((row ? row->in_use : 0) >= max)
		return ERR_LIMIT;
	if (!row) {
		row = malloc(sizeof(*row));
		if (!row)
			return ERR_NOMEM;
		*row = (struct row){ .key = *key };
		*at = row;
	}
	row->in_use++;
	return ERR_OK;
}

int tally_claim_of(struct tally *tally, const struct tally_key *key, uint32_t max)
{
	struct shard *shard;
	struct row **bucket = bucket_of(tally, key, &shard);
	int r;

	pthread_mutex_lock(&shard->lock);
	r = claim(find(bucket, key), key, max);
	pthread_mutex_unlock(&shard->lock);
	return r;
}

void tally_release_of(struct tally *tally, const struct tally_key *key)
{
	struct shard *shard;
	struct row **bucket = bucket_of(tally, key, &shard), **at, *gone = NULL;

	pthread_mutex_lock(&shard->lock);
	at = find(bucket, key);
	assert(*at);
	if (*at && --(*at)->in_use == 0) {
		gone = *at;
		*at = gone->next;
	}
	pthread_mutex_unlock(&shard->lock);
	free(gone);
}

uint32_t tally_in_use_of(struct tally *tally, const struct tally_key *key)
{
	struct shard *shard;
	struct row **bucket = bucket_of(tally, key, &shard), *row;
	uint32_t in_use;

	pthread_mutex_lock(&shard->lock);
	row = *find(bucket, key);
	in_use = row ? row->in_use : 0;
	pthread_mutex_unlock(&shard->lock);
	return in_use;
}
