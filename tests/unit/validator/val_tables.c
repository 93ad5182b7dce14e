/* tests/unit/validator/val_tables.c - what is kept of zones, and of what has failed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "records.h"
#include "sallyport/clock.h"
#include "sallyport/cleanup.h"
#include "val_failure.h"
#include "val_trust.h"

static struct world world;

static int open_world(void **state)
{
	(void)state;
	world_init(&world);
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	world_fini(&world);
	return 0;
}

static void put_row(struct val_table *table, const char *name, enum val_trust_kind kind,
                    uint64_t expires_ns)
{
	CLEANUP(val_trust_unref)
	struct val_trust *trust =
	    val_trust_new(records_name(&world, name), kind, VAL_WHY_NO_DS, NULL, expires_ns);

	assert_non_null(trust);
	(void)val_table_put(table, trust);
}

static int kind_of(struct val_table *table, const char *name, uint64_t now_ns)
{
	CLEANUP(val_trust_unref)
	struct val_trust *trust = val_table_get(table, records_name(&world, name), now_ns);

	return trust ? trust->kind : -1;
}

static void the_table_keeps_the_newest_row_until_its_time(void **state)
{
	static const uint8_t key[16] = { 1 };
	CLEANUP(val_table_free) struct val_table *table = val_table_new(key);

	(void)state;
	put_row(table, "a.example.", VAL_TRUST_NO_CUT, 100);
	put_row(table, "b.example.", VAL_TRUST_INSECURE, 200);
	assert_int_equal(kind_of(table, "a.example.", 99), VAL_TRUST_NO_CUT);
	assert_int_equal(kind_of(table, "a.example.", 100), -1);
	assert_int_equal(kind_of(table, "b.example.", 100), VAL_TRUST_INSECURE);
	assert_int_equal(kind_of(table, "example.", 0), -1);
	put_row(table, "a.example.", VAL_TRUST_BOGUS, 300);
	assert_int_equal(kind_of(table, "a.example.", 99), VAL_TRUST_BOGUS);
	val_table_clear(table);
	assert_int_equal(kind_of(table, "a.example.", 99), -1);
}

static void the_table_is_bounded_and_forgets_the_oldest(void **state)
{
	static const uint8_t key[16] = { 1 };
	CLEANUP(val_table_free) struct val_table *table = val_table_new(key);
	unsigned int n_kept = 0, n_late = 0;
	char name[32];

	(void)state;
	for (unsigned int i = 0; i < 3 * VAL_TRUST_ROWS; i++) {
		snprintf(name, sizeof(name), "n%u.", i);
		put_row(table, name, VAL_TRUST_NO_CUT, UINT64_MAX);
	}
	for (unsigned int i = 0; i < 3 * VAL_TRUST_ROWS; i++) {
		snprintf(name, sizeof(name), "n%u.", i);
		n_kept += kind_of(table, name, 0) >= 0;
		if (i >= 3 * VAL_TRUST_ROWS - 1000)
			n_late += kind_of(table, name, 0) >= 0;
	}
	assert_true(n_kept <= VAL_TRUST_ROWS);
	assert_true(n_kept > VAL_TRUST_ROWS * 9 / 10);
	assert_true(n_late > 990); /* of a thousand newest */
}

/* A zone with as many keys as are kept of one; true: others went for it. */
static bool put_zone(struct val_table *table, const char *name)
{
	CLEANUP(val_keys_unref) struct val_keys *keys = calloc(1, sizeof(*keys));
	CLEANUP(val_trust_unref) struct val_trust *trust = NULL;

	assert_non_null(keys);
	atomic_init(&keys->refs, 1);
	keys->n = LIMIT_VAL_KEYS;
	trust = val_trust_new(records_name(&world, name), VAL_TRUST_SECURE, VAL_WHY_NONE, keys,
	                      UINT64_MAX);
	assert_non_null(trust);
	return val_table_put(table, trust);
}

/* Rows alone are no bound: 32 keys of P-384 in each would take more than a gigabyte. */
static void the_keys_of_all_zones_are_bounded(void **state)
{
	enum { FIT = LIMIT_VAL_KEYS_ALL / LIMIT_VAL_KEYS };
	static const uint8_t key[16] = { 1 };
	CLEANUP(val_table_free) struct val_table *table = val_table_new(key);
	unsigned int n_kept = 0, n_crowded = 0;
	char name[32];

	(void)state;
	put_row(table, "plain.", VAL_TRUST_NO_CUT, UINT64_MAX);
	for (unsigned int i = 0; i < 3 * FIT; i++) {
		snprintf(name, sizeof(name), "n%u.", i);
		n_crowded += put_zone(table, name);
		assert_int_equal(kind_of(table, name, 0), VAL_TRUST_SECURE);
	}
	for (unsigned int i = 0; i < 3 * FIT; i++) {
		snprintf(name, sizeof(name), "n%u.", i);
		n_kept += kind_of(table, name, 0) >= 0;
	}
	assert_in_range(n_kept, FIT * 9 / 10, FIT);
	assert_in_range(n_crowded, 2 * FIT - FIT / 10, 2 * FIT);
	assert_int_equal(kind_of(table, "plain.", 0), VAL_TRUST_NO_CUT); /* it takes no keys */
	/* Told again it counts once, and what has gone does not count at all. */
	for (unsigned int i = 0; i < 3; i++)
		put_zone(table, name);
	val_table_clear(table);
	for (unsigned int i = 0; i < FIT; i++) {
		snprintf(name, sizeof(name), "m%u.", i);
		assert_false(put_zone(table, name));
	}
}

static void a_failure_is_held_longer_each_time(void **state)
{
	static const uint8_t key[16] = { 3 }, name[] = "\7example";
	static const uint32_t holds_s[] = { 5, 10, 20, 40, 80, 160, 300, 300 };
	CLEANUP(val_failures_free) struct val_failures *failures = val_failures_new(key);
	struct val_failure failure = { .why = VAL_WHY_SIGNATURE, .type = 1, .tag = 7 }, got;
	uint64_t now = NS_PER_S;

	(void)state;
	assert_non_null(failures);
	assert_false(val_failures_get(failures, name, 1, now, &got));
	for (size_t i = 0; i < ARRAY_LEN(holds_s); i++) {
		val_failures_put(failures, name, 1, now, &failure);
		assert_int_equal(failure.until_ns - now, holds_s[i] * NS_PER_S);
		/* again within its time: the same failure */
		val_failures_put(failures, name, 1, now, &failure);
		assert_int_equal(failure.until_ns - now, holds_s[i] * NS_PER_S);
		assert_true(val_failures_get(failures, name, 1, failure.until_ns - 1, &got));
		assert_int_equal(got.why, VAL_WHY_SIGNATURE);
		assert_int_equal(got.tag, 7);
		assert_false(val_failures_get(failures, name, 28, now, &got));
		now = failure.until_ns;
		assert_false(val_failures_get(failures, name, 1, now, &got));
	}
	/* long after, or once it was good: a first one */
	now += VAL_FAILURE_MAX_S * NS_PER_S;
	val_failures_put(failures, name, 1, now, &failure);
	assert_int_equal(failure.until_ns - now, 5 * NS_PER_S);
	val_failures_put(failures, name, 1, failure.until_ns, &failure);
	assert_int_equal(failure.streak, 1);
	val_failures_forget(failures, name, 1);
	val_failures_put(failures, name, 1, now, &failure);
	assert_int_equal(failure.streak, 0);
	val_failures_clear(failures);
	assert_false(val_failures_get(failures, name, 1, now, &got));
}

/* What only follows from another failure ends with that, and is no failure more of its own. */
static void a_failure_that_follows_from_another_ends_with_it(void **state)
{
	static const uint8_t key[16] = { 3 }, name[] = "\7example";
	CLEANUP(val_failures_free) struct val_failures *failures = val_failures_new(key);
	struct val_failure failure = { .why = VAL_WHY_NO_SEP, .type = 48, .tag = 7 }, got;

	(void)state;
	assert_non_null(failures);
	for (uint64_t end = 100; end < 10000; end += 100) {
		val_failures_follow(failures, name, 1, end, &failure);
		assert_true(val_failures_get(failures, name, 1, end - 1, &got));
		assert_int_equal(got.why, VAL_WHY_NO_SEP);
		assert_int_equal(got.tag, 7);
		assert_int_equal(got.streak, 0);
		assert_false(val_failures_get(failures, name, 1, end, &got));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_keeps_the_newest_row_until_its_time),
		cmocka_unit_test(the_table_is_bounded_and_forgets_the_oldest),
		cmocka_unit_test(the_keys_of_all_zones_are_bounded),
		cmocka_unit_test(a_failure_is_held_longer_each_time),
		cmocka_unit_test(a_failure_that_follows_from_another_ends_with_it),
	};

	return cmocka_run_group_tests(tests, open_world, close_world);
}
