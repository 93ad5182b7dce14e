/* resolver/query_respond.c - replies by kind, each with its record. */
#include "query_respond.h"

#include <stdio.h>
#include <string.h>

#include "amplification.h"
#include "cookie.h"
#include "journal.h"
#include "reply.h"
#include "sallyport/clock.h"
#include "sallyport/counter.h"
#include "wire.h"
#include "worker.h"

#define NO_TTL_CAP UINT32_MAX

/* What goes into the record besides what struct asked holds. */
struct outcome {
	enum verdict_kind kind;
	enum reason reason;
	struct form *form;
	uint32_t ttl_s;
	uint16_t rcode, ede;
	uint16_t flags;
};

static void record(struct worker *worker, const struct asked *asked, const struct outcome *outcome)
{
	struct verdict verdict = asked->j.verdict;
	uint16_t flags = asked->flags | outcome->flags;

	verdict.kind = outcome->kind;
	if (verdict.observed)
		flags |= RECORD_OBSERVED;
	if (asked->q->cd)
		flags |= RECORD_CD;
	if (asked->q->dnssec_ok)
		flags |= RECORD_DO;
	if (outcome->form && !asked->fetched)
		flags |= RECORD_CACHED;
	switch (outcome->kind) {
	case VERDICT_ALLOW:
		count(worker->lane, COUNT_ALLOWED);
		break;
	case VERDICT_LOCAL:
		count(worker->lane, COUNT_LOCAL);
		break;
	case VERDICT_DENY:
	case VERDICT_N:
		count(worker->lane, COUNT_DENIED);
		break;
	}

	const struct journal_event event = {
		.client = asked->client,
		.q = asked->q,
		.verdict = &verdict,
		.reason = outcome->reason,
		.form = outcome->form,
		.id = asked->id,
		.read_wall_ns = asked->read_wall_ns,
		.read_ns = asked->read_ns,
		.policy_version = asked->j.policy_version,
		.workload = asked->j.workload,
		.ttl_s = outcome->ttl_s,
		.rcode = outcome->rcode,
		.ede = outcome->ede,
		.flags = flags,
		.dnssec = outcome->form ? outcome->form->dnssec : asked->dnssec,
	};
	journal_write(worker, &event);
}

static void unanswered(struct worker *worker, struct asked *asked, struct outcome *outcome)
{
	outcome->form = NULL;
	outcome->flags |= RECORD_UNANSWERED;
	record(worker, asked, outcome);
	client_drop(worker, asked->client);
}

static void deliver(struct worker *worker, struct asked *asked, struct outcome *outcome,
                    struct reply_result result)
{
	if (result.len == 0) { /* the client takes less than a header and its own question */
		unanswered(worker, asked, outcome);
		return;
	}
	if (result.truncated) {
		outcome->flags |= RECORD_TRUNCATED;
		outcome->form = NULL; /* it carries no records */
		outcome->ttl_s = 0;
		count(worker->lane, COUNT_TRUNCATED);
	}
	if (!asked->proven)
		amplification_charge(worker->amplification, asked->client->addr, result.len,
		                     asked->query_len, worker->settings->conf.amplification,
		                     worker->now_ns);
	record(worker, asked, outcome);
	client_answer(worker, asked->client, result.len); /* counts what went wrong itself */
}

/* The reply's frame. @cookie is filled if the client sent one (RFC 7873, section 5.2). */
static struct reply frame(struct worker *worker, const struct asked *asked,
                          uint8_t cookie[static COOKIE_SERVER_LEN])
{
	const struct question *q = asked->q;
	const uint8_t *secret = worker->settings->conf.cookie_secret;
	const uint32_t now_s = (uint32_t)(worker->wall_ns / NS_PER_S);
	struct reply reply = {
		.ede = RECORD_NO_EDE,
		.ra = true,
		.udp_bytes = (uint16_t)worker->settings->conf.udp_bytes,
		.limit = asked->limit,
	};

	if (q->cookie) {
		/* Cookies are not demanded, so a wrong one gets a right one and an answer. */
		if (q->cookie_server_len && !cookie_valid(secret, q, asked->client->addr, now_s))
			count(worker->lane, COUNT_BADCOOKIE);
		cookie_make(secret, q->cookie_client, asked->client->addr, now_s, cookie);
		reply.server_cookie = cookie;
	}
	return reply;
}

/* Why, for people who see it with dig. */

static void text_of_verdict(struct worker *worker, const struct asked *asked,
                            const struct verdict *verdict, char *out, size_t cap)
{
	const struct policy_image *image = &worker->policy->image;
	char name[POLICY_TEXT_LEN] = "", type[NAME_TYPE_TEXT_LEN];

	out[0] = '\0';
	switch (verdict->reason) {
	case REASON_RULE:
		policy_rule_text(image, verdict->rule, out, cap);
		break;
	case REASON_TYPE:
		policy_rule_text(image, verdict->rule, name, sizeof(name));
		name_type_text(asked->q->qtype, type);
		snprintf(out, cap, "%.150s does not name type %s", name, type);
		break;
	case REASON_EXPIRED:
		policy_rule_text(image, verdict->rule, name, sizeof(name));
		snprintf(out, cap, "%.150s has expired", name);
		break;
	case REASON_FEED:
		policy_feed_text(image, verdict->feed, name, sizeof(name));
		snprintf(out, cap, "feed %.150s lists it", name);
		break;
	case REASON_NO_RULE:
		policy_profile_text(image, asked->j.workload, name, sizeof(name));
		snprintf(out, cap, "no rule of profile %.150s allows it", name);
		break;
	case REASON_SPECIAL:
		snprintf(out, cap, "a special-use name");
		break;
	case REASON_NONE:
	case REASON_NO_WORKLOAD:
	case REASON_NO_POLICY:
	case REASON_FOLLOW:
	case REASON_ANCESTOR:
	case REASON_OBSERVE:
	case REASON_ANY:
	case REASON_TRANSFER:
	case REASON_META:
	case REASON_TARGET:
	case REASON_REBINDING:
	case REASON_DNSSEC:
	case REASON_BOGUS:
	case REASON_SOURCE:
	case REASON_LIMIT:
	case REASON_PINHOLE:
	case REASON_UPSTREAM:
	case REASON_MALFORMED:
	case REASON_INTERNAL:
	case REASON_N:
		snprintf(out, cap, "%s", reason_str(verdict->reason));
		break;
	}
}

static uint16_t rcode_of(enum policy_denied denied)
{
	switch (denied) {
	case POLICY_DENIED_NXDOMAIN:
		return RCODE_NXDOMAIN;
	case POLICY_DENIED_NODATA:
		return RCODE_NOERROR;
	case POLICY_DENIED_REFUSED:
		break;
	}
	return RCODE_REFUSED;
}

static void deny(struct worker *worker, struct asked *asked, enum policy_denied denied,
                 enum reason reason, const char *text)
{
	struct outcome outcome = { .kind = VERDICT_DENY,
		                   .reason = reason,
		                   .rcode = rcode_of(denied),
		                   .ede = EDE_BLOCKED };
	uint8_t cookie[COOKIE_SERVER_LEN];
	struct reply reply = frame(worker, asked, cookie);
	size_t cap;
	uint8_t *out = client_buffer(worker, asked->client, &cap);

	if (!out) {
		unanswered(worker, asked, &outcome);
		return;
	}
	reply.rcode = outcome.rcode;
	reply.ede = outcome.ede;
	reply.ede_text = text;
	deliver(worker, asked, &outcome,
	        denied == POLICY_DENIED_REFUSED ? reply_plain(out, cap, asked->q, &reply)
	                                        : reply_denial(out, cap, asked->q, &reply));
}

/* A denial about a name that is itself allowed: NXDOMAIN would deny what may lie beside and below
 * (RFC 8020). */
static enum policy_denied denied_beside(const struct worker *worker, const struct asked *asked)
{
	return policy_denied(&worker->policy->image, asked->j.workload) == POLICY_DENIED_REFUSED
	           ? POLICY_DENIED_REFUSED
	           : POLICY_DENIED_NODATA;
}

void respond_target(struct worker *worker, struct asked *asked, const uint8_t *target,
                    const struct verdict *verdict)
{
	char name[NAME_TEXT_LEN], why[POLICY_TEXT_LEN], text[2 * REPLY_EDE_TEXT] = "";

	count(worker->lane, COUNT_GUARD_TARGETS);
	if (asked->q->edns) {
		text_of_verdict(worker, asked, verdict, why, sizeof(why));
		name_to_text(target, name);
		snprintf(text, sizeof(text), "target %.100s: %.150s", name, why);
	}
	/* The record names what denied the target. */
	asked->j.verdict.rule = verdict->rule;
	asked->j.verdict.feed = verdict->feed;
	asked->j.verdict.observed = false;
	deny(worker, asked, denied_beside(worker, asked), REASON_TARGET, text);
}

void respond_insecure(struct worker *worker, struct asked *asked, enum dnssec_state state)
{
	char rule[POLICY_TEXT_LEN] = "", text[2 * REPLY_EDE_TEXT] = "";

	asked->dnssec = (uint8_t)state;
	if (asked->q->edns) {
		policy_rule_text(&worker->policy->image, asked->j.verdict.rule, rule, sizeof(rule));
		snprintf(text, sizeof(text), "%.150s requires DNSSEC, the answer is %s", rule,
		         dnssec_state_str(state));
	}
	deny(worker, asked, denied_beside(worker, asked), REASON_DNSSEC, text);
}

static struct refusal refusal_of(const struct asked *asked)
{
	struct refusal refusal = { .rcode = RCODE_REFUSED,
		                   .ede = RECORD_NO_EDE,
		                   .reason = asked->j.verdict.reason };

	if (refusal.reason == REASON_NO_POLICY) {
		refusal.ede = EDE_NOT_READY;
		refusal.text = "no policy is loaded yet";
	} else if (refusal.reason == REASON_NO_WORKLOAD) {
		refusal.ede = EDE_PROHIBITED;
		refusal.text = "your address belongs to no workload";
	} else if (!asked->q->rd) {
		refusal.ede = EDE_NOT_AUTHORITATIVE; /* RFC 8914, section 4.21 */
	}
	return refusal;
}

void respond_judged(struct worker *worker, struct asked *asked)
{
	const struct verdict *verdict = &asked->j.verdict;
	struct outcome outcome = { .kind = verdict->kind,
		                   .reason = verdict->reason,
		                   .ede = RECORD_NO_EDE };
	char text[POLICY_TEXT_LEN];
	uint8_t cookie[COOKIE_SERVER_LEN];
	struct refusal refusal;
	struct reply reply;
	size_t cap;
	uint8_t *out;

	switch (asked->j.action) {
	case JUDGE_DENY:
	case JUDGE_RESOLVE: /* never: whoever resolves answers otherwise. Denied, to be safe */
		if (asked->q->edns)
			text_of_verdict(worker, asked, verdict, text, sizeof(text));
		else
			text[0] = '\0';
		deny(worker, asked, verdict->denied, verdict->reason, text);
		return;
	case JUDGE_REFUSE:
		refusal = refusal_of(asked);
		respond_refusal(worker, asked, &refusal);
		return;
	case JUDGE_NXDOMAIN:
		outcome.rcode = RCODE_NXDOMAIN;
		break;
	case JUDGE_HINFO:
	case JUDGE_LOCALHOST:
	case JUDGE_IPV4ONLY:
	case JUDGE_NODATA:
		outcome.rcode = RCODE_NOERROR;
		break;
	}
	out = client_buffer(worker, asked->client, &cap);
	if (!out) {
		unanswered(worker, asked, &outcome);
		return;
	}
	reply = frame(worker, asked, cookie);
	reply.rcode = outcome.rcode;
	if (asked->j.action == JUDGE_HINFO)
		deliver(worker, asked, &outcome, reply_any(out, cap, asked->q, &reply));
	else if (asked->j.action == JUDGE_LOCALHOST)
		deliver(worker, asked, &outcome, reply_localhost(out, cap, asked->q, &reply));
	else if (asked->j.action == JUDGE_IPV4ONLY)
		deliver(worker, asked, &outcome, reply_ipv4only(out, cap, asked->q, &reply));
	else
		deliver(worker, asked, &outcome, reply_denial(out, cap, asked->q, &reply));
}

static struct reply frame_of_form(struct worker *worker, const struct asked *asked,
                                  const struct form *form, uint8_t cookie[static COOKIE_SERVER_LEN])
{
	struct reply reply = frame(worker, asked, cookie);

	reply.rcode = form->rcode;
	reply.ede = form->ede;
	reply.ede_text = form->ede_text;
	reply.ad = form->dnssec == DNSSEC_SECURE; /* RFC 6840, section 5.8 */
	return reply;
}

/* A separate function for its stack: it is only needed when something waits. */
__attribute__((noinline)) bool respond_truncates(struct worker *worker, const struct asked *asked,
                                                 const struct form *form)
{
	uint8_t out[LIMIT_MSG_BYTES], cookie[COOKIE_SERVER_LEN];
	struct reply reply = frame_of_form(worker, asked, form, cookie);
	struct reply_result result =
	    reply_form(out, sizeof(out), asked->q, &reply, form, worker->now_ns, NO_TTL_CAP);

	return result.truncated || result.len == 0;
}

void respond_form(struct worker *worker, struct asked *asked, struct form *form, uint32_t ttl_cap_s)
{
	const uint64_t age_s = (worker->now_ns - form->made_ns) / NS_PER_S;
	const uint32_t left_s = form->min_ttl_s > age_s ? form->min_ttl_s - (uint32_t)age_s : 0;
	struct outcome outcome = { .kind = VERDICT_ALLOW,
		                   .reason = asked->j.verdict.reason,
		                   .form = form,
		                   .ttl_s = MIN(left_s, ttl_cap_s),
		                   .rcode = form->rcode,
		                   .ede = form->ede };
	uint8_t cookie[COOKIE_SERVER_LEN];
	struct reply reply;
	size_t cap;
	uint8_t *out;

	if (form->stale) {
		outcome.flags |= RECORD_STALE;
		count(worker->lane, COUNT_CACHE_STALE);
	}
	if (form->synthesized)
		outcome.flags |= RECORD_SYNTHESIZED;
	if (form->stripped)
		outcome.flags |= RECORD_STRIPPED;
	if (form->reason == REASON_OBSERVE)
		outcome.flags |= RECORD_OBSERVED;
	if (form->reason != REASON_NONE)
		outcome.reason = form->reason;
	if (form->reason == REASON_REBINDING || form->reason == REASON_TARGET)
		outcome.kind = VERDICT_DENY;

	out = client_buffer(worker, asked->client, &cap);
	if (!out) {
		unanswered(worker, asked, &outcome);
		return;
	}
	count(worker->lane, asked->fetched ? COUNT_CACHE_MISSES : COUNT_CACHE_HITS);
	reply = frame_of_form(worker, asked, form, cookie);
	deliver(worker, asked, &outcome,
	        reply_form(out, cap, asked->q, &reply, form, worker->now_ns, ttl_cap_s));
}

void respond_no_source(struct worker *worker, struct asked *asked)
{
	struct outcome outcome = { .kind = VERDICT_ALLOW,
		                   .reason = REASON_SOURCE,
		                   .rcode = RCODE_NOERROR,
		                   .ede = EDE_FILTERED };
	char workload[POLICY_TEXT_LEN] = "", text[2 * REPLY_EDE_TEXT] = "";
	uint8_t cookie[COOKIE_SERVER_LEN];
	struct reply reply = frame(worker, asked, cookie);
	size_t cap;
	uint8_t *out = client_buffer(worker, asked->client, &cap);

	count(worker->lane, COUNT_NO_SOURCE);
	if (!out) {
		unanswered(worker, asked, &outcome);
		return;
	}
	if (asked->q->edns) {
		policy_workload_text(&worker->policy->image, asked->j.workload, workload,
		                     sizeof(workload));
		snprintf(text, sizeof(text),
		         "workload %.64s lists no single %s address to open for", workload,
		         addr_is_v4(asked->client->addr) ? "IPv6" : "IPv4");
	}
	reply.rcode = outcome.rcode;
	reply.ede = outcome.ede;
	reply.ede_text = text;
	deliver(worker, asked, &outcome, reply_denial(out, cap, asked->q, &reply));
}

void respond_refusal(struct worker *worker, struct asked *asked, const struct refusal *refusal)
{
	struct outcome outcome = { .kind = asked->j.verdict.kind,
		                   .reason = refusal->reason,
		                   .rcode = refusal->rcode,
		                   .ede = refusal->ede };
	uint8_t cookie[COOKIE_SERVER_LEN];
	struct reply reply = frame(worker, asked, cookie);
	size_t cap;
	uint8_t *out = client_buffer(worker, asked->client, &cap);

	if (!out) {
		unanswered(worker, asked, &outcome);
		return;
	}
	reply.rcode = refusal->rcode;
	reply.ede = refusal->ede;
	reply.ede_text = refusal->text;
	deliver(worker, asked, &outcome, reply_plain(out, cap, asked->q, &reply));
}

void respond_header_only(struct worker *worker, struct asked *asked, uint16_t rcode)
{
	struct outcome outcome = { .reason = REASON_MALFORMED,
		                   .rcode = rcode,
		                   .ede = RECORD_NO_EDE };
	size_t cap;
	uint8_t *out = client_buffer(worker, asked->client, &cap);

	if (!out) {
		unanswered(worker, asked, &outcome);
		return;
	}
	deliver(worker, asked, &outcome, reply_header_only(out, cap, asked->q, rcode));
}

void respond_nothing(struct worker *worker, struct asked *asked, enum reason reason)
{
	struct outcome outcome = { .kind = asked->j.verdict.kind,
		                   .reason = reason,
		                   .ede = RECORD_NO_EDE };

	unanswered(worker, asked, &outcome);
}
