/* resolver/settings.h - one configuration and what derives from it. Immutable once made; shared by
 * the main thread and the workers through references. The struct itself is in worker.h.
 */
#pragma once

#include <stdbool.h>

#include "sallyport/cleanup.h"
#include "worker.h"

/* Copy @conf, with its counts clamped and its zeros replaced by the defaults of limits.h. One
 * reference for the caller. NULL: out of memory. */
struct settings *settings_new(const struct resolver_conf *conf);
struct settings *settings_ref(struct settings *settings);

/* Are answers for (@name, @type) validated here, or is it under a negative trust anchor? Then
 * upstreams are asked with CD=1; elsewhere their own validation is kept. */
bool settings_disable_checking(const struct settings *settings, const uint8_t *name, uint16_t type);
/* The zone of `upstreams` that is asked (@name, @type), as zones_find_question() has it; under a
 * negative trust anchor that holds at @wall_s DS, too, is asked of nobody but the name's own zone.
 */
uint16_t settings_zone_of(const struct settings *settings, const uint8_t *name, uint16_t type,
                          uint64_t wall_s);

/* Do both send every name to the same servers under the same conditions? If not, nothing that was
 * learnt under one may be believed under the other. */
bool settings_same_zones(const struct settings *a, const struct settings *b);
