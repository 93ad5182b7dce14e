/* fwsync/shim.h - for tests only: stands between the planner and the kernel, and misbehaves.
 *
 * SALLYPORT_TEST_SHIM in the environment of sallyport-fwsync-shim, one of:
 *
 *     hold=MS   the kernel's acknowledgement comes that much later
 *     late=MS   the kernel is asked that much later
 *     swallow   it never comes
 *     errno=N   the kernel is not asked, and refuses everything (1: EPERM, 23: ENFILE)
 *
 * The real program is built without it: tests/e2e/tools/CMakeLists.txt builds this one.
 */
#pragma once

#include <stdbool.h>

#include "kernel.h"

void shim_install(struct kernel *kernel); /* reads the environment, once */
bool shim_swallows(void);
