/* keeper/listeners.h - the listening sockets, opened by the keeper and kept for its whole life.
 *
 * For each listener one UDP and one TCP socket a worker (SO_REUSEPORT spreads the load in the
 * kernel). A resolver that dies leaves its queries waiting here for its successor.
 *
 * An address that the host does not have yet is bound all the same (IP_FREEBIND), with a warning,
 * so that Sallyport can start before the network is up; IPV6_V6ONLY is always set.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/diag.h"
#include "sallyport/limits.h"
#include "sallyport/role.h"

struct listener {
	struct conf_listener conf;
	int udp[LIMIT_WORKERS], tcp[LIMIT_WORKERS];
};
struct listeners {
	uint32_t n, workers;
	struct listener items[LIMIT_LISTENERS];
};

/* Open what @conf lists, in its order. Sockets that @old (NULL: nothing) has already are shared
 * with it. Faults and warnings go into @diag, without a place. Returns 0 with a set of the
 * caller's, or an error; @old is as it was either way. */
int listeners_open(const struct resolver_conf *conf, const struct listeners *old,
                   struct listeners **ret_listeners, struct diag *diag) MUST_CHECK;
void listeners_free(struct listeners *listeners); /* closes its descriptors; NULL is fine */
DEFINE_CLEANUP(struct listeners *, listeners_free)
