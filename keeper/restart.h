/* keeper/restart.h - `sallyport restart`: the steps of a takeover (takeover.h) in the keeper's
 * loop.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sallyport/cleanup.h"
#include "sallyport/diag.h"
#include "server.h"
#include "takeover.h"

struct keeper;

enum restart_state {
	RESTART_NO = 0,
	RESTART_CHECKING, /* the new program looks at what it would get */
	RESTART_DRAINING, /* roles end; then exec */
};
struct restart {
	enum restart_state state;
	char program[4096]; /* our own, as it was when we started: a newer file may lie there now */
	uint32_t count;     /* takeovers so far */
	pid_t pid;          /* of the check */
	int output;         /* what it says; a memfd */
	uint64_t deadline_ns;
	struct server_client *client; /* NULL: went away */
	uint32_t uid;
};

/* Remember where our program lies. */
int restart_init(struct restart *restart) MUST_CHECK;
/* Start anew: checks first, answers @client, then drains and does it. */
void restart_request(struct keeper *keeper, struct server_client *client, uint32_t uid);
bool restart_reaped(struct keeper *keeper, pid_t pid, int status);
void restart_pulse(struct keeper *keeper, uint64_t now_ns);
/* All roles are down: become the new program. Returns only when that failed. */
void restart_exec(struct keeper *keeper);
/* The other side of it: take what @t brings instead of opening it. */
int restart_adopt(struct keeper *keeper, struct takeover *t, struct diag *diag) MUST_CHECK;
