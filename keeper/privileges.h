/* keeper/privileges.h - the capabilities that the keeper keeps, as root or as a user that was given
 * them (AmbientCapabilities= of a unit).
 *
 *   SETUID, SETGID, SETPCAP   a role's user, and its empty bounding set
 *   SYS_CHROOT                a role's root; without it Landlock does that
 *   NET_ADMIN                 the firewall's socket, which fwsync inherits; large socket buffers
 *   NET_BIND_SERVICE          port 53, also one that a reload adds
 *   KILL                      ending a role that hangs, for it is another user's
 *   DAC_READ_SEARCH           history/, when it is not shared with the keeper's group
 */
#pragma once

#include <stdbool.h>

#include "sallyport/cleanup.h"
#include "sallyport/diag.h"

/* Has this process the capability @cap (CAP_*) in effect? */
bool privileges_have(int cap);
/* Can it run roles as other users? */
bool privileges_users(void);
/* Give up all but those above, for us and for whom we start; no new ones either. Returns 0 or an
 * error in @diag. */
int privileges_drop(struct diag *diag) MUST_CHECK;
