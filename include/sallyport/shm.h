/* sallyport/shm.h - shared memory between the roles: memfds that the keeper makes and seals.
 *
 * A memfd made here can neither shrink nor grow (F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL), so no
 * reader can be killed by SIGBUS; one that is written once and then only read is sealed against
 * writing as well. A reader that must not write gets a descriptor opened read-only.
 */
#pragma once

#include <stddef.h>

#include "sallyport/cleanup.h"

/* @len zero octets, shared and writable. Returns a descriptor or -errno. */
int shm_create(const char *label, size_t len);
/* A copy of @data, sealed against every change. Returns a descriptor or -errno. */
int shm_create_sealed(const char *label, const void *data, size_t len);
/* Seal what another process filled: size and content (F_SEAL_WRITE fails with EBUSY while somebody
 * still has it mapped writable). Returns 0 or -errno. */
int shm_seal(int fd);
/* A second descriptor of the same memory that can only be mapped read-only. */
int shm_reopen_readonly(int fd);

enum shm_access { SHM_READ, SHM_WRITE };
/* Map all of @fd. Returns 0, ERR_DAMAGED (not a memfd sealed against shrinking, or shorter than
 * @min_len) or -errno. Unmap with munmap(*ret_data, *ret_len). */
int shm_map(int fd, enum shm_access access, size_t min_len, void **ret_data,
            size_t *ret_len) MUST_CHECK;
