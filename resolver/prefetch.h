/* resolver/prefetch.h - refresh what is asked often shortly before it expires.
 *
 * When an answer is served in the last tenth of its life, its links are asked again upstream, once,
 * on behalf of the workload that has just asked; each send is judged like any other (promise P2).
 * So a name that nobody asks any more, or that nobody may ask any more, is not refreshed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "entry.h"
#include "form.h"

struct worker;
struct asked;

/* In the last tenth of a life that is worth it, and from an upstream? */
bool prefetch_is_due(const struct entry *entry, uint64_t now_ns);

/* @form has just answered @asked. At most one refresh of a form; may do nothing. */
void prefetch_consider(struct worker *worker, const struct asked *asked, struct form *form);
