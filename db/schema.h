/* db/schema.h - the tables of a history file. Told to people in docs/history.md.
 *
 *   query   one row for each entry: t, id, what, client, port, latency, ttl      (the large table)
 *   fold    those rows that stand for several queries: t, count, last, last_id
 *   what    everything that repeats: name, workload, type, verdict, rule, answer ...
 *   name, client, workload, rule, feed, type, reason, rcode   what the numbers mean
 *   answer, rr   what was given, by content hash
 *   gap     what is missing
 *   ring, saved  up to where the rings and the backlog are contained (exactly-once)
 *   file    one row: whose day, the smallest and largest id, the last transaction, and
 *           fold_span: the largest distance between a row's id and its fold's last_id
 *
 * query.t is the row's place in time and its key: microseconds since the day began, times
 * SCHEMA_TIES, plus a tie-break. So a range of time is a range of the table, and no index on time
 * is needed.
 */
#pragma once

#include <sqlite3.h>
#include <stdint.h>

#include "day.h"
#include "sallyport/cleanup.h"
#include "sallyport/diag.h"
#include "sql.h"

#define SCHEMA_APPLICATION_ID 0x53504844 /* "SPHD" */
#define SCHEMA_VERSION 2
#define SCHEMA_TIES 32

/* Make the tables in an empty file, or bring an older one (of which a copy is kept beside @path) to
 * this version. @id_base: query.id counts from here (only for an empty file). Returns 0,
 * ERR_DAMAGED, ERR_VERSION or another error. */
int schema_make(sqlite3 *db, const char *path, uint32_t day, enum day_kind kind, uint64_t id_base,
                sql_alive_cb *alive, void *alive_arg, struct diag *diag) MUST_CHECK;
/* Is it a history file that can be read? Files of days gone by stay as they are, so readers know
 * every version up to ours:
 *   1  without query_id, fold_last_id and file.fold_span
 * The same errors. */
int schema_check(sqlite3 *db, int64_t *ret_version) MUST_CHECK;
