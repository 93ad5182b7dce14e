/* tests/unit/base/base_document.c - what must not reach a YAML library is found, with its place. */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "sallyport/document.h"

static const struct {
	const char *title, *text;
	unsigned int line, col;
	const char *want; /* NULL: fine */
} check_cases[] = {
	{ "nothing", "", 0, 0, NULL },
	{ "plain lines", "a: 1\r\n\tb: 2\n", 0, 0, NULL },
	{ "two, three and four octets", "a: b\303\274 \342\202\254 \360\237\230\200\n", 0, 0,
	  NULL },
	{ "a byte order mark", "\357\273\277a: 1\n", 0, 0, NULL },
	{ "a percent sign inside a line", "a: 5%\n b: '%'\n", 0, 0, NULL },
	{ "a directive", "%YAML 1.2\n---\n", 1, 1, "directive" },
	{ "a directive behind a byte order mark", "\357\273\277%YAML 1.2\n", 1, 1, "directive" },
	{ "a directive in a later line", "a: 1\n%TAG", 2, 1, "directive" },
	{ "a directive after a lone CR", "a: 1\r%TAG", 1, 6, "directive" },
	{ "a directive after U+2028", "a: 1\342\200\250%TAG", 1, 6, "directive" },
	{ "the directive that libfyaml never returns from", "a: 1\n%a\357 b\n", 2, 1, "directive" },
	{ "an octet that begins nothing", "a: 1\nb: \357 b\n", 2, 4, "octet 0xef is not UTF-8" },
	{ "a sequence cut short by the end", "ab\303", 1, 3, "octet 0xc3" },
	{ "a continuation alone", "\200", 1, 1, "octet 0x80" },
	{ "an overlong zero", "a\300\200", 1, 2, "octet 0xc0" },
	{ "an overlong slash", "\340\200\257", 1, 1, "octet 0xe0" },
	{ "a surrogate", "\355\240\200", 1, 1, "octet 0xed" },
	{ "beyond U+10FFFF", "\364\220\200\200", 1, 1, "octet 0xf4" },
	{ "ESC", "a: \033[2J\n", 1, 4, "control character (U+001B)" },
	{ "DEL", "a\177", 1, 2, "control character (U+007F)" },
	{ "a C1 control (CSI)", "a\302\2332J", 1, 2, "control character (U+009B)" },
	{ "columns count characters", "\303\274\303\274\001", 1, 3, "control character" },
};

static void what_a_library_must_not_see_is_told_with_its_place(void **state)
{
	(void)state; /* cmocka's signature */
	for (size_t i = 0; i < ARRAY_LEN(check_cases); i++) {
		CLEANUP(diag_fini) struct diag diag;
		const char *want = check_cases[i].want, *title = check_cases[i].title;
		size_t len = strlen(check_cases[i].text);
		char *copy = malloc(len + !len); /* so that a look behind the end is noticed */
		int r;

		assert_non_null(copy);
		memcpy(copy, check_cases[i].text, len);
		diag_init(&diag);
		r = document_check("a.yaml", copy, len, &diag);
		if (r != (want ? ERR_CONFIG : ERR_OK))
			fail_msg("%s: result %d", title, r);
		if (r != document_check("a.yaml", copy, len, NULL))
			fail_msg("%s: another result when nobody listens", title);
		free(copy);
		if (diag.n_items != (want ? 1 : 0))
			fail_msg("%s: %zu faults", title, diag.n_items);
		if (!want)
			continue;
		if (!strstr(diag.items[0].text, want) ||
		    diag.items[0].line != check_cases[i].line ||
		    diag.items[0].col != check_cases[i].col)
			fail_msg("%s: %u:%u: %s", title, diag.items[0].line, diag.items[0].col,
			         diag.items[0].text);
	}
}

static void a_zero_octet_is_a_control_character(void **state)
{
	(void)state; /* cmocka's signature */
	assert_int_equal(document_check("a.yaml", "a\0b", 3, NULL), ERR_CONFIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_library_must_not_see_is_told_with_its_place),
		cmocka_unit_test(a_zero_octet_is_a_control_character),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
