/* The book: rows, reasons, the longest life, destinations, expiry, lingering, adoption. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sodium.h>

#include "sallyport/clock.h"
#include "sallyport/err.h"

#include "book.h"
#include "book_maker.h"

#define S NS_PER_S
#define T0 (1000 * S) /* a test's beginning of time */

struct fixture {
	struct ledger ledger;
	void *memory;
	struct book *book;
};

static struct fixture make(uint32_t n_rows)
{
	struct fixture f;
	uint32_t dropped;

	f.memory = ledger_memory(&f.ledger, n_rows);
	assert_int_equal(book_new(&f.book, &f.ledger, T0, &dropped), ERR_OK);
	return f;
}

static void unmake(struct fixture *f)
{
	book_free(f->book);
	free(f->memory);
}

static struct ledger_element element(unsigned int n, uint16_t port)
{
	const uint8_t src[4] = { 10, 1, 0, 2 }, dst[4] = { 44, 0, (uint8_t)(n >> 8), (uint8_t)n };
	struct ledger_element e = { .port = { PINHOLE_KIND_PORT, 6, port } };

	addr_from_v4(src, e.src);
	addr_from_v4(dst, e.dst);
	return e;
}

static uint32_t reason(struct fixture *f, const char *workload, const char *name)
{
	return book_reason(f->book, workload, (const uint8_t *)name, (uint16_t)strlen(name), 0, 0);
}

static uint32_t open_row(struct fixture *f, unsigned int n, uint32_t reason_id, uint64_t until)
{
	struct ledger_element e = element(n, 443);
	uint32_t row = book_add(f->book, &e, reason_id, T0, until);

	assert_int_not_equal(row, BOOK_NONE);
	book_confirm(f->book, row, until, until, 1, 1);
	return row;
}

static void an_element_is_wanted_as_long_as_its_longest_reason(void **state)
{
	struct fixture f = make(64);
	struct ledger_element e = element(1, 443);
	uint32_t a, b;

	(void)state;
	a = open_row(&f, 1, reason(&f, "app", "a"), T0 + 100 * S);
	b = open_row(&f, 1, reason(&f, "app", "b"), T0 + 30 * S);
	assert_int_not_equal(a, b);
	assert_int_equal(book_wanted_until(f.book, &e), T0 + 100 * S);
	book_remove(f.book, a);
	assert_int_equal(book_wanted_until(f.book, &e), T0 + 30 * S);
	book_remove(f.book, b);
	assert_int_equal(book_wanted_until(f.book, &e), 0);
	assert_false(book_explains(f.book, &e));
	assert_int_equal(f.ledger.head->rows_used, 0);
	assert_int_equal(f.ledger.head->reasons_used, 0);
	unmake(&f);
}

static void renewing_never_shortens_a_row(void **state)
{
	struct fixture f = make(64);
	struct ledger_element e = element(1, 443);
	uint32_t row;

	(void)state;
	row = open_row(&f, 1, reason(&f, "app", "a"), T0 + 100 * S);
	book_confirm(f.book, row, T0 + 50 * S, T0 + 50 * S, 1, 1);
	assert_int_equal(book_wanted_until(f.book, &e), T0 + 100 * S);
	assert_int_equal(book_kernel_until(f.book, &e, 1), T0 + 100 * S);
	unmake(&f);
}

static void a_confirmation_holds_in_its_epoch_only(void **state)
{
	struct fixture f = make(64);
	struct ledger_element e = element(1, 443);
	uint32_t row;

	(void)state;
	row = open_row(&f, 1, reason(&f, "app", "a"), T0 + 100 * S);
	assert_int_equal(book_kernel_until(f.book, &e, 1), T0 + 100 * S);
	assert_int_equal(book_kernel_until(f.book, &e, 2), 0);
	book_confirm(f.book, row, 0, T0 + 60 * S, 2, 0);
	assert_int_equal(book_kernel_until(f.book, &e, 2), T0 + 60 * S);
	book_doubt(f.book, row);
	assert_int_equal(book_kernel_until(f.book, &e, 2), 0);
	unmake(&f);
}

static void a_pending_row_wants_and_confirms_nothing(void **state)
{
	struct fixture f = make(64);
	struct ledger_element e = element(1, 443);
	uint32_t row = book_add(f.book, &e, reason(&f, "app", "a"), T0, T0 + 9 * S);

	(void)state;
	assert_int_equal(book_state(f.book, row), BOOK_PENDING);
	assert_int_equal(book_wanted_until(f.book, &e), 0);
	assert_int_equal(book_kernel_until(f.book, &e, 0), 0);
	assert_true(book_explains(f.book, &e));
	unmake(&f);
}

static void a_condemned_row_explains_and_wants_nothing(void **state)
{
	struct fixture f = make(64);
	struct ledger_element e = element(1, 443);
	uint32_t a = reason(&f, "app", "a"), row = open_row(&f, 1, a, T0 + 3 * S);

	(void)state;
	book_condemn(f.book, row);
	assert_int_equal(book_wanted_until(f.book, &e), 0);
	assert_int_equal(book_kernel_until(f.book, &e, 1), 0);
	assert_true(book_explains(f.book, &e));
	assert_int_equal(f.ledger.head->rows_used, 1);
	book_remove(f.book, row);
	assert_false(book_explains(f.book, &e));
	/* A lingering one as well. */
	row = open_row(&f, 1, reason(&f, "app", "a"), T0 + 3 * S);
	book_tick(f.book, T0 + 5 * S);
	assert_int_equal(book_lingering(f.book), 1);
	book_condemn(f.book, row);
	book_remove(f.book, row);
	assert_int_equal(book_lingering(f.book), 0);
	assert_int_equal(f.ledger.head->rows_used, 0);
	unmake(&f);
}

static void equal_questions_share_a_reason(void **state)
{
	struct fixture f = make(64);

	(void)state;
	assert_int_equal(reason(&f, "app", "a"), reason(&f, "app", "a"));
	assert_int_not_equal(reason(&f, "app", "a"), reason(&f, "app", "b"));
	assert_int_not_equal(reason(&f, "app", "a"), reason(&f, "build", "a"));
	assert_int_not_equal(reason(&f, "app", "a"),
	                     book_reason(f.book, "app", (const uint8_t *)"a", 1, 1, 0));
	unmake(&f);
}

static void destinations_count_addresses_of_a_workload(void **state)
{
	struct fixture f = make(64);
	uint32_t a = reason(&f, "app", "a"), b = reason(&f, "app", "b"),
		 c = reason(&f, "build", "a");
	struct ledger_element e = element(1, 80);
	uint32_t row;

	(void)state;
	open_row(&f, 1, a, T0 + 9 * S);
	open_row(&f, 2, a, T0 + 9 * S);
	open_row(&f, 1, b, T0 + 9 * S);
	row = book_add(f.book, &e, b, T0, T0 + 9 * S); /* another port, the same address */
	open_row(&f, 1, c, T0 + 9 * S);
	assert_int_equal(book_destinations(f.book, a), 2);
	assert_int_equal(book_destinations(f.book, c), 1);
	book_remove(f.book, row);
	assert_int_equal(book_destinations(f.book, b), 2);
	unmake(&f);
}

static void a_full_ledger_takes_no_row_and_no_reason(void **state)
{
	struct fixture f = make(8); /* two reasons */
	uint32_t a = reason(&f, "app", "a"), b = reason(&f, "app", "b");
	struct ledger_element e = element(99, 443);

	(void)state;
	assert_int_not_equal(b, BOOK_NONE);
	assert_int_equal(reason(&f, "app", "c"), BOOK_NONE);
	for (unsigned int i = 0; i < 8; i++)
		open_row(&f, i, a, T0 + 9 * S);
	assert_int_equal(book_add(f.book, &e, b, T0, T0 + 9 * S), BOOK_NONE);
	e = element(3, 443);
	book_remove(f.book, book_find(f.book, &e, a));
	assert_int_not_equal(book_add(f.book, &e, b, T0, T0 + 9 * S), BOOK_NONE);
	unmake(&f);
}

/* Names as the wire has them: one of @len octets, filled with @fill. */
static uint32_t long_reason(struct fixture *f, unsigned int n, uint16_t len, char fill)
{
	uint8_t names[LIMIT_PINHOLE_NAMES];
	uint16_t n_octets = (uint16_t)(n * (sizeof(len) + len));

	for (unsigned int i = 0; i < n; i++) {
		memcpy(names + i * (sizeof(len) + len), &len, sizeof(len));
		memset(names + i * (sizeof(len) + len) + sizeof(len), fill, len);
	}
	return book_reason(f->book, "app", names, n_octets, 0, 0);
}

static void long_names_are_kept_whole_while_there_is_room_for_them(void **state)
{
	struct fixture f = make(64); /* 16 reasons, 4 with long names */
	struct ledger_reason reason;
	struct ledger_row row;
	uint32_t r[5], i;

	(void)state;
	for (i = 0; i < 5; i++) {
		r[i] = long_reason(&f, 5, 60, (char)('a' + i));
		assert_int_not_equal(r[i], BOOK_NONE);
		open_row(&f, i, r[i], T0 + 100 * S);
		assert_int_equal(long_reason(&f, 5, 60, (char)('a' + i)), r[i]);
	}
	for (i = 0; i < 5; i++) {
		assert_int_equal(ledger_read(&f.ledger, i, &row, &reason), 1);
		assert_int_equal(reason.names_flags, i == 4);
		assert_int_equal(reason.names_len, i == 4 ? 62 : 310);
		assert_int_equal(reason.names[reason.names_len - 1], 'a' + i);
	}
	/* What one gives back another gets; and a successor knows whose is whose. */
	book_remove(f.book, 1);
	open_row(&f, 9, long_reason(&f, 5, 60, 'z'), T0 + 100 * S);
	book_free(f.book);
	assert_int_equal(book_new(&f.book, &f.ledger, T0, &i), ERR_OK);
	assert_int_equal(i, 0);
	assert_int_equal(long_reason(&f, 5, 60, 'a'), r[0]);
	book_remove(f.book, 0);
	i = long_reason(&f, 5, 60, 'y');
	assert_int_equal(f.ledger.cells[i].names_flags, 0);
	open_row(&f, 10, i, T0 + 100 * S);
	i = long_reason(&f, 5, 60, 'x');
	assert_int_equal(f.ledger.cells[i].names_flags, 1);
	unmake(&f);
}

static void two_reasons_that_claim_the_same_long_names_are_not_both_believed(void **state)
{
	struct fixture f = make(64);
	uint32_t a = long_reason(&f, 2, 60, 'a'), b = long_reason(&f, 2, 60, 'b'), dropped;

	(void)state;
	open_row(&f, 1, a, T0 + 100 * S);
	open_row(&f, 2, b, T0 + 100 * S);
	book_free(f.book);
	f.ledger.cells[b].more = f.ledger.cells[a].more;
	assert_int_equal(book_new(&f.book, &f.ledger, T0, &dropped), ERR_OK);
	assert_int_equal(dropped, 1);
	assert_int_equal(f.ledger.head->rows_used, 1);
	unmake(&f);
}

static void expired_rows_linger_until_no_connection_is_seen(void **state)
{
	struct fixture f = make(64);
	struct ledger_element e = element(1, 443);
	uint32_t a = reason(&f, "app", "a"), row = open_row(&f, 1, a, T0 + 3 * S);

	(void)state;
	book_tick(f.book, T0 + 2 * S);
	assert_int_equal(book_state(f.book, row), BOOK_LIVE);
	book_tick(f.book, T0 + 5 * S);
	assert_int_equal(book_state(f.book, row), BOOK_LINGERING);
	assert_int_equal(book_lingering(f.book), 1);
	assert_int_equal(book_destinations(f.book, a), 0);
	assert_int_equal(book_wanted_until(f.book, &e), 0);
	assert_true(book_explains(f.book, &e));
	for (int i = 0; i < 10; i++) {
		book_flow_seen(f.book, &e);
		book_flows_passed(f.book);
	}
	assert_true(book_explains(f.book, &e));
	book_flows_passed(f.book);
	assert_true(book_explains(f.book, &e)); /* one pass could have missed it */
	book_flows_passed(f.book);
	assert_false(book_explains(f.book, &e));
	unmake(&f);
}

static void a_lingering_row_that_is_opened_again_is_live(void **state)
{
	struct fixture f = make(64);
	struct ledger_element e = element(1, 443);
	uint32_t a = reason(&f, "app", "a"), row = open_row(&f, 1, a, T0 + 3 * S);

	(void)state;
	book_tick(f.book, T0 + 5 * S);
	book_revive(f.book, row);
	assert_int_equal(book_destinations(f.book, a), 1);
	book_confirm(f.book, row, T0 + 60 * S, T0 + 60 * S, 1, 1);
	book_tick(f.book, T0 + 30 * S);
	assert_int_equal(book_state(f.book, row), BOOK_LIVE);
	assert_int_equal(book_wanted_until(f.book, &e), T0 + 60 * S);
	/* Revived and never confirmed: it goes back. */
	book_tick(f.book, T0 + 70 * S);
	assert_int_equal(book_state(f.book, row), BOOK_LINGERING);
	book_revive(f.book, row);
	book_tick(f.book, T0 + 72 * S);
	assert_int_equal(book_state(f.book, row), BOOK_LINGERING);
	assert_int_equal(book_lingering(f.book), 1);
	unmake(&f);
}

static void an_expired_row_goes_when_another_explains_its_element(void **state)
{
	struct fixture f = make(64);
	struct ledger_element e = element(1, 443);
	uint32_t a = open_row(&f, 1, reason(&f, "app", "a"), T0 + 3 * S);

	(void)state;
	open_row(&f, 1, reason(&f, "app", "b"), T0 + 60 * S);
	book_tick(f.book, T0 + 5 * S);
	assert_int_equal(book_state(f.book, a), BOOK_FREE);
	assert_int_equal(book_lingering(f.book), 0);
	assert_true(book_explains(f.book, &e));
	unmake(&f);
}

static void lives_longer_than_the_wheel_expire_in_their_time(void **state)
{
	struct fixture f = make(64);
	uint32_t row = open_row(&f, 1, reason(&f, "app", "a"), T0 + 5000 * S);
	uint32_t edge = open_row(&f, 2, reason(&f, "app", "b"), T0 + 1023 * S);

	(void)state;
	for (uint64_t s = 1; s < 1023; s++)
		book_tick(f.book, T0 + s * S);
	assert_int_equal(book_state(f.book, edge), BOOK_LIVE);
	book_tick(f.book, T0 + 1025 * S);
	assert_int_equal(book_state(f.book, edge), BOOK_LINGERING);
	for (uint64_t s = 1026; s < 5000; s++)
		book_tick(f.book, T0 + s * S);
	assert_int_equal(book_state(f.book, row), BOOK_LIVE);
	book_tick(f.book, T0 + 5002 * S);
	assert_int_equal(book_state(f.book, row), BOOK_LINGERING);
	unmake(&f);
}

static void when_full_the_oldest_lingering_row_gives_way(void **state)
{
	struct fixture f = make(8);
	uint32_t a = reason(&f, "app", "a"), b = reason(&f, "app", "b");
	struct ledger_element first = element(0, 443), e = element(50, 443);

	(void)state;
	for (unsigned int i = 0; i < 8; i++)
		open_row(&f, i, a, T0 + (2 + i) * S);
	book_tick(f.book, T0 + 5 * S);
	assert_true(book_lingering(f.book) >= 2);
	assert_false(book_sacrificed(f.book));
	assert_int_not_equal(book_add(f.book, &e, b, T0 + 5 * S, T0 + 9 * S), BOOK_NONE);
	assert_true(book_sacrificed(f.book));
	assert_false(book_sacrificed(f.book));
	assert_false(book_explains(f.book, &first));
	unmake(&f);
}

static void a_successor_finds_what_is_sound_and_drops_the_rest(void **state)
{
	struct fixture f = make(64);
	uint32_t a = reason(&f, "app", "a"), b = reason(&f, "build", "b");
	uint32_t rows[6], dropped;
	struct ledger_element e = element(0, 443);

	(void)state;
	for (unsigned int i = 0; i < 6; i++)
		rows[i] = open_row(&f, i, i < 3 ? a : b, T0 + 100 * S);
	book_free(f.book);
	atomic_store(&f.ledger.rows[rows[1]].version, 7); /* a writer died here */
	f.ledger.rows[rows[2]].reason = 1u << 30;
	f.ledger.rows[rows[4]].element.port.kind = 9;
	f.ledger.rows[rows[5]].expires_ns = UINT64_MAX;
	f.ledger.cells[a].rows = 12345;
	assert_int_equal(book_new(&f.book, &f.ledger, T0 + 1 * S, &dropped), ERR_OK);
	assert_int_equal(dropped, 4);
	assert_int_equal(f.ledger.head->rows_used, 2);
	assert_int_equal(f.ledger.cells[a].rows, 1);
	assert_int_equal(book_wanted_until(f.book, &e), T0 + 100 * S);
	assert_int_equal(book_kernel_until(f.book, &e, 1), 0); /* not verified yet */
	assert_int_equal(f.ledger.rows[rows[0]].policy_version, 1);
	assert_int_equal(reason(&f, "app", "a"), a);
	book_free(f.book);
	/* Everything has expired in the meantime: it lingers until the connections are known. */
	assert_int_equal(book_new(&f.book, &f.ledger, T0 + 500 * S, &dropped), ERR_OK);
	assert_int_equal(book_lingering(f.book), 2);
	unmake(&f);
}

/* A model in a few lines: what is open, and until when. */
static void a_random_life_leaves_no_row_and_no_count_behind(void **state)
{
	struct fixture f = make(256);
	uint64_t now = T0;
	uint32_t seed = 7;

	(void)state;
	for (int step = 0; step < 20000; step++) {
		struct ledger_element e;
		char name[2] = { 0 };
		uint32_t r, row;

		seed = seed * 1664525 + 1013904223;
		e = element((seed >> 8) % 50, (uint16_t)(440 + (seed >> 16) % 3));
		name[0] = (char)('a' + (seed >> 20) % 20);
		switch (seed >> 29) {
		case 0:
			now += S;
			book_tick(f.book, now);
			break;
		case 1:
			book_flow_seen(f.book, &e);
			book_flows_passed(f.book);
			break;
		case 2:
			row = (seed >> 8) % 256;
			if (book_state(f.book, row) != BOOK_FREE)
				book_remove(f.book, row);
			break;
		default:
			r = reason(&f, (seed & 1024) ? "app" : "build", name);
			if (r == BOOK_NONE)
				break;
			row = book_find(f.book, &e, r);
			if (row == BOOK_NONE)
				row = book_add(f.book, &e, r, now, now + S);
			else
				book_revive(f.book, row);
			if (row != BOOK_NONE && (seed & 4096))
				book_confirm(f.book, row, now + 5 * S, now + 5 * S, 1, 1);
			else if (row != BOOK_NONE && book_state(f.book, row) == BOOK_PENDING)
				book_remove(f.book, row);
			book_reason_settle(f.book, r);
			break;
		}
	}
	for (uint32_t i = 0; i < 256; i++)
		if (book_state(f.book, i) != BOOK_FREE)
			book_remove(f.book, i);
	assert_int_equal(f.ledger.head->rows_used, 0);
	assert_int_equal(f.ledger.head->reasons_used, 0);
	assert_int_equal(book_lingering(f.book), 0);
	for (unsigned int i = 0; i < 256; i++)
		open_row(&f, i, reason(&f, "app", "z"), now + 9 * S);
	assert_int_equal(book_destinations(f.book, reason(&f, "app", "z")), 256);
	unmake(&f);
}

static void a_row_names_the_version_that_judged_it_last(void **state)
{
	struct fixture f = make(64);
	struct ledger_row row;
	struct ledger_reason why;
	uint32_t i = open_row(&f, 1, reason(&f, "app", "a"), T0 + 100 * S);

	(void)state;
	assert_int_equal(ledger_read(&f.ledger, i, &row, &why), 1);
	assert_int_equal(row.policy_version, 1);
	assert_int_equal(row.opened_ns, T0);
	book_confirm(f.book, i, T0 + 50 * S, T0 + 50 * S, 1, 2); /* not longer, but judged */
	book_confirm(f.book, i, 0, T0 + 50 * S, 1, 0);           /* verified: nobody judged */
	assert_int_equal(ledger_read(&f.ledger, i, &row, &why), 1);
	assert_int_equal(row.policy_version, 2);
	assert_int_equal(book_wanted_by(f.book, &row.element, 2), T0 + 100 * S);
	assert_int_equal(book_wanted_by(f.book, &row.element, 1), 0);
	/* Another pinhole in its place is another row. */
	book_remove(f.book, i);
	assert_int_equal(book_add(f.book, &row.element, reason(&f, "app", "b"), T0 + S, T0 + 9 * S),
	                 i);
	assert_int_equal(ledger_read(&f.ledger, i, &row, &why), 1);
	assert_int_equal(row.policy_version, 0);
	assert_int_equal(row.opened_ns, T0 + S);
	unmake(&f);
}

static void a_ledger_is_complete_until_a_row_is_dropped(void **state)
{
	struct fixture f = make(64);
	uint32_t i = open_row(&f, 1, reason(&f, "app", "a"), T0 + 100 * S), dropped;

	(void)state;
	assert_false(book_complete(f.book)); /* the table may be older */
	book_set_complete(f.book);
	book_free(f.book);
	assert_int_equal(book_new(&f.book, &f.ledger, T0, &dropped), ERR_OK);
	assert_int_equal(dropped, 0);
	assert_true(book_complete(f.book));
	book_free(f.book);
	atomic_fetch_or(&f.ledger.rows[i].version, 1);
	assert_int_equal(book_new(&f.book, &f.ledger, T0, &dropped), ERR_OK);
	assert_int_equal(dropped, 1);
	assert_false(book_complete(f.book));
	unmake(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_row_names_the_version_that_judged_it_last),
		cmocka_unit_test(a_ledger_is_complete_until_a_row_is_dropped),
		cmocka_unit_test(an_element_is_wanted_as_long_as_its_longest_reason),
		cmocka_unit_test(renewing_never_shortens_a_row),
		cmocka_unit_test(a_confirmation_holds_in_its_epoch_only),
		cmocka_unit_test(a_pending_row_wants_and_confirms_nothing),
		cmocka_unit_test(equal_questions_share_a_reason),
		cmocka_unit_test(destinations_count_addresses_of_a_workload),
		cmocka_unit_test(long_names_are_kept_whole_while_there_is_room_for_them),
		cmocka_unit_test(two_reasons_that_claim_the_same_long_names_are_not_both_believed),
		cmocka_unit_test(a_full_ledger_takes_no_row_and_no_reason),
		cmocka_unit_test(expired_rows_linger_until_no_connection_is_seen),
		cmocka_unit_test(a_lingering_row_that_is_opened_again_is_live),
		cmocka_unit_test(an_expired_row_goes_when_another_explains_its_element),
		cmocka_unit_test(lives_longer_than_the_wheel_expire_in_their_time),
		cmocka_unit_test(a_condemned_row_explains_and_wants_nothing),
		cmocka_unit_test(when_full_the_oldest_lingering_row_gives_way),
		cmocka_unit_test(a_successor_finds_what_is_sound_and_drops_the_rest),
		cmocka_unit_test(a_random_life_leaves_no_row_and_no_count_behind),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
