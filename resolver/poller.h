/* resolver/poller.h - many short-lived sockets under one uv handle.
 *
 * A uv_poll_t for each socket of an exchange costs four epoll_ctl calls and cannot be freed before
 * its close callback. Here the sockets stand in an epoll set of their own, and the loop polls that
 * set: one epoll_ctl a socket, and an item may be freed as soon as it has been removed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <uv.h>

#include "sallyport/cleanup.h"

#define POLLER_BATCH 16

struct poller_item {
	int fd;      /* owned by the poller while it stands in it; -1: none */
	bool shared; /* other processes have it, too: closing ours does not end the watch */
	void (*ready)(struct poller_item *item,
	              uint32_t events); /* EPOLLIN, EPOLLOUT, EPOLLERR... */
};

struct poller {
	uv_poll_t handle;
	int epfd;
	int most;  /* events of a round, 1..POLLER_BATCH: each may cost as much as a query */
	int n, at; /* of the events that are being handed out */
	bool full; /* the last round was a whole batch: what was begun before may be behind */
	struct epoll_event events[POLLER_BATCH];
	/* Called before a round of events (the worker's clock), and after each of them (what else
	 * there is to be done in between); may be NULL. */
	void (*turn)(void *ctx);
	void (*between)(void *ctx);
	void *ctx;
};

int poller_init(struct poller *poller, uv_loop_t *loop, void (*turn)(void *ctx),
                void *ctx) MUST_CHECK;
void poller_fini(struct poller *poller); /* the items must have been removed */
/* Returns 0 or -errno; then the descriptor is the caller's. */
int poller_add(struct poller *poller, struct poller_item *item, uint32_t events) MUST_CHECK;
int poller_change(struct poller *poller, struct poller_item *item, uint32_t events) MUST_CHECK;
/* Close the descriptor; no event for @item is delivered any more. Fine without one. */
void poller_remove(struct poller *poller, struct poller_item *item);
