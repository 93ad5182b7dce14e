/* tests/e2e/tools/probe_held.c - acts with what a role holds: files, handed memory, memory that is
 * executed. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "probe.h"
#include "sallyport/cleanup.h"

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

#define ACT(name)                                                                                  \
	{                                                                                          \
#name, act_##name                                                                  \
	}
static const struct probe_act acts[] = {
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
};
const struct probe_acts probe_held = { acts, ARRAY_LEN(acts) };
