/* keeper/shared.c - memory and sockets that outlive the roles. */
#include "shared.h"

#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "db/area.h"
#include "rights.h"
#include "sallyport/err.h"
#include "sallyport/pinhole.h"
#include "sallyport/ring.h"
#include "sallyport/shm.h"
#include "world.h"

#include "ledger_file.h"

#define PINHOLE_BUFFER_BYTES (4 << 20)
#define NETLINK_BUFFER_BYTES (16 << 20)

int shared_open_netlink(void)
{
	CLEANUP(fd_close) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK };
	int size = NETLINK_BUFFER_BYTES;

	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	/* A batch of thousands of elements is one message; acknowledgements must all fit. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	return fd_take(&fd);
}

static int open_pair(int fds[static 2])
{
	int size = PINHOLE_BUFFER_BYTES;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		if (setsockopt(fds[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
			(void)setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
		(void)rights_set(fds[i], RIGHTS_REFUSED); /* neither reads any; see there */
	}
	return ERR_OK;
}

static int make_epoch(struct shared *s)
{
	struct pinhole_epoch *page;
	void *data;
	size_t len;
	int r;

	s->epoch = shm_create("sallyport-epoch", 4096);
	if (s->epoch < 0)
		return s->epoch;
	r = shm_map(s->epoch, SHM_WRITE, sizeof(*page), &data, &len);
	if (r < 0)
		return r;
	page = data;
	page->magic = PINHOLE_EPOCH_MAGIC;
	atomic_store(&page->epoch, 1);
	munmap(data, len);
	s->epoch_ro = shm_reopen_readonly(s->epoch);
	return s->epoch_ro < 0 ? s->epoch_ro : ERR_OK;
}

/* Room for every element of the largest kind of set, and again for the other kinds. */
static int open_ledger(struct shared *s, const struct config *config, struct diag *diag)
{
	uint32_t n_rows = MAX(config->fwsync.set_size, 2048u) * 2;

	return config->resolver.firewall == FIREWALL_NONE
	           ? ledger_create(n_rows)
	           : ledger_file_open(config, n_rows, &s->ledger_found, diag);
}

static int make_worker(struct shared_worker *w)
{
	int r = ring_create(SHARED_RING_SLOTS, &w->ring_data, &w->ring_back);

	if (r < 0)
		return r;
	w->ring_data_ro = shm_reopen_readonly(w->ring_data);
	w->ring_back_ro = shm_reopen_readonly(w->ring_back);
	if (w->ring_data_ro < 0 || w->ring_back_ro < 0)
		return -EBADF;
	return open_pair(w->pinhole);
}

static void shut(int fd)
{
	if (fd >= 0)
		close(fd);
}

void shared_forget(struct shared *s)
{
	memset(s, 0, sizeof(*s));
	s->area = s->epoch = s->epoch_ro = s->ledger_fd = s->netlink = -1;
	for (size_t i = 0; i < ROLE_N; i++)
		s->stats[i] = -1;
	for (size_t i = 0; i < LIMIT_WORKERS; i++)
		s->each[i] = (struct shared_worker){ -1, -1, -1, -1, { -1, -1 } };
}

static int make_all(struct shared *s, const struct config *config, struct diag *diag)
{
	int r;

	for (size_t i = 0; i < ROLE_N; i++) {
		s->stats[i] = stats_create();
		r = s->stats[i] < 0 ? s->stats[i] : stats_map(s->stats[i], 1, &s->pages[i]);
		if (r < 0)
			return r;
	}
	s->area = shm_create("sallyport-aggregate", historian_area_bytes());
	if (s->area < 0)
		return s->area;
	r = make_epoch(s);
	if (r < 0)
		return r;
	s->ledger_fd = open_ledger(s, config, diag);
	if (s->ledger_fd < 0)
		return s->ledger_fd;
	r = ledger_open(&s->ledger, s->ledger_fd, 0);
	if (r < 0)
		return r;
	s->workers = config->workers;
	for (uint32_t i = 0; i < s->workers; i++) {
		r = make_worker(&s->each[i]);
		if (r < 0)
			return r;
	}
	if (config->resolver.firewall == FIREWALL_NONE || s->netlink >= 0)
		return ERR_OK;
	s->netlink = shared_open_netlink();
	return world_check_firewall(s->netlink, diag);
}

int shared_init(struct shared *s, const struct config *config, struct diag *diag)
{
	size_t faults = diag->n_errors;
	int r;

	shared_forget(s);
	r = make_all(s, config, diag);
	if (r < 0 && diag->n_errors == faults)
		diag_set(diag, r, "shared memory cannot be made: %s", err_str(r));
	return r;
}

static int map_adopted(struct shared *s)
{
	int r = ledger_open(&s->ledger, s->ledger_fd, 0);

	for (size_t i = 0; i < ROLE_N && r == 0; i++)
		r = stats_map(s->stats[i], 1, &s->pages[i]);
	return r;
}

int shared_adopt(struct shared *s, struct shared *from, enum shared_part part,
                 const struct config *config, struct diag *diag)
{
	int r;

	shared_forget(s);
	switch (part) {
	case SHARED_ALL:
		*s = *from;
		shared_forget(from);
		s->ledger_found = true;
		r = map_adopted(s);
		return r < 0
		           ? diag_set(diag, r, "shared memory cannot be taken over: %s", err_str(r))
		           : ERR_OK;
	case SHARED_NETLINK:
		s->netlink = from->netlink;
		from->netlink = -1;
		/* Its lock goes with it; the file is found again by its name. */
		shut(from->ledger_fd);
		from->ledger_fd = -1;
		r = make_all(s, config, diag);
		return r < 0 && diag->n_errors == 0
		           ? diag_set(diag, r, "shared memory cannot be made: %s", err_str(r))
		           : r;
	}
	return ERR_INVAL;
}

void shared_fini(struct shared *s)
{
	for (size_t i = 0; i < ROLE_N; i++) {
		if (s->pages[i])
			munmap(s->pages[i], sizeof(*s->pages[i]));
		shut(s->stats[i]);
	}
	for (size_t i = 0; i < LIMIT_WORKERS; i++) {
		const struct shared_worker *w = &s->each[i];

		shut(w->ring_data);
		shut(w->ring_data_ro);
		shut(w->ring_back);
		shut(w->ring_back_ro);
		shut(w->pinhole[0]);
		shut(w->pinhole[1]);
	}
	shut(s->area);
	shut(s->epoch);
	shut(s->epoch_ro);
	ledger_close(&s->ledger);
	shut(s->ledger_fd);
	shut(s->netlink);
	shared_forget(s);
}

uint64_t shared_backlog(const struct shared *s)
{
	uint64_t slots = 0;

	for (uint32_t i = 0; i < s->workers; i++) {
		struct ring_consumer ring;
		uint64_t head, tail;

		if (ring_consumer_open(&ring, s->each[i].ring_data_ro, s->each[i].ring_back) < 0)
			continue;
		head = atomic_load(&ring.head->head);
		tail = atomic_load(&ring.back->tail);
		slots += head > tail && head - tail <= ring.n_slots ? head - tail : 0;
		ring_consumer_close(&ring);
	}
	return slots;
}
