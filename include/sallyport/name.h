/* sallyport/name.h - domain names in wire form (RFC 1035, section 3.1), without compression.
 *
 * A wire name is a sequence of labels (length octet 1..63, then octets) that ends with a zero
 * octet; at most 255 octets in all, hence at most 127 labels. Comparison ignores the case of ASCII
 * letters only (RFC 4343). Nothing here allocates.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"

#define NAME_MAX_WIRE 255
#define NAME_MAX_LABELS 127
#define NAME_TEXT_LEN 1009 /* 4 characters an octet at worst, dots, terminator */

/* Length in octets, the root's zero octet included, of the wire name at @wire, of which @avail
 * octets may be read. Returns 1..255, or ERR_MALFORMED (compression, over-long, cut short). */
int name_wire_len(const uint8_t *wire, size_t avail);

/* Number of labels without the root's: 0 for ".". @wire must be valid. */
unsigned int name_labels(const uint8_t *wire);

/* Copy @len octets with ASCII letters in lower case. May copy onto itself. */
void name_lower(uint8_t *dst, const uint8_t *src, size_t len);

bool name_equal(const uint8_t *a, const uint8_t *b); /* RFC 4343 */

/* @name is @suffix or lies below it. */
bool name_is_under(const uint8_t *name, const uint8_t *suffix);

/* Presentation form with a final dot; octets other than printable ASCII as \DDD, special ones as
 * \X (RFC 1035, section 5.1; RFC 4343, section 2.1), so it can be shown on a terminal as it is.
 * @wire must be valid. Returns the length written, without the terminator. */
size_t name_to_text(const uint8_t *wire, char out[static NAME_TEXT_LEN]);

/* Read presentation form (final dot optional, escapes understood, case kept) into @ret_wire.
 * U-labels are not converted here. Returns the wire length or ERR_INVAL. */
int name_from_text(const char *text, uint8_t ret_wire[static NAME_MAX_WIRE]);

/* Type and class mnemonics (RFC 3597 forms understood and used for unknown ones). */
#define NAME_TYPE_TEXT_LEN 16
void name_type_text(uint16_t type, char out[static NAME_TYPE_TEXT_LEN]);
int name_type_parse(const char *text, uint16_t *ret_type); /* 0 or ERR_INVAL */

/* "NOERROR" (RFC 6895), or "RCODE4000". */
#define NAME_RCODE_TEXT_LEN 16
void name_rcode_text(unsigned int rcode, char out[static NAME_RCODE_TEXT_LEN]);
