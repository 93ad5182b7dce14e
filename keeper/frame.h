/* keeper/frame.h - one request frame of the control socket, put together from the pieces that a
 * non-blocking socket gives. Pure; foreign bytes.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/control.h"

struct frame {
	struct control_head head;
	size_t have;      /* octets so far, head included */
	uint8_t *payload; /* allocated when the head is known */
};

/* Take what belongs to the frame of @len octets at @data. Returns how many were taken, or
 * ERR_MALFORMED (not a request), ERR_LIMIT (too long), ERR_NOMEM. */
int frame_feed(struct frame *frame, const uint8_t *data, size_t len) MUST_CHECK;
/* How many octets are still missing, at least; 0: the frame is whole. */
size_t frame_missing(const struct frame *frame);
void frame_fini(struct frame *frame);
