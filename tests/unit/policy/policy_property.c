/* tests/unit/policy/policy_property.c - random policies and names: the compiled image and the slow
 * reference agree, and NXDOMAIN is never said above something that is allowed (RFC 8020).
 *
 * SALLYPORT_SEED and SALLYPORT_POLICIES in the environment change what is run (for soaks).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "reference.h"

#define POLICIES 2200
#define NAMES 100
#define LABELS_MAX 5

static uint64_t state;

static uint32_t roll(uint32_t n) /* 0..n-1; splitmix64 */
{
	uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t)((z ^ (z >> 31)) >> 32) % n;
}

/* Few labels, so that names meet patterns often. */
static const char *random_label(void)
{
	static const char *const labels[] = { "a", "b", "ab", "ba", "aab", "abb", "test", "x" };

	return labels[roll(ARRAY_LEN(labels))];
}

static void random_name(char out[REF_TEXT], uint32_t most)
{
	uint32_t n = roll(most + 1);

	out[0] = '\0';
	for (uint32_t i = 0; i < n; i++) {
		if (i)
			strcat(out, ".");
		strcat(out, random_label());
	}
}

static void random_pattern(char out[REF_TEXT])
{
	static const char *const stars[] = { "*", "*", "a*", "*b", "a*b", "*a*", "a*a*b" };
	uint32_t n = 1 + roll(3);

	out[0] = '\0';
	if (roll(3) == 0)
		strcpy(out, "**");
	for (uint32_t i = 0; i < n; i++) {
		if (*out)
			strcat(out, ".");
		strcat(out, roll(3) == 0 ? stars[roll(ARRAY_LEN(stars))] : random_label());
	}
}

static void random_rule(struct ref_rule *r)
{
	static const uint16_t types[] = { 1, 28, 16, 43, 15 };

	*r = (struct ref_rule){ .zone = roll(4) == 0, .allow = roll(3) != 0 };
	if (r->zone)
		random_name(r->pattern, 3);
	else if (roll(2))
		random_pattern(r->pattern);
	else
		do
			random_name(r->pattern, 4);
		while (!*r->pattern);
	if (roll(3) == 0) {
		r->n_types = 1 + (int)roll(2);
		for (int i = 0; i < r->n_types; i++)
			r->types[i] = types[roll(ARRAY_LEN(types))];
	}
	if (roll(6) == 0)
		r->expires = FIXTURE_NOW + roll(3) * 1000 - 1000;
	r->follow = r->allow ? (enum policy_follow)roll(3) : POLICY_FOLLOW_NONE;
	r->internal = r->allow && roll(3) == 0;
	r->final = !r->allow && roll(6) == 0;
}

static void random_profile(struct ref_policy *policy, int p)
{
	struct ref_profile *profile = &policy->profiles[p];
	int n = (int)roll(9);

	for (int i = 0; i < n; i++) {
		struct ref_rule *r = &profile->rules[profile->n_rules];
		bool known = false;

		random_rule(r);
		for (int k = 0; k < profile->n_rules; k++)
			known |= profile->rules[k].allow == r->allow &&
			         profile->rules[k].zone == r->zone &&
			         strcmp(profile->rules[k].pattern, r->pattern) == 0;
		profile->n_rules += !known;
	}
	for (int e = p + 1; e < policy->n_profiles; e++) {
		if (roll(2))
			profile->extends[profile->n_extends++] = e;
	}
	if (profile->n_extends > 1 && roll(2)) {
		int swap = profile->extends[0];

		profile->extends[0] = profile->extends[1];
		profile->extends[1] = swap;
	}
	for (int f = 0; f < policy->n_feeds; f++)
		profile->feeds[f] = roll(2) == 0;
	profile->observe = roll(8) == 0;
	profile->denied = (enum policy_denied)roll(3);
}

static void random_feed(struct ref_feed *feed)
{
	feed->format = (int)roll(3);
	feed->n = 1 + (int)roll(REF_ENTRIES - 1);
	for (int i = 0; i < feed->n; i++) {
		struct ref_entry *e = &feed->entries[i];

		do
			random_name(e->name, 4);
		while (!*e->name || (feed->format == 1 && strcmp(e->name, "local") == 0));
		e->below = feed->format == 0 || (feed->format == 2 && roll(2));
		e->exact = feed->format == 0 ? roll(4) != 0 : !e->below;
		e->pass = feed->format == 2 && roll(3) == 0;
	}
}

/* The policy as YAML; numbers the rules in the order of the text. */
static void write_rules(FILE *out, struct ref_profile *p, bool allow, uint32_t *id)
{
	static const char *const follow[] = { "none", "chain", "any" };
	bool first = true;

	for (int i = 0; i < p->n_rules; i++) {
		struct ref_rule *r = &p->rules[i];

		if (r->allow != allow)
			continue;
		if (first)
			fprintf(out, "    %s:\n", allow ? "allow" : "deny");
		first = false;
		r->id = (*id)++;
		fprintf(out, "      - {%s: '%s%s'", r->zone ? "zone" : "name", r->pattern,
		        roll(4) && *r->pattern ? "" : ".");
		if (r->n_types == 1)
			fprintf(out, ", types: TYPE%u", r->types[0]);
		if (r->n_types == 2)
			fprintf(out, ", types: [TYPE%u, TYPE%u]", r->types[0], r->types[1]);
		if (r->expires)
			fprintf(out, ", expires: '2027-01-15T%s'",
			        r->expires < FIXTURE_NOW    ? "07:43:20Z"
			        : r->expires == FIXTURE_NOW ? "08:00:00Z"
			                                    : "08:16:40Z");
		if (allow)
			fprintf(out, ", follow: %s, internal: %s", follow[r->follow],
			        r->internal ? "true" : "false");
		fprintf(out, "%s}\n", r->final ? ", final: true" : "");
	}
}

/* Rules of one rank and kind: the text's order counts, allow list and deny list each in theirs. */
static char *write_policy(struct ref_policy *policy)
{
	static const char *const denied[] = { "nxdomain", "refused", "nodata" };
	static const char *const formats[] = { "domains", "hosts", "rpz" };
	uint32_t id = 0;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	fprintf(out, "version: 1\nworkloads: {w: {source: 192.0.2.1, profile: p0}}\nprofiles:\n");
	for (int p = 0; p < policy->n_profiles; p++) {
		struct ref_profile *profile = &policy->profiles[p];

		fprintf(out, "  p%d:\n    mode: %s\n    denied: %s\n    extends: [", p,
		        profile->observe ? "observe" : "enforce", denied[profile->denied]);
		for (int e = 0; e < profile->n_extends; e++)
			fprintf(out, "%sp%d", e ? ", " : "", profile->extends[e]);
		fprintf(out, "]\n    feeds: [");
		for (int f = 0, n = 0; f < policy->n_feeds; f++) {
			if (profile->feeds[f])
				fprintf(out, "%sf%d", n++ ? ", " : "", f);
		}
		fprintf(out, "]\n");
		write_rules(out, profile, true, &id);
		write_rules(out, profile, false, &id);
	}
	if (policy->n_feeds)
		fprintf(out, "feeds:\n");
	for (int f = 0; f < policy->n_feeds; f++)
		fprintf(out, "  f%d: {file: f%d, format: %s}\n", f, f,
		        formats[policy->feeds[f].format]);
	fclose(out);
	return text;
}

static char *write_feed(const struct ref_feed *feed)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	for (int i = 0; i < feed->n; i++) {
		const struct ref_entry *e = &feed->entries[i];

		if (feed->format == 0)
			fprintf(out, "%s%s\n", e->exact ? "" : "*.", e->name);
		else if (feed->format == 1)
			fprintf(out, "0.0.0.0 %s\n", e->name);
		else
			fprintf(out, "%s%s CNAME %s\n", e->below ? "*." : "", e->name,
			        e->pass ? "rpz-passthru." : ".");
	}
	fclose(out);
	return text;
}

/* A name that some rule or feed may speak of, or any. */
static void random_question(const struct ref_policy *policy, char out[REF_TEXT])
{
	const struct ref_profile *p = &policy->profiles[roll((uint32_t)policy->n_profiles)];
	char name[2 * REF_TEXT] = "";
	size_t n_labels = 1;

	if (p->n_rules > 0 && roll(3)) {
		const char *pattern = p->rules[roll((uint32_t)p->n_rules)].pattern;

		for (; *pattern; pattern++) {
			size_t len = strlen(name);

			if (strncmp(pattern, "**", 2) == 0) {
				strcat(name, random_label());
				pattern++;
			} else if (*pattern == '*') {
				strcat(name, roll(2) ? "a" : random_label());
			} else {
				name[len] = *pattern;
				name[len + 1] = '\0';
			}
		}
		if (roll(4) == 0) {
			char longer[2 * REF_TEXT];

			snprintf(longer, sizeof(longer), "%s%s%.60s", random_label(),
			         *name ? "." : "", name);
			strcpy(name, longer);
		} else if (roll(4) == 0 && strchr(name, '.')) {
			memmove(name, strchr(name, '.') + 1, strlen(strchr(name, '.')));
		}
	} else {
		random_name(name, LABELS_MAX);
	}
	for (char *dot = name; (dot = strchr(dot, '.')); dot++) {
		if (++n_labels > LABELS_MAX)
			*dot-- = '\0';
	}
	snprintf(out, REF_TEXT, "%.70s", name);
}

static void to_wire(const char *name, uint8_t wire[static NAME_MAX_WIRE])
{
	char text[REF_TEXT + 1];
	size_t i;

	for (i = 0; name[i]; i++)
		text[i] = name[i] >= 'a' && roll(4) == 0 ? (char)(name[i] - 32) : name[i];
	text[i] = '\0';
	fixture_name(*text ? text : ".", wire);
}

static bool same(const struct verdict *a, const struct verdict *b)
{
	return a->kind == b->kind && a->reason == b->reason && a->denied == b->denied &&
	       a->follow == b->follow && a->rule == b->rule && a->feed == b->feed &&
	       a->internal == b->internal && a->observed == b->observed &&
	       a->would_be == b->would_be;
}

static void complain(const struct fixture *f, const char *yaml, const char *name, uint16_t type,
                     const struct verdict *got, const struct verdict *want, uint64_t seed)
{
	char texts[2][FIXTURE_TEXT_LEN];

	fixture_verdict(f, got, texts[0]);
	fixture_verdict(f, want, texts[1]);
	fail_msg("seed %llu: '%s' type %u\n image     %s (follow %d internal %d)\n"
	         " reference %s (follow %d internal %d)\n%s",
	         (unsigned long long)seed, name, type, texts[0], got->follow, got->internal,
	         texts[1], want->follow, want->internal, yaml);
}

/* Nothing below a name that does not exist may be allowed. */
static void check_nxdomain(const struct fixture *f, const char *yaml, const char *name,
                           uint64_t seed)
{
	static const uint16_t types[] = { 1, 16, 28, 43 };

	for (int i = 0; i < 6; i++) {
		char below[2 * REF_TEXT];
		uint8_t wire[NAME_MAX_WIRE];
		struct verdict v;

		snprintf(below, sizeof(below), "%s%s%s%s%s", roll(2) ? random_label() : "", "", "",
		         "", "");
		snprintf(below + strlen(below), sizeof(below) - strlen(below), "%s%s%s%s",
		         *below ? "." : "", random_label(), *name ? "." : "", name);
		to_wire(below, wire);
		policy_judge(&f->image, 0, wire, types[roll(4)], FIXTURE_NOW, &v);
		if (v.kind == VERDICT_ALLOW)
			fail_msg("seed %llu: NXDOMAIN for '%s', but '%s' is allowed\n%s",
			         (unsigned long long)seed, name, below, yaml);
	}
}

static size_t judge_names(const struct fixture *f, const struct ref_policy *policy,
                          const char *yaml, uint64_t seed)
{
	static const uint16_t types[] = { 1, 1, 1, 28, 16, 43, 48, 15 };
	size_t n_allowed = 0;

	for (int i = 0; i < NAMES; i++) {
		char name[REF_TEXT], target[REF_TEXT];
		uint16_t type = types[roll(ARRAY_LEN(types))];
		bool inwards = roll(3) == 0;
		struct verdict got, want, got_target, want_target;
		uint8_t wire[NAME_MAX_WIRE];

		random_question(policy, name);
		to_wire(name, wire);
		policy_judge(&f->image, 0, wire, type, FIXTURE_NOW, &got);
		ref_judge(policy, name, type, FIXTURE_NOW, &want);
		if (!same(&got, &want))
			complain(f, yaml, name, type, &got, &want, seed);
		n_allowed += got.kind == VERDICT_ALLOW;
		if (got.kind == VERDICT_DENY && got.denied == POLICY_DENIED_NXDOMAIN)
			check_nxdomain(f, yaml, name, seed);
		if (got.kind != VERDICT_ALLOW || got.reason == REASON_ANCESTOR)
			continue;
		random_question(policy, target);
		to_wire(target, wire);
		policy_judge_target(&f->image, 0, &got, wire, type, FIXTURE_NOW, inwards,
		                    &got_target);
		ref_judge_target(policy, &want, target, type, FIXTURE_NOW, inwards, &want_target);
		if (!same(&got_target, &want_target)) {
			print_error("target of '%s', inwards %d\n", name, inwards);
			complain(f, yaml, target, type, &got_target, &want_target, seed);
		}
	}
	return n_allowed;
}

static void image_and_reference_agree(void **unused)
{
	const char *seed_text = getenv("SALLYPORT_SEED"), *n_text = getenv("SALLYPORT_POLICIES");
	uint64_t seed = seed_text ? strtoull(seed_text, NULL, 10) : 20261123;
	uint64_t n = n_text ? strtoull(n_text, NULL, 10) : POLICIES;
	size_t n_allowed = 0;

	(void)unused;
	for (uint64_t i = 0; i < n; i++, seed++) {
		struct ref_policy *policy = calloc(1, sizeof(*policy));
		const char *feeds[2 * REF_FEEDS + 1] = { NULL };
		static const char *const feed_names[] = { "f0", "f1", "f2" };
		struct fixture f;
		char *yaml;

		state = seed;
		assert_non_null(policy);
		policy->n_profiles = 1 + (int)roll(REF_PROFILES);
		policy->n_feeds = (int)roll(REF_FEEDS + 1);
		for (int p = 0; p < policy->n_profiles; p++)
			random_profile(policy, p);
		for (int k = 0; k < policy->n_feeds; k++) {
			random_feed(&policy->feeds[k]);
			feeds[2 * k] = feed_names[k];
			feeds[2 * k + 1] = write_feed(&policy->feeds[k]);
		}
		yaml = write_policy(policy);
		fixture_open(&f, yaml, feeds);
		n_allowed += judge_names(&f, policy, yaml, seed);
		fixture_close(&f);
		for (int k = 0; k < policy->n_feeds; k++)
			free((void *)(uintptr_t)feeds[2 * k + 1]);
		free(yaml);
		free(policy);
	}
	print_message("%llu judgements, %zu of them allowed\n", (unsigned long long)n * NAMES,
	              n_allowed);
	/* A test whose names are all denied would show little. */
	assert_in_range(n_allowed, n * NAMES / 5, n * NAMES * 4 / 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(image_and_reference_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
