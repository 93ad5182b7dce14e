/* tests/unit/validator/val_parts.c - names in order, canonical forms, bit maps, times, messages,
 * keys, anchors, the table: each small part for itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "records.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/limits.h"
#include "sallyport/name.h"
#include "val_anchor.h"
#include "val_canon.h"
#include "val_failure.h"
#include "val_nsec.h"
#include "val_trust.h"
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

static struct val_message *message_of(const struct val_row *rows, size_t n)
{
	struct val_message *message = NULL;

	assert_int_equal(val_message_make(rows, n, 0, &message), ERR_OK);
	return message;
}

/* What a signature with @labels is over, as far as the owner goes. */
static const char *signed_owner(const char *owner, uint8_t labels)
{
	static char text[NAME_TEXT_LEN];
	struct val_row row = {
		records_name(&world, owner), (const uint8_t *)"\1\2\3\4", 300, 4, 1, VAL_ANSWER
	};
	CLEANUP(val_message_free) struct val_message *message = message_of(&row, 1);
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

static void records_are_grouped_whatever_their_order(void **state)
{
	static const char text[] =
	    "b.example. 60 A 192.0.2.2\n"
	    "a.example. 300 A 192.0.2.1\n"
	    "B.Example. 300 A 192.0.2.3\n"
	    "a.example. 20 RRSIG A 13 2 300 1800000000 1700000000 1 example. AAAA\n"
	    "a.example. 300 AAAA 2001:db8::1\n"
	    "b.example. 300 A 192.0.2.2\n"
	    "c.example. 300 RRSIG MX 13 2 300 1800000000 1700000000 1 example. AAAA\n"
	    "b.example. 300 RRSIG A 13 2 300 1800000000 1700000000 1 example. AAAA\n"
	    "b.example. 300 RRSIG A 13 2 300 1800000000 1700000000 2 example. AAAA\n"
	    "b.example. 300 RRSIG A 13 2 300 1800000000 1700000000 1 example. AAAA\n";
	CLEANUP(val_message_free)
	struct val_message *message = records_message(&world, text, NULL, NULL, VAL_ANSWER);
	const struct val_set *set;

	(void)state;
	assert_int_equal(message->n_sets, 4);
	set = val_message_find(message, VAL_ANSWER, records_name(&world, "b.example."), 1);
	assert_non_null(set);
	assert_int_equal(set->n_rrs, 2);
	assert_int_equal(set->n_sigs, 2);
	assert_int_equal(set->ttl, 60);
	set = val_message_find(message, VAL_ANSWER, records_name(&world, "a.example."), 1);
	assert_int_equal(set->n_rrs, 1);
	assert_int_equal(set->n_sigs, 1);
	assert_int_equal(set->ttl, 20);
	/* a signature without records is no RRset that can be found */
	assert_null(val_message_find(message, VAL_ANSWER, records_name(&world, "c.example."), 15));
	assert_null(
	    val_message_find(message, VAL_AUTHORITY, records_name(&world, "b.example."), 1));
}

static void a_signature_that_is_cut_short_breaks_the_message(void **state)
{
	static const uint8_t sig[] = "\0\1\15\2\0\0\1\54\0\0\0\0\0\0\0\0\0\1\7example\0SIG";

	(void)state;
	for (uint16_t len = 0; len < sizeof(sig); len++) {
		CLEANUP(free) uint8_t *rdata = malloc(len + 1u);
		struct val_row row = { (const uint8_t *)"\1a\0", rdata,     300, len,
			               VAL_TYPE_RRSIG,           VAL_ANSWER };
		CLEANUP(val_message_free) struct val_message *message = NULL;
		bool whole = len >= VAL_SIG_FIXED + 9;

		memcpy(rdata, sig, len);
		if (val_message_make(&row, 1, 0, &message) != (whole ? ERR_OK : ERR_MALFORMED))
			fail_msg("cut at %u", len);
	}
}

static void an_empty_message_has_no_sets(void **state)
{
	CLEANUP(val_message_free) struct val_message *message = message_of(NULL, 0);

	(void)state;
	assert_int_equal(message->n_sets, 0);
}

/* Times are serial numbers (RFC 4034, section 3.1.5; RFC 1982): what counts is the distance, also
 * across the end of 32 bits. */
static void times_are_compared_across_the_wrap(void **state)
{
	static const struct {
		const char *title;
		uint32_t inception, expiration;
		uint64_t now;
		enum val_why want;
	} cases[] = {
		{ "plain", 1000000, 2000000, 1500000, VAL_WHY_NO_KEY },
		{ "before, beyond the skew", 1000000, 2000000, 800000, VAL_WHY_NOT_YET },
		{ "after, beyond the skew", 1000000, 2000000, 2200000, VAL_WHY_EXPIRED },
		{ "across the wrap, before it", 0xfff00000u, 0x00100000u, 0xfff80000u,
		  VAL_WHY_NO_KEY },
		{ "across the wrap, behind it", 0xfff00000u, 0x00100000u, 0x100080000,
		  VAL_WHY_NO_KEY },
		{ "across the wrap, too early", 0xfff00000u, 0x00100000u, 0xffd00000u,
		  VAL_WHY_NOT_YET },
		{ "across the wrap, too late", 0xfff00000u, 0x00100000u, 0x100300000,
		  VAL_WHY_EXPIRED },
		{ "the longest there is", 0, 0x7fffffffu, 0x3fffffffu, VAL_WHY_NO_KEY },
		{ "longer than there is", 0, 0x80000000u, 0x3fffffffu, VAL_WHY_PERIOD },
		{ "half the circle away", 1000, 2000, 0x80000000ull + 1500, VAL_WHY_EXPIRED },
		{ "ends before it begins", 2000000, 1000000, 1500000, VAL_WHY_PERIOD },
		{ "far in another round", 1000000, 2000000, (7ull << 32) + 1500000,
		  VAL_WHY_NO_KEY },
	};
	const struct val_keys none = { .n = 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t sig[VAL_SIG_FIXED + 9 + 4] = { 0, 1, 13, 2 };
		const struct val_row rows[] = {
			{ (const uint8_t *)"\1a\7example\0", (const uint8_t *)"\1\2\3\4", 300, 4, 1,
			  VAL_ANSWER },
			{ (const uint8_t *)"\1a\7example\0", sig, 300, sizeof(sig), VAL_TYPE_RRSIG,
			  VAL_ANSWER },
		};
		struct val_verified verified;
		struct val_budget budget;
		enum val_why why;

		val_put32(sig + 8, cases[i].expiration);
		val_put32(sig + 12, cases[i].inception);
		memcpy(sig + VAL_SIG_FIXED, "\7example\0", 9);

		CLEANUP(val_message_free) struct val_message *message = message_of(rows, 2);

		val_budget_init(&budget);
		why = val_verify_set(&message->sets[0], (const uint8_t *)"\7example\0", &none,
		                     &val_rules_default, cases[i].now, &budget, &verified);
		if (why != cases[i].want)
			fail_msg("%s: %s", cases[i].title, val_why_str(why));
	}
}

/* RFC 4035, section 5.3.1: what is wrong with the fields is found before any key is looked for. */
static void fields_are_checked_before_keys(void **state)
{
	static const struct {
		const char *title, *owner, *type;
		uint8_t labels;
		enum val_why want;
	} cases[] = {
		{ "in order", "a.example.", "A", 2, VAL_WHY_NO_KEY },
		{ "the apex", "example.", "SOA", 1, VAL_WHY_NO_KEY },
		{ "an owner beside the zone", "a.test.", "A", 2, VAL_WHY_SIGNER },
		{ "an owner above the zone", ".", "NS", 0, VAL_WHY_SIGNER },
		{ "an owner that only ends alike", "a.xexample.", "A", 2, VAL_WHY_SIGNER },
		{ "DS at the apex", "example.", "DS", 1, VAL_WHY_SIGNER },
		{ "DS below it", "a.example.", "DS", 2, VAL_WHY_NO_KEY },
		{ "more labels than the owner has", "a.example.", "A", 3, VAL_WHY_LABELS },
		{ "an asterisk does not count", "*.example.", "A", 2, VAL_WHY_LABELS },
		{ "a wildcard itself", "*.example.", "A", 1, VAL_WHY_NO_KEY },
		{ "fewer labels than the zone has", "a.example.", "A", 0, VAL_WHY_LABELS },
		{ "expanded", "a.b.example.", "A", 1, VAL_WHY_NO_KEY },
	};
	const struct val_keys none = { .n = 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t sig[VAL_SIG_FIXED + 9 + 4] = { 0 };
		struct val_row rows[2] = { 0 };
		struct val_verified verified;
		struct val_budget budget;
		enum val_why why;
		uint16_t type;

		assert_int_equal(name_type_parse(cases[i].type, &type), ERR_OK);
		val_put16(sig, type);
		sig[3] = cases[i].labels;
		val_put32(sig + 8, 2000000);
		val_put32(sig + 12, 1000000);
		memcpy(sig + VAL_SIG_FIXED, "\7example\0", 9);
		rows[0] = (struct val_row){ records_name(&world, cases[i].owner),
			                    (const uint8_t *)"\0\0\0\0",
			                    300,
			                    4,
			                    type,
			                    VAL_ANSWER };
		rows[1] = (struct val_row){ rows[0].owner,  sig,       300, sizeof(sig),
			                    VAL_TYPE_RRSIG, VAL_ANSWER };

		CLEANUP(val_message_free) struct val_message *message = message_of(rows, 2);

		val_budget_init(&budget);
		why = val_verify_set(&message->sets[0], (const uint8_t *)"\7example\0", &none,
		                     &val_rules_default, 1500000, &budget, &verified);
		if (why != cases[i].want)
			fail_msg("%s: %s", cases[i].title, val_why_str(why));
	}
}

/* RFC 4035, section 5.2; RFC 6840, section 4.4: what an NSEC at a name says of a delegation. */
static void the_bits_at_a_cut_tell_what_it_is(void **state)
{
	static const struct {
		const char *title, *text, *name;
		enum val_cut want;
	} cases[] = {
		{ "an unsigned delegation", "a.example. NSEC b.example. NS RRSIG NSEC",
		  "a.example.", VAL_CUT_INSECURE },
		{ "a signed one, whose DS is kept back",
		  "a.example. NSEC b.example. NS DS RRSIG NSEC", "a.example.", VAL_CUT_UNPROVEN },
		{ "the child's apex", "a.example. NSEC b.example. NS SOA RRSIG NSEC DNSKEY",
		  "a.example.", VAL_CUT_UNPROVEN },
		{ "no delegation", "a.example. NSEC b.example. A RRSIG NSEC", "a.example.",
		  VAL_CUT_NONE },
		{ "an alias", "a.example. NSEC b.example. CNAME RRSIG NSEC", "a.example.",
		  VAL_CUT_NONE },
		{ "no such name", "a.example. NSEC c.example. A RRSIG NSEC", "b.example.",
		  VAL_CUT_NOTHING },
		{ "an empty non-terminal", "a.example. NSEC x.b.example. A RRSIG NSEC",
		  "b.example.", VAL_CUT_NONE },
		{ "below a delegation", "a.example. NSEC b.example. NS RRSIG NSEC", "x.a.example.",
		  VAL_CUT_UNPROVEN },
		{ "below a DNAME", "a.example. NSEC b.example. DNAME RRSIG NSEC", "x.a.example.",
		  VAL_CUT_UNPROVEN },
		{ "somewhere else", "a.example. NSEC b.example. A RRSIG NSEC", "c.example.",
		  VAL_CUT_UNPROVEN },
		{ "nothing at all", "", "a.example.", VAL_CUT_UNPROVEN },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(val_message_free)
		struct val_message *message =
		    records_message(&world, cases[i].text, NULL, NULL, VAL_AUTHORITY);
		struct val_denial denial;
		struct val_budget budget;
		enum val_cut got;

		val_budget_init(&budget);
		val_denial_init(&denial, records_name(&world, "example."), &val_rules_default,
		                &budget);
		for (size_t k = 0; k < message->n_sets; k++)
			val_denial_add(&denial, &message->sets[k]);
		got = val_denial_ds(&denial, records_name(&world, cases[i].name));
		if (got != cases[i].want)
			fail_msg("%s: got %d", cases[i].title, got);
	}
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

static void put_row(struct val_table *table, const char *name, enum val_trust_kind kind,
                    uint64_t expires_ns)
{
	CLEANUP(val_trust_unref)
	struct val_trust *trust =
	    val_trust_new(records_name(&world, name), kind, VAL_WHY_NO_DS, NULL, expires_ns);

	assert_non_null(trust);
	val_table_put(table, trust);
}

static int kind_of(struct val_table *table, const char *name, uint64_t now_ns)
{
	CLEANUP(val_trust_unref)
	struct val_trust *trust = val_table_get(table, records_name(&world, name), now_ns);

	return trust ? trust->kind : -1;
}

static void the_table_keeps_the_newest_row_until_its_time(void **state)
{
	static const uint8_t key[16] = { 1 };
	CLEANUP(val_table_free) struct val_table *table = val_table_new(key);

	(void)state;
	put_row(table, "a.example.", VAL_TRUST_NO_CUT, 100);
	put_row(table, "b.example.", VAL_TRUST_INSECURE, 200);
	assert_int_equal(kind_of(table, "a.example.", 99), VAL_TRUST_NO_CUT);
	assert_int_equal(kind_of(table, "a.example.", 100), -1);
	assert_int_equal(kind_of(table, "b.example.", 100), VAL_TRUST_INSECURE);
	assert_int_equal(kind_of(table, "example.", 0), -1);
	put_row(table, "a.example.", VAL_TRUST_BOGUS, 300);
	assert_int_equal(kind_of(table, "a.example.", 99), VAL_TRUST_BOGUS);
	val_table_clear(table);
	assert_int_equal(kind_of(table, "a.example.", 99), -1);
}

static void the_table_is_bounded_and_forgets_the_oldest(void **state)
{
	static const uint8_t key[16] = { 1 };
	CLEANUP(val_table_free) struct val_table *table = val_table_new(key);
	unsigned int n_kept = 0, n_late = 0;
	char name[32];

	(void)state;
	for (unsigned int i = 0; i < 3 * VAL_TRUST_ROWS; i++) {
		snprintf(name, sizeof(name), "n%u.", i);
		put_row(table, name, VAL_TRUST_NO_CUT, UINT64_MAX);
	}
	for (unsigned int i = 0; i < 3 * VAL_TRUST_ROWS; i++) {
		snprintf(name, sizeof(name), "n%u.", i);
		n_kept += kind_of(table, name, 0) >= 0;
		if (i >= 3 * VAL_TRUST_ROWS - 1000)
			n_late += kind_of(table, name, 0) >= 0;
	}
	assert_true(n_kept <= VAL_TRUST_ROWS);
	assert_true(n_kept > VAL_TRUST_ROWS * 9 / 10);
	assert_true(n_late > 990); /* of a thousand newest */
}

static void every_reason_has_a_text_and_the_names_are_rfc_8914s(void **state)
{
	static const struct {
		enum val_why why;
		uint16_t ede;
	} cases[] = {
		{ VAL_WHY_DS_ALGORITHM, 1 },   { VAL_WHY_DS_DIGEST, 2 },
		{ VAL_WHY_NO_ANCHOR, 5 },      { VAL_WHY_SIGNATURE, 6 },
		{ VAL_WHY_EXPIRED, 7 },        { VAL_WHY_NOT_YET, 8 },
		{ VAL_WHY_NO_KEY, 9 },         { VAL_WHY_NO_SEP, 9 },
		{ VAL_WHY_RRSIG_MISSING, 10 }, { VAL_WHY_NO_ZONE_KEY, 11 },
		{ VAL_WHY_NSEC_MISSING, 12 },  { VAL_WHY_UNREACHABLE, 22 },
		{ VAL_WHY_PERIOD, 25 },        { VAL_WHY_ITERATIONS, 27 },
	};

	(void)state;
	for (unsigned int why = VAL_WHY_NONE + 1; why < VAL_WHY_N; why++)
		assert_true(strlen(val_why_str((enum val_why)why)) > 5);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(val_why_ede(cases[i].why), cases[i].ede);
}

static void a_failure_is_held_longer_each_time(void **state)
{
	static const uint8_t key[16] = { 3 }, name[] = "\7example";
	static const uint32_t holds_s[] = { 5, 10, 20, 40, 80, 160, 300, 300 };
	CLEANUP(val_failures_free) struct val_failures *failures = val_failures_new(key);
	struct val_failure failure = { .why = VAL_WHY_SIGNATURE, .type = 1, .tag = 7 }, got;
	uint64_t now = NS_PER_S;

	(void)state;
	assert_non_null(failures);
	assert_false(val_failures_get(failures, name, 1, now, &got));
	for (size_t i = 0; i < ARRAY_LEN(holds_s); i++) {
		val_failures_put(failures, name, 1, now, &failure);
		assert_int_equal(failure.until_ns - now, holds_s[i] * NS_PER_S);
		/* again within its time: the same failure */
		val_failures_put(failures, name, 1, now, &failure);
		assert_int_equal(failure.until_ns - now, holds_s[i] * NS_PER_S);
		assert_true(val_failures_get(failures, name, 1, failure.until_ns - 1, &got));
		assert_int_equal(got.why, VAL_WHY_SIGNATURE);
		assert_int_equal(got.tag, 7);
		assert_false(val_failures_get(failures, name, 28, now, &got));
		now = failure.until_ns;
		assert_false(val_failures_get(failures, name, 1, now, &got));
	}
	/* long after, or once it was good: a first one */
	now += VAL_FAILURE_MAX_S * NS_PER_S;
	val_failures_put(failures, name, 1, now, &failure);
	assert_int_equal(failure.until_ns - now, 5 * NS_PER_S);
	val_failures_put(failures, name, 1, failure.until_ns, &failure);
	assert_int_equal(failure.streak, 1);
	val_failures_forget(failures, name, 1);
	val_failures_put(failures, name, 1, now, &failure);
	assert_int_equal(failure.streak, 0);
	val_failures_clear(failures);
	assert_false(val_failures_get(failures, name, 1, now, &got));
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
		cmocka_unit_test(records_are_grouped_whatever_their_order),
		cmocka_unit_test(a_signature_that_is_cut_short_breaks_the_message),
		cmocka_unit_test(an_empty_message_has_no_sets),
		cmocka_unit_test(times_are_compared_across_the_wrap),
		cmocka_unit_test(fields_are_checked_before_keys),
		cmocka_unit_test(the_bits_at_a_cut_tell_what_it_is),
		cmocka_unit_test(of_two_anchors_at_one_name_the_negative_counts),
		cmocka_unit_test(of_two_negative_anchors_at_one_name_the_later_end_counts),
		cmocka_unit_test(keys_that_are_none_are_not_read),
		cmocka_unit_test(rsa_keys_at_the_limits_are_read),
		cmocka_unit_test(anchors_are_read_from_text_or_the_line_is_named),
		cmocka_unit_test(anchors_are_bounded),
		cmocka_unit_test(the_table_keeps_the_newest_row_until_its_time),
		cmocka_unit_test(the_table_is_bounded_and_forgets_the_oldest),
		cmocka_unit_test(every_reason_has_a_text_and_the_names_are_rfc_8914s),
		cmocka_unit_test(a_failure_is_held_longer_each_time),
	};

	return cmocka_run_group_tests(tests, open_world, close_world);
}
