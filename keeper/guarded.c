/* keeper/guarded.c - one small file, replaced whole. */
#include "guarded.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sallyport/err.h"
#include "sallyport/guard_table.h"
#include "sallyport/shm.h"

#define BYTES_MAX (64 << 20) /* three million prefixes */

static void path_of(const struct config *config, const char *suffix,
                    char ret_path[static CONFIG_PATH_MAX + 32])
{
	snprintf(ret_path, CONFIG_PATH_MAX + 32, "%s/guarded%s", config->state_dir, suffix);
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

int guarded_save(const struct config *config, const void *table)
{
	const struct guard_table *from = table;
	size_t len = sizeof(*from) + from->guarded.count * sizeof(struct guard_prefix);
	char path[CONFIG_PATH_MAX + 32], next[CONFIG_PATH_MAX + 32];
	CLEANUP(free) struct guard_table *to = calloc(1, len);
	CLEANUP(fd_close) int fd = -1;
	int r;

	if (!to)
		return ERR_NOMEM;
	*to = (struct guard_table){ .magic = GUARD_MAGIC,
		                    .version = GUARD_VERSION,
		                    .len = (uint32_t)len,
		                    .guarded = { sizeof(*to), from->guarded.count } };
	memcpy(to + 1, (const uint8_t *)table + from->guarded.offset, len - sizeof(*to));
	path_of(config, "", path);
	path_of(config, ".next", next);
	fd = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = write_all(fd, (const uint8_t *)to, len);
	if (r == 0 && rename(next, path) < 0)
		r = -errno;
	return r;
}

/* A whole file of @len octets, however many reads it takes. */
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

int guarded_load(const struct config *config)
{
	char path[CONFIG_PATH_MAX + 32];
	CLEANUP(fd_close) int fd = -1;
	CLEANUP(free) void *data = NULL;
	struct stat st;
	int r;

	if (config->fwsync.n_prefixes > 0 || config->fwsync.n_interfaces > 0)
		return ERR_NOENT;
	path_of(config, "", path);
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? ERR_NOENT : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > BYTES_MAX)
		return ERR_DAMAGED;
	data = malloc((size_t)st.st_size);
	if (!data)
		return ERR_NOMEM;
	r = read_all(fd, data, (size_t)st.st_size);
	if (r == 0)
		r = guard_table_check(data, (size_t)st.st_size);
	if (r == 0 && ((const struct guard_table *)data)->policy_version != 0)
		r = ERR_DAMAGED;
	return r < 0 ? r : shm_create_sealed("sallyport-guard", data, (size_t)st.st_size);
}
