/* db/historian_note.c - what the backlog held when nobody was left who could write it.
 *
 * While the disk refuses, each try to write ends with a note of what would be missing if everything
 * died now; when the disk takes it after all, the note is emptied. So what a note says is true only
 * for a historian with another backlog than the one it was of, and only of files that have not
 * taken that batch or a later one. What is true becomes a debt, which is noted first and then told,
 * by a transaction that carries its name: a death at any step leaves it to be told exactly once.
 */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "historian_core.h"
#include "sallyport/log.h"

#define NEVER_WRITTEN ((uint64_t)INT64_MAX) /* the token of what no later batch can hold */

static const char died_with[] = "kept in memory while the disk refused, until everything ended";

static bool is_ours(const struct historian *h, const struct note_part *part)
{
	return part->area_id == h->area.state.area_id;
}

static void owe(const struct historian *h, struct note *note, unsigned int cause,
                const struct agg_gap *gap)
{
	agg_gap_join(&note->debt[cause], gap);
	note->debt_day = h->area.state.day;
	randombytes_buf(&note->debt_id, sizeof(note->debt_id));
	note->debt_id |= 1; /* 0 is none */
}

static int put(struct historian *h, const struct note *note)
{
	int r;

	if (memcmp(note, &h->note, sizeof(*note)) == 0)
		return ERR_OK;
	r = note_file_write(&h->note_file, note);
	historian_step(h);
	if (r == 0)
		h->note = *note;
	return r;
}

void historian_note_open(struct historian *h)
{
	struct agg_gap unknown = { .from_us = h->last_wall_us,
		                   .until_us = h->last_wall_us,
		                   .note = "the note of what was unwritten was damaged" };
	struct note note = { 0 };
	int r = note_file_open(h->dir, &h->note_file, &h->note);

	if (r < 0 && r != h->note_err) /* once, though it is tried again and again */
		log_error(HISTORY_TAG, "%s/" NOTE_NAME ": %s", h->dir, err_str(r));
	h->note_err = r;
	if (r != ERR_DAMAGED)
		return;
	owe(h, &note, HISTORY_GAP_AREA, &unknown);
	(void)put(h, &note); /* or it is found damaged at the next start, too */
}

/* Leave only the parts of other backlogs. */
static void drop_ours(const struct historian *h, struct note *note)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < note->n_parts; i++) {
		if (!is_ours(h, &note->parts[i]))
			note->parts[n++] = note->parts[i];
	}
	memset(note->parts + n, 0, (note->n_parts - n) * sizeof(note->parts[0]));
	note->n_parts = n;
}

/* --- noting ---------------------------------------------------------------------------------- */

/* More files than a batch can have share the last place, and are told without being asked. */
static struct note_part *part_for(const struct historian *h, struct note *note,
                                  const struct note_part *key)
{
	const struct note_part spilt = { .area_id = h->area.state.area_id,
		                         .token = NEVER_WRITTEN,
		                         .day = h->area.state.day,
		                         .kind = DAY_DENY,
		                         .cause = HISTORY_GAP_AREA };
	struct note_part *part = note_part(note, key, NOTE_PARTS_MAX - 1);

	if (!part)
		part = note_part(note, &spilt, NOTE_PARTS_MAX);
	return part ? part : &note->parts[NOTE_PARTS_MAX - 1];
}

static void add(const struct historian *h, struct note *note, const struct note_part *key,
                struct agg_gap gap)
{
	gap.from_us = MIN(gap.from_us, gap.until_us);
	agg_gap_join(&part_for(h, note, key)->gap, &gap);
}

static void add_entries(const struct historian *h, struct note *note, const struct agg *agg,
                        uint64_t token)
{
	for (size_t i = 0; i < agg->n; i++) {
		const struct agg_entry *entry = &agg->entries[i];
		const struct note_part key = { .area_id = h->area.state.area_id,
			                       .token = token,
			                       .day = entry->key.day,
			                       .kind = entry->key.kind,
			                       .cause = HISTORY_GAP_AREA };
		struct agg_gap gap = { .from_us = entry->first_us, .until_us = entry->last_us };

		gap.lost[entry->key.verdict] = entry->count;
		memcpy(gap.note, died_with, sizeof(died_with));
		add(h, note, &key, gap);
	}
}

static void add_gap(const struct historian *h, struct note *note, int cause, uint64_t token,
                    const struct agg_gap *gap)
{
	const struct note_part key = { .area_id = h->area.state.area_id,
		                       .token = token,
		                       .day = h->area.state.day,
		                       .kind = DAY_DENY,
		                       .cause = (uint8_t)cause };

	if (gap->until_us)
		add(h, note, &key, *gap);
}

/* A gap that has grown since the batch began, which may have what was told by then. */
static struct agg_gap beyond(const struct agg_gap *gap, const struct agg_gap *told)
{
	struct agg_gap more = *gap;

	if (memcmp(gap, told, sizeof(*gap)) == 0)
		return (struct agg_gap){ 0 };
	for (int v = 0; v < VERDICT_N; v++)
		more.lost[v] -= told->lost[v];
	more.kernel_drops -= told->kernel_drops;
	return more;
}

static void add_ours(const struct historian *h, struct note *note)
{
	uint64_t token = h->area.state.generation; /* the next batch's, or an earlier one's */

	add_entries(h, note, &h->agg, h->batch ? h->batch : token);
	add_entries(h, note, &h->next, token);
	for (int i = 0; i < HISTORY_GAP_N; i++) {
		struct agg_gap more = beyond(&h->agg.gaps[i], &h->batch_gaps[i]);

		if (h->batch)
			add_gap(h, note, i, h->batch, &h->batch_gaps[i]);
		add_gap(h, note, i, token, h->batch ? &more : &h->agg.gaps[i]);
	}
}

static void add_left(const struct historian *h, struct note *note)
{
	for (unsigned int i = 0; i < LIMIT_WORKERS; i++) {
		struct agg_gap left = { .from_us = h->accounted_us,
			                .until_us = MAX(h->last_wall_us, UINT64_C(1)) };
		uint64_t sum = 0;

		historian_account_left(h, i, left.lost);
		for (int v = 0; v < VERDICT_N; v++)
			sum += left.lost[v];
		memcpy(left.note, died_with, sizeof(died_with));
		if (sum)
			add_gap(h, note, HISTORY_GAP_AREA, NEVER_WRITTEN, &left);
	}
}

void historian_note_save(struct historian *h)
{
	struct note note;

	if (h->note_file.fd < 0) /* with luck the room for it is there by now */
		historian_note_open(h);
	note = h->note;
	drop_ours(h, &note);
	add_ours(h, &note);
	(void)put(h, &note); /* it is tried again with the next write, and with a word at the end */
}

static void log_last(const struct historian *h, const struct note *note, int err)
{
	unsigned long long denied = 0, others = 0;

	for (uint32_t i = 0; i < note->n_parts; i++) {
		const struct note_part *part = &note->parts[i];

		if (!is_ours(h, part))
			continue;
		denied += part->gap.lost[VERDICT_DENY];
		others += part->gap.lost[VERDICT_ALLOW] + part->gap.lost[VERDICT_LOCAL];
	}
	log_error(HISTORY_TAG, "%llu denials and %llu other queries are in no file; %s%s", denied,
	          others, err < 0 ? "this cannot be noted: " : "the next start tells of them",
	          err < 0 ? err_str(err) : "");
}

void historian_note_last(struct historian *h, enum historian_say say)
{
	struct note note;
	int r;

	historian_note_save(h);
	note = h->note;
	drop_ours(h, &note);
	add_ours(h, &note);
	add_left(h, &note);
	r = put(h, &note);
	if (say == HISTORIAN_SAY)
		log_last(h, &note, r);
}

/* --- telling --------------------------------------------------------------------------------- */

bool historian_note_owes(const struct historian *h)
{
	return h->note.n_parts || h->note.debt_id;
}

/* Ask the files; what they lack is owed. Parts of files that cannot be asked now stay. */
static int ask_files(struct historian *h, struct note *note)
{
	int first = ERR_OK;
	uint32_t n = 0;

	for (uint32_t i = 0; i < note->n_parts; i++) {
		const struct note_part part = note->parts[i];
		uint64_t token;
		int r =
		    historian_saved(h, part.day, (enum day_kind)part.kind, part.area_id, &token);

		if (r < 0) {
			first = first ? first : r;
			note->parts[n++] = part;
		} else if (token < part.token) {
			owe(h, note, part.cause, &part.gap);
		}
	}
	memset(note->parts + n, 0, (note->n_parts - n) * sizeof(note->parts[0]));
	note->n_parts = n;
	return first;
}

static int put_debt(struct historian *h, struct day_file *file, uint64_t wall_us)
{
	const struct note *note = &h->note;
	int r = day_file_begin(file);

	for (int i = 0; r == 0 && i < HISTORY_GAP_N; i++) {
		if (note->debt[i].until_us)
			r = day_file_put_gap(file, (enum history_gap)i, &note->debt[i]);
	}
	if (r == 0)
		r = day_file_put_saved(file, note->debt_id, 1);
	if (r == 0)
		r = day_file_commit(file, wall_us);
	if (r < 0)
		day_file_rollback(file);
	return r;
}

static int tell_debt(struct historian *h, uint64_t wall_us)
{
	const struct note *note = &h->note;
	struct day_file *file;
	uint64_t told;
	int r = historian_saved(h, note->debt_day, DAY_DENY, note->debt_id, &told);

	if (r < 0 || told)
		return r;
	r = historian_file(h, note->debt_day, DAY_DENY, HISTORIAN_MAKE, 0, &file);
	if (r < 0)
		return r;
	r = put_debt(h, file, wall_us);
	historian_step(h);
	if (r < 0) {
		historian_file_failed(h, note->debt_day, DAY_DENY, r);
		return r;
	}
	for (int i = 0; i < HISTORY_GAP_N; i++)
		historian_count(h, COUNT_HISTORY_GAPS, note->debt[i].until_us != 0);
	log_warning(HISTORY_TAG, "what an earlier historian could not write is told as a gap");
	return ERR_OK;
}

static int pay_debt(struct historian *h, uint64_t wall_us)
{
	struct note note;
	int r;

	if (!h->note.debt_id)
		return ERR_OK;
	r = tell_debt(h, wall_us);
	if (r < 0)
		return r;
	note = h->note;
	note.debt_id = note.debt_day = 0;
	memset(note.debt, 0, sizeof(note.debt));
	return put(h, &note);
}

int historian_note_settle(struct historian *h, uint64_t wall_us)
{
	struct note note;
	int r, asked;

	if (h->note_file.fd < 0)
		historian_note_open(h);
	if (h->note_file.fd < 0 || !historian_note_owes(h))
		return ERR_OK;
	/* An earlier one first, by itself: it may have been told under its name. */
	r = pay_debt(h, wall_us);
	if (r < 0)
		return r;
	note = h->note;
	drop_ours(h, &note);
	asked = ask_files(h, &note);
	r = put(h, &note);
	if (r == 0)
		r = pay_debt(h, wall_us);
	return r < 0 ? r : asked;
}
