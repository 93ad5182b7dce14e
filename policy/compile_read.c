/* policy/compile_read.c - values out of the tree. */
#include "compile_read.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sallyport/clock.h"
#include "sallyport/err.h"

#define KEYS_MAX 32

void fault(struct doc_reader *r, const struct yaml_node *at, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	diag_add(r->diag, DIAG_ERROR, r->file, at->line, at->col, "%s", text);
}

static void unknown_key(struct doc_reader *r, const struct yaml_node *key,
                        const struct doc_key *keys, size_t n_keys, const char *what)
{
	const char *words[KEYS_MAX + 1] = { NULL };
	char all[512] = "";
	size_t len = 0, n = 0;
	const char *nearest;

	for (size_t i = 0; i < n_keys && n < KEYS_MAX; i++) {
		int put;

		if (keys[i].status == KEY_LATER)
			continue;
		words[n] = keys[i].name;
		put = snprintf(all + len, sizeof(all) - len, "%s%s", n ? ", " : "", keys[i].name);
		if (put > 0 && (size_t)put < sizeof(all) - len)
			len += (size_t)put;
		n++;
	}
	nearest = diag_nearest(key->text, words);
	if (nearest)
		fault(r, key, "a %s has no key '%.100s'; '%s' is the nearest", what, key->text,
		      nearest);
	else
		fault(r, key, "a %s has no key '%.100s'; it has %s", what, key->text, all);
}

void read_keys(struct doc_reader *r, const struct yaml_node *node, const struct doc_key *keys,
               size_t n_keys, void *target, const char *what)
{
	bool seen[KEYS_MAX] = { false };

	if (node->kind != YAML_MAP) {
		fault(r, node, "a %s is a mapping; write %s: ... here", what, keys[0].name);
		return;
	}
	for (size_t i = 0; i < node->n && r->err == ERR_OK; i++) {
		const struct yaml_node *key = node->items[2 * i];
		size_t k = 0;

		if (key->kind != YAML_TEXT)
			continue; /* the tree's reader has said so */
		while (k < n_keys && strcmp(keys[k].name, key->text) != 0)
			k++;
		if (k == n_keys) {
			unknown_key(r, key, keys, n_keys, what);
			continue;
		}
		if (keys[k].status == KEY_LATER) {
			fault(r, key, "'%s' is not built in yet; leave it out", key->text);
			continue;
		}
		if (seen[k])
			continue; /* a doubled key: the first one counts */
		seen[k] = true;
		keys[k].read(r, target, node->items[2 * i + 1]);
	}
	for (size_t k = 0; k < n_keys; k++) {
		if (keys[k].status == KEY_NEEDED && !seen[k])
			fault(r, node, "this %s has no '%s'; add it", what, keys[k].name);
	}
}

const char *read_text(struct doc_reader *r, const struct yaml_node *node, size_t max)
{
	if (node->kind != YAML_TEXT) {
		fault(r, node, "a %s stands where a text belongs; write one text",
		      node->kind == YAML_LIST ? "list" : "mapping");
		return NULL;
	}
	if (node->len > max) {
		fault(r, node, "%zu octets are too long; at most %zu", node->len, max);
		return NULL;
	}
	for (size_t i = 0; i < node->len; i++) {
		unsigned char c = (unsigned char)node->text[i];

		if (c < 0x20 || c == 0x7f) {
			fault(r, node, "a control character in a text; leave it out");
			return NULL;
		}
	}
	return node->text;
}

const char *read_label(struct doc_reader *r, const struct yaml_node *node, const char *what)
{
	bool good = node->kind == YAML_TEXT && node->len >= 1 && node->len <= LIMIT_WORKLOAD_NAME;

	for (size_t i = 0; good && i < node->len; i++) {
		char c = node->text[i];

		good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		       c == '-' || c == '_' || c == '.';
	}
	if (good)
		return node->text;
	fault(r, node, "a %s's name is 1 to %d letters, digits, '-', '_' and '.'; choose another",
	      what, LIMIT_WORKLOAD_NAME);
	return "?";
}

int read_word(struct doc_reader *r, const struct yaml_node *node, const char *const *words)
{
	char all[256] = "";
	size_t len = 0;

	for (int i = 0; node->kind == YAML_TEXT && words[i]; i++) {
		if (strcmp(words[i], node->text) == 0)
			return i;
	}
	for (int i = 0; words[i]; i++) {
		int put = snprintf(all + len, sizeof(all) - len, "%s%s", i ? ", " : "", words[i]);

		if (put > 0 && (size_t)put < sizeof(all) - len)
			len += (size_t)put;
	}
	fault(r, node, "'%.100s' is not known here; write one of %s",
	      node->kind == YAML_TEXT ? node->text : "(not a text)", all);
	return -1;
}

bool read_bool(struct doc_reader *r, const struct yaml_node *node)
{
	static const char *const words[] = { "false", "true", NULL };

	return read_word(r, node, words) == 1;
}

uint32_t read_duration_s(struct doc_reader *r, const struct yaml_node *node)
{
	const uint64_t most_ms = UINT64_C(30) * 86400 * 1000;
	const char *text = read_text(r, node, 32);
	uint64_t ms;

	if (!text)
		return 0;
	if (clock_parse_duration(text, &ms) < 0) {
		fault(r, node, "'%s' is no duration; write 30s, 5m, 2h or 1d", text);
		return 0;
	}
	if (ms == 0 || ms > most_ms || ms % 1000) {
		fault(r, node, "'%s' is out of range; write whole seconds, 1s to 30d", text);
		return 0;
	}
	return (uint32_t)(ms / 1000);
}

uint32_t read_number(struct doc_reader *r, const struct yaml_node *node, uint32_t min, uint32_t max)
{
	const char *text = read_text(r, node, 32);
	uint64_t value = 0;
	size_t n;

	if (!text)
		return 0;
	n = strspn(text, "0123456789");
	for (size_t i = 0; i < n && value <= UINT32_MAX; i++)
		value = value * 10 + (uint64_t)(text[i] - '0');
	if (n == 0 || text[n] || value < min || value > max) {
		fault(r, node, "'%s' is out of range; write a number from %u to %u", text, min,
		      max);
		return 0;
	}
	return (uint32_t)value;
}

struct doc_ref *read_refs(struct doc_reader *r, const struct yaml_node *node, const char *what,
                          size_t *ret_n)
{
	size_t n = node->kind == YAML_LIST ? node->n : 1;
	struct doc_ref *refs = region_alloc(&r->doc->region, (n + 1) * sizeof(*refs));
	size_t kept = 0;

	*ret_n = 0;
	if (!refs) {
		r->err = ERR_NOMEM;
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		const struct yaml_node *item = node->kind == YAML_LIST ? node->items[i] : node;

		if (item->kind != YAML_TEXT || item->len == 0) {
			fault(r, item, "the name of a %s is missing here; write [NAME, ...]", what);
			continue;
		}
		refs[kept++] = (struct doc_ref){ .name = item->text,
			                         .place = { item->line, item->col },
			                         .id = POLICY_NONE };
	}
	*ret_n = kept;
	return refs;
}

static bool stands_before(const struct diag_item *a, const struct diag_item *b, const char *file)
{
	bool a_here = strcmp(a->file, file) == 0, b_here = strcmp(b->file, file) == 0;

	if (a_here != b_here)
		return a_here;
	if (!a_here)
		return false; /* other files keep their order */
	if (a->line != b->line)
		return a->line < b->line;
	return a->col < b->col;
}

/* At most LIMIT_DIAG_ITEMS, nearly in order: sorting by insertion keeps equals as they are. */
void policy_sort_faults(struct diag *diag, size_t from, const char *file)
{
	for (size_t i = from + 1; i < diag->n_items; i++) {
		struct diag_item item = diag->items[i];
		size_t at = i;

		for (; at > from && stands_before(&item, &diag->items[at - 1], file); at--)
			diag->items[at] = diag->items[at - 1];
		diag->items[at] = item;
	}
}
