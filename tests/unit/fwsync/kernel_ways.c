/* Every way of renewing, on the kernel that runs the test, in a network namespace of its own (needs
 * root; skipped without). The role uses the first that works; the others are for older kernels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sodium.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sallyport/err.h"

#include "elements.h"
#include "selftest.h"
#include "table.h"

static struct nl nl;
static bool here;
static struct fwsync_conf conf = { .mark_egress = 1u << 28,
	                           .mark_inbound = 1u << 29,
	                           .set_size = 8192 };

static struct ledger_element element(unsigned int n, bool v6)
{
	struct ledger_element e = { .port = { PINHOLE_KIND_PORT, 6, 443 } };
	const uint8_t src[4] = { 10, 1, 0, 2 }, dst[4] = { 44, 0, (uint8_t)(n >> 8), (uint8_t)n };

	addr_from_v4(src, e.src);
	addr_from_v4(dst, e.dst);
	if (v6)
		e.src[0] = e.dst[0] = 0x20;
	return e;
}

static int set_up(void **state)
{
	const struct table_guarded nobody = { 0 };
	const struct table_want want = { .conf = &conf, .guarded = &nobody };
	int fd;

	(void)state;
	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0)
		return 0;
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 12); /* NETLINK_NETFILTER */
	if (fd < 0 || nl_open(&nl, fd) < 0)
		return 0;
	here = table_install(&nl, &want, TABLE_BUILD) == 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	if (here) {
		close(nl.write_fd);
		nl_fini(&nl);
	}
	return 0;
}

/* Put in for @ms by @way; it must be there for that long, less what the test took. */
static void lasts(enum renew_way way, const struct ledger_element *e, uint64_t ms)
{
	struct element_wish wish = { .element = *e, .life_ms = ms };
	uint64_t left;

	assert_int_equal(elements_upsert(&nl, way, &wish, 1), 0);
	assert_int_equal(elements_get(&nl, e, &left), 0);
	if (left > ms || left + 20000 < ms)
		fail_msg("%s: %lu ms left of %lu", renew_way_str(way), (unsigned long)left,
		         (unsigned long)ms);
}

static void every_way_makes_lengthens_and_shortens(void **state)
{
	(void)state;
	if (!here)
		skip();
	for (unsigned int way = RENEW_DESTROY_ADD; way < RENEW_N; way++) {
		struct ledger_element e = element(way, way % 2);

		lasts((enum renew_way)way, &e, 60000);
		lasts((enum renew_way)way, &e, 3600000);
		lasts((enum renew_way)way, &e, 30000);
		lasts((enum renew_way)way, &e, 30000);
	}
}

static void the_self_test_finds_a_way_and_leaves_nothing(void **state)
{
	enum renew_way way = RENEW_N;
	struct ledger_element e = element(99, false);

	(void)state;
	if (!here)
		skip();
	assert_int_equal(selftest(&nl, &way), ERR_OK);
	assert_int_equal(selftest(&nl, &way), ERR_OK); /* twice: nothing is in its way */
	assert_true(way < RENEW_N);
	lasts(way, &e, 60000);
	lasts(way, &e, 600000);
	lasts(way, &e, 30000);
}

/* A machine so busy that we are let run for a tenth of a millisecond, then not for up to 40. It
 * ends on our word, and never while we are held. */
static _Noreturn void stop_and_go(pid_t whom, const atomic_bool *end)
{
	for (unsigned int i = 0; i < 2000 && !atomic_load(end); i++) {
		const struct timespec held = { .tv_nsec = (long)(10 + i % 4 * 10) * 1000000 },
				      let = { .tv_nsec = 20000 };

		kill(whom, SIGSTOP);
		nanosleep(&held, NULL);
		kill(whom, SIGCONT);
		nanosleep(&let, NULL);
	}
	_exit(0);
}

static void a_busy_machine_does_not_make_the_kernel_look_unfit(void **state)
{
	enum renew_way quiet = RENEW_N, way = RENEW_N;
	atomic_bool *end =
	    mmap(NULL, sizeof(*end), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t tormentor, self = getpid();
	int tests, r = 0;

	(void)state;
	assert_ptr_not_equal(end, MAP_FAILED);
	if (!here)
		skip();
	assert_int_equal(selftest(&nl, &quiet), ERR_OK);
	tormentor = fork();
	assert_true(tormentor >= 0);
	if (tormentor == 0)
		stop_and_go(self, end);
	for (tests = 0; tests < 4 && r == 0; tests++) {
		r = selftest(&nl, &way);
		if (r == 0 && way != quiet)
			r = ERR_INVAL;
	}
	atomic_store(end, true);
	assert_int_equal(waitpid(tormentor, NULL, 0), tormentor);
	munmap(end, sizeof(*end));
	if (r < 0)
		fail_msg("test %d: %s, %s", tests, err_str(r), renew_way_str(way));
}

static void removing_what_is_not_there_is_no_error(void **state)
{
	(void)state;
	if (!here)
		skip();
	for (unsigned int way = 0; way < RENEW_N; way++) {
		struct ledger_element e[2] = { element(200, false), element(201, true) };
		struct element_wish wish = { .element = e[1], .life_ms = 60000 };
		uint64_t left;

		assert_int_equal(elements_upsert(&nl, RENEW_ADD_DELETE, &wish, 1), 0);
		assert_int_equal(elements_remove(&nl, (enum renew_way)way, e, 2), 0);
		assert_int_equal(elements_get(&nl, &e[1], &left), ERR_NOENT);
		assert_int_equal(elements_remove(&nl, (enum renew_way)way, e, 2), 0);
	}
}

static void the_largest_transaction_fits_every_way(void **state)
{
	struct element_wish *wishes = calloc(LIMIT_PINHOLE_BATCH_ELEMENTS, sizeof(*wishes));

	(void)state;
	assert_non_null(wishes);
	for (unsigned int i = 0; i < LIMIT_PINHOLE_BATCH_ELEMENTS; i++)
		wishes[i] =
		    (struct element_wish){ .element = element(1000 + i, true), .life_ms = 60000 };
	for (unsigned int way = RENEW_DESTROY_ADD; here && way < RENEW_N; way++)
		assert_int_equal(
		    elements_upsert(&nl, (enum renew_way)way, wishes, LIMIT_PINHOLE_BATCH_ELEMENTS),
		    0);
	free(wishes);
	if (!here)
		skip();
	assert_int_equal(elements_flush(&nl), 0);
}

static void a_table_is_made_anew_whole_whatever_was_there(void **state)
{
	const struct table_guarded nobody = { 0 };
	struct element_wish wishes[2] = { { .element = element(1, false), .life_ms = 60000 },
		                          { .element = element(2, true), .life_ms = 60000 } };
	const struct element_wish other = { .element = element(3, false), .life_ms = 60000 };
	const struct table_want want = {
		.conf = &conf, .guarded = &nobody, .pinholes = wishes, .n_pinholes = 2
	};
	uint64_t left;
	uint32_t flags;

	(void)state;
	if (!here)
		skip();
	for (int gone = 0; gone < 2; gone++) {
		assert_int_equal(elements_upsert(&nl, RENEW_ADD_DELETE, &other, 1), 0);
		assert_int_equal(system("nft add chain inet sallyport strangers"), 0);
		if (gone)
			assert_int_equal(system("nft delete table inet sallyport"), 0);
		assert_int_equal(table_install(&nl, &want, TABLE_RENEW), 0);
		assert_int_equal(table_probe(&nl, conf.set_size, &flags), TABLE_OURS);
		assert_int_equal(elements_get(&nl, &wishes[0].element, &left), 0);
		assert_int_equal(elements_get(&nl, &wishes[1].element, &left), 0);
		assert_int_equal(elements_get(&nl, &other.element, &left), ERR_NOENT);
	}
	assert_int_equal(table_install(&nl, &want, TABLE_BUILD), -EEXIST);
}

static void a_full_set_and_a_missing_table_have_their_names(void **state)
{
	const struct table_guarded nobody = { 0 };
	struct fwsync_conf small = conf;
	const struct table_want want = { .conf = &small, .guarded = &nobody };
	struct element_wish wishes[3] = { { .element = element(1, false), .life_ms = 60000 },
		                          { .element = element(2, false), .life_ms = 60000 },
		                          { .element = element(3, false), .life_ms = 60000 } };
	uint64_t left;
	uint32_t flags;

	(void)state;
	if (!here)
		skip();
	small.set_size = 2;
	assert_int_equal(table_install(&nl, &want, TABLE_REBUILD), 0);
	assert_int_equal(table_probe(&nl, 2, &flags), TABLE_OURS);
	assert_int_equal(table_probe(&nl, 3, &flags), TABLE_FOREIGN);
	assert_int_equal(elements_upsert(&nl, RENEW_ADD_DELETE, wishes, 3), -ENFILE);
	assert_int_equal(elements_get(&nl, &wishes[0].element, &left), ERR_NOENT); /* all or none */
	assert_int_equal(elements_upsert(&nl, RENEW_ADD_DELETE, wishes, 2), 0);
	assert_int_equal(system("nft delete table inet sallyport"), 0);
	assert_int_equal(table_probe(&nl, 2, &flags), TABLE_ABSENT);
	assert_int_equal(elements_upsert(&nl, RENEW_ADD_DELETE, wishes, 1), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_way_makes_lengthens_and_shortens),
		cmocka_unit_test(the_self_test_finds_a_way_and_leaves_nothing),
		cmocka_unit_test(a_busy_machine_does_not_make_the_kernel_look_unfit),
		cmocka_unit_test(removing_what_is_not_there_is_no_error),
		cmocka_unit_test(the_largest_transaction_fits_every_way),
		cmocka_unit_test(a_table_is_made_anew_whole_whatever_was_there),
		cmocka_unit_test(a_full_set_and_a_missing_table_have_their_names),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
