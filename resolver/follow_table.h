/* resolver/follow_table.h - chains that workloads were given, so that they may ask the targets
 * themselves while the chain's TTL runs (design, section 4, follow; systemd-resolved does).
 *
 * Shared by the workers (a mutex a shard); bounded to LIMIT_FOLLOW_TARGETS a workload; a row is
 * void under another policy version.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sallyport/cleanup.h"

struct follow_table;
struct follow_table *follow_table_new(const uint8_t hash_key[static 16]);
void follow_table_free(struct follow_table *table);
/* Remember that @workload was given @target (lower case) by a chain that began at @name, until
 * @until_ns. Returns 0 or ERR_LIMIT (counted by the caller). */
int follow_table_put(struct follow_table *table, uint32_t policy_version, uint32_t workload,
                     const uint8_t *target, const uint8_t *name, uint64_t now_ns,
                     uint64_t until_ns);
/* Was @target given? Then the name at which the chain began is copied into @ret_name; the caller
 * judges that name again and asks policy_judge_target() with its verdict. */
bool follow_table_get(struct follow_table *table, uint32_t policy_version, uint32_t workload,
                      const uint8_t *target, uint64_t now_ns, uint8_t *ret_name);
