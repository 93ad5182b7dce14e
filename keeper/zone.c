/* keeper/zone.c - which entry of `upstreams` a name belongs to. */
#include "zone.h"

#include <stddef.h>

#include "sallyport/name.h"

const struct conf_zone *zone_find(const struct resolver_conf *conf, const uint8_t *name)
{
	const struct conf_zone *best = NULL;
	unsigned int labels = 0;

	for (size_t i = 0; i < MIN(conf->n_zones, (uint32_t)LIMIT_ZONES); i++) {
		const struct conf_zone *zone = &conf->zones[i];

		if (!name_is_under(name, zone->name))
			continue;
		if (!best || name_labels(zone->name) > labels) {
			best = zone;
			labels = name_labels(zone->name);
		}
	}
	return best;
}
