/* fwsync/destination.c - the special-purpose registries as two tables.
 *
 * The first matching row decides, so exceptions stand before the block that holds them.
 */
#include "destination.h"

#include <stddef.h>
#include <string.h>

#include "sallyport/cleanup.h"

struct block4 {
	uint32_t addr; /* host order */
	uint8_t len;
	enum destination class;
};
struct block6 {
	uint8_t addr[ADDR_LEN];
	uint8_t len;
	enum destination class;
};

/* clang-format off */
static const struct block4 blocks4[] = {
	{ 0x00000000,  8, DESTINATION_NEVER },    /* this network, RFC 791 */
	{ 0x0a000000,  8, DESTINATION_INTERNAL }, /* private use, RFC 1918 */
	{ 0x64400000, 10, DESTINATION_INTERNAL }, /* shared address space, RFC 6598 */
	{ 0x7f000000,  8, DESTINATION_NEVER },    /* loopback, RFC 1122 */
	{ 0xa9fe0000, 16, DESTINATION_NEVER },    /* link-local, RFC 3927: cloud metadata, too */
	{ 0xac100000, 12, DESTINATION_INTERNAL }, /* private use */
	{ 0xc0000009, 32, DESTINATION_GLOBAL },   /* PCP anycast, RFC 7723 */
	{ 0xc000000a, 32, DESTINATION_GLOBAL },   /* TURN anycast, RFC 8155 */
	{ 0xc0000000, 24, DESTINATION_INTERNAL }, /* IETF protocol assignments, RFC 6890 */
	{ 0xc0000200, 24, DESTINATION_INTERNAL }, /* TEST-NET-1, RFC 5737 */
	{ 0xc0586300, 24, DESTINATION_INTERNAL }, /* 6to4 relay anycast, deprecated, RFC 7526 */
	{ 0xc0a80000, 16, DESTINATION_INTERNAL }, /* private use */
	{ 0xc6120000, 15, DESTINATION_INTERNAL }, /* benchmarking, RFC 2544 */
	{ 0xc6336400, 24, DESTINATION_INTERNAL }, /* TEST-NET-2 */
	{ 0xcb007100, 24, DESTINATION_INTERNAL }, /* TEST-NET-3 */
	{ 0xe0000000,  4, DESTINATION_NEVER },    /* multicast, RFC 5771 */
	{ 0xf0000000,  4, DESTINATION_NEVER },    /* reserved, RFC 1112, and limited broadcast */
};

static const struct block6 blocks6[] = {
	{ { 0 }, 96, DESTINATION_NEVER },                            /* ::, ::1, IPv4-compatible */
	{ { 0x00, 0x64, 0xff, 0x9b }, 96, DESTINATION_GLOBAL },      /* NAT64, RFC 6052 */
	{ { 0x00, 0x64, 0xff, 0x9b, 0, 1 }, 48, DESTINATION_INTERNAL }, /* local NAT64, RFC 8215 */
	{ { 0x01 }, 64, DESTINATION_INTERNAL },                      /* discard-only, RFC 6666 */
	{ { 0x20, 0x01, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 }, 128, DESTINATION_GLOBAL },
	{ { 0x20, 0x01, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2 }, 128, DESTINATION_GLOBAL },
	{ { 0x20, 0x01, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3 }, 128, DESTINATION_GLOBAL },
	{ { 0x20, 0x01, 0, 3 }, 32, DESTINATION_GLOBAL },            /* AMT, RFC 7450 */
	{ { 0x20, 0x01, 0, 4, 0x01, 0x12 }, 48, DESTINATION_GLOBAL },/* AS112-v6, RFC 7535 */
	{ { 0x20, 0x01, 0, 0x20 }, 28, DESTINATION_GLOBAL },         /* ORCHIDv2, RFC 7343 */
	{ { 0x20, 0x01, 0, 0x30 }, 28, DESTINATION_GLOBAL },         /* DETs, RFC 9374 */
	{ { 0x20, 0x01, 0, 0 }, 23, DESTINATION_INTERNAL },          /* IETF; Teredo lies in it */
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32, DESTINATION_INTERNAL },    /* documentation, RFC 3849 */
	{ { 0x20, 0x02 }, 16, DESTINATION_INTERNAL },                /* 6to4, RFC 3056 */
	{ { 0x3f, 0xff, 0 }, 20, DESTINATION_INTERNAL },             /* documentation, RFC 9637 */
	{ { 0x20 }, 3, DESTINATION_GLOBAL },                         /* global unicast, RFC 4291 */
	{ { 0x5f, 0 }, 16, DESTINATION_INTERNAL },                   /* SRv6 SIDs, RFC 9602 */
	{ { 0xfc }, 7, DESTINATION_INTERNAL },                       /* unique local, RFC 4193 */
	{ { 0xfe, 0x80 }, 10, DESTINATION_NEVER },                   /* link-local */
	{ { 0xfe, 0xc0 }, 10, DESTINATION_NEVER },                   /* site-local, RFC 3879 */
	{ { 0xff }, 8, DESTINATION_NEVER },                          /* multicast */
};
/* clang-format on */

static enum destination class4(const uint8_t v4[static 4])
{
	uint32_t addr =
	    (uint32_t)v4[0] << 24 | (uint32_t)v4[1] << 16 | (uint32_t)v4[2] << 8 | v4[3];

	for (size_t i = 0; i < ARRAY_LEN(blocks4); i++)
		if (((addr ^ blocks4[i].addr) >> (32 - blocks4[i].len)) == 0)
			return blocks4[i].class;
	return DESTINATION_GLOBAL;
}

static bool in_block(const uint8_t addr[static ADDR_LEN], const uint8_t *block, uint8_t len)
{
	struct prefix prefix = { .len = len };

	memcpy(prefix.addr, block, ADDR_LEN);
	return prefix_has(&prefix, addr);
}

/* The IPv4 address that a transition mechanism would send to, or NULL. A local NAT64 prefix may put
 * it elsewhere (RFC 6052, section 2.2), but such an address is internal anyway. */
static const uint8_t *embedded4(const uint8_t addr[static ADDR_LEN], uint8_t buf[static 4])
{
	static const uint8_t nat64[ADDR_LEN] = { 0x00, 0x64, 0xff, 0x9b };
	static const uint8_t nat64_local[ADDR_LEN] = { 0x00, 0x64, 0xff, 0x9b, 0, 1 };
	static const uint8_t sixto4[ADDR_LEN] = { 0x20, 0x02 };
	static const uint8_t teredo[ADDR_LEN] = { 0x20, 0x01 };

	if (in_block(addr, nat64, 96) || in_block(addr, nat64_local, 48))
		return addr + 12;
	if (in_block(addr, sixto4, 16))
		return addr + 2;
	if (in_block(addr, teredo, 32)) { /* RFC 4380, section 4: the client's, inverted */
		for (int i = 0; i < 4; i++)
			buf[i] = (uint8_t)~addr[12 + i];
		return buf;
	}
	return NULL;
}

enum destination destination_of(const uint8_t addr[static ADDR_LEN])
{
	enum destination class = DESTINATION_NEVER; /* what no block names is reserved */
	const uint8_t *inner;
	uint8_t buf[4];

	if (addr_is_v4(addr))
		return class4(addr + 12);
	for (size_t i = 0; i < ARRAY_LEN(blocks6); i++) {
		if (in_block(addr, blocks6[i].addr, blocks6[i].len)) {
			class = blocks6[i].class;
			break;
		}
	}
	inner = embedded4(addr, buf);
	if (inner) {
		enum destination class_inner = class4(inner);

		return MIN(class, class_inner);
	}
	return class;
}
