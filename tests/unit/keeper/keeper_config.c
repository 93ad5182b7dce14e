/* tests/unit/keeper/keeper_config.c - every key of the configuration: right values land where they
 * belong, wrong ones are told with their place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "sallyport/err.h"
#include "sallyport/log.h"

static int fake_user(const char *name, uint32_t *ret_uid, uint32_t *ret_gid)
{
	if (strncmp(name, "sallyport", 9) != 0 && strcmp(name, "root") != 0)
		return ERR_NOENT;
	*ret_uid = strcmp(name, "root") == 0 ? 0 : 900 + (uint32_t)strlen(name);
	*ret_gid = *ret_uid + 1000;
	return ERR_OK;
}

static int fake_group(const char *name, uint32_t *ret_gid)
{
	if (strncmp(name, "sallyport-", 10) != 0)
		return ERR_NOENT;
	*ret_gid = 500 + (uint32_t)strlen(name);
	return ERR_OK;
}

/* Trust anchors: good.ds, and files with one fault each. */
static int fake_file(const char *path, size_t max, char **ret_text)
{
	static const struct {
		const char *path, *text;
	} files[] = {
		{ "good.ds",
		  "; the root's, 2017 and 2024\n"
		  ". IN DS 20326 8 2 "
		  "E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n"
		  ". 3600 IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219 "
		  "298D0A450D612C483AF444A4C0FB2B16 ; in two pieces\n\n"
		  "CORP.test. DNSKEY 257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=\n" },
		{ "/usr/share/dns/root.ds",
		  ". IN DS 20326 8 2 "
		  "E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n" },
		{ "empty.ds", "; nothing\n" },
		{ "type.ds", "\n. IN TXT hello\n" },
		{ "hex.ds", ". IN DS 1 8 2 xyz\n" },
		{ "short.ds", ". IN DS 1 8 2 E06D\n" },
		{ "number.ds", ". IN DS 70000 8 2 E06D\n" },
		{ "zone.ds", "test. DNSKEY 0 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=\n" },
		{ "base64.ds", "test. DNSKEY 257 3 15 ***\n" },
#define DS(tag) "test. DS " tag " 8 1 2BB183AF5F22588179A53B0A98631FAD1A292118\n"
		{ "eight.ds", DS("1") DS("2") DS("3") DS("4") DS("5") DS("6") DS("7") DS("8") },
		{ "nine.ds",
		  DS("1") DS("2") DS("3") DS("4") DS("5") DS("6") DS("7") DS("8") DS("9") },
	};

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		if (strcmp(files[i].path, path) != 0)
			continue;
		assert_true(strlen(files[i].text) <= max);
		*ret_text = strdup(files[i].text);
		return *ret_text ? ERR_OK : ERR_NOMEM;
	}
	return ERR_NOENT;
}

static const struct config_names names = { fake_user, fake_group, fake_file, 6 };

#define NEEDED                                                                                     \
	"listen: [{address: 192.0.2.1}]\n"                                                         \
	"upstreams: [{zone: \".\", servers: [{address: 192.0.2.53}]}]\n"

static int parse(const char *text, struct config **ret_config, struct diag *diag)
{
	return config_parse("test.yaml", text, strlen(text), &names, ret_config, diag);
}

static void the_smallest_configuration_has_the_documented_defaults(void **state)
{
	CLEANUP(config_free) struct config *c = NULL;
	CLEANUP(diag_fini) struct diag diag;

	(void)state;
	diag_init(&diag);
	assert_int_equal(parse(NEEDED, &c, &diag), 0);
	assert_int_equal(diag.n_items, 0);
	assert_string_equal(c->state_dir, "/var/lib/sallyport");
	assert_string_equal(c->run_dir, "/run/sallyport");
	assert_int_equal(c->workers, 6);
	assert_int_equal(c->users[CONFIG_RESOLVER].uid, UINT32_MAX);
	assert_int_equal(c->resolver.listeners[0].port, 53);
	assert_int_equal(c->resolver.zones[0].servers[0].port, 53);
	assert_int_equal(c->resolver.firewall, FIREWALL_LOCAL);
	assert_int_equal(c->resolver.dnssec, DNSSEC_MODE_VALIDATE);
	assert_int_equal(c->resolver.n_anchors, 1); /* the root's */
	assert_int_equal(c->resolver.ack_timeout_ms, 250);
	assert_int_equal(c->resolver.dnssec_sentinel, 1);
	assert_int_equal(c->rfc5011, 1);
	assert_int_equal(c->hold_down_s, 30 * 86400);
	assert_int_equal(c->refresh_s, 3600);
	assert_int_equal(c->resolver.cache_bytes, 64 << 20);
	assert_int_equal(c->resolver.cache_max_ttl_s, 86400);
	assert_int_equal(c->resolver.cache_negative_max_ttl_s, 900);
	assert_int_equal(c->resolver.cache_serve_stale_s, 3600);
	assert_int_equal(c->historian.allow_days_s, 90 * 86400);
	assert_int_equal(c->historian.deny_days_s, 365 * 86400);
	assert_int_equal(c->fwsync.owner, 1);
	assert_int_equal(c->fwsync.track_dns, 0);
	assert_int_equal(c->fwsync.n_dns, 1);
	assert_int_equal(c->admin_gid, UINT32_MAX);
}

static const char whole[] =
    "state_dir: /srv/sallyport\n"
    "run_dir: /run/other\n"
    "user: {resolver: sallyport, historian: sallyport-h, fwsync: sallyport-fw, compiler: "
    "sallyport-comp}\n"
    "workers: 3\n"
    "listen:\n"
    "  - {address: 10.1.0.1, port: 53}\n"
    "  - {address: \"2001:db8::1\", port: 5353}\n"
    "upstreams:\n"
    "  - zone: \".\"\n"
    "    servers: [{address: 192.0.2.53, port: 53}, {address: \"2001:db8::53\"}]\n"
    "  - zone: Corp.Test\n"
    "    internal: true\n"
    "    dnssec: off\n"
    "    servers: [{address: 10.0.0.53}]\n"
    "dnssec: {mode: off, sentinel: false, rfc5011: false, hold_down: 4s, refresh: 2s,"
    " negative_trust_anchors: [{name: Broken.Corp.test, until: "
    "2027-01-01T00:00:00Z, reason: \"ticket 4711\"}, {name: b.test, until: 2027-06-01}]}\n"
    "firewall:\n"
    "  mode: local\n"
    "  hook: forward\n"
    "  guard: {interfaces: [br0], prefixes: [10.1.0.0/16, \"2001:db8:1::/48\"]}\n"
    "  gateway_ports: [tcp/22, udp/123]\n"
    "  ack_timeout: 300ms\n"
    "  mark: {egress: 0x1, inbound: 0x2}\n"
    "  set_size: 4096\n"
    "  owner: off\n"
    "  track_dns: true\n"
    "history: {retention: {allow: 30d, deny: off}}\n"
    "cache: {size: 128MiB, max_ttl: 12h, negative_max_ttl: 5m, serve_stale: off, prefetch: off}\n"
    "limits: {in_flight: 1000, in_flight_workload: 100, in_flight_client: 50,\n"
    "         tcp_connections: 200, tcp_connections_client: 20, tcp_idle: 5s, query_time: 4s,\n"
    "         amplification: 1MiB}\n"
    "access: {admin_group: sallyport-admin, analyst_group: sallyport-analyst}\n"
    "log: {format: json, level: warning}\n";

static void every_key_lands_in_its_place(void **state)
{
	static const uint8_t corp[] = "\4corp\4test";
	CLEANUP(config_free) struct config *c = NULL;
	CLEANUP(diag_fini) struct diag diag;

	(void)state;
	diag_init(&diag);
	if (parse(whole, &c, &diag) < 0)
		diag_print(&diag, 2);
	assert_non_null(c);
	assert_string_equal(c->state_dir, "/srv/sallyport");
	assert_string_equal(c->run_dir, "/run/other");
	assert_int_equal(c->users[CONFIG_RESOLVER].uid, 909);
	assert_int_equal(c->users[CONFIG_HISTORIAN].uid, 911);
	assert_int_equal(c->users[CONFIG_FWSYNC].uid, 912);
	assert_int_equal(c->users[CONFIG_COMPILER].uid, 914);
	assert_int_equal(c->historian.common.uid, 911);
	assert_int_equal(c->fwsync.common.gid, 1912);
	assert_int_equal(c->resolver.common.log_form, LOG_FORM_JSON);
	assert_int_equal(c->resolver.common.log_level, LOG_LEVEL_WARNING);
	assert_int_equal(c->workers, 3);
	assert_int_equal(c->resolver.workers, 3);
	assert_int_equal(c->historian.workers, 3);
	assert_int_equal(c->fwsync.workers, 3);
	assert_int_equal(c->resolver.n_listeners, 2);
	assert_int_equal(c->resolver.listeners[1].port, 5353);
	assert_int_equal(c->fwsync.dns[1].port, 5353);
	assert_int_equal(c->resolver.n_zones, 2);
	assert_int_equal(c->resolver.zones[0].n_servers, 2);
	assert_memory_equal(c->resolver.zones[1].name, corp, sizeof(corp));
	assert_int_equal(c->resolver.zones[1].internal, 1);
	assert_int_equal(c->resolver.zones[1].dnssec_off, 1);
	assert_int_equal(c->resolver.dnssec_sentinel, 0);
	assert_int_equal(c->rfc5011, 0);
	assert_int_equal(c->hold_down_s, 4);
	assert_int_equal(c->refresh_s, 2);
	assert_int_equal(c->ntas.n, 2);
	assert_memory_equal(c->ntas.list[0].name, "\6broken\4corp\4test", 18);
	assert_true(c->ntas.list[0].until_ns == UINT64_C(1798761600000000000));
	assert_string_equal(c->ntas.list[0].reason, "ticket 4711");
	assert_string_equal(c->ntas.list[1].reason, "");
	assert_int_equal(c->fwsync.n_interfaces, 1);
	assert_string_equal(c->fwsync.interfaces[0], "br0");
	assert_int_equal(c->fwsync.n_prefixes, 2);
	assert_int_equal(c->fwsync.prefixes[0].len, 112);
	assert_int_equal(c->fwsync.n_gateway_ports, 2);
	assert_int_equal(c->fwsync.gateway_ports[1].proto, IPPROTO_UDP);
	assert_int_equal(c->fwsync.gateway_ports[1].port, 123);
	assert_int_equal(c->resolver.ack_timeout_ms, 300);
	assert_int_equal(c->fwsync.mark_egress, 1);
	assert_int_equal(c->fwsync.mark_inbound, 2);
	assert_int_equal(c->fwsync.set_size, 4096);
	assert_int_equal(c->fwsync.owner, 0);
	assert_int_equal(c->fwsync.track_dns, 1);
	assert_int_equal(c->historian.allow_days_s, 30 * 86400);
	assert_int_equal(c->historian.deny_days_s, 0);
	assert_int_equal(c->historian.group_gid, c->analyst_gid);
	assert_int_equal(c->resolver.cache_bytes, 128 << 20);
	assert_int_equal(c->resolver.cache_max_ttl_s, 43200);
	assert_int_equal(c->resolver.cache_negative_max_ttl_s, 300);
	assert_int_equal(c->resolver.cache_serve_stale_s, 0);
	assert_int_equal(c->resolver.prefetch, 0);
	assert_int_equal(c->resolver.in_flight, 1000);
	assert_int_equal(c->resolver.in_flight_workload, 100);
	assert_int_equal(c->resolver.in_flight_client, 50);
	assert_int_equal(c->resolver.tcp_connections, 200);
	assert_int_equal(c->resolver.tcp_connections_client, 20);
	assert_int_equal(c->resolver.tcp_idle_ms, 5000);
	assert_int_equal(c->resolver.query_ms, 4000);
	assert_int_equal(c->resolver.amplification, 1 << 20);
	assert_int_equal(c->admin_gid, 515);
	assert_int_equal(c->analyst_gid, 517);
}

static void one_name_and_one_duration_stand_for_all(void **state)
{
	CLEANUP(config_free) struct config *c = NULL;
	CLEANUP(diag_fini) struct diag diag;

	(void)state;
	diag_init(&diag);
	assert_int_equal(parse(NEEDED "user: sallyport\nhistory: {retention: 2w}\n", &c, &diag), 0);
	for (size_t i = 0; i < CONFIG_PROCESS_N; i++)
		assert_int_equal(c->users[i].uid, 909);
	assert_int_equal(c->historian.allow_days_s, 14 * 86400);
	assert_int_equal(c->historian.deny_days_s, 14 * 86400);
}

/* @text is added to what is needed, so its first line is line 3; @at and @want are what the first
 * fault must say. */
static const struct {
	const char *key, *text, *at, *want;
} wrong[] = {
	{ "unknown", "cach: {}\n", "3:1", "did you mean \"cache\"" },
	{ "unknown far", "qwertyuiop: 1\n", "3:1", "remove it" },
	{ "twice", "workers: 1\nworkers: 2\n", NULL, "" },
	{ "state_dir", "state_dir: var/lib\n", "3:12", "absolute" },
	{ "state_dir ..", "state_dir: /var/../etc\n", "3:12", "absolute" },
	{ "state_dir", "state_dir: [a]\n", "3:1", "single value" },
	{ "run_dir", "run_dir: run\n", "3:10", "absolute" },
	{ "user", "user: nobody-here\n", "3:7", "adduser --system" },
	{ "user root", "user: root\n", "3:7", "ordinary user" },
	{ "user list", "user: [a, b]\n", "3:1", "neither a name nor a mapping" },
	{ "user.resolver", "user: {resolver: ghost}\n", "3:18", "no user \"ghost\"" },
	{ "user.historian", "user: {historian: ghost}\n", "3:19", "no user" },
	{ "user.fwsync", "user: {fwsync: ghost}\n", "3:16", "no user" },
	{ "user.compiler", "user: {compiler: ghost}\n", "3:18", "no user" },
	{ "user unknown role", "user: {resolvr: sallyport}\n", "3:8", "did you mean \"resolver\"" },
	{ "workers", "workers: 0\n", "3:10", "from 1 to 64" },
	{ "workers", "workers: many\n", "3:10", "from 1 to 64" },
	{ "workers", "workers: 65\n", "3:10", "from 1 to 64" },
	{ "dnssec.mode", "dnssec: {mode: perhaps}\n", "3:16", "use off, validate" },
	{ "dnssec.trust_anchors", "dnssec: {trust_anchors: [a.ds]}\n", "3:26",
	  "a.ds cannot be read" },
	{ "anchors empty", "dnssec: {trust_anchors: [empty.ds]}\n", "3:26", "has no record" },
	{ "anchors type", "dnssec: {trust_anchors: [type.ds]}\n", "3:26", "line 2: neither DS" },
	{ "anchors hex", "dnssec: {trust_anchors: [hex.ds]}\n", "3:26", "not hexadecimal" },
	{ "anchors short", "dnssec: {trust_anchors: [short.ds]}\n", "3:26", "length of its type" },
	{ "anchors number", "dnssec: {trust_anchors: [number.ds]}\n", "3:26", "three numbers" },
	{ "anchors zone", "dnssec: {trust_anchors: [zone.ds]}\n", "3:26", "zone flag" },
	{ "anchors many", "dnssec: {trust_anchors: [nine.ds]}\n", NULL,
	  "more than 8 DS records of test." },
	{ "anchors base64", "dnssec: {trust_anchors: [base64.ds]}\n", "3:26", "not base64" },
#define NTA(text) "dnssec: {negative_trust_anchors: [" text "]}\n"
	{ "dnssec.negative_trust_anchors", NTA("corp.test"), "3:35", "not a mapping" },
	{ "dnssec.negative_trust_anchors.name", NTA("{until: 2027-01-01}"), "3:36",
	  "name is missing" },
	{ "dnssec.negative_trust_anchors.name", NTA("{name: a..b, until: 2027-01-01}"), "3:42",
	  "not a domain name" },
	{ "dnssec.negative_trust_anchors.name", NTA("{name: \"*.test\", until: 2027-01-01}"), NULL,
	  "not a domain name" },
	{ "dnssec.negative_trust_anchors.name", NTA("{name: ., until: 2027-01-01}"), "3:42",
	  "dnssec.mode: off" },
	{ "dnssec.negative_trust_anchors.name", NTA("{name: [a], until: 2027-01-01}"), NULL,
	  "not a single value" },
	{ "dnssec.negative_trust_anchors.until", NTA("{name: a.test}"), "3:36",
	  "until is missing" },
	{ "dnssec.negative_trust_anchors.until", NTA("{name: a.test, until: 7d}"), NULL,
	  "not a moment" },
	{ "dnssec.negative_trust_anchors.until", NTA("{name: a.test, until: someday soon}"), NULL,
	  "not a moment" },
	{ "dnssec.negative_trust_anchors.until", NTA("{name: a.test, until: 2027-02-30}"), NULL,
	  "not a moment" },
	{ "dnssec.negative_trust_anchors.reason",
	  NTA("{name: a.test, until: 2027-01-01, reason: {}}"), NULL, "not a single value" },
	{ "NTA, unknown key", NTA("{name: a.test, until: 2027-01-01, unitl: 2}"), NULL,
	  "did you mean \"until\"" },
	{ "NTA twice", NTA("{name: a.test, until: 2027-01-01}, {name: A.test, until: 2027-01-02}"),
	  NULL, "listed twice" },
	{ "dnssec.sha1", "dnssec: {sha1: maybe}\n", "3:16", "use false, true" },
	{ "dnssec.aggressive", "dnssec: {aggressive: maybe}\n", "3:22", "use false, true" },
	{ "dnssec.rfc5011", "dnssec: {rfc5011: 1}\n", NULL, "use false, true" },
	{ "dnssec.hold_down", "dnssec: {hold_down: 0s}\n", NULL, "out of range" },
	{ "dnssec.refresh", "dnssec: {refresh: 2d}\n", NULL, "out of range" },
	{ "dnssec.sentinel", "dnssec: {sentinel: on}\n", "3:20", "use false, true" },
	{ "dnssec.nsec3_iterations", "dnssec: {nsec3_iterations: 151}\n", "3:28", "from 0 to 150" },
	{ "dnssec.nsec3_iterations_hard", "dnssec: {nsec3_iterations_hard: 2501}\n", "3:33",
	  "from 0 to 2500" },
	{ "dnssec.nsec3_iterations_hard", "dnssec: {nsec3_iterations_hard: 49}\n", "1:1",
	  "50 is more than nsec3_iterations_hard" },
	{ "dnssec.skew_min", "dnssec: {skew_min: short}\n", "3:20", "not a duration" },
	{ "dnssec.skew_min", "dnssec: {skew_min: 2h, skew_max: 1h}\n", "1:1",
	  "7200 s is more than skew_max" },
	{ "dnssec.skew_max", "dnssec: {skew_max: 8d}\n", "3:20", "use 0s to 7d" },
	{ "dnssec", "dnssec: off\n", "3:1", "not a mapping" },
	{ "firewall.mode", "firewall: {mode: remote}\n", "3:18", "use local, none" },
	{ "firewall.hook", "firewall: {hook: output}\n", "3:18", "not built in yet" },
	{ "firewall.hook", "firewall: {hook: both}\n", "3:18", "not built in yet" },
	{ "firewall.hook", "firewall: {hook: sideways}\n", "3:18", "use forward" },
	{ "firewall.guard", "firewall: {guard: [a]}\n", "3:12", "not a mapping" },
	{ "firewall.guard.interfaces", "firewall: {guard: {interfaces: [lo]}}\n", "3:33",
	  "host's own traffic" },
	{ "firewall.guard.interfaces",
	  "firewall: {guard: {interfaces: [a-name-too-long-for-it]}}\n", "3:33", "15 octets" },
	{ "firewall.guard.prefixes", "firewall: {guard: {prefixes: [10.1.0.1/16]}}\n", "3:31",
	  "write 10.1.0.0/16" },
	{ "firewall.guard.prefixes", "firewall: {guard: {prefixes: [ten]}}\n", "3:31",
	  "not a prefix" },
	{ "firewall.guard.prefixes", "firewall: {guard: {prefixes: 10.1.0.0/16}}\n", "3:20",
	  "not a list" },
	{ "firewall.gateway_ports", "firewall: {gateway_ports: [22]}\n", "3:28", "write tcp/22" },
	{ "firewall.gateway_ports", "firewall: {gateway_ports: [tcp/70000]}\n", "3:28",
	  "not a port" },
	{ "firewall.ack_timeout", "firewall: {ack_timeout: 1ms}\n", "3:25", "use 10ms to 5s" },
	{ "firewall.ack_timeout", "firewall: {ack_timeout: 250}\n", "3:25", "not a duration" },
	{ "firewall.mark.egress", "firewall: {mark: {egress: 3}}\n", "3:27", "not one bit" },
	{ "firewall.mark.inbound", "firewall: {mark: {inbound: 0}}\n", "3:28", "not one bit" },
	{ "firewall.mark", "firewall: {mark: {egress: 2, inbound: 2}}\n", NULL, "the same bit" },
	{ "firewall.set_size", "firewall: {set_size: 3}\n", "3:22", "from 16 to" },
	{ "firewall.owner", "firewall: {owner: on}\n", "3:19", "use off, auto" },
	{ "firewall.track_dns", "firewall: {track_dns: on}\n", "3:23", "use false, true" },
	{ "firewall.remote", "firewall: {remote: {}}\n", "3:12", "not built in yet" },
	{ "history.retention", "history: {retention: forever}\n", "3:22", "not a duration" },
	{ "history.retention", "history: {retention: [1d]}\n", "3:11", "neither" },
	{ "history.retention.allow", "history: {retention: {allow: 5s}}\n", "3:30",
	  "out of range" },
	{ "history.retention.deny", "history: {retention: {deny: x}}\n", "3:29", "not a duration" },
	{ "history.retention.max_size", "history: {retention: {max_size: 20GiB}}\n", "3:23",
	  "not built in yet" },
	{ "history.retention.deny_min", "history: {retention: {deny_min: 30d}}\n", "3:23",
	  "not built in yet" },
	{ "history.per_workload_rows", "history: {per_workload_rows: 1000}\n", "3:11",
	  "not built in yet" },
	{ "cache.size", "cache: {size: big}\n", "3:15", "as in 64MiB" },
	{ "cache.size", "cache: {size: 1KiB}\n", "3:15", "out of range" },
	{ "cache.size", "cache: {size: 64MB}\n", "3:15", "not a size" },
	{ "cache.max_ttl", "cache: {max_ttl: 100d}\n", "3:18", "use 1s to 7d" },
	{ "cache.negative_max_ttl", "cache: {negative_max_ttl: 2d}\n", "3:27", "use 1s to 1d" },
	{ "cache.negative_max_ttl", "cache: {negative_max_ttl: 1500ms}\n", "3:27",
	  "not whole seconds" },
	{ "cache.serve_stale", "cache: {serve_stale: never}\n", "3:22", "not a duration" },
	{ "cache.prefetch", "cache: {prefetch: maybe}\n", "3:19", "use off, on" },
	{ "limits.in_flight", "limits: {in_flight: 1}\n", "3:21", "from 16 to" },
	{ "limits.in_flight_workload", "limits: {in_flight: 100, in_flight_workload: 200}\n", NULL,
	  "in_flight_workload is more than" },
	{ "limits.in_flight_workload", "limits: {in_flight_workload: -1}\n", "3:30",
	  "out of range" },
	{ "limits.in_flight_client", "limits: {in_flight_client: 99999999}\n", "3:28",
	  "out of range" },
	{ "limits.tcp_connections", "limits: {tcp_connections: 0}\n", "3:27", "out of range" },
	{ "limits.tcp_connections_client", "limits: {tcp_connections_client: x}\n", "3:34",
	  "out of range" },
	{ "limits.tcp_idle", "limits: {tcp_idle: 1h}\n", "3:20", "use 100ms to 10m" },
	{ "limits.amplification", "limits: {amplification: 1KiB}\n", "3:25", "use 4KiB to 16GiB" },
	{ "limits.query_time", "limits: {query_time: 1m}\n", "3:22", "use 500ms to 30s" },
	{ "ack over query", "limits: {query_time: 500ms}\nfirewall: {ack_timeout: 600ms}\n", NULL,
	  "not less than limits.query_time" },
	{ "access.admin_group", "access: {admin_group: wheel}\n", "3:23", "addgroup --system" },
	{ "access.analyst_group", "access: {analyst_group: [a]}\n", "3:10", "not a group's name" },
	{ "log.format", "log: {format: xml}\n", "3:15", "use text, json" },
	{ "log.level", "log: {level: loud}\n", "3:14", "use error, warning, info, debug" },
	{ "a tag", "workers: !!int auto2\n", NULL, "" },
	{ "an alias", "state_dir: &a /x\nrun_dir: *a\n", "4:11", "alias" },
};

static void a_wrong_value_of_every_key_is_told_with_its_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		CLEANUP(config_free) struct config *c = NULL;
		CLEANUP(diag_fini) struct diag diag;
		char text[1024], at[32];
		int r;

		diag_init(&diag);
		snprintf(text, sizeof(text), NEEDED "%s", wrong[i].text);
		r = parse(text, &c, &diag);
		if (r != ERR_CONFIG || diag.n_errors == 0)
			fail_msg("%s: %s was taken", wrong[i].key, wrong[i].text);
		if (diag.n_errors != 1)
			fail_msg("%s: %zu faults instead of one", wrong[i].key, diag.n_errors);
		snprintf(at, sizeof(at), "%u:%u", diag.items[0].line, diag.items[0].col);
		if (wrong[i].at && strcmp(at, wrong[i].at) != 0)
			fail_msg("%s: at %s instead of %s: %s", wrong[i].key, at, wrong[i].at,
			         diag.items[0].text);
		if (!strstr(diag.items[0].text, wrong[i].want))
			fail_msg("%s: says \"%s\"", wrong[i].key, diag.items[0].text);
	}
}

/* The lists that every configuration needs, wrong in every way. */
static const struct {
	const char *key, *text, *want;
} wrong_lists[] = {
	{ "nothing", "", "empty" },
	{ "no listen", "upstreams: [{zone: ., servers: [{address: 192.0.2.53}]}]\n",
	  "listen is missing" },
	{ "no upstreams", "listen: [{address: 192.0.2.1}]\n", "upstreams is missing" },
	{ "listen empty", "listen: []\nupstreams: [{zone: ., servers: [{address: 192.0.2.53}]}]\n",
	  "listen is empty" },
	{ "upstreams empty", "listen: [{address: 192.0.2.1}]\nupstreams: []\n",
	  "upstreams is empty" },
	{ "listen.address", "listen: [{port: 53}]\n", "listen.address is missing" },
	{ "listen.address", "listen: [{address: here}]\n", "not an IP address" },
	{ "listen.address", "listen: [{address: 224.0.0.1}]\n", "not a host's address" },
	{ "listen.port", "listen: [{address: 192.0.2.1, port: 0}]\n", "from 1 to 65535" },
	{ "listen.tls", "listen: [{address: 192.0.2.1, tls: {}}]\n", "not built in yet" },
	{ "listen item", "listen: [192.0.2.1]\n", "not a mapping" },
	{ "listen twice", "listen: [{address: 192.0.2.1}, {address: 192.0.2.1, port: 53}]\n",
	  "twice" },
	{ "listen beside wildcard", "listen: [{address: 0.0.0.0}, {address: 192.0.2.1}]\n",
	  "wildcard" },
	{ "upstreams.zone", "upstreams: [{servers: [{address: 192.0.2.53}]}]\n",
	  "upstreams.zone is missing" },
	{ "upstreams.zone", "upstreams: [{zone: \"a..b\", servers: [{address: 192.0.2.53}]}]\n",
	  "not a domain name" },
	{ "upstreams.zone", "upstreams: [{zone: \"*.test\", servers: [{address: 192.0.2.53}]}]\n",
	  "not a domain name" },
	{ "upstreams.zone",
	  "upstreams: [{zone: m\xc3\xbcll.test, servers: [{address: 192.0.2.53}]}]\n", "A-label" },
	{ "upstreams.zone",
	  "upstreams: [{zone: a.test, servers: [{address: 192.0.2.53}]}, {zone: A.test., servers: "
	  "[{address: 192.0.2.53}]}]\n",
	  "twice" },
	{ "upstreams.internal",
	  "upstreams: [{zone: ., internal: 7, servers: [{address: 192.0.2.53}]}]\n",
	  "use false, true" },
	{ "upstreams.dnssec",
	  "upstreams: [{zone: ., dnssec: on, servers: [{address: 192.0.2.53}]}]\n",
	  "use off, validate" },
	{ "upstreams.dnssec",
	  "upstreams: [{zone: ., dnssec: validate, servers: [{address: 192.0.2.53}]}]\n"
	  "dnssec: {mode: off}\n",
	  "dnssec of . is \"validate\", but dnssec.mode is off" },
	{ "upstreams.servers", "upstreams: [{zone: .}]\n", "upstreams.servers is missing" },
	{ "upstreams.servers", "upstreams: [{zone: ., servers: []}]\n", "servers is empty" },
	{ "upstreams.servers.address", "upstreams: [{zone: ., servers: [{address: 0.0.0.0}]}]\n",
	  "unspecified" },
	{ "upstreams.servers.port",
	  "upstreams: [{zone: ., servers: [{address: 192.0.2.53, port: 99999}]}]\n",
	  "from 1 to 65535" },
	{ "upstreams.servers.tls",
	  "upstreams: [{zone: ., servers: [{address: 192.0.2.53, tls: {}}]}]\n",
	  "not built in yet" },
	{ "upstreams.servers twice",
	  "upstreams: [{zone: ., servers: [{address: 192.0.2.53}, {address: 192.0.2.53}]}]\n",
	  "twice" },
	{ "ourselves",
	  "listen: [{address: 192.0.2.1}]\nupstreams: [{zone: ., servers: [{address: "
	  "192.0.2.1}]}]\n",
	  "our own listener" },
	{ "no mapping", "- a\n- b\n", "not a mapping" },
	{ "no YAML", "listen: [\n", "not valid YAML" },
	{ "control character", "listen: \x01\n", "control character" },
	{ "a directive (libfyaml would not end)", "%TAG", "directive" },
	{ "such a directive", "log: {level: info}\n%a\357 b\n", "directive" },
	{ "no UTF-8", "log: {level: \357 b}\n", "octet 0xef is not UTF-8" },
};

static bool says(const struct diag *diag, const char *want)
{
	for (size_t i = 0; i < diag->n_items; i++) {
		if (diag->items[i].severity == DIAG_ERROR && strstr(diag->items[i].text, want))
			return true;
	}
	return false;
}

static void wrong_lists_and_documents_are_told(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong_lists); i++) {
		CLEANUP(config_free) struct config *c = NULL;
		CLEANUP(diag_fini) struct diag diag;

		diag_init(&diag);
		if (parse(wrong_lists[i].text, &c, &diag) != ERR_CONFIG)
			fail_msg("%s: was taken", wrong_lists[i].key);
		if (!says(&diag, wrong_lists[i].want)) {
			diag_print(&diag, 2);
			fail_msg("%s: nothing says \"%s\"", wrong_lists[i].key,
			         wrong_lists[i].want);
		}
	}
}

static void all_faults_are_told_at_once(void **state)
{
	static const char text[] =
	    "state_dir: a\nrun_dir: b\nworkers: 0\nuser: ghost\ncache: {size: "
	    "x, max_ttl: y}\nlimits: {in_flight: z}\nlog: {level: w}\nlisten: "
	    "[{address: q}]\nupstreams: [{zone: \"..\", servers: [{address: "
	    "v}]}]\nextra: 1\n";
	CLEANUP(config_free) struct config *c = NULL;
	CLEANUP(diag_fini) struct diag diag;

	(void)state;
	diag_init(&diag);
	assert_int_equal(parse(text, &c, &diag), ERR_CONFIG);
	assert_int_equal(diag.n_errors, 12);
}

struct documented {
	const char *text;
	size_t n_keys, n_missing;
};

static void look_up(const char *path, void *arg)
{
	struct documented *d = arg;
	char quoted[160];

	snprintf(quoted, sizeof(quoted), "`%s`", path);
	d->n_keys++;
	if (strstr(d->text, quoted))
		return;
	d->n_missing++;
	fprintf(stderr, "docs/configuration.md does not have %s\n", quoted);
}

static void the_reference_names_every_key(void **state)
{
	FILE *file = fopen(SOURCE_DIR "/../../../docs/configuration.md", "r");
	static char text[1 << 18];
	struct documented d = { .text = text };
	size_t n;

	(void)state;
	assert_non_null(file);
	n = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[n] = '\0';
	config_each_key(look_up, &d);
	assert_true(d.n_keys > 50);
	assert_int_equal(d.n_missing, 0);
}

/* Each key of the table occurs in a row of wrong values: a new key without one fails here. */
static void look_for_wrong(const char *path, void *arg)
{
	struct documented *d = arg;
	char key[128];
	size_t n = 0;

	for (const char *p = path; *p && n + 1 < sizeof(key); p++) {
		if (*p != '[' && *p != ']')
			key[n++] = *p;
	}
	key[n] = '\0';
	d->n_keys++;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		if (strncmp(wrong[i].key, key, n) == 0)
			return;
	}
	for (size_t i = 0; i < ARRAY_LEN(wrong_lists); i++) {
		if (strncmp(wrong_lists[i].key, key, n) == 0)
			return;
	}
	d->n_missing++;
	fprintf(stderr, "no wrong value is tried for %s\n", path);
}

static void every_key_has_a_wrong_value_here(void **state)
{
	struct documented d = { 0 };

	(void)state;
	config_each_key(look_for_wrong, &d);
	assert_int_equal(d.n_missing, 0);
}

/* An internal zone that only the root vouches for: what would be right is told. */
static void an_internal_zone_without_its_own_trust_is_warned_of(void **state)
{
	static const struct {
		const char *title, *zone, *dnssec;
		bool warned;
	} cases[] = {
		{ "validated from the root", "zone: lan.test, internal: true", "mode: validate",
		  true },
		{ "an anchor of its own", "zone: corp.test, internal: true",
		  "mode: validate, trust_anchors: [good.ds]", false },
		{ "below an anchor", "zone: a.corp.test, internal: true",
		  "mode: validate, trust_anchors: [good.ds]", false },
		{ "beside it", "zone: other.test, internal: true",
		  "mode: validate, trust_anchors: [good.ds]", true },
		{ "as many DS as count", "zone: a.test, internal: true",
		  "mode: validate, trust_anchors: [eight.ds]", false },
		{ "off", "zone: lan.test, internal: true, dnssec: off", "mode: validate", false },
		{ "delegated with a DS", "zone: lan.test, internal: true, dnssec: validate",
		  "mode: validate", false },
		{ "not internal", "zone: lan.test", "mode: validate", false },
		{ "no validation", "zone: lan.test, internal: true", "mode: off", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(config_free) struct config *c = NULL;
		CLEANUP(diag_fini) struct diag diag;
		char text[512];

		snprintf(text, sizeof(text),
		         "listen: [{address: 192.0.2.1}]\nupstreams:\n"
		         "  - {zone: \".\", servers: [{address: 192.0.2.53}]}\n"
		         "  - {%s, servers: [{address: 192.0.2.54}]}\ndnssec: {%s}\n",
		         cases[i].zone, cases[i].dnssec);
		diag_init(&diag);
		assert_int_equal(parse(text, &c, &diag), 0);
		if (diag.n_items != (cases[i].warned ? 1u : 0u) ||
		    (cases[i].warned &&
		     (diag.items[0].severity != DIAG_WARNING ||
		      !strstr(diag.items[0].text, "write \"dnssec: off\" for it, or name"))))
			fail_msg("%s: %zu, %s", cases[i].title, diag.n_items,
			         diag.n_items ? diag.items[0].text : "");
	}
}

static void negative_trust_anchors_are_told_at_every_start(void **state)
{
	static const char text[] =
	    "listen: [{address: 192.0.2.1}]\nupstreams:\n"
	    "  - {zone: \".\", servers: [{address: 192.0.2.53}]}\n"
	    "  - {zone: lan.corp.test, internal: true, servers: [{address: 192.0.2.54}]}\n"
	    "dnssec: {negative_trust_anchors: [{name: corp.test, until: 2100-01-01, reason: old},\n"
	    "  {name: b.test, until: 2020-01-01}]}\n";
	CLEANUP(config_free) struct config *c = NULL;
	CLEANUP(diag_fini) struct diag diag;

	(void)state;
	diag_init(&diag);
	assert_int_equal(parse(text, &c, &diag), 0);
	/* And not that lan.corp.test is validated from the root down: it is not. */
	assert_int_equal(diag.n_items, 2);
	assert_non_null(strstr(diag.items[0].text, "corp.test. and all below it is not validated "
	                                           "until 2100-01-01T00:00:00"));
	assert_non_null(strstr(diag.items[1].text, "b.test. ended at 2020-01-01T00:00:00"));
	assert_non_null(strstr(diag.items[1].text, "remove the entry"));
}

/* For closing a table at boot, whatever is wrong elsewhere. */
static void what_is_left_of_a_faulty_one_is_salvaged(void **state)
{
	static const struct {
		const char *title, *text, *state_dir;
		unsigned int prefixes, interfaces;
		bool firewall;
	} cases[] = {
		{ "a fault elsewhere",
		  "state_dir: /srv/s\ncache: {size: lots}\nfirewall: {guard: {interfaces: [a, b], "
		  "prefixes: [10.0.0.0/8]}}\n",
		  "/srv/s", 1, 2, true },
		{ "a fault in it", "firewall: {guard: {prefixes: [10.0.0.1/8, 10.0.0.0/8, x]}}\n",
		  "/var/lib/sallyport", 1, 0, true },
		{ "an unknown key beside it",
		  "firewall: {gard: {interfaces: [x]}, guard: {interfaces: [a]}}\n",
		  "/var/lib/sallyport", 0, 1, true },
		{ "no firewall", "workers: many\nfirewall: {mode: none}\n", "/var/lib/sallyport", 0,
		  0, false },
		{ "two marks that are one", "firewall: {mark: {egress: 1, inbound: 1}}\n",
		  "/var/lib/sallyport", 0, 0, true },
		{ "no YAML", "listen: [\nstate_dir: \"/srv/t\" # here\n", "/srv/t", 0, 0, true },
		{ "no YAML, and a strange place", "listen: [\nstate_dir: srv\n",
		  "/var/lib/sallyport", 0, 0, true },
		{ "no mapping", "- a\n", "/var/lib/sallyport", 0, 0, true },
		{ "nothing", "", "/var/lib/sallyport", 0, 0, true },
		{ "no file", NULL, "/var/lib/sallyport", 0, 0, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(config_free) struct config *c = NULL;
		char path[] = "/tmp/sallyport-config-XXXXXX";
		int fd = mkstemp(path);

		assert_true(fd >= 0);
		if (cases[i].text)
			assert_int_equal(write(fd, cases[i].text, strlen(cases[i].text)),
			                 strlen(cases[i].text));
		else
			assert_int_equal(unlink(path), 0);
		close(fd);
		assert_int_equal(config_salvage(path, &names, &c), ERR_OK);
		if (strcmp(c->state_dir, cases[i].state_dir) != 0 ||
		    c->fwsync.n_prefixes != cases[i].prefixes ||
		    c->fwsync.n_interfaces != cases[i].interfaces ||
		    (c->resolver.firewall == FIREWALL_LOCAL) != cases[i].firewall ||
		    c->fwsync.mark_egress == c->fwsync.mark_inbound || c->fwsync.workers == 0)
			fail_msg("%s: %s, %u prefixes, %u interfaces", cases[i].title, c->state_dir,
			         c->fwsync.n_prefixes, c->fwsync.n_interfaces);
		if (cases[i].text)
			assert_int_equal(unlink(path), 0);
	}
}

static void sizes_are_read(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes; /* 0: refused */
	} cases[] = {
		{ "1", 1 },
		{ "64MiB", 64 << 20 },
		{ "1GiB", 1 << 30 },
		{ "512KiB", 512 << 10 },
		{ "4096B", 4096 },
		{ "", 0 },
		{ "MiB", 0 },
		{ "1MB", 0 },
		{ "1 MiB", 0 },
		{ "-1", 0 },
		{ "99999999999999999999", 0 },
		{ "999999999999999TiB", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t bytes = 0;
		int r = config_parse_size(cases[i].text, &bytes);

		if ((r == 0) != (cases[i].bytes != 0) || bytes != cases[i].bytes)
			fail_msg("\"%s\": %d", cases[i].text, r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_smallest_configuration_has_the_documented_defaults),
		cmocka_unit_test(every_key_lands_in_its_place),
		cmocka_unit_test(one_name_and_one_duration_stand_for_all),
		cmocka_unit_test(a_wrong_value_of_every_key_is_told_with_its_place),
		cmocka_unit_test(wrong_lists_and_documents_are_told),
		cmocka_unit_test(all_faults_are_told_at_once),
		cmocka_unit_test(the_reference_names_every_key),
		cmocka_unit_test(every_key_has_a_wrong_value_here),
		cmocka_unit_test(an_internal_zone_without_its_own_trust_is_warned_of),
		cmocka_unit_test(negative_trust_anchors_are_told_at_every_start),
		cmocka_unit_test(what_is_left_of_a_faulty_one_is_salvaged),
		cmocka_unit_test(sizes_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
