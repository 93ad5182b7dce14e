/* anchors_verb.c - where trust begins: each zone's keys, their states, and the newest look at them.
 */
#include <inttypes.h>

#include "listing.h"
#include "verbs.h"

static const struct table_column columns[] = {
	{ "ZONE", false },  { "KEY", true },    { "ALGORITHM", true }, { "STATE", false },
	{ "SINCE", false }, { "UNTIL", false }, { "SOURCE", false },   { "LAST LOOK", false },
};

static void put_number(struct table *table, const json_t *object, const char *key)
{
	if (json_is_integer(json_object_get(object, key)))
		table_putf(table, "%" PRId64, json_number(object, key));
	else
		table_put(table, COLOR_DIM, TEXT_PROSE, "-");
}

static void put_time(const struct cli *cli, struct table *table, const json_t *object,
                     const char *key)
{
	char time[CLI_TIME_LEN];

	if (json_is_string(json_object_get(object, key)))
		table_put(table, COLOR_NONE, TEXT_PROSE,
		          cli_time_text(cli, json_text(object, key), time));
	else
		table_put(table, COLOR_DIM, TEXT_PROSE, "-");
}

static void put_look(const struct cli *cli, struct table *table, const json_t *zone)
{
	char time[CLI_TIME_LEN];

	if (json_is_string(json_object_get(zone, "asked")))
		table_putf(table, "%s: %s", cli_time_text(cli, json_text(zone, "asked"), time),
		           json_text(zone, "result"));
	else if (json_truth(zone, "kept_up"))
		table_put(table, COLOR_NONE, TEXT_PROSE, json_text(zone, "result"));
	else
		table_put(table, COLOR_DIM, TEXT_PROSE, "-");
}

static void zone_rows(const struct cli *cli, struct table *table, const json_t *zone)
{
	const json_t *keys = json_object_get(zone, "keys");

	for (size_t i = 0; i < json_array_size(keys); i++) {
		const json_t *key = json_array_get(keys, i);

		table_put(table, COLOR_BOLD, TEXT_NAME, json_text(zone, "zone"));
		put_number(table, key, "tag");
		put_number(table, key, "algorithm");
		table_put(table, json_truth(key, "trusted") ? COLOR_GREEN : COLOR_YELLOW,
		          TEXT_PROSE, json_text(key, "state"));
		put_time(cli, table, key, "since");
		put_time(cli, table, key, "until");
		table_put(table, COLOR_NONE, TEXT_PROSE, json_text(key, "source"));
		put_look(cli, table, zone);
	}
}

int verb_anchors(struct cli *cli, const char *const *words, size_t n_words)
{
	const char *const ask[] = { "anchors" };

	(void)words; /* takes none */
	(void)n_words;
	return listing_run(cli, ask, ARRAY_LEN(ask), columns, ARRAY_LEN(columns), zone_rows);
}
