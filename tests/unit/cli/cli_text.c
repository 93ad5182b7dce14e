/* Nothing that was chosen by somebody else moves the cursor; columns stay aligned. */
#include "run.h"

#include "sallyport/err.h"
#include "table.h"
#include "text.h"

static const struct {
	const char *title, *text, *name, *prose;
} cases[] = {
	{ "plain", "db.corp.test.", "db.corp.test.", "db.corp.test." },
	{ "a blank", "a b", "a\\032b", "a b" },
	{ "an escape sequence", "\033[2Ja", "\\027[2Ja", "\\027[2Ja" },
	{ "a terminal title", "\033]0;x\007", "\\027]0;x\\007", "\\027]0;x\\007" },
	{ "carriage return and newline", "a\r\nb", "a\\013\\010b", "a\\013\\010b" },
	{ "a tab", "a\tb", "a\\009b", "a\\009b" },
	{ "delete", "a\177", "a\\127", "a\\127" },
	{ "escaped already", "a\\046b\\007.", "a\\046b\\007.", "a\\046b\\007." },
	{ "letters of other scripts", "b\303\274cher", "b\\195\\188cher", "b\303\274cher" },
	{ "a C1 control in UTF-8 (CSI)", "\302\2332J", "\\194\\1552J", "\\194\\1552J" },
	{ "a C1 control as one octet", "\2332J", "\\1552J", "\\1552J" },
	{ "right-to-left override", "a\342\200\256b", "a\\226\\128\\174b", "a\\226\\128\\174b" },
	{ "zero width", "a\342\200\213b", "a\\226\\128\\139b", "a\\226\\128\\139b" },
	{ "an over-long form of /", "\300\257", "\\192\\175", "\\192\\175" },
	{ "an over-long form of three", "\340\200\257", "\\224\\128\\175", "\\224\\128\\175" },
	{ "a surrogate", "\355\240\200", "\\237\\160\\128", "\\237\\160\\128" },
	{ "cut short", "\342\202", "\\226\\130", "\\226\\130" },
	{ "beyond Unicode", "\364\220\200\200", "\\244\\144\\128\\128", "\\244\\144\\128\\128" },
	{ "four octets", "\360\237\230\200", "\\240\\159\\152\\128", "\360\237\230\200" },
	{ "empty", "", "", "" },
};

static void terminals_are_safe(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *name = text_escape(TEXT_NAME, cases[i].text);
		char *prose = text_escape(TEXT_PROSE, cases[i].text);

		if (strcmp(name, cases[i].name) != 0 || strcmp(prose, cases[i].prose) != 0)
			fail_msg("%s: name '%s', prose '%s'", cases[i].title, name, prose);
		free(name);
		free(prose);
	}
}

static void escaping_twice_changes_nothing(void **state)
{
	(void)state;
	for (unsigned int c = 1; c < 256; c++) {
		const char text[] = { 'a', (char)c, 'b', 0 };
		char *once = text_escape(TEXT_NAME, text);
		char *twice = text_escape(TEXT_NAME, once);
		char *prose = text_escape(TEXT_PROSE, text);

		assert_string_equal(once, twice);
		for (const char *s = prose; *s; s++)
			assert_true((unsigned char)*s >= ' ' && *s != 0x7f);
		free(once);
		free(twice);
		free(prose);
	}
}

static void spans_have_two_units(void **state)
{
	static const struct {
		double seconds;
		const char *want;
	} spans[] = {
		{ 0, "0s" },     { 0.9, "0s" },       { 59, "59s" },      { 60, "1m" },
		{ 61, "1m 1s" }, { 3599, "59m 59s" }, { 3600, "1h" },     { 3660, "1h 1m" },
		{ 3605, "1h" },  { 86400, "1d" },     { 97200, "1d 3h" }, { -5, "0s" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(spans); i++) {
		char got[TEXT_SPAN_LEN];

		text_span(spans[i].seconds, got);
		assert_string_equal(got, spans[i].want);
	}
}

static const struct table_column columns[] = { { "NAME", false },
	                                       { "N", true },
	                                       { "LAST", false } };

static char *render(bool color, void fill(struct table *table))
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	struct table *table = table_new(out, color, columns, ARRAY_LEN(columns));

	fill(table);
	assert_int_equal(table_flush(table), 0);
	table_free(table);
	fclose(out);
	return text;
}

static void fill_some(struct table *table)
{
	table_put(table, COLOR_NONE, TEXT_NAME, "a.test.");
	table_putf(table, "%d", 7);
	table_put(table, COLOR_NONE, TEXT_PROSE, NULL);
	table_line(table, COLOR_YELLOW, "a line over all");
	table_put(table, COLOR_RED, TEXT_NAME, "\033[31mlonger.test.");
	table_putf(table, "%d", 12345);
	table_put(table, COLOR_NONE, TEXT_PROSE, "b\303\274cher");
}

static void columns_are_aligned(void **state)
{
	char *got = render(false, fill_some);

	(void)state;
	assert_string_equal(got, "NAME                      N  LAST\n"
	                         "a.test.                   7  -\n"
	                         "a line over all\n"
	                         "\\027[31mlonger.test.  12345  b\303\274cher\n");
	free(got);
}

static void colors_do_not_count_as_width(void **state)
{
	char *got = render(true, fill_some);

	(void)state;
	assert_non_null(strstr(got, "\033[33ma line over all\033[0m\n"));
	assert_non_null(strstr(got, "\033[31m\\027[31mlonger.test.\033[0m  12345  b"));
	free(got);
}

static void fill_nothing(struct table *table)
{
	(void)table;
}

static void nothing_has_no_heading(void **state)
{
	char *got = render(false, fill_nothing);

	(void)state;
	assert_string_equal(got, "");
	free(got);
}

static void fill_many(struct table *table)
{
	for (int i = 0; i < 3 * TABLE_ROWS_MAX + 1; i++) {
		table_put(table, COLOR_NONE, TEXT_NAME, "x");
		table_putf(table, "%d", i);
		table_put(table, COLOR_NONE, TEXT_NAME, "y");
	}
}

static void long_listings_have_one_heading_and_every_row(void **state)
{
	char *got = render(false, fill_many);
	size_t lines = 0;

	(void)state;
	for (const char *s = got; *s; s++)
		lines += *s == '\n';
	assert_int_equal(lines, 3 * TABLE_ROWS_MAX + 2);
	assert_null(strstr(got + 1, "NAME"));
	free(got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(terminals_are_safe),
		cmocka_unit_test(escaping_twice_changes_nothing),
		cmocka_unit_test(spans_have_two_units),
		cmocka_unit_test(columns_are_aligned),
		cmocka_unit_test(colors_do_not_count_as_width),
		cmocka_unit_test(nothing_has_no_heading),
		cmocka_unit_test(long_listings_have_one_heading_and_every_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
