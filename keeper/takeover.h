/* keeper/takeover.h - new programs without closing a port: `sallyport restart`.
 *
 *   ask --> the new sallyportd checks (a child: --check --takeover FD) --no--> refused, nothing
 * done
 *                                   '--yes--> roles drain --> exec --> the new one goes on
 *
 * The keeper replaces itself in its own process: same pid, same supervisor. Everything that must
 * not close goes along as inherited descriptors, listed in a sealed record: the listening sockets
 * (what clients send meanwhile waits in the kernel), the control socket, the state's locks, the
 * firewall's netlink socket (so the table keeps its owner), the shared memory, and the names of the
 * policy versions that records in it may be of. The record's format is the same for every version;
 * memory whose layout differs is made anew, after the historian has written what was in it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "config.h"
#include "listeners.h"
#include "rollout.h"
#include "sallyport/cleanup.h"
#include "sallyport/diag.h"
#include "shared.h"

#define TAKEOVER_CHECK_MS 20000 /* the new program's own check; longer: refused */
#define TAKEOVER_DRAIN_MS                                                                          \
	2000 /* for queries in flight: those that wait outside count from here                     \
	      */

/* What the next keeper inherits. Descriptors are owned; -1 where there is none. */
struct takeover {
	uint32_t workers, firewall;
	uint32_t count; /* how often this daemon has been replaced */
	uint64_t id_second;
	uint8_t cookie_secret[16], hash_key[16];
	char state_dir[CONFIG_PATH_MAX], run_dir[CONFIG_PATH_MAX];
	int lock_fd, history_fd, control_fd;
	struct listeners *listeners;
	struct shared shared;                              /* descriptors only; not mapped */
	bool same_layout;                                  /* the memory can be used as it is */
	struct rollout_catalog catalogs[ROLLOUT_CATALOGS]; /* oldest first */
	size_t n_catalogs;
};

/* The record of @t, sealed. Returns a descriptor or -errno. Descriptors stay the caller's. */
int takeover_write(const struct takeover *t);
/* Read and check a record; whoever reads it owns what it names from here on. Returns 0 or an error
 * with its reason in @diag. */
int takeover_read(int fd, struct takeover **ret_takeover, struct diag *diag) MUST_CHECK;
/* Could a keeper with @config go on with it? */
int takeover_fits(const struct takeover *t, const struct config *config,
                  struct diag *diag) MUST_CHECK;
/* Closes what is left in it; NULL is fine. */
void takeover_free(struct takeover *t);
DEFINE_CLEANUP(struct takeover *, takeover_free)

/* Have the program at @program check the record: `--check -c FILE --takeover FD`. What it says goes
 * into *ret_output, a memfd. */
int takeover_check(const char *program, const char *file, int record, const struct takeover *t,
                   pid_t *ret_pid, int *ret_output) MUST_CHECK;
/* Become @program. Returns only when that failed, with -errno, and nothing has changed. */
int takeover_exec(const char *program, const char *file, int record, const struct takeover *t);
