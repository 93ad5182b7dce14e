/* resolver/amplification.c - a cell is the moment at which all that was charged will have been paid
 * off (a virtual schedule, as in GCRA): spent is what lies more than a second ahead. */
#include "amplification.h"

#include <sodium/crypto_shorthash.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/clock.h"

#define CELLS 16384

struct amplification {
	uint8_t hash_key[16];
	_Atomic uint64_t paid_ns[CELLS];
};

struct amplification *amplification_new(const uint8_t hash_key[static 16])
{
	struct amplification *table = calloc(1, sizeof(*table));

	if (table)
		memcpy(table->hash_key, hash_key, sizeof(table->hash_key));
	return table;
}

void amplification_free(struct amplification *table)
{
	free(table);
}

static size_t cell_of(const struct amplification *table, const uint8_t addr[static ADDR_LEN])
{
	uint8_t prefix[ADDR_LEN] = { 0 };
	uint64_t hash;

	memcpy(prefix, addr, addr_is_v4(addr) ? 15 : 7);
	crypto_shorthash((uint8_t *)&hash, prefix, sizeof(prefix), table->hash_key);
	return (size_t)hash % CELLS;
}

bool amplification_spent(const struct amplification *table, const uint8_t addr[static ADDR_LEN],
                         uint64_t now_ns)
{
	return atomic_load_explicit(&table->paid_ns[cell_of(table, addr)], memory_order_relaxed) >
	       now_ns + NS_PER_S;
}

void amplification_charge(struct amplification *table, const uint8_t addr[static ADDR_LEN],
                          size_t len, size_t query_len, uint64_t per_second, uint64_t now_ns)
{
	const size_t free_of_charge = query_len * AMPLIFICATION_FACTOR;
	_Atomic uint64_t *cell;
	uint64_t cost_ns, paid_ns;

	if (len <= free_of_charge)
		return;
	cost_ns = (len - free_of_charge) * NS_PER_S / per_second;
	cell = &table->paid_ns[cell_of(table, addr)];
	paid_ns = atomic_load_explicit(cell, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(
	    cell, &paid_ns, (paid_ns > now_ns ? paid_ns : now_ns) + cost_ns, memory_order_relaxed,
	    memory_order_relaxed))
		;
}
