/* tests/unit/resolver_io/harness.h - a worker without its thread: a real loop on loopback, driven
 * by the test until something has happened, and upstream servers that do what the test tells them.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "poller.h"
#include "settings.h"
#include "wheel.h"
#include "worker.h"

#define IO_PATIENCE_MS 10000 /* a test that waits longer has failed */

struct io {
	struct worker worker;
	struct wheel wheel;
	struct poller poller;
	struct stats_lane lane;
	uv_prepare_t before_wait;
	uv_timer_t patience;
	bool impatient;
	bool (*done)(void *ctx); /* of io_run() */
	void *done_ctx;
	void (*turn)(struct worker *worker); /* before each wait; NULL: nothing */
};

/* Zeroed conf with workers 1; the test fills in what it needs. */
struct resolver_conf *io_conf(void);
void io_init(struct io *io, const struct resolver_conf *conf, void (*turn)(struct worker *worker));
void io_fini(struct io *io); /* after the parts have been freed */
/* Turn the loop until @done says so; fails the test when patience ends. */
void io_run(struct io *io, bool (*done)(void *ctx), void *ctx);
void io_run_ms(struct io *io, unsigned int ms); /* only to show that something does not happen */
uint64_t io_count(const struct io *io, enum counter counter);

/* An upstream on 127.0.0.1, UDP and TCP on one port. */
struct fake;
struct fake_conn;
struct fake {
	struct io *io;
	uint16_t port;
	void *ctx;
	unsigned int n_udp, n_tcp, n_conns; /* messages and connections so far */
	/* NULL: silence. @conn is NULL for UDP. */
	void (*on_query)(struct fake *fake, struct fake_conn *conn, const uint8_t *msg, size_t len,
	                 const struct sockaddr_in *from);
	int udp_fd;
	uv_poll_t udp;
	uv_tcp_t tcp;
	struct fake_conn *conns;
};
struct fake_conn {
	struct fake_conn *next;
	struct fake *fake;
	uv_tcp_t tcp;
	uint8_t buf[70000];
	size_t len;
	unsigned int n_queries;
	bool closing;
};
void fake_init(struct fake *fake, struct io *io, uint16_t port); /* 0: any */
void fake_close(struct fake *fake);
struct conf_server fake_server(const struct fake *fake);
void fake_send(struct fake *fake, struct fake_conn *conn, const struct sockaddr_in *to,
               const uint8_t *msg, size_t len); /* TCP: with its length in front */
void fake_send_raw(struct fake_conn *conn, const uint8_t *octets, size_t len);
void fake_hang_up(struct fake_conn *conn);

/* Answer @query with one A record 192.0.2.@last, TTL 300. Returns the length. */
size_t fake_answer(const uint8_t *query, size_t len, uint8_t last, uint8_t *out, size_t cap);
/* The question back with @rcode and no records; with @tc the TC bit. */
size_t fake_empty(const uint8_t *query, size_t len, uint8_t rcode, bool tc, uint8_t *out);
