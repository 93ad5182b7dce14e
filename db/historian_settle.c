/* db/historian_settle.c - which files have a batch, when nobody knows any more.
 *
 * Two moments leave that open: a historian died between a file's commit and its save, and a COMMIT
 * that reported an error, for what it wrote before its last step may be found whole by whoever
 * opens the file next. The file knows: it carries the token of each batch in the batch's own
 * transaction. Until it can be asked (the disk may be full, or gone) the batch stays what it is,
 * aside of what is read meanwhile. Written once more on a guess it would be counted twice.
 */
#include <string.h>

#include "historian_core.h"

/* Does the file have the batch? 1, 0, or why that cannot be said now. */
static int has_batch(struct historian *h, uint32_t day, enum day_kind kind)
{
	uint64_t token;
	int r = historian_saved(h, day, kind, h->area.state.area_id, &token);

	return r < 0 ? r : token == h->batch;
}

static int drop_written(struct historian *h)
{
	for (size_t i = 0; i < h->agg.n;) {
		uint32_t day = h->agg.entries[i].key.day;
		enum day_kind kind = (enum day_kind)h->agg.entries[i].key.kind;
		int r = has_batch(h, day, kind);

		if (r < 0)
			return r;
		if (r > 0) {
			agg_drop_file(&h->agg, day, kind);
			i = 0; /* the table was built anew */
			continue;
		}
		/* On to the first entry of another file. */
		while (i < h->agg.n && h->agg.entries[i].key.day == day &&
		       h->agg.entries[i].key.kind == (uint8_t)kind)
			i++;
	}
	return ERR_OK;
}

/* What was noted since the batch began is not in the file. */
static void drop_gaps(struct historian *h)
{
	for (int i = 0; i < HISTORY_GAP_N; i++) {
		struct agg_gap *gap = &h->agg.gaps[i];
		const struct agg_gap *told = &h->batch_gaps[i];

		if (memcmp(gap, told, sizeof(*gap)) == 0) {
			*gap = (struct agg_gap){ 0 };
			continue;
		}
		for (int v = 0; v < VERDICT_N; v++)
			gap->lost[v] -= told->lost[v];
		gap->kernel_drops -= told->kernel_drops;
	}
	memset(h->batch_gaps, 0, sizeof(h->batch_gaps));
}

/* The gaps that were told about a ring may be newer in the file than in the backlog. */
static int adopt_accounts(struct historian *h)
{
	struct day_file *file;
	int r = historian_file(h, h->area.state.day, DAY_DENY, HISTORIAN_EXISTING, 0, &file);

	if (r < 0)
		return r == ERR_NOENT ? ERR_OK : r;
	for (unsigned int i = 0; i < LIMIT_WORKERS; i++) {
		struct area_ring *known = &h->area.state.rings[i], told;

		if (!h->rings[i].ring.head)
			continue;
		r = day_file_ring(file, known->id, &told);
		if (r < 0)
			return r;
		for (int v = 0; v < VERDICT_N; v++) {
			known->lost[v] = MAX(known->lost[v], told.lost[v]);
			known->vanished[v] = MAX(known->vanished[v], told.vanished[v]);
		}
		known->kernel_drops = MAX(known->kernel_drops, told.kernel_drops);
	}
	return ERR_OK;
}

void historian_hold_batch(struct historian *h, uint64_t token)
{
	h->batch = token;
	memcpy(h->batch_gaps, h->agg.gaps, sizeof(h->batch_gaps));
	agg_reserve(&h->next, &h->agg);
}

void historian_end_batch(struct historian *h)
{
	h->batch = 0;
	agg_take(&h->agg, &h->next);
	historian_count(h, COUNT_HISTORY_FOLDED, h->agg.folded);
	h->agg.folded = 0;
}

int historian_settle(struct historian *h)
{
	int r;

	if (!h->batch)
		return h->started ? ERR_OK : adopt_accounts(h);
	r = drop_written(h);
	if (r == 0)
		r = has_batch(h, h->area.state.day, DAY_DENY);
	if (r > 0)
		drop_gaps(h);
	if (r >= 0)
		r = adopt_accounts(h);
	return r;
}
