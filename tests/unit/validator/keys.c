/* tests/unit/validator/keys.c - private keys made from hashes of labels, by OpenSSL alone. */
#include "keys.h"

#include <assert.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/param_build.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/cleanup.h"
#include "val_key.h"
#include "val_wire.h"

enum { RSA_OCTETS = 128, PRIME_OCTETS = RSA_OCTETS / 2, CACHED = 16 };

/* SHA-512 of label and purpose: up to 64 octets of noise that are the same in every run. */
static void derive(const char *label, const char *purpose, uint8_t out[static 64])
{
	char text[400];
	int len = snprintf(text, sizeof(text), "%s|%s", label, purpose);

	assert(len > 0 && (size_t)len < sizeof(text));
	EVP_Digest(text, (size_t)len, out, NULL, EVP_sha512(), NULL);
}

static EVP_PKEY *make(const char *type, OSSL_PARAM_BLD *build)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *pkey = NULL;
	int ok = EVP_PKEY_fromdata_init(ctx) == 1 &&
	         EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params) == 1;

	assert(ok);
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	return pkey;
}

/* The first prime at or above what the label says, with its two upper bits set. */
static BIGNUM *prime(const char *label, const char *purpose, BN_CTX *ctx)
{
	uint8_t seed[64];
	BIGNUM *p;

	derive(label, purpose, seed);
	seed[0] |= 0xc0;
	seed[PRIME_OCTETS - 1] |= 1;
	p = BN_bin2bn(seed, PRIME_OCTETS, NULL);
	while (BN_check_prime(p, ctx, NULL) != 1 || BN_mod_word(p, 65537) == 1)
		BN_add_word(p, 2);
	return p;
}

static EVP_PKEY *make_rsa(const char *label)
{
	BN_CTX *ctx = BN_CTX_new();
	BIGNUM *p = prime(label, "p", ctx), *q = prime(label, "q", ctx);
	BIGNUM *n = BN_new(), *phi = BN_new(), *d = BN_new(), *e = BN_new();
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	EVP_PKEY *pkey;

	BN_set_word(e, 65537);
	BN_mul(n, p, q, ctx);
	BN_sub_word(p, 1);
	BN_sub_word(q, 1);
	BN_mul(phi, p, q, ctx);
	BN_mod_inverse(d, e, phi, ctx);
	OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n);
	OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e);
	OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_D, d);
	pkey = make("RSA", build);
	OSSL_PARAM_BLD_free(build);
	BN_free(p);
	BN_free(q);
	BN_free(n);
	BN_free(phi);
	BN_free(d);
	BN_free(e);
	BN_CTX_free(ctx);
	return pkey;
}

/* Finding primes takes 20 ms: each label's are found once. */
static EVP_PKEY *rsa_of(const char *label)
{
	static struct {
		char label[64];
		EVP_PKEY *pkey;
	} cache[CACHED];
	size_t i = 0;

	while (i < CACHED && cache[i].pkey && strcmp(cache[i].label, label) != 0)
		i++;
	assert(i < CACHED);
	if (!cache[i].pkey) {
		snprintf(cache[i].label, sizeof(cache[i].label), "%s", label);
		cache[i].pkey = make_rsa(label);
	}
	EVP_PKEY_up_ref(cache[i].pkey);
	return cache[i].pkey;
}

static EVP_PKEY *make_ec(const char *label, int curve, const char *group_name)
{
	EC_GROUP *group = EC_GROUP_new_by_curve_name(curve);
	EC_POINT *point = EC_POINT_new(group);
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	uint8_t seed[64], octets[1 + 96];
	BIGNUM *private = BN_new();
	EVP_PKEY *pkey;
	size_t len;

	derive(label, "scalar", seed);
	BN_bin2bn(seed, (EC_GROUP_get_degree(group) + 7) / 8, private);
	BN_mask_bits(private, EC_GROUP_get_degree(group) - 1); /* surely below the order */
	EC_POINT_mul(group, point, private, NULL, NULL, NULL);
	len = EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, octets,
	                         sizeof(octets), NULL);
	OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, group_name, 0);
	OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, octets, len);
	OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, private);
	pkey = make("EC", build);
	OSSL_PARAM_BLD_free(build);
	BN_free(private);
	EC_POINT_free(point);
	EC_GROUP_free(group);
	return pkey;
}

static size_t rsa_public(const EVP_PKEY *pkey, uint8_t *out)
{
	BIGNUM *n = NULL;

	EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n);
	memcpy(out, "\x03\x01\x00\x01", 4); /* RFC 3110, section 2 */
	BN_bn2binpad(n, out + 4, RSA_OCTETS);
	BN_free(n);
	return 4 + RSA_OCTETS;
}

static size_t ec_public(const EVP_PKEY *pkey, uint8_t *out)
{
	uint8_t octets[1 + 96];
	size_t len = 0;

	EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, octets, sizeof(octets),
	                                &len);
	memcpy(out, octets + 1, len - 1);
	return len - 1;
}

static size_t make_pair(struct key *key, const char *label, uint8_t *out)
{
	uint8_t seed[64];
	size_t len = 57;

	switch (key->algorithm) {
	case VAL_RSASHA1:
	case VAL_RSASHA1_NSEC3:
	case VAL_RSASHA256:
	case VAL_RSASHA512:
		key->pkey = rsa_of(label);
		return rsa_public(key->pkey, out);
	case VAL_ECDSAP256:
		key->pkey = make_ec(label, NID_X9_62_prime256v1, "P-256");
		return ec_public(key->pkey, out);
	case VAL_ECDSAP384:
		key->pkey = make_ec(label, NID_secp384r1, "P-384");
		return ec_public(key->pkey, out);
	case VAL_ED25519:
	case VAL_ED448:
		derive(label, "seed", seed);
		key->pkey = EVP_PKEY_new_raw_private_key(
		    key->algorithm == VAL_ED448 ? EVP_PKEY_ED448 : EVP_PKEY_ED25519, NULL, seed,
		    key->algorithm == VAL_ED448 ? 57 : 32);
		EVP_PKEY_get_raw_public_key(key->pkey, out, &len);
		return len;
	default:
		derive(label, "noise", out);
		return 64;
	}
}

void key_make(struct key *key, uint8_t algorithm, uint16_t flags, uint8_t protocol,
              const char *label)
{
	*key = (struct key){ .algorithm = algorithm };
	val_put16(key->rdata, flags);
	key->rdata[2] = protocol;
	key->rdata[3] = algorithm;
	key->rdata_len = (uint16_t)(4 + make_pair(key, label, key->rdata + 4));
	key->tag = val_key_tag(key->rdata, key->rdata_len);
}

/* A tag is a sum of 16-bit words: the last word but one brings any key to any tag, but for a carry
 * now and then, which the next try avoids. */
void key_collide(struct key *key, const struct key *model, unsigned int n)
{
	for (unsigned int try = 0;; try++) {
		char label[64];
		uint8_t noise[64], *word;
		uint32_t want;

		*key = (struct key){ .algorithm = model->algorithm, .rdata_len = model->rdata_len };
		memcpy(key->rdata, model->rdata, model->rdata_len);
		snprintf(label, sizeof(label), "collide %u %u", n, try);
		derive(label, "noise", noise);
		memcpy(key->rdata + model->rdata_len - 32, noise, 28);
		word = key->rdata + model->rdata_len - 4;
		val_put16(word, 0);
		want = (uint32_t)(model->tag - val_key_tag(key->rdata, key->rdata_len)) & 0xffff;
		val_put16(word, want);
		key->tag = val_key_tag(key->rdata, key->rdata_len);
		if (key->tag == model->tag)
			return;
		assert(try < 1000);
	}
}

void key_fini(struct key *key)
{
	EVP_PKEY_free(key->pkey);
	key->pkey = NULL;
}

static const EVP_MD *digest_of(uint8_t algorithm)
{
	switch (algorithm) {
	case VAL_RSASHA1:
	case VAL_RSASHA1_NSEC3:
		return EVP_sha1();
	case VAL_RSASHA256:
	case VAL_ECDSAP256:
		return EVP_sha256();
	case VAL_ECDSAP384:
		return EVP_sha384();
	case VAL_RSASHA512:
		return EVP_sha512();
	default:
		return NULL;
	}
}

/* RFC 6605, section 4: r | s, each as long as the group's order. */
static size_t ec_wire(const uint8_t *der, size_t len, size_t half, uint8_t *out)
{
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);

	BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, (int)half);
	BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + half, (int)half);
	ECDSA_SIG_free(sig);
	return 2 * half;
}

size_t key_sign(const struct key *key, const uint8_t *octets, size_t len,
                uint8_t out[static KEY_SIGNATURE_MAX])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t signature[KEY_SIGNATURE_MAX];
	size_t signature_len = sizeof(signature);
	int ok;

	if (!key->pkey) {
		EVP_MD_CTX_free(ctx);
		derive("a signature", "noise", out);
		derive("a signature", "more", out + 64);
		return key->algorithm == VAL_ED25519 || key->rdata_len < 100 ? 64 : RSA_OCTETS;
	}
	ok = EVP_DigestSignInit(ctx, NULL, digest_of(key->algorithm), NULL, key->pkey) == 1 &&
	     EVP_DigestSign(ctx, signature, &signature_len, octets, len) == 1;
	assert(ok);
	EVP_MD_CTX_free(ctx);
	if (key->algorithm == VAL_ECDSAP256 || key->algorithm == VAL_ECDSAP384)
		return ec_wire(signature, signature_len, key->algorithm == VAL_ECDSAP256 ? 32 : 48,
		               out);
	memcpy(out, signature, signature_len);
	return signature_len;
}

size_t key_ds(const struct key *key, const uint8_t *owner, uint8_t digest,
              uint8_t out[static KEY_DS_MAX])
{
	uint8_t text[255 + KEY_RDATA_MAX];
	size_t owner_len = val_name_size(owner);
	const EVP_MD *md = digest == 1   ? EVP_sha1()
	                   : digest == 2 ? EVP_sha256()
	                   : digest == 4 ? EVP_sha384()
	                                 : EVP_sha512();
	unsigned int len = 0;

	memcpy(text, owner, owner_len);
	memcpy(text + owner_len, key->rdata, key->rdata_len);
	val_put16(out, key->tag);
	out[2] = key->algorithm;
	out[3] = digest;
	EVP_Digest(text, owner_len + key->rdata_len, out + 4, &len, md, NULL);
	return 4 + len;
}
