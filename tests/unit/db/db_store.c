/* tests/unit/db/db_store.c - policy versions are kept as they were put, by whom, and for ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "kit.h"
#include "sallyport/cleanup.h"
#include "store_schema.h"

static int setup(void **state)
{
	*state = kit_new(1024);
	return 0;
}

static const char *path(const struct kit *kit)
{
	static char text[128];

	snprintf(text, sizeof(text), "%s/policy.db", kit->dir);
	return text;
}

static struct store *open_store(const struct kit *kit)
{
	struct store *store;

	assert_int_equal(store_open(path(kit), &store, NULL), 0);
	return store;
}

static uint32_t put(struct store *store, const char *text, const struct store_put_feed *feeds,
                    size_t n_feeds)
{
	const struct store_put version = { .text = text,
		                           .text_len = strlen(text),
		                           .feeds = feeds,
		                           .n_feeds = n_feeds,
		                           .actor = { 1000, "alice" },
		                           .time_ns = KIT_NOON,
		                           .file = "p.yaml",
		                           .comment = "why",
		                           .n_rules = 3,
		                           .n_workloads = 2 };
	uint32_t number = 0;

	assert_int_equal(store_put(store, &version, &number, NULL), 0);
	return number;
}

static void versions_come_back_as_they_were_put(void **state)
{
	struct store *store = open_store(*state);
	static uint8_t large[3 * STORE_FEED_PIECE + 17];
	const struct store_put_feed feeds[] = {
		{ "malware", "m.rpz", (const uint8_t *)"a.test\n", 7 },
		{ "large", "l.txt", large, sizeof(large) },
		{ "empty", "e.txt", (const uint8_t *)"", 0 },
	};
	struct store_version *version;
	char back[64];

	for (size_t i = 0; i < sizeof(large); i++)
		large[i] = (uint8_t)(i * 7 + i / 251);
	assert_int_equal(store_current(store), 0);
	assert_int_equal(store_next_version(store), 1);
	assert_int_equal(put(store, "version: 1\n", feeds, 3), 1);
	assert_int_equal(put(store, "version: 1\n# again\n", NULL, 0), 2);
	assert_int_equal(store_current(store), 2);
	store_free(store);

	store = open_store(*state);
	assert_int_equal(store_get(store, 1, &version, NULL), 0);
	assert_string_equal(version->text, "version: 1\n");
	assert_string_equal(version->user, "alice");
	assert_int_equal(version->uid, 1000);
	assert_string_equal(version->comment, "why");
	assert_int_equal(version->time_ns, KIT_NOON);
	assert_int_equal(version->n_feeds, 3);
	assert_string_equal(version->feeds[1].name, "large");
	assert_int_equal(version->feeds[1].bytes, sizeof(large));
	/* Across the border of two pieces. */
	assert_int_equal(
	    store_feed_read(store, version->feeds[1].sha256, STORE_FEED_PIECE - 10, back, 20), 20);
	assert_memory_equal(back, large + STORE_FEED_PIECE - 10, 20);
	assert_int_equal(store_feed_read(store, version->feeds[1].sha256, sizeof(large), back, 20),
	                 0);

	int fd = memfd_create("feed", MFD_CLOEXEC);

	assert_int_equal(store_feed_copy(store, version->feeds[1].sha256, fd), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), sizeof(large));
	close(fd);
	store_version_free(version);
	assert_int_equal(store_get(store, 3, &version, NULL), ERR_NOENT);
	store_free(store);
}

static void equal_feeds_are_stored_once(void **state)
{
	struct kit *kit = *state;
	struct store *store = open_store(kit);
	const struct store_put_feed feed = { "f", "f", (const uint8_t *)"same", 4 };

	put(store, "a", &feed, 1);
	put(store, "b", &feed, 1);
	store_free(store);
	assert_int_equal(kit_sql(kit, "policy.db", "SELECT count(*) FROM content"), 1);
	assert_int_equal(kit_sql(kit, "policy.db", "SELECT count(*) FROM feed"), 2);
}

static void versions_and_audit_cannot_be_changed(void **state)
{
	static const char *const attempts[] = {
		"UPDATE version SET text='x'",
		"DELETE FROM version",
		"UPDATE audit SET uid=0",
		"DELETE FROM audit",
	};
	struct store *store = open_store(*state);

	put(store, "a", NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
		if (sql_exec(store_sqlite(store), attempts[i]) == 0)
			fail_msg("%s: was done", attempts[i]);
	}
	store_free(store);
}

static int count_audit(const struct store_audit *audit, void *arg)
{
	assert_string_equal(audit->actor.user, "alice");
	++*(int *)arg;
	return 0;
}

static void who_did_what_is_kept(void **state)
{
	struct store *store = open_store(*state);
	const struct store_audit flush = {
		.time_ns = 5, .actor = { 0, "alice" }, .action = "flush", .detail = "--all"
	};
	int n = 0;

	put(store, "a", NULL, 0);
	assert_int_equal(store_audit_add(store, &flush, NULL), 0);
	assert_int_equal(store_audit_list(store, 0, count_audit, &n), 0);
	assert_int_equal(n, 2);
	n = 0;
	assert_int_equal(store_audit_list(store, 1, count_audit, &n), 0);
	assert_int_equal(n, 1);
	store_free(store);
}

static void an_older_schema_is_migrated_and_its_copy_kept(void **state)
{
	struct kit *kit = *state;
	struct store *store = open_store(kit);
	const char *const steps[] = { store_schema.steps[0], store_schema.steps[1],
		                      "ALTER TABLE version ADD COLUMN colour TEXT" };
	const struct sql_schema newer = { .application_id = store_schema.application_id,
		                          .steps = steps,
		                          .n_steps = 3 };
	struct diag diag;

	put(store, "kept", NULL, 0);
	store_free(store);
	assert_int_equal(store_open_schema(path(kit), &newer, &store, NULL), 0);
	assert_int_equal(store_current(store), 1);
	store_free(store);
	assert_int_equal(kit_sql(kit, "policy.db", "PRAGMA user_version"), 3);
	assert_int_equal(kit_sql(kit, "policy.db.schema-2", "SELECT count(*) FROM version"), 1);

	/* And back: this version must not touch what a newer one has made. */
	diag_init(&diag);
	assert_int_equal(store_open(path(kit), &store, &diag), ERR_VERSION);
	assert_int_equal(diag.n_errors, 1);
	diag_fini(&diag);
}

static int count_all(const struct store_audit *audit, void *arg)
{
	(void)audit;
	++*(int *)arg;
	return 0;
}

static int list_nta(const struct store_nta *nta, void *arg)
{
	char *text = arg;
	size_t len = strlen(text);

	snprintf(text + len, 200 - len, "%s %llu-%llu %u %s %s;", nta->name,
	         (unsigned long long)nta->since_ns, (unsigned long long)nta->until_ns,
	         nta->actor.uid, nta->actor.user ? nta->actor.user : "-", nta->reason);
	return 0;
}

static void negative_trust_anchors_are_kept_with_their_audit_row(void **state)
{
	struct kit *kit = *state;
	struct store *store;
	const struct sql_schema older = { .application_id = store_schema.application_id,
		                          .steps = store_schema.steps,
		                          .n_steps = 1 };
	const struct store_audit audit = { .time_ns = 5, .actor = { 7, NULL }, .action = "nta" };
	struct store_nta nta = { "a.test.", 10, 20, { 7, "bob" }, "broken" };
	char text[200] = "";
	int n = 0;

	/* In a store of before, too. */
	assert_int_equal(store_open_schema(path(kit), &older, &store, NULL), 0);
	put(store, "kept", NULL, 0);
	store_free(store);
	store = open_store(kit);
	assert_int_equal(store_current(store), 1);
	assert_int_equal(store_nta_put(store, &nta, &audit, NULL), 0);
	nta.until_ns = 30;
	assert_int_equal(store_nta_put(store, &nta, &audit, NULL), 0);
	nta = (struct store_nta){ "b.test.", 11, 21, { STORE_UID_NONE, NULL }, "" };
	assert_int_equal(store_nta_put(store, &nta, &audit, NULL), 0);
	store_free(store);

	store = open_store(kit);
	assert_int_equal(store_nta_list(store, list_nta, text), 0);
	assert_string_equal(text, "a.test. 10-30 7 bob broken;b.test. 11-21 4294967295 - ;");
	assert_int_equal(store_nta_remove(store, "a.test.", &audit, NULL), 0);
	assert_int_equal(store_nta_remove(store, "a.test.", &audit, NULL), ERR_NOENT);
	text[0] = '\0';
	assert_int_equal(store_nta_list(store, list_nta, text), 0);
	assert_string_equal(text, "b.test. 11-21 4294967295 - ;");
	assert_int_equal(store_audit_list(store, 0, count_all, &n), 0);
	assert_int_equal(n, 5); /* the policy, three additions, one removal that happened */
	store_free(store);
}

static void a_negative_trust_anchor_and_its_row_stay_together_on_a_full_disk(void **state)
{
	struct kit *kit = *state;
	struct store *store;
	const struct store_audit audit = { .time_ns = 5, .action = "nta" };
	const struct store_nta nta = { "a.test.", 10, 20, { 7, "bob" }, "broken" };
	char text[200] = "";
	int n = 0;

	kit_vfs_install();
	store = open_store(kit);
	kit_vfs.disk = KIT_DISK_FULL;
	assert_true(store_nta_put(store, &nta, &audit, NULL) < 0);
	kit_vfs.disk = KIT_DISK_FINE;
	assert_int_equal(store_nta_list(store, list_nta, text), 0);
	assert_string_equal(text, "");
	assert_int_equal(store_audit_list(store, 0, count_all, &n), 0);
	assert_int_equal(n, 0);
	store_free(store);
}

static void a_migration_that_fails_changes_nothing(void **state)
{
	struct kit *kit = *state;
	struct store *store = open_store(kit);
	const char *const steps[] = { store_schema.steps[0], store_schema.steps[1],
		                      "CREATE TABLE half (a); NONSENSE" };
	const struct sql_schema newer = { .application_id = store_schema.application_id,
		                          .steps = steps,
		                          .n_steps = 3 };

	put(store, "kept", NULL, 0);
	store_free(store);
	assert_true(store_open_schema(path(kit), &newer, &store, NULL) < 0);
	store = open_store(kit);
	assert_int_equal(store_current(store), 1);
	store_free(store);
	assert_int_equal(
	    kit_sql(kit, "policy.db", "SELECT count(*) FROM sqlite_schema WHERE name='half'"), 0);
}

static void a_damaged_store_says_so_and_is_left_alone(void **state)
{
	struct kit *kit = *state;
	struct store *store = open_store(kit);
	static char text[64 << 10];
	struct diag diag;
	FILE *file;

	memset(text, 'x', sizeof(text) - 1);
	put(store, text, NULL, 0);
	store_free(store);
	file = fopen(path(kit), "r+b");
	assert_non_null(file);
	for (long at = 4096; at < 60000; at += 4096) {
		fseek(file, at, SEEK_SET);
		fwrite("damage damage damage", 1, 20, file);
	}
	fclose(file);
	diag_init(&diag);
	assert_int_equal(store_open(path(kit), &store, &diag), ERR_DAMAGED);
	assert_int_equal(diag.n_errors, 1);
	assert_non_null(strstr(diag.items[0].text, "damaged"));
	diag_fini(&diag);
	assert_true(kit_exists(kit, "policy.db"));
}

static void a_damaged_store_is_set_aside_and_a_new_one_begun(void **state)
{
	struct kit *kit = *state;
	struct store *store = open_store(kit);
	char name[256];
	FILE *file;

	put(store, "old", NULL, 0);
	store_free(store);
	file = fopen(path(kit), "r+b");
	assert_non_null(file);
	fwrite("no database any more", 1, 20, file);
	fclose(file);
	assert_int_equal(store_open(path(kit), &store, NULL), ERR_DAMAGED);
	assert_int_equal(store_set_aside(path(kit), 1234, name, sizeof(name)), 0);
	assert_true(kit_exists(kit, "policy.db.damaged-1234"));
	assert_string_equal(name + strlen(name) - 22, "policy.db.damaged-1234");
	store = open_store(kit);
	assert_int_equal(store_current(store), 0);
	put(store, "new", NULL, 0);
	store_free(store);
	/* Nothing there to be moved. */
	assert_true(store_set_aside("/nonexistent/policy.db", 1, name, sizeof(name)) < 0);
	assert_int_equal(store_set_aside(path(kit), 1, name, 8), ERR_LIMIT);
}

static void a_foreign_file_is_refused(void **state)
{
	struct kit *kit = *state;
	struct store *store;
	FILE *file = fopen(path(kit), "wb");

	fputs("this is no database, but it is long enough to be looked at .....", file);
	for (int i = 0; i < 100; i++)
		fputs("................................................................", file);
	fclose(file);
	assert_int_equal(store_open(path(kit), &store, NULL), ERR_DAMAGED);
}

static void a_full_disk_leaves_the_old_version_current(void **state)
{
	struct kit *kit = *state;
	struct store *store;
	const struct store_put more = { .text = "b", .text_len = 1 };
	uint32_t number = 99;

	kit_vfs_install();
	store = open_store(kit);
	put(store, "a", NULL, 0);
	kit_vfs.disk = KIT_DISK_FULL;
	assert_int_equal(store_put(store, &more, &number, NULL), ERR_NOSPC);
	assert_int_equal(number, 99);
	kit_vfs.disk = KIT_DISK_FINE;
	assert_int_equal(store_current(store), 1);
	assert_int_equal(put(store, "b", NULL, 0), 2);
	store_free(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, kit_teardown)
		TEST(versions_come_back_as_they_were_put),
		TEST(equal_feeds_are_stored_once),
		TEST(versions_and_audit_cannot_be_changed),
		TEST(who_did_what_is_kept),
		TEST(an_older_schema_is_migrated_and_its_copy_kept),
		TEST(negative_trust_anchors_are_kept_with_their_audit_row),
		TEST(a_negative_trust_anchor_and_its_row_stay_together_on_a_full_disk),
		TEST(a_migration_that_fails_changes_nothing),
		TEST(a_damaged_store_says_so_and_is_left_alone),
		TEST(a_damaged_store_is_set_aside_and_a_new_one_begun),
		TEST(a_foreign_file_is_refused),
		TEST(a_full_disk_leaves_the_old_version_current),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
