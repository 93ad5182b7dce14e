/* tests/unit/keeper/keeper_upkeep.c - RFC 5011 on a fake clock: a whole roll of a zone's keys,
 * every way that it can go wrong, and the file that remembers it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sallyport/err.h"
#include "upkeep_file.h"

#define DAY UINT64_C(86400)
#define BEGIN (UINT64_C(1800000000))
#define TTL 172800
#define EXPIRY (uint32_t)(14 * DAY)

/* Keys are letters: 'A' is a key of its own, "A!" it with its REVOKE bit and its own signature,
 * "A?" with the bit alone, "a" a key without SEP. "A*" is named by the configuration. */
static void make_id(char letter, struct keys_id *id)
{
	memset(id, 0, sizeof(*id));
	id->len = 36;
	id->tag = (uint16_t)letter;
	id->rdata[0] = 1;
	id->rdata[1] = letter >= 'a' ? 0 : 1;
	id->rdata[2] = 3;
	id->rdata[3] = 13;
	memset(id->rdata + 4, letter, 32);
	memset(id->sha256, letter, sizeof(id->sha256));
	memset(id->sha1, letter, sizeof(id->sha1));
	memset(id->sha384, letter, sizeof(id->sha384));
}

static struct upkeep_seen see(uint64_t now_s, const char *keys, bool verified)
{
	struct upkeep_seen seen = { .now_s = now_s,
		                    .reached = true,
		                    .verified = verified,
		                    .ttl_s = TTL,
		                    .expires_in_s = EXPIRY };

	for (; *keys; keys++) {
		struct keys_seen *key = &seen.keys[seen.n_keys++];

		make_id(*keys, &key->id);
		if (keys[1] == '!' || keys[1] == '?')
			key->revoked = 1, key->self_signed = *++keys == '!';
		if (keys[1] == '*')
			key->configured = 1, keys++;
	}
	return seen;
}

/* "A=valid B=addpend" */
static const char *states(const struct upkeep_zone *zone)
{
	static char text[400];
	size_t n = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < zone->n_keys; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%c=%s", i ? " " : "",
		                      zone->keys[i].id.rdata[4],
		                      upkeep_state_str((enum upkeep_state)zone->keys[i].state));
	return text;
}

struct step {
	double day;
	const char *keys; /* NULL: nobody answers; with '~' in front: no trusted key signs it */
	const char *want;
	bool changed; /* another set is trusted */
};

static void play(const char *title, struct upkeep_zone *zone, const struct step *steps, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct step *step = &steps[i];
		uint64_t now_s = BEGIN + (uint64_t)(step->day * (double)DAY);
		bool verified = step->keys && step->keys[0] != '~';
		struct upkeep_seen seen =
		    see(now_s, step->keys ? step->keys + !verified : "", verified);
		bool changed;

		seen.reached = step->keys != NULL;
		changed = upkeep_observe(zone, &seen, &upkeep_times_default);
		if (strcmp(states(zone), step->want) != 0)
			fail_msg("%s, day %g: %s", title, step->day, states(zone));
		if (changed != step->changed)
			fail_msg("%s, day %g: trust has %schanged", title, step->day,
			         changed ? "" : "not ");
		if (!upkeep_sound(zone))
			fail_msg("%s, day %g: the state is not sound", title, step->day);
	}
}

#define PLAY(title, ...)                                                                           \
	do {                                                                                       \
		struct upkeep_zone zone = { .name = "" };                                          \
		const struct step steps[] = { __VA_ARGS__ };                                       \
                                                                                                   \
		play(title, &zone, steps, ARRAY_LEN(steps));                                       \
	} while (0)

static void a_whole_roll(void **state)
{
	(void)state;
	PLAY("roll", { 0, "A*z", "A=valid", true }, { 1, "A*z", "A=valid", false },
	     { 10, "A*Bz", "A=valid B=addpend", false }, { 20, "A*B", "A=valid B=addpend", false },
	     { 39.99, "A*B", "A=valid B=addpend", false }, { 40, "A*B", "A=valid B=valid", true },
	     { 50, "A!*B", "A=revoked B=valid", true }, { 51, "A!*B", "A=revoked B=valid", false },
	     { 70, "B", "A=revoked B=valid", false }, { 80, "B", "A=removed B=valid", false },
	     /* Whoever has the old private key may show it again: it stays what it is. */
	     { 90, "A*B", "A=removed B=valid", false }, { 200, "A*B", "A=removed B=valid", false });
}

static void each_way_of_the_table(void **state)
{
	(void)state;
	PLAY("pending goes: from the beginning", { 0, "A*", "A=valid", true },
	     { 1, "A*B", "A=valid B=addpend", false }, { 30, "A*", "A=valid", false },
	     { 31, "A*B", "A=valid B=addpend", false }, { 60.9, "A*B", "A=valid B=addpend", false },
	     { 61, "A*B", "A=valid B=valid", true });
	PLAY("only a sight after the hold-down counts", { 0, "A*", "A=valid", true },
	     { 1, "A*B", "A=valid B=addpend", false }, { 45, NULL, "A=valid B=addpend", false },
	     { 46, "~A*B", "A=valid B=addpend", false }, { 47, "A*B", "A=valid B=valid", true });
	PLAY("missing and back: trusted all the time", { 0, "A*B*", "A=valid B=valid", true },
	     { 1, "B*", "A=missing B=valid", false }, { 100, "B*", "A=missing B=valid", false },
	     { 101, "A*B*", "A=valid B=valid", false });
	PLAY("revoked while missing", { 0, "A*B*", "A=valid B=valid", true },
	     { 1, "B*", "A=missing B=valid", false }, { 2, "A!*B*", "A=revoked B=valid", true });
	PLAY("revoked while pending", { 0, "A*", "A=valid", true },
	     { 1, "A*B", "A=valid B=addpend", false }, { 2, "A*B!", "A=valid B=revoked", false },
	     { 3, "A*B", "A=valid B=revoked", false }, { 40, "A*B", "A=valid B=removed", false });
	PLAY("not signed by itself: no revocation", { 0, "A*B*", "A=valid B=valid", true },
	     { 1, "A?*B*", "A=missing B=valid", false }, { 2, "A*B*", "A=valid B=valid", false });
	PLAY("a revocation needs nobody else's signature", { 0, "A*B*", "A=valid B=valid", true },
	     { 1, "~A!*B*", "A=revoked B=valid", true });
	PLAY("an RRset that no trusted key signs says nothing", { 0, "A*", "A=valid", true },
	     { 1, "~B", "A=valid", false }, { 50, "~AB", "A=valid", false });
	PLAY("nobody answers", { 0, "A*", "A=valid", true }, { 400, NULL, "A=valid", false });
	PLAY("a stranger's revocation", { 0, "A*", "A=valid", true },
	     { 1, "A*X!", "A=valid", false });
	PLAY("configured and revoked at first sight", { 0, "A!*B*", "A=revoked B=valid", true },
	     { 1, "A*B*", "A=revoked B=valid", false });
	/* It was trusted, for the configuration names it: whoever goes by our word must hear. */
	PLAY("another that is configured, revoked at first sight", { 0, "A*", "A=valid", true },
	     { 1, "A*C!*", "A=valid C=revoked", true }, { 2, "A*C!*", "A=valid C=revoked", false },
	     { 3, "~A*C!*", "A=valid C=revoked", false });
	PLAY("configured while pending", { 0, "A*", "A=valid", true },
	     { 1, "A*B", "A=valid B=addpend", false }, { 2, "A*B*", "A=valid B=valid", true });
	PLAY("keys without the SEP flag are none of ours", { 0, "A*abc", "A=valid", true });
	PLAY("both revoked", { 0, "A*B*", "A=valid B=valid", true },
	     { 1, "A!*B!*", "A=revoked B=revoked", true });
}

static void a_long_ttl_holds_longer_than_thirty_days(void **state)
{
	struct upkeep_zone zone = { .name = "" };
	struct upkeep_seen seen = see(BEGIN, "A*", true);

	(void)state;
	assert_true(upkeep_observe(&zone, &seen, &upkeep_times_default));
	seen = see(BEGIN + DAY, "A*B", true);
	seen.ttl_s = 45 * DAY;
	assert_false(upkeep_observe(&zone, &seen, &upkeep_times_default));
	assert_int_equal(zone.keys[1].until_s, BEGIN + 46 * DAY);
}

static void it_is_asked_as_section_2_3_says(void **state)
{
	static const struct {
		const char *title;
		uint32_t ttl_s, expires_in_s;
		uint64_t refresh_s, retry_s;
	} cases[] = {
		{ "the root's", 172800, 14 * 86400, 86400, 17280 },
		{ "an hour at least", 60, 14 * 86400, 3600, 3600 },
		{ "fifteen days at most, a day for a retry", 90 * 86400, 90 * 86400, 15 * 86400,
		  86400 },
		{ "half of what the signature has left", 172800, 86400, 43200, 8640 },
		{ "a signature that ends now", 172800, 0, 3600, 3600 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct upkeep_zone zone = { .name = "" };
		struct upkeep_seen seen = see(BEGIN, "A*", true);

		seen.ttl_s = cases[i].ttl_s;
		seen.expires_in_s = cases[i].expires_in_s;
		(void)upkeep_observe(&zone, &seen, &upkeep_times_default);
		if (zone.next_s != BEGIN + cases[i].refresh_s)
			fail_msg("%s: refreshed after %llu s", cases[i].title,
			         (unsigned long long)(zone.next_s - BEGIN));
		seen = see(BEGIN + 5, "", false);
		(void)upkeep_observe(&zone, &seen, &upkeep_times_default);
		if (zone.next_s != BEGIN + 5 + cases[i].retry_s)
			fail_msg("%s: tried again after %llu s", cases[i].title,
			         (unsigned long long)(zone.next_s - BEGIN - 5));
	}
}

static struct conf_anchor configured(char letter, uint16_t type)
{
	struct conf_anchor anchor = { .type = type };
	struct keys_id id;

	make_id(letter, &id);
	if (type == 48) {
		anchor.len = id.len;
		memcpy(anchor.rdata, id.rdata, id.len);
		return anchor;
	}
	memcpy(anchor.rdata, (uint8_t[]){ 0, (uint8_t)letter, 13, 2 }, 4);
	memcpy(anchor.rdata + 4, id.sha256, sizeof(id.sha256));
	anchor.len = 4 + sizeof(id.sha256);
	return anchor;
}

/* "A=48 C=43": letter and type of each. */
static const char *in_force(const struct upkeep_zone *zone, bool is_last)
{
	static char text[200];
	struct conf_anchor all[LIMIT_UPKEEP_KEYS + 3];
	const struct conf_anchor conf[] = { configured('A', 43), configured('B', 48),
		                            configured('C', 43) };
	size_t n = upkeep_anchors(zone, conf, ARRAY_LEN(conf), is_last, all), at = 0;

	text[0] = '\0';
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%c=%u%s", i ? " " : "",
		                       all[i].rdata[4], all[i].type,
		                       all[i].type == 48 && (all[i].rdata[1] & 0x80) ? "!" : "");
	return text;
}

static void the_state_speaks_before_the_configuration(void **state)
{
	struct upkeep_zone zone = { .name = "" };
	const struct step first[] = { { 0, "A*D", "A=valid D=addpend", true } };
	const struct step roll[] = { { 31, "A*D", "A=valid D=valid", true },
		                     { 32, "D", "A=missing D=valid", false } };
	const struct step revoked[] = { { 33, "A!*B!*D", "A=revoked D=valid B=revoked", true } };
	const struct step all[] = { { 34, "C!*D!", "A=revoked D=revoked B=revoked C=revoked",
		                      true } };

	(void)state;
	assert_string_equal(in_force(&zone, true), "A=43 B=48 C=43");
	play("first", &zone, first, ARRAY_LEN(first));
	assert_string_equal(in_force(&zone, true), "A=48 B=48 C=43");
	play("roll", &zone, roll, ARRAY_LEN(roll));
	assert_string_equal(in_force(&zone, true), "A=48 D=48 B=48 C=43");
	play("revoked", &zone, revoked, ARRAY_LEN(revoked));
	assert_string_equal(in_force(&zone, true), "D=48 C=43");
	play("all revoked", &zone, all, ARRAY_LEN(all));
	/* Nothing fits a revoked key: what is below is bogus. With a zone above, that decides. */
	assert_string_equal(in_force(&zone, true), "A=48!");
	assert_string_equal(in_force(&zone, false), "");
}

static void more_keys_than_are_kept_are_passed_over(void **state)
{
	struct upkeep_zone zone = { .name = "" };
	struct upkeep_seen seen = see(BEGIN, "A*BCDEFGHIJKLMNOPQRST", true);

	(void)state;
	assert_true(upkeep_observe(&zone, &seen, &upkeep_times_default));
	assert_int_equal(zone.n_keys, LIMIT_UPKEEP_KEYS);
	assert_int_equal(zone.result, UPKEEP_LIMIT);
	assert_true(upkeep_sound(&zone));
}

/* Once a month another key, as the owner of a private zone may do it for years. */
static void a_zone_may_roll_for_ever(void **state)
{
	struct upkeep_zone zone = { .name = "" };
	char keys[8] = "A*";
	uint64_t now_s = BEGIN;

	(void)state;
	for (char next = 'B'; next <= 'Z'; next++) {
		struct upkeep_seen seen;

		snprintf(keys, sizeof(keys), "%c%s%c", next - 1, next == 'B' ? "*" : "", next);
		seen = see(now_s, keys, true);
		(void)upkeep_observe(&zone, &seen, &upkeep_times_default);
		now_s += 31 * DAY;
		seen = see(now_s, keys, true);
		if (!upkeep_observe(&zone, &seen, &upkeep_times_default))
			fail_msg("%c is not trusted: %s", next, states(&zone));
		snprintf(keys, sizeof(keys), "%c!%s%c", next - 1, next == 'B' ? "*" : "", next);
		seen = see(++now_s, keys, true);
		assert_true(upkeep_observe(&zone, &seen, &upkeep_times_default));
		assert_int_equal(zone.result, UPKEEP_OK);
		assert_true(upkeep_sound(&zone));
		now_s += 31 * DAY;
	}
	assert_int_equal(zone.n_keys, LIMIT_UPKEEP_KEYS);
	/* What the configuration names is not forgotten, or it would be trusted again. */
	assert_int_equal(zone.keys[0].id.rdata[4], 'A');
	assert_int_equal(zone.keys[0].state, UPKEEP_REMOVED);
}

static void what_is_still_shown_is_not_forgotten(void **state)
{
	struct upkeep_zone zone = { .name = "" };
	struct upkeep_seen seen = see(BEGIN, "ABCDEFGHIJKLMNOP*", true);

	(void)state;
	(void)upkeep_observe(&zone, &seen, &upkeep_times_default);
	seen = see(BEGIN + DAY, "A!B!CDEFGHIJKLMNOP*", true);
	(void)upkeep_observe(&zone, &seen, &upkeep_times_default);
	assert_true(upkeep_tick(&zone, BEGIN + 40 * DAY));
	seen = see(BEGIN + 40 * DAY, "ACDEFGHIJKLMNOP*Q", true);
	(void)upkeep_observe(&zone, &seen, &upkeep_times_default);
	/* A is there without its bit again, and longest removed; B made room. */
	assert_string_equal(states(&zone),
	                    "A=removed Q=addpend C=valid D=valid E=valid F=valid G=valid H=valid "
	                    "I=valid J=valid K=valid L=valid M=valid N=valid O=valid P=valid");
	seen = see(BEGIN + 41 * DAY, "ACDEFGHIJKLMNOP*QR", true);
	(void)upkeep_observe(&zone, &seen, &upkeep_times_default);
	assert_int_equal(zone.result, UPKEEP_LIMIT);
	assert_null(strstr(states(&zone), "R="));
}

static void the_configuration_says_which_it_names(void **state)
{
	struct upkeep_zone zone = { .name = "" };
	struct upkeep_seen seen = see(BEGIN, "A*BC", true);
	struct conf_anchor conf[] = { configured('B', 43), configured('C', 48) };

	(void)state;
	(void)upkeep_observe(&zone, &seen, &upkeep_times_default);
	assert_true(zone.keys[0].named && !zone.keys[1].named && !zone.keys[2].named);
	conf[1].name[0] = 1; /* another zone's */
	upkeep_name(&zone, conf, ARRAY_LEN(conf));
	assert_true(!zone.keys[0].named && zone.keys[1].named && !zone.keys[2].named);
}

/* ---- the file ---- */

static char dir[] = "/tmp/sallyport-upkeep-XXXXXX";

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) && sodium_init() >= 0 ? 0 : -1;
}

static int remove_dir(void **state)
{
	char command[100];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command); /* NOLINT(cert-env33-c): a path of our own */
}

static void make_state(struct upkeeps *upkeeps)
{
	const struct step steps[] = { { 0, "A*B", "A=valid B=addpend", true } };

	memset(upkeeps, 0, sizeof(*upkeeps));
	upkeeps->n_zones = 2;
	memcpy(upkeeps->zones[1].name, "\4test", 6);
	for (size_t i = 0; i < 2; i++)
		play("file", &upkeeps->zones[i], steps, 1);
}

static void write_octets(const char *name, const void *data, size_t len)
{
	char path[100];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, len, file), len);
	fclose(file);
}

static size_t read_octets(const char *name, uint8_t *data, size_t cap)
{
	char path[100];
	FILE *file;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "rb");
	assert_non_null(file);
	n = fread(data, 1, cap, file);
	fclose(file);
	return n;
}

static void the_file_outlives_a_crash_at_any_octet(void **state)
{
	static struct upkeeps one, two, read;
	static uint8_t octets[1 << 18];
	size_t len;

	(void)state;
	assert_int_equal(upkeep_load(dir, 1, &read), ERR_OK);
	assert_int_equal(read.n_zones, 0);
	make_state(&one);
	assert_int_equal(upkeep_save(dir, &one), ERR_OK);
	two = one;
	two.zones[0].asked_s++;
	assert_int_equal(upkeep_save(dir, &two), ERR_OK);
	len = read_octets("anchors", octets, sizeof(octets));
	assert_int_equal(upkeep_save(dir, &one), ERR_OK);
	/* What the power failed in the middle of lies beside it, and is never looked at. */
	for (size_t cut = 0; cut <= len; cut += len / 13) {
		write_octets("anchors.next", octets, cut);
		assert_int_equal(upkeep_load(dir, 1, &read), ERR_OK);
		assert_memory_equal(&read, &one, sizeof(one));
	}
	assert_int_equal(upkeep_save(dir, &two), ERR_OK);
	assert_int_equal(upkeep_load(dir, 1, &read), ERR_OK);
	assert_memory_equal(&read, &two, sizeof(two));
}

static void a_damaged_file_is_set_aside(void **state)
{
	static struct upkeeps good, read;
	static uint8_t octets[1 << 18], changed[1 << 18];
	char aside[120];
	size_t len;

	(void)state;
	make_state(&good);
	assert_int_equal(upkeep_save(dir, &good), ERR_OK);
	len = read_octets("anchors", octets, sizeof(octets));
	for (uint64_t i = 0; i < 40; i++) {
		size_t at = len * i / 40;

		memcpy(changed, octets, len);
		changed[at] ^= 1;
		write_octets("anchors", changed, len);
		assert_int_equal(upkeep_load(dir, 1000 + i, &read), ERR_DAMAGED);
		assert_int_equal(read.n_zones, 0);
		snprintf(aside, sizeof(aside), "%s/anchors.damaged-%" PRIu64, dir, 1000 + i);
		assert_int_equal(access(aside, F_OK), 0);
		write_octets("anchors", octets, at);
		assert_int_equal(upkeep_load(dir, 2000 + i, &read), ERR_DAMAGED);
		/* And it begins anew. */
		assert_int_equal(upkeep_load(dir, 3000, &read), ERR_OK);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_roll),
		cmocka_unit_test(each_way_of_the_table),
		cmocka_unit_test(a_long_ttl_holds_longer_than_thirty_days),
		cmocka_unit_test(it_is_asked_as_section_2_3_says),
		cmocka_unit_test(the_state_speaks_before_the_configuration),
		cmocka_unit_test(more_keys_than_are_kept_are_passed_over),
		cmocka_unit_test(a_zone_may_roll_for_ever),
		cmocka_unit_test(what_is_still_shown_is_not_forgotten),
		cmocka_unit_test(the_configuration_says_which_it_names),
		cmocka_unit_test(the_file_outlives_a_crash_at_any_octet),
		cmocka_unit_test(a_damaged_file_is_set_aside),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
