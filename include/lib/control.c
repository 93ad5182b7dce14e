/* include/lib/control.c - frames of the control socket. */
#include "sallyport/control.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "sallyport/err.h"

#define RIGHTS_TRIES 2500 /* two milliseconds apart */

static int send_all(int fd, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len > 0) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EPIPE || errno == ECONNRESET ? ERR_CLOSED : -errno;
		p += n;
		len -= (size_t)n;
	}
	return ERR_OK;
}

int control_send(int fd, enum control_kind kind, const void *payload, size_t len, const int *fds,
                 size_t n_fds)
{
	struct control_head head = { (uint32_t)len, kind };
	struct iovec iov = { &head, sizeof(head) };
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(CONTROL_FDS_MAX * sizeof(int))] = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	const struct timespec rights_step = { .tv_nsec = 2000000 };
	ssize_t n;
	int r;

	if (len > LIMIT_CONTROL_FRAME || n_fds > CONTROL_FDS_MAX)
		return ERR_LIMIT;
	if (n_fds) {
		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));

		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, n_fds * sizeof(int));
	}
	/* Descriptors are let in once the other side has seen who calls. */
	for (int tries = 0;; tries++) {
		n = sendmsg(fd, &msg, MSG_NOSIGNAL);
		if (n < 0 && errno == EPERM && n_fds && tries < RIGHTS_TRIES)
			nanosleep(&rights_step, NULL);
		else if (n >= 0 || errno != EINTR)
			break;
	}
	if (n < 0)
		return errno == EPIPE || errno == ECONNRESET ? ERR_CLOSED : -errno;
	r = send_all(fd, (uint8_t *)&head + n, sizeof(head) - (size_t)n);
	return r < 0 ? r : send_all(fd, payload, len);
}

static void close_all(int *fds, size_t *n_fds)
{
	for (size_t i = 0; i < *n_fds; i++)
		close(fds[i]);
	*n_fds = 0;
}

/* Read up to @len octets and the descriptors that come with them. Returns their number, 0 at the
 * end, or an error. */
static ssize_t recv_some(int fd, void *data, size_t len, int *fds, size_t *n_fds)
{
	struct iovec iov = { data, len };
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(CONTROL_FDS_MAX * sizeof(int))];
	struct msghdr msg = { .msg_iov = &iov,
		              .msg_iovlen = 1,
		              .msg_control = control,
		              .msg_controllen = sizeof(control) };
	ssize_t n;

	do {
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? ERR_CLOSED : -errno;
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg); cmsg; cmsg = CMSG_NXTHDR(&msg, cmsg)) {
		size_t count;

		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int got;

			memcpy(&got, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(got));
			if (*n_fds < CONTROL_FDS_MAX)
				fds[(*n_fds)++] = got;
			else
				close(got);
		}
	}
	return msg.msg_flags & MSG_CTRUNC ? ERR_LIMIT : n;
}

static int recv_all(int fd, void *data, size_t len, int *fds, size_t *n_fds)
{
	uint8_t *p = data;

	while (len > 0) {
		ssize_t n = recv_some(fd, p, len, fds, n_fds);

		if (n <= 0)
			return n == 0 ? ERR_CLOSED : (int)n;
		p += n;
		len -= (size_t)n;
	}
	return ERR_OK;
}

int control_recv(int fd, uint8_t *buf, size_t cap, struct control_head *ret_head, int *ret_fds,
                 size_t *ret_n_fds)
{
	int r;

	*ret_n_fds = 0;
	r = recv_all(fd, ret_head, sizeof(*ret_head), ret_fds, ret_n_fds);
	if (r == 0 && (ret_head->len > LIMIT_CONTROL_FRAME || ret_head->len > cap))
		r = ERR_LIMIT;
	if (r == 0 && (ret_head->kind < CONTROL_REQUEST || ret_head->kind > CONTROL_EXIT))
		r = ERR_MALFORMED;
	if (r == 0)
		r = recv_all(fd, buf, ret_head->len, ret_fds, ret_n_fds);
	if (r < 0)
		close_all(ret_fds, ret_n_fds);
	return r;
}

int control_words(const uint8_t *payload, size_t len, const char **ret_words, size_t max)
{
	size_t n = 0;

	if (len == 0 || payload[len - 1] != '\0')
		return ERR_MALFORMED;
	for (const char *p = (const char *)payload, *end = p + len; p < end; p += strlen(p) + 1) {
		if (n == max)
			return ERR_MALFORMED;
		ret_words[n++] = p;
	}
	return (int)n;
}
