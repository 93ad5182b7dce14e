/* tests/unit/resolver_query/query_pinhole_client.c - batches, deadlines, and a fwsync that says
 * anything in any order. */
#include "pinhole_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "rig.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"

struct asking {
	struct pinhole_ask ask;
	uint8_t src[ADDR_LEN], dst[ADDR_LEN];
	struct pinhole_port port;
	unsigned int times;
	enum pinhole_status status;
};

static void on_done(struct pinhole_ask *ask, enum pinhole_status status, uint32_t detail,
                    uint64_t epoch)
{
	struct asking *a = (struct asking *)(void *)ask;

	(void)detail;
	(void)epoch;
	a->times++;
	a->status = status;
}

static int ask_for(struct rig *rig, struct asking *a, uint32_t workload)
{
	memset(a, 0, sizeof(*a));
	assert_int_equal(addr_parse("10.1.0.2", a->src), 0);
	assert_int_equal(addr_parse("192.0.2.1", a->dst), 0);
	a->port = (struct pinhole_port){ PINHOLE_KIND_PORT, 6, 443 };
	a->ask.done = on_done;
	a->ask.request = (struct pinhole_request){ .policy_version = 1,
		                                   .workload = workload,
		                                   .life_s = 60,
		                                   .n_src = 1,
		                                   .n_dst = 1,
		                                   .n_ports = 1 };
	a->ask.view = (struct pinhole_view){ .src = (const uint8_t(*)[ADDR_LEN]) & a->src,
		                             .dst = (const uint8_t(*)[ADDR_LEN]) & a->dst,
		                             .ports = &a->port };
	return pinhole_ask(&rig->worker, &a->ask);
}

static int ask(struct rig *rig, struct asking *a)
{
	return ask_for(rig, a, 0);
}

/* The next batch on fwsync's side: its number and how many requests; 0: none. */
static uint16_t batch(struct rig *rig, uint64_t *ret_seq, uint64_t *ret_deadline_ns)
{
	static _Alignas(8) uint8_t msg[LIMIT_PINHOLE_MESSAGE];
	static struct pinhole_view views[LIMIT_PINHOLE_REQUESTS];
	ssize_t len = recv(rig->fwsync, msg, sizeof(msg), MSG_DONTWAIT);
	const struct pinhole_batch *head = (const void *)msg;
	uint16_t n;

	if (len < 0)
		return 0;
	assert_int_equal(pinhole_batch_read(msg, (size_t)len, views, &n), 0);
	*ret_seq = head->seq;
	*ret_deadline_ns = head->deadline_ns;
	return n;
}

struct results {
	struct pinhole_results head;
	struct pinhole_result results[LIMIT_PINHOLE_REQUESTS];
};

static void say(struct rig *rig, uint64_t seq, uint16_t n, enum pinhole_status status)
{
	static struct results r;

	r.head = (struct pinhole_results){ PINHOLE_MAGIC, PINHOLE_VERSION, n, seq };
	for (uint16_t i = 0; i < n && i < LIMIT_PINHOLE_REQUESTS; i++)
		r.results[i] = (struct pinhole_result){ status, 0, 7 };
	pinhole_client_result(&rig->worker, &r, sizeof(r.head) + n * sizeof(r.results[0]));
}

static void requests_gather_while_a_batch_is_in_flight(void **state)
{
	struct rig *rig = rig_new(NULL);
	static struct asking a[600];
	uint64_t seq, deadline, first;

	(void)state;
	assert_int_equal(ask(rig, &a[0]), 0);
	assert_int_equal(ask(rig, &a[1]), 0);
	assert_int_equal(batch(rig, &seq, &deadline), 0); /* not before the turn ends */
	pinhole_client_send(&rig->worker);
	assert_int_equal(batch(rig, &first, &deadline), 2);
	assert_int_equal(deadline, rig->worker.now_ns + 250000000);
	for (unsigned int i = 2; i < 600; i++)
		assert_int_equal(ask(rig, &a[i]), 0);
	pinhole_client_send(&rig->worker);
	assert_int_equal(batch(rig, &seq, &deadline), 0);
	say(rig, first, 2, PINHOLE_OPEN);
	assert_int_equal(a[0].status, PINHOLE_OPEN);
	assert_int_equal(a[1].times, 1);
	/* As many as a batch holds, then the rest. */
	for (unsigned int left = 598; left > 0;) {
		unsigned int n = MIN(left, (unsigned int)PINHOLE_CLIENT_BATCH);

		assert_int_equal(batch(rig, &seq, &deadline), n);
		assert_true(seq > first);
		first = seq;
		say(rig, seq, (uint16_t)n,
		    left == 598 - PINHOLE_CLIENT_BATCH ? PINHOLE_FULL : PINHOLE_OPEN);
		left -= n;
	}
	for (unsigned int i = 0; i < 600; i++)
		assert_int_equal(a[i].times, 1);
	assert_int_equal(a[2 + PINHOLE_CLIENT_BATCH].status, PINHOLE_FULL);
	assert_int_equal(rig_count(rig, COUNT_PINHOLE_REQUESTS), 600);
	rig_free(rig);
}

static void who_needs_thousands_keeps_nobody_else(void **state)
{
	struct rig *rig = rig_new(NULL);
	static struct asking many[500], few[3];
	uint64_t seq, deadline;

	(void)state;
	assert_int_equal(ask_for(rig, &many[0], 1), 0);
	pinhole_client_send(&rig->worker);
	assert_int_equal(batch(rig, &seq, &deadline), 1);
	for (unsigned int i = 1; i < 500; i++)
		assert_int_equal(ask_for(rig, &many[i], 1), 0);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(ask_for(rig, &few[i], 2), 0);
	/* One of the first that is given up does not stand in anybody's way. */
	pinhole_cancel(&rig->worker, &many[1].ask);
	say(rig, seq, 1, PINHOLE_OPEN);
	assert_int_equal(batch(rig, &seq, &deadline), PINHOLE_CLIENT_BATCH);
	say(rig, seq, PINHOLE_CLIENT_BATCH, PINHOLE_OPEN);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(few[i].status, PINHOLE_OPEN);
	assert_int_equal(many[1 + PINHOLE_CLIENT_BATCH - 3].status, PINHOLE_OPEN);
	assert_int_equal(many[2 + PINHOLE_CLIENT_BATCH - 3].times, 0);
	rig_advance_ms(rig, 300); /* nobody speaks any more: each ends at its deadline */
	for (unsigned int i = 0; i < 500; i++)
		assert_int_equal(many[i].times, i == 1 ? 0 : 1);
	rig_free(rig);
}

static void nothing_is_believed_that_was_not_asked(void **state)
{
	struct rig *rig = rig_new(NULL);
	struct asking a[2];
	uint64_t seq, deadline;
	struct results r = { { PINHOLE_MAGIC, PINHOLE_VERSION, 2, 0 }, { { 0 } } };

	(void)state;
	say(rig, 1, 2, PINHOLE_OPEN); /* nothing in flight at all */
	ask(rig, &a[0]);
	ask(rig, &a[1]);
	pinhole_client_send(&rig->worker);
	assert_int_equal(batch(rig, &seq, &deadline), 2);
	say(rig, seq + 1, 2, PINHOLE_OPEN);
	say(rig, seq - 1, 2, PINHOLE_OPEN);
	say(rig, seq, 1, PINHOLE_OPEN); /* fewer results than requests */
	say(rig, seq, 3, PINHOLE_OPEN);
	r.head.seq = seq;
	r.results[0].status = r.results[1].status = PINHOLE_OPEN;
	pinhole_client_result(&rig->worker, &r, sizeof(r.head) + sizeof(r.results[0])); /* cut */
	r.head.magic++;
	pinhole_client_result(&rig->worker, &r, sizeof(r.head) + 2 * sizeof(r.results[0]));
	assert_int_equal(a[0].times + a[1].times, 0);
	assert_int_equal(rig_count(rig, COUNT_PINHOLE_LATE), 6);
	say(rig, seq, 2, PINHOLE_OPEN);
	say(rig, seq, 2, PINHOLE_OPEN); /* twice */
	assert_int_equal(a[0].times, 1);
	assert_int_equal(a[1].times, 1);
	rig_free(rig);
}

static void each_request_ends_at_its_own_deadline(void **state)
{
	struct rig *rig = rig_new(NULL);
	struct asking a[3];
	uint64_t seq, next, deadline;

	(void)state;
	ask(rig, &a[0]);
	rig->worker.now_ns += 100000000;
	ask(rig, &a[1]);
	pinhole_client_send(&rig->worker);
	assert_int_equal(batch(rig, &seq, &deadline), 2);
	ask(rig, &a[2]);
	rig->worker.now_ns += 150000000;
	pinhole_client_tick(&rig->worker);
	assert_int_equal(a[0].status, PINHOLE_LATE);
	assert_int_equal(a[0].times, 1);
	assert_int_equal(a[1].times, 0);
	/* An acknowledgement in time for the second, too late for the first. */
	say(rig, seq, 2, PINHOLE_OPEN);
	assert_int_equal(a[0].times, 1);
	assert_int_equal(a[1].status, PINHOLE_OPEN);
	assert_int_equal(rig_count(rig, COUNT_PINHOLE_LATE), 1);
	assert_int_equal(batch(rig, &next, &deadline), 1); /* the third left at once */
	/* In the very moment of the deadline it is too late, tick or no tick. */
	rig->worker.now_ns += 100000000;
	say(rig, next, 1, PINHOLE_OPEN);
	assert_int_equal(a[2].status, PINHOLE_LATE);
	assert_int_equal(rig_count(rig, COUNT_PINHOLE_TIMEOUTS), 2);
	rig_free(rig);
}

static void who_leaves_hears_nothing(void **state)
{
	struct rig *rig = rig_new(NULL);
	struct asking a[4];
	uint64_t seq, deadline;

	(void)state;
	for (unsigned int i = 0; i < 3; i++)
		ask(rig, &a[i]);
	pinhole_cancel(&rig->worker, &a[2].ask); /* the last of the queue */
	ask(rig, &a[3]);
	pinhole_cancel(&rig->worker, &a[0].ask); /* the first */
	pinhole_client_send(&rig->worker);
	assert_int_equal(batch(rig, &seq, &deadline), 2);
	pinhole_cancel(&rig->worker, &a[1].ask); /* in flight */
	pinhole_cancel(&rig->worker, &a[1].ask);
	say(rig, seq, 2, PINHOLE_OPEN);
	pinhole_cancel(&rig->worker, &a[3].ask); /* done already */
	assert_int_equal(a[0].times + a[1].times + a[2].times, 0);
	assert_int_equal(a[3].times, 1);
	rig_free(rig);
}

static void a_full_socket_keeps_gathering(void **state)
{
	struct rig *rig = rig_new(NULL);
	struct asking a;
	uint64_t seq, deadline;
	unsigned int n = 0;

	(void)state;
	while (send(rig->worker.pinhole_fd, "junk", 4, MSG_DONTWAIT) == 4)
		assert_true(++n < 100000);
	ask(rig, &a);
	pinhole_client_send(&rig->worker);
	assert_int_equal(a.times, 0);
	for (char junk[8]; n > 0; n--)
		assert_int_equal(recv(rig->fwsync, junk, sizeof(junk), MSG_DONTWAIT), 4);
	pinhole_client_send(&rig->worker);
	assert_int_equal(batch(rig, &seq, &deadline), 1);
	say(rig, seq, 1, PINHOLE_OPEN);
	assert_int_equal(a.status, PINHOLE_OPEN);
	rig_free(rig);
}

static void more_than_a_request_may_hold_is_refused(void **state)
{
	struct rig *rig = rig_new(NULL);
	struct asking a;
	static uint8_t dst[LIMIT_PINHOLE_OPS + 1][ADDR_LEN];

	(void)state;
	ask(rig, &a);
	pinhole_cancel(&rig->worker, &a.ask);
	for (size_t i = 0; i < ARRAY_LEN(dst); i++)
		memcpy(dst[i], a.dst, ADDR_LEN);
	a.ask.view.dst = (const uint8_t(*)[ADDR_LEN])dst;
	a.ask.request.n_dst = LIMIT_PINHOLE_OPS;
	assert_int_equal(pinhole_ask(&rig->worker, &a.ask), 0);
	pinhole_cancel(&rig->worker, &a.ask);
	a.ask.request.n_dst = LIMIT_PINHOLE_OPS + 1;
	assert_int_equal(pinhole_ask(&rig->worker, &a.ask), ERR_LIMIT);
	assert_int_equal(rig_count(rig, COUNT_LIMIT_ADDRESSES), 1);
	/* Pairs of different families open nothing: no request at all. */
	a.ask.request.n_dst = 1;
	a.dst[0] = 0x20;
	a.ask.view.dst = (const uint8_t(*)[ADDR_LEN]) & a.dst;
	assert_int_equal(pinhole_ask(&rig->worker, &a.ask), ERR_LIMIT);
	rig_free(rig);
}

static void on_alive(uv_timer_t *timer)
{
	(void)timer;
}

/* The loop's own handles, once, with the real clock: no call of the test's sends or reads. */
static void the_loop_sends_reads_and_does_not_wait_in_between(void **state)
{
	struct rig *rig = rig_new(NULL);
	struct asking a;
	uint64_t seq, deadline;
	struct results r = { { PINHOLE_MAGIC, PINHOLE_VERSION, 1, 0 }, { { PINHOLE_OPEN, 0, 7 } } };

	uv_timer_t
	    alive; /* what a worker's other handles do: the client's own keep no loop going */

	(void)state;
	uv_timer_init(&rig->worker.loop, &alive);
	uv_timer_start(&alive, on_alive, 60000, 60000);
	uv_run(&rig->worker.loop, UV_RUN_NOWAIT); /* watchers are taken in */
	assert_int_not_equal(uv_backend_timeout(&rig->worker.loop), 0);
	rig->worker.now_ns = clock_mono_ns();
	rig->worker.settings->conf.ack_timeout_ms = 60000;
	assert_int_equal(ask(rig, &a), 0);
	assert_int_equal(uv_backend_timeout(&rig->worker.loop), 0); /* something is to be sent */
	uv_run(&rig->worker.loop, UV_RUN_NOWAIT);
	assert_int_equal(batch(rig, &seq, &deadline), 1);
	r.head.seq = seq;
	assert_true(send(rig->fwsync, &r, sizeof(r.head) + sizeof(r.results[0]), 0) > 0);
	uv_run(&rig->worker.loop, UV_RUN_NOWAIT);
	assert_int_equal(a.times, 1);
	assert_int_equal(a.status, PINHOLE_OPEN);
	/* Without a firewall's socket nothing can be asked, and nothing crashes. */
	struct pinhole_client *client = rig->worker.pinholes;

	rig->worker.pinholes = NULL;
	assert_int_equal(ask(rig, &a), ERR_CLOSED);
	rig->worker.pinholes = client;
	uv_close((uv_handle_t *)&alive, NULL);
	rig_free(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_gather_while_a_batch_is_in_flight),
		cmocka_unit_test(who_needs_thousands_keeps_nobody_else),
		cmocka_unit_test(nothing_is_believed_that_was_not_asked),
		cmocka_unit_test(each_request_ends_at_its_own_deadline),
		cmocka_unit_test(who_leaves_hears_nothing),
		cmocka_unit_test(a_full_socket_keeps_gathering),
		cmocka_unit_test(more_than_a_request_may_hold_is_refused),
		cmocka_unit_test(the_loop_sends_reads_and_does_not_wait_in_between),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
