/* tests/unit/validator/zone.h - zones described in text; each answer is signed when it is asked.
 *
 *     zone example. 13k 13z nsec3=1,aabb ttl=300      a zone and its options
 *         www A 192.0.2.1                             its records, indented, relative to it
 *
 * SOA, NS, DNSKEY and NSEC3PARAM of the apex, and NS and DS of a zone below that is in the world,
 * come by themselves. Options:
 *
 *     13k 13z 13c      a key: algorithm and role (k signs DNSKEY, z signs data, c both), behind it
 *       #2             another key of the same role: they are named by algorithm, role and number
 *       .nods .hidden .idle .revoked .nozone .proto0 .baddigest .dsonly
 *                      no DS of it; signs, but is not published; is published, but does not sign;
 *                      flags; protocol 0; its DS has a wrong digest; all there is of it is a DS
 *       .badsha256     only its DS with digest 2 is wrong
 *       *40            that many more keys of its algorithm and tag, which nobody can sign with
 *     nsec             (default), nsec3[=ITERATIONS[,SALT]], optout, nodenial, nosoa
 *     ds=2,4           digests of its DS records (default 2); ds=none
 *     nons             the parent has no NS for it
 *     times=-1d,+14d   inception and expiration of its signatures, from the world's base time
 *     ttl=3600         of everything that has no other
 *     unsigned         no keys; the parent has NS only
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keys.h"
#include "val_message.h"

#define ZONE_BASE_S UINT64_C(1800000000) /* 2027-01-15, when scenarios begin */

enum { ZONE_KEYS = 64, ZONE_RRS = 600, WORLD_ZONES = 16, ANSWER_ROWS = 1200 };

struct zone_rr {
	const uint8_t *owner; /* as it was written */
	const uint8_t *rdata;
	uint32_t ttl;
	uint16_t type, len;
};

struct zone_key {
	struct key key;
	bool signs_keys, signs_data, published, has_ds, bad_digest, bad_sha256;
};

enum zone_denial { ZONE_NSEC, ZONE_NSEC3, ZONE_NOTHING };

struct zone {
	uint8_t name[255]; /* lower case */
	struct zone_key keys[ZONE_KEYS];
	unsigned int n_keys;
	enum zone_denial denial;
	uint16_t iterations;
	uint8_t salt_len, salt[16];
	bool opt_out, soa, ns;
	unsigned int n_digests;
	uint8_t digests[4];
	uint32_t inception, expiration, ttl;
	unsigned int n_rrs;
	struct zone_rr rrs[ZONE_RRS];
};

struct world {
	void *arena; /* blocks, each its own allocation */
	unsigned int n_zones;
	struct zone *zones[WORLD_ZONES];
};

struct answer {
	bool missing; /* nobody answers */
	uint16_t rcode;
	unsigned int n;
	struct val_row rows[ANSWER_ROWS];
};

void world_init(struct world *world);
void world_fini(struct world *world);
void *world_alloc(struct world *world, size_t size); /* lives as long as the world */

/* One "zone" line (without the word); again: new options for a zone that is there. These and the
 * next return NULL, or what is wrong. */
const char *world_zone(struct world *world, const char *line);
const char *world_record(struct world *world, struct zone *zone, const char *line);
struct zone *world_find(struct world *world, const uint8_t *name);
/* All lines are read: add what comes by itself. */
void world_finish(struct world *world);

/* What a recursive resolver would hand over for the first link of @name (lower case) and @type. */
void world_answer(struct world *world, const uint8_t *name, uint16_t type, struct answer *answer);

/* The same, asked of @zone (NULL: nobody), whether it is the right one or not. */
void zone_answer(struct world *world, const struct zone *zone, const uint8_t *name, uint16_t type,
                 struct answer *answer);

/* One record in presentation form, relative to @origin. NULL, or what is wrong. */
const char *record_parse(struct world *world, const char *text, const uint8_t *origin, uint32_t ttl,
                         struct zone_rr *ret_rr);

/* RDATA in the canonical form as ldns makes it, a second opinion on val_canon.c, into @len octets;
 * what ldns cannot read stays as it is. Returns @len. */
size_t record_canonical(uint16_t type, const uint8_t *rdata, uint16_t len, uint8_t *out);

struct signing {                       /* the fields of one RRSIG */
	const uint8_t *signer, *owner; /* owner: as signed */
	uint16_t covered, tag;
	uint8_t algorithm, labels;
	uint32_t original_ttl, inception, expiration;
};
void signing_init(struct signing *signing, const struct zone *zone, const struct key *key,
                  const uint8_t *owner, uint16_t type, uint32_t ttl);
/* Sign @n rows (records of one RRset); RDATA of the RRSIG. */
const uint8_t *world_sign(struct world *world, const struct key *key, const struct signing *signing,
                          const struct val_row *const *rows, unsigned int n, uint16_t *ret_len);

void answer_add(struct answer *answer, uint8_t section, const uint8_t *owner, uint16_t type,
                uint32_t ttl, const uint8_t *rdata, uint16_t len);
/* "-1d", "+100", "90m"; seconds. */
int64_t span_parse(const char *text);
