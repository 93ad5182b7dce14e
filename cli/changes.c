#include "changes.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

#include "sallyport/err.h"
#include "text.h"
#include "yaml.h"

/* In the order in which they are shown. */
static const char *const kinds[] = { "setting", "profile", "rule", "feed", "workload", "host" };
enum kind { KIND_SETTING, KIND_PROFILE, KIND_RULE, KIND_FEED, KIND_WORKLOAD, KIND_HOST };

struct entry {
	enum kind kind;
	char *subject;
	char *value;
};

struct entries {
	struct entry *items;
	size_t n, cap;
};

static void entries_fini(struct entries *entries)
{
	for (size_t i = 0; i < entries->n; i++) {
		free(entries->items[i].subject);
		free(entries->items[i].value);
	}
	free(entries->items);
}
static void entries_fini_cleanup(struct entries *entries)
{
	entries_fini(entries);
}

/* Consumes both texts, also on failure; NULL for either is "no memory". */
static int entries_give(struct entries *entries, enum kind kind, char *subject, char *value)
{
	if (subject && value && entries->n == entries->cap) {
		size_t cap = entries->cap ? entries->cap * 2 : 64;
		struct entry *items = realloc(entries->items, cap * sizeof(*items));

		if (items) {
			entries->items = items;
			entries->cap = cap;
		}
	}
	if (!subject || !value || entries->n == entries->cap) {
		free(subject);
		free(value);
		return ERR_NOMEM;
	}
	entries->items[entries->n++] = (struct entry){ kind, subject, value };
	return ERR_OK;
}

/* One canonical line of YAML: flow style, keys sorted. */
static char *node_text(struct fy_node *node)
{
	char *text;
	size_t len;

	if (!node)
		return strdup("");
	text = fy_emit_node_to_string(node, FYECF_MODE_FLOW_ONELINE | FYECF_SORT_KEYS |
	                                        FYECF_WIDTH_INF | FYECF_STRIP_LABELS);
	if (!text)
		return NULL;
	for (len = strlen(text); len > 0 && isspace((unsigned char)text[len - 1]); len--)
		text[len - 1] = '\0';
	return text;
}

/* A scalar's text, lower case and without a final dot for names: patterns are compared as RFC 4343
 * says. "?" for what is no scalar. */
static char *scalar_text(struct fy_node *node)
{
	size_t len = 0;
	const char *data = node ? fy_node_get_scalar(node, &len) : NULL;

	return data ? strndup(data, len) : strdup("?");
}

static void fold_name(char *name)
{
	size_t len = name ? strlen(name) : 0;

	for (size_t i = 0; i < len; i++) {
		if (name[i] >= 'A' && name[i] <= 'Z')
			name[i] = (char)(name[i] - 'A' + 'a');
	}
	if (len > 1 && name[len - 1] == '.' && name[len - 2] != '\\')
		name[len - 1] = '\0';
}

static struct fy_node *lookup(struct fy_node *mapping, const char *key)
{
	return fy_node_is_mapping(mapping) ? fy_node_mapping_lookup_by_string(mapping, key, FY_NT)
	                                   : NULL;
}

static int add_rules(struct entries *entries, const char *profile, const char *verb,
                     struct fy_node *rules)
{
	struct fy_node *rule;
	void *at = NULL;

	while ((rule = fy_node_sequence_iterate(rules, &at))) {
		struct fy_node *zone = lookup(rule, "zone");
		struct fy_node *name = zone ? zone : lookup(rule, "name");
		CLEANUP(free) char *pattern = scalar_text(name ? name : rule);
		int r;

		fold_name(pattern);
		r = entries_give(entries, KIND_RULE,
		                 pattern ? text_format("%s: %s %s%s", profile, verb,
		                                       zone ? "zone " : "", pattern)
		                         : NULL,
		                 node_text(rule));
		if (r < 0)
			return r;
	}
	return ERR_OK;
}

static int add_profile(struct entries *entries, const char *profile, struct fy_node *body)
{
	struct fy_node_pair *pair;
	void *at = NULL;
	int r = entries_give(entries, KIND_PROFILE, strdup(profile), strdup(""));

	while (r == 0 && fy_node_is_mapping(body) && (pair = fy_node_mapping_iterate(body, &at))) {
		CLEANUP(free) char *key = scalar_text(fy_node_pair_key(pair));
		struct fy_node *value = fy_node_pair_value(pair);

		if (!key)
			return ERR_NOMEM;
		if ((strcmp(key, "allow") == 0 || strcmp(key, "deny") == 0) &&
		    fy_node_is_sequence(value))
			r = add_rules(entries, profile, key, value);
		else
			r = entries_give(entries, KIND_PROFILE, text_format("%s: %s", profile, key),
			                 node_text(value));
	}
	return r;
}

static int add_hosts(struct entries *entries, struct fy_node *hosts)
{
	struct fy_node *host;
	void *at = NULL;
	int r = ERR_OK;

	while (r == 0 && (host = fy_node_sequence_iterate(hosts, &at))) {
		CLEANUP(free) char *name = scalar_text(lookup(host, "name"));
		CLEANUP(free) char *address = node_text(lookup(host, "address"));

		fold_name(name);
		r = entries_give(entries, KIND_HOST,
		                 name && address ? text_format("%s %s", name, address) : NULL,
		                 node_text(host));
	}
	return r;
}

/* Entries of a mapping of names to bodies. */
static int add_named(struct entries *entries, enum kind kind, struct fy_node *mapping)
{
	struct fy_node_pair *pair;
	void *at = NULL;
	int r = ERR_OK;

	while (r == 0 && (pair = fy_node_mapping_iterate(mapping, &at))) {
		CLEANUP(free) char *name = scalar_text(fy_node_pair_key(pair));
		struct fy_node *body = fy_node_pair_value(pair);

		if (!name)
			return ERR_NOMEM;
		if (kind == KIND_PROFILE)
			r = add_profile(entries, name, body);
		else
			r = entries_give(entries, kind, TAKE(name), node_text(body));
	}
	return r;
}

static int add_section(struct entries *entries, struct fy_node_pair *pair)
{
	static const struct {
		const char *key;
		enum kind kind;
	} sections[] = { { "profiles", KIND_PROFILE },
		         { "feeds", KIND_FEED },
		         { "workloads", KIND_WORKLOAD } };
	CLEANUP(free) char *key = scalar_text(fy_node_pair_key(pair));
	struct fy_node *value = fy_node_pair_value(pair);

	if (!key)
		return ERR_NOMEM;
	for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
		if (strcmp(key, sections[i].key) == 0 && fy_node_is_mapping(value))
			return add_named(entries, sections[i].kind, value);
	}
	if (strcmp(key, "hosts") == 0 && fy_node_is_sequence(value))
		return add_hosts(entries, value);
	return entries_give(entries, KIND_SETTING, TAKE(key), node_text(value));
}

static int compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int r = (int)x->kind - (int)y->kind;

	if (r == 0)
		r = strcmp(x->subject, y->subject);
	return r != 0 ? r : strcmp(x->value, y->value);
}

static int entries_read(const char *text, size_t len, struct entries *entries)
{
	CLEANUP(fy_document_destroy) struct fy_document *doc = NULL;
	struct fy_node_pair *pair;
	struct fy_node *root;
	void *at = NULL;
	int r = ERR_OK;

	if (len == 0)
		return ERR_OK;
	doc = yaml_parse(text, len);
	root = doc ? fy_document_root(doc) : NULL;
	if (!root || !fy_node_is_mapping(root))
		return ERR_MALFORMED;
	while (r == 0 && (pair = fy_node_mapping_iterate(root, &at)))
		r = add_section(entries, pair);
	if (r == 0 && entries->n > 0)
		qsort(entries->items, entries->n, sizeof(*entries->items), compare_entries);
	return r;
}

const char *change_what_str(enum change_what what)
{
	switch (what) {
	case CHANGE_ADDED:
		return "added";
	case CHANGE_REMOVED:
		return "removed";
	case CHANGE_CHANGED:
		return "changed";
	}
	return "?";
}

void changes_fini(struct changes *changes)
{
	for (size_t i = 0; i < changes->n; i++) {
		free(changes->items[i].subject);
		free(changes->items[i].before);
		free(changes->items[i].after);
	}
	free(changes->items);
	changes->items = NULL;
	changes->n = 0;
}

static void take_change(struct changes *changes, struct entry *old, struct entry *new)
{
	struct change *change = &changes->items[changes->n++];

	assert(old || new);
	change->what = !old ? CHANGE_ADDED : !new ? CHANGE_REMOVED : CHANGE_CHANGED;
	change->kind = kinds[old ? old->kind : new->kind];
	change->subject = old ? TAKE(old->subject) : TAKE(new->subject);
	change->before = old ? TAKE(old->value) : NULL;
	change->after = new ? TAKE(new->value) : NULL;
}

/* Both are sorted; an entry keeps its texts unless it goes into @changes. */
static void merge(struct entries *old, struct entries *new, struct changes *changes)
{
	size_t o = 0, n = 0;

	while (o < old->n || n < new->n) {
		struct entry *a = o < old->n ? &old->items[o] : NULL;
		struct entry *b = n < new->n ? &new->items[n] : NULL;
		int order = !a ? 1 : !b ? -1 : (int)a->kind - (int)b->kind;

		if (order == 0)
			order = strcmp(a->subject, b->subject);
		o += order <= 0;
		n += order >= 0;
		if (order < 0)
			take_change(changes, a, NULL);
		else if (order > 0)
			take_change(changes, NULL, b);
		else if (strcmp(a->value, b->value) != 0)
			take_change(changes, a, b);
	}
}

int changes_find(const char *old, size_t old_len, const char *new, size_t new_len,
                 struct changes *ret_changes)
{
	CLEANUP(entries_fini) struct entries before = { 0 };
	CLEANUP(entries_fini) struct entries after = { 0 };
	struct changes changes = { 0 };
	int r;

	r = entries_read(old, old_len, &before);
	if (r < 0)
		return r;
	r = entries_read(new, new_len, &after);
	if (r < 0)
		return r;
	changes.items = calloc(before.n + after.n + 1, sizeof(*changes.items));
	if (!changes.items)
		return ERR_NOMEM;
	merge(&before, &after, &changes);
	*ret_changes = changes;
	return ERR_OK;
}
