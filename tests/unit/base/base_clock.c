/* tests/unit/base/base_clock.c - durations and moments that people write. */
#include "check.h"

#include "sallyport/clock.h"

#define NOW_NS (UINT64_C(1795424400) * NS_PER_S) /* 2026-11-23T09:00:00Z */

static const struct {
	const char *text;
	int r;
	uint64_t ms;
} durations[] = {
	{ "250ms", 0, 250 },
	{ "30s", 0, 30000 },
	{ "5m", 0, 300000 },
	{ "2h", 0, 7200000 },
	{ "90d", 0, UINT64_C(7776000000) },
	{ "1w", 0, 604800000 },
	{ "0s", 0, 0 },
	{ "30", ERR_INVAL, 0 },
	{ "s", ERR_INVAL, 0 },
	{ "-1s", ERR_INVAL, 0 },
	{ "1 s", ERR_INVAL, 0 },
	{ "1sx", ERR_INVAL, 0 },
	{ "99999999999w", ERR_LIMIT, 0 },
	{ "9999999999999s", ERR_LIMIT, 0 },
};

static void durations_need_a_unit(void **state)
{
	(void)state; /* cmocka's signature */
	for (size_t i = 0; i < ARRAY_LEN(durations); i++) {
		uint64_t ms = 0;
		int r = clock_parse_duration(durations[i].text, &ms);

		if (r != durations[i].r || ms != durations[i].ms)
			fail_msg("%s: %d, %llu", durations[i].text, r, (unsigned long long)ms);
	}
}

static const struct {
	const char *text, *want; /* RFC 3339; NULL: refused */
} moments[] = {
	{ "2h", "2026-11-23T07:00:00.000000Z" },
	{ "2026-11-23", "2026-11-23T00:00:00.000000Z" },
	{ "2026-11-23 09:00", "2026-11-23T09:00:00.000000Z" },
	{ "2026-11-23T09:00:00.123456Z", "2026-11-23T09:00:00.123456Z" },
	{ "2026-11-23T09:00:00+01:30", "2026-11-23T07:30:00.000000Z" },
	{ "2024-02-29", "2024-02-29T00:00:00.000000Z" },
	{ "@1795424400", "2026-11-23T09:00:00.000000Z" },
	{ "2026-02-30", NULL },
	{ "2026-13-01", NULL },
	{ "2026-11-23T25:00", NULL },
	{ "yesterday", NULL },
	{ "", NULL },
	{ "@", NULL },
};

static void moments_are_utc_unless_told(void **state)
{
	(void)state; /* cmocka's signature */
	for (size_t i = 0; i < ARRAY_LEN(moments); i++) {
		char text[CLOCK_RFC3339_LEN];
		uint64_t ns;
		int r = clock_parse_moment(moments[i].text, NOW_NS, 0, &ns);

		if (!moments[i].want) {
			assert_int_equal(r, ERR_INVAL);
			continue;
		}
		if (r < 0)
			fail_msg("%s: refused", moments[i].text);
		clock_rfc3339(ns, text);
		if (strcmp(text, moments[i].want) != 0)
			fail_msg("%s: got %s", moments[i].text, text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_need_a_unit),
		cmocka_unit_test(moments_are_utc_unless_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
