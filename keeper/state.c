/* keeper/state.c - the directories on disk. */
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sallyport/err.h"
#include "sallyport/log.h"

#include "ledger_file.h"

#define HISTORY_WAIT_MS 30000

/* Make @path if its parent is there. */
static int make_directory(const char *path, const char *key, mode_t mode, struct diag *diag)
{
	struct stat st;

	if (mkdir(path, mode) == 0) {
		/* The umask is not ours to obey here. */
		return chmod(path, mode) < 0
		           ? diag_set(diag, -errno, "%s: %s", path, strerror(errno))
		           : ERR_OK;
	}
	if (errno == EEXIST) {
		if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
			return ERR_OK;
		return diag_set(diag, -ENOTDIR,
		                "%s: %s is not a directory; remove it or name another", key, path);
	}
	if (errno == ENOENT)
		return diag_set(diag, -errno,
		                "%s: %s cannot be made: its parent is missing; make it with: "
		                "install -d %s",
		                key, path, path);
	if (errno == EACCES || errno == EPERM)
		return diag_set(diag, -errno,
		                "%s: %s cannot be made: not permitted; make it as root with: "
		                "install -d -o %u %s",
		                key, path, geteuid(), path);
	return diag_set(diag, -errno, "%s: %s cannot be made: %s", key, path, strerror(errno));
}

static int take_lock(const struct config *config, int *ret_fd, struct diag *diag)
{
	char path[CONFIG_PATH_MAX + 16], text[32];
	CLEANUP(fd_close) int fd = -1;
	int n;

	snprintf(path, sizeof(path), "%s/lock", config->state_dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return diag_set(diag, -errno, "state_dir: %s cannot be opened: %s", path,
		                strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		ssize_t len = pread(fd, text, sizeof(text) - 1, 0);

		text[len > 0 ? len : 0] = '\0';
		text[strcspn(text, "\n")] = '\0';
		return diag_set(
		    diag, ERR_EXIST,
		    "state_dir: %s is in use by another sallyportd (pid %s); stop it, or name "
		    "another state_dir",
		    config->state_dir, strspn(text, "0123456789") ? text : "?");
	}
	n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	/* The number is for people; the lock is what counts. */
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) < 0)
		return diag_set(diag, -errno, "state_dir: %s cannot be written: %s", path,
		                strerror(errno));
	*ret_fd = fd_take(&fd);
	return ERR_OK;
}

/* One historian at a time. The lock belongs to the open directory, which the historian inherits: a
 * historian that outlives its keeper, to write out what it has, keeps the next one waiting. */
static int lock_history(int fd, const char *path, struct diag *diag)
{
	const struct timespec step = { .tv_nsec = 50000000 };

	for (int i = 0; i < HISTORY_WAIT_MS / 50; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return ERR_OK;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return diag_set(diag, -errno, "state_dir: %s cannot be locked: %s", path,
			                strerror(errno));
		if (i == 0)
			log_info("state", "the last historian still writes; waiting for it");
		nanosleep(&step, NULL);
	}
	return diag_set(
	    diag, ERR_TIMEOUT,
	    "state_dir: a historian of an earlier start still writes to %s after %d s; end "
	    "it (fuser -v %s names it)",
	    path, HISTORY_WAIT_MS / 1000, path);
}

static int open_history(const struct config *config, int *ret_fd, struct diag *diag)
{
	const struct config_user *user = &config->users[CONFIG_HISTORIAN];
	char path[CONFIG_PATH_MAX + 16];
	CLEANUP(fd_close) int fd = -1;
	int r;

	snprintf(path, sizeof(path), "%s/history", config->state_dir);
	r = make_directory(path, "state_dir", 0750, diag);
	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return diag_set(diag, -errno, "state_dir: %s cannot be opened: %s", path,
		                strerror(errno));
	r = lock_history(fd, path, diag);
	if (r < 0)
		return r;
	if (geteuid() == 0) {
		/* The set-group bit gives every file the analysts' group. */
		uid_t uid = user->uid == UINT32_MAX ? 0 : user->uid;
		gid_t gid = config->analyst_gid != UINT32_MAX ? config->analyst_gid
		            : user->gid != UINT32_MAX         ? user->gid
		                                              : 0;

		if (fchown(fd, uid, gid) < 0 || fchmod(fd, 02750) < 0)
			return diag_set(diag, -errno,
			                "state_dir: %s cannot be given to the historian: %s", path,
			                strerror(errno));
	}
	*ret_fd = fd_take(&fd);
	return ERR_OK;
}

int state_open(const struct config *config, int *ret_lock_fd, int *ret_history_fd,
               struct diag *diag)
{
	CLEANUP(fd_close) int lock = -1;
	int r;

	r = make_directory(config->state_dir, "state_dir", 0755, diag);
	if (r == 0)
		r = make_directory(config->run_dir, "run_dir", 0755, diag);
	if (r == 0)
		r = take_lock(config, &lock, diag);
	if (r == 0)
		r = open_history(config, ret_history_fd, diag);
	if (r == 0)
		*ret_lock_fd = fd_take(&lock);
	return r;
}

static void check_parent(const char *path, const char *key, struct diag *diag)
{
	char parent[CONFIG_PATH_MAX];
	struct stat st;
	char *slash;

	if (stat(path, &st) == 0) {
		if (!S_ISDIR(st.st_mode))
			diag_set(diag, ERR_CONFIG,
			         "%s: %s is not a directory; remove it or name another", key, path);
		return;
	}
	snprintf(parent, sizeof(parent), "%s", path);
	slash = strrchr(parent, '/');
	if (slash && slash != parent)
		*slash = '\0';
	if (stat(parent, &st) < 0)
		diag_set(diag, ERR_CONFIG,
		         "%s: %s is missing and so is its parent; make it with: "
		         "install -d %s",
		         key, path, path);
}

void state_check(const struct config *config, struct diag *diag)
{
	check_parent(config->state_dir, "state_dir", diag);
	check_parent(config->run_dir, "run_dir", diag);
	ledger_file_check(config, diag);
}
