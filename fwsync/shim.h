/* fwsync/shim.h - for tests only: stands between the planner and the kernel, and misbehaves.
 *
 * SALLYPORT_TEST_SHIM in the environment of sallyport-fwsync-shim:
 *     hold=MS      the kernel's acknowledgement comes that much later
 *     swallow      it never comes
 *     errno=N      the kernel refuses everything with that error (1 EPERM, 23 ENFILE); it is not
 * asked The real program is built without any of it.
 */
#pragma once

#include <stdbool.h>

#include "kernel.h"

void shim_install(struct kernel *kernel); /* reads the environment, once */
bool shim_swallows(void);
