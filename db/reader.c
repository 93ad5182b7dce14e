/* db/reader.c - one history file, opened to be read. */
#include "reader.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agg.h"
#include "pattern.h"
#include "schema.h"

#define PATH_LEN 4096
#define CHUNK 1024              /* keys of one walk through time */
#define SELECTED_MAX 4096       /* rows of what that are looked up by index */
#define KEYS_MAX (1u << 20)     /* keys that are sorted in memory; more: walk */
#define TEXTS_BYTES (256 << 10) /* an answer's record is at most 64 KiB, so this is plenty */

struct reader {
	sqlite3 *db;
	sqlite3_stmt *row, *answers, *answer_by_hash;
	uint64_t id_base;
	int64_t version; /* of the schema */
	uint32_t day;
	enum day_kind kind;
};

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

/* --- sets of ids ----------------------------------------------------------------------------- */

void id_set_fini(struct id_set *set)
{
	free(set->bits);
	*set = (struct id_set){ 0 };
}

int id_set_add(struct id_set *set, int64_t id)
{
	size_t word = (size_t)id / 64;

	if (id < 0 || id > INT32_MAX)
		return ERR_DAMAGED; /* such a table has no file */
	if (word >= set->n_words) {
		size_t n = MAX(set->n_words * 2, word + 64);
		uint64_t *bits = realloc(set->bits, n * sizeof(*bits));

		if (!bits)
			return ERR_NOMEM;
		memset(bits + set->n_words, 0, (n - set->n_words) * sizeof(*bits));
		set->bits = bits;
		set->n_words = n;
	}
	if (!id_set_has(set, id))
		set->n++;
	set->bits[word] |= UINT64_C(1) << (id % 64);
	return ERR_OK;
}

bool id_set_has(const struct id_set *set, int64_t id)
{
	size_t word = (size_t)id / 64;

	return id >= 0 && word < set->n_words && (set->bits[word] >> (id % 64) & 1);
}

/* --- what matches ---------------------------------------------------------------------------- */

bool reader_narrows_what(const struct history_filter *f)
{
	return f->workload || f->profile || f->name || f->has_address || f->verdict >= 0 ||
	       f->reason >= 0 || f->type >= 0 || f->rcode >= 0 || f->rule;
}

/* First and last address of a prefix. */
void reader_prefix_range(const struct prefix *prefix, uint8_t low[static ADDR_LEN],
                         uint8_t high[static ADDR_LEN])
{
	for (unsigned int i = 0; i < ADDR_LEN; i++) {
		unsigned int bits = prefix->len > i * 8 ? MIN(prefix->len - i * 8, 8u) : 0;
		uint8_t host = (uint8_t)(0xff >> bits);

		low[i] = (uint8_t)(prefix->addr[i] & ~host);
		high[i] = (uint8_t)(prefix->addr[i] | host);
	}
}

static int bind_name(sqlite3_stmt *stmt, const char *parameter, const char *text)
{
	int i = sqlite3_bind_parameter_index(stmt, parameter);

	return i ? sql_err(sqlite3_bind_text(stmt, i, text, -1, SQLITE_TRANSIENT)) : ERR_OK;
}

static int bind_addr(sqlite3_stmt *stmt, const char *parameter, const uint8_t *addr)
{
	int i = sqlite3_bind_parameter_index(stmt, parameter);

	return i ? sql_err(sqlite3_bind_blob(stmt, i, addr, ADDR_LEN, SQLITE_TRANSIENT)) : ERR_OK;
}

/* The order of the joins is forced: the narrowest index first. */
int reader_what_sql(const struct history_filter *f, const struct pattern *pattern, char *out,
                    size_t cap)
{
	bool by_name = f->name && (pattern->low[0] != '\0');
	FILE *sql = fmemopen(out, cap, "w");

	if (!sql)
		return ERR_NOMEM;
	if (by_name)
		fprintf(sql,
		        "SELECT w.id, n.name FROM name n CROSS JOIN what w ON w.name=n.id"
		        " WHERE %s",
		        pattern->kind == PATTERN_EXACT ? "n.rev=:low"
		                                       : "n.rev>:low AND n.rev<:high");
	else
		fprintf(sql, "SELECT w.id, n.name FROM what w CROSS JOIN name n ON n.id=w.name"
		             " WHERE 1");
	/* A plus sign keeps an index from being used where another one is better. */
	if (f->has_address)
		fprintf(sql,
		        " AND %sw.answer IN (SELECT answer FROM rr WHERE addr"
		        " BETWEEN :low_addr AND :high_addr)",
		        by_name ? "+" : "");
	if (f->workload)
		fprintf(sql, strcmp(f->workload, "-") == 0
		                 ? " AND w.workload IS NULL"
		                 : " AND w.workload IN (SELECT id FROM workload"
		                   " WHERE workload=:workload)");
	if (f->profile)
		fputs(" AND w.workload IN (SELECT id FROM workload WHERE profile=:profile)", sql);
	if (f->verdict >= 0)
		fprintf(sql, " AND w.verdict=%d", f->verdict);
	if (f->reason >= 0)
		fprintf(sql, " AND w.reason=%d", f->reason);
	if (f->type >= 0)
		fprintf(sql, " AND w.type=%d", f->type);
	if (f->rcode >= 0)
		fprintf(sql, " AND w.rcode=%d", f->rcode);
	if (f->rule)
		fputs(" AND w.rule IN (SELECT id FROM rule WHERE rule IN (:rule, 'allow ' || :rule,"
		      " 'deny ' || :rule))",
		      sql);
	return fclose(sql) == 0 ? ERR_OK : ERR_LIMIT;
}

static int select_whats(struct reader *reader, const struct history_filter *f, struct id_set *whats)
{
	CLEANUP(sqlite3_finalize) sqlite3_stmt *stmt = NULL;
	uint8_t low[ADDR_LEN], high[ADDR_LEN];
	struct pattern pattern = { .kind = PATTERN_EXACT };
	char sql[2048];
	int r = ERR_OK;

	if (f->name)
		r = pattern_read(f->name, &pattern);
	if (r == 0)
		r = reader_what_sql(f, &pattern, sql, sizeof(sql));
	if (r == 0)
		r = sql_prepare(reader->db, sql, &stmt);
	if (r < 0)
		return r;
	r = bind_name(stmt, ":low", pattern.low);
	if (r == 0)
		r = bind_name(stmt, ":high", pattern.high);
	if (r == 0 && f->workload)
		r = bind_name(stmt, ":workload", f->workload);
	if (r == 0 && f->profile)
		r = bind_name(stmt, ":profile", f->profile);
	if (r == 0 && f->rule)
		r = bind_name(stmt, ":rule", f->rule);
	if (r == 0 && f->has_address) {
		reader_prefix_range(&f->address, low, high);
		r = bind_addr(stmt, ":low_addr", low);
		if (r == 0)
			r = bind_addr(stmt, ":high_addr", high);
	}
	while (r == 0 && (r = sql_step(stmt)) > 0) {
		if (pattern.kind == PATTERN_GLOB && !pattern_match(&pattern, sql_text(stmt, 1))) {
			r = 0;
			continue;
		}
		r = id_set_add(whats, sqlite3_column_int64(stmt, 0));
	}
	return r;
}

static int select_clients(struct reader *reader, const struct prefix *prefix,
                          struct id_set *clients)
{
	CLEANUP(sqlite3_finalize) sqlite3_stmt *stmt = NULL;
	uint8_t low[ADDR_LEN], high[ADDR_LEN];
	int r;

	reader_prefix_range(prefix, low, high);
	r = sql_prepare(reader->db, "SELECT id FROM client WHERE addr BETWEEN ? AND ?", &stmt);
	if (r < 0)
		return r;
	sqlite3_bind_blob(stmt, 1, low, ADDR_LEN, SQLITE_STATIC);
	sqlite3_bind_blob(stmt, 2, high, ADDR_LEN, SQLITE_STATIC);
	while (r == 0 && (r = sql_step(stmt)) > 0)
		r = id_set_add(clients, sqlite3_column_int64(stmt, 0));
	return r;
}

int reader_select(struct reader *reader, const struct history_filter *filter,
                  struct id_set *ret_whats, struct id_set *ret_clients)
{
	int r = ERR_OK;

	if (reader_narrows_what(filter))
		r = select_whats(reader, filter, ret_whats);
	if (r == 0 && filter->has_client)
		r = select_clients(reader, &filter->client, ret_clients);
	return r;
}

/* --- keys ------------------------------------------------------------------------------------ */

void reader_keys_fini(struct reader_keys *keys)
{
	free(keys->keys);
	id_set_fini(&keys->whats);
	id_set_fini(&keys->clients);
	*keys = (struct reader_keys){ 0 };
}

static int64_t key_of(const struct reader *reader, uint64_t time_ns)
{
	uint64_t begin = reader->day * DAY_US, us = (time_ns + 999) / 1000;

	if (us <= begin)
		return 0;
	/* Ties may push a row a little behind the day's end. */
	return us >= begin + DAY_US ? INT64_MAX : (int64_t)((us - begin) * SCHEMA_TIES);
}

void reader_keys_init(struct reader_keys *keys, const struct reader *reader,
                      const struct history_filter *filter)
{
	*keys = (struct reader_keys){
		.oldest_first = filter->oldest_first,
		.from = key_of(reader, filter->since_ns),
		.until = filter->until_ns ? key_of(reader, filter->until_ns) : INT64_MAX,
		.narrowed = reader_narrows_what(filter),
	};
}

static int key_add(struct reader_keys *keys, int64_t t)
{
	if ((keys->n & (keys->n - 1)) == 0) { /* 0 and powers of two: full */
		size_t cap = keys->n ? keys->n * 2 : 64;
		int64_t *more = realloc(keys->keys, MAX(cap, (size_t)64) * sizeof(*more));

		if (!more)
			return ERR_NOMEM;
		keys->keys = more;
	}
	keys->keys[keys->n++] = t;
	return ERR_OK;
}

/* Columns: t, what, client, id, last_id. */
static bool has_id(const struct reader *reader, const struct history_filter *filter,
                   const struct reader_keys *keys, sqlite3_stmt *stmt)
{
	int64_t wanted = (int64_t)(filter->id - reader->id_base);
	int64_t id = sqlite3_column_int64(stmt, 3), last = id;

	if (sqlite3_column_type(stmt, 4) != SQLITE_NULL)
		last = sqlite3_column_int64(stmt, 4);
	if (wanted == id || wanted == last)
		return keys->id_how != READER_ID_BETWEEN;
	return keys->id_how != READER_ID_OWN && wanted > MIN(id, last) && wanted < MAX(id, last);
}

/* Columns as above. */
static bool matches(const struct reader *reader, const struct history_filter *filter,
                    const struct reader_keys *keys, sqlite3_stmt *stmt)
{
	if (keys->narrowed && !id_set_has(&keys->whats, sqlite3_column_int64(stmt, 1)))
		return false;
	if (filter->has_client && !id_set_has(&keys->clients, sqlite3_column_int64(stmt, 2)))
		return false;
	return filter->id == 0 || has_id(reader, filter, keys, stmt);
}

#define KEY_COLUMNS "SELECT q.t, q.what, q.client, q.id, f.last_id FROM query q"
#define KEY_FOLD " LEFT JOIN fold f ON f.t=q.t"

/* Few rows of what: each one's keys by the index, then sorted. Returns 1 when that was too much. */
static int fill_by_index(struct reader *reader, const struct history_filter *filter,
                         struct reader_keys *keys)
{
	CLEANUP(sqlite3_finalize) sqlite3_stmt *stmt = NULL;
	bool plain = filter->id == 0 && !filter->has_client;
	int r;

	r = sql_prepare(reader->db,
	                plain ? "SELECT t, what FROM query INDEXED BY query_what WHERE what=?1 AND"
	                        " t>=?2 AND t<?3"
	                      : KEY_COLUMNS " INDEXED BY query_what" KEY_FOLD
	                                    " WHERE q.what=?1 AND q.t>=?2 AND q.t<?3",
	                &stmt);
	for (size_t i = 0; r == 0 && i < keys->whats.n_words * 64; i++) {
		if (keys->whats.bits[i / 64] == 0) {
			i |= 63;
			continue;
		}
		if (!id_set_has(&keys->whats, (int64_t)i))
			continue;
		sqlite3_bind_int64(stmt, 1, (int64_t)i);
		sqlite3_bind_int64(stmt, 2, keys->from);
		sqlite3_bind_int64(stmt, 3, keys->until);
		while (r == 0 && (r = sql_step(stmt)) > 0) {
			r = 0;
			if (keys->n == KEYS_MAX) {
				keys->n = 0;
				return 1;
			}
			if (plain || matches(reader, filter, keys, stmt))
				r = key_add(keys, sqlite3_column_int64(stmt, 0));
		}
		sqlite3_reset(stmt);
	}
	return r;
}

static int ascending(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static int descending(const void *a, const void *b)
{
	return ascending(b, a);
}

static int fill_by_time(struct reader *reader, const struct history_filter *filter,
                        struct reader_keys *keys)
{
	CLEANUP(sqlite3_finalize) sqlite3_stmt *stmt = NULL;
	char sql[256];
	int64_t last = 0;
	int r;

	snprintf(sql, sizeof(sql), "%s WHERE q.t>=? AND q.t<? ORDER BY q.t %s",
	         filter->id ? KEY_COLUMNS KEY_FOLD
	                    : "SELECT q.t, q.what, q.client, q.id FROM query q",
	         keys->oldest_first ? "ASC" : "DESC");
	keys->n = keys->at = 0;
	r = sql_prepare(reader->db, sql, &stmt);
	if (r < 0)
		return r;
	sqlite3_bind_int64(stmt, 1, keys->from);
	sqlite3_bind_int64(stmt, 2, keys->until);
	while (keys->n < CHUNK && (r = sql_step(stmt)) > 0) {
		last = sqlite3_column_int64(stmt, 0);
		if (!matches(reader, filter, keys, stmt))
			continue;
		r = key_add(keys, last);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if (r == 0 && keys->n < CHUNK)
		keys->complete = true;
	else if (keys->oldest_first)
		keys->from = last + 1;
	else
		keys->until = last;
	return ERR_OK;
}

/* A few rows, found by their numbers. */
static int fill_by_id(struct reader *reader, const struct history_filter *filter,
                      struct reader_keys *keys)
{
	static const char own[] =
	    KEY_COLUMNS KEY_FOLD " WHERE q.t IN (SELECT t FROM query WHERE id=?1 UNION SELECT t "
				 "FROM fold WHERE last_id=?1)"
				 " AND q.t>=?2 AND q.t<?3";
	static const char between[] =
	    KEY_COLUMNS " JOIN fold f ON f.t=q.t WHERE f.last_id>?1 AND q.id<?1"
			" AND f.last_id<=?1+?4 AND q.t>=?2 AND q.t<?3";
	const char *const both[] = { keys->id_how != READER_ID_BETWEEN ? own : NULL,
		                     keys->id_how != READER_ID_OWN ? between : NULL };
	int64_t span = 0;
	int r = sql_int(reader->db, "SELECT coalesce(fold_span, 0) FROM file", &span);

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(both); i++) {
		CLEANUP(sqlite3_finalize) sqlite3_stmt *stmt = NULL;

		if (!both[i])
			continue;
		r = sql_prepare(reader->db, both[i], &stmt);
		if (r < 0)
			return r;
		sqlite3_bind_int64(stmt, 1, (int64_t)(filter->id - reader->id_base));
		sqlite3_bind_int64(stmt, 2, keys->from);
		sqlite3_bind_int64(stmt, 3, keys->until);
		sqlite3_bind_int64(stmt, 4, span); /* the first has no fourth: no harm */
		while (r == 0 && (r = sql_step(stmt)) > 0) {
			r = 0;
			if (keys->n == KEYS_MAX)
				return 1;
			if (matches(reader, filter, keys, stmt))
				r = key_add(keys, sqlite3_column_int64(stmt, 0));
		}
	}
	return r;
}

/* Does the file hold this id at all? */
static bool may_hold(struct reader *reader, uint64_t id)
{
	int64_t min, max;

	if (sql_int(reader->db, "SELECT id_min FROM file WHERE id_min IS NOT NULL", &min) < 0 ||
	    sql_int(reader->db, "SELECT id_max FROM file", &max) < 0)
		return false;
	return id >= (uint64_t)min && id <= (uint64_t)max;
}

/* All keys by an index, if one serves and they are few; then they are complete. */
static int fill_at_once(struct reader *reader, const struct history_filter *filter,
                        struct reader_keys *keys)
{
	int r = 1;

	if (filter->id && reader->version >= 2)
		r = fill_by_id(reader, filter, keys);
	else if (keys->narrowed && keys->whats.n <= SELECTED_MAX)
		r = fill_by_index(reader, filter, keys);
	if (r != 0) {
		keys->n = 0;
		return MIN(r, 0);
	}
	if (keys->n)
		qsort(keys->keys, keys->n, sizeof(*keys->keys),
		      keys->oldest_first ? ascending : descending);
	keys->complete = true;
	return ERR_OK;
}

int reader_keys_fill(struct reader *reader, const struct history_filter *filter,
                     struct reader_keys *keys)
{
	int r;

	if (keys->at < keys->n)
		return 1;
	if (keys->complete)
		return 0;
	if (!keys->selected) {
		keys->selected = true;
		if (filter->id && !may_hold(reader, filter->id)) {
			keys->complete = true;
			return 0;
		}
		r = reader_select(reader, filter, &keys->whats, &keys->clients);
		if (r < 0)
			return r;
		if ((keys->narrowed && keys->whats.n == 0) ||
		    (filter->has_client && keys->clients.n == 0)) {
			keys->complete = true;
			return 0;
		}
		r = fill_at_once(reader, filter, keys);
		if (r < 0 || keys->complete)
			return r < 0 ? r : keys->n > 0;
	}
	r = fill_by_time(reader, filter, keys);
	return r < 0 ? r : keys->n > 0;
}

/* --- rows ------------------------------------------------------------------------------------ */

void reader_row_fini(struct reader_row *row)
{
	free(row->answers);
	free(row->texts);
	*row = (struct reader_row){ 0 };
}

/* A copy of a column's text that lives as long as the row; NULL for NULL. */
static const char *keep_text(struct reader_row *row, sqlite3_stmt *stmt, int column)
{
	const char *text = (const char *)sqlite3_column_text(stmt, column);
	size_t len = text ? (size_t)sqlite3_column_bytes(stmt, column) : 0;
	char *kept = row->texts + row->texts_used;

	if (!text)
		return NULL;
	if (len >= row->texts_cap - row->texts_used)
		return ""; /* only of a file that we have not written */
	memcpy(kept, text, len);
	kept[len] = '\0';
	row->texts_used += len + 1;
	return kept;
}

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

static void read_columns(struct reader *reader, int64_t t, struct reader_row *out)
{
	sqlite3_stmt *s = reader->row;
	struct history_row *row = &out->row;
	const void *blob;

	*row = (struct history_row){ .kind = HISTORY_QUERY };
	row->time_ns = reader_time_us(reader, t) * 1000;
	row->id = (uint64_t)sqlite3_column_int64(s, 0) + reader->id_base;
	row->last_ns = row->time_ns;
	row->last_id = row->id;
	row->count = 1;
	blob = sqlite3_column_blob(s, 1);
	if (blob && sqlite3_column_bytes(s, 1) == ADDR_LEN) {
		row->has_client = true;
		memcpy(row->client, blob, ADDR_LEN);
		row->client_port = (uint16_t)(sqlite3_column_int(s, 2) + 32768);
	}
	row->latency_us = (uint32_t)sqlite3_column_int64(s, 3);
	row->ttl = (uint32_t)sqlite3_column_int64(s, 4);
	if (sqlite3_column_type(s, 5) != SQLITE_NULL) {
		uint64_t last_us = reader->day * DAY_US + (uint64_t)sqlite3_column_int64(s, 6);

		row->count = (uint64_t)sqlite3_column_int64(s, 5);
		row->last_ns = MAX(last_us * 1000, row->time_ns);
		row->last_id = (uint64_t)sqlite3_column_int64(s, 7) + reader->id_base;
	}
	row->type = (uint16_t)sqlite3_column_int(s, 8);
	row->class = (uint16_t)sqlite3_column_int(s, 9);
	row->verdict = (uint8_t)sqlite3_column_int(s, 10);
	row->reason = (uint8_t)sqlite3_column_int(s, 11);
	row->dnssec = (uint8_t)sqlite3_column_int(s, 12);
	row->policy_version = (uint32_t)sqlite3_column_int64(s, 13);
	row->rcode = (uint16_t)sqlite3_column_int(s, 14);
	row->ede = sqlite3_column_type(s, 15) == SQLITE_NULL ? RECORD_NO_EDE
	                                                     : (uint16_t)sqlite3_column_int(s, 15);
	row->flags = (uint16_t)sqlite3_column_int(s, 16);
	row->proto = (uint8_t)sqlite3_column_int(s, 17);
	row->merged = sqlite3_column_int(s, 18) != 0;
	row->name = or_empty(keep_text(out, s, 19));
	row->workload = keep_text(out, s, 20);
	row->profile = keep_text(out, s, 21);
	row->rule = keep_text(out, s, 22);
	row->rule_file = keep_text(out, s, 23);
	row->rule_line = (uint32_t)sqlite3_column_int64(s, 24);
	row->feed = keep_text(out, s, 25);
	blob = sqlite3_column_blob(s, 26);
	if (blob && sqlite3_column_bytes(s, 26) == ANSWER_ID_LEN) {
		memcpy(row->answer_id, blob, ANSWER_ID_LEN);
		row->answers_unknown = true; /* until somebody tells */
	}
	row->note = "";
}

int reader_row_get(struct reader *reader, int64_t t, struct reader_row *row)
{
	int r;

	if (!row->texts) {
		row->texts = malloc(TEXTS_BYTES);
		row->answers = calloc(LIMIT_ANSWER_RRS, sizeof(*row->answers));
		if (!row->texts || !row->answers)
			return ERR_NOMEM;
		row->texts_cap = TEXTS_BYTES;
		row->answers_cap = LIMIT_ANSWER_RRS;
	}
	row->texts_used = 0;
	sqlite3_bind_int64(reader->row, 1, t);
	r = sql_step(reader->row);
	if (r > 0)
		read_columns(reader, t, row);
	sqlite3_reset(reader->row);
	if (r <= 0 || !row->row.answers_unknown)
		return r;
	r = reader_row_answers(reader, row);
	return r < 0 ? r : 1;
}

static int read_rrs(struct reader *reader, int64_t answer, struct reader_row *out)
{
	sqlite3_stmt *s = reader->answers;
	size_t n = 0;
	int r = ERR_OK;

	sqlite3_bind_int64(s, 1, answer);
	while (n < out->answers_cap && (r = sql_step(s)) > 0) {
		struct history_answer *rr = &out->answers[n++];
		const void *addr = sqlite3_column_blob(s, 4);

		*rr = (struct history_answer){ .name = or_empty(keep_text(out, s, 0)),
			                       .data = or_empty(keep_text(out, s, 1)),
			                       .type = (uint16_t)sqlite3_column_int(s, 2),
			                       .ttl = (uint32_t)sqlite3_column_int64(s, 3) };
		if (addr && sqlite3_column_bytes(s, 4) == ADDR_LEN) {
			rr->has_addr = true;
			memcpy(rr->addr, addr, ADDR_LEN);
		}
	}
	sqlite3_reset(s);
	out->row.answers = out->answers;
	out->row.n_answers = n;
	return n < out->answers_cap ? r : ERR_OK;
}

int reader_row_answers(struct reader *reader, struct reader_row *row)
{
	sqlite3_stmt *s = reader->answer_by_hash;
	const char *upstream;
	int64_t answer = 0;
	int r;

	sqlite3_bind_blob(s, 1, row->row.answer_id, ANSWER_ID_LEN, SQLITE_TRANSIENT);
	r = sql_step(s);
	if (r > 0) {
		answer = sqlite3_column_int64(s, 0);
		upstream = (const char *)sqlite3_column_text(s, 1);
		row->row.has_upstream = upstream && addr_parse(upstream, row->row.upstream) == 0;
		row->row.upstream_port = (uint16_t)sqlite3_column_int(s, 2);
		row->row.answers_cut = sqlite3_column_int(s, 3) != 0;
		row->row.answers_unknown = false;
	}
	sqlite3_reset(s);
	if (r <= 0)
		return r;
	r = read_rrs(reader, answer, row);
	return r < 0 ? r : 1;
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
