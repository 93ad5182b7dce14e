/* resolver/netclass.h - which addresses an answer may carry (design, section 3, guard). */
#pragma once

#include <stdint.h>

#include "sallyport/prefix.h"

enum netclass {
	NETCLASS_NEVER = 0, /* loopback, unspecified, multicast, broadcast, link-local, reserved: no
	                       pinhole can ever be meant */
	NETCLASS_INTERNAL, /* not globally reachable by the special-purpose registries (RFC 6890 and
	                      its updates), but usable inside: private use, CGNAT, ULA,
	                      documentation, benchmarking ... */
	NETCLASS_GLOBAL,
};
/* IPv4 inside NAT64 (64:ff9b::/96, 64:ff9b:1::/48), 6to4, Teredo and mapped addresses is classified
 * by the IPv4 address, never milder than the IPv6 address itself. */
enum netclass netclass_of(const uint8_t addr[static ADDR_LEN]);
