#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "sallyport/err.h"
#include "text.h"

static int write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return ERR_OK;
}

/* Copy what @from yields into memory; returns a descriptor of the copy, or an error. */
static int spool(int from, size_t max)
{
	CLEANUP(fd_close) int copy = memfd_create("sallyport-input", MFD_CLOEXEC);
	char buf[65536];
	size_t total = 0;

	if (copy < 0)
		return -errno;
	for (;;) {
		ssize_t n = read(from, buf, sizeof(buf));
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		total += (size_t)n;
		if (total > max)
			return ERR_LIMIT;
		r = write_all(copy, buf, (size_t)n);
		if (r < 0)
			return r;
	}
	if (lseek(copy, 0, SEEK_SET) < 0)
		return -errno;
	return fd_take(&copy);
}

int file_open(const char *path, size_t max)
{
	CLEANUP(fd_close) int fd = -1;
	bool input = strcmp(path, "-") == 0;
	struct stat st;

	if (input)
		return spool(STDIN_FILENO, max);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode) || st.st_size == 0) /* files of /proc say 0 */
		return spool(fd, max);
	if (st.st_size < 0 || (uintmax_t)st.st_size > max)
		return ERR_LIMIT;
	return fd_take(&fd);
}

int file_read_fd(int fd, size_t max, struct file_text *ret_text)
{
	CLEANUP(file_text_fini) struct file_text text = { 0 };
	struct stat st;
	size_t cap;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < 0 || (uintmax_t)st.st_size > max)
		return ERR_LIMIT;
	cap = (size_t)st.st_size + 1;
	text.data = malloc(cap);
	if (!text.data)
		return ERR_NOMEM;
	for (;;) {
		ssize_t n = pread(fd, text.data + text.len, cap - text.len, (off_t)text.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		text.len += (size_t)n;
		if (text.len == cap) /* it grew since fstat(): what we hold may be half a line */
			return -EBUSY;
	}
	text.data[text.len] = '\0';
	ret_text->len = text.len;
	ret_text->data = TAKE(text.data);
	return ERR_OK;
}

int file_replace(const char *path, const char *data, size_t len)
{
	CLEANUP(free) char *beside = text_format("%s.XXXXXX", path);
	CLEANUP(fd_close) int fd = -1;
	mode_t mask = umask(0);
	struct stat st;
	int r;

	umask(mask);
	if (!beside)
		return ERR_NOMEM;
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return ERR_INVAL;
	fd = mkostemp(beside, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = fchmod(fd, 0666 & ~mask) < 0 ? -errno : write_all(fd, data, len);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && rename(beside, path) < 0)
		r = -errno;
	if (r < 0)
		unlink(beside);
	return r;
}

int file_read(const char *path, size_t max, struct file_text *ret_text)
{
	CLEANUP(fd_close) int fd = file_open(path, max);

	return fd < 0 ? fd : file_read_fd(fd, max, ret_text);
}

char *file_beside(const char *beside, const char *name)
{
	const char *slash = strrchr(beside, '/');

	if (name[0] == '/' || !slash)
		return strdup(name);
	return text_format("%.*s%s", (int)(slash + 1 - beside), beside, name);
}
