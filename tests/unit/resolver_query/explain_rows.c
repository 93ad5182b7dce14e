/* tests/unit/resolver_query/explain_rows.c - however much there is to tell of a validation, each
 * verdict stands with its own link, and the end is told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "explain.h"
#include "sallyport/err.h"
#include "settings.h"
#include "val_trace.h"
#include "wire.h"

enum { LINKS = LIMIT_CHAIN, ATTEMPTS = 3 };

/* Four labels of octets that take four characters each in text, but for the last octet of the
 * first: a name as long as any, and another for each @i. */
static void make_name(uint8_t name[static NAME_MAX_WIRE], unsigned int i)
{
	size_t len = 0;

	for (unsigned int label = 0; label < 4; label++) {
		size_t n = label < 3 ? 63 : 61;

		name[len++] = (uint8_t)n;
		memset(name + len, 1, n);
		len += n;
	}
	name[len] = 0;
	name[63] = (uint8_t)('a' + i);
}

static struct explain *make(void)
{
	static const uint8_t hash_key[16] = { 1 };
	struct explain_request request = { .type = 1, .name_len = 1 };
	struct explain *explain = NULL;

	assert_int_equal(
	    explain_new(7, (const uint8_t *)&request, sizeof(request), hash_key, &explain), ERR_OK);
	return explain;
}

static void tell_steps(const struct val_config *config, const uint8_t *name, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		const struct val_event event = {
			.kind = VAL_EVENT_TRUST, .type = 43, .name = name, .zone = name
		};

		val_trace(config->trace, &event);
	}
}

static void tell_link(struct explain *explain, const uint8_t *name, unsigned int attempt)
{
	struct entry entry = { .kind = ENTRY_DATA, .type = 1, .name = name, .target = name };
	struct val_result result = { .state = VAL_BOGUS, .why = VAL_WHY_SIGNATURE, .type = 1 };

	memcpy(result.name, name, NAME_MAX_WIRE);
	explain_link(explain, &entry, attempt);
	explain_verdict(explain, &result, &entry);
}

struct told {
	unsigned int n_links, n_verdicts, n_steps;
	bool ended, cut;
};

/* Every row, each verdict behind the link that it is of. */
static struct told read_rows(const struct explain *explain)
{
	struct told told = { 0 };
	struct explain_view view, link = { 0 };
	const uint8_t *rows;
	size_t len, at = 0;
	bool judged = true;

	rows = explain_rows(explain, &len);
	assert_in_range(len, 1, LIMIT_EXPLAIN_BYTES);
	while (explain_row_read(rows, len, &at, &view) > 0) {
		assert_false(told.ended);
		if (view.row.kind == EXPLAIN_LINK) {
			link = view;
			judged = false;
			told.n_links++;
		} else if (view.row.kind == EXPLAIN_VERDICT) {
			assert_false(judged);
			assert_int_equal(view.row.text_len[EXPLAIN_NAME],
			                 link.row.text_len[EXPLAIN_NAME]);
			assert_memory_equal(view.text[EXPLAIN_NAME], link.text[EXPLAIN_NAME],
			                    link.row.text_len[EXPLAIN_NAME]);
			judged = true;
			told.n_verdicts++;
		} else if (view.row.kind == EXPLAIN_END) {
			told.ended = true;
			told.cut = view.row.cut != 0;
			assert_int_equal(view.row.outcome, EXPLAIN_BOGUS);
		} else {
			assert_false(judged); /* steps come before the verdict */
			told.n_steps++;
		}
	}
	assert_int_equal(at, len);
	return told;
}

static struct told tell(unsigned int n_steps, unsigned int n_links)
{
	static const struct refusal refusal = { RCODE_SERVFAIL, 6, REASON_BOGUS,
		                                "told at the end" };
	CLEANUP(free) struct settings *settings = calloc(1, sizeof(*settings));
	CLEANUP(explain_free) struct explain *explain = make();
	const struct val_config *config;
	uint8_t name[NAME_MAX_WIRE];

	assert_non_null(settings);
	config = explain_config(explain, settings);
	for (unsigned int i = 0; i < n_links; i++) {
		struct entry entry = {
			.kind = ENTRY_DATA, .type = 1, .name = name, .target = name
		};

		make_name(name, i);
		explain_link(explain, &entry, 1);
		tell_steps(config, name, i == 0 ? n_steps : 1);
		for (unsigned int attempt = 2; attempt <= ATTEMPTS; attempt++)
			tell_link(explain, name, attempt);
	}
	explain_refused(explain, &refusal);
	return read_rows(explain);
}

static void what_fits_is_told_whole(void **state)
{
	struct told told = tell(3, 1);

	(void)state;
	assert_true(told.ended && !told.cut);
	assert_int_equal(told.n_links, ATTEMPTS);
	assert_int_equal(told.n_verdicts, ATTEMPTS - 1);
	assert_int_equal(told.n_steps, 3);
}

static void links_and_the_end_are_told_when_steps_are_left_out(void **state)
{
	struct told told = tell(1000, 1);

	(void)state;
	assert_true(told.ended && told.cut);
	assert_int_equal(told.n_links, ATTEMPTS);
	assert_int_equal(told.n_verdicts, ATTEMPTS - 1);
}

static void a_verdict_goes_with_its_link_and_the_end_is_told_in_any_case(void **state)
{
	(void)state;
	for (unsigned int steps = 0; steps <= 1000; steps += 5) {
		struct told told = tell(steps, LINKS);

		assert_true(told.ended);
		assert_true(told.n_links >= 1);
		if (steps == 1000)
			assert_true(told.cut);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_fits_is_told_whole),
		cmocka_unit_test(links_and_the_end_are_told_when_steps_are_left_out),
		cmocka_unit_test(a_verdict_goes_with_its_link_and_the_end_is_told_in_any_case),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
