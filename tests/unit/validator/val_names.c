/* tests/unit/validator/val_names.c - names in order, type bit maps, canonical forms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "records.h"
#include "sallyport/cleanup.h"
#include "sallyport/err.h"
#include "sallyport/name.h"
#include "val_canon.h"
#include "val_nsec.h"
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

/* RFC 4034, section 6.1, with the root before and the names of RFC 4592 behind. */
static const char *const in_order[] = {
	".",
	"example.",
	"a.example.",
	"yljkjljk.a.example.",
	"z.a.example.",
	"zabc.a.example.",
	"z.example.",
	"\\001.z.example.",
	"*.z.example.",
	"\\200.z.example.",
	"zz.example.",
};

static void names_stand_in_canonical_order(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(in_order); i++) {
		for (size_t k = 0; k < ARRAY_LEN(in_order); k++) {
			int got = val_name_cmp(records_name(&world, in_order[i]),
			                       records_name(&world, in_order[k]));

			if ((got < 0) != (i < k) || (got > 0) != (i > k))
				fail_msg("%s and %s: %d", in_order[i], in_order[k], got);
		}
	}
}

static void common_labels_are_counted_from_the_root(void **state)
{
	static const struct {
		const char *a, *b;
		unsigned int want;
	} cases[] = {
		{ ".", "example.", 0 },
		{ "a.example.", "b.example.", 1 },
		{ "a.b.example.", "c.b.example.", 2 },
		{ "b.example.", "a.b.example.", 2 },
		{ "a.b.example.", "a.b.example.", 3 },
		{ "a.b.", "a.c.", 0 },
		{ "ab.example.", "b.example.", 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(val_common_labels(records_name(&world, cases[i].a),
		                                   records_name(&world, cases[i].b)),
		                 cases[i].want);
}

static void a_wildcard_fits_into_a_name_or_there_is_none(void **state)
{
	uint8_t parent[NAME_MAX_WIRE] = { 0 }, name[NAME_MAX_WIRE];
	size_t at = 0;

	(void)state;
	for (size_t label = 0; label < 4; label++) {
		parent[at] = label < 3 ? 63 : 59;
		at += 1u + parent[at];
	}
	assert_int_equal(val_name_size(parent), 253);
	assert_true(val_wildcard(parent, name));
	assert_int_equal(val_name_size(name), 255);
	parent[3 * 64] = 60;
	parent[3 * 64 + 61] = 0;
	assert_int_equal(val_name_size(parent), 254);
	assert_false(val_wildcard(parent, name));
}

/* RFC 4034, section 4.3: A MX RRSIG NSEC TYPE1234. */
static const uint8_t bitmap[] = { 0x00, 0x06, 0x40, 0x01, 0x00, 0x00, 0x00, 0x03, 0x04, 0x1b,
	                          0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	                          0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	                          0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x20 };

static void the_bit_map_of_rfc_4034_says_what_it_says(void **state)
{
	(void)state;
	assert_true(val_bitmap_valid(bitmap, sizeof(bitmap)));
	for (unsigned int type = 0; type < 65536; type++) {
		bool want = type == 1 || type == 15 || type == 46 || type == 47 || type == 1234;

		if (val_bitmap_has(bitmap, sizeof(bitmap), (uint16_t)type) != want)
			fail_msg("type %u", type);
	}
}

static void a_broken_bit_map_is_refused(void **state)
{
	static const struct {
		const char *title;
		uint8_t map[40];
		size_t len;
	} cases[] = {
		{ "a window without a length", { 0 }, 1 },
		{ "a window of no octets", { 0, 0 }, 2 },
		{ "a window that is cut short", { 0, 2, 0x40 }, 3 },
		{ "a window of 33 octets", { 0, 33 }, 35 },
		{ "two windows of one number", { 0, 1, 0x40, 0, 1, 0x40 }, 6 },
		{ "windows out of order", { 1, 1, 0x40, 0, 1, 0x40 }, 6 },
	};

	(void)state;
	assert_true(val_bitmap_valid(bitmap, 0)); /* an empty non-terminal's NSEC3 */
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (val_bitmap_valid(cases[i].map, cases[i].len))
			fail_msg("%s", cases[i].title);
	}
	for (size_t len = 1; len < sizeof(bitmap); len++) {
		if (len != 8 && val_bitmap_valid(bitmap, len)) /* 8: after the first window */
			fail_msg("cut at %zu", len);
	}
}

/* Names in RDATA are lowered by type; nothing else is (RFC 4034, section 6.2; RFC 6840, 5.1). */
static void rdata_is_lowered_where_it_has_to_be(void **state)
{
	static const struct {
		const char *type, *rdata, *want;
		size_t len;
		int r;
	} cases[] = {
		{ "NS", "\1A\0", "\1a\0", 3, ERR_OK },
		{ "MX", "AB\1A\0", "AB\1a\0", 5, ERR_OK },
		{ "SRV", "ABCDEF\1A\0", "ABCDEF\1a\0", 9, ERR_OK },
		{ "SOA", "\1A\0\1B\0ABCDABCDABCDABCDABCD", "\1a\0\1b\0ABCDABCDABCDABCDABCD", 26,
		  ERR_OK },
		{ "NAPTR", "ABCD\1U\1S\1R\1A\0", "ABCD\1U\1S\1R\1a\0", 13, ERR_OK },
		{ "DNAME", "\1A\0", "\1a\0", 3, ERR_OK },
		{ "NSEC", "\1A\0\0\1@", "\1A\0\0\1@", 6, ERR_OK },
		{ "TXT", "\1A", "\1A", 2, ERR_OK },
		{ "SVCB", "\0\1\1A\0", "\0\1\1A\0", 5, ERR_OK },
		{ "TYPE65280", "\1A\0", "\1A\0", 3, ERR_OK },
		{ "TYPE38", "\0ABCDEFGHIJKLMNOP", "\0ABCDEFGHIJKLMNOP", 17, ERR_OK },
		{ "TYPE38", "\100ABCDEFGH\1A\0", "\100ABCDEFGH\1a\0", 12, ERR_OK },
		{ "TYPE38", "\201", NULL, 1, ERR_MALFORMED },
		{ "TYPE38", "\100ABC", NULL, 4, ERR_MALFORMED },
		{ "NS", "\1A", NULL, 2, ERR_MALFORMED },
		{ "NS", "", NULL, 0, ERR_MALFORMED },
		{ "MX", "A", NULL, 1, ERR_MALFORMED },
		{ "MX", "AB", NULL, 2, ERR_MALFORMED },
		{ "MX", "AB\77abc", NULL, 6, ERR_MALFORMED },
		{ "MX", "AB\300\14", NULL, 4, ERR_MALFORMED },
		{ "NAPTR", "ABCD\7U", NULL, 6, ERR_MALFORMED },
		{ "SOA", "\1A\0", NULL, 3, ERR_MALFORMED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		/* exactly as long as it is, so that the sanitizer sees a read behind it */
		CLEANUP(free) uint8_t *in = malloc(cases[i].len + 1);
		CLEANUP(free) uint8_t *rdata = malloc(cases[i].len ? cases[i].len : 1);
		uint16_t type;

		memcpy(in, cases[i].rdata, cases[i].len);
		assert_int_equal(name_type_parse(cases[i].type, &type), ERR_OK);
		if (val_canon_rdata(type, in, cases[i].len, rdata) != cases[i].r)
			fail_msg("case %zu, %s", i, cases[i].type);
		if (cases[i].want)
			assert_memory_equal(rdata, cases[i].want, cases[i].len);
	}
}

/* What a signature with @labels is over, as far as the owner goes. */
static const char *signed_owner(const char *owner, uint8_t labels)
{
	static char text[NAME_TEXT_LEN];
	struct val_row row = {
		records_name(&world, owner), (const uint8_t *)"\1\2\3\4", 300, 4, 1, VAL_ANSWER
	};
	CLEANUP(val_message_free) struct val_message *message = records_group(&row, 1);
	CLEANUP(val_canon_free) struct val_canon *canon = NULL;
	uint8_t fields[VAL_SIG_FIXED + 1] = { 0 };
	const struct val_rdata rdata = { fields, sizeof(fields) };
	const uint8_t *octets;
	struct val_sig sig;

	fields[3] = labels;
	val_sig_read(&rdata, &sig);
	assert_int_equal(val_canon_make(&message->sets[0], &canon), ERR_OK);
	if (val_canon_signed(canon, &rdata, &sig, &octets) == 0)
		return "-";
	name_to_text(octets + sizeof(fields), text);
	return text;
}

/* RFC 4034, section 3.1.3; RFC 4035, section 5.3.2. */
static void labels_tell_the_owner_that_was_signed(void **state)
{
	static const struct {
		const char *owner;
		uint8_t labels;
		const char *want;
	} cases[] = {
		{ "a.b.example.", 3, "a.b.example." },
		{ "a.b.example.", 2, "*.b.example." },
		{ "a.b.example.", 1, "*.example." },
		{ "a.b.example.", 0, "*." },
		{ "a.b.example.", 4, "-" },
		{ "*.b.example.", 2, "*.b.example." },
		{ "*.b.example.", 1, "*.example." },
		{ "*.b.example.", 3, "-" },
		{ "a.*.example.", 3, "a.*.example." },
		{ "a.*.example.", 2, "*.*.example." },
		{ "A.B.Example.", 3, "a.b.example." },
		{ ".", 0, "." },
		{ ".", 1, "-" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *got = signed_owner(cases[i].owner, cases[i].labels);

		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s with %u: %s", cases[i].owner, cases[i].labels, got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_stand_in_canonical_order),
		cmocka_unit_test(common_labels_are_counted_from_the_root),
		cmocka_unit_test(a_wildcard_fits_into_a_name_or_there_is_none),
		cmocka_unit_test(the_bit_map_of_rfc_4034_says_what_it_says),
		cmocka_unit_test(a_broken_bit_map_is_refused),
		cmocka_unit_test(rdata_is_lowered_where_it_has_to_be),
		cmocka_unit_test(labels_tell_the_owner_that_was_signed),
	};

	return cmocka_run_group_tests(tests, open_world, close_world);
}
