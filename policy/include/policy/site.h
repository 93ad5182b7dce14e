/* policy/site.h - does a policy fit the place where it is to be in force?
 *
 * Whom a listener makes a workload, the configuration must let ask there, and have filtered: no
 * source says it.
 */
#pragma once

#include "policy/image.h"

/* What the configuration says. */
struct policy_site {
	const uint8_t (*listeners)[ADDR_LEN]; /* unspecified: every address of its family */
	size_t n_listeners;
	bool guards_sources; /* the firewall filters the policy's sources, and nobody else */
};

/* Add what does not fit to @diag as warnings, of @file (may be ""). */
void policy_site_warn(const struct policy_image *image, const struct policy_site *site,
                      const char *file, struct diag *diag);
