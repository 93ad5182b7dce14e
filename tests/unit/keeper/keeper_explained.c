/* tests/unit/keeper/keeper_explained.c - what a resolver tells of a validation becomes JSON, whole
 * or not at all, whatever it tells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "explained.h"
#include "sallyport/err.h"
#include "sallyport/verdict.h"

struct rows {
	size_t len;
	uint8_t octets[4096];
};

static void put(struct rows *rows, struct explain_row row, const char *name, const char *zone,
                const char *text)
{
	const char *const texts[EXPLAIN_TEXTS] = { name, zone, NULL, NULL, NULL, text };

	assert_int_equal(
	    explain_row_put(rows->octets, sizeof(rows->octets), &rows->len, &row, texts), 0);
}

static void tell(struct rows *rows)
{
	rows->len = 0;
	put(rows,
	    (struct explain_row){
		.kind = EXPLAIN_LINK, .outcome = EXPLAIN_DATA, .type = 1, .attempt = 1 },
	    "www.example.", NULL, "192.0.2.53");
	put(rows, (struct explain_row){ .kind = EXPLAIN_ASKED, .outcome = EXPLAIN_YES, .type = 48 },
	    ".", NULL, NULL);
	put(rows,
	    (struct explain_row){
		.kind = EXPLAIN_KEY, .type = 48, .tag = 7, .algorithm = 13, .flags = 0x181 },
	    ".", NULL, NULL);
	put(rows,
	    (struct explain_row){ .kind = EXPLAIN_SIGNATURE,
	                          .type = 1,
	                          .tag = 7,
	                          .algorithm = 200,
	                          .inception = 1790000000,
	                          .expiration = 1800000000 },
	    "www.example.", "example.", NULL);
	put(rows,
	    (struct explain_row){
		.kind = EXPLAIN_VERDICT, .outcome = DNSSEC_SECURE, .type = 1, .tag = 7 },
	    "www.example.", "example.", NULL);
	put(rows,
	    (struct explain_row){ .kind = EXPLAIN_END,
	                          .outcome = EXPLAIN_ANSWERED,
	                          .state = DNSSEC_SECURE,
	                          .ede = UINT16_MAX },
	    NULL, NULL, NULL);
}

static void rows_become_one_object(void **state)
{
	struct explain_row end;
	struct rows rows;
	json_t *got, *want;

	(void)state; /* cmocka's signature */
	tell(&rows);
	got = explained_json(rows.octets, rows.len, &end);
	want = json_loads(
	    "{\"links\":[{\"name\":\"www.example.\",\"type\":\"A\",\"kind\":\"data\","
	    "\"target\":null,\"upstream\":\"192.0.2.53\",\"attempt\":1,\"state\":\"secure\","
	    "\"why\":null,\"reason\":null,\"rfc\":null,\"decided_at\":\"www.example.\","
	    "\"decided_type\":\"A\",\"zone\":\"example.\",\"tag\":7,\"ttl\":0,\"steps\":["
	    "{\"step\":\"asked\",\"name\":\".\",\"type\":\"DNSKEY\",\"answered\":true},"
	    "{\"step\":\"key\",\"name\":\".\",\"tag\":7,\"algorithm\":13,"
	    "\"algorithm_name\":\"ECDSAP256SHA256\",\"flags\":385,\"zone_key\":true,"
	    "\"sep\":true,\"revoked\":true},"
	    "{\"step\":\"signature\",\"name\":\"www.example.\",\"type\":\"A\","
	    "\"signer\":\"example.\",\"tag\":7,\"algorithm\":200,\"algorithm_name\":null,"
	    "\"labels\":0,\"inception\":\"2026-09-21T14:13:20.000000Z\","
	    "\"expiration\":\"2027-01-15T08:00:00.000000Z\",\"verified\":true,\"why\":null,"
	    "\"reason\":null,\"rfc\":null}]}],"
	    "\"outcome\":\"answered\",\"state\":\"secure\",\"rcode\":\"NOERROR\",\"ede\":null,"
	    "\"text\":null,\"cut\":false}",
	    0, NULL);
	assert_non_null(want);
	if (!got || !json_equal(got, want))
		fail_msg("got %s", got ? json_dumps(got, 0) : "nothing");
	assert_int_equal(end.outcome, EXPLAIN_ANSWERED);
	json_decref(got);
	json_decref(want);
}

static void cut_anywhere_they_are_nothing(void **state)
{
	struct explain_row end;
	struct rows rows;

	(void)state;
	tell(&rows);
	for (size_t len = 0; len < rows.len; len++)
		assert_null(explained_json(rows.octets, len, &end));
	rows.len += 4; /* something behind the end */
	assert_null(explained_json(rows.octets, rows.len, &end));
}

static void a_length_that_does_not_fit_is_refused(void **state)
{
	static const struct {
		const char *title;
		size_t at; /* in the first row */
		uint16_t value;
	} cases[] = {
		{ "a row of nothing", 0, 0 },
		{ "a row beyond the end", 0, 0xfffc },
		{ "a row of an odd length", 0, sizeof(struct explain_row) + 23 },
		{ "a row longer than its texts", 0, sizeof(struct explain_row) + 28 },
		{ "an unknown kind", offsetof(struct explain_row, kind), EXPLAIN_KIND_N },
		{ "a name beyond the row", offsetof(struct explain_row, text_len), 0xffff },
		{ "a name over the limit", offsetof(struct explain_row, text_len),
		  LIMIT_EXPLAIN_TEXT + 1 },
		{ "a text beyond the row",
		  offsetof(struct explain_row, text_len) + 2 * EXPLAIN_TEXT, 17 },
	};
	struct explain_row end;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rows rows;
		json_t *got;

		tell(&rows);
		memcpy(rows.octets + cases[i].at, &cases[i].value, sizeof(cases[i].value));
		got = explained_json(rows.octets, rows.len, &end);
		if (got)
			fail_msg("%s: %s", cases[i].title, json_dumps(got, 0));
	}
}

static void octets_of_any_kind_are_shown_as_text(void **state)
{
	struct rows rows = { 0 };
	struct explain_row end;
	json_t *got;

	(void)state;
	put(&rows, (struct explain_row){ .kind = EXPLAIN_LINK, .outcome = 200, .attempt = 1 },
	    "\033[2J\xff.", NULL, NULL);
	put(&rows,
	    (struct explain_row){ .kind = EXPLAIN_END, .outcome = 99, .state = 77, .rcode = 4000 },
	    NULL, NULL, "\n");
	got = explained_json(rows.octets, rows.len, &end);
	assert_non_null(got);
	assert_string_equal(json_string_value(json_object_get(
				json_array_get(json_object_get(got, "links"), 0), "name")),
	                    "?[2J?.");
	assert_string_equal(json_string_value(json_object_get(got, "outcome")), "?");
	assert_string_equal(json_string_value(json_object_get(got, "rcode")), "RCODE4000");
	assert_string_equal(json_string_value(json_object_get(got, "text")), "?");
	json_decref(got);
	/* A step that belongs to no link. */
	rows.len = 0;
	put(&rows, (struct explain_row){ .kind = EXPLAIN_KEY }, ".", NULL, NULL);
	put(&rows, (struct explain_row){ .kind = EXPLAIN_END }, NULL, NULL, NULL);
	assert_null(explained_json(rows.octets, rows.len, &end));
}

/* A serial number whose nearest moment lies before 1970 is none that a calendar here has. */
static void a_moment_before_time_began_is_its_first_second(void **state)
{
	struct rows rows = { 0 };
	struct explain_row end;
	const json_t *step;
	json_t *got;

	(void)state;
	put(&rows, (struct explain_row){ .kind = EXPLAIN_LINK, .attempt = 1 }, ".", NULL, NULL);
	put(&rows,
	    (struct explain_row){ .kind = EXPLAIN_SIGNATURE,
	                          .inception = UINT32_MAX, /* in 2106, or a second before 1970 */
	                          .expiration = 0 },
	    ".", NULL, NULL);
	put(&rows, (struct explain_row){ .kind = EXPLAIN_END }, NULL, NULL, NULL);
	got = explained_json(rows.octets, rows.len, &end);
	assert_non_null(got);
	step = json_array_get(
	    json_object_get(json_array_get(json_object_get(got, "links"), 0), "steps"), 0);
	assert_string_equal(json_string_value(json_object_get(step, "inception")),
	                    "1970-01-01T00:00:00.000000Z");
	assert_string_equal(json_string_value(json_object_get(step, "expiration")),
	                    "1970-01-01T00:00:00.000000Z");
	json_decref(got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_become_one_object),
		cmocka_unit_test(cut_anywhere_they_are_nothing),
		cmocka_unit_test(a_length_that_does_not_fit_is_refused),
		cmocka_unit_test(octets_of_any_kind_are_shown_as_text),
		cmocka_unit_test(a_moment_before_time_began_is_its_first_second),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
