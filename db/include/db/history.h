/* db/history.h - reading the history: listings, follow, top, who.
 *
 * For members of the analyst group, without root: every file is opened read-only, and nothing here
 * changes, locks out or checkpoints anything. It works while the historian writes, when it is
 * stopped and after it was killed. Files come and go (a new day, retention) without harm.
 *
 * A file that cannot be read is skipped, never hidden: it is counted in the coverage, with a
 * warning in its diag.
 *
 *     history_open(dir, &history, diag);
 *     history_query(history, &filter, &iter, diag);
 *     while ((r = history_next(iter, &row)) > 0)
 *             ...
 *     history_iter_coverage(iter, &coverage);
 *
 * A struct history and its iterators belong to one thread. Times are wall clock, ns since 1970;
 * the files keep microseconds.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/diag.h"
#include "sallyport/err.h"
#include "sallyport/prefix.h"
#include "sallyport/record.h"

struct history; /* opaque: one directory of history files */

/* Returns 0, ERR_NOENT (no such directory), ERR_DENIED (may not be read) or another error. An empty
 * directory is fine. */
int history_open(const char *dir, struct history **ret_history, struct diag *diag) MUST_CHECK;
void history_free(struct history *history); /* after its iterators; NULL is fine */
DEFINE_CLEANUP(struct history *, history_free)

#define HISTORY_ANY (-1)

/* What to show. history_filter_init() first: it takes everything, newest first. Texts are borrowed
 * until history_query() returns. */
struct history_filter {
	const char *workload; /* exact; NULL: any. "-": queries of nobody's source */
	const char *profile;
	/* "db.corp.test" (final dot optional): this name. "**.corp.test": all below, at any depth.
	 * With other "*": a pattern as in the policy; * never crosses a dot. In any letter case. */
	const char *name;
	bool has_address; /* an answer carried an address of this prefix */
	struct prefix address;
	bool has_client; /* asked from this prefix */
	struct prefix client;
	int verdict;       /* enum verdict_kind, or HISTORY_ANY */
	int reason;        /* enum reason, or HISTORY_ANY */
	int type;          /* QTYPE, or HISTORY_ANY */
	int rcode;         /* or HISTORY_ANY */
	int dnssec;        /* enum dnssec_state, or HISTORY_ANY */
	const char *rule;  /* as shown: "allow db.corp.test"; without the first word: both */
	uint64_t since_ns; /* from then on; 0: from the beginning */
	uint64_t until_ns; /* before that; 0: up to now */
	/* This query; 0: any. If no row has it as its id or last_id: the rows between whose two it
	 * lies, one of which stands for it. */
	uint64_t id;
	bool oldest_first;
	bool no_gaps;   /* leave gap rows out */
	uint64_t limit; /* rows, gaps not counted; 0: all */
};
void history_filter_init(struct history_filter *filter);

enum history_kind { HISTORY_QUERY, HISTORY_GAP };

/* Why something is missing. X(symbol, text, what it means) */
#define HISTORY_GAPS_(X)                                                                           \
	X(RING, "ring full", "workers had no room in their ring")                                  \
	X(KERNEL, "kernel", "the kernel dropped datagrams before they were read")                  \
	X(CRASH, "crash", "recorded, but gone before it could be read from the ring")              \
	X(AREA, "backlog full", "disk full or slow for longer than the backlog could hold")        \
	X(DAMAGED, "damaged file", "a history file was damaged and moved aside")                   \
	X(CLOCK, "clock", "the wall clock jumped; nothing is missing, but times are not even")     \
	X(FORMAT, "format", "records that failed their checks")
#define HISTORY_GAP_ENUM_(sym, text, what) HISTORY_GAP_##sym,
enum history_gap { HISTORY_GAPS_(HISTORY_GAP_ENUM_) HISTORY_GAP_N };
const char *history_gap_str(unsigned int gap); /* "ring full" ...; "?" if unknown */

struct history_answer {
	const char *name; /* owner, presentation form, final dot */
	const char *data; /* RDATA in presentation form */
	uint32_t ttl;     /* as upstream gave it */
	uint16_t type;
	bool has_addr;
	uint8_t addr[ADDR_LEN];
};

struct history_row {
	enum history_kind kind;
	uint64_t time_ns; /* of the first query it stands for; a gap: from */
	uint64_t last_ns; /* of the last; a gap: until */
	uint64_t count;   /* queries it stands for, at least 1; a gap: 0 */

	/* HISTORY_QUERY. Texts are never NULL unless said. Of a row that stands for several: id is
	 * the smallest, last_id the largest, client_port the first one's, latency_us and ttl the
	 * largest. */
	uint64_t id, last_id;
	const char *workload; /* NULL: the source belongs to none */
	const char *profile;  /* NULL likewise */
	bool has_client;      /* false: merged while the disk was full; see merged */
	uint8_t client[ADDR_LEN];
	uint16_t client_port;
	uint8_t proto; /* IPPROTO_UDP, IPPROTO_TCP */
	const char
	    *name; /* final dot, escaped; "": the message held no question that could be read */
	uint16_t type, class;
	uint8_t verdict;       /* enum verdict_kind */
	uint8_t reason;        /* enum reason */
	uint8_t dnssec;        /* enum dnssec_state */
	bool merged;           /* client, answers, ttl were given up for room; count is exact */
	const char *rule;      /* "allow db.corp.test"; NULL: none */
	const char *rule_file; /* NULL when there is no rule */
	uint32_t rule_line;
	const char *feed;        /* NULL: none */
	uint32_t policy_version; /* 0: none was loaded */
	uint16_t rcode;
	uint16_t ede;   /* or RECORD_NO_EDE */
	uint16_t flags; /* enum record_flag */
	uint32_t latency_us;
	uint32_t ttl; /* given with the addresses */
	bool has_upstream;
	uint8_t upstream[ADDR_LEN];
	uint16_t upstream_port;
	const struct history_answer *answers;
	size_t n_answers;
	bool answers_cut;     /* records were left out at a limit */
	bool answers_unknown; /* there was an answer, but no file knows its content any more */
	uint8_t answer_id[ANSWER_ID_LEN]; /* zero: no answer data */

	/* HISTORY_GAP */
	enum history_gap gap;
	uint64_t lost[VERDICT_N]; /* queries missing, by verdict */
	uint64_t kernel_drops;    /* HISTORY_GAP_KERNEL: datagrams, never judged */
	const char *note;         /* for people, may be "" */
};

/* Which range a listing really covered. */
struct history_coverage {
	uint64_t allow_from_ns; /* allowed queries are complete from here on; 0: there are none */
	uint64_t deny_from_ns;  /* the same for denials and failures */
	uint64_t until_ns;      /* up to here: the last transaction, or the filter's until */
	size_t n_files;         /* files looked into */
	size_t n_unreadable;    /* files that could not be read, aside ones (.damaged-) included */
};

struct history_iter; /* opaque */

/* Begin a listing: files newest first (or oldest first), rows in order of time, gaps inline.
 * Returns 0, ERR_CONFIG (the filter makes no sense; the diag says why) or an error. */
int history_query(struct history *history, const struct history_filter *filter,
                  struct history_iter **ret_iter, struct diag *diag) MUST_CHECK;

/* Begin to follow: rows that are written from now on (or from filter->since_ns on, if set, at most
 * since yesterday began), oldest
 * first, in the order in which they are written. history_next() returns 0 when there is nothing new
 * yet: call it again after a while. until_ns, limit and oldest_first do not count. */
int history_follow(struct history *history, const struct history_filter *filter,
                   struct history_iter **ret_iter, struct diag *diag) MUST_CHECK;

/* Returns 1 with a row borrowed until the next call on @iter, 0 (no more, or not yet), or an
 * error. */
int history_next(struct history_iter *iter, const struct history_row **ret_row) MUST_CHECK;
/* Valid when history_next() has returned 0. */
void history_iter_coverage(const struct history_iter *iter, struct history_coverage *ret_coverage);
void history_iter_free(struct history_iter *iter); /* NULL is fine */
DEFINE_CLEANUP(struct history_iter *, history_iter_free)

enum history_top { HISTORY_TOP_NAMES, HISTORY_TOP_WORKLOADS, HISTORY_TOP_DENIED };
struct history_top_row {
	const char *text;     /* name, or workload (NULL: nobody's) */
	uint64_t count;       /* queries; HISTORY_TOP_DENIED: denied ones */
	uint64_t denied;      /* of these */
	uint64_t n_workloads; /* that asked it; names only */
	uint64_t last_ns;
};
typedef int history_top_cb(const struct history_top_row *row, void *arg);
/* The @limit most frequent, most first. A nonzero result of @cb ends it and is returned. since,
 * until and all other fields of @filter but limit and order count. @ret_coverage may be NULL. */
int history_top(struct history *history, enum history_top what, const struct history_filter *filter,
                size_t limit, history_top_cb *cb, void *arg, struct history_coverage *ret_coverage,
                struct diag *diag) MUST_CHECK;

struct history_who {
	const char *workload, *profile; /* NULL: nobody's source */
	bool has_client;
	uint8_t client[ADDR_LEN];
	const char *name;  /* that was asked */
	const char *owner; /* of the address record: the end of the chain */
	uint16_t type;     /* QTYPE */
	uint8_t addr[ADDR_LEN];
	uint64_t first_ns; /* first and last time given (at or before the moment asked for) */
	uint64_t last_ns;
	uint64_t until_ns;       /* last time given + the TTL given then */
	uint64_t count;          /* times given */
	uint32_t ttl;            /* given the last time */
	uint32_t policy_version; /* of the last time, like the rest */
	const char *rule;        /* NULL: none */
	uint64_t id;             /* the query that gave it last */
};
typedef int history_who_cb(const struct history_who *who, void *arg);
/* Which names gave an address of @prefix to whom, and until when; one call for each (workload,
 * client, name, type, address), latest first. @at_ns nonzero: only what was valid at that moment.
 * With 0, everything between @filter's since and until. workload, profile, client and name of
 * @filter count, too; it may be NULL. */
int history_who(struct history *history, const struct prefix *prefix, uint64_t at_ns,
                const struct history_filter *filter, history_who_cb *cb, void *arg,
                struct history_coverage *ret_coverage, struct diag *diag) MUST_CHECK;
