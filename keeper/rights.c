/* keeper/rights.c - SO_PASSRIGHTS, and what to do without it. */
#include "rights.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* asm-generic/socket.h; newer than the headers that we build with */
#endif

#define MESSAGES_MAX 65536 /* that one socket can hold; its buffer is the tighter bound */

int rights_set(int fd, enum rights rights)
{
	int on = rights == RIGHTS_TAKEN;

	return setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &on, sizeof(on)) < 0 ? -errno : 0;
}

void rights_close(int fd)
{
	struct linger none = { 0, 0 };

	/* Fails for whatever is no socket, and that does not linger. */
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	close(fd);
}

static void close_all(struct msghdr *msg)
{
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(fd));
			rights_close(fd);
		}
	}
}

void rights_close_socket(int fd)
{
	uint8_t buf[4096];

	/* Nothing is added from here on; fails when the peer has gone, and then it is so. */
	(void)shutdown(fd, SHUT_RD);
	for (int i = 0; i < MESSAGES_MAX; i++) {
		_Alignas(struct cmsghdr) uint8_t ctl[CMSG_SPACE(RIGHTS_MAX * sizeof(int))];
		struct iovec iov = { buf, sizeof(buf) };
		struct msghdr msg = { .msg_iov = &iov,
			              .msg_iovlen = 1,
			              .msg_control = ctl,
			              .msg_controllen = sizeof(ctl) };
		ssize_t n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break; /* nothing is left */
		close_all(&msg);
	}
	close(fd);
}
