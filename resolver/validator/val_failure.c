/* val_failure.c - one place for each hash, behind a few locks. */
#include "val_failure.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/clock.h"
#include "sallyport/name.h"
#include "val_wire.h"

enum { LOCKS = 64 };

struct row {
	uint64_t hash; /* keyed, so nobody can make another question's */
	struct val_failure failure;
};

struct val_failures {
	pthread_mutex_t locks[LOCKS]; /* of row i: i % LOCKS */
	uint8_t key[crypto_shorthash_KEYBYTES];
	struct row rows[VAL_FAILURE_ROWS];
};

uint32_t val_failure_hold_s(unsigned int streak)
{
	return MIN((uint32_t)VAL_FAILURE_MIN_S << MIN(streak, 16u), (uint32_t)VAL_FAILURE_MAX_S);
}

struct val_failures *val_failures_new(const uint8_t hash_key[static 16])
{
	struct val_failures *failures = calloc(1, sizeof(*failures));

	if (!failures)
		return NULL;
	memcpy(failures->key, hash_key, sizeof(failures->key));
	for (size_t i = 0; i < LOCKS; i++)
		pthread_mutex_init(&failures->locks[i], NULL);
	return failures;
}

void val_failures_free(struct val_failures *failures)
{
	if (!failures)
		return;
	for (size_t i = 0; i < LOCKS; i++)
		pthread_mutex_destroy(&failures->locks[i]);
	free(failures);
}

static uint64_t hash_of(const struct val_failures *failures, const uint8_t *name, uint16_t type)
{
	uint8_t in[2 + NAME_MAX_WIRE], out[crypto_shorthash_BYTES];
	size_t len = val_name_size(name);
	uint64_t hash;

	val_put16(in, type);
	memcpy(in + 2, name, len);
	crypto_shorthash(out, in, 2 + len, failures->key);
	memcpy(&hash, out, sizeof(hash));
	return hash;
}

static struct row *lock_row(struct val_failures *failures, uint64_t hash)
{
	size_t i = hash % VAL_FAILURE_ROWS;

	pthread_mutex_lock(&failures->locks[i % LOCKS]);
	return &failures->rows[i];
}

static void unlock_row(struct val_failures *failures, uint64_t hash)
{
	pthread_mutex_unlock(&failures->locks[hash % VAL_FAILURE_ROWS % LOCKS]);
}

bool val_failures_get(struct val_failures *failures, const uint8_t *name, uint16_t type,
                      uint64_t now_ns, struct val_failure *ret_failure)
{
	uint64_t hash = hash_of(failures, name, type);
	const struct row *row = lock_row(failures, hash);
	bool found = row->hash == hash && now_ns < row->failure.until_ns;

	if (found)
		*ret_failure = row->failure;
	unlock_row(failures, hash);
	return found;
}

/* The same failure again within its time is one failure; long after it, a first one. */
static uint8_t streak_of(const struct row *row, uint64_t hash, uint64_t now_ns)
{
	const struct val_failure *last = &row->failure;

	if (row->hash != hash || last->until_ns == 0 ||
	    now_ns >= last->until_ns + VAL_FAILURE_MAX_S * NS_PER_S)
		return 0;
	if (now_ns < last->until_ns)
		return last->streak;
	return (uint8_t)MIN(last->streak + 1u, 255u);
}

void val_failures_put(struct val_failures *failures, const uint8_t *name, uint16_t type,
                      uint64_t now_ns, struct val_failure *failure)
{
	uint64_t hash = hash_of(failures, name, type);
	struct row *row = lock_row(failures, hash);

	failure->streak = streak_of(row, hash, now_ns);
	failure->until_ns = now_ns + val_failure_hold_s(failure->streak) * NS_PER_S;
	*row = (struct row){ hash, *failure };
	unlock_row(failures, hash);
}

void val_failures_follow(struct val_failures *failures, const uint8_t *name, uint16_t type,
                         uint64_t until_ns, struct val_failure *failure)
{
	uint64_t hash = hash_of(failures, name, type);
	struct row *row = lock_row(failures, hash);

	failure->streak = row->hash == hash ? row->failure.streak : 0;
	failure->until_ns = until_ns;
	*row = (struct row){ hash, *failure };
	unlock_row(failures, hash);
}

void val_failures_forget(struct val_failures *failures, const uint8_t *name, uint16_t type)
{
	uint64_t hash = hash_of(failures, name, type);
	struct row *row = lock_row(failures, hash);

	if (row->hash == hash)
		*row = (struct row){ 0 };
	unlock_row(failures, hash);
}

void val_failures_clear(struct val_failures *failures)
{
	for (size_t i = 0; i < VAL_FAILURE_ROWS; i++) {
		pthread_mutex_lock(&failures->locks[i % LOCKS]);
		failures->rows[i] = (struct row){ 0 };
		pthread_mutex_unlock(&failures->locks[i % LOCKS]);
	}
}
