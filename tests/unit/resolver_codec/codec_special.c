/* Special-use names. */
#include "message.h"
#include "sallyport/cleanup.h"
#include "special.h"

static const struct {
	const char *name;
	enum special want;
} cases[] = {
	{ ".", SPECIAL_NONE },
	{ "example.org.", SPECIAL_NONE },
	{ "test.", SPECIAL_NONE },
	{ "db.corp.test.", SPECIAL_NONE },
	{ "localhost.", SPECIAL_LOCALHOST },
	{ "a.b.localhost.", SPECIAL_LOCALHOST },
	{ "localhost.example.org.", SPECIAL_NONE },
	{ "notlocalhost.", SPECIAL_NONE },
	{ "invalid.", SPECIAL_NXDOMAIN },
	{ "x.invalid.", SPECIAL_NXDOMAIN },
	{ "a.onion.", SPECIAL_NXDOMAIN },
	{ "printer.local.", SPECIAL_NXDOMAIN },
	{ "a.alt.", SPECIAL_NXDOMAIN },
	{ "metadata.google.internal.", SPECIAL_NXDOMAIN },
	{ "home.arpa.", SPECIAL_NODATA },
	{ "nas.home.arpa.", SPECIAL_NXDOMAIN },
	{ "resolver.arpa.", SPECIAL_NODATA },
	{ "_dns.resolver.arpa.", SPECIAL_NODATA },
	{ "ipv4only.arpa.", SPECIAL_IPV4ONLY },
	{ "x.ipv4only.arpa.", SPECIAL_NXDOMAIN },
	{ "default.service.arpa.", SPECIAL_NXDOMAIN },
	{ "arpa.", SPECIAL_NONE },
	{ "in-addr.arpa.", SPECIAL_NONE },
	{ "10.in-addr.arpa.", SPECIAL_NODATA },
	{ "4.3.2.10.in-addr.arpa.", SPECIAL_NXDOMAIN },
	{ "4.3.2.110.in-addr.arpa.", SPECIAL_NONE },
	{ "15.172.in-addr.arpa.", SPECIAL_NONE },
	{ "16.172.in-addr.arpa.", SPECIAL_NODATA },
	{ "1.1.31.172.in-addr.arpa.", SPECIAL_NXDOMAIN },
	{ "1.1.32.172.in-addr.arpa.", SPECIAL_NONE },
	{ "1.016.172.in-addr.arpa.", SPECIAL_NONE },
	{ "63.100.in-addr.arpa.", SPECIAL_NONE },
	{ "64.100.in-addr.arpa.", SPECIAL_NODATA },
	{ "1.127.100.in-addr.arpa.", SPECIAL_NXDOMAIN },
	{ "128.100.in-addr.arpa.", SPECIAL_NONE },
	{ "1.168.192.in-addr.arpa.", SPECIAL_NXDOMAIN },
	{ "1.0.0.127.in-addr.arpa.", SPECIAL_NXDOMAIN },
	{ "170.0.0.192.in-addr.arpa.", SPECIAL_NODATA },
	{ "172.0.0.192.in-addr.arpa.", SPECIAL_NONE },
	{ "a.d.f.ip6.arpa.", SPECIAL_NXDOMAIN },
	{ "8.e.f.ip6.arpa.", SPECIAL_NODATA },
	{ "c.e.f.ip6.arpa.", SPECIAL_NONE },
	{ "1.8.b.d.0.1.0.0.2.ip6.arpa.", SPECIAL_NXDOMAIN },
	{ "9.b.d.0.1.0.0.2.ip6.arpa.", SPECIAL_NONE },
	{ "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa.",
	  SPECIAL_NODATA },
	{ "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa.",
	  SPECIAL_NONE },
};

static void every_name_has_its_treatment(void **state)
{
	(void)state; /* cmocka's signature */
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		enum special got = special_of(WIRE(cases[i].name));

		if (got != cases[i].want)
			fail_msg("%s: got %d", cases[i].name, got);
	}
}

static void the_longest_name_is_looked_up(void **state)
{
	uint8_t name[NAME_MAX_WIRE] = { 0 };

	(void)state; /* cmocka's signature */
	for (size_t i = 0; i < 127; i++)
		memcpy(name + 2 * i, "\1a", 2);
	assert_int_equal(special_of(name), SPECIAL_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_name_has_its_treatment),
		cmocka_unit_test(the_longest_name_is_looked_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
