/* db/sql.c - a thin coat over sqlite3. */
#include "sql.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int sql_err(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return ERR_OK;
	case SQLITE_FULL:
		return ERR_NOSPC;
	case SQLITE_NOMEM:
		return ERR_NOMEM;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return ERR_DAMAGED;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return ERR_AGAIN;
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_READONLY:
		return ERR_DENIED;
	case SQLITE_CONSTRAINT:
		return ERR_EXIST;
	default:
		return ERR_STORE;
	}
}

int sql_exec(sqlite3 *db, const char *sql)
{
	return sql_err(sqlite3_exec(db, sql, NULL, NULL, NULL));
}

int sql_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret_stmt)
{
	return sql_err(sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_stmt, NULL));
}

int sql_int(sqlite3 *db, const char *sql, int64_t *ret_value)
{
	CLEANUP(sqlite3_finalize) sqlite3_stmt *stmt = NULL;
	int r;

	r = sql_prepare(db, sql, &stmt);
	if (r < 0)
		return r;
	r = sql_step(stmt);
	if (r <= 0)
		return r < 0 ? r : ERR_NOENT;
	*ret_value = sqlite3_column_int64(stmt, 0);
	return ERR_OK;
}

int sql_step(sqlite3_stmt *stmt)
{
	int rc = sqlite3_step(stmt);

	if (rc == SQLITE_ROW)
		return 1;
	return sql_err(rc);
}

int sql_run(sqlite3_stmt *stmt)
{
	int r = sql_err(sqlite3_step(stmt));

	sqlite3_reset(stmt); /* repeats the error of the step, which we have */
	return r;
}

const char *sql_text(sqlite3_stmt *stmt, int column)
{
	const char *text = (const char *)sqlite3_column_text(stmt, column);

	return text ? text : "";
}

int sql_dup(sqlite3_stmt *stmt, int column, char **ret_copy)
{
	const char *text = (const char *)sqlite3_column_text(stmt, column);

	*ret_copy = NULL;
	if (!text)
		return ERR_OK;
	*ret_copy = strdup(text);
	return *ret_copy ? ERR_OK : ERR_NOMEM;
}

const char *sql_why(sqlite3 *db)
{
	return db ? sqlite3_errmsg(db) : "out of memory";
}

enum {
	COPY_PAGES = 4096,  /* of a copy between two signs of life */
	STEP_OPS = 1000000, /* SQLite's operations between two of them: some 10 ms */
};

/* The copy is for whom the file is for. */
static int make_like(const char *path, const char *part)
{
	CLEANUP(fd_close) int fd = -1;
	struct stat st;

	if (stat(path, &st) != 0)
		return -errno;
	unlink(part);
	fd = open(part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	/* Without the group it is for the owner alone. */
	if (fchown(fd, (uid_t)-1, st.st_gid) == 0 && fchmod(fd, st.st_mode & 0777) != 0)
		return -errno;
	return ERR_OK;
}

static int copy_pages(sqlite3 *copy, sqlite3 *db, sql_alive_cb *alive, void *alive_arg)
{
	sqlite3_backup *backup = sqlite3_backup_init(copy, "main", db, "main");
	int rc;

	if (!backup)
		return sql_err(sqlite3_errcode(copy));
	do {
		rc = sqlite3_backup_step(backup, COPY_PAGES);
		if (alive)
			alive(alive_arg);
	} while (rc == SQLITE_OK);
	return sql_err(sqlite3_backup_finish(backup));
}

int sql_copy(sqlite3 *db, const char *path, const char *to, enum sql_copy_as as,
             sql_alive_cb *alive, void *alive_arg)
{
	CLEANUP(sqlite3_close) sqlite3 *copy = NULL;
	int r;

	r = make_like(path, to);
	if (r == 0)
		r = sql_err(sqlite3_open_v2(to, &copy, SQLITE_OPEN_READWRITE, NULL));
	if (r == 0)
		r = copy_pages(copy, db, alive, alive_arg);
	if (r == 0 && as == SQL_COPY_CLOSED)
		r = sql_exec(copy, "PRAGMA journal_mode=DELETE");
	if (r < 0)
		unlink(to);
	return r;
}

/* The copy appears under its name only when it is whole. */
static int copy_aside(sqlite3 *db, const struct sql_schema *schema, const char *path,
                      int64_t version)
{
	char name[4096], part[4096 + 8];
	int r;

	if (snprintf(name, sizeof(name), "%s.schema-%d", path, (int)version) >= (int)sizeof(name))
		return ERR_LIMIT;
	snprintf(part, sizeof(part), "%s.part", name);
	r = sql_copy(db, path, part, SQL_COPY_CLOSED, schema->alive, schema->alive_arg);
	if (r == 0 && rename(part, name) != 0)
		r = -errno;
	return r;
}

static int on_progress(void *arg)
{
	const struct sql_schema *schema = arg;

	schema->alive(schema->alive_arg);
	return 0;
}

static int take_steps(sqlite3 *db, const struct sql_schema *schema, int64_t version)
{
	char sql[96];
	int r = ERR_OK;

	for (int64_t i = version; r == 0 && i < schema->n_steps; i++) {
		r = sql_exec(db, schema->steps[i]);
		if (r == 0 && i == 0 && schema->fill)
			r = schema->fill(db, schema->fill_arg);
	}
	if (r < 0)
		return r;
	snprintf(sql, sizeof(sql), "PRAGMA user_version=%d; PRAGMA application_id=%d",
	         schema->n_steps, schema->application_id);
	return sql_exec(db, sql);
}

int sql_migrate(sqlite3 *db, const struct sql_schema *schema, const char *path, struct diag *diag)
{
	int64_t version, application, n_tables;
	int r;

	r = sql_int(db, "PRAGMA user_version", &version);
	if (r == 0)
		r = sql_int(db, "PRAGMA application_id", &application);
	if (r == 0)
		r = sql_int(db, "SELECT count(*) FROM sqlite_schema", &n_tables);
	if (r < 0)
		return diag_set(diag, r, "the file cannot be read: %s", sql_why(db));

	bool empty = n_tables == 0 && version == 0 && application == 0;

	if (!empty && application != schema->application_id)
		return diag_set(diag, ERR_DAMAGED, "the file belongs to another program");
	if (version > schema->n_steps)
		return diag_set(
		    diag, ERR_VERSION,
		    "the file has schema %d, made by a newer Sallyport; this one knows %d",
		    (int)version, schema->n_steps);
	if (version < (empty ? 0 : 1))
		return diag_set(diag, ERR_DAMAGED, "the file has no schema version");
	if (version == schema->n_steps)
		return ERR_OK;

	if (!empty && path) {
		r = copy_aside(db, schema, path, version);
		if (r < 0)
			return diag_set(diag, r, "no copy of the old file could be kept: %s",
			                err_str(r));
	}

	if (schema->alive)
		sqlite3_progress_handler(db, STEP_OPS, on_progress, (void *)(uintptr_t)schema);
	r = sql_exec(db, "BEGIN IMMEDIATE");
	if (r == 0)
		r = take_steps(db, schema, version);
	if (r == 0)
		r = sql_exec(db, "COMMIT");
	if (r < 0) {
		diag_set(diag, r, "the schema cannot be brought to version %d: %s", schema->n_steps,
		         sql_why(db));
		if (!sqlite3_get_autocommit(db) && sql_exec(db, "ROLLBACK") < 0)
			diag_set(diag, r, "nor could this be rolled back: %s", sql_why(db));
	}
	sqlite3_progress_handler(db, 0, NULL, NULL);
	return r;
}
