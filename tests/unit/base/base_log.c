/* tests/unit/base/base_log.c - what a line looks like, whatever is in it. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "sallyport/limits.h"
#include "sallyport/log.h"

static int err_fd, real_err;

/* What has been written since the last call. */
static char *said(void)
{
	static char text[1 << 20];
	ssize_t n = pread(err_fd, text, sizeof(text) - 1, 0);

	assert_true(n >= 0);
	text[n] = '\0';
	assert_int_equal(ftruncate(err_fd, 0), 0);
	assert_int_equal(lseek(err_fd, 0, SEEK_SET), 0);
	return text;
}

static int catch_stderr(void **state)
{
	char path[] = "/tmp/sallyport-log-XXXXXX";

	(void)state;
	unsetenv("JOURNAL_STREAM");
	err_fd = mkstemp(path);
	real_err = dup(STDERR_FILENO);
	if (err_fd < 0 || real_err < 0 || dup2(err_fd, STDERR_FILENO) < 0)
		return -1;
	return unlink(path);
}

static int give_stderr_back(void **state)
{
	(void)state;
	dup2(real_err, STDERR_FILENO);
	close(real_err);
	return close(err_fd);
}

static void an_event_is_a_line_of_keys_and_values(void **state)
{
	(void)state;
	log_init("resolver", LOG_FORM_KEYVALUE, LOG_LEVEL_INFO);
	log_kv(LOG_LEVEL_WARNING, "upstream", "name", "a\"b\\c\n\033[2J\xff.test", "back after %d",
	       3);
	log_debug("upstream", "not asked for");
	assert_string_equal(said(), "level=warning role=resolver tag=upstream msg=\"back after 3\" "
	                            "name=\"a\\\"b\\\\c\\u000a\\u001b[2J\\u00ff.test\"\n");
}

static void on_request_it_is_an_object(void **state)
{
	(void)state;
	log_init("keeper", LOG_FORM_JSON, LOG_LEVEL_INFO);
	log_info("policy", "version %d", 3);
	assert_string_equal(said(), "{\"level\":\"info\",\"role\":\"keeper\",\"tag\":\"policy\","
	                            "\"msg\":\"version 3\"}\n");
}

static void in_the_journal_it_has_its_priority(void **state)
{
	(void)state;
	setenv("JOURNAL_STREAM", "8:1", 1);
	log_init("keeper", LOG_FORM_KEYVALUE, LOG_LEVEL_INFO);
	unsetenv("JOURNAL_STREAM");
	log_error("policy", "no");
	assert_string_equal(said(), "<3>level=error role=keeper tag=policy msg=\"no\"\n");
}

static void what_is_too_long_is_cut_and_the_line_stays_whole(void **state)
{
	char value[4000], *line;
	size_t len;

	(void)state;
	log_init("keeper", LOG_FORM_JSON, LOG_LEVEL_INFO);
	for (size_t shift = 0; shift < 8; shift++) { /* an escape is six octets: cut at each */
		memset(value, 'a', shift);
		memset(value + shift, '\001', sizeof(value) - 1 - shift);
		value[sizeof(value) - 1] = '\0';
		log_kv(LOG_LEVEL_INFO, "t", "name", value, "%s", value);
		line = said();
		len = strlen(line);
		assert_in_range(len, 1500, 2048);
		assert_string_equal(line + len - 11, "\"name\":\"\"}\n");
		assert_memory_equal(line + len - 19, "\\u0001\"", 7);
	}
}

static void more_than_so_many_a_second_are_dropped_and_counted(void **state)
{
	static const struct timespec second = { .tv_sec = 1, .tv_nsec = 100000000 };
	size_t n = 0;
	char *text;

	(void)state;
	log_init("keeper", LOG_FORM_KEYVALUE, LOG_LEVEL_INFO);
	nanosleep(&second, NULL);
	for (int i = 0; i < 3 * LIMIT_LOG_PER_SECOND; i++) /* of two seconds at most */
		log_info("t", "x");
	text = said();
	for (const char *p = text; *p; p++)
		n += *p == '\n';
	assert_in_range(n, LIMIT_LOG_PER_SECOND, 2 * LIMIT_LOG_PER_SECOND);
	nanosleep(&second, NULL);
	log_info("t", "y");
	assert_non_null(strstr(said(), "msg=\"y\" lines_dropped="));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_event_is_a_line_of_keys_and_values),
		cmocka_unit_test(on_request_it_is_an_object),
		cmocka_unit_test(in_the_journal_it_has_its_priority),
		cmocka_unit_test(what_is_too_long_is_cut_and_the_line_stays_whole),
		cmocka_unit_test(more_than_so_many_a_second_are_dropped_and_counted),
	};

	return cmocka_run_group_tests(tests, catch_stderr, give_stderr_back);
}
