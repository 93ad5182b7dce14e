/* db/backlog.h - the historian's memory across its own death: what it has taken from the rings and
 * not yet written, and up to where it has read.
 *
 * Shared memory of the keeper's; two halves and no lock:
 *
 *     half 0 | half 1         each: struct area_half, then struct area_state, entries, names
 *
 * A save writes the older half: its magic goes first, then content and checksum are written, then
 * the magic comes back. Whenever the process dies, at least one half is whole; the one with the
 * higher generation counts. (area id, generation) is the token that a history file stores in the
 * transaction that writes a saved batch: a batch whose token the file has is in it already. Saves
 * go on while a batch is being written, with what is read meanwhile behind it (area_state.batch).
 *
 * Nothing in here is trusted when it is loaded: sizes, counts and every entry are checked.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agg.h"
#include "sallyport/cleanup.h"
#include "sallyport/limits.h"

/* What is known about one ring. The counts are cumulative, like the ring head's own. */
struct area_ring {
	uint64_t id;                  /* 0: no ring */
	uint64_t pos;                 /* all records before it are in the entries or in the files */
	uint64_t consumed[VERDICT_N]; /* queries read before pos */
	uint64_t lost[VERDICT_N];     /* reported as HISTORY_GAP_RING */
	uint64_t vanished[VERDICT_N]; /* reported as HISTORY_GAP_CRASH */
	uint64_t kernel_drops;        /* reported as HISTORY_GAP_KERNEL */
	uint64_t malformed;           /* records that failed their checks, ever */
};

struct area_state {
	uint64_t area_id;    /* random, from the first save on */
	uint64_t generation; /* of the load or the last save; 0: never saved */
	/* While a batch is being written into the files it is saved before what came meanwhile: the
	 * first n_batch entries and the gaps are in every file that has this token. 0: no batch. */
	uint64_t batch, n_batch;
	uint32_t day; /* records of other times are taken for this day's; see historian.c */
	uint32_t zero;
	struct area_ring rings[LIMIT_WORKERS];
	struct agg_gap gaps[HISTORY_GAP_N];
};

struct area {
	uint8_t *base; /* borrowed from whoever mapped it; NULL: there is none */
	size_t half_bytes;
	struct area_state state;
};

/* Use @len octets at @base. Returns 0 or ERR_DAMAGED (too small). */
int area_init(struct area *area, void *base, size_t len) MUST_CHECK;

/* Read the newest whole half: its state, its entries and gaps into @agg, what came while a batch
 * was being written into @next (both are empty; @next is made only if it is needed). Returns 0
 * (also when the area is fresh: then state.generation is 0), ERR_NOMEM or ERR_DAMAGED (something is
 * there but neither half is whole; the area is then as if fresh). Entries that fail their checks
 * are left out and counted in @ret_bad. */
int area_load(struct area *area, struct agg *agg, struct agg *next, size_t *ret_bad) MUST_CHECK;

/* Save the state with the entries and gaps of @agg and raise the generation. While @agg is being
 * written under the token @batch (else 0) @next holds what came meanwhile; both fit together. */
void area_save(struct area *area, const struct agg *agg, const struct agg *next, uint64_t batch);
