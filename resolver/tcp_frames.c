#include "tcp_frames.h"

#include <assert.h>
#include <string.h>

#include "sallyport/cleanup.h"

void tcp_frames_init(struct tcp_frames *frames, uint8_t *buf, size_t cap)
{
	assert(cap > 2);
	*frames = (struct tcp_frames){ .buf = buf, .cap = cap };
}

uint8_t *tcp_frames_room(struct tcp_frames *frames, size_t *ret_room)
{
	if (frames->at > 0) {
		memmove(frames->buf, frames->buf + frames->at, frames->len - frames->at);
		frames->len -= frames->at;
		frames->at = 0;
	}
	*ret_room = frames->cap - frames->len;
	return frames->buf + frames->len;
}

void tcp_frames_added(struct tcp_frames *frames, size_t n)
{
	assert(n <= frames->cap - frames->len);
	frames->len += n;
}

bool tcp_frames_next(struct tcp_frames *frames, const uint8_t **ret_msg, size_t *ret_len)
{
	size_t skip = MIN(frames->skip, frames->len - frames->at), have, want;
	const uint8_t *head;

	frames->at += skip;
	frames->skip -= skip;
	have = frames->len - frames->at;
	if (have < 2)
		return false;

	head = frames->buf + frames->at;
	want = (size_t)head[0] << 8 | head[1];
	if (have - 2 < want) {
		if (have < frames->cap)
			return false;
		frames->skip = want - (have - 2);
		want = have - 2;
	}
	*ret_msg = head + 2;
	*ret_len = want;
	frames->at += 2 + want;
	return true;
}
