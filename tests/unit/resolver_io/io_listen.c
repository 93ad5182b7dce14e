/* tests/unit/resolver_io/io_listen.c - what the listeners do by UDP, and when they change or end.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "listen_world.h"
#include "policy/compile.h"
#include "policy_slot.h"

static void each_datagram_is_answered_once_to_its_sender(void **state)
{
	struct world *world = *state;
	static const uint8_t loopback[4] = { 127, 0, 0, 1 };
	uint8_t addr[ADDR_LEN];

	for (size_t c = 0; c < 3; c++) {
		client(world, c, SOCK_DGRAM, "127.0.0.1");
		for (unsigned int i = 0; i < 70; i++) /* more than a batch */
			send_udp(world->clients[c], (unsigned int)c * 1000 + i);
	}
	until_received(world, 210);
	for (unsigned int c = 0; c < 3; c++) {
		for (unsigned int i = 0; i < 70; i++)
			assert_int_equal(read_udp(world, world->clients[c]), c * 1000 + i);
		assert_int_equal(recv(world->clients[c], addr, 1, MSG_DONTWAIT), -1);
	}
	addr_from_v4(loopback, addr);
	assert_memory_equal(pipeline.last.addr, addr, ADDR_LEN);
	assert_memory_equal(pipeline.last.local, addr, ADDR_LEN);
	assert_int_equal(io_count(&world->io, COUNT_QUERIES_UDP), 210);
	assert_int_equal(io_count(&world->io, COUNT_ANSWERS), 210);
}

static void answers_may_come_later_and_in_any_order(void **state)
{
	struct world *world = *state;
	int fd = client(world, 0, SOCK_DGRAM, "127.0.0.1");

	pipeline.what = HOLD;
	for (unsigned int i = 0; i < 200; i++)
		send_udp(fd, i);
	until_received(world, 200);
	for (unsigned int i = 200; i-- > 0;)
		assert_int_equal(
		    answer(&world->io.worker, &pipeline.held[i], pipeline.held_msg[i], QUERY_LEN),
		    0);
	listeners_flush(&world->io.worker);
	for (unsigned int i = 200; i-- > 0;)
		assert_int_equal(read_udp(world, fd), i);
}

/* Promise P1: its pinholes began to age when it was made. */
static void an_answer_that_was_made_long_ago_is_not_sent(void **state)
{
	struct world *world = *state;
	struct worker *worker = &world->io.worker;
	int fd = client(world, 0, SOCK_DGRAM, "127.0.0.1");
	uint8_t octet;

	pipeline.what = HOLD;
	for (unsigned int i = 0; i < 3; i++)
		send_udp(fd, i);
	until_received(world, 3);
	for (unsigned int i = 0; i < 3; i++) {
		/* Two were made, then we stood still for a while; the third is fresh. */
		worker->now_ns =
		    clock_mono_ns() - (i < 2 ? (LIMIT_ANSWER_AGE_MS + 1) * NS_PER_MS : 0);
		assert_int_equal(answer(worker, &pipeline.held[i], pipeline.held_msg[i], QUERY_LEN),
		                 0);
	}
	listeners_flush(worker);
	assert_int_equal(read_udp(world, fd), 2);
	assert_int_equal(recv(fd, &octet, 1, MSG_DONTWAIT), -1);
	assert_int_equal(io_count(&world->io, COUNT_ANSWERS), 1);
	assert_int_equal(io_count(&world->io, COUNT_LIMIT_ANSWER_AGE), 2);
}

static void a_wildcard_answers_from_the_address_that_was_asked(void **state)
{
	struct world *world = *state;
	static const uint8_t other[4] = { 127, 0, 0, 77 };
	uint8_t addr[ADDR_LEN];

	/* Connected sockets: an answer from another address would not arrive. */
	int fd = client(world, 0, SOCK_DGRAM, "127.0.0.77");

	send_udp(fd, 5);
	until_received(world, 1);
	assert_int_equal(read_udp(world, fd), 5);
	addr_from_v4(other, addr);
	assert_memory_equal(pipeline.last.local, addr, ADDR_LEN);

	fd = client(world, 1, SOCK_STREAM, "127.0.0.77");
	send_tcp(fd, 6);
	assert_int_equal(read_tcp(world, fd), 6);
	assert_memory_equal(pipeline.last.local, addr, ADDR_LEN);
}

static void an_oversize_datagram_is_cut_and_handed_on(void **state)
{
	struct world *world = *state;
	int fd = client(world, 0, SOCK_DGRAM, "127.0.0.1");
	static uint8_t big[9000];

	pipeline.what = DROP;
	assert_int_equal(send(fd, big, sizeof(big), 0), sizeof(big));
	assert_int_equal(send(fd, big, 0, 0), 0);
	until_received(world, 2);
	assert_int_equal(pipeline.longest, LISTEN_QUERY_BYTES);
}

static void what_the_kernel_drops_is_counted(void **state)
{
	struct world *world = *state;
	int fd = client(world, 0, SOCK_DGRAM, "127.0.0.1"), small = 4096;
	unsigned int n = 2000;

	assert_int_equal(setsockopt(world->udp, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	for (unsigned int i = 0; i < n; i++)
		send_udp(fd, i);
	io_run_ms(&world->io, 50);
	listeners_count_drops(&world->io.worker);
	assert_true(pipeline.n_received < n);
	assert_int_equal(pipeline.n_received + io_count(&world->io, COUNT_KERNEL_DROPS), n);
	listeners_count_drops(&world->io.worker);
	assert_int_equal(pipeline.n_received + io_count(&world->io, COUNT_KERNEL_DROPS), n);
}

/* Without a policy all are one workload, so what is seen here is order, bounds and exact counts;
 * that workloads take turns is seen with fair_queue's own tests, and end to end. */
static void a_flood_is_read_at_once_and_what_does_not_fit_is_counted(void **state)
{
	struct world *world = *state;
	enum { N = LIMIT_UDP_BACKLOG * 2 };
	int fd = client(world, 0, SOCK_DGRAM, "127.0.0.1"), big = 32 << 20;
	unsigned int answers = 0, last = 0;
	uint8_t msg[2000];
	uint64_t lost;

	if (setsockopt(world->udp, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big)) < 0 &&
	    errno == EPERM)
		skip(); /* such a buffer is root's to give */
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big)), 0);
	for (unsigned int i = 1; i <= N; i++)
		send_udp(fd, i);
	io_run_ms(&world->io, 300);
	lost = io_count(&world->io, COUNT_LIMIT_BACKLOG);
	assert_int_equal(io_count(&world->io, COUNT_KERNEL_DROPS), 0);
	assert_int_equal(io_count(&world->io, COUNT_QUERIES_UDP), N);
	assert_int_equal(pipeline.n_received + lost, N);
	assert_true(lost > 0 && lost < N - LIMIT_UDP_BACKLOG);
	while (recv(fd, msg, sizeof(msg), MSG_DONTWAIT) > 0) {
		unsigned int id = (unsigned int)msg[0] << 8 | msg[1];

		assert_true(id > last); /* in the order in which they came */
		last = id;
		answers++;
	}
	assert_int_equal(answers, pipeline.n_received);
	assert_int_equal(last, N); /* it is the oldest that go */

	/* Whoever ends while some wait counts them, too. */
	for (unsigned int i = 1; i <= 1000; i++)
		send_udp(fd, i);
	pipeline.n_received = 0;
	until_received(world, 1);
	listeners_drain(&world->io.worker);
	assert_int_equal(pipeline.n_received + (N + 1000 - io_count(&world->io, COUNT_QUERIES_UDP)),
	                 1000);
}

/* How many were received before the one that was sent to 127.0.0.77. */
static unsigned int before_other;
static void note_other(void)
{
	if (pipeline.last.local[15] == 77)
		before_other = pipeline.n_received - 1;
}

/* Both send from one address: at a wildcard only the datagram itself says whose it is. */
static void a_listeners_workload_that_floods_waits_for_itself(void **state)
{
	static const char text[] = "version: 1\nprofiles: {p: }\n"
				   "workloads: {a: {listener: 127.0.0.1, profile: p},\n"
				   "            b: {listener: 127.0.0.77, profile: p}}\n";
	const struct policy_source source = { "test.yaml", text, sizeof(text) - 1 };
	struct world *world = *state;
	struct policy_map map = { .refs = 1 };
	enum { N = 200 }; /* what any socket holds */
	int flood = client(world, 0, SOCK_DGRAM, "127.0.0.1");
	int other = client(world, 1, SOCK_DGRAM, "127.0.0.77");
	void *image;
	size_t len;

	assert_int_equal(policy_compile(&source, NULL, 0, 1700000000, &image, &len, NULL), 0);
	assert_int_equal(policy_image_open(image, len, 1, &map.image), 0);
	world->io.worker.policy = &map;
	pipeline.on_query = note_other;
	for (unsigned int i = 1; i <= N; i++)
		send_udp(flood, i);
	send_udp(other, N + 1);
	until_received(world, N + 1);
	world->io.worker.policy = NULL;
	free(image);
	if (before_other > N / 2)
		fail_msg("%u of the others' went before it", before_other);
}

/* Until @n have been received, or a while has passed; the loop does not turn. */
static void look_until(struct world *world, unsigned int n, unsigned int ms)
{
	uint64_t until_ns = clock_mono_ns() + ms * NS_PER_MS;

	while (pipeline.n_received < n && clock_mono_ns() < until_ns)
		listeners_look(&world->io.worker);
}

static void a_look_in_the_middle_of_a_turn_reads_and_answers(void **state)
{
	struct world *world = *state;
	int fd = client(world, 0, SOCK_DGRAM, "127.0.0.1");
	uint8_t msg[QUERY_LEN];

	for (unsigned int i = 1; i <= 3; i++) {
		send_udp(fd, i);
		look_until(world, i, IO_PATIENCE_MS);
		assert_int_equal(pipeline.n_received, i);
		assert_int_equal(recv(fd, msg, sizeof(msg), MSG_DONTWAIT), QUERY_LEN);
		assert_int_equal(msg[1], i);
	}
	/* Nothing is read any more when the sockets are somebody else's. */
	listeners_drain(&world->io.worker);
	send_udp(fd, 4);
	look_until(world, 4, 2);
	assert_int_equal(pipeline.n_received, 3);
}

static void a_new_set_keeps_adds_and_closes(void **state)
{
	struct world *world = *state;
	uint16_t port = 0;
	int second = bound(SOCK_DGRAM, &port, false),
	    fd = client(world, 0, SOCK_DGRAM, "127.0.0.1");

	/* A query that waits while the set changes is not lost. */
	send_udp(fd, 1);
	give(world, world->udp, 1, IPPROTO_UDP);
	give(world, second, 0, IPPROTO_UDP);
	listeners_keep_named(&world->io.worker);
	until_received(world, 1);
	assert_int_equal(read_udp(world, fd), 1);

	/* TCP was not named: it does not accept any more. The keeper's copy still lets it connect.
	 */
	client(world, 1, SOCK_STREAM, "127.0.0.1");
	send_tcp(world->clients[1], 2);
	io_run_ms(&world->io, 30);
	assert_int_equal(pipeline.n_received, 1);

	/* Out goes the first one, while a client of it still waits. */
	pipeline.what = HOLD;
	send_udp(fd, 3);
	until_received(world, 2);
	give(world, second, 0, IPPROTO_UDP);
	listeners_keep_named(&world->io.worker);
	assert_int_equal(
	    answer(&world->io.worker, &pipeline.held[0], pipeline.held_msg[0], QUERY_LEN), 0);
	assert_int_equal(read_udp(world, fd), 3);
	send_udp(fd, 4);
	io_run_ms(&world->io, 30);
	assert_int_equal(pipeline.n_received, 2);
	close(second);
}

static void draining_answers_what_was_asked_and_takes_no_more(void **state)
{
	struct world *world = *state;
	int fd = client(world, 0, SOCK_STREAM, "127.0.0.1");
	int idle = client(world, 1, SOCK_STREAM, "127.0.0.1");
	int udp = client(world, 2, SOCK_DGRAM, "127.0.0.1");

	pipeline.what = HOLD;
	send_tcp(fd, 1);
	send_udp(udp, 2);
	until_received(world, 2);
	listeners_drain(&world->io.worker);
	send_udp(udp, 3);
	send_tcp(fd, 4);
	assert_int_equal(read_tcp(world, idle), -1);
	io_run_ms(&world->io, 20);
	assert_int_equal(pipeline.n_received, 2);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(
		    answer(&world->io.worker, &pipeline.held[i], pipeline.held_msg[i], QUERY_LEN),
		    0);
	assert_int_equal(read_tcp(world, fd), 1);
	listeners_flush(&world->io.worker);
	assert_int_equal(read_udp(world, udp), 2);
	io_run_ms(&world->io, 5);
	assert_int_equal(listeners_connections(&world->io.worker), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(each_datagram_is_answered_once_to_its_sender),
		WORLD_TEST(answers_may_come_later_and_in_any_order),
		WORLD_TEST(an_answer_that_was_made_long_ago_is_not_sent),
		cmocka_unit_test_setup_teardown(a_wildcard_answers_from_the_address_that_was_asked,
		                                world_setup_wildcard, world_teardown),
		WORLD_TEST(an_oversize_datagram_is_cut_and_handed_on),
		WORLD_TEST(what_the_kernel_drops_is_counted),
		WORLD_TEST(a_flood_is_read_at_once_and_what_does_not_fit_is_counted),
		cmocka_unit_test_setup_teardown(a_listeners_workload_that_floods_waits_for_itself,
		                                world_setup_wildcard, world_teardown),
		WORLD_TEST(a_look_in_the_middle_of_a_turn_reads_and_answers),
		WORLD_TEST(a_new_set_keeps_adds_and_closes),
		WORLD_TEST(draining_answers_what_was_asked_and_takes_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
