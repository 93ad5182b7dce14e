/* resolver/query_tally.c - linear probing, with rows moved back when one goes. */
#include "query_tally.h"

#include <sodium/crypto_shorthash.h>
#include <string.h>

#include "sallyport/err.h"

struct row {
	struct query_tally_key key;
	unsigned int count; /* 0: free */
};

struct query_tally {
	uint8_t hash_key[16];
	size_t n_rows; /* a power of two, at least twice the rows that can be in use */
	size_t n_used, n_max;
	struct row rows[];
};

struct query_tally *query_tally_new(unsigned int queries, const uint8_t hash_key[static 16])
{
	struct query_tally *tally;
	size_t n_max = (size_t)queries * 2, n_rows = 16;

	while (n_rows < n_max * 2)
		n_rows *= 2;
	tally = calloc(1, sizeof(*tally) + n_rows * sizeof(tally->rows[0]));
	if (!tally)
		return NULL;
	memcpy(tally->hash_key, hash_key, sizeof(tally->hash_key));
	tally->n_rows = n_rows;
	tally->n_max = n_max;
	return tally;
}

void query_tally_free(struct query_tally *tally)
{
	free(tally);
}

static size_t home(const struct query_tally *tally, const struct query_tally_key *key)
{
	uint64_t hash;

	crypto_shorthash((uint8_t *)&hash, (const uint8_t *)key, sizeof(*key), tally->hash_key);
	return (size_t)hash & (tally->n_rows - 1);
}

/* The row of @key, or the free one where it would be. At most half of the rows are in use, so the
 * walk ends. */
static size_t find(const struct query_tally *tally, const struct query_tally_key *key)
{
	size_t i = home(tally, key);

	while (tally->rows[i].count && memcmp(&tally->rows[i].key, key, sizeof(*key)) != 0)
		i = (i + 1) & (tally->n_rows - 1);
	return i;
}

unsigned int query_tally_get(const struct query_tally *tally, const struct query_tally_key *key)
{
	return tally->rows[find(tally, key)].count;
}

int query_tally_add(struct query_tally *tally, const struct query_tally_key *key)
{
	struct row *row = &tally->rows[find(tally, key)];

	if (!row->count) {
		if (tally->n_used == tally->n_max)
			return ERR_LIMIT;
		tally->n_used++;
		row->key = *key;
	}
	row->count++;
	return ERR_OK;
}

void query_tally_remove(struct query_tally *tally, const struct query_tally_key *key)
{
	const size_t mask = tally->n_rows - 1;
	size_t hole = find(tally, key);

	if (!tally->rows[hole].count || --tally->rows[hole].count)
		return;
	tally->n_used--;
	/* Move back whoever sits behind the hole only because it was taken. */
	for (size_t i = (hole + 1) & mask; tally->rows[i].count; i = (i + 1) & mask) {
		size_t want = home(tally, &tally->rows[i].key);

		if (((i - want) & mask) < ((i - hole) & mask))
			continue;
		tally->rows[hole] = tally->rows[i];
		tally->rows[i].count = 0;
		hole = i;
	}
}
