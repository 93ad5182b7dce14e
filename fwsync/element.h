/* fwsync/element.h - a ledger's element as the kernel's sets know it: which set, which key.
 *
 *   kind   IPv4             IPv6             key, each field padded to four octets
 *   PORT   pinhole4         pinhole6         source . destination . protocol . port
 *   PROTO  pinhole4_proto   pinhole6_proto   source . destination . protocol
 *   ANY    pinhole4_any     pinhole6_any     source . destination
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/ledger.h"

/* Whom an element's comment names: "q<query> v<policy version> r<rule>", ids only. Renewing keeps
 * the old comment; the ledger has the newest. */
struct element_ids {
	uint64_t query_id; /* 0: no comment */
	uint32_t policy_version, rule;
};

enum pinhole_set { SET4, SET4_PROTO, SET4_ANY, SET6, SET6_PROTO, SET6_ANY, SET_N };

const char *element_set_name(enum pinhole_set set);
size_t element_key_len(enum pinhole_set set);
enum pinhole_set element_set(const struct ledger_element *element);
/* The key of @element, which must be of one family; returns its length. */
#define ELEMENT_KEY_MAX 40
size_t element_key(const struct ledger_element *element, uint8_t ret_key[static ELEMENT_KEY_MAX]);
/* The other way: the element that @key means in the set called @name. Returns 0 or ERR_MALFORMED.
 */
int element_from_key(const char *name, const uint8_t *key, size_t len,
                     struct ledger_element *ret_element) MUST_CHECK;

/* The elements that let a connection in, by what its first packet looked like: with its port, its
 * protocol, anything. */
#define ELEMENT_CANDIDATES 3
void element_candidates(const uint8_t src[static ADDR_LEN], const uint8_t dst[static ADDR_LEN],
                        uint8_t proto, uint16_t port,
                        struct ledger_element ret[static ELEMENT_CANDIDATES]);
