/* policy/explain.c - every rule and feed that matches a name, and what became of it. */
#include "policy/explain.h"

#include "match.h"

const char *policy_why_str(enum policy_considered_why why)
{
	switch (why) {
	case POLICY_WHY_WON:
		return "it decides";
	case POLICY_WHY_LESS_SPECIFIC:
		return "a more specific rule decides";
	case POLICY_WHY_DENY_TIES:
		return "an equally specific deny decides";
	case POLICY_WHY_INHERITED:
		return "an equally specific rule stands before it";
	case POLICY_WHY_EXPIRED:
		return "it has expired";
	case POLICY_WHY_FEED_BEATS:
		return "a feed lists the name, and only an exact allow beats a feed";
	case POLICY_WHY_FINAL:
		return "a final deny decides";
	case POLICY_WHY_TYPE:
		return "it denies other types only";
	}
	return "?";
}

struct considering {
	const struct probe *probe;
	const struct opinion *opinion;
	const struct verdict *verdict;
	uint16_t qtype;
	uint32_t feed; /* that lists the name, or POLICY_NONE */
	bool feed_decides;
	const struct img_candidate *best; /* of the winning rule, once it has been met */
	unsigned int best_depth;
};

static enum policy_considered_why why_of(struct considering *c, const struct img_candidate *cand,
                                         const struct img_rule *rule, unsigned int depth)
{
	const struct opinion *o = c->opinion;

	if (rule_expired(rule, c->probe->now_s))
		return POLICY_WHY_EXPIRED;
	if (!rule_is_allow(rule) && !rule_has_type(c->probe->image, rule, c->qtype))
		return POLICY_WHY_TYPE;
	if (o->final)
		return cand->rule == o->final_id ? POLICY_WHY_WON : POLICY_WHY_FINAL;
	if (c->feed_decides)
		return POLICY_WHY_FEED_BEATS;
	if (cand->rule == o->winner_id) {
		c->best = cand;
		c->best_depth = depth;
		return POLICY_WHY_WON;
	}
	if (c->best && c->best_depth == depth && c->best->literals == cand->literals &&
	    (c->best->kind >= IMG_STAR ? c->best->kind == cand->kind : cand->kind < IMG_STAR)) {
		if (o->winner && !rule_is_allow(o->winner) && rule_is_allow(rule))
			return POLICY_WHY_DENY_TIES;
		return POLICY_WHY_INHERITED;
	}
	return POLICY_WHY_LESS_SPECIFIC;
}

size_t policy_explain(const struct policy_image *image, uint32_t workload, const uint8_t *qname,
                      uint16_t qtype, uint64_t now_s, struct policy_considered *out, size_t cap,
                      struct verdict *ret_verdict)
{
	const struct img_workload *w = IMG_AT(image, SEC_WORKLOADS, workload, struct img_workload);
	const struct img_profile *profile =
	    w ? IMG_AT(image, SEC_PROFILES, w->profile, struct img_profile) : NULL;
	struct considering c = { .verdict = ret_verdict, .qtype = qtype };
	struct opinion opinion;
	struct probe probe;
	size_t n_out = 0;

	policy_judge(image, workload, qname, qtype, now_s, ret_verdict);
	if (!profile || !probe_start(&probe, image, profile, qname, now_s))
		return 0;
	opinion_form(&probe, qtype, &opinion);
	c.probe = &probe;
	c.opinion = &opinion;
	c.feed = feed_lookup(&probe, FEED_NAME);
	c.feed_decides = c.feed != POLICY_NONE && !opinion.final &&
	                 !(opinion.winner && rule_is_allow(opinion.winner) && opinion.winner_exact);
	if (opinion.final && n_out < cap)
		out[n_out++] =
		    (struct policy_considered){ opinion.final_id, POLICY_NONE, POLICY_WHY_WON };
	if (c.feed_decides && n_out < cap)
		out[n_out++] = (struct policy_considered){ POLICY_NONE, c.feed, POLICY_WHY_WON };
	for (unsigned int d = probe.n_known; d-- > 0;) {
		size_t n;
		const struct img_candidate *cand = node_candidates(&probe, probe.node[d], &n);

		for (size_t i = 0; i < n && n_out < cap; i++) {
			const struct img_rule *rule;

			if (!candidate_matches(&probe, &cand[i], d))
				continue;
			rule = candidate_rule(&probe, &cand[i]);
			if (!rule || (opinion.final && cand[i].rule == opinion.final_id))
				continue;
			out[n_out++] = (struct policy_considered){ cand[i].rule, POLICY_NONE,
				                                   why_of(&c, &cand[i], rule, d) };
		}
	}
	if (c.feed != POLICY_NONE && !c.feed_decides && n_out < cap)
		out[n_out++] =
		    (struct policy_considered){ POLICY_NONE, c.feed,
			                        opinion.final ? POLICY_WHY_FINAL
			                                      : POLICY_WHY_LESS_SPECIFIC };
	return n_out;
}
