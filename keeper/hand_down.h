/* keeper/hand_down.h - what each role is given, at its start and after a reload: configuration,
 * sockets, shared memory, over its channel (sallyport/role.h), ended by END.
 */
#pragma once

#include "child.h"
#include "sallyport/cleanup.h"

struct keeper;

/* Queue everything for @child. Returns 0 or the first error of sending. */
int hand_down(struct keeper *keeper, struct child *child) MUST_CHECK;
