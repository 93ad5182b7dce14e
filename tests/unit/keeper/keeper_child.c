/* tests/unit/keeper/keeper_child.c - roles started, watched, replaced, with a fake role program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "child.h"
#include "fake_role.h"
#include "sallyport/clock.h"
#include "sallyport/log.h"
#include "spawn.h"

#define PATIENCE_NS (10 * NS_PER_S)
#define N_CONFIGS 500 /* more than the channel holds at once without a queue */

struct fixture {
	uv_loop_t loop;
	uv_timer_t tick;
	struct child child;
	int stats;
	struct stats_page *page;
	enum fake_mode mode;
	int given; /* a descriptor that is sent along */
	unsigned int n_configure, n_ready, n_down;
	char born[1024];
	uint64_t n_fds;
};

static int on_configure(void *owner, struct child *child)
{
	struct fixture *f = owner;
	int r = 0;

	f->n_configure++;
	for (int i = 0; r == 0 && i < N_CONFIGS; i++)
		r = child_send(child, ROLE_MSG_CONFIG, f->mode, 0, NULL, 0, &f->given, 1);
	if (r == 0)
		r = child_send(child, ROLE_MSG_STATS, 0, 0, NULL, 0, &f->stats, 1);
	if (r == 0)
		r = child_send(child, ROLE_MSG_END, 0, 0, NULL, 0, NULL, 0);
	return r;
}

static void on_ready(void *owner, struct child *child)
{
	struct fixture *f = owner;

	(void)child;
	f->n_ready++;
}

static void on_message(void *owner, struct child *child, struct role_msg *msg)
{
	struct fixture *f = owner;
	size_t len = MIN(msg->len, sizeof(f->born) - 1);

	(void)child;
	if (msg->type != ROLE_MSG_APPLIED)
		return;
	memcpy(f->born, msg->payload, len);
	f->born[len] = '\0';
	f->n_fds = msg->a;
}

static void on_down(void *owner, struct child *child)
{
	struct fixture *f = owner;

	(void)child;
	f->n_down++;
}

static const struct child_ops ops = { on_configure, on_ready, on_message, on_down };

static void on_tick(uv_timer_t *timer)
{
	struct fixture *f = timer->data;
	int status;
	pid_t pid = f->child.pid > 0 ? waitpid(f->child.pid, &status, WNOHANG) : 0;

	if (pid > 0)
		(void)child_reaped(&f->child, pid, status);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	log_init("test", LOG_FORM_KEYVALUE, LOG_LEVEL_ERROR);
	assert_int_equal(uv_loop_init(&f->loop), 0);
	uv_timer_init(&f->loop, &f->tick);
	f->tick.data = f;
	uv_timer_start(&f->tick, on_tick, 1, 1);
	f->stats = stats_create();
	assert_int_equal(stats_map(f->stats, 1, &f->page), 0);
	f->given = open("/dev/null", O_RDONLY | O_CLOEXEC);
	f->child = (struct child){ .role = ROLE_RESOLVER,
		                   .program = "keeper_fake_role",
		                   .death_signal = SIGKILL,
		                   .ops = &ops,
		                   .owner = f,
		                   .stats = f->page };
	assert_int_equal(child_init(&f->child, &f->loop), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	pid_t pid = f->child.pid;

	child_close(&f->child);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	uv_close((uv_handle_t *)&f->tick, NULL);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	close(f->stats);
	close(f->given);
	free(f);
	return 0;
}

#define RUN_UNTIL(f, condition)                                                                    \
	do {                                                                                       \
		uint64_t end_ = clock_mono_ns() + PATIENCE_NS;                                     \
		while (!(condition) && clock_mono_ns() < end_)                                     \
			uv_run(&(f)->loop, UV_RUN_ONCE);                                           \
		assert_true(condition);                                                            \
	} while (0)

static void a_role_is_born_with_four_descriptors_and_gets_the_rest(void **state)
{
	struct fixture *f = *state;
	/* Descriptors that somebody forgot to mark close-on-exec. */
	int leaks[3] = { open("/dev/null", O_RDONLY), open("/dev/zero", O_RDONLY), dup(1) };

	child_start(&f->child);
	RUN_UNTIL(f, f->n_ready == 1);
	assert_string_equal(f->born, "0 1 2 3");
	assert_int_equal(f->n_fds, N_CONFIGS);
	for (size_t i = 0; i < ARRAY_LEN(leaks); i++)
		close(leaks[i]);
}

static void a_killed_role_is_back_within_a_second(void **state)
{
	struct fixture *f = *state;
	uint64_t began;
	pid_t first;

	child_start(&f->child);
	RUN_UNTIL(f, f->n_ready == 1);
	for (unsigned int i = 0; i < 3; i++) {
		first = f->child.pid;
		began = clock_mono_ns();
		assert_int_equal(kill(first, SIGKILL), 0);
		RUN_UNTIL(f, f->n_ready == 2 + i);
		assert_true(clock_mono_ns() - began < NS_PER_S);
		assert_int_not_equal(f->child.pid, first);
		assert_int_equal(f->child.restarts, 1 + i);
		assert_int_equal(f->n_configure, 2 + i);
		assert_int_equal(f->n_down, 1 + i);
	}
}

static void the_fifth_quick_death_backs_off(void **state)
{
	struct fixture *f = *state;

	f->mode = FAKE_DIE_AT_ONCE;
	child_start(&f->child);
	RUN_UNTIL(f, f->n_down == LIMIT_ROLE_DEATHS);
	assert_int_equal(f->child.state, CHILD_BACKOFF);
	assert_int_equal(f->child.backoff_ms, 1000);
	assert_int_equal(uv_timer_get_due_in(&f->child.timer) > 500, 1);
	/* And the next one waits twice as long. */
	child_start(&f->child);
	RUN_UNTIL(f, f->n_down == LIMIT_ROLE_DEATHS + 1);
	assert_int_equal(f->child.backoff_ms, 2000);
}

static void a_thread_without_a_heartbeat_is_a_death(void **state)
{
	struct fixture *f = *state;
	const uint64_t hung = (LIMIT_ROLE_HUNG_MS + 100) * NS_PER_MS;
	uint64_t now;

	child_start(&f->child);
	RUN_UNTIL(f, f->n_ready == 1);
	now = clock_mono_ns();
	child_check_pulse(&f->child, now);
	assert_int_equal(kill(f->child.pid, 0), 0);
	/* Lane 0 lives, lane 1 does not. */
	f->page->lanes[0].heartbeat_ns = now + hung;
	child_check_pulse(&f->child, now + hung);
	RUN_UNTIL(f, f->n_ready == 2);
	assert_int_equal(f->child.restarts, 1);
	/* A lane that is not in use is nobody's death. */
	f->page->lanes[0].heartbeat_ns = f->page->lanes[1].heartbeat_ns = clock_mono_ns() + hung;
	child_check_pulse(&f->child, clock_mono_ns() + hung);
	assert_int_equal(f->child.state, CHILD_RUNNING);
}

static void a_heartbeat_ahead_is_believed_up_to_a_limit(void **state)
{
	struct fixture *f = *state;
	const uint64_t hung = (LIMIT_ROLE_HUNG_MS + 100) * NS_PER_MS;
	uint64_t now;

	child_start(&f->child);
	RUN_UNTIL(f, f->n_ready == 1);
	now = clock_mono_ns() + hung;
	f->page->lanes[0].heartbeat_ns = f->page->lanes[1].heartbeat_ns = now + 50 * NS_PER_S;
	child_check_pulse(&f->child, now);
	child_check_pulse(&f->child, now + 50 * NS_PER_S);
	RUN_UNTIL(f, true);
	assert_int_equal(f->child.state, CHILD_RUNNING);
	f->page->lanes[1].heartbeat_ns = UINT64_MAX;
	child_check_pulse(&f->child, now);
	RUN_UNTIL(f, f->n_ready == 2);
	assert_int_equal(f->child.restarts, 1);
}

static void a_drained_role_stays_down(void **state)
{
	struct fixture *f = *state;

	child_start(&f->child);
	RUN_UNTIL(f, f->n_ready == 1);
	child_drain(&f->child, 5000);
	RUN_UNTIL(f, f->n_down == 1);
	assert_int_equal(f->child.state, CHILD_DOWN);
	assert_int_equal(f->child.pid, 0);
	assert_int_equal(f->child.restarts, 0);
}

static void a_role_that_does_not_drain_is_killed(void **state)
{
	struct fixture *f = *state;

	f->mode = FAKE_NEVER_DRAIN;
	child_start(&f->child);
	RUN_UNTIL(f, f->n_ready == 1);
	child_drain(&f->child, 50);
	RUN_UNTIL(f, f->n_down == 1);
	assert_int_equal(f->child.state, CHILD_DOWN);
}

static void a_role_that_speaks_nonsense_is_replaced(void **state)
{
	struct fixture *f = *state;

	f->mode = FAKE_NONSENSE;
	child_start(&f->child);
	RUN_UNTIL(f, f->n_down == 1);
	assert_int_equal(f->child.restarts, 1);
	assert_int_not_equal(f->child.state, CHILD_DOWN);
}

static void a_program_that_is_not_there_is_tried_again_later(void **state)
{
	struct fixture *f = *state;

	f->child.program = "keeper_no_such_role";
	child_start(&f->child);
	assert_int_equal(f->child.state, CHILD_BACKOFF);
	assert_int_equal(f->child.pid, 0);
	assert_int_equal(child_send(&f->child, ROLE_MSG_END, 0, 0, NULL, 0, NULL, 0) < 0, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    a_role_is_born_with_four_descriptors_and_gets_the_rest, setup, teardown),
		cmocka_unit_test_setup_teardown(a_killed_role_is_back_within_a_second, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(the_fifth_quick_death_backs_off, setup, teardown),
		cmocka_unit_test_setup_teardown(a_thread_without_a_heartbeat_is_a_death, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(a_heartbeat_ahead_is_believed_up_to_a_limit, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(a_drained_role_stays_down, setup, teardown),
		cmocka_unit_test_setup_teardown(a_role_that_does_not_drain_is_killed, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(a_role_that_speaks_nonsense_is_replaced, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(a_program_that_is_not_there_is_tried_again_later,
		                                setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
