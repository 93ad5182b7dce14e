/* lists.c - the verbs that show what the keeper lists: workloads, profiles, pinholes, versions. */
#include <inttypes.h>

#include "listing.h"
#include "verbs.h"

static const struct table_column workload_columns[] = {
	{ "WORKLOAD", false }, { "PROFILE", false }, { "MODE", false },
	{ "PINHOLES", true },  { "SOURCES", false }, { "LISTENERS", false },
};

static enum color mode_color(const char *mode)
{
	return mode[0] == 'o' ? COLOR_YELLOW : COLOR_NONE; /* observe: the exception to notice */
}

static void put_joined(struct table *table, const json_t *object, const char *key)
{
	CLEANUP(free) char *joined = json_join(object, key, " ", "-");

	if (!joined)
		table->failed = true;
	table_put(table, COLOR_NONE, TEXT_PROSE, joined);
}

static void workload_row(const struct cli *cli, struct table *table, const json_t *object)
{
	(void)cli; /* no time in it */
	table_put(table, COLOR_BOLD, TEXT_PROSE, json_text(object, "workload"));
	table_put(table, COLOR_NONE, TEXT_PROSE, json_text(object, "profile"));
	table_put(table, mode_color(json_text(object, "mode")), TEXT_PROSE,
	          json_text(object, "mode"));
	table_putf(table, "%" PRId64, json_number(object, "pinholes"));
	put_joined(table, object, "sources");
	put_joined(table, object, "listeners");
}

int verb_workload_list(struct cli *cli, const char *const *words, size_t n_words)
{
	const char *const ask[] = { "workload-list" };

	(void)words; /* takes none */
	(void)n_words;
	return listing_run(cli, ask, ARRAY_LEN(ask), workload_columns, ARRAY_LEN(workload_columns),
	                   workload_row);
}

static const struct table_column profile_columns[] = {
	{ "PROFILE", false }, { "MODE", false }, { "DENIED", false },   { "ALLOW", true },
	{ "DENY", true },     { "FEEDS", true }, { "WORKLOADS", true }, { "PINHOLE", false },
};

static void profile_row(const struct cli *cli, struct table *table, const json_t *object)
{
	const json_t *pinhole = json_object_get(object, "pinhole");
	static const char *const numbers[] = { "allow", "deny", "feeds", "workloads" };

	(void)cli; /* no time in it */
	table_put(table, COLOR_BOLD, TEXT_PROSE, json_text(object, "profile"));
	table_put(table, mode_color(json_text(object, "mode")), TEXT_PROSE,
	          json_text(object, "mode"));
	table_put(table, COLOR_NONE, TEXT_PROSE, json_text(object, "denied"));
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		const json_t *value = json_object_get(object, numbers[i]);

		/* Feeds may come as a number or as a list of their names. */
		if (json_is_array(value))
			table_putf(table, "%zu", json_array_size(value));
		else
			table_putf(table, "%" PRId64, json_number(object, numbers[i]));
	}
	table_putf(table,
	           "floor %" PRId64 "s, grace %" PRId64 "s, max %" PRId64 "s, %" PRId64
	           " an answer, %" PRId64 " in all",
	           json_number(pinhole, "floor_s"), json_number(pinhole, "grace_s"),
	           json_number(pinhole, "max_s"), json_number(pinhole, "addresses"),
	           json_number(pinhole, "per_workload"));
}

int verb_profile_list(struct cli *cli, const char *const *words, size_t n_words)
{
	const char *const ask[] = { "profile-list" };

	(void)words; /* takes none */
	(void)n_words;
	return listing_run(cli, ask, ARRAY_LEN(ask), profile_columns, ARRAY_LEN(profile_columns),
	                   profile_row);
}

static const struct table_column pinhole_columns[] = {
	{ "WORKLOAD", false }, { "SOURCE", false }, { "DESTINATION", false }, { "PORT", false },
	{ "AGE", true },       { "LEFT", true },    { "USE", true },          { "NAME", false },
	{ "RULE", false },     { "POLICY", true },  { "QUERY", false },
};

static void pinhole_row(const struct cli *cli, struct table *table, const json_t *object)
{
	const json_t *port = json_object_get(object, "port");
	const json_t *chain = json_object_get(object, "chain");
	const char *rule = json_string_value(json_object_get(object, "rule"));
	const json_t *query = json_object_get(object, "query_id");
	const json_t *flows = json_object_get(json_object_get(object, "use"), "flows");
	char age[TEXT_SPAN_LEN], left[TEXT_SPAN_LEN];
	CLEANUP(free) char *links = json_join(object, "chain", " > ", "");

	(void)cli; /* ages, not times */
	text_span(json_measure(object, "age_s"), age);
	text_span(json_measure(object, "left_s"), left);
	table_put(table, COLOR_BOLD, TEXT_PROSE, json_text(object, "workload"));
	table_put(table, COLOR_NONE, TEXT_NAME, json_text(object, "source"));
	table_put(table, COLOR_NONE, TEXT_NAME, json_text(object, "destination"));
	if (json_is_integer(port))
		table_putf(table, "%s/%" PRId64, json_text(object, "proto"),
		           json_number(object, "port"));
	else
		table_putf(table, "%s", json_text(object, "proto"));
	table_put(table, COLOR_NONE, TEXT_PROSE, age);
	table_put(table, COLOR_NONE, TEXT_PROSE, left);
	if (json_is_integer(flows))
		table_putf(table, "%" PRId64, (int64_t)json_integer_value(flows));
	else
		table_put(table, COLOR_DIM, TEXT_PROSE, "?");
	table_putf(table, "%s%s%s", json_text(object, "name"), json_array_size(chain) ? " > " : "",
	           links ? links : "");
	table_put(table, COLOR_NONE, TEXT_PROSE, rule);
	table_putf(table, "%" PRId64, json_number(object, "policy_version"));
	if (json_is_string(query))
		table_put(table, COLOR_NONE, TEXT_NAME, json_string_value(query));
	else
		table_putf(table, "%" PRId64, json_number(object, "query_id"));
}

int verb_pinholes(struct cli *cli, const char *const *words, size_t n_words)
{
	const char *const ask[] = { "pinholes", cli->args.values[OPT_WORKLOAD] };

	(void)words; /* takes none */
	(void)n_words;
	return listing_run(cli, ask, ask[1] ? 2 : 1, pinhole_columns, ARRAY_LEN(pinhole_columns),
	                   pinhole_row);
}

static const struct table_column version_columns[] = {
	{ "VERSION", true },   { "APPLIED", false }, { "BY", false },   { "RULES", true },
	{ "WORKLOADS", true }, { "SHA256", false },  { "FILE", false }, { "COMMENT", false },
};

static void version_row(const struct cli *cli, struct table *table, const json_t *object)
{
	const char *user = json_string_value(json_object_get(object, "user"));
	bool current = json_truth(object, "current");
	char time[CLI_TIME_LEN];

	table_putf(table, "%s%" PRId64, current ? "*" : "", json_number(object, "version"));
	table_put(table, COLOR_NONE, TEXT_PROSE,
	          cli_time_text(cli, json_text(object, "time"), time));
	if (user)
		table_put(table, COLOR_NONE, TEXT_PROSE, user);
	else
		table_putf(table, "uid %" PRId64, json_number(object, "uid"));
	table_putf(table, "%" PRId64, json_number(object, "rules"));
	table_putf(table, "%" PRId64, json_number(object, "workloads"));
	table_putf(table, "%.12s", json_text(object, "sha256"));
	table_put(table, COLOR_NONE, TEXT_PROSE, json_text(object, "file"));
	table_put(table, COLOR_NONE, TEXT_PROSE, json_text(object, "comment"));
}

int verb_policy_versions(struct cli *cli, const char *const *words, size_t n_words)
{
	const char *const ask[] = { "policy-versions" };

	(void)words; /* takes none */
	(void)n_words;
	return listing_run(cli, ask, ARRAY_LEN(ask), version_columns, ARRAY_LEN(version_columns),
	                   version_row);
}
