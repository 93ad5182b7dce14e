/* tests/e2e/tools/probe_beyond.c - acts beyond what a role holds: other processes, the network, and
 * what only the firewall's own capability could do. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"
#include "sallyport/cleanup.h"
#include "sallyport/role.h"

/* --- other processes ------------------------------------------------------------------------- */

static int act_tgkill_sibling(const struct world *w)
{
	return of(syscall(SYS_tgkill, w->sibling, w->sibling, SIGKILL));
}

/* A descriptor's owner gets a signal of choice when something arrives. */
static int act_signal_by_descriptor(const struct world *w)
{
	for (size_t i = 0; i < w->n_fds; i++) {
		if (fcntl(w->fds[i], F_SETOWN, w->sibling) < 0 ||
		    fcntl(w->fds[i], F_SETSIG, SIGKILL) < 0)
			return errno;
		if (fcntl(w->fds[i], F_SETFL, O_ASYNC | O_NONBLOCK) < 0)
			return errno;
	}
	/* Anything that now happens on one of them does it: its own thread makes room by reading.
	 */
	return 0;
}

static int act_async_descriptor(const struct world *w)
{
	return of(fcntl(w->fds[0], F_SETFL, O_ASYNC));
}

static int act_async_by_ioctl(const struct world *w)
{
	int on = 1;

	return of(ioctl(w->fds[0], FIOASYNC, &on));
}

static int act_owner_by_ioctl(const struct world *w)
{
	int pid = w->sibling;

	return of(ioctl(w->fds[0], FIOSETOWN, &pid));
}

static int act_terminal_input(const struct world *w)
{
	char c = 'x';

	(void)w;
	return of(ioctl(0, TIOCSTI, &c));
}

static int act_read_sibling(const struct world *w)
{
	char buf[16];
	struct iovec here = { buf, sizeof(buf) }, there = { w->secret, sizeof(buf) };

	return of(process_vm_readv(w->sibling, &here, 1, &there, 1, 0));
}

static int act_write_sibling(const struct world *w)
{
	char buf[16] = "x";
	struct iovec here = { buf, sizeof(buf) }, there = { w->secret, sizeof(buf) };

	return of(process_vm_writev(w->sibling, &here, 1, &there, 1, 0));
}

static int act_fork(const struct world *w)
{
	long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	(void)w;
	if (pid == 0)
		_exit(0);
	return of(pid);
}

static int act_clone3(const struct world *w)
{
	uint64_t args[8] = { 0 };
	long pid;

	(void)w;
	args[4] = SIGCHLD;
	pid = syscall(SYS_clone3, args, sizeof(args));
	if (pid == 0)
		_exit(0);
	return of(pid);
}

/* A thread in a namespace of its own. */
static int act_thread_in_namespace(const struct world *w)
{
	(void)w;
	return of(
	    syscall(SYS_clone, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_NEWNET, 0, 0, 0, 0));
}

/* --- the network ----------------------------------------------------------------------------- */

static int act_connect_tcp(const struct world *w)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	(void)w;
	if (fd < 0)
		return errno;
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 || errno == EINPROGRESS ||
	               errno == ECONNREFUSED || errno == ENETUNREACH
	           ? 0
	           : errno;
}

static int act_connect_unix(const struct world *w)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = "\0/probe" };
	int why = ENOTSOCK;

	for (size_t i = 0; i < w->n_fds; i++) {
		if (connect(w->fds[i], (struct sockaddr *)&to,
		            offsetof(struct sockaddr_un, sun_path) + sizeof("\0/probe") - 1) == 0)
			return 0;
		if (errno != ENOTSOCK && errno != EAFNOSUPPORT)
			why = errno;
	}
	return why;
}

static int act_bind(const struct world *w)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	return of(bind(fd >= 0 ? fd : w->fds[0], (struct sockaddr *)&at, sizeof(at)));
}

static int act_listen_anew(const struct world *w)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)w;
	if (fd < 0)
		return errno;
	return of(listen(fd, 5));
}

static int set_option(int family, int type, int level, int name, const void *value, socklen_t len)
{
	int fd = socket(family, type, 0);

	if (fd < 0)
		return errno;
	return of(setsockopt(fd, level, name, value, len));
}

/* The end of such a socket, sent to the keeper and let go here, makes the keeper wait. */
static int act_lingering_socket(const struct world *w)
{
	struct linger linger = { 1, 3600 };

	(void)w;
	return set_option(AF_INET, SOCK_STREAM, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

static int act_socket_filter(const struct world *w)
{
	int fd = 0;

	(void)w;
	return set_option(AF_INET, SOCK_DGRAM, SOL_SOCKET, SO_ATTACH_BPF, &fd, sizeof(fd));
}

static int act_tcp_module(const struct world *w)
{
	(void)w;
	return set_option(AF_INET, SOCK_STREAM, IPPROTO_TCP, TCP_ULP, "tls", 4);
}

static int act_reuse_port(const struct world *w)
{
	int on = 1;

	(void)w;
	return set_option(AF_INET, SOCK_DGRAM, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
}

static int act_packet_mark(const struct world *w)
{
	int mark = 0x10000000;

	(void)w;
	return set_option(AF_INET, SOCK_DGRAM, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
}

static int act_send_descriptor(const struct world *w)
{
	const int fds[1] = { w->fds[0] };

	return -role_send(ROLE_FD, ROLE_MSG_READY, 0, 0, NULL, 0, fds, 1);
}

/* The pair to the other role: every unix socket but the channel. */
static int act_send_descriptor_to_role(const struct world *w)
{
	int why = ENOTSOCK;

	for (size_t i = 0; i < w->n_fds; i++) {
		int domain = 0, fds[1] = { ROLE_FD };
		socklen_t len = sizeof(domain);

		if (w->fds[i] == ROLE_FD ||
		    getsockopt(w->fds[i], SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ||
		    domain != AF_UNIX)
			continue;
		why = -role_send(w->fds[i], ROLE_MSG_READY, 0, 0, NULL, 0, fds, 1);
		if (why <= 0)
			return 0;
	}
	return why;
}

/* --- what only the firewall's own capability could do ---------------------------------------- */

static int act_raise_capability(const struct world *w)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct all[2] = { { ~0U, ~0U, ~0U }, { ~0U, ~0U, ~0U } };

	(void)w;
	return of(syscall(SYS_capset, &head, all));
}

#ifdef __x86_64__
/* The other two tables of system calls that this machine has. */
static int act_32_bit_call(const struct world *w)
{
	long result;

	(void)w;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory"); /* getpid */
	return result >= 0 ? 0 : (int)-result;
}

static int act_x32_call(const struct world *w)
{
	(void)w;
	return of(syscall(0x40000000L | SYS_getpid));
}
#endif

#define ACT(name)                                                                                  \
	{                                                                                          \
#name, act_##name                                                                  \
	}
static const struct probe_act acts[] = {
	ACT(tgkill_sibling),
	ACT(signal_by_descriptor),
	ACT(async_descriptor),
	ACT(async_by_ioctl),
	ACT(owner_by_ioctl),
	ACT(terminal_input),
	ACT(read_sibling),
	ACT(write_sibling),
	ACT(fork),
	ACT(clone3),
	ACT(thread_in_namespace),
	ACT(connect_tcp),
	ACT(connect_unix),
	ACT(bind),
	ACT(listen_anew),
	ACT(lingering_socket),
	ACT(socket_filter),
	ACT(tcp_module),
	ACT(reuse_port),
	ACT(packet_mark),
	ACT(send_descriptor),
	ACT(send_descriptor_to_role),
	ACT(raise_capability),
#ifdef __x86_64__
	ACT(32_bit_call),
	ACT(x32_call),
#endif
};
const struct probe_acts probe_beyond = { acts, ARRAY_LEN(acts) };
