/* tests/unit/validator/val_fields.c - messages grouped, fields and times of a signature, the bits
 * at a cut. */
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
#include "val_nsec.h"
#include "val_verify.h"
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
	CLEANUP(val_message_free) struct val_message *message = records_group(NULL, 0);

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

		CLEANUP(val_message_free) struct val_message *message = records_group(rows, 2);

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

		CLEANUP(val_message_free) struct val_message *message = records_group(rows, 2);

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

/* What is not there is not read, and nothing supports it. */
static void what_is_too_short_to_name_a_key_is_unsupported(void **state)
{
	static const uint8_t whole[] = { 0x12, 0x34, VAL_ED25519, VAL_ED25519 };
	CLEANUP(val_message_free)
	struct val_message *message = records_message(
	    &world, "@ DNSKEY 257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=", NULL, NULL,
	    VAL_ANSWER);
	struct val_budget budget;
	struct val_verified verified;

	(void)state;
	val_budget_init(&budget);
	for (uint16_t len = 0; len <= sizeof(whole); len++) {
		CLEANUP(free) uint8_t *octets = malloc(len + 1u);
		struct val_rdata rdata = { octets, len };

		memcpy(octets, whole, len);
		octets[len] = len == 3 ? VAL_ED25519 : VAL_SHA256;
		assert_int_equal(val_ds_usable(&rdata, 1, &val_rules_default),
		                 VAL_WHY_DS_ALGORITHM);
		assert_int_equal(val_verify_keys(&message->sets[0], &rdata, 1, true,
		                                 &val_rules_default, 0, &budget, &verified),
		                 len < 4 ? VAL_WHY_DS_ALGORITHM : VAL_WHY_RRSIG_MISSING);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_are_grouped_whatever_their_order),
		cmocka_unit_test(a_signature_that_is_cut_short_breaks_the_message),
		cmocka_unit_test(an_empty_message_has_no_sets),
		cmocka_unit_test(times_are_compared_across_the_wrap),
		cmocka_unit_test(fields_are_checked_before_keys),
		cmocka_unit_test(the_bits_at_a_cut_tell_what_it_is),
		cmocka_unit_test(what_is_too_short_to_name_a_key_is_unsupported),
	};

	return cmocka_run_group_tests(tests, open_world, close_world);
}
