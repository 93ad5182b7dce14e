/* db/reader_row.c - a row of a history file with all its texts. */
#include <string.h>

#include "reader_core.h"

#define TEXTS_BYTES (256 << 10) /* an answer's record is at most 64 KiB, so this is plenty */

void reader_row_fini(struct reader_row *row)
{
	free(row->answers);
	free(row->texts);
	*row = (struct reader_row){ 0 };
}

/* A copy of a column's text that lives as long as the row; NULL for NULL. */
static const char *keep_text(struct reader_row *row, sqlite3_stmt *stmt, int column)
{
	const char *text = (const char *)sqlite3_column_text(stmt, column);
	size_t len = text ? (size_t)sqlite3_column_bytes(stmt, column) : 0;
	char *kept = row->texts + row->texts_used;

	if (!text)
		return NULL;
	if (len >= row->texts_cap - row->texts_used)
		return ""; /* only of a file that we have not written */
	memcpy(kept, text, len);
	kept[len] = '\0';
	row->texts_used += len + 1;
	return kept;
}

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

static void read_columns(struct reader *reader, int64_t t, struct reader_row *out)
{
	sqlite3_stmt *s = reader->row;
	struct history_row *row = &out->row;
	const void *blob;

	*row = (struct history_row){ .kind = HISTORY_QUERY };
	row->time_ns = reader_time_us(reader, t) * 1000;
	row->id = (uint64_t)sqlite3_column_int64(s, 0) + reader->id_base;
	row->last_ns = row->time_ns;
	row->last_id = row->id;
	row->count = 1;
	blob = sqlite3_column_blob(s, 1);
	if (blob && sqlite3_column_bytes(s, 1) == ADDR_LEN) {
		row->has_client = true;
		memcpy(row->client, blob, ADDR_LEN);
		row->client_port = (uint16_t)(sqlite3_column_int(s, 2) + 32768);
	}
	row->latency_us = (uint32_t)sqlite3_column_int64(s, 3);
	row->ttl = (uint32_t)sqlite3_column_int64(s, 4);
	if (sqlite3_column_type(s, 5) != SQLITE_NULL) {
		uint64_t last_us = reader->day * DAY_US + (uint64_t)sqlite3_column_int64(s, 6);

		row->count = (uint64_t)sqlite3_column_int64(s, 5);
		row->last_ns = MAX(last_us * 1000, row->time_ns);
		row->last_id = (uint64_t)sqlite3_column_int64(s, 7) + reader->id_base;
	}
	row->type = (uint16_t)sqlite3_column_int(s, 8);
	row->class = (uint16_t)sqlite3_column_int(s, 9);
	row->verdict = (uint8_t)sqlite3_column_int(s, 10);
	row->reason = (uint8_t)sqlite3_column_int(s, 11);
	row->dnssec = (uint8_t)sqlite3_column_int(s, 12);
	row->policy_version = (uint32_t)sqlite3_column_int64(s, 13);
	row->rcode = (uint16_t)sqlite3_column_int(s, 14);
	row->ede = sqlite3_column_type(s, 15) == SQLITE_NULL ? RECORD_NO_EDE
	                                                     : (uint16_t)sqlite3_column_int(s, 15);
	row->flags = (uint16_t)sqlite3_column_int(s, 16);
	row->proto = (uint8_t)sqlite3_column_int(s, 17);
	row->merged = sqlite3_column_int(s, 18) != 0;
	row->name = or_empty(keep_text(out, s, 19));
	row->workload = keep_text(out, s, 20);
	row->profile = keep_text(out, s, 21);
	row->rule = keep_text(out, s, 22);
	row->rule_file = keep_text(out, s, 23);
	row->rule_line = (uint32_t)sqlite3_column_int64(s, 24);
	row->feed = keep_text(out, s, 25);
	blob = sqlite3_column_blob(s, 26);
	if (blob && sqlite3_column_bytes(s, 26) == ANSWER_ID_LEN) {
		memcpy(row->answer_id, blob, ANSWER_ID_LEN);
		row->answers_unknown = true; /* until somebody tells */
	}
	row->note = "";
}

int reader_row_get(struct reader *reader, int64_t t, struct reader_row *row)
{
	int r;

	if (!row->texts) {
		row->texts = malloc(TEXTS_BYTES);
		row->answers = calloc(LIMIT_ANSWER_RRS, sizeof(*row->answers));
		if (!row->texts || !row->answers)
			return ERR_NOMEM;
		row->texts_cap = TEXTS_BYTES;
		row->answers_cap = LIMIT_ANSWER_RRS;
	}
	row->texts_used = 0;
	sqlite3_bind_int64(reader->row, 1, t);
	r = sql_step(reader->row);
	if (r > 0)
		read_columns(reader, t, row);
	sqlite3_reset(reader->row);
	if (r <= 0 || !row->row.answers_unknown)
		return r;
	r = reader_row_answers(reader, row);
	return r < 0 ? r : 1;
}

static int read_rrs(struct reader *reader, int64_t answer, struct reader_row *out)
{
	sqlite3_stmt *s = reader->answers;
	size_t n = 0;
	int r = ERR_OK;

	sqlite3_bind_int64(s, 1, answer);
	while (n < out->answers_cap && (r = sql_step(s)) > 0) {
		struct history_answer *rr = &out->answers[n++];
		const void *addr = sqlite3_column_blob(s, 4);

		*rr = (struct history_answer){ .name = or_empty(keep_text(out, s, 0)),
			                       .data = or_empty(keep_text(out, s, 1)),
			                       .type = (uint16_t)sqlite3_column_int(s, 2),
			                       .ttl = (uint32_t)sqlite3_column_int64(s, 3) };
		if (addr && sqlite3_column_bytes(s, 4) == ADDR_LEN) {
			rr->has_addr = true;
			memcpy(rr->addr, addr, ADDR_LEN);
		}
	}
	sqlite3_reset(s);
	out->row.answers = out->answers;
	out->row.n_answers = n;
	return n < out->answers_cap ? r : ERR_OK;
}

int reader_row_answers(struct reader *reader, struct reader_row *row)
{
	sqlite3_stmt *s = reader->answer_by_hash;
	const char *upstream;
	int64_t answer = 0;
	int r;

	sqlite3_bind_blob(s, 1, row->row.answer_id, ANSWER_ID_LEN, SQLITE_TRANSIENT);
	r = sql_step(s);
	if (r > 0) {
		answer = sqlite3_column_int64(s, 0);
		upstream = (const char *)sqlite3_column_text(s, 1);
		row->row.has_upstream = upstream && addr_parse(upstream, row->row.upstream) == 0;
		row->row.upstream_port = (uint16_t)sqlite3_column_int(s, 2);
		row->row.answers_cut = sqlite3_column_int(s, 3) != 0;
		row->row.answers_unknown = false;
	}
	sqlite3_reset(s);
	if (r <= 0)
		return r;
	r = read_rrs(reader, answer, row);
	return r < 0 ? r : 1;
}
