/* fwsync/inbound.c - workloads' single addresses times their profiles' inbound ports. */
#include "inbound.h"

#include <stdlib.h>
#include <string.h>

#include "sallyport/err.h"

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct inbound_port));
}

/* Of one workload: their number, and into @items unless it is NULL. */
static size_t ports_of(const struct guard *guard, const struct guard_workload *w,
                       struct inbound_port *items, size_t room)
{
	const struct guard_table *table = guard->table;
	const struct guard_prefix *sources = guard_prefixes(guard, &table->sources);
	const struct guard_ports *ports =
	    (const void *)((const uint8_t *)table + table->ports.offset);
	size_t n = 0;

	for (uint32_t p = w->ports.offset; p < w->ports.offset + w->ports.count; p++) {
		if (ports[p].kind != GUARD_PORTS_INBOUND)
			continue;
		for (uint32_t s = w->sources.offset; s < w->sources.offset + w->sources.count;
		     s++) {
			for (uint32_t port = ports[p].first;
			     sources[s].len == 128 && port <= ports[p].last && n < room; port++) {
				if (items) {
					memcpy(items[n].addr, sources[s].addr, ADDR_LEN);
					items[n].port[0] = (uint8_t)(port >> 8);
					items[n].port[1] = (uint8_t)port;
				}
				n++;
			}
		}
	}
	return n;
}

int inbound_collect(const struct guard *guard, struct inbound *ret_inbound)
{
	const struct guard_table *table = guard->table;
	const struct guard_workload *all =
	    table ? (const void *)((const uint8_t *)table + table->workloads.offset) : NULL;
	uint32_t n_workloads = table ? table->workloads.count : 0;
	struct inbound_port *items;
	size_t n = 0, kept = 0;

	*ret_inbound = (struct inbound){ 0 };
	for (uint32_t i = 0; i < n_workloads; i++)
		n += ports_of(guard, &all[i], NULL, LIMIT_INBOUND - n);
	if (n == 0)
		return ERR_OK;
	items = calloc(n, sizeof(*items));
	if (!items)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < n_workloads; i++)
		kept += ports_of(guard, &all[i], items + kept, n - kept);
	qsort(items, n, sizeof(*items), compare);
	*ret_inbound = (struct inbound){ .items = items, .n = n };
	return ERR_OK;
}

void inbound_fini(struct inbound *inbound)
{
	free(inbound->items);
	*inbound = (struct inbound){ 0 };
}

bool inbound_equal(const struct inbound *a, const struct inbound *b)
{
	return a->n == b->n &&
	       (a->n == 0 || memcmp(a->items, b->items, a->n * sizeof(*a->items)) == 0);
}

bool inbound_has(const struct inbound *inbound, const uint8_t addr[static ADDR_LEN], uint16_t port)
{
	struct inbound_port wanted = { .port = { (uint8_t)(port >> 8), (uint8_t)port } };

	memcpy(wanted.addr, addr, ADDR_LEN);
	return inbound->n > 0 &&
	       bsearch(&wanted, inbound->items, inbound->n, sizeof(wanted), compare) != NULL;
}
