/* tests/unit/db/db_hostile.c - a worker gone mad against the historian.
 *
 * It may write anything anywhere into its ring's memory, at any moment. Whatever it does, the
 * historian lives, its files are sound, what the other worker tells is kept, and it says so:
 * records that break the format are counted, what is missing is a gap whose numbers can be added.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agg.h"
#include "kit.h"
#include "sallyport/cleanup.h"
#include "sallyport/clock.h"

#define SLOTS 1024
#define SUM_MAX (UINT64_C(1) << 50)

static int setup(void **state)
{
	*state = kit_new(SLOTS);
	return 0;
}

static uint64_t next_random(uint64_t *seed) /* splitmix64 */
{
	uint64_t x = *seed += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static const uint64_t values[] = {
	0,         1,         SLOTS - 1,  SLOTS,     SLOTS + 1,         2 * SLOTS,      UINT8_MAX,
	INT16_MAX, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_C(1) << 63, UINT64_MAX - 1, UINT64_MAX,
};

/* The honest worker tells; returns how many fitted. */
static unsigned int tell_honestly(struct kit *kit, unsigned int n)
{
	unsigned int told = 0;

	for (unsigned int i = 0; i < n; i++)
		told += kit_ask(kit, 1, &(struct kit_query){ .name = "honest.test." }) != 0;
	return told;
}

static void live(struct kit *kit, struct historian *h, unsigned int seconds)
{
	for (unsigned int i = 0; i < seconds * 4; i++) {
		kit_pass(kit, 250);
		kit_tick(kit, h);
	}
}

/* Every file passes SQLite's own check, and the gaps are numbers. */
static void check_sound(const struct kit *kit, uint64_t n_honest, const char *what, uint64_t value)
{
	struct kit_sums sums;

	if (kit_sql(kit, "2026-11-23.deny.db",
	            "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check='ok'") != 1)
		fail_msg("%s, %llx: the file is not sound", what, (unsigned long long)value);
	if ((uint64_t)kit_sql(kit, "2026-11-23.deny.db",
	                      "SELECT coalesce(sum(count), 0) FROM queries"
	                      " WHERE name='honest.test.'") != n_honest)
		fail_msg("%s, %llx: honest ones are missing", what, (unsigned long long)value);
	if (kit_sql(
		kit, "2026-11-23.deny.db",
		"SELECT count(*) FROM gap WHERE typeof(deny) || typeof(allow) || typeof(local) ||"
		" typeof(kernel_drops) <> 'integerintegerintegerinteger' OR deny < 0 OR allow < 0"
		" OR local < 0 OR kernel_drops < 0 OR until_us < from_us") != 0)
		fail_msg("%s, %llx: a gap that is no number", what, (unsigned long long)value);
	sums = kit_sum(kit);
	for (int v = 0; v < VERDICT_N; v++) {
		if (sums.lost[v] > SUM_MAX || sums.kernel_drops > SUM_MAX)
			fail_msg("%s, %llx: a gap of %llu", what, (unsigned long long)value,
			         (unsigned long long)sums.lost[v]);
	}
}

/* Each 8 octets of the head in turn, each value, before the historian starts and while it runs. */
static void each_word_of_the_head_may_be_anything(void **state)
{
	(void)state;
	for (size_t word = 0; word < sizeof(struct ring_head) / 8; word++) {
		struct kit kit;
		struct historian *h;
		uint64_t *head, n = 0;
		char what[32];

		kit_init(&kit, SLOTS);
		snprintf(what, sizeof(what), "word %zu", word);
		head = (uint64_t *)(void *)kit.producers[0].head;
		h = kit_historian(&kit);
		for (size_t i = 0; i < ARRAY_LEN(values); i++) {
			uint64_t was = head[word];

			kit_ask(&kit, 0, &(struct kit_query){ .name = "mad.test." });
			head[word] = values[i];
			n += tell_honestly(&kit, 5);
			live(&kit, h, 2);
			if (i % 5 == 4) { /* a successor finds it so, too */
				historian_free(h);
				head[0] = RING_MAGIC; /* else it is refused, see db_ring */
				head[2] = SLOTS;
				h = kit_historian(&kit);
			}
			if (i % 2)
				head[word] = was;
		}
		n += tell_honestly(&kit, 5);
		live(&kit, h, 12);
		kit_stop(&kit, h);
		check_sound(&kit, n, what, 0);
		kit_fini(&kit);
	}
}

/* Each octet of a record in turn; the query's, its head's and the answer's. */
/* At each place of names of some lengths: what cannot stand in presentation form is refused. */
static void each_octet_of_a_name_is_looked_at(void **state)
{
	_Alignas(struct record_query) uint8_t buf[sizeof(struct record_query) + 24];
	struct record_query *query = (void *)buf;
	char *name = (char *)(query + 1);

	(void)state;
	for (size_t len = 1; len <= 24; len++) {
		*query = (struct record_query){ .head = { .type = RECORD_QUERY },
			                        .verdict = VERDICT_ALLOW,
			                        .name_len = (uint16_t)len };
		memset(name, 'a', len);
		assert_true(agg_query_check(buf, sizeof(*query) + len));
		for (size_t at = 0; at < len; at++) {
			for (int octet = 0; octet < 256; octet++) {
				name[at] = (char)octet;
				assert_int_equal(agg_query_check(buf, sizeof(*query) + len),
				                 octet >= '!' && octet <= '~');
			}
			name[at] = 'a';
		}
	}
}

static void each_octet_of_a_record_may_be_anything(void **state)
{
	static const uint8_t octets[] = { 0, 1, 0x7f, 0x80, 0xff, '\n', 0x1b, '\\' };
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);
	struct ring_producer *ring = &kit->producers[0];
	uint64_t n = 0;

	for (size_t at = 0; at < 320; at++) {
		for (size_t i = 0; i < ARRAY_LEN(octets); i++) {
			size_t slot = (size_t)(ring->next % ring->n_slots) * RING_SLOT;

			kit_ask(kit, 0, &(struct kit_query){ .name = "mad.test.", .answer = 1 });
			kit_answer(kit, 0, (uint8_t)(at + i), "mad.example.org.",
			           "alias.example.org.");
			ring->slots[(slot + at) % (SLOTS * RING_SLOT)] = octets[i];
			kit_tick(kit, h);
		}
		n += tell_honestly(kit, 1);
		kit_pass(kit, 1000);
		kit_tick(kit, h);
	}
	live(kit, h, 12);
	kit_stop(kit, h);
	assert_true(kit_count(kit, COUNT_HISTORY_MALFORMED) > 500);
	check_sound(kit, n, "octets", 0);
}

/* Another process writes into the memory while it is being read. */
static void what_is_rewritten_while_it_is_read_harms_nothing(void **state)
{
	struct kit *kit = *state;
	struct historian *h = kit_historian(kit);
	uint64_t n = 0;
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		uint64_t seed = 4711, *words = (uint64_t *)(void *)kit->producers[0].slots;

		alarm(60); /* should the parent fail */
		for (;;) {
			uint64_t r = next_random(&seed);

			kit_ask(kit, 0, &(struct kit_query){ .name = "mad.test." });
			words[r % (SLOTS * RING_SLOT / 8)] = next_random(&seed);
			if (r % 64 == 0)
				atomic_store(&kit->producers[0].head->head,
				             atomic_load(&kit->producers[0].back->tail) +
				                 next_random(&seed) % (2 * SLOTS));
			if (r % 1024 == 0)
				atomic_store(&kit->producers[0].head->lost[r % VERDICT_N],
				             next_random(&seed));
		}
	}
	for (int i = 0; i < 4000; i++) {
		n += i % 8 == 0 ? tell_honestly(kit, 1) : 0;
		kit_pass(kit, 10);
		kit_tick(kit, h);
	}
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	live(kit, h, 12);
	kit_stop(kit, h);
	assert_true(kit_count(kit, COUNT_HISTORY_MALFORMED) > 0);
	check_sound(kit, n, "rewritten", 0);
	assert_true(kit_sum(kit).gaps > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, kit_teardown)
		cmocka_unit_test(each_word_of_the_head_may_be_anything),
		cmocka_unit_test(each_octet_of_a_name_is_looked_at),
		TEST(each_octet_of_a_record_may_be_anything),
		TEST(what_is_rewritten_while_it_is_read_harms_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
