#include "poller.h"

#include <errno.h>
#include <unistd.h>

static void on_ready(uv_poll_t *handle, int status, int events)
{
	struct poller *poller = handle->data;
	int n;

	(void)status; /* an epoll descriptor has no errors of its own */
	(void)events;
	n = epoll_wait(poller->epfd, poller->events, poller->most, 0);
	poller->full = n == poller->most;
	if (n <= 0)
		return;
	if (poller->turn)
		poller->turn(poller->ctx);
	poller->n = n;
	for (poller->at = 0; poller->at < poller->n; poller->at++) {
		struct poller_item *item = poller->events[poller->at].data.ptr;

		if (!item)
			continue;
		item->ready(item, poller->events[poller->at].events);
		if (poller->between)
			poller->between(poller->ctx);
	}
	poller->n = 0;
}

int poller_init(struct poller *poller, uv_loop_t *loop, void (*turn)(void *ctx), void *ctx)
{
	int r;

	poller->n = poller->at = 0;
	poller->most = POLLER_BATCH;
	poller->full = false;
	poller->turn = turn;
	poller->between = NULL;
	poller->ctx = ctx;
	poller->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (poller->epfd < 0)
		return -errno;
	r = uv_poll_init(loop, &poller->handle, poller->epfd);
	if (r < 0) {
		close(poller->epfd);
		return r;
	}
	poller->handle.data = poller;
	return uv_poll_start(&poller->handle, UV_READABLE, on_ready);
}

static void on_closed(uv_handle_t *handle)
{
	struct poller *poller = handle->data;

	close(poller->epfd);
}

void poller_fini(struct poller *poller)
{
	uv_close((uv_handle_t *)&poller->handle, on_closed);
}

int poller_add(struct poller *poller, struct poller_item *item, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = item };

	return epoll_ctl(poller->epfd, EPOLL_CTL_ADD, item->fd, &event) == 0 ? 0 : -errno;
}

int poller_change(struct poller *poller, struct poller_item *item, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = item };

	return epoll_ctl(poller->epfd, EPOLL_CTL_MOD, item->fd, &event) == 0 ? 0 : -errno;
}

void poller_remove(struct poller *poller, struct poller_item *item)
{
	if (item->fd < 0)
		return;
	/* Closing takes a socket out of the set when ours was the last descriptor of it. */
	if (item->shared)
		epoll_ctl(poller->epfd, EPOLL_CTL_DEL, item->fd, NULL);
	close(item->fd);
	item->fd = -1;
	for (int i = poller->at + 1; i < poller->n; i++) {
		if (poller->events[i].data.ptr == item)
			poller->events[i].data.ptr = NULL;
	}
}
