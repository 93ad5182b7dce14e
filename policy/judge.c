/* policy/judge.c - verdicts. The order of the checks is the design's precedence. */
#include "policy/judge.h"

#include "match.h"

enum { TYPE_DS = 43, TYPE_DNSKEY = 48 };

static const struct img_profile *profile_of(const struct policy_image *image, uint32_t workload)
{
	const struct img_workload *w = IMG_AT(image, SEC_WORKLOADS, workload, struct img_workload);

	return w ? IMG_AT(image, SEC_PROFILES, w->profile, struct img_profile) : NULL;
}

static void no_verdict(enum reason reason, struct verdict *ret_verdict)
{
	*ret_verdict = (struct verdict){
		.kind = VERDICT_DENY,
		.reason = reason,
		.rule = POLICY_NONE,
		.feed = POLICY_NONE,
	};
}

/* NXDOMAIN speaks of the whole name and of all below it (RFC 8020, section 2): it would be a lie
 * when only a type is denied, or when something below is allowed. */
static enum policy_denied denied_how(struct probe *probe, const struct img_rule *deny,
                                     enum reason reason)
{
	if (reason == REASON_TYPE || (deny && deny->n_types > 0) || allows_below(probe))
		return POLICY_DENIED_NODATA;
	return probe->profile->denied <= POLICY_DENIED_NODATA ? probe->profile->denied
	                                                      : POLICY_DENIED_NXDOMAIN;
}

/* Deny, or let pass and remember if the profile observes. Feeds stay enforced there, too. */
static void deny(struct probe *probe, enum reason reason, const struct img_rule *rule,
                 uint32_t rule_id, uint32_t feed, struct verdict *ret_verdict)
{
	/* A deny that only observes must not let pass what a feed lists besides. */
	if (probe->profile->observe == 1 && reason == REASON_RULE) {
		feed = feed_lookup(probe, FEED_NAME);
		if (feed != POLICY_NONE) {
			reason = REASON_FEED;
			rule_id = POLICY_NONE;
		}
	}
	no_verdict(reason, ret_verdict);
	ret_verdict->rule = rule_id;
	ret_verdict->feed = feed;
	if (probe->profile->observe == 1 && reason != REASON_FEED) {
		ret_verdict->kind = VERDICT_ALLOW;
		ret_verdict->reason = REASON_OBSERVE;
		ret_verdict->follow = POLICY_FOLLOW_CHAIN;
		ret_verdict->observed = true;
		ret_verdict->would_be = reason;
		return;
	}
	ret_verdict->denied = denied_how(probe, reason == REASON_RULE ? rule : NULL, reason);
}

static enum policy_follow follow_of(const struct img_rule *rule)
{
	return rule->follow <= POLICY_FOLLOW_ANY ? (enum policy_follow)rule->follow
	                                         : POLICY_FOLLOW_NONE;
}

/* RFC 4035, section 5: a validating stub needs the chain from the root to what it may ask. */
static bool is_ancestor_question(struct probe *probe, uint16_t qtype)
{
	return (qtype == TYPE_DS || qtype == TYPE_DNSKEY) && is_above_allowed(probe);
}

void policy_judge(const struct policy_image *image, uint32_t workload, const uint8_t *qname,
                  uint16_t qtype, uint64_t now_s, struct verdict *ret_verdict)
{
	const struct img_profile *profile = profile_of(image, workload);
	const struct img_rule *rule = NULL;
	uint32_t rule_id = POLICY_NONE, feed = POLICY_NONE;
	enum reason reason = REASON_NO_RULE;
	struct opinion opinion;
	struct probe probe;

	if (!profile) {
		no_verdict(REASON_NO_WORKLOAD, ret_verdict);
		return;
	}
	if (!probe_start(&probe, image, profile, qname, now_s)) {
		no_verdict(REASON_MALFORMED, ret_verdict);
		return;
	}
	opinion_form(&probe, qtype, &opinion);
	if (opinion.final) {
		deny(&probe, REASON_RULE, opinion.final, opinion.final_id, POLICY_NONE,
		     ret_verdict);
		return;
	}
	rule = opinion.winner;
	if (!rule || !rule_is_allow(rule) || !opinion.winner_exact)
		feed = feed_lookup(&probe, FEED_NAME);
	if (feed != POLICY_NONE) {
		reason = REASON_FEED;
	} else if (rule) {
		rule_id = opinion.winner_id;
		reason = REASON_RULE;
		if (rule_is_allow(rule) && rule_has_type(image, rule, qtype)) {
			no_verdict(REASON_RULE, ret_verdict);
			ret_verdict->kind = VERDICT_ALLOW;
			ret_verdict->rule = rule_id;
			ret_verdict->follow = follow_of(rule);
			ret_verdict->internal = (rule->flags & IMG_INTERNAL) != 0;
			ret_verdict->require_dnssec = (rule->flags & IMG_DNSSEC) != 0;
			return;
		}
		if (rule_is_allow(rule))
			reason = REASON_TYPE;
	} else if (opinion.expired_id != POLICY_NONE) {
		rule_id = opinion.expired_id;
		reason = REASON_EXPIRED;
	}
	if (is_ancestor_question(&probe, qtype)) {
		no_verdict(REASON_ANCESTOR, ret_verdict);
		ret_verdict->kind = VERDICT_ALLOW;
		return;
	}
	deny(&probe, reason, rule, rule_id, feed, ret_verdict);
}

/* An entry verdict comes from the caller; its rule must be an allow of this image. An observing
 * profile's entry may have none. */
static bool entry_is_sound(const struct policy_image *image, const struct img_profile *profile,
                           const struct verdict *entry)
{
	const struct img_rule *rule = IMG_AT(image, SEC_RULES, entry->rule, struct img_rule);

	if (entry->kind != VERDICT_ALLOW)
		return false;
	if (entry->observed)
		return profile->observe == 1;
	return rule && rule_is_allow(rule);
}

void policy_judge_target(const struct policy_image *image, uint32_t workload,
                         const struct verdict *entry, const uint8_t *target, uint16_t qtype,
                         uint64_t now_s, bool crosses_inwards, struct verdict *ret_verdict)
{
	const struct img_profile *profile = profile_of(image, workload);
	const struct img_rule *rule;
	uint32_t feed = POLICY_NONE;
	struct opinion opinion;
	struct probe probe;
	bool own;

	if (!profile) {
		no_verdict(REASON_NO_WORKLOAD, ret_verdict);
		return;
	}
	if (!entry_is_sound(image, profile, entry) ||
	    !probe_start(&probe, image, profile, target, now_s)) {
		no_verdict(REASON_NO_RULE, ret_verdict);
		return;
	}
	opinion_form(&probe, qtype, &opinion);
	rule = opinion.final ? opinion.final : opinion.winner;
	own = rule && rule_is_allow(rule);
	if (rule && !own) {
		deny(&probe, REASON_RULE, rule,
		     opinion.final ? opinion.final_id : opinion.winner_id, POLICY_NONE,
		     ret_verdict);
	} else {
		if (entry->follow != POLICY_FOLLOW_ANY && !(own && opinion.winner_exact))
			feed = feed_lookup(&probe, FEED_NAME);
		if (feed != POLICY_NONE) {
			deny(&probe, REASON_FEED, NULL, POLICY_NONE, feed, ret_verdict);
			return;
		}
		if (own && !rule_has_type(image, rule, qtype)) {
			deny(&probe, REASON_TYPE, rule, opinion.winner_id, POLICY_NONE,
			     ret_verdict);
		} else if (!own && crosses_inwards) {
			/* Not for observing profiles either: this is the rebinding guard. */
			no_verdict(REASON_NO_RULE, ret_verdict);
			ret_verdict->denied = denied_how(&probe, NULL, REASON_NO_RULE);
			return;
		} else if (!own && entry->follow == POLICY_FOLLOW_NONE) {
			deny(&probe,
			     opinion.expired_id == POLICY_NONE ? REASON_NO_RULE : REASON_EXPIRED,
			     NULL, opinion.expired_id, POLICY_NONE, ret_verdict);
		} else {
			*ret_verdict = *entry;
			ret_verdict->reason = own ? REASON_RULE : REASON_FOLLOW;
			ret_verdict->feed = POLICY_NONE;
			/* "Its own addresses may be private": the entry's owner does not speak
			 * for whoever owns the target. */
			ret_verdict->internal = own && (rule->flags & IMG_INTERNAL) != 0;
			if (entry->observed)
				ret_verdict->reason = REASON_OBSERVE;
			return;
		}
	}
	/* Denied; or, in an observing profile, passed with the entry's rule and ports. */
	if (ret_verdict->kind == VERDICT_ALLOW) {
		ret_verdict->rule = entry->rule;
		ret_verdict->follow = entry->follow;
		ret_verdict->require_dnssec = entry->require_dnssec;
		ret_verdict->internal = false;
	}
}

bool policy_allows_below(const struct policy_image *image, uint32_t workload, const uint8_t *name)
{
	const struct img_profile *profile = profile_of(image, workload);
	struct opinion opinion;
	struct probe probe;

	if (!profile || !probe_start(&probe, image, profile, name, 0))
		return false;
	/* Without a time: rules that have expired are taken for live, which only makes an answer
	 * NODATA instead of NXDOMAIN. */
	opinion_form(&probe, 1, &opinion);
	if (!opinion.final && opinion.winner && rule_is_allow(opinion.winner) &&
	    (opinion.winner_exact || feed_lookup(&probe, FEED_NAME) == POLICY_NONE))
		return true;
	return allows_below(&probe);
}
