/* tests/unit/db/db_disk.c - a disk that is full or broken, and files that are damaged. */
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agg.h"
#include "kit.h"
#include "sallyport/cleanup.h"
#include "sallyport/clock.h"

static void ask(struct kit *kit, const char *prefix, unsigned int i, uint8_t verdict)
{
	char name[48];
	const struct kit_query q = { .name = name, .verdict = verdict };

	snprintf(name, sizeof(name), "%s%u.test.", prefix, i);
	if (kit_ask(kit, 0, &q) == 0)
		fail_msg("%s: the ring is full", name);
}

/* Rings of 4096 slots hold some 1,300 records; the disk refuses for far longer than that. */
static void outlast(struct kit *kit, enum kit_disk disk)
{
	struct historian *h = kit_historian(kit);
	unsigned int n = 0;

	kit_tick(kit, h);
	kit_vfs.disk = disk;
	for (int second = 0; second < 20; second++) {
		for (int i = 0; i < 400; i++, n++)
			ask(kit, "n", n, n % 2 ? VERDICT_ALLOW : VERDICT_DENY);
		kit_pass(kit, 1000);
		kit_tick(kit, h);
	}
	assert_true(kit_count(kit, COUNT_HISTORY_ERRORS) > 0);
	kit_vfs.disk = KIT_DISK_FINE;
	kit_pass(kit, 10000);
	kit_tick(kit, h);

	struct kit_sums sums = kit_sum(kit);

	assert_int_equal(sums.rows, n); /* each with its name, nothing merged, nothing missing */
	assert_int_equal(sums.denied, n / 2);
	assert_int_equal(sums.gaps, 0);
	kit_stop(kit, h);
}

static void a_full_disk_is_outlasted_in_memory(void **state)
{
	outlast(*state, KIT_DISK_FULL);
}

static void a_broken_disk_is_outlasted_in_memory(void **state)
{
	outlast(*state, KIT_DISK_BROKEN);
}

static void the_stop_says_what_could_not_be_written_and_a_successor_writes_it(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);

	ask(kit, "n", 1, VERDICT_DENY);
	kit_vfs.disk = KIT_DISK_FULL;
	assert_int_equal(historian_stop(h, kit->wall_ns, kit->boot_ns), ERR_NOSPC);
	historian_free(h);
	kit_vfs.disk = KIT_DISK_FINE;
	kit_stop(kit, kit_historian(kit));
	assert_int_equal(kit_sum(kit).denied, 1);
}

/* The log has room of an earlier day, so a commit succeeds; emptying the log into the file does
 * not. */
static void a_commit_counts_though_the_log_cannot_be_emptied(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);
	unsigned int n = 0;

	for (int second = 0; second < 40; second++) {
		if (second == 2)
			kit_vfs.disk = KIT_DISK_LOG;
		for (int i = 0; i < 1000; i++, n++)
			ask(kit, "n", n, VERDICT_DENY);
		kit_pass(kit, 1000);
		kit_tick(kit, h);
	}
	kit_vfs.disk = KIT_DISK_FINE;
	kit_pass(kit, 10000);
	kit_tick(kit, h);
	assert_int_equal(kit_sum(kit).queries, n); /* each once */
	assert_int_equal(kit_sum(kit).gaps, 0);
	kit_stop(kit, h);
}

/* A COMMIT fails at its last step, the sync: what it wrote is found again by whoever opens the file
 * next. */
static void a_commit_that_says_it_failed_and_did_not_counts_once(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);
	unsigned int n = 0;

	ask(kit, "n", n++, VERDICT_DENY);
	kit_tick(kit, h);
	kit_vfs.disk = KIT_DISK_UNSURE;
	for (int second = 0; second < 20; second++) {
		for (int i = 0; i < 100; i++, n++)
			ask(kit, "n", n, n % 2 ? VERDICT_DENY : VERDICT_ALLOW);
		kit_pass(kit, 1000);
		kit_tick(kit, h);
	}
	assert_true(kit_count(kit, COUNT_HISTORY_ERRORS) > 0);
	kit_vfs.disk = KIT_DISK_FINE;
	kit_pass(kit, 10000);
	kit_tick(kit, h);
	assert_int_equal(kit_sum(kit).queries, n);
	assert_int_equal(kit_sum(kit).gaps, 0);
	kit_stop(kit, h);
}

/* A historian is killed between the commit and the save; when its successor starts no file can be
 * opened, so nobody can say yet what they hold. */
static void a_successor_that_cannot_open_the_files_waits_with_what_they_may_hold(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);
	uint8_t *saved = malloc(kit->area_len);
	unsigned int n = 0;

	assert_non_null(saved);
	for (; n < 300; n++)
		ask(kit, "n", n, n % 2 ? VERDICT_DENY : VERDICT_ALLOW);
	kit_vfs.disk = KIT_DISK_FULL;
	kit_tick(kit, h);
	for (; n < 400; n++) /* read and written, and saved nowhere */
		ask(kit, "n", n, n % 2 ? VERDICT_DENY : VERDICT_ALLOW);
	memcpy(saved, kit->area, kit->area_len);

	struct ring_consumer rings[KIT_RINGS];
	uint64_t tails[KIT_RINGS];

	for (int i = 0; i < KIT_RINGS; i++) {
		assert_int_equal(ring_consumer_open(&rings[i], kit->data_fd[i], kit->back_fd[i]),
		                 0);
		tails[i] = rings[i].back->tail;
	}
	kit_vfs.disk = KIT_DISK_FINE;
	kit_pass(kit, 10000);
	kit_tick(kit, h);
	historian_free(h);
	memcpy(kit->area, saved, kit->area_len); /* as if it had died before its save */
	for (int i = 0; i < KIT_RINGS; i++) {
		ring_release(&rings[i], tails[i]);
		ring_consumer_close(&rings[i]);
	}
	free(saved);

	kit_vfs.disk = KIT_DISK_SHUT;
	h = kit_historian(kit);
	for (int second = 0; second < 5; second++, n++) {
		ask(kit, "n", n, VERDICT_DENY);
		kit_pass(kit, 1000);
		kit_tick(kit, h);
	}
	kit_vfs.disk = KIT_DISK_FINE;
	kit_pass(kit, 10000);
	kit_tick(kit, h);
	kit_stop(kit, h);
	assert_int_equal(kit_sum(kit).queries, n);
	assert_int_equal(kit_sum(kit).gaps, 0);
}

/* A full disk kept the names out of the folder, so a death loses them; the keeper tells them again,
 * a moment after the start, and the backlog, however full, waits for that. */
static void a_large_backlog_waits_for_its_names(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);
	unsigned int n = 0;
	char path[256];

	kit_vfs.disk = KIT_DISK_FULL;
	while (n < AGG_ENTRIES_MAX / 2 + 3000) {
		for (int i = 0; i < 1000; i++, n++)
			ask(kit, "n", n, VERDICT_DENY);
		kit_pass(kit, 100);
		kit_tick(kit, h);
	}
	historian_free(h);
	snprintf(path, sizeof(path), "%s/catalog-1", kit->dir);
	assert_int_equal(unlink(path), 0);
	kit_vfs.disk = KIT_DISK_FINE;

	h = kit_nameless(kit);
	kit_tick(kit, h);
	kit_pass(kit, 50);
	kit_catalog(h, 1);
	kit_tick(kit, h);
	kit_stop(kit, h);
	assert_int_equal(kit_sum(kit).queries, n);
	assert_int_equal(kit_sql(kit, "2026-11-23.deny.db",
	                         "SELECT count(*) FROM workload WHERE workload LIKE '?%'"),
	                 0);
}

static uint64_t size_of(const struct kit *kit, const char *name)
{
	char path[256];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", kit->dir, name);
	return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static int64_t count_rows(sqlite3 *db)
{
	sqlite3_stmt *stmt;
	int64_t n;

	assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM query", -1, &stmt, NULL),
	                 SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	n = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return n;
}

/* An analyst's transaction that stays open keeps the log from being emptied. */
static void a_reader_that_never_ends_is_left_behind(void **state)
{
	const uint64_t log_max = 5 << 20;
	struct kit *kit = *state;
	struct historian *h;
	unsigned int n = 0;
	char path[256];
	sqlite3 *reader;

	kit->options.log_max = log_max;
	h = kit_historian(kit);
	ask(kit, "n", n++, VERDICT_DENY);
	kit_tick(kit, h);
	snprintf(path, sizeof(path), "%s/2026-11-23.deny.db", kit->dir);
	assert_int_equal(sqlite3_open_v2(path, &reader, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_exec(reader, "BEGIN", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(count_rows(reader), 1);
	for (int second = 0; second < 40; second++) {
		for (int i = 0; i < 1000; i++, n++)
			ask(kit, "n", n, VERDICT_DENY);
		kit_pass(kit, 1000);
		kit_tick(kit, h);
		if (size_of(kit, "2026-11-23.deny.db-wal") > log_max + (2 << 20))
			fail_msg("the log has grown to %llu octets",
			         (unsigned long long)size_of(kit, "2026-11-23.deny.db-wal"));
	}
	assert_int_equal(kit_count(kit, COUNT_HISTORY_LEFT_BEHIND), 1); /* there was one reader */
	assert_int_equal(kit_sql(kit, "2026-11-23.deny.db", "SELECT count(*) FROM query"), n);
	assert_int_equal(count_rows(reader), 1); /* who sees what was there when he began */
	assert_int_equal(sqlite3_exec(reader, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(reader);
	kit_stop(kit, h);
	assert_int_equal(kit_sum(kit).queries, n);
	assert_int_equal(kit_sum(kit).gaps, 0);
}

/* The same with a disk that has no room for the copy. */
static void a_reader_cannot_be_left_behind_on_a_full_disk(void **state)
{
	struct kit *kit = *state;
	struct historian *h;
	char path[256];
	sqlite3 *reader;
	unsigned int n = 0;

	kit->options.log_max = 1 << 20;
	h = kit_historian(kit);
	ask(kit, "n", n++, VERDICT_DENY);
	kit_tick(kit, h);
	snprintf(path, sizeof(path), "%s/2026-11-23.deny.db.schema-2.part", kit->dir);
	assert_int_equal(mkdir(path, 0700), 0); /* in the copy's way */
	snprintf(path, sizeof(path), "%s/2026-11-23.deny.db", kit->dir);
	assert_int_equal(sqlite3_open_v2(path, &reader, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_exec(reader, "BEGIN", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(count_rows(reader), 1);
	for (int second = 0; second < 5; second++) {
		for (int i = 0; i < 1000; i++, n++)
			ask(kit, "n", n, VERDICT_DENY);
		kit_pass(kit, 1000);
		kit_tick(kit, h);
	}
	assert_int_equal(kit_count(kit, COUNT_HISTORY_LEFT_BEHIND), 0);
	assert_int_equal(kit_count(kit, COUNT_HISTORY_ERRORS), 0);
	sqlite3_close(reader);
	kit_stop(kit, h);
	assert_int_equal(kit_sum(kit).queries, n);
	snprintf(path, sizeof(path), "%s/2026-11-23.deny.db.schema-2.part", kit->dir);
	rmdir(path);
}

/* --- beyond the backlog --------------------------------------------------------------------------
 */

static struct record_query *query(uint8_t *buf, unsigned int i, uint8_t verdict, uint8_t client)
{
	struct record_query *q = (void *)buf;
	int n = sprintf((char *)(q + 1), "n%u.test.", i);

	*q = (struct record_query){ .head = { .type = RECORD_QUERY },
		                    .verdict = verdict,
		                    .ede = RECORD_NO_EDE,
		                    .name_len = (uint16_t)n };
	q->client[15] = client;
	q->head.len = (uint32_t)(sizeof(*q) + (size_t)n);
	return q;
}

static uint64_t sum(const struct agg *agg, uint8_t verdict, size_t *ret_entries)
{
	uint64_t n = 0;

	*ret_entries = 0;
	for (size_t i = 0; i < agg->n; i++) {
		if (agg->entries[i].key.verdict != verdict)
			continue;
		n += agg->entries[i].count;
		++*ret_entries;
	}
	return n;
}

static void allowed_ones_give_way_first_and_nothing_is_uncounted(void **state)
{
	_Alignas(8) static uint8_t buf[256];
	const unsigned int denials = AGG_ENTRIES_MAX / 4;
	uint64_t allowed = 0, denied = 0, kept;
	const uint64_t time_us = KIT_NOON / 1000;
	struct agg agg;
	size_t entries;

	(void)state;
	assert_int_equal(agg_init(&agg), 0);
	/* Denials of many names; allowed ones of 1,000 names from 250 clients. */
	for (unsigned int i = 0; i < denials; i++, denied++)
		assert_int_equal(agg_put(&agg, query(buf, i, VERDICT_DENY, 0), 20780, time_us), 0);
	for (unsigned int i = 0; i < 1000u * 250; i++, allowed++) {
		const struct record_query *q =
		    query(buf, i % 1000, VERDICT_ALLOW, (uint8_t)(i / 1000));

		if (agg_put(&agg, q, 20780, time_us) == 0)
			continue;
		assert_true(agg_shrink(&agg));
		assert_int_equal(agg_put(&agg, q, 20780, time_us), 0);
	}
	kept = sum(&agg, VERDICT_ALLOW, &entries);
	assert_int_equal(kept, allowed); /* merged by name, none lost */
	assert_true(entries < 1000u * 250);
	assert_int_equal(sum(&agg, VERDICT_DENY, &entries), denied);
	assert_int_equal(entries, denials); /* untouched */
	assert_false(agg_has_gap(&agg));

	/* Now allowed names without end: they become a gap, the denials stay. */
	for (unsigned int i = 0; i < AGG_ENTRIES_MAX; i++, allowed++) {
		const struct record_query *q = query(buf, 10000 + i, VERDICT_ALLOW, 1);

		if (agg_put(&agg, q, 20780, time_us) < 0) {
			assert_true(agg_shrink(&agg));
			assert_int_equal(agg_put(&agg, q, 20780, time_us), 0);
		}
	}
	kept = sum(&agg, VERDICT_ALLOW, &entries);
	assert_true(agg.gaps[HISTORY_GAP_AREA].until_us != 0);
	assert_int_equal(kept + agg.gaps[HISTORY_GAP_AREA].lost[VERDICT_ALLOW], allowed);
	assert_int_equal(agg.gaps[HISTORY_GAP_AREA].lost[VERDICT_DENY], 0);
	assert_int_equal(sum(&agg, VERDICT_DENY, &entries), denied);

	/* And denials without end: even they are counted. */
	for (unsigned int i = 0; i < AGG_ENTRIES_MAX; i++, denied++) {
		const struct record_query *q = query(buf, 1000000 + i, VERDICT_DENY, 1);

		if (agg_put(&agg, q, 20780, time_us) < 0) {
			assert_true(agg_shrink(&agg));
			assert_int_equal(agg_put(&agg, q, 20780, time_us), 0);
		}
	}
	kept = sum(&agg, VERDICT_DENY, &entries);
	assert_int_equal(kept + agg.gaps[HISTORY_GAP_AREA].lost[VERDICT_DENY], denied);
	agg_fini(&agg);
}

/* --- damage ---------------------------------------------------------------------------------- */

static void spoil(const struct kit *kit, const char *name)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", kit->dir, name);
	file = fopen(path, "r+b");
	assert_non_null(file);
	for (int i = 0; i < 4096; i++)
		fputs("damage! ", file);
	fclose(file);
}

static void a_damaged_file_is_moved_aside_and_told(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);
	struct kit_sums sums;

	ask(kit, "before", 1, VERDICT_DENY);
	kit_stop(kit, h);
	spoil(kit, "2026-11-23.deny.db");
	spoil(kit, "2026-11-23.deny.db-wal"); /* or its pages would stand in for the spoilt ones */

	h = kit_historian(kit);
	ask(kit, "after", 1, VERDICT_DENY);
	ask(kit, "after", 2, VERDICT_ALLOW);
	kit_tick(kit, h);
	kit_stop(kit, h);
	sums = kit_sum(kit);
	assert_int_equal(sums.queries, 2);
	assert_int_equal(sums.causes, 1u << HISTORY_GAP_DAMAGED);
	assert_int_equal(kit_count(kit, COUNT_HISTORY_DAMAGED), 1);
	assert_true(kit_exists(kit, "2026-11-23.deny.db.damaged-1795435200"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, kit_setup_disk, kit_teardown)
		TEST(a_full_disk_is_outlasted_in_memory),
		TEST(a_broken_disk_is_outlasted_in_memory),
		TEST(a_commit_counts_though_the_log_cannot_be_emptied),
		TEST(a_commit_that_says_it_failed_and_did_not_counts_once),
		TEST(a_successor_that_cannot_open_the_files_waits_with_what_they_may_hold),
		TEST(a_large_backlog_waits_for_its_names),
		TEST(a_reader_that_never_ends_is_left_behind),
		TEST(a_reader_cannot_be_left_behind_on_a_full_disk),
		TEST(the_stop_says_what_could_not_be_written_and_a_successor_writes_it),
		TEST(allowed_ones_give_way_first_and_nothing_is_uncounted),
		TEST(a_damaged_file_is_moved_aside_and_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
