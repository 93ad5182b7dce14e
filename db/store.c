/* db/store.c - the policy store, policy.db. */
#include "db/store.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sql.h"
#include "store_core.h"
#include "store_schema.h"

/* Checked whole at open up to this size; beyond it (millions of feed names) only what is read is
 * checked, by its SHA-256, so that a start never takes many seconds. */
#define CHECK_BYTES_MAX (256 << 20)

static const char *const steps[] = {
	/* 1 */
	"CREATE TABLE version ("
	" version INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, uid INTEGER, user TEXT,"
	" file TEXT NOT NULL, comment TEXT NOT NULL, sha256 BLOB NOT NULL,"
	" n_rules INTEGER NOT NULL, n_workloads INTEGER NOT NULL, text BLOB NOT NULL);"
	"CREATE TABLE content (id INTEGER PRIMARY KEY, sha256 BLOB NOT NULL UNIQUE,"
	" bytes INTEGER NOT NULL);"
	"CREATE TABLE piece (content INTEGER NOT NULL REFERENCES content, n INTEGER NOT NULL,"
	" data BLOB NOT NULL, PRIMARY KEY (content, n));"
	"CREATE TABLE feed (version INTEGER NOT NULL REFERENCES version, n INTEGER NOT NULL,"
	" name TEXT NOT NULL, file TEXT NOT NULL, content INTEGER NOT NULL REFERENCES content,"
	" PRIMARY KEY (version, n)) WITHOUT ROWID;"
	"CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, time_ns INTEGER NOT NULL,"
	" uid INTEGER, user TEXT, action TEXT NOT NULL, detail TEXT NOT NULL,"
	" policy_version INTEGER);"
	"CREATE TRIGGER version_stays BEFORE UPDATE ON version"
	" BEGIN SELECT raise(ABORT, 'versions are immutable'); END;"
	"CREATE TRIGGER version_kept BEFORE DELETE ON version"
	" BEGIN SELECT raise(ABORT, 'versions are kept'); END;"
	"CREATE TRIGGER audit_stays BEFORE UPDATE ON audit"
	" BEGIN SELECT raise(ABORT, 'the audit trail is immutable'); END;"
	"CREATE TRIGGER audit_kept BEFORE DELETE ON audit"
	" BEGIN SELECT raise(ABORT, 'the audit trail is kept'); END;",
	/* 2: negative trust anchors by command */
	"CREATE TABLE nta (name TEXT PRIMARY KEY, since_ns INTEGER NOT NULL,"
	" until_ns INTEGER NOT NULL, uid INTEGER, user TEXT, reason TEXT NOT NULL) WITHOUT ROWID;",
};
const struct sql_schema store_schema = { .application_id = 0x53505043,
	                                 .steps = steps,
	                                 .n_steps = ARRAY_LEN(steps) };

/* Refuse what SQLite would take for a short or foreign file, and look for damage. */
static int check(sqlite3 *db, const char *path, struct diag *diag)
{
	CLEANUP(sqlite3_finalize) sqlite3_stmt *stmt = NULL;
	struct stat st;
	int r;

	if (stat(path, &st) != 0 || st.st_size > CHECK_BYTES_MAX)
		return ERR_OK;
	r = sql_prepare(db, "PRAGMA quick_check(1)", &stmt);
	if (r == 0)
		r = sql_step(stmt);
	if (r < 0)
		return diag_set(diag, r, "%s: the policy store cannot be checked: %s", path,
		                sql_why(db));
	if (strcmp(sql_text(stmt, 0), "ok") != 0)
		return diag_set(diag, ERR_DAMAGED,
		                "%s: the policy store is damaged: %s; put a good copy in its place",
		                path, sql_text(stmt, 0));
	return ERR_OK;
}

int store_open_schema(const char *path, const struct sql_schema *schema, struct store **ret_store,
                      struct diag *diag)
{
	CLEANUP(store_free) struct store *store = calloc(1, sizeof(*store));
	mode_t mask;
	int r;

	if (!store || sodium_init() < 0)
		return ERR_NOMEM;
	mask = umask(077);
	r = sql_err(sqlite3_open_v2(
	    path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
	    NULL));
	umask(mask);
	if (r < 0)
		return diag_set(diag, r, "%s: the policy store cannot be opened: %s", path,
		                sql_why(store->db));
	sqlite3_extended_result_codes(store->db, 1);
	sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(store->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);

	r = sql_exec(store->db, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=DELETE;"
	                        "PRAGMA synchronous=EXTRA; PRAGMA foreign_keys=ON;"
	                        "PRAGMA temp_store=MEMORY; PRAGMA cell_size_check=ON");
	if (r < 0)
		return diag_set(diag, r, "%s: the policy store cannot be read: %s", path,
		                sql_why(store->db));
	r = check(store->db, path, diag);
	if (r == 0)
		r = sql_migrate(store->db, schema, path, diag);
	if (r < 0)
		return r;
	*ret_store = TAKE(store);
	return ERR_OK;
}

int store_open(const char *path, struct store **ret_store, struct diag *diag)
{
	return store_open_schema(path, &store_schema, ret_store, diag);
}

int store_set_aside(const char *path, uint64_t now_s, char *ret_name, size_t cap)
{
	char from[4096], to[4096];
	int n = snprintf(ret_name, cap, "%s.damaged-%llu", path, (unsigned long long)now_s);

	if (n < 0 || (size_t)n >= cap ||
	    snprintf(from, sizeof(from), "%s-journal", path) >= (int)sizeof(from) ||
	    snprintf(to, sizeof(to), "%s-journal", ret_name) >= (int)sizeof(to))
		return ERR_LIMIT;
	/* The journal first: a new store must never find it. */
	if (rename(from, to) != 0 && errno != ENOENT)
		return -errno;
	return rename(path, ret_name) == 0 ? ERR_OK : -errno;
}

void store_free(struct store *store)
{
	if (!store)
		return;
	sqlite3_close(store->db);
	free(store);
}

sqlite3 *store_sqlite(struct store *store)
{
	return store->db;
}

uint32_t store_current(const struct store *store)
{
	int64_t version;

	if (sql_int(store->db, "SELECT coalesce(max(version), 0) FROM version", &version) < 0)
		return 0;
	return (uint32_t)version;
}

uint32_t store_next_version(const struct store *store)
{
	int64_t version;

	if (sql_int(store->db, "SELECT coalesce(max(version), 0) + 1 FROM version", &version) < 0)
		return 0;
	return (uint32_t)version;
}

int store_bind_text(sqlite3_stmt *stmt, int column, const char *text)
{
	if (!text)
		return sql_err(sqlite3_bind_null(stmt, column));
	return sql_err(sqlite3_bind_text(stmt, column, text, (int)strnlen(text, STORE_TEXT_MAX),
	                                 SQLITE_STATIC));
}

int store_bind_actor(sqlite3_stmt *stmt, int column, const struct store_actor *actor)
{
	int rc = actor->uid == STORE_UID_NONE ? sqlite3_bind_null(stmt, column)
	                                      : sqlite3_bind_int64(stmt, column, actor->uid);

	return rc == SQLITE_OK ? store_bind_text(stmt, column + 1, actor->user) : sql_err(rc);
}

void store_txn_end_cleanup(struct store_txn *txn)
{
	if (txn->db && !sqlite3_get_autocommit(txn->db))
		sqlite3_exec(txn->db, "ROLLBACK", NULL, NULL, NULL);
}

int store_txn_begin(sqlite3 *db, struct store_txn *txn)
{
	txn->db = db;
	return sql_exec(db, "BEGIN IMMEDIATE");
}

/* The content's id; stores it unless the store has it. */
static int put_content(sqlite3 *db, const uint8_t *data, size_t len, int64_t *ret_id)
{
	CLEANUP(sqlite3_finalize) sqlite3_stmt *find = NULL;
	CLEANUP(sqlite3_finalize) sqlite3_stmt *add = NULL;
	CLEANUP(sqlite3_finalize) sqlite3_stmt *piece = NULL;
	uint8_t hash[STORE_SHA256_LEN];
	int64_t id;
	int r;

	crypto_hash_sha256(hash, data, len);
	r = sql_prepare(db, "SELECT id FROM content WHERE sha256=?", &find);
	if (r < 0)
		return r;
	sqlite3_bind_blob(find, 1, hash, sizeof(hash), SQLITE_STATIC);
	r = sql_step(find);
	if (r != 0) {
		*ret_id = sqlite3_column_int64(find, 0);
		return MIN(r, 0);
	}

	r = sql_prepare(db, "INSERT INTO content (sha256, bytes) VALUES (?,?)", &add);
	if (r == 0)
		r = sql_prepare(db, "INSERT INTO piece (content, n, data) VALUES (?,?,?)", &piece);
	if (r < 0)
		return r;
	sqlite3_bind_blob(add, 1, hash, sizeof(hash), SQLITE_STATIC);
	sqlite3_bind_int64(add, 2, (int64_t)len);
	r = sql_run(add);
	id = sqlite3_last_insert_rowid(db);
	for (size_t at = 0, n = 0; r == 0 && at < len; at += STORE_FEED_PIECE, n++) {
		sqlite3_bind_int64(piece, 1, id);
		sqlite3_bind_int64(piece, 2, (int64_t)n);
		sqlite3_bind_blob(piece, 3, data + at, (int)MIN(len - at, (size_t)STORE_FEED_PIECE),
		                  SQLITE_STATIC);
		r = sql_run(piece);
	}
	*ret_id = id;
	return r;
}

static int put_feed(sqlite3 *db, uint32_t version, size_t n, const struct store_put_feed *feed)
{
	CLEANUP(sqlite3_finalize) sqlite3_stmt *stmt = NULL;
	int64_t content = 0;
	int r;

	r = put_content(db, feed->data, feed->len, &content);
	if (r == 0)
		r = sql_prepare(db, "INSERT INTO feed VALUES (?,?,?,?,?)", &stmt);
	if (r < 0)
		return r;
	sqlite3_bind_int64(stmt, 1, version);
	sqlite3_bind_int64(stmt, 2, (int64_t)n);
	r = store_bind_text(stmt, 3, feed->name);
	if (r == 0)
		r = store_bind_text(stmt, 4, feed->file ? feed->file : "");
	sqlite3_bind_int64(stmt, 5, content);
	return r < 0 ? r : sql_run(stmt);
}

static int put_version(sqlite3 *db, uint32_t version, const struct store_put *put)
{
	CLEANUP(sqlite3_finalize) sqlite3_stmt *stmt = NULL;
	uint8_t hash[STORE_SHA256_LEN];
	int r;

	crypto_hash_sha256(hash, (const uint8_t *)put->text, put->text_len);
	r = sql_prepare(db, "INSERT INTO version VALUES (?,?,?,?,?,?,?,?,?,?)", &stmt);
	if (r < 0)
		return r;
	sqlite3_bind_int64(stmt, 1, version);
	sqlite3_bind_int64(stmt, 2, (int64_t)put->time_ns);
	r = store_bind_actor(stmt, 3, &put->actor);
	if (r == 0)
		r = store_bind_text(stmt, 5, put->file ? put->file : "");
	if (r == 0)
		r = store_bind_text(stmt, 6, put->comment ? put->comment : "");
	sqlite3_bind_blob(stmt, 7, hash, sizeof(hash), SQLITE_STATIC);
	sqlite3_bind_int64(stmt, 8, put->n_rules);
	sqlite3_bind_int64(stmt, 9, put->n_workloads);
	sqlite3_bind_blob(stmt, 10, put->text_len ? put->text : "", (int)put->text_len,
	                  SQLITE_STATIC);
	return r < 0 ? r : sql_run(stmt);
}

int store_put_audit(sqlite3 *db, const struct store_audit *audit)
{
	CLEANUP(sqlite3_finalize) sqlite3_stmt *stmt = NULL;
	int r;

	r = sql_prepare(db,
	                "INSERT INTO audit (time_ns, uid, user, action, detail, policy_version)"
	                " VALUES (?,?,?,?,?,?)",
	                &stmt);
	if (r < 0)
		return r;
	sqlite3_bind_int64(stmt, 1, (int64_t)audit->time_ns);
	r = store_bind_actor(stmt, 2, &audit->actor);
	if (r == 0)
		r = store_bind_text(stmt, 4, audit->action ? audit->action : "");
	if (r == 0)
		r = store_bind_text(stmt, 5, audit->detail ? audit->detail : "");
	if (audit->policy_version)
		sqlite3_bind_int64(stmt, 6, audit->policy_version);
	return r < 0 ? r : sql_run(stmt);
}

int store_put(struct store *store, const struct store_put *put, uint32_t *ret_version,
              struct diag *diag)
{
	CLEANUP(store_txn_end) struct store_txn txn = { 0 };
	struct store_audit audit = { .time_ns = put->time_ns,
		                     .actor = put->actor,
		                     .action = put->action ? put->action : "policy apply",
		                     .detail = put->comment };
	uint32_t version;
	int r;

	if (put->text_len > LIMIT_POLICY_BYTES || put->n_feeds > LIMIT_FEEDS)
		return diag_set(diag, ERR_LIMIT, "policy: larger than the store takes");
	for (size_t i = 0; i < put->n_feeds; i++) {
		if (put->feeds[i].len > LIMIT_FEED_BYTES)
			return diag_set(diag, ERR_LIMIT, "feed %s: larger than %d octets",
			                put->feeds[i].name, LIMIT_FEED_BYTES);
	}

	r = store_txn_begin(store->db, &txn);
	if (r < 0)
		return diag_set(diag, r, "policy: the store cannot be written: %s",
		                sql_why(store->db));
	version = store_next_version(store);
	if (version == 0)
		return diag_set(diag, ERR_STORE, "policy: the store cannot be read: %s",
		                sql_why(store->db));
	r = put_version(store->db, version, put);
	for (size_t i = 0; r == 0 && i < put->n_feeds; i++)
		r = put_feed(store->db, version, i, &put->feeds[i]);
	if (r == 0) {
		audit.policy_version = version;
		r = store_put_audit(store->db, &audit);
	}
	if (r == 0)
		r = sql_exec(store->db, "COMMIT");
	if (r < 0)
		return diag_set(diag, r, "policy: version %u was not kept: %s", version,
		                sql_why(store->db));
	*ret_version = version;
	return ERR_OK;
}

void store_version_free(struct store_version *version)
{
	if (!version)
		return;
	for (size_t i = 0; i < version->n_feeds; i++) {
		free(version->feeds[i].name);
		free(version->feeds[i].file);
	}
	free(version->feeds);
	free(version->user);
	free(version->file);
	free(version->comment);
	free(version->text);
	free(version);
}

static int read_hash(sqlite3_stmt *stmt, int column, uint8_t ret_hash[static STORE_SHA256_LEN])
{
	const void *hash = sqlite3_column_blob(stmt, column);

	if (!hash || sqlite3_column_bytes(stmt, column) != STORE_SHA256_LEN)
		return ERR_DAMAGED;
	memcpy(ret_hash, hash, STORE_SHA256_LEN);
	return ERR_OK;
}

static int read_feeds(sqlite3 *db, struct store_version *version)
{
	CLEANUP(sqlite3_finalize) sqlite3_stmt *stmt = NULL;
	int r;

	version->feeds = calloc(LIMIT_FEEDS, sizeof(*version->feeds));
	if (!version->feeds)
		return ERR_NOMEM;
	r = sql_prepare(db,
	                "SELECT f.name, f.file, c.sha256, c.bytes FROM feed f JOIN content c"
	                " ON c.id=f.content WHERE f.version=? ORDER BY f.n",
	                &stmt);
	if (r < 0)
		return r;
	sqlite3_bind_int64(stmt, 1, version->version);
	while ((r = sql_step(stmt)) > 0 && version->n_feeds < LIMIT_FEEDS) {
		struct store_feed *feed = &version->feeds[version->n_feeds++];

		r = sql_dup(stmt, 0, &feed->name);
		if (r == 0)
			r = sql_dup(stmt, 1, &feed->file);
		if (r == 0)
			r = read_hash(stmt, 2, feed->sha256);
		if (r < 0)
			return r;
		feed->bytes = (uint64_t)sqlite3_column_int64(stmt, 3);
	}
	return MIN(r, 0);
}

/* The row that @stmt stands at: version, time_ns, uid, user, file, comment, sha256, n_rules,
 * n_workloads [, text]. */
static int read_version(sqlite3 *db, sqlite3_stmt *stmt, struct store_version **ret_version)
{
	CLEANUP(store_version_free) struct store_version *version = calloc(1, sizeof(*version));
	int r;

	if (!version)
		return ERR_NOMEM;
	version->version = (uint32_t)sqlite3_column_int64(stmt, 0);
	version->time_ns = (uint64_t)sqlite3_column_int64(stmt, 1);
	version->uid = sqlite3_column_type(stmt, 2) == SQLITE_NULL
	                   ? STORE_UID_NONE
	                   : (uint32_t)sqlite3_column_int64(stmt, 2);
	r = sql_dup(stmt, 3, &version->user);
	if (r == 0)
		r = sql_dup(stmt, 4, &version->file);
	if (r == 0)
		r = sql_dup(stmt, 5, &version->comment);
	if (r == 0)
		r = read_hash(stmt, 6, version->sha256);
	version->n_rules = (uint32_t)sqlite3_column_int64(stmt, 7);
	version->n_workloads = (uint32_t)sqlite3_column_int64(stmt, 8);
	if (r == 0 && sqlite3_column_count(stmt) > 9) {
		uint8_t hash[STORE_SHA256_LEN];
		const void *text = sqlite3_column_blob(stmt, 9);

		version->text_len = (size_t)sqlite3_column_bytes(stmt, 9);
		version->text = malloc(version->text_len + 1);
		if (!version->text)
			return ERR_NOMEM;
		if (version->text_len)
			memcpy(version->text, text, version->text_len);
		version->text[version->text_len] = '\0';
		crypto_hash_sha256(hash, (const uint8_t *)version->text, version->text_len);
		if (memcmp(hash, version->sha256, sizeof(hash)) != 0)
			return ERR_DAMAGED;
	}
	if (r == 0)
		r = read_feeds(db, version);
	if (r < 0)
		return r;
	*ret_version = TAKE(version);
	return ERR_OK;
}

int store_get(struct store *store, uint32_t version, struct store_version **ret_version,
              struct diag *diag)
{
	CLEANUP(sqlite3_finalize) sqlite3_stmt *stmt = NULL;
	int r;

	if (version == 0)
		version = store_current(store);
	r = sql_prepare(store->db,
	                "SELECT version, time_ns, uid, user, file, comment, sha256, n_rules,"
	                " n_workloads, text FROM version WHERE version=?",
	                &stmt);
	if (r == 0) {
		sqlite3_bind_int64(stmt, 1, version);
		r = sql_step(stmt);
	}
	if (r < 0)
		return diag_set(diag, r, "policy: the store cannot be read: %s",
		                sql_why(store->db));
	if (r == 0)
		return version == 0
		           ? diag_set(diag, ERR_NOENT, "policy: none was applied yet")
		           : diag_set(diag, ERR_NOENT, "policy: there is no version %u", version);
	r = read_version(store->db, stmt, ret_version);
	if (r < 0)
		return diag_set(diag, r, "policy: version %u cannot be read: %s", version,
		                err_str(r));
	return ERR_OK;
}

int64_t store_feed_read(struct store *store, const uint8_t sha256[static STORE_SHA256_LEN],
                        uint64_t offset, void *buf, size_t cap)
{
	CLEANUP(sqlite3_finalize) sqlite3_stmt *stmt = NULL;
	size_t done = 0;
	int64_t bytes, id;
	int r;

	r = sql_prepare(store->db, "SELECT id, bytes FROM content WHERE sha256=?", &stmt);
	if (r < 0)
		return r;
	sqlite3_bind_blob(stmt, 1, sha256, STORE_SHA256_LEN, SQLITE_STATIC);
	r = sql_step(stmt);
	if (r <= 0)
		return r < 0 ? r : ERR_NOENT;
	id = sqlite3_column_int64(stmt, 0);
	bytes = sqlite3_column_int64(stmt, 1);
	if (bytes < 0 || offset >= (uint64_t)bytes || cap == 0)
		return 0;
	sqlite3_finalize(TAKE(stmt));

	r = sql_prepare(store->db, "SELECT n, data FROM piece WHERE content=? AND n>=? ORDER BY n",
	                &stmt);
	if (r < 0)
		return r;
	sqlite3_bind_int64(stmt, 1, id);
	sqlite3_bind_int64(stmt, 2, (int64_t)(offset / STORE_FEED_PIECE));
	while (done < cap && (r = sql_step(stmt)) > 0) {
		uint64_t n = (uint64_t)sqlite3_column_int64(stmt, 0);
		const uint8_t *data = sqlite3_column_blob(stmt, 1);
		size_t len = (size_t)sqlite3_column_bytes(stmt, 1);
		size_t skip = (size_t)(offset + done - n * STORE_FEED_PIECE);
		size_t part;

		/* A hole, or a piece that is not whole in the middle. */
		if (n != (offset + done) / STORE_FEED_PIECE || !data || skip >= len)
			return ERR_DAMAGED;
		part = MIN(len - skip, cap - done);
		memcpy((uint8_t *)buf + done, data + skip, part);
		done += part;
	}
	if (r < 0)
		return r;
	if (done < cap && offset + done != (uint64_t)bytes)
		return ERR_DAMAGED;
	return (int64_t)done;
}

int store_feed_copy(struct store *store, const uint8_t sha256[static STORE_SHA256_LEN], int fd)
{
	CLEANUP(free) uint8_t *piece = malloc(STORE_FEED_PIECE);
	crypto_hash_sha256_state state;
	uint8_t hash[STORE_SHA256_LEN];
	uint64_t offset = 0;
	int64_t n;

	if (!piece)
		return ERR_NOMEM;
	crypto_hash_sha256_init(&state);
	while ((n = store_feed_read(store, sha256, offset, piece, STORE_FEED_PIECE)) > 0) {
		for (size_t done = 0; done < (size_t)n;) {
			ssize_t wrote = write(fd, piece + done, (size_t)n - done);

			if (wrote < 0 && errno == EINTR)
				continue;
			if (wrote <= 0)
				return wrote < 0 ? -errno : ERR_NOSPC;
			done += (size_t)wrote;
		}
		crypto_hash_sha256_update(&state, piece, (unsigned long long)n);
		offset += (uint64_t)n;
	}
	if (n < 0)
		return (int)n;
	crypto_hash_sha256_final(&state, hash);
	return memcmp(hash, sha256, sizeof(hash)) == 0 ? ERR_OK : ERR_DAMAGED;
}

int store_list(struct store *store, store_list_cb *cb, void *arg)
{
	CLEANUP(sqlite3_finalize) sqlite3_stmt *stmt = NULL;
	int r;

	r = sql_prepare(store->db,
	                "SELECT version, time_ns, uid, user, file, comment, sha256, n_rules,"
	                " n_workloads FROM version ORDER BY version DESC",
	                &stmt);
	if (r < 0)
		return r;
	while ((r = sql_step(stmt)) > 0) {
		CLEANUP(store_version_free) struct store_version *version = NULL;

		r = read_version(store->db, stmt, &version);
		if (r == 0)
			r = cb(version, arg);
		if (r != 0)
			return r;
	}
	return r;
}

int store_audit_add(struct store *store, const struct store_audit *audit, struct diag *diag)
{
	int r = store_put_audit(store->db, audit);

	if (r < 0)
		return diag_set(diag, r, "audit: \"%s\" was not kept: %s",
		                audit->action ? audit->action : "", sql_why(store->db));
	return ERR_OK;
}

int store_audit_list(struct store *store, uint64_t limit, store_audit_cb *cb, void *arg)
{
	CLEANUP(sqlite3_finalize) sqlite3_stmt *stmt = NULL;
	int r;

	r = sql_prepare(store->db,
	                "SELECT id, time_ns, uid, user, action, detail, policy_version FROM audit"
	                " ORDER BY id DESC LIMIT ?",
	                &stmt);
	if (r < 0)
		return r;
	sqlite3_bind_int64(stmt, 1, limit ? (int64_t)MIN(limit, (uint64_t)INT64_MAX) : -1);
	while ((r = sql_step(stmt)) > 0) {
		struct store_audit audit = {
			.id = (uint64_t)sqlite3_column_int64(stmt, 0),
			.time_ns = (uint64_t)sqlite3_column_int64(stmt, 1),
			.actor.uid = sqlite3_column_type(stmt, 2) == SQLITE_NULL
			                 ? STORE_UID_NONE
			                 : (uint32_t)sqlite3_column_int64(stmt, 2),
			.actor.user = (const char *)sqlite3_column_text(stmt, 3),
			.action = sql_text(stmt, 4),
			.detail = sql_text(stmt, 5),
			.policy_version = (uint32_t)sqlite3_column_int64(stmt, 6),
		};

		r = cb(&audit, arg);
		if (r != 0)
			return r;
	}
	return r;
}
