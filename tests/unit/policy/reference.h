/* tests/unit/policy/reference.h - the design's section 4 once more: slow, obvious, and written
 * without a look at the compiler. Names are texts, rules a list, nothing is indexed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "policy/judge.h"

#define REF_RULES 32
#define REF_PROFILES 4
#define REF_FEEDS 3
#define REF_ENTRIES 6
#define REF_TEXT 80

struct ref_rule {
	char pattern[REF_TEXT]; /* "a.b", "**.a*.b", "*.a"; of a zone the name */
	bool zone, allow, final, internal;
	enum policy_follow follow;
	uint16_t types[3];
	int n_types;
	uint64_t expires; /* 0: never */
	uint32_t id;
};
struct ref_entry { /* of a feed */
	char name[REF_TEXT];
	bool below, exact, pass;
};
struct ref_feed {
	int format; /* 0 domains, 1 hosts, 2 rpz */
	struct ref_entry entries[REF_ENTRIES];
	int n;
};
struct ref_profile {
	struct ref_rule rules[REF_RULES];
	int n_rules;
	int extends[REF_PROFILES], n_extends;
	bool feeds[REF_FEEDS];
	bool observe;
	enum policy_denied denied;
};
struct ref_policy {
	struct ref_profile profiles[REF_PROFILES]; /* the workload has the first */
	int n_profiles;
	struct ref_feed feeds[REF_FEEDS];
	int n_feeds;
};

/* @name: lower case, no final dot, "" for the root. */
void ref_judge(const struct ref_policy *policy, const char *name, uint16_t type, uint64_t now,
               struct verdict *ret);
void ref_judge_target(const struct ref_policy *policy, const struct verdict *entry,
                      const char *name, uint16_t type, uint64_t now, bool inwards,
                      struct verdict *ret);
