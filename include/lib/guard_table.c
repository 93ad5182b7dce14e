/* include/lib/guard_table.c - check a guard table once, at loading, so that readers need not. */
#include "sallyport/guard_table.h"

#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

#include "sallyport/err.h"
#include "sallyport/pinhole.h"

/* A section lies behind the head, inside @len, and its entries are aligned. */
static bool section_ok(const struct guard_section *section, size_t entry, size_t align, size_t len)
{
	if (section->count == 0)
		return true;
	return section->offset >= sizeof(struct guard_table) && section->offset % align == 0 &&
	       section->offset <= len && section->count <= (len - section->offset) / entry;
}

/* A workload's part of a section: offset counts entries there. */
static bool part_ok(const struct guard_section *part, const struct guard_section *whole)
{
	return part->offset <= whole->count && part->count <= whole->count - part->offset;
}

static bool prefixes_ok(const uint8_t *base, const struct guard_section *section)
{
	const struct guard_prefix *prefixes = (const void *)(base + section->offset);

	for (uint32_t i = 0; i < section->count; i++)
		if (prefixes[i].len > 128)
			return false;
	return true;
}

static bool ports_ok(const uint8_t *base, const struct guard_section *section)
{
	const struct guard_ports *ports = (const void *)(base + section->offset);

	for (uint32_t i = 0; i < section->count; i++) {
		bool inbound = ports[i].kind == GUARD_PORTS_INBOUND;

		if (!inbound &&
		    (ports[i].kind < PINHOLE_KIND_PORT || ports[i].kind > PINHOLE_KIND_ANY))
			return false;
		if ((inbound || ports[i].kind == PINHOLE_KIND_PORT) &&
		    ports[i].first > ports[i].last)
			return false;
		if (inbound && ports[i].proto != IPPROTO_UDP)
			return false;
	}
	return true;
}

static bool interfaces_ok(const uint8_t *base, const struct guard_section *section)
{
	for (uint32_t i = 0; i < section->count; i++) {
		const uint8_t *name = base + section->offset + (size_t)i * GUARD_IFNAME_LEN;

		if (name[0] == '\0' || !memchr(name, '\0', GUARD_IFNAME_LEN))
			return false;
	}
	return true;
}

static bool prefix_holds(const struct guard_prefix *entry, const uint8_t addr[static ADDR_LEN])
{
	struct prefix prefix = { .len = entry->len };

	memcpy(prefix.addr, entry->addr, ADDR_LEN);
	return prefix_has(&prefix, addr);
}

bool guard_prefixes_have(const struct guard_prefix *prefixes, uint32_t n,
                         const uint8_t addr[static ADDR_LEN])
{
	uint32_t low = 0, high = n; /* those before low do not begin behind it */

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (memcmp(prefixes[mid].addr, addr, ADDR_LEN) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low > 0 && prefix_holds(&prefixes[low - 1], addr);
}

/* As guard_prefixes_have() needs them; an address with bits beyond its length would hide some. */
static bool ascending_ok(const struct guard_prefix *prefixes, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		for (unsigned int bit = prefixes[i].len; bit < 128; bit++)
			if (prefixes[i].addr[bit / 8] & (0x80 >> bit % 8))
				return false;
		if (i > 0 && (memcmp(prefixes[i - 1].addr, prefixes[i].addr, ADDR_LEN) >= 0 ||
		              prefix_holds(&prefixes[i - 1], prefixes[i].addr)))
			return false;
	}
	return true;
}

/* Most workloads that have such a part have the same one. */
static bool named_ok(const struct guard_table *table, const struct guard_workload *w,
                     struct guard_section *known)
{
	const struct guard_prefix *all =
	    (const void *)((const uint8_t *)table + table->sources.offset);

	if (!part_ok(&w->named, &table->sources) ||
	    w->listeners > (GUARD_LISTENER_V4 | GUARD_LISTENER_V6))
		return false;
	if (w->named.offset == known->offset && w->named.count == known->count)
		return true;
	*known = w->named;
	return ascending_ok(all + w->named.offset, w->named.count);
}

int guard_table_check(const void *data, size_t len)
{
	const struct guard_table *table = data;
	const uint8_t *base = data;

	if (len < sizeof(*table) || table->magic != GUARD_MAGIC)
		return ERR_DAMAGED;
	/* Version 1 had other workloads; without any, on disk for the next start, it is the same.
	 */
	if ((table->version != GUARD_VERSION &&
	     !(table->version == 1 && table->workloads.count == 0)) ||
	    table->len != len)
		return ERR_DAMAGED;
	if (table->workloads.count > LIMIT_WORKLOADS ||
	    !section_ok(&table->workloads, sizeof(struct guard_workload), 4, len) ||
	    !section_ok(&table->sources, sizeof(struct guard_prefix), 1, len) ||
	    !section_ok(&table->ports, sizeof(struct guard_ports), 2, len) ||
	    !section_ok(&table->internals, sizeof(struct guard_prefix), 1, len) ||
	    !section_ok(&table->guarded, sizeof(struct guard_prefix), 1, len) ||
	    !section_ok(&table->observed, sizeof(struct guard_prefix), 1, len) ||
	    !section_ok(&table->interfaces, GUARD_IFNAME_LEN, 1, len))
		return ERR_DAMAGED;
	if (table->policy_version == 0 && table->workloads.count != 0)
		return ERR_DAMAGED;
	if (!prefixes_ok(base, &table->sources) || !prefixes_ok(base, &table->internals) ||
	    !prefixes_ok(base, &table->guarded) || !prefixes_ok(base, &table->observed) ||
	    !ports_ok(base, &table->ports) || !interfaces_ok(base, &table->interfaces))
		return ERR_DAMAGED;

	const struct guard_workload *workloads = (const void *)(base + table->workloads.offset);
	struct guard_section named = { 0 };

	for (uint32_t i = 0; i < table->workloads.count; i++) {
		const struct guard_workload *w = &workloads[i];

		if (!memchr(w->name, '\0', sizeof(w->name)) ||
		    !part_ok(&w->sources, &table->sources) || !part_ok(&w->ports, &table->ports) ||
		    !part_ok(&w->internals, &table->internals) || !named_ok(table, w, &named))
			return ERR_DAMAGED;
	}
	return ERR_OK;
}
