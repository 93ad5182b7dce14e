/* tests/unit/base/base_prefix.c - addresses and prefixes. */
#include <arpa/inet.h>

#include "check.h"

#include "sallyport/prefix.h"

static const struct {
	const char *title, *text, *want; /* NULL: refused */
	int r;
} parse_cases[] = {
	{ "an IPv4 network", "192.0.2.0/24", "192.0.2.0/24", 0 },
	{ "an IPv4 host", "192.0.2.1", "192.0.2.1", 0 },
	{ "all of IPv4", "0.0.0.0/0", "0.0.0.0/0", 0 },
	{ "an IPv6 network", "2001:db8::/32", "2001:db8::/32", 0 },
	{ "an IPv6 host", "2001:db8::1", "2001:db8::1", 0 },
	{ "all of IPv6", "::/0", "::/0", 0 },
	{ "host bits are cleared and told", "192.0.2.7/24", "192.0.2.0/24", ERR_CONFIG },
	{ "a length over 32", "192.0.2.0/33", NULL, ERR_INVAL },
	{ "a length over 128", "2001:db8::/129", NULL, ERR_INVAL },
	{ "a leading zero", "192.0.2.0/024", NULL, ERR_INVAL },
	{ "no length", "192.0.2.0/", NULL, ERR_INVAL },
	{ "a sign", "192.0.2.0/+8", NULL, ERR_INVAL },
	{ "three octets", "192.0.2/24", NULL, ERR_INVAL },
	{ "a huge length", "192.0.2.0/99999999999", NULL, ERR_INVAL },
};

static void prefixes_are_read_strictly(void **state)
{
	(void)state; /* cmocka's signature */
	for (size_t i = 0; i < ARRAY_LEN(parse_cases); i++) {
		struct prefix prefix;
		char text[PREFIX_TEXT_LEN];
		int r = prefix_parse(parse_cases[i].text, &prefix);

		if (r != parse_cases[i].r)
			fail_msg("%s: returned %d", parse_cases[i].title, r);
		if (!parse_cases[i].want)
			continue;
		prefix_text(&prefix, text);
		if (strcmp(text, parse_cases[i].want) != 0)
			fail_msg("%s: got %s", parse_cases[i].title, text);
	}
}

static const struct {
	const char *prefix, *addr;
	int want;
} has_cases[] = {
	{ "192.0.2.0/24", "192.0.2.255", 1 },
	{ "192.0.2.0/24", "192.0.3.0", 0 },
	{ "192.0.2.4/30", "192.0.2.7", 1 },
	{ "192.0.2.4/30", "192.0.2.8", 0 },
	{ "2001:db8::/33", "2001:db8:7fff::", 1 },
	{ "2001:db8::/33", "2001:db8:8000::", 0 },
	{ "::/0", "192.0.2.1", 1 },
	{ "0.0.0.0/0", "2001:db8::1", 0 },
	{ "192.0.2.1", "192.0.2.1", 1 },
	{ "192.0.2.1", "192.0.2.2", 0 },
};

static void a_prefix_has_its_addresses_only(void **state)
{
	(void)state; /* cmocka's signature */
	for (size_t i = 0; i < ARRAY_LEN(has_cases); i++) {
		struct prefix prefix;
		uint8_t addr[ADDR_LEN];

		assert_int_equal(prefix_parse(has_cases[i].prefix, &prefix), 0);
		assert_int_equal(addr_parse(has_cases[i].addr, addr), 0);
		if (prefix_has(&prefix, addr) != has_cases[i].want)
			fail_msg("%s in %s", has_cases[i].addr, has_cases[i].prefix);
	}
}

static void every_octet_is_written_as_the_system_writes_it(void **state)
{
	(void)state; /* cmocka's signature */
	for (unsigned int i = 0; i < 4 * 256; i++) {
		uint8_t v4[4] = { 192, 0, 2, 1 }, addr[ADDR_LEN];
		char got[ADDR_TEXT_LEN], want[INET_ADDRSTRLEN];

		v4[i / 256] = (uint8_t)i;
		addr_from_v4(v4, addr);
		addr_text(addr, got);
		assert_string_equal(got, inet_ntop(AF_INET, v4, want, sizeof(want)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prefixes_are_read_strictly),
		cmocka_unit_test(a_prefix_has_its_addresses_only),
		cmocka_unit_test(every_octet_is_written_as_the_system_writes_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
