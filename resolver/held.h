/* resolver/held.h - pinholes that fwsync has confirmed to this worker, so that a repeated answer
 * costs one table lookup and no system call.
 *
 * One row says: the client at this address holds every address of this form until then, opened in
 * that epoch. It is only a memory of confirmations: evicting a row costs one more request. fwsync
 * keeps the ledger and the limits. Bounded, set-associative, no allocation after the start.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sallyport/prefix.h"

struct held;
struct held *held_new(unsigned int rows,
                      const uint8_t hash_key[static 16]); /* NULL: out of memory */
void held_free(struct held *held);
/* Until when (CLOCK_MONOTONIC) does @addr hold form @uid under @workload in @epoch? 0: not held. */
uint64_t held_until(const struct held *held, const uint8_t addr[static ADDR_LEN], uint32_t workload,
                    uint64_t uid, uint64_t epoch);
void held_set(struct held *held, const uint8_t addr[static ADDR_LEN], uint32_t workload,
              uint64_t uid, uint64_t epoch, uint64_t until_ns);
