/* fwsync/wheel.c - lists of rows by the second of their end. */
#include "wheel.h"

#include <stdlib.h>
#include <string.h>

#include "sallyport/clock.h"
#include "sallyport/err.h"

#define LINGER WHEEL_SLOTS

int wheel_init(struct wheel *wheel, uint32_t n_rows, uint64_t now_ns)
{
	memset(wheel->first, 0xff, sizeof(wheel->first)); /* WHEEL_NONE */
	memset(wheel->last, 0xff, sizeof(wheel->last));
	wheel->tick_s = now_ns / NS_PER_S;
	wheel->lingering = 0;
	wheel->links = calloc(n_rows, sizeof(*wheel->links));
	return wheel->links ? ERR_OK : ERR_NOMEM;
}

void wheel_fini(struct wheel *wheel)
{
	free(wheel->links);
}

/* Append, so that the head of a list is its oldest. */
static void append(struct wheel *wheel, uint32_t row, uint32_t slot)
{
	struct wheel_link *link = &wheel->links[row];

	link->place = slot + 1;
	link->after = WHEEL_NONE;
	link->before = wheel->last[slot];
	if (link->before != WHEEL_NONE)
		wheel->links[link->before].after = row;
	else
		wheel->first[slot] = row;
	wheel->last[slot] = row;
	if (slot == LINGER)
		wheel->lingering++;
}

void wheel_put(struct wheel *wheel, uint32_t row, uint64_t expires_ns)
{
	/* The second after, so that a row has expired when its slot's turn comes. */
	append(wheel, row, (uint32_t)((expires_ns / NS_PER_S + 1) % WHEEL_SLOTS));
}

void wheel_put_next(struct wheel *wheel, uint32_t row)
{
	append(wheel, row, (uint32_t)((wheel->tick_s + 1) % WHEEL_SLOTS));
}

void wheel_put_lingering(struct wheel *wheel, uint32_t row)
{
	append(wheel, row, LINGER);
}

void wheel_remove(struct wheel *wheel, uint32_t row)
{
	struct wheel_link *link = &wheel->links[row];
	uint32_t slot = link->place - 1;

	if (link->place == 0)
		return;
	if (slot == LINGER)
		wheel->lingering--;
	if (link->before != WHEEL_NONE)
		wheel->links[link->before].after = link->after;
	else
		wheel->first[slot] = link->after;
	if (link->after != WHEEL_NONE)
		wheel->links[link->after].before = link->before;
	else
		wheel->last[slot] = link->before;
	link->place = 0;
}

bool wheel_turn(struct wheel *wheel, uint64_t now_s, uint32_t *ret_first)
{
	uint32_t slot;

	if (wheel->tick_s >= now_s)
		return false;
	slot = (uint32_t)(++wheel->tick_s % WHEEL_SLOTS);
	*ret_first = wheel->first[slot];
	wheel->first[slot] = wheel->last[slot] = WHEEL_NONE;
	/* Detached first: what goes round again may come back into the same slot. */
	for (uint32_t i = *ret_first; i != WHEEL_NONE; i = wheel->links[i].after)
		wheel->links[i].place = 0;
	return true;
}

uint32_t wheel_after(const struct wheel *wheel, uint32_t row)
{
	return wheel->links[row].after;
}

uint32_t wheel_oldest_lingering(const struct wheel *wheel)
{
	return wheel->first[LINGER];
}
