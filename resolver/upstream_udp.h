/* resolver/upstream_udp.h - sockets by which questions leave by UDP and their answers come back.
 *
 *   (none) --take--> ASKING --answered: rest--> RESTING --take--> ASKING ...
 *                       '---no answer, or another: close--> gone <--stray, old, used up--'
 *
 * A socket belongs to one question at a time and is connected to its server: the kernel has picked
 * its port at random and keeps strangers' datagrams out. When the question has had its answer, the
 * socket rests, watched, and may serve another question to that server: a new socket for each would
 * cost five system calls more.
 *
 * What does somebody off the path have to guess (RFC 5452)? In one datagram the port, the ID and
 * the case of each letter of the name: with Linux's 28,232 ports 14.8 bits, 16 bits, and one bit a
 * letter. That is what it was with a new port for each question, for:
 * - Two questions in flight never share a port (section 9.2 of the RFC).
 * - One wrong datagram at an open port ends it, whether it rests or not, and the question that had
 *   it moves to TCP: there is no second guess at a port.
 * - A port cannot be found beforehand to be guessed at later: what is sent to a closed one is
 *   answered to the server whose address was forged, and no question leaves by a port that is
 *   older than UPSTREAM_UDP_LIFE_MS, which is less than a question may keep its own (query_ms), or
 *   that has served UPSTREAM_UDP_USES.
 * - Which of the resting ones serves next is drawn, of UPSTREAM_UDP_CHOICE at least; while fewer
 *   rest, each question gets a port of its own. Who knew them all would still have 4 bits to guess.
 */
#pragma once

#include <stdint.h>

#include "poller.h"
#include "sallyport/cleanup.h"
#include "wheel.h"

#define UPSTREAM_UDP_LIFE_MS 1000 /* from its opening on; then it serves no more */
#define UPSTREAM_UDP_USES 64      /* questions of one socket */
#define UPSTREAM_UDP_CHOICE 16    /* so many rest, or a new one is opened */
#define UPSTREAM_UDP_RESTING 128  /* to one server; more are closed */

struct worker;
struct server;
struct exchange;

struct upstream_udp {
	struct poller_item item;
	struct worker *worker; /* borrowed */
	struct server *server; /* borrowed: who asks holds it, who rests is closed before it goes */
	struct exchange *exchange; /* whose it is; NULL: it rests */
	uint64_t opened_ns;
	unsigned int n_uses;
};

/* Those of one server, in the server. Zeroed is empty. */
struct upstream_udp_pool {
	struct wheel_item timer;
	struct upstream_udp *resting[UPSTREAM_UDP_RESTING];
	unsigned int n;
};

/* A socket for @exchange, which has none. Returns 0, ERR_LIMIT (no descriptors or no ports left;
 * counted), ERR_NOMEM or -errno. */
int upstream_udp_take(struct exchange *exchange) MUST_CHECK;
/* As take, but never one that has been used before. */
int upstream_udp_open(struct exchange *exchange) MUST_CHECK;
/* The answer of its question has come. */
void upstream_udp_rest(struct upstream_udp *udp);
void upstream_udp_close(struct upstream_udp *udp);
/* The server is about to go. */
void upstream_udp_close_resting(struct server *server);

/* exchange_udp.c's: there is something to be read, or an error, on the socket of a question. */
void exchange_udp_ready(struct exchange *exchange);
