/* fwsync/selftest.h - what this kernel really does with timed elements, tried on a scratch table.
 *
 * Versions lie (backports, lockdown, other vendors), so nothing is assumed: a way of renewing must
 * lengthen, shorten, and renew with the same timeout; and an element must be gone when its time is
 * over.
 */
#pragma once

#include "sallyport/cleanup.h"

#include "elements.h"
#include "nl.h"

/* Returns 0, ERR_FIREWALL (an element does not expire, or no way renews) or -errno. Takes at most
 * two seconds, usually 30 ms. */
int selftest(struct nl *nl, enum renew_way *ret_way) MUST_CHECK;
