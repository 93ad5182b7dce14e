/* db/day_file_answers.c - what was given: the answers of a history file, by content hash. */
#include <string.h>

#include "day_file_core.h"
#include "sallyport/prefix.h"

/* The row of a hash that is there. */
static int answer_row(struct day_file *file, const uint8_t id[static ANSWER_ID_LEN],
                      int64_t *ret_row, bool *ret_known)
{
	sqlite3_stmt *get = file->stmts[STMT_ANSWER_GET];
	int r;

	sqlite3_bind_blob(get, 1, id, ANSWER_ID_LEN, SQLITE_STATIC);
	r = sql_step(get);
	if (r > 0) {
		*ret_row = sqlite3_column_int64(get, 0);
		*ret_known = sqlite3_column_int(get, 1) != 0;
	}
	sqlite3_reset(get);
	return r;
}

/* The cache keeps row * 2 + known. */
int day_file_answer_id(struct day_file *file, const uint8_t id[static ANSWER_ID_LEN],
                       int64_t *ret_row, bool *ret_known)
{
	int64_t value = idmap_get(&file->answers, id, ANSWER_ID_LEN);
	int r;

	if (value) {
		*ret_row = value / 2;
		*ret_known = true;
		return ERR_OK;
	}
	r = answer_row(file, id, ret_row, ret_known);
	if (r == 0) { /* a mere hash, for the rows that point at it */
		sqlite3_stmt *put = file->stmts[STMT_ANSWER_PUT];

		*ret_known = false;
		sqlite3_clear_bindings(put);
		sqlite3_bind_blob(put, 1, id, ANSWER_ID_LEN, SQLITE_STATIC);
		sqlite3_bind_int(put, 2, 0);
		return day_file_add_row(file, put, ret_row);
	}
	if (r > 0 && *ret_known)
		idmap_put(&file->answers, id, ANSWER_ID_LEN, *ret_row * 2 + 1);
	return MIN(r, 0);
}

int day_file_has_answer(struct day_file *file, const uint8_t id[static ANSWER_ID_LEN])
{
	int64_t row = 0;
	bool known;
	int r = day_file_answer_id(file, id, &row, &known);

	return r < 0 ? r : known;
}

static int put_rr(struct day_file *file, int64_t answer, int n, const struct record_rr *rr,
                  const char *owner, const char *data)
{
	static const uint8_t none[ADDR_LEN];
	sqlite3_stmt *put = file->stmts[STMT_RR_PUT];
	int64_t name;
	int r;

	r = day_file_name_id(file, owner, rr->owner_len, &name);
	if (r == 0)
		r = day_file_type(file, rr->type);
	if (r < 0)
		return r;
	sqlite3_bind_int64(put, 1, answer);
	sqlite3_bind_int(put, 2, n);
	sqlite3_bind_int64(put, 3, name);
	sqlite3_bind_int(put, 4, rr->type);
	sqlite3_bind_int64(put, 5, rr->ttl);
	sqlite3_bind_text(put, 6, data, rr->data_len, SQLITE_STATIC);
	if (memcmp(rr->addr, none, ADDR_LEN) != 0)
		sqlite3_bind_blob(put, 7, rr->addr, ADDR_LEN, SQLITE_STATIC);
	else
		sqlite3_bind_null(put, 7);
	return sql_run(put);
}

/* What is told of an answer besides its records. */
struct told {
	const char *upstream; /* NULL: none */
	int64_t port;
	int dnssec, cut;
};

static void bind_told(sqlite3_stmt *stmt, const struct told *told)
{
	if (told->upstream) {
		sqlite3_bind_text(stmt, 3, told->upstream, -1, SQLITE_STATIC);
		sqlite3_bind_int64(stmt, 4, told->port);
	}
	sqlite3_bind_int(stmt, 5, told->dnssec);
	sqlite3_bind_int(stmt, 6, told->cut);
}

/* Make it known. Returns 1 with its row, whose records are due then, or 0 when it was known. */
static int learn(struct day_file *file, const uint8_t id[static ANSWER_ID_LEN],
                 const struct told *told, int64_t *ret_row)
{
	sqlite3_stmt *put = file->stmts[STMT_ANSWER_PUT], *update = file->stmts[STMT_ANSWER_LEARN];
	bool known;
	int r;

	if (idmap_get(&file->answers, id, ANSWER_ID_LEN))
		return 0;
	sqlite3_clear_bindings(put);
	sqlite3_bind_blob(put, 1, id, ANSWER_ID_LEN, SQLITE_STATIC);
	sqlite3_bind_int(put, 2, 1);
	bind_told(put, told);
	r = day_file_add_row(file, put, ret_row);
	if (r < 0 || sqlite3_changes(file->db) > 0)
		return r < 0 ? r : 1;

	r = day_file_answer_id(file, id, ret_row, &known);
	if (r < 0 || known)
		return r;
	sqlite3_clear_bindings(update);
	sqlite3_bind_int64(update, 1, *ret_row);
	bind_told(update, told);
	r = sql_run(update);
	return r < 0 ? r : 1;
}

static void learnt(struct day_file *file, const uint8_t id[static ANSWER_ID_LEN], int64_t row)
{
	idmap_put(&file->answers, id, ANSWER_ID_LEN, row * 2 + 1);
}

int day_file_put_answer(struct day_file *file, const struct record_answer *answer)
{
	static const uint8_t none[ADDR_LEN];
	const uint8_t *at = (const uint8_t *)(answer + 1);
	struct told told = { NULL, answer->upstream_port, answer->dnssec, answer->cut != 0 };
	char upstream[ADDR_TEXT_LEN];
	int64_t row = 0;
	int r;

	if (memcmp(answer->upstream, none, ADDR_LEN) != 0) {
		addr_text(answer->upstream, upstream);
		told.upstream = upstream;
	}
	r = learn(file, answer->answer_id, &told, &row);
	if (r <= 0)
		return r;
	r = ERR_OK;
	for (int i = 0; r == 0 && i < answer->n_rrs; i++) {
		struct record_rr rr;
		const char *owner;

		memcpy(&rr, at, sizeof(rr));
		owner = (const char *)at + sizeof(rr);
		r = put_rr(file, row, i, &rr, owner, owner + rr.owner_len);
		at += sizeof(rr) + (((size_t)rr.owner_len + rr.data_len + 3) & ~(size_t)3);
	}
	if (r == 0)
		learnt(file, answer->answer_id, row);
	return r;
}

static int copy_rrs(struct day_file *file, int64_t row, sqlite3 *from, int64_t from_row)
{
	CLEANUP(sqlite3_finalize) sqlite3_stmt *stmt = NULL;
	int r, n = 0;

	r = sql_prepare(from,
	                "SELECT n.name, r.type, r.ttl, r.data, r.addr FROM rr r JOIN name n"
	                " ON n.id=r.owner WHERE r.answer=? ORDER BY r.n",
	                &stmt);
	if (r < 0)
		return r;
	sqlite3_bind_int64(stmt, 1, from_row);
	while ((r = sql_step(stmt)) > 0) {
		struct record_rr rr = { 0 };
		const char *owner = sql_text(stmt, 0), *data = sql_text(stmt, 3);
		size_t owner_len = strlen(owner);

		if (owner_len == 0 || owner_len > AGG_NAME_MAX)
			return ERR_DAMAGED;
		rr.owner_len = (uint16_t)owner_len;
		rr.data_len = (uint16_t)MIN(strlen(data), (size_t)UINT16_MAX);
		rr.type = (uint16_t)sqlite3_column_int(stmt, 1);
		rr.ttl = (uint32_t)sqlite3_column_int64(stmt, 2);
		if (sqlite3_column_bytes(stmt, 4) == ADDR_LEN)
			memcpy(rr.addr, sqlite3_column_blob(stmt, 4), ADDR_LEN);
		r = put_rr(file, row, n++, &rr, owner, data);
		if (r < 0)
			return r;
	}
	return r;
}

int day_file_copy_answer(struct day_file *file, struct day_file *from,
                         const uint8_t id[static ANSWER_ID_LEN])
{
	CLEANUP(sqlite3_finalize) sqlite3_stmt *stmt = NULL;
	int64_t row = 0;
	int r;

	r = sql_prepare(from->db,
	                "SELECT id, upstream, upstream_port, dnssec, cut FROM answer WHERE hash=?"
	                " AND known=1",
	                &stmt);
	if (r < 0)
		return r;
	sqlite3_bind_blob(stmt, 1, id, ANSWER_ID_LEN, SQLITE_STATIC);
	r = sql_step(stmt);
	if (r <= 0)
		return r;

	struct told told = { (const char *)sqlite3_column_text(stmt, 1),
		             sqlite3_column_int64(stmt, 2), sqlite3_column_int(stmt, 3),
		             sqlite3_column_int(stmt, 4) };

	r = learn(file, id, &told, &row);
	if (r <= 0)
		return r < 0 ? r : 1;
	r = copy_rrs(file, row, from->db, sqlite3_column_int64(stmt, 0));
	if (r < 0)
		return r;
	learnt(file, id, row);
	return 1;
}
