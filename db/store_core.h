/* db/store_core.h - the policy store's insides, private to store*.c. */
#pragma once

#include "db/store.h"
#include "sql.h"

struct store {
	sqlite3 *db;
};

/* A transaction that rolls back unless it was committed. */
struct store_txn {
	sqlite3 *db; /* NULL: none open */
};
int store_txn_begin(sqlite3 *db, struct store_txn *txn) MUST_CHECK;
void store_txn_end_cleanup(struct store_txn *txn);

int store_bind_text(sqlite3_stmt *stmt, int column, const char *text) MUST_CHECK;
/* uid and name, into @column and the one after it. */
int store_bind_actor(sqlite3_stmt *stmt, int column, const struct store_actor *actor) MUST_CHECK;
int store_put_audit(sqlite3 *db, const struct store_audit *audit) MUST_CHECK;
