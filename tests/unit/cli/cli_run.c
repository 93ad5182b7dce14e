/* Exit statuses, suggestions and settings: what needs no daemon. */
#include "run.h"

#include "sallyport/err.h"
#include "settings.h"
#include "verbs.h"

static const struct {
	const char *title, *line;
	int status;
	const char *out, *err; /* contained; NULL: nothing must be there */
} cases[] = {
	{ "no verb", "", 2, NULL, "usage: sallyport" },
	{ "help", "--help", 0, "usage: sallyport", NULL },
	{ "help as a verb", "help", 0, "policy apply FILE", NULL },
	{ "help of a verb", "help|history", 0, "--follow", NULL },
	{ "a verb's help", "history|--help", 0, "usage: sallyport history", NULL },
	{ "a second word's help", "policy|diff|-h", 0, "Exit status 0: the same; 1: they", NULL },
	{ "a group's help", "policy|--help", 0, "policy rollback N", NULL },
	{ "help of nothing", "help|nonsense", 2, NULL, "there is no verb 'nonsense'" },
	{ "version", "--version", 0, "sallyport ", NULL },
	{ "misspelt", "statsu", 2, NULL, "unknown verb 'statsu'; did you mean 'status'?" },
	{ "misspelt second word", "policy|aply|x", 2, NULL,
	  "unknown verb 'policy aply'; did you mean 'apply'?" },
	{ "like nothing", "zzzzzz", 2, NULL,
	  "unknown verb 'zzzzzz'; `sallyport --help` lists all" },
	{ "a group alone", "policy", 2, NULL, "policy wants a word more" },
	{ "another verb's option", "status|--follow", 2, NULL, "status has no option --follow" },
	{ "a misspelt option", "history|--sinc=2h", 2, NULL, "did you mean --since?" },
	{ "too few words", "explain|app01", 2, NULL,
	  "usage: sallyport explain WORKLOAD|ADDRESS NAME" },
	{ "too many words", "who|192.0.2.1|192.0.2.2", 2, NULL, "usage: sallyport who" },
	{ "colour", "--color|pink|status", 2, NULL, "--color is auto, always or never" },
	{ "a word that would steer the terminal", "\033[2J", 2, NULL, "unknown verb '\\027[2J'" },
	{ "later: grant", "grant|app01|pypi.test|--json", 2, NULL, "grant is not built in yet" },
	{ "later: grants", "grants", 2, NULL, "grants is not built in yet" },
	{ "later: revoke", "revoke|7", 2, NULL, "revoke is not built in yet" },
	{ "later: flows", "flows", 2, NULL, "flows is not built in yet" },
	{ "later: learn", "learn|app", 2, NULL, "learn is not built in yet" },
	{ "later: replay", "replay|p.yaml", 2, NULL, "replay is not built in yet" },
	{ "later: policy test", "policy|test|p.yaml", 2, NULL, "policy test is not built in yet" },
	{ "nta: no name", "nta|add", 2, NULL, "nta add" },
	{ "a configuration that is not there", "-c|/nonexistent/s.yaml|status", 2, NULL,
	  "/nonexistent/s.yaml: error: cannot be read: No such file" },
	{ "verbs for completion", "complete", 0, "policy\n", NULL },
	{ "second words for completion", "complete|policy", 0, "rollback\n", NULL },
	{ "options for completion", "complete|history", 0, "--since=\n", NULL },
	{ "options of a second word", "complete|policy|apply", 0, "--comment=\n", NULL },
};

static void check(const char *title, const struct run *run, int status, const char *out,
                  const char *err)
{
	if (run->status != status || (out ? !strstr(run->out, out) : run->out[0] != '\0') ||
	    (err ? !strstr(run->err, err) : run->err[0] != '\0'))
		fail_msg("%s: status %d\nout: %s\nerr: %s", title, run->status, run->out, run->err);
}

static void statuses_and_sentences(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct run run = run_line(cases[i].line);

		check(cases[i].title, &run, cases[i].status, cases[i].out, cases[i].err);
		run_fini(&run);
	}
}

static void every_verb_is_in_the_help_and_has_its_own(void **state)
{
	struct run all = run_line("help");

	(void)state;
	for (size_t i = 0; i < verbs_n; i++) {
		char line[64], want[64];
		struct run run;

		if (!verbs[i].help)
			continue;
		snprintf(line, sizeof(line), "%s%s%s|--help", verbs[i].group,
		         verbs[i].name ? "|" : "", verbs[i].name ? verbs[i].name : "");
		snprintf(want, sizeof(want), "%s%s%s ", verbs[i].group, verbs[i].name ? " " : "",
		         verbs[i].name ? verbs[i].name : "");
		run = run_line(line);
		check(line, &run, 0, want, NULL);
		assert_non_null(strstr(all.out, want));
		run_fini(&run);
	}
	run_fini(&all);
}

#define NAME_(sym, name, letter, arg, help) name,

/* The manual names every verb and every option. */
static void the_manual_is_complete(void **state)
{
	static const char *const options[] = { ARGS_OPTIONS(NAME_) };
	char *text = calloc(1, 65536);
	FILE *page = fopen(SOURCE_DIR "/../../../packaging/man/sallyport.1", "r");

	(void)state;
	assert_non_null(page);
	assert_non_null(text);
	assert_in_range(fread(text, 1, 65535, page), 1000, 65534);
	fclose(page);
	for (size_t i = 0; i < OPT_N; i++) {
		char want[64], *at = want;

		at += sprintf(at, "\\-\\-");
		for (const char *s = options[i]; *s; s++)
			at += (*s == '-' ? sprintf(at, "\\-") : sprintf(at, "%c", *s));
		if (!strstr(text, want))
			fail_msg("--%s is not in sallyport(1)", options[i]);
	}
	for (size_t i = 0; i < verbs_n; i++) {
		if (verbs[i].help && (!strstr(text, verbs[i].group) ||
		                      (verbs[i].name && !strstr(text, verbs[i].name))))
			fail_msg("%s is not in sallyport(1)", verbs[i].group);
	}
	free(text);
}

static const struct {
	const char *title, *text;
	int want; /* 0, or an error */
	const char *state_dir, *run_dir;
} settings_cases[] = {
	{ "both", "state_dir: /a/b\nrun_dir: /c\n", 0, "/a/b", "/c" },
	{ "one", "run_dir: /c\n", 0, "/var/lib/sallyport", "/c" },
	{ "an empty file", "", 0, "/var/lib/sallyport", "/run/sallyport" },
	{ "other keys", "listen: []\nworkers: auto\n", 0, "/var/lib/sallyport", "/run/sallyport" },
	{ "quoted", "state_dir: \"/a b\"\n", 0, "/a b", "/run/sallyport" },
	{ "relative", "state_dir: a\n", ERR_CONFIG, NULL, NULL },
	{ "a list", "run_dir: [/a]\n", ERR_CONFIG, NULL, NULL },
	{ "a zero octet", "run_dir: \"/a\\0b\"\n", ERR_CONFIG, NULL, NULL },
	{ "no mapping", "- a\n", ERR_CONFIG, NULL, NULL },
	{ "no YAML", "state_dir: [\n", ERR_CONFIG, NULL, NULL },
};

static void settings_are_two_keys(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(settings_cases); i++) {
		char path[] = "/tmp/sallyport-settings-XXXXXX";
		struct settings settings = { 0 };
		int fd = mkstemp(path), r;
		struct diag diag;

		assert_true(fd >= 0);
		assert_int_equal(write(fd, settings_cases[i].text, strlen(settings_cases[i].text)),
		                 strlen(settings_cases[i].text));
		diag_init(&diag);
		r = settings_read(&settings, path, true, &diag);
		if (r != settings_cases[i].want || (r < 0) != (diag.n_errors > 0))
			fail_msg("%s: %d", settings_cases[i].title, r);
		if (r == 0) {
			assert_string_equal(settings.state_dir, settings_cases[i].state_dir);
			assert_string_equal(settings.run_dir, settings_cases[i].run_dir);
		}
		settings_fini(&settings);
		diag_fini(&diag);
		close(fd);
		unlink(path);
	}
}

static void the_default_file_may_be_missing_a_named_one_not(void **state)
{
	struct settings settings = { 0 };
	struct diag diag;

	(void)state;
	diag_init(&diag);
	assert_int_equal(settings_read(&settings, "/nonexistent/s.yaml", false, &diag), 0);
	assert_true(settings.defaulted);
	assert_string_equal(settings.run_dir, SETTINGS_RUN_DIR);
	settings_fini(&settings);
	assert_int_equal(settings_read(&settings, "/nonexistent/s.yaml", true, &diag), -ENOENT);
	assert_int_equal(diag.n_errors, 1);
	diag_fini(&diag);
}

static void a_full_disk_is_a_failure(void **state)
{
	char *argv[] = { "help" };
	FILE *full = fopen("/dev/full", "w");
	FILE *null = fopen("/dev/null", "w");

	(void)state;
	assert_non_null(full);
	assert_int_equal(cli_run(1, argv, full, null, false), 2);
	fclose(full);
	fclose(null);
}

static void colour_is_for_terminals_that_want_it(void **state)
{
	static const struct {
		const char *title, *no_color, *term, *option;
		bool terminal, want;
	} colors[] = {
		{ "a terminal", NULL, "xterm", "auto", true, true },
		{ "a pipe", NULL, "xterm", "auto", false, false },
		{ "NO_COLOR", "1", "xterm", "auto", true, false },
		{ "an empty NO_COLOR", "", "xterm", "auto", true, true },
		{ "TERM=dumb", NULL, "dumb", "auto", true, false },
		{ "always, whatever else", "1", "dumb", "always", false, true },
		{ "never", NULL, "xterm", "never", true, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(colors); i++) {
		static const struct script scripts[] = {
			{ "workload-list",
			  { FRAME_DATA(
				"{\"workload\":\"app01\",\"profile\":\"p\",\"mode\":\"enforce\","
				"\"sources\":[],\"pinholes\":0}"),
			    FRAME_EXIT("\0") } },
		};
		char config[96], *text = NULL, *argv[6];
		struct keeper keeper;
		size_t len;
		FILE *out = open_memstream(&text, &len), *err = fopen("/dev/null", "w");

		keeper_start(&keeper, scripts, ARRAY_LEN(scripts));
		snprintf(config, sizeof(config), "%s/sallyport.yaml", keeper.dir);
		argv[0] = "-c";
		argv[1] = config;
		argv[2] = "--color";
		argv[3] = (char *)(uintptr_t)colors[i].option;
		argv[4] = "workload";
		argv[5] = "list";
		if (colors[i].no_color)
			setenv("NO_COLOR", colors[i].no_color, 1);
		else
			unsetenv("NO_COLOR");
		setenv("TERM", colors[i].term, 1);
		assert_int_equal(cli_run(6, argv, out, err, colors[i].terminal), 0);
		fclose(out);
		fclose(err);
		if ((strchr(text, '\033') != NULL) != colors[i].want)
			fail_msg("%s: %s", colors[i].title, text);
		free(text);
		keeper_stop(&keeper);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statuses_and_sentences),
		cmocka_unit_test(every_verb_is_in_the_help_and_has_its_own),
		cmocka_unit_test(the_manual_is_complete),
		cmocka_unit_test(settings_are_two_keys),
		cmocka_unit_test(the_default_file_may_be_missing_a_named_one_not),
		cmocka_unit_test(a_full_disk_is_a_failure),
		cmocka_unit_test(colour_is_for_terminals_that_want_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
