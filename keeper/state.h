/* keeper/state.h - the directories on disk: made if they are not there, locked, with the owners
 * that the roles need.
 *
 *   state_dir/            0755  the keeper's user   policy.db (0600), lock, history/
 *   state_dir/history/    2750  the historian's user, the analyst group
 *   run_dir/              0755  the keeper's user   control.sock, ledger (0600: ledger_file.h)
 *
 * Root gives history/ to the historian; a keeper that may not (no CAP_CHOWN) wants it to be so.
 */
#pragma once

#include <stdbool.h>

#include "config.h"
#include "sallyport/cleanup.h"
#include "sallyport/diag.h"

/* Make and lock. @ret_lock_fd holds the lock while it is open: a second daemon is refused. Faults
 * go into @diag with their remedy. */
int state_open(const struct config *config, int *ret_lock_fd, int *ret_history_fd,
               struct diag *diag) MUST_CHECK;
/* What `--check` can say without making anything. */
void state_check(const struct config *config, struct diag *diag);
/* Does a running sallyportd hold the lock? Its death, of whatever kind, releases it. */
bool state_in_use(const struct config *config);
