/* resolver/prefetch.c - when a refresh is due, and starting it. */
#include "prefetch.h"

#include "query_wait.h"
#include "sallyport/clock.h"
#include "sallyport/counter.h"
#include "worker.h"

bool prefetch_is_due(const struct entry *entry, uint64_t now_ns)
{
	uint64_t life_ns = entry->expires_ns - entry->made_ns;

	return entry_from_upstream(entry) && life_ns >= QUERY_PREFETCH_LIFE_S * NS_PER_S &&
	       now_ns < entry->expires_ns && entry->expires_ns - now_ns <= life_ns / 10;
}

void prefetch_consider(struct worker *worker, const struct asked *asked, const struct form *form)
{
	struct queries *queries = worker->queries;
	uint64_t *mark = &queries->prefetched[form->uid % QUERY_PREFETCH_MARKS];
	struct query *q;
	bool due = false;

	if (!worker->settings->conf.prefetch || worker->draining || form->stale)
		return;
	for (unsigned int i = 0; i < form->n_links && !due; i++)
		due = prefetch_is_due(form->links[i], worker->now_ns);
	if (!due || *mark == form->uid)
		return;
	*mark = form->uid;
	q = query_new_prefetch(worker, asked);
	if (!q)
		return;
	count(worker->lane, COUNT_PREFETCHES);
	query_run(q);
}
