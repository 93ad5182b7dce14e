/* fwsync/nat.h - other people's address translation, which untracked DNS goes past. */
#pragma once

#include "sallyport/cleanup.h"

#include "nl.h"

#define NAT_NAME_MAX 160 /* "ip6 TABLE CHAIN", cut if longer */

/* The first base chain of type nat at prerouting or output, in whoever's table: its family, table
 * and name. Returns 1, 0 (there is none) or -errno. */
int nat_find(struct nl *nl, char ret_name[static NAT_NAME_MAX]) MUST_CHECK;
