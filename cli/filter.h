/* filter.h - the options of history, top and who as a filter of db/history.h. */
#pragma once

#include "cli.h"
#include "db/history.h"

/* Fill @ret_filter from the options given; texts are borrowed from argv. Complains about what
 * cannot be read. Returns 0 or ERR_INVAL. The number of rows is not set here. */
int filter_read(const struct cli *cli, struct history_filter *ret_filter) MUST_CHECK;

/* An address or a prefix; complains as above. */
int filter_prefix(const struct cli *cli, const char *text, struct prefix *ret_prefix) MUST_CHECK;

/* Open the history of the configured state_dir, or say why not (NULL). */
struct history *filter_open_history(const struct cli *cli);

/* Say on err which range a listing covered. */
void filter_note_coverage(const struct cli *cli, const struct history_coverage *coverage);
