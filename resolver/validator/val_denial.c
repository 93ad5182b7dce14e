/* val_denial.c - NSEC or NSEC3, whichever the zone has. */
#include "val_denial.h"

#include <string.h>

#include "val_nsec.h"

void val_denial_init(struct val_denial *denial, const uint8_t *zone, const struct val_rules *rules,
                     struct val_budget *budget)
{
	memset(denial, 0, sizeof(*denial));
	memcpy(denial->zone, zone, val_name_size(zone));
	denial->rules = rules;
	denial->budget = budget;
}

void val_denial_add(struct val_denial *denial, const struct val_set *set)
{
	/* An RRset of these has one record: two would be two stories (RFC 4034, section 4; RFC
	 * 5155, section 7.1). */
	if (set->n_rrs != 1)
		return;
	if (set->type == VAL_TYPE_NSEC && denial->n_nsec < VAL_DENIAL_SETS &&
	    val_nsec_valid(set, denial->zone))
		denial->nsec[denial->n_nsec++] = set;
	else if (set->type == VAL_TYPE_NSEC3 && denial->n_nsec3 < VAL_DENIAL_SETS &&
	         val_nsec3_valid(set, denial->zone) && val_nsec3_fits(denial, set))
		denial->nsec3[denial->n_nsec3++] = set;
}

/* A zone has NSEC or NSEC3. While it changes from one to the other an answer may hold either, but a
 * proof is of one kind. */
static enum val_proof either(enum val_proof nsec, enum val_proof nsec3)
{
	return nsec != VAL_PROOF_NONE ? nsec : nsec3;
}

enum val_proof val_denial_nodata(struct val_denial *denial, const uint8_t *name, uint16_t type)
{
	return either(val_nsec_nodata(denial, name, type), val_nsec3_nodata(denial, name, type));
}

enum val_proof val_denial_nxdomain(struct val_denial *denial, const uint8_t *name)
{
	return either(val_nsec_nxdomain(denial, name), val_nsec3_nxdomain(denial, name));
}

enum val_proof val_denial_wildcard(struct val_denial *denial, const uint8_t *name,
                                   unsigned int labels)
{
	return either(val_nsec_wildcard(denial, name, labels),
	              val_nsec3_wildcard(denial, name, labels));
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
