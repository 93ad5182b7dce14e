#include "table.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

#include "sallyport/err.h"

const char *color_code(enum color color)
{
	switch (color) {
	case COLOR_NONE:
		return "\033[0m";
	case COLOR_BOLD:
		return "\033[1m";
	case COLOR_RED:
		return "\033[31m";
	case COLOR_GREEN:
		return "\033[32m";
	case COLOR_YELLOW:
		return "\033[33m";
	case COLOR_CYAN:
		return "\033[36m";
	case COLOR_DIM:
		return "\033[2m";
	}
	return "";
}

struct table *table_new(FILE *out, bool color, const struct table_column *columns, size_t n_columns)
{
	struct table *table;

	assert(n_columns > 0 && n_columns <= TABLE_COLUMNS_MAX);
	table = calloc(1, sizeof(*table));
	if (!table)
		return NULL;
	table->out = out;
	table->color = color;
	table->columns = columns;
	table->n_columns = n_columns;
	for (size_t i = 0; i < n_columns; i++)
		table->widths[i] = text_width(columns[i].title);
	return table;
}

static void rows_clear(struct table *table)
{
	for (size_t i = 0; i < table->n_rows + (table->n_cells > 0); i++) {
		for (size_t c = 0; c < table->n_columns; c++)
			free(table->rows[i].cells[c].text);
		free(table->rows[i].line);
		memset(&table->rows[i], 0, sizeof(table->rows[i]));
	}
	table->n_rows = 0;
	table->n_cells = 0;
}

void table_free(struct table *table)
{
	if (!table)
		return;
	rows_clear(table);
	free(table);
}

static void row_end(struct table *table)
{
	table->n_rows++;
	table->n_cells = 0;
	if (table->n_rows == TABLE_ROWS_MAX && table_flush(table) < 0)
		table->failed = true;
}

void table_put(struct table *table, enum color color, enum text_kind kind, const char *text)
{
	struct table_cell *cell = &table->rows[table->n_rows].cells[table->n_cells];

	cell->color = color;
	cell->text = text_escape(kind, text ? text : "-");
	if (!cell->text)
		table->failed = true;
	else
		table->widths[table->n_cells] =
		    MAX(table->widths[table->n_cells], text_width(cell->text));
	if (++table->n_cells == table->n_columns)
		row_end(table);
}

void table_putf(struct table *table, const char *fmt, ...)
{
	CLEANUP(free) char *text = NULL;
	va_list args;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0) {
		text = NULL;
		table->failed = true;
	}
	va_end(args);
	table_put(table, COLOR_NONE, TEXT_PROSE, text);
}

void table_line(struct table *table, enum color color, const char *text)
{
	assert(table->n_cells == 0);
	table->rows[table->n_rows].line = text_escape(TEXT_PROSE, text);
	table->rows[table->n_rows].line_color = color;
	if (!table->rows[table->n_rows].line)
		table->failed = true;
	row_end(table);
}

static void print_cell(const struct table *table, size_t column, enum color color, const char *text)
{
	size_t width = text_width(text);
	size_t pad = table->widths[column] > width ? table->widths[column] - width : 0;
	bool colored = table->color && color != COLOR_NONE;

	if (column > 0)
		fputs("  ", table->out);
	if (table->columns[column].right)
		fprintf(table->out, "%*s", (int)pad, "");
	if (colored)
		fputs(color_code(color), table->out);
	fputs(text, table->out);
	if (colored)
		fputs(color_code(COLOR_NONE), table->out);
	if (!table->columns[column].right && column + 1 < table->n_columns)
		fprintf(table->out, "%*s", (int)pad, "");
}

static void print_line(const struct table *table, size_t row)
{
	bool colored = table->color && table->rows[row].line_color != COLOR_NONE;

	if (colored)
		fputs(color_code(table->rows[row].line_color), table->out);
	fputs(table->rows[row].line, table->out);
	if (colored)
		fputs(color_code(COLOR_NONE), table->out);
	putc('\n', table->out);
}

int table_flush(struct table *table)
{
	bool failed = table->failed;

	if (!table->titled && table->n_rows > 0) {
		for (size_t c = 0; c < table->n_columns; c++)
			print_cell(table, c, COLOR_BOLD, table->columns[c].title);
		putc('\n', table->out);
		table->titled = true;
	}
	for (size_t i = 0; i < table->n_rows; i++) {
		if (table->rows[i].line) {
			print_line(table, i);
			continue;
		}
		for (size_t c = 0; c < table->n_columns; c++) {
			const struct table_cell *cell = &table->rows[i].cells[c];

			print_cell(table, c, cell->color, cell->text ? cell->text : "?");
		}
		putc('\n', table->out);
	}
	rows_clear(table);
	table->failed = false;
	return failed ? ERR_NOMEM : ERR_OK;
}
