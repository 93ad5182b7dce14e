/* tests/unit/validator/val_shared.c - the tables that all workers share, used by several at once.
 * What each row holds follows from its name, so that a row in which two were mixed is seen.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sallyport/cleanup.h"
#include "sallyport/name.h"
#include "val_failure.h"
#include "val_seen.h"
#include "val_trust.h"

enum { WORKERS = 4, ROUNDS = 20000, NAMES = 300, ROUNDS_A_CLEAR = 1000 };

static const uint8_t hash_key[16] = { 5 };
static struct val_table *table;
static struct val_failures *failures;
static struct val_seen *seen;

struct worker {
	unsigned int seed, n_known;
	const char *wrong;
};

static void name_of(unsigned int i, uint8_t name[static NAME_MAX_WIRE])
{
	char text[32];

	snprintf(text, sizeof(text), "n%u.example.", i);
	if (name_from_text(text, name) < 0)
		abort();
}

static uint64_t expires_of(unsigned int i)
{
	return 1000 + i;
}

static enum val_trust_kind kind_of(unsigned int i)
{
	return i % 2 ? VAL_TRUST_NO_CUT : VAL_TRUST_INSECURE;
}

static void use_table(struct worker *worker, unsigned int i, const uint8_t *name)
{
	CLEANUP(val_trust_unref) struct val_trust *known = val_table_get(table, name, 0);
	CLEANUP(val_trust_unref) struct val_trust *made = NULL;

	if (known) {
		worker->n_known++;
		if (!name_equal(known->name, name) || known->kind != kind_of(i) || known->tag != i)
			worker->wrong = "a row of the table";
	}
	if (rand_r(&worker->seed) % 8 == 0) {
		val_table_forget(table, name);
		return;
	}
	made = val_trust_new(name, kind_of(i), VAL_WHY_NO_DS, NULL, expires_of(i));
	if (!made)
		return;
	made->tag = (uint16_t)i;
	val_table_put(table, made);
}

static void use_failures(struct worker *worker, unsigned int i, const uint8_t *name)
{
	struct val_failure failure = { .why = VAL_WHY_SIGNATURE, .tag = (uint16_t)i }, known;
	uint64_t now_ns = expires_of(i);

	if (val_failures_get(failures, name, 1, now_ns, &known)) {
		worker->n_known++;
		if (known.tag != i || known.why != VAL_WHY_SIGNATURE || known.until_ns <= now_ns)
			worker->wrong = "a failure";
	}
	switch (rand_r(&worker->seed) % 8) {
	case 0:
		val_failures_forget(failures, name, 1);
		break;
	case 1:
		val_failures_follow(failures, name, 1, now_ns + 1, &failure);
		break;
	default:
		val_failures_put(failures, name, 1, now_ns, &failure);
	}
}

/* A mark that nobody has put is never there, whatever the others write into its row meanwhile. */
static void use_seen(struct worker *worker, unsigned int i)
{
	const struct val_seen_mark mark = { { i, ~(uint64_t)i, i } };
	const struct val_seen_mark never = { { i + 2 * NAMES, i, i } };

	worker->n_known += val_seen_has(seen, &mark);
	if (val_seen_has(seen, &never))
		worker->wrong = "a mark";
	val_seen_put(seen, &mark);
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	uint8_t name[NAME_MAX_WIRE];

	for (unsigned int round = 1; round <= ROUNDS && !worker->wrong; round++) {
		unsigned int i = (unsigned int)rand_r(&worker->seed) % NAMES;

		name_of(i, name);
		use_table(worker, i, name);
		use_failures(worker, i, name);
		use_seen(worker, i);
		if (round % ROUNDS_A_CLEAR == 0) {
			val_table_clear(table);
			val_failures_clear(failures);
		}
	}
	return NULL;
}

static void workers_never_see_half_a_row(void **state)
{
	static struct worker workers[WORKERS];
	pthread_t threads[WORKERS];

	(void)state;
	table = val_table_new(hash_key);
	failures = val_failures_new(hash_key);
	seen = val_seen_new(hash_key);
	assert_true(table && failures && seen);
	for (unsigned int i = 0; i < WORKERS; i++) {
		workers[i].seed = i + 1;
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (unsigned int i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	for (unsigned int i = 0; i < WORKERS; i++) {
		if (workers[i].wrong)
			fail_msg("worker %u saw %s that nobody wrote", i, workers[i].wrong);
		assert_true(workers[i].n_known > ROUNDS);
	}
	val_table_free(table);
	val_failures_free(failures);
	val_seen_free(seen);
}

enum { FIT = LIMIT_VAL_KEYS_ALL / LIMIT_VAL_KEYS, ZONES = FIT * 3 / WORKERS };

/* Zones of one worker's own, each with as many keys as are kept. */
static void *crowd(void *arg)
{
	CLEANUP(val_keys_unref) struct val_keys *keys = calloc(1, sizeof(*keys));
	struct worker *worker = arg;
	uint8_t name[NAME_MAX_WIRE];

	if (!keys)
		abort();
	atomic_init(&keys->refs, 1);
	keys->n = LIMIT_VAL_KEYS;
	for (unsigned int i = 0; i < ZONES; i++) {
		CLEANUP(val_trust_unref) struct val_trust *made = NULL;

		name_of(worker->seed * ZONES + i, name);
		made = val_trust_new(name, VAL_TRUST_SECURE, VAL_WHY_NONE, keys, UINT64_MAX);
		if (made)
			val_table_put(table, made);
	}
	return NULL;
}

static void all_workers_together_keep_so_many_keys(void **state)
{
	static struct worker workers[WORKERS];
	pthread_t threads[WORKERS];
	uint8_t name[NAME_MAX_WIRE];
	unsigned int n_kept = 0;

	(void)state;
	table = val_table_new(hash_key);
	assert_non_null(table);
	for (unsigned int i = 0; i < WORKERS; i++) {
		workers[i].seed = i;
		assert_int_equal(pthread_create(&threads[i], NULL, crowd, &workers[i]), 0);
	}
	for (unsigned int i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	for (unsigned int i = 0; i < WORKERS * ZONES; i++) {
		struct val_trust *known;

		name_of(i, name);
		known = val_table_get(table, name, 0);
		n_kept += known != NULL;
		val_trust_unref(known);
	}
	assert_in_range(n_kept, FIT * 9 / 10, FIT);
	val_table_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(workers_never_see_half_a_row),
		cmocka_unit_test(all_workers_together_keep_so_many_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
