/* db/day.h - UTC days, and the names of the history files.
 *
 * A day is the number of days since 1970-01-01. Its two files are YYYY-MM-DD.allow.db and
 * YYYY-MM-DD.deny.db. A damaged one is moved aside as NAME.damaged-SECONDS, one that a newer
 * Sallyport has written as NAME.newer-SECONDS; NAME.schema-N is a copy from before a migration.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/clock.h"

#define DAY_US (UINT64_C(86400) * 1000000)
#define DAY_NS (UINT64_C(86400) * NS_PER_S)
#define DAY_MAX 2932896 /* 9999-12-31 */
#define DAY_NAME_LEN 48 /* a file name, aside ones included, with the terminator */

enum day_kind { DAY_DENY = 0, DAY_ALLOW, DAY_KINDS }; /* denials and failures; the rest */

void day_name(uint32_t day, enum day_kind kind, char out[static DAY_NAME_LEN]);

enum day_aside { DAY_IN_USE, DAY_ASIDE, DAY_COPY };
/* Is @name a history file, one moved aside, or a copy (or what became of one)? */
bool day_parse(const char *name, uint32_t *ret_day, enum day_kind *ret_kind,
               enum day_aside *ret_aside);

struct day_entry {
	uint32_t day;
	enum day_kind kind;
};
#define DAY_ENTRIES_MAX 65536 /* 89 years of two files a day; more in one folder: ERR_LIMIT */
/* The history files of folder @dir, oldest first; the caller frees. @ret_n_aside (may be NULL): how
 * many were moved aside. */
int day_list(const char *dir, struct day_entry **ret_entries, size_t *ret_n, size_t *ret_n_aside);
