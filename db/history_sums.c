/* db/history_sums.c - top and who: many rows into few.
 *
 * The sums grow in a temporary database, which spills to disk: a tunnel's million names cost time,
 * not memory.
 */
#include <stdio.h>
#include <string.h>

#include "history_core.h"
#include "pattern.h"
#include "schema.h"

#define LOOK_BACK_DAYS 8 /* who --at: TTLs are at most a week (RFC 8767, section 4) */

static int open_sums(const char *tables, sqlite3 **ret_db)
{
	CLEANUP(sqlite3_close) sqlite3 *db = NULL;
	int r;

	r = sql_err(sqlite3_open_v2(
	    "", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL));
	if (r == 0)
		r = sql_exec(db, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
		                 "PRAGMA cache_size=-65536");
	if (r == 0)
		r = sql_exec(db, tables);
	if (r == 0)
		r = sql_exec(db, "BEGIN");
	if (r < 0)
		return r;
	*ret_db = TAKE(db);
	return ERR_OK;
}

static void copy_column(sqlite3_stmt *to, int parameter, sqlite3_stmt *from, int column)
{
	sqlite3_bind_value(to, parameter, sqlite3_column_value(from, column));
}

/* Key range of a file for the filter's range of time. */
static void bind_range(sqlite3_stmt *stmt, int first, const struct reader *reader,
                       const struct history_filter *filter)
{
	struct reader_keys range;

	reader_keys_init(&range, reader, filter);
	sqlite3_bind_int64(stmt, first, range.from);
	sqlite3_bind_int64(stmt, first + 1, range.until);
}

/* --- top ------------------------------------------------------------------------------------- */

/* Sums of each row of what that matches, folded by text. */
static int top_of_file(struct reader *reader, enum history_top what,
                       const struct history_filter *filter, sqlite3_stmt *add)
{
	CLEANUP(sqlite3_finalize) sqlite3_stmt *stmt = NULL;
	CLEANUP(id_set_fini) struct id_set whats = { 0 };
	CLEANUP(id_set_fini) struct id_set clients = { 0 };
	bool narrows = reader_narrows_what(filter);
	char sql[600];
	int r;

	r = reader_select(reader, filter, &whats, &clients);
	if (r < 0)
		return r;
	snprintf(sql, sizeof(sql),
	         "SELECT q.what, %s, wl.workload, w.verdict, sum(coalesce(f.count, 1)),"
	         " max(coalesce(f.last, q.t >> 5)), q.client"
	         " FROM query q JOIN what w ON w.id=q.what JOIN name n ON n.id=w.name"
	         " LEFT JOIN fold f ON f.t=q.t LEFT JOIN workload wl ON wl.id=w.workload"
	         " WHERE q.t>=?1 AND q.t<?2 %s GROUP BY q.what%s",
	         what == HISTORY_TOP_WORKLOADS ? "wl.workload" : "n.name",
	         what == HISTORY_TOP_DENIED ? "AND w.verdict=0" : "",
	         filter->has_client ? ", q.client" : "");
	r = sql_prepare(reader_sqlite(reader), sql, &stmt);
	if (r < 0)
		return r;
	bind_range(stmt, 1, reader, filter);
	while ((r = sql_step(stmt)) > 0) {
		int64_t count = sqlite3_column_int64(stmt, 4);
		uint64_t last_us =
		    reader_day(reader) * DAY_US + (uint64_t)sqlite3_column_int64(stmt, 5);

		if (narrows && !id_set_has(&whats, sqlite3_column_int64(stmt, 0)))
			continue;
		if (filter->has_client && !id_set_has(&clients, sqlite3_column_int64(stmt, 6)))
			continue;
		copy_column(add, 1, stmt, 1);
		copy_column(add, 2, stmt, 2);
		sqlite3_bind_int64(add, 3, count);
		sqlite3_bind_int64(add, 4, sqlite3_column_int(stmt, 3) == VERDICT_DENY ? count : 0);
		sqlite3_bind_int64(add, 5, (int64_t)last_us);
		r = sql_run(add);
		if (r < 0)
			return r;
	}
	return r;
}

static int tell_top(sqlite3 *sums, enum history_top what, size_t limit, history_top_cb *cb,
                    void *arg)
{
	CLEANUP(sqlite3_finalize) sqlite3_stmt *stmt = NULL;
	int r;

	r = sql_prepare(sums,
	                what == HISTORY_TOP_DENIED
	                    ? "SELECT text, sum(denied) AS n, sum(denied), count(*), max(last)"
	                      " FROM top GROUP BY text ORDER BY n DESC, text LIMIT ?"
	                    : "SELECT text, sum(count) AS n, sum(denied), count(*), max(last)"
	                      " FROM top GROUP BY text ORDER BY n DESC, text LIMIT ?",
	                &stmt);
	if (r < 0)
		return r;
	sqlite3_bind_int64(stmt, 1, limit ? (int64_t)MIN(limit, (size_t)INT32_MAX) : -1);
	while ((r = sql_step(stmt)) > 0) {
		const struct history_top_row row = {
			.text = (const char *)sqlite3_column_text(stmt, 0),
			.count = (uint64_t)sqlite3_column_int64(stmt, 1),
			.denied = (uint64_t)sqlite3_column_int64(stmt, 2),
			.n_workloads = what == HISTORY_TOP_WORKLOADS
			                   ? 0
			                   : (uint64_t)sqlite3_column_int64(stmt, 3),
			.last_ns = (uint64_t)sqlite3_column_int64(stmt, 4) * 1000,
		};

		r = cb(&row, arg);
		if (r != 0)
			return r;
	}
	return r;
}

int history_top(struct history *history, enum history_top what, const struct history_filter *filter,
                size_t limit, history_top_cb *cb, void *arg, struct history_coverage *ret_coverage,
                struct diag *diag)
{
	CLEANUP(history_files_fini) struct history_files files = { 0 };
	CLEANUP(history_filter_fini) struct history_filter wanted;
	CLEANUP(sqlite3_close) sqlite3 *sums = NULL;
	struct history_coverage coverage = { 0 };
	CLEANUP(sqlite3_finalize) sqlite3_stmt *add = NULL;
	int r;

	history_filter_init(&wanted);
	r = history_filter_copy(&wanted, filter, diag);
	if (r == 0)
		r = history_files_list(history, &wanted, &files);
	/* NULL (nobody's) is a text of its own: '' cannot be a name. */
	if (r == 0)
		r = open_sums("CREATE TABLE top (text TEXT, workload TEXT, count INTEGER,"
		              " denied INTEGER, last INTEGER);"
		              "CREATE UNIQUE INDEX top_key ON top"
		              " (coalesce(text, ''), coalesce(workload, ''))",
		              &sums);
	if (r == 0)
		r = sql_prepare(sums,
		                "INSERT INTO top VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE"
		                " SET count=count + ?3, denied=denied + ?4, last=max(last, ?5)",
		                &add);
	for (size_t i = 0; r == 0 && i < files.n; i++) {
		CLEANUP(reader_free) struct reader *reader = NULL;

		r = history_open_file(history, &files.entries[i], &coverage, diag, &reader);
		if (r > 0)
			r = top_of_file(reader, what, &wanted, add);
		if (r < 0 && r != ERR_NOMEM && r != ERR_NOSPC)
			r = ERR_OK; /* told and counted */
	}
	coverage.n_unreadable += files.n_aside;
	if (r == 0)
		r = tell_top(sums, what, limit, cb, arg);
	if (r >= 0 && ret_coverage) {
		history_cover(history, &wanted, &coverage);
		*ret_coverage = coverage;
	}
	return r;
}

/* --- who ------------------------------------------------------------------------------------- */

static const char who_tables[] =
    "CREATE TABLE who (workload TEXT, profile TEXT, client BLOB, name TEXT, owner TEXT,"
    " type INTEGER, addr BLOB, first INTEGER, last INTEGER, until INTEGER, count INTEGER,"
    " ttl INTEGER, policy_version INTEGER, rule TEXT, id INTEGER);"
    "CREATE UNIQUE INDEX who_key ON who (coalesce(workload, ''), coalesce(client, ''), name, type,"
    " addr)";
/* The row of the last time wins; until is the latest that any of them gave. */
static const char who_add[] =
    "INSERT INTO who VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)"
    " ON CONFLICT DO UPDATE SET first=min(first, ?8), count=count + ?11,"
    " until=max(until, ?10), profile=iif(?9 >= last, ?2, profile),"
    " owner=iif(?9 >= last, ?5, owner), ttl=iif(?9 >= last, ?12, ttl),"
    " policy_version=iif(?9 >= last, ?13, policy_version), rule=iif(?9 >= last, ?14, rule),"
    " id=iif(?9 >= last, ?15, id), last=max(last, ?9)";

/* An answer with TC=1 carried no addresses, and one that was not sent gave none. */
#define GAVE_NOTHING (RECORD_TRUNCATED | RECORD_UNANSWERED)

static const char who_sql[] =
    "SELECT wl.workload, wl.profile, c.addr, n.name, o.name, w.type, r.addr, q.t,"
    " coalesce(f.last, q.t >> 5), coalesce(f.count, 1), q.ttl, w.policy_version, ru.rule,"
    " coalesce(f.last_id, q.id) + (SELECT id_base FROM file), w.id, q.client"
    " FROM rr r CROSS JOIN what w ON w.answer=r.answer CROSS JOIN query q ON q.what=w.id"
    " JOIN name n ON n.id=w.name JOIN name o ON o.id=r.owner LEFT JOIN fold f ON f.t=q.t"
    " LEFT JOIN client c ON c.id=q.client LEFT JOIN workload wl ON wl.id=w.workload"
    " LEFT JOIN rule ru ON ru.id=w.rule"
    " WHERE r.addr BETWEEN ?1 AND ?2 AND q.t>=?3 AND q.t<?4 AND w.flags & ?5 = 0"
    " AND w.rcode=0 AND w.merged=0";

struct who_asked {
	const struct prefix *prefix;
	uint64_t at_us; /* 0: any time */
	const struct history_filter *filter;
};

static int who_of_file(struct reader *reader, const struct who_asked *asked, sqlite3_stmt *add)
{
	CLEANUP(sqlite3_finalize) sqlite3_stmt *stmt = NULL;
	CLEANUP(id_set_fini) struct id_set whats = { 0 };
	CLEANUP(id_set_fini) struct id_set clients = { 0 };
	bool narrows = reader_narrows_what(asked->filter);
	uint64_t begin_us = reader_day(reader) * DAY_US;
	uint8_t low[ADDR_LEN], high[ADDR_LEN];
	int r;

	r = reader_select(reader, asked->filter, &whats, &clients);
	if (r == 0)
		r = sql_prepare(reader_sqlite(reader), who_sql, &stmt);
	if (r < 0)
		return r;
	reader_prefix_range(asked->prefix, low, high);
	sqlite3_bind_blob(stmt, 1, low, ADDR_LEN, SQLITE_STATIC);
	sqlite3_bind_blob(stmt, 2, high, ADDR_LEN, SQLITE_STATIC);
	bind_range(stmt, 3, reader, asked->filter);
	sqlite3_bind_int(stmt, 5, GAVE_NOTHING);
	while ((r = sql_step(stmt)) > 0) {
		uint64_t first = reader_time_us(reader, sqlite3_column_int64(stmt, 7));
		uint64_t last = begin_us + (uint64_t)sqlite3_column_int64(stmt, 8);
		uint64_t ttl_us = (uint64_t)sqlite3_column_int64(stmt, 10) * 1000000;

		if (asked->filter->has_client &&
		    !id_set_has(&clients, sqlite3_column_int64(stmt, 15)))
			continue;
		if (narrows && !id_set_has(&whats, sqlite3_column_int64(stmt, 14)))
			continue;
		if (asked->at_us) {
			if (first > asked->at_us || last + ttl_us < asked->at_us)
				continue;
			last = MIN(last, asked->at_us);
		}
		for (int i = 0; i < 7; i++)
			copy_column(add, 1 + i, stmt, i);
		sqlite3_bind_int64(add, 8, (int64_t)first);
		sqlite3_bind_int64(add, 9, (int64_t)last);
		sqlite3_bind_int64(add, 10, (int64_t)(last + ttl_us));
		copy_column(add, 11, stmt, 9);
		copy_column(add, 12, stmt, 10);
		copy_column(add, 13, stmt, 11);
		copy_column(add, 14, stmt, 12);
		copy_column(add, 15, stmt, 13);
		r = sql_run(add);
		if (r < 0)
			return r;
	}
	return r;
}

static int tell_who(sqlite3 *sums, history_who_cb *cb, void *arg)
{
	CLEANUP(sqlite3_finalize) sqlite3_stmt *s = NULL;
	int r;

	r = sql_prepare(sums, "SELECT * FROM who ORDER BY last DESC, workload, name", &s);
	if (r < 0)
		return r;
	while ((r = sql_step(s)) > 0) {
		const void *client = sqlite3_column_blob(s, 2), *addr = sqlite3_column_blob(s, 6);
		struct history_who who = {
			.workload = (const char *)sqlite3_column_text(s, 0),
			.profile = (const char *)sqlite3_column_text(s, 1),
			.has_client = client && sqlite3_column_bytes(s, 2) == ADDR_LEN,
			.name = sql_text(s, 3),
			.owner = sql_text(s, 4),
			.type = (uint16_t)sqlite3_column_int(s, 5),
			.first_ns = (uint64_t)sqlite3_column_int64(s, 7) * 1000,
			.last_ns = (uint64_t)sqlite3_column_int64(s, 8) * 1000,
			.until_ns = (uint64_t)sqlite3_column_int64(s, 9) * 1000,
			.count = (uint64_t)sqlite3_column_int64(s, 10),
			.ttl = (uint32_t)sqlite3_column_int64(s, 11),
			.policy_version = (uint32_t)sqlite3_column_int64(s, 12),
			.rule = (const char *)sqlite3_column_text(s, 13),
			.id = (uint64_t)sqlite3_column_int64(s, 14),
		};

		if (who.has_client)
			memcpy(who.client, client, ADDR_LEN);
		if (addr && sqlite3_column_bytes(s, 6) == ADDR_LEN)
			memcpy(who.addr, addr, ADDR_LEN);
		r = cb(&who, arg);
		if (r != 0)
			return r;
	}
	return r;
}

int history_who(struct history *history, const struct prefix *prefix, uint64_t at_ns,
                const struct history_filter *filter, history_who_cb *cb, void *arg,
                struct history_coverage *ret_coverage, struct diag *diag)
{
	CLEANUP(history_files_fini) struct history_files files = { 0 };
	CLEANUP(history_filter_fini) struct history_filter wanted;
	CLEANUP(sqlite3_close) sqlite3 *sums = NULL;
	CLEANUP(sqlite3_finalize) sqlite3_stmt *add = NULL;
	struct who_asked asked = { prefix, at_ns / 1000, &wanted };
	struct history_coverage coverage = { 0 };
	struct history_filter any;
	int r;

	history_filter_init(&wanted);
	history_filter_init(&any);
	r = history_filter_copy(&wanted, filter ? filter : &any, diag);
	if (at_ns) {
		uint64_t back_ns = LOOK_BACK_DAYS * DAY_NS;

		wanted.since_ns = at_ns > back_ns ? at_ns - back_ns : 0;
		wanted.until_ns = at_ns + 1000;
	}
	if (r == 0)
		r = history_files_list(history, &wanted, &files);
	if (r == 0)
		r = open_sums(who_tables, &sums);
	if (r == 0)
		r = sql_prepare(sums, who_add, &add);
	for (size_t i = 0; r == 0 && i < files.n; i++) {
		CLEANUP(reader_free) struct reader *reader = NULL;

		r = history_open_file(history, &files.entries[i], &coverage, diag, &reader);
		if (r > 0)
			r = who_of_file(reader, &asked, add);
		if (r < 0 && r != ERR_NOMEM && r != ERR_NOSPC)
			r = ERR_OK; /* told and counted */
	}
	coverage.n_unreadable += files.n_aside;
	if (r == 0)
		r = tell_who(sums, cb, arg);
	if (r >= 0 && ret_coverage) {
		history_cover(history, &wanted, &coverage);
		*ret_coverage = coverage;
	}
	return r;
}
