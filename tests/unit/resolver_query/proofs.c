/* tests/unit/resolver_query/proofs.c - what cached NSEC and NSEC3 records prove of other names.
 *
 * Zones are those of the validator's tests (zone.h); their answers are learnt as if they had been
 * validated. A case is a text:
 *
 *     zone ...                  and its records, indented (zone.h)
 *     learn NAME TYPE [in N]    the denial that the zone answers with; N: zone of `upstreams`
 *     ask NAME TYPE [in N] [above NAME] nxdomain|nodata|nothing
 *     wait SECONDS | clear | iterations N
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "entry_new.h"
#include "proofs.h"
#include "rig.h"
#include "sallyport/clock.h"
#include "sallyport/limits.h"
#include "val_wire.h"
#include "wire.h"
#include "zone.h"

enum { WORDS = 8, NEGATIVE_TTL_S = 300 };

struct play {
	struct world world;
	struct zone *zone;
	struct proofs *proofs;
	struct val_rules rules;
	struct stats_lane lane;
	uint64_t now_ns;
	bool finished;
	const char *title;
};

static const uint8_t hash_key[16] = { 1 };

static void begin(struct play *p, const char *title)
{
	memset(p, 0, sizeof(*p));
	world_init(&p->world);
	p->rules = val_rules_default;
	p->now_ns = 1000 * NS_PER_S;
	p->title = title;
	p->proofs = proofs_new(hash_key);
	assert_non_null(p->proofs);
}

static void finish(struct play *p)
{
	proofs_free(p->proofs);
	world_fini(&p->world);
}

static void add_line(struct play *p, const char *line)
{
	const char *wrong;
	uint8_t name[NAME_MAX_WIRE];
	char first[256];

	if (strncmp(line, "zone ", 5) == 0) {
		wrong = world_zone(&p->world, line + 5);
		assert_int_equal(sscanf(line + 5, "%255s", first), 1);
		assert_true(name_from_text(first, name) > 0);
		p->zone = world_find(&p->world, name);
	} else {
		wrong = world_record(&p->world, p->zone, line);
	}
	if (wrong)
		fail_msg("%s: %s: %s", p->title, line, wrong);
}

static void wire_of(const char *text, uint8_t wire[static NAME_MAX_WIRE])
{
	int len = name_from_text(text, wire);

	assert_true(len > 0);
	name_lower(wire, wire, (size_t)len);
}

/* The zone's own word: its message, as an upstream gives it. NULL: nobody answers. */
static struct val_message *message_of(struct play *p, const uint8_t *name, uint16_t type,
                                      struct answer *answer)
{
	struct val_message *message = NULL;

	if (!p->finished)
		world_finish(&p->world);
	p->finished = true;
	memset(answer, 0, sizeof(*answer));
	world_answer(&p->world, name, type, answer);
	if (answer->missing)
		return NULL;
	assert_int_equal(val_message_make(answer->rows, answer->n, answer->rcode, &message), 0);
	return message;
}

static const struct val_set *soa_of(const struct val_message *message)
{
	for (size_t i = 0; i < message->n_sets; i++) {
		if (message->sets[i].type == TYPE_SOA && message->sets[i].section == VAL_AUTHORITY)
			return &message->sets[i];
	}
	return NULL;
}

static bool is_denial(const struct val_message *message)
{
	for (size_t i = 0; i < message->n_sets; i++) {
		if (message->sets[i].section == VAL_ANSWER)
			return false;
	}
	return true;
}

/* What the resolver does with an answer that was found secure. */
static void learn(struct play *p, const uint8_t *name, uint16_t type, uint16_t zone)
{
	struct answer *answer = calloc(1, sizeof(*answer));
	struct val_message *message = message_of(p, name, type, answer);
	const struct val_set *soa = message ? soa_of(message) : NULL;
	struct entry *entry = entry_new(name, type, 0, 0, p->now_ns);
	struct val_budget budget;
	struct val_denial denial;

	assert_non_null(entry);
	if (soa && is_denial(message)) {
		val_budget_init(&budget);
		val_denial_init(&denial, soa->owner, &p->rules, &budget);
		for (size_t i = 0; i < message->n_sets; i++)
			val_denial_add(&denial, &message->sets[i]);
		entry->zone = zone;
		entry->upstream_port = 53;
		proofs_learn(p->proofs, entry, &denial, soa, p->now_ns + NEGATIVE_TTL_S * NS_PER_S,
		             p->now_ns, &p->lane);
	}
	entry_unref(entry);
	val_message_free(message);
	free(answer);
}

static struct entry *ask(struct play *p, const uint8_t *name, uint16_t type, uint16_t zone,
                         const uint8_t *above)
{
	const struct proofs_question question = { .name = name,
		                                  .type = type,
		                                  .zone = zone,
		                                  .above = above,
		                                  .rules = &p->rules,
		                                  .now_ns = p->now_ns };

	return proofs_answer(p->proofs, &question);
}

/* The answer carries its whole proof: a SOA, and what the validator finds as strict as before. */
static void check_whole(struct play *p, const struct entry *entry)
{
	struct val_row rows[32];
	struct val_message *message = NULL;
	const struct val_set *soa;
	struct val_budget budget;
	struct val_denial denial;
	enum val_proof proof;

	assert_true(entry->n_rrs <= ARRAY_LEN(rows));
	for (unsigned int i = 0; i < entry->n_rrs; i++) {
		const struct entry_rr *rr = &entry_rrs(entry)[i];

		rows[i] = (struct val_row){ .owner = entry_octets(entry) + rr->owner,
			                    .rdata = entry_octets(entry) + rr->rdata,
			                    .ttl = rr->ttl,
			                    .rdata_len = rr->rdata_len,
			                    .type = rr->type,
			                    .section = rr->section };
		assert_int_equal(rr->signature, rr->type == TYPE_RRSIG);
		assert_int_equal(rr->section, VAL_AUTHORITY);
		assert_true(rr->ttl > 0 && rr->ttl <= NEGATIVE_TTL_S);
	}
	assert_int_equal(val_message_make(rows, entry->n_rrs, entry->rcode, &message), 0);
	soa = soa_of(message);
	assert_non_null(soa);
	val_budget_init(&budget);
	val_denial_init(&denial, soa->owner, &p->rules, &budget);
	for (size_t i = 0; i < message->n_sets; i++) {
		assert_true(message->sets[i].n_sigs > 0);
		val_denial_add(&denial, &message->sets[i]);
	}
	proof = entry->kind == ENTRY_NXDOMAIN
	            ? val_denial_nxdomain(&denial, entry->name)
	            : val_denial_nodata(&denial, entry->name, entry->type);
	assert_int_equal(proof, VAL_PROOF_DENIED);
	assert_int_equal(entry->dnssec, DNSSEC_SECURE);
	assert_int_equal(entry->synthesized, 1);
	assert_true(entry->stale_until_ns == entry->expires_ns);
	assert_true(entry->dnssec_until_ns <= p->now_ns + NEGATIVE_TTL_S * NS_PER_S);
	val_message_free(message);
}

static const char *kind_str(const struct entry *entry)
{
	return !entry ? "nothing" : entry->kind == ENTRY_NXDOMAIN ? "nxdomain" : "nodata";
}

static void do_question(struct play *p, char **words, size_t n)
{
	uint8_t name[NAME_MAX_WIRE], above[NAME_MAX_WIRE] = { 0 };
	const char *want = NULL;
	struct entry *entry;
	uint16_t type, zone = 0;

	assert_true(n >= 3);
	wire_of(words[1], name);
	assert_int_equal(name_type_parse(words[2], &type), 0);
	for (size_t i = 3; i < n; i++) {
		if (strcmp(words[i], "in") == 0)
			zone = (uint16_t)atoi(words[++i]);
		else if (strcmp(words[i], "above") == 0)
			wire_of(words[++i], above);
		else
			want = words[i];
	}
	if (strcmp(words[0], "learn") == 0) {
		learn(p, name, type, zone);
		return;
	}
	entry = ask(p, name, type, zone, above);
	if (strcmp(kind_str(entry), want) != 0)
		fail_msg("%s: %s %s is %s, should be %s", p->title, words[1], words[2],
		         kind_str(entry), want);
	if (entry)
		check_whole(p, entry);
	entry_unref(entry);
}

static void do_line(struct play *p, char *line)
{
	char *words[WORDS];
	size_t n = 0;

	if (line[0] == '\t' || strncmp(line, "zone ", 5) == 0) {
		add_line(p, line + (line[0] == '\t'));
		return;
	}
	for (char *word = strtok(line, " "); word && n < WORDS; word = strtok(NULL, " "))
		words[n++] = word;
	if (strcmp(words[0], "wait") == 0)
		p->now_ns += (uint64_t)atoi(words[1]) * NS_PER_S;
	else if (strcmp(words[0], "clear") == 0)
		proofs_clear(p->proofs);
	else if (strcmp(words[0], "iterations") == 0)
		p->rules.iterations = (uint16_t)atoi(words[1]);
	else
		do_question(p, words, n);
}

#define NSEC_ZONE                                                                                  \
	"zone . 13c\n"                                                                             \
	"zone example. 13c\n"                                                                      \
	"\tb A 192.0.2.1\n"                                                                        \
	"\tf A 192.0.2.2\n"                                                                        \
	"\talias CNAME b\n"                                                                        \
	"\thost.deep.pent A 192.0.2.3\n"                                                           \
	"\t*.wild A 192.0.2.7\n"                                                                   \
	"\tmdn DNAME elsewhere.\n"                                                                 \
	"\tkut NS ns.kut\n"                                                                        \
	"\tz A 192.0.2.4\n"
#define NSEC3_ZONE                                                                                 \
	"zone . 13c\n"                                                                             \
	"zone example. 13c nsec3=2,aabb\n"                                                         \
	"\tb A 192.0.2.1\n"                                                                        \
	"\talias CNAME b\n"                                                                        \
	"\thost.deep.ent A 192.0.2.3\n"                                                            \
	"\t*.wild A 192.0.2.7\n"                                                                   \
	"\tcut NS ns.cut\n"

static const struct {
	const char *title, *text;
} cases[] = {
	{ "nothing is known at first", NSEC_ZONE "ask c.example. A nothing\n" },
	{ "a gap denies every name in it", NSEC_ZONE
	  "learn c.example. A\nask d.example. A nxdomain\nask a.b.c.example. MX nxdomain\n"
	  "ask c.example. TXT nxdomain\nask bb.example. A nxdomain\nask az.example. A nothing\nask "
	  "g.example. A nothing\n" },
	{ "what exists is asked", NSEC_ZONE
	  "learn c.example. A\nlearn a.example. A\nlearn b.example. TXT\nlearn f.example. TXT\n"
	  "ask b.example. A nothing\nask f.example. A nothing\nask z.example. A nothing\n"
	  "ask b.example. MX nodata\nask f.example. AAAA nodata\n" },
	{ "a CNAME may lead to any type",
	  NSEC_ZONE "learn aliar.example. A\nlearn aliat.example. A\nask alias.example. A nothing\n"
	            "ask alias.example. MX nothing\n" },
	{ "without the wildcard's denial nothing is denied",
	  NSEC_ZONE "learn f.example. TXT\nask g.example. A nothing\nask f.example. MX nodata\n" },
	{ "a wildcard stands for its names",
	  NSEC_ZONE "learn x.wild.example. TXT\nask y.wild.example. A nothing\n"
	            "ask y.wild.example. TXT nodata\nask y.wild.example. MX nodata\n" },
	{ "an empty non-terminal has no data, and is there",
	  NSEC_ZONE "learn deep.pent.example. A\nask pent.example. A nodata\nask "
	            "deep.pent.example. MX nodata\n"
	            "ask host.deep.pent.example. A nothing\n" },
	{ "above a cut nothing is known of what is below", NSEC_ZONE
	  "learn kut.example. DS\nask x.kut.example. A nothing\nask kut.example. A nothing\n"
	  "ask kut.example. NS nothing\nask kut.example. DS nodata\n" },
	{ "nor above a DNAME", NSEC_ZONE
	  "learn mdn.example. A\nask x.mdn.example. A nothing\nask mdn.example. MX nodata\n" },
	{ "the last gap leads back to the apex", NSEC_ZONE
	  "learn zz.example. A\nask zzz.example. A nxdomain\nask z.example. A nothing\n" },
	{ "an internal name is not the root's to deny",
	  NSEC_ZONE "learn corq. A in 0\nask corp. A in 0 nxdomain\nask corp. A in 1 nothing\n"
	            "ask www.corp. A in 1 nothing\n" },
	{ "zones above the deepest anchor have no say",
	  NSEC_ZONE "learn c.example. A\nask d.example. A above d.example. nothing\n"
	            "ask d.example. A above example. nxdomain\n" },
	{ "one zone a proof, the deepest",
	  NSEC_ZONE "learn examplf. A\nask d.example. A nothing\nask examplg. A nxdomain\n"
	            "learn f.example. TXT\nask d.example. A nothing\n" },
	{ "a DS is the parent's",
	  NSEC_ZONE "learn example. TXT\nask example. DS nothing\nask example. MX nodata\n" },
	{ "a DS is the parent's, whatever the child says",
	  NSEC_ZONE "zone sub.example. 13c ds=none\n"
	            "learn sub.example. TXT\nask sub.example. MX nodata\n"
	            "ask sub.example. DS nothing\nlearn sub.example. DS\n"
	            "ask sub.example. DS nodata\nask sub.example. MX nodata\n" },
	{ "it ends with its TTL",
	  NSEC_ZONE "learn c.example. A\nwait 298\nask d.example. A nxdomain\nwait 2\n"
	            "ask d.example. A nothing\nask d.example. A nothing\n" },
	{ "a newer record takes the place of the older", NSEC_ZONE
	  "learn c.example. A\nwait 200\nlearn d.example. A\nlearn a.example. A\nwait 200\n"
	  "ask e.example. A nxdomain\n" },
	{ "a flush forgets it", NSEC_ZONE "learn c.example. A\nclear\nask d.example. A nothing\n" },
	{ "hashed: every name whose hashes lie in the gaps", NSEC3_ZONE
	  "learn n1.example. A\nlearn n2.example. A\nlearn n3.example. A\nlearn n4.example. A\n"
	  "learn n5.example. A\nlearn n6.example. A\nlearn n7.example. A\nlearn n8.example. A\n"
	  "learn n9.example. A\nlearn m1.example. A\nlearn m2.example. A\nlearn m3.example. A\n"
	  "ask other.example. A nxdomain\nask deeper.other.example. TXT nxdomain\n"
	  "ask b.example. A nothing\nask y.wild.example. A nothing\n"
	  "ask x.cut.example. A nothing\n" },
	{ "hashed: NODATA at the name",
	  NSEC3_ZONE "learn b.example. TXT\nask b.example. MX nodata\nask b.example. A nothing\n"
	             "ask c.example. A nothing\n" },
	{ "hashed: NODATA at the wildcard",
	  NSEC3_ZONE "learn x.wild.example. TXT\nask x.wild.example. MX nodata\n"
	             "ask x.wild.example. A nothing\n" },
	{ "hashed: a DS", NSEC3_ZONE "learn cut.example. DS\nask cut.example. DS nodata\n"
	                             "ask cut.example. A nothing\n" },
	{ "more iterations than are believed",
	  NSEC3_ZONE "learn b.example. TXT\niterations 1\nask b.example. MX nothing\n" },
	{ "never by opt-out",
	  "zone . 13c\nzone example. 13c nsec3 optout\n\tb A 192.0.2.1\n\tcut NS ns.cut\n"
	  "learn c.example. A\nlearn b.example. TXT\nlearn d.example. A\n"
	  "ask c.example. A nothing\nask d.example. TXT nothing\nask b.example. MX nothing\n"
	  "ask cut.example. DS nothing\n" },
};

static void plays(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *text = strdup(cases[i].text), *save = NULL, *line = text;
		struct play p;

		begin(&p, cases[i].title);
		while (line && *line) {
			save = strchr(line, '\n');
			if (save)
				*save++ = '\0';
			do_line(&p, line);
			line = save;
		}
		finish(&p);
		free(text);
	}
}

/* Whatever was learnt before: what is denied here, the zone itself would deny in the same way. */
static void what_is_denied_is_what_the_zone_would_have_said(void **state)
{
	static const char *const kinds[] = { "13c", "13c nsec3=0", "13c nsec3=1,aa optout" };
	static const char *const labels[] = { "a", "b", "c", "d", "e", "ent", "wild", "cut", "*" };
	static const uint16_t types[] = { TYPE_A, TYPE_AAAA, TYPE_DS, TYPE_CNAME, TYPE_NS };
	unsigned int n_denied = 0, n_asked = 0;

	(void)state;
	srandom(1);
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		struct answer *answer = calloc(1, sizeof(*answer));
		struct play p;
		char line[128];

		begin(&p, kinds[k]);
		add_line(&p, "zone . 13c");
		snprintf(line, sizeof(line), "zone example. %s", kinds[k]);
		add_line(&p, line);
		add_line(&p, "b A 192.0.2.1");
		add_line(&p, "d.b A 192.0.2.2");
		add_line(&p, "*.wild A 192.0.2.3");
		add_line(&p, "a.b.ent AAAA 2001:db8::1");
		add_line(&p, "*.c.ent CNAME b");
		add_line(&p, "cut NS ns.cut");
		add_line(&p, "e DNAME elsewhere.");
		for (unsigned int i = 0; i < 500; i++) {
			uint8_t name[NAME_MAX_WIRE];
			struct val_message *message;
			struct entry *entry;
			uint16_t type = types[(size_t)random() % ARRAY_LEN(types)];
			char text[64] = "example.";

			for (long n = random() % 4; n > 0; n--) {
				char longer[64];

				snprintf(longer, sizeof(longer), "%.10s.%.50s",
				         labels[(size_t)random() % ARRAY_LEN(labels)], text);
				memcpy(text, longer, sizeof(text));
			}
			wire_of(text, name);
			message = message_of(&p, name, type, answer);
			entry = ask(&p, name, type, 0, (const uint8_t *)"");
			n_asked++;
			if (entry) {
				n_denied++;
				check_whole(&p, entry);
				if (!message || !is_denial(message) ||
				    entry->rcode != message->rcode)
					fail_msg("%s: %s %u is %s, but not to its zone", kinds[k],
					         text, type, kind_str(entry));
			} else if (random() % 4 == 0) {
				learn(&p, name, type, 0);
			}
			entry_unref(entry);
			val_message_free(message);
		}
		finish(&p);
		free(answer);
	}
	/* And it is of use. */
	assert_true(n_denied * 5 > n_asked);
}

/* A zone that changes its salt, or its kind of proof: records of both ways prove nothing together.
 */
static void what_was_signed_in_another_way_is_forgotten(void **state)
{
	static const char *const ways[] = { "13c nsec3=1,aa", "13c nsec3=1,bb", "13c nsec3=2,bb",
		                            "13c" };
	uint8_t apex[NAME_MAX_WIRE], name[NAME_MAX_WIRE];
	struct proofs *proofs = proofs_new(hash_key);

	(void)state;
	wire_of("example.", apex);
	wire_of("b.example.", name);
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		struct entry *entry;
		uint64_t n, bytes;
		char line[64];
		struct play p;

		begin(&p, ways[i]);
		proofs_free(p.proofs);
		p.proofs = proofs;
		snprintf(line, sizeof(line), "zone example. %s", ways[i]);
		add_line(&p, "zone . 13c");
		add_line(&p, line);
		add_line(&p, "b A 192.0.2.1");
		learn(&p, apex, TYPE_AAAA, 0);
		proofs_usage(proofs, &n, &bytes);
		assert_int_equal(n, 1);
		assert_null(ask(&p, name, TYPE_AAAA, 0, (const uint8_t *)""));
		learn(&p, name, TYPE_AAAA, 0);
		entry = ask(&p, name, TYPE_CNAME, 0, (const uint8_t *)"");
		assert_non_null(entry);
		check_whole(&p, entry);
		entry_unref(entry);
		p.proofs = NULL;
		finish(&p);
	}
	proofs_free(proofs);
}

/* In the pipeline: who is answered from here, and what leaves all the same. */
static const struct {
	const char *title, *name;
	bool cd;
	const char *answer, *sent; /* both as they begin */
} pipeline_cases[] = {
	{ "a name in the gap", "dd.example", false, "NXDOMAIN ede=29", "" },
	{ "a name under a negative anchor", "d.example", false, "NXDOMAIN\n", "d.example. A\n" },
	{ "below it", "x.d.example", false, "NXDOMAIN\n", "x.d.example. A\n" },
	{ "a name in hosts", "e.example", false, "NOERROR", "" },
	{ "for who sets CD", "ca.example", true, "NXDOMAIN", "ca.example. A\n" },
	{ "what the policy denies", "cb.example", false, "NOERROR ede=15", "" },
};

static const char pipeline_policy[] = "version: 1\n"
				      "profiles:\n"
				      "  web:\n"
				      "    allow: [{zone: example, ports: [tcp/443]}]\n"
				      "    deny: [{name: cb.example}]\n"
				      "workloads:\n"
				      "  app01: {source: 10.1.0.2, profile: web}\n"
				      "hosts:\n"
				      "  - {name: e.example, address: 10.1.0.9}\n";

static void the_pipeline_asks_what_is_not_to_be_concluded(void **state)
{
	static const uint8_t ds[4 + 32] = { 0x12, 0x34, 13, 2 };
	struct resolver_conf *conf = calloc(1, sizeof(*conf));
	struct proofs *own;
	struct rig *rig;
	uint8_t name[NAME_MAX_WIRE];
	struct play p;

	(void)state;
	rig_conf(conf);
	conf->dnssec = DNSSEC_MODE_VALIDATE;
	conf->dnssec_aggressive = 1;
	conf->n_anchors = 1;
	conf->anchors[0].type = TYPE_DS;
	conf->anchors[0].len = sizeof(ds);
	memcpy(conf->anchors[0].rdata, ds, sizeof(ds));
	conf->n_ntas = 1;
	wire_of("d.example.", conf->ntas[0].name);
	conf->ntas[0].until_s = UINT32_MAX;
	rig = rig_new(conf);
	rig_policy(rig, pipeline_policy);

	begin(&p, "pipeline");
	own = p.proofs;
	p.proofs = rig->worker.settings->proofs;
	p.now_ns = rig->worker.now_ns;
	add_line(&p, "zone . 13c");
	add_line(&p, "zone example. 13c");
	add_line(&p, "b A 192.0.2.1");
	add_line(&p, "f A 192.0.2.2");
	wire_of("c.example.", name);
	learn(&p, name, TYPE_A, 0);
	for (size_t i = 0; i < ARRAY_LEN(pipeline_cases); i++) {
		const struct rig_ask ask_it = { .client = "10.1.0.2",
			                        .name = pipeline_cases[i].name,
			                        .type = "A",
			                        .cd = pipeline_cases[i].cd };
		struct rig_answer *answer;
		char text[RIG_TEXT];

		rig_upstream(rig, pipeline_cases[i].name, "A", RCODE_NXDOMAIN,
		             "@example. 300 IN SOA ns.example. h.example. 1 2 3 4 300\n");
		rig->sent[0] = '\0';
		answer = rig_ask(rig, &ask_it);
		rig_turn(rig);
		rig_answer_text(answer, text, sizeof(text));
		if (strncmp(rig->sent, pipeline_cases[i].sent, strlen(pipeline_cases[i].sent)) !=
		        0 ||
		    (!*pipeline_cases[i].sent && *rig->sent))
			fail_msg("%s: sent %s", pipeline_cases[i].title, rig->sent);
		/* What was asked with CD has no chain here, and is bogus: given all the same. */
		if (strncmp(text, pipeline_cases[i].answer, strlen(pipeline_cases[i].answer)) != 0)
			fail_msg("%s: %s", pipeline_cases[i].title, text);
	}
	p.proofs = own;
	finish(&p);
	rig_free(rig);
	free(conf);
}

/* Each from another zone of `upstreams`, so that none takes another's place. */
static void what_is_kept_is_bounded_and_what_was_used_stays(void **state)
{
	uint8_t used[NAME_MAX_WIRE], name[NAME_MAX_WIRE];
	struct answer *answer = calloc(1, sizeof(*answer));
	uint64_t n, bytes, most = 0;
	struct val_message *message;
	const struct val_set *soa;
	struct entry *entry;
	struct play p;

	(void)state;
	begin(&p, "bounds");
	add_line(&p, "zone . 13c");
	add_line(&p, "zone example. 13c");
	wire_of("c.example.", used);
	wire_of("d.example.", name);
	learn(&p, used, TYPE_A, 0);
	message = message_of(&p, used, TYPE_A, answer);
	soa = soa_of(message);
	entry = entry_new(used, TYPE_A, 0, 0, p.now_ns);
	entry->upstream_port = 53;
	for (unsigned int i = 1; i <= 16000; i++) {
		struct val_budget budget;
		struct val_denial denial;

		val_budget_init(&budget);
		val_denial_init(&denial, soa->owner, &p.rules, &budget);
		for (size_t s = 0; s < message->n_sets; s++)
			val_denial_add(&denial, &message->sets[s]);
		entry->zone = (uint16_t)i;
		proofs_learn(p.proofs, entry, &denial, soa, p.now_ns + NS_PER_S * 300, p.now_ns,
		             &p.lane);
		if (i % 1000 == 0) {
			struct entry *found = ask(&p, name, TYPE_A, 0, (const uint8_t *)"");

			assert_non_null(found);
			entry_unref(found);
			proofs_usage(p.proofs, &n, &bytes);
			most = MAX(most, bytes);
		}
	}
	assert_true(most <= LIMIT_PROOF_BYTES && most > LIMIT_PROOF_BYTES * 9 / 10);
	assert_true(atomic_load(&p.lane.counts[COUNT_LIMIT_PROOFS]) > 0);
	assert_null(ask(&p, name, TYPE_A, 1, (const uint8_t *)""));
	entry_unref(entry);
	val_message_free(message);
	free(answer);
	finish(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plays),
		cmocka_unit_test(what_is_denied_is_what_the_zone_would_have_said),
		cmocka_unit_test(what_was_signed_in_another_way_is_forgotten),
		cmocka_unit_test(the_pipeline_asks_what_is_not_to_be_concluded),
		cmocka_unit_test(what_is_kept_is_bounded_and_what_was_used_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
