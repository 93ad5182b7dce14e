/* val_key.c - wire keys turned into OpenSSL's, signatures given to ldns' verifier, Ed25519's to
 * libsodium. */
#include "val_key.h"

#include <ldns/ldns.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/param_build.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/err.h"
#include "sallyport/keys.h"
#include "sallyport/name.h"
#include "val_wire.h"

enum kind { KIND_RSA, KIND_EC, KIND_ED25519, KIND_ED448 };

/* RFC 8624, section 3.1. An algorithm that is not here is unsupported: a zone that has only such is
 * insecure (RFC 4035, section 5.2). */
static const struct algorithm {
	uint8_t number;
	enum kind kind;
	const EVP_MD *(*digest)(void);   /* NULL: the algorithm hashes by itself */
	const char *key_type;            /* OpenSSL's: group of EC, type of EdDSA */
	uint16_t key_len, signature_len; /* octets; 0: RSA, they vary */
	bool sha1;
} algorithms[] = {
	{ VAL_RSASHA1, KIND_RSA, EVP_sha1, NULL, 0, 0, true },
	{ VAL_RSASHA1_NSEC3, KIND_RSA, EVP_sha1, NULL, 0, 0, true },
	{ VAL_RSASHA256, KIND_RSA, EVP_sha256, NULL, 0, 0, false },
	{ VAL_RSASHA512, KIND_RSA, EVP_sha512, NULL, 0, 0, false },
	{ VAL_ECDSAP256, KIND_EC, EVP_sha256, "P-256", 64, 64, false },
	{ VAL_ECDSAP384, KIND_EC, EVP_sha384, "P-384", 96, 96, false },
	{ VAL_ED25519, KIND_ED25519, NULL, NULL, 32, 64, false },
	{ VAL_ED448, KIND_ED448, NULL, "ED448", 57, 114, false },
};

static const struct algorithm *algorithm_of(uint8_t number)
{
	for (size_t i = 0; i < ARRAY_LEN(algorithms); i++) {
		if (algorithms[i].number == number)
			return &algorithms[i];
	}
	return NULL;
}

bool val_algorithm_supported(uint8_t algorithm, bool sha1)
{
	const struct algorithm *a = algorithm_of(algorithm);

	return a && (sha1 || !a->sha1);
}

bool val_digest_supported(uint8_t digest, bool sha1)
{
	return digest == VAL_SHA256 || digest == VAL_SHA384 || (digest == VAL_SHA1 && sha1);
}

uint16_t val_key_tag(const uint8_t *rdata, size_t len)
{
	return keys_tag(rdata, len);
}

static void params_free_cleanup(OSSL_PARAM **params)
{
	OSSL_PARAM_free(*params);
}
static void build_free_cleanup(OSSL_PARAM_BLD **build)
{
	OSSL_PARAM_BLD_free(*build);
}
static void ctx_free_cleanup(EVP_PKEY_CTX **ctx)
{
	EVP_PKEY_CTX_free(*ctx);
}
static void bn_free_cleanup(BIGNUM **bn)
{
	BN_free(*bn);
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *build)
{
	CLEANUP(params_free) OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
	CLEANUP(ctx_free) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *pkey = NULL;

	if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
		return NULL;
	return pkey;
}

/* RFC 3110, section 2: length of the exponent in one octet or, behind a zero, two; exponent;
 * modulus. */
static EVP_PKEY *rsa_key(const uint8_t *key, size_t len)
{
	CLEANUP(build_free) OSSL_PARAM_BLD *build = NULL;
	CLEANUP(bn_free) BIGNUM *e = NULL;
	CLEANUP(bn_free) BIGNUM *n = NULL;
	size_t e_len, at = 1;
	int bits;

	if (len < 3)
		return NULL;
	e_len = key[0];
	if (e_len == 0) {
		e_len = val_u16(key + 1);
		at = 3;
	}
	if (e_len == 0 || e_len > VAL_RSA_EXPONENT_OCTETS || len - at <= e_len ||
	    len - at - e_len > VAL_RSA_BITS_MAX / 8 + 1)
		return NULL;
	e = BN_bin2bn(key + at, (int)e_len, NULL);
	n = BN_bin2bn(key + at + e_len, (int)(len - at - e_len), NULL);
	build = OSSL_PARAM_BLD_new();
	if (!e || !n || !build)
		return NULL;
	bits = BN_num_bits(n);
	/* An even modulus or exponent is no RSA key; 1 would let anybody sign. */
	if (bits < VAL_RSA_BITS_MIN || bits > VAL_RSA_BITS_MAX || !BN_is_odd(n) || !BN_is_odd(e) ||
	    BN_is_one(e))
		return NULL;
	if (OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) != 1 ||
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) != 1)
		return NULL;
	return from_params("RSA", build);
}

/* RFC 6605, section 4: x | y. OpenSSL wants the uncompressed point of SEC 1 and checks that it lies
 * on the curve. */
static EVP_PKEY *ec_key(const struct algorithm *a, const uint8_t *key)
{
	CLEANUP(build_free) OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	uint8_t point[1 + 96] = { 0x04 };

	memcpy(point + 1, key, a->key_len);
	if (!build ||
	    OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, a->key_type, 0) !=
	        1 ||
	    OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point,
	                                     1u + a->key_len) != 1)
		return NULL;
	return from_params("EC", build);
}

bool val_key_read(const struct val_rdata *dnskey, bool sha1, struct val_key *ret_key)
{
	const struct algorithm *a;
	const uint8_t *key;
	size_t len;
	EVP_PKEY *pkey = NULL;

	if (dnskey->len <= 4 || dnskey->data[2] != 3) /* RFC 4034, section 2.1.2 */
		return false;
	if (!val_algorithm_supported(dnskey->data[3], sha1))
		return false;
	a = algorithm_of(dnskey->data[3]);
	key = dnskey->data + 4;
	len = dnskey->len - 4u;
	if (a->key_len != 0 && len != a->key_len)
		return false;
	switch (a->kind) {
	case KIND_RSA:
		pkey = rsa_key(key, len);
		break;
	case KIND_EC:
		pkey = ec_key(a, key);
		break;
	case KIND_ED25519: /* RFC 8080, section 3: the key is what it is */
		break;
	case KIND_ED448:
		pkey = EVP_PKEY_new_raw_public_key_ex(NULL, a->key_type, NULL, key, len);
		break;
	}
	if (!pkey && a->kind != KIND_ED25519)
		return false;
	*ret_key = (struct val_key){ .pkey = pkey,
		                     .tag = val_key_tag(dnskey->data, dnskey->len),
		                     .flags = val_u16(dnskey->data),
		                     .algorithm = a->number };
	crypto_generichash(ret_key->id, sizeof(ret_key->id), dnskey->data, dnskey->len, NULL, 0);
	if (a->kind == KIND_ED25519)
		memcpy(ret_key->ed25519, key, sizeof(ret_key->ed25519));
	return true;
}

struct val_keys *val_keys_make(const struct val_set *dnskey, bool sha1)
{
	struct val_keys *keys = calloc(1, sizeof(*keys));

	if (!keys)
		return NULL;
	atomic_init(&keys->refs, 1);
	for (unsigned int i = 0; i < dnskey->n_rrs; i++) {
		const struct val_rdata *rdata = &dnskey->rrs[i];
		uint16_t flags = rdata->len >= 2 ? val_u16(rdata->data) : 0;

		if (!(flags & VAL_KEY_ZONE) || (flags & VAL_KEY_REVOKED))
			continue;
		if (keys->n == LIMIT_VAL_KEYS)
			keys->n_left_out++;
		else
			keys->n += val_key_read(rdata, sha1, &keys->keys[keys->n]);
	}
	return keys;
}

struct val_keys *val_keys_ref(struct val_keys *keys)
{
	atomic_fetch_add_explicit(&keys->refs, 1, memory_order_relaxed);
	return keys;
}

void val_keys_unref(struct val_keys *keys)
{
	if (!keys || atomic_fetch_sub_explicit(&keys->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (uint32_t i = 0; i < keys->n; i++)
		EVP_PKEY_free(keys->keys[i].pkey);
	free(keys);
}

static const EVP_MD *digest_of(uint8_t number)
{
	switch (number) {
	case VAL_SHA1:
		return EVP_sha1();
	case VAL_SHA256:
		return EVP_sha256();
	case VAL_SHA384:
		return EVP_sha384();
	default:
		return NULL;
	}
}

/* RFC 4034, section 5.1.4: digest(owner | DNSKEY RDATA). */
bool val_ds_matches(const struct val_rdata *ds, const uint8_t *owner,
                    const struct val_rdata *dnskey)
{
	uint8_t text[NAME_MAX_WIRE + UINT16_MAX], digest[EVP_MAX_MD_SIZE];
	size_t owner_len = val_name_size(owner);
	const EVP_MD *md;
	unsigned int digest_len;

	if (ds->len < 5 || dnskey->len < 4 || ds->data[2] != dnskey->data[3] ||
	    val_u16(ds->data) != val_key_tag(dnskey->data, dnskey->len))
		return false;
	md = digest_of(ds->data[3]);
	if (!md)
		return false;
	memcpy(text, owner, owner_len);
	memcpy(text + owner_len, dnskey->data, dnskey->len);
	return EVP_Digest(text, owner_len + dnskey->len, digest, &digest_len, md, NULL) == 1 &&
	       digest_len == ds->len - 4u && memcmp(digest, ds->data + 4, digest_len) == 0;
}

/* RFC 6605, section 4: r | s on the wire; OpenSSL wants the DER of it. Returns its length or 0. */
static size_t ec_signature(const uint8_t *signature, size_t len, uint8_t *out, size_t size)
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(signature, (int)(len / 2), NULL);
	BIGNUM *s = BN_bin2bn(signature + len / 2, (int)(len / 2), NULL);
	int n = 0;

	if (sig && r && s && ECDSA_SIG_set0(sig, r, s) == 1) {
		r = s = NULL; /* they are sig's now */
		n = i2d_ECDSA_SIG(sig, NULL);
		n = n > 0 && (size_t)n <= size ? i2d_ECDSA_SIG(sig, &out) : 0;
	}
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(sig);
	return n > 0 ? (size_t)n : 0;
}

bool val_key_verify(const struct val_key *key, const uint8_t *octets, size_t len,
                    const uint8_t *signature, size_t signature_len)
{
	const struct algorithm *a = algorithm_of(key->algorithm);
	/* ldns reads what lies before the position, and only reads. */
	const ldns_buffer text = { ._position = len,
		                   ._limit = len,
		                   ._capacity = len,
		                   ._data = (uint8_t *)(uintptr_t)octets,
		                   ._fixed = 1 };
	uint8_t der[128];
	size_t der_len;

	if (!a || (a->signature_len != 0 && signature_len != a->signature_len))
		return false;
	if (a->kind == KIND_ED25519)
		return crypto_sign_verify_detached(signature, octets, len, key->ed25519) == 0;
	if (a->kind == KIND_EC) {
		der_len = ec_signature(signature, signature_len, der, sizeof(der));
		if (der_len == 0)
			return false;
		signature = der;
		signature_len = der_len;
	}
	return ldns_verify_rrsig_evp_raw(signature, signature_len, &text, key->pkey,
	                                 a->digest ? a->digest() : NULL) == LDNS_STATUS_OK;
}
