/* keeper/state.c - the directories on disk. */
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "privileges.h"
#include "sallyport/err.h"
#include "sallyport/log.h"

#include "ledger_file.h"

#define HISTORY_WAIT_MS 30000

/* --- directories ----------------------------------------------------------------------------- */

static const char *user_name(uid_t uid, char text[static 24])
{
	const struct passwd *pw = getpwuid(uid);

	if (pw && strlen(pw->pw_name) < 24)
		snprintf(text, 24, "%s", pw->pw_name);
	else
		snprintf(text, 24, "uid %u", uid);
	return text;
}

static int read_only(const char *path, const char *key, struct diag *diag)
{
	return diag_set(diag, -EROFS,
	                "%s: %s is on a read-only file system; mount it for writing, let the unit "
	                "write there (ReadWritePaths=), or name another",
	                key, path);
}

/* A directory that is there already: can we write to it, and nobody else replace what is in it? */
static int check_directory(const char *path, const struct stat *st, const char *key,
                           struct diag *diag)
{
	char theirs[24], ours[24];
	struct statvfs fs;

	if (!S_ISDIR(st->st_mode))
		return diag_set(diag, -ENOTDIR,
		                "%s: %s is not a directory; remove it or name another", key, path);
	if (statvfs(path, &fs) == 0 && (fs.f_flag & ST_RDONLY))
		return read_only(path, key, diag);
	if (st->st_uid != geteuid())
		return diag_set(
		    diag, -EPERM,
		    "%s: %s belongs to %s, and sallyportd runs as %s, who keeps no right "
		    "to write there; start it as %s, give the directory away (chown -R "
		    "%s %s), or name another",
		    key, path, user_name(st->st_uid, theirs), user_name(geteuid(), ours), theirs,
		    ours, path);
	if ((st->st_mode & (S_IWOTH | S_ISVTX)) == S_IWOTH)
		return diag_set(
		    diag, -EPERM,
		    "%s: everybody may write to %s and replace what is kept there; take "
		    "that away (chmod o-w %s), or name another",
		    key, path, path);
	return ERR_OK;
}

static int explain_mkdir(const char *path, const char *key, int err, struct diag *diag)
{
	switch (err) {
	case ENOENT:
		return diag_set(diag, -err,
		                "%s: %s cannot be made: its parent is missing; make it with: "
		                "install -d %s",
		                key, path, path);
	case EACCES:
	case EPERM:
		return diag_set(diag, -err,
		                "%s: %s cannot be made: not permitted; make it as root with: "
		                "install -d -o %u %s",
		                key, path, geteuid(), path);
	case EROFS:
		return read_only(path, key, diag);
	default:
		return diag_set(diag, -err, "%s: %s cannot be made: %s", key, path, strerror(err));
	}
}

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
	if (errno != EEXIST || stat(path, &st) < 0)
		return explain_mkdir(path, key, errno, diag);
	return check_directory(path, &st, key, diag);
}

/* --- locks ----------------------------------------------------------------------------------- */

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
	/* The number is for people; the lock is what counts, on a full disk, too. */
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) < 0)
		log_warning("state", "%s: our number cannot be written: %s", path, strerror(errno));
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

bool state_in_use(const struct config *config)
{
	CLEANUP(fd_close) int fd = -1;
	char path[CONFIG_PATH_MAX + 16];

	snprintf(path, sizeof(path), "%s/lock", config->state_dir);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

/* --- history/ -------------------------------------------------------------------------------- */

/* The set-group bit gives every file the analysts' group. */
#define HISTORY_MODE 02750

static void history_owner(const struct config *config, uid_t *ret_uid, gid_t *ret_gid)
{
	const struct config_user *user = &config->users[CONFIG_HISTORIAN];

	*ret_uid = user->uid == UINT32_MAX ? geteuid() : user->uid;
	*ret_gid = config->analyst_gid != UINT32_MAX ? config->analyst_gid
	           : user->gid != UINT32_MAX         ? user->gid
	                                             : getegid();
}

static bool is_given(const struct stat *st, uid_t uid, gid_t gid)
{
	return st->st_uid == uid && st->st_gid == gid && (st->st_mode & 07777) == HISTORY_MODE;
}

/* The historian's own, or it could not write there. */
static int give_history(const struct config *config, int fd, const char *path, struct diag *diag)
{
	struct stat st;
	uid_t uid;
	gid_t gid;

	history_owner(config, &uid, &gid);
	if (fstat(fd, &st) < 0)
		return diag_set(diag, -errno, "state_dir: %s: %s", path, strerror(errno));
	if (is_given(&st, uid, gid))
		return ERR_OK;
	if (fchown(fd, uid, gid) == 0 && fchmod(fd, HISTORY_MODE) == 0)
		return ERR_OK;
	/* One user for everything, who is not in the analysts' group: only he reads, then. */
	if (st.st_uid == uid && !privileges_users())
		return ERR_OK;
	return diag_set(
	    diag, -errno,
	    "state_dir: %s is not the historian's, and cannot be given to it: %s; do it "
	    "as root with: chown -R %u:%u %s && chmod %o %s",
	    path, strerror(errno), uid, gid, path, HISTORY_MODE, path);
}

static int open_history(const struct config *config, int *ret_fd, struct diag *diag)
{
	char path[CONFIG_PATH_MAX + 16];
	CLEANUP(fd_close) int fd = -1;
	int r = ERR_OK;

	snprintf(path, sizeof(path), "%s/history", config->state_dir);
	if (mkdir(path, 0750) < 0 && errno != EEXIST)
		return explain_mkdir(path, "state_dir", errno, diag);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return diag_set(
		    diag, -errno,
		    "state_dir: %s cannot be opened: %s; sallyportd must be in its group, "
		    "or have CAP_DAC_READ_SEARCH",
		    path, strerror(errno));
	r = lock_history(fd, path, diag);
	if (r == 0)
		r = give_history(config, fd, path, diag);
	if (r == 0)
		*ret_fd = fd_take(&fd);
	return r;
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

/* --- looking only ---------------------------------------------------------------------------- */

static void check_place(const char *path, const char *key, struct diag *diag)
{
	char parent[CONFIG_PATH_MAX], theirs[24];
	struct statvfs fs;
	struct stat st;
	char *slash;

	if (stat(path, &st) == 0) {
		/* Root may be asking about what an ordinary user runs, as the unit's keeper is. */
		if (geteuid() == 0 && st.st_uid != 0 && S_ISDIR(st.st_mode))
			diag_add(diag, DIAG_WARNING, "", 0, 0,
			         "%s: %s belongs to %s: sallyportd must run as that user", key,
			         path, user_name(st.st_uid, theirs));
		else if (check_directory(path, &st, key, diag) < 0)
			return; /* said in @diag */
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
	else if (statvfs(parent, &fs) == 0 && (fs.f_flag & ST_RDONLY))
		(void)read_only(path, key, diag); /* said in @diag */
}

void state_check(const struct config *config, struct diag *diag)
{
	check_place(config->state_dir, "state_dir", diag);
	check_place(config->run_dir, "run_dir", diag);
	ledger_file_check(config, diag);
}
