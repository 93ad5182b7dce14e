/* resolver/tally.h - how much of what is bounded is in use, over all workers: queries in flight and
 * TCP connections, in all and of each client and workload.
 *
 * Shared by the workers; any thread may call any of this. What is claimed here waits for somebody
 * (an upstream, fwsync, a client that thinks), so a lock of one shard for a moment costs nothing
 * that matters; what is answered at once never comes here. A row lives while something is claimed
 * under its key, so there are never more rows than claims, and claims are bounded by the limits in
 * all.
 */
#pragma once

#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/prefix.h"

struct tally;

enum tally_what {
	TALLY_QUERIES = 0, /* in flight, prefetches included */
	TALLY_CONNECTIONS, /* by TCP */
	TALLY_AHEAD,       /* of the queries: for targets, before anybody asks */
	TALLY_N,
};
#define TALLY_CLIENT UINT32_MAX

struct tally_key {
	uint8_t addr[ADDR_LEN]; /* of a client; zero for a workload */
	uint32_t workload;      /* TALLY_CLIENT for a client */
	uint32_t what;          /* enum tally_what */
};

struct tally *tally_new(const uint8_t hash_key[static 16]); /* NULL: out of memory */
void tally_free(struct tally *tally);                       /* NULL is fine */
DEFINE_CLEANUP(struct tally *, tally_free)

/* One more of @what, or of @key's, while there are fewer than @max. Returns 0, ERR_LIMIT or, for a
 * key, ERR_NOMEM; then nothing was claimed. Limits may change between calls: nothing that is in use
 * is lost, and no more is claimed until there is less than the new one. */
int tally_claim(struct tally *tally, enum tally_what what, uint32_t max) MUST_CHECK;
int tally_claim_of(struct tally *tally, const struct tally_key *key, uint32_t max) MUST_CHECK;
/* One less of what was claimed. */
void tally_release(struct tally *tally, enum tally_what what);
void tally_release_of(struct tally *tally, const struct tally_key *key);

uint32_t tally_in_use(const struct tally *tally, enum tally_what what);
uint32_t tally_in_use_of(struct tally *tally, const struct tally_key *key);
