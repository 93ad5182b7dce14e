/* tests/unit/resolver_io/io_fetch.c - what upstreams may do to a question: nothing but delay it. */
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fetch.h"
#include "harness.h"
#include "sallyport/err.h"
#include "server.h"

#define NAME "\3www\7example\4test"
#define N_WAITERS 4

struct waiting {
	struct fetch_waiter waiter;
	bool yes; /* may the name be sent? */
	unsigned int n_asked, n_done;
	enum fetch_status status;
	size_t n_entries;
	uint8_t kind;
	uint16_t rcode;
	uint8_t last; /* last octet of the address */
	uint16_t upstream_port;
};

struct world {
	struct io io;
	struct fake servers[2];
	struct waiting waiting[N_WAITERS];
};

static bool on_may_send(struct fetch_waiter *waiter)
{
	struct waiting *w = (struct waiting *)waiter;

	w->n_asked++;
	return w->yes;
}

static void on_done(struct fetch_waiter *waiter, enum fetch_status status,
                    struct entry *const *entries, size_t n_entries)
{
	struct waiting *w = (struct waiting *)waiter;

	w->n_done++;
	w->status = status;
	w->n_entries = n_entries;
	if (n_entries == 0)
		return;
	w->kind = entries[0]->kind;
	w->rcode = entries[0]->rcode;
	w->upstream_port = entries[0]->upstream_port;
	if (entries[0]->kind == ENTRY_DATA && entries[0]->n_rrs > 0)
		w->last = entry_octets(entries[0])[entry_rrs(entries[0])[0].rdata + 3];
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct resolver_conf *conf = io_conf();

	assert_non_null(world);
	assert_true(sodium_init() >= 0);
	io_init(&world->io, conf, fetches_turn);
	free(conf);
	/* The servers' ports are known only now. */
	fake_init(&world->servers[0], &world->io, 0);
	fake_init(&world->servers[1], &world->io, 0);
	for (size_t i = 0; i < N_WAITERS; i++) {
		world->waiting[i].waiter.may_send = on_may_send;
		world->waiting[i].waiter.done = on_done;
		world->waiting[i].yes = true;
	}
	*state = world;
	return 0;
}

static void begin(struct world *world, uint16_t n_servers)
{
	struct worker *worker = &world->io.worker;
	struct resolver_conf *conf = io_conf();

	conf->n_zones = 1; /* "." */
	conf->zones[0].n_servers = n_servers;
	conf->query_ms = 2400;
	for (uint16_t i = 0; i < n_servers; i++)
		conf->zones[0].servers[i] = fake_server(&world->servers[i]);
	settings_unref(worker->settings);
	worker->settings = settings_new(conf);
	worker->cache = cache_new(conf->cache_bytes, conf->hash_key);
	worker->servers = servers_new(worker->settings, NULL);
	worker->fetches = fetches_new(worker);
	assert_non_null(worker->cache);
	assert_non_null(worker->servers);
	assert_non_null(worker->fetches);
	free(conf);
}

static int teardown(void **state)
{
	struct world *world = *state;
	struct worker *worker = &world->io.worker;

	world->io.turn = NULL;
	fetches_free(worker->fetches);
	servers_free(worker->servers);
	fake_close(&world->servers[0]);
	fake_close(&world->servers[1]);
	io_fini(&world->io);
	if (worker->cache)
		cache_free(worker->cache);
	free(world);
	return 0;
}

static void join(struct world *world, size_t i, const char *name, uint16_t type)
{
	assert_int_equal(fetch_join(&world->io.worker, (const uint8_t *)name, type, 0,
	                            &world->waiting[i].waiter),
	                 0);
}

static bool first_done(void *ctx)
{
	return ((struct world *)ctx)->waiting[0].n_done > 0;
}

static void wait_first(struct world *world)
{
	io_run(&world->io, first_done, world);
	assert_int_equal(world->waiting[0].n_done, 1);
}

static struct server *server_of(struct world *world, size_t i)
{
	struct server *const *list;

	assert_true(servers_of_zone(world->io.worker.servers, 0, &list) > i);
	return list[i];
}

static void reply_well(struct fake *fake, struct fake_conn *conn, const uint8_t *msg, size_t len,
                       const struct sockaddr_in *from)
{
	uint8_t out[600];

	fake_send(fake, conn, from, out, fake_answer(msg, len, 7, out, sizeof(out)));
}

static void assert_answered(const struct world *world, uint8_t last)
{
	assert_int_equal(world->waiting[0].status, FETCH_OK);
	assert_int_equal(world->waiting[0].kind, ENTRY_DATA);
	assert_int_equal(world->waiting[0].last, last);
}

static bool cached(struct world *world, enum cache_hit want)
{
	struct entry *entry = NULL;
	enum cache_hit hit = cache_get(world->io.worker.cache, (const uint8_t *)NAME, 1,
	                               world->io.worker.now_ns, &entry);

	entry_unref(entry);
	return hit == want;
}

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
			teardown(state);
			setup(state);
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
	server_of(world, 0)->srtt_us = 1000;
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
	on_done(waiter, status, entries, n_entries);
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
	assert_int_equal(world->waiting[0].n_done, 0);
	assert_int_equal(world->servers[0].n_udp, 1);
	assert_int_equal(fetches_in_flight(&world->io.worker), 0);
}

static void done_cancels_others(struct fetch_waiter *waiter, enum fetch_status status,
                                struct entry *const *entries, size_t n_entries)
{
	on_done(waiter, status, entries, n_entries);
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
		all[n].waiter.may_send = on_may_send;
		all[n].waiter.done = on_done;
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
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(an_answer_reaches_every_waiter_and_the_cache),
		TEST(the_message_is_built_from_nothing),
		TEST(a_near_miss_or_truncation_moves_the_question_to_tcp),
		TEST(ten_thousand_guesses_get_one_chance),
		TEST(a_malformed_answer_sends_us_to_the_next_server),
		TEST(a_server_that_says_no_is_asked_once),
		TEST(one_no_is_healed_by_another_yes),
		TEST(a_late_answer_is_still_an_answer),
		TEST(an_answer_that_comes_twice_harms_nothing),
		TEST(silence_ends_in_a_failure_within_the_deadline),
		TEST(a_dead_server_is_left_alone_and_found_again),
		TEST(a_closed_port_fails_at_once),
		TEST(whatever_tcp_does_costs_one_question),
		TEST(tcp_one_octet_at_a_time_is_read),
		TEST(tcp_never_ending_is_given_up),
		TEST(tcp_questions_share_a_connection_and_answers_find_theirs),
		TEST(a_name_that_may_not_leave_is_not_sent),
		TEST(a_policy_switch_stops_every_further_send),
		TEST(connecting_does_not_outlive_the_permission),
		TEST(who_leaves_is_not_told_and_nothing_more_is_sent),
		TEST(a_waiter_may_cancel_others_while_it_is_told),
		TEST(changed_zones_move_what_is_in_flight),
		TEST(the_number_of_questions_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
