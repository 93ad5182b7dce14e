/* Revocation and putting back where several reasons have one element open, by every way of renewing,
 * on the kernel that runs the test, in a network namespace of its own (needs root; skipped
 * without). The oldest kernels' way refuses a transaction that names an element twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sched.h>
#include <sodium.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sallyport/clock.h"
#include "sallyport/err.h"

#include "book_maker.h"
#include "firewall_core.h"

#define VERSION 5u

struct fixture {
	struct firewall fw;
	struct ledger ledger;
	void *memory;
	struct pinhole_epoch page;
	struct stats_lane lane;
	uint64_t now_ns;
};

static int write_fd = -1;

static int set_up(void **state)
{
	(void)state;
	if (geteuid() == 0 && unshare(CLONE_NEWNET) == 0)
		write_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 12); /* NETLINK_NETFILTER */
	return 0;
}

static struct fixture *make(enum renew_way way)
{
	const struct table_guarded nobody = { 0 };
	struct fixture *f = calloc(1, sizeof(*f));
	struct firewall *fw = &f->fw;
	uint32_t dropped;

	assert_non_null(f);
	f->now_ns = clock_mono_ns();
	f->memory = ledger_memory(&f->ledger, 64);
	fw->conf = (struct fwsync_conf){ .mark_egress = 1u << 28,
		                         .mark_inbound = 1u << 29,
		                         .set_size = 8192 };
	const struct table_want want = { .conf = &fw->conf, .guarded = &nobody };

	assert_int_equal(book_new(&fw->book, &f->ledger, f->now_ns, &dropped), ERR_OK);
	book_set_complete(fw->book);
	assert_int_equal(nl_open(&fw->nl, write_fd), 0);
	assert_int_equal(table_install(&fw->nl, &want, TABLE_RENEW), 0);
	fw->way = way;
	fw->lane = &f->lane;
	fw->epoch_page = &f->page;
	fw->wishes = malloc(FIREWALL_WISHES * sizeof(*fw->wishes));
	fw->closed = malloc(FIREWALL_CLOSED * sizeof(*fw->closed));
	assert_true(fw->wishes && fw->closed);
	return f;
}

static void unmake(struct fixture *f)
{
	nl_fini(&f->fw.nl);
	book_free(f->fw.book);
	free(f->fw.wishes);
	free(f->fw.closed);
	free(f->memory);
	free(f);
}

static struct ledger_element element(uint8_t n)
{
	struct ledger_element e = { .port = { PINHOLE_KIND_PORT, 6, 443 } };
	const uint8_t src[4] = { 10, 1, 0, 2 }, dst[4] = { 44, 0, 0, n };

	addr_from_v4(src, e.src);
	addr_from_v4(dst, e.dst);
	return e;
}

/* A row of @e for the reason @name, open for @life_s more. */
static uint32_t row(struct fixture *f, const struct ledger_element *e, char name, uint64_t life_s)
{
	const uint8_t names[3] = { 1, 0, (uint8_t)name };
	uint64_t end_ns = f->now_ns + life_s * NS_PER_S;
	uint32_t reason = book_reason(f->fw.book, "app", names, sizeof(names), 0, 0);
	uint32_t i = book_add(f->fw.book, e, reason, f->now_ns, end_ns);

	assert_int_not_equal(i, BOOK_NONE);
	book_confirm(f->fw.book, i, end_ns, end_ns, 0, VERSION);
	return i;
}

static struct role_close_row judged(const struct fixture *f, uint32_t i)
{
	const struct ledger_row *r;

	assert_true(book_row(f->fw.book, i, &r));
	return (struct role_close_row){ .row = i,
		                        .policy_version = r->policy_version,
		                        .opened_ns = r->opened_ns };
}

static uint64_t left_ms(struct fixture *f, const struct ledger_element *e)
{
	uint64_t ms;

	return elements_get(&f->fw.nl, e, &ms) == 0 ? ms : 0;
}

static void several_rows_of_an_element_end_together(void **state)
{
	struct ledger_element kept = element(1), gone = element(2);

	(void)state;
	if (write_fd < 0)
		skip();
	for (unsigned int way = RENEW_DESTROY_ADD; way < RENEW_N; way++) {
		struct fixture *f = make((enum renew_way)way);
		uint32_t a = row(f, &kept, 'a', 600), b = row(f, &kept, 'b', 600);
		uint32_t c = row(f, &gone, 'a', 600), d = row(f, &gone, 'b', 600);
		struct role_close_row rows[] = { judged(f, a), judged(f, b), judged(f, c),
			                         judged(f, d) };
		uint64_t n;

		row(f, &kept, 'c', 60);
		assert_int_equal(firewall_put_back_all(&f->fw, &n), 0);
		assert_int_equal(firewall_close(&f->fw, VERSION, rows, ARRAY_LEN(rows), true), 0);
		assert_int_equal(atomic_load(&f->lane.counts[COUNT_FW_TABLE_LOST]), 0);
		assert_int_equal(atomic_load(&f->lane.counts[COUNT_FW_CLOSED]), 1);
		assert_int_equal(f->ledger.head->rows_used, 1);
		assert_true(left_ms(f, &kept) > 0 && left_ms(f, &kept) <= 61000);
		assert_int_equal(left_ms(f, &gone), 0);
		unmake(f);
	}
}

static void rows_that_end_at_the_same_moment_are_put_back_once(void **state)
{
	struct ledger_element e = element(1);

	(void)state;
	if (write_fd < 0)
		skip();
	for (unsigned int way = RENEW_DESTROY_ADD; way < RENEW_N; way++) {
		struct fixture *f = make((enum renew_way)way);
		uint64_t n;

		row(f, &e, 'a', 600);
		row(f, &e, 'b', 600);
		row(f, &e, 'c', 60);
		assert_int_equal(firewall_put_back_all(&f->fw, &n), 0);
		assert_int_equal(n, 1);
		assert_true(left_ms(f, &e) > 500000);
		unmake(f);
	}
}

/* Another set_size at a reload: nothing is left to verify, and a row whose element is held back
 * must not go because the kernel does not have it. */
static void a_table_built_anew_ends_the_verification_of_the_old(void **state)
{
	(void)state;
	if (write_fd < 0)
		skip();
	struct fixture *f = make(RENEW_ADD_DELETE);

	f->fw.verifying = true;
	f->fw.conf.set_size = 4096;
	assert_int_equal(firewall_install(&f->fw), 0);
	assert_false(f->fw.verifying);
	free(f->fw.interfaces);
	unmake(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(several_rows_of_an_element_end_together),
		cmocka_unit_test(rows_that_end_at_the_same_moment_are_put_back_once),
		cmocka_unit_test(a_table_built_anew_ends_the_verification_of_the_old),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, set_up, NULL);
}
