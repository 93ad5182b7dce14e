/* keeper/spawn.c - starting a role's program. */
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sallyport/err.h"
#include "sallyport/role.h"

/* What a role may see of our environment: what its own libraries and log need. */
static const char *const kept[] = {
	"JOURNAL_STREAM", "TZ",           "ASAN_OPTIONS",        "UBSAN_OPTIONS",
	"TSAN_OPTIONS",   "LSAN_OPTIONS", "SALLYPORT_TEST_SHIM",
};

int spawn_own_directory(char *ret_path, size_t cap)
{
	ssize_t n = readlink("/proc/self/exe", ret_path, cap);
	char *slash;

	if (n < 0)
		return -errno;
	if ((size_t)n >= cap)
		return -ENAMETOOLONG;
	ret_path[n] = '\0';
	slash = strrchr(ret_path, '/');
	if (slash)
		*slash = '\0';
	return ERR_OK;
}

int spawn_find(const char *program, char *ret_path, size_t cap)
{
	char own[PATH_MAX];

	if (spawn_own_directory(own, sizeof(own)) == 0 &&
	    (size_t)snprintf(ret_path, cap, "%s/%s", own, program) < cap &&
	    access(ret_path, X_OK) == 0)
		return ERR_OK;
	if ((size_t)snprintf(ret_path, cap, SALLYPORT_LIBEXECDIR "/%s", program) < cap &&
	    access(ret_path, X_OK) == 0)
		return ERR_OK;
	return ERR_NOENT;
}

int spawn_channel(int *ret_ours, int *ret_theirs)
{
	int fds[2], size = 4 << 20;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		/* Best effort: as root the size is not capped; small buffers only mean queueing. */
		if (setsockopt(fds[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
			(void)setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	}
	*ret_ours = fds[0];
	*ret_theirs = fds[1];
	return ERR_OK;
}

/* A role starts with what we have and gives it up by itself (confine.h). Root's programs get it
 * from execve(); another user's only what is ambient. In the child, so that ours stay as they are.
 */
static int pass_capabilities(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];

	if (geteuid() == 0)
		return ERR_OK;
	if (syscall(SYS_capget, &head, sets) < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_LEN(sets); i++)
		sets[i].inheritable = sets[i].permitted;
	if (syscall(SYS_capset, &head, sets) < 0)
		return -errno;
	for (unsigned int cap = 0; cap < 32 * ARRAY_LEN(sets); cap++) {
		if ((sets[cap / 32].permitted & 1U << cap % 32) &&
		    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			return -errno;
	}
	return ERR_OK;
}

/* In the child: nothing here may allocate or log through the parent's state. */
static _Noreturn void become(const struct spawn *s, const char *path, char *const *argv,
                             char *const *envp, pid_t keeper)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t none;
	int null;

	/* A group of its own: Ctrl-C at a terminal is for the keeper, which then drains its roles.
	 */
	setpgid(0, 0);
	for (int sig = 1; sig < NSIG; sig++)
		sigaction(sig, &action, NULL); /* KILL, STOP and libc's own cannot be set: fine */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (pass_capabilities() < 0)
		_exit(126);
	if (s->death_signal && prctl(PR_SET_PDEATHSIG, s->death_signal, 0, 0, 0) < 0)
		_exit(126);
	if (getppid() != keeper) /* it died before the line above */
		_exit(126);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0)
		_exit(126);
	/* dup2() onto itself would leave close-on-exec set. */
	if (s->channel == ROLE_FD) {
		if (fcntl(ROLE_FD, F_SETFD, 0) < 0)
			_exit(126);
	} else if (s->channel >= 0 && dup2(s->channel, ROLE_FD) < 0) {
		_exit(126);
	}
	/* Everything of ours is close-on-exec; this is for what is not ours. */
	if (close_range(s->channel >= 0 ? ROLE_FD + 1 : ROLE_FD, ~0U, 0) < 0)
		_exit(126);
	execve(path, argv, envp);
	_exit(127);
}

int spawn_start(const struct spawn *s, pid_t *ret_pid)
{
	char path[PATH_MAX], values[ARRAY_LEN(kept)][256];
	char *envp[ARRAY_LEN(kept) + 2], *argv[3];
	pid_t keeper = getpid(), pid;
	size_t n = 0;
	int r;

	r = spawn_find(s->program, path, sizeof(path));
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		const char *value = getenv(kept[i]);

		if (value && (size_t)snprintf(values[n], sizeof(values[n]), "%s=%s", kept[i],
		                              value) < sizeof(values[n])) {
			envp[n] = values[n];
			n++;
		}
	}
	envp[n] = (char[]){ "PATH=/usr/sbin:/usr/bin:/sbin:/bin" };
	envp[n + 1] = NULL;
	argv[0] = path;
	argv[1] = (char *)(uintptr_t)s->argument; /* execve() does not write to it */
	argv[2] = NULL;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		become(s, path, argv, envp, keeper);
	*ret_pid = pid;
	return ERR_OK;
}
