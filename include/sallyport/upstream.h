/* sallyport/upstream.h - is an upstream server fit to be validated? What the resolver finds out,
 * and the keeper tells.
 *
 * One word for each server of each zone of `upstreams`, in the resolver's stats page: the state in
 * the low octet, in the upper 48 bits a tag of zone, address and port. Indexes are those of the
 * configuration, which may be changing under a reader: a word with another tag says nothing.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "sallyport/limits.h"

struct conf_zone;

/* X(symbol, text of `--json`, what is wrong with it; NULL: nothing) */
#define UPSTREAM_STATES(X)                                                                         \
	X(UNKNOWN, "unknown", NULL) /* not probed, or it said nothing that would tell */           \
	X(FIT, "fit", NULL)                                                                        \
	X(NO_EDNS, "no EDNS", "answers without EDNS, so it gives no signatures")                   \
	X(NO_DNSKEY, "no DNSKEY", "gives no DNSKEY where a trust anchor says that there is one")   \
	X(NO_RRSIG, "no RRSIG", "gives no signatures with the DNSKEY records")

#define UPSTREAM_ENUM_(sym, text, wrong) UPSTREAM_##sym,
enum upstream_state { UPSTREAM_STATES(UPSTREAM_ENUM_) UPSTREAM_N };

const char *upstream_state_str(enum upstream_state state);
const char *upstream_wrong_str(enum upstream_state state); /* NULL: nothing is wrong */
static inline bool upstream_is_unfit(enum upstream_state state)
{
	return state >= UPSTREAM_NO_EDNS;
}

struct upstream_words {
	_Atomic uint64_t words[LIMIT_ZONES][LIMIT_ZONE_SERVERS];
};

/* Of the server @server of @zone, which is number @z. */
enum upstream_state upstream_state(const struct upstream_words *words, unsigned int z,
                                   const struct conf_zone *zone, unsigned int server);
void upstream_set_state(struct upstream_words *words, unsigned int z, const struct conf_zone *zone,
                        unsigned int server, enum upstream_state state);
/* An answer was such that the server may have become unfit: it is to be probed. The next
 * upstream_take_suspicion() says so, once. */
void upstream_suspect(struct upstream_words *words, unsigned int z, const struct conf_zone *zone,
                      unsigned int server);
bool upstream_take_suspicion(struct upstream_words *words, unsigned int z,
                             const struct conf_zone *zone, unsigned int server);
