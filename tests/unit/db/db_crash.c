/* tests/unit/db/db_crash.c - killed at every step, and yet each query exactly once.
 *
 * A child plays the historian and dies at its Nth step: a write, a sync, a lock of SQLite's, or one
 * of the historian's own steps between two durable changes. A successor takes up what is left. N
 * counts up until a child lives to the end, so every step is tried.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sqlite3.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "kit.h"
#include "sallyport/cleanup.h"
#include "sallyport/clock.h"
#include "sallyport/shm.h"

#define STEPS_MAX 4000

#define STRIDE 23 /* another first step in each test */

#define QUERIES 40 /* of which a quarter are denials, on two days, folded in pairs */

static void ask_all(struct kit *kit, int batch)
{
	for (int i = 0; i < QUERIES; i++) {
		char name[64];
		const struct kit_query q = {
			.name = name,
			.verdict = i % 4 ? VERDICT_ALLOW : VERDICT_DENY,
			.answer = (uint8_t)(i % 4 ? 1 + i % 3 : 0),
			/* Some belong to yesterday. */
			.age_ns = i % 8 >= 6 ? 13 * UINT64_C(3600) * NS_PER_S : 0,
		};

		snprintf(name, sizeof(name), "q%d-%d.test.", batch, i / 8 * 8 + i % 8 / 2 * 2);
		kit_ask(kit, (unsigned int)i % KIT_RINGS, &q);
	}
}

static void play(struct kit *kit, bool to_the_end)
{
	struct historian *h;

	kit->options.on_step = kit_step;
	h = kit_historian(kit);
	kit_tick(kit, h);
	kit_pass(kit, 1000);
	kit_tick(kit, h);
	if (to_the_end)
		historian_stop(h, kit->wall_ns, kit->boot_ns);
	historian_free(h);
}

static void live(struct kit *kit)
{
	play(kit, true);
}

/* The files cannot be opened at first: what they may hold already is asked later. */
static void live_and_ask_late(struct kit *kit)
{
	struct historian *h;

	kit->options.on_step = kit_step;
	kit_vfs.disk = KIT_DISK_SHUT;
	h = kit_historian(kit);
	kit_tick(kit, h);
	kit_vfs.disk = KIT_DISK_FINE;
	kit_pass(kit, 10000);
	kit_tick(kit, h);
	historian_stop(h, kit->wall_ns, kit->boot_ns);
	historian_free(h);
}

/* The child dies at step @n of its life; returns false when it lived. */
static bool child_dies_at(struct kit *kit, uint64_t n, enum kit_disk disk,
                          void (*life)(struct kit *kit))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		kit_vfs.die_after = n;
		kit_vfs.disk = disk;
		life(kit);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || (WEXITSTATUS(status) != KIT_DIED && WEXITSTATUS(status) != 0))
		fail_msg("step %llu: the child ended with status %#x", (unsigned long long)n,
		         (unsigned int)status);
	return WEXITSTATUS(status) == KIT_DIED;
}

static void check(const struct kit *kit, unsigned int batches, uint64_t n, const char *what)
{
	struct kit_sums sums = kit_sum(kit);

	if (sums.queries != batches * QUERIES || sums.denied != batches * QUERIES / 4 ||
	    sums.gaps != 0)
		fail_msg("%s, step %llu: %llu queries, %llu denied, %llu gaps (%#x)", what,
		         (unsigned long long)n, (unsigned long long)sums.queries,
		         (unsigned long long)sums.denied, (unsigned long long)sums.gaps,
		         sums.causes);
}

static void each_query_is_there_once_whatever_step_it_died_at(void **state)
{
	bool died = true;
	uint64_t n;

	(void)state;
	for (n = 1; died; n += kit_stride(STRIDE)) {
		struct kit kit;

		assert_true(n < STEPS_MAX);
		kit_init(&kit, 1024);
		kit_vfs_install();
		ask_all(&kit, 0);
		died = child_dies_at(&kit, n, KIT_DISK_FINE, live);
		kit_pass(&kit, 100);
		ask_all(&kit, 1); /* what comes while nobody reads */
		kit_vfs = (struct kit_vfs){ 0 };
		play(&kit, true);
		check(&kit, 2, n, "one death");
		kit_fini(&kit);
	}
	print_message("%llu steps\n", (unsigned long long)n);
	assert_true(n > 50); /* or the steps were not counted */
}

/* The backlog in play: the disk refuses, a save releases the rings, and then it dies. */
static void the_backlog_is_written_once_whatever_step_it_died_at(void **state)
{
	bool died = true;
	uint64_t n;

	(void)state;
	for (n = MIN(kit_stride(STRIDE), 4); died; n += kit_stride(STRIDE)) {
		struct kit kit;

		assert_true(n < STEPS_MAX);
		kit_init(&kit, 1024);
		kit_vfs_install();
		ask_all(&kit, 0);
		child_dies_at(&kit, 0, KIT_DISK_FULL,
		              live); /* lives: everything is in the backlog now */
		assert_int_equal(atomic_load(&kit.producers[0].back->tail),
		                 atomic_load(&kit.producers[0].head->head));
		ask_all(&kit, 1);
		kit_pass(&kit, 100);
		died = child_dies_at(&kit, n, KIT_DISK_FINE, live);
		kit_vfs = (struct kit_vfs){ 0 };
		play(&kit, true);
		check(&kit, 2, n, "backlog");
		kit_fini(&kit);
	}
	assert_true(n > 50);
}

/* What nobody could say at the start is asked once the files can be opened, and then written under
 * another token than the one that it was kept under. */
static void what_was_held_is_written_once_whatever_step_it_died_at(void **state)
{
	bool died = true;
	uint64_t n;

	(void)state;
	for (n = 1; died; n += kit_stride(STRIDE)) {
		struct kit kit;

		assert_true(n < STEPS_MAX);
		kit_init(&kit, 1024);
		kit_vfs_install();
		ask_all(&kit, 0);
		child_dies_at(&kit, 0, KIT_DISK_FULL, live);
		ask_all(&kit, 1);
		kit_pass(&kit, 100);
		died = child_dies_at(&kit, n, KIT_DISK_FINE, live_and_ask_late);
		kit_vfs = (struct kit_vfs){ 0 };
		play(&kit, true);
		check(&kit, 2, n, "held");
		kit_fini(&kit);
	}
	assert_true(n > 50);
}

static sqlite3 *read_along(const struct kit *kit, const char *file)
{
	char path[128];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/%s", kit->dir, file);
	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "SELECT count(*) FROM query", NULL, NULL, NULL),
	                 SQLITE_OK);
	return db;
}

/* While somebody has a file open, who opens it next does not look for the end of its log: what was
 * written whole and not yet entered into the log's index is not there. It is, once everybody has
 * gone and the index is made anew. */
static void who_reads_along_makes_nothing_count_twice(void **state)
{
	bool died = true;
	uint64_t n;

	(void)state;
	for (n = 1; died; n++) {
		struct kit kit;
		sqlite3 *allow, *deny;

		assert_true(n < STEPS_MAX);
		kit_init(&kit, 1024);
		kit_vfs_install();
		ask_all(&kit, 0);
		child_dies_at(&kit, 0, KIT_DISK_FINE, live);
		allow = read_along(&kit, "2026-11-23.allow.db");
		deny = read_along(&kit, "2026-11-23.deny.db");
		ask_all(&kit, 1);
		kit_vfs = (struct kit_vfs){ .die_at_sync = n };
		died = child_dies_at(&kit, 0, KIT_DISK_FINE, live);
		/* A successor asks the files, and has no room to write what they say they lack. */
		kit_vfs = (struct kit_vfs){ 0 };
		child_dies_at(&kit, 0, KIT_DISK_FULL, live);
		sqlite3_close(allow);
		sqlite3_close(deny);
		play(&kit, true);
		check(&kit, 2, n, "a reader");
		kit_fini(&kit);
	}
	assert_true(n > 3);
}

static void gaps_are_told_once_whatever_step_it_died_at(void **state)
{
	const struct kit_query denied = { .verdict = VERDICT_DENY };
	bool died = true;

	(void)state;
	for (uint64_t n = MIN(kit_stride(STRIDE), 7); died; n += kit_stride(STRIDE)) {
		struct kit kit;
		struct kit_sums sums;

		assert_true(n < STEPS_MAX);
		kit_init(&kit, 1024);
		kit_vfs_install();
		kit_ask(&kit, 0, &denied);
		atomic_fetch_add(&kit.producers[0].head->offered[VERDICT_ALLOW], 7);
		atomic_fetch_add(&kit.producers[0].head->lost[VERDICT_ALLOW], 7);
		atomic_fetch_add(&kit.producers[1].head->kernel_drops, 5);
		ring_taken(&kit.producers[0], 1 + 7 + 4); /* four were in flight */
		/* Put, never published: the producer died in between. */
		kit_put(&kit, 1, &denied);
		died = child_dies_at(&kit, n, KIT_DISK_FINE, live);
		play(&kit, true);
		sums = kit_sum(&kit);
		if (sums.lost[VERDICT_ALLOW] != 7 || sums.lost[VERDICT_DENY] != 1 ||
		    sums.kernel_drops != 5 + 4 || sums.queries != 1)
			fail_msg("step %llu: lost %llu allowed, %llu denied, %llu dropped",
			         (unsigned long long)n,
			         (unsigned long long)sums.lost[VERDICT_ALLOW],
			         (unsigned long long)sums.lost[VERDICT_DENY],
			         (unsigned long long)sums.kernel_drops);
		assert_int_equal(sums.causes, 1u << HISTORY_GAP_RING | 1u << HISTORY_GAP_KERNEL |
		                                  1u << HISTORY_GAP_CRASH);
		kit_fini(&kit);
	}
}

/* Deaths in a row, each a little later, while queries keep coming. */
static void many_deaths_in_a_row_lose_nothing(void **state)
{
	struct kit kit;
	unsigned int batches = 0;

	(void)state;
	kit_init(&kit, 8192);
	kit_vfs_install();
	for (uint64_t n = 3; n < 150; n += 21) {
		ask_all(&kit, (int)batches++);
		child_dies_at(&kit, n, n % 2 ? KIT_DISK_FINE : KIT_DISK_FULL, live);
		kit_pass(&kit, 300);
	}
	kit_vfs = (struct kit_vfs){ 0 };
	play(&kit, true);
	check(&kit, batches, 0, "many deaths");
	kit_fini(&kit);
}

#define MANY 70000 /* of one ring: more than memory takes before another is looked at */

/* It died between the commits and the save: files and backlog tell of different moments. The
 * successor has to write before it has read again what is in the files. */
static void a_batch_before_all_is_read_again_repeats_nothing(void **state)
{
	struct kit kit;
	struct historian *h;
	struct ring_back *backs[KIT_RINGS];
	uint64_t tails[KIT_RINGS];
	struct kit_sums sums;
	uint8_t *area;
	size_t len;

	(void)state;
	kit_init(&kit, 1 << 19);
	h = kit_historian(&kit);
	kit_tick(&kit, h);
	area = malloc(kit.area_len);
	assert_non_null(area);
	memcpy(area, kit.area, kit.area_len);
	for (int i = 0; i < KIT_RINGS; i++) {
		assert_int_equal(shm_map(kit.back_fd[i], SHM_WRITE, sizeof(struct ring_back),
		                         (void **)&backs[i], &len),
		                 0);
		tails[i] = atomic_load(&backs[i]->tail);
	}
	for (int i = 0; i < QUERIES; i++)
		kit_ask(&kit, 1,
		        &(struct kit_query){ .verdict = i % 4 ? VERDICT_ALLOW : VERDICT_DENY,
		                             .port = (uint16_t)(1024 + i) });
	kit_pass(&kit, 1000);
	kit_tick(&kit, h);
	historian_free(h);
	memcpy(kit.area, area, kit.area_len);
	for (int i = 0; i < KIT_RINGS; i++) {
		atomic_store(&backs[i]->tail, tails[i]);
		munmap(backs[i], len);
	}
	free(area);

	for (int i = 0; i < MANY; i++) {
		char name[32];

		snprintf(name, sizeof(name), "n%d.test.", i);
		assert_true(kit_ask(&kit, 0,
		                    &(struct kit_query){ .name = name, .verdict = VERDICT_ALLOW }));
	}
	h = kit_historian(&kit);
	for (int i = 0; i < 4; i++) {
		kit_tick(&kit, h);
		kit_pass(&kit, 1000);
	}
	kit_stop(&kit, h);
	sums = kit_sum(&kit);
	assert_int_equal(sums.queries, MANY + QUERIES);
	assert_int_equal(sums.denied, QUERIES / 4);
	assert_int_equal(sums.gaps, 0);
	kit_fini(&kit);
}

static void a_damaged_backlog_falls_back_to_the_half_before(void **state)
{
	struct kit kit;
	struct historian *h;

	(void)state;
	kit_init(&kit, 1024);
	kit_vfs_install();
	ask_all(&kit, 0);
	h = kit_historian(&kit);
	kit_tick(&kit, h);
	historian_free(h);
	/* Both halves: then the rings alone are left, and what the files know of them. */
	memset((uint8_t *)kit.area + 4096, 0xa5, 64);
	memset((uint8_t *)kit.area + kit.area_len / 2 + 4096, 0xa5, 64);
	ask_all(&kit, 1);
	h = kit_historian(&kit);
	kit_stop(&kit, h);

	struct kit_sums sums = kit_sum(&kit);

	assert_int_equal(sums.queries, 2 * QUERIES);
	assert_int_equal(sums.causes,
	                 1u << HISTORY_GAP_AREA); /* told, although nothing is missing */
	kit_fini(&kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_query_is_there_once_whatever_step_it_died_at),
		cmocka_unit_test(the_backlog_is_written_once_whatever_step_it_died_at),
		cmocka_unit_test(what_was_held_is_written_once_whatever_step_it_died_at),
		cmocka_unit_test(who_reads_along_makes_nothing_count_twice),
		cmocka_unit_test(gaps_are_told_once_whatever_step_it_died_at),
		cmocka_unit_test(many_deaths_in_a_row_lose_nothing),
		cmocka_unit_test(a_batch_before_all_is_read_again_repeats_nothing),
		cmocka_unit_test(a_damaged_backlog_falls_back_to_the_half_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
