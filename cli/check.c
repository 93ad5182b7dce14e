/* check.c - configuration and policy, all faults at once. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "json.h"
#include "bundle.h"
#include "request.h"
#include "sallyport/err.h"
#include "verbs.h"

enum { CHECK_OUTPUT_MAX = 1 << 20 };

static int put_fault(const struct cli *cli, const char *file, unsigned int line, unsigned int col,
                     const char *severity, const char *text)
{
	CLEANUP(json_decref) json_t *object = NULL;
	bool error = strcmp(severity, "error") == 0;

	if (cli->json) {
		object = json_pack("{s:o, s:i, s:i, s:s, s:o}", "file", json_safe(file), "line",
		                   (int)line, "col", (int)col, "severity", severity, "text",
		                   json_safe(text));
		return object && json_line(cli->out, object) == 0 ? CLI_YES : cli_nomem(cli);
	}
	if (file[0]) {
		text_put(cli->out, TEXT_PROSE, file);
		if (line)
			fprintf(cli->out, ":%u:%u", line, col);
		fputs(": ", cli->out);
	}
	cli_color(cli, error ? COLOR_RED : COLOR_YELLOW);
	fputs(severity, cli->out);
	cli_color(cli, COLOR_NONE);
	fputs(": ", cli->out);
	text_put(cli->out, TEXT_PROSE, text);
	putc('\n', cli->out);
	return CLI_YES;
}

static int put_diag(const struct cli *cli, const struct diag *diag)
{
	int status = CLI_YES;

	for (size_t i = 0; i < diag->n_items && status == CLI_YES; i++) {
		const struct diag_item *item = &diag->items[i];

		status = put_fault(cli, item->file, item->line, item->col,
		                   item->severity == DIAG_ERROR ? "error" : "warning", item->text);
	}
	if (diag->n_dropped)
		cli_note(cli, "and %zu more", diag->n_dropped);
	return status;
}

/* "file:line:col: error: text", as diag_print() writes it, taken apart; another line is passed on
 * as a remark. */
static int put_line(const struct cli *cli, char *line)
{
	static const char *const severities[] = { "error", "warning" };

	for (size_t i = 0; i < ARRAY_LEN(severities); i++) {
		CLEANUP(free) char *mark = text_format(": %s: ", severities[i]);
		char *at = mark ? strstr(line, mark) : NULL;
		unsigned int numbers[2] = { 0, 0 };

		if (!at)
			continue;
		*at = '\0';
		for (size_t n = 2; n-- > 0;) {
			char *colon = strrchr(line, ':');
			uint64_t number;

			if (!colon || args_number(colon + 1, INT_MAX, &number) < 0)
				break;
			numbers[n] = (unsigned int)number;
			*colon = '\0';
		}
		return put_fault(cli, line, numbers[0], numbers[1], severities[i],
		                 at + strlen(mark));
	}
	cli_note(cli, "%s", line);
	return CLI_YES;
}

/* Run it if it is there; in the child only. */
static void try_exec(const char *dir, const char *program, const char *config)
{
	CLEANUP(free) char *path = text_format("%s%s", dir, program);

	if (path)
		execlp(path, "sallyportd", "--check", "-c", config, (char *)NULL);
}

/* sallyportd lies beside this program (a build), in ../sbin (Debian), or in PATH. */
static void exec_daemon(const char *config)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self));

	while (n > 0 && n < PATH_MAX && self[n - 1] != '/')
		n--;
	if (n > 0 && n < PATH_MAX) {
		self[n] = '\0';
		try_exec(self, "sallyportd", config);
		try_exec(self, "../sbin/sallyportd", config);
	}
	try_exec("", "sallyportd", config);
	dprintf(STDERR_FILENO, "sallyportd is not installed: the configuration was not checked\n");
	_exit(CLI_FAILED);
}

static int read_faults(const struct cli *cli, int fd)
{
	CLEANUP(free) char *line = NULL;
	FILE *in = fdopen(fd, "r");
	size_t cap = 0, total = 0;
	int status = CLI_YES;
	ssize_t n;

	if (!in) {
		close(fd);
		return cli_nomem(cli);
	}
	while ((n = getline(&line, &cap, in)) > 0 && total < CHECK_OUTPUT_MAX) {
		total += (size_t)n;
		if (line[n - 1] == '\n')
			line[n - 1] = '\0';
		if (status == CLI_YES && line[0])
			status = put_line(cli, line);
	}
	fclose(in);
	return status;
}

static int check_config(const struct cli *cli)
{
	int ends[2], result, status;
	pid_t pid;

	fflush(cli->out);
	fflush(cli->err);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return cli_fail(cli, "%s", strerror(errno));
	pid = fork();
	if (pid == 0) {
		if (dup2(ends[1], STDOUT_FILENO) < 0 || dup2(ends[1], STDERR_FILENO) < 0)
			_exit(CLI_FAILED);
		exec_daemon(cli->config);
	}
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return cli_fail(cli, "%s", strerror(errno));
	}
	status = read_faults(cli, ends[0]);
	while (waitpid(pid, &result, 0) < 0) {
		if (errno != EINTR)
			return cli_fail(cli, "%s", strerror(errno));
	}
	if (!WIFEXITED(result) || WEXITSTATUS(result) > CLI_FAILED)
		return cli_fail(cli, "sallyportd --check did not end as it should (status %d)",
		                result);
	return MAX(status, WEXITSTATUS(result));
}

/* The policy in force, if a keeper runs. */
static int load_current(const struct cli *cli, struct bundle *bundle, bool *ret_found)
{
	const char *const ask[] = { "status" };
	const struct request request = { .words = ask, .n_words = 1, .quiet = true };
	bool reached = false;
	int status = request_run(cli, &request, NULL, NULL, &reached);

	*ret_found = false;
	if (!reached) {
		cli_note(
		    cli,
		    "sallyportd cannot be reached, so no policy was checked; name a policy file");
		return CLI_YES;
	}
	if (status != CLI_FAILED)
		status = bundle_fetch(cli, "current", false, bundle);
	*ret_found = status == CLI_YES;
	return status;
}

static int check_policy(const struct cli *cli, const char *file)
{
	CLEANUP(bundle_fini) struct bundle bundle = BUNDLE_INIT;
	CLEANUP(diag_fini) struct diag diag = { 0 };
	bool found = true;
	int status;

	status = file ? bundle_open(cli, file, &bundle, &diag) : load_current(cli, &bundle, &found);
	if (!found)
		return status;
	if (status == CLI_YES)
		status = bundle_check(cli, &bundle, &diag);
	if (put_diag(cli, &diag) != CLI_YES)
		return CLI_FAILED;
	if (status == CLI_YES)
		cli_note(cli, "%s: fine", bundle.label);
	return status;
}

static int keep_object(json_t *object, void *arg)
{
	json_t **kept = arg;

	if (!*kept)
		*kept = json_incref(object);
	return ERR_OK;
}

/* Only a running sallyportd has seen what the upstreams answer. */
static int check_upstreams(const struct cli *cli)
{
	const char *const ask[] = { "status" };
	const struct request request = { .words = ask, .n_words = 1, .quiet = true };
	CLEANUP(json_decref) json_t *status = NULL;
	const json_t *unfit;
	int result = CLI_YES;

	if (request_run(cli, &request, keep_object, &status, NULL) == CLI_FAILED)
		return CLI_YES; /* whether it must be there is the policy's business */
	unfit = json_object_get(status, "unfit_upstreams");
	for (size_t i = 0; i < json_array_size(unfit) && result == CLI_YES; i++) {
		const json_t *one = json_array_get(unfit, i);
		CLEANUP(free)
		char *text = text_format(
		    "upstream %s of the zone %s cannot serve a validated zone (%s); name another "
		    "server, or one that answers with DNSSEC records",
		    json_text(one, "server"), json_text(one, "zone"), json_text(one, "state"));

		result = text ? put_fault(cli, "", 0, 0, "warning", text) : cli_nomem(cli);
	}
	return result;
}

static int put_nta(json_t *object, void *arg)
{
	CLEANUP(free) char *text = NULL;

	if (strcmp(json_text(object, "source"), "command") != 0)
		return ERR_OK; /* the configuration's own are told with it */
	text = text_format("nta: %s and all below it is not validated until %s",
	                   json_text(object, "name"), json_text(object, "until"));
	return text && put_fault(arg, "", 0, 0, "warning", text) == CLI_YES ? ERR_OK : ERR_NOMEM;
}

/* What somebody has excepted from validation, if a keeper runs. */
static void check_ntas(const struct cli *cli)
{
	const char *const ask[] = { "nta-list" };
	const struct request request = { .words = ask, .n_words = 1, .quiet = true };

	/* That it cannot be reached has been said. */
	(void)request_run(cli, &request, put_nta, (void *)(uintptr_t)cli, NULL);
}

int verb_check(struct cli *cli, const char *const *words, size_t n_words)
{
	CLEANUP(diag_fini) struct diag diag = { 0 };
	const char *file = n_words > 0 ? words[0] : NULL;
	/* Read here: a configuration too wrong to find the daemon with is what we are to explain.
	 */
	bool usable = settings_read(&cli->settings, cli->config, cli->config_named, &diag) == 0;
	int config = CLI_YES, upstreams = CLI_YES, policy = CLI_YES;

	if (cli->settings.defaulted)
		cli_note(cli, "%s cannot be read, so no configuration was checked", cli->config);
	else
		config = check_config(cli);
	if (!usable && config == CLI_YES) { /* nothing that a person could have got wrong */
		cli_diag(cli, &diag);
		config = CLI_FAILED;
	}
	if (usable)
		upstreams = check_upstreams(cli);
	if (usable || file)
		policy = check_policy(cli, file);
	else
		cli_note(cli, "so sallyportd cannot be asked for its policy; name a policy file");
	if (usable)
		check_ntas(cli);
	settings_fini(&cli->settings);
	return MAX(MAX(config, upstreams), policy);
}
