/* fwsync/batch.h - requests of the workers, gathered, become as few transactions as possible; each
 * gets its result after the kernel's word.
 *
 *   request --> late? stale? outside? --> rows in the book (pending) --> part of a group
 *   group (<= LIMIT_PINHOLE_BATCH_ELEMENTS elements) --> one transaction
 *     confirmed --> rows confirmed, PINHOLE_OPEN in the present epoch
 *     refused   --> split in halves until the guilty request stands alone; the others open
 *
 * Rows are written before the kernel is asked, and say as long as it will be asked for: no element
 * can exist, or go on existing, that the ledger does not explain. What the kernel refused is taken
 * back.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/counter.h"
#include "sallyport/limits.h"
#include "sallyport/pinhole.h"

#include "book.h"
#include "guard.h"
#include "kernel.h"

/* Kernel timeouts are this much longer than asked: time between the kernel's acceptance and our
 * knowledge of it never makes a pinhole end before its answer's TTL, nor does the time for which an
 * answer may lie ready. With less, who asks for the same a moment later (another worker, another
 * name) would have to have it renewed. */
#define BATCH_SLACK_MS (1000u + LIMIT_ANSWER_AGE_MS)
#define BATCH_TRIES 5 /* of one transaction on EINTR, ERESTART, EAGAIN, ENOBUFS */
/* A deadline further away than this is cut to it: nobody waits so long. */
#define BATCH_DEADLINE_MAX_MS 10000u

struct batch;
struct batch *batch_new(struct book *book, const struct guard *guard, struct kernel *kernel,
                        struct stats_lane *lane); /* NULL: no memory. All borrowed. */
void batch_free(struct batch *batch);
DEFINE_CLEANUP(struct batch *, batch_free)

/* Judge and open one worker's requests; results are valid after the batch_finish() that follows.
 * May be called for several workers before it: they share transactions. @views and what they point
 * to, and @results, must live until then. */
void batch_put(struct batch *batch, const struct pinhole_view *views, size_t n,
               uint64_t deadline_ns, struct pinhole_result *results);
void batch_finish(struct batch *batch);
