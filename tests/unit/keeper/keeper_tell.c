/* tests/unit/keeper/keeper_tell.c - a change that could not be handed down is handed down again: a
 * trust anchor that was revoked must not stay trusted for want of a descriptor.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "hand_down.h"
#include "keeper.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"

/* In place of hand_down.c's: what it says next, and how often it was called. */
static int verdict;
static unsigned int n_calls;

int hand_down(struct keeper *keeper, struct child *child)
{
	(void)child;
	n_calls++;
	tell_next(keeper);
	return verdict;
}

static struct keeper *make(void)
{
	struct keeper *k = calloc(1, sizeof(*k));

	assert_non_null(k);
	k->children[ROLE_RESOLVER].state = CHILD_RUNNING;
	verdict = ERR_OK;
	n_calls = 0;
	return k;
}

static void one_is_on_its_way_at_a_time(void **state)
{
	CLEANUP(free) struct keeper *k = make();

	(void)state;
	tell_resolver(k);
	tell_resolver(k);
	assert_int_equal(n_calls, 1);
	tell_applied(k, 1);
	assert_int_equal(n_calls, 2);
	tell_applied(k, 2);
	tell_pulse(k, clock_mono_ns() + 2 * TELL_WAIT_MS * NS_PER_MS);
	assert_int_equal(n_calls, 2);
}

static void what_could_not_be_handed_down_is_tried_again(void **state)
{
	CLEANUP(free) struct keeper *k = make();
	uint64_t now_ns = clock_mono_ns();

	(void)state;
	verdict = ERR_NOMEM;
	tell_resolver(k);
	assert_int_equal(n_calls, 1);
	tell_pulse(k, now_ns);
	assert_int_equal(n_calls, 1); /* not at every turn */
	verdict = ERR_OK;
	tell_pulse(k, now_ns + 2 * TELL_WAIT_MS * NS_PER_MS);
	assert_int_equal(n_calls, 2);
	tell_applied(k, 2);
	tell_pulse(k, now_ns + 4 * TELL_WAIT_MS * NS_PER_MS);
	assert_int_equal(n_calls, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_is_on_its_way_at_a_time),
		cmocka_unit_test(what_could_not_be_handed_down_is_tried_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
