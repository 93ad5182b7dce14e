/* sallyport/prefix.h - addresses and prefixes, IPv4 and IPv6 alike.
 *
 * An address is always 16 octets in network order; IPv4 is mapped (::ffff:0:0/96, RFC 4291,
 * section 2.5.5.2). A prefix length counts the 128 bits: an IPv4 /24 is 120.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "sallyport/cleanup.h"

#define ADDR_LEN 16
#define ADDR_TEXT_LEN 46   /* INET6_ADDRSTRLEN */
#define PREFIX_TEXT_LEN 50 /* address, '/', up to three digits, terminator */

struct prefix {
	uint8_t addr[ADDR_LEN]; /* bits beyond len are zero */
	uint8_t len;            /* 0..128 */
};

bool addr_is_v4(const uint8_t addr[static ADDR_LEN]);
void addr_from_v4(const uint8_t v4[static 4], uint8_t ret_addr[static ADDR_LEN]);

/* "192.0.2.1" or "2001:db8::1" (RFC 5952). */
void addr_text(const uint8_t addr[static ADDR_LEN], char out[static ADDR_TEXT_LEN]);
/* Returns 0 or ERR_INVAL. Takes plain IPv4 and IPv6, no zone, no brackets. */
int addr_parse(const char *text, uint8_t ret_addr[static ADDR_LEN]) MUST_CHECK;

/* From and to socket addresses (AF_INET, AF_INET6). addr_from_sockaddr returns 0 or ERR_INVAL;
 * addr_to_sockaddr makes AF_INET of a mapped address and returns the length. */
int addr_from_sockaddr(const struct sockaddr *sa, uint8_t ret_addr[static ADDR_LEN],
                       uint16_t *ret_port) MUST_CHECK;
socklen_t addr_to_sockaddr(const uint8_t addr[static ADDR_LEN], uint16_t port,
                           struct sockaddr_storage *ret_sa);

/* "10.0.0.0/8", "2001:db8::/32" or a bare address. Returns 0, ERR_INVAL (syntax or length), or
 * ERR_CONFIG when bits beyond the length are set (@ret_prefix is filled, with them cleared, so that
 * the caller can say what would be right). */
int prefix_parse(const char *text, struct prefix *ret_prefix) MUST_CHECK;
void prefix_text(const struct prefix *prefix, char out[static PREFIX_TEXT_LEN]);
bool prefix_has(const struct prefix *prefix, const uint8_t addr[static ADDR_LEN]);
bool prefix_is_v4(const struct prefix *prefix); /* lies inside ::ffff:0:0/96 */
