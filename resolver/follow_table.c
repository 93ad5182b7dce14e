/* resolver/follow_table.c - rows by (workload, target), in shards by workload.
 *
 * A workload's rows all lie in one shard, so its number is exact under that shard's lock. Rows of
 * another policy version are dropped together when the first row of a newer one comes.
 */
#include "follow_table.h"

#include <pthread.h>
#include <sodium/crypto_shorthash.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/limits.h"
#include "sallyport/name.h"

#define SHARDS 16
#define BUCKETS 4096
#define SHARD_ROWS 16384        /* of all workloads of a shard together: about 2 MiB */
#define SWEEP_EVERY_NS NS_PER_S /* a full shard is swept for dead rows at most so often */

struct row {
	struct row *next; /* in its bucket */
	uint64_t until_ns;
	uint32_t workload;
	uint8_t target_len, name_len;
	uint8_t names[]; /* target, then name */
};

struct shard {
	pthread_mutex_t lock;
	uint32_t policy_version;
	uint32_t n_rows;
	uint64_t swept_ns;
	struct row *buckets[BUCKETS];
	uint32_t owned[LIMIT_WORKLOADS / SHARDS]; /* rows of workload i * SHARDS + shard */
};

struct follow_table {
	uint8_t key[16];
	struct shard shards[SHARDS];
};

struct follow_table *follow_table_new(const uint8_t hash_key[static 16])
{
	struct follow_table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	memcpy(table->key, hash_key, sizeof(table->key));
	for (size_t i = 0; i < SHARDS; i++)
		pthread_mutex_init(&table->shards[i].lock, NULL); /* cannot fail on Linux */
	return table;
}

static void clear(struct shard *shard)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		struct row *row = shard->buckets[i];

		while (row) {
			struct row *next = row->next;

			free(row);
			row = next;
		}
		shard->buckets[i] = NULL;
	}
	memset(shard->owned, 0, sizeof(shard->owned));
	shard->n_rows = 0;
	shard->swept_ns = 0;
}

void follow_table_free(struct follow_table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < SHARDS; i++) {
		clear(&table->shards[i]);
		pthread_mutex_destroy(&table->shards[i].lock);
	}
	free(table);
}

static size_t bucket_of(const struct follow_table *table, uint32_t workload, const uint8_t *target,
                        size_t target_len)
{
	uint8_t in[sizeof(workload) + NAME_MAX_WIRE];
	uint64_t hash;

	memcpy(in, &workload, sizeof(workload));
	memcpy(in + sizeof(workload), target, target_len);
	crypto_shorthash((uint8_t *)&hash, in, sizeof(workload) + target_len, table->key);
	return (size_t)hash % BUCKETS;
}

static void drop(struct shard *shard, struct row **at)
{
	struct row *row = *at;

	*at = row->next;
	shard->owned[row->workload / SHARDS]--;
	shard->n_rows--;
	free(row);
}

static void sweep(struct shard *shard, uint64_t now_ns)
{
	if (shard->swept_ns && now_ns - shard->swept_ns < SWEEP_EVERY_NS)
		return;
	shard->swept_ns = now_ns;
	for (size_t i = 0; i < BUCKETS; i++) {
		struct row **at = &shard->buckets[i];

		while (*at) {
			if ((*at)->until_ns <= now_ns)
				drop(shard, at);
			else
				at = &(*at)->next;
		}
	}
}

/* The link that points at the row, or at the end of its bucket. Dead rows met on the way go. */
static struct row **find(struct shard *shard, size_t bucket, uint32_t workload,
                         const uint8_t *target, size_t target_len, uint64_t now_ns)
{
	struct row **at = &shard->buckets[bucket];

	while (*at) {
		struct row *row = *at;

		if (row->until_ns <= now_ns) {
			drop(shard, at);
			continue;
		}
		if (row->workload == workload && row->target_len == target_len &&
		    memcmp(row->names, target, target_len) == 0)
			break;
		at = &row->next;
	}
	return at;
}

static int put(struct follow_table *table, struct shard *shard, uint32_t workload,
               const uint8_t *target, const uint8_t *name, uint64_t now_ns, uint64_t until_ns)
{
	int target_len = name_wire_len(target, NAME_MAX_WIRE);
	int name_len = name_wire_len(name, NAME_MAX_WIRE);
	struct row **at, *row;

	if (target_len < 0 || name_len < 0)
		return ERR_MALFORMED;
	at = find(shard, bucket_of(table, workload, target, (size_t)target_len), workload, target,
	          (size_t)target_len, now_ns);
	if (*at) {
		/* The longest chain that leads here counts; two names may lead to one target. */
		if ((*at)->until_ns >= until_ns)
			return ERR_OK;
		drop(shard, at);
	}
	if (shard->owned[workload / SHARDS] >= LIMIT_FOLLOW_TARGETS ||
	    shard->n_rows >= SHARD_ROWS) {
		sweep(shard, now_ns);
		if (shard->owned[workload / SHARDS] >= LIMIT_FOLLOW_TARGETS ||
		    shard->n_rows >= SHARD_ROWS)
			return ERR_LIMIT;
		at = find(shard, bucket_of(table, workload, target, (size_t)target_len), workload,
		          target, (size_t)target_len, now_ns);
	}
	row = malloc(sizeof(*row) + (size_t)target_len + (size_t)name_len);
	if (!row)
		return ERR_NOMEM;
	*row = (struct row){ .next = *at,
		             .until_ns = until_ns,
		             .workload = workload,
		             .target_len = (uint8_t)target_len,
		             .name_len = (uint8_t)name_len };
	memcpy(row->names, target, (size_t)target_len);
	memcpy(row->names + target_len, name, (size_t)name_len);
	*at = row;
	shard->owned[workload / SHARDS]++;
	shard->n_rows++;
	return ERR_OK;
}

int follow_table_put(struct follow_table *table, uint32_t policy_version, uint32_t workload,
                     const uint8_t *target, const uint8_t *name, uint64_t now_ns, uint64_t until_ns)
{
	struct shard *shard;
	int r = ERR_OK;

	if (workload >= LIMIT_WORKLOADS)
		return ERR_LIMIT;
	shard = &table->shards[workload % SHARDS];
	pthread_mutex_lock(&shard->lock);
	if (shard->policy_version < policy_version) {
		clear(shard);
		shard->policy_version = policy_version;
	}
	/* A worker that has not moved on yet: its row would be void already. */
	if (shard->policy_version == policy_version)
		r = put(table, shard, workload, target, name, now_ns, until_ns);
	pthread_mutex_unlock(&shard->lock);
	return r;
}

bool follow_table_get(struct follow_table *table, uint32_t policy_version, uint32_t workload,
                      const uint8_t *target, uint64_t now_ns, uint8_t *ret_name)
{
	int target_len = name_wire_len(target, NAME_MAX_WIRE);
	struct shard *shard;
	bool found = false;

	if (workload >= LIMIT_WORKLOADS || target_len < 0)
		return false;
	shard = &table->shards[workload % SHARDS];
	pthread_mutex_lock(&shard->lock);
	if (shard->policy_version == policy_version && shard->n_rows) {
		const struct row *row =
		    *find(shard, bucket_of(table, workload, target, (size_t)target_len), workload,
		          target, (size_t)target_len, now_ns);

		if (row) {
			memcpy(ret_name, row->names + row->target_len, row->name_len);
			found = true;
		}
	}
	pthread_mutex_unlock(&shard->lock);
	return found;
}
