#include "listen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "listener.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/log.h"

struct listeners *listeners_new(struct worker *worker)
{
	struct listeners *listeners = calloc(1, sizeof(*listeners));

	if (!listeners)
		return NULL;
	listeners->in = listen_udp_in_new();
	if (!listeners->in) {
		free(listeners);
		return NULL;
	}
	listeners->worker = worker;
	uv_idle_init(&worker->loop, &listeners->serving); /* cannot fail */
	listeners->serving.data = listeners;
	listeners->idle.next = listeners->idle.prev = &listeners->idle;
	listeners->busy.next = listeners->busy.prev = &listeners->busy;
	return listeners;
}

void listener_unref(struct listener *listener)
{
	if (--listener->refs > 0)
		return;
	if (listener->proto == IPPROTO_UDP) {
		listen_udp_close(listener);
	} else {
		listen_tcp_close(listener);
		free(listener);
	}
}

static void listener_close(struct listener *listener)
{
	listener->closed = true;
	if (listener->proto == IPPROTO_UDP) {
		listen_udp_flush(listener);
		listen_udp_read_off(listener);
		listener->drops = NULL;
		listener->worker->listeners->n_udp--;
	} else {
		listen_tcp_close(listener);
	}
	listener_unref(listener);
}

static void on_closed(uv_handle_t *handle)
{
	struct listeners *listeners = handle->data;

	free(listeners->in);
	free(listeners);
}

void listeners_free(struct listeners *listeners)
{
	if (!listeners)
		return;
	listen_tcp_close_all(listeners);
	listen_udp_forget(listeners);
	for (struct listener *l = listeners->first, *next; l; l = next) {
		next = l->next;
		listener_close(l);
	}
	uv_close((uv_handle_t *)&listeners->serving, on_closed);
}

static struct listener *find(struct listeners *listeners, ino_t ino)
{
	for (struct listener *l = listeners->first; l; l = l->next) {
		if (l->ino == ino)
			return l;
	}
	return NULL;
}

static int describe(struct listener *listener, const struct conf_listener *conf)
{
	union listen_addr bound = { 0 };
	socklen_t len = sizeof(bound);
	struct stat st;

	if (fstat(listener->fd, &st) < 0 || getsockname(listener->fd, &bound.sa, &len) < 0)
		return -errno;
	if (bound.sa.sa_family != AF_INET && bound.sa.sa_family != AF_INET6)
		return ERR_INVAL;
	listener->ino = st.st_ino;
	listener->family = bound.sa.sa_family;
	listener->wildcard = conf->wildcard;
	memcpy(listener->addr, conf->addr, ADDR_LEN);
	return 0;
}

/* ---- what the kernel drops ---- */

static uint64_t ino_of(const struct ring_socket *row)
{
	return atomic_load_explicit(&row->ino, memory_order_relaxed);
}

/* The row of a socket that a predecessor has read from goes on; of a new one nothing has been told
 * yet, and what it has dropped so far, nobody has seen. */
static struct ring_socket *told_of(struct listener *listener)
{
	struct ring_head *head = listener->worker->ring.head;
	struct ring_socket *row = &listener->own_drops;

	for (size_t i = 0; head && i < RING_SOCKETS; i++) {
		if (ino_of(&head->sockets[i]) == listener->ino)
			return &head->sockets[i];
		if (row == &listener->own_drops && ino_of(&head->sockets[i]) == 0)
			row = &head->sockets[i];
	}
	atomic_store_explicit(&row->told, 0, memory_order_relaxed);
	atomic_store_explicit(&row->ino, listener->ino, memory_order_relaxed);
	return row;
}

/* Rows of sockets that are gone, whoever had them. */
static void forget_drops(struct listeners *listeners)
{
	struct ring_head *head = listeners->worker->ring.head;

	for (size_t i = 0; head && i < RING_SOCKETS; i++) {
		const struct listener *l = listeners->first;

		while (l && l->drops != &head->sockets[i])
			l = l->next;
		if (!l)
			atomic_store_explicit(&head->sockets[i].ino, 0, memory_order_relaxed);
	}
}

int listeners_add(struct worker *worker, int fd, unsigned int index, int proto)
{
	struct listeners *listeners = worker->listeners;
	CLEANUP(fd_close) int owned = fd;
	struct listener *listener, *known;
	int r;

	if (index >= worker->settings->conf.n_listeners ||
	    (proto != IPPROTO_UDP && proto != IPPROTO_TCP))
		return ERR_INVAL;
	listener = calloc(1, sizeof(*listener));
	if (!listener)
		return ERR_NOMEM;
	listener->worker = worker;
	listener->fd = fd;
	listener->proto = proto;
	listener->refs = 1;
	listener->named = true;
	listener->tcp_accept.fd = -1;
	r = describe(listener, &worker->settings->conf.listeners[index]);
	if (r < 0) {
		free(listener);
		return r;
	}
	known = find(listeners, listener->ino);
	if (known) {
		known->named = true;
		free(listener);
		return 0;
	}
	r = proto == IPPROTO_UDP ? listen_udp_open(listener) : listen_tcp_open(listener);
	if (r < 0) {
		free(listener);
		return r;
	}
	fd_take(&owned);
	if (proto == IPPROTO_UDP) {
		listener->drops = told_of(listener);
		listeners->n_udp++;
	}
	listener->next = listeners->first;
	listeners->first = listener;
	return 0;
}

void listeners_keep_named(struct worker *worker)
{
	struct listeners *listeners = worker->listeners;
	struct listener **link = &listeners->first;

	/* What has come to those that go is answered, or counted (promise P4). */
	for (struct listener *l = listeners->first; l; l = l->next) {
		if (!l->named && l->proto == IPPROTO_UDP)
			listen_udp_read_out(l);
	}
	listeners_count_drops(worker);
	while (*link) {
		struct listener *l = *link;

		if (l->named) {
			l->named = false;
			link = &l->next;
		} else {
			*link = l->next;
			listener_close(l);
		}
	}
	forget_drops(listeners);
}

static void count_drops(struct listener *l)
{
	struct worker *worker = l->worker;
	uint32_t drops, n;

	if (listen_udp_drops(l, &drops) < 0)
		return; /* the next time */
	/* The kernel's count wraps. */
	n = drops - (uint32_t)atomic_load_explicit(&l->drops->told, memory_order_relaxed);
	if (n == 0)
		return;
	count_add(worker->lane, COUNT_KERNEL_DROPS, n);
	/* Who dies in between has a successor that tells them twice: better than never. */
	if (worker->ring.head)
		atomic_fetch_add_explicit(&worker->ring.head->kernel_drops, n,
		                          memory_order_relaxed);
	atomic_store_explicit(&l->drops->told, drops, memory_order_relaxed);
}

void listeners_count_drops(struct worker *worker)
{
	for (struct listener *l = worker->listeners->first; l; l = l->next) {
		if (l->proto == IPPROTO_UDP)
			count_drops(l);
	}
}

void listeners_drain(struct worker *worker)
{
	struct listeners *listeners = worker->listeners;

	listeners->draining = true;
	for (struct listener *l = listeners->first; l; l = l->next) {
		if (l->proto == IPPROTO_UDP)
			listen_udp_read_off(l);
		else
			listen_tcp_close(l);
	}
	listen_udp_serve_all(listeners); /* it has been read: it is answered */
	uv_idle_stop(&listeners->serving);
	listen_tcp_drain(listeners);
}

void listeners_flush(struct worker *worker)
{
	listener_publish(worker);
	for (struct listener *l = worker->listeners ? worker->listeners->first : NULL; l;
	     l = l->next) {
		if (l->out && l->out->n > 0)
			listen_udp_flush(l);
	}
}

void listeners_look(struct worker *worker)
{
	struct listeners *listeners = worker->listeners;

	uint64_t every_ns = worker_in_company(worker) ? LISTEN_LOOK_NS : 2 * LISTEN_LOOK_NS;

	if (!listeners || listeners->draining)
		return;
	every_ns = MAX(every_ns, listeners->n_udp * LISTEN_LOOK_EACH_NS);
	if (clock_mono_ns() < listeners->looked_ns + every_ns)
		return;
	worker_touch_clock(worker);
	for (struct listener *l = listeners->first; l; l = l->next) {
		if (l->proto == IPPROTO_UDP && l->reading)
			listen_udp_look(l);
	}
	listen_udp_serve_fresh(listeners);
	listeners->looked_ns = clock_mono_ns();
}

void listeners_turn(struct worker *worker)
{
	listen_tcp_turn(worker->listeners);
	listeners_flush(worker);
}

size_t listeners_connections(const struct worker *worker)
{
	return worker->listeners->n_conns;
}
