/* resolver/prefetch.h - ask upstream before a client does: for nobody's answer, only for the cache.
 *
 * Refresh what is asked often shortly before it expires. When an answer is served in the last tenth
 * of its life, its links are asked again upstream, once, on behalf of the workload that has just
 * asked; each send is judged like any other (promise P2). So a name that nobody asks any more, or
 * that nobody may ask any more, is not refreshed.
 *
 * Resolve what an SVCB or HTTPS answer leads to (RFC 9460, section 5). When a new form of one has
 * been given, A and AAAA of its targets are looked up, and where it is in AliasMode the target's
 * own SVCB or HTTPS and so on along the chain: each judged as if the workload's client asked it
 * now, so no target that the policy denies leaves (P2), and nothing is opened before it does ask.
 * Once for each form; one that is remembered and held never comes here.
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

/* @asked has just been answered with @last at the end of a chain of @n_links; or would be, if it is
 * itself such a target's. Of an entry without targets nothing is asked; may do nothing. */
void prefetch_targets(struct worker *worker, const struct asked *asked, const struct entry *last,
                      unsigned int n_links);
