/* keeper/yaml.h - a YAML document with places: thin words over libfyaml for reading a
 * configuration.
 *
 * Every fault goes into the document's diag with file, line and column. Nodes are libfyaml's; they
 * live as long as the document. Anchors, aliases, tags and merge keys are refused: a configuration
 * says what it means.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/diag.h"

struct fy_document;
struct fy_node;

struct yaml {
	struct fy_document *doc;
	const char *file;  /* borrowed */
	struct diag *diag; /* borrowed */
};

#define YAML_SCALAR_MAX 1024 /* octets of one value, terminator included; longer: a fault */

/* Read @len octets at @text, which must stay until yaml_close(). Returns 0, ERR_CONFIG (syntax
 * faults are in @diag) or ERR_NOMEM. */
int yaml_open(struct yaml *yaml, const char *file, const char *text, size_t len,
              struct diag *diag) MUST_CHECK;
void yaml_close(struct yaml *yaml);
static inline void yaml_close_cleanup(struct yaml *yaml)
{
	yaml_close(yaml);
}

/* The root node; NULL for an empty document. */
struct fy_node *yaml_root(const struct yaml *yaml);

void yaml_fault(struct yaml *yaml, struct fy_node *node, const char *fmt, ...) PRINTF_LIKE(3, 4);
void yaml_warn(struct yaml *yaml, struct fy_node *node, const char *fmt, ...) PRINTF_LIKE(3, 4);

bool yaml_is_mapping(struct fy_node *node);
bool yaml_is_sequence(struct fy_node *node);
/* Copy the scalar @node; false (a fault is added, @what names the thing) when it is no scalar, too
 * long or has control characters. */
bool yaml_scalar(struct yaml *yaml, struct fy_node *node, const char *what,
                 char out[static YAML_SCALAR_MAX]);

/* Walk: @iter starts as NULL; NULL at the end. */
struct fy_node *yaml_next_item(struct fy_node *sequence, void **iter);
bool yaml_next_pair(struct fy_node *mapping, void **iter, struct fy_node **ret_key,
                    struct fy_node **ret_value);
