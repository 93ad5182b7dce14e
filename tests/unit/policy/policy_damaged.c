/* tests/unit/policy/policy_damaged.c - a damaged image is refused or judged safely, never a crash.
 *
 * The checksum is put right after each change, so that the readers' own checks are what is tested;
 * the sanitizers tell whether one of them reads outside. The image lies in a block of its exact
 * size.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "damage.h"
#include "fixture.h"
#include "sallyport/err.h"

static const char policy_text[] =
    "version: 1\n"
    "profiles:\n"
    "  base: {allow: [{zone: base.test, ports: [tcp/1-5, icmp]}], feeds: [d]}\n"
    "  p:\n"
    "    extends: [base]\n"
    "    allow:\n"
    "      - {name: a.test, owner: o, reason: r, ticket: t, types: [A, TXT]}\n"
    "      - {name: '**.x*y.b.test', internal: true, expires: 2030-01-01}\n"
    "      - {name: '*.*.b.test'}\n"
    "      - {name: 'c*d*e.b.test', follow: any}\n"
    "    deny: [{zone: evil.base.test, final: true}, {name: '*.b.test', types: [A]}]\n"
    "    feeds: [r]\n"
    "feeds: {d: {file: d, format: domains}, r: {file: r, format: rpz}}\n"
    "workloads: {w: {source: [192.0.2.1, '2001:db8::1', 10.0.0.0/8], profile: p},\n"
    "            v: {source: '2001:db8:1::/48', listener: 192.0.2.53, profile: base}}\n"
    "hosts: [{name: h.base.test, address: [192.0.2.9, '2001:db8::9']}]\n";

static void open_sample(struct fixture *f)
{
	const char *feeds[] = { "d", "bad.test\nx.bad2.test\n", "r",
		                "*.bad3.test CNAME .\nok.bad3.test CNAME rpz-passthru.\n", NULL };

	fixture_open(f, policy_text, feeds);
}

static void every_octet_flipped(void **state)
{
	static const uint8_t flips[] = { 0x01, 0x80, 0xff, 0x10 };
	struct fixture f;
	size_t opened = 0;
	uint8_t *copy;

	(void)state;
	open_sample(&f);
	copy = malloc(f.image.len);
	assert_non_null(copy);
	for (size_t i = 0; i < f.image.len; i++) {
		for (size_t k = 0; k < ARRAY_LEN(flips); k++) {
			memcpy(copy, f.image.data, f.image.len);
			copy[i] ^= flips[k];
			damage_rechecksum(copy, f.image.len);
			opened += damage_exercise(copy, f.image.len);
		}
	}
	print_message("%zu images of %zu octets opened\n", opened, f.image.len);
	assert_true(opened > f.image.len); /* else only the head would have been tested */
	free(copy);
	fixture_close(&f);
}

/* Whole fields, too: counts and indexes at the edges of their types. */
static void every_word_replaced(void **state)
{
	static const uint32_t words[] = { 0, 1, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff };
	struct fixture f;
	uint8_t *copy;

	(void)state;
	open_sample(&f);
	copy = malloc(f.image.len);
	assert_non_null(copy);
	for (size_t i = 0; i + 4 <= f.image.len; i += 4) {
		for (size_t k = 0; k < ARRAY_LEN(words); k++) {
			memcpy(copy, f.image.data, f.image.len);
			memcpy(copy + i, &words[k], 4);
			damage_rechecksum(copy, f.image.len);
			damage_exercise(copy, f.image.len);
		}
	}
	free(copy);
	fixture_close(&f);
}

static void every_cut_is_refused(void **state)
{
	struct fixture f;
	struct policy_image image;

	(void)state;
	open_sample(&f);
	for (size_t len = 0; len < f.image.len; len++) {
		uint8_t *copy = malloc(len ? len : 1);

		assert_non_null(copy);
		memcpy(copy, f.image.data, len);
		damage_rechecksum(copy, len);
		assert_int_equal(policy_image_open(copy, len, 1, &image), ERR_DAMAGED);
		free(copy);
	}
	fixture_close(&f);
}

/* Cut, and the head's length put right as well. */
static void every_cut_with_its_length_is_safe(void **state)
{
	struct fixture f;

	(void)state;
	open_sample(&f);
	for (size_t len = 0; len < f.image.len; len++) {
		uint8_t *copy = malloc(len ? len : 1);

		assert_non_null(copy);
		memcpy(copy, f.image.data, len);
		damage_relength(copy, len);
		damage_rechecksum(copy, len);
		damage_exercise(copy, len);
		free(copy);
	}
	fixture_close(&f);
}

static void a_wrong_checksum_is_refused(void **state)
{
	struct policy_image image;
	struct fixture f;
	uint8_t *copy;

	(void)state;
	open_sample(&f);
	copy = malloc(f.image.len);
	assert_non_null(copy);
	for (size_t i = 0; i < f.image.len; i++) {
		memcpy(copy, f.image.data, f.image.len);
		copy[i] ^= 0x20;
		if (policy_image_open(copy, f.image.len, 1, &image) >= 0)
			fail_msg("octet %zu is not covered", i);
	}
	free(copy);
	fixture_close(&f);
}

static void the_same_texts_make_the_same_image(void **state)
{
	struct fixture f, g;

	(void)state;
	open_sample(&f);
	open_sample(&g);
	assert_int_equal(f.image.len, g.image.len);
	assert_memory_equal(f.image.data, g.image.data, f.image.len);
	fixture_close(&f);
	fixture_close(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_octet_flipped),
		cmocka_unit_test(every_word_replaced),
		cmocka_unit_test(every_cut_is_refused),
		cmocka_unit_test(every_cut_with_its_length_is_safe),
		cmocka_unit_test(a_wrong_checksum_is_refused),
		cmocka_unit_test(the_same_texts_make_the_same_image),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
