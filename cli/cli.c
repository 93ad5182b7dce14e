#include "cli.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "text.h"
#include "verbs.h"

PRINTF_LIKE(3, 0)
static void put_tagged(const struct cli *cli, const char *tag, const char *fmt, va_list args)
{
	CLEANUP(free) char *text = NULL;

	if (vasprintf(&text, fmt, args) < 0)
		text = NULL;
	fflush(cli->out); /* so that both streams stay in order on one terminal */
	fputs(tag, cli->err);
	text_put(cli->err, TEXT_PROSE, text ? text : fmt);
	putc('\n', cli->err);
}

int cli_fail(const struct cli *cli, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	put_tagged(cli, "sallyport: ", fmt, args);
	va_end(args);
	return CLI_FAILED;
}

void cli_note(const struct cli *cli, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	put_tagged(cli, "", fmt, args);
	va_end(args);
}

int cli_nomem(const struct cli *cli)
{
	return cli_fail(cli, "out of memory");
}

void cli_diag(const struct cli *cli, const struct diag *diag)
{
	for (size_t i = 0; i < diag->n_items; i++) {
		const struct diag_item *item = &diag->items[i];

		if (item->file[0])
			text_put(cli->err, TEXT_PROSE, item->file);
		else
			fputs("sallyport", cli->err);
		if (item->line)
			fprintf(cli->err, ":%u:%u", item->line, item->col);
		fprintf(cli->err, ": %s: ", item->severity == DIAG_ERROR ? "error" : "warning");
		text_put(cli->err, TEXT_PROSE, item->text);
		putc('\n', cli->err);
	}
	if (diag->n_dropped)
		fprintf(cli->err, "sallyport: and %zu more\n", diag->n_dropped);
}

void cli_color(const struct cli *cli, enum color color)
{
	if (cli->color)
		fputs(color_code(color), cli->out);
}

int cli_moment(const struct cli *cli, enum opt opt, uint64_t fallback, uint64_t *ret_ns)
{
	const char *text = cli->args.values[opt];

	if (!text) {
		*ret_ns = fallback;
		return ERR_OK;
	}
	if (clock_parse_moment(text, cli->now_ns, cli->local, ret_ns) < 0) {
		cli_fail(
		    cli,
		    "'%s' is no time; write 2h (ago), 2026-11-23, '2026-11-23 09:00', RFC 3339 or "
		    "@SECONDS",
		    text);
		return ERR_INVAL;
	}
	return ERR_OK;
}

void cli_time(const struct cli *cli, uint64_t ns, char out[static CLI_TIME_LEN])
{
	time_t s = (time_t)(ns / NS_PER_S);
	unsigned int ms = (unsigned int)(ns % NS_PER_S / NS_PER_MS);
	char zone[8] = "Z";
	char date[24];
	struct tm tm;

	if (cli->local)
		localtime_r(&s, &tm);
	else
		gmtime_r(&s, &tm);
	if (cli->local)
		strftime(zone, sizeof(zone), "%z", &tm);
	strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
	snprintf(out, CLI_TIME_LEN, "%s.%03u%s", date, ms, zone);
}

const char *cli_time_text(const struct cli *cli, const char *text, char out[static CLI_TIME_LEN])
{
	uint64_t ns;

	if (strchr(text, 'T') == NULL || clock_parse_moment(text, cli->now_ns, 0, &ns) < 0)
		return text;
	cli_time(cli, ns, out);
	return out;
}

/* --color, NO_COLOR (no-color.org), TERM. */
static int choose_color(struct cli *cli)
{
	const char *when = cli->args.values[OPT_COLOR];
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	if (when && strcmp(when, "always") == 0)
		cli->color = true;
	else if (when && strcmp(when, "never") == 0)
		cli->color = false;
	else if (when && strcmp(when, "auto") != 0)
		return cli_fail(cli, "--color is auto, always or never, not '%s'", when);
	else
		cli->color = cli->terminal && !(no_color && *no_color) &&
		             !(term && strcmp(term, "dumb") == 0);
	return CLI_YES;
}

static const struct verb *find_verb(const struct args *args, size_t *ret_words)
{
	const char *group = args->words[0];
	const char *name = args->n_words > 1 ? args->words[1] : "";

	for (size_t i = 0; i < verbs_n; i++) {
		if (strcmp(verbs[i].group, group) != 0 ||
		    (verbs[i].name && strcmp(verbs[i].name, name) != 0))
			continue;
		*ret_words = verbs[i].name ? 2 : 1;
		return &verbs[i];
	}
	return NULL;
}

/* No verb of this name: later, misspelt, or a group without its second word. */
static int complain_verb(struct cli *cli)
{
	const char *group = cli->args.words[0];
	const char *name = cli->args.n_words > 1 ? cli->args.words[1] : NULL;
	const char *later = verbs_later(group, name);
	const char *nearest;
	bool is_group = false;

	for (size_t i = 0; i < verbs_n; i++)
		is_group |= strcmp(verbs[i].group, group) == 0;
	if (later)
		return cli_fail(cli, "%s is not built in yet", later);
	if (is_group && !name && args_has(&cli->args, OPT_HELP))
		return verb_help(cli, cli->args.words, 1);
	if (is_group && !name)
		return cli_fail(cli, "%s wants a word more; `sallyport help %s` lists them", group,
		                group);
	nearest = verbs_nearest(is_group ? group : NULL, is_group ? name : group);
	if (nearest)
		return cli_fail(cli, "unknown verb '%s%s%s'; did you mean '%s'?", group,
		                is_group ? " " : "", is_group ? name : "", nearest);
	return cli_fail(cli, "unknown verb '%s%s%s'; `sallyport --help` lists all", group,
	                is_group ? " " : "", is_group ? name : "");
}

static int run_verb(struct cli *cli, const struct verb *verb, size_t n_taken)
{
	CLEANUP(free)
	char *title =
	    text_format("%s%s%s", verb->group, verb->name ? " " : "", verb->name ? verb->name : "");
	CLEANUP(free) char *complaint = NULL;
	CLEANUP(diag_fini) struct diag diag = { 0 };
	const char *const *words = cli->args.words + n_taken;
	size_t n_words = cli->args.n_words - n_taken;
	size_t len;
	FILE *text;
	int r;

	if (args_has(&cli->args, OPT_HELP)) {
		verbs_help_one(cli->out, verb);
		return CLI_YES;
	}
	text = open_memstream(&complaint, &len);
	if (!title || !text)
		return cli_nomem(cli);
	r = args_check(&cli->args, verb->options, title, text);
	if (fclose(text) != 0)
		return cli_nomem(cli);
	if (r < 0)
		return cli_fail(cli, "%s", complaint);
	if (n_words < verb->n_min || n_words > verb->n_max)
		return cli_fail(cli, "usage: sallyport %s %s", title, verb->synopsis);
	if (verb->alone)
		return verb->run(cli, words, n_words);
	r = settings_read(&cli->settings, cli->config, cli->config_named, &diag);
	if (r < 0) {
		cli_diag(cli, &diag);
		return diag.n_items ? CLI_FAILED : cli_nomem(cli);
	}
	r = verb->run(cli, words, n_words);
	settings_fini(&cli->settings);
	return r;
}

static int dispatch(struct cli *cli)
{
	const struct verb *verb;
	size_t n_taken = 0;

	if (args_has(&cli->args, OPT_VERSION)) {
		fprintf(cli->out, "sallyport %s\n", SALLYPORT_VERSION);
		return CLI_YES;
	}
	if (cli->args.n_words == 0) {
		verbs_help(args_has(&cli->args, OPT_HELP) ? cli->out : cli->err);
		return args_has(&cli->args, OPT_HELP) ? CLI_YES : CLI_FAILED;
	}
	verb = find_verb(&cli->args, &n_taken);
	return verb ? run_verb(cli, verb, n_taken) : complain_verb(cli);
}

int cli_run(int argc, char *const *argv, FILE *out, FILE *err, bool terminal)
{
	struct cli cli = {
		.out = out,
		.err = err,
		.config = SETTINGS_FILE,
		.now_ns = clock_wall_ns(),
		.terminal = terminal,
	};
	CLEANUP(free) char *complaint = NULL;
	size_t len;
	FILE *text = open_memstream(&complaint, &len);
	int r;

	if (!text)
		return cli_nomem(&cli);
	r = args_parse(argc, argv, &cli.args, text);
	if (fclose(text) != 0)
		return cli_nomem(&cli);
	if (r < 0)
		return cli_fail(&cli, "%s", complaint);
	cli.json = args_has(&cli.args, OPT_JSON);
	cli.local = args_has(&cli.args, OPT_LOCAL);
	if (args_has(&cli.args, OPT_CONFIG)) {
		cli.config = cli.args.values[OPT_CONFIG];
		cli.config_named = true;
	}
	r = choose_color(&cli);
	if (r == CLI_YES)
		r = dispatch(&cli);
	if (fflush(out) != 0 || ferror(out))
		return cli_fail(&cli, "what was asked for could not be written whole");
	return r;
}
