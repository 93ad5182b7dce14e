/* policy/compile_read.h - reading values out of the tree, one fault for each that is wrong.
 *
 * Reading goes on after a fault, so that people hear of all of them; what is returned for a faulty
 * value is harmless (NULL, 0) and must not be complained of again.
 */
#pragma once

#include "compile_doc.h"
#include "compile_yaml.h"
#include "sallyport/diag.h"

struct doc_reader {
	struct policy_doc *doc;
	struct diag *diag;
	const char *file;
	int err; /* ERR_NOMEM ends the reading */
};

void fault(struct doc_reader *r, const struct yaml_node *at, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

enum key_status {
	KEY_KNOWN,
	KEY_NEEDED, /* its absence is a fault */
	KEY_LATER,  /* part of the language, but not built in yet: refused */
};
struct doc_key {
	const char *name;
	void (*read)(struct doc_reader *r, void *target, const struct yaml_node *value);
	enum key_status status;
};
/* Read the mapping at @node key by key. @what names the mapping for people. */
void read_keys(struct doc_reader *r, const struct yaml_node *node, const struct doc_key *keys,
               size_t n_keys, void *target, const char *what);

/* A text of at most @max octets without control characters, or NULL. */
const char *read_text(struct doc_reader *r, const struct yaml_node *node, size_t max);
/* A name that we give to things: letters, digits, '-', '_', '.', or "?" after a fault. */
const char *read_label(struct doc_reader *r, const struct yaml_node *node, const char *what);
/* Index into @words (ends with NULL), or -1. */
int read_word(struct doc_reader *r, const struct yaml_node *node, const char *const *words);
bool read_bool(struct doc_reader *r, const struct yaml_node *node);
/* Whole seconds, 1 s to 30 days; 0 after a fault. */
uint32_t read_duration_s(struct doc_reader *r, const struct yaml_node *node);
uint32_t read_number(struct doc_reader *r, const struct yaml_node *node, uint32_t min,
                     uint32_t max);
/* One name or a list of them. */
struct doc_ref *read_refs(struct doc_reader *r, const struct yaml_node *node, const char *what,
                          size_t *ret_n);

/* compile_rule.c: one rule. Leaves rule->text NULL when it has no usable pattern. */
void doc_rule_read(struct doc_reader *r, const struct yaml_node *node, struct doc_rule *rule);

/* The same file: a profile's `inbound`. */
void doc_inbound_read(struct doc_reader *r, void *target, const struct yaml_node *value);

/* compile_check.c: what only the whole document can tell: references, circles, doubled rules and
 * sources, the order of durations. */
void doc_check(struct doc_reader *r);
