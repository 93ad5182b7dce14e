/* sallyport/guard_table.h - what fwsync may open at most, derived by the keeper from the policy
 * image and handed over as a sealed memfd. The resolver never sees it.
 *
 *   struct guard_table | workloads[] | sources[] | ports[] | internals[] | guarded[] | interfaces[]
 *
 * Offsets count octets from the start; a reader checks them all once, at loading.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sallyport/limits.h"
#include "sallyport/prefix.h"

#define GUARD_MAGIC UINT32_C(0x31445247)
#define GUARD_VERSION 2
#define GUARD_IFNAME_LEN 16

struct guard_section {
	uint32_t offset, count;
};
struct guard_table {
	uint32_t magic, version;
	uint32_t policy_version; /* 0: no policy; then there are no workloads */
	uint32_t len;
	struct guard_section workloads; /* struct guard_workload; index = workload id */
	struct guard_section sources;   /* struct guard_prefix, of all workloads, and `named` */
	struct guard_section ports;     /* struct guard_ports, of all workloads */
	struct guard_section
	    internals; /* struct guard_prefix: not globally reachable, yet permitted */
	struct guard_section guarded;    /* struct guard_prefix: what the forward chain filters */
	struct guard_section observed;   /* struct guard_prefix: sources in observe mode */
	struct guard_section interfaces; /* char[GUARD_IFNAME_LEN]: filtered whatever the source */
};
struct guard_prefix {
	uint8_t addr[ADDR_LEN];
	uint8_t len; /* 0..128 */
	uint8_t reserved[3];
};
/* A kind beside those of pinholes: UDP ports on which connections from outside may begin, at the
 * workload's single addresses. It permits no pinhole. */
#define GUARD_PORTS_INBOUND 4
struct guard_ports {
	uint8_t kind; /* enum pinhole_proto_kind, or GUARD_PORTS_INBOUND */
	uint8_t proto;
	uint16_t first, last; /* inclusive; 0 unless PORT or INBOUND */
	uint16_t reserved;
};
enum guard_listeners { GUARD_LISTENER_V4 = 1, GUARD_LISTENER_V6 = 2 };
struct guard_workload {
	char name[LIMIT_WORKLOAD_NAME + 1];
	struct guard_section sources, ports, internals; /* offset: index into that section */
	/* It has listeners of these families (enum guard_listeners), and is whoever asks there
	 * whom no workload names by a source: any address but those in `named`, a part of sources,
	 * ascending and without overlaps, that every workload's lie in. */
	struct guard_section named;
	uint32_t listeners;
	uint32_t life_max_s;   /* longest life of a pinhole */
	uint32_t pinholes_max; /* addresses (distinct destinations) open at once */
};

struct diag;

/* Is @addr in one of @n prefixes that are ascending and do not overlap? A search by halves. */
bool guard_prefixes_have(const struct guard_prefix *prefixes, uint32_t n,
                         const uint8_t addr[static ADDR_LEN]);

/* Check every offset of @len octets at @data (4-aligned). Returns 0 or ERR_DAMAGED. */
int guard_table_check(const void *data, size_t len) MUST_CHECK;
