/* db/reader.c - one history file, opened to be read. */
#include "reader.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "reader_core.h"
#include "schema.h"

#define PATH_LEN 4096

/* --- opening --------------------------------------------------------------------------------- */

static bool has_wal(const char *path)
{
	char wal[PATH_LEN + 8];
	struct stat st;

	snprintf(wal, sizeof(wal), "%s-wal", path);
	return stat(wal, &st) == 0;
}

/* "file:PATH?immutable=1": for a file whose log is gone and in whose folder we may not write. */
static int immutable_uri(const char *path, char out[static 3 * PATH_LEN + 32])
{
	size_t at = (size_t)sprintf(out, "file:");

	for (; *path; path++) {
		if (strchr("%?#", *path))
			at += (size_t)sprintf(out + at, "%%%02x", (unsigned int)*path);
		else
			out[at++] = *path;
	}
	memcpy(out + at, "?immutable=1", sizeof("?immutable=1"));
	return ERR_OK;
}

static int open_sqlite(const char *name, int flags, sqlite3 **ret_db, int64_t *ret_version)
{
	CLEANUP(sqlite3_close) sqlite3 *db = NULL;
	int r;

	r = sql_err(
	    sqlite3_open_v2(name, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | flags, NULL));
	if (r < 0)
		return r;
	sqlite3_busy_timeout(db, 1000);
	sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	r = sql_exec(db, "PRAGMA query_only=ON; PRAGMA cell_size_check=ON; PRAGMA mmap_size=0;"
	                 "PRAGMA temp_store=MEMORY");
	if (r == 0)
		r = schema_check(db, ret_version);
	if (r < 0)
		return r;
	*ret_db = TAKE(db);
	return ERR_OK;
}

static const char row_sql[] =
    "SELECT q.id, c.addr, q.port, q.latency, q.ttl, f.count, f.last, f.last_id, w.type, w.class,"
    " w.verdict, w.reason, w.dnssec, w.policy_version, w.rcode, w.ede, w.flags, w.proto,"
    " w.merged, n.name, wl.workload, wl.profile, ru.rule, ru.file, ru.line, fe.feed, a.hash"
    " FROM query q JOIN what w ON w.id=q.what JOIN name n ON n.id=w.name"
    " LEFT JOIN fold f ON f.t=q.t LEFT JOIN client c ON c.id=q.client"
    " LEFT JOIN workload wl ON wl.id=w.workload LEFT JOIN rule ru ON ru.id=w.rule"
    " LEFT JOIN feed fe ON fe.id=w.feed LEFT JOIN answer a ON a.id=w.answer WHERE q.t=?";

int reader_open(const char *dir, uint32_t day, enum day_kind kind, struct reader **ret_reader)
{
	CLEANUP(reader_free) struct reader *reader = calloc(1, sizeof(*reader));
	char name[DAY_NAME_LEN], path[PATH_LEN], uri[3 * PATH_LEN + 32];
	struct stat st;
	int64_t id_base;
	int r;

	if (!reader)
		return ERR_NOMEM;
	reader->day = day;
	reader->kind = kind;
	day_name(day, kind, name);
	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return ERR_LIMIT;
	if (stat(path, &st) != 0)
		return -errno;
	if (st.st_size == 0 && !has_wal(path))
		return ERR_NOENT; /* being made just now */
	r = open_sqlite(path, 0, &reader->db, &reader->version);
	if (r == ERR_DENIED && !has_wal(path) && immutable_uri(path, uri) == 0)
		r = open_sqlite(uri, SQLITE_OPEN_URI, &reader->db, &reader->version);
	if (r == 0)
		r = sql_int(reader->db, "SELECT id_base FROM file", &id_base);
	if (r == 0)
		r = sql_prepare(reader->db, row_sql, &reader->row);
	if (r == 0)
		r = sql_prepare(reader->db,
		                "SELECT n.name, r.data, r.type, r.ttl, r.addr FROM rr r JOIN name n"
		                " ON n.id=r.owner WHERE r.answer=? ORDER BY r.n",
		                &reader->answers);
	if (r == 0)
		r = sql_prepare(reader->db,
		                "SELECT id, upstream, upstream_port, cut FROM answer WHERE hash=?"
		                " AND known=1",
		                &reader->answer_by_hash);
	if (r < 0)
		return r;
	reader->id_base = (uint64_t)id_base;
	*ret_reader = TAKE(reader);
	return ERR_OK;
}

void reader_free(struct reader *reader)
{
	if (!reader)
		return;
	sqlite3_finalize(reader->row);
	sqlite3_finalize(reader->answers);
	sqlite3_finalize(reader->answer_by_hash);
	sqlite3_close(reader->db);
	free(reader);
}

uint32_t reader_day(const struct reader *reader)
{
	return reader->day;
}

enum day_kind reader_kind(const struct reader *reader)
{
	return reader->kind;
}

sqlite3 *reader_sqlite(struct reader *reader)
{
	return reader->db;
}

uint64_t reader_committed_us(const struct reader *reader)
{
	int64_t us;

	if (sql_int(reader->db, "SELECT coalesce(committed_us, 0) FROM file", &us) < 0)
		return 0;
	return (uint64_t)us;
}

uint64_t reader_time_us(const struct reader *reader, int64_t t)
{
	return reader->day * DAY_US + (uint64_t)t / SCHEMA_TIES;
}

/* --- gaps ------------------------------------------------------------------------------------ */

int reader_gaps(struct reader *reader, int64_t after_id, struct reader_gap **ret_gaps,
                size_t *ret_n)
{
	CLEANUP(sqlite3_finalize) sqlite3_stmt *s = NULL;
	CLEANUP(free) struct reader_gap *gaps = NULL;
	size_t n = 0, cap = 0;
	int r;

	r = sql_prepare(
	    reader->db,
	    "SELECT id, from_us, until_us, deny, allow, local, kernel_drops, cause, note"
	    " FROM gap WHERE id>? ORDER BY from_us, id",
	    &s);
	if (r < 0)
		return r;
	sqlite3_bind_int64(s, 1, after_id);
	while (n < READER_GAPS_MAX && (r = sql_step(s)) > 0) {
		if (n == cap) {
			struct reader_gap *more;

			cap = cap ? cap * 2 : 16;
			more = realloc(gaps, cap * sizeof(*gaps));
			if (!more)
				return ERR_NOMEM;
			gaps = more;
		}
		gaps[n] = (struct reader_gap){
			.id = sqlite3_column_int64(s, 0),
			.from_us = (uint64_t)sqlite3_column_int64(s, 1),
			.until_us = (uint64_t)sqlite3_column_int64(s, 2),
			.lost = { [VERDICT_DENY] = (uint64_t)sqlite3_column_int64(s, 3),
			          [VERDICT_ALLOW] = (uint64_t)sqlite3_column_int64(s, 4),
			          [VERDICT_LOCAL] = (uint64_t)sqlite3_column_int64(s, 5) },
			.kernel_drops = (uint64_t)sqlite3_column_int64(s, 6),
			.cause = (unsigned int)sqlite3_column_int(s, 7),
		};
		snprintf(gaps[n].note, sizeof(gaps[n].note), "%s", sql_text(s, 8));
		n++;
	}
	if (n < READER_GAPS_MAX && r < 0)
		return r;
	*ret_gaps = TAKE(gaps);
	*ret_n = n;
	return ERR_OK;
}
