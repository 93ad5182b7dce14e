#include "exchange_tcp.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "fair_queue.h"
#include "listen.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/limits.h"
#include "scan.h"
#include "server.h"
#include "stream.h"
#include "tcp_frames.h"
#include "wheel.h"
#include "worker.h"

/*   CONNECTING --writable--> OPEN --the server closes, error, strays, idle--> CLOSED
 *        '-------refused, too slow--------------------------------------------^
 * A connection on which a question was given up takes no new ones and closes with its last. */
enum upstream_tcp_state { UPSTREAM_TCP_CONNECTING, UPSTREAM_TCP_OPEN, UPSTREAM_TCP_CLOSED };

struct upstream_tcp {
	struct upstream_tcp *next, **link; /* of the server's */
	struct worker *worker;
	struct server *server; /* referenced */
	struct stream stream;
	struct tcp_frames frames;
	struct wheel_item timer;  /* connecting, or idle */
	struct exchange *waiting; /* not sent yet */
	struct exchange *asked;
	unsigned int n_exchanges; /* in both lists */
	unsigned int n_strays;
	uint32_t class;     /* of the question that it was made for */
	uint64_t joined_ns; /* when the newest of its questions came */
	unsigned int busy;  /* on the stack: freed by whoever holds it last */
	enum upstream_tcp_state state;
	bool slow;    /* takes no new questions; closes with its last answer */
	bool evicted; /* closes at the next turn; not counted any more */
	uint8_t buf[2 + LIMIT_MSG_BYTES];
};

static void list_put(struct exchange **head, struct exchange *exchange)
{
	exchange->next = *head;
	exchange->link = head;
	if (*head)
		(*head)->link = &exchange->next;
	*head = exchange;
}

static void list_remove(struct exchange *exchange)
{
	*exchange->link = exchange->next;
	if (exchange->next)
		exchange->next->link = exchange->link;
	exchange->next = NULL;
	exchange->link = NULL;
}

static void release(struct upstream_tcp *conn)
{
	if (--conn->busy == 0 && conn->state == UPSTREAM_TCP_CLOSED)
		free(conn);
}

/* Off the connection, and idle: what follows is the owner's to decide. */
static void detach(struct exchange *exchange)
{
	struct upstream_tcp *conn = exchange->conn;

	list_remove(exchange);
	exchange->conn = NULL;
	exchange->state = EXCHANGE_IDLE;
	conn->n_exchanges--;
}

static void finish(struct exchange *exchange, enum exchange_event event, const uint8_t *msg,
                   size_t len)
{
	detach(exchange);
	exchange->ops->event(exchange, event, msg, len);
}

static void conn_close(struct upstream_tcp *conn)
{
	enum exchange_event event = conn->evicted ? EXCHANGE_EVICTED : EXCHANGE_BROKEN;

	if (conn->state == UPSTREAM_TCP_CLOSED)
		return;
	conn->state = UPSTREAM_TCP_CLOSED;
	conn->busy++;
	wheel_clear(&conn->timer);
	stream_fini(&conn->stream);
	*conn->link = conn->next;
	if (conn->next)
		conn->next->link = conn->link;
	if (!conn->evicted)
		conn->server->n_conns--;
	while (conn->waiting)
		finish(conn->waiting, event, NULL, 0);
	while (conn->asked)
		finish(conn->asked, event, NULL, 0);
	server_unref(conn->server);
	release(conn);
}

static void rest(struct upstream_tcp *conn)
{
	if (conn->state != UPSTREAM_TCP_OPEN || conn->n_exchanges > 0)
		return;
	if (conn->slow)
		conn_close(conn);
	else
		wheel_set(conn->worker->wheel, &conn->timer,
		          conn->worker->now_ns + UPSTREAM_TCP_IDLE_MS * NS_PER_MS);
}

static void on_timer(struct wheel_item *item)
{
	conn_close(
	    (struct upstream_tcp *)(void *)((char *)item - offsetof(struct upstream_tcp, timer)));
}

static bool id_in_use(const struct upstream_tcp *conn, uint16_t id)
{
	for (const struct exchange *e = conn->asked; e; e = e->next) {
		if (e->ask.id == id)
			return true;
	}
	return false;
}

/* The owner is asked at the moment of sending, however long connecting took (promise P2). */
static void send_waiting(struct upstream_tcp *conn)
{
	struct worker *worker = conn->worker;

	while (conn->state == UPSTREAM_TCP_OPEN && conn->waiting) {
		struct exchange *exchange = conn->waiting;
		uint8_t msg[2 + ASK_MAX];
		size_t len;

		if (!exchange->ops->may_send(exchange)) {
			/* A promise of the owner's, and not one to loop for ever on. */
			if (conn->waiting == exchange)
				detach(exchange);
			continue;
		}
		/* IDs tell the answers of one connection apart; at most 64 are taken. */
		while (id_in_use(conn, exchange->ask.id))
			exchange->ask.id++;
		len = ask_write(&exchange->ask, msg + 2);
		msg[0] = (uint8_t)(len >> 8);
		msg[1] = (uint8_t)len;
		list_remove(exchange);
		list_put(&conn->asked, exchange);
		exchange->sent = true;
		exchange->sent_ns = worker->now_ns;
		count(worker->lane, COUNT_UPSTREAM_QUERIES);
		count(worker->lane, COUNT_UPSTREAM_TCP);
		if (stream_send(&conn->stream, msg, 2 + len) < 0)
			conn_close(conn);
	}
}

static void on_message(struct upstream_tcp *conn, const uint8_t *msg, size_t len)
{
	struct stats_lane *lane = conn->worker->lane;
	struct exchange *exchange = NULL;
	int r;

	if (len >= 2) {
		uint16_t id = (uint16_t)(msg[0] << 8 | msg[1]);

		for (exchange = conn->asked; exchange && exchange->ask.id != id;)
			exchange = exchange->next;
	}
	if (!exchange) { /* late, twice, or for nobody */
		count(lane, COUNT_UPSTREAM_MISMATCH);
		if (++conn->n_strays > UPSTREAM_TCP_STRAYS)
			conn_close(conn);
		return;
	}
	switch (ask_check(&exchange->ask, msg, len, ASK_CASE_IGNORE, &exchange->rcode)) {
	case ASK_FOREIGN:
		count(lane, COUNT_UPSTREAM_MISMATCH);
		finish(exchange, EXCHANGE_MALFORMED, NULL, 0);
		return;
	case ASK_TRUNCATED: /* by TCP that makes no sense */
		finish(exchange, EXCHANGE_MALFORMED, NULL, 0);
		return;
	case ASK_FAILED:
		finish(exchange, EXCHANGE_FAILED, NULL, 0);
		return;
	case ASK_USABLE:
		break;
	}
	r = scan_message(msg, len);
	if (r < 0) {
		finish(exchange, r == ERR_LIMIT ? EXCHANGE_OVERSIZE : EXCHANGE_MALFORMED, NULL, 0);
		return;
	}
	finish(exchange, EXCHANGE_ANSWER, msg, len);
}

static void on_readable(struct upstream_tcp *conn)
{
	const uint8_t *msg;
	size_t len, room;
	uint8_t *to = tcp_frames_room(&conn->frames, &room);
	ssize_t n = stream_recv(&conn->stream, to, room);

	if (n == ERR_AGAIN)
		return;
	if (n <= 0) {
		conn_close(conn);
		return;
	}
	tcp_frames_added(&conn->frames, (size_t)n);
	while (conn->state == UPSTREAM_TCP_OPEN && tcp_frames_next(&conn->frames, &msg, &len)) {
		on_message(conn, msg, len);
		listeners_look(conn->worker); /* there may be many, and each may be long */
	}
}

static void on_writable(struct upstream_tcp *conn)
{
	if (conn->state == UPSTREAM_TCP_CONNECTING) {
		int err = 0;
		socklen_t len = sizeof(err);

		if (getsockopt(conn->stream.item.fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0 || err) {
			conn_close(conn);
			return;
		}
		conn->state = UPSTREAM_TCP_OPEN;
		if (!conn->evicted)
			wheel_clear(&conn->timer);
	}
	if (stream_flush(&conn->stream) < 0)
		conn_close(conn);
}

static void on_ready(struct poller_item *item, uint32_t events)
{
	struct upstream_tcp *conn =
	    (struct upstream_tcp *)(void *)((char *)item -
	                                    offsetof(struct upstream_tcp, stream.item));

	conn->busy++;
	if (events & EPOLLOUT)
		on_writable(conn);
	if (conn->state == UPSTREAM_TCP_OPEN && (events & EPOLLIN))
		on_readable(conn);
	else if (events & (EPOLLERR | EPOLLHUP))
		conn_close(conn);
	send_waiting(conn);
	rest(conn);
	release(conn);
}

static int conn_open(struct worker *worker, struct server *server, struct upstream_tcp **ret_conn)
{
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(server->addr, server->port, &sa);
	CLEANUP(fd_close) int fd = -1;
	struct upstream_tcp *conn;
	int on = 1, r;

	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno == EMFILE || errno == ENFILE ? ERR_LIMIT : -errno;
	/* Best effort: a question should not wait for the one before it. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, (struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS)
		return errno == EAGAIN || errno == EADDRNOTAVAIL ? ERR_LIMIT : -errno;

	conn =
	    malloc(sizeof(*conn)); /* the buffer is touched as far as messages reach, no further */
	if (!conn)
		return ERR_NOMEM;
	memset(conn, 0, offsetof(struct upstream_tcp, buf));
	r = stream_init(&conn->stream, worker->poller, fd_take(&fd),
	                UPSTREAM_TCP_PIPELINED * (2 + ASK_MAX), EPOLLIN | EPOLLOUT, on_ready);
	if (r < 0) {
		free(conn);
		return r;
	}
	conn->worker = worker;
	conn->server = server_ref(server);
	conn->state = UPSTREAM_TCP_CONNECTING;
	conn->timer.fire = on_timer;
	tcp_frames_init(&conn->frames, conn->buf, sizeof(conn->buf));
	wheel_set(worker->wheel, &conn->timer,
	          worker->now_ns + UPSTREAM_TCP_CONNECT_MS * NS_PER_MS);
	conn->next = server->conns;
	conn->link = &server->conns;
	if (server->conns)
		server->conns->link = &conn->next;
	server->conns = conn;
	server->n_conns++;
	*ret_conn = conn;
	return 0;
}

static bool may_go(const struct upstream_tcp *conn)
{
	return conn->slow && !conn->evicted;
}

/* Of the connections that take no new questions, the oldest of the workload that holds most. To
 * others with less even with one more it gives way at once, for they would find no place as long as
 * that workload has questions that wait for one. Among equals, and to itself, only when nobody has
 * got an answer on it for long: whoever makes an upstream hang has had its share. */
static struct upstream_tcp *who_goes(const struct server *server, uint32_t class, uint64_t now_ns)
{
	uint8_t n[FAIR_CLASSES] = { 0 };
	struct upstream_tcp *found = NULL;
	unsigned int most = 0;

	_Static_assert(LIMIT_UPSTREAM_TCP <= UINT8_MAX, "counted in octets");
	for (const struct upstream_tcp *c = server->conns; c; c = c->next)
		n[fair_class_of(c->class)] = (uint8_t)(n[fair_class_of(c->class)] + may_go(c));
	for (struct upstream_tcp *c = server->conns; c; c = c->next) {
		unsigned int has = n[fair_class_of(c->class)], mine = n[fair_class_of(class)];
		bool hung = now_ns - c->joined_ns >= UPSTREAM_TCP_HUNG_MS * NS_PER_MS;

		if (!may_go(c) || has < mine || (has <= mine + 1 && !hung))
			continue;
		if (!found || has > most || (has == most && c->joined_ns < found->joined_ns)) {
			found = c;
			most = has;
		}
	}
	return found;
}

/* The questions of the one that goes hear of it from the loop, never from in here. Returns 0 or
 * ERR_LIMIT. */
static int make_room(struct server *server, uint32_t class, uint64_t now_ns)
{
	struct upstream_tcp *conn;

	if (server->n_conns < LIMIT_UPSTREAM_TCP)
		return 0;
	conn = who_goes(server, class, now_ns);
	if (!conn)
		return ERR_LIMIT;
	conn->evicted = true;
	server->n_conns--;
	wheel_set(conn->worker->wheel, &conn->timer, now_ns);
	return 0;
}

static int conn_get(const struct exchange *exchange, struct upstream_tcp **ret_conn)
{
	struct worker *worker = exchange->worker;
	struct server *server = exchange->server;
	int r;

	for (struct upstream_tcp *c = server->conns; c && !exchange->alone; c = c->next) {
		if (!c->slow && c->n_exchanges < UPSTREAM_TCP_PIPELINED) {
			*ret_conn = c;
			return 0;
		}
	}
	r = make_room(server, exchange->class, worker->now_ns);
	if (r == 0)
		r = conn_open(worker, server, ret_conn);
	if (r == ERR_LIMIT)
		count(worker->lane, COUNT_LIMIT_UPSTREAM);
	if (r < 0)
		return r;
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): conn_open() has made it */
	(*ret_conn)->class = exchange->class;
	(*ret_conn)->slow = exchange->alone;
	return 0;
}

int exchange_tcp_start(struct exchange *exchange)
{
	struct upstream_tcp *conn = NULL;
	int r = conn_get(exchange, &conn);

	if (r < 0)
		return r;
	assert(conn);
	exchange->conn = conn;
	exchange->state = EXCHANGE_TCP;
	exchange->sent = false;
	exchange->sent_ns = exchange->worker->now_ns;
	conn->joined_ns = exchange->worker->now_ns;
	conn->n_exchanges++;
	list_put(&conn->waiting, exchange);
	if (conn->state != UPSTREAM_TCP_OPEN)
		return 0;
	/* An open connection is writable: the loop comes back and sends, never we from in here. */
	wheel_clear(&conn->timer);
	conn->stream.events |= EPOLLOUT;
	r = poller_change(conn->worker->poller, &conn->stream.item, conn->stream.events);
	if (r < 0) {
		detach(exchange);
		rest(conn);
	}
	return r;
}

void exchange_tcp_leave(struct exchange *exchange)
{
	struct upstream_tcp *conn = exchange->conn;
	uint64_t waited_ns = exchange->worker->now_ns - exchange->sent_ns;

	detach(exchange);
	if (exchange->sent && waited_ns >= UPSTREAM_TCP_SLOW_MS * NS_PER_MS)
		conn->slow = true;
	/* Whoever has it on the stack will see to it. */
	if (conn->busy == 0)
		rest(conn);
}

void exchange_late(struct exchange *exchange)
{
	exchange->timed_out = true;
	if (exchange->state == EXCHANGE_TCP)
		exchange->conn->slow = true;
}

void exchange_tcp_retire(struct server *server)
{
	for (struct upstream_tcp *c = server->conns, *next; c; c = next) {
		next = c->next;
		c->slow = true;
		if (c->n_exchanges == 0)
			conn_close(c);
	}
}
