/* resolver/query_guard.c - DNSSEC demanded, targets judged, addresses stripped, form made. */
#include "query_guard.h"

#include <stdio.h>
#include <string.h>

#include "follow_table.h"
#include "prefetch.h"
#include "sallyport/clock.h"
#include "sallyport/counter.h"
#include "sallyport/err.h"
#include "sentinel.h"
#include "svcb.h"
#include "wire.h"
#include "worker.h"

static bool is_svcb(uint16_t type)
{
	return type == TYPE_SVCB || type == TYPE_HTTPS;
}

/* May an answer of this type carry addresses of the family that the client does not ask from? */
static bool may_cross_family(const struct asked *asked)
{
	switch (asked->q->qtype) {
	case TYPE_A:
		return !addr_is_v4(asked->client->addr);
	case TYPE_AAAA:
		return addr_is_v4(asked->client->addr);
	default:
		return is_svcb(asked->q->qtype);
	}
}

static bool lacks_other_source(const struct worker *worker, const struct asked *asked)
{
	return may_cross_family(asked) && open_needed(worker, &asked->j.verdict) &&
	       !open_has_other_source(worker, asked->j.workload, !addr_is_v4(asked->client->addr));
}

bool guard_lacks_source(const struct worker *worker, const struct asked *asked)
{
	return !is_svcb(asked->q->qtype) && lacks_other_source(worker, asked);
}

uint64_t guard_generation(const struct worker *worker)
{
	return cache_generation(worker->cache) + (worker->queries->settings_generation << 40);
}

void guard_memo_key(const struct worker *worker, const struct asked *asked, uint64_t generation,
                    struct memo_key *ret_key)
{
	const struct verdict *verdict = &asked->j.verdict;
	unsigned int flags = 0;

	if (asked->q->dnssec_ok)
		flags |= MEMO_DO;
	if (verdict->internal)
		flags |= MEMO_INTERNAL;
	if (verdict->observed)
		flags |= MEMO_OBSERVED;
	if (lacks_other_source(worker, asked))
		flags |= addr_is_v4(asked->client->addr) ? MEMO_NO_V6 : MEMO_NO_V4;
	*ret_key = (struct memo_key){ .name = asked->q->name,
		                      .name_len = asked->q->name_len,
		                      .type = asked->q->qtype,
		                      .policy_version = asked->j.policy_version,
		                      .profile = asked->j.profile,
		                      .rule = verdict->rule,
		                      .reason = (uint8_t)verdict->reason,
		                      .flags = (uint8_t)flags,
		                      .cache_generation = generation };
}

bool guard_has_targets(const struct form *form)
{
	return form->n_links > 1 || (form->n_answer > 0 && is_svcb(form->links[0]->type));
}

void guard_remember(struct worker *worker, const struct asked *asked, const struct form *form)
{
	uint8_t targets[LIMIT_TARGETS][NAME_MAX_WIRE];
	const struct entry *last = form->links[form->n_links - 1];
	const uint8_t *begin = asked->j.followed ? asked->j.begin : asked->q->name;
	uint64_t until_ns = MAX(form->expires_ns, worker->now_ns) + QUERY_FOLLOW_SLACK_S * NS_PER_S;
	size_t n = 0;
	int r = ERR_OK;

	if (!worker->follow || !guard_has_targets(form))
		return;
	for (unsigned int i = 1; i < form->n_links && r == ERR_OK; i++)
		r = follow_table_put(worker->follow, asked->j.policy_version, asked->j.workload,
		                     form->links[i]->name, begin, worker->now_ns, until_ns);
	if (is_svcb(last->type))
		n = form_svcb_targets(last, targets, LIMIT_TARGETS);
	for (size_t i = 0; i < n && r == ERR_OK; i++)
		r = follow_table_put(worker->follow, asked->j.policy_version, asked->j.workload,
		                     targets[i], begin, worker->now_ns, until_ns);
	if (r < 0)
		count(worker->lane, COUNT_LIMIT_FOLLOW);
}

/* An answer is as secure as its weakest link. */
static enum dnssec_state weakest(const struct query *q)
{
	enum dnssec_state state = DNSSEC_SECURE;

	for (unsigned int i = 0; i < q->n_links; i++)
		state = MIN(state, (enum dnssec_state)q->links[i]->dnssec);
	return state;
}

/* SVCB and HTTPS (RFC 9460): a record whose target the policy denies would lead the client there,
 * or past us with its hints. It goes; the others stay. */

static bool target_allowed(struct query *q, const struct entry *entry, const struct entry_rr *rr)
{
	const uint8_t *wire = svcb_target(entry_octets(entry) + rr->rdata);
	uint8_t target[NAME_MAX_WIRE];
	struct verdict verdict;
	int len = name_wire_len(wire, NAME_MAX_WIRE);

	if (len < 0)
		return false;
	name_lower(target, wire, (size_t)len);
	if (target[0] == 0 || name_equal(target, entry->name)) /* "." is the owner itself */
		return true;
	/* The client will ask its addresses: one family allowed is reason enough to keep it. */
	if (!judge_target(q->worker, &q->asked.j, entry->name, target, TYPE_A, &verdict) &&
	    !judge_target(q->worker, &q->asked.j, entry->name, target, TYPE_AAAA, &verdict))
		return false;
	q->observed |= verdict.observed;
	return true;
}

/* Give in *ret_entry what is left of the last link, or NULL when nothing had to go. */
static int drop_targets(struct query *q, const struct entry *entry, struct entry **ret_entry)
{
	bool drop[LIMIT_RRSET_RECORDS] = { false }, any = false;
	const struct entry_rr *rrs = entry_rrs(entry);
	unsigned int n_targets = 0;

	*ret_entry = NULL;
	if (!is_svcb(entry->type) || entry->kind != ENTRY_DATA)
		return ERR_OK;
	for (unsigned int i = 0; i < MIN(entry->n_rrs, (unsigned int)LIMIT_RRSET_RECORDS); i++) {
		if (rrs[i].type != entry->type)
			continue;
		/* Beyond the limit nothing is judged, so nothing is given. */
		drop[i] = ++n_targets > LIMIT_TARGETS || !target_allowed(q, entry, &rrs[i]);
		any |= drop[i];
	}
	if (n_targets > LIMIT_TARGETS)
		count(q->worker->lane, COUNT_LIMIT_TARGETS);
	if (!any)
		return ERR_OK;
	*ret_entry = entry_without(entry, drop);
	return *ret_entry ? ERR_OK : ERR_NOMEM;
}

/* Rules expire by the wall clock: nothing that was concluded from them is kept past the next. */
static uint64_t valid_until(const struct worker *worker)
{
	uint64_t s = policy_next_expiry(&worker->policy->image, worker->wall_ns / NS_PER_S);

	if (s > UINT64_MAX / NS_PER_S)
		return UINT64_MAX;
	return s * NS_PER_S > worker->wall_ns ? worker->now_ns + (s * NS_PER_S - worker->wall_ns)
	                                      : worker->now_ns;
}

static enum query_step fail_form(struct query *q, int r)
{
	struct refusal refusal = { RCODE_SERVFAIL, EDE_OTHER, REASON_INTERNAL, "out of memory" };

	if (r == ERR_LIMIT) {
		refusal.reason = REASON_LIMIT;
		refusal.text = "limit: the answer is longer than a message";
	}
	return query_fail(q, &refusal);
}

static void left_unref_cleanup(struct entry **entry)
{
	entry_unref(*entry);
}

/* What is not secure comes with its reason, if there is an extended error for it (RFC 8914, section
 * 4): bogus data, which goes to CD=1 alone, always; the other when there is nothing else to tell.
 */
static void tell_why(const struct query *q, struct form *form)
{
	for (unsigned int i = 0; i < q->n_links; i++) {
		enum val_why why = (enum val_why)q->links[i]->why;
		uint16_t ede = val_why_ede(why);

		if (q->links[i]->dnssec != form->dnssec)
			continue;
		if (form->dnssec == DNSSEC_BOGUS)
			form->ede = ede ? ede : EDE_DNSSEC_BOGUS;
		else if (form->ede == RECORD_NO_EDE && ede)
			form->ede = ede;
		else
			continue;
		form->ede_text = val_why_str(why);
		return;
	}
}

static int make_form(struct query *q, const struct memo_key *key)
{
	struct entry *links[LIMIT_CHAIN];
	CLEANUP(left_unref) struct entry *left = NULL;
	struct worker *worker = q->worker;
	const struct form_spec spec = {
		.qname = q->question.name,
		.qtype = q->question.qtype,
		.dnssec_ok = q->question.dnssec_ok,
		.drop_v4_hints = key->flags & MEMO_NO_V4,
		.drop_v6_hints = key->flags & MEMO_NO_V6,
		.internal = q->internal[0],
		.stale_ttl_s = q->is_stale ? QUERY_STALE_TTL_S : 0,
		.now_ns = worker->now_ns,
		.link_internal = q->internal,
	};
	struct form *form;
	int r;

	memcpy(links, q->links, sizeof(links));
	r = drop_targets(q, links[q->n_links - 1], &left);
	if (r < 0)
		return r;
	if (left)
		links[q->n_links - 1] = left;
	r = form_make(links, q->n_links, &spec, ++worker->queries->last_uid, &form);
	if (r < 0)
		return r;
	if (left) {
		form->stripped = true;
		form->ede = EDE_FILTERED;
		form->ede_text = "a record was removed: the policy denies its target";
		if (left->kind == ENTRY_NODATA)
			form->reason = REASON_TARGET;
		count(worker->lane, COUNT_GUARD_TARGETS);
	}
	if (form->reason == REASON_NONE && q->observed)
		form->reason = REASON_OBSERVE;
	if (form->stripped && (spec.drop_v4_hints || spec.drop_v6_hints))
		count(worker->lane, COUNT_NO_SOURCE);
	else if (form->stripped && !left)
		count(worker->lane, COUNT_GUARD_STRIPPED);
	if (form->dnssec != DNSSEC_SECURE)
		tell_why(q, form);
	q->form = form;
	return ERR_OK;
}

/* RFC 8509, section 3.1: secure answers to A and AAAA, for whom the validator works. */
static bool is_sentinel(const struct query *q, enum dnssec_state state,
                        struct sentinel *ret_sentinel)
{
	const struct settings *settings = q->worker->settings;

	return settings->conf.dnssec_sentinel && settings->validation.anchors &&
	       state == DNSSEC_SECURE &&
	       (q->question.qtype == TYPE_A || q->question.qtype == TYPE_AAAA) &&
	       sentinel_parse(q->question.name, ret_sentinel);
}

static enum query_step refuse_sentinel(struct query *q, const struct sentinel *sentinel)
{
	char text[80];
	const struct refusal refusal = { RCODE_SERVFAIL, EDE_OTHER, REASON_DNSSEC, text };

	snprintf(text, sizeof(text), "root key sentinel (RFC 8509): %05u is %sa trust anchor here",
	         sentinel->tag, sentinel->is_ta ? "not " : "");
	return query_fail(q, &refusal);
}

enum query_step guard_step(struct query *q)
{
	struct sentinel sentinel;
	bool asks_for_key;
	struct worker *worker = q->worker;
	enum dnssec_state state;
	struct memo_key key;
	int r;

	if (q->explain)
		explain_answered(q->explain, weakest(q), q->links[q->n_links - 1]->rcode);
	state = weakest(q);
	if (q->prefetch) { /* the cache has it now: that was all, but where it leads on */
		if (q->n_before > 0 && !q->is_stale &&
		    (state == DNSSEC_SECURE || !q->asked.j.verdict.require_dnssec))
			prefetch_targets(worker, &q->asked, q->links[q->n_links - 1],
			                 (unsigned int)q->n_before + q->n_links);
		query_enter(q, QUERY_ENDED);
		return STEP_ENDED;
	}
	if (q->asked.j.verdict.require_dnssec && state != DNSSEC_SECURE) {
		respond_insecure(worker, &q->asked, state);
		query_enter(q, QUERY_ENDED);
		return STEP_ENDED;
	}
	if (guard_lacks_source(worker, &q->asked)) {
		respond_no_source(worker, &q->asked);
		query_enter(q, QUERY_ENDED);
		return STEP_ENDED;
	}
	asks_for_key = is_sentinel(q, state, &sentinel);
	if (asks_for_key && !q->question.cd &&
	    sentinel_refuses(&sentinel, worker->settings->validation.anchors))
		return refuse_sentinel(q, &sentinel);
	guard_memo_key(worker, &q->asked, q->memo_generation, &key);
	r = make_form(q, &key);
	if (r < 0)
		return fail_form(q, r);
	/* Stale data is not remembered as an answer: the next one asks for fresh data again. Nor is
	 * what CD decides. */
	if (!q->is_stale && !asks_for_key && q->form->dnssec != DNSSEC_BOGUS &&
	    q->form->expires_ns > worker->now_ns)
		memo_put(worker->memo, &key, q->form, valid_until(worker));
	query_enter(q, QUERY_OPENING);
	return STEP_NEXT;
}
