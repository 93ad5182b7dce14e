/* The batch planner with a kernel that the test plays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sodium.h>

#include "sallyport/clock.h"
#include "sallyport/err.h"

#include "batch.h"
#include "book_maker.h"
#include "guard_maker.h"

#define S NS_PER_S
#define SLACK_MS BATCH_SLACK_MS

/* A set with room for so many elements, and errors to come. */
struct fake {
	struct kernel kernel; /* first */
	struct {
		struct ledger_element element;
		uint64_t until_ns;
	} elements[8192];
	size_t n, size;
	uint64_t now_ns, epoch;
	uint64_t took_ns; /* a transaction's time */
	int errs[16];     /* the next transactions' results; 0: as the kernel would */
	size_t n_errs, next_err;
	struct ledger_element poison; /* a transaction that holds it is refused */
	bool poisoned;
	unsigned int transactions, restores, pauses, removed;
	size_t largest;
	int remove_err; /* of every removal */
	const struct book
	    *book; /* has to explain what the kernel is asked, in each small transaction */
	unsigned int unexplained;
};

static struct fake *of(struct kernel *kernel)
{
	return (struct fake *)(void *)kernel;
}

static size_t find(const struct fake *fake, const struct ledger_element *element)
{
	size_t i = 0;

	while (i < fake->n && memcmp(&fake->elements[i].element, element, sizeof(*element)) != 0)
		i++;
	return i;
}

/* Does a row in the ledger say that @wish may be there as long as it would be? Whoever asks may be
 * killed before the answer. */
static bool is_explained(const struct fake *fake, const struct element_wish *wish)
{
	const struct ledger_row *row;

	for (uint32_t i = 0; i < book_size(fake->book); i++)
		if (book_row(fake->book, i, &row) &&
		    memcmp(&row->element, &wish->element, sizeof(wish->element)) == 0 &&
		    row->expires_ns + NS_PER_MS >= fake->now_ns + wish->life_ms * NS_PER_MS)
			return true;
	return false;
}

static int upsert(struct kernel *kernel, const struct element_wish *wishes, size_t n)
{
	struct fake *fake = of(kernel);
	int err = fake->next_err < fake->n_errs ? fake->errs[fake->next_err++] : 0;
	size_t fresh = 0;

	fake->transactions++;
	fake->largest = MAX(fake->largest, n);
	for (size_t i = 0; n <= 8 && i < n; i++)
		fake->unexplained += !is_explained(fake, &wishes[i]);
	fake->now_ns += fake->took_ns;
	if (err && err != ERR_TIMEOUT)
		return err;
	for (size_t i = 0; i < n; i++) {
		fresh += find(fake, &wishes[i].element) == fake->n;
		if (fake->poisoned &&
		    memcmp(&wishes[i].element, &fake->poison, sizeof(fake->poison)) == 0)
			return -EINVAL;
	}
	if (fake->n + fresh > fake->size)
		return -ENFILE;
	for (size_t i = 0; i < n; i++) {
		size_t at = find(fake, &wishes[i].element);

		fake->elements[at].element = wishes[i].element;
		fake->elements[at].until_ns = fake->now_ns + wishes[i].life_ms * NS_PER_MS;
		fake->n = MAX(fake->n, at + 1);
	}
	return err;
}

static int remove_elements(struct kernel *kernel, const struct ledger_element *elements, size_t n)
{
	struct fake *fake = of(kernel);

	for (size_t i = 0; !fake->remove_err && i < n; i++) {
		size_t at = find(fake, &elements[i]);

		if (at < fake->n)
			fake->elements[at] = fake->elements[--fake->n];
		fake->removed++;
	}
	return fake->remove_err;
}

static int restore(struct kernel *kernel)
{
	of(kernel)->restores++;
	of(kernel)->epoch++;
	return 0;
}

static uint64_t now_ns(struct kernel *kernel)
{
	return of(kernel)->now_ns;
}

static void pause_ms(struct kernel *kernel, unsigned int ms)
{
	of(kernel)->pauses++;
	of(kernel)->now_ns += ms * NS_PER_MS;
}

static uint64_t epoch(struct kernel *kernel)
{
	return of(kernel)->epoch;
}

struct fixture {
	struct fake fake;
	struct ledger ledger;
	void *memory;
	struct book *book;
	struct guard_image image;
	struct guard guard;
	struct stats_lane lane;
	struct batch *batch;
	struct pinhole_request req[LIMIT_PINHOLE_REQUESTS];
	uint8_t src[LIMIT_PINHOLE_REQUESTS][1][ADDR_LEN], dst[LIMIT_PINHOLE_REQUESTS][1][ADDR_LEN];
	uint8_t names[LIMIT_PINHOLE_REQUESTS][4];
	struct pinhole_view views[LIMIT_PINHOLE_REQUESTS];
	struct pinhole_result results[LIMIT_PINHOLE_REQUESTS];
	size_t n;
};

static const struct pinhole_port udp53 = { PINHOLE_KIND_PORT, 17, 53 };

static struct fixture *make(uint32_t n_rows)
{
	struct fixture *f = calloc(1, sizeof(*f));
	uint32_t dropped;

	assert_non_null(f);
	f->fake.kernel =
	    (struct kernel){ upsert, remove_elements, restore, now_ns, now_ns, pause_ms, epoch };
	f->fake.size = ARRAY_LEN(f->fake.elements);
	f->fake.now_ns = 1000 * S;
	f->fake.epoch = 1;
	f->memory = ledger_memory(&f->ledger, n_rows);
	assert_int_equal(book_new(&f->book, &f->ledger, f->fake.now_ns, &dropped), ERR_OK);
	f->fake.book = f->book;
	guard_image_make(&f->image, 5);
	f->guard.table = &f->image.head;
	f->batch = batch_new(f->book, &f->guard, &f->fake.kernel, &f->lane);
	assert_non_null(f->batch);
	return f;
}

static void unmake(struct fixture *f)
{
	assert_int_equal(f->fake.unexplained, 0);
	batch_free(f->batch);
	book_free(f->book);
	free(f->memory);
	free(f);
}

/* One more request of workload "build": udp/53 to 44.0.n. */
static void ask(struct fixture *f, unsigned int n, uint32_t life_s, char name)
{
	const uint8_t src[4] = { 10, 9, 0, 1 }, dst[4] = { 44, 0, (uint8_t)(n >> 8), (uint8_t)n };
	size_t i = f->n++;

	addr_from_v4(src, f->src[i][0]);
	addr_from_v4(dst, f->dst[i][0]);
	f->names[i][0] = 1;
	f->names[i][2] = (uint8_t)name;
	f->req[i] = (struct pinhole_request){ .policy_version = 5,
		                              .workload = 1,
		                              .life_s = life_s,
		                              .n_src = 1,
		                              .n_dst = 1,
		                              .n_ports = 1,
		                              .names_len = 3,
		                              .query_id = 100 + i,
		                              .rule = 4 };
	f->views[i] =
	    (struct pinhole_view){ &f->req[i], (const uint8_t(*)[ADDR_LEN])f->src[i],
		                   (const uint8_t(*)[ADDR_LEN])f->dst[i], &udp53, f->names[i] };
}

static void go(struct fixture *f)
{
	batch_put(f->batch, f->views, f->n, f->fake.now_ns + 2 * S, f->results);
	batch_finish(f->batch);
	f->n = 0;
}

static struct ledger_element element(unsigned int n)
{
	const uint8_t src[4] = { 10, 9, 0, 1 }, dst[4] = { 44, 0, (uint8_t)(n >> 8), (uint8_t)n };
	struct ledger_element e = { .port = udp53 };

	addr_from_v4(src, e.src);
	addr_from_v4(dst, e.dst);
	return e;
}

static uint64_t counted(struct fixture *f, enum counter counter)
{
	return atomic_load(&f->lane.counts[counter]);
}

static void many_requests_are_one_transaction(void **state)
{
	struct fixture *f = make(1024);

	(void)state;
	for (unsigned int i = 0; i < 200; i++)
		ask(f, i, 60, 'a');
	go(f);
	for (unsigned int i = 0; i < 200; i++) {
		assert_int_equal(f->results[i].status, PINHOLE_OPEN);
		assert_int_equal(f->results[i].epoch, 1);
	}
	assert_int_equal(f->fake.transactions, 1);
	assert_int_equal(f->fake.n, 200);
	assert_int_equal(counted(f, COUNT_FW_ELEMENTS), 200);
	unmake(f);
}

static void more_elements_than_a_transaction_holds_are_several(void **state)
{
	struct fixture *f = make(8192);
	uint8_t(*dst)[ADDR_LEN] = calloc(2000, ADDR_LEN);

	(void)state;
	assert_non_null(dst);
	for (unsigned int i = 0; i < 2000; i++) {
		const uint8_t v4[4] = { 44, 7, (uint8_t)(i >> 8), (uint8_t)i };

		addr_from_v4(v4, dst[i]);
	}
	for (unsigned int i = 0; i < 3; i++) {
		ask(f, i, 60, (char)('a' + i));
		f->req[i].n_dst = 2000;
		f->views[i].dst = (const uint8_t(*)[ADDR_LEN])dst;
	}
	go(f);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(f->results[i].status, PINHOLE_OPEN);
	/* Two requests of 2000 fit, and want the same elements; the third finds them long enough.
	 */
	assert_true(f->fake.largest <= LIMIT_PINHOLE_BATCH_ELEMENTS);
	assert_int_equal(f->fake.n, 2000);
	assert_int_equal(f->ledger.head->rows_used, 6000);
	free(dst);
	unmake(f);
}

static void what_is_open_long_enough_needs_no_kernel(void **state)
{
	struct fixture *f = make(1024);

	(void)state;
	ask(f, 1, 600, 'a');
	go(f);
	ask(f, 1, 60, 'a');
	ask(f, 1, 60, 'b');
	go(f);
	assert_int_equal(f->results[0].status, PINHOLE_OPEN);
	assert_int_equal(f->results[1].status, PINHOLE_OPEN);
	assert_int_equal(f->fake.transactions, 1);
	/* After a loss it does: the kernel may not have it any more. */
	f->fake.epoch = 2;
	ask(f, 1, 60, 'b');
	go(f);
	assert_int_equal(f->fake.transactions, 2);
	assert_int_equal(f->results[0].epoch, 2);
	unmake(f);
}

static void a_shorter_reason_never_shortens_the_element(void **state)
{
	struct fixture *f = make(1024);
	struct ledger_element e = element(1);
	uint64_t begin = f->fake.now_ns;

	(void)state;
	ask(f, 1, 600, 'a');
	go(f);
	f->fake.epoch = 2; /* so that the kernel is asked */
	f->fake.now_ns += 10 * S;
	ask(f, 1, 60, 'b');
	go(f);
	assert_true(f->fake.elements[find(&f->fake, &e)].until_ns >= begin + 600 * S);
	/* And two in one transaction: the longest counts. */
	ask(f, 2, 60, 'a');
	ask(f, 2, 900, 'b');
	ask(f, 2, 30, 'c');
	go(f);
	e = element(2);
	assert_true(f->fake.elements[find(&f->fake, &e)].until_ns >= f->fake.now_ns + 900 * S);
	assert_int_equal(counted(f, COUNT_FW_ELEMENTS), 3);
	unmake(f);
}

static void a_row_ends_no_earlier_than_the_kernels_element(void **state)
{
	struct fixture *f = make(1024);
	struct ledger_element e = element(1);

	(void)state;
	f->fake.took_ns = 300 * NS_PER_MS;
	ask(f, 1, 60, 'a');
	go(f);
	assert_true(book_wanted_until(f->book, &e) >= f->fake.elements[0].until_ns);
	assert_true(book_kernel_until(f->book, &e, 1) <= f->fake.elements[0].until_ns);
	unmake(f);
}

static void one_guilty_request_does_not_close_the_others(void **state)
{
	struct fixture *f = make(1024);

	(void)state;
	f->fake.poison = element(77);
	f->fake.poisoned = true;
	for (unsigned int i = 0; i < 200; i++)
		ask(f, i, 60, 'a');
	go(f);
	for (unsigned int i = 0; i < 200; i++)
		assert_int_equal(f->results[i].status, i == 77 ? PINHOLE_FAILED : PINHOLE_OPEN);
	assert_int_equal(f->results[77].detail, EINVAL);
	assert_int_equal(f->fake.n, 199);
	assert_int_equal(f->ledger.head->rows_used, 199);
	assert_true(f->fake.transactions <= 2 * 8 + 1); /* halves: log2(200) levels */
	unmake(f);
}

static void a_full_set_opens_what_fits_and_counts_the_rest(void **state)
{
	struct fixture *f = make(1024);
	unsigned int open = 0, full = 0;

	(void)state;
	f->fake.size = 100;
	for (unsigned int i = 0; i < 150; i++)
		ask(f, i, 60, 'a');
	go(f);
	for (unsigned int i = 0; i < 150; i++) {
		open += f->results[i].status == PINHOLE_OPEN;
		full += f->results[i].status == PINHOLE_FULL;
	}
	assert_int_equal(open, 100);
	assert_int_equal(full, 50);
	assert_int_equal(counted(f, COUNT_FW_SET_FULL), 50);
	assert_int_equal(f->ledger.head->rows_used, 100);
	unmake(f);
}

static const struct {
	const char *title;
	int errs[8];
	size_t n_errs;
	enum pinhole_status want;
	unsigned int transactions, restores, removed;
} error_cases[] = {
	{ "EINTR once", { -EINTR }, 1, PINHOLE_OPEN, 2, 0, 0 },
	{ "a stale generation twice", { -ERESTART, -ERESTART }, 2, PINHOLE_OPEN, 3, 0, 0 },
	{ "no buffers four times",
	  { -ENOBUFS, -ENOBUFS, -ENOBUFS, -ENOBUFS },
	  4,
	  PINHOLE_OPEN,
	  5,
	  0,
	  0 },
	{ "no buffers for ever",
	  { -ENOBUFS, -ENOBUFS, -ENOBUFS, -ENOBUFS, -ENOBUFS },
	  5,
	  PINHOLE_FAILED,
	  5,
	  0,
	  0 },
	{ "the table is gone, and back", { -ENOENT }, 1, PINHOLE_OPEN, 2, 1, 0 },
	{ "the table is gone again", { -ENOENT, -ENOENT }, 2, PINHOLE_FAILED, 2, 1, 0 },
	{ "not permitted", { -EPERM }, 1, PINHOLE_FAILED, 1, 0, 0 },
	{ "no memory", { -ENOMEM }, 1, PINHOLE_FAILED, 1, 0, 0 },
	{ "an acknowledgement lost once", { ERR_TIMEOUT }, 1, PINHOLE_OPEN, 2, 0, 0 },
	{ "acknowledgements lost for ever",
	  { ERR_TIMEOUT, ERR_TIMEOUT, ERR_TIMEOUT, ERR_TIMEOUT, ERR_TIMEOUT },
	  5,
	  PINHOLE_FAILED,
	  5,
	  0,
	  2 },
};

static void every_refusal_has_a_defined_end(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(error_cases); i++) {
		struct fixture *f = make(1024);

		memcpy(f->fake.errs, error_cases[i].errs, sizeof(error_cases[i].errs));
		f->fake.n_errs = error_cases[i].n_errs;
		ask(f, 1, 60, 'a');
		ask(f, 2, 60, 'a');
		go(f);
		for (int r = 0; r < 2; r++)
			if (f->results[r].status != error_cases[i].want)
				fail_msg("%s: request %d: status %u", error_cases[i].title, r,
				         f->results[r].status);
		if (f->fake.transactions != error_cases[i].transactions ||
		    f->fake.restores != error_cases[i].restores ||
		    f->fake.removed != error_cases[i].removed)
			fail_msg("%s: %u transactions, %u restores, %u removed",
			         error_cases[i].title, f->fake.transactions, f->fake.restores,
			         f->fake.removed);
		/* What is not open is not in the ledger, and what is not explained not in the
		 * kernel. */
		if (f->ledger.head->rows_used != (error_cases[i].want == PINHOLE_OPEN ? 2u : 0u) ||
		    f->fake.n != f->ledger.head->rows_used)
			fail_msg("%s: %u rows, %zu elements", error_cases[i].title,
			         f->ledger.head->rows_used, f->fake.n);
		unmake(f);
	}
}

static void the_deadline_passes_while_others_are_tried(void **state)
{
	struct fixture *f = make(1024);

	(void)state;
	f->fake.took_ns = 3 * S; /* longer than go()'s deadline */
	f->fake.poison = element(0);
	f->fake.poisoned = true;
	for (unsigned int i = 0; i < 4; i++)
		ask(f, i, 60, 'a');
	go(f);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(f->results[i].status, PINHOLE_LATE);
	assert_int_equal(f->fake.n, 0);
	assert_int_equal(f->ledger.head->rows_used, 0);
	assert_int_equal(f->ledger.head->reasons_used, 0);
	assert_int_equal(counted(f, COUNT_FW_REFUSED_LATE), 4);
	unmake(f);
}

static void a_request_that_fails_leaves_its_row_to_an_equal_one(void **state)
{
	struct fixture *f = make(1024);

	(void)state;
	/* The first dies of its second element, the second wants the first element, too. */
	uint8_t two[2][ADDR_LEN];
	struct ledger_element a = element(1), b = element(66);

	memcpy(two[0], a.dst, ADDR_LEN);
	memcpy(two[1], b.dst, ADDR_LEN);
	f->fake.poison = b;
	f->fake.poisoned = true;
	ask(f, 1, 60, 'a');
	f->req[0].n_dst = 2;
	f->views[0].dst = (const uint8_t(*)[ADDR_LEN])two;
	ask(f, 1, 60, 'a');
	go(f);
	assert_int_equal(f->results[0].status, PINHOLE_FAILED);
	assert_int_equal(f->results[1].status, PINHOLE_OPEN);
	assert_int_equal(f->ledger.head->rows_used, 1);
	assert_true(book_wanted_until(f->book, &a) > 0);
	unmake(f);
}

static const struct ledger_row *only_row(const struct fixture *f)
{
	const struct ledger_row *row = NULL;

	assert_int_equal(f->ledger.head->rows_used, 1);
	assert_true(book_row(f->book, 0, &row));
	return row;
}

/* unmake() has looked whether the ledger said so before the kernel was asked. */
static void a_renewal_is_in_the_ledger_before_it_is_in_the_kernel(void **state)
{
	struct fixture *f = make(1024);
	uint64_t end_ns;

	(void)state;
	f->fake.took_ns = 5 * NS_PER_MS;
	ask(f, 1, 60, 'a');
	go(f);
	f->fake.now_ns += 30 * S;
	ask(f, 1, 60, 'a');
	ask(f, 1, 600, 'a');
	go(f);
	assert_int_equal(f->fake.transactions, 2);
	end_ns = only_row(f)->expires_ns;
	assert_true(end_ns >= f->fake.elements[0].until_ns);
	/* Refused: as if it had not been asked. Unknown: as long as it may be there. */
	f->fake.errs[0] = -EPERM;
	f->fake.n_errs = 1;
	ask(f, 1, 6000, 'a');
	go(f);
	assert_int_equal(f->results[0].status, PINHOLE_FAILED);
	assert_int_equal(only_row(f)->expires_ns, end_ns);
	for (size_t i = 0; i < BATCH_TRIES; i++)
		f->fake.errs[i] = ERR_TIMEOUT;
	f->fake.n_errs = BATCH_TRIES;
	f->fake.next_err = 0;
	ask(f, 1, 6000, 'a');
	go(f);
	assert_int_equal(f->results[0].status, PINHOLE_FAILED);
	assert_true(only_row(f)->expires_ns >= f->fake.elements[0].until_ns);
	unmake(f);
}

/* No element stays in the kernel for longer than the ledger knows. */
static void everything_is_explained(const struct fixture *f)
{
	for (size_t i = 0; i < f->fake.n; i++)
		assert_true(book_wanted_until(f->book, &f->fake.elements[i].element) + NS_PER_MS >=
		            f->fake.elements[i].until_ns);
}

/* Of two requests in one transaction the guilty one wanted an element of both for much longer. */
static void what_was_refused_lengthens_nothing(void **state)
{
	struct fixture *f = make(1024);
	struct ledger_element a = element(1), b = element(66);
	uint8_t two[2][ADDR_LEN];

	(void)state;
	ask(f, 1, 60, 'a');
	go(f);
	memcpy(two[0], a.dst, ADDR_LEN);
	memcpy(two[1], b.dst, ADDR_LEN);
	f->fake.poison = b;
	f->fake.poisoned = true;
	ask(f, 1, 6000, 'a');
	f->req[0].n_dst = 2;
	f->views[0].dst = (const uint8_t(*)[ADDR_LEN])two;
	ask(f, 1, 600, 'b');
	go(f);
	assert_int_equal(f->results[0].status, PINHOLE_FAILED);
	assert_int_equal(f->results[1].status, PINHOLE_OPEN);
	assert_true(f->fake.elements[0].until_ns <= f->fake.now_ns + 602 * S);
	everything_is_explained(f);
	unmake(f);
}

/* Nobody knows whether a new reason has lengthened what another one opened. */
static void what_may_have_been_lengthened_is_explained_by_who_is_left(void **state)
{
	struct fixture *f = make(1024);

	(void)state;
	ask(f, 1, 60, 'a');
	go(f);
	for (size_t i = 0; i < BATCH_TRIES; i++)
		f->fake.errs[i] = ERR_TIMEOUT;
	f->fake.n_errs = BATCH_TRIES;
	ask(f, 1, 6000, 'b');
	go(f);
	assert_int_equal(f->results[0].status, PINHOLE_FAILED);
	assert_int_equal(f->fake.n, 1);
	assert_int_equal(f->ledger.head->rows_used, 1);
	everything_is_explained(f);
	unmake(f);
}

/* The first try loses its acknowledgement, the next ones are refused: it may be there all the same.
 */
static void what_cannot_be_withdrawn_is_rebuilt_from_the_book(void **state)
{
	struct fixture *f = make(1024);

	(void)state;
	f->fake.errs[0] = ERR_TIMEOUT;
	f->fake.errs[1] = -EPERM;
	f->fake.n_errs = 2;
	ask(f, 1, 60, 'a');
	go(f);
	assert_int_equal(f->results[0].status, PINHOLE_FAILED);
	assert_int_equal(f->fake.n, 0);
	f->fake.next_err = 0;
	f->fake.remove_err = -EPERM;
	ask(f, 1, 60, 'a');
	go(f);
	assert_int_equal(f->results[0].status, PINHOLE_FAILED);
	assert_int_equal(f->fake.restores, 1);
	assert_int_equal(f->ledger.head->rows_used, 0);
	unmake(f);
}

/* One is held, the other one's transaction finds the table gone: what was held before is so no
 * more, and is asked for with it. */
static void what_was_held_in_an_epoch_that_is_over_is_asked_for_again(void **state)
{
	struct fixture *f = make(1024);
	struct ledger_element e = element(1);
	unsigned int asked;

	(void)state;
	ask(f, 1, 600, 'a');
	go(f);
	f->fake.errs[0] = -ENOENT;
	f->fake.n_errs = 1;
	f->fake.n = 0; /* the table is gone, and restore() here brings nothing back */
	ask(f, 1, 60, 'a');
	ask(f, 2, 60, 'a');
	go(f);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(f->results[i].status, PINHOLE_OPEN);
		assert_int_equal(f->results[i].epoch, 2);
	}
	assert_true(find(&f->fake, &e) < f->fake.n);
	/* The same when the halves of a refused group go their own ways: the first one loses the
	 * table for good. */
	f->fake.poison = element(3);
	f->fake.poisoned = true;
	f->fake.errs[0] = -EINVAL;
	f->fake.errs[1] = f->fake.errs[2] = -ENOENT;
	f->fake.n_errs = 3;
	f->fake.next_err = 0;
	ask(f, 3, 60, 'a');
	ask(f, 1, 60, 'a');
	f->fake.n = 0;
	asked = f->fake.transactions;
	go(f);
	assert_int_equal(f->results[0].status, PINHOLE_FAILED);
	assert_int_equal(f->results[1].status, PINHOLE_OPEN);
	assert_int_equal(f->results[1].epoch, 3);
	assert_int_equal(f->fake.transactions - asked, 4);
	assert_true(find(&f->fake, &e) < f->fake.n);
	unmake(f);
}

static void what_is_held_is_held_no_longer_than_the_kernel_does(void **state)
{
	struct fixture *f = make(1024);
	struct ledger_element e = element(1);

	(void)state;
	ask(f, 1, 60, 'a'); /* and some slack */
	go(f);
	f->fake.now_ns += S / 2;
	f->fake.took_ns = 900 * NS_PER_MS; /* of each try for the other one */
	f->fake.errs[0] = -EINTR;
	f->fake.n_errs = 1;
	ask(f, 1, 60, 'a');
	ask(f, 2, 60, 'a');
	go(f);
	assert_int_equal(f->results[0].status, PINHOLE_OPEN);
	assert_true(book_kernel_until(f->book, &e, 1) <=
	            f->fake.elements[find(&f->fake, &e)].until_ns);
	unmake(f);
}

/* An answer may lie ready for a while before it is sent, and its TTL counts from then. */
static void what_another_name_has_opened_is_renewed_unless_there_is_time_to_spare(void **state)
{
	struct fixture *f = make(1024);
	struct ledger_element e = element(1);
	unsigned int asked;

	(void)state;
	ask(f, 1, 60, 'a');
	go(f);
	for (char name = 'b'; name < 'f'; name++) {
		f->fake.now_ns += 900 * NS_PER_MS;
		asked = f->fake.transactions;
		ask(f, 1, 60, name);
		go(f);
		assert_int_equal(f->results[0].status, PINHOLE_OPEN);
		assert_true(f->fake.elements[find(&f->fake, &e)].until_ns >=
		            f->fake.now_ns + 60 * S + LIMIT_ANSWER_AGE_MS * NS_PER_MS);
		assert_int_equal(f->fake.transactions - asked, name % 2);
	}
	unmake(f);
}

static void a_workloads_limit_is_kept_and_renewing_is_free(void **state)
{
	struct fixture *f = make(1024);

	(void)state;
	f->image.workloads[1].pinholes_max = 3;
	for (unsigned int i = 0; i < 5; i++)
		ask(f, i, 60, (char)('a' + i));
	go(f);
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(f->results[i].status,
		                 i < 3 ? PINHOLE_OPEN : PINHOLE_WORKLOAD_FULL);
	f->image.workloads[1].pinholes_max = 1;
	ask(f, 2, 600, 'c');
	go(f);
	assert_int_equal(f->results[0].status, PINHOLE_OPEN);
	assert_int_equal(f->ledger.head->rows_used, 3);
	assert_int_equal(f->ledger.head->reasons_used, 3);
	unmake(f);
}

static void names_and_ports_of_a_workload_are_limited_too(void **state)
{
	struct fixture *f = make(4096);
	struct pinhole_port ports[16];
	const unsigned int fit = LIMIT_PINHOLE_OPS / ARRAY_LEN(ports);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ports); i++)
		ports[i] = (struct pinhole_port){ PINHOLE_KIND_PORT, 17, (uint16_t)(1000 + i) };
	f->image.workloads[1].pinholes_max = 1;
	for (unsigned int i = 0; i < fit + 2; i++) { /* one address, a new name each time */
		ask(f, 1, 60, (char)i);
		f->req[i].n_ports = ARRAY_LEN(ports);
		f->views[i].ports = ports;
	}
	go(f);
	for (unsigned int i = 0; i < fit + 2; i++)
		assert_int_equal(f->results[i].status,
		                 i < fit ? PINHOLE_OPEN : PINHOLE_WORKLOAD_FULL);
	assert_int_equal(counted(f, COUNT_FW_LIMIT_WORKLOAD), 2);
	assert_int_equal(f->ledger.head->rows_used, LIMIT_PINHOLE_OPS);
	assert_int_equal(f->ledger.head->reasons_used, fit);

	ask(f, 1, 600, 0); /* what is held is renewed, its ports one by one */
	go(f);
	assert_int_equal(f->results[0].status, PINHOLE_WORKLOAD_FULL); /* udp/53 is new */
	ask(f, 1, 600, 0);
	f->views[0].ports = ports;
	go(f);
	assert_int_equal(f->results[0].status, PINHOLE_OPEN);

	/* More addresses, more rows. */
	f->image.workloads[1].pinholes_max = LIMIT_PINHOLE_OPS / LIMIT_PINHOLE_ROWS + 1;
	ask(f, 1, 60, 'x');
	go(f);
	assert_int_equal(f->results[0].status, PINHOLE_OPEN);

	f->fake.now_ns += 62 * S; /* and when they end there is room again */
	for (int i = 0; i < 3; i++)
		book_tick(f->book, f->fake.now_ns);
	f->image.workloads[1].pinholes_max = 1;
	ask(f, 1, 60, 'y');
	go(f);
	assert_int_equal(f->results[0].status, PINHOLE_OPEN);
	unmake(f);
}

static void an_element_has_so_many_reasons_and_one_for_all_others(void **state)
{
	struct fixture *f = make(4096);
	const unsigned int names = LIMIT_PINHOLE_REASONS;

	(void)state;
	for (unsigned int i = 0; i < names; i++)
		ask(f, 1, 60, (char)i);
	go(f);
	assert_int_equal(f->ledger.head->rows_used, names);
	assert_int_equal(f->ledger.head->reasons_used, names);
	assert_int_equal(counted(f, COUNT_FW_LIMIT_REASONS), 0);

	/* Longer names, so that none was asked before. */
	for (unsigned int i = 0; i < 20; i++) {
		ask(f, 1, 100 + i, (char)i);
		f->names[i][0] = 2;
		f->req[i].names_len = 4;
	}
	ask(f, 1, 60, 7);   /* known, with a row of its own */
	ask(f, 2, 60, 'x'); /* another element */
	go(f);
	for (unsigned int i = 0; i < 22; i++)
		assert_int_equal(f->results[i].status, PINHOLE_OPEN);
	assert_int_equal(f->ledger.head->rows_used, names + 2);
	assert_int_equal(f->ledger.head->reasons_used, names + 1);
	assert_int_equal(counted(f, COUNT_FW_LIMIT_REASONS), 20);

	/* The one row lasts as long as the longest of them, and says that names are missing. */
	f->fake.now_ns += 110 * S;
	for (int i = 0; i < 4; i++)
		book_tick(f->book, f->fake.now_ns);

	struct ledger_element e = element(1);
	struct ledger_reason reason = { 0 };
	struct ledger_row row;
	int found = 0;

	assert_true(book_wanted_until(f->book, &e) > f->fake.now_ns);
	for (uint32_t i = 0; i < 4096; i++)
		if (ledger_read(&f->ledger, i, &row, &reason) == 1 &&
		    row.expires_ns > f->fake.now_ns) {
			found++;
			assert_int_equal(reason.names_len, 0);
			assert_int_equal(reason.names_flags, PINHOLE_NAMES_CUT);
		}
	assert_int_equal(found, 1);
	unmake(f);
}

static void a_full_ledger_is_a_result(void **state)
{
	struct fixture *f = make(8);

	(void)state;
	for (unsigned int i = 0; i < 10; i++)
		ask(f, i, 60, 'a');
	go(f);
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(f->results[i].status, i < 8 ? PINHOLE_OPEN : PINHOLE_FULL);
	assert_int_equal(f->fake.n, 8);
	unmake(f);
}

static void a_stale_request_is_told_the_version(void **state)
{
	struct fixture *f = make(64);

	(void)state;
	ask(f, 1, 60, 'a');
	f->req[0].policy_version = 4;
	go(f);
	assert_int_equal(f->results[0].status, PINHOLE_STALE);
	assert_int_equal(f->results[0].detail, 5);
	assert_int_equal(f->fake.transactions, 0);
	unmake(f);
}

static void the_ledger_names_query_rule_and_version(void **state)
{
	struct fixture *f = make(64);
	struct ledger_row row;
	struct ledger_reason reason;
	int found = 0;

	(void)state;
	ask(f, 1, 60, 'q');
	go(f);
	for (uint32_t i = 0; i < 64; i++)
		if (ledger_read(&f->ledger, i, &row, &reason) == 1) {
			found++;
			assert_string_equal(reason.workload, "build");
			assert_int_equal(reason.query_id, 100);
			assert_int_equal(reason.rule, 4);
			assert_int_equal(reason.policy_version, 5);
			assert_int_equal(reason.names_len, 3);
			assert_int_equal(reason.names[2], 'q');
		}
	assert_int_equal(found, 1);
	unmake(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_requests_are_one_transaction),
		cmocka_unit_test(more_elements_than_a_transaction_holds_are_several),
		cmocka_unit_test(what_is_open_long_enough_needs_no_kernel),
		cmocka_unit_test(a_shorter_reason_never_shortens_the_element),
		cmocka_unit_test(a_row_ends_no_earlier_than_the_kernels_element),
		cmocka_unit_test(one_guilty_request_does_not_close_the_others),
		cmocka_unit_test(a_full_set_opens_what_fits_and_counts_the_rest),
		cmocka_unit_test(every_refusal_has_a_defined_end),
		cmocka_unit_test(the_deadline_passes_while_others_are_tried),
		cmocka_unit_test(a_request_that_fails_leaves_its_row_to_an_equal_one),
		cmocka_unit_test(a_renewal_is_in_the_ledger_before_it_is_in_the_kernel),
		cmocka_unit_test(what_was_refused_lengthens_nothing),
		cmocka_unit_test(what_may_have_been_lengthened_is_explained_by_who_is_left),
		cmocka_unit_test(what_cannot_be_withdrawn_is_rebuilt_from_the_book),
		cmocka_unit_test(what_was_held_in_an_epoch_that_is_over_is_asked_for_again),
		cmocka_unit_test(what_is_held_is_held_no_longer_than_the_kernel_does),
		cmocka_unit_test(
		    what_another_name_has_opened_is_renewed_unless_there_is_time_to_spare),
		cmocka_unit_test(a_workloads_limit_is_kept_and_renewing_is_free),
		cmocka_unit_test(names_and_ports_of_a_workload_are_limited_too),
		cmocka_unit_test(an_element_has_so_many_reasons_and_one_for_all_others),
		cmocka_unit_test(a_full_ledger_is_a_result),
		cmocka_unit_test(a_stale_request_is_told_the_version),
		cmocka_unit_test(the_ledger_names_query_rule_and_version),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
