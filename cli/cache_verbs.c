/* cache_verbs.c - flush and reload: one request, one line of answer. */
#include <inttypes.h>

#include "json.h"
#include "request.h"
#include "sallyport/err.h"
#include "verbs.h"

static int on_flushed(json_t *object, void *arg)
{
	const struct cli *cli = arg;

	if (cli->json)
		return json_line(cli->out, object);
	fprintf(cli->out, "%" PRId64 " cached answers forgotten\n", json_number(object, "flushed"));
	return ERR_OK;
}

int verb_flush(struct cli *cli, const char *const *words, size_t n_words)
{
	bool all = args_has(&cli->args, OPT_ALL);
	bool below = args_has(&cli->args, OPT_BELOW);
	const char *const ask[] = { "flush", all ? "--all" : n_words ? words[0] : "", "below" };

	if (all == (n_words > 0) || (all && below))
		return cli_fail(
		    cli, "flush wants a NAME (and --below, for all names below it), or --all");
	return request_words(cli, on_flushed, cli, ask, below ? 3 : 2);
}

static int on_reloaded(json_t *object, void *arg)
{
	const struct cli *cli = arg;
	const json_t *warnings = json_object_get(object, "warnings");

	if (cli->json)
		return json_line(cli->out, object);
	for (size_t i = 0; i < json_array_size(warnings); i++) {
		const char *warning = json_string_value(json_array_get(warnings, i));

		cli_note(cli, "warning: %s", warning ? warning : "?");
	}
	fputs("the configuration was read again\n", cli->out);
	return ERR_OK;
}

int verb_reload(struct cli *cli, const char *const *words, size_t n_words)
{
	const char *const ask[] = { "reload" };

	(void)words; /* takes none */
	(void)n_words;
	return request_words(cli, on_reloaded, cli, ask, ARRAY_LEN(ask));
}
