/* resolver/query_pin.c - a form is at hand: open what it needs, then let it go (promise P1).
 *
 * Without addresses, without ports, truncated, or with everything held already, the answer leaves
 * at once. Else it waits for fwsync's word, and leaves only after OPEN in the present epoch.
 */
#include <stddef.h>

#include "prefetch.h"
#include "query_guard.h"
#include "query_wait.h"
#include "sallyport/clock.h"
#include "sallyport/counter.h"
#include "sallyport/err.h"
#include "wire.h"
#include "worker.h"

#define NO_TTL_CAP UINT32_MAX

static enum query_step answer(struct query *q, uint32_t ttl_cap_s)
{
	struct form *form = q->form;
	bool leads_on = form->dnssec != DNSSEC_BOGUS;

	if (leads_on)
		guard_remember(q->worker, &q->asked, form);
	respond_form(q->worker, &q->asked, form, ttl_cap_s);
	if (q->adopted)
		prefetch_consider(q->worker, &q->asked, form);
	if (leads_on && !form->stale && !form->led_on) {
		form->led_on = true;
		prefetch_targets(q->worker, &q->asked, form->links[form->n_links - 1],
		                 form->n_links);
	}
	query_enter(q, QUERY_ENDED);
	return STEP_ENDED;
}

static enum query_step fail(struct query *q, enum reason reason, const char *text)
{
	const struct refusal refusal = { RCODE_SERVFAIL, EDE_OTHER, reason, text };

	return query_fail(q, &refusal);
}

static uint32_t wanted(const struct query *q)
{
	return open_ttl_wanted(&q->pinhole, open_left_s(q->form, q->worker->now_ns));
}

static enum query_step on_open(struct query *q, uint64_t epoch)
{
	struct worker *worker = q->worker;
	uint64_t until_ns = q->opened_ns + q->life_s * NS_PER_S;
	uint32_t ttl_s;

	/* Lost or revoked again since: ask once more rather than believe it. */
	if (epoch == 0 || epoch != open_epoch(worker))
		return STEP_NEXT;
	open_held_set(worker, q->form, q->client.addr, q->asked.j.workload, epoch, until_ns);
	if (!open_ttl_opened(&q->pinhole, until_ns, worker->now_ns, wanted(q), &ttl_s))
		return fail(q, REASON_PINHOLE, "the profile's pinholes end before their grace");
	return answer(q, ttl_s);
}

static void on_done(struct pinhole_ask *ask, enum pinhole_status status, uint32_t detail,
                    uint64_t epoch)
{
	struct query *q = (struct query *)(void *)((char *)ask - offsetof(struct query, ask));

	(void)detail; /* for fwsync's own log: errno, or its policy version */
	q->asking = false;
	switch (status) {
	case PINHOLE_OPEN:
		if (on_open(q, epoch) == STEP_NEXT)
			query_run(q);
		break;
	case PINHOLE_STALE:
		query_enter(q, QUERY_SWITCHING);
		break;
	case PINHOLE_LATE:
		fail(q, REASON_PINHOLE, "the firewall did not confirm in time");
		break;
	case PINHOLE_WORKLOAD_FULL:
		fail(q, REASON_LIMIT, "limit per_workload: the workload has too many pinholes");
		break;
	case PINHOLE_FULL:
		fail(q, REASON_LIMIT, "the firewall has no room for more pinholes");
		break;
	case PINHOLE_OUTSIDE:
		fail(q, REASON_PINHOLE, "the guard table does not permit these pinholes");
		break;
	case PINHOLE_FAILED:
	case PINHOLE_MALFORMED:
		fail(q, REASON_PINHOLE, "the firewall refused the pinholes");
		break;
	}
}

void pin_stop(struct query *q)
{
	if (q->asking)
		pinhole_cancel(q->worker, &q->ask);
	q->asking = false;
}

enum query_step pin_step(struct query *q)
{
	struct worker *worker = q->worker;
	struct asked *asked = &q->asked;
	struct form *form = q->form;
	uint64_t epoch = open_epoch(worker), until_ns = 0;
	uint32_t ttl_s;
	int r;

	/* Links are shared: another worker may have found one bogus since this one judged it. */
	if (form->dnssec == DNSSEC_BOGUS && !q->question.cd)
		return fail(q, REASON_BOGUS, "a link has become bogus");
	/* Bogus data goes to who asked with CD=1, and opens nothing (promise P1's exception). */
	if (form->n_addrs == 0 || form->dnssec == DNSSEC_BOGUS ||
	    !open_needed(worker, &asked->j.verdict) || respond_truncates(worker, asked, form))
		return answer(q, NO_TTL_CAP);
	policy_pinhole(&worker->policy->image, asked->j.workload, &q->pinhole);
	if (epoch)
		until_ns = open_held_until(worker, form, q->client.addr, asked->j.workload, epoch);
	if (open_ttl_held(&q->pinhole, until_ns, worker->now_ns, wanted(q), &ttl_s)) {
		count(worker->lane, COUNT_HELD);
		return answer(q, ttl_s);
	}
	if (q->n_opens == QUERY_OPENS)
		return fail(q, REASON_PINHOLE, "the firewall lost the pinholes again and again");
	q->n_opens++;
	q->opened_ns = worker->now_ns;
	q->life_s = open_life_s(&q->pinhole, wanted(q));
	r = open_fill(worker, asked, form, &q->pinhole, q->internal[q->n_links - 1], q->life_s,
	              &q->room, &q->ask);
	if (r == ERR_NOENT)
		return fail(q, REASON_SOURCE, "no single source address of the answer's family");
	if (r < 0) {
		count(worker->lane, COUNT_LIMIT_ADDRESSES);
		return fail(q, REASON_LIMIT, "limit addresses: more than one answer may open");
	}
	q->ask.done = on_done;
	r = pinhole_ask(worker, &q->ask); /* counts its limits itself */
	if (r == ERR_CLOSED)
		return fail(q, REASON_PINHOLE, "there is no firewall to ask");
	if (r < 0)
		return fail(q, REASON_LIMIT, "limit: too many pinholes at once");
	q->asking = true;
	return STEP_WAIT;
}
