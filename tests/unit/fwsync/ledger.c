/* The ledger as its readers see it: consistent copies, or nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sallyport/err.h"
#include "sallyport/ledger.h"
#include "sallyport/shm.h"

static void an_empty_ledger_has_no_rows(void **state)
{
	struct ledger ledger;
	struct ledger_row row;
	struct ledger_reason reason;
	int fd = ledger_create(100);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(ledger_open(&ledger, fd, 1), ERR_OK);
	assert_int_equal(ledger.head->n_rows, 100);
	assert_int_equal(ledger.head->n_reasons, 25);
	for (uint32_t i = 0; i < 200; i++)
		assert_int_equal(ledger_read(&ledger, i, &row, &reason), 0);
	assert_int_equal(ledger_rows(&ledger), 0);
	ledger_close(&ledger);
	close(fd);
}

static void an_empty_ledger_takes_no_memory(void **state)
{
	int fd = ledger_create(1 << 20);
	struct stat st;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(st.st_blocks * 512 <= 8192);
	close(fd);
}

static void put(struct ledger *ledger, uint32_t i, uint32_t reason)
{
	ledger->rows[i].reason = reason;
	ledger->rows[i].expires_ns = 42;
	ledger->cells[reason].rows++;
	strcpy(ledger->cells[reason].workload, "app");
	atomic_store(&ledger->head->rows_high, 100);
}

static void a_row_is_read_with_its_reason(void **state)
{
	struct ledger ledger;
	struct ledger_row row;
	struct ledger_reason reason;
	int fd = ledger_create(100);

	(void)state;
	assert_int_equal(ledger_open(&ledger, fd, 1), ERR_OK);
	put(&ledger, 7, 3);
	assert_int_equal(ledger_read(&ledger, 7, &row, &reason), 1);
	assert_int_equal(row.expires_ns, 42);
	assert_string_equal(reason.workload, "app");
	ledger_close(&ledger);
	close(fd);
}

static void long_names_lie_elsewhere(void **state)
{
	struct ledger ledger;
	struct ledger_row row;
	struct ledger_reason reason;
	int fd = ledger_create(100);

	(void)state;
	assert_int_equal(ledger_open(&ledger, fd, 1), ERR_OK);
	put(&ledger, 7, 3);
	ledger.cells[3].names_len = LEDGER_NAMES_NEAR;
	ledger.cells[3].names[LEDGER_NAMES_NEAR - 1] = 'n';
	assert_int_equal(ledger_read(&ledger, 7, &row, &reason), 1);
	assert_int_equal(reason.names[LEDGER_NAMES_NEAR - 1], 'n');
	ledger.cells[3].names_len = LIMIT_PINHOLE_NAMES;
	ledger.cells[3].more = ledger.head->n_more - 1;
	ledger.more[ledger.cells[3].more][LIMIT_PINHOLE_NAMES - 1] = 'm';
	assert_int_equal(ledger_read(&ledger, 7, &row, &reason), 1);
	assert_int_equal(reason.names_len, LIMIT_PINHOLE_NAMES);
	assert_int_equal(reason.names[LIMIT_PINHOLE_NAMES - 1], 'm');
	ledger.cells[3].more = ledger.head->n_more;
	assert_int_equal(ledger_read(&ledger, 7, &row, &reason), 0);
	ledger_close(&ledger);
	close(fd);
}

static void rows_that_were_never_used_are_not_looked_at(void **state)
{
	struct ledger ledger;
	struct ledger_row row;
	struct ledger_reason reason;
	int fd = ledger_create(100);

	(void)state;
	assert_int_equal(ledger_open(&ledger, fd, 1), ERR_OK);
	put(&ledger, 7, 0);
	atomic_store(&ledger.head->rows_high, 7);
	assert_int_equal(ledger_read(&ledger, 7, &row, &reason), 0);
	atomic_store(&ledger.head->rows_high, 8);
	assert_int_equal(ledger_read(&ledger, 7, &row, &reason), 1);
	atomic_store(&ledger.head->rows_high, UINT32_MAX);
	assert_int_equal(ledger_rows(&ledger), 100);
	ledger_close(&ledger);
	close(fd);
}

static void what_a_dead_writer_left_open_is_not_read(void **state)
{
	struct ledger ledger;
	struct ledger_row row;
	struct ledger_reason reason;
	int fd = ledger_create(100);

	(void)state;
	assert_int_equal(ledger_open(&ledger, fd, 1), ERR_OK);
	put(&ledger, 7, 3);
	atomic_store(&ledger.rows[7].version, 5);
	assert_int_equal(ledger_read(&ledger, 7, &row, &reason), 0);
	atomic_store(&ledger.rows[7].version, 6);
	atomic_store(&ledger.cells[3].version, 1);
	assert_int_equal(ledger_read(&ledger, 7, &row, &reason), 0);
	atomic_store(&ledger.cells[3].version, 2);
	assert_int_equal(ledger_read(&ledger, 7, &row, &reason), 1);
	ledger_close(&ledger);
	close(fd);
}

static void hostile_rows_are_not_followed(void **state)
{
	struct ledger ledger;
	struct ledger_row row;
	struct ledger_reason reason;
	int fd = ledger_create(100);

	(void)state;
	assert_int_equal(ledger_open(&ledger, fd, 1), ERR_OK);
	put(&ledger, 7, 3);
	ledger.rows[7].reason = 25;
	assert_int_equal(ledger_read(&ledger, 7, &row, &reason), 0);
	ledger.rows[7].reason = UINT32_MAX - 1;
	assert_int_equal(ledger_read(&ledger, 7, &row, &reason), 0);
	ledger.rows[7].reason = 3;
	ledger.cells[3].names_len = LIMIT_PINHOLE_NAMES + 1;
	assert_int_equal(ledger_read(&ledger, 7, &row, &reason), 0);
	ledger.cells[3].names_len = 0;
	memset(ledger.cells[3].workload, 'x', sizeof(ledger.cells[3].workload));
	assert_int_equal(ledger_read(&ledger, 7, &row, &reason), 1);
	assert_int_equal(strlen(reason.workload), LIMIT_WORKLOAD_NAME);
	/* Counts that change after the memory was mapped change nothing for a reader. */
	ledger.head->n_rows = UINT32_MAX;
	assert_int_equal(ledger_read(&ledger, 100, &row, &reason), 0);
	ledger_close(&ledger);
	close(fd);
}

static void memory_that_is_no_ledger_is_refused(void **state)
{
	struct ledger_head head = {
		.magic = LEDGER_MAGIC, .n_rows = 1000, .n_reasons = 250, .n_more = 62
	};
	struct ledger ledger;
	int fd = shm_create_sealed("test", &head, sizeof(head));

	(void)state;
	assert_int_equal(ledger_open(&ledger, fd, 0), ERR_DAMAGED); /* too short */
	close(fd);
	fd = shm_create("test", 100000);
	assert_int_equal(ledger_open(&ledger, fd, 0), ERR_DAMAGED); /* no magic */
	close(fd);
	fd = ledger_create(100);
	assert_int_equal(ledger_open(&ledger, fd, 1), ERR_OK);
	ledger.head->n_reasons = 24;
	assert_int_equal(ledger_open(&ledger, fd, 0), ERR_DAMAGED); /* not a quarter */
	ledger_close(&ledger);
	close(fd);
}

static void a_larger_ledger_takes_the_rows_of_a_smaller_one(void **state)
{
	struct ledger small, large;
	struct ledger_row row;
	struct ledger_reason reason;
	int a = ledger_create(100), b = ledger_create(1000);

	(void)state;
	assert_int_equal(ledger_open(&small, a, 1), ERR_OK);
	assert_int_equal(ledger_open(&large, b, 1), ERR_OK);
	put(&small, 7, 3);
	put(&small, 99, 24);
	small.cells[24].names_len = LIMIT_PINHOLE_NAMES;
	small.cells[24].more = small.head->n_more - 1;
	small.more[small.cells[24].more][LIMIT_PINHOLE_NAMES - 1] = 'm';
	small.rows[50].reason = UINT32_MAX - 1; /* hostile: copied, and not followed */
	atomic_store(&small.head->complete, 1);
	assert_int_equal(ledger_copy(&large, &small), ERR_OK);
	assert_int_equal(large.head->n_rows, 1000);
	assert_int_equal(atomic_load(&large.head->complete), 1);
	assert_int_equal(ledger_rows(&large), 100);
	assert_int_equal(ledger_read(&large, 7, &row, &reason), 1);
	assert_int_equal(row.expires_ns, 42);
	assert_int_equal(ledger_read(&large, 99, &row, &reason), 1);
	assert_int_equal(reason.names[LIMIT_PINHOLE_NAMES - 1], 'm');
	assert_int_equal(ledger_read(&large, 50, &row, &reason), 0);
	ledger_close(&small);
	ledger_close(&large);
	close(a);
	close(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_ledger_has_no_rows),
		cmocka_unit_test(an_empty_ledger_takes_no_memory),
		cmocka_unit_test(long_names_lie_elsewhere),
		cmocka_unit_test(rows_that_were_never_used_are_not_looked_at),
		cmocka_unit_test(a_row_is_read_with_its_reason),
		cmocka_unit_test(what_a_dead_writer_left_open_is_not_read),
		cmocka_unit_test(hostile_rows_are_not_followed),
		cmocka_unit_test(a_larger_ledger_takes_the_rows_of_a_smaller_one),
		cmocka_unit_test(memory_that_is_no_ledger_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
