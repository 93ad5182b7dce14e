/* db/reader_select.c - what of a history file's small tables a filter wants. */
#include <stdio.h>
#include <string.h>

#include "pattern.h"
#include "reader_core.h"

/* --- sets of ids ----------------------------------------------------------------------------- */

void id_set_fini(struct id_set *set)
{
	free(set->bits);
	*set = (struct id_set){ 0 };
}

int id_set_add(struct id_set *set, int64_t id)
{
	size_t word = (size_t)id / 64;

	if (id < 0 || id > INT32_MAX)
		return ERR_DAMAGED; /* such a table has no file */
	if (word >= set->n_words) {
		size_t n = MAX(set->n_words * 2, word + 64);
		uint64_t *bits = realloc(set->bits, n * sizeof(*bits));

		if (!bits)
			return ERR_NOMEM;
		memset(bits + set->n_words, 0, (n - set->n_words) * sizeof(*bits));
		set->bits = bits;
		set->n_words = n;
	}
	if (!id_set_has(set, id))
		set->n++;
	set->bits[word] |= UINT64_C(1) << (id % 64);
	return ERR_OK;
}

bool id_set_has(const struct id_set *set, int64_t id)
{
	size_t word = (size_t)id / 64;

	return id >= 0 && word < set->n_words && (set->bits[word] >> (id % 64) & 1);
}

/* --- what matches ---------------------------------------------------------------------------- */

bool reader_narrows_what(const struct history_filter *f)
{
	return f->workload || f->profile || f->name || f->has_address || f->verdict >= 0 ||
	       f->reason >= 0 || f->type >= 0 || f->rcode >= 0 || f->dnssec >= 0 || f->rule;
}

/* First and last address of a prefix. */
void reader_prefix_range(const struct prefix *prefix, uint8_t low[static ADDR_LEN],
                         uint8_t high[static ADDR_LEN])
{
	for (unsigned int i = 0; i < ADDR_LEN; i++) {
		unsigned int bits = prefix->len > i * 8 ? MIN(prefix->len - i * 8, 8u) : 0;
		uint8_t host = (uint8_t)(0xff >> bits);

		low[i] = (uint8_t)(prefix->addr[i] & ~host);
		high[i] = (uint8_t)(prefix->addr[i] | host);
	}
}

static int bind_name(sqlite3_stmt *stmt, const char *parameter, const char *text)
{
	int i = sqlite3_bind_parameter_index(stmt, parameter);

	return i ? sql_err(sqlite3_bind_text(stmt, i, text, -1, SQLITE_TRANSIENT)) : ERR_OK;
}

static int bind_addr(sqlite3_stmt *stmt, const char *parameter, const uint8_t *addr)
{
	int i = sqlite3_bind_parameter_index(stmt, parameter);

	return i ? sql_err(sqlite3_bind_blob(stmt, i, addr, ADDR_LEN, SQLITE_TRANSIENT)) : ERR_OK;
}

/* The order of the joins is forced: the narrowest index first. */
int reader_what_sql(const struct history_filter *f, const struct pattern *pattern, char *out,
                    size_t cap)
{
	bool by_name = f->name && (pattern->low[0] != '\0');
	FILE *sql = fmemopen(out, cap, "w");

	if (!sql)
		return ERR_NOMEM;
	if (by_name)
		fprintf(sql,
		        "SELECT w.id, n.name FROM name n CROSS JOIN what w ON w.name=n.id"
		        " WHERE %s",
		        pattern->kind == PATTERN_EXACT ? "n.rev=:low"
		                                       : "n.rev>:low AND n.rev<:high");
	else
		fprintf(sql, "SELECT w.id, n.name FROM what w CROSS JOIN name n ON n.id=w.name"
		             " WHERE 1");
	/* A plus sign keeps an index from being used where another one is better. */
	if (f->has_address)
		fprintf(sql,
		        " AND %sw.answer IN (SELECT answer FROM rr WHERE addr"
		        " BETWEEN :low_addr AND :high_addr)",
		        by_name ? "+" : "");
	if (f->workload)
		fprintf(sql, strcmp(f->workload, "-") == 0
		                 ? " AND w.workload IS NULL"
		                 : " AND w.workload IN (SELECT id FROM workload"
		                   " WHERE workload=:workload)");
	if (f->profile)
		fputs(" AND w.workload IN (SELECT id FROM workload WHERE profile=:profile)", sql);
	if (f->verdict >= 0)
		fprintf(sql, " AND w.verdict=%d", f->verdict);
	if (f->reason >= 0)
		fprintf(sql, " AND w.reason=%d", f->reason);
	if (f->type >= 0)
		fprintf(sql, " AND w.type=%d", f->type);
	if (f->rcode >= 0)
		fprintf(sql, " AND w.rcode=%d", f->rcode);
	if (f->dnssec >= 0)
		fprintf(sql, " AND w.dnssec=%d", f->dnssec);
	if (f->rule)
		fputs(" AND w.rule IN (SELECT id FROM rule WHERE rule IN (:rule, 'allow ' || :rule,"
		      " 'deny ' || :rule))",
		      sql);
	return fclose(sql) == 0 ? ERR_OK : ERR_LIMIT;
}

static int select_whats(struct reader *reader, const struct history_filter *f, struct id_set *whats)
{
	CLEANUP(sqlite3_finalize) sqlite3_stmt *stmt = NULL;
	uint8_t low[ADDR_LEN], high[ADDR_LEN];
	struct pattern pattern = { .kind = PATTERN_EXACT };
	char sql[2048];
	int r = ERR_OK;

	if (f->name)
		r = pattern_read(f->name, &pattern);
	if (r == 0)
		r = reader_what_sql(f, &pattern, sql, sizeof(sql));
	if (r == 0)
		r = sql_prepare(reader->db, sql, &stmt);
	if (r < 0)
		return r;
	r = bind_name(stmt, ":low", pattern.low);
	if (r == 0)
		r = bind_name(stmt, ":high", pattern.high);
	if (r == 0 && f->workload)
		r = bind_name(stmt, ":workload", f->workload);
	if (r == 0 && f->profile)
		r = bind_name(stmt, ":profile", f->profile);
	if (r == 0 && f->rule)
		r = bind_name(stmt, ":rule", f->rule);
	if (r == 0 && f->has_address) {
		reader_prefix_range(&f->address, low, high);
		r = bind_addr(stmt, ":low_addr", low);
		if (r == 0)
			r = bind_addr(stmt, ":high_addr", high);
	}
	while (r == 0 && (r = sql_step(stmt)) > 0) {
		if (pattern.kind == PATTERN_GLOB && !pattern_match(&pattern, sql_text(stmt, 1))) {
			r = 0;
			continue;
		}
		r = id_set_add(whats, sqlite3_column_int64(stmt, 0));
	}
	return r;
}

static int select_clients(struct reader *reader, const struct prefix *prefix,
                          struct id_set *clients)
{
	CLEANUP(sqlite3_finalize) sqlite3_stmt *stmt = NULL;
	uint8_t low[ADDR_LEN], high[ADDR_LEN];
	int r;

	reader_prefix_range(prefix, low, high);
	r = sql_prepare(reader->db, "SELECT id FROM client WHERE addr BETWEEN ? AND ?", &stmt);
	if (r < 0)
		return r;
	sqlite3_bind_blob(stmt, 1, low, ADDR_LEN, SQLITE_STATIC);
	sqlite3_bind_blob(stmt, 2, high, ADDR_LEN, SQLITE_STATIC);
	while (r == 0 && (r = sql_step(stmt)) > 0)
		r = id_set_add(clients, sqlite3_column_int64(stmt, 0));
	return r;
}

int reader_select(struct reader *reader, const struct history_filter *filter,
                  struct id_set *ret_whats, struct id_set *ret_clients)
{
	int r = ERR_OK;

	if (reader_narrows_what(filter))
		r = select_whats(reader, filter, ret_whats);
	if (r == 0 && filter->has_client)
		r = select_clients(reader, &filter->client, ret_clients);
	return r;
}
