#include "verbs.h"

#include <string.h>

#include "sallyport/diag.h"

#define FILTERS                                                                                    \
	(OPT_BIT(WORKLOAD) | OPT_BIT(PROFILE) | OPT_BIT(NAME) | OPT_BIT(ADDRESS) |                 \
	 OPT_BIT(CLIENT) | OPT_BIT(VERDICT) | OPT_BIT(REASON) | OPT_BIT(STATE) | OPT_BIT(TYPE) |   \
	 OPT_BIT(RULE) | OPT_BIT(SINCE) | OPT_BIT(UNTIL) | OPT_BIT(LIMIT))

const struct verb verbs[] = {
	{ "status", NULL, "", "health, versions, rates, limits hit",
	  "Exit status 2 when the daemon does not answer.", OPT_BIT(INTERVAL), 0, 0, verb_status,
	  false },
	{ "check", NULL, "[POLICY]", "configuration and policy, all faults at once",
	  "Checks the configuration and POLICY, or the policy in force when none is named.\n"
	  "Exit status 1 when there is any fault.",
	  0, 0, 1, verb_check, true },
	{ "policy", "apply", "FILE", "put a policy in force as a new version",
	  "FILE and its feeds are opened with your rights; - is standard input. Returns when "
	  "every\n"
	  "query is judged by the new version. With --dry-run, nothing is changed.",
	  OPT_BIT(COMMENT) | OPT_BIT(DRY_RUN), 1, 1, verb_policy_apply, false },
	{ "policy", "diff", "FILE|N|current [FILE|N|current]", "what differs between two policies",
	  "With one argument: from the policy in force to it. Exit status 0: the same; 1: they\n"
	  "differ; 2: failure.",
	  0, 1, 2, verb_policy_diff, false },
	{ "policy", "show", "[N]", "the text of a version (the current one)", NULL, 0, 0, 1,
	  verb_policy_show, false },
	{ "policy", "versions", "", "all versions, newest first: who, when, why", NULL, 0, 0, 0,
	  verb_policy_versions, false },
	{ "policy", "rollback", "N", "put version N's text in force, as a new version", NULL, 0, 1,
	  1, verb_policy_rollback, false },
	{ "explain", NULL, "WORKLOAD|ADDRESS NAME [TYPE]", "the verdict and the whole reasoning",
	  "Nothing is asked upstream. Exit status 0: allowed or answered here; 1: denied.\n"
	  "With --dnssec an allowed name is asked, from the cache or upstream, and validated anew; "
	  "no\n"
	  "pinhole is opened. Exit status then 0: secure, insecure or indeterminate; 1: denied or "
	  "bogus.",
	  OPT_BIT(AT) | OPT_BIT(POLICY_VERSION) | OPT_BIT(DNSSEC) | OPT_BIT(SVG), 2, 3,
	  verb_explain, false },
	{ "workload", "list", "", "workloads, their sources and profiles", NULL, 0, 0, 0,
	  verb_workload_list, false },
	{ "profile", "list", "", "profiles: mode, rules, feeds, workloads", NULL, 0, 0, 0,
	  verb_profile_list, false },
	{ "history", NULL, "", "what was asked, given and refused",
	  "Rows stand in order of time. Without --since, --until, --id or a number: the 20 "
	  "newest.\n"
	  "A row that stands for several identical queries says how many; what is missing is a "
	  "row,\n"
	  "too (a gap). --follow ends with Ctrl-C, or after --limit rows.",
	  FILTERS | OPT_BIT(FIRST) | OPT_BIT(LAST) | OPT_BIT(ID) | OPT_BIT(FOLLOW) |
	      OPT_BIT(OLDEST),
	  0, 0, verb_history, false },
	{ "top", NULL, "names|workloads|denied",
	  "the most frequent, of the last day unless --since", NULL, FILTERS, 1, 1, verb_top,
	  false },
	{ "pinholes", NULL, "", "what the firewall has open now, and why", NULL, OPT_BIT(WORKLOAD),
	  0, 0, verb_pinholes, false },
	{ "who", NULL, "ADDRESS|PREFIX", "which names gave that address to whom, and until when",
	  "With --at: only what was valid at that moment (last given + its TTL).",
	  OPT_BIT(AT) | OPT_BIT(SINCE) | OPT_BIT(UNTIL) | OPT_BIT(WORKLOAD) | OPT_BIT(PROFILE) |
	      OPT_BIT(CLIENT) | OPT_BIT(NAME),
	  1, 1, verb_who, false },
	{ "flush", NULL, "NAME|--all", "forget cached answers", NULL, OPT_BIT(BELOW) | OPT_BIT(ALL),
	  0, 1, verb_flush, false },
	{ "reload", NULL, "", "reread the configuration without losing a query", NULL, 0, 0, 0,
	  verb_reload, false },
	{ "restart", NULL, "", "go on with the programs on the disk, without closing a port",
	  "For after an upgrade: the new sallyportd checks first what it would take over; when it\n"
	  "cannot, nothing changes. Queries wait meanwhile, none is refused. Returns when all "
	  "serves.",
	  0, 0, 0, verb_restart, false },
	{ "audit", NULL, "", "who changed what: policies, reloads, anchors, refusals, starts", NULL,
	  OPT_BIT(SINCE) | OPT_BIT(UNTIL) | OPT_BIT(LIMIT), 0, 0, verb_audit, false },
	{ "anchors", NULL, "", "where trust begins: each zone's keys, and the last look at them",
	  NULL, 0, 0, 0, verb_anchors, false },
	{ "nta", "add", "NAME", "except a name and all below it from validation for a while",
	  "--for SPAN is needed, 7d at most; --reason TEXT is kept and shown. Returns when the\n"
	  "resolver goes by it.",
	  OPT_BIT(FOR) | OPT_BIT(REASON), 1, 1, verb_nta_add, false },
	{ "nta", "list", "", "what is excepted from validation, until when, and why", NULL, 0, 0, 0,
	  verb_nta_list, false },
	{ "nta", "remove", "NAME", "validate a name again", NULL, 0, 1, 1, verb_nta_remove, false },
	{ "help", NULL, "[VERB]", "this text, or a verb's own", NULL, 0, 0, 2, verb_help, true },
	{ "complete", NULL, "[VERB]", NULL, NULL, 0, 0, 2, verb_complete,
	  true }, /* for completion */
};
const size_t verbs_n = ARRAY_LEN(verbs);

const char *verbs_later(const char *group, const char *name)
{
	static const char *const later[] = { "grant",  "grants", "revoke", "flows",  "learn",
		                             "replay", "ready",  "hunt",   "export", "metrics",
		                             "trace",  "schema", NULL };

	if (name && strcmp(group, "policy") == 0 && strcmp(name, "test") == 0)
		return "policy test";
	for (size_t i = 0; later[i]; i++) {
		if (strcmp(later[i], group) == 0)
			return later[i];
	}
	return NULL;
}

const char *verbs_nearest(const char *group, const char *name)
{
	const char *known[ARRAY_LEN(verbs) + 1];
	size_t n = 0;

	for (size_t i = 0; i < verbs_n; i++) {
		if (!verbs[i].help)
			continue;
		if (!group)
			known[n++] = verbs[i].group;
		else if (strcmp(verbs[i].group, group) == 0 && verbs[i].name)
			known[n++] = verbs[i].name;
	}
	known[n] = NULL;
	return diag_nearest(name, known);
}

void verbs_help(FILE *out)
{
	fputs("usage: sallyport [-c FILE] VERB ... [OPTION ...]\n\n", out);
	for (size_t i = 0; i < verbs_n; i++) {
		const struct verb *verb = &verbs[i];
		char left[64];

		if (!verb->help)
			continue;
		snprintf(left, sizeof(left), "%s%s%s %s", verb->group, verb->name ? " " : "",
		         verb->name ? verb->name : "", verb->synopsis);
		fprintf(out, "  %-45s %s\n", left, verb->help);
	}
	fputs("\nOptions of every verb:\n", out);
	args_help(out, OPTS_GLOBAL);
	fputs("\nExit status: 0 yes or fine; 1 no, denied or different; 2 wrong usage or failure.\n"
	      "`sallyport VERB --help` tells a verb's own options. See sallyport(1).\n",
	      out);
}

void verbs_help_one(FILE *out, const struct verb *verb)
{
	fprintf(out, "usage: sallyport %s%s%s %s%s\n\n%s.\n", verb->group, verb->name ? " " : "",
	        verb->name ? verb->name : "", verb->synopsis, verb->options ? " [OPTION ...]" : "",
	        verb->help ? verb->help : "for shells");
	if (verb->more)
		fprintf(out, "%s\n", verb->more);
	if (verb->options) {
		fputs("\nOptions:\n", out);
		args_help(out, verb->options);
	}
	fputs("\nOptions of every verb:\n", out);
	args_help(out, OPTS_GLOBAL);
}

/* The verbs that @words mean: all of a group when its second word is missing. */
static bool matches(const struct verb *verb, const char *const *words, size_t n_words)
{
	return verb->help && strcmp(verb->group, words[0]) == 0 &&
	       (n_words < 2 || (verb->name && strcmp(verb->name, words[1]) == 0));
}

int verb_help(struct cli *cli, const char *const *words, size_t n_words)
{
	size_t n = 0;

	if (n_words == 0) {
		verbs_help(cli->out);
		return CLI_YES;
	}
	for (size_t i = 0; i < verbs_n; i++) {
		if (!matches(&verbs[i], words, n_words))
			continue;
		if (n++ > 0)
			putc('\n', cli->out);
		verbs_help_one(cli->out, &verbs[i]);
	}
	return n > 0 ? CLI_YES
	             : cli_fail(cli, "there is no verb '%s'; `sallyport help` lists all", words[0]);
}

/* Words that may follow, one a line. `sallyport complete` lists verbs, `complete VERB` its second
 * words and options: the shell's completion need not know them. */
int verb_complete(struct cli *cli, const char *const *words, size_t n_words)
{
	for (size_t i = 0; i < verbs_n; i++) {
		const struct verb *verb = &verbs[i];

		if (!verb->help)
			continue;
		if (n_words == 0 && (i == 0 || strcmp(verbs[i - 1].group, verb->group) != 0))
			fprintf(cli->out, "%s\n", verb->group);
		else if (n_words == 1 && verb->name && strcmp(verb->group, words[0]) == 0)
			fprintf(cli->out, "%s\n", verb->name);
		else if (n_words > 0 && matches(verb, words, n_words) &&
		         (!verb->name || n_words == 2))
			args_names(cli->out, verb->options | OPTS_GLOBAL);
	}
	if (n_words == 0)
		args_names(cli->out, OPTS_GLOBAL);
	return CLI_YES;
}
