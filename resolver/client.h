/* resolver/client.h - where a query came from and how its answer goes back.
 *
 * UDP answers are gathered and leave with one sendmmsg at the end of the batch; TCP answers are
 * queued on their connection. Whoever holds a struct client calls client_answer() exactly once, at
 * any later time on the worker's loop.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "sallyport/prefix.h"

struct worker;
struct listener;
struct tcp_connection;

struct client {
	struct listener *listener; /* of UDP; kept until its last client has answered */
	struct tcp_connection
	    *tcp; /* NULL: UDP. Referenced; may be closed by the time of the answer */
	uint8_t addr[ADDR_LEN];
	uint8_t local[ADDR_LEN]; /* the address that was asked, of wildcard listeners, too */
	uint16_t port;
	bool wildcard;
	bool held;      /* client_hold() took references */
	uint32_t scope; /* of a link-local client: its interface; else 0 */
};

/* A buffer for one answer, valid until client_answer() or client_drop(): at least *ret_cap octets
 * (LIMIT_EDNS_UDP_BYTES by UDP, 65535 by TCP). NULL: none left, or the client has gone; the query
 * is dropped and counted. A worker has one at a time: asking for the next one voids it. */
uint8_t *client_buffer(struct worker *worker, const struct client *client, size_t *ret_cap);
/* Send what client_buffer() holds, @len octets. Returns 0, ERR_CLOSED (the client has gone) or
 * -errno; counts SEND_FAILED itself. */
int client_answer(struct worker *worker, struct client *client, size_t len);
/* Let go of the client without an answer. */
void client_drop(struct worker *worker, struct client *client);
/* Keep @client past the call that delivered it (a query that waits): references are taken. */
void client_hold(struct client *client);
