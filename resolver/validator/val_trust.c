/* val_trust.c - a set-associative table behind a few locks. */
#include "val_trust.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/cleanup.h"
#include "sallyport/clock.h"
#include "val_failure.h"
#include "val_wire.h"

enum { WAYS = 4, SETS = VAL_TRUST_ROWS / WAYS, LOCKS = 64 };

struct val_table {
	pthread_mutex_t locks[LOCKS]; /* of set i: i % LOCKS; held for a few comparisons */
	uint8_t key[crypto_shorthash_KEYBYTES];
	_Atomic uint32_t n_keys;            /* in all rows */
	_Atomic uint32_t hand;              /* whose rows with keys go next for room, in turn */
	struct val_trust *rows[SETS][WAYS]; /* newest first */
};

_Static_assert(crypto_shorthash_KEYBYTES == 16, "as the header says");

struct val_trust *val_trust_new(const uint8_t *name, enum val_trust_kind kind, enum val_why why,
                                struct val_keys *keys, uint64_t expires_ns)
{
	size_t len = val_name_size(name);
	struct val_trust *trust = malloc(sizeof(*trust) + len);

	if (!trust)
		return NULL;
	*trust = (struct val_trust){ .kind = (uint8_t)kind,
		                     .why = (uint8_t)why,
		                     .expires_ns = expires_ns,
		                     .keys = keys ? val_keys_ref(keys) : NULL,
		                     .name_len = (uint8_t)len };
	atomic_init(&trust->refs, 1);
	memcpy(trust->name, name, len);
	return trust;
}

struct val_trust *val_trust_ref(struct val_trust *trust)
{
	atomic_fetch_add_explicit(&trust->refs, 1, memory_order_relaxed);
	return trust;
}

void val_trust_unref(struct val_trust *trust)
{
	if (!trust || atomic_fetch_sub_explicit(&trust->refs, 1, memory_order_acq_rel) != 1)
		return;
	val_keys_unref(trust->keys);
	free(trust);
}

struct val_table *val_table_new(const uint8_t hash_key[static 16])
{
	struct val_table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	memcpy(table->key, hash_key, sizeof(table->key));
	for (size_t i = 0; i < LOCKS; i++)
		pthread_mutex_init(&table->locks[i], NULL);
	return table;
}

void val_table_free(struct val_table *table)
{
	if (!table)
		return;
	val_table_clear(table);
	for (size_t i = 0; i < LOCKS; i++)
		pthread_mutex_destroy(&table->locks[i]);
	free(table);
}

static size_t set_of(const struct val_table *table, const uint8_t *name, size_t len)
{
	uint8_t out[crypto_shorthash_BYTES];
	uint64_t hash;

	crypto_shorthash(out, name, len, table->key);
	memcpy(&hash, out, sizeof(hash));
	return hash % SETS;
}

/* Its row, under the set's lock; NULL: none. */
static struct val_trust *row_of(struct val_table *table, size_t set, const uint8_t *name,
                                size_t len)
{
	for (size_t i = 0; i < WAYS && table->rows[set][i]; i++) {
		struct val_trust *row = table->rows[set][i];

		if (row->name_len == len && memcmp(row->name, name, len) == 0)
			return row;
	}
	return NULL;
}

struct val_trust *val_table_get(struct val_table *table, const uint8_t *name, uint64_t now_ns)
{
	size_t len = val_name_size(name), set = set_of(table, name, len);
	struct val_trust *row;

	pthread_mutex_lock(&table->locks[set % LOCKS]);
	row = row_of(table, set, name, len);
	row = row && now_ns < row->expires_ns ? val_trust_ref(row) : NULL;
	pthread_mutex_unlock(&table->locks[set % LOCKS]);
	return row;
}

static uint32_t keys_of(const struct val_trust *row)
{
	return row && row->keys ? row->keys->n : 0;
}

/* Out of its set, under whose lock. */
static struct val_trust *take_out(struct val_trust **rows, size_t i)
{
	struct val_trust *row = rows[i];

	memmove(&rows[i], &rows[i + 1], (WAYS - 1 - i) * sizeof(rows[0]));
	rows[WAYS - 1] = NULL;
	return row;
}

/* The next row with keys goes, but not @but. False: it has been once around. */
static bool make_room(struct val_table *table, const struct val_trust *but)
{
	for (size_t n = 0; n < SETS; n++) {
		size_t set =
		    atomic_fetch_add_explicit(&table->hand, 1, memory_order_relaxed) % SETS;
		struct val_trust **rows = table->rows[set], *gone = NULL;

		pthread_mutex_lock(&table->locks[set % LOCKS]);
		for (size_t i = 0; i < WAYS && !gone; i++) {
			if (rows[i] != but && keys_of(rows[i]) > 0)
				gone = take_out(rows, i);
		}
		pthread_mutex_unlock(&table->locks[set % LOCKS]);
		if (!gone)
			continue;
		atomic_fetch_sub_explicit(&table->n_keys, keys_of(gone), memory_order_relaxed);
		val_trust_unref(gone);
		return true;
	}
	return false;
}

bool val_table_put(struct val_table *table, struct val_trust *trust)
{
	size_t set = set_of(table, trust->name, trust->name_len), i;
	struct val_trust **rows = table->rows[set], *gone;
	bool crowded = false;

	atomic_fetch_add_explicit(&table->n_keys, keys_of(trust), memory_order_relaxed);
	pthread_mutex_lock(&table->locks[set % LOCKS]);
	for (i = 0; i < WAYS - 1 && rows[i]; i++) {
		if (rows[i]->name_len == trust->name_len &&
		    memcmp(rows[i]->name, trust->name, trust->name_len) == 0)
			break;
	}
	gone = rows[i];
	memmove(&rows[1], &rows[0], i * sizeof(rows[0]));
	rows[0] = val_trust_ref(trust);
	pthread_mutex_unlock(&table->locks[set % LOCKS]);
	atomic_fetch_sub_explicit(&table->n_keys, keys_of(gone), memory_order_relaxed);
	val_trust_unref(gone);
	while (keys_of(trust) > 0 &&
	       atomic_load_explicit(&table->n_keys, memory_order_relaxed) > LIMIT_VAL_KEYS_ALL &&
	       make_room(table, trust))
		crowded = true;
	return crowded;
}

void val_table_forget(struct val_table *table, const uint8_t *name)
{
	size_t len = val_name_size(name), set = set_of(table, name, len);
	struct val_trust *row;

	pthread_mutex_lock(&table->locks[set % LOCKS]);
	row = row_of(table, set, name, len);
	if (row)
		row->expires_ns = 0; /* which is read under the lock alone */
	pthread_mutex_unlock(&table->locks[set % LOCKS]);
}

uint8_t val_table_streak(struct val_table *table, const uint8_t *name, uint64_t now_ns)
{
	size_t len = val_name_size(name), set = set_of(table, name, len);
	const struct val_trust *row;
	uint8_t streak = 0;

	pthread_mutex_lock(&table->locks[set % LOCKS]);
	row = row_of(table, set, name, len);
	/* Within its time it is one failure, whoever finds it. */
	if (row && row->kind == VAL_TRUST_BOGUS &&
	    now_ns < row->held_ns + VAL_FAILURE_MAX_S * NS_PER_S)
		streak = (uint8_t)MIN(row->streak + (now_ns >= row->held_ns), 255);
	pthread_mutex_unlock(&table->locks[set % LOCKS]);
	return streak;
}

void val_table_clear(struct val_table *table)
{
	for (size_t set = 0; set < SETS; set++) {
		pthread_mutex_lock(&table->locks[set % LOCKS]);
		for (size_t i = 0; i < WAYS; i++) {
			atomic_fetch_sub_explicit(&table->n_keys, keys_of(table->rows[set][i]),
			                          memory_order_relaxed);
			val_trust_unref(table->rows[set][i]);
			table->rows[set][i] = NULL;
		}
		pthread_mutex_unlock(&table->locks[set % LOCKS]);
	}
}
