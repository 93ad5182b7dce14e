#include "zones.h"

#include <stdlib.h>
#include <string.h>

#include "sallyport/cleanup.h"
#include "wire.h"

/* A hash table of the zones' names. A name is hashed label by label from the root downwards, so one
 * pass over it gives the hash of each of its suffixes. The table is filled from the configuration
 * only: nobody on the network chooses what collides. */
#define SLOTS 1024 /* a power of two, at least twice LIMIT_ZONES */
_Static_assert(SLOTS >= 2 * LIMIT_ZONES, "a probe must always end at an empty slot");

struct zone {
	uint32_t hash;
	uint8_t len;
	uint8_t internal;
	uint8_t dnssec_off;
	uint8_t name[NAME_MAX_WIRE];
};

struct zones {
	uint16_t n;
	uint16_t slots[SLOTS]; /* index + 1; 0: empty */
	struct zone zones[LIMIT_ZONES];
};

#define HASH_SEED UINT32_C(2166136261) /* FNV-1a */

static uint32_t hash_label(uint32_t hash, const uint8_t *label)
{
	for (unsigned int i = 0; i <= label[0]; i++)
		hash = (hash ^ label[i]) * UINT32_C(16777619);
	return hash;
}

/* Offsets of the labels of @name, first to last, without the root's. Returns their number. */
static unsigned int label_offsets(const uint8_t *name, uint8_t ret[static NAME_MAX_LABELS])
{
	unsigned int n = 0, at = 0;

	while (name[at] && n < NAME_MAX_LABELS) {
		ret[n++] = (uint8_t)at;
		at += name[at] + 1U;
	}
	return n;
}

static uint16_t probe(const struct zones *zones, uint32_t hash, const uint8_t *name, size_t len)
{
	for (uint32_t at = hash;; at++) {
		uint16_t slot = zones->slots[at % SLOTS];
		const struct zone *zone;

		if (!slot)
			return ZONE_NONE;
		zone = &zones->zones[slot - 1];
		if (zone->hash == hash && zone->len == len && memcmp(zone->name, name, len) == 0)
			return (uint16_t)(slot - 1);
	}
}

static uint32_t hash_name(const uint8_t *name)
{
	uint8_t offsets[NAME_MAX_LABELS];
	uint32_t hash = HASH_SEED;

	for (unsigned int i = label_offsets(name, offsets); i-- > 0;)
		hash = hash_label(hash, name + offsets[i]);
	return hash;
}

struct zones *zones_new(const struct resolver_conf *conf)
{
	struct zones *zones = calloc(1, sizeof(*zones));
	uint32_t n = MIN(conf->n_zones, (uint32_t)LIMIT_ZONES);

	if (!zones)
		return NULL;
	for (uint32_t i = 0; i < n; i++) {
		const struct conf_zone *from = &conf->zones[i];
		struct zone *zone = &zones->zones[i];
		int len = name_wire_len(from->name, NAME_MAX_WIRE);
		uint32_t at;

		/* An entry that is no name keeps its place, for indexes are conf's; nothing finds
		 * it. */
		if (len < 0)
			continue;
		name_lower(zone->name, from->name, (size_t)len);
		zone->len = (uint8_t)len;
		zone->internal = from->internal;
		zone->dnssec_off = from->dnssec_off;
		zone->hash = hash_name(zone->name);
		if (probe(zones, zone->hash, zone->name, zone->len) != ZONE_NONE)
			continue; /* named twice: the first counts */
		for (at = zone->hash; zones->slots[at % SLOTS]; at++)
			;
		zones->slots[at % SLOTS] = (uint16_t)(i + 1);
	}
	zones->n = (uint16_t)n;
	return zones;
}

void zones_free(struct zones *zones)
{
	free(zones);
}

uint16_t zones_find(const struct zones *zones, const uint8_t *name)
{
	uint8_t offsets[NAME_MAX_LABELS];
	unsigned int n = label_offsets(name, offsets);
	size_t end = n ? offsets[n - 1] + name[offsets[n - 1]] + 2U : 1;
	uint32_t hash = HASH_SEED;
	uint16_t best = probe(zones, hash, name + end - 1, 1);

	for (unsigned int i = n; i-- > 0;) {
		uint16_t found;

		hash = hash_label(hash, name + offsets[i]);
		found = probe(zones, hash, name + offsets[i], end - offsets[i]);
		if (found != ZONE_NONE)
			best = found;
	}
	return best;
}

uint16_t zones_find_question(const struct zones *zones, const uint8_t *name, uint16_t type)
{
	uint16_t found = zones_find(zones, name);

	if (type != TYPE_DS || found == ZONE_NONE || name[0] == 0)
		return found;
	if (zones->zones[found].dnssec_off || !name_equal(zones->zones[found].name, name))
		return found;
	return zones_find(zones, name + 1 + name[0]);
}

bool zones_is_root(const struct zones *zones, uint16_t zone)
{
	return zone < zones->n && zones->zones[zone].len == 1;
}

bool zones_internal(const struct zones *zones, uint16_t zone)
{
	return zone < zones->n && zones->zones[zone].internal;
}
