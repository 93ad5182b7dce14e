/* policy/compile_warn.c - what is legal but probably not meant. */
#include <stdlib.h>
#include <string.h>

#include "compile_image.h"
#include "match.h"
#include "sallyport/err.h"

struct warner {
	const struct policy_doc *doc;
	const struct policy_image *image;
	struct diag *diag;
	uint64_t now_s;
};

static void warn_expired(const struct warner *w)
{
	for (size_t i = 0; i < w->doc->n_rules; i++) {
		const struct doc_rule *rule = &w->doc->rules[i];

		if (rule->expires_s && rule->expires_s <= w->now_s)
			diag_add(w->diag, DIAG_WARNING, w->doc->file, rule->place.line,
			         rule->place.col, "%s %.300s has expired; take it out or renew it",
			         rule->allow ? "allow" : "deny", rule->text);
	}
}

static void warn_unused(const struct warner *w)
{
	for (size_t i = 0; i < w->doc->n_profiles; i++) {
		const struct doc_profile *p = &w->doc->profiles[i];

		if (!p->used && !p->extended)
			diag_add(w->diag, DIAG_WARNING, w->doc->file, p->place.line, p->place.col,
			         "no workload and no profile uses profile '%s'", p->name);
	}
	for (size_t i = 0; i < w->doc->n_feeds; i++) {
		const struct doc_feed *f = &w->doc->feeds[i];

		if (!f->used)
			diag_add(w->diag, DIAG_WARNING, w->doc->file, f->place.line, f->place.col,
			         "no profile uses feed '%s'", f->name);
	}
	if (w->doc->n_workloads == 0)
		diag_add(w->diag, DIAG_WARNING, w->doc->file, 0, 0,
		         "there is no workload: every query will be refused");
}

/* Design, section 5, "Whose source?": asked over one family, an answer of the other one needs the
 * workload's single addresses of that family. */
static void warn_family(const struct warner *w, uint32_t id, bool v4)
{
	const struct doc_workload *workload = &w->doc->workloads[id];
	const uint8_t(*addrs)[ADDR_LEN];
	size_t of_family = 0, of_other = 0, singles = 0;

	for (size_t i = 0; i < workload->n_sources; i++) {
		bool mine = prefix_is_v4(&workload->sources[i]) == v4;

		of_family += mine;
		of_other += !mine;
		singles += mine && workload->sources[i].len == 128;
	}
	for (size_t i = 0; i < workload->n_listeners; i++)
		of_other += prefix_is_v4(&workload->listeners[i]) != v4;
	if (of_other == 0)
		return; /* it never asks over the other family */
	if (policy_single_sources(w->image, id, v4, &addrs) == 0)
		diag_add(w->diag, DIAG_WARNING, w->doc->file, workload->place.line,
		         workload->place.col,
		         "workload '%s' lists %s: what it asks over IPv%c gets no IPv%c addresses; "
		         "list its single IPv%c addresses, if it has any",
		         workload->name,
		         of_family == 0 ? (v4 ? "no IPv4 source" : "no IPv6 source")
		                        : (v4 ? "a whole IPv4 prefix" : "a whole IPv6 prefix"),
		         v4 ? '6' : '4', v4 ? '4' : '6', v4 ? '4' : '6');
	else if (singles > LIMIT_WORKLOAD_OTHER_FAMILY)
		diag_add(w->diag, DIAG_WARNING, w->doc->file, workload->place.line,
		         workload->place.col,
		         "workload '%s' lists %zu single IPv%c addresses: what it asks over IPv%c "
		         "opens for the first %d only",
		         workload->name, singles, v4 ? '4' : '6', v4 ? '6' : '4',
		         LIMIT_WORKLOAD_OTHER_FAMILY);
}

static void warn_inbound(const struct warner *w, const struct doc_workload *workload)
{
	const struct doc_profile *profile = &w->doc->profiles[workload->profile.id];
	char text[PREFIX_TEXT_LEN];

	if (profile->n_inbound > 0 && workload->n_sources == 0)
		diag_add(
		    w->diag, DIAG_WARNING, w->doc->file, workload->place.line, workload->place.col,
		    "workload '%s' lists no source: the inbound ports of profile '%s' are open "
		    "nowhere; list the addresses that serve",
		    workload->name, profile->name);
	for (size_t i = 0; profile->n_inbound > 0 && i < workload->n_sources; i++) {
		if (workload->sources[i].len == 128)
			continue;
		prefix_text(&workload->sources[i], text);
		diag_add(w->diag, DIAG_WARNING, w->doc->file, workload->source_places[i].line,
		         workload->source_places[i].col,
		         "%s is no single address: the inbound ports of profile '%s' are not open "
		         "there; list the addresses that serve",
		         text, profile->name);
	}
}

/* What is observed passes by its source, and the firewall does not know who asks where. */
static void warn_observed(const struct warner *w, const struct doc_workload *workload)
{
	const struct doc_profile *profile = &w->doc->profiles[workload->profile.id];

	if (profile->observe && workload->n_listeners > 0)
		diag_add(
		    w->diag, DIAG_WARNING, w->doc->file, workload->listener_places[0].line,
		    workload->listener_places[0].col,
		    "profile '%s' only observes, but of whom a listener makes workload '%s' the "
		    "firewall lets nothing pass beside pinholes; list their addresses as source",
		    profile->name, workload->name);
}

/* The shortest name that the pattern matches, each star an "x"; without what ** stands for. Returns
 * false when there is none (the root). */
static bool sample_name(const struct pattern *p, uint8_t out[static NAME_MAX_WIRE])
{
	uint8_t labels[NAME_MAX_LABELS][64];
	const uint8_t *piece = p->labels;
	size_t len = 0;

	for (unsigned int l = 0; l < p->n_labels; l++) {
		unsigned int n = *piece++;
		uint8_t at = 1;

		for (unsigned int i = 0; i < n; i++) {
			if (i > 0)
				labels[l][at++] = 'x';
			memcpy(labels[l] + at, piece + 1, piece[0]);
			at = (uint8_t)(at + piece[0]);
			piece += 1 + piece[0];
		}
		labels[l][0] = (uint8_t)(at - 1);
	}
	for (unsigned int l = p->n_labels; l-- > 0;) {
		memcpy(out + len, labels[l], 1u + labels[l][0]);
		len += 1u + labels[l][0];
	}
	if (len + p->suffix_len > NAME_MAX_WIRE)
		return false;
	memcpy(out + len, p->suffix, p->suffix_len);
	return true;
}

static bool is_allowed(const struct warner *w, const struct img_profile *profile,
                       const uint8_t *name)
{
	struct opinion opinion;
	struct probe probe;

	if (!probe_start(&probe, w->image, profile, name, w->now_s))
		return false;
	opinion_form(&probe, 1, &opinion);
	return !opinion.final && opinion.winner && rule_is_allow(opinion.winner) &&
	       (opinion.winner_exact || feed_lookup(&probe, FEED_NAME) == POLICY_NONE);
}

static bool is_allowed_below(const struct warner *w, const struct img_profile *profile,
                             const uint8_t *name)
{
	struct probe probe;

	return probe_start(&probe, w->image, profile, name, w->now_s) && allows_below(&probe);
}

/* A deny that means less than its author probably thinks (design, section 4, patterns). */
static const char *leaves_allowed(const struct warner *w, const struct img_profile *profile,
                                  const struct doc_rule *rule)
{
	const struct pattern *p = &rule->pattern;
	uint8_t sample[NAME_MAX_WIRE];

	if (!sample_name(p, sample))
		return NULL;
	switch (p->kind) {
	case IMG_ZONE:
		return NULL;
	case IMG_BELOW:
		return is_allowed(w, profile, sample)
		           ? "the name without what ** stands for stays allowed"
		           : NULL;
	case IMG_STAR:
		if (is_allowed_below(w, profile, sample))
			return "deeper names stay allowed";
		return p->n_labels == 1 && p->literals == 0 && is_allowed(w, profile, p->suffix)
		           ? "the name without what * stands for stays allowed"
		           : NULL;
	case IMG_EXACT:
		return is_allowed_below(w, profile, sample) ? "the names below it stay allowed"
		                                            : NULL;
	}
	return NULL;
}

static int warn_denies(const struct warner *w)
{
	CLEANUP(free) bool *warned = calloc(w->doc->n_rules + 1, sizeof(*warned));

	if (!warned)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < w->doc->n_profiles; i++) {
		const struct img_profile *profile =
		    IMG_AT(w->image, SEC_PROFILES, i, struct img_profile);
		const uint32_t *rules;
		size_t n = policy_image_profile_rules(w->image, i, &rules);

		for (size_t r = 0; r < n; r++) {
			const struct doc_rule *rule = &w->doc->rules[rules[r]];
			const char *left;

			if (rule->allow || rule->n_types || warned[rules[r]] ||
			    (rule->expires_s && rule->expires_s <= w->now_s))
				continue;
			left = leaves_allowed(w, profile, rule);
			if (!left)
				continue;
			warned[rules[r]] = true;
			diag_add(w->diag, DIAG_WARNING, w->doc->file, rule->place.line,
			         rule->place.col,
			         "deny %.300s: %s in profile '%s'; write zone: for a name and all "
			         "below it",
			         rule->text, left, w->doc->profiles[i].name);
		}
	}
	return ERR_OK;
}

int policy_warn(const struct policy_doc *doc, const struct policy_image *image, uint64_t now_s,
                struct diag *diag)
{
	struct warner w = { doc, image, diag, now_s };

	warn_expired(&w);
	warn_unused(&w);
	for (uint32_t i = 0; i < doc->n_workloads; i++) {
		warn_family(&w, i, true);
		warn_family(&w, i, false);
		warn_inbound(&w, &doc->workloads[i]);
		warn_observed(&w, &doc->workloads[i]);
	}
	return warn_denies(&w);
}
