/* keeper/keeper.c - sallyportd's loop: start, signals, reload, end. What each role is given is in
 * hand_down.c; what callers ask is in request*.c.
 */
#include "keeper.h"

#include <inttypes.h>
#include <pwd.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "hand_down.h"
#include "notify.h"
#include "privileges.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/log.h"
#include "spawn.h"
#include "state.h"
#include "world.h"

#define TAG "keeper"
#define PULSE_MS 250
#define RESOLVER_WAIT_NS (3 * NS_PER_S) /* for a closed table, before it may answer "no policy" */
#define DRAIN_HISTORIAN_MS 20000
#define DRAIN_FWSYNC_MS 3000
#define FILES_WANTED 131072

/* --- roles ----------------------------------------------------------------------------------- */

static void end_if_all_down(struct keeper *k)
{
	for (size_t i = 0; i < ROLE_N; i++) {
		if (k->children[i].pid > 0)
			return;
	}
	uv_stop(&k->loop);
}

/* SIGTERM: first the resolver, so that nobody is left without an answer; then what it wrote and
 * opened is put away. The table stays as it is: closed but for what runs out. */
static void drain_next(struct keeper *k)
{
	if (k->children[ROLE_RESOLVER].state != CHILD_DOWN)
		return;
	for (int role = ROLE_HISTORIAN; role < ROLE_N; role++) {
		struct child *c = &k->children[role];

		if (c->state != CHILD_DOWN && c->state != CHILD_DRAINING)
			child_drain(c,
			            role == ROLE_HISTORIAN ? DRAIN_HISTORIAN_MS : DRAIN_FWSYNC_MS);
	}
	end_if_all_down(k);
}

/* The resolver starts when the table is closed; or a little later without, for it gets no image
 * then, and refusing is better than silence. */
static void start_resolver(struct keeper *k)
{
	struct child *c = &k->children[ROLE_RESOLVER];
	bool ready = !k->rollout.firewall || k->rollout.parts[ROLE_FWSYNC].applied;

	if (k->stopping || c->state != CHILD_DOWN)
		return;
	/* A policy that is on its way is waited for: queries wait in the kernel, too. */
	k->loading = k->loading && k->apply && k->rollout.current->version == 0;
	if (k->loading)
		return;
	if (ready || clock_mono_ns() - k->started_mono_ns > RESOLVER_WAIT_NS)
		child_start(c);
}

static void look_at_unfiltered(struct keeper *k)
{
	if (k->rollout.firewall && k->children[ROLE_FWSYNC].state == CHILD_RUNNING)
		unfiltered_look(&k->unfiltered, k->shared.pages[ROLE_FWSYNC], clock_mono_ns());
}

static void tell_ready(struct keeper *k)
{
	if (k->notified_ready || k->children[ROLE_RESOLVER].state != CHILD_RUNNING)
		return;
	if (store_current(k->store) != 0 && !rollout_in_force(&k->rollout))
		return;
	k->notified_ready = true;
	log_info(TAG, "ready");
	notify_send("READY=1");
}

static int on_child_configure(void *owner, struct child *child)
{
	return hand_down(owner, child);
}

static void on_child_ready(void *owner, struct child *child)
{
	struct keeper *k = owner;

	(void)child;
	look_at_unfiltered(k); /* from the first moment that there is a table */
	rollout_advance(&k->rollout);
	start_resolver(k);
	tell_ready(k);
}

static void on_child_message(void *owner, struct child *child, struct role_msg *msg)
{
	struct keeper *k = owner;

	if (msg->type == ROLE_MSG_FLUSHED && child->role == ROLE_RESOLVER)
		request_flushed(k, msg->a);
	else if (msg->type == ROLE_MSG_CONFIGURED && child->role == ROLE_RESOLVER)
		tell_applied(k, msg->a);
	else if (msg->type == ROLE_MSG_KEYS && child->role == ROLE_RESOLVER)
		refresh_keys(k, msg);
	else if (msg->type == ROLE_MSG_EXPLAINED && child->role == ROLE_RESOLVER)
		request_explained_dnssec(k, msg);
	else if (msg->type == ROLE_MSG_USED && child->role == ROLE_FWSYNC)
		use_counted(k, msg);
	else
		rollout_message(&k->rollout, child->role, msg);
	start_resolver(k);
	tell_ready(k);
}

static void on_child_down(void *owner, struct child *child)
{
	struct keeper *k = owner;

	if (child->role == ROLE_RESOLVER) {
		request_flush_lost(k);
		request_dnssec_lost(k);
	} else if (child->role == ROLE_FWSYNC) {
		use_lost(k);
	}
	rollout_child_down(&k->rollout, child->role);
	if (k->stopping)
		drain_next(k);
}

static const struct child_ops child_ops = {
	on_child_configure,
	on_child_ready,
	on_child_message,
	on_child_down,
};

static int init_children(struct keeper *k)
{
	static const struct {
		const char *program;
		int death_signal;
	} roles[ROLE_N] = {
		[ROLE_RESOLVER] = { "sallyport-resolver", SIGKILL },
		/* When the keeper dies the historian still writes what the rings hold: it ends by
		 * itself at the end of its channel. */
		[ROLE_HISTORIAN] = { "sallyport-historian", 0 },
		[ROLE_FWSYNC] = { "sallyport-fwsync", SIGKILL },
	};

	for (int role = 0; role < ROLE_N; role++) {
		struct child *c = &k->children[role];
		int r;

		c->role = (enum role)role;
		c->program = roles[role].program;
		c->death_signal = roles[role].death_signal;
		c->ops = &child_ops;
		c->owner = k;
		c->stats = k->shared.pages[role];
		r = child_init(c, &k->loop);
		if (r < 0)
			return r;
	}
	return ERR_OK;
}

/* --- policy ---------------------------------------------------------------------------------- */

void keeper_audit(struct keeper *k, uint32_t uid, const char *action, const char *detail)
{
	const struct passwd *pw = uid == STORE_UID_NONE ? NULL : getpwuid(uid);
	const struct store_audit row = {
		.time_ns = clock_wall_ns(),
		.actor = { uid, pw ? pw->pw_name : NULL },
		.action = action,
		.detail = detail,
		.policy_version = store_current(k->store),
	};
	CLEANUP(diag_fini) struct diag diag = { 0 };

	diag_init(&diag);
	if (store_audit_add(k->store, &row, &diag) < 0)
		log_error(TAG, "the audit trail cannot be written: %s",
		          diag.n_items ? diag.items[0].text : "?");
}

bool keeper_audit_room(struct keeper *k, const struct server_request *request)
{
	uint64_t n_left_out;
	char detail[64];

	if (request->may_change)
		return true;
	if (!trail_take(&k->trail, clock_mono_ns(), &n_left_out)) {
		count(&k->shared.pages[ROLE_RESOLVER]->lanes[0], COUNT_LIMIT_AUDIT);
		return false;
	}
	if (n_left_out > 0) {
		snprintf(detail, sizeof(detail), "%" PRIu64 " refusals before this one", n_left_out);
		keeper_audit(k, STORE_UID_NONE, "left-out", detail);
	}
	return true;
}

static int start_apply(struct keeper *k, struct apply_texts *texts, const struct store_actor *actor,
                       const char *action, const char *comment, uint32_t stored_version)
{
	const struct apply_spec spec = {
		.loop = &k->loop,
		.store = k->store,
		.rollout = &k->rollout,
		.config = k->config,
		.texts = texts,
		.actor = *actor,
		.action = action,
		.comment = comment,
		.stored_version = stored_version,
	};

	if (k->apply || k->stopping)
		return ERR_AGAIN;
	return apply_start(&spec, request_apply_done, k, &k->apply);
}

int keeper_apply(struct keeper *k, struct apply_texts *texts, const struct store_actor *actor,
                 const char *action, const char *comment, struct server_client *client)
{
	int r = start_apply(k, texts, actor, action, comment, 0);

	if (r == 0)
		k->apply_client = client;
	return r;
}

/* What was in force before: compiled again, for a newer compiler may see more. */
static void load_stored(struct keeper *k)
{
	CLEANUP(store_version_free) struct store_version *version = NULL;
	const struct store_actor system = { STORE_UID_NONE, NULL };
	struct apply_texts texts;
	CLEANUP(diag_fini) struct diag diag = { 0 };
	int r;

	if (store_current(k->store) == 0) {
		log_warning(
		    TAG, "no policy yet: everything is refused; use: sallyport policy apply FILE");
		rollout_no_policy(&k->rollout);
		return;
	}
	diag_init(&diag);
	apply_texts_init(&texts);
	r = store_get(k->store, 0, &version, &diag);
	if (r == 0)
		r = apply_texts_load(&texts, k->store, version, &diag);
	if (r == 0)
		r = start_apply(k, &texts, &system, "start", "", version->version);
	if (r == 0)
		k->rollout.stored_version = version->version;
	apply_texts_fini(&texts);
	k->loading = r == 0;
	if (r < 0) {
		log_error(TAG, "the stored policy cannot be loaded, everything is refused: %s",
		          diag.n_items ? diag.items[0].text : err_str(r));
		rollout_no_policy(&k->rollout);
	}
}

/* --- reload ---------------------------------------------------------------------------------- */

static void warn_kept(struct diag *diag, const char *key)
{
	diag_add(diag, DIAG_WARNING, "", 0, 0, "%s has changed: it takes effect at the next start",
	         key);
}

/* What cannot change under running roles stays as it was. */
static void keep_fixed(struct config *next, const struct config *old, struct diag *diag)
{
	if (strcmp(next->state_dir, old->state_dir) != 0) {
		warn_kept(diag, "state_dir");
		memcpy(next->state_dir, old->state_dir, sizeof(next->state_dir));
	}
	if (strcmp(next->run_dir, old->run_dir) != 0) {
		warn_kept(diag, "run_dir");
		memcpy(next->run_dir, old->run_dir, sizeof(next->run_dir));
	}
	if (memcmp(next->users, old->users, sizeof(next->users)) != 0) {
		warn_kept(diag, "user");
		memcpy(next->users, old->users, sizeof(next->users));
		next->resolver.common.uid = old->resolver.common.uid;
		next->resolver.common.gid = old->resolver.common.gid;
		next->historian.common.uid = old->historian.common.uid;
		next->historian.common.gid = old->historian.common.gid;
		next->fwsync.common.uid = old->fwsync.common.uid;
		next->fwsync.common.gid = old->fwsync.common.gid;
	}
	if (next->workers != old->workers) {
		warn_kept(diag, "workers");
		next->workers = old->workers;
		next->resolver.workers = next->fwsync.workers = next->historian.workers =
		    old->workers;
	}
	if (next->resolver.firewall != old->resolver.firewall) {
		warn_kept(diag, "firewall.mode");
		next->resolver.firewall = old->resolver.firewall;
	}
	if (next->fwsync.set_size != old->fwsync.set_size) {
		warn_kept(diag, "firewall.set_size");
		next->fwsync.set_size = old->fwsync.set_size;
	}
	if (next->fwsync.owner != old->fwsync.owner) {
		warn_kept(diag, "firewall.owner");
		next->fwsync.owner = old->fwsync.owner;
	}
	if (next->fwsync.mark_egress != old->fwsync.mark_egress ||
	    next->fwsync.mark_inbound != old->fwsync.mark_inbound) {
		warn_kept(diag, "firewall.mark");
		next->fwsync.mark_egress = old->fwsync.mark_egress;
		next->fwsync.mark_inbound = old->fwsync.mark_inbound;
	}
}

static bool conf_changed(const struct config *a, const struct config *b, enum role role)
{
	switch (role) {
	case ROLE_HISTORIAN:
		return memcmp(&a->historian, &b->historian, sizeof(a->historian)) != 0;
	case ROLE_FWSYNC:
		return memcmp(&a->fwsync, &b->fwsync, sizeof(a->fwsync)) != 0;
	case ROLE_RESOLVER:
	case ROLE_N:
		break;
	}
	return true; /* its sockets are named again in any case */
}

static void take_warnings(struct keeper *k, const struct diag *from)
{
	diag_fini(&k->warnings);
	for (size_t i = 0; i < from->n_items; i++) {
		const struct diag_item *item = &from->items[i];

		diag_add(&k->warnings, item->severity, item->file, item->line, item->col, "%s",
		         item->text);
	}
}

int keeper_reload(struct keeper *k, struct diag *diag)
{
	CLEANUP(config_free) struct config *next = NULL;
	CLEANUP(listeners_free) struct listeners *listeners = NULL;
	CLEANUP(config_free) struct config *old = NULL;
	struct server_access access;
	int r;

	r = config_load(k->config->file, k->names, &next, diag);
	if (r < 0)
		return r;
	keep_fixed(next, k->config, diag);
	r = listeners_open(&next->resolver, k->listeners, &listeners, diag);
	if (r < 0)
		return r;
	r = edition_renew_guard(k->rollout.current, next);
	if (r < 0)
		return diag_set(diag, r, "the guard table cannot be made: %s", err_str(r));

	/* From here on nothing fails: what follows is only told. */
	old = k->config;
	k->config = TAKE(next);
	k->rollout.config = k->config;
	refresh_configured(k);
	edition_keep_guarded(k->rollout.current, k->config);
	listeners_free(k->listeners);
	k->listeners = TAKE(listeners);
	access = (struct server_access){ k->config->admin_gid, k->config->analyst_gid };
	server_set_access(k->server, &access);
	log_init("keeper", (enum log_form)k->config->log_form,
	         (enum log_level)k->config->log_level);
	for (int role = 0; role < ROLE_N; role++) {
		struct child *c = &k->children[role];

		if ((c->state != CHILD_RUNNING && c->state != CHILD_STARTING) ||
		    !conf_changed(old, k->config, (enum role)role) || hand_down(k, c) == 0)
			continue;
		log_error(TAG, "%s cannot be told the new configuration",
		          role_str((enum role)role));
		if (role == ROLE_RESOLVER)
			tell_resolver(k); /* it is tried again */
	}
	rollout_guard_changed(&k->rollout);
	take_warnings(k, diag);
	log_info(TAG, "configuration reread");
	return ERR_OK;
}

static void reload_by_signal(struct keeper *k)
{
	CLEANUP(diag_fini) struct diag diag = { 0 };

	diag_init(&diag);
	notify_reloading();
	if (keeper_reload(k, &diag) < 0)
		log_error(TAG, "the configuration is not taken, the old one stays");
	for (size_t i = 0; i < diag.n_items; i++)
		log_msg(diag.items[i].severity == DIAG_ERROR ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING,
		        TAG, "%s:%u:%u: %s", diag.items[i].file, diag.items[i].line,
		        diag.items[i].col, diag.items[i].text);
	keeper_audit(k, STORE_UID_NONE, "reload", diag.n_errors ? "refused: faults" : "by signal");
	notify_send("READY=1");
}

/* --- signals and time ------------------------------------------------------------------------ */

static void stop(struct keeper *k)
{
	if (k->stopping) {
		if (k->restart.state == RESTART_DRAINING) {
			k->restart.state = RESTART_NO; /* then it is an end */
			return;
		}
		if (++k->signals_to_stop < 2)
			return;
		log_warning(TAG, "told again to end: roles are killed");
		for (size_t i = 0; i < ROLE_N; i++)
			child_stop(&k->children[i]);
		uv_stop(&k->loop);
		return;
	}
	log_info(TAG, "ending: queries in flight are answered first");
	notify_send("STOPPING=1");
	keeper_drain(k);
}

void keeper_drain(struct keeper *k)
{
	k->stopping = true;
	k->signals_to_stop = 1;
	apply_cancel(k->apply);
	k->apply = NULL;
	child_drain(&k->children[ROLE_RESOLVER], k->restart.state == RESTART_DRAINING
	                                             ? TAKEOVER_DRAIN_MS
	                                             : k->config->resolver.query_ms + 1000);
}

static void reap(struct keeper *k)
{
	for (int i = 0; i < 64; i++) {
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG);
		bool ours = false;

		if (pid <= 0)
			return;
		for (size_t role = 0; role < ROLE_N && !ours; role++)
			ours = child_reaped(&k->children[role], pid, status);
		if (!ours)
			ours = apply_reaped(k->apply, pid, status) ||
			       restart_reaped(k, pid, status) || refresh_reaped(k, pid, status);
		if (!ours)
			(void)compile_reaped(k->explain.compile, pid, status);
	}
}

static void on_signal(uv_signal_t *handle, int signal_number)
{
	struct keeper *k = handle->data;

	if (signal_number == SIGCHLD)
		reap(k);
	else if (signal_number == SIGHUP)
		reload_by_signal(k);
	else
		stop(k);
}

static void on_pulse(uv_timer_t *timer)
{
	struct keeper *k = timer->data;
	uint64_t now = clock_mono_ns();
	bool late = now - k->pulse_ns > LIMIT_ROLE_HUNG_MS * NS_PER_MS / 2;

	k->pulse_ns = now;
	reap(k); /* signals are folded: nothing may be missed for long */
	/* Was it us who were stopped? Then nobody's heartbeat says anything yet. */
	for (size_t i = 0; i < ROLE_N && !late; i++)
		child_check_pulse(&k->children[i], now);
	restart_pulse(k, now);
	request_nta_pulse(k);
	tell_pulse(k, now);
	refresh_pulse(k, now);
	request_dnssec_pulse(k, now);
	use_pulse(k, now);
	look_at_unfiltered(k);
	start_resolver(k);
	tell_ready(k);
	if (k->watchdog_ns)
		notify_send("WATCHDOG=1");
}

/* --- start ----------------------------------------------------------------------------------- */

static void raise_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	if (limit.rlim_max < FILES_WANTED) {
		struct rlimit more = { FILES_WANTED, FILES_WANTED };

		if (setrlimit(RLIMIT_NOFILE, &more) == 0)
			return;
	}
	limit.rlim_cur = MIN(limit.rlim_max, (rlim_t)FILES_WANTED);
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_warning(TAG, "the number of open files cannot be raised");
}

static int open_store(struct keeper *k, struct diag *diag)
{
	char path[CONFIG_PATH_MAX + 16], aside[CONFIG_PATH_MAX + 64];
	struct diag why;
	int r;

	snprintf(path, sizeof(path), "%s/policy.db", k->config->state_dir);
	diag_init(&why);
	r = store_open(path, &k->store, &why);
	if (r == ERR_DAMAGED) {
		/* Without a policy everything is refused, and one can be applied: more than a
		 * daemon that does not start. */
		log_error(TAG, "%s", why.n_items ? why.items[0].text : path);
		r = store_set_aside(path, clock_wall_ns() / NS_PER_S, aside, sizeof(aside));
		if (r < 0)
			diag_set(diag, r, "%s: damaged, and it cannot be set aside: %s", path,
			         err_str(r));
		else
			log_error(TAG,
			          "it was set aside as %s and a new one is begun: apply a "
			          "policy, or put a good copy in its place and start again",
			          aside);
		if (r == 0)
			r = store_open(path, &k->store, diag);
	} else if (r < 0) {
		r = store_open(path, &k->store, diag); /* once more, for whom it is to be told */
	}
	diag_fini(&why);
	return r;
}

static int open_fresh(struct keeper *k, struct diag *diag)
{
	int r = state_open(k->config, &k->lock_fd, &k->history_fd, diag);

	if (r == 0)
		r = open_store(k, diag);
	if (r == 0)
		r = listeners_open(&k->config->resolver, NULL, &k->listeners, diag);
	return r == 0 ? shared_init(&k->shared, k->config, diag) : r;
}

static int open_all(struct keeper *k, struct takeover *takeover, struct diag *diag)
{
	char path[CONFIG_PATH_MAX + 16];
	struct edition *none = NULL;
	struct server_access access = { k->config->admin_gid, k->config->analyst_gid };
	int r;

	r = world_check_user(k->config, diag);
	if (r == 0)
		r = world_check_files(k->config, diag);
	if (r == 0)
		r = takeover ? restart_adopt(k, takeover, diag) : open_fresh(k, diag);
	if (r == 0 && takeover)
		r = open_store(k, diag);
	if (r == 0)
		r = ntas_load(&k->ntas, k->store, diag);
	if (r == 0)
		refresh_load(k);
	if (r == 0)
		r = init_children(k);
	if (r == 0)
		r = edition_none(k->config, &none);
	if (r < 0)
		return r;
	k->rollout.children = k->children;
	k->rollout.shared = &k->shared;
	k->rollout.config = k->config;
	k->rollout.firewall = k->config->resolver.firewall != FIREWALL_NONE;
	k->rollout.inherited = k->shared.ledger_found;
	r = rollout_init(&k->rollout, &k->loop, none);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s/control.sock", k->config->run_dir);
	r = server_new(&k->loop, path, &access, takeover ? &takeover->control_fd : NULL,
	               request_handle, k, &k->server, diag);
	return r < 0 ? r : privileges_drop(diag);
}

static int start_signals(struct keeper *k)
{
	static const int numbers[] = { SIGCHLD, SIGHUP, SIGTERM, SIGINT };

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		int r = uv_signal_init(&k->loop, &k->signals[i]);

		k->signals[i].data = k;
		if (r == 0)
			r = uv_signal_start(&k->signals[i], on_signal, numbers[i]);
		if (r < 0)
			return r;
	}
	return ERR_OK;
}

static void report(const struct diag *diag)
{
	for (size_t i = 0; i < diag->n_items; i++)
		log_msg(diag->items[i].severity == DIAG_ERROR ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING,
		        TAG, "%s", diag->items[i].text);
}

/* --- end ------------------------------------------------------------------------------------- */

static void on_left_over(uv_handle_t *handle, void *arg)
{
	(void)arg;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

/* Count the loop's handles down to zero, then free what they used. */
static void close_all(struct keeper *k)
{
	request_dnssec_lost(k);
	server_free(k->server);
	tell_fini(k);
	use_fini(&k->use);
	refresh_stop(k);
	apply_cancel(k->apply);
	compile_cancel(k->explain.compile);
	if (k->rollout.current)
		rollout_fini(&k->rollout);
	for (size_t i = 0; i < ROLE_N; i++) {
		if (k->children[i].ops)
			child_close(&k->children[i]);
	}
	for (int i = 0; i < 1000 && uv_run(&k->loop, UV_RUN_NOWAIT); i++) {
		if (i == 0)
			uv_walk(&k->loop, on_left_over, NULL);
	}
	if (uv_loop_close(&k->loop) < 0)
		log_debug(TAG, "the loop had handles left");
	for (size_t i = 0; i < KEEPER_EDITIONS; i++)
		edition_unref(k->older[i]);
	for (size_t i = 0; i < k->explain.n_words; i++)
		free(k->explain.words[i]);
	listeners_free(k->listeners);
	store_free(k->store);
	if (k->shared.workers || k->shared.pages[0])
		shared_fini(&k->shared);
	if (k->history_fd >= 0)
		close(k->history_fd);
	if (k->lock_fd >= 0)
		close(k->lock_fd);
	diag_fini(&k->warnings);
	config_free(k->config);
}

int keeper_run(struct config *config, struct takeover *takeover, struct diag *warnings)
{
	CLEANUP(takeover_free) struct takeover *from = takeover;
	CLEANUP(free) struct keeper *k = calloc(1, sizeof(*k));
	int r;

	if (!k || uv_loop_init(&k->loop) < 0) {
		config_free(config);
		log_error(TAG, "no memory");
		return 2;
	}
	k->config = config;
	k->names = config_system_names();
	k->lock_fd = k->history_fd = -1;
	k->started_mono_ns = k->pulse_ns = clock_mono_ns();
	k->watchdog_ns = notify_watchdog_ns();
	diag_init(&k->warnings);
	randombytes_buf(k->cookie_secret, sizeof(k->cookie_secret));
	randombytes_buf(k->hash_key, sizeof(k->hash_key));
	raise_files();
	shared_forget(&k->shared);
	r = restart_init(&k->restart);
	if (r == 0)
		r = start_signals(k);
	if (r == 0)
		r = open_all(k, from, warnings);
	report(warnings);
	if (r < 0) {
		if (warnings->n_errors == 0)
			log_error(TAG, "cannot start: %s", err_str(r));
		close_all(k);
		return 2;
	}
	take_warnings(k, warnings);
	uv_timer_init(&k->loop, &k->pulse);
	k->pulse.data = k;
	uv_timer_start(&k->pulse, on_pulse, PULSE_MS, PULSE_MS);
	keeper_audit(k, STORE_UID_NONE, from ? "takeover" : "start", config->file);
	log_info(TAG, "starting, pid %d, %" PRIu32 " workers", (int)getpid(), config->workers);
	child_start(&k->children[ROLE_HISTORIAN]);
	if (k->rollout.firewall)
		child_start(&k->children[ROLE_FWSYNC]);
	load_stored(k);
	start_resolver(k);
	uv_run(&k->loop, UV_RUN_DEFAULT);
	if (k->restart.state == RESTART_DRAINING) {
		restart_exec(k);
		k->exit_status = 2;
	}
	log_info(TAG, "ended");
	close_all(k);
	return k->exit_status;
}
