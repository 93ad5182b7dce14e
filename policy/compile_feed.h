/* policy/compile_feed.h - the names of all feeds, in one table.
 *
 *   domains   a name a line: it and all below (zone). "*.name": all below only
 *   hosts     an address and names a line: each name exactly
 *   rpz       a response policy zone in presentation format: "name" exactly, "*.name" all below;
 *             rpz-passthru excepts a name within its own feed, every other action blocks
 *
 * Lists from outside are never quite clean: a line that cannot be read is a warning, and a feed
 * most of whose lines cannot be read is a fault (probably another format).
 *
 * The table is built in the image's own form: names follow each other in FEED_NAMES with the number
 * of their combination; an index of 5 octets a slot stands beside it.
 */
#pragma once

#include "compile_doc.h"
#include "format.h"

struct feed_table {
	uint64_t seed;  /* of the index while building */
	uint8_t *names; /* FEED_NAMES */
	size_t names_len, names_cap;
	uint32_t *slots; /* offset + 1 */
	uint8_t *tags;
	size_t n_slots, n_names;
	struct img_combination *combinations;
	size_t n_combinations, cap_combinations;
	struct { /* the last changes of combination, for most names make one of a few */
		uint16_t from, to;
		uint8_t feed, act;
		bool used;
	} memo[64];
	uint32_t labels_min, labels_max;
	uint64_t per_feed[LIMIT_FEEDS];
};

/* @seed: anything that whoever writes a feed cannot foresee. */
void feed_table_init(struct feed_table *table, uint64_t seed);
void feed_table_fini(struct feed_table *table);
static inline void feed_table_fini_cleanup(struct feed_table *table)
{
	feed_table_fini(table);
}

enum feed_act { /* what one entry of a feed says */
	        FEED_BLOCK_EXACT,
	        FEED_BLOCK_BELOW,
	        FEED_PASS_EXACT,
	        FEED_PASS_BELOW,
};
/* @name: wire, lower case, padded. Returns 0, ERR_NOMEM or ERR_LIMIT. */
int feed_table_add(struct feed_table *table, uint32_t feed, const uint8_t *name, size_t len,
                   enum feed_act act) MUST_CHECK;

/* Read one feed's text into the table. Returns 0, ERR_CONFIG, ERR_LIMIT or ERR_NOMEM. */
int feed_read(struct feed_table *table, uint32_t feed, enum feed_format format,
              const struct policy_source *source, struct diag *diag) MUST_CHECK;

/* Make the index anew in its final size with @seed. Returns 0, ERR_NOMEM, or ERR_AGAIN when a
 * lookup would need more than IMG_PROBES_MAX probes: try another seed. */
int feed_table_finish(struct feed_table *table, uint64_t seed) MUST_CHECK;
