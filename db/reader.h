/* db/reader.h - one history file, opened to be read.
 *
 * Read-only, never checkpointed, never waited for. No statement stays open between two calls, so a
 * reader that is piped into a pager holds no snapshot and the log can be reset.
 *
 * A listing first looks for the rows of table what that can match (a small table: everything that
 * repeats), then for the rows of table query: by its index if those are few, else by walking
 * through time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "day.h"
#include "db/history.h"
#include "sallyport/cleanup.h"
#include "sql.h"

struct reader; /* opaque */

/* Returns 0, ERR_NOENT (it is gone), or why it cannot be read. */
int reader_open(const char *dir, uint32_t day, enum day_kind kind,
                struct reader **ret_reader) MUST_CHECK;
void reader_free(struct reader *reader); /* NULL is fine */
DEFINE_CLEANUP(struct reader *, reader_free)

uint32_t reader_day(const struct reader *reader);
enum day_kind reader_kind(const struct reader *reader);
uint64_t reader_committed_us(const struct reader *reader); /* of the last transaction; 0: none */
sqlite3 *reader_sqlite(struct reader *reader);             /* borrowed */

/* A set of ids of one table. */
struct id_set {
	uint64_t *bits;
	size_t n_words;
	size_t n; /* ids in the set */
};
void id_set_fini(struct id_set *set);
static inline void id_set_fini_cleanup(struct id_set *set)
{
	id_set_fini(set);
}
int id_set_add(struct id_set *set, int64_t id) MUST_CHECK;
bool id_set_has(const struct id_set *set, int64_t id);

/* First and last address of a prefix. */
void reader_prefix_range(const struct prefix *prefix, uint8_t low[static ADDR_LEN],
                         uint8_t high[static ADDR_LEN]);

/* Does the filter look at table what? (Otherwise every row of it matches.) */
bool reader_narrows_what(const struct history_filter *filter);

/* All rows of what that match, and all clients that do. */
int reader_select(struct reader *reader, const struct history_filter *filter,
                  struct id_set *ret_whats, struct id_set *ret_clients) MUST_CHECK;

struct pattern;
/* The statement that selects them, for tests that look at its plan. */
int reader_what_sql(const struct history_filter *filter, const struct pattern *pattern, char *out,
                    size_t cap) MUST_CHECK;

/* How a row matches filter->id: it has it as its id or last_id, or that lies between the two. */
enum reader_id { READER_ID_EITHER, READER_ID_OWN, READER_ID_BETWEEN };

/* Keys (query.t) of matching rows. */
struct reader_keys {
	int64_t *keys;
	size_t n, at;  /* at: the next one to be shown */
	bool complete; /* all there are; otherwise more follow behind the last one */
	bool oldest_first;
	int64_t from, until; /* range of t that is left to look into, [from, until) */
	struct id_set whats, clients;
	bool narrowed, selected;
	enum reader_id id_how;
};
void reader_keys_fini(struct reader_keys *keys);
/* Begin: nothing is read yet. */
void reader_keys_init(struct reader_keys *keys, const struct reader *reader,
                      const struct history_filter *filter);
/* Make sure that keys->at names a key. Returns 1, 0 (there is none) or an error. */
int reader_keys_fill(struct reader *reader, const struct history_filter *filter,
                     struct reader_keys *keys) MUST_CHECK;

/* The wall-clock microsecond of a key. */
uint64_t reader_time_us(const struct reader *reader, int64_t t);

/* A row with the texts that it points to. */
struct reader_row {
	struct history_row row;
	struct history_answer *answers; /* row.answers */
	char *texts;                    /* what the pointers point into */
	size_t texts_used, texts_cap;
	size_t answers_cap;
};
void reader_row_fini(struct reader_row *row);
/* Returns 1, 0 (no such row any more) or an error. Texts are valid until the next call. */
int reader_row_get(struct reader *reader, int64_t t, struct reader_row *row) MUST_CHECK;
/* Fill in the answers of @row from @reader, which may be another file; 1 if it knew them. */
int reader_row_answers(struct reader *reader, struct reader_row *row) MUST_CHECK;

/* Gap rows, oldest first; the caller frees. */
struct reader_gap {
	int64_t id;
	uint64_t from_us, until_us;
	uint64_t lost[VERDICT_N], kernel_drops;
	unsigned int cause;
	char note[64];
};
#define READER_GAPS_MAX 100000
int reader_gaps(struct reader *reader, int64_t after_id, struct reader_gap **ret_gaps,
                size_t *ret_n) MUST_CHECK;
