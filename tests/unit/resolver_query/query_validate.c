/* tests/unit/resolver_query/query_validate.c - validation in the pipeline: what is asked again, who
 * waits meanwhile, and what others get to know of a failure.
 *
 * Zones are those of the validator's tests (zone.h); each question that leaves goes through a lie
 * that the test may tell about it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "keys.h"
#include "query.h"
#include "query_wait.h"
#include "rig.h"
#include "sallyport/clock.h"
#include "sallyport/name.h"
#include "val_trust.h"
#include "val_wire.h"
#include "wire.h"
#include "zone.h"

enum lie {
	TRUTH = 0,
	SPOILT,   /* each signature is wrong */
	UNSIGNED, /* there is none */
	COSTLY,   /* true, with more NSEC records to verify */
	HEAVY,    /* true, with as many signatures more as fit a message */
	FLOODED,  /* instead of the good signature more bad ones than are tried */
	LATER,    /* no answer yet */
	NO_ROOM,  /* nobody can be asked now */
	LOST,     /* no answer */
};

struct play {
	struct rig *rig;
	struct resolver_conf conf;
	struct world world;
	struct zone *zone;
	/* The lie about (@name, @type) in the rounds before @good_in. */
	struct {
		const char *name;
		uint16_t type;
		enum lie lie;
		unsigned int good_in;
		unsigned int n; /* of COSTLY: so many */
	} lies[8];
	const char *heavy;     /* all addresses in this zone are HEAVY; or NULL */
	unsigned int n_costly; /* of the names of the zone of costs: each is used once */
};

static const char policy[] = "version: 1\n"
			     "profiles:\n"
			     "  web:\n"
			     "    allow: [{zone: example, ports: [tcp/443]}]\n"
			     "workloads:\n"
			     "  app01: {source: 10.1.0.2, profile: web}\n"
			     "  app02: {source: 10.1.0.3, profile: web}\n";

static void wire_of(const char *text, uint8_t wire[static NAME_MAX_WIRE])
{
	assert_true(name_from_text(text, wire) > 0);
}

static void write_message(const struct answer *answer, const uint8_t *name, uint16_t type,
                          uint8_t *msg, size_t *ret_len)
{
	size_t at = WIRE_HEADER, len = val_name_size(name);
	unsigned int n[3] = { 0 };

	memset(msg, 0, WIRE_HEADER);
	memcpy(msg + at, name, len);
	at += len;
	wire_put16(msg + at, type);
	wire_put16(msg + at + 2, CLASS_IN);
	at += 4;
	for (uint8_t section = VAL_ANSWER; section <= VAL_AUTHORITY; section++) {
		for (unsigned int i = 0; i < answer->n; i++) {
			const struct val_row *row = &answer->rows[i];

			if (row->section != section)
				continue;
			n[section]++;
			len = val_name_size(row->owner);
			memcpy(msg + at, row->owner, len);
			at += len;
			wire_put16(msg + at, row->type);
			wire_put16(msg + at + 2, CLASS_IN);
			val_put32(msg + at + 4, row->ttl);
			wire_put16(msg + at + 8, row->rdata_len);
			memcpy(msg + at + 10, row->rdata, row->rdata_len);
			at += 10u + row->rdata_len;
		}
	}
	msg[2] = WIRE_QR | WIRE_RD;
	msg[3] = (uint8_t)answer->rcode;
	wire_put16(msg + 4, 1);
	wire_put16(msg + 6, (uint16_t)n[VAL_ANSWER]);
	wire_put16(msg + 8, (uint16_t)n[VAL_AUTHORITY]);
	*ret_len = at;
}

static void make_costly(struct play *p, struct answer *answer, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct answer *other = world_alloc(&p->world, sizeof(*other));
		uint8_t name[NAME_MAX_WIRE];
		char text[32];

		snprintf(text, sizeof(text), "n%03u.example.", p->n_costly++);
		wire_of(text, name);
		memset(other, 0, sizeof(*other));
		world_answer(&p->world, name, TYPE_AAAA, other);
		for (unsigned int k = 0; k < other->n; k++) {
			const struct val_row *row = &other->rows[k];
			uint16_t type = row->type == TYPE_RRSIG ? val_u16(row->rdata) : row->type;

			if (type == TYPE_NSEC)
				answer->rows[answer->n++] = *row;
		}
	}
}

/* Signatures that nobody made, each another one, beside the good one. */
static void make_heavy(struct play *p, struct answer *answer)
{
	const struct val_row *sig = NULL;

	for (unsigned int i = 0; i < answer->n && !sig; i++)
		sig = answer->rows[i].type == TYPE_RRSIG ? &answer->rows[i] : NULL;
	assert_non_null(sig);
	for (unsigned int i = 0; i < 230; i++) {
		uint8_t *rdata = world_alloc(&p->world, 240);

		memset(rdata, 0x55, 240);
		memcpy(rdata, sig->rdata, sig->rdata_len);
		val_put16(rdata + 16, i); /* its key tag */
		answer->rows[answer->n] = *sig;
		answer->rows[answer->n].rdata = rdata;
		answer->rows[answer->n++].rdata_len = 240;
	}
}

static void make_flooded(struct play *p, struct answer *answer)
{
	struct val_row sig = { 0 };
	unsigned int at = 0;

	while (at < answer->n && answer->rows[at].type != TYPE_RRSIG)
		at++;
	assert_true(at < answer->n);
	sig = answer->rows[at];
	for (unsigned int i = 0; i < 2 * LIMIT_VAL_CHECKS_SET; i++) {
		uint8_t *rdata = world_alloc(&p->world, sig.rdata_len);

		memcpy(rdata, sig.rdata, sig.rdata_len);
		rdata[sig.rdata_len - 1 - i] ^= 1;
		answer->rows[at] = sig;
		answer->rows[at].rdata = rdata;
		at = i == 0 ? answer->n : at + 1;
	}
	answer->n = at;
}

static void spoil(struct play *p, struct answer *answer, enum lie lie)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < answer->n; i++) {
		struct val_row *row = &answer->rows[i];

		if (row->type == TYPE_RRSIG && lie == UNSIGNED)
			continue;
		if (row->type == TYPE_RRSIG && lie == SPOILT) {
			uint8_t *rdata = world_alloc(&p->world, row->rdata_len);

			memcpy(rdata, row->rdata, row->rdata_len);
			rdata[row->rdata_len - 1] ^= 1;
			row->rdata = rdata;
		}
		answer->rows[kept++] = *row;
	}
	answer->n = kept;
}

static enum lie lie_about(const struct play *p, const struct rig_question *question,
                          unsigned int *ret_n)
{
	uint8_t name[NAME_MAX_WIRE];

	if (p->heavy && question->type == TYPE_A) {
		wire_of(p->heavy, name);
		return name_is_under(question->name, name) ? HEAVY : TRUTH;
	}
	for (size_t i = 0; i < ARRAY_LEN(p->lies) && p->lies[i].name; i++) {
		wire_of(p->lies[i].name, name);
		if (name_equal(name, question->name) && p->lies[i].type == question->type &&
		    question->round < p->lies[i].good_in) {
			*ret_n = p->lies[i].n;
			return p->lies[i].lie;
		}
	}
	return TRUTH;
}

static enum rig_says on_question(struct rig *rig, const struct rig_question *question, uint8_t *msg,
                                 size_t *ret_len)
{
	struct play *p = rig->ctx;
	struct answer *answer = world_alloc(&p->world, sizeof(*answer));
	unsigned int n = 0;
	enum lie lie = lie_about(p, question, &n);

	switch (lie) {
	case LATER:
		return RIG_SAYS_LATER;
	case NO_ROOM:
		return RIG_SAYS_NO_ROOM;
	case LOST:
		return RIG_SAYS_SCRIPT; /* and there is none */
	case TRUTH:
	case SPOILT:
	case UNSIGNED:
	case COSTLY:
	case HEAVY:
	case FLOODED:
		break;
	}
	memset(answer, 0, sizeof(*answer));
	world_answer(&p->world, question->name, question->type, answer);
	assert_false(answer->missing);
	if (lie == COSTLY)
		make_costly(p, answer, n);
	if (lie == HEAVY)
		make_heavy(p, answer);
	if (lie == FLOODED)
		make_flooded(p, answer);
	spoil(p, answer, lie);
	write_message(answer, question->name, question->type, msg, ret_len);
	return RIG_SAYS_THIS;
}

static void add_line(struct play *p, const char *line)
{
	uint8_t name[NAME_MAX_WIRE];
	char first[256];
	const char *wrong;

	if (strncmp(line, "zone ", 5) == 0) {
		wrong = world_zone(&p->world, line + 5);
		assert_int_equal(sscanf(line + 5, "%255s", first), 1);
		wire_of(first, name);
		p->zone = world_find(&p->world, name);
	} else {
		wrong = world_record(&p->world, p->zone, line);
	}
	if (wrong)
		fail_msg("%s: %s", line, wrong);
}

static struct play *begin_with(const char *const *lines, void (*change)(struct resolver_conf *conf))
{
	static const uint8_t root[] = { 0 };
	struct play *p = calloc(1, sizeof(*p));
	struct conf_anchor *anchor;

	assert_non_null(p);
	world_init(&p->world);
	for (; *lines; lines++)
		add_line(p, *lines);
	world_finish(&p->world);
	rig_conf(&p->conf);
	p->conf.dnssec = DNSSEC_MODE_VALIDATE;
	p->conf.n_anchors = 1;
	anchor = &p->conf.anchors[0];
	anchor->type = TYPE_DS;
	anchor->len =
	    (uint16_t)key_ds(&world_find(&p->world, root)->keys[0].key, root, 2, anchor->rdata);
	if (change)
		change(&p->conf);
	p->rig = rig_new(&p->conf);
	p->rig->ctx = p;
	p->rig->on_question = on_question;
	rig_policy(p->rig, policy);
	return p;
}

static struct play *begin(const char *const *lines)
{
	return begin_with(lines, NULL);
}

static void finish(struct play *p)
{
	rig_free(p->rig);
	world_fini(&p->world);
	free(p);
}

static struct rig_answer *ask(struct play *p, const char *client, const char *name, bool cd)
{
	return rig_ask(p->rig,
	               &(struct rig_ask){ .client = client, .name = name, .type = "A", .cd = cd });
}

static void expect(const struct rig_answer *answer, const char *want)
{
	char text[RIG_TEXT];

	assert_int_equal(answer->times, 1);
	rig_answer_text(answer, text, sizeof(text));
	if (!strstr(text, want))
		fail_msg("wanted %s, got %s", want, text);
}

static const char *const plain[] = { "zone . 13c",
	                             "zone example. 13c",
	                             "www A 8.8.100.1",
	                             "ftp A 8.8.100.2",
	                             "zone sub.example. 13c",
	                             "www A 8.8.100.3",
	                             "ftp A 8.8.100.4",
	                             NULL };

static void who_asks_while_a_bogus_answer_is_asked_for_again_waits_too(void **state)
{
	struct play *p = begin(plain);
	struct rig_answer *first, *second, *third;

	(void)state;
	p->lies[0].name = "www.example.";
	p->lies[0].type = TYPE_A;
	p->lies[0].lie = SPOILT;
	p->lies[0].good_in = 1;
	p->lies[1].name = "www.example.";
	p->lies[1].type = TYPE_A;
	p->lies[1].lie = LATER;
	p->lies[1].good_in = 3;
	first = ask(p, "10.1.0.2", "www.example", false);
	rig_turn(p->rig);
	assert_int_equal(first->times, 0);
	second = ask(p, "10.1.0.3", "www.example", false);
	third = ask(p, "10.1.0.3", "www.example", true);
	rig_turn(p->rig);
	assert_int_equal(second->times, 0);
	assert_int_equal(third->times, 0);
	assert_string_equal(p->rig->opened, "");
	p->lies[1].lie = TRUTH;
	rig_turn(p->rig);
	expect(first, "8.8.100.1");
	expect(second, "8.8.100.1");
	expect(third, "8.8.100.1");
	finish(p);
}

static void what_stays_bogus_is_bogus_to_all_who_waited_and_to_who_comes_after(void **state)
{
	struct play *p = begin(plain);
	struct rig_answer *first, *second, *after, *unchecked;

	(void)state;
	p->lies[0].name = "www.example.";
	p->lies[0].type = TYPE_A;
	p->lies[0].lie = SPOILT;
	p->lies[0].good_in = 1;
	p->lies[1].name = "www.example.";
	p->lies[1].type = TYPE_A;
	p->lies[1].lie = LATER;
	p->lies[1].good_in = 3;
	first = ask(p, "10.1.0.2", "www.example", false);
	rig_turn(p->rig);
	second = ask(p, "10.1.0.3", "www.example", false);
	rig_turn(p->rig);
	p->lies[1].lie = SPOILT;
	rig_turn(p->rig);
	expect(first, "SERVFAIL ede=6");
	expect(second, "SERVFAIL ede=6");
	p->rig->sent[0] = '\0';
	after = ask(p, "10.1.0.2", "www.example", false);
	rig_turn(p->rig);
	expect(after, "SERVFAIL ede=6");
	unchecked = ask(p, "10.1.0.2", "www.example", true);
	rig_turn(p->rig);
	expect(unchecked, "8.8.100.1");
	assert_string_equal(p->rig->sent, "");
	assert_string_equal(p->rig->opened, "");
	finish(p);
}

/* An upstream that validates says SERVFAIL in the last round, where it may check. */
static void who_sets_cd_gets_what_was_bogus_though_it_cannot_be_had_again(void **state)
{
	struct play *p = begin(plain);
	struct rig_answer *unchecked, *checked;

	(void)state;
	p->lies[0].name = "www.example.";
	p->lies[0].type = TYPE_A;
	p->lies[0].lie = SPOILT;
	p->lies[0].good_in = 2;
	p->lies[1].name = "www.example.";
	p->lies[1].type = TYPE_A;
	p->lies[1].lie = LOST;
	p->lies[1].good_in = 3;
	unchecked = ask(p, "10.1.0.2", "www.example", true);
	rig_turn(p->rig);
	expect(unchecked, "NOERROR ede=6");
	expect(unchecked, "8.8.100.1");
	checked = ask(p, "10.1.0.2", "www.example", false);
	rig_turn(p->rig);
	expect(checked, "SERVFAIL ede=6 \"www.example. A, key tag ");
	assert_string_equal(p->rig->opened, "");
	finish(p);
}

static void a_retry_that_takes_too_long_is_the_failure_that_was_found(void **state)
{
	struct play *p = begin(plain);
	struct rig_answer *first, *second;

	(void)state;
	p->lies[0].name = "www.example.";
	p->lies[0].type = TYPE_A;
	p->lies[0].lie = SPOILT;
	p->lies[0].good_in = 1;
	p->lies[1].name = "www.example.";
	p->lies[1].type = TYPE_A;
	p->lies[1].lie = LATER;
	p->lies[1].good_in = 3;
	first = ask(p, "10.1.0.2", "www.example", false);
	rig_turn(p->rig);
	rig_advance_ms(p->rig, 20000);
	expect(first, "SERVFAIL ede=6 \"www.example. A, key tag ");
	second = ask(p, "10.1.0.3", "www.example", false);
	rig_turn(p->rig);
	expect(second, "SERVFAIL ede=6 \"www.example. A, key tag ");
	finish(p);
}

/* Whoever makes an answer too costly would else be paid three times. */
static void what_meets_a_limit_is_not_asked_for_again(void **state)
{
	struct play *p = begin(plain);
	struct rig_answer *answer;

	(void)state;
	p->lies[0].name = "www.example.";
	p->lies[0].type = TYPE_A;
	p->lies[0].lie = FLOODED;
	p->lies[0].good_in = 1;
	answer = ask(p, "10.1.0.2", "www.example", false);
	rig_turn(p->rig);
	expect(answer, "SERVFAIL ede=6 \"www.example. A");
	assert_int_equal(rig_count(p->rig, COUNT_LIMIT_VAL_CHECKS_SET), 1);
	assert_int_equal(rig_count(p->rig, COUNT_DNSSEC_RETRIES), 0);
	assert_null(strstr(p->rig->sent + 1, "www.example. A\n"));
	finish(p);
}

/* RFC 9520, section 3.2: only what fails time after time is held longer each time. */
static void check_end_of_row(const char *record)
{
	const char *const lines[] = { "zone . 13c", "zone example. 13c", record, NULL };
	static const struct {
		unsigned int wait_ms;
		enum lie lie;
		const char *want;
	} steps[] = {
		{ 0, SPOILT, "SERVFAIL" },    { 5500, SPOILT, "SERVFAIL" }, /* held for 5 s, then */
		{ 5500, TRUTH, "SERVFAIL" },                                /* for 10 s */
		{ 5000, TRUTH, "8.8.100.1" }, { 61000, SPOILT, "SERVFAIL" },
		{ 4500, TRUTH, "SERVFAIL" },  { 1000, TRUTH, "8.8.100.1" }, /* for 5 s */
	};
	struct play *p = begin(lines);

	p->lies[0].name = "www.example.";
	p->lies[0].type = TYPE_A;
	p->lies[0].good_in = 3;
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct rig_answer *answer;

		p->lies[0].lie = steps[i].lie;
		rig_advance_ms(p->rig, steps[i].wait_ms);
		answer = ask(p, "10.1.0.2", "www.example", false);
		rig_turn(p->rig);
		expect(answer, steps[i].want);
	}
	finish(p);
}

static void a_good_answer_ends_a_row_of_failures(void **state)
{
	(void)state;
	check_end_of_row("www 60 A 8.8.100.1");
	check_end_of_row("www 1 A 8.8.100.1"); /* the bogus one has left the cache */
}

/* The zone's keys cannot be had: that is found out once, by whoever asks first. */
static void a_zone_that_has_failed_is_not_asked_for_every_name_in_it(void **state)
{
	struct play *p = begin(plain);
	struct rig_answer *answer;

	(void)state;
	p->lies[0].name = "sub.example.";
	p->lies[0].type = TYPE_DNSKEY;
	p->lies[0].lie = SPOILT;
	p->lies[0].good_in = 3;
	answer = ask(p, "10.1.0.2", "www.sub.example", false);
	rig_turn(p->rig);
	expect(answer, "SERVFAIL ede=6 \"sub.example. DNSKEY, key tag ");
	p->rig->sent[0] = '\0';
	answer = ask(p, "10.1.0.3", "ftp.sub.example", false);
	rig_turn(p->rig);
	expect(answer, "SERVFAIL ede=6 \"sub.example. DNSKEY, key tag ");
	assert_string_equal(p->rig->sent, "ftp.sub.example. A\n");
	/* Nor is it a failure of that name's own: it ends with the zone's. */
	p->lies[0].lie = TRUTH;
	rig_advance_ms(p->rig, 5000);
	answer = ask(p, "10.1.0.3", "ftp.sub.example", false);
	rig_turn(p->rig);
	expect(answer, "8.8.100.4");
	finish(p);
}

static void that_we_are_busy_is_no_failure_of_a_zone(void **state)
{
	struct play *p = begin(plain);
	struct rig_answer *answer;

	(void)state;
	p->lies[0].name = "example.";
	p->lies[0].type = TYPE_DS;
	p->lies[0].lie = NO_ROOM;
	p->lies[0].good_in = 3;
	answer = ask(p, "10.1.0.2", "www.example", false);
	rig_turn(p->rig);
	expect(answer, "SERVFAIL ede=0 \"limit: too many questions wait for upstreams");
	p->lies[0].lie = TRUTH;
	answer = ask(p, "10.1.0.3", "www.example", false);
	rig_turn(p->rig);
	expect(answer, "8.8.100.1");
	finish(p);
}

/* The owner of a chain's first zones makes them as costly as he can, and leads to somebody else's
 * name: that is as good as before to who asks for it. */
static void a_name_is_not_blamed_for_what_the_links_before_it_have_spent(void **state)
{
	enum { LINKS = 6, NAMES = LINKS * LIMIT_VAL_DENIAL };
	static char texts[NAMES + LINKS][64];
	const char *lines[NAMES + LINKS + 5], **line = lines;
	struct rig_answer *answer;
	struct play *p;

	(void)state;
	*line++ = "zone . 13c";
	*line++ = "zone example. 13c";
	for (unsigned int i = 0; i < NAMES; i++) {
		snprintf(texts[i], sizeof(texts[i]), "n%03u A 8.8.100.9", i);
		*line++ = texts[i];
	}
	for (unsigned int i = 0; i < LINKS; i++) {
		char *text = texts[NAMES + i];

		if (i + 1 < LINKS)
			snprintf(text, sizeof(texts[0]), "*.w%u CNAME x.w%u", i, i + 1);
		else
			snprintf(text, sizeof(texts[0]), "*.w%u CNAME www.sub", i);
		*line++ = text;
	}
	*line++ = "zone sub.example. 13c";
	*line++ = "www A 8.8.100.3";
	*line = NULL;
	p = begin(lines);
	for (unsigned int i = 0; i < LINKS; i++) {
		static char names[LINKS][24];

		snprintf(names[i], sizeof(names[i]), "x.w%u.example.", i);
		p->lies[i].name = names[i];
		p->lies[i].type = TYPE_A;
		p->lies[i].lie = COSTLY;
		p->lies[i].good_in = 3;
		/* Each takes a signature for itself and one for its own proof. Three were for the
		 * keys; nothing is left behind the last. */
		p->lies[i].n = i + 1 < LINKS ? LIMIT_VAL_DENIAL - 1 : 6;
	}
	answer = ask(p, "10.1.0.2", "x.w0.example", false);
	rig_turn(p->rig);
	expect(answer, "SERVFAIL ede=6 \"www.sub.example. A: a limit");
	assert_int_equal(rig_count(p->rig, COUNT_LIMIT_VAL_CHECKS), 1);
	assert_int_equal(rig_count(p->rig, COUNT_LIMIT_DNSSEC), 1);
	assert_string_equal(p->rig->opened, "");
	answer = ask(p, "10.1.0.3", "www.sub.example", false);
	rig_turn(p->rig);
	expect(answer, "8.8.100.3");
	finish(p);
}

/* Whoever has made many zones known, each with many keys, drives out others and keeps nobody from
 * being validated. */
static void a_crowd_of_keys_gives_way_and_is_counted(void **state)
{
	struct play *p = begin(plain);
	struct val_table *table = p->rig->worker.settings->validation.table;
	CLEANUP(val_keys_unref) struct val_keys *keys = calloc(1, sizeof(*keys));
	struct rig_answer *answer;

	(void)state;
	assert_non_null(keys);
	atomic_init(&keys->refs, 1);
	keys->n = LIMIT_VAL_KEYS;
	for (unsigned int i = 0; i < LIMIT_VAL_KEYS_ALL / LIMIT_VAL_KEYS; i++) {
		CLEANUP(val_trust_unref) struct val_trust *trust = NULL;
		uint8_t name[NAME_MAX_WIRE];
		char text[32];

		snprintf(text, sizeof(text), "z%u.test.", i);
		wire_of(text, name);
		trust = val_trust_new(name, VAL_TRUST_SECURE, VAL_WHY_NONE, keys, UINT64_MAX);
		assert_non_null(trust);
		val_table_put(table, trust);
	}
	answer = ask(p, "10.1.0.2", "www.example", false);
	rig_turn(p->rig);
	expect(answer, "8.8.100.1");
	assert_int_equal(rig_count(p->rig, COUNT_LIMIT_VAL_KEYS_ALL), 1);
	finish(p);
}

/* Who makes answers as heavy as they can be, and keeps his keys back, takes a bounded memory with
 * him; others go on. */
static void what_waits_to_be_validated_holds_a_bounded_memory(void **state)
{
	enum { N = 480 };
	static const char *const lines[] = { "zone . 13c",      "zone example. 13c",
		                             "www A 8.8.100.1", "zone sub.example. 13c",
		                             "* A 8.8.100.2",   NULL };
	static char names[N][32];
	struct rig_answer *answers[N], *answer;
	unsigned int n_refused = 0;
	struct play *p = begin(lines);

	(void)state;
	p->lies[0].name = "sub.example.";
	p->lies[0].type = TYPE_DNSKEY;
	p->lies[0].lie = LATER;
	p->lies[0].good_in = 3;
	p->heavy = "sub.example.";
	for (unsigned int i = 0; i < N; i++) {
		snprintf(names[i], sizeof(names[i]), "h%03u.sub.example.", i);
		answers[i] = ask(p, i % 2 ? "10.1.0.2" : "10.1.0.3", names[i], false);
	}
	rig_turn(p->rig);
	for (unsigned int i = 0; i < N; i++) {
		if (answers[i]->times == 0)
			continue;
		expect(answers[i], "SERVFAIL ede=0 \"limit waiting: ");
		n_refused++;
	}
	assert_in_range(n_refused, 1, N - 100);
	assert_int_equal(rig_count(p->rig, COUNT_LIMIT_WAITING), n_refused);
	assert_true(p->rig->worker.queries->waiting_bytes <= LIMIT_WAITING_BYTES);
	answer = ask(p, "10.1.0.2", "www.example", false);
	rig_turn(p->rig);
	expect(answer, "8.8.100.1");
	p->lies[0].lie = TRUTH;
	rig_turn(p->rig);
	assert_int_equal(queries_in_flight(&p->rig->worker), 0);
	assert_int_equal(p->rig->worker.queries->waiting_bytes, 0);
	finish(p);
}

static void excuses_example(struct resolver_conf *conf)
{
	conf->n_ntas = 1;
	wire_of("example.", conf->ntas[0].name);
	conf->ntas[0].until_s = ZONE_BASE_S + 300;
}

/* RFC 7646, section 2: it excuses until its end, and not what is served stale after that. */
static void what_a_negative_anchor_excused_is_not_served_stale_after_its_end(void **state)
{
	static const char *const lines[] = { "zone . 13c", "zone example. 13c ttl=60",
		                             "www A 8.8.100.1", NULL };
	struct play *p = begin_with(lines, excuses_example);
	struct rig_answer *answer;

	(void)state;
	p->lies[0].name = "www.example.";
	p->lies[0].type = TYPE_A;
	p->lies[0].lie = UNSIGNED;
	p->lies[0].good_in = 3;
	answer = ask(p, "10.1.0.2", "www.example", false);
	rig_turn(p->rig);
	expect(answer, "8.8.100.1");
	p->lies[0].lie = LOST;
	rig_advance_ms(p->rig, 100000);
	answer = ask(p, "10.1.0.2", "www.example", false);
	rig_turn(p->rig);
	expect(answer, "NOERROR ede=3");
	rig_advance_ms(p->rig, 250000);
	answer = ask(p, "10.1.0.2", "www.example", false);
	rig_turn(p->rig);
	expect(answer, "SERVFAIL");
	finish(p);
}

static void serves_stale(struct resolver_conf *conf)
{
	conf->cache_serve_stale_s = 3600;
}

/* RFC 4035, section 5.3.3: a key is not used beyond its TTL, though the cache still has it. */
static void a_stale_key_verifies_nothing(void **state)
{
	static const char *const lines[] = { "zone . 13c", "zone example. 13c ttl=60",
		                             "www A 8.8.100.1", "ftp A 8.8.100.2", NULL };
	struct play *p = begin_with(lines, serves_stale);
	struct rig_answer *answer;

	(void)state;
	answer = ask(p, "10.1.0.2", "www.example", false);
	rig_turn(p->rig);
	expect(answer, "8.8.100.1");
	p->lies[0].name = "example.";
	p->lies[0].type = TYPE_DNSKEY;
	p->lies[0].lie = LOST;
	p->lies[0].good_in = 3;
	rig_advance_ms(p->rig, 100000);
	answer = ask(p, "10.1.0.2", "ftp.example", false);
	rig_turn(p->rig);
	expect(answer, "SERVFAIL ede=22");
	finish(p);
}

/* RFC 4035, section 5.3.3, of the answer itself; and it is not served stale beyond its signature.
 */
static void an_answer_lives_no_longer_than_its_signature(void **state)
{
	static const char *const lines[] = { "zone . 13c", "zone example. 13c times=-10m,+20m",
		                             "www A 8.8.100.1", "brief 60 A 8.8.100.2", NULL };
	struct play *p = begin_with(lines, serves_stale);
	struct rig_answer *answer;

	(void)state;
	answer = ask(p, "10.1.0.2", "www.example", false);
	rig_turn(p->rig);
	expect(answer, "www.example. 1200 IN A 8.8.100.1");
	answer = ask(p, "10.1.0.2", "brief.example", false);
	rig_turn(p->rig);
	expect(answer, "brief.example. 60 IN A 8.8.100.2");
	p->lies[0].name = "brief.example.";
	p->lies[0].type = TYPE_A;
	p->lies[0].lie = LOST;
	p->lies[0].good_in = 3;
	rig_advance_ms(p->rig, 600000);
	answer = ask(p, "10.1.0.2", "brief.example", false);
	rig_turn(p->rig);
	expect(answer, "NOERROR ede=3");
	p->lies[1].name = "example.";
	p->lies[1].type = TYPE_DNSKEY;
	p->lies[1].lie = LOST;
	p->lies[1].good_in = 3;
	rig_advance_ms(p->rig, 700000);
	answer = ask(p, "10.1.0.2", "brief.example", false);
	rig_turn(p->rig);
	expect(answer, "SERVFAIL");
	finish(p);
}

/* RFC 9520, also for who sets CD: it is asked for, once, and not validated again. */
static void what_has_failed_is_not_validated_again_for_who_sets_cd(void **state)
{
	static const char *const lines[] = { "zone . 13c", "zone example. 13c", "www 0 A 8.8.100.1",
		                             NULL };
	struct play *p = begin(lines);
	struct rig_answer *answer;
	uint64_t n_checks;

	(void)state;
	p->lies[0].name = "www.example.";
	p->lies[0].type = TYPE_A;
	p->lies[0].lie = SPOILT;
	p->lies[0].good_in = 3;
	answer = ask(p, "10.1.0.2", "www.example", true);
	rig_turn(p->rig);
	expect(answer, "NOERROR ede=6");
	n_checks = rig_count(p->rig, COUNT_DNSSEC_CHECKS);
	assert_true(n_checks > 0);
	p->rig->sent[0] = '\0';
	answer = ask(p, "10.1.0.3", "www.example", true);
	rig_turn(p->rig);
	expect(answer, "NOERROR ede=6");
	assert_string_equal(p->rig->sent, "www.example. A\n");
	assert_int_equal(rig_count(p->rig, COUNT_DNSSEC_CHECKS), n_checks);
	assert_string_equal(p->rig->opened, "");
	finish(p);
}

static const char strict_policy[] =
    "version: 1\n"
    "profiles:\n"
    "  web:\n"
    "    allow: [{zone: example, ports: [tcp/443], require: [dnssec]}]\n"
    "workloads:\n"
    "  app01: {source: 10.1.0.2, profile: web}\n";

/* Wherever in the chain it is. */
static void the_weakest_link_decides_where_dnssec_is_required(void **state)
{
	static const char *const lines[] = { "zone . 13c",
		                             "zone example. 13c",
		                             "www A 8.8.100.1",
		                             "out CNAME www.plain",
		                             "zone plain.example. unsigned",
		                             "www A 8.8.100.2",
		                             "in CNAME www.example.",
		                             NULL };
	static const struct {
		const char *name, *want;
	} cases[] = {
		{ "www.example", "NOERROR" },
		{ "www.plain.example", "NOERROR ede=15" },
		{ "out.example", "NOERROR ede=15" },
		{ "in.plain.example", "NOERROR ede=15" },
	};
	struct play *p = begin(lines);

	(void)state;
	rig_policy(p->rig, strict_policy);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rig_answer *answer;

		p->rig->opened[0] = '\0';
		answer = ask(p, "10.1.0.2", cases[i].name, false);
		rig_turn(p->rig);
		expect(answer, cases[i].want);
		assert_int_equal(p->rig->opened[0] != '\0', i == 0);
	}
	finish(p);
}

/* Nothing of it is asked again at once, nor validated. */
static void what_could_not_be_validated_in_time_is_a_failure_for_a_while(void **state)
{
	struct play *p = begin(plain);
	struct rig_answer *answer;

	(void)state;
	p->lies[0].name = "sub.example.";
	p->lies[0].type = TYPE_DNSKEY;
	p->lies[0].lie = LATER;
	p->lies[0].good_in = 3;
	answer = ask(p, "10.1.0.2", "www.sub.example", false);
	rig_turn(p->rig);
	assert_int_equal(answer->times, 0);
	rig_advance_ms(p->rig, 20000);
	expect(answer, "SERVFAIL ede=22");
	p->rig->sent[0] = '\0';
	answer = ask(p, "10.1.0.3", "www.sub.example", false);
	rig_turn(p->rig);
	expect(answer, "SERVFAIL ede=22");
	assert_string_equal(p->rig->sent, "");
	finish(p);
}

static void learns(struct resolver_conf *conf)
{
	conf->dnssec_aggressive = 1;
}

/* RFC 8198: what proves that a delegation has no DS has a gap behind it, too. */
static void a_denied_ds_is_learnt_from(void **state)
{
	static const char *const lines[] = { "zone . 13c", "zone example. 13c",
		                             "zone plain.example. unsigned", "www A 8.8.100.1",
		                             NULL };
	struct play *p = begin_with(lines, learns);
	struct rig_answer *answer;

	(void)state;
	answer = ask(p, "10.1.0.2", "www.plain.example", false);
	rig_turn(p->rig);
	expect(answer, "8.8.100.1");
	/* The gap behind plain.example., and the one before it, where a wildcard would be. */
	answer = ask(p, "10.1.0.3", "a.example", false);
	rig_turn(p->rig);
	expect(answer, "NXDOMAIN");
	p->rig->sent[0] = '\0';
	answer = ask(p, "10.1.0.2", "zz.example", false);
	rig_turn(p->rig);
	expect(answer, "NXDOMAIN ede=29");
	answer = ask(p, "10.1.0.2", "plain.example", false);
	rig_turn(p->rig);
	expect(answer, "NOERROR");
	assert_string_equal(p->rig->sent, "plain.example. A\n");
	finish(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_asks_while_a_bogus_answer_is_asked_for_again_waits_too),
		cmocka_unit_test(
		    what_stays_bogus_is_bogus_to_all_who_waited_and_to_who_comes_after),
		cmocka_unit_test(who_sets_cd_gets_what_was_bogus_though_it_cannot_be_had_again),
		cmocka_unit_test(a_retry_that_takes_too_long_is_the_failure_that_was_found),
		cmocka_unit_test(a_zone_that_has_failed_is_not_asked_for_every_name_in_it),
		cmocka_unit_test(that_we_are_busy_is_no_failure_of_a_zone),
		cmocka_unit_test(what_meets_a_limit_is_not_asked_for_again),
		cmocka_unit_test(a_good_answer_ends_a_row_of_failures),
		cmocka_unit_test(a_denied_ds_is_learnt_from),
		cmocka_unit_test(a_name_is_not_blamed_for_what_the_links_before_it_have_spent),
		cmocka_unit_test(a_crowd_of_keys_gives_way_and_is_counted),
		cmocka_unit_test(what_waits_to_be_validated_holds_a_bounded_memory),
		cmocka_unit_test(a_stale_key_verifies_nothing),
		cmocka_unit_test(the_weakest_link_decides_where_dnssec_is_required),
		cmocka_unit_test(what_could_not_be_validated_in_time_is_a_failure_for_a_while),
		cmocka_unit_test(what_has_failed_is_not_validated_again_for_who_sets_cd),
		cmocka_unit_test(an_answer_lives_no_longer_than_its_signature),
		cmocka_unit_test(what_a_negative_anchor_excused_is_not_served_stale_after_its_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
