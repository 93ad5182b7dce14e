/* Prefixes become disjoint ranges of one family each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

#include "guard_maker.h"
#include "ranges.h"

static const struct {
	const char *title, *in, *want;
} cases[] = {
	{ "nothing", "", "" },
	{ "one address", "192.0.2.7", "192.0.2.7-192.0.2.7" },
	{ "a prefix", "192.0.2.0/25", "192.0.2.0-192.0.2.127" },
	{ "the same twice", "192.0.2.0/25 192.0.2.0/25", "192.0.2.0-192.0.2.127" },
	{ "an address inside a prefix", "192.0.2.7 192.0.2.0/24", "192.0.2.0-192.0.2.255" },
	{ "neighbours", "192.0.2.128/25 192.0.2.0/25", "192.0.2.0-192.0.2.255" },
	{ "apart", "192.0.2.129 192.0.2.0/25", "192.0.2.0-192.0.2.127 192.0.2.129-192.0.2.129" },
	{ "everything of IPv4", "0.0.0.0/0 10.0.0.0/8", "0.0.0.0-255.255.255.255" },
	{ "the last address", "255.255.255.255", "255.255.255.255-255.255.255.255" },
	{ "everything", "::/0",
	  "::-::fffe:ffff:ffff 0.0.0.0-255.255.255.255 "
	  "::1:0:0:0-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
	{ "IPv6", "2001:db8::/126 2001:db8::3 2001:db8::5",
	  "2001:db8::-2001:db8::3 2001:db8::5-2001:db8::5" },
	{ "families side by side", "::fffe:ffff:ffff 0.0.0.0 255.255.255.255 ::1:0:0:0",
	  "::fffe:ffff:ffff-::fffe:ffff:ffff 0.0.0.0-0.0.0.0 "
	  "255.255.255.255-255.255.255.255 ::1:0:0:0-::1:0:0:0" },
};

static void ranges_are_disjoint_sorted_and_of_one_family(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ranges ranges = { 0 };
		char in[256], got[512] = "", *save = NULL;

		snprintf(in, sizeof(in), "%s", cases[i].in);
		for (char *word = strtok_r(in, " ", &save); word;
		     word = strtok_r(NULL, " ", &save)) {
			struct guard_prefix prefix = guard_prefix_of(word);

			assert_int_equal(ranges_add(&ranges, &prefix, 1), 0);
		}
		assert_int_equal(ranges_settle(&ranges), 0);
		for (size_t n = 0; n < ranges.n; n++) {
			char a[ADDR_TEXT_LEN], b[ADDR_TEXT_LEN];
			size_t len = strlen(got);

			addr_text(ranges.items[n].first, a);
			addr_text(ranges.items[n].last, b);
			snprintf(got + len, sizeof(got) - len, "%s%s-%s", n ? " " : "", a, b);
		}
		ranges_fini(&ranges);
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s: got %s", cases[i].title, got);
	}
}

static void every_address_is_in_the_ranges_iff_in_a_prefix(void **state)
{
	struct guard_prefix prefixes[40];
	struct ranges ranges = { 0 };
	uint32_t seed = 1;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		seed = seed * 1664525 + 1013904223;
		prefixes[i] = guard_prefix_of("192.0.2.0");
		prefixes[i].addr[15] = (uint8_t)(seed >> 24);
		prefixes[i].len = (uint8_t)(124 + (seed >> 8) % 5);
	}
	assert_int_equal(ranges_add(&ranges, prefixes, ARRAY_LEN(prefixes)), 0);
	assert_int_equal(ranges_settle(&ranges), 0);
	for (int last = 0; last < 256; last++) {
		struct guard_prefix addr = guard_prefix_of("192.0.2.0");
		bool in_prefix = false, in_range = false;

		addr.addr[15] = (uint8_t)last;
		for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
			struct prefix p = { .len = prefixes[i].len };

			memcpy(p.addr, prefixes[i].addr, ADDR_LEN);
			in_prefix |= prefix_has(&p, addr.addr);
		}
		for (size_t i = 0; i < ranges.n; i++)
			in_range |= memcmp(ranges.items[i].first, addr.addr, ADDR_LEN) <= 0 &&
			            memcmp(addr.addr, ranges.items[i].last, ADDR_LEN) <= 0;
		if (in_prefix != in_range)
			fail_msg("192.0.2.%d: in a prefix %d, in a range %d", last, in_prefix,
			         in_range);
	}
	for (size_t i = 1; i < ranges.n; i++)
		assert_true(memcmp(ranges.items[i - 1].last, ranges.items[i].first, ADDR_LEN) < 0);
	ranges_fini(&ranges);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_are_disjoint_sorted_and_of_one_family),
		cmocka_unit_test(every_address_is_in_the_ranges_iff_in_a_prefix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
