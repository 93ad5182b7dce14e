#include "sandbox.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <seccomp.h>
#include <sys/socket.h>

#include "sallyport/confine.h"

int sandbox_enter(const struct conf_common *common)
{
	static const int syscalls[] = {
		/* the loop */
		SCMP_SYS(epoll_create1),
		SCMP_SYS(epoll_ctl),
		SCMP_SYS(epoll_wait),
		SCMP_SYS(epoll_pwait),
		SCMP_SYS(poll),
		SCMP_SYS(ppoll),
		SCMP_SYS(eventfd2),
		SCMP_SYS(pipe2),
		SCMP_SYS(ioctl), /* FIONBIO of libuv */
		SCMP_SYS(fcntl),
		SCMP_SYS(fstat), /* which socket is it */
		SCMP_SYS(newfstatat),
		/* sockets; socket(2) and setsockopt(2) as said below */
		SCMP_SYS(connect),
		SCMP_SYS(accept4),
		SCMP_SYS(getsockname),
		SCMP_SYS(getsockopt),
		SCMP_SYS(setsockopt),
		SCMP_SYS(recvfrom),
		SCMP_SYS(recvmsg),
		SCMP_SYS(recvmmsg),
		SCMP_SYS(sendto),
		SCMP_SYS(sendmsg),
		SCMP_SYS(sendmmsg),
		SCMP_SYS(shutdown),
		SCMP_SYS(read),
		SCMP_SYS(write),
		SCMP_SYS(writev),
		SCMP_SYS(close),
		/* memory: an image is mapped, the heap grows */
		SCMP_SYS(mmap),
		SCMP_SYS(munmap),
		SCMP_SYS(mremap),
		SCMP_SYS(mprotect),
		SCMP_SYS(madvise),
		SCMP_SYS(brk),
		/* threads */
		SCMP_SYS(clone),
		SCMP_SYS(clone3),
		SCMP_SYS(futex),
		SCMP_SYS(rseq),
		SCMP_SYS(set_robust_list),
		SCMP_SYS(rt_sigprocmask),
		SCMP_SYS(rt_sigaction),
		SCMP_SYS(rt_sigreturn),
		SCMP_SYS(sigaltstack),
		SCMP_SYS(sched_yield),
		SCMP_SYS(sched_getaffinity),
		SCMP_SYS(gettid),
		SCMP_SYS(getpid),
		SCMP_SYS(tgkill), /* abort(3) of its own threads */
		/* time and chance */
		SCMP_SYS(clock_gettime),
		SCMP_SYS(gettimeofday),
		SCMP_SYS(clock_nanosleep),
		SCMP_SYS(restart_syscall),
		SCMP_SYS(getrandom),
		/* the end */
		SCMP_SYS(exit),
		SCMP_SYS(exit_group),
		-1,
	};
	static const int families[] = { AF_INET, AF_INET6, -1 };
	static const struct confine_option options[] = {
		{ SOL_SOCKET, SO_TIMESTAMPNS },
		{ IPPROTO_IP, IP_MTU_DISCOVER },
		{ IPPROTO_IPV6, IPV6_MTU_DISCOVER },
		{ IPPROTO_IP, IP_PKTINFO },
		{ IPPROTO_IPV6, IPV6_RECVPKTINFO },
		{ IPPROTO_TCP, TCP_NODELAY },
		{ -1, 0 },
	};
	const struct confine confine = {
		.role = "resolver",
		.uid = common->uid,
		.gid = common->gid,
		.root_fd = -1,
		.keep_cap = -1,
		.syscalls = syscalls,
		.socket_families = families,
		.socket_options = options,
	};

	return confine_self(&confine);
}
