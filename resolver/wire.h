/* resolver/wire.h - integers of the DNS wire format (network order) at a place that the caller has
 * checked, and the few numbers of the format that every codec file needs.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define WIRE_HEADER 12
#define WIRE_RR_FIXED 10 /* TYPE, CLASS, TTL, RDLENGTH behind an owner name */
#define WIRE_POINTER_MAX 0x3fff

/* The header's flag octets (RFC 1035, section 4.1.1; RFC 4035, section 3.2). */
#define WIRE_QR 0x80 /* octet 2 */
#define WIRE_AA 0x04
#define WIRE_TC 0x02
#define WIRE_RD 0x01
#define WIRE_RA 0x80 /* octet 3 */
#define WIRE_AD 0x20
#define WIRE_CD 0x10

enum wire_class { CLASS_IN = 1 };
enum wire_rcode {
	RCODE_NOERROR = 0,
	RCODE_FORMERR = 1,
	RCODE_SERVFAIL = 2,
	RCODE_NXDOMAIN = 3,
	RCODE_NOTIMP = 4,
	RCODE_REFUSED = 5,
	RCODE_YXDOMAIN = 6,
	RCODE_BADVERS = 16,
	RCODE_BADCOOKIE = 23,
};
enum wire_type {
	TYPE_A = 1,
	TYPE_NS = 2,
	TYPE_CNAME = 5,
	TYPE_SOA = 6,
	TYPE_HINFO = 13,
	TYPE_AAAA = 28,
	TYPE_DNAME = 39,
	TYPE_OPT = 41,
	TYPE_DS = 43,
	TYPE_RRSIG = 46,
	TYPE_NSEC = 47,
	TYPE_DNSKEY = 48,
	TYPE_NSEC3 = 50,
	TYPE_SVCB = 64,
	TYPE_HTTPS = 65,
	TYPE_IXFR = 251,
};
enum wire_edns { EDNS_COOKIE = 10, EDNS_EDE = 15 };
enum wire_ede {
	EDE_STALE = 3,
	EDE_DNSSEC_BOGUS = 6,
	EDE_DNSKEY_MISSING = 9,
	EDE_RRSIGS_MISSING = 10,
	EDE_NSEC_MISSING = 12,
	EDE_FILTERED = 17,
	EDE_STALE_NXDOMAIN = 19,
	EDE_SYNTHESIZED = 29,
};

static inline uint16_t wire_u16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t wire_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void wire_put16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void wire_put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static inline uint8_t wire_lower(uint8_t c) /* ASCII letters only (RFC 4343), without a branch */
{
	unsigned int is_upper = c - (unsigned int)'A' < 26u;

	return (uint8_t)(c + (is_upper << 5));
}

static inline size_t
wire_name_len(const uint8_t *name) /* of a valid name, the root's octet included */
{
	size_t len = 1;

	for (; *name; name += 1u + *name)
		len += 1u + *name;
	return len;
}
