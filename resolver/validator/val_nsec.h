/* val_nsec.h - what NSEC and NSEC3 records say, between the two files of denial. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "val_denial.h"
#include "val_wire.h"

/* Type bit maps (RFC 4034, section 4.1.2). */
bool val_bitmap_valid(const uint8_t *map, size_t len);
bool val_bitmap_has(const uint8_t *map, size_t len, uint16_t type);

struct val_types { /* a bit map, borrowed */
	const uint8_t *map;
	size_t len;
};
static inline bool val_types_have(const struct val_types *types, uint16_t type)
{
	return val_bitmap_has(types->map, types->len, type);
}

/* The parent's side of a zone cut: NS without SOA (RFC 6840, section 4.1). */
static inline bool val_types_delegate(const struct val_types *types)
{
	return val_types_have(types, VAL_TYPE_NS) && !val_types_have(types, VAL_TYPE_SOA);
}

/* Tell that @set matches or covers @name. */
void val_denial_trace(const struct val_denial *denial, const struct val_set *set,
                      const uint8_t *name, bool matches);

/* Does a record that stands at the name itself prove that @type is not there? @is_root: the name is
 * the root, which has no parent's side. */
static inline bool val_types_deny(const struct val_types *types, uint16_t type, bool is_root)
{
	if (val_types_have(types, type) || val_types_have(types, VAL_TYPE_CNAME))
		return false;
	if (type == VAL_TYPE_DS) /* the child's side knows nothing of it (RFC 4035, section 5.2) */
		return is_root || !val_types_have(types, VAL_TYPE_SOA);
	return !val_types_delegate(types);
}

/* May a record with these types speak of names below its own? Not from above a cut or a DNAME. */
static inline bool val_types_reach_below(const struct val_types *types)
{
	return !val_types_delegate(types) && !val_types_have(types, VAL_TYPE_DNAME);
}

enum val_cut val_types_cut(const struct val_types *types); /* of a record at a delegation's name */

bool val_nsec_valid(const struct val_set *set, const uint8_t *zone);
enum val_proof val_nsec_nodata(const struct val_denial *denial, const uint8_t *name, uint16_t type);
enum val_proof val_nsec_nxdomain(const struct val_denial *denial, const uint8_t *name);
enum val_proof val_nsec_wildcard(const struct val_denial *denial, const uint8_t *name,
                                 unsigned int labels);
enum val_cut val_nsec_ds(const struct val_denial *denial, const uint8_t *name);

bool val_nsec3_valid(const struct val_set *set, const uint8_t *zone);
/* All records of a proof share algorithm, iterations and salt; the first decides. */
bool val_nsec3_fits(struct val_denial *denial, const struct val_set *set);
enum val_proof val_nsec3_nodata(struct val_denial *denial, const uint8_t *name, uint16_t type);
enum val_proof val_nsec3_nxdomain(struct val_denial *denial, const uint8_t *name);
enum val_proof val_nsec3_wildcard(struct val_denial *denial, const uint8_t *name,
                                  unsigned int labels);
enum val_cut val_nsec3_ds(struct val_denial *denial, const uint8_t *name);
