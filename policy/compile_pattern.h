/* policy/compile_pattern.h - the names and patterns that people write, in wire form.
 *
 *   db.corp.test     this name only                    "**.a.test"   every name below a.test
 *   "*.a.test"       exactly one label more            api-*.a.test  one or more octets in a label
 *   zone: a.test     the name and every name below     "**.api-*.a.test" and the like
 *
 * Presentation form as in RFC 1035, section 5.1: \X and \DDD escape (so \* is an asterisk), the
 * final dot is optional. A label with letters outside ASCII is a U-label and becomes its A-label
 * (RFC 5891, UTS 46 non-transitional). Letters are lowered (RFC 4343).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format.h"
#include "sallyport/name.h"

#define PATTERN_LABELS_LEN 512
#define PATTERN_WHY_LEN 256

struct pattern {
	enum img_kind kind;
	uint8_t suffix[NAME_MAX_WIRE + 9]; /* lower case, padded with zeros */
	uint16_t suffix_len;
	uint16_t labels_len;
	uint16_t literals;
	uint8_t n_labels;                   /* given ones in front of the suffix */
	uint8_t labels[PATTERN_LABELS_LEN]; /* as in struct img_candidate */
};

enum pattern_use {
	PATTERN_NAME, /* `name:` of a rule: any pattern */
	PATTERN_ZONE, /* `zone:` of a rule: no stars */
	PATTERN_HOST, /* one name, no stars */
};

/* Returns 0 or ERR_CONFIG; then @why says what is wrong and what would be right. */
int pattern_parse(const char *text, size_t len, enum pattern_use use, struct pattern *ret_pattern,
                  char why[static PATTERN_WHY_LEN]);

/* Another name for the same: equal kind, suffix and labels. */
int pattern_compare(const struct pattern *a, const struct pattern *b);
