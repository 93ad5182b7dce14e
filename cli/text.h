/* text.h - texts made safe for a terminal.
 *
 * Whatever the command prints may have been chosen by somebody else: a queried name, a rule's
 * reason, a line of the keeper. Octets that could steer a terminal are shown as \DDD (RFC 4343,
 * section 2.1), so nothing but ourselves moves the cursor, changes colours or hides what follows.
 */
#pragma once

#include <stddef.h>
#include <stdio.h>

#include "sallyport/cleanup.h"

enum text_kind {
	TEXT_NAME =
	    0,      /* from the network: printable ASCII stays, blanks and all else become \DDD */
	TEXT_PROSE, /* what people wrote: blanks and visible UTF-8 stay, too */
};

/* A malloc'ed copy of @text, escaped; both kinds leave an escaped text as it is. NULL: no memory.
 */
char *text_escape(enum text_kind kind, const char *text);

/* Write @text escaped. In prose a line's end or a tab stays only with text_put_lines(). */
void text_put(FILE *out, enum text_kind kind, const char *text);
void text_put_lines(FILE *out, const char *text, size_t len);

/* Columns that an escaped text takes: its code points. */
size_t text_width(const char *escaped);

/* asprintf that returns the text, or NULL without memory. */
char *text_format(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* "3d 4h", "12m 5s", "0s": the two largest units of @seconds. */
#define TEXT_SPAN_LEN 32
void text_span(double seconds, char out[static TEXT_SPAN_LEN]);
