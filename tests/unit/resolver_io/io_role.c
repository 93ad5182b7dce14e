/* tests/unit/resolver_io/io_role.c - the whole resolver process, confined as it really runs, with
 * the test as its keeper, its upstream and its client. Needs root (to confine); skipped without.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "policy/compile.h"
#include "sallyport/clock.h"
#include "sallyport/counter.h"
#include "sallyport/err.h"
#include "sallyport/ring.h"
#include "sallyport/role.h"
#include "sallyport/shm.h"

#define N_WORKERS 2
#define PATIENCE_MS 10000
#define RCODE_REFUSED 5
#define RCODE_SERVFAIL 2

struct world {
	pid_t pid;
	int channel;
	int stats_fd, ring_data[N_WORKERS], ring_back[N_WORKERS];
	int udp[N_WORKERS], tcp[N_WORKERS]; /* the keeper's copies */
	int upstream[2];                    /* each answers with an address of its own */
	unsigned int n_upstream[2];
	uint16_t port, upstream_port[2];
	struct stats_page *stats;
	struct resolver_conf *conf;
	int client;
	uint64_t n_told; /* sets so far */
};

static int bound(int type, uint16_t *port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(*port) };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	*port = ntohs(sa.sin_port);
	return fd;
}

static void start_process(struct world *world)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	world->channel = pair[0];
	world->pid = fork();
	assert_true(world->pid >= 0);
	if (world->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (pair[1] == ROLE_FD)
			fcntl(ROLE_FD, F_SETFD, 0);
		else
			dup2(pair[1], ROLE_FD);
		/* What the thread sanitizer does at exit needs files, and a second. */
		setenv("TSAN_OPTIONS", "report_thread_leaks=0:atexit_sleep_ms=0", 0);
		execl(RESOLVER_PROGRAM, "sallyport-resolver", (char *)NULL);
		_exit(127);
	}
	close(pair[1]);
}

static void tell(struct world *world, enum role_msg_type type, uint64_t a, uint64_t b,
                 const int *fds, size_t n_fds)
{
	assert_int_equal(role_send(world->channel, type, a, b, NULL, 0, fds, n_fds), 0);
}

static void tell_set(struct world *world)
{
	int conf = shm_create_sealed("conf", world->conf, sizeof(*world->conf));

	assert_true(conf >= 0);
	tell(world, ROLE_MSG_CONFIG, 0, 0, &conf, 1);
	close(conf);
	tell(world, ROLE_MSG_STATS, 0, 0, &world->stats_fd, 1);
	for (uint64_t w = 0; w < N_WORKERS; w++) {
		int ring[2] = { world->ring_data[w], world->ring_back[w] };

		tell(world, ROLE_MSG_RING, w, 0, ring, 2);
		tell(world, ROLE_MSG_LISTENER, 0 | w << 16, IPPROTO_UDP, &world->udp[w], 1);
		tell(world, ROLE_MSG_LISTENER, 0 | w << 16, IPPROTO_TCP, &world->tcp[w], 1);
	}
	tell(world, ROLE_MSG_END, 0, ++world->n_told, NULL, 0);
}

/* Which configuration is in force is told whenever it is so: only who asks for it looks. */
static void expect(struct world *world, enum role_msg_type type, uint64_t a)
{
	static uint8_t buf[LIMIT_ROLE_MESSAGE];
	struct pollfd p = { .fd = world->channel, .events = POLLIN };
	struct role_msg msg;

	do {
		if (poll(&p, 1, PATIENCE_MS) != 1)
			fail_msg("no message of type %d", (int)type);
		assert_int_equal(role_recv(world->channel, buf, sizeof(buf), &msg), 0);
	} while (msg.type == ROLE_MSG_CONFIGURED && (type != ROLE_MSG_CONFIGURED || msg.a < a));
	if (msg.type != type)
		fail_msg("type %d instead of %d: %.*s", msg.type, (int)type, (int)msg.len,
		         (const char *)msg.payload);
	assert_int_equal(msg.a, a);
}

/* One profile that allows @name, for 127.0.0.1. */
static void give_policy(struct world *world, uint32_t version, const char *name)
{
	char text[300];
	struct policy_source source = { "test.yaml", text, 0 };
	void *image = NULL;
	size_t len = 0;
	int fd;

	snprintf(text, sizeof(text),
	         "version: 1\n"
	         "profiles: {p: {denied: refused, allow: [{name: %s, ports: none}]}}\n"
	         "workloads: {w: {source: [127.0.0.1, \"::1\"], profile: p}}\n",
	         name);
	source.len = strlen(text);
	assert_int_equal(policy_compile(&source, NULL, 0, 1700000000, &image, &len, NULL), 0);
	fd = shm_create_sealed("image", image, len);
	assert_true(fd >= 0);
	free(image);
	tell(world, ROLE_MSG_IMAGE, version, 0, &fd, 1);
	close(fd);
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	static const uint8_t loopback[4] = { 127, 0, 0, 1 };

	assert_non_null(world);
	*state = world;
	if (geteuid() != 0)
		return 0;
	world->stats_fd = stats_create();
	assert_int_equal(stats_map(world->stats_fd, 0, &world->stats), 0);
	for (size_t w = 0; w < N_WORKERS; w++) {
		assert_int_equal(ring_create(1024, &world->ring_data[w], &world->ring_back[w]), 0);
		world->udp[w] = bound(SOCK_DGRAM, &world->port);
		world->tcp[w] = bound(SOCK_STREAM, &world->port);
		assert_int_equal(listen(world->tcp[w], 16), 0);
		world->upstream[w] = bound(SOCK_DGRAM, &world->upstream_port[w]);
	}
	world->conf = calloc(1, sizeof(*world->conf));
	assert_non_null(world->conf);
	world->conf->magic = RESOLVER_CONF_MAGIC;
	world->conf->size = sizeof(*world->conf);
	world->conf->common.uid = world->conf->common.gid = 65534;
	world->conf->workers = N_WORKERS;
	world->conf->firewall = FIREWALL_NONE;
	world->conf->cache_bytes = 1 << 20;
	world->conf->cache_max_ttl_s = 86400;
	world->conf->id_base = 1 << 20;
	world->conf->n_listeners = 1;
	addr_from_v4(loopback, world->conf->listeners[0].addr);
	world->conf->listeners[0].port = world->port;
	world->conf->n_zones = 1;
	world->conf->zones[0].internal = 1; /* 192.0.2.0/24 is no global address */
	world->conf->zones[0].n_servers = 1;
	addr_from_v4(loopback, world->conf->zones[0].servers[0].addr);
	world->conf->zones[0].servers[0].port = world->upstream_port[0];
	world->client = -1;
	start_process(world);
	tell_set(world);
	expect(world, ROLE_MSG_READY, 0);
	return 0;
}

static int exit_status(struct world *world, unsigned int patience_ms)
{
	uint64_t until = clock_mono_ns() + patience_ms * NS_PER_MS;
	int status;

	while (clock_mono_ns() < until) {
		pid_t pid = waitpid(world->pid, &status, WNOHANG);

		if (pid == world->pid) {
			world->pid = 0;
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		}
		poll(NULL, 0, 5);
	}
	return -1;
}

static int teardown(void **state)
{
	struct world *world = *state;

	if (world->conf) {
		if (world->pid > 0) {
			kill(world->pid, SIGKILL);
			waitpid(world->pid, NULL, 0);
		}
		if (world->channel >= 0)
			close(world->channel);
		if (world->client >= 0)
			close(world->client);
		close(world->stats_fd);
		for (size_t w = 0; w < N_WORKERS; w++) {
			close(world->udp[w]);
			close(world->tcp[w]);
			close(world->upstream[w]);
			close(world->ring_data[w]);
			close(world->ring_back[w]);
		}
		munmap(world->stats, sizeof(*world->stats));
	}
	free(world->conf);
	free(world);
	return 0;
}

/* ---- client and upstream ---- */

/* Answers everything with 192.0.2.(1 + which). */
static void serve(struct world *world, size_t which)
{
	const uint8_t rr[] = { 0xc0, 12, 0, 1, 0,   1, 0, 0,
		               1,    44, 0, 4, 192, 0, 2, (uint8_t)(1 + which) };
	uint8_t msg[600];
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	ssize_t n = recvfrom(world->upstream[which], msg, 512, 0, (struct sockaddr *)&from, &len);
	size_t at = 12;

	assert_true(n > 12);
	world->n_upstream[which]++;
	while (msg[at])
		at += msg[at] + 1U;
	at += 5;
	msg[2] = 0x81;
	msg[3] = 0x80;
	memset(msg + 6, 0, 6);
	msg[7] = 1;
	memcpy(msg + at, rr, sizeof(rr));
	assert_true(sendto(world->upstream[which], msg, at + sizeof(rr), 0,
	                   (struct sockaddr *)&from, len) > 0);
}

static void send_question(struct world *world, const char *name)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(world->port) };
	uint8_t msg[300] = { 0x47, 0x11, 1, 0, 0, 1 };
	int len = name_from_text(name, msg + 12);

	assert_true(len > 0);
	memcpy(msg + 12 + len, "\0\1\0\1", 4);
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (world->client >= 0)
		close(world->client);
	/* A new port each time, so that both workers have their share. */
	world->client = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(world->client >= 0);
	assert_int_equal(connect(world->client, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(send(world->client, msg, 12 + (size_t)len + 4, 0), 12 + len + 4);
}

/* The last octet of the address, or minus the rcode. */
static int await_answer(struct world *world)
{
	for (;;) {
		struct pollfd p[3] = { { .fd = world->client, .events = POLLIN },
			               { .fd = world->upstream[0], .events = POLLIN },
			               { .fd = world->upstream[1], .events = POLLIN } };
		uint8_t msg[1300];
		ssize_t n;

		if (poll(p, 3, PATIENCE_MS) < 1)
			fail_msg("no answer");
		for (size_t w = 0; w < 2; w++) {
			if (p[1 + w].revents)
				serve(world, w);
		}
		if (!p[0].revents)
			continue;
		n = recv(world->client, msg, sizeof(msg), 0);
		assert_true(n >= 12);
		if (msg[3] & 15)
			return -(msg[3] & 15);
		return msg[7] ? msg[n - 1] : 0;
	}
}

static int ask(struct world *world, const char *name)
{
	send_question(world, name);
	return await_answer(world);
}

static struct world *need_root(void **state)
{
	struct world *world = *state;

	if (!world->conf)
		skip();
	return world;
}

/* ---- tests ---- */

static void without_a_policy_everything_is_refused(void **state)
{
	struct world *world = need_root(state);

	assert_int_equal(ask(world, "db.corp.test"), -RCODE_REFUSED);
	assert_int_equal(world->n_upstream[0], 0);
}

static void every_worker_answers_by_the_policy_that_was_applied(void **state)
{
	struct world *world = need_root(state);
	uint64_t now;

	give_policy(world, 1, "db.corp.test");
	expect(world, ROLE_MSG_APPLIED, 1);
	for (int i = 0; i < 40; i++) {
		assert_int_equal(ask(world, "db.corp.test"), 1);
		assert_int_equal(ask(world, "www.corp.test"), -RCODE_REFUSED);
	}
	assert_int_equal(world->n_upstream[0], 1); /* one cache for both workers */
	for (uint32_t version = 2; version < 60; version++) {
		bool even = version % 2 == 0;

		give_policy(world, version, even ? "www.corp.test" : "db.corp.test");
		expect(world, ROLE_MSG_APPLIED, version);
		assert_int_equal(ask(world, "db.corp.test"), even ? -RCODE_REFUSED : 1);
		assert_int_equal(ask(world, "www.corp.test"), even ? 1 : -RCODE_REFUSED);
	}
	now = clock_mono_ns();
	for (size_t lane = 0; lane <= N_WORKERS; lane++) {
		uint64_t beat = atomic_load(&world->stats->lanes[lane].heartbeat_ns);

		assert_true(beat + 500 * NS_PER_MS > now);
	}
	assert_true(atomic_load(&world->stats->lanes[1].counts[COUNT_QUERIES_UDP]) > 0);
	assert_true(atomic_load(&world->stats->lanes[2].counts[COUNT_QUERIES_UDP]) > 0);
	assert_true(stats_sum(world->stats, COUNT_RECORDS) >= 80 + 2 * 58);
}

static void other_zones_take_effect_at_once_and_void_the_cache(void **state)
{
	struct world *world = need_root(state);

	give_policy(world, 1, "db.corp.test");
	expect(world, ROLE_MSG_APPLIED, 1);
	assert_int_equal(ask(world, "db.corp.test"), 1);
	world->conf->n_zones = 2;
	world->conf->zones[1] = world->conf->zones[0];
	assert_true(name_from_text("corp.test", world->conf->zones[1].name) > 0);
	world->conf->zones[1].servers[0].port = world->upstream_port[1];
	tell_set(world);
	/* FLUSH is answered after END has been handled; the workers follow within a moment. */
	tell(world, ROLE_MSG_FLUSH, 0, 0, NULL, 0);
	expect(world, ROLE_MSG_FLUSHED, 0);
	for (int i = 0; i < 100 && world->n_upstream[1] == 0; i++)
		(void)ask(world, "db.corp.test");
	for (int i = 0; i < 20; i++)
		assert_int_equal(ask(world, "db.corp.test"), 2);
}

static void a_configuration_is_told_back_when_every_worker_goes_by_it(void **state)
{
	struct world *world = need_root(state);

	give_policy(world, 1, "db.corp.test");
	expect(world, ROLE_MSG_APPLIED, 1);
	for (int i = 0; i < 6; i++) {
		int which = i % 2;

		world->conf->zones[0].servers[0].port = world->upstream_port[which];
		tell_set(world);
		expect(world, ROLE_MSG_CONFIGURED, world->n_told);
		for (int j = 0; j < 8; j++)
			assert_int_equal(ask(world, "db.corp.test"), 1 + which);
	}
}

static void a_flush_makes_the_next_question_go_upstream(void **state)
{
	struct world *world = need_root(state);

	give_policy(world, 1, "db.corp.test");
	expect(world, ROLE_MSG_APPLIED, 1);
	assert_int_equal(ask(world, "db.corp.test"), 1);
	assert_int_equal(ask(world, "db.corp.test"), 1);
	assert_int_equal(world->n_upstream[0], 1);
	assert_int_equal(
	    role_send(world->channel, ROLE_MSG_FLUSH, 1, 0, "\4COrp\4test", 11, NULL, 0), 0);
	expect(world, ROLE_MSG_FLUSHED, 1);
	assert_int_equal(ask(world, "db.corp.test"), 1);
	assert_int_equal(world->n_upstream[0], 2);
}

static void draining_answers_what_is_in_flight_and_exits(void **state)
{
	struct world *world = need_root(state);

	give_policy(world, 1, "db.corp.test");
	expect(world, ROLE_MSG_APPLIED, 1);
	send_question(world, "db.corp.test");
	/* The question has reached the upstream: it is in flight. */
	struct pollfd p = { .fd = world->upstream[0], .events = POLLIN };

	assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
	tell(world, ROLE_MSG_DRAIN, 0, 0, NULL, 0);
	poll(NULL, 0, 50);
	assert_int_equal(waitpid(world->pid, NULL, WNOHANG), 0);
	assert_int_equal(await_answer(world), 1);
	assert_int_equal(exit_status(world, 5000), 0);
}

static void the_end_of_the_keeper_ends_it_at_once(void **state)
{
	struct world *world = need_root(state);

	kill(world->pid, SIGTERM); /* that is the keeper's business */
	kill(world->pid, SIGINT);
	poll(NULL, 0, 50);
	assert_int_equal(waitpid(world->pid, NULL, WNOHANG), 0);
	close(world->channel);
	world->channel = -1;
	assert_int_equal(exit_status(world, 1000), 0);
}

static void what_it_cannot_follow_ends_it_with_a_reason(void **state)
{
	struct world *world = need_root(state);
	static uint8_t buf[LIMIT_ROLE_MESSAGE];
	struct role_msg msg;
	int fd = shm_create_sealed("image", "rubbish", 7);

	tell(world, ROLE_MSG_IMAGE, 9, 0, &fd, 1);
	close(fd);
	do {
		assert_int_equal(role_recv(world->channel, buf, sizeof(buf), &msg), 0);
	} while (msg.type == ROLE_MSG_CONFIGURED); /* of its start */
	assert_int_equal(msg.type, ROLE_MSG_FAILED);
	assert_true(msg.len > 10);
	assert_int_equal(exit_status(world, 1000), 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(without_a_policy_everything_is_refused),
		TEST(every_worker_answers_by_the_policy_that_was_applied),
		TEST(other_zones_take_effect_at_once_and_void_the_cache),
		TEST(a_configuration_is_told_back_when_every_worker_goes_by_it),
		TEST(a_flush_makes_the_next_question_go_upstream),
		TEST(draining_answers_what_is_in_flight_and_exits),
		TEST(the_end_of_the_keeper_ends_it_at_once),
		TEST(what_it_cannot_follow_ends_it_with_a_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
