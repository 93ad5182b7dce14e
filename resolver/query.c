/* resolver/query.c - the way of a query that needs nobody: parse, identify, judge, memo, record,
 * respond. No allocation and no system call; whatever has to wait goes to query_wait.c.
 */
#include "query.h"

#include "amplification.h"
#include "cookie.h"
#include "held.h"
#include "memo.h"
#include "prefetch.h"
#include "query_guard.h"
#include "query_wait.h"
#include "sallyport/clock.h"
#include "sallyport/counter.h"
#include "wire.h"
#include "worker.h"

#define NO_TTL_CAP UINT32_MAX

/* Record and answer what is no question that could be judged. */
static void reject(struct worker *worker, struct asked *asked, enum question_result result)
{
	struct refusal refusal = { .ede = RECORD_NO_EDE, .reason = REASON_MALFORMED };

	asked->j.verdict.rule = asked->j.verdict.feed = POLICY_NONE;
	asked->j.profile = asked->j.workload = POLICY_NONE;
	if (worker->policy) {
		asked->j.policy_version = worker->policy->image.version;
		asked->j.workload = policy_workload(&worker->policy->image, asked->client->addr,
		                                    asked->client->local);
	}
	switch (result) {
	case QUESTION_OK:
	case QUESTION_DROP:
		count(worker->lane, COUNT_DROPPED_MALFORMED);
		respond_nothing(worker, asked, REASON_MALFORMED);
		return;
	case QUESTION_FORMERR:
		count(worker->lane, COUNT_FORMERR);
		refusal.rcode = RCODE_FORMERR;
		break;
	case QUESTION_NOTIMP:
		refusal.rcode = RCODE_NOTIMP;
		refusal.reason = REASON_META;
		break;
	case QUESTION_BADVERS:
		refusal.rcode = RCODE_BADVERS;
		refusal.reason = REASON_META;
		break;
	}
	if (asked->q->have_question)
		respond_refusal(worker, asked, &refusal);
	else
		respond_header_only(worker, asked, refusal.rcode);
}

static void wait_for_pinholes(struct worker *worker, const struct asked *asked, struct form *form)
{
	struct query *q = query_new(worker, asked);

	if (!q)
		return;
	query_adopt(q, form);
	query_run(q);
}

/* A form with addresses leaves only when its pinholes are held; a false return means that it was
 * given to somebody who waits for them. */
static bool answer_with_addresses(struct worker *worker, struct asked *asked, struct form *form)
{
	struct policy_pinhole pinhole;
	uint64_t epoch = open_epoch(worker), until_ns = 0;
	uint32_t ttl_s;

	policy_pinhole(&worker->policy->image, asked->j.workload, &pinhole);
	if (epoch)
		until_ns =
		    open_held_until(worker, form, asked->client->addr, asked->j.workload, epoch);
	if (!open_ttl_held(&pinhole, until_ns, worker->now_ns,
	                   open_ttl_wanted(&pinhole, open_left_s(form, worker->now_ns)), &ttl_s)) {
		wait_for_pinholes(worker, asked, form);
		return false;
	}
	count(worker->lane, COUNT_HELD);
	respond_form(worker, asked, form, ttl_s);
	return true;
}

/* Without addresses nothing is opened, but targets are to be remembered once for each client: a row
 * of `held` with the epoch 0, which no firewall has, says that they were. */
static void answer_without_addresses(struct worker *worker, struct asked *asked, struct form *form)
{
	if (guard_has_targets(form) &&
	    held_until(worker->held, asked->client->addr, asked->j.workload, form->uid, 0) <=
	        worker->now_ns) {
		guard_remember(worker, asked, form);
		held_set(worker->held, asked->client->addr, asked->j.workload, form->uid, 0,
		         form->expires_ns);
	}
	respond_form(worker, asked, form, NO_TTL_CAP);
}

static bool answer_from_memo(struct worker *worker, struct asked *asked)
{
	struct memo_key key;
	struct form *form;
	bool answered = true;

	guard_memo_key(worker, asked, guard_generation(worker), &key);
	form = memo_get(worker->memo, &key, worker->now_ns);
	if (!form)
		return false;
	if (form->n_addrs > 0 && open_needed(worker, &asked->j.verdict))
		answered = answer_with_addresses(worker, asked, form);
	else
		answer_without_addresses(worker, asked, form);
	if (answered)
		prefetch_consider(worker, asked, form);
	return true;
}

/* How long the answer may be, decided once: whether it is cut decides whether it opens anything. */
static void limit_answer(struct worker *worker, struct asked *asked)
{
	const struct resolver_conf *conf = &worker->settings->conf;
	const struct question *q = asked->q;

	asked->proven = true;
	asked->limit = LIMIT_MSG_BYTES;
	if (asked->client->tcp)
		return;
	asked->limit = MIN(q->udp_bytes, conf->udp_bytes);
	asked->proven =
	    q->cookie_server_len > 0 && cookie_valid(conf->cookie_secret, q, asked->client->addr,
	                                             (uint32_t)(worker->wall_ns / NS_PER_S));
	if (asked->proven ||
	    !amplification_spent(worker->amplification, asked->client->addr, worker->now_ns))
		return;
	count(worker->lane, COUNT_LIMIT_AMPLIFICATION);
	asked->limit = MIN(asked->limit, (uint32_t)asked->query_len * AMPLIFICATION_FACTOR);
}

void query_received(struct worker *worker, struct client *client, const uint8_t *msg, size_t len)
{
	struct question q;
	struct asked asked;
	enum question_result result = question_parse(msg, len, &q);
	struct query *waiting;

	asked.client = client;
	asked.q = &q;
	asked.id = worker->next_query_id;
	asked.read_ns = worker->now_ns;
	asked.read_wall_ns = worker->wall_ns;
	asked.flags = 0;
	asked.fetched = false;
	asked.dnssec = DNSSEC_UNCHECKED;
	asked.query_len = (uint16_t)len;
	/* Not more than needed: a second's worth of numbers is 2^20 (role.h), and whoever used them
	 * up faster would meet those of a successor. */
	worker->next_query_id += MAX(worker->settings->conf.workers, UINT32_C(1));
	limit_answer(worker, &asked);

	if (client->port == 0) /* nobody can be answered there */
		result = QUESTION_DROP;
	if (result != QUESTION_OK) {
		asked.j = (struct judgement){ 0 };
		reject(worker, &asked, result);
		return;
	}
	judge_policy(worker, &q, client, &asked.j);
	worker_note_workload(worker, asked.j.workload);
	/* Special-use names are never remembered, so a form at hand needs no look at them. */
	if (asked.j.action == JUDGE_RESOLVE && answer_from_memo(worker, &asked))
		return;
	judge_special(worker, &q, &asked.j);
	if (asked.j.action != JUDGE_RESOLVE) {
		respond_judged(worker, &asked);
		return;
	}
	if (guard_lacks_source(worker, &asked)) { /* nothing could be given: nothing is asked */
		respond_no_source(worker, &asked);
		return;
	}
	waiting = query_new(worker, &asked);
	if (waiting)
		query_run(waiting);
}
