/* keeper/config_read.c - reading a mapping by a table of keys. */
#include "config_read.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sallyport/clock.h"
#include "sallyport/err.h"

#define PATH_LEN 128
#define KEYS_MAX 32 /* of one mapping */

int config_parse_size(const char *text, uint64_t *ret_bytes)
{
	static const struct {
		const char *unit;
		unsigned int shift;
	} units[] = { { "", 0 },     { "B", 0 },    { "KiB", 10 },
		      { "MiB", 20 }, { "GiB", 30 }, { "TiB", 40 } };
	uint64_t value = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9' && p - text < 16; p++)
		value = value * 10 + (uint64_t)(*p - '0');
	if (p == text)
		return ERR_INVAL;
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (strcmp(p, units[i].unit) != 0)
			continue;
		if (value > UINT64_MAX >> units[i].shift)
			return ERR_INVAL;
		*ret_bytes = value << units[i].shift;
		return ERR_OK;
	}
	return ERR_INVAL;
}

static void duration_text(uint64_t ms, char out[static 32])
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = {
		{ "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 }
	};

	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (ms % units[i].ms == 0 && ms) {
			snprintf(out, 32, "%" PRIu64 "%s", ms / units[i].ms, units[i].unit);
			return;
		}
	}
	snprintf(out, 32, "0s");
}

static void size_text(uint64_t bytes, char out[static 32])
{
	static const char *const units[] = { "", "KiB", "MiB", "GiB", "TiB" };
	size_t i = 0;

	while (i + 1 < ARRAY_LEN(units) && bytes && bytes % 1024 == 0) {
		bytes /= 1024;
		i++;
	}
	snprintf(out, 32, "%" PRIu64 "%s", bytes, units[i]);
}

static void store_u32(void *base, size_t offset, uint64_t value)
{
	uint32_t v = (uint32_t)value;

	memcpy((uint8_t *)base + offset, &v, sizeof(v));
}

static void read_duration(struct config_reader *r, const struct key *key, struct fy_node *node,
                          const char *path, const char *text, void *base)
{
	uint64_t unit = key->kind == KEY_DURATION_S ? 1000 : 1, ms;
	char min[32], max[32];
	int err;

	duration_text(key->min * unit, min);
	duration_text(key->max * unit, max);
	if ((key->flags & KEY_OFF) && strcmp(text, "off") == 0) {
		store_u32(base, key->offset, 0);
		return;
	}
	err = clock_parse_duration(text, &ms);
	if (err == ERR_INVAL)
		yaml_fault(&r->yaml, node,
		           "%s: \"%s\" is not a duration; write a number with ms, "
		           "s, m, h, d or w, as in %s",
		           path, text, max);
	else if (err < 0 || ms < key->min * unit || ms > key->max * unit)
		yaml_fault(&r->yaml, node, "%s: %s is out of range; use %s to %s%s", path, text,
		           min, max, key->flags & KEY_OFF ? ", or off" : "");
	else if (ms % unit)
		yaml_fault(&r->yaml, node, "%s: %s is not whole seconds; use s, m, h, d or w", path,
		           text);
	else
		store_u32(base, key->offset, ms / unit);
}

static void read_size(struct config_reader *r, const struct key *key, struct fy_node *node,
                      const char *path, const char *text, void *base)
{
	char min[32], max[32];
	uint64_t bytes;

	size_text(key->min, min);
	size_text(key->max, max);
	if (config_parse_size(text, &bytes) < 0) {
		yaml_fault(
		    &r->yaml, node,
		    "%s: \"%s\" is not a size; write a number with KiB, MiB or GiB, as in 64MiB",
		    path, text);
		return;
	}
	if (bytes < key->min || bytes > key->max) {
		yaml_fault(&r->yaml, node, "%s: %s is out of range; use %s to %s", path, text, min,
		           max);
		return;
	}
	memcpy((uint8_t *)base + key->offset, &bytes, sizeof(bytes));
}

static void read_count(struct config_reader *r, const struct key *key, struct fy_node *node,
                       const char *path, const char *text, void *base)
{
	uint64_t value = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9' && p - text < 12; p++)
		value = value * 10 + (uint64_t)(*p - '0');
	if (p == text || *p || value < key->min || value > key->max) {
		yaml_fault(&r->yaml, node,
		           "%s: \"%s\" is out of range; use a whole number from %" PRIu64
		           " to %" PRIu64,
		           path, text, key->min, key->max);
		return;
	}
	store_u32(base, key->offset, value);
}

static void read_word(struct config_reader *r, const struct key *key, struct fy_node *node,
                      const char *path, const char *text, void *base)
{
	char list[256] = "";
	size_t n = 0;

	for (uint32_t i = 0; key->words[i]; i++) {
		bool later = key->words[i][0] == '!';
		const char *word = key->words[i] + later;

		if (strcmp(word, text) == 0) {
			if (later)
				yaml_fault(&r->yaml, node, "%s: %s is not built in yet; use %s",
				           path, word, key->words[0]);
			else
				store_u32(base, key->offset, i);
			return;
		}
		if (!later && n < sizeof(list))
			n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", n ? ", " : "",
			                      word);
	}
	yaml_fault(&r->yaml, node, "%s: \"%s\" is not known here; use %s", path, text, list);
}

static void read_path(struct config_reader *r, const struct key *key, struct fy_node *node,
                      const char *path, const char *text, void *base)
{
	size_t len = strlen(text);

	if (text[0] != '/' || strstr(text, "/../") || strstr(text, "//")) {
		yaml_fault(&r->yaml, node,
		           "%s: \"%s\" is not an absolute path; write it from / on, without ..",
		           path, text);
		return;
	}
	if (len >= key->max) {
		yaml_fault(&r->yaml, node, "%s: longer than %" PRIu64 " octets; use a shorter path",
		           path, key->max - 1);
		return;
	}
	memcpy((uint8_t *)base + key->offset, text, len + 1);
}

void config_read_scalar(struct config_reader *r, const struct key *key, struct fy_node *node,
                        const char *path, const char *text, void *base)
{
	switch (key->kind) {
	case KEY_DURATION_S:
	case KEY_DURATION_MS:
		read_duration(r, key, node, path, text, base);
		break;
	case KEY_SIZE:
		read_size(r, key, node, path, text, base);
		break;
	case KEY_COUNT:
		read_count(r, key, node, path, text, base);
		break;
	case KEY_WORD:
		read_word(r, key, node, path, text, base);
		break;
	case KEY_PATH:
		read_path(r, key, node, path, text, base);
		break;
	case KEY_MAP:
	case KEY_LIST:
	case KEY_VALUES:
	case KEY_OWN:
	case KEY_LATER:
		break; /* read above */
	}
}

static void read_list(struct config_reader *r, const struct key *key, struct fy_node *parent,
                      struct fy_node *node, const char *path)
{
	struct fy_node *item;
	void *iter = NULL;
	size_t n = 0;

	if (!yaml_is_sequence(node)) {
		yaml_fault(&r->yaml, parent, "%s is not a list; write [ ... ] or one \"- \" a line",
		           path);
		return;
	}
	while ((item = yaml_next_item(node, &iter))) {
		if (n++ == key->limit) {
			yaml_fault(&r->yaml, item, "%s has more than %zu entries; leave some out",
			           path, key->limit);
			return;
		}
		if (key->kind == KEY_LIST && !yaml_is_mapping(item))
			yaml_fault(&r->yaml, item,
			           "an entry of %s is not a mapping; write {key: value, ...}",
			           path);
		else
			key->own(r, parent, item);
	}
	if (n == 0 && (key->flags & KEY_REQUIRED))
		yaml_fault(&r->yaml, parent, "%s is empty; name at least one", path);
}

static void read_value(struct config_reader *r, const struct key *key, struct fy_node *parent,
                       struct fy_node *node, const char *path, void *base)
{
	char text[YAML_SCALAR_MAX];

	switch (key->kind) {
	case KEY_MAP:
		config_read_mapping(r, parent, node, path, key->keys, base);
		return;
	case KEY_LIST:
	case KEY_VALUES:
		read_list(r, key, parent, node, path);
		return;
	case KEY_OWN:
		key->own(r, parent, node);
		return;
	case KEY_LATER:
		yaml_fault(&r->yaml, parent, "%s is not built in yet; remove it", path);
		return;
	case KEY_DURATION_S:
	case KEY_DURATION_MS:
	case KEY_SIZE:
	case KEY_COUNT:
	case KEY_WORD:
	case KEY_PATH:
		break;
	}
	if (!node || yaml_is_mapping(node) || yaml_is_sequence(node)) {
		yaml_fault(&r->yaml, parent, "%s is not a single value; write one", path);
		return;
	}
	if (yaml_scalar(&r->yaml, node, path, text))
		config_read_scalar(r, key, node, path, text, base);
}

static void unknown_key(struct config_reader *r, struct fy_node *node, const char *path,
                        const char *name, const struct key *keys)
{
	const char *names[KEYS_MAX + 1];
	size_t n = 0;
	const char *nearest;

	for (; keys[n].name && n < KEYS_MAX; n++)
		names[n] = keys[n].name;
	names[n] = NULL;
	nearest = diag_nearest(name, names);
	if (nearest)
		yaml_fault(&r->yaml, node, "unknown key \"%s\"%s%s; did you mean \"%s\"?", name,
		           *path ? " in " : "", path, nearest);
	else
		yaml_fault(&r->yaml, node, "unknown key \"%s\"%s%s; remove it", name,
		           *path ? " in " : "", path);
}

void config_read_mapping(struct config_reader *r, struct fy_node *parent, struct fy_node *node,
                         const char *path, const struct key *keys, void *base)
{
	struct fy_node *key, *value;
	bool seen[KEYS_MAX] = { false };
	void *iter = NULL;

	if (!yaml_is_mapping(node)) {
		yaml_fault(&r->yaml, parent, "%s is not a mapping of keys; write key: value lines",
		           *path ? path : "the configuration");
		return;
	}
	while (yaml_next_pair(node, &iter, &key, &value)) {
		char name[YAML_SCALAR_MAX], full[PATH_LEN];
		size_t i = 0;

		if (!yaml_scalar(&r->yaml, key, "a key", name))
			continue;
		while (keys[i].name && strcmp(keys[i].name, name) != 0)
			i++;
		if (!keys[i].name) {
			unknown_key(r, key, path, name, keys);
			continue;
		}
		snprintf(full, sizeof(full), "%s%s%s", path, *path ? "." : "", keys[i].name);
		seen[i] = true;
		read_value(r, &keys[i], key, value, full, base);
	}
	for (size_t i = 0; keys[i].name; i++) {
		if ((keys[i].flags & KEY_REQUIRED) && !seen[i])
			yaml_fault(&r->yaml, parent ? parent : node, "%s%s%s is missing; add it",
			           path, *path ? "." : "", keys[i].name);
	}
}

static void each_key(const struct key *keys, const char *path, config_key_cb *cb, void *arg)
{
	for (; keys->name; keys++) {
		char full[PATH_LEN];

		snprintf(full, sizeof(full), "%s%s%s%s", path, *path ? "." : "", keys->name,
		         keys->kind == KEY_LIST ? "[]" : "");
		cb(full, arg);
		if (keys->keys)
			each_key(keys->keys, full, cb, arg);
	}
}

void config_each_key(config_key_cb *cb, void *arg)
{
	each_key(config_keys, "", cb, arg);
}
