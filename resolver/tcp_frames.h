/* resolver/tcp_frames.h - DNS messages out of a TCP stream (RFC 1035, section 4.2.2; RFC 7766,
 * section 8): two octets of length, then the message. Pure: no socket here.
 *
 * One fixed buffer. A message that is longer than the buffer is handed out cut to what fits, and
 * the rest of it is skipped: it cannot be parsed then, and the stream stays in step.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tcp_frames {
	uint8_t *buf;   /* the owner's */
	size_t cap;     /* at least 2 + the longest message that is taken whole */
	size_t at, len; /* octets at .. len have come and have not been handed out */
	size_t skip;    /* octets of a message that was cut, still to come */
};

void tcp_frames_init(struct tcp_frames *frames, uint8_t *buf, size_t cap);
/* Where to read into; at least one octet once tcp_frames_next() has said false. Messages that were
 * handed out before are gone. */
uint8_t *tcp_frames_room(struct tcp_frames *frames, size_t *ret_room);
void tcp_frames_added(struct tcp_frames *frames, size_t n);
/* The next message, borrowed until tcp_frames_room(). False: more octets are needed. */
bool tcp_frames_next(struct tcp_frames *frames, const uint8_t **ret_msg, size_t *ret_len);

/* Has a message begun that has not ended? */
static inline bool tcp_frames_partial(const struct tcp_frames *frames)
{
	return frames->skip > 0 || frames->at < frames->len;
}
