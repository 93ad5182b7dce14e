/* resolver/key_fetch.h - the keeper wants the DNSKEY RRset of a trust anchor's zone (RFC 5011).
 *
 * Asked of the zone's upstreams by the first worker, whatever the cache has. Nothing is believed of
 * it here: the keeper has it verified elsewhere (sallyport/keys.h). The name is the
 * configuration's, so no workload says where a question goes (promise P2).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"

struct worker;
struct key_fetch;

/* What came of it: the payload of ROLE_MSG_KEYS. Freed with free(). */
struct key_answer {
	size_t len;
	uint8_t payload[];
};

struct key_fetch *key_fetch_new(void);
/* After fetches_free(). NULL is fine. */
void key_fetch_free(struct key_fetch *fetch);
/* On @worker's loop: ask for the keys of @name (lower case). One is under way already: nothing is
 * done. */
void key_fetch_start(struct key_fetch *fetch, struct worker *worker, const uint8_t *name);
/* From any thread: what has come since, the caller's; or NULL. */
struct key_answer *key_fetch_take(struct key_fetch *fetch);
