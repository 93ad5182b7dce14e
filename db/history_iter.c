/* db/history_iter.c - listings and follow: rows of several files in one order. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "history_core.h"
#include "schema.h"

#define NEIGHBOUR_DAYS 1   /* an answer that a file does not know may be in these days' files */
#define FOLLOW_WINDOW_S 10 /* rows may be written that much later than younger ones */
#define FOLLOW_DAYS 2      /* the newest days are followed */
#define FOLLOW_BATCH 4096  /* rows taken from one file in one look */

/* One file of the day that is listed. */
struct source {
	struct reader *reader; /* NULL: none */
	struct reader_keys keys;
	struct reader_row row;
};

/* One file that is followed. */
struct tail {
	struct reader *reader;
	uint32_t day;
	enum day_kind kind;
	ino_t ino;
	int64_t last_t; /* the youngest row shown */
	int64_t *shown; /* rows shown within the window, ascending */
	size_t n_shown;
	int64_t last_gap;
	int64_t version; /* PRAGMA data_version of the last look; 0: look again */
};

struct pending {
	uint64_t time_us;
	size_t tail;
	int64_t t;
	bool is_gap;
	struct reader_gap gap;
};

struct history_iter {
	struct history *history;
	struct history_filter filter;
	struct diag *diag; /* NULL after the call that began it */
	struct history_coverage coverage;
	bool follow;

	/* A listing. */
	struct history_files files;
	size_t next; /* files: done so far, counted in the direction of the listing */
	struct source sources[DAY_KINDS];
	uint32_t day;
	bool in_day;
	struct reader_gap *gaps;
	size_t n_gaps, gaps_at;
	uint64_t n_shown;
	enum reader_id id_how;

	/* Follow. */
	struct tail tails[FOLLOW_DAYS * DAY_KINDS + DAY_KINDS];
	size_t n_tails;
	struct pending *pending;
	size_t n_pending, pending_at;
	struct reader_row row;
	bool primed; /* what was there at the beginning is marked as shown */

	struct history_row gap_row;
	char gap_note[64];
};

static void source_fini(struct source *source)
{
	reader_free(TAKE(source->reader));
	reader_keys_fini(&source->keys);
	reader_row_fini(&source->row);
}

static void tail_fini(struct tail *tail)
{
	reader_free(TAKE(tail->reader));
	free(tail->shown);
	*tail = (struct tail){ 0 };
}

void history_iter_free(struct history_iter *iter)
{
	if (!iter)
		return;
	for (int i = 0; i < DAY_KINDS; i++)
		source_fini(&iter->sources[i]);
	for (size_t i = 0; i < iter->n_tails; i++)
		tail_fini(&iter->tails[i]);
	history_files_fini(&iter->files);
	history_filter_fini(&iter->filter);
	reader_row_fini(&iter->row);
	free(iter->gaps);
	free(iter->pending);
	free(iter);
}

static int iter_new(struct history *history, const struct history_filter *filter,
                    struct history_iter **ret_iter, struct diag *diag)
{
	CLEANUP(history_iter_free) struct history_iter *iter = calloc(1, sizeof(*iter));
	int r;

	if (!iter)
		return ERR_NOMEM;
	iter->history = history;
	r = history_filter_copy(&iter->filter, filter, diag);
	if (r < 0)
		return r;
	*ret_iter = TAKE(iter);
	return ERR_OK;
}

/* --- rows ------------------------------------------------------------------------------------ */

/* An answer that its own file knows by hash only may be known to a neighbour. */
static int find_answers(struct history_iter *iter, const struct reader *own, struct reader_row *row)
{
	for (int back = 0; back <= NEIGHBOUR_DAYS; back++) {
		for (enum day_kind kind = 0; kind < DAY_KINDS; kind++) {
			CLEANUP(reader_free) struct reader *reader = NULL;
			uint32_t day = reader_day(own);

			if (!row->row.answers_unknown || day < (uint32_t)back)
				return ERR_OK;
			if (back == 0 && kind == reader_kind(own))
				continue;
			if (reader_open(iter->history->dir, day - (uint32_t)back, kind, &reader) <
			    0)
				continue;
			int r = reader_row_answers(reader, row);

			if (r == ERR_NOMEM)
				return r;
		}
	}
	return ERR_OK;
}

static const struct history_row *gap_row(struct history_iter *iter, const struct reader_gap *gap)
{
	struct history_row *row = &iter->gap_row;

	*row = (struct history_row){ .kind = HISTORY_GAP,
		                     .time_ns = gap->from_us * 1000,
		                     .last_ns = gap->until_us * 1000,
		                     .ede = RECORD_NO_EDE,
		                     .gap = (enum history_gap)MIN(gap->cause,
		                                                  (unsigned int)HISTORY_GAP_N - 1),
		                     .kernel_drops = gap->kernel_drops,
		                     .note = iter->gap_note,
		                     .name = "" };
	memcpy(row->lost, gap->lost, sizeof(row->lost));
	memcpy(iter->gap_note, gap->note, sizeof(iter->gap_note));
	return row;
}

static bool gap_matters(const struct history_filter *filter, const struct reader_gap *gap)
{
	if (filter->no_gaps || filter->id)
		return false;
	return gap->until_us * 1000 >= filter->since_ns &&
	       (filter->until_ns == 0 || gap->from_us * 1000 < filter->until_ns);
}

/* --- listing --------------------------------------------------------------------------------- */

int history_query(struct history *history, const struct history_filter *filter,
                  struct history_iter **ret_iter, struct diag *diag)
{
	CLEANUP(history_iter_free) struct history_iter *iter = NULL;
	int r;

	r = iter_new(history, filter, &iter, diag);
	if (r == 0)
		r = history_files_list(history, &iter->filter, &iter->files);
	if (r < 0)
		return r;
	iter->coverage.n_unreadable = iter->files.n_aside;
	iter->id_how = READER_ID_OWN;
	*ret_iter = TAKE(iter);
	return ERR_OK;
}

static const struct day_entry *entry_at(const struct history_iter *iter, size_t i)
{
	size_t n = iter->files.n;

	return i >= n ? NULL : &iter->files.entries[iter->filter.oldest_first ? i : n - 1 - i];
}

static void leave_day(struct history_iter *iter)
{
	for (int i = 0; i < DAY_KINDS; i++) {
		reader_free(TAKE(iter->sources[i].reader));
		reader_keys_fini(&iter->sources[i].keys);
	}
	free(TAKE(iter->gaps));
	iter->n_gaps = iter->gaps_at = 0;
	iter->in_day = false;
}

/* Gaps lie at the place where they begin, within the day that they were noted in. */
static uint64_t gap_place(const struct history_iter *iter, const struct reader_gap *gap)
{
	uint64_t begin = iter->day * DAY_US;

	return MIN(MAX(gap->from_us, begin), begin + DAY_US - 1);
}

static int load_gaps(struct history_iter *iter, struct reader *reader)
{
	size_t kept = 0;
	int r;

	r = reader_gaps(reader, 0, &iter->gaps, &iter->n_gaps);
	if (r < 0)
		return r;
	for (size_t i = 0; i < iter->n_gaps; i++) {
		if (gap_matters(&iter->filter, &iter->gaps[i]))
			iter->gaps[kept++] = iter->gaps[i];
	}
	iter->n_gaps = kept;
	/* They come oldest first. */
	for (size_t i = 0; !iter->filter.oldest_first && i < kept / 2; i++) {
		struct reader_gap swap = iter->gaps[i];

		iter->gaps[i] = iter->gaps[kept - 1 - i];
		iter->gaps[kept - 1 - i] = swap;
	}
	return ERR_OK;
}

/* Open the files of the next day. Returns 1, or 0 when there is none. */
static int enter_day(struct history_iter *iter)
{
	const struct day_entry *entry = entry_at(iter, iter->next);

	if (!entry)
		return 0;
	iter->day = entry->day;
	iter->in_day = true;
	for (; entry && entry->day == iter->day; entry = entry_at(iter, ++iter->next)) {
		struct source *source = &iter->sources[entry->kind];
		int r =
		    history_open_file(iter->history, entry, &iter->coverage, NULL, &source->reader);

		if (r == ERR_NOMEM)
			return r;
		if (r <= 0)
			continue;
		reader_keys_init(&source->keys, source->reader, &iter->filter);
		source->keys.id_how = iter->id_how;
		if (entry->kind == DAY_DENY && load_gaps(iter, source->reader) < 0)
			iter->coverage.n_unreadable++;
	}
	return 1;
}

/* A file that turns out to be damaged half way: what was shown was right, the rest is missing. */
static int give_up_source(struct history_iter *iter, struct source *source, int err)
{
	if (err == ERR_NOMEM)
		return err;
	reader_free(TAKE(source->reader));
	iter->coverage.n_unreadable++;
	return 0;
}

/* Make every source know its next key. */
static int fill_sources(struct history_iter *iter)
{
	for (int i = 0; i < DAY_KINDS; i++) {
		struct source *source = &iter->sources[i];
		int r;

		if (!source->reader)
			continue;
		r = reader_keys_fill(source->reader, &iter->filter, &source->keys);
		if (r < 0)
			r = give_up_source(iter, source, r);
		if (r < 0)
			return r;
	}
	return ERR_OK;
}

static bool comes_before(const struct history_iter *iter, uint64_t a, uint64_t b)
{
	return iter->filter.oldest_first ? a < b : a > b;
}

/* The next row of this day: 1, 0 (no more) or an error. */
static int next_of_day(struct history_iter *iter, const struct history_row **ret_row)
{
	struct source *first = NULL;
	uint64_t first_us = 0;
	int64_t t;
	int r;

	r = fill_sources(iter);
	if (r < 0)
		return r;
	for (int i = 0; i < DAY_KINDS; i++) {
		struct source *source = &iter->sources[i];
		uint64_t us;

		if (!source->reader || source->keys.at >= source->keys.n)
			continue;
		us = reader_time_us(source->reader, source->keys.keys[source->keys.at]);
		if (!first || comes_before(iter, us, first_us)) {
			first = source;
			first_us = us;
		}
	}
	if (iter->gaps_at < iter->n_gaps) {
		const struct reader_gap *gap = &iter->gaps[iter->gaps_at];

		if (!first || !comes_before(iter, first_us, gap_place(iter, gap))) {
			iter->gaps_at++;
			*ret_row = gap_row(iter, gap);
			return 1;
		}
	}
	if (!first)
		return 0;
	t = first->keys.keys[first->keys.at++];
	r = reader_row_get(first->reader, t, &first->row);
	if (r > 0 && first->row.row.answers_unknown)
		r = find_answers(iter, first->reader, &first->row) < 0 ? ERR_NOMEM : 1;
	if (r < 0)
		r = give_up_source(iter, first, r);
	if (r < 0)
		return r;
	if (r == 0)
		return next_of_day(iter, ret_row); /* at most once for each source and row */
	*ret_row = &first->row.row;
	iter->n_shown++;
	return 1;
}

/* Nobody has the number that is looked for as its own: go through the files once more, for the rows
 * that may stand for it. */
static bool look_between(struct history_iter *iter)
{
	if (iter->filter.id == 0 || iter->id_how != READER_ID_OWN || iter->n_shown > 0)
		return false;
	iter->id_how = READER_ID_BETWEEN;
	iter->next = 0;
	iter->coverage.n_files = 0;
	iter->coverage.n_unreadable = iter->files.n_aside;
	return true;
}

static int next_listed(struct history_iter *iter, const struct history_row **ret_row)
{
	for (;;) {
		int r;

		if (iter->filter.limit && iter->n_shown >= iter->filter.limit)
			return 0;
		if (!iter->in_day) {
			r = enter_day(iter);
			if (r < 0 || (r == 0 && !look_between(iter)))
				return r;
			if (r == 0)
				continue;
		}
		r = next_of_day(iter, ret_row);
		if (r != 0)
			return r;
		leave_day(iter);
	}
}

/* --- follow ---------------------------------------------------------------------------------- */

int history_follow(struct history *history, const struct history_filter *filter,
                   struct history_iter **ret_iter, struct diag *diag)
{
	CLEANUP(history_iter_free) struct history_iter *iter = NULL;
	struct history_filter wanted = *filter;
	int r;

	wanted.until_ns = 0;
	wanted.limit = 0;
	wanted.oldest_first = true;
	r = iter_new(history, &wanted, &iter, diag);
	if (r < 0)
		return r;
	iter->follow = true;
	iter->primed = filter->since_ns != 0;
	if (!iter->primed) {
		const struct history_row *row;

		/* Look once and forget what is there. */
		r = history_next(iter, &row);
		if (r < 0)
			return r;
		iter->n_pending = iter->pending_at = 0;
		iter->primed = true;
	}
	*ret_iter = TAKE(iter);
	return ERR_OK;
}

static ino_t inode_of(const struct history_iter *iter, uint32_t day, enum day_kind kind)
{
	char name[DAY_NAME_LEN], path[4096];
	struct stat st;

	day_name(day, kind, name);
	if (snprintf(path, sizeof(path), "%s/%s", iter->history->dir, name) >= (int)sizeof(path) ||
	    stat(path, &st) != 0)
		return 0;
	return st.st_ino;
}

static void drop_tail(struct history_iter *iter, size_t i)
{
	tail_fini(&iter->tails[i]);
	iter->tails[i] = iter->tails[--iter->n_tails];
	iter->tails[iter->n_tails] = (struct tail){ 0 };
}

static bool has_tail(const struct history_iter *iter, const struct day_entry *entry)
{
	for (size_t i = 0; i < iter->n_tails; i++) {
		if (iter->tails[i].day == entry->day && iter->tails[i].kind == entry->kind)
			return true;
	}
	return false;
}

/* Follow the files of the newest days; let go of older ones and of those that were moved aside. */
static int choose_tails(struct history_iter *iter)
{
	CLEANUP(history_files_fini) struct history_files files = { 0 };
	uint32_t newest;
	int r;

	r = history_files_list(iter->history, &iter->filter, &files);
	if (r < 0 || files.n == 0)
		return r;
	newest = files.entries[files.n - 1].day;
	for (size_t i = iter->n_tails; i-- > 0;) {
		struct tail *tail = &iter->tails[i];

		if (tail->day + FOLLOW_DAYS <= newest ||
		    inode_of(iter, tail->day, tail->kind) != tail->ino)
			drop_tail(iter, i);
	}
	for (size_t i = 0; i < files.n; i++) {
		const struct day_entry *entry = &files.entries[i];
		/* With a since, all days from there on are gone through once, one after the other.
		 */
		struct tail tail = { .day = entry->day, .kind = entry->kind, .last_t = -1 };

		if (entry->day + FOLLOW_DAYS <= newest || has_tail(iter, entry) ||
		    iter->n_tails == ARRAY_LEN(iter->tails))
			continue;
		tail.ino = inode_of(iter, tail.day, tail.kind);
		r = history_open_file(iter->history, entry, &iter->coverage, NULL, &tail.reader);
		if (r == ERR_NOMEM)
			return r;
		if (r > 0)
			iter->tails[iter->n_tails++] = tail;
	}
	return ERR_OK;
}

static bool was_shown(const struct tail *tail, int64_t t)
{
	size_t low = 0, high = tail->n_shown;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (tail->shown[middle] < t)
			low = middle + 1;
		else
			high = middle;
	}
	return low < tail->n_shown && tail->shown[low] == t;
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

/* Remember the new keys and forget those that lie before the window. */
static int remember(struct tail *tail, const int64_t *keys, size_t n)
{
	const int64_t window = FOLLOW_WINDOW_S * INT64_C(1000000) * SCHEMA_TIES;
	int64_t *shown = realloc(tail->shown, (tail->n_shown + n + 1) * sizeof(*shown));
	size_t kept = 0;

	if (!shown)
		return ERR_NOMEM;
	memcpy(shown + tail->n_shown, keys, n * sizeof(*keys));
	tail->shown = shown;
	tail->n_shown += n;
	qsort(shown, tail->n_shown, sizeof(*shown), by_value);
	if (tail->n_shown)
		tail->last_t = MAX(tail->last_t, shown[tail->n_shown - 1]);
	for (size_t i = 0; i < tail->n_shown; i++) {
		if (shown[i] >= tail->last_t - window)
			shown[kept++] = shown[i];
	}
	tail->n_shown = kept;
	return ERR_OK;
}

static int add_pending(struct history_iter *iter, const struct pending *pending)
{
	if ((iter->n_pending & (iter->n_pending - 1)) == 0) {
		size_t cap = iter->n_pending ? iter->n_pending * 2 : 1;
		struct pending *more = realloc(iter->pending, cap * sizeof(*more));

		if (!more)
			return ERR_NOMEM;
		iter->pending = more;
	}
	iter->pending[iter->n_pending++] = *pending;
	return ERR_OK;
}

static int look_for_gaps(struct history_iter *iter, size_t i)
{
	CLEANUP(free) struct reader_gap *gaps = NULL;
	struct tail *tail = &iter->tails[i];
	size_t n;
	int r;

	r = reader_gaps(tail->reader, tail->last_gap, &gaps, &n);
	for (size_t g = 0; r == 0 && g < n; g++) {
		struct pending pending = { gaps[g].from_us, i, 0, true, gaps[g] };

		tail->last_gap = MAX(tail->last_gap, gaps[g].id);
		if (gap_matters(&iter->filter, &gaps[g]))
			r = add_pending(iter, &pending);
	}
	return r;
}

/* Take what is new in one file. */
static int look(struct history_iter *iter, size_t i)
{
	const int64_t window = FOLLOW_WINDOW_S * INT64_C(1000000) * SCHEMA_TIES;
	CLEANUP(free) int64_t *fresh = malloc(FOLLOW_BATCH * sizeof(*fresh));
	struct tail *tail = &iter->tails[i];
	struct reader_keys keys;
	int64_t version;
	size_t n = 0;
	int r;

	if (!fresh)
		return ERR_NOMEM;
	r = sql_int(reader_sqlite(tail->reader), "PRAGMA data_version", &version);
	if (r < 0 || version == tail->version)
		return r;
	reader_keys_init(&keys, tail->reader, &iter->filter);
	keys.from = MAX(keys.from, tail->last_t - window);
	while (n < FOLLOW_BATCH && (r = reader_keys_fill(tail->reader, &iter->filter, &keys)) > 0) {
		int64_t t = keys.keys[keys.at++];
		struct pending pending = { reader_time_us(tail->reader, t), i, t, false, { 0 } };

		if (was_shown(tail, t))
			continue;
		fresh[n++] = t;
		r = iter->primed ? add_pending(iter, &pending) : ERR_OK;
		if (r < 0)
			break;
	}
	reader_keys_fini(&keys);
	if (r >= 0)
		r = remember(tail, fresh, n);
	if (r == 0 && iter->filter.no_gaps == false && tail->kind == DAY_DENY)
		r = look_for_gaps(iter, i);
	/* Unfinished: look again, whatever the version says. */
	if (r == 0)
		tail->version = n < FOLLOW_BATCH ? version : 0;
	return r;
}

static int by_time(const void *a, const void *b)
{
	const struct pending *x = a, *y = b;

	return x->time_us < y->time_us ? -1 : x->time_us > y->time_us;
}

/* Everything that came since the last look; while it is being primed, all of it. */
static int look_everywhere(struct history_iter *iter)
{
	int r = choose_tails(iter);

	iter->n_pending = iter->pending_at = 0;
	for (size_t i = 0; r == 0 && i < iter->n_tails; i++) {
		do {
			r = look(iter, i);
		} while (r == 0 && !iter->primed && iter->tails[i].version == 0);
		if (r < 0 && r != ERR_NOMEM) {
			/* Damaged, or just moved aside: the next look opens it anew. */
			iter->tails[i].ino = 0;
			r = ERR_OK;
		}
	}
	if (r == 0 && iter->n_pending)
		qsort(iter->pending, iter->n_pending, sizeof(*iter->pending), by_time);
	return r;
}

static int next_followed(struct history_iter *iter, const struct history_row **ret_row)
{
	for (bool looked = false;;) {
		const struct pending *pending;
		struct tail *tail;
		int r;

		if (iter->pending_at >= iter->n_pending) {
			if (looked)
				return 0;
			r = look_everywhere(iter);
			if (r < 0)
				return r;
			looked = true;
			continue;
		}
		pending = &iter->pending[iter->pending_at++];
		if (pending->is_gap) {
			*ret_row = gap_row(iter, &pending->gap);
			return 1;
		}
		tail = &iter->tails[pending->tail];
		r = reader_row_get(tail->reader, pending->t, &iter->row);
		if (r > 0 && iter->row.row.answers_unknown)
			r = find_answers(iter, tail->reader, &iter->row) < 0 ? ERR_NOMEM : 1;
		if (r == ERR_NOMEM)
			return r;
		if (r > 0) {
			*ret_row = &iter->row.row;
			return 1;
		}
	}
}

int history_next(struct history_iter *iter, const struct history_row **ret_row)
{
	return iter->follow ? next_followed(iter, ret_row) : next_listed(iter, ret_row);
}

void history_iter_coverage(const struct history_iter *iter, struct history_coverage *ret_coverage)
{
	*ret_coverage = iter->coverage;
	history_cover(iter->history, &iter->filter, ret_coverage);
}
