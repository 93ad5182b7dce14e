/* val_nsec.c - proofs by NSEC (RFC 4034, section 4; RFC 4035, section 5.4; RFC 6840, section 4). */
#include "val_nsec.h"

#include <string.h>

#include "sallyport/cleanup.h"
#include "sallyport/name.h"

struct nsec {
	const uint8_t *owner;
	uint8_t next[NAME_MAX_WIRE]; /* lower case: RFC 6840, section 5.1, lets it come in any */
	struct val_types types;
};

static void read_nsec(const struct val_set *set, struct nsec *ret_nsec)
{
	const struct val_rdata *rdata = &set->rrs[0];
	size_t len = val_name_size(rdata->data);

	ret_nsec->owner = set->owner;
	name_lower(ret_nsec->next, rdata->data, len);
	ret_nsec->types = (struct val_types){ rdata->data + len, rdata->len - len };
}

bool val_nsec_valid(const struct val_set *set, const uint8_t *zone)
{
	const struct val_rdata *rdata = &set->rrs[0];
	int len = name_wire_len(rdata->data, rdata->len);

	return len > 0 && name_is_under(set->owner, zone) && name_is_under(rdata->data, zone) &&
	       val_bitmap_valid(rdata->data + len, rdata->len - (size_t)len);
}

/* Does @name lie between owner and next? The last NSEC of a zone leads back to the apex. */
static bool covers(const struct nsec *nsec, const uint8_t *zone, const uint8_t *name)
{
	if (!name_is_under(name, zone) || val_name_cmp(nsec->owner, name) >= 0)
		return false;
	/* From above a cut or a DNAME nothing is known of what lies below (RFC 6840, section 4.1;
	 * RFC 6672, section 5.3.4.1). */
	if (name_is_under(name, nsec->owner) && !val_types_reach_below(&nsec->types))
		return false;
	return val_name_cmp(name, nsec->next) < 0 || name_equal(nsec->next, zone);
}

/* The closest encloser that a covering NSEC tells: what @name shares with either end. */
static const uint8_t *closest_encloser(const struct nsec *nsec, const uint8_t *name)
{
	unsigned int a = val_common_labels(name, nsec->owner);
	unsigned int b = val_common_labels(name, nsec->next);

	return val_parent(name, name_labels(name) - MAX(a, b));
}

static bool find_match(const struct val_denial *denial, const uint8_t *name, struct nsec *ret_nsec)
{
	for (unsigned int i = 0; i < denial->n_nsec; i++) {
		if (name_equal(denial->nsec[i]->owner, name)) {
			read_nsec(denial->nsec[i], ret_nsec);
			val_denial_trace(denial, denial->nsec[i], name, true);
			return true;
		}
	}
	return false;
}

static bool find_cover(const struct val_denial *denial, const uint8_t *name, struct nsec *ret_nsec)
{
	for (unsigned int i = 0; i < denial->n_nsec; i++) {
		read_nsec(denial->nsec[i], ret_nsec);
		if (covers(ret_nsec, denial->zone, name)) {
			val_denial_trace(denial, denial->nsec[i], name, false);
			return true;
		}
	}
	return false;
}

/* Something exists below the name: it is an empty non-terminal (RFC 4592, section 2.2.2). */
static bool is_empty_nonterminal(const struct nsec *nsec, const uint8_t *name)
{
	return name_is_under(nsec->next, name) && !name_equal(nsec->next, name);
}

enum val_proof val_nsec_nodata(const struct val_denial *denial, const uint8_t *name, uint16_t type)
{
	uint8_t wildcard[NAME_MAX_WIRE];
	struct nsec nsec;

	if (find_match(denial, name, &nsec))
		return val_types_deny(&nsec.types, type, name[0] == 0) ? VAL_PROOF_DENIED
		                                                       : VAL_PROOF_NONE;
	if (!find_cover(denial, name, &nsec))
		return VAL_PROOF_NONE;
	if (is_empty_nonterminal(&nsec, name))
		return VAL_PROOF_DENIED;
	/* RFC 4035, section 5.4: the name is not there, and the wildcard has no such type. */
	if (!val_wildcard(closest_encloser(&nsec, name), wildcard))
		return VAL_PROOF_NONE;
	if (find_match(denial, wildcard, &nsec))
		return val_types_deny(&nsec.types, type, false) ? VAL_PROOF_DENIED : VAL_PROOF_NONE;
	/* Or it has none at all, but names below it (RFC 4592, section 2.2.2 and 4.9). */
	return find_cover(denial, wildcard, &nsec) && is_empty_nonterminal(&nsec, wildcard)
	           ? VAL_PROOF_DENIED
	           : VAL_PROOF_NONE;
}

enum val_proof val_nsec_nxdomain(const struct val_denial *denial, const uint8_t *name)
{
	uint8_t wildcard[NAME_MAX_WIRE];
	struct nsec nsec, other;

	if (!find_cover(denial, name, &nsec) || is_empty_nonterminal(&nsec, name))
		return VAL_PROOF_NONE;
	if (!val_wildcard(closest_encloser(&nsec, name), wildcard))
		return VAL_PROOF_DENIED; /* longer than a name: it cannot exist */
	return find_cover(denial, wildcard, &other) && !is_empty_nonterminal(&other, wildcard)
	           ? VAL_PROOF_DENIED
	           : VAL_PROOF_NONE;
}

enum val_proof val_nsec_wildcard(const struct val_denial *denial, const uint8_t *name,
                                 unsigned int labels)
{
	struct nsec nsec;

	if (!find_cover(denial, name, &nsec) || is_empty_nonterminal(&nsec, name))
		return VAL_PROOF_NONE;
	return name_labels(closest_encloser(&nsec, name)) == labels ? VAL_PROOF_DENIED
	                                                            : VAL_PROOF_NONE;
}

enum val_cut val_nsec_ds(const struct val_denial *denial, const uint8_t *name)
{
	struct nsec nsec;

	if (find_match(denial, name, &nsec))
		return val_types_cut(&nsec.types);
	/* No NSEC stands at the name: with NSEC every delegation has one, so there is none. */
	if (!find_cover(denial, name, &nsec))
		return VAL_CUT_UNPROVEN;
	return is_empty_nonterminal(&nsec, name) ? VAL_CUT_NONE : VAL_CUT_NOTHING;
}
