#include "harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tally.h"

struct resolver_conf *io_conf(void)
{
	struct resolver_conf *conf = calloc(1, sizeof(*conf));

	assert_non_null(conf);
	conf->magic = RESOLVER_CONF_MAGIC;
	conf->size = sizeof(*conf);
	conf->workers = 1;
	conf->cache_bytes = 1 << 20;
	conf->cache_max_ttl_s = 86400;
	conf->cache_negative_max_ttl_s = 900;
	return conf;
}

static void touch(void *ctx)
{
	worker_touch_clock(ctx);
}

static void on_before_wait(uv_prepare_t *prepare)
{
	struct io *io = prepare->data;

	worker_touch_clock(&io->worker);
	if (io->turn)
		io->turn(&io->worker);
	/* Nothing else may ever wake the loop. */
	if (io->done && io->done(io->done_ctx))
		uv_stop(&io->worker.loop);
}

void io_init(struct io *io, const struct resolver_conf *conf, void (*turn)(struct worker *worker))
{
	memset(io, 0, sizeof(*io));
	io->turn = turn;
	assert_int_equal(uv_loop_init(&io->worker.loop), 0);
	io->worker.settings = settings_new(conf);
	assert_non_null(io->worker.settings);
	io->worker.lane = &io->lane;
	io->worker.pinhole_fd = -1;
	io->worker.tally = tally_new(io->worker.settings->conf.hash_key);
	assert_non_null(io->worker.tally);
	worker_touch_clock(&io->worker);
	assert_int_equal(uv_prepare_init(&io->worker.loop, &io->before_wait), 0);
	io->before_wait.data = io;
	assert_int_equal(uv_prepare_start(&io->before_wait, on_before_wait), 0);
	assert_int_equal(uv_timer_init(&io->worker.loop, &io->patience), 0);
	io->patience.data = io;
	assert_int_equal(wheel_init(&io->wheel, &io->worker.loop, touch, &io->worker), 0);
	io->worker.wheel = &io->wheel;
	assert_int_equal(poller_init(&io->poller, &io->worker.loop, touch, &io->worker), 0);
	io->worker.poller = &io->poller;
}

static void close_handle(uv_handle_t *handle, void *ctx)
{
	(void)ctx;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

void io_fini(struct io *io)
{
	wheel_fini(&io->wheel);
	poller_fini(&io->poller);
	uv_walk(&io->worker.loop, close_handle, NULL);
	uv_run(&io->worker.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&io->worker.loop), 0);
	tally_free(io->worker.tally);
	settings_unref(io->worker.settings);
}

static void on_patience(uv_timer_t *timer)
{
	struct io *io = timer->data;

	io->impatient = true;
	uv_stop(timer->loop); /* or the loop might wait with nothing left to wake it */
}

void io_run(struct io *io, bool (*done)(void *ctx), void *ctx)
{
	io->impatient = false;
	io->done = done;
	io->done_ctx = ctx;
	uv_update_time(&io->worker.loop);
	uv_timer_start(&io->patience, on_patience, IO_PATIENCE_MS, 0);
	while (!done(ctx)) {
		uv_run(&io->worker.loop, UV_RUN_ONCE);
		if (io->impatient)
			fail_msg("waited %d ms in vain", IO_PATIENCE_MS);
	}
	io->done = NULL;
	uv_timer_stop(&io->patience);
}

void io_run_ms(struct io *io, unsigned int ms)
{
	io->impatient = false;
	uv_update_time(&io->worker.loop);
	uv_timer_start(&io->patience, on_patience, ms, 0);
	while (!io->impatient)
		uv_run(&io->worker.loop, UV_RUN_ONCE);
}

uint64_t io_count(const struct io *io, enum counter counter)
{
	return atomic_load(&io->lane.counts[counter]);
}

/* ---- upstreams ---- */

static void on_udp(uv_poll_t *handle, int status, int events)
{
	struct fake *fake = handle->data;
	uint8_t msg[4096];
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	ssize_t n;

	(void)status;
	(void)events;
	n = recvfrom(fake->udp_fd, msg, sizeof(msg), MSG_DONTWAIT, (struct sockaddr *)&from, &len);
	if (n < 0)
		return;
	fake->n_udp++;
	if (fake->on_query)
		fake->on_query(fake, NULL, msg, (size_t)n, &from);
}

static void on_conn_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void fake_hang_up(struct fake_conn *conn)
{
	struct fake_conn **link = &conn->fake->conns;

	if (conn->closing)
		return;
	conn->closing = true;
	while (*link != conn)
		link = &(*link)->next;
	*link = conn->next;
	uv_close((uv_handle_t *)&conn->tcp, on_conn_closed);
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
	struct fake_conn *conn = handle->data;

	(void)size;
	*buf = uv_buf_init((char *)conn->buf + conn->len,
	                   (unsigned int)(sizeof(conn->buf) - conn->len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct fake_conn *conn = stream->data;

	(void)buf;
	if (n < 0) {
		fake_hang_up(conn);
		return;
	}
	conn->len += (size_t)n;
	while (!conn->closing && conn->len >= 2) {
		size_t want = (size_t)conn->buf[0] << 8 | conn->buf[1];
		uint8_t msg[4096];

		if (conn->len < 2 + want)
			return;
		memcpy(msg, conn->buf + 2, want);
		conn->len -= 2 + want;
		memmove(conn->buf, conn->buf + 2 + want, conn->len);
		conn->fake->n_tcp++;
		conn->n_queries++;
		if (conn->fake->on_query)
			conn->fake->on_query(conn->fake, conn, msg, want, NULL);
	}
}

static void on_connection(uv_stream_t *server, int status)
{
	struct fake *fake = server->data;
	struct fake_conn *conn = calloc(1, sizeof(*conn));

	assert_int_equal(status, 0);
	assert_non_null(conn);
	conn->fake = fake;
	conn->next = fake->conns;
	fake->conns = conn;
	fake->n_conns++;
	assert_int_equal(uv_tcp_init(server->loop, &conn->tcp), 0);
	conn->tcp.data = conn;
	assert_int_equal(uv_accept(server, (uv_stream_t *)&conn->tcp), 0);
	assert_int_equal(uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read), 0);
}

/* TCP first: the kernel picks a port that UDP then has to have, too. */
void fake_init(struct fake *fake, struct io *io, uint16_t port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port) };
	int len = sizeof(sa);

	memset(fake, 0, sizeof(*fake));
	fake->io = io;
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(uv_tcp_init(&io->worker.loop, &fake->tcp), 0);
	fake->tcp.data = fake;
	assert_int_equal(uv_tcp_bind(&fake->tcp, (struct sockaddr *)&sa, 0), 0);
	assert_int_equal(uv_listen((uv_stream_t *)&fake->tcp, 64, on_connection), 0);
	assert_int_equal(uv_tcp_getsockname(&fake->tcp, (struct sockaddr *)&sa, &len), 0);
	fake->port = ntohs(sa.sin_port);
	fake->udp_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(fake->udp_fd >= 0);
	assert_int_equal(bind(fake->udp_fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(uv_poll_init(&io->worker.loop, &fake->udp, fake->udp_fd), 0);
	fake->udp.data = fake;
	assert_int_equal(uv_poll_start(&fake->udp, UV_READABLE, on_udp), 0);
}

static void on_udp_closed(uv_handle_t *handle)
{
	struct fake *fake = handle->data;

	close(fake->udp_fd);
	fake->udp_fd = -1;
}

void fake_close(struct fake *fake)
{
	while (fake->conns)
		fake_hang_up(fake->conns);
	uv_close((uv_handle_t *)&fake->tcp, NULL);
	uv_close((uv_handle_t *)&fake->udp, on_udp_closed);
	while (fake->udp_fd >= 0)
		uv_run(&fake->io->worker.loop, UV_RUN_NOWAIT);
}

struct conf_server fake_server(const struct fake *fake)
{
	struct conf_server server = { .port = fake->port };
	static const uint8_t loopback[4] = { 127, 0, 0, 1 };

	addr_from_v4(loopback, server.addr);
	return server;
}

void fake_send_raw(struct fake_conn *conn, const uint8_t *octets, size_t len)
{
	uv_buf_t buf = uv_buf_init((char *)(uintptr_t)octets, (unsigned int)len);
	int n = uv_try_write((uv_stream_t *)&conn->tcp, &buf, 1);

	assert_int_equal(n, (int)len);
}

void fake_send(struct fake *fake, struct fake_conn *conn, const struct sockaddr_in *to,
               const uint8_t *msg, size_t len)
{
	static uint8_t framed[2 + 65535];

	if (!conn) {
		assert_int_equal(
		    sendto(fake->udp_fd, msg, len, 0, (const struct sockaddr *)to, sizeof(*to)),
		    (ssize_t)len);
		return;
	}
	framed[0] = (uint8_t)(len >> 8);
	framed[1] = (uint8_t)len;
	memcpy(framed + 2, msg, len);
	fake_send_raw(conn, framed, len + 2);
}

static size_t question_end(const uint8_t *query, size_t len)
{
	size_t at = 12;

	while (at < len && query[at])
		at += query[at] + 1U;
	return at + 5;
}

size_t fake_empty(const uint8_t *query, size_t len, uint8_t rcode, bool tc, uint8_t *out)
{
	size_t end = question_end(query, len);

	assert_true(end <= len);
	memcpy(out, query, end);
	out[2] = (uint8_t)(0x81 | (tc ? 0x02 : 0));
	out[3] = (uint8_t)(0x80 | rcode);
	memset(out + 6, 0, 6);
	return end;
}

size_t fake_answer(const uint8_t *query, size_t len, uint8_t last, uint8_t *out, size_t cap)
{
	const uint8_t rr[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, last };
	size_t end = fake_empty(query, len, 0, false, out);

	assert_true(end + sizeof(rr) <= cap);
	out[7] = 1;
	memcpy(out + end, rr, sizeof(rr));
	return end + sizeof(rr);
}
