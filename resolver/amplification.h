/* resolver/amplification.h - what goes by UDP to an address that may be forged.
 *
 * Whoever forges a client's address has us send that client our answers. As many octets as somebody
 * sends he may have back threefold (the bound that QUIC sets for the same reason: RFC 9000, section
 * 8); what answers have beyond that is charged to the client's prefix (/24, /56), which has a
 * budget a second. While the budget is spent, answers to the prefix are cut to three times their
 * query: TC=1, and a real client comes back by TCP. A valid server cookie (RFC 7873) proves the
 * address and is neither charged nor cut. Not the number of answers is limited but what they are
 * worth to somebody who forges: a workload that asks for addresses as fast as we can answer never
 * meets the limit.
 *
 * One cell for each prefix by a keyed hash, shared by the workers, bounded: prefixes that meet in a
 * cell share its budget. Without locks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/prefix.h"

#define AMPLIFICATION_FACTOR 3

struct amplification;

struct amplification *amplification_new(const uint8_t hash_key[static 16]); /* NULL: no memory */
void amplification_free(struct amplification *table);                       /* NULL is fine */

/* Is the budget of @addr's prefix spent? */
bool amplification_spent(const struct amplification *table, const uint8_t addr[static ADDR_LEN],
                         uint64_t now_ns);
/* An answer of @len octets went to @addr for a query of @query_len; the budget is @per_second
 * octets, a second of which may be used at once. */
void amplification_charge(struct amplification *table, const uint8_t addr[static ADDR_LEN],
                          size_t len, size_t query_len, uint64_t per_second, uint64_t now_ns);
