/* resolver/explain.c - the validator's events as rows. */
#include "explain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "query_wait.h"
#include "sallyport/err.h"
#include "val_denial.h"
#include "val_trace.h"
#include "val_wire.h"
#include "wire.h"
#include "worker.h"

enum {
	/* Kept behind the steps for links and verdicts, and behind those for the end, which is told
	 * in any case. */
	VERDICT_ROOM = 8192,
	END_ROOM = sizeof(struct explain_row) + LIMIT_EXPLAIN_TEXT + 4,
	WHY_LEN = 32,
};

_Static_assert((int)EXPLAIN_PROOF_LIMIT == (int)VAL_PROOF_LIMIT, "the same proofs");
_Static_assert((int)EXPLAIN_TRUST_SECURE == (int)VAL_TRUST_SECURE, "the same kinds of trust");
_Static_assert((int)EXPLAIN_MATCHES == (int)VAL_MATCHES, "the same fits");

struct explain {
	uint64_t id;
	struct explain_request request;
	explain_done_cb *done;
	void *ctx;
	struct val_table *table;
	struct val_trace trace;
	struct val_config config;
	const struct settings *under; /* compared only: other ones mean other anchors */
	bool ended;                   /* EXPLAIN_END is there */
	bool cut;
	bool lost; /* the link that is being told was left out: so are its steps and its verdict */
	size_t len, part; /* where the newest part of the rows begins */
	uint8_t rows[LIMIT_EXPLAIN_BYTES];
};

int explain_new(uint64_t id, const uint8_t *payload, size_t len, const uint8_t hash_key[static 16],
                struct explain **ret_explain)
{
	CLEANUP(explain_free) struct explain *explain = NULL;
	struct explain_request request;

	if (len != sizeof(request))
		return ERR_MALFORMED;
	memcpy(&request, payload, sizeof(request));
	if (request.name_len > NAME_MAX_WIRE ||
	    name_wire_len(request.name, request.name_len) != request.name_len)
		return ERR_MALFORMED;
	explain = calloc(1, sizeof(*explain));
	if (!explain)
		return ERR_NOMEM;
	explain->table = val_table_new(hash_key);
	if (!explain->table)
		return ERR_NOMEM;
	explain->id = id;
	explain->request = request;
	name_lower(explain->request.name, explain->request.name, request.name_len);
	*ret_explain = TAKE(explain);
	return ERR_OK;
}

void explain_free(struct explain *explain)
{
	if (!explain)
		return;
	val_table_free(explain->table);
	free(explain);
}

uint64_t explain_id(const struct explain *explain)
{
	return explain->id;
}

const uint8_t *explain_rows(const struct explain *explain, size_t *ret_len)
{
	*ret_len = explain->len;
	return explain->rows;
}

/* Rows. */

struct texts { /* of one row; names take their room here */
	char name[NAME_TEXT_LEN], zone[NAME_TEXT_LEN], why[WHY_LEN], data[LIMIT_EXPLAIN_TEXT];
	const char *at[EXPLAIN_TEXTS];
};

/* A proof that did not fit into one turn is begun anew in the next, with the same steps. */
static bool is_told(const struct explain *explain, size_t last)
{
	const uint8_t *row = explain->rows + last;
	size_t len = explain->len - last;

	for (size_t at = explain->part; at < last;) {
		struct explain_row other;

		memcpy(&other, explain->rows + at, sizeof(other));
		if (other.len == len && memcmp(explain->rows + at, row, len) == 0)
			return true;
		at += other.len;
	}
	return false;
}

static size_t cap_of(enum explain_kind kind)
{
	size_t cap = LIMIT_EXPLAIN_BYTES;

	if (kind == EXPLAIN_END)
		return cap;
	cap -= END_ROOM;
	return kind == EXPLAIN_LINK || kind == EXPLAIN_VERDICT ? cap : cap - VERDICT_ROOM;
}

/* False: there is no room for it. */
static bool put_row(struct explain *explain, struct explain_row *row, const struct texts *texts)
{
	size_t cap = cap_of((enum explain_kind)row->kind);

	return explain->len <= cap &&
	       explain_row_put(explain->rows, cap, &explain->len, row, texts->at) == 0;
}

static void add(struct explain *explain, struct explain_row *row, const struct texts *texts)
{
	size_t before = explain->len;
	bool full;

	if (row->kind == EXPLAIN_LINK || row->kind == EXPLAIN_END)
		explain->lost = false;
	full = explain->lost || !put_row(explain, row, texts);
	explain->cut |= full;
	if (row->kind == EXPLAIN_LINK)
		explain->lost = full;
	if (full)
		return;
	if (row->kind == EXPLAIN_ASKED || row->kind == EXPLAIN_ZONE || row->kind == EXPLAIN_LINK)
		explain->part = before;
	else if (row->kind == EXPLAIN_PROOF && is_told(explain, before))
		explain->len = before;
}

static void put_name(struct texts *texts, enum explain_text which, const uint8_t *name)
{
	char *room = which == EXPLAIN_NAME ? texts->name : texts->zone;

	if (!name)
		return;
	name_to_text(name, room);
	texts->at[which] = room;
}

static void put_why(struct texts *texts, enum val_why why)
{
	const char *name = val_why_name(why);
	size_t n = 0;

	if (why == VAL_WHY_NONE)
		return;
	for (; name[n] && n + 1 < sizeof(texts->why); n++)
		texts->why[n] = (char)wire_lower((uint8_t)name[n]);
	texts->why[n] = '\0';
	texts->at[EXPLAIN_WHY] = texts->why;
	texts->at[EXPLAIN_REASON] = val_why_str(why);
	texts->at[EXPLAIN_RULE] = val_why_rule(why);
}

/* The fields of a DS or DNSKEY that people compare. */
static void put_key_fields(struct explain_row *row, uint16_t type, const struct val_rdata *rdata)
{
	const uint8_t *p = rdata->data;

	if (type == VAL_TYPE_DNSKEY && rdata->len >= 4) {
		row->flags = val_u16(p);
		row->algorithm = p[3];
		row->tag = val_key_tag(p, rdata->len);
	} else if (type == VAL_TYPE_DS && rdata->len >= 4) {
		row->tag = val_u16(p);
		row->algorithm = p[2];
		row->digest = p[3];
	}
}

static void put_signature(struct explain_row *row, struct texts *texts, const struct val_sig *sig)
{
	uint8_t signer[NAME_MAX_WIRE];

	name_lower(signer, sig->signer, sig->signer_len);
	put_name(texts, EXPLAIN_ZONE_NAME, signer);
	row->tag = sig->tag;
	row->algorithm = sig->algorithm;
	row->labels = sig->labels;
	row->inception = sig->inception;
	row->expiration = sig->expiration;
}

static void put_data(struct texts *texts, const struct val_event *event)
{
	char owner[NAME_TEXT_LEN];

	if (record_text(event->zone, event->type, event->rdata->data, event->rdata->len, owner,
	                sizeof(owner), texts->data, sizeof(texts->data)) == ERR_OK)
		texts->at[EXPLAIN_TEXT] = texts->data;
}

static enum explain_kind kind_of(enum val_event_kind kind)
{
	switch (kind) {
	case VAL_EVENT_ASKED:
		return EXPLAIN_ASKED;
	case VAL_EVENT_ANCHOR:
		return EXPLAIN_ANCHOR;
	case VAL_EVENT_DS:
		return EXPLAIN_DS;
	case VAL_EVENT_KEY:
		return EXPLAIN_KEY;
	case VAL_EVENT_MATCH:
		return EXPLAIN_MATCH;
	case VAL_EVENT_SIGNATURE:
		return EXPLAIN_SIGNATURE;
	case VAL_EVENT_PROOF:
		return EXPLAIN_PROOF;
	case VAL_EVENT_DENIAL:
		return EXPLAIN_DENIAL;
	case VAL_EVENT_TRUST:
		return EXPLAIN_TRUST;
	case VAL_EVENT_ZONE:
		return EXPLAIN_ZONE;
	}
	return EXPLAIN_KIND_N;
}

static void on_event(void *ctx, const struct val_event *event)
{
	struct explain *explain = ctx;
	struct texts texts = { .at = { NULL } };
	struct explain_row row = { .kind = (uint8_t)kind_of(event->kind),
		                   .outcome = (uint8_t)event->outcome,
		                   .type = event->type,
		                   .tag = event->tag,
		                   .ttl_s = event->ttl_s };

	put_name(&texts, EXPLAIN_NAME, event->name);
	put_name(&texts, EXPLAIN_ZONE_NAME, event->zone);
	put_why(&texts, event->why);
	if (event->kind == VAL_EVENT_PROOF)
		put_data(&texts, event);
	else if (event->rdata)
		put_key_fields(&row, event->kind == VAL_EVENT_KEY ? VAL_TYPE_DNSKEY : event->type,
		               event->rdata);
	if (event->sig)
		put_signature(&row, &texts, event->sig);
	add(explain, &row, &texts);
}

/* What the query tells. */

const struct val_config *explain_config(struct explain *explain, struct settings *settings)
{
	if (explain->under != settings) {
		val_table_clear(explain->table);
		explain->len = explain->part = 0;
		explain->cut = explain->lost = false;
		explain->under = settings;
	}
	explain->trace = (struct val_trace){ on_event, explain };
	explain->config = settings->validation;
	explain->config.table = explain->table;
	explain->config.trace = &explain->trace;
	return &explain->config;
}

static uint8_t what_of(const struct entry *link)
{
	switch ((enum entry_kind)link->kind) {
	case ENTRY_DATA:
		return EXPLAIN_DATA;
	case ENTRY_ALIAS:
	case ENTRY_YXDOMAIN:
		return EXPLAIN_ALIAS;
	case ENTRY_NXDOMAIN:
		return EXPLAIN_NXDOMAIN;
	case ENTRY_NODATA:
	case ENTRY_FAILURE:
		break;
	}
	return EXPLAIN_NODATA;
}

void explain_link(struct explain *explain, const struct entry *link, unsigned int attempt)
{
	struct texts texts = { .at = { NULL } };
	struct explain_row row = { .kind = EXPLAIN_LINK,
		                   .outcome = what_of(link),
		                   .type = link->type,
		                   .attempt = (uint8_t)attempt };

	put_name(&texts, EXPLAIN_NAME, link->name);
	if (link->kind == ENTRY_ALIAS)
		put_name(&texts, EXPLAIN_ZONE_NAME, link->target);
	if (entry_from_upstream(link)) {
		addr_text(link->upstream, texts.data);
		texts.at[EXPLAIN_TEXT] = texts.data;
	}
	add(explain, &row, &texts);
}

/* Of what is secure: the section that it is secure by. */
static const char *rule_of(const struct entry *link)
{
	switch ((enum entry_kind)link->kind) {
	case ENTRY_NODATA:
	case ENTRY_NXDOMAIN:
		return "RFC 4035, section 5.4; RFC 5155, section 8";
	case ENTRY_DATA:
	case ENTRY_ALIAS:
	case ENTRY_YXDOMAIN:
	case ENTRY_FAILURE:
		break;
	}
	return "RFC 4035, section 5.3";
}

static enum dnssec_state state_of(enum val_state state)
{
	switch (state) {
	case VAL_BOGUS:
		return DNSSEC_BOGUS;
	case VAL_INDETERMINATE:
		return DNSSEC_INDETERMINATE;
	case VAL_INSECURE:
		return DNSSEC_INSECURE;
	case VAL_SECURE:
		return DNSSEC_SECURE;
	}
	return DNSSEC_BOGUS;
}

void explain_verdict(struct explain *explain, const struct val_result *result,
                     const struct entry *link)
{
	struct texts texts = { .at = { NULL } };
	struct explain_row row = { .kind = EXPLAIN_VERDICT,
		                   .outcome = (uint8_t)state_of(result->state),
		                   .type = result->type,
		                   .tag = result->tag,
		                   .algorithm = result->algorithm,
		                   .ttl_s = result->ttl_s,
		                   .ede = val_why_ede(result->why) };

	put_name(&texts, EXPLAIN_NAME, result->name);
	put_why(&texts, result->why);
	if (result->state == VAL_SECURE) {
		put_name(&texts, EXPLAIN_ZONE_NAME, result->zone);
		texts.at[EXPLAIN_RULE] = rule_of(link);
	}
	add(explain, &row, &texts);
}

void explain_ours(struct explain *explain, const struct entry *link)
{
	struct val_result result = { .state = VAL_INSECURE, .type = link->type };

	memcpy(result.name, link->name, val_name_size(link->name));
	explain_link(explain, link, 1);
	explain_verdict(explain, &result, link);
}

static void end(struct explain *explain, struct explain_row *row, const char *text)
{
	const struct texts texts = { .at = { [EXPLAIN_TEXT] = text } };

	if (explain->ended)
		return;
	explain->ended = true;
	row->kind = EXPLAIN_END;
	row->cut = explain->cut;
	add(explain, row, &texts);
}

void explain_answered(struct explain *explain, enum dnssec_state state, uint16_t rcode)
{
	struct explain_row row = { .outcome = EXPLAIN_ANSWERED,
		                   .state = (uint8_t)state,
		                   .rcode = rcode,
		                   .ede = RECORD_NO_EDE };

	end(explain, &row, NULL);
}

void explain_refused(struct explain *explain, const struct refusal *refusal)
{
	bool bogus = refusal->reason == REASON_BOGUS;
	struct explain_row row = { .outcome = bogus ? EXPLAIN_BOGUS : EXPLAIN_FAILED,
		                   .state = bogus ? DNSSEC_BOGUS : DNSSEC_UNCHECKED,
		                   .rcode = refusal->rcode,
		                   .ede = refusal->ede };

	end(explain, &row, refusal->text);
}

void explain_denied(struct explain *explain, enum reason reason, const uint8_t *target)
{
	struct explain_row row = { .outcome = EXPLAIN_DENIED, .ede = EDE_BLOCKED };
	char text[NAME_TEXT_LEN + 64], name[NAME_TEXT_LEN];

	if (target) {
		name_to_text(target, name);
		snprintf(text, sizeof(text), "the chain leads to %s: %s", name, reason_str(reason));
	} else {
		snprintf(text, sizeof(text), "%s", reason_str(reason));
	}
	end(explain, &row, text);
}

void explain_ended(struct explain *explain)
{
	static const struct refusal broken_off = { RCODE_SERVFAIL, RECORD_NO_EDE, REASON_INTERNAL,
		                                   "it was broken off" };

	explain_refused(explain, &broken_off); /* unless it has told its end */
	explain->done(explain->ctx, explain);
}

void explain_start(struct worker *worker, struct explain *explain, explain_done_cb *done, void *ctx)
{
	static const struct refusal refused = { RCODE_FORMERR, RECORD_NO_EDE, REASON_MALFORMED,
		                                "this is no question" };
	static const struct refusal no_room = { RCODE_SERVFAIL, RECORD_NO_EDE, REASON_LIMIT,
		                                "limit in_flight: too many queries wait" };
	uint8_t msg[QUESTION_BYTES];
	size_t len = question_write(explain->request.name, explain->request.type, msg);
	struct client client = { .port = 0 };
	struct question question;
	struct asked asked = { .client = &client,
		               .q = &question,
		               .read_ns = worker->now_ns,
		               .read_wall_ns = worker->wall_ns,
		               .query_len = (uint16_t)len };
	struct query *q;

	explain->done = done;
	explain->ctx = ctx;
	memcpy(client.addr, explain->request.addr, ADDR_LEN);
	memcpy(client.local, explain->request.at, ADDR_LEN);
	if (question_parse(msg, len, &question) != QUESTION_OK) {
		explain_refused(explain, &refused);
		explain_ended(explain);
		return;
	}
	judge_question(worker, &question, &client, NULL, &asked.j);
	if (asked.j.action != JUDGE_RESOLVE) {
		explain_denied(explain, asked.j.verdict.reason, NULL);
		explain_ended(explain);
		return;
	}
	q = query_new_prefetch(worker, &asked);
	if (!q) {
		explain_refused(explain, &no_room);
		explain_ended(explain);
		return;
	}
	q->explain = explain;
	query_run(q);
}
