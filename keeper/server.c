/* keeper/server.c - the control socket. */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "frame.h"
#include "rights.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/log.h"

#define TAG "control"
#define LISTEN_BACKLOG 64

enum client_state {
	CLIENT_ASKING,    /* its request is being read */
	CLIENT_ANSWERING, /* more answers may come */
	CLIENT_ENDING,    /* the exit status is in the buffer */
	CLIENT_GONE,      /* the handle is being closed */
};

struct server_client {
	uv_poll_t poll;
	uv_timer_t stall;
	int open_handles;
	int fd;
	enum client_state state;
	bool deaf;       /* its answer could not be kept: it gets no more of it */
	bool in_request; /* a call into the handler or the stream is on the stack */
	struct server *server;
	struct server_client *next;
	uint32_t uid;
	bool may_change;
	struct frame frame;
	int fds[CONTROL_FDS_MAX];
	size_t n_fds;
	uint8_t *out;
	size_t out_len, out_cap, out_sent;
	void (*gone)(void *arg);
	void *gone_arg;
	struct server_stream stream;
};

struct server {
	uv_poll_t poll;
	int fd;
	uv_loop_t *loop;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct server_access access;
	server_request_cb *cb;
	void *arg;
	struct server_client *clients;
	size_t n_clients;
	size_t unread_bytes;   /* room that answers take, of all clients */
	uint64_t complained_s; /* the last line's second, and what was left unsaid since */
	size_t n_silent;
	bool closing;
};

/* --- one caller ------------------------------------------------------------------------------ */

/* What any local user can make us say: a line a second, so that it hides nothing else in the log.
 */
PRINTF_LIKE(2, 3)
static void complain(struct server *s, const char *fmt, ...)
{
	uint64_t second = clock_mono_ns() / NS_PER_S;
	char text[200], more[40] = "";
	va_list args;

	if (second == s->complained_s) {
		s->n_silent++;
		return;
	}
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (s->n_silent)
		snprintf(more, sizeof(more), "; %zu more such lines", s->n_silent);
	log_warning(TAG, "%s%s", text, more);
	s->complained_s = second;
	s->n_silent = 0;
}

static void on_client_handle_closed(uv_handle_t *handle)
{
	struct server_client *c = handle->data;

	if (--c->open_handles > 0)
		return;
	for (size_t i = 0; i < c->n_fds; i++)
		rights_close(c->fds[i]);
	frame_fini(&c->frame);
	free(c->out);
	rights_close_socket(c->fd);
	free(c);
}

static void drop(struct server_client *c)
{
	struct server *s = c->server;

	if (c->state == CLIENT_GONE)
		return;
	c->state = CLIENT_GONE;
	for (struct server_client **p = &s->clients; *p; p = &(*p)->next) {
		if (*p == c) {
			*p = c->next;
			break;
		}
	}
	s->n_clients--;
	s->unread_bytes -= c->out_cap;
	if (c->stream.done)
		c->stream.done(c->stream.state);
	c->stream = (struct server_stream){ 0 };
	if (c->gone)
		c->gone(c->gone_arg);
	c->gone = NULL;
	uv_close((uv_handle_t *)&c->poll, on_client_handle_closed);
	uv_close((uv_handle_t *)&c->stall, on_client_handle_closed);
}

static void on_stall(uv_timer_t *timer)
{
	struct server_client *c = timer->data;

	if (c->state == CLIENT_ANSWERING && c->out_len == c->out_sent)
		return; /* it is we who take long */
	complain(c->server, "a caller of uid %u stalls and is dropped", c->uid);
	drop(c);
}

static void on_client(uv_poll_t *poll, int status, int events);

static void rearm(struct server_client *c)
{
	int events = c->state == CLIENT_ASKING ? UV_READABLE : UV_DISCONNECT;

	if (c->state == CLIENT_GONE)
		return;
	if (c->out_len > c->out_sent || c->stream.more || c->state == CLIENT_ENDING)
		events |= UV_WRITABLE;
	(void)uv_poll_start(&c->poll, events, on_client); /* fails only for a handle being closed */
}

static void progress(struct server_client *c)
{
	uv_timer_start(&c->stall, on_stall, SERVER_STALL_MS, SERVER_STALL_MS);
}

/* Answers that nobody reads lie here until their callers are dropped: so much of them, and no more.
 * What readers leave is no administrator's loss. */
static bool make_room(struct server_client *c, size_t cap)
{
	struct server *s = c->server;
	const size_t max =
	    c->may_change ? LIMIT_CONTROL_UNREAD + SERVER_OUT_MAX : (size_t)LIMIT_CONTROL_UNREAD;
	uint8_t *out;

	if (s->unread_bytes - c->out_cap + cap > max) {
		complain(s, "too many answers are unread (%zu MiB): uid %u is dropped",
		         s->unread_bytes >> 20, c->uid);
		return false;
	}
	out = realloc(c->out, cap);
	if (!out)
		return false;
	s->unread_bytes += cap - c->out_cap;
	c->out = out;
	c->out_cap = cap;
	return true;
}

static void put(struct server_client *c, enum control_kind kind, const void *data, size_t len)
{
	struct control_head head = { (uint32_t)len, kind };
	size_t need;

	if (c->state == CLIENT_GONE || c->state == CLIENT_ENDING || c->deaf)
		return;
	if (c->out_sent == c->out_len)
		c->out_sent = c->out_len = 0;
	need = c->out_len + sizeof(head) + len;
	if (len > LIMIT_CONTROL_FRAME || need > SERVER_OUT_MAX) {
		complain(c->server, "an answer to uid %u is larger than its limit", c->uid);
		shutdown(c->fd, SHUT_RDWR); /* dropped by its next event */
		return;
	}
	if (need > c->out_cap && !make_room(c, MAX(need, c->out_cap * 2))) {
		c->deaf = true;
		shutdown(c->fd, SHUT_RDWR);
		return;
	}
	memcpy(c->out + c->out_len, &head, sizeof(head));
	if (len)
		memcpy(c->out + c->out_len + sizeof(head), data, len);
	if (c->out_len == c->out_sent)
		progress(c); /* the caller's time to read begins now */
	c->out_len = need;
	if (!c->in_request)
		rearm(c);
}

void server_data(struct server_client *c, const char *text, size_t len)
{
	put(c, CONTROL_DATA, text, len);
}

void server_json_give(struct server_client *c, json_t *object)
{
	char *text =
	    object ? json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(6))
		   : NULL;

	if (text)
		put(c, CONTROL_DATA, text, strlen(text));
	else
		server_error(c, "error: no memory for an answer");
	free(text);
	json_decref(object);
}

void server_error(struct server_client *c, const char *fmt, ...)
{
	char text[4096];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (n > 0)
		put(c, CONTROL_ERROR, text, MIN((size_t)n, sizeof(text) - 1));
}

void server_exit(struct server_client *c, int status)
{
	uint8_t octet = (uint8_t)status;

	put(c, CONTROL_EXIT, &octet, 1);
	if (c->state == CLIENT_GONE)
		return;
	c->gone = NULL;
	c->state = CLIENT_ENDING;
	if (!c->in_request)
		rearm(c);
}

void server_watch(struct server_client *c, void (*gone)(void *arg), void *arg)
{
	c->gone = gone;
	c->gone_arg = arg;
}

void server_stream(struct server_client *c, const struct server_stream *stream)
{
	if (c->state == CLIENT_GONE || c->state == CLIENT_ENDING) {
		stream->done(stream->state);
		return;
	}
	c->stream = *stream;
	if (!c->in_request)
		rearm(c);
}

/* --- events of one caller -------------------------------------------------------------------- */

/* False: more than any request has. */
static bool take_fds(struct server_client *c, struct msghdr *msg)
{
	size_t n_all = 0;

	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		size_t n;

		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		n_all += n;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(fd));
			if (c->n_fds < CONTROL_FDS_MAX && c->may_change)
				c->fds[c->n_fds++] = fd;
			else
				rights_close(fd);
		}
	}
	return n_all <= CONTROL_FDS_MAX;
}

static void handle(struct server_client *c)
{
	struct server_request request = {
		.fds = c->fds, .n_fds = c->n_fds, .uid = c->uid, .may_change = c->may_change
	};
	int n = control_words(c->frame.payload, c->frame.head.len, request.words, SERVER_WORDS_MAX);

	c->state = CLIENT_ANSWERING;
	uv_timer_stop(&c->stall);
	c->in_request = true;
	if (n <= 0) {
		server_error(c, "error: the request cannot be read");
		server_exit(c, 2);
	} else {
		request.n_words = (size_t)n;
		c->server->cb(c->server->arg, c, &request);
	}
	c->in_request = false;
}

static void read_request(struct server_client *c)
{
	for (int i = 0; i < 64 && c->state == CLIENT_ASKING; i++) {
		uint8_t buf[16384];
		struct iovec iov = { buf, MIN(sizeof(buf), frame_missing(&c->frame)) };
		_Alignas(struct cmsghdr) uint8_t ctl[CMSG_SPACE(RIGHTS_MAX * sizeof(int))];
		struct msghdr msg = { .msg_iov = &iov,
			              .msg_iovlen = 1,
			              .msg_control = ctl,
			              .msg_controllen = sizeof(ctl) };
		ssize_t n = recvmsg(c->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
		bool fits;

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		fits = n < 0 || take_fds(c, &msg);
		if (n <= 0 || !fits || (msg.msg_flags & MSG_CTRUNC) ||
		    frame_feed(&c->frame, buf, (size_t)n) < 0) {
			drop(c);
			return;
		}
		if (frame_missing(&c->frame) == 0)
			handle(c);
	}
}

static void write_answer(struct server_client *c)
{
	while (c->state != CLIENT_GONE) {
		ssize_t n;

		while (c->stream.more && c->out_len - c->out_sent < SERVER_OUT_HIGH &&
		       c->state == CLIENT_ANSWERING) {
			c->in_request = true;
			if (c->stream.more(c, c->stream.state) == 0)
				c->stream.more = NULL;
			c->in_request = false;
		}
		if (c->out_sent == c->out_len) {
			if (c->state == CLIENT_ENDING)
				drop(c);
			return;
		}
		n = send(c->fd, c->out + c->out_sent, c->out_len - c->out_sent,
		         MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) {
			drop(c);
			return;
		}
		c->out_sent += (size_t)n;
		if (c->out_sent == c->out_len)
			c->out_sent = c->out_len = 0;
		progress(c);
	}
}

static void on_client(uv_poll_t *poll, int status, int events)
{
	struct server_client *c = poll->data;

	if (status < 0) {
		drop(c);
		return;
	}
	if (events & UV_READABLE)
		read_request(c);
	if (c->state != CLIENT_ASKING)
		write_answer(c);
	/* A caller that has gone while it still has answers to come; one that has everything is
	 * dropped above. */
	if ((events & UV_DISCONNECT) && c->state != CLIENT_GONE)
		drop(c);
	rearm(c);
}

/* --- callers come ---------------------------------------------------------------------------- */

static bool in_group(int fd, const struct ucred *cred, uint32_t gid)
{
	gid_t groups[1024];
	socklen_t len = sizeof(groups);

	if (gid == UINT32_MAX)
		return false;
	if (cred->gid == gid)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
		return false; /* more than 1024 groups: not believed */
	for (size_t i = 0; i < len / sizeof(groups[0]); i++) {
		if (groups[i] == gid)
			return true;
	}
	return false;
}

static int add_client(struct server *s, int fd, uint32_t uid, bool may_change)
{
	struct server_client *c = calloc(1, sizeof(*c));

	if (!c)
		return ERR_NOMEM;
	c->fd = fd;
	c->server = s;
	c->uid = uid;
	c->may_change = may_change;
	if (uv_poll_init(s->loop, &c->poll, fd) < 0) {
		free(c);
		return ERR_NOMEM;
	}
	uv_timer_init(s->loop, &c->stall);
	c->open_handles = 2;
	c->poll.data = c->stall.data = c;
	c->next = s->clients;
	s->clients = c;
	s->n_clients++;
	progress(c);
	rearm(c);
	return ERR_OK;
}

/* A word to somebody who is not served, as far as one send goes. */
static void turn_away(int fd, const char *why)
{
	const uint8_t status = 2;

	(void)control_send(fd, CONTROL_ERROR, why, strlen(why), NULL, 0);
	(void)control_send(fd, CONTROL_EXIT, &status, 1, NULL, 0);
}

static void caller_close_cleanup(const int *fd)
{
	if (*fd >= 0)
		rights_close_socket(*fd);
}

static void on_caller(uv_poll_t *poll, int status, int events)
{
	struct server *s = poll->data;

	(void)events;
	if (status < 0)
		return;
	for (int i = 0; i < 16; i++) {
		CLEANUP(caller_close)
		int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct ucred cred;
		socklen_t len = sizeof(cred);
		bool change, look;

		if (fd < 0)
			return;
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
			continue;
		change = cred.uid == 0 || cred.uid == geteuid() ||
		         in_group(fd, &cred, s->access.admin_gid);
		look = change || in_group(fd, &cred, s->access.analyst_gid);
		if (!look) {
			complain(s, "uid %u is in neither group and is turned away", cred.uid);
			turn_away(fd, "error: not permitted; become root or a member of "
			              "access.admin_group or access.analyst_group");
			continue;
		}
		/* Readers cannot keep those who may change things from doing so. */
		if (s->n_clients >= (change ? LIMIT_CONTROL_CLIENTS : LIMIT_CONTROL_READERS)) {
			turn_away(fd, "error: too many callers at once; try again");
			continue;
		}
		/* A policy's texts come as descriptors; who may only read has none to send. */
		if (change)
			(void)rights_set(fd, RIGHTS_TAKEN);
		if (add_client(s, fd, cred.uid, change) == 0)
			(void)fd_take(&fd); /* the client's now */
	}
}

/* Is somebody listening there? A socket that a keeper left behind when it was killed refuses. */
static bool is_served(const struct sockaddr_un *sa)
{
	CLEANUP(fd_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd >= 0 && (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0 ||
	                   errno == EAGAIN); /* its queue is full */
}

static int listen_at(const struct sockaddr_un *sa, int *ret_fd, struct diag *diag)
{
	CLEANUP(fd_close) int fd = -1;
	const char *path = sa->sun_path;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return diag_set(diag, -errno, "%s: %s", path, strerror(errno));
	(void)rights_set(fd, RIGHTS_REFUSED); /* its connections begin as it is */
	if (is_served(sa))
		return diag_set(diag, ERR_EXIST,
		                "run_dir: another sallyportd answers on %s; stop it, or name "
		                "another run_dir",
		                path);
	if (unlink(path) < 0 && errno != ENOENT)
		return diag_set(diag, -errno, "%s: cannot be replaced: %s", path, strerror(errno));
	/* Everybody may connect; who may ask is decided by the kernel's word about the caller. */
	if (bind(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0 || chmod(path, 0666) < 0 ||
	    listen(fd, LISTEN_BACKLOG) < 0)
		return diag_set(diag, -errno, "%s: cannot be made: %s", path, strerror(errno));
	*ret_fd = fd_take(&fd);
	return ERR_OK;
}

int server_new(uv_loop_t *loop, const char *path, const struct server_access *access,
               int *inherited, server_request_cb *cb, void *arg, struct server **ret_server,
               struct diag *diag)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	CLEANUP(fd_close) int fd = -1;
	struct server *s;
	int r;

	if (strlen(path) >= sizeof(sa.sun_path))
		return diag_set(diag, ERR_LIMIT, "%s: the path of the control socket is too long",
		                path);
	memcpy(sa.sun_path, path, strlen(path) + 1);
	if (inherited && *inherited >= 0) {
		fd = fd_take(inherited);
		(void)rights_set(fd, RIGHTS_REFUSED);
	} else {
		r = listen_at(&sa, &fd, diag);
		if (r < 0)
			return r;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return ERR_NOMEM;
	s->fd = fd_take(&fd);
	s->loop = loop;
	s->access = *access;
	s->cb = cb;
	s->arg = arg;
	memcpy(s->path, path, strlen(path) + 1);
	if (uv_poll_init(loop, &s->poll, s->fd) < 0) {
		close(s->fd);
		free(s);
		return ERR_NOMEM;
	}
	s->poll.data = s;
	uv_poll_start(&s->poll, UV_READABLE, on_caller);
	*ret_server = s;
	return ERR_OK;
}

int server_fd(const struct server *s)
{
	return s->fd;
}

void server_leave(struct server *s)
{
	uv_poll_stop(&s->poll);
	while (s->clients)
		drop(s->clients);
}

void server_set_access(struct server *s, const struct server_access *access)
{
	s->access = *access;
}

static void on_server_closed(uv_handle_t *handle)
{
	struct server *s = handle->data;

	/* Who was not let in yet may have sent something, too. */
	for (int i = 0; i < 2 * LISTEN_BACKLOG; i++) {
		int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			break;
		rights_close_socket(fd);
	}
	close(s->fd);
	free(s);
}

void server_free(struct server *s)
{
	if (!s)
		return;
	while (s->clients)
		drop(s->clients);
	unlink(s->path);
	uv_close((uv_handle_t *)&s->poll, on_server_closed);
}
