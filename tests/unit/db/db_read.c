/* tests/unit/db/db_read.c - finding rows again: filters, order, follow, top, who, plans, sizes. */
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
#include "pattern.h"
#include "reader.h"
#include "sallyport/cleanup.h"
#include "sallyport/clock.h"

#define HOUR_NS (UINT64_C(3600) * NS_PER_S)

/* The world of these tests: seven rows, on two days, two answers. */
static void fill(struct kit *kit)
{
	struct historian *h = kit_historian(kit);
	static const struct kit_query queries[] = {
		{ .name = "db.example.org.", .verdict = VERDICT_ALLOW, .answer = 1, .ttl = 60 },
		{ .name = "cdn.example.org.",
		  .verdict = VERDICT_ALLOW,
		  .answer = 2,
		  .ttl = 30,
		  .workload = 1,
		  .client = "2001:db8::5" },
		{ .name = "a.b.example.org.", .verdict = VERDICT_ALLOW, .type = 28 },
		{ .name = "example.org.", .verdict = VERDICT_LOCAL },
		{ .name = "x.evil.test.", .verdict = VERDICT_DENY },
		{ .name = "example.net.",
		  .verdict = VERDICT_DENY,
		  .reason = REASON_NO_RULE,
		  .workload = RECORD_NO_RULE },
		{ .name = "old.example.org.",
		  .verdict = VERDICT_ALLOW,
		  .answer = 1,
		  .ttl = 60,
		  .age_ns = 20 * HOUR_NS },
	};

	kit_answer(kit, 0, 1, "db.example.org.", NULL);
	kit_answer(kit, 0, 2, "cdn.example.org.", "edge.example.net.");
	for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
		kit_ask(kit, 0, &queries[i]);
		kit_pass(kit, 10);
	}
	kit_stop(kit, h);
}

static int setup(void **state)
{
	*state = kit_new(65536);
	return 0;
}

/* The names of a listing, in its order, separated by spaces; gaps as "gap". */
static void list(const struct kit *kit, const struct history_filter *filter, char out[static 1024])
{
	const struct history_row *row;
	struct history_iter *iter;
	struct history *history;
	size_t at = 0;
	int r;

	assert_int_equal(history_open(kit->dir, &history, NULL), 0);
	assert_int_equal(history_query(history, filter, &iter, NULL), 0);
	out[0] = '\0';
	while ((r = history_next(iter, &row)) > 0)
		at += (size_t)snprintf(out + at, 1024 - at, "%s%s", at ? " " : "",
		                       row->kind == HISTORY_GAP ? "gap" : row->name);
	assert_int_equal(r, 0);
	history_iter_free(iter);
	history_free(history);
}

#define ANY .verdict = -1, .reason = -1, .type = -1, .rcode = -1
static const struct {
	const char *title;
	struct history_filter filter;
	const char *address; /* prefix; NULL: none */
	const char *client;
	const char *want;
} cases[] = {
	{ "everything, newest first",
	  { ANY },
	  NULL,
	  NULL,
	  "example.net. x.evil.test. example.org. a.b.example.org. cdn.example.org. db.example.org."
	  " old.example.org." },
	{ "oldest first",
	  { ANY, .oldest_first = true, .limit = 3 },
	  NULL,
	  NULL,
	  "old.example.org. db.example.org. cdn.example.org." },
	{ "a limit", { ANY, .limit = 2 }, NULL, NULL, "example.net. x.evil.test." },
	{ "a name", { ANY, .name = "DB.example.ORG" }, NULL, NULL, "db.example.org." },
	{ "all below, never the apex",
	  { ANY, .name = "**.example.org" },
	  NULL,
	  NULL,
	  "a.b.example.org. cdn.example.org. db.example.org. old.example.org." },
	{ "one label",
	  { ANY, .name = "*.example.org." },
	  NULL,
	  NULL,
	  "cdn.example.org. db.example.org. old.example.org." },
	{ "a star in a label", { ANY, .name = "c*n.example.org" }, NULL, NULL, "cdn.example.org." },
	{ "a star in the last label",
	  { ANY, .name = "example.*" },
	  NULL,
	  NULL,
	  "example.net. example.org." },
	{ "below, then a star", { ANY, .name = "**.b*.example.org" }, NULL, NULL, "" },
	{ "below a star",
	  { ANY, .name = "**.ex*.org" },
	  NULL,
	  NULL,
	  "a.b.example.org. cdn.example.org. db.example.org. old.example.org." },
	{ "a workload", { ANY, .workload = "build" }, NULL, NULL, "cdn.example.org." },
	{ "nobody's", { ANY, .workload = "-" }, NULL, NULL, "example.net." },
	{ "a profile", { ANY, .profile = "farm" }, NULL, NULL, "cdn.example.org." },
	{ "denied",
	  { .verdict = VERDICT_DENY, .reason = -1, .type = -1, .rcode = -1 },
	  NULL,
	  NULL,
	  "example.net. x.evil.test." },
	{ "a reason",
	  { .verdict = -1, .reason = REASON_NO_RULE, .type = -1, .rcode = -1 },
	  NULL,
	  NULL,
	  "example.net." },
	{ "a type",
	  { .verdict = -1, .reason = -1, .type = 28, .rcode = -1 },
	  NULL,
	  NULL,
	  "a.b.example.org." },
	{ "a rule",
	  { ANY, .rule = "deny evil.test" },
	  NULL,
	  NULL,
	  "example.net. x.evil.test. example.org." },
	{ "a rule without its first word",
	  { ANY, .rule = "db.example.org", .limit = 1 },
	  NULL,
	  NULL,
	  "a.b.example.org." },
	{ "an address", { ANY }, "198.51.100.2", NULL, "cdn.example.org." },
	{ "a prefix",
	  { ANY },
	  "198.51.100.0/24",
	  NULL,
	  "cdn.example.org. db.example.org. old.example.org." },
	{ "an address nobody was given", { ANY }, "203.0.113.1", NULL, "" },
	{ "a client", { ANY }, NULL, "2001:db8::/32", "cdn.example.org." },
	{ "since", { ANY, .since_ns = KIT_NOON + 45 * NS_PER_MS }, NULL, NULL, "example.net." },
	{ "until", { ANY, .until_ns = KIT_NOON }, NULL, NULL, "old.example.org." },
	{ "two at once",
	  { ANY, .name = "**.org", .workload = "app01", .limit = 2 },
	  NULL,
	  NULL,
	  "example.org. a.b.example.org." },
};

static void filters_find_what_they_say(void **state)
{
	fill(*state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct history_filter filter = cases[i].filter;
		char got[1024];

		if (cases[i].address) {
			filter.has_address = true;
			assert_int_equal(prefix_parse(cases[i].address, &filter.address), 0);
		}
		if (cases[i].client) {
			filter.has_client = true;
			assert_int_equal(prefix_parse(cases[i].client, &filter.client), 0);
		}
		list(*state, &filter, got);
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s: got \"%s\", want \"%s\"", cases[i].title, got, cases[i].want);
	}
}

static void a_row_says_all_that_was_recorded(void **state)
{
	struct history_filter filter;
	const struct history_row *row;
	struct history_iter *iter;
	struct history *history;
	struct history_coverage coverage;
	char upstream[ADDR_TEXT_LEN];

	fill(*state);
	history_filter_init(&filter);
	filter.name = "cdn.example.org";
	assert_int_equal(history_open(((struct kit *)*state)->dir, &history, NULL), 0);
	assert_int_equal(history_query(history, &filter, &iter, NULL), 0);
	assert_int_equal(history_next(iter, &row), 1);
	assert_string_equal(row->workload, "build");
	assert_string_equal(row->profile, "farm");
	assert_string_equal(row->rule, "allow db.example.org");
	assert_int_equal(row->rule_line, 7);
	assert_int_equal(row->time_ns, KIT_NOON + 10 * NS_PER_MS);
	assert_int_equal(row->ttl, 30);
	assert_int_equal(row->n_answers, 2);
	assert_int_equal(row->answers[0].type, 5);
	assert_string_equal(row->answers[0].data, "edge.example.net.");
	assert_string_equal(row->answers[1].name, "edge.example.net.");
	assert_string_equal(row->answers[1].data, "198.51.100.2");
	assert_true(row->answers[1].has_addr && row->has_upstream);
	addr_text(row->upstream, upstream);
	assert_string_equal(upstream, "192.0.2.53");
	filter.id = row->id;
	assert_int_equal(history_next(iter, &row), 0);
	history_iter_coverage(iter, &coverage);
	assert_int_equal(coverage.n_unreadable, 0);
	assert_int_equal(coverage.allow_from_ns, KIT_NOON + 60 * NS_PER_MS - 20 * HOUR_NS);
	history_iter_free(iter);

	filter.name = NULL;
	assert_int_equal(history_query(history, &filter, &iter, NULL), 0);
	assert_int_equal(history_next(iter, &row), 1);
	assert_string_equal(row->name, "cdn.example.org.");
	assert_int_equal(history_next(iter, &row), 0);
	history_iter_free(iter);
	history_free(history);
}

static void follow_shows_each_row_once_as_it_comes(void **state)
{
	struct kit *kit = *state;
	struct historian *h;
	struct history_filter filter;
	const struct history_row *row;
	struct history_iter *iter;
	struct history *history;

	fill(kit);
	h = kit_historian(kit);
	history_filter_init(&filter);
	assert_int_equal(history_open(kit->dir, &history, NULL), 0);
	assert_int_equal(history_follow(history, &filter, &iter, NULL), 0);
	assert_int_equal(history_next(iter, &row), 0); /* what was there is not news */
	for (int i = 0; i < 5; i++) {
		const struct kit_query young = { .name = "young.test." };
		const struct kit_query late = { .name = "late.test.", .age_ns = 3 * NS_PER_S };

		kit_ask(kit, 0, &young);
		kit_ask(kit, 1, &late);
		kit_tick(kit, h);
		kit_pass(kit, 1000);
		kit_tick(kit, h);
		assert_int_equal(history_next(iter, &row), 1);
		assert_string_equal(row->name, "late.test.");
		assert_int_equal(history_next(iter, &row), 1);
		assert_string_equal(row->name, "young.test.");
		assert_int_equal(history_next(iter, &row), 0);
	}
	history_iter_free(iter);
	history_free(history);
	kit_stop(kit, h);
}

static int take_top(const struct history_top_row *row, void *arg)
{
	char *out = arg;

	snprintf(out + strlen(out), 256 - strlen(out), "%s=%llu/%llu ", row->text ? row->text : "-",
	         (unsigned long long)row->count, (unsigned long long)row->denied);
	return 0;
}

static void top_counts_queries_not_rows(void **state)
{
	struct kit *kit = *state;
	struct history_filter filter;
	struct history *history;
	struct historian *h;
	char got[256] = "";

	fill(kit);
	h = kit_historian(kit);
	for (int i = 0; i < 10; i++)
		kit_ask(kit, 0, &(struct kit_query){ .name = "x.evil.test." });
	kit_stop(kit, h);
	history_filter_init(&filter);
	assert_int_equal(history_open(kit->dir, &history, NULL), 0);
	assert_int_equal(
	    history_top(history, HISTORY_TOP_DENIED, &filter, 2, take_top, got, NULL, NULL), 0);
	assert_string_equal(got, "x.evil.test.=11/11 example.net.=1/1 ");
	got[0] = '\0';
	assert_int_equal(
	    history_top(history, HISTORY_TOP_WORKLOADS, &filter, 0, take_top, got, NULL, NULL), 0);
	assert_string_equal(got, "app01=15/11 -=1/1 build=1/0 ");
	history_free(history);
}

static int take_who(const struct history_who *who, void *arg)
{
	char *out = arg;

	snprintf(out + strlen(out), 512 - strlen(out), "%s:%s:%s+%lld ",
	         who->workload ? who->workload : "-", who->name, who->owner,
	         ((long long)who->until_ns - (long long)KIT_NOON) / 1000000000);
	return 0;
}

static void who_tells_names_and_until_when(void **state)
{
	struct kit *kit = *state;
	struct history *history;
	struct prefix prefix;
	char got[512] = "";

	fill(kit);
	assert_int_equal(history_open(kit->dir, &history, NULL), 0);
	assert_int_equal(prefix_parse("198.51.100.0/24", &prefix), 0);
	assert_int_equal(
	    history_who(history, &prefix, KIT_NOON + NS_PER_S, NULL, take_who, got, NULL, NULL), 0);
	assert_string_equal(got, "build:cdn.example.org.:edge.example.net.+30 "
	                         "app01:db.example.org.:db.example.org.+60 ");
	got[0] = '\0'; /* 30 s later the shorter one is over */
	assert_int_equal(history_who(history, &prefix, KIT_NOON + 31 * NS_PER_S, NULL, take_who,
	                             got, NULL, NULL),
	                 0);
	assert_string_equal(got, "app01:db.example.org.:db.example.org.+60 ");
	got[0] = '\0';
	assert_int_equal(
	    history_who(history, &prefix, KIT_NOON - HOUR_NS, NULL, take_who, got, NULL, NULL), 0);
	assert_string_equal(got, "");
	history_free(history);
}

/* --- plans -------------------------------------------------------------------------------------
 */

static void check_plan(sqlite3 *db, const char *title, const char *sql, const char *index)
{
	sqlite3_stmt *stmt;
	char explain[4096];
	bool found = false;

	snprintf(explain, sizeof(explain), "EXPLAIN QUERY PLAN %s", sql);
	if (sqlite3_prepare_v2(db, explain, -1, &stmt, NULL) != SQLITE_OK)
		fail_msg("%s: %s", title, sqlite3_errmsg(db));
	while (sqlite3_step(stmt) == SQLITE_ROW) {
		const char *detail = (const char *)sqlite3_column_text(stmt, 3);

		if (strncmp(detail, "SCAN", 4) == 0 && !strstr(detail, "CONSTANT"))
			fail_msg("%s: %s", title, detail);
		found |= strstr(detail, index) != NULL;
	}
	sqlite3_finalize(stmt);
	if (!found)
		fail_msg("%s: does not use %s", title, index);
}

static void rare_rows_are_found_by_index(void **state)
{
	static const struct {
		const char *title, *name, *index;
		bool address;
		int verdict;
	} plans[] = {
		{ "a name", "db.example.org", "sqlite_autoindex_name_1", false, -1 },
		{ "a suffix", "**.example.org", "sqlite_autoindex_name_1", false, -1 },
		{ "a glob with a fixed end", "a*.example.org", "sqlite_autoindex_name_1", false,
		  -1 },
		{ "an address", NULL, "rr_addr", true, -1 },
		{ "what was given an address", NULL, "what_answer", true, -1 },
		{ "a name that was denied", "x.evil.test", "sqlite_autoindex_name_1", false, 0 },
		{ "what a workload was denied", NULL, "what_denied", false, 0 },
	};
	struct reader *reader;

	fill(*state);
	assert_int_equal(reader_open(((struct kit *)*state)->dir, 20780, DAY_ALLOW, &reader), 0);
	for (size_t i = 0; i < ARRAY_LEN(plans); i++) {
		struct history_filter filter;
		struct pattern pattern = { .kind = PATTERN_EXACT };
		char sql[2048];

		history_filter_init(&filter);
		filter.name = plans[i].name;
		filter.has_address = plans[i].address;
		filter.verdict = plans[i].verdict;
		if (strcmp(plans[i].index, "what_denied") == 0)
			filter.workload = "app01";
		if (filter.name)
			assert_int_equal(pattern_read(filter.name, &pattern), 0);
		assert_int_equal(reader_what_sql(&filter, &pattern, sql, sizeof(sql)), 0);
		check_plan(reader_sqlite(reader), plans[i].title, sql, plans[i].index);
	}
	check_plan(reader_sqlite(reader), "rows of one kind",
	           "SELECT t FROM query WHERE what=1 AND t>=0 AND t<9", "query_what");
	check_plan(reader_sqlite(reader), "a number", "SELECT t FROM query WHERE id=7", "query_id");
	check_plan(reader_sqlite(reader), "a number that a row stands for",
	           "SELECT q.t FROM query q JOIN fold f ON f.t=q.t WHERE f.last_id>7 AND q.id<7"
	           " AND f.last_id<=9",
	           "fold_last_id");
	check_plan(reader_sqlite(reader), "analysts' own SQL, by name",
	           "SELECT * FROM queries WHERE rev='test.corp.db.'", "sqlite_autoindex_name_1");
	reader_free(reader);
}

/* --- who may read, and when ---------------------------------------------------------------------
 */

enum moment { WHILE_RUNNING, AFTER_STOP, AFTER_KILL };

static void readers_without_rights_read(void **state, enum moment moment)
{
	struct kit *kit = *state;
	const struct kit_query q = { .verdict = VERDICT_ALLOW };
	struct historian *h = NULL;
	pid_t pid;
	int status;

	if (geteuid() != 0)
		skip(); /* another user is needed */
	assert_int_equal(chown(kit->dir, 0, 65534), 0);
	assert_int_equal(chmod(kit->dir, 02750), 0);
	kit_ask(kit, 0, &q);
	pid = fork();
	if (pid == 0) { /* a historian that is killed in the middle of its life */
		h = kit_historian(kit);
		kit_tick(kit, h);
		kit_pass(kit, 1000);
		kit_tick(kit, h);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (moment != AFTER_KILL) {
		h = kit_historian(kit);
		kit_tick(kit, h);
		if (moment == AFTER_STOP)
			kit_stop(kit, h);
	}
	pid = fork();
	if (pid == 0) {
		struct kit_sums sums;

		if (setgid(65534) != 0 || setuid(65533) != 0)
			_exit(3);
		sums = kit_sum(kit);
		_exit(sums.queries == 1 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	if (moment == WHILE_RUNNING)
		kit_stop(kit, h);
}

static void an_analyst_reads_while_it_runs(void **state)
{
	readers_without_rights_read(state, WHILE_RUNNING);
}

static void an_analyst_reads_after_a_stop(void **state)
{
	readers_without_rights_read(state, AFTER_STOP);
}

static void an_analyst_reads_after_a_kill(void **state)
{
	readers_without_rights_read(state, AFTER_KILL);
}

/* --- size ---------------------------------------------------------------------------------------
 */

static uint64_t file_bytes(const struct kit *kit, const char *name)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", kit->dir, name);
	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_size;
}

/* 1e6 rows with SALLYPORT_SOAK, else as many as the sanitizers' patience allows. */
static void a_row_takes_few_octets(void **state)
{
	struct kit *kit = *state;
	const uint64_t rows = getenv("SALLYPORT_SOAK") ? 1000000 : 40000;
	struct historian *h = kit_historian(kit);
	uint64_t per_row, begin_ns;
	char sql[256];
	sqlite3 *db;

	begin_ns = clock_mono_ns();
	for (uint64_t i = 0; i < rows; i++) {
		char name[64], client[32];
		const struct kit_query q = { .name = name,
			                     .client = client,
			                     .verdict = VERDICT_ALLOW,
			                     .port = (uint16_t)(i * 7919),
			                     .ttl = 300 };

		snprintf(name, sizeof(name), "host%u.service.example.org.",
		         (unsigned int)(i * i % 997));
		snprintf(client, sizeof(client), "192.0.2.%u", (unsigned int)(i % 50));
		if (kit_ask(kit, 0, &q) == 0)
			fail_msg("the ring is full");
		kit->wall_ns += NS_PER_MS / 50;
		kit->boot_ns += NS_PER_MS * 2; /* so that few are folded */
		if (i % 500 == 499)
			kit_tick(kit, h);
	}
	kit_stop(kit, h);
	begin_ns = clock_mono_ns() - begin_ns;

	snprintf(sql, sizeof(sql), "%s/2026-11-23.allow.db", kit->dir);
	assert_int_equal(sqlite3_open(sql, &db), SQLITE_OK);
	snprintf(sql, sizeof(sql),
	         "DROP INDEX query_what; DROP INDEX query_id; DROP INDEX what_name;"
	         "DROP INDEX what_denied; VACUUM INTO '%s/bare.db'",
	         kit->dir);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);

	uint64_t n = (uint64_t)kit_sql(kit, "bare.db", "SELECT count(*) FROM query");

	per_row = file_bytes(kit, "bare.db") * 10 / n;
	print_message("%llu queries in %llu rows: %llu.%llu octets a row without indexes,"
	              " %llu ns a query\n",
	              (unsigned long long)rows, (unsigned long long)n,
	              (unsigned long long)per_row / 10, (unsigned long long)per_row % 10,
	              (unsigned long long)(begin_ns / rows));
	assert_true(n > rows / 2);
	assert_true(per_row <=
	            (rows < 1000000 ? 400 : 320)); /* fixed parts weigh more in a small one */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, kit_teardown)
		TEST(filters_find_what_they_say),
		TEST(a_row_says_all_that_was_recorded),
		TEST(follow_shows_each_row_once_as_it_comes),
		TEST(top_counts_queries_not_rows),
		TEST(who_tells_names_and_until_when),
		TEST(rare_rows_are_found_by_index),
		TEST(an_analyst_reads_while_it_runs),
		TEST(an_analyst_reads_after_a_stop),
		TEST(an_analyst_reads_after_a_kill),
		TEST(a_row_takes_few_octets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
