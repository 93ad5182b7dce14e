/* Who asks how much pinholes are used: one question at a time, answers that come late or not at
 * all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "keeper.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/shm.h"
#include "use.h"

#define ROWS 3u
#define WAIT_NS (LIMIT_USE_MS * NS_PER_MS)

/* In place of child.c's: what fwsync was asked last. */
static struct {
	int verdict;
	unsigned int n;
	uint64_t number;
	struct role_use *rows;
	size_t len;
} sent;

int child_send(struct child *child, enum role_msg_type type, uint64_t a, uint64_t b,
               const void *payload, size_t len, const int *fds, size_t n_fds)
{
	void *data;

	(void)child, (void)b, (void)payload, (void)len;
	assert_int_equal(type, ROLE_MSG_USE);
	assert_int_equal(n_fds, 1);
	sent.n++;
	sent.number = a;
	if (sent.rows)
		munmap(sent.rows, sent.len);
	assert_int_equal(shm_map(fds[0], SHM_WRITE, ROWS * sizeof(*sent.rows), &data, &sent.len),
	                 ERR_OK);
	sent.rows = data;
	return sent.verdict;
}

struct waiter {
	struct use_waiter w;
	int n_told;
	bool known;
};

static void counted(struct use_waiter *w, bool known)
{
	struct waiter *waiter = (struct waiter *)(void *)w;

	waiter->n_told++;
	waiter->known = known;
}

struct fixture {
	struct keeper *k;
	void *memory;
	struct stats_page *page;
	struct waiter a, b, c;
};

static struct fixture make(void)
{
	struct fixture f = { .k = calloc(1, sizeof(*f.k)),
		             .memory = calloc(1, ledger_bytes(ROWS)),
		             .page = aligned_alloc(64, sizeof(*f.page)),
		             .a = { .w.counted = counted },
		             .b = { .w.counted = counted },
		             .c = { .w.counted = counted } };

	assert_true(f.k && f.memory && f.page);
	memset(f.page, 0, sizeof(*f.page));
	ledger_init(&f.k->shared.ledger, f.memory, ROWS);
	atomic_store(&f.k->shared.ledger.head->rows_high, ROWS);
	f.k->shared.pages[ROLE_FWSYNC] = f.page;
	f.k->children[ROLE_FWSYNC].state = CHILD_RUNNING;
	if (sent.rows)
		munmap(sent.rows, sent.len);
	sent.verdict = ERR_OK;
	sent.n = 0;
	sent.rows = NULL;
	return f;
}

static void unmake(struct fixture *f)
{
	use_fini(&f->k->use);
	free(f->page);
	free(f->memory);
	free(f->k);
}

static void answer(struct fixture *f, uint64_t number, uint64_t begun_ns)
{
	const struct role_msg msg = { .type = ROLE_MSG_USED, .a = number, .b = begun_ns };

	use_counted(f->k, &msg);
}

static uint64_t limit_use(const struct fixture *f)
{
	return stats_sum(f->page, COUNT_LIMIT_USE);
}

static void who_asks_meanwhile_shares_the_next_count(void **state)
{
	struct fixture f = make();
	struct role_use use;

	(void)state;
	assert_true(use_wait(f.k, &f.a.w));
	assert_true(use_wait(f.k, &f.b.w));
	assert_true(use_wait(f.k, &f.c.w));
	assert_int_equal(sent.n, 1);
	sent.rows[1].flows = 4;
	answer(&f, sent.number, 1000);
	assert_int_equal(f.a.n_told, 1);
	assert_true(f.a.known);
	assert_int_equal(f.b.n_told + f.c.n_told, 0);
	assert_int_equal(sent.n, 2);
	assert_true(use_read(&f.k->use, 1, 999, &use));
	assert_int_equal(use.flows, 4);
	assert_true(use_read(&f.k->use, 2, 999, &use));
	assert_int_equal(use.flows, 0);
	sent.rows[1].flows = 5;
	answer(&f, sent.number, 2000);
	assert_int_equal(f.b.n_told, 1);
	assert_int_equal(f.c.n_told, 1);
	assert_int_equal(sent.n, 2);
	/* Who still reads goes on with the newer numbers. */
	assert_true(use_read(&f.k->use, 1, 999, &use));
	assert_int_equal(use.flows, 5);
	use_leave(f.k, &f.a.w);
	use_leave(f.k, &f.b.w);
	assert_non_null(f.k->use.now.rows);
	use_leave(f.k, &f.c.w);
	assert_null(f.k->use.now.rows);
	assert_int_equal(limit_use(&f), 0);
	unmake(&f);
}

static void of_a_row_that_came_later_nothing_is_known(void **state)
{
	struct fixture f = make();
	struct role_use use;

	(void)state;
	assert_false(use_read(&f.k->use, 0, 1, &use));
	assert_true(use_wait(f.k, &f.a.w));
	answer(&f, sent.number, 1000);
	assert_true(use_read(&f.k->use, 0, 999, &use));
	assert_false(use_read(&f.k->use, 0, 1000, &use));
	assert_false(use_read(&f.k->use, ROWS, 1, &use));
	use_leave(f.k, &f.a.w);
	unmake(&f);
}

static void what_could_not_be_counted_is_not_known(void **state)
{
	struct fixture f = make();

	(void)state;
	assert_true(use_wait(f.k, &f.a.w));
	answer(&f, sent.number, 0);
	assert_int_equal(f.a.n_told, 1);
	assert_false(f.a.known);
	use_leave(f.k, &f.a.w);
	sent.verdict = ERR_CLOSED;
	assert_false(use_wait(f.k, &f.b.w));
	use_leave(f.k, &f.b.w);
	sent.verdict = ERR_OK;
	f.k->children[ROLE_FWSYNC].state = CHILD_DOWN;
	assert_false(use_wait(f.k, &f.b.w));
	use_leave(f.k, &f.b.w);
	assert_int_equal(sent.n, 2);
	assert_int_equal(f.b.n_told, 0);
	unmake(&f);
}

static void who_waits_too_long_goes_without_and_a_late_answer_is_nobodys(void **state)
{
	struct fixture f = make();
	uint64_t late;

	(void)state;
	assert_true(use_wait(f.k, &f.a.w));
	late = sent.number;
	use_pulse(f.k, clock_mono_ns());
	assert_int_equal(f.a.n_told, 0);
	assert_true(use_wait(f.k, &f.b.w));
	f.b.w.deadline_ns += WAIT_NS; /* it came later */
	use_pulse(f.k, clock_mono_ns() + WAIT_NS);
	assert_int_equal(f.a.n_told, 1);
	assert_false(f.a.known);
	assert_int_equal(limit_use(&f), 1);
	assert_int_equal(f.b.n_told, 0);
	assert_int_equal(sent.n, 2); /* for the other, a question that may fare better */
	answer(&f, late, 1000);
	assert_int_equal(f.b.n_told, 0);
	answer(&f, sent.number, 1000);
	assert_true(f.b.known);
	use_leave(f.k, &f.a.w);
	use_leave(f.k, &f.b.w);
	answer(&f, sent.number, 3000); /* never asked */
	assert_null(f.k->use.now.rows);
	unmake(&f);
}

static void who_goes_away_is_not_told_and_who_dies_tells_nobody(void **state)
{
	struct fixture f = make();

	(void)state;
	assert_true(use_wait(f.k, &f.a.w));
	assert_true(use_wait(f.k, &f.b.w));
	assert_true(use_wait(f.k, &f.c.w));
	use_leave(f.k, &f.b.w);
	use_lost(f.k);
	assert_int_equal(f.a.n_told, 1);
	assert_int_equal(f.b.n_told, 0);
	assert_int_equal(f.c.n_told, 1);
	assert_false(f.a.known || f.c.known);
	use_leave(f.k, &f.a.w);
	use_leave(f.k, &f.c.w);
	assert_int_equal(limit_use(&f), 0);
	unmake(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_asks_meanwhile_shares_the_next_count),
		cmocka_unit_test(of_a_row_that_came_later_nothing_is_known),
		cmocka_unit_test(what_could_not_be_counted_is_not_known),
		cmocka_unit_test(who_waits_too_long_goes_without_and_a_late_answer_is_nobodys),
		cmocka_unit_test(who_goes_away_is_not_told_and_who_dies_tells_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
