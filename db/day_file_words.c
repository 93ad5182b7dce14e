/* db/day_file_words.c - what repeats in a history file: each text once, known by a number. */
#include <stdio.h>
#include <string.h>

#include "day_file_core.h"
#include "pattern.h"
#include "sallyport/name.h"

int day_file_add_row(struct day_file *file, sqlite3_stmt *stmt, int64_t *ret_id)
{
	int r = sql_run(stmt);

	if (r == 0)
		*ret_id = sqlite3_last_insert_rowid(file->db);
	return r;
}

/* Most of what is asked for here is new: the cache knows the rest. So insert first, which finds out
 * by the same walk through the index, and look up only what was there. */
int day_file_intern(struct day_file *file, sqlite3_stmt *put, sqlite3_stmt *get, int64_t *ret_id)
{
	int r = day_file_add_row(file, put, ret_id);

	if (r < 0 || sqlite3_changes(file->db) > 0)
		return r;
	r = sql_step(get);
	if (r > 0)
		*ret_id = sqlite3_column_int64(get, 0);
	sqlite3_reset(get);
	return r > 0 ? ERR_OK : r < 0 ? r : ERR_DAMAGED;
}

int day_file_name_id(struct day_file *file, const char *name, size_t len, int64_t *ret_id)
{
	sqlite3_stmt *get = file->stmts[STMT_NAME_GET], *put = file->stmts[STMT_NAME_PUT];
	char rev[AGG_NAME_MAX];
	int r;

	*ret_id = idmap_get(&file->names, name, len);
	if (*ret_id)
		return ERR_OK;
	pattern_reverse(name, len, rev);
	sqlite3_bind_text(get, 1, rev, (int)len, SQLITE_STATIC);
	sqlite3_bind_text(put, 1, rev, (int)len, SQLITE_STATIC);
	sqlite3_bind_text(put, 2, name, (int)len, SQLITE_STATIC);
	r = day_file_intern(file, put, get, ret_id);
	if (r < 0)
		return r;
	idmap_put(&file->names, name, len, *ret_id);
	return ERR_OK;
}

int day_file_client_id(struct day_file *file, const uint8_t addr[static ADDR_LEN], int64_t *ret_id)
{
	sqlite3_stmt *get = file->stmts[STMT_CLIENT_GET], *put = file->stmts[STMT_CLIENT_PUT];
	char text[ADDR_TEXT_LEN];
	int r;

	*ret_id = idmap_get(&file->clients, addr, ADDR_LEN);
	if (*ret_id)
		return ERR_OK;
	addr_text(addr, text);
	sqlite3_bind_blob(get, 1, addr, ADDR_LEN, SQLITE_STATIC);
	sqlite3_bind_blob(put, 1, addr, ADDR_LEN, SQLITE_STATIC);
	sqlite3_bind_text(put, 2, text, -1, SQLITE_STATIC);
	r = day_file_intern(file, put, get, ret_id);
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
	r = day_file_intern(file, pair[1], pair[0], ret_id);
	if (r < 0)
		return r;
	idmap_put(&file->texts, key, MIN(len, sizeof(key) - 1), *ret_id);
	return ERR_OK;
}

int day_file_type(struct day_file *file, uint16_t type)
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

int day_file_texts(struct day_file *file, const struct agg_key *key, const struct catalog *catalog,
                   struct day_file_texts *ret_texts)
{
	struct day_file_texts *texts = ret_texts;
	int r = ERR_OK;

	*texts = (struct day_file_texts){ 0 };
	/* An id without a name (a catalog that never came, a producer gone mad) is still told. */
	if (key->workload != RECORD_NO_RULE) {
		bool named = catalog && key->workload < catalog->n_workloads;
		struct text_key at = { 'W', named, 0, key->policy_version, key->workload };
		char number[16];

		texts->workload = text_known(file, &at);
		if (!texts->workload) {
			snprintf(number, sizeof(number), "?%u", key->workload);
			r = text_id(file, 'W', STMT_WORKLOAD_GET, STMT_WORKLOAD_PUT,
			            named ? catalog->workloads[key->workload].workload : number,
			            named ? catalog->workloads[key->workload].profile : "?", 0,
			            &texts->workload);
			r = text_learn(file, &at, r, texts->workload);
		}
	}
	if (r == 0 && key->rule != RECORD_NO_RULE) {
		bool named = catalog && key->rule < catalog->n_rules;
		struct text_key at = { 'R', named, 0, key->policy_version, key->rule };
		char number[16];

		texts->rule = text_known(file, &at);
		if (!texts->rule) {
			snprintf(number, sizeof(number), "?%u", key->rule);
			r = text_id(file, 'R', STMT_RULE_GET, STMT_RULE_PUT,
			            named ? catalog->rules[key->rule].rule : number,
			            named ? catalog->rules[key->rule].file : "?",
			            named ? catalog->rules[key->rule].line : 0, &texts->rule);
			r = text_learn(file, &at, r, texts->rule);
		}
	}
	if (r == 0 && key->feed != RECORD_NO_RULE) {
		bool named = catalog && key->feed < catalog->n_feeds;
		struct text_key at = { 'F', named, 0, key->policy_version, key->feed };
		char number[16];

		texts->feed = text_known(file, &at);
		if (!texts->feed) {
			snprintf(number, sizeof(number), "?%u", key->feed);
			r = text_id(file, 'F', STMT_FEED_GET, STMT_FEED_PUT,
			            named ? catalog->feeds[key->feed] : number, "", 0,
			            &texts->feed);
			r = text_learn(file, &at, r, texts->feed);
		}
	}
	return r;
}
