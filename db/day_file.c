/* db/day_file.c - one history file, opened by its one writer. */
#include "day_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "idmap.h"
#include "pattern.h"
#include "schema.h"
#include "sallyport/log.h"
#include "sallyport/name.h"
#include "sql.h"

#define TAG "history"
#define PATH_LEN 4096

/* Sizes of the caches in front of the file's tables; a full one is emptied. */
enum {
	NAMES_MAX = 65536,
	CLIENTS_MAX = 16384,
	TEXTS_MAX = 32768,
	ANSWERS_MAX = 32768,
	WHATS_MAX = 131072,
};
#define TIE_TRIES 40

enum stmt {
	STMT_BEGIN,
	STMT_COMMIT,
	STMT_ROLLBACK,
	STMT_NAME_GET,
	STMT_NAME_PUT,
	STMT_CLIENT_GET,
	STMT_CLIENT_PUT,
	STMT_WORKLOAD_GET,
	STMT_WORKLOAD_PUT,
	STMT_RULE_GET,
	STMT_RULE_PUT,
	STMT_FEED_GET,
	STMT_FEED_PUT,
	STMT_TYPE_PUT,
	STMT_ANSWER_GET,
	STMT_ANSWER_PUT,
	STMT_ANSWER_LEARN,
	STMT_RR_PUT,
	STMT_WHAT_PUT,
	STMT_QUERY_PUT,
	STMT_FOLD_PUT,
	STMT_GAP_PUT,
	STMT_GAP_EXTEND,
	STMT_RING_PUT,
	STMT_RING_GET,
	STMT_SAVED_PUT,
	STMT_SAVED_GET,
	STMT_FILE_PUT,
	STMT_N,
};
static const char *const stmts[STMT_N] = {
	[STMT_BEGIN] = "BEGIN IMMEDIATE",
	[STMT_COMMIT] = "COMMIT",
	[STMT_ROLLBACK] = "ROLLBACK",
	[STMT_NAME_GET] = "SELECT id FROM name WHERE rev=?1",
	[STMT_NAME_PUT] = "INSERT INTO name (rev, name) VALUES (?1, ?2)",
	[STMT_CLIENT_GET] = "SELECT id FROM client WHERE addr=?1",
	[STMT_CLIENT_PUT] = "INSERT INTO client (addr, client) VALUES (?1, ?2)",
	[STMT_WORKLOAD_GET] = "SELECT id FROM workload WHERE workload=?1 AND profile=?2",
	[STMT_WORKLOAD_PUT] = "INSERT INTO workload (workload, profile) VALUES (?1, ?2)",
	[STMT_RULE_GET] = "SELECT id FROM rule WHERE rule=?1 AND file=?2 AND line=?3",
	[STMT_RULE_PUT] = "INSERT INTO rule (rule, file, line) VALUES (?1, ?2, ?3)",
	[STMT_FEED_GET] = "SELECT id FROM feed WHERE feed=?1",
	[STMT_FEED_PUT] = "INSERT INTO feed (feed) VALUES (?1)",
	[STMT_TYPE_PUT] = "INSERT OR IGNORE INTO type VALUES (?1, ?2)",
	[STMT_ANSWER_GET] = "SELECT id, known FROM answer WHERE hash=?1",
	[STMT_ANSWER_PUT] = "INSERT INTO answer (hash, known) VALUES (?1, 0)",
	[STMT_ANSWER_LEARN] = "UPDATE answer SET known=1, upstream=?2, upstream_port=?3, dnssec=?4,"
			      " cut=?5 WHERE id=?1",
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
	[STMT_RING_PUT] = "INSERT OR REPLACE INTO ring VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
	[STMT_RING_GET] = "SELECT pos, lost_deny, lost_allow, lost_local, vanished_deny,"
			  " vanished_allow, vanished_local, kernel_drops FROM ring WHERE id=?1",
	[STMT_SAVED_PUT] = "INSERT OR REPLACE INTO saved VALUES (?1, ?2)",
	[STMT_SAVED_GET] = "SELECT generation FROM saved WHERE area=?1",
	[STMT_FILE_PUT] = "UPDATE file SET id_min=min(coalesce(id_min, ?1), ?1),"
			  " id_max=max(coalesce(id_max, ?2), ?2),"
			  " last_us=max(coalesce(last_us, 0), ?3), committed_us=?4",
};

/* Everything that repeats: the key of table what. */
struct what_key {
	int64_t name, workload, rule, feed, answer;
	uint32_t policy_version;
	uint16_t type, class, rcode, ede, flags;
	uint8_t verdict, reason, dnssec, proto, merged, zero[5];
};
_Static_assert(sizeof(struct what_key) == 64, "no padding");

struct day_file {
	sqlite3 *db;
	sqlite3_stmt *stmts[STMT_N];
	struct idmap names, clients, texts, answers, whats;
	uint8_t types[65536 / 8]; /* bit: the type's text is in the file */
	uint64_t id_base;
	uint64_t id_min, id_max, last_us; /* of this transaction; id_max 0: none */
	int64_t t_last; /* of the last row of this transaction; rows come in order of time */
	uint32_t day;
	enum day_kind kind;
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
		log_warning(TAG, "%s: cannot be given to group %u: %s", path, (unsigned int)gid,
		            err_str(-errno));
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

static int prepare(struct day_file *file)
{
	int64_t id_base;
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

int day_file_open(const char *dir, uint32_t day, enum day_kind kind, uint64_t id_base, gid_t gid,
                  struct day_file **ret_file)
{
	CLEANUP(release) struct day_file *file = calloc(1, sizeof(*file));
	char path[PATH_LEN];
	int r;

	if (!file)
		return ERR_NOMEM;
	file->day = day;
	file->kind = kind;
	r = path_of(dir, day, kind, path);
	if (r == 0)
		r = idmap_init(&file->names, NAMES_MAX, NAMES_MAX * 64);
	if (r == 0)
		r = idmap_init(&file->clients, CLIENTS_MAX, CLIENTS_MAX * ADDR_LEN);
	if (r == 0)
		r = idmap_init(&file->texts, TEXTS_MAX, TEXTS_MAX * 64);
	if (r == 0)
		r = idmap_init(&file->answers, ANSWERS_MAX, ANSWERS_MAX * ANSWER_ID_LEN);
	if (r == 0)
		r = idmap_init(&file->whats, WHATS_MAX, WHATS_MAX * sizeof(struct what_key));
	if (r == 0)
		r = make_file(path, gid);
	if (r == 0)
		r = open_sqlite(path, &file->db);
	if (r == 0)
		r = to_wal(file->db);
	if (r == 0)
		r = schema_make(file->db, day, kind, id_base, NULL);
	if (r == 0)
		r = prepare(file);
	if (r < 0)
		return r;
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

int day_file_aside(const char *dir, uint32_t day, enum day_kind kind, uint64_t now_s,
                   char ret_name[static 80])
{
	static const char *const companions[] = { "-wal", "-shm", "-journal" };
	char path[PATH_LEN], from[PATH_LEN + 16], to[PATH_LEN + 64], name[DAY_NAME_LEN];
	int r;

	r = path_of(dir, day, kind, path);
	if (r < 0)
		return r;
	day_name(day, kind, name);
	snprintf(ret_name, 80, "%s.damaged-%llu", name, (unsigned long long)now_s);
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

uint32_t day_file_day(const struct day_file *file)
{
	return file->day;
}

enum day_kind day_file_kind(const struct day_file *file)
{
	return file->kind;
}

/* --- what it contains ------------------------------------------------------------------------ */

uint64_t day_file_pos(const struct day_file *file, uint64_t ring_id, struct area_ring *ret_ring)
{
	sqlite3_stmt *stmt = file->stmts[STMT_RING_GET];
	uint64_t pos = 0;

	sqlite3_bind_int64(stmt, 1, (int64_t)ring_id);
	if (sql_step(stmt) > 0) {
		pos = (uint64_t)sqlite3_column_int64(stmt, 0);
		if (ret_ring) {
			*ret_ring = (struct area_ring){ .id = ring_id, .pos = pos };
			for (int i = 0; i < VERDICT_N; i++) {
				ret_ring->lost[i] = (uint64_t)sqlite3_column_int64(stmt, 1 + i);
				ret_ring->vanished[i] = (uint64_t)sqlite3_column_int64(stmt, 4 + i);
			}
			ret_ring->kernel_drops = (uint64_t)sqlite3_column_int64(stmt, 7);
		}
	}
	sqlite3_reset(stmt);
	return pos;
}

bool day_file_has_saved(const struct day_file *file, uint64_t area_id, uint64_t generation)
{
	sqlite3_stmt *stmt = file->stmts[STMT_SAVED_GET];
	bool has = false;

	sqlite3_bind_int64(stmt, 1, (int64_t)area_id);
	if (sql_step(stmt) > 0)
		has = (uint64_t)sqlite3_column_int64(stmt, 0) == generation;
	sqlite3_reset(stmt);
	return has;
}

/* --- transactions ---------------------------------------------------------------------------- */

int day_file_begin(struct day_file *file)
{
	file->id_min = UINT64_MAX;
	file->id_max = 0;
	file->last_us = 0;
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
	r = sql_run(stmt);
	return r < 0 ? r : sql_run(file->stmts[STMT_COMMIT]);
}

void day_file_rollback(struct day_file *file)
{
	if (!sqlite3_get_autocommit(file->db) && sql_run(file->stmts[STMT_ROLLBACK]) < 0)
		log_error(TAG, "rollback: %s", sql_why(file->db));
	/* They hold ids that the file does not know now. */
	idmap_clear(&file->names);
	idmap_clear(&file->clients);
	idmap_clear(&file->texts);
	idmap_clear(&file->answers);
	idmap_clear(&file->whats);
	memset(file->types, 0, sizeof(file->types));
}

/* --- what repeats ---------------------------------------------------------------------------- */

/* Step a look-up; 1 with its first column, 0 when there is none. */
static int look_up(sqlite3_stmt *stmt, int64_t *ret_id)
{
	int r = sql_step(stmt);

	if (r > 0)
		*ret_id = sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	return r;
}

static int add_row(struct day_file *file, sqlite3_stmt *stmt, int64_t *ret_id)
{
	int r = sql_run(stmt);

	if (r == 0)
		*ret_id = sqlite3_last_insert_rowid(file->db);
	return r;
}

static int name_id(struct day_file *file, const char *name, size_t len, int64_t *ret_id)
{
	sqlite3_stmt *get = file->stmts[STMT_NAME_GET], *put = file->stmts[STMT_NAME_PUT];
	char rev[AGG_NAME_MAX];
	int r;

	*ret_id = idmap_get(&file->names, name, len);
	if (*ret_id)
		return ERR_OK;
	pattern_reverse(name, len, rev);
	sqlite3_bind_text(get, 1, rev, (int)len, SQLITE_STATIC);
	r = look_up(get, ret_id);
	if (r == 0) {
		sqlite3_bind_text(put, 1, rev, (int)len, SQLITE_STATIC);
		sqlite3_bind_text(put, 2, name, (int)len, SQLITE_STATIC);
		r = add_row(file, put, ret_id);
	}
	if (r < 0)
		return r;
	idmap_put(&file->names, name, len, *ret_id);
	return ERR_OK;
}

static int client_id(struct day_file *file, const uint8_t addr[static ADDR_LEN], int64_t *ret_id)
{
	sqlite3_stmt *get = file->stmts[STMT_CLIENT_GET], *put = file->stmts[STMT_CLIENT_PUT];
	char text[ADDR_TEXT_LEN];
	int r;

	*ret_id = idmap_get(&file->clients, addr, ADDR_LEN);
	if (*ret_id)
		return ERR_OK;
	sqlite3_bind_blob(get, 1, addr, ADDR_LEN, SQLITE_STATIC);
	r = look_up(get, ret_id);
	if (r == 0) {
		addr_text(addr, text);
		sqlite3_bind_blob(put, 1, addr, ADDR_LEN, SQLITE_STATIC);
		sqlite3_bind_text(put, 2, text, -1, SQLITE_STATIC);
		r = add_row(file, put, ret_id);
	}
	if (r < 0)
		return r;
	idmap_put(&file->clients, addr, ADDR_LEN, *ret_id);
	return ERR_OK;
}

/* Id of one to two texts and a number in their table; @kind keeps tables apart in the cache. */
static int text_id(struct day_file *file, char kind, enum stmt get_stmt, enum stmt put_stmt,
                   const char *a, const char *b, int64_t number, int64_t *ret_id)
{
	sqlite3_stmt *pair[2] = { file->stmts[get_stmt], file->stmts[put_stmt] };
	char key[2048];
	size_t len;
	int r;

	/* Long ones are cut in the key, with their length beside, and then share a row at worst. */
	len = (size_t)snprintf(key, sizeof(key), "%c%lld %zu %zu ", kind, (long long)number,
	                       strlen(a), strlen(b));
	len += (size_t)snprintf(key + len, sizeof(key) - len, "%.1024s%c%.800s", a, 1, b);
	*ret_id = idmap_get(&file->texts, key, MIN(len, sizeof(key) - 1));
	if (*ret_id)
		return ERR_OK;
	for (int i = 0; i < 2; i++) {
		sqlite3_bind_text(pair[i], 1, a, -1, SQLITE_STATIC);
		if (kind != 'F')
			sqlite3_bind_text(pair[i], 2, b, -1, SQLITE_STATIC);
		if (kind == 'R')
			sqlite3_bind_int64(pair[i], 3, number);
	}
	r = look_up(pair[0], ret_id);
	if (r == 0)
		r = add_row(file, pair[1], ret_id);
	if (r < 0)
		return r;
	idmap_put(&file->texts, key, MIN(len, sizeof(key) - 1), *ret_id);
	return ERR_OK;
}

static int type_known(struct day_file *file, uint16_t type)
{
	sqlite3_stmt *put = file->stmts[STMT_TYPE_PUT];
	char text[NAME_TYPE_TEXT_LEN];
	int r;

	if (file->types[type / 8] & (1u << type % 8))
		return ERR_OK;
	name_type_text(type, text);
	sqlite3_bind_int(put, 1, type);
	sqlite3_bind_text(put, 2, text, -1, SQLITE_STATIC);
	r = sql_run(put);
	if (r == 0)
		file->types[type / 8] |= (uint8_t)(1u << type % 8);
	return r;
}

/* --- answers --------------------------------------------------------------------------------- */

/* The row of a hash, made if it is not there. */
static int answer_row(struct day_file *file, const uint8_t id[static ANSWER_ID_LEN],
                      int64_t *ret_row, bool *ret_known)
{
	sqlite3_stmt *get = file->stmts[STMT_ANSWER_GET], *put = file->stmts[STMT_ANSWER_PUT];
	int r;

	sqlite3_bind_blob(get, 1, id, ANSWER_ID_LEN, SQLITE_STATIC);
	r = sql_step(get);
	if (r > 0) {
		*ret_row = sqlite3_column_int64(get, 0);
		*ret_known = sqlite3_column_int(get, 1) != 0;
	}
	sqlite3_reset(get);
	if (r == 0) {
		*ret_known = false;
		sqlite3_bind_blob(put, 1, id, ANSWER_ID_LEN, SQLITE_STATIC);
		r = add_row(file, put, ret_row);
	}
	return MIN(r, 0);
}

/* The cache keeps row * 2 + known. */
static int answer_cached(struct day_file *file, const uint8_t id[static ANSWER_ID_LEN],
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
	if (r == 0 && *ret_known)
		idmap_put(&file->answers, id, ANSWER_ID_LEN, *ret_row * 2 + 1);
	return r;
}

int day_file_has_answer(struct day_file *file, const uint8_t id[static ANSWER_ID_LEN])
{
	int64_t row;
	bool known;
	int r = answer_cached(file, id, &row, &known);

	return r < 0 ? r : known;
}

static int put_rr(struct day_file *file, int64_t answer, int n, const struct record_rr *rr,
                  const char *owner, const char *data)
{
	static const uint8_t none[ADDR_LEN];
	sqlite3_stmt *put = file->stmts[STMT_RR_PUT];
	int64_t name;
	int r;

	r = name_id(file, owner, rr->owner_len, &name);
	if (r == 0)
		r = type_known(file, rr->type);
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

static int learn(struct day_file *file, int64_t row, const char *upstream, int64_t port, int dnssec,
                 int cut)
{
	sqlite3_stmt *stmt = file->stmts[STMT_ANSWER_LEARN];

	sqlite3_clear_bindings(stmt);
	sqlite3_bind_int64(stmt, 1, row);
	if (upstream) {
		sqlite3_bind_text(stmt, 2, upstream, -1, SQLITE_STATIC);
		sqlite3_bind_int64(stmt, 3, port);
	}
	sqlite3_bind_int(stmt, 4, dnssec);
	sqlite3_bind_int(stmt, 5, cut);
	return sql_run(stmt);
}

int day_file_put_answer(struct day_file *file, const struct record_answer *answer)
{
	static const uint8_t none[ADDR_LEN];
	const uint8_t *at = (const uint8_t *)(answer + 1);
	char upstream[ADDR_TEXT_LEN];
	bool known;
	int64_t row;
	int r;

	r = answer_cached(file, answer->answer_id, &row, &known);
	if (r < 0 || known)
		return r;
	for (int i = 0; r == 0 && i < answer->n_rrs; i++) {
		struct record_rr rr;
		const char *owner;

		memcpy(&rr, at, sizeof(rr));
		owner = (const char *)at + sizeof(rr);
		r = put_rr(file, row, i, &rr, owner, owner + rr.owner_len);
		at += sizeof(rr) + (((size_t)rr.owner_len + rr.data_len + 3) & ~(size_t)3);
	}
	if (r < 0)
		return r;
	addr_text(answer->upstream, upstream);
	return learn(file, row, memcmp(answer->upstream, none, ADDR_LEN) != 0 ? upstream : NULL,
	             answer->upstream_port, answer->dnssec, answer->cut != 0);
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
	int64_t row;
	bool known;
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
	r = answer_cached(file, id, &row, &known);
	if (r < 0 || known)
		return r < 0 ? r : 1;
	r = copy_rrs(file, row, from->db, sqlite3_column_int64(stmt, 0));
	if (r == 0)
		r = learn(file, row, (const char *)sqlite3_column_text(stmt, 1),
		          sqlite3_column_int64(stmt, 2), sqlite3_column_int(stmt, 3),
		          sqlite3_column_int(stmt, 4));
	return r < 0 ? r : 1;
}

/* --- rows ------------------------------------------------------------------------------------ */

/* What a policy version's catalog says of an index does not change, so its row is found by these
 * numbers; @named tells what came before its catalog apart. */
struct text_key {
	char kind;
	bool named;
	uint16_t zero;
	uint32_t policy_version, index;
};

static int64_t text_known(const struct day_file *file, const struct text_key *key)
{
	return idmap_get(&file->texts, key, sizeof(*key));
}

static int text_learn(struct day_file *file, const struct text_key *key, int r, int64_t id)
{
	if (r == 0)
		idmap_put(&file->texts, key, sizeof(*key), id);
	return r;
}

static int what_texts(struct day_file *file, const struct agg_key *key,
                      const struct catalog *catalog, struct what_key *what)
{
	int r = ERR_OK;

	/* An id without a name (a catalog that never came, a producer gone mad) is still told. */
	if (key->workload != RECORD_NO_RULE) {
		bool named = catalog && key->workload < catalog->n_workloads;
		struct text_key at = { 'W', named, 0, key->policy_version, key->workload };
		char number[16];

		what->workload = text_known(file, &at);
		if (!what->workload) {
			snprintf(number, sizeof(number), "?%u", key->workload);
			r = text_id(file, 'W', STMT_WORKLOAD_GET, STMT_WORKLOAD_PUT,
			            named ? catalog->workloads[key->workload].workload : number,
			            named ? catalog->workloads[key->workload].profile : "?", 0,
			            &what->workload);
			r = text_learn(file, &at, r, what->workload);
		}
	}
	if (r == 0 && key->rule != RECORD_NO_RULE) {
		bool named = catalog && key->rule < catalog->n_rules;
		struct text_key at = { 'R', named, 0, key->policy_version, key->rule };
		char number[16];

		what->rule = text_known(file, &at);
		if (!what->rule) {
			snprintf(number, sizeof(number), "?%u", key->rule);
			r = text_id(file, 'R', STMT_RULE_GET, STMT_RULE_PUT,
			            named ? catalog->rules[key->rule].rule : number,
			            named ? catalog->rules[key->rule].file : "?",
			            named ? catalog->rules[key->rule].line : 0, &what->rule);
			r = text_learn(file, &at, r, what->rule);
		}
	}
	if (r == 0 && key->feed != RECORD_NO_RULE) {
		bool named = catalog && key->feed < catalog->n_feeds;
		struct text_key at = { 'F', named, 0, key->policy_version, key->feed };
		char number[16];

		what->feed = text_known(file, &at);
		if (!what->feed) {
			snprintf(number, sizeof(number), "?%u", key->feed);
			r = text_id(file, 'F', STMT_FEED_GET, STMT_FEED_PUT,
			            named ? catalog->feeds[key->feed] : number, "", 0, &what->feed);
			r = text_learn(file, &at, r, what->feed);
		}
	}
	return r;
}

static void bind_or_null(sqlite3_stmt *stmt, int column, int64_t id)
{
	if (id)
		sqlite3_bind_int64(stmt, column, id);
	else
		sqlite3_bind_null(stmt, column);
}

/* Equal rows may come twice (after a restart the cache is empty): that costs some octets and
 * changes nothing, while a look-up would need an index over all columns. */
static int add_what(struct day_file *file, const struct what_key *key, int64_t *ret_id)
{
	sqlite3_stmt *stmt = file->stmts[STMT_WHAT_PUT];
	int r;

	*ret_id = idmap_get(&file->whats, key, sizeof(*key));
	if (*ret_id)
		return ERR_OK;
	sqlite3_bind_int64(stmt, 1, key->name);
	bind_or_null(stmt, 2, key->workload);
	sqlite3_bind_int(stmt, 3, key->type);
	sqlite3_bind_int(stmt, 4, key->class);
	sqlite3_bind_int(stmt, 5, key->verdict);
	sqlite3_bind_int(stmt, 6, key->reason);
	bind_or_null(stmt, 7, key->rule);
	bind_or_null(stmt, 8, key->feed);
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
	r = add_row(file, stmt, ret_id);
	if (r == 0)
		idmap_put(&file->whats, key, sizeof(*key), *ret_id);
	return r;
}

static int what_id(struct day_file *file, const struct agg_entry *entry, const char *name,
                   const struct catalog *catalog, int64_t *ret_id)
{
	static const uint8_t none[ANSWER_ID_LEN];
	const struct agg_key *key = &entry->key;
	struct what_key what = {
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

	r = name_id(file, name, key->name_len, &what.name);
	if (r == 0)
		r = what_texts(file, key, catalog, &what);
	if (r == 0)
		r = type_known(file, key->qtype);
	if (r == 0 && memcmp(key->answer_id, none, ANSWER_ID_LEN) != 0)
		r = answer_cached(file, key->answer_id, &what.answer, &known);
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
		r = client_id(file, entry->key.client, &client);
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
