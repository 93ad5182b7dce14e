/* tests/unit/policy/policy_faults.c - every fault is found, placed and explained; all at once. */
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

#define P(body)                                                                                    \
	"version: 1\nworkloads: {w: {source: 192.0.2.1, profile: p}}\nprofiles:\n  p:\n" body
#define ALLOW(rule) P("    allow:\n      - " rule "\n")
#define DENY(rule) P("    deny:\n      - " rule "\n")
#define FEED(body) P("    feeds: [f]\nfeeds: {f: " body "}\n")
#define WORKLOAD(body) "version: 1\nprofiles: {p: }\nworkloads:\n  w: " body "\n"

#define TWO_AT_ONE_LISTENER                                                                        \
	WORKLOAD("{listener: 192.0.2.1, profile: p}\n  v: {listener: [192.0.2.1], profile: p}")

struct fault_case {
	const char *title, *policy, *want; /* want: "line:col error text..." or a piece of it */
};

static const struct fault_case fault_cases[] = {
	/* the document */
	{ "empty", "", "1:1 error the policy is empty" },
	{ "not YAML", "version: [1\n", "error this is not YAML" },
	{ "not YAML, indentation", "a: 1\n b: 2\n", "error this is not YAML" },
	{ "two documents", "version: 1\n---\nversion: 1\n", "a second document begins here" },
	{ "a list", "- a\n", "1:1 error a policy is a mapping" },
	{ "a directive", "%YAML 1.2\n---\nversion: 1\n",
	  "1:1 error a YAML directive has no meaning" },
	{ "a directive that libfyaml never returns from", "version: 1\r\n%0\xc3\n",
	  "2:1 error a YAML directive" },
	{ "no UTF-8", "version: 1\nprofiles: {\357 b: }\n", "2:12 error octet 0xef is not UTF-8" },
	{ "a control character", "version: 1 # \033[2J\n", "1:14 error a control character" },
	{ "a doubled key", P("    mode: enforce\n    mode: observe\n"),
	  "6:5 error the key 'mode' stands here twice, first in line 5" },
	{ "a key that is a list", P("    [a]: 1\n"), "5:5 error a key is a list" },
	{ "a tag", P("    mode: !x enforce\n"), "a tag has no meaning here" },
	{ "an alias to nothing", P("    mode: *x\n"), "5:11 error no anchor 'x' stands before" },
	{ "nested deeply", P("    mode: [[[[[[[[[[[[[[[[[a]]]]]]]]]]]]]]]]]\n"),
	  "nested too deeply" },
	{ "an unknown key", "version: 1\nprofile: {}\nworkloads: {}\nprofiles: {}\n",
	  "2:1 error a policy has no key 'profile'; 'profiles' is the nearest" },
	{ "no version", "profiles: {}\nworkloads: {}\n", "1:1 error this policy has no 'version'" },
	{ "version 2", "version: 2\nprofiles: {}\nworkloads: {}\n",
	  "1:10 error version '2' of the policy language is not known; write version: 1" },
	{ "no profiles", "version: 1\nworkloads: {}\n", "this policy has no 'profiles'" },
	{ "no workloads", "version: 1\nprofiles: {}\n", "this policy has no 'workloads'" },
	{ "tests come later", "version: 1\nprofiles: {}\nworkloads: {}\ntests: []\n",
	  "4:1 error 'tests' is not built in yet" },
	{ "grants come later", "version: 1\nprofiles: {}\nworkloads: {}\ngrants: []\n",
	  "4:1 error 'grants' is not built in yet" },
	{ "profiles is a list", "version: 1\nprofiles: [a]\nworkloads: {}\n",
	  "2:11 error profiles is not a mapping" },
	{ "feeds is a list", P("    mode: enforce\nfeeds: [a]\n"), "feeds is not a mapping" },
	{ "workloads is a text", "version: 1\nprofiles: {}\nworkloads: a\n",
	  "3:12 error workloads is not a mapping" },

	/* a profile */
	{ "a profile's name", "version: 1\nworkloads: {}\nprofiles: {'a b': }\n",
	  "3:12 error a profile's name is 1 to 63 letters" },
	{ "a profile is a list", P("    - a\n"), "5:5 error a profile is a mapping" },
	{ "an unknown key of a profile", P("    alow: []\n"),
	  "5:5 error a profile has no key 'alow'; 'allow' is the nearest" },
	{ "nothing near", P("    something: []\n"),
	  "a profile has no key 'something'; it has mode, extends, denied" },
	{ "mode", P("    mode: on\n"),
	  "5:11 error 'on' is not known here; write one of enforce, observe" },
	{ "denied", P("    denied: servfail\n"), "write one of nxdomain, refused, nodata" },
	{ "extends nobody", P("    extends: [q]\n"), "5:15 error there is no profile 'q'" },
	{ "extends, nearly", P("    extends: base\n  bas: {}\n"),
	  "5:14 error there is no profile 'base'; 'bas' is the nearest" },
	{ "extends a mapping", P("    extends: {a: b}\n"),
	  "the name of a profile is missing here" },
	{ "extends itself", P("    extends: p\n"), "5:14 error 'p' extends itself through 'p'" },
	{ "extends in a circle", P("    extends: q\n  q: {extends: p}\n"), "break the circle" },
	{ "feeds nobody has", P("    feeds: [f]\n"), "5:13 error there is no feed 'f'" },
	{ "pinhole is a text", P("    pinhole: 30s\n"), "5:14 error a pinhole is a mapping" },
	{ "an unknown key of pinhole", P("    pinhole: {flor: 1s}\n"),
	  "a pinhole has no key 'flor'; 'floor' is the nearest" },
	{ "floor", P("    pinhole: {floor: 30}\n"), "5:22 error '30' is no duration" },
	{ "grace", P("    pinhole: {grace: 1ms}\n"), "'1ms' is out of range; write whole seconds" },
	{ "max", P("    pinhole: {max: 31d}\n"), "'31d' is out of range" },
	{ "max below grace", P("    pinhole: {max: 60s}\n"),
	  "5:14 error the pinholes of 'p' cannot live" },
	{ "addresses", P("    pinhole: {addresses: 0}\n"), "write a number from 1 to 256" },
	{ "addresses, too many", P("    pinhole: {addresses: 257}\n"), "from 1 to 256" },
	{ "per_workload", P("    pinhole: {per_workload: many}\n"), "'many' is out of range" },
	{ "per_workload, overflow", P("    pinhole: {per_workload: 99999999999999999999}\n"),
	  "is out of range; write a number from 1 to 1000000" },
	{ "reuse_max comes later", P("    pinhole: {reuse_max: 12h}\n"),
	  "5:15 error 'reuse_max' is not built in yet" },
	{ "inbound by TCP", P("    inbound: [udp/53, tcp/80]\n"),
	  "5:23 error 'tcp/80' is no port that can be inbound" },
	{ "inbound everywhere", P("    inbound: udp/*\n"), "write udp/53 or udp/5000-5010" },
	{ "inbound, port 0", P("    inbound: [udp/0]\n"), "5:15 error 'udp/0' " },
	{ "inbound, backwards", P("    inbound: [udp/9-8]\n"), "is the wrong way round" },
	{ "inbound is a mapping", P("    inbound: {udp: 53}\n"), "5:14 error" },
	{ "more inbound than a list holds", P("    inbound: [udp/1-128, udp/4000]\n"),
	  "5:14 error more than 128 inbound ports" },
	{ "allow is a mapping", P("    allow: {name: a.test}\n"), "allow is not a list" },
	{ "deny is a text", P("    deny: a.test\n"), "deny is not a list" },

	/* a rule */
	{ "a rule is a text", ALLOW("a.test"), "6:9 error a rule is a mapping; write name: ..." },
	{ "an unknown key of a rule", ALLOW("{nam: a.test}"),
	  "6:10 error a rule has no key 'nam'; 'name' is the nearest" },
	{ "a rule without a name", ALLOW("{ports: [tcp/1]}"), "this rule names nothing" },
	{ "name and zone", ALLOW("{name: a.test, zone: a.test}"), "name and zone in one rule" },
	{ "name is a list", ALLOW("{name: [a.test, b.test]}"), "a rule has one name" },
	{ "grant comes later", ALLOW("{name: a.test, grant: x}"), "'grant' is not built in yet" },
	{ "an empty name", ALLOW("{name: ''}"), "an empty name" },
	{ "an empty label", ALLOW("{name: a..test}"), "'a..test': an empty label" },
	{ "a dot in front", ALLOW("{name: .a.test}"), "an empty label" },
	{ "a long label",
	  ALLOW("{name: a23456789012345678901234567890123456789012345678901234567890123x.test}"),
	  "a label is longer than 63 octets" },
	{ "a long name",
	  ALLOW("{name: a2345678901234567890123456789012345678901234567890.a234567890123456789012"
	        "3456789012345678901234567890.a2345678901234567890123456789012345678901234567890.a"
	        "2345678901234567890123456789012345678901234567890.a2345678901234567890123456789012"
	        "345678901234567890.test}"),
	  "longer than 255 octets" },
	{ "a blank", ALLOW("{name: 'a b.test'}"), "a blank or control character" },
	{ "\\ at the end", ALLOW("{name: 'a\\'}"), "a \\ stands at the end" },
	{ "\\ and two digits", ALLOW("{name: 'a\\04.test'}"), "fewer than three digits" },
	{ "\\ and 256", ALLOW("{name: 'a\\256.test'}"), "\\DDD is over 255" },
	{ "** further inside", ALLOW("{name: 'a.**.test'}"), "** further inside" },
	{ "** within a label", ALLOW("{name: 'a**.test'}"), "** within a label" },
	{ "***", ALLOW("{name: '***.test'}"), "** within a label" },
	{ "a zone with a star", ALLOW("{zone: '*.test'}"), "a zone with a *" },
	{ "a bad U-label", ALLOW("{name: \"\\u2615.test\"}"),
	  "not a valid internationalized label" },
	{ "a U-label with a star", ALLOW("{name: \"b\\u00fc*.test\"}"), "write the A-label" },
	{ "types is empty", ALLOW("{name: a.test, types: []}"), "0 types; write 1 to 32" },
	{ "types nobody knows", ALLOW("{name: a.test, types: [A, QUAD]}"),
	  "6:35 error 'QUAD' is no record type" },
	{ "types ANY", ALLOW("{name: a.test, types: [ANY]}"), "never asked upstream" },
	{ "types RRSIG", DENY("{name: a.test, types: [RRSIG]}"), "never asked upstream" },
	{ "ports without a protocol", ALLOW("{name: a.test, ports: [443]}"), "'443' is no port" },
	{ "port 0", ALLOW("{name: a.test, ports: tcp/0}"), "ports are 1 to 65535" },
	{ "port 65536", ALLOW("{name: a.test, ports: tcp/65536}"), "ports are 1 to 65535" },
	{ "ports backwards", ALLOW("{name: a.test, ports: tcp/20-10}"), "the wrong way round" },
	{ "ports by name", ALLOW("{name: a.test, ports: tcp/https}"), "is no port" },
	{ "ports with a tail", ALLOW("{name: a.test, ports: tcp/1-2-3}"), "is no port" },
	{ "sctp", ALLOW("{name: a.test, ports: sctp/1}"), "is no port" },
	{ "too many ports", ALLOW("{name: a.test, ports: tcp/1-129}"),
	  "more than 128 ports; write tcp/*" },
	{ "too many ports of two ranges", ALLOW("{name: a.test, ports: [tcp/1-100, udp/1-100]}"),
	  "more than 128 ports" },
	{ "no ports", ALLOW("{name: a.test, ports: []}"), "an empty list of ports" },
	{ "none beside others", ALLOW("{name: a.test, ports: [none, tcp/1]}"),
	  "none beside other ports" },
	{ "follow", ALLOW("{name: a.test, follow: all}"), "write one of none, chain, any" },
	{ "require", ALLOW("{name: a.test, require: [dnsec]}"), "write one of dnssec" },
	{ "internal", ALLOW("{name: a.test, internal: yes}"), "write one of false, true" },
	{ "final allow", ALLOW("{name: a.test, final: true}"), "only a deny can be final" },
	{ "final", DENY("{name: a.test, final: 1}"), "write one of false, true" },
	{ "ports of a deny", DENY("{name: a.test, ports: [tcp/1]}"), "has no 'ports'" },
	{ "follow of a deny", DENY("{name: a.test, follow: any}"), "has no 'follow'" },
	{ "require of a deny", DENY("{name: a.test, require: [dnssec]}"), "has no 'require'" },
	{ "internal of a deny", DENY("{name: a.test, internal: true}"), "has no 'internal'" },
	{ "owner", ALLOW("{name: a.test, owner: [a]}"), "a list stands where a text belongs" },
	{ "reason", ALLOW("{name: a.test, reason: \"a\\nb\"}"), "a control character in a text" },
	{ "ticket", ALLOW("{name: a.test, ticket: {a: b}}"), "a mapping stands where a text" },
	{ "expires in a while", ALLOW("{name: a.test, expires: 2h}"), "'2h' is no date" },
	{ "expires never", ALLOW("{name: a.test, expires: 2027-13-01}"), "is no date" },
	{ "a rule twice", P("    allow:\n      - name: A.test\n      - name: a.test.\n"),
	  "7:9 error allow a.test. stands twice in profile 'p', first in line 6" },
	{ "a star rule twice", P("    deny: [{name: '*.a.test'}, {name: '*.a.test'}]\n"),
	  "stands twice" },

	/* feeds */
	{ "a feed's name", P("    mode: enforce\nfeeds: {'': {file: a, format: rpz}}\n"),
	  "a feed's name is 1 to 63" },
	{ "a feed is a text", FEED("a"), "a feed is a mapping" },
	{ "an unknown key of a feed", FEED("{file: a, format: rpz, url: b}"),
	  "a feed has no key 'url'" },
	{ "no file", FEED("{format: rpz}"), "this feed has no 'file'" },
	{ "an empty file", FEED("{file: '', format: rpz}"), "no file is named" },
	{ "no format", FEED("{file: a}"), "this feed has no 'format'" },
	{ "format", FEED("{file: a, format: csv}"), "write one of domains, hosts, rpz" },
	{ "transfers come later", FEED("{file: a, format: rpz, primaries: [192.0.2.1]}"),
	  "'primaries' is not built in yet" },
	{ "a feed without its text", FEED("{file: a.txt, format: rpz}"),
	  "the text of feed 'f' is missing; its file is 'a.txt'" },

	/* workloads */
	{ "a workload's name",
	  "version: 1\nprofiles: {p: }\nworkloads: {a/b: {source: 192.0.2.1, "
	  "profile: p}}\n",
	  "a workload's name is 1 to 63" },
	{ "a workload is a text", WORKLOAD("p"), "a workload is a mapping" },
	{ "an unknown key of a workload", WORKLOAD("{sources: 192.0.2.1, profile: p}"),
	  "4:7 error a workload has no key 'sources'; 'source' is the nearest" },
	{ "neither source nor listener", WORKLOAD("{profile: p}"),
	  "4:6 error this workload has neither 'source' nor 'listener'" },
	{ "no profile anywhere", "version: 1\nworkloads: {w: {source: 192.0.2.1}}\n",
	  "this workload has no 'profile'" },
	{ "no profile", WORKLOAD("{source: 192.0.2.1}"), "this workload has no 'profile'" },
	{ "an empty source", WORKLOAD("{source: [], profile: p}"), "0 sources" },
	{ "source", WORKLOAD("{source: 192.0.2, profile: p}"),
	  "'192.0.2' is no address or prefix" },
	{ "source with a length", WORKLOAD("{source: 192.0.2.0/33, profile: p}"),
	  "is no address or prefix" },
	{ "source with bits beyond", WORKLOAD("{source: 192.0.2.1/24, profile: p}"),
	  "192.0.2.0/24 would be right" },
	{ "source is a mapping", WORKLOAD("{source: [{a: b}], profile: p}"),
	  "a mapping stands where a text" },
	{ "profile nobody has", WORKLOAD("{source: 192.0.2.1, profile: q}"),
	  "there is no profile 'q'; 'p' is the nearest" },
	{ "two profiles", WORKLOAD("{source: 192.0.2.1, profile: [p, p]}"),
	  "a workload has one profile" },
	{ "a source twice", WORKLOAD("{source: [192.0.2.1, 192.0.2.1], profile: p}"),
	  "192.0.2.1 is a source of 'w' already (line 4)" },
	{ "a source of two",
	  WORKLOAD("{source: 192.0.2.0/24, profile: p}\n  v: {source: 192.0.2.0/24, profile: p}"),
	  "5:15 error 192.0.2.0/24 is a source of 'w' already" },
	{ "an empty listener", WORKLOAD("{listener: [], profile: p}"), "0 listeners" },
	{ "a listener's port", WORKLOAD("{listener: '192.0.2.1:53', profile: p}"),
	  "4:17 error '192.0.2.1:53' is no address; write the listener's" },
	{ "a listener's length", WORKLOAD("{listener: 192.0.2.1/32, profile: p}"),
	  "'192.0.2.1/32' is no address; write the listener's" },
	{ "a listener is a mapping", WORKLOAD("{listener: [{address: 192.0.2.1}], profile: p}"),
	  "a mapping stands where a text" },
	{ "listeners on all addresses", WORKLOAD("{listener: 0.0.0.0, profile: p}"),
	  "'0.0.0.0' is not the address of one listener" },
	{ "listeners on all of IPv6", WORKLOAD("{listener: '::', profile: p}"),
	  "'::' is not the address of one listener" },
	{ "a multicast listener", WORKLOAD("{listener: [192.0.2.1, 'ff02::fb'], profile: p}"),
	  "'ff02::fb' is not the address of one listener" },
	{ "a broadcast listener", WORKLOAD("{listener: 255.255.255.255, profile: p}"),
	  "'255.255.255.255' is not the address of one listener" },
	{ "a link-local listener", WORKLOAD("{listener: 'fe80::1', profile: p}"),
	  "'fe80::1' is not the address of one listener" },
	{ "a listener twice", WORKLOAD("{listener: [192.0.2.1, 192.0.2.1], profile: p}"),
	  "192.0.2.1 is a listener of 'w' already (line 4); list it once" },
	{ "a listener of two, at the first", TWO_AT_ONE_LISTENER,
	  "4:17 error 192.0.2.1 is a listener of 'v', too (line 5)" },
	{ "a listener of two, at the second", TWO_AT_ONE_LISTENER,
	  "5:18 error 192.0.2.1 is a listener of 'w', too (line 4)" },
	{ "client certificates come later",
	  WORKLOAD("{source: 192.0.2.1, profile: p, certificate: x}"),
	  "'certificate' is not built in yet" },

	/* hosts */
	{ "hosts is a mapping", P("    mode: enforce\nhosts: {a.test: 192.0.2.1}\n"),
	  "hosts is not a list" },
	{ "an unknown key of hosts",
	  P("    mode: enforce\nhosts: [{name: a.test, address: 192.0.2.1, ttl: 5}]\n"),
	  "a hosts entry has no key 'ttl'" },
	{ "no name", P("    mode: enforce\nhosts: [{address: 192.0.2.1}]\n"),
	  "this hosts entry has no 'name'" },
	{ "no address", P("    mode: enforce\nhosts: [{name: a.test}]\n"),
	  "this hosts entry has no 'address'" },
	{ "no address in the list", P("    mode: enforce\nhosts: [{name: a.test, address: []}]\n"),
	  "an empty list of addresses" },
	{ "a host's pattern",
	  P("    mode: enforce\nhosts: [{name: '*.test', address: 192.0.2.1}]\n"),
	  "a * in a host's name" },
	{ "a host's prefix",
	  P("    mode: enforce\nhosts: [{name: a.test, address: 192.0.2.0/24}]\n"),
	  "'192.0.2.0/24' is no address" },
};

static void every_key_refuses_what_it_cannot_mean(void **state)
{
	size_t n_wrong = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fault_cases); i++) {
		const struct fault_case *c = &fault_cases[i];
		struct fixture f;
		int r = fixture_compile(&f, c->policy, NULL);
		char *faults = fixture_faults(&f.diag);

		if (r != ERR_CONFIG || !strstr(faults, c->want)) {
			print_error("%s: result %d\n   want %s\n   got  %s\n", c->title, r, c->want,
			            faults);
			n_wrong++;
		}
		free(faults);
		fixture_close(&f);
	}
	assert_int_equal(n_wrong, 0);
}

static const char ten_faults[] = "version: 2\n"
				 "profiles:\n"
				 "  p:\n"
				 "    mode: strict\n"
				 "    pinhole: {floor: ten}\n"
				 "    allow:\n"
				 "      - {nme: a.test}\n"
				 "      - {name: a..test}\n"
				 "      - {name: b.test, ports: [443]}\n"
				 "    deny:\n"
				 "      - {name: c.test, follow: any}\n"
				 "workloads:\n"
				 "  w: {source: 192.0.2.300, profile: q}\n"
				 "hosts:\n"
				 "  - {name: a.test, address: b.test}\n"
				 "grants: []\n";

static void ten_faults_are_listed_at_once(void **state)
{
	static const char *const want[] = { "1:10 error version '2'",
		                            "4:11 error 'strict'",
		                            "5:22 error 'ten'",
		                            "7:9 error this rule names nothing",
		                            "7:10 error a rule has no key 'nme'",
		                            "8:16 error 'a..test'",
		                            "9:32 error '443'",
		                            "11:32 error a deny opens nothing",
		                            "13:15 error '192.0.2.300'",
		                            "13:37 error there is no profile 'q'",
		                            "15:29 error 'b.test' is no address",
		                            "16:1 error 'grants' is not built in yet" };
	struct fixture f;
	char *faults;
	int r;

	(void)state;
	r = fixture_compile(&f, ten_faults, NULL);
	assert_int_equal(r, ERR_CONFIG);
	faults = fixture_faults(&f.diag);
	for (size_t i = 0, at = 0; i < ARRAY_LEN(want); i++) {
		const char *found = strstr(faults + at, want[i]);

		if (!found)
			fail_msg("missing, or not in order: %s\n%s", want[i], faults);
		at = (size_t)(found - faults);
	}
	assert_int_equal(f.diag.n_errors, ARRAY_LEN(want));
	free(faults);
	fixture_close(&f);
}

static const struct fault_case warning_cases[] = {
	{ "an expired rule", ALLOW("{name: a.test, expires: 2020-01-01}"),
	  "6:9 warning allow a.test has expired" },
	{ "an unused profile", P("    mode: enforce\n  q: {}\n"),
	  "6:3 warning no workload and no profile uses profile 'q'" },
	{ "no workload", "version: 1\nprofiles: {p: }\nworkloads: {}\n", "there is no workload" },
	{ "one family only", P("    mode: enforce\n"),
	  "2:13 warning workload 'w' lists no IPv6 source" },
	{ "a prefix of the other family",
	  WORKLOAD("{source: [192.0.2.1, '2001:db8::/64'], profile: p}"),
	  "lists a whole IPv6 prefix" },
	{ "a prefix beside a single address",
	  WORKLOAD("{source: [192.0.2.1, '2001:db8::/64', '2001:db8:1::1'], profile: p}"),
	  "lists a whole IPv6 prefix" },
	{ "inbound ports of a prefix",
	  "version: 1\nprofiles: {p: {inbound: udp/53}}\n"
	  "workloads: {w: {source: [192.0.2.0/24], profile: p}}\n",
	  "3:26 warning 192.0.2.0/24 is no single address" },
	{ "whom a listener knows has no address of the other family",
	  WORKLOAD("{listener: 192.0.2.1, profile: p}"), "workload 'w' lists no IPv6 source" },
	{ "listeners of both families",
	  WORKLOAD("{source: 192.0.2.9, listener: '2001:db8::1', profile: p}"),
	  "workload 'w' lists no IPv6 source" },
	{ "inbound ports of nobody's",
	  "version: 1\nprofiles: {p: {inbound: udp/53}}\n"
	  "workloads: {w: {listener: 192.0.2.1, profile: p}}\n",
	  "3:13 warning workload 'w' lists no source: the inbound ports of profile 'p'" },
	{ "whom a listener knows is not let through by observing",
	  "version: 1\nprofiles: {p: {mode: observe}}\n"
	  "workloads: {w: {listener: 192.0.2.1, profile: p}}\n",
	  "3:27 warning profile 'p' only observes" },
	{ "an exact deny in an allowed zone",
	  P("    allow: [{zone: a.test}]\n    deny: [{name: b.a.test}]\n"),
	  "6:12 warning deny b.a.test: the names below it stay allowed in profile 'p'" },
	{ "a ** deny in an allowed zone",
	  P("    allow: [{zone: a.test}]\n    deny: [{name: '**.b.a.test'}]\n"),
	  "deny **.b.a.test: the name without what ** stands for stays allowed" },
	{ "a * deny in an allowed zone",
	  P("    allow: [{zone: a.test}]\n    deny: [{name: '*.b.a.test'}]\n"),
	  "deny *.b.a.test: deeper names stay allowed" },
	{ "a * deny whose apex is allowed",
	  P("    allow: [{name: b.a.test}, {name: '*.b.a.test'}]\n    deny: [{name: "
	    "'*.b.a.test'}]\n"),
	  "the name without what * stands for stays allowed" },
	{ "a star label deny", P("    allow: [{zone: a.test}]\n    deny: [{name: 'x-*.a.test'}]\n"),
	  "deny x-*.a.test: deeper names stay allowed" },
	{ "an inherited deny",
	  P("    extends: q\n    allow: [{zone: a.test}]\n  q: {deny: [{name: "
	    "b.a.test}]}\n"),
	  "7:14 warning deny b.a.test: the names below it stay allowed in profile 'p'" },
};

static void what_is_probably_not_meant_is_a_warning(void **state)
{
	size_t n_wrong = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(warning_cases); i++) {
		const struct fault_case *c = &warning_cases[i];
		struct fixture f;
		int r = fixture_compile(&f, c->policy, NULL);
		char *faults = fixture_faults(&f.diag);

		if (r != ERR_OK || !strstr(faults, c->want)) {
			print_error("%s: result %d\n   want %s\n   got  %s\n", c->title, r, c->want,
			            faults);
			n_wrong++;
		}
		free(faults);
		fixture_close(&f);
	}
	assert_int_equal(n_wrong, 0);
}

static void a_clean_policy_warns_of_nothing(void **state)
{
	struct fixture f;
	char *faults;

	(void)state;
	fixture_open(&f,
	             "version: 1\n"
	             "profiles:\n"
	             "  base: &b {allow: [{name: ntp.test, ports: udp/123}]}\n"
	             "  p:\n"
	             "    extends: base\n"
	             "    allow: [{zone: a.test, expires: 2030-01-01T00:00:00Z}, {name: b.test}]\n"
	             "    deny: [{zone: x.a.test}, {name: '**.b.test'}]\n"
	             "workloads:\n"
	             "  w: {source: [192.0.2.1, '2001:db8::1'], profile: p}\n",
	             NULL);
	faults = fixture_faults(&f.diag);
	/* The exact allow of b.test beside a deny of all below it is the one remark. */
	assert_string_equal(faults, "7:30 warning deny **.b.test: the name without what ** stands "
	                            "for stays allowed in profile 'p'; write zone: for a name and "
	                            "all below it\n");
	free(faults);
	fixture_close(&f);
}

static void more_patterns_of_one_suffix_than_are_looked_at_is_a_fault(void **state)
{
	char *text = NULL, *faults;
	struct fixture f;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	assert_non_null(out);
	fprintf(out, P("    allow:\n"));
	for (int i = 0; i < LIMIT_SUFFIX_PATTERNS + 1; i++)
		fprintf(out, "      - name: 'h%d-*.a.test'\n", i);
	fclose(out);
	assert_int_equal(fixture_compile(&f, text, NULL), ERR_CONFIG);
	faults = fixture_faults(&f.diag);
	assert_non_null(strstr(faults, "more than 256 patterns end in a.test. in one profile"));
	free(faults);
	free(text);
	fixture_close(&f);
}

static void feeds_wanted_are_named_with_their_place(void **state)
{
	static const char text[] = FEED("{file: lists/bad.rpz, format: rpz}");
	const struct policy_source source = { "p.yaml", text, sizeof(text) - 1 };
	struct policy_feed_want *wants;
	size_t n;

	(void)state;
	assert_int_equal(policy_feeds_wanted(&source, &wants, &n, NULL), ERR_OK);
	assert_int_equal(n, 1);
	assert_string_equal(wants[0].name, "f");
	assert_string_equal(wants[0].file, "lists/bad.rpz");
	assert_int_equal(wants[0].line, 6);
	policy_feeds_wanted_free(wants, n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_refuses_what_it_cannot_mean),
		cmocka_unit_test(ten_faults_are_listed_at_once),
		cmocka_unit_test(what_is_probably_not_meant_is_a_warning),
		cmocka_unit_test(a_clean_policy_warns_of_nothing),
		cmocka_unit_test(more_patterns_of_one_suffix_than_are_looked_at_is_a_fault),
		cmocka_unit_test(feeds_wanted_are_named_with_their_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
