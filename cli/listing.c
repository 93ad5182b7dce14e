#include "listing.h"

#include <inttypes.h>

#include "sallyport/err.h"

struct listing {
	const struct cli *cli;
	struct table *table;
	listing_row_cb *row;
};

static int on_object(json_t *object, void *arg)
{
	struct listing *listing = arg;

	if (listing->cli->json)
		return json_line(listing->cli->out, object);
	listing->row(listing->cli, listing->table, object);
	return ERR_OK;
}

int listing_run(const struct cli *cli, const char *const *words, size_t n_words,
                const struct table_column *columns, size_t n_columns, listing_row_cb *row)
{
	CLEANUP(table_free)
	struct table *table = table_new(cli->out, cli->color, columns, n_columns);
	struct listing listing = { .cli = cli, .table = table, .row = row };
	int status;

	if (!table)
		return cli_nomem(cli);
	status = request_words(cli, on_object, &listing, words, n_words);
	return table_flush(table) < 0 ? cli_nomem(cli) : status;
}

void listing_put_actor(struct table *table, const json_t *object, const char *nobody)
{
	const char *user = json_string_value(json_object_get(object, "user"));

	if (user)
		table_put(table, COLOR_NONE, TEXT_PROSE, user);
	else if (json_is_integer(json_object_get(object, "uid")))
		table_putf(table, "uid %" PRId64, json_number(object, "uid"));
	else
		table_put(table, COLOR_DIM, TEXT_PROSE, nobody);
}
