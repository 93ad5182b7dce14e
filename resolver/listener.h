/* resolver/listener.h - what listen.c, listen_udp.c, listen_tcp.c and client.c share: one listening
 * socket of one worker. Nobody else includes this.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <uv.h>

#include "client.h"
#include "fair_queue.h"
#include "listen.h"
#include "poller.h"
#include "sallyport/limits.h"
#include "stream.h"
#include "tally.h"
#include "tcp_frames.h"
#include "wheel.h"
#include "worker.h"

union listen_addr {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};
#define LISTEN_CONTROL 128 /* a timestamp and an address */
struct listen_control {
	_Alignas(struct cmsghdr) uint8_t octets[LISTEN_CONTROL];
};

/* Answers that wait for the end of the batch: a ring of slots, so that what the kernel did not take
 * keeps its place while new answers come behind it. Strides are off the power of two: 64 buffers at
 * one alignment would fight for the same few lines of the first-level cache. */
#define LISTEN_OUT_STRIDE 1344
_Static_assert(LISTEN_OUT_STRIDE >= LIMIT_EDNS_UDP_BYTES, "an answer fits a slot");
struct udp_out {
	unsigned int head, n;
	bool blocked;                   /* the kernel's buffer is full: waiting for it */
	uint64_t made_ns[LISTEN_BATCH]; /* CLOCK_MONOTONIC */
	struct mmsghdr msgs[LISTEN_BATCH];
	struct iovec iov[LISTEN_BATCH];
	union listen_addr addrs[LISTEN_BATCH];
	struct listen_control control[LISTEN_BATCH];
	uint8_t bufs[LISTEN_BATCH][LISTEN_OUT_STRIDE];
};

/* One datagram that was read. It is answered where it lies, or waits there for its turn. */
struct udp_message {
	struct fair_item turn;     /* in the backlog, or in the list of those that are free */
	struct listener *listener; /* referenced while it waits */
	struct iovec iov;
	union listen_addr addr;
	struct listen_control control;
	uint64_t read_wall_ns; /* CLOCK_REALTIME: it came at this time or earlier */
	size_t control_len, len;
	uint8_t buf[LISTEN_QUERY_BYTES + 64];
};

/* What the kernel has for us is read at once; what is more than a batch waits here, not there, for
 * the kernel knows one queue a socket and drops whatever comes last: a workload that floods would
 * have the others' queries dropped. */
struct udp_in {
	struct mmsghdr msgs[LISTEN_BATCH]; /* each reads into the message at the same index */
	struct udp_message *at[LISTEN_BATCH];
	bool controlled; /* msgs have room for control messages */
	struct fair_queue backlog;
	struct fair_item *free;
	struct udp_message messages[LISTEN_BATCH + LIMIT_UDP_BACKLOG];
};

struct listener {
	struct listener *next;
	struct worker *worker;
	int fd;     /* UDP: polled by udp_poll; TCP: owned by tcp_accept */
	int proto;  /* IPPROTO_UDP, IPPROTO_TCP */
	ino_t ino;  /* of the socket: what names it across configurations */
	bool named; /* by the set that is being applied */
	bool reading;
	bool dated;          /* the kernel tells when each datagram came */
	uint64_t drained_ns; /* CLOCK_MONOTONIC: what lies in the socket came later than this */
	bool closed;         /* removed; goes when the last held client has answered */
	unsigned int refs;   /* clients that are held, and 1 while not closed */
	int family;
	bool wildcard;
	uint8_t addr[ADDR_LEN];
	struct ring_socket *drops;    /* what has been told of the kernel's count: in the ring, */
	struct ring_socket own_drops; /* or, without one, here */
	uv_poll_t udp_poll;
	struct poller_item tcp_accept;
	struct wheel_item tcp_pause; /* no descriptors left: accept again later */
	struct udp_out *out;
};

struct tcp_connection {
	struct tcp_connection *next, *prev; /* in idle or busy, the longest without a query first */
	struct tcp_connection *resume_next;
	struct worker *worker;
	struct stream stream;
	struct tcp_frames frames;
	struct wheel_item timer;
	uint64_t active_ns;   /* accepted, or the last message or answer */
	uint64_t began_ns;    /* when the message that is not complete began */
	uint64_t sent_ns;     /* when the other side last took something */
	unsigned int refs;    /* clients that are held, 1 while open, 1 while in use on the stack */
	unsigned int pending; /* queries handed on and not answered */
	bool eof;             /* the client has sent all that it will */
	bool open;
	bool delivering; /* query_received() is on the stack for this connection */
	bool resuming;   /* in the list of those with room again */
	bool is_busy;    /* in which list it is */
	uint8_t addr[ADDR_LEN], local[ADDR_LEN];
	uint16_t port;
	uint32_t scope;
	uint8_t buf[2 + LISTEN_QUERY_BYTES];
};

struct listeners {
	struct worker *worker;
	struct listener *first;
	unsigned int n_udp; /* of these */
	struct udp_in *in;
	uv_idle_t serving;  /* while something waits in the backlog */
	uint64_t looked_ns; /* CLOCK_MONOTONIC: when the sockets were last read */
	bool draining;
	/* List heads: those that do nothing, and so may give way, and those that owe something. */
	struct tcp_connection idle, busy;
	struct tcp_connection *resume;
	uint32_t n_conns;
	uint8_t tcp_out[2 + LIMIT_MSG_BYTES]; /* the answer that is being written */
};

/* What is recorded must be there before an answer can be seen (promise P4). */
static inline void listener_publish(struct worker *worker)
{
	if (worker->ring.head)
		ring_publish(&worker->ring);
}

#define TURN_COST 32       /* what one turn spends on a socket's queries: one each ... */
#define WAIT_COST 8        /* ... and so many for one that has to wait for somebody; */
#define TURN_COST_LEAST 16 /* in company, while some wait: one of these, or so many others */

/* What the query cost that has just been delivered. @waited is n_waited from before. While answers
 * from upstreams are behind, one turn begins one that waits: what has been begun is ended first, or
 * the newcomers of one workload would keep everybody's answers waiting. */
static inline unsigned int listener_cost_of(const struct worker *worker, uint64_t waited)
{
	if (worker->n_waited == waited)
		return 1;
	if (worker->poller->full)
		return TURN_COST;
	return worker_in_company(worker) ? TURN_COST_LEAST : WAIT_COST;
}

/* Who waits for an upstream or for fwsync needs some turns of the loop to get on. */
static inline unsigned int listener_turn_cost(const struct worker *worker)
{
	return worker_in_company(worker) && tally_in_use(worker->tally, TALLY_QUERIES) > 0
	           ? TURN_COST_LEAST
	           : TURN_COST;
}

int listen_udp_open(struct listener *listener) MUST_CHECK; /* options, poll, buffers */
void listen_udp_read_off(struct listener *listener);
void listen_udp_read_out(struct listener *listener); /* all that had come, into the backlog */
void listen_udp_close(struct listener *listener);    /* frees it when the handle has closed */
void listen_udp_flush(struct listener *listener);
uint8_t *listen_udp_buffer(struct listener *listener);
void listen_udp_answer(const struct client *client, size_t len);
/* The kernel's count for this socket, which wraps. Returns 0 or -errno. */
int listen_udp_drops(const struct listener *listener, uint32_t *ret_drops) MUST_CHECK;
struct udp_in *listen_udp_in_new(void);
void listen_udp_look(struct listener *listener);          /* what has come, into the backlog */
void listen_udp_serve(struct listeners *listeners);       /* the next batch of the backlog */
void listen_udp_serve_fresh(struct listeners *listeners); /* only who had nothing waiting */
/* The loop does not sleep until nothing waits in the backlog or to be resumed. */
void listen_udp_stay_awake(struct listeners *listeners);
void listen_udp_serve_all(struct listeners *listeners);
void listen_udp_forget(struct listeners *listeners); /* what waits is part of the next gap row */

int listen_tcp_open(struct listener *listener) MUST_CHECK;
void listen_tcp_close(struct listener *listener);
void listen_tcp_turn(struct listeners *listeners);
void listen_tcp_drain(struct listeners *listeners);
void listen_tcp_close_all(struct listeners *listeners);
int listen_tcp_answer(struct tcp_connection *conn, size_t len);
void listen_tcp_answered(struct tcp_connection *conn); /* one query less is pending */
void listen_tcp_unref(struct tcp_connection *conn);

void listener_unref(struct listener *listener);
