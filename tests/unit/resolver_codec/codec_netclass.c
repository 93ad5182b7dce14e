/* Every row of the special-purpose registries, both edges, and IPv4 embedded in IPv6. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "netclass.h"
#include "sallyport/cleanup.h"

static const struct {
	const char *addr;
	enum netclass want;
} cases[] = {
	{ "0.0.0.0", NETCLASS_NEVER },
	{ "0.255.255.255", NETCLASS_NEVER },
	{ "1.0.0.0", NETCLASS_GLOBAL },
	{ "9.255.255.255", NETCLASS_GLOBAL },
	{ "10.0.0.0", NETCLASS_INTERNAL },
	{ "10.255.255.255", NETCLASS_INTERNAL },
	{ "11.0.0.0", NETCLASS_GLOBAL },
	{ "100.63.255.255", NETCLASS_GLOBAL },
	{ "100.64.0.0", NETCLASS_INTERNAL },
	{ "100.127.255.255", NETCLASS_INTERNAL },
	{ "100.128.0.0", NETCLASS_GLOBAL },
	{ "126.255.255.255", NETCLASS_GLOBAL },
	{ "127.0.0.1", NETCLASS_NEVER },
	{ "127.255.255.255", NETCLASS_NEVER },
	{ "169.253.255.255", NETCLASS_GLOBAL },
	{ "169.254.169.254", NETCLASS_NEVER },
	{ "169.255.0.0", NETCLASS_GLOBAL },
	{ "172.15.255.255", NETCLASS_GLOBAL },
	{ "172.16.0.0", NETCLASS_INTERNAL },
	{ "172.31.255.255", NETCLASS_INTERNAL },
	{ "172.32.0.0", NETCLASS_GLOBAL },
	{ "192.0.0.0", NETCLASS_INTERNAL },
	{ "192.0.0.8", NETCLASS_INTERNAL },
	{ "192.0.0.9", NETCLASS_GLOBAL },
	{ "192.0.0.10", NETCLASS_GLOBAL },
	{ "192.0.0.170", NETCLASS_INTERNAL },
	{ "192.0.1.0", NETCLASS_GLOBAL },
	{ "192.0.2.1", NETCLASS_INTERNAL },
	{ "192.31.196.1", NETCLASS_GLOBAL },
	{ "192.88.99.1", NETCLASS_INTERNAL },
	{ "192.167.255.255", NETCLASS_GLOBAL },
	{ "192.168.0.0", NETCLASS_INTERNAL },
	{ "192.168.255.255", NETCLASS_INTERNAL },
	{ "192.169.0.0", NETCLASS_GLOBAL },
	{ "198.17.255.255", NETCLASS_GLOBAL },
	{ "198.18.0.0", NETCLASS_INTERNAL },
	{ "198.19.255.255", NETCLASS_INTERNAL },
	{ "198.20.0.0", NETCLASS_GLOBAL },
	{ "198.51.100.1", NETCLASS_INTERNAL },
	{ "203.0.113.1", NETCLASS_INTERNAL },
	{ "223.255.255.255", NETCLASS_GLOBAL },
	{ "224.0.0.1", NETCLASS_NEVER },
	{ "239.255.255.255", NETCLASS_NEVER },
	{ "240.0.0.1", NETCLASS_NEVER },
	{ "255.255.255.255", NETCLASS_NEVER },

	{ "::", NETCLASS_NEVER },
	{ "::1", NETCLASS_NEVER },
	{ "::2", NETCLASS_NEVER },
	{ "::9.9.9.9", NETCLASS_INTERNAL }, /* compatible: never global */
	{ "::10.0.0.1", NETCLASS_INTERNAL },
	{ "::127.0.0.1", NETCLASS_NEVER },
	{ "::ffff:127.0.0.1", NETCLASS_NEVER }, /* mapped: what it says */
	{ "::ffff:10.0.0.1", NETCLASS_INTERNAL },
	{ "::ffff:0:9.9.9.9", NETCLASS_NEVER }, /* translated (RFC 2765): not assigned */
	{ "64:ff9b::9.9.9.9", NETCLASS_GLOBAL },
	{ "64:ff9b::10.0.0.1", NETCLASS_INTERNAL },
	{ "64:ff9b::127.0.0.1", NETCLASS_NEVER },
	{ "64:ff9b::169.254.169.254", NETCLASS_NEVER },
	{ "64:ff9b::1:9.9.9.9", NETCLASS_NEVER }, /* outside the /96 */
	{ "64:ff9b:1::9.9.9.9", NETCLASS_INTERNAL },
	{ "64:ff9b:1:909:9:900::", NETCLASS_INTERNAL },
	{ "64:ff9b:1:7f00:0:100::", NETCLASS_NEVER }, /* 127.0.0.1 as a /48 has it */
	{ "64:ff9b:1:abcd::127.0.0.1", NETCLASS_NEVER },
	{ "100::", NETCLASS_NEVER },
	{ "100::1:2", NETCLASS_NEVER },
	{ "1fff:ffff::", NETCLASS_NEVER },
	{ "2000::", NETCLASS_GLOBAL },
	{ "2001::", NETCLASS_NEVER },                       /* Teredo whose server is 0.0.0.0 */
	{ "2001:0:909:909::f6f6:f6f6", NETCLASS_GLOBAL },   /* client 9.9.9.9, inverted */
	{ "2001:0:909:909::f5ff:fffe", NETCLASS_INTERNAL }, /* client 10.0.0.1 */
	{ "2001:0:909:909::80ff:fffe", NETCLASS_NEVER },    /* client 127.0.0.1 */
	{ "2001:0:a00:1::f6f6:f6f6", NETCLASS_INTERNAL },   /* server 10.0.0.1 */
	{ "2001:1::1", NETCLASS_GLOBAL },
	{ "2001:1::3", NETCLASS_GLOBAL },
	{ "2001:1::4", NETCLASS_INTERNAL },
	{ "2001:2::1", NETCLASS_INTERNAL },
	{ "2001:3::1", NETCLASS_GLOBAL },
	{ "2001:4:112::1", NETCLASS_GLOBAL },
	{ "2001:4:113::1", NETCLASS_INTERNAL },
	{ "2001:10::1", NETCLASS_INTERNAL },
	{ "2001:20::1", NETCLASS_GLOBAL },
	{ "2001:30::1", NETCLASS_GLOBAL },
	{ "2001:40::1", NETCLASS_INTERNAL },
	{ "2001:1ff:ffff::", NETCLASS_INTERNAL },
	{ "2001:200::", NETCLASS_GLOBAL },
	{ "2001:db7:ffff::", NETCLASS_GLOBAL },
	{ "2001:db8::1", NETCLASS_INTERNAL },
	{ "2001:db9::", NETCLASS_GLOBAL },
	{ "2002:909:909::1", NETCLASS_GLOBAL },
	{ "2002:a00:1::1", NETCLASS_INTERNAL },
	{ "2002:7f00:1::1", NETCLASS_NEVER },
	{ "2002:c0a8:101::1", NETCLASS_INTERNAL },
	{ "2620:4f:8000::1", NETCLASS_GLOBAL },
	{ "3ffe:ffff::1", NETCLASS_GLOBAL },
	{ "3fff::1", NETCLASS_INTERNAL },
	{ "3fff:fff::1", NETCLASS_INTERNAL },
	{ "3fff:1000::1", NETCLASS_GLOBAL },
	{ "4000::", NETCLASS_NEVER },
	{ "5f00::1", NETCLASS_INTERNAL },
	{ "fbff::1", NETCLASS_NEVER },
	{ "fc00::1", NETCLASS_INTERNAL },
	{ "fd12:3456::1", NETCLASS_INTERNAL },
	{ "fe00::1", NETCLASS_NEVER },
	{ "fe80::1", NETCLASS_NEVER },
	{ "febf::1", NETCLASS_NEVER },
	{ "fec0::1", NETCLASS_INTERNAL },
	{ "ff02::1", NETCLASS_NEVER },
	{ "ff0e::1", NETCLASS_NEVER },
};

static void every_address_has_its_class(void **state)
{
	(void)state; /* cmocka's signature */
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t addr[ADDR_LEN];

		if (addr_parse(cases[i].addr, addr) < 0)
			fail_msg("%s: not an address", cases[i].addr);
		if (netclass_of(addr) != cases[i].want)
			fail_msg("%s: class %d", cases[i].addr, netclass_of(addr));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_address_has_its_class),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
