/* tests/unit/resolver_query/query_limits.c - bounds of what is in flight, history exactly once, and
 * the cached way without allocation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "amplification.h"
#include "cookie.h"
#include "follow_table.h"
#include "query.h"
#include "query_wait.h"
#include "rig.h"
#include "sallyport/clock.h"
#include "sallyport/name.h"
#include "tally.h"

static const char policy[] = "version: 1\n"
			     "profiles:\n"
			     "  web:\n"
			     "    allow:\n"
			     "      - {zone: example.org}\n"
			     "workloads:\n"
			     "  app01: {source: [10.1.0.2, 10.1.0.3, 10.1.0.4], profile: web}\n"
			     "  app02: {source: 10.2.0.2, profile: web}\n"
			     "  app03: {source: 10.3.0.2, profile: web}\n";

/* Every allocation of the linked program passes here (-Wl,--wrap). */
static unsigned long n_allocations;
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

void *__wrap_malloc(size_t size)
{
	n_allocations++;
	return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	n_allocations++;
	return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	n_allocations++;
	return __real_realloc(p, size);
}

static struct rig *rig_with(uint32_t in_flight, uint32_t workload, uint32_t client)
{
	struct resolver_conf *conf = malloc(sizeof(*conf));
	struct rig *rig;

	rig_conf(conf);
	conf->in_flight = in_flight;
	conf->in_flight_workload = workload;
	conf->in_flight_client = client;
	rig = rig_new(conf);
	free(conf);
	rig_policy(rig, policy);
	return rig;
}

static struct rig_answer *ask_n(struct rig *rig, const char *client, unsigned int n)
{
	char name[64];
	struct rig_ask ask = { .client = client, .name = name, .type = "A" };

	snprintf(name, sizeof(name), "n%u.example.org", n);
	return rig_ask(rig, &ask);
}

static void answers(const char *title, const struct rig_answer *answer, const char *want)
{
	char text[RIG_TEXT];

	rig_answer_text(answer, text, sizeof(text));
	if (strncmp(text, want, strlen(want)) != 0)
		fail_msg("%s: %s, not %s", title, text, want);
}

static void limits_hold_in_all_and_per_workload_and_client(void **state)
{
	static const char full[] = "SERVFAIL ede=0 \"limit in_flight: ";
	static const char workload_full[] = "SERVFAIL ede=0 \"limit in_flight_workload: ";
	static const char client_full[] = "SERVFAIL ede=0 \"limit in_flight_client: ";
	struct rig *rig = rig_with(8, 5, 3);

	(void)state;
	rig->upstream = RIG_UPSTREAM_HOLDS;
	for (unsigned int i = 0; i < 3; i++)
		answers("a client's first three", ask_n(rig, "10.1.0.2", i), "none");
	answers("its fourth", ask_n(rig, "10.1.0.2", 3), client_full);
	answers("its neighbour's first", ask_n(rig, "10.1.0.3", 4), "none");
	answers("its neighbour's second", ask_n(rig, "10.1.0.3", 5), "none");
	answers("the workload's sixth", ask_n(rig, "10.1.0.4", 6), workload_full);
	for (unsigned int i = 0; i < 3; i++)
		answers("another workload", ask_n(rig, "10.2.0.2", i), "none");
	answers("the ninth of all", ask_n(rig, "10.3.0.2", 9), full);
	assert_int_equal(queries_in_flight(&rig->worker), 8);
	assert_int_equal(rig_count(rig, COUNT_LIMIT_IN_FLIGHT), 3);

	/* Denials need no place; and when the upstream has spoken there is room again. */
	struct rig_ask denied = { .client = "10.3.0.2", .name = "other.test", .type = "A" };

	answers("a denial", rig_ask(rig, &denied), "NXDOMAIN ede=15");
	rig->upstream = RIG_UPSTREAM_ANSWERS;
	rig_turn(rig);
	assert_int_equal(queries_in_flight(&rig->worker), 0);
	rig->upstream = RIG_UPSTREAM_HOLDS;
	for (unsigned int i = 0; i < 3; i++)
		answers("three again", ask_n(rig, "10.1.0.2", 100 + i), "none");
	answers("and no more", ask_n(rig, "10.1.0.2", 103), client_full);
	rig->upstream = RIG_UPSTREAM_ANSWERS;
	rig_turn(rig);
	rig_free(rig);
}

/* What the other workers have in flight counts: in all, of the workload, of the client. */
static void limits_hold_over_all_workers(void **state)
{
	static const char full[] = "SERVFAIL ede=0 \"limit in_flight: ";
	static const char workload_full[] = "SERVFAIL ede=0 \"limit in_flight_workload: ";
	static const char client_full[] = "SERVFAIL ede=0 \"limit in_flight_client: ";
	struct rig *rig = rig_with(8, 5, 3);
	struct tally *tally = rig->worker.tally;
	struct tally_key client = { .workload = TALLY_CLIENT }, workload = { .workload = 0 };
	static const uint8_t v4[4] = { 10, 1, 0, 2 };

	(void)state;
	addr_from_v4(v4, client.addr);
	rig->upstream = RIG_UPSTREAM_HOLDS;
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(tally_claim(tally, TALLY_QUERIES, 8), 0);
		assert_int_equal(tally_claim_of(tally, &workload, 5), 0);
		assert_int_equal(tally_claim_of(tally, &client, 3), 0);
	}
	answers("a client's third", ask_n(rig, "10.1.0.2", 1), "none");
	answers("its fourth", ask_n(rig, "10.1.0.2", 2), client_full);
	answers("the workload's fourth", ask_n(rig, "10.1.0.3", 3), "none");
	answers("the workload's fifth", ask_n(rig, "10.1.0.3", 4), "none");
	answers("the workload's sixth", ask_n(rig, "10.1.0.3", 5), workload_full);
	for (unsigned int i = 0; i < 3; i++)
		answers("another workload", ask_n(rig, "10.2.0.2", i), "none");
	answers("the ninth of all", ask_n(rig, "10.3.0.2", 9), full);
	for (unsigned int i = 0; i < 2; i++) {
		tally_release(tally, TALLY_QUERIES);
		tally_release_of(tally, &workload);
		tally_release_of(tally, &client);
	}
	answers("room again", ask_n(rig, "10.1.0.2", 6), "none");
	rig->upstream = RIG_UPSTREAM_ANSWERS;
	rig_turn(rig);
	assert_int_equal(tally_in_use_of(tally, &client), 0);
	assert_int_equal(tally_in_use_of(tally, &workload), 0);
	rig_free(rig);
}

/* A trust anchor: the key is the curve's generator, and signs nothing. */
static const uint8_t anchor_key[4 + 64] = {
	0x01, 0x01, 3,    13,   0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc,
	0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0,
	0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96, 0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a,
	0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33, 0x57,
	0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5,
};

/* Is it known to have failed? */
static bool is_held(const struct rig *rig, unsigned int n)
{
	struct val_failure failure;
	uint8_t name[NAME_MAX_WIRE];
	char text[64];

	snprintf(text, sizeof(text), "n%u.example.org", n);
	assert_true(name_from_text(text, name) > 0);
	return val_failures_get(rig->worker.settings->failures, name, 1, rig->worker.now_ns,
	                        &failure);
}

/* What is costly gives way: one goes on in a turn of the loop, and workloads take turns. */
static void costly_validation_goes_on_one_by_one_in_turns(void **state)
{
	struct resolver_conf *conf = malloc(sizeof(*conf));
	struct queries *queries;
	struct rig *rig;

	(void)state;
	rig_conf(conf);
	conf->dnssec = DNSSEC_MODE_VALIDATE;
	conf->n_anchors = 1;
	conf->anchors[0].type = 48;
	conf->anchors[0].len = sizeof(anchor_key);
	memcpy(conf->anchors[0].rdata, anchor_key, sizeof(anchor_key));
	rig = rig_new(conf);
	free(conf);
	rig_policy(rig, policy);
	rig->validation_holds = true;
	queries = rig->worker.queries;
	rig_upstream(rig, ".", "DNSKEY", 0,
	             ". 300 IN DNSKEY 257 3 13 axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/"
	             "m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==");
	rig->upstream = RIG_UPSTREAM_HOLDS;
	for (unsigned int i = 0; i < 4; i++) {
		char name[64], record[128];

		snprintf(name, sizeof(name), "n%u.example.org", i);
		snprintf(record, sizeof(record), "%s. 300 IN A 8.8.100.1", name);
		rig_upstream(rig, name, "A", 0, record);
		ask_n(rig, i < 3 ? "10.1.0.2" : "10.2.0.2", i);
	}
	/* What may be checked in this turn has been. */
	for (struct query *q = queries->first; q; q = q->next)
		q->budget.turn_checks = 0;
	rig->upstream = RIG_UPSTREAM_ANSWERS;
	rig_turn(rig);
	assert_int_equal(queries->ways.n, 4); /* all have begun, none has ended */
	assert_true(queries->first->gave_way && queries->last->gave_way);

	uv_timer_stop(&queries->timer); /* its time is not the rig's: all would be too late */
	uv_run(&rig->worker.loop, UV_RUN_NOWAIT);
	assert_false(queries->first->gave_way);
	assert_int_equal(queries->ways.n, 3);
	/* The other workload's came last, and is the next. */
	uv_run(&rig->worker.loop, UV_RUN_NOWAIT);
	assert_false(queries->last->gave_way);
	assert_int_equal(queries->ways.n, 2);

	/* Who ends while it waits for its turn leaves the queue. */
	rig->upstream = RIG_UPSTREAM_HOLDS;
	rig_advance_ms(rig, LIMIT_QUERY_MS + 1);
	assert_int_equal(queries_in_flight(&rig->worker), 0);
	assert_int_equal(queries->ways.n, 0);
	/* That we were busy is not held against the name. */
	assert_false(is_held(rig, 1) || is_held(rig, 2));
	assert_true(is_held(rig, 0) && is_held(rig, 3));
	uv_run(&rig->worker.loop, UV_RUN_NOWAIT);
	rig->upstream = RIG_UPSTREAM_ANSWERS;
	rig_turn(rig);
	rig_free(rig);
}

static struct rig_answer *ask_with_cookie(struct rig *rig, const char *client, bool valid)
{
	static const uint8_t message[] = "\1\2\1\0\0\1\0\0\0\0\0\1\4many\7example\3org\0\0\1\0\1"
					 "\0\0\51\4\320\0\0\0\0\0\34\0\12\0\30"
					 "CLIENTS!";
	uint8_t msg[sizeof(message) - 1 + COOKIE_SERVER_LEN], addr[ADDR_LEN];
	uint8_t *server = msg + sizeof(message) - 1;

	memcpy(msg, message, sizeof(message) - 1);
	assert_int_equal(addr_parse(client, addr), 0);
	cookie_make(rig->worker.settings->conf.cookie_secret, (const uint8_t *)"CLIENTS!", addr,
	            (uint32_t)(rig->worker.wall_ns / NS_PER_S), server);
	server[COOKIE_SERVER_LEN - 1] ^= !valid;
	return rig_send(rig, client, NULL, false, msg, sizeof(msg));
}

static void what_may_be_forged_is_answered_threefold_within_the_budget(void **state)
{
	static const char cut[] = "NOERROR tc", whole[] = "NOERROR\n";
	struct resolver_conf *conf = malloc(sizeof(*conf));
	struct rig_ask ask = { .client = "10.1.0.2", .name = "many.example.org", .type = "A" };
	struct rig_ask small = { .client = "10.1.0.2", .name = "n1.example.org", .type = "A" };
	struct rig_ask by_tcp = ask, other = ask;
	struct rig *rig;
	char records[4096] = "";
	struct rig_answer *answer;
	unsigned int n = 0;

	(void)state;
	by_tcp.tcp = true;
	other.client = "10.2.0.2";
	rig_conf(conf);
	conf->amplification = 4096;
	rig = rig_new(conf);
	free(conf);
	rig_policy(rig, policy);
	for (unsigned int i = 1; i <= 40; i++)
		snprintf(records + strlen(records), sizeof(records) - strlen(records),
		         "many.example.org. 300 IN A 8.8.100.%u\n", i);
	rig_upstream(rig, "many.example.org", "A", 0, records);
	rig_upstream(rig, "n1.example.org", "A", 0, "n1.example.org. 300 IN A 8.8.100.1");

	do {
		answer = rig_ask(rig, &ask);
		rig_turn(rig);
		n++;
	} while (answer->len > 500 && n < 20);
	assert_in_range(n, 6, 10); /* 4096 and one more, at about 550 each */
	answers("over the budget", answer, cut);
	assert_true(answer->len <= 3 * 45);
	assert_int_equal(rig_count(rig, COUNT_LIMIT_AMPLIFICATION), 1);
	assert_int_equal(rig_count(rig, COUNT_TRUNCATED), 1);

	small.client = "10.1.0.3"; /* of the same /24 */
	answer = rig_ask(rig, &small);
	rig_turn(rig);
	answers("small answers go on", answer, whole);
	answer = rig_ask(rig, &other);
	rig_turn(rig);
	answers("another prefix", answer, whole);
	answer = rig_ask(rig, &by_tcp);
	rig_turn(rig);
	answers("by TCP", answer, whole);
	answers("with a valid cookie", ask_with_cookie(rig, "10.1.0.2", true), whole);
	answers("with a forged one", ask_with_cookie(rig, "10.1.0.2", false), cut);
	rig_advance_ms(rig, 1500);
	answers("later", rig_ask(rig, &ask), whole);
	rig_free(rig);
}

/* Cut or not is decided when the query is read: a budget that comes back, or is spent, while it
 * waits must not let addresses out for which nothing was opened. */
static void who_was_to_be_cut_is_cut_though_the_budget_is_back(void **state)
{
	struct resolver_conf *conf = malloc(sizeof(*conf));
	struct rig_ask ask = { .client = "10.1.0.2", .name = "many.example.org", .type = "A" };
	struct rig_answer *waiting;
	struct rig *rig;
	char records[4096] = "";
	uint8_t addr[ADDR_LEN];

	(void)state;
	rig_conf(conf);
	conf->amplification = 4096;
	rig = rig_new(conf);
	free(conf);
	rig_policy(rig, policy);
	for (unsigned int i = 1; i <= 40; i++)
		snprintf(records + strlen(records), sizeof(records) - strlen(records),
		         "many.example.org. 300 IN A 8.8.100.%u\n", i);
	rig_upstream(rig, "many.example.org", "A", 0, records);
	assert_int_equal(addr_parse("10.1.0.9", addr), 0);
	amplification_charge(rig->worker.amplification, addr, 6000, 0, 4096, rig->worker.now_ns);
	rig->upstream = RIG_UPSTREAM_HOLDS;
	waiting = rig_ask(rig, &ask);
	rig_advance_ms(rig, 3000);
	answers("it waits", waiting, "none");
	rig->upstream = RIG_UPSTREAM_ANSWERS;
	rig->opened[0] = '\0';
	rig_turn(rig);
	answers("it is cut", waiting, "NOERROR tc");
	assert_string_equal(rig->opened, "");
	rig_free(rig);
}

static void new_settings_keep_what_waits_and_forget_forms(void **state)
{
	struct rig *rig = rig_with(8, 8, 8);
	struct rig_answer *waiting;

	(void)state;
	rig_upstream(rig, "n1.example.org", "A", 0, "n1.example.org. 300 IN A 8.8.100.1");
	ask_n(rig, "10.1.0.2", 1);
	rig_turn(rig);
	rig->upstream = RIG_UPSTREAM_HOLDS;
	waiting = ask_n(rig, "10.1.0.2", 2);
	rig->worker.settings->conf.in_flight_client = 2;
	queries_settings_changed(&rig->worker);
	ask_n(rig, "10.1.0.2", 3);
	answers("the new limit counts the old query", ask_n(rig, "10.1.0.2", 4), "SERVFAIL");
	rig->upstream = RIG_UPSTREAM_ANSWERS;
	rig_turn(rig);
	answers("what waited is answered", waiting, "SERVFAIL ede=22");
	rig->opened[0] = '\0';
	ask_n(rig, "10.1.0.2", 1);
	rig_turn(rig);
	assert_string_not_equal(rig->opened, ""); /* another form: its pinholes are asked for */
	rig_free(rig);
}

static void every_message_read_is_in_the_history_once(void **state)
{
	static const struct {
		const char *title;
		size_t len;
		uint8_t msg[40];
		const char *answer;
		uint16_t rcode, flags;
	} cases[] = {
		{ "empty", 0, { 0 }, "dropped", 0, RECORD_UNANSWERED },
		{ "shorter than a header", 5, { 1, 2, 1 }, "dropped", 0, RECORD_UNANSWERED },
		{ "a response", 12, { 1, 2, 0x81, 0x80 }, "dropped", 0, RECORD_UNANSWERED },
		{ "no question", 12, { 1, 2, 1, 0 }, "FORMERR", 1, 0 },
		{ "a name that never ends",
		  16,
		  { 1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 9 },
		  "FORMERR",
		  1,
		  0 },
		{ "an update", 12, { 1, 2, 5 << 3, 0 }, "NOTIMP", 4, 0 },
		{ "EDNS version 1",
		  28,
		  { 1, 2, 1, 0, 0, 1,  0, 0,   0, 0, 0, 1, 0, 0,
		    1, 0, 1, 0, 0, 41, 4, 208, 0, 1, 0, 0, 0, 0 },
		  "NOERROR" /* the rest of BADVERS is in OPT */,
		  16,
		  0 },
	};
	struct rig *rig = rig_with(8, 8, 8);
	struct record_query record;
	char name[NAME_TEXT_LEN];
	unsigned int told;
	uint64_t last_id = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rig_answer *answer =
		    rig_send(rig, "10.1.0.2", NULL, false, cases[i].msg, cases[i].len);

		answers(cases[i].title, answer, cases[i].answer);
		if (!rig_record(rig, &record, name, sizeof(name), &told, NULL, 0))
			fail_msg("%s: no record", cases[i].title);
		if (record.rcode != cases[i].rcode || record.flags != cases[i].flags ||
		    record.verdict != VERDICT_DENY || record.id == last_id ||
		    record.workload == RECORD_NO_RULE)
			fail_msg("%s: rcode %u, flags %u", cases[i].title, record.rcode,
			         record.flags);
		last_id = record.id;
		if (rig_record(rig, &record, name, sizeof(name), &told, NULL, 0))
			fail_msg("%s: a second record", cases[i].title);
	}
	rig_free(rig);
}

static void an_answer_is_told_once_a_generation(void **state)
{
	struct rig *rig = rig_with(8, 8, 8);
	struct record_query first, record;
	char name[NAME_TEXT_LEN];
	unsigned int told;

	(void)state;
	rig_upstream(rig, "n1.example.org", "A", 0, "n1.example.org. 300 IN A 8.8.100.1");
	for (unsigned int i = 0; i < 3; i++) {
		ask_n(rig, "10.1.0.2", 1);
		rig_turn(rig);
	}
	assert_true(rig_record(rig, &first, name, sizeof(name), &told, NULL, 0));
	assert_int_equal(told, 1);
	for (unsigned int i = 0; i < 2; i++) {
		assert_true(rig_record(rig, &record, name, sizeof(name), &told, NULL, 0));
		assert_int_equal(told, 0);
		assert_memory_equal(record.answer_id, first.answer_id, ANSWER_ID_LEN);
	}
	/* The historian has begun a new file: told again. */
	atomic_fetch_add(&rig->ring.back->answers_generation, 1);
	ask_n(rig, "10.1.0.2", 1);
	rig_turn(rig);
	assert_true(rig_record(rig, &record, name, sizeof(name), &told, NULL, 0));
	assert_int_equal(told, 1);
	rig_free(rig);
}

/* The answer is given all the same; only asking for its target by itself is not. */
static void a_chains_target_that_finds_no_place_is_counted(void **state)
{
	struct rig *rig = rig_with(8, 8, 8);
	struct worker *w = &rig->worker;
	struct rig_ask target = { .client = "10.1.0.2", .name = "edge.cdn.test", .type = "A" };
	uint8_t name[NAME_MAX_WIRE], begin[NAME_MAX_WIRE];
	char text[32];

	(void)state;
	rig_upstream(rig, "n1.example.org", "A", 0,
	             "n1.example.org. 300 IN CNAME edge.cdn.test.\n"
	             "edge.cdn.test. 300 IN A 8.8.100.1");
	assert_true(name_from_text("www.example.org.", begin) > 0);
	for (unsigned int i = 0; i < LIMIT_FOLLOW_TARGETS; i++) {
		snprintf(text, sizeof(text), "t%u.cdn.test.", i);
		assert_true(name_from_text(text, name) > 0);
		assert_int_equal(follow_table_put(w->follow, rig->policy_version, 0, name, begin,
		                                  w->now_ns, w->now_ns + 3600 * NS_PER_S),
		                 0);
	}
	answers("a chain", ask_n(rig, "10.1.0.2", 1), "none");
	rig_turn(rig);
	assert_int_equal(rig_count(rig, COUNT_LIMIT_FOLLOW), 1);
	answers("its target", rig_ask(rig, &target), "NXDOMAIN ede=15");
	answers("the chain again", ask_n(rig, "10.1.0.2", 1), "NOERROR");
	rig_free(rig);
}

/* Everybody but the one name waits. */
static enum rig_says only_n1(struct rig *rig, const struct rig_question *question, uint8_t *msg,
                             size_t *ret_len)
{
	uint8_t name[NAME_MAX_WIRE];

	(void)rig;
	(void)msg;
	(void)ret_len;
	assert_true(name_from_text("n1.example.org.", name) > 0);
	return name_equal(question->name, name) ? RIG_SAYS_SCRIPT : RIG_SAYS_LATER;
}

/* An HTTPS answer with sixteen targets, given while their upstream says nothing; how many of them
 * are asked for. */
static unsigned int ahead_of(struct rig *rig)
{
	struct rig_ask https = { .client = "10.1.0.2", .name = "n1.example.org", .type = "HTTPS" };
	char records[2048] = "";
	struct rig_answer *answer;

	for (unsigned int i = 0; i < LIMIT_TARGETS; i++)
		snprintf(records + strlen(records), sizeof(records) - strlen(records),
		         "n1.example.org. 300 IN HTTPS %u t%u.cdn.test. alpn=h2\n", i + 1, i);
	rig_upstream(rig, "n1.example.org", "HTTPS", 0, records);
	rig->on_question = only_n1;
	answer = rig_ask(rig, &https);
	rig_turn(rig);
	answers("the answer, which waits for none of it", answer, "NOERROR");
	return (unsigned int)queries_in_flight(&rig->worker);
}

static void targets_are_asked_for_ahead_within_their_workloads_limits(void **state)
{
	static const char client_full[] = "SERVFAIL ede=0 \"limit in_flight_client: ";
	struct tally_key workload = { .workload = 0, .what = TALLY_QUERIES };
	struct tally_key ahead = { .workload = 0, .what = TALLY_AHEAD };
	struct rig *rig = rig_with(64, 64, 64);
	struct tally *tally = rig->worker.tally;

	(void)state;
	/* One question for each target: the workload has no address for AAAA. */
	_Static_assert(LIMIT_TARGETS == LIMIT_AHEAD, "one answer fills it");
	assert_int_equal(ahead_of(rig), LIMIT_AHEAD);
	assert_int_equal(rig_count(rig, COUNT_PREFETCHED_TARGETS), LIMIT_AHEAD);
	assert_int_equal(rig_count(rig, COUNT_LIMIT_AHEAD), 0);
	assert_int_equal(tally_in_use_of(tally, &workload), LIMIT_AHEAD);
	/* And no more, until there is room. */
	cache_flush(rig->worker.cache, (const uint8_t *)"", true);
	assert_int_equal(ahead_of(rig), LIMIT_AHEAD);
	assert_int_equal(rig_count(rig, COUNT_LIMIT_AHEAD), LIMIT_TARGETS);
	rig->on_question = NULL;
	rig_turn(rig);
	assert_int_equal(queries_in_flight(&rig->worker), 0);
	assert_int_equal(tally_in_use_of(tally, &workload), 0);
	assert_int_equal(tally_in_use_of(tally, &ahead), 0);
	rig_free(rig);

	/* Half of what a client may have in flight is left to it; the query that is answered is
	 * among the other half. */
	rig = rig_with(64, 64, 8);
	assert_int_equal(ahead_of(rig), 3);
	assert_int_equal(rig_count(rig, COUNT_LIMIT_AHEAD), LIMIT_TARGETS - 3);
	for (unsigned int i = 0; i < 5; i++)
		answers("its own", ask_n(rig, "10.1.0.2", 100 + i), "none");
	answers("its ninth", ask_n(rig, "10.1.0.2", 105), client_full);
	rig->on_question = NULL;
	rig_turn(rig);
	rig_free(rig);
}

static void the_cached_way_allocates_nothing(void **state)
{
	struct rig *rig = rig_with(8, 8, 8);
	struct rig_ask https = { .client = "10.1.0.2", .name = "n2.example.org", .type = "HTTPS" };
	struct rig_ask cached = { .client = "10.1.0.2", .name = "n1.example.org", .type = "A" };
	struct rig_ask denied = { .client = "10.1.0.2", .name = "x.other.test", .type = "A" };
	unsigned long before;

	(void)state;
	rig_upstream(rig, "n1.example.org", "A", 0, "n1.example.org. 300 IN A 8.8.100.1");
	before = n_allocations;
	rig_ask(rig, &cached);
	rig_turn(rig);
	assert_true(n_allocations > before); /* the counter counts */
	rig_upstream(rig, "n2.example.org", "HTTPS", 0,
	             "n2.example.org. 300 IN HTTPS 1 t.cdn.test. alpn=h2");
	for (unsigned int i = 0; i < 2; i++) {
		rig_ask(rig, &https);
		rig_turn(rig);
	}
	assert_int_equal(rig_count(rig, COUNT_PREFETCHED_TARGETS), 1);

	before = n_allocations;
	for (unsigned int i = 0; i < 100; i++) {
		answers("cached", rig_ask(rig, &cached), "NOERROR");
		answers("cached, with a target", rig_ask(rig, &https), "NOERROR");
		answers("denied", rig_ask(rig, &denied), "NXDOMAIN");
	}
	/* answers() reads with ldns, whose allocations are inside its shared library. */
	assert_int_equal(n_allocations, before);
	assert_int_equal(rig_count(rig, COUNT_HELD), 100);
	assert_int_equal(rig_count(rig, COUNT_PREFETCHED_TARGETS), 1);
	rig_free(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits_hold_in_all_and_per_workload_and_client),
		cmocka_unit_test(limits_hold_over_all_workers),
		cmocka_unit_test(costly_validation_goes_on_one_by_one_in_turns),
		cmocka_unit_test(what_may_be_forged_is_answered_threefold_within_the_budget),
		cmocka_unit_test(who_was_to_be_cut_is_cut_though_the_budget_is_back),
		cmocka_unit_test(new_settings_keep_what_waits_and_forget_forms),
		cmocka_unit_test(every_message_read_is_in_the_history_once),
		cmocka_unit_test(an_answer_is_told_once_a_generation),
		cmocka_unit_test(a_chains_target_that_finds_no_place_is_counted),
		cmocka_unit_test(targets_are_asked_for_ahead_within_their_workloads_limits),
		cmocka_unit_test(the_cached_way_allocates_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
