/* sallyport/diag.h - what is wrong with something that a person wrote.
 *
 * A diag collects every fault of one input, in order, and prints each as
 *     file:line:col: what is wrong; what would be right
 * Warnings are kept beside errors and do not make the input invalid.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "sallyport/cleanup.h"

enum diag_severity { DIAG_ERROR, DIAG_WARNING };

struct diag_item {
	enum diag_severity severity;
	unsigned int line, col; /* from 1; 0: the whole file */
	char *file;             /* as the person named it; may be "" */
	char *text;             /* "what is wrong; what would be right" */
};

struct diag {
	struct diag_item *items;
	size_t n_items, cap;
	size_t n_errors;
	size_t n_dropped; /* beyond LIMIT_DIAG_ITEMS, or no memory for the text */
};

void diag_init(struct diag *diag);
void diag_fini(struct diag *diag);
static inline void diag_fini_cleanup(struct diag *diag)
{
	diag_fini(diag);
}

/* Add one fault; copies @file. @diag may be NULL (nobody listens). */
void diag_add(struct diag *diag, enum diag_severity severity, const char *file, unsigned int line,
              unsigned int col, const char *fmt, ...) PRINTF_LIKE(6, 7);

/* Add one error without a place, and return @err unchanged: return diag_set(diag, r, "..."). */
int diag_set(struct diag *diag, int err, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Print all items to @fd, a line each, as "file:line:col: error: text" or "... warning: text". */
void diag_print(const struct diag *diag, int fd);

/* The known word nearest to @word by edit distance, or NULL when none is near (distance > 1/3 of
 * its length, at least 1). @words ends with NULL. */
const char *diag_nearest(const char *word, const char *const *words);
