/* query_validate.c - each link of an answer goes through the validator (promise P3).
 *
 * A verdict is kept with the link's entry, so that an answer from the cache is judged once. The
 * questions that the validator has (DS and DNSKEY of the link's name and of names above it) go
 * through cache and upstreams like all others, and leave only while the query itself may (promise
 * P2). What is bogus is asked for again, at another server, then with CD=0, before it is given up.
 * Until then nobody else is told: who asks the same meanwhile goes the same way. Then it is a
 * failure for a while (RFC 9520), and opens nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fitness.h"
#include "proofs.h"
#include "query_guard.h"
#include "query_wait.h"
#include "reply.h"
#include "sallyport/clock.h"
#include "sallyport/counter.h"
#include "sallyport/err.h"
#include "val_job.h"
#include "wire.h"
#include "worker.h"

void validate_forget(struct query *q)
{
	val_job_free(TAKE(q->job));
	val_message_free(TAKE(q->records));
	entry_unref(TAKE(q->need_entry));
}

void validate_stop(struct query *q)
{
	resolve_stop(q);
	if (q->gave_way)
		fair_queue_remove(&q->worker->queries->ways, q->way_class, &q->way);
	q->gave_way = false;
}

/* An entry's records as the validator wants them, with what is left of their TTLs; their octets
 * stay the entry's. */
static struct val_message *message_of(const struct entry *entry, uint64_t now_ns)
{
	uint64_t age_s = now_ns > entry->made_ns ? (now_ns - entry->made_ns) / NS_PER_S : 0;
	CLEANUP(free) struct val_row *rows = calloc(entry->n_rrs + 1u, sizeof(*rows));
	const struct entry_rr *rrs = entry_rrs(entry);
	const uint8_t *octets = entry_octets(entry);
	struct val_message *message = NULL;

	if (!rows)
		return NULL;
	for (unsigned int i = 0; i < entry->n_rrs; i++) {
		rows[i] =
		    (struct val_row){ .owner = rrs[i].owner ? octets + rrs[i].owner : entry->name,
			              .rdata = octets + rrs[i].rdata,
			              .ttl = age_s < rrs[i].ttl ? rrs[i].ttl - (uint32_t)age_s : 0,
			              .rdata_len = rrs[i].rdata_len,
			              .type = rrs[i].type,
			              .section = rrs[i].section };
	}
	if (val_message_make(rows, entry->n_rrs, entry->rcode, &message) < 0)
		return NULL;
	return message;
}

static enum val_kind kind_of(const struct entry *entry)
{
	switch ((enum entry_kind)entry->kind) {
	case ENTRY_ALIAS:
		return VAL_ALIAS;
	case ENTRY_NODATA:
		return VAL_NODATA;
	case ENTRY_NXDOMAIN:
		return VAL_NXDOMAIN;
	case ENTRY_DATA:
	case ENTRY_YXDOMAIN:
	case ENTRY_FAILURE:
		break;
	}
	return VAL_DATA;
}

/* What proves that a name or type is not there may prove the same of others: @denial, out of
 * @entry, with the zone's SOA. */
static void learn(const struct query *q, const struct entry *entry, const struct val_denial *denial,
                  const struct val_set *soa, uint32_t ttl_s)
{
	struct worker *worker = q->worker;
	uint64_t until_ns = MIN(entry->expires_ns, worker->now_ns + ttl_s * NS_PER_S);

	if (worker->settings->proofs)
		proofs_learn(worker->settings->proofs, entry, denial, soa, until_ns, worker->now_ns,
		             worker->lane);
}

/* On the way: a DS that is not there. */
static void on_denied(void *ctx, const struct val_denial *denial, const struct val_set *soa,
                      uint32_t ttl_s)
{
	const struct query *q = ctx;

	learn(q, q->need_entry, denial, soa, ttl_s);
}

/* The answer itself. */
static void learn_answer(const struct query *q, const struct entry *entry,
                         const struct val_result *result)
{
	const struct val_denial *denial = val_job_denial(q->job);
	const struct val_set *soa;

	if (!denial)
		return;
	soa = val_message_find(q->records, VAL_AUTHORITY, denial->zone, TYPE_SOA);
	if (soa)
		learn(q, entry, denial, soa, result->ttl_s);
}

/* What is known of zones is the workers' common knowledge; an explanation begins with nothing, and
 * nothing is learnt from it. */
static struct val_config config_of(struct query *q)
{
	struct settings *settings = q->worker->settings;
	struct val_config config = settings->validation;

	if (q->explain)
		return *explain_config(q->explain, settings);
	if (settings->proofs) {
		config.denied = on_denied;
		config.ctx = q;
	}
	return config;
}

static struct val_now now_of(const struct worker *worker)
{
	return (struct val_now){ .wall_s = worker->wall_ns / NS_PER_S, .mono_ns = worker->now_ns };
}

static enum query_step begin(struct query *q, const struct entry *entry)
{
	const struct val_config config = config_of(q);
	struct val_subject subject = { .name = entry->name,
		                       .type = entry->type,
		                       .kind = kind_of(entry),
		                       .target = entry->target };
	const struct entry_rr *rrs = entry_rrs(entry);

	/* A CNAME that a DNAME makes is signed by the DNAME alone, also where it was asked for. */
	if (entry->kind == ENTRY_DATA && entry->type == TYPE_CNAME && rrs[0].type == TYPE_DNAME) {
		subject.kind = VAL_ALIAS;
		subject.target = entry_octets(entry) + rrs[entry->n_rrs - 1].rdata;
	}
	if (q->round == FETCH_FIRST)
		q->whole = val_budget_is_whole(&q->budget);
	q->records = message_of(entry, q->worker->now_ns);
	subject.message = q->records;
	/* What a DNAME makes of a name may be too long: then the DNAME itself is the answer. */
	if (entry->kind == ENTRY_YXDOMAIN && entry->n_rrs > 0 && q->records) {
		subject.name = q->records->sets[0].owner;
		subject.type = TYPE_DNAME;
	}
	if (q->records)
		q->job = val_job_new(&config, &subject, &q->budget);
	if (q->explain)
		explain_link(q->explain, entry, q->round + 1u);
	if (q->job)
		return STEP_NEXT;

	const struct refusal no_memory = { RCODE_SERVFAIL, EDE_OTHER, REASON_INTERNAL,
		                           "out of memory" };

	return query_fail(q, &no_memory);
}

/* Sub-questions. */

/* The job borrows from @entry until it needs something else. */
static void give(struct query *q, struct entry *entry)
{
	struct val_message *message = NULL;

	entry_unref(TAKE(q->need_entry));
	if (entry && entry->kind != ENTRY_FAILURE) {
		q->need_entry = entry_ref(entry);
		message = message_of(entry, q->worker->now_ns);
		q->need_bytes = entry->bytes + (message ? message->bytes : 0);
	}
	val_job_give(q->job, message);
}

static void on_fetched(struct fetch_waiter *waiter, enum fetch_status status,
                       struct entry *const *entries, size_t n_entries)
{
	struct query *q = (struct query *)(void *)((char *)waiter - offsetof(struct query, waiter));

	q->fetching = false;
	switch (status) {
	case FETCH_OK:
		give(q, n_entries > 0 ? entries[0] : NULL);
		break;
	case FETCH_FAILED:
	case FETCH_OVERSIZE:
		give(q, NULL);
		break;
	case FETCH_LIMIT:
		resolve_no_room(q);
		return;
	case FETCH_DENIED:
		resolve_denied(q);
		return;
	}
	query_run(q);
}

/* Get what the validator needs: STEP_NEXT when it has it, STEP_WAIT while it is fetched. */
static enum query_step ask(struct query *q)
{
	struct worker *worker = q->worker;
	const struct val_need *need = val_job_need(q->job);
	uint16_t zone = query_zone(q, need->name, need->type);
	bool again = q->round != FETCH_FIRST;
	struct entry *entry = NULL;

	if (!again && cache_get(worker->cache, need->name, need->type, worker->now_ns, &entry) ==
	                  CACHE_FRESH) {
		give(q, entry);
		entry_unref(entry);
		return STEP_NEXT;
	}
	entry_unref(entry); /* a stale key is no key */
	q->asked.fetched = true;
	q->waiter.may_send = resolve_may_send;
	q->waiter.done = on_fetched;
	q->waiter.class = q->asked.j.workload;
	if (zone == ZONE_NONE) {
		give(q, NULL);
		return STEP_NEXT;
	}
	/* That we are busy is no failure of the zone's, so it is none that others should know of.
	 */
	if (!query_weigh(q, SIZE_MAX))
		return resolve_too_heavy(q);
	if (fetch_join_round(worker, need->name, need->type, zone, q->round, q->avoid,
	                     q->avoid_port, &q->waiter) < 0)
		return resolve_no_room(q);
	q->fetching = true;
	return STEP_WAIT;
}

/* Verdicts. */

/* Each reason has its counter: one that has none does not compile. */
static void count_why(const struct query *q, enum val_why why)
{
	enum { COUNT_DNSSEC_WHY_NONE = COUNT_N };
#define WHY_COUNTER(sym, ede, text) [VAL_WHY_##sym] = COUNT_DNSSEC_WHY_##sym,
	static const uint16_t counters[VAL_WHY_N] = { VAL_WHYS(WHY_COUNTER) };

	if (why != VAL_WHY_NONE)
		count(q->worker->lane, (enum counter)counters[why]);
}

static uint16_t ede_of(enum val_why why)
{
	uint16_t ede = val_why_ede(why);

	return ede ? ede : EDE_DNSSEC_BOGUS;
}

/* What a server that strips makes of an answer: with the signatures the proofs go. */
static bool is_lack(uint16_t ede)
{
	return ede == EDE_DNSKEY_MISSING || ede == EDE_RRSIGS_MISSING || ede == EDE_NSEC_MISSING;
}

/* Do signatures or keys lack because no server of the zone, or of the zone above all, gives any? */
static bool lacks_fit_servers(const struct worker *worker, const uint8_t *owner,
                              char ret_text[static FITNESS_TEXT_LEN])
{
	static const uint8_t root[] = { 0 };
	const struct zones *zones = worker->settings->zones;

	return fitness_culprit(worker, zones_find(zones, owner), ret_text) != UPSTREAM_UNKNOWN ||
	       fitness_culprit(worker, zones_find(zones, root), ret_text) != UPSTREAM_UNKNOWN;
}

/* "www.example. A, key tag 12345: the signature does not verify" */
static void failure_text(const uint8_t *name, const struct val_failure *failure, char *out,
                         size_t size)
{
	unsigned int n = name_labels(name);
	char owner[NAME_TEXT_LEN], type[NAME_TYPE_TEXT_LEN], tag[24] = "";

	for (; n > failure->labels; n--)
		name += 1u + *name;
	name_to_text(name, owner);
	name_type_text(failure->type, type);
	if (failure->tag != 0)
		snprintf(tag, sizeof(tag), ", key tag %u", failure->tag);
	snprintf(out, size, "%.60s %s%s: %s", owner, type, tag,
	         val_why_str((enum val_why)failure->why));
}

static enum query_step fail_bogus(struct query *q, const uint8_t *name,
                                  const struct val_failure *failure)
{
	char text[2 * REPLY_EDE_TEXT], culprit[FITNESS_TEXT_LEN];
	const struct refusal refusal = { RCODE_SERVFAIL, ede_of((enum val_why)failure->why),
		                         REASON_BOGUS, text };
	size_t len;

	failure_text(name, failure, text, sizeof(text));
	len = strlen(text);
	if (is_lack(refusal.ede) && lacks_fit_servers(q->worker, name, culprit))
		snprintf(text + len, sizeof(text) - len, "; %s", culprit);
	q->asked.dnssec = DNSSEC_BOGUS;
	return query_fail(q, &refusal);
}

bool validate_is_retried(const struct query *q)
{
	return q->round != FETCH_FIRST && q->n_links == q->n_validated;
}

bool validate_has_failed(struct query *q, const uint8_t *name, enum query_step *ret_step)
{
	struct worker *worker = q->worker;
	struct val_failure failure;

	if (!worker->settings->failures || q->explain || (q->question.cd && !q->prefetch) ||
	    !val_failures_get(worker->settings->failures, name, q->question.qtype, worker->now_ns,
	                      &failure))
		return false;
	*ret_step = fail_bogus(q, name, &failure);
	return true;
}

static void next_link(struct query *q)
{
	q->n_validated++;
	q->round = FETCH_FIRST;
}

/* A link is bogus, and its entry says so. Who has set CD wants to see it all the same (RFC 4035,
 * section 3.2.2). */
static enum query_step settle_bogus(struct query *q, const struct val_failure *failure)
{
	if (!q->question.cd || q->prefetch)
		return fail_bogus(q, q->links[q->n_validated]->name, failure);
	next_link(q);
	return STEP_NEXT;
}

/* A link that was found bogus before. That it failed is certain, its row may be gone. */
static enum query_step settle_known(struct query *q, const struct entry *entry)
{
	struct val_failure failure = { .why = entry->why,
		                       .labels = (uint8_t)name_labels(entry->name),
		                       .type = entry->type };

	(void)val_failures_get(q->worker->settings->failures, entry->name, entry->type,
	                       q->worker->now_ns, &failure);
	return settle_bogus(q, &failure);
}

/* RFC 9520: nobody asks for it again at once, nor is it validated; for as long as a zone's failure
 * that it follows from is held already, or, when @known_until_ns is 0, for a time of its own. Who
 * only explains why something fails does not make it fail for others. */
static void keep_failure(struct query *q, struct entry *entry, struct val_failure *failure,
                         uint64_t known_until_ns)
{
	struct worker *worker = q->worker;

	if (q->explain)
		return;
	if (known_until_ns != 0)
		val_failures_follow(worker->settings->failures, entry->name, entry->type,
		                    known_until_ns, failure);
	else
		val_failures_put(worker->settings->failures, entry->name, entry->type,
		                 worker->now_ns, failure);
	entry_set_validated(entry, DNSSEC_BOGUS, failure->why, failure->until_ns, 0);
}

/* Of the answer in the round before. */
static void keep_retried(struct query *q)
{
	count(q->worker->lane, COUNT_DNSSEC_BOGUS);
	count_why(q, (enum val_why)q->failure.why);
	keep_failure(q, q->doubted, &q->failure, 0);
}

enum query_step validate_give_up(struct query *q)
{
	keep_retried(q);
	if (!q->question.cd || q->prefetch)
		return fail_bogus(q, q->doubted->name, &q->failure);
	next_link(q);
	return STEP_NEXT;
}

void validate_expire_retried(struct query *q)
{
	keep_retried(q);
	fail_bogus(q, q->doubted->name, &q->failure);
}

void validate_expire(struct query *q)
{
	struct entry *entry;
	struct val_failure failure;

	validate_forget(q);
	if (q->n_validated >= q->n_links)
		return;
	entry = q->links[q->n_validated];
	failure = (struct val_failure){ .why = VAL_WHY_UNREACHABLE,
		                        .labels = (uint8_t)name_labels(entry->name),
		                        .type = entry->type };
	keep_failure(q, entry, q->round == FETCH_FIRST ? &failure : &q->failure, 0);
}

/* This query will not find anything better: what of it is to be kept, and of what? */
static void keep_bogus(struct query *q, struct entry *entry, uint64_t known_until_ns)
{
	struct worker *worker = q->worker;
	struct val_failure failure = q->failure;

	if (q->explain)
		return;
	if (!q->budget.spent || q->whole) {
		keep_failure(q, entry, &failure, known_until_ns);
		return;
	}
	/* Links before this one have spent what it would have needed: it is the question that asks
	 * for too much, not this name. */
	failure.labels = (uint8_t)name_labels(q->question.name);
	val_failures_put(worker->settings->failures, q->question.name, q->question.qtype,
	                 worker->now_ns, &failure);
	/* For who gets it all the same it is bogus, but for this moment only: whoever else has the
	 * entry judges it by himself. */
	if (q->question.cd)
		entry_set_validated(entry, DNSSEC_BOGUS, failure.why, worker->now_ns, 0);
}

static enum query_step conclude_bogus(struct query *q, struct entry *entry,
                                      const struct val_result *result)
{
	struct worker *worker = q->worker;
	const struct val_now now = now_of(worker);
	const enum val_why why = result->why;
	const uint64_t known_until_ns = result->held_ns;
	enum query_step step;

	q->failure = (struct val_failure){ .why = (uint8_t)why,
		                           .labels = (uint8_t)name_labels(result->name),
		                           .type = result->type,
		                           .tag = result->tag };
	if (is_lack(ede_of(why))) {
		fitness_suspect(worker, entry->zone);
		fitness_suspect(worker, query_zone(q, result->name, result->type));
	}
	/* What was known has been asked for again by whoever found out. */
	if (why != VAL_WHY_LIMIT && known_until_ns == 0 && q->round + 1 < FETCH_ROUNDS) {
		count(worker->lane, COUNT_DNSSEC_RETRIES);
		q->round++;
		val_job_doubt(q->job, &now);
		validate_forget(q);
		step = resolve_again(q, q->n_validated);
		if (step != STEP_NEXT)
			return step; /* else this is all that can be had */
	} else {
		val_job_hold(q->job);
		validate_forget(q);
	}
	if (why == VAL_WHY_LIMIT)
		count(worker->lane, COUNT_LIMIT_DNSSEC);
	count(worker->lane, COUNT_DNSSEC_BOGUS);
	count_why(q, why);
	keep_bogus(q, entry, known_until_ns);
	return settle_bogus(q, &q->failure);
}

/* What a negative trust anchor excuses is judged again when it has ended, should it be served stale
 * by then, too (RFC 7646, section 2). */
static uint64_t nta_until_ns(const struct query *q, const struct entry *entry)
{
	const struct worker *worker = q->worker;
	struct val_now now = now_of(worker);
	const uint8_t *name = entry->name;
	const struct val_anchor *nta;

	if (entry->type == TYPE_DS && name[0] != 0) /* the parent's */
		name += 1 + name[0];
	nta = val_anchors_above(worker->settings->validation.anchors, name, now.wall_s);
	if (!nta || !nta->negative) /* it has ended this moment */
		return worker->now_ns;
	if (nta->until_s == 0)
		return UINT64_MAX;
	return worker->now_ns + nta->until_s * NS_PER_S - worker->wall_ns;
}

static void conclude(struct query *q, struct entry *entry, enum dnssec_state state,
                     enum counter counter, const struct val_result *result)
{
	const uint64_t now_ns = q->worker->now_ns;
	uint64_t until_ns = entry->expires_ns, signed_until_ns = UINT64_MAX;

	if (state == DNSSEC_SECURE) {
		until_ns = MIN(until_ns, now_ns + result->ttl_s * NS_PER_S);
		signed_until_ns = now_ns + result->life_s * NS_PER_S;
	}
	if (result->why == VAL_WHY_NTA) {
		signed_until_ns = nta_until_ns(q, entry);
		until_ns = MIN(until_ns, signed_until_ns);
	}
	entry_set_validated(entry, state, result->why, until_ns, signed_until_ns);
	val_failures_forget(q->worker->settings->failures, entry->name, entry->type);
	count(q->worker->lane, counter);
	count_why(q, result->why);
	next_link(q);
	validate_forget(q);
}

/* Each limit that was met, by its name, once a job. */
static void count_spent(struct query *q)
{
#define LIMIT_COUNTER(sym) COUNT_LIMIT_VAL_##sym,
	static const enum counter counters[] = { VAL_LIMITS(LIMIT_COUNTER) };

	count_add(q->worker->lane, COUNT_DNSSEC_CHECKS, q->checks - q->budget.checks);
	q->checks = q->budget.checks;
	for (unsigned int i = 0; i < VAL_LIMIT_N; i++) {
		if (q->budget.met & (UINT32_C(1) << i))
			count(q->worker->lane, counters[i]);
	}
	q->budget.met = 0;
}

static enum query_step conclude_job(struct query *q, struct entry *entry)
{
	const struct val_result *result = val_job_result(q->job);

	count_spent(q);
	if (q->explain)
		explain_verdict(q->explain, result, entry);
	switch (result->state) {
	case VAL_BOGUS:
		return conclude_bogus(q, entry, result);
	case VAL_INDETERMINATE:
		conclude(q, entry, DNSSEC_INDETERMINATE, COUNT_DNSSEC_INDETERMINATE, result);
		break;
	case VAL_INSECURE:
		conclude(q, entry, DNSSEC_INSECURE, COUNT_DNSSEC_INSECURE, result);
		break;
	case VAL_SECURE:
		learn_answer(q, entry, result);
		conclude(q, entry, DNSSEC_SECURE, COUNT_DNSSEC_SECURE, result);
		break;
	}
	return STEP_NEXT;
}

/* Others first: a signature costs as much as ten ordinary answers. One query goes on in a turn of
 * the loop, and workloads take turns: who asks for much that is costly waits for himself. */

bool validate_turn(struct worker *worker)
{
	struct fair_item *way = fair_queue_take(&worker->queries->ways);
	struct query *q;

	if (!way)
		return false;
	q = (struct query *)(void *)((char *)way - offsetof(struct query, way));
	q->gave_way = false;
	val_budget_turn(&q->budget);
	query_run(q);
	return true;
}

static void on_turn(uv_idle_t *turns)
{
	struct queries *queries = turns->data;

	worker_touch_clock(queries->worker);
	if (!validate_turn(queries->worker))
		uv_idle_stop(turns);
}

static enum query_step give_way(struct query *q)
{
	struct queries *queries = q->worker->queries;

	if (!query_weigh(q, SIZE_MAX))
		return resolve_too_heavy(q);
	q->gave_way = true;
	q->way_class = q->asked.j.workload;
	fair_queue_put(&queries->ways, q->way_class, &q->way);
	uv_idle_start(&queries->turns, on_turn);
	return STEP_WAIT;
}

static enum query_step judge(struct query *q, struct entry *entry)
{
	struct val_now now = now_of(q->worker);
	enum query_step step = q->job ? STEP_NEXT : begin(q, entry);

	while (step == STEP_NEXT) {
		switch (val_job_run(q->job, &now)) {
		case VAL_DONE:
			return conclude_job(q, entry);
		case VAL_NEED:
			step = ask(q);
			break;
		case VAL_TURN:
			return give_way(q);
		}
	}
	return step;
}

/* Is a verdict at hand? What is served stale was judged when it was fresh, and its signatures must
 * last all the same. */
static bool is_judged(const struct query *q, const struct entry *entry)
{
	const uint64_t now_ns = q->worker->now_ns, until_ns = entry->dnssec_until_ns;

	if (until_ns == 0)
		return false;
	if (now_ns < until_ns)
		return true;
	return q->is_stale && now_ns >= entry->expires_ns && entry->dnssec != DNSSEC_BOGUS &&
	       now_ns < entry->signed_until_ns;
}

/* Has another answer to the same question failed, not long ago? What came since is not looked at.
 */
static bool has_failed(struct query *q, struct entry *entry, struct val_failure *ret_failure)
{
	if (q->job || q->explain || q->round != FETCH_FIRST ||
	    !val_failures_get(q->worker->settings->failures, entry->name, entry->type,
	                      q->worker->now_ns, ret_failure))
		return false;
	entry_set_validated(entry, DNSSEC_BOGUS, ret_failure->why, ret_failure->until_ns, 0);
	return true;
}

enum query_step validate_step(struct query *q)
{
	struct val_failure failure;
	enum query_step step;

	if (!q->worker->settings->validation.anchors)
		q->n_validated = q->n_links;
	while (q->n_validated < q->n_links) {
		struct entry *entry = q->links[q->n_validated];

		if (!entry_from_upstream(entry)) { /* ours: nobody has signed it */
			entry_set_validated(entry, DNSSEC_INSECURE, VAL_WHY_NONE, entry->expires_ns,
			                    UINT64_MAX);
			if (q->explain)
				explain_ours(q->explain, entry);
			next_link(q);
			continue;
		}
		if (!q->job && !q->explain && is_judged(q, entry)) {
			step = STEP_NEXT;
			if (entry->dnssec == DNSSEC_BOGUS)
				step = settle_known(q, entry);
			else
				next_link(q);
		} else if (has_failed(q, entry, &failure)) {
			step = settle_bogus(q, &failure);
		} else {
			step = judge(q, entry);
		}
		if (step != STEP_NEXT || q->state != QUERY_VALIDATING)
			return step;
	}
	query_enter(q, QUERY_GUARDING);
	return STEP_NEXT;
}
