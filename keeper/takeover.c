/* keeper/takeover.c - the record of what a keeper leaves to its successor, and the step itself. */
#include "takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "db/area.h"
#include "sallyport/err.h"
#include "sallyport/pinhole.h"
#include "sallyport/record.h"
#include "sallyport/ring.h"
#include "sallyport/shm.h"

#define INVENTORY_MAGIC UINT64_C(0x31525645534b4154)
#define INVENTORY_PARTS_MAX                                                                        \
	(2 * LIMIT_LISTENERS * LIMIT_WORKERS + 8 * LIMIT_WORKERS + ROLLOUT_CATALOGS)

/* The format between versions: it may grow at its end, and its numbers never change their meaning.
 */
enum part_kind {
	PART_LOCK = 1,
	PART_HISTORY,
	PART_CONTROL,
	PART_NETLINK,
	PART_UDP, /* a: worker; addr, port, wildcard */
	PART_TCP,
	PART_STATS, /* a: role */
	PART_AREA,
	PART_EPOCH,
	PART_EPOCH_RO,
	PART_LEDGER,
	PART_RING,    /* a: worker, b: data, data_ro, back, back_ro */
	PART_PAIR,    /* a: worker, b: the resolver's end, fwsync's */
	PART_CATALOG, /* a: policy version; oldest first */
};
struct part {
	uint32_t kind, a, b;
	int32_t fd;
	uint8_t addr[ADDR_LEN];
	uint16_t port, wildcard;
	uint32_t reserved;
};
struct inventory {
	uint64_t magic;
	uint32_t n_parts, workers, firewall, count;
	uint64_t layout, id_second;
	uint8_t cookie_secret[16], hash_key[16];
	char state_dir[1024], run_dir[1024];
	struct part parts[];
};
_Static_assert(CONFIG_PATH_MAX <= 1024, "the record has room for every path");

/* Two programs with the same sum read the same things in shared memory. */
static uint64_t layout(void)
{
	const uint64_t facts[] = {
		STATS_MAGIC,
		sizeof(struct stats_page),
		COUNT_N,
		RING_MAGIC,
		RING_SLOT,
		SHARED_RING_SLOTS,
		sizeof(struct ring_head),
		sizeof(struct ring_back),
		sizeof(struct record_query),
		sizeof(struct record_answer),
		sizeof(struct record_rr),
		LEDGER_MAGIC,
		sizeof(struct ledger_head),
		sizeof(struct ledger_row),
		sizeof(struct ledger_cell),
		PINHOLE_EPOCH_MAGIC,
		sizeof(struct pinhole_epoch),
		PINHOLE_MAGIC,
		PINHOLE_VERSION,
		historian_area_bytes(),
		LIMIT_WORKERS,
	};
	uint64_t sum = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

	for (size_t i = 0; i < sizeof(facts); i++)
		sum = (sum ^ ((const uint8_t *)facts)[i]) * UINT64_C(0x100000001b3);
	return sum;
}

/* --- every descriptor, in one walk ----------------------------------------------------------- */

/* Where a descriptor of @kind is kept in @t, or NULL when @t has no such place (any more). */
static int *place(struct takeover *t, enum part_kind kind, uint32_t a, uint32_t b)
{
	struct shared *s = &t->shared;
	struct shared_worker *w = a < LIMIT_WORKERS ? &s->each[a] : NULL;

	switch (kind) {
	case PART_LOCK:
		return &t->lock_fd;
	case PART_HISTORY:
		return &t->history_fd;
	case PART_CONTROL:
		return &t->control_fd;
	case PART_NETLINK:
		return &s->netlink;
	case PART_STATS:
		return a < ROLE_N ? &s->stats[a] : NULL;
	case PART_AREA:
		return &s->area;
	case PART_EPOCH:
		return &s->epoch;
	case PART_EPOCH_RO:
		return &s->epoch_ro;
	case PART_LEDGER:
		return &s->ledger_fd;
	case PART_RING:
		return !w       ? NULL
		       : b == 0 ? &w->ring_data
		       : b == 1 ? &w->ring_data_ro
		       : b == 2 ? &w->ring_back
		       : b == 3 ? &w->ring_back_ro
		                : NULL;
	case PART_PAIR:
		return w && b < 2 ? &w->pinhole[b] : NULL;
	case PART_CATALOG:
		if (t->n_catalogs == ROLLOUT_CATALOGS)
			return NULL;
		t->catalogs[t->n_catalogs] = (struct rollout_catalog){ a, -1 };
		return &t->catalogs[t->n_catalogs++].fd;
	case PART_UDP:
	case PART_TCP:
		break; /* belong to a listener */
	}
	return NULL;
}

typedef void each_fd(void *arg, const struct part *fd);

static void give_place(struct takeover *t, enum part_kind kind, uint32_t a, uint32_t b,
                       each_fd *each, void *arg)
{
	const int *fd = place(t, kind, a, b);

	if (fd && *fd >= 0)
		each(arg, &(struct part){ .kind = kind, .a = a, .b = b, .fd = *fd });
}

static void give_listener(const struct listener *l, uint32_t workers, each_fd *each, void *arg)
{
	for (uint32_t w = 0; w < workers; w++) {
		struct part fd = { .a = w, .port = l->conf.port, .wildcard = l->conf.wildcard };

		memcpy(fd.addr, l->conf.addr, ADDR_LEN);
		fd.kind = PART_UDP;
		fd.fd = l->udp[w];
		each(arg, &fd);
		fd.kind = PART_TCP;
		fd.fd = l->tcp[w];
		each(arg, &fd);
	}
}

static void walk(const struct takeover *from, each_fd *each, void *arg)
{
	struct takeover copy = *from, *t = &copy;

	for (int kind = PART_LOCK; kind <= PART_PAIR; kind++) {
		uint32_t n_a = kind == PART_STATS                       ? ROLE_N
		               : kind == PART_RING || kind == PART_PAIR ? LIMIT_WORKERS
		                                                        : 1;
		uint32_t n_b = kind == PART_RING ? 4 : kind == PART_PAIR ? 2 : 1;

		for (uint32_t a = 0; a < n_a; a++) {
			for (uint32_t b = 0; b < n_b; b++)
				give_place(t, (enum part_kind)kind, a, b, each, arg);
		}
	}
	for (uint32_t i = 0; t->listeners && i < t->listeners->n; i++)
		give_listener(&t->listeners->items[i], t->listeners->workers, each, arg);
	for (size_t i = 0; i < t->n_catalogs; i++)
		each(arg, &(struct part){ .kind = PART_CATALOG,
		                          .a = t->catalogs[i].version,
		                          .fd = t->catalogs[i].fd });
}

/* --- writing --------------------------------------------------------------------------------- */

static void put_fd(void *arg, const struct part *fd)
{
	struct inventory *record = arg;

	if (record->n_parts < INVENTORY_PARTS_MAX)
		record->parts[record->n_parts++] = *fd;
}

int takeover_write(const struct takeover *t)
{
	CLEANUP(free)
	struct inventory *record =
	    calloc(1, sizeof(*record) + INVENTORY_PARTS_MAX * sizeof(struct part));

	if (!record)
		return ERR_NOMEM;
	record->magic = INVENTORY_MAGIC;
	record->workers = t->workers;
	record->firewall = t->firewall;
	record->count = t->count;
	record->layout = layout();
	record->id_second = t->id_second;
	memcpy(record->cookie_secret, t->cookie_secret, sizeof(record->cookie_secret));
	memcpy(record->hash_key, t->hash_key, sizeof(record->hash_key));
	snprintf(record->state_dir, sizeof(record->state_dir), "%s", t->state_dir);
	snprintf(record->run_dir, sizeof(record->run_dir), "%s", t->run_dir);
	walk(t, put_fd, record);
	if (record->n_parts == INVENTORY_PARTS_MAX)
		return ERR_LIMIT;
	return shm_create_sealed("sallyport-takeover", record,
	                         sizeof(*record) + record->n_parts * sizeof(struct part));
}

/* --- reading --------------------------------------------------------------------------------- */

static struct listener *listener_of(struct listeners *set, const struct part *fd)
{
	struct listener *l;

	for (uint32_t i = 0; i < set->n; i++) {
		l = &set->items[i];
		if (l->conf.port == fd->port && memcmp(l->conf.addr, fd->addr, ADDR_LEN) == 0)
			return l;
	}
	if (set->n == LIMIT_LISTENERS)
		return NULL;
	l = &set->items[set->n++];
	memcpy(l->conf.addr, fd->addr, ADDR_LEN);
	l->conf.port = fd->port;
	l->conf.wildcard = (uint8_t)fd->wildcard;
	for (uint32_t w = 0; w < LIMIT_WORKERS; w++)
		l->udp[w] = l->tcp[w] = -1;
	return l;
}

/* Own @fd; one that nobody here knows a place for is closed. */
static int take_fd(struct takeover *t, const struct part *fd)
{
	struct listener *l;
	int *where = NULL;

	if (fd->fd <= STDERR_FILENO || fcntl(fd->fd, F_SETFD, FD_CLOEXEC) < 0)
		return ERR_DAMAGED;
	if (fd->kind == PART_UDP || fd->kind == PART_TCP) {
		l = fd->a < LIMIT_WORKERS ? listener_of(t->listeners, fd) : NULL;
		if (l)
			where = fd->kind == PART_UDP ? &l->udp[fd->a] : &l->tcp[fd->a];
	} else if (fd->kind >= PART_LOCK && fd->kind <= PART_CATALOG) {
		where = place(t, (enum part_kind)fd->kind, fd->a, fd->b);
	}
	if (!where || *where >= 0) {
		close(fd->fd);
		return where ? ERR_DAMAGED : ERR_OK;
	}
	*where = fd->fd;
	return ERR_OK;
}

static struct takeover *new_takeover(void)
{
	struct takeover *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	shared_forget(&t->shared);
	t->lock_fd = t->history_fd = t->control_fd = -1;
	t->listeners = calloc(1, sizeof(*t->listeners));
	if (t->listeners)
		return t;
	free(t);
	return NULL;
}

static int take_all(struct takeover *t, const struct inventory *record)
{
	t->workers = t->listeners->workers = record->workers;
	t->firewall = record->firewall;
	t->count = record->count;
	t->id_second = record->id_second;
	memcpy(t->cookie_secret, record->cookie_secret, sizeof(t->cookie_secret));
	memcpy(t->hash_key, record->hash_key, sizeof(t->hash_key));
	snprintf(t->state_dir, sizeof(t->state_dir), "%.*s", CONFIG_PATH_MAX - 1,
	         record->state_dir);
	snprintf(t->run_dir, sizeof(t->run_dir), "%.*s", CONFIG_PATH_MAX - 1, record->run_dir);
	t->shared.workers = record->workers;
	t->same_layout = record->layout == layout();
	if (record->workers > LIMIT_WORKERS)
		return ERR_DAMAGED;
	for (uint32_t i = 0; i < record->n_parts; i++) {
		int r = take_fd(t, &record->parts[i]);

		if (r < 0)
			return r;
	}
	return t->lock_fd >= 0 && t->history_fd >= 0 ? ERR_OK : ERR_DAMAGED;
}

int takeover_read(int fd, struct takeover **ret_takeover, struct diag *diag)
{
	CLEANUP(takeover_free) struct takeover *t = new_takeover();
	const struct inventory *record;
	void *data;
	size_t len;
	int r;

	if (!t)
		return ERR_NOMEM;
	r = shm_map(fd, SHM_READ, sizeof(*record), &data, &len);
	if (r < 0)
		return diag_set(diag, r, "takeover: descriptor %d holds no record", fd);
	record = data;
	if (record->magic != INVENTORY_MAGIC ||
	    record->n_parts != (len - sizeof(*record)) / sizeof(struct part))
		r = ERR_DAMAGED;
	else
		r = take_all(t, record);
	munmap(data, len);
	if (r < 0)
		return diag_set(diag, r,
		                "takeover: the record of the running sallyportd is not one that "
		                "this version can go on from; stop it and start this one");
	*ret_takeover = TAKE(t);
	return ERR_OK;
}

int takeover_fits(const struct takeover *t, const struct config *config, struct diag *diag)
{
	const char *key = NULL;

	if (strcmp(t->state_dir, config->state_dir) != 0)
		key = "state_dir";
	else if (strcmp(t->run_dir, config->run_dir) != 0)
		key = "run_dir";
	else if (t->workers != config->workers)
		key = "workers";
	else if (t->firewall != config->resolver.firewall)
		key = "firewall.mode";
	if (!key)
		return ERR_OK;
	return diag_set(diag, ERR_CONFIG,
	                "%s has changed, which cannot be taken over while it runs; stop sallyportd "
	                "and start it, or undo the change",
	                key);
}

void takeover_free(struct takeover *t)
{
	const int *fds[] = { t ? &t->lock_fd : NULL, t ? &t->history_fd : NULL,
		             t ? &t->control_fd : NULL };

	if (!t)
		return;
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
	}
	for (size_t i = 0; i < t->n_catalogs; i++)
		close(t->catalogs[i].fd);
	listeners_free(t->listeners);
	shared_fini(&t->shared);
	free(t);
}

/* --- the step -------------------------------------------------------------------------------- */

static void keep_open(void *arg, const struct part *fd)
{
	int *err = arg;

	if (fcntl(fd->fd, F_SETFD, 0) < 0)
		*err = -errno;
}

static void close_on_exec(void *arg, const struct part *fd)
{
	(void)arg;
	(void)fcntl(fd->fd, F_SETFD, FD_CLOEXEC); /* it was one of ours a moment ago */
}

int takeover_check(const char *program, const char *file, int record, const struct takeover *t,
                   pid_t *ret_pid, int *ret_output)
{
	CLEANUP(fd_close) int output = -1;
	char number[16];
	int err = 0;
	pid_t pid;

	output = memfd_create("sallyport-check", MFD_CLOEXEC);
	if (output < 0)
		return -errno;
	snprintf(number, sizeof(number), "%d", record);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		walk(t, keep_open, &err); /* it sees what it would get, as it would get it */
		if (err < 0 || dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0 ||
		    fcntl(record, F_SETFD, 0) < 0)
			_exit(126);
		execl(program, program, "--check", "-c", file, "--takeover", number, (char *)NULL);
		_exit(127);
	}
	*ret_pid = pid;
	*ret_output = fd_take(&output);
	return ERR_OK;
}

int takeover_exec(const char *program, const char *file, int record, const struct takeover *t)
{
	char number[16];
	int err = 0;

	snprintf(number, sizeof(number), "%d", record);
	walk(t, keep_open, &err);
	if (err == 0 && fcntl(record, F_SETFD, 0) == 0) {
		execl(program, program, "-c", file, "--takeover", number, (char *)NULL);
		err = -errno;
	}
	walk(t, close_on_exec, NULL);
	(void)fcntl(record, F_SETFD, FD_CLOEXEC);
	return err ? err : -EBADF;
}
