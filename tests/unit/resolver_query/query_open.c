/* tests/unit/resolver_query/query_open.c - TTLs and lives: the inequality behind promise P1. */
#include "query_open.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "held.h"
#include "sallyport/clock.h"
#include "worker.h"

static const struct {
	const char *title;
	uint32_t floor_s, grace_s, max_s, left_s;
	uint32_t want_ttl_s, want_life_s;
} life_cases[] = {
	{ "TTL 0 gets the floor", 30, 60, 3600, 0, 0, 91 },
	{ "TTL 1 gets the floor", 30, 60, 3600, 1, 1, 91 },
	{ "a TTL at the floor", 30, 60, 3600, 30, 30, 91 },
	{ "a TTL above the floor", 30, 60, 3600, 300, 300, 361 },
	{ "the longest that max leaves whole", 30, 60, 3600, 3539, 3539, 3600 },
	{ "max - grace", 30, 60, 3600, 3540, 3540, 3600 },
	{ "a day is capped", 30, 60, 3600, 86400, 3540, 3600 },
	{ "no grace", 0, 0, 3600, 300, 300, 301 },
	{ "a floor above max is max", 9000, 60, 3600, 10, 10, 3600 },
	{ "no pinhole numbers at all open for a second and serve nothing", 0, 0, 0, 300, 0, 1 },
	{ "max below the grace serves TTL 0", 0, 60, 30, 300, 0, 30 },
	{ "the largest numbers do not overflow", UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, 0,
	  UINT32_MAX },
};

static void lives_cover_ttl_grace_and_floor(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(life_cases); i++) {
		struct policy_pinhole p = { life_cases[i].floor_s, life_cases[i].grace_s,
			                    life_cases[i].max_s, 1, 1 };
		uint32_t ttl = open_ttl_wanted(&p, life_cases[i].left_s);
		uint32_t life = open_life_s(&p, ttl);

		if (ttl != life_cases[i].want_ttl_s || life != life_cases[i].want_life_s)
			fail_msg("%s: ttl %u, life %u", life_cases[i].title, ttl, life);
	}
}

static const struct {
	const char *title;
	uint32_t left_ms, wanted_s;
	int want_ttl_s; /* -1: renew */
} held_cases[] = {
	{ "all of it is covered", 361000, 300, 300 },
	{ "just covered", 360000, 300, 300 },
	{ "a second short lowers the TTL", 359999, 300, 299 },
	{ "half is left", 210000, 300, 150 },
	{ "less than half: renew", 209999, 300, -1 },
	{ "only the grace is left: renew", 60000, 300, -1 },
	{ "nothing is wanted and the grace is left", 60000, 0, 0 },
	{ "not even the grace", 59999, 0, -1 },
	{ "expired", 0, 0, -1 },
	{ "one second wanted, none left beyond the grace", 60500, 1, -1 },
};

static void held_pinholes_carry_what_is_left_beyond_the_grace(void **state)
{
	const struct policy_pinhole p = { 30, 60, 3600, 1, 1 };
	const uint64_t now = 5000 * NS_PER_S;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(held_cases); i++) {
		uint32_t ttl = 12345;
		bool held = open_ttl_held(&p, now + held_cases[i].left_ms * NS_PER_MS, now,
		                          held_cases[i].wanted_s, &ttl);

		if (held != (held_cases[i].want_ttl_s >= 0) ||
		    (held && ttl != (uint32_t)held_cases[i].want_ttl_s))
			fail_msg("%s: %s %u", held_cases[i].title, held ? "held" : "renew", ttl);
	}
	uint32_t ttl;

	assert_false(open_ttl_held(&p, 0, now, 0, &ttl)); /* never opened */
	assert_false(open_ttl_held(&p, now - 1, now, 0, &ttl));
}

static uint64_t below(unsigned int *seed, uint64_t n)
{
	return ((uint64_t)rand_r(seed) << 31 | (uint64_t)rand_r(seed)) % n;
}

/* Any numbers, any moment: whatever TTL is served ends, with its grace, before the pinhole does. A
 * form whose TTL max does not cap is opened once for its whole life. */
static void no_ttl_outlives_its_pinhole(void **state)
{
	unsigned int seed = 20261123, renewed = 0;

	(void)state;
	for (unsigned int i = 0; i < 200000; i++) {
		struct policy_pinhole p = { (uint32_t)rand_r(&seed) % 120,
			                    (uint32_t)rand_r(&seed) % 120,
			                    200 + (uint32_t)rand_r(&seed) % 4000, 1, 1 };
		struct form form = { .made_ns = 777 * NS_PER_S + (uint64_t)rand_r(&seed),
			             .min_ttl_s = (uint32_t)rand_r(&seed) % 5000 };
		uint64_t now = form.made_ns + below(&seed, form.min_ttl_s * NS_PER_S + 1);
		uint32_t wanted = open_ttl_wanted(&p, open_left_s(&form, now)), ttl;
		uint64_t until = now + open_life_s(&p, wanted) * NS_PER_S;
		bool capped = open_left_s(&form, now) + p.grace_s + 1 > p.max_s;

		for (unsigned int j = 0; j < 4; j++) {
			wanted = open_ttl_wanted(&p, open_left_s(&form, now));
			if (!open_ttl_held(&p, until, now, wanted, &ttl)) {
				if (!capped)
					fail_msg("%u: renewed without need", i);
				renewed++;
				break;
			}
			if (ttl > wanted || ttl + p.grace_s > p.max_s ||
			    now + (ttl + (uint64_t)p.grace_s) * NS_PER_S > until)
				fail_msg("%u: ttl %u outlives its pinhole", i, ttl);
			now += below(&seed, (wanted + 1) * NS_PER_S);
			if (now >= form.made_ns + form.min_ttl_s * NS_PER_S)
				break;
		}
	}
	assert_true(renewed > 100);
}

/* Its own copy of a row must say what the row says, and nothing of others' rows. */
static void a_forms_copy_of_held_is_of_one_client_workload_and_epoch(void **state)
{
	static const uint8_t key[16] = { 1 }, a[ADDR_LEN] = { 1 }, b[ADDR_LEN] = { 2 };
	struct held *held = held_new(4, key);
	struct worker *worker = calloc(1, sizeof(*worker));
	struct form form = { .uid = 9 };

	(void)state;
	assert_non_null(held);
	assert_non_null(worker);
	worker->held = held;
	assert_int_equal(open_held_until(worker, &form, a, 5, 7), 0);
	open_held_set(worker, &form, a, 5, 7, 1000);
	assert_int_equal(open_held_until(worker, &form, a, 5, 7), 1000);
	assert_int_equal(open_held_until(worker, &form, b, 5, 7), 0);
	assert_int_equal(open_held_until(worker, &form, a, 6, 7), 0);
	assert_int_equal(open_held_until(worker, &form, a, 5, 8), 0);
	/* Another one's does not hide the first one's, which is renewed. */
	open_held_set(worker, &form, b, 5, 7, 2000);
	assert_int_equal(open_held_until(worker, &form, a, 5, 7), 1000);
	open_held_set(worker, &form, a, 5, 7, 3000);
	assert_int_equal(open_held_until(worker, &form, a, 5, 7), 3000);
	assert_int_equal(open_held_until(worker, &form, b, 5, 7), 2000);
	free(worker);
	held_free(held);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lives_cover_ttl_grace_and_floor),
		cmocka_unit_test(held_pinholes_carry_what_is_left_beyond_the_grace),
		cmocka_unit_test(no_ttl_outlives_its_pinhole),
		cmocka_unit_test(a_forms_copy_of_held_is_of_one_client_workload_and_epoch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
