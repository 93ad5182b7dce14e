/* The budget of rows that callers who may only read leave in the audit trail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sallyport/clock.h"
#include "sallyport/limits.h"

#include "trail.h"

#define ROW_NS ((uint64_t)LIMIT_AUDIT_ROW_MS * NS_PER_MS)

static unsigned int take(struct trail *trail, uint64_t now_ns, unsigned int n, uint64_t *ret_out)
{
	unsigned int n_taken = 0;

	for (; n > 0; n--)
		n_taken += trail_take(trail, now_ns, ret_out);
	return n_taken;
}

static void so_many_at_once_and_one_more_each_time(void **state)
{
	struct trail trail = { 0 };
	uint64_t now_ns = 7 * NS_PER_S, n_out = 99;

	(void)state;
	assert_int_equal(take(&trail, now_ns, 500, &n_out), LIMIT_AUDIT_ROWS);
	assert_int_equal(n_out, 0);
	assert_int_equal(take(&trail, now_ns + ROW_NS - 1, 10, &n_out), 0);
	/* The next row says how many there were before it. */
	assert_int_equal(take(&trail, now_ns + ROW_NS, 1, &n_out), 1);
	assert_int_equal(n_out, 500 - LIMIT_AUDIT_ROWS + 10);
	assert_int_equal(take(&trail, now_ns + 3 * ROW_NS, 10, &n_out), 2);
	assert_int_equal(n_out, 0);
}

static void a_day_without_any_saves_no_more_than_the_budget(void **state)
{
	struct trail trail = { 0 };
	uint64_t now_ns = NS_PER_S, n_out;

	(void)state;
	assert_int_equal(take(&trail, now_ns, 1000, &n_out), LIMIT_AUDIT_ROWS);
	now_ns += UINT64_C(86400) * NS_PER_S;
	assert_int_equal(take(&trail, now_ns, 1000, &n_out), LIMIT_AUDIT_ROWS);
	/* All day long at full speed. */
	n_out = 0;
	for (unsigned int i = 1; i <= 86400; i++)
		n_out += take(&trail, now_ns + i * NS_PER_S, 2, &(uint64_t){ 0 });
	assert_int_equal(n_out, 86400 / (LIMIT_AUDIT_ROW_MS / 1000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(so_many_at_once_and_one_more_each_time),
		cmocka_unit_test(a_day_without_any_saves_no_more_than_the_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
