/* db/historian.c - from the rings into the history files: draining, timing, starting, stopping.
 *
 * Which day a record belongs to must not depend on when it is read, or a record that is read again
 * after a death could land in another file. So it depends on the record's own time and on
 * area.state.day alone, and that day changes only in the very save that moves the positions.
 */
#include "historian.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "db/area.h"
#include "historian_core.h"
#include "sallyport/log.h"

int historian_new(const struct historian_options *options, struct historian **ret_historian)
{
	CLEANUP(historian_free) struct historian *h = calloc(1, sizeof(*h));
	int r;

	if (!h || sodium_init() < 0)
		return ERR_NOMEM;
	h->options = *options;
	h->note_file.fd = -1;
	h->dir = strdup(options->dir);
	h->record = malloc(LIMIT_RECORD_BYTES);
	if (!h->dir || !h->record)
		return ERR_NOMEM;
	r = agg_init(&h->agg);
	if (r == 0)
		r = area_init(&h->area, options->area, options->area_len);
	if (r < 0)
		return r;
	*ret_historian = TAKE(h);
	return ERR_OK;
}

void historian_free(struct historian *h)
{
	if (!h)
		return;
	historian_close_files(h, DAY_FILE_KEEP);
	note_file_close(&h->note_file);
	for (unsigned int i = 0; i < LIMIT_WORKERS; i++)
		ring_consumer_close(&h->rings[i].ring);
	historian_free_catalogs(h);
	agg_fini(&h->agg);
	agg_fini(&h->next);
	free(h->record);
	free(h->dir);
	free(h);
}

int historian_add_ring(struct historian *h, unsigned int worker, int data_fd, int back_fd)
{
	if (worker >= LIMIT_WORKERS)
		return ERR_LIMIT;
	if (h->rings[worker].ring.head)
		return ERR_EXIST;
	return ring_consumer_open(&h->rings[worker].ring, data_fd, back_fd);
}

/* --- starting -------------------------------------------------------------------------------- */

static void start_ring(struct historian *h, unsigned int i)
{
	struct historian_ring *ring = &h->rings[i];
	struct area_ring *known = &h->area.state.rings[i];
	uint64_t tail, head;

	if (!ring->ring.head) {
		*known = (struct area_ring){ 0 };
		return;
	}
	tail = atomic_load_explicit(&ring->ring.back->tail, memory_order_relaxed);
	head = atomic_load_explicit(&ring->ring.head->head, memory_order_acquire);
	if (known->id != ring->ring.id) {
		*known = (struct area_ring){ .id = ring->ring.id, .pos = tail };
		ring->adopt_counts = tail > 0; /* somebody read it, and nobody knows what */
	} else if (known->pos < tail || known->pos - tail > ring->ring.n_slots) {
		known->pos = tail; /* cannot be: the tail moves after the backlog */
		ring->adopt_counts = true;
	}
	ring->replay_until = head;
	for (int v = 0; v < VERDICT_N; v++)
		ring->min_missing[v] = UINT64_MAX;
}

static void raise_answers(struct historian *h)
{
	for (unsigned int i = 0; i < LIMIT_WORKERS; i++) {
		if (h->rings[i].ring.head)
			atomic_fetch_add_explicit(&h->rings[i].ring.back->answers_generation, 1,
			                          memory_order_release);
	}
}

/* A clock that is wrong at boot looks like files of the future, or like a long silence. Nothing is
 * deleted by age then before somebody had a day to set it right. */
static void check_clock_at_start(struct historian *h, uint64_t wall_ns, uint64_t boot_ns)
{
	CLEANUP(free) struct day_entry *entries = NULL;
	static const uint64_t none[VERDICT_N];
	uint32_t today = (uint32_t)(wall_ns / DAY_NS);
	size_t n;

	if (day_list(h->dir, &entries, &n, NULL) < 0 || n == 0)
		return;
	uint32_t newest = entries[n - 1].day;

	if (newest <= today && today - newest <= 2)
		return;
	h->delete_from_ns = boot_ns + HISTORIAN_JUMP_WAIT_S * NS_PER_S;
	log_warning(HISTORY_TAG, "the newest history file is %u days %s; nothing is deleted today",
	            newest > today ? newest - today : today - newest,
	            newest > today ? "ahead of the clock" : "old");
	if (newest > today)
		agg_gap(&h->agg, HISTORY_GAP_CLOCK, wall_ns / 1000, newest * DAY_US, none, 0,
		        "the clock was ahead before this start");
}

void historian_start(struct historian *h, uint64_t wall_ns, uint64_t boot_ns)
{
	static const uint64_t none[VERDICT_N];
	const struct area_state *state = &h->area.state;
	size_t bad;
	int r;

	h->last_wall_us = wall_ns / 1000;
	if (area_load(&h->area, &h->agg, &h->next, &bad) < 0) {
		log_error(HISTORY_TAG, "the backlog is damaged; what it held is lost");
		agg_gap(&h->agg, HISTORY_GAP_AREA, h->last_wall_us, h->last_wall_us, none, 0,
		        "the backlog was damaged");
	} else if (bad) {
		log_error(HISTORY_TAG, "%zu entries of the backlog are damaged", bad);
		agg_gap(&h->agg, HISTORY_GAP_AREA, h->last_wall_us, h->last_wall_us, none, 0,
		        "entries of the backlog were damaged");
	}
	/* Some files may have it already: those that carry its token, or that of the batch in the
	 * middle of which it was saved. */
	if (state->generation)
		historian_hold_batch(h, state->batch ? state->batch : state->generation);
	if (h->area.state.day == 0)
		h->area.state.day = (uint32_t)MIN(wall_ns / DAY_NS, (uint64_t)DAY_MAX);
	for (unsigned int i = 0; i < LIMIT_WORKERS; i++)
		start_ring(h, i);
	r = historian_settle(h);
	if (r == 0 && h->batch)
		historian_end_batch(h);
	if (r < 0)
		log_error(HISTORY_TAG, "what the history has of the backlog cannot be read: %s",
		          err_str(r));
	historian_note_open(h);
	raise_answers(h);
	check_clock_at_start(h, wall_ns, boot_ns);

	h->next_write_ns = boot_ns;
	h->window_end_ns = boot_ns + HISTORIAN_WINDOW_MS * NS_PER_MS;
	h->accounted_us = h->last_wall_us;
	h->next_rotate_ns = boot_ns;
	h->started = true;
	/* From here on the state names these rings and this day, whatever happens. */
	historian_save(h);
}

/* --- draining -------------------------------------------------------------------------------- */

/* The day that a record of this time is filed under; @time_us is moved into it if it is absurd. */
static uint32_t day_of(const struct historian *h, uint64_t *time_us)
{
	uint32_t today = h->area.state.day;
	uint64_t day = *time_us / DAY_US;

	if (day <= today + UINT64_C(1) && day + HISTORIAN_DAYS_BACK >= today && day <= DAY_MAX)
		return (uint32_t)day;
	*time_us = day < today ? today * DAY_US : (today + UINT64_C(1)) * DAY_US - 1;
	return today;
}

/* Is the record at @pos in its file already? Only asked for what lay in the ring at the start.
 * Returns 1, 0, or why that cannot be said now. */
static int is_written(struct historian *h, const struct historian_ring *ring, uint64_t pos,
                      uint32_t day, enum day_kind kind)
{
	struct area_ring known;
	struct day_file *file;
	int r;

	if (pos >= ring->replay_until)
		return 0;
	r = historian_file(h, day, kind, HISTORIAN_EXISTING, 0, &file);
	if (r < 0)
		return r == ERR_NOENT ? 0 : r;
	r = day_file_ring(file, ring->ring.id, &known);
	return r < 0 ? r : pos < known.pos;
}

static int take_query(struct historian *h, unsigned int i, uint64_t pos)
{
	const struct record_query *query = (const void *)h->record;
	uint64_t time_us = query->time_ns / 1000;
	uint32_t day = day_of(h, &time_us);
	int r = is_written(h, &h->rings[i], pos, day, agg_kind(query));

	if (r < 0)
		return r;
	if (r > 0)
		r = ERR_OK;
	else
		r = agg_put(h->batch ? &h->next : &h->agg, query, day, time_us);
	if (r == 0)
		h->area.state.rings[i].consumed[query->verdict]++;
	return r;
}

/* Take the record in h->record, which began at @pos. Returns 0, ERR_LIMIT (no room)
 * or why it has to stay there. */
static int take(struct historian *h, unsigned int i, uint64_t pos, size_t len)
{
	const struct record *record = (const void *)h->record;

	switch ((enum record_type)record->type) {
	case RECORD_QUERY:
		if (agg_query_check(h->record, len))
			return take_query(h, i, pos);
		break;
	case RECORD_ANSWER:
		if (agg_answer_check(h->record, len)) {
			agg_put_answer(h->batch ? &h->next : &h->agg, (const void *)h->record);
			return ERR_OK;
		}
		break;
	}
	h->rings[i].malformed[0]++;
	h->area.state.rings[i].malformed++;
	historian_count(h, COUNT_HISTORY_MALFORMED, 1);
	return ERR_OK;
}

static void write_now(struct historian *h, uint64_t wall_us, uint64_t boot_ns)
{
	int r = historian_write(h, wall_us);

	if (r == 0) {
		if (h->retry_ms)
			log_info(HISTORY_TAG, "the history can be written again");
		h->retry_ms = 0;
		h->next_write_ns = boot_ns + HISTORIAN_WRITE_MS * NS_PER_MS;
		return;
	}
	if (h->retry_ms == 0)
		log_error(HISTORY_TAG, "the history cannot be written: %s; it is kept in memory",
		          err_str(r));
	h->retry_ms =
	    MIN(MAX(h->retry_ms * 2, (uint64_t)HISTORIAN_WRITE_MS), (uint64_t)HISTORIAN_RETRY_MS);
	h->next_write_ns = boot_ns + h->retry_ms * NS_PER_MS;
}

/* No room for the record in hand: write, and if that fails give something up. */
static void make_room(struct historian *h, uint64_t wall_us, uint64_t boot_ns)
{
	if (h->retry_ms == 0)
		write_now(h, wall_us, boot_ns);
	if (h->batch) /* a file may have it: nothing of it can be counted as given up */
		return;
	if (agg_is_filling(&h->agg) && !agg_shrink(&h->agg))
		agg_clear(&h->agg); /* cannot be: the last step of shrinking drops everything */
}

/* Seldom needed: made when it is. */
static bool make_next(struct historian *h)
{
	if (h->next.entries)
		return true;
	if (agg_init(&h->next) < 0)
		return false;
	agg_reserve(&h->next, &h->agg);
	return true;
}

static void drain(struct historian *h, unsigned int i, uint64_t wall_us, uint64_t boot_ns)
{
	struct historian_ring *ring = &h->rings[i];
	struct area_ring *known = &h->area.state.rings[i];
	uint64_t head = atomic_load_explicit(&ring->ring.head->head, memory_order_acquire);

	if (h->batch && !make_next(h))
		return;
	/* What comes meanwhile is for the next time, so that no ring starves the others. */
	while (known->pos < head) {
		uint64_t pos = known->pos, next = pos;
		int len;

		/* Much of it: written first, and read on beside the writing. */
		if (!h->batch && agg_is_filling(&h->agg) && h->retry_ms == 0 && !h->stopping &&
		    h->catalog_look_ns == 0)
			break;
		len = ring_get(&ring->ring, &next, h->record, LIMIT_RECORD_BYTES);
		if (len == 0)
			break;
		if (len < 0) {
			ring->malformed[0]++;
			known->malformed++;
			historian_count(h, COUNT_HISTORY_MALFORMED, 1);
			known->pos = MAX(pos, next);
			break;
		}
		agg_expect(h->batch ? &h->next : &h->agg, ring_hint(&ring->ring, next));
		int r = take(h, i, pos, (size_t)len);

		if (r < 0) {
			if (h->batch || r != ERR_LIMIT)
				break;
			h->draining = true; /* the record in hand is to be read once */
			make_room(h, wall_us, boot_ns);
			h->draining = false;
			if ((h->batch && !make_next(h)) || take(h, i, pos, (size_t)len) < 0)
				break; /* the record stays in the ring */
		}
		known->pos = next;
	}
}

/* How full of records that are read and not yet released the fullest ring is: 0 (none) to 8. */
static unsigned int ring_fill(const struct historian *h)
{
	uint64_t most = 0;

	for (unsigned int i = 0; i < LIMIT_WORKERS; i++) {
		const struct ring_consumer *ring = &h->rings[i].ring;

		if (!ring->head)
			continue;
		uint64_t tail = atomic_load_explicit(&ring->back->tail, memory_order_relaxed);
		uint64_t used = h->area.state.rings[i].pos - tail;

		most = MAX(most, (used * 8 + ring->n_slots - 1) / ring->n_slots);
	}
	return (unsigned int)MIN(most, UINT64_C(8));
}

void historian_drain_beside(struct historian *h)
{
	if (h->draining || historian_is_quiet(h))
		return;
	for (unsigned int i = 0; i < LIMIT_WORKERS; i++) {
		const struct historian_ring *ring = &h->rings[i];

		/* What a predecessor may have written is asked of the files, and one of them is
		 * being written. */
		if (ring->ring.head && h->area.state.rings[i].pos >= ring->replay_until)
			drain(h, i, 0, 0);
	}
	if (ring_fill(h) >= 4)
		historian_save(h);
}

static bool has_news(const struct historian *h)
{
	return h->batch || h->agg.n || h->agg.n_answers || agg_has_gap(&h->agg) ||
	       historian_note_owes(h);
}

/* A version that rows in memory are of and whose names nobody here knows; 0: there is none. */
static uint32_t nameless(struct historian *h)
{
	uint32_t last = 0;

	for (size_t i = 0; i < h->agg.n; i++) {
		uint32_t version = h->agg.entries[i].key.policy_version;

		if (version == last || version == 0)
			continue;
		if (!historian_catalog(h, version))
			return version;
		last = version;
	}
	return 0;
}

/* Names of a policy version that have not come yet are worth a short wait. Only turns count: while
 * we are stopped or held up nothing can come, and what lies in the channel is read first. */
static bool waits_for_catalog(struct historian *h, uint64_t boot_ns)
{
	uint64_t passed =
	    h->catalog_look_ns ? boot_ns - MIN(boot_ns, h->catalog_look_ns) : UINT64_C(0);

	if (!nameless(h)) {
		h->catalog_look_ns = h->catalog_waited_ns = 0;
		return false;
	}
	h->catalog_look_ns = boot_ns;
	h->catalog_waited_ns += MIN(passed, HISTORIAN_CATALOG_TURN_MS * NS_PER_MS);
	return h->catalog_waited_ns < HISTORIAN_CATALOG_WAIT_MS * NS_PER_MS;
}

static void check_clock(struct historian *h, uint64_t wall_us, uint64_t boot_ns)
{
	static const uint64_t none[VERDICT_N];

	if (h->last_boot_ns) {
		uint64_t expected = h->last_wall_us + (boot_ns - h->last_boot_ns) / 1000;
		uint64_t off = wall_us > expected ? wall_us - expected : expected - wall_us;
		char note[64];

		if (off > HISTORIAN_JUMP_MS * UINT64_C(1000)) {
			snprintf(note, sizeof(note), "%s by %llu s",
			         wall_us > expected ? "forward" : "back",
			         (unsigned long long)(off / 1000000));
			log_warning(HISTORY_TAG, "the wall clock jumped %s", note);
			agg_gap(&h->agg, HISTORY_GAP_CLOCK, MIN(wall_us, expected),
			        MAX(wall_us, expected), none, 0, note);
			h->delete_from_ns = boot_ns + HISTORIAN_JUMP_WAIT_S * NS_PER_S;
		}
	}
	h->last_wall_us = wall_us;
	h->last_boot_ns = boot_ns;
}

/* A new day: its files are other ones, and producers must tell their answers again. */
static void check_day(struct historian *h, uint64_t wall_ns)
{
	uint32_t today = (uint32_t)MIN(wall_ns / DAY_NS, (uint64_t)DAY_MAX);

	if (today == h->area.state.day || h->batch)
		return;
	/* Right after a save nothing depends on the old day any more, and the gaps that wait go
	 * with the new one. */
	h->area.state.day = today;
	historian_save(h);
	if (historian_note_owes(h)) /* it names the day's file */
		historian_note_save(h);
	raise_answers(h);
}

void historian_tick(struct historian *h, uint64_t wall_ns, uint64_t boot_ns)
{
	uint64_t wall_us = wall_ns / 1000;
	bool due;

	check_clock(h, wall_us, boot_ns);
	for (unsigned int i = 0; i < LIMIT_WORKERS; i++) {
		if (!h->rings[i].ring.head)
			continue;
		drain(h, i, wall_us, boot_ns);
		historian_account_sample(h, i);
	}
	if (!h->batch) /* else a file may know more than we do; what is missing does not run away */
		historian_account(h, wall_us, boot_ns);

	/* A ring that fills up is given its room by a save, which costs a copy of memory; the disk
	 * is asked once a second, so that what is identical within it is one row. */
	due = boot_ns >= h->next_write_ns;
	if (((due && has_news(h)) || (agg_is_filling(&h->agg) && h->retry_ms == 0)) &&
	    !waits_for_catalog(h, boot_ns))
		write_now(h, wall_us, boot_ns);
	else if (ring_fill(h) >= 4 || (due && ring_fill(h) > 0))
		historian_save(h);
	check_day(h, wall_ns);

	if (h->retell && boot_ns >= h->retell_ns) {
		raise_answers(h);
		h->retell = false;
		h->retell_ns = boot_ns + HISTORIAN_RETELL_MS * NS_PER_MS;
	}
	if (boot_ns >= h->next_finish_ns) {
		uint64_t late_ns = HISTORIAN_LATE_S * NS_PER_S;

		historian_finish_old(h, (uint32_t)((MAX(wall_ns, late_ns) - late_ns) / DAY_NS));
		h->next_finish_ns = boot_ns + HISTORIAN_LATE_S * NS_PER_S;
	}
	if (boot_ns >= h->next_rotate_ns)
		historian_rotate(h, wall_ns, boot_ns);
}

void historian_rotate(struct historian *h, uint64_t wall_ns, uint64_t boot_ns)
{
	h->next_rotate_ns = boot_ns + HISTORIAN_ROTATE_S * NS_PER_S;
	if (boot_ns < h->delete_from_ns) {
		log_info(HISTORY_TAG, "nothing is deleted by age so soon after the clock jumped");
		return;
	}
	historian_retention(h, wall_ns);
}

int historian_stop(struct historian *h, uint64_t wall_ns, uint64_t boot_ns)
{
	uint64_t wall_us = wall_ns / 1000;
	int r;

	h->stopping = true;
	check_clock(h, wall_us, boot_ns);
	for (unsigned int i = 0; i < LIMIT_WORKERS; i++) {
		if (h->rings[i].ring.head)
			drain(h, i, wall_us, boot_ns);
	}
	r = historian_settle(h);
	if (r == 0) {
		if (h->batch)
			historian_end_batch(h);
		historian_account_last(h, wall_us);
		r = historian_write(h, wall_us);
		if (r == 0 && !historian_is_quiet(h))
			r = ERR_AGAIN; /* records had to stay in a ring */
	} else {
		historian_account_last(h, wall_us);
		historian_save(h);
	}
	if (r < 0) {
		enum historian_say say = r == h->stop_err ? HISTORIAN_QUIET : HISTORIAN_SAY;

		if (say == HISTORIAN_SAY)
			log_error(HISTORY_TAG, "the last records could not be written: %s",
			          err_str(r));
		historian_note_last(h, say);
	}
	h->stop_err = r;
	historian_close_files(h, DAY_FILE_KEEP);
	return r;
}

bool historian_is_quiet(const struct historian *h)
{
	for (unsigned int i = 0; i < LIMIT_WORKERS; i++) {
		const struct ring_consumer *ring = &h->rings[i].ring;

		if (ring->head && atomic_load_explicit(&ring->head->head, memory_order_acquire) >
		                      h->area.state.rings[i].pos)
			return false;
	}
	return true;
}

void historian_keep(struct historian *h, uint64_t allow_keep_s, uint64_t deny_keep_s)
{
	h->options.allow_keep_s = allow_keep_s;
	h->options.deny_keep_s = deny_keep_s;
}

uint64_t historian_backlog(const struct historian *h)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < LIMIT_WORKERS; i++) {
		const struct ring_consumer *ring = &h->rings[i].ring;

		if (ring->head)
			n += h->area.state.rings[i].pos -
			     atomic_load_explicit(&ring->back->tail, memory_order_relaxed);
	}
	return n + h->agg.n + h->next.n;
}
