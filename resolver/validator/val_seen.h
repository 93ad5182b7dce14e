/* val_seen.h - signatures that have verified, so that none is checked twice.
 *
 * A zone's SOA and the few NSEC or NSEC3 records that deny most of its names come with answer after
 * answer. Whether a signature verifies depends on the key, the octets and the signature alone;
 * whether it counts (its times, its signer, its labels) is decided anew each time. A row is a keyed
 * hash of the three, and the table, which is shared by all workers, forgets by overwriting.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"
#include "val_key.h"

enum val_seen_limit {
	VAL_SEEN_ROWS = 16384, /* of 16 octets */
};

struct val_seen;
struct val_seen *val_seen_new(const uint8_t hash_key[static 16]); /* NULL: out of memory */
void val_seen_free(struct val_seen *seen);                        /* NULL is fine */
DEFINE_CLEANUP(struct val_seen *, val_seen_free)

struct val_seen_mark { /* of one key, octets and signature */
	uint64_t words[3];
};
struct val_seen_mark val_seen_mark(const struct val_seen *seen, const struct val_key *key,
                                   const uint8_t *octets, size_t len, const uint8_t *signature,
                                   size_t signature_len);
bool val_seen_has(struct val_seen *seen, const struct val_seen_mark *mark);
void val_seen_put(struct val_seen *seen, const struct val_seen_mark *mark);
