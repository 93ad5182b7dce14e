/* table.h - aligned columns for people.
 *
 * Cells are gathered until table_flush(), then printed as wide as they need; widths only grow, so a
 * long listing is printed in pieces that stay aligned. Nothing is ever cut off. The last column is
 * not padded. A cell's text is escaped when it is added.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "text.h"

#define TABLE_COLUMNS_MAX 16
#define TABLE_ROWS_MAX 256 /* gathered at most; then they are printed */

enum color {
	COLOR_NONE = 0,
	COLOR_BOLD,
	COLOR_RED,
	COLOR_GREEN,
	COLOR_YELLOW,
	COLOR_CYAN,
	COLOR_DIM
};

/* The escape sequence that begins @color, or ends all of them (COLOR_NONE). */
const char *color_code(enum color color);

struct table_column {
	const char *title;
	bool right; /* numbers stand flush right */
};

struct table_cell {
	char *text; /* escaped, owned */
	enum color color;
};

struct table {
	FILE *out;
	bool color;
	bool titled; /* the heading was printed */
	bool failed; /* no memory for some cell: table_flush() says so */
	size_t n_columns, n_rows;
	size_t n_cells;                     /* of the row being made */
	const struct table_column *columns; /* borrowed */
	size_t widths[TABLE_COLUMNS_MAX];
	struct {
		struct table_cell cells[TABLE_COLUMNS_MAX];
		char *line; /* instead of cells: a line over all columns */
		enum color line_color;
	} rows[TABLE_ROWS_MAX];
};

/* About 70 KB: allocate it. NULL without memory. */
struct table *table_new(FILE *out, bool color, const struct table_column *columns,
                        size_t n_columns);
void table_free(struct table *table);
DEFINE_CLEANUP(struct table *, table_free)

/* Add the next cell; the row ends by itself with its last one. NULL is "-". */
void table_put(struct table *table, enum color color, enum text_kind kind, const char *text);
void table_putf(struct table *table, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Add a line that stands across all columns. Only between rows. */
void table_line(struct table *table, enum color color, const char *text);

/* Print what was gathered. Returns 0 or ERR_NOMEM (some cell was lost). */
int table_flush(struct table *table);
