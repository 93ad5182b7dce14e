/* db/historian.h - from the rings into the history files, each query exactly once.
 *
 *     ring --drain--> agg --write--> day files          every second, or when much came
 *                      '--save-----> backlog            after each write, and when a ring fills up
 *
 * What makes it exactly once, whatever dies when:
 *   - the backlog (shared memory) holds, in one atomic save, up to where the rings were read and
 * all that was read but not written; only then is the ring's tail moved;
 *   - a file's transaction holds, with its rows, the positions of the rings and the token of the
 *     backlog. Meanwhile the rings are read on: a save in the middle of a batch keeps apart what
 *     belongs to it (under that token) and what came later. After a death the backlog is loaded and
 * the rings are read again from its positions: a record, or a backlog, that a file has already is
 * left out for that file.
 *
 * One thread. Time is an argument: @wall_ns is what people see, @boot_ns counts on through suspend
 * and never jumps.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sallyport/cleanup.h"
#include "sallyport/counter.h"

struct historian; /* opaque */

struct historian_options {
	const char *dir;       /* the history folder; copied */
	gid_t gid;             /* files are made for this group; (gid_t)-1: leave alone */
	uint64_t allow_keep_s; /* 0: for ever */
	uint64_t deny_keep_s;
	void *area; /* historian_area_bytes() of shared memory, zero when new */
	size_t area_len;
	struct stats_lane *lane; /* NULL: nobody counts */
	uint64_t log_max; /* octets of a file's write-ahead log; 0: LIMIT_HISTORY_LOG_BYTES */
	/* Called after each step that changed something durable; tests die here. May be NULL. */
	void (*on_step)(void *arg);
	void *on_step_arg;
	/* Called again and again in what may take minutes (migrating a file). May be NULL. */
	void (*alive)(void *arg);
	void *alive_arg;
};

int historian_new(const struct historian_options *options, struct historian **ret_historian);
void historian_free(struct historian *historian); /* writes nothing; NULL is fine */
DEFINE_CLEANUP(struct historian *, historian_free)

/* Descriptors stay the caller's. Returns 0, ERR_LIMIT, ERR_EXIST (that worker has one) or what
 * ring_consumer_open() says. */
int historian_add_ring(struct historian *historian, unsigned int worker, int data_fd,
                       int back_fd) MUST_CHECK;
/* The names of one policy version, sealed memory; the descriptor stays the caller's. Kept in the
 * folder, too, for after a restart, as soon as there is room. */
int historian_add_catalog(struct historian *historian, int fd) MUST_CHECK;

/* All rings are there: take up where a predecessor stopped. Never fails: what is damaged is logged
 * and becomes a gap. */
void historian_start(struct historian *historian, uint64_t wall_ns, uint64_t boot_ns);
/* Drain; write when it is time. Call it at least every 100 ms. */
void historian_tick(struct historian *historian, uint64_t wall_ns, uint64_t boot_ns);
/* Delete what is too old, finish the files of days gone by. */
void historian_rotate(struct historian *historian, uint64_t wall_ns, uint64_t boot_ns);
/* Nothing comes any more: write all there is and close the files. Returns 0, or the error that
 * keeps it in the backlog. */
int historian_stop(struct historian *historian, uint64_t wall_ns, uint64_t boot_ns);

/* The rings hold nothing that was not read. */
bool historian_is_quiet(const struct historian *historian);
/* Another retention, from the next rotation on. */
void historian_keep(struct historian *historian, uint64_t allow_keep_s, uint64_t deny_keep_s);

/* Records read from the rings and not yet in the files, in slots; for status. */
uint64_t historian_backlog(const struct historian *historian);
