/* tests/e2e/tools/probe.h - what the acts of probe.c have to do with: what the role holds. */
#pragma once

#include <errno.h>
#include <stddef.h>
#include <sys/types.h>

#define FD_MAX 512
#define MAPS_MAX 256

/* What the role holds; found before it is confined, for afterwards nothing could be asked. */
struct world {
	pid_t sibling, parent;
	int fds[FD_MAX]; /* all but the standard ones */
	size_t n_fds;
	struct {
		void *start;
		size_t len;
	} readonly[MAPS_MAX]; /* shared mappings without the right to write */
	size_t n_readonly;
	unsigned char *secret; /* a page that no act may make executable */
};

/* An act returns 0 when it had its effect, and otherwise why not. */
typedef int act_cb(const struct world *w);

static inline int of(long result)
{
	return result >= 0 ? 0 : errno ? errno : EIO;
}

struct probe_act {
	const char *name;
	act_cb *try;
};
struct probe_acts {
	const struct probe_act *list;
	size_t n;
};
extern const struct probe_acts probe_held;   /* with what it has: files, memory */
extern const struct probe_acts probe_beyond; /* with others: processes, the network */
