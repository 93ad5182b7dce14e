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
	listeners->conns.next = listeners->conns.prev = &listeners->conns;
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
	union listen_addr bound;
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
	if (proto == IPPROTO_UDP && !listeners->settled) {
		listener->drops_seen = listen_udp_drops(listener);
		listeners->drops_inherited += listener->drops_seen;
	}
	listener->next = listeners->first;
	listeners->first = listener;
	return 0;
}

/* The sockets count since they were made, perhaps for a predecessor; the ring's head says how much
 * of that has been told. The rest was dropped while nobody read. */
static void settle_drops(struct listeners *listeners)
{
	struct worker *worker = listeners->worker;
	uint64_t told;

	listeners->settled = true;
	if (!worker->ring.head)
		return;
	told = atomic_load_explicit(&worker->ring.head->kernel_drops, memory_order_relaxed);
	if (listeners->drops_inherited <= told)
		return;
	count_add(worker->lane, COUNT_KERNEL_DROPS, listeners->drops_inherited - told);
	atomic_store_explicit(&worker->ring.head->kernel_drops, listeners->drops_inherited,
	                      memory_order_relaxed);
}

void listeners_keep_named(struct worker *worker)
{
	struct listeners *listeners = worker->listeners;
	struct listener **link = &listeners->first;

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
	if (!listeners->settled)
		settle_drops(listeners);
}

void listeners_count_drops(struct worker *worker)
{
	uint64_t n = 0;

	for (struct listener *l = worker->listeners->first; l; l = l->next) {
		uint32_t drops;

		if (l->proto != IPPROTO_UDP)
			continue;
		drops = listen_udp_drops(l);
		n += (uint32_t)(drops - l->drops_seen); /* the kernel's count wraps */
		l->drops_seen = drops;
	}
	if (n == 0)
		return;
	count_add(worker->lane, COUNT_KERNEL_DROPS, n);
	if (worker->ring.head)
		atomic_fetch_add_explicit(&worker->ring.head->kernel_drops, n,
		                          memory_order_relaxed);
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
	for (struct listener *l = worker->listeners->first; l; l = l->next) {
		if (l->out && l->out->n > 0)
			listen_udp_flush(l);
	}
}

void listeners_look(struct worker *worker)
{
	struct listeners *listeners = worker->listeners;

	uint64_t every_ns = worker_in_company(worker) ? LISTEN_LOOK_NS : 2 * LISTEN_LOOK_NS;

	if (!listeners || listeners->draining || clock_mono_ns() < listeners->looked_ns + every_ns)
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
