/* tests/unit/base/base_diag.c - faults are kept in order, bounded, and a near word is found. */
#include "check.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sallyport/diag.h"
#include "sallyport/limits.h"

static void faults_print_with_their_place(void **state)
{
	CLEANUP(diag_fini) struct diag diag;
	CLEANUP(fd_close) int fd = memfd_create("out", MFD_CLOEXEC);
	char out[512] = "";

	(void)state; /* cmocka's signature */
	diag_init(&diag);
	diag_add(&diag, DIAG_ERROR, "a.yaml", 3, 7, "unknown key 'prots'; did you mean 'ports'?");
	diag_add(&diag, DIAG_WARNING, "a.yaml", 9, 1, "profile 'x' is not used");
	assert_int_equal(diag_set(&diag, ERR_CONFIG, "nothing works"), ERR_CONFIG);
	assert_int_equal(diag.n_errors, 2);
	diag_print(&diag, fd);
	assert_true(pread(fd, out, sizeof(out) - 1, 0) > 0);
	assert_string_equal(out, "a.yaml:3:7: error: unknown key 'prots'; did you mean 'ports'?\n"
	                         "a.yaml:9:1: warning: profile 'x' is not used\n"
	                         "error: nothing works\n");
}

static void faults_beyond_the_limit_are_counted(void **state)
{
	CLEANUP(diag_fini) struct diag diag;

	(void)state; /* cmocka's signature */
	diag_init(&diag);
	for (int i = 0; i < LIMIT_DIAG_ITEMS + 5; i++)
		diag_add(&diag, DIAG_ERROR, "a", 1, 1, "fault %d", i);
	assert_int_equal(diag.n_items, LIMIT_DIAG_ITEMS);
	assert_int_equal(diag.n_dropped, 5);
	assert_int_equal(diag.n_errors, LIMIT_DIAG_ITEMS + 5);
}

static void the_nearest_word_is_near(void **state)
{
	static const char *const words[] = { "ports", "types", "follow", "require", NULL };

	(void)state; /* cmocka's signature */
	assert_string_equal(diag_nearest("prots", words), "ports");
	assert_string_equal(diag_nearest("folow", words), "follow");
	assert_null(diag_nearest("zebra", words));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(faults_print_with_their_place),
		cmocka_unit_test(faults_beyond_the_limit_are_counted),
		cmocka_unit_test(the_nearest_word_is_near),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
