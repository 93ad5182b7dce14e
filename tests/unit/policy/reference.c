/* tests/unit/policy/reference.c - the slow and obvious judge. */
#include "reference.h"

#include <string.h>

/* Texts as lists of labels, leftmost first. */
struct labels {
	char text[12][REF_TEXT];
	int n;
};

static struct labels split(const char *name)
{
	struct labels l = { .n = 0 };

	while (*name) {
		size_t len = strcspn(name, ".");

		memcpy(l.text[l.n], name, len);
		l.text[l.n++][len] = '\0';
		name += len + (name[len] == '.');
	}
	return l;
}

static bool glob(const char *pattern, const char *text)
{
	if (*pattern == '\0')
		return *text == '\0';
	if (*pattern != '*')
		return *text == *pattern && glob(pattern + 1, text + 1);
	for (int i = 1; text[0] && (i == 1 || text[i - 1]); i++) {
		if (glob(pattern + 1, text + i))
			return true;
	}
	return false;
}

static bool ends_with(const struct labels *name, const struct labels *suffix)
{
	if (suffix->n > name->n)
		return false;
	for (int i = 0; i < suffix->n; i++) {
		if (!glob(suffix->text[i], name->text[name->n - suffix->n + i]))
			return false;
	}
	return true;
}

static bool has_front(const struct ref_rule *rule)
{
	return !rule->zone && strncmp(rule->pattern, "**", 2) == 0;
}

/* The pattern's labels without "**". */
static struct labels rest(const struct ref_rule *rule)
{
	const char *p = rule->pattern;

	if (has_front(rule))
		p += p[2] ? 3 : 2;
	return split(p);
}

static bool matches(const struct ref_rule *rule, const struct labels *name)
{
	struct labels labels = rest(rule);

	if (!ends_with(name, &labels))
		return false;
	if (rule->zone)
		return true;
	return has_front(rule) ? name->n > labels.n : name->n == labels.n;
}

/* Specific is: exact, then labels of the fixed suffix, then stars over ** and zone, then letters.
 */
static int suffix_len(const struct ref_rule *rule)
{
	struct labels labels = rest(rule);
	int n = 0;

	while (n < labels.n && !strchr(labels.text[labels.n - 1 - n], '*'))
		n++;
	return n;
}

static bool is_exact(const struct ref_rule *rule)
{
	return !rule->zone && !strchr(rule->pattern, '*');
}

static int compare(const struct ref_rule *a, const struct ref_rule *b)
{
	int letters[2] = { 0, 0 };
	const struct ref_rule *rules[2] = { a, b };

	if (is_exact(a) != is_exact(b))
		return is_exact(a) ? 1 : -1;
	if (suffix_len(a) != suffix_len(b))
		return suffix_len(a) - suffix_len(b);
	if ((has_front(a) || a->zone) != (has_front(b) || b->zone))
		return has_front(a) || a->zone ? -1 : 1;
	for (int i = 0; i < 2; i++) {
		for (const char *p = rules[i]->pattern; *p; p++)
			letters[i] += *p != '*' && *p != '.';
	}
	return letters[0] - letters[1];
}

static bool live(const struct ref_rule *rule, uint64_t now)
{
	return !rule->expires || now < rule->expires;
}

static bool has_type(const struct ref_rule *rule, uint16_t type)
{
	static const uint16_t usual[] = { 1, 28, 5, 65, 64, 33, 15, 2, 6, 43, 48, 257, 12, 35 };

	for (int i = 0; i < rule->n_types; i++) {
		if (rule->types[i] == type)
			return true;
	}
	for (size_t i = 0; rule->n_types == 0 && i < ARRAY_LEN(usual); i++) {
		if (usual[i] == type)
			return true;
	}
	return rule->n_types == 0 && !rule->allow;
}

/* Profiles in order of strength: own, then the later extends, each with its own. */
static int lineage(const struct ref_policy *policy, int profile, int *out, int n)
{
	const struct ref_profile *p = &policy->profiles[profile];

	for (int i = 0; i < n; i++) {
		if (out[i] == profile)
			return n;
	}
	out[n++] = profile;
	for (int i = p->n_extends; i-- > 0;)
		n = lineage(policy, p->extends[i], out, n);
	return n;
}

/* All rules of the workload's profile, strongest profile first. */
static int all_rules(const struct ref_policy *policy, const struct ref_rule **out)
{
	int order[REF_PROFILES], n_order = lineage(policy, 0, order, 0), n = 0;

	for (int i = 0; i < n_order; i++) {
		for (int r = 0; r < policy->profiles[order[i]].n_rules; r++)
			out[n++] = &policy->profiles[order[i]].rules[r];
	}
	return n;
}

static bool uses_feed(const struct ref_policy *policy, int feed)
{
	int order[REF_PROFILES], n_order = lineage(policy, 0, order, 0);

	for (int i = 0; i < n_order; i++) {
		if (policy->profiles[order[i]].feeds[feed])
			return true;
	}
	return false;
}

/* Within one feed the most specific entry decides, the exact one first, an exception before a
 * listing. Below: does the feed block every name below @name, whatever it is? */
static bool feed_blocks(const struct ref_feed *feed, const struct labels *name, bool below)
{
	for (int i = 0; below && i < feed->n; i++) {
		if (feed->entries[i].pass)
			return false;
	}
	for (int skip = 0; skip <= name->n; skip++) {
		bool block = false, pass = false;

		for (int i = 0; i < feed->n; i++) {
			const struct ref_entry *e = &feed->entries[i];
			struct labels listed = split(e->name);
			bool same = listed.n == name->n - skip && ends_with(name, &listed);

			if (!same || !(skip == 0 && !below ? e->exact : e->below))
				continue;
			block |= !e->pass;
			pass |= e->pass;
		}
		if (pass || block)
			return !pass;
	}
	return false;
}

static uint32_t find_feed(const struct ref_policy *policy, const struct labels *name, bool below)
{
	uint32_t found = POLICY_NONE;
	int deepest = -1;

	/* The feed with the most specific entry is named, then the first. */
	for (int f = 0; f < policy->n_feeds; f++) {
		if (!uses_feed(policy, f) || !feed_blocks(&policy->feeds[f], name, below))
			continue;
		for (int i = 0; i < policy->feeds[f].n; i++) {
			const struct ref_entry *e = &policy->feeds[f].entries[i];
			struct labels listed = split(e->name);
			bool self = listed.n == name->n;

			if (e->pass || !ends_with(name, &listed) ||
			    !(self && !below ? e->exact : e->below))
				continue;
			if (listed.n > deepest) {
				deepest = listed.n;
				found = (uint32_t)f;
			}
		}
	}
	return found;
}

static const struct ref_rule *best(const struct ref_policy *policy, const struct labels *name,
                                   uint16_t type, uint64_t now, bool final_only)
{
	const struct ref_rule *rules[REF_PROFILES * REF_RULES], *won = NULL;
	int n = all_rules(policy, rules);

	for (int i = 0; i < n; i++) {
		const struct ref_rule *r = rules[i];

		if (!live(r, now) || !matches(r, name) || (final_only && !r->final) ||
		    (!r->allow && !has_type(r, type)))
			continue;
		if (!won || compare(r, won) > 0 ||
		    (compare(r, won) == 0 && won->allow && !r->allow))
			won = r;
	}
	return won;
}

static const struct ref_rule *best_expired(const struct ref_policy *policy,
                                           const struct labels *name, uint64_t now)
{
	const struct ref_rule *rules[REF_PROFILES * REF_RULES], *won = NULL;
	int n = all_rules(policy, rules);

	for (int i = 0; i < n; i++) {
		if (rules[i]->allow && !live(rules[i], now) && matches(rules[i], name) &&
		    (!won || compare(rules[i], won) > 0))
			won = rules[i];
	}
	return won;
}

/* Put labels in front of the name, such as the pattern would like, and see whether one fits. */
static bool reaches_below(const struct ref_rule *rule, const struct labels *name)
{
	struct labels want = rest(rule);

	for (int more = 1; more <= 5 && more + name->n <= 12; more++) {
		struct labels longer = { .n = name->n + more };

		for (int i = 0; i < longer.n; i++) {
			int w = i - (longer.n - want.n);
			char *out = longer.text[i];

			if (i >= more) {
				strcpy(out, name->text[i - more]);
				continue;
			}
			strcpy(out, w >= 0 ? want.text[w] : "q");
			for (char *p = out; *p; p++)
				*p = *p == '*' ? 'q' : *p;
		}
		if (matches(rule, &longer))
			return true;
	}
	return false;
}

static bool allowed_below(const struct ref_policy *policy, const struct labels *name, uint64_t now)
{
	const struct ref_rule *rules[REF_PROFILES * REF_RULES], *cover = NULL;
	int n = all_rules(policy, rules);
	bool feed = find_feed(policy, name, true) != POLICY_NONE;

	if (policy->profiles[0].observe && !feed)
		return true;
	/* A deny of all types that matches whatever is below. */
	for (int i = 0; i < n; i++) {
		const struct ref_rule *r = rules[i];
		struct labels suffix = rest(r);
		bool all = r->zone || (has_front(r) && suffix_len(r) == suffix.n);

		if (r->allow || r->n_types || !live(r, now) || !all || !ends_with(name, &suffix))
			continue;
		if (r->final)
			return false;
		if (!cover || compare(r, cover) > 0)
			cover = r;
	}
	for (int i = 0; i < n; i++) {
		const struct ref_rule *r = rules[i];
		struct labels suffix = rest(r);
		bool under;

		if (!r->allow || !live(r, now))
			continue;
		if (feed && !is_exact(r))
			continue;
		memmove(suffix.text, suffix.text + (suffix.n - suffix_len(r)),
		        sizeof(suffix.text[0]) * (size_t)suffix_len(r));
		suffix.n = suffix_len(r);
		under = suffix.n > name->n && ends_with(&suffix, name);
		if (under)
			return true;
		if (!is_exact(r) && (!cover || compare(r, cover) > 0) && reaches_below(r, name))
			return true;
	}
	return false;
}

/* DS and DNSKEY above: of a pattern's fixed suffix, or above it, or above an exact name. */
static bool is_ancestor(const struct ref_policy *policy, const struct labels *name, uint16_t type,
                        uint64_t now)
{
	const struct ref_rule *rules[REF_PROFILES * REF_RULES];
	int n = all_rules(policy, rules);

	if ((type != 43 && type != 48) || !allowed_below(policy, name, now))
		return false;
	for (int i = 0; i < n; i++) {
		const struct ref_rule *r = rules[i];
		struct labels suffix = rest(r);
		int len = suffix_len(r);

		memmove(suffix.text, suffix.text + (suffix.n - len),
		        sizeof(suffix.text[0]) * (size_t)len);
		suffix.n = len;
		if (r->allow && live(r, now) && ends_with(&suffix, name) &&
		    (!is_exact(r) || suffix.n > name->n))
			return true;
	}
	return false;
}

static void deny(const struct ref_policy *policy, const struct labels *name, uint64_t now,
                 enum reason reason, const struct ref_rule *rule, uint32_t feed,
                 struct verdict *ret)
{
	/* Whoever only observes still enforces feeds, and so a deny does not hide one. */
	if (policy->profiles[0].observe && reason == REASON_RULE) {
		feed = find_feed(policy, name, false);
		if (feed != POLICY_NONE) {
			reason = REASON_FEED;
			rule = NULL;
		}
	}
	*ret = (struct verdict){ .reason = reason,
		                 .rule = rule ? rule->id : POLICY_NONE,
		                 .feed = feed };
	if (policy->profiles[0].observe && reason != REASON_FEED) {
		ret->kind = VERDICT_ALLOW;
		ret->reason = REASON_OBSERVE;
		ret->would_be = reason;
		ret->observed = true;
		ret->follow = POLICY_FOLLOW_CHAIN;
		return;
	}
	ret->denied = policy->profiles[0].denied;
	if (reason == REASON_TYPE || (reason == REASON_RULE && rule->n_types) ||
	    allowed_below(policy, name, now))
		ret->denied = POLICY_DENIED_NODATA;
}

static void allow(const struct ref_rule *rule, enum reason reason, struct verdict *ret)
{
	*ret = (struct verdict){ .kind = VERDICT_ALLOW,
		                 .reason = reason,
		                 .rule = rule ? rule->id : POLICY_NONE,
		                 .feed = POLICY_NONE,
		                 .follow = rule ? rule->follow : POLICY_FOLLOW_NONE,
		                 .internal = rule && rule->internal };
}

void ref_judge(const struct ref_policy *policy, const char *text, uint16_t type, uint64_t now,
               struct verdict *ret)
{
	struct labels name = split(text);
	const struct ref_rule *final = best(policy, &name, type, now, true);
	const struct ref_rule *won = best(policy, &name, type, now, false);
	const struct ref_rule *expired = best_expired(policy, &name, now);
	uint32_t feed = find_feed(policy, &name, false);

	if (final)
		deny(policy, &name, now, REASON_RULE, final, POLICY_NONE, ret);
	else if (won && won->allow && (is_exact(won) || feed == POLICY_NONE) && has_type(won, type))
		allow(won, REASON_RULE, ret);
	else if (is_ancestor(policy, &name, type, now))
		allow(NULL, REASON_ANCESTOR, ret);
	else if (won && won->allow && (is_exact(won) || feed == POLICY_NONE))
		deny(policy, &name, now, REASON_TYPE, won, POLICY_NONE, ret);
	else if (feed != POLICY_NONE)
		deny(policy, &name, now, REASON_FEED, NULL, feed, ret);
	else if (won)
		deny(policy, &name, now, REASON_RULE, won, POLICY_NONE, ret);
	else
		deny(policy, &name, now, expired ? REASON_EXPIRED : REASON_NO_RULE, expired,
		     POLICY_NONE, ret);
}

void ref_judge_target(const struct ref_policy *policy, const struct verdict *entry,
                      const char *text, uint16_t type, uint64_t now, bool inwards,
                      struct verdict *ret)
{
	struct labels name = split(text);
	const struct ref_rule *final = best(policy, &name, type, now, true);
	const struct ref_rule *won = final ? final : best(policy, &name, type, now, false);
	const struct ref_rule *expired = best_expired(policy, &name, now);
	uint32_t feed = find_feed(policy, &name, false);

	if (won && !won->allow) {
		deny(policy, &name, now, REASON_RULE, won, POLICY_NONE, ret);
	} else if (feed != POLICY_NONE && entry->follow != POLICY_FOLLOW_ANY &&
	           !(won && is_exact(won))) {
		deny(policy, &name, now, REASON_FEED, NULL, feed, ret);
		return;
	} else if (won && !has_type(won, type)) {
		deny(policy, &name, now, REASON_TYPE, won, POLICY_NONE, ret);
	} else if (!won && inwards) {
		struct ref_policy enforced = *policy;

		/* The rebinding guard stays up for those who observe. */
		enforced.profiles[0].observe = false;
		deny(&enforced, &name, now, REASON_NO_RULE, NULL, POLICY_NONE, ret);
		if (policy->profiles[0].observe && find_feed(policy, &name, true) == POLICY_NONE)
			ret->denied = POLICY_DENIED_NODATA;
		return;
	} else if (!won && entry->follow == POLICY_FOLLOW_NONE) {
		deny(policy, &name, now, expired ? REASON_EXPIRED : REASON_NO_RULE, expired,
		     POLICY_NONE, ret);
	} else {
		*ret = *entry;
		ret->reason = entry->observed ? REASON_OBSERVE : won ? REASON_RULE : REASON_FOLLOW;
		ret->internal = won && won->internal;
		return;
	}
	if (ret->kind == VERDICT_ALLOW) { /* observed: the entry's rule carries it */
		ret->rule = entry->rule;
		ret->follow = entry->follow;
	}
}
