/* Messages to clients, octet by octet where it matters and through ldns elsewhere. */
#include <stdio.h>

#include "cookie.h"
#include "entry.h"
#include "form.h"
#include "message.h"
#include "reply.h"
#include "sallyport/clock.h"
#include "sallyport/record.h"
#include "wire.h"

#define NOW (1000 * NS_PER_S)

enum { EDNS = 1, DO = 2, AD = 4, CD = 8, RD = 16, COOKIE = 32 };

struct asked {
	uint8_t msg[512];
	struct question q;
};

static void ask(struct asked *a, const char *name, uint16_t type, unsigned int flags)
{
	size_t len = wire_name_len(WIRE(name)), at = 12 + len + 4;

	memset(a, 0, sizeof(*a));
	memcpy(a->msg, "\xab\xcd", 2);
	a->msg[2] = (uint8_t)(flags & RD ? WIRE_RD : 0);
	a->msg[3] = (uint8_t)((flags & AD ? WIRE_AD : 0) | (flags & CD ? WIRE_CD : 0));
	a->msg[5] = 1;
	memcpy(a->msg + 12, WIRE(name), len);
	wire_put16(a->msg + 12 + len, type);
	wire_put16(a->msg + 14 + len, 1);
	if (flags & EDNS) {
		a->msg[11] = 1;
		memcpy(a->msg + at, "\0\0\x29\4\xd0\0\0\0\0\0\0", 11);
		a->msg[at + 7] = (uint8_t)(flags & DO ? 0x80 : 0);
		at += 11;
		if (flags & COOKIE) {
			a->msg[at - 1] = 12;
			memcpy(a->msg + at,
			       "\0\x0a\0\x08"
			       "CLIENT!!",
			       12);
			at += 12;
		}
	}
	assert_int_equal(question_parse(a->msg, at, &a->q), QUESTION_OK);
}

static struct form *addresses(unsigned int n)
{
	static const struct entry_limits limits = { .max_ttl_s = 86400 };
	char answer[256 * 64] = "";
	struct form_spec spec = { .qname = WIRE("w.example.org."), .qtype = 1, .now_ns = NOW };
	struct entry *entry;
	struct form *form;

	for (unsigned int i = 0; i < n; i++)
		snprintf(answer + strlen(answer), sizeof(answer) - strlen(answer),
		         "w.example.org. 300 IN A 9.9.9.%u\n", i);
	CLEANUP(free) struct message *m = message_new("w.example.org.", 1, 0, 0, answer, "");

	assert_int_equal(
	    entry_from_message(m->data, m->len, spec.qname, 1, NOW, &limits, NULL, NULL, &entry, 1),
	    1);
	assert_int_equal(form_make(&entry, 1, &spec, 1, &form), 0);
	entry_unref(entry);
	return form;
}

static struct reply usual(void)
{
	return (struct reply){ .ede = RECORD_NO_EDE, .ra = true, .udp_bytes = 1232, .limit = 1232 };
}

static ldns_pkt *parse(const uint8_t *out, size_t len)
{
	ldns_pkt *pkt = NULL;

	assert_int_equal(ldns_wire2pkt(&pkt, out, len), LDNS_STATUS_OK);
	return pkt;
}

static void the_question_comes_back_as_it_was(void **state)
{
	struct asked a;
	struct reply reply = usual();
	uint8_t out[1232];
	struct reply_result r;

	(void)state; /* cmocka's signature */
	ask(&a, "wWw.ExAmPlE.oRg.", 1, RD | CD);
	reply.rcode = RCODE_REFUSED;
	r = reply_plain(out, sizeof(out), &a.q, &reply);
	assert_int_equal(r.len, 12 + 17 + 4);
	assert_false(r.truncated);
	assert_memory_equal(out, "\xab\xcd\x81\x95\0\1\0\0\0\0\0\0", 12);
	assert_memory_equal(out + 12, "\3wWw\7ExAmPlE\3oRg\0\0\1\0\1", 21);
}

static void opt_and_ede_go_only_to_those_who_sent_opt(void **state)
{
	struct reply reply = usual();
	uint8_t out[1232];
	struct asked a;
	struct reply_result r;

	(void)state; /* cmocka's signature */
	reply.ede = 15;
	reply.ede_text = "deny evil.test";
	reply.rcode = RCODE_NXDOMAIN;
	ask(&a, "w.example.org.", 1, RD);
	r = reply_plain(out, sizeof(out), &a.q, &reply);
	assert_int_equal(r.len, 12 + 19);
	assert_int_equal(out[11], 0);

	ask(&a, "w.example.org.", 1, RD | EDNS | DO);
	r = reply_plain(out, sizeof(out), &a.q, &reply);
	assert_int_equal(r.len, 12 + 19 + 11 + 6 + 14);
	assert_int_equal(out[11], 1);
	assert_memory_equal(out + 31,
	                    "\0\0\x29\4\xd0\0\0\x80\0\0\x14\0\x0f\0\x10\0\x0f"
	                    "deny evil.test",
	                    11 + 6 + 14);
}

static void an_extended_rcode_needs_opt(void **state)
{
	struct reply reply = usual();
	uint8_t out[1232];
	struct asked a;
	struct reply_result r;

	(void)state; /* cmocka's signature */
	reply.rcode = RCODE_BADVERS;
	ask(&a, "w.example.org.", 1, EDNS);
	r = reply_plain(out, sizeof(out), &a.q, &reply);
	assert_int_equal(r.len, 12 + 19 + 11);
	assert_int_equal(out[3] & 15, 0);
	assert_int_equal(out[31 + 5], 1); /* upper bits */
	ask(&a, "w.example.org.", 1, 0);
	reply_plain(out, sizeof(out), &a.q, &reply);
	assert_int_equal(out[3] & 15, RCODE_SERVFAIL);
}

static void the_cookie_comes_back_with_ours(void **state)
{
	struct reply reply = usual();
	uint8_t out[1232];
	struct asked a;
	struct reply_result r;

	(void)state; /* cmocka's signature */
	reply.server_cookie = (const uint8_t *)"0123456789abcdef";
	ask(&a, "w.example.org.", 1, EDNS | COOKIE);
	r = reply_plain(out, sizeof(out), &a.q, &reply);
	assert_int_equal(r.len, 12 + 19 + 11 + 28);
	assert_memory_equal(out + 42,
	                    "\0\x0a\0\x18"
	                    "CLIENT!!0123456789abcdef",
	                    28);
	ask(&a, "w.example.org.", 1, EDNS); /* no cookie asked, none given */
	r = reply_plain(out, sizeof(out), &a.q, &reply);
	assert_int_equal(r.len, 12 + 19 + 11);
}

static void ad_goes_to_those_who_asked_for_it(void **state)
{
	static const struct {
		const char *title;
		unsigned int flags;
		bool secure, want;
	} rows[] = {
		{ "secure, AD asked", AD, true, true },
		{ "secure, DO asked", EDNS | DO, true, true },
		{ "secure, nothing asked", EDNS, true, false },
		{ "not secure", AD, false, false },
	};
	struct form *form = addresses(1);

	(void)state; /* cmocka's signature */
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct reply reply = usual();
		uint8_t out[1232];
		struct asked a;

		reply.ad = rows[i].secure;
		ask(&a, "w.example.org.", 1, rows[i].flags);
		reply_form(out, sizeof(out), &a.q, &reply, form, NOW, UINT32_MAX);
		if (((out[3] & WIRE_AD) != 0) != rows[i].want)
			fail_msg("%s", rows[i].title);
	}
	form_unref(form);
}

static void a_denial_carries_its_soa(void **state)
{
	static const char *const names[] = { "evil.test.", "." };

	(void)state; /* cmocka's signature */
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct reply reply = usual();
		uint8_t out[1232];
		struct asked a;
		struct reply_result r;
		ldns_pkt *pkt;
		const ldns_rr *soa;

		reply.rcode = RCODE_NXDOMAIN;
		ask(&a, names[i], 1, EDNS);
		r = reply_denial(out, sizeof(out), &a.q, &reply);
		pkt = parse(out, r.len);
		assert_int_equal(ldns_pkt_get_rcode(pkt), 3);
		assert_int_equal(ldns_pkt_ancount(pkt), 0);
		assert_int_equal(ldns_pkt_nscount(pkt), 1);
		soa = ldns_rr_list_rr(ldns_pkt_authority(pkt), 0);
		assert_int_equal(ldns_rr_get_type(soa), LDNS_RR_TYPE_SOA);
		assert_int_equal(ldns_rr_ttl(soa), REPLY_DENIAL_TTL);
		assert_int_equal(ldns_rdf2native_int32(ldns_rr_rdf(soa, 6)), REPLY_DENIAL_TTL);
		assert_int_equal(
		    ldns_dname_compare(ldns_rr_owner(soa),
		                       ldns_rr_owner(ldns_rr_list_rr(ldns_pkt_question(pkt), 0))),
		    0);
		ldns_pkt_free(pkt);
	}
}

static void any_and_localhost_have_their_data(void **state)
{
	static const struct {
		const char *title;
		uint16_t type;
		const char *want;
	} rows[] = { { "A", 1, "127.0.0.1" }, { "AAAA", 28, "::1" }, { "MX is NODATA", 15, NULL } };
	struct reply reply = usual();
	uint8_t out[1232];
	struct asked a;
	struct reply_result r;
	ldns_pkt *pkt;
	char *text;

	(void)state; /* cmocka's signature */
	ask(&a, "w.example.org.", 255, EDNS);
	r = reply_any(out, sizeof(out), &a.q, &reply);
	pkt = parse(out, r.len);
	text = ldns_rr2str(ldns_rr_list_rr(ldns_pkt_answer(pkt), 0));
	assert_string_equal(text, "w.example.org.\t300\tIN\tHINFO\t\"RFC8482\" \"\"\n");
	free(text);
	ldns_pkt_free(pkt);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ask(&a, "a.localhost.", rows[i].type, 0);
		r = reply_localhost(out, sizeof(out), &a.q, &reply);
		pkt = parse(out, r.len);
		if (ldns_pkt_ancount(pkt) != (rows[i].want != NULL))
			fail_msg("%s: %u answers", rows[i].title, ldns_pkt_ancount(pkt));
		if (rows[i].want) {
			text =
			    ldns_rdf2str(ldns_rr_rdf(ldns_rr_list_rr(ldns_pkt_answer(pkt), 0), 0));
			assert_string_equal(text, rows[i].want);
			free(text);
		}
		ldns_pkt_free(pkt);
	}
}

static void what_does_not_fit_is_truncated_to_nothing(void **state)
{
	struct form *form = addresses(40); /* 40 * 16 octets */
	struct reply reply = usual();
	uint8_t out[1232];
	struct asked a;
	struct reply_result r;

	(void)state; /* cmocka's signature */
	ask(&a, "w.example.org.", 1, EDNS);
	r = reply_form(out, sizeof(out), &a.q, &reply, form, NOW, UINT32_MAX);
	assert_false(r.truncated);
	assert_int_equal(r.len, 12 + 19 + 640 + 11);

	reply.limit = 12 + 19 + 640 + 11; /* exactly */
	reply.ad = a.q.ad = true;
	r = reply_form(out, sizeof(out), &a.q, &reply, form, NOW, UINT32_MAX);
	assert_false(r.truncated);
	assert_int_equal(out[3] & WIRE_AD, WIRE_AD);

	reply.limit--;
	r = reply_form(out, sizeof(out), &a.q, &reply, form, NOW, UINT32_MAX);
	assert_true(r.truncated);
	assert_int_equal(r.len, 12 + 19 + 11);
	assert_int_equal(out[2] & WIRE_TC, WIRE_TC);
	assert_int_equal(out[3] & WIRE_AD, 0);
	assert_memory_equal(out + 4, "\0\1\0\0\0\0\0\1", 8);
	form_unref(form);
}

/* The text goes first, then the whole EDE, and only then the records. */
static void ede_gives_way_to_records(void **state)
{
	struct form *form = addresses(1);
	size_t bare = 12 + 19 + 16 + 11;
	struct reply reply = usual();
	uint8_t out[1232];
	struct asked a;

	(void)state; /* cmocka's signature */
	reply.ede = 17;
	reply.ede_text = "some text";
	ask(&a, "w.example.org.", 1, EDNS);
	for (size_t limit = bare; limit < bare + 6 + 9 + 2; limit++) {
		struct reply_result r;

		reply.limit = limit;
		r = reply_form(out, sizeof(out), &a.q, &reply, form, NOW, UINT32_MAX);
		assert_false(r.truncated);
		assert_int_equal(r.len, limit < bare + 6       ? bare
		                        : limit < bare + 6 + 9 ? bare + 6
		                                               : bare + 6 + 9);
		ldns_pkt_free(parse(out, r.len));
	}
	form_unref(form);
}

static void nothing_is_written_past_the_buffer(void **state)
{
	struct form *form = addresses(3);
	struct asked a;

	(void)state; /* cmocka's signature */
	ask(&a, "w.example.org.", 1, EDNS | COOKIE);
	for (size_t cap = 0; cap < 160; cap++) {
		CLEANUP(free) uint8_t *out = malloc(cap + !cap);
		struct reply reply = usual();
		struct reply_result r;

		assert_non_null(out);
		reply.ede = 15;
		reply.ede_text = "text";
		reply.server_cookie = (const uint8_t *)"0123456789abcdef";
		r = reply_form(out, cap, &a.q, &reply, form, NOW, UINT32_MAX);
		assert_true(r.len <= cap);
		assert_true(r.len == 0 || r.len >= 12 + 19 + 11 + 28);
		r = reply_denial(out, cap, &a.q, &reply);
		assert_true(r.len <= cap);
		r = reply_any(out, cap, &a.q, &reply);
		assert_true(r.len <= cap);
		r = reply_localhost(out, cap, &a.q, &reply);
		assert_true(r.len <= cap);
		r = reply_header_only(out, cap, &a.q, 1);
		assert_int_equal(r.len, cap < 12 ? 0 : 12);
	}
	form_unref(form);
}

static void long_text_is_cut_between_characters(void **state)
{
	char text[REPLY_EDE_TEXT + 10];
	struct reply reply = usual();
	uint8_t out[1232];
	struct asked a;
	struct reply_result r;

	(void)state; /* cmocka's signature */
	memset(text, 'x', sizeof(text));
	memcpy(text + REPLY_EDE_TEXT - 1, "\xc3\xa9", 2); /* é across the end */
	text[sizeof(text) - 1] = '\0';
	reply.ede = 15;
	reply.ede_text = text;
	ask(&a, "w.example.org.", 1, EDNS);
	r = reply_plain(out, sizeof(out), &a.q, &reply);
	assert_int_equal(r.len, 12 + 19 + 11 + 6 + REPLY_EDE_TEXT - 1);
	assert_int_equal(out[r.len - 1], 'x');
}

static void without_a_question_only_the_header_goes(void **state)
{
	static const uint8_t notify[12] = { 0xab, 0xcd, 0x21, 0x10, 0, 1 };
	struct reply reply = usual();
	struct question q;
	uint8_t out[64];

	(void)state; /* cmocka's signature */
	assert_int_equal(question_parse(notify, sizeof(notify), &q), QUESTION_NOTIMP);
	reply.rcode = RCODE_NOTIMP;
	assert_int_equal(reply_plain(out, sizeof(out), &q, &reply).len, 12);
	assert_memory_equal(out, "\xab\xcd\xa1\x94\0\0\0\0\0\0\0\0", 12);
	assert_int_equal(reply_denial(out, sizeof(out), &q, &reply).len, 12);
	assert_int_equal(reply_header_only(out, sizeof(out), &q, RCODE_NOTIMP).len, 12);
	assert_memory_equal(out, "\xab\xcd\xa1\x94\0\0\0\0\0\0\0\0", 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_question_comes_back_as_it_was),
		cmocka_unit_test(opt_and_ede_go_only_to_those_who_sent_opt),
		cmocka_unit_test(an_extended_rcode_needs_opt),
		cmocka_unit_test(the_cookie_comes_back_with_ours),
		cmocka_unit_test(ad_goes_to_those_who_asked_for_it),
		cmocka_unit_test(a_denial_carries_its_soa),
		cmocka_unit_test(any_and_localhost_have_their_data),
		cmocka_unit_test(what_does_not_fit_is_truncated_to_nothing),
		cmocka_unit_test(ede_gives_way_to_records),
		cmocka_unit_test(nothing_is_written_past_the_buffer),
		cmocka_unit_test(long_text_is_cut_between_characters),
		cmocka_unit_test(without_a_question_only_the_header_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
