/* history, top and who: how their arguments are read, and what they say without a history. */
#include "run.h"

#include "filter.h"
#include "sallyport/err.h"

static const struct {
	const char *title, *line, *err;
} wrong[] = {
	{ "verdict", "history|--verdict|denied",
	  "--verdict is allow, deny or local, not 'denied'" },
	{ "reason", "history|--reason|fed", "'fed' is no reason; did you mean 'feed'?" },
	{ "type", "history|--type|BOGUSTYPE", "'BOGUSTYPE' is no record type" },
	{ "address", "history|--address|db.corp.test",
	  "'db.corp.test' is no address and no prefix" },
	{ "bits beyond the length", "history|--address|192.0.2.1/24", "write 192.0.2.0/24" },
	{ "client", "history|--client|x", "'x' is no address and no prefix" },
	{ "since", "history|--since|yesterday", "'yesterday' is no time" },
	{ "until", "history|--until|2026-13-01", "'2026-13-01' is no time" },
	{ "since after until", "history|--since|1h|--until|2h", "--since is later than --until" },
	{ "id", "history|--id|x", "--id is a number" },
	{ "limit", "history|--limit|-1", "'-1' is no number of rows" },
	{ "two numbers", "history|--first|1|--last|2", "give one" },
	{ "last and oldest", "history|--last|1|--oldest", "give one" },
	{ "follow and last", "history|--follow|--last|1", "--follow goes with" },
	{ "follow and until", "history|--follow|--until|1h", "--follow goes with" },
	{ "a word", "history|a.test", "usage: sallyport history" },
	{ "top of nothing", "top|rules", "top of what? names, workloads or denied, not 'rules'" },
	{ "top's limit", "top|names|--limit|0", "--limit is a number from 1" },
	{ "top does not follow", "top|names|--follow", "top has no option --follow" },
	{ "who", "who|app01", "'app01' is no address and no prefix" },
	{ "who's moment and span", "who|192.0.2.1|--at|1h|--since|2h", "--at is one moment" },
	{ "who's moment", "who|192.0.2.1|--at|noon", "'noon' is no time" },
};

static void wrong_arguments_are_told_with_the_remedy(void **state)
{
	struct keeper keeper;

	(void)state;
	keeper_start(&keeper, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct run run = keeper_run(&keeper, wrong[i].line);

		if (run.status != 2 || run.out[0] || !strstr(run.err, wrong[i].err))
			fail_msg("%s: status %d, %s%s", wrong[i].title, run.status, run.out,
			         run.err);
		run_fini(&run);
	}
	keeper_stop(&keeper);
}

static void filters_are_what_the_options_say(void **state)
{
	struct cli cli = { .now_ns = UINT64_C(1795424400000000000) };
	struct history_filter filter;

	(void)state;
	cli.err = fopen("/dev/null", "w");
	cli.args.values[OPT_WORKLOAD] = "app01";
	cli.args.values[OPT_NAME] = "**.corp.test";
	cli.args.values[OPT_REASON] = "no-rule";
	cli.args.values[OPT_TYPE] = "aaaa";
	cli.args.values[OPT_VERDICT] = "deny";
	cli.args.values[OPT_ADDRESS] = "2001:db8::/32";
	cli.args.values[OPT_SINCE] = "2h";
	cli.args.values[OPT_UNTIL] = "2026-11-23 08:30";
	cli.args.values[OPT_ID] = "18446744073709551615";
	assert_int_equal(filter_read(&cli, &filter), 0);
	assert_string_equal(filter.workload, "app01");
	assert_string_equal(filter.name, "**.corp.test");
	assert_int_equal(filter.reason, REASON_NO_RULE);
	assert_int_equal(filter.type, 28);
	assert_int_equal(filter.verdict, VERDICT_DENY);
	assert_true(filter.has_address);
	assert_int_equal(filter.address.len, 32);
	assert_false(filter.has_client);
	assert_true(filter.since_ns == UINT64_C(1795417200000000000));
	assert_true(filter.until_ns == UINT64_C(1795422600000000000));
	assert_true(filter.id == UINT64_MAX);
	fclose(cli.err);
}

static void local_times_are_read_and_shown_in_the_zone(void **state)
{
	struct cli cli = { .local = true, .now_ns = UINT64_C(1795424400000000000) };
	struct history_filter filter;
	char text[CLI_TIME_LEN];

	(void)state;
	setenv("TZ", "UTC-2", 1); /* two hours east of Greenwich */
	tzset();
	cli.args.values[OPT_SINCE] = "2026-11-23 09:00";
	assert_int_equal(filter_read(&cli, &filter), 0);
	assert_true(filter.since_ns == UINT64_C(1795417200000000000));
	cli_time(&cli, filter.since_ns, text);
	assert_string_equal(text, "2026-11-23 09:00:00.000+0200");
	cli.local = false;
	cli_time(&cli, filter.since_ns + 123456789, text);
	assert_string_equal(text, "2026-11-23 07:00:00.123Z");
	unsetenv("TZ");
	tzset();
}

static void a_missing_history_is_a_failure_and_an_empty_one_is_fine(void **state)
{
	static const char *const lines[] = {
		"history",           "history|--json", "history|--since|1h", "top|names",
		"top|denied|--json", "who|192.0.2.1",  "history|--last|5"
	};
	struct keeper keeper;
	char dir[96];

	(void)state;
	keeper_start(&keeper, NULL, 0);
	snprintf(dir, sizeof(dir), "%s/history", keeper.dir);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct run run = keeper_run(&keeper, lines[i]);

		if (run.status != 2 || !strstr(run.err, "there is no history at "))
			fail_msg("%s: status %d, %s", lines[i], run.status, run.err);
		run_fini(&run);
	}
	assert_int_equal(mkdir(dir, 0700), 0);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct run run = keeper_run(&keeper, lines[i]);

		if (run.status != 0 || run.out[0] || !strstr(run.err, "nothing was ever recorded"))
			fail_msg("%s: status %d, %s%s", lines[i], run.status, run.out, run.err);
		run_fini(&run);
	}
	rmdir(dir);
	keeper_stop(&keeper);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_arguments_are_told_with_the_remedy),
		cmocka_unit_test(filters_are_what_the_options_say),
		cmocka_unit_test(local_times_are_read_and_shown_in_the_zone),
		cmocka_unit_test(a_missing_history_is_a_failure_and_an_empty_one_is_fine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
