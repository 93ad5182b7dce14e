/* resolver/query_wait.c - states, limits and deadlines of waiting queries. */
#include "query_wait.h"

#include <string.h>

#include "listen.h"
#include "query.h"
#include "query_guard.h"
#include "sallyport/clock.h"
#include "sallyport/counter.h"
#include "sallyport/err.h"
#include "settings.h"
#include "wire.h"
#include "worker.h"

static void on_timer(uv_timer_t *timer)
{
	struct queries *queries = timer->data;

	worker_touch_clock(queries->worker);
	queries_tick(queries->worker);
}

static void link_in(struct queries *queries, struct query *q)
{
	q->prev = queries->last;
	if (queries->last)
		queries->last->next = q;
	else
		queries->first = q;
	queries->last = q;
	if (queries->n_in_flight++ == 0)
		uv_timer_start(&queries->timer, on_timer, QUERY_TICK_MS, QUERY_TICK_MS);
	queries->n_prefetches += q->prefetch;
}

static void unlink_from(struct queries *queries, struct query *q)
{
	if (q->prev)
		q->prev->next = q->next;
	else
		queries->first = q->next;
	if (q->next)
		q->next->prev = q->prev;
	else
		queries->last = q->prev;
	if (--queries->n_in_flight == 0)
		uv_timer_stop(&queries->timer);
	queries->n_prefetches -= q->prefetch;
}

static void forget_links(struct query *q)
{
	for (unsigned int i = 0; i < q->n_links; i++)
		entry_unref(q->links[i]);
	entry_unref(TAKE(q->doubted));
	q->n_links = q->n_validated = q->round = 0;
}

static struct tally_key ahead_of(uint32_t workload)
{
	return (struct tally_key){ .workload = workload, .what = TALLY_AHEAD };
}

static void unclaim(struct worker *worker, const struct tally_key *client,
                    const struct tally_key *workload)
{
	tally_release_of(worker->tally, client);
	tally_release_of(worker->tally, workload);
	tally_release(worker->tally, TALLY_QUERIES);
}

static void let_go(struct query *q)
{
	struct queries *queries = q->worker->queries;

	unlink_from(queries, q);
	queries->waiting_bytes -= q->held_bytes;
	if (q->n_before > 0) {
		const struct tally_key ahead = ahead_of(q->tally_workload.workload);

		tally_release_of(q->worker->tally, &ahead);
	}
	if (!q->prefetch || q->n_before > 0)
		unclaim(q->worker, &q->tally_client, &q->tally_workload);
	else
		tally_release(q->worker->tally, TALLY_QUERIES);
	validate_forget(q);
	forget_links(q);
	for (unsigned int i = 0; i < q->n_given; i++)
		entry_unref(q->given[i]);
	entry_unref(q->stale);
	form_unref(q->form);
	if (q->explain)
		explain_ended(q->explain);
	free(q);
}

void query_enter(struct query *q, enum query_state next)
{
	switch (q->state) {
	case QUERY_RESOLVING:
		resolve_stop(q);
		break;
	case QUERY_VALIDATING:
		validate_stop(q);
		break;
	case QUERY_OPENING:
		pin_stop(q);
		break;
	case QUERY_NEW:
	case QUERY_GUARDING:
	case QUERY_SWITCHING:
	case QUERY_ENDED:
		break;
	}
	q->due_ns = 0;
	q->state = next;

	switch (next) {
	case QUERY_SWITCHING:
		q->due_ns = q->worker->now_ns + QUERY_SWITCH_MS * NS_PER_MS;
		break;
	case QUERY_ENDED:
		let_go(q);
		break;
	case QUERY_NEW:
	case QUERY_RESOLVING:
	case QUERY_VALIDATING:
	case QUERY_GUARDING:
	case QUERY_OPENING:
		break;
	}
}

void query_run(struct query *q)
{
	enum query_step step = STEP_NEXT;

	/* Ends: every link, fetch and opening is counted against a limit. */
	while (step == STEP_NEXT) {
		switch (q->state) {
		case QUERY_NEW:
			query_enter(q, QUERY_RESOLVING);
			break;
		case QUERY_RESOLVING:
			step = resolve_step(q);
			break;
		case QUERY_VALIDATING:
			step = validate_step(q);
			break;
		case QUERY_GUARDING:
			step = guard_step(q);
			break;
		case QUERY_OPENING:
			step = pin_step(q);
			break;
		case QUERY_SWITCHING:
			step = STEP_WAIT;
			break;
		case QUERY_ENDED:
			return;
		}
	}
}

enum query_step query_fail(struct query *q, const struct refusal *refusal)
{
	if (q->explain)
		explain_refused(q->explain, refusal);
	if (!q->prefetch)
		respond_refusal(q->worker, &q->asked, refusal);
	query_enter(q, QUERY_ENDED);
	return STEP_ENDED;
}

enum query_step query_deny_target(struct query *q, const uint8_t *target,
                                  const struct verdict *verdict)
{
	if (q->explain)
		explain_denied(q->explain, verdict->reason, target);
	if (!q->prefetch)
		respond_target(q->worker, &q->asked, target, verdict);
	query_enter(q, QUERY_ENDED);
	return STEP_ENDED;
}

enum query_step query_end_judged(struct query *q)
{
	if (q->explain)
		explain_denied(q->explain, q->asked.j.verdict.reason, NULL);
	if (!q->prefetch)
		respond_judged(q->worker, &q->asked);
	query_enter(q, QUERY_ENDED);
	return STEP_ENDED;
}

/* Limits. */

static size_t bytes_of_links(const struct query *q)
{
	size_t bytes = q->doubted ? q->doubted->bytes : 0;

	for (unsigned int i = 0; i < q->n_links; i++)
		bytes += q->links[i]->bytes;
	for (unsigned int i = 0; i < q->n_given; i++)
		bytes += q->given[i]->bytes;
	return bytes;
}

/* The owner of a zone can make links of a hundred KiB, and then make us wait for the next one, or
 * for his keys. Who holds little is let through always: it shall not suffer from who holds much. */
bool query_weigh(struct query *q, size_t most)
{
	struct queries *queries = q->worker->queries;
	size_t others = queries->waiting_bytes - q->held_bytes, bytes = bytes_of_links(q);

	if (bytes > most)
		return false;
	bytes += q->records ? q->records->bytes : 0;
	bytes += q->need_entry ? q->need_bytes : 0;
	if (bytes > LIMIT_WAITING_SMALL_BYTES && others + bytes > LIMIT_WAITING_BYTES)
		return false;
	q->held_bytes = bytes;
	queries->waiting_bytes = others + bytes;
	return true;
}

/* Take a place in all, of the workload and of the client, while of each limit less than one part of
 * @share is in use. Returns 0, ERR_NOMEM or ERR_LIMIT, with which limit it was. */
static int claim(struct worker *worker, const struct tally_key *client,
                 const struct tally_key *workload, unsigned int share, const char **ret_limit)
{
	const struct resolver_conf *conf = &worker->settings->conf;
	struct tally *tally = worker->tally;
	int r;

	*ret_limit = "limit in_flight: too many queries wait";
	r = tally_claim(tally, TALLY_QUERIES, conf->in_flight / share);
	if (r < 0)
		return r;
	*ret_limit = "limit in_flight_workload: too many queries of this workload wait";
	r = tally_claim_of(tally, workload, conf->in_flight_workload / share);
	if (r == 0) {
		*ret_limit = "limit in_flight_client: too many queries of this client wait";
		r = tally_claim_of(tally, client, conf->in_flight_client / share);
		if (r < 0)
			tally_release_of(tally, workload);
	}
	if (r < 0)
		tally_release(tally, TALLY_QUERIES);
	return r;
}

static void refuse_new(struct worker *worker, struct asked asked, const struct refusal *refusal)
{
	respond_refusal(worker, &asked, refusal);
}

/* Copy what the reply echoes; the rest of the client's message is not needed any more. */
static void keep_question(struct query *q, const struct question *question)
{
	size_t len = MIN(sizeof(q->message), (size_t)WIRE_HEADER + question->name_len + 4);

	len = MIN(len, question->len);
	memcpy(q->message, question->msg, len);
	q->question = *question;
	q->question.msg = q->message;
	q->question.len = (uint16_t)len;
	q->question.qname = q->message + WIRE_HEADER;
}

static struct query *make(struct worker *worker, const struct asked *asked)
{
	struct query *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->worker = worker;
	q->asked = *asked;
	q->client = *asked->client;
	q->asked.client = &q->client;
	keep_question(q, asked->q);
	q->asked.q = &q->question;
	q->memo_generation = guard_generation(worker);
	val_budget_init(&q->budget);
	q->checks = q->budget.checks;
	q->deadline_ns = asked->read_ns + worker->settings->conf.query_ms * NS_PER_MS;
	return q;
}

/* With its place taken, see claim(). Returns 0 or what that returns. */
static int make_counted(struct worker *worker, const struct asked *asked, unsigned int share,
                        struct query **ret_q, const char **ret_limit)
{
	struct tally_key client = { .workload = TALLY_CLIENT, .what = TALLY_QUERIES };
	struct tally_key workload = { .workload = asked->j.workload, .what = TALLY_QUERIES };
	struct query *q;
	int r;

	memcpy(client.addr, asked->client->addr, ADDR_LEN);
	r = claim(worker, &client, &workload, share, ret_limit);
	if (r < 0)
		return r;
	q = make(worker, asked);
	if (!q) {
		unclaim(worker, &client, &workload);
		return ERR_NOMEM;
	}
	q->tally_client = client;
	q->tally_workload = workload;
	*ret_q = q;
	return ERR_OK;
}

struct query *query_new(struct worker *worker, const struct asked *asked)
{
	struct refusal refusal = { RCODE_SERVFAIL, EDE_OTHER, REASON_LIMIT, NULL };
	struct query *q;
	int r = make_counted(worker, asked, 1, &q, &refusal.text);

	if (r < 0) {
		if (r == ERR_LIMIT) {
			count(worker->lane, COUNT_LIMIT_IN_FLIGHT);
		} else {
			refusal.reason = REASON_INTERNAL;
			refusal.text = "out of memory";
		}
		refuse_new(worker, *asked, &refusal);
		return NULL;
	}
	client_hold(&q->client);
	link_in(worker->queries, q);
	worker->n_waited++;
	return q;
}

struct query *query_new_prefetch(struct worker *worker, const struct asked *asked)
{
	struct queries *queries = worker->queries;
	struct query *q;

	if (queries->n_prefetches >= QUERY_PREFETCHES ||
	    tally_claim(worker->tally, TALLY_QUERIES, worker->settings->conf.in_flight) < 0)
		return NULL;
	q = make(worker, asked);
	if (!q) {
		tally_release(worker->tally, TALLY_QUERIES);
		return NULL;
	}
	q->prefetch = true;
	q->deadline_ns = worker->now_ns + worker->settings->conf.query_ms * NS_PER_MS;
	link_in(queries, q);
	return q;
}

struct query *query_new_target(struct worker *worker, const struct asked *asked,
                               unsigned int n_before)
{
	const struct tally_key ahead = ahead_of(asked->j.workload);
	struct queries *queries = worker->queries;
	const char *limit;
	struct query *q;

	if (queries->n_prefetches >= QUERY_PREFETCHES / 2 ||
	    tally_claim_of(worker->tally, &ahead, LIMIT_AHEAD) < 0)
		return NULL;
	if (make_counted(worker, asked, 2, &q, &limit) < 0) {
		tally_release_of(worker->tally, &ahead);
		return NULL;
	}
	q->prefetch = true;
	q->n_before = (uint8_t)n_before;
	link_in(queries, q);
	return q;
}

/* Judging again. */

uint16_t query_zone(const struct query *q, const uint8_t *name, uint16_t type)
{
	return settings_zone_of(q->worker->settings, name, type, q->worker->wall_ns / NS_PER_S);
}

const uint8_t *query_pending(const struct query *q)
{
	return q->n_links ? q->links[q->n_links - 1]->target : q->question.name;
}

static bool is_open_ended(const struct query *q)
{
	return q->n_links > 0 && q->links[q->n_links - 1]->kind == ENTRY_ALIAS;
}

/* What only observe mode lets pass may leave because a workload has asked it (promise P2). */
static bool is_unasked(const struct query *q, const struct verdict *verdict)
{
	return q->n_before > 0 && verdict->observed;
}

bool query_judge_again(struct query *q, struct judgement *ret_j, const uint8_t **ret_target,
                       struct verdict *ret_verdict)
{
	const uint8_t *begin = q->n_before > 0 && q->asked.j.followed ? q->asked.j.begin : NULL;
	unsigned int n = q->n_links;

	judge_question(q->worker, &q->question, &q->client, begin, ret_j);
	if (is_unasked(q, &ret_j->verdict))
		ret_j->action = JUDGE_DENY;
	if (ret_j->action != JUDGE_RESOLVE)
		return false;
	/* Links 1.. and, of an unfinished chain, the name that comes next. */
	for (unsigned int i = 1; i < n + is_open_ended(q); i++) {
		const struct entry *owner = q->links[i - 1];

		if (!judge_target(q->worker, ret_j, owner->name, owner->target, q->question.qtype,
		                  ret_verdict) ||
		    is_unasked(q, ret_verdict)) {
			*ret_target = owner->target;
			return false;
		}
	}
	return true;
}

/* What was found stays (the cache's entries know no policy); what was concluded from it goes. */
static void conclude_again(struct query *q, const struct judgement *j)
{
	struct verdict verdict;

	q->asked.j = *j;
	q->observed = false;
	for (unsigned int i = 0; i < q->n_links; i++) {
		verdict = j->verdict;
		if (i > 0) {
			judge_target(q->worker, j, q->links[i - 1]->name, q->links[i]->name,
			             q->question.qtype, &verdict);
			q->observed |= verdict.observed;
		}
		q->internal[i] = judge_internal(q->worker, &verdict, q->links[i]->name);
	}
}

void query_adopt(struct query *q, struct form *form)
{
	for (unsigned int i = 0; i < form->n_links; i++)
		q->links[q->n_links++] = entry_ref(form->links[i]);
	conclude_again(q, &q->asked.j);
	q->form = form_ref(form);
	q->adopted = true;
	query_enter(q, QUERY_OPENING);
}

/* What was found is not believed any more: the first name is looked up again. */
static void start_over(struct query *q)
{
	if (q->state == QUERY_NEW)
		return;
	validate_forget(q);
	forget_links(q);
	for (; q->n_given > 0; q->n_given--)
		entry_unref(q->given[q->n_given - 1]);
	entry_unref(TAKE(q->stale));
	form_unref(TAKE(q->form));
	q->is_stale = q->adopted = q->observed = false;
	q->memo_generation = guard_generation(q->worker);
	query_enter(q, QUERY_RESOLVING);
	query_run(q);
}

/* hosts is data of the policy, unlike the cache's entries: under a new one neither what the old one
 * said of a name stands, nor what anybody else said of a name that is in hosts now. */
static bool meets_hosts(const struct query *q)
{
	const struct policy_image *image = &q->worker->policy->image;

	for (unsigned int i = 0; i <= q->n_links; i++) {
		const uint8_t *name = i < q->n_links ? q->links[i]->name : query_pending(q);
		const uint8_t(*addrs)[ADDR_LEN];
		bool in_hosts = false;

		if (i < q->n_links && !entry_from_upstream(q->links[i]))
			return true;
		policy_hosts(image, name, true, &in_hosts, &addrs);
		if (in_hosts)
			return true;
	}
	return false;
}

static void judge_again(struct query *q)
{
	struct judgement j;
	struct verdict verdict;
	const uint8_t *target = NULL;

	count(q->worker->lane, COUNT_REJUDGED);
	if (!query_judge_again(q, &j, &target, &verdict)) {
		q->asked.j = j;
		if (j.action != JUDGE_RESOLVE)
			query_end_judged(q);
		else
			query_deny_target(q, target, &verdict);
		return;
	}
	if (meets_hosts(q)) {
		q->asked.j = j;
		start_over(q);
		return;
	}
	conclude_again(q, &j);
	switch (q->state) {
	case QUERY_RESOLVING: /* still allowed: go on waiting for the same upstream */
	case QUERY_VALIDATING:
		break;
	case QUERY_OPENING:
	case QUERY_SWITCHING:
		/* A form is one policy's work, and so are the links that its guard has thinned. */
		form_unref(TAKE(q->form));
		if (q->adopted)
			forget_links(q);
		query_enter(q, q->adopted ? QUERY_RESOLVING : QUERY_GUARDING);
		q->adopted = false;
		query_run(q);
		break;
	case QUERY_NEW:
	case QUERY_GUARDING:
	case QUERY_ENDED:
		break; /* not states in which anything waits */
	}
}

void queries_policy_changed(struct worker *worker)
{
	struct query *next;

	for (struct query *q = worker->queries->first; q; q = next) {
		next = q->next;
		judge_again(q);
	}
}

/* Deadlines. */

static void expire(struct query *q)
{
	struct refusal refusal = { RCODE_SERVFAIL, EDE_OTHER, REASON_INTERNAL,
		                   "no answer in time" };

	count(q->worker->lane, COUNT_LIMIT_QUERY_TIME);
	switch (q->state) {
	case QUERY_VALIDATING:
		/* It waits for us, not for anybody of the name's: no failure that others should
		 * know of, or who asks for much that is costly would take names away from them. */
		if (q->gave_way && q->round == FETCH_FIRST) {
			refusal.reason = REASON_LIMIT;
			refusal.text = "limit query_time: too much waits to be validated";
			break;
		}
		validate_stop(q);
		validate_expire(q);
		refusal.reason = REASON_UPSTREAM;
		refusal.ede = EDE_NO_REACHABLE_AUTHORITY;
		break;
	case QUERY_RESOLVING:
		if (validate_is_retried(q)) {
			validate_expire_retried(q);
			return;
		}
		refusal.reason = REASON_UPSTREAM;
		refusal.ede = EDE_NO_REACHABLE_AUTHORITY;
		break;
	case QUERY_OPENING:
	case QUERY_SWITCHING:
		refusal.reason = REASON_PINHOLE;
		break;
	case QUERY_NEW:
	case QUERY_GUARDING:
	case QUERY_ENDED:
		break;
	}
	query_fail(q, &refusal);
}

void queries_tick(struct worker *worker)
{
	static const struct refusal no_policy = { RCODE_SERVFAIL, EDE_NOT_READY, REASON_PINHOLE,
		                                  "the firewall waits for a newer policy" };
	struct query *next;

	for (struct query *q = worker->queries->first; q; q = next) {
		next = q->next;
		if (q->due_ns && q->due_ns <= worker->now_ns) {
			if (q->state == QUERY_SWITCHING)
				query_fail(q, &no_policy);
			else
				resolve_due(q);
		} else if (q->deadline_ns <= worker->now_ns) {
			expire(q);
		} else {
			continue;
		}
		listeners_look(worker); /* which ends none of these: a new one comes last */
	}
}

/* The set of them. */

void queries_settings_changed(struct worker *worker)
{
	struct queries *queries = worker->queries;
	struct query *next;

	queries->settings_generation++; /* forms made under other zones are void */
	for (struct query *q = queries->first; q; q = next) {
		next = q->next;
		start_over(q);
	}
}

struct queries *queries_new(struct worker *worker)
{
	struct queries *queries = calloc(1, sizeof(*queries));

	if (!queries)
		return NULL;
	queries->worker = worker;
	uv_timer_init(&worker->loop, &queries->timer); /* cannot fail */
	uv_idle_init(&worker->loop, &queries->turns);
	fair_queue_init(&queries->ways);
	queries->timer.data = queries->turns.data = queries;
	return queries;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void on_turns_closed(uv_handle_t *handle)
{
	struct queries *queries = handle->data;

	uv_close((uv_handle_t *)&queries->timer, on_closed);
}

void queries_free(struct queries *queries)
{
	if (!queries)
		return;
	while (queries->first) {
		struct query *q = queries->first;

		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): who ends leaves the list */
		if (!q->prefetch)
			respond_nothing(q->worker, &q->asked, REASON_INTERNAL);
		query_enter(q, QUERY_ENDED);
	}
	if (queries->worker->ring.head)
		ring_publish(&queries->worker->ring);
	uv_close((uv_handle_t *)&queries->turns, on_turns_closed);
}

size_t queries_in_flight(const struct worker *worker)
{
	return worker->queries->n_in_flight;
}
