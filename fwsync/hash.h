/* fwsync/hash.h - one keyed hash for every table of the book: names and addresses are the
 * workloads' choice, so the key is a secret of this process.
 */
#pragma once

#include <sodium.h>
#include <stdint.h>
#include <string.h>

#define HASH_NONE UINT32_MAX /* the end of a chain */

struct hash_key {
	uint8_t octets[crypto_shorthash_KEYBYTES];
};

static inline uint64_t hash_of(const struct hash_key *key, const void *data, size_t len)
{
	uint8_t out[crypto_shorthash_BYTES];
	uint64_t hash;

	crypto_shorthash(out, data, len, key->octets);
	memcpy(&hash, out, sizeof(hash));
	return hash;
}

/* The heads of @n chains, all empty; NULL without memory. */
uint32_t *hash_heads_new(uint32_t n);
