/* resolver/held.c - confirmed pinholes, in sets of four rows. */
#include "held.h"

#include <sodium/crypto_shorthash.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/cleanup.h"

#define WAYS 4

struct held_row {
	uint8_t addr[ADDR_LEN];
	uint64_t uid; /* 0: free; forms count from 1 */
	uint64_t epoch;
	uint64_t until_ns;
	uint32_t workload;
	uint32_t reserved;
};

struct held {
	uint8_t key[16];
	uint64_t n_sets; /* a power of two */
	struct held_row rows[];
};

struct held *held_new(unsigned int rows, const uint8_t hash_key[static 16])
{
	uint64_t n_sets = 1;
	struct held *held;

	while (n_sets * WAYS < rows)
		n_sets *= 2;
	held = calloc(1, sizeof(*held) + n_sets * WAYS * sizeof(held->rows[0]));
	if (!held)
		return NULL;
	memcpy(held->key, hash_key, sizeof(held->key));
	held->n_sets = n_sets;
	return held;
}

void held_free(struct held *held)
{
	free(held);
}

/* Keyed: a client with a whole IPv6 prefix could otherwise choose addresses that share a set. */
static size_t first_of_set(const struct held *held, const uint8_t *addr, uint32_t workload,
                           uint64_t uid)
{
	uint8_t in[ADDR_LEN + sizeof(workload) + sizeof(uid)];
	uint64_t hash;

	memcpy(in, addr, ADDR_LEN);
	memcpy(in + ADDR_LEN, &workload, sizeof(workload));
	memcpy(in + ADDR_LEN + sizeof(workload), &uid, sizeof(uid));
	crypto_shorthash((uint8_t *)&hash, in, sizeof(in), held->key);
	return (size_t)(hash & (held->n_sets - 1)) * WAYS;
}

static bool is(const struct held_row *row, const uint8_t *addr, uint32_t workload, uint64_t uid)
{
	return row->uid == uid && row->workload == workload &&
	       memcmp(row->addr, addr, ADDR_LEN) == 0;
}

uint64_t held_until(const struct held *held, const uint8_t addr[static ADDR_LEN], uint32_t workload,
                    uint64_t uid, uint64_t epoch)
{
	const struct held_row *row = &held->rows[first_of_set(held, addr, workload, uid)];

	for (size_t i = 0; i < WAYS; i++, row++) {
		if (is(row, addr, workload, uid))
			return row->epoch == epoch ? row->until_ns : 0;
	}
	return 0;
}

void held_set(struct held *held, const uint8_t addr[static ADDR_LEN], uint32_t workload,
              uint64_t uid, uint64_t epoch, uint64_t until_ns)
{
	struct held_row *set = &held->rows[first_of_set(held, addr, workload, uid)];
	struct held_row *row = set;

	/* The same pinholes, else the row that would end first (a free one ends at 0). */
	for (size_t i = 0; i < WAYS; i++) {
		if (is(&set[i], addr, workload, uid)) {
			row = &set[i];
			break;
		}
		if (set[i].until_ns < row->until_ns)
			row = &set[i];
	}
	*row = (struct held_row){
		.uid = uid, .epoch = epoch, .until_ns = until_ns, .workload = workload
	};
	memcpy(row->addr, addr, ADDR_LEN);
}
