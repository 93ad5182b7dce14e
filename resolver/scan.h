/* resolver/scan.h - the strict pre-scan of a message from an upstream, before ldns sees it.
 *
 * Names: compression pointers only backwards, at most LIMIT_MSG_HOPS_NAME in one name and
 * LIMIT_MSG_HOPS in the message, at most 255 octets; records: counts of the header met exactly,
 * RDLENGTH inside the message, names inside RDATA of the types that may be compressed checked too;
 * at most LIMIT_MSG_RECORDS records, LIMIT_RRSET_RECORDS of one type in a row, and one OPT; nothing
 * behind the last record.
 * Costs one pass, linear in the length.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"

/* Returns 0, ERR_MALFORMED or ERR_LIMIT. */
int scan_message(const uint8_t *msg, size_t len) MUST_CHECK;
