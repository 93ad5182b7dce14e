/* fwsync/destination.h - which destinations a pinhole may have, by the IANA special-purpose address
 * registries (RFC 6890 and its updates), independent of what the resolver thinks.
 */
#pragma once

#include <stdint.h>

#include "sallyport/prefix.h"

/* Zero is the safe value. */
enum destination {
	DESTINATION_NEVER =
	    0, /* loopback, unspecified, multicast, broadcast, link-local, reserved */
	DESTINATION_INTERNAL, /* not globally reachable: only inside a workload's internal prefixes
	                       */
	DESTINATION_GLOBAL,
};

/* IPv4 embedded in NAT64 (64:ff9b::/96, 64:ff9b:1::/48), 6to4 and Teredo addresses counts, too: the
 * result is the stricter of the two. */
enum destination destination_of(const uint8_t addr[static ADDR_LEN]);
