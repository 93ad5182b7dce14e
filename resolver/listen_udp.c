/* resolver/listen_udp.c - UDP: per batch one recvmmsg and one sendmmsg, and no allocation.
 *
 * The poll stays armed. What comes is served as it comes while it fits one batch. When it does not,
 * all that the kernel has is read into the backlog, and a batch of that is served once a loop turn,
 * one message of each workload after the other's: other sockets get their turn in between.
 */
#include "listener.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "policy/judge.h"
#include "query.h"
#include "sallyport/err.h"
#include "sallyport/log.h"

#define READS_PER_TURN 4 /* batches that one turn takes from one socket */
#define READS_OUT 256    /* the same, of one that is closed: 4 MiB hold some 10,000 datagrams */
#define DROPS_AT_ONCE 32

static void on_ready(uv_poll_t *handle, int status, int events);

static void arm(struct listener *listener)
{
	int events =
	    (listener->reading ? UV_READABLE : 0) | (listener->out->blocked ? UV_WRITABLE : 0);

	if (events)
		uv_poll_start(&listener->udp_poll, events, on_ready);
	else
		uv_poll_stop(&listener->udp_poll);
}

/* Where the next datagram of the batch goes. */
static void read_into(struct udp_in *in, unsigned int i, struct udp_message *message)
{
	in->at[i] = message;
	in->msgs[i].msg_hdr = (struct msghdr){
		.msg_name = &message->addr,
		.msg_namelen = sizeof(message->addr),
		.msg_iov = &message->iov,
		.msg_iovlen = 1,
		.msg_control = in->controlled ? &message->control : NULL,
		.msg_controllen = in->controlled ? sizeof(message->control) : 0,
	};
}

/* Control messages cost the kernel as much as a system call: none are asked for that nobody reads.
 */
static void make_control(struct udp_in *in, bool wanted)
{
	if (in->controlled == wanted)
		return;
	in->controlled = wanted;
	for (unsigned int i = 0; i < LISTEN_BATCH; i++)
		read_into(in, i, in->at[i]);
}

static void make_free(struct udp_in *in, struct udp_message *message)
{
	message->turn.next = in->free;
	in->free = &message->turn;
}

static struct udp_message *message_of(struct fair_item *turn)
{
	return (struct udp_message *)(void *)((char *)turn - offsetof(struct udp_message, turn));
}

struct udp_in *listen_udp_in_new(void)
{
	/* Its pages come when they are written to: most of them when there is a flood. */
	struct udp_in *in = calloc(1, sizeof(*in));

	if (!in)
		return NULL;
	fair_queue_init(&in->backlog);
	for (unsigned int i = LISTEN_BATCH + LIMIT_UDP_BACKLOG; i-- > 0;) {
		struct udp_message *message = &in->messages[i];

		message->iov = (struct iovec){ message->buf, LISTEN_QUERY_BYTES };
		if (i < LISTEN_BATCH)
			read_into(in, i, message);
		else
			make_free(in, message);
	}
	return in;
}

/* What the control messages of one datagram say. */
static void read_control(const struct msghdr *msg, const struct listener *listener,
                         struct client *client, uint64_t *ret_arrived_ns)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c;
	     c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)msg, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
			struct timespec ts;

			memcpy(&ts, CMSG_DATA(c), sizeof(ts));
			*ret_arrived_ns = (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
		} else if (!listener->wildcard) {
			continue;
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;
			uint8_t v4[4];

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			memcpy(v4, &info.ipi_addr, sizeof(v4));
			addr_from_v4(v4, client->local);
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			memcpy(client->local, &info.ipi6_addr, ADDR_LEN);
		}
	}
}

static bool read_sender(const union listen_addr *from, struct client *client)
{
	if (from->sa.sa_family == AF_INET) {
		uint8_t v4[4];

		memcpy(v4, &from->v4.sin_addr, sizeof(v4));
		addr_from_v4(v4, client->addr);
		client->port = ntohs(from->v4.sin_port);
		return true;
	}
	if (from->sa.sa_family != AF_INET6)
		return false;
	memcpy(client->addr, &from->v6.sin6_addr, ADDR_LEN);
	client->port = ntohs(from->v6.sin6_port);
	client->scope = from->v6.sin6_scope_id;
	return true;
}

/* Not judged, hence without a record of its own: part of the next gap row. */
static void tell_dropped(struct worker *worker, enum counter counter, uint64_t n)
{
	if (n == 0)
		return;
	count_add(worker->lane, counter, n);
	ring_dropped(&worker->ring, n);
}

/* Who sent it, to which address, when. Returns false when it came from no address. */
static bool read_client(struct listener *listener, const struct udp_message *message,
                        struct client *ret_client, uint64_t *ret_arrived_ns)
{
	const struct msghdr msg = { .msg_control = (void *)(uintptr_t)&message->control,
		                    .msg_controllen = message->control_len };

	memset(ret_client, 0, sizeof(*ret_client));
	ret_client->listener = listener;
	ret_client->wildcard = listener->wildcard;
	memcpy(ret_client->local, listener->addr, ADDR_LEN);
	*ret_arrived_ns = message->read_wall_ns;
	read_control(&msg, listener, ret_client, ret_arrived_ns);
	return read_sender(&message->addr, ret_client);
}

static void deliver(struct listener *listener, struct udp_message *message, uint64_t *n_old)
{
	struct worker *worker = listener->worker;
	struct client client;
	uint64_t arrived_ns;
	bool sent = read_client(listener, message, &client, &arrived_ns);

	/* Nobody waits for it any more; under overload the time is better spent on the next. */
	if (arrived_ns + LIMIT_QUEUE_AGE_MS * NS_PER_MS < worker->wall_ns) {
		++*n_old;
		return;
	}
	if (!sent) { /* no such sockets are made */
		tell_dropped(worker, COUNT_DROPPED_MALFORMED, 1);
		return;
	}
	query_received(worker, &client, message->buf, message->len);
}

static void set_option(int fd, int level, int option, int value)
{
	/* Best effort: the keeper has set these before us where they matter for answers. */
	if (setsockopt(fd, level, option, &value, sizeof(value)) < 0)
		log_debug("listen", "socket option %d/%d: %s", level, option, err_str(-errno));
}

/* Whether the kernel hands out the time that it has noted of each datagram. It goes on noting in
 * any case, so that the time is there when it is wanted. */
static void date(struct listener *listener, bool on)
{
	set_option(listener->fd, SOL_SOCKET, SO_TIMESTAMPNS, on);
	listener->dated = on;
}

/* One recvmmsg; the messages lie in @in->at. When each of them came is asked only where one may be
 * too old: what was read empty a moment ago holds nothing older than that moment. */
static unsigned int read_some(struct listener *listener, struct udp_in *in)
{
	uint64_t now_ns = listener->worker->now_ns;
	int n;

	if (!listener->dated && listener->drained_ns + LIMIT_QUEUE_AGE_MS * NS_PER_MS < now_ns)
		date(listener, true);
	make_control(in, listener->dated || listener->wildcard);
	n = recvmmsg(listener->fd, in->msgs, LISTEN_BATCH, MSG_DONTWAIT, NULL);
	if (n < LISTEN_BATCH && (n >= 0 || errno == EAGAIN)) {
		listener->drained_ns = now_ns;
		if (listener->dated)
			date(listener, false);
	}
	if (n <= 0)
		return 0;
	count_add(listener->worker->lane, COUNT_QUERIES_UDP, (uint64_t)n);
	ring_taken(&listener->worker->ring, (uint64_t)n);
	for (unsigned int i = 0; i < (unsigned int)n; i++) {
		struct msghdr *msg = &in->msgs[i].msg_hdr;

		in->at[i]->len = in->msgs[i].msg_len;
		in->at[i]->control_len = msg->msg_controllen;
		in->at[i]->read_wall_ns = listener->worker->wall_ns;
		msg->msg_namelen = sizeof(in->at[i]->addr);
		msg->msg_controllen = in->controlled ? sizeof(in->at[i]->control) : 0;
	}
	return (unsigned int)n;
}

/* ---- the backlog ---- */

static void let_go(struct udp_in *in, struct udp_message *message)
{
	listener_unref(TAKE(message->listener));
	make_free(in, message);
}

/* The longest queue's oldest are worth the least. Several at a time, for it takes a look at all the
 * queues to find it. */
static uint64_t make_room(struct udp_in *in)
{
	uint64_t n = 0;

	while (n < DROPS_AT_ONCE) {
		struct fair_item *turn = fair_queue_drop(&in->backlog);

		if (!turn)
			break;
		let_go(in, message_of(turn));
		n++;
	}
	return n;
}

static uint32_t class_of(const struct worker *worker, const struct udp_message *message)
{
	struct client client;
	uint64_t arrived_ns;

	if (!worker->policy || !read_client(message->listener, message, &client, &arrived_ns))
		return POLICY_NONE;
	return policy_workload(&worker->policy->image, client.addr, client.local);
}

/* The message at @i waits; another one takes its place in the batch. */
static uint64_t queue_up(struct listener *listener, struct udp_in *in, unsigned int i)
{
	struct udp_message *message = in->at[i];
	uint64_t n_dropped = in->free ? 0 : make_room(in);
	struct udp_message *next = message_of(in->free);

	in->free = in->free->next;
	read_into(in, i, next);
	message->listener = listener;
	listener->refs++;
	fair_queue_put(&in->backlog, class_of(listener->worker, message), &message->turn);
	return n_dropped;
}

static void on_serving(uv_idle_t *serving)
{
	struct listeners *listeners = serving->data;

	if (listeners->in->backlog.n > 0)
		listen_udp_serve(listeners);
	if (listeners->in->backlog.n == 0 && !listeners->resume)
		uv_idle_stop(serving);
}

void listen_udp_stay_awake(struct listeners *listeners)
{
	uv_idle_start(&listeners->serving, on_serving);
}

static void serve(struct listeners *listeners, unsigned int most,
                  struct fair_item *(*take)(struct fair_queue *queue))
{
	struct worker *worker = listeners->worker;
	struct udp_in *in = listeners->in;
	uint64_t n_old = 0;

	worker_touch_clock(worker);
	for (unsigned int cost = 0; cost < most;) {
		struct fair_item *turn = take(&in->backlog);
		uint64_t waited = worker->n_waited;
		struct udp_message *message;

		if (!turn)
			break;
		message = message_of(turn);
		deliver(message->listener, message, &n_old);
		let_go(in, message);
		cost += listener_cost_of(worker, waited);
		/* Who is alone, and answered at once, keeps nobody waiting: one read a batch. */
		if (take != fair_queue_take_fresh &&
		    (worker->n_waited != waited || worker_in_company(worker)))
			listeners_look(worker);
	}
	tell_dropped(worker, COUNT_DROPPED_OLD, n_old);
	listeners_flush(worker);
}

void listen_udp_serve(struct listeners *listeners)
{
	serve(listeners, listener_turn_cost(listeners->worker), fair_queue_take);
}

void listen_udp_serve_fresh(struct listeners *listeners)
{
	if (listeners->in->backlog.fresh.first)
		serve(listeners, listener_turn_cost(listeners->worker), fair_queue_take_fresh);
}

void listen_udp_serve_all(struct listeners *listeners)
{
	while (listeners->in->backlog.n > 0)
		listen_udp_serve(listeners);
}

void listen_udp_forget(struct listeners *listeners)
{
	struct fair_item *turn;
	uint64_t n = 0;

	while ((turn = fair_queue_take(&listeners->in->backlog))) {
		let_go(listeners->in, message_of(turn));
		n++;
	}
	tell_dropped(listeners->worker, COUNT_LIMIT_BACKLOG, n);
}

/* What is left of @n messages from @i on, and so that the kernel need not choose whose to drop, all
 * that it has. */
static void queue_all(struct listener *listener, unsigned int i, unsigned int n)
{
	struct listeners *listeners = listener->worker->listeners;
	uint64_t n_dropped = 0;

	for (unsigned int reads = 1;; reads++) {
		for (; i < n; i++)
			n_dropped += queue_up(listener, listeners->in, i);
		if (n < LISTEN_BATCH || reads == READS_PER_TURN)
			break;
		n = read_some(listener, listeners->in);
		i = 0;
	}
	tell_dropped(listener->worker, COUNT_LIMIT_BACKLOG, n_dropped);
	/* The loop does not sleep while somebody waits for his turn. */
	if (listeners->in->backlog.n > 0)
		listen_udp_stay_awake(listeners);
}

void listen_udp_look(struct listener *listener)
{
	unsigned int n = read_some(listener, listener->worker->listeners->in);

	if (n > 0)
		queue_all(listener, 0, n);
}

void listen_udp_read_out(struct listener *listener)
{
	struct udp_in *in = listener->worker->listeners->in;

	/* No more than its buffer may have held when this began: others may go on sending. */
	for (unsigned int reads = 0; reads < READS_OUT; reads += READS_PER_TURN) {
		unsigned int n = read_some(listener, in);

		if (n == 0)
			return;
		queue_all(listener, 0, n);
	}
}

/* With nobody waiting, what has come is served as it came as far as one turn goes. What is left
 * then may be one workload's and keep the others waiting, so it is taken in turns. */
static void read_batch(struct listener *listener)
{
	struct worker *worker = listener->worker;
	struct udp_in *in = worker->listeners->in;
	uint64_t n_old = 0;
	unsigned int n, most, i = 0;

	worker_touch_clock(worker);
	worker->listeners->looked_ns = worker->now_ns;
	n = read_some(listener, in);
	most = listener_turn_cost(worker);
	if (n == 0)
		return;
	for (unsigned int cost = 0; in->backlog.n == 0 && i < n && cost < most; i++) {
		uint64_t waited = worker->n_waited;

		deliver(listener, in->at[i], &n_old);
		cost += listener_cost_of(worker, waited);
	}
	tell_dropped(worker, COUNT_DROPPED_OLD, n_old);
	if (i > 0)
		listeners_flush(worker);
	if (i < n || n == LISTEN_BATCH)
		queue_all(listener, i, n);
	listen_udp_serve_fresh(worker->listeners);
}

static void on_ready(uv_poll_t *handle, int status, int events)
{
	struct listener *listener = handle->data;

	if (status < 0) {
		/* libuv has stopped the poll; asking for the socket's error clears it. */
		int err;
		socklen_t len = sizeof(err);

		(void)getsockopt(listener->fd, SOL_SOCKET, SO_ERROR, &err, &len);
		arm(listener);
		return;
	}
	if (events & UV_WRITABLE) {
		listener->out->blocked = false;
		listen_udp_flush(listener);
		if (!listener->out->blocked)
			arm(listener);
	}
	if ((events & UV_READABLE) && listener->reading)
		read_batch(listener);
}

uint8_t *listen_udp_buffer(struct listener *listener)
{
	struct udp_out *out = listener->out;

	if (out->n == LISTEN_BATCH && !out->blocked) {
		listener_publish(listener->worker);
		listen_udp_flush(listener);
	}
	if (out->n == LISTEN_BATCH) {
		count(listener->worker->lane, COUNT_SEND_FAILED);
		return NULL;
	}
	return out->bufs[(out->head + out->n) % LISTEN_BATCH];
}

static socklen_t write_receiver(const struct client *client, union listen_addr *to)
{
	if (client->listener->family == AF_INET) {
		to->v4 =
		    (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(client->port) };
		memcpy(&to->v4.sin_addr, client->addr + 12, 4);
		return sizeof(to->v4);
	}
	to->v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
		                        .sin6_port = htons(client->port),
		                        .sin6_scope_id = client->scope };
	memcpy(&to->v6.sin6_addr, client->addr, ADDR_LEN);
	return sizeof(to->v6);
}

/* A wildcard socket answers from the address that was asked: a client believes no other. */
static size_t write_source(const struct client *client, struct listen_control *control)
{
	struct cmsghdr *c = (struct cmsghdr *)(void *)control->octets;

	if (client->listener->family == AF_INET) {
		struct in_pktinfo info = { 0 };

		memcpy(&info.ipi_spec_dst, client->local + 12, 4);
		c->cmsg_level = IPPROTO_IP;
		c->cmsg_type = IP_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
		return CMSG_SPACE(sizeof(info));
	}
	struct in6_pktinfo info = { .ipi6_ifindex = client->scope };

	memcpy(&info.ipi6_addr, client->local, ADDR_LEN);
	c->cmsg_level = IPPROTO_IPV6;
	c->cmsg_type = IPV6_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	return CMSG_SPACE(sizeof(info));
}

void listen_udp_answer(const struct client *client, size_t len)
{
	struct udp_out *out = client->listener->out;
	unsigned int i = (out->head + out->n) % LISTEN_BATCH;
	struct msghdr *msg = &out->msgs[i].msg_hdr;

	out->iov[i] = (struct iovec){ out->bufs[i], len };
	out->made_ns[i] = client->listener->worker->now_ns;
	*msg = (struct msghdr){
		.msg_name = &out->addrs[i],
		.msg_namelen = write_receiver(client, &out->addrs[i]),
		.msg_iov = &out->iov[i],
		.msg_iovlen = 1,
	};
	if (client->wildcard) {
		msg->msg_controllen = write_source(client, &out->control[i]);
		msg->msg_control = &out->control[i];
	}
	out->n++;
}

static void drop_head(struct udp_out *out, unsigned int n)
{
	out->head = (out->head + n) % LISTEN_BATCH;
	out->n -= n;
	if (out->n == 0)
		out->head = 0; /* so that the next batch is one piece */
}

/* An answer's TTL counts from the moment it was made, and so does its pinhole's life. One that has
 * lain here for long, because we were stopped or the socket took nothing, would promise more than
 * there is (promise P1): its client asks again. */
static void drop_late(struct listener *listener)
{
	struct udp_out *out = listener->out;
	uint64_t now_ns = clock_mono_ns();

	while (out->n > 0 && out->made_ns[out->head] + LIMIT_ANSWER_AGE_MS * NS_PER_MS < now_ns) {
		count(listener->worker->lane, COUNT_LIMIT_ANSWER_AGE);
		drop_head(out, 1);
	}
}

void listen_udp_flush(struct listener *listener)
{
	struct udp_out *out = listener->out;

	if (out->blocked)
		return;
	while (out->n > 0) {
		unsigned int piece;
		int n;

		drop_late(listener);
		piece = MIN(out->n, LISTEN_BATCH - out->head);
		if (piece == 0)
			break;
		n = sendmmsg(listener->fd, out->msgs + out->head, piece, MSG_DONTWAIT);

		if (n > 0) {
			count_add(listener->worker->lane, COUNT_ANSWERS, (uint64_t)n);
			drop_head(out, (unsigned int)n);
		} else if (errno == EAGAIN) {
			out->blocked = true;
			arm(listener);
			return;
		} else if (errno != EINTR) {
			/* This one cannot be sent (no route, firewall); the others can. */
			count(listener->worker->lane, COUNT_SEND_FAILED);
			drop_head(out, 1);
		}
	}
}

int listen_udp_drops(const struct listener *listener, uint32_t *ret_drops)
{
	uint32_t mem[SK_MEMINFO_VARS] = { 0 };
	socklen_t len = sizeof(mem);

	/* Exact at any moment; SO_RXQ_OVFL would tell only with the next datagram that gets in. */
	if (getsockopt(listener->fd, SOL_SOCKET, SO_MEMINFO, mem, &len) < 0)
		return -errno;
	*ret_drops = mem[SK_MEMINFO_DROPS];
	return ERR_OK;
}

int listen_udp_open(struct listener *listener)
{
	int fd = listener->fd, r;

	date(listener, true);
	/* Answers never believe a forged "packet too big": they are small enough for any path. */
	if (listener->family == AF_INET) {
		set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT);
	} else {
		set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_OMIT);
	}
	if (listener->wildcard) {
		set_option(fd, listener->family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6,
		           listener->family == AF_INET ? IP_PKTINFO : IPV6_RECVPKTINFO, 1);
	}
	listener->out = calloc(1, sizeof(*listener->out));
	if (!listener->out)
		return ERR_NOMEM;
	r = uv_poll_init(&listener->worker->loop, &listener->udp_poll, fd);
	if (r < 0) {
		free(listener->out);
		return r;
	}
	listener->udp_poll.data = listener;
	listener->reading = true;
	arm(listener);
	return 0;
}

void listen_udp_read_off(struct listener *listener)
{
	listener->reading = false;
	arm(listener);
}

static void on_closed(uv_handle_t *handle)
{
	struct listener *listener = handle->data;

	close(listener->fd);
	free(listener->out);
	free(listener);
}

void listen_udp_close(struct listener *listener)
{
	uv_close((uv_handle_t *)&listener->udp_poll, on_closed);
}
