#include "upstream_udp.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "exchange.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "server.h"
#include "worker.h"

static bool worn(const struct upstream_udp *udp)
{
	return udp->n_uses >= UPSTREAM_UDP_USES ||
	       udp->worker->now_ns >= udp->opened_ns + UPSTREAM_UDP_LIFE_MS * NS_PER_MS;
}

void upstream_udp_close(struct upstream_udp *udp)
{
	if (udp->exchange)
		udp->exchange->udp = NULL;
	poller_remove(udp->worker->poller, &udp->item);
	free(udp);
}

/* The last one takes its place: their order means nothing. */
static struct upstream_udp *wake(struct upstream_udp_pool *pool, unsigned int i)
{
	struct upstream_udp *udp = pool->resting[i];

	pool->resting[i] = pool->resting[--pool->n];
	return udp;
}

static void on_old(struct wheel_item *item)
{
	struct upstream_udp_pool *pool =
	    (struct upstream_udp_pool *)(void *)((char *)item -
	                                         offsetof(struct upstream_udp_pool, timer));
	struct worker *worker = pool->n > 0 ? pool->resting[0]->worker : NULL;

	for (unsigned int i = pool->n; i-- > 0;) {
		if (worn(pool->resting[i]))
			upstream_udp_close(wake(pool, i));
	}
	if (pool->n > 0)
		wheel_set(worker->wheel, item, worker->now_ns + UPSTREAM_UDP_LIFE_MS * NS_PER_MS);
}

void upstream_udp_rest(struct upstream_udp *udp)
{
	struct upstream_udp_pool *pool = &udp->server->udp;
	struct worker *worker = udp->worker;

	if (worn(udp) || pool->n == UPSTREAM_UDP_RESTING) {
		upstream_udp_close(udp);
		return;
	}
	udp->exchange->udp = NULL;
	udp->exchange = NULL;
	pool->resting[pool->n++] = udp;
	pool->timer.fire = on_old;
	if (!wheel_is_set(&pool->timer))
		wheel_set(worker->wheel, &pool->timer,
		          worker->now_ns + UPSTREAM_UDP_LIFE_MS * NS_PER_MS);
}

void upstream_udp_close_resting(struct server *server)
{
	struct upstream_udp_pool *pool = &server->udp;

	wheel_clear(&pool->timer);
	while (pool->n > 0)
		upstream_udp_close(wake(pool, pool->n - 1));
}

/* Whatever comes while nothing was asked answers nothing: a duplicate, a late one, or a guess,
 * which has found a port that is open. It is not any more. */
static void on_stray(struct upstream_udp *udp)
{
	struct upstream_udp_pool *pool = &udp->server->udp;
	unsigned int i = 0;

	while (pool->resting[i] != udp)
		i++;
	count(udp->worker->lane, COUNT_UPSTREAM_MISMATCH);
	upstream_udp_close(wake(pool, i));
}

static void on_ready(struct poller_item *item, uint32_t events)
{
	struct upstream_udp *udp =
	    (struct upstream_udp *)(void *)((char *)item - offsetof(struct upstream_udp, item));

	(void)events; /* recv tells errors, too */
	if (udp->exchange)
		exchange_udp_ready(udp->exchange);
	else
		on_stray(udp);
}

static int open_socket(const struct server *server, int *ret_fd)
{
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(server->addr, server->port, &sa);
	CLEANUP(fd_close) int fd = -1;

	fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno == EMFILE || errno == ENFILE ? ERR_LIMIT : -errno;
	/* Connecting binds to a port of the kernel's choice; EAGAIN: there is none left. */
	if (connect(fd, (struct sockaddr *)&sa, len) < 0)
		return errno == EAGAIN || errno == EADDRNOTAVAIL ? ERR_LIMIT : -errno;
	*ret_fd = fd_take(&fd);
	return 0;
}

static void give(struct upstream_udp *udp, struct exchange *exchange)
{
	udp->exchange = exchange;
	udp->n_uses++;
	exchange->udp = udp;
}

int upstream_udp_open(struct exchange *exchange)
{
	struct worker *worker = exchange->worker;
	struct upstream_udp *udp = calloc(1, sizeof(*udp));
	int r;

	if (!udp)
		return ERR_NOMEM;
	udp->item.fd = -1;
	udp->item.ready = on_ready;
	udp->worker = worker;
	udp->server = exchange->server;
	udp->opened_ns = worker->now_ns;
	r = open_socket(exchange->server, &udp->item.fd);
	if (r == 0)
		r = poller_add(worker->poller, &udp->item, EPOLLIN);
	if (r < 0) {
		if (r == ERR_LIMIT)
			count(worker->lane, COUNT_LIMIT_UPSTREAM);
		upstream_udp_close(udp);
		return r;
	}
	count(worker->lane, COUNT_UPSTREAM_SOCKETS);
	give(udp, exchange);
	return 0;
}

int upstream_udp_take(struct exchange *exchange)
{
	struct upstream_udp_pool *pool = &exchange->server->udp;

	while (pool->n >= UPSTREAM_UDP_CHOICE) {
		uint16_t dice = entropy_u16(&exchange->worker->entropy);
		struct upstream_udp *udp = wake(pool, dice % pool->n);

		if (!worn(udp)) {
			give(udp, exchange);
			return 0;
		}
		upstream_udp_close(udp);
	}
	return upstream_udp_open(exchange);
}
