/* fwsync/seqlock.h - the writing side of the ledger's version counters (sallyport/ledger.h): odd
 * while something is written, another even number afterwards.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

static inline void seqlock_begin(_Atomic uint32_t *version)
{
	uint32_t v = atomic_load_explicit(version, memory_order_relaxed);

	atomic_store_explicit(version, v | 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

static inline void seqlock_end(_Atomic uint32_t *version)
{
	uint32_t v = atomic_load_explicit(version, memory_order_relaxed);

	atomic_store_explicit(version, (v | 1) + 1, memory_order_release);
}

/* Nobody died in the middle of writing it. */
static inline bool seqlock_whole(_Atomic uint32_t *version)
{
	return (atomic_load_explicit(version, memory_order_relaxed) & 1) == 0;
}
