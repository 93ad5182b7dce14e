/* status.c - health on one screen. */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "json.h"
#include "request.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "verbs.h"

static const struct table_column role_columns[] = {
	{ "ROLE", false },    { "PID", true },    { "STATE", false },
	{ "RESTARTS", true }, { "SINCE", false },
};

/* The counters worth a rate; the rest are events. */
static const char *const rated[] = { "answers", "denied", "cache_hits", "upstream_queries" };

static int keep_object(json_t *object, void *arg)
{
	json_t **kept = arg;

	if (!*kept)
		*kept = json_incref(object);
	return ERR_OK;
}

static int ask_status(const struct cli *cli, json_t **ret_object)
{
	const char *const ask[] = { "status" };
	int status = request_words(cli, keep_object, ret_object, ask, ARRAY_LEN(ask));

	if (status != CLI_FAILED && !*ret_object)
		return cli_fail(cli, "sallyportd sent no status");
	return status;
}

/* Rates over the interval between two answers, into the later one: {"rates":{name: per second}}. */
static int add_rates(json_t *later, const json_t *earlier, double seconds)
{
	json_t *now = json_object_get(later, "counters");
	const json_t *then = json_object_get(earlier, "counters");
	json_t *rates = json_object();
	const char *name;
	json_t *value;

	json_object_foreach(now, name, value)
	{
		int64_t delta = (int64_t)json_integer_value(value) - json_number(then, name);

		if (delta > 0 && seconds > 0)
			json_object_set_new(rates, name, json_real((double)delta / seconds));
	}
	return json_object_set_new(later, "rates", rates) < 0 ? ERR_NOMEM : ERR_OK;
}

static void print_list(const struct cli *cli, const char *title, const json_t *object,
                       const char *key)
{
	const json_t *array = json_object_get(object, key);

	for (size_t i = 0; i < json_array_size(array); i++) {
		const char *text = json_string_value(json_array_get(array, i));

		fprintf(cli->out, "%-11s", i == 0 ? title : "");
		text_put(cli->out, TEXT_PROSE, text ? text : "?");
		putc('\n', cli->out);
	}
}

/* What is excepted from validation just now. */
static void print_ntas(const struct cli *cli, const json_t *ntas)
{
	for (size_t i = 0; i < json_array_size(ntas); i++) {
		const json_t *nta = json_array_get(ntas, i);
		char time[CLI_TIME_LEN];

		fprintf(cli->out, "%-11s", i == 0 ? "unchecked" : "");
		text_put(cli->out, TEXT_NAME, json_text(nta, "name"));
		fputs(" until ", cli->out);
		text_put(cli->out, TEXT_PROSE, cli_time_text(cli, json_text(nta, "until"), time));
		putc('\n', cli->out);
	}
}

/* "dnssec     12 secure, 3 insecure, 0 indeterminate, 2 bogus; 3 no_ds, 2 signature" */
static void print_validated(const struct cli *cli, const json_t *dnssec)
{
	static const char *const verdicts[] = { "secure", "insecure", "indeterminate", "bogus" };
	json_t *reasons = json_object_get(dnssec, "reasons"), *value;
	const char *between = "; ", *name;

	if (strcmp(json_text(dnssec, "mode"), "validate") != 0)
		return;
	fputs("dnssec     ", cli->out);
	for (size_t i = 0; i < ARRAY_LEN(verdicts); i++)
		fprintf(cli->out, "%s%" PRId64 " %s", i ? ", " : "",
		        json_number(dnssec, verdicts[i]), verdicts[i]);
	json_object_foreach(reasons, name, value)
	{
		fprintf(cli->out, "%s%" PRId64 " ", between, (int64_t)json_integer_value(value));
		text_put(cli->out, TEXT_NAME, name);
		between = ", ";
	}
	putc('\n', cli->out);
}

static void print_head(const struct cli *cli, const json_t *object)
{
	const json_t *pinholes = json_object_get(object, "pinholes");
	const json_t *applied = json_object_get(object, "policy_applied");
	char span[TEXT_SPAN_LEN];

	text_span(json_measure(object, "uptime_s"), span);
	fputs("sallyportd ", cli->out);
	text_put(cli->out, TEXT_NAME, json_text(object, "version"));
	fprintf(cli->out, ", pid %" PRId64 ", up %s, %" PRId64 " workers\n",
	        json_number(object, "pid"), span, json_number(object, "workers"));
	if (json_number(object, "policy_version") == 0) {
		cli_color(cli, COLOR_RED);
		fputs("policy     none: every query is refused; `sallyport policy apply FILE`",
		      cli->out);
		cli_color(cli, COLOR_NONE);
	} else {
		fprintf(cli->out, "policy     version %" PRId64,
		        json_number(object, "policy_version"));
	}
	if (json_number(object, "policy_version") != 0 && json_is_null(applied)) {
		cli_color(cli, COLOR_YELLOW);
		fputs(", not in force everywhere yet", cli->out);
		cli_color(cli, COLOR_NONE);
	}
	fprintf(cli->out, "\npinholes   %" PRId64 " open, room for %" PRId64 "\n",
	        json_number(pinholes, "open"), json_number(pinholes, "ledger_size"));
	fprintf(cli->out, "history    %" PRId64 " records not yet written\n",
	        json_number(json_object_get(object, "history"), "backlog_records"));
	print_validated(cli, json_object_get(object, "dnssec"));
	print_list(cli, "listening", object, "listeners");
	print_list(cli, "upstreams", object, "upstreams");
	print_ntas(cli, json_object_get(object, "negative_trust_anchors"));
}

static int print_roles(const struct cli *cli, const json_t *object)
{
	CLEANUP(table_free)
	struct table *table =
	    table_new(cli->out, cli->color, role_columns, ARRAY_LEN(role_columns));
	const json_t *roles = json_object_get(object, "roles");

	if (!table)
		return ERR_NOMEM;
	for (size_t i = 0; i < json_array_size(roles); i++) {
		const json_t *role = json_array_get(roles, i);
		const char *state = json_text(role, "state");
		char time[CLI_TIME_LEN];

		table_put(table, COLOR_NONE, TEXT_NAME, json_text(role, "role"));
		table_putf(table, "%" PRId64, json_number(role, "pid"));
		table_put(table,
		          strcmp(state, "running") == 0 || strcmp(state, "ready") == 0
		              ? COLOR_GREEN
		              : COLOR_YELLOW,
		          TEXT_PROSE, state);
		table_putf(table, "%" PRId64, json_number(role, "restarts"));
		table_put(table, COLOR_NONE, TEXT_PROSE,
		          cli_time_text(cli, json_text(role, "since"), time));
	}
	return table_flush(table);
}

/* A heading, then "name  number" for each that is not zero. */
static void print_numbers(const struct cli *cli, const char *title, json_t *numbers)
{
	const char *name;
	json_t *value;
	size_t n = 0;

	json_object_foreach(numbers, name, value)
	{
		if (json_number_value(value) == 0)
			continue;
		if (n++ == 0)
			fprintf(cli->out, "%s\n", title);
		fputs("  ", cli->out);
		text_put(cli->out, TEXT_NAME, name);
		fprintf(cli->out, "%*s", (int)(strlen(name) < 26 ? 26 - strlen(name) : 1), "");
		if (json_is_real(value))
			fprintf(cli->out, "%.1f\n", json_real_value(value));
		else
			fprintf(cli->out, "%" PRId64 "\n", (int64_t)json_integer_value(value));
	}
}

static void print_averages(const struct cli *cli, const json_t *object)
{
	const json_t *counters = json_object_get(object, "counters");
	double uptime = json_measure(object, "uptime_s");
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(rated) && uptime > 0; i++) {
		if (!json_object_get(counters, rated[i]))
			continue;
		fprintf(cli->out, "%s%.1f %s/s", n++ == 0 ? "rates      since the start: " : ", ",
		        (double)json_number(counters, rated[i]) / uptime, rated[i]);
	}
	if (n > 0)
		putc('\n', cli->out);
}

static int print_status(const struct cli *cli, const json_t *object)
{
	json_t *rates = json_object_get(object, "rates");
	const json_t *warnings = json_object_get(object, "warnings");

	print_head(cli, object);
	if (!rates)
		print_averages(cli, object);
	putc('\n', cli->out);
	if (print_roles(cli, object) < 0)
		return cli_nomem(cli);
	if (rates)
		print_numbers(cli, "\nper second", rates);
	print_numbers(cli, "\ncounters", json_object_get(object, "counters"));
	cli_color(cli, COLOR_YELLOW);
	print_numbers(cli, "\nlimits hit", json_object_get(object, "limits_hit"));
	if (json_array_size(warnings) > 0) {
		fputs("\n", cli->out);
		print_list(cli, "warnings", object, "warnings");
	}
	cli_color(cli, COLOR_NONE);
	return CLI_YES;
}

int verb_status(struct cli *cli, const char *const *words, size_t n_words)
{
	CLEANUP(json_decref) json_t *object = NULL;
	CLEANUP(json_decref) json_t *later = NULL;
	const char *interval = cli->args.values[OPT_INTERVAL];
	uint64_t ms = 0;
	int status;

	(void)words; /* takes none */
	(void)n_words;
	if (interval && (clock_parse_duration(interval, &ms) < 0 || ms == 0 || ms > 3600000))
		return cli_fail(cli, "--interval is a span up to 1h, as 5s, not '%s'", interval);
	status = ask_status(cli, &object);
	if (status == CLI_FAILED)
		return status;
	if (interval) {
		const struct timespec pause = { .tv_sec = (time_t)(ms / 1000),
			                        .tv_nsec = (long)(ms % 1000) * 1000000 };
		uint64_t began = clock_mono_ns();

		nanosleep(&pause, NULL);
		status = ask_status(cli, &later);
		if (status == CLI_FAILED)
			return status;
		if (add_rates(later, object, (double)(clock_mono_ns() - began) / (double)NS_PER_S) <
		    0)
			return cli_nomem(cli);
		json_decref(object);
		object = TAKE(later);
	}
	if (cli->json)
		return json_line(cli->out, object) < 0 ? cli_nomem(cli) : status;
	return print_status(cli, object) == CLI_YES ? status : CLI_FAILED;
}
