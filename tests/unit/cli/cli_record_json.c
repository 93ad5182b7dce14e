/* The field names of --json are a promise: these texts may gain fields at the end, never lose one.
 */
#include "run.h"

#include <netinet/in.h>

#include "json.h"
#include "record_json.h"
#include "sallyport/name.h"
#include "sallyport/err.h"

static const struct history_answer answers[] = {
	{ .name = "db.corp.test.",
	  .data = "10.2.0.2",
	  .ttl = 300,
	  .type = 1,
	  .has_addr = true,
	  .addr = { [10] = 0xff, [11] = 0xff, [12] = 10, [13] = 2, [15] = 2 } },
};

static const struct history_row allowed = {
	.kind = HISTORY_QUERY,
	.time_ns = UINT64_C(1795424400123456000),
	.last_ns = UINT64_C(1795424400123456000),
	.count = 1,
	.id = 42,
	.last_id = 42,
	.workload = "app01",
	.profile = "app-server",
	.has_client = true,
	.client = { [10] = 0xff, [11] = 0xff, [12] = 10, [13] = 1, [15] = 2 },
	.client_port = 40312,
	.proto = IPPROTO_UDP,
	.name = "db.corp.test.",
	.type = 1,
	.class = 1,
	.verdict = VERDICT_ALLOW,
	.reason = REASON_RULE,
	.dnssec = DNSSEC_SECURE,
	.rule = "allow db.corp.test",
	.rule_file = "policy.yaml",
	.rule_line = 9,
	.policy_version = 3,
	.ede = RECORD_NO_EDE,
	.latency_us = 812,
	.ttl = 300,
	.has_upstream = true,
	.upstream = { [10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = 53 },
	.upstream_port = 53,
	.answers = answers,
	.n_answers = 1,
};

static void check_json(const char *title, json_t *object, const char *want)
{
	char *got = object ? json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;

	if (!got || strcmp(got, want) != 0)
		fail_msg("%s: got\n%s\nwant\n%s", title, got, want);
	free(got);
	json_decref(object);
}

static void an_allowed_query_looks_as_the_design_says(void **state)
{
	(void)state;
	check_json(
	    "allowed", record_json(&allowed),
	    "{\"id\":42,\"time\":\"2026-11-23T09:00:00.123456Z\",\"workload\":\"app01\","
	    "\"profile\":\"app-server\",\"client\":\"10.1.0.2\",\"client_port\":40312,"
	    "\"proto\":\"udp\",\"name\":\"db.corp.test.\",\"type\":\"A\",\"verdict\":\"allow\","
	    "\"reason\":\"rule\",\"rule\":\"allow db.corp.test\",\"policy_version\":3,"
	    "\"rcode\":\"NOERROR\",\"ede\":null,\"dnssec\":\"secure\","
	    "\"addresses\":[\"10.2.0.2\"],\"answers\":[{\"name\":\"db.corp.test.\","
	    "\"type\":\"A\",\"ttl\":300,\"data\":\"10.2.0.2\"}],\"cached\":false,"
	    "\"upstream\":\"192.0.2.53\",\"latency_us\":812,\"count\":1,\"ttl\":300,"
	    "\"feed\":null,\"rule_file\":\"policy.yaml\",\"rule_line\":9,\"upstream_port\":53,"
	    "\"flags\":[]}");
}

static void a_denied_row_for_several_says_how_many(void **state)
{
	struct history_row row = allowed;

	(void)state;
	row.workload = row.profile = row.rule = row.rule_file = NULL;
	row.feed = "malware";
	row.verdict = VERDICT_DENY;
	row.reason = REASON_FEED;
	row.dnssec = DNSSEC_UNCHECKED;
	row.rcode = 3;
	row.ede = 15;
	row.count = 12;
	row.last_ns += UINT64_C(1500000000);
	row.last_id = 53;
	row.has_upstream = false;
	row.n_answers = 0;
	row.flags = RECORD_CACHED | RECORD_DO | RECORD_OBSERVED;
	row.proto = IPPROTO_TCP;
	row.type = 65;
	row.class = 3;
	check_json(
	    "denied", record_json(&row),
	    "{\"id\":42,\"time\":\"2026-11-23T09:00:00.123456Z\","
	    "\"last\":\"2026-11-23T09:00:01.623456Z\",\"workload\":null,\"profile\":null,"
	    "\"client\":\"10.1.0.2\",\"client_port\":40312,\"proto\":\"tcp\","
	    "\"name\":\"db.corp.test.\",\"type\":\"HTTPS\",\"verdict\":\"deny\","
	    "\"reason\":\"feed\",\"rule\":null,\"policy_version\":3,\"rcode\":\"NXDOMAIN\","
	    "\"ede\":15,\"dnssec\":\"unchecked\",\"addresses\":[],\"answers\":[],"
	    "\"cached\":true,\"upstream\":null,\"latency_us\":812,\"count\":12,\"ttl\":300,"
	    "\"feed\":\"malware\",\"rule_file\":null,\"rule_line\":null,"
	    "\"upstream_port\":null,\"flags\":[\"do\",\"observed\"],\"class\":3,\"last_id\":53}");
}

static void what_was_not_kept_is_null(void **state)
{
	struct history_row row = allowed;
	json_t *object;

	(void)state;
	row.answers_unknown = true;
	row.has_client = false;
	row.merged = true;
	object = record_json(&row);
	assert_true(json_is_null(json_object_get(object, "addresses")));
	assert_true(json_is_null(json_object_get(object, "answers")));
	assert_true(json_is_null(json_object_get(object, "client")));
	assert_true(json_is_null(json_object_get(object, "client_port")));
	assert_true(json_is_true(json_object_get(object, "merged")));
	json_decref(object);
}

static void names_of_the_network_are_escaped(void **state)
{
	struct history_row row = allowed;
	json_t *object;

	(void)state;
	row.name = "\033[2J\377.test.";
	object = record_json(&row);
	assert_string_equal(json_text(object, "name"), "\\027[2J\\255.test.");
	json_decref(object);
}

static void a_gap_counts_by_verdict(void **state)
{
	const struct history_row gap = {
		.kind = HISTORY_GAP,
		.time_ns = UINT64_C(1795424400000000000),
		.last_ns = UINT64_C(1795424401000000000),
		.gap = HISTORY_GAP_RING,
		.lost = { 1, 2, 3 },
		.kernel_drops = 4,
		.note = "worker 0",
	};

	(void)state;
	check_json("gap", record_json(&gap),
	           "{\"gap\":\"ring full\",\"time\":\"2026-11-23T09:00:00.000000Z\","
	           "\"last\":\"2026-11-23T09:00:01.000000Z\",\"lost\":{\"deny\":1,\"allow\":2,"
	           "\"local\":3},\"kernel_drops\":4,\"note\":\"worker 0\"}");
}

static void sums_have_their_names(void **state)
{
	const struct history_top_row name = { "a.test.", 9, 4, 2, UINT64_C(1795424400000000000) };
	const struct history_top_row nobody = { NULL, 9, 4, 0, UINT64_C(1795424400000000000) };
	const struct history_who who = {
		.workload = "app01",
		.profile = "app-server",
		.has_client = true,
		.client = { [0] = 0x20, [1] = 0x01, [2] = 0x0d, [3] = 0xb8, [15] = 2 },
		.name = "www.test.",
		.owner = "cdn.test.",
		.type = 28,
		.addr = { [0] = 0x20, [1] = 0x01, [2] = 0x0d, [3] = 0xb8, [15] = 9 },
		.first_ns = UINT64_C(1795424400000000000),
		.last_ns = UINT64_C(1795424460000000000),
		.until_ns = UINT64_C(1795424760000000000),
		.count = 3,
		.ttl = 300,
		.policy_version = 3,
		.id = 7,
	};

	(void)state;
	check_json("top names", record_top_json(HISTORY_TOP_NAMES, &name),
	           "{\"name\":\"a.test.\",\"count\":9,\"denied\":4,\"workloads\":2,"
	           "\"last\":\"2026-11-23T09:00:00.000000Z\"}");
	check_json("top workloads", record_top_json(HISTORY_TOP_WORKLOADS, &nobody),
	           "{\"workload\":null,\"count\":9,\"denied\":4,"
	           "\"last\":\"2026-11-23T09:00:00.000000Z\"}");
	check_json(
	    "who", record_who_json(&who),
	    "{\"address\":\"2001:db8::9\",\"workload\":\"app01\",\"profile\":\"app-server\","
	    "\"client\":\"2001:db8::2\",\"name\":\"www.test.\",\"type\":\"AAAA\","
	    "\"owner\":\"cdn.test.\",\"first\":\"2026-11-23T09:00:00.000000Z\","
	    "\"last\":\"2026-11-23T09:01:00.000000Z\",\"until\":\"2026-11-23T09:06:00.000000Z\","
	    "\"count\":3,\"ttl\":300,\"rule\":null,\"policy_version\":3,\"id\":7}");
}

static void response_codes_have_names(void **state)
{
	static const struct {
		unsigned int rcode;
		const char *want;
	} rcodes[] = { { 0, "NOERROR" },      { 2, "SERVFAIL" },
		       { 3, "NXDOMAIN" },     { 5, "REFUSED" },
		       { 11, "DSOTYPENI" },   { 12, "RCODE12" },
		       { 16, "BADVERS" },     { 23, "BADCOOKIE" },
		       { 4095, "RCODE4095" }, { UINT32_MAX, "RCODE4294967295" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rcodes); i++) {
		char got[NAME_RCODE_TEXT_LEN];

		name_rcode_text(rcodes[i].rcode, got);
		assert_string_equal(got, rcodes[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_allowed_query_looks_as_the_design_says),
		cmocka_unit_test(a_denied_row_for_several_says_how_many),
		cmocka_unit_test(what_was_not_kept_is_null),
		cmocka_unit_test(names_of_the_network_are_escaped),
		cmocka_unit_test(a_gap_counts_by_verdict),
		cmocka_unit_test(sums_have_their_names),
		cmocka_unit_test(response_codes_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
