/* keeper/whole_file.h - a small file of the state directory, written and read whole.
 *
 * A reader finds the old content or the new one, whatever dies in between: a new file beside it, on
 * the disk before it takes the old one's name.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"

/* Replace @dir/@name (mode 0600). Returns 0 or -errno; the old file is then as it was. */
int whole_file_write(const char *dir, const char *name, const void *data, size_t len) MUST_CHECK;
/* Read it; *ret_data is the caller's, to be freed. Returns 0, ERR_NOENT, ERR_DAMAGED (empty, larger
 * than @max, or no file), ERR_NOMEM or -errno. */
int whole_file_read(const char *dir, const char *name, size_t max, void **ret_data,
                    size_t *ret_len) MUST_CHECK;
/* Rename it to NAME.damaged-@now_s. Returns 0 or -errno. */
int whole_file_set_aside(const char *dir, const char *name, uint64_t now_s) MUST_CHECK;
