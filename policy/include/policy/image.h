/* policy/image.h - the compiled policy: one flat, position-independent, checksummed block.
 *
 * Made by the compiler process in a memfd, sealed by the keeper, mapped read-only by the resolver.
 * The format is private to policy/; this header opens it and lists what it holds.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/prefix.h"
#include "sallyport/verdict.h"

struct diag;

/* A view of an image in memory; the caller keeps the memory. */
struct policy_image {
	const uint8_t *data;
	size_t len;
	uint32_t version; /* policy version, as the opener said; 0 until a version is stored */
};

/* Check magic, format, checksum and the bounds of every section of @len octets at @data
 * (8-aligned). Returns 0, ERR_VERSION or ERR_DAMAGED. Costs one pass over the data. */
int policy_image_open(const void *data, size_t len, uint32_t version,
                      struct policy_image *ret_image) MUST_CHECK;

/* Listings, for the keeper (guard table, catalog) and the command line. */
struct policy_counts {
	uint32_t workloads, profiles, rules, feeds, hosts;
	uint64_t feed_names;
};
void policy_image_counts(const struct policy_image *image, struct policy_counts *ret_counts);

struct policy_rule_info {
	bool allow;
	bool final, internal, require_dnssec;
	uint32_t profile; /* that wrote it */
	uint32_t line, col;
	uint8_t follow;      /* enum policy_follow */
	uint64_t expires_s;  /* 0: never */
	const char *pattern; /* as written; "zone docs.test" for zones. Borrowed, terminated */
	const char *owner, *reason, *ticket; /* "" when absent */
};
int policy_image_rule(const struct policy_image *image, uint32_t rule,
                      struct policy_rule_info *ret_info) MUST_CHECK; /* 0 or ERR_NOENT */

struct policy_workload_info {
	const char *name, *profile;
	uint32_t profile_id;
	bool observe;
	size_t n_sources, n_listeners;
	const struct prefix *sources, *listeners; /* of listeners, single addresses */
	uint32_t n_rules;                         /* own and inherited, of the profile */
};
int policy_image_workload(const struct policy_image *image, uint32_t workload,
                          struct policy_workload_info *ret_info) MUST_CHECK;

struct policy_profile_info {
	const char *name;
	bool observe;
	uint8_t denied;           /* enum policy_denied */
	uint32_t n_allow, n_deny; /* own and inherited */
	uint32_t n_feeds, n_workloads;
	uint32_t floor_s, grace_s, max_s, addresses, per_workload;
};
int policy_image_profile(const struct policy_image *image, uint32_t profile,
                         struct policy_profile_info *ret_info) MUST_CHECK;
/* Indexes of the profile's rules, own and inherited, in order of strength within one pattern
 * (for listings and the guard table). Borrowed. */
size_t policy_image_profile_rules(const struct policy_image *image, uint32_t profile,
                                  const uint32_t **ret_rules);

const char *policy_image_feed_name(const struct policy_image *image, uint32_t feed); /* or NULL */
/* Addresses of all hosts entries, one by one: returns 0 or ERR_NOENT. */
int policy_image_host(const struct policy_image *image, uint32_t i, const uint8_t **ret_name,
                      uint8_t ret_addr[static ADDR_LEN]);
