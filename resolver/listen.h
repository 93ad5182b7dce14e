/* resolver/listen.h - the worker's listening sockets, handed down by the keeper.
 *
 * UDP: uv_poll, recvmmsg and sendmmsg in batches of LISTEN_BATCH; TCP: RFC 7766.
 */
#pragma once

#include <stdint.h>

#include "sallyport/cleanup.h"

#define LISTEN_BATCH 64

struct worker;
struct listeners;

struct listeners *listeners_new(struct worker *worker);
void listeners_free(struct listeners *listeners);
/* Take @fd (owned from here on, whatever is returned) as listener @index. */
int listeners_add(struct worker *worker, int fd, unsigned int index, int proto) MUST_CHECK;
/* Close those that the new configuration does not name (called between two sets at END). */
void listeners_keep_only(struct worker *worker, const uint64_t *udp_keep, const uint64_t *tcp_keep);
void listeners_drain(struct worker *worker); /* stop reading; connections end when answered */
void listeners_flush(struct worker *worker); /* send gathered UDP answers now (end of a batch) */
