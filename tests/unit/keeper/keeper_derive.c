/* tests/unit/keeper/keeper_derive.c - guard table and catalog, derived from a policy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalog.h"
#include "config.h"
#include "guard.h"
#include "guarded.h"
#include "sallyport/err.h"
#include "sallyport/pinhole.h"
#include "whole_file.h"

#include "compiled.h"

static const char policy[] = "version: 1\n"
			     "profiles:\n"
			     "  base:\n"
			     "    allow:\n"
			     "      - {name: time.test, ports: [udp/123]}\n"
			     "  app:\n"
			     "    extends: [base]\n"
			     "    pinhole: {max: 2h, per_workload: 77}\n"
			     "    allow:\n"
			     "      - {name: www.test, ports: [tcp/443, tcp/8000-8009, tcp/8010]}\n"
			     "      - {name: ping.test, ports: [icmp]}\n"
			     "    deny:\n"
			     "      - {zone: evil.test}\n"
			     "  db:\n"
			     "    allow:\n"
			     "      - {name: db.test, internal: true, ports: [tcp/5432]}\n"
			     "  corp:\n"
			     "    allow:\n"
			     "      - {name: wiki.corp.test}\n"
			     "  wide:\n"
			     "    allow:\n"
			     "      - {name: \"**.test\", ports: [any]}\n"
			     "  seen:\n"
			     "    mode: observe\n"
			     "    allow:\n"
			     "      - {name: www.test, ports: [\"tcp/*\"]}\n"
			     "  mute:\n"
			     "    inbound: [udp/53, udp/5000-5009, udp/54]\n"
			     "    allow:\n"
			     "      - {name: www.test, ports: [none]}\n"
			     "workloads:\n"
			     "  app01: {source: [10.1.0.2, \"2001:db8:1::2\"], profile: app}\n"
			     "  db01: {source: [10.1.0.3], profile: db}\n"
			     "  corp01: {source: [10.1.0.4], profile: corp}\n"
			     "  wide01: {source: [10.1.0.5], profile: wide}\n"
			     "  seen01: {source: [10.2.0.0/16, 10.2.3.0/24], profile: seen}\n"
			     "  mute01: {source: [10.1.0.7], profile: mute}\n"
			     "hosts:\n"
			     "  - {name: gw.test, address: 10.1.0.1}\n"
			     "  - {name: www.test, address: 10.1.0.20}\n"
			     "  - {name: www.test, address: \"fd00:2::20\"}\n"
			     "  - {name: db.test, address: 10.1.0.30}\n";

struct derived {
	struct policy_image image;
	struct resolver_conf zones;
	struct fwsync_conf conf;
	void *data;
	size_t len;
};

static const void *section(const struct derived *d, const struct guard_section *s)
{
	return (const uint8_t *)d->data + s->offset;
}

static const struct guard_table *table_of(const struct derived *d)
{
	return d->data;
}

static int setup(void **state)
{
	struct derived *d = calloc(1, sizeof(*d));

	compile_text(policy, 7, &d->image);
	fill_zones(&d->zones);
	assert_int_equal(guard_build(&d->image, &d->conf, &d->zones, &d->data, &d->len), 0);
	assert_int_equal(guard_table_check(d->data, d->len), 0);
	*state = d;
	return 0;
}

static int teardown(void **state)
{
	struct derived *d = *state;

	compiled_free(&d->image);
	free(d->data);
	free(d);
	return 0;
}

static const struct guard_workload *workload(const struct derived *d, const char *name)
{
	const struct guard_workload *all = section(d, &table_of(d)->workloads);

	for (uint32_t i = 0; i < table_of(d)->workloads.count; i++) {
		if (strcmp(all[i].name, name) == 0)
			return &all[i];
	}
	fail_msg("no workload %s", name);
	return NULL;
}

static void workloads_keep_their_ids(void **state)
{
	const struct derived *d = *state;
	const struct guard_workload *all = section(d, &table_of(d)->workloads);

	assert_int_equal(table_of(d)->policy_version, 7);
	assert_int_equal(table_of(d)->workloads.count, 6);
	for (uint32_t i = 0; i < table_of(d)->workloads.count; i++) {
		struct policy_workload_info info;

		assert_int_equal(policy_image_workload(&d->image, i, &info), 0);
		assert_string_equal(all[i].name, info.name);
		assert_int_equal(all[i].sources.count, info.n_sources);
	}
}

static void numbers_are_the_profiles(void **state)
{
	const struct derived *d = *state;

	assert_int_equal(workload(d, "app01")->life_max_s, 7200);
	assert_int_equal(workload(d, "app01")->pinholes_max, 77);
	assert_int_equal(workload(d, "db01")->life_max_s, 3600);
	assert_int_equal(workload(d, "db01")->pinholes_max, 4096);
}

/* "6/443-443 17/123-123 1:1" and so on: proto/first-last, or kind:proto. */
static void ports_text(const struct derived *d, const char *name, char *out, size_t cap)
{
	const struct guard_section *part = &workload(d, name)->ports;
	const struct guard_ports *ports = section(d, &table_of(d)->ports);
	size_t n = 0;

	*out = '\0';
	for (uint32_t i = part->offset; i < part->offset + part->count; i++) {
		const struct guard_ports *p = &ports[i];

		if (p->kind == GUARD_PORTS_INBOUND)
			n += (size_t)snprintf(out + n, cap - n, "%sin:%u/%u-%u", n ? " " : "",
			                      p->proto, p->first, p->last);
		else if (p->kind == PINHOLE_KIND_PORT)
			n += (size_t)snprintf(out + n, cap - n, "%s%u/%u-%u", n ? " " : "",
			                      p->proto, p->first, p->last);
		else
			n += (size_t)snprintf(out + n, cap - n, "%s%s:%u", n ? " " : "",
			                      p->kind == PINHOLE_KIND_ANY ? "any" : "proto",
			                      p->proto);
	}
}

static void ports_are_the_union_of_own_and_inherited_rules(void **state)
{
	static const struct {
		const char *workload, *want;
	} cases[] = {
		{ "app01", "proto:1 6/443-443 6/8000-8010 17/123-123" },
		{ "db01", "6/5432-5432" },
		{ "corp01", "6/443-443" },
		{ "wide01", "any:0" },
		{ "seen01", "proto:6" },
		{ "mute01", "in:17/53-54 in:17/5000-5009" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char got[256];

		ports_text(*state, cases[i].workload, got, sizeof(got));
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s: %s", cases[i].workload, got);
	}
}

static bool may_reach(const struct derived *d, const char *name, const char *addr_word)
{
	const struct guard_section *part = &workload(d, name)->internals;
	const struct guard_prefix *all = section(d, &table_of(d)->internals);
	uint8_t addr[ADDR_LEN];

	assert_int_equal(addr_parse(addr_word, addr), 0);
	for (uint32_t i = part->offset; i < part->offset + part->count; i++) {
		struct prefix prefix = { .len = all[i].len };

		memcpy(prefix.addr, all[i].addr, ADDR_LEN);
		if (prefix_has(&prefix, addr))
			return true;
	}
	return false;
}

static void internal_addresses_are_only_for_those_who_have_a_rule_for_them(void **state)
{
	static const struct {
		const char *title, *workload, *addr;
		bool want;
	} cases[] = {
		{ "no internal rule", "app01", "10.9.9.9", false },
		{ "a host that no rule allows", "app01", "10.1.0.1", false },
		{ "a host that a rule allows", "app01", "10.1.0.20", true },
		{ "its other address", "app01", "fd00:2::20", true },
		{ "its neighbour", "app01", "10.1.0.21", false },
		{ "another profile's host", "app01", "10.1.0.30", false },
		{ "a host that a pattern allows", "wide01", "10.1.0.1", true },
		{ "a host within what an internal rule reaches", "db01", "10.1.0.30", true },
		{ "whom only sources stop may ask for any host", "seen01", "10.1.0.1", true },
		{ "a host, and no internal rule", "mute01", "10.1.0.20", true },
		{ "an internal rule", "db01", "10.9.9.9", true },
		{ "an internal rule, CGNAT", "db01", "100.64.0.1", true },
		{ "an internal rule, unique local", "db01", "fd00::1", true },
		{ "an internal rule, documentation", "db01", "2001:db8::1", true },
		{ "an internal rule, private in NAT64", "db01", "64:ff9b::a00:1", true },
		{ "loopback is nobody's", "db01", "127.0.0.1", false },
		{ "link-local is nobody's", "db01", "fe80::1", false },
		{ "multicast is nobody's", "db01", "224.0.0.1", false },
		{ "unspecified is nobody's", "db01", "0.0.0.0", false },
		{ "a name in an internal zone", "corp01", "10.9.9.9", true },
		{ "a pattern that covers an internal zone", "wide01", "10.9.9.9", true },
		{ "another name", "mute01", "10.9.9.9", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (may_reach(*state, cases[i].workload, cases[i].addr) != cases[i].want)
			fail_msg("%s", cases[i].title);
	}
}

static void what_is_guarded_does_not_overlap(void **state)
{
	const struct derived *d = *state;
	const struct guard_prefix *guarded = section(d, &table_of(d)->guarded);

	/* app01 has two sources, four have one, and seen01's /24 lies in its /16. */
	assert_int_equal(table_of(d)->guarded.count, 7);
	assert_int_equal(table_of(d)->observed.count, 1);
	for (uint32_t i = 0; i + 1 < table_of(d)->guarded.count; i++) {
		struct prefix prefix = { .len = guarded[i].len };

		memcpy(prefix.addr, guarded[i].addr, ADDR_LEN);
		assert_false(prefix_has(&prefix, guarded[i + 1].addr));
	}
}

static void the_configuration_names_what_is_guarded_instead(void **state)
{
	const struct derived *d = *state;
	struct fwsync_conf conf = { .n_interfaces = 1, .n_prefixes = 1 };
	struct derived other = { .image = d->image };
	struct prefix prefix;
	const char *ifname;

	strcpy(conf.interfaces[0], "br0");
	assert_int_equal(prefix_parse("10.0.0.0/8", &prefix), 0);
	memcpy(conf.prefixes[0].addr, prefix.addr, ADDR_LEN);
	conf.prefixes[0].len = prefix.len;
	assert_int_equal(guard_build(&d->image, &conf, &d->zones, &other.data, &other.len), 0);
	assert_int_equal(guard_table_check(other.data, other.len), 0);
	assert_int_equal(table_of(&other)->guarded.count, 1);
	assert_int_equal(table_of(&other)->interfaces.count, 1);
	ifname = section(&other, &table_of(&other)->interfaces);
	assert_string_equal(ifname, "br0");
	free(other.data);
}

static void a_listener_is_open_to_all_whom_nobody_names(void **state)
{
	static const char text[] =
	    "version: 1\n"
	    "profiles: {p: , q: }\n"
	    "workloads:\n"
	    "  lan: {listener: [192.0.2.1, 192.0.2.2], profile: p}\n"
	    "  app: {source: ['2001:db8::7', 10.0.0.0/8, 10.1.0.0/16], profile: q}\n"
	    "  dmz: {source: 10.1.0.9, listener: ['2001:db8::1', 192.0.2.3],\n"
	    "        profile: p}\n";
	static const char *const named[] = { "10.0.0.0/8", "2001:db8::7" };
	const struct derived *d = *state;
	const struct guard_workload *lan, *app, *dmz;
	const struct guard_prefix *sources;
	struct derived other = { 0 };

	compile_text(text, 8, &other.image);
	assert_int_equal(guard_build(&other.image, &d->conf, &d->zones, &other.data, &other.len),
	                 0);
	assert_int_equal(guard_table_check(other.data, other.len), 0);
	lan = workload(&other, "lan");
	app = workload(&other, "app");
	dmz = workload(&other, "dmz");
	assert_int_equal(lan->sources.count, 0);
	assert_int_equal(lan->listeners, GUARD_LISTENER_V4);
	assert_int_equal(app->listeners, 0);
	assert_int_equal(app->named.count, 0);
	assert_int_equal(dmz->sources.count, 1);
	assert_int_equal(dmz->listeners, GUARD_LISTENER_V4 | GUARD_LISTENER_V6);
	assert_int_equal(dmz->named.offset, lan->named.offset);
	assert_int_equal(lan->named.count, ARRAY_LEN(named));
	sources = section(&other, &table_of(&other)->sources);
	for (uint32_t i = 0; i < ARRAY_LEN(named); i++) {
		const struct guard_prefix *got = &sources[lan->named.offset + i];
		struct prefix want;

		assert_int_equal(prefix_parse(named[i], &want), 0);
		assert_int_equal(got->len, want.len);
		assert_memory_equal(got->addr, want.addr, ADDR_LEN);
	}
	/* What stands there twice is guarded once. */
	assert_int_equal(table_of(&other)->guarded.count, ARRAY_LEN(named));
	compiled_free(&other.image);
	free(other.data);
}

static void without_a_policy_nothing_may_be_opened(void **state)
{
	const struct derived *d = *state;
	struct derived none = { 0 };

	assert_int_equal(guard_build(NULL, &d->conf, &d->zones, &none.data, &none.len), 0);
	assert_int_equal(guard_table_check(none.data, none.len), 0);
	assert_int_equal(table_of(&none)->policy_version, 0);
	assert_int_equal(table_of(&none)->workloads.count, 0);
	free(none.data);
}

static void the_catalog_names_every_id(void **state)
{
	const struct derived *d = *state;
	struct policy_counts counts;
	char *text, *line, *save = NULL;
	uint32_t w = 0, r = 0;
	size_t len;
	bool ended = false;

	policy_image_counts(&d->image, &counts);
	assert_int_equal(catalog_build(&d->image, "po\tl\nicy.yaml", &text, &len), 0);
	assert_int_equal(strlen(text), len);
	line = strtok_r(text, "\n", &save);
	assert_string_equal(line, "sallyport-catalog\t1\t7");
	while ((line = strtok_r(NULL, "\n", &save))) {
		unsigned int id;

		assert_false(ended);
		if (line[0] == 'W') {
			assert_int_equal(sscanf(line, "W\t%u\t", &id), 1);
			assert_int_equal(id, w++);
		} else if (line[0] == 'R') {
			assert_int_equal(sscanf(line, "R\t%u\t", &id), 1);
			assert_int_equal(id, r++);
			assert_non_null(strstr(line, "\tpo?l?icy.yaml\t"));
		} else {
			assert_string_equal(line, "E");
			ended = true;
		}
	}
	assert_true(ended);
	assert_int_equal(w, counts.workloads);
	assert_int_equal(r, counts.rules);
	free(text);
}

static void private_addresses_are_known_in_every_disguise(void **state)
{
	static const struct {
		const char *addr;
		bool internal;
	} cases[] = {
		{ "10.0.0.1", true },
		{ "172.16.0.1", true },
		{ "172.32.0.1", false },
		{ "192.168.255.255", true },
		{ "100.64.0.1", true },
		{ "100.128.0.1", false },
		{ "198.18.0.1", true },
		{ "198.20.0.1", false },
		{ "8.8.8.8", false },
		{ "fc00::1", true },
		{ "fdff::1", true },
		{ "2001:db8::1", true },
		{ "2600::1", false },
		{ "64:ff9b::a00:1", true },
		{ "64:ff9b::808:808", false },
		{ "2002:a00:1::1", true },
		{ "2002:808:808::1", false },
		{ "2001:0:1::f5ff:fffe", true }, /* 10.0.0.1 inverted */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t addr[ADDR_LEN];

		assert_int_equal(addr_parse(cases[i].addr, addr), 0);
		if (guard_is_internal(addr) != cases[i].internal)
			fail_msg("%s", cases[i].addr);
	}
}

/* Whom a table guards outlives it: prefixes and interfaces, and nothing that it would open. */
static void whom_it_guards_is_kept_for_the_next_start(void **state)
{
	struct derived *d = *state;
	CLEANUP(free) struct config *config = calloc(1, sizeof(*config));
	struct derived kept = { 0 }, with = { .conf = d->conf };
	const struct guard_table huge = { .guarded = { sizeof(huge), 4 << 20 } };
	struct stat st;
	int fd;

	assert_non_null(config);
	with.conf.n_prefixes = 1;
	with.conf.prefixes[0].len = 100; /* ::, for want of a better one */
	with.conf.n_interfaces = 2;
	strcpy(with.conf.interfaces[0], "lan0");
	strcpy(with.conf.interfaces[1], "lan1");
	assert_int_equal(guard_build(&d->image, &with.conf, &d->zones, &with.data, &with.len), 0);
	strcpy(config->state_dir, "/tmp/sallyport-guarded-XXXXXX");
	assert_non_null(mkdtemp(config->state_dir));
	assert_int_equal(guarded_last(config), ERR_NOENT);
	assert_int_equal(guarded_save(config, with.data), ERR_OK);
	assert_int_equal(guarded_save(config, &huge), ERR_LIMIT); /* and the other one stays */
	fd = guarded_last(config);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	kept.len = (size_t)st.st_size;
	kept.data = malloc(kept.len);
	assert_int_equal(pread(fd, kept.data, kept.len, 0), kept.len);
	assert_int_equal(guard_table_check(kept.data, kept.len), 0);
	assert_int_equal(table_of(&kept)->policy_version, 0);
	assert_int_equal(table_of(&kept)->workloads.count, 0);
	assert_int_equal(table_of(&kept)->guarded.count, table_of(&with)->guarded.count);
	assert_memory_equal(section(&kept, &table_of(&kept)->guarded),
	                    section(&with, &table_of(&with)->guarded),
	                    table_of(&with)->guarded.count * sizeof(struct guard_prefix));
	assert_int_equal(table_of(&kept)->interfaces.count, 2);
	assert_string_equal(section(&kept, &table_of(&kept)->interfaces), "lan0");
	/* Where the configuration speaks itself, it is not asked for. */
	close(fd);
	config->fwsync.n_prefixes = 1;
	assert_int_equal(guarded_load(config), ERR_NOENT);
	config->fwsync.n_prefixes = 0;
	fd = guarded_load(config);
	assert_true(fd >= 0);
	close(fd);
	free(kept.data);
	free(with.data);
	assert_int_equal(whole_file_set_aside(config->state_dir, "guarded", 1), 0);
	strcat(config->state_dir, "/guarded.damaged-1");
	assert_int_equal(unlink(config->state_dir), 0);
	*strrchr(config->state_dir, '/') = '\0';
	assert_int_equal(rmdir(config->state_dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(workloads_keep_their_ids),
		cmocka_unit_test(numbers_are_the_profiles),
		cmocka_unit_test(ports_are_the_union_of_own_and_inherited_rules),
		cmocka_unit_test(internal_addresses_are_only_for_those_who_have_a_rule_for_them),
		cmocka_unit_test(what_is_guarded_does_not_overlap),
		cmocka_unit_test(the_configuration_names_what_is_guarded_instead),
		cmocka_unit_test(a_listener_is_open_to_all_whom_nobody_names),
		cmocka_unit_test(without_a_policy_nothing_may_be_opened),
		cmocka_unit_test(whom_it_guards_is_kept_for_the_next_start),
		cmocka_unit_test(the_catalog_names_every_id),
		cmocka_unit_test(private_addresses_are_known_in_every_disguise),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
