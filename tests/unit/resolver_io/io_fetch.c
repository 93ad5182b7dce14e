/* tests/unit/resolver_io/io_fetch.c - what upstreams may do to a question: nothing but delay it. */
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fetch_world.h"

static void an_answer_reaches_every_waiter_and_the_cache(void **state)
{
	struct world *world = *state;

	begin(world, 1);
	world->servers[0].on_query = reply_well;
	for (size_t i = 0; i < N_WAITERS; i++)
		join(world, i, NAME, 1);
	assert_int_equal(world->waiting[0].n_done, 0); /* never from within */
	wait_first(world);
	assert_answered(world, 7);
	assert_int_equal(world->waiting[0].upstream_port, world->servers[0].port);
	for (size_t i = 1; i < N_WAITERS; i++)
		assert_int_equal(world->waiting[i].n_done, 1);
	assert_int_equal(world->servers[0].n_udp, 1);
	assert_true(cached(world, CACHE_FRESH));
	assert_int_equal(fetches_in_flight(&world->io.worker), 0);
}

static uint8_t seen[8][600];
static size_t seen_len[8], n_seen;

static void look(struct fake *fake, struct fake_conn *conn, const uint8_t *msg, size_t len,
                 const struct sockaddr_in *from)
{
	if (n_seen < 8) {
		memcpy(seen[n_seen], msg, len);
		seen_len[n_seen++] = len;
	}
	reply_well(fake, conn, msg, len, from);
}

static void the_message_is_built_from_nothing(void **state)
{
	struct world *world = *state;
	static const uint8_t opt[11] = { 0, 0, 41, 0x04, 0xd0, 0, 0, 0x80, 0, 0, 0 };
	bool ids_differ = false, case_differs = false;

	n_seen = 0;
	begin(world, 1);
	world->servers[0].on_query = look;
	for (size_t i = 0; i < 4; i++) {
		world->waiting[0].n_done = 0;
		join(world, 0, NAME, 1);
		wait_first(world);
	}
	for (size_t i = 0; i < 4; i++) {
		const uint8_t *m = seen[i];
		static const uint8_t head[10] = { 1, 0, 0, 1, 0, 0, 0, 0, 0, 1 };
		uint8_t lower[32];

		assert_int_equal(seen_len[i], 12 + sizeof(NAME) + 4 + 11);
		assert_memory_equal(m + 2, head, sizeof(head));
		name_lower(lower, m + 12, sizeof(NAME));
		assert_memory_equal(lower, NAME, sizeof(NAME));
		assert_memory_equal(m + seen_len[i] - 11, opt, sizeof(opt));
		ids_differ = ids_differ || memcmp(m, seen[0], 2) != 0;
		case_differs = case_differs || memcmp(m + 12, seen[0] + 12, sizeof(NAME)) != 0;
	}
	/* Four equal draws of 16 and 14 bits: once in 10^14 runs. */
	assert_true(ids_differ);
	assert_true(case_differs);
}

static void garbage(struct fake *fake, struct fake_conn *conn, const uint8_t *msg, size_t len,
                    const struct sockaddr_in *from)
{
	uint8_t out[600];
	size_t n = fake_answer(msg, len, 66, out, sizeof(out));

	out[7] = 9; /* counts nine records, holds one */
	fake_send(fake, conn, from, out, n);
}

static void a_malformed_answer_sends_us_to_the_next_server(void **state)
{
	struct world *world = *state;

	begin(world, 2);
	server_of(world, 0)->srtt_us = 1000; /* the first choice */
	server_of(world, 1)->srtt_us = 2000;
	world->servers[0].on_query = garbage;
	world->servers[1].on_query = reply_well;
	for (int i = 0; i < 20; i++) {
		world->waiting[0].n_done = 0;
		server_of(world, 0)->srtt_us = 1000;
		server_of(world, 1)->srtt_us = 2000;
		assert_false(server_of(world, 0)->dead); /* it only babbles */
		join(world, 0, NAME, 1);
		wait_first(world);
		assert_answered(world, 7);
	}
	assert_true(io_count(&world->io, COUNT_UPSTREAM_MALFORMED) > 10);
}

static void refuse(struct fake *fake, struct fake_conn *conn, const uint8_t *msg, size_t len,
                   const struct sockaddr_in *from)
{
	uint8_t out[600];

	fake_send(fake, conn, from, out,
	          fake_empty(msg, len, (uint8_t)(uintptr_t)fake->ctx, false, out));
}

static void a_server_that_says_no_is_asked_once(void **state)
{
	struct world *world = *state;

	for (uint8_t rcode = 1; rcode <= 5; rcode++) {
		if (rcode == 3)
			continue; /* NXDOMAIN is an answer */
		if (rcode > 1) {
			world_teardown(state);
			world_setup(state);
			world = *state;
		}
		begin(world, 2);
		world->servers[0].ctx = world->servers[1].ctx = (void *)(uintptr_t)rcode;
		world->servers[0].on_query = world->servers[1].on_query = refuse;
		join(world, 0, NAME, 1);
		wait_first(world);
		assert_int_equal(world->waiting[0].status, FETCH_FAILED);
		assert_int_equal(world->waiting[0].kind, ENTRY_FAILURE);
		assert_int_equal(world->waiting[0].rcode, rcode);
		assert_int_equal(world->servers[0].n_udp, 1);
		assert_int_equal(world->servers[1].n_udp, 1);
	}
}

static void one_no_is_healed_by_another_yes(void **state)
{
	struct world *world = *state;

	begin(world, 2);
	world->servers[0].ctx = (void *)(uintptr_t)2;
	world->servers[0].on_query = refuse;
	world->servers[1].on_query = reply_well;
	join(world, 0, NAME, 1);
	wait_first(world);
	assert_answered(world, 7);
}

/* RFC 6891, section 6.1.3: with what OPT says it is none of the RCODEs that its header says. */
static void refuse_in_opt(struct fake *fake, struct fake_conn *conn, const uint8_t *msg, size_t len,
                          const struct sockaddr_in *from)
{
	unsigned int rcode = (unsigned int)(uintptr_t)fake->ctx;
	const uint8_t opt[11] = { 0, 0, 41, 0x04, 0xd0, (uint8_t)(rcode >> 4) };
	uint8_t out[600];
	size_t n = fake_empty(msg, len, rcode & 15, false, out);

	out[11] = 1;
	memcpy(out + n, opt, sizeof(opt));
	fake_send(fake, conn, from, out, n + sizeof(opt));
}

static void an_extended_no_is_healed_by_another_yes(void **state)
{
	/* BADVERS, BADMODE, BADTRUNC (their low bits: NOERROR, NXDOMAIN, YXDOMAIN), BADCOOKIE */
	static const unsigned int rcodes[] = { 16, 19, 22, 23 };

	for (size_t i = 0; i < ARRAY_LEN(rcodes); i++) {
		struct world *world;

		if (i > 0) {
			world_teardown(state);
			world_setup(state);
		}
		world = *state;
		begin(world, 2);
		server_of(world, 0)->srtt_us = 1000; /* the first choice */
		server_of(world, 1)->srtt_us = 2000;
		world->servers[0].ctx = (void *)(uintptr_t)rcodes[i];
		world->servers[0].on_query = refuse_in_opt;
		world->servers[1].on_query = reply_well;
		join(world, 0, NAME, 1);
		wait_first(world);
		assert_answered(world, 7);
		assert_int_equal(world->servers[0].n_udp, 1);
		assert_false(server_of(world, 0)->dead);
	}
}

static void silence_ends_in_a_failure_within_the_deadline(void **state)
{
	struct world *world = *state;
	uint64_t began;

	begin(world, 1);
	server_of(world, 0)->srtt_us = 1000;
	join(world, 0, NAME, 1);
	began = clock_mono_ns();
	wait_first(world);
	assert_int_equal(world->waiting[0].status, FETCH_FAILED);
	assert_int_equal(world->waiting[0].kind, ENTRY_FAILURE);
	assert_int_equal(world->waiting[0].rcode, 2);
	assert_true(clock_mono_ns() - began < 2400 * NS_PER_MS);
	assert_int_equal(world->servers[0].n_udp, LIMIT_UPSTREAM_UDP_TRIES);
	assert_true(cached(world, CACHE_FRESH)); /* RFC 9520: for a while it is not tried again */
}

static void a_dead_server_is_left_alone_and_found_again(void **state)
{
	struct world *world = *state;
	struct server *server;

	begin(world, 2);
	server = server_of(world, 0);
	server->srtt_us = 1000;
	server_of(world, 1)->srtt_us = 2000;
	world->servers[1].on_query = reply_well;
	/* Silent: it dies of three questions. */
	for (int i = 0; i < 20 && !server->dead; i++) {
		server_of(world, 1)->srtt_us = 200000; /* so that the other is asked first */
		world->waiting[0].n_done = 0;
		join(world, 0, NAME, 1);
		wait_first(world);
		assert_answered(world, 7);
	}
	assert_true(server->dead);
	world->servers[0].n_udp = 0;
	for (int i = 0; i < 50; i++) {
		world->waiting[0].n_done = 0;
		join(world, 0, NAME, 1);
		wait_first(world);
	}
	assert_true(world->servers[0].n_udp <= 1); /* fifty quick questions: one probe at most */

	/* It lives again; a probe finds that out while the other one answers. */
	world->servers[0].on_query = reply_well;
	server->probe_ns = 0;
	world->servers[1].on_query = NULL;
	world->waiting[0].n_done = 0;
	join(world, 0, NAME, 1);
	wait_first(world);
	assert_answered(world, 7);
	assert_false(server->dead);
	assert_int_equal(world->waiting[0].upstream_port, world->servers[0].port);
}

static void a_closed_port_fails_at_once(void **state)
{
	struct world *world = *state;
	uint16_t port;
	uint64_t began;

	begin(world, 1);
	port = world->servers[0].port;
	fake_close(&world->servers[0]);
	join(world, 0, NAME, 1);
	began = clock_mono_ns();
	wait_first(world);
	assert_int_equal(world->waiting[0].status, FETCH_FAILED);
	assert_true(clock_mono_ns() - began < 300 * NS_PER_MS);
	/* And when it is back, the next question is answered. */
	fake_init(&world->servers[0], &world->io, port);
	world->servers[0].on_query = reply_well;
	world->waiting[0].n_done = 0;
	join(world, 0, "\5other\7example\4test", 1);
	wait_first(world);
	assert_answered(world, 7);
}

static void a_name_that_may_not_leave_is_not_sent(void **state)
{
	struct world *world = *state;

	begin(world, 1);
	world->servers[0].on_query = reply_well;
	world->waiting[0].yes = false;
	join(world, 0, NAME, 1);
	assert_int_equal(world->waiting[0].n_done, 0);
	wait_first(world);
	assert_int_equal(world->waiting[0].status, FETCH_DENIED);
	io_run_ms(&world->io, 20);
	assert_int_equal(world->servers[0].n_udp, 0);
	assert_int_equal(io_count(&world->io, COUNT_UPSTREAM_QUERIES), 0);
}

static void tell_no_then_truncate(struct fake *fake, struct fake_conn *conn, const uint8_t *msg,
                                  size_t len, const struct sockaddr_in *from)
{
	struct world *world = fake->ctx;
	uint8_t out[600];

	assert_null(conn);
	world->waiting[0].yes = false;
	fake_send(fake, NULL, from, out, fake_empty(msg, len, 0, true, out));
}

static void a_policy_switch_stops_every_further_send(void **state)
{
	struct world *world = *state;

	/* Between UDP and TCP. */
	begin(world, 1);
	world->servers[0].ctx = world;
	world->servers[0].on_query = tell_no_then_truncate;
	join(world, 0, NAME, 1);
	wait_first(world);
	assert_int_equal(world->waiting[0].status, FETCH_DENIED);
	io_run_ms(&world->io, 20);
	assert_int_equal(world->servers[0].n_tcp, 0);

	/* Between a timeout and the next try; who still may, gets the answer. */
	world->servers[0].on_query = NULL;
	world->servers[0].n_udp = 0;
	server_of(world, 0)->srtt_us = 300000; /* so much later: a busy machine is late, too */
	world->waiting[0].n_done = 0;
	world->waiting[0].yes = true;
	join(world, 0, NAME, 1);
	join(world, 1, NAME, 1);
	io_run_ms(&world->io, 10);
	world->waiting[0].yes = false;
	world->servers[0].on_query = reply_well;
	wait_first(world);
	assert_int_equal(world->waiting[0].status, FETCH_DENIED);
	world->waiting[0].n_done = 0;
	while (!world->waiting[1].n_done)
		io_run_ms(&world->io, 5);
	assert_int_equal(world->waiting[1].status, FETCH_OK);
	assert_int_equal(world->servers[0].n_udp, 2);
}

static struct world *the_world;

static void done_ends_the_other_permission(struct fetch_waiter *waiter, enum fetch_status status,
                                           struct entry *const *entries, size_t n_entries)
{
	world_done(waiter, status, entries, n_entries);
	the_world->waiting[1].yes = false;
}

static void connecting_does_not_outlive_the_permission(void **state)
{
	struct world *world = *state;

	begin(world, 1);
	world->servers[0].on_query = tell_no_then_truncate;
	world->servers[0].ctx = world;
	/* The second waiter keeps the fetch alive through the switch to TCP, and loses its
	 * permission before the connection is there. */
	the_world = world;
	world->waiting[0].waiter.done = done_ends_the_other_permission;
	join(world, 0, NAME, 1);
	join(world, 1, NAME, 1);
	while (!world->waiting[1].n_done)
		io_run_ms(&world->io, 5);
	assert_int_equal(world->waiting[0].status, FETCH_DENIED);
	assert_int_equal(world->waiting[1].status, FETCH_DENIED);
	io_run_ms(&world->io, 20);
	assert_int_equal(world->servers[0].n_tcp, 0);
}

static void who_leaves_is_not_told_and_nothing_more_is_sent(void **state)
{
	struct world *world = *state;

	begin(world, 1);
	server_of(world, 0)->srtt_us = 1000;
	join(world, 0, NAME, 1);
	fetch_cancel(&world->waiting[0].waiter);
	fetch_cancel(&world->waiting[0].waiter); /* harmless */
	io_run_ms(&world->io, 150);
	while (fetches_in_flight(&world->io.worker) > 0)
		io_run_ms(&world->io, 5);
	assert_int_equal(world->waiting[0].n_done, 0);
	assert_int_equal(world->servers[0].n_udp, 1);
}

static void done_cancels_others(struct fetch_waiter *waiter, enum fetch_status status,
                                struct entry *const *entries, size_t n_entries)
{
	world_done(waiter, status, entries, n_entries);
	for (size_t i = 0; i < N_WAITERS; i++)
		fetch_cancel(&the_world->waiting[i].waiter);
}

static void a_waiter_may_cancel_others_while_it_is_told(void **state)
{
	struct world *world = *state;
	unsigned int told = 0;

	the_world = world;
	begin(world, 1);
	world->servers[0].on_query = reply_well;
	for (size_t i = 0; i < N_WAITERS; i++) {
		world->waiting[i].waiter.done = done_cancels_others;
		join(world, i, NAME, 1);
	}
	io_run_ms(&world->io, 50);
	for (size_t i = 0; i < N_WAITERS; i++)
		told += world->waiting[i].n_done;
	assert_int_equal(told, 1);
}

static void changed_zones_move_what_is_in_flight(void **state)
{
	struct world *world = *state;
	struct worker *worker = &world->io.worker;
	struct resolver_conf *conf = io_conf();
	struct servers *old;

	begin(world, 1); /* server 0, silent */
	join(world, 0, NAME, 1);
	world->servers[1].on_query = reply_well;
	conf->n_zones = 2;
	memcpy(conf->zones[1].name, "\4test", 6);
	conf->zones[1].n_servers = 1;
	conf->zones[1].servers[0] = fake_server(&world->servers[1]);
	settings_unref(worker->settings);
	worker->settings = settings_new(conf);
	free(conf);
	old = worker->servers;
	worker->servers = servers_new(worker->settings, old);
	servers_free(old);
	fetches_zones_changed(worker);
	wait_first(world);
	assert_answered(world, 7);
	assert_int_equal(world->waiting[0].upstream_port, world->servers[1].port);
}

static void the_number_of_questions_is_bounded(void **state)
{
	struct world *world = *state;
	struct waiting *all = calloc(LIMIT_UPSTREAM_FETCHES + 1, sizeof(*all));
	struct waiting proto = { .yes = false };
	int r = 0;
	size_t n = 0;

	assert_non_null(all);
	begin(world, 1);
	/* Denied at once, so no socket is needed, but in flight until they are told. */
	for (; n <= LIMIT_UPSTREAM_FETCHES && r == 0; n++) {
		char name[16];

		all[n] = proto;
		all[n].waiter.may_send = world_may_send;
		all[n].waiter.done = world_done;
		snprintf(name, sizeof(name), "\5%05zu\4test", n);
		r = fetch_join(&world->io.worker, (const uint8_t *)name, 1, 0, &all[n].waiter);
	}
	assert_int_equal(r, ERR_LIMIT);
	assert_int_equal(n - 1, LIMIT_UPSTREAM_FETCHES);
	assert_int_equal(io_count(&world->io, COUNT_LIMIT_UPSTREAM), 1);
	fetches_turn(&world->io.worker);
	assert_int_equal(fetches_in_flight(&world->io.worker), 0);
	assert_int_equal(all[0].n_done, 1);
	free(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(an_answer_reaches_every_waiter_and_the_cache),
		WORLD_TEST(the_message_is_built_from_nothing),
		WORLD_TEST(a_malformed_answer_sends_us_to_the_next_server),
		WORLD_TEST(a_server_that_says_no_is_asked_once),
		WORLD_TEST(one_no_is_healed_by_another_yes),
		WORLD_TEST(an_extended_no_is_healed_by_another_yes),
		WORLD_TEST(silence_ends_in_a_failure_within_the_deadline),
		WORLD_TEST(a_dead_server_is_left_alone_and_found_again),
		WORLD_TEST(a_closed_port_fails_at_once),
		WORLD_TEST(a_name_that_may_not_leave_is_not_sent),
		WORLD_TEST(a_policy_switch_stops_every_further_send),
		WORLD_TEST(connecting_does_not_outlive_the_permission),
		WORLD_TEST(who_leaves_is_not_told_and_nothing_more_is_sent),
		WORLD_TEST(a_waiter_may_cancel_others_while_it_is_told),
		WORLD_TEST(changed_zones_move_what_is_in_flight),
		WORLD_TEST(the_number_of_questions_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
