/* fwsync/tenants.h - how many distinct destinations, and how many rows, each workload has open.
 *
 * A destination counts once for a workload however many rows hold it. A workload is a hash of its
 * name (the caller's); it is here while it has a destination open.
 */
#pragma once

#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/prefix.h"

#include "hash.h"

#define TENANTS_NONE UINT32_MAX

struct tenants_dest { /* one destination of one workload */
	uint64_t workload;
	uint8_t addr[ADDR_LEN];
	uint32_t next, rows, tenant;
};
struct tenant { /* a workload with open destinations */
	uint64_t workload;
	uint32_t next, dests, rows;
};
struct tenants {
	const struct hash_key *key; /* borrowed */
	uint32_t mask;              /* of the heads' arrays */
	uint32_t *dest_heads, *tenant_heads;
	struct tenants_dest *dests;
	struct tenant *tenants;
	uint32_t dest_free, dest_fresh, tenant_free, tenant_fresh;
};

/* Room for @n_rows of each: there is always one. @n_heads: a power of two. */
int tenants_init(struct tenants *tenants, const struct hash_key *key, uint32_t n_rows,
                 uint32_t n_heads) MUST_CHECK;
void tenants_fini(struct tenants *tenants);

/* One more row of @workload for @addr; returns the destination, for tenants_close(). */
uint32_t tenants_open(struct tenants *tenants, uint64_t workload,
                      const uint8_t addr[static ADDR_LEN]);
void tenants_close(struct tenants *tenants, uint32_t dest); /* TENANTS_NONE is fine */
uint32_t tenants_destinations(const struct tenants *tenants, uint64_t workload);
uint32_t tenants_rows(const struct tenants *tenants, uint64_t workload);
