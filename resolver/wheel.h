/* resolver/wheel.h - many deadlines of one worker under one uv timer.
 *
 * A hashed wheel: setting, moving and clearing a deadline cost a few pointer writes, whatever the
 * number. Deadlines fire up to WHEEL_TICK_MS late, never early. Nothing ticks while nothing is set.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "sallyport/cleanup.h"

#define WHEEL_SLOTS 256
#define WHEEL_TICK_MS 8

struct wheel_item {
	struct wheel_item *next, *prev;        /* NULL: not set */
	uint64_t due_ns;                       /* CLOCK_MONOTONIC */
	void (*fire)(struct wheel_item *item); /* from the loop; the item is not set any more */
};

struct wheel {
	uv_timer_t timer;
	uint64_t tick;                        /* every slot before it is done */
	uint64_t armed_ns;                    /* when the timer runs; UINT64_MAX: it does not */
	struct wheel_item slots[WHEEL_SLOTS]; /* list heads */
	/* Called before a round of firing (the worker's clock), and after each that has fired (what
	 * else there is to be done in between); may be NULL. */
	void (*turn)(void *ctx);
	void (*between)(void *ctx);
	void *ctx;
};

int wheel_init(struct wheel *wheel, uv_loop_t *loop, void (*turn)(void *ctx), void *ctx) MUST_CHECK;
void wheel_fini(struct wheel *wheel); /* uv_close of the timer; items are forgotten */
/* Set @item to fire at @due_ns, or move it there. */
void wheel_set(struct wheel *wheel, struct wheel_item *item, uint64_t due_ns);
void wheel_clear(struct wheel_item *item); /* fine if not set */

static inline bool wheel_is_set(const struct wheel_item *item)
{
	return item->next != NULL;
}
