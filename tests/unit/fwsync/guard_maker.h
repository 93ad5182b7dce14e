/* tests/unit/fwsync/guard_maker.h - guard tables for tests: one workload or two, in plain memory.
 */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "sallyport/guard_table.h"
#include "sallyport/pinhole.h"
#include "sallyport/prefix.h"

struct guard_image { /* 4-aligned, every section at a fixed place */
	struct guard_table head;
	struct guard_workload workloads[2];
	struct guard_prefix sources[6]; /* from 3 on: all of them, ascending */
	struct guard_ports ports[4];
	struct guard_prefix internals[2];
	struct guard_prefix guarded[2];
	struct guard_prefix observed[1];
	char interfaces[2][GUARD_IFNAME_LEN];
};

static inline struct guard_prefix guard_prefix_of(const char *text)
{
	struct guard_prefix out = { 0 };
	struct prefix prefix;

	if (prefix_parse(text, &prefix) < 0)
		abort();
	memcpy(out.addr, prefix.addr, ADDR_LEN);
	out.len = prefix.len;
	return out;
}

#define GUARD_SECTION(field)                                                                       \
	(struct guard_section)                                                                     \
	{                                                                                          \
		offsetof(struct guard_image, field),                                               \
		    sizeof(((struct guard_image *)0)->field) /                                     \
			sizeof(((struct guard_image *)0)->field[0])                                \
	}

/* Workload 0 "app": 10.1.0.0/24, fd00:1::/64; tcp/443-445, icmp; internal 198.51.100.0/24; life 100
 * s, 3 addresses. Workload 1 "build": 10.9.0.0/16; udp of every port, any; 2001:db8::/32. */
static inline void guard_image_make(struct guard_image *image, uint32_t version)
{
	memset(image, 0, sizeof(*image));
	image->head = (struct guard_table){ .magic = GUARD_MAGIC,
		                            .version = GUARD_VERSION,
		                            .policy_version = version,
		                            .len = sizeof(*image),
		                            .workloads = GUARD_SECTION(workloads),
		                            .sources = GUARD_SECTION(sources),
		                            .ports = GUARD_SECTION(ports),
		                            .internals = GUARD_SECTION(internals),
		                            .guarded = GUARD_SECTION(guarded),
		                            .observed = GUARD_SECTION(observed),
		                            .interfaces = GUARD_SECTION(interfaces) };
	image->workloads[0] = (struct guard_workload){ .name = "app",
		                                       .sources = { 0, 2 },
		                                       .ports = { 0, 2 },
		                                       .internals = { 0, 1 },
		                                       .life_max_s = 100,
		                                       .pinholes_max = 3 };
	image->workloads[1] = (struct guard_workload){ .name = "build",
		                                       .sources = { 2, 1 },
		                                       .ports = { 2, 2 },
		                                       .internals = { 1, 1 },
		                                       .life_max_s = 100000,
		                                       .pinholes_max = 100000 };
	image->sources[0] = guard_prefix_of("10.1.0.0/24");
	image->sources[1] = guard_prefix_of("fd00:1::/64");
	image->sources[2] = guard_prefix_of("10.9.0.0/16");
	image->sources[3] = guard_prefix_of("10.1.0.0/24");
	image->sources[4] = guard_prefix_of("10.9.0.0/16");
	image->sources[5] = guard_prefix_of("fd00:1::/64");
	image->ports[0] = (struct guard_ports){ PINHOLE_KIND_PORT, 6, 443, 445, 0 };
	image->ports[1] = (struct guard_ports){ PINHOLE_KIND_PROTO, 1, 0, 0, 0 };
	image->ports[2] = (struct guard_ports){ PINHOLE_KIND_PROTO, 17, 0, 0, 0 };
	image->ports[3] = (struct guard_ports){ PINHOLE_KIND_ANY, 0, 0, 0, 0 };
	image->internals[0] = guard_prefix_of("198.51.100.0/24");
	image->internals[1] = guard_prefix_of("2001:db8::/32");
	image->guarded[0] = guard_prefix_of("10.1.0.0/24");
	image->guarded[1] = guard_prefix_of("fd00:1::/64");
	image->observed[0] = guard_prefix_of("10.9.0.0/16");
	memcpy(image->interfaces[0], "lan0", 5);
	memcpy(image->interfaces[1], "lan1", 5);
}

/* Workload 1 has a listener as well: anybody of IPv4 whom none of the sources above has. */
static inline void guard_image_listen(struct guard_image *image)
{
	image->workloads[1].listeners = GUARD_LISTENER_V4;
	image->workloads[1].named = (struct guard_section){ 3, 3 };
}
