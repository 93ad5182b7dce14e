/* policy/compile_doc.h - a policy as people wrote it, checked: what stands between text and image.
 *
 * Everything lives in the document's region or its arrays; policy_doc_fini() frees all. Profiles,
 * feeds and workloads are numbered in the order of the text; these are the image's ids.
 */
#pragma once

#include "compile_pattern.h"
#include "compile_region.h"
#include "policy/compile.h"
#include "policy/judge.h"
#include "sallyport/diag.h"
#include "sallyport/limits.h"

struct doc_place {
	unsigned int line, col;
};

struct doc_rule {
	struct pattern pattern;
	const char *text; /* as shown: "db.corp.test", "zone docs.test"; NULL: the rule is faulty */
	const char *owner, *reason, *ticket; /* "" when absent */
	const uint16_t *types;
	const struct policy_port *ports;
	uint64_t expires_s; /* 0: never */
	struct doc_place place;
	uint32_t profile;
	uint16_t n_types, n_ports;
	uint8_t follow; /* enum policy_follow */
	bool allow, final, internal, dnssec;
};

struct doc_ref { /* a name that stands for something defined elsewhere */
	const char *name;
	struct doc_place place;
	uint32_t id; /* POLICY_NONE until resolved */
};

struct doc_profile {
	const char *name;
	struct doc_place place;
	uint32_t first_rule, n_rules; /* own, in the order of the text */
	struct doc_ref *extends, *feeds;
	size_t n_extends, n_feeds;
	bool observe, has_denied;
	enum policy_denied denied;
	/* 0: not given; then inherited, then the default. */
	uint32_t floor_s, grace_s, max_s, addresses, per_workload;
	struct doc_place pinhole_place;
	const struct policy_port *inbound; /* UDP ports */
	uint16_t n_inbound;
	bool has_inbound;    /* given, perhaps as an empty list; else inherited */
	bool used, extended; /* by a workload; by another profile */
};

enum feed_format { FEED_DOMAINS = 1, FEED_HOSTS, FEED_RPZ };
struct doc_feed {
	const char *name, *file;
	struct doc_place place, file_place;
	enum feed_format format;
	bool used;
};

struct doc_workload {
	const char *name;
	struct doc_place place;
	struct doc_ref profile;
	struct prefix *sources, *listeners; /* of listeners, single addresses */
	struct doc_place *source_places, *listener_places;
	size_t n_sources, n_listeners;
	bool known; /* `source` or `listener` is given, maybe faulty */
};

struct doc_host {
	struct pattern name; /* exact */
	struct doc_place place;
	uint8_t (*addrs)[ADDR_LEN];
	size_t n_addrs;
};

struct policy_doc {
	struct region region;
	const char *file;
	struct doc_rule *rules;
	struct doc_profile *profiles;
	struct doc_feed *feeds;
	struct doc_workload *workloads;
	struct doc_host *hosts;
	size_t n_rules, cap_rules, n_profiles, cap_profiles, n_feeds, cap_feeds, n_workloads,
	    cap_workloads, n_hosts, cap_hosts;
};

/* Read and check everything but the feeds' texts. @diag is not NULL. Returns 0, ERR_CONFIG or
 * ERR_NOMEM. The document must be finished in any case. */
int policy_doc_read(const struct policy_source *source, struct policy_doc *ret_doc,
                    struct diag *diag) MUST_CHECK;
void policy_doc_fini(struct policy_doc *doc);
static inline void policy_doc_fini_cleanup(struct policy_doc *doc)
{
	policy_doc_fini(doc);
}

/* The profiles whose rules apply in @profile, strongest first: itself, then what it extends, the
 * later before the earlier, each with its own ancestors, each once. @ret_order has room for
 * doc->n_profiles, @seen for as many flags, all false before and after. Returns their number. */
size_t policy_doc_lineage(const struct policy_doc *doc, uint32_t profile, uint32_t *ret_order,
                          bool *seen);

/* Put the faults from @from on into the order of the text; those of other files come last. */
void policy_sort_faults(struct diag *diag, size_t from, const char *file);
