/* tests/unit/db/db_note.c - a disk that refuses, and nobody left who remembers: what is missing is
 * told all the same, exactly, and once. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "kit.h"
#include "note.h"
#include "sallyport/cleanup.h"
#include "sallyport/clock.h"

#define STEPS_MAX 4000

static int setup(void **state)
{
	struct kit *kit;

	kit_setup_disk(state);
	kit = *state;
	kit->options.on_step = kit_step;
	return 0;
}

/* One denial in four; one in five is of yesterday. */
static void ask(struct kit *kit, unsigned int from, unsigned int n)
{
	for (unsigned int i = from; i < from + n; i++) {
		char name[48];
		const struct kit_query q = {
			.name = name,
			.verdict = i % 4 ? VERDICT_ALLOW : VERDICT_DENY,
			.age_ns = i % 5 ? 0 : 13 * UINT64_C(3600) * NS_PER_S,
		};

		snprintf(name, sizeof(name), "n%u.test.", i);
		if (kit_ask(kit, i % KIT_RINGS, &q) == 0)
			fail_msg("%s: the ring is full", name);
	}
}

static void tick(struct kit *kit, struct historian *h, uint64_t ms)
{
	kit_pass(kit, ms);
	kit_tick(kit, h);
}

/* Time enough for whatever is to be told. */
static void next_start(struct kit *kit)
{
	struct historian *h = kit_historian(kit);

	for (int i = 0; i < 4; i++)
		tick(kit, h, 1500);
	/* Its result is nothing to us: the disk may still be full. */
	(void)historian_stop(h, kit->wall_ns, kit->boot_ns);
	historian_free(h);
}

static void check(const struct kit *kit, unsigned int n, const char *what, uint64_t step)
{
	struct kit_sums sums = kit_sum(kit);
	uint64_t denied = sums.denied + sums.lost[VERDICT_DENY];
	uint64_t all = sums.queries + sums.lost[0] + sums.lost[1] + sums.lost[2];

	if (all != n || denied != (n + 3) / 4)
		fail_msg("%s, step %llu: %llu in rows, %llu in all, %llu of them denied; %u asked",
		         what, (unsigned long long)step, (unsigned long long)sums.queries,
		         (unsigned long long)all, (unsigned long long)denied, n);
}

static void what_nobody_could_write_is_told_at_the_next_start(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);
	struct kit_sums sums;

	ask(kit, 0, 100);
	kit_tick(kit, h);
	kit_vfs.disk = KIT_DISK_FULL;
	ask(kit, 100, 200);
	tick(kit, h, 1000);
	ask(kit, 300, 40);
	assert_true(historian_stop(h, kit->wall_ns, kit->boot_ns) < 0);
	historian_free(h);
	kit_all_die(kit);
	next_start(kit); /* still full: it is passed on */
	kit_vfs.disk = KIT_DISK_FINE;
	kit_all_die(kit);
	next_start(kit);
	sums = kit_sum(kit);
	assert_int_equal(sums.queries, 100);
	assert_int_equal(sums.lost[VERDICT_DENY], 60);
	assert_int_equal(sums.lost[VERDICT_ALLOW], 180);
	assert_int_equal(sums.causes, 1u << HISTORY_GAP_AREA);
	kit_all_die(kit);
	next_start(kit);
	check(kit, 340, "once more", 0);
}

/* Killed without a word: what it noted with its last try counts. */
static void a_kill_needs_no_last_words(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);

	kit_vfs.disk = KIT_DISK_FULL;
	ask(kit, 0, 300);
	tick(kit, h, 1000);
	historian_free(h);
	kit_vfs.disk = KIT_DISK_FINE;
	kit_all_die(kit);
	next_start(kit);
	assert_int_equal(kit_sum(kit).rows, 0);
	check(kit, 300, "a kill", 0);
}

static void a_backlog_that_is_still_there_makes_the_note_void(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);

	kit_vfs.disk = KIT_DISK_FULL;
	ask(kit, 0, 300);
	tick(kit, h, 1000);
	assert_true(historian_stop(h, kit->wall_ns, kit->boot_ns) < 0);
	historian_free(h);
	kit_vfs.disk = KIT_DISK_FINE;
	next_start(kit);
	kit_all_die(kit);
	next_start(kit);
	assert_int_equal(kit_sum(kit).queries, 300);
	assert_int_equal(kit_sum(kit).gaps, 0);
}

/* A file that took the batch, though its COMMIT reported an error and then it could not be opened
 * any more: a successor asks it before it tells. */
static void a_file_is_asked_whether_it_lacks_what_the_note_says(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);
	struct kit_sums sums;

	ask(kit, 0, 40);
	kit_tick(kit, h);
	ask(kit, 40, 60);
	kit_vfs.disk = KIT_DISK_UNSURE_SHUT;
	tick(kit, h, 1000);
	ask(kit, 100, 20); /* behind the batch */
	tick(kit, h, 1000);
	assert_true(historian_stop(h, kit->wall_ns, kit->boot_ns) < 0);
	historian_free(h);
	kit_all_die(kit);
	kit_vfs.disk = KIT_DISK_SHUT;
	next_start(kit); /* it cannot ask either */
	kit_all_die(kit);
	kit_vfs.disk = KIT_DISK_FINE;
	next_start(kit);
	sums = kit_sum(kit);
	assert_int_equal(sums.queries, 88); /* yesterday's files were closed */
	check(kit, 120, "asked", 0);
}

static bool child_dies(struct kit *kit, uint64_t n, void (*play)(struct kit *kit, uint64_t n))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		play(kit, n);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || (WEXITSTATUS(status) != KIT_DIED && WEXITSTATUS(status) != 0))
		fail_msg("step %llu: the child ended with status %#x", (unsigned long long)n,
		         (unsigned int)status);
	return WEXITSTATUS(status) == KIT_DIED;
}

static void play_room_again(struct kit *kit, uint64_t n)
{
	struct historian *h = kit_historian(kit);

	ask(kit, 0, 50);
	kit_tick(kit, h);
	kit_vfs.disk = KIT_DISK_FULL;
	ask(kit, 50, 50);
	tick(kit, h, 1000);
	tick(kit, h, 6000);
	kit_vfs = (struct kit_vfs){ .die_after = n };
	tick(kit, h, 10000);
	tick(kit, h, 1000);
	historian_free(h);
}

/* The disk takes it after all, and everything dies at some step of that. */
static void what_was_written_in_the_end_is_not_told_whatever_step_it_died_at(void **state)
{
	bool died = true;

	(void)state;
	for (uint64_t n = 1; died; n += kit_stride(31)) {
		struct kit kit;

		assert_true(n < STEPS_MAX);
		kit_init(&kit, 4096);
		kit.options.on_step = kit_step;
		died = child_dies(&kit, n, play_room_again);
		kit_all_die(&kit);
		kit_pass(&kit, 20000);
		next_start(&kit);
		check(&kit, 100, "room again", n);
		kit_fini(&kit);
	}
}

static void play_telling(struct kit *kit, uint64_t n)
{
	kit_vfs = (struct kit_vfs){ .die_after = n };
	next_start(kit);
}

static void it_is_told_once_whatever_step_it_died_at(void **state)
{
	bool died = true;

	(void)state;
	for (uint64_t n = 1; died; n += kit_stride(43)) {
		struct historian *h;
		struct kit kit;

		assert_true(n < STEPS_MAX);
		kit_init(&kit, 4096);
		kit_vfs.disk = KIT_DISK_FULL;
		kit.options.on_step = kit_step;
		h = kit_historian(&kit);
		ask(&kit, 0, 80);
		assert_true(historian_stop(h, kit.wall_ns, kit.boot_ns) < 0);
		historian_free(h);
		kit_all_die(&kit);
		died = child_dies(&kit, n, play_telling);
		kit_vfs = (struct kit_vfs){ 0 };
		if (n % 2) /* its backlog may live on or not */
			kit_all_die(&kit);
		next_start(&kit);
		check(&kit, 80, "telling", n);
		kit_fini(&kit);
	}
}

static void spoil(const struct kit *kit, off_t at)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/" NOTE_NAME, kit->dir);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "spoilt", 6, at + 100), 6);
	close(fd);
}

static void note_twice(struct kit *kit)
{
	struct historian *h = kit_historian(kit);

	kit_vfs.disk = KIT_DISK_FULL;
	ask(kit, 0, 40);
	tick(kit, h, 1000);
	ask(kit, 40, 40);
	tick(kit, h, 6000);
	historian_free(h);
	kit_vfs.disk = KIT_DISK_FINE;
	kit_all_die(kit);
}

static void a_torn_copy_leaves_the_one_before(void **state)
{
	struct kit *kit = *state;

	note_twice(kit);
	spoil(kit, 0); /* the second one's */
	next_start(kit);
	check(kit, 40, "torn", 0);
}

static void a_damaged_note_is_told_without_counts(void **state)
{
	struct kit *kit = *state;
	struct kit_sums sums;

	note_twice(kit);
	spoil(kit, 0);
	spoil(kit, NOTE_BYTES);
	next_start(kit);
	sums = kit_sum(kit);
	assert_int_equal(sums.causes, 1u << HISTORY_GAP_AREA);
	assert_int_equal(sums.lost[VERDICT_DENY] + sums.lost[VERDICT_ALLOW], 0);
	kit_all_die(kit);
	next_start(kit); /* and that once, too */
	assert_int_equal(kit_sum(kit).gaps, 1);
}

static void cut(const struct kit *kit, off_t size)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/" NOTE_NAME, kit->dir);
	assert_int_equal(truncate(path, size), 0);
}

/* 40 queries are in copy 1, all 80 in copy 0. */
static void a_note_that_was_cut_says_what_is_left_of_it(void **state)
{
	struct kit *kit = *state;
	struct kit_sums sums;

	note_twice(kit);
	cut(kit, NOTE_BYTES + 200);
	next_start(kit);
	check(kit, 80, "the second copy cut", 0);
	kit_all_die(kit);
	note_twice(kit);
	cut(kit, 200);
	next_start(kit);
	sums = kit_sum(kit);
	assert_int_equal(sums.lost[VERDICT_DENY] + sums.lost[VERDICT_ALLOW], 80);
	assert_int_equal(sums.gaps, 2); /* the damage, without counts */
}

/* Yesterday's file cannot be asked: what is asked today does not wait for that. */
static void what_cannot_be_told_yet_holds_nothing_back(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);
	char name[DAY_NAME_LEN], path[256];
	struct kit_sums sums;

	kit_vfs.disk = KIT_DISK_FULL;
	ask(kit, 0, 40);
	tick(kit, h, 1000);
	historian_free(h);
	kit_all_die(kit);
	kit_vfs.disk = KIT_DISK_FINE;
	day_name((uint32_t)(kit->wall_ns / DAY_NS) - 1, DAY_ALLOW, name);
	snprintf(path, sizeof(path), "%s/%s", kit->dir, name);
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0); /* in its way */
	h = kit_historian(kit);
	for (unsigned int i = 1; i <= 5; i++) {
		const struct kit_query q = { .name = "today.test." };

		assert_true(kit_ask(kit, 0, &q) > 0);
		tick(kit, h, 1000);
		assert_int_equal(kit_sum(kit).queries, i);
	}
	assert_true(kit_count(kit, COUNT_HISTORY_ERRORS) > 0);
	assert_int_equal(rmdir(path), 0);
	tick(kit, h, 1000);
	kit_stop(kit, h);
	sums = kit_sum(kit);
	assert_int_equal(sums.queries, 5);
	assert_int_equal(sums.lost[VERDICT_DENY] + sums.lost[VERDICT_ALLOW], 40);
}

static void counts_beyond_reason_are_the_most_that_a_row_holds(void **state)
{
	struct agg_gap all = { 0 };
	const struct agg_gap huge = { .until_us = 1,
		                      .lost = { AGG_GAP_MAX, UINT64_MAX },
		                      .kernel_drops = 1 };

	(void)state;
	for (int i = 0; i < 40; i++)
		agg_gap_join(&all, &huge);
	assert_int_equal(all.lost[0], AGG_GAP_MAX);
	assert_int_equal(all.lost[1], AGG_GAP_MAX);
	assert_int_equal(all.kernel_drops, 40);
}

static void its_room_is_taken_when_there_is_some(void **state)
{
	struct kit *kit = *state;
	struct historian *h;
	char path[256];
	struct stat st;

	snprintf(path, sizeof(path), "%s/" NOTE_NAME, kit->dir);
	assert_int_equal(mkdir(path, 0700), 0); /* in its way */
	h = kit_historian(kit);
	ask(kit, 0, 1);
	kit_tick(kit, h);
	assert_int_equal(rmdir(path), 0);
	ask(kit, 1, 1);
	tick(kit, h, 1000);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 2 * NOTE_BYTES);
	assert_true(st.st_blocks * 512 >= st.st_size); /* none is a hole */
	kit_stop(kit, h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, kit_teardown)
		TEST(what_nobody_could_write_is_told_at_the_next_start),
		TEST(a_kill_needs_no_last_words),
		TEST(a_backlog_that_is_still_there_makes_the_note_void),
		TEST(a_file_is_asked_whether_it_lacks_what_the_note_says),
		TEST(a_torn_copy_leaves_the_one_before),
		TEST(a_damaged_note_is_told_without_counts),
		TEST(a_note_that_was_cut_says_what_is_left_of_it),
		TEST(what_cannot_be_told_yet_holds_nothing_back),
		cmocka_unit_test(counts_beyond_reason_are_the_most_that_a_row_holds),
		TEST(its_room_is_taken_when_there_is_some),
		cmocka_unit_test(what_was_written_in_the_end_is_not_told_whatever_step_it_died_at),
		cmocka_unit_test(it_is_told_once_whatever_step_it_died_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
