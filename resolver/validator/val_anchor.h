/* val_anchor.h - where trust begins, and where it is suspended.
 *
 * An immutable list of trust anchors (DS or DNSKEY of a zone) and negative trust anchors (RFC 7646:
 * everything from a name down counts as insecure, until a time). The deepest at or above a name
 * decides, whichever it is (RFC 6840, appendix C; RFC 7646, section 1.1).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "val_message.h"

enum val_anchor_limit { VAL_ANCHORS = 512, VAL_ANCHOR_RECORDS = 16 };

struct val_anchor {
	uint8_t name[255]; /* lower case */
	bool negative;
	uint64_t until_s; /* of a negative one, wall clock; 0: for ever */
	size_t n_ds, n_keys;
	struct val_rdata ds[VAL_ANCHOR_RECORDS], keys[VAL_ANCHOR_RECORDS]; /* own copies */
};

struct val_anchors;
struct val_anchors *val_anchors_new(void);
void val_anchors_free(struct val_anchors *anchors); /* NULL is fine */
DEFINE_CLEANUP(struct val_anchors *, val_anchors_free)

/* Add one DS or DNSKEY of @name. Returns 0, ERR_INVAL (neither, or too short), ERR_LIMIT or
 * ERR_NOMEM. */
int val_anchors_add(struct val_anchors *anchors, const uint8_t *name, uint16_t type,
                    const uint8_t *rdata, size_t len) MUST_CHECK;
/* Add a negative one, until @until_s (0: for ever); of two at one name the later end counts. */
int val_anchors_add_negative(struct val_anchors *anchors, const uint8_t *name,
                             uint64_t until_s) MUST_CHECK;
/* Read records in presentation form, one a line (DS or DNSKEY; comments with ';'). Returns 0, or
 * ERR_MALFORMED with the line's number in *ret_line. */
int val_anchors_read(struct val_anchors *anchors, const char *text,
                     unsigned int *ret_line) MUST_CHECK;

/* The deepest at or above @name (lower case), or NULL. */
const struct val_anchor *val_anchors_above(const struct val_anchors *anchors, const uint8_t *name,
                                           uint64_t now_s);
