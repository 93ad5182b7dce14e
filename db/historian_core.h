/* db/historian_core.h - what the historian's own sources share. */
#pragma once

#include "agg.h"
#include "backlog.h"
#include "catalog.h"
#include "day_file.h"
#include "historian.h"
#include "note.h"
#include "sallyport/ring.h"

#define HISTORY_TAG "history"

enum historian_limit {
	HISTORIAN_FILES_MAX = 6,     /* files open at once; the least used is closed */
	HISTORIAN_CATALOGS = 16,     /* policy versions whose names are in memory */
	HISTORIAN_CATALOGS_MAX = 64, /* the same while rows of older ones wait for the disk */
	HISTORIAN_CATALOG_FILES = 8, /* and in the folder */
	HISTORIAN_DAYS_BACK = 31,    /* older records are taken for the present day's */
	HISTORIAN_WRITE_MS = 1000,   /* between two transactions of a file */
	HISTORIAN_RETRY_MS = 5000,   /* longest time between two tries while the disk refuses */
	HISTORIAN_CATALOG_WAIT_MS = 3000, /* for the names of a new policy version */
	HISTORIAN_CATALOG_TURN_MS = 250,  /* of which one turn takes at most: it may be our delay */
	HISTORIAN_JUMP_MS = 5000,         /* the wall clock jumped if it is off by more */
	HISTORIAN_JUMP_WAIT_S = 86400,    /* after a jump nothing is deleted for so long */
	HISTORIAN_LATE_S = 60,            /* a day's files stay open for late records */
	HISTORIAN_ROTATE_S = 3600,
	HISTORIAN_WINDOW_MS = 5000,  /* a record offered and not seen for so long has vanished */
	HISTORIAN_RETELL_MS = 10000, /* between two requests to tell answers anew */
	HISTORIAN_BESIDE_ROWS = 512, /* rows written between two looks into the rings */
};

struct historian_ring {
	struct ring_consumer ring;       /* head NULL: no such worker */
	uint64_t replay_until;           /* records before it may be in some files already */
	bool adopt_counts;               /* its past is unknown: take its counts as they are */
	uint64_t malformed[2];           /* in this window, and in the one before */
	uint64_t min_missing[VERDICT_N]; /* the smallest difference seen in this window */
};

struct historian_file {
	struct day_file *file; /* NULL: free */
	uint64_t used;         /* of the historian's use count */
};

struct historian_catalog {
	struct catalog *catalog;
	int fd; /* its text while it could not be put into the folder; -1: it is there */
};

struct historian {
	struct historian_options options;
	char *dir;
	struct agg agg;  /* read and not written; a batch stays here until its files have it */
	struct agg next; /* read while a batch is being written; all zero until then */
	uint64_t batch;  /* the token under which it is; 0: none is */
	struct agg_gap batch_gaps[HISTORY_GAP_N];    /* the gaps that it has */
	struct area_ring batch_rings[LIMIT_WORKERS]; /* up to where the batch holds them */
	struct area area;
	struct note_file note_file;
	struct note note; /* what the file says */
	int note_err;     /* why it could not be opened */
	int settle_err;   /* why it could not be told, or taken back */
	int stop_err;     /* why the last try to end failed */
	struct historian_ring rings[LIMIT_WORKERS];
	struct historian_file files[HISTORIAN_FILES_MAX];
	struct historian_catalog catalogs[HISTORIAN_CATALOGS_MAX];
	size_t n_catalogs;
	uint32_t unknown_version; /* neither in memory nor in the folder, when last looked */
	uint64_t use;

	uint64_t last_wall_us, last_boot_ns; /* of the last tick; last_boot_ns 0: none yet */
	uint64_t next_write_ns, retry_ms;    /* boot time; retry_ms 0: the last write went well */
	uint64_t catalog_look_ns;            /* boot time of the last look; 0: none is missing */
	uint64_t catalog_waited_ns;          /* since one was missing */
	uint64_t window_end_ns, accounted_us;
	uint64_t next_rotate_ns, next_finish_ns;
	uint64_t delete_from_ns; /* boot time before which nothing is deleted by age */
	uint64_t retell_ns;      /* boot time from when answers may be asked for again */
	bool retell;
	bool no_room; /* the disk was full at the last try */
	bool started;
	bool draining; /* a record is in hand */
	bool stopping;
	uint8_t *record; /* LIMIT_RECORD_BYTES */
};

static inline void historian_count(struct historian *h, enum counter counter, uint64_t n)
{
	if (h->options.lane && n)
		count_add(h->options.lane, counter, n);
}
static inline void historian_step(struct historian *h)
{
	if (h->options.on_step)
		h->options.on_step(h->options.on_step_arg);
}

/* historian.c */
/* Read on while a batch is being written, so that a slow disk does not fill the rings. */
void historian_drain_beside(struct historian *h);

/* historian_files.c: the open files, retention. */
enum historian_make { HISTORIAN_EXISTING, HISTORIAN_MAKE };
/* The file of that day, opened if need be. ERR_NOENT with HISTORIAN_EXISTING when there is none.
 * A damaged one is moved aside, a gap is noted, and with HISTORIAN_MAKE a new one is made. */
int historian_file(struct historian *h, uint32_t day, enum day_kind kind, enum historian_make make,
                   uint64_t id_base, struct day_file **ret_file) MUST_CHECK;
/* An open file, or NULL. */
struct day_file *historian_open_file(struct historian *h, uint32_t day, enum day_kind kind);
/* The token of the last batch that this file took from that backlog; 0: none, or no such file. */
int historian_saved(struct historian *h, uint32_t day, enum day_kind kind, uint64_t area_id,
                    uint64_t *ret_token) MUST_CHECK;
/* It failed with @err: close it, and move it aside if it is damaged. */
void historian_file_failed(struct historian *h, uint32_t day, enum day_kind kind, int err);
/* Go on without the readers that keep a file's log from being emptied. */
void historian_leave_readers(struct historian *h);
void historian_close_files(struct historian *h, enum day_file_close how);
/* Finish the files of days before @day that nobody writes any more. */
void historian_finish_old(struct historian *h, uint32_t day);
void historian_retention(struct historian *h, uint64_t wall_ns);

/* historian_catalogs.c */
/* The disk takes something: put into the folder what it had no room for. */
void historian_store_catalogs(struct historian *h);
/* Borrowed until the next call; NULL when nobody knows that version's names. */
const struct catalog *historian_catalog(struct historian *h, uint32_t version);
void historian_free_catalogs(struct historian *h);

/* historian_account.c: what is missing. */
/* Right after ring @i was read. */
void historian_account_sample(struct historian *h, unsigned int i);
void historian_account(struct historian *h, uint64_t wall_us, uint64_t boot_ns);
/* The producers are gone: what was not seen by now will never be. */
void historian_account_last(struct historian *h, uint64_t wall_us);
/* What was offered to ring @i and neither read nor told as lost. */
void historian_account_left(const struct historian *h, unsigned int i,
                            uint64_t ret_left[static VERDICT_N]);

/* historian_settle.c */
/* From here on agg is what is written under @token, and what is read goes into next. */
void historian_hold_batch(struct historian *h, uint64_t token);
/* Drop from the batch what the files have. Returns 0, or why they cannot be asked: then the batch
 * is still held. */
int historian_settle(struct historian *h) MUST_CHECK;
/* What is left of the batch and what was read meanwhile become one. */
void historian_end_batch(struct historian *h);

/* historian_note.c: what is told after a death of everybody (db/note.h). */
void historian_note_open(struct historian *h);
/* The disk refuses: note what no file has. */
void historian_note_save(struct historian *h);
/* The same at the end, with what has to stay in the rings. */
enum historian_say { HISTORIAN_QUIET, HISTORIAN_SAY };
void historian_note_last(struct historian *h, enum historian_say say);
/* Is there anything in the note that is to be told or taken back? */
bool historian_note_owes(const struct historian *h);
/* The files have all that there is: tell what an earlier daemon's note says, and empty it. Returns
 * 0 or why that has to be tried again. */
int historian_note_settle(struct historian *h, uint64_t wall_us) MUST_CHECK;

/* historian_write.c */
/* Write everything; what a file would not take stays in agg, and all of that in the backlog.
 * Returns 0 or the first error. */
int historian_write(struct historian *h, uint64_t wall_us);
/* Save the backlog and give the rings their room back. */
void historian_save(struct historian *h);
