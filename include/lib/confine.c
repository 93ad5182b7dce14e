/* include/lib/confine.c - root, uid, capabilities and system calls given up for good.
 *
 * Whoever has the capabilities for it, root or not, takes every step. Without CAP_SYS_CHROOT the
 * file system is shut with Landlock; without CAP_SETUID there is no other uid; all else is the
 * same.
 */
#include "sallyport/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sallyport/err.h"
#include "sallyport/log.h"

#define TAG "confine"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* What libc itself needs to run on, to end and to abort, whatever the role does. None of these
 * reaches anything outside the process but descriptors that it holds already. */
static const int base_syscalls[] = {
	SCMP_SYS(brk),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(close),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(futex),
	SCMP_SYS(getpid),
	SCMP_SYS(getrandom),
	SCMP_SYS(gettid),
	SCMP_SYS(madvise),
	SCMP_SYS(mmap),
	SCMP_SYS(mprotect),
	SCMP_SYS(mremap),
	SCMP_SYS(munmap),
	SCMP_SYS(nanosleep),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(rseq),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sched_getaffinity), /* malloc() counts processors before it makes an arena */
	SCMP_SYS(sched_yield),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(sysinfo), /* qsort() asks how much memory there is before it takes some */
	SCMP_SYS(tgkill),
	SCMP_SYS(write),
	SCMP_SYS(writev), /* libc's last words */
#if SANITIZED
	/* The sanitizers' own runtimes. */
	SCMP_SYS(fstat),
	SCMP_SYS(getppid),
	SCMP_SYS(getrlimit),
	SCMP_SYS(getrusage),
	SCMP_SYS(lseek),
	SCMP_SYS(newfstatat),
	SCMP_SYS(openat),
	SCMP_SYS(pipe),
	SCMP_SYS(prctl),
	SCMP_SYS(prlimit64),
	SCMP_SYS(read),
	SCMP_SYS(readlink),
	SCMP_SYS(sigaltstack),
#endif
	-1,
};

#if SANITIZED
/* The leak checker would trace this process from a helper thread of its own, which the filter
 * forbids; it asks here whether it should. */
static bool confined;
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
	return confined;
}

/* Under a sanitizer a forbidden call is told by number before the process dies, so that a missing
 * entry of a role's list is found by its tests and not by guessing. */
static void on_sigsys(int sig, siginfo_t *info, void *context)
{
	char line[80];
	int n = snprintf(line, sizeof(line), "seccomp: system call %d is not allowed\n",
	                 info->si_syscall);

	(void)sig, (void)context;
	if (n > 0 && write(STDERR_FILENO, line, (size_t)n) < 0)
		_exit(127);
	_exit(127);
}
#endif

static void cap_free_cleanup(cap_t *caps)
{
	if (*caps)
		cap_free(*caps);
}

static int fail(const struct confine *c, int err, const char *what)
{
	log_error(TAG, "%s: %s: %s", c->role, what, err_str(err));
	return err;
}

/* Not uid 0 is what counts: under systemd the keeper is an ordinary user with a few capabilities.
 */
static bool have(cap_value_t which)
{
	CLEANUP(cap_free) cap_t caps = cap_get_proc();
	cap_flag_value_t value = CAP_CLEAR;

	return caps && cap_get_flag(caps, which, CAP_EFFECTIVE, &value) == 0 && value == CAP_SET;
}

/* --- root ------------------------------------------------------------------------------------ */

/* An empty directory that has no name any more: nothing can be made in it, by anyone. */
static int open_nowhere(void)
{
	static const char *const places[] = { "/run", "/tmp", "/var/tmp", "/dev/shm" };
	int last = -ENOENT;

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		char path[64];
		int fd;

		snprintf(path, sizeof(path), "%s/sallyport-XXXXXX", places[i]);
		if (!mkdtemp(path)) {
			last = -errno;
			continue;
		}
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0)
			last = -errno;
		if (rmdir(path) < 0) {
			last = -errno;
			if (fd >= 0)
				close(fd);
			continue;
		}
		if (fd >= 0)
			return fd;
	}
	return last;
}

/* Landlock (Linux 5.13): forbid every access to the file system that this kernel's version of it
 * knows, except below @root_fd (-1: no exception). */
static int shut_filesystem(int root_fd)
{
	const uint64_t write_access = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE |
	                              LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
	                              LANDLOCK_ACCESS_FS_MAKE_REG;
	struct landlock_ruleset_attr attr = {
		.handled_access_fs = write_access | LANDLOCK_ACCESS_FS_EXECUTE |
		                     LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_MAKE_CHAR |
		                     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SOCK |
		                     LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
		                     LANDLOCK_ACCESS_FS_MAKE_SYM,
	};
	struct landlock_path_beneath_attr beneath = {
		.allowed_access = write_access,
		.parent_fd = root_fd,
	};
	CLEANUP(fd_close) int ruleset = -1;

	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ruleset < 0)
		return -errno;
	if (root_fd >= 0 &&
	    syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) < 0)
		return -errno;
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return -errno;
	return ERR_OK;
}

static int enter_root(const struct confine *c)
{
	bool given = c->flags & CONFINE_ROOT_FD;
	CLEANUP(fd_close) int nowhere = -1;
	int fd = c->root_fd, r;

	if (!given) {
		nowhere = open_nowhere();
		if (nowhere < 0)
			return fail(c, nowhere, "no empty directory can be made to be the root");
		fd = nowhere;
	}
	if (fchdir(fd) < 0)
		return fail(c, -errno, "the root directory cannot be entered");
	if (chroot(".") == 0)
		return chdir("/") < 0 ? fail(c, -errno, "chdir") : ERR_OK;
	if (errno != EPERM)
		return fail(c, -errno, "chroot");

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail(c, -errno, "no_new_privs");
	r = shut_filesystem(given ? fd : -1);
	if (r < 0)
		return fail(c, r,
		            "a root of its own needs CAP_SYS_CHROOT or Landlock, and neither is "
		            "here; start sallyportd as root, or a kernel with Landlock (5.13)");
	log_debug(TAG, "%s: file system shut with Landlock instead of chroot", c->role);
	return ERR_OK;
}

/* --- groups, uid, capabilities --------------------------------------------------------------- */

/* While CAP_SETPCAP is still there: without the bounding set no later execve() gives any back. */
static int drop_bounding(const struct confine *c)
{
	for (cap_value_t cap = 0; cap <= cap_max_bits(); cap++) {
		if (cap_get_bound(cap) == 1 && cap_drop_bound(cap) < 0)
			return fail(c, -errno, "the bounding set cannot be emptied");
	}
	return ERR_OK;
}

static int change_user(const struct confine *c)
{
	if (!have(CAP_SETUID) || !have(CAP_SETGID)) {
		if ((c->uid != (uid_t)-1 && c->uid != geteuid()) ||
		    (c->gid != (gid_t)-1 && c->gid != getegid()))
			return fail(c, -EPERM,
			            "another user needs root, or CAP_SETUID and CAP_SETGID; "
			            "start sallyportd as root, or leave `user:` out");
		return ERR_OK;
	}
	if (setgroups(0, NULL) < 0)
		return fail(c, -errno, "the groups cannot be given up");
	if (c->gid != (gid_t)-1 && setresgid(c->gid, c->gid, c->gid) < 0)
		return fail(c, -errno, "the group cannot be changed");
	if (c->uid == (uid_t)-1)
		return ERR_OK;
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return fail(c, -errno, "keepcaps");
	if (setresuid(c->uid, c->uid, c->uid) < 0)
		return fail(c, -errno, "the user cannot be changed");
	if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
		return fail(c, -errno, "keepcaps");
	return ERR_OK;
}

static int keep_capability(const struct confine *c)
{
	CLEANUP(cap_free) cap_t caps = cap_init(); /* empty sets */
	cap_value_t keep = c->keep_cap;

	if (!caps)
		return fail(c, -errno, "capabilities");
	if (c->keep_cap >= 0 && (cap_set_flag(caps, CAP_PERMITTED, 1, &keep, CAP_SET) < 0 ||
	                         cap_set_flag(caps, CAP_EFFECTIVE, 1, &keep, CAP_SET) < 0))
		return fail(c, -errno, "capabilities");
	if (cap_set_proc(caps) < 0)
		return fail(c, -errno,
		            c->keep_cap >= 0
		                ? "its capability is not there; start sallyportd as root"
		                : "the capabilities cannot be given up");
	if (cap_reset_ambient() < 0 && errno != EINVAL)
		return fail(c, -errno, "the ambient capabilities cannot be given up");
	/* Believe nothing that was not looked at: the way back must be shut. */
	if (c->uid != (uid_t)-1 && c->uid != 0 && setresuid(0, 0, 0) == 0)
		return fail(c, ERR_DENIED, "it could become root again");
	return ERR_OK;
}

/* --- system calls ---------------------------------------------------------------------------- */

static void seccomp_release_cleanup(scmp_filter_ctx *ctx)
{
	if (*ctx)
		seccomp_release(*ctx);
}

static bool listed(const int *list, int number)
{
	for (; list && *list != -1; list++) {
		if (*list == number)
			return true;
	}
	return false;
}

/* Some calls can do more than any role has use for: of them only the harmless form is allowed. (The
 * comparisons' last 0 is unused; without it, libseccomp's macros are not C17 to Clang.) */

#define MODE_SPECIAL 07000 /* set-user-id, set-group-id, sticky */
#define TYPE_MASK 0xf      /* of socket(2)'s type: the rest are flags */
/* Namespaces; CLONE_NEWTIME is not among clone(2)'s flags. */
#define CLONE_NAMESPACES                                                                           \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
	 CLONE_NEWPID | CLONE_NEWNET)

/* Memory that is never executable. */
static int allow_memory(scmp_filter_ctx ctx, int number)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, number, 1,
	                        SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
}

/* MADV_REMOVE punches holes into shared memory; on a full file system whoever else touches one dies
 * (SIGBUS). */
static int allow_madvise(scmp_filter_ctx ctx)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(madvise), 1,
	                        SCMP_A2_32(SCMP_CMP_NE, MADV_REMOVE, 0));
}

/* Threads but no processes, in no namespace of their own. */
static int allow_clone(scmp_filter_ctx ctx)
{
	return seccomp_rule_add(
	    ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
	    SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_NAMESPACES, CLONE_THREAD));
}

/* Signals for the process itself: others of its user are none of its business. */
static int allow_tgkill(scmp_filter_ctx ctx)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
	                        SCMP_A0_32(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
}

/* Not F_SETOWN, F_SETSIG and O_ASYNC, which send any signal to any process of the same user; nor
 * leases and notifications about files. */
static int allow_fcntl(scmp_filter_ctx ctx)
{
	static const int commands[] = { F_GETFD,  F_SETFD,         F_GETFL,     F_GETLK,    F_SETLK,
		                        F_SETLKW, F_DUPFD_CLOEXEC, F_GET_SEALS, F_ADD_SEALS };
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(commands) && r == 0; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
		                     SCMP_A1_32(SCMP_CMP_EQ, (scmp_datum_t)commands[i], 0));
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 2,
		                     SCMP_A1_32(SCMP_CMP_EQ, F_SETFL, 0),
		                     SCMP_A2_32(SCMP_CMP_MASKED_EQ, O_ASYNC, 0));
	return r;
}

/* What libuv asks of every descriptor, and nothing of terminals, devices or owners. */
static int allow_ioctl(scmp_filter_ctx ctx)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
	                        SCMP_A1_32(SCMP_CMP_EQ, FIONBIO, 0));
}

/* A file that is made runs as nobody but its caller. @mode: of the call's arguments. */
static int allow_mode(scmp_filter_ctx ctx, int number, unsigned int mode)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, number, 1,
	                        SCMP_CMP32(mode, SCMP_CMP_MASKED_EQ, MODE_SPECIAL, 0));
}

/* TCP and UDP, and no other protocol that such a socket could load into the kernel. */
static int allow_sockets(scmp_filter_ctx ctx, const int *families)
{
	static const struct {
		int type, protocol;
	} kinds[] = { { SOCK_STREAM, 0 },
		      { SOCK_STREAM, IPPROTO_TCP },
		      { SOCK_DGRAM, 0 },
		      { SOCK_DGRAM, IPPROTO_UDP } };
	int r = 0;

	for (const int *p = families; p && *p != -1; p++) {
		for (size_t i = 0; i < ARRAY_LEN(kinds) && r == 0; i++)
			r = seccomp_rule_add(
			    ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 3,
			    SCMP_A0_32(SCMP_CMP_EQ, (scmp_datum_t)*p, 0),
			    SCMP_A1_32(SCMP_CMP_MASKED_EQ, TYPE_MASK, (scmp_datum_t)kinds[i].type),
			    SCMP_A2_32(SCMP_CMP_EQ, (scmp_datum_t)kinds[i].protocol, 0));
	}
	return r;
}

static int allow_options(scmp_filter_ctx ctx, const struct confine_option *options)
{
	int r = 0;

	for (const struct confine_option *o = options; o && o->level != -1 && r == 0; o++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), 2,
		                     SCMP_A1_32(SCMP_CMP_EQ, (scmp_datum_t)o->level, 0),
		                     SCMP_A2_32(SCMP_CMP_EQ, (scmp_datum_t)o->name, 0));
	return r;
}

static int allow(scmp_filter_ctx ctx, const struct confine *c, int number)
{
	if (number < 0)
		return ERR_OK; /* libseccomp's pseudo numbers: this architecture has no such call */
	switch (number) {
	case SCMP_SYS(mmap):
	case SCMP_SYS(mprotect):
		return allow_memory(ctx, number);
	case SCMP_SYS(madvise):
		return allow_madvise(ctx);
	case SCMP_SYS(clone):
		return allow_clone(ctx);
	case SCMP_SYS(clone3):
		return ERR_OK; /* has a rule of its own */
	case SCMP_SYS(tgkill):
		return allow_tgkill(ctx);
	case SCMP_SYS(fcntl):
		return allow_fcntl(ctx);
	case SCMP_SYS(ioctl):
		return allow_ioctl(ctx);
	case SCMP_SYS(fchmod):
		return allow_mode(ctx, number, 1);
	case SCMP_SYS(open):
		return allow_mode(ctx, number, 2);
	case SCMP_SYS(openat):
		return allow_mode(ctx, number, 3);
	case SCMP_SYS(socket):
		return allow_sockets(ctx, c->socket_families);
	case SCMP_SYS(setsockopt):
		return allow_options(ctx, c->socket_options);
	default: /* the kernel's numbers, no enum of ours */
		return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, number, 0);
	}
}

static int fill_filter(scmp_filter_ctx ctx, const struct confine *c)
{
	int r;

	for (const int *p = base_syscalls; *p != -1; p++) {
		r = allow(ctx, c, *p);
		if (r < 0)
			return r;
	}
	for (const int *p = c->syscalls; p && *p != -1; p++) {
		if (listed(base_syscalls, *p))
			continue;
		r = allow(ctx, c, *p);
		if (r < 0)
			return r;
	}
	/* malloc() opens /proc/sys/vm/overcommit_memory when a thread's arena shrinks; told that it
	 * may not, it goes another way. A role that opens no files is not killed for libc's. */
	if (!listed(base_syscalls, SCMP_SYS(openat)) && !listed(c->syscalls, SCMP_SYS(openat))) {
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(openat), 0);
		if (r < 0)
			return r;
	}
	/* clone3() hides its flags behind a pointer; told that there is none, libc uses clone(). */
	r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (r < 0)
		return r;
	if (listed(c->syscalls, SCMP_SYS(clone3)) && !listed(c->syscalls, SCMP_SYS(clone))) {
		r = allow(ctx, c, SCMP_SYS(clone));
		if (r < 0)
			return r;
	}
	if (!listed(c->syscalls, SCMP_SYS(socket))) {
		r = allow_sockets(ctx, c->socket_families);
		if (r < 0)
			return r;
	}
	return ERR_OK;
}

static int load_filter(const struct confine *c)
{
	CLEANUP(seccomp_release) scmp_filter_ctx ctx = NULL;
	int r;

#if SANITIZED
	struct sigaction action = { .sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO };

	if (sigaction(SIGSYS, &action, NULL) < 0)
		return fail(c, -errno, "sigaction");
	confined = true;
	ctx = seccomp_init(SCMP_ACT_TRAP);
#else
	ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
#endif
	if (!ctx)
		return fail(c, ERR_NOMEM, "no seccomp filter");
	r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	/* A tree instead of a list: calls whose arguments are looked at cost the same, however many
	 * there are; the rest the kernel remembers by number. */
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (r == 0)
		r = fill_filter(ctx, c);
	if (r < 0)
		return fail(c, r, "the seccomp filter cannot be made");
	r = seccomp_load(ctx);
	if (r < 0)
		return fail(c, r, "the seccomp filter cannot be loaded");
	return ERR_OK;
}

int confine_self(const struct confine *c)
{
	int death_signal = 0, r;

	if (prctl(PR_GET_PDEATHSIG, &death_signal, 0, 0, 0) < 0)
		return fail(c, -errno, "pdeathsig");
	/* strftime() and friends read the zone's file when they first run: a role lives in UTC, and
	 * has its zone before it loses the file system. */
	if (setenv("TZ", "UTC0", 1) < 0)
		return fail(c, -errno, "time zone");
	tzset();
	r = enter_root(c);
	if (r < 0)
		return r;
	if (have(CAP_SETPCAP)) {
		r = drop_bounding(c);
		if (r < 0)
			return r;
	}
	r = change_user(c);
	if (r < 0)
		return r;
	r = keep_capability(c);
	if (r < 0)
		return r;
	/* The kernel forgets it with every change of credentials. */
	if (death_signal && prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) < 0)
		return fail(c, -errno, "pdeathsig");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail(c, -errno, "no_new_privs");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return fail(c, -errno, "dumpable");
	return load_filter(c);
}
