/* db/history_core.h - what the sources of the reading side share. */
#pragma once

#include "day.h"
#include "db/history.h"
#include "reader.h"

struct history {
	char *dir;
};

/* The files that a filter's range touches, and what is to be said about them. */
struct history_files {
	struct day_entry *entries; /* oldest first */
	size_t n;
	size_t n_aside;
};
int history_files_list(const struct history *history, const struct history_filter *filter,
                       struct history_files *ret_files);
void history_files_fini(struct history_files *files);
static inline void history_files_fini_cleanup(struct history_files *files)
{
	history_files_fini(files);
}

/* Open a file for reading. 1: open; 0: it is gone; <0: it cannot be read (told to @diag and counted
 * in @coverage). @diag may be NULL. */
int history_open_file(const struct history *history, const struct day_entry *entry,
                      struct history_coverage *coverage, struct diag *diag,
                      struct reader **ret_reader) MUST_CHECK;
/* From when on each kind is complete, and until when. */
void history_cover(const struct history *history, const struct history_filter *filter,
                   struct history_coverage *coverage);

/* A copy of the filter with its texts; freed by history_filter_fini(). */
int history_filter_copy(struct history_filter *copy, const struct history_filter *filter,
                        struct diag *diag) MUST_CHECK;
void history_filter_fini(struct history_filter *filter);
static inline void history_filter_fini_cleanup(struct history_filter *filter)
{
	history_filter_fini(filter);
}
