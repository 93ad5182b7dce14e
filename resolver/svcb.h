/* resolver/svcb.h - the data of SVCB and HTTPS records (RFC 9460, section 2.2), uncompressed:
 *
 *   SvcPriority, 2 octets | TargetName | SvcParams: (key, length, value)..., keys ascending
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/prefix.h"

/* Well-formed as section 2.2 and 7 want it: keys strictly ascending, lengths exact, hints whole
 * addresses and not empty, `mandatory` ascending and of keys that are there. 0 or ERR_MALFORMED. */
int svcb_check(const uint8_t *rdata, size_t len) MUST_CHECK;

/* TargetName, borrowed from @rdata; "." (the owner itself) included. @rdata has passed
 * svcb_check(). */
const uint8_t *svcb_target(const uint8_t *rdata);

struct svcb_filter {
	bool internal;         /* not globally reachable addresses may stay */
	bool drop_v4, drop_v6; /* no hint of that family may stay */
};
/* Copy checked @rdata to @out (@len octets of room) without the hints that may not stay. A
 * parameter that loses all its addresses goes whole, from `mandatory`, too. Returns the new length,
 * equal to @len exactly if nothing went. */
size_t svcb_strip(const uint8_t *rdata, size_t len, const struct svcb_filter *filter, uint8_t *out);

/* The addresses in the hints of checked @rdata, at most @cap. Returns their number. */
size_t svcb_addrs(const uint8_t *rdata, size_t len, uint8_t (*ret_addrs)[ADDR_LEN], size_t cap);
