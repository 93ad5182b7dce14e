/* keeper/compile.h - one run of sallyport-compile: policy text in by descriptor, a sealed image
 * out.
 *
 * The text is foreign; the process that reads it holds nothing (policy/compiler_wire.h). It runs
 * beside the loop, and is killed when it takes too long.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "config.h"
#include "sallyport/cleanup.h"

struct compile; /* opaque */

struct compile_feed {
	const char *name, *file;
	int fd;
};
struct compile_text {
	const char *file;
	int fd;
	const struct compile_feed *feeds;
	size_t n_feeds;
};
struct compile_result {
	int image_fd; /* the callback takes it (and sets -1), or it is closed; -1: faults */
	const char *const *lines; /* faults and warnings as they are shown, borrowed */
	size_t n_lines;
};
typedef void compile_done_cb(void *arg, struct compile_result *result);

#define COMPILE_TIMEOUT_MS 180000
#define COMPILE_LINES_MAX 2000 /* kept of one run */

/* Start. All of @text is borrowed for the call only. @done is called once, from the loop, unless
 * compile_cancel() comes first; the compile is gone after it. */
int compile_start(uv_loop_t *loop, const struct config_user *user, const struct compile_text *text,
                  compile_done_cb *done, void *arg, struct compile **ret_compile) MUST_CHECK;
void compile_cancel(struct compile *compile); /* NULL is fine */
/* As child_reaped(). After true the callback has been called and @compile is gone. */
bool compile_reaped(struct compile *compile, pid_t pid, int status);
