/* db/reader_keys.c - the keys of the rows that a filter wants, in order of time. */
#include <stdio.h>
#include <string.h>

#include "reader_core.h"
#include "schema.h"

#define CHUNK 1024          /* keys of one walk through time */
#define SELECTED_MAX 4096   /* rows of what that are looked up by index */
#define KEYS_MAX (1u << 20) /* keys that are sorted in memory; more: walk */

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
