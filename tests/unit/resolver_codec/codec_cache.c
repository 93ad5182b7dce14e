/* The answer cache: hits, replacement, eviction, flushing, and many threads at once. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cache.h"
#include "sallyport/cleanup.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/name.h"

#define NOW (1000 * NS_PER_S)

static const uint8_t hash_key[16] = "a key for tests";

static const uint8_t *wire_of(const char *text, uint8_t buffer[static NAME_MAX_WIRE])
{
	if (name_from_text(text, buffer) < 0)
		fail_msg("not a name: %s", text);
	return buffer;
}
#define WIRE(text) wire_of(text, (uint8_t[NAME_MAX_WIRE]){ 0 })

static const uint8_t *numbered(const char *prefix, unsigned int i,
                               uint8_t wire[static NAME_MAX_WIRE])
{
	char text[64];

	snprintf(text, sizeof(text), "%s%u.example.org.", prefix, i);
	return wire_of(text, wire);
}

/* An entry of data that lives 60 s and may be served stale for 60 s more. */
static struct entry *entry_of(const uint8_t *name, uint16_t type)
{
	uint8_t addr[1][ADDR_LEN] = { { [10] = 0xff, 0xff, 9, 9, 9, 9 } };
	struct entry *entry =
	    entry_from_hosts(name, type, (const uint8_t(*)[ADDR_LEN])addr, 1, NOW);

	assert_non_null(entry);
	entry->stale_until_ns = entry->expires_ns + 60 * NS_PER_S;
	return entry;
}

static void put(struct cache *cache, const uint8_t *name, uint16_t type)
{
	struct entry *entry = entry_of(name, type);

	cache_put(cache, entry, NOW, NULL);
	entry_unref(entry);
}

static enum cache_hit get(struct cache *cache, const uint8_t *name, uint16_t type, uint64_t now_ns)
{
	struct entry *entry = NULL;
	enum cache_hit hit = cache_get(cache, name, type, now_ns, &entry);

	assert_int_equal(hit != CACHE_MISS, entry != NULL);
	if (entry)
		assert_true(name_equal(entry->name, name) && entry->type == type);
	entry_unref(entry);
	return hit;
}

static void an_entry_is_fresh_then_stale_then_gone(void **state)
{
	struct cache *cache = cache_new(1 << 20, hash_key);
	uint64_t n, bytes;

	(void)state; /* cmocka's signature */
	put(cache, WIRE("w.example.org."), 1);
	assert_int_equal(get(cache, WIRE("w.example.org."), 1, NOW), CACHE_FRESH);
	assert_int_equal(get(cache, WIRE("w.example.org."), 28, NOW), CACHE_MISS);
	assert_int_equal(get(cache, WIRE("v.example.org."), 1, NOW), CACHE_MISS);
	assert_int_equal(get(cache, WIRE("w.example.org."), 1, NOW + 60 * NS_PER_S - 1),
	                 CACHE_FRESH);
	assert_int_equal(get(cache, WIRE("w.example.org."), 1, NOW + 60 * NS_PER_S), CACHE_STALE);
	assert_int_equal(get(cache, WIRE("w.example.org."), 1, NOW + 120 * NS_PER_S), CACHE_MISS);
	cache_usage(cache, &n, &bytes);
	assert_int_equal(n, 0);
	assert_int_equal(bytes, 0);
	cache_free(cache);
}

static void a_failure_never_replaces_what_can_be_served_stale(void **state)
{
	struct cache *cache = cache_new(1 << 20, hash_key);
	const uint8_t *name = WIRE("w.example.org.");
	struct entry *failure = entry_failure(name, 1, 2, NOW + 70 * NS_PER_S, 5), *got = NULL;
	struct entry *late = entry_failure(name, 1, 2, NOW + 200 * NS_PER_S, 5);

	(void)state; /* cmocka's signature */
	put(cache, name, 1);
	assert_int_equal(cache_failed_until(cache, name, 1, NOW + 70 * NS_PER_S), 0);
	cache_put(cache, failure, NOW + 70 * NS_PER_S, NULL);
	assert_int_equal(cache_get(cache, name, 1, NOW + 70 * NS_PER_S, &got), CACHE_STALE);
	assert_int_equal(got->kind, ENTRY_DATA);
	entry_unref(got);
	assert_int_equal(cache_failed_until(cache, name, 1, NOW + 70 * NS_PER_S),
	                 NOW + 100 * NS_PER_S);
	assert_int_equal(cache_failed_until(cache, name, 1, NOW + 100 * NS_PER_S), 0);

	cache_put(cache, late, NOW + 200 * NS_PER_S, NULL); /* nothing left that could be served */
	assert_int_equal(cache_get(cache, name, 1, NOW + 200 * NS_PER_S, &got), CACHE_FRESH);
	assert_int_equal(got->kind, ENTRY_FAILURE);
	entry_unref(got);
	entry_unref(failure);
	entry_unref(late);
	cache_free(cache);
}

static void new_data_replaces_old(void **state)
{
	struct cache *cache = cache_new(1 << 20, hash_key);
	const uint8_t *name = WIRE("w.example.org.");
	struct entry *second = entry_of(name, 1), *got = NULL;
	uint64_t n, bytes, bytes_before;

	(void)state; /* cmocka's signature */
	put(cache, name, 1);
	cache_usage(cache, &n, &bytes_before);
	cache_put(cache, second, NOW, NULL);
	cache_usage(cache, &n, &bytes);
	assert_int_equal(n, 1);
	assert_int_equal(bytes, bytes_before);
	assert_int_equal(cache_get(cache, name, 1, NOW, &got), CACHE_FRESH);
	assert_ptr_equal(got, second);
	entry_unref(got);
	entry_unref(second);
	cache_free(cache);
}

static void what_has_no_life_is_not_kept(void **state)
{
	struct cache *cache = cache_new(1 << 20, hash_key);
	struct entry *entry = entry_of(WIRE("w.example.org."), 1);
	uint64_t n, bytes;

	(void)state; /* cmocka's signature */
	entry->expires_ns = entry->stale_until_ns = NOW;
	cache_put(cache, entry, NOW, NULL);
	cache_usage(cache, &n, &bytes);
	assert_int_equal(n, 0);
	entry_unref(entry);
	cache_free(cache);
}

static void bytes_stay_within_the_limit(void **state)
{
	struct stats_lane lane = { 0 };
	struct cache *cache = cache_new(256 << 10, hash_key);
	uint64_t n, bytes;

	(void)state; /* cmocka's signature */
	for (unsigned int i = 0; i < 5000; i++) {
		uint8_t wire[NAME_MAX_WIRE];
		struct entry *entry = entry_of(numbered("n", i, wire), 1);

		cache_put(cache, entry, NOW, &lane);
		entry_unref(entry);
		cache_usage(cache, &n, &bytes);
		if (bytes > 256 << 10)
			fail_msg("after %u entries: %lu bytes", i + 1, (unsigned long)bytes);
	}
	assert_true(n > 100);
	assert_int_equal(lane.counts[COUNT_CACHE_EVICTED], 5000 - n);

	cache_resize(cache, 64 << 10);
	cache_usage(cache, &n, &bytes);
	assert_true(bytes <= 64 << 10 && n > 10);
	cache_free(cache);
}

/* Names that were asked twice survive a flood of ten times the cache's size of names asked once. */
static void a_scan_does_not_push_out_what_is_used(void **state)
{
	enum { HOT = 50, FLOOD = 10000 };
	struct cache *cache = cache_new(256 << 10, hash_key);
	unsigned int n_kept = 0;
	uint8_t wire[NAME_MAX_WIRE];

	(void)state; /* cmocka's signature */
	for (unsigned int i = 0; i < HOT; i++) {
		put(cache, numbered("hot", i, wire), 1);
		get(cache, numbered("hot", i, wire), 1, NOW);
	}
	for (unsigned int i = 0; i < FLOOD; i++)
		put(cache, numbered("flood", i, wire), 1);
	for (unsigned int i = 0; i < HOT; i++)
		n_kept += get(cache, numbered("hot", i, wire), 1, NOW) == CACHE_FRESH;
	assert_int_equal(n_kept, HOT);
	cache_free(cache);
}

/* What comes back soon after it was thrown out goes to main at once, where a scan cannot reach it.
 */
static void a_ghost_is_remembered(void **state)
{
	struct cache *cache = cache_new(64 << 10, hash_key);
	uint8_t wire[NAME_MAX_WIRE];

	(void)state; /* cmocka's signature */
	/* 150 names that are used, one that is not, and as many as throw that one out. */
	for (unsigned int i = 0; i < 150; i++) {
		put(cache, numbered("hot", i, wire), 1);
		get(cache, numbered("hot", i, wire), 1, NOW);
	}
	put(cache, WIRE("back.example.org."), 1);
	for (unsigned int i = 0; i < 200; i++)
		put(cache, numbered("flood", i, wire), 1);
	assert_int_equal(get(cache, WIRE("back.example.org."), 1, NOW), CACHE_MISS);

	put(cache, WIRE("back.example.org."), 1);
	put(cache, WIRE("new.example.org."), 1);
	for (unsigned int i = 0; i < 1000; i++)
		put(cache, numbered("scan", i, wire), 1);
	assert_int_equal(get(cache, WIRE("back.example.org."), 1, NOW), CACHE_FRESH);
	assert_int_equal(get(cache, WIRE("new.example.org."), 1, NOW), CACHE_MISS);
	cache_free(cache);
}

static void flushing_takes_names_and_raises_the_generation(void **state)
{
	struct cache *cache = cache_new(8 << 20, hash_key); /* several shards */
	uint64_t generation = cache_generation(cache), n, bytes;

	(void)state; /* cmocka's signature */
	put(cache, WIRE("example.org."), 1);
	put(cache, WIRE("example.org."), 28);
	put(cache, WIRE("w.example.org."), 1);
	put(cache, WIRE("a.w.example.org."), 1);
	put(cache, WIRE("example.test."), 1);
	assert_int_equal(cache_flush(cache, WIRE("Example.ORG."), false), 2);
	assert_true(cache_generation(cache) > generation);
	assert_int_equal(get(cache, WIRE("w.example.org."), 1, NOW), CACHE_FRESH);
	assert_int_equal(cache_flush(cache, WIRE("w.example.org."), true), 2);
	assert_int_equal(cache_flush(cache, WIRE("."), true), 1);
	cache_usage(cache, &n, &bytes);
	assert_int_equal(n, 0);
	assert_int_equal(bytes, 0);
	cache_free(cache);
}

enum { THREADS_N = 4, ROUNDS = 4000, NAMES = 200 };

struct player {
	struct cache *cache;
	unsigned int seed;
	unsigned int n_hits;
	struct stats_lane lane;
};

static void *play(void *arg)
{
	struct player *p = arg;
	uint64_t x = p->seed;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint8_t wire[NAME_MAX_WIRE];
		const uint8_t *name;
		struct entry *entry = NULL;
		uint64_t n, bytes;

		x = x * 6364136223846793005u + 1442695040888963407u;
		name = numbered("n", (unsigned int)(x >> 33) % NAMES, wire);
		switch ((x >> 20) % 16) {
		case 0:
			cache_flush(p->cache, name, false);
			break;
		case 1:
			cache_resize(p->cache, (x >> 24) % 2 ? 64 << 10 : 128 << 10);
			break;
		case 2:
			cache_usage(p->cache, &n, &bytes);
			break;
		case 3:
		case 4:
		case 5:
		case 6:
			entry = entry_of(name, 1);
			cache_put(p->cache, entry, NOW, &p->lane);
			break;
		default:
			if (cache_get(p->cache, name, 1, NOW, &entry) == CACHE_FRESH)
				p->n_hits += entry->name[0] == name[0];
			break;
		}
		entry_unref(entry);
	}
	return NULL;
}

/* Under ThreadSanitizer this shows races, under AddressSanitizer references that are one too few.
 */
static void threads_share_it(void **state)
{
	struct cache *cache = cache_new(128 << 10, hash_key);
	static struct player players[THREADS_N];
	pthread_t threads[THREADS_N];

	(void)state; /* cmocka's signature */
	for (unsigned int i = 0; i < THREADS_N; i++) {
		players[i].cache = cache;
		players[i].seed = i + 1;
		assert_int_equal(pthread_create(&threads[i], NULL, play, &players[i]), 0);
	}
	for (unsigned int i = 0; i < THREADS_N; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_true(players[i].n_hits > 0);
	}
	cache_free(cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_entry_is_fresh_then_stale_then_gone),
		cmocka_unit_test(a_failure_never_replaces_what_can_be_served_stale),
		cmocka_unit_test(new_data_replaces_old),
		cmocka_unit_test(what_has_no_life_is_not_kept),
		cmocka_unit_test(bytes_stay_within_the_limit),
		cmocka_unit_test(a_scan_does_not_push_out_what_is_used),
		cmocka_unit_test(a_ghost_is_remembered),
		cmocka_unit_test(flushing_takes_names_and_raises_the_generation),
		cmocka_unit_test(threads_share_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
