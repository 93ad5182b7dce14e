/* policy_verbs.c - policy apply, diff, show, rollback. */
#include <inttypes.h>
#include <string.h>

#include "changes.h"
#include "json.h"
#include "bundle.h"
#include "request.h"
#include "sallyport/control.h"
#include "sallyport/err.h"
#include "textdiff.h"
#include "verbs.h"

enum { APPLY_TIMEOUT_S = 300 }; /* a feed of millions of names is compiled and stored meanwhile */

static json_t *change_json(const struct change *change)
{
	return json_pack("{s:s, s:s, s:o, s:o, s:o}", "change", change_what_str(change->what),
	                 "kind", change->kind, "subject", json_safe(change->subject), "before",
	                 json_safe(change->before), "after", json_safe(change->after));
}

static void print_change(const struct cli *cli, const struct change *change)
{
	static const struct {
		char sign;
		enum color color;
	} marks[] = { [CHANGE_ADDED] = { '+', COLOR_GREEN },
		      [CHANGE_REMOVED] = { '-', COLOR_RED },
		      [CHANGE_CHANGED] = { '~', COLOR_YELLOW } };

	cli_color(cli, marks[change->what].color);
	fprintf(cli->out, "%c %s ", marks[change->what].sign, change->kind);
	text_put(cli->out, TEXT_PROSE, change->subject);
	cli_color(cli, COLOR_NONE);
	if (change->before && change->before[0]) {
		fputs("  ", cli->out);
		text_put(cli->out, TEXT_PROSE, change->before);
	}
	if (change->after && change->after[0]) {
		fputs(change->before ? "  =>  " : "  ", cli->out);
		text_put(cli->out, TEXT_PROSE, change->after);
	}
	putc('\n', cli->out);
}

/* A feed of the same name with other content. */
static int feed_changes(const struct bundle *old, const struct bundle *new, struct changes *changes)
{
	struct change *items =
	    realloc(changes->items, (changes->n + new->n_feeds + 1) * sizeof(*items));

	if (!items)
		return ERR_NOMEM;
	changes->items = items;
	for (size_t i = 0; i < old->n_feeds; i++) {
		for (size_t j = 0; j < new->n_feeds; j++) {
			const struct bundle_feed *a = &old->feeds[i], *b = &new->feeds[j];
			struct change *change = &changes->items[changes->n];

			if (strcmp(a->name, b->name) != 0 || strcmp(a->sha256, b->sha256) == 0)
				continue;
			*change = (struct change){
				.what = CHANGE_CHANGED,
				.kind = "feed content",
				.subject = strdup(a->name),
				.before = text_format("sha256 %.12s", a->sha256),
				.after = text_format("sha256 %.12s", b->sha256),
			};
			changes->n++;
			if (!change->subject || !change->before || !change->after)
				return ERR_NOMEM;
			break;
		}
	}
	return ERR_OK;
}

static int find_changes(const struct cli *cli, const struct bundle *old, const struct bundle *new,
                        struct changes *changes)
{
	int r = changes_find(old->text.data, old->text.len, new->text.data, new->text.len, changes);

	if (r == ERR_MALFORMED)
		return cli_fail(cli, "%s or %s is no YAML mapping: no list of changes",
		                old->label ? old->label : "the policy in force", new->label);
	if (r == 0)
		r = feed_changes(old, new, changes);
	return r < 0 ? cli_nomem(cli) : CLI_YES;
}

static int print_changes(const struct cli *cli, const struct changes *changes)
{
	for (size_t i = 0; i < changes->n; i++) {
		CLEANUP(json_decref) json_t *object = NULL;

		if (!cli->json) {
			print_change(cli, &changes->items[i]);
			continue;
		}
		object = change_json(&changes->items[i]);
		if (!object || json_line(cli->out, object) < 0)
			return cli_nomem(cli);
	}
	return CLI_YES;
}

/* The keeper's answer to apply and rollback, with what changed. */
struct applied {
	const struct cli *cli;
	const struct changes *changes;
};

static int on_applied(json_t *object, void *arg)
{
	const struct applied *applied = arg;
	const struct cli *cli = applied->cli;
	json_t *changes;

	if (!cli->json) {
		fprintf(cli->out,
		        "policy version %" PRId64 " is in force: %" PRId64 " rules, %" PRId64
		        " workloads, %" PRId64 " feed names (%.2f s)\n",
		        json_number(object, "policy_version"), json_number(object, "rules"),
		        json_number(object, "workloads"), json_number(object, "feed_names"),
		        json_measure(object, "seconds"));
		if (applied->changes->n == 0)
			fputs("nothing differs from the version before\n", cli->out);
		return print_changes(cli, applied->changes) == CLI_YES ? ERR_OK : ERR_NOMEM;
	}
	changes = json_array();
	for (size_t i = 0; i < applied->changes->n; i++) {
		if (json_array_append_new(changes, change_json(&applied->changes->items[i])) < 0) {
			json_decref(changes);
			return ERR_NOMEM;
		}
	}
	if (json_object_set_new(object, "changes", changes) < 0)
		return ERR_NOMEM;
	return json_line(cli->out, object);
}

static int send_policy(const struct cli *cli, const struct bundle *bundle,
                       const struct changes *changes)
{
	const char *comment = cli->args.values[OPT_COMMENT];
	const char *words[3 + LIMIT_FEEDS] = { "policy-apply", bundle->label,
		                               comment ? comment : "" };
	struct applied applied = { cli, changes };
	int fds[CONTROL_FDS_MAX] = { bundle->fd };
	struct request request = { .words = words, .fds = fds, .timeout_s = APPLY_TIMEOUT_S };

	if (bundle->n_feeds > LIMIT_FEEDS)
		return cli_fail(cli, "%s has %zu feeds; at most %d are possible", bundle->label,
		                bundle->n_feeds, (int)LIMIT_FEEDS);
	for (size_t i = 0; i < bundle->n_feeds; i++) {
		words[3 + i] = bundle->feeds[i].name;
		fds[1 + i] = bundle->feeds[i].fd;
	}
	request.n_words = 3 + bundle->n_feeds;
	request.n_fds = 1 + bundle->n_feeds;
	return request_run(cli, &request, on_applied, &applied, NULL);
}

int verb_policy_apply(struct cli *cli, const char *const *words, size_t n_words)
{
	CLEANUP(bundle_fini) struct bundle bundle = BUNDLE_INIT;
	CLEANUP(bundle_fini) struct bundle current = BUNDLE_INIT;
	CLEANUP(changes_fini) struct changes changes = { 0 };
	CLEANUP(diag_fini) struct diag diag = { 0 };
	bool dry = args_has(&cli->args, OPT_DRY_RUN);
	int status;

	(void)n_words; /* exactly one */
	status = bundle_open(cli, words[0], &bundle, &diag);
	if (status == CLI_YES)
		status = bundle_check(cli, &bundle, &diag);
	if (status != CLI_YES || dry) /* otherwise the keeper says the same warnings */
		cli_diag(cli, &diag);
	if (status == CLI_NO)
		return cli_fail(cli, "%s: %zu faults; nothing was changed", words[0],
		                diag.n_errors);
	if (status != CLI_YES)
		return status;
	/* Without a policy in force, everything in this one is new. */
	if (bundle_fetch(cli, "current", true, &current) != CLI_YES)
		bundle_fini(&current);
	status = find_changes(cli, &current, &bundle, &changes);
	if (status != CLI_YES)
		return status;
	if (!dry)
		return send_policy(cli, &bundle, &changes);
	if (changes.n == 0)
		cli_note(cli, "%s does not differ from the policy in force", words[0]);
	return print_changes(cli, &changes);
}

static int load_either(const struct cli *cli, const char *which, struct bundle *bundle)
{
	CLEANUP(diag_fini) struct diag diag = { 0 };
	int status;

	if (bundle_is_version(which)) {
		status = bundle_fetch(cli, which, false, bundle);
		return status == CLI_YES ? CLI_YES : CLI_FAILED;
	}
	status = bundle_open(cli, which, bundle, &diag);
	cli_diag(cli, &diag);
	return status == CLI_NO ? CLI_FAILED
	                        : status; /* other faults do not keep us from comparing */
}

static int print_diff_json(const struct cli *cli, const struct textdiff_text *old,
                           const struct textdiff_text *new, const struct changes *changes,
                           int *ret_differs)
{
	CLEANUP(json_decref) json_t *object = NULL;
	CLEANUP(free) char *diff = NULL;
	size_t len;
	FILE *out = open_memstream(&diff, &len);

	if (!out)
		return cli_nomem(cli);
	*ret_differs = textdiff_write(out, false, old, new);
	if (fclose(out) != 0 || *ret_differs < 0)
		return cli_nomem(cli);
	if (print_changes(cli, changes) != CLI_YES)
		return CLI_FAILED;
	if (!*ret_differs)
		return CLI_YES;
	object =
	    json_pack("{s:s, s:o, s:o, s:o}", "change", "text", "before", json_safe(old->label),
	              "after", json_safe(new->label), "diff", json_safe(diff));
	return object && json_line(cli->out, object) == 0 ? CLI_YES : cli_nomem(cli);
}

int verb_policy_diff(struct cli *cli, const char *const *words, size_t n_words)
{
	CLEANUP(bundle_fini) struct bundle old = BUNDLE_INIT;
	CLEANUP(bundle_fini) struct bundle new = BUNDLE_INIT;
	CLEANUP(changes_fini) struct changes changes = { 0 };
	struct textdiff_text old_text, new_text;
	int status, differs = 0;

	status = load_either(cli, n_words > 1 ? words[0] : "current", &old);
	if (status == CLI_YES)
		status = load_either(cli, words[n_words - 1], &new);
	if (status != CLI_YES || find_changes(cli, &old, &new, &changes) != CLI_YES)
		return CLI_FAILED;
	old_text = (struct textdiff_text){ old.label, old.text.data, old.text.len };
	new_text = (struct textdiff_text){ new.label, new.text.data, new.text.len };
	if (cli->json) {
		status = print_diff_json(cli, &old_text, &new_text, &changes, &differs);
		return status != CLI_YES ? status : differs || changes.n > 0 ? CLI_NO : CLI_YES;
	}
	differs = textdiff_write(cli->out, cli->color, &old_text, &new_text);
	if (differs < 0)
		return cli_nomem(cli);
	if (differs && changes.n > 0)
		putc('\n', cli->out);
	if (print_changes(cli, &changes) != CLI_YES)
		return CLI_FAILED;
	return differs || changes.n > 0 ? CLI_NO : CLI_YES;
}

static int on_shown(json_t *object, void *arg)
{
	const struct cli *cli = arg;
	const json_t *text = json_object_get(object, "text");
	const json_t *feeds = json_object_get(object, "feeds");
	char time[CLI_TIME_LEN];

	if (!json_is_string(text))
		return ERR_MALFORMED;
	if (cli->json)
		return json_line(cli->out, object);
	if (json_object_get(object, "time")) /* not a further piece of a long text */
		cli_note(cli, "version %" PRId64 ", applied %s by %s from %s%s%s",
		         json_number(object, "version"),
		         cli_time_text(cli, json_text(object, "time"), time),
		         json_text(object, "user")[0] ? json_text(object, "user")
		                                      : "a user without a name",
		         json_text(object, "file"), json_text(object, "comment")[0] ? ": " : "",
		         json_text(object, "comment"));
	for (size_t i = 0; i < json_array_size(feeds); i++) {
		const json_t *feed = json_array_get(feeds, i);

		cli_note(cli, "feed %s: %s, %" PRId64 " octets, sha256 %s", json_text(feed, "name"),
		         json_text(feed, "file"), json_number(feed, "bytes"),
		         json_text(feed, "sha256"));
	}
	/* Octet for octet into a file, so that `policy show 3 > old.yaml` can be applied again; but
	 * a terminal is not to be written to by a comment. */
	if (cli->terminal)
		text_put_lines(cli->out, json_string_value(text), json_string_length(text));
	else
		fwrite(json_string_value(text), 1, json_string_length(text), cli->out);
	return ERR_OK;
}

int verb_policy_show(struct cli *cli, const char *const *words, size_t n_words)
{
	const char *const ask[] = { "policy-show", n_words > 0 ? words[0] : "current" };

	if (!bundle_is_version(ask[1]))
		return cli_fail(cli, "'%s' is no version; `sallyport policy versions` lists them",
		                ask[1]);
	return request_words(cli, on_shown, cli, ask, ARRAY_LEN(ask));
}

int verb_policy_rollback(struct cli *cli, const char *const *words, size_t n_words)
{
	const char *const ask[] = { "policy-rollback", words[0] };
	const struct request request = { .words = ask,
		                         .n_words = ARRAY_LEN(ask),
		                         .timeout_s = APPLY_TIMEOUT_S };
	CLEANUP(bundle_fini) struct bundle current = BUNDLE_INIT;
	CLEANUP(bundle_fini) struct bundle old = BUNDLE_INIT;
	CLEANUP(changes_fini) struct changes changes = { 0 };
	struct applied applied = { cli, &changes };
	int status;

	(void)n_words; /* exactly one */
	if (!bundle_is_version(words[0]))
		return cli_fail(cli, "'%s' is no version; `sallyport policy versions` lists them",
		                words[0]);
	status = bundle_fetch(cli, words[0], false, &old);
	if (status == CLI_YES)
		status = bundle_fetch(cli, "current", false, &current);
	if (status == CLI_YES)
		status = find_changes(cli, &current, &old, &changes);
	return status == CLI_YES ? request_run(cli, &request, on_applied, &applied, NULL)
	                         : CLI_FAILED;
}
