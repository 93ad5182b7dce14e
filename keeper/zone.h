/* keeper/zone.h - which entry of `upstreams` a name belongs to, for explaining and for judging the
 * ledger again. Linear in the entries; the resolver has a faster way of its own.
 */
#pragma once

#include <stdint.h>

#include "sallyport/role.h"

/* The longest zone that @name equals or lies under, or NULL. Borrowed from @conf. */
const struct conf_zone *zone_find(const struct resolver_conf *conf, const uint8_t *name);
