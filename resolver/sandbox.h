/* resolver/sandbox.h - what the resolver gives up: root, user, capabilities and nearly all system
 * calls. What it keeps is the network of two families, its memory, its threads and its clocks.
 */
#pragma once

#include "sallyport/cleanup.h"
#include "sallyport/role.h"

/* Before the first thread, after everything that opens files (libsodium, the loops). */
int sandbox_enter(const struct conf_common *common) MUST_CHECK;
