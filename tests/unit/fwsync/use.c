/* Which connections count for which rows, and when nothing is known of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <sodium.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/shm.h"

#include "book_maker.h"
#include "flows.h"
#include "use.h"

#define ROWS 32u
#define NOW_NS (1000 * NS_PER_S)
#define BEGUN_NS (NOW_NS + 5)

struct fixture {
	struct ledger ledger;
	void *memory;
	struct book *book;
	struct use use;
	const struct role_use *rows; /* as the keeper sees them */
	size_t n_rows;
};

static void ask(struct fixture *f, uint64_t number)
{
	int fd = shm_create("test", f->n_rows * sizeof(struct role_use));
	void *data;
	size_t len;

	assert_true(fd >= 0);
	if (f->rows)
		munmap((void *)(uintptr_t)f->rows, f->n_rows * sizeof(struct role_use));
	assert_int_equal(shm_map(fd, SHM_READ, 1, &data, &len), ERR_OK);
	f->rows = data;
	assert_int_equal(use_ask(&f->use, fd, number), ERR_OK);
	close(fd);
}

static struct fixture make(size_t n_rows)
{
	struct fixture f = { .n_rows = n_rows };
	uint32_t dropped;

	f.memory = ledger_memory(&f.ledger, ROWS);
	assert_int_equal(book_new(&f.book, &f.ledger, NOW_NS, &dropped), ERR_OK);
	ask(&f, 7);
	return f;
}

static void unmake(struct fixture *f)
{
	munmap((void *)(uintptr_t)f->rows, f->n_rows * sizeof(struct role_use));
	use_fini(&f->use);
	book_free(f->book);
	free(f->memory);
}

static uint32_t row(struct fixture *f, const char *src, const char *dst, struct pinhole_port port,
                    const char *name)
{
	struct ledger_element e = { .port = port };
	uint16_t len = (uint16_t)strlen(name);
	uint32_t reason = book_reason(f->book, "app", (const uint8_t *)name, len, 0, 0), i;

	assert_int_equal(addr_parse(src, e.src), 0);
	assert_int_equal(addr_parse(dst, e.dst), 0);
	i = book_add(f->book, &e, reason, NOW_NS, NOW_NS + 60 * NS_PER_S);
	assert_int_not_equal(i, BOOK_NONE);
	return i;
}

static void flow(struct fixture *f, const char *src, const char *dst, uint8_t proto, uint16_t port,
                 struct use_flow counters)
{
	struct ledger_element candidates[ELEMENT_CANDIDATES];
	uint8_t from[ADDR_LEN], to[ADDR_LEN];

	assert_int_equal(addr_parse(src, from), 0);
	assert_int_equal(addr_parse(dst, to), 0);
	element_candidates(from, to, proto, port, candidates);
	use_count(&f->use, f->book, candidates, counters);
}

#define PORT(proto, port) ((struct pinhole_port){ PINHOLE_KIND_PORT, (proto), (port) })
#define PROTO(proto) ((struct pinhole_port){ PINHOLE_KIND_PROTO, (proto), 0 })
#define ANY ((struct pinhole_port){ PINHOLE_KIND_ANY, 0, 0 })

static void a_connection_counts_for_every_row_that_lets_it_through(void **state)
{
	static const char *const pairs[][2] = { { "10.1.0.2", "44.0.0.1" },
		                                { "fd00:1::2", "2001:db8::1" } };
	static const char *const others[] = { "10.1.0.3", "fd00:1::3" };
	const struct use_flow one = { true, 3, 300 };

	(void)state;
	for (size_t v = 0; v < ARRAY_LEN(pairs); v++) {
		struct fixture f = make(ROWS);
		const char *src = pairs[v][0], *dst = pairs[v][1];
		uint32_t https = row(&f, src, dst, PORT(6, 443), "a");
		uint32_t again = row(&f, src, dst, PORT(6, 443), "b");
		uint32_t http = row(&f, src, dst, PORT(6, 80), "a");
		uint32_t dns = row(&f, src, dst, PORT(17, 443), "a");
		uint32_t tcp = row(&f, src, dst, PROTO(6), "a");
		uint32_t icmp = row(&f, src, dst, PROTO(1), "a");
		uint32_t any = row(&f, src, dst, ANY, "a");
		uint32_t other = row(&f, others[v], dst, PORT(6, 443), "a");

		use_begin(&f.use, BEGUN_NS);
		flow(&f, src, dst, 6, 443, one);
		flow(&f, src, dst, 6, 443, one);
		flow(&f, src, dst, 6, 22, one);
		flow(&f, src, dst, 17, 443, one);
		flow(&f, src, dst, v ? 58 : 1, 0, one);
		flow(&f, src, dst, 132, 443, one);
		flow(&f, dst, src, 6, 443, one);
		assert_int_equal(f.rows[https].flows, 2);
		assert_int_equal(f.rows[https].packets, 6);
		assert_int_equal(f.rows[https].octets, 600);
		assert_int_equal(f.rows[https].unaccounted, 0);
		assert_int_equal(f.rows[again].flows, 2);
		assert_int_equal(f.rows[http].flows, 0);
		assert_int_equal(f.rows[dns].flows, 1);
		assert_int_equal(f.rows[tcp].flows, 3);
		assert_int_equal(f.rows[icmp].flows, 1);
		assert_int_equal(f.rows[any].flows, 6);
		assert_int_equal(f.rows[any].octets, 1800);
		assert_int_equal(f.rows[other].flows, 0);
		unmake(&f);
	}
}

static void what_the_kernel_did_not_count_is_told(void **state)
{
	struct fixture f = make(ROWS);
	uint32_t i = row(&f, "10.1.0.2", "44.0.0.1", PORT(6, 443), "a");

	(void)state;
	use_begin(&f.use, BEGUN_NS);
	flow(&f, "10.1.0.2", "44.0.0.1", 6, 443, (struct use_flow){ true, 1, 60 });
	flow(&f, "10.1.0.2", "44.0.0.1", 6, 443, (struct use_flow){ 0 });
	assert_int_equal(f.rows[i].flows, 2);
	assert_int_equal(f.rows[i].unaccounted, 1);
	unmake(&f);
}

static void a_row_beyond_the_memory_is_left_out(void **state)
{
	struct fixture f = make(1);

	(void)state;
	row(&f, "10.1.0.2", "44.0.0.1", PORT(6, 80), "a");
	assert_int_equal(row(&f, "10.1.0.2", "44.0.0.1", PORT(6, 443), "a"), 1);
	use_begin(&f.use, BEGUN_NS);
	flow(&f, "10.1.0.2", "44.0.0.1", 6, 443, (struct use_flow){ 0 });
	flow(&f, "10.1.0.2", "44.0.0.1", 6, 80, (struct use_flow){ 0 });
	assert_int_equal(f.rows[0].flows, 1);
	unmake(&f);
}

static void what_is_no_memory_is_refused(void **state)
{
	struct fixture f = make(ROWS);
	int fds[2], small = shm_create("test", sizeof(struct role_use) - 1);

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(use_ask(&f.use, fds[0], 8), ERR_DAMAGED);
	assert_int_equal(use_ask(&f.use, small, 8), ERR_DAMAGED);
	assert_true(use_waits(&f.use)); /* the older question stands */
	assert_int_equal(f.use.number, 7);
	close(fds[0]);
	close(fds[1]);
	close(small);
	unmake(&f);
}

static void a_question_that_comes_while_another_is_counted_gets_a_pass_of_its_own(void **state)
{
	struct fixture f = make(ROWS);
	uint32_t i = row(&f, "10.1.0.2", "44.0.0.1", PORT(6, 443), "a");
	uint64_t number, begun_ns;

	(void)state;
	use_begin(&f.use, BEGUN_NS);
	ask(&f, 8);
	flow(&f, "10.1.0.2", "44.0.0.1", 6, 443, (struct use_flow){ 0 });
	use_end(&f.use, 1);
	assert_false(use_take(&f.use, &number, &begun_ns));
	assert_true(use_waits(&f.use));
	assert_int_equal(f.rows[i].flows, 0);
	use_begin(&f.use, BEGUN_NS + 1);
	assert_false(use_waits(&f.use));
	flow(&f, "10.1.0.2", "44.0.0.1", 6, 443, (struct use_flow){ 0 });
	use_end(&f.use, 1);
	assert_true(use_take(&f.use, &number, &begun_ns));
	assert_int_equal(number, 8);
	assert_int_equal(begun_ns, BEGUN_NS + 1);
	assert_int_equal(f.rows[i].flows, 1);
	assert_false(use_take(&f.use, &number, &begun_ns));
	unmake(&f);
}

/* A piece of a pass as the kernel would send it. */
static void piece(int fd, uint32_t seq, uint16_t type, uint16_t flags, int32_t err)
{
	uint8_t buf[256] __attribute__((aligned(8)));
	struct nlmsghdr *msg = mnl_nlmsg_put_header(buf);
	struct nlmsgerr *told = mnl_nlmsg_put_extra_header(msg, sizeof(*told));

	msg->nlmsg_type = type;
	msg->nlmsg_flags = flags;
	msg->nlmsg_seq = seq;
	told->error = err;
	assert_int_equal(send(fd, msg, msg->nlmsg_len, 0), msg->nlmsg_len);
}

static void a_pass_that_fails_leaves_the_use_unknown(void **state)
{
	static const struct {
		uint16_t type, flags;
		int32_t err;
		int want;
	} cases[] = {
		{ NLMSG_DONE, 0, 0, 1 },
		{ NLMSG_ERROR, 0, -EPERM, -EPERM },
		{ NLMSG_DONE, 0, -ENOBUFS, -ENOBUFS },
		{ NLMSG_DONE, NLM_F_DUMP_INTR, 0, -EINTR },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fixture f = make(ROWS);
		const struct inbound inbound = { 0 };
		struct flows flows = { .egress = 1u << 28, .inbound = 1u << 29 };
		uint64_t number, begun_ns;
		int fds[2], r;

		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
		flows.dump_fd = fds[0];
		flows.cut_fd = -1;
		assert_int_equal(flows_start(&flows, FLOWS_COUNT), ERR_OK);
		use_begin(&f.use, BEGUN_NS);
		/* An older pass's end is not this one's. */
		piece(fds[1], flows.pass_seq - 1, NLMSG_DONE, 0, 0);
		assert_int_equal(flows_read(&flows, f.book, &inbound, &f.use), 0);
		piece(fds[1], flows.pass_seq, cases[i].type, cases[i].flags, cases[i].err);
		r = flows_read(&flows, f.book, &inbound, &f.use);
		assert_int_equal(r, cases[i].want);
		use_end(&f.use, r);
		assert_true(use_take(&f.use, &number, &begun_ns));
		assert_int_equal(begun_ns, r > 0 ? BEGUN_NS : 0);
		/* A socket that has nothing more to give. */
		assert_int_equal(flows_start(&flows, FLOWS_COUNT), ERR_OK);
		flows.dump_fd = -1;
		assert_int_equal(flows_read(&flows, f.book, &inbound, &f.use), -EBADF);
		assert_false(flows.running);
		close(fds[0]);
		close(fds[1]);
		unmake(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connection_counts_for_every_row_that_lets_it_through),
		cmocka_unit_test(what_the_kernel_did_not_count_is_told),
		cmocka_unit_test(a_row_beyond_the_memory_is_left_out),
		cmocka_unit_test(what_is_no_memory_is_refused),
		cmocka_unit_test(
		    a_question_that_comes_while_another_is_counted_gets_a_pass_of_its_own),
		cmocka_unit_test(a_pass_that_fails_leaves_the_use_unknown),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
