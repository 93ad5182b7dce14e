/* policy/compile_nodes.h - the table of one profile: names, and the patterns that end in them. */
#pragma once

#include "compile_doc.h"
#include "format.h"

/* A section under construction. */
struct section {
	uint8_t *data;
	size_t len, cap; /* octets */
};
struct image_builder {
	const struct policy_doc *doc;
	struct diag *diag;
	struct section sections[SEC_N];
	uint64_t seed;
	int err; /* the first error; what follows does nothing */
};

/* Append @n elements; returns the first one's index. */
uint32_t section_put(struct image_builder *b, enum img_section_id id, const void *elements,
                     size_t n);
uint32_t section_put_text(struct image_builder *b, const char *text);
static inline uint32_t section_count(const struct image_builder *b, enum img_section_id id)
{
	return (uint32_t)(b->sections[id].len / img_element_size[id]);
}

/* Where each rule's labels lie in PATTERNS. */
struct rule_labels {
	uint32_t at;
};

/* Write nodes, slots and candidates of the profile whose rules are @rules[0..n) in order of
 * strength (own first), and fill in slots, n_slots and has_final of @ret_profile. Errors go to
 * b->err: ERR_AGAIN wants another seed. */
void nodes_build(struct image_builder *b, const uint32_t *rules, size_t n,
                 const struct rule_labels *labels, struct img_profile *ret_profile);
