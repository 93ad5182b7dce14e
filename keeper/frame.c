/* keeper/frame.c - a request frame from pieces. */
#include "frame.h"

#include <stdlib.h>
#include <string.h>

#include "sallyport/err.h"

size_t frame_missing(const struct frame *f)
{
	if (f->have < sizeof(f->head))
		return sizeof(f->head) - f->have;
	return sizeof(f->head) + f->head.len - f->have;
}

static int check_head(struct frame *f)
{
	if (f->head.kind != CONTROL_REQUEST)
		return ERR_MALFORMED;
	if (f->head.len > LIMIT_CONTROL_FRAME)
		return ERR_LIMIT;
	if (f->head.len == 0)
		return ERR_MALFORMED; /* a request has a verb */
	f->payload = malloc(f->head.len);
	return f->payload ? ERR_OK : ERR_NOMEM;
}

int frame_feed(struct frame *f, const uint8_t *data, size_t len)
{
	size_t taken = 0;

	while (taken < len && frame_missing(f) > 0) {
		size_t n = MIN(frame_missing(f), len - taken);

		if (f->have < sizeof(f->head))
			memcpy((uint8_t *)&f->head + f->have, data + taken, n);
		else
			memcpy(f->payload + f->have - sizeof(f->head), data + taken, n);
		f->have += n;
		taken += n;
		if (f->have == sizeof(f->head)) {
			int r = check_head(f);

			if (r < 0)
				return r;
		}
	}
	return (int)MIN(taken, (size_t)INT32_MAX);
}

void frame_fini(struct frame *f)
{
	free(f->payload);
	*f = (struct frame){ 0 };
}
