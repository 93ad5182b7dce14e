/* fwsync/tenants.c - destinations and workloads, two tables of chains. */
#include "tenants.h"

#include <stdlib.h>

#include "sallyport/err.h"

int tenants_init(struct tenants *t, const struct hash_key *key, uint32_t n_rows, uint32_t n_heads)
{
	*t = (struct tenants){ .key = key,
		               .mask = n_heads - 1,
		               .dest_heads = hash_heads_new(n_heads),
		               .tenant_heads = hash_heads_new(n_heads),
		               .dests = calloc(n_rows, sizeof(*t->dests)),
		               .tenants = calloc(n_rows, sizeof(*t->tenants)),
		               .dest_free = HASH_NONE,
		               .tenant_free = HASH_NONE };
	return t->dest_heads && t->tenant_heads && t->dests && t->tenants ? ERR_OK : ERR_NOMEM;
}

void tenants_fini(struct tenants *t)
{
	free(t->dest_heads);
	free(t->tenant_heads);
	free(t->dests);
	free(t->tenants);
}

static uint32_t find(const struct tenants *t, uint64_t workload)
{
	uint32_t i = t->tenant_heads[workload & t->mask];

	while (i != HASH_NONE && t->tenants[i].workload != workload)
		i = t->tenants[i].next;
	return i;
}

static uint32_t get(struct tenants *t, uint64_t workload)
{
	uint32_t i = find(t, workload);

	if (i != HASH_NONE)
		return i;
	i = t->tenant_free;
	if (i == HASH_NONE)
		i = t->tenant_fresh++;
	else
		t->tenant_free = t->tenants[i].next;
	t->tenants[i] =
	    (struct tenant){ .workload = workload, .next = t->tenant_heads[workload & t->mask] };
	t->tenant_heads[workload & t->mask] = i;
	return i;
}

static void put(struct tenants *t, uint32_t tenant)
{
	uint32_t *at = &t->tenant_heads[t->tenants[tenant].workload & t->mask];

	if (--t->tenants[tenant].dests > 0)
		return;
	while (*at != tenant)
		at = &t->tenants[*at].next;
	*at = t->tenants[tenant].next;
	t->tenants[tenant].next = t->tenant_free;
	t->tenant_free = tenant;
}

static uint32_t *dest_head(const struct tenants *t, uint64_t workload, const uint8_t *addr)
{
	uint8_t buf[sizeof(workload) + ADDR_LEN];

	memcpy(buf, &workload, sizeof(workload));
	memcpy(buf + sizeof(workload), addr, ADDR_LEN);
	return &t->dest_heads[hash_of(t->key, buf, sizeof(buf)) & t->mask];
}

uint32_t tenants_open(struct tenants *t, uint64_t workload, const uint8_t addr[static ADDR_LEN])
{
	uint32_t *head = dest_head(t, workload, addr);
	uint32_t i = *head;

	while (i != HASH_NONE &&
	       (t->dests[i].workload != workload || memcmp(t->dests[i].addr, addr, ADDR_LEN) != 0))
		i = t->dests[i].next;
	if (i == HASH_NONE) {
		i = t->dest_free;
		if (i == HASH_NONE)
			i = t->dest_fresh++;
		else
			t->dest_free = t->dests[i].next;
		t->dests[i] = (struct tenants_dest){ .workload = workload, .next = *head };
		memcpy(t->dests[i].addr, addr, ADDR_LEN);
		t->dests[i].tenant = get(t, workload);
		t->tenants[t->dests[i].tenant].dests++;
		*head = i;
	}
	t->dests[i].rows++;
	t->tenants[t->dests[i].tenant].rows++;
	return i;
}

void tenants_close(struct tenants *t, uint32_t dest)
{
	uint32_t *at;

	if (dest == TENANTS_NONE)
		return;
	t->tenants[t->dests[dest].tenant].rows--;
	if (--t->dests[dest].rows > 0)
		return;
	at = dest_head(t, t->dests[dest].workload, t->dests[dest].addr);
	while (*at != dest)
		at = &t->dests[*at].next;
	*at = t->dests[dest].next;
	put(t, t->dests[dest].tenant);
	t->dests[dest].next = t->dest_free;
	t->dest_free = dest;
}

uint32_t tenants_destinations(const struct tenants *t, uint64_t workload)
{
	uint32_t i = find(t, workload);

	return i == HASH_NONE ? 0 : t->tenants[i].dests;
}

uint32_t tenants_rows(const struct tenants *t, uint64_t workload)
{
	uint32_t i = find(t, workload);

	return i == HASH_NONE ? 0 : t->tenants[i].rows;
}
