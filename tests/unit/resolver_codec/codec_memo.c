/* The memo of forms: what is one key, when a form is void, and what it may weigh. */
#include <stdio.h>

#include "memo.h"
#include "message.h"
#include "sallyport/clock.h"
#include "sallyport/cleanup.h"

#define NOW (1000 * NS_PER_S)

static const uint8_t hash_key[16] = "a key for tests";

static struct form *form_of(const uint8_t *name, uint64_t uid)
{
	uint8_t addr[1][ADDR_LEN] = { { [10] = 0xff, 0xff, 9, 9, 9, 9 } };
	struct form_spec spec = { .qname = name, .qtype = 1, .now_ns = NOW };
	struct entry *entry = entry_from_hosts(name, 1, (const uint8_t(*)[ADDR_LEN])addr, 1, NOW);
	struct form *form;

	assert_non_null(entry);
	assert_int_equal(form_make(&entry, 1, &spec, uid, &form), 0);
	entry_unref(entry);
	return form;
}

static struct memo_key key_of(const uint8_t *name)
{
	return (struct memo_key){
		.name = name,
		.name_len = (uint8_t)name_wire_len(name, NAME_MAX_WIRE),
		.type = 1,
		.policy_version = 3,
		.profile = 4,
		.rule = 5,
		.reason = REASON_RULE,
		.flags = MEMO_DO,
		.cache_generation = 6,
	};
}

static void put(struct memo *memo, const struct memo_key *key, uint64_t uid, uint64_t until_ns)
{
	struct form *form = form_of(key->name, uid);

	memo_put(memo, key, form, until_ns);
	form_unref(form);
}

static void each_field_is_part_of_the_key(void **state)
{
	struct memo *memo = memo_new(1 << 20, hash_key);
	const uint8_t *name = WIRE("w.example.org.");
	struct memo_key key = key_of(name), other;

	(void)state; /* cmocka's signature */
	put(memo, &key, 7, UINT64_MAX);
	assert_non_null(memo_get(memo, &key, NOW));
	assert_int_equal(memo_get(memo, &key, NOW)->uid, 7);
#define OTHER(field, value)                                                                        \
	other = key;                                                                               \
	other.field = value;                                                                       \
	assert_null(memo_get(memo, &other, NOW))
	OTHER(type, 28);
	OTHER(policy_version, 4);
	OTHER(profile, 5);
	OTHER(rule, 6);
	OTHER(reason, REASON_FOLLOW);
	OTHER(flags, 0);
	OTHER(flags, MEMO_DO | MEMO_INTERNAL);
	OTHER(cache_generation, 7);
	OTHER(name, WIRE("v.example.org."));
	OTHER(name_len, 14);
#undef OTHER
	memo_free(memo);
}

static void a_form_is_void_when_its_time_is_over(void **state)
{
	struct memo *memo = memo_new(1 << 20, hash_key);
	struct memo_key key = key_of(WIRE("w.example.org."));

	(void)state;                    /* cmocka's signature */
	put(memo, &key, 1, UINT64_MAX); /* hosts data lives 60 s */
	assert_non_null(memo_get(memo, &key, NOW + 59 * NS_PER_S));
	assert_null(memo_get(memo, &key, NOW + 60 * NS_PER_S));
	assert_null(memo_get(memo, &key, NOW));  /* it has gone */
	put(memo, &key, 2, NOW + 10 * NS_PER_S); /* the rule expires earlier */
	assert_non_null(memo_get(memo, &key, NOW + 9 * NS_PER_S));
	assert_null(memo_get(memo, &key, NOW + 10 * NS_PER_S));
	memo_free(memo);
}

static void a_newer_form_takes_the_place(void **state)
{
	struct memo *memo = memo_new(1 << 20, hash_key);
	struct memo_key key = key_of(WIRE("w.example.org."));

	(void)state; /* cmocka's signature */
	put(memo, &key, 1, UINT64_MAX);
	put(memo, &key, 2, UINT64_MAX);
	assert_int_equal(memo_get(memo, &key, NOW)->uid, 2);
	memo_free(memo);
}

static const uint8_t *numbered(unsigned int i, uint8_t wire[static NAME_MAX_WIRE])
{
	char text[64];

	snprintf(text, sizeof(text), "n%u.example.org.", i);
	return wire_of(text, wire);
}

/* However many forms come, the memo keeps to its size; one that is used outlives those that are
 * not, as long as they do not all fall into its set. */
static void the_size_is_kept_and_use_counts(void **state)
{
	enum { N = 20000 };
	struct memo *memo = memo_new(1 << 20, hash_key);
	struct memo_key hot = key_of(WIRE("hot.example.org."));
	unsigned int n_hits = 0, n_lost = 0;

	(void)state; /* cmocka's signature */
	put(memo, &hot, 1, UINT64_MAX);
	for (unsigned int i = 0; i < N; i++) {
		uint8_t wire[NAME_MAX_WIRE];
		struct memo_key key = key_of(numbered(i, wire));

		put(memo, &key, 2, UINT64_MAX);
		if (!memo_get(memo, &hot, NOW)) {
			n_lost++;
			put(memo, &hot, 1, UINT64_MAX);
		}
	}
	for (unsigned int i = 0; i < N; i++) {
		uint8_t wire[NAME_MAX_WIRE];
		struct memo_key key = key_of(numbered(i, wire));

		n_hits += memo_get(memo, &key, NOW) != NULL;
	}
	/* A form, its entry and its node are more than 450 octets here. */
	assert_true(n_hits > 100 && n_hits < (1 << 20) / 450);
	assert_true(n_lost < 5);
	memo_free(memo);
}

static void what_is_too_heavy_is_not_kept(void **state)
{
	struct memo *memo = memo_new(1024, hash_key);
	struct memo_key key = key_of(WIRE("w.example.org."));

	(void)state; /* cmocka's signature */
	put(memo, &key, 1, UINT64_MAX);
	assert_null(memo_get(memo, &key, NOW));
	memo_free(memo);
}

/* The cache does not see what is served from here: use is passed on to the entry's counter. */
static void use_is_told_to_the_cache(void **state)
{
	struct memo *memo = memo_new(1 << 20, hash_key);
	struct memo_key key = key_of(WIRE("w.example.org."));
	struct form *form = form_of(key.name, 1);

	(void)state; /* cmocka's signature */
	memo_put(memo, &key, form, UINT64_MAX);
	assert_int_equal(form->links[0]->freq, 0);
	assert_ptr_equal(memo_get(memo, &key, NOW), form);
	assert_int_equal(form->links[0]->freq, 1);
	form_unref(form);
	memo_free(memo);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_field_is_part_of_the_key),
		cmocka_unit_test(a_form_is_void_when_its_time_is_over),
		cmocka_unit_test(a_newer_form_takes_the_place),
		cmocka_unit_test(the_size_is_kept_and_use_counts),
		cmocka_unit_test(what_is_too_heavy_is_not_kept),
		cmocka_unit_test(use_is_told_to_the_cache),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
