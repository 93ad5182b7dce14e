/* keeper/child.c - one role as a process. */
#include "child.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "rights.h"
#include "sallyport/log.h"
#include "spawn.h"

#define TAG "role"
#define BACKOFF_FIRST_MS 1000
#define STEADY_MS 30000 /* alive so long: the deaths before are forgotten */

const char *child_state_str(enum child_state state)
{
	static const char *const texts[] = {
		[CHILD_DOWN] = "down",         [CHILD_STARTING] = "starting",
		[CHILD_RUNNING] = "running",   [CHILD_BACKOFF] = "back-off",
		[CHILD_DRAINING] = "draining",
	};

	return texts[state];
}

static void on_timer(uv_timer_t *timer);

/* The only place that assigns child->state. */
static void enter(struct child *c, enum child_state next, uint32_t delay_ms)
{
	log_debug(TAG, "%s: %s -> %s", role_str(c->role), child_state_str(c->state),
	          child_state_str(next));
	c->state = next;
	c->since_wall_ns = clock_wall_ns();
	switch (next) {
	case CHILD_DOWN:
	case CHILD_RUNNING:
		uv_timer_stop(&c->timer);
		break;
	case CHILD_STARTING:
	case CHILD_BACKOFF:
	case CHILD_DRAINING:
		uv_timer_start(&c->timer, on_timer, delay_ms, 0);
		break;
	}
}

int child_init(struct child *c, uv_loop_t *loop)
{
	c->loop = loop;
	c->state = CHILD_DOWN;
	c->timer.data = c;
	return uv_timer_init(loop, &c->timer);
}

static void kill_process(struct child *c)
{
	if (c->pid > 0)
		kill(c->pid, SIGKILL);
}

static void on_message(void *arg, struct role_msg *msg)
{
	struct child *c = arg;

	if (msg->type == ROLE_MSG_FAILED) {
		char text[512];
		size_t len = MIN(msg->len, sizeof(text) - 1);

		memcpy(text, msg->payload, len);
		text[len] = '\0';
		if (!c->failed) /* once: a role's words may not drown other roles' in the log */
			log_error(TAG, "%s: %s", role_str(c->role), text);
		c->failed = true;
		return;
	}
	if (msg->type == ROLE_MSG_READY) {
		if (c->state != CHILD_STARTING)
			return; /* after a reload */
		c->ready_ns = clock_mono_ns();
		enter(c, CHILD_RUNNING, 0);
		log_info(TAG, "%s is ready, pid %d", role_str(c->role), (int)c->pid);
		c->ops->ready(c->owner, c);
		return;
	}
	c->ops->message(c->owner, c, msg);
}

/* The process ends right after its channel, or it is useless: its death is told by waitpid(). */
static void on_channel_closed(void *arg, int why)
{
	struct child *c = arg;

	if (why != ERR_CLOSED)
		log_error(TAG, "%s: channel: %s", role_str(c->role), err_str(why));
	if (c->state != CHILD_DRAINING)
		kill_process(c);
}

static const struct channel_ops channel_ops = { on_message, on_channel_closed };

static void wipe_heartbeats(struct child *c)
{
	for (size_t i = 0; c->stats && i < STATS_LANES; i++)
		atomic_store(&c->stats->lanes[i].heartbeat_ns, 0);
}

static int start_process(struct child *c)
{
	struct spawn spawn = { .program = c->program, .death_signal = c->death_signal };
	CLEANUP(fd_close) int ours = -1;
	CLEANUP(fd_close) int theirs = -1;
	int r;

	r = spawn_channel(&ours, &theirs);
	if (r < 0)
		return r;
	(void)rights_set(ours, RIGHTS_REFUSED); /* no role has any to send; see there */
	spawn.channel = theirs;
	c->failed = false;
	wipe_heartbeats(c);
	r = spawn_start(&spawn, &c->pid);
	if (r < 0)
		return r;
	c->started_ns = clock_mono_ns();
	r = channel_new(c->loop, fd_take(&ours), &channel_ops, c, &c->channel);
	if (r == 0)
		r = c->ops->configure(c->owner, c);
	if (r < 0)
		kill_process(c); /* goes the way of every death */
	return r;
}

/* Wait before the next start? Zero: at once. */
static uint32_t next_delay_ms(struct child *c)
{
	uint64_t now = clock_mono_ns();

	if (now - c->started_ns > STEADY_MS * NS_PER_MS)
		c->backoff_ms = 0;
	memmove(c->deaths_ns + 1, c->deaths_ns, sizeof(c->deaths_ns) - sizeof(c->deaths_ns[0]));
	c->deaths_ns[0] = now;
	c->n_deaths = MIN(c->n_deaths + 1, (unsigned int)LIMIT_ROLE_DEATHS);
	if (c->backoff_ms == 0 &&
	    (c->n_deaths < LIMIT_ROLE_DEATHS ||
	     now - c->deaths_ns[LIMIT_ROLE_DEATHS - 1] > LIMIT_ROLE_DEATHS_MS * NS_PER_MS))
		return 0;
	c->backoff_ms = c->backoff_ms ? MIN(c->backoff_ms * 2, (uint32_t)CHILD_BACKOFF_MAX_MS)
	                              : (uint32_t)BACKOFF_FIRST_MS;
	return c->backoff_ms;
}

void child_start(struct child *c)
{
	int r;

	enter(c, CHILD_STARTING, CHILD_READY_MS);
	r = start_process(c);
	if (r == 0)
		return;
	log_error(TAG, "%s cannot be started: %s: %s", role_str(c->role), c->program, err_str(r));
	if (c->pid == 0) { /* there will be no death to wait for */
		c->started_ns = clock_mono_ns();
		enter(c, CHILD_BACKOFF, MAX(next_delay_ms(c), (uint32_t)BACKOFF_FIRST_MS));
	}
}

static void on_timer(uv_timer_t *timer)
{
	struct child *c = timer->data;

	switch (c->state) {
	case CHILD_BACKOFF:
		child_start(c);
		break;
	case CHILD_STARTING:
		log_error(TAG, "%s is not ready after %d s", role_str(c->role),
		          CHILD_READY_MS / 1000);
		kill_process(c);
		break;
	case CHILD_DRAINING:
		log_warning(TAG, "%s has not drained in time", role_str(c->role));
		kill_process(c);
		break;
	case CHILD_DOWN:
	case CHILD_RUNNING:
		break;
	}
}

static void tell_death(const struct child *c, int status)
{
	if (WIFSIGNALED(status))
		log_error(TAG, "%s died, pid %d, signal %d", role_str(c->role), (int)c->pid,
		          WTERMSIG(status));
	else if (c->state != CHILD_DRAINING || WEXITSTATUS(status) != 0)
		log_error(TAG, "%s ended, pid %d, status %d", role_str(c->role), (int)c->pid,
		          WEXITSTATUS(status));
	else
		log_info(TAG, "%s has drained", role_str(c->role));
}

bool child_reaped(struct child *c, pid_t pid, int status)
{
	enum child_state was = c->state;
	uint32_t delay_ms;

	if (c->pid != pid || pid == 0)
		return false;
	tell_death(c, status);
	c->pid = 0;
	channel_free(c->channel);
	c->channel = NULL;
	if (was == CHILD_DRAINING || was == CHILD_DOWN) {
		enter(c, CHILD_DOWN, 0);
		c->ops->down(c->owner, c);
		return true;
	}
	delay_ms = next_delay_ms(c);
	c->restarts++;
	if (delay_ms)
		log_error(TAG, "%s keeps dying; the next start waits %" PRIu32 " ms",
		          role_str(c->role), delay_ms);
	enter(c, CHILD_BACKOFF, delay_ms); /* 0: in the next turn of the loop */
	c->ops->down(c->owner, c);
	return true;
}

void child_drain(struct child *c, uint32_t timeout_ms)
{
	if (c->pid == 0) {
		enter(c, CHILD_DOWN, 0);
		c->ops->down(c->owner, c);
		return;
	}
	enter(c, CHILD_DRAINING, timeout_ms);
	if (child_send(c, ROLE_MSG_DRAIN, 0, 0, NULL, 0, NULL, 0) < 0)
		kill_process(c);
}

void child_stop(struct child *c)
{
	enter(c, CHILD_DOWN, 0);
	kill_process(c);
}

void child_close(struct child *c)
{
	kill_process(c);
	channel_free(c->channel);
	c->channel = NULL;
	uv_close((uv_handle_t *)&c->timer, NULL);
}

void child_check_pulse(struct child *c, uint64_t now_ns)
{
	if (c->state != CHILD_RUNNING || !c->stats)
		return;
	for (size_t i = 0; i < STATS_LANES; i++) {
		uint64_t beat = atomic_load(&c->stats->lanes[i].heartbeat_ns);

		if (i > 0 && beat == 0)
			continue; /* not in use */
		/* READY is a sign of life, too, however long it took. */
		beat = MAX(beat, c->ready_ns);
		if (beat > now_ns + LIMIT_ROLE_BUSY_MS * NS_PER_MS)
			beat = c->ready_ns; /* nobody may excuse himself for ever */
		if (now_ns <= beat || now_ns - beat <= LIMIT_ROLE_HUNG_MS * NS_PER_MS)
			continue;
		log_error(TAG, "%s hangs: no heartbeat of thread %zu for %d ms; it is replaced",
		          role_str(c->role), i, LIMIT_ROLE_HUNG_MS);
		kill_process(c);
		return;
	}
}

int child_send(struct child *c, enum role_msg_type type, uint64_t a, uint64_t b,
               const void *payload, size_t len, const int *fds, size_t n_fds)
{
	if (!c->channel)
		return ERR_CLOSED;
	return channel_send(c->channel, type, a, b, payload, len, fds, n_fds);
}
