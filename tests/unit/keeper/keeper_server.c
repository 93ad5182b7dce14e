/* tests/unit/keeper/keeper_server.c - the control socket: frames in pieces, rights, long answers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <grp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "frame.h"
#include "rights.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/log.h"
#include "server.h"

/* --- frames ---------------------------------------------------------------------------------- */

static void a_frame_is_whole_however_it_is_cut(void **state)
{
	uint8_t bytes[sizeof(struct control_head) + 13];
	struct control_head head = { 13, CONTROL_REQUEST };

	(void)state;
	memcpy(bytes, &head, sizeof(head));
	memcpy(bytes + sizeof(head), "flush\0corp.te", 13);
	for (size_t cut = 1; cut < sizeof(bytes); cut++) {
		struct frame frame = { 0 };

		assert_int_equal(frame_feed(&frame, bytes, cut), (int)cut);
		assert_true(frame_missing(&frame) > 0);
		assert_int_equal(frame_feed(&frame, bytes + cut, sizeof(bytes) - cut),
		                 (int)(sizeof(bytes) - cut));
		assert_int_equal(frame_missing(&frame), 0);
		assert_memory_equal(frame.payload, "flush\0corp.te", 13);
		/* What follows is not taken. */
		assert_int_equal(frame_feed(&frame, bytes, 4), 0);
		frame_fini(&frame);
	}
}

static void a_head_that_is_no_request_is_refused(void **state)
{
	static const struct {
		const char *title;
		struct control_head head;
		int want;
	} cases[] = {
		{ "an answer", { 5, CONTROL_DATA }, ERR_MALFORMED },
		{ "an unknown kind", { 5, 99 }, ERR_MALFORMED },
		{ "no verb", { 0, CONTROL_REQUEST }, ERR_MALFORMED },
		{ "too long", { LIMIT_CONTROL_FRAME + 1, CONTROL_REQUEST }, ERR_LIMIT },
		{ "longest", { UINT32_MAX, CONTROL_REQUEST }, ERR_LIMIT },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct frame frame = { 0 };
		int r = frame_feed(&frame, (const uint8_t *)&cases[i].head, sizeof(cases[i].head));

		if (r != cases[i].want)
			fail_msg("%s: %d", cases[i].title, r);
		frame_fini(&frame);
	}
}

/* --- server ---------------------------------------------------------------------------------- */

struct fixture {
	uv_loop_t loop;
	uv_timer_t tick;
	struct server *server;
	char dir[64], path[80];
	unsigned int n_requests, n_streams_done, n_gone;
	bool may_change;
	size_t n_fds;
	uint32_t uid;
	struct server_client *late; /* asked "late", is answered by the test */
};

struct long_answer {
	struct fixture *fixture;
	unsigned int left;
};

static int more(struct server_client *client, void *arg)
{
	struct long_answer *answer = arg;

	if (answer->left-- == 0) {
		server_exit(client, 0);
		return 0;
	}
	server_json_give(client,
	                 json_pack("{s:i,s:s}", "left", (int)answer->left, "text",
	                           "a hundred octets or so, a hundred octets or so, a hundred "
	                           "octets or so, a hundred octets or so"));
	return 1;
}

static void done(void *arg)
{
	struct long_answer *answer = arg;

	answer->fixture->n_streams_done++;
	free(answer);
}

static void on_gone(void *arg)
{
	struct fixture *f = arg;

	f->n_gone++;
	f->late = NULL;
}

static void on_request(void *arg, struct server_client *client,
                       const struct server_request *request)
{
	struct fixture *f = arg;

	f->n_requests++;
	f->may_change = request->may_change;
	f->n_fds = request->n_fds;
	f->uid = request->uid;
	if (strcmp(request->words[0], "long") == 0) {
		struct long_answer *answer = calloc(1, sizeof(*answer));

		*answer = (struct long_answer){ f, 50000 };
		server_stream(client, &(struct server_stream){ more, done, answer });
	} else if (strcmp(request->words[0], "late") == 0) {
		f->late = client;
		server_watch(client, on_gone, f);
	} else {
		json_t *words = json_array();

		for (size_t i = 0; i < request->n_words; i++)
			json_array_append_new(words, json_string(request->words[i]));
		server_json_give(client, json_pack("{s:o}", "words", words));
		server_error(client, "a word for %s", "people");
		server_exit(client, 1);
	}
}

static void on_tick(uv_timer_t *timer)
{
	(void)timer;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct server_access access = { UINT32_MAX, UINT32_MAX };
	struct diag diag;

	log_init("test", LOG_FORM_KEYVALUE, LOG_LEVEL_ERROR);
	diag_init(&diag);
	strcpy(f->dir, "/tmp/sallyport-server-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	chmod(f->dir, 0755);
	snprintf(f->path, sizeof(f->path), "%s/control.sock", f->dir);
	assert_int_equal(uv_loop_init(&f->loop), 0);
	uv_timer_init(&f->loop, &f->tick);
	uv_timer_start(&f->tick, on_tick, 2, 2);
	assert_int_equal(
	    server_new(&f->loop, f->path, &access, NULL, on_request, f, &f->server, &diag), 0);
	diag_fini(&diag);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	server_free(f->server);
	uv_close((uv_handle_t *)&f->tick, NULL);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	assert_int_not_equal(access(f->path, F_OK), 0);
	rmdir(f->dir);
	free(f);
	return 0;
}

static int dial(const struct fixture *f)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(sa.sun_path, f->path);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		_exit(90);
	return fd;
}

/* In the child: read to EXIT. Returns its status, and how many frames of data came before. */
static int read_answer(int fd, unsigned int *ret_n_data, unsigned int *ret_n_errors)
{
	static uint8_t buf[LIMIT_CONTROL_FRAME];

	*ret_n_data = *ret_n_errors = 0;
	for (;;) {
		struct control_head head;
		int fds[CONTROL_FDS_MAX];
		size_t n;

		if (control_recv(fd, buf, sizeof(buf), &head, fds, &n) < 0)
			return 91;
		if (head.kind == CONTROL_EXIT)
			return buf[0];
		*(head.kind == CONTROL_DATA ? ret_n_data : ret_n_errors) += 1;
	}
}

typedef int caller_cb(const struct fixture *f);

static int run_caller(struct fixture *f, caller_cb *caller)
{
	uint64_t end = clock_mono_ns() + 20 * NS_PER_S;
	pid_t pid = fork();
	int status = 0;

	if (pid == 0)
		_exit(caller(f));
	while (waitpid(pid, &status, WNOHANG) == 0) {
		assert_true(clock_mono_ns() < end);
		uv_run(&f->loop, UV_RUN_ONCE);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static int call_echo(const struct fixture *f)
{
	unsigned int n_data, n_errors;
	int fd = dial(f), fds[2] = { 0, 1 };

	if (control_send(fd, CONTROL_REQUEST, "echo\0a\0b", 9, fds, 2) < 0)
		return 92;
	if (read_answer(fd, &n_data, &n_errors) != 1)
		return 93;
	return n_data == 1 && n_errors == 1 ? 0 : 94;
}

static void a_request_is_answered_and_its_caller_is_known(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(run_caller(f, call_echo), 0);
	assert_int_equal(f->n_requests, 1);
	assert_int_equal(f->n_fds, 2);
	assert_int_equal(f->uid, getuid());
	assert_true(f->may_change);
}

static int call_in_octets(const struct fixture *f)
{
	struct control_head head = { 5, CONTROL_REQUEST };
	unsigned int n_data, n_errors;
	uint8_t bytes[sizeof(head) + 5];
	int fd = dial(f);

	memcpy(bytes, &head, sizeof(head));
	memcpy(bytes + sizeof(head), "echo", 5);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		if (send(fd, bytes + i, 1, 0) != 1)
			return 92;
	}
	return read_answer(fd, &n_data, &n_errors) == 1 ? 0 : 93;
}

static void a_request_may_come_octet_by_octet(void **state)
{
	assert_int_equal(run_caller(*state, call_in_octets), 0);
}

static int call_long(const struct fixture *f)
{
	unsigned int n_data, n_errors;
	int fd = dial(f);

	if (control_send(fd, CONTROL_REQUEST, "long", 5, NULL, 0) < 0)
		return 92;
	return read_answer(fd, &n_data, &n_errors) == 0 && n_data == 50000 ? 0 : 93;
}

static void a_long_answer_comes_whole(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(run_caller(f, call_long), 0);
	for (int i = 0; i < 100 && f->n_streams_done == 0; i++)
		uv_run(&f->loop, UV_RUN_ONCE);
	assert_int_equal(f->n_streams_done, 1);
}

static int call_and_leave(const struct fixture *f)
{
	int fd = dial(f);

	return control_send(fd, CONTROL_REQUEST, "long", 5, NULL, 0) < 0 ? 92 : 0;
}

static void a_caller_that_leaves_ends_its_stream(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(run_caller(f, call_and_leave), 0);
	for (int i = 0; i < 1000 && f->n_streams_done == 0; i++)
		uv_run(&f->loop, UV_RUN_ONCE);
	assert_int_equal(f->n_streams_done, 1);
}

static int call_late_and_leave(const struct fixture *f)
{
	int fd = dial(f);

	return control_send(fd, CONTROL_REQUEST, "late", 5, NULL, 0) < 0 ? 92 : 0;
}

static void who_waits_for_a_late_answer_is_told_of_the_callers_end(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(run_caller(f, call_late_and_leave), 0);
	for (int i = 0; i < 1000 && f->n_gone == 0; i++)
		uv_run(&f->loop, UV_RUN_ONCE);
	assert_int_equal(f->n_gone, 1);
}

/* A connection with octets that its other end does not read: its last close(2) waits for them. */
struct lingering {
	int ours, listener, other;
};

#define LINGER_S 2

static void lingering_make(struct lingering *l)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct linger linger = { 1, LINGER_S };
	static const char octets[65536];
	socklen_t len = sizeof(sa);
	int small = 2048;

	l->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	l->ours = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(l->listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	assert_int_equal(bind(l->listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(l->listener, 1), 0);
	assert_int_equal(getsockname(l->listener, (struct sockaddr *)&sa, &len), 0);
	assert_int_equal(connect(l->ours, (struct sockaddr *)&sa, sizeof(sa)), 0);
	l->other = accept4(l->listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(l->other >= 0);
	while (send(l->ours, octets, sizeof(octets), MSG_DONTWAIT) > 0)
		;
	assert_int_equal(setsockopt(l->ours, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
}

static void lingering_end(struct lingering *l)
{
	close(l->other);
	close(l->listener);
}

/* A message with @l's last descriptor and @n - 1 others into @fd. */
static void lingering_send(struct lingering *l, int fd, size_t n)
{
	_Alignas(struct cmsghdr) uint8_t ctl[CMSG_SPACE(RIGHTS_MAX * sizeof(int))] = { 0 };
	struct iovec iov = { "x", 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl };
	struct cmsghdr *cmsg;
	int fds[RIGHTS_MAX];

	for (size_t i = 0; i < n; i++)
		fds[i] = i + 1 < n ? STDERR_FILENO : l->ours;
	msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
	cmsg = CMSG_FIRSTHDR(&msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(cmsg), fds, n * sizeof(int));
	assert_int_equal(sendmsg(fd, &msg, MSG_NOSIGNAL), 1);
	close(l->ours);
}

static uint64_t closing_takes_ms(size_t n, void (*how)(int fd))
{
	struct lingering l;
	uint64_t began_ns;
	int pair[2];

	lingering_make(&l);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(send(pair[0], "unread", 6, 0), 6);
	lingering_send(&l, pair[0], n);
	began_ns = clock_mono_ns();
	how(pair[1]);
	began_ns = clock_mono_ns() - began_ns;
	assert_true(send(pair[0], "x", 1, MSG_NOSIGNAL) < 0);
	close(pair[0]);
	lingering_end(&l);
	return began_ns / NS_PER_MS;
}

static void plain_close(int fd)
{
	close(fd);
}

static void closing_waits_for_nothing_that_was_sent_and_not_read(void **state)
{
	(void)state;
	assert_true(closing_takes_ms(1, plain_close) > 900); /* or the rest shows nothing */
	assert_true(closing_takes_ms(1, rights_close_socket) < 900);
	assert_true(closing_takes_ms(RIGHTS_MAX, rights_close_socket) < 900);
}

/* As on kernels that let everybody's descriptors in: who may change things may send some. */
static void what_a_caller_leaves_unread_holds_nobody_up(void **state)
{
	struct fixture *f = *state;
	unsigned int n_data, n_errors;
	struct lingering l;
	uint64_t began_ns;
	int fd = dial(f);

	for (int i = 0; i < 5; i++)
		uv_run(&f->loop, UV_RUN_ONCE); /* let in */
	lingering_make(&l);
	assert_true(control_send(fd, CONTROL_REQUEST, "echo", 5, NULL, 0) >= 0);
	lingering_send(&l, fd, RIGHTS_MAX);
	began_ns = clock_mono_ns();
	for (int i = 0; i < 20; i++)
		uv_run(&f->loop, UV_RUN_ONCE);
	assert_true(clock_mono_ns() - began_ns < 900 * NS_PER_MS);
	assert_int_equal(read_answer(fd, &n_data, &n_errors), 1);
	assert_int_equal(recv(fd, &n_data, 1, 0), 0); /* dropped */
	close(fd);
	lingering_end(&l);
}

static int call_nonsense(const struct fixture *f)
{
	static const char bytes[] = "GET / HTTP/1.1\r\n\r\n";
	char answer;
	int fd = dial(f);

	if (send(fd, bytes, sizeof(bytes), 0) < 0)
		return 92;
	return recv(fd, &answer, 1, 0) <= 0 ? 0 : 93; /* hung up on */
}

static void nonsense_is_hung_up_on(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(run_caller(f, call_nonsense), 0);
	assert_int_equal(f->n_requests, 0);
}

static int call_as_nobody(const struct fixture *f)
{
	unsigned int n_data, n_errors;
	int fd;

	if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
		return 95;
	fd = dial(f);
	/* Turned away before it could ask: sending may fail already. */
	(void)control_send(fd, CONTROL_REQUEST, "echo", 5, NULL, 0);
	return read_answer(fd, &n_data, &n_errors) == 2 && n_data == 0 && n_errors == 1 ? 0 : 93;
}

static int call_as_analyst(const struct fixture *f)
{
	gid_t groups[2] = { 65533, 65500 };
	unsigned int n_data, n_errors;
	int fd;

	if (setgroups(2, groups) < 0 || setresgid(65534, 65534, 65534) < 0 ||
	    setresuid(65534, 65534, 65534) < 0)
		return 95;
	fd = dial(f);
	if (control_send(fd, CONTROL_REQUEST, "echo", 5, NULL, 0) < 0)
		return 92;
	return read_answer(fd, &n_data, &n_errors) == 1 ? 0 : 93;
}

static void groups_decide_who_may_what(void **state)
{
	struct fixture *f = *state;
	struct server_access access = { 65501, 65500 };

	if (getuid() != 0)
		skip();
	assert_int_equal(run_caller(f, call_as_nobody), 0);
	assert_int_equal(f->n_requests, 0);
	server_set_access(f->server, &access);
	assert_int_equal(run_caller(f, call_as_nobody), 0);
	assert_int_equal(f->n_requests, 0);
	assert_int_equal(run_caller(f, call_as_analyst), 0);
	assert_int_equal(f->n_requests, 1);
	assert_false(f->may_change);
	access = (struct server_access){ 65500, 65501 };
	server_set_access(f->server, &access);
	assert_int_equal(run_caller(f, call_as_analyst), 0);
	assert_true(f->may_change);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_is_whole_however_it_is_cut),
		cmocka_unit_test(a_head_that_is_no_request_is_refused),
		cmocka_unit_test_setup_teardown(a_request_is_answered_and_its_caller_is_known,
		                                setup, teardown),
		cmocka_unit_test_setup_teardown(a_request_may_come_octet_by_octet, setup, teardown),
		cmocka_unit_test_setup_teardown(a_long_answer_comes_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(a_caller_that_leaves_ends_its_stream, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(
		    who_waits_for_a_late_answer_is_told_of_the_callers_end, setup, teardown),
		cmocka_unit_test(closing_waits_for_nothing_that_was_sent_and_not_read),
		cmocka_unit_test_setup_teardown(what_a_caller_leaves_unread_holds_nobody_up, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(nonsense_is_hung_up_on, setup, teardown),
		cmocka_unit_test_setup_teardown(groups_decide_who_may_what, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
