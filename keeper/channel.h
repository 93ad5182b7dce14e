/* keeper/channel.h - the keeper's end of one role's channel, on the loop.
 *
 * Sending never blocks: what the socket does not take waits in a bounded queue, descriptors
 * duplicated. Callbacks come from the loop only, never from inside a call made here.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "sallyport/cleanup.h"
#include "sallyport/role.h"

#define CHANNEL_QUEUE_MAX 8192 /* messages waiting; more: the role has stopped reading: closed */

struct channel; /* opaque */
struct channel_ops {
	/* Descriptors in @msg that the callback does not take (set to -1) are closed after it. */
	void (*message)(void *arg, struct role_msg *msg);
	/* The other side is gone, spoke nonsense, or stopped reading. Called once; the callback may
	 * free the channel. */
	void (*closed)(void *arg, int why);
};

/* @fd is owned from here on, whatever is returned. @ops and @arg are borrowed until
 * channel_free(). */
int channel_new(uv_loop_t *loop, int fd, const struct channel_ops *ops, void *arg,
                struct channel **ret_channel) MUST_CHECK;
/* No callback comes after this. NULL is fine. */
void channel_free(struct channel *channel);

/* As role_send(); ERR_LIMIT when the queue is full (then `closed` comes, too), ERR_NOMEM. */
int channel_send(struct channel *channel, enum role_msg_type type, uint64_t a, uint64_t b,
                 const void *payload, size_t len, const int *fds, size_t n_fds);
