/* db/day_file.c - one history file, opened by its one writer. */
#include "day_file.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "day_file_core.h"
#include "schema.h"
#include "sallyport/log.h"

#define PATH_LEN 4096
#define CHECKPOINT_PAGES 1000 /* of 4 KiB */
#define PAGE_BYTES 4096

/* Sizes of the caches in front of the file's tables; a full one is emptied. */
enum {
	NAMES_MAX = 65536,
	CLIENTS_MAX = 16384,
	TEXTS_MAX = 32768,
	ANSWERS_MAX = 32768,
	WHATS_MAX = 131072,
};

static const char *const stmts[STMT_N] = {
	[STMT_BEGIN] = "BEGIN IMMEDIATE",
	[STMT_COMMIT] = "COMMIT",
	[STMT_ROLLBACK] = "ROLLBACK",
	[STMT_NAME_GET] = "SELECT id FROM name WHERE rev=?1",
	[STMT_NAME_PUT] = "INSERT OR IGNORE INTO name (rev, name) VALUES (?1, ?2)",
	[STMT_CLIENT_GET] = "SELECT id FROM client WHERE addr=?1",
	[STMT_CLIENT_PUT] = "INSERT OR IGNORE INTO client (addr, client) VALUES (?1, ?2)",
	[STMT_WORKLOAD_GET] = "SELECT id FROM workload WHERE workload=?1 AND profile=?2",
	[STMT_WORKLOAD_PUT] = "INSERT OR IGNORE INTO workload (workload, profile) VALUES (?1, ?2)",
	[STMT_RULE_GET] = "SELECT id FROM rule WHERE rule=?1 AND file=?2 AND line=?3",
	[STMT_RULE_PUT] = "INSERT OR IGNORE INTO rule (rule, file, line) VALUES (?1, ?2, ?3)",
	[STMT_FEED_GET] = "SELECT id FROM feed WHERE feed=?1",
	[STMT_FEED_PUT] = "INSERT OR IGNORE INTO feed (feed) VALUES (?1)",
	[STMT_TYPE_PUT] = "INSERT OR IGNORE INTO type VALUES (?1, ?2)",
	[STMT_ANSWER_GET] = "SELECT id, known FROM answer WHERE hash=?1",
	[STMT_ANSWER_PUT] =
	    "INSERT OR IGNORE INTO answer (hash, known, upstream, upstream_port, dnssec,"
	    " cut) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
	[STMT_ANSWER_LEARN] = "UPDATE answer SET known=1, upstream=?3, upstream_port=?4, dnssec=?5,"
			      " cut=?6 WHERE id=?1",
	[STMT_RR_PUT] = "INSERT OR REPLACE INTO rr VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
	[STMT_WHAT_PUT] =
	    "INSERT INTO what (name, workload, type, class, verdict, reason, rule, feed,"
	    " policy_version, rcode, ede, dnssec, flags, proto, merged, answer)"
	    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14,"
	    " ?15, ?16)",
	[STMT_QUERY_PUT] = "INSERT OR IGNORE INTO query VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
	[STMT_FOLD_PUT] = "INSERT INTO fold VALUES (?1, ?2, ?3, ?4)",
	[STMT_GAP_PUT] = "INSERT INTO gap (from_us, until_us, cause, deny, allow, local,"
			 " kernel_drops, note) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
	/* A lasting shortage is one row a minute, not one a second. */
	[STMT_GAP_EXTEND] = "UPDATE gap SET until_us=max(until_us, ?2), deny=deny + ?4,"
			    " allow=allow + ?5, local=local + ?6, kernel_drops=kernel_drops + ?7"
			    " WHERE id=(SELECT max(id) FROM gap WHERE cause=?3) AND note=?8"
			    " AND until_us >= ?1 - 5000000 AND from_us > ?1 - 60000000"
			    " AND from_us <= ?1",
	/* What the file has of a ring it keeps having: who reads the ring again after a death may
	 * write while he is still behind. */
	[STMT_RING_PUT] = "INSERT INTO ring VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
			  " ON CONFLICT (id) DO UPDATE SET pos=max(pos, excluded.pos),"
			  " lost_deny=excluded.lost_deny, lost_allow=excluded.lost_allow,"
			  " lost_local=excluded.lost_local, vanished_deny=excluded.vanished_deny,"
			  " vanished_allow=excluded.vanished_allow,"
			  " vanished_local=excluded.vanished_local,"
			  " kernel_drops=excluded.kernel_drops",
	[STMT_RING_GET] = "SELECT pos, lost_deny, lost_allow, lost_local, vanished_deny,"
			  " vanished_allow, vanished_local, kernel_drops FROM ring WHERE id=?1",
	[STMT_SAVED_PUT] = "INSERT OR REPLACE INTO saved VALUES (?1, ?2)",
	[STMT_SAVED_GET] = "SELECT generation FROM saved WHERE area=?1",
	[STMT_FILE_PUT] = "UPDATE file SET id_min=min(coalesce(id_min, ?1), ?1),"
			  " id_max=max(coalesce(id_max, ?2), ?2),"
			  " last_us=max(coalesce(last_us, 0), ?3), committed_us=?4,"
			  " fold_span=max(coalesce(fold_span, 0), ?5)",
};

static int path_of(const char *dir, uint32_t day, enum day_kind kind, char out[static PATH_LEN])
{
	char name[DAY_NAME_LEN];

	day_name(day, kind, name);
	return snprintf(out, PATH_LEN, "%s/%s", dir, name) < PATH_LEN - 8 ? ERR_OK : ERR_LIMIT;
}

/* --- opening and closing --------------------------------------------------------------------- */

/* SQLite gives -wal and -shm the mode of the file itself, so this decides for all three. */
static int make_file(const char *path, gid_t gid)
{
	CLEANUP(fd_close) int fd = -1;
	struct stat st;

	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) != 0)
		return -errno;
	if (gid != (gid_t)-1 && st.st_gid != gid && fchown(fd, (uid_t)-1, gid) != 0)
		log_warning(HISTORY_TAG, "%s: cannot be given to group %u: %s", path,
		            (unsigned int)gid, err_str(-errno));
	/* The mode must not depend on whoever's umask. */
	if ((st.st_mode & 0777) != 0640 && fchmod(fd, 0640) != 0)
		return -errno;
	return ERR_OK;
}

static void release(struct day_file *file)
{
	for (int i = 0; i < STMT_N; i++)
		sqlite3_finalize(file->stmts[i]);
	sqlite3_close(file->db);
	idmap_fini(&file->names);
	idmap_fini(&file->clients);
	idmap_fini(&file->texts);
	idmap_fini(&file->answers);
	idmap_fini(&file->whats);
	free(file);
}
DEFINE_CLEANUP(struct day_file *, release)

static int open_sqlite(const char *path, sqlite3 **ret_db)
{
	int r = sql_err(
	    sqlite3_open_v2(path, ret_db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL));

	if (r < 0)
		return r;
	sqlite3_extended_result_codes(*ret_db, 1);
	sqlite3_busy_timeout(*ret_db, 200);
	sqlite3_db_config(*ret_db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(*ret_db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	return sql_exec(*ret_db, "PRAGMA temp_store=MEMORY; PRAGMA cell_size_check=ON;"
	                         "PRAGMA synchronous=FULL; PRAGMA cache_size=-16384;"
	                         "PRAGMA journal_size_limit=67108864");
}

static int to_wal(sqlite3 *db)
{
	CLEANUP(sqlite3_finalize) sqlite3_stmt *stmt = NULL;
	int r, on = 1;

	r = sql_prepare(db, "PRAGMA journal_mode=WAL", &stmt);
	if (r == 0)
		r = sql_step(stmt);
	if (r < 0)
		return r;
	if (strcmp(sql_text(stmt, 0), "wal") != 0)
		return ERR_AGAIN;
	sqlite3_file_control(db, "main", SQLITE_FCNTL_PERSIST_WAL, &on);
	sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	return ERR_OK;
}

/* Called after each commit, instead of SQLite's own checkpointing. */
static int on_log(void *arg, sqlite3 *db, const char *name, int n_pages)
{
	struct day_file *file = arg;
	int rc = SQLITE_OK;

	file->log_pages = n_pages;
	/* Busy: some reader needs the rest of the log. Full or broken: the log has it all. It is
	 * tried again after the next commit. */
	if (n_pages >= CHECKPOINT_PAGES)
		rc = sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	if (rc != SQLITE_OK && rc != SQLITE_BUSY && rc != file->log_failed)
		log_warning(HISTORY_TAG, "the log of a history file cannot be emptied: %s",
		            sqlite3_errstr(rc));
	file->log_failed = rc;
	/* What COMMIT returns: and this one has committed. */
	return SQLITE_OK;
}

static int prepare(struct day_file *file)
{
	int64_t id_base = 0;
	int r = ERR_OK;

	for (int i = 0; r == 0 && i < STMT_N; i++)
		r = sql_prepare(file->db, stmts[i], &file->stmts[i]);
	if (r == 0)
		r = sql_int(file->db, "SELECT id_base FROM file", &id_base);
	if (r < 0)
		return r == ERR_NOENT || r == ERR_STORE ? ERR_DAMAGED : r;
	file->id_base = (uint64_t)id_base;
	return ERR_OK;
}

int day_file_open(const struct day_file_where *where, uint32_t day, enum day_kind kind,
                  uint64_t id_base, struct day_file **ret_file)
{
	CLEANUP(release) struct day_file *file = calloc(1, sizeof(*file));
	char path[PATH_LEN];
	int r;

	if (!file)
		return ERR_NOMEM;
	file->day = day;
	file->kind = kind;
	r = path_of(where->dir, day, kind, path);
	if (r == 0)
		r = idmap_init(&file->names, NAMES_MAX, NAMES_MAX * 64);
	if (r == 0)
		r = idmap_init(&file->clients, CLIENTS_MAX, CLIENTS_MAX * ADDR_LEN);
	if (r == 0)
		r = idmap_init(&file->texts, TEXTS_MAX, TEXTS_MAX * 64);
	if (r == 0)
		r = idmap_init(&file->answers, ANSWERS_MAX, ANSWERS_MAX * ANSWER_ID_LEN);
	if (r == 0)
		r = idmap_init(&file->whats, WHATS_MAX, WHATS_MAX * sizeof(struct day_file_what));
	if (r == 0)
		r = make_file(path, where->gid);
	if (r == 0)
		r = open_sqlite(path, &file->db);
	if (r == 0)
		r = to_wal(file->db);
	if (r == 0)
		r = schema_make(file->db, path, day, kind, id_base, where->alive, where->alive_arg,
		                NULL);
	if (r == 0)
		r = prepare(file);
	if (r < 0)
		return r;
	file->log_pages_max = (int)MIN(where->log_max / PAGE_BYTES, (uint64_t)INT_MAX / 2);
	sqlite3_wal_hook(file->db, on_log, file);
	*ret_file = TAKE(file);
	return ERR_OK;
}

static int finish(sqlite3 *db)
{
	CLEANUP(sqlite3_finalize) sqlite3_stmt *stmt = NULL;
	int r, off = 0;

	sqlite3_file_control(db, "main", SQLITE_FCNTL_PERSIST_WAL, &off);
	sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
	r = sql_prepare(db, "PRAGMA journal_mode=DELETE", &stmt);
	if (r == 0)
		r = sql_step(stmt);
	if (r >= 0)
		r = strcmp(sql_text(stmt, 0), "delete") == 0 ? ERR_OK : ERR_AGAIN;
	if (r < 0) { /* a reader is in it: keep it readable for others */
		int on = 1;

		sqlite3_file_control(db, "main", SQLITE_FCNTL_PERSIST_WAL, &on);
		sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	}
	return r;
}

int day_file_close(struct day_file *file, enum day_file_close how)
{
	int r = ERR_OK;

	if (how == DAY_FILE_FINISH) {
		for (int i = 0; i < STMT_N; i++)
			sqlite3_finalize(TAKE(file->stmts[i]));
		r = finish(file->db);
	}
	release(file);
	return r;
}

bool day_file_is_open_on_disk(const char *dir, uint32_t day, enum day_kind kind)
{
	char path[PATH_LEN], wal[PATH_LEN + 8];
	struct stat st;

	if (path_of(dir, day, kind, path) < 0)
		return false;
	snprintf(wal, sizeof(wal), "%s-wal", path);
	return stat(wal, &st) == 0;
}

int day_file_finish(const char *dir, uint32_t day, enum day_kind kind)
{
	CLEANUP(sqlite3_close) sqlite3 *db = NULL;
	char path[PATH_LEN];
	int r;

	r = path_of(dir, day, kind, path);
	if (r == 0)
		r = open_sqlite(path, &db);
	return r < 0 ? r : finish(db);
}

int day_file_aside(const char *dir, uint32_t day, enum day_kind kind, int err, uint64_t now_s,
                   char ret_name[static 80])
{
	static const char *const companions[] = { "-wal", "-shm", "-journal" };
	char path[PATH_LEN], from[PATH_LEN + 16], to[PATH_LEN + 64], name[DAY_NAME_LEN];
	int r;

	r = path_of(dir, day, kind, path);
	if (r < 0)
		return r;
	day_name(day, kind, name);
	snprintf(ret_name, 80, "%s.%s-%llu", name, err == ERR_VERSION ? "newer" : "damaged",
	         (unsigned long long)now_s);
	snprintf(to, sizeof(to), "%s/%s", dir, ret_name);
	if (rename(path, to) != 0)
		return -errno;
	/* Named as SQLite looks for them, so that the file can be studied with its log. */
	for (size_t i = 0; i < ARRAY_LEN(companions); i++) {
		snprintf(from, sizeof(from), "%s%s", path, companions[i]);
		snprintf(to, sizeof(to), "%s/%s%s", dir, ret_name, companions[i]);
		if (rename(from, to) != 0 && errno != ENOENT)
			return -errno;
	}
	return ERR_OK;
}

bool day_file_is_held(const struct day_file *file)
{
	return file->log_pages > file->log_pages_max;
}

int day_file_leave_behind(struct day_file *file, const struct day_file_where *where)
{
	char path[PATH_LEN], part[PATH_LEN + 16], companion[PATH_LEN + 8];
	int r;

	r = path_of(where->dir, file->day, file->kind, path);
	if (r < 0)
		return r;
	/* A name that retention knows, should we die before it has its own. */
	snprintf(part, sizeof(part), "%s.schema-%d.part", path, SCHEMA_VERSION);
	/* In WAL mode from its first moment: a reader who came in between would keep it from there.
	 */
	r = sql_copy(file->db, path, part, SQL_COPY_JOURNAL, where->alive, where->alive_arg);
	if (r < 0) {
		file->log_pages_max = MIN(file->log_pages, INT_MAX / 2) * 2;
		return r;
	}
	if (rename(part, path) != 0) {
		r = -errno;
		unlink(part);
		return r;
	}
	(void)day_file_close(file, DAY_FILE_KEEP); /* always 0 with DAY_FILE_KEEP */
	/* The log holds nothing that the copy lacks, so dying here only leaves work to SQLite. */
	snprintf(companion, sizeof(companion), "%s-wal", path);
	unlink(companion);
	snprintf(companion, sizeof(companion), "%s-shm", path);
	unlink(companion);
	return ERR_OK;
}

uint32_t day_file_day(const struct day_file *file)
{
	return file->day;
}

enum day_kind day_file_kind(const struct day_file *file)
{
	return file->kind;
}

int day_file_seal(struct day_file *file)
{
	/* No backlog has the id 0. The content must change, or SQLite writes nothing. */
	return sql_exec(file->db, "INSERT INTO saved VALUES (0, 1)"
	                          " ON CONFLICT (area) DO UPDATE SET generation=generation + 1");
}

/* --- what it contains ------------------------------------------------------------------------ */

int day_file_ring(const struct day_file *file, uint64_t ring_id, struct area_ring *ret_ring)
{
	sqlite3_stmt *stmt = file->stmts[STMT_RING_GET];
	struct area_ring ring = { .id = ring_id };
	int r;

	sqlite3_bind_int64(stmt, 1, (int64_t)ring_id);
	r = sql_step(stmt);
	if (r > 0) {
		ring.pos = (uint64_t)sqlite3_column_int64(stmt, 0);
		for (int i = 0; i < VERDICT_N; i++) {
			ring.lost[i] = (uint64_t)sqlite3_column_int64(stmt, 1 + i);
			ring.vanished[i] = (uint64_t)sqlite3_column_int64(stmt, 4 + i);
		}
		ring.kernel_drops = (uint64_t)sqlite3_column_int64(stmt, 7);
	}
	if (r >= 0)
		*ret_ring = ring;
	sqlite3_reset(stmt); /* repeats the error of the step, which we have */
	return MIN(r, ERR_OK);
}

int day_file_saved(const struct day_file *file, uint64_t area_id, uint64_t *ret_token)
{
	sqlite3_stmt *stmt = file->stmts[STMT_SAVED_GET];
	int r;

	sqlite3_bind_int64(stmt, 1, (int64_t)area_id);
	r = sql_step(stmt);
	if (r >= 0)
		*ret_token = r > 0 ? (uint64_t)sqlite3_column_int64(stmt, 0) : 0;
	sqlite3_reset(stmt); /* repeats the error of the step, which we have */
	return MIN(r, ERR_OK);
}

/* --- transactions ---------------------------------------------------------------------------- */

int day_file_begin(struct day_file *file)
{
	file->id_min = UINT64_MAX;
	file->id_max = 0;
	file->last_us = 0;
	file->fold_span = 0;
	file->t_last = -1;
	return sql_run(file->stmts[STMT_BEGIN]);
}

int day_file_commit(struct day_file *file, uint64_t now_us)
{
	sqlite3_stmt *stmt = file->stmts[STMT_FILE_PUT];
	int r;

	sqlite3_clear_bindings(stmt);
	if (file->id_max) {
		sqlite3_bind_int64(stmt, 1, (int64_t)file->id_min);
		sqlite3_bind_int64(stmt, 2, (int64_t)file->id_max);
	}
	sqlite3_bind_int64(stmt, 3, (int64_t)file->last_us);
	sqlite3_bind_int64(stmt, 4, (int64_t)now_us);
	sqlite3_bind_int64(stmt, 5, file->fold_span);
	r = sql_run(stmt);
	return r < 0 ? r : sql_run(file->stmts[STMT_COMMIT]);
}

void day_file_rollback(struct day_file *file)
{
	if (!sqlite3_get_autocommit(file->db) && sql_run(file->stmts[STMT_ROLLBACK]) < 0)
		log_error(HISTORY_TAG, "rollback: %s", sql_why(file->db));
	/* They hold ids that the file does not know now. */
	idmap_clear(&file->names);
	idmap_clear(&file->clients);
	idmap_clear(&file->texts);
	idmap_clear(&file->answers);
	idmap_clear(&file->whats);
	memset(file->types, 0, sizeof(file->types));
}
