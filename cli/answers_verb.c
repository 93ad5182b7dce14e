/* answers_verb.c - top and who: what the history says in sum. */
#include <inttypes.h>
#include <string.h>

#include "filter.h"
#include "json.h"
#include "record_json.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "verbs.h"

enum { TOP_DEFAULT = 20, TOP_MAX = 100000 };
#define TOP_SPAN_NS (24 * 3600 * NS_PER_S)

static const struct table_column name_columns[] = {
	{ "COUNT", true }, { "DENIED", true }, { "WORKLOADS", true },
	{ "LAST", false }, { "NAME", false },
};
static const struct table_column workload_columns[] = {
	{ "COUNT", true },
	{ "DENIED", true },
	{ "LAST", false },
	{ "WORKLOAD", false },
};

static const struct top_kind {
	const char *word;
	enum history_top what;
	const struct table_column *columns;
	size_t n_columns;
} top_kinds[] = {
	{ "names", HISTORY_TOP_NAMES, name_columns, ARRAY_LEN(name_columns) },
	{ "workloads", HISTORY_TOP_WORKLOADS, workload_columns, ARRAY_LEN(workload_columns) },
	{ "denied", HISTORY_TOP_DENIED, name_columns, ARRAY_LEN(name_columns) },
};

struct answers {
	const struct cli *cli;
	struct table *table;
	enum history_top what;
};

static int on_top(const struct history_top_row *row, void *arg)
{
	const struct answers *answers = arg;
	const struct cli *cli = answers->cli;
	struct table *table = answers->table;
	char last[CLI_TIME_LEN];

	if (cli->json) {
		CLEANUP(json_decref) json_t *object = record_top_json(answers->what, row);

		return object ? json_line(cli->out, object) : ERR_NOMEM;
	}
	cli_time(cli, row->last_ns, last);
	table_putf(table, "%" PRIu64, row->count);
	table_putf(table, "%" PRIu64, row->denied);
	if (answers->what != HISTORY_TOP_WORKLOADS)
		table_putf(table, "%" PRIu64, row->n_workloads);
	table_put(table, COLOR_NONE, TEXT_PROSE, last);
	table_put(table, COLOR_BOLD,
	          answers->what == HISTORY_TOP_WORKLOADS ? TEXT_PROSE : TEXT_NAME,
	          row->text && row->text[0] ? row->text : NULL);
	return ERR_OK;
}

static int on_who(const struct history_who *who, void *arg)
{
	const struct answers *answers = arg;
	const struct cli *cli = answers->cli;
	struct table *table = answers->table;
	char addr[ADDR_TEXT_LEN], client[ADDR_TEXT_LEN] = "-";
	char first[CLI_TIME_LEN], last[CLI_TIME_LEN], until[CLI_TIME_LEN];

	if (cli->json) {
		CLEANUP(json_decref) json_t *object = record_who_json(who);

		return object ? json_line(cli->out, object) : ERR_NOMEM;
	}
	addr_text(who->addr, addr);
	if (who->has_client)
		addr_text(who->client, client);
	cli_time(cli, who->first_ns, first);
	cli_time(cli, who->last_ns, last);
	cli_time(cli, who->until_ns, until);
	table_put(table, COLOR_NONE, TEXT_NAME, addr);
	table_put(table, COLOR_BOLD, TEXT_NAME, who->name);
	table_put(table, COLOR_NONE, TEXT_PROSE, who->workload);
	table_put(table, COLOR_NONE, TEXT_NAME, client);
	table_put(table, COLOR_NONE, TEXT_PROSE, first);
	table_put(table, COLOR_NONE, TEXT_PROSE, last);
	table_put(table, COLOR_NONE, TEXT_PROSE, until);
	table_putf(table, "%" PRIu64, who->count);
	table_put(table, COLOR_NONE, TEXT_PROSE, who->rule);
	return ERR_OK;
}

/* Print what was gathered, what it covers, and what went wrong with @r. */
static int finish(const struct cli *cli, struct table *table, int r, const struct diag *diag,
                  const struct history_coverage *coverage)
{
	if (table_flush(table) < 0)
		r = ERR_NOMEM;
	cli_diag(cli, diag);
	if (r < 0)
		return diag->n_errors ? CLI_FAILED
		                      : cli_fail(cli, "the history cannot be read: %s", err_str(r));
	filter_note_coverage(cli, coverage);
	return CLI_YES;
}

int verb_top(struct cli *cli, const char *const *words, size_t n_words)
{
	const char *limit_text = cli->args.values[OPT_LIMIT];
	CLEANUP(history_free) struct history *history = NULL;
	CLEANUP(table_free) struct table *table = NULL;
	CLEANUP(diag_fini) struct diag diag = { 0 };
	struct history_coverage coverage = { 0 };
	const struct top_kind *kind = NULL;
	struct history_filter filter;
	struct answers answers;
	uint64_t limit = TOP_DEFAULT;
	int r;

	(void)n_words; /* exactly one */
	for (size_t i = 0; i < ARRAY_LEN(top_kinds); i++) {
		if (strcmp(top_kinds[i].word, words[0]) == 0)
			kind = &top_kinds[i];
	}
	if (!kind)
		return cli_fail(cli, "top of what? names, workloads or denied, not '%s'", words[0]);
	if (limit_text && (args_number(limit_text, TOP_MAX, &limit) < 0 || limit == 0))
		return cli_fail(cli, "--limit is a number from 1 to %d, not '%s'", (int)TOP_MAX,
		                limit_text);
	if (filter_read(cli, &filter) < 0)
		return CLI_FAILED;
	if (!filter.since_ns && !args_has(&cli->args, OPT_SINCE))
		filter.since_ns = (filter.until_ns ? filter.until_ns : cli->now_ns) - TOP_SPAN_NS;
	history = filter_open_history(cli);
	if (!history)
		return CLI_FAILED;
	table = table_new(cli->out, cli->color, kind->columns, kind->n_columns);
	if (!table)
		return cli_nomem(cli);
	answers = (struct answers){ cli, table, kind->what };
	r = history_top(history, kind->what, &filter, (size_t)limit, on_top, &answers, &coverage,
	                &diag);
	return finish(cli, table, r, &diag, &coverage);
}

static const struct table_column who_columns[] = {
	{ "ADDRESS", false }, { "NAME", false },  { "WORKLOAD", false },
	{ "CLIENT", false },  { "FIRST", false }, { "LAST", false },
	{ "UNTIL", false },   { "COUNT", true },  { "RULE", false },
};

int verb_who(struct cli *cli, const char *const *words, size_t n_words)
{
	CLEANUP(history_free) struct history *history = NULL;
	CLEANUP(table_free) struct table *table = NULL;
	CLEANUP(diag_fini) struct diag diag = { 0 };
	struct history_coverage coverage = { 0 };
	struct history_filter filter;
	struct answers answers;
	struct prefix prefix;
	uint64_t at;
	int r;

	(void)n_words; /* exactly one */
	if (filter_prefix(cli, words[0], &prefix) < 0 || cli_moment(cli, OPT_AT, 0, &at) < 0 ||
	    filter_read(cli, &filter) < 0)
		return CLI_FAILED;
	if (args_has(&cli->args, OPT_AT) && (filter.since_ns || filter.until_ns))
		return cli_fail(
		    cli, "--at is one moment, --since and --until are a span: give one of them");
	history = filter_open_history(cli);
	if (!history)
		return CLI_FAILED;
	table = table_new(cli->out, cli->color, who_columns, ARRAY_LEN(who_columns));
	if (!table)
		return cli_nomem(cli);
	answers = (struct answers){ cli, table, HISTORY_TOP_NAMES };
	r = history_who(history, &prefix, at, &filter, on_who, &answers, &coverage, &diag);
	return finish(cli, table, r, &diag, &coverage);
}
