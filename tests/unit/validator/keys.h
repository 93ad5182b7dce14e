/* tests/unit/validator/keys.h - DNSSEC keys for tests, each derived from its label: the same key,
 * tag and DS in every run, without a private key in the tree.
 */
#pragma once

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

enum {
	KEY_RDATA_MAX = 300,
	KEY_SIGNATURE_MAX = 256,
	KEY_DS_MAX = 4 + 64,
};

struct key {
	EVP_PKEY *pkey; /* NULL: an algorithm that is unknown, or a key that nobody has */
	uint8_t algorithm;
	uint16_t tag;
	uint16_t rdata_len;
	uint8_t rdata[KEY_RDATA_MAX]; /* of its DNSKEY */
};

/* The key called @label. Unknown algorithms get noise for a key. */
void key_make(struct key *key, uint8_t algorithm, uint16_t flags, uint8_t protocol,
              const char *label);
/* The @n-th key with the algorithm and the tag of @model, whose private half nobody has: RSA or
 * Ed25519 (CVE-2023-50387). */
void key_collide(struct key *key, const struct key *model, unsigned int n);
void key_fini(struct key *key);

/* Sign; noise where there is no private key. Returns the length. */
size_t key_sign(const struct key *key, const uint8_t *octets, size_t len,
                uint8_t out[static KEY_SIGNATURE_MAX]);
/* RDATA of the DS that names @key of @owner (lower case); noise for unknown digests. */
size_t key_ds(const struct key *key, const uint8_t *owner, uint8_t digest,
              uint8_t out[static KEY_DS_MAX]);
