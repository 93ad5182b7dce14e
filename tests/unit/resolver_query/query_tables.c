/* tests/unit/resolver_query/query_tables.c - held, follow table, tally: bounded memories. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fair_queue.h"
#include "follow_table.h"
#include "held.h"
#include "sallyport/err.h"
#include "sallyport/limits.h"
#include "sallyport/name.h"
#include "tally.h"

static const uint8_t hash_key[16] = "0123456789abcde";

static void addr_n(uint8_t addr[static ADDR_LEN], uint32_t n)
{
	memset(addr, 0, ADDR_LEN);
	memcpy(addr + 12, &n, sizeof(n));
}

static void held_is_of_one_client_workload_form_and_epoch(void **state)
{
	struct held *held = held_new(4, hash_key); /* one set: all rows are looked at */
	uint8_t a[ADDR_LEN], b[ADDR_LEN];

	(void)state;
	addr_n(a, 1);
	addr_n(b, 2);
	held_set(held, a, 5, 9, 7, 1000);
	assert_int_equal(held_until(held, a, 5, 9, 7), 1000);
	assert_int_equal(held_until(held, b, 5, 9, 7), 0);
	assert_int_equal(held_until(held, a, 6, 9, 7), 0);
	assert_int_equal(held_until(held, a, 5, 10, 7), 0);
	assert_int_equal(held_until(held, a, 5, 9, 8), 0);
	assert_int_equal(held_until(held, a, 5, 9, 6), 0);
	held_set(held, a, 5, 9, 8, 2000); /* the newer one replaces it */
	assert_int_equal(held_until(held, a, 5, 9, 7), 0);
	assert_int_equal(held_until(held, a, 5, 9, 8), 2000);
	held_free(held);
}

static void held_forgets_what_ends_first_and_invents_nothing(void **state)
{
	struct held *held = held_new(64, hash_key);
	uint8_t addr[ADDR_LEN];
	unsigned int kept = 0, newest = 0;

	(void)state;
	for (uint32_t i = 1; i <= 1000; i++) {
		addr_n(addr, i);
		held_set(held, addr, 1, i, 1, 1000 + i);
	}
	for (uint32_t i = 1; i <= 1000; i++) {
		uint64_t until;

		addr_n(addr, i);
		until = held_until(held, addr, 1, i, 1);
		assert_true(until == 0 || until == 1000 + i);
		kept += until != 0;
		newest += until != 0 && i > 900;
	}
	assert_int_equal(kept, 64); /* all rows are in use, no more */
	assert_true(newest > 30);
	held_free(held);
}

static void name_n(uint8_t name[static NAME_MAX_WIRE], unsigned int n)
{
	char text[64];

	snprintf(text, sizeof(text), "t%u.cdn.test.", n);
	assert_true(name_from_text(text, name) > 0);
}

static void a_target_is_given_to_one_workload_for_a_time_under_one_version(void **state)
{
	struct follow_table *table = follow_table_new(hash_key);
	uint8_t target[NAME_MAX_WIRE], name[NAME_MAX_WIRE], got[NAME_MAX_WIRE];

	(void)state;
	name_n(target, 1);
	assert_true(name_from_text("www.example.org.", name) > 0);
	assert_int_equal(follow_table_put(table, 3, 8, target, name, 100, 200), 0);
	assert_true(follow_table_get(table, 3, 8, target, 199, got));
	assert_true(name_equal(got, name));
	assert_false(follow_table_get(table, 3, 9, target, 150, got));  /* another workload */
	assert_false(follow_table_get(table, 3, 24, target, 150, got)); /* of the same shard */
	assert_false(follow_table_get(table, 4, 8, target, 150, got));  /* a newer version */
	assert_false(follow_table_get(table, 2, 8, target, 150, got));
	assert_false(follow_table_get(table, 3, 8, name, 150, got));
	/* A shorter chain to the same target does not end the longer one. */
	assert_int_equal(follow_table_put(table, 3, 8, target, name, 110, 150), 0);
	assert_true(follow_table_get(table, 3, 8, target, 199, got));
	assert_false(follow_table_get(table, 3, 8, target, 200, got));
	/* The next version ends all of the older; a straggler's row is void. */
	assert_int_equal(follow_table_put(table, 3, 8, target, name, 210, 300), 0);
	assert_int_equal(follow_table_put(table, 4, 8, name, target, 210, 300), 0);
	assert_false(follow_table_get(table, 3, 8, target, 220, got));
	assert_int_equal(follow_table_put(table, 3, 8, target, name, 220, 300), 0);
	assert_false(follow_table_get(table, 3, 8, target, 230, got));
	assert_false(follow_table_get(table, 4, 8, target, 230, got));
	assert_true(follow_table_get(table, 4, 8, name, 230, got));
	/* An index that no policy can have. */
	assert_int_equal(follow_table_put(table, 4, LIMIT_WORKLOADS, target, name, 0, 9),
	                 ERR_LIMIT);
	assert_false(follow_table_get(table, 4, UINT32_MAX, target, 0, got));
	follow_table_free(table);
}

static void targets_of_a_workload_are_bounded_and_come_free_again(void **state)
{
	struct follow_table *table = follow_table_new(hash_key);
	uint8_t target[NAME_MAX_WIRE], name[NAME_MAX_WIRE], got[NAME_MAX_WIRE];
	const uint64_t second = 1000000000;

	(void)state;
	assert_true(name_from_text("www.example.org.", name) > 0);
	for (unsigned int i = 0; i < LIMIT_FOLLOW_TARGETS; i++) {
		name_n(target, i);
		assert_int_equal(follow_table_put(table, 1, 0, target, name, second, 5 * second),
		                 0);
	}
	name_n(target, LIMIT_FOLLOW_TARGETS);
	assert_int_equal(follow_table_put(table, 1, 0, target, name, second, 5 * second),
	                 ERR_LIMIT);
	assert_false(follow_table_get(table, 1, 0, target, second, got));
	/* One workload's flood is not another's loss, in the same shard or not. */
	assert_int_equal(follow_table_put(table, 1, 16, target, name, second, 5 * second), 0);
	assert_int_equal(follow_table_put(table, 1, 1, target, name, second, 5 * second), 0);
	/* Known ones may still be renewed; when time has passed there is room again. */
	name_n(target, 7);
	assert_int_equal(follow_table_put(table, 1, 0, target, name, second, 6 * second), 0);
	name_n(target, LIMIT_FOLLOW_TARGETS);
	assert_int_equal(follow_table_put(table, 1, 0, target, name, 5 * second, 9 * second), 0);
	name_n(target, 7);
	assert_true(follow_table_get(table, 1, 0, target, 5 * second, got));
	follow_table_free(table);
}

static void *walk(void *arg)
{
	struct follow_table *table = arg;
	uint8_t target[NAME_MAX_WIRE], name[NAME_MAX_WIRE], got[NAME_MAX_WIRE];
	unsigned int seed = (unsigned int)(uintptr_t)&seed;

	if (name_from_text("www.example.org.", name) < 0)
		return NULL;
	for (unsigned int i = 0; i < 20000; i++) {
		uint32_t version = 1 + i / 5000, workload = (uint32_t)rand_r(&seed) % 20;

		name_n(target, (unsigned int)rand_r(&seed) % 50);
		if (i % 2)
			follow_table_put(table, version, workload, target, name, i, i + 100);
		else if (follow_table_get(table, version, workload, target, i, got) &&
		         !name_equal(got, name))
			return NULL;
	}
	return table;
}

static void workers_share_the_table(void **state)
{
	struct follow_table *table = follow_table_new(hash_key);
	pthread_t threads[4];
	void *fine;

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, walk, table), 0);
	for (size_t i = 0; i < 4; i++) {
		pthread_join(threads[i], &fine);
		assert_non_null(fine);
	}
	follow_table_free(table);
}

static void a_tally_counts_exactly_whatever_comes_and_goes(void **state)
{
	enum { KEYS = 50, ROUNDS = 20000, MAX = 7 };
	struct tally *tally = tally_new(hash_key);
	unsigned int counts[KEYS] = { 0 }, seed = 1;

	(void)state;
	for (unsigned int i = 0; i < ROUNDS; i++) {
		unsigned int k = (unsigned int)rand_r(&seed) % KEYS;
		struct tally_key key = { .workload = k % 2 ? TALLY_CLIENT : k, .what = k % 4 / 2 };

		if (k % 2)
			addr_n(key.addr, k);
		if (counts[k] && rand_r(&seed) % 2) {
			tally_release_of(tally, &key);
			counts[k]--;
		} else if (counts[k] < MAX) {
			assert_int_equal(tally_claim_of(tally, &key, MAX), 0);
			counts[k]++;
		} else {
			assert_int_equal(tally_claim_of(tally, &key, MAX), ERR_LIMIT);
		}
		assert_int_equal(tally_in_use_of(tally, &key), counts[k]);
	}
	tally_free(tally);
}

static void a_tally_in_all_stops_at_the_limit_of_the_moment(void **state)
{
	struct tally *tally = tally_new(hash_key);

	(void)state;
	for (int i = 0; i < 5; i++)
		assert_int_equal(tally_claim(tally, TALLY_QUERIES, 5), 0);
	assert_int_equal(tally_claim(tally, TALLY_QUERIES, 5), ERR_LIMIT);
	assert_int_equal(tally_claim(tally, TALLY_CONNECTIONS, 5), 0); /* another thing */
	/* A new configuration: lower, then there is more in use than may be. */
	tally_release(tally, TALLY_QUERIES);
	assert_int_equal(tally_claim(tally, TALLY_QUERIES, 2), ERR_LIMIT);
	assert_int_equal(tally_in_use(tally, TALLY_QUERIES), 4);
	assert_int_equal(tally_claim(tally, TALLY_QUERIES, 5), 0);
	tally_free(tally);
}

enum { CLAIMANTS = 4, CLAIM_ROUNDS = 20000, CLAIM_MAX = 3 };

struct claimants {
	struct tally *tally;
	_Atomic unsigned int held, refused; /* claims of all threads at this moment */
	_Atomic bool over;                  /* more were held than may be */
};

static void *claimant(void *arg)
{
	struct claimants *all = arg;
	struct tally_key mine = { .workload = 1 };

	for (int i = 0; i < CLAIM_ROUNDS; i++) {
		if (tally_claim(all->tally, TALLY_QUERIES, CLAIM_MAX + 1) < 0) {
			all->refused++;
			continue;
		}
		if (tally_claim_of(all->tally, &mine, CLAIM_MAX) == 0) {
			if (++all->held > CLAIM_MAX)
				all->over = true;
			all->held--;
			tally_release_of(all->tally, &mine);
		} else {
			all->refused++;
		}
		tally_release(all->tally, TALLY_QUERIES);
	}
	return NULL;
}

static void a_limit_holds_over_all_workers(void **state)
{
	struct claimants all = { .tally = tally_new(hash_key) };
	struct tally_key key = { .workload = 1 };
	pthread_t threads[CLAIMANTS];

	(void)state;
	for (size_t i = 0; i < CLAIMANTS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, claimant, &all), 0);
	for (size_t i = 0; i < CLAIMANTS; i++)
		pthread_join(threads[i], NULL);
	assert_false(all.over);
	assert_int_equal(tally_in_use(all.tally, TALLY_QUERIES), 0);
	assert_int_equal(tally_in_use_of(all.tally, &key), 0);
	tally_free(all.tally);
}

struct waiting {
	struct fair_item turn;
	uint32_t class;
	unsigned int number;
};

static void turns_go_round_whatever_comes(void **state)
{
	static struct fair_queue queue;
	static struct waiting w[300];
	const struct waiting *got;

	(void)state;
	fair_queue_init(&queue);
	for (unsigned int i = 0; i < 300; i++) {
		/* 250 of the first, then 25 each of two others that come later. */
		w[i].class = i < 250 ? 7 : 8 + i % 2;
		w[i].number = i;
		fair_queue_put(&queue, w[i].class, &w[i].turn);
	}
	for (unsigned int i = 0; i < 75; i++) {
		got = (const void *)fair_queue_take(&queue);
		assert_int_equal(got->class, 7 + i % 3);
	}
	/* The others have none left; the longest queue's oldest goes when there is no room. */
	fair_queue_put(&queue, 9, &w[299].turn);
	got = (const void *)fair_queue_drop(&queue);
	assert_int_equal(got->number, 25);
	fair_queue_remove(&queue, 7, &w[249].turn);
	fair_queue_remove(&queue, 7, &w[27].turn);
	got = (const void *)fair_queue_take(&queue);
	assert_int_equal(got->number, 26);
	fair_queue_put_back(&queue, 7, &w[26].turn);
	got = (const void *)fair_queue_take(&queue);
	assert_int_equal(got->number, 26);
	assert_ptr_equal(fair_queue_take(&queue), &w[299].turn);
	for (unsigned int i = 28; i < 249; i++) {
		got = (const void *)fair_queue_peek(&queue);
		assert_int_equal(got->number, i);
		assert_ptr_equal(fair_queue_take(&queue), got);
	}
	assert_null(fair_queue_take(&queue));
	assert_null(fair_queue_drop(&queue));
	assert_int_equal(queue.n, 0);
}

static unsigned int taken_class(struct fair_queue *queue)
{
	const struct waiting *got = (const void *)fair_queue_take(queue);

	assert_non_null(got);
	return got->class;
}

static void who_asks_now_and_then_goes_before_who_always_asks(void **state)
{
	static struct fair_queue queue;
	static struct waiting w[200];
	unsigned int n = 0;

	(void)state;
	fair_queue_init(&queue);
	for (unsigned int i = 0; i < 200; i++)
		w[i].class = i < 100 ? 1 : 2 + i % 2;
	for (; n < 100; n++)
		fair_queue_put(&queue, 1, &w[n].turn);
	assert_int_equal(taken_class(&queue), 1);
	/* Two come anew: at once, in their order, and ahead of the rounds. */
	fair_queue_put(&queue, w[100].class, &w[100].turn);
	fair_queue_put(&queue, w[101].class, &w[101].turn);
	assert_ptr_equal(fair_queue_peek(&queue), &w[100].turn);
	assert_ptr_equal(fair_queue_take_fresh(&queue), &w[100].turn);
	assert_ptr_equal(fair_queue_take_fresh(&queue), &w[101].turn);
	assert_null(fair_queue_take_fresh(&queue));
	/* Who asks again at once is not fresh: the others of the round come first. */
	fair_queue_put(&queue, w[102].class, &w[102].turn);
	assert_null(fair_queue_take_fresh(&queue));
	assert_int_equal(taken_class(&queue), 1);
	assert_int_equal(taken_class(&queue), 2);
	/* However fast one asks, the one with much to be done has every other turn. */
	for (unsigned int i = 104; i < 150; i += 2) {
		fair_queue_put(&queue, 2, &w[i].turn);
		assert_int_equal(taken_class(&queue) + taken_class(&queue), 3);
	}
	/* Found empty when its turn came, it is fresh again. */
	assert_int_equal(taken_class(&queue), 1);
	assert_int_equal(taken_class(&queue), 1);
	fair_queue_put(&queue, 2, &w[150].turn);
	assert_ptr_equal(fair_queue_take_fresh(&queue), &w[150].turn);
}

static void who_is_no_workload_shares_a_queue_with_none(void **state)
{
	static struct fair_queue queue;
	static struct waiting w[FAIR_CLASSES + 1];

	(void)state;
	fair_queue_init(&queue);
	for (unsigned int i = 0; i < FAIR_CLASSES; i++) {
		w[i].class = i < FAIR_CLASSES - 1 ? i : FAIR_NOBODY;
		fair_queue_put(&queue, w[i].class, &w[i].turn);
	}
	/* One more for nobody: its turn comes after that of every workload. */
	w[FAIR_CLASSES].class = FAIR_NOBODY;
	fair_queue_put(&queue, FAIR_NOBODY, &w[FAIR_CLASSES].turn);
	for (unsigned int i = 0; i <= FAIR_CLASSES; i++)
		assert_ptr_equal(fair_queue_take(&queue), &w[i].turn);
	fair_queue_put(&queue, FAIR_NOBODY, &w[0].turn);
	fair_queue_put(&queue, FAIR_CLASSES - 2, &w[1].turn);
	fair_queue_remove(&queue, FAIR_NOBODY, &w[0].turn);
	assert_ptr_equal(fair_queue_take(&queue), &w[1].turn);
	assert_int_equal(queue.n, 0);
}

/* Against a slow model: an array of what waits. */
static void a_fair_queue_loses_and_invents_nothing(void **state)
{
	enum { ITEMS = 64, ROUNDS = 100000 };
	static struct fair_queue queue;
	static struct waiting w[ITEMS];
	bool in[ITEMS] = { false };
	unsigned int seed = 3, n = 0, number = 0;

	(void)state;
	fair_queue_init(&queue);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		unsigned int k = (unsigned int)rand_r(&seed) % ITEMS,
			     what = (unsigned int)rand_r(&seed) % 6;
		struct waiting *got = NULL;

		if (!in[k] && what < 4) {
			w[k].class = (unsigned int)rand_r(&seed) % 5;
			w[k].number = number++;
			fair_queue_put(&queue, w[k].class, &w[k].turn);
			in[k] = true;
			n++;
			continue;
		}
		if (what == 4) {
			got = (void *)fair_queue_drop(&queue);
		} else if (what == 5 && in[k]) {
			got = &w[k];
			fair_queue_remove(&queue, got->class, &got->turn);
		} else {
			got = (void *)fair_queue_take(&queue);
		}
		if (!got) {
			assert_int_equal(n, 0);
			continue;
		}
		assert_true(in[got - w]);
		for (unsigned int j = 0; j < ITEMS && got != &w[k];
		     j++) /* the oldest of its class */
			assert_false(in[j] && w[j].class == got->class &&
			             w[j].number < got->number);
		in[got - w] = false;
		n--;
		assert_int_equal(queue.n, n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(held_is_of_one_client_workload_form_and_epoch),
		cmocka_unit_test(held_forgets_what_ends_first_and_invents_nothing),
		cmocka_unit_test(a_target_is_given_to_one_workload_for_a_time_under_one_version),
		cmocka_unit_test(targets_of_a_workload_are_bounded_and_come_free_again),
		cmocka_unit_test(workers_share_the_table),
		cmocka_unit_test(a_tally_counts_exactly_whatever_comes_and_goes),
		cmocka_unit_test(a_tally_in_all_stops_at_the_limit_of_the_moment),
		cmocka_unit_test(a_limit_holds_over_all_workers),
		cmocka_unit_test(turns_go_round_whatever_comes),
		cmocka_unit_test(who_asks_now_and_then_goes_before_who_always_asks),
		cmocka_unit_test(who_is_no_workload_shares_a_queue_with_none),
		cmocka_unit_test(a_fair_queue_loses_and_invents_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
