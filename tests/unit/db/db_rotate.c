/* tests/unit/db/db_rotate.c - days that end, files that grow too old, clocks that jump, gaps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kit.h"
#include "sallyport/cleanup.h"
#include "sallyport/clock.h"

#define DAY_S UINT64_C(86400)

static int setup(void **state)
{
	struct kit *kit;

	kit_setup(state);
	kit = *state;
	kit->options.allow_keep_s = 2 * DAY_S;
	kit->options.deny_keep_s = 5 * DAY_S;
	return 0;
}

/* Time goes by in small steps, as it does. */
static void live(struct kit *kit, struct historian *h, uint64_t seconds)
{
	const uint64_t steps = 64;

	for (uint64_t i = 0; i < steps; i++) {
		kit_pass(kit, seconds * 1000 / steps);
		kit_tick(kit, h);
	}
}

static void ask_both(struct kit *kit)
{
	kit_ask(kit, 0, &(struct kit_query){ .verdict = VERDICT_ALLOW, .answer = 1, .ttl = 60 });
	kit_ask(kit, 0, &(struct kit_query){ .name = "x.evil.test." });
}

static void a_new_day_begins_new_files_and_finishes_the_old(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);
	const _Atomic uint64_t *generation = &kit->producers[0].back->answers_generation;
	uint64_t before;

	kit_answer(kit, 0, 1, "db.example.org.", NULL);
	ask_both(kit);
	kit_tick(kit, h);
	assert_true(kit_exists(kit, "2026-11-23.allow.db-wal"));
	before = atomic_load(generation);

	live(kit, h, 12 * 3600 - 2);
	ask_both(kit); /* the last seconds of the day */
	live(kit, h, 4);
	assert_true(atomic_load(generation) > before); /* producers tell their answers anew */
	ask_both(kit);
	live(kit, h, 200);
	assert_false(kit_exists(kit, "2026-11-23.allow.db-wal"));
	assert_false(kit_exists(kit, "2026-11-23.deny.db-shm"));
	assert_true(kit_exists(kit, "2026-11-24.allow.db-wal"));
	kit_stop(kit, h);
	assert_int_equal(kit_sql(kit, "2026-11-23.allow.db", "SELECT count(*) FROM query"), 2);
	assert_int_equal(kit_sql(kit, "2026-11-24.deny.db", "SELECT count(*) FROM query"), 1);
	/* Self-contained: the new file knows the answer, although it was told yesterday. */
	assert_int_equal(
	    kit_sql(kit, "2026-11-24.allow.db", "SELECT addresses='198.51.100.1' FROM queries"), 1);
}

static void files_left_open_by_a_death_are_finished_on_a_later_day(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);

	ask_both(kit);
	kit_stop(kit, h);
	assert_true(kit_exists(kit, "2026-11-23.allow.db-wal"));
	kit_pass(kit, DAY_S * 1000);
	h = kit_historian(kit);
	kit_tick(kit, h);
	assert_false(kit_exists(kit, "2026-11-23.allow.db-wal"));
	kit_stop(kit, h);
	assert_int_equal(kit_sum(kit).queries, 2);
}

static void whole_files_go_when_they_are_too_old(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);

	ask_both(kit);
	for (int day = 0; day < 4; day++)
		live(kit, h, DAY_S);
	/* It is noon, four days later. */
	assert_false(kit_exists(kit, "2026-11-23.allow.db"));
	assert_true(kit_exists(kit, "2026-11-23.deny.db"));
	live(kit, h, DAY_S);
	assert_true(kit_exists(kit, "2026-11-23.deny.db"));
	live(kit, h, DAY_S / 2 + 3700);
	assert_false(kit_exists(kit, "2026-11-23.deny.db"));
	kit_stop(kit, h);
}

static void a_jump_of_the_clock_is_told_and_deletes_nothing(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);

	ask_both(kit);
	kit_tick(kit, h);
	kit->wall_ns += 400 * DAY_S * NS_PER_S;
	kit_pass(kit, 1000);
	kit_tick(kit, h);
	historian_rotate(h, kit->wall_ns, kit->boot_ns);
	live(kit, h, 2);
	assert_true(kit_exists(kit, "2026-11-23.allow.db"));
	assert_int_equal(kit_sum(kit).causes, 1u << HISTORY_GAP_CLOCK);
	live(kit, h, DAY_S + 7200); /* somebody had a day to set it right, and did not */
	assert_false(kit_exists(kit, "2026-11-23.allow.db"));
	kit_stop(kit, h);
}

static void a_clock_that_jumps_back_and_forth_loses_and_deletes_nothing(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);

	for (int jump = 0; jump < 6; jump++) {
		ask_both(kit);
		live(kit, h, 3);
		/* Over a day's end, over the retention, and back. */
		if (jump % 2)
			kit->wall_ns -= (uint64_t)(jump + 1) * DAY_S * NS_PER_S;
		else
			kit->wall_ns += (uint64_t)(jump + 2) * DAY_S * NS_PER_S;
		historian_rotate(h, kit->wall_ns, kit->boot_ns);
		ask_both(kit);
		live(kit, h, 3);
	}
	kit_stop(kit, h);
	assert_true(kit_exists(kit, "2026-11-23.allow.db"));
	assert_int_equal(kit_sum(kit).queries, 6 * 4);
	assert_int_equal(kit_sum(kit).causes, 1u << HISTORY_GAP_CLOCK);
	assert_int_equal(kit_sum(kit).lost[VERDICT_DENY] + kit_sum(kit).lost[VERDICT_ALLOW], 0);
}

static void a_start_long_after_the_last_file_deletes_nothing_at_once(void **state)
{
	struct kit *kit = *state;

	ask_both(kit);
	kit_stop(kit, kit_historian(kit));
	kit_pass(kit, 400 * DAY_S * 1000);

	struct historian *h = kit_historian(kit);

	kit_tick(kit, h);
	assert_true(kit_exists(kit, "2026-11-23.allow.db"));
	kit_stop(kit, h);
}

static void what_the_ring_lost_is_one_gap_with_exact_counts(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);
	struct kit_sums sums;
	uint64_t lost[2] = { 0 };

	for (int second = 0; second < 3; second++) {
		for (int i = 0; i < 3000; i++) {
			const struct kit_query q = { .verdict = (uint8_t)(i % 3 != 0) };

			if (kit_ask(kit, 0, &q) == 0)
				lost[i % 3 != 0]++;
		}
		kit_pass(kit, 1000);
		kit_tick(kit, h);
	}
	kit_stop(kit, h);
	sums = kit_sum(kit);
	assert_true(lost[VERDICT_ALLOW] > lost[VERDICT_DENY]);
	assert_int_equal(sums.queries + lost[0] + lost[1], 9000);
	assert_int_equal(sums.lost[VERDICT_ALLOW], lost[VERDICT_ALLOW]);
	assert_int_equal(sums.lost[VERDICT_DENY], lost[VERDICT_DENY]);
	assert_int_equal(sums.gaps, 1); /* a lasting shortage is one row */
	assert_int_equal(sums.causes, 1u << HISTORY_GAP_RING);
}

/* In the middle of a batch: put, not yet published. That is no gap. */
static void a_batch_on_its_way_is_no_gap(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);
	const struct kit_query q = { .verdict = VERDICT_ALLOW };

	for (int i = 0; i < 200; i++) {
		kit_put(kit, 0, &q);
		if (i % 4 != 3)
			kit_tick(kit, h);
		ring_publish(&kit->producers[0]);
		kit_pass(kit, 100);
		if (i % 4 == 3)
			kit_tick(kit, h);
	}
	kit_stop(kit, h);
	assert_int_equal(kit_sum(kit).gaps, 0);
	assert_int_equal(kit_sum(kit).queries, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, kit_teardown)
		TEST(a_new_day_begins_new_files_and_finishes_the_old),
		TEST(files_left_open_by_a_death_are_finished_on_a_later_day),
		TEST(whole_files_go_when_they_are_too_old),
		TEST(a_jump_of_the_clock_is_told_and_deletes_nothing),
		TEST(a_clock_that_jumps_back_and_forth_loses_and_deletes_nothing),
		TEST(a_start_long_after_the_last_file_deletes_nothing_at_once),
		TEST(what_the_ring_lost_is_one_gap_with_exact_counts),
		TEST(a_batch_on_its_way_is_no_gap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
