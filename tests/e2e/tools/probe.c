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
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "probe.h"
#include "sallyport/cleanup.h"
#include "sallyport/confine.h"

int __real_confine_self(const struct confine *c);
int __wrap_confine_self(const struct confine *c);

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

/* Acts first, then calls; NULL: there are no more acts. */
static const struct probe_act *act_at(size_t i)
{
	if (i < probe_held.n)
		return &probe_held.list[i];
	i -= probe_held.n;
	return i < probe_beyond.n ? &probe_beyond.list[i] : NULL;
}

static size_t n_acts(void)
{
	return probe_held.n + probe_beyond.n;
}

static void attempt(const struct confine *c, struct world *w, size_t i)
{
	const struct probe_act *act = act_at(i);
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
		_exit(act ? act->try(w) : make_call(w, i - n_acts()));
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
	        act ? act->name : calls[i - n_acts()].name, outcome);
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
	for (size_t i = 0; i < n_acts() + ARRAY_LEN(calls); i++)
		attempt(c, &w, i);
	measure(c);
	if (w.sibling) {
		kill(w.sibling, SIGKILL);
		waitpid(w.sibling, NULL, 0);
	}
	fprintf(stderr, "probe role=%s end\n", c->role);
	return __real_confine_self(c);
}
