/* db/store_nta.c - negative trust anchors by command, in the policy store. */
#include <string.h>

#include "store_core.h"

static int put(sqlite3 *db, const struct store_nta *nta)
{
	CLEANUP(sqlite3_finalize) sqlite3_stmt *stmt = NULL;
	int r = sql_prepare(db, "INSERT OR REPLACE INTO nta VALUES (?,?,?,?,?,?)", &stmt);

	if (r == 0)
		r = store_bind_text(stmt, 1, nta->name);
	if (r < 0)
		return r;
	sqlite3_bind_int64(stmt, 2, (int64_t)nta->since_ns);
	sqlite3_bind_int64(stmt, 3, (int64_t)nta->until_ns);
	r = store_bind_actor(stmt, 4, &nta->actor);
	if (r == 0)
		r = store_bind_text(stmt, 6, nta->reason ? nta->reason : "");
	return r < 0 ? r : sql_run(stmt);
}

static int take_out(sqlite3 *db, const char *name)
{
	CLEANUP(sqlite3_finalize) sqlite3_stmt *stmt = NULL;
	int r = sql_prepare(db, "DELETE FROM nta WHERE name=?", &stmt);

	if (r == 0)
		r = store_bind_text(stmt, 1, name);
	if (r == 0)
		r = sql_run(stmt);
	return r == 0 && sqlite3_changes(db) == 0 ? ERR_NOENT : r;
}

/* The change (@nta NULL: @name is taken out) and its audit row, or neither. */
static int change(struct store *store, const struct store_nta *nta, const char *name,
                  const struct store_audit *audit, struct diag *diag)
{
	CLEANUP(store_txn_end) struct store_txn txn = { 0 };
	int r = store_txn_begin(store->db, &txn);

	if (r == 0)
		r = nta ? put(store->db, nta) : take_out(store->db, name);
	if (r == 0)
		r = store_put_audit(store->db, audit);
	if (r == 0)
		r = sql_exec(store->db, "COMMIT");
	if (r == ERR_NOENT)
		return diag_set(diag, r, "there is no negative trust anchor %s", name);
	if (r < 0)
		return diag_set(diag, r, "the negative trust anchor %s cannot be kept: %s", name,
		                sql_why(store->db));
	return ERR_OK;
}

int store_nta_put(struct store *store, const struct store_nta *nta, const struct store_audit *audit,
                  struct diag *diag)
{
	return change(store, nta, nta->name, audit, diag);
}

int store_nta_remove(struct store *store, const char *name, const struct store_audit *audit,
                     struct diag *diag)
{
	return change(store, NULL, name, audit, diag);
}

int store_nta_list(struct store *store, store_nta_cb *cb, void *arg)
{
	CLEANUP(sqlite3_finalize) sqlite3_stmt *stmt = NULL;
	int r = sql_prepare(store->db,
	                    "SELECT name, since_ns, until_ns, uid, user, reason FROM nta"
	                    " ORDER BY name",
	                    &stmt);

	while (r >= 0 && (r = sql_step(stmt)) > 0) {
		const struct store_nta nta = {
			.name = sql_text(stmt, 0),
			.since_ns = (uint64_t)sqlite3_column_int64(stmt, 1),
			.until_ns = (uint64_t)sqlite3_column_int64(stmt, 2),
			.actor.uid = sqlite3_column_type(stmt, 3) == SQLITE_NULL
			                 ? STORE_UID_NONE
			                 : (uint32_t)sqlite3_column_int64(stmt, 3),
			.actor.user = (const char *)sqlite3_column_text(stmt, 4),
			.reason = sql_text(stmt, 5),
		};

		r = cb(&nta, arg);
		if (r != 0)
			return r;
	}
	return r;
}
