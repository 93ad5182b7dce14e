/* db/agg.h - records on their way into the history, identical ones folded into one.
 *
 * Private memory of the historian, one hash look-up for a record, and none where its hint leads to
 * its like. Bounded: AGG_ENTRIES_MAX entries, AGG_BYTES_MAX octets when saved (db/backlog.h's
 * halves hold exactly that), AGG_ANSWERS_MAX answers. When it is full and cannot be written out,
 * agg_shrink() gives up detail before it gives up rows, allowed queries before denials, and what is
 * dropped in the end is counted in a gap.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "day.h"
#include "db/history.h"
#include "sallyport/cleanup.h"
#include "sallyport/record.h"

enum agg_limit {
	AGG_HINTS = UINT16_MAX + 1,
	AGG_ENTRIES_MAX = 131072,
	AGG_BYTES_MAX = 24 << 20,
	AGG_NAME_MAX = 1008,     /* octets of a name: NAME_TEXT_LEN without the terminator */
	AGG_ANSWERS_MAX = 16384, /* answers of one batch; more are asked for again later */
	AGG_ANSWER_BYTES_MAX = 16 << 20,
};

#define AGG_GAP_MAX ((uint64_t)INT64_MAX / 8) /* of one count in a gap: sums of them fit a row */

/* What makes two queries identical. Compared octet by octet: no padding, unused fields zero. */
struct agg_key {
	uint8_t client[ADDR_LEN];
	uint8_t answer_id[ANSWER_ID_LEN];
	uint32_t policy_version, workload, rule, feed;
	uint32_t day; /* of the file that it belongs to */
	uint16_t qtype, qclass, ede, rcode, flags, name_len;
	uint8_t proto, verdict, reason, dnssec;
	uint8_t kind;   /* enum day_kind */
	uint8_t merged; /* client and answer were given up for room */
	uint8_t zero[2];
};
_Static_assert(sizeof(struct agg_key) == 72, "no padding");

struct agg_entry {
	struct agg_key key;
	uint64_t first_us, last_us; /* wall clock; first_us lies within key.day */
	uint64_t id, last_id;       /* the smallest and the largest */
	uint64_t count;
	uint32_t latency_us, ttl; /* the largest */
	uint32_t name;            /* offset of the name in names; not terminated */
	uint16_t client_port;     /* of the first query */
	uint16_t zero;
};
_Static_assert(sizeof(struct agg_entry) == 128, "no padding");

struct agg_gap {
	uint64_t from_us, until_us; /* until_us 0: no gap */
	uint64_t lost[VERDICT_N];
	uint64_t kernel_drops;
	char note[64];
};

struct agg_answer {
	uint8_t id[ANSWER_ID_LEN];
	size_t at, len; /* the whole record in answer_bytes */
};

struct agg {
	struct agg_entry *entries;
	uint32_t *index; /* hash table of entry numbers + 1; 0: empty */
	size_t n_index;
	uint32_t
	    *hints; /* by a record's hint: the entry's number + 1 where one like it went last */
	size_t n;
	char *names;
	size_t names_used, names_cap;
	struct agg_gap gaps[HISTORY_GAP_N];

	struct agg_answer *answers;
	uint32_t *answer_index;
	size_t n_answer_index, n_answers;
	uint8_t *answer_bytes;
	size_t answer_bytes_used, answer_bytes_cap;
	bool answers_lost; /* some had no room: producers must tell them anew */

	/* Room that another one takes: the two together stay within the limits. */
	size_t reserved_n, reserved_bytes;
	uint64_t folded; /* records that found their entry there; the caller resets it */
	uint8_t hash_key[16];
};

int agg_init(struct agg *agg) MUST_CHECK;
void agg_fini(struct agg *agg);
void agg_clear(struct agg *agg); /* entries, gaps and answers */

/* Is @len octets at @record, whose head is checked, a record of its type? */
bool agg_query_check(const void *record, size_t len);
bool agg_answer_check(const void *record, size_t len);

/* Which file a query belongs to. */
enum day_kind agg_kind(const struct record_query *query);

/* Add a checked query whose time lies in @day (as the caller has decided) at @time_us. Returns 0 or
 * ERR_LIMIT (full: write it out or shrink). */
int agg_put(struct agg *agg, const struct record_query *query, uint32_t day,
            uint64_t time_us) MUST_CHECK;
/* A query with this hint comes next: its entry may be brought near meanwhile. */
void agg_expect(const struct agg *agg, uint16_t hint);
/* Keep a checked answer until the batch is written; when there is no room, answers_lost is set. */
void agg_put_answer(struct agg *agg, const struct record_answer *answer);
const struct record_answer *agg_answer(const struct agg *agg,
                                       const uint8_t id[static ANSWER_ID_LEN]); /* or NULL */
/* Add an entry that was saved; it may be equal to one that is there. */
int agg_restore(struct agg *agg, const struct agg_entry *entry, const char *name) MUST_CHECK;

/* Leave room for everything that @other holds. */
void agg_reserve(struct agg *agg, const struct agg *other);
/* Move everything from @from, for which there is room, into @agg; @from is empty afterwards. */
void agg_take(struct agg *agg, struct agg *from);

/* Note that something is missing between the two moments. @note may be NULL. */
void agg_gap(struct agg *agg, enum history_gap cause, uint64_t from_us, uint64_t until_us,
             const uint64_t lost[static VERDICT_N], uint64_t kernel_drops, const char *note);
bool agg_has_gap(const struct agg *agg);
/* Both as one; a count beyond AGG_GAP_MAX is told as that. */
void agg_gap_join(struct agg_gap *into, const struct agg_gap *from);

const char *agg_name(const struct agg *agg, const struct agg_entry *entry); /* name_len octets */

/* More than half full: time to write it out. */
bool agg_is_filling(const struct agg *agg);

/* Drop the entries of one file, which has them now. */
void agg_drop_file(struct agg *agg, uint32_t day, enum day_kind kind);

/**
 * Make room: 1. allowed entries give up client and answer; 2. all allowed entries become a gap;
 * 3. denials give up client and answer; 4. denials become a gap. Each step is taken only if the one
 * before did not free a quarter of the room. Returns false when there is nothing left to give up.
 */
bool agg_shrink(struct agg *agg);

size_t agg_saved_bytes(const struct agg *agg); /* of all entries when saved */
