/* policy/compile_yaml.h - YAML text to a tree in which every node knows its line and column.
 *
 * The one place that includes libfyaml. One document; aliases are followed (to a node that is
 * complete, so never in a circle); tags are refused. A key that stands twice in one mapping is a
 * fault, and so is a key that is not a plain text.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "compile_region.h"
#include "policy/compile.h"

#define YAML_DEPTH_MAX 16
#define YAML_ANCHORS_MAX 1024

enum yaml_kind { YAML_TEXT, YAML_LIST, YAML_MAP };
struct yaml_node {
	enum yaml_kind kind;
	unsigned int line, col; /* from 1 */
	const char *text;       /* YAML_TEXT: terminated; "" for an empty value */
	size_t len;
	struct yaml_node *
	    *items; /* YAML_LIST: n items; YAML_MAP: n keys, each with its value behind */
	size_t n;
};

/* Returns 0, ERR_CONFIG (there is no tree; faults in @diag) or ERR_NOMEM. Doubled keys are faults
 * in
 * @diag that leave a tree, so that the rest can be checked, too: count @diag's errors. *ret_root is
 * NULL for an empty text. The tree lives in @region. */
int yaml_read(const struct policy_source *source, struct region *region,
              struct yaml_node **ret_root, struct diag *diag) MUST_CHECK;
