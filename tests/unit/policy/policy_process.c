/* tests/unit/policy/policy_process.c - sallyport-compile as the keeper starts it: confined, texts
 * in by descriptor, a sealed image out (policy/compiler_wire.h).
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"
#include "policy/compiler_wire.h"
#include "sallyport/err.h"
#include "sallyport/role.h"
#include "sallyport/shm.h"

struct run {
	int channel, status;
	pid_t pid;
	char faults[8192], warnings[8192];
	int image_fd; /* -1: none came */
};

static void start(struct run *run)
{
	int pair[2];

	*run = (struct run){ .image_fd = -1 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	run->pid = fork();
	assert_true(run->pid >= 0);
	if (run->pid == 0) {
		/* A sanitizer's report would need what the process has given up. */
		setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
		if (pair[1] == ROLE_FD)
			fcntl(ROLE_FD, F_SETFD, 0);
		else
			dup2(pair[1], ROLE_FD);
		execl(COMPILER, "sallyport-compile", (char *)NULL);
		_exit(127);
	}
	close(pair[1]);
	run->channel = pair[0];
}

static void send_text(struct run *run, uint64_t what, const char *payload, size_t len,
                      const char *text)
{
	int fd = shm_create_sealed("text", text, strlen(text));

	assert_true(fd >= 0);
	assert_int_equal(role_send(run->channel, ROLE_MSG_CONFIG, what, 0, payload, len, &fd, 1),
	                 0);
	close(fd);
}

static void finish(struct run *run)
{
	static uint8_t buf[LIMIT_ROLE_MESSAGE];
	struct role_msg msg;

	while (role_recv(run->channel, buf, sizeof(buf), &msg) == 0) {
		char *out = msg.type == ROLE_MSG_FAILED ? run->faults : run->warnings;
		size_t at = strlen(out);

		if (msg.type == ROLE_MSG_IMAGE) {
			assert_int_equal(msg.n_fds, 1);
			run->image_fd = msg.fds[0];
			msg.fds[0] = -1;
		} else {
			snprintf(out + at, sizeof(run->faults) - at, "%.*s\n", (int)msg.len,
			         (const char *)msg.payload);
		}
		role_msg_close(&msg);
	}
	close(run->channel);
	assert_int_equal(waitpid(run->pid, &run->status, 0), run->pid);
}

static const char good[] = "version: 1\n"
			   "workloads: {w: {source: 192.0.2.1, profile: p}}\n"
			   "profiles: {p: {allow: [{name: \"b\xc3\xbc"
			   "cher.test\"}, {zone: a.test}], feeds: [f]}}\n"
			   "feeds: {f: {file: lists/f, format: domains}}\n";

static void texts_become_a_sealed_image(void **state)
{
	static const char feed[] = "f\0lists/f.txt";
	struct policy_image image;
	struct run run;
	uint8_t wire[NAME_MAX_WIRE];
	struct verdict v;
	void *data;
	size_t len;

	(void)state;
	start(&run);
	send_text(&run, COMPILER_FEED, feed, sizeof(feed) - 1, "x.a.test\n??\ny.a.test\n");
	send_text(&run, COMPILER_POLICY, "p.yaml", 6, good);
	assert_int_equal(role_send(run.channel, ROLE_MSG_END, FIXTURE_NOW, 0, NULL, 0, NULL, 0), 0);
	finish(&run);
	if (!WIFEXITED(run.status) || WEXITSTATUS(run.status) != 0 || run.image_fd < 0)
		fail_msg("status %x: %s", (unsigned int)run.status, run.faults);
	assert_string_equal(run.faults, "");
	assert_non_null(strstr(run.warnings, "p.yaml:2:13: warning: workload 'w' lists no IPv6"));
	assert_non_null(strstr(run.warnings, "lists/f.txt:2:1: warning: not one domain name"));
	assert_int_equal(fcntl(run.image_fd, F_GET_SEALS) & (F_SEAL_WRITE | F_SEAL_SHRINK),
	                 F_SEAL_WRITE | F_SEAL_SHRINK);
	assert_int_equal(shm_map(run.image_fd, SHM_READ, 1, &data, &len), 0);
	assert_int_equal(policy_image_open(data, len, 1, &image), 0);
	fixture_name("z.a.test", wire);
	policy_judge(&image, 0, wire, 1, FIXTURE_NOW, &v);
	assert_int_equal(v.kind, VERDICT_ALLOW);
	fixture_name("x.a.test", wire);
	policy_judge(&image, 0, wire, 1, FIXTURE_NOW, &v);
	assert_int_equal(v.reason, REASON_FEED);
	munmap(data, len);
	close(run.image_fd);
}

static void faults_come_as_lines_and_no_image(void **state)
{
	struct run run;

	(void)state;
	start(&run);
	send_text(&run, COMPILER_POLICY, "p.yaml", 6, "version: 1\nprofles: {}\nworkloads: {}\n");
	assert_int_equal(role_send(run.channel, ROLE_MSG_END, FIXTURE_NOW, 0, NULL, 0, NULL, 0), 0);
	finish(&run);
	assert_true(WIFEXITED(run.status));
	assert_int_equal(WEXITSTATUS(run.status), 1);
	assert_int_equal(run.image_fd, -1);
	assert_non_null(strstr(run.faults, "p.yaml:2:1: error: a policy has no key 'profles'; "
	                                   "'profiles' is the nearest\n"));
	assert_non_null(strstr(run.faults, "p.yaml:1:1: error: this policy has no 'profiles'"));
}

static void without_a_policy_there_is_no_image(void **state)
{
	struct run run;

	(void)state;
	start(&run);
	assert_int_equal(role_send(run.channel, ROLE_MSG_END, FIXTURE_NOW, 0, NULL, 0, NULL, 0), 0);
	finish(&run);
	assert_true(WIFEXITED(run.status));
	assert_int_equal(WEXITSTATUS(run.status), 2);
	assert_int_equal(run.image_fd, -1);
}

static void a_keeper_that_goes_away_ends_it(void **state)
{
	struct run run;

	(void)state;
	start(&run);
	shutdown(run.channel, SHUT_RDWR);
	finish(&run);
	assert_true(WIFEXITED(run.status));
	assert_int_equal(WEXITSTATUS(run.status), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_become_a_sealed_image),
		cmocka_unit_test(faults_come_as_lines_and_no_image),
		cmocka_unit_test(without_a_policy_there_is_no_image),
		cmocka_unit_test(a_keeper_that_goes_away_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
