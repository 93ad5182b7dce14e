/* resolver/query_guard.h - judge the answer, too: from links to a form that may be given away.
 *
 *   validate -> required DNSSEC -> SVCB and HTTPS targets -> addresses (form.h) -> memo
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "form.h"
#include "memo.h"
#include "query_wait.h"

enum query_step guard_step(struct query *q);

/* A and AAAA answers that would need a source address of a family in which the workload lists no
 * single one, when the rule opens anything: they would carry addresses that cannot be opened. */
bool guard_lacks_source(const struct worker *worker, const struct asked *asked);

/* The key under which the form of @asked is remembered. @generation: guard_generation() at a moment
 * before the first look into the cache. */
void guard_memo_key(const struct worker *worker, const struct asked *asked, uint64_t generation,
                    struct memo_key *ret_key);
/* Rises when the cache is flushed or the configuration changes. */
uint64_t guard_generation(const struct worker *worker);

/* Does the form name targets that the client may now ask itself? */
bool guard_has_targets(const struct form *form);
/* Remember them as given to the workload of @asked, while the chain lives. */
void guard_remember(struct worker *worker, const struct asked *asked, const struct form *form);
