/* tests/unit/db/db_beside.c - what comes while a batch is being written.
 *
 * More than the rings hold: it is read beside the writing and saved behind the batch. A child plays
 * the historian and dies at its Nth step (see db_crash.c); its successor takes up what is left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "kit.h"
#include "sallyport/cleanup.h"
#include "sallyport/clock.h"

#define STEPS_MAX 4000
#define QUERIES 40
#define BESIDE_STEPS 6

struct beside {
	struct kit *kit;
	uint64_t *n_asked; /* shared with the parent */
	unsigned int steps;
};

/* The batch: a quarter are denials, some belong to yesterday. */
static void ask_first(struct kit *kit)
{
	for (int i = 0; i < QUERIES; i++) {
		char name[64];
		const struct kit_query q = {
			.name = name,
			.verdict = i % 4 ? VERDICT_ALLOW : VERDICT_DENY,
			.age_ns = i % 8 >= 6 ? 13 * UINT64_C(3600) * NS_PER_S : 0,
		};

		snprintf(name, sizeof(name), "q0-%d.test.", i / 2 * 2);
		kit_ask(kit, (unsigned int)i % KIT_RINGS, &q);
	}
}

static void finish(struct kit *kit)
{
	kit->options.on_step = NULL;
	kit_stop(kit, kit_historian(kit));
}

static void ask_beside(void *arg)
{
	struct beside *beside = arg;

	kit_step(NULL);
	if (beside->steps++ >= BESIDE_STEPS)
		return;
	for (int i = 0; i < 80; i++) {
		char name[64];
		const struct kit_query q = { .name = name,
			                     .verdict = i % 4 ? VERDICT_ALLOW : VERDICT_DENY };

		/* Some are equal to some of the batch. */
		snprintf(name, sizeof(name), "q0-%d.test.", (int)(*beside->n_asked % 300));
		++*beside->n_asked;
		if (kit_ask(beside->kit, 0, &q) == 0)
			fail_msg("the ring is full");
	}
}

static void play_beside(struct kit *kit, uint64_t *n_asked)
{
	struct beside beside = { kit, n_asked, 0 };
	struct historian *h;

	kit->options.on_step = ask_beside;
	kit->options.on_step_arg = &beside;
	h = kit_historian(kit);
	for (int i = 0; i < 4; i++) {
		kit_pass(kit, 1000);
		kit_tick(kit, h);
	}
	historian_free(h);
}

static void what_comes_while_a_batch_is_written_is_there_once(void **state)
{
	uint64_t *n_asked =
	    mmap(NULL, sizeof(*n_asked), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	bool died = true;
	uint64_t n;

	(void)state;
	assert_ptr_not_equal(n_asked, MAP_FAILED);
	for (n = 1; died; n += getenv("SALLYPORT_SOAK") ? 1 : 37) {
		struct kit kit;
		struct kit_sums sums;
		pid_t pid;
		int status;

		assert_true(n < STEPS_MAX);
		kit_init(&kit, 2048);
		kit_vfs_install();
		*n_asked = 0;
		ask_first(&kit);
		pid = fork();
		if (pid == 0) {
			kit_vfs.die_after = n;
			play_beside(&kit, n_asked);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status) &&
		            (WEXITSTATUS(status) == KIT_DIED || WEXITSTATUS(status) == 0));
		died = WEXITSTATUS(status) == KIT_DIED;
		kit_vfs = (struct kit_vfs){ 0 };
		kit_pass(&kit, 5000);
		finish(&kit);
		sums = kit_sum(&kit);
		if (sums.queries != QUERIES + *n_asked || sums.gaps != 0)
			fail_msg("step %llu: %llu queries of %llu, %llu gaps (%#x)",
			         (unsigned long long)n, (unsigned long long)sums.queries,
			         (unsigned long long)(QUERIES + *n_asked),
			         (unsigned long long)sums.gaps, sums.causes);
		kit_fini(&kit);
	}
	munmap(n_asked, sizeof(*n_asked));
	assert_true(n > 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_comes_while_a_batch_is_written_is_there_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
