/* The guard: what a form carries, judged by ldns reading the whole message back. */
#include <stdio.h>

#include "entry.h"
#include "form.h"
#include "message.h"
#include "reply.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "scan.h"
#include "wire.h"

#define NOW (1000 * NS_PER_S)
#define SIG(owner, type)                                                                           \
	owner " 200 IN RRSIG " type " 13 3 300 20300101000000 20200101000000 1 example.org. "      \
	      "AAAA\n"

static const struct entry_limits limits = { .max_ttl_s = 86400,
	                                    .negative_max_ttl_s = 600,
	                                    .serve_stale_s = 3600 };

static bool accept_all(void *ctx, const uint8_t *name)
{
	(void)ctx, (void)name; /* one upstream for everything */
	return true;
}

struct links {
	struct entry *entries[LIMIT_CHAIN];
	size_t n;
};

static struct links links_of(const char *name, uint16_t type, unsigned int rcode,
                             const char *answer, const char *authority)
{
	CLEANUP(free) struct message *m = message_new(name, type, rcode, 0, answer, authority);
	struct links links = { 0 };
	int n;

	n = entry_from_message(m->data, m->len, WIRE(name), type, NOW, &limits, accept_all, NULL,
	                       links.entries, ARRAY_LEN(links.entries));
	if (n < 1)
		fail_msg("%s: no entries", name);
	links.n = (size_t)n;
	return links;
}

static void links_free(struct links *links)
{
	for (size_t i = 0; i < links->n; i++)
		entry_unref(links->entries[i]);
}

/* The form as a message to a client that asks for it with EDNS, read back by ldns. */
static ldns_pkt *read_back(const struct form *form, const char *name, uint16_t type,
                           uint64_t now_ns, uint32_t cap_s)
{
	uint8_t query[12 + NAME_MAX_WIRE + 4 + 11] = { 1, 2, 1, 0, 0, 1, [11] = 1 };
	CLEANUP(free) uint8_t *out = malloc(65535);
	const struct reply reply = {
		.ede = RECORD_NO_EDE, .limit = 65535, .ra = true, .udp_bytes = 1232
	};
	size_t name_len = wire_name_len(WIRE(name));
	struct question q;
	struct reply_result result;
	ldns_pkt *pkt = NULL;

	memcpy(query + 12, WIRE(name), name_len);
	wire_put16(query + 12 + name_len, type);
	wire_put16(query + 14 + name_len, 1);
	memcpy(query + 16 + name_len, "\0\0\x29\4\xd0\0\0\0\0\0\0", 11);
	assert_int_equal(question_parse(query, 27 + name_len, &q), QUESTION_OK);
	result = reply_form(out, 65535, &q, &reply, form, now_ns, cap_s);
	assert_false(result.truncated);
	assert_int_equal(scan_message(out, result.len), 0);
	assert_int_equal(ldns_wire2pkt(&pkt, out, result.len), LDNS_STATUS_OK);
	return pkt;
}

static void append_section(char *out, size_t size, const ldns_rr_list *list)
{
	for (size_t i = 0; i < ldns_rr_list_rr_count(list); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(list, i);
		char *type = ldns_rr_type2str(ldns_rr_get_type(rr));
		char *owner = ldns_rdf2str(ldns_rr_owner(rr));
		size_t len = strlen(out);

		len += (size_t)snprintf(out + len, size - len, " %s %s", type, owner);
		for (size_t j = 0;
		     j < ldns_rr_rd_count(rr) && ldns_rr_get_type(rr) != LDNS_RR_TYPE_RRSIG; j++) {
			char *text = ldns_rdf2str(ldns_rr_rdf(rr, j));

			len += (size_t)snprintf(out + len, size - len, " %s", text);
			free(text);
		}
		snprintf(out + len, size - len, " %u;", ldns_rr_ttl(rr));
		free(type);
		free(owner);
	}
}

enum { DO = 1, NO_V4 = 2, NO_V6 = 4, INTERNAL = 8 };

static const struct {
	const char *title, *name;
	uint16_t type;
	unsigned int rcode;
	const char *answer, *authority;
	unsigned int flags;
	const char *want; /* "RCODE EDE reason addresses: records | authority" */
} cases[] = {
	{ "global addresses pass", "w.example.org.", 1, 0,
	  "w.example.org. 300 IN A 9.9.9.9\nw.example.org. 300 IN A 8.8.8.8\n", "", 0,
	  "0 -1 none 2: A w.example.org. 9.9.9.9 300; A w.example.org. 8.8.8.8 300; |" },
	{ "a private one is stripped", "w.example.org.", 1, 0,
	  "w.example.org. 300 IN A 9.9.9.9\nw.example.org. 300 IN A 10.0.0.1\n", "", 0,
	  "0 17 none 1: A w.example.org. 9.9.9.9 300; |" },
	{ "a private one passes inside", "w.example.org.", 1, 0,
	  "w.example.org. 300 IN A 9.9.9.9\nw.example.org. 300 IN A 10.0.0.1\n", "", INTERNAL,
	  "0 -1 none 2: A w.example.org. 9.9.9.9 300; A w.example.org. 10.0.0.1 300; |" },
	{ "loopback passes nowhere", "w.example.org.", 1, 0, "w.example.org. 300 IN A 127.0.0.1\n",
	  "", INTERNAL, "0 17 rebinding 0: |" },
	{ "link-local and multicast pass nowhere", "w.example.org.", 28, 0,
	  "w.example.org. 300 IN AAAA fe80::1\nw.example.org. 300 IN AAAA ff02::1\n", "", INTERNAL,
	  "0 17 rebinding 0: |" },
	{ "nothing left of private ones", "w.example.org.", 28, 0,
	  "w.example.org. 300 IN AAAA fd00::1\n", "", 0, "0 17 rebinding 0: |" },
	{ "IPv4 inside NAT64", "w.example.org.", 28, 0,
	  "w.example.org. 300 IN AAAA 64:ff9b::10.0.0.1\nw.example.org. 300 IN AAAA "
	  "64:ff9b::9.9.9.9\n",
	  "", 0, "0 17 none 1: AAAA w.example.org. 64:ff9b::909:909 300; |" },
	{ "a mapped address is of no family", "w.example.org.", 28, 0,
	  "w.example.org. 300 IN AAAA ::ffff:9.9.9.9\n", "", INTERNAL, "0 17 rebinding 0: |" },
	{ "a set that is whole keeps its RRSIG", "w.example.org.", 1, 0,
	  "w.example.org. 300 IN A 9.9.9.9\n" SIG("w.example.org.", "A"), "", DO,
	  "0 -1 none 1: A w.example.org. 9.9.9.9 200; RRSIG w.example.org. 200; |" },
	{ "who does not set DO gets no RRSIG", "w.example.org.", 1, 0,
	  "w.example.org. 300 IN A 9.9.9.9\n" SIG("w.example.org.", "A"), "", 0,
	  "0 -1 none 1: A w.example.org. 9.9.9.9 200; |" },
	{ "a set that was altered loses it", "w.example.org.", 1, 0,
	  "w.example.org. 300 IN A 9.9.9.9\nw.example.org. 300 IN A 10.0.0.1\n" SIG(
	      "w.example.org.", "A"),
	  "", DO, "0 17 none 1: A w.example.org. 9.9.9.9 200; |" },
	{ "but the chain's other sets keep theirs", "w.example.org.", 1, 0,
	  "w.example.org. 300 IN CNAME a.example.org.\n" SIG(
	      "w.example.org.", "CNAME") "a.example.org. 300 IN A 10.0.0.1\n" SIG("a.example.org.",
	                                                                          "A"),
	  "", DO,
	  "0 17 rebinding 0: CNAME w.example.org. a.example.org. 200; RRSIG w.example.org. 200; "
	  "|" },
	{ "a chain", "w.example.org.", 28, 0,
	  "w.example.org. 300 IN CNAME a.cdn.test.\na.cdn.test. 30 IN AAAA 2600::1\n", "", 0,
	  "0 -1 none 1: CNAME w.example.org. a.cdn.test. 300; AAAA a.cdn.test. 2600::1 30; |" },
	{ "no source of IPv4", "w.example.org.", 1, 0, "w.example.org. 300 IN A 9.9.9.9\n", "",
	  NO_V4, "0 17 source 0: |" },
	{ "no source of IPv6 leaves IPv4 alone", "w.example.org.", 1, 0,
	  "w.example.org. 300 IN A 9.9.9.9\n", "", NO_V6,
	  "0 -1 none 1: A w.example.org. 9.9.9.9 300; |" },
	{ "hints are counted, each address once", "w.example.org.", 65, 0,
	  "w.example.org. 300 IN HTTPS 1 . ipv4hint=9.9.9.9,8.8.8.8 ipv6hint=2600::1\n"
	  "w.example.org. 300 IN HTTPS 2 b.example.org. ipv4hint=9.9.9.9\n",
	  "", 0,
	  "0 -1 none 3: HTTPS w.example.org. 1 . ipv4hint=9.9.9.9,8.8.8.8 ipv6hint=2600::1 300; "
	  "HTTPS w.example.org. 2 b.example.org. ipv4hint=9.9.9.9 300; |" },
	{ "a private hint goes, its record stays", "w.example.org.", 65, 0,
	  "w.example.org. 300 IN HTTPS 1 . alpn=h2 ipv4hint=10.0.0.1\n" SIG("w.example.org.",
	                                                                    "HTTPS"),
	  "", DO, "0 17 none 0: HTTPS w.example.org. 1 . alpn=h2 200; |" },
	{ "hints of a family without a source", "w.example.org.", 65, 0,
	  "w.example.org. 300 IN HTTPS 1 . ipv4hint=9.9.9.9 ipv6hint=2600::1\n", "", NO_V6,
	  "0 17 none 1: HTTPS w.example.org. 1 . ipv4hint=9.9.9.9 300; |" },
	{ "NXDOMAIN behind an alias", "w.example.org.", 1, 3,
	  "w.example.org. 300 IN CNAME a.example.org.\n",
	  "example.org. 60 IN SOA ns.example.org. mail.example.org. 1 2 3 4 60\n", 0,
	  "3 -1 none 0: CNAME w.example.org. a.example.org. 300; "
	  "| SOA example.org. ns.example.org. mail.example.org. 1 2 3 4 60 60;" },
	{ "proofs go to those who set DO", "w.example.org.", 1, 3, "",
	  "example.org. 60 IN SOA ns.example.org. mail.example.org. 1 2 3 4 60\n"
	  "a.example.org. 60 IN NSEC z.example.org. A\n"
	  "a.example.org. 60 IN RRSIG NSEC 13 3 60 20300101000000 20200101000000 1 example.org. "
	  "AAAA\n",
	  0, "3 -1 none 0: | SOA example.org. ns.example.org. mail.example.org. 1 2 3 4 60 60;" },
	{ "and are theirs", "w.example.org.", 1, 3, "",
	  "example.org. 60 IN SOA ns.example.org. mail.example.org. 1 2 3 4 60\n"
	  "a.example.org. 60 IN NSEC z.example.org. A\n"
	  "a.example.org. 60 IN RRSIG NSEC 13 3 60 20300101000000 20200101000000 1 example.org. "
	  "AAAA\n",
	  DO,
	  "3 -1 none 0: | SOA example.org. ns.example.org. mail.example.org. 1 2 3 4 60 60; "
	  "NSEC a.example.org. z.example.org. A  60; RRSIG a.example.org. 60;" },
	{ "a failure carries nothing", "w.example.org.", 1, 2, "w.example.org. 300 IN A 9.9.9.9\n",
	  "", 0, "2 -1 upstream 0: |" },
	{ "REFUSED is between the upstream and us", "w.example.org.", 1, 5, "", "", 0,
	  "2 -1 upstream 0: |" },
	{ "many names, compressed", "example.org.", 15, 0,
	  "example.org. 300 IN MX 10 a.mx.example.org.\nexample.org. 300 IN MX 20 "
	  "b.mx.example.org.\n"
	  "example.org. 300 IN MX 30 mx.other.test.\nexample.org. 300 IN MX 40 Mx.Other.Test.\n",
	  "", 0,
	  "0 -1 none 0: MX example.org. 10 a.mx.example.org. 300; MX example.org. 20 "
	  "b.mx.example.org. 300; "
	  "MX example.org. 30 mx.other.test. 300; MX example.org. 40 mx.other.test. 300; |" },
};

static void each_answer_has_its_form(void **state)
{
	(void)state; /* cmocka's signature */
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct links links = links_of(cases[i].name, cases[i].type, cases[i].rcode,
		                              cases[i].answer, cases[i].authority);
		bool internal[LIMIT_CHAIN];
		struct form_spec spec = {
			.qname = WIRE(cases[i].name),
			.qtype = cases[i].type,
			.dnssec_ok = cases[i].flags & DO,
			.drop_v4_hints = cases[i].flags & NO_V4,
			.drop_v6_hints = cases[i].flags & NO_V6,
			.now_ns = NOW,
			.link_internal = internal,
		};
		struct form *form;
		ldns_pkt *pkt;
		char got[4096];

		for (size_t j = 0; j < LIMIT_CHAIN; j++)
			internal[j] = cases[i].flags & INTERNAL;
		assert_int_equal(form_make(links.entries, links.n, &spec, 1, &form), 0);
		pkt = read_back(form, cases[i].name, cases[i].type, NOW, UINT32_MAX);
		assert_int_equal(ldns_rr_list_rr_count(ldns_pkt_additional(pkt)), 0);
		snprintf(got, sizeof(got), "%d %d %s %u:", ldns_pkt_get_rcode(pkt),
		         form->ede == RECORD_NO_EDE ? -1 : form->ede, reason_str(form->reason),
		         form->n_addrs);
		append_section(got, sizeof(got), ldns_pkt_answer(pkt));
		strcat(got, " |");
		append_section(got, sizeof(got), ldns_pkt_authority(pkt));
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s: got\n%s\nwanted\n%s", cases[i].title, got, cases[i].want);
		assert_int_equal(form->stripped, strstr(cases[i].want, " 17 ") != NULL);
		ldns_pkt_free(pkt);
		form_unref(form);
		links_free(&links);
	}
}

static struct form *form_of(struct links *links, const char *name, uint16_t type, uint64_t now_ns,
                            uint32_t stale_ttl_s)
{
	struct form_spec spec = {
		.qname = WIRE(name), .qtype = type, .now_ns = now_ns, .stale_ttl_s = stale_ttl_s
	};
	struct form *form;

	assert_int_equal(form_make(links->entries, links->n, &spec, 7, &form), 0);
	return form;
}

static uint32_t first_ttl(const struct form *form, uint64_t now_ns, uint32_t cap_s)
{
	ldns_pkt *pkt = read_back(form, "w.example.org.", 1, now_ns, cap_s);
	uint32_t ttl = ldns_rr_ttl(ldns_rr_list_rr(ldns_pkt_answer(pkt), 0));

	ldns_pkt_free(pkt);
	return ttl;
}

static void ttls_count_down_and_are_capped(void **state)
{
	struct links links =
	    links_of("w.example.org.", 1, 0, "w.example.org. 300 IN A 9.9.9.9\n", "");
	/* Made when the entry is 10.5 seconds old. */
	struct form *form =
	    form_of(&links, "w.example.org.", 1, NOW + 10 * NS_PER_S + NS_PER_S / 2, 0);

	(void)state; /* cmocka's signature */
	assert_int_equal(form->min_ttl_s, 290);
	assert_int_equal(form->expires_ns, NOW + 300 * NS_PER_S);
	assert_int_equal(first_ttl(form, form->made_ns, UINT32_MAX), 290);
	assert_int_equal(first_ttl(form, form->made_ns + 5 * NS_PER_S, UINT32_MAX), 285);
	assert_int_equal(first_ttl(form, form->made_ns + 5 * NS_PER_S, 60), 60);
	assert_int_equal(first_ttl(form, form->made_ns + 1000 * NS_PER_S, 60), 0);
	assert_int_equal(first_ttl(form, form->made_ns - NS_PER_S, UINT32_MAX), 290);
	form_unref(form);
	links_free(&links);
}

static void stale_data_has_the_stale_ttl(void **state)
{
	struct links links =
	    links_of("w.example.org.", 1, 0, "w.example.org. 300 IN A 9.9.9.9\n", "");
	uint64_t late = NOW + 400 * NS_PER_S;
	struct form *form = form_of(&links, "w.example.org.", 1, late, 30);

	(void)state; /* cmocka's signature */
	assert_true(form->stale);
	assert_int_equal(form->ede, 3);
	assert_int_equal(form->min_ttl_s, 30);
	assert_int_equal(form->expires_ns, late + 30 * NS_PER_S);
	assert_int_equal(first_ttl(form, late, UINT32_MAX), 30);
	form_unref(form);
	links_free(&links);

	links = links_of("w.example.org.", 1, 3, "",
	                 "example.org. 60 IN SOA ns.example.org. mail.example.org. 1 2 3 4 60\n");
	form = form_of(&links, "w.example.org.", 1, late, 30);
	assert_int_equal(form->ede, 19);
	form_unref(form);
	links_free(&links);
}

static void the_shortest_link_ends_the_form(void **state)
{
	struct links links = links_of("w.example.org.", 1, 0,
	                              "w.example.org. 300 IN CNAME a.example.org.\n"
	                              "a.example.org. 20 IN A 9.9.9.9\n",
	                              "");
	struct form *form = form_of(&links, "w.example.org.", 1, NOW, 0);

	(void)state; /* cmocka's signature */
	assert_int_equal(form->n_links, 2);
	assert_int_equal(form->min_ttl_s, 20);
	assert_int_equal(form->expires_ns, NOW + 20 * NS_PER_S);
	/* names: the question, then the target, each behind its length. */
	assert_int_equal(form->names_len, 2 + 15 + 2 + 15);
	assert_memory_equal(form->names + 2, "\1w\7example\3org", 15);
	assert_memory_equal(form->names + 19, "\1a\7example\3org", 15);
	form_unref(form);
	links_free(&links);
}

/* Two links of one zone bring the same SOA: one is enough. */
static void authority_records_come_once(void **state)
{
	static const char soa[] =
	    "example.org. 60 IN SOA ns.example.org. mail.example.org. 1 2 3 4 60\n";
	struct links a = links_of("w.example.org.", 1, 0, "", soa);
	struct links b = links_of("v.example.org.", 1, 0, "", soa);
	struct entry *both[] = { a.entries[0], b.entries[0] };
	struct form_spec spec = { .qname = WIRE("w.example.org."), .qtype = 1, .now_ns = NOW };
	struct form *form;

	(void)state; /* cmocka's signature */
	assert_int_equal(form_make(both, 2, &spec, 1, &form), 0);
	assert_int_equal(form->n_authority, 1);
	form_unref(form);
	links_free(&a);
	links_free(&b);
}

static void the_id_depends_on_content_only(void **state)
{
	static const struct {
		const char *title, *name;
		uint16_t type;
		const char *answer;
		uint64_t now_ns;
		bool same;
	} rows[] = {
		{ "again", "w.example.org.", 1,
		  "w.example.org. 300 IN A 9.9.9.9\nw.example.org. 300 IN A 8.8.8.8\n", NOW, true },
		{ "later", "w.example.org.", 1,
		  "w.example.org. 300 IN A 9.9.9.9\nw.example.org. 300 IN A 8.8.8.8\n",
		  NOW + 100 * NS_PER_S, true },
		{ "rotated, with another TTL and case", "w.example.org.", 1,
		  "W.Example.ORG. 20 IN A 8.8.8.8\nw.example.org. 20 IN A 9.9.9.9\n", NOW, true },
		{ "another address", "w.example.org.", 1,
		  "w.example.org. 300 IN A 9.9.9.9\nw.example.org. 300 IN A 8.8.8.9\n", NOW,
		  false },
		{ "one address less", "w.example.org.", 1, "w.example.org. 300 IN A 9.9.9.9\n", NOW,
		  false },
		{ "one that was stripped", "w.example.org.", 1,
		  "w.example.org. 300 IN A 9.9.9.9\nw.example.org. 300 IN A 8.8.8.8\n"
		  "w.example.org. 300 IN A 10.0.0.1\n",
		  NOW, true },
		{ "another name", "v.example.org.", 1,
		  "v.example.org. 300 IN A 9.9.9.9\nv.example.org. 300 IN A 8.8.8.8\n", NOW,
		  false },
	};
	uint8_t first[ANSWER_ID_LEN] = { 0 }, none[ANSWER_ID_LEN] = { 0 };

	(void)state; /* cmocka's signature */
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct links links = links_of(rows[i].name, rows[i].type, 0, rows[i].answer, "");
		struct form *form = form_of(&links, rows[i].name, rows[i].type, rows[i].now_ns, 0);

		if (i == 0)
			memcpy(first, form->answer_id, sizeof(first));
		if ((memcmp(first, form->answer_id, sizeof(first)) == 0) != rows[i].same)
			fail_msg("%s", rows[i].title);
		form_unref(form);
		links_free(&links);
	}
	assert_memory_not_equal(first, none, sizeof(none));

	struct links links = links_of("w.example.org.", 1, 2, "", "");
	struct form *form = form_of(&links, "w.example.org.", 1, NOW, 0);

	assert_memory_equal(form->answer_id, none, sizeof(none));
	form_unref(form);
	links_free(&links);
}

/* Names that nest 40 deep: no name in the message needs more than a few hops. */
static void compression_stays_shallow_and_pays(void **state)
{
	char answer[16384] = "";
	struct links links;
	struct form *form;
	ldns_pkt *pkt;

	(void)state; /* cmocka's signature */
	for (int i = 0; i < 40; i++) {
		char name[256] = "";

		for (int j = 0; j < i; j++)
			strcat(name, "x.");
		snprintf(answer + strlen(answer), sizeof(answer) - strlen(answer),
		         "example.org. 300 IN NS %sexample.org.\n", name);
	}
	links = links_of("example.org.", 2, 0, answer, "");
	form = form_of(&links, "example.org.", 2, NOW, 0);
	pkt = read_back(form, "example.org.", 2, NOW, UINT32_MAX); /* scans, too */
	assert_int_equal(ldns_rr_list_rr_count(ldns_pkt_answer(pkt)), 40);
	/* Whole it would be 40 owners of 13 octets, 40 fixed parts and 40 names of 13 to 91. */
	assert_true(form->body_len < 40 * (13 + 10 + 52) * 6 / 10);
	ldns_pkt_free(pkt);
	form_unref(form);
	links_free(&links);
}

static void too_much_for_a_message_is_a_limit(void **state)
{
	static char answer[400 * 300];
	struct links links;
	struct form_spec spec = { .qname = WIRE("w.example.org."), .qtype = 16, .now_ns = NOW };
	struct entry *twice[2];
	struct form *form;
	char text[256];

	(void)state; /* cmocka's signature */
	memset(text, 'x', 250);
	text[250] = '\0';
	for (int i = 0; i < 200; i++)
		snprintf(answer + strlen(answer), sizeof(answer) - strlen(answer),
		         "w.example.org. 300 IN TXT \"%03d%s\"\n", i, text);
	links = links_of("w.example.org.", 16, 0, answer, "");
	twice[0] = twice[1] = links.entries[0];
	assert_int_equal(form_make(twice, 2, &spec, 1, &form), ERR_LIMIT);
	links_free(&links);
}

static bool append_record(void *ctx, const struct form_record *record)
{
	char *out = ctx, addr[ADDR_TEXT_LEN];
	size_t len = strlen(out);

	addr_text(record->addr, addr);
	snprintf(out + len, 1024 - len, "%u %s %s %u %s; ", record->section, record->owner,
	         record->data, record->ttl_s, addr);
	return true;
}

static void the_history_is_told_what_was_given(void **state)
{
	struct links links = links_of("w.example.org.", 1, 0,
	                              "w.example.org. 300 IN CNAME a\\007b.example.org.\n"
	                              "a\\007b.example.org. 30 IN A 9.9.9.9\n"
	                              "a\\007b.example.org. 30 IN A 10.0.0.1\n",
	                              "");
	struct form *form = form_of(&links, "w.example.org.", 1, NOW, 0);
	char got[1024] = "";

	(void)state; /* cmocka's signature */
	assert_int_equal(form_records(form, append_record, got), 0);
	assert_string_equal(got, "1 w.example.org. a\\007b.example.org. 300 ::; "
	                         "1 a\\007b.example.org. 9.9.9.9 30 9.9.9.9; ");
	form_unref(form);
	links_free(&links);
}

static void svcb_targets_are_listed_once(void **state)
{
	struct links links = links_of("w.example.org.", 65, 0,
	                              "w.example.org. 300 IN HTTPS 1 .\n"
	                              "w.example.org. 300 IN HTTPS 2 B.example.org.\n"
	                              "w.example.org. 300 IN HTTPS 3 b.example.org. alpn=h2\n"
	                              "w.example.org. 300 IN HTTPS 4 c.example.org.\n",
	                              "");
	uint8_t names[4][NAME_MAX_WIRE];

	(void)state; /* cmocka's signature */
	assert_int_equal(form_svcb_targets(links.entries[0], names, 4), 2);
	assert_memory_equal(names[0], "\1b\7example\3org", 15);
	assert_memory_equal(names[1], "\1c\7example\3org", 15);
	assert_int_equal(form_svcb_targets(links.entries[0], names, 1), 1);
	assert_null(form_svcb_alias(links.entries[0]));
	links_free(&links);

	links = links_of("w.example.org.", 64, 0,
	                 "w.example.org. 300 IN SVCB 1 a.example.org.\n"
	                 "w.example.org. 300 IN SVCB 0 .\n"
	                 "w.example.org. 300 IN SVCB 0 B.example.org.\n"
	                 "w.example.org. 300 IN SVCB 0 c.example.org.\n",
	                 "");
	assert_true(name_equal(form_svcb_alias(links.entries[0]), WIRE("b.example.org.")));
	links_free(&links);
	links = links_of("w.example.org.", 1, 0, "w.example.org. 300 IN A 9.9.9.9\n", "");
	assert_null(form_svcb_alias(links.entries[0]));
	links_free(&links);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_answer_has_its_form),
		cmocka_unit_test(ttls_count_down_and_are_capped),
		cmocka_unit_test(stale_data_has_the_stale_ttl),
		cmocka_unit_test(the_shortest_link_ends_the_form),
		cmocka_unit_test(authority_records_come_once),
		cmocka_unit_test(the_id_depends_on_content_only),
		cmocka_unit_test(compression_stays_shallow_and_pays),
		cmocka_unit_test(too_much_for_a_message_is_a_limit),
		cmocka_unit_test(the_history_is_told_what_was_given),
		cmocka_unit_test(svcb_targets_are_listed_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
