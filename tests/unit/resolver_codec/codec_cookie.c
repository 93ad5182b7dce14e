/* Server cookies against the vectors of RFC 9018, appendix A. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "cookie.h"
#include "sallyport/cleanup.h"

static const struct {
	const char *title, *secret, *client, *addr;
	const char *presented; /* "" : none */
	uint32_t now_s;
	const char *made; /* the cookie of that moment */
} vectors[] = {
	{ "A.1 a first cookie", "e5e973e5a6b2a43f48e7dc849e37bfcf", "2464c4abcf10c957",
	  "198.51.100.100", "", 1559731985, "010000005cf79f111f8130c3eee29480" },
	{ "A.2 renewed after 40 minutes", "e5e973e5a6b2a43f48e7dc849e37bfcf", "2464c4abcf10c957",
	  "198.51.100.100", "010000005cf79f111f8130c3eee29480", 1559734385,
	  "010000005cf7a871d4a564a1442aca77" },
	/* The RFC's answer comes 112 minutes later, past the hour that its section 4.3 recommends.
	 */
	{ "A.3 reserved octets that are set", "e5e973e5a6b2a43f48e7dc849e37bfcf",
	  "fc93fc62807ddb86", "203.0.113.203", "01abcdef5cf78f71a314227b6679ebf5", 1559727985, "" },
	{ "A.3 the renewed cookie", "e5e973e5a6b2a43f48e7dc849e37bfcf", "fc93fc62807ddb86",
	  "203.0.113.203", "", 1559734700, "010000005cf7a9acf73a7810aca2381e" },
	{ "A.4 IPv6, under the old secret", "dd3bdf9344b678b185a6f5cb60fca715", "22681ab97d52c298",
	  "2001:db8:220:1:59de:d0f4:8769:82b8", "010000005cf7c57926556bd0934c72f8", 1559741817,
	  "" },
	{ "A.4 IPv6, under the new one", "445536bcd2513298075a5d379663c962", "22681ab97d52c298",
	  "2001:db8:220:1:59de:d0f4:8769:82b8", "", 1559741961,
	  "010000005cf7c609a6bb79d16625507a" },
};

static void from_hex(const char *hex, uint8_t *out, size_t len)
{
	size_t got;

	assert_int_equal(sodium_hex2bin(out, len, hex, strlen(hex), NULL, &got, NULL), 0);
	assert_int_equal(got, len);
}

static void the_vectors_of_rfc_9018_hold(void **state)
{
	(void)state; /* cmocka's signature */
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		uint8_t secret[16], addr[ADDR_LEN], made[COOKIE_SERVER_LEN],
		    want[COOKIE_SERVER_LEN];
		struct question q = { .cookie = true };

		from_hex(vectors[i].secret, secret, sizeof(secret));
		from_hex(vectors[i].client, q.cookie_client, COOKIE_CLIENT_LEN);
		assert_int_equal(addr_parse(vectors[i].addr, addr), 0);
		if (vectors[i].presented[0]) {
			from_hex(vectors[i].presented, q.cookie_server, COOKIE_SERVER_LEN);
			q.cookie_server_len = COOKIE_SERVER_LEN;
			if (!cookie_valid(secret, &q, addr, vectors[i].now_s))
				fail_msg("%s: not valid", vectors[i].title);
		}
		if (!vectors[i].made[0])
			continue;
		from_hex(vectors[i].made, want, sizeof(want));
		cookie_make(secret, q.cookie_client, addr, vectors[i].now_s, made);
		if (memcmp(made, want, sizeof(want)) != 0) {
			char hex[33];

			fail_msg("%s: made %s", vectors[i].title,
			         sodium_bin2hex(hex, sizeof(hex), made, sizeof(made)));
		}
	}
}

static void validity_ends_after_an_hour_and_before_five_minutes_ahead(void **state)
{
	static const struct {
		const char *title;
		uint32_t made, now;
		bool want;
	} cases[] = {
		{ "at once", 1000000, 1000000, true },
		{ "an hour old", 1000000, 1003600, true },
		{ "a second more", 1000000, 1003601, false },
		{ "five minutes ahead", 1000300, 1000000, true },
		{ "a second more ahead", 1000301, 1000000, false },
		{ "across the wrap of 2106", 4294967290u, 100, true },
		{ "ahead across the wrap", 100, 4294967290u, true },
	};
	const uint8_t secret[16] = "0123456789abcdef", addr[ADDR_LEN] = { 0x20, 1, 0xd, 0xb8 };

	(void)state; /* cmocka's signature */
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct question q = { .cookie = true, .cookie_server_len = COOKIE_SERVER_LEN };

		cookie_make(secret, q.cookie_client, addr, cases[i].made, q.cookie_server);
		if (cookie_valid(secret, &q, addr, cases[i].now) != cases[i].want)
			fail_msg("%s", cases[i].title);
	}
}

static void a_changed_cookie_is_invalid(void **state)
{
	const uint8_t secret[16] = "0123456789abcdef", addr[ADDR_LEN] = { 0x20, 1, 0xd, 0xb8 };
	uint8_t other[ADDR_LEN] = { 0x20, 1, 0xd, 0xb8, [15] = 1 };
	struct question q = { .cookie = true, .cookie_server_len = COOKIE_SERVER_LEN };

	(void)state; /* cmocka's signature */
	cookie_make(secret, q.cookie_client, addr, 5000, q.cookie_server);
	assert_true(cookie_valid(secret, &q, addr, 5000));
	assert_false(cookie_valid(secret, &q, other, 5000));
	for (size_t i = 0; i < COOKIE_SERVER_LEN; i++) {
		q.cookie_server[i] ^= 1;
		if (cookie_valid(secret, &q, addr, 5000))
			fail_msg("octet %zu of the server cookie", i);
		q.cookie_server[i] ^= 1;
	}
	q.cookie_client[3] ^= 1;
	assert_false(cookie_valid(secret, &q, addr, 5000));
	q.cookie_client[3] ^= 1;
	q.cookie_server_len = 8;
	assert_false(cookie_valid(secret, &q, addr, 5000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_vectors_of_rfc_9018_hold),
		cmocka_unit_test(validity_ends_after_an_hour_and_before_five_minutes_ahead),
		cmocka_unit_test(a_changed_cookie_is_invalid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
