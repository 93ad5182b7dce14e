/* resolver/proofs_own.h - between the store of proofs and what is made of them. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "proofs.h"

struct zone; /* of the store */

enum { PROOF_SIGNATURES = 4 }; /* of one record that is kept; an honest zone has one, or two */

struct proof { /* one record with its signatures; immutable but for what its shard's lock guards */
	_Atomic uint32_t refs;
	uint32_t bytes;
	uint64_t until_ns;
	struct val_set set; /* of rdata */
	struct val_rdata rdata[1 + PROOF_SIGNATURES];
	struct proof *newer, *older; /* of the shard */
	struct zone *zone;           /* the same; of a SOA: NULL */
	bool used;                   /* the same: found since it was last looked at */
	uint8_t octets[];            /* owner, RDATA, signatures */
};
void proof_unref(struct proof *proof); /* NULL is fine */

struct proofs_zone {                 /* a copy of what is known of a zone */
	uint8_t name[NAME_MAX_WIRE]; /* lower case */
	uint16_t upstreams;          /* the zone of `upstreams` whose server told */
	uint8_t upstream[ADDR_LEN];  /* the last that did */
	uint16_t upstream_port;
	uint16_t type; /* NSEC or NSEC3 */
	uint16_t iterations;
	uint8_t salt_len;
	uint8_t salt[VAL_SALT];
	struct proof *soa; /* a reference */
};

bool proofs_is_empty(const struct proofs *proofs);
/* Is anything kept of a zone @name? */
bool proofs_find_zone(struct proofs *proofs, const uint8_t *name, uint16_t upstreams,
                      struct proofs_zone *ret_zone);
/* The record at @owner, or the last before it; a reference for the caller, or NULL. */
struct proof *proofs_find(struct proofs *proofs, const struct proofs_zone *zone,
                          const uint8_t *owner, uint64_t now_ns);
