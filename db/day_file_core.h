/* db/day_file_core.h - what the sources of a history file share.
 *
 *   day_file.c          opening, closing, transactions, up to where it contains the rings
 *   day_file_words.c    what repeats: names, clients, workloads, rules, feeds, types
 *   day_file_answers.c  what was given, by content hash
 *   day_file_rows.c     queries and gaps
 */
#pragma once

#include <sqlite3.h>

#include "day_file.h"
#include "idmap.h"
#include "sql.h"

#define HISTORY_TAG "history"

enum stmt {
	STMT_BEGIN,
	STMT_COMMIT,
	STMT_ROLLBACK,
	STMT_NAME_GET,
	STMT_NAME_PUT,
	STMT_CLIENT_GET,
	STMT_CLIENT_PUT,
	STMT_WORKLOAD_GET,
	STMT_WORKLOAD_PUT,
	STMT_RULE_GET,
	STMT_RULE_PUT,
	STMT_FEED_GET,
	STMT_FEED_PUT,
	STMT_TYPE_PUT,
	STMT_ANSWER_GET,
	STMT_ANSWER_PUT,
	STMT_ANSWER_LEARN,
	STMT_RR_PUT,
	STMT_WHAT_PUT,
	STMT_QUERY_PUT,
	STMT_FOLD_PUT,
	STMT_GAP_PUT,
	STMT_GAP_EXTEND,
	STMT_RING_PUT,
	STMT_RING_GET,
	STMT_SAVED_PUT,
	STMT_SAVED_GET,
	STMT_FILE_PUT,
	STMT_N,
};

/* Everything that repeats: the key of table what. */
struct day_file_texts {
	int64_t workload, rule, feed; /* 0: none */
};
struct day_file_what {
	int64_t name, answer;
	struct day_file_texts texts;
	uint32_t policy_version;
	uint16_t type, class, rcode, ede, flags;
	uint8_t verdict, reason, dnssec, proto, merged, zero[5];
};
_Static_assert(sizeof(struct day_file_what) == 64, "no padding");

struct day_file {
	sqlite3 *db;
	sqlite3_stmt *stmts[STMT_N]; /* texts: day_file.c */
	struct idmap names, clients, texts, answers, whats;
	uint8_t types[65536 / 8]; /* bit: the type's text is in the file */
	uint64_t id_base;
	int64_t fold_span;                /* of this transaction: largest last_id - id */
	uint64_t id_min, id_max, last_us; /* of this transaction; id_max 0: none */
	int64_t t_last; /* of the last row of this transaction; rows come in order of time */
	int log_failed; /* SQLite's word for why it was not emptied last */
	int log_pages, log_pages_max; /* after the last commit; more: held */
	uint32_t day;
	enum day_kind kind;
};

/* Step a statement that inserts; the new row's id. */
int day_file_add_row(struct day_file *file, sqlite3_stmt *stmt, int64_t *ret_id) MUST_CHECK;
/* The id of what @put inserts or, if it is there, @get finds. */
int day_file_intern(struct day_file *file, sqlite3_stmt *put, sqlite3_stmt *get,
                    int64_t *ret_id) MUST_CHECK;

/* The ids of what repeats, put there if they are not yet. */
int day_file_name_id(struct day_file *file, const char *name, size_t len,
                     int64_t *ret_id) MUST_CHECK;
int day_file_client_id(struct day_file *file, const uint8_t addr[static ADDR_LEN],
                       int64_t *ret_id) MUST_CHECK;
int day_file_texts(struct day_file *file, const struct agg_key *key, const struct catalog *catalog,
                   struct day_file_texts *ret_texts) MUST_CHECK;
int day_file_type(struct day_file *file, uint16_t type) MUST_CHECK;

/* The row of an answer's hash, made if it is not there; @ret_known: with content. */
int day_file_answer_id(struct day_file *file, const uint8_t id[static ANSWER_ID_LEN],
                       int64_t *ret_row, bool *ret_known) MUST_CHECK;
