/* include/lib/diag.c - collecting and printing faults. */
#include "sallyport/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sallyport/limits.h"

void diag_init(struct diag *diag)
{
	*diag = (struct diag){ 0 };
}

void diag_fini(struct diag *diag)
{
	for (size_t i = 0; i < diag->n_items; i++) {
		free(diag->items[i].file);
		free(diag->items[i].text);
	}
	free(diag->items);
	diag_init(diag);
}

/* Room for one more item; false at the limit or without memory. */
static bool reserve(struct diag *diag)
{
	size_t cap = diag->cap ? diag->cap * 2 : 16;
	struct diag_item *items;

	if (diag->n_items == LIMIT_DIAG_ITEMS)
		return false;
	if (diag->n_items < diag->cap)
		return true;
	items = realloc(diag->items, cap * sizeof(*items));
	if (!items)
		return false;
	diag->items = items;
	diag->cap = cap;
	return true;
}

PRINTF_LIKE(6, 0)
static void add(struct diag *diag, enum diag_severity severity, const char *file, unsigned int line,
                unsigned int col, const char *fmt, va_list args)
{
	struct diag_item item = { .severity = severity, .line = line, .col = col };

	if (!diag)
		return;
	if (severity == DIAG_ERROR)
		diag->n_errors++;
	item.file = strdup(file ? file : "");
	if (!item.file || vasprintf(&item.text, fmt, args) < 0)
		item.text = NULL;
	if (!item.text || !reserve(diag)) {
		free(item.file);
		free(item.text);
		diag->n_dropped++;
		return;
	}
	diag->items[diag->n_items++] = item;
}

void diag_add(struct diag *diag, enum diag_severity severity, const char *file, unsigned int line,
              unsigned int col, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	add(diag, severity, file, line, col, fmt, args);
	va_end(args);
}

int diag_set(struct diag *diag, int err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	add(diag, DIAG_ERROR, NULL, 0, 0, fmt, args);
	va_end(args);
	return err;
}

void diag_print(const struct diag *diag, int fd)
{
	for (size_t i = 0; i < diag->n_items; i++) {
		const struct diag_item *item = &diag->items[i];
		const char *what = item->severity == DIAG_ERROR ? "error" : "warning";

		if (item->line)
			dprintf(fd, "%s:%u:%u: %s: %s\n", item->file, item->line, item->col, what,
			        item->text);
		else if (*item->file)
			dprintf(fd, "%s: %s: %s\n", item->file, what, item->text);
		else
			dprintf(fd, "%s: %s\n", what, item->text);
	}
	if (diag->n_dropped)
		dprintf(fd, "error: %zu more faults are not shown\n", diag->n_dropped);
}

/* Edit distance of words up to WORD_MAX octets, where swapping two neighbours is one edit (optimal
 * string alignment); longer words are far from everything. */
#define WORD_MAX 64
static size_t distance(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	size_t rows[3][WORD_MAX + 1]; /* row i lies in rows[i % 3] */

	if (n > WORD_MAX || m > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= m; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= n; i++) {
		const size_t *above = rows[(i - 1) % 3];
		size_t *row = rows[i % 3];

		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t best = MIN(above[j], row[j - 1]) + 1;

			best = MIN(best, above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				best = MIN(best, rows[(i - 2) % 3][j - 2] + 1);
			row[j] = best;
		}
	}
	return rows[n % 3][m];
}

const char *diag_nearest(const char *word, const char *const *words)
{
	size_t best = MAX(strlen(word) / 3, (size_t)1) + 1;
	const char *nearest = NULL;

	for (; *words; words++) {
		size_t d = distance(word, *words);

		if (d < best) {
			best = d;
			nearest = *words;
		}
	}
	return nearest;
}
