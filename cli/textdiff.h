/* textdiff.h - the lines that differ between two texts, as `diff -u` shows them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "sallyport/cleanup.h"

struct textdiff_text {
	const char *label; /* after --- or +++ */
	const char *data;
	size_t len;
};

/**
 * Write a unified diff (three lines of context) of @old and @new to @out; nothing when they are
 * equal. @color: removed lines red, added ones green.
 *
 * The shortest script of changes (Myers 1986) up to TEXTDIFF_EDITS_MAX edits; beyond that the whole
 * middle is replaced, which is right, only longer. Returns 1 when they differ, 0 when equal, or
 * ERR_NOMEM.
 */
#define TEXTDIFF_EDITS_MAX 2000
int textdiff_write(FILE *out, bool color, const struct textdiff_text *old,
                   const struct textdiff_text *new) MUST_CHECK;
