/* audit_verb.c - who changed what: the keeper's audit trail, newest first. */
#include <inttypes.h>

#include "listing.h"
#include "sallyport/err.h"
#include "verbs.h"

enum { ROWS_SHOWN = 50 }; /* unless a time or a limit is given */

static const struct table_column columns[] = {
	{ "TIME", false },  { "BY", false },     { "ACTION", false },
	{ "POLICY", true }, { "DETAIL", false },
};

static void audit_row(const struct cli *cli, struct table *table, const json_t *object)
{
	char time[CLI_TIME_LEN];

	table_put(table, COLOR_NONE, TEXT_PROSE,
	          cli_time_text(cli, json_text(object, "time"), time));
	listing_put_actor(table, object, "itself");
	table_put(table, COLOR_BOLD, TEXT_PROSE, json_text(object, "action"));
	if (json_is_integer(json_object_get(object, "policy_version")))
		table_putf(table, "%" PRId64, json_number(object, "policy_version"));
	else
		table_put(table, COLOR_DIM, TEXT_PROSE, "-");
	table_put(table, COLOR_NONE, TEXT_PROSE, json_text(object, "detail"));
}

int verb_audit(struct cli *cli, const char *const *words, size_t n_words)
{
	const char *limit_text = cli->args.values[OPT_LIMIT];
	bool ranged = args_has(&cli->args, OPT_SINCE) || args_has(&cli->args, OPT_UNTIL);
	uint64_t since = 0, until = 0, limit = ranged ? 0 : ROWS_SHOWN;
	char from[24], to[24], rows[24];
	const char *const ask[] = { "audit", from, to, rows };

	(void)words; /* takes none */
	(void)n_words;
	if (cli_moment(cli, OPT_SINCE, 0, &since) < 0 || cli_moment(cli, OPT_UNTIL, 0, &until) < 0)
		return CLI_FAILED;
	if (limit_text && args_number(limit_text, INT64_MAX, &limit) < 0)
		return cli_fail(cli, "--limit wants a number of rows, not '%s'", limit_text);
	snprintf(from, sizeof(from), "%" PRIu64, since);
	snprintf(to, sizeof(to), "%" PRIu64, until);
	snprintf(rows, sizeof(rows), "%" PRIu64, limit);
	return listing_run(cli, ask, ARRAY_LEN(ask), columns, ARRAY_LEN(columns), audit_row);
}
