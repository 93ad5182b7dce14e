/* val_key.h - DNSKEYs ready to verify with, and DS records that name them.
 *
 * A key is converted for OpenSSL once, when its zone's DNSKEY RRset is believed; verifying then
 * costs the signature alone. A key that cannot be used (unknown algorithm, malformed, of absurd
 * size) is left out: a signature by it verifies nothing.
 */
#pragma once

#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/limits.h"
#include "val_message.h"

enum val_algorithm { /* RFC 8624, section 3.1; RFC 9904 */
	             VAL_RSASHA1 = 5,
	             VAL_RSASHA1_NSEC3 = 7,
	             VAL_RSASHA256 = 8,
	             VAL_RSASHA512 = 10,
	             VAL_ECDSAP256 = 13,
	             VAL_ECDSAP384 = 14,
	             VAL_ED25519 = 15,
	             VAL_ED448 = 16,
};
enum val_digest { VAL_SHA1 = 1, VAL_SHA256 = 2, VAL_SHA384 = 4 };

enum val_key_limit {
	VAL_RSA_BITS_MIN = 512,      /* RFC 3110 */
	VAL_RSA_BITS_MAX = 4096,     /* RFC 3110, section 2 */
	VAL_RSA_EXPONENT_OCTETS = 8, /* a longer one only costs time */
};

/* Flags of a DNSKEY (RFC 4034, section 2.1.1; RFC 5011, section 3). */
#define VAL_KEY_ZONE 0x0100
#define VAL_KEY_REVOKED 0x0080
#define VAL_KEY_SEP 0x0001

struct val_key {
	EVP_PKEY *pkey;      /* NULL for Ed25519 */
	uint8_t ed25519[32]; /* that key, for libsodium, which takes half of OpenSSL's time */
	uint8_t id[16];      /* a hash of its RDATA: what val_seen.h tells keys apart by */
	uint16_t tag, flags;
	uint8_t algorithm;
};

struct val_keys { /* immutable, shared between threads */
	_Atomic uint32_t refs;
	uint32_t n;
	uint32_t n_left_out; /* over LIMIT_VAL_KEYS */
	struct val_key keys[LIMIT_VAL_KEYS];
};

bool val_algorithm_supported(uint8_t algorithm, bool sha1);
bool val_digest_supported(uint8_t digest, bool sha1);

/* RFC 4034, appendix B. */
uint16_t val_key_tag(const uint8_t *rdata, size_t len);

/* The keys of a DNSKEY RRset that may verify data: zone flag set, protocol 3, not revoked (RFC
 * 4034, section 2.1; RFC 5011, section 2.1), algorithm supported. One reference for the caller;
 * NULL: out of memory. */
struct val_keys *val_keys_make(const struct val_set *dnskey, bool sha1);
struct val_keys *val_keys_ref(struct val_keys *keys);
void val_keys_unref(struct val_keys *keys); /* NULL is fine */
DEFINE_CLEANUP(struct val_keys *, val_keys_unref)

/* One key for itself; false when it cannot be used. The caller frees key->pkey. */
bool val_key_read(const struct val_rdata *dnskey, bool sha1, struct val_key *ret_key);

/* Does the DS with this RDATA name the DNSKEY of @owner (lower case) with that RDATA? Tag,
 * algorithm and digest are compared (RFC 4034, section 5.1.4). */
bool val_ds_matches(const struct val_rdata *ds, const uint8_t *owner,
                    const struct val_rdata *dnskey);

/* Does @signature over @octets verify with @key? One public-key operation. */
bool val_key_verify(const struct val_key *key, const uint8_t *octets, size_t len,
                    const uint8_t *signature, size_t signature_len);
