/* sallyport/confine.h - how a role gives up what it does not need, after END and before READY.
 *
 * Order: own empty root (chroot to an unlinked directory that the keeper made its working
 * directory, or Landlock where chroot is not permitted), groups and uid, capabilities (all but the
 * named one, bounding set included), PR_SET_NO_NEW_PRIVS, not dumpable, seccomp filter
 * (libseccomp; default action: kill the process). A step that fails is an error: no role runs half
 * confined.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "sallyport/cleanup.h"

enum confine_flag {
	CONFINE_ROOT_FD = 1, /* the new root is the directory root_fd (the historian's history/) */
};

struct confine_option {
	int level, name; /* of setsockopt(2) */
};

struct confine {
	const char *role; /* for errors */
	uid_t uid;        /* (uid_t)-1: stay */
	gid_t gid;
	int root_fd; /* with CONFINE_ROOT_FD; else an empty directory is made and removed */
	unsigned int flags;
	int keep_cap; /* a CAP_* to keep (fwsync: CAP_NET_ADMIN), or -1 for none */
	/* Allowed system calls, libseccomp numbers (SCMP_SYS), ends with -1. Of some only a
	 * harmless form is: no executable memory, no processes, no signals to others by tgkill() or
	 * fcntl(), of ioctl() only FIONBIO, no set-user-id files. */
	const int *syscalls;
	/* For socket(2), TCP and UDP: allowed address families, ends with -1; NULL: none. */
	const int *socket_families;
	/* For setsockopt(2), if that is listed: ends with level -1; NULL: none. */
	const struct confine_option *socket_options;
};

/* Do all of it for the calling process (every thread comes after). Returns 0 or an error that has
 * been logged. */
int confine_self(const struct confine *confine) MUST_CHECK;
