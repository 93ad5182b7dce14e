#include "verify.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "channel.h"
#include "rights.h"
#include "sallyport/err.h"
#include "spawn.h"

struct verify {
	uv_timer_t timer;
	struct channel *channel;
	pid_t pid;
	verify_done_cb *done; /* NULL once told or cancelled */
	void *arg;
	struct upkeep_seen seen;
	bool answered, malformed, reaped, channel_over;
	int status;
};

static void on_timer_closed(uv_handle_t *handle)
{
	free(handle->data);
}

/* Both the process and its channel have ended: all it said was read. */
static void finish(struct verify *v)
{
	verify_done_cb *done = v->done;
	bool good =
	    v->answered && !v->malformed && WIFEXITED(v->status) && WEXITSTATUS(v->status) == 0;

	if (!v->reaped || !v->channel_over)
		return;
	v->done = NULL;
	if (done)
		done(v->arg, good ? &v->seen : NULL);
	channel_free(v->channel);
	uv_close((uv_handle_t *)&v->timer, on_timer_closed);
}

/* Its words are as foreign as what it has read: every length and range is looked at. */
static bool take_key(struct upkeep_seen *seen, const struct role_msg *msg)
{
	struct keys_seen *key = &seen->keys[seen->n_keys];

	if (msg->len != sizeof(*key) || seen->n_keys == KEYS_SEEN_MAX)
		return false;
	memcpy(key, msg->payload, sizeof(*key));
	if (key->id.len < 5 || key->id.len > sizeof(key->id.rdata))
		return false;
	seen->n_keys++;
	return true;
}

static void on_message(void *arg, struct role_msg *msg)
{
	struct verify *v = arg;

	if (msg->type == ROLE_MSG_SEEN && !v->answered) {
		v->malformed |= !take_key(&v->seen, msg);
	} else if (msg->type == ROLE_MSG_READY && !v->answered) {
		v->answered = true;
		v->seen.reached = (msg->a & 1) != 0;
		v->seen.verified = (msg->a & 2) != 0;
		v->seen.ttl_s = (uint32_t)(msg->b >> 32);
		v->seen.expires_in_s = (uint32_t)msg->b;
	} else {
		v->malformed = true;
	}
}

static void on_channel_closed(void *arg, int why)
{
	struct verify *v = arg;

	if (why != ERR_CLOSED && !v->reaped)
		kill(v->pid, SIGKILL);
	v->channel_over = true;
	finish(v);
}

static const struct channel_ops channel_ops = { on_message, on_channel_closed };

static void on_timer(uv_timer_t *timer)
{
	struct verify *v = timer->data;

	if (!v->reaped)
		kill(v->pid, SIGKILL);
}

static int send_all(struct verify *v, const struct verify_spec *spec)
{
	const struct config_user *user = spec->user;
	uint64_t who = user->uid == UINT32_MAX ? 0 : user->uid | (uint64_t)user->gid << 32;
	int r = ERR_OK;

	for (size_t i = 0; i < spec->n_trusted && r == ERR_OK; i++)
		r = channel_send(v->channel, ROLE_MSG_ANCHOR, 0, 0, &spec->trusted[i],
		                 sizeof(spec->trusted[i]), NULL, 0);
	for (size_t i = 0; i < spec->n_configured && r == ERR_OK; i++)
		r = channel_send(v->channel, ROLE_MSG_ANCHOR, 1, 0, &spec->configured[i],
		                 sizeof(spec->configured[i]), NULL, 0);
	if (r == ERR_OK)
		r = channel_send(v->channel, ROLE_MSG_KEYS, spec->sha1, 0, spec->keys,
		                 spec->keys_len, NULL, 0);
	if (r == ERR_OK)
		r = channel_send(v->channel, ROLE_MSG_END, spec->now_s, who, NULL, 0, NULL, 0);
	return r;
}

int verify_start(const struct verify_spec *spec, verify_done_cb *done, void *arg,
                 struct verify **ret_verify)
{
	struct spawn spawn = { .program = "sallyport-anchor", .death_signal = SIGKILL };
	CLEANUP(fd_close) int ours = -1;
	CLEANUP(fd_close) int theirs = -1;
	struct verify *v;
	int r = spawn_channel(&ours, &theirs);

	if (r < 0)
		return r;
	v = calloc(1, sizeof(*v));
	if (!v)
		return ERR_NOMEM;
	(void)rights_set(ours, RIGHTS_REFUSED); /* it has none to send */
	v->seen.now_s = spec->now_s;
	spawn.channel = theirs;
	r = spawn_start(&spawn, &v->pid);
	if (r < 0) {
		free(v);
		return r;
	}
	uv_timer_init(spec->loop, &v->timer);
	v->timer.data = v;
	r = channel_new(spec->loop, fd_take(&ours), &channel_ops, v, &v->channel);
	if (r < 0)
		v->channel_over = true;
	else
		r = send_all(v, spec);
	if (r < 0)
		kill(v->pid, SIGKILL); /* ends as every run does: reaped, channel closed, told */
	uv_timer_start(&v->timer, on_timer, VERIFY_TIMEOUT_MS, 0);
	v->done = done;
	v->arg = arg;
	*ret_verify = v;
	return ERR_OK;
}

bool verify_cancel(struct verify *v)
{
	v->done = NULL;
	if (!v->reaped)
		kill(v->pid, SIGKILL);
	return !v->reaped;
}

bool verify_reaped(struct verify *v, pid_t pid, int status)
{
	if (!v || v->reaped || v->pid != pid)
		return false;
	v->reaped = true;
	v->status = status;
	finish(v);
	return true;
}
