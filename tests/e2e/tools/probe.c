/* tests/e2e/tools/probe.c - what a role could do if it were taken over.
 *
 * Linked into the probed variant of each role, whose confine_self() it stands in for (the linker's
 * --wrap). For every act a child is forked that holds all that the role holds at this moment: it
 * confines itself as the role does, tries the act, and ends. One line an act goes to stderr:
 *
 *   probe role=resolver act=ptrace outcome=killed|done|E...
 *
 * "done" is an act that had its effect; "killed" one that the filter answered. The role itself then
 * goes on, confined, as if nothing had been. A sibling of the role's own user, alive and traceable,
 * is there to be attacked; an act after which it is dead is done, whatever the call returned.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sallyport/cleanup.h"
#include "sallyport/confine.h"
#include "sallyport/role.h"

int __real_confine_self(const struct confine *c);
int __wrap_confine_self(const struct confine *c);

#define FD_MAX 512
#define MAPS_MAX 256

/* What the role holds; found before it is confined, for afterwards nothing could be asked. */
struct world {
	pid_t sibling, parent;
	int fds[FD_MAX]; /* all but the standard ones */
	size_t n_fds;
	struct {
		void *start;
		size_t len;
	} readonly[MAPS_MAX]; /* shared mappings without the right to write */
	size_t n_readonly;
	unsigned char *secret; /* a page that no act may make executable */
};

/* An act returns 0 when it had its effect, and otherwise why not. */
typedef int act_cb(const struct world *w);

static int of(long result)
{
	return result >= 0 ? 0 : errno ? errno : EIO;
}

/* --- files ----------------------------------------------------------------------------------- */

static int act_open_passwd(const struct world *w)
{
	(void)w;
	return of(open("/etc/passwd", O_RDONLY));
}

static int act_open_parent(const struct world *w)
{
	int fd = open("../../../../../../etc/passwd", O_RDONLY);

	(void)w;
	return of(fd);
}

static int act_open_own_root(const struct world *w)
{
	(void)w;
	return of(open("/", O_RDONLY | O_DIRECTORY));
}

static int act_create_in_root(const struct world *w)
{
	(void)w;
	return of(open("/probe", O_RDWR | O_CREAT, 0600));
}

static int act_open_proc(const struct world *w)
{
	(void)w;
	return of(open("/proc/self/mem", O_RDWR));
}

static int act_open_device(const struct world *w)
{
	(void)w;
	return of(open("/dev/tty", O_RDWR));
}

static int act_reopen_for_writing(const struct world *w)
{
	char path[40];
	int why = ENOENT;

	for (size_t i = 0; i < w->n_fds; i++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", w->fds[i]);
		if (open(path, O_RDWR) >= 0)
			return 0;
		why = errno;
	}
	return why;
}

/* A directory descriptor that lies outside the root is a way out of it. */
static int act_leave_by_descriptor(const struct world *w)
{
	int why = ENOTDIR;

	for (size_t i = 0; i < w->n_fds; i++) {
		int fd = openat(w->fds[i], "../../../../../etc/passwd", O_RDONLY);

		if (fd >= 0)
			return 0;
		if (errno != ENOTDIR)
			why = errno;
	}
	return why;
}

static int act_stat_passwd(const struct world *w)
{
	struct stat st;

	(void)w;
	return of(fstatat(AT_FDCWD, "/etc/passwd", &st, 0));
}

static int act_link_out(const struct world *w)
{
	(void)w;
	return of(syscall(SYS_symlinkat, "/etc/passwd", AT_FDCWD, "probe.link"));
}

static int act_device_node(const struct world *w)
{
	(void)w;
	return of(syscall(SYS_mknodat, AT_FDCWD, "probe.dev", S_IFCHR | 0600, 0x101));
}

/* --- what was handed over -------------------------------------------------------------------- */

static bool is_memory(int fd)
{
	return fcntl(fd, F_GET_SEALS) >= 0;
}

static int act_shrink_handed(const struct world *w)
{
	int why = EBADF;

	for (size_t i = 0; i < w->n_fds; i++) {
		if (!is_memory(w->fds[i]))
			continue;
		if (ftruncate(w->fds[i], 0) == 0)
			return 0;
		why = errno;
	}
	return why;
}

static int act_grow_handed(const struct world *w)
{
	int why = EBADF;

	for (size_t i = 0; i < w->n_fds; i++) {
		if (!is_memory(w->fds[i]))
			continue;
		if (ftruncate(w->fds[i], (off_t)1 << 40) == 0)
			return 0;
		why = errno;
	}
	return why;
}

static bool writable_memory(int fd)
{
	return is_memory(fd) && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR &&
	       !(fcntl(fd, F_GET_SEALS) & F_SEAL_WRITE);
}

static int act_write_readonly_memory(const struct world *w)
{
	int why = EBADF;

	for (size_t i = 0; i < w->n_fds; i++) {
		if (!is_memory(w->fds[i]) || writable_memory(w->fds[i]))
			continue;
		if (write(w->fds[i], "x", 1) > 0)
			return 0;
		why = errno;
	}
	return why;
}

static int act_map_readonly_writable(const struct world *w)
{
	int why = EBADF;

	for (size_t i = 0; i < w->n_fds; i++) {
		if (!is_memory(w->fds[i]) || writable_memory(w->fds[i]))
			continue;
		if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, w->fds[i], 0) !=
		    MAP_FAILED)
			return 0;
		why = errno;
	}
	return why;
}

static int act_protect_readonly_writable(const struct world *w)
{
	int why = ENOENT;

	for (size_t i = 0; i < w->n_readonly; i++) {
		if (mprotect(w->readonly[i].start, w->readonly[i].len, PROT_READ | PROT_WRITE) == 0)
			return 0;
		why = errno;
	}
	return why;
}

static int act_seal_handed(const struct world *w)
{
	int why = EBADF;

	for (size_t i = 0; i < w->n_fds; i++) {
		if (!is_memory(w->fds[i]))
			continue;
		if (fcntl(w->fds[i], F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_FUTURE_WRITE) == 0)
			return 0;
		why = errno;
	}
	return why;
}

/* --- memory that is executed ----------------------------------------------------------------- */

static int act_exec_anonymous(const struct world *w)
{
	(void)w;
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
	               MAP_FAILED
	           ? errno
	           : 0;
}

static int act_exec_protect(const struct world *w)
{
	return of(mprotect(w->secret, 4096, PROT_READ | PROT_EXEC));
}

static int act_exec_pkey(const struct world *w)
{
	return of(syscall(SYS_pkey_mprotect, w->secret, 4096, PROT_READ | PROT_EXEC, -1));
}

static int act_exec_handed(const struct world *w)
{
	int why = EBADF;

	for (size_t i = 0; i < w->n_fds; i++) {
		if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, w->fds[i], 0) !=
		    MAP_FAILED)
			return 0;
		why = errno;
	}
	return why;
}

static int act_memfd(const struct world *w)
{
	(void)w;
	return of(memfd_create("probe", MFD_CLOEXEC));
}

static int act_exec_memfd(const struct world *w)
{
	int fd = memfd_create("probe", 0);
	char *const none[] = { NULL };

	(void)w;
	if (fd < 0)
		return errno;
	if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0) != MAP_FAILED)
		return 0;
	return of(syscall(SYS_execveat, fd, "", none, none, AT_EMPTY_PATH));
}

static int act_execve(const struct world *w)
{
	char *const argv[] = { (char[]){ "/bin/true" }, NULL };

	(void)w;
	execve("/bin/true", argv, argv + 1);
	return errno;
}

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
static const struct {
	const char *name;
	act_cb *try;
} acts[] = {
	ACT(open_passwd),
	ACT(open_parent),
	ACT(open_own_root),
	ACT(create_in_root),
	ACT(open_proc),
	ACT(open_device),
	ACT(reopen_for_writing),
	ACT(leave_by_descriptor),
	ACT(stat_passwd),
	ACT(link_out),
	ACT(device_node),
	ACT(shrink_handed),
	ACT(grow_handed),
	ACT(write_readonly_memory),
	ACT(map_readonly_writable),
	ACT(protect_readonly_writable),
	ACT(seal_handed),
	ACT(exec_anonymous),
	ACT(exec_protect),
	ACT(exec_pkey),
	ACT(exec_handed),
	ACT(memfd),
	ACT(exec_memfd),
	ACT(execve),
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

/* Calls that need no more than their number and a few arguments. */
#define SIBLING (-70000L)
#define PARENT (-70001L)
static const struct {
	const char *name;
	long number, args[5];
} calls[] = {
	{ "socket_inet_dgram", SYS_socket, { AF_INET, SOCK_DGRAM, 0 } },
	{ "socket_inet_stream", SYS_socket, { AF_INET, SOCK_STREAM, 0 } },
	{ "socket_inet6_dgram", SYS_socket, { AF_INET6, SOCK_DGRAM, IPPROTO_UDP } },
	{ "socket_inet6_stream", SYS_socket, { AF_INET6, SOCK_STREAM, IPPROTO_TCP } },
	{ "socket_ping", SYS_socket, { AF_INET, SOCK_DGRAM, IPPROTO_ICMP } },
	{ "socket_raw", SYS_socket, { AF_INET, SOCK_RAW, IPPROTO_RAW } },
	{ "socket_sctp", SYS_socket, { AF_INET, SOCK_STREAM, IPPROTO_SCTP } },
	{ "socket_mptcp", SYS_socket, { AF_INET, SOCK_STREAM, 262 } },
	{ "socket_dccp", SYS_socket, { AF_INET, 6, 33 } },
	{ "socket_udplite", SYS_socket, { AF_INET, SOCK_DGRAM, 136 } },
	{ "socket_unix", SYS_socket, { AF_UNIX, SOCK_STREAM, 0 } },
	{ "socket_netlink", SYS_socket, { AF_NETLINK, SOCK_RAW, 12 } },
	{ "socket_route", SYS_socket, { AF_NETLINK, SOCK_RAW, 0 } },
	{ "socket_packet", SYS_socket, { AF_PACKET, SOCK_RAW, 0 } },
	{ "socket_vsock", SYS_socket, { 40, SOCK_STREAM, 0 } },
	{ "socket_alg", SYS_socket, { 38, SOCK_SEQPACKET, 0 } },
	{ "socket_xdp", SYS_socket, { 44, SOCK_RAW, 0 } },
	{ "socket_key", SYS_socket, { 15, SOCK_RAW, 2 } },
	{ "socket_tipc", SYS_socket, { 30, SOCK_SEQPACKET, 0 } },
	{ "socketpair", SYS_socketpair, { AF_UNIX, SOCK_STREAM, 0, 0 } },
	{ "openat2", SYS_openat2, { AT_FDCWD, 0, 0, 24 } },
	{ "open_by_handle_at", SYS_open_by_handle_at, { 3, 0, 0 } },
	{ "chroot", SYS_chroot, { 0 } },
	{ "fchdir", SYS_fchdir, { 3 } },
	{ "chmod", SYS_chmod, { 0, 04777 } },
	{ "link", SYS_linkat, { AT_FDCWD, 0, AT_FDCWD, 0, 0 } },
	{ "setxattr", SYS_fsetxattr, { 3, 0, 0, 0, 0 } },
	{ "kill_sibling", SYS_kill, { SIBLING, SIGKILL } },
	{ "kill_keeper", SYS_kill, { PARENT, 0 } },
	{ "kill_everybody", SYS_kill, { -1, 0 } },
	{ "tgkill_keeper", SYS_tgkill, { PARENT, PARENT, 0 } },
	{ "tkill_sibling", SYS_tkill, { SIBLING, SIGKILL } },
	{ "sigqueue_sibling", SYS_rt_sigqueueinfo, { SIBLING, SIGKILL, 0 } },
	{ "tgsigqueue_sibling", SYS_rt_tgsigqueueinfo, { SIBLING, SIBLING, SIGKILL, 0 } },
	{ "pidfd_open", SYS_pidfd_open, { SIBLING, 0 } },
	{ "pidfd_send_signal", SYS_pidfd_send_signal, { 3, SIGKILL, 0, 0 } },
	{ "pidfd_getfd", SYS_pidfd_getfd, { 3, 0, 0 } },
	{ "ptrace_attach", SYS_ptrace, { 16, SIBLING, 0, 0 } },
	{ "ptrace_seize", SYS_ptrace, { 0x4206, SIBLING, 0, 0 } },
	{ "kcmp", SYS_kcmp, { SIBLING, SIBLING, 0, 0, 0 } },
	{ "prlimit_sibling", SYS_prlimit64, { SIBLING, 7, 0, 0 } },
	{ "priority_of_sibling", SYS_setpriority, { 0, SIBLING, 19 } },
	{ "affinity_of_sibling", SYS_sched_setaffinity, { SIBLING, 8, 0 } },
	{ "vfork", SYS_vfork, { 0 } },
	{ "setsid", SYS_setsid, { 0 } },
	{ "setpgid", SYS_setpgid, { 0, SIBLING } },
	{ "prctl_dumpable", SYS_prctl, { PR_SET_DUMPABLE, 1, 0, 0, 0 } },
	{ "prctl_tracer", SYS_prctl, { 0x59616d61, -1, 0, 0, 0 } },
	{ "prctl_keepcaps", SYS_prctl, { PR_SET_KEEPCAPS, 1, 0, 0, 0 } },
	{ "prctl_pdeathsig", SYS_prctl, { PR_SET_PDEATHSIG, 0, 0, 0, 0 } },
	{ "arch_prctl", SYS_arch_prctl, { 0x1002, 0 } },
	{ "setuid", SYS_setuid, { 0 } },
	{ "setresuid", SYS_setresuid, { 0, 0, 0 } },
	{ "setgid", SYS_setgid, { 0 } },
	{ "setgroups", SYS_setgroups, { 0, 0 } },
	{ "mount", SYS_mount, { 0, 0, 0, 0, 0 } },
	{ "umount", SYS_umount2, { 0, 0 } },
	{ "pivot_root", SYS_pivot_root, { 0, 0 } },
	{ "fsopen", SYS_fsopen, { 0, 0 } },
	{ "open_tree", SYS_open_tree, { AT_FDCWD, 0, 1 } },
	{ "move_mount", SYS_move_mount, { 3, 0, 3, 0, 0 } },
	{ "unshare_user", SYS_unshare, { CLONE_NEWUSER } },
	{ "unshare_net", SYS_unshare, { CLONE_NEWNET } },
	{ "setns", SYS_setns, { 3, 0 } },
	{ "bpf", SYS_bpf, { 0, 0, 0 } },
	{ "io_uring", SYS_io_uring_setup, { 1, 0 } },
	{ "perf_event_open", SYS_perf_event_open, { 0, 0, -1, -1, 0 } },
	{ "keyctl", SYS_keyctl, { 0, -3, 0 } },
	{ "add_key", SYS_add_key, { 0, 0, 0, 0, -3 } },
	{ "userfaultfd", SYS_userfaultfd, { 1 } },
	{ "fanotify", SYS_fanotify_init, { 0, 0 } },
	{ "inotify", SYS_inotify_init1, { 0 } },
	{ "signalfd", SYS_signalfd4, { -1, 0, 8, 0 } },
	{ "timer_create", SYS_timer_create, { 0, 0, 0 } },
	{ "mq_open", SYS_mq_open, { 0, 0, 0, 0 } },
	{ "shmget", SYS_shmget, { 0, 4096, 01600 } },
	{ "msgget", SYS_msgget, { 0, 01600 } },
	{ "init_module", SYS_init_module, { 0, 0, 0 } },
	{ "kexec", SYS_kexec_load, { 0, 0, 0, 0 } },
	{ "reboot", SYS_reboot, { 0, 0, 0, 0 } },
	{ "clock_settime", SYS_clock_settime, { 0, 0 } },
	{ "adjtimex", SYS_adjtimex, { 0 } },
	{ "sethostname", SYS_sethostname, { 0, 0 } },
	{ "iopl", SYS_iopl, { 3 } },
	{ "modify_ldt", SYS_modify_ldt, { 0, 0, 0 } },
	{ "personality", SYS_personality, { 0x0400000 } },
	{ "syslog", SYS_syslog, { 2, 0, 0 } },
	{ "seccomp", SYS_seccomp, { 0, 0, 0 } },
	{ "memfd_secret", SYS_memfd_secret, { 0 } },
	{ "splice", SYS_splice, { 3, 0, 3, 0, 0 } },
	{ "vmsplice", SYS_vmsplice, { 3, 0, 0, 0 } },
	{ "quotactl", SYS_quotactl, { 0, 0, 0, 0 } },
	{ "swapon", SYS_swapon, { 0, 0 } },
	{ "acct", SYS_acct, { 0 } },
	{ "mlock", SYS_mlockall, { 3 } },
	{ "setrlimit", SYS_setrlimit, { 7, 0 } },
};

static int make_call(const struct world *w, size_t i)
{
	long args[5];

	for (size_t k = 0; k < ARRAY_LEN(args); k++) {
		long arg = calls[i].args[k];

		args[k] = arg == SIBLING ? w->sibling : arg == PARENT ? w->parent : arg;
	}
	return of(syscall(calls[i].number, args[0], args[1], args[2], args[3], args[4]));
}

/* --- the world ------------------------------------------------------------------------------- */

static void look_around(struct world *w)
{
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "re");

	w->parent = getppid();
	for (int fd = 3; fd < FD_MAX; fd++) {
		if (fcntl(fd, F_GETFD) >= 0 && (!maps || fd != fileno(maps)))
			w->fds[w->n_fds++] = fd;
	}
	while (maps && fgets(line, sizeof(line), maps)) {
		unsigned long from, to;
		char rights[5];

		if (sscanf(line, "%lx-%lx %4s", &from, &to, rights) == 3 && rights[0] == 'r' &&
		    rights[1] == '-' && rights[3] == 's' && w->n_readonly < MAPS_MAX) {
			w->readonly[w->n_readonly].start = (void *)from;
			w->readonly[w->n_readonly++].len = to - from;
		}
	}
	if (maps)
		fclose(maps);
	w->secret = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (w->secret == MAP_FAILED)
		_exit(90);
}

/* Of the same user, and nothing of its own protects it. */
static pid_t bear_sibling(const struct confine *c)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	for (int fd = 3; fd < FD_MAX; fd++)
		close(fd);
	if (geteuid() == 0 && c->uid != (uid_t)-1 &&
	    (setresgid(c->gid, c->gid, c->gid) < 0 || setresuid(c->uid, c->uid, c->uid) < 0))
		_exit(91);
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	for (;;)
		pause();
}

static bool dead(pid_t pid)
{
	siginfo_t info = { 0 };

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid;
}

static void name_outcome(char *text, size_t cap, int status)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		snprintf(text, cap, "killed");
	else if (WIFSIGNALED(status))
		snprintf(text, cap, "signal%d", WTERMSIG(status));
	else if (WEXITSTATUS(status) == 0)
		snprintf(text, cap, "done");
	else
		snprintf(text, cap, "%s", strerrorname_np(WEXITSTATUS(status)));
}

#define N_ACTS ARRAY_LEN(acts)

static void attempt(const struct confine *c, struct world *w, size_t i)
{
	char outcome[32];
	int status = 0;
	pid_t pid;

	if (w->sibling == 0)
		w->sibling = bear_sibling(c);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
		if (__real_confine_self(c) < 0)
			_exit(92);
		_exit(i < N_ACTS ? acts[i].try(w) : make_call(w, i - N_ACTS));
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		_exit(93);
	name_outcome(outcome, sizeof(outcome), status);
	if (dead(w->sibling)) {
		waitpid(w->sibling, NULL, 0);
		w->sibling = 0;
		snprintf(outcome, sizeof(outcome), "done");
	}
	fprintf(stderr, "probe role=%s act=%s outcome=%s\n", c->role,
	        i < N_ACTS ? acts[i].name : calls[i - N_ACTS].name, outcome);
}

/* --- what the filter costs ------------------------------------------------------------------- */

static double call_ns(void)
{
	double best = 1e9;

	/* The best of many short runs: what else the machine does is not what is asked. */
	for (int run = 0; run < 40; run++) {
		struct timespec a, b;
		struct pollfd none = { .fd = -1 };
		double ns;

		clock_gettime(CLOCK_MONOTONIC, &a);
		for (int i = 0; i < 2000; i++)
			poll(&none, 1, 0);
		clock_gettime(CLOCK_MONOTONIC, &b);
		ns = (double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec);
		best = ns / 2000 < best ? ns / 2000 : best;
	}
	return best;
}

static void measure(const struct confine *c)
{
	pid_t pid = fork();

	if (pid == 0) {
		double before = call_ns();

		if (__real_confine_self(c) < 0)
			_exit(92);

		double after = call_ns();
		char line[128];
		int n = snprintf(line, sizeof(line), "cost role=%s before=%.0f after=%.0f\n",
		                 c->role, before, after);

		_exit(write(STDERR_FILENO, line, (size_t)n) == n ? 0 : 1);
	}
	waitpid(pid, NULL, 0);
}

int __wrap_confine_self(const struct confine *c)
{
	static struct world w; /* one in a process's life */

	look_around(&w);
	for (size_t i = 0; i < N_ACTS + ARRAY_LEN(calls); i++)
		attempt(c, &w, i);
	measure(c);
	if (w.sibling) {
		kill(w.sibling, SIGKILL);
		waitpid(w.sibling, NULL, 0);
	}
	fprintf(stderr, "probe role=%s end\n", c->role);
	return __real_confine_self(c);
}
