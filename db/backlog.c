/* db/backlog.c - the historian's memory across its own death. */
#include "backlog.h"

#include <sodium.h>
#include <stdatomic.h>
#include <string.h>

#include "db/area.h"
#include "sallyport/err.h"

#define AREA_MAGIC UINT64_C(0x32414552414c5953)
#define CHECKSUM_LEN 32

struct area_half {
	_Atomic uint64_t magic;
	uint64_t generation;
	uint64_t len; /* of the content behind this head */
	uint64_t n_entries;
	uint8_t checksum[CHECKSUM_LEN]; /* BLAKE2b of generation, len, n_entries and content */
};

/* The content: struct area_state, n_entries x struct agg_entry, then their names. */
#define HALF_BYTES                                                                                 \
	((sizeof(struct area_half) + sizeof(struct area_state) + AGG_BYTES_MAX + 4095) / 4096 *    \
	 4096)

size_t historian_area_bytes(void)
{
	return 2 * HALF_BYTES;
}

int area_init(struct area *area, void *base, size_t len)
{
	*area = (struct area){ 0 };
	if (len < 2 * HALF_BYTES || (uintptr_t)base % _Alignof(struct area_half) != 0)
		return ERR_DAMAGED;
	area->base = base;
	area->half_bytes = HALF_BYTES;
	return ERR_OK;
}

static struct area_half *half_at(const struct area *area, unsigned int i)
{
	return (void *)(area->base + i * area->half_bytes);
}

static void checksum(const struct area_half *half, uint64_t len, const uint8_t *content,
                     uint8_t ret_sum[static CHECKSUM_LEN])
{
	crypto_generichash_state state;

	crypto_generichash_init(&state, NULL, 0, CHECKSUM_LEN);
	crypto_generichash_update(&state, (const uint8_t *)&half->generation, 8);
	crypto_generichash_update(&state, (const uint8_t *)&half->len, 8);
	crypto_generichash_update(&state, (const uint8_t *)&half->n_entries, 8);
	crypto_generichash_update(&state, content, len);
	crypto_generichash_final(&state, ret_sum, CHECKSUM_LEN);
}

static bool half_is_whole(const struct area *area, const struct area_half *half)
{
	uint8_t sum[CHECKSUM_LEN];
	uint64_t len = half->len;

	if (atomic_load_explicit(&half->magic, memory_order_acquire) != AREA_MAGIC ||
	    half->generation == 0)
		return false;
	if (len < sizeof(struct area_state) || len > area->half_bytes - sizeof(*half))
		return false;
	if (half->n_entries > AGG_ENTRIES_MAX ||
	    half->n_entries * sizeof(struct agg_entry) > len - sizeof(struct area_state))
		return false;
	checksum(half, len, (const uint8_t *)(half + 1), sum);
	return memcmp(sum, half->checksum, sizeof(sum)) == 0;
}

static bool entry_is_sound(const struct agg_entry *entry, const char *names, size_t names_len)
{
	const struct agg_key *key = &entry->key;

	if (key->name_len > AGG_NAME_MAX || entry->name > names_len ||
	    key->name_len > names_len - entry->name)
		return false;
	if (key->kind >= DAY_KINDS || key->merged > 1 || key->verdict >= VERDICT_N ||
	    key->reason >= REASON_N || key->dnssec >= DNSSEC_N || key->rcode > 0xfff ||
	    key->zero[0] || key->zero[1] || entry->zero)
		return false;
	if (key->day > DAY_MAX || entry->first_us / DAY_US != key->day ||
	    entry->last_us < entry->first_us || entry->last_us > INT64_MAX || entry->count == 0 ||
	    entry->count > INT64_MAX || entry->id > INT64_MAX || entry->last_id > INT64_MAX)
		return false;
	for (size_t i = 0; i < key->name_len; i++) {
		if (names[entry->name + i] < '!' || names[entry->name + i] > '~')
			return false;
	}
	return true;
}

static void load_gaps(struct area *area, struct agg *agg)
{
	for (int i = 0; i < HISTORY_GAP_N; i++) {
		struct agg_gap *gap = &area->state.gaps[i];

		gap->note[sizeof(gap->note) - 1] = '\0';
		for (char *p = gap->note; *p; p++) {
			if (*p < ' ' || *p > '~')
				*p = '?';
		}
		if (gap->until_us > INT64_MAX || gap->from_us > gap->until_us)
			*gap = (struct agg_gap){ 0 };
		agg->gaps[i] = *gap;
	}
}

int area_load(struct area *area, struct agg *agg, struct agg *next, size_t *ret_bad)
{
	const struct area_half *best = NULL;
	const uint8_t *content;
	const char *names;
	size_t names_len;
	bool used = false;

	*ret_bad = 0;
	area->state = (struct area_state){ 0 };
	for (unsigned int i = 0; i < 2; i++) {
		const struct area_half *half = half_at(area, i);

		used |= half->generation != 0;
		if (half_is_whole(area, half) && (!best || half->generation > best->generation))
			best = half;
	}
	if (!best)
		return used ? ERR_DAMAGED : ERR_OK;

	content = (const uint8_t *)(best + 1);
	memcpy(&area->state, content, sizeof(area->state));
	area->state.generation = best->generation;
	if (area->state.day > DAY_MAX)
		area->state.day = 0;
	load_gaps(area, agg);

	content += sizeof(area->state);
	names = (const char *)content + best->n_entries * sizeof(struct agg_entry);
	names_len =
	    (size_t)(best->len - sizeof(area->state) - best->n_entries * sizeof(struct agg_entry));
	for (uint64_t i = 0; i < best->n_entries; i++) {
		struct agg_entry entry;

		memcpy(&entry, content + i * sizeof(entry), sizeof(entry));
		struct agg *into = area->state.batch && i >= area->state.n_batch ? next : agg;

		if (!into->entries && agg_init(into) < 0)
			return ERR_NOMEM;
		agg_reserve(into, into == agg ? next : agg);
		if (!entry_is_sound(&entry, names, names_len) ||
		    agg_restore(into, &entry, names + entry.name) < 0)
			++*ret_bad;
	}
	agg->folded = next->folded = 0;
	return ERR_OK;
}

/* The entries of @agg at @at; their names follow those of @n_names octets that are there already.
 */
static void copy_entries(uint8_t *at, const struct agg *agg, size_t n_names)
{
	memcpy(at, agg->entries, agg->n * sizeof(*agg->entries));
	for (size_t i = 0; n_names && i < agg->n; i++)
		((struct agg_entry *)(void *)at)[i].name += (uint32_t)n_names;
}

void area_save(struct area *area, const struct agg *agg, const struct agg *next, uint64_t batch)
{
	struct area_half *half;
	uint8_t *content, *entries, *names;

	if (!area->base)
		return;
	if (area->state.area_id == 0)
		randombytes_buf(&area->state.area_id, sizeof(area->state.area_id));
	memcpy(area->state.gaps, agg->gaps, sizeof(area->state.gaps));
	area->state.batch = batch;
	area->state.n_batch = batch ? agg->n : 0;
	area->state.generation++;

	/* The half that this generation's parity names is the older one. */
	half = half_at(area, (unsigned int)(area->state.generation % 2));
	atomic_store_explicit(&half->magic, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	content = (uint8_t *)(half + 1);
	memcpy(content, &area->state, sizeof(area->state));
	half->n_entries = agg->n + next->n;
	half->generation = area->state.generation;
	entries = content + sizeof(area->state);
	names = entries + half->n_entries * sizeof(*agg->entries);
	copy_entries(entries, agg, 0);
	memcpy(names, agg->names, agg->names_used);
	if (next->n) { /* else it may not have been made */
		copy_entries(entries + agg->n * sizeof(*agg->entries), next, agg->names_used);
		memcpy(names + agg->names_used, next->names, next->names_used);
	}
	half->len = (uint64_t)(names - content) + agg->names_used + next->names_used;
	checksum(half, half->len, content, half->checksum);
	atomic_store_explicit(&half->magic, AREA_MAGIC, memory_order_release);
}
