/* resolver/memo.c - a set-associative table of forms.
 *
 * A key may stand in one of WAYS neighbouring slots, so a miss costs a bounded number of tag
 * comparisons whatever the network asks for. Within a set and for the sum of bytes the victim is
 * chosen by a clock: a slot that was used since the hand came by gets another round.
 */
#include "memo.h"

#include <stdlib.h>
#include <string.h>

#include "sallyport/cleanup.h"

#define WAYS 4 /* one line of the processor's cache */
#define SLOTS_MIN 64
#define SLOTS_MAX (1u << 20)
#define BYTES_PER_SLOT 512 /* rather many slots than many conflicts: a form is seldom smaller */

struct node {
	struct form *form; /* a reference */
	uint64_t until_ns;
	uint64_t cache_generation;
	uint32_t policy_version, profile, rule;
	uint32_t bytes;
	uint16_t type;
	uint8_t reason, flags;
	uint8_t name_len;
	uint8_t name[];
};

struct slot {
	struct node *node;
	uint32_t tag; /* bits of the hash; of an empty slot anything */
	bool used;    /* since the hand came by */
};

_Static_assert(sizeof(struct slot) == 16, "a set is one line");

struct memo {
	struct slot *slots;
	size_t n_slots; /* a power of 2 */
	size_t hand;
	uint64_t bytes, limit;
	uint64_t key[2];
};

/* One round of folded multiplication, as wyhash and its kin use it: keyed, and quicker than
 * SipHash. An attacker who broke it would make his own names miss, no more: sets are bounded. */
static uint64_t fold(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return v;
}

static uint64_t hash_of(const struct memo *memo, const struct memo_key *key)
{
	const uint8_t *p = key->name;
	size_t n = key->name_len;
	uint64_t h = memo->key[0] ^ n;
	uint8_t tail[8] = { 0 };

	for (; n >= 8; p += 8, n -= 8)
		h = fold(h ^ load64(p), memo->key[1]);
	memcpy(tail, p, n);
	h = fold(h ^ load64(tail), memo->key[1]);
	h = fold(h ^ ((uint64_t)key->policy_version << 32 | key->profile), memo->key[1]);
	h = fold(h ^ ((uint64_t)key->rule << 32 | (uint64_t)key->type << 16 |
	              (uint64_t)key->reason << 8 | key->flags),
	         memo->key[1]);
	return fold(h ^ key->cache_generation, memo->key[0]);
}

static bool is_key(const struct node *node, const struct memo_key *key)
{
	return node->type == key->type && node->policy_version == key->policy_version &&
	       node->profile == key->profile && node->rule == key->rule &&
	       node->reason == key->reason && node->flags == key->flags &&
	       node->cache_generation == key->cache_generation && node->name_len == key->name_len &&
	       memcmp(node->name, key->name, key->name_len) == 0;
}

static struct slot *set_of(const struct memo *memo, uint64_t hash)
{
	return &memo->slots[hash & (memo->n_slots - 1) & ~(size_t)(WAYS - 1)];
}

static uint32_t tag_of(uint64_t hash)
{
	return (uint32_t)(hash >> 32);
}

static void clear(struct memo *memo, struct slot *slot)
{
	struct node *node = slot->node;

	if (!node)
		return;
	slot->node = NULL;
	memo->bytes -= node->bytes;
	form_unref(node->form);
	free(node);
}

struct memo *memo_new(uint64_t bytes, const uint8_t hash_key[static 16])
{
	CLEANUP(free) struct memo *memo = calloc(1, sizeof(*memo));

	if (!memo)
		return NULL;
	memo->n_slots = SLOTS_MIN;
	while (memo->n_slots < SLOTS_MAX && memo->n_slots * BYTES_PER_SLOT < bytes)
		memo->n_slots *= 2;
	memo->limit = bytes;
	memcpy(memo->key, hash_key, sizeof(memo->key));
	memo->key[0] |= 1; /* a zero factor would fold everything to zero */
	memo->key[1] |= 1;
	memo->slots =
	    aligned_alloc(WAYS * sizeof(struct slot), memo->n_slots * sizeof(struct slot));
	if (!memo->slots)
		return NULL;
	memset(memo->slots, 0, memo->n_slots * sizeof(struct slot));
	return TAKE(memo);
}

void memo_free(struct memo *memo)
{
	if (!memo)
		return;
	for (size_t i = 0; i < memo->n_slots; i++)
		clear(memo, &memo->slots[i]);
	free(memo->slots);
	free(memo);
}

/* First use since the hand came by: tell the cache, which does not see what is served from here. */
static void touch(struct slot *slot)
{
	const struct form *form = slot->node->form;

	slot->used = true;
	for (size_t i = 0; i < form->n_links; i++) {
		struct entry *entry = form->links[i];

		if (atomic_load_explicit(&entry->freq, memory_order_relaxed) == 0)
			atomic_store_explicit(&entry->freq, 1, memory_order_relaxed);
	}
}

struct form *memo_get(struct memo *memo, const struct memo_key *key, uint64_t now_ns)
{
	uint64_t hash = hash_of(memo, key);
	struct slot *set = set_of(memo, hash);

	for (size_t i = 0; i < WAYS; i++) {
		struct slot *slot = &set[i];

		if (!slot->node || slot->tag != tag_of(hash) || !is_key(slot->node, key))
			continue;
		if (now_ns >= slot->node->until_ns) {
			clear(memo, slot);
			return NULL;
		}
		if (!slot->used)
			touch(slot);
		return slot->node->form;
	}
	return NULL;
}

/* A place in the set: the key's own, an empty one, else the first unused one after clearing marks.
 */
static struct slot *place(struct slot *set, uint32_t tag, const struct memo_key *key)
{
	struct slot *empty = NULL;

	for (size_t i = 0; i < WAYS; i++) {
		if (!set[i].node)
			empty = &set[i];
		else if (set[i].tag == tag && is_key(set[i].node, key))
			return &set[i];
	}
	if (empty)
		return empty;
	for (size_t i = 0; i < WAYS; i++) {
		if (!set[i].used)
			return &set[i];
		set[i].used = false;
	}
	return &set[tag % WAYS];
}

/* Let the hand go round until @need octets fit. Twice round meets every slot unmarked. */
static void make_room(struct memo *memo, uint64_t need)
{
	for (size_t i = 0; i < 2 * memo->n_slots && memo->bytes + need > memo->limit; i++) {
		struct slot *slot = &memo->slots[memo->hand];

		memo->hand = (memo->hand + 1) & (memo->n_slots - 1);
		if (slot->used)
			slot->used = false;
		else
			clear(memo, slot);
	}
}

/* What a form keeps alive: itself and its links, whether or not the cache still has them. */
static uint64_t weight(const struct form *form, size_t name_len)
{
	uint64_t bytes = sizeof(struct node) + name_len + form->bytes + 2 * 16;

	for (size_t i = 0; i < form->n_links; i++)
		bytes += form->links[i]->bytes;
	return bytes;
}

void memo_put(struct memo *memo, const struct memo_key *key, struct form *form,
              uint64_t valid_until_ns)
{
	uint64_t hash = hash_of(memo, key);
	uint64_t bytes = weight(form, key->name_len);
	struct node *node;
	struct slot *slot;

	if (bytes > memo->limit / 4 ||
	    bytes > UINT32_MAX) /* one form shall not sweep the memo out */
		return;
	node = malloc(sizeof(*node) + key->name_len);
	if (!node) /* not remembered, then */
		return;
	slot = place(set_of(memo, hash), tag_of(hash), key);
	clear(memo, slot);
	make_room(memo, bytes);

	*node = (struct node){
		.form = form_ref(form),
		.until_ns = MIN(valid_until_ns, form->expires_ns),
		.cache_generation = key->cache_generation,
		.bytes = (uint32_t)bytes,
		.policy_version = key->policy_version,
		.profile = key->profile,
		.rule = key->rule,
		.type = key->type,
		.reason = key->reason,
		.flags = key->flags,
		.name_len = key->name_len,
	};
	memcpy(node->name, key->name, key->name_len);
	slot->node = node;
	slot->tag = tag_of(hash);
	slot->used = false;
	memo->bytes += bytes;
}
