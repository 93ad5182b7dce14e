/* tests/fuzz/validator/val_answer.c - whatever is done to signed answers, only the truth is secure.
 *
 * The input is a small program. Its first octet chooses a question; then come steps of five octets:
 * what to do, to which message (the answer, or the answer to one of the questions on the way), to
 * which row, and with what. Steps take rows from a pool of everything that the zones ever signed,
 * and one of the zones belongs to the attacker, who signs what he likes with its keys.
 *
 * The oracle knows the zones: a verdict may be secure only when the claim is what they hold, and it
 * is never insecure or indeterminate, for nothing here is unsigned. Another one, which knows
 * nothing of them and shares no code, reads what val_answer_tell() is told (reference.py).
 */
#include "val_answer.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/name.h"
#include "val_wire.h"

enum {
	STEP_OCTETS = 5,
	STEPS_MAX = 40,
	ROWS_MAX = 300, /* of one message */
	POOL_MAX = 1500,
	RUNS_MAX = 1000,
	ASKED_MAX = 64,
	TTL_MAX = 3600, /* of everything in the zones */
};

static const struct {
	const char *zone; /* a line of zone.h */
	const char *records[12];
} zones[] = {
	{ ". 13c", { NULL } },
	{ "example. 13c",
	  { "www A 192.0.2.1", "www A 192.0.2.2", "www TXT \"text\"", "alias CNAME www",
	    "dn DNAME target.example.", "*.wild A 192.0.2.7", "own.wild A 192.0.2.8",
	    "host.ent A 192.0.2.9", "* TXT \"all\"" } },
	{ "n3.example. 13c nsec3=1,ab",
	  { "www A 192.0.2.1", "alias CNAME www", "dn DNAME target.example.", "*.wild A 192.0.2.7",
	    "host.ent A 192.0.2.9" } },
	{ "evil.example. 15c", { "www A 203.0.113.1", "* A 203.0.113.2", "*.wild A 203.0.113.3" } },
	{ "evil.n3.example. 15c nsec3",
	  { "www A 203.0.113.1", "* A 203.0.113.2", "*.wild A 203.0.113.3" } },
};

static const struct {
	const char *name;
	uint16_t type;
} questions[] = {
	{ "www.example.", 1 },
	{ "www.example.", 28 },
	{ "alias.example.", 1 },
	{ "x.dn.example.", 1 },
	{ "any.wild.example.", 1 },
	{ "any.wild.example.", 28 },
	{ "own.wild.example.", 1 },
	{ "nothing.example.", 1 },
	{ "a.nothing.example.", 16 },
	{ "ent.example.", 1 },
	{ "example.", 1 },
	{ "example.", VAL_TYPE_DNSKEY },
	{ "n3.example.", VAL_TYPE_DS },
	{ "www.example.", VAL_TYPE_DS },
	{ "www.n3.example.", 1 },
	{ "www.n3.example.", 28 },
	{ "alias.n3.example.", 1 },
	{ "x.dn.n3.example.", 1 },
	{ "any.wild.n3.example.", 1 },
	{ "any.wild.n3.example.", 28 },
	{ "nothing.n3.example.", 1 },
	{ "a.nothing.n3.example.", 1 },
	{ "ent.n3.example.", 1 },
	{ "n3.example.", 1 },
	{ "nothing.", 1 },
	{ ".", VAL_TYPE_SOA },
	/* what is asked on the way, and what the attacker answers; the pool has it, too */
	{ ".", VAL_TYPE_DNSKEY },
	{ "example.", VAL_TYPE_DS },
	{ "n3.example.", VAL_TYPE_DNSKEY },
	{ "evil.example.", VAL_TYPE_DS },
	{ "evil.example.", VAL_TYPE_DNSKEY },
	{ "evil.n3.example.", VAL_TYPE_DS },
	{ "www.evil.example.", 1 },
	{ "any.evil.example.", 1 },
	{ "any.wild.evil.example.", 1 },
	{ "nothing.evil.example.", 28 },
	{ "nothing.evil.n3.example.", 28 },
	{ "any.evil.n3.example.", 1 },
	/* the rest of the attacker's proofs; no seed chooses it */
	{ "wild.evil.n3.example.", 1 },
};
enum {
	N_ALL = sizeof(questions) / sizeof(questions[0]),
	N_QUESTIONS = N_ALL - 1,
	N_SUBJECTS = 26,
};

struct claim { /* what an answer says of a question */
	enum val_kind kind;
	unsigned int n;
	const struct val_row *rows[ROWS_MAX]; /* of data */
	uint8_t target[NAME_MAX_WIRE];        /* of an alias */
};

/* Made once. */
static struct {
	struct world world;
	struct val_anchors *anchors;
	const uint8_t *names[N_ALL];
	struct answer *answers[N_ALL];
	struct claim claims[N_ALL];
	unsigned int n_pool;
	const struct val_row *pool[POOL_MAX];
} truth;

static void require(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "val_answer: %s\n", what);
	abort();
}

static const struct val_row *find_row(const struct answer *answer, const uint8_t *name,
                                      uint16_t type)
{
	for (unsigned int i = 0; i < answer->n; i++) {
		const struct val_row *row = &answer->rows[i];

		if (row->section == VAL_ANSWER && row->type == type && name_equal(row->owner, name))
			return row;
	}
	return NULL;
}

/* As the resolver would take it. */
static void read_claim(const struct answer *answer, const uint8_t *name, uint16_t type,
                       struct claim *claim)
{
	const struct val_row *cname = find_row(answer, name, VAL_TYPE_CNAME);

	claim->n = 0;
	if (find_row(answer, name, type)) {
		claim->kind = VAL_DATA;
		for (unsigned int i = 0; i < answer->n && claim->n < ROWS_MAX; i++) {
			const struct val_row *row = &answer->rows[i];

			if (row->section == VAL_ANSWER && row->type == type &&
			    name_equal(row->owner, name))
				claim->rows[claim->n++] = row;
		}
	} else if (cname && name_wire_len(cname->rdata, cname->rdata_len) > 0) {
		claim->kind = VAL_ALIAS;
		name_lower(claim->target, cname->rdata, val_name_size(cname->rdata));
	} else {
		claim->kind = answer->rcode == 3 ? VAL_NXDOMAIN : VAL_NODATA;
	}
}

static int same_rdata(const struct val_row *a, const struct val_row *b)
{
	uint8_t x[2048], y[2048];

	if (a->rdata_len != b->rdata_len || a->rdata_len > sizeof(x))
		return 0;
	record_canonical(a->type, a->rdata, a->rdata_len, x);
	record_canonical(b->type, b->rdata, b->rdata_len, y);
	return memcmp(x, y, a->rdata_len) == 0;
}

/* Each record of @a is one of @b's. */
static int is_subset(const struct claim *a, const struct claim *b)
{
	for (unsigned int i = 0; i < a->n; i++) {
		unsigned int k = 0;

		while (k < b->n && !same_rdata(a->rows[i], b->rows[k]))
			k++;
		if (k == b->n)
			return 0;
	}
	return 1;
}

static int same_claim(const struct claim *a, const struct claim *b)
{
	if (a->kind != b->kind)
		return 0;
	if (a->kind == VAL_ALIAS)
		return name_equal(a->target, b->target);
	return is_subset(a, b) && is_subset(b, a);
}

static void make_zones(void)
{
	const char *wrong = NULL;

	for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]) && !wrong; i++) {
		wrong = world_zone(&truth.world, zones[i].zone);
		for (size_t k = 0; !wrong && zones[i].records[k]; k++)
			wrong =
			    world_record(&truth.world, truth.world.zones[i], zones[i].records[k]);
	}
	require(!wrong, wrong ? wrong : "");
	world_finish(&truth.world);
}

static void make_truth(void)
{
	const struct key *root;

	if (truth.anchors)
		return;
	world_init(&truth.world);
	make_zones();
	root = &truth.world.zones[0]->keys[0].key;
	truth.anchors = val_anchors_new();
	require(truth.anchors &&
	            val_anchors_add(truth.anchors, (const uint8_t *)"", VAL_TYPE_DNSKEY,
	                            root->rdata, root->rdata_len) == ERR_OK,
	        "no anchor");
	for (size_t i = 0; i < N_ALL; i++) {
		uint8_t *name = world_alloc(&truth.world, NAME_MAX_WIRE);
		struct answer *answer = world_alloc(&truth.world, sizeof(*answer));

		require(name_from_text(questions[i].name, name) > 0, "a question's name");
		world_answer(&truth.world, name, questions[i].type, answer);
		require(!answer->missing && answer->n < ROWS_MAX / 2, "a question's answer");
		read_claim(answer, name, questions[i].type, &truth.claims[i]);
		truth.names[i] = name;
		truth.answers[i] = answer;
		for (unsigned int k = 0;
		     i < N_QUESTIONS && k < answer->n && truth.n_pool < POOL_MAX; k++)
			truth.pool[truth.n_pool++] = &answer->rows[k];
	}
}

/* One input. */
struct play {
	struct world scratch; /* the zones; octets of this input alone */
	struct val_table *table;
	size_t subject;
	struct answer *answers; /* own copies, one a question */
	bool anyones;
	const struct claim *claim; /* of the last verdict */
	unsigned int n_asked;      /* by the present job */
	struct val_need needs[ASKED_MAX];
	const struct answer *asked[ASKED_MAX];
};

struct step {
	uint8_t what, message, row, a, b;
};

static uint8_t *copy_of(struct play *play, const uint8_t *octets, size_t len)
{
	uint8_t *copy = world_alloc(&play->scratch, len + 1);

	if (len > 0)
		memcpy(copy, octets, len);
	return copy;
}

static const struct val_row *pool_row(const struct step *step)
{
	return truth.pool[((unsigned int)step->a << 8 | step->b) % truth.n_pool];
}

static void flip(struct play *play, struct val_row *row, const struct step *step)
{
	uint8_t *rdata;

	if (row->rdata_len == 0)
		return;
	rdata = copy_of(play, row->rdata, row->rdata_len);
	rdata[step->a % row->rdata_len] ^= (uint8_t)(1u << (step->b & 7));
	row->rdata = rdata;
}

static void resize(struct play *play, struct val_row *row, const struct step *step)
{
	size_t len = step->b & 1 ? row->rdata_len + (step->a & 15u)
	                         : row->rdata_len - MIN(row->rdata_len, step->a & 15u);
	uint8_t *rdata = world_alloc(&play->scratch, len + 1);

	memcpy(rdata, row->rdata, MIN(len, row->rdata_len));
	row->rdata = rdata;
	row->rdata_len = (uint16_t)len;
}

/* A field of a signature: labels, algorithm, times, tag or type covered. */
static void set_field(struct play *play, struct val_row *row, const struct step *step)
{
	uint8_t *rdata;

	if (row->type != VAL_TYPE_RRSIG || row->rdata_len < VAL_SIG_FIXED)
		return;
	rdata = copy_of(play, row->rdata, row->rdata_len);
	switch (step->a % 6) {
	case 0:
		rdata[3] = step->b;
		break;
	case 1:
		rdata[2] = step->b;
		break;
	case 2:
		val_put32(rdata + 8, (uint32_t)(ZONE_BASE_S + (uint64_t)step->b * 86400));
		break;
	case 3:
		val_put32(rdata + 12, (uint32_t)(ZONE_BASE_S - (uint64_t)step->b * 86400));
		break;
	case 4:
		val_put16(rdata + 16, val_u16(rdata + 16) + step->b);
		break;
	default:
		val_put16(rdata, step->b);
		break;
	}
	row->rdata = rdata;
}

static void set_owner(struct play *play, struct val_row *row, const struct step *step)
{
	uint8_t *name = world_alloc(&play->scratch, NAME_MAX_WIRE + 2);
	const uint8_t *old = row->owner;

	switch (step->a % 4) {
	case 0:
		memcpy(name, truth.names[step->b % N_QUESTIONS],
		       val_name_size(truth.names[step->b % N_QUESTIONS]));
		break;
	case 1: /* one label less */
		old = *old ? val_parent(old, 1) : old;
		memcpy(name, old, val_name_size(old));
		break;
	case 2: /* its wildcard */
		old = *old ? val_parent(old, 1) : old;
		if (!val_wildcard(old, name))
			memcpy(name, old, val_name_size(old));
		break;
	default:
		memcpy(name, truth.names[play->subject], val_name_size(truth.names[play->subject]));
		break;
	}
	row->owner = name;
}

/* The attacker signs the RRset of @row with his own key, in whoever's name. */
static void sign_evil(struct play *play, struct answer *answer, const struct val_row *row,
                      const struct step *step)
{
	const struct zone *evil = truth.world.zones[step->a & 1 ? 4 : 3];
	const struct val_row *rows[ROWS_MAX];
	uint8_t owner[NAME_MAX_WIRE];
	struct signing signing;
	unsigned int n = 0, labels;
	const uint8_t *rdata;
	uint16_t len;

	if (row->type == VAL_TYPE_RRSIG || answer->n + 1 >= ROWS_MAX)
		return;
	for (unsigned int i = 0; i < answer->n; i++) {
		const struct val_row *at = &answer->rows[i];

		if (at->type == row->type && at->section == row->section &&
		    name_equal(at->owner, row->owner))
			rows[n++] = at;
	}
	signing_init(&signing, evil, &evil->keys[0].key, row->owner, row->type, 300);
	signing.signer = truth.world.zones[step->b % truth.world.n_zones]->name;
	labels = (step->b >> 3) & 7;
	if (step->a & 2 && labels < name_labels(row->owner) &&
	    val_wildcard(val_parent(row->owner, name_labels(row->owner) - labels), owner)) {
		signing.labels = (uint8_t)labels;
		signing.owner = owner;
	}
	rdata = world_sign(&play->scratch, &evil->keys[0].key, &signing, rows, n, &len);
	answer_add(answer, row->section, row->owner, VAL_TYPE_RRSIG, 300, rdata, len);
}

/* All of another answer, instead or as well; as it is, or as if it were about the subject. */
static void take_other(struct play *play, struct answer *answer, const struct step *step)
{
	size_t which = step->what & 0x20 ? N_QUESTIONS : step->a % N_QUESTIONS;
	const struct answer *other = truth.answers[which];

	if (step->b & 1)
		answer->n = 0;
	for (unsigned int i = 0; i < other->n && answer->n + 1 < ROWS_MAX; i++) {
		struct val_row *row = &answer->rows[answer->n++];

		*row = other->rows[i];
		if (step->what & 0x40 && name_equal(row->owner, truth.names[which]))
			row->owner = truth.names[play->subject];
	}
}

/* Change one row, or the message around it. */
static void apply(struct play *play, const struct step *step)
{
	size_t which = step->message & 0x80 ? step->message % N_QUESTIONS : play->subject;
	struct answer *answer = &play->answers[which];
	struct val_row *row;

	if (step->what % 16 == 0) { /* a row of the pool comes in */
		if (answer->n + 1 < ROWS_MAX)
			answer->rows[answer->n++] = *pool_row(step);
		return;
	}
	if (step->what % 16 == 1) {
		take_other(play, answer, step);
		return;
	}
	if (step->what % 16 == 2) {
		answer->rcode = step->a & 1 ? 3 : 0;
		return;
	}
	if (answer->n == 0)
		return;
	row = &answer->rows[step->row % answer->n];
	switch (step->what % 16) {
	case 3:
		*row = answer->rows[--answer->n];
		break;
	case 4:
		if (answer->n + 1 < ROWS_MAX) {
			answer->rows[answer->n] = *row;
			answer->n++;
		}
		break;
	case 5:
		flip(play, row, step);
		break;
	case 6:
		resize(play, row, step);
		break;
	case 7:
	case 8:
		set_field(play, row, step);
		break;
	case 9:
	case 10:
		set_owner(play, row, step);
		break;
	case 11:
		row->section = row->section == VAL_ANSWER ? VAL_AUTHORITY : VAL_ANSWER;
		break;
	case 12:
		row->ttl = (uint32_t)step->a << step->b % 24;
		break;
	case 13: /* the content of another row of its type */
		if (pool_row(step)->type == row->type) {
			row->rdata = pool_row(step)->rdata;
			row->rdata_len = pool_row(step)->rdata_len;
		}
		break;
	case 14:
		if (row->type != VAL_TYPE_RRSIG && step->a < 64)
			row->type = step->a;
		break;
	default:
		sign_evil(play, answer, row, step);
		break;
	}
}

/* NULL: it is no message (an RRSIG without its fields), which the codec does not let through. */
static struct val_message *message_of(const struct answer *answer)
{
	struct val_message *message = NULL;

	return val_message_make(answer->rows, answer->n, answer->rcode, &message) == ERR_OK
	           ? message
	           : NULL;
}

static struct val_message *note(struct play *play, const struct val_need *need,
                                const struct answer *answer)
{
	struct val_message *message = answer->missing ? NULL : message_of(answer);

	require(play->n_asked < ASKED_MAX, "more is asked than a budget has");
	if (message) {
		play->needs[play->n_asked] = *need;
		play->asked[play->n_asked++] = answer;
	}
	return message;
}

/* What comes for a question on the way: as the steps left it, or the truth. */
static struct val_message *answer_need(struct play *play, const struct val_need *need)
{
	struct answer *answer;

	for (size_t i = 0; i < N_QUESTIONS; i++) {
		if (questions[i].type == need->type && name_equal(truth.names[i], need->name))
			return note(play, need, &play->answers[i]);
	}
	answer = world_alloc(&play->scratch, sizeof(*answer));
	world_answer(&play->scratch, need->name, need->type, answer);
	return note(play, need, answer);
}

static const struct val_now now = { ZONE_BASE_S, NS_PER_S };

static void run(struct play *play, const struct claim *claim, const struct val_message *message,
                struct val_result *ret_result)
{
	const struct val_config config = { .rules = &val_rules_default,
		                           .anchors = truth.anchors,
		                           .table = play->table };
	const struct val_subject subject = { .name = truth.names[play->subject],
		                             .type = questions[play->subject].type,
		                             .kind = claim->kind,
		                             .target = claim->target,
		                             .message = message };
	struct val_budget budget;
	struct val_job *job;
	enum val_step step;

	play->n_asked = 0;
	val_budget_init(&budget);
	job = val_job_new(&config, &subject, &budget);
	require(job != NULL, "no memory");
	for (unsigned int runs = 0; (step = val_job_run(job, &now)) != VAL_DONE; runs++) {
		require(runs < RUNS_MAX, "it does not end");
		if (step == VAL_TURN) {
			val_budget_turn(&budget);
			continue;
		}
		require(name_is_under(subject.name, val_job_need(job)->name),
		        "a name that is not above the subject is asked for");
		val_job_give(job, answer_need(play, val_job_need(job)));
	}
	*ret_result = *val_job_result(job);
	val_job_free(job);
}

static void tell(const struct play *play)
{
	const struct claim *claim = play->claim;
	const struct key *root = &truth.world.zones[0]->keys[0].key;
	const struct val_answer_told told = { .now_s = now.wall_s,
		                              .anchor = root->rdata,
		                              .anchor_len = root->rdata_len,
		                              .name = truth.names[play->subject],
		                              .type = questions[play->subject].type,
		                              .kind = claim->kind,
		                              .target = claim->target,
		                              .answer = &play->answers[play->subject],
		                              .n_asked = play->n_asked,
		                              .needs = play->needs,
		                              .asked = play->asked };

	val_answer_tell(&told);
}

/* Judge the answer to the subject as it is now. */
static enum val_state judge(struct play *play)
{
	const struct answer *answer = &play->answers[play->subject];
	struct val_message *message = message_of(answer);
	struct val_result result;
	static struct claim claim; /* large; written before it is read */

	if (!message)
		return VAL_BOGUS;
	read_claim(answer, truth.names[play->subject], questions[play->subject].type, &claim);
	run(play, &claim, message, &result);
	require(result.state == VAL_SECURE || result.state == VAL_BOGUS,
	        "a signed zone is taken for an unsigned one");
	if (result.state == VAL_SECURE && !play->anyones) {
		require(same_claim(&claim, &truth.claims[play->subject]),
		        "what is not true is secure");
		require(result.ttl_s <= TTL_MAX, "it is kept longer than it was signed for");
	}
	val_message_free(message);
	play->claim = &claim;
	return result.state;
}

static void reset(struct play *play)
{
	for (size_t i = 0; i < N_QUESTIONS; i++) {
		struct answer *own = &play->answers[i];

		own->missing = false;
		own->rcode = truth.answers[i]->rcode;
		own->n = truth.answers[i]->n;
		memcpy(own->rows, truth.answers[i]->rows, own->n * sizeof(own->rows[0]));
	}
}

unsigned int val_answer_questions(void)
{
	return N_QUESTIONS;
}

void val_answer_play(const uint8_t *data, size_t size, bool anyones)
{
	static struct answer answers[N_QUESTIONS]; /* large; reset() writes what is read */
	static const uint8_t hash_key[16] = { 1 };
	struct play play = { .anyones = anyones };
	size_t at = 1;

	make_truth();
	if (size < 1)
		return;
	play.scratch = truth.world; /* its zones, with blocks of its own */
	play.scratch.arena = NULL;
	play.table = val_table_new(hash_key);
	require(play.table != NULL, "no memory");
	play.answers = answers;
	reset(&play);
	play.subject = data[0] % (anyones ? (size_t)N_QUESTIONS : (size_t)N_SUBJECTS);
	for (unsigned int i = 0; i < STEPS_MAX && size - at >= STEP_OCTETS; i++) {
		const struct step step = { data[at], data[at + 1], data[at + 2], data[at + 3],
			                   data[at + 4] };

		apply(&play, &step);
		at += STEP_OCTETS;
	}
	/* A table that is empty: what is told is all that the verdict rests on. */
	if (judge(&play) == VAL_SECURE)
		tell(&play);
	/* What the attack left in the table must not make the honest answer anything else. */
	reset(&play);
	if (!anyones)
		judge(&play);
	if (size == 1) { /* and without any attack it is secure */
		struct val_result result;
		struct val_message *message = message_of(&play.answers[play.subject]);

		run(&play, &truth.claims[play.subject], message, &result);
		require(result.state == VAL_SECURE, "the truth is not secure");
		val_message_free(message);
	}
	val_table_free(play.table);
	play.scratch.n_zones = 0; /* they stay */
	world_fini(&play.scratch);
}
