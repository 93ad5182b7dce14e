/* policy/compile_feed.c - the table of all feeds' names. */
#include "compile_feed.h"

#include <stdlib.h>
#include <string.h>

#include "sallyport/err.h"

void feed_table_init(struct feed_table *table, uint64_t seed)
{
	*table = (struct feed_table){ .seed = seed, .labels_min = NAME_MAX_LABELS };
}

void feed_table_fini(struct feed_table *table)
{
	free(table->names);
	free(table->slots);
	free(table->tags);
	free(table->combinations);
	feed_table_init(table, 0);
}

/* @name must be readable 8 octets past its end. */
static uint64_t hash_name(uint64_t seed, const uint8_t *name)
{
	uint8_t at[NAME_MAX_LABELS];
	unsigned int n = 0, pos = 0;

	while (name[pos] != 0 && n < NAME_MAX_LABELS) {
		at[n++] = (uint8_t)pos;
		pos += 1u + name[pos];
	}
	while (n > 0)
		seed = img_hash_label(seed, name + at[--n]);
	return seed;
}

/* Put what is at @offset into its slot. Returns the number of probes. */
static size_t place(uint32_t *slots, uint8_t *tags, size_t n_slots, uint64_t hash, uint32_t offset)
{
	uint64_t slot = img_slot(hash, n_slots);
	size_t probes = 1;

	while (slots[slot] != 0) {
		probes++;
		if (++slot == n_slots)
			slot = 0;
	}
	slots[slot] = offset + 1;
	tags[slot] = img_tag(hash);
	return probes;
}

/* A new index of @n_slots slots for all names. */
static int rebuild(struct feed_table *table, size_t n_slots, uint64_t seed, size_t *ret_probes)
{
	CLEANUP(free) uint32_t *slots = calloc(n_slots, sizeof(*slots));
	CLEANUP(free) uint8_t *tags = calloc(n_slots, 1);
	size_t most = 0;

	if (!slots || !tags)
		return ERR_NOMEM;
	for (size_t at = 0; at < table->names_len;) {
		const uint8_t *name = table->names + at + 2;
		int len = name_wire_len(name, table->names_len - at - 2);
		size_t probes;

		if (len < 0)
			return ERR_DAMAGED; /* only a mistake of ours */
		probes = place(slots, tags, n_slots, hash_name(seed, name), (uint32_t)at);
		most = MAX(most, probes);
		at += 2 + (size_t)len;
	}
	free(table->slots);
	free(table->tags);
	table->slots = TAKE(slots);
	table->tags = TAKE(tags);
	table->n_slots = n_slots;
	table->seed = seed;
	*ret_probes = most;
	return ERR_OK;
}

/* The number of @combination with one more bit set. */
static int change_combination(struct feed_table *table, uint16_t from, uint32_t feed,
                              enum feed_act act, uint16_t *ret_to)
{
	size_t m = ((size_t)from * 31 + feed * 4 + (size_t)act) % ARRAY_LEN(table->memo);
	struct img_combination next = table->combinations[from];
	uint64_t bit = UINT64_C(1) << feed;
	size_t to;

	if (table->memo[m].used && table->memo[m].from == from && table->memo[m].feed == feed &&
	    table->memo[m].act == act) {
		*ret_to = table->memo[m].to;
		return ERR_OK;
	}
	switch (act) {
	case FEED_BLOCK_EXACT:
		next.block_exact |= bit;
		break;
	case FEED_BLOCK_BELOW:
		next.block_below |= bit;
		break;
	case FEED_PASS_EXACT:
		next.pass_exact |= bit;
		break;
	case FEED_PASS_BELOW:
		next.pass_below |= bit;
		break;
	}
	for (to = 0; to < table->n_combinations; to++) {
		if (memcmp(&table->combinations[to], &next, sizeof(next)) == 0)
			break;
	}
	if (to == table->n_combinations) {
		if (to > UINT16_MAX)
			return ERR_LIMIT;
		if (to == table->cap_combinations) {
			size_t cap = MAX(table->cap_combinations * 2, (size_t)16);
			struct img_combination *more =
			    realloc(table->combinations, cap * sizeof(*more));

			if (!more)
				return ERR_NOMEM;
			table->combinations = more;
			table->cap_combinations = cap;
		}
		table->combinations[table->n_combinations++] = next;
	}
	table->memo[m].from = from;
	table->memo[m].to = (uint16_t)to;
	table->memo[m].feed = (uint8_t)feed;
	table->memo[m].act = (uint8_t)act;
	table->memo[m].used = true;
	*ret_to = (uint16_t)to;
	return ERR_OK;
}

static int make_room(struct feed_table *table, size_t len)
{
	size_t probes;

	if (!table->combinations) {
		table->combinations = calloc(16, sizeof(*table->combinations));
		if (!table->combinations)
			return ERR_NOMEM;
		table->cap_combinations = 16;
		table->n_combinations = 1; /* 0: nobody says anything */
	}
	/* A whole name more than needed: hashing and comparing read past the end of the last one.
	 */
	if (table->names_len + len + 2 + NAME_MAX_WIRE + 9 > table->names_cap) {
		size_t cap = MAX(table->names_cap + table->names_cap / 2, (size_t)65536);
		uint8_t *names;

		if (cap > LIMIT_IMAGE_BYTES)
			return ERR_LIMIT;
		names = realloc(table->names, cap);
		if (!names)
			return ERR_NOMEM;
		memset(names + table->names_cap, 0, cap - table->names_cap);
		table->names = names;
		table->names_cap = cap;
	}
	if ((table->n_names + 1) * 3 > table->n_slots * 2)
		return rebuild(table, MAX(table->n_slots * 2, (size_t)1024), table->seed, &probes);
	return ERR_OK;
}

int feed_table_add(struct feed_table *table, uint32_t feed, const uint8_t *name, size_t len,
                   enum feed_act act)
{
	int r = make_room(table, len);
	uint64_t hash = hash_name(table->seed, name), slot;
	uint16_t combination = 0, next;
	uint8_t *entry;

	if (r < 0)
		return r;
	for (slot = img_slot(hash, table->n_slots); table->slots[slot] != 0;) {
		entry = table->names + table->slots[slot] - 1;
		if (table->tags[slot] == img_tag(hash) && memcmp(entry + 2, name, len) == 0)
			break;
		if (++slot == table->n_slots)
			slot = 0;
	}
	if (table->slots[slot] == 0) {
		uint32_t labels = name_labels(name);

		entry = table->names + table->names_len;
		memset(entry, 0, 2);
		memcpy(entry + 2, name, len);
		table->slots[slot] = (uint32_t)table->names_len + 1;
		table->tags[slot] = img_tag(hash);
		table->names_len += 2 + len;
		table->n_names++;
		table->labels_min = MIN(table->labels_min, labels);
		table->labels_max = MAX(table->labels_max, labels);
	}
	/* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): what a slot points at was written */
	memcpy(&combination, entry, 2);
	r = change_combination(table, combination, feed, act, &next);
	if (r < 0)
		return r;
	memcpy(entry, &next, 2);
	return ERR_OK;
}

int feed_table_finish(struct feed_table *table, uint64_t seed)
{
	size_t probes = 0;
	int r;

	if (table->n_names == 0)
		return ERR_OK;
	r = rebuild(table, table->n_names * 3 / 2 + 1, seed, &probes);
	if (r < 0)
		return r;
	return probes > IMG_PROBES_MAX ? ERR_AGAIN : ERR_OK;
}
