/* policy/explain.h - the whole reasoning behind a verdict: which rules were considered, which won
 * and why the others did not. For `sallyport explain`; not on the query path.
 */
#pragma once

#include "policy/judge.h"

enum policy_considered_why {
	POLICY_WHY_WON,
	POLICY_WHY_LESS_SPECIFIC, /* a more specific rule won */
	POLICY_WHY_DENY_TIES,     /* equal rank: deny wins */
	POLICY_WHY_INHERITED,     /* an own rule, or a later extends, stands before it */
	POLICY_WHY_EXPIRED,
	POLICY_WHY_FEED_BEATS, /* a feed lists the name; only an exact allow beats a feed */
	POLICY_WHY_FINAL,      /* a final deny beats everything */
	POLICY_WHY_TYPE,       /* a deny whose types do not cover the question */
};
const char *policy_why_str(enum policy_considered_why why); /* a short sentence */

struct policy_considered {
	uint32_t rule; /* or POLICY_NONE: a feed */
	uint32_t feed;
	enum policy_considered_why why;
};

/* Fill @out (at most @cap) with every rule and feed that matches @qname, strongest first, and
 * @ret_verdict with the verdict, which is always policy_judge()'s. Returns the number. */
size_t policy_explain(const struct policy_image *image, uint32_t workload, const uint8_t *qname,
                      uint16_t qtype, uint64_t now_s, struct policy_considered *out, size_t cap,
                      struct verdict *ret_verdict);
