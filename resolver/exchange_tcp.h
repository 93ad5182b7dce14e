/* resolver/exchange_tcp.h - connections to upstream servers (RFC 7766): kept for a while, questions
 * pipelined, answers in any order. At most LIMIT_UPSTREAM_TCP to one server, per worker.
 */
#pragma once

#include "exchange.h"

#define UPSTREAM_TCP_PIPELINED 64    /* questions without an answer on one connection */
#define UPSTREAM_TCP_IDLE_MS 10000   /* without a question for so long: closed */
#define UPSTREAM_TCP_CONNECT_MS 2000 /* not connected in this time: closed */
#define UPSTREAM_TCP_SLOW_MS 1000    /* a question given up after so long: no new ones here */
#define UPSTREAM_TCP_HUNG_MS 300     /* nobody answered for so long: may make room for others */
#define UPSTREAM_TCP_STRAYS 64       /* messages that answer nothing we asked: closed */

/* The owner loses interest: take the exchange off its connection. */
void exchange_tcp_leave(struct exchange *exchange);
