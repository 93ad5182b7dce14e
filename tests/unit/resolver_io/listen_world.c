#include "listen_world.h"

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

struct pipeline pipeline;

int answer(struct worker *worker, struct client *client, const uint8_t *msg, size_t len)
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
	if (pipeline.on_query)
		pipeline.on_query();
	for (uint64_t end = clock_mono_ns() + pipeline.us * 1000; clock_mono_ns() < end;)
		;
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

int bound(int type, uint16_t *port, bool any)
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

void give(struct world *world, int fd, unsigned int index, int proto)
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

int world_setup(void **state)
{
	return setup_with(state, false);
}

int world_setup_wildcard(void **state)
{
	return setup_with(state, true);
}

int world_teardown(void **state)
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

struct sockaddr_in at(const struct world *world, const char *addr)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(world->port) };

	assert_int_equal(inet_pton(AF_INET, addr, &sa.sin_addr), 1);
	return sa;
}

int client(struct world *world, size_t i, int type, const char *to)
{
	struct sockaddr_in sa = at(world, to);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	world->clients[i] = fd;
	return fd;
}

void hang_up(struct world *world, size_t i)
{
	close(world->clients[i]);
	world->clients[i] = -1;
}

void query(uint8_t msg[QUERY_LEN], unsigned int id)
{
	memset(msg, 0, QUERY_LEN);
	msg[0] = (uint8_t)(id >> 8);
	msg[1] = (uint8_t)id;
	msg[5] = 1;
	memcpy(msg + 12, "\7example\4test\0\0\1\0\1", QUERY_LEN - 12);
}

void send_udp(int fd, unsigned int id)
{
	uint8_t msg[QUERY_LEN];

	query(msg, id);
	assert_int_equal(send(fd, msg, sizeof(msg), 0), QUERY_LEN);
}

void send_tcp(int fd, unsigned int id)
{
	uint8_t msg[2 + QUERY_LEN] = { 0, QUERY_LEN };

	query(msg + 2, id);
	assert_int_equal(send(fd, msg, sizeof(msg), MSG_NOSIGNAL), QUERY_LEN + 2);
}

static bool received(void *ctx)
{
	return pipeline.n_received >= *(unsigned int *)ctx;
}

void until_received(struct world *world, unsigned int n)
{
	io_run(&world->io, received, &n);
}

static bool is_readable(void *ctx)
{
	struct pollfd p = { .fd = *(int *)ctx, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

void until_readable(struct world *world, int fd)
{
	io_run(&world->io, is_readable, &fd);
}

int read_tcp(struct world *world, int fd)
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

int read_udp(struct world *world, int fd)
{
	uint8_t msg[2000];

	until_readable(world, fd);
	assert_true(recv(fd, msg, sizeof(msg), MSG_DONTWAIT) >= QUERY_LEN);
	return msg[0] << 8 | msg[1];
}
