/* tests/unit/resolver_io/io_listen_tcp.c - what the listeners do by TCP. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "listen_world.h"

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
	world->io.worker.settings->conf.tcp_read_ms = IO_PATIENCE_MS; /* on a busy machine, too */
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

/* However many owe answers, and however long: who does nothing is found. */
static void an_idle_one_is_found_behind_any_number_of_busy_ones(void **state)
{
	struct world *world = *state;
	enum { BUSY = 70 };
	char from[16];
	int fd;

	world->io.worker.settings->conf.tcp_connections = BUSY + 1;
	pipeline.what = HOLD;
	for (size_t i = 0; i <= BUSY; i++) {
		snprintf(from, sizeof(from), "127.0.0.%zu", 2 + i / 10);
		fd = connect_from(world, i, from);
		if (i < BUSY)
			send_tcp(fd, (unsigned int)i);
		io_run_ms(&world->io, 1);
	}
	until_received(world, BUSY);
	fd = connect_from(world, BUSY + 1, "127.0.0.30");
	send_tcp(fd, 1000);
	until_received(world, BUSY + 1);
	assert_int_equal(read_tcp(world, world->clients[BUSY]), -1);
	/* Answered, they are idle again, the first of them for longest. */
	for (unsigned int i = 0; i < 2; i++) {
		(void)answer(&world->io.worker, &pipeline.held[i], pipeline.held_msg[i], QUERY_LEN);
		assert_int_equal(read_tcp(world, world->clients[i]), i);
	}
	fd = connect_from(world, BUSY + 2, "127.0.0.30");
	send_tcp(fd, 1001);
	until_received(world, BUSY + 2);
	assert_int_equal(read_tcp(world, world->clients[0]), -1);
	assert_int_equal(listeners_connections(&world->io.worker), BUSY + 1);
}

static struct world *crowd;
static unsigned int udp_sent_at, udp_came_at;

static void on_crowd_query(void)
{
	if (!pipeline.last.tcp)
		udp_came_at = pipeline.n_received;
	if (pipeline.n_received == udp_sent_at)
		send_udp(crowd->clients[0], 7);
}

/* A turn of many connections is not one piece: a datagram that comes meanwhile is looked after. */
static void connections_that_go_on_keep_no_datagram_waiting(void **state)
{
	struct world *world = *state;
	enum { CONNS = 10, EACH = 60 };
	uint8_t msgs[EACH][2 + QUERY_LEN];

	crowd = world;
	udp_came_at = 0;
	client(world, 0, SOCK_DGRAM, "127.0.0.1");
	for (size_t i = 1; i <= CONNS; i++)
		client(world, i, SOCK_STREAM, "127.0.0.1");
	io_run_ms(&world->io, 20); /* all are accepted */
	for (unsigned int i = 0; i < EACH; i++) {
		msgs[i][0] = 0;
		msgs[i][1] = QUERY_LEN;
		query(msgs[i] + 2, i);
	}
	for (size_t i = 1; i <= CONNS; i++)
		assert_int_equal(send(world->clients[i], msgs, sizeof(msgs), MSG_NOSIGNAL),
		                 sizeof(msgs));
	/* Each has 32 looked after as it is read; the rest come in one turn of them all. */
	udp_sent_at = CONNS * 32 + 1;
	pipeline.us = 10;
	pipeline.on_query = on_crowd_query;
	until_received(world, CONNS * EACH + 1);
	assert_in_range(udp_came_at, udp_sent_at + 1, udp_sent_at + 32);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(one_connection_carries_many_queries_answered_in_any_order),
		WORLD_TEST(a_message_may_come_octet_by_octet),
		WORLD_TEST(a_full_pipeline_stops_reading_until_an_answer),
		WORLD_TEST(one_connection_does_not_take_the_whole_turn),
		WORLD_TEST(who_closes_its_side_still_gets_its_answers),
		WORLD_TEST(an_answer_for_a_client_that_has_gone_is_an_error_only),
		WORLD_TEST(who_stalls_is_closed_in_time),
		WORLD_TEST(a_query_in_flight_keeps_its_connection),
		WORLD_TEST(who_does_not_read_is_bounded_and_closed),
		WORLD_TEST(a_large_answer_to_a_slow_reader_arrives_whole),
		WORLD_TEST(one_client_has_so_many_connections),
		WORLD_TEST(under_pressure_the_idle_go_first),
		WORLD_TEST(an_idle_one_is_found_behind_any_number_of_busy_ones),
		WORLD_TEST(connections_that_go_on_keep_no_datagram_waiting),
		WORLD_TEST(the_stream_stays_in_step_whatever_the_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
