#include "filter.h"

#include <string.h>

#include "sallyport/err.h"
#include "sallyport/name.h"
#include "text.h"

int filter_prefix(const struct cli *cli, const char *text, struct prefix *ret_prefix)
{
	char right[PREFIX_TEXT_LEN];
	int r = prefix_parse(text, ret_prefix);

	if (r == ERR_CONFIG) {
		prefix_text(ret_prefix, right);
		cli_fail(cli, "'%s' has bits beyond its length; write %s", text, right);
		return ERR_INVAL;
	}
	if (r < 0) {
		cli_fail(cli, "'%s' is no address and no prefix, as 192.0.2.1 or 2001:db8::/32",
		         text);
		return ERR_INVAL;
	}
	return ERR_OK;
}

static int read_verdict(const struct cli *cli, const char *text, int *ret_verdict)
{
	for (unsigned int i = 0; i < VERDICT_N; i++) {
		if (strcmp(text, verdict_kind_str(i)) == 0) {
			*ret_verdict = (int)i;
			return ERR_OK;
		}
	}
	cli_fail(cli, "--verdict is allow, deny or local, not '%s'", text);
	return ERR_INVAL;
}

/* "no rule", and "no-rule" for those who do not like quotes. */
static int read_reason(const struct cli *cli, const char *text, int *ret_reason)
{
	const char *known[REASON_N + 1];
	CLEANUP(free) char *word = strdup(text);
	const char *nearest;

	if (!word)
		return ERR_NOMEM;
	for (char *s = word; *s; s++) {
		if (*s == '-' || *s == '_')
			*s = ' ';
	}
	for (unsigned int i = 0; i < REASON_N; i++) {
		known[i] = reason_str(i);
		if (strcmp(word, known[i]) == 0) {
			*ret_reason = (int)i;
			return ERR_OK;
		}
	}
	known[REASON_N] = NULL;
	nearest = diag_nearest(word, known);
	cli_fail(cli, "'%s' is no reason%s%s%s", text, nearest ? "; did you mean '" : "",
	         nearest ? nearest : "", nearest ? "'?" : "; sallyport(1) lists them");
	return ERR_INVAL;
}

static int read_state(const struct cli *cli, const char *text, int *ret_state)
{
	for (unsigned int i = 0; i < DNSSEC_N; i++) {
		if (strcmp(text, dnssec_state_str(i)) == 0) {
			*ret_state = (int)i;
			return ERR_OK;
		}
	}
	cli_fail(cli, "--state is secure, insecure, indeterminate, bogus or unchecked, not '%s'",
	         text);
	return ERR_INVAL;
}

static int read_type(const struct cli *cli, const char *text, int *ret_type)
{
	uint16_t type;

	if (name_type_parse(text, &type) < 0) {
		cli_fail(cli, "'%s' is no record type; write it as A, AAAA, HTTPS or TYPE65", text);
		return ERR_INVAL;
	}
	*ret_type = type;
	return ERR_OK;
}

int filter_read(const struct cli *cli, struct history_filter *ret_filter)
{
	const char *const *values = cli->args.values;
	int r;

	history_filter_init(ret_filter);
	ret_filter->workload = values[OPT_WORKLOAD];
	ret_filter->profile = values[OPT_PROFILE];
	ret_filter->name = values[OPT_NAME];
	ret_filter->rule = values[OPT_RULE];
	ret_filter->has_address = values[OPT_ADDRESS] != NULL;
	ret_filter->has_client = values[OPT_CLIENT] != NULL;
	r = cli_moment(cli, OPT_SINCE, 0, &ret_filter->since_ns);
	if (r == 0)
		r = cli_moment(cli, OPT_UNTIL, 0, &ret_filter->until_ns);
	if (r == 0 && ret_filter->has_address)
		r = filter_prefix(cli, values[OPT_ADDRESS], &ret_filter->address);
	if (r == 0 && ret_filter->has_client)
		r = filter_prefix(cli, values[OPT_CLIENT], &ret_filter->client);
	if (r == 0 && values[OPT_VERDICT])
		r = read_verdict(cli, values[OPT_VERDICT], &ret_filter->verdict);
	if (r == 0 && values[OPT_REASON])
		r = read_reason(cli, values[OPT_REASON], &ret_filter->reason);
	if (r == 0 && values[OPT_STATE])
		r = read_state(cli, values[OPT_STATE], &ret_filter->dnssec);
	if (r == 0 && values[OPT_TYPE])
		r = read_type(cli, values[OPT_TYPE], &ret_filter->type);
	if (r == 0 && values[OPT_ID] &&
	    args_number(values[OPT_ID], UINT64_MAX, &ret_filter->id) < 0) {
		cli_fail(cli, "--id is a number, as the field id of --json, not '%s'",
		         values[OPT_ID]);
		r = ERR_INVAL;
	}
	if (r == 0 && ret_filter->until_ns && ret_filter->since_ns > ret_filter->until_ns) {
		cli_fail(cli, "--since is later than --until");
		r = ERR_INVAL;
	}
	return r;
}

struct history *filter_open_history(const struct cli *cli)
{
	CLEANUP(free) char *dir = text_format("%s/history", cli->settings.state_dir);
	CLEANUP(diag_fini) struct diag diag = { 0 };
	struct history *history = NULL;
	int r;

	if (!dir) {
		cli_nomem(cli);
		return NULL;
	}
	r = history_open(dir, &history, &diag);
	if (r == ERR_NOENT)
		cli_fail(cli, "there is no history at %s; state_dir of %s says where it lies", dir,
		         cli->config);
	else if (r == ERR_DENIED || r == -EACCES)
		cli_fail(cli, "you may not read %s; ask to become a member of the analyst group",
		         dir);
	else if (r < 0 && diag.n_errors == 0)
		cli_fail(cli, "%s: %s", dir, err_str(r));
	else
		cli_diag(cli, &diag);
	return r < 0 ? NULL : history;
}

/* Where the older of two beginnings lies; 0 is none. */
static uint64_t earlier(uint64_t a, uint64_t b)
{
	return !a || !b ? MAX(a, b) : MIN(a, b);
}

static void note_range(const struct cli *cli, const struct history_coverage *coverage)
{
	uint64_t from_ns = earlier(coverage->allow_from_ns, coverage->deny_from_ns);
	char from[CLI_TIME_LEN], deny[CLI_TIME_LEN], until[CLI_TIME_LEN] = "now";

	if (!from_ns) {
		cli_note(cli, "nothing was ever recorded there");
		return;
	}
	cli_time(cli, from_ns, from);
	if (coverage->until_ns)
		cli_time(cli, coverage->until_ns, until);
	if (coverage->until_ns && coverage->until_ns < from_ns) {
		cli_note(cli, "nothing is recorded in the range that was asked for");
		return;
	}
	if (!coverage->deny_from_ns || coverage->deny_from_ns == from_ns) {
		/* Denials are kept longer: where they reach further back, the rest is told. */
		if (coverage->allow_from_ns && coverage->allow_from_ns != from_ns) {
			cli_time(cli, coverage->allow_from_ns, deny);
			cli_note(cli, "covers %s to %s; what was allowed, from %s", from, until,
			         deny);
			return;
		}
		cli_note(cli, "covers %s to %s", from, until);
		return;
	}
	cli_time(cli, coverage->deny_from_ns, deny);
	cli_note(cli, "covers %s to %s; denials from %s", from, until, deny);
}

void filter_note_coverage(const struct cli *cli, const struct history_coverage *coverage)
{
	note_range(cli, coverage);
	if (coverage->n_unreadable > 0)
		cli_note(cli, "%zu file%s could not be read: the listing is not complete",
		         coverage->n_unreadable, coverage->n_unreadable == 1 ? "" : "s");
}
