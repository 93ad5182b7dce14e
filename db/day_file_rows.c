/* db/day_file_rows.c - queries and gaps of a history file, and up to where it contains the rings.
 */
#include <string.h>

#include "day_file_core.h"
#include "schema.h"

#define TIE_TRIES 40

static void bind_or_null(sqlite3_stmt *stmt, int column, int64_t id)
{
	if (id)
		sqlite3_bind_int64(stmt, column, id);
	else
		sqlite3_bind_null(stmt, column);
}

/* Equal rows may come twice (after a restart the cache is empty): that costs some octets and
 * changes nothing, while a look-up would need an index over all columns. */
static int add_what(struct day_file *file, const struct day_file_what *key, int64_t *ret_id)
{
	sqlite3_stmt *stmt = file->stmts[STMT_WHAT_PUT];
	int r;

	*ret_id = idmap_get(&file->whats, key, sizeof(*key));
	if (*ret_id)
		return ERR_OK;
	sqlite3_bind_int64(stmt, 1, key->name);
	bind_or_null(stmt, 2, key->texts.workload);
	sqlite3_bind_int(stmt, 3, key->type);
	sqlite3_bind_int(stmt, 4, key->class);
	sqlite3_bind_int(stmt, 5, key->verdict);
	sqlite3_bind_int(stmt, 6, key->reason);
	bind_or_null(stmt, 7, key->texts.rule);
	bind_or_null(stmt, 8, key->texts.feed);
	sqlite3_bind_int64(stmt, 9, key->policy_version);
	sqlite3_bind_int(stmt, 10, key->rcode);
	if (key->ede == RECORD_NO_EDE)
		sqlite3_bind_null(stmt, 11);
	else
		sqlite3_bind_int(stmt, 11, key->ede);
	sqlite3_bind_int(stmt, 12, key->dnssec);
	sqlite3_bind_int(stmt, 13, key->flags);
	sqlite3_bind_int(stmt, 14, key->proto);
	sqlite3_bind_int(stmt, 15, key->merged);
	bind_or_null(stmt, 16, key->answer);
	r = day_file_add_row(file, stmt, ret_id);
	if (r == 0)
		idmap_put(&file->whats, key, sizeof(*key), *ret_id);
	return r;
}

static int what_id(struct day_file *file, const struct agg_entry *entry, const char *name,
                   const struct catalog *catalog, int64_t *ret_id)
{
	static const uint8_t none[ANSWER_ID_LEN];
	const struct agg_key *key = &entry->key;
	struct day_file_what what = {
		.policy_version = key->policy_version,
		.type = key->qtype,
		.class = key->qclass,
		.rcode = key->rcode,
		.ede = key->ede,
		.flags = key->flags,
		.verdict = key->verdict,
		.reason = key->reason,
		.dnssec = key->dnssec,
		.proto = key->proto,
		.merged = key->merged,
	};
	bool known;
	int r;

	r = day_file_name_id(file, name, key->name_len, &what.name);
	if (r == 0)
		r = day_file_texts(file, key, catalog, &what.texts);
	if (r == 0)
		r = day_file_type(file, key->qtype);
	if (r == 0 && memcmp(key->answer_id, none, ANSWER_ID_LEN) != 0)
		r = day_file_answer_id(file, key->answer_id, &what.answer, &known);
	return r < 0 ? r : add_what(file, &what, ret_id);
}

int day_file_put(struct day_file *file, const struct agg_entry *entry, const char *name,
                 const struct catalog *catalog)
{
	sqlite3_stmt *stmt = file->stmts[STMT_QUERY_PUT];
	int64_t t = (int64_t)((entry->first_us - file->day * DAY_US) * SCHEMA_TIES);
	int64_t what, client = 0, step = 1;
	int r;

	r = what_id(file, entry, name, catalog, &what);
	if (r == 0 && !entry->key.merged)
		r = day_file_client_id(file, entry->key.client, &client);
	if (r < 0)
		return r;

	t = MAX(t, file->t_last + 1);
	sqlite3_bind_int64(stmt, 2, (int64_t)(entry->id - file->id_base));
	sqlite3_bind_int64(stmt, 3, what);
	bind_or_null(stmt, 4, client);
	/* Half of all ports would need a third octet otherwise. */
	if (client)
		sqlite3_bind_int(stmt, 5, entry->client_port - 32768);
	else
		sqlite3_bind_null(stmt, 5);
	sqlite3_bind_int64(stmt, 6, entry->latency_us);
	sqlite3_bind_int64(stmt, 7, entry->ttl);
	for (int i = 0;; i++) {
		sqlite3_bind_int64(stmt, 1, t);
		r = sql_run(stmt);
		if (r < 0)
			return r;
		if (sqlite3_changes(file->db) > 0)
			break;
		/* An earlier batch took this place. Steps double: a crowd of equal times costs a
		 * few tries and microseconds, not a walk. */
		if (i == TIE_TRIES)
			return ERR_DAMAGED;
		t += step;
		step *= 2;
	}
	file->t_last = t;

	if (entry->count > 1) {
		stmt = file->stmts[STMT_FOLD_PUT];
		sqlite3_bind_int64(stmt, 1, t);
		sqlite3_bind_int64(stmt, 2, (int64_t)entry->count);
		sqlite3_bind_int64(stmt, 3, (int64_t)(entry->last_us - file->day * DAY_US));
		sqlite3_bind_int64(stmt, 4, (int64_t)(entry->last_id - file->id_base));
		r = sql_run(stmt);
		if (r < 0)
			return r;
		file->fold_span = MAX(file->fold_span, (int64_t)(entry->last_id - entry->id));
	}
	file->id_min = MIN(file->id_min, MIN(entry->id, entry->last_id));
	file->id_max = MAX(file->id_max, MAX(entry->id, entry->last_id));
	file->last_us = MAX(file->last_us, entry->last_us);
	return ERR_OK;
}

int day_file_put_gap(struct day_file *file, enum history_gap cause, const struct agg_gap *gap)
{
	static const enum stmt tries[] = { STMT_GAP_EXTEND, STMT_GAP_PUT };
	int r = ERR_OK;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(tries); i++) {
		sqlite3_stmt *stmt = file->stmts[tries[i]];

		sqlite3_bind_int64(stmt, 1, (int64_t)gap->from_us);
		sqlite3_bind_int64(stmt, 2, (int64_t)gap->until_us);
		sqlite3_bind_int(stmt, 3, (int)cause);
		sqlite3_bind_int64(stmt, 4, (int64_t)gap->lost[VERDICT_DENY]);
		sqlite3_bind_int64(stmt, 5, (int64_t)gap->lost[VERDICT_ALLOW]);
		sqlite3_bind_int64(stmt, 6, (int64_t)gap->lost[VERDICT_LOCAL]);
		sqlite3_bind_int64(stmt, 7, (int64_t)gap->kernel_drops);
		sqlite3_bind_text(stmt, 8, gap->note, -1, SQLITE_STATIC);
		r = sql_run(stmt);
		if (r == 0 && sqlite3_changes(file->db) > 0)
			return ERR_OK;
	}
	return r;
}

int day_file_put_rings(struct day_file *file, const struct area_ring *rings, size_t n)
{
	sqlite3_stmt *stmt = file->stmts[STMT_RING_PUT];
	int r = ERR_OK;

	for (size_t i = 0; r == 0 && i < n; i++) {
		if (rings[i].id == 0)
			continue;
		sqlite3_bind_int64(stmt, 1, (int64_t)rings[i].id);
		sqlite3_bind_int64(stmt, 2, (int64_t)rings[i].pos);
		for (int v = 0; v < VERDICT_N; v++) {
			sqlite3_bind_int64(stmt, 3 + v, (int64_t)rings[i].lost[v]);
			sqlite3_bind_int64(stmt, 6 + v, (int64_t)rings[i].vanished[v]);
		}
		sqlite3_bind_int64(stmt, 9, (int64_t)rings[i].kernel_drops);
		r = sql_run(stmt);
	}
	return r;
}

int day_file_put_saved(struct day_file *file, uint64_t area_id, uint64_t generation)
{
	sqlite3_stmt *stmt = file->stmts[STMT_SAVED_PUT];

	sqlite3_bind_int64(stmt, 1, (int64_t)area_id);
	sqlite3_bind_int64(stmt, 2, (int64_t)generation);
	return sql_run(stmt);
}
