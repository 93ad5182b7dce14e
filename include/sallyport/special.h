/* sallyport/special.h - special-use names that are never forwarded to the "." upstream (RFC 6761
 * and its updates; RFC 9462 resolver.arpa; RFC 8880 ipv4only.arpa; RFC 6303 and RFC 1918 reverse
 * zones).
 *
 * Asked only after hosts and the zones of `upstreams` other than "."; `test.` is not special.
 */
#pragma once

#include <stdint.h>

enum special {
	SPECIAL_NONE = 0,
	SPECIAL_LOCALHOST, /* A and AAAA loopback, else NODATA (RFC 6761, section 6.3) */
	SPECIAL_NXDOMAIN,  /* invalid, onion, local, alt, internal, home.arpa's inside, ... */
	SPECIAL_IPV4ONLY, /* ipv4only.arpa: its two well-known A records, else NODATA: no NAT64 here
	                     (RFC 8880, section 7.1, item 4) */
	SPECIAL_NODATA, /* resolver.arpa (RFC 9462, section 4) and the apexes of the empty zones */
};
/* @name: wire form, lower case. */
enum special special_of(const uint8_t *name);
