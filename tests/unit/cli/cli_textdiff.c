/* A diff, applied to the old text, gives the new one; and it is as short as it can be. */
#include "run.h"

#include "sallyport/err.h"
#include "textdiff.h"

static char *diff(const char *old, const char *new, int *ret_differs)
{
	const struct textdiff_text a = { "old", old, strlen(old) };
	const struct textdiff_text b = { "new", new, strlen(new) };
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	*ret_differs = textdiff_write(out, false, &a, &b);
	fclose(out);
	return text;
}

#define HEAD "--- old\n+++ new\n"
static const struct {
	const char *title, *old, *new, *want;
} cases[] = {
	{ "equal", "a\nb\n", "a\nb\n", "" },
	{ "both empty", "", "", "" },
	{ "from nothing", "", "a\n", HEAD "@@ -0,0 +1,1 @@\n+a\n" },
	{ "to nothing", "a\n", "", HEAD "@@ -1,1 +0,0 @@\n-a\n" },
	{ "one line of three", "a\nb\nc\n", "a\nx\nc\n", HEAD "@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n" },
	{ "the newline at the end", "a\nb", "a\nb\n",
	  HEAD "@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+b\n" },
	{ "context of three lines", "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\n5\n6\n7\n8\nX\n",
	  HEAD "@@ -6,4 +6,4 @@\n 6\n 7\n 8\n-9\n+X\n" },
	{ "two hunks", "a\n1\n2\n3\n4\n5\n6\n7\nb\n", "A\n1\n2\n3\n4\n5\n6\n7\nB\n",
	  HEAD "@@ -1,4 +1,4 @@\n-a\n+A\n 1\n 2\n 3\n@@ -6,4 +6,4 @@\n 5\n 6\n 7\n-b\n+B\n" },
	{ "near changes share a hunk", "a\n1\n2\n3\n4\n5\n6\nb\n", "A\n1\n2\n3\n4\n5\n6\nB\n",
	  HEAD "@@ -1,8 +1,8 @@\n-a\n+A\n 1\n 2\n 3\n 4\n 5\n 6\n-b\n+B\n" },
	{ "an escape sequence in a line", "a\n", "\033[2J\n",
	  HEAD "@@ -1,1 +1,1 @@\n-a\n+\\027[2J\n" },
};

static void diffs_look_as_expected(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int differs;
		char *got = diff(cases[i].old, cases[i].new, &differs);

		if (strcmp(got, cases[i].want) != 0 || differs != (cases[i].want[0] != '\0'))
			fail_msg("%s: got\n%s", cases[i].title, got);
		free(got);
	}
}

/* A slow, obvious length of the longest common subsequence of single-letter lines. */
static size_t common(const char *a, size_t n, const char *b, size_t m)
{
	size_t table[32][32] = { { 0 } };

	for (size_t i = 1; i <= n; i++) {
		for (size_t j = 1; j <= m; j++)
			table[i][j] = a[2 * i - 2] == b[2 * j - 2]        ? table[i - 1][j - 1] + 1
			              : table[i - 1][j] > table[i][j - 1] ? table[i - 1][j]
			                                                  : table[i][j - 1];
	}
	return table[n][m];
}

/* Apply a unified diff of single-letter lines; counts its edits. */
static void apply(const char *old, const char *patch, char *out, size_t *ret_edits)
{
	size_t at = 0, edits = 0;

	*out = '\0';
	for (const char *line = patch; *line; line = strchr(line, '\n') + 1) {
		if (strncmp(line, "---", 3) == 0 || strncmp(line, "+++", 3) == 0)
			continue;
		if (line[0] == '@') {
			size_t from = (size_t)strtoul(strchr(line, '-') + 1, NULL, 10);
			size_t count = (size_t)strtoul(strchr(line, ',') + 1, NULL, 10);

			for (from -= count > 0; at < from; at++)
				strncat(out, old + 2 * at, 2);
			continue;
		}
		if (line[0] != '+') {
			assert_int_equal(old[2 * at], line[1]);
			at++;
		}
		if (line[0] != '-')
			strncat(out, line + 1, 2);
		edits += line[0] != ' ';
	}
	strcat(out, old + 2 * at);
	*ret_edits = edits;
}

static void random_text(char *text, size_t *ret_n, uint64_t *seed)
{
	*ret_n = 0;
	*seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407U;
	for (size_t n = (*seed >> 33) % 25; *ret_n < n; (*ret_n)++) {
		*seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407U;
		text[2 * *ret_n] = (char)('a' + (*seed >> 33) % 4);
		text[2 * *ret_n + 1] = '\n';
	}
	text[2 * *ret_n] = '\0';
}

static void any_diff_can_be_applied_and_is_shortest(void **state)
{
	uint64_t seed = 20261123;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		char a[64], b[64], got[128];
		size_t n, m, edits;
		int differs;
		char *patch;

		random_text(a, &n, &seed);
		random_text(b, &m, &seed);
		patch = diff(a, b, &differs);
		apply(a, patch, got, &edits);
		if (strcmp(got, b) != 0 || edits != n + m - 2 * common(a, n, b, m))
			fail_msg("round %d: old\n%snew\n%sdiff\n%s", round, a, b, patch);
		assert_int_equal(differs, strcmp(a, b) != 0);
		free(patch);
	}
}

static void texts_with_nothing_in_common_are_replaced(void **state)
{
	enum { LINES = 3 * TEXTDIFF_EDITS_MAX };
	char *a = malloc(LINES * 8 + 1), *b = malloc(LINES * 8 + 1);
	size_t gone = 0, come = 0;
	int differs;
	char *patch;

	(void)state;
	for (size_t i = 0; i < LINES; i++) {
		snprintf(a + 7 * i, 8, "a%05zu\n", i);
		snprintf(b + 7 * i, 8, "b%05zu\n", i);
	}
	patch = diff(a, b, &differs);
	for (const char *line = patch; *line; line = strchr(line, '\n') + 1) {
		gone += line[0] == '-' && line[1] == 'a';
		come += line[0] == '+' && line[1] == 'b';
	}
	assert_int_equal(differs, 1);
	assert_int_equal(gone, LINES);
	assert_int_equal(come, LINES);
	free(a);
	free(b);
	free(patch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(diffs_look_as_expected),
		cmocka_unit_test(any_diff_can_be_applied_and_is_shortest),
		cmocka_unit_test(texts_with_nothing_in_common_are_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
