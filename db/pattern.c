/* db/pattern.c - names as an analyst writes them in a filter. */
#include "pattern.h"

#include <string.h>

#include "sallyport/err.h"

/* Is the dot at @at the end of a label? Not behind an odd number of backslashes. */
static bool ends_label(const char *name, size_t at)
{
	size_t slashes = 0;

	if (name[at] != '.')
		return false;
	while (slashes < at && name[at - 1 - slashes] == '\\')
		slashes++;
	return slashes % 2 == 0;
}

void pattern_reverse(const char *name, size_t len, char *out)
{
	size_t end = len, at = 0;

	if (len == 1) { /* the root */
		out[0] = name[0];
		return;
	}
	if (end > 0 && ends_label(name, end - 1))
		end--;
	while (end > 0) {
		size_t start = end;

		while (start > 0 && !ends_label(name, start - 1))
			start--;
		memcpy(out + at, name + start, end - start);
		at += end - start;
		if (at < len)
			out[at++] = '.';
		end = start > 0 ? start - 1 : 0;
	}
	memset(out + at, '.', len - at);
}

/* The first text behind all that begin with @low: its final '.' becomes '/', the next character. */
static void range_of(struct pattern *pattern, const char *suffix, size_t len)
{
	pattern_reverse(suffix, len, pattern->low);
	pattern->low[len] = '\0';
	memcpy(pattern->high, pattern->low, len + 1);
	pattern->high[len - 1] = '/';
}

int pattern_read(const char *text, struct pattern *ret_pattern)
{
	size_t len = strlen(text), fixed = 0;
	struct pattern *p = ret_pattern;
	bool below;

	if (len == 0 || len > sizeof(p->text) - 2)
		return ERR_INVAL;
	*p = (struct pattern){ .kind = PATTERN_EXACT };
	for (size_t i = 0; i < len; i++)
		p->text[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] + 32) : text[i];
	if (!ends_label(p->text, len - 1))
		p->text[len++] = '.';
	p->text[len] = '\0';

	below = strncmp(p->text, "**.", 3) == 0 && len > 3;
	if (strstr(p->text + (below ? 3 : 0), "**"))
		return ERR_INVAL;
	if (!strchr(p->text, '*')) {
		pattern_reverse(p->text, len, p->low);
		p->low[len] = '\0';
		return ERR_OK;
	}
	if (below && !strchr(p->text + 3, '*')) {
		p->kind = PATTERN_BELOW;
		range_of(p, p->text + 3, len - 3);
		return ERR_OK;
	}
	/* The labels behind the last one with a star are fixed. */
	p->kind = PATTERN_GLOB;
	for (size_t i = 0; i + 1 < len; i++) {
		if (p->text[i] == '*')
			fixed = 0;
		else if (fixed == 0 && ends_label(p->text, i))
			fixed = i + 1;
	}
	if (fixed)
		range_of(p, p->text + fixed, len - fixed);
	return ERR_OK;
}

/* Iterative: on a mismatch the last star takes one character more, unless that is a dot. */
static bool glob(const char *pattern, const char *name)
{
	const char *star = NULL, *taken = NULL, *begin = name;

	while (*name) {
		if (*pattern == '*') {
			if (*name == '.' && ends_label(begin, (size_t)(name - begin)))
				return false; /* a star takes at least one character */
			star = ++pattern;
			taken = ++name;
		} else if (*pattern == *name) {
			pattern++;
			name++;
		} else if (star && !ends_label(begin, (size_t)(taken - begin))) {
			pattern = star;
			name = ++taken;
		} else {
			return false;
		}
	}
	return *pattern == '\0';
}

bool pattern_match(const struct pattern *pattern, const char *name)
{
	const char *rest = pattern->text;

	switch (pattern->kind) {
	case PATTERN_EXACT:
		return strcmp(pattern->text, name) == 0;
	case PATTERN_BELOW:
	case PATTERN_GLOB:
		break;
	}
	if (strncmp(rest, "**.", 3) != 0)
		return glob(rest, name);
	rest += 3;
	for (size_t i = 0; name[i]; i++) {
		/* One whole label more is taken, at least one. */
		if (i > 0 && ends_label(name, i) && name[i + 1] && glob(rest, name + i + 1))
			return true;
	}
	return false;
}
