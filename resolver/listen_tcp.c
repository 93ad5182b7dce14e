/* resolver/listen_tcp.c - DNS over TCP (RFC 7766): many queries on one connection, answered in any
 * order, with a bound on everything that a client can leave open.
 *
 * What keeps a connection waiting ends it in time: a message that has begun (tcp_read), nothing to
 * do (tcp_idle), answers that are not taken (tcp_read). Queries in flight end by themselves.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "listener.h"
#include "query.h"
#include "sallyport/err.h"
#include "tally.h"

#define ACCEPTS_PER_TURN 16
#define ACCEPT_PAUSE_NS (200 * NS_PER_MS)
#define OUT_READ_MAX (64 * 1024) /* more than this not taken: no further query is read */
#define OUT_MAX (256 * 1024)     /* more than this not taken: closed */
#define DNS_HEADER_LEN 12

void listen_tcp_unref(struct tcp_connection *conn)
{
	if (--conn->refs == 0)
		free(conn);
}

static uint64_t read_ns(const struct tcp_connection *conn)
{
	return conn->worker->settings->conf.tcp_read_ms * NS_PER_MS;
}

static uint64_t idle_ns(const struct tcp_connection *conn)
{
	return conn->worker->settings->conf.tcp_idle_ms * NS_PER_MS;
}

static struct tally_key client_key(const uint8_t addr[ADDR_LEN])
{
	struct tally_key key = { .workload = TALLY_CLIENT, .what = TALLY_CONNECTIONS };

	memcpy(key.addr, addr, ADDR_LEN);
	return key;
}

static void leave(struct worker *worker, const uint8_t addr[ADDR_LEN])
{
	const struct tally_key key = client_key(addr);

	tally_release_of(worker->tally, &key);
	tally_release(worker->tally, TALLY_CONNECTIONS);
}

static void conn_close(struct tcp_connection *conn)
{
	if (!conn->open)
		return;
	conn->open = false;
	wheel_clear(&conn->timer);
	stream_fini(&conn->stream);
	conn->next->prev = conn->prev;
	conn->prev->next = conn->next;
	conn->worker->listeners->n_conns--;
	leave(conn->worker, conn->addr);
	listen_tcp_unref(conn);
}

static void on_timer(struct wheel_item *item)
{
	struct tcp_connection *conn =
	    (struct tcp_connection *)(void *)((char *)item -
	                                      offsetof(struct tcp_connection, timer));

	count(conn->worker->lane, COUNT_LIMIT_TCP_TIMEOUT);
	conn_close(conn);
}

static bool has_room(const struct tcp_connection *conn)
{
	return conn->pending < LIMIT_TCP_PIPELINED && stream_waiting(&conn->stream) <= OUT_READ_MAX;
}

static void set_timer(struct tcp_connection *conn)
{
	uint64_t due_ns;

	if (stream_waiting(&conn->stream) > 0) {
		due_ns = conn->sent_ns + read_ns(conn);
	} else if (conn->began_ns) {
		due_ns = conn->began_ns + read_ns(conn);
	} else if (conn->pending > 0) {
		wheel_clear(&conn->timer);
		return;
	} else {
		due_ns = conn->active_ns + idle_ns(conn);
	}
	if (!wheel_is_set(&conn->timer) || conn->timer.due_ns != due_ns)
		wheel_set(conn->worker->wheel, &conn->timer, due_ns);
}

static bool owes(const struct tcp_connection *conn)
{
	return conn->pending > 0 || conn->delivering || stream_waiting(&conn->stream) > 0;
}

/* Last in its list. */
static void put_last(struct tcp_connection *conn)
{
	struct listeners *listeners = conn->worker->listeners;
	struct tcp_connection *head;

	conn->is_busy = owes(conn);
	head = conn->is_busy ? &listeners->busy : &listeners->idle;
	conn->next->prev = conn->prev;
	conn->prev->next = conn->next;
	conn->next = head;
	conn->prev = head->prev;
	head->prev->next = conn;
	head->prev = conn;
}

static void touch(struct tcp_connection *conn)
{
	conn->active_ns = conn->worker->now_ns;
	put_last(conn);
}

static void hand_on(struct tcp_connection *conn, const uint8_t *msg, size_t len)
{
	struct client client = { .tcp = conn, .port = conn->port, .scope = conn->scope };

	memcpy(client.addr, conn->addr, ADDR_LEN);
	memcpy(client.local, conn->local, ADDR_LEN);
	conn->began_ns = 0;
	conn->pending++;
	touch(conn);
	count(conn->worker->lane, COUNT_QUERIES_TCP);
	ring_taken(&conn->worker->ring, 1);
	query_received(conn->worker, &client, msg, len);
}

static void proceed_later(struct tcp_connection *conn);

/* Hand on what has come as far as there is room, then decide what to wait for. */
static void proceed(struct tcp_connection *conn)
{
	struct worker *worker = conn->worker;
	bool draining = worker->listeners->draining, stopped;
	unsigned int cost = 0, most = listener_turn_cost(worker);
	const uint8_t *msg;
	size_t len;
	int r;

	conn->refs++;
	conn->delivering = true;
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): one count is ours, until the end of this */
	while (conn->open && !draining && has_room(conn) && cost < most &&
	       tcp_frames_next(&conn->frames, &msg, &len)) {
		uint64_t waited = worker->n_waited;

		hand_on(conn, msg, len);
		cost += listener_cost_of(worker, waited);
		/* Recorded, but whoever sends this does not speak DNS. */
		if (len < DNS_HEADER_LEN)
			conn_close(conn);
	}
	conn->delivering = false;
	if (!conn->open) {
		listen_tcp_unref(conn);
		return;
	}

	/* One connection's queries do not take the whole turn: the rest in the next one. */
	stopped = cost >= most && has_room(conn) && tcp_frames_partial(&conn->frames);
	if (stopped)
		proceed_later(conn);
	if (stopped || !has_room(conn) || !tcp_frames_partial(&conn->frames) || conn->eof)
		conn->began_ns = 0;
	else if (conn->began_ns == 0)
		conn->began_ns = conn->worker->now_ns;

	if (conn->eof || draining || stopped || !has_room(conn))
		r = stream_read_off(&conn->stream);
	else
		r = stream_read_on(&conn->stream);
	/* RFC 7766, section 6.2.3 and 6.2.4: a client that has closed its side still gets its
	 * answers. */
	if (r < 0 || ((conn->eof || draining) && !stopped && !owes(conn))) {
		conn_close(conn);
	} else {
		set_timer(conn);
		if (conn->is_busy != owes(conn))
			put_last(conn);
	}
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the count that was taken above */
	listen_tcp_unref(conn);
}

/* Later, from listen_tcp_turn(): whoever answers must not be called from within. */
static void proceed_later(struct tcp_connection *conn)
{
	struct listeners *listeners = conn->worker->listeners;

	if (!conn->open || conn->delivering || conn->resuming)
		return;
	conn->resuming = true;
	conn->refs++;
	conn->resume_next = listeners->resume;
	listeners->resume = conn;
}

void listen_tcp_turn(struct listeners *listeners)
{
	struct tcp_connection *resume = TAKE(listeners->resume);

	while (resume) {
		struct tcp_connection *conn = resume;

		resume = conn->resume_next;
		conn->resuming = false;
		if (conn->open)
			proceed(conn);
		listen_tcp_unref(conn);
		listeners_look(listeners->worker);
	}
	if (listeners->resume)
		listen_udp_stay_awake(listeners);
}

void listen_tcp_answered(struct tcp_connection *conn)
{
	conn->pending--;
	if (conn->open)
		touch(conn);
	proceed_later(conn);
}

int listen_tcp_answer(struct tcp_connection *conn, size_t len)
{
	struct worker *worker = conn->worker;
	uint8_t *out = worker->listeners->tcp_out;
	int r;

	out[0] = (uint8_t)(len >> 8);
	out[1] = (uint8_t)len;
	listener_publish(worker);
	if (stream_waiting(&conn->stream) == 0)
		conn->sent_ns = worker->now_ns;
	r = stream_send(&conn->stream, out, 2 + len);
	if (r == 0)
		return 0;
	if (r == ERR_LIMIT)
		count(worker->lane, COUNT_LIMIT_TCP_TIMEOUT);
	conn_close(conn);
	return r;
}

static void on_conn_ready(struct poller_item *item, uint32_t events)
{
	struct tcp_connection *conn =
	    (struct tcp_connection *)(void *)((char *)item -
	                                      offsetof(struct tcp_connection, stream.item));
	ssize_t r = 0;

	if (events & EPOLLOUT) {
		size_t before = stream_waiting(&conn->stream);

		r = stream_flush(&conn->stream);
		if (stream_waiting(&conn->stream) < before)
			conn->sent_ns = conn->worker->now_ns;
	}
	if (r >= 0 && (events & EPOLLIN)) {
		size_t room;
		uint8_t *to = tcp_frames_room(&conn->frames, &room);

		r = stream_recv(&conn->stream, to, room);
		if (r > 0)
			tcp_frames_added(&conn->frames, (size_t)r);
		else if (r == 0)
			conn->eof = true;
		else if (r == ERR_AGAIN)
			r = 0;
	} else if (events & (EPOLLERR | EPOLLHUP)) {
		r = ERR_CLOSED; /* both ways: nothing that we have can be given any more */
	}
	if (r < 0)
		conn_close(conn);
	else
		proceed(conn);
}

/* Connections in all are shared out, besides: who has to make room then finds it among its own, and
 * no worker's clients depend on another's. The kernel spreads connections evenly. */
static uint32_t share(const struct worker *worker)
{
	const struct resolver_conf *conf = &worker->settings->conf;

	return MAX(conf->tcp_connections / conf->workers, (uint32_t)1);
}

static bool evict_idle(struct listeners *listeners)
{
	struct tcp_connection *conn = listeners->idle.next;

	if (conn == &listeners->idle)
		return false;
	conn_close(conn);
	return true;
}

/* A place in all, for which an idle connection gives way (RFC 7766, section 6.2.2: under pressure
 * the connections that do nothing go first). */
static bool claim_in_all(struct listeners *listeners)
{
	struct worker *worker = listeners->worker;
	const uint32_t max = worker->settings->conf.tcp_connections;

	if (listeners->n_conns < share(worker) &&
	    tally_claim(worker->tally, TALLY_CONNECTIONS, max) == 0)
		return true;
	count(worker->lane, COUNT_LIMIT_TCP);
	return evict_idle(listeners) && tally_claim(worker->tally, TALLY_CONNECTIONS, max) == 0;
}

/* On true the place is taken; leave() gives it back. */
static bool may_connect(struct listeners *listeners, const uint8_t addr[ADDR_LEN])
{
	struct worker *worker = listeners->worker;
	const struct tally_key key = client_key(addr);
	int r = tally_claim_of(worker->tally, &key, worker->settings->conf.tcp_connections_client);

	if (r < 0) {
		if (r == ERR_LIMIT)
			count(worker->lane, COUNT_LIMIT_TCP);
		return false;
	}
	if (claim_in_all(listeners))
		return true;
	tally_release_of(worker->tally, &key);
	return false;
}

static int local_addr(int fd, struct tcp_connection *conn)
{
	union listen_addr local;
	socklen_t len = sizeof(local);
	uint16_t port;

	if (getsockname(fd, &local.sa, &len) < 0)
		return -errno;
	return addr_from_sockaddr(&local.sa, conn->local, &port);
}

/* Takes @fd. */
static void connected(struct listener *listener, int fd, const union listen_addr *from)
{
	struct listeners *listeners = listener->worker->listeners;
	CLEANUP(fd_close) int owned = fd;
	struct tcp_connection *conn;
	int on = 1;

	conn = calloc(1, sizeof(*conn));
	if (!conn)
		return;
	conn->worker = listener->worker;
	memcpy(conn->local, listener->addr, ADDR_LEN);
	if (addr_from_sockaddr(&from->sa, conn->addr, &conn->port) < 0 ||
	    (listener->wildcard && local_addr(fd, conn) < 0) ||
	    !may_connect(listeners, conn->addr)) {
		free(conn);
		return;
	}
	if (from->sa.sa_family == AF_INET6)
		conn->scope = from->v6.sin6_scope_id;
	/* Answers must not wait for each other (best effort: without it they only come later). */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (stream_init(&conn->stream, conn->worker->poller, fd_take(&owned), OUT_MAX, EPOLLIN,
	                on_conn_ready) < 0) {
		leave(conn->worker, conn->addr);
		free(conn);
		return;
	}
	tcp_frames_init(&conn->frames, conn->buf, sizeof(conn->buf));
	conn->timer.fire = on_timer;
	conn->refs = 1;
	conn->open = true;
	conn->next = conn->prev = conn;
	touch(conn);
	listeners->n_conns++;
	set_timer(conn);
}

static void on_accept_again(struct wheel_item *item)
{
	struct listener *listener =
	    (struct listener *)(void *)((char *)item - offsetof(struct listener, tcp_pause));

	if (listener->tcp_accept.fd >= 0 &&
	    poller_change(listener->worker->poller, &listener->tcp_accept, EPOLLIN) < 0)
		wheel_set(listener->worker->wheel, item,
		          listener->worker->now_ns + ACCEPT_PAUSE_NS);
}

static void on_accept(struct poller_item *item, uint32_t events)
{
	struct listener *listener =
	    (struct listener *)(void *)((char *)item - offsetof(struct listener, tcp_accept));
	struct worker *worker = listener->worker;

	(void)events; /* whatever it is, accept tells */
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		union listen_addr from = { 0 };
		socklen_t len = sizeof(from);
		int fd = accept4(item->fd, &from.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			connected(listener, fd, &from);
			listeners_look(worker);
			continue;
		}
		if (errno == EAGAIN)
			return;
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			/* Still readable: without a pause the loop would spin. */
			count(worker->lane, COUNT_LIMIT_TCP);
			evict_idle(worker->listeners);
			if (poller_change(worker->poller, item, 0) == 0)
				wheel_set(worker->wheel, &listener->tcp_pause,
				          worker->now_ns + ACCEPT_PAUSE_NS);
			return;
		}
		/* Else a connection that ended before it was taken (accept(2)): the next one. */
	}
}

int listen_tcp_open(struct listener *listener)
{
	int r;

	listener->tcp_pause.fire = on_accept_again;
	listener->tcp_accept.ready = on_accept;
	listener->tcp_accept.fd = listener->fd;
	listener->tcp_accept.shared = true; /* the keeper has it, too */
	r = poller_add(listener->worker->poller, &listener->tcp_accept, EPOLLIN);
	if (r < 0)
		listener->tcp_accept.fd = -1;
	return r;
}

void listen_tcp_close(struct listener *listener)
{
	wheel_clear(&listener->tcp_pause);
	poller_remove(listener->worker->poller, &listener->tcp_accept);
}

void listen_tcp_drain(struct listeners *listeners)
{
	struct tcp_connection *const heads[] = { &listeners->idle, &listeners->busy };

	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		for (struct tcp_connection *conn = heads[i]->next, *next; conn != heads[i];
		     conn = next) {
			next = conn->next;
			proceed(conn); /* closes what owes no answer, reads no more from the rest */
		}
	}
}

void listen_tcp_close_all(struct listeners *listeners)
{
	while (listeners->resume) {
		struct tcp_connection *conn = listeners->resume;

		listeners->resume = conn->resume_next;
		conn->resuming = false;
		listen_tcp_unref(conn);
	}
	/* NOLINTBEGIN(clang-analyzer-unix.Malloc): who is closed leaves the ring */
	while (listeners->idle.next != &listeners->idle)
		conn_close(listeners->idle.next);
	while (listeners->busy.next != &listeners->busy)
		conn_close(listeners->busy.next);
	/* NOLINTEND(clang-analyzer-unix.Malloc) */
}
