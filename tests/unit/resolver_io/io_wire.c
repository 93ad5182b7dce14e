/* tests/unit/resolver_io/io_wire.c - what is read from and written to streams and datagrams,
 * without a socket: frames, questions to upstreams, deadlines, the health of servers.
 */
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ask.h"
#include "harness.h"
#include "server.h"
#include "tcp_frames.h"

/* ---- frames ---- */

/* Feed @stream in pieces of @piece octets; write "length:first octet " of each message to @out. */
static void feed(const uint8_t *stream, size_t len, size_t piece, char *out)
{
	uint8_t buf[2 + 16];
	struct tcp_frames frames;

	tcp_frames_init(&frames, buf, sizeof(buf));
	out[0] = '\0';
	for (size_t at = 0; at < len;) {
		const uint8_t *msg;
		size_t room, n, msg_len;
		uint8_t *to = tcp_frames_room(&frames, &room);

		assert_true(room > 0);
		n = MIN(MIN(room, piece), len - at);
		memcpy(to, stream + at, n);
		tcp_frames_added(&frames, n);
		at += n;
		while (tcp_frames_next(&frames, &msg, &msg_len))
			sprintf(out + strlen(out), "%zu:%d ", msg_len, msg_len ? msg[0] : -1);
	}
}

static const struct {
	const char *title;
	size_t len;
	uint8_t stream[64];
	const char *want;
} frame_cases[] = {
	{ "one", 5, { 0, 3, 7, 8, 9 }, "3:7 " },
	{ "two", 7, { 0, 2, 1, 1, 0, 1, 5 }, "2:1 1:5 " },
	{ "empty ones", 5, { 0, 0, 0, 0, 0 }, "0:-1 0:-1 " },
	{ "one that is not whole", 4, { 0, 3, 7, 8 }, "" },
	{ "the longest that fits", 21, { 0, 16, 4, [18] = 0, 1, 6 }, "16:4 1:6 " },
	{ "one octet too long is cut, the next is in step",
	  22,
	  { 0, 17, 4, [19] = 0, 1, 6 },
	  "16:4 1:6 " },
	{ "much too long is cut, the next is in step",
	  45,
	  { 0, 40, 4, [42] = 0, 1, 6 },
	  "16:4 1:6 " },
};

static void messages_come_out_however_the_stream_is_cut(void **state)
{
	char got[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(frame_cases); i++) {
		for (size_t piece = 1; piece <= frame_cases[i].len; piece++) {
			feed(frame_cases[i].stream, frame_cases[i].len, piece, got);
			if (strcmp(got, frame_cases[i].want) != 0)
				fail_msg("%s, in pieces of %zu: %s", frame_cases[i].title, piece,
				         got);
		}
	}
}

/* ---- questions ---- */

static void case_is_drawn_for_letters_only(void **state)
{
	/* An octet below 'A' that is a length, digits, and octets beyond ASCII stay. */
	static const uint8_t name[] =
	    "\5a-9\xe4z\77bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	    "bbbbbbbbbbb";
	struct entropy entropy = { .left = 0 };
	bool upper = false, lower = false;

	(void)state;
	for (int i = 0; i < 50; i++) {
		struct ask ask;
		uint8_t back[NAME_MAX_WIRE];

		ask_init(&ask, name, 1, false, &entropy);
		assert_int_equal(ask.name_len, sizeof(name));
		name_lower(back, ask.name, ask.name_len);
		assert_memory_equal(back, name, sizeof(name));
		assert_memory_equal(ask.name + 2, name + 2, 3);
		upper = upper || ask.name[1] == 'A';
		lower = lower || ask.name[1] == 'a';
	}
	assert_true(upper && lower);
}

static void the_longest_name_and_the_root_can_be_asked(void **state)
{
	struct entropy entropy = { .left = 0 };
	uint8_t name[NAME_MAX_WIRE] = { 0 }, out[ASK_MAX];
	struct ask ask;

	(void)state;
	ask_init(&ask, name, 2, false, &entropy);
	assert_int_equal(ask_write(&ask, out), 12 + 1 + 4 + 11);
	for (size_t i = 0; i < 254; i += 2) {
		name[i] = 1;
		name[i + 1] = 'a';
	}
	ask_init(&ask, name, 2, false, &entropy);
	assert_int_equal(ask_write(&ask, out), ASK_MAX);
}

static void an_answer_that_is_cut_or_changed_anywhere_in_the_question_is_foreign(void **state)
{
	static const uint8_t name[] = "\3www\7example\4test";
	struct entropy entropy = { .left = 0 };
	uint8_t query[ASK_MAX], answer[600];
	struct ask ask;
	size_t len;
	uint16_t rcode;

	(void)state;
	ask_init(&ask, name, 1, false, &entropy);
	len = fake_answer(query, ask_write(&ask, query), 7, answer, sizeof(answer));
	assert_int_equal(ask_check(&ask, answer, len, ASK_CASE_EXACT, &rcode), ASK_USABLE);
	for (size_t cut = 0; cut < 12 + sizeof(name) + 4; cut++) {
		uint8_t *copy = malloc(cut + 1); /* exact, so that a read beyond is seen */

		assert_non_null(copy);
		memcpy(copy, answer, cut);
		assert_int_equal(ask_check(&ask, copy, cut, ASK_CASE_EXACT, &rcode), ASK_FOREIGN);
		assert_int_equal(ask_check(&ask, copy, cut, ASK_CASE_IGNORE, &rcode), ASK_FOREIGN);
		free(copy);
	}
	for (size_t i = 0; i < 12 + sizeof(name) + 4; i++) {
		bool counts = i >= 6 && i < 12, flags = i == 2 || i == 3;

		if (counts || flags)
			continue; /* the scan's business, and below */
		for (int bit = 0; bit < 8; bit++) {
			answer[i] ^= (uint8_t)(1 << bit);
			if (ask_check(&ask, answer, len, ASK_CASE_EXACT, &rcode) != ASK_FOREIGN)
				fail_msg("octet %zu, bit %d", i, bit);
			answer[i] ^= (uint8_t)(1 << bit);
		}
	}
	answer[2] = 0x01; /* a query */
	assert_int_equal(ask_check(&ask, answer, len, ASK_CASE_EXACT, &rcode), ASK_FOREIGN);
	answer[2] = 0x81 | 0x08; /* another opcode */
	assert_int_equal(ask_check(&ask, answer, len, ASK_CASE_EXACT, &rcode), ASK_FOREIGN);
	answer[2] = 0x83;
	assert_int_equal(ask_check(&ask, answer, len, ASK_CASE_EXACT, &rcode), ASK_TRUNCATED);
	answer[2] = 0x81;
	for (uint8_t code = 0; code < 16; code++) {
		enum ask_result want =
		    code == 0 || code == 3 || code == 6 ? ASK_USABLE : ASK_FAILED;

		answer[3] = (uint8_t)(0x80 | code);
		assert_int_equal(ask_check(&ask, answer, len, ASK_CASE_EXACT, &rcode), want);
		assert_int_equal(rcode, code);
	}
	/* By TCP the case may be lost. */
	answer[3] = 0x80;
	for (size_t i = 12; i < 12 + sizeof(name); i++)
		answer[i] |= (answer[i] >= 'A' && answer[i] <= 'Z') ? 32 : 0;
	assert_int_equal(ask_check(&ask, answer, len, ASK_CASE_IGNORE, &rcode), ASK_USABLE);
}

static void entropy_does_not_repeat_itself(void **state)
{
	struct entropy entropy = { .left = 0 };
	static bool seen[65536];
	unsigned int n_new = 0;

	(void)state;
	for (int i = 0; i < 4096; i++) {
		uint16_t id = entropy_u16(&entropy);

		n_new += !seen[id];
		seen[id] = true;
	}
	/* 4,096 draws of 65,536: about 3,969 different ones, sd 11. */
	assert_in_range(n_new, 3850, 4096);
}

/* ---- servers ---- */

static void timeouts_follow_the_server_between_their_bounds(void **state)
{
	struct server server = { .refs = 1 };

	(void)state;
	assert_int_equal(server_timeout_ns(&server, 0), SERVER_TIMEOUT_FIRST_MS * NS_PER_MS);
	for (int i = 0; i < 50; i++)
		server_answered(&server, 20 * NS_PER_MS, NS_PER_S);
	assert_in_range(server.srtt_us, 19000, 21000);
	assert_int_equal(server_timeout_ns(&server, 0), SERVER_TIMEOUT_MIN_MS * NS_PER_MS);
	assert_int_equal(server_timeout_ns(&server, 1), 2 * SERVER_TIMEOUT_MIN_MS * NS_PER_MS);
	/* Once slow: the next time it is waited for. */
	server_answered(&server, 900 * NS_PER_MS, NS_PER_S);
	assert_true(server_timeout_ns(&server, 0) > 500 * NS_PER_MS);
	assert_int_equal(server_timeout_ns(&server, 60), SERVER_TIMEOUT_MAX_MS * NS_PER_MS);
	for (int i = 0; i < 100; i++)
		server_answered(&server, UINT64_MAX, NS_PER_S);
	assert_int_equal(server_timeout_ns(&server, 0), SERVER_TIMEOUT_MAX_MS * NS_PER_MS);
}

static void the_dead_are_probed_ever_more_rarely(void **state)
{
	struct server server = { .refs = 1 };
	uint64_t now = 1000 * NS_PER_S, gap = 0;

	(void)state;
	for (int i = 0; i < SERVER_DEAD_AFTER; i++) {
		assert_false(server.dead);
		assert_false(server_probe(&server, now));
		server_failed(&server, now);
	}
	assert_true(server.dead);
	for (int i = 0; i < 12; i++) {
		uint64_t began = now;

		while (!server_probe(&server, now))
			now += 10 * NS_PER_MS;
		assert_false(server_probe(&server, now)); /* once a turn */
		assert_true(now - began >= gap || now - began >= SERVER_PROBE_MAX_MS * NS_PER_MS);
		gap = now - began;
		server_failed(&server, now);
	}
	assert_true(gap <= (SERVER_PROBE_MAX_MS + 10) * NS_PER_MS);
	server_answered(&server, NS_PER_MS, now);
	assert_false(server.dead);
	assert_false(server_probe(&server, now + NS_PER_S));
}

static void questions_without_an_answer_kill_nobody_who_answers_others(void **state)
{
	struct server server = { .refs = 1 };
	uint64_t now = 1000 * NS_PER_S;

	(void)state;
	for (int i = 0; i < 100; i++) {
		now += SERVER_SILENT_MS * NS_PER_MS / 10;
		if (i % 5 == 0)
			server_answered(&server, NS_PER_MS, now);
		for (int j = 0; j < 10; j++)
			server_failed(&server, now);
		assert_false(server.dead);
	}
	now += SERVER_SILENT_MS * NS_PER_MS;
	server_failed(&server, now);
	assert_true(server.dead);
}

/* ---- deadlines ---- */

#define N_ITEMS 500
struct deadline {
	struct wheel_item item;
	uint64_t fired_ns;
	unsigned int n_fired;
};
static struct deadline deadlines[N_ITEMS];

static void on_fire(struct wheel_item *item)
{
	struct deadline *deadline = (struct deadline *)item;

	deadline->fired_ns = clock_mono_ns();
	deadline->n_fired++;
	/* Callbacks set, move and clear others: here always the one behind. */
	size_t i = (size_t)(deadline - deadlines);

	if (i + 1 < N_ITEMS && i % 5 == 0)
		wheel_clear(&deadlines[i + 1].item);
}

static unsigned int n_between;

static void on_between(void *ctx)
{
	(void)ctx;
	n_between++;
}

static void deadlines_fire_once_in_time_and_not_early(void **state)
{
	struct io io;
	struct resolver_conf *conf = io_conf();
	unsigned int n_fired = 0;
	uint64_t now;

	(void)state;
	io_init(&io, conf, NULL);
	free(conf);
	memset(deadlines, 0, sizeof(deadlines));
	n_between = 0;
	io.wheel.between = on_between;
	now = clock_mono_ns();
	for (size_t i = 0; i < N_ITEMS; i++) {
		deadlines[i].item.fire = on_fire;
		wheel_set(&io.wheel, &deadlines[i].item, now + NS_PER_S); /* then moved */
	}
	for (size_t i = 0; i < N_ITEMS; i++)
		wheel_set(&io.wheel, &deadlines[i].item, now + (i % 97) * NS_PER_MS);
	io_run_ms(&io, 150);
	for (size_t i = 0; i < N_ITEMS; i++) {
		const struct deadline *d = &deadlines[i];

		if (i % 5 == 1 && d->n_fired == 0)
			continue; /* cleared by the one before */
		assert_int_equal(d->n_fired, 1);
		assert_true(d->fired_ns >= d->item.due_ns);
		n_fired++;
	}
	/* However many are due at once, there is a moment for others after each. */
	assert_int_equal(n_between, n_fired);
	io_fini(&io);
}

static void a_deadline_beyond_one_turn_of_the_wheel_waits(void **state)
{
	struct io io;
	struct resolver_conf *conf = io_conf();
	struct deadline *d = &deadlines[0];
	uint64_t turn_ns = (uint64_t)WHEEL_SLOTS * WHEEL_TICK_MS * NS_PER_MS;

	(void)state;
	io_init(&io, conf, NULL);
	free(conf);
	memset(deadlines, 0, sizeof(deadlines));
	d->item.fire = on_fire;
	/* Its slot is the one that comes next, a whole turn early. */
	wheel_set(&io.wheel, &d->item, clock_mono_ns() + turn_ns + 10 * NS_PER_MS);
	io_run_ms(&io, 60);
	assert_int_equal(d->n_fired, 0);
	assert_true(wheel_is_set(&d->item));
	wheel_clear(&d->item);
	io_fini(&io);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_come_out_however_the_stream_is_cut),
		cmocka_unit_test(case_is_drawn_for_letters_only),
		cmocka_unit_test(the_longest_name_and_the_root_can_be_asked),
		cmocka_unit_test(
		    an_answer_that_is_cut_or_changed_anywhere_in_the_question_is_foreign),
		cmocka_unit_test(entropy_does_not_repeat_itself),
		cmocka_unit_test(timeouts_follow_the_server_between_their_bounds),
		cmocka_unit_test(the_dead_are_probed_ever_more_rarely),
		cmocka_unit_test(questions_without_an_answer_kill_nobody_who_answers_others),
		cmocka_unit_test(deadlines_fire_once_in_time_and_not_early),
		cmocka_unit_test(a_deadline_beyond_one_turn_of_the_wheel_waits),
	};

	assert_true(sodium_init() >= 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
