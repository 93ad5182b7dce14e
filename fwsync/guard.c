/* fwsync/guard.c - what the guard table permits. */
#include "guard.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>

#include "sallyport/err.h"
#include "sallyport/shm.h"

#include "destination.h"

int guard_load(struct guard *guard, int fd)
{
	void *data;
	size_t len;
	int r;

	r = shm_map(fd, SHM_READ, sizeof(struct guard_table), &data, &len);
	if (r < 0)
		return r;

	/* The memory may be rounded up to pages; the head says how long the table is. */
	const struct guard_table *table = data;

	if (table->len > len || guard_table_check(data, table->len) < 0) {
		munmap(data, len);
		return ERR_DAMAGED;
	}
	guard->table = table;
	guard->len = len;
	return ERR_OK;
}

void guard_fini(struct guard *guard)
{
	if (guard->table && guard->len > 0)
		munmap((void *)(uintptr_t)guard->table, guard->len);
	*guard = (struct guard){ 0 };
}

const struct guard_prefix *guard_prefixes(const struct guard *guard,
                                          const struct guard_section *section)
{
	return (const void *)((const uint8_t *)guard->table + section->offset);
}

static bool any_prefix_has(const struct guard *guard, const struct guard_section *whole,
                           const struct guard_section *part, const uint8_t addr[static ADDR_LEN])
{
	const struct guard_prefix *entries = guard_prefixes(guard, whole);

	for (uint32_t i = 0; i < part->count; i++) {
		struct prefix prefix = { .len = entries[part->offset + i].len };

		memcpy(prefix.addr, entries[part->offset + i].addr, ADDR_LEN);
		if (prefix_has(&prefix, addr))
			return true;
	}
	return false;
}

static bool port_within(const struct guard_ports *ports, const struct pinhole_port *port)
{
	if (ports->kind == GUARD_PORTS_INBOUND)
		return false;
	if (ports->kind == PINHOLE_KIND_ANY)
		return true;
	if (ports->proto != port->proto)
		return false;
	if (ports->kind == PINHOLE_KIND_PROTO)
		return port->kind == PINHOLE_KIND_PORT || port->kind == PINHOLE_KIND_PROTO;
	return port->kind == PINHOLE_KIND_PORT && ports->first <= port->port &&
	       port->port <= ports->last;
}

static bool port_permitted(const struct guard *guard, const struct guard_workload *w,
                           const struct pinhole_port *port)
{
	const struct guard_ports *entries =
	    (const void *)((const uint8_t *)guard->table + guard->table->ports.offset);

	/* Sets with ports know TCP and UDP only; sets with protocols ICMP as well. */
	if (port->kind == PINHOLE_KIND_PORT && port->proto != IPPROTO_TCP &&
	    port->proto != IPPROTO_UDP)
		return false;
	if (port->kind == PINHOLE_KIND_PROTO && port->proto != IPPROTO_TCP &&
	    port->proto != IPPROTO_UDP && port->proto != IPPROTO_ICMP)
		return false;
	for (uint32_t i = 0; i < w->ports.count; i++)
		if (port_within(&entries[w->ports.offset + i], port))
			return true;
	return false;
}

static bool destination_permitted(const struct guard *guard, const struct guard_workload *w,
                                  const uint8_t addr[static ADDR_LEN])
{
	switch (destination_of(addr)) {
	case DESTINATION_GLOBAL:
		return true;
	case DESTINATION_INTERNAL:
		return any_prefix_has(guard, &guard->table->internals, &w->internals, addr);
	case DESTINATION_NEVER:
		break;
	}
	return false;
}

/* Its own; or, at its listener, anybody's whom no workload names. */
static bool source_permitted(const struct guard *guard, const struct guard_workload *w,
                             const uint8_t addr[static ADDR_LEN])
{
	const struct guard_prefix *sources = guard_prefixes(guard, &guard->table->sources);
	uint32_t family = addr_is_v4(addr) ? GUARD_LISTENER_V4 : GUARD_LISTENER_V6;

	if (any_prefix_has(guard, &guard->table->sources, &w->sources, addr))
		return true;
	return (w->listeners & family) &&
	       !guard_prefixes_have(sources + w->named.offset, w->named.count, addr);
}

/* Every destination has a source of its family, and the elements are not too many. */
static bool shape_ok(const struct pinhole_view *view)
{
	const struct pinhole_request *req = view->request;
	size_t src4 = 0, src6, dst4 = 0, dst6;

	for (unsigned int i = 0; i < req->n_src; i++)
		src4 += addr_is_v4(view->src[i]);
	for (unsigned int i = 0; i < req->n_dst; i++)
		dst4 += addr_is_v4(view->dst[i]);
	src6 = req->n_src - src4;
	dst6 = req->n_dst - dst4;
	if ((dst4 > 0 && src4 == 0) || (dst6 > 0 && src6 == 0))
		return false;
	return (src4 * dst4 + src6 * dst6) * req->n_ports <= LIMIT_PINHOLE_OPS;
}

enum pinhole_status guard_permits(const struct guard *guard, const struct pinhole_view *view,
                                  const struct guard_workload **ret_workload)
{
	const struct guard_table *table = guard->table;
	const struct pinhole_request *req = view->request;
	const struct guard_workload *w;

	if (!table || table->policy_version == 0 || req->policy_version != table->policy_version)
		return PINHOLE_STALE;
	if (!shape_ok(view))
		return PINHOLE_MALFORMED;
	if (req->workload >= table->workloads.count)
		return PINHOLE_OUTSIDE;
	w = (const struct guard_workload *)(const void *)((const uint8_t *)table +
	                                                  table->workloads.offset) +
	    req->workload;
	if (req->life_s > w->life_max_s)
		return PINHOLE_OUTSIDE;
	for (unsigned int i = 0; i < req->n_src; i++)
		if (!source_permitted(guard, w, view->src[i]))
			return PINHOLE_OUTSIDE;
	for (unsigned int i = 0; i < req->n_ports; i++)
		if (!port_permitted(guard, w, &view->ports[i]))
			return PINHOLE_OUTSIDE;
	for (unsigned int i = 0; i < req->n_dst; i++)
		if (!destination_permitted(guard, w, view->dst[i]))
			return PINHOLE_OUTSIDE;
	*ret_workload = w;
	return PINHOLE_OPEN;
}
