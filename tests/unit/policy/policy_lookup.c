/* tests/unit/policy/policy_lookup.c - the small questions to an image, chains' targets, explain. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "sallyport/err.h"
#include "sallyport/limits.h"
#include "sallyport/pinhole.h"

static const char sources[] =
    "version: 1\n"
    "profiles: {p: {pinhole: {floor: 5s, grace: 10s, max: 2m, addresses: 7, per_workload: 9}},\n"
    "           q: {extends: p, denied: refused, pinhole: {max: 3m}}}\n"
    "workloads:\n"
    "  host: {source: [192.0.2.7, '2001:db8::7', '2001:db8::8'], profile: p}\n"
    "  net: {source: 192.0.2.0/24, profile: q}\n"
    "  wide: {source: [192.0.0.0/16, '2001:db8::/32'], profile: q}\n"
    "  odd: {source: [192.0.2.128/27, 198.51.100.1, 203.0.113.0/25], profile: p}\n"
    "  six: {source: ['2001:db8:5::/48', '2001:db8:5::1'], profile: p}\n"
    "  all: {source: '0.0.0.0/0', profile: p}\n";

static void the_longest_prefix_wins(void **state)
{
	static const struct {
		const char *title, *addr, *want;
	} rows[] = {
		{ "a host beats its network", "192.0.2.7", "host" },
		{ "the network", "192.0.2.8", "net" },
		{ "a shorter one", "192.0.3.8", "wide" },
		{ "a length that is no multiple of 8", "192.0.2.129", "odd" },
		{ "its last address", "192.0.2.159", "odd" },
		{ "behind its last address", "192.0.2.160", "net" },
		{ "half a network", "203.0.113.127", "odd" },
		{ "the other half", "203.0.113.128", "all" },
		{ "IPv6", "2001:db8::7", "host" },
		{ "IPv6 network", "2001:db8::9", "wide" },
		{ "IPv6, longer", "2001:db8:5::9", "six" },
		{ "IPv6 stranger: all of IPv4 is not all", "2001:dba::1", "" },
		{ "IPv4 in its mapped form", "::ffff:192.0.2.7", "host" },
		{ "everything else of IPv4", "198.18.0.1", "all" },
	};
	struct fixture f;

	(void)state;
	fixture_open(&f, sources, NULL);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t addr[ADDR_LEN];
		char got[POLICY_TEXT_LEN];

		assert_int_equal(addr_parse(rows[i].addr, addr), 0);
		policy_workload_text(&f.image, policy_workload(&f.image, addr, NULL), got,
		                     sizeof(got));
		if (strcmp(got, rows[i].want) != 0)
			fail_msg("%s: got %s", rows[i].title, got);
	}
	fixture_close(&f);
}

static const char at_listeners[] =
    "version: 1\n"
    "profiles: {p: , q: }\n"
    "workloads:\n"
    "  app: {source: [192.0.2.7, '2001:db8::7'], profile: p}\n"
    "  lan: {listener: 192.0.2.1, profile: q}\n"
    "  dmz: {source: 192.0.2.128/25, listener: [198.51.100.1, '2001:db8::1'], profile: p}\n"
    "  odd: {source: 192.0.2.1, profile: q}\n";

static void only_a_client_of_no_source_is_known_by_the_listener(void **state)
{
	static const struct {
		const char *title, *addr, *at, *want;
	} rows[] = {
		{ "a stranger at a listener", "203.0.113.9", "192.0.2.1", "lan" },
		{ "a source goes first", "192.0.2.7", "192.0.2.1", "app" },
		{ "a prefix, too, in both workloads of one", "192.0.2.129", "192.0.2.1", "dmz" },
		{ "whose listener that is", "203.0.113.9", "198.51.100.1", "dmz" },
		{ "its other listener", "2001:db8::9", "2001:db8::1", "dmz" },
		{ "of another family than the client", "203.0.113.9", "2001:db8::1", "dmz" },
		{ "a listener of nobody's", "203.0.113.9", "192.0.2.2", "" },
		{ "a source is no listener", "203.0.113.9", "192.0.2.7", "" },
		{ "a listener is no source", "198.51.100.1", NULL, "" },
		{ "one address as a source of one and a listener of another", "192.0.2.1",
		  "198.51.100.1", "odd" },
		{ "no listener at all", "203.0.113.9", NULL, "" },
	};
	struct policy_workload_info w;
	char text[PREFIX_TEXT_LEN];
	struct fixture f;

	(void)state;
	fixture_open(&f, at_listeners, NULL);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t addr[ADDR_LEN], at[ADDR_LEN];
		char got[POLICY_TEXT_LEN];

		assert_int_equal(addr_parse(rows[i].addr, addr), 0);
		if (rows[i].at)
			assert_int_equal(addr_parse(rows[i].at, at), 0);
		policy_workload_text(&f.image,
		                     policy_workload(&f.image, addr, rows[i].at ? at : NULL), got,
		                     sizeof(got));
		if (strcmp(got, rows[i].want) != 0)
			fail_msg("%s: got %s", rows[i].title, got);
	}
	assert_int_equal(policy_image_workload(&f.image, 2, &w), 0);
	assert_int_equal(w.n_sources, 1);
	assert_int_equal(w.n_listeners, 2);
	prefix_text(&w.listeners[1], text);
	assert_string_equal(text, "2001:db8::1");
	assert_int_equal(policy_image_workload(&f.image, 0, &w), 0);
	assert_int_equal(w.n_listeners, 0);
	fixture_close(&f);
}

static void a_policy_of_listeners_alone_has_workloads(void **state)
{
	uint8_t addr[ADDR_LEN], at[ADDR_LEN];
	struct fixture f;

	(void)state;
	fixture_open(
	    &f, "version: 1\nprofiles: {p: }\nworkloads: {w: {listener: 192.0.2.1, profile: p}}\n",
	    NULL);
	assert_int_equal(addr_parse("203.0.113.9", addr), 0);
	assert_int_equal(addr_parse("192.0.2.1", at), 0);
	assert_int_equal(policy_workload(&f.image, addr, at), 0);
	assert_int_equal(policy_workload(&f.image, addr, NULL), POLICY_NONE);
	fixture_close(&f);
}

static void single_sources_are_those_of_a_family_without_a_prefix(void **state)
{
	static const struct {
		const char *title;
		uint32_t workload;
		bool v4;
		size_t want;
	} rows[] = {
		{ "one IPv4 address", 0, true, 1 },
		{ "two IPv6 addresses", 0, false, 2 },
		{ "a prefix only", 1, true, 0 },
		{ "no source of the family", 1, false, 0 },
		{ "an address beside prefixes", 3, true, 0 },
		{ "an IPv6 address beside its prefix", 4, false, 0 },
		{ "no such workload", 77, true, 0 },
	};
	struct fixture f;

	(void)state;
	fixture_open(&f, sources, NULL);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const uint8_t(*addrs)[ADDR_LEN];

		if (policy_single_sources(&f.image, rows[i].workload, rows[i].v4, &addrs) !=
		    rows[i].want)
			fail_msg("%s", rows[i].title);
	}
	fixture_close(&f);
}

static void at_most_sixteen_single_sources_are_told(void **state)
{
	const uint8_t(*addrs)[ADDR_LEN];
	char text[2048] = "version: 1\nprofiles: {p: }\nworkloads: {w: {profile: p, source: [";
	struct fixture f;

	(void)state;
	for (int i = 1; i <= 20; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "192.0.2.%d, ", i);
	strcat(text, "'2001:db8::1']}}\n");
	fixture_open(&f, text, NULL);
	assert_int_equal(policy_single_sources(&f.image, 0, true, &addrs), 16);
	assert_int_equal(addrs[15][15], 16);
	fixture_close(&f);
}

static void pinhole_numbers_are_inherited_one_by_one(void **state)
{
	struct policy_pinhole p;
	struct fixture f;

	(void)state;
	fixture_open(&f, sources, NULL);
	policy_pinhole(&f.image, 1, &p);
	assert_int_equal(p.floor_s, 5);
	assert_int_equal(p.grace_s, 10);
	assert_int_equal(p.max_s, 180);
	assert_int_equal(p.addresses, 7);
	assert_int_equal(p.per_workload, 9);
	assert_int_equal(policy_denied(&f.image, 0), POLICY_DENIED_NXDOMAIN);
	assert_int_equal(policy_denied(&f.image, 1), POLICY_DENIED_REFUSED);
	assert_int_equal(policy_profile_of(&f.image, 1), 1);
	assert_int_equal(policy_profile_of(&f.image, 77), POLICY_NONE);
	policy_pinhole(&f.image, 77, &p);
	assert_int_equal(p.max_s, 0);
	fixture_close(&f);

	fixture_open(
	    &f, "version: 1\nprofiles: {p: }\nworkloads: {w: {source: 192.0.2.1, profile: p}}\n",
	    NULL);
	policy_pinhole(&f.image, 0, &p);
	assert_int_equal(p.floor_s, 30);
	assert_int_equal(p.grace_s, 60);
	assert_int_equal(p.max_s, 3600);
	assert_int_equal(p.addresses, 64);
	assert_int_equal(p.per_workload, 4096);
	fixture_close(&f);
}

static void inbound_ports_are_inherited_whole(void **state)
{
	static const struct {
		const char *title;
		uint32_t profile;
		size_t n;
		uint16_t first, last;
	} cases[] = {
		{ "own, a range and a port of it again", 0, 4, 53, 5002 },
		{ "inherited", 1, 4, 53, 5002 },
		{ "its own in the place of inherited ones", 2, 1, 123, 123 },
		{ "none in their place", 3, 0, 0, 0 },
		{ "none at all", 4, 0, 0, 0 },
		{ "no such profile", 77, 0, 0, 0 },
	};
	struct fixture f;

	(void)state;
	fixture_open(
	    &f,
	    "version: 1\n"
	    "profiles: {p: {inbound: [udp/53, udp/5000-5002, udp/5001]}, q: {extends: p},\n"
	    "           r: {extends: p, inbound: udp/123}, s: {extends: p, inbound: []}, t: }\n"
	    "workloads: {w: {source: 192.0.2.1, profile: p}}\n",
	    NULL);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct policy_port *ports;
		size_t n = policy_inbound(&f.image, cases[i].profile, &ports);

		if (n != cases[i].n)
			fail_msg("%s: %zu ports", cases[i].title, n);
		for (size_t p = 0; p < n; p++) {
			assert_int_equal(ports[p].kind, PINHOLE_KIND_PORT);
			assert_int_equal(ports[p].proto, 17);
		}
		if (n > 0) {
			assert_int_equal(ports[0].port, cases[i].first);
			assert_int_equal(ports[n - 1].port, cases[i].last);
		}
	}
	fixture_close(&f);
}

static const char rules[] =
    "version: 1\n"
    "workloads: {w: {source: 192.0.2.1, profile: p}}\n"
    "profiles:\n"
    "  p:\n"
    "    allow:\n"
    "      - {name: a.test}\n"
    "      - {name: b.test, ports: [tcp/80, udp/53, tcp/80]}\n"
    "      - {name: c.test, ports: tcp/8000-8003}\n"
    "      - {name: d.test, ports: [tcp/*, udp/*, icmp]}\n"
    "      - {name: e.test, ports: any}\n"
    "      - {name: f.test, ports: none, owner: o, reason: why, ticket: T-1,\n"
    "         expires: 2030-01-01}\n"
    "      - {name: g.test, ports: tcp/1-128, expires: 2029-01-01T00:00:00Z}\n"
    "    deny:\n"
    "      - {zone: h.test, final: true}\n"
    "hosts:\n"
    "  - {name: Gw.test, address: 192.0.2.1}\n"
    "  - {name: gw.test., address: ['2001:db8::1', 192.0.2.2]}\n"
    "  - {name: six.test, address: '2001:db8::6'}\n";

static void ports_are_what_the_rule_says(void **state)
{
	static const struct {
		uint32_t rule;
		size_t n;
		struct policy_port last;
	} rows[] = {
		{ 0, 1, { PINHOLE_KIND_PORT, IPPROTO_TCP, 443 } },
		{ 1, 2, { PINHOLE_KIND_PORT, IPPROTO_UDP, 53 } },
		{ 2, 4, { PINHOLE_KIND_PORT, IPPROTO_TCP, 8003 } },
		{ 3, 3, { PINHOLE_KIND_PROTO, IPPROTO_ICMP, 0 } },
		{ 4, 1, { PINHOLE_KIND_ANY, 0, 0 } },
		{ 5, 0, { 0, 0, 0 } },
		{ 6, 128, { PINHOLE_KIND_PORT, IPPROTO_TCP, 128 } },
		{ 7, 0, { 0, 0, 0 } },
		{ POLICY_NONE, 0, { 0, 0, 0 } },
	};
	struct fixture f;

	(void)state;
	fixture_open(&f, rules, NULL);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct policy_port *ports;
		size_t n = policy_rule_ports(&f.image, rows[i].rule, &ports);

		if (n != rows[i].n ||
		    (n && memcmp(&ports[n - 1], &rows[i].last, sizeof(*ports)) != 0))
			fail_msg("rule %u: %zu ports", rows[i].rule, n);
	}
	fixture_close(&f);
}

static void rules_keep_what_people_wrote(void **state)
{
	struct policy_rule_info rule;
	char text[POLICY_TEXT_LEN];
	struct policy_profile_info profile;
	struct policy_counts counts;
	struct fixture f;

	(void)state;
	fixture_open(&f, rules, NULL);
	assert_int_equal(policy_image_rule(&f.image, 5, &rule), 0);
	assert_string_equal(rule.pattern, "f.test");
	assert_string_equal(rule.owner, "o");
	assert_string_equal(rule.reason, "why");
	assert_string_equal(rule.ticket, "T-1");
	assert_int_equal(rule.expires_s, 1893456000);
	assert_int_equal(rule.line, 11);
	assert_int_equal(rule.col, 9);
	assert_int_equal(policy_image_rule(&f.image, 8, &rule), ERR_NOENT);
	policy_rule_text(&f.image, 7, text, sizeof(text));
	assert_string_equal(text, "deny zone h.test");
	assert_int_equal(policy_rule_text(&f.image, 7, text, 6), 5);
	assert_string_equal(text, "deny ");
	assert_int_equal(policy_rule_text(&f.image, 99, text, sizeof(text)), 0);
	assert_int_equal(policy_image_profile(&f.image, 0, &profile), 0);
	assert_int_equal(profile.n_allow, 7);
	assert_int_equal(profile.n_deny, 1);
	assert_int_equal(profile.n_workloads, 1);
	policy_image_counts(&f.image, &counts);
	assert_int_equal(counts.rules, 8);
	assert_int_equal(counts.hosts, 4);
	assert_int_equal(policy_next_expiry(&f.image, FIXTURE_NOW), 1861920000);
	assert_int_equal(policy_next_expiry(&f.image, 1861920000), 1893456000);
	assert_int_equal(policy_next_expiry(&f.image, 1893456000), UINT64_MAX);
	fixture_close(&f);
}

static void hosts_of_one_name_are_one(void **state)
{
	const uint8_t(*addrs)[ADDR_LEN];
	uint8_t wire[NAME_MAX_WIRE], addr[ADDR_LEN];
	const uint8_t *name;
	struct fixture f;
	bool exists;

	(void)state;
	fixture_open(&f, rules, NULL);
	fixture_name("gW.TEST", wire);
	assert_int_equal(policy_hosts(&f.image, wire, true, &exists, &addrs), 2);
	assert_true(exists);
	assert_int_equal(addrs[1][15], 2);
	assert_int_equal(policy_hosts(&f.image, wire, false, &exists, &addrs), 1);
	fixture_name("six.test", wire);
	assert_int_equal(policy_hosts(&f.image, wire, true, &exists, &addrs), 0);
	assert_true(exists);
	fixture_name("x.gw.test", wire);
	assert_int_equal(policy_hosts(&f.image, wire, true, &exists, &addrs), 0);
	assert_false(exists);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(policy_image_host(&f.image, i, &name, addr), 0);
	assert_int_equal(policy_image_host(&f.image, 4, &name, addr), ERR_NOENT);
	fixture_close(&f);
}

static const char chain_policy[] =
    "version: 1\n"
    "workloads: {w: {source: 192.0.2.1, profile: p}, o: {source: 192.0.2.2, profile: o}}\n"
    "profiles:\n"
    "  p: &p\n"
    "    allow:\n"
    "      - {name: chain.test, ports: tcp/1, internal: true}\n"
    "      - {name: any.test, follow: any}\n"
    "      - {name: none.test, follow: none}\n"
    "      - {name: own.test, ports: tcp/9, follow: none}\n"
    "      - {name: own-internal.test, internal: true}\n"
    "      - {name: txt.test, types: TXT}\n"
    "      - {name: old.test, expires: 2020-01-01}\n"
    "      - {name: exact.listed.test}\n"
    "      - {name: '*.star.listed.test'}\n"
    "      - {name: vip.test, require: [dnssec]}\n"
    "    deny: [{zone: denied.test}]\n"
    "    feeds: [f]\n"
    "  o: {mode: observe, feeds: [f], deny: [{zone: denied.test}], allow: [{name: chain.test}]}\n"
    "feeds: {f: {file: f, format: domains}}\n";

static void targets_follow_as_the_entry_says(void **state)
{
	static const struct {
		const char *title, *entry, *target;
		bool inwards;
		const char *want;
		bool internal;
	} rows[] = {
		{ "no rule, chain: private addresses are the entry's own", "chain.test", "cdn.test",
		  false, "allow follow allow chain.test", false },
		{ "no rule, any", "any.test", "cdn.test", false, "allow follow allow any.test",
		  false },
		{ "no rule, none", "none.test", "cdn.test", false, "nxdomain no rule", false },
		{ "own rule, none: the entry's rule carries it", "none.test", "own.test", false,
		  "allow rule allow none.test", false },
		{ "own rule, chain", "chain.test", "own.test", false, "allow rule allow chain.test",
		  false },
		{ "own internal rule", "any.test", "own-internal.test", false,
		  "allow rule allow any.test", true },
		{ "a deny, chain", "chain.test", "x.denied.test", false,
		  "nxdomain rule deny zone denied.test", false },
		{ "a deny, any", "any.test", "x.denied.test", false,
		  "nxdomain rule deny zone denied.test", false },
		{ "a feed, chain", "chain.test", "x.listed.test", false, "nxdomain feed f", false },
		{ "a feed, any", "any.test", "x.listed.test", false, "allow follow allow any.test",
		  false },
		{ "a feed, none", "none.test", "x.listed.test", false, "nxdomain feed f", false },
		{ "a feed and an exact allow", "chain.test", "exact.listed.test", false,
		  "allow rule allow chain.test", false },
		{ "a feed and a star allow", "chain.test", "x.star.listed.test", false,
		  "nxdomain feed f", false },
		{ "a feed and a star allow, any", "any.test", "x.star.listed.test", false,
		  "allow rule allow any.test", false },
		{ "a type that the own rule lacks", "chain.test", "txt.test", false,
		  "nodata type allow txt.test", false },
		{ "an expired rule is no rule, chain", "chain.test", "old.test", false,
		  "allow follow allow chain.test", false },
		{ "an expired rule, none", "none.test", "old.test", false,
		  "nxdomain expired allow old.test", false },
		{ "inwards without a rule", "chain.test", "cdn.test", true, "nxdomain no rule",
		  false },
		{ "inwards without a rule, any", "any.test", "cdn.test", true, "nxdomain no rule",
		  false },
		{ "inwards with a rule", "chain.test", "own-internal.test", true,
		  "allow rule allow chain.test", true },
	};
	struct fixture f;
	const char *feeds[] = { "f", "listed.test\n", NULL };

	(void)state;
	fixture_open(&f, chain_policy, feeds);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t wire[NAME_MAX_WIRE];
		char got[FIXTURE_TEXT_LEN];
		struct verdict entry, v;

		fixture_judge(&f, rows[i].entry, "A", &entry);
		fixture_name(rows[i].target, wire);
		policy_judge_target(&f.image, 0, &entry, wire, 1, FIXTURE_NOW, rows[i].inwards, &v);
		fixture_verdict(&f, &v, got);
		if (strcmp(got, rows[i].want) != 0)
			fail_msg("%s: got %s", rows[i].title, got);
		if (v.internal != rows[i].internal)
			fail_msg("%s: internal is %d", rows[i].title, v.internal);
		if (v.kind == VERDICT_ALLOW && v.follow != entry.follow)
			fail_msg("%s: follow is %d", rows[i].title, v.follow);
	}
	fixture_close(&f);
}

static void a_target_inherits_requirements_and_needs_a_sound_entry(void **state)
{
	struct fixture f;
	const char *feeds[] = { "f", "listed.test\n", NULL };
	uint8_t wire[NAME_MAX_WIRE];
	struct verdict entry, v;

	(void)state;
	fixture_open(&f, chain_policy, feeds);
	fixture_name("cdn.test", wire);
	fixture_judge(&f, "vip.test", "A", &entry);
	policy_judge_target(&f.image, 0, &entry, wire, 1, FIXTURE_NOW, false, &v);
	assert_int_equal(v.kind, VERDICT_ALLOW);
	assert_true(v.require_dnssec);

	fixture_judge(&f, "denied.test", "A", &entry); /* a denial is no entry */
	policy_judge_target(&f.image, 0, &entry, wire, 1, FIXTURE_NOW, false, &v);
	assert_int_equal(v.kind, VERDICT_DENY);
	entry.kind = VERDICT_ALLOW; /* nor is a deny rule */
	policy_judge_target(&f.image, 0, &entry, wire, 1, FIXTURE_NOW, false, &v);
	assert_int_equal(v.kind, VERDICT_DENY);
	entry.rule = 12345; /* nor one of another image */
	policy_judge_target(&f.image, 0, &entry, wire, 1, FIXTURE_NOW, false, &v);
	assert_int_equal(v.kind, VERDICT_DENY);
	fixture_close(&f);
}

static void observing_profiles_follow_all_but_feeds_and_ways_inwards(void **state)
{
	static const struct {
		const char *title, *target;
		bool inwards;
		enum verdict_kind want;
		bool observed;
	} rows[] = {
		{ "no rule, a chain of an allowed name", "cdn.test", false, VERDICT_ALLOW, false },
		{ "a deny", "denied.test", false, VERDICT_ALLOW, true },
		{ "a feed", "listed.test", false, VERDICT_DENY, false },
		{ "inwards", "cdn.test", true, VERDICT_DENY, false },
	};
	struct fixture f;
	const char *feeds[] = { "f", "listed.test\n", NULL };

	(void)state;
	fixture_open(&f, chain_policy, feeds);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t wire[NAME_MAX_WIRE];
		struct verdict entry, v;

		fixture_name("chain.test", wire);
		policy_judge(&f.image, 1, wire, 1, FIXTURE_NOW, &entry);
		fixture_name(rows[i].target, wire);
		policy_judge_target(&f.image, 1, &entry, wire, 1, FIXTURE_NOW, rows[i].inwards, &v);
		if (v.kind != rows[i].want || v.observed != rows[i].observed)
			fail_msg("%s: kind %d observed %d", rows[i].title, v.kind, v.observed);
	}
	fixture_close(&f);
}

static const char explain_policy[] = "version: 1\n"
				     "workloads: {w: {source: 192.0.2.1, profile: p}}\n"
				     "profiles:\n"
				     "  b: {allow: [{name: x.a.test, owner: base}]}\n"
				     "  p:\n"
				     "    extends: b\n"
				     "    allow:\n"
				     "      - {zone: a.test}\n"
				     "      - {name: x.a.test, owner: own}\n"
				     "      - {name: '*.a.test', expires: 2020-01-01}\n"
				     "      - {name: t.b.test}\n"
				     "      - {zone: listed.test}\n"
				     "      - {name: fin.test}\n"
				     "    deny:\n"
				     "      - {name: x.a.test, types: TXT}\n"
				     "      - {name: t.b.test}\n"
				     "      - {zone: fin.test, final: true}\n"
				     "    feeds: [f]\n"
				     "feeds: {f: {file: f, format: domains}}\n";

static void explain_names_all_that_was_considered(void **state)
{
	static const struct {
		const char *title, *name, *want;
	} rows[] = {
		{ "own before inherited, exact before zone", "x.a.test",
		  "deny x.a.test: it denies other types only\n"
		  "allow x.a.test: it decides\n"
		  "allow x.a.test: an equally specific rule stands before it\n"
		  "allow *.a.test: it has expired\n"
		  "allow zone a.test: a more specific rule decides\n" },
		{ "a tie", "t.b.test",
		  "deny t.b.test: it decides\n"
		  "allow t.b.test: an equally specific deny decides\n" },
		{ "a feed", "y.listed.test",
		  "feed f: it decides\n"
		  "allow zone listed.test: a feed lists the name, and only an exact allow beats a "
		  "feed\n" },
		{ "final", "fin.test",
		  "deny zone fin.test: it decides\n"
		  "allow fin.test: a final deny decides\n" },
		{ "nothing", "example.org", "" },
	};
	struct fixture f;
	const char *feeds[] = { "f", "listed.test\n", NULL };

	(void)state;
	fixture_open(&f, explain_policy, feeds);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct policy_considered considered[16];
		char got[4096] = "", text[POLICY_TEXT_LEN];
		uint8_t wire[NAME_MAX_WIRE];
		struct verdict v, judged;
		size_t n;

		fixture_name(rows[i].name, wire);
		n = policy_explain(&f.image, 0, wire, 1, FIXTURE_NOW, considered,
		                   ARRAY_LEN(considered), &v);
		policy_judge(&f.image, 0, wire, 1, FIXTURE_NOW, &judged);
		assert_memory_equal(&v, &judged, sizeof(v));
		for (size_t k = 0; k < n; k++) {
			if (considered[k].rule != POLICY_NONE) {
				policy_rule_text(&f.image, considered[k].rule, text, sizeof(text));
			} else {
				strcpy(text, "feed ");
				policy_feed_text(&f.image, considered[k].feed, text + 5,
				                 sizeof(text) - 5);
			}
			snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s: %s\n", text,
			         policy_why_str(considered[k].why));
		}
		if (strcmp(got, rows[i].want) != 0)
			fail_msg("%s: got\n%s", rows[i].title, got);
	}
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_longest_prefix_wins),
		cmocka_unit_test(only_a_client_of_no_source_is_known_by_the_listener),
		cmocka_unit_test(a_policy_of_listeners_alone_has_workloads),
		cmocka_unit_test(single_sources_are_those_of_a_family_without_a_prefix),
		cmocka_unit_test(at_most_sixteen_single_sources_are_told),
		cmocka_unit_test(pinhole_numbers_are_inherited_one_by_one),
		cmocka_unit_test(inbound_ports_are_inherited_whole),
		cmocka_unit_test(ports_are_what_the_rule_says),
		cmocka_unit_test(rules_keep_what_people_wrote),
		cmocka_unit_test(hosts_of_one_name_are_one),
		cmocka_unit_test(targets_follow_as_the_entry_says),
		cmocka_unit_test(a_target_inherits_requirements_and_needs_a_sound_entry),
		cmocka_unit_test(observing_profiles_follow_all_but_feeds_and_ways_inwards),
		cmocka_unit_test(explain_names_all_that_was_considered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
