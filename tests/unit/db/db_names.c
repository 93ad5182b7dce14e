/* tests/unit/db/db_names.c - who asked, and by which rule, is known whatever became of the names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "kit.h"
#include "sallyport/cleanup.h"
#include "sallyport/clock.h"

#define DENY "2026-11-23.deny.db"

static void ask(struct kit *kit, uint32_t version)
{
	const struct kit_query q = { .policy_version = version };

	assert_true(kit_ask(kit, 0, &q) != 0);
}

static void tick(struct kit *kit, struct historian *h, uint64_t ms)
{
	kit_pass(kit, ms);
	kit_tick(kit, h);
}

static int64_t rows(const struct kit *kit, const char *workload)
{
	char sql[128];

	if (!kit_exists(kit, DENY))
		return 0;
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM queries WHERE workload = '%s'", workload);
	return kit_sql(kit, DENY, sql);
}

/* Stopped, or held up by the disk, for longer than it waits: in that time nothing can have come. */
static void a_historian_that_was_stopped_still_waits_for_the_names(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_nameless(kit);

	ask(kit, 7);
	kit_tick(kit, h);
	for (int i = 0; i < 5; i++)
		tick(kit, h, 4000);
	kit_catalog(h, 7);
	tick(kit, h, 50);
	assert_int_equal(rows(kit, "app01"), 1);
	kit_stop(kit, h);
}

static void names_that_never_come_are_waited_for_3_seconds(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_nameless(kit);

	ask(kit, 7);
	for (int ms = 0; ms < 2900; ms += 50)
		tick(kit, h, 50);
	assert_int_equal(rows(kit, "?0"), 0);
	for (int ms = 0; ms < 1200; ms += 50)
		tick(kit, h, 50);
	assert_int_equal(rows(kit, "?0"), 1);
	kit_stop(kit, h);
}

/* The backlog holds rows of more versions than there are names in memory otherwise. */
static void names_stay_as_long_as_rows_wait_for_the_disk(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);
	const unsigned int versions = 40;

	kit_vfs.disk = KIT_DISK_FULL;
	for (unsigned int v = 3; v < 3 + versions; v++) {
		kit_catalog(h, v);
		ask(kit, v);
		tick(kit, h, 100);
	}
	kit_vfs.disk = KIT_DISK_FINE;
	tick(kit, h, 10000);
	assert_int_equal(rows(kit, "app01"), versions);
	kit_stop(kit, h);
}

static void names_that_had_no_room_are_stored_when_there_is_some(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);
	char part[256];

	snprintf(part, sizeof(part), "%s/catalog-3.part", kit->dir);
	assert_int_equal(mkdir(part, 0700), 0); /* in its way */
	kit_catalog(h, 3);
	assert_false(kit_exists(kit, "catalog-3"));
	ask(kit, 3);
	tick(kit, h, 1000);
	assert_false(kit_exists(kit, "catalog-3"));
	assert_int_equal(rmdir(part), 0);
	ask(kit, 3);
	tick(kit, h, 1000);
	assert_true(kit_exists(kit, "catalog-3"));
	ask(kit, 3);
	historian_free(h); /* killed; its successor is told nothing */
	h = kit_nameless(kit);
	tick(kit, h, 1000);
	assert_int_equal(rows(kit, "app01"), 3);
	kit_stop(kit, h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, kit_setup_disk, kit_teardown)
		TEST(a_historian_that_was_stopped_still_waits_for_the_names),
		TEST(names_that_never_come_are_waited_for_3_seconds),
		TEST(names_stay_as_long_as_rows_wait_for_the_disk),
		TEST(names_that_had_no_room_are_stored_when_there_is_some),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
