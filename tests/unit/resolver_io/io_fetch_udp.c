/* tests/unit/resolver_io/io_fetch_udp.c - answers by UDP that are none, late ones, and the sockets
 * that they come to. */
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fetch_world.h"

/* What comes by UDP; TCP then tells the truth. */
enum lie { LIE_ID, LIE_NAME, LIE_CASE, LIE_TYPE, LIE_SHORT, LIE_QUERY, LIE_TC, LIE_HUGE };
static const struct {
	const char *title;
	enum lie lie;
	unsigned int n_mismatch;
} lies[] = {
	{ "another ID", LIE_ID, 1 },
	{ "another name", LIE_NAME, 1 },
	{ "another letter case", LIE_CASE, 1 },
	{ "another type", LIE_TYPE, 1 },
	{ "eleven octets", LIE_SHORT, 1 },
	{ "our own query back", LIE_QUERY, 1 },
	{ "truncated", LIE_TC, 0 },
	{ "longer than any datagram we take", LIE_HUGE, 1 },
};

static void lie_by_udp(struct fake *fake, struct fake_conn *conn, const uint8_t *msg, size_t len,
                       const struct sockaddr_in *from)
{
	static uint8_t out[9000];
	size_t n;

	if (conn) {
		reply_well(fake, conn, msg, len, from);
		return;
	}
	memset(out, 0, sizeof(out));
	n = fake_answer(msg, len, 66, out, sizeof(out));
	switch (*(const enum lie *)fake->ctx) {
	case LIE_ID:
		out[1] ^= 1;
		break;
	case LIE_NAME:
		out[14] = 'x';
		break;
	case LIE_CASE:
		for (size_t i = 12; i < 12 + sizeof(NAME); i++)
			out[i] ^= (out[i] >= 'A' && (out[i] | 32) <= 'z') ? 32 : 0;
		break;
	case LIE_TYPE:
		out[12 + sizeof(NAME) + 1] = 28;
		break;
	case LIE_SHORT:
		n = 11;
		break;
	case LIE_QUERY:
		memcpy(out, msg, len);
		n = len;
		break;
	case LIE_TC:
		n = fake_empty(msg, len, 0, true, out);
		break;
	case LIE_HUGE:
		n = sizeof(out);
		break;
	}
	fake_send(fake, NULL, from, out, n);
}

static void a_near_miss_or_truncation_moves_the_question_to_tcp(void **state)
{
	struct world *world = *state;

	begin(world, 1);
	world->servers[0].on_query = lie_by_udp;
	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		enum lie lie = lies[i].lie;
		uint64_t before = io_count(&world->io, COUNT_UPSTREAM_MISMATCH);

		world->servers[0].ctx = &lie;
		world->servers[0].n_udp = world->servers[0].n_tcp = 0;
		world->waiting[0].n_done = 0;
		join(world, 0, NAME, 1);
		wait_first(world);
		if (world->waiting[0].status != FETCH_OK || world->waiting[0].last != 7 ||
		    world->servers[0].n_udp != 1 || world->servers[0].n_tcp != 1 ||
		    io_count(&world->io, COUNT_UPSTREAM_MISMATCH) - before != lies[i].n_mismatch)
			fail_msg("%s: status %d, address %u, %u by UDP, %u by TCP", lies[i].title,
			         (int)world->waiting[0].status, world->waiting[0].last,
			         world->servers[0].n_udp, world->servers[0].n_tcp);
	}
	/* One connection served them all. */
	assert_int_equal(world->servers[0].n_conns, 1);
}

static void spoof(struct fake *fake, struct fake_conn *conn, const uint8_t *msg, size_t len,
                  const struct sockaddr_in *from)
{
	uint8_t out[600];
	size_t n;

	if (conn) {
		reply_well(fake, conn, msg, len, from);
		return;
	}
	n = fake_answer(msg, len, 66, out, sizeof(out));
	for (unsigned int i = 1; i <= 10000; i++) {
		out[0] = (uint8_t)(msg[0] ^ (i >> 8));
		out[1] = (uint8_t)(msg[1] ^ i);
		/* What the receiver closed meanwhile comes back as an error: no matter. */
		(void)!sendto(fake->udp_fd, out, n, MSG_DONTWAIT, (const struct sockaddr *)from,
		              sizeof(*from));
	}
	memcpy(out, msg, 2);
	(void)!sendto(fake->udp_fd, out, n, MSG_DONTWAIT, (const struct sockaddr *)from,
	              sizeof(*from));
}

static void ten_thousand_guesses_get_one_chance(void **state)
{
	struct world *world = *state;

	begin(world, 1);
	world->servers[0].on_query = spoof;
	join(world, 0, NAME, 1);
	wait_first(world);
	assert_answered(world, 7);
	assert_int_equal(io_count(&world->io, COUNT_UPSTREAM_MISMATCH), 1);
}

/* Answers late_ms later, late_times times. */
static struct late {
	uv_timer_t timer;
	struct fake *fake;
	struct sockaddr_in to;
	uint8_t msg[600];
	size_t len;
} lates[16];
static unsigned int late_ms, late_times, n_lates;

static void on_late(uv_timer_t *timer)
{
	struct late *late = timer->data;

	for (unsigned int i = 0; i < late_times; i++)
		fake_send(late->fake, NULL, &late->to, late->msg, late->len);
}

static void reply_late(struct fake *fake, struct fake_conn *conn, const uint8_t *msg, size_t len,
                       const struct sockaddr_in *from)
{
	struct late *late = &lates[n_lates++];

	assert_true(n_lates <= ARRAY_LEN(lates));
	assert_null(conn);
	late->fake = fake;
	late->to = *from;
	late->len = fake_answer(msg, len, 9, late->msg, sizeof(late->msg));
	uv_timer_init(&fake->io->worker.loop, &late->timer);
	late->timer.data = late;
	uv_timer_start(&late->timer, on_late, late_ms, 0);
}

static void a_late_answer_is_still_an_answer(void **state)
{
	struct world *world = *state;

	begin(world, 1);
	late_ms = 150;
	late_times = 1;
	n_lates = 0;
	server_of(world, 0)->srtt_us = 1000; /* times out after 50 ms */
	world->servers[0].on_query = reply_late;
	join(world, 0, NAME, 1);
	wait_first(world);
	assert_answered(world, 9);
	assert_true(world->servers[0].n_udp >= 2);
	assert_true(io_count(&world->io, COUNT_UPSTREAM_TIMEOUTS) >= 1);
	/* What was learnt: wait longer the next time. */
	assert_true(server_timeout_ns(server_of(world, 0), 0) > 100 * NS_PER_MS);
}

static void an_answer_that_comes_twice_harms_nothing(void **state)
{
	struct world *world = *state;

	begin(world, 1);
	late_ms = 1;
	late_times = 3;
	n_lates = 0;
	world->servers[0].on_query = reply_late;
	for (int i = 0; i < 3; i++) {
		world->waiting[0].n_done = 0;
		join(world, 0, NAME, 1);
		wait_first(world);
		assert_answered(world, 9);
	}
	io_run_ms(&world->io, 20);
	assert_int_equal(world->waiting[0].n_done, 1);
	assert_int_equal(world->waiting[0].n_asked, 3);
}

/* ---- sockets that serve again ---- */

static struct {
	uint16_t port; /* network order, as it came */
	unsigned int n;
} ports[2048];
static unsigned int n_ports, n_asked;

static void note_port(struct fake *fake, struct fake_conn *conn, const uint8_t *msg, size_t len,
                      const struct sockaddr_in *from)
{
	unsigned int i = 0;

	assert_null(conn);
	while (i < n_ports && ports[i].port != from->sin_port)
		i++;
	if (i == n_ports) {
		assert_true(n_ports < ARRAY_LEN(ports));
		ports[n_ports].n = 0;
		ports[n_ports++].port = from->sin_port;
	}
	ports[i].n++;
	n_asked++;
	reply_well(fake, conn, msg, len, from);
}

/* One question after the other until so many sockets rest that one of them serves the next. */
static void warm_up(struct world *world)
{
	begin(world, 1);
	world->servers[0].on_query = note_port;
	n_ports = n_asked = 0;
	for (int i = 0; i < UPSTREAM_UDP_CHOICE; i++)
		ask_again(world, NAME);
	assert_int_equal(n_ports, UPSTREAM_UDP_CHOICE);
	assert_int_equal(server_of(world, 0)->udp.n, UPSTREAM_UDP_CHOICE);
}

static void a_socket_serves_again_when_there_is_a_choice(void **state)
{
	struct world *world = *state;
	unsigned int n_before, n_sockets;

	warm_up(world);
	n_before = n_asked;
	for (int i = 0; i < 1500; i++)
		ask_again(world, NAME);
	assert_int_equal(n_asked - n_before, 1500 + io_count(&world->io, COUNT_UPSTREAM_TIMEOUTS));
	/* The kernel may give a port that it had back to another socket: seldom, and once. */
	n_sockets = (unsigned int)io_count(&world->io, COUNT_UPSTREAM_SOCKETS);
	assert_in_range(n_ports, n_sockets - 2, n_sockets);
	/* A full second makes sixteen new ones due, and so do 64 questions of each. */
	assert_in_range(n_ports, 1500 / UPSTREAM_UDP_USES, 500);
	for (unsigned int i = 0; i < n_ports; i++)
		assert_in_range(ports[i].n, 1, UPSTREAM_UDP_USES * (1 + n_sockets - n_ports));
}

static bool four_done(void *ctx)
{
	const struct world *world = ctx;

	for (size_t i = 0; i < N_WAITERS; i++) {
		if (world->waiting[i].n_done == 0)
			return false;
	}
	return true;
}

static void questions_in_flight_never_share_a_socket(void **state)
{
	static const char *const names[N_WAITERS] = { "\1a\4test", "\1b\4test", "\1c\4test",
		                                      "\1d\4test" };
	struct world *world = *state;

	warm_up(world);
	for (int round = 0; round < 50; round++) {
		n_ports = n_asked = 0;
		for (size_t i = 0; i < N_WAITERS; i++) {
			world->waiting[i].n_done = 0;
			join(world, i, names[i], 1);
		}
		io_run(&world->io, four_done, world);
		assert_int_equal(n_asked, N_WAITERS);
		assert_int_equal(n_ports, N_WAITERS);
	}
}

static bool all_hit(void *ctx)
{
	return io_count(&((struct world *)ctx)->io, COUNT_UPSTREAM_MISMATCH) >= UPSTREAM_UDP_CHOICE;
}

static void a_guess_at_a_resting_socket_ends_it(void **state)
{
	struct world *world = *state;
	struct sockaddr_in to = { .sin_family = AF_INET };

	warm_up(world);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (unsigned int i = 0; i < n_ports; i++) {
		to.sin_port = ports[i].port;
		fake_send(&world->servers[0], NULL, &to, (const uint8_t *)"guess", 5);
	}
	io_run(&world->io, all_hit, world);
	assert_int_equal(io_count(&world->io, COUNT_UPSTREAM_MISMATCH), UPSTREAM_UDP_CHOICE);
	assert_int_equal(server_of(world, 0)->udp.n, 0);
	ask_again(world, NAME);
	assert_answered(world, 7);
	assert_int_equal(io_count(&world->io, COUNT_UPSTREAM_SOCKETS), UPSTREAM_UDP_CHOICE + 1);
}

static void guesses_get_one_chance_at_a_socket_that_has_served(void **state)
{
	struct world *world = *state;

	warm_up(world);
	server_of(world, 0)->srtt_us = 0; /* so much takes longer than the answers before it */
	world->servers[0].on_query = spoof;
	ask_again(world, "\5other\7example\4test");
	assert_answered(world, 7);
	assert_int_equal(world->servers[0].n_tcp, 1);
	assert_int_equal(io_count(&world->io, COUNT_UPSTREAM_MISMATCH), 1);
	assert_int_equal(io_count(&world->io, COUNT_UPSTREAM_SOCKETS), UPSTREAM_UDP_CHOICE);
	assert_int_equal(server_of(world, 0)->udp.n, UPSTREAM_UDP_CHOICE - 1);
}

static void an_old_socket_serves_no_more(void **state)
{
	struct world *world = *state;
	struct upstream_udp_pool *pool;

	warm_up(world);
	pool = &server_of(world, 0)->udp;
	for (unsigned int i = 0; i < pool->n; i++)
		pool->resting[i]->opened_ns -= UPSTREAM_UDP_LIFE_MS * NS_PER_MS;
	ask_again(world, NAME);
	/* A drawn one was found old and closed, and with it there was no choice any more. */
	assert_int_equal(io_count(&world->io, COUNT_UPSTREAM_SOCKETS), UPSTREAM_UDP_CHOICE + 1);
	assert_int_equal(n_ports, UPSTREAM_UDP_CHOICE + 1);
	pool->timer.fire(&pool->timer);
	assert_int_equal(pool->n, 1);
	/* With nothing asked the last one goes, too. */
	pool->resting[0]->opened_ns -= UPSTREAM_UDP_LIFE_MS * NS_PER_MS;
	pool->timer.fire(&pool->timer);
	assert_int_equal(pool->n, 0);
}

/* One record more than an RRset may have, of a type that nobody knows. */
static void pile(struct fake *fake, struct fake_conn *conn, const uint8_t *msg, size_t len,
                 const struct sockaddr_in *from)
{
	uint8_t out[4096];
	size_t at = fake_empty(msg, len, 0, false, out);

	for (unsigned int i = 0; i <= LIMIT_RRSET_RECORDS; i++) {
		const uint8_t rr[] = {
			0xc0, 12, 0xff, 0, 0, 1, 0, 0, 1, 44, 0, 2, (uint8_t)(i >> 8), (uint8_t)i
		};

		memcpy(out + at, rr, sizeof(rr));
		at += sizeof(rr);
	}
	out[6] = (LIMIT_RRSET_RECORDS + 1) >> 8;
	out[7] = (LIMIT_RRSET_RECORDS + 1) & 255;
	fake_send(fake, conn, from, out, at);
}

static void an_answer_over_a_limit_is_told_apart_and_counted(void **state)
{
	struct world *world = *state;

	begin(world, 1);
	world->servers[0].on_query = pile;
	join(world, 0, NAME, 0xff00);
	wait_first(world);
	assert_int_equal(world->waiting[0].status, FETCH_OVERSIZE);
	assert_true(io_count(&world->io, COUNT_LIMIT_UPSTREAM_MESSAGE) > 0);
	assert_int_equal(io_count(&world->io, COUNT_UPSTREAM_MALFORMED), 0);
	assert_int_equal(io_count(&world->io, COUNT_UPSTREAM_FAILED), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(a_near_miss_or_truncation_moves_the_question_to_tcp),
		WORLD_TEST(ten_thousand_guesses_get_one_chance),
		WORLD_TEST(a_late_answer_is_still_an_answer),
		WORLD_TEST(an_answer_that_comes_twice_harms_nothing),
		WORLD_TEST(a_socket_serves_again_when_there_is_a_choice),
		WORLD_TEST(questions_in_flight_never_share_a_socket),
		WORLD_TEST(a_guess_at_a_resting_socket_ends_it),
		WORLD_TEST(guesses_get_one_chance_at_a_socket_that_has_served),
		WORLD_TEST(an_old_socket_serves_no_more),
		WORLD_TEST(an_answer_over_a_limit_is_told_apart_and_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
