/* keeper/channel.c - one role's channel on the loop. */
#include "channel.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/err.h"

struct pending {
	struct pending *next;
	enum role_msg_type type;
	uint64_t a, b;
	int fds[ROLE_FDS_MAX];
	size_t n_fds, len;
	uint8_t payload[];
};

struct channel {
	uv_poll_t poll;
	int fd;
	const struct channel_ops *ops; /* NULL once freed */
	void *arg;
	struct pending *first, **last;
	size_t n_pending;
	bool broken; /* tell `closed` at the next event */
	int why;
	uint8_t buf[LIMIT_ROLE_MESSAGE];
};

static void pending_free(struct pending *p)
{
	for (size_t i = 0; i < p->n_fds; i++)
		close(p->fds[i]);
	free(p);
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void listen_for(struct channel *ch)
{
	int events = UV_READABLE | (ch->first || ch->broken ? UV_WRITABLE : 0);

	/* Cannot fail: the handle was started with this descriptor before. */
	(void)uv_poll_start(&ch->poll, events, on_poll);
}

static void tell_closed(struct channel *ch, int why)
{
	const struct channel_ops *ops = ch->ops;

	uv_poll_stop(&ch->poll);
	if (ops)
		ops->closed(ch->arg, why);
}

/* Returns false when the channel is over. */
static bool send_pending(struct channel *ch)
{
	while (ch->first) {
		struct pending *p = ch->first;
		int r =
		    role_send(ch->fd, p->type, p->a, p->b, p->payload, p->len, p->fds, p->n_fds);

		if (r == ERR_AGAIN)
			return true;
		if (r < 0) {
			tell_closed(ch, r);
			return false;
		}
		ch->first = p->next;
		if (!ch->first)
			ch->last = &ch->first;
		ch->n_pending--;
		pending_free(p);
	}
	return true;
}

/* At most so many messages in one turn, so that no role can keep the keeper for itself. */
#define MESSAGES_A_TURN 64

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct channel *ch = poll->data;

	if (ch->broken || status < 0) {
		tell_closed(ch, ch->broken ? ch->why : status);
		return;
	}
	if ((events & UV_WRITABLE) && !send_pending(ch))
		return;
	for (int i = 0; (events & UV_READABLE) && i < MESSAGES_A_TURN; i++) {
		struct role_msg msg;
		int r = role_recv(ch->fd, ch->buf, sizeof(ch->buf), &msg);

		if (r == ERR_AGAIN)
			break;
		if (r < 0) {
			tell_closed(ch, r);
			return;
		}
		ch->ops->message(ch->arg, &msg);
		role_msg_close(&msg);
		if (!ch->ops ||
		    ch->broken) /* freed inside the callback, or its answer did not fit */
			break;
	}
	if (ch->ops)
		listen_for(ch);
}

int channel_new(uv_loop_t *loop, int fd, const struct channel_ops *ops, void *arg,
                struct channel **ret_channel)
{
	struct channel *ch = calloc(1, sizeof(*ch));
	int flags = fcntl(fd, F_GETFL), r;

	if (!ch || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		free(ch);
		close(fd);
		return ERR_NOMEM;
	}
	ch->fd = fd;
	ch->ops = ops;
	ch->arg = arg;
	ch->last = &ch->first;
	r = uv_poll_init(loop, &ch->poll, fd);
	if (r < 0) {
		close(fd);
		free(ch);
		return r;
	}
	ch->poll.data = ch;
	listen_for(ch);
	*ret_channel = ch;
	return ERR_OK;
}

static void on_closed(uv_handle_t *handle)
{
	struct channel *ch = handle->data;

	while (ch->first) {
		struct pending *p = ch->first;

		ch->first = p->next;
		pending_free(p);
	}
	close(ch->fd);
	free(ch);
}

void channel_free(struct channel *ch)
{
	if (!ch)
		return;
	ch->ops = NULL;
	uv_close((uv_handle_t *)&ch->poll, on_closed);
}

static int enqueue(struct channel *ch, enum role_msg_type type, uint64_t a, uint64_t b,
                   const void *payload, size_t len, const int *fds, size_t n_fds)
{
	struct pending *p = malloc(sizeof(*p) + len);

	if (!p)
		return ERR_NOMEM;
	*p = (struct pending){ .type = type, .a = a, .b = b, .len = len };
	if (len)
		memcpy(p->payload, payload, len);
	for (; p->n_fds < n_fds; p->n_fds++) {
		p->fds[p->n_fds] = fcntl(fds[p->n_fds], F_DUPFD_CLOEXEC, 3);
		if (p->fds[p->n_fds] < 0) {
			int r = -errno;

			pending_free(p);
			return r;
		}
	}
	*ch->last = p;
	ch->last = &p->next;
	ch->n_pending++;
	listen_for(ch);
	return ERR_OK;
}

int channel_send(struct channel *ch, enum role_msg_type type, uint64_t a, uint64_t b,
                 const void *payload, size_t len, const int *fds, size_t n_fds)
{
	int r = ERR_AGAIN;

	if (ch->broken)
		return ERR_CLOSED;
	if (n_fds > ROLE_FDS_MAX)
		return ERR_LIMIT;
	if (!ch->first)
		r = role_send(ch->fd, type, a, b, payload, len, fds, n_fds);
	if (r == ERR_AGAIN)
		r = ch->n_pending < CHANNEL_QUEUE_MAX
		        ? enqueue(ch, type, a, b, payload, len, fds, n_fds)
		        : ERR_LIMIT;
	if (r < 0) {
		ch->broken = true;
		ch->why = r;
		listen_for(ch);
	}
	return r;
}
