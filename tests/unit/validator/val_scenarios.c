/* tests/unit/validator/val_scenarios.c - whole validations on a fake clock, from the files in
 * scenarios/.
 *
 *     world NAME                            zones (zone.h), for all cases below it
 *         zone ...                          and what is under them
 *         anchor NAME ds|key [K]            of the K-th key with a DS; default: the root's DS
 *         noanchor | nta NAME [UNTIL]
 *         rules sha1 | iterations=N
 *
 *     case TITLE
 *         world NAME
 *         (lines of a world: they change it for this case; `record ZONE TEXT` adds one)
 *         now SPAN | wait SPAN              the wall clock, from the base time; both clocks, on
 *         ask NAME TYPE
 *         claim nodata|nxdomain|data        what the answer is taken for, whatever it is
 *         fault [on NAME TYPE] VERB ...     faults.h; of the answer asked for, or of another
 *         fault zone|record|anchor|now ...  a line that is a fault
 *         heal                              no more faults from here
 *         same                              what is asked from here is one query's: one budget
 *         doubt                             what fails from here is asked for anew, not held
 *         is STATE [WHY] [FIELD=VALUE...]   play it: questions= checks= hashes= turns= ttl=
 *                                           zone= tag= at=NAME/TYPE met=LIMIT (val_budget.h)
 *                                           known=0|1 (was the failure known before?)
 *                                           told=N/SPAN (proofs on the way that others may use,
 *                                           and for how long the last of them)
 *         times N STATE ...                 the same N times
 *         without STATE [WHY]               what comes when the faults are left out
 *
 * A case with faults is played twice: without them it must be secure, or what `without` says. So no
 * negative passes because its zones are broken.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "faults.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/name.h"
#include "val_denial.h"
#include "val_job.h"
#include "val_trace.h"
#include "val_wire.h"

enum {
	LINES = 200,
	RUNS_MAX = 1000, /* of one job; an honest one needs a few dozen */
	/* Signature checks and hashes in one turn, which others have to wait for: the turn's own,
	 * and what the last RRset or name begun in it still takes. */
	CHECKS_MAX = VAL_TURN_CHECKS - 1 + LIMIT_VAL_CHECKS_SET,
	HASHES_MAX = VAL_TURN_HASHES - 1 + 151 * 5 + 8,
	CASES_MIN = 461,
};

struct line {
	unsigned int number;
	char *text; /* without what surrounds it */
};

struct script { /* one scenario file */
	const char *path;
	char *text;
	size_t n;
	struct line *lines;
};

struct player {
	const struct script *script;
	const char *title;
	bool faulty; /* or is it the control run? */
	bool failed;
	unsigned int n_played;
	/* the world, from these lines */
	size_t n_world;
	const struct line *world_lines[LINES];
	bool stale;
	struct zone *zone; /* the last that was named */
	struct world world;
	struct val_anchors *anchors;
	bool no_anchor, has_anchor;
	struct val_rules rules;
	struct val_table *table;
	struct val_now now;
	/* the question, and what happens to answers */
	uint8_t name[NAME_MAX_WIRE];
	uint16_t type;
	size_t n_faults;
	const struct line *faults[LINES];
	int claim;         /* enum val_kind, or -1 */
	bool keeps_budget; /* what is asked next is the same query's */
	bool doubts;
	/* what must come without faults */
	const char *control;
	bool has_faults;
	unsigned int n_questions, n_told;
	uint32_t told_ttl_s;
	struct val_budget budget;
	uint32_t checks_a_turn, hashes_a_turn, n_turns;
};

static void complain(struct player *player, const struct line *line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void complain(struct player *player, const struct line *line, const char *format, ...)
{
	char text[1600];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	print_error("%s:%u: %s%s: %s\n", player->script->path, line->number, player->title,
	            player->faulty ? "" : " (without its faults)", text);
	player->failed = true;
}

/* @text begins with the word @word: what follows; else NULL. */
static const char *after(const char *text, const char *word)
{
	size_t len = strlen(word);

	if (strncmp(text, word, len) != 0 || (text[len] != '\0' && text[len] != ' '))
		return NULL;
	return text + len + strspn(text + len, " ");
}

static const char *read_name(const char *text, uint8_t ret_name[static NAME_MAX_WIRE],
                             const char **ret_rest)
{
	size_t len = strcspn(text, " ");
	char word[NAME_TEXT_LEN];

	snprintf(word, sizeof(word), "%.*s", (int)len, text);
	if (name_from_text(word, ret_name) < 0)
		return "no name";
	name_lower(ret_name, ret_name, val_name_size(ret_name));
	*ret_rest = text + len + strspn(text + len, " ");
	return NULL;
}

static const char *read_question(const char *text, uint8_t ret_name[static NAME_MAX_WIRE],
                                 uint16_t *ret_type, const char **ret_rest)
{
	char word[32];
	const char *wrong = read_name(text, ret_name, ret_rest);
	size_t len = strcspn(*ret_rest, " ");

	if (wrong)
		return wrong;
	snprintf(word, sizeof(word), "%.*s", (int)len, *ret_rest);
	*ret_rest += len + strspn(*ret_rest + len, " ");
	return name_type_parse(word, ret_type) < 0 ? "no type" : NULL;
}

/* The world's lines. */

static const char *on_record(struct player *player, const char *text)
{
	uint8_t name[NAME_MAX_WIRE];
	const char *rest, *wrong = read_name(text, name, &rest);
	struct zone *zone = wrong ? NULL : world_find(&player->world, name);

	return zone ? world_record(&player->world, zone, rest) : "no such zone";
}

static const char *on_zone(struct player *player, const char *text)
{
	uint8_t name[NAME_MAX_WIRE];
	const char *rest, *wrong = world_zone(&player->world, text);

	if (wrong || read_name(text, name, &rest))
		return wrong;
	player->zone = world_find(&player->world, name);
	return NULL;
}

static const char *on_anchor(struct player *player, const char *text)
{
	uint8_t name[NAME_MAX_WIRE], ds[KEY_DS_MAX];
	const char *rest, *wrong = read_name(text, name, &rest);
	struct zone *zone = wrong ? NULL : world_find(&player->world, name);
	bool as_key = strncmp(rest, "key", 3) == 0;
	unsigned long which = strtoul(rest + strcspn(rest, " "), NULL, 10), seen = 0;

	if (!zone)
		return "no such zone";
	player->has_anchor = true;
	for (unsigned int k = 0; k < zone->n_keys; k++) {
		const struct key *key = &zone->keys[k].key;
		size_t len = key_ds(key, name, zone->digests[0], ds);
		int r;

		if (!zone->keys[k].has_ds || seen++ != which)
			continue;
		r = as_key ? val_anchors_add(player->anchors, name, VAL_TYPE_DNSKEY, key->rdata,
		                             key->rdata_len)
		           : val_anchors_add(player->anchors, name, VAL_TYPE_DS, ds, len);
		return r < 0 ? "the anchor is not taken" : NULL;
	}
	return "no such key";
}

static const char *on_nta(struct player *player, const char *text)
{
	uint8_t name[NAME_MAX_WIRE];
	const char *rest, *wrong = read_name(text, name, &rest);
	uint64_t until = *rest ? ZONE_BASE_S + (uint64_t)span_parse(rest) : 0;

	if (wrong)
		return wrong;
	return val_anchors_add_negative(player->anchors, name, until) < 0 ? "not taken" : NULL;
}

static const char *on_rules(struct player *player, const char *text)
{
	if (strcmp(text, "sha1") == 0)
		player->rules.sha1 = true;
	else if (strncmp(text, "iterations=", 11) == 0)
		player->rules.iterations = (uint16_t)atoi(text + 11);
	else
		return "no such rule";
	return NULL;
}

static const char *on_noanchor(struct player *player, const char *text)
{
	(void)text; /* there is nothing to say */
	player->no_anchor = true;
	return NULL;
}

static const struct {
	const char *word;
	const char *(*read)(struct player *player, const char *text);
} world_words[] = {
	{ "zone", on_zone },         { "record", on_record },
	{ "nta", on_nta },           { "rules", on_rules },
	{ "noanchor", on_noanchor }, { "anchor", on_anchor }, /* last: it needs the keys */
};

static bool is_world_word(const char *text)
{
	for (size_t i = 0; i < ARRAY_LEN(world_words); i++) {
		if (after(text, world_words[i].word))
			return true;
	}
	return false;
}

static void world_line(struct player *player, const struct line *line, bool anchors)
{
	const char *text = line->text, *wrong = NULL;

	text = after(text, "fault") ? after(text, "fault") : text;
	if ((after(text, "anchor") != NULL) != anchors)
		return;
	for (size_t i = 0; i < ARRAY_LEN(world_words); i++) {
		const char *rest = after(text, world_words[i].word);

		if (!rest)
			continue;
		wrong = world_words[i].read(player, rest);
		if (wrong)
			complain(player, line, "%s", wrong);
		return;
	}
	wrong = player->zone ? world_record(&player->world, player->zone, text) : "no zone yet";
	if (wrong)
		complain(player, line, "%s", wrong);
}

static void build_world(struct player *player)
{
	static const struct line root = { 0, (char *)(uintptr_t) ". ds" };

	world_fini(&player->world);
	val_anchors_free(player->anchors);
	world_init(&player->world);
	player->anchors = val_anchors_new();
	assert_non_null(player->anchors);
	player->rules = val_rules_default;
	player->no_anchor = player->has_anchor = false;
	player->zone = NULL;
	for (size_t i = 0; i < player->n_world; i++)
		world_line(player, player->world_lines[i], false);
	for (size_t i = 0; i < player->n_world; i++)
		world_line(player, player->world_lines[i], true);
	if (!player->no_anchor && !player->has_anchor) {
		const char *wrong = on_anchor(player, root.text);

		if (wrong)
			complain(player, player->world_lines[0], "%s", wrong);
	}
	world_finish(&player->world);
	player->stale = false;
}

/* Playing. */

/* "fault on NAME TYPE VERB": is it for this question? What remains, or NULL. */
static const char *fault_for(struct player *player, const struct line *line, const uint8_t *name,
                             uint16_t type)
{
	const char *text = after(line->text, "fault"), *on = after(text, "on"), *rest;
	uint8_t other[NAME_MAX_WIRE];
	uint16_t other_type;

	if (!on) {
		memcpy(other, player->name, sizeof(other));
		other_type = player->type;
		rest = text;
	} else if (read_question(on, other, &other_type, &rest)) {
		complain(player, line, "on NAME TYPE");
		return NULL;
	}
	return type == other_type && name_equal(name, other) ? rest : NULL;
}

/* The answer as it arrives; NULL: none does. */
static struct val_message *receive(struct player *player, const uint8_t *name, uint16_t type)
{
	struct answer *answer = world_alloc(&player->world, sizeof(*answer));
	struct val_message *message = NULL;

	world_answer(&player->world, name, type, answer);
	for (size_t i = 0; i < player->n_faults; i++) {
		const char *text = fault_for(player, player->faults[i], name, type), *wrong;

		if (!text)
			continue;
		wrong = fault_apply(&player->world, text, name, type, answer);
		if (wrong)
			complain(player, player->faults[i], "%s", wrong);
	}
	if (answer->missing)
		return NULL;
	assert_int_equal(val_message_make(answer->rows, answer->n, answer->rcode, &message),
	                 ERR_OK);
	return message;
}

/* As the resolver would take it. */
static void classify(struct player *player, const struct val_message *message,
                     struct val_subject *subject)
{
	const struct val_set *cname =
	    val_message_find(message, VAL_ANSWER, player->name, VAL_TYPE_CNAME);

	*subject =
	    (struct val_subject){ .name = player->name, .type = player->type, .message = message };
	if (player->claim >= 0) {
		subject->kind = (enum val_kind)player->claim;
	} else if (val_message_find(message, VAL_ANSWER, player->name, player->type)) {
		subject->kind = VAL_DATA;
	} else if (cname) {
		uint8_t *target = world_alloc(&player->world, NAME_MAX_WIRE);

		name_lower(target, cname->rrs[0].data, cname->rrs[0].len);
		subject->kind = VAL_ALIAS;
		subject->target = target;
	} else {
		subject->kind = message->rcode == 3 ? VAL_NXDOMAIN : VAL_NODATA;
	}
}

/* P2: DS and DNSKEY of the name or above it, and nothing at or below a negative anchor. */
static void check_need(struct player *player, const struct line *line, const struct val_need *need)
{
	const struct val_anchor *anchor =
	    val_anchors_above(player->anchors, need->name, player->now.wall_s);
	char name[NAME_TEXT_LEN];

	name_to_text(need->name, name);
	if (need->type != VAL_TYPE_DS && need->type != VAL_TYPE_DNSKEY)
		complain(player, line, "type %u of %s is asked for", need->type, name);
	if (!name_is_under(player->name, need->name))
		complain(player, line, "%s, which is not above the name, is asked for", name);
	if (anchor && anchor->negative)
		complain(player, line, "%s is asked for, below a negative anchor", name);
}

static void answer_need(struct player *player, const struct line *line, struct val_job *job)
{
	struct val_need need = *val_job_need(job);

	check_need(player, line, &need);
	player->n_questions++;
	val_job_give(job, receive(player, need.name, need.type));
}

static void run_job(struct player *player, const struct line *line, struct val_job *job)
{
	enum val_step step = VAL_TURN;

	player->n_questions = player->n_turns = 0;
	for (unsigned int runs = 0; step != VAL_DONE; runs++) {
		uint32_t checks = player->budget.checks, hashes = player->budget.hashes;

		if (runs == RUNS_MAX) {
			complain(player, line, "it does not end");
			return;
		}
		/* What is needed is at hand at once: that is the same turn. */
		val_budget_turn(&player->budget);
		while ((step = val_job_run(job, &player->now)) == VAL_NEED)
			answer_need(player, line, job);
		checks -= player->budget.checks;
		hashes -= player->budget.hashes;
		if (checks > CHECKS_MAX || hashes > HASHES_MAX)
			complain(player, line, "%u signature checks, %u hashes in one turn", checks,
			         hashes);
		player->checks_a_turn = MAX(player->checks_a_turn, checks);
		player->hashes_a_turn = MAX(player->hashes_a_turn, hashes);
		player->n_turns++;
	}
}

/* "state why", as it is written in scenarios. */
static void describe(const struct val_result *result, char *out, size_t size)
{
	char name[NAME_TEXT_LEN], type[NAME_TYPE_TEXT_LEN], zone[NAME_TEXT_LEN];

	name_to_text(result->name, name);
	name_type_text(result->type, type);
	name_to_text(result->zone, zone);
	snprintf(out, size, "%s%s%s ttl=%u at=%s/%s zone=%s tag=%u known=%d",
	         val_state_str(result->state), result->state == VAL_SECURE ? "" : " ",
	         result->state == VAL_SECURE ? "" : val_why_name(result->why), result->ttl_s, name,
	         type, zone, result->tag, result->held_ns != 0);
}

/* " met=NAME" for each limit. */
static void describe_met(uint32_t met, char *out, size_t size)
{
#define LIMIT_NAME(sym) #sym,
	static const char *const names[] = { VAL_LIMITS(LIMIT_NAME) };
	size_t at = 0;

	*out = '\0';
	for (unsigned int i = 0; i < VAL_LIMIT_N && at < size; i++) {
		if (met & (UINT32_C(1) << i))
			at += (size_t)snprintf(out + at, size - at, " met=%s", names[i]);
	}
}

/* Every word of @want must be a word of @got. */
static bool fits(const char *want, const char *got)
{
	char copy[1000], padded[3000], word[1100], *next;

	snprintf(copy, sizeof(copy), "%s", want);
	snprintf(padded, sizeof(padded), " %s ", got);
	for (char *w = strtok_r(copy, " ", &next); w; w = strtok_r(NULL, " ", &next)) {
		snprintf(word, sizeof(word), " %s ", w);
		if (!strstr(padded, word))
			return false;
	}
	return true;
}

static void on_denied(void *ctx, const struct val_denial *denial, const struct val_set *soa,
                      uint32_t ttl_s)
{
	struct player *player = ctx;

	assert_true(name_equal(denial->zone, soa->owner));
	player->n_told++;
	player->told_ttl_s = ttl_s;
}

static void play(struct player *player, const struct line *line, const char *want)
{
	const struct val_config config = { .rules = &player->rules,
		                           .anchors = player->anchors,
		                           .table = player->table,
		                           .denied = on_denied,
		                           .ctx = player };
	char got[2800], spent[100];
	struct val_subject subject;

	if (player->stale)
		build_world(player);
	if (player->failed)
		return;

	struct val_config current = config;
	CLEANUP(val_message_free)
	struct val_message *message = receive(player, player->name, player->type);

	current.anchors = player->anchors;
	if (!message) {
		complain(player, line, "there is no answer to judge");
		return;
	}
	classify(player, message, &subject);

	if (!player->keeps_budget)
		val_budget_init(&player->budget);
	player->budget.met = 0;
	player->n_told = player->told_ttl_s = 0;

	const uint32_t checks = player->budget.checks, hashes = player->budget.hashes;
	CLEANUP(val_job_free)
	struct val_job *job = val_job_new(&current, &subject, &player->budget);

	assert_non_null(job);
	run_job(player, line, job);
	if (val_job_result(job)->state == VAL_BOGUS && player->doubts)
		val_job_doubt(job, &player->now);
	else if (val_job_result(job)->state == VAL_BOGUS)
		val_job_hold(job);
	describe(val_job_result(job), got, sizeof(got));
	snprintf(spent, sizeof(spent), " questions=%u checks=%u hashes=%u turns=%u told=%u/%u",
	         player->n_questions, checks - player->budget.checks,
	         hashes - player->budget.hashes, player->n_turns, player->n_told,
	         player->told_ttl_s);
	strcat(got, spent);
	describe_met(player->budget.met, got + strlen(got), sizeof(got) - strlen(got));
	player->n_played++;
	if (!fits(player->faulty ? want : player->control, got))
		complain(player, line, "wanted %s, got %s", player->faulty ? want : player->control,
		         got);
}

static void times(struct player *player, const struct line *line, const char *text)
{
	char *want;
	unsigned long n = strtoul(text, &want, 10);

	for (unsigned long i = 0; i < n && !player->failed; i++)
		play(player, line, want);
}

static void on_claim(struct player *player, const struct line *line, const char *text)
{
	static const char *const kinds[] = { [VAL_DATA] = "data",
		                             [VAL_ALIAS] = "alias",
		                             [VAL_NODATA] = "nodata",
		                             [VAL_NXDOMAIN] = "nxdomain" };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (strcmp(text, kinds[i]) == 0) {
			player->claim = (int)i;
			return;
		}
	}
	complain(player, line, "no such kind");
}

static void add_world_line(struct player *player, const struct line *line)
{
	assert_true(player->n_world < LINES);
	player->world_lines[player->n_world++] = line;
	player->stale = true;
}

/* The lines of `world NAME`. */
static void use_world(struct player *player, const struct line *line, const char *name)
{
	const struct script *script = player->script;
	bool inside = false, found = false;

	for (size_t i = 0; i < script->n; i++) {
		const char *text = script->lines[i].text;
		const char *title = after(text, "world");

		if (after(text, "case"))
			break;
		if (title)
			inside = strcmp(title, name) == 0;
		else if (inside)
			add_world_line(player, &script->lines[i]);
		found = found || inside;
	}
	if (!found)
		complain(player, line, "no such world above the first case");
}

static void case_line(struct player *player, const struct line *line)
{
	const char *text = line->text, *rest;
	const char *fault = after(text, "fault");

	if (fault) {
		player->has_faults = true;
		if (!player->faulty)
			return;
		text = fault;
	}
	if (is_world_word(text)) {
		add_world_line(player, line);
		return;
	}
	if ((rest = after(text, "now"))) {
		player->now.wall_s = ZONE_BASE_S + (uint64_t)span_parse(rest);
	} else if (fault) {
		assert_true(player->n_faults < LINES);
		player->faults[player->n_faults++] = line;
	} else if ((rest = after(text, "world"))) {
		use_world(player, line, rest);
	} else if ((rest = after(text, "wait"))) {
		player->now.wall_s += (uint64_t)span_parse(rest);
		player->now.mono_ns += (uint64_t)span_parse(rest) * NS_PER_S;
	} else if ((rest = after(text, "ask"))) {
		if (read_question(rest, player->name, &player->type, &rest))
			complain(player, line, "ask NAME TYPE");
	} else if ((rest = after(text, "claim"))) {
		on_claim(player, line, rest);
	} else if (after(text, "heal")) {
		player->n_faults = 0;
	} else if (after(text, "doubt")) {
		player->doubts = true;
	} else if (after(text, "same")) {
		player->keeps_budget = true;
		val_budget_init(&player->budget);
	} else if ((rest = after(text, "is"))) {
		play(player, line, rest);
	} else if ((rest = after(text, "times"))) {
		times(player, line, rest);
	} else if ((rest = after(text, "without"))) {
		player->control = rest;
	} else { /* a record of the zone above */
		add_world_line(player, line);
	}
}

static void player_init(struct player *player, const struct script *script, const char *title)
{
	static const uint8_t hash_key[16] = "0123456789abcde";

	memset(player, 0, sizeof(*player));
	player->script = script;
	player->title = title;
	player->table = val_table_new(hash_key);
	assert_non_null(player->table);
	player->now = (struct val_now){ ZONE_BASE_S, 1000 * NS_PER_S };
	player->claim = -1;
	player->control = "secure";
}

static void player_fini(struct player *player)
{
	world_fini(&player->world);
	val_anchors_free(player->anchors);
	val_table_free(player->table);
}

/* `without` may stand behind the lines that it is about. */
static const char *control_of(const struct script *script, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		const char *rest = after(script->lines[i].text, "without");

		if (rest)
			return rest;
	}
	return "secure";
}

struct tally {
	unsigned int n_cases, n_failed, n_faulty;
	uint32_t checks_a_turn, hashes_a_turn;
};

/* Lines @from to @to are one case; @from is its title. */
static void play_case(const struct script *script, size_t from, size_t to, struct tally *tally)
{
	const char *title = after(script->lines[from].text, "case");
	bool failed = false, has_faults = true;

	for (int faulty = 1; faulty >= 0 && (faulty || has_faults); faulty--) {
		struct player player;

		player_init(&player, script, title);
		player.faulty = faulty;
		player.control = control_of(script, from, to);
		for (size_t i = from + 1; i < to && !player.failed; i++)
			case_line(&player, &script->lines[i]);
		if (!player.failed && player.n_played == 0)
			complain(&player, &script->lines[from], "nothing is asked");
		has_faults = player.has_faults;
		failed = failed || player.failed;
		tally->checks_a_turn = MAX(tally->checks_a_turn, player.checks_a_turn);
		tally->hashes_a_turn = MAX(tally->hashes_a_turn, player.hashes_a_turn);
		player_fini(&player);
	}
	tally->n_cases++;
	tally->n_failed += failed;
	tally->n_faulty += has_faults;
}

static void script_read(struct script *script, const char *path)
{
	FILE *file = fopen(path, "r");
	unsigned int number = 0;
	char *next;
	long size;

	assert_non_null(file);
	fseek(file, 0, SEEK_END);
	size = ftell(file);
	rewind(file);
	*script = (struct script){ .path = path, .text = calloc(1, (size_t)size + 2) };
	assert_int_equal(fread(script->text, 1, (size_t)size, file), size);
	fclose(file);
	script->lines = calloc((size_t)size + 1, sizeof(*script->lines));
	for (char *text = script->text; text; text = next) {
		next = strchr(text, '\n');
		if (next)
			*next++ = '\0';
		number++;
		for (char *c = text; *c; c++)
			*c = *c == '\t' ? ' ' : *c;
		text += strspn(text, " ");
		for (size_t len = strlen(text); len > 0 && text[len - 1] == ' '; len--)
			text[len - 1] = '\0';
		if (*text && *text != '#')
			script->lines[script->n++] = (struct line){ number, text };
	}
}

static void play_script(const char *path, struct tally *tally)
{
	struct script script;

	script_read(&script, path);
	for (size_t from = 0, to; from < script.n; from = to) {
		to = from + 1;
		while (to < script.n && !after(script.lines[to].text, "case"))
			to++;
		if (after(script.lines[from].text, "case"))
			play_case(&script, from, to, tally);
	}
	free(script.lines);
	free(script.text);
}

static void every_scenario_ends_as_it_says(void **state)
{
	struct tally tally = { 0 };
	DIR *dir = opendir(SOURCE_DIR "/scenarios");

	(void)state;
	assert_non_null(dir);
	for (struct dirent *entry; (entry = readdir(dir));) {
		const char *only = getenv("SCENARIOS"); /* one file, while it is written */
		char path[4096];

		if (entry->d_name[0] == '.' || (only && strcmp(only, entry->d_name) != 0))
			continue;
		snprintf(path, sizeof(path), "%s/scenarios/%s", SOURCE_DIR, entry->d_name);
		play_script(path, &tally);
	}
	closedir(dir);
	print_message("%u cases, %u with faults; at most %u signature checks and %u hashes in one "
	              "turn\n",
	              tally.n_cases, tally.n_faulty, tally.checks_a_turn, tally.hashes_a_turn);
	if (tally.n_failed > 0)
		fail_msg("%u of %u cases failed", tally.n_failed, tally.n_cases);
	if (!getenv("SCENARIOS"))
		assert_true(tally.n_cases >= CASES_MIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_scenario_ends_as_it_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
