/* policy/match.h - what a profile's rules and feeds say of one name. Private to policy/.
 *
 * judge.c makes verdicts of it, explain.c sentences. Pure and without allocation, as judge.h says.
 */
#pragma once

#include "format.h"

/* A name taken apart, and what the profile's table knows of its suffixes. */
struct probe {
	const struct policy_image *image;
	const struct img_profile *profile;
	unsigned int n_labels;
	unsigned int n_known;  /* suffixes of 0..n_known-1 labels are in the profile's table */
	unsigned int n_hashed; /* hash[0..n_hashed] is computed */
	uint64_t now_s;
	const struct img_node *node[NAME_MAX_LABELS + 1]; /* by number of labels of the suffix */
	uint64_t hash[NAME_MAX_LABELS + 1];
	uint8_t at[NAME_MAX_LABELS + 1]; /* label i (0: leftmost) begins at name[at[i]] */
	uint8_t len;
	uint8_t name[NAME_MAX_WIRE + 9]; /* lower case, padded for img_hash_label() */
};

/* Take @qname apart and find its suffixes in the profile's table. Returns false for an invalid
 * name or a damaged table: nothing matches. */
bool probe_start(struct probe *probe, const struct policy_image *image,
                 const struct img_profile *profile, const uint8_t *qname, uint64_t now_s);

/* Does the pattern of @c match the name, its fixed suffix being the last @depth labels? */
bool candidate_matches(const struct probe *probe, const struct img_candidate *c,
                       unsigned int depth);

const struct img_rule *candidate_rule(const struct probe *probe, const struct img_candidate *c);
const struct img_candidate *node_candidates(const struct probe *probe, const struct img_node *node,
                                            size_t *ret_n);

static inline bool rule_expired(const struct img_rule *rule, uint64_t now_s)
{
	return rule->expires_s != 0 && now_s >= rule->expires_s;
}
static inline bool rule_is_allow(const struct img_rule *rule)
{
	return (rule->flags & IMG_ALLOW) != 0;
}

/* Does the rule's `types` contain @type? */
bool rule_has_type(const struct policy_image *image, const struct img_rule *rule, uint16_t type);

/* What the rules say. */
struct opinion {
	const struct img_rule *winner, *final; /* NULL: none. final: strongest final deny */
	uint32_t winner_id, final_id;
	uint32_t expired_id; /* the strongest allow that has expired, or POLICY_NONE */
	bool winner_exact;
};
void opinion_form(const struct probe *probe, uint16_t qtype, struct opinion *ret_opinion);

enum feed_scope {
	FEED_NAME,  /* the name itself */
	FEED_BELOW, /* every name below it; feeds with exceptions are passed over */
};
/* The profile's first feed that lists it, or POLICY_NONE. */
uint32_t feed_lookup(struct probe *probe, enum feed_scope scope);

/* May anything strictly below the name be allowed? Where the answer hangs on more than the rules
 * that cover everything below, it is yes. */
bool allows_below(struct probe *probe);

/* The same, by a rule whose fixed suffix is the name or lies below it. */
bool is_above_allowed(struct probe *probe);
