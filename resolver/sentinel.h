/* resolver/sentinel.h - root key sentinel (RFC 8509): whoever asks can find out which keys of the
 * root are trusted here.
 *
 * The first label of a name asks; the answer is what the name has, or SERVFAIL:
 *
 *                                     trusted      not trusted
 *     root-key-sentinel-is-ta-NNNNN   the answer   SERVFAIL
 *     root-key-sentinel-not-ta-NNNNN  SERVFAIL     the answer
 *
 * The policy has allowed the name before, and the validator has found the answer secure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "val_anchor.h"

struct sentinel {
	bool is_ta; /* else not-ta */
	uint16_t tag;
};

/* Does @name begin with such a label? Five digits, whatever the case (RFC 8509, section 2). */
bool sentinel_parse(const uint8_t *name, struct sentinel *ret_sentinel);
/* Is the answer to be a SERVFAIL (RFC 8509, section 3.2)? */
bool sentinel_refuses(const struct sentinel *sentinel, const struct val_anchors *anchors);
