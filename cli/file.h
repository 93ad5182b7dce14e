/* file.h - whole files in memory, with the caller's rights and a bound. */
#pragma once

#include <stddef.h>

#include "sallyport/cleanup.h"

struct file_text {
	char *data; /* owned; a zero octet stands behind the last one */
	size_t len;
};

static inline void file_text_fini(struct file_text *text)
{
	free(text->data);
	text->data = NULL;
	text->len = 0;
}
static inline void file_text_fini_cleanup(struct file_text *text)
{
	file_text_fini(text);
}

/* Open for reading; "-" is standard input, copied into memory so that it can be read twice. Pipes
 * and terminals are copied, too. Returns a descriptor at offset 0, ERR_LIMIT (over @max octets) or
 * -errno (-EISDIR for a directory). */
int file_open(const char *path, size_t max) MUST_CHECK;

/* Read all of @fd from offset 0, without moving its offset. Returns 0, ERR_LIMIT, ERR_NOMEM or
 * -errno. */
int file_read_fd(int fd, size_t max, struct file_text *ret_text) MUST_CHECK;

/* Put @len octets in place of the file at @path, whole or not at all: a file beside it becomes it.
 * Returns 0, ERR_INVAL (what is there is no file: /dev/null is not replaced), ERR_NOMEM or -errno.
 */
int file_replace(const char *path, const char *data, size_t len) MUST_CHECK;

int file_read(const char *path, size_t max, struct file_text *ret_text) MUST_CHECK;

/* @name as seen from the directory that @beside lies in, or itself when absolute. NULL: no memory.
 */
char *file_beside(const char *beside, const char *name);
