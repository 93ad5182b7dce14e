/* resolver/main.c - the resolver role's main thread: listens to the keeper and tells the workers.
 *
 *   COLLECTING --END--> confined, workers started, READY --> RUNNING --DRAIN--> DRAINING --> exit 0
 *
 * Messages are collected until END and take effect whole. No message is answered before it is true:
 * APPLIED leaves when every worker judges by that version. The keeper's end-of-file ends us at
 * once.
 */
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "amplification.h"
#include "explain.h"
#include "follow_table.h"
#include "key_fetch.h"
#include "policy_slot.h"
#include "proofs.h"
#include "sallyport/err.h"
#include "sallyport/log.h"
#include "sallyport/shm.h"
#include "sandbox.h"
#include "settings.h"
#include "tally.h"
#include "worker.h"

#define WAIT_MS 250 /* also the main thread's heartbeat */
#define MESSAGES_PER_TURN 256
#define RETIRED_MAX 4
#define INTAKE_LISTENERS (LIMIT_WORKERS * LIMIT_LISTENERS * 2)

/* What has come since the last END. Descriptors are owned; -1: none. */
struct intake {
	struct resolver_conf *conf;
	int stats, epoch;
	int ring[LIMIT_WORKERS], ring_back[LIMIT_WORKERS], pinhole[LIMIT_WORKERS];
	size_t n_listeners;
	struct {
		int fd, proto;
		unsigned int index, worker;
	} listeners[INTAKE_LISTENERS];
};

struct role_state {
	struct intake intake;
	struct stats_page *stats;
	const struct pinhole_epoch *epoch;
	struct settings *settings;
	struct cache *cache;
	struct policy_slot *slot;
	struct follow_table *follow;
	struct tally *tally;
	struct amplification *amplification;
	struct worker *workers[LIMIT_WORKERS];
	ino_t pinhole_inos[LIMIT_WORKERS];
	size_t n_workers;
	int notify_fd;
	bool draining;
	uint64_t seq;  /* of the newest set */
	uint64_t told; /* which configuration that is, by the keeper's number */
	bool told_owed;
	struct {
		struct cache *cache; /* of zones that were; until every worker has set seq */
		uint64_t seq;
	} retired[RETIRED_MAX];
	bool await_image;       /* a policy is on its way: no query is read before it is here */
	uint32_t image_version; /* loaded and not yet reported as applied; see image_owed */
	bool image_owed;
	bool explaining;           /* the first worker is at it */
	struct explain *explained; /* not yet told: the channel was full */
	uint8_t buf[LIMIT_ROLE_MESSAGE];
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void replace_fd(int *slot, struct role_msg *msg, size_t i)
{
	close_fd(slot);
	*slot = fd_take(&msg->fds[i]);
}

static void intake_empty(struct intake *intake)
{
	free(TAKE(intake->conf));
	close_fd(&intake->stats);
	close_fd(&intake->epoch);
	for (size_t i = 0; i < LIMIT_WORKERS; i++) {
		close_fd(&intake->ring[i]);
		close_fd(&intake->ring_back[i]);
		close_fd(&intake->pinhole[i]);
	}
	for (size_t i = 0; i < intake->n_listeners; i++)
		close_fd(&intake->listeners[i].fd);
	intake->n_listeners = 0;
}

static void intake_init(struct intake *intake)
{
	intake->stats = intake->epoch = -1;
	for (size_t i = 0; i < LIMIT_WORKERS; i++)
		intake->ring[i] = intake->ring_back[i] = intake->pinhole[i] = -1;
}

/* Say why, to the log and to the keeper, and end: the keeper starts another one. */
static _Noreturn void give_up(const char *what, int err)
{
	char text[200];

	log_error("role", "%s: %s", what, err_str(err));
	snprintf(text, sizeof(text), "%s: %s", what, err_str(err));
	/* If the keeper cannot be told it sees the end-of-file. */
	(void)role_send(ROLE_FD, ROLE_MSG_FAILED, 0, 0, text, strlen(text), NULL, 0);
	_exit(1);
}

static void tell_keeper(enum role_msg_type type, uint64_t a)
{
	int r = role_send(ROLE_FD, type, a, 0, NULL, 0, NULL, 0);

	/* It reads us all the time; a channel that is full means that it hangs or has gone. */
	if (r < 0)
		give_up("the keeper cannot be told", r);
}

/* ---- taking in ---- */

static int take_conf(struct intake *intake, int fd)
{
	struct resolver_conf *conf = calloc(1, sizeof(*conf));
	int r;

	if (!conf)
		return ERR_NOMEM;
	r = role_conf_read(fd, RESOLVER_CONF_MAGIC, conf, sizeof(*conf));
	if (r < 0) {
		free(conf);
		return r;
	}
	free(intake->conf);
	intake->conf = conf;
	return 0;
}

static int take_listener(struct intake *intake, struct role_msg *msg)
{
	if (intake->n_listeners == INTAKE_LISTENERS)
		return ERR_LIMIT;
	if (msg->b != IPPROTO_UDP && msg->b != IPPROTO_TCP)
		return ERR_MALFORMED;
	intake->listeners[intake->n_listeners].fd = fd_take(&msg->fds[0]);
	intake->listeners[intake->n_listeners].proto = (int)msg->b;
	intake->listeners[intake->n_listeners].index = (unsigned int)(msg->a & 0xffff);
	intake->listeners[intake->n_listeners].worker = (unsigned int)(msg->a >> 16);
	intake->n_listeners++;
	return 0;
}

static size_t fds_wanted(uint16_t type)
{
	switch (type) {
	case ROLE_MSG_CONFIG:
	case ROLE_MSG_STATS:
	case ROLE_MSG_LISTENER:
	case ROLE_MSG_PINHOLE:
	case ROLE_MSG_EPOCH:
	case ROLE_MSG_IMAGE:
		return 1;
	case ROLE_MSG_RING:
		return 2;
	default: /* not an enum here: whatever the channel brought */
		return 0;
	}
}

/* ---- applying ---- */

static ino_t inode(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static struct worker_set *make_set(struct role_state *role, unsigned int worker)
{
	struct intake *intake = &role->intake;
	struct worker_set *set = calloc(1, sizeof(*set));

	if (!set)
		give_up("configuration", ERR_NOMEM);
	set->settings = settings_ref(role->settings);
	set->cache = role->cache;
	set->seq = role->seq;
	for (size_t i = 0; i < intake->n_listeners; i++) {
		if (intake->listeners[i].worker != worker)
			continue;
		if (set->n_listeners == ARRAY_LEN(set->listeners))
			give_up("listeners", ERR_LIMIT);
		set->listeners[set->n_listeners++] = (struct worker_listener){
			.fd = fd_take(&intake->listeners[i].fd),
			.index = intake->listeners[i].index,
			.proto = intake->listeners[i].proto,
		};
	}
	return set;
}

static void give_sets(struct role_state *role)
{
	role->seq++;
	role->told_owed = true;
	for (unsigned int i = 0; i < role->n_workers; i++)
		worker_give_set(role->workers[i], make_set(role, i));
}

static void map_epoch(struct role_state *role)
{
	void *data;
	size_t len;
	int r = shm_map(role->intake.epoch, SHM_READ, sizeof(struct pinhole_epoch), &data, &len);

	if (r < 0)
		give_up("epoch page", r);
	role->epoch = data;
	if (role->epoch->magic != PINHOLE_EPOCH_MAGIC)
		give_up("epoch page", ERR_DAMAGED);
}

static void make_worker(struct role_state *role, unsigned int i)
{
	struct intake *intake = &role->intake;
	struct worker_spec spec = {
		.index = i,
		.settings = role->settings,
		.cache = role->cache,
		.slot = role->slot,
		.follow = role->follow,
		.tally = role->tally,
		.amplification = role->amplification,
		.upstreams = &role->stats->upstreams,
		.lane = &role->stats->lanes[i + 1],
		.epoch = role->epoch,
		.ring_fd = intake->ring[i],
		.ring_back_fd = intake->ring_back[i],
		.pinhole_fd = -1,
		.notify_fd = role->notify_fd,
	};
	int r;

	if (role->settings->conf.firewall == FIREWALL_LOCAL) {
		if (intake->pinhole[i] < 0)
			give_up("a worker without its pinhole socket", ERR_INVAL);
		role->pinhole_inos[i] = inode(intake->pinhole[i]);
		spec.pinhole_fd = intake->pinhole[i];
	}
	r = worker_new(&spec, &role->workers[i]);
	if (r < 0)
		give_up("worker", r);
	if (spec.pinhole_fd >= 0)
		intake->pinhole[i] = -1; /* the worker's now */
}

static void raise_file_limit(void)
{
	struct rlimit limit;

	/* A socket for each question in flight and each connection: as many as the keeper lets us
	 * have. Less is a limit that counts. */
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_warning("role", "the limit of open files stays: %s", err_str(-errno));
}

static void start(struct role_state *role)
{
	struct intake *intake = &role->intake;
	const struct resolver_conf *conf;
	int r;

	if (!intake->conf || intake->stats < 0)
		give_up("configuration", ERR_INVAL);
	log_init("resolver", (enum log_form)intake->conf->common.log_form,
	         (enum log_level)intake->conf->common.log_level);
	role->settings = settings_new(intake->conf);
	if (!role->settings)
		give_up("configuration", ERR_NOMEM);
	conf = &role->settings->conf;
	r = stats_map(intake->stats, 1, &role->stats);
	if (r < 0)
		give_up("stats page", r);
	if (conf->firewall == FIREWALL_LOCAL)
		map_epoch(role);

	/* One heap arena a thread, told beforehand: counting processors would want a file. */
	mallopt(M_ARENA_MAX, (int)conf->workers + 1);
	raise_file_limit();
	role->cache = cache_new(conf->cache_bytes, conf->hash_key);
	role->follow = follow_table_new(conf->hash_key);
	role->tally = tally_new(conf->hash_key);
	role->amplification = amplification_new(conf->hash_key);
	role->slot = policy_slot_new();
	if (!role->cache || !role->follow || !role->tally || !role->amplification || !role->slot)
		give_up("memory", ERR_NOMEM);
	for (unsigned int i = 0; i < conf->workers; i++)
		make_worker(role, i);

	r = sandbox_enter(&conf->common);
	if (r < 0)
		give_up("confinement", r);
	role->n_workers = conf->workers;
	for (unsigned int i = 0; i < role->n_workers; i++) {
		r = worker_start(role->workers[i]);
		if (r < 0)
			give_up("worker thread", r);
	}
	if (!role->await_image) {
		give_sets(role);
		intake_empty(intake);
	}
	tell_keeper(ROLE_MSG_READY, 0);
}

/* What a running resolver cannot change: another one is started, on the very same sockets. */
static void check_changeable(const struct role_state *role, const struct settings *settings)
{
	const struct resolver_conf *was = &role->settings->conf, *now = &settings->conf;

	if (was->workers != now->workers)
		give_up("the number of workers has changed: starting anew", ERR_VERSION);
	if (was->firewall != now->firewall)
		give_up("firewall.mode has changed: starting anew", ERR_VERSION);
	for (size_t i = 0; i < role->n_workers; i++) {
		if (role->intake.pinhole[i] >= 0 &&
		    inode(role->intake.pinhole[i]) != role->pinhole_inos[i])
			give_up("the pinhole sockets have changed: starting anew", ERR_VERSION);
	}
}

/* What was learnt from other servers is not believed any more. The workers let go of it one by one,
 * when they take the set that comes next. */
static void retire_cache(struct role_state *role)
{
	for (size_t i = 0; i < RETIRED_MAX; i++) {
		if (role->retired[i].cache)
			continue;
		role->retired[i].cache = role->cache;
		role->retired[i].seq = role->seq + 1;
		return;
	}
	give_up("upstreams changed faster than the workers follow", ERR_LIMIT);
}

static uint64_t applied_by_all(const struct role_state *role)
{
	uint64_t applied = role->seq;

	for (size_t i = 0; i < role->n_workers; i++)
		applied = MIN(applied, worker_applied(role->workers[i]));
	return applied;
}

static void free_retired(struct role_state *role)
{
	uint64_t applied = applied_by_all(role);

	for (size_t i = 0; i < RETIRED_MAX; i++) {
		if (!role->retired[i].cache || role->retired[i].seq > applied)
			continue;
		cache_free(role->retired[i].cache);
		role->retired[i].cache = NULL;
	}
}

static void reload(struct role_state *role)
{
	struct intake *intake = &role->intake;
	struct settings *settings;

	if (!intake->conf)
		give_up("configuration", ERR_INVAL);
	settings = settings_new(intake->conf);
	if (!settings)
		give_up("configuration", ERR_NOMEM);
	check_changeable(role, settings);
	if (!settings_same_zones(role->settings, settings)) {
		retire_cache(role);
		role->cache = cache_new(settings->conf.cache_bytes, settings->conf.hash_key);
		if (!role->cache)
			give_up("cache", ERR_NOMEM);
	} else {
		cache_resize(role->cache, settings->conf.cache_bytes);
	}
	settings_unref(role->settings);
	role->settings = settings;
	give_sets(role);
	intake_empty(intake);
	log_info("role", "configuration applied");
}

static void load_image(struct role_state *role, int fd, uint64_t version)
{
	int r = version > UINT32_MAX ? ERR_VERSION
	                             : policy_slot_load(role->slot, fd, (uint32_t)version);

	/* Going on under the old policy would keep open what the new one revokes (promise P5). */
	if (r < 0)
		give_up("policy image", r);
	role->image_version = (uint32_t)version;
	role->image_owed = true;
	for (size_t i = 0; i < role->n_workers; i++)
		worker_tell_policy(role->workers[i]);
	if (role->await_image) {
		role->await_image = false;
		give_sets(role);
		intake_empty(&role->intake);
	}
}

static void flush(struct role_state *role, const struct role_msg *msg)
{
	uint8_t name[NAME_MAX_WIRE] = { 0 };
	bool below = msg->a != 0;

	if (msg->len == 0) {
		below = true; /* the root and all below it */
	} else if (name_wire_len(msg->payload, msg->len) == (int)msg->len) {
		name_lower(name, msg->payload, msg->len);
	} else {
		log_error("role", "flush: not a name");
		return;
	}
	if (role->settings && role->settings->validation.anchors) { /* it costs its questions */
		val_table_clear(role->settings->validation.table);
		val_failures_clear(role->settings->failures);
	}
	/* Proofs of names around it would deny it again. */
	if (role->settings && role->settings->proofs)
		proofs_clear(role->settings->proofs);
	tell_keeper(ROLE_MSG_FLUSHED, cache_flush(role->cache, name, below));
}

/* ---- explaining ---- */

static void tell_explained(struct role_state *role)
{
	size_t len;
	const uint8_t *rows;
	int r;

	if (!role->explained)
		return;
	rows = explain_rows(role->explained, &len);
	r = role_send(ROLE_FD, ROLE_MSG_EXPLAINED, explain_id(role->explained), 0, rows, len, NULL,
	              0);
	if (r == ERR_AGAIN)
		return; /* at the next turn */
	if (r < 0)
		give_up("the keeper cannot be told", r);
	explain_free(TAKE(role->explained));
	role->explaining = false;
}

static void tell_busy(struct role_state *role, uint64_t id)
{
	struct explain_row row = { .kind = EXPLAIN_END, .outcome = EXPLAIN_BUSY };
	static const char *const no_texts[EXPLAIN_TEXTS];
	uint8_t rows[sizeof(row)];
	size_t len = 0;
	int r = explain_row_put(rows, sizeof(rows), &len, &row, no_texts);

	count(&role->stats->lanes[0], COUNT_LIMIT_EXPLAIN);
	if (r == 0)
		r = role_send(ROLE_FD, ROLE_MSG_EXPLAINED, id, 0, rows, len, NULL, 0);
	if (r < 0)
		give_up("the keeper cannot be told", r);
}

static void begin_explain(struct role_state *role, const struct role_msg *msg)
{
	struct explain *explain = NULL;
	int r;

	if (role->explaining || role->draining) {
		tell_busy(role, msg->a);
		return;
	}
	r = explain_new(msg->a, msg->payload, msg->len, role->settings->conf.hash_key, &explain);
	if (r < 0)
		give_up("message from the keeper", r);
	role->explaining = true;
	worker_give_explain(role->workers[0], explain);
}

static void on_message(struct role_state *role, struct role_msg *msg)
{
	struct intake *intake = &role->intake;
	bool running = role->n_workers > 0;
	int r = 0;

	if (msg->n_fds != fds_wanted(msg->type))
		give_up("message from the keeper", ERR_MALFORMED);
	switch (msg->type) {
	case ROLE_MSG_CONFIG:
		r = take_conf(intake, msg->fds[0]);
		break;
	case ROLE_MSG_STATS:
		replace_fd(&intake->stats, msg, 0);
		break;
	case ROLE_MSG_EPOCH:
		replace_fd(&intake->epoch, msg, 0);
		break;
	case ROLE_MSG_LISTENER:
		r = take_listener(intake, msg);
		break;
	case ROLE_MSG_RING:
	case ROLE_MSG_PINHOLE:
		if (msg->a >= LIMIT_WORKERS) {
			r = ERR_MALFORMED;
		} else if (msg->type == ROLE_MSG_PINHOLE) {
			replace_fd(&intake->pinhole[msg->a], msg, 0);
		} else {
			replace_fd(&intake->ring[msg->a], msg, 0);
			replace_fd(&intake->ring_back[msg->a], msg, 1);
		}
		break;
	case ROLE_MSG_END:
		role->told = msg->b;
		if (running) {
			role->await_image = false; /* its sockets come with the new ones */
			reload(role);
		} else {
			role->await_image = msg->a != 0;
			start(role);
		}
		break;
	case ROLE_MSG_IMAGE:
		if (running)
			load_image(role, msg->fds[0], msg->a);
		else
			r = ERR_MALFORMED;
		break;
	case ROLE_MSG_FLUSH:
		if (running)
			flush(role, msg);
		break;
	case ROLE_MSG_ASK_KEYS:
		if (name_wire_len(msg->payload, msg->len) != (int)msg->len)
			r = ERR_MALFORMED;
		else if (running)
			worker_ask_keys(role->workers[0], msg->payload);
		break;
	case ROLE_MSG_EXPLAIN:
		if (running)
			begin_explain(role, msg);
		break;
	case ROLE_MSG_DRAIN:
		role->draining = true;
		for (size_t i = 0; i < role->n_workers; i++)
			worker_drain(role->workers[i]);
		break;
	default: /* a keeper of another version */
		r = ERR_VERSION;
		break;
	}
	role_msg_close(msg);
	if (r < 0)
		give_up("message from the keeper", r);
}

/* ---- the loop ---- */

static void read_channel(struct role_state *role)
{
	for (int i = 0; i < MESSAGES_PER_TURN; i++) {
		struct role_msg msg;
		int r = role_recv(ROLE_FD, role->buf, sizeof(role->buf), &msg);

		if (r == ERR_AGAIN)
			return;
		if (r == ERR_CLOSED)
			_exit(0); /* without the keeper nobody guards anything: no more answers */
		if (r < 0)
			give_up("channel to the keeper", r);
		on_message(role, &msg);
	}
}

static void report_keys(struct role_state *role)
{
	CLEANUP(free)
	struct key_answer *answer = role->n_workers > 0 ? worker_take_keys(role->workers[0]) : NULL;
	int r = answer
	            ? role_send(ROLE_FD, ROLE_MSG_KEYS, 0, 0, answer->payload, answer->len, NULL, 0)
	            : ERR_OK;

	if (r < 0)
		log_warning("role", "keys cannot be handed to the keeper, which will ask again: %s",
		            err_str(r));
}

static void report(struct role_state *role)
{
	bool image = role->image_owed, ended = role->draining;

	for (size_t i = 0; i < role->n_workers; i++) {
		struct worker *worker = role->workers[i];

		if (atomic_load_explicit(&worker->policy_version, memory_order_acquire) !=
		    role->image_version)
			image = false;
		if (!worker_ended(worker))
			ended = false;
	}
	if (image) {
		role->image_owed = false;
		tell_keeper(ROLE_MSG_APPLIED, role->image_version);
	}
	if (role->n_workers > 0 && role->explaining && !role->explained)
		role->explained = worker_take_explained(role->workers[0]);
	tell_explained(role);
	free_retired(role);
	report_keys(role);
	if (role->told_owed && applied_by_all(role) == role->seq) {
		role->told_owed = false;
		tell_keeper(ROLE_MSG_CONFIGURED, role->told);
	}
	if (ended) {
		log_info("role", "drained");
		_exit(0);
	}
}

static void stamp(struct role_state *role)
{
	if (role->stats)
		atomic_store_explicit(&role->stats->lanes[0].heartbeat_ns, clock_mono_ns(),
		                      memory_order_relaxed);
}

static void ignore_signals(void)
{
	/* A terminal or a supervisor signals everybody; the keeper decides when and how we end. */
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE };

	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		signal(signals[i], SIG_IGN);
}

int main(void)
{
	struct role_state *role = calloc(1, sizeof(*role));
	struct pollfd polled[2];
	uint64_t drained;

	log_init("resolver", LOG_FORM_KEYVALUE, LOG_LEVEL_INFO);
	if (!role || sodium_init() < 0)
		give_up("start", ERR_NOMEM);
	if (fcntl(ROLE_FD, F_SETFL, O_NONBLOCK) < 0) {
		log_error("role", "started without a keeper; run sallyportd instead");
		return 2;
	}
	ignore_signals();
	intake_init(&role->intake);
	role->notify_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (role->notify_fd < 0)
		give_up("start", -errno);
	polled[0] = (struct pollfd){ .fd = ROLE_FD, .events = POLLIN };
	polled[1] = (struct pollfd){ .fd = role->notify_fd, .events = POLLIN };
	for (;;) {
		stamp(role);
		if (poll(polled, ARRAY_LEN(polled), WAIT_MS) > 0) {
			if (polled[0].revents)
				read_channel(role);
			if (polled[1].revents &&
			    read(role->notify_fd, &drained, sizeof(drained)) < 0)
				continue; /* nothing in it after all */
		}
		report(role);
	}
}
