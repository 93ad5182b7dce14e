/* Service bindings: what is malformed, and what stripping leaves. */
#include "message.h"
#include "sallyport/cleanup.h"
#include "sallyport/err.h"
#include "svcb.h"

#define OCTETS(s) (s), sizeof(s) - 1
#define HEAD "\0\1\1t\0" /* priority 1, target "t." */
#define V4(a) "\x09\x09\x09" a
#define PRIVATE "\x0a\0\0\1"
#define LOOPBACK "\x7f\0\0\1"
#define V6 "\x26\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"
#define ULA "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"
#define MAPPED "\0\0\0\0\0\0\0\0\0\0\xff\xff\x09\x09\x09\x09"

static const struct {
	const char *title, *rdata;
	size_t len;
	int want;
} checks[] = {
	{ "alias mode", OCTETS("\0\0\1t\0"), 0 },
	{ "nothing at all", OCTETS(""), ERR_MALFORMED },
	{ "no target", OCTETS("\0\1"), ERR_MALFORMED },
	{ "the owner itself", OCTETS("\0\1\0"), 0 },
	{ "a compressed target", OCTETS("\0\1\xc0\x0c"), ERR_MALFORMED },
	{ "half a parameter", OCTETS(HEAD "\0\1\0"), ERR_MALFORMED },
	{ "a value cut short", OCTETS(HEAD "\0\1\0\2x"), ERR_MALFORMED },
	{ "keys out of order", OCTETS(HEAD "\0\3\0\0\0\1\0\0"), ERR_MALFORMED },
	{ "a key twice", OCTETS(HEAD "\0\1\0\0\0\1\0\0"), ERR_MALFORMED },
	{ "an IPv4 hint", OCTETS(HEAD "\0\4\0\4" V4("\1")), 0 },
	{ "an empty IPv4 hint", OCTETS(HEAD "\0\4\0\0"), ERR_MALFORMED },
	{ "an IPv4 hint of 5 octets", OCTETS(HEAD "\0\4\0\5" V4("\1") "x"), ERR_MALFORMED },
	{ "an IPv6 hint of 4 octets", OCTETS(HEAD "\0\6\0\4" V4("\1")), ERR_MALFORMED },
	{ "mandatory names a key that is there", OCTETS(HEAD "\0\0\0\2\0\3\0\3\0\2\1\xbb"), 0 },
	{ "mandatory names a key that is not", OCTETS(HEAD "\0\0\0\2\0\4\0\3\0\2\1\xbb"),
	  ERR_MALFORMED },
	{ "mandatory names itself", OCTETS(HEAD "\0\0\0\2\0\0"), ERR_MALFORMED },
	{ "mandatory names a key twice", OCTETS(HEAD "\0\0\0\4\0\3\0\3\0\3\0\2\1\xbb"),
	  ERR_MALFORMED },
	{ "mandatory is odd", OCTETS(HEAD "\0\0\0\3\0\3\0\0\3\0\2\1\xbb"), ERR_MALFORMED },
	{ "mandatory is empty", OCTETS(HEAD "\0\0\0\0"), ERR_MALFORMED },
};

static void each_rule_has_its_result(void **state)
{
	(void)state; /* cmocka's signature */
	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		CLEANUP(free) uint8_t *exact = malloc(checks[i].len + 1);
		int r;

		assert_non_null(exact);
		memcpy(exact, checks[i].rdata, checks[i].len);
		r = svcb_check(exact, checks[i].len);
		if (r != checks[i].want)
			fail_msg("%s: got %d", checks[i].title, r);
	}
}

static const struct {
	const char *title;
	struct svcb_filter filter;
	const char *rdata;
	size_t len;
	const char *want;
	size_t want_len;
	size_t n_addrs;
} strips[] = {
	{ "global hints stay",
	  { 0 },
	  OCTETS(HEAD "\0\4\0\4" V4("\1") "\0\6\0\x10" V6),
	  OCTETS(HEAD "\0\4\0\4" V4("\1") "\0\6\0\x10" V6),
	  2 },
	{ "a private one goes alone",
	  { 0 },
	  OCTETS(HEAD "\0\4\0\x0c" V4("\1") PRIVATE V4("\2")),
	  OCTETS(HEAD "\0\4\0\x08" V4("\1") V4("\2")),
	  2 },
	{ "a private one stays inside",
	  { .internal = true },
	  OCTETS(HEAD "\0\4\0\x08" V4("\1") PRIVATE),
	  OCTETS(HEAD "\0\4\0\x08" V4("\1") PRIVATE),
	  2 },
	{ "loopback goes everywhere",
	  { .internal = true },
	  OCTETS(HEAD "\0\4\0\x08" LOOPBACK PRIVATE),
	  OCTETS(HEAD "\0\4\0\4" PRIVATE),
	  1 },
	{ "a parameter without values goes whole",
	  { 0 },
	  OCTETS(HEAD "\0\3\0\2\1\xbb\0\4\0\4" PRIVATE "\0\6\0\x10" V6),
	  OCTETS(HEAD "\0\3\0\2\1\xbb\0\6\0\x10" V6),
	  1 },
	{ "and from mandatory, too",
	  { 0 },
	  OCTETS(HEAD "\0\0\0\4\0\3\0\4\0\3\0\2\1\xbb\0\4\0\4" PRIVATE),
	  OCTETS(HEAD "\0\0\0\2\0\3\0\3\0\2\1\xbb"),
	  0 },
	{ "mandatory goes when it was the last",
	  { 0 },
	  OCTETS(HEAD "\0\0\0\2\0\4\0\4\0\4" PRIVATE),
	  OCTETS(HEAD),
	  0 },
	{ "no source of IPv4",
	  { .drop_v4 = true },
	  OCTETS(HEAD "\0\4\0\4" V4("\1") "\0\6\0\x10" V6),
	  OCTETS(HEAD "\0\6\0\x10" V6),
	  1 },
	{ "no source of IPv6",
	  { .drop_v6 = true },
	  OCTETS(HEAD "\0\4\0\4" V4("\1") "\0\6\0\x10" V6),
	  OCTETS(HEAD "\0\4\0\4" V4("\1")),
	  1 },
	{ "a unique local one",
	  { 0 },
	  OCTETS(HEAD "\0\6\0\x20" ULA V6),
	  OCTETS(HEAD "\0\6\0\x10" V6),
	  1 },
	{ "a mapped one goes even inside",
	  { .internal = true },
	  OCTETS(HEAD "\0\6\0\x20" MAPPED ULA),
	  OCTETS(HEAD "\0\6\0\x10" ULA),
	  1 },
};

static void stripping_leaves_a_well_formed_rest(void **state)
{
	(void)state; /* cmocka's signature */
	for (size_t i = 0; i < ARRAY_LEN(strips); i++) {
		uint8_t out[256], addrs[16][ADDR_LEN];
		const uint8_t *in = (const uint8_t *)strips[i].rdata;
		size_t len;

		assert_int_equal(svcb_check(in, strips[i].len), 0);
		len = svcb_strip(in, strips[i].len, &strips[i].filter, out);
		if (len != strips[i].want_len || memcmp(out, strips[i].want, len) != 0)
			fail_msg("%s: %zu octets are left", strips[i].title, len);
		assert_int_equal(svcb_check(out, len), 0);
		if (svcb_addrs(out, len, addrs, ARRAY_LEN(addrs)) != strips[i].n_addrs)
			fail_msg("%s: wrong number of addresses", strips[i].title);
	}
}

static void addresses_stop_at_the_room_given(void **state)
{
	static const uint8_t rdata[] = HEAD "\0\4\0\x08" V4("\1") V4("\2");
	uint8_t addrs[1][ADDR_LEN], want[ADDR_LEN];

	(void)state; /* cmocka's signature */
	assert_int_equal(svcb_addrs(rdata, sizeof(rdata) - 1, addrs, 1), 1);
	addr_from_v4((const uint8_t *)V4("\1"), want);
	assert_memory_equal(addrs[0], want, ADDR_LEN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_rule_has_its_result),
		cmocka_unit_test(stripping_leaves_a_well_formed_rest),
		cmocka_unit_test(addresses_stop_at_the_room_given),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
