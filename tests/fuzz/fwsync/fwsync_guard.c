/* A guard table of any octets: refused, or safe to be asked anything. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "guard.h"
#include "ranges.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t src[2][ADDR_LEN] = { { [10] = 0xff, 0xff, 10, 1, 0, 2 },
		                                  { 0xfd, 0, 0, 1, [15] = 2 } };
	static const uint8_t dst[2][ADDR_LEN] = { { [10] = 0xff, 0xff, 198, 51, 100, 7 },
		                                  { 0x20, 1, 0x0d, 0xb8, [15] = 7 } };
	static const struct pinhole_port ports[3] = { { PINHOLE_KIND_PORT, 6, 443 },
		                                      { PINHOLE_KIND_PROTO, 17, 0 },
		                                      { PINHOLE_KIND_ANY, 0, 0 } };
	void *exact = malloc(size ? size : 1);

	if (!exact)
		return 0;
	memcpy(exact, data, size);
	if (guard_table_check(exact, size) == 0) {
		struct guard guard = { .table = exact };
		struct ranges ranges = { 0 };
		const struct guard_workload *w;

		for (uint32_t workload = 0; workload < 4; workload++)
			for (unsigned int port = 0; port < 3; port++) {
				struct pinhole_request req = { .policy_version =
					                           guard_version(&guard),
					                       .workload = workload,
					                       .life_s = 1,
					                       .n_src = 2,
					                       .n_dst = 2,
					                       .n_ports = 1 };
				struct pinhole_view view = { &req, src, dst, &ports[port], NULL };

				(void)guard_permits(&guard, &view, &w); /* any answer, no crash */
			}
		if (guard.table->guarded.count < 10000 &&
		    ranges_add(&ranges, guard_prefixes(&guard, &guard.table->guarded),
		               guard.table->guarded.count) == 0 &&
		    ranges_settle(&ranges) == 0)
			for (size_t i = 0; i < ranges.n; i++)
				if (memcmp(ranges.items[i].first, ranges.items[i].last, ADDR_LEN) >
				        0 ||
				    (i > 0 && memcmp(ranges.items[i - 1].last,
				                     ranges.items[i].first, ADDR_LEN) >= 0))
					abort();
		ranges_fini(&ranges);
	}
	free(exact);
	return 0;
}
