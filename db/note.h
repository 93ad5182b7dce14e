/* db/note.h - the file that says what a historian held and no history file has.
 *
 * The backlog (db/backlog.h) dies with the daemon. On a disk that has no room its rows cannot be
 * saved anywhere; that they are missing can: the file "unwritten" is as large from its first day on
 * as it will ever be, so that writing it anew needs no room.
 *
 *     copy 0 | copy 1         each NOTE_BYTES: struct note_head, then struct note, then zeros
 *
 * The older copy is written, so that a write torn in the middle leaves the other; the whole one
 * with the higher number counts. The file is the historian's own, and yet nothing in it is trusted:
 * checksum, counts, days and texts are checked.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "agg.h"
#include "day.h"
#include "sallyport/cleanup.h"

#define NOTE_NAME "unwritten"

enum note_limit {
	NOTE_PARTS_MAX = 80, /* a batch's files (two a day) and gaps; see historian_note.c */
	NOTE_BYTES = 12288,
};

/* What one history file lacks. It has it after all if the last batch that it took from that backlog
 * (table saved) has this token or a later one. */
struct note_part {
	uint64_t area_id; /* whose backlog held it; never 0 */
	uint64_t token;
	uint32_t day;
	uint8_t kind;  /* enum day_kind */
	uint8_t cause; /* enum history_gap: what it is told as */
	uint8_t zero[2];
	struct agg_gap gap;
};

/* What is surely missing becomes a debt: it has a name, and is told by the one transaction that
 * puts that name into the file of debt_day. Parts are still to be asked about. */
struct note {
	uint64_t debt_id; /* random; 0: no debt */
	uint32_t debt_day;
	uint32_t n_parts;
	struct agg_gap debt[HISTORY_GAP_N]; /* until_us 0: none of that cause */
	struct note_part parts[NOTE_PARTS_MAX];
};

struct note_file {
	int fd; /* -1: there is none */
	uint64_t number;
};

/**
 * Open the file in folder @dir, or make it; @ret_note is what it says (nothing, if it is new).
 *
 * Returns 0, ERR_DAMAGED (neither copy is whole: @ret_note says nothing, and the file can be
 * written), or -errno: then @ret_file->fd is -1.
 */
int note_file_open(const char *dir, struct note_file *ret_file, struct note *ret_note) MUST_CHECK;
/* Returns 0, with all of it on the disk, or -errno: then the file may say either. */
int note_file_write(struct note_file *file, const struct note *note) MUST_CHECK;
void note_file_close(struct note_file *file);

/* Read one copy of @len octets. Returns 0, ERR_DAMAGED, or ERR_NOENT (zeros: never written). */
int note_read(const uint8_t *copy, size_t len, struct note *ret_note,
              uint64_t *ret_number) MUST_CHECK;

/* The part for that file, token and cause; made when it is new, unless there are @most parts: then
 * NULL. */
struct note_part *note_part(struct note *note, const struct note_part *key, uint32_t most);
