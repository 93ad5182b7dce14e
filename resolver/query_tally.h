/* resolver/query_tally.h - how many queries are in flight for each client and each workload.
 *
 * An open-addressed table with one row for each that has at least one; rows go when they reach
 * zero, so its room (twice the queries in flight, for each query holds two rows) never runs out.
 */
#pragma once

#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/prefix.h"

struct query_tally;

/* Room for @queries in flight. NULL: out of memory. */
struct query_tally *query_tally_new(unsigned int queries, const uint8_t hash_key[static 16]);
void query_tally_free(struct query_tally *tally); /* NULL is fine */
DEFINE_CLEANUP(struct query_tally *, query_tally_free)

struct query_tally_key {
	uint8_t addr[ADDR_LEN]; /* of a client; zero for a workload */
	uint32_t workload;      /* of a workload; UINT32_MAX for a client */
};

/* Queries in flight under @key. */
unsigned int query_tally_get(const struct query_tally *tally, const struct query_tally_key *key);
/* One more; ERR_LIMIT when the table is full (more rows than it was made for). */
int query_tally_add(struct query_tally *tally, const struct query_tally_key *key) MUST_CHECK;
/* One less, of a key that was added. */
void query_tally_remove(struct query_tally *tally, const struct query_tally_key *key);
