/* Cutting upstream messages into entries: cases in presentation form, results as text. */
#include <stdio.h>

#include "entry.h"
#include "message.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "scan.h"
#include "wire.h"

#define NOW (1000 * NS_PER_S)
#define SOA "example.org. 900 IN SOA ns.example.org. mail.example.org. 1 2 3 4 60\n"
#define SIG(owner, type, labels, signer)                                                           \
	owner " 200 IN RRSIG " type " 13 " labels " 300 20300101000000 20200101000000 1 " signer   \
	      " AAAA\n"

static const struct entry_limits limits = { .max_ttl_s = 86400,
	                                    .negative_max_ttl_s = 600,
	                                    .serve_stale_s = 3600 };

/* "alias www.example.org. -> a.example.org. 300: CNAME a.example.org. 300 | ..." for each entry. */
static void append(char *out, size_t size, const struct entry *entry)
{
	static const char *const kinds[] = { "failure", "data", "alias", "nodata", "nxdomain" };
	char name[NAME_TEXT_LEN], target[NAME_TEXT_LEN] = "";
	size_t len = strlen(out);

	name_to_text(entry->name, name);
	if (entry->target_len > 0)
		name_to_text(entry->target, target);
	len += (size_t)snprintf(out + len, size - len, "%s %s%s%s %lu:", kinds[entry->kind], name,
	                        target[0] ? " -> " : "", target,
	                        (unsigned long)((entry->expires_ns - entry->made_ns) / NS_PER_S));
	for (size_t i = 0; i < entry->n_rrs; i++) {
		const struct entry_rr *rr = &entry_rrs(entry)[i];
		char type[NAME_TYPE_TEXT_LEN], owner[NAME_TEXT_LEN], data[2048];

		assert_int_equal(entry_rr_text(entry, rr, owner, sizeof(owner), data, sizeof(data)),
		                 0);
		name_type_text(rr->type, type);
		len +=
		    (size_t)snprintf(out + len, size - len, " %s%s%s %s %s %u;",
		                     rr->section == 2 ? "auth " : "", rr->signature ? "sig " : "",
		                     type, owner, rr->type == TYPE_RRSIG ? "-" : data, rr->ttl);
	}
	snprintf(out + len, size - len, "\n");
}

static bool in_example_org(void *ctx, const uint8_t *name)
{
	(void)ctx; /* every case has the same zone */
	return name_is_under(name, (const uint8_t *)"\7example\3org");
}

static const struct {
	const char *title, *name;
	uint16_t type;
	unsigned int rcode, flags;
	const char *answer, *authority;
	const char *want; /* "malformed", "limit", or the entries */
} cases[] = {
	{ "a SOA of several above it: the closest", "a.b.example.org.", 1, 3, 0, "",
	  ". 300 IN SOA ns. mail. 1 2 3 4 200\n" SOA
	  "b.example.org. 300 IN SOA ns.example.org. mail.example.org. 9 2 3 4 30\n",
	  "nxdomain a.b.example.org. 30: auth SOA b.example.org. "
	  "ns.example.org. mail.example.org. 9 2 3 4 30 30;\n" },
	{ "a SOA of elsewhere proves nothing", "www.example.org.", 1, 3, 0, "",
	  "example.test. 300 IN SOA ns.example.test. mail.example.test. 1 2 3 4 200\n",
	  "nxdomain www.example.org. 0:\n" },
	{ "an address", "www.example.org.", 1, 0, 0, "www.example.org. 300 IN A 192.0.2.1\n", "",
	  "data www.example.org. 300: A www.example.org. 192.0.2.1 300;\n" },
	{ "records of one set take the smallest TTL (RFC 2181, 5.2)", "www.example.org.", 1, 0, 0,
	  "www.example.org. 300 IN A 192.0.2.1\nwww.example.org. 200 IN A 192.0.2.2\n", "",
	  "data www.example.org. 200: A www.example.org. 192.0.2.1 200; "
	  "A www.example.org. 192.0.2.2 200;\n" },
	{ "duplicates are removed", "www.example.org.", 1, 0, 0,
	  "www.example.org. 300 IN A 192.0.2.1\nWWW.example.org. 300 IN A 192.0.2.1\n", "",
	  "data www.example.org. 300: A www.example.org. 192.0.2.1 300;\n" },
	{ "a TTL with the upper bit set is 0 (RFC 2181, 8)", "www.example.org.", 1, 0, 0,
	  "www.example.org. 2147483648 IN A 192.0.2.1\n", "",
	  "data www.example.org. 0: A www.example.org. 192.0.2.1 0;\n" },
	{ "the largest TTL is cut to the limit", "www.example.org.", 1, 0, 0,
	  "www.example.org. 2147483647 IN A 192.0.2.1\n", "",
	  "data www.example.org. 86400: A www.example.org. 192.0.2.1 86400;\n" },
	{ "other owners are ignored", "www.example.org.", 1, 0, 0,
	  "www.example.org. 300 IN A 192.0.2.1\nbank.example.org. 300 IN A 192.0.2.66\n", "",
	  "data www.example.org. 300: A www.example.org. 192.0.2.1 300;\n" },
	{ "only other owners: no data", "www.example.org.", 1, 0, 0,
	  "bank.example.org. 300 IN A 192.0.2.66\n", "", "nodata www.example.org. 0:\n" },
	{ "other types of the owner are ignored", "www.example.org.", 1, 0, 0,
	  "www.example.org. 300 IN A 192.0.2.1\nwww.example.org. 300 IN TXT \"x\"\n", "",
	  "data www.example.org. 300: A www.example.org. 192.0.2.1 300;\n" },
	{ "another class is ignored", "www.example.org.", 1, 0, 0,
	  "www.example.org. 300 CH A 192.0.2.1\n", SOA,
	  "nodata www.example.org. 60: auth SOA example.org. "
	  "ns.example.org. mail.example.org. 1 2 3 4 60 60;\n" },
	{ "data in the authority section is no answer", "www.example.org.", 1, 0, 0, "",
	  "www.example.org. 300 IN A 192.0.2.1\n", "nodata www.example.org. 0:\n" },
	{ "RRSIGs stay with their set", "www.example.org.", 1, 0, 0,
	  SIG("www.example.org.", "A", "3",
	      "example.org.") "www.example.org. 300 IN A 192.0.2.1\n" SIG("www.example.org.",
	                                                                  "AAAA", "3",
	                                                                  "example.org."),
	  "",
	  "data www.example.org. 200: A www.example.org. 192.0.2.1 200; "
	  "sig RRSIG www.example.org. - 200;\n" },
	{ "no RRset lives longer than its original TTL", "www.example.org.", 1, 0, 0,
	  "www.example.org. 300 IN A 192.0.2.1\nwww.example.org. 300 IN RRSIG A 13 3 100 "
	  "20300101000000 "
	  "20200101000000 1 example.org. AAAA\n",
	  "",
	  "data www.example.org. 100: A www.example.org. 192.0.2.1 100; "
	  "sig RRSIG www.example.org. - 100;\n" },
	{ "a wildcard brings the proof that nothing is closer", "www.example.org.", 1, 0, 0,
	  "www.example.org. 300 IN A 192.0.2.1\n" SIG("www.example.org.", "A", "2", "example.org."),
	  "a.example.org. 300 IN NSEC z.example.org. A\n" SIG(
	      "a.example.org.", "NSEC", "3",
	      "example.org.") "a.example.test. 300 IN NSEC z.example.test. A\n",
	  "data www.example.org. 200: A www.example.org. 192.0.2.1 200; "
	  "sig RRSIG www.example.org. - 200; "
	  "auth NSEC a.example.org. z.example.org. A  200; auth sig RRSIG a.example.org. - "
	  "200;\n" },
	{ "a chain", "www.example.org.", 1, 0, 0,
	  "www.example.org. 300 IN CNAME a.example.org.\na.example.org. 50 IN CNAME "
	  "b.example.org.\n"
	  "b.example.org. 20 IN A 192.0.2.1\n",
	  "",
	  "alias www.example.org. -> a.example.org. 300: CNAME www.example.org. a.example.org. "
	  "300;\n"
	  "alias a.example.org. -> b.example.org. 50: CNAME a.example.org. b.example.org. 50;\n"
	  "data b.example.org. 20: A b.example.org. 192.0.2.1 20;\n" },
	{ "a chain in any order", "www.example.org.", 1, 0, 0,
	  "a.example.org. 20 IN A 192.0.2.1\nwww.example.org. 300 IN CNAME a.example.org.\n", "",
	  "alias www.example.org. -> a.example.org. 300: CNAME www.example.org. a.example.org. "
	  "300;\n"
	  "data a.example.org. 20: A a.example.org. 192.0.2.1 20;\n" },
	{ "a chain that leaves the zone is believed no further", "www.example.org.", 1, 0, 0,
	  "www.example.org. 300 IN CNAME www.bank.test.\nwww.bank.test. 20 IN A 192.0.2.66\n", "",
	  "alias www.example.org. -> www.bank.test. 300: CNAME www.example.org. www.bank.test. "
	  "300;\n" },
	{ "a record beside the chain", "www.example.org.", 1, 0, 0,
	  "www.example.org. 300 IN CNAME a.example.org.\nc.example.org. 20 IN A 192.0.2.66\n", "",
	  "alias www.example.org. -> a.example.org. 300: CNAME www.example.org. a.example.org. "
	  "300;\n" },
	{ "a loop ends where it closes", "www.example.org.", 1, 0, 0,
	  "www.example.org. 300 IN CNAME a.example.org.\na.example.org. 300 IN CNAME "
	  "www.example.org.\n",
	  "",
	  "alias www.example.org. -> a.example.org. 300: CNAME www.example.org. a.example.org. "
	  "300;\n"
	  "alias a.example.org. -> www.example.org. 300: CNAME a.example.org. www.example.org. "
	  "300;\n" },
	{ "two CNAMEs at one name (RFC 2181, 10.1)", "www.example.org.", 1, 0, 0,
	  "www.example.org. 300 IN CNAME a.example.org.\nwww.example.org. 300 IN CNAME "
	  "b.example.org.\n",
	  "", "malformed" },
	{ "a CNAME as the question", "www.example.org.", 5, 0, 0,
	  "www.example.org. 300 IN CNAME a.example.org.\na.example.org. 50 IN A 192.0.2.1\n", "",
	  "data www.example.org. 300: CNAME www.example.org. a.example.org. 300;\n" },
	{ "a chain that ends in NXDOMAIN (RFC 6604)", "www.example.org.", 1, 3, 0,
	  "www.example.org. 300 IN CNAME a.example.org.\n", SOA,
	  "alias www.example.org. -> a.example.org. 300: CNAME www.example.org. a.example.org. "
	  "300;\n"
	  "nxdomain a.example.org. 60: auth SOA example.org. "
	  "ns.example.org. mail.example.org. 1 2 3 4 60 60;\n" },
	{ "a chain that ends in NODATA", "www.example.org.", 28, 0, 0,
	  "www.example.org. 300 IN CNAME a.example.org.\n", SOA,
	  "alias www.example.org. -> a.example.org. 300: CNAME www.example.org. a.example.org. "
	  "300;\n"
	  "nodata a.example.org. 60: auth SOA example.org. "
	  "ns.example.org. mail.example.org. 1 2 3 4 60 60;\n" },
	{ "a chain whose end says nothing", "www.example.org.", 28, 3, 0,
	  "www.example.org. 300 IN CNAME a.example.org.\n", "",
	  "alias www.example.org. -> a.example.org. 300: CNAME www.example.org. a.example.org. "
	  "300;\n" },
	{ "NXDOMAIN with data", "www.example.org.", 1, 3, 0,
	  "www.example.org. 300 IN A 192.0.2.1\n", "", "malformed" },

	{ "a DNAME: the CNAME is our own", "a.b.old.example.org.", 1, 0, 0,
	  "old.example.org. 300 IN DNAME new.example.org.\n"
	  "a.b.old.example.org. 10 IN CNAME evil.example.org.\n"
	  "a.b.new.example.org. 20 IN A 192.0.2.1\nevil.example.org. 20 IN A 192.0.2.66\n",
	  "",
	  "alias a.b.old.example.org. -> a.b.new.example.org. 300: "
	  "DNAME old.example.org. new.example.org. 300; "
	  "CNAME a.b.old.example.org. a.b.new.example.org. 300;\n"
	  "data a.b.new.example.org. 20: A a.b.new.example.org. 192.0.2.1 20;\n" },
	{ "a DNAME without a CNAME", "a.old.example.org.", 1, 0, 0,
	  "old.example.org. 300 IN DNAME new.example.org.\n", SOA,
	  "alias a.old.example.org. -> a.new.example.org. 300: "
	  "DNAME old.example.org. new.example.org. 300; CNAME a.old.example.org. "
	  "a.new.example.org. 300;\n"
	  "nodata a.new.example.org. 60: auth SOA example.org. "
	  "ns.example.org. mail.example.org. 1 2 3 4 60 60;\n" },
	{ "a DNAME at the name itself redirects only what is below", "old.example.org.", 1, 0, 0,
	  "old.example.org. 300 IN DNAME new.example.org.\n", SOA,
	  "nodata old.example.org. 60: auth SOA example.org. "
	  "ns.example.org. mail.example.org. 1 2 3 4 60 60;\n" },
	{ "a DNAME of somebody else", "a.old.example.org.", 1, 0, 0,
	  "older.example.org. 300 IN DNAME new.example.org.\n", SOA,
	  "nodata a.old.example.org. 60: auth SOA example.org. "
	  "ns.example.org. mail.example.org. 1 2 3 4 60 60;\n" },
	{ "two DNAMEs at one name (RFC 6672, 2.4)", "a.old.example.org.", 1, 0, 0,
	  "old.example.org. 300 IN DNAME new.example.org.\nold.example.org. 300 IN DNAME "
	  "x.example.org.\n",
	  "", "malformed" },
	{ "the CNAME of a DNAME as the question", "a.old.example.org.", 5, 0, 0,
	  "old.example.org. 300 IN DNAME new.example.org.\n", "",
	  "data a.old.example.org. 300: DNAME old.example.org. new.example.org. 300; "
	  "CNAME a.old.example.org. a.new.example.org. 300;\n" },

	{ "NXDOMAIN lives for the SOA's MINIMUM (RFC 2308, 5)", "x.example.org.", 1, 3, 0, "", SOA,
	  "nxdomain x.example.org. 60: auth SOA example.org. "
	  "ns.example.org. mail.example.org. 1 2 3 4 60 60;\n" },
	{ "or for the SOA's own TTL, when that is smaller", "x.example.org.", 1, 3, 0, "",
	  "example.org. 30 IN SOA ns.example.org. mail.example.org. 1 2 3 4 60\n",
	  "nxdomain x.example.org. 30: auth SOA example.org. "
	  "ns.example.org. mail.example.org. 1 2 3 4 60 30;\n" },
	{ "and no longer than the limit", "x.example.org.", 1, 0, 0, "",
	  "example.org. 9999 IN SOA ns.example.org. mail.example.org. 1 2 3 4 9999\n",
	  "nodata x.example.org. 600: auth SOA example.org. "
	  "ns.example.org. mail.example.org. 1 2 3 4 9999 600;\n" },
	{ "a MINIMUM with the upper bit set is 0", "x.example.org.", 1, 0, 0, "",
	  "example.org. 9999 IN SOA ns.example.org. mail.example.org. 1 2 3 4 2147483648\n",
	  "nodata x.example.org. 0: auth SOA example.org. "
	  "ns.example.org. mail.example.org. 1 2 3 4 2147483648 0;\n" },
	{ "a SOA of another zone proves nothing", "x.example.org.", 1, 3, 0, "",
	  "bank.test. 900 IN SOA ns.bank.test. mail.bank.test. 1 2 3 4 60\n",
	  "nxdomain x.example.org. 0:\n" },
	{ "a denial brings its proofs", "x.example.org.", 1, 3, 0, "",
	  SOA SIG(
	      "example.org.", "SOA", "2",
	      "example.org.") "a.example.org. 300 IN NSEC z.example.org. A\n" SIG("a.example.org.",
	                                                                          "NSEC", "3",
	                                                                          "example.org."),
	  "nxdomain x.example.org. 60: auth SOA example.org. "
	  "ns.example.org. mail.example.org. 1 2 3 4 60 60; "
	  "auth sig RRSIG example.org. - 60; auth NSEC a.example.org. z.example.org. A  60; "
	  "auth sig RRSIG a.example.org. - 60;\n" },
	{ "proofs that another zone has signed, or nobody, are not this zone's", "x.example.org.",
	  1, 3, 0, "",
	  SOA "a.example.org. 300 IN NSEC z.example.org. A\n"
	      "sub.example.org. 300 IN NSEC z.sub.example.org. A\n" SIG("sub.example.org.", "NSEC",
	                                                                "3", "sub.example.org."),
	  "nxdomain x.example.org. 60: auth SOA example.org. "
	  "ns.example.org. mail.example.org. 1 2 3 4 60 60;\n" },
	{ "also without a SOA; then nothing of it is kept", "x.example.org.", 1, 3, 0, "",
	  "a.example.org. 300 IN NSEC z.example.org. A\n" SIG("a.example.org.", "NSEC", "3",
	                                                      "example.org."),
	  "nxdomain x.example.org. 0: auth NSEC a.example.org. z.example.org. A  0; "
	  "auth sig RRSIG a.example.org. - 0;\n" },
	{ "a referral is no answer (RFC 2308, 2.2)", "x.sub.example.org.", 1, 0, 0, "",
	  "sub.example.org. 300 IN NS ns.sub.example.org.\n", "failure x.sub.example.org. 5:\n" },
	{ "NODATA of an authority without SOA", "x.example.org.", 1, 0, MESSAGE_AA, "",
	  "example.org. 300 IN NS ns.example.org.\n", "nodata x.example.org. 0:\n" },
	{ "SERVFAIL", "x.example.org.", 1, 2, 0, "x.example.org. 300 IN A 192.0.2.1\n", "",
	  "failure x.example.org. 5:\n" },
	{ "REFUSED without the question", "x.example.org.", 1, 5, MESSAGE_NO_QUESTION, "", "",
	  "failure x.example.org. 5:\n" },
	{ "NOERROR without the question", "x.example.org.", 1, 0, MESSAGE_NO_QUESTION, "", "",
	  "malformed" },
	{ "a query", "x.example.org.", 1, 0, MESSAGE_QUERY, "", "", "malformed" },
	{ "a truncated message proves nothing", "x.example.org.", 1, 0, MESSAGE_TC,
	  "x.example.org. 300 IN A 192.0.2.1\n", "", "malformed" },
	{ "a service binding that is well-formed", "x.example.org.", 65, 0, 0,
	  "x.example.org. 300 IN HTTPS 1 . alpn=h2 ipv4hint=192.0.2.1\n", "",
	  "data x.example.org. 300: HTTPS x.example.org. 1 . alpn=h2 ipv4hint=192.0.2.1 300;\n" },
	{ "a service binding with an empty hint", "x.example.org.", 65, 0, 0,
	  "x.example.org. 300 IN TYPE65 \\# 7 00010000040000\n", "", "malformed" },
	{ "data that ldns has no words for", "x.example.org.", 257, 0, 0,
	  "x.example.org. 300 IN TYPE257 \\# 6 00036973ff01\n", "",
	  "data x.example.org. 300: CAA x.example.org. \\# 6 00036973ff01 300;\n" },
	{ "control characters are shown escaped", "x.example.org.", 16, 0, 0,
	  "x.example.org. 300 IN TXT \"a\\027[2J\\007\"\n", "",
	  "data x.example.org. 300: TXT x.example.org. \"a\\027[2J\\007\" 300;\n" },
};

static void each_message_gives_its_entries(void **state)
{
	(void)state; /* cmocka's signature */
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(free)
		struct message *m =
		    message_new(cases[i].name, cases[i].type, cases[i].rcode, cases[i].flags,
		                cases[i].answer, cases[i].authority);
		struct entry *entries[LIMIT_CHAIN];
		char got[8192] = "";
		int n = scan_message(m->data, m->len);

		if (n == 0)
			n = entry_from_message(m->data, m->len, WIRE(cases[i].name), cases[i].type,
			                       NOW, &limits, in_example_org, NULL, entries,
			                       ARRAY_LEN(entries));
		if (n == ERR_MALFORMED)
			strcpy(got, "malformed");
		for (int j = 0; j < n; j++) {
			append(got, sizeof(got), entries[j]);
			entry_unref(entries[j]);
		}
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s: got %d\n%swanted\n%s", cases[i].title, n, got, cases[i].want);
	}
}

static void an_answer_to_another_question_is_malformed(void **state)
{
	CLEANUP(free)
	struct message *m =
	    message_new("www.example.org.", 1, 0, 0, "www.example.org. 300 IN A 192.0.2.1\n", "");
	struct entry *entries[1];

	(void)state; /* cmocka's signature */
	assert_int_equal(entry_from_message(m->data, m->len, WIRE("w.example.org."), 1, NOW,
	                                    &limits, in_example_org, NULL, entries, 1),
	                 ERR_MALFORMED);
	assert_int_equal(entry_from_message(m->data, m->len, WIRE("www.example.org."), 28, NOW,
	                                    &limits, in_example_org, NULL, entries, 1),
	                 ERR_MALFORMED);
}

/* Our own 0x20 case in the echoed question must not come out in owners and data that point at it.
 */
static void the_case_of_the_echoed_question_is_not_kept(void **state)
{
	CLEANUP(free)
	struct message *m = message_new("wWw.eXaMpLe.OrG.", 5, 0, 0,
	                                "wWw.eXaMpLe.OrG. 300 IN CNAME a.eXaMpLe.OrG.\n", "");
	struct entry *entries[1];
	char got[1024] = "";

	(void)state; /* cmocka's signature */
	assert_int_equal(entry_from_message(m->data, m->len, WIRE("www.example.org."), 5, NOW,
	                                    &limits, in_example_org, NULL, entries, 1),
	                 1);
	append(got, sizeof(got), entries[0]);
	assert_string_equal(got, "data www.example.org. 300: "
	                         "CNAME www.example.org. a.example.org. 300;\n");
	entry_unref(entries[0]);
}

static void a_chain_is_cut_at_the_limit(void **state)
{
	char answer[LIMIT_CHAIN * 64 * 2] = "";
	struct entry *entries[LIMIT_CHAIN];
	int n;

	(void)state; /* cmocka's signature */
	for (int i = 0; i < LIMIT_CHAIN + 3; i++)
		snprintf(answer + strlen(answer), sizeof(answer) - strlen(answer),
		         "c%d.example.org. 300 IN CNAME c%d.example.org.\n", i, i + 1);
	CLEANUP(free) struct message *m = message_new("c0.example.org.", 1, 0, 0, answer, "");

	n = entry_from_message(m->data, m->len, WIRE("c0.example.org."), 1, NOW, &limits,
	                       in_example_org, NULL, entries, ARRAY_LEN(entries));
	assert_int_equal(n, LIMIT_CHAIN);
	for (int i = 0; i < n; i++)
		entry_unref(entries[i]);
}

static void records_of_a_set_are_bounded(void **state)
{
	(void)state; /* cmocka's signature */
	for (int n = LIMIT_RRSET_RECORDS; n <= LIMIT_RRSET_RECORDS + 1; n++) {
		size_t size = (size_t)n * 64, len = 0;
		CLEANUP(free) char *answer = malloc(size);
		struct entry *entries[1];
		int r;

		for (int i = 0; i < n; i++)
			len += (size_t)snprintf(answer + len, size - len,
			                        "www.example.org. 300 IN A 198.18.%d.%d\n", i / 256,
			                        i % 256);
		CLEANUP(free)
		struct message *m = message_new("www.example.org.", 1, 0, 0, answer, "");

		r = entry_from_message(m->data, m->len, WIRE("www.example.org."), 1, NOW, &limits,
		                       in_example_org, NULL, entries, 1);
		assert_int_equal(r, n > LIMIT_RRSET_RECORDS ? ERR_LIMIT : 1);
		if (r == 1) {
			assert_int_equal(entries[0]->n_rrs, LIMIT_RRSET_RECORDS);
			entry_unref(entries[0]);
		}
	}
}

/* Whoever owns a zone writes such a message: names that grow without compression, and a chain each
 * of whose links brings the same proofs. */
static void what_a_message_grows_to_is_bounded(void **state)
{
	static char answer[20000], authority[400000];
	char owner[300] = "";
	struct entry *entries[LIMIT_CHAIN];
	size_t bytes = 0, len = 0;
	int n;

	(void)state; /* cmocka's signature */
	answer[0] = authority[0] = '\0';
	for (int i = 0; i < 110; i++)
		strcat(owner, "a.");
	for (int i = 0; i < 12; i++)
		snprintf(answer + strlen(answer), 700,
		         "c%d.example.org. 300 IN CNAME c%d.example.org.\n" SIG(
			     "c%d.example.org.", "CNAME", "2", "example.org."),
		         i, i + 1, i);
	for (int i = 0; i < 100; i++)
		snprintf(authority + strlen(authority), 1300,
		         "n%d.%sexample.org. 300 IN NSEC n%d.%sexample.org. A\n" SIG(
			     "n%d.%sexample.org.", "NSEC", "113", "example.org."),
		         i, owner, i, owner, i, owner);
	CLEANUP(free)
	struct message *m = message_new("c0.example.org.", 1, 0, 0, answer, authority);

	n = entry_from_message(m->data, m->len, WIRE("c0.example.org."), 1, NOW, &limits,
	                       in_example_org, NULL, entries, ARRAY_LEN(entries));
	assert_in_range(n, 1, 2);
	for (int i = 0; i < n; i++) {
		bytes += entries[i]->bytes;
		assert_int_equal(entries[i]->kind, ENTRY_ALIAS);
		entry_unref(entries[i]);
	}
	assert_in_range(bytes, 50000, LIMIT_ANSWER_BYTES);

	authority[0] = '\0';
	for (int i = 0; i < 1200; i++)
		len += (size_t)snprintf(authority + len, sizeof(authority) - len,
		                        "n%d.%sexample.org. 1 IN TXT x\n", i, owner);
	CLEANUP(free)
	struct message *most = message_new("c0.example.org.", 1, 0, 0, "", authority);

	assert_int_equal(entry_from_message(most->data, most->len, WIRE("c0.example.org."), 1, NOW,
	                                    &limits, in_example_org, NULL, entries,
	                                    ARRAY_LEN(entries)),
	                 ERR_LIMIT);
}

/* RFC 6672, section 2.2: a substitution that is too long is YXDOMAIN, and the DNAME proves it. */
static void an_overlong_substitution_is_yxdomain(void **state)
{
	char name[256], answer[600];
	struct entry *entries[1];

	(void)state; /* cmocka's signature */
	snprintf(name, sizeof(name), "%063d.%063d.o.example.org.", 0, 0);
	snprintf(answer, sizeof(answer), "o.example.org. 300 IN DNAME %063d.%063d.example.org.\n",
	         0, 0);
	CLEANUP(free) struct message *m = message_new(name, 1, 0, 0, answer, "");

	assert_int_equal(entry_from_message(m->data, m->len, WIRE(name), 1, NOW, &limits,
	                                    in_example_org, NULL, entries, 1),
	                 1);
	assert_int_equal(entries[0]->kind, ENTRY_YXDOMAIN);
	assert_int_equal(entries[0]->rcode, RCODE_YXDOMAIN);
	assert_int_equal(entries[0]->n_rrs, 1);
	assert_int_equal(entry_rrs(entries[0])[0].type, TYPE_DNAME);
	assert_int_equal(entries[0]->expires_ns, NOW + 300 * NS_PER_S);
	entry_unref(entries[0]);
}

static void stale_life_follows_the_ttl(void **state)
{
	CLEANUP(free)
	struct message *m =
	    message_new("www.example.org.", 1, 0, 0, "www.example.org. 300 IN A 192.0.2.1\n", "");
	CLEANUP(free)
	struct message *zero =
	    message_new("www.example.org.", 1, 0, 0, "www.example.org. 0 IN A 192.0.2.1\n", "");
	struct entry *entry;

	(void)state; /* cmocka's signature */
	assert_int_equal(entry_from_message(m->data, m->len, WIRE("www.example.org."), 1, NOW,
	                                    &limits, NULL, NULL, &entry, 1),
	                 1);
	assert_int_equal(entry->expires_ns, NOW + 300 * NS_PER_S);
	assert_int_equal(entry->stale_until_ns, NOW + 3900 * NS_PER_S);
	entry_unref(entry);
	assert_int_equal(entry_from_message(zero->data, zero->len, WIRE("www.example.org."), 1, NOW,
	                                    &limits, NULL, NULL, &entry, 1),
	                 1);
	assert_int_equal(entry->stale_until_ns, NOW);
	entry_unref(entry);
	entry = entry_failure(WIRE("www.example.org."), 1, RCODE_SERVFAIL, NOW, 5);
	assert_int_equal(entry->stale_until_ns, NOW + 5 * NS_PER_S);
	entry_unref(entry);
}

static void hosts_give_the_family_that_was_asked(void **state)
{
	uint8_t addrs[3][ADDR_LEN];
	struct entry *entry;
	char got[1024] = "";

	(void)state; /* cmocka's signature */
	assert_int_equal(addr_parse("192.0.2.1", addrs[0]), 0);
	assert_int_equal(addr_parse("2001:db8::1", addrs[1]), 0);
	assert_int_equal(addr_parse("192.0.2.2", addrs[2]), 0);
	entry =
	    entry_from_hosts(WIRE("gw.corp.test."), 1, (const uint8_t(*)[ADDR_LEN])addrs, 3, NOW);
	append(got, sizeof(got), entry);
	entry_unref(entry);
	entry =
	    entry_from_hosts(WIRE("gw.corp.test."), 28, (const uint8_t(*)[ADDR_LEN])addrs, 3, NOW);
	append(got, sizeof(got), entry);
	entry_unref(entry);
	entry = entry_from_hosts(WIRE("gw.corp.test."), 28, NULL, 0, NOW);
	append(got, sizeof(got), entry);
	entry_unref(entry);
	assert_string_equal(got, "data gw.corp.test. 60: A gw.corp.test. 192.0.2.1 60; "
	                         "A gw.corp.test. 192.0.2.2 60;\n"
	                         "data gw.corp.test. 60: AAAA gw.corp.test. 2001:db8::1 60;\n"
	                         "nodata gw.corp.test. 60:\n");
}

/* The copy stands on its own: the original is gone before it is read. */
static void a_copy_without_records_is_whole(void **state)
{
	CLEANUP(free)
	struct message *m = message_new(
	    "www.example.org.", 65, 0, 0,
	    "www.example.org. 300 IN HTTPS 1 a.example.org.\nwww.example.org. 300 IN HTTPS 2 .\n"
	    "www.example.org. 300 IN HTTPS 3 b.example.org.\n" SIG("www.example.org.", "HTTPS", "3",
	                                                           "example.org."),
	    "");
	const bool drop_one[4] = { false, true }, drop_all[4] = { true, true, true };
	struct entry *entry, *one, *none;
	char got[1024] = "";

	(void)state; /* cmocka's signature */
	assert_int_equal(entry_from_message(m->data, m->len, WIRE("www.example.org."), 65, NOW,
	                                    &limits, NULL, NULL, &entry, 1),
	                 1);
	one = entry_without(entry, drop_one);
	none = entry_without(entry, drop_all);
	entry_unref(entry);
	append(got, sizeof(got), one);
	append(got, sizeof(got), none);
	assert_string_equal(
	    got, "data www.example.org. 200: HTTPS www.example.org. 1 a.example.org. 200; "
		 "HTTPS www.example.org. 3 b.example.org. 200;\n"
		 "nodata www.example.org. 200:\n");
	entry_unref(one);
	entry_unref(none);
}

/* Flip each octet of a good message, rescan, cut again: no result but entries or an error. */
static void a_damaged_message_is_survived(void **state)
{
	CLEANUP(free)
	struct message *m =
	    message_new("www.example.org.", 65, 0, 0,
	                "www.example.org. 300 IN CNAME a.example.org.\n"
	                "a.example.org. 20 IN HTTPS 1 b.example.org. alpn=h2 ipv4hint=192.0.2.1\n",
	                SOA SIG("example.org.", "SOA", "2", "example.org."));
	size_t n_good = 0;

	(void)state; /* cmocka's signature */
	for (size_t at = 0; at < m->len; at++) {
		for (unsigned int flip = 1; flip < 256; flip = flip * 2 + 1) {
			struct entry *entries[LIMIT_CHAIN];
			int n;

			m->data[at] ^= (uint8_t)flip;
			n = scan_message(m->data, m->len);
			if (n == 0)
				n = entry_from_message(m->data, m->len, WIRE("www.example.org."),
				                       65, NOW, &limits, in_example_org, NULL,
				                       entries, ARRAY_LEN(entries));
			for (int j = 0; j < n; j++)
				entry_unref(entries[j]);
			n_good += n > 0;
			m->data[at] ^= (uint8_t)flip;
		}
	}
	assert_true(n_good > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_message_gives_its_entries),
		cmocka_unit_test(an_answer_to_another_question_is_malformed),
		cmocka_unit_test(the_case_of_the_echoed_question_is_not_kept),
		cmocka_unit_test(a_chain_is_cut_at_the_limit),
		cmocka_unit_test(records_of_a_set_are_bounded),
		cmocka_unit_test(what_a_message_grows_to_is_bounded),
		cmocka_unit_test(an_overlong_substitution_is_yxdomain),
		cmocka_unit_test(stale_life_follows_the_ttl),
		cmocka_unit_test(hosts_give_the_family_that_was_asked),
		cmocka_unit_test(a_copy_without_records_is_whole),
		cmocka_unit_test(a_damaged_message_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
