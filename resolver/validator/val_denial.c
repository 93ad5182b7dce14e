/* val_denial.c - NSEC or NSEC3, whichever the zone has. */
#include "val_denial.h"

#include <string.h>

#include "sallyport/cleanup.h"
#include "sallyport/name.h"
#include "val_nsec.h"
#include "val_trace.h"

void val_denial_init(struct val_denial *denial, const uint8_t *zone, const struct val_rules *rules,
                     struct val_budget *budget)
{
	memset(denial, 0, sizeof(*denial));
	memcpy(denial->zone, zone, val_name_size(zone));
	denial->rules = rules;
	denial->budget = budget;
	denial->ttl_s = denial->life_s = UINT32_MAX;
	denial->hashing = VAL_HASH_NOW;
	val_budget_proof(budget);
}

void val_denial_add(struct val_denial *denial, const struct val_set *set)
{
	/* An RRset of these has one record: two would be two stories (RFC 4034, section 4; RFC
	 * 5155, section 7.1). */
	if (set->n_rrs != 1)
		return;
	if (set->type == VAL_TYPE_NSEC && denial->n_nsec < LIMIT_VAL_DENIAL &&
	    val_nsec_valid(set, denial->zone))
		denial->nsec[denial->n_nsec++] = set;
	else if (set->type == VAL_TYPE_NSEC3 && denial->n_nsec3 < LIMIT_VAL_DENIAL &&
	         val_nsec3_valid(set, denial->zone) && val_nsec3_fits(denial, set))
		denial->nsec3[denial->n_nsec3++] = set;
}

static bool is_of(const struct val_set *set, const uint8_t *zone)
{
	return set->section == VAL_AUTHORITY && set->n_rrs > 0 &&
	       (set->type == VAL_TYPE_NSEC || set->type == VAL_TYPE_NSEC3) &&
	       name_is_under(set->owner, zone);
}

static void gather(struct val_denial *denial, const struct val_set *set,
                   const struct val_keys *keys, uint64_t now_s)
{
	struct val_verified verified;
	enum val_why why = val_verify_set(set, denial->zone, keys, denial->rules, now_s,
	                                  denial->budget, &verified);

	/* One that was expanded from a wildcard stands at a name that nobody signed. */
	if (why == VAL_WHY_NONE && verified.wildcard)
		why = VAL_WHY_LABELS;
	if (why == VAL_WHY_NONE) {
		val_denial_add(denial, set);
		denial->ttl_s = MIN(denial->ttl_s, verified.ttl_s);
		denial->life_s = MIN(denial->life_s, verified.life_s);
		return;
	}
	/* What no signature says to be of this zone is somebody else's. */
	denial->partial |= why != VAL_WHY_SIGNER && why != VAL_WHY_RRSIG_MISSING;
	if (denial->why == VAL_WHY_NONE) {
		denial->why = why;
		denial->tag = verified.tag;
	}
}

bool val_denial_gather(struct val_denial *denial, const struct val_message *message,
                       const struct val_keys *keys, uint64_t now_s)
{
	for (; denial->next < message->n_sets; denial->next++) {
		const struct val_set *set = &message->sets[denial->next];

		if (!is_of(set, denial->zone))
			continue;
		if (denial->n_seen == LIMIT_VAL_DENIAL) {
			val_budget_meet(denial->budget, VAL_LIMIT_DENIAL);
			denial->partial = true;
			break;
		}
		if (!val_budget_has_turn(denial->budget))
			return false;
		denial->n_seen++;
		gather(denial, set, keys, now_s);
	}
	return true;
}

void val_denial_trace(const struct val_denial *denial, const struct val_set *set,
                      const uint8_t *name, bool matches)
{
	val_trace(denial->budget->trace,
	          &(struct val_event){ .kind = VAL_EVENT_PROOF,
	                               .outcome = matches ? VAL_MATCHES : VAL_COVERS,
	                               .type = set->type,
	                               .ttl_s = set->ttl,
	                               .name = name,
	                               .zone = set->owner,
	                               .rdata = &set->rrs[0] });
}

static enum val_proof conclude(const struct val_denial *denial, const uint8_t *name, uint16_t type,
                               enum val_proof proof)
{
	if (proof != VAL_PROOF_LATER)
		val_trace(denial->budget->trace, &(struct val_event){ .kind = VAL_EVENT_DENIAL,
		                                                      .outcome = proof,
		                                                      .type = type,
		                                                      .name = name,
		                                                      .zone = denial->zone });
	return proof;
}

/* A zone has NSEC or NSEC3. While it changes from one to the other an answer may hold either, but a
 * proof is of one kind. */
static enum val_proof either(enum val_proof nsec, enum val_proof nsec3)
{
	return nsec != VAL_PROOF_NONE ? nsec : nsec3;
}

enum val_proof val_denial_nodata(struct val_denial *denial, const uint8_t *name, uint16_t type)
{
	return conclude(
	    denial, name, type,
	    either(val_nsec_nodata(denial, name, type), val_nsec3_nodata(denial, name, type)));
}

enum val_proof val_denial_nxdomain(struct val_denial *denial, const uint8_t *name)
{
	return conclude(denial, name, 0,
	                either(val_nsec_nxdomain(denial, name), val_nsec3_nxdomain(denial, name)));
}

enum val_proof val_denial_wildcard(struct val_denial *denial, const uint8_t *name,
                                   unsigned int labels)
{
	return conclude(denial, name, 0,
	                either(val_nsec_wildcard(denial, name, labels),
	                       val_nsec3_wildcard(denial, name, labels)));
}

enum val_cut val_denial_ds(struct val_denial *denial, const uint8_t *name)
{
	enum val_cut cut = val_nsec_ds(denial, name);

	return cut != VAL_CUT_UNPROVEN ? cut : val_nsec3_ds(denial, name);
}

bool val_bitmap_valid(const uint8_t *map, size_t len)
{
	int last = -1;

	for (size_t at = 0; at < len; at += 2u + map[at + 1]) {
		if (len - at < 2 || map[at + 1] < 1 || map[at + 1] > 32 ||
		    map[at + 1] > len - at - 2 || (int)map[at] <= last)
			return false;
		last = map[at];
	}
	return true;
}

bool val_bitmap_has(const uint8_t *map, size_t len, uint16_t type)
{
	for (size_t at = 0; at < len; at += 2u + map[at + 1]) {
		unsigned int octet = (type & 0xffu) / 8;

		if (map[at] == type >> 8)
			return octet < map[at + 1] && (map[at + 2 + octet] & (0x80 >> (type & 7)));
	}
	return false;
}

enum val_cut val_types_cut(const struct val_types *types)
{
	/* A DS would have been the answer; SOA is the child's own side. */
	if (val_types_have(types, VAL_TYPE_DS) || val_types_have(types, VAL_TYPE_SOA))
		return VAL_CUT_UNPROVEN;
	return val_types_have(types, VAL_TYPE_NS) ? VAL_CUT_INSECURE : VAL_CUT_NONE;
}
