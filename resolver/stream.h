/* resolver/stream.h - a TCP socket of the poller with a bounded buffer of what the other side has
 * not taken yet. Clients' connections and those to upstreams stand on it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "poller.h"
#include "sallyport/cleanup.h"

struct stream {
	struct poller_item item;
	struct poller *poller;
	uint8_t *out; /* heap; octets out_at .. out_len wait */
	size_t out_at, out_len, out_cap;
	size_t out_max;  /* more than this waiting: ERR_LIMIT */
	uint32_t events; /* what the poller watches for */
};

/* Take @fd (non-blocking; closed after an error) into @poller. */
int stream_init(struct stream *stream, struct poller *poller, int fd, size_t out_max,
                uint32_t events,
                void (*ready)(struct poller_item *item, uint32_t events)) MUST_CHECK;
void stream_fini(struct stream *stream); /* closes; fine twice */

int stream_read_on(struct stream *stream) MUST_CHECK;
int stream_read_off(struct stream *stream) MUST_CHECK;
/* Send @len octets or keep them. Returns 0, ERR_LIMIT, ERR_NOMEM or -errno: then the connection is
 * of no use any more. */
int stream_send(struct stream *stream, const uint8_t *data, size_t len) MUST_CHECK;
int stream_flush(struct stream *stream) MUST_CHECK; /* on EPOLLOUT; the same results */
/* Octets read, 0 at the end of the stream, ERR_AGAIN or -errno. */
ssize_t stream_recv(struct stream *stream, uint8_t *buf, size_t cap) MUST_CHECK;

static inline size_t stream_waiting(const struct stream *stream)
{
	return stream->out_len - stream->out_at;
}
