/* db/historian_write.c - one batch into its files. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "historian_core.h"
#include "sallyport/log.h"

#define PATH_LEN 4096
#define ROOM_MIN (64 << 10) /* of a file that tells whether there is some */
#define ROOM_MAX (1 << 20)

/* Files of one batch: a day's two, and few days. */
#define GROUPS_MAX (2 * (HISTORIAN_DAYS_BACK + 2))

struct group {
	uint32_t day;
	enum day_kind kind;
	size_t first, n; /* of the sorted entries */
	bool done;
	bool
	    unsure; /* its COMMIT reported an error, which does not say that the file has nothing */
};

struct batch {
	const struct agg_entry **sorted;
	struct group groups[GROUPS_MAX + 2];
	size_t n_groups;
	bool left_over; /* entries of more files than there are groups: the next time */
};

/* A day's allowed ones come first: their file also takes the answers, which others copy. */
static int compare(const void *a, const void *b)
{
	const struct agg_entry *x = *(const struct agg_entry *const *)a;
	const struct agg_entry *y = *(const struct agg_entry *const *)b;

	if (x->key.day != y->key.day)
		return x->key.day < y->key.day ? -1 : 1;
	if (x->key.kind != y->key.kind)
		return x->key.kind > y->key.kind ? -1 : 1;
	return x->first_us < y->first_us ? -1 : x->first_us > y->first_us;
}

static struct group *group_of(struct batch *batch, uint32_t day, enum day_kind kind)
{
	for (size_t i = 0; i < batch->n_groups; i++) {
		if (batch->groups[i].day == day && batch->groups[i].kind == kind)
			return &batch->groups[i];
	}
	return NULL;
}

static void add_group(struct batch *batch, uint32_t day, enum day_kind kind, size_t first)
{
	batch->groups[batch->n_groups++] =
	    (struct group){ .day = day, .kind = kind, .first = first };
}

static int make_groups(struct historian *h, struct batch *batch)
{
	uint32_t today = h->area.state.day;

	batch->sorted = malloc((h->agg.n + 1) * sizeof(*batch->sorted));
	if (!batch->sorted)
		return ERR_NOMEM;
	for (size_t i = 0; i < h->agg.n; i++)
		batch->sorted[i] = &h->agg.entries[i];
	qsort(batch->sorted, h->agg.n, sizeof(*batch->sorted), compare);

	/* First of all the file that takes the answers. */
	if (h->agg.n_answers)
		add_group(batch, today, DAY_ALLOW, 0);
	for (size_t i = 0; i < h->agg.n; i++) {
		const struct agg_key *key = &batch->sorted[i]->key;
		struct group *group = group_of(batch, key->day, (enum day_kind)key->kind);

		if (!group) {
			if (batch->n_groups >= GROUPS_MAX) {
				batch->left_over = true;
				continue;
			}
			add_group(batch, key->day, (enum day_kind)key->kind, i);
			group = &batch->groups[batch->n_groups - 1];
		}
		if (group->n++ == 0)
			group->first = i;
	}
	if (agg_has_gap(&h->agg) && !group_of(batch, today, DAY_DENY))
		add_group(batch, today, DAY_DENY, 0);
	return ERR_OK;
}

/* Make sure that the file knows the answer, from wherever we have it. */
static int put_answer(struct historian *h, struct day_file *file,
                      const uint8_t id[static ANSWER_ID_LEN])
{
	static const uint8_t none[ANSWER_ID_LEN];
	const struct record_answer *answer;
	int r;

	if (memcmp(id, none, ANSWER_ID_LEN) == 0)
		return ERR_OK;
	r = day_file_has_answer(file, id);
	if (r != 0)
		return MIN(r, 0);
	answer = agg_answer(&h->agg, id);
	if (answer)
		return day_file_put_answer(file, answer);
	for (size_t i = 0; i < HISTORIAN_FILES_MAX; i++) {
		struct day_file *other = h->files[i].file;

		if (!other || other == file)
			continue;
		r = day_file_copy_answer(file, other, id);
		if (r != 0)
			return MIN(r, 0);
	}
	h->retell = true; /* nobody here knows it: ask the producers to tell */
	return ERR_OK;
}

static int put_all(struct historian *h, struct batch *batch, const struct group *group,
                   struct day_file *file)
{
	bool todays = group->day == h->area.state.day;
	int r = ERR_OK;

	if (todays && group->kind == DAY_ALLOW) {
		for (size_t i = 0; r == 0 && i < h->agg.n_answers; i++)
			r = day_file_put_answer(
			    file, (const void *)(h->agg.answer_bytes + h->agg.answers[i].at));
	}
	for (size_t i = group->first; r == 0 && i < group->first + group->n; i++) {
		const struct agg_entry *entry = batch->sorted[i];

		if ((i - group->first) % HISTORIAN_BESIDE_ROWS == 0)
			historian_drain_beside(h);
		r = put_answer(h, file, entry->key.answer_id);
		if (r == 0)
			r = day_file_put(file, entry, agg_name(&h->agg, entry),
			                 historian_catalog(h, entry->key.policy_version));
	}
	if (todays && group->kind == DAY_DENY) {
		for (int i = 0; r == 0 && i < HISTORY_GAP_N; i++) {
			if (h->agg.gaps[i].until_us)
				r = day_file_put_gap(file, (enum history_gap)i, &h->agg.gaps[i]);
		}
	}
	if (r == 0)
		r = day_file_put_rings(file, h->batch_rings, LIMIT_WORKERS);
	if (r == 0)
		r = day_file_put_saved(file, h->area.state.area_id, h->batch);
	return r;
}

/* They are in the file; what is noted from here on is for the next one. */
static void forget_gaps(struct historian *h)
{
	for (int i = 0; i < HISTORY_GAP_N; i++)
		historian_count(h, COUNT_HISTORY_GAPS, h->agg.gaps[i].until_us != 0);
	memset(h->agg.gaps, 0, sizeof(h->agg.gaps));
	memset(h->batch_gaps, 0, sizeof(h->batch_gaps));
}

static int write_group(struct historian *h, struct batch *batch, struct group *group,
                       uint64_t wall_us)
{
	uint64_t id_base = group->n ? batch->sorted[group->first]->id : 0;
	struct day_file *file;
	int r;

	r = historian_file(h, group->day, group->kind, HISTORIAN_MAKE, id_base, &file);
	if (r < 0)
		return r;
	historian_step(h);
	r = day_file_begin(file);
	if (r == 0)
		r = put_all(h, batch, group, file);
	group->unsure = r == 0;
	if (r == 0)
		r = day_file_commit(file, wall_us);
	historian_step(h);
	if (r < 0) {
		day_file_rollback(file);
		return r;
	}
	historian_count(h, COUNT_HISTORY_TRANSACTIONS, 1);
	historian_count(h, COUNT_HISTORY_ROWS, group->n);
	group->done = true;
	group->unsure = false;
	if (group->day == h->area.state.day && group->kind == DAY_DENY)
		forget_gaps(h);
	return ERR_OK;
}

/* Let go of what the files have now. */
static void forget(struct historian *h, struct batch *batch)
{
	struct agg_gap gaps[HISTORY_GAP_N];
	bool all = !batch->left_over;

	for (size_t i = 0; i < batch->n_groups; i++)
		all &= batch->groups[i].done;
	if (!all) { /* the answers stay, too: they can be put again */
		for (size_t i = 0; i < batch->n_groups; i++) {
			if (batch->groups[i].done)
				agg_drop_file(&h->agg, batch->groups[i].day, batch->groups[i].kind);
		}
		return;
	}
	h->retell |= h->agg.answers_lost;
	memcpy(gaps, h->agg.gaps, sizeof(gaps));
	agg_clear(&h->agg);
	memcpy(h->agg.gaps, gaps, sizeof(gaps));
}

void historian_save(struct historian *h)
{
	area_save(&h->area, &h->agg, &h->next, h->batch);
	historian_step(h);
	for (unsigned int i = 0; i < LIMIT_WORKERS; i++) {
		if (h->rings[i].ring.head)
			ring_release(&h->rings[i].ring, h->area.state.rings[i].pos);
	}
	historian_step(h);
}

/* Would the disk take a little? */
static bool has_room(const struct historian *h)
{
	CLEANUP(fd_close) int fd = -1;
	char path[PATH_LEN];
	off_t bytes = (off_t)MIN(agg_saved_bytes(&h->agg) / 2 + ROOM_MIN, (size_t)ROOM_MAX);
	bool room;

	if (snprintf(path, sizeof(path), "%s/room.part", h->dir) >= (int)sizeof(path))
		return true;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	room = fd < 0 ? errno != ENOSPC
	              : fallocate(fd, 0, 0, bytes) == 0 || (errno != ENOSPC && errno != EDQUOT);
	unlink(path);
	return room; /* yes, where nobody can say */
}

static int write_batch(struct historian *h, uint64_t wall_us)
{
	struct batch batch = { 0 };
	bool unsure = false;
	int first = ERR_OK, r;

	r = historian_settle(h);
	if (r < 0) {
		historian_count(h, COUNT_HISTORY_ERRORS, 1);
		historian_save(h);
		return r;
	}
	if (h->batch) {
		historian_end_batch(h);
		/* The backlog still says under which token that one was held, and would have the
		 * files asked for it: what is written from here on has another one. */
		historian_save(h);
	}
	/* A batch that does not fit takes as much of the processor as one that does, and more with
	 * each try; whoever answers queries wants it, too. */
	if (h->no_room && !has_room(h)) {
		historian_count(h, COUNT_HISTORY_ERRORS, 1);
		historian_save(h);
		return ERR_NOSPC;
	}
	r = make_groups(h, &batch);
	if (r < 0)
		return r;
	/* From here on what is read goes into next, and positions run ahead of the batch. */
	historian_hold_batch(h, h->area.state.generation);
	memcpy(h->batch_rings, h->area.state.rings, sizeof(h->batch_rings));
	for (size_t i = 0; i < batch.n_groups; i++) {
		struct group *group = &batch.groups[i];

		r = write_group(h, &batch, group, wall_us);
		if (r == ERR_DAMAGED) { /* moved aside; once more into a new file */
			historian_file_failed(h, group->day, group->kind, r);
			r = write_group(h, &batch, group, wall_us);
		}
		if (r < 0) {
			historian_count(h, COUNT_HISTORY_ERRORS, 1);
			historian_file_failed(h, group->day, group->kind, r);
			first = first ? first : r;
			unsure |= group->unsure;
		}
	}
	/* The files were closed; opened again they tell, now or later. */
	if (!unsure || historian_settle(h) == 0) {
		forget(h, &batch);
		historian_end_batch(h);
	}
	free(batch.sorted);
	historian_save(h);
	historian_leave_readers(h);
	return first;
}

/* What an earlier historian has noted waits in its file until it can be told: no reason to hold
 * back what is asked now. */
static void settle_note(struct historian *h, uint64_t wall_us)
{
	int r = historian_note_settle(h, wall_us);

	historian_count(h, COUNT_HISTORY_ERRORS, r < 0);
	if (r < 0 && r != h->settle_err) /* once, though it is tried every second */
		log_error(HISTORY_TAG,
		          "what an earlier historian could not write cannot be told yet: %s",
		          err_str(r));
	h->settle_err = r;
}

int historian_write(struct historian *h, uint64_t wall_us)
{
	int r = write_batch(h, wall_us);

	h->no_room = r == ERR_NOSPC;
	if (r == 0) {
		historian_store_catalogs(h);
		settle_note(h, wall_us);
	} else {
		historian_note_save(h);
	}
	return r;
}
