/* What differs between two policies is told rule by rule. */
#include "run.h"

#include "changes.h"
#include "sallyport/err.h"

#define BASE                                                                                       \
	"version: 1\n"                                                                             \
	"profiles:\n"                                                                              \
	"  app:\n"                                                                                 \
	"    mode: enforce\n"                                                                      \
	"    allow:\n"                                                                             \
	"      - name: db.corp.test\n"                                                             \
	"        ports: [tcp/5432]\n"                                                              \
	"      - zone: docs.test\n"                                                                \
	"    deny:\n"                                                                              \
	"      - zone: evil.test\n"                                                                \
	"workloads:\n"                                                                             \
	"  app01: {source: 192.0.2.7, profile: app}\n"

static const struct {
	const char *title, *old, *new, *want;
} cases[] = {
	{ "nothing", BASE, BASE, "" },
	{ "only the layout", BASE,
	  "# a remark\nversion: 1\nworkloads: {app01: {profile: app, source: 192.0.2.7}}\n"
	  "profiles: {app: {deny: [{zone: evil.test}], mode: enforce,\n"
	  "  allow: [{zone: Docs.test.}, {ports: [tcp/5432], name: DB.corp.test}]}}\n",
	  /* a rule's text is kept as written, so the spelling is a change, but of the same rule */
	  "changed rule app: allow db.corp.test\nchanged rule app: allow zone docs.test\n" },
	{ "a rule more", BASE,
	  "version: 1\nprofiles: {app: {mode: enforce, allow: [{name: db.corp.test, ports: "
	  "[tcp/5432]},\n"
	  "  {zone: docs.test}, {name: x.test}], deny: [{zone: evil.test}]}}\n"
	  "workloads: {app01: {source: 192.0.2.7, profile: app}}\n",
	  "added rule app: allow x.test\n" },
	{ "types, mode, and a workload", BASE,
	  "version: 1\nprofiles: {app: {mode: observe, allow: [{name: db.corp.test, ports: "
	  "[tcp/5432],\n"
	  "  types: [A]}, {zone: docs.test}], deny: [{zone: evil.test}]}}\n"
	  "workloads: {app02: {source: 192.0.2.8, profile: app}}\n",
	  "changed profile app: mode\nchanged rule app: allow db.corp.test\n"
	  "removed workload app01\nadded workload app02\n" },
	{ "from allow to deny", "profiles: {p: {allow: [{name: a.test}]}}\n",
	  "profiles: {p: {deny: [{name: a.test}]}}\n",
	  "removed rule p: allow a.test\nadded rule p: deny a.test\n" },
	{ "a name is not a zone", "profiles: {p: {allow: [{name: a.test}]}}\n",
	  "profiles: {p: {allow: [{zone: a.test}]}}\n",
	  "removed rule p: allow a.test\nadded rule p: allow zone a.test\n" },
	{ "feeds and hosts", "feeds: {m: {file: a}}\nhosts: [{name: h.test, address: 192.0.2.1}]\n",
	  "feeds: {m: {file: b}}\nhosts: [{name: h.test, address: 192.0.2.2}]\n",
	  "changed feed m\nremoved host h.test 192.0.2.1\nadded host h.test 192.0.2.2\n" },
	{ "from nothing", "", "profiles: {p: {allow: [{name: a.test}]}}\n",
	  "added profile p\nadded rule p: allow a.test\n" },
	{ "what is no policy at all", "a: 1\n", "- 1\n", "malformed" },
	{ "what is no YAML", "a: 1\n", "a: [1\n", "malformed" },
	{ "no UTF-8, in a directive", "a: 1\n", "%a\357 b\n", "malformed" },
	{ "rules that are no mappings", "profiles: {p: {allow: [a.test]}}\n",
	  "profiles: {p: {allow: [b.test, [c]]}}\n",
	  "added rule p: allow ?\nremoved rule p: allow a.test\nadded rule p: allow b.test\n" },
	{ "profiles that are no mappings", "profiles: {p: 1}\n", "profiles: [p]\n",
	  "added setting profiles\nremoved profile p\n" },
};

static char *describe(const char *old, const char *new)
{
	struct changes changes = { 0 };
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (changes_find(old, strlen(old), new, strlen(new), &changes) < 0)
		fputs("malformed", out);
	for (size_t i = 0; i < changes.n; i++)
		fprintf(out, "%s %s %s\n", change_what_str(changes.items[i].what),
		        changes.items[i].kind, changes.items[i].subject);
	changes_fini(&changes);
	fclose(out);
	return text;
}

static void changes_are_told_by_rule(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *got = describe(cases[i].old, cases[i].new);

		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s: got\n%s", cases[i].title, got);
		free(got);
	}
}

static void before_and_after_are_shown_on_one_line(void **state)
{
	static const char old[] = "profiles: {p: {allow: [{name: a.test, ports: [tcp/1]}]}}\n";
	static const char new[] =
	    "profiles:\n  p:\n    allow:\n      - name: a.test\n        ports:\n"
	    "          - tcp/2\n";
	struct changes changes = { 0 };

	(void)state;
	assert_int_equal(changes_find(old, strlen(old), new, strlen(new), &changes), 0);
	assert_int_equal(changes.n, 1);
	assert_null(strchr(changes.items[0].after, '\n'));
	assert_non_null(strstr(changes.items[0].before, "tcp/1"));
	assert_non_null(strstr(changes.items[0].after, "tcp/2"));
	changes_fini(&changes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changes_are_told_by_rule),
		cmocka_unit_test(before_and_after_are_shown_on_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
