/* tests/unit/validator/val_real.c - the real root: the anchors of Debian's package, and a chain
 * that was captured, judged at its own time. The capture's DNSKEY RRset is signed by 20326: of the
 * time since 38696 signs it (October 2026) no published capture was found, so of 38696 only the
 * anchor is checked, in both of the package's files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "records.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/name.h"
#include "val_job.h"
#include "val_wire.h"

#define CAPTURED_S UINT64_C(1722407400) /* 2024-07-31 06:30 UTC */
#define DAY_S 86400

struct real {
	struct world world;
	struct val_anchors *anchors;
	struct val_table *table;
	char *records;
	unsigned int n_questions;
};

static char *read_file(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = calloc(1, 65536);
	size_t n;

	if (!file)
		fail_msg("%s is not there", path);
	n = fread(text, 1, 65535, file);
	fclose(file);
	assert_true(n > 0);
	return text;
}

static int open_real(void **state)
{
	static const uint8_t key[16] = { 7 };
	struct real *real = calloc(1, sizeof(*real));

	world_init(&real->world);
	real->anchors = val_anchors_new();
	real->table = val_table_new(key);
	real->records = read_file(SOURCE_DIR "/captures/2024-07-31.txt");
	*state = real;
	return 0;
}

static int close_real(void **state)
{
	struct real *real = *state;

	world_fini(&real->world);
	val_anchors_free(real->anchors);
	val_table_free(real->table);
	free(real->records);
	free(real);
	return 0;
}

static void load(struct val_anchors *anchors, const char *path)
{
	CLEANUP(free) char *text = read_file(path);
	unsigned int line = 0;

	if (val_anchors_read(anchors, text, &line) != ERR_OK)
		fail_msg("%s, line %u", path, line);
}

static void both_root_anchors_of_debian_load(void **state)
{
	static const uint16_t want[] = { 20326, 38696 };
	struct real *real = *state;
	const struct val_anchor *root;

	load(real->anchors, "/usr/share/dns/root.ds");
	load(real->anchors, "/usr/share/dns/root.key");
	root = val_anchors_above(real->anchors, (const uint8_t *)"", CAPTURED_S);
	assert_non_null(root);
	assert_int_equal(root->n_ds, ARRAY_LEN(want));
	assert_int_equal(root->n_keys, ARRAY_LEN(want));
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		const struct val_rdata *ds = &root->ds[i], *key = &root->keys[i];
		struct val_key read = { 0 };

		assert_int_equal(val_u16(ds->data), want[i]);
		assert_int_equal(val_key_tag(key->data, key->len), want[i]);
		/* the two files say the same, and the keys are keys */
		assert_true(val_ds_matches(ds, (const uint8_t *)"", key));
		assert_true(val_key_read(key, false, &read));
		EVP_PKEY_free(read.pkey);
	}
}

/* The captured address, judged at @now_s. */
static enum val_state judge(struct real *real, uint64_t now_s, enum val_why *ret_why)
{
	const struct val_config config = { .rules = &val_rules_default,
		                           .anchors = real->anchors,
		                           .table = real->table };
	const struct val_now now = { now_s, NS_PER_S };
	CLEANUP(val_message_free)
	struct val_message *message =
	    records_message(&real->world, real->records, "nsmith.net.", "A", VAL_ANSWER);
	const struct val_subject subject = { .name = records_name(&real->world, "nsmith.net."),
		                             .type = 1,
		                             .kind = VAL_DATA,
		                             .message = message };
	struct val_budget budget;

	val_budget_init(&budget);

	CLEANUP(val_job_free) struct val_job *job = val_job_new(&config, &subject, &budget);
	enum val_step step;

	assert_int_equal(message->sets[0].n_rrs, 3);
	real->n_questions = 0;
	while ((step = val_job_run(job, &now)) != VAL_DONE) {
		char name[NAME_TEXT_LEN], type[NAME_TYPE_TEXT_LEN];

		if (step == VAL_TURN) {
			val_budget_turn(&budget);
			continue;
		}
		name_to_text(val_job_need(job)->name, name);
		name_type_text(val_job_need(job)->type, type);

		val_job_give(job,
		             records_message(&real->world, real->records, name, type, VAL_ANSWER));
		assert_true(real->n_questions++ < 10);
	}
	*ret_why = val_job_result(job)->why;
	return val_job_result(job)->state;
}

static void the_captured_chain_is_secure_at_its_own_time(void **state)
{
	struct real *real = *state;
	enum val_why why;

	load(real->anchors, "/usr/share/dns/root.ds");
	assert_int_equal(judge(real, CAPTURED_S, &why), VAL_SECURE);
	assert_int_equal(real->n_questions, 5); /* ., net. and nsmith.net. */
}

static void the_captured_chain_is_bogus_at_any_other_time(void **state)
{
	struct real *real = *state;
	enum val_why why;

	load(real->anchors, "/usr/share/dns/root.ds");
	assert_int_equal(judge(real, CAPTURED_S + 30 * DAY_S, &why), VAL_BOGUS);
	assert_int_equal(why, VAL_WHY_EXPIRED);
	val_table_clear(real->table);
	assert_int_equal(judge(real, CAPTURED_S - 30 * DAY_S, &why), VAL_BOGUS);
	assert_int_equal(why, VAL_WHY_NOT_YET);
}

static void the_captured_chain_needs_the_key_that_signed_it(void **state)
{
	struct real *real = *state;
	CLEANUP(free) char *text = read_file("/usr/share/dns/root.ds");
	char *line = strstr(text, ". IN DS 38696");
	enum val_why why;
	unsigned int n;

	assert_non_null(line);
	line[strcspn(line, "\n")] = '\0';
	assert_int_equal(val_anchors_read(real->anchors, line, &n), ERR_OK);
	assert_int_equal(judge(real, CAPTURED_S, &why), VAL_BOGUS);
	assert_int_equal(why, VAL_WHY_NO_SEP);
}

int main(void)
{
#define REAL_TEST(name) cmocka_unit_test_setup_teardown(name, open_real, close_real)
	const struct CMUnitTest tests[] = {
		REAL_TEST(both_root_anchors_of_debian_load),
		REAL_TEST(the_captured_chain_is_secure_at_its_own_time),
		REAL_TEST(the_captured_chain_is_bogus_at_any_other_time),
		REAL_TEST(the_captured_chain_needs_the_key_that_signed_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
