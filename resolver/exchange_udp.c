#include "exchange.h"

#include <errno.h>
#include <sys/socket.h>

#include "exchange_tcp.h"
#include "sallyport/err.h"
#include "scan.h"
#include "server.h"
#include "worker.h"

/* We advertise 1232; what is longer than this is cut by the kernel and counts as a near-miss. */
#define ANSWER_MAX 4096

static void finish(struct exchange *exchange, enum exchange_event event, const uint8_t *msg,
                   size_t len)
{
	exchange_stop(exchange);
	exchange->ops->event(exchange, event, msg, len);
}

static void on_ready(struct poller_item *item, uint32_t events)
{
	struct exchange *exchange =
	    (struct exchange *)(void *)((char *)item - offsetof(struct exchange, udp));
	struct stats_lane *lane = exchange->worker->lane;
	uint8_t msg[ANSWER_MAX];
	ssize_t n = recv(item->fd, msg, sizeof(msg), MSG_DONTWAIT | MSG_TRUNC);
	int r;

	(void)events; /* recv tells errors, too */
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			finish(exchange, EXCHANGE_BROKEN, NULL, 0);
		return;
	}
	if ((size_t)n > sizeof(msg)) {
		count(lane, COUNT_UPSTREAM_MISMATCH);
		finish(exchange, EXCHANGE_NEAR_MISS, NULL, 0);
		return;
	}
	switch (ask_check(&exchange->ask, msg, (size_t)n, ASK_CASE_EXACT, &exchange->rcode)) {
	case ASK_FOREIGN:
		/* Somebody may be guessing: no second guess, the question moves to TCP. */
		count(lane, COUNT_UPSTREAM_MISMATCH);
		finish(exchange, EXCHANGE_NEAR_MISS, NULL, 0);
		return;
	case ASK_TRUNCATED:
		finish(exchange, EXCHANGE_TRUNCATED, NULL, 0);
		return;
	case ASK_FAILED:
		finish(exchange, EXCHANGE_FAILED, NULL, 0);
		return;
	case ASK_USABLE:
		break;
	}
	r = scan_message(msg, (size_t)n);
	if (r < 0) {
		finish(exchange, r == ERR_LIMIT ? EXCHANGE_OVERSIZE : EXCHANGE_MALFORMED, NULL, 0);
		return;
	}
	finish(exchange, EXCHANGE_ANSWER, msg, (size_t)n);
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

int exchange_udp_start(struct exchange *exchange)
{
	struct worker *worker = exchange->worker;
	uint8_t msg[ASK_MAX];
	size_t len = ask_write(&exchange->ask, msg);
	ssize_t n;
	int r;

	r = open_socket(exchange->server, &exchange->udp.fd);
	if (r == ERR_LIMIT)
		count(worker->lane, COUNT_LIMIT_UPSTREAM);
	if (r < 0) {
		exchange->udp.fd = -1;
		return r;
	}
	exchange->udp.ready = on_ready;
	exchange->udp.shared = false;
	r = poller_add(worker->poller, &exchange->udp, EPOLLIN);
	n = r < 0 ? -1 : send(exchange->udp.fd, msg, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0) {
		r = r < 0 ? r : -errno;
		poller_remove(worker->poller, &exchange->udp);
		return r;
	}
	count(worker->lane, COUNT_UPSTREAM_QUERIES);
	exchange->sent_ns = worker->now_ns;
	exchange->state = EXCHANGE_UDP;
	exchange->sent = true;
	return 0;
}

void exchange_stop(struct exchange *exchange)
{
	enum exchange_state state = (enum exchange_state)exchange->state;

	exchange->state = EXCHANGE_IDLE;
	switch (state) {
	case EXCHANGE_IDLE:
		break;
	case EXCHANGE_UDP:
		poller_remove(exchange->worker->poller, &exchange->udp);
		break;
	case EXCHANGE_TCP:
		exchange_tcp_leave(exchange);
		break;
	}
}
