/* tests/unit/resolver_io/io_listen.c - clients by UDP and TCP against the real listeners; the query
 * pipeline is a double that answers at once, holds, or drops.
 */
#include <arpa/inet.h>
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

#include "client.h"
#include "harness.h"
#include "listen.h"
#include "query.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"

#define HELD_MAX 512
#define QUERY_LEN 30

enum what { ANSWER, HOLD, DROP, ANSWER_BIG };

static struct {
	enum what what;
	unsigned int n_received, n_held, n_no_buffer;
	size_t longest;
	size_t big; /* octets of an ANSWER_BIG */
	struct client held[HELD_MAX];
	uint8_t held_msg[HELD_MAX][QUERY_LEN];
	struct client last;
} pipeline;

static int answer(struct worker *worker, struct client *client, const uint8_t *msg, size_t len)
{
	size_t cap;
	uint8_t *out = client_buffer(worker, client, &cap);

	if (!out) {
		pipeline.n_no_buffer++;
		client_drop(worker, client);
		return ERR_CLOSED;
	}
	len = len < cap ? len : cap;
	memcpy(out, msg, len);
	if (pipeline.what == ANSWER_BIG) {
		assert_true(pipeline.big <= cap);
		memset(out + len, 0x55, pipeline.big - len);
		len = pipeline.big;
	}
	if (len > 2)
		out[2] |= 0x80;
	return client_answer(worker, client, len);
}

void query_received(struct worker *worker, struct client *client, const uint8_t *msg, size_t len)
{
	pipeline.n_received++;
	pipeline.longest = MAX(pipeline.longest, len);
	pipeline.last = *client;
	switch (pipeline.what) {
	case ANSWER:
	case ANSWER_BIG:
		(void)answer(worker, client, msg, len);
		break;
	case HOLD:
		assert_true(pipeline.n_held < HELD_MAX);
		memcpy(pipeline.held_msg[pipeline.n_held], msg, MIN(len, (size_t)QUERY_LEN));
		pipeline.held[pipeline.n_held] = *client;
		client_hold(&pipeline.held[pipeline.n_held++]);
		worker->n_waited++;
		break;
	case DROP:
		client_drop(worker, client);
		break;
	}
}

struct world {
	struct io io;
	int udp, tcp; /* the keeper's copies of the sockets */
	uint16_t port;
	int clients[80];
};

static int bound(int type, uint16_t *port, bool any)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(*port) };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	sa.sin_addr.s_addr = htonl(any ? INADDR_ANY : INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	*port = ntohs(sa.sin_port);
	if (type == SOCK_STREAM) /* the keeper does it, the resolver may not */
		assert_int_equal(listen(fd, SOMAXCONN), 0);
	return fd;
}

static void give(struct world *world, int fd, unsigned int index, int proto)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	assert_int_equal(listeners_add(&world->io.worker, copy, index, proto), 0);
}

static int setup_with(void **state, bool wildcard)
{
	struct world *world = calloc(1, sizeof(*world));
	struct resolver_conf *conf = io_conf();
	static const uint8_t loopback[4] = { 127, 0, 0, 1 }, any[4] = { 0 };

	assert_non_null(world);
	assert_true(sodium_init() >= 0);
	memset(&pipeline, 0, sizeof(pipeline));
	memset(world->clients, -1, sizeof(world->clients));
	world->tcp = bound(SOCK_STREAM, &world->port, wildcard);
	world->udp = bound(SOCK_DGRAM, &world->port, wildcard);
	conf->n_listeners = 2;
	for (int i = 0; i < 2; i++) {
		addr_from_v4(wildcard ? any : loopback, conf->listeners[i].addr);
		conf->listeners[i].port = world->port;
		conf->listeners[i].wildcard = wildcard;
	}
	conf->tcp_idle_ms = 150;
	conf->tcp_read_ms = 100;
	conf->tcp_connections = 20;
	conf->tcp_connections_client = 12;
	io_init(&world->io, conf, listeners_turn);
	free(conf);
	world->io.worker.listeners = listeners_new(&world->io.worker);
	assert_non_null(world->io.worker.listeners);
	give(world, world->udp, 0, IPPROTO_UDP);
	give(world, world->tcp, 0, IPPROTO_TCP);
	listeners_keep_named(&world->io.worker);
	*state = world;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, false);
}

static int setup_wildcard(void **state)
{
	return setup_with(state, true);
}

static int teardown(void **state)
{
	struct world *world = *state;

	for (unsigned int i = 0; i < pipeline.n_held; i++) {
		if (pipeline.held[i].held)
			client_drop(&world->io.worker, &pipeline.held[i]);
	}
	world->io.turn = NULL;
	listeners_free(world->io.worker.listeners);
	io_fini(&world->io);
	close(world->udp);
	close(world->tcp);
	for (size_t i = 0; i < ARRAY_LEN(world->clients); i++) {
		if (world->clients[i] >= 0)
			close(world->clients[i]);
	}
	free(world);
	return 0;
}

static struct sockaddr_in at(const struct world *world, const char *addr)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(world->port) };

	assert_int_equal(inet_pton(AF_INET, addr, &sa.sin_addr), 1);
	return sa;
}

static int client(struct world *world, size_t i, int type, const char *to)
{
	struct sockaddr_in sa = at(world, to);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	world->clients[i] = fd;
	return fd;
}

static void hang_up(struct world *world, size_t i)
{
	close(world->clients[i]);
	world->clients[i] = -1;
}

static void query(uint8_t msg[QUERY_LEN], unsigned int id)
{
	memset(msg, 0, QUERY_LEN);
	msg[0] = (uint8_t)(id >> 8);
	msg[1] = (uint8_t)id;
	msg[5] = 1;
	memcpy(msg + 12, "\7example\4test\0\0\1\0\1", QUERY_LEN - 12);
}

static void send_udp(int fd, unsigned int id)
{
	uint8_t msg[QUERY_LEN];

	query(msg, id);
	assert_int_equal(send(fd, msg, sizeof(msg), 0), QUERY_LEN);
}

static void send_tcp(int fd, unsigned int id)
{
	uint8_t msg[2 + QUERY_LEN] = { 0, QUERY_LEN };

	query(msg + 2, id);
	assert_int_equal(send(fd, msg, sizeof(msg), MSG_NOSIGNAL), QUERY_LEN + 2);
}

static bool received(void *ctx)
{
	return pipeline.n_received >= *(unsigned int *)ctx;
}

static void until_received(struct world *world, unsigned int n)
{
	io_run(&world->io, received, &n);
}

static bool is_readable(void *ctx)
{
	struct pollfd p = { .fd = *(int *)ctx, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void until_readable(struct world *world, int fd)
{
	io_run(&world->io, is_readable, &fd);
}

/* The ID of the next message on the connection, or -1 at its end. */
static int read_tcp(struct world *world, int fd)
{
	uint8_t msg[2 + 65535];
	size_t got = 0, want = 2;

	while (got < want) {
		ssize_t n;

		until_readable(world, fd);
		n = recv(fd, msg + got, want - got, MSG_DONTWAIT);
		if (n <= 0)
			return -1;
		got += (size_t)n;
		if (got >= 2)
			want = 2 + ((size_t)msg[0] << 8 | msg[1]);
	}
	assert_int_equal(msg[4] & 0x80, 0x80);
	return msg[2] << 8 | msg[3];
}

static int read_udp(struct world *world, int fd)
{
	uint8_t msg[2000];

	until_readable(world, fd);
	assert_true(recv(fd, msg, sizeof(msg), MSG_DONTWAIT) >= QUERY_LEN);
	return msg[0] << 8 | msg[1];
}

/* ---- UDP ---- */

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

	assert_int_equal(setsockopt(world->udp, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big)), 0);
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

/* ---- TCP ---- */

static void one_connection_carries_many_queries_answered_in_any_order(void **state)
{
	struct world *world = *state;
	int fd = client(world, 0, SOCK_STREAM, "127.0.0.1");

	pipeline.what = HOLD;
	for (unsigned int i = 0; i < 10; i++)
		send_tcp(fd, i);
	until_received(world, 10);
	for (unsigned int i = 10; i-- > 0;)
		assert_int_equal(
		    answer(&world->io.worker, &pipeline.held[i], pipeline.held_msg[i], QUERY_LEN),
		    0);
	for (int i = 10; i-- > 0;)
		assert_int_equal(read_tcp(world, fd), i);
	assert_int_equal(io_count(&world->io, COUNT_QUERIES_TCP), 10);
}

static void a_message_may_come_octet_by_octet(void **state)
{
	struct world *world = *state;
	int fd = client(world, 0, SOCK_STREAM, "127.0.0.1");
	uint8_t msg[2 + QUERY_LEN] = { 0, QUERY_LEN };

	query(msg + 2, 99);
	for (size_t i = 0; i < sizeof(msg); i++) {
		assert_int_equal(send(fd, msg + i, 1, MSG_NOSIGNAL), 1);
		io_run_ms(&world->io, 1);
	}
	assert_int_equal(read_tcp(world, fd), 99);
	assert_int_equal(pipeline.n_received, 1);
}

static void a_full_pipeline_stops_reading_until_an_answer(void **state)
{
	struct world *world = *state;
	int fd = client(world, 0, SOCK_STREAM, "127.0.0.1");
	unsigned int n = LIMIT_TCP_PIPELINED + 20;

	pipeline.what = HOLD;
	for (unsigned int i = 0; i < n; i++)
		send_tcp(fd, i);
	io_run_ms(&world->io, 30);
	assert_int_equal(pipeline.n_received, LIMIT_TCP_PIPELINED);
	for (unsigned int i = 0; i < 5; i++)
		(void)answer(&world->io.worker, &pipeline.held[i], pipeline.held_msg[i], QUERY_LEN);
	io_run_ms(&world->io, 30);
	assert_int_equal(pipeline.n_received, LIMIT_TCP_PIPELINED + 5);
	for (unsigned int i = 5; i < pipeline.n_held; i++) {
		(void)answer(&world->io.worker, &pipeline.held[i], pipeline.held_msg[i], QUERY_LEN);
		io_run_ms(&world->io, 1);
	}
	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(read_tcp(world, fd), i);
}

static void one_connection_does_not_take_the_whole_turn(void **state)
{
	struct world *world = *state;
	uint8_t msgs[60][2 + QUERY_LEN];
	unsigned int second = 0;
	int fd = client(world, 0, SOCK_STREAM, "127.0.0.1");

	pipeline.what = HOLD;
	for (unsigned int i = 0; i < 60; i++) {
		msgs[i][0] = 0;
		msgs[i][1] = QUERY_LEN;
		query(msgs[i] + 2, i);
	}
	client(world, 1, SOCK_STREAM, "127.0.0.1");
	io_run_ms(&world->io, 20); /* both are accepted */
	assert_int_equal(send(fd, msgs, sizeof(msgs), MSG_NOSIGNAL), sizeof(msgs));
	send_tcp(world->clients[1], 1000);
	until_received(world, 61);
	while (pipeline.held_msg[second][0] != 1000 >> 8)
		second++;
	assert_in_range(second, 0, 8);
	for (unsigned int i = 0; i < 61; i++)
		assert_int_equal(
		    answer(&world->io.worker, &pipeline.held[i], pipeline.held_msg[i], QUERY_LEN),
		    0);
	for (unsigned int i = 0; i < 60; i++)
		assert_int_equal(read_tcp(world, fd), i);
	assert_int_equal(read_tcp(world, world->clients[1]), 1000);
}

static void who_closes_its_side_still_gets_its_answers(void **state)
{
	struct world *world = *state;
	int fd = client(world, 0, SOCK_STREAM, "127.0.0.1");

	pipeline.what = HOLD;
	send_tcp(fd, 1);
	send_tcp(fd, 2);
	shutdown(fd, SHUT_WR);
	until_received(world, 2);
	io_run_ms(&world->io, 20);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(
		    answer(&world->io.worker, &pipeline.held[i], pipeline.held_msg[i], QUERY_LEN),
		    0);
	assert_int_equal(read_tcp(world, fd), 1);
	assert_int_equal(read_tcp(world, fd), 2);
	assert_int_equal(read_tcp(world, fd), -1);
	assert_int_equal(listeners_connections(&world->io.worker), 0);
}

static void an_answer_for_a_client_that_has_gone_is_an_error_only(void **state)
{
	struct world *world = *state;
	struct linger reset = { .l_onoff = 1 };
	int fd = client(world, 0, SOCK_STREAM, "127.0.0.1");

	pipeline.what = HOLD;
	send_tcp(fd, 1);
	until_received(world, 1);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	hang_up(world, 0);
	io_run_ms(&world->io, 20);
	assert_int_equal(listeners_connections(&world->io.worker), 0);
	assert_int_equal(
	    answer(&world->io.worker, &pipeline.held[0], pipeline.held_msg[0], QUERY_LEN),
	    ERR_CLOSED);
	assert_true(io_count(&world->io, COUNT_SEND_FAILED) > 0);
}

static const struct {
	const char *title;
	size_t octets; /* of a query that are sent */
	bool whole;    /* and a whole one before them */
} stalls[] = {
	{ "nothing at all", 0, false },
	{ "nothing after a query", 0, true },
	{ "half a length", 1, false },
	{ "half a message", 9, false },
	{ "half a message after a whole one", 9, true },
};

static void who_stalls_is_closed_in_time(void **state)
{
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(stalls); i++) {
		int fd = client(world, i, SOCK_STREAM, "127.0.0.1");
		uint64_t began = clock_mono_ns(),
			 before = io_count(&world->io, COUNT_LIMIT_TCP_TIMEOUT);
		uint8_t msg[2 + QUERY_LEN] = { 0, QUERY_LEN };
		uint64_t ms;

		if (stalls[i].whole) {
			send_tcp(fd, 1);
			assert_int_equal(read_tcp(world, fd), 1);
		}
		if (stalls[i].octets)
			assert_true(send(fd, msg, stalls[i].octets, 0) > 0);
		assert_int_equal(read_tcp(world, fd), -1);
		ms = (clock_mono_ns() - began) / NS_PER_MS;
		/* tcp_read 100 ms, tcp_idle 150 ms, and what a busy machine adds. */
		if (ms < 80 || ms > 1000 ||
		    io_count(&world->io, COUNT_LIMIT_TCP_TIMEOUT) != before + 1)
			fail_msg("%s: closed after %d ms", stalls[i].title, (int)ms);
		hang_up(world, i);
	}
}

static void a_query_in_flight_keeps_its_connection(void **state)
{
	struct world *world = *state;
	int fd = client(world, 0, SOCK_STREAM, "127.0.0.1");

	pipeline.what = HOLD;
	send_tcp(fd, 7);
	until_received(world, 1);
	io_run_ms(&world->io, 300); /* twice tcp_idle */
	(void)answer(&world->io.worker, &pipeline.held[0], pipeline.held_msg[0], QUERY_LEN);
	assert_int_equal(read_tcp(world, fd), 7);
}

static void who_does_not_read_is_bounded_and_closed(void **state)
{
	struct world *world = *state;
	int fd = client(world, 0, SOCK_STREAM, "127.0.0.1");

	pipeline.what = ANSWER_BIG;
	pipeline.big = 60000;
	for (unsigned int i = 0; i < 400; i++) {
		uint8_t msg[2 + QUERY_LEN] = { 0, QUERY_LEN };

		query(msg + 2, i);
		if (send(fd, msg, sizeof(msg), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
		io_run_ms(&world->io, 1);
		if (listeners_connections(&world->io.worker) == 0)
			break;
	}
	io_run_ms(&world->io, 250);
	assert_int_equal(listeners_connections(&world->io.worker), 0);
	assert_true(pipeline.n_received < 400);
	assert_true(io_count(&world->io, COUNT_LIMIT_TCP_TIMEOUT) > 0);
}

static void a_large_answer_to_a_slow_reader_arrives_whole(void **state)
{
	struct world *world = *state;
	int fd = client(world, 0, SOCK_STREAM, "127.0.0.1");

	pipeline.what = ANSWER_BIG;
	pipeline.big = 65535;
	for (unsigned int i = 0; i < 4; i++)
		send_tcp(fd, i);
	for (int i = 0; i < 4; i++)
		assert_int_equal(read_tcp(world, fd), i);
}

static void one_client_has_so_many_connections(void **state)
{
	struct world *world = *state;

	for (size_t i = 0; i < 12; i++) {
		client(world, i, SOCK_STREAM, "127.0.0.1");
		io_run_ms(&world->io, 2);
	}
	assert_int_equal(listeners_connections(&world->io.worker), 12);
	client(world, 12, SOCK_STREAM, "127.0.0.1");
	assert_int_equal(read_tcp(world, world->clients[12]), -1);
	assert_int_equal(io_count(&world->io, COUNT_LIMIT_TCP), 1);
	/* The others are none the worse for it. */
	send_tcp(world->clients[0], 3);
	assert_int_equal(read_tcp(world, world->clients[0]), 3);
}

static int connect_from(struct world *world, size_t i, const char *from)
{
	struct sockaddr_in me = { .sin_family = AF_INET }, sa = at(world, "127.0.0.1");
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(inet_pton(AF_INET, from, &me.sin_addr), 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&me, sizeof(me)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	world->clients[i] = fd;
	return fd;
}

static void under_pressure_the_idle_go_first(void **state)
{
	struct world *world = *state;
	int fd;

	pipeline.what = HOLD;
	for (size_t i = 0; i < 20; i++) {
		fd = connect_from(world, i, i < 10 ? "127.0.0.2" : "127.0.0.3");
		if (i != 4)
			send_tcp(fd, (unsigned int)i);
		io_run_ms(&world->io, 2);
	}
	assert_int_equal(listeners_connections(&world->io.worker), 20);
	fd = connect_from(world, 20, "127.0.0.4");
	assert_int_equal(read_tcp(world, world->clients[4]), -1); /* it did nothing */
	send_tcp(fd, 50);
	until_received(world, 20);
	assert_int_equal(listeners_connections(&world->io.worker), 20);
	/* Nobody is idle: the new one is turned away. */
	fd = connect_from(world, 21, "127.0.0.4");
	assert_int_equal(read_tcp(world, fd), -1);
	assert_int_equal(io_count(&world->io, COUNT_LIMIT_TCP), 2);
}

static const struct {
	const char *title;
	size_t len; /* of the message, as announced */
	size_t cut; /* what is handed on */
	bool next;  /* is the query behind it answered? */
} lengths[] = {
	{ "an empty message ends the connection", 0, 0, false },
	{ "less than a header ends the connection", 11, 11, false },
	{ "a header is handed on", 12, 12, true },
	{ "the longest that is taken whole", LISTEN_QUERY_BYTES, LISTEN_QUERY_BYTES, true },
	{ "one octet more is cut", LISTEN_QUERY_BYTES + 1, LISTEN_QUERY_BYTES, true },
	{ "the longest that there is", 65535, LISTEN_QUERY_BYTES, true },
};

static void the_stream_stays_in_step_whatever_the_length(void **state)
{
	struct world *world = *state;
	static uint8_t msg[2 + 65535];

	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		int fd = client(world, i, SOCK_STREAM, "127.0.0.1");
		int id;

		memset(&pipeline, 0, sizeof(pipeline));
		msg[0] = (uint8_t)(lengths[i].len >> 8);
		msg[1] = (uint8_t)lengths[i].len;
		pipeline.what = DROP;
		for (size_t at_octet = 0; at_octet < 2 + lengths[i].len;) {
			ssize_t n = send(fd, msg + at_octet, 2 + lengths[i].len - at_octet,
			                 MSG_DONTWAIT | MSG_NOSIGNAL);

			at_octet += n > 0 ? (size_t)n : 0;
			io_run_ms(&world->io, 1);
		}
		until_received(world, 1);
		if (pipeline.longest != lengths[i].cut)
			fail_msg("%s: %zu octets", lengths[i].title, pipeline.longest);
		pipeline.what = ANSWER;
		id = -1;
		if (lengths[i].next) {
			send_tcp(fd, 4711);
			id = read_tcp(world, fd);
		} else if (read_tcp(world, fd) != -1) {
			fail_msg("%s: still open", lengths[i].title);
		}
		if (lengths[i].next && id != 4711)
			fail_msg("%s: the next query got %d", lengths[i].title, id);
		hang_up(world, i);
		io_run_ms(&world->io, 2);
	}
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
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(each_datagram_is_answered_once_to_its_sender),
		TEST(answers_may_come_later_and_in_any_order),
		TEST(an_answer_that_was_made_long_ago_is_not_sent),
		cmocka_unit_test_setup_teardown(a_wildcard_answers_from_the_address_that_was_asked,
		                                setup_wildcard, teardown),
		TEST(an_oversize_datagram_is_cut_and_handed_on),
		TEST(what_the_kernel_drops_is_counted),
		TEST(a_flood_is_read_at_once_and_what_does_not_fit_is_counted),
		TEST(a_look_in_the_middle_of_a_turn_reads_and_answers),
		TEST(a_new_set_keeps_adds_and_closes),
		TEST(one_connection_carries_many_queries_answered_in_any_order),
		TEST(a_message_may_come_octet_by_octet),
		TEST(a_full_pipeline_stops_reading_until_an_answer),
		TEST(one_connection_does_not_take_the_whole_turn),
		TEST(who_closes_its_side_still_gets_its_answers),
		TEST(an_answer_for_a_client_that_has_gone_is_an_error_only),
		TEST(who_stalls_is_closed_in_time),
		TEST(a_query_in_flight_keeps_its_connection),
		TEST(who_does_not_read_is_bounded_and_closed),
		TEST(a_large_answer_to_a_slow_reader_arrives_whole),
		TEST(one_client_has_so_many_connections),
		TEST(under_pressure_the_idle_go_first),
		TEST(the_stream_stays_in_step_whatever_the_length),
		TEST(draining_answers_what_was_asked_and_takes_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
