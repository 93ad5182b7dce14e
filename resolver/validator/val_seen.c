/* val_seen.c - rows of two words, read and written without a lock. */
#include "val_seen.h"

#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct val_seen {
	uint8_t key[16];
	/* Two words of different marks next to each other are no mark that anybody could look for:
	 * it would have to equal both by chance. */
	struct row {
		_Atomic uint64_t words[2];
	} rows[VAL_SEEN_ROWS];
};

_Static_assert(sizeof(((struct val_seen *)0)->key) >= crypto_generichash_KEYBYTES_MIN,
               "a key of libsodium's hash");
_Static_assert(sizeof(struct val_seen_mark) >= crypto_generichash_BYTES_MIN, "and a length of it");

struct val_seen *val_seen_new(const uint8_t hash_key[static 16])
{
	struct val_seen *seen = calloc(1, sizeof(*seen));

	if (seen)
		memcpy(seen->key, hash_key, sizeof(seen->key));
	return seen;
}

void val_seen_free(struct val_seen *seen)
{
	free(seen);
}

struct val_seen_mark val_seen_mark(const struct val_seen *seen, const struct val_key *key,
                                   const uint8_t *octets, size_t len, const uint8_t *signature,
                                   size_t signature_len)
{
	crypto_generichash_state state;
	struct val_seen_mark mark;
	uint64_t sizes[2] = { len, signature_len };

	crypto_generichash_init(&state, seen->key, sizeof(seen->key), sizeof(mark));
	crypto_generichash_update(&state, key->id, sizeof(key->id));
	crypto_generichash_update(&state, (const uint8_t *)sizes, sizeof(sizes));
	crypto_generichash_update(&state, octets, len);
	crypto_generichash_update(&state, signature, signature_len);
	crypto_generichash_final(&state, (uint8_t *)&mark, sizeof(mark));
	return mark;
}

bool val_seen_has(struct val_seen *seen, const struct val_seen_mark *mark)
{
	struct row *row = &seen->rows[mark->words[2] % VAL_SEEN_ROWS];

	return atomic_load_explicit(&row->words[0], memory_order_relaxed) == mark->words[0] &&
	       atomic_load_explicit(&row->words[1], memory_order_relaxed) == mark->words[1];
}

void val_seen_put(struct val_seen *seen, const struct val_seen_mark *mark)
{
	struct row *row = &seen->rows[mark->words[2] % VAL_SEEN_ROWS];

	atomic_store_explicit(&row->words[0], mark->words[0], memory_order_relaxed);
	atomic_store_explicit(&row->words[1], mark->words[1], memory_order_relaxed);
}
