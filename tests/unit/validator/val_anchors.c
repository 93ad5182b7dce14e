/* tests/unit/validator/val_anchors.c - anchors, negative ones, and which keys are read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "records.h"
#include "sallyport/cleanup.h"
#include "sallyport/err.h"
#include "val_anchor.h"
#include "val_key.h"
#include "val_wire.h"

static struct world world;

static int open_world(void **state)
{
	(void)state;
	world_init(&world);
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	world_fini(&world);
	return 0;
}

static void of_two_anchors_at_one_name_the_negative_counts(void **state)
{
	static const uint8_t ds[] = { 0, 1, 13, 2, 0 };
	const uint8_t *name = records_name(&world, "a.example.");
	const uint8_t *below = records_name(&world, "x.a.example.");

	(void)state;
	for (int order = 0; order < 2; order++) {
		CLEANUP(val_anchors_free) struct val_anchors *anchors = val_anchors_new();
		const struct val_anchor *anchor;

		for (int i = 0; i < 2; i++) {
			if (i == order)
				assert_int_equal(val_anchors_add_negative(anchors, name, 100),
				                 ERR_OK);
			else
				assert_int_equal(
				    val_anchors_add(anchors, name, VAL_TYPE_DS, ds, sizeof(ds)),
				    ERR_OK);
		}
		anchor = val_anchors_above(anchors, below, 99);
		assert_true(anchor && anchor->negative);
		anchor = val_anchors_above(anchors, below, 100);
		assert_true(anchor && !anchor->negative);
	}
}

static void of_two_negative_anchors_at_one_name_the_later_end_counts(void **state)
{
	static const uint64_t ends[][3] = {
		{ 10, 20, 20 }, { 20, 10, 20 }, { 0, 5, 0 }, { 5, 0, 0 }
	};
	const uint8_t *name = records_name(&world, "a.example.");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		CLEANUP(val_anchors_free) struct val_anchors *anchors = val_anchors_new();

		assert_int_equal(val_anchors_add_negative(anchors, name, ends[i][0]), ERR_OK);
		assert_int_equal(val_anchors_add_negative(anchors, name, ends[i][1]), ERR_OK);
		assert_int_equal(val_anchors_above(anchors, name, 1)->until_s, ends[i][2]);
	}
}

static void anchors_are_read_from_text_or_the_line_is_named(void **state)
{
	static const struct {
		const char *title, *text;
		int r;
		unsigned int line;
	} cases[] = {
		{ "DS and DNSKEY, comments and blank lines",
		  "; the zone\n\nexample. IN DS 1 13 2 00 ; a comment\n"
		  "\texample. 3600 DNSKEY 257 3 13 AAAA\r\n",
		  ERR_OK, 4 },
		{ "nothing", "", ERR_OK, 0 },
		{ "no newline at the end", "example. DS 1 13 2 00", ERR_OK, 1 },
		{ "another type", "example. DS 1 13 2 00\nexample. A 192.0.2.1\n", ERR_MALFORMED,
		  2 },
		{ "another class", "example. CH DS 1 13 2 00\n", ERR_MALFORMED, 1 },
		{ "a DS without a digest", "example. DS 1 13 2\n", ERR_MALFORMED, 1 },
		{ "no record at all", "\n\nwhat is this\n", ERR_MALFORMED, 3 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(val_anchors_free) struct val_anchors *anchors = val_anchors_new();
		unsigned int line = 0;
		int r = val_anchors_read(anchors, cases[i].text, &line);

		if (r != cases[i].r || line != cases[i].line)
			fail_msg("%s: %d, line %u", cases[i].title, r, line);
	}
}

static void anchors_are_bounded(void **state)
{
	static const uint8_t ds[] = { 0, 1, 13, 2, 0 };
	CLEANUP(val_anchors_free) struct val_anchors *anchors = val_anchors_new();
	char text[32];

	(void)state;
	for (unsigned int i = 0; i < VAL_ANCHOR_RECORDS; i++)
		assert_int_equal(val_anchors_add(anchors, records_name(&world, "a."), VAL_TYPE_DS,
		                                 ds, sizeof(ds)),
		                 ERR_OK);
	assert_int_equal(
	    val_anchors_add(anchors, records_name(&world, "a."), VAL_TYPE_DS, ds, sizeof(ds)),
	    ERR_LIMIT);
	for (unsigned int i = 1; i < VAL_ANCHORS; i++) {
		snprintf(text, sizeof(text), "n%u.", i);
		assert_int_equal(val_anchors_add_negative(anchors, records_name(&world, text), 0),
		                 ERR_OK);
	}
	assert_int_equal(val_anchors_add_negative(anchors, records_name(&world, "more."), 0),
	                 ERR_LIMIT);
	assert_int_equal(val_anchors_add_negative(anchors, records_name(&world, "n1."), 9), ERR_OK);
}

/* What is no key is left out: signatures by it verify nothing. */
static void keys_that_are_none_are_not_read(void **state)
{
	static const struct {
		const char *title;
		uint8_t algorithm;
		size_t len;
		uint8_t head[8];
	} cases[] = {
		{ "RSA without anything", 8, 1, { 0 } },
		{ "RSA without a modulus", 8, 4, { 3, 1, 0, 1 } },
		{ "RSA with an exponent of no octets", 8, 140, { 0, 0, 0, 1 } },
		{ "RSA with an exponent longer than the key", 8, 20, { 19, 1, 0, 1 } },
		{ "RSA with a long exponent that is cut", 8, 20, { 0, 1, 0, 1 } },
		{ "RSA with an exponent of nine octets", 8, 140, { 9, 1, 1, 1, 1, 1, 1, 1 } },
		{ "RSA with an even exponent", 8, 132, { 3, 1, 0, 0, 0xff } },
		{ "RSA with the exponent one", 8, 130, { 1, 1, 0xff } },
		{ "RSA of 504 bits", 8, 4 + 63, { 3, 1, 0, 1, 0xff } },
		{ "RSA of 4104 bits", 8, 4 + 513, { 3, 1, 0, 1, 0xff } },
		{ "P-256 off the curve", 13, 64, { 1 } },
		{ "P-256 with an octet too few", 13, 63, { 1 } },
		{ "P-256 with an octet too many", 13, 65, { 1 } },
		{ "P-384 of a P-256 key's length", 14, 64, { 1 } },
		{ "Ed25519 too short", 15, 31, { 1 } },
		{ "Ed448 too short", 16, 56, { 1 } },
		{ "an unknown algorithm", 99, 64, { 1 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t rdata[4 + 600];
		struct val_key key = { 0 };

		memset(rdata, 0x55, sizeof(rdata)); /* odd */
		val_put16(rdata, 257);
		rdata[2] = 3;
		rdata[3] = cases[i].algorithm;
		memcpy(rdata + 4, cases[i].head, MIN(cases[i].len, sizeof(cases[i].head)));
		if (val_key_read(&(struct val_rdata){ rdata, (uint16_t)(4 + cases[i].len) }, false,
		                 &key))
			fail_msg("%s", cases[i].title);
	}
}

/* RFC 3110: both ends of the lengths that are taken. */
static void rsa_keys_at_the_limits_are_read(void **state)
{
	static const size_t octets[] = { 64, 512 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(octets); i++) {
		uint8_t rdata[4 + 4 + 512];
		struct val_key key = { 0 };

		memset(rdata, 0xff, sizeof(rdata));
		memcpy(rdata, "\1\1\3\10\3\1\0\1", 8);
		assert_true(val_key_read(&(struct val_rdata){ rdata, (uint16_t)(8 + octets[i]) },
		                         false, &key));
		EVP_PKEY_free(key.pkey);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_two_anchors_at_one_name_the_negative_counts),
		cmocka_unit_test(of_two_negative_anchors_at_one_name_the_later_end_counts),
		cmocka_unit_test(anchors_are_read_from_text_or_the_line_is_named),
		cmocka_unit_test(anchors_are_bounded),
		cmocka_unit_test(keys_that_are_none_are_not_read),
		cmocka_unit_test(rsa_keys_at_the_limits_are_read),
	};

	return cmocka_run_group_tests(tests, open_world, close_world);
}
