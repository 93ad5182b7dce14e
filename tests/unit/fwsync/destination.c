/* Destinations by the special-purpose registries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sallyport/cleanup.h"

#include "destination.h"

static const struct {
	const char *addr;
	enum destination want;
} cases[] = {
	{ "44.0.0.1", DESTINATION_GLOBAL },
	{ "0.0.0.0", DESTINATION_NEVER },
	{ "0.1.2.3", DESTINATION_NEVER },
	{ "9.255.255.255", DESTINATION_GLOBAL },
	{ "10.0.0.0", DESTINATION_INTERNAL },
	{ "10.255.255.255", DESTINATION_INTERNAL },
	{ "11.0.0.0", DESTINATION_GLOBAL },
	{ "100.63.255.255", DESTINATION_GLOBAL },
	{ "100.64.0.0", DESTINATION_INTERNAL },
	{ "100.127.255.255", DESTINATION_INTERNAL },
	{ "100.128.0.0", DESTINATION_GLOBAL },
	{ "127.0.0.1", DESTINATION_NEVER },
	{ "169.254.169.254", DESTINATION_NEVER },
	{ "172.15.255.255", DESTINATION_GLOBAL },
	{ "172.16.0.0", DESTINATION_INTERNAL },
	{ "172.31.255.255", DESTINATION_INTERNAL },
	{ "172.32.0.0", DESTINATION_GLOBAL },
	{ "192.0.0.8", DESTINATION_INTERNAL },
	{ "192.0.0.9", DESTINATION_GLOBAL },
	{ "192.0.2.1", DESTINATION_INTERNAL },
	{ "192.168.1.1", DESTINATION_INTERNAL },
	{ "198.17.255.255", DESTINATION_GLOBAL },
	{ "198.18.0.0", DESTINATION_INTERNAL },
	{ "198.19.255.255", DESTINATION_INTERNAL },
	{ "198.51.100.1", DESTINATION_INTERNAL },
	{ "203.0.113.1", DESTINATION_INTERNAL },
	{ "224.0.0.1", DESTINATION_NEVER },
	{ "239.255.255.255", DESTINATION_NEVER },
	{ "240.0.0.1", DESTINATION_NEVER },
	{ "255.255.255.255", DESTINATION_NEVER },
	{ "::", DESTINATION_NEVER },
	{ "::1", DESTINATION_NEVER },
	{ "::10.0.0.1", DESTINATION_NEVER },
	{ "::ffff:10.0.0.1", DESTINATION_INTERNAL },
	{ "::ffff:127.0.0.1", DESTINATION_NEVER },
	{ "64:ff9b::44.0.0.1", DESTINATION_GLOBAL },
	{ "64:ff9b::10.0.0.1", DESTINATION_INTERNAL },
	{ "64:ff9b::127.0.0.1", DESTINATION_NEVER },
	{ "64:ff9b:1::44.0.0.1", DESTINATION_INTERNAL },
	{ "64:ff9b:1::127.0.0.1", DESTINATION_NEVER },
	{ "100::1", DESTINATION_INTERNAL },
	{ "2000::1", DESTINATION_GLOBAL },
	{ "2001::1", DESTINATION_NEVER }, /* Teredo of 255.255.255.254 */
	{ "2001:0:4136:e378:8000:63bf:d3ff:fffe", DESTINATION_INTERNAL }, /* of 44.0.0.1 */
	{ "2001:1::1", DESTINATION_GLOBAL },
	{ "2001:1::4", DESTINATION_INTERNAL },
	{ "2001:2::1", DESTINATION_INTERNAL },
	{ "2001:20::1", DESTINATION_GLOBAL },
	{ "2001:db8::1", DESTINATION_INTERNAL },
	{ "2002:2c00:1::1", DESTINATION_INTERNAL },
	{ "2002:7f00:1::1", DESTINATION_NEVER },
	{ "3fff::1", DESTINATION_INTERNAL },
	{ "3fff:1000::1", DESTINATION_GLOBAL },
	{ "4000::1", DESTINATION_NEVER },
	{ "5f00::1", DESTINATION_INTERNAL },
	{ "fc00::1", DESTINATION_INTERNAL },
	{ "fdff::1", DESTINATION_INTERNAL },
	{ "fe80::1", DESTINATION_NEVER },
	{ "fec0::1", DESTINATION_NEVER },
	{ "ff02::1", DESTINATION_NEVER },
};

static void destinations_are_classed_by_the_registries(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t addr[ADDR_LEN];
		enum destination got;

		assert_int_equal(addr_parse(cases[i].addr, addr), 0);
		got = destination_of(addr);
		if (got != cases[i].want)
			fail_msg("%s: got %d, wanted %d", cases[i].addr, got, cases[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(destinations_are_classed_by_the_registries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
