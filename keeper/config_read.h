/* keeper/config_read.h - the table form of a configuration's keys, private to config*.c.
 *
 * Add a key: a row in config_keys.c, a field in config.h, a paragraph in docs/configuration.md and
 * a wrong value in tests/unit/keeper/config.c.
 */
#pragma once

#include "config.h"
#include "yaml.h"

struct config_reader {
	struct yaml yaml;
	struct config *config;
	const struct config_names *names;
};

enum key_kind {
	KEY_MAP,         /* a mapping with @keys */
	KEY_LIST,        /* a sequence of mappings with @keys; @item reads each */
	KEY_VALUES,      /* a sequence of scalars, each read by @value */
	KEY_DURATION_S,  /* uint32_t, seconds; min and max are seconds */
	KEY_DURATION_MS, /* uint32_t; min and max are milliseconds */
	KEY_SIZE,        /* uint64_t octets */
	KEY_COUNT,       /* uint32_t */
	KEY_WORD,  /* one of @words, stored as its index, uint32_t; "!word" is not built in yet */
	KEY_PATH,  /* char[CONFIG_PATH_MAX], absolute */
	KEY_OWN,   /* whatever @own reads */
	KEY_LATER, /* not built in yet */
};
enum key_flag {
	KEY_REQUIRED = 1,
	KEY_OFF = 2, /* the word "off" is 0 */
};

struct key {
	const char *name;
	enum key_kind kind;
	unsigned int flags;
	size_t offset; /* in struct config, or in the item of a list */
	uint64_t min, max;
	const char *const *words;
	const struct key *keys;
	/* KEY_LIST: reads one item; KEY_VALUES: one scalar; KEY_OWN: the whole value. */
	void (*own)(struct config_reader *reader, struct fy_node *key, struct fy_node *value);
	size_t limit; /* KEY_LIST, KEY_VALUES: most items */
};

/* Read the mapping @node by the table @keys (ends with a NULL name) into @base. @parent is the
 * key's node, for the place of faults; @path is shown in them. */
void config_read_mapping(struct config_reader *reader, struct fy_node *parent, struct fy_node *node,
                         const char *path, const struct key *keys, void *base);

/* One scalar that was read already; for keys that take a word or a number. */
void config_read_scalar(struct config_reader *reader, const struct key *key, struct fy_node *node,
                        const char *path, const char *text, void *base);

extern const struct key config_keys[];
