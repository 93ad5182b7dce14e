/* db/pattern.h - names as an analyst writes them in a filter. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "sallyport/cleanup.h"

#define PATTERN_TEXT_LEN 1010

enum pattern_kind {
	PATTERN_EXACT, /* rev equals */
	PATTERN_BELOW, /* "**.suffix": low < rev < high */
	PATTERN_GLOB,  /* the same range for the fixed labels at the end, then pattern_match() */
};
struct pattern {
	enum pattern_kind kind;
	char text[PATTERN_TEXT_LEN]; /* lower case, final dot */
	char low[PATTERN_TEXT_LEN];  /* reversed labels: of the name, or of the fixed suffix */
	char high[PATTERN_TEXT_LEN]; /* the first text behind the range; "": no end */
};

/* "db.corp.test." -> "test.corp.db.": everything below a suffix is one range. An escaped dot ends
 * no label. Writes exactly @len octets, no terminator. */
void pattern_reverse(const char *name, size_t len, char *out);

/* Returns 0 or ERR_INVAL (empty, too long, "**" elsewhere than in front). */
int pattern_read(const char *text, struct pattern *ret_pattern) MUST_CHECK;
/* Does @name (as stored) match? * stands for one or more characters and never crosses a dot; "**."
 * in front stands for one or more whole labels. Steps are bounded by the product of the lengths. */
bool pattern_match(const struct pattern *pattern, const char *name);
