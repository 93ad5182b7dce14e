/* keeper/spawn.h - start one program as a role: fork, exec, and exactly the descriptors it is meant
 * to have: 0 (nothing), 1 and 2 (ours), ROLE_FD (its channel).
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "sallyport/cleanup.h"

struct spawn {
	const char *program;  /* "sallyport-resolver"; found beside our own program, or installed */
	const char *argument; /* one, or NULL */
	int channel;          /* becomes ROLE_FD; -1: none. Stays the caller's */
	int death_signal;     /* sent by the kernel when the keeper dies; 0: none */
};

/* Directory of our own program, where roles are looked for first. Returns 0 or -errno. */
int spawn_own_directory(char *ret_path, size_t cap) MUST_CHECK;
/* Full path of @program. Returns 0 or ERR_NOENT. */
int spawn_find(const char *program, char *ret_path, size_t cap) MUST_CHECK;
/* Start it. Returns 0 with the process, ERR_NOENT (no such program) or -errno. */
int spawn_start(const struct spawn *spawn, pid_t *ret_pid) MUST_CHECK;
/* A channel: *ret_ours is close-on-exec and large; *ret_theirs goes into struct spawn. */
int spawn_channel(int *ret_ours, int *ret_theirs) MUST_CHECK;
