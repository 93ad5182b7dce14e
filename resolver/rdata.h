/* resolver/rdata.h - where names and strings stand inside the RDATA of the types that have any.
 *
 * One table for everybody who must know: the pre-scan (which follows compressed names), the form
 * (which compresses those of RFC 1035 only: RFC 3597, section 4) and the canonical form under an
 * answer's id.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"

/* A layout is a row of these, ended by RDATA_END; values 1..RDATA_FIXED_MAX are so many octets. */
enum rdata_field {
	RDATA_END = 0,
	RDATA_FIXED_MAX = 64,
	RDATA_NAME_1035, /* a name that may be compressed when sent */
	RDATA_NAME,      /* a name that is sent whole */
	RDATA_NAMES,     /* any number of them, to the end */
	RDATA_STRING,    /* a character-string (RFC 1035, section 3.3) */
	RDATA_STRINGS,   /* one or more, to the end */
	RDATA_HIP,       /* HIT and key lengths, then both (RFC 8005, section 5) */
	RDATA_REST,      /* opaque, to the end */
};

/* The layout of @type; of an unknown one RDATA_REST alone. */
const uint8_t *rdata_layout(uint16_t type);

/* Walk RDATA whose names are not compressed. Start with { layout, rdata, len }. */
struct rdata_cursor {
	const uint8_t *layout;
	const uint8_t *rdata;
	size_t len;
	size_t pos;
};
/* Give the next field: its kind (RDATA_FIXED_MAX for every fixed one) with its place, RDATA_END
 * behind the last, or ERR_MALFORMED (cut short, or octets left over). */
int rdata_next(struct rdata_cursor *cursor, size_t *ret_pos, size_t *ret_len) MUST_CHECK;
