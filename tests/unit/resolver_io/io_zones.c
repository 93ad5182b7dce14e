/* tests/unit/resolver_io/io_zones.c - the longest zone of `upstreams`, and configurations compared.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness.h"
#include "zones.h"

static const char *const names[] = { ".", "corp.test.", "deep.corp.test.", "other.test.",
	                             "corp.test." };

static void name_of(const char *text, uint8_t wire[NAME_MAX_WIRE])
{
	assert_true(name_from_text(text, wire) > 0);
}

static const struct {
	const char *title, *name;
	uint16_t want;
} find_cases[] = {
	{ "the root itself", ".", 0 },
	{ "what no zone holds belongs to the root", "example.org.", 0 },
	{ "a zone's apex", "corp.test.", 1 },
	{ "below a zone", "db.corp.test.", 1 },
	{ "the longer one wins", "a.b.deep.corp.test.", 2 },
	{ "its apex", "deep.corp.test.", 2 },
	{ "labels, not characters", "xcorp.test.", 0 },
	{ "above a zone", "test.", 0 },
	{ "a sibling", "other.test.", 3 },
	{ "the same labels elsewhere", "corp.test.example.org.", 0 },
};

static struct resolver_conf *conf_of(size_t n)
{
	struct resolver_conf *conf = io_conf();

	conf->n_zones = (uint32_t)n;
	for (size_t i = 0; i < n; i++)
		name_of(names[i], conf->zones[i].name);
	conf->zones[1].internal = 1;
	return conf;
}

static void the_longest_zone_wins(void **state)
{
	struct resolver_conf *conf = conf_of(ARRAY_LEN(names));
	struct zones *zones = zones_new(conf);

	(void)state;
	assert_non_null(zones);
	for (size_t i = 0; i < ARRAY_LEN(find_cases); i++) {
		uint8_t wire[NAME_MAX_WIRE];
		uint16_t got;

		name_of(find_cases[i].name, wire);
		got = zones_find(zones, wire);
		if (got != find_cases[i].want)
			fail_msg("%s: zone %u", find_cases[i].title, got);
	}
	assert_true(zones_is_root(zones, 0));
	assert_false(zones_is_root(zones, 1));
	assert_true(zones_internal(zones, 1));
	assert_false(zones_internal(zones, 0));
	assert_false(zones_internal(zones, ZONE_NONE));
	assert_false(zones_is_root(zones, ZONE_NONE));
	zones_free(zones);
	free(conf);
}

static void without_a_root_zone_a_stranger_has_none(void **state)
{
	struct resolver_conf *conf = conf_of(2);
	struct zones *zones;
	uint8_t wire[NAME_MAX_WIRE];

	(void)state;
	conf->n_zones = 1;
	memcpy(conf->zones[0].name, conf->zones[1].name, sizeof(conf->zones[0].name));
	zones = zones_new(conf);
	assert_non_null(zones);
	name_of("example.org.", wire);
	assert_int_equal(zones_find(zones, wire), ZONE_NONE);
	zones_free(zones);
	free(conf);
}

static void the_longest_name_is_looked_up(void **state)
{
	struct resolver_conf *conf = conf_of(2);
	struct zones *zones = zones_new(conf);
	uint8_t wire[NAME_MAX_WIRE];

	(void)state;
	/* 127 labels of one octet. */
	for (size_t i = 0; i < 254; i += 2) {
		wire[i] = 1;
		wire[i + 1] = 'a';
	}
	wire[254] = 0;
	assert_int_equal(zones_find(zones, wire), 0);
	zones_free(zones);
	free(conf);
}

static void every_zone_of_a_full_table_is_found(void **state)
{
	struct resolver_conf *conf = io_conf();
	struct zones *zones;

	(void)state;
	conf->n_zones = LIMIT_ZONES;
	for (size_t i = 0; i < LIMIT_ZONES; i++) {
		char text[32];

		snprintf(text, sizeof(text), "z%zu.test.", i);
		name_of(text, conf->zones[i].name);
	}
	zones = zones_new(conf);
	assert_non_null(zones);
	for (uint16_t i = 0; i < LIMIT_ZONES; i++) {
		uint8_t wire[NAME_MAX_WIRE] = { 1, 'x' };

		memcpy(wire + 2, conf->zones[i].name, sizeof(wire) - 2);
		assert_int_equal(zones_find(zones, wire), i);
	}
	zones_free(zones);
	free(conf);
}

/* The root is anchored; nta.test. is under a negative anchor until T, corp.test. is an ordinary
 * zone, off.test. has `dnssec: off`, island.example. an anchor of its own without the root's. */
enum { BEFORE = 1000, T = 2000, AFTER = 3000 };
static const struct {
	const char *title, *name;
	uint16_t type;
	uint64_t at_s;
	uint16_t want;
	bool cd, cd_island; /* with the root's anchor; with the island's alone */
} question_cases[] = {
	{ "an address", "www.corp.test.", 1, BEFORE, 1, true, false },
	{ "a zone's DS is its parent's", "corp.test.", 43, BEFORE, 0, true, false },
	{ "but not its DNSKEY", "corp.test.", 48, BEFORE, 1, true, false },
	{ "nor DS below it", "a.corp.test.", 43, BEFORE, 1, true, false },
	{ "a DS under `dnssec: off` leaves to nobody else", "off.test.", 43, BEFORE, 3, true,
	  false },
	{ "nor under a negative anchor", "nta.test.", 43, BEFORE, 2, true, false },
	{ "until that ends", "nta.test.", 43, AFTER, 0, true, false },
	{ "an address under one", "www.nta.test.", 1, BEFORE, 2, true, true },
	{ "an island", "island.example.", 1, BEFORE, 0, true, true },
	{ "its DS stands above it", "island.example.", 43, BEFORE, 0, true, false },
	{ "DS below its apex", "a.island.example.", 43, BEFORE, 0, true, true },
	{ "what has no anchor", "example.", 1, BEFORE, 0, true, false },
	{ "the root's DS", ".", 43, BEFORE, 0, true, false },
};

static struct settings *settings_of(const char *anchor)
{
	static const char *const zone_names[] = { ".", "corp.test.", "nta.test.", "off.test." };
	static const uint8_t ds[4 + 32] = { 0x12, 0x34, 13, 2 };
	struct resolver_conf *conf = io_conf();
	struct settings *settings;

	conf->dnssec = DNSSEC_MODE_VALIDATE;
	conf->n_zones = ARRAY_LEN(zone_names);
	for (size_t i = 0; i < ARRAY_LEN(zone_names); i++)
		name_of(zone_names[i], conf->zones[i].name);
	conf->zones[3].dnssec_off = 1;
	conf->n_anchors = conf->n_ntas = 1;
	name_of(anchor, conf->anchors[0].name);
	conf->anchors[0].type = 43;
	conf->anchors[0].len = sizeof(ds);
	memcpy(conf->anchors[0].rdata, ds, sizeof(ds));
	name_of("nta.test.", conf->ntas[0].name);
	conf->ntas[0].until_s = T;
	settings = settings_new(conf);
	assert_non_null(settings);
	free(conf);
	return settings;
}

static void who_is_asked_and_whether_with_checking_disabled(void **state)
{
	struct settings *root = settings_of("."), *island = settings_of("island.example.");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(question_cases); i++) {
		uint8_t wire[NAME_MAX_WIRE];
		uint16_t type = question_cases[i].type, zone;

		name_of(question_cases[i].name, wire);
		zone = settings_zone_of(root, wire, type, question_cases[i].at_s);
		if (zone != question_cases[i].want)
			fail_msg("%s: zone %u", question_cases[i].title, zone);
		if (settings_disable_checking(root, wire, type) != question_cases[i].cd ||
		    settings_disable_checking(island, wire, type) != question_cases[i].cd_island)
			fail_msg("%s: CD", question_cases[i].title);
	}
	settings_unref(root);
	settings_unref(island);
}

static void counts_beyond_the_arrays_are_clamped(void **state)
{
	struct resolver_conf *conf = io_conf();
	struct settings *settings;

	(void)state;
	conf->n_zones = conf->n_listeners = conf->workers = UINT32_MAX;
	conf->zones[3].n_servers = UINT16_MAX;
	settings = settings_new(conf);
	assert_non_null(settings);
	assert_int_equal(settings->conf.n_zones, LIMIT_ZONES);
	assert_int_equal(settings->conf.n_listeners, LIMIT_LISTENERS);
	assert_int_equal(settings->conf.workers, LIMIT_WORKERS);
	assert_int_equal(settings->conf.zones[3].n_servers, LIMIT_ZONE_SERVERS);
	assert_int_equal(settings->conf.query_ms, LIMIT_QUERY_MS);
	settings_unref(settings);
	free(conf);
}

static void any_difference_of_zones_is_seen(void **state)
{
	struct resolver_conf *conf = conf_of(2);
	struct settings *a = settings_new(conf), *b;

	(void)state;
	for (int change = 0; change < 7; change++) {
		struct resolver_conf *other = conf_of(2);

		switch (change) {
		case 1:
			other->zones[1].internal = 0;
			break;
		case 2:
			other->zones[1].n_servers = 1;
			break;
		case 3:
			other->zones[0].dnssec_off = 1;
			break;
		case 4:
			other->n_zones = 1;
			break;
		case 5:
			other->zones[1].name[1] = 'x';
			break;
		case 6:
			other->cache_bytes = 7; /* no difference of zones */
			break;
		default:
			break;
		}
		b = settings_new(other);
		assert_int_equal(settings_same_zones(a, b), change == 0 || change == 6);
		settings_unref(b);
		free(other);
	}
	settings_unref(a);
	free(conf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_longest_zone_wins),
		cmocka_unit_test(without_a_root_zone_a_stranger_has_none),
		cmocka_unit_test(the_longest_name_is_looked_up),
		cmocka_unit_test(every_zone_of_a_full_table_is_found),
		cmocka_unit_test(who_is_asked_and_whether_with_checking_disabled),
		cmocka_unit_test(counts_beyond_the_arrays_are_clamped),
		cmocka_unit_test(any_difference_of_zones_is_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
