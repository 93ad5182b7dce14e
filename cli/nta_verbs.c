/* nta_verbs.c - negative trust anchors: add, list, remove. */
#include <inttypes.h>
#include <string.h>

#include "listing.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "verbs.h"

static const struct table_column columns[] = {
	{ "NAME", false }, { "UNTIL", false },  { "SOURCE", false },
	{ "BY", false },   { "REASON", false },
};

static void nta_row(const struct cli *cli, struct table *table, const json_t *object)
{
	char time[CLI_TIME_LEN];

	table_put(table, COLOR_BOLD, TEXT_NAME, json_text(object, "name"));
	table_put(table, COLOR_NONE, TEXT_PROSE,
	          cli_time_text(cli, json_text(object, "until"), time));
	table_put(table, COLOR_NONE, TEXT_PROSE, json_text(object, "source"));
	listing_put_actor(table, object, "-");
	table_put(table, COLOR_NONE, TEXT_PROSE, json_text(object, "reason"));
}

int verb_nta_list(struct cli *cli, const char *const *words, size_t n_words)
{
	const char *const ask[] = { "nta-list" };

	(void)words; /* takes none */
	(void)n_words;
	return listing_run(cli, ask, ARRAY_LEN(ask), columns, ARRAY_LEN(columns), nta_row);
}

static int on_changed(json_t *object, void *arg)
{
	const struct cli *cli = arg;
	char time[CLI_TIME_LEN];

	if (cli->json)
		return json_line(cli->out, object);
	text_put(cli->out, TEXT_NAME, json_text(object, "name"));
	if (json_truth(object, "removed"))
		fputs(" is validated again\n", cli->out);
	else
		fprintf(cli->out, " and all below it is not validated until %s\n",
		        cli_time_text(cli, json_text(object, "until"), time));
	return ERR_OK;
}

int verb_nta_add(struct cli *cli, const char *const *words, size_t n_words)
{
	const char *span = cli->args.values[OPT_FOR], *reason = cli->args.values[OPT_REASON];
	char seconds[24];
	const char *const ask[] = { "nta-add", words[0], seconds, reason ? reason : "" };
	uint64_t ms;

	(void)n_words; /* exactly one */
	if (!span)
		return cli_fail(cli, "nta add wants --for SPAN: an exception has an end");
	if (clock_parse_duration(span, &ms) < 0 || ms < 1000)
		return cli_fail(cli, "--for is a span of a second at least, as 1d, not '%s'", span);
	snprintf(seconds, sizeof(seconds), "%" PRIu64, ms / 1000);
	return request_words(cli, on_changed, cli, ask, ARRAY_LEN(ask));
}

int verb_nta_remove(struct cli *cli, const char *const *words, size_t n_words)
{
	const char *const ask[] = { "nta-remove", words[0] };

	(void)n_words; /* exactly one */
	return request_words(cli, on_changed, cli, ask, ARRAY_LEN(ask));
}
