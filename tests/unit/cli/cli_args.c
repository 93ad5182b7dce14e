/* A command line is taken apart the same way whatever order it has, and what is wrong is said. */
#include "run.h"

#include "args.h"
#include "sallyport/err.h"

static const struct {
	const char *title, *line, *want;
} cases[] = {
	{ "words only", "policy|show|3", "words=policy,show,3" },
	{ "a value after the option", "history|--name|a.test", "words=history name=a.test" },
	{ "a value after =", "history|--name=a.test", "words=history name=a.test" },
	{ "an empty value after =", "history|--name=", "words=history name=" },
	{ "a value with = in it", "--comment=a=b", "words= comment=a=b" },
	{ "a letter and its value", "history|-n|a.test", "words=history name=a.test" },
	{ "a letter glued to its value", "history|-na.test", "words=history name=a.test" },
	{ "flags in a row", "history|-fj", "words=history json= follow=" },
	{ "flags in a row that end in a value", "-jn|a.test", "words= json= name=a.test" },
	{ "options before the verb", "--json|top|names", "words=top,names json=" },
	{ "-- ends the options", "flush|--|--all", "words=flush,--all" },
	{ "a lone - is a word", "policy|apply|-", "words=policy,apply,-" },
	{ "a value that looks like an option", "--comment|--json", "words= comment=--json" },
	{ "unknown", "history|--folow", "unknown option --folow; did you mean --follow?" },
	{ "unknown, with a value", "--naem=x", "unknown option --naem; did you mean --name?" },
	{ "unknown and like nothing", "--zzzzzzzz", "unknown option --zzzzzzzz" },
	{ "unknown letter", "-Z", "unknown option -Z; --help lists all" },
	{ "a letter that would steer the terminal", "-\033[2J",
	  "unknown option -\\027; --help lists all" },
	{ "a value is missing", "history|--name", "--name wants a value: --name GLOB" },
	{ "a letter's value is missing", "-n", "--name wants a value: --name GLOB" },
	{ "a flag with a value", "--json=1", "--json takes no value" },
	{ "twice", "--name|a|--name|b", "--name is given twice; give it once" },
	{ "a flag twice", "-jj", "--json is given twice; give it once" },
	{ "too many words", "a|b|c|d|e|f|g|h|i|j|k|l|m|n|o|p|q", "too many words: from 'q' on" },
	{ "nothing at all", "", "words=" },
};

#define NAME_(sym, name, letter, arg, help) name,
static const char *const option_names[] = { ARGS_OPTIONS(NAME_) };

static char *describe(const char *line)
{
	char *text = NULL, *copy = strdup(line), *argv[32], *rest = copy;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	struct args args;
	int argc = 0;

	while (rest && *line && argc < 32)
		argv[argc++] = strsep(&rest, "|");
	if (args_parse(argc, argv, &args, out) == 0) {
		fputs("words=", out);
		for (size_t i = 0; i < args.n_words; i++)
			fprintf(out, "%s%s", i ? "," : "", args.words[i]);
		for (size_t i = 0; i < OPT_N; i++) {
			if (args.values[i])
				fprintf(out, " %s=%s", option_names[i], args.values[i]);
		}
	}
	fclose(out);
	free(copy);
	return text;
}

static void lines_are_taken_apart(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *got = describe(cases[i].line);

		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s: got '%s', want '%s'", cases[i].title, got, cases[i].want);
		free(got);
	}
}

static void every_option_is_told_apart(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPT_N; i++) {
		for (size_t j = i + 1; j < OPT_N; j++)
			assert_string_not_equal(option_names[i], option_names[j]);
	}
}

static void numbers_are_read_exactly(void **state)
{
	static const struct {
		const char *text;
		uint64_t max;
		bool good;
		uint64_t want;
	} numbers[] = {
		{ "0", 10, true, 0 },
		{ "10", 10, true, 10 },
		{ "11", 10, false, 0 },
		{ "100", 10, false, 0 },
		{ "5", 3, false, 0 },
		{ "", 10, false, 0 },
		{ "-1", 10, false, 0 },
		{ "+1", 10, false, 0 },
		{ " 1", 10, false, 0 },
		{ "1x", 10, false, 0 },
		{ "007", 10, true, 7 },
		{ "18446744073709551615", UINT64_MAX, true, UINT64_MAX },
		{ "18446744073709551616", UINT64_MAX, false, 0 },
		{ "99999999999999999999999", UINT64_MAX, false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		uint64_t got = 0;
		bool good = args_number(numbers[i].text, numbers[i].max, &got) == 0;

		if (good != numbers[i].good || got != numbers[i].want)
			fail_msg("'%s' up to %ju", numbers[i].text, (uintmax_t)numbers[i].max);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_taken_apart),
		cmocka_unit_test(every_option_is_told_apart),
		cmocka_unit_test(numbers_are_read_exactly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
