/* db/schema.c - the tables of a history file. */
#include "schema.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "db/history.h"
#include "sallyport/verdict.h"
#include "sql.h"

static const char version_1[] =
    "CREATE TABLE file (day INTEGER NOT NULL, kind TEXT NOT NULL, id_base INTEGER NOT NULL,"
    " id_min INTEGER, id_max INTEGER, last_us INTEGER, committed_us INTEGER);"
    "CREATE TABLE name (id INTEGER PRIMARY KEY, name TEXT NOT NULL, rev TEXT NOT NULL UNIQUE);"
    "CREATE TABLE client (id INTEGER PRIMARY KEY, addr BLOB NOT NULL UNIQUE,"
    " client TEXT NOT NULL);"
    "CREATE TABLE workload (id INTEGER PRIMARY KEY, workload TEXT NOT NULL,"
    " profile TEXT NOT NULL, UNIQUE (workload, profile));"
    "CREATE TABLE rule (id INTEGER PRIMARY KEY, rule TEXT NOT NULL, file TEXT NOT NULL,"
    " line INTEGER NOT NULL, UNIQUE (rule, file, line));"
    "CREATE TABLE feed (id INTEGER PRIMARY KEY, feed TEXT NOT NULL UNIQUE);"
    "CREATE TABLE type (id INTEGER PRIMARY KEY, type TEXT NOT NULL);"
    "CREATE TABLE reason (id INTEGER PRIMARY KEY, reason TEXT NOT NULL);"
    "CREATE TABLE rcode (id INTEGER PRIMARY KEY, rcode TEXT NOT NULL);"
    "INSERT INTO rcode VALUES (0, 'NOERROR'), (1, 'FORMERR'), (2, 'SERVFAIL'), (3, 'NXDOMAIN'),"
    " (4, 'NOTIMP'), (5, 'REFUSED'), (16, 'BADVERS'), (23, 'BADCOOKIE');"
    "CREATE TABLE answer (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, known INTEGER NOT "
    "NULL,"
    " upstream TEXT, upstream_port INTEGER, dnssec INTEGER, cut INTEGER);"
    "CREATE TABLE rr (answer INTEGER NOT NULL, n INTEGER NOT NULL, owner INTEGER NOT NULL,"
    " type INTEGER NOT NULL, ttl INTEGER NOT NULL, data TEXT NOT NULL, addr BLOB,"
    " PRIMARY KEY (answer, n)) WITHOUT ROWID;"
    "CREATE INDEX rr_addr ON rr (addr) WHERE addr IS NOT NULL;"
    "CREATE TABLE what (id INTEGER PRIMARY KEY, name INTEGER NOT NULL, workload INTEGER,"
    " type INTEGER NOT NULL, class INTEGER NOT NULL, verdict INTEGER NOT NULL,"
    " reason INTEGER NOT NULL, rule INTEGER, feed INTEGER, policy_version INTEGER NOT NULL,"
    " rcode INTEGER NOT NULL, ede INTEGER, dnssec INTEGER NOT NULL, flags INTEGER NOT NULL,"
    " proto INTEGER NOT NULL, merged INTEGER NOT NULL, answer INTEGER);"
    "CREATE INDEX what_name ON what (name);"
    "CREATE INDEX what_answer ON what (answer) WHERE answer IS NOT NULL;"
    "CREATE INDEX what_denied ON what (workload, name) WHERE verdict = 0;"
    "CREATE TABLE query (t INTEGER PRIMARY KEY, id INTEGER, what INTEGER NOT NULL, client INTEGER,"
    " port INTEGER, latency INTEGER, ttl INTEGER);"
    "CREATE INDEX query_what ON query (what);"
    "CREATE TABLE fold (t INTEGER PRIMARY KEY, count INTEGER NOT NULL, last INTEGER NOT NULL,"
    " last_id INTEGER NOT NULL);"
    "CREATE TABLE gap (id INTEGER PRIMARY KEY, from_us INTEGER NOT NULL, until_us INTEGER NOT NULL,"
    " cause INTEGER NOT NULL, deny INTEGER NOT NULL, allow INTEGER NOT NULL,"
    " local INTEGER NOT NULL, kernel_drops INTEGER NOT NULL, note TEXT NOT NULL);"
    "CREATE TABLE cause (id INTEGER PRIMARY KEY, cause TEXT NOT NULL);"
    "CREATE TABLE ring (id INTEGER PRIMARY KEY, pos INTEGER NOT NULL, lost_deny INTEGER NOT NULL,"
    " lost_allow INTEGER NOT NULL, lost_local INTEGER NOT NULL, vanished_deny INTEGER NOT NULL,"
    " vanished_allow INTEGER NOT NULL, vanished_local INTEGER NOT NULL,"
    " kernel_drops INTEGER NOT NULL);"
    "CREATE TABLE saved (area INTEGER PRIMARY KEY, generation INTEGER NOT NULL);";

/* A query is found by its number; one that a row stands for lies at most fold_span below last_id.
 */
static const char version_2[] =
    "CREATE INDEX query_id ON query (id);"
    "CREATE INDEX fold_last_id ON fold (last_id);"
    "ALTER TABLE file ADD COLUMN fold_span INTEGER;"
    "UPDATE file SET fold_span=(SELECT max(f.last_id - q.id) FROM fold f JOIN query q ON q.t=f.t);";

static const char *const steps[] = { version_1, version_2 };
_Static_assert(ARRAY_LEN(steps) == SCHEMA_VERSION, "a step leads to each version");

/* Stable: analysts' own SQL depends on these names. @DAY@ is the day's first microsecond, @ID@ the
 * file's id_base. */
/* clang-format off */
#define RFC3339_(x)                                                                                \
	"strftime('%Y-%m-%dT%H:%M:%S', (" x ") / 1000000, 'unixepoch')"                            \
	" || printf('.%06dZ', (" x ") % 1000000)"
#define FIRST_US "@DAY@ + (q.t >> 5)"
#define LAST_US "@DAY@ + coalesce(f.last, q.t >> 5)"
#define DNSSEC_(column)                                                                            \
	"CASE " column " WHEN 0 THEN 'unchecked' WHEN 1 THEN 'bogus' WHEN 2 THEN 'indeterminate'"  \
	" WHEN 3 THEN 'insecure' WHEN 4 THEN 'secure' END"
static const char views[] =
	"CREATE VIEW queries AS SELECT q.id + @ID@ AS id,"
	" " RFC3339_(FIRST_US) " AS time, " RFC3339_(LAST_US) " AS last,"
	" " FIRST_US " AS time_us, " LAST_US " AS last_us, coalesce(f.count, 1) AS count,"
	" wl.workload AS workload, wl.profile AS profile,"
	" c.client AS client, q.port + 32768 AS client_port,"
	" CASE w.proto WHEN 17 THEN 'udp' WHEN 6 THEN 'tcp' END AS proto,"
	" n.name AS name, n.rev AS rev, coalesce(ty.type, 'TYPE' || w.type) AS type,"
	" w.class AS class,"
	" CASE w.verdict WHEN 0 THEN 'deny' WHEN 1 THEN 'allow' WHEN 2 THEN 'local' END AS verdict,"
	" re.reason AS reason, ru.rule AS rule, ru.file AS rule_file, ru.line AS rule_line,"
	" fe.feed AS feed, w.policy_version AS policy_version,"
	" coalesce(rc.rcode, 'RCODE' || w.rcode) AS rcode, w.ede AS ede,"
	" " DNSSEC_("w.dnssec") " AS dnssec,"
	" w.flags & 1 AS cached, (w.flags >> 1) & 1 AS stale, (w.flags >> 2) & 1 AS truncated,"
	" (w.flags >> 6) & 1 AS observed, (w.flags >> 7) & 1 AS unanswered,"
	" (w.flags >> 8) & 1 AS stripped, w.flags AS flags, w.merged AS merged,"
	" q.latency AS latency_us, q.ttl AS ttl,"
	" (SELECT group_concat(data, ' ') FROM rr WHERE rr.answer = w.answer"
	"  AND rr.addr IS NOT NULL) AS addresses,"
	" a.upstream AS upstream, a.upstream_port AS upstream_port, lower(hex(a.hash)) AS answer_id"
	" FROM query q JOIN what w ON w.id = q.what JOIN name n ON n.id = w.name"
	" LEFT JOIN fold f ON f.t = q.t LEFT JOIN workload wl ON wl.id = w.workload"
	" LEFT JOIN client c ON c.id = q.client LEFT JOIN type ty ON ty.id = w.type"
	" LEFT JOIN reason re ON re.id = w.reason LEFT JOIN rule ru ON ru.id = w.rule"
	" LEFT JOIN feed fe ON fe.id = w.feed LEFT JOIN rcode rc ON rc.id = w.rcode"
	" LEFT JOIN answer a ON a.id = w.answer;"
	"CREATE VIEW answers AS SELECT lower(hex(a.hash)) AS answer_id, r.n AS n, n.name AS name,"
	" coalesce(ty.type, 'TYPE' || r.type) AS type, r.ttl AS ttl, r.data AS data, r.addr AS addr,"
	" a.upstream AS upstream, a.upstream_port AS upstream_port,"
	" " DNSSEC_("a.dnssec") " AS dnssec, a.cut AS cut"
	" FROM answer a JOIN rr r ON r.answer = a.id JOIN name n ON n.id = r.owner"
	" LEFT JOIN type ty ON ty.id = r.type;"
	"CREATE VIEW gaps AS SELECT " RFC3339_("g.from_us") " AS since,"
	" " RFC3339_("g.until_us") " AS until, g.from_us AS from_us, g.until_us AS until_us,"
	" k.cause AS cause, g.deny AS deny, g.allow AS allow, g.local AS local,"
	" g.kernel_drops AS kernel_drops, g.note AS note"
	" FROM gap g LEFT JOIN cause k ON k.id = g.cause;";
/* clang-format on */

static int fill(sqlite3 *db, const char *table, int n, const char *(*text)(unsigned int))
{
	CLEANUP(sqlite3_finalize) sqlite3_stmt *stmt = NULL;
	char sql[64];
	int r;

	snprintf(sql, sizeof(sql), "INSERT INTO %s VALUES (?,?)", table);
	r = sql_prepare(db, sql, &stmt);
	for (int i = 0; r == 0 && i < n; i++) {
		sqlite3_bind_int(stmt, 1, i);
		sqlite3_bind_text(stmt, 2, text((unsigned int)i), -1, SQLITE_STATIC);
		r = sql_run(stmt);
	}
	return r;
}

const char *history_gap_str(unsigned int gap)
{
#define GAP_TEXT_(sym, text, what) [HISTORY_GAP_##sym] = text,
	static const char *const texts[HISTORY_GAP_N] = { HISTORY_GAPS_(GAP_TEXT_) };

	return gap < HISTORY_GAP_N ? texts[gap] : "?";
}

/* The views name the file's own constants: @ID@ is id_base, @DAY@ the first microsecond. */
static int make_views(sqlite3 *db, uint32_t day, uint64_t id_base)
{
	CLEANUP(free) char *sql = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&sql, &len);
	const char *at = views;

	if (!out)
		return ERR_NOMEM;
	for (const char *mark; (mark = strchr(at, '@')); at = strchr(mark + 1, '@') + 1) {
		fwrite(at, 1, (size_t)(mark - at), out);
		fprintf(out, "%" PRIu64, mark[1] == 'I' ? id_base : day * DAY_US);
	}
	fputs(at, out);
	if (fclose(out) != 0)
		return ERR_NOMEM;
	return sql_exec(db, sql);
}

struct birth {
	uint32_t day;
	enum day_kind kind;
	uint64_t id_base;
};

static int fill_new(sqlite3 *db, const void *arg)
{
	const struct birth *birth = arg;
	char sql[128];
	int r;

	r = fill(db, "reason", REASON_N, reason_str);
	if (r == 0)
		r = fill(db, "cause", HISTORY_GAP_N, history_gap_str);
	if (r == 0)
		r = make_views(db, birth->day, birth->id_base);
	if (r < 0)
		return r;
	snprintf(sql, sizeof(sql),
	         "INSERT INTO file (day, kind, id_base) VALUES (%" PRIu32 ", '%s', %" PRIu64 ")",
	         birth->day, birth->kind == DAY_DENY ? "deny" : "allow", birth->id_base);
	return sql_exec(db, sql);
}

int schema_check(sqlite3 *db, int64_t *ret_version)
{
	int64_t version = 0, application = 0;
	int r;

	r = sql_int(db, "PRAGMA application_id", &application);
	if (r == 0)
		r = sql_int(db, "PRAGMA user_version", &version);
	if (r < 0)
		return r;
	if (application != SCHEMA_APPLICATION_ID || version < 1)
		return ERR_DAMAGED;
	*ret_version = version;
	return version > SCHEMA_VERSION ? ERR_VERSION : ERR_OK;
}

int schema_make(sqlite3 *db, const char *path, uint32_t day, enum day_kind kind, uint64_t id_base,
                sql_alive_cb *alive, void *alive_arg, struct diag *diag)
{
	const struct birth birth = { day, kind, id_base };
	const struct sql_schema schema = { .application_id = SCHEMA_APPLICATION_ID,
		                           .steps = steps,
		                           .n_steps = SCHEMA_VERSION,
		                           .fill = fill_new,
		                           .fill_arg = &birth,
		                           .alive = alive,
		                           .alive_arg = alive_arg };

	return sql_migrate(db, &schema, path, diag);
}
