/* tests/unit/policy/policy_feeds.c - feeds as they come from outside: odd lines, other formats, and
 * many names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "sallyport/err.h"

#define N_NAMES 100000

static char *policy_with(const char *format)
{
	char *text;

	if (asprintf(&text,
	             "version: 1\nworkloads: {w: {source: 192.0.2.1, profile: p}}\n"
	             "profiles: {p: {allow: [{zone: .}], feeds: [f]}}\n"
	             "feeds: {f: {file: f, format: %s}}\n",
	             format) < 0)
		return NULL;
	return text;
}

static int compile_feed(struct fixture *f, const char *format, const char *text)
{
	const char *feeds[] = { "f", text, NULL };
	char *policy = policy_with(format);
	int r;

	assert_non_null(policy);
	r = fixture_compile(f, policy, feeds);
	free(policy);
	return r;
}

static const struct {
	const char *title, *format, *text, *name;
	bool listed;
} name_cases[] = {
	{ "CR at the ends", "domains", "a.test\r\nb.test\r\n", "b.test", true },
	{ "no newline at the end", "domains", "a.test\nb.test", "b.test", true },
	{ "blanks and a remark", "domains", "  a.test   # remark\n", "a.test", true },
	{ "a remark alone", "domains", "# b.test\na.test\n", "b.test", false },
	{ "a U-label", "domains",
	  "b\xc3\xbc"
	  "cher.test\n",
	  "xn--bcher-kva.test", true },
	{ "escapes", "domains", "a\\.b.test\n", "a\\.b.test", true },
	{ "underscores", "domains", "_x.test\n", "_x.test", true },
	{ "hosts with IPv6", "hosts", "::1 a.test\nfe80::1%lo0 localhost\n", "a.test", true },
	{ "hosts: the machine's own names are not listed", "hosts",
	  "127.0.0.1 localhost a.test\n255.255.255.255 broadcasthost\n", "localhost", false },
	{ "hosts: two names of a line", "hosts", "0.0.0.0 a.test b.test\n", "b.test", true },
	{ "rpz: names within the zone", "rpz",
	  "$ORIGIN rpz.example.\n@ SOA a b 1 2 3 4 5\n"
	  "a.test CNAME .\n",
	  "a.test", true },
	{ "rpz: absolute owners lose the zone's name", "rpz",
	  "rpz.example. 60 IN SOA a b 1 2 3 4 5\na.test.rpz.example. 60 IN CNAME .\n", "a.test",
	  true },
	{ "rpz: a second $ORIGIN", "rpz",
	  "$ORIGIN rpz.example.\n@ SOA a b 1 2 3 4 5\n$ORIGIN test.rpz.example.\na CNAME .\n",
	  "a.test", true },
	{ "rpz: without an origin owners are the names", "rpz", "a.test CNAME .\n", "a.test",
	  true },
	{ "rpz: the same, absolute", "rpz", "a.test. CNAME .\n", "a.test", true },
	{ "rpz: an owner left out is the last one", "rpz", "a.test TXT \"x ( y\"\n CNAME .\n",
	  "a.test", true },
	{ "rpz: class and TTL in any order", "rpz", "a.test IN 2h CNAME .\n", "a.test", true },
	{ "rpz: a semicolon", "rpz", "a.test CNAME . ; remark (\nb.test CNAME .\n", "b.test",
	  true },
	{ "rpz: an alias to itself excepts", "rpz", "*.test CNAME .\na.test CNAME a.test.\n",
	  "a.test", false },
	{ "rpz: everything", "rpz", "* CNAME .\n", "a.test", true },
	{ "rpz: the zone's own data is none", "rpz", "@ A 192.0.2.1\na.test CNAME .\n", "b.test",
	  false },
	{ "rpz: signatures are none", "rpz", "b.test RRSIG x\na.test CNAME .\n", "b.test", false },
};

static void names_are_found_as_listed(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(name_cases); i++) {
		struct fixture f;
		struct verdict v;
		int r = compile_feed(&f, name_cases[i].format, name_cases[i].text);

		if (r != ERR_OK)
			fail_msg("%s: %s", name_cases[i].title, fixture_faults(&f.diag));
		fixture_judge(&f, name_cases[i].name, "A", &v);
		if ((v.reason == REASON_FEED) != name_cases[i].listed)
			fail_msg("%s: reason %s", name_cases[i].title, reason_str(v.reason));
		fixture_close(&f);
	}
}

static const struct {
	const char *title, *format, *text;
	int result;
	const char *want;
} fault_cases[] = {
	{ "a line is left out", "domains", "a.test\nb test\nc.test\n", ERR_OK,
	  "2:1 warning not one domain name" },
	{ "another kind of list", "domains", "||a.test^\n||b.test^\n", ERR_CONFIG,
	  "is this really a feed of format domains?" },
	{ "hosts given as domains", "domains", "0.0.0.0 a.test\n0.0.0.0 b.test\n", ERR_CONFIG,
	  "is this really a feed of format domains?" },
	{ "domains given as hosts", "hosts", "a.test\nb.test\n", ERR_CONFIG,
	  "is this really a feed of format hosts?" },
	{ "hosts given as rpz", "rpz", "0.0.0.0\n0.0.0.1\n", ERR_CONFIG,
	  "is this really a feed of format rpz?" },
	{ "nothing", "domains", "# nothing\n", ERR_OK, "warning the feed lists no name" },
	{ "the root", "domains", ".\na.test\n", ERR_OK, "1:1 warning not one domain name" },
	{ "triggers of other kinds", "rpz", "a.test CNAME .\n32.1.2.0.192.rpz-ip CNAME .\n", ERR_OK,
	  "1 entries of other kinds" },
	{ "$INCLUDE", "rpz", "a.test CNAME .\n$INCLUDE b\n", ERR_OK, "are not followed" },
	{ "an owner outside the zone", "rpz",
	  "$ORIGIN rpz.example.\na.test CNAME .\na.test.other. CNAME .\n", ERR_OK,
	  "3:1 warning an owner that is no name of this zone" },
	{ "a label of 64", "domains",
	  "a.test\na234567890123456789012345678901234567890123456789012345678901234.test\n", ERR_OK,
	  "2:1 warning not one domain name" },
	{ "many odd lines are counted", "domains",
	  "a.test\nb.test\nc.test\nd.test\ne.test\nf.test\ng.test\n.\n.\n.\n.\n.\n.\n.\n", ERR_OK,
	  "2 more lines are left out" },
};

static void odd_lines_are_told(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fault_cases); i++) {
		struct fixture f;
		int r = compile_feed(&f, fault_cases[i].format, fault_cases[i].text);
		char *faults = fixture_faults(&f.diag);

		if (r != fault_cases[i].result || !strstr(faults, fault_cases[i].want))
			fail_msg("%s: result %d\n%s", fault_cases[i].title, r, faults);
		free(faults);
		fixture_close(&f);
	}
}

/* Names as block lists have them: about 20 octets. */
static void name_of(size_t i, char out[static 64])
{
	static const char *const words[] = { "track", "ads", "cdn", "stat", "pixel", "metrics" };

	snprintf(out, 64, "%s%zx.shop-%zu.%s", words[i % 6], i * 2654435761u % 65536, i / 3,
	         i % 2 ? "example" : "test");
}

static void many_names_cost_forty_octets_each_and_all_are_found(void **state)
{
	char *text = NULL, name[64];
	struct fixture f, without;
	size_t len, per_name;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	assert_non_null(out);
	for (size_t i = 0; i < N_NAMES; i++) {
		name_of(i, name);
		fprintf(out, "%s\n", name);
	}
	fclose(out);
	assert_int_equal(compile_feed(&f, "domains", text), ERR_OK);
	assert_int_equal(compile_feed(&without, "domains", "a.test\n"), ERR_OK);
	per_name = (f.image.len - without.image.len) / N_NAMES;
	print_message("%zu octets a name of %zu\n", per_name, len / N_NAMES + 1);
	assert_true(per_name <= 40);
	for (size_t i = 0; i < N_NAMES; i += 7) {
		struct verdict v;

		name_of(i, name);
		fixture_judge(&f, name, "A", &v);
		if (v.reason != REASON_FEED)
			fail_msg("%s is not found", name);
		memmove(name + 1, name, strlen(name) + 1);
		name[0] = 'q'; /* no list has it */
		fixture_judge(&f, name, "A", &v);
		if (v.reason != REASON_RULE)
			fail_msg("%s is found", name);
	}
	free(text);
	fixture_close(&f);
	fixture_close(&without);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_found_as_listed),
		cmocka_unit_test(odd_lines_are_told),
		cmocka_unit_test(many_names_cost_forty_octets_each_and_all_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
