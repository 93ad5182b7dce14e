/* tests/unit/base/base_name.c - names: wire, text, case, bounds. */
#include "check.h"

#include <stdio.h>

#include "sallyport/name.h"

static const struct {
	const char *title, *text, *want; /* want: as name_to_text() shows it; NULL: refused */
} text_cases[] = {
	{ "final dot is optional", "db.corp.test", "db.corp.test." },
	{ "final dot is kept", "db.corp.test.", "db.corp.test." },
	{ "the root", ".", "." },
	{ "case is kept", "Db.Corp.Test", "Db.Corp.Test." },
	{ "a decimal escape", "a\\032b.test", "a\\032b.test." },
	{ "an escaped dot stays in its label", "a\\.b.test", "a\\.b.test." },
	{ "terminal control is shown as digits", "\\027[31m.test", "\\027[31m.test." },
	{ "binary octets", "\\000\\255.test", "\\000\\255.test." },
	{ "an empty label", "a..test", NULL },
	{ "a leading dot", ".test", NULL },
	{ "nothing", "", NULL },
	{ "an escape over 255", "a\\256.test", NULL },
	{ "half an escape", "a\\25", NULL },
	{ "a lone backslash", "a\\", NULL },
};

static void text_is_read_and_shown(void **state)
{
	(void)state; /* cmocka's signature */
	for (size_t i = 0; i < ARRAY_LEN(text_cases); i++) {
		uint8_t wire[NAME_MAX_WIRE];
		char text[NAME_TEXT_LEN];
		int len = name_from_text(text_cases[i].text, wire);

		if (!text_cases[i].want) {
			if (len >= 0)
				fail_msg("%s: was taken", text_cases[i].title);
			continue;
		}
		if (len < 0)
			fail_msg("%s: refused", text_cases[i].title);
		assert_int_equal(name_wire_len(wire, (size_t)len), len);
		size_t n = name_to_text(wire, text);

		assert_int_equal(n, strlen(text));
		if (strcmp(text, text_cases[i].want) != 0)
			fail_msg("%s: got %s", text_cases[i].title, text);
	}
}

static void bounds_are_63_127_255(void **state)
{
	char text[600] = "";
	uint8_t wire[NAME_MAX_WIRE];

	(void)state; /* cmocka's signature */
	memset(text, 'a', 63);
	assert_int_equal(name_from_text(text, wire), 65);
	memset(text, 'a', 64);
	assert_int_equal(name_from_text(text, wire), ERR_INVAL);
	for (int i = 0; i < 127; i++)
		memcpy(text + 2 * i, "a.", 3);
	assert_int_equal(name_from_text(text, wire), 255);
	assert_int_equal(name_labels(wire), 127);
	strcat(text, "b");
	assert_int_equal(name_from_text(text, wire), ERR_INVAL);
}

static void wire_is_refused_when_cut_or_compressed(void **state)
{
	static const uint8_t good[] = { 2, 'd', 'b', 4, 't', 'e', 's', 't', 0 };
	static const uint8_t pointer[] = { 1, 'a', 0xc0, 0 };

	(void)state; /* cmocka's signature */
	assert_int_equal(name_wire_len(good, sizeof(good)), sizeof(good));
	for (size_t n = 0; n < sizeof(good); n++)
		assert_int_equal(name_wire_len(good, n), ERR_MALFORMED);
	assert_int_equal(name_wire_len(pointer, sizeof(pointer)), ERR_MALFORMED);
}

static void comparison_ignores_ascii_case_only(void **state)
{
	uint8_t a[NAME_MAX_WIRE], b[NAME_MAX_WIRE];

	(void)state; /* cmocka's signature */
	name_from_text("DB.corp.TEST", a);
	name_from_text("db.CORP.test", b);
	assert_true(name_equal(a, b));
	name_from_text("\\196b.test", a);
	name_from_text("\\228b.test", b);
	assert_false(name_equal(a, b));
	name_from_text("x.corp.test", a);
	name_from_text("corp.test", b);
	assert_true(name_is_under(a, b));
	assert_true(name_is_under(b, b));
	assert_false(name_is_under(b, a));
	name_from_text("xcorp.test", a);
	assert_false(name_is_under(a, b));
	b[0] = 0;
	assert_true(name_is_under(a, b));
}

static void types_have_names_both_ways(void **state)
{
	char text[NAME_TYPE_TEXT_LEN];
	uint16_t type;

	(void)state; /* cmocka's signature */
	assert_int_equal(name_type_parse("https", &type), 0);
	assert_int_equal(type, 65);
	assert_int_equal(name_type_parse("TYPE65535", &type), 0);
	assert_int_equal(type, 65535);
	assert_int_equal(name_type_parse("TYPE65536", &type), ERR_INVAL);
	assert_int_equal(name_type_parse("AAA", &type), ERR_INVAL);
	for (unsigned int t = 0; t <= 65535; t++) {
		name_type_text((uint16_t)t, text);
		assert_int_equal(name_type_parse(text, &type), 0);
		assert_int_equal(type, t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_read_and_shown),
		cmocka_unit_test(bounds_are_63_127_255),
		cmocka_unit_test(wire_is_refused_when_cut_or_compressed),
		cmocka_unit_test(comparison_ignores_ascii_case_only),
		cmocka_unit_test(types_have_names_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
