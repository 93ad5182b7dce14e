/* resolver/entry_new.h - making entries: for those files only that do. Whoever has made one is its
 * only holder until it is shared, and does not change it afterwards.
 */
#pragma once

#include "entry.h"

/* An entry whose octets begin with @name, and have @n_octets more behind it; without records yet,
 * expired from the first. NULL: out of memory, or @name is none. */
struct entry *entry_new(const uint8_t *name, uint16_t type, size_t n_rrs, size_t n_octets,
                        uint64_t now_ns);
uint8_t *entry_own_octets(struct entry *entry);
struct entry_rr *entry_own_rrs(struct entry *entry);
/* What was to be used once only (TTL 0) is not kept for worse days. */
void entry_set_life(struct entry *entry, uint32_t ttl_s, uint32_t stale_s);
