/* keeper/explained.h - what a resolver tells of a validation (sallyport/explain.h), as JSON.
 *
 * The rows are lengths and octets of somebody who speaks with the network: each is checked, and
 * texts become printable ASCII. No DNS message is read here.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/explain.h"

/* The object of `dnssec`; *ret_end: its last row. NULL: the rows break their format. */
json_t *explained_json(const uint8_t *rows, size_t len, struct explain_row *ret_end);
