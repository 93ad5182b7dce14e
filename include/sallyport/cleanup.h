/* sallyport/cleanup.h - release at the end of the scope, and a few words used everywhere.
 *
 * Usage: CLEANUP(db_txn_free) struct db_txn *txn = NULL;
 * Initialise on the declaration line; use it for what the scope owns. What an event loop holds is
 * released in its close callback instead.
 */
#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(func) __attribute__((cleanup(func##_cleanup)))
#define DEFINE_CLEANUP(type, func)                                                                 \
	static inline void func##_cleanup(type *p)                                                 \
	{                                                                                          \
		if (*p)                                                                            \
			func(*p);                                                                  \
	}

static inline void free_cleanup(void *p)
{
	free(*(void **)p);
}

/* A descriptor that the scope owns; -1 is "none". Usage: CLEANUP(fd_close) int fd = -1; */
static inline void fd_close_cleanup(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* Hand the content of @ptr to the caller and leave NULL behind. */
#define TAKE(ptr)                                                                                  \
	__extension__({                                                                            \
		__typeof__(ptr) take_ = (ptr);                                                     \
		(ptr) = NULL;                                                                      \
		take_;                                                                             \
	})

static inline int fd_take(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define UNUSED __attribute__((unused))

#ifndef MIN /* uv.h brings the same two through sys/param.h */
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#endif
