/* resolver/zones.h - which of `upstreams` a name belongs to: the longest matching zone. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sallyport/role.h"

#define ZONE_NONE UINT16_MAX

struct zones; /* immutable; made once for each configuration, shared by all workers */

struct zones *zones_new(const struct resolver_conf *conf); /* NULL: out of memory */
void zones_free(struct zones *zones);
/* Index into conf->zones of the longest zone that @name (lower case) equals or lies under, or
 * ZONE_NONE. Costs a probe a label. */
uint16_t zones_find(const struct zones *zones, const uint8_t *name);
/* Who is asked (@name, @type): of DS the parent's side, for the zone's own server would answer from
 * the child's (RFC 4035, section 2.4). A zone with `dnssec: off` has its DS asked of nobody else:
 * the question alone would tell its name. */
uint16_t zones_find_question(const struct zones *zones, const uint8_t *name, uint16_t type);
bool zones_is_root(const struct zones *zones, uint16_t zone);  /* the zone "." */
bool zones_internal(const struct zones *zones, uint16_t zone); /* false for ZONE_NONE */
