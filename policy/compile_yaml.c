/* policy/compile_yaml.c - libfyaml's events to a tree. */
#include "compile_yaml.h"

#include <libfyaml.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/document.h"
#include "sallyport/err.h"

DEFINE_CLEANUP(struct fy_parser *, fy_parser_destroy)
DEFINE_CLEANUP(struct fy_diag *, fy_diag_destroy)

struct anchor {
	const char *name;
	struct yaml_node *node;
};

struct builder {
	const struct policy_source *source;
	struct region *region;
	struct diag *diag;
	struct yaml_node **pending; /* children of all open collections, innermost last */
	size_t n_pending, cap_pending;
	struct {
		struct yaml_node *node;
		const char *anchor; /* NULL: none */
		size_t first;       /* in pending */
	} open[YAML_DEPTH_MAX];
	size_t depth;
	struct anchor anchors[YAML_ANCHORS_MAX];
	size_t n_anchors;
	size_t n_documents;
	struct yaml_node *root;
	unsigned int line, col; /* of the last event that had a place */
};

static void free_builder(struct builder *b)
{
	free(b->pending);
	free(b);
}
DEFINE_CLEANUP(struct builder *, free_builder)

/* The text of a token, or "". */
static const char *token_text(struct builder *b, struct fy_token *token, size_t *ret_len)
{
	const char *text = token ? fy_token_get_text(token, ret_len) : NULL;

	if (!text) {
		*ret_len = 0;
		text = "";
	}
	return region_text(b->region, text, *ret_len);
}

static int remember_anchor(struct builder *b, const char *name, struct yaml_node *node)
{
	if (!name)
		return ERR_OK;
	if (b->n_anchors == YAML_ANCHORS_MAX) {
		diag_add(b->diag, DIAG_ERROR, b->source->file, node->line, node->col,
		         "more than %d anchors; write some of them out", YAML_ANCHORS_MAX);
		return ERR_CONFIG;
	}
	b->anchors[b->n_anchors++] = (struct anchor){ name, node };
	return ERR_OK;
}

static int add_node(struct builder *b, struct yaml_node *node)
{
	if (b->depth == 0) {
		b->root = node;
		return ERR_OK;
	}
	if (b->n_pending == b->cap_pending) {
		size_t cap = b->cap_pending ? b->cap_pending * 2 : 256;
		struct yaml_node **pending = realloc(b->pending, cap * sizeof(struct yaml_node *));

		if (!pending)
			return ERR_NOMEM;
		b->pending = pending;
		b->cap_pending = cap;
	}
	b->pending[b->n_pending++] = node;
	return ERR_OK;
}

static struct yaml_node *new_node(struct builder *b, enum yaml_kind kind)
{
	struct yaml_node *node = region_alloc(b->region, sizeof(*node));

	if (node)
		*node = (struct yaml_node){ .kind = kind, .line = b->line, .col = b->col };
	return node;
}

static int on_alias(struct builder *b, struct fy_event *event)
{
	size_t len;
	const char *name = token_text(b, event->alias.anchor, &len);

	if (!name)
		return ERR_NOMEM;
	for (size_t i = b->n_anchors; i-- > 0;) {
		if (strcmp(b->anchors[i].name, name) == 0)
			return add_node(b, b->anchors[i].node);
	}
	diag_add(b->diag, DIAG_ERROR, b->source->file, b->line, b->col,
	         "no anchor '%s' stands before this alias; write &%s in front of what is meant",
	         name, name);
	return ERR_CONFIG;
}

static int open_collection(struct builder *b, enum yaml_kind kind, struct fy_token *anchor,
                           struct fy_token *tag)
{
	struct yaml_node *node = new_node(b, kind);
	const char *name = NULL;
	size_t len;

	if (anchor)
		name = token_text(b, anchor, &len);
	if (!node || (anchor && !name))
		return ERR_NOMEM;
	if (tag || b->depth == YAML_DEPTH_MAX) {
		diag_add(b->diag, DIAG_ERROR, b->source->file, b->line, b->col, "%s",
		         tag ? "a tag has no meaning here; leave it out"
		             : "nested too deeply; a policy needs a few levels only");
		return ERR_CONFIG;
	}
	/* The anchor is known from its end on, so that no alias can lead into a circle. */
	b->open[b->depth].node = node;
	b->open[b->depth].anchor = name;
	b->open[b->depth].first = b->n_pending;
	b->depth++;
	return ERR_OK;
}

static int compare_keys(const void *pa, const void *pb)
{
	const struct yaml_node *a = *(struct yaml_node *const *)pa;
	const struct yaml_node *b = *(struct yaml_node *const *)pb;
	int r = memcmp(a->text, b->text, MIN(a->len, b->len));

	if (r == 0)
		r = (a->len > b->len) - (a->len < b->len);
	if (r == 0)
		r = (a->line > b->line) - (a->line < b->line);
	if (r == 0)
		r = (a->col > b->col) - (a->col < b->col);
	return r;
}

static int check_keys(struct builder *b, const struct yaml_node *map)
{
	CLEANUP(free) struct yaml_node **keys = malloc((map->n + 1) * sizeof(struct yaml_node *));
	size_t n = 0;

	if (!keys)
		return ERR_NOMEM;
	for (size_t i = 0; i < map->n; i++) {
		struct yaml_node *key = map->items[2 * i];

		if (key->kind == YAML_TEXT)
			keys[n++] = key;
		else
			diag_add(b->diag, DIAG_ERROR, b->source->file, key->line, key->col,
			         "a key is a list or a mapping; write a plain word");
	}
	qsort(keys, n, sizeof(struct yaml_node *), compare_keys);
	for (size_t i = 1; i < n; i++) {
		if (keys[i]->len == keys[i - 1]->len &&
		    memcmp(keys[i]->text, keys[i - 1]->text, keys[i]->len) == 0)
			diag_add(
			    b->diag, DIAG_ERROR, b->source->file, keys[i]->line, keys[i]->col,
			    "the key '%s' stands here twice, first in line %u; leave one of them "
			    "out",
			    keys[i]->text, keys[i - 1]->line);
	}
	return ERR_OK;
}

static int close_collection(struct builder *b)
{
	struct yaml_node *node = b->open[b->depth - 1].node;
	size_t first = b->open[b->depth - 1].first;
	size_t n = b->n_pending - first;
	int r;

	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): what is open has its node */
	node->items = region_alloc(b->region, (n + 1) * sizeof(struct yaml_node *));
	if (!node->items)
		return ERR_NOMEM;
	if (n)
		memcpy(node->items, b->pending + first, n * sizeof(struct yaml_node *));
	node->n = node->kind == YAML_MAP ? n / 2 : n;
	b->n_pending = first;
	b->depth--;
	if (node->kind == YAML_MAP) {
		r = check_keys(b, node);
		if (r < 0)
			return r;
	}
	r = remember_anchor(b, b->open[b->depth].anchor, node);
	if (r < 0)
		return r;
	return add_node(b, node);
}

static int on_scalar(struct builder *b, struct fy_event *event)
{
	struct yaml_node *node = new_node(b, YAML_TEXT);
	const char *anchor = NULL;
	size_t len;
	int r;

	if (!node)
		return ERR_NOMEM;
	node->text = token_text(b, event->scalar.value, &node->len);
	if (event->scalar.anchor)
		anchor = token_text(b, event->scalar.anchor, &len);
	if (!node->text || (event->scalar.anchor && !anchor))
		return ERR_NOMEM;
	if (event->scalar.tag) {
		diag_add(b->diag, DIAG_ERROR, b->source->file, b->line, b->col,
		         "a tag has no meaning here; leave it out");
		return ERR_CONFIG;
	}
	if (memchr(node->text, 0, node->len)) {
		diag_add(b->diag, DIAG_ERROR, b->source->file, b->line, b->col,
		         "a zero octet in a text; leave it out");
		return ERR_CONFIG;
	}
	r = remember_anchor(b, anchor, node);
	return r < 0 ? r : add_node(b, node);
}

static bool is_quoted(struct fy_token *token)
{
	enum fy_scalar_style style = token ? fy_token_scalar_style(token) : FYSS_PLAIN;

	return style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED;
}

static int on_event(struct builder *b, struct fy_event *event)
{
	const struct fy_mark *mark = fy_event_start_mark(event);

	if (mark && mark->line >= 0 && mark->column >= 0) {
		b->line = (unsigned int)mark->line + 1;
		b->col = (unsigned int)mark->column + 1;
	}
	/* The library's place of a quoted text or an alias is behind the quote or the star. */
	if (b->col > 1 && (event->type == FYET_ALIAS ||
	                   (event->type == FYET_SCALAR && is_quoted(event->scalar.value))))
		b->col--;
	switch (event->type) {
	case FYET_DOCUMENT_START:
		if (b->n_documents++ == 0)
			return ERR_OK;
		diag_add(b->diag, DIAG_ERROR, b->source->file, b->line, b->col,
		         "a second document begins here; a policy is one document");
		return ERR_CONFIG;
	case FYET_SCALAR:
		return on_scalar(b, event);
	case FYET_ALIAS:
		return on_alias(b, event);
	case FYET_MAPPING_START:
		return open_collection(b, YAML_MAP, event->mapping_start.anchor,
		                       event->mapping_start.tag);
	case FYET_SEQUENCE_START:
		return open_collection(b, YAML_LIST, event->sequence_start.anchor,
		                       event->sequence_start.tag);
	case FYET_MAPPING_END:
	case FYET_SEQUENCE_END:
		return close_collection(b);
	case FYET_NONE:
	case FYET_STREAM_START:
	case FYET_STREAM_END:
	case FYET_DOCUMENT_END:
		break;
	}
	return ERR_OK;
}

static void report_syntax(struct builder *b, struct fy_diag *fy_diag)
{
	const struct fy_diag_error *error;
	size_t n = 0;
	void *prev = NULL;

	while (n < 16 && (error = fy_diag_errors_iterate(fy_diag, &prev))) {
		size_t len = error->msg ? strcspn(error->msg, "\n") : 0;

		if (len == 0)
			continue;
		diag_add(b->diag, DIAG_ERROR, b->source->file,
		         error->line > 0 ? (unsigned int)error->line : b->line,
		         error->column > 0 ? (unsigned int)error->column : b->col,
		         "this is not YAML: %.*s; look at the indentation and quotes here",
		         (int)MIN(len, (size_t)200), error->msg);
		n++;
	}
	if (n == 0)
		diag_add(b->diag, DIAG_ERROR, b->source->file, b->line, b->col,
		         "this is not YAML; look at the indentation and quotes here");
}

int yaml_read(const struct policy_source *source, struct region *region,
              struct yaml_node **ret_root, struct diag *diag)
{
	const struct fy_diag_cfg diag_cfg = { .level = FYET_ERROR, .module_mask = ~0u };
	CLEANUP(free_builder) struct builder *b = calloc(1, sizeof(*b));
	CLEANUP(fy_diag_destroy) struct fy_diag *fy_diag = fy_diag_create(&diag_cfg);
	CLEANUP(fy_parser_destroy) struct fy_parser *parser = NULL;
	struct fy_parse_cfg cfg = {
		.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_DEFAULT_VERSION_1_2 |
		         FYPCF_DISABLE_MMAP_OPT,
		.diag = fy_diag,
	};
	struct fy_event *event;
	int r = ERR_OK;

	if (!b || !fy_diag)
		return ERR_NOMEM;
	if (document_check(source->file, source->text, source->len, diag) < 0)
		return ERR_CONFIG;
	fy_diag_set_collect_errors(fy_diag, true);
	*b = (struct builder){
		.source = source, .region = region, .diag = diag, .line = 1, .col = 1
	};
	parser = fy_parser_create(&cfg);
	if (!parser || fy_parser_set_string(parser, source->text, source->len) != 0)
		return ERR_NOMEM;
	while (r == ERR_OK && (event = fy_parser_parse(parser))) {
		r = on_event(b, event);
		fy_parser_event_free(parser, event);
	}
	if (r < 0)
		return r;
	if (fy_parser_get_stream_error(parser) || fy_diag_got_error(fy_diag)) {
		report_syntax(b, fy_diag);
		return ERR_CONFIG;
	}
	*ret_root = b->root;
	return ERR_OK;
}
