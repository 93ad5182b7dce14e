/* db/sql.h - a thin coat over sqlite3: our errors, statements that clean up, migrations.
 *
 * SQLite's codes are translated here and nowhere else: SQLITE_FULL is ERR_NOSPC, SQLITE_NOMEM is
 * ERR_NOMEM, SQLITE_CORRUPT and SQLITE_NOTADB are ERR_DAMAGED, SQLITE_BUSY and SQLITE_LOCKED are
 * ERR_AGAIN, SQLITE_CANTOPEN, SQLITE_PERM, SQLITE_AUTH and SQLITE_READONLY are ERR_DENIED,
 * SQLITE_CONSTRAINT is ERR_EXIST, everything else ERR_STORE.
 */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/diag.h"
#include "sallyport/err.h"

static inline void sqlite3_close_cleanup(sqlite3 **db)
{
	sqlite3_close(*db); /* NULL is fine */
}
static inline void sqlite3_finalize_cleanup(sqlite3_stmt **stmt)
{
	sqlite3_finalize(*stmt); /* NULL is fine */
}

int sql_err(int rc); /* 0 for SQLITE_OK, SQLITE_ROW, SQLITE_DONE */
int sql_exec(sqlite3 *db, const char *sql) MUST_CHECK;
int sql_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret_stmt) MUST_CHECK;
/* The first column of the first row. ERR_NOENT when there is no row. */
int sql_int(sqlite3 *db, const char *sql, int64_t *ret_value) MUST_CHECK;
/* Step a statement that returns no row, then reset it. */
int sql_run(sqlite3_stmt *stmt) MUST_CHECK;
/* Step once: 1 with a row, 0 at the end, or an error. */
int sql_step(sqlite3_stmt *stmt) MUST_CHECK;

/* A column's text, "" for NULL; borrowed until the next step. */
const char *sql_text(sqlite3_stmt *stmt, int column);
/* A copy of a column's text; NULL for NULL. @ret_copy is NULL after ERR_NOMEM, too. */
int sql_dup(sqlite3_stmt *stmt, int column, char **ret_copy) MUST_CHECK;

/* SQLite's own words for the last error of @db, for a diag or the log. Never NULL. */
const char *sql_why(sqlite3 *db);

/* Called now and then by what may take minutes; NULL: nobody waits. */
typedef void sql_alive_cb(void *arg);

/* SQL_COPY_CLOSED: one file in journal_mode=DELETE; SQL_COPY_JOURNAL: in the mode of the original.
 */
enum sql_copy_as { SQL_COPY_CLOSED, SQL_COPY_JOURNAL };
/* Copy the whole database, which lies at @path, into a new file @to with the same mode and group;
 * nothing is left of it after an error. */
int sql_copy(sqlite3 *db, const char *path, const char *to, enum sql_copy_as as,
             sql_alive_cb *alive, void *alive_arg) MUST_CHECK;

/* Steps of a schema: steps[i] leads from version i to version i + 1. */
struct sql_schema {
	int application_id;       /* PRAGMA application_id: whose file it is */
	const char *const *steps; /* SQL scripts; steps[0] makes version 1 of an empty file */
	int n_steps;              /* the version that we speak */
	/* What a script cannot say of a new file, after steps[0]. May be NULL. */
	int (*fill)(sqlite3 *db, const void *arg);
	const void *fill_arg;
	sql_alive_cb *alive;
	void *alive_arg;
};
/**
 * Bring @db to the schema's newest version in one transaction.
 *
 * An older file that holds something is copied to "PATH.schema-N" first (@path NULL: no copy), with
 * its mode and group, so that going back to the older Sallyport stays possible.
 *
 * Returns 0, ERR_VERSION (newer than we know), ERR_DAMAGED (somebody else's file) or another error;
 * the file is then as it was.
 */
int sql_migrate(sqlite3 *db, const struct sql_schema *schema, const char *path,
                struct diag *diag) MUST_CHECK;
