#include "args.h"

#include <string.h>

#include "sallyport/diag.h"
#include "sallyport/err.h"
#include "text.h"

#define ARGS_SPEC_(sym, name, letter, arg, help) { name, letter, arg, help },
static const struct opt_spec {
	const char *name;
	char letter;
	const char *arg; /* NULL: a flag */
	const char *help;
} specs[OPT_N] = { ARGS_OPTIONS(ARGS_SPEC_) };

static bool allows(uint64_t allowed, size_t opt)
{
	return allowed >> opt & 1;
}

/* "unknown option --folow; did you mean --follow?" */
static int complain_unknown(const char *name, uint64_t allowed, const char *verb, FILE *complaint)
{
	const char *known[OPT_N + 1];
	const char *nearest;
	size_t n = 0;

	for (size_t i = 0; i < OPT_N; i++) {
		if (allows(allowed, i))
			known[n++] = specs[i].name;
	}
	known[n] = NULL;
	nearest = diag_nearest(name, known);
	if (verb)
		fprintf(complaint, "%s has no option --", verb);
	else
		fputs("unknown option --", complaint);
	text_put(complaint, TEXT_PROSE, name);
	if (nearest)
		fprintf(complaint, "; did you mean --%s?", nearest);
	return ERR_INVAL;
}

static int find_long(const char *name, size_t len)
{
	for (int i = 0; i < OPT_N; i++) {
		if (strlen(specs[i].name) == len && memcmp(specs[i].name, name, len) == 0)
			return i;
	}
	return -1;
}

static int find_letter(char letter)
{
	for (int i = 0; i < OPT_N; i++) {
		if (specs[i].letter == letter)
			return i;
	}
	return -1;
}

/* Keep @value, or the next word, for @opt. @i is the index of the present word in @argv. */
static int take_value(struct args *args, int opt, const char *value, int argc, char *const *argv,
                      int *i, FILE *complaint)
{
	if (args->values[opt]) {
		fprintf(complaint, "--%s is given twice; give it once", specs[opt].name);
		return ERR_INVAL;
	}
	if (!specs[opt].arg) {
		if (value) {
			fprintf(complaint, "--%s takes no value", specs[opt].name);
			return ERR_INVAL;
		}
		args->values[opt] = "";
		return ERR_OK;
	}
	if (!value) {
		if (*i + 1 >= argc) {
			fprintf(complaint, "--%s wants a value: --%s %s", specs[opt].name,
			        specs[opt].name, specs[opt].arg);
			return ERR_INVAL;
		}
		value = argv[++*i];
	}
	args->values[opt] = value;
	return ERR_OK;
}

static int take_long(struct args *args, int argc, char *const *argv, int *i, FILE *complaint)
{
	const char *name = argv[*i] + 2;
	const char *equals = strchr(name, '=');
	size_t len = equals ? (size_t)(equals - name) : strlen(name);
	int opt = find_long(name, len);

	if (opt < 0) {
		CLEANUP(free) char *word = strndup(name, len);

		return complain_unknown(word ? word : name, UINT64_MAX, NULL, complaint);
	}
	return take_value(args, opt, equals ? equals + 1 : NULL, argc, argv, i, complaint);
}

/* -f, -n VALUE, -nVALUE, and flags in a row as -fj. */
static int take_letters(struct args *args, int argc, char *const *argv, int *i, FILE *complaint)
{
	for (const char *s = argv[*i] + 1; *s; s++) {
		int opt = find_letter(*s);
		char letter[2] = { *s, 0 };
		int r;

		if (opt < 0) {
			fputs("unknown option -", complaint);
			text_put(complaint, TEXT_NAME, letter);
			fputs("; --help lists all", complaint);
			return ERR_INVAL;
		}
		if (specs[opt].arg)
			return take_value(args, opt, s[1] ? s + 1 : NULL, argc, argv, i, complaint);
		r = take_value(args, opt, NULL, argc, argv, i, complaint);
		if (r < 0)
			return r;
	}
	return ERR_OK;
}

static int take_word(struct args *args, const char *word, FILE *complaint)
{
	if (args->n_words == ARGS_WORDS_MAX) {
		fputs("too many words: from '", complaint);
		text_put(complaint, TEXT_PROSE, word);
		fputs("' on", complaint);
		return ERR_INVAL;
	}
	args->words[args->n_words++] = word;
	return ERR_OK;
}

int args_parse(int argc, char *const *argv, struct args *ret_args, FILE *complaint)
{
	struct args args = { 0 };
	bool ended = false;

	for (int i = 0; i < argc; i++) {
		const char *word = argv[i];
		int r;

		if (!ended && strcmp(word, "--") == 0) {
			ended = true;
			continue;
		}
		if (ended || word[0] != '-' || word[1] == '\0')
			r = take_word(&args, word, complaint);
		else if (word[1] == '-')
			r = take_long(&args, argc, argv, &i, complaint);
		else
			r = take_letters(&args, argc, argv, &i, complaint);
		if (r < 0)
			return r;
	}
	*ret_args = args;
	return ERR_OK;
}

int args_check(const struct args *args, uint64_t allowed, const char *verb, FILE *complaint)
{
	for (size_t i = 0; i < OPT_N; i++) {
		if (args->values[i] && !allows(allowed | OPTS_GLOBAL, i))
			return complain_unknown(specs[i].name, allowed | OPTS_GLOBAL, verb,
			                        complaint);
	}
	return ERR_OK;
}

int args_number(const char *text, uint64_t max, uint64_t *ret_number)
{
	uint64_t number = 0;

	if (!*text)
		return ERR_INVAL;
	for (; *text; text++) {
		uint64_t digit;

		if (*text < '0' || *text > '9')
			return ERR_INVAL;
		digit = (uint64_t)(*text - '0');
		if (number > (max - digit) / 10 || digit > max)
			return ERR_INVAL;
		number = number * 10 + digit;
	}
	*ret_number = number;
	return ERR_OK;
}

void args_help(FILE *out, uint64_t allowed)
{
	for (size_t i = 0; i < OPT_N; i++) {
		CLEANUP(free) char *left = NULL;

		if (!allows(allowed, i))
			continue;
		left = text_format("--%s%s%s", specs[i].name, specs[i].arg ? " " : "",
		                   specs[i].arg ? specs[i].arg : "");
		if (specs[i].letter)
			fprintf(out, "  -%c, %-20s %s\n", specs[i].letter, left ? left : "",
			        specs[i].help);
		else
			fprintf(out, "      %-20s %s\n", left ? left : "", specs[i].help);
	}
}

void args_names(FILE *out, uint64_t allowed)
{
	for (size_t i = 0; i < OPT_N; i++) {
		if (allows(allowed, i))
			fprintf(out, "--%s%s\n", specs[i].name, specs[i].arg ? "=" : "");
	}
}
