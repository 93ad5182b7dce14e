/* db/main.c - the historian role: the one writing connection to each history file.
 *
 *   COLLECTING --END--> confined, READY --> RUNNING --DRAIN, end-of-file--> writes the rest, exit 0
 *
 * Its root is the history folder. It reads the rings of the resolver, which it trusts in nothing.
 * The main thread does everything; a second one only keeps the heartbeat going while the main
 * thread waits for the disk, for a bounded time.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "catalog.h"
#include "db/area.h"
#include "historian.h"
#include "sallyport/clock.h"
#include "sallyport/confine.h"
#include "sallyport/counter.h"
#include "sallyport/err.h"
#include "sallyport/log.h"
#include "sallyport/role.h"
#include "sallyport/shm.h"
#include "sql.h"

#define TAG "role"

enum {
	WAIT_MS = 50,        /* between two looks into the rings */
	WAIT_BUSY_MS = 5,    /* the same while much is coming in */
	BUSY_BACKLOG = 4096, /* slots: that is much */
	MESSAGES_A_TURN = 128,
	HEARTBEAT_MS = 250,
	DISK_WAIT_MS = 30000, /* a write that takes longer counts as hung */
	DRAIN_MS = 2000,      /* for producers to come to an end */
	DRAIN_WRITES = 10,    /* tries to write the rest, half a second apart */
};

struct intake_catalog {
	uint64_t version;
	int fd;
};

struct intake {
	struct historian_conf conf;
	bool has_conf;
	size_t n_catalogs;
	struct intake_catalog catalogs[64]; /* as many as the keeper keeps */
	int stats, area, directory;
	int ring[LIMIT_WORKERS], ring_back[LIMIT_WORKERS];
};

struct heart {
	struct stats_lane *lane;
	_Atomic uint64_t alive_ns; /* when the main thread came by last */
};

struct role_state {
	struct intake intake;
	struct heart heart;
	struct historian *historian; /* NULL before END */
	bool draining;
	uint8_t buf[LIMIT_ROLE_MESSAGE];
};

static _Noreturn void give_up(const char *what, int err)
{
	char text[200];

	log_error(TAG, "%s: %s", what, err_str(err));
	snprintf(text, sizeof(text), "%s: %s", what, err_str(err));
	/* If the keeper cannot be told it sees the end-of-file. */
	(void)role_send(ROLE_FD, ROLE_MSG_FAILED, 0, 0, text, strlen(text), NULL, 0);
	_exit(1);
}

static void tell(enum role_msg_type type, uint64_t a)
{
	int r = role_send(ROLE_FD, type, a, 0, NULL, 0, NULL, 0);

	/* When the keeper has gone there is still work to do; the next receive says so. */
	if (r < 0 && r != ERR_CLOSED)
		give_up("the keeper cannot be told", r);
}

static uint64_t boot_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts); /* cannot fail for this id */
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* --- heartbeat ------------------------------------------------------------------------------- */

static void beat(struct heart *heart)
{
	uint64_t now = clock_mono_ns();

	atomic_store_explicit(&heart->alive_ns, now, memory_order_relaxed);
	if (heart->lane)
		atomic_store_explicit(&heart->lane->heartbeat_ns, now, memory_order_relaxed);
}

/* A slow disk is no reason to be replaced, for whoever comes next has the same disk. */
static void *heart_main(void *arg)
{
	struct heart *heart = arg;
	const struct timespec pause = { .tv_nsec = HEARTBEAT_MS * (long)NS_PER_MS };

	for (;;) {
		uint64_t now = clock_mono_ns();
		uint64_t alive = atomic_load_explicit(&heart->alive_ns, memory_order_relaxed);

		if (now < alive || now - alive < DISK_WAIT_MS * NS_PER_MS)
			atomic_store_explicit(&heart->lane->heartbeat_ns, now,
			                      memory_order_relaxed);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static void on_alive(void *arg)
{
	beat(arg);
}

static void start_heart(struct heart *heart)
{
	pthread_t thread;
	int r;

	beat(heart);
	if (!heart->lane)
		return;
	r = pthread_create(&thread, NULL, heart_main, heart);
	if (r != 0)
		give_up("no thread for the heartbeat", -r);
	pthread_detach(thread);
}

/* --- taking in ------------------------------------------------------------------------------- */

static void replace(int *slot, struct role_msg *msg, size_t i)
{
	if (*slot >= 0)
		close(*slot);
	*slot = fd_take(&msg->fds[i]);
}

static int confine(const struct intake *intake)
{
	static const int syscalls[] = {
		/* the channel */
		SCMP_SYS(recvmsg),
		SCMP_SYS(sendmsg),
		SCMP_SYS(poll),
		SCMP_SYS(ppoll),
		/* SQLite, and our own few files */
		SCMP_SYS(openat),
		SCMP_SYS(open),
		SCMP_SYS(read),
		SCMP_SYS(pread64),
		SCMP_SYS(pwrite64),
		SCMP_SYS(lseek),
		SCMP_SYS(fstat),
		SCMP_SYS(stat),
		SCMP_SYS(lstat),
		SCMP_SYS(newfstatat),
		SCMP_SYS(access),
		SCMP_SYS(faccessat),
		SCMP_SYS(faccessat2),
		SCMP_SYS(readlink),
		SCMP_SYS(readlinkat),
		SCMP_SYS(fcntl),
		SCMP_SYS(fsync),
		SCMP_SYS(fdatasync),
		SCMP_SYS(ftruncate),
		SCMP_SYS(fallocate),
		SCMP_SYS(fchmod),
		SCMP_SYS(fchown),
		SCMP_SYS(unlink),
		SCMP_SYS(unlinkat),
		SCMP_SYS(rename),
		SCMP_SYS(renameat),
		SCMP_SYS(renameat2),
		SCMP_SYS(getdents64),
		SCMP_SYS(getcwd),
		SCMP_SYS(umask),
		SCMP_SYS(geteuid),
		SCMP_SYS(getuid),
		SCMP_SYS(sysinfo), /* qsort(3) asks how much memory there is */
		SCMP_SYS(time),
		SCMP_SYS(gettimeofday),
		/* the heartbeat's thread */
		SCMP_SYS(clone),
		SCMP_SYS(sched_getaffinity),
		SCMP_SYS(sigaltstack),
		-1,
	};
	static const int no_sockets[] = { -1 };
	const struct confine confine = {
		.role = "historian",
		.uid = intake->conf.common.uid,
		.gid = intake->conf.common.gid,
		.root_fd = intake->directory,
		.flags = CONFINE_ROOT_FD,
		.keep_cap = -1,
		.syscalls = syscalls,
		.socket_families = no_sockets,
	};

	return confine_self(&confine);
}

static void add_catalog(struct role_state *s, uint64_t version, int fd)
{
	int r = historian_add_catalog(s->historian, fd);

	/* Without names the history tells numbers; no reason to hold up a policy. */
	if (r < 0)
		log_error(TAG, "the names of policy version %llu cannot be read: %s",
		          (unsigned long long)version, err_str(r));
	tell(ROLE_MSG_APPLIED, version);
}

/* Those that come before the beginning are there before the first record is read. */
static void on_catalog(struct role_state *s, struct role_msg *msg)
{
	struct intake *intake = &s->intake;

	if (msg->n_fds != 1)
		return;
	if (s->historian) {
		add_catalog(s, msg->a, msg->fds[0]);
	} else if (intake->n_catalogs < ARRAY_LEN(intake->catalogs)) {
		intake->catalogs[intake->n_catalogs++] =
		    (struct intake_catalog){ msg->a, fd_take(&msg->fds[0]) };
	}
}

static void add_catalogs(struct role_state *s)
{
	for (size_t i = 0; i < s->intake.n_catalogs; i++) {
		const struct intake_catalog *catalog = &s->intake.catalogs[i];

		add_catalog(s, catalog->version, catalog->fd);
		close(catalog->fd);
	}
	s->intake.n_catalogs = 0;
}

static void begin(struct role_state *s)
{
	struct intake *intake = &s->intake;
	struct historian_options options = {
		.dir = ".",
		.gid = intake->conf.group_gid == UINT32_MAX ? (gid_t)-1
		                                            : (gid_t)intake->conf.group_gid,
		.allow_keep_s = intake->conf.allow_days_s,
		.deny_keep_s = intake->conf.deny_days_s,
		.alive = on_alive,
		.alive_arg = &s->heart,
	};
	int r;

	if (!intake->has_conf || intake->area < 0 || intake->directory < 0)
		give_up("the configuration is not complete", ERR_MALFORMED);
	log_init("historian", (enum log_form)intake->conf.common.log_form,
	         (enum log_level)intake->conf.common.log_level);
	if (intake->stats >= 0) {
		struct stats_page *page;

		r = stats_map(intake->stats, 1, &page);
		if (r < 0)
			give_up("the stats page", r);
		s->heart.lane = &page->lanes[0];
	}
	options.lane = s->heart.lane;
	r = shm_map(intake->area, SHM_WRITE, historian_area_bytes(), &options.area,
	            &options.area_len);
	if (r < 0)
		give_up("the aggregation area", r);
	beat(&s->heart);
	umask(027);
	r = confine(intake);
	if (r < 0)
		give_up("it could not be confined", r);

	r = historian_new(&options, &s->historian);
	if (r < 0)
		give_up("no memory for the backlog", r);
	for (unsigned int i = 0; i < LIMIT_WORKERS; i++) {
		if (intake->ring[i] < 0 || intake->ring_back[i] < 0)
			continue;
		r = historian_add_ring(s->historian, i, intake->ring[i], intake->ring_back[i]);
		if (r < 0) /* the others are worth more than a restart that finds the same */
			log_error(TAG, "ring %u: %s", i, err_str(r));
	}
	start_heart(&s->heart);
	historian_start(s->historian, clock_wall_ns(), boot_ns());
	add_catalogs(s);
}

static void on_end(struct role_state *s)
{
	const struct historian_conf *conf = &s->intake.conf;

	if (!s->historian)
		begin(s);
	else /* a new configuration: only the retention can change in place */
		historian_keep(s->historian, conf->allow_days_s, conf->deny_days_s);
	tell(ROLE_MSG_READY, 0);
}

static void on_ring(struct role_state *s, struct role_msg *msg)
{
	if (s->historian || msg->n_fds != 2 || msg->a >= LIMIT_WORKERS)
		return; /* the rings of the beginning stay */
	replace(&s->intake.ring[msg->a], msg, 0);
	replace(&s->intake.ring_back[msg->a], msg, 1);
}

static void on_message(struct role_state *s, struct role_msg *msg)
{
	struct intake *intake = &s->intake;
	int r;

	switch ((enum role_msg_type)msg->type) {
	case ROLE_MSG_CONFIG:
		r = msg->n_fds == 1 ? role_conf_read(msg->fds[0], HISTORIAN_CONF_MAGIC,
		                                     &intake->conf, sizeof(intake->conf))
		                    : ERR_MALFORMED;
		if (r < 0)
			give_up("the configuration", r);
		intake->has_conf = true;
		break;
	case ROLE_MSG_STATS:
		if (msg->n_fds == 1 && !s->historian)
			replace(&intake->stats, msg, 0);
		break;
	case ROLE_MSG_RING:
		on_ring(s, msg);
		break;
	case ROLE_MSG_AGGREGATE:
		if (msg->n_fds == 1 && !s->historian)
			replace(&intake->area, msg, 0);
		break;
	case ROLE_MSG_DIRECTORY:
		if (msg->n_fds == 1 && !s->historian)
			replace(&intake->directory, msg, 0);
		break;
	case ROLE_MSG_END:
		on_end(s);
		break;
	case ROLE_MSG_CATALOG:
		on_catalog(s, msg);
		break;
	case ROLE_MSG_ROTATE:
		if (s->historian)
			historian_rotate(s->historian, clock_wall_ns(), boot_ns());
		break;
	case ROLE_MSG_DRAIN:
		s->draining = true;
		break;
	case ROLE_MSG_LISTENER:
	case ROLE_MSG_PINHOLE:
	case ROLE_MSG_EPOCH:
	case ROLE_MSG_LEDGER:
	case ROLE_MSG_NETLINK:
	case ROLE_MSG_IMAGE:
	case ROLE_MSG_GUARD:
	case ROLE_MSG_CLOSE:
	case ROLE_MSG_FLUSH:
	case ROLE_MSG_EXPLAIN:
	case ROLE_MSG_READY:
	case ROLE_MSG_APPLIED:
	case ROLE_MSG_CLOSED:
	case ROLE_MSG_FAILED:
	case ROLE_MSG_FLUSHED:
	case ROLE_MSG_CONFIGURED:
	case ROLE_MSG_ASK_KEYS:
	case ROLE_MSG_ANCHOR:
	case ROLE_MSG_KEYS:
	case ROLE_MSG_SEEN:
	case ROLE_MSG_EXPLAINED:
	case ROLE_MSG_USE:
	case ROLE_MSG_USED:
		log_warning(TAG, "message %u is not for the historian", msg->type);
		break;
	}
}

/* --- running --------------------------------------------------------------------------------- */

/* Wait for the keeper at most @wait_ms, then take one message if there is one. Returns whether
 * there was. */
static bool listen_to_keeper(struct role_state *s, int wait_ms)
{
	struct pollfd poll_fd = { .fd = ROLE_FD, .events = POLLIN };
	struct role_msg msg;
	int r;

	if (poll(&poll_fd, 1, wait_ms) <= 0)
		return false;
	r = role_recv(ROLE_FD, s->buf, sizeof(s->buf), &msg);
	if (r == ERR_CLOSED) {
		s->draining = true; /* the keeper is gone: write what there is, then go, too */
		return false;
	}
	if (r == ERR_AGAIN)
		return false;
	if (r < 0)
		give_up("a message of the keeper", r);
	on_message(s, &msg);
	role_msg_close(&msg);
	return true;
}

static void tick(struct role_state *s)
{
	beat(&s->heart);
	historian_tick(s->historian, clock_wall_ns(), boot_ns());
}

static void pause_ms(long ms)
{
	const struct timespec pause = { ms / 1000, ms % 1000 * (long)NS_PER_MS };

	nanosleep(&pause, NULL);
}

/* The resolver is told to end before us, or sees the same end-of-file: give it a moment. */
static int drain(struct role_state *s)
{
	unsigned int quiet = 0;
	int r = ERR_AGAIN;

	for (int waited = 0; waited < DRAIN_MS && quiet < 3; waited += WAIT_MS) {
		tick(s);
		quiet = historian_is_quiet(s->historian) ? quiet + 1 : 0;
		pause_ms(WAIT_MS);
	}
	for (int i = 0; i < DRAIN_WRITES && r < 0; i++) {
		if (i > 0)
			pause_ms(500);
		beat(&s->heart);
		r = historian_stop(s->historian, clock_wall_ns(), boot_ns());
	}
	return r;
}

int main(void)
{
	static struct role_state state; /* large; lives as long as the process */
	struct role_state *s = &state;
	int r;

	signal(SIGPIPE, SIG_IGN);
	/* One thread knows of SQLite: its locks, and its counts of memory, which need one, are for
	 * nothing. Fails only after the first use. */
	(void)sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	log_init("historian", LOG_FORM_KEYVALUE, LOG_LEVEL_INFO);
	s->intake.stats = s->intake.area = s->intake.directory = -1;
	for (size_t i = 0; i < LIMIT_WORKERS; i++)
		s->intake.ring[i] = s->intake.ring_back[i] = -1;

	while (!s->historian && !s->draining)
		(void)listen_to_keeper(s, -1); /* or the keeper is gone, which ends the loop */
	while (!s->draining) {
		bool busy = historian_backlog(s->historian) > BUSY_BACKLOG;

		/* All that it has said: names come before the records that need them. */
		for (int i = 0; i < MESSAGES_A_TURN && !s->draining; i++) {
			if (!listen_to_keeper(s, i > 0 ? 0 : busy ? WAIT_BUSY_MS : WAIT_MS))
				break;
		}
		tick(s);
	}
	if (!s->historian)
		return 0;
	r = drain(s);
	historian_free(s->historian);
	return r < 0 ? 1 : 0;
}
