/* resolver/query.h - one client query, from the message to the answer.
 *
 *   parse -> identify -> judge -> resolve -> guard -> open -> record -> respond
 *
 * The common case (memoised form, pinholes held) runs to its end inside query_received() without
 * allocation; anything that waits gets a struct query of its own with a region of memory.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "client.h"
#include "sallyport/cleanup.h"

struct worker;
struct queries;

struct queries *queries_new(struct worker *worker); /* NULL: out of memory */
/* What is still in flight is recorded as unanswered and let go. The memory goes when the loop has
 * closed the timer: run the loop once more. NULL is fine. */
void queries_free(struct queries *queries);

/* One message read from a socket. @msg is borrowed for the call. worker->now_ns and wall_ns are
 * those of the batch. Answers or drops @client, now or later. */
void query_received(struct worker *worker, struct client *client, const uint8_t *msg, size_t len);

/* The policy of the worker has just been swapped: everything in flight is judged again. */
void queries_policy_changed(struct worker *worker);

/* worker->settings (and perhaps the cache) has just been swapped: limits are taken anew, remembered
 * forms are void, everything in flight starts over with the new zones. */
void queries_settings_changed(struct worker *worker);

/* End what is past its deadline by worker->now_ns: what the loop's timer calls. */
void queries_tick(struct worker *worker);

/* Prefetches, for which no client waits, included. */
size_t queries_in_flight(const struct worker *worker);
