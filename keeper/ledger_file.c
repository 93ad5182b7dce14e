/* keeper/ledger_file.c - find the ledger of an earlier keeper, or make one. */
#include "ledger_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "sallyport/boot.h"
#include "sallyport/err.h"
#include "sallyport/ledger.h"
#include "sallyport/log.h"

#define TAG "ledger"
#define NAME "ledger"
#define NAME_NEW "ledger.new"
#define WAIT_MS 3000 /* for an earlier fwsync that is being killed */

static struct ledger_origin origin_now(void)
{
	struct ledger_origin origin = { .netns = 0 };
	struct boot boot;
	struct stat st;

	/* A tmpfs does not survive its kernel anyway: not to know is no fault. */
	boot_read(&boot);
	memcpy(origin.boot_id, boot.id, sizeof(origin.boot_id));
	if (stat("/proc/self/ns/net", &st) == 0)
		origin.netns = st.st_ino;
	return origin;
}

static bool same_origin(const struct ledger_origin *a, const struct ledger_origin *b)
{
	static const uint8_t unknown[16];

	return a->netns == b->netns &&
	       (memcmp(a->boot_id, b->boot_id, 16) == 0 || memcmp(a->boot_id, unknown, 16) == 0 ||
	        memcmp(b->boot_id, unknown, 16) == 0);
}

static int lock(int fd, const struct config *config, struct diag *diag)
{
	const struct timespec step = { .tv_nsec = 20000000 };

	for (int i = 0; i < WAIT_MS / 20; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return ERR_OK;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return diag_set(diag, -errno, "run_dir: %s/" NAME " cannot be locked: %s",
			                config->run_dir, strerror(errno));
		nanosleep(&step, NULL);
	}
	return diag_set(diag, ERR_EXIST,
	                "run_dir: %s/" NAME " is in use by another sallyportd; stop it, or name "
	                "another run_dir",
	                config->run_dir);
}

/* Why an open file is of no use, or NULL. */
static const char *fault_of(int fd, const struct ledger_origin *origin)
{
	struct ledger_head head;
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1)
		return "it is not a file of one name";
	if (st.st_uid != geteuid() || (st.st_mode & 077) != 0)
		return "others may write or read it";
	if (pread(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head) ||
	    !ledger_head_ok(&head, (size_t)st.st_size))
		return "it is damaged, or another version's";
	if (!same_origin(&head.origin, origin))
		return "it tells of another boot or another network namespace";
	return NULL;
}

/* A new, empty, locked file without its name yet. */
static int make(int dir, const struct config *config, uint32_t n_rows,
                const struct ledger_origin *origin, struct diag *diag)
{
	CLEANUP(fd_close) int fd = -1;
	struct ledger ledger = { 0 };
	struct ledger_head *head;
	size_t len = ledger_bytes(n_rows), page = (size_t)sysconf(_SC_PAGESIZE);

	if (unlinkat(dir, NAME_NEW, 0) < 0 && errno != ENOENT)
		return diag_set(diag, -errno, "run_dir: %s/" NAME_NEW " is in the way: %s",
		                config->run_dir, strerror(errno));
	fd = openat(dir, NAME_NEW, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)len) < 0 || posix_fallocate(fd, 0, (off_t)page) != 0)
		return diag_set(diag, fd < 0 ? -errno : -ENOSPC,
		                "run_dir: %s/" NAME " cannot be made: %s", config->run_dir,
		                strerror(fd < 0 ? errno : ENOSPC));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return diag_set(diag, -errno, "run_dir: %s/" NAME " cannot be locked: %s",
		                config->run_dir, strerror(errno));
	head = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (head == MAP_FAILED)
		return diag_set(diag, -errno, "run_dir: %s/" NAME " cannot be mapped: %s",
		                config->run_dir, strerror(errno));
	/* A kernel that cannot be asked for pages (before 5.14): all of them now. */
	if (madvise(head, page, MADV_POPULATE_WRITE) < 0 && errno == EINVAL &&
	    posix_fallocate(fd, 0, (off_t)len) != 0) {
		munmap(head, page);
		return diag_set(diag, -ENOSPC, "run_dir: %s has no room for a ledger of %zu octets",
		                config->run_dir, len);
	}
	ledger_init(&ledger, head, n_rows);
	head->origin = *origin;
	munmap(head, page);
	return fd_take(&fd);
}

static int give_name(int dir, const struct config *config, struct diag *diag)
{
	if (renameat(dir, NAME_NEW, dir, NAME) < 0)
		return diag_set(diag, -errno, "run_dir: %s/" NAME " cannot be replaced: %s",
		                config->run_dir, strerror(errno));
	return ERR_OK;
}

/* The same rows in a larger file. */
static int grow(int dir, const struct config *config, int old_fd, uint32_t n_rows,
                const struct ledger_origin *origin, struct diag *diag)
{
	CLEANUP(fd_close) int fd = make(dir, config, n_rows, origin, diag);
	struct ledger old = { 0 }, new = { 0 };
	int r;

	if (fd < 0)
		return fd_take(&fd);
	r = ledger_open(&old, old_fd, 0);
	if (r == 0)
		r = ledger_open(&new, fd, 1);
	if (r == 0)
		r = ledger_copy(&new, &old);
	ledger_close(&old);
	ledger_close(&new);
	if (r < 0)
		return diag_set(diag, r, "run_dir: %s/" NAME " cannot be made larger: %s",
		                config->run_dir, err_str(r));
	r = give_name(dir, config, diag);
	return r < 0 ? r : fd_take(&fd);
}

static bool wide_enough(int fd, uint32_t n_rows)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (size_t)st.st_size >= ledger_bytes(n_rows);
}

static int open_or_make(int dir, const struct config *config, uint32_t n_rows, bool *ret_found,
                        struct diag *diag)
{
	const struct ledger_origin origin = origin_now();
	CLEANUP(fd_close) int fd = openat(dir, NAME, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	CLEANUP(fd_close) int made = -1;
	const char *fault;
	int r;

	*ret_found = false;
	if (fd < 0 && errno != ENOENT && errno != ELOOP && errno != ENXIO && errno != EISDIR)
		return diag_set(diag, -errno, "run_dir: %s/" NAME " cannot be opened: %s",
		                config->run_dir, strerror(errno));
	fault = fd < 0 && errno != ENOENT ? "it is not a file" : NULL;
	if (fd >= 0) {
		r = lock(fd, config, diag);
		if (r < 0)
			return r;
		fault = fault_of(fd, &origin);
	}
	if (fd >= 0 && !fault) {
		*ret_found = true;
		if (wide_enough(fd, n_rows))
			return fd_take(&fd);
		return grow(dir, config, fd, n_rows, &origin, diag);
	}
	if (fault)
		log_warning(TAG, "%s/" NAME " is made anew: %s", config->run_dir, fault);
	made = make(dir, config, n_rows, &origin, diag);
	if (made < 0)
		return fd_take(&made);
	r = give_name(dir, config, diag);
	return r < 0 ? r : fd_take(&made);
}

static bool on_tmpfs(int dir)
{
	struct statfs fs;

	return fstatfs(dir, &fs) == 0 &&
	       ((uint32_t)fs.f_type == TMPFS_MAGIC || (uint32_t)fs.f_type == RAMFS_MAGIC);
}

static void warn_disk(const struct config *config, struct diag *diag)
{
	diag_add(diag, DIAG_WARNING, config->file, 0, 0,
	         "run_dir: %s is not on a tmpfs: after a restart nobody knows which pinholes stand "
	         "open and why; name a folder below /run",
	         config->run_dir);
}

int ledger_file_open(const struct config *config, uint32_t n_rows, bool *ret_found,
                     struct diag *diag)
{
	CLEANUP(fd_close)
	int dir = open(config->run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	*ret_found = false;
	if (dir < 0)
		return diag_set(diag, -errno, "run_dir: %s cannot be opened: %s", config->run_dir,
		                strerror(errno));
	if (!on_tmpfs(dir)) {
		warn_disk(config, diag);
		return ledger_create(n_rows);
	}
	return open_or_make(dir, config, n_rows, ret_found, diag);
}

void ledger_file_check(const struct config *config, struct diag *diag)
{
	CLEANUP(fd_close) int dir = open(config->run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	/* What is not there yet is made at the start; its parent decides, and says so then. */
	if (dir >= 0 && config->resolver.firewall != FIREWALL_NONE && !on_tmpfs(dir))
		warn_disk(config, diag);
}
