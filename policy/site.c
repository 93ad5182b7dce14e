/* policy/site.c - listeners that are not there, and clients that nobody filters. */
#include "policy/site.h"

#include <string.h>

#include "sallyport/diag.h"

static bool listens_at(const struct policy_site *site, const uint8_t addr[static ADDR_LEN])
{
	static const uint8_t wildcards[2][ADDR_LEN] = { { 0 }, { [10] = 0xff, [11] = 0xff } };

	for (size_t i = 0; i < site->n_listeners; i++) {
		if (memcmp(site->listeners[i], addr, ADDR_LEN) == 0 ||
		    memcmp(site->listeners[i], wildcards[addr_is_v4(addr)], ADDR_LEN) == 0)
			return true;
	}
	return false;
}

void policy_site_warn(const struct policy_image *image, const struct policy_site *site,
                      const char *file, struct diag *diag)
{
	struct policy_workload_info w;
	struct policy_counts counts;
	const char *unguarded = NULL;
	uint32_t n_unguarded = 0;

	policy_image_counts(image, &counts);
	for (uint32_t i = 0; i < counts.workloads; i++) {
		if (policy_image_workload(image, i, &w) < 0)
			continue;
		for (size_t l = 0; l < w.n_listeners; l++) {
			char addr[ADDR_TEXT_LEN];

			if (listens_at(site, w.listeners[l].addr))
				continue;
			addr_text(w.listeners[l].addr, addr);
			diag_add(diag, DIAG_WARNING, file, 0, 0,
			         "workload '%s' is to be known at %s, where nobody can ask: the "
			         "configuration does not listen there; add it to listen",
			         w.name, addr);
		}
		if (w.n_listeners > 0 && w.n_sources == 0 && n_unguarded++ == 0)
			unguarded = w.name;
	}
	if (!site->guards_sources || n_unguarded == 0)
		return;
	if (n_unguarded == 1)
		diag_add(diag, DIAG_WARNING, file, 0, 0,
		         "workload '%s' lists no source and firewall.guard is not set: nothing of "
		         "it is filtered; name its interface or prefix in firewall.guard",
		         unguarded);
	else
		diag_add(diag, DIAG_WARNING, file, 0, 0,
		         "%u workloads, '%s' the first, list no source and firewall.guard is not "
		         "set: nothing of them is filtered; name their interfaces or prefixes in "
		         "firewall.guard",
		         n_unguarded, unguarded);
}
