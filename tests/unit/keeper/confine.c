/* tests/unit/keeper/confine.c - what a confined process can still do, tried in child processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sallyport/confine.h"

#define NOBODY 65534

/* openat is listed in the tests that look at the root, so that the file system answers and not the
 * filter. */
static const int look_calls[] = {
	SCMP_SYS(openat),    SCMP_SYS(getuid),     SCMP_SYS(geteuid),    SCMP_SYS(getgroups),
	SCMP_SYS(setresuid), SCMP_SYS(prctl),      SCMP_SYS(capget),     SCMP_SYS(mkdirat),
	SCMP_SYS(mkdir),     SCMP_SYS(newfstatat), SCMP_SYS(getdents64), -1,
};
static const int few_calls[] = { SCMP_SYS(read), -1 };
static const int thread_calls[] = { SCMP_SYS(clone), SCMP_SYS(clone3), -1 };
static const int unix_only[] = { AF_UNIX, -1 };

typedef int try_cb(void); /* in the child after confine_self(); its result is the exit status */

/* The child's exit status, or 1000 + the signal that killed it. */
static int run(const struct confine *c, try_cb *try)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		if (confine_self(c) < 0)
			_exit(99);
		_exit(try());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

static struct confine plain(const int *syscalls)
{
	bool root = geteuid() == 0;

	return (struct confine){
		.role = "test",
		.uid = root ? NOBODY : (uid_t)-1,
		.gid = root ? NOBODY : (gid_t)-1,
		.root_fd = -1,
		.keep_cap = -1,
		.syscalls = syscalls,
	};
}

static int try_nothing_to_open(void)
{
	if (open("/etc/passwd", O_RDONLY) >= 0 || open("/proc/self/status", O_RDONLY) >= 0)
		return 1;
	if (open("/new", O_RDWR | O_CREAT, 0600) >= 0 || mkdir("/dir", 0700) == 0)
		return 2;
	return 0;
}

static void a_confined_process_finds_no_file_and_can_make_none(void **state)
{
	struct confine c = plain(look_calls);

	(void)state;
	assert_int_equal(run(&c, try_nothing_to_open), 0);
}

static int try_identity(void)
{
	cap_t caps = cap_get_proc();
	cap_flag_value_t value;

	if (getuid() == 0 || geteuid() == 0 || setresuid(0, 0, 0) == 0)
		return 1;
	if (getgroups(0, NULL) != 0)
		return 2;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return 3;
	for (cap_value_t cap = 0; caps && cap <= CAP_AUDIT_CONTROL; cap++) {
		if (cap_get_flag(caps, cap, CAP_PERMITTED, &value) == 0 && value == CAP_SET)
			return 4;
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
			return 5;
	}
	return caps ? 0 : 6;
}

static void nothing_of_root_is_left(void **state)
{
	struct confine c = plain(look_calls);

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(run(&c, try_identity), 0);
}

static int try_one_capability(void)
{
	cap_t caps = cap_get_proc();
	cap_flag_value_t value = CAP_CLEAR;

	for (cap_value_t cap = 0; caps && cap <= CAP_AUDIT_CONTROL; cap++) {
		if (cap_get_flag(caps, cap, CAP_EFFECTIVE, &value) < 0 ||
		    (value == CAP_SET) != (cap == CAP_NET_ADMIN))
			return 1;
	}
	return caps && getuid() == NOBODY ? 0 : 2;
}

static void the_named_capability_alone_outlives_the_change_of_user(void **state)
{
	struct confine c = plain(look_calls);

	(void)state;
	if (geteuid() != 0)
		skip();
	c.keep_cap = CAP_NET_ADMIN;
	assert_int_equal(run(&c, try_one_capability), 0);
}

static int try_forbidden(void)
{
	return getppid() > 0 && setsid() > 0 ? 0 : 1;
}

static int try_punch_hole(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED || madvise(page, 4096, MADV_DONTNEED) < 0)
		return 1;
	return madvise(page, 4096, MADV_REMOVE) < 0 ? 2 : 0;
}

static int try_exec_memory(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
	               -1, 0);

	return p == MAP_FAILED ? 1 : 0;
}

static int try_fork(void)
{
	return fork() >= 0 ? 0 : 1;
}

static int try_inet(void)
{
	return socket(AF_INET, SOCK_DGRAM, 0) >= 0 ? 0 : 1;
}

static int try_unix(void)
{
	return socket(AF_UNIX, SOCK_DGRAM, 0) >= 0 ? 42 : 1;
}

/* A sanitizer build exits with 127 where a real one is killed. */
static bool killed(int status)
{
	return status == 1000 + SIGSYS || status == 127;
}

static void a_call_that_is_not_listed_kills(void **state)
{
	static const struct {
		const char *title;
		try_cb *try;
	} cases[] = {
		{ "setsid", try_forbidden },
		{ "executable memory", try_exec_memory },
		{ "a hole in shared memory", try_punch_hole },
		{ "fork", try_fork },
		{ "a socket of a family that is not listed", try_inet },
	};
	struct confine c = plain(few_calls);

	(void)state;
	c.socket_families = unix_only;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int status = run(&c, cases[i].try);

		if (!killed(status))
			fail_msg("%s: status %d", cases[i].title, status);
	}
	assert_int_equal(run(&c, try_unix), 42);
}

static int try_inside(void)
{
	int fd = open("inside", O_RDWR);

	if (fd < 0 || open("/etc/passwd", O_RDONLY) >= 0 || open("../outside", O_RDONLY) >= 0)
		return 1;
	return open("made", O_RDWR | O_CREAT, 0600) >= 0 ? 0 : 2;
}

static void a_given_root_is_all_there_is(void **state)
{
	char path[] = "/tmp/sallyport-test-XXXXXX", inside[64], outside[64], made[64];
	struct confine c = plain(look_calls);

	(void)state;
	assert_non_null(mkdtemp(path));
	snprintf(inside, sizeof(inside), "%s/root", path);
	assert_int_equal(mkdir(inside, 0700), 0);
	snprintf(outside, sizeof(outside), "%s/outside", path);
	close(open(outside, O_RDWR | O_CREAT, 0666));
	c.root_fd = open(inside, O_RDONLY | O_DIRECTORY);
	snprintf(made, sizeof(made), "%s/root/made", path);
	snprintf(inside, sizeof(inside), "%s/root/inside", path);
	close(open(inside, O_RDWR | O_CREAT, 0666));
	if (geteuid() == 0) {
		assert_int_equal(fchown(c.root_fd, NOBODY, NOBODY), 0);
		assert_int_equal(chown(inside, NOBODY, NOBODY), 0);
	}
	c.flags = CONFINE_ROOT_FD;
	int status = run(&c, try_inside);

	close(c.root_fd);
	unlink(inside);
	unlink(made);
	unlink(outside);
	snprintf(inside, sizeof(inside), "%s/root", path);
	rmdir(inside);
	rmdir(path);
	assert_int_equal(status, 0);
}

static int by_octet(const void *a, const void *b)
{
	return *(const uint8_t *)a - *(const uint8_t *)b;
}

static int try_sort(void)
{
	static uint8_t many[1 << 20][64];

	for (size_t i = 0; i < ARRAY_LEN(many); i += 4096)
		many[i][0] = (uint8_t)i;
	qsort(many, ARRAY_LEN(many), sizeof(many[0]), by_octet);
	return 0;
}

/* A thread's arena that shrinks: malloc() looks into /proc for how the kernel overcommits. */
static void *grow_and_shrink(void *arg)
{
	static void *blocks[512];

	for (int round = 0; round < 4; round++) {
		for (size_t i = 0; i < ARRAY_LEN(blocks); i++)
			blocks[i] = malloc(64 << 10);
		for (size_t i = ARRAY_LEN(blocks); i-- > 0;)
			free(blocks[i]);
	}
	return arg;
}

static int try_memory(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, grow_and_shrink, NULL) != 0)
		return 2;
	pthread_join(thread, NULL);
	return open("/proc/self/status", O_RDONLY) < 0 ? 0 : 3;
}

static void libc_itself_goes_on_working(void **state)
{
	struct confine c = plain(few_calls);

	(void)state;
	assert_int_equal(run(&c, try_sort), 0);
	c = plain(thread_calls); /* a sanitizer's malloc() does not look, but may as well */
	assert_int_equal(run(&c, try_memory), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_confined_process_finds_no_file_and_can_make_none),
		cmocka_unit_test(nothing_of_root_is_left),
		cmocka_unit_test(the_named_capability_alone_outlives_the_change_of_user),
		cmocka_unit_test(a_call_that_is_not_listed_kills),
		cmocka_unit_test(a_given_root_is_all_there_is),
		cmocka_unit_test(libc_itself_goes_on_working),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
