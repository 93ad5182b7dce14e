/* tests/unit/policy/policy_site.c - what the configuration does not provide for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "policy/site.h"

#define HEAD "version: 1\nprofiles: {p: }\nworkloads:\n"
#define LAN HEAD "  lan: {listener: [192.0.2.1, '2001:db8::1'], profile: p}\n"

static const struct {
	const char *title, *policy, *listeners[3];
	bool guards_sources;
	const char *want; /* all of it */
} cases[] = {
	{ "both are listened at", LAN, { "192.0.2.1", "2001:db8::1" }, false, "" },
	{ "wildcards are all addresses", LAN, { "0.0.0.0", "::" }, false, "" },
	{ "each of its family",
	  LAN,
	  { "::", "192.0.2.2" },
	  false,
	  "0:0 warning workload 'lan' is to be known at 192.0.2.1, where nobody can ask: the "
	  "configuration does not listen there; add it to listen\n" },
	{ "nobody but the policy says whom to filter",
	  LAN,
	  { "0.0.0.0", "::" },
	  true,
	  "0:0 warning workload 'lan' lists no source and firewall.guard is not set: nothing of it "
	  "is filtered; name its interface or prefix in firewall.guard\n" },
	{ "several",
	  LAN "  dmz: {listener: 192.0.2.2, profile: p}\n",
	  { "0.0.0.0", "::" },
	  true,
	  "0:0 warning 2 workloads, 'lan' the first, list no source and firewall.guard is not set: "
	  "nothing of them is filtered; name their interfaces or prefixes in firewall.guard\n" },
	{ "a source is filtered",
	  HEAD "  w: {source: 192.0.2.7, profile: p}\n",
	  { NULL },
	  true,
	  "" },
	{ "one of both is at least known",
	  HEAD "  w: {source: 192.0.2.7, listener: 192.0.2.1, profile: p}\n",
	  { "192.0.2.1" },
	  true,
	  "" },
};

static void what_does_not_fit_is_told(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t listeners[3][ADDR_LEN];
		struct policy_site site = { .listeners = (const uint8_t(*)[ADDR_LEN])listeners,
			                    .guards_sources = cases[i].guards_sources };
		struct fixture f;
		struct diag diag;
		char *got;

		for (size_t l = 0; l < 3 && cases[i].listeners[l]; l++)
			assert_int_equal(
			    addr_parse(cases[i].listeners[l], listeners[site.n_listeners++]), 0);
		fixture_open(&f, cases[i].policy, NULL);
		diag_init(&diag);
		policy_site_warn(&f.image, &site, "p.yaml", &diag);
		got = fixture_faults(&diag);
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s: got %s", cases[i].title, got);
		free(got);
		diag_fini(&diag);
		fixture_close(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_does_not_fit_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
