/* tests/unit/validator/faults.h - what an attacker, a broken server or a careless operator does to
 * an answer. One line each:
 *
 *     empty | lost                          nothing in it; no answer at all
 *     strip                                 no RRSIG, NSEC, NSEC3: a server that knows no DNSSEC
 *     drop OWNER TYPE                       an RRset and its signatures
 *     unsign OWNER TYPE                     its signatures alone
 *     bare OWNER TYPE                       its records alone: the signatures stay
 *     spoof RECORD                          this record instead of the RRset's; signatures stay
 *     add answer|authority RECORD           one more record
 *     sig OWNER TYPE FIELD=VALUE...         fields of its signatures changed, not signed again
 *     resign OWNER TYPE FIELD=VALUE...      signed with these fields, by zone=NAME (default: the
 *                                           signer's), key=N of it (default: the first that may)
 *     rename OWNER TYPE NEW                 the RRset moved to another name
 *     ttl OWNER TYPE N
 *     garble OWNER TYPE                     one octet of its first record changed
 *     flood OWNER TYPE N                    N more signatures, which are noise
 *     many OWNER TYPE N                     N more records (of 8 octets, or addresses)
 *     upper | reverse | double              owners and signers in upper case; rows in reverse
 *                                           order; each row twice
 *     answer NAME TYPE                      the answer to another question instead
 *     merge NAME TYPE                       the records of another answer as well
 *     child                                 what the zone of that name itself says
 *     rcode N
 *
 * FIELD: labels tag algorithm ottl inception expiration (both from the base time) signer covered
 * owner (signed name) flip (of the signature's octets). OWNER may be * for every name.
 */
#pragma once

#include "zone.h"

/* Apply one line to the answer to @name and @type. NULL, or what is wrong with the line. */
const char *fault_apply(struct world *world, const char *line, const uint8_t *name, uint16_t type,
                        struct answer *answer);
