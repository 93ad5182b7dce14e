#include "wheel.h"

#include "sallyport/clock.h"

#define TICK_NS (WHEEL_TICK_MS * NS_PER_MS)

static void list_init(struct wheel_item *head)
{
	head->next = head->prev = head;
}

static bool list_empty(const struct wheel_item *head)
{
	return head->next == head;
}

static void list_add(struct wheel_item *head, struct wheel_item *item)
{
	item->next = head;
	item->prev = head->prev;
	head->prev->next = item;
	head->prev = item;
}

void wheel_clear(struct wheel_item *item)
{
	if (!item->next)
		return;
	item->prev->next = item->next;
	item->next->prev = item->prev;
	item->next = item->prev = NULL;
}

static void place(struct wheel *wheel, struct wheel_item *item)
{
	uint64_t tick = MAX(item->due_ns / TICK_NS, wheel->tick);

	list_add(&wheel->slots[tick % WHEEL_SLOTS], item);
}

static void on_timer(uv_timer_t *timer);

static void arm(struct wheel *wheel, uint64_t when_ns, uint64_t now_ns)
{
	uint64_t ms = when_ns > now_ns ? (when_ns - now_ns) / NS_PER_MS + 1 : 1;

	wheel->armed_ns = when_ns;
	uv_timer_start(&wheel->timer, on_timer, ms, 0);
}

/* Everything in the slots that have passed fires; what lies a turn of the wheel ahead stays. */
static void fire_slot(struct wheel *wheel, struct wheel_item *slot, uint64_t now_ns)
{
	struct wheel_item due;

	if (list_empty(slot))
		return;
	due = *slot;
	due.next->prev = due.prev->next = &due;
	list_init(slot);
	while (!list_empty(&due)) {
		struct wheel_item *item = due.next;

		wheel_clear(item);
		if (item->due_ns > now_ns) {
			place(wheel, item);
			continue;
		}
		item->fire(item);
		if (wheel->between)
			wheel->between(wheel->ctx);
	}
}

static void on_timer(uv_timer_t *timer)
{
	struct wheel *wheel = timer->data;
	uint64_t now_ns, last, n;

	if (wheel->turn)
		wheel->turn(wheel->ctx);
	now_ns = clock_mono_ns();
	last = now_ns / TICK_NS;
	n = last > wheel->tick ? MIN(last - wheel->tick, (uint64_t)WHEEL_SLOTS) : 0;
	wheel->armed_ns = UINT64_MAX;
	/* The slot of the present tick is not over: it stays for the next round. */
	uint64_t first = last - n;

	wheel->tick = last;
	for (uint64_t i = 0; i < n; i++)
		fire_slot(wheel, &wheel->slots[(first + i) % WHEEL_SLOTS], now_ns);

	for (uint64_t i = 0; i < WHEEL_SLOTS; i++) {
		if (list_empty(&wheel->slots[(last + i) % WHEEL_SLOTS]))
			continue;
		arm(wheel, (last + i + 1) * TICK_NS, now_ns);
		return;
	}
}

int wheel_init(struct wheel *wheel, uv_loop_t *loop, void (*turn)(void *ctx), void *ctx)
{
	int r = uv_timer_init(loop, &wheel->timer);

	if (r < 0)
		return r;
	wheel->timer.data = wheel;
	wheel->tick = clock_mono_ns() / TICK_NS;
	wheel->armed_ns = UINT64_MAX;
	wheel->turn = turn;
	wheel->between = NULL;
	wheel->ctx = ctx;
	for (size_t i = 0; i < WHEEL_SLOTS; i++)
		list_init(&wheel->slots[i]);
	return 0;
}

void wheel_fini(struct wheel *wheel)
{
	uv_close((uv_handle_t *)&wheel->timer, NULL);
}

void wheel_set(struct wheel *wheel, struct wheel_item *item, uint64_t due_ns)
{
	uint64_t end_ns;

	wheel_clear(item);
	item->due_ns = due_ns;
	/* A wheel at rest has fallen behind; what is set must not land in slots long past. */
	if (wheel->armed_ns == UINT64_MAX)
		wheel->tick = MAX(wheel->tick, clock_mono_ns() / TICK_NS);
	place(wheel, item);
	end_ns = (MAX(due_ns / TICK_NS, wheel->tick) + 1) * TICK_NS;
	if (end_ns < wheel->armed_ns)
		arm(wheel, end_ns, clock_mono_ns());
}
