/* include/lib/shm.c - sealed shared memory. */
#include "sallyport/shm.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "sallyport/err.h"

static int create(const char *label, size_t len)
{
	CLEANUP(fd_close) int fd = memfd_create(label, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)len) < 0)
		return -errno;
	return fd_take(&fd);
}

int shm_create(const char *label, size_t len)
{
	CLEANUP(fd_close) int fd = create(label, len);

	if (fd < 0)
		return fd_take(&fd);
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	return fd_take(&fd);
}

int shm_seal(int fd)
{
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		return -errno;
	return ERR_OK;
}

int shm_create_sealed(const char *label, const void *data, size_t len)
{
	CLEANUP(fd_close) int fd = create(label, 0);
	const uint8_t *p = data;
	int r;

	if (fd < 0)
		return fd_take(&fd);
	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	r = shm_seal(fd);
	return r < 0 ? r : fd_take(&fd);
}

int shm_reopen_readonly(int fd)
{
	char path[32];
	int copy;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	copy = open(path, O_RDONLY | O_CLOEXEC);
	return copy < 0 ? -errno : copy;
}

int shm_map(int fd, enum shm_access access, size_t min_len, void **ret_data, size_t *ret_len)
{
	int seals = fcntl(fd, F_GET_SEALS);
	int prot = access == SHM_WRITE ? PROT_READ | PROT_WRITE : PROT_READ;
	struct stat st;
	void *data;

	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) < 0)
		return ERR_DAMAGED;
	if (st.st_size <= 0 || (size_t)st.st_size < min_len)
		return ERR_DAMAGED;
	data = mmap(NULL, (size_t)st.st_size, prot, MAP_SHARED, fd, 0);
	if (data == MAP_FAILED)
		return -errno;
	*ret_data = data;
	*ret_len = (size_t)st.st_size;
	return ERR_OK;
}
