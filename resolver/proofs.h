/* resolver/proofs.h - what validated NSEC and NSEC3 records say of names that nobody has asked yet
 * (RFC 8198).
 *
 * The records of each NXDOMAIN and NODATA that was found secure, and those that prove on the way to
 * an answer that a DS is not there, are kept by zone, in canonical order (those of NSEC3 by their
 * hashed owners, which is the same order), with the zone's SOA. When the cache knows nothing of a
 * question, the records that lie around its name are taken out and put before the validator's own
 * functions (val_denial.h): what they prove is answered without asking anybody, as secure as the
 * answers that the records came with; what they do not prove is asked.
 *
 * What bounds it:
 *  - One zone a proof, the deepest of which records are kept; never one above the name's deepest
 *    trust anchor. Of a zone whose parameters of NSEC3, or whose kind of proof, change, all that is
 *    older goes.
 *  - Only names that belong to the same zone of `upstreams` as the answer that the records came
 *    from: the root's NSEC would erase an internal `corp.`. Names in `hosts`, under a negative
 * trust anchor or `dnssec: off` are nothing that is looked for here (resolve.c).
 *  - Never records with opt-out, whatever their place in the proof: what they span may be there.
 *  - No longer than the SOA's TTL, its MINIMUM (RFC 9077), the records' TTLs and their signatures
 *    allow, which is how long the answer that brought them was kept; never stale, never prefetched.
 *  - No wildcard answers (RFC 8198, section 5.3): an address that we have not been given for a name
 *    opens nothing, and an owner may give each name its own.
 *
 * And a boundary of policy? Whoever is answered from here was allowed to ask the name, by his own
 * rules, before anything is looked up (resolve.c judges each link), and is told only that his own
 * name or type is not there, which its zone has signed and its server would have told him. The NSEC
 * records that go out with it, for DO=1, name two neighbours; that server would have sent the same
 * ones. So nobody learns what he could not have got by asking. What he can learn besides is that
 * somebody has asked near his name before, by the answer's speed, as from every shared cache; that
 * tells no label of the other's question but one that is in the zone for all to see.
 *
 * Costs, on a miss of the cache alone: one hash and one lock a label until the zone is found, then
 * a binary search for the name and one for its wildcard (NSEC), or a hash a label and three
 * searches (NSEC3, within one turn's budget of hashes). Without any records: one load.
 *
 * Shared by all workers: shards by zone, each with a lock that is held for one search. At most
 * LIMIT_PROOF_BYTES; the oldest that was not used since it was last looked at goes first.
 */
#pragma once

#include <stdint.h>

#include "entry.h"
#include "sallyport/cleanup.h"
#include "sallyport/counter.h"
#include "val_denial.h"

struct proofs;

struct proofs *proofs_new(const uint8_t hash_key[static 16]); /* NULL: out of memory */
void proofs_free(struct proofs *proofs);                      /* NULL is fine */
void proofs_clear(struct proofs *proofs);

/* Keep what @denial holds: the verified records of @entry, a negative answer found secure until
 * @until_ns, with @soa (verified) of the zone. What cannot be used is left out. */
void proofs_learn(struct proofs *proofs, const struct entry *entry, const struct val_denial *denial,
                  const struct val_set *soa, uint64_t until_ns, uint64_t now_ns,
                  struct stats_lane *lane);

struct proofs_question {
	const uint8_t *name; /* lower case */
	uint16_t type;
	uint16_t zone;        /* of `upstreams` */
	const uint8_t *above; /* no proof of a zone above this one: the deepest trust anchor */
	const struct val_rules *rules;
	uint64_t now_ns;
};
/* NXDOMAIN or NODATA, secure, with its records, marked as synthesized; one reference for the
 * caller. NULL: nothing is proven. */
struct entry *proofs_answer(struct proofs *proofs, const struct proofs_question *question);

void proofs_usage(struct proofs *proofs, uint64_t *ret_records, uint64_t *ret_bytes);
