/* tests/unit/resolver_query/query_scenarios.c - play every text of scenarios/ against the pipeline.
 *
 * A line is a command; lines that begin with two blanks belong to the command above them.
 *
 *   policy                      compile the YAML below; in force at once, as the next version
 *   upstream NAME TYPE [RCODE|silent]   what upstreams say: records below, "@" for authority
 *   upstreams hold|answer       their messages wait until "answer"
 *   ask CLIENT NAME TYPE [tcp|noedns|do|nord|cd|chaos|size=N|at=LISTENER]... [as LABEL] [later]
 *                               "later": nothing is delivered until another command does
 *   turn | advance N[ms|s]      deliver; let time pass, then deliver
 *   expect [LABEL]              the answer, exactly: RCODE line, then records
 *   sent | opened [nothing]     what left upstream, what fwsync was asked, since last looked at
 *   record                      the next history record
 *   firewall opens|silent|stopped|old-epoch|speak|status N|version N
 *   epoch | flush | count NAME N
 *
 * An expected line that ends with * is a beginning.
 *
 * Addresses of 8.8.100.0/24 and 2a00::/16 stand for the wide Internet: the guard strips
 * documentation addresses, for they are not globally reachable.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache.h"
#include "rig.h"
#include "sallyport/cleanup.h"
#include "sallyport/name.h"

#define LABELS 64
#define WORDS 16

struct play {
	struct rig *rig;
	const char *file;
	unsigned int line;
	char *text; /* what has not been read yet */
	char body[16384];
	struct rig_answer *last;
	struct {
		char name[32];
		struct rig_answer *answer;
	} labels[LABELS];
	unsigned int n_labels;
};

static char *next_line(struct play *p)
{
	char *line = p->text, *end;

	if (!*line)
		return NULL;
	end = strchr(line, '\n');
	if (end)
		*end = '\0';
	p->text = end ? end + 1 : line + strlen(line);
	p->line++;
	return line;
}

static void read_body(struct play *p)
{
	p->body[0] = '\0';
	while (strncmp(p->text, "  ", 2) == 0 || *p->text == '\n') {
		const char *line = next_line(p);

		if (!*line)
			continue;
		strcat(p->body, line + 2);
		strcat(p->body, "\n");
		assert_true(strlen(p->body) < sizeof(p->body) / 2);
	}
}

static bool line_matches(const char *got, size_t got_len, const char *want, size_t want_len)
{
	if (want_len > 0 && want[want_len - 1] == '*')
		return got_len >= want_len - 1 && memcmp(got, want, want_len - 1) == 0;
	return got_len == want_len && memcmp(got, want, want_len) == 0;
}

static void compare(const struct play *p, const char *what, const char *got)
{
	const char *g = got, *w = p->body;

	while (*g || *w) {
		size_t g_len = strcspn(g, "\n"), w_len = strcspn(w, "\n");

		if (!*g || !*w || !line_matches(g, g_len, w, w_len))
			fail_msg("%s:%u: %s is\n%s\nbut should be\n%s", p->file, p->line, what, got,
			         p->body);
		g += g_len + (g[g_len] == '\n');
		w += w_len + (w[w_len] == '\n');
	}
}

static struct rig_answer *labelled(const struct play *p, const char *label)
{
	for (unsigned int i = 0; i < p->n_labels; i++) {
		if (strcmp(p->labels[i].name, label) == 0)
			return p->labels[i].answer;
	}
	fail_msg("%s:%u: no query is called %s", p->file, p->line, label);
	return NULL;
}

static void do_ask(struct play *p, char **words, size_t n)
{
	struct rig_ask ask = { .client = words[1], .name = words[2], .type = words[3] };
	const char *label = NULL;
	bool later = false;

	for (size_t i = 4; i < n; i++) {
		if (strcmp(words[i], "tcp") == 0)
			ask.tcp = true;
		else if (strcmp(words[i], "noedns") == 0)
			ask.no_edns = true;
		else if (strcmp(words[i], "do") == 0)
			ask.dnssec_ok = true;
		else if (strcmp(words[i], "nord") == 0)
			ask.no_rd = true;
		else if (strcmp(words[i], "cd") == 0)
			ask.cd = true;
		else if (strcmp(words[i], "chaos") == 0)
			ask.qclass = 3;
		else if (strncmp(words[i], "size=", 5) == 0)
			ask.udp_bytes = (uint16_t)strtoul(words[i] + 5, NULL, 10);
		else if (strncmp(words[i], "at=", 3) == 0)
			ask.at = words[i] + 3;
		else if (strcmp(words[i], "later") == 0)
			later = true;
		else if (strcmp(words[i], "as") == 0 && i + 1 < n)
			label = words[++i];
		else
			fail_msg("%s:%u: ask ... %s?", p->file, p->line, words[i]);
	}
	p->last = rig_ask(p->rig, &ask);
	if (label) {
		assert_true(p->n_labels < LABELS);
		snprintf(p->labels[p->n_labels].name, sizeof(p->labels[0].name), "%s", label);
		p->labels[p->n_labels++].answer = p->last;
	}
	if (!later)
		rig_turn(p->rig);
}

static void do_upstream(struct play *p, char **words, size_t n)
{
	int rcode = 0;

	if (n > 3 && strcmp(words[3], "silent") == 0) {
		rig_upstream_silent(p->rig, words[1], words[2]);
		return;
	}
	if (n > 3)
		rcode = strcmp(words[3], "NXDOMAIN") == 0   ? 3
		        : strcmp(words[3], "SERVFAIL") == 0 ? 2
		        : strcmp(words[3], "REFUSED") == 0  ? 5
		        : strcmp(words[3], "YXDOMAIN") == 0 ? 6
		                                            : 0;
	rig_upstream(p->rig, words[1], words[2], rcode, p->body);
}

static void do_firewall(struct play *p, char **words, size_t n)
{
	struct rig *rig = p->rig;

	if (strcmp(words[1], "opens") == 0)
		rig->firewall = RIG_FIREWALL_OPENS;
	else if (strcmp(words[1], "silent") == 0)
		rig->firewall = RIG_FIREWALL_SILENT;
	else if (strcmp(words[1], "stopped") == 0)
		rig->firewall = RIG_FIREWALL_STOPPED;
	else if (strcmp(words[1], "old-epoch") == 0)
		rig->firewall = RIG_FIREWALL_OLD_EPOCH;
	else if (strcmp(words[1], "speak") == 0)
		rig_firewall_speak(rig);
	else if (strcmp(words[1], "status") == 0 && n > 2) {
		rig->firewall = RIG_FIREWALL_STATUS;
		rig->firewall_status = (enum pinhole_status)strtoul(words[2], NULL, 10);
	} else if (strcmp(words[1], "version") == 0 && n > 2)
		rig->firewall_version = (uint32_t)strtoul(words[2], NULL, 10);
	else
		fail_msg("%s:%u: firewall %s?", p->file, p->line, words[1]);
}

static void flag_text(char *out, size_t cap, uint16_t flags)
{
	static const char *const names[] = { "cached", "stale",    "truncated",  "ad",      "cd",
		                             "do",     "observed", "unanswered", "stripped" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (flags & 1u << i)
			snprintf(out + strlen(out), cap - strlen(out), " %s", names[i]);
	}
}

static void do_record(struct play *p)
{
	struct record_query r;
	char name[NAME_TEXT_LEN], type[NAME_TYPE_TEXT_LEN], told[RIG_TEXT], text[2 * RIG_TEXT];
	unsigned int n_told;

	if (!rig_record(p->rig, &r, name, sizeof(name), &n_told, told, sizeof(told))) {
		compare(p, "the record", "none\n");
		return;
	}
	name_type_text(r.qtype, type);
	snprintf(text, sizeof(text), "%s (%s) %s %s rcode=%u ttl=%u v%u",
	         verdict_kind_str(r.verdict), reason_str(r.reason), name, type, r.rcode, r.ttl,
	         r.policy_version);
	flag_text(text, sizeof(text), r.flags);
	snprintf(text + strlen(text), sizeof(text) - strlen(text), "\n%s", told);
	compare(p, "the record", text);
}

static void do_count(struct play *p, const char *name, const char *value)
{
	for (unsigned int i = 0; i < COUNT_N; i++) {
		if (strcmp(counter_str((enum counter)i), name) != 0)
			continue;
		if (rig_count(p->rig, (enum counter)i) != strtoull(value, NULL, 10))
			fail_msg("%s:%u: %s is %llu, not %s", p->file, p->line, name,
			         (unsigned long long)rig_count(p->rig, (enum counter)i), value);
		return;
	}
	fail_msg("%s:%u: no counter is called %s", p->file, p->line, name);
}

static void do_advance(struct play *p, const char *text)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 10);

	rig_advance_ms(p->rig, strcmp(end, "ms") == 0 ? n : n * 1000);
}

static void do_look(struct play *p, char *what, const char *name)
{
	compare(p, name, what);
	what[0] = '\0';
}

static void play_line(struct play *p, char *line)
{
	static const uint8_t root[1] = { 0 };
	char *words[WORDS], *save = NULL, text[RIG_TEXT];
	size_t n = 0;

	for (char *w = strtok_r(line, " ", &save); w && n < WORDS; w = strtok_r(NULL, " ", &save))
		words[n++] = w;
	if (n == 0 || words[0][0] == '#')
		return;
	read_body(p);
	if (strcmp(words[0], "policy") == 0) {
		rig_policy(p->rig, p->body);
		rig_turn(p->rig);
	} else if (strcmp(words[0], "upstream") == 0 && n >= 3) {
		do_upstream(p, words, n);
	} else if (strcmp(words[0], "upstreams") == 0 && n == 2) {
		p->rig->upstream =
		    strcmp(words[1], "hold") == 0 ? RIG_UPSTREAM_HOLDS : RIG_UPSTREAM_ANSWERS;
		rig_turn(p->rig);
	} else if (strcmp(words[0], "ask") == 0 && n >= 4) {
		do_ask(p, words, n);
	} else if (strcmp(words[0], "turn") == 0) {
		rig_turn(p->rig);
	} else if (strcmp(words[0], "advance") == 0 && n == 2) {
		do_advance(p, words[1]);
	} else if (strcmp(words[0], "expect") == 0) {
		rig_answer_text(n > 1 ? labelled(p, words[1]) : p->last, text, sizeof(text));
		compare(p, "the answer", text);
	} else if (strcmp(words[0], "sent") == 0) {
		do_look(p, p->rig->sent, "what was sent upstream");
	} else if (strcmp(words[0], "opened") == 0) {
		do_look(p, p->rig->opened, "what was opened");
	} else if (strcmp(words[0], "record") == 0) {
		do_record(p);
	} else if (strcmp(words[0], "firewall") == 0 && n >= 2) {
		do_firewall(p, words, n);
	} else if (strcmp(words[0], "epoch") == 0) {
		atomic_fetch_add(&p->rig->epoch.epoch, 1);
	} else if (strcmp(words[0], "flush") == 0) {
		cache_flush(p->rig->worker.cache, root, true);
	} else if (strcmp(words[0], "count") == 0 && n == 3) {
		do_count(p, words[1], words[2]);
	} else {
		fail_msg("%s:%u: %s?", p->file, p->line, words[0]);
	}
}

static char *read_file(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = calloc(1, 1 << 16);

	if (!file || !text)
		fail_msg("%s cannot be read", path);
	assert_true(fread(text, 1, (1 << 16) - 1, file) > 0);
	fclose(file);
	return text;
}

static void plays(void **state)
{
	const char *name = *state;
	char path[1024], *text, *line;
	struct play *p = calloc(1, sizeof(*p));

	snprintf(path, sizeof(path), "%s/scenarios/%s", SOURCE_DIR, name);
	text = read_file(path);
	p->file = name;
	p->text = text;
	p->rig = rig_new(NULL);
	while ((line = next_line(p)))
		play_line(p, line);
	rig_free(p->rig);
	free(p);
	free(text);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_text(const struct dirent *entry)
{
	return strstr(entry->d_name, ".txt") != NULL;
}

int main(void)
{
	struct dirent **names;
	int n = scandir(SOURCE_DIR "/scenarios", &names, is_text, by_name);
	struct CMUnitTest *tests = n > 0 ? calloc((size_t)n, sizeof(*tests)) : NULL;
	int failed;

	if (!tests) {
		fprintf(stderr, "no scenarios in %s\n", SOURCE_DIR);
		return 1;
	}
	for (int i = 0; i < n; i++)
		tests[i] = (struct CMUnitTest){ .name = names[i]->d_name,
			                        .test_func = plays,
			                        .initial_state = names[i]->d_name };
	failed = _cmocka_run_group_tests("scenarios", tests, (size_t)n, NULL, NULL);
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
	free(tests);
	return failed;
}
