/* fwsync/reasons.h - the ledger's reasons: one cell for each question of a workload, found again by
 * workload and names.
 *
 * Names that are too long for a cell lie in the ledger's `more`; when that is full a reason keeps
 * the first names and is marked cut. A reason lives as long as rows point to it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/ledger.h"

#include "hash.h"

#define REASONS_NONE UINT32_MAX

struct reasons {
	const struct hash_key *key; /* borrowed */
	struct ledger ledger;       /* a copy of the view */
	struct ledger_cell *cells;  /* the ledger's */
	uint8_t (*more)[LIMIT_PINHOLE_NAMES];
	uint32_t n, n_more, mask;
	uint32_t *heads, *next;
	bool *used;
	uint64_t *workload; /* hash of the workload's name */
	uint32_t *more_next;
	bool *more_used;
	uint32_t free, fresh, more_free, more_fresh; /* behind fresh: never used */
	uint32_t n_used;
};

/* Over what lies in @ledger; nothing counts as used yet. @n_heads: a power of two. */
int reasons_init(struct reasons *reasons, const struct hash_key *key, const struct ledger *ledger,
                 uint32_t n_heads) MUST_CHECK;
void reasons_fini(struct reasons *reasons);

/* The reason for these names, made if there is none yet; REASONS_NONE when full. Without a row it
 * goes again by reasons_settle(). */
uint32_t reasons_get(struct reasons *reasons, const char *workload, const uint8_t *names,
                     uint16_t names_len, uint16_t names_flags, uint64_t wall_ns);
void reasons_settle(struct reasons *reasons, uint32_t reason);
void reasons_opened(struct reasons *reasons, uint32_t reason, uint64_t query_id,
                    uint32_t policy_version, uint32_t rule);
/* One row more (+1) or less (-1) points to it. */
void reasons_count(struct reasons *reasons, uint32_t reason, int by);
/* The hash by which tenants.h knows its workload. */
uint64_t reasons_workload(const struct reasons *reasons, uint32_t reason);

/* Adoption of what a dead writer left: ask for each row's reason, then take over all that was
 * asked for. @counts: n zeros of the caller's. */
bool reasons_sound(struct reasons *reasons, uint32_t reason, uint32_t *counts);
void reasons_adopt(struct reasons *reasons, const uint32_t *counts);
