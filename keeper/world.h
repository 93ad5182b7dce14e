/* keeper/world.h - what a start meets on this machine besides the configuration's own faults: whom
 * it runs as, its directories, descriptors, ports, the kernel. Each fault says what would help.
 *
 * A start asks each where it matters; `--check` asks them all, and makes nothing.
 */
#pragma once

#include "config.h"
#include "sallyport/cleanup.h"
#include "sallyport/diag.h"

/* All of it, for --check. */
void world_check(const struct config *config, struct diag *diag);

/* Roles as other users, and as root. */
int world_check_user(const struct config *config, struct diag *diag) MUST_CHECK;
/* Enough descriptors for the keeper, and for what the resolver is allowed. */
int world_check_files(const struct config *config, struct diag *diag) MUST_CHECK;
/* @netlink: a NETLINK_NETFILTER socket, or the error that opening one gave. Does the kernel know
 * nf_tables, and may we? */
int world_check_firewall(int netlink, struct diag *diag) MUST_CHECK;
