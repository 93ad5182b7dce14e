/* val_denial.h - proofs that something is not there (NSEC: RFC 4035, section 5.4, RFC 6840, section
 * 4; NSEC3: RFC 5155, section 8).
 *
 * A proof is made of the NSEC or NSEC3 RRsets of one zone, each verified before it is added:
 * records of two zones never prove anything together, nor do NSEC and NSEC3. What a proof may cost
 * is bounded: LIMIT_VAL_DENIAL records, and hashes by the budget. Both gathering and proving stop
 * where the loop's turn is over, and go on when they are called again: what was verified and hashed
 * is kept.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "val_message.h"
#include "val_verify.h"

enum val_denial_limit { VAL_SALT = 255 };

enum val_proof {
	VAL_PROOF_NONE = 0,  /* nothing is proven: bogus */
	VAL_PROOF_DENIED,    /* it is not there */
	VAL_PROOF_OPT_OUT,   /* it may be there, unsigned (RFC 5155, section 6): insecure */
	VAL_PROOF_TOO_MUCH,  /* more iterations than are checked (RFC 9276): insecure */
	VAL_PROOF_EXCESSIVE, /* over the hard limit: bogus */
	VAL_PROOF_LIMIT,     /* over the budget: bogus */
	VAL_PROOF_LATER,     /* the turn is over: ask again in the next */
};

struct val_denial {
	uint8_t zone[255]; /* lower case */
	const struct val_rules *rules;
	struct val_budget *budget;
	unsigned int n_nsec, n_nsec3;
	const struct val_set *nsec[LIMIT_VAL_DENIAL], *nsec3[LIMIT_VAL_DENIAL];
	/* Gathering: the next set of the message, how many were looked at, whether one of them that
	 * is said to be the zone's is not verified, and what was wrong with the first that is not.
	 */
	size_t next;
	unsigned int n_seen;
	bool partial;
	enum val_why why;
	uint16_t tag;           /* of that one's signature */
	uint32_t ttl_s, life_s; /* of those that did */
	/* of the NSEC3s: all have these, others are passed over (RFC 5155, section 8.2) */
	uint16_t iterations;
	uint8_t salt_len;
	uint8_t salt[VAL_SALT];
	/* Hashes of the name that the proof is about and of those above it, by their labels. */
	enum val_hashing hashing; /* of the last: why there is none */
	struct {
		bool known;
		uint8_t hash[20];
	} hashed[128];
};

void val_denial_init(struct val_denial *denial, const uint8_t *zone, const struct val_rules *rules,
                     struct val_budget *budget);
/* Add those NSEC and NSEC3 RRsets of the message's authority that @keys of the zone verify. Returns
 * false when the turn is over: call again. ->why tells what was wrong with one, ->ttl_s how long
 * the others may be kept. */
bool val_denial_gather(struct val_denial *denial, const struct val_message *message,
                       const struct val_keys *keys, uint64_t now_s) MUST_CHECK;
/* Add a verified NSEC or NSEC3 RRset (borrowed). One that breaks its format, or does not fit the
 * others, is passed over. */
void val_denial_add(struct val_denial *denial, const struct val_set *set);

/* Has each of its records the opt-out flag? */
bool val_denial_opts_out(const struct val_denial *denial);

/* The owner (lower case) of the NSEC3 that would stand at @name, by the parameters of @denial: for
 * who looks for records that may prove something. @name: the proof's own, one above it, or a
 * wildcard below such a one. False: not within the budget. */
bool val_denial_owner(struct val_denial *denial, const uint8_t *name,
                      uint8_t ret_owner[static 255]);

/* One proof is about one name, whichever of these is asked. */

/* @name exists, perhaps as an empty non-terminal or by a wildcard, but has no @type. */
enum val_proof val_denial_nodata(struct val_denial *denial, const uint8_t *name, uint16_t type);
/* @name does not exist, nor a wildcard that would stand for it. */
enum val_proof val_denial_nxdomain(struct val_denial *denial, const uint8_t *name);
/* @name, which was expanded from a wildcard with @labels labels below it, does not exist itself,
 * nor anything closer (RFC 4035, section 5.3.4; RFC 5155, section 8.8). */
enum val_proof val_denial_wildcard(struct val_denial *denial, const uint8_t *name,
                                   unsigned int labels);

enum val_cut { /* what the zone proves about a delegation at a name below its apex */
	       VAL_CUT_UNPROVEN = 0,
	       VAL_CUT_NONE,     /* there is none: the zone goes on */
	       VAL_CUT_NOTHING,  /* there is no such name: nor is anything below it (RFC 8020) */
	       VAL_CUT_INSECURE, /* there is one, and it has no DS */
	       VAL_CUT_OPT_OUT,  /* there may be one, without a DS */
	       VAL_CUT_TOO_MUCH, /* iterations */
	       VAL_CUT_EXCESSIVE,
	       VAL_CUT_LIMIT,
	       VAL_CUT_LATER,
};
enum val_cut val_denial_ds(struct val_denial *denial, const uint8_t *name);
