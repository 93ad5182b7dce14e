#include "exchange.h"

#include <errno.h>
#include <sys/socket.h>

#include "exchange_tcp.h"
#include "sallyport/err.h"
#include "scan.h"
#include "server.h"
#include "upstream_udp.h"
#include "worker.h"

/* We advertise 1232; what is longer than this is cut by the kernel and counts as a near-miss. */
#define ANSWER_MAX 4096

static void finish(struct exchange *exchange, enum exchange_event event, const uint8_t *msg,
                   size_t len)
{
	exchange_stop(exchange);
	exchange->ops->event(exchange, event, msg, len);
}

/* The same, after the one message that answers the question: the socket is as good as new. */
static void answered(struct exchange *exchange, enum exchange_event event, const uint8_t *msg,
                     size_t len)
{
	upstream_udp_rest(exchange->udp);
	finish(exchange, event, msg, len);
}

void exchange_udp_ready(struct exchange *exchange)
{
	struct stats_lane *lane = exchange->worker->lane;
	uint8_t msg[ANSWER_MAX];
	ssize_t n = recv(exchange->udp->item.fd, msg, sizeof(msg), MSG_DONTWAIT | MSG_TRUNC);
	int r;

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
		answered(exchange, EXCHANGE_TRUNCATED, NULL, 0);
		return;
	case ASK_FAILED:
		answered(exchange, EXCHANGE_FAILED, NULL, 0);
		return;
	case ASK_USABLE:
		break;
	}
	r = scan_message(msg, (size_t)n);
	if (r < 0)
		answered(exchange, r == ERR_LIMIT ? EXCHANGE_OVERSIZE : EXCHANGE_MALFORMED, NULL,
		         0);
	else
		answered(exchange, EXCHANGE_ANSWER, msg, (size_t)n);
}

static int send_by(const struct upstream_udp *udp, const uint8_t *msg, size_t len)
{
	return send(udp->item.fd, msg, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int exchange_udp_start(struct exchange *exchange)
{
	uint8_t msg[ASK_MAX];
	size_t len = ask_write(&exchange->ask, msg);
	int r = upstream_udp_take(exchange);

	if (r < 0)
		return r;
	r = send_by(exchange->udp, msg, len);
	if (r < 0 && exchange->udp->n_uses > 1) {
		/* Perhaps only what an earlier question left behind. */
		upstream_udp_close(exchange->udp);
		r = upstream_udp_open(exchange);
		if (r < 0)
			return r;
		r = send_by(exchange->udp, msg, len);
	}
	if (r < 0) {
		upstream_udp_close(exchange->udp);
		return r;
	}
	count(exchange->worker->lane, COUNT_UPSTREAM_QUERIES);
	exchange->sent_ns = exchange->worker->now_ns;
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
		if (exchange->udp) /* else it rests already */
			upstream_udp_close(exchange->udp);
		break;
	case EXCHANGE_TCP:
		exchange_tcp_leave(exchange);
		break;
	}
}
