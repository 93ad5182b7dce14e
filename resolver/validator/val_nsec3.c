/* val_nsec3.c - proofs by NSEC3 (RFC 5155, section 8; RFC 9276). */
#include "val_nsec.h"

#include <openssl/evp.h>
#include <string.h>

#include "sallyport/cleanup.h"
#include "sallyport/name.h"

#define HASH_LEN 20  /* SHA-1, the only algorithm there is (RFC 5155, section 11) */
#define LABEL_LEN 32 /* base32hex of it */
#define FLAG_OPT_OUT 0x01

struct nsec3 {
	uint8_t owner[HASH_LEN], next[HASH_LEN];
	bool opt_out;
	uint16_t iterations;
	struct val_types types;
};

/* Base32 with the extended hex alphabet, without padding (RFC 4648, section 7). */
static bool decode_label(const uint8_t *label, uint8_t out[static HASH_LEN])
{
	uint32_t bits = 0;
	unsigned int n_bits = 0;
	size_t at = 0;

	if (label[0] != LABEL_LEN)
		return false;
	for (size_t i = 1; i <= LABEL_LEN; i++) {
		uint8_t c = label[i];
		uint32_t value;

		if (c >= '0' && c <= '9')
			value = c - (uint32_t)'0';
		else if (c >= 'a' && c <= 'v')
			value = 10 + c - (uint32_t)'a';
		else
			return false;
		bits = (bits << 5 | value) & 0xfff;
		n_bits += 5;
		if (n_bits >= 8) {
			n_bits -= 8;
			out[at++] = (uint8_t)(bits >> n_bits);
		}
	}
	return true;
}

/* RFC 5155, section 3.2: algorithm, flags, iterations, salt, next hashed owner, types. Returns the
 * offset of the types, 0: malformed, or nothing that we could use. */
static size_t types_at(const struct val_rdata *rdata)
{
	const uint8_t *p = rdata->data;
	size_t at;

	if (rdata->len < 5 || p[0] != 1 || (p[1] & ~FLAG_OPT_OUT) != 0) /* section 8.2 */
		return 0;
	at = 5u + p[4];
	if (at >= rdata->len || p[at] != HASH_LEN || rdata->len - at - 1 < HASH_LEN)
		return 0;
	return at + 1 + HASH_LEN;
}

bool val_nsec3_valid(const struct val_set *set, const uint8_t *zone)
{
	const struct val_rdata *rdata = &set->rrs[0];
	size_t at = types_at(rdata);
	uint8_t hash[HASH_LEN];

	/* The owner is one label below its zone: so the zone of each is known for certain. */
	return at > 0 && val_bitmap_valid(rdata->data + at, rdata->len - at) &&
	       decode_label(set->owner, hash) && name_equal(val_parent(set->owner, 1), zone);
}

bool val_nsec3_fits(struct val_denial *denial, const struct val_set *set)
{
	const uint8_t *p = set->rrs[0].data;
	uint16_t iterations = val_u16(p + 2);

	if (denial->n_nsec3 == 0) {
		denial->iterations = iterations;
		denial->salt_len = p[4];
		memcpy(denial->salt, p + 5, p[4]);
	}
	return iterations == denial->iterations && p[4] == denial->salt_len &&
	       memcmp(p + 5, denial->salt, p[4]) == 0;
}

static void read_nsec3(const struct val_set *set, struct nsec3 *ret_nsec3)
{
	const struct val_rdata *rdata = &set->rrs[0];
	size_t at = types_at(rdata);

	(void)decode_label(set->owner, ret_nsec3->owner);
	memcpy(ret_nsec3->next, rdata->data + at - HASH_LEN, HASH_LEN);
	ret_nsec3->opt_out = rdata->data[1] & FLAG_OPT_OUT;
	ret_nsec3->iterations = val_u16(rdata->data + 2);
	ret_nsec3->types = (struct val_types){ rdata->data + at, rdata->len - at };
}

/* RFC 5155, section 5. A block of SHA-1 holds 64 octets, and padding takes nine: that is what the
 * budget counts. */
static bool compute(struct val_denial *denial, const uint8_t *name, uint8_t hash[static HASH_LEN])
{
	uint8_t text[NAME_MAX_WIRE + VAL_SALT];
	size_t len = val_name_size(name);
	uint32_t blocks =
	    (uint32_t)((len + denial->salt_len + 9 + 63) / 64 +
	               denial->iterations * ((HASH_LEN + (size_t)denial->salt_len + 9 + 63) / 64));
	EVP_MD_CTX *ctx;
	bool ok = true;

	denial->hashing = val_budget_hash(denial->budget, blocks);
	if (denial->hashing != VAL_HASH_NOW)
		return false;
	ctx = EVP_MD_CTX_new();
	if (!ctx) {
		denial->hashing = VAL_HASH_OVER;
		return false;
	}
	memcpy(text, name, len);
	for (uint32_t i = 0; i <= denial->iterations && ok; i++) {
		memcpy(text + len, denial->salt, denial->salt_len);
		ok = EVP_DigestInit_ex(ctx, i == 0 ? EVP_sha1() : NULL, NULL) == 1 &&
		     EVP_DigestUpdate(ctx, text, len + denial->salt_len) == 1 &&
		     EVP_DigestFinal_ex(ctx, text, NULL) == 1;
		len = HASH_LEN;
	}
	EVP_MD_CTX_free(ctx);
	if (!ok)
		denial->hashing = VAL_HASH_OVER;
	memcpy(hash, text, HASH_LEN);
	return ok;
}

/* The hash of @name, which is the proof's name or one above it; from memory if it was asked before.
 * NULL: not in this turn, or over the budget. */
static const uint8_t *hash_of(struct val_denial *denial, const uint8_t *name)
{
	unsigned int labels = name_labels(name);

	if (!denial->hashed[labels].known && !compute(denial, name, denial->hashed[labels].hash))
		return NULL;
	denial->hashed[labels].known = true;
	return denial->hashed[labels].hash;
}

static void encode_label(const uint8_t hash[static HASH_LEN], uint8_t label[static 1 + LABEL_LEN])
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
	uint32_t bits = 0;
	unsigned int n_bits = 0, at = 0;

	label[at++] = LABEL_LEN;
	for (size_t i = 0; i < HASH_LEN; i++) {
		bits = (bits << 8 | hash[i]) & 0xfff;
		for (n_bits += 8; n_bits >= 5; n_bits -= 5)
			label[at++] = (uint8_t)digits[bits >> (n_bits - 5) & 31];
	}
}

bool val_denial_owner(struct val_denial *denial, const uint8_t *name, uint8_t ret_owner[static 255])
{
	bool is_wildcard = name[0] == 1 && name[1] == '*';
	size_t zone_len = val_name_size(denial->zone);
	uint8_t own[HASH_LEN];
	const uint8_t *hash = own;

	if (denial->iterations > denial->rules->iterations ||
	    1u + LABEL_LEN + zone_len > NAME_MAX_WIRE)
		return false;
	if (!is_wildcard)
		hash = hash_of(denial, name);
	else if (!compute(denial, name, own))
		hash = NULL;
	if (!hash)
		return false;
	encode_label(hash, ret_owner);
	memcpy(ret_owner + 1 + LABEL_LEN, denial->zone, zone_len);
	return true;
}

bool val_denial_opts_out(const struct val_denial *denial)
{
	for (unsigned int i = 0; i < denial->n_nsec3; i++) {
		if (!(denial->nsec3[i]->rrs[0].data[1] & FLAG_OPT_OUT))
			return false;
	}
	return denial->n_nsec == 0;
}

static bool find_match_hash(const struct val_denial *denial, const uint8_t *name,
                            const uint8_t *hash, struct nsec3 *ret_nsec3)
{
	for (unsigned int i = 0; i < denial->n_nsec3; i++) {
		read_nsec3(denial->nsec3[i], ret_nsec3);
		if (memcmp(ret_nsec3->owner, hash, HASH_LEN) == 0) {
			val_denial_trace(denial, denial->nsec3[i], name, true);
			return true;
		}
	}
	return false;
}

static bool find_match(struct val_denial *denial, const uint8_t *name, struct nsec3 *ret_nsec3)
{
	const uint8_t *hash = hash_of(denial, name);

	return hash && find_match_hash(denial, name, hash, ret_nsec3);
}

static bool covers(const struct nsec3 *nsec3, const uint8_t *hash)
{
	int from = memcmp(nsec3->owner, hash, HASH_LEN), to = memcmp(hash, nsec3->next, HASH_LEN);

	if (memcmp(nsec3->owner, nsec3->next, HASH_LEN) >= 0) /* the last leads back to the first */
		return from < 0 || (to < 0 && from != 0);
	return from < 0 && to < 0;
}

static bool find_cover_hash(const struct val_denial *denial, const uint8_t *name,
                            const uint8_t *hash, struct nsec3 *ret_nsec3)
{
	for (unsigned int i = 0; i < denial->n_nsec3; i++) {
		read_nsec3(denial->nsec3[i], ret_nsec3);
		if (covers(ret_nsec3, hash)) {
			val_denial_trace(denial, denial->nsec3[i], name, false);
			return true;
		}
	}
	return false;
}

static bool find_cover(struct val_denial *denial, const uint8_t *name, struct nsec3 *ret_nsec3)
{
	const uint8_t *hash = hash_of(denial, name);

	return hash && find_cover_hash(denial, name, hash, ret_nsec3);
}

/* RFC 5155, section 8.3: the closest encloser has an NSEC3, the next closer name is covered. The
 * search begins below the zone's apex, so that a long name costs no more hashes than it must: the
 * encloser is the first whose child on the way to @name has no NSEC3 of its own. */
static bool closest_encloser(struct val_denial *denial, const uint8_t *name,
                             const uint8_t **ret_encloser, struct nsec3 *ret_next_closer)
{
	unsigned int n = name_labels(name), n_zone = name_labels(denial->zone);
	struct nsec3 at, below;

	if (!name_is_under(name, denial->zone) || n == n_zone)
		return false;
	for (unsigned int labels = n_zone; labels < n; labels++) {
		const uint8_t *encloser = val_parent(name, n - labels);
		const uint8_t *next_closer = val_parent(name, n - labels - 1);

		if (find_match(denial, next_closer, &below))
			continue;
		/* Answers do not always carry the NSEC3 of every encloser on the way, only of the
		 * closest: an encloser without one is not the closest. */
		if (!find_match(denial, encloser, &at) ||
		    !find_cover(denial, next_closer, ret_next_closer)) {
			if (denial->hashing != VAL_HASH_NOW)
				return false;
			continue;
		}
		if (!val_types_reach_below(&at.types))
			return false;
		*ret_encloser = encloser;
		return true;
	}
	return false;
}

/* Before any hash is made. */
static enum val_proof refuse(struct val_denial *denial)
{
	denial->hashing = VAL_HASH_NOW;
	if (denial->n_nsec3 == 0)
		return VAL_PROOF_NONE;
	if (denial->iterations > denial->rules->iterations_hard)
		return VAL_PROOF_EXCESSIVE;
	return denial->iterations > denial->rules->iterations ? VAL_PROOF_TOO_MUCH
	                                                      : VAL_PROOF_DENIED;
}

/* A hash that is missing is a name that matches nothing and is covered by nothing: whatever was
 * concluded without it does not count. */
static enum val_proof settle(const struct val_denial *denial, enum val_proof proof)
{
	switch (denial->hashing) {
	case VAL_HASH_OVER:
		return VAL_PROOF_LIMIT;
	case VAL_HASH_LATER:
		return VAL_PROOF_LATER;
	case VAL_HASH_NOW:
		break;
	}
	return proof;
}

static enum val_proof nodata(struct val_denial *denial, const uint8_t *name, uint16_t type)
{
	uint8_t wildcard[NAME_MAX_WIRE], hash[HASH_LEN];
	struct nsec3 at, next_closer;
	const uint8_t *encloser;

	if (find_match(denial, name, &at)) /* section 8.5 */
		return val_types_deny(&at.types, type, name[0] == 0) ? VAL_PROOF_DENIED
		                                                     : VAL_PROOF_NONE;
	if (!closest_encloser(denial, name, &encloser, &next_closer))
		return VAL_PROOF_NONE;
	if (type == VAL_TYPE_DS && next_closer.opt_out) /* section 8.6 */
		return VAL_PROOF_OPT_OUT;
	if (!val_wildcard(encloser, wildcard) || !compute(denial, wildcard, hash) ||
	    !find_match_hash(denial, wildcard, hash, &at)) /* section 8.7 */
		return VAL_PROOF_NONE;
	if (!val_types_deny(&at.types, type, false))
		return VAL_PROOF_NONE;
	return next_closer.opt_out ? VAL_PROOF_OPT_OUT : VAL_PROOF_DENIED;
}

enum val_proof val_nsec3_nodata(struct val_denial *denial, const uint8_t *name, uint16_t type)
{
	enum val_proof refused = refuse(denial);

	return refused == VAL_PROOF_DENIED ? settle(denial, nodata(denial, name, type)) : refused;
}

static enum val_proof nxdomain(struct val_denial *denial, const uint8_t *name)
{
	uint8_t wildcard[NAME_MAX_WIRE], hash[HASH_LEN];
	struct nsec3 next_closer, cover;
	const uint8_t *encloser;

	if (!closest_encloser(denial, name, &encloser, &next_closer)) /* section 8.4 */
		return VAL_PROOF_NONE;
	if (val_wildcard(encloser, wildcard) &&
	    (!compute(denial, wildcard, hash) || !find_cover_hash(denial, wildcard, hash, &cover)))
		return VAL_PROOF_NONE;
	/* RFC 5155, section 9.2, and RFC 6840, section 5.9: below opt-out AD is not to be set. */
	return next_closer.opt_out ? VAL_PROOF_OPT_OUT : VAL_PROOF_DENIED;
}

enum val_proof val_nsec3_nxdomain(struct val_denial *denial, const uint8_t *name)
{
	enum val_proof refused = refuse(denial);

	return refused == VAL_PROOF_DENIED ? settle(denial, nxdomain(denial, name)) : refused;
}

enum val_proof val_nsec3_wildcard(struct val_denial *denial, const uint8_t *name,
                                  unsigned int labels)
{
	unsigned int n = name_labels(name);
	struct nsec3 cover;
	enum val_proof refused = refuse(denial);

	if (refused != VAL_PROOF_DENIED)
		return refused;
	if (labels >= n)
		return VAL_PROOF_NONE;
	/* Section 8.8: the encloser is known from the signature; the next closer is to be covered.
	 */
	if (!find_cover(denial, val_parent(name, n - labels - 1), &cover))
		return settle(denial, VAL_PROOF_NONE);
	return cover.opt_out ? VAL_PROOF_OPT_OUT : VAL_PROOF_DENIED;
}

static enum val_cut ds(struct val_denial *denial, const uint8_t *name)
{
	struct nsec3 at, next_closer;
	const uint8_t *encloser;

	if (find_match(denial, name, &at))
		return val_types_cut(&at.types);
	if (!closest_encloser(denial, name, &encloser, &next_closer))
		return VAL_CUT_UNPROVEN;
	return next_closer.opt_out ? VAL_CUT_OPT_OUT : VAL_CUT_NOTHING;
}

enum val_cut val_nsec3_ds(struct val_denial *denial, const uint8_t *name)
{
	enum val_cut cut = VAL_CUT_UNPROVEN;
	enum val_proof proof = refuse(denial);

	if (proof == VAL_PROOF_DENIED) {
		cut = ds(denial, name);
		proof = settle(denial, proof);
	}
	switch (proof) {
	case VAL_PROOF_NONE:
	case VAL_PROOF_OPT_OUT:
		return VAL_CUT_UNPROVEN;
	case VAL_PROOF_TOO_MUCH:
		return VAL_CUT_TOO_MUCH;
	case VAL_PROOF_EXCESSIVE:
		return VAL_CUT_EXCESSIVE;
	case VAL_PROOF_LIMIT:
		return VAL_CUT_LIMIT;
	case VAL_PROOF_LATER:
		return VAL_CUT_LATER;
	case VAL_PROOF_DENIED:
		break;
	}
	return cut;
}
