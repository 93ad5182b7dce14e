/* history_verb.c - history: what was asked, given and refused, in order of time. */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "filter.h"
#include "json.h"
#include "record_json.h"
#include "sallyport/err.h"
#include "verbs.h"

enum {
	NEWEST_DEFAULT = 20,
	NEWEST_MAX = 5000, /* rows held in memory to turn them round */
	POLL_MS = 200,
};

static const struct table_column columns[] = {
	{ "TIME", false }, { "WORKLOAD", false }, { "CLIENT", false },  { "NAME", false },
	{ "TYPE", false }, { "VERDICT", false },  { "BECAUSE", false }, { "RCODE", false },
	{ "COUNT", true }, { "ANSWER", false },
};

static enum color verdict_color(const char *verdict)
{
	switch (verdict[0]) {
	case 'd':
		return COLOR_RED;
	case 'a':
		return COLOR_GREEN;
	default:
		return COLOR_CYAN;
	}
}

static void put_gap(const struct cli *cli, struct table *table, const json_t *object)
{
	const json_t *lost = json_object_get(object, "lost");
	const char *note = json_text(object, "note");
	char from[CLI_TIME_LEN], until[CLI_TIME_LEN];
	CLEANUP(free)
	char *line = text_format(
	    "%s  GAP until %s (%s): missing %" PRId64 " allowed, %" PRId64 " denied, %" PRId64
	    " local; %" PRId64 " dropped by the kernel%s%s",
	    cli_time_text(cli, json_text(object, "time"), from),
	    cli_time_text(cli, json_text(object, "last"), until), json_text(object, "gap"),
	    json_number(lost, "allow"), json_number(lost, "deny"), json_number(lost, "local"),
	    json_number(object, "kernel_drops"), note[0] ? "; " : "", note);

	table_line(table, COLOR_YELLOW, line ? line : "GAP");
}

/* The rule or feed where there is one: "allow db.corp.test", "feed malware", "no rule". */
static void put_because(struct table *table, const json_t *object)
{
	const char *rule = json_text(object, "rule");
	const char *feed = json_text(object, "feed");
	const char *reason = json_text(object, "reason");

	if (feed[0])
		table_putf(table, "feed %s", feed);
	else if (rule[0] && strcmp(reason, "rule") == 0)
		table_put(table, COLOR_NONE, TEXT_PROSE, rule);
	else if (rule[0])
		table_putf(table, "%s (%s)", reason, rule);
	else
		table_put(table, COLOR_NONE, TEXT_PROSE, reason);
}

/* Addresses where there are some, else the data of the first record. */
static void put_answer(struct table *table, const json_t *object)
{
	const json_t *answers = json_object_get(object, "answers");
	CLEANUP(free) char *joined = json_join(object, "addresses", " ", "");
	size_t n = json_array_size(answers);

	if (json_is_null(answers))
		table_put(table, COLOR_NONE, TEXT_PROSE, "(not kept)");
	else if (joined && joined[0])
		table_put(table, COLOR_NONE, TEXT_PROSE, joined);
	else if (n > 0)
		table_putf(table, "%s %s%s", json_text(json_array_get(answers, 0), "type"),
		           json_text(json_array_get(answers, 0), "data"), n > 1 ? " ..." : "");
	else
		table_put(table, COLOR_NONE, TEXT_PROSE, "-");
}

static void put_query(const struct cli *cli, struct table *table, const json_t *object)
{
	const char *verdict = json_text(object, "verdict");
	char time[CLI_TIME_LEN];

	table_put(table, COLOR_NONE, TEXT_PROSE,
	          cli_time_text(cli, json_text(object, "time"), time));
	table_put(table, COLOR_NONE, TEXT_PROSE,
	          json_string_value(json_object_get(object, "workload")));
	table_put(table, COLOR_NONE, TEXT_PROSE,
	          json_string_value(json_object_get(object, "client")));
	table_put(table, COLOR_BOLD, TEXT_NAME, json_string_value(json_object_get(object, "name")));
	table_put(table, COLOR_NONE, TEXT_NAME, json_string_value(json_object_get(object, "type")));
	table_put(table, verdict_color(verdict), TEXT_NAME, verdict);
	put_because(table, object);
	table_put(table, COLOR_NONE, TEXT_NAME, json_text(object, "rcode"));
	table_putf(table, "%" PRId64, json_number(object, "count"));
	put_answer(table, object);
}

static int show(const struct cli *cli, struct table *table, const json_t *object)
{
	if (cli->json)
		return json_line(cli->out, object);
	if (json_object_get(object, "gap"))
		put_gap(cli, table, object);
	else
		put_query(cli, table, object);
	return ERR_OK;
}

static int show_row(const struct cli *cli, struct table *table, const struct history_row *row)
{
	CLEANUP(json_decref) json_t *object = record_json(row);

	return object ? show(cli, table, object) : ERR_NOMEM;
}

/* Rows that came newest first and shall be shown newest last, as lines of JSON. */
struct held {
	char **lines;
	size_t n, cap;
};

static void held_fini_cleanup(struct held *held)
{
	for (size_t i = 0; i < held->n; i++)
		free(held->lines[i]);
	free(held->lines);
}

static int held_add(struct held *held, const struct history_row *row)
{
	CLEANUP(json_decref) json_t *object = record_json(row);

	if (held->n == held->cap) {
		size_t cap = held->cap ? held->cap * 2 : 64;
		char **lines = realloc(held->lines, cap * sizeof(*lines));

		if (!lines)
			return ERR_NOMEM;
		held->lines = lines;
		held->cap = cap;
	}
	held->lines[held->n] = object ? json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
	return held->lines[held->n] ? (held->n++, ERR_OK) : ERR_NOMEM;
}

static int held_show(const struct cli *cli, struct table *table, const struct held *held)
{
	for (size_t i = held->n; i-- > 0;) {
		CLEANUP(json_decref) json_t *object = NULL;
		int r;

		if (cli->json) {
			fprintf(cli->out, "%s\n", held->lines[i]);
			continue;
		}
		object = json_loads(held->lines[i], 0, NULL);
		r = object ? show(cli, table, object) : ERR_NOMEM;
		if (r < 0)
			return r;
	}
	return ERR_OK;
}

/* Far more rows than are turned round in memory are read twice: once to find where the newest of
 * them begin, then from there in order. Sets the filter for the second time. */
static int find_start(struct history *history, struct history_filter *filter, uint64_t *ret_id,
                      struct diag *diag)
{
	CLEANUP(history_iter_free) struct history_iter *iter = NULL;
	const struct history_row *row;
	uint64_t n = 0, since_ns = 0, id = 0;
	int r = history_query(history, filter, &iter, diag);

	while (r >= 0 && (r = history_next(iter, &row)) > 0) {
		if (row->kind != HISTORY_QUERY)
			continue;
		n++;
		since_ns = row->time_ns;
		id = row->id;
	}
	if (r < 0)
		return r;
	if (n == filter->limit) {
		filter->since_ns = since_ns;
		*ret_id = id;
	}
	filter->oldest_first = true;
	filter->limit = 0;
	return ERR_OK;
}

/* @start_id: leave out the rows of the filter's first moment that stand before this one; 0: none.
 */
static int list_rows(const struct cli *cli, struct history_iter *iter,
                     const struct history_filter *filter, uint64_t start_id, struct table *table,
                     uint64_t *ret_n)
{
	CLEANUP(held_fini) struct held held = { 0 };
	const struct history_row *row;
	int r;

	*ret_n = 0;
	while ((r = history_next(iter, &row)) > 0) {
		if (start_id && row->id != start_id && row->time_ns <= filter->since_ns)
			continue;
		start_id = 0;
		*ret_n += row->kind == HISTORY_QUERY;
		r = filter->oldest_first ? show_row(cli, table, row) : held_add(&held, row);
		if (r < 0)
			return r;
		if (held.n == (size_t)2 * NEWEST_MAX)
			break; /* so many gaps among them: what is held is shown */
	}
	return r < 0 ? r : held_show(cli, table, &held);
}

/* How many rows, and from which end. */
static int read_order(const struct cli *cli, struct history_filter *filter, bool *ret_defaulted)
{
	const char *const *values = cli->args.values;
	static const enum opt numbers[] = { OPT_LIMIT, OPT_FIRST, OPT_LAST };
	bool ranged = values[OPT_SINCE] || values[OPT_UNTIL] || values[OPT_ID];
	size_t n = 0;

	filter->limit = ranged || values[OPT_FOLLOW] ? 0 : NEWEST_DEFAULT;
	*ret_defaulted = filter->limit != 0;
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		if (!values[numbers[i]])
			continue;
		n++;
		*ret_defaulted = false;
		if (args_number(values[numbers[i]], INT64_MAX, &filter->limit) < 0)
			return cli_fail(cli, "'%s' is no number of rows", values[numbers[i]]);
	}
	if (n > 1)
		return cli_fail(cli,
		                "--limit, --first and --last each say how many rows: give one");
	if (values[OPT_LAST] && values[OPT_OLDEST])
		return cli_fail(cli,
		                "--last are the newest rows and --oldest the oldest: give one");
	filter->oldest_first = values[OPT_FIRST] || values[OPT_OLDEST] || filter->limit == 0;
	if (*ret_defaulted && filter->oldest_first)
		*ret_defaulted = false;
	if (values[OPT_FOLLOW] && (values[OPT_FIRST] || values[OPT_LAST] || values[OPT_OLDEST] ||
	                           values[OPT_UNTIL] || values[OPT_ID]))
		return cli_fail(cli, "--follow goes with filters, --since and --limit only");
	return CLI_YES;
}

/* Rows as they come, until @limit of them (0: for ever). */
static int follow(const struct cli *cli, struct history *history,
                  const struct history_filter *filter, struct table *table)
{
	const struct timespec pause = { .tv_nsec = POLL_MS * 1000000L };
	CLEANUP(history_iter_free) struct history_iter *iter = NULL;
	CLEANUP(diag_fini) struct diag diag = { 0 };
	const struct history_row *row;
	uint64_t n = 0;
	int r;

	r = history_follow(history, filter, &iter, &diag);
	cli_diag(cli, &diag);
	while (r >= 0) {
		while ((r = history_next(iter, &row)) > 0) {
			n += row->kind == HISTORY_QUERY;
			r = show_row(cli, table, row);
			if (r < 0 || (filter->limit && n == filter->limit))
				break;
		}
		if (table_flush(table) < 0)
			r = ERR_NOMEM;
		if (fflush(cli->out) != 0 || (filter->limit && n >= filter->limit))
			break;
		if (r == 0)
			nanosleep(&pause, NULL);
	}
	return r < 0 && diag.n_errors == 0
	           ? cli_fail(cli, "the history cannot be read: %s", err_str(r))
	       : r < 0 ? CLI_FAILED
	               : CLI_YES;
}

static int list(const struct cli *cli, struct history *history, struct history_filter *filter,
                struct table *table, bool defaulted)
{
	CLEANUP(history_iter_free) struct history_iter *iter = NULL;
	CLEANUP(diag_fini) struct diag diag = { 0 };
	struct history_coverage coverage;
	uint64_t n = 0, start_id = 0;
	int r;

	r = !filter->oldest_first && filter->limit > NEWEST_MAX
	        ? find_start(history, filter, &start_id, &diag)
	        : ERR_OK;
	if (r == 0)
		r = history_query(history, filter, &iter, &diag);
	cli_diag(cli, &diag);
	if (r < 0)
		return diag.n_errors ? CLI_FAILED
		                     : cli_fail(cli, "the history cannot be read: %s", err_str(r));
	r = list_rows(cli, iter, filter, start_id, table, &n);
	if (table_flush(table) < 0)
		r = ERR_NOMEM;
	if (r < 0)
		return cli_fail(cli, "the history cannot be read on: %s", err_str(r));
	history_iter_coverage(iter, &coverage);
	filter_note_coverage(cli, &coverage);
	if (defaulted && n == filter->limit)
		cli_note(cli, "the %" PRIu64 " newest rows; --limit N or --since TIME shows more",
		         n);
	return CLI_YES;
}

int verb_history(struct cli *cli, const char *const *words, size_t n_words)
{
	CLEANUP(table_free)
	struct table *table = table_new(cli->out, cli->color, columns, ARRAY_LEN(columns));
	CLEANUP(history_free) struct history *history = NULL;
	struct history_filter filter;
	bool defaulted;

	(void)words; /* takes none */
	(void)n_words;
	if (!table)
		return cli_nomem(cli);
	if (filter_read(cli, &filter) < 0 || read_order(cli, &filter, &defaulted) != CLI_YES)
		return CLI_FAILED;
	history = filter_open_history(cli);
	if (!history)
		return CLI_FAILED;
	if (args_has(&cli->args, OPT_FOLLOW))
		return follow(cli, history, &filter, table);
	return list(cli, history, &filter, table, defaulted);
}
