/* tests/unit/base/base_messages.c - messages between processes carry what they say, or nothing. */
#include "check.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sallyport/control.h"
#include "sallyport/role.h"
#include "sallyport/shm.h"

static void role_messages_carry_payload_and_descriptors(void **state)
{
	static uint8_t buf[LIMIT_ROLE_MESSAGE];
	struct role_msg msg;
	int pair[2];

	(void)state; /* cmocka's signature */
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(role_send(pair[0], ROLE_MSG_IMAGE, 7, 9, "text", 4, pair, 2), 0);
	assert_int_equal(role_recv(pair[1], buf, sizeof(buf), &msg), 0);
	assert_int_equal(msg.type, ROLE_MSG_IMAGE);
	assert_int_equal(msg.a, 7);
	assert_int_equal(msg.b, 9);
	assert_int_equal(msg.n_fds, 2);
	assert_memory_equal(msg.payload, "text", 4);
	role_msg_close(&msg);
	close(pair[0]);
	assert_int_equal(role_recv(pair[1], buf, sizeof(buf), &msg), ERR_CLOSED);
	close(pair[1]);
}

static void a_broken_role_message_is_refused_and_its_descriptors_closed(void **state)
{
	static uint8_t buf[LIMIT_ROLE_MESSAGE];
	uint8_t junk[64] = { 0 };
	struct role_msg msg;
	int pair[2];

	(void)state; /* cmocka's signature */
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	for (size_t n = 1; n <= sizeof(junk); n++) {
		assert_int_equal(send(pair[0], junk, n, 0), n);
		assert_int_equal(role_recv(pair[1], buf, sizeof(buf), &msg), ERR_MALFORMED);
		assert_int_equal(msg.n_fds, 0);
	}
	close(pair[0]);
	close(pair[1]);
}

/* It counts as the end; what came with it would stay open in whoever goes on after that. */
static void an_empty_role_message_leaves_no_descriptor_open(void **state)
{
	static uint8_t buf[LIMIT_ROLE_MESSAGE];
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct msghdr empty = { .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&empty);
	struct role_msg msg;
	int pair[2], ends[2];

	(void)state; /* cmocka's signature */
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &ends[1], sizeof(int));
	assert_int_equal(sendmsg(pair[0], &empty, 0), 0);
	close(ends[1]);
	assert_int_equal(role_recv(pair[1], buf, sizeof(buf), &msg), ERR_CLOSED);
	assert_int_equal(msg.n_fds, 0);
	assert_int_equal(read(ends[0], buf, 1), 0); /* nobody can write any more */
	close(ends[0]);
	close(pair[0]);
	close(pair[1]);
}

static void control_frames_split_into_words(void **state)
{
	static const uint8_t request[] = "explain\0app01\0db.corp.test";
	const char *words[4];
	uint8_t buf[64];
	struct control_head head;
	int pair[2], fds[CONTROL_FDS_MAX];
	size_t n_fds;

	(void)state; /* cmocka's signature */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(control_send(pair[0], CONTROL_REQUEST, request, sizeof(request), pair, 1),
	                 0);
	assert_int_equal(control_recv(pair[1], buf, sizeof(buf), &head, fds, &n_fds), 0);
	assert_int_equal(n_fds, 1);
	close(fds[0]);
	assert_int_equal(control_words(buf, head.len, words, 4), 3);
	assert_string_equal(words[2], "db.corp.test");
	assert_int_equal(control_words(buf, head.len, words, 2), ERR_MALFORMED);
	assert_int_equal(control_words(buf, head.len - 1, words, 4), ERR_MALFORMED);
	head = (struct control_head){ LIMIT_CONTROL_FRAME + 1, CONTROL_DATA };
	assert_int_equal(send(pair[0], &head, sizeof(head), 0), sizeof(head));
	assert_int_equal(control_recv(pair[1], buf, sizeof(buf), &head, fds, &n_fds), ERR_LIMIT);
	close(pair[0]);
	close(pair[1]);
}

static void sealed_memory_cannot_shrink_or_change(void **state)
{
	CLEANUP(fd_close) int rw = shm_create("t", 4096);
	CLEANUP(fd_close) int ro = shm_reopen_readonly(rw);
	CLEANUP(fd_close) int sealed = shm_create_sealed("t", "abc", 3);
	CLEANUP(fd_close) int plain = memfd_create("t", MFD_CLOEXEC);
	void *data;
	size_t len;

	(void)state; /* cmocka's signature */
	assert_true(rw >= 0 && ro >= 0 && sealed >= 0 && plain >= 0);
	assert_int_equal(ftruncate(rw, 0), -1);
	assert_int_equal(ftruncate(rw, 8192), -1);
	assert_int_equal(shm_map(ro, SHM_WRITE, 1, &data, &len), -EACCES);
	assert_int_equal(shm_map(ro, SHM_READ, 1, &data, &len), 0);
	munmap(data, len);
	assert_int_equal(pwrite(sealed, "x", 1, 0), -1);
	assert_int_equal(shm_map(sealed, SHM_READ, 4, &data, &len), ERR_DAMAGED);
	assert_int_equal(shm_map(plain, SHM_READ, 0, &data, &len), ERR_DAMAGED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(role_messages_carry_payload_and_descriptors),
		cmocka_unit_test(a_broken_role_message_is_refused_and_its_descriptors_closed),
		cmocka_unit_test(an_empty_role_message_leaves_no_descriptor_open),
		cmocka_unit_test(control_frames_split_into_words),
		cmocka_unit_test(sealed_memory_cannot_shrink_or_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
