// tests/chaos/history.cpp - what the history files say.
#include "history.h"

#include <filesystem>
#include <sqlite3.h>
#include <unistd.h>

namespace
{
template <typename F> bool query(sqlite3 *db, const char *sql, F row)
{
	sqlite3_stmt *stmt = nullptr;
	int r = sqlite3_prepare_v2(db, sql, -1, &stmt, nullptr);

	if (r == SQLITE_OK)
		while ((r = sqlite3_step(stmt)) == SQLITE_ROW)
			row(stmt);
	sqlite3_finalize(stmt);
	return r == SQLITE_DONE;
}

std::string text(sqlite3_stmt *stmt, int column)
{
	auto *t = reinterpret_cast<const char *>(sqlite3_column_text(stmt, column));

	return t ? t : "";
}

uint64_t number(sqlite3_stmt *stmt, int column)
{
	return static_cast<uint64_t>(sqlite3_column_int64(stmt, column));
}
} // namespace

static History read_once(const std::string &folder, bool by_name)
{
	History h;

	for (const auto &file : std::filesystem::directory_iterator(folder)) {
		sqlite3 *db = nullptr;
		bool fine;

		if (file.path().extension() != ".db")
			continue;
		fine = sqlite3_open_v2(file.path().c_str(), &db, SQLITE_OPEN_READONLY, nullptr) ==
		       SQLITE_OK;
		if (fine) {
			sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
			sqlite3_busy_timeout(db, 3000);
			fine = query(db, "BEGIN", [](sqlite3_stmt *) {});
		}
		uint64_t tables = 0;
		fine = fine && query(db, "SELECT count(*) FROM sqlite_schema",
		                     [&](sqlite3_stmt *row) { tables = number(row, 0); });
		if (fine && tables == 0) { // begun while the disk was full
			sqlite3_close(db);
			continue;
		}
		fine =
		    fine && query(db, "SELECT deny, allow, local FROM gaps", [&](sqlite3_stmt *s) {
			    h.gaps++;
			    h.gap_deny += number(s, 0);
			    h.gap_allow += number(s, 1);
			    h.gap_local += number(s, 2);
		    });
		if (by_name)
			fine =
			    fine && query(db,
			                  "SELECT workload, name, type, sum(count) FROM queries"
			                  " GROUP BY 1, 2, 3",
			                  [&](sqlite3_stmt *s) {
						  h.each[{ text(s, 0), text(s, 1), text(s, 2) }] +=
						      number(s, 3);
						  h.rows += number(s, 3);
					  });
		else
			fine = fine && query(db, "SELECT sum(count) FROM queries",
			                     [&](sqlite3_stmt *s) { h.rows += number(s, 0); });
		if (!fine)
			h.fault +=
			    file.path().filename().string() + ": " + sqlite3_errmsg(db) + "; ";
		sqlite3_close(db);
	}
	return h;
}

// With no writer, and after one that died, a reader makes the log's index anew, which takes room on the
// disk: while there is none it has to wait.
History read_history(const std::string &folder, bool by_name)
{
	History h;

	for (int tries = 0; tries < 20; tries++) {
		h = read_once(folder, by_name);
		if (h.fault.empty())
			break;
		usleep(500000);
	}
	return h;
}
