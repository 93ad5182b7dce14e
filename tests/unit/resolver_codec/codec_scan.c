/* The pre-scan: what it refuses, and that it stays linear. */
#include "message.h"
#include "sallyport/cleanup.h"
#include "sallyport/err.h"
#include "sallyport/limits.h"
#include "scan.h"
#include "wire.h"

#define HEAD(an, ns, ar) "\0\0\x81\x80\0\1\0" an "\0" ns "\0" ar
#define QUESTION "\7example\3org\0\0\1\0\1"
#define OCTETS(s) (s), sizeof(s) - 1

static const struct {
	const char *title, *msg;
	size_t len;
	int want;
} cases[] = {
	{ "a header alone", OCTETS("\0\0\x81\x85\0\0\0\0\0\0\0\0"), 0 },
	{ "shorter than a header", OCTETS("\0\0\x81\x85\0\0\0\0\0\0\0"), ERR_MALFORMED },
	{ "an address",
	  OCTETS(HEAD("\1", "\0", "\0") QUESTION "\xc0\x0c\0\1\0\1\0\0\0\1\0\4\xc0\0\2\1"), 0 },
	{ "an address of 5 octets",
	  OCTETS(HEAD("\1", "\0", "\0") QUESTION "\xc0\x0c\0\1\0\1\0\0\0\1\0\5\xc0\0\2\1\1"),
	  ERR_MALFORMED },
	{ "an address of 3 octets",
	  OCTETS(HEAD("\1", "\0", "\0") QUESTION "\xc0\x0c\0\1\0\1\0\0\0\1\0\3\xc0\0\2"),
	  ERR_MALFORMED },
	{ "RDATA beyond the end",
	  OCTETS(HEAD("\1", "\0", "\0") QUESTION "\xc0\x0c\0\1\0\1\0\0\0\1\0\4\xc0\0\2"),
	  ERR_MALFORMED },
	{ "a record fewer than counted",
	  OCTETS(HEAD("\2", "\0", "\0") QUESTION "\xc0\x0c\0\1\0\1\0\0\0\1\0\4\xc0\0\2\1"),
	  ERR_MALFORMED },
	{ "octets behind the last record",
	  OCTETS(HEAD("\1", "\0", "\0") QUESTION "\xc0\x0c\0\1\0\1\0\0\0\1\0\4\xc0\0\2\1x"),
	  ERR_MALFORMED },
	{ "two questions", OCTETS("\0\0\x81\x80\0\2\0\0\0\0\0\0" QUESTION QUESTION),
	  ERR_MALFORMED },
	{ "a pointer to itself",
	  OCTETS(HEAD("\1", "\0", "\0") QUESTION "\xc0\x1d\0\1\0\1\0\0\0\1\0\4\xc0\0\2\1"),
	  ERR_MALFORMED },
	{ "a pointer forward",
	  OCTETS(HEAD("\1", "\0", "\0") QUESTION "\xc0\x1f\0\1\0\1\0\0\0\1\0\4\xc0\0\2\1"),
	  ERR_MALFORMED },
	{ "a pointer into the header",
	  OCTETS(HEAD("\1", "\0", "\0") QUESTION "\xc0\x02\0\1\0\1\0\0\0\1\0\4\xc0\0\2\1"),
	  ERR_MALFORMED },
	{ "a pointer back into its own name",
	  OCTETS(HEAD("\1", "\0", "\0") QUESTION "\1a\xc0\x1d\0\1\0\1\0\0\0\1\0\4\xc0\0\2\1"),
	  ERR_MALFORMED },
	{ "half a pointer at the end", OCTETS(HEAD("\1", "\0", "\0") QUESTION "\xc0"),
	  ERR_MALFORMED },
	{ "a label type that nobody defined",
	  OCTETS(HEAD("\1", "\0", "\0") QUESTION "\x80\0\0\1\0\1\0\0\0\1\0\4\xc0\0\2\1"),
	  ERR_MALFORMED },
	{ "a CNAME to a compressed name",
	  OCTETS(HEAD("\1", "\0", "\0") QUESTION "\xc0\x0c\0\5\0\1\0\0\0\1\0\4\1a\xc0\x0c"), 0 },
	{ "a CNAME whose name ends before its RDATA",
	  OCTETS(HEAD("\1", "\0", "\0") QUESTION "\xc0\x0c\0\5\0\1\0\0\0\1\0\5\1a\xc0\x0c\0"),
	  ERR_MALFORMED },
	{ "a CNAME whose name goes on behind its RDATA",
	  OCTETS(HEAD("\2", "\0", "\0") QUESTION "\xc0\x0c\0\5\0\1\0\0\0\1\0\2\1a"
	                                         "\0\0\1\0\1\0\0\0\1\0\4\xc0\0\2\1"),
	  ERR_MALFORMED },
	{ "an empty CNAME", OCTETS(HEAD("\1", "\0", "\0") QUESTION "\xc0\x0c\0\5\0\1\0\0\0\1\0\0"),
	  ERR_MALFORMED },
	{ "a TXT string beyond its RDATA",
	  OCTETS(HEAD("\1", "\0", "\0") QUESTION "\xc0\x0c\0\x10\0\1\0\0\0\1\0\3\3ab"),
	  ERR_MALFORMED },
	{ "TXT of two strings",
	  OCTETS(HEAD("\1", "\0", "\0") QUESTION "\xc0\x0c\0\x10\0\1\0\0\0\1\0\4\1a\1b"), 0 },
	{ "TXT without a string",
	  OCTETS(HEAD("\1", "\0", "\0") QUESTION "\xc0\x0c\0\x10\0\1\0\0\0\1\0\0"), ERR_MALFORMED },
	{ "an unknown type may hold anything",
	  OCTETS(HEAD("\1", "\0", "\0") QUESTION "\xc0\x0c\xff\x01\0\1\0\0\0\1\0\2\xc0\xff"), 0 },
	{ "a HIP that tells of a longer key",
	  OCTETS(HEAD("\1", "\0", "\0") QUESTION "\xc0\x0c\0\x37\0\1\0\0\0\1\0\6\1\2\0\2kk"),
	  ERR_MALFORMED },
	{ "a HIP with a server",
	  OCTETS(HEAD("\1", "\0", "\0") QUESTION
	         "\xc0\x0c\0\x37\0\1\0\0\0\1\0\x0a\1\2\0\2hkk\1a\0"),
	  0 },
	{ "one OPT", OCTETS(HEAD("\0", "\0", "\1") QUESTION "\0\0\x29\4\xd0\0\0\0\0\0\0"), 0 },
	{ "two OPTs",
	  OCTETS(HEAD("\0", "\0", "\2") QUESTION "\0\0\x29\4\xd0\0\0\0\0\0\0"
	                                         "\0\0\x29\4\xd0\0\0\0\0\0\0"),
	  ERR_MALFORMED },
	{ "an OPT in the answer section",
	  OCTETS(HEAD("\1", "\0", "\0") QUESTION "\0\0\x29\4\xd0\0\0\0\0\0\0"), ERR_MALFORMED },
	{ "an OPT that somebody owns",
	  OCTETS(HEAD("\0", "\0", "\1") QUESTION "\xc0\x0c\0\x29\4\xd0\0\0\0\0\0\0"),
	  ERR_MALFORMED },
};

static void each_rule_has_its_result(void **state)
{
	(void)state; /* cmocka's signature */
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(free) uint8_t *exact = malloc(cases[i].len);
		int r;

		assert_non_null(exact);
		memcpy(exact, cases[i].msg, cases[i].len);
		r = scan_message(exact, cases[i].len);
		if (r != cases[i].want)
			fail_msg("%s: got %d", cases[i].title, r);
	}
}

static void a_message_cut_anywhere_is_malformed(void **state)
{
	CLEANUP(free)
	struct message *m = message_new(
	    "www.example.org.", 1, 0, 0,
	    "www.example.org. 300 IN CNAME a.b.example.org.\na.b.example.org. 60 IN A 192.0.2.1\n",
	    "example.org. 60 IN SOA ns.example.org. mail.example.org. 1 2 3 4 5\n"
	    "example.org. 60 IN MX 10 mx.example.org.\nexample.org. 60 IN TXT \"a\" \"b\"\n"
	    "example.org. 60 IN NAPTR 1 2 \"s\" \"x\" \"\" _sip.example.org.\n");

	(void)state; /* cmocka's signature */
	assert_int_equal(scan_message(m->data, m->len), 0);
	for (size_t cut = 0; cut < m->len; cut++) {
		CLEANUP(free) uint8_t *part = malloc(cut + !cut);

		assert_non_null(part);
		memcpy(part, m->data, cut);
		if (scan_message(part, cut) != ERR_MALFORMED)
			fail_msg("cut to %zu of %zu octets", cut, m->len);
	}
}

/* Put a record of an opaque type with @len octets of RDATA behind @at. */
static size_t put_record(uint8_t *msg, size_t at, const void *owner, size_t owner_len,
                         uint16_t type, const void *rdata, size_t len)
{
	memcpy(msg + at, owner, owner_len);
	at += owner_len;
	memset(msg + at, 0, 10);
	wire_put16(msg + at, type);
	wire_put16(msg + at + 2, 1);
	wire_put16(msg + at + 8, (unsigned int)len);
	memcpy(msg + at + 10, rdata, len);
	return at + 10 + len;
}

/* The message that costs ldns 0.18 s: a chain of thousands of pointers, each to the one before, and
 * records that begin at its end. It is refused at the hops of the first name that is too long, so
 * the cost is that of a few names. */
static void a_chain_of_pointers_is_refused(void **state)
{
	CLEANUP(free) uint8_t *msg = calloc(1, 65535);
	CLEANUP(free) uint8_t *chain = calloc(1, 16384);
	size_t at = 12, chain_at;
	unsigned int n = 0;

	(void)state; /* cmocka's signature */
	assert_non_null(msg);
	assert_non_null(chain);
	chain_at = at + 1 + 10;
	for (size_t i = 2; i + 2 <= 16200; i += 2) /* the root, then pointers, each one back */
		wire_put16(chain + i, 0xc000 | (unsigned int)(chain_at + (i == 2 ? 0 : i - 2)));
	at = put_record(msg, at, "\0", 1, 0xff01, chain, 16200);
	n++;
	while (at + 2 + 10 + 4 < 65000) {
		uint8_t owner[2];

		wire_put16(owner, 0xc000 | (unsigned int)(chain_at + 16198));
		at = put_record(msg, at, owner, 2, 17, "\0\0", 2);
		n++;
	}
	msg[2] = 0x81;
	wire_put16(msg + 6, MIN(n, LIMIT_MSG_RECORDS));
	/* At ldns' 0.18 s each this would take minutes, and the test would be killed. */
	for (unsigned int i = 0; i < 2000; i++)
		assert_int_equal(scan_message(msg, at), ERR_LIMIT);
}

/* As many hops as one name may have, in name after name, until the message's budget ends. */
static void hops_are_counted_over_the_message(void **state)
{
	CLEANUP(free) uint8_t *msg = calloc(1, 65535);

	(void)state; /* cmocka's signature */
	assert_non_null(msg);
	for (unsigned int n = 124; n <= 126; n++) {
		uint8_t chain[34] = { 0 }, owner[2];
		size_t at = 12, chain_at = at + 11;

		/* A root, then 15 pointers, each to the one before: with the owner's 16 hops. */
		for (size_t i = 2; i < 32; i += 2)
			wire_put16(chain + i,
			           0xc000 | (unsigned int)(chain_at + (i == 2 ? 0 : i - 2)));
		at = put_record(msg, at, "\0", 1, 0xff01, chain, 32);
		wire_put16(owner, 0xc000 | (unsigned int)(chain_at + 30));
		for (unsigned int i = 0; i < n; i++)
			at = put_record(msg, at, owner, 2, 0xff02, "", 0);
		msg[2] = 0x81;
		wire_put16(msg + 6, 1 + n);
		if (scan_message(msg, at) != (n * 16 <= LIMIT_MSG_HOPS ? 0 : ERR_LIMIT))
			fail_msg("%u names of 16 hops", n);

		/* One hop more in one name is too many. */
		wire_put16(chain + 32, 0xc000 | (unsigned int)(chain_at + 30));
		at = put_record(msg, 12, "\0", 1, 0xff01, chain, 34);
		wire_put16(owner, 0xc000 | (unsigned int)(chain_at + 32));
		at = put_record(msg, at, owner, 2, 0xff02, "", 0);
		wire_put16(msg + 6, 2);
		assert_int_equal(scan_message(msg, at), ERR_LIMIT);
	}
}

static void records_are_bounded(void **state)
{
	CLEANUP(free) uint8_t *msg = calloc(1, 65535);

	(void)state; /* cmocka's signature */
	assert_non_null(msg);
	for (unsigned int n = LIMIT_MSG_RECORDS; n <= LIMIT_MSG_RECORDS + 1; n++) {
		size_t at = 12;

		for (unsigned int i = 0; i < n; i++)
			at = put_record(msg, at, "\0", 1, i & 1 ? 0xff01 : 0xff02, "", 0);
		msg[2] = 0x81;
		wire_put16(msg + 6, n);
		assert_int_equal(scan_message(msg, at), n > LIMIT_MSG_RECORDS ? ERR_LIMIT : 0);
	}
}

/* A message full of signatures is refused before ldns takes it apart; glue may be as long as it is.
 */
static void records_of_a_type_in_a_row_are_bounded(void **state)
{
	static const uint8_t rrsig[20] = { 0 }; /* signer ".", one octet of signature */
	CLEANUP(free) uint8_t *msg = calloc(1, 65535);

	(void)state; /* cmocka's signature */
	assert_non_null(msg);
	for (unsigned int n = LIMIT_RRSET_RECORDS; n <= LIMIT_RRSET_RECORDS + 1; n++) {
		size_t at = put_record(msg, 12, "\0", 1, 0xff01, "", 0);

		for (unsigned int i = 0; i < n; i++)
			at = put_record(msg, at, "\0", 1, TYPE_RRSIG, rrsig, sizeof(rrsig));
		msg[2] = 0x81;
		wire_put16(msg + 6, n + 1);
		wire_put16(msg + 10, 0);
		assert_int_equal(scan_message(msg, at), n > LIMIT_RRSET_RECORDS ? ERR_LIMIT : 0);
		wire_put16(msg + 6, 1);
		wire_put16(msg + 10, n);
		assert_int_equal(scan_message(msg, at), 0);
	}
}

static void a_name_over_255_octets_is_malformed(void **state)
{
	uint8_t msg[1024] = { 0, 0, 0x81, 0x80, [7] = 2 }, name[256];
	size_t at;

	(void)state; /* cmocka's signature */
	for (unsigned int extra = 0; extra <= 1; extra++) {
		/* 63 + 63 + 63 + 57 + extra octets of labels, then a pointer to "abcd." */
		size_t n = 0;

		for (unsigned int i = 0; i < 4; i++) {
			unsigned int len = i < 3 ? 63 : 56 + extra;

			name[n] = (uint8_t)len;
			memset(name + n + 1, 'x', len);
			n += 1 + len;
		}
		at = put_record(msg, 12, "\4abcd", 6, 0xff01, "", 0);
		memcpy(name + n, "\xc0\x0c", 2); /* 3 * 64 + 57 + extra + 6 = 255 + extra */
		at = put_record(msg, at, name, n + 2, 0xff01, "", 0);
		assert_int_equal(scan_message(msg, at), extra ? ERR_MALFORMED : 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_rule_has_its_result),
		cmocka_unit_test(a_message_cut_anywhere_is_malformed),
		cmocka_unit_test(a_chain_of_pointers_is_refused),
		cmocka_unit_test(hops_are_counted_over_the_message),
		cmocka_unit_test(records_are_bounded),
		cmocka_unit_test(records_of_a_type_in_a_row_are_bounded),
		cmocka_unit_test(a_name_over_255_octets_is_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
