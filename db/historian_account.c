/* db/historian_account.c - what is missing from the history, told as gaps.
 *
 * A ring's head counts every query ever offered and every one lost, by verdict; we count those
 * read. lost and those that were never judged are simply told when they rise. What was offered, not
 * lost and not read is either still on its way (put, not yet published: the producer is in the
 * middle of a batch) or gone with a producer that died, so it counts only if it stays: the smallest
 * difference within HISTORIAN_WINDOW_MS, of the moments in which the ring was empty, is what has
 * vanished for good.
 */
#include "historian_core.h"
#include "sallyport/log.h"

static uint64_t counter_of(const _Atomic uint64_t *n)
{
	return atomic_load_explicit(n, memory_order_relaxed);
}

/* More than any worker counts between two looks: a gap's row must stay a number that can be added.
 */
#define RISE_MAX (UINT64_C(1) << 40)

enum account_end { ACCOUNT_GOING_ON, ACCOUNT_LAST };

static uint64_t rise(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

/* How much a count of the producer's has risen. A hostile one may count backwards, which tells
 * nothing, or beyond reason, which is told as the most that can be. */
static uint64_t told_rise(struct historian *h, uint64_t now, uint64_t before)
{
	uint64_t risen = rise(now, before);

	if (risen <= RISE_MAX)
		return risen;
	historian_count(h, COUNT_HISTORY_MALFORMED, 1);
	return RISE_MAX;
}

static uint64_t missing(const struct historian_ring *ring, const struct area_ring *known, int v)
{
	uint64_t offered = counter_of(&ring->ring.head->offered[v]);
	uint64_t lost = counter_of(&ring->ring.head->lost[v]);

	return rise(offered, lost + known->consumed[v]);
}

/* Queries that no verdict is known of: lost before they were read, dropped, or in flight in a
 * producer that died. Whether one has died, the next one tells, or the end. */
static uint64_t unjudged(const struct ring_head *head, enum account_end end)
{
	return counter_of(&head->kernel_drops) + counter_of(&head->dropped) +
	       (end == ACCOUNT_LAST ? ring_in_flight(head) : counter_of(&head->abandoned));
}

static void account_losses(struct historian *h, unsigned int i, uint64_t from_us, uint64_t now_us,
                           enum account_end end)
{
	static const uint64_t none[VERDICT_N];
	struct historian_ring *ring = &h->rings[i];
	struct area_ring *known = &h->area.state.rings[i];
	uint64_t lost[VERDICT_N], dropped, drops, sum = 0;

	for (int v = 0; v < VERDICT_N; v++) {
		uint64_t now = counter_of(&ring->ring.head->lost[v]);

		lost[v] = told_rise(h, now, known->lost[v]);
		sum |= lost[v];
		known->lost[v] = MAX(known->lost[v], now);
	}
	if (sum)
		agg_gap(&h->agg, HISTORY_GAP_RING, from_us, now_us, lost, 0, NULL);

	dropped = unjudged(ring->ring.head, end);
	drops = told_rise(h, dropped, known->kernel_drops);
	if (drops)
		agg_gap(&h->agg, HISTORY_GAP_KERNEL, from_us, now_us, none, drops, NULL);
	known->kernel_drops = MAX(known->kernel_drops, dropped);
}

/* Tell what has vanished beyond what was told; @gone is how many are gone in all. */
static void account_vanished(struct historian *h, unsigned int i, uint64_t now_us,
                             const uint64_t gone[static VERDICT_N])
{
	struct historian_ring *ring = &h->rings[i];
	struct area_ring *known = &h->area.state.rings[i];
	uint64_t lost[VERDICT_N], sum = 0;

	for (int v = 0; v < VERDICT_N; v++) {
		lost[v] = told_rise(h, gone[v], known->vanished[v]);
		sum |= lost[v];
		known->vanished[v] = MAX(known->vanished[v], gone[v]);
	}
	/* What was malformed in this window is surely missing at the end of the next one only. */
	if (sum)
		agg_gap(&h->agg,
		        ring->malformed[0] || ring->malformed[1] ? HISTORY_GAP_FORMAT
		                                                 : HISTORY_GAP_CRASH,
		        rise(now_us, UINT64_C(1000) * HISTORIAN_WINDOW_MS), now_us, lost, 0, NULL);
}

static void turn_window(struct historian *h, unsigned int i)
{
	struct historian_ring *ring = &h->rings[i];

	if (ring->malformed[0])
		log_warning(HISTORY_TAG, "worker %u told %llu records that break the format", i,
		            (unsigned long long)ring->malformed[0]);
	ring->malformed[1] = ring->malformed[0];
	ring->malformed[0] = 0;
	for (int v = 0; v < VERDICT_N; v++)
		ring->min_missing[v] = UINT64_MAX;
}

void historian_account_sample(struct historian *h, unsigned int i)
{
	struct historian_ring *ring = &h->rings[i];
	const struct area_ring *known = &h->area.state.rings[i];
	uint64_t now[VERDICT_N];

	for (int v = 0; v < VERDICT_N; v++)
		now[v] = missing(ring, known, v);
	atomic_thread_fence(memory_order_acquire);
	/* What lies in the ring unread is not missing. */
	if (atomic_load_explicit(&ring->ring.head->head, memory_order_acquire) > known->pos)
		return;
	for (int v = 0; v < VERDICT_N; v++)
		ring->min_missing[v] = MIN(ring->min_missing[v], now[v]);
}

void historian_account(struct historian *h, uint64_t wall_us, uint64_t boot_ns)
{
	bool window_ends = boot_ns >= h->window_end_ns;
	uint64_t from_us = h->accounted_us ? MIN(h->accounted_us, wall_us) : wall_us;

	for (unsigned int i = 0; i < LIMIT_WORKERS; i++) {
		struct historian_ring *ring = &h->rings[i];
		struct area_ring *known = &h->area.state.rings[i];

		if (!ring->ring.head)
			continue;
		account_losses(h, i, from_us, wall_us, ACCOUNT_GOING_ON);
		if (!window_ends)
			continue;
		/* Never emptied in this window: nobody can tell yet. */
		if (ring->min_missing[0] != UINT64_MAX) {
			for (int v = 0; v < VERDICT_N && ring->adopt_counts; v++)
				known->vanished[v] = ring->min_missing[v];
			ring->adopt_counts = false;
			account_vanished(h, i, wall_us, ring->min_missing);
		}
		turn_window(h, i);
	}
	if (window_ends)
		h->window_end_ns = boot_ns + HISTORIAN_WINDOW_MS * NS_PER_MS;
	h->accounted_us = wall_us;
}

void historian_account_last(struct historian *h, uint64_t wall_us)
{
	for (unsigned int i = 0; i < LIMIT_WORKERS; i++) {
		struct historian_ring *ring = &h->rings[i];
		uint64_t gone[VERDICT_N];

		if (!ring->ring.head || ring->adopt_counts)
			continue;
		account_losses(h, i, MIN(h->accounted_us, wall_us), wall_us, ACCOUNT_LAST);
		for (int v = 0; v < VERDICT_N; v++)
			gone[v] = missing(ring, &h->area.state.rings[i], v);
		/* What could not be taken from the ring is there for a successor. */
		if (atomic_load_explicit(&ring->ring.head->head, memory_order_acquire) <=
		    h->area.state.rings[i].pos)
			account_vanished(h, i, wall_us, gone);
	}
}

void historian_account_left(const struct historian *h, unsigned int i,
                            uint64_t ret_left[static VERDICT_N])
{
	const struct historian_ring *ring = &h->rings[i];
	const struct area_ring *known = &h->area.state.rings[i];

	for (int v = 0; v < VERDICT_N; v++)
		ret_left[v] =
		    !ring->ring.head || ring->adopt_counts
			? 0
			: MIN(rise(missing(ring, known, v), known->vanished[v]), RISE_MAX);
}
