/* db/reader_core.h - what the sources of a reader share.
 *
 *   reader.c          opening, and what is known of the whole file; gaps
 *   reader_select.c   the rows of table what, and the clients, that a filter wants
 *   reader_keys.c     the keys of table query that match, in order
 *   reader_row.c      a row with all its texts
 */
#pragma once

#include <sqlite3.h>
#include <stdint.h>

#include "reader.h"

struct reader {
	sqlite3 *db;
	sqlite3_stmt *row, *answers, *answer_by_hash;
	uint64_t id_base;
	int64_t version; /* of the schema */
	uint32_t day;
	enum day_kind kind;
};
