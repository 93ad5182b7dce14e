/* val_verify.h - one RRset checked against the keys of one zone (RFC 4035, section 5.3). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "val_budget.h"
#include "val_key.h"
#include "val_message.h"

/* Why something is not secure. Zero is "no reason". The text names the RFC's rule; the number is
 * the extended error (RFC 8914, section 4) that a client is told.
 * X(symbol, EDE, text) */
#define VAL_WHYS(X)                                                                                \
	X(NONE, 0, "")                                                                             \
	X(NO_ANCHOR, 5, "no trust anchor is above the name")                                       \
	X(NTA, 0, "a negative trust anchor covers the name")                                       \
	X(NO_DS, 0, "the delegation is proven to have no DS")                                      \
	X(OPT_OUT, 0, "the name lies in an opt-out span")                                          \
	X(ITERATIONS, 27, "NSEC3 with more iterations than are checked")                           \
	X(DS_ALGORITHM, 1, "no DS has a DNSKEY algorithm that is supported")                       \
	X(DS_DIGEST, 2, "no DS has a digest that is supported")                                    \
	X(RRSIG_MISSING, 10, "no signature covers the RRset")                                      \
	X(SIGNER, 6, "the signer is not the zone of the RRset")                                    \
	X(LABELS, 6, "the signature's Labels field does not fit the owner")                        \
	X(EXPIRED, 7, "the signature has expired")                                                 \
	X(NOT_YET, 8, "the signature is not yet valid")                                            \
	X(PERIOD, 25, "the signature expires before it begins")                                    \
	X(NO_KEY, 9, "no key of the zone has the signature's tag and algorithm")                   \
	X(SIGNATURE, 6, "the signature does not verify")                                           \
	X(DNSKEY_MISSING, 9, "the DNSKEY RRset cannot be had")                                     \
	X(NO_SEP, 9, "no key that a DS or anchor names signs the DNSKEY RRset")                    \
	X(NO_ZONE_KEY, 11, "the keys that a DS or anchor names lack the zone flag")                \
	X(NSEC_MISSING, 12, "nothing proves that the name or type is not there")                   \
	X(WILDCARD, 12, "nothing proves that the wildcard was the closest name")                   \
	X(DNAME, 6, "the CNAME is not what the DNAME makes of the name")                           \
	X(DS_UNPROVEN, 12, "nothing proves whether the delegation is signed")                      \
	X(UNREACHABLE, 22, "a key or DS could not be asked for")                                   \
	X(MALFORMED, 6, "a record breaks its format")                                              \
	X(LIMIT, 6, "a limit of validation was reached")

#define VAL_WHY_ENUM_(sym, ede, text) VAL_WHY_##sym,
enum val_why { VAL_WHYS(VAL_WHY_ENUM_) VAL_WHY_N };

const char *val_why_str(enum val_why why);
uint16_t val_why_ede(enum val_why why); /* 0: none */

struct val_rules {                       /* from the configuration; borrowed while a job lives */
	bool sha1;                       /* RSASHA1 and SHA-1 digests count as supported */
	uint32_t skew_min_s, skew_max_s; /* of the signature's lifetime a tenth, within these */
	uint16_t iterations;             /* NSEC3: more make the zone insecure */
	uint16_t iterations_hard;        /* more still: bogus */
	struct val_seen *seen;           /* what has verified; NULL: each signature is checked */
};
extern const struct val_rules val_rules_default;

struct val_verified {
	uint32_t ttl_s;          /* the RRset may be kept so long (RFC 4035, section 5.3.3) */
	uint32_t life_s;         /* and no longer than this, whatever its TTL: its signature ends */
	uint32_t original_ttl_s; /* as signed */
	unsigned int labels;     /* of the signature: fewer than the owner's mean a wildcard */
	bool wildcard;           /* expanded from one */
	uint16_t tag;            /* of a failure, too: of the signature that came nearest, or 0 */
	uint8_t algorithm;
};

/**
 * Check @set against the signatures over it with @keys of @zone (lower case).
 *
 * A signature counts when its signer is @zone, which the owner is in; type, labels and times fit;
 * and a key of its tag and algorithm verifies it. The first that does decides. An expanded wildcard
 * still needs its proof (val_denial_wildcard()).
 *
 * Returns VAL_WHY_NONE and fills *ret_verified, or what was wrong with the signature that came
 * nearest (a wrong signature is nearer than an expired one's clock, a missing key is farther), and
 * tells its tag; VAL_WHY_LIMIT also when out of memory.
 */
enum val_why val_verify_set(const struct val_set *set, const uint8_t *zone,
                            const struct val_keys *keys, const struct val_rules *rules,
                            uint64_t now_s, struct val_budget *budget,
                            struct val_verified *ret_verified);

/**
 * Believe a DNSKEY RRset (RFC 4035, section 5.2): a key that one of @ds names and that has the zone
 * flag signs it. Of @ds (DS RDATA, or DNSKEY RDATA when @ds_are_keys: an anchor), those with
 * unsupported algorithms or digests are passed over; SHA-1 digests too when a better one is there
 * (RFC 4509, section 3).
 *
 * Returns VAL_WHY_NONE; DS_ALGORITHM or DS_DIGEST when none is supported: the zone is insecure; or
 * the reason why it is bogus.
 */
enum val_why val_verify_keys(const struct val_set *dnskey, const struct val_rdata *ds, size_t n_ds,
                             bool ds_are_keys, const struct val_rules *rules, uint64_t now_s,
                             struct val_budget *budget, struct val_verified *ret_verified);

/* Is any of @ds usable at all? VAL_WHY_NONE, DS_ALGORITHM or DS_DIGEST. */
enum val_why val_ds_usable(const struct val_rdata *ds, size_t n_ds, const struct val_rules *rules);
