#include "chain_text.h"

#include <inttypes.h>
#include <string.h>

#include "json.h"
#include "text.h"

/* Steps come in the order in which they were taken. One that begins a part ("asked", "zone") gets a
 * branch of its own, and what follows hangs on it. */

static bool begins_part(const json_t *step)
{
	const char *kind = json_text(step, "step");

	return strcmp(kind, "asked") == 0 || strcmp(kind, "zone") == 0;
}

void chain_algorithm(const json_t *step, char out[static CHAIN_ALGORITHM_LEN])
{
	const char *name = json_text(step, "algorithm_name");

	if (name[0])
		snprintf(out, CHAIN_ALGORITHM_LEN, "%.40s", name);
	else
		snprintf(out, CHAIN_ALGORITHM_LEN, "algorithm %" PRId64,
		         json_number(step, "algorithm"));
}

static enum color color_of(const char *state)
{
	if (strcmp(state, "secure") == 0)
		return COLOR_GREEN;
	if (strcmp(state, "bogus") == 0)
		return COLOR_RED;
	return COLOR_YELLOW;
}

static void put_colored(const struct cli *cli, enum color color, const char *text)
{
	cli_color(cli, color);
	text_put(cli->out, TEXT_PROSE, text);
	cli_color(cli, COLOR_NONE);
}

static void put_name(const struct cli *cli, const json_t *step, const char *key)
{
	text_put(cli->out, TEXT_NAME, json_text(step, key));
}

static void put_name_type(const struct cli *cli, const json_t *step)
{
	put_name(cli, step, "name");
	if (!json_text(step, "type")[0])
		return;
	putc(' ', cli->out);
	put_name(cli, step, "type");
}

/* ": the signature has expired (RFC 4034, section 3.1.5)" */
static void put_reason(const struct cli *cli, const json_t *step)
{
	const char *rfc = json_text(step, "rfc");

	if (json_text(step, "reason")[0]) {
		fputs(": ", cli->out);
		text_put(cli->out, TEXT_PROSE, json_text(step, "reason"));
	}
	if (!rfc[0])
		return;
	fputs(" (", cli->out);
	text_put(cli->out, TEXT_PROSE, rfc);
	putc(')', cli->out);
}

static void put_verified(const struct cli *cli, const json_t *step)
{
	if (json_truth(step, "verified")) {
		put_colored(cli, COLOR_GREEN, "verified");
		return;
	}
	put_colored(cli, COLOR_RED, "not verified");
	put_reason(cli, step);
}

static void put_key(const struct cli *cli, const json_t *step)
{
	char algorithm[CHAIN_ALGORITHM_LEN];

	chain_algorithm(step, algorithm);
	fprintf(cli->out, "%" PRId64 " ", json_number(step, "tag"));
	text_put(cli->out, TEXT_PROSE, algorithm);
	if (json_is_integer(json_object_get(step, "digest")))
		fprintf(cli->out, ", digest %" PRId64, json_number(step, "digest"));
}

/* Signatures know seconds: the fraction is left out. */
static void put_moment(const struct cli *cli, const json_t *step, const char *key)
{
	char room[CLI_TIME_LEN];
	const char *text = cli_time_text(cli, json_text(step, key), room);
	const char *dot = strstr(text, ".000");
	CLEANUP(free)
	char *whole = dot ? text_format("%.*s%s", (int)(dot - text), text, dot + 4) : NULL;

	text_put(cli->out, TEXT_PROSE, whole ? whole : text);
}

static void put_signature(const struct cli *cli, const json_t *step)
{
	fputs("signature over ", cli->out);
	put_name_type(cli, step);
	fputs(" by ", cli->out);
	put_name(cli, step, "signer");
	fputs(" key ", cli->out);
	put_key(cli, step);
	fputs(", ", cli->out);
	put_moment(cli, step, "inception");
	fputs(" to ", cli->out);
	put_moment(cli, step, "expiration");
	fputs(": ", cli->out);
	put_verified(cli, step);
}

static void put_proof(const struct cli *cli, const json_t *step)
{
	put_name(cli, step, "owner");
	putc(' ', cli->out);
	put_name(cli, step, "type");
	putc(' ', cli->out);
	text_put(cli->out, TEXT_PROSE, json_text(step, "data"));
	putc(' ', cli->out);
	put_name(cli, step, "fit");
	putc(' ', cli->out);
	put_name(cli, step, "name");
}

static void put_denial(const struct cli *cli, const json_t *step)
{
	const char *outcome = json_text(step, "outcome");

	put_name_type(cli, step);
	if (strcmp(outcome, "denied") == 0)
		put_colored(cli, COLOR_GREEN, " is proven not to be there");
	else if (strcmp(outcome, "opt out") == 0)
		put_colored(cli, COLOR_YELLOW, " lies in an opt-out span");
	else if (strcmp(outcome, "iterations") == 0)
		put_colored(cli, COLOR_YELLOW, " is denied with too many iterations");
	else
		put_colored(cli, COLOR_RED, " is not proven not to be there");
}

static void put_trust(const struct cli *cli, const json_t *step)
{
	const char *outcome = json_text(step, "outcome");

	put_name(cli, step, "name");
	fputs(" is ", cli->out);
	if (strcmp(outcome, "no cut") == 0) {
		put_colored(cli, COLOR_GREEN, "no zone of its own");
	} else if (strcmp(outcome, "not there") == 0) {
		put_colored(cli, COLOR_GREEN, "no name that has anything");
	} else {
		put_colored(cli, color_of(outcome), outcome);
		put_reason(cli, step);
	}
}

static void put_step(const struct cli *cli, const json_t *step)
{
	const char *kind = json_text(step, "step");

	if (strcmp(kind, "asked") == 0) {
		cli_color(cli, COLOR_BOLD);
		put_name_type(cli, step);
		cli_color(cli, COLOR_NONE);
		if (!json_truth(step, "answered"))
			put_colored(cli, COLOR_RED, ": cannot be had");
	} else if (strcmp(kind, "zone") == 0) {
		cli_color(cli, COLOR_BOLD);
		fputs("zone ", cli->out);
		put_name(cli, step, "name");
		cli_color(cli, COLOR_NONE);
		fputs(": ", cli->out);
		put_colored(cli, color_of(json_text(step, "outcome")), json_text(step, "outcome"));
		put_reason(cli, step);
	} else if (strcmp(kind, "anchor") == 0) {
		fputs("trust anchor ", cli->out);
		put_name(cli, step, "type");
		putc(' ', cli->out);
		put_key(cli, step);
	} else if (strcmp(kind, "ds") == 0) {
		fputs("DS ", cli->out);
		put_key(cli, step);
	} else if (strcmp(kind, "key") == 0) {
		fputs("key ", cli->out);
		put_key(cli, step);
		fputs(json_truth(step, "sep") ? ", SEP" : "", cli->out);
		fputs(json_truth(step, "revoked") ? ", revoked" : "", cli->out);
		fputs(json_truth(step, "zone_key") ? "" : ", no zone key", cli->out);
	} else if (strcmp(kind, "match") == 0) {
		put_name(cli, step, "type");
		fputs(" names key ", cli->out);
		put_key(cli, step);
		fputs(", which signs: ", cli->out);
		put_verified(cli, step);
	} else if (strcmp(kind, "signature") == 0) {
		put_signature(cli, step);
	} else if (strcmp(kind, "proof") == 0) {
		put_proof(cli, step);
	} else if (strcmp(kind, "denial") == 0) {
		put_denial(cli, step);
	} else if (strcmp(kind, "trust") == 0) {
		put_trust(cli, step);
	} else {
		put_name(cli, step, "step"); /* of a newer daemon */
	}
	putc('\n', cli->out);
}

static bool is_last_of_part(const json_t *steps, size_t i)
{
	return i + 1 == json_array_size(steps) || begins_part(json_array_get(steps, i + 1));
}

static void put_steps(const struct cli *cli, const json_t *steps)
{
	bool in_part = false;

	for (size_t i = 0; i < json_array_size(steps); i++) {
		const json_t *step = json_array_get(steps, i);

		if (begins_part(step)) {
			in_part = true;
			fputs("  ├─ ", cli->out);
		} else {
			fputs(in_part ? "  │  " : "  ", cli->out);
			fputs(is_last_of_part(steps, i) ? "└─ " : "├─ ", cli->out);
		}
		put_step(cli, step);
	}
}

static void put_link(const struct cli *cli, const json_t *link)
{
	const char *state = json_text(link, "state"), *target = json_text(link, "target");
	int64_t attempt = json_number(link, "attempt");

	putc('\n', cli->out);
	cli_color(cli, COLOR_BOLD);
	put_name_type(cli, link);
	cli_color(cli, COLOR_NONE);
	fputs(", ", cli->out);
	put_name(cli, link, "kind");
	if (target[0]) {
		fputs(" to ", cli->out);
		put_name(cli, link, "target");
	}
	if (json_text(link, "upstream")[0]) {
		fputs(", from ", cli->out);
		put_name(cli, link, "upstream");
	} else {
		fputs(", from hosts", cli->out);
	}
	if (attempt > 1)
		fprintf(cli->out, ", asked again (attempt %" PRId64 ")", attempt);
	putc('\n', cli->out);
	put_steps(cli, json_object_get(link, "steps"));
	fputs("  └─ ", cli->out);
	put_colored(cli, color_of(state), state[0] ? state : "not judged");
	if (json_text(link, "zone")[0]) {
		fputs(", signed by ", cli->out);
		put_name(cli, link, "zone");
		if (json_number(link, "tag"))
			fprintf(cli->out, " key %" PRId64, json_number(link, "tag"));
	}
	put_reason(cli, link);
	putc('\n', cli->out);
}

void chain_text_put(const struct cli *cli, const json_t *dnssec)
{
	const json_t *links = json_object_get(dnssec, "links");
	const char *outcome = json_text(dnssec, "outcome"), *state = json_text(dnssec, "state");
	bool answered = strcmp(outcome, "answered") == 0;

	fputs("\nDNSSEC: ", cli->out);
	put_colored(cli, answered ? color_of(state) : COLOR_RED, answered ? state : outcome);
	fputs(", answered ", cli->out);
	put_name(cli, dnssec, "rcode");
	if (json_is_integer(json_object_get(dnssec, "ede")))
		fprintf(cli->out, ", EDE %" PRId64, json_number(dnssec, "ede"));
	if (json_text(dnssec, "text")[0]) {
		fputs(": ", cli->out);
		text_put(cli->out, TEXT_PROSE, json_text(dnssec, "text"));
	}
	putc('\n', cli->out);
	for (size_t i = 0; i < json_array_size(links); i++)
		put_link(cli, json_array_get(links, i));
	if (json_truth(dnssec, "cut"))
		cli_note(cli, "steps were left out: there were more than are told");
}
