/* tests/fuzz/keeper/keeper_role.c - whatever a process that has been taken over says to the keeper.
 *
 * The first octet says which: a role, the compiler, or the verifier of trust anchors. The rest comes
 * through a real channel on a real loop, as tests/fuzz/role_records.h tells.
 */
#include <assert.h>
#include <uv.h>

#include "../role_records.h"
#include "channel.h"
#include "explained.h"
#include "hear.h"
#include "sallyport/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void say_nothing(enum log_level level, const char *tag, const char *format, ...);

enum speaker { SPEAKER_ROLE, SPEAKER_COMPILER, SPEAKER_VERIFIER, SPEAKER_N };

struct world {
	enum speaker speaker;
	struct child child;
	struct compile *compile;
	struct verify *verify;
	bool closed;
};

void say_nothing(enum log_level level, const char *tag, const char *format, ...)
{
	(void)level;
	(void)tag;
	(void)format;
}

static void on_ready(void *owner, struct child *child)
{
	(void)owner;
	assert(child->state == CHILD_RUNNING);
}

static void on_role_message(void *owner, struct child *child, struct role_msg *msg)
{
	struct explain_row end;
	json_t *object;

	(void)owner;
	(void)child;
	if (msg->type != ROLE_MSG_EXPLAINED)
		return; /* numbers: tests/e2e/test_hostile_keeper.py */
	object = explained_json(msg->payload, msg->len, &end);
	json_decref(object); /* NULL is fine */
}

static const struct child_ops child_ops = { .ready = on_ready, .message = on_role_message };

static void on_message(void *arg, struct role_msg *msg)
{
	struct world *world = arg;

	assert(msg->n_fds <= ROLE_FDS_MAX && msg->len <= LIMIT_ROLE_MESSAGE);
	for (size_t i = 0; i < ROLE_FDS_MAX; i++)
		assert((msg->fds[i] >= 0) == (i < msg->n_fds));
	switch (world->speaker) {
	case SPEAKER_ROLE:
		hear_child(&world->child, msg);
		break;
	case SPEAKER_COMPILER:
		hear_compile(world->compile, msg);
		break;
	case SPEAKER_VERIFIER:
	case SPEAKER_N:
		hear_verify(world->verify, msg);
		break;
	}
}

static void on_closed(void *arg, int why)
{
	struct world *world = arg;

	(void)why;
	assert(!world->closed);
	world->closed = true;
}

static const struct channel_ops ops = { on_message, on_closed };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t sizes[8] = { [3] = 4096 };
	static uv_loop_t loop;
	static bool has_loop;
	struct world world = { .child = { .role = ROLE_RESOLVER, .ops = &child_ops } };
	struct channel *channel;
	struct record record;
	unsigned int n_open;
	int pair[2];

	if (size == 0)
		return 0;
	if (!has_loop && uv_loop_init(&loop) < 0)
		abort();
	has_loop = true;
	n_open = record_open_fds();
	world.speaker = (enum speaker)(data[0] % SPEAKER_N);
	world.compile = hear_compile_new();
	world.verify = hear_verify_new();
	if (child_init(&world.child, &loop) < 0)
		abort();
	world.child.state = data[0] & 0x80 ? CHILD_RUNNING : CHILD_STARTING;
	data++;
	size--;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0 ||
	    channel_new(&loop, pair[0], &ops, &world, &channel) < 0)
		abort();
	while (!world.closed && record_next(&data, &size, &record)) {
		if (!record_send(pair[1], &record, sizes)) {
			uv_run(&loop, UV_RUN_NOWAIT);
			(void)record_send(pair[1], &record, sizes);
		}
	}
	close(pair[1]);
	while (!world.closed)
		uv_run(&loop, UV_RUN_ONCE);
	channel_free(channel);
	uv_close((uv_handle_t *)&world.child.timer, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	hear_compile_end(world.compile);
	hear_verify_end(world.verify);
	assert(record_open_fds() == n_open);
	return 0;
}
