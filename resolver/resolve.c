/* resolver/resolve.c - gather the links of an answer: hosts, cache, upstreams, along the chain.
 *
 * Each link's name is judged before anything is looked up for it, and once more when a message with
 * it is about to leave (promise P2). SVCB and HTTPS targets are no links: nothing of them would be
 * in the answer (the additional section is OPT only). They are judged by the guard, and come
 * through this same pipeline as questions of their own, before the client asks them (prefetch.h).
 */

#include <string.h>

#include "prefetch.h"
#include "proofs.h"
#include "query_wait.h"
#include "sallyport/clock.h"
#include "sallyport/counter.h"
#include "sallyport/err.h"
#include "wire.h"
#include "worker.h"

static enum query_step fail_limit(struct query *q, enum counter counter, const char *text)
{
	struct refusal refusal = { RCODE_SERVFAIL, EDE_OTHER, REASON_LIMIT, text };

	count(q->worker->lane, counter);
	return query_fail(q, &refusal);
}

/* Consumes @entry. */
static enum query_step add_link(struct query *q, struct entry *entry, const struct verdict *verdict)
{
	q->internal[q->n_links] = judge_internal(q->worker, verdict, entry->name);
	q->links[q->n_links++] = entry;
	return STEP_NEXT;
}

/* Serve what the cache still had of this link, if anything, else @refusal. */
static enum query_step fall_back(struct query *q, const struct refusal *refusal)
{
	const uint8_t *name = query_pending(q);
	struct verdict verdict = q->asked.j.verdict;

	/* What was bogus is nothing that stale data could stand on, for nobody. */
	if (!q->stale || (q->stale->dnssec_until_ns != 0 && q->stale->dnssec == DNSSEC_BOGUS))
		return query_fail(q, refusal);
	if (q->n_links > 0)
		judge_target(q->worker, &q->asked.j, q->links[q->n_links - 1]->name, name,
		             q->question.qtype, &verdict);
	q->is_stale = true;
	return add_link(q, TAKE(q->stale), &verdict);
}

/* A later round brought nothing. */
static enum query_step give_up_again(struct query *q)
{
	struct verdict verdict = q->asked.j.verdict;
	struct entry *doubted;

	if (validate_give_up(q) == STEP_ENDED)
		return STEP_ENDED;
	doubted = TAKE(q->doubted);
	if (q->n_links > 0)
		judge_target(q->worker, &q->asked.j, q->links[q->n_links - 1]->name, doubted->name,
		             q->question.qtype, &verdict);
	return add_link(q, doubted, &verdict);
}

/* The upstreams gave no usable answer: nobody asks them again at once (RFC 9520; for stale data RFC
 * 8767, section 5). The cache keeps better data beside the failure. */
static enum query_step fail_upstream_as(struct query *q, const struct refusal *refusal)
{
	struct worker *worker = q->worker;
	struct entry *failure;

	if (validate_is_retried(q))
		return give_up_again(q);
	failure = entry_failure(query_pending(q), q->question.qtype, RCODE_SERVFAIL, worker->now_ns,
	                        QUERY_FAILURE_S);

	if (failure)
		cache_put(worker->cache, failure, worker->now_ns, worker->lane);
	entry_unref(failure);
	return fall_back(q, refusal);
}

static enum query_step fail_upstream(struct query *q)
{
	const struct refusal refusal = { RCODE_SERVFAIL, EDE_NO_REACHABLE_AUTHORITY,
		                         REASON_UPSTREAM, "no upstream gave a usable answer" };

	return fail_upstream_as(q, &refusal);
}

static enum query_step fail_oversize(struct query *q)
{
	const struct refusal refusal = { RCODE_SERVFAIL, EDE_OTHER, REASON_LIMIT,
		                         "limit: the upstream's answer holds more than is taken" };

	return fail_upstream_as(q, &refusal);
}

static const struct refusal no_room = { RCODE_SERVFAIL, EDE_OTHER, REASON_LIMIT,
	                                "limit: too many questions wait for upstreams" };

enum query_step resolve_no_room(struct query *q)
{
	count(q->worker->lane, COUNT_LIMIT_IN_FLIGHT);
	return query_fail(q, &no_room);
}

enum query_step resolve_too_heavy(struct query *q)
{
	return fail_limit(q, COUNT_LIMIT_WAITING,
	                  "limit waiting: what it waits with takes too much memory");
}

static enum query_step fail_fetches(struct query *q)
{
	count(q->worker->lane, COUNT_LIMIT_IN_FLIGHT);
	return fall_back(q, &no_room);
}

static bool is_answer_to(const struct entry *entry, const uint8_t *name, uint16_t type)
{
	return entry->type == type && name_equal(entry->name, name);
}

/* What the last message said of @name, too. Data with TTL 0 is nowhere else. */
static struct entry *take_given(struct query *q, const uint8_t *name)
{
	for (unsigned int i = 0; i < q->n_given; i++) {
		struct entry *entry = q->given[i];

		if (!is_answer_to(entry, name, q->question.qtype) || entry->kind == ENTRY_FAILURE)
			continue;
		q->given[i] = q->given[--q->n_given];
		return entry;
	}
	return NULL;
}

static struct entry *from_hosts(struct query *q, const uint8_t *name, bool *ret_exists)
{
	const uint8_t(*addrs)[ADDR_LEN] = NULL;
	size_t n = policy_hosts(&q->worker->policy->image, name, q->question.qtype == TYPE_A,
	                        ret_exists, &addrs);

	if (!*ret_exists)
		return NULL;
	if (q->question.qtype != TYPE_A && q->question.qtype != TYPE_AAAA)
		n = 0;
	return entry_from_hosts(name, q->question.qtype, addrs, n, q->worker->now_ns);
}

/* The last moment before a message leaves: would this question, by this chain, be allowed now? */
bool resolve_may_send(struct fetch_waiter *waiter)
{
	struct query *q = (struct query *)(void *)((char *)waiter - offsetof(struct query, waiter));
	struct judgement j;
	struct verdict verdict;
	const uint8_t *target;

	return query_judge_again(q, &j, &target, &verdict);
}

/* The policy has turned against it between two sends. */
void resolve_denied(struct query *q)
{
	const struct refusal refusal = { RCODE_SERVFAIL, EDE_OTHER, REASON_INTERNAL, NULL };
	struct judgement j;
	struct verdict verdict;
	const uint8_t *target;

	if (query_judge_again(q, &j, &target, &verdict)) {
		query_fail(q, &refusal); /* allowed after all: a rule changed twice; ask again */
		return;
	}
	q->asked.j = j;
	if (j.action != JUDGE_RESOLVE)
		query_end_judged(q);
	else
		query_deny_target(q, target, &verdict);
}

/* The entries of the message: the first is our link, the others may be the next ones. */
static enum query_step take_answer(struct query *q, struct entry *const *entries, size_t n)
{
	struct verdict verdict = q->asked.j.verdict;
	const uint8_t *name = query_pending(q);

	if (n == 0 || entries[0]->kind == ENTRY_FAILURE ||
	    !is_answer_to(entries[0], name, q->question.qtype))
		return fail_upstream(q);
	if (q->n_links > 0)
		judge_target(q->worker, &q->asked.j, q->links[q->n_links - 1]->name, name,
		             q->question.qtype, &verdict);
	for (unsigned int i = 0; i < q->n_given; i++)
		entry_unref(q->given[i]);
	q->n_given = 0;
	for (size_t i = 1; i < n && q->n_given < LIMIT_CHAIN; i++)
		q->given[q->n_given++] = entry_ref(entries[i]);
	entry_unref(TAKE(q->stale));
	return add_link(q, entry_ref(entries[0]), &verdict);
}

static void on_fetched(struct fetch_waiter *waiter, enum fetch_status status,
                       struct entry *const *entries, size_t n_entries)
{
	struct query *q = (struct query *)(void *)((char *)waiter - offsetof(struct query, waiter));
	enum query_step step = STEP_ENDED;

	q->fetching = false;
	q->due_ns = 0;
	switch (status) {
	case FETCH_OK:
		step = take_answer(q, entries, n_entries);
		break;
	case FETCH_FAILED:
		step = fail_upstream(q);
		break;
	case FETCH_OVERSIZE:
		step = fail_oversize(q);
		break;
	case FETCH_LIMIT:
		step = fail_fetches(q);
		break;
	case FETCH_DENIED:
		resolve_denied(q);
		break;
	}
	if (step == STEP_NEXT)
		query_run(q);
}

void resolve_stop(struct query *q)
{
	if (q->fetching)
		fetch_cancel(&q->waiter);
	q->fetching = false;
}

void resolve_due(struct query *q)
{
	resolve_stop(q);
	q->due_ns = 0;
	if (fail_upstream(q) == STEP_NEXT)
		query_run(q);
}

static enum query_step fetch_link(struct query *q, const uint8_t *name, uint16_t zone)
{
	if (q->n_fetches == LIMIT_SUBQUERIES)
		return fail_limit(q, COUNT_LIMIT_SUBQUERIES,
		                  "limit subqueries: the chain needs too many questions");
	if (!query_weigh(q, LIMIT_WAITING_QUERY_BYTES))
		return resolve_too_heavy(q);
	q->n_fetches++;
	q->asked.fetched = true;
	q->waiter.may_send = resolve_may_send;
	q->waiter.done = on_fetched;
	q->waiter.class = q->asked.j.workload;
	if (fetch_join(q->worker, name, q->question.qtype, zone, &q->waiter) < 0)
		return fail_fetches(q);
	q->fetching = true;
	if (q->stale)
		q->due_ns = q->worker->now_ns + QUERY_STALE_AFTER_MS * NS_PER_MS;
	return STEP_WAIT;
}

enum query_step resolve_again(struct query *q, unsigned int i)
{
	struct entry *bogus = q->links[i];
	uint16_t zone = query_zone(q, bogus->name, bogus->type);
	unsigned int n = q->n_links;

	if (q->n_fetches == LIMIT_SUBQUERIES)
		return fail_limit(q, COUNT_LIMIT_SUBQUERIES,
		                  "limit subqueries: too many links had to be asked for again");
	memcpy(q->avoid, bogus->upstream, sizeof(q->avoid));
	q->avoid_port = bogus->upstream_port;
	q->waiter.may_send = resolve_may_send;
	q->waiter.done = on_fetched;
	q->waiter.class = q->asked.j.workload;
	q->n_links = (uint8_t)i; /* by which it is judged whether it may be sent */
	if (fetch_join_round(q->worker, bogus->name, bogus->type, zone, q->round, q->avoid,
	                     q->avoid_port, &q->waiter) < 0) {
		q->n_links = (uint8_t)n;
		return STEP_NEXT;
	}
	query_enter(q, QUERY_RESOLVING);
	q->fetching = q->asked.fetched = true;
	q->n_fetches++;
	for (; q->n_given > 0; q->n_given--)
		entry_unref(q->given[q->n_given - 1]);
	for (; n > i + 1; n--)
		entry_unref(q->links[n - 1]);
	entry_unref(q->doubted);
	q->doubted = bogus;
	return STEP_WAIT;
}

/* A refresh, or an explanation: what is known already is not what it is for. */
static bool asks_anew(const struct query *q)
{
	return q->prefetch && q->n_before == 0;
}

/* What other answers have proven (RFC 8198). Not for who sets CD: he wants to see for himself; not
 * for a refresh; nothing under a negative trust anchor or above the deepest anchor. */
static struct entry *from_proofs(const struct query *q, const uint8_t *name, uint16_t zone)
{
	struct worker *worker = q->worker;
	const struct settings *settings = worker->settings;
	const struct val_anchor *anchor;
	struct entry *entry;

	if (!settings->proofs || q->question.cd || asks_anew(q))
		return NULL;
	anchor = val_anchors_above(settings->validation.anchors, name, worker->wall_ns / NS_PER_S);
	if (!anchor || anchor->negative)
		return NULL;

	const struct proofs_question question = { .name = name,
		                                  .type = q->question.qtype,
		                                  .zone = zone,
		                                  .above = anchor->name,
		                                  .rules = &settings->rules,
		                                  .now_ns = worker->now_ns };

	entry = proofs_answer(settings->proofs, &question);
	if (entry)
		count(worker->lane, COUNT_DNSSEC_SYNTHESIZED);
	return entry;
}

/* From the cache, or from an upstream. */
static enum query_step look_up(struct query *q, const uint8_t *name, const struct verdict *verdict)
{
	const struct refusal failed = { RCODE_SERVFAIL, EDE_NO_REACHABLE_AUTHORITY, REASON_UPSTREAM,
		                        "the upstreams failed a moment ago" };
	const struct refusal no_zone = { RCODE_SERVFAIL, EDE_NO_REACHABLE_AUTHORITY,
		                         REASON_UPSTREAM, "no upstream is configured for it" };
	struct worker *worker = q->worker;
	const uint16_t type = q->question.qtype;
	uint16_t zone = query_zone(q, name, type);
	struct entry *entry = NULL;
	enum query_step step;

	if (zone == ZONE_NONE)
		return query_fail(q, &no_zone);
	switch (cache_get(worker->cache, name, type, worker->now_ns, &entry)) {
	case CACHE_FRESH:
		if (entry->kind == ENTRY_FAILURE) {
			entry_unref(entry);
			return query_fail(q, &failed);
		}
		if (!q->prefetch || q->explain || !prefetch_is_due(entry, worker->now_ns))
			return add_link(q, entry, verdict);
		entry_unref(entry);
		break;
	case CACHE_STALE:
		q->stale = entry;
		if (!asks_anew(q) && cache_failed_until(worker->cache, name, type, worker->now_ns))
			return fall_back(q, &failed);
		break;
	case CACHE_MISS:
		entry = from_proofs(q, name, zone);
		if (entry)
			return add_link(q, entry, verdict);
		break;
	}
	if (validate_has_failed(q, name, &step))
		return step;
	return fetch_link(q, name, zone);
}

static bool is_loop(const struct query *q, const uint8_t *name)
{
	for (unsigned int i = 0; i < q->n_links; i++) {
		if (name_equal(q->links[i]->name, name))
			return true;
	}
	return false;
}

enum query_step resolve_step(struct query *q)
{
	const struct refusal no_memory = { RCODE_SERVFAIL, EDE_OTHER, REASON_INTERNAL,
		                           "out of memory" };
	const uint8_t *name = query_pending(q);
	struct verdict verdict = q->asked.j.verdict;
	struct entry *entry;
	bool in_hosts = false;

	if (q->n_links > 0) {
		const struct entry *last = q->links[q->n_links - 1];

		if (last->kind != ENTRY_ALIAS) {
			query_enter(q, QUERY_VALIDATING);
			return STEP_NEXT;
		}
		if (q->n_links == LIMIT_CHAIN || is_loop(q, name))
			return fail_limit(q, COUNT_LIMIT_CHAIN,
			                  "limit chain: too many links, or a loop");
		if (!judge_target(q->worker, &q->asked.j, last->name, name, q->question.qtype,
		                  &verdict))
			return query_deny_target(q, name, &verdict);
		q->observed |= verdict.observed;
	}
	entry = from_hosts(q, name, &in_hosts);
	if (in_hosts)
		return entry ? add_link(q, entry, &verdict) : query_fail(q, &no_memory);
	entry = take_given(q, name);
	if (entry)
		return add_link(q, entry, &verdict);
	return look_up(q, name, &verdict);
}
