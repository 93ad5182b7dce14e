/* fwsync/selftest.h - what this kernel really does with timed elements, tried on a scratch table.
 *
 * Versions lie (backports, lockdown, other vendors), so nothing is assumed: a way of renewing must
 * lengthen, shorten, and renew with the same timeout; and an element must be gone when its time is
 * over. What it takes for true it has measured with its own clock, so a busy machine makes it slow
 * and never makes a sound kernel look unfit.
 */
#pragma once

#include <stdint.h>

#include "sallyport/cleanup.h"

#include "elements.h"
#include "nl.h"

/* An element was made before made_ms for life_ms, and made again for as long after again_ms; what
 * was left of it was asked between asked_ms and told_ms. Was it renewed? */
struct selftest_try {
	uint64_t made_ms, again_ms, asked_ms, told_ms, life_ms, left_ms;
};
enum selftest_word {
	SELFTEST_NO,
	SELFTEST_YES,
	SELFTEST_UNCLEAR, /* we were held up so long that either would look the same */
};
enum selftest_word selftest_judge(const struct selftest_try *try);

/* Returns 0, ERR_FIREWALL (an element does not expire, or no way renews) or -errno. Takes at most
 * two seconds, usually 60 ms. */
int selftest(struct nl *nl, enum renew_way *ret_way) MUST_CHECK;
