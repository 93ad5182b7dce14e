/* resolver/listen.h - the worker's listening sockets, handed down by the keeper.
 *
 * UDP: uv_poll, recvmmsg and sendmmsg in batches of LISTEN_BATCH; TCP: RFC 7766.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"

#define LISTEN_BATCH 64
/* Some answers' worth of work, while a look costs half a microsecond. With one workload alone,
 * twice as much. */
#define LISTEN_LOOK_NS UINT64_C(20000)
/* A look at many sockets costs more: never more often than once in so long for each of them. */
#define LISTEN_LOOK_EACH_NS UINT64_C(2000)
/* Longest message that is read from a client, by UDP or TCP. A query needs a few hundred octets;
 * what is longer is cut, cannot be parsed then, and is answered FORMERR. */
#define LISTEN_QUERY_BYTES 2048

struct worker;
struct listeners;

struct listeners *listeners_new(struct worker *worker);
void listeners_free(struct listeners *listeners);
/* Take @fd (owned from here on, whatever is returned) as listener @index of the worker's settings.
 * A socket that stands here already is named again: it keeps what waits in it. Returns 0, ERR_INVAL
 * (no such listener), ERR_NOMEM or -errno. */
int listeners_add(struct worker *worker, int fd, unsigned int index, int proto) MUST_CHECK;
/* The set is complete: close every listener that listeners_add() has not named since the last call.
 */
void listeners_keep_named(struct worker *worker);
void listeners_drain(struct worker *worker); /* stop reading; connections end when answered */
/* Publish the ring, then send gathered UDP answers. A worker of a test may have no listeners. */
void listeners_flush(struct worker *worker);
/* Before the loop waits: what connections have kept back, then listeners_flush(). */
void listeners_turn(struct worker *worker);
/* Between two pieces of work of one turn: if LISTEN_LOOK_NS have passed since the last look, read
 * what has come by UDP, and serve who had nothing waiting. Others wait for their turns; so a long
 * turn, all of one workload's answers, keeps nobody waiting for its end. Not to be called while a
 * query is being received. */
void listeners_look(struct worker *worker);
/* A few times a second: datagrams that the kernel dropped go to the counter and to the ring. */
void listeners_count_drops(struct worker *worker);
size_t listeners_connections(const struct worker *worker); /* TCP, open now */
