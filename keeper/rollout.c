/* keeper/rollout.c - bringing a policy version into force. */
#include "rollout.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "policy/judge.h"
#include "revoke.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/log.h"

#define TAG "policy"
#define TICK_MS 50
#define CLOSE_ROWS_A_MESSAGE 2048
#define EXPIRY_LOOK_MS 10000 /* the wall clock may be set: look at least so often */

static void on_tick(uv_timer_t *timer)
{
	rollout_advance(timer->data);
}

/* --- what each role has ---------------------------------------------------------------------- */

static bool running(const struct rollout *ro, enum role role)
{
	return ro->children[role].state == CHILD_RUNNING;
}

static void keep_catalog(struct rollout *ro, const struct edition *e)
{
	int fd;

	/* An earlier keeper's, whose records are about. */
	if (ro->n_catalogs > 0 && ro->catalogs[ro->n_catalogs - 1].version == e->version)
		return;
	fd = fcntl(e->catalog_fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return;
	if (ro->n_catalogs == ROLLOUT_CATALOGS) {
		close(ro->catalogs[0].fd);
		memmove(ro->catalogs, ro->catalogs + 1,
		        sizeof(ro->catalogs) - sizeof(ro->catalogs[0]));
		ro->n_catalogs--;
	}
	ro->catalogs[ro->n_catalogs++] = (struct rollout_catalog){ e->version, fd };
}

void rollout_send_catalogs(struct rollout *ro)
{
	for (size_t i = 0; i < ro->n_catalogs; i++) {
		const struct rollout_catalog *catalog = &ro->catalogs[i];

		if (catalog->version <= ro->catalog_sent)
			continue;
		if (child_send(&ro->children[ROLE_HISTORIAN], ROLE_MSG_CATALOG, catalog->version, 0,
		               NULL, 0, &catalog->fd, 1) < 0)
			return;
		ro->catalog_sent = catalog->version;
	}
}

static bool catalog_ready(const struct rollout *ro, uint64_t now_ns)
{
	enum child_state state = ro->children[ROLE_HISTORIAN].state;

	if (ro->catalog_applied >= ro->current->version)
		return true;
	if (ro->current->version == ro->stored_version)
		return true; /* it has had the names in an earlier run */
	if (state != CHILD_RUNNING && state != CHILD_STARTING)
		return true; /* it gets the catalog before anything else when it is back */
	return now_ns - ro->began_ns > ROLLOUT_CATALOG_MS * NS_PER_MS;
}

static bool guard_ready(const struct rollout *ro)
{
	return !ro->firewall || ro->parts[ROLE_FWSYNC].applied;
}

/* --- closing --------------------------------------------------------------------------------- */

static void send_rows(struct rollout *ro, const struct role_close_row *rows, size_t n)
{
	struct child *fwsync = &ro->children[ROLE_FWSYNC];
	size_t sent = 0;

	do {
		size_t part = MIN(n - sent, (size_t)CLOSE_ROWS_A_MESSAGE);
		bool last = sent + part == n;

		if (child_send(fwsync, ROLE_MSG_CLOSE, ro->current->version,
		               last ? ROLE_CLOSE_LAST : 0U, rows + sent, part * sizeof(*rows), NULL,
		               0) < 0)
			return; /* its death is on the way, and a successor is sent all again */
		sent += part;
	} while (sent < n);
	ro->lists++;
}

/* What the version in force has judged itself need not be judged again, unless a rule of it has
 * expired, the configuration is another, or it was in force in an earlier run, who knows how. */
static size_t judge_ledger(struct rollout *ro, struct role_close_row **ret_rows)
{
	const struct edition *e = ro->current;
	uint64_t now_s = clock_wall_ns() / NS_PER_S;
	size_t n = 0;

	if (revoke_list(&ro->shared->ledger, e->image.data ? &e->image : NULL,
	                &ro->config->resolver, now_s,
	                ro->same_version || ro->inherited ? 0 : e->version, ret_rows, &n) < 0) {
		log_error(TAG, "no memory to judge the ledger");
		return SIZE_MAX;
	}
	ro->judged_s = now_s;
	return n;
}

static void close_revoked(struct rollout *ro)
{
	CLEANUP(free) struct role_close_row *rows = NULL;
	uint64_t began = clock_mono_ns();
	size_t n = judge_ledger(ro, &rows);

	if (n == SIZE_MAX)
		return; /* again at the next tick */
	log_debug(TAG,
	          "version %" PRIu32 ": %zu rows of the ledger to close, judged in %" PRIu64 " us",
	          ro->current->version, n, (clock_mono_ns() - began) / 1000);
	send_rows(ro, rows, n);
	ro->close_sent = true;
}

static void sweep(struct rollout *ro)
{
	CLEANUP(free) struct role_close_row *rows = NULL;
	size_t n = judge_ledger(ro, &rows);

	if (n == SIZE_MAX)
		return;
	if (n > 0) {
		log_info(TAG, "version %" PRIu32 ": %zu more rows of the ledger are closed",
		         ro->current->version, n);
		send_rows(ro, rows, n);
	}
	ro->swept = true;
}

/* The next moment at which a rule expires that the ledger has not been judged after. */
static uint64_t next_expiry_s(const struct rollout *ro)
{
	const struct edition *e = ro->current;

	return ro->firewall && ro->closed && e->image.data
	           ? policy_next_expiry(&e->image, ro->judged_s)
	           : UINT64_MAX;
}

/* A rule that expires takes its pinholes along. One look will do: what was judged just before is
 * with the kernel by the time of it. */
static void watch_expiry(struct rollout *ro, uint64_t now_ns)
{
	if (!ro->swept || next_expiry_s(ro) > clock_wall_ns() / NS_PER_S)
		return;
	ro->closed_ns = now_ns;
	ro->swept = false;
	ro->same_version = true;
}

/* Tick while something is to be waited for, then sleep until the next rule expires. */
static void set_timer(struct rollout *ro, bool is_settled)
{
	uint64_t expiry_s = next_expiry_s(ro), wall_ns = clock_wall_ns(), delay_ms = TICK_MS;

	if (is_settled && expiry_s == UINT64_MAX) {
		uv_timer_stop(&ro->timer);
		return;
	}
	if (is_settled) {
		delay_ms = EXPIRY_LOOK_MS;
		if (expiry_s <= wall_ns / NS_PER_S + EXPIRY_LOOK_MS / 1000)
			delay_ms = expiry_s * NS_PER_S > wall_ns
			               ? (expiry_s * NS_PER_S - wall_ns) / NS_PER_MS + 1
			               : 1;
	} else if (uv_is_active((uv_handle_t *)&ro->timer) &&
	           uv_timer_get_due_in(&ro->timer) <= TICK_MS) {
		return;
	}
	uv_timer_start(&ro->timer, on_tick, delay_ms, TICK_MS);
}

/* --- the steps ------------------------------------------------------------------------------- */

static void hand_out(struct rollout *ro, enum role role, enum role_msg_type type, int fd)
{
	if (child_send(&ro->children[role], type, ro->current->version, 0, NULL, 0, &fd, 1) == 0)
		ro->parts[role].sent = true;
}

bool rollout_in_force(const struct rollout *ro)
{
	if (ro->current->version == 0)
		return false;
	return guard_ready(ro) && ro->parts[ROLE_RESOLVER].applied && (!ro->firewall || ro->closed);
}

const char *rollout_missing(const struct rollout *ro)
{
	if (!guard_ready(ro))
		return "fwsync has not confirmed the guard table";
	if (!ro->parts[ROLE_RESOLVER].applied)
		return "the resolver has not switched";
	if (ro->firewall && !ro->closed)
		return "fwsync has not closed what was revoked";
	return "nothing";
}

static void tell_waiters(struct rollout *ro, uint64_t now_ns)
{
	bool in_force = rollout_in_force(ro);

	for (size_t i = 0; i < ROLLOUT_WAITERS; i++) {
		struct rollout_waiter w = ro->waiters[i];
		int result = ERR_AGAIN;

		if (!w.done)
			continue;
		if (w.version < ro->current->version)
			result = ERR_STALE;
		else if (in_force && w.version == ro->current->version)
			result = ERR_OK;
		else if (now_ns >= w.deadline_ns)
			result = ERR_TIMEOUT;
		if (result == ERR_AGAIN)
			continue;
		ro->waiters[i].done = NULL;
		w.done(w.arg, w.version, result);
	}
}

static bool settled(const struct rollout *ro)
{
	for (size_t i = 0; i < ROLLOUT_WAITERS; i++) {
		if (ro->waiters[i].done)
			return false;
	}
	if (ro->current->version == 0)
		return guard_ready(ro) && !(ro->no_policy && ro->inherited);
	return rollout_in_force(ro) && (!ro->firewall || ro->swept) &&
	       (ro->catalog_applied >= ro->current->version || !running(ro, ROLE_HISTORIAN));
}

void rollout_advance(struct rollout *ro)
{
	const struct edition *e = ro->current;
	uint64_t now = clock_mono_ns();

	if (running(ro, ROLE_HISTORIAN))
		rollout_send_catalogs(ro);
	if (ro->firewall && running(ro, ROLE_FWSYNC) && !ro->parts[ROLE_FWSYNC].sent &&
	    catalog_ready(ro, now))
		hand_out(ro, ROLE_FWSYNC, ROLE_MSG_GUARD, e->guard_fd);
	if (e->version && guard_ready(ro) && catalog_ready(ro, now) && running(ro, ROLE_RESOLVER) &&
	    !ro->parts[ROLE_RESOLVER].sent)
		hand_out(ro, ROLE_RESOLVER, ROLE_MSG_IMAGE, e->image_fd);
	if (ro->firewall && guard_ready(ro) && !ro->close_sent && e->version == 0 &&
	    ro->no_policy && ro->inherited && running(ro, ROLE_FWSYNC))
		close_revoked(ro);
	if (ro->firewall && e->version && guard_ready(ro) && !ro->close_sent &&
	    (ro->parts[ROLE_RESOLVER].applied ||
	     now - ro->guarded_ns > ROLLOUT_CLOSE_MS * NS_PER_MS))
		close_revoked(ro);
	watch_expiry(ro, now);
	if (e->version && ro->closed && !ro->swept &&
	    now - ro->closed_ns > ROLLOUT_SWEEP_MS * NS_PER_MS)
		sweep(ro);
	tell_waiters(ro, now);
	set_timer(ro, settled(ro));
}

/* --- events ---------------------------------------------------------------------------------- */

void rollout_child_down(struct rollout *ro, enum role role)
{
	ro->parts[role] = (struct rollout_part){ 0 };
	if (role == ROLE_HISTORIAN)
		ro->catalog_sent = ro->catalog_applied = 0;
	if (role == ROLE_FWSYNC) {
		/* Its successor may have adopted rows that this one was told to close. */
		ro->close_sent = ro->closed = ro->swept = false;
		ro->lists = 0;
		ro->guarded_ns = 0;
	}
	rollout_advance(ro);
}

void rollout_message(struct rollout *ro, enum role role, const struct role_msg *msg)
{
	bool ours = msg->a == ro->current->version;
	uint64_t now = clock_mono_ns();

	if (msg->type == ROLE_MSG_APPLIED && role == ROLE_HISTORIAN)
		ro->catalog_applied = MAX(ro->catalog_applied, (uint32_t)msg->a);
	if (msg->type == ROLE_MSG_APPLIED && ours) {
		bool first = !ro->parts[role].applied;

		ro->parts[role].applied = true;
		if (role == ROLE_FWSYNC && ro->guarded_ns == 0)
			ro->guarded_ns = now;
		if (role == ROLE_RESOLVER && first)
			log_info(TAG,
			         "version %" PRIu32 " is in force in the resolver, %" PRIu64
			         " ms after it was made",
			         ro->current->version, (now - ro->began_ns) / NS_PER_MS);
	}
	if (msg->type == ROLE_MSG_CLOSED && role == ROLE_FWSYNC && ours && ro->lists > 0) {
		ro->lists--;
		if (!ro->closed)
			ro->closed_ns = now;
		ro->closed = true;
		ro->inherited = false;
		ro->n_closed += msg->b;
		if (msg->b)
			log_info(TAG, "version %" PRIu32 ": %" PRIu64 " pinholes closed",
			         ro->current->version, msg->b);
	}
	rollout_advance(ro);
}

int rollout_init(struct rollout *ro, uv_loop_t *loop, struct edition *first)
{
	int r = uv_timer_init(loop, &ro->timer);

	ro->timer.data = ro;
	ro->current = first;
	ro->began_ns = clock_mono_ns();
	return r;
}

void rollout_fini(struct rollout *ro)
{
	for (size_t i = 0; i < ROLLOUT_WAITERS; i++) {
		struct rollout_waiter w = ro->waiters[i];

		ro->waiters[i].done = NULL;
		if (w.done)
			w.done(w.arg, w.version, ERR_CLOSED);
	}
	for (size_t i = 0; i < ro->n_catalogs; i++)
		close(ro->catalogs[i].fd);
	ro->n_catalogs = 0;
	edition_unref(ro->current);
	ro->current = NULL;
	uv_close((uv_handle_t *)&ro->timer, NULL);
}

void rollout_begin(struct rollout *ro, struct edition *edition)
{
	edition_unref(ro->current);
	ro->current = edition;
	ro->began_ns = clock_mono_ns();
	ro->guarded_ns = 0;
	memset(ro->parts, 0, sizeof(ro->parts));
	ro->close_sent = ro->closed = ro->swept = ro->same_version = false;
	ro->lists = 0;
	ro->n_closed = 0;
	keep_catalog(ro, edition);
	rollout_advance(ro);
}

void rollout_no_policy(struct rollout *ro)
{
	if (ro->current->version)
		return;
	ro->no_policy = true;
	rollout_advance(ro);
}

void rollout_guard_changed(struct rollout *ro)
{
	ro->parts[ROLE_FWSYNC] = (struct rollout_part){ 0 };
	ro->guarded_ns = 0;
	/* Zones may be internal now that were not, or the other way. */
	ro->close_sent = ro->closed = ro->swept = false;
	ro->same_version = true;
	rollout_advance(ro);
}

int rollout_wait(struct rollout *ro, uint32_t version, uint32_t timeout_ms, rollout_done_cb *done,
                 void *arg)
{
	for (size_t i = 0; i < ROLLOUT_WAITERS; i++) {
		if (ro->waiters[i].done)
			continue;
		ro->waiters[i] =
		    (struct rollout_waiter){ done, arg, version,
			                     clock_mono_ns() + timeout_ms * NS_PER_MS };
		uv_timer_start(&ro->timer, on_tick, 0, TICK_MS);
		return ERR_OK;
	}
	return ERR_LIMIT;
}

void rollout_forget(struct rollout *ro, const void *arg)
{
	for (size_t i = 0; i < ROLLOUT_WAITERS; i++) {
		if (ro->waiters[i].arg == arg)
			ro->waiters[i].done = NULL;
	}
}
