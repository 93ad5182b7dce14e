/* resolver/prefetch.c - when a refresh is due, and starting it. */
#include "prefetch.h"

#include "query_wait.h"
#include "sallyport/clock.h"
#include "sallyport/counter.h"
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
