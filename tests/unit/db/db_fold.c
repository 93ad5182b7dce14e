/* tests/unit/db/db_fold.c - what becomes one row, what does not, and what each row says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kit.h"
#include "sallyport/cleanup.h"
#include "sallyport/clock.h"

#define TODAY_ALLOW "2026-11-23.allow.db"
#define TODAY_DENY "2026-11-23.deny.db"

static void identical_queries_become_one_row_with_exact_count(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);
	const struct kit_query q = { .verdict = VERDICT_ALLOW, .port = 40312, .ttl = 60 };
	uint64_t first = kit->wall_ns, last, first_id = kit->next_id;

	for (int i = 0; i < 500; i++) {
		last = kit->wall_ns;
		kit_ask(kit, (unsigned int)i % KIT_RINGS, &q);
		kit_pass(kit, 1);
	}
	kit_tick(kit, h);
	kit_stop(kit, h);

	assert_int_equal(kit_sql(kit, TODAY_ALLOW, "SELECT count(*) FROM query"), 1);
	assert_int_equal(kit_sql(kit, TODAY_ALLOW, "SELECT count FROM queries"), 500);
	assert_int_equal(kit_sql(kit, TODAY_ALLOW, "SELECT time_us FROM queries"), first / 1000);
	assert_int_equal(kit_sql(kit, TODAY_ALLOW, "SELECT last_us FROM queries"), last / 1000);
	assert_int_equal(kit_sql(kit, TODAY_ALLOW, "SELECT id FROM queries"), first_id);
	assert_int_equal(kit_sql(kit, TODAY_ALLOW, "SELECT client_port FROM queries"), 40312);
	assert_int_equal(kit_count(kit, COUNT_HISTORY_FOLDED), 499);
}

static const struct {
	const char *title;
	struct kit_query a, b;
	unsigned int rows;
} pairs[] = {
	{ "another name", { .name = "a.test." }, { .name = "b.test." }, 2 },
	{ "another client", { .client = "192.0.2.7" }, { .client = "192.0.2.8" }, 2 },
	{ "another type", { .type = 1 }, { .type = 28 }, 2 },
	{ "another verdict", { .verdict = VERDICT_ALLOW }, { .verdict = VERDICT_DENY }, 2 },
	{ "another workload", { .workload = 0 }, { .workload = 1 }, 2 },
	{ "another policy version", { .policy_version = 1 }, { .policy_version = 2 }, 2 },
	{ "another rcode", { .rcode = 0 }, { .rcode = 3 }, 2 },
	{ "another flag", { .flags = 0 }, { .flags = RECORD_CACHED }, 2 },
	{ "another reason", { .reason = REASON_RULE }, { .reason = REASON_FEED }, 2 },
	{ "another answer", { .answer = 1 }, { .answer = 2 }, 2 },
	{ "another port only", { .port = 1 }, { .port = 2 }, 1 },
	{ "another TTL only", { .ttl = 60 }, { .ttl = 59 }, 1 },
};

/* Whatever the hints say: none, that the two are the same, that they are not. */
static void check_pair(size_t i, uint16_t hint_a, uint16_t hint_b)
{
	struct kit_query a = pairs[i].a, b = pairs[i].b;
	struct kit kit;
	struct historian *h;
	struct kit_sums sums;

	a.hint = hint_a;
	b.hint = hint_b;
	kit_init(&kit, 1024);
	h = kit_historian(&kit);
	kit_ask(&kit, 0, &a);
	kit_ask(&kit, 1, &b);
	kit_ask(&kit, 0, &a);
	kit_stop(&kit, h);
	sums = kit_sum(&kit);
	kit_fini(&kit);
	if (sums.rows != pairs[i].rows || sums.queries != 3 || sums.gaps != 0)
		fail_msg("%s, hints %u and %u: %llu rows, %llu queries, %llu gaps", pairs[i].title,
		         hint_a, hint_b, (unsigned long long)sums.rows,
		         (unsigned long long)sums.queries, (unsigned long long)sums.gaps);
}

static void a_row_stands_for_equals_only(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		check_pair(i, 0, 0);
		check_pair(i, 7, 7);
		check_pair(i, UINT16_MAX, 7);
		check_pair(i, 0, 7);
	}
}

static void there_is_a_transaction_a_second(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);
	const struct kit_query q = { .verdict = VERDICT_ALLOW };

	for (int second = 1; second <= 3; second++) {
		for (int i = 0; i < 20; i++) {
			kit_ask(kit, 0, &q);
			kit_pass(kit, 50);
			kit_tick(kit, h);
		}
		/* One row a second, although the queries are identical: a row is never old. */
		if (kit_sql(kit, TODAY_ALLOW, "SELECT count(*) FROM query") < second)
			fail_msg("second %d is not written", second);
	}
	kit_stop(kit, h);
	assert_int_equal(kit_sum(kit).queries, 60);
}

static void the_ring_is_released_only_after_the_files_hold_it(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);
	const struct kit_query q = { .verdict = VERDICT_ALLOW };
	const _Atomic uint64_t *tail = &kit->producers[0].back->tail;

	kit_tick(kit, h); /* nothing yet; the next write is due in a second */
	kit_ask(kit, 0, &q);
	kit_tick(kit, h);
	kit_pass(kit, 100);
	kit_ask(kit, 0, &q);
	kit_tick(kit, h);
	kit_pass(kit, 1000);
	kit_tick(kit, h);
	assert_int_equal(atomic_load(tail), atomic_load(&kit->producers[0].head->head));
	assert_int_equal(kit_sum(kit).queries, 2);
	kit_stop(kit, h);
}

static void names_are_those_of_the_version_that_judged(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);
	const struct kit_query known = { .verdict = VERDICT_ALLOW };
	const struct kit_query unknown = { .name = "x.test.",
		                           .verdict = VERDICT_ALLOW,
		                           .policy_version = 9 };

	kit_ask(kit, 0, &known);
	kit_ask(kit, 0, &unknown);
	kit_stop(kit, h);
	assert_int_equal(kit_sql(kit, TODAY_ALLOW,
	                         "SELECT count(*) FROM queries WHERE workload='app01' AND"
	                         " profile='app-server' AND rule='allow db.example.org' AND"
	                         " rule_file='p.yaml' AND rule_line=7 AND policy_version=1"),
	                 1);
	/* Never dropped, never given another version's names. */
	assert_int_equal(kit_sql(kit, TODAY_ALLOW,
	                         "SELECT count(*) FROM queries WHERE workload='?0' AND rule='?0'"
	                         " AND policy_version=9"),
	                 1);
}

static void catalogs_outlive_the_historian(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit); /* stores versions 1 and 2 */
	const struct kit_query q = { .verdict = VERDICT_ALLOW, .policy_version = 2 };

	historian_free(h);
	kit_ask(kit, 0, &q);
	assert_int_equal(historian_new(&kit->options, &h), 0);
	assert_int_equal(historian_add_ring(h, 0, kit->data_fd[0], kit->back_fd[0]), 0);
	historian_start(h, kit->wall_ns, kit->boot_ns);
	kit_stop(kit, h);
	assert_int_equal(kit_sql(kit, TODAY_ALLOW, "SELECT workload='app01' FROM queries"), 1);
}

static void denials_and_failures_lie_in_their_own_file(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);
	static const struct {
		const char *title, *file;
		struct kit_query query;
	} rows[] = {
		{ "allowed", TODAY_ALLOW, { .verdict = VERDICT_ALLOW, .name = "a.test." } },
		{ "local", TODAY_ALLOW, { .verdict = VERDICT_LOCAL, .name = "b.test." } },
		{ "NXDOMAIN",
		  TODAY_ALLOW,
		  { .verdict = VERDICT_ALLOW, .rcode = 3, .name = "c.test." } },
		{ "denied", TODAY_DENY, { .verdict = VERDICT_DENY, .name = "d.test." } },
		{ "observed",
		  TODAY_DENY,
		  { .verdict = VERDICT_ALLOW, .flags = RECORD_OBSERVED, .name = "e.test." } },
		{ "SERVFAIL",
		  TODAY_DENY,
		  { .verdict = VERDICT_ALLOW, .rcode = 2, .name = "f.test." } },
		{ "no pinhole",
		  TODAY_DENY,
		  { .verdict = VERDICT_ALLOW, .reason = REASON_PINHOLE, .name = "g.test." } },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		kit_ask(kit, 0, &rows[i].query);
	kit_stop(kit, h);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char sql[128];

		snprintf(sql, sizeof(sql), "SELECT count(*) FROM queries WHERE name='%s'",
		         rows[i].query.name);
		if (kit_sql(kit, rows[i].file, sql) != 1)
			fail_msg("%s: not in %s", rows[i].title, rows[i].file);
	}
}

/* Malformed in one way each; told as queries that were offered, so that they are missed. */
enum spoil { SPOIL_VERDICT, SPOIL_REASON, SPOIL_LENGTH, SPOIL_CONTROL, SPOIL_TYPE, SPOIL_N };

static void records_that_break_the_format_are_counted_and_told(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);
	const struct kit_query q = { .verdict = VERDICT_ALLOW };

	for (enum spoil spoil = 0; spoil < SPOIL_N; spoil++) {
		struct ring_producer *ring = &kit->producers[0];
		struct record_query *record =
		    (void *)(ring->slots + ring->next % ring->n_slots * RING_SLOT);

		kit_put(kit, 0, &q);
		switch (spoil) {
		case SPOIL_VERDICT:
			record->verdict = VERDICT_N;
			break;
		case SPOIL_REASON:
			record->reason = 255;
			break;
		case SPOIL_LENGTH:
			record->name_len += 1;
			break;
		case SPOIL_CONTROL:
			((char *)(record + 1))[0] = '\033';
			break;
		case SPOIL_TYPE:
			record->head.type = 99;
			break;
		case SPOIL_N:
			break;
		}
		ring_publish(ring);
	}
	kit_ask(kit, 0, &q);
	kit_stop(kit, h);

	struct kit_sums sums = kit_sum(kit);

	assert_int_equal(sums.queries, 1);
	assert_int_equal(kit_count(kit, COUNT_HISTORY_MALFORMED), SPOIL_N);
	assert_int_equal(sums.causes, 1u << HISTORY_GAP_FORMAT);
	assert_int_equal(sums.lost[VERDICT_ALLOW], SPOIL_N);
}

static void what_breaks_the_format_between_windows_is_no_crash(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);
	const struct kit_query q = { .verdict = VERDICT_DENY };

	for (int i = 0; i < 300; i++) {
		struct ring_producer *ring = &kit->producers[0];
		struct record_query *record =
		    (void *)(ring->slots + ring->next % ring->n_slots * RING_SLOT);

		kit_put(kit, 0, &q);
		if (i < 150)
			record->reason = 255;
		ring_publish(ring);
		kit_pass(kit, 100);
		kit_tick(kit, h);
	}
	kit_stop(kit, h);

	struct kit_sums sums = kit_sum(kit);

	assert_int_equal(sums.causes, 1u << HISTORY_GAP_FORMAT);
	assert_int_equal(sums.lost[VERDICT_DENY], 150);
	assert_int_equal(sums.queries, 150);
}

/* FORMERR without a question, a response, a cut header: read from a socket, so kept. */
static void a_message_without_a_question_is_a_row(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);

	for (int i = 0; i < 3; i++)
		kit_ask(kit, 0,
		        &(struct kit_query){ .name = "", .rcode = 1, .reason = REASON_MALFORMED });
	kit_ask(kit, 0, &(struct kit_query){ .name = "." });
	kit_stop(kit, h);
	assert_int_equal(kit_count(kit, COUNT_HISTORY_MALFORMED), 0);
	assert_int_equal(kit_sum(kit).gaps, 0);
	assert_int_equal(kit_sql(kit, TODAY_DENY,
	                         "SELECT count FROM queries WHERE name='' AND rcode='FORMERR'"
	                         " AND reason='malformed'"),
	                 3);
	assert_int_equal(kit_sql(kit, TODAY_DENY, "SELECT count FROM queries WHERE name='.'"), 1);
}

static void hostile_times_make_no_hostile_files(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);
	const struct kit_query past = { .age_ns = KIT_NOON, .name = "past.test." };
	const struct kit_query future = { .age_ns = 0 - UINT64_C(3) * 86400 * NS_PER_S,
		                          .name = "future.test." };

	kit_ask(kit, 0, &past);
	kit_ask(kit, 0, &future);
	kit_stop(kit, h);
	assert_false(kit_exists(kit, "1970-01-01.deny.db"));
	assert_false(kit_exists(kit, "2026-11-26.deny.db"));
	assert_int_equal(kit_sql(kit, TODAY_DENY, "SELECT count(*) FROM query"), 2);
}

static void a_crowd_of_equal_times_stays_whole(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);

	for (int batch = 0; batch < 4; batch++) {
		for (int i = 0; i < 300; i++) {
			char name[32];
			struct kit_query q = { .name = name };

			snprintf(name, sizeof(name), "n%d-%d.test.", batch, i);
			q.age_ns = kit->wall_ns - KIT_NOON; /* all at the same nanosecond */
			kit_ask(kit, 0, &q);
		}
		kit_pass(kit, 1000);
		kit_tick(kit, h);
	}
	kit_stop(kit, h);
	assert_int_equal(kit_sum(kit).rows, 1200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, kit_setup, kit_teardown)
		TEST(identical_queries_become_one_row_with_exact_count),
		TEST(a_row_stands_for_equals_only),
		TEST(there_is_a_transaction_a_second),
		TEST(the_ring_is_released_only_after_the_files_hold_it),
		TEST(names_are_those_of_the_version_that_judged),
		TEST(catalogs_outlive_the_historian),
		TEST(denials_and_failures_lie_in_their_own_file),
		TEST(records_that_break_the_format_are_counted_and_told),
		TEST(what_breaks_the_format_between_windows_is_no_crash),
		TEST(a_message_without_a_question_is_a_row),
		TEST(hostile_times_make_no_hostile_files),
		TEST(a_crowd_of_equal_times_stays_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
