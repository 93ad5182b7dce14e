/* keeper/child.h - one role as a process: started, watched, replaced.
 *
 *   DOWN --child_start()--> STARTING --READY--> RUNNING --died, hung--> DOWN or BACKOFF
 *                              '----died-------------------------------'
 *   BACKOFF --delay over--> STARTING          RUNNING --child_drain()--> DRAINING --exit--> DOWN
 *
 * A role that dies is started again at once; after LIMIT_ROLE_DEATHS deaths within
 * LIMIT_ROLE_DEATHS_MS each start waits twice as long as the one before, up to half a minute. A
 * lane of the role's stats page without a heartbeat for LIMIT_ROLE_HUNG_MS is a death, too.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "channel.h"
#include "sallyport/cleanup.h"
#include "sallyport/counter.h"
#include "sallyport/limits.h"
#include "sallyport/role.h"

enum child_state { CHILD_DOWN = 0, CHILD_STARTING, CHILD_RUNNING, CHILD_BACKOFF, CHILD_DRAINING };
const char *child_state_str(enum child_state state);

struct child;
struct child_ops {
	/* Send CONFIG ... END for a fresh process. An error ends the attempt. */
	int (*configure)(void *owner, struct child *child);
	void (*ready)(void *owner, struct child *child);
	void (*message)(void *owner, struct child *child, struct role_msg *msg);
	void (*down)(void *owner, struct child *child); /* it has died; state is already new */
};

struct child {
	enum role role;
	const char *program;
	int death_signal;
	uv_loop_t *loop;
	const struct child_ops *ops;
	void *owner;
	struct stats_page *stats; /* borrowed, writable: old heartbeats are wiped at a start */

	enum child_state state;
	pid_t pid; /* 0: none */
	struct channel *channel;
	uv_timer_t timer; /* of the back-off, and of a start or drain that takes too long */
	uint64_t started_ns, ready_ns;
	uint64_t since_wall_ns; /* in this state */
	uint32_t restarts;
	bool failed;                           /* it has said why it gives up */
	uint64_t deaths_ns[LIMIT_ROLE_DEATHS]; /* newest first */
	unsigned int n_deaths;
	uint32_t backoff_ms;
};

#define CHILD_READY_MS 20000 /* from fork to READY; longer: killed */
#define CHILD_BACKOFF_MAX_MS 30000

/* @child is the caller's storage; role, program, death_signal, ops, owner and stats are set. */
int child_init(struct child *child, uv_loop_t *loop) MUST_CHECK;
void child_start(struct child *child);
/* Ask it to drain; @timeout_ms later it is killed. ops->down comes in any case. */
void child_drain(struct child *child, uint32_t timeout_ms);
/* Kill it now, and do not start it again. */
void child_stop(struct child *child);
/* Close what the loop holds. The process must be gone or is killed. */
void child_close(struct child *child);

/* The process @pid has ended with @status (of waitpid): true when it was this child's. */
bool child_reaped(struct child *child, pid_t pid, int status);
/* Look at the heartbeats; call it twice a second. */
void child_check_pulse(struct child *child, uint64_t now_ns);
/* Send when there is somebody; ERR_CLOSED otherwise. */
int child_send(struct child *child, enum role_msg_type type, uint64_t a, uint64_t b,
               const void *payload, size_t len, const int *fds, size_t n_fds);
