/* keeper/compile.c - running the compiler. */
#include "compile.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "channel.h"
#include "policy/compiler_wire.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/log.h"
#include "spawn.h"

struct compile {
	uv_timer_t timer;
	struct channel *channel;
	pid_t pid;
	compile_done_cb *done; /* NULL once told or cancelled */
	void *arg;
	int image_fd;
	bool reaped, channel_over, late;
	int status;
	char **lines;
	size_t n_lines, cap_lines;
};

static void on_timer_closed(uv_handle_t *handle)
{
	struct compile *c = handle->data;

	for (size_t i = 0; i < c->n_lines; i++)
		free(c->lines[i]);
	free(c->lines);
	if (c->image_fd >= 0)
		close(c->image_fd);
	free(c);
}

static void release(struct compile *c)
{
	channel_free(c->channel);
	c->channel = NULL;
	uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}

static void keep_line(struct compile *c, const char *text, size_t len)
{
	char *line;

	if (c->n_lines == COMPILE_LINES_MAX)
		return;
	if (c->n_lines == c->cap_lines) {
		size_t cap = c->cap_lines ? c->cap_lines * 2 : 16;
		char **lines = realloc(c->lines, cap * sizeof(*lines));

		if (!lines)
			return;
		c->lines = lines;
		c->cap_lines = cap;
	}
	line = malloc(len + 1);
	if (!line)
		return;
	/* It goes to a terminal in the end, and it comes from the process that reads foreign text.
	 */
	for (size_t i = 0; i < len; i++)
		line[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
	line[len] = '\0';
	c->lines[c->n_lines++] = line;
}

static void on_message(void *arg, struct role_msg *msg)
{
	struct compile *c = arg;

	if (msg->type == ROLE_MSG_READY || msg->type == ROLE_MSG_FAILED) {
		keep_line(c, (const char *)msg->payload, msg->len);
	} else if (msg->type == ROLE_MSG_IMAGE && msg->n_fds == 1 && c->image_fd < 0) {
		c->image_fd = msg->fds[0];
		msg->fds[0] = -1;
	}
}

static void tell_end(struct compile *c)
{
	char text[128];

	if (c->late)
		snprintf(text, sizeof(text),
		         "error: the compiler took longer than %d s and was stopped",
		         COMPILE_TIMEOUT_MS / 1000);
	else if (WIFSIGNALED(c->status))
		snprintf(text, sizeof(text),
		         "error: the compiler died of signal %d: out of memory or "
		         "time (%d s), or a defect",
		         WTERMSIG(c->status), COMPILER_CPU_S);
	else if (c->n_lines == 0)
		snprintf(text, sizeof(text),
		         "error: the compiler ended with status %d and no word: out of memory, or "
		         "see the log",
		         WEXITSTATUS(c->status));
	else
		return;
	keep_line(c, text, strlen(text));
}

/* Both the process and its channel have ended: all it said was read. */
static void finish(struct compile *c)
{
	struct compile_result result = { .image_fd = -1 };
	compile_done_cb *done = c->done;

	if (!c->reaped || !c->channel_over)
		return;
	if (!done) {
		release(c);
		return;
	}
	if (WIFEXITED(c->status) && WEXITSTATUS(c->status) == 0 && c->image_fd >= 0 && !c->late) {
		result.image_fd = c->image_fd;
		c->image_fd = -1;
	} else {
		tell_end(c);
	}
	result.lines = (const char *const *)c->lines;
	result.n_lines = c->n_lines;
	c->done = NULL;
	done(c->arg, &result);
	if (result.image_fd >= 0)
		close(result.image_fd);
	release(c);
}

static void on_channel_closed(void *arg, int why)
{
	struct compile *c = arg;

	if (why != ERR_CLOSED && !c->reaped)
		kill(c->pid, SIGKILL);
	c->channel_over = true;
	finish(c);
}

static const struct channel_ops channel_ops = { on_message, on_channel_closed };

static void on_timer(uv_timer_t *timer)
{
	struct compile *c = timer->data;

	c->late = true;
	if (!c->reaped)
		kill(c->pid, SIGKILL);
}

static int send_all(struct compile *c, const struct config_user *user,
                    const struct compile_text *text)
{
	uint64_t who = user->uid == UINT32_MAX ? 0 : user->uid | (uint64_t)user->gid << 32;
	int r;

	r = channel_send(c->channel, ROLE_MSG_CONFIG, COMPILER_POLICY, 0, text->file,
	                 strlen(text->file), &text->fd, 1);
	for (size_t i = 0; r == 0 && i < text->n_feeds; i++) {
		const struct compile_feed *feed = &text->feeds[i];
		char names[LIMIT_ROLE_MESSAGE / 2];
		int n = snprintf(names, sizeof(names), "%s%c%s", feed->name, '\0', feed->file);

		if (n < 0 || (size_t)n >= sizeof(names))
			return ERR_LIMIT;
		r = channel_send(c->channel, ROLE_MSG_CONFIG, COMPILER_FEED, 0, names, (size_t)n,
		                 &feed->fd, 1);
	}
	if (r == 0)
		r = channel_send(c->channel, ROLE_MSG_END, clock_wall_ns() / NS_PER_S, who, NULL, 0,
		                 NULL, 0);
	return r;
}

int compile_start(uv_loop_t *loop, const struct config_user *user, const struct compile_text *text,
                  compile_done_cb *done, void *arg, struct compile **ret_compile)
{
	struct spawn spawn = { .program = "sallyport-compile", .death_signal = SIGKILL };
	CLEANUP(fd_close) int ours = -1;
	CLEANUP(fd_close) int theirs = -1;
	struct compile *c;
	int r;

	r = spawn_channel(&ours, &theirs);
	if (r < 0)
		return r;
	c = calloc(1, sizeof(*c));
	if (!c)
		return ERR_NOMEM;
	c->image_fd = -1;
	spawn.channel = theirs;
	r = spawn_start(&spawn, &c->pid);
	if (r < 0) {
		free(c);
		return r;
	}
	uv_timer_init(loop, &c->timer);
	c->timer.data = c;
	r = channel_new(loop, fd_take(&ours), &channel_ops, c, &c->channel);
	if (r < 0)
		c->channel_over = true;
	else
		r = send_all(c, user, text);
	if (r < 0)
		kill(c->pid, SIGKILL); /* ends as every run does: reaped, channel closed, told */
	uv_timer_start(&c->timer, on_timer, COMPILE_TIMEOUT_MS, 0);
	c->done = done;
	c->arg = arg;
	*ret_compile = c;
	return ERR_OK;
}

void compile_cancel(struct compile *c)
{
	if (!c)
		return;
	c->done = NULL;
	if (!c->reaped)
		kill(c->pid, SIGKILL);
}

bool compile_reaped(struct compile *c, pid_t pid, int status)
{
	if (!c || c->reaped || c->pid != pid)
		return false;
	c->reaped = true;
	c->status = status;
	finish(c);
	return true;
}
