/* val_canon.h - the canonical form of RRsets (RFC 4034, section 6): what a signature is over. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "val_message.h"

/* An RRset in canonical form and order, duplicates removed (RFC 4034, section 6.3). */
struct val_canon;

/* Returns 0, ERR_NOMEM, ERR_MALFORMED (RDATA breaks its type's format) or ERR_LIMIT (more than
 * LIMIT_RRSET_RECORDS records). */
int val_canon_make(const struct val_set *set, struct val_canon **ret_canon) MUST_CHECK;
void val_canon_free(struct val_canon *canon); /* NULL is fine */
DEFINE_CLEANUP(struct val_canon *, val_canon_free)

/* The octets that @sig signs (RFC 4034, section 3.1.8.1): its own RDATA without the signature and
 * with the signer in lower case, then each record under the owner that the Labels field names, with
 * the original TTL. Borrowed from @canon until the next call. Returns the length; 0: the Labels
 * field does not fit the owner (RFC 4035, section 5.3.2). */
size_t val_canon_signed(struct val_canon *canon, const struct val_rdata *rdata,
                        const struct val_sig *sig, const uint8_t **ret_octets);

/* One record's RDATA with the names in it in lower case (RFC 4034, section 6.2, with the list of
 * RFC 6840, section 5.1). @out holds @len octets and may be @rdata. */
int val_canon_rdata(uint16_t type, const uint8_t *rdata, size_t len, uint8_t *out) MUST_CHECK;
