/* policy/compile_nodes.c - the table of one profile. */
#include "compile_nodes.h"

#include <stdlib.h>
#include <string.h>

#include "sallyport/err.h"

uint32_t section_put(struct image_builder *b, enum img_section_id id, const void *elements,
                     size_t n)
{
	struct section *s = &b->sections[id];
	size_t len = n * img_element_size[id];
	size_t first = s->len / img_element_size[id];

	if (b->err < 0 || len == 0)
		return (uint32_t)first;
	if (s->len + len > LIMIT_IMAGE_BYTES) {
		b->err = diag_set(b->diag, ERR_LIMIT, "the image would be larger than %d octets",
		                  LIMIT_IMAGE_BYTES);
		return 0;
	}
	if (s->len + len > s->cap) {
		size_t cap = MAX(s->cap * 2, s->len + len + 4096);
		uint8_t *data = realloc(s->data, cap);

		if (!data) {
			b->err = ERR_NOMEM;
			return 0;
		}
		s->data = data;
		s->cap = cap;
	}
	memcpy(s->data + s->len, elements, len);
	s->len += len;
	return (uint32_t)first;
}

uint32_t section_put_text(struct image_builder *b, const char *text)
{
	/* 0 is the empty text. */
	return *text ? section_put(b, SEC_STRINGS, text, strlen(text) + 1) : 0;
}

struct node_table {
	uint32_t *slots; /* node + 1, of the whole section */
	size_t n_slots, n, most_probes;
};

static struct img_node *node_at(struct image_builder *b, uint32_t i)
{
	return (struct img_node *)(void *)b->sections[SEC_NODES].data + i;
}

static uint64_t hash_wire(uint64_t seed, const uint8_t *name, size_t len)
{
	uint8_t copy[NAME_MAX_WIRE + 9] = { 0 }, at[NAME_MAX_LABELS];
	unsigned int n = 0;

	memcpy(copy, name, len);
	for (unsigned int pos = 0; copy[pos] != 0; pos += 1u + copy[pos])
		at[n++] = (uint8_t)pos;
	while (n > 0)
		seed = img_hash_label(seed, copy + at[--n]);
	return seed;
}

static void put_slot(struct node_table *t, uint64_t hash, uint32_t node)
{
	uint64_t slot = img_slot(hash, t->n_slots);
	size_t probes = 1;

	for (; t->slots[slot] != 0; probes++) {
		if (++slot == t->n_slots)
			slot = 0;
	}
	t->slots[slot] = node + 1;
	t->most_probes = MAX(t->most_probes, probes);
}

static void resize(struct image_builder *b, struct node_table *t, size_t n_slots)
{
	uint32_t first = section_count(b, SEC_NODES) - (uint32_t)t->n;
	uint32_t *slots = calloc(n_slots, sizeof(*slots));

	if (!slots) {
		b->err = ERR_NOMEM;
		return;
	}
	free(t->slots);
	t->slots = slots;
	t->n_slots = n_slots;
	t->most_probes = 0;
	for (uint32_t i = 0; i < t->n; i++) {
		const struct img_node *node = node_at(b, first + i);

		put_slot(
		    t, hash_wire(b->seed, b->sections[SEC_NAMES].data + node->name, node->name_len),
		    first + i);
	}
}

/* The node of a name, made if it is new. */
static uint32_t need_node(struct image_builder *b, struct node_table *t, const uint8_t *name,
                          size_t len, uint64_t hash)
{
	struct img_node node = { .name_len = (uint8_t)len };
	uint64_t slot;
	uint32_t i;

	if ((t->n + 1) * 2 > t->n_slots)
		resize(b, t, MAX(t->n_slots * 2, (size_t)16));
	if (b->err < 0)
		return 0;
	for (slot = img_slot(hash, t->n_slots); t->slots[slot] != 0;) {
		const struct img_node *known = node_at(b, t->slots[slot] - 1);

		if (known->name_len == len &&
		    memcmp(b->sections[SEC_NAMES].data + known->name, name, len) == 0)
			return t->slots[slot] - 1;
		if (++slot == t->n_slots)
			slot = 0;
	}
	node.name = section_put(b, SEC_NAMES, name, len);
	i = section_put(b, SEC_NODES, &node, 1);
	if (b->err < 0)
		return 0;
	t->n++;
	put_slot(t, hash, i);
	return i;
}

/* Nodes for the rule's suffix and all its ancestors; ancestors learn of an allow below them. */
static uint32_t add_suffix(struct image_builder *b, struct node_table *t,
                           const struct doc_rule *rule)
{
	const struct pattern *p = &rule->pattern;
	uint8_t at[NAME_MAX_LABELS + 1];
	unsigned int n = 0, pos = 0;
	uint64_t until = rule->expires_s ? rule->expires_s : UINT64_MAX;
	uint64_t hash = b->seed;
	uint32_t i = 0;

	for (; p->suffix[pos] != 0; pos += 1u + p->suffix[pos])
		at[n++] = (uint8_t)pos;
	at[n] = (uint8_t)pos;
	for (unsigned int d = 0; d <= n; d++) {
		if (d > 0)
			hash = img_hash_label(hash, p->suffix + at[n - d]);
		i = need_node(b, t, p->suffix + at[n - d], p->suffix_len - at[n - d], hash);
		if (b->err < 0)
			return 0;
		if (d == n || !rule->allow)
			continue;

		struct img_node *node = node_at(b, i);

		node->below_until = MAX(node->below_until, until);
		if (p->kind == IMG_EXACT)
			node->exact_below_until = MAX(node->exact_below_until, until);
	}
	return i;
}

struct placed { /* a rule at its node, before sorting */
	uint32_t node, rule;
	uint32_t order; /* in the profile: own first */
	uint16_t literals;
	uint8_t class;
	bool deny;
};

/* The design's precedence among patterns with one fixed suffix. */
static int compare_placed(const void *pa, const void *pb)
{
	const struct placed *a = pa, *b = pb;

	if (a->node != b->node)
		return a->node < b->node ? -1 : 1;
	if (a->class != b->class)
		return a->class > b->class ? -1 : 1;
	if (a->literals != b->literals)
		return a->literals > b->literals ? -1 : 1;
	if (a->deny != b->deny)
		return a->deny ? -1 : 1;
	return (a->order > b->order) - (a->order < b->order);
}

static uint8_t class_of(enum img_kind kind)
{
	return kind == IMG_EXACT ? 2 : kind == IMG_STAR ? 1 : 0;
}

static void too_many(struct image_builder *b, const struct doc_rule *rule)
{
	char name[NAME_TEXT_LEN];

	name_to_text(rule->pattern.suffix, name);
	diag_add(b->diag, DIAG_ERROR, b->doc->file, rule->place.line, rule->place.col,
	         "more than %d patterns end in %s in one profile; write fewer, wider ones",
	         LIMIT_SUFFIX_PATTERNS, name);
	b->err = ERR_CONFIG;
}

static void put_candidates(struct image_builder *b, const struct placed *placed, size_t n,
                           const struct rule_labels *labels, struct img_profile *profile)
{
	for (size_t i = 0; i < n && b->err == ERR_OK; i++) {
		const struct doc_rule *rule = &b->doc->rules[placed[i].rule];
		struct img_candidate c = {
			.rule = placed[i].rule,
			.labels = labels[placed[i].rule].at,
			.labels_len = rule->pattern.labels_len,
			.literals = rule->pattern.literals,
			.kind = (uint8_t)rule->pattern.kind,
			.n_labels = rule->pattern.n_labels,
			.is_final = rule->final,
		};
		uint32_t at = section_put(b, SEC_CANDIDATES, &c, 1);
		struct img_node *node = node_at(b, placed[i].node);

		if (b->err < 0)
			return;
		if (node->n_candidates == 0)
			node->candidates = at;
		if (node->n_candidates == LIMIT_SUFFIX_PATTERNS) {
			too_many(b, rule);
			return;
		}
		node->n_candidates++;
		if (rule->final) {
			node->flags |= IMG_NODE_FINAL;
			profile->has_final = 1;
		}
	}
}

void nodes_build(struct image_builder *b, const uint32_t *rules, size_t n,
                 const struct rule_labels *labels, struct img_profile *ret_profile)
{
	CLEANUP(free) struct placed *placed = malloc((n + 1) * sizeof(*placed));
	struct node_table t = { 0 };

	if (!placed) {
		b->err = ERR_NOMEM;
		return;
	}
	for (size_t i = 0; i < n && b->err == ERR_OK; i++) {
		const struct doc_rule *rule = &b->doc->rules[rules[i]];

		placed[i] = (struct placed){
			.node = add_suffix(b, &t, rule),
			.rule = rules[i],
			.order = (uint32_t)i,
			.literals = rule->pattern.literals,
			.class = class_of(rule->pattern.kind),
			.deny = !rule->allow,
		};
	}
	if (b->err == ERR_OK) {
		qsort(placed, n, sizeof(*placed), compare_placed);
		put_candidates(b, placed, n, labels, ret_profile);
	}
	if (b->err == ERR_OK && t.n > 0)
		resize(b, &t, t.n * 2 + 1);
	if (b->err == ERR_OK && t.most_probes > IMG_PROBES_MAX)
		b->err = ERR_AGAIN;
	ret_profile->slots = section_put(b, SEC_SLOTS, t.slots, t.n_slots);
	ret_profile->n_slots = (uint32_t)t.n_slots;
	free(t.slots);
}
