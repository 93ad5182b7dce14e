/* fwsync/wheel.h - which rows end in which second, and which linger, oldest first.
 *
 * A row is in one list at most. Lives longer than the wheel go round again: whoever takes a slot's
 * rows looks at each row's end and puts back what is not due.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sallyport/cleanup.h"

#define WHEEL_NONE UINT32_MAX
#define WHEEL_SLOTS 1024u /* seconds */

struct wheel_link {
	uint32_t place; /* 1 + slot; 0: in no list, so memory never touched is right */
	uint32_t before, after;
};
struct wheel {
	struct wheel_link *links;                               /* one a row */
	uint32_t first[WHEEL_SLOTS + 1], last[WHEEL_SLOTS + 1]; /* the last list lingers */
	uint64_t tick_s; /* the second whose slot was taken last */
	uint32_t lingering;
};

int wheel_init(struct wheel *wheel, uint32_t n_rows, uint64_t now_ns) MUST_CHECK;
void wheel_fini(struct wheel *wheel);

void wheel_put(struct wheel *wheel, uint32_t row, uint64_t expires_ns);
/* Into the slot whose turn is next. */
void wheel_put_next(struct wheel *wheel, uint32_t row);
void wheel_put_lingering(struct wheel *wheel, uint32_t row);
void wheel_remove(struct wheel *wheel, uint32_t row); /* fine if it is in no list */

/* Go one second on, not beyond @now_s: its rows leave the wheel, chained by wheel_after(). False:
 * there is no second left. */
bool wheel_turn(struct wheel *wheel, uint64_t now_s, uint32_t *ret_first);
/* The next in a list, or of those that wheel_turn() took (ask before the row is put back). */
uint32_t wheel_after(const struct wheel *wheel, uint32_t row);
uint32_t wheel_oldest_lingering(const struct wheel *wheel);
