/* db/day_file.h - one history file, opened by its one writer.
 *
 * The file is in WAL mode while it is written, with synchronous=FULL, and no other connection
 * writes or checkpoints it. Between day_file_begin() and day_file_commit() everything is one
 * transaction: rows, the positions of the rings that they come from, the token of the backlog.
 * After an error the transaction is rolled back by day_file_rollback().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agg.h"
#include "backlog.h"
#include "catalog.h"
#include "day.h"
#include "sallyport/cleanup.h"
#include "sallyport/record.h"
#include "sql.h"

struct day_file; /* opaque */

/**
 * Open the file of @day in folder @dir; make it (mode 0640, group @gid unless it is (gid_t)-1) if
 * it is not there. @id_base: see schema.h. A file of an older schema is migrated, after a copy was
 * kept; that may take minutes, in which @alive (may be NULL) is called again and again.
 *
 * Returns 0, ERR_DAMAGED or ERR_VERSION (written by a newer Sallyport; move it aside with
 * day_file_aside()), or another error, which may pass (ERR_NOSPC, ERR_AGAIN, ERR_STORE).
 */
struct day_file_where {
	const char *dir;
	gid_t gid;
	sql_alive_cb *alive;
	void *alive_arg;
	uint64_t log_max; /* octets, see day_file_is_held() */
};
int day_file_open(const struct day_file_where *where, uint32_t day, enum day_kind kind,
                  uint64_t id_base, struct day_file **ret_file) MUST_CHECK;

/* DAY_FILE_KEEP leaves -wal and -shm as they are, so that readers without write permission go on
 * reading; DAY_FILE_FINISH makes it one closed file in journal_mode=DELETE. */
enum day_file_close { DAY_FILE_KEEP, DAY_FILE_FINISH };
/* Returns 0, or ERR_AGAIN when a reader kept it from being finished (it is closed all the same; try
 * day_file_finish() later). */
int day_file_close(struct day_file *file, enum day_file_close how);
/* Finish a closed file that was left in WAL mode. Returns 0 (also when there was nothing to do). */
int day_file_finish(const char *dir, uint32_t day, enum day_kind kind) MUST_CHECK;
/* Does it have a write-ahead log, and so has to be finished some day? */
bool day_file_is_open_on_disk(const char *dir, uint32_t day, enum day_kind kind);
/* Rename a file that failed to open with @err, and its companions, to NAME.damaged-@now_s, or to
 * NAME.newer-@now_s after ERR_VERSION; @ret_name: the new name. */
int day_file_aside(const char *dir, uint32_t day, enum day_kind kind, int err, uint64_t now_s,
                   char ret_name[static 80]);

/* A reader's open transaction keeps SQLite from beginning its log anew, so that the log grows by
 * every page that is written. Has it grown beyond log_max? */
bool day_file_is_held(const struct day_file *file);
/* Go on in a copy of the file under its name and close this one: who reads it keeps what it has,
 * file and log, until it lets go. The caller opens the file again. Returns 0 or why there is no
 * copy; then
 * @file is as it was, and is held again when the log has doubled. */
int day_file_leave_behind(struct day_file *file, const struct day_file_where *where) MUST_CHECK;

uint32_t day_file_day(const struct day_file *file);
enum day_kind day_file_kind(const struct day_file *file);

/* Make what the file says now final. The end of its log may hold a batch that nobody sees: written
 * whole, and then its writer died, or was told an error, before the log's index named it. While a
 * reader has the file open nobody looks for that; once all have gone the index is made anew, and it
 * is there. A small transaction of our own goes over it (the checksums of a log's frames build on
 * each other). Returns 0, or why the file cannot be believed yet. */
int day_file_seal(struct day_file *file) MUST_CHECK;
/* What the file contains of ring @ring_id, as of the last commit: up to pos (0: nothing), and what
 * was reported about it. Returns 0, or why that cannot be said now. */
int day_file_ring(const struct day_file *file, uint64_t ring_id,
                  struct area_ring *ret_ring) MUST_CHECK;
/* The token of the last batch that it took from that backlog; 0: none. */
int day_file_saved(const struct day_file *file, uint64_t area_id, uint64_t *ret_token) MUST_CHECK;

int day_file_begin(struct day_file *file) MUST_CHECK;
int day_file_commit(struct day_file *file, uint64_t now_us) MUST_CHECK;
void day_file_rollback(struct day_file *file);

/* A row. @catalog may be NULL (that policy version's names are not known). The answer it points at
 * is made known as a mere hash if the file has none yet: see day_file_has_answer(). */
int day_file_put(struct day_file *file, const struct agg_entry *entry, const char *name,
                 const struct catalog *catalog) MUST_CHECK;
/* 1: with content; 0: not, or as a mere hash; or an error. */
int day_file_has_answer(struct day_file *file, const uint8_t id[static ANSWER_ID_LEN]) MUST_CHECK;
int day_file_put_answer(struct day_file *file, const struct record_answer *answer) MUST_CHECK;
/* Take the content from another open file. Returns 1 when it was there, 0 or an error. */
int day_file_copy_answer(struct day_file *file, struct day_file *from,
                         const uint8_t id[static ANSWER_ID_LEN]) MUST_CHECK;
int day_file_put_gap(struct day_file *file, enum history_gap cause,
                     const struct agg_gap *gap) MUST_CHECK;
/* Everything of these rings before their pos is in the file, and these gaps are reported. */
int day_file_put_rings(struct day_file *file, const struct area_ring *rings, size_t n) MUST_CHECK;
int day_file_put_saved(struct day_file *file, uint64_t area_id, uint64_t generation) MUST_CHECK;
