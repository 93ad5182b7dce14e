/* fwsync/inbound.h - on which UDP ports of which guarded addresses a connection from outside may
 * begin: sorted, each once.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/prefix.h"

#include "guard.h"

struct inbound_port {
	uint8_t addr[ADDR_LEN];
	uint8_t port[2]; /* network order */
};
struct inbound {
	struct inbound_port *items;
	size_t n;
};

/* What the guard table says; of more than LIMIT_INBOUND the rest stays closed. Returns 0 or
 * ERR_NOMEM. */
int inbound_collect(const struct guard *guard, struct inbound *ret_inbound) MUST_CHECK;
void inbound_fini(struct inbound *inbound);
bool inbound_equal(const struct inbound *a, const struct inbound *b);
bool inbound_has(const struct inbound *inbound, const uint8_t addr[static ADDR_LEN], uint16_t port);
