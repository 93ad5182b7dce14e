/* tests/unit/resolver_query/proofs_shared.c - proofs that several workers learn, forget and use at
 * once.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "entry_new.h"
#include "proofs.h"
#include "sallyport/clock.h"
#include "sallyport/name.h"
#include "val_wire.h"
#include "wire.h"
#include "zone.h"

enum { WORKERS = 4, ZONES = 8, ROUNDS = 6000, ROUNDS_A_CLEAR = 500, TTL_S = 300 };
#define NOW_NS (1000 * NS_PER_S)

static const uint8_t hash_key[16] = { 1 }, denied[] = "\1c\7example", asked[] = "\1d\7example";

struct worker { /* what it learns, again and again, of each zone of `upstreams` */
	struct proofs *proofs;
	const struct val_set *soa;
	struct entry *entries[ZONES];
	struct val_budget budget;
	struct val_denial denial;
	struct stats_lane lane;
	unsigned int seed, n_found;
};

static void *work(void *arg)
{
	struct worker *worker = arg;

	for (unsigned int round = 1; round <= ROUNDS; round++) {
		uint16_t zone = (uint16_t)(rand_r(&worker->seed) % ZONES);
		const struct proofs_question question = { .name = asked,
			                                  .type = TYPE_A,
			                                  .zone = zone,
			                                  .above = (const uint8_t *)"",
			                                  .rules = &val_rules_default,
			                                  .now_ns = NOW_NS };
		struct entry *found = proofs_answer(worker->proofs, &question);

		if (found) {
			worker->n_found++;
			if (found->kind != ENTRY_NXDOMAIN || found->zone != zone ||
			    !name_equal(found->name, asked))
				return NULL;
			entry_unref(found);
		}
		if (round % ROUNDS_A_CLEAR == 0)
			proofs_clear(worker->proofs);
		proofs_learn(worker->proofs, worker->entries[zone], &worker->denial, worker->soa,
		             NOW_NS + TTL_S * NS_PER_S, NOW_NS, &worker->lane);
	}
	return worker;
}

/* What the zone says of `denied`: a gap from b to f. */
static struct val_message *denial_of(struct world *world, struct answer *answer)
{
	struct val_message *message = NULL;
	static const uint8_t apex[] = "\7example";

	world_init(world);
	assert_null(world_zone(world, ". 13c"));
	assert_null(world_zone(world, "example. 13c"));
	assert_null(world_record(world, world_find(world, apex), "b A 192.0.2.1"));
	assert_null(world_record(world, world_find(world, apex), "f A 192.0.2.2"));
	world_finish(world);
	world_answer(world, denied, TYPE_A, answer);
	assert_int_equal(val_message_make(answer->rows, answer->n, answer->rcode, &message), 0);
	return message;
}

static const struct val_set *soa_of(const struct val_message *message)
{
	const struct val_set *set = message->sets;

	while (set->type != TYPE_SOA)
		assert_true(++set < message->sets + message->n_sets);
	return set;
}

static void prepare(struct worker *worker, unsigned int seed, struct proofs *proofs,
                    const struct val_message *message)
{
	*worker = (struct worker){ .proofs = proofs, .soa = soa_of(message), .seed = seed };
	val_budget_init(&worker->budget);
	val_denial_init(&worker->denial, worker->soa->owner, &val_rules_default, &worker->budget);
	for (size_t i = 0; i < message->n_sets; i++)
		val_denial_add(&worker->denial, &message->sets[i]);
	for (uint16_t zone = 0; zone < ZONES; zone++) {
		struct entry *entry = entry_new(denied, TYPE_A, 0, 0, NOW_NS);

		assert_non_null(entry);
		entry->zone = zone;
		entry->upstream_port = 53;
		worker->entries[zone] = entry;
	}
}

static void workers_learn_from_each_other(void **state)
{
	static struct worker workers[WORKERS];
	static struct world world;
	struct answer *answer = calloc(1, sizeof(*answer));
	struct val_message *message = denial_of(&world, answer);
	struct proofs *proofs = proofs_new(hash_key);
	pthread_t threads[WORKERS];
	uint64_t n, bytes;

	(void)state;
	assert_non_null(proofs);
	for (unsigned int i = 0; i < WORKERS; i++)
		prepare(&workers[i], i + 1, proofs, message);
	for (unsigned int i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	for (unsigned int i = 0; i < WORKERS; i++) {
		void *done;

		assert_int_equal(pthread_join(threads[i], &done), 0);
		assert_ptr_equal(done, &workers[i]); /* else it was told what nobody has learnt */
		assert_true(workers[i].n_found > ROUNDS / 2);
		for (uint16_t zone = 0; zone < ZONES; zone++)
			entry_unref(workers[i].entries[zone]);
	}
	proofs_usage(proofs, &n, &bytes);
	assert_in_range(n, 1, 4 * ZONES);
	proofs_clear(proofs);
	proofs_usage(proofs, &n, &bytes);
	assert_int_equal(n, 0);
	assert_int_equal(bytes, 0);
	proofs_free(proofs);
	val_message_free(message);
	world_fini(&world);
	free(answer);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(workers_learn_from_each_other) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
