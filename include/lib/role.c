/* include/lib/role.c - typed messages between the keeper and a role. */
#include "sallyport/role.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "sallyport/err.h"
#include "sallyport/shm.h"

struct role_wire {
	uint32_t magic;
	uint16_t type, n_fds;
	uint64_t a, b;
	uint64_t len; /* of the payload that follows */
};

const char *role_str(enum role role)
{
	static const char *const texts[ROLE_N] = {
		[ROLE_RESOLVER] = "resolver",
		[ROLE_HISTORIAN] = "historian",
		[ROLE_FWSYNC] = "fwsync",
	};

	return role < ROLE_N ? texts[role] : "?";
}

int role_send(int channel, enum role_msg_type type, uint64_t a, uint64_t b, const void *payload,
              size_t len, const int *fds, size_t n_fds)
{
	struct role_wire wire = { ROLE_MAGIC, (uint16_t)type, (uint16_t)n_fds, a, b, len };
	struct iovec iov[2] = { { &wire, sizeof(wire) }, { (void *)(uintptr_t)payload, len } };
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(ROLE_FDS_MAX * sizeof(int))] = { 0 };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = len ? 2 : 1 };

	if (n_fds > ROLE_FDS_MAX || sizeof(wire) + len > LIMIT_ROLE_MESSAGE)
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
	for (;;) {
		if (sendmsg(channel, &msg, MSG_NOSIGNAL) >= 0)
			return ERR_OK;
		if (errno != EINTR)
			break;
	}
	if (errno == EPIPE || errno == ECONNRESET)
		return ERR_CLOSED;
	return -errno;
}

/* Take the descriptors out of the control data; those beyond the array are closed. */
static void take_fds(struct msghdr *msg, struct role_msg *ret_msg)
{
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		size_t n;

		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(fd));
			if (ret_msg->n_fds < ROLE_FDS_MAX)
				ret_msg->fds[ret_msg->n_fds++] = fd;
			else
				close(fd);
		}
	}
}

int role_recv(int channel, uint8_t *buf, size_t cap, struct role_msg *ret_msg)
{
	struct role_wire wire;
	struct iovec iov[2] = { { &wire, sizeof(wire) }, { buf, cap } };
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(ROLE_FDS_MAX * sizeof(int))];
	struct msghdr msg = { .msg_iov = iov,
		              .msg_iovlen = 2,
		              .msg_control = control,
		              .msg_controllen = sizeof(control) };
	ssize_t n;

	*ret_msg = (struct role_msg){ .fds = { -1, -1, -1, -1 } };
	do {
		n = recvmsg(channel, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? ERR_CLOSED : -errno;
	take_fds(&msg, ret_msg);
	if (n == 0) { /* the end, or an empty message, with which descriptors may come */
		role_msg_close(ret_msg);
		return ERR_CLOSED;
	}
	if ((size_t)n < sizeof(wire) || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
	    wire.magic != ROLE_MAGIC || wire.len != (size_t)n - sizeof(wire) ||
	    wire.n_fds != ret_msg->n_fds) {
		role_msg_close(ret_msg);
		return ERR_MALFORMED;
	}
	ret_msg->type = wire.type;
	ret_msg->a = wire.a;
	ret_msg->b = wire.b;
	ret_msg->payload = buf;
	ret_msg->len = wire.len;
	return ERR_OK;
}

void role_msg_close(struct role_msg *msg)
{
	for (size_t i = 0; i < ROLE_FDS_MAX; i++) {
		if (msg->fds[i] >= 0)
			close(msg->fds[i]);
		msg->fds[i] = -1;
	}
	msg->n_fds = 0;
}

int role_conf_read(int fd, uint32_t magic, void *ret_conf, size_t size)
{
	uint32_t head[2]; /* magic and size begin every conf */
	void *data;
	size_t len;
	int r = shm_map(fd, SHM_READ, sizeof(head), &data, &len);

	if (r < 0)
		return ERR_DAMAGED;
	memcpy(head, data, sizeof(head));
	if (head[0] != magic || head[1] != size || len != size) {
		munmap(data, len);
		return ERR_VERSION;
	}
	memcpy(ret_conf, data, size);
	munmap(data, len);
	return ERR_OK;
}
