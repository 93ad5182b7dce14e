#include "stream.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sallyport/err.h"

static int watch(struct stream *stream, uint32_t events)
{
	int r;

	if (events == stream->events)
		return 0;
	r = poller_change(stream->poller, &stream->item, events);
	if (r == 0)
		stream->events = events;
	return r;
}

int stream_init(struct stream *stream, struct poller *poller, int fd, size_t out_max,
                uint32_t events, void (*ready)(struct poller_item *item, uint32_t events))
{
	*stream = (struct stream){
		.item = { .fd = fd, .ready = ready },
		.poller = poller,
		.out_max = out_max,
		.events = events,
	};
	int r = poller_add(poller, &stream->item, events);

	if (r < 0) {
		close(fd);
		stream->item.fd = -1;
	}
	return r;
}

void stream_fini(struct stream *stream)
{
	poller_remove(stream->poller, &stream->item);
	free(stream->out);
	stream->out = NULL;
	stream->out_at = stream->out_len = stream->out_cap = 0;
}

int stream_read_on(struct stream *stream)
{
	return watch(stream, stream->events | EPOLLIN);
}

int stream_read_off(struct stream *stream)
{
	return watch(stream, stream->events & ~(uint32_t)EPOLLIN);
}

/* As much as the kernel takes. Returns the octets taken or an error. */
static ssize_t push(struct stream *stream, const uint8_t *data, size_t len)
{
	ssize_t n;

	do
		n = send(stream->item.fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	return errno == EAGAIN ? 0 : -errno;
}

static int keep(struct stream *stream, const uint8_t *data, size_t len)
{
	size_t waiting = stream_waiting(stream);

	if (len > stream->out_max || waiting > stream->out_max - len)
		return ERR_LIMIT;
	if (stream->out_at > 0) {
		memmove(stream->out, stream->out + stream->out_at, waiting);
		stream->out_at = 0;
		stream->out_len = waiting;
	}
	if (stream->out_cap < waiting + len) {
		size_t cap = MAX(waiting + len, (size_t)2048);
		uint8_t *out = realloc(stream->out, cap);

		if (!out)
			return ERR_NOMEM;
		stream->out = out;
		stream->out_cap = cap;
	}
	memcpy(stream->out + stream->out_len, data, len);
	stream->out_len += len;
	return watch(stream, stream->events | EPOLLOUT);
}

int stream_send(struct stream *stream, const uint8_t *data, size_t len)
{
	ssize_t n = 0;

	if (stream_waiting(stream) == 0) {
		n = push(stream, data, len);
		if (n < 0)
			return (int)n;
	}
	return (size_t)n < len ? keep(stream, data + n, len - (size_t)n) : 0;
}

int stream_flush(struct stream *stream)
{
	size_t waiting = stream_waiting(stream);

	if (waiting > 0) {
		ssize_t n = push(stream, stream->out + stream->out_at, waiting);

		if (n < 0)
			return (int)n;
		stream->out_at += (size_t)n;
	}
	if (stream_waiting(stream) > 0)
		return 0;
	/* What was needed once for a slow reader is not kept for ever. */
	free(stream->out);
	stream->out = NULL;
	stream->out_at = stream->out_len = stream->out_cap = 0;
	return watch(stream, stream->events & ~(uint32_t)EPOLLOUT);
}

ssize_t stream_recv(struct stream *stream, uint8_t *buf, size_t cap)
{
	ssize_t n;

	do
		n = recv(stream->item.fd, buf, cap, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	return errno == EAGAIN ? (ssize_t)ERR_AGAIN : -errno;
}
