/* policy/compile_check.c - what only the whole document can tell. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compile_read.h"
#include "sallyport/err.h"

static void fault_at(struct doc_reader *r, struct doc_place place, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

static void fault_at(struct doc_reader *r, struct doc_place place, const char *fmt, ...)
{
	char text[1536];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	diag_add(r->diag, DIAG_ERROR, r->file, place.line, place.col, "%s", text);
}

/* Names of one kind, sorted, so that references cost a binary search. */
struct entry {
	const char *name;
	uint32_t id;
};
struct index {
	struct entry *entries;
	size_t n;
};

static int compare_entries(const void *pa, const void *pb)
{
	const struct entry *a = pa, *b = pb;
	int r = strcmp(a->name, b->name);

	return r ? r : (a->id > b->id) - (a->id < b->id);
}

static void free_index(struct index *index)
{
	free(index->entries);
}
#define free_index_cleanup free_index

static bool index_names(struct doc_reader *r, struct index *index, const void *array, size_t n,
                        size_t size, size_t name_at)
{
	index->entries = malloc((n + 1) * sizeof(*index->entries));
	if (!index->entries) {
		r->err = ERR_NOMEM;
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		const char *name;

		memcpy(&name, (const char *)array + i * size + name_at, sizeof(name));
		index->entries[i] = (struct entry){ name, (uint32_t)i };
	}
	index->n = n;
	qsort(index->entries, n, sizeof(*index->entries), compare_entries);
	return true;
}

static void resolve(struct doc_reader *r, const struct index *index, struct doc_ref *ref,
                    const char *what)
{
	size_t low = 0, high = index->n;
	const char *words[65] = { NULL };
	const char *nearest;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(index->entries[mid].name, ref->name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	if (low < index->n && strcmp(index->entries[low].name, ref->name) == 0) {
		ref->id = index->entries[low].id;
		return;
	}
	for (size_t i = 0; i < MIN(index->n, (size_t)64); i++)
		words[i] = index->entries[i].name;
	nearest = diag_nearest(ref->name, words);
	if (nearest)
		fault_at(r, ref->place, "there is no %s '%.100s'; '%s' is the nearest", what,
		         ref->name, nearest);
	else
		fault_at(r, ref->place, "there is no %s '%.100s'; add it to %ss:", what, ref->name,
		         what);
}

static void resolve_all(struct doc_reader *r)
{
	struct policy_doc *doc = r->doc;
	CLEANUP(free_index) struct index profiles = { 0 };
	CLEANUP(free_index) struct index feeds = { 0 };

	if (!index_names(r, &profiles, doc->profiles, doc->n_profiles, sizeof(*doc->profiles),
	                 offsetof(struct doc_profile, name)) ||
	    !index_names(r, &feeds, doc->feeds, doc->n_feeds, sizeof(*doc->feeds),
	                 offsetof(struct doc_feed, name)))
		return;
	for (size_t i = 0; i < doc->n_profiles; i++) {
		struct doc_profile *p = &doc->profiles[i];

		for (size_t e = 0; e < p->n_extends; e++) {
			resolve(r, &profiles, &p->extends[e], "profile");
			if (p->extends[e].id != POLICY_NONE)
				doc->profiles[p->extends[e].id].extended = true;
		}
		for (size_t f = 0; f < p->n_feeds; f++) {
			resolve(r, &feeds, &p->feeds[f], "feed");
			if (p->feeds[f].id != POLICY_NONE)
				doc->feeds[p->feeds[f].id].used = true;
		}
	}
	for (size_t i = 0; i < doc->n_workloads; i++) {
		struct doc_workload *w = &doc->workloads[i];

		if (!w->profile.name)
			continue;
		resolve(r, &profiles, &w->profile, "profile");
		if (w->profile.id != POLICY_NONE)
			doc->profiles[w->profile.id].used = true;
	}
}

/* Depth of what a profile extends; a circle is a fault and counts as 0. */
#define DEPTH_UNKNOWN 0
#define DEPTH_OPEN UINT32_MAX

static uint32_t find_depth(struct doc_reader *r, uint32_t profile, uint32_t *depths)
{
	struct doc_profile *p = &r->doc->profiles[profile];
	uint32_t most = 0;

	if (depths[profile] != DEPTH_UNKNOWN)
		return depths[profile];
	depths[profile] = DEPTH_OPEN;
	for (size_t i = 0; i < p->n_extends; i++) {
		uint32_t id = p->extends[i].id, depth;

		if (id == POLICY_NONE)
			continue;
		depth = find_depth(r, id, depths);
		if (depth == DEPTH_OPEN) {
			fault_at(r, p->extends[i].place,
			         "'%s' extends itself through '%s'; break the circle", p->name,
			         p->extends[i].name);
			p->extends[i].id = POLICY_NONE;
			continue;
		}
		most = MAX(most, depth);
	}
	depths[profile] = most + 1;
	if (most + 1 == LIMIT_EXTENDS_DEPTH + 1)
		fault_at(r, p->place, "profile '%s' extends more than %d levels deep; flatten it",
		         p->name, LIMIT_EXTENDS_DEPTH);
	return most + 1;
}

static bool check_extends(struct doc_reader *r)
{
	size_t before = r->diag->n_errors;
	CLEANUP(free) uint32_t *depths = calloc(r->doc->n_profiles + 1, sizeof(*depths));

	if (!depths) {
		r->err = ERR_NOMEM;
		return false;
	}
	for (uint32_t i = 0; i < r->doc->n_profiles; i++)
		find_depth(r, i, depths);
	return r->diag->n_errors == before;
}

static size_t add_lineage(const struct policy_doc *doc, uint32_t profile, uint32_t *order, size_t n,
                          bool *seen)
{
	const struct doc_profile *p = &doc->profiles[profile];

	if (seen[profile])
		return n;
	seen[profile] = true;
	order[n++] = profile;
	for (size_t i = p->n_extends; i-- > 0;) {
		if (p->extends[i].id != POLICY_NONE)
			n = add_lineage(doc, p->extends[i].id, order, n, seen);
	}
	return n;
}

size_t policy_doc_lineage(const struct policy_doc *doc, uint32_t profile, uint32_t *ret_order,
                          bool *seen)
{
	size_t n = add_lineage(doc, profile, ret_order, 0, seen);

	for (size_t i = 0; i < n; i++)
		seen[ret_order[i]] = false;
	return n;
}

/* What a profile does not say itself it has from what it extends, else the default. mode is not
 * among it: whoever only observes must say so. */
static void inherit(struct doc_reader *r, const struct doc_profile *own, const uint32_t *order,
                    size_t n, struct doc_profile *ret)
{
	*ret = *own;
	for (size_t i = 1; i < n; i++) {
		const struct doc_profile *from = &r->doc->profiles[order[i]];

		if (!ret->has_denied && from->has_denied) {
			ret->has_denied = true;
			ret->denied = from->denied;
		}
		if (!ret->has_inbound && from->has_inbound) {
			ret->has_inbound = true;
			ret->inbound = from->inbound;
			ret->n_inbound = from->n_inbound;
		}
		ret->floor_s = ret->floor_s ? ret->floor_s : from->floor_s;
		ret->grace_s = ret->grace_s ? ret->grace_s : from->grace_s;
		ret->max_s = ret->max_s ? ret->max_s : from->max_s;
		ret->addresses = ret->addresses ? ret->addresses : from->addresses;
		ret->per_workload = ret->per_workload ? ret->per_workload : from->per_workload;
	}
	ret->floor_s = ret->floor_s ? ret->floor_s : 30;
	ret->grace_s = ret->grace_s ? ret->grace_s : 60;
	ret->max_s = ret->max_s ? ret->max_s : 3600;
	ret->addresses = ret->addresses ? ret->addresses : 64;
	ret->per_workload = ret->per_workload ? ret->per_workload : 4096;
	if (ret->grace_s >= ret->max_s || ret->floor_s > ret->max_s - ret->grace_s)
		fault_at(
		    r, own->pinhole_place.line ? own->pinhole_place : own->place,
		    "the pinholes of '%s' cannot live: floor %us and grace %us do not fit into "
		    "max %us; raise max",
		    own->name, ret->floor_s, ret->grace_s, ret->max_s);
}

static void inherit_all(struct doc_reader *r)
{
	size_t n = r->doc->n_profiles;
	CLEANUP(free) struct doc_profile *whole = calloc(n + 1, sizeof(*whole));
	CLEANUP(free) uint32_t *order = calloc(n + 1, sizeof(*order));
	CLEANUP(free) bool *seen = calloc(n + 1, sizeof(*seen));

	if (!whole || !order || !seen) {
		r->err = ERR_NOMEM;
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		inherit(r, &r->doc->profiles[i], order, policy_doc_lineage(r->doc, i, order, seen),
		        &whole[i]);
	if (n)
		memcpy(r->doc->profiles, whole, n * sizeof(*whole));
}

static int compare_rules(const void *pa, const void *pb)
{
	const struct doc_rule *a = *(const struct doc_rule *const *)pa;
	const struct doc_rule *b = *(const struct doc_rule *const *)pb;
	int r;

	if (a->profile != b->profile)
		return a->profile < b->profile ? -1 : 1;
	if (a->allow != b->allow)
		return a->allow ? -1 : 1;
	r = pattern_compare(&a->pattern, &b->pattern);
	return r ? r : (a > b) - (a < b);
}

static void check_doubled_rules(struct doc_reader *r)
{
	const struct policy_doc *doc = r->doc;
	CLEANUP(free)
	const struct doc_rule **rules =
	    malloc((doc->n_rules + 1) * sizeof(const struct doc_rule *));

	if (!rules) {
		r->err = ERR_NOMEM;
		return;
	}
	for (size_t i = 0; i < doc->n_rules; i++)
		rules[i] = &doc->rules[i];
	qsort(rules, doc->n_rules, sizeof(const struct doc_rule *), compare_rules);
	for (size_t i = 1; i < doc->n_rules; i++) {
		const struct doc_rule *a = rules[i - 1], *b = rules[i];

		if (a->profile == b->profile && a->allow == b->allow &&
		    pattern_compare(&a->pattern, &b->pattern) == 0)
			fault_at(r, b->place,
			         "%s %.300s stands twice in profile '%s', first in line %u; merge "
			         "the two rules",
			         b->allow ? "allow" : "deny", b->text,
			         doc->profiles[b->profile].name, a->place.line);
	}
}

struct source {
	const struct prefix *prefix;
	struct doc_place place;
	uint32_t workload;
};

static int compare_sources(const void *pa, const void *pb)
{
	const struct source *a = pa, *b = pb;
	int r = memcmp(a->prefix, b->prefix, sizeof(*a->prefix));

	if (r == 0)
		r = (a->place.line > b->place.line) - (a->place.line < b->place.line);
	if (r == 0)
		r = (a->place.col > b->place.col) - (a->place.col < b->place.col);
	return r;
}

static void check_doubled_sources(struct doc_reader *r)
{
	const struct policy_doc *doc = r->doc;
	CLEANUP(free) struct source *sources = NULL;
	size_t n = 0;

	for (size_t w = 0; w < doc->n_workloads; w++)
		n += doc->workloads[w].n_sources;
	sources = malloc((n + 1) * sizeof(*sources));
	if (!sources) {
		r->err = ERR_NOMEM;
		return;
	}
	n = 0;
	for (uint32_t w = 0; w < doc->n_workloads; w++) {
		for (size_t s = 0; s < doc->workloads[w].n_sources; s++)
			sources[n++] = (struct source){ &doc->workloads[w].sources[s],
				                        doc->workloads[w].source_places[s], w };
	}
	qsort(sources, n, sizeof(*sources), compare_sources);
	for (size_t i = 1; i < n; i++) {
		char text[PREFIX_TEXT_LEN];

		if (memcmp(sources[i].prefix, sources[i - 1].prefix, sizeof(struct prefix)) != 0)
			continue;
		prefix_text(sources[i].prefix, text);
		fault_at(r, sources[i].place,
		         "%s is a source of '%s' already (line %u); an address belongs to one "
		         "workload, list it once",
		         text, doc->workloads[sources[i - 1].workload].name,
		         sources[i - 1].place.line);
	}
}

static size_t collect_listeners(const struct policy_doc *doc, struct source *out)
{
	size_t n = 0;

	for (uint32_t w = 0; w < doc->n_workloads; w++) {
		const struct doc_workload *from = &doc->workloads[w];

		for (size_t i = 0; i < from->n_listeners; i++, n++) {
			if (out)
				out[n] = (struct source){ &from->listeners[i],
					                  from->listener_places[i], w };
		}
	}
	return n;
}

static void fault_shared(struct doc_reader *r, const struct source *at, const struct source *other)
{
	char text[PREFIX_TEXT_LEN];

	prefix_text(at->prefix, text);
	if (at->workload == other->workload)
		fault_at(r, at->place, "%s is a listener of '%s' already (line %u); list it once",
		         text, r->doc->workloads[at->workload].name, other->place.line);
	else
		fault_at(r, at->place,
		         "%s is a listener of '%s', too (line %u), and who asks there is one "
		         "workload; listen at another address for one of them",
		         text, r->doc->workloads[other->workload].name, other->place.line);
}

/* Nobody can say which of two workloads was meant: told at both places. */
static void check_doubled_listeners(struct doc_reader *r)
{
	size_t n = collect_listeners(r->doc, NULL);
	CLEANUP(free) struct source *listeners = malloc((n + 1) * sizeof(*listeners));

	if (!listeners) {
		r->err = ERR_NOMEM;
		return;
	}
	collect_listeners(r->doc, listeners);
	qsort(listeners, n, sizeof(*listeners), compare_sources);
	for (size_t i = 1; i < n; i++) {
		const struct source *a = &listeners[i - 1], *b = &listeners[i];

		if (memcmp(a->prefix, b->prefix, sizeof(*a->prefix)) != 0)
			continue;
		if (a->workload != b->workload)
			fault_shared(r, a, b);
		fault_shared(r, b, a);
	}
}

/* Only single addresses have inbound ports: the kernel's set of them is a hash. */
static void check_inbound(struct doc_reader *r)
{
	const struct policy_doc *doc = r->doc;
	uint64_t n = 0;

	for (size_t i = 0; i < doc->n_workloads; i++) {
		const struct doc_workload *w = &doc->workloads[i];
		uint64_t before = n;

		if (!w->profile.name || w->profile.id == POLICY_NONE)
			continue;
		for (size_t s = 0; s < w->n_sources; s++)
			n += w->sources[s].len == 128 ? doc->profiles[w->profile.id].n_inbound : 0;
		if (before <= LIMIT_INBOUND && n > LIMIT_INBOUND)
			fault_at(r, w->place,
			         "more than %d inbound ports of all workloads' addresses together; "
			         "name fewer",
			         LIMIT_INBOUND);
	}
}

void doc_check(struct doc_reader *r)
{
	resolve_all(r);
	if (r->err == ERR_OK && check_extends(r))
		inherit_all(r);
	if (r->err == ERR_OK)
		check_inbound(r);
	if (r->err == ERR_OK)
		check_doubled_rules(r);
	if (r->err == ERR_OK)
		check_doubled_sources(r);
	if (r->err == ERR_OK)
		check_doubled_listeners(r);
}
