/* val_wire.h - the few numbers of the wire format that the validator needs, and names compared. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VAL_SIG_FIXED 18 /* octets of an RRSIG before its signer's name */

enum val_type {
	VAL_TYPE_NS = 2,
	VAL_TYPE_CNAME = 5,
	VAL_TYPE_SOA = 6,
	VAL_TYPE_DNAME = 39,
	VAL_TYPE_DS = 43,
	VAL_TYPE_RRSIG = 46,
	VAL_TYPE_NSEC = 47,
	VAL_TYPE_DNSKEY = 48,
	VAL_TYPE_NSEC3 = 50,
};

static inline uint16_t val_u16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t val_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void val_put16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void val_put32(uint8_t *p, uint32_t v)
{
	val_put16(p, v >> 16);
	val_put16(p + 2, v & 0xffff);
}

/* Octets of a valid wire name, the root's included. */
static inline size_t val_name_size(const uint8_t *name)
{
	size_t len = 1;

	for (; *name; name += 1u + *name)
		len += 1u + *name;
	return len;
}

/* @name without its first @n labels, of which it has that many. */
static inline const uint8_t *val_parent(const uint8_t *name, unsigned int n)
{
	while (n-- > 0)
		name += 1u + *name;
	return name;
}

/* The canonical order of names (RFC 4034, section 6.1): labels from the right, octet by octet in
 * lower case, absent before any. Both are lower case. Returns <0, 0 or >0. */
int val_name_cmp(const uint8_t *a, const uint8_t *b);

/* Labels that @a and @b have in common from the right, the root not counted. Lower case. */
unsigned int val_common_labels(const uint8_t *a, const uint8_t *b);

/* Write "*." before @parent. Returns false when that is longer than a name may be. */
bool val_wildcard(const uint8_t *parent, uint8_t ret_name[static 255]);
