/* resolver/exchange.h - one send of one question to one server, and what comes back.
 *
 *   IDLE --start--> UDP  --event--> IDLE        on a connected socket that is its own meanwhile
 *   IDLE --start--> TCP  --event--> IDLE        pipelined on a connection that others use, too
 *
 * Lies in its fetch. Every event ends the exchange; it can be started again. Nothing is called
 * after stop.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ask.h"
#include "sallyport/cleanup.h"

struct worker;
struct server;
struct upstream_tcp;
struct upstream_udp;
struct exchange;

enum exchange_event {
	EXCHANGE_BROKEN = 0, /* unreachable, or closed early */
	EXCHANGE_EVICTED,   /* its connection had to make room for others: not the server's fault */
	EXCHANGE_MALFORMED, /* an answer to the question, but it breaks the format */
	EXCHANGE_OVERSIZE,  /* the same, and it holds more than is taken (LIMIT_MSG_...) */
	EXCHANGE_ANSWER,    /* usable and scanned: the message is given */
	EXCHANGE_TRUNCATED,
	EXCHANGE_NEAR_MISS, /* from the right server to the right socket, but not our answer */
	EXCHANGE_FAILED,    /* the server says that it cannot: the rcode is in the exchange */
};

struct exchange_ops { /* of who owns exchanges */
	/* From the loop, or from exchange_tcp_start() never. @msg is borrowed for the call. */
	void (*event)(struct exchange *exchange, enum exchange_event event, const uint8_t *msg,
	              size_t len);
	/* The octets are about to leave: may they? On false the owner has stopped the exchange. */
	bool (*may_send)(struct exchange *exchange);
};

enum exchange_state { EXCHANGE_IDLE = 0, EXCHANGE_UDP, EXCHANGE_TCP };
struct exchange {
	const struct exchange_ops *ops;
	struct worker *worker;
	struct server *server; /* borrowed from the owner */
	void *owner;
	uint32_t class; /* whose it is: any number, mostly a workload's index */
	struct ask ask;
	uint64_t sent_ns;
	uint16_t rcode;
	uint8_t state;            /* enum exchange_state */
	bool timed_out;           /* exchange_late() was said */
	bool sent;                /* TCP: the octets have left */
	bool alone;               /* TCP: on a connection that nobody else uses */
	struct upstream_udp *udp; /* UDP: until the answer has come */
	struct upstream_tcp *conn;
	struct exchange *next, **link; /* in the connection's list */
};

/* Ask by UDP now. Returns 0, ERR_LIMIT (no sockets left; counted) or -errno. */
int exchange_udp_start(struct exchange *exchange) MUST_CHECK;
/* Ask by TCP, as soon as there is a connection. Returns 0, ERR_LIMIT (counted), ERR_NOMEM or
 * -errno. */
int exchange_tcp_start(struct exchange *exchange) MUST_CHECK;
void exchange_stop(struct exchange *exchange); /* fine when idle */
/* No answer in the time that was given: it goes on, but its connection takes no new questions. */
void exchange_late(struct exchange *exchange);

/* The server is not configured any more: idle connections go now, busy ones after their last
 * answer. */
void exchange_tcp_retire(struct server *server);
