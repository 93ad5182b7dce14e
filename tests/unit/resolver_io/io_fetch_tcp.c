/* tests/unit/resolver_io/io_fetch_tcp.c - an upstream asked by TCP does what it wants to. */
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fetch_world.h"

typedef void tcp_answer_fn(struct fake_conn *conn, const uint8_t *msg, size_t len);

/* ctx: a pointer to a pointer to the function for TCP, or NULL. */
static void truncate_udp(struct fake *fake, struct fake_conn *conn, const uint8_t *msg, size_t len,
                         const struct sockaddr_in *from)
{
	uint8_t out[600];

	if (!conn)
		fake_send(fake, NULL, from, out, fake_empty(msg, len, 0, true, out));
	else if (fake->ctx)
		(*(tcp_answer_fn *const *)fake->ctx)(conn, msg, len);
}

static void tcp_truncated(struct fake_conn *conn, const uint8_t *msg, size_t len)
{
	uint8_t out[600];

	fake_send(conn->fake, conn, NULL, out, fake_empty(msg, len, 0, true, out));
}

static void tcp_hang_up(struct fake_conn *conn, const uint8_t *msg, size_t len)
{
	(void)msg;
	(void)len;
	fake_hang_up(conn);
}

static void tcp_half_then_hang_up(struct fake_conn *conn, const uint8_t *msg, size_t len)
{
	uint8_t out[600] = { 0 };
	size_t n = fake_answer(msg, len, 66, out + 2, sizeof(out) - 2);

	out[1] = (uint8_t)n;
	fake_send_raw(conn, out, n - 3);
	fake_hang_up(conn);
}

static void tcp_wrong_question(struct fake_conn *conn, const uint8_t *msg, size_t len)
{
	uint8_t out[600];
	size_t n = fake_answer(msg, len, 66, out, sizeof(out));

	out[14] = '-';
	fake_send(conn->fake, conn, NULL, out, n);
}

static void tcp_babble(struct fake_conn *conn, const uint8_t *msg, size_t len)
{
	uint8_t out[600];
	size_t n = fake_answer(msg, len, 66, out, sizeof(out));

	for (int i = 0; i < 100; i++) {
		out[0] = (uint8_t)~msg[0];
		fake_send(conn->fake, conn, NULL, out, n);
	}
}

static const struct {
	const char *title;
	tcp_answer_fn *answer;
} tcp_faults[] = {
	{ "truncated by TCP, too", tcp_truncated },
	{ "closes instead of answering", tcp_hang_up },
	{ "closes in the middle", tcp_half_then_hang_up },
	{ "answers another question", tcp_wrong_question },
	{ "answers a hundred questions that nobody asked", tcp_babble },
};

static void whatever_tcp_does_costs_one_question(void **state)
{
	struct world *world = *state;

	begin(world, 1);
	world->servers[0].on_query = truncate_udp;
	for (size_t i = 0; i < ARRAY_LEN(tcp_faults); i++) {
		tcp_answer_fn *answer = tcp_faults[i].answer;

		world->servers[0].ctx = &answer;
		world->servers[0].on_query = truncate_udp;
		world->waiting[0].n_done = 0;
		join(world, 0, NAME, 1);
		wait_first(world);
		if (world->waiting[0].status != FETCH_FAILED ||
		    fetches_in_flight(&world->io.worker) != 0)
			fail_msg("%s: status %d", tcp_faults[i].title,
			         (int)world->waiting[0].status);
		/* The next question is none the worse for it. */
		world->servers[0].on_query = reply_well;
		world->waiting[0].n_done = 0;
		join(world, 0, NAME, 1);
		wait_first(world);
		if (world->waiting[0].status != FETCH_OK)
			fail_msg("after \"%s\": status %d", tcp_faults[i].title,
			         (int)world->waiting[0].status);
	}
}

/* One octet a millisecond. */
static struct {
	uv_timer_t timer;
	struct fake_conn *conn;
	uint8_t out[600];
	size_t at, len;
} drip;

static void on_drip(uv_timer_t *timer)
{
	fake_send_raw(drip.conn, drip.out + drip.at, 1);
	if (++drip.at == drip.len)
		uv_close((uv_handle_t *)timer, NULL);
}

static void tcp_drip(struct fake_conn *conn, const uint8_t *msg, size_t len)
{
	size_t n = fake_answer(msg, len, 7, drip.out + 2, sizeof(drip.out) - 2);

	drip.out[0] = 0;
	drip.out[1] = (uint8_t)n;
	drip.len = n + 2;
	drip.at = 0;
	drip.conn = conn;
	uv_timer_init(&conn->fake->io->worker.loop, &drip.timer);
	uv_timer_start(&drip.timer, on_drip, 1, 1);
}

static void tcp_one_octet_at_a_time_is_read(void **state)
{
	struct world *world = *state;
	tcp_answer_fn *answer = tcp_drip;

	begin(world, 1);
	world->servers[0].on_query = truncate_udp;
	world->servers[0].ctx = &answer;
	join(world, 0, NAME, 1);
	wait_first(world);
	assert_answered(world, 7);
	assert_int_equal(io_count(&world->io, COUNT_UPSTREAM_TCP), 1);
}

static void tcp_never_ending_is_given_up(void **state)
{
	struct world *world = *state;

	begin(world, 1);                           /* 1.8 s for a fetch */
	world->servers[0].on_query = truncate_udp; /* and by TCP nothing */
	join(world, 0, NAME, 1);
	wait_first(world);
	assert_int_equal(world->waiting[0].status, FETCH_FAILED);
	/* The connection that kept us waiting takes no more questions. */
	io_run_ms(&world->io, 50);
	assert_int_equal(server_of(world, 0)->n_conns, 0);
}

static void answer_backwards(struct fake *fake, struct fake_conn *conn, const uint8_t *msg,
                             size_t len, const struct sockaddr_in *from)
{
	static uint8_t kept[N_WAITERS][600];
	static size_t kept_len[N_WAITERS], n;
	uint8_t out[600];

	if (!conn) {
		fake_send(fake, NULL, from, out, fake_empty(msg, len, 0, true, out));
		n = 0;
		return;
	}
	memcpy(kept[n], msg, len);
	kept_len[n++] = len;
	if (n < N_WAITERS)
		return;
	while (n-- > 0) {
		/* The first letter of the name is the address. */
		uint8_t last = (uint8_t)(kept[n][13] | 32);

		fake_send(fake, conn, NULL, out,
		          fake_answer(kept[n], kept_len[n], last, out, sizeof(out)));
	}
}

static bool all_done(void *ctx)
{
	const struct world *world = ctx;

	for (size_t i = 0; i < N_WAITERS; i++) {
		if (!world->waiting[i].n_done)
			return false;
	}
	return true;
}

static void tcp_questions_share_a_connection_and_answers_find_theirs(void **state)
{
	struct world *world = *state;
	static const char *const names[N_WAITERS] = { "\1a\4test", "\1b\4test", "\1c\4test",
		                                      "\1d\4test" };

	begin(world, 1);
	world->servers[0].on_query = answer_backwards;
	for (size_t i = 0; i < N_WAITERS; i++)
		join(world, i, names[i], 1);
	io_run(&world->io, all_done, world);
	for (size_t i = 0; i < N_WAITERS; i++)
		assert_int_equal(world->waiting[i].last, names[i][1]);
	assert_int_equal(world->servers[0].n_conns, 1);
}

static void truncate_udp_then_reply(struct fake *fake, struct fake_conn *conn, const uint8_t *msg,
                                    size_t len, const struct sockaddr_in *from)
{
	if (conn)
		reply_well(fake, conn, msg, len, from);
	else
		truncate_udp(fake, NULL, msg, len, from);
}

/* A new configuration with other zones: a server that it names, too, keeps its connections. */
static void changed_zones_keep_the_connections_of_servers_that_stay(void **state)
{
	struct world *world = *state;
	struct worker *worker = &world->io.worker;
	struct resolver_conf *conf = calloc(1, sizeof(*conf));
	struct servers *old;

	begin(world, 2);
	for (size_t i = 0; i < 2; i++)
		world->servers[i].on_query = truncate_udp_then_reply;
	for (size_t i = 0; i < 2; i++) {
		server_of(world, i)->srtt_us = 1;
		server_of(world, i)->rttvar_us = 1000000; /* it is waited for on a slow machine, too */
		server_of(world, 1 - i)->srtt_us = 100000;
		ask_again(world, i ? "\5other\4test" : NAME);
		assert_answered(world, 7);
		assert_int_equal(server_of(world, i)->n_conns, 1);
	}
	/* The second one goes, the first is named twice. */
	*conf = worker->settings->conf;
	conf->zones[0].n_servers = 1;
	conf->n_zones = 2;
	conf->zones[1] = conf->zones[0];
	memcpy(conf->zones[1].name, "\4test", 6);
	settings_unref(worker->settings);
	worker->settings = settings_new(conf);
	free(conf);
	old = worker->servers;
	worker->servers = servers_new(worker->settings, old);
	servers_free(old);
	fetches_zones_changed(worker);
	assert_int_equal(server_of(world, 0)->n_conns, 1);
	ask_again(world, NAME);
	assert_answered(world, 7);
	assert_int_equal(world->servers[0].n_conns, 1);
	assert_int_equal(world->servers[0].n_tcp, 2);
	assert_int_equal(io_count(&world->io, COUNT_UPSTREAM_TCP), 3);
	io_run_ms(&world->io, 20);
	assert_null(world->servers[1].conns); /* the other's has been closed */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(whatever_tcp_does_costs_one_question),
		WORLD_TEST(tcp_one_octet_at_a_time_is_read),
		WORLD_TEST(tcp_never_ending_is_given_up),
		WORLD_TEST(tcp_questions_share_a_connection_and_answers_find_theirs),
		WORLD_TEST(changed_zones_keep_the_connections_of_servers_that_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
