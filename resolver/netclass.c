/* resolver/netclass.c - the IANA special-purpose address registries (RFC 6890, RFC 8190), as
 * tables.
 *
 * "Globally reachable: false" is INTERNAL where somebody may use it inside, NEVER where no packet
 * to it can be meant. What neither table names is global in IPv4, and in IPv6 only inside 2000::/3,
 * all that IANA has ever given out for global unicast.
 */
#include "netclass.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "wire.h"

struct range {
	uint8_t addr[ADDR_LEN]; /* of IPv4 the first four octets */
	uint8_t bits;
	uint8_t class; /* enum netclass */
};

/* More specific rows stand first: the first match decides. */
static const struct range ranges_v4[] = {
	{ { 192, 0, 0, 9 }, 32, NETCLASS_GLOBAL },   /* PCP anycast, RFC 7723 */
	{ { 192, 0, 0, 10 }, 32, NETCLASS_GLOBAL },  /* TURN anycast, RFC 8155 */
	{ { 0 }, 8, NETCLASS_NEVER },                /* this network; Linux takes it for itself */
	{ { 10 }, 8, NETCLASS_INTERNAL },            /* private use, RFC 1918 */
	{ { 100, 64 }, 10, NETCLASS_INTERNAL },      /* shared address space, RFC 6598 */
	{ { 127 }, 8, NETCLASS_NEVER },              /* loopback */
	{ { 169, 254 }, 16, NETCLASS_NEVER },        /* link-local: cloud metadata lives there */
	{ { 172, 16 }, 12, NETCLASS_INTERNAL },      /* private use */
	{ { 192, 0, 0 }, 24, NETCLASS_INTERNAL },    /* IETF protocol assignments */
	{ { 192, 0, 2 }, 24, NETCLASS_INTERNAL },    /* documentation, RFC 5737 */
	{ { 192, 88, 99 }, 24, NETCLASS_INTERNAL },  /* 6to4 relay anycast, withdrawn: RFC 7526 */
	{ { 192, 168 }, 16, NETCLASS_INTERNAL },     /* private use */
	{ { 198, 18 }, 15, NETCLASS_INTERNAL },      /* benchmarking, RFC 2544 */
	{ { 198, 51, 100 }, 24, NETCLASS_INTERNAL }, /* documentation */
	{ { 203, 0, 113 }, 24, NETCLASS_INTERNAL },  /* documentation */
	{ { 224 }, 4, NETCLASS_NEVER },              /* multicast, RFC 5771 */
	{ { 240 }, 4, NETCLASS_NEVER },              /* reserved, and limited broadcast */
	{ { 0 }, 0, NETCLASS_GLOBAL },
};

static const struct range ranges_v6[] = {
	{ { 0x20, 0x01, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 },
	  128,
	  NETCLASS_GLOBAL }, /* PCP */
	{ { 0x20, 0x01, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2 },
	  128,
	  NETCLASS_GLOBAL }, /* TURN */
	{ { 0x20, 0x01, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3 },
	  128,
	  NETCLASS_GLOBAL },                                       /* SRP */
	{ { 0x20, 0x01, 0, 0 }, 32, NETCLASS_GLOBAL },             /* Teredo: by the IPv4 in it */
	{ { 0x20, 0x01, 0, 3 }, 32, NETCLASS_GLOBAL },             /* AMT, RFC 7450 */
	{ { 0x20, 0x01, 0, 4, 0x01, 0x12 }, 48, NETCLASS_GLOBAL }, /* AS112-v6, RFC 7535 */
	{ { 0x20, 0x01, 0, 0x20 }, 28, NETCLASS_GLOBAL },          /* ORCHIDv2, RFC 7343 */
	{ { 0x20, 0x01, 0, 0x30 }, 28, NETCLASS_GLOBAL },          /* DRIP, RFC 9374 */
	{ { 0x20, 0x01 }, 23, NETCLASS_INTERNAL },                 /* IETF protocol assignments */
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32, NETCLASS_INTERNAL },     /* documentation, RFC 3849 */
	{ { 0x3f, 0xff }, 20, NETCLASS_INTERNAL },                 /* documentation, RFC 9637 */
	{ { 0x20 }, 3, NETCLASS_GLOBAL },                 /* global unicast; 6to4 is in it */
	{ { 0, 0x64, 0xff, 0x9b }, 96, NETCLASS_GLOBAL }, /* NAT64, RFC 6052 */
	{ { 0, 0x64, 0xff, 0x9b, 0, 1 }, 48, NETCLASS_INTERNAL }, /* local NAT64, RFC 8215 */
	{ { 0x5f }, 16, NETCLASS_INTERNAL },                      /* SRv6 SIDs, RFC 9602 */
	{ { 0xfc }, 7, NETCLASS_INTERNAL },                       /* unique local, RFC 4193 */
	{ { 0xfe, 0xc0 }, 10, NETCLASS_INTERNAL },                /* site-local, RFC 3879 */
	/* ::, ::1, discard-only 100::/64, link-local, multicast, everything not assigned. */
	{ { 0 }, 0, NETCLASS_NEVER },
};

static bool in_range(const struct range *range, const uint8_t *addr)
{
	size_t whole = range->bits / 8, rest = range->bits % 8;

	return memcmp(addr, range->addr, whole) == 0 &&
	       (rest == 0 || ((addr[whole] ^ range->addr[whole]) >> (8 - rest)) == 0);
}

static enum netclass find(const struct range *ranges, const uint8_t *addr)
{
	while (!in_range(ranges, addr)) /* the last row matches everything */
		ranges++;
	return (enum netclass)ranges->class;
}

static enum netclass of_v4(const uint8_t v4[static 4])
{
	return find(ranges_v4, v4);
}

static enum netclass stricter(enum netclass a, enum netclass b)
{
	return a < b ? a : b;
}

static bool all_zero(const uint8_t *p, size_t n)
{
	while (n > 0 && *p == 0)
		p++, n--;
	return n == 0;
}

enum netclass netclass_of(const uint8_t addr[static ADDR_LEN])
{
	enum netclass class;

	if (addr_is_v4(addr))
		return of_v4(addr + 12);
	class = find(ranges_v6, addr);

	/* Compatible, ::a.b.c.d (RFC 4291, section 2.5.5.1): deprecated, but some stacks know it.
	 * Never global, and :: and ::1 stay what they are (0.0.0.0/8 is NEVER). */
	if (all_zero(addr, 12))
		return stricter(NETCLASS_INTERNAL, of_v4(addr + 12));
	if (wire_u16(addr) == 0x2002) /* 6to4, RFC 3056 */
		return stricter(class, of_v4(addr + 2));
	if (wire_u32(addr) == 0x20010000) { /* Teredo, RFC 4380: server, and client inverted */
		uint8_t client[4];

		for (size_t i = 0; i < 4; i++)
			client[i] = (uint8_t)~addr[12 + i];
		return stricter(class, stricter(of_v4(addr + 4), of_v4(client)));
	}
	if (wire_u32(addr) == 0x0064ff9b && all_zero(addr + 4, 8))
		return stricter(class, of_v4(addr + 12));
	if (wire_u32(addr) == 0x0064ff9b && wire_u16(addr + 4) == 1) {
		/* A network carves any of RFC 6052's lengths out of its /48; told apart by the zero
		 * suffix that the short one must have. */
		uint8_t by48[4] = { addr[6], addr[7], addr[9], addr[10] };
		bool short_form = all_zero(addr + 11, 5) && addr[8] == 0;

		return stricter(class, of_v4(short_form ? by48 : addr + 12));
	}
	return class;
}
