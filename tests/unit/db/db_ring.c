/* tests/unit/db/db_ring.c - records through shared memory, whatever the other side does. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "sallyport/cleanup.h"
#include "sallyport/err.h"
#include "sallyport/ring.h"

struct pair {
	int data_fd, back_fd;
	struct ring_producer producer;
	struct ring_consumer consumer;
};

static int setup(void **state)
{
	struct pair *pair = calloc(1, sizeof(*pair));

	assert_non_null(pair);
	assert_int_equal(ring_create(1000, &pair->data_fd, &pair->back_fd), 0);
	assert_int_equal(ring_producer_open(&pair->producer, pair->data_fd, pair->back_fd), 0);
	assert_int_equal(ring_consumer_open(&pair->consumer, pair->data_fd, pair->back_fd), 0);
	*state = pair;
	return 0;
}

static int teardown(void **state)
{
	struct pair *pair = *state;

	ring_producer_close(&pair->producer);
	ring_consumer_close(&pair->consumer);
	close(pair->data_fd);
	close(pair->back_fd);
	free(pair);
	return 0;
}

static bool put(struct ring_producer *ring, uint64_t id, uint8_t verdict, size_t name_len)
{
	struct record_query query = { .head = { .type = RECORD_QUERY },
		                      .id = id,
		                      .verdict = verdict,
		                      .name_len = (uint16_t)name_len };
	char name[4096];

	memset(name, (int)('a' + id % 26), name_len);
	query.head.len = (uint32_t)(sizeof(query) + name_len);
	return ring_put(ring, &query.head, name, name_len);
}

static uint8_t buf[LIMIT_RECORD_BYTES];

static void check_record(int len, uint64_t id, size_t name_len)
{
	struct record_query query;

	assert_int_equal(len, sizeof(query) + name_len);
	memcpy(&query, buf, sizeof(query));
	assert_int_equal(query.id, id);
	for (size_t i = 0; i < name_len; i++)
		assert_int_equal(buf[sizeof(query) + i], 'a' + id % 26);
}

static void records_come_out_as_they_went_in_across_the_end(void **state)
{
	struct pair *pair = *state;
	uint64_t pos = 0;

	/* Of all lengths, many times around. */
	for (uint64_t i = 0; i < 5000; i++) {
		size_t len = (size_t)(i * 37 % 1000);

		assert_true(put(&pair->producer, i, VERDICT_ALLOW, len));
		assert_int_equal(ring_get(&pair->consumer, &pos, buf, sizeof(buf)), 0);
		ring_publish(&pair->producer);
		check_record(ring_get(&pair->consumer, &pos, buf, sizeof(buf)), i, len);
		ring_release(&pair->consumer, pos);
	}
}

static void a_full_ring_loses_and_counts_and_keeps_room_for_denials(void **state)
{
	struct pair *pair = *state;
	const struct ring_head *head = pair->producer.head;
	uint64_t allowed = 0, denied = 0, pos = 0, n = 0;

	while (put(&pair->producer, allowed, VERDICT_ALLOW, 10))
		allowed++;
	while (put(&pair->producer, denied, VERDICT_DENY, 10))
		denied++;
	assert_int_equal(denied, 1024 / 8 / 2); /* two slots each */
	ring_publish(&pair->producer);
	assert_int_equal(atomic_load(&head->offered[VERDICT_ALLOW]), allowed + 1);
	assert_int_equal(atomic_load(&head->lost[VERDICT_ALLOW]), 1);
	assert_int_equal(atomic_load(&head->lost[VERDICT_DENY]), 1);
	while (ring_get(&pair->consumer, &pos, buf, sizeof(buf)) > 0)
		n++;
	assert_int_equal(n, allowed + denied);
	ring_release(&pair->consumer, pos);
	assert_true(put(&pair->producer, 1, VERDICT_ALLOW, 10));
}

static void a_successor_goes_on_where_the_predecessor_stopped(void **state)
{
	struct pair *pair = *state;
	uint64_t pos = 0;

	assert_true(put(&pair->producer, 1, VERDICT_ALLOW, 5));
	ring_publish(&pair->producer);
	assert_true(put(&pair->producer, 2, VERDICT_ALLOW, 5)); /* never published */
	ring_producer_close(&pair->producer);
	assert_int_equal(ring_producer_open(&pair->producer, pair->data_fd, pair->back_fd), 0);
	assert_true(put(&pair->producer, 3, VERDICT_ALLOW, 5));
	ring_publish(&pair->producer);
	check_record(ring_get(&pair->consumer, &pos, buf, sizeof(buf)), 1, 5);
	check_record(ring_get(&pair->consumer, &pos, buf, sizeof(buf)), 3, 5);
	assert_int_equal(atomic_load(&pair->producer.head->offered[VERDICT_ALLOW]), 3);
}

static void what_a_producer_dies_with_is_counted_once(void **state)
{
	struct pair *pair = *state;
	struct ring_head *head = pair->producer.head;

	ring_taken(&pair->producer, 10);
	assert_true(put(&pair->producer, 1, VERDICT_ALLOW, 5));
	assert_true(put(&pair->producer, 2, VERDICT_DENY, 5));
	ring_dropped(&pair->producer, 3);
	for (int i = 0; i < 3; i++) { /* the next ones die before they read anything */
		ring_producer_close(&pair->producer);
		assert_int_equal(ring_producer_open(&pair->producer, pair->data_fd, pair->back_fd),
		                 0);
		assert_int_equal(pair->producer.abandoned, i == 0 ? 5 : 0);
		head = pair->producer.head;
		assert_int_equal(atomic_load(&head->abandoned), 5);
	}
	ring_taken(&pair->producer, 1);
	assert_int_equal(ring_in_flight(head), 6);
	ring_producer_close(&pair->producer);
	assert_int_equal(ring_producer_open(&pair->producer, pair->data_fd, pair->back_fd), 0);
	assert_int_equal(pair->producer.abandoned, 1);
	/* Counts of one gone mad: fewer taken than done with. */
	atomic_store(&pair->producer.head->taken, 0);
	ring_producer_close(&pair->producer);
	assert_int_equal(ring_producer_open(&pair->producer, pair->data_fd, pair->back_fd), 0);
	assert_int_equal(pair->producer.abandoned, 0);
}

static void a_hostile_producer_is_contained(void **state)
{
	struct pair *pair = *state;
	static const uint32_t lens[] = { 0, 1, 7, LIMIT_RECORD_BYTES + 1, UINT32_MAX, 60000 };
	uint64_t pos = 0;

	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		struct ring_producer *ring = &pair->producer;
		struct record *record =
		    (void *)(ring->slots + ring->next % ring->n_slots * RING_SLOT);

		assert_true(put(ring, 1, VERDICT_ALLOW, 5));
		record->len = lens[i];
		ring_publish(ring);
		assert_int_equal(ring_get(&pair->consumer, &pos, buf, sizeof(buf)), ERR_DAMAGED);
		assert_int_equal(pos, ring->next);
		ring_release(&pair->consumer, pos);
	}
	/* A head far ahead, then one that goes back: positions never do. */
	atomic_store(&pair->producer.head->head, pos + 5000);
	assert_int_equal(ring_get(&pair->consumer, &pos, buf, sizeof(buf)), ERR_DAMAGED);
	ring_release(&pair->consumer, pos);
	uint64_t ahead = pos;

	atomic_store(&pair->producer.head->head, 3);
	assert_int_equal(ring_get(&pair->consumer, &pos, buf, sizeof(buf)), ERR_DAMAGED);
	assert_int_equal(pos, ahead);
	/* A successor begins where the consumer stands, and all is well again. */
	ring_producer_close(&pair->producer);
	assert_int_equal(ring_producer_open(&pair->producer, pair->data_fd, pair->back_fd), 0);
	assert_true(put(&pair->producer, 9, VERDICT_ALLOW, 5));
	ring_publish(&pair->producer);
	check_record(ring_get(&pair->consumer, &pos, buf, sizeof(buf)), 9, 5);
}

static void a_hostile_consumer_only_costs_records(void **state)
{
	struct pair *pair = *state;

	ring_release(&pair->consumer, UINT64_MAX / 2); /* a tail ahead of everything */
	assert_false(put(&pair->producer, 1, VERDICT_DENY, 5));
	assert_int_equal(atomic_load(&pair->producer.head->lost[VERDICT_DENY]), 1);
}

static void foreign_memory_is_refused(void **state)
{
	struct pair *pair = *state;
	struct ring_consumer consumer;

	pair->producer.head->n_slots = UINT64_C(1) << 40;
	assert_int_equal(ring_consumer_open(&consumer, pair->data_fd, pair->back_fd), ERR_DAMAGED);
	pair->producer.head->n_slots = 1000;
	assert_int_equal(ring_consumer_open(&consumer, pair->data_fd, pair->back_fd), ERR_DAMAGED);
	pair->producer.head->n_slots = 1024;
	pair->producer.head->magic ^= 1;
	assert_int_equal(ring_consumer_open(&consumer, pair->data_fd, pair->back_fd), ERR_DAMAGED);
	pair->producer.head->magic ^= 1;
}

#define THREAD_RECORDS 200000

static void *produce(void *arg)
{
	struct ring_producer *ring = arg;

	for (uint64_t i = 0; i < THREAD_RECORDS;) {
		if (put(ring, i, VERDICT_ALLOW, (size_t)(i % 100)))
			i++;
		else
			sched_yield();
		if (i % 16 == 0)
			ring_publish(ring);
	}
	ring_publish(ring);
	return NULL;
}

/* Both ends use the same mapping, so that the thread sanitizer sees what they share. */
static void two_threads_agree(void **state)
{
	struct pair *pair = *state;
	struct ring_consumer consumer = { pair->producer.head, pair->producer.slots,
		                          pair->consumer.back, 1024, pair->consumer.id };
	struct ring_producer producer = pair->producer;
	uint64_t pos = 0, want = 0;
	pthread_t thread;

	producer.back = pair->consumer.back;
	assert_int_equal(pthread_create(&thread, NULL, produce, &producer), 0);
	while (want < THREAD_RECORDS) {
		int len = ring_get(&consumer, &pos, buf, sizeof(buf));

		if (len == 0) {
			ring_release(&consumer, pos);
			sched_yield();
			continue;
		}
		check_record(len, want, (size_t)(want % 100));
		want++;
	}
	pthread_join(thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(records_come_out_as_they_went_in_across_the_end),
		TEST(a_full_ring_loses_and_counts_and_keeps_room_for_denials),
		TEST(a_successor_goes_on_where_the_predecessor_stopped),
		TEST(what_a_producer_dies_with_is_counted_once),
		TEST(a_hostile_producer_is_contained),
		TEST(a_hostile_consumer_only_costs_records),
		TEST(foreign_memory_is_refused),
		TEST(two_threads_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
