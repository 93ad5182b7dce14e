/* keeper/ledger_file.h - the ledger as a file in run_dir, so that it outlives the keeper.
 *
 *   run_dir/ledger   0600, the keeper's user; as long as its kernel is up and its tmpfs mounted
 *
 * Only the keeper knows its name. Roles get a descriptor, map it and close it before they confine
 * themselves; after that nothing in a role's reach can change the file's length or take pages from
 * it (confine.c refuses the system calls), so no reader dies of SIGBUS.
 *
 * The lock belongs to the open file, which fwsync's mapping holds: who gets it knows that an
 * earlier keeper and its fwsync are gone.
 */
#pragma once

#include <stdbool.h>

#include "config.h"
#include "sallyport/cleanup.h"
#include "sallyport/diag.h"

/* Open what an earlier keeper left (*ret_found), or make it anew when there is none, or none of
 * this kernel and network namespace, or none that is sound. Room for @n_rows rows at least.
 *
 * Where run_dir is not on a tmpfs the ledger is memory that dies with the keeper; @diag warns.
 * Returns a descriptor, or an error that @diag tells. */
int ledger_file_open(const struct config *config, uint32_t n_rows, bool *ret_found,
                     struct diag *diag) MUST_CHECK;
/* What `--check` can say. */
void ledger_file_check(const struct config *config, struct diag *diag);
