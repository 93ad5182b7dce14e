#include "whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sallyport/err.h"

enum { NAME_LEN = 64 };

static int open_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int write_all(int fd, const uint8_t *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return fsync(fd) < 0 ? -errno : ERR_OK;
}

int whole_file_write(const char *dir, const char *name, const void *data, size_t len)
{
	CLEANUP(fd_close) int at = open_dir(dir);
	CLEANUP(fd_close) int fd = -1;
	char next[NAME_LEN];
	int r;

	if (at < 0)
		return at;
	snprintf(next, sizeof(next), "%s.next", name);
	fd = openat(at, next, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = write_all(fd, data, len);
	if (r == 0 && renameat(at, next, at, name) < 0)
		r = -errno;
	if (r == 0 && fsync(at) < 0)
		r = -errno;
	return r;
}

static int read_all(int fd, uint8_t *data, size_t len)
{
	size_t at = 0;

	while (at < len) {
		ssize_t n = read(fd, data + at, len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : ERR_DAMAGED;
		at += (size_t)n;
	}
	return ERR_OK;
}

int whole_file_read(const char *dir, const char *name, size_t max, void **ret_data, size_t *ret_len)
{
	CLEANUP(fd_close) int at = open_dir(dir);
	CLEANUP(fd_close) int fd = -1;
	CLEANUP(free) void *data = NULL;
	struct stat st;
	int r;

	if (at < 0)
		return at;
	fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? ERR_NOENT : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || (uint64_t)st.st_size > max)
		return ERR_DAMAGED;
	data = malloc((size_t)st.st_size);
	if (!data)
		return ERR_NOMEM;
	r = read_all(fd, data, (size_t)st.st_size);
	if (r < 0)
		return r;
	*ret_data = TAKE(data);
	*ret_len = (size_t)st.st_size;
	return ERR_OK;
}

int whole_file_set_aside(const char *dir, const char *name, uint64_t now_s)
{
	CLEANUP(fd_close) int at = open_dir(dir);
	char aside[NAME_LEN + 32];

	if (at < 0)
		return at;
	snprintf(aside, sizeof(aside), "%s.damaged-%" PRIu64, name, now_s);
	return renameat(at, name, at, aside) < 0 ? -errno : ERR_OK;
}
