/* tests/unit/keeper/keeper_takeover.c - what one keeper leaves, the next one finds; and nothing
 * else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "sallyport/err.h"
#include "sallyport/shm.h"
#include "takeover.h"

/* A descriptor that can be told from all others. */
static int some_fd(void)
{
	int fd = memfd_create("some", MFD_CLOEXEC);

	assert_true(fd > 2);
	return fd;
}

static ino_t inode(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

/* A keeper with one worker, two listeners and part of its memory. */
static void fill(struct takeover *t)
{
	memset(t, 0, sizeof(*t));
	shared_forget(&t->shared);
	t->workers = t->shared.workers = 1;
	t->count = 7;
	t->id_second = 1234567;
	t->lock_fd = some_fd();
	t->history_fd = some_fd();
	t->control_fd = some_fd();
	memset(t->cookie_secret, 0xc0, sizeof(t->cookie_secret));
	memset(t->hash_key, 0x4a, sizeof(t->hash_key));
	snprintf(t->state_dir, sizeof(t->state_dir), "/var/lib/sallyport");
	snprintf(t->run_dir, sizeof(t->run_dir), "/run/sallyport");
	t->listeners = calloc(1, sizeof(*t->listeners));
	assert_non_null(t->listeners);
	t->listeners->n = 2;
	t->listeners->workers = 1;
	for (uint32_t i = 0; i < 2; i++) {
		struct listener *l = &t->listeners->items[i];

		for (size_t w = 0; w < LIMIT_WORKERS; w++)
			l->udp[w] = l->tcp[w] = -1;
		l->conf.addr[15] = (uint8_t)(i + 1);
		l->conf.port = (uint16_t)(53 + i);
		l->udp[0] = some_fd();
		l->tcp[0] = some_fd();
	}
	t->shared.netlink = some_fd();
	t->shared.stats[ROLE_FWSYNC] = some_fd();
	t->shared.each[0].ring_back_ro = some_fd();
	t->shared.each[0].pinhole[1] = some_fd();
}

/* As exec() leaves it: every descriptor lives on under its number, its owner is gone. */
static void disown(struct takeover *t)
{
	free(t->listeners);
	memset(t, 0, sizeof(*t));
}

static void everything_arrives_in_its_place(void **state)
{
	struct takeover t;
	struct takeover *got = NULL;
	struct diag diag;
	ino_t lock, udp, tcp, netlink, ring, pair;
	int record;

	(void)state;
	diag_init(&diag);
	fill(&t);
	lock = inode(t.lock_fd);
	udp = inode(t.listeners->items[1].udp[0]);
	tcp = inode(t.listeners->items[0].tcp[0]);
	netlink = inode(t.shared.netlink);
	ring = inode(t.shared.each[0].ring_back_ro);
	pair = inode(t.shared.each[0].pinhole[1]);
	record = takeover_write(&t);
	assert_true(record >= 0);
	disown(&t);

	assert_int_equal(takeover_read(record, &got, &diag), 0);
	assert_int_equal(got->count, 7);
	assert_int_equal(got->id_second, 1234567);
	assert_int_equal(got->cookie_secret[15], 0xc0);
	assert_int_equal(got->hash_key[0], 0x4a);
	assert_string_equal(got->state_dir, "/var/lib/sallyport");
	assert_true(got->same_layout);
	assert_int_equal(inode(got->lock_fd), lock);
	assert_int_equal(got->listeners->n, 2);
	assert_int_equal(got->listeners->items[1].conf.port, 54);
	assert_int_equal(inode(got->listeners->items[1].udp[0]), udp);
	assert_int_equal(inode(got->listeners->items[0].tcp[0]), tcp);
	assert_int_equal(inode(got->shared.netlink), netlink);
	assert_int_equal(inode(got->shared.each[0].ring_back_ro), ring);
	assert_int_equal(inode(got->shared.each[0].pinhole[1]), pair);
	assert_int_equal(got->shared.stats[ROLE_RESOLVER], -1);
	assert_int_equal(fcntl(got->lock_fd, F_GETFD), FD_CLOEXEC);
	takeover_free(got);
	close(record);
	diag_fini(&diag);
}

/* The record's octets, to be changed. */
static uint8_t *octets(int record, size_t *ret_len)
{
	struct stat st;
	uint8_t *copy;

	assert_int_equal(fstat(record, &st), 0);
	*ret_len = (size_t)st.st_size;
	copy = malloc(*ret_len);
	assert_non_null(copy);
	assert_int_equal(pread(record, copy, *ret_len, 0), (ssize_t)*ret_len);
	return copy;
}

static int read_octets(const uint8_t *data, size_t len)
{
	struct takeover *got = NULL;
	struct diag diag;
	int record = shm_create_sealed("record", data, len), r;

	assert_true(record >= 0);
	diag_init(&diag);
	r = takeover_read(record, &got, &diag);
	assert_true(r == 0 || diag.n_errors > 0);
	diag_fini(&diag);
	if (r == 0)
		takeover_free(got);
	close(record);
	return r;
}

static void a_record_that_is_cut_or_is_none_is_refused(void **state)
{
	struct takeover t;
	uint8_t *data;
	size_t len;
	int record;

	(void)state;
	fill(&t);
	record = takeover_write(&t);
	assert_true(record >= 0);
	data = octets(record, &len);
	for (size_t cut = 1; cut < len; cut++)
		assert_true(read_octets(data, cut) < 0);
	data[0] ^= 1;
	assert_true(read_octets(data, len) < 0);
	free(data);
	close(record);
	assert_int_equal(fcntl(t.lock_fd, F_GETFD), FD_CLOEXEC); /* nobody has closed ours */
	takeover_free(memcpy(calloc(1, sizeof(t)), &t, sizeof(t)));
}

static void another_configuration_does_not_fit(void **state)
{
	struct config *config = calloc(1, sizeof(*config));
	struct takeover t;
	struct diag diag;

	(void)state;
	assert_non_null(config);
	diag_init(&diag);
	fill(&t);
	snprintf(config->state_dir, sizeof(config->state_dir), "%s", t.state_dir);
	snprintf(config->run_dir, sizeof(config->run_dir), "%s", t.run_dir);
	config->workers = 1;
	assert_int_equal(takeover_fits(&t, config, &diag), 0);
	config->workers = 2;
	assert_int_equal(takeover_fits(&t, config, &diag), ERR_CONFIG);
	assert_non_null(strstr(diag.items[0].text, "workers has changed"));
	config->workers = 1;
	config->run_dir[1] = 'x';
	assert_int_equal(takeover_fits(&t, config, &diag), ERR_CONFIG);
	diag_fini(&diag);
	free(config);
	takeover_free(memcpy(calloc(1, sizeof(t)), &t, sizeof(t)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_arrives_in_its_place),
		cmocka_unit_test(a_record_that_is_cut_or_is_none_is_refused),
		cmocka_unit_test(another_configuration_does_not_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
