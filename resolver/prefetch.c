/* resolver/prefetch.c - when a refresh is due, and starting it; targets, and asking for them. */
#include "prefetch.h"

#include <string.h>

#include "query_guard.h"
#include "query_wait.h"
#include "sallyport/clock.h"
#include "sallyport/counter.h"
#include "wire.h"
#include "worker.h"

/* From when on: UINT64_MAX for never. */
static uint64_t due_from(const struct entry *entry)
{
	uint64_t life_ns = entry->expires_ns - entry->made_ns;

	return entry_from_upstream(entry) && life_ns >= QUERY_PREFETCH_LIFE_S * NS_PER_S
	           ? entry->expires_ns - life_ns / 10
	           : UINT64_MAX;
}

bool prefetch_is_due(const struct entry *entry, uint64_t now_ns)
{
	return now_ns >= due_from(entry) && now_ns < entry->expires_ns;
}

/* Its links never change: what they say is asked once. */
static bool nothing_due(struct form *form, uint64_t now_ns)
{
	if (form->prefetch_ns == 0) {
		form->prefetch_ns = UINT64_MAX;
		for (unsigned int i = 0; i < form->n_links; i++)
			form->prefetch_ns = MIN(form->prefetch_ns, due_from(form->links[i]));
	}
	return now_ns < form->prefetch_ns;
}

void prefetch_consider(struct worker *worker, const struct asked *asked, struct form *form)
{
	struct queries *queries = worker->queries;
	uint64_t *mark;
	struct query *q;
	bool due = false;

	if (nothing_due(form, worker->now_ns) || !worker->settings->conf.prefetch ||
	    worker->draining || form->stale)
		return;
	for (unsigned int i = 0; i < form->n_links && !due; i++)
		due = prefetch_is_due(form->links[i], worker->now_ns);
	mark = &queries->prefetched[form->uid % QUERY_PREFETCH_MARKS];
	if (!due || *mark == form->uid)
		return;
	*mark = form->uid;
	q = query_new_prefetch(worker, asked);
	if (!q)
		return;
	count(worker->lane, COUNT_PREFETCHES);
	query_run(q);
}

/* From an answer to what its client may ask next. */
struct lead {
	struct worker *worker;
	const struct asked *asked;
	const struct entry *last;
	unsigned int n_links;
};

/* One question. Judged as the guard judges a target and as its client's question would be: both
 * must allow it. At the moment of sending query_judge_again() has its say. */
static void ask_ahead(const struct lead *lead, const uint8_t *target, uint16_t type)
{
	struct worker *worker = lead->worker;
	const struct judgement *j = &lead->asked->j;
	uint8_t msg[QUESTION_BYTES];
	struct client client = { .port = 0 };
	struct question question;
	struct asked asked = { .client = &client,
		               .q = &question,
		               .read_ns = worker->now_ns,
		               .read_wall_ns = worker->wall_ns };
	struct verdict verdict;
	struct query *q;

	asked.query_len = (uint16_t)question_write(target, type, msg);
	memcpy(client.addr, lead->asked->client->addr, ADDR_LEN);
	memcpy(client.local, lead->asked->client->local, ADDR_LEN); /* some are known by it */
	if (question_parse(msg, asked.query_len, &question) != QUESTION_OK ||
	    !judge_target(worker, j, lead->last->name, target, type, &verdict))
		return;
	judge_question(worker, &question, &client, j->followed ? j->begin : lead->asked->q->name,
	               &asked.j);
	if (asked.j.action != JUDGE_RESOLVE || guard_lacks_source(worker, &asked))
		return;
	q = query_new_target(worker, &asked, lead->n_links);
	if (!q) {
		count(worker->lane, COUNT_LIMIT_AHEAD);
		return;
	}
	count(worker->lane, COUNT_PREFETCHED_TARGETS);
	query_run(q);
}

void prefetch_targets(struct worker *worker, const struct asked *asked, const struct entry *last,
                      unsigned int n_links)
{
	const struct lead lead = { worker, asked, last, n_links };
	const uint8_t *alias = form_svcb_alias(last);
	uint8_t targets[LIMIT_TARGETS][NAME_MAX_WIRE];
	size_t n;

	if (!worker->settings->conf.prefetch || worker->draining)
		return;
	n = form_svcb_targets(last, targets, LIMIT_TARGETS);
	for (size_t i = 0; i < n; i++) {
		if (name_equal(targets[i], last->name)) /* as "." is: its client knows that name */
			continue;
		if (alias && name_equal(targets[i], alias)) {
			if (n_links < LIMIT_CHAIN)
				ask_ahead(&lead, targets[i], last->type);
			else
				count(worker->lane, COUNT_LIMIT_CHAIN);
		}
		ask_ahead(&lead, targets[i], TYPE_A);
		ask_ahead(&lead, targets[i], TYPE_AAAA);
	}
}
