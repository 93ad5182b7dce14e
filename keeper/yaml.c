/* keeper/yaml.c - a YAML document with places. */
#include "yaml.h"

#include <libfyaml.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sallyport/document.h"
#include "sallyport/err.h"

/* libfyaml's own messages become items of our diag. */
static void take_syntax_faults(struct yaml *yaml, struct fy_diag *fdiag)
{
	struct fy_diag_error *err;
	void *iter = NULL;
	size_t before = yaml->diag->n_errors;

	while ((err = fy_diag_errors_iterate(fdiag, &iter)))
		diag_add(yaml->diag, DIAG_ERROR, yaml->file, (unsigned int)MAX(err->line, 1),
		         (unsigned int)MAX(err->column, 1), "not valid YAML: %s", err->msg);
	if (yaml->diag->n_errors == before)
		diag_add(yaml->diag, DIAG_ERROR, yaml->file, 1, 1,
		         "empty, or not YAML; write key: value lines");
}

static void fy_diag_destroy_cleanup(struct fy_diag **diag)
{
	if (*diag)
		fy_diag_destroy(*diag);
}

int yaml_open(struct yaml *yaml, const char *file, const char *text, size_t len, struct diag *diag)
{
	struct fy_diag_cfg diag_cfg;
	CLEANUP(fy_diag_destroy) struct fy_diag *fdiag = NULL;
	struct fy_parse_cfg cfg = { .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG };

	*yaml = (struct yaml){ .file = file, .diag = diag };
	if (document_check(file, text, len, diag) < 0)
		return ERR_CONFIG;
	fy_diag_cfg_default(&diag_cfg);
	diag_cfg.fp = NULL;
	diag_cfg.colorize = false;
	fdiag = fy_diag_create(&diag_cfg);
	if (!fdiag)
		return ERR_NOMEM;
	fy_diag_set_collect_errors(fdiag, true);
	cfg.diag = fdiag;
	yaml->doc = fy_document_build_from_string(&cfg, text, len);
	if (!yaml->doc) {
		take_syntax_faults(yaml, fdiag);
		return ERR_CONFIG;
	}
	return ERR_OK;
}

void yaml_close(struct yaml *yaml)
{
	if (yaml->doc)
		fy_document_destroy(yaml->doc);
	yaml->doc = NULL;
}

struct fy_node *yaml_root(const struct yaml *yaml)
{
	return fy_document_root(yaml->doc);
}

/* Where a node begins: its own token, or its first content's. An empty [] or {} has none, so
 * callers give the key's node where a value may be empty. */
static void place(struct fy_node *node, unsigned int *ret_line, unsigned int *ret_col)
{
	const struct fy_mark *mark = NULL;

	for (int depth = 0; node && !fy_node_is_scalar(node) && depth < 16; depth++) {
		void *iter = NULL;

		if (fy_node_is_sequence(node)) {
			node = fy_node_sequence_iterate(node, &iter);
		} else {
			struct fy_node_pair *pair = fy_node_mapping_iterate(node, &iter);

			node = pair ? fy_node_pair_key(pair) : NULL;
		}
	}
	if (node && fy_node_is_scalar(node))
		mark = fy_token_start_mark(fy_node_get_scalar_token(node));
	*ret_line = mark ? (unsigned int)mark->line + 1 : 1;
	*ret_col = mark ? (unsigned int)mark->column + 1 : 1;
}

PRINTF_LIKE(4, 0)
static void tell(struct yaml *yaml, struct fy_node *node, enum diag_severity severity,
                 const char *fmt, va_list args)
{
	char text[2048];
	unsigned int line, col;

	place(node, &line, &col);
	vsnprintf(text, sizeof(text), fmt, args);
	diag_add(yaml->diag, severity, yaml->file, line, col, "%s", text);
}

void yaml_fault(struct yaml *yaml, struct fy_node *node, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	tell(yaml, node, DIAG_ERROR, fmt, args);
	va_end(args);
}

void yaml_warn(struct yaml *yaml, struct fy_node *node, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	tell(yaml, node, DIAG_WARNING, fmt, args);
	va_end(args);
}

bool yaml_is_mapping(struct fy_node *node)
{
	return node && fy_node_is_mapping(node);
}

bool yaml_is_sequence(struct fy_node *node)
{
	return node && fy_node_is_sequence(node);
}

bool yaml_scalar(struct yaml *yaml, struct fy_node *node, const char *what,
                 char out[static YAML_SCALAR_MAX])
{
	const char *text;
	size_t len;

	if (!node || !fy_node_is_scalar(node)) {
		yaml_fault(yaml, node, "%s is not a single value; write one", what);
		return false;
	}
	if (fy_node_is_alias(node)) {
		yaml_fault(yaml, node, "%s is an alias; write the value itself", what);
		return false;
	}
	text = fy_node_get_scalar(node, &len);
	if (!text || len == 0) {
		yaml_fault(yaml, node, "%s is empty; give it a value or remove it", what);
		return false;
	}
	if (len >= YAML_SCALAR_MAX) {
		yaml_fault(yaml, node, "%s is longer than %d octets; write less", what,
		           YAML_SCALAR_MAX - 1);
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
			yaml_fault(yaml, node, "%s has a control character; remove it", what);
			return false;
		}
	}
	memcpy(out, text, len);
	out[len] = '\0';
	return true;
}

struct fy_node *yaml_next_item(struct fy_node *sequence, void **iter)
{
	return fy_node_sequence_iterate(sequence, iter);
}

bool yaml_next_pair(struct fy_node *mapping, void **iter, struct fy_node **ret_key,
                    struct fy_node **ret_value)
{
	struct fy_node_pair *pair = fy_node_mapping_iterate(mapping, iter);

	if (!pair)
		return false;
	*ret_key = fy_node_pair_key(pair);
	*ret_value = fy_node_pair_value(pair);
	return true;
}
