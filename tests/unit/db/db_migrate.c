/* tests/unit/db/db_migrate.c - history files of an older and of a newer schema. */
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "kit.h"
#include "sallyport/cleanup.h"
#include "sallyport/clock.h"
#include "schema.h"

#define DAY_S UINT64_C(86400)
#define TODAY "2026-11-23.allow.db"
#define COPY TODAY ".schema-1"

/* What the fixture holds: 5 rows, 6 queries, numbered from here on. */
#define FIXTURE_ID (UINT64_C(1) << 40)
#define FIXTURE_QUERIES 6

/* Make @name from the SQL that lies beside this file. */
static void put_fixture(const struct kit *kit, const char *name, const char *more)
{
	static char sql[65536];
	char path[256];
	sqlite3 *db;
	size_t n;
	FILE *file = fopen(SOURCE_DIR "/history-schema-1.sql", "r");

	assert_non_null(file);
	n = fread(sql, 1, sizeof(sql) - 1, file);
	fclose(file);
	sql[n] = '\0';
	snprintf(path, sizeof(path), "%s/%s", kit->dir, name);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	if (more)
		assert_int_equal(sqlite3_exec(db, more, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* The rows of the id, "name xN " each. */
static void find_id(const struct kit *kit, uint64_t id, char out[static 256])
{
	struct history_filter filter;
	const struct history_row *row;
	struct history_iter *iter;
	struct history *history;
	int r;

	history_filter_init(&filter);
	filter.id = id;
	out[0] = '\0';
	assert_int_equal(history_open(kit->dir, &history, NULL), 0);
	assert_int_equal(history_query(history, &filter, &iter, NULL), 0);
	while ((r = history_next(iter, &row)) > 0)
		snprintf(out + strlen(out), 256 - strlen(out), "%s x%llu ", row->name,
		         (unsigned long long)row->count);
	assert_int_equal(r, 0);
	history_iter_free(iter);
	history_free(history);
}

static const struct {
	const char *title;
	uint64_t id;
	const char *want;
} id_cases[] = {
	{ "a row of its own", FIXTURE_ID + 4, "n4.example.org. x1 " },
	{ "the first of two", FIXTURE_ID + 3, "one.example.org. x2 " },
	{ "the last of two", FIXTURE_ID + 7, "one.example.org. x2 " },
	{ "between two, and nobody's own", FIXTURE_ID + 5, "one.example.org. x2 " },
	{ "before all", FIXTURE_ID - 1, "" },
	{ "behind all", FIXTURE_ID + 8, "" },
};

static void check_ids(const struct kit *kit, const char *when)
{
	for (size_t i = 0; i < ARRAY_LEN(id_cases); i++) {
		char got[256];

		find_id(kit, id_cases[i].id, got);
		if (strcmp(got, id_cases[i].want) != 0)
			fail_msg("%s, %s: got \"%s\"", when, id_cases[i].title, got);
	}
}

static void an_older_file_is_brought_up_and_a_copy_is_kept(void **state)
{
	struct kit *kit = *state;
	struct historian *h;

	put_fixture(kit, TODAY, NULL);
	check_ids(kit, "before");
	h = kit_historian(kit);
	for (int i = 0; i < 3; i++)
		kit_ask(kit, 0, &(struct kit_query){ .verdict = VERDICT_ALLOW });
	kit_stop(kit, h);

	assert_int_equal(kit_sql(kit, TODAY, "PRAGMA user_version"), SCHEMA_VERSION);
	assert_int_equal(kit_sum(kit).queries, FIXTURE_QUERIES + 3);
	assert_int_equal(kit_sum(kit).gaps, 0);
	check_ids(kit, "after");
	assert_int_equal(kit_sql(kit, COPY, "PRAGMA user_version"), 1);
	assert_int_equal(kit_sql(kit, COPY, "SELECT sum(count) FROM queries"), FIXTURE_QUERIES);
	assert_false(kit_exists(kit, COPY "-wal"));
	assert_false(kit_exists(kit, COPY ".part"));
	/* A new file is no other than one that was brought up. */
	kit_pass(kit, DAY_S * 1000);
	h = kit_historian(kit);
	kit_ask(kit, 0, &(struct kit_query){ .verdict = VERDICT_ALLOW });
	kit_stop(kit, h);
	assert_int_equal(
	    kit_sql(kit, "2026-11-24.allow.db",
	            "SELECT count(*) FROM sqlite_schema WHERE type <> 'view'"),
	    kit_sql(kit, TODAY, "SELECT count(*) FROM sqlite_schema WHERE type <> 'view'"));
}

static void a_copy_goes_with_the_file_that_it_is_of(void **state)
{
	struct kit *kit = *state;
	struct historian *h;

	kit->options.allow_keep_s = 2 * DAY_S;
	put_fixture(kit, TODAY, NULL);
	h = kit_historian(kit);
	kit_ask(kit, 0, &(struct kit_query){ .verdict = VERDICT_ALLOW });
	for (int i = 0; i < 100; i++) {
		kit_pass(kit, DAY_S * 10);
		kit_tick(kit, h);
	}
	assert_true(kit_exists(kit, COPY));
	for (int i = 0; i < 300; i++) {
		kit_pass(kit, DAY_S * 10);
		kit_tick(kit, h);
	}
	kit_stop(kit, h);
	assert_false(kit_exists(kit, TODAY));
	assert_false(kit_exists(kit, COPY));
}

static void files_of_days_gone_by_are_read_as_they_are(void **state)
{
	struct kit *kit = *state;

	put_fixture(kit, TODAY, NULL);
	kit_pass(kit, 2 * DAY_S * 1000);

	struct historian *h = kit_historian(kit);

	kit_tick(kit, h);
	kit_stop(kit, h);
	assert_int_equal(kit_sql(kit, TODAY, "PRAGMA user_version"), 1);
	assert_int_equal(kit_sum(kit).queries, FIXTURE_QUERIES);
	check_ids(kit, "two days later");
}

static void a_newer_file_is_left_as_it_is_and_told(void **state)
{
	struct kit *kit = *state;
	struct history *history;
	struct history_iter *iter;
	struct history_filter filter;
	const struct history_row *row;
	struct diag diag;
	char newer[64];
	struct historian *h;

	put_fixture(kit, TODAY, "PRAGMA user_version=99");
	diag_init(&diag);
	history_filter_init(&filter);
	assert_int_equal(history_open(kit->dir, &history, &diag), 0);
	assert_int_equal(history_query(history, &filter, &iter, &diag), 0);
	assert_int_equal(history_next(iter, &row), 0); /* refused, not guessed at */
	history_iter_free(iter);
	history_free(history);
	diag_fini(&diag);

	h = kit_historian(kit);
	kit_ask(kit, 0, &(struct kit_query){ .verdict = VERDICT_ALLOW });
	kit_tick(kit, h);
	kit_stop(kit, h);
	snprintf(newer, sizeof(newer), TODAY ".newer-%llu",
	         (unsigned long long)(kit->wall_ns / NS_PER_S));
	assert_true(kit_exists(kit, newer));
	assert_int_equal(kit_sql(kit, newer, "PRAGMA user_version"), 99);
	assert_int_equal(kit_sql(kit, newer, "SELECT sum(count) FROM queries"), FIXTURE_QUERIES);
	assert_int_equal(kit_count(kit, COUNT_HISTORY_DAMAGED), 0);
	assert_int_equal(kit_sum(kit).queries, 1);
	assert_int_equal(kit_sum(kit).causes, 1u << HISTORY_GAP_DAMAGED);
}

/* The child dies at step @n of bringing the file up; false when it lived. */
static bool dies_at(struct kit *kit, uint64_t n)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct historian *h;

		kit_vfs.steps = 0;
		kit_vfs.die_after = n;
		h = kit_historian(kit);
		kit_tick(kit, h);
		historian_free(h);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status) == KIT_DIED;
}

static void whatever_step_it_dies_at_nothing_is_lost(void **state)
{
	bool died = true;
	uint64_t n;

	(void)state;
	for (n = 1; died; n += 7) {
		struct kit kit;

		assert_true(n < 3000);
		kit_init(&kit, 1024);
		kit_vfs_install();
		put_fixture(&kit, TODAY, NULL);
		kit_ask(&kit, 0, &(struct kit_query){ .verdict = VERDICT_ALLOW });
		died = dies_at(&kit, n);
		kit_vfs = (struct kit_vfs){ 0 };
		kit_stop(&kit, kit_historian(&kit));
		if (kit_sum(&kit).queries != FIXTURE_QUERIES + 1 || kit_sum(&kit).gaps != 0 ||
		    kit_sql(&kit, COPY, "SELECT sum(count) FROM queries") != FIXTURE_QUERIES)
			fail_msg("step %llu", (unsigned long long)n);
		kit_fini(&kit);
	}
	assert_true(n > 60); /* or the steps were not counted */
}

static void count_life(void *arg)
{
	++*(unsigned int *)arg;
}

static void long_work_shows_that_it_lives(void **state)
{
	struct kit *kit = *state;
	unsigned int lives = 0;
	struct historian *h;

	put_fixture(
	    kit, TODAY,
	    "INSERT INTO query WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n"
	    " WHERE i<200000) SELECT i, i, 1, NULL, NULL, 0, 0 FROM n");
	kit->options.alive = count_life;
	kit->options.alive_arg = &lives;
	h = kit_historian(kit);
	kit_ask(kit, 0, &(struct kit_query){ .verdict = VERDICT_ALLOW });
	kit_stop(kit, h);
	assert_true(lives >= 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, kit_setup_disk, kit_teardown)
		TEST(an_older_file_is_brought_up_and_a_copy_is_kept),
		TEST(a_copy_goes_with_the_file_that_it_is_of),
		TEST(files_of_days_gone_by_are_read_as_they_are),
		TEST(a_newer_file_is_left_as_it_is_and_told),
		TEST(whatever_step_it_dies_at_nothing_is_lost),
		TEST(long_work_shows_that_it_lives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
