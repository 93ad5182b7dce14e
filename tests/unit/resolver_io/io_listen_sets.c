/* tests/unit/resolver_io/io_listen_sets.c - sets of sockets that change, and resolvers that follow
 * each other on them: nothing that was sent goes without an answer or a count (promise P4).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "listen_world.h"

/* As a resolver begins, on sockets that another may have read from before. */
static void begin_with(struct world *world, int udp)
{
	world->io.worker.listeners = listeners_new(&world->io.worker);
	assert_non_null(world->io.worker.listeners);
	give(world, udp, 0, IPPROTO_UDP);
	listeners_keep_named(&world->io.worker);
}

static uint64_t drops_told(const struct world *world)
{
	return atomic_load(&world->io.worker.ring.head->kernel_drops);
}

/* More than a small buffer holds, while nobody reads. */
static void overflow(int udp, int fd, unsigned int n)
{
	int small = 4096;

	assert_int_equal(setsockopt(udp, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	for (unsigned int i = 0; i < n; i++)
		send_udp(fd, i);
}

/* Promise P4: whatever was sent was received or is in the ring's count, over changes of the set and
 * over the death of whoever reads. */
static void what_the_kernel_drops_is_told_once_whoever_reads(void **state)
{
	struct world *world = *state;
	struct worker *worker = &world->io.worker;
	uint16_t port = world->port, other_port = 0;
	int other = bound(SOCK_DGRAM, &other_port, false), data, back, fd, to_other;

	listeners_free(worker->listeners);
	assert_int_equal(ring_create(1024, &data, &back), 0);
	assert_int_equal(ring_producer_open(&worker->ring, data, back), 0);
	fd = client(world, 0, SOCK_DGRAM, "127.0.0.1");
	world->port = other_port;
	to_other = client(world, 1, SOCK_DGRAM, "127.0.0.1");
	world->port = port;

	/* What was dropped before the first one began. */
	overflow(world->udp, fd, 300);
	begin_with(world, world->udp);
	assert_true(drops_told(world) > 200);
	io_run_ms(&world->io, 20);
	assert_int_equal(pipeline.n_received + drops_told(world), 300);

	/* It dies, and what is dropped meanwhile its successor tells; once. */
	overflow(world->udp, fd, 300);
	listeners_free(worker->listeners);
	begin_with(world, world->udp);
	io_run_ms(&world->io, 20);
	assert_int_equal(pipeline.n_received + drops_told(world), 600);

	/* A new set with another socket: what the old one drops until it is closed counts. */
	overflow(world->udp, fd, 300);
	give(world, other, 0, IPPROTO_UDP);
	listeners_keep_named(worker);
	io_run_ms(&world->io, 20);
	assert_int_equal(pipeline.n_received + drops_told(world), 900);

	/* The new socket has dropped less than the old one had: that is told nevertheless. */
	overflow(other, to_other, 100);
	listeners_free(worker->listeners);
	begin_with(world, other);
	io_run_ms(&world->io, 20);
	assert_int_equal(pipeline.n_received + drops_told(world), 1000);

	/* Nor does the end of a resolver in the middle of a change lose any. */
	overflow(world->udp, fd, 100);
	listeners_free(worker->listeners);
	begin_with(world, world->udp);
	io_run_ms(&world->io, 20);
	assert_in_range(pipeline.n_received + drops_told(world), 1100, UINT32_MAX);

	ring_producer_close(&worker->ring);
	close(data);
	close(back);
	close(other);
}

/* Those that go are read out first. */
static void what_waits_in_a_socket_that_goes_is_answered(void **state)
{
	struct world *world = *state;
	uint16_t port = 0;
	int second = bound(SOCK_DGRAM, &port, false),
	    fd = client(world, 0, SOCK_DGRAM, "127.0.0.1");

	for (unsigned int i = 0; i < 200; i++)
		send_udp(fd, i);
	give(world, second, 0, IPPROTO_UDP);
	listeners_keep_named(&world->io.worker);
	send_udp(fd, 1000); /* nobody's any more */
	until_received(world, 200);
	for (unsigned int i = 0; i < 200; i++)
		assert_int_equal(read_udp(world, fd), i);
	io_run_ms(&world->io, 30);
	assert_int_equal(pipeline.n_received, 200);
	close(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(what_the_kernel_drops_is_told_once_whoever_reads),
		WORLD_TEST(what_waits_in_a_socket_that_goes_is_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
