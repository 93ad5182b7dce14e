/* db/agg.c - records on their way into the history, identical ones folded into one. */
#include "agg.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "sallyport/err.h"

#define INDEX_SLOTS (AGG_ENTRIES_MAX * 2)
#define ANSWER_SLOTS (AGG_ANSWERS_MAX * 2)
#define CACHE_LINE 64
_Static_assert(sizeof(struct agg_entry) % CACHE_LINE == 0, "each entry begins with a line");

int agg_init(struct agg *agg)
{
	*agg = (struct agg){ 0 };
	agg->n_index = INDEX_SLOTS;
	agg->n_answer_index = ANSWER_SLOTS;
	agg->names_cap = AGG_BYTES_MAX;
	agg->answer_bytes_cap = AGG_ANSWER_BYTES_MAX;
	/* Large, but untouched pages cost nothing. */
	agg->entries = aligned_alloc(CACHE_LINE, AGG_ENTRIES_MAX * sizeof(*agg->entries));
	agg->index = calloc(INDEX_SLOTS, sizeof(*agg->index));
	agg->hints = calloc(AGG_HINTS, sizeof(*agg->hints));
	agg->names = malloc(agg->names_cap);
	agg->answers = malloc(AGG_ANSWERS_MAX * sizeof(*agg->answers));
	agg->answer_index = calloc(ANSWER_SLOTS, sizeof(*agg->answer_index));
	agg->answer_bytes = malloc(agg->answer_bytes_cap);
	if (!agg->entries || !agg->index || !agg->hints || !agg->names || !agg->answers ||
	    !agg->answer_index || !agg->answer_bytes) {
		agg_fini(agg);
		return ERR_NOMEM;
	}
	randombytes_buf(agg->hash_key, sizeof(agg->hash_key));
	return ERR_OK;
}

void agg_fini(struct agg *agg)
{
	free(agg->entries);
	free(agg->index);
	free(agg->hints);
	free(agg->names);
	free(agg->answers);
	free(agg->answer_index);
	free(agg->answer_bytes);
	*agg = (struct agg){ 0 };
}

static void clear_entries(struct agg *agg)
{
	if (agg->n) {
		memset(agg->index, 0, agg->n_index * sizeof(*agg->index));
		memset(agg->hints, 0, AGG_HINTS * sizeof(*agg->hints));
	}
	agg->n = 0;
	agg->names_used = 0;
}

void agg_clear(struct agg *agg)
{
	clear_entries(agg);
	memset(agg->gaps, 0, sizeof(agg->gaps));
	if (agg->n_answers)
		memset(agg->answer_index, 0, agg->n_answer_index * sizeof(*agg->answer_index));
	agg->n_answers = 0;
	agg->answer_bytes_used = 0;
	agg->answers_lost = false;
	agg->reserved_n = agg->reserved_bytes = 0;
}

/* Printable ASCII, with or without spaces: all that presentation form is made of. Eight octets at
 * once: none has its upper bit, and none gets or loses it by a step beyond either end. */
static bool is_text(const char *text, size_t len, char lowest)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), tops = 0x80 * ones;
	size_t i = 0;

	for (; len - i >= sizeof(uint64_t); i += sizeof(uint64_t)) {
		uint64_t word;

		memcpy(&word, text + i, sizeof(word));
		if ((word & tops) || ((word + ones) & tops) ||
		    ((word + (0x80u - (unsigned char)lowest) * ones) & tops) != tops)
			return false;
	}
	for (; i < len; i++) {
		if (text[i] < lowest || text[i] > '~')
			return false;
	}
	return true;
}

bool agg_query_check(const void *record, size_t len)
{
	const struct record_query *query = record;

	if (len < sizeof(*query) || query->head.type != RECORD_QUERY)
		return false;
	/* Without a name: a message whose question could not be read. */
	if (query->name_len > AGG_NAME_MAX || len != sizeof(*query) + query->name_len)
		return false;
	if (query->verdict >= VERDICT_N || query->reason >= REASON_N || query->dnssec >= DNSSEC_N ||
	    query->rcode > 0xfff || query->id > INT64_MAX)
		return false;
	return is_text((const char *)(query + 1), query->name_len, '!');
}

bool agg_answer_check(const void *record, size_t len)
{
	const struct record_answer *answer = record;
	const uint8_t *at = record;
	size_t left;

	if (len < sizeof(*answer) || answer->head.type != RECORD_ANSWER ||
	    answer->n_rrs > LIMIT_ANSWER_RRS || answer->dnssec >= DNSSEC_N)
		return false;
	at += sizeof(*answer);
	left = len - sizeof(*answer);
	for (unsigned int i = 0; i < answer->n_rrs; i++) {
		struct record_rr rr;
		size_t texts, padded;

		if (left < sizeof(rr))
			return false;
		memcpy(&rr, at, sizeof(rr));
		texts = (size_t)rr.owner_len + rr.data_len;
		if (rr.owner_len == 0 || rr.owner_len > AGG_NAME_MAX || texts > left - sizeof(rr))
			return false;
		if (!is_text((const char *)at + sizeof(rr), rr.owner_len, '!') ||
		    !is_text((const char *)at + sizeof(rr) + rr.owner_len, rr.data_len, ' '))
			return false;
		/* The last one may do without its padding. */
		padded = MIN(sizeof(rr) + ((texts + 3) & ~(size_t)3), left);
		at += padded;
		left -= padded;
	}
	return left == 0;
}

enum day_kind agg_kind(const struct record_query *query)
{
	/* Denials, what would have been denied, and failures are what people investigate: they lie
	 * in the file that is kept longer. 2 is SERVFAIL. */
	if (query->verdict == VERDICT_DENY || query->rcode == 2 || query->reason >= REASON_TARGET ||
	    query->flags & (RECORD_OBSERVED | RECORD_UNANSWERED))
		return DAY_DENY;
	return DAY_ALLOW;
}

static uint64_t hash_of(const struct agg *agg, const struct agg_key *key, const char *name)
{
	uint8_t octets[sizeof(*key) + AGG_NAME_MAX];
	uint64_t hash;

	memcpy(octets, key, sizeof(*key));
	memcpy(octets + sizeof(*key), name, key->name_len);
	crypto_shorthash((uint8_t *)&hash, octets, sizeof(*key) + key->name_len, agg->hash_key);
	return hash;
}

const char *agg_name(const struct agg *agg, const struct agg_entry *entry)
{
	return agg->names + entry->name;
}

static bool is_like(const struct agg *agg, const struct agg_entry *entry, const struct agg_key *key,
                    const char *name)
{
	return memcmp(&entry->key, key, sizeof(*key)) == 0 &&
	       memcmp(agg_name(agg, entry), name, key->name_len) == 0;
}

/* The place in the index where the key is or belongs. */
static uint32_t *find(const struct agg *agg, const struct agg_key *key, const char *name)
{
	size_t i = (size_t)hash_of(agg, key, name);

	for (;; i++) {
		uint32_t *slot = &agg->index[i & (agg->n_index - 1)];

		if (*slot == 0 || is_like(agg, &agg->entries[*slot - 1], key, name))
			return slot;
	}
}

static void fold(struct agg_entry *into, const struct agg_entry *from)
{
	if (from->first_us < into->first_us) {
		into->first_us = from->first_us;
		into->client_port = from->client_port;
	}
	into->last_us = MAX(into->last_us, from->last_us);
	/* Workers number theirs independently: only so does the range hold every one. */
	into->id = MIN(into->id, from->id);
	into->last_id = MAX(into->last_id, from->last_id);
	into->count += from->count;
	into->latency_us = MAX(into->latency_us, from->latency_us);
	into->ttl = MAX(into->ttl, from->ttl);
}

void agg_expect(const struct agg *agg, uint16_t hint)
{
	const struct agg_entry *entry;

	if (agg->hints[hint] == 0)
		return;
	entry = &agg->entries[agg->hints[hint] - 1];
	__builtin_prefetch(entry, 1);
	__builtin_prefetch((const uint8_t *)entry + CACHE_LINE, 1);
}

/* Add @entry, whose name is @name, or fold it into its like. @hint is 0 where there is none. */
static int add(struct agg *agg, const struct agg_entry *entry, const char *name, uint16_t hint)
{
	uint32_t hinted = hint ? agg->hints[hint] : 0, *slot;
	size_t len = entry->key.name_len;
	struct agg_entry *made;

	if (hinted && is_like(agg, &agg->entries[hinted - 1], &entry->key, name)) {
		fold(&agg->entries[hinted - 1], entry);
		agg->folded++;
		return ERR_OK;
	}
	slot = find(agg, &entry->key, name);
	if (*slot) {
		agg->hints[hint] = *slot;
		fold(&agg->entries[*slot - 1], entry);
		agg->folded++;
		return ERR_OK;
	}
	if (agg->n + agg->reserved_n >= AGG_ENTRIES_MAX ||
	    agg_saved_bytes(agg) + agg->reserved_bytes + sizeof(*entry) + len > AGG_BYTES_MAX)
		return ERR_LIMIT;
	made = &agg->entries[agg->n++];
	*made = *entry;
	made->name = (uint32_t)agg->names_used;
	memcpy(agg->names + agg->names_used, name, len);
	agg->names_used += len;
	*slot = agg->hints[hint] = (uint32_t)agg->n;
	return ERR_OK;
}

int agg_put(struct agg *agg, const struct record_query *query, uint32_t day, uint64_t time_us)
{
	struct agg_entry entry = {
		.key = {
			.policy_version = query->policy_version,
			.workload = query->workload,
			.rule = query->rule,
			.feed = query->feed,
			.day = day,
			.qtype = query->qtype,
			.qclass = query->qclass,
			.ede = query->ede,
			.rcode = query->rcode,
			.flags = query->flags,
			.name_len = query->name_len,
			.proto = query->proto,
			.verdict = query->verdict,
			.reason = query->reason,
			.dnssec = query->dnssec,
			.kind = (uint8_t)agg_kind(query),
		},
		.first_us = time_us,
		.last_us = time_us,
		.id = query->id,
		.last_id = query->id,
		.count = 1,
		.latency_us = query->latency_us,
		.ttl = query->ttl,
		.client_port = query->client_port,
	};

	memcpy(entry.key.client, query->client, ADDR_LEN);
	memcpy(entry.key.answer_id, query->answer_id, ANSWER_ID_LEN);
	return add(agg, &entry, (const char *)(query + 1), query->head.hint);
}

int agg_restore(struct agg *agg, const struct agg_entry *entry, const char *name)
{
	return add(agg, entry, name, 0);
}

/* The place in the index where the answer is or belongs; its id is a hash already, but chosen by
 * the producer, so it is hashed again. */
static uint32_t *find_answer(const struct agg *agg, const uint8_t id[static ANSWER_ID_LEN])
{
	uint64_t hash;

	crypto_shorthash((uint8_t *)&hash, id, ANSWER_ID_LEN, agg->hash_key);
	for (size_t i = (size_t)hash;; i++) {
		uint32_t *slot = &agg->answer_index[i & (agg->n_answer_index - 1)];

		if (*slot == 0 || memcmp(agg->answers[*slot - 1].id, id, ANSWER_ID_LEN) == 0)
			return slot;
	}
}

void agg_put_answer(struct agg *agg, const struct record_answer *answer)
{
	uint32_t *slot = find_answer(agg, answer->answer_id);
	size_t at = (agg->answer_bytes_used + 7) & ~(size_t)7;

	if (*slot)
		return;
	if (agg->n_answers == AGG_ANSWERS_MAX || at + answer->head.len > agg->answer_bytes_cap) {
		agg->answers_lost = true;
		return;
	}
	agg->answers[agg->n_answers] = (struct agg_answer){ .at = at, .len = answer->head.len };
	memcpy(agg->answers[agg->n_answers].id, answer->answer_id, ANSWER_ID_LEN);
	memcpy(agg->answer_bytes + at, answer, answer->head.len);
	agg->answer_bytes_used = at + answer->head.len;
	*slot = (uint32_t)++agg->n_answers;
}

const struct record_answer *agg_answer(const struct agg *agg,
                                       const uint8_t id[static ANSWER_ID_LEN])
{
	uint32_t *slot = find_answer(agg, id);

	if (*slot == 0)
		return NULL;
	return (const void *)(agg->answer_bytes + agg->answers[*slot - 1].at);
}

void agg_reserve(struct agg *agg, const struct agg *other)
{
	agg->reserved_n = other->n;
	agg->reserved_bytes = agg_saved_bytes(other);
}

void agg_take(struct agg *agg, struct agg *from)
{
	for (size_t i = 0; i < from->n; i++) {
		/* Cannot fail: the room was reserved. */
		if (add(agg, &from->entries[i], agg_name(from, &from->entries[i]), 0) < 0)
			break;
	}
	for (size_t i = 0; i < from->n_answers; i++)
		agg_put_answer(agg, (const void *)(from->answer_bytes + from->answers[i].at));
	agg->answers_lost |= from->answers_lost;
	agg->folded += from->folded;
	from->folded = 0;
	agg_clear(from);
}

/* A hostile producer's counts may add up beyond what a file can hold: then they are told as the
 * most that it can. */
static uint64_t gap_sum(uint64_t a, uint64_t b)
{
	return MIN(a, AGG_GAP_MAX) + MIN(b, AGG_GAP_MAX - MIN(a, AGG_GAP_MAX));
}

void agg_gap_join(struct agg_gap *into, const struct agg_gap *from)
{
	if (into->until_us == 0)
		into->from_us = from->from_us;
	into->from_us = MIN(into->from_us, from->from_us);
	into->until_us = MAX(into->until_us, MAX(from->until_us, UINT64_C(1)));
	for (int i = 0; i < VERDICT_N; i++)
		into->lost[i] = gap_sum(into->lost[i], from->lost[i]);
	into->kernel_drops = gap_sum(into->kernel_drops, from->kernel_drops);
	if (from->note[0])
		memcpy(into->note, from->note, sizeof(into->note));
}

void agg_gap(struct agg *agg, enum history_gap cause, uint64_t from_us, uint64_t until_us,
             const uint64_t lost[static VERDICT_N], uint64_t kernel_drops, const char *note)
{
	struct agg_gap gap = { .from_us = from_us,
		               .until_us = until_us,
		               .kernel_drops = kernel_drops };

	memcpy(gap.lost, lost, sizeof(gap.lost));
	if (note)
		snprintf(gap.note, sizeof(gap.note), "%s", note);
	agg_gap_join(&agg->gaps[cause], &gap);
}

bool agg_has_gap(const struct agg *agg)
{
	for (int i = 0; i < HISTORY_GAP_N; i++) {
		if (agg->gaps[i].until_us)
			return true;
	}
	return false;
}

size_t agg_saved_bytes(const struct agg *agg)
{
	return agg->n * sizeof(*agg->entries) + agg->names_used;
}

bool agg_is_filling(const struct agg *agg)
{
	return agg->n > AGG_ENTRIES_MAX / 2 || agg_saved_bytes(agg) > AGG_BYTES_MAX / 2 ||
	       agg->n_answers > AGG_ANSWERS_MAX / 2 ||
	       agg->answer_bytes_used > agg->answer_bytes_cap / 2;
}

typedef bool entry_keep_cb(struct agg *agg, struct agg_entry *entry, const void *arg);

/* Build the table anew from those entries that @keep wants, as it has changed them. Names move
 * down in place: they lie in the order of the entries, and a fold only leaves room. */
static void rebuild(struct agg *agg, entry_keep_cb *keep, const void *arg)
{
	size_t n = agg->n;
	uint64_t folded = agg->folded;

	clear_entries(agg);
	for (size_t i = 0; i < n; i++) {
		struct agg_entry entry = agg->entries[i];
		char name[AGG_NAME_MAX];

		memcpy(name, agg->names + entry.name, entry.key.name_len);
		if (keep(agg, &entry, arg) && add(agg, &entry, name, 0) < 0)
			continue; /* cannot be: there are fewer now than before */
	}
	agg->folded = folded;
}

struct file_id {
	uint32_t day;
	enum day_kind kind;
};
static bool keep_other_file(struct agg *agg, struct agg_entry *entry, const void *arg)
{
	const struct file_id *file = arg;

	(void)agg;
	return entry->key.day != file->day || entry->key.kind != (uint8_t)file->kind;
}

void agg_drop_file(struct agg *agg, uint32_t day, enum day_kind kind)
{
	struct file_id file = { day, kind };

	rebuild(agg, keep_other_file, &file);
}

/* Less detail for entries of one kind: everything but workload, name, type, verdict and reason with
 * its rule goes. */
static bool keep_coarse(struct agg *agg, struct agg_entry *entry, const void *arg)
{
	struct agg_key *key = &entry->key;

	(void)agg;
	if (key->kind != (uint8_t) * (const enum day_kind *)arg || key->merged)
		return true;
	key->merged = 1;
	key->flags = 0;
	key->ede = RECORD_NO_EDE;
	key->dnssec = DNSSEC_UNCHECKED;
	key->proto = 0;
	memset(key->client, 0, sizeof(key->client));
	memset(key->answer_id, 0, sizeof(key->answer_id));
	entry->client_port = 0;
	entry->ttl = 0;
	return true;
}

static bool keep_other_kind(struct agg *agg, struct agg_entry *entry, const void *arg)
{
	uint64_t lost[VERDICT_N] = { 0 };

	if (entry->key.kind != (uint8_t) * (const enum day_kind *)arg)
		return true;
	lost[entry->key.verdict] = entry->count;
	agg_gap(agg, HISTORY_GAP_AREA, entry->first_us, entry->last_us, lost, 0, NULL);
	return false;
}

static bool has_room(const struct agg *agg)
{
	return agg->n <= AGG_ENTRIES_MAX / 4 * 3 && agg_saved_bytes(agg) <= AGG_BYTES_MAX / 4 * 3;
}

bool agg_shrink(struct agg *agg)
{
	static const struct {
		entry_keep_cb *keep;
		enum day_kind kind;
	} steps[] = {
		{ keep_coarse, DAY_ALLOW },
		{ keep_other_kind, DAY_ALLOW },
		{ keep_coarse, DAY_DENY },
		{ keep_other_kind, DAY_DENY },
	};

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		rebuild(agg, steps[i].keep, &steps[i].kind);
		if (has_room(agg))
			return true;
	}
	return false;
}
