/* explain.c - a verdict and its whole reasoning, for people. */
#include <inttypes.h>
#include <string.h>

#include "chain_svg.h"
#include "chain_text.h"
#include "file.h"
#include "json.h"
#include "request.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/name.h"
#include "sallyport/prefix.h"
#include "sallyport/verdict.h"
#include "verbs.h"

/* "a feed lists it" for "feed". */
static const char *reason_meaning(const char *reason)
{
#define EXPLAIN_MEANING_(sym, text, what) what,
	static const char *const meanings[] = { REASONS(EXPLAIN_MEANING_) };
	int r = reason_parse(reason);

	return r >= 0 && r < REASON_N ? meanings[r] : "";
}

static void put_field(const struct cli *cli, const char *title, const char *text)
{
	if (!text[0])
		return;
	fprintf(cli->out, "  %-10s ", title);
	text_put(cli->out, TEXT_PROSE, text);
	putc('\n', cli->out);
}

static void put_joined(const struct cli *cli, const char *title, const json_t *object,
                       const char *key, const char *none)
{
	CLEANUP(free) char *joined = json_join(object, key, ", ", none);

	put_field(cli, title, joined ? joined : "?");
}

/* "allow  db.corp.test. A  for app01 (profile app-server), policy version 3" */
static void put_verdict(const struct cli *cli, const json_t *object)
{
	const char *verdict = json_text(object, "verdict");
	enum color color = strcmp(verdict, "deny") == 0 ? COLOR_RED : COLOR_GREEN;

	cli_color(cli, color);
	text_put(cli->out, TEXT_NAME, verdict);
	cli_color(cli, COLOR_NONE);
	fputs("  ", cli->out);
	cli_color(cli, COLOR_BOLD);
	text_put(cli->out, TEXT_NAME, json_text(object, "name"));
	cli_color(cli, COLOR_NONE);
	putc(' ', cli->out);
	text_put(cli->out, TEXT_NAME, json_text(object, "type"));
	if (json_text(object, "workload")[0]) {
		fputs("  for ", cli->out);
		text_put(cli->out, TEXT_PROSE, json_text(object, "workload"));
		fputs(" (profile ", cli->out);
		text_put(cli->out, TEXT_PROSE, json_text(object, "profile"));
		putc(')', cli->out);
	}
	fprintf(cli->out, ", policy version %" PRId64 "\n", json_number(object, "policy_version"));
}

/* The rule that won, with its line; or the feed. */
static void put_winner(const struct cli *cli, const json_t *object)
{
	const char *reason = json_text(object, "reason");
	const char *meaning = reason_meaning(reason);
	CLEANUP(free)
	char *because = text_format("%s%s%s", reason, meaning[0] ? ": " : "", meaning);

	put_field(cli, "because", because ? because : reason);
	if (json_text(object, "rule")[0]) {
		CLEANUP(free)
		char *rule = text_format("%s (line %" PRId64 ")", json_text(object, "rule"),
		                         json_number(object, "rule_line"));

		put_field(cli, "rule", rule ? rule : "?");
	}
	put_field(cli, "feed", json_text(object, "feed"));
}

/* What follows from it: what is answered, what is opened, where it is asked. */
static void put_consequences(const struct cli *cli, const json_t *object)
{
	bool denied = strcmp(json_text(object, "verdict"), "deny") == 0;

	if (denied) {
		put_field(cli, "answer", json_text(object, "rcode_if_denied"));
	} else {
		put_joined(cli, "opens", object, "ports", "nothing");
		put_field(cli, "follow", json_text(object, "follow"));
	}
	if (json_truth(object, "internal"))
		put_field(cli, "internal", "its own addresses may be private");
	if (json_truth(object, "require_dnssec"))
		put_field(cli, "requires", "a secure answer (DNSSEC)");
	if (json_truth(object, "observed"))
		put_field(cli, "observed", "the profile observes: enforcing, this would be denied");
	put_field(cli, "special", json_text(object, "special"));
	if (json_array_size(json_object_get(object, "hosts")) > 0)
		put_joined(cli, "hosts", object, "hosts", "");
	if (!denied)
		put_field(cli, "asked at", json_text(object, "zone"));
}

static const char *const details[] = { "profile", "owner", "reason", "ticket", "expires" };

static void put_considered(const struct cli *cli, const json_t *item, size_t i)
{
	const char *rule = json_text(item, "rule");
	const char *verdict = json_text(item, "verdict");
	int64_t line = json_number(item, "line");
	const char *between = "\n       ";

	fprintf(cli->out, "  %zu. ", i + 1);
	cli_color(cli, strcmp(verdict, "deny") == 0 ? COLOR_RED : COLOR_GREEN);
	if (rule[0]) {
		text_put(cli->out, TEXT_PROSE, rule);
	} else {
		fputs("feed ", cli->out);
		text_put(cli->out, TEXT_PROSE, json_text(item, "feed"));
	}
	cli_color(cli, COLOR_NONE);
	if (line > 0)
		fprintf(cli->out, ", line %" PRId64, line);
	fputs(": ", cli->out);
	text_put(cli->out, TEXT_PROSE, json_text(item, "why"));
	for (size_t d = 0; d < ARRAY_LEN(details); d++) {
		const char *text = json_text(item, details[d]);

		if (!text[0])
			continue;
		fprintf(cli->out, "%s%s: ", between, details[d]);
		text_put(cli->out, TEXT_PROSE, text);
		between = ", ";
	}
	putc('\n', cli->out);
}

/* Who was asked about, and whether the keeper knew. */
struct explained {
	const struct cli *cli;
	const char *who;
	bool stranger;
	bool not_drawn; /* the picture could not be written; that has been told */
};

/* Returns 0 or an error that is told by the caller. */
static int draw(struct explained *explained, const json_t *dnssec)
{
	const struct cli *cli = explained->cli;
	const char *path = cli->args.values[OPT_SVG];
	CLEANUP(free) char *svg = NULL;
	FILE *out;
	size_t len;
	int r;

	if (!json_is_object(dnssec)) {
		cli_note(cli, "nothing was asked: there is no chain to draw");
		return ERR_OK;
	}
	out = open_memstream(&svg, &len);
	if (!out)
		return ERR_NOMEM;
	r = chain_svg_put(out, dnssec);
	if (fclose(out) != 0 || r < 0)
		return ERR_NOMEM;
	if (strcmp(path, "-") == 0) {
		fwrite(svg, 1, len, cli->out);
		return ERR_OK;
	}
	r = file_replace(path, svg, len);
	if (r == ERR_INVAL)
		cli_fail(cli, "%s is there and no file; name a file, or - for standard output",
		         path);
	else if (r < 0)
		cli_fail(cli, "%s: %s", path, err_str(r));
	explained->not_drawn = r < 0;
	return ERR_OK;
}

static int on_explained(json_t *object, void *arg)
{
	struct explained *explained = arg;
	const struct cli *cli = explained->cli;
	const json_t *considered = json_object_get(object, "considered");
	size_t n = json_array_size(considered);
	uint8_t addr[ADDR_LEN];

	/* An address of nobody's is refused, which is an answer. A misspelt name is none. */
	if (!json_is_string(json_object_get(object, "workload")) &&
	    addr_parse(explained->who, addr) < 0) {
		explained->stranger = true;
		return ERR_OK;
	}
	if (args_has(&cli->args, OPT_SVG)) {
		int r = draw(explained, json_object_get(object, "dnssec"));

		if (r < 0 || strcmp(cli->args.values[OPT_SVG], "-") == 0)
			return r;
	}
	if (cli->json)
		return json_line(cli->out, object);
	put_verdict(cli, object);
	put_winner(cli, object);
	put_consequences(cli, object);
	if (n == 0)
		fputs("\nno rule and no feed matches this name\n", cli->out);
	else
		fputs("\nconsidered, strongest first:\n", cli->out);
	for (size_t i = 0; i < n; i++)
		put_considered(cli, json_array_get(considered, i), i);
	if (json_is_object(json_object_get(object, "dnssec")))
		chain_text_put(cli, json_object_get(object, "dnssec"));
	else if (json_object_get(object, "dnssec"))
		fputs("\nDNSSEC: nothing was asked\n", cli->out);
	return ERR_OK;
}

int verb_explain(struct cli *cli, const char *const *words, size_t n_words)
{
	const char *type = n_words > 2 ? words[2] : "A";
	const char *version = cli->args.values[OPT_POLICY_VERSION];
	bool dnssec = args_has(&cli->args, OPT_DNSSEC) || args_has(&cli->args, OPT_SVG);
	const char *ask[8] = { dnssec ? "explain-dnssec" : "explain", words[0], words[1], type };
	struct explained explained = { .cli = cli, .who = words[0] };
	size_t n_ask = 4;
	char at_text[CLOCK_RFC3339_LEN];
	uint64_t at, number;
	uint16_t ignored;
	int status;

	if (name_type_parse(type, &ignored) < 0)
		return cli_fail(cli, "'%s' is no record type; write it as A, AAAA, HTTPS or TYPE65",
		                type);
	if (dnssec && (version || args_has(&cli->args, OPT_AT)))
		return cli_fail(cli,
		                "--dnssec asks now, by the policy of now: it goes with neither "
		                "--at nor --policy-version");
	if (version && args_number(version, UINT32_MAX, &number) < 0)
		return cli_fail(cli, "--policy-version is a number, not '%s'", version);
	if (cli_moment(cli, OPT_AT, 0, &at) < 0)
		return CLI_FAILED;
	if (version) {
		ask[n_ask++] = "version";
		ask[n_ask++] = version;
	}
	if (args_has(&cli->args, OPT_AT)) {
		clock_rfc3339(at, at_text);
		ask[n_ask++] = "at";
		ask[n_ask++] = at_text;
	}
	status = request_words(cli, on_explained, &explained, ask, n_ask);
	if (explained.not_drawn)
		return CLI_FAILED;
	return explained.stranger
	           ? cli_fail(cli,
	                      "there is no workload '%s'; `sallyport workload list` lists them",
	                      words[0])
	           : status;
}
