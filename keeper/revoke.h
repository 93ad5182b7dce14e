/* keeper/revoke.h - which open pinholes have no reason any more under a new policy.
 *
 * Each row of the ledger is judged again: the workload of its source in the new image (or of the
 * listener that was asked, where no source named the client then nor does now), the name that was
 * asked and each target of the chain, for the type of the destination's family; then the
 * port, DNSSEC, and whether the address may be internal. What cannot be judged is closed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/image.h"
#include "sallyport/cleanup.h"
#include "sallyport/ledger.h"
#include "sallyport/role.h"

/* The listener at which was asked, when the client was known by that: borrowed from @reason; else
 * NULL. *ret_len: so many octets of its names are no name. */
const uint8_t *revoke_listener(const struct ledger_reason *reason, size_t *ret_len);

/* Whose row it is under @image; POLICY_NONE: nobody's any more. */
uint32_t revoke_workload(const struct policy_image *image, const struct ledger_row *row,
                         const struct ledger_reason *reason);

/* Does the row still have its reason? Pure; for one row. */
bool revoke_row_stands(const struct policy_image *image, const struct resolver_conf *conf,
                       uint64_t now_s, const struct ledger_row *row,
                       const struct ledger_reason *reason);

/* The rows to close; the caller frees *ret_rows. @image NULL: all of them. @trusted: rows that this
 * policy version has judged stand (0: every row is judged). Returns 0 or ERR_NOMEM. */
int revoke_list(const struct ledger *ledger, const struct policy_image *image,
                const struct resolver_conf *conf, uint64_t now_s, uint32_t trusted,
                struct role_close_row **ret_rows, size_t *ret_n) MUST_CHECK;
