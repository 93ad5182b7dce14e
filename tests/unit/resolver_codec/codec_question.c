/* What a client may send, rule by rule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "question.h"
#include "sallyport/cleanup.h"

#define NAME "\3WwW\7example\3ORG"
#define OPT(size, version, flags, rdlen) "\0\0\x29" size "\0" version flags "\0" rdlen
/* Octets with their length; the string's own terminator is not among them. */
#define OCTETS(s) (s), sizeof(s) - 1

static const struct {
	const char *title;
	const char *counts; /* eight octets behind id and flags */
	const char *flags;  /* two octets */
	const char *body;   /* all behind the header */
	size_t len;
	enum question_result want;
	bool have_question, edns, dnssec_ok, cookie;
	uint16_t udp_bytes;
} cases[] = {
	{ "a plain question", "\0\1\0\0\0\0\0\0", "\1\0", OCTETS(NAME "\0\0\1\0\1"), QUESTION_OK,
	  true, false, false, false, 512 },
	{ "the root", "\0\1\0\0\0\0\0\0", "\1\0", OCTETS("\0\0\2\0\1"), QUESTION_OK, true, false,
	  false, false, 512 },
	{ "EDNS with DO", "\0\1\0\0\0\0\0\1", "\1\0",
	  OCTETS(NAME "\0\0\1\0\1" OPT("\x04\xd0", "\0", "\x80\0", "\0")), QUESTION_OK, true, true,
	  true, false, 1232 },
	{ "a size under 512 means 512 (RFC 6891, 6.2.3)", "\0\1\0\0\0\0\0\1", "\1\0",
	  OCTETS(NAME "\0\0\1\0\1" OPT("\0\x10", "\0", "\0\0", "\0")), QUESTION_OK, true, true,
	  false, false, 512 },
	{ "EDNS version 1 (RFC 6891, 6.1.3)", "\0\1\0\0\0\0\0\1", "\1\0",
	  OCTETS(NAME "\0\0\1\0\1" OPT("\x04\xd0", "\1", "\0\0", "\0")), QUESTION_BADVERS, true,
	  true, false, false, 1232 },
	{ "padding and an unknown option are ignored", "\0\1\0\0\0\0\0\1", "\1\0",
	  OCTETS(NAME "\0\0\1\0\1" OPT("\x04\xd0", "\0", "\0\0",
	                               "\x0d") "\0\x0c\0\4\0\0\0\0\xff\xfe\0\1x"),
	  QUESTION_OK, true, true, false, false, 1232 },
	{ "a client cookie", "\0\1\0\0\0\0\0\1", "\1\0",
	  OCTETS(NAME "\0\0\1\0\1" OPT("\x04\xd0", "\0", "\0\0", "\x0c") "\0\x0a\0\x08"
	                                                                 "abcdefgh"),
	  QUESTION_OK, true, true, false, true, 1232 },
	{ "client and server cookie", "\0\1\0\0\0\0\0\1", "\1\0",
	  OCTETS(NAME
	         "\0\0\1\0\1" OPT("\x04\xd0", "\0", "\0\0", "\x1c") "\0\x0a\0\x18"
	                                                            "abcdefgh0123456789abcdef"),
	  QUESTION_OK, true, true, false, true, 1232 },
	{ "a cookie of 7 octets (RFC 7873, 5.2.2)", "\0\1\0\0\0\0\0\1", "\1\0",
	  OCTETS(NAME "\0\0\1\0\1" OPT("\x04\xd0", "\0", "\0\0", "\x0b") "\0\x0a\0\x07"
	                                                                 "abcdefg"),
	  QUESTION_FORMERR, true, false, false, false, 512 },
	{ "a cookie of 12 octets", "\0\1\0\0\0\0\0\1", "\1\0",
	  OCTETS(NAME "\0\0\1\0\1" OPT("\x04\xd0", "\0", "\0\0", "\x10") "\0\x0a\0\x0c"
	                                                                 "abcdefgh0123"),
	  QUESTION_FORMERR, true, false, false, false, 512 },
	{ "a cookie of 41 octets", "\0\1\0\0\0\0\0\1", "\1\0",
	  OCTETS(NAME "\0\0\1\0\1" OPT("\x04\xd0", "\0", "\0\0",
	                               "\x2d") "\0\x0a\0\x29"
	                                       "abcdefgh0123456789abcdef0123456789abcdefg"),
	  QUESTION_FORMERR, true, false, false, false, 512 },
	{ "an option longer than the OPT", "\0\1\0\0\0\0\0\1", "\1\0",
	  OCTETS(NAME "\0\0\1\0\1" OPT("\x04\xd0", "\0", "\0\0", "\5") "\0\x0c\0\2x"),
	  QUESTION_FORMERR, true, false, false, false, 512 },
	{ "an OPT shorter than its RDLENGTH", "\0\1\0\0\0\0\0\1", "\1\0",
	  OCTETS(NAME "\0\0\1\0\1" OPT("\x04\xd0", "\0", "\0\0", "\4")), QUESTION_FORMERR, true,
	  false, false, false, 512 },
	{ "an OPT whose owner is not the root", "\0\1\0\0\0\0\0\1", "\1\0",
	  OCTETS(NAME "\0\0\1\0\1\1x\0\0\x29\4\xd0\0\0\0\0\0\0"), QUESTION_FORMERR, true, false,
	  false, false, 512 },
	{ "two OPTs", "\0\1\0\0\0\0\0\2", "\1\0",
	  OCTETS(NAME "\0\0\1\0\1" OPT("\4\xd0", "\0", "\0\0", "\0")
	             OPT("\4\xd0", "\0", "\0\0", "\0")),
	  QUESTION_FORMERR, true, false, false, false, 512 },
	{ "an additional record that is no OPT", "\0\1\0\0\0\0\0\1", "\1\0",
	  OCTETS(NAME "\0\0\1\0\1\0\0\1\0\1\0\0\0\0\0\4\xc0\0\2\1"), QUESTION_FORMERR, true, false,
	  false, false, 512 },
	{ "octets behind the question", "\0\1\0\0\0\0\0\0", "\1\0", OCTETS(NAME "\0\0\1\0\1x"),
	  QUESTION_FORMERR, true, false, false, false, 512 },
	{ "an OPT that ARCOUNT does not tell of", "\0\1\0\0\0\0\0\0", "\1\0",
	  OCTETS(NAME "\0\0\1\0\1" OPT("\4\xd0", "\0", "\0\0", "\0")), QUESTION_FORMERR, true,
	  false, false, false, 512 },
	{ "two questions (RFC 9619)", "\0\2\0\0\0\0\0\0", "\1\0",
	  OCTETS(NAME "\0\0\1\0\1\0\0\1\0\1"), QUESTION_FORMERR, false, false, false, false, 512 },
	{ "no question", "\0\0\0\0\0\0\0\0", "\1\0", OCTETS(""), QUESTION_FORMERR, false, false,
	  false, false, 512 },
	{ "an answer record", "\0\1\0\1\0\0\0\0", "\1\0",
	  OCTETS(NAME "\0\0\1\0\1\0\0\1\0\1\0\0\0\0\0\4\xc0\0\2\1"), QUESTION_FORMERR, true, false,
	  false, false, 512 },
	{ "an authority record", "\0\1\0\0\0\1\0\0", "\1\0",
	  OCTETS(NAME "\0\0\1\0\1\0\0\2\0\1\0\0\0\0\0\1\0"), QUESTION_FORMERR, true, false, false,
	  false, 512 },
	{ "an IXFR with its SOA (RFC 1995)", "\0\1\0\0\0\1\0\0", "\0\0",
	  OCTETS(
	      NAME
	      "\0\0\xfb\0\1\xc0\x0c\0\6\0\1\0\0\0\0\0\x16\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
	      "\0\0"),
	  QUESTION_OK, true, false, false, false, 512 },
	{ "an IXFR with something else", "\0\1\0\0\0\1\0\0", "\0\0",
	  OCTETS(NAME "\0\0\xfb\0\1\xc0\x0c\0\2\0\1\0\0\0\0\0\1\0"), QUESTION_FORMERR, true, false,
	  false, false, 512 },
	{ "a compression pointer in the question", "\0\1\0\0\0\0\0\0", "\1\0",
	  OCTETS("\3www\xc0\x0c\0\1\0\1"), QUESTION_FORMERR, false, false, false, false, 512 },
	{ "a label type of RFC 2673", "\0\1\0\0\0\0\0\0", "\1\0", OCTETS("\x41x\0\0\1\0\1"),
	  QUESTION_FORMERR, false, false, false, false, 512 },
	{ "a response", "\0\1\0\0\0\0\0\0", "\x81\0", OCTETS(NAME "\0\0\1\0\1"), QUESTION_DROP,
	  false, false, false, false, 512 },
	{ "opcode NOTIFY", "\0\1\0\0\0\0\0\0", "\x20\0", OCTETS(NAME "\0\0\6\0\1"), QUESTION_NOTIMP,
	  false, false, false, false, 512 },
	{ "opcode UPDATE", "\0\1\0\0\0\0\0\0", "\x28\0", OCTETS(NAME "\0\0\6\0\1"), QUESTION_NOTIMP,
	  false, false, false, false, 512 },
	{ "class CHAOS is read; who answers it is another question", "\0\1\0\0\0\0\0\0", "\1\0",
	  OCTETS(NAME "\0\0\x10\0\3"), QUESTION_OK, true, false, false, false, 512 },
};

/* @i's message in a block of exactly its size, so that a read past the end is seen. */
static uint8_t *message(size_t i, size_t *ret_len)
{
	uint8_t *msg = malloc(12 + cases[i].len);

	assert_non_null(msg);
	memcpy(msg, "\x12\x34", 2);
	memcpy(msg + 2, cases[i].flags, 2);
	memcpy(msg + 4, cases[i].counts, 8);
	memcpy(msg + 12, cases[i].body, cases[i].len);
	*ret_len = 12 + cases[i].len;
	return msg;
}

static void each_rule_has_its_result(void **state)
{
	(void)state; /* cmocka's signature */
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t len;
		CLEANUP(free) uint8_t *msg = message(i, &len);
		struct question q;
		enum question_result got = question_parse(msg, len, &q);

		if (got != cases[i].want || q.have_question != cases[i].have_question ||
		    q.edns != cases[i].edns || q.dnssec_ok != cases[i].dnssec_ok ||
		    q.cookie != cases[i].cookie || q.udp_bytes != cases[i].udp_bytes)
			fail_msg("%s: result %d, question %d, edns %d, do %d, cookie %d, bytes %u",
			         cases[i].title, got, q.have_question, q.edns, q.dnssec_ok,
			         q.cookie, q.udp_bytes);
		if (got != QUESTION_DROP && q.id != 0x1234)
			fail_msg("%s: id %#x", cases[i].title, q.id);
	}
}

/* Every prefix of every message is FORMERR (or dropped, when not even a header is left), except
 * where the shorter message happens to be whole: never for these, for counts and lengths bind. */
static void a_cut_message_is_malformed(void **state)
{
	(void)state; /* cmocka's signature */
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t len;
		CLEANUP(free) uint8_t *whole = message(i, &len);

		if (cases[i].want != QUESTION_OK && cases[i].want != QUESTION_BADVERS)
			continue;
		for (size_t cut = 0; cut < len; cut++) {
			CLEANUP(free) uint8_t *part = malloc(cut + !cut);
			struct question q;

			assert_non_null(part);
			memcpy(part, whole, cut);
			if (question_parse(part, cut, &q) !=
			    (cut < 12 ? QUESTION_DROP : QUESTION_FORMERR))
				fail_msg("%s, cut to %zu of %zu octets", cases[i].title, cut, len);
			assert_false(q.edns || q.cookie);
		}
	}
}

static void the_name_is_kept_and_lowered(void **state)
{
	size_t len;
	CLEANUP(free) uint8_t *msg = message(0, &len);
	struct question q;

	(void)state; /* cmocka's signature */
	assert_int_equal(question_parse(msg, len, &q), QUESTION_OK);
	assert_ptr_equal(q.qname, msg + 12);
	assert_int_equal(q.name_len, 17);
	assert_int_equal(q.labels, 3);
	assert_memory_equal(q.qname, "\3WwW\7example\3ORG", 17);
	assert_memory_equal(q.name, "\3www\7example\3org", 17);
	assert_int_equal(q.qtype, 1);
	assert_int_equal(q.qclass, 1);
	assert_true(q.rd && !q.ad && !q.cd);
}

static void the_first_cookie_counts(void **state)
{
	static const char body[] =
	    "\0\0\1\0\1" OPT("\4\xd0", "\0", "\0\0", "\x28") "\0\x0a\0\x18"
							     "ABCDEFGH0123456789abcdef"
							     "\0\x0a\0\x08"
							     "zzzzzzzz";
	uint8_t msg[12 + sizeof(body) - 1] = { 0, 1, 0, 0, 0, 1, [11] = 1 };
	struct question q;

	(void)state; /* cmocka's signature */
	memcpy(msg + 12, body, sizeof(body) - 1);
	assert_int_equal(question_parse(msg, sizeof(msg), &q), QUESTION_OK);
	assert_memory_equal(q.cookie_client, "ABCDEFGH", 8);
	assert_int_equal(q.cookie_server_len, 16);
	assert_memory_equal(q.cookie_server, "0123456789abcdef", 16);
}

/* 255 octets are a name, 256 are not; 127 labels fit into 255 octets. */
static void the_longest_name_is_read(void **state)
{
	uint8_t msg[12 + 257 + 4] = { 0, 1, 0, 0, 0, 1 };
	struct question q;

	(void)state; /* cmocka's signature */
	for (size_t i = 0; i < 127; i++)
		memcpy(msg + 12 + 2 * i, "\1X", 2);
	memcpy(msg + 12 + 254, "\0\0\1\0\1", 5);
	assert_int_equal(question_parse(msg, 12 + 255 + 4, &q), QUESTION_OK);
	assert_int_equal(q.name_len, 255);
	assert_int_equal(q.labels, 127);

	memcpy(msg + 12, "\2xx", 3); /* one octet more */
	for (size_t i = 0; i < 126; i++)
		memcpy(msg + 15 + 2 * i, "\1x", 2);
	memcpy(msg + 12 + 255, "\0\0\1\0\1", 5);
	assert_int_equal(question_parse(msg, 12 + 256 + 4, &q), QUESTION_FORMERR);
	assert_false(q.have_question);
}

static void too_many_options_are_malformed(void **state)
{
	uint8_t msg[12 + 5 + 11 + 65 * 4] = { 0, 1, 0, 0, 0, 1, [11] = 1 };
	struct question q;

	(void)state; /* cmocka's signature */
	for (unsigned int n = 64; n <= 65; n++) {
		memcpy(msg + 12, "\0\0\1\0\1\0\0\x29\4\xd0\0\0\0\0", 14);
		msg[26] = (uint8_t)(n * 4 >> 8);
		msg[27] = (uint8_t)(n * 4);
		for (unsigned int i = 0; i < n; i++)
			memcpy(msg + 28 + 4 * i, "\0\x0c\0\0", 4);
		assert_int_equal(question_parse(msg, 28 + n * 4, &q),
		                 n == 64 ? QUESTION_OK : QUESTION_FORMERR);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_rule_has_its_result),
		cmocka_unit_test(a_cut_message_is_malformed),
		cmocka_unit_test(the_name_is_kept_and_lowered),
		cmocka_unit_test(the_first_cookie_counts),
		cmocka_unit_test(the_longest_name_is_read),
		cmocka_unit_test(too_many_options_are_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
