/* resolver/explain.h - validate one answer anew and tell every step of it (explain.h of include/).
 *
 * A query like any other, on behalf of a workload's address: judged, from the cache or upstream,
 * judged again before each send; but nobody is answered and nothing is opened. It validates with a
 * table of its own, so that the whole chain is walked, with the records that the cache has.
 * Belongs to one worker from explain_start() until @done is called, once, on the worker's loop.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "entry.h"
#include "query_respond.h"
#include "sallyport/cleanup.h"
#include "sallyport/explain.h"
#include "val_job.h"

struct explain;
struct settings;
struct worker;

typedef void explain_done_cb(void *ctx, struct explain *explain); /* hands it over */

/* @payload is a ROLE_MSG_EXPLAIN's. Returns 0, ERR_MALFORMED or ERR_NOMEM. */
int explain_new(uint64_t id, const uint8_t *payload, size_t len, const uint8_t hash_key[static 16],
                struct explain **ret_explain) MUST_CHECK;
void explain_free(struct explain *explain); /* NULL is fine */
DEFINE_CLEANUP(struct explain *, explain_free)
uint64_t explain_id(const struct explain *explain);
/* The rows so far; borrowed. */
const uint8_t *explain_rows(const struct explain *explain, size_t *ret_len);

void explain_start(struct worker *worker, struct explain *explain, explain_done_cb *done,
                   void *ctx);

/* From the query that it is. */
const struct val_config *explain_config(struct explain *explain, struct settings *settings);
void explain_link(struct explain *explain, const struct entry *link, unsigned int attempt);
void explain_verdict(struct explain *explain, const struct val_result *result,
                     const struct entry *link);
void explain_ours(struct explain *explain, const struct entry *link); /* out of hosts */
void explain_answered(struct explain *explain, enum dnssec_state state, uint16_t rcode);
void explain_refused(struct explain *explain, const struct refusal *refusal);
void explain_denied(struct explain *explain, enum reason reason, const uint8_t *target);
void explain_ended(struct explain *explain); /* the query ends: calls done */
