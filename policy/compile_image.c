/* policy/compile_image.c - section by section. */
#include "compile_image.h"

#include <stdlib.h>
#include <string.h>

#include "compile_nodes.h"
#include "sallyport/err.h"

#define SEEDS_TRIED 8

static void put_rules(struct image_builder *b, struct rule_labels *labels)
{
	for (size_t i = 0; i < b->doc->n_rules && b->err == ERR_OK; i++) {
		const struct doc_rule *rule = &b->doc->rules[i];
		struct img_rule r = {
			.profile = rule->profile,
			.line = rule->place.line,
			.col = rule->place.col,
			.pattern = section_put_text(b, rule->text),
			.owner = section_put_text(b, rule->owner),
			.reason = section_put_text(b, rule->reason),
			.ticket = section_put_text(b, rule->ticket),
			.types = section_put(b, SEC_TYPES, rule->types, rule->n_types),
			.ports = section_put(b, SEC_PORTS, rule->ports, rule->n_ports),
			.n_types = rule->n_types,
			.n_ports = rule->n_ports,
			.follow = rule->follow,
			.expires_s = rule->expires_s,
		};

		r.flags = (uint8_t)((rule->allow ? IMG_ALLOW : 0) | (rule->final ? IMG_FINAL : 0) |
		                    (rule->internal ? IMG_INTERNAL : 0) |
		                    (rule->dnssec ? IMG_DNSSEC : 0));
		labels[i].at =
		    section_put(b, SEC_PATTERNS, rule->pattern.labels, rule->pattern.labels_len);
		section_put(b, SEC_RULES, &r, 1);
	}
}

static uint64_t feed_mask(const struct policy_doc *doc, const uint32_t *lineage, size_t n)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < n; i++) {
		const struct doc_profile *p = &doc->profiles[lineage[i]];

		for (size_t f = 0; f < p->n_feeds; f++)
			mask |= UINT64_C(1) << p->feeds[f].id;
	}
	return mask;
}

/* The rules of one profile, own first: appended to PROFILE_RULES. */
static void put_profile(struct image_builder *b, const struct doc_profile *profile,
                        const uint32_t *lineage, size_t n_lineage, const struct rule_labels *labels)
{
	struct img_profile p = {
		.name = section_put_text(b, profile->name),
		.rules = section_count(b, SEC_PROFILE_RULES),
		.feeds = feed_mask(b->doc, lineage, n_lineage),
		.floor_s = profile->floor_s,
		.grace_s = profile->grace_s,
		.max_s = profile->max_s,
		.addresses = profile->addresses,
		.per_workload = profile->per_workload,
		.inbound = section_put(b, SEC_PORTS, profile->inbound, profile->n_inbound),
		.n_inbound = profile->n_inbound,
		.observe = profile->observe,
		.denied = (uint8_t)profile->denied,
	};
	uint32_t id = (uint32_t)(profile - b->doc->profiles);

	for (size_t l = 0; l < n_lineage; l++) {
		const struct doc_profile *from = &b->doc->profiles[lineage[l]];

		if ((uint64_t)section_count(b, SEC_PROFILE_RULES) + from->n_rules >
		    LIMIT_RULES_APPLIED) {
			diag_add(b->diag, DIAG_ERROR, b->doc->file, profile->place.line,
			         profile->place.col,
			         "more than %d rules in all profiles together, each inherited one "
			         "counted again; let fewer profiles extend large ones",
			         LIMIT_RULES_APPLIED);
			b->err = ERR_CONFIG;
			return;
		}
		for (uint32_t i = 0; i < from->n_rules; i++) {
			uint32_t rule = from->first_rule + i;

			section_put(b, SEC_PROFILE_RULES, &rule, 1);
			if (b->doc->rules[rule].allow)
				p.n_allow++;
			else
				p.n_deny++;
		}
	}
	p.n_rules = p.n_allow + p.n_deny;
	for (size_t w = 0; w < b->doc->n_workloads; w++)
		p.n_workloads += b->doc->workloads[w].profile.id == id;
	if (b->err == ERR_OK && p.n_rules > 0)
		nodes_build(b,
		            (const uint32_t *)(const void *)b->sections[SEC_PROFILE_RULES].data +
		                p.rules,
		            p.n_rules, labels, &p);
	section_put(b, SEC_PROFILES, &p, 1);
}

static void put_profiles(struct image_builder *b, const struct rule_labels *labels)
{
	size_t n = b->doc->n_profiles;
	CLEANUP(free) uint32_t *lineage = calloc(n + 1, sizeof(*lineage));
	CLEANUP(free) bool *seen = calloc(n + 1, sizeof(*seen));

	if (!lineage || !seen) {
		b->err = ERR_NOMEM;
		return;
	}
	for (uint32_t i = 0; i < n && b->err == ERR_OK; i++)
		put_profile(b, &b->doc->profiles[i], lineage,
		            policy_doc_lineage(b->doc, i, lineage, seen), labels);
}

/* Single addresses of one family; none when the workload lists a wider prefix of it, too: then
 * nobody can say which address of that family the asker has. */
static uint32_t put_singles(struct image_builder *b, const struct doc_workload *w, bool v4,
                            uint32_t *ret_n)
{
	uint32_t first = section_count(b, SEC_SINGLES);

	*ret_n = 0;
	for (size_t i = 0; i < w->n_sources; i++) {
		if (prefix_is_v4(&w->sources[i]) == v4 && w->sources[i].len < 128)
			return first;
	}
	for (size_t i = 0; i < w->n_sources; i++) {
		if (prefix_is_v4(&w->sources[i]) != v4 || *ret_n == LIMIT_WORKLOAD_OTHER_FAMILY)
			continue;
		section_put(b, SEC_SINGLES, w->sources[i].addr, 1);
		(*ret_n)++;
	}
	return first;
}

static void put_workloads(struct image_builder *b)
{
	for (size_t i = 0; i < b->doc->n_workloads; i++) {
		const struct doc_workload *w = &b->doc->workloads[i];
		struct img_workload out = {
			.name = section_put_text(b, w->name),
			.profile = w->profile.id,
			.sources = section_put(b, SEC_SOURCES, w->sources, w->n_sources),
			.n_sources = (uint32_t)w->n_sources,
			.listeners = section_put(b, SEC_SOURCES, w->listeners, w->n_listeners),
			.n_listeners = (uint32_t)w->n_listeners,
		};

		out.singles4 = put_singles(b, w, true, &out.n_singles4);
		out.singles6 = put_singles(b, w, false, &out.n_singles6);
		section_put(b, SEC_WORKLOADS, &out, 1);
	}
}

static void fill_slot(struct image_builder *b, struct img_source *slots, size_t n_slots,
                      const struct prefix *key, uint32_t workload)
{
	uint64_t slot = img_slot(img_hash_prefix(b->seed, key), n_slots);
	size_t probes = 1;

	for (; slots[slot].workload != POLICY_NONE; probes++) {
		if (++slot == n_slots)
			slot = 0;
	}
	slots[slot].prefix = *key;
	slots[slot].workload = workload;
	if (probes > IMG_PROBES_MAX)
		b->err = ERR_AGAIN;
}

/* The hash table of all sources and listeners, and the prefix lengths to try, longest first. */
static void put_source_slots(struct image_builder *b)
{
	bool used[129] = { false };
	CLEANUP(free) struct img_source *slots = NULL;
	size_t n = 0, n_slots;

	for (size_t w = 0; w < b->doc->n_workloads; w++)
		n += b->doc->workloads[w].n_sources + b->doc->workloads[w].n_listeners;
	if (n == 0)
		return;
	n_slots = n * 2 + 1;
	slots = calloc(n_slots, sizeof(*slots));
	if (!slots) {
		b->err = ERR_NOMEM;
		return;
	}
	for (size_t i = 0; i < n_slots; i++)
		slots[i].workload = POLICY_NONE;
	for (uint32_t w = 0; w < b->doc->n_workloads; w++) {
		const struct doc_workload *from = &b->doc->workloads[w];

		for (size_t i = 0; i < from->n_sources; i++) {
			fill_slot(b, slots, n_slots, &from->sources[i], w);
			used[from->sources[i].len] = true;
		}
		for (size_t i = 0; i < from->n_listeners; i++) {
			struct prefix key = from->listeners[i];

			key.len = IMG_LISTENER;
			fill_slot(b, slots, n_slots, &key, w);
		}
	}
	for (size_t len = 129; len-- > 0;) {
		uint8_t octet = (uint8_t)len;

		if (used[len])
			section_put(b, SEC_SOURCE_LENS, &octet, 1);
	}
	section_put(b, SEC_SOURCE_SLOTS, slots, n_slots);
}

static void put_feeds(struct image_builder *b, const struct feed_table *feeds)
{
	for (size_t i = 0; i < b->doc->n_feeds; i++) {
		struct img_feed feed = {
			.name = section_put_text(b, b->doc->feeds[i].name),
			.n_names = feeds->per_feed[i],
		};

		section_put(b, SEC_FEEDS, &feed, 1);
	}
	section_put(b, SEC_COMBINATIONS, feeds->combinations, feeds->n_combinations);
}

static int compare_hosts(const void *pa, const void *pb)
{
	const struct doc_host *a = *(const struct doc_host *const *)pa;
	const struct doc_host *b = *(const struct doc_host *const *)pb;
	int r = pattern_compare(&a->name, &b->name);

	return r ? r : (a > b) - (a < b);
}

static uint32_t put_host_addrs(struct image_builder *b, const struct doc_host *const *hosts,
                               size_t n, bool v4, uint32_t *ret_n)
{
	uint32_t first = section_count(b, SEC_HOST_ADDRS);
	uint32_t id = section_count(b, SEC_HOSTS);

	for (size_t i = 0; i < n; i++) {
		for (size_t a = 0; a < hosts[i]->n_addrs; a++) {
			if (addr_is_v4(hosts[i]->addrs[a]) != v4)
				continue;
			section_put(b, SEC_HOST_ADDRS, hosts[i]->addrs[a], 1);
			section_put(b, SEC_HOST_OF, &id, 1);
		}
	}
	*ret_n = section_count(b, SEC_HOST_ADDRS) - first;
	return first;
}

static uint64_t hash_host(uint64_t seed, const uint8_t *name)
{
	uint8_t at[NAME_MAX_LABELS];
	unsigned int n = 0;

	for (unsigned int pos = 0; name[pos] != 0; pos += 1u + name[pos])
		at[n++] = (uint8_t)pos;
	while (n > 0)
		seed = img_hash_label(seed, name + at[--n]);
	return seed;
}

/* Entries of one name are merged. */
static void put_hosts(struct image_builder *b)
{
	size_t n = b->doc->n_hosts, n_slots = n * 2 + 1;
	CLEANUP(free) const struct doc_host **hosts = malloc((n + 1) * sizeof(*hosts));
	CLEANUP(free) uint32_t *slots = calloc(n_slots, sizeof(*slots));

	if (!hosts || !slots) {
		b->err = ERR_NOMEM;
		return;
	}
	for (size_t i = 0; i < n; i++)
		hosts[i] = &b->doc->hosts[i];
	qsort(hosts, n, sizeof(*hosts), compare_hosts);
	for (size_t i = 0, same; i < n && b->err == ERR_OK; i += same) {
		const struct pattern *name = &hosts[i]->name;
		uint64_t slot = img_slot(hash_host(b->seed, name->suffix), n_slots);
		struct img_host host = {
			.name = section_put(b, SEC_NAMES, name->suffix, name->suffix_len),
			.name_len = name->suffix_len,
		};
		size_t probes = 1;

		for (same = 1; i + same < n; same++) {
			if (pattern_compare(&hosts[i + same]->name, name) != 0)
				break;
		}
		host.addrs4 = put_host_addrs(b, hosts + i, same, true, &host.n_addrs4);
		host.addrs6 = put_host_addrs(b, hosts + i, same, false, &host.n_addrs6);
		for (; slots[slot] != 0; probes++) {
			if (++slot == n_slots)
				slot = 0;
		}
		slots[slot] = section_put(b, SEC_HOSTS, &host, 1) + 1;
		if (probes > IMG_PROBES_MAX)
			b->err = ERR_AGAIN;
	}
	if (n > 0)
		section_put(b, SEC_HOST_SLOTS, slots, n_slots);
}

static int compare_moments(const void *pa, const void *pb)
{
	const uint64_t *a = pa, *b = pb;

	return (*a > *b) - (*a < *b);
}

static void put_expiries(struct image_builder *b)
{
	CLEANUP(free) uint64_t *moments = malloc((b->doc->n_rules + 1) * sizeof(*moments));
	size_t n = 0;

	if (!moments) {
		b->err = ERR_NOMEM;
		return;
	}
	for (size_t i = 0; i < b->doc->n_rules; i++) {
		if (b->doc->rules[i].expires_s)
			moments[n++] = b->doc->rules[i].expires_s;
	}
	qsort(moments, n, sizeof(*moments), compare_moments);
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || moments[i] != moments[i - 1])
			section_put(b, SEC_EXPIRIES, &moments[i], 1);
	}
}

/* The feeds' sections are taken from their table, which keeps them. */
static struct section source_of(const struct image_builder *b, const struct feed_table *feeds,
                                enum img_section_id id)
{
	if (id == SEC_FEED_SLOTS)
		return (struct section){ (uint8_t *)feeds->slots, feeds->n_slots * 4, 0 };
	if (id == SEC_FEED_TAGS)
		return (struct section){ feeds->tags, feeds->n_slots, 0 };
	if (id == SEC_FEED_NAMES)
		return (struct section){ feeds->names, feeds->names_len, 0 };
	return b->sections[id];
}

static int assemble(struct image_builder *b, const struct feed_table *feeds, void **ret_image,
                    size_t *ret_len)
{
	struct img_head head = {
		.magic = IMG_MAGIC,
		.format = IMG_FORMAT,
		.n_sections = SEC_N,
		.seed = b->seed,
		.feed_labels_min = feeds->labels_min,
		.feed_labels_max = feeds->labels_max,
		.n_feed_names = feeds->n_names,
	};
	uint64_t at = sizeof(head);
	uint8_t *image;

	for (size_t i = 0; i < feeds->n_combinations; i++)
		head.feeds_with_pass |=
		    feeds->combinations[i].pass_exact | feeds->combinations[i].pass_below;
	_Static_assert(sizeof(head) % 8 == 0, "sections begin at multiples of 8");
	for (unsigned int i = 0; i < SEC_N; i++) {
		struct section s = source_of(b, feeds, i);

		head.sections[i] = (struct img_section){ at, s.len / img_element_size[i] };
		at = (at + s.len + 7) / 8 * 8;
	}
	head.len = at;
	if (at > LIMIT_IMAGE_BYTES)
		return diag_set(b->diag, ERR_LIMIT, "the image would be larger than %d octets",
		                LIMIT_IMAGE_BYTES);
	image = calloc(1, at);
	if (!image)
		return ERR_NOMEM;
	for (unsigned int i = 0; i < SEC_N; i++) {
		struct section s = source_of(b, feeds, i);

		if (s.len > 0)
			memcpy(image + head.sections[i].offset, s.data, s.len);
	}
	memcpy(image, &head, sizeof(head));
	img_checksum(image, at, ((struct img_head *)(void *)image)->checksum);
	*ret_image = image;
	*ret_len = at;
	return ERR_OK;
}

static int build_once(const struct policy_doc *doc, struct feed_table *feeds, uint64_t seed,
                      void **ret_image, size_t *ret_len, struct diag *diag)
{
	struct image_builder b = { .doc = doc, .diag = diag, .seed = seed };
	CLEANUP(free) struct rule_labels *labels = calloc(doc->n_rules + 1, sizeof(*labels));

	if (!labels)
		return ERR_NOMEM;
	section_put(&b, SEC_STRINGS, "", 1);
	put_rules(&b, labels);
	put_profiles(&b, labels);
	put_workloads(&b);
	put_source_slots(&b);
	put_feeds(&b, feeds);
	put_hosts(&b);
	put_expiries(&b);
	if (b.err == ERR_OK)
		b.err = feed_table_finish(feeds, seed);
	if (b.err == ERR_OK)
		b.err = assemble(&b, feeds, ret_image, ret_len);
	for (size_t i = 0; i < SEC_N; i++)
		free(b.sections[i].data);
	return b.err;
}

int image_build(const struct policy_doc *doc, struct feed_table *feeds, uint64_t seed,
                void **ret_image, size_t *ret_len, struct diag *diag)
{
	int r = ERR_AGAIN;

	for (unsigned int i = 0; i < SEEDS_TRIED && r == ERR_AGAIN; i++)
		r = build_once(doc, feeds, img_fold(seed + i, UINT64_C(0x9e3779b97f4a7c15)),
		               ret_image, ret_len, diag);
	if (r == ERR_AGAIN)
		return diag_set(
		    diag, ERR_LIMIT,
		    "the names collide in every table tried; somebody made a feed for that");
	return r;
}
