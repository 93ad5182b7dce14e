/* fwsync/main.c - the firewall role: one thread, one poll(2) loop.
 *
 *   channel   the keeper's messages: configuration, policy versions, what to close
 *   pairs     one a resolver worker: batches of requests in, results out
 *   monitor   strangers' changes to nf_tables
 *   flows     passes over the kernel's connections, and one that counts them
 *
 * Everything is done in that order once a turn, so a new policy version is in force before any
 * batch that arrived after it. A batch's transaction is synchronous; what arrives meanwhile waits
 * in the sockets and becomes the next one, so load makes transactions larger, not queues longer.
 *
 * usage: sallyport-fwsync          started by sallyportd, ROLE_FD is its channel
 *        sallyport-fwsync --guard  install the table that lets nothing pass, and exit
 */
#include <errno.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <sodium.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sallyport/clock.h"
#include "sallyport/confine.h"
#include "sallyport/err.h"
#include "sallyport/ledger.h"
#include "sallyport/log.h"
#include "sallyport/pinhole.h"
#include "sallyport/role.h"
#include "sallyport/shm.h"

#include "batch.h"
#include "firewall.h"
#include "proof.h"
#ifdef SALLYPORT_TEST_SHIM
#include "shim.h"
#endif

#define TAG "fwsync"
#define TURN_MS 100    /* longest sleep: heartbeats, expiry */
#define BUSY_TURN_MS 5 /* while something is left to be verified or cut */
#define FLOW_PIECES 8  /* of a pass over connections, a turn */
#define RESULTS_BYTES                                                                              \
	(sizeof(struct pinhole_results) + LIMIT_PINHOLE_REQUESTS * sizeof(struct pinhole_result))

struct pair {         /* one worker */
	int fd;       /* -1: none */
	int next_fd;  /* named since the last END */
	uint8_t *in;  /* a message, LIMIT_PINHOLE_MESSAGE octets */
	uint8_t *out; /* RESULTS_BYTES */
	struct pinhole_view *views;
	uint16_t n; /* requests in this turn; 0: nothing to answer */
};

struct fwsync {
	int channel;
	bool guard_only, running, draining;
	struct fwsync_conf conf;
	bool has_conf, new_conf;
	int netlink_fd;
	struct stats_page *stats;
	struct stats_lane *lane;
	struct ledger ledger;
	bool has_ledger;
	struct guard next_guard;
	bool has_next_guard;
	uint32_t next_version;
	struct firewall fw;
	struct batch *batch;
	struct pair pairs[LIMIT_WORKERS];
	alignas(8) uint8_t message[LIMIT_ROLE_MESSAGE];
};

static const int syscalls[] = {
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendmsg),
	SCMP_SYS(recvfrom),
	SCMP_SYS(sendto),
	SCMP_SYS(fcntl),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(getsockname),
	SCMP_SYS(membarrier),
	-1,
};

/* The end: tell the keeper why, once. */
static int give_up(const struct fwsync *s, int err, const char *why)
{
	char text[256];
	int n = snprintf(text, sizeof(text), "%s: %s", why, err_str(err));

	log_error(TAG, "%s", text);
	(void)role_send(s->channel, ROLE_MSG_FAILED, 0, 0, text,
	                (size_t)MIN(n, (int)sizeof(text) - 1), NULL,
	                0); /* the keeper may be gone; we exit either way */
	return err < 0 ? err : ERR_FIREWALL;
}

static void beat(const struct fwsync *s)
{
	if (s->lane)
		atomic_store_explicit(&s->lane->heartbeat_ns, clock_mono_ns(),
		                      memory_order_relaxed);
}

/* The pairs. */

static int pair_prepare(struct pair *pair)
{
	if (pair->in)
		return ERR_OK;
	pair->in = aligned_alloc(8, LIMIT_PINHOLE_MESSAGE);
	pair->out = aligned_alloc(8, (RESULTS_BYTES + 7) / 8 * 8);
	pair->views = calloc(LIMIT_PINHOLE_REQUESTS, sizeof(*pair->views));
	return pair->in && pair->out && pair->views ? ERR_OK : ERR_NOMEM;
}

static void pair_close(struct pair *pair)
{
	if (pair->fd >= 0)
		close(pair->fd);
	pair->fd = -1;
}

/* One message of one worker into the batch. */
static void pair_read(struct fwsync *s, struct pair *pair)
{
	const struct pinhole_batch *head = (const void *)pair->in;
	ssize_t n = recv(pair->fd, pair->in, LIMIT_PINHOLE_MESSAGE, MSG_DONTWAIT | MSG_TRUNC);

	pair->n = 0;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) { /* an empty message is the end as well */
		pair_close(pair);
		return;
	}
	if (n > LIMIT_PINHOLE_MESSAGE ||
	    pinhole_batch_read(pair->in, (size_t)n, pair->views, &pair->n) < 0) {
		pair->n = 0;
		count(s->lane, COUNT_FW_REFUSED_MALFORMED);
		return;
	}
	batch_put(s->batch, pair->views, pair->n, head->deadline_ns,
	          (struct pinhole_result *)(void *)(pair->out + sizeof(struct pinhole_results)));
}

static void pair_answer(struct pair *pair)
{
	const struct pinhole_batch *head = (const void *)pair->in;
	struct pinhole_results results = { .magic = PINHOLE_MAGIC,
		                           .version = PINHOLE_VERSION,
		                           .n_results = pair->n,
		                           .seq = head->seq };
	size_t len = sizeof(results) + pair->n * sizeof(struct pinhole_result);

	pair->n = 0;
#ifdef SALLYPORT_TEST_SHIM
	if (shim_swallows())
		return;
#endif
	memcpy(pair->out, &results, sizeof(results));
	/* A worker that does not read has to time out: nobody waits for it here. */
	if (send(pair->fd, pair->out, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN)
		pair_close(pair);
}

/* Everything that lies in the sockets, one message each, as one batch. */
static void turn_pairs(struct fwsync *s, const struct pollfd *fds)
{
	bool any = false;

	for (unsigned int w = 0; w < LIMIT_WORKERS; w++) {
		struct pair *pair = &s->pairs[w];

		if (pair->fd < 0 || !(fds[w].revents & (POLLIN | POLLHUP | POLLERR)))
			continue;
		pair_read(s, pair);
		any |= pair->n > 0;
	}
	if (!any)
		return;
	batch_finish(s->batch);
	for (unsigned int w = 0; w < LIMIT_WORKERS; w++)
		if (s->pairs[w].fd >= 0 && s->pairs[w].n > 0)
			pair_answer(&s->pairs[w]);
}

/* The keeper's messages. */

static bool one_bit(uint32_t mark)
{
	return mark != 0 && (mark & (mark - 1)) == 0;
}

static int on_config(struct fwsync *s, int fd)
{
	struct fwsync_conf conf;
	int r = role_conf_read(fd, FWSYNC_CONF_MAGIC, &conf, sizeof(conf));

	if (r < 0)
		return give_up(s, r, "the configuration is not what this program understands");
	if (!one_bit(conf.mark_egress) || !one_bit(conf.mark_inbound) ||
	    conf.mark_egress == conf.mark_inbound || conf.set_size == 0)
		return give_up(s, ERR_CONFIG, "firewall marks must be one bit each, and different");
	for (size_t i = 0; i < ARRAY_LEN(conf.interfaces); i++)
		conf.interfaces[i][GUARD_IFNAME_LEN - 1] = '\0';
	s->conf = conf;
	s->has_conf = s->new_conf = true;
	log_init("fwsync", (enum log_form)conf.common.log_form,
	         (enum log_level)conf.common.log_level);
	return ERR_OK;
}

static int on_stats(struct fwsync *s, int fd)
{
	int r = stats_map(fd, 1, &s->stats);

	if (r < 0)
		return give_up(s, r, "the stats page cannot be mapped");
	s->lane = &s->stats->lanes[0];
	s->fw.lane = s->lane;
	beat(s);
	return ERR_OK;
}

static int on_epoch(struct fwsync *s, int fd)
{
	void *data;
	size_t len;
	int r = shm_map(fd, SHM_WRITE, sizeof(struct pinhole_epoch), &data, &len);

	if (r < 0)
		return give_up(s, r, "the epoch page cannot be mapped");
	if (((struct pinhole_epoch *)data)->magic != PINHOLE_EPOCH_MAGIC) {
		munmap(data, len);
		return give_up(s, ERR_DAMAGED, "the epoch page is not one");
	}
	s->fw.epoch_page = data;
	return ERR_OK;
}

static int on_ledger(struct fwsync *s, int fd)
{
	int r;

	if (s->has_ledger)
		return ERR_OK; /* the ledger outlives us; a running role keeps the one it has */
	r = ledger_open(&s->ledger, fd, 1);
	if (r < 0)
		return give_up(s, r, "the ledger cannot be mapped");
	s->has_ledger = true;
	return ERR_OK;
}

static int take_pair(struct fwsync *s, struct role_msg *msg)
{
	struct pair *pair;

	if (msg->a >= LIMIT_WORKERS)
		return ERR_OK;
	pair = &s->pairs[msg->a];
	if (pair_prepare(pair) < 0)
		return give_up(s, ERR_NOMEM, "no memory for a worker");
	if (pair->next_fd >= 0)
		close(pair->next_fd);
	pair->next_fd = fd_take(&msg->fds[0]);
	return ERR_OK;
}

static int apply_guard(struct fwsync *s)
{
	uint32_t version = s->next_version;
	int r;

	s->has_next_guard = false;
	if (guard_version(&s->next_guard) < guard_version(&s->fw.guard)) {
		log_warning(TAG, "policy version %u is older than %u: not taken",
		            guard_version(&s->next_guard), guard_version(&s->fw.guard));
		guard_fini(&s->next_guard);
		return ERR_OK;
	}
	r = firewall_guard(&s->fw, &s->next_guard);
	if (r < 0) {
		guard_fini(&s->next_guard);
		return give_up(s, r, "the new policy version cannot be guarded");
	}
	log_debug(TAG, "policy version %u guards", version);
	return role_send(s->channel, ROLE_MSG_APPLIED, version, 0, NULL, 0, NULL, 0);
}

static int on_guard(struct fwsync *s, const struct role_msg *msg)
{
	struct guard guard = { 0 };
	int r = guard_load(&guard, msg->fds[0]);

	if (r < 0)
		return give_up(s, r, "the guard table cannot be read");
	if (guard_version(&guard) != (uint32_t)msg->a) {
		guard_fini(&guard);
		return give_up(s, ERR_DAMAGED, "the guard table is another version's");
	}
	guard_fini(&s->next_guard);
	s->next_guard = guard;
	s->next_version = (uint32_t)msg->a;
	s->has_next_guard = true;
	return s->running ? apply_guard(s) : ERR_OK;
}

static int on_close(struct fwsync *s, const struct role_msg *msg)
{
	int r;

	if (!s->running || msg->len % sizeof(struct role_close_row) != 0)
		return ERR_OK;
	r = firewall_close(&s->fw, (uint32_t)msg->a,
	                   (const struct role_close_row *)(const void *)msg->payload,
	                   msg->len / sizeof(struct role_close_row), msg->b & ROLE_CLOSE_LAST);
	return r < 0 ? give_up(s, r, "what was revoked cannot be closed") : ERR_OK;
}

static int on_use(struct fwsync *s, int fd, uint64_t number)
{
	int r = use_ask(&s->fw.use, fd, number);

	if (r == 0)
		return ERR_OK;
	log_warning(TAG, "no memory to count connections in: %s", err_str(r));
	return role_send(s->channel, ROLE_MSG_USED, number, 0, NULL, 0, NULL, 0);
}

/* Pairs named since the last END take over; after a whole configuration the others are closed. */
static void settle_pairs(struct fwsync *s)
{
	for (unsigned int w = 0; w < LIMIT_WORKERS; w++) {
		struct pair *pair = &s->pairs[w];

		if (pair->next_fd < 0 && !s->new_conf)
			continue;
		pair_close(pair);
		pair->fd = pair->next_fd;
		pair->next_fd = -1;
	}
}

static int confine_role(const struct fwsync *s)
{
	const struct confine confine = { .role = "fwsync",
		                         .uid = s->conf.common.uid,
		                         .gid = s->conf.common.gid,
		                         .root_fd = -1,
		                         .keep_cap = CAP_NET_ADMIN,
		                         .syscalls = syscalls };

	return confine_self(&confine);
}

static int start_guard_only(struct fwsync *s)
{
	const char *why;
	int r = firewall_open(&s->fw, s->netlink_fd, &why);

	if (r < 0)
		return give_up(s, r, why);
	r = confine_role(s);
	if (r < 0)
		return give_up(s, r, "the role cannot be confined");
	s->fw.guard = s->next_guard;
	s->next_guard = (struct guard){ 0 };
	r = firewall_install_guard(&s->fw);
	if (r < 0)
		return give_up(s, r, "the guarding table cannot be installed");
	s->draining = true;
	return role_send(s->channel, ROLE_MSG_READY, 0, 0, NULL, 0, NULL, 0);
}

static int start(struct fwsync *s)
{
	uint32_t dropped;
	const char *why;
	int r;

	if (!s->has_conf || s->netlink_fd < 0)
		return give_up(s, ERR_INVAL,
		               "no configuration or no netlink socket was handed over");
	s->fw.conf = s->conf;
	if (s->guard_only)
		return start_guard_only(s);
	if (!s->lane || !s->fw.epoch_page || !s->has_ledger)
		return give_up(s, ERR_INVAL, "stats, epoch and ledger were not all handed over");
	r = book_new(&s->fw.book, &s->ledger, clock_mono_ns(), &dropped);
	if (r < 0)
		return give_up(s, r, "no memory for the ledger's index");
	if (dropped)
		log_warning(TAG, "%u half-written rows of the ledger dropped", dropped);
	s->fw.ledger = s->ledger.head;
	r = firewall_open(&s->fw, s->netlink_fd, &why);
	if (r < 0)
		return give_up(s, r, why);
	r = confine_role(s);
	if (r < 0)
		return give_up(s, r, "the role cannot be confined");
	if (s->has_next_guard) {
		s->fw.guard = s->next_guard;
		s->next_guard = (struct guard){ 0 };
		s->fw.first_version = guard_version(&s->fw.guard);
	}
	r = firewall_install(&s->fw);
	if (r < 0)
		proof_forget(s->ledger.head);
	if (r < 0)
		return give_up(s, r,
		               r == -EPERM ? "another process owns the table `inet sallyport`"
		                           : "the table cannot be installed");
#ifdef SALLYPORT_TEST_SHIM
	shim_install(&s->fw.kernel);
#endif
	s->batch = batch_new(s->fw.book, &s->fw.guard, &s->fw.kernel, s->lane);
	if (!s->batch)
		return give_up(s, ERR_NOMEM, "no memory for batches");
	settle_pairs(s);
	s->running = true;
	s->new_conf = false;
	beat(s);
	r = role_send(s->channel, ROLE_MSG_READY, 0, 0, NULL, 0, NULL, 0);
	if (r == 0 && s->has_next_guard)
		r = role_send(s->channel, ROLE_MSG_APPLIED, s->next_version, 0, NULL, 0, NULL, 0);
	s->has_next_guard = false;
	return r;
}

/* A new configuration for a running role. */
static int restart(struct fwsync *s)
{
	int r = ERR_OK;

	settle_pairs(s);
	if (s->new_conf) {
		s->fw.conf = s->conf;
		r = firewall_install(&s->fw);
		if (r < 0)
			return give_up(s, r, "the table cannot follow the new configuration");
	}
	s->new_conf = false;
	return role_send(s->channel, ROLE_MSG_READY, 0, 0, NULL, 0, NULL, 0);
}

static int on_message(struct fwsync *s, struct role_msg *msg)
{
	bool has_fd = msg->n_fds > 0;

	switch (msg->type) {
	case ROLE_MSG_CONFIG:
		return has_fd ? on_config(s, msg->fds[0]) : ERR_OK;
	case ROLE_MSG_STATS:
		return has_fd && !s->running ? on_stats(s, msg->fds[0]) : ERR_OK;
	case ROLE_MSG_EPOCH:
		return has_fd && !s->running ? on_epoch(s, msg->fds[0]) : ERR_OK;
	case ROLE_MSG_LEDGER:
		return has_fd ? on_ledger(s, msg->fds[0]) : ERR_OK;
	case ROLE_MSG_NETLINK:
		if (has_fd && s->netlink_fd < 0)
			s->netlink_fd = fd_take(&msg->fds[0]);
		return ERR_OK;
	case ROLE_MSG_PINHOLE:
		return has_fd ? take_pair(s, msg) : ERR_OK;
	case ROLE_MSG_GUARD:
		return has_fd ? on_guard(s, msg) : ERR_OK;
	case ROLE_MSG_CLOSE:
		return on_close(s, msg);
	case ROLE_MSG_USE:
		return has_fd && s->running ? on_use(s, msg->fds[0], msg->a) : ERR_OK;
	case ROLE_MSG_END:
		return s->running ? restart(s) : start(s);
	case ROLE_MSG_DRAIN:
		s->draining = true;
		return ERR_OK;
	default: /* other roles' messages: none of ours, and nothing to guess */
		return ERR_OK;
	}
}

static int turn_channel(struct fwsync *s)
{
	struct role_msg msg;
	int r = role_recv(s->channel, s->message, sizeof(s->message), &msg);

	if (r == ERR_AGAIN)
		return ERR_OK;
	if (r < 0)
		return r == ERR_CLOSED ? r : give_up(s, r, "the keeper's channel");
	r = on_message(s, &msg);
	role_msg_close(&msg);
	return r;
}

/* What a running role does once a turn, after the keeper's words. @fds: monitor, flows, count,
 * pairs. */
static int turn_running(struct fwsync *s, const struct pollfd *fds)
{
	uint32_t version;
	uint64_t removed, number, begun_ns;
	int r = 0;

	if (fds[0].revents)
		r = firewall_news(&s->fw);
	if (r < 0)
		return give_up(s, r, "the table is lost");
	turn_pairs(s, fds + 3);
	for (int i = 0; i < FLOW_PIECES && s->fw.flows.running; i++)
		firewall_flows(&s->fw);
	if (s->fw.count.running)
		firewall_count(&s->fw);
	r = firewall_tick(&s->fw);
	if (r < 0)
		return give_up(s, r, "the firewall cannot be kept in order");
	if (firewall_closed(&s->fw, &version, &removed))
		r = role_send(s->channel, ROLE_MSG_CLOSED, version, removed, NULL, 0, NULL, 0);
	if (r == 0 && use_take(&s->fw.use, &number, &begun_ns))
		r = role_send(s->channel, ROLE_MSG_USED, number, begun_ns, NULL, 0, NULL, 0);
	return r;
}

static int turn(struct fwsync *s)
{
	struct pollfd fds[4 + LIMIT_WORKERS];
	const struct firewall *fw = &s->fw;
	bool busy = s->running && (fw->verifying || fw->want_cut || fw->flows.running ||
	                           fw->table_lost || use_waits(&fw->use) || fw->count.running);
	int r;

	fds[0] = (struct pollfd){ .fd = s->channel, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = s->running ? fw->monitor.fd : -1, .events = POLLIN };
	fds[2] = (struct pollfd){ .fd = s->running && fw->flows.running ? fw->flows.dump_fd : -1,
		                  .events = POLLIN };
	fds[3] = (struct pollfd){ .fd = s->running && fw->count.running ? fw->count.dump_fd : -1,
		                  .events = POLLIN };
	for (unsigned int w = 0; w < LIMIT_WORKERS; w++)
		fds[4 + w] =
		    (struct pollfd){ .fd = s->running ? s->pairs[w].fd : -1, .events = POLLIN };
	if (poll(fds, ARRAY_LEN(fds), busy ? BUSY_TURN_MS : TURN_MS) < 0 && errno != EINTR)
		return -errno;
	beat(s);
	if (fds[0].revents) {
		r = turn_channel(s);
		/* After a new configuration poll()'s word about pairs is old; reading never blocks.
		 */
		if (r < 0 || !s->running)
			return r;
	}
	return s->running ? turn_running(s, fds + 1) : ERR_OK;
}

int main(int argc, char **argv)
{
	struct fwsync *s;
	int r = ERR_OK;

	log_init("fwsync", LOG_FORM_KEYVALUE, LOG_LEVEL_INFO);
	if (argc > 2 || (argc == 2 && strcmp(argv[1], "--guard") != 0)) {
		fprintf(stderr, "usage: sallyport-fwsync [--guard], started by sallyportd\n");
		return 2;
	}
	if (sodium_init() < 0)
		return 1;
	/* The keeper decides when a role ends: by DRAIN, or by closing the channel. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	s = aligned_alloc(alignof(struct fwsync), sizeof(*s));
	if (!s)
		return 1;
	memset(s, 0, sizeof(*s));
	s->channel = ROLE_FD;
	s->netlink_fd = -1;
	s->guard_only = argc == 2;
	for (unsigned int w = 0; w < LIMIT_WORKERS; w++)
		s->pairs[w].fd = s->pairs[w].next_fd = -1;
	while (r == ERR_OK && !s->draining)
		r = turn(s);
	/* _exit: the table stays as it is, and nothing else of ours outlives the process. */
	_exit(r == ERR_OK || r == ERR_CLOSED ? 0 : 1);
}
