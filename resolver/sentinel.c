#include "sentinel.h"

#include <string.h>

#include "sallyport/cleanup.h"
#include "sallyport/name.h"
#include "val_key.h"

enum { DIGITS = 5 };

bool sentinel_parse(const uint8_t *name, struct sentinel *ret_sentinel)
{
	static const char *const begins[] = { "root-key-sentinel-not-ta-",
		                              "root-key-sentinel-is-ta-" };
	uint8_t label[64];
	uint32_t tag = 0;

	name_lower(label, name + 1, name[0]);
	for (size_t i = 0; i < ARRAY_LEN(begins); i++) {
		size_t len = strlen(begins[i]);

		if (name[0] != len + DIGITS || memcmp(label, begins[i], len) != 0)
			continue;
		for (size_t j = len; j < len + DIGITS; j++) {
			if (label[j] < '0' || label[j] > '9')
				return false;
			tag = tag * 10 + label[j] - '0';
		}
		if (tag > UINT16_MAX)
			return false;
		*ret_sentinel = (struct sentinel){ .is_ta = i == 1, .tag = (uint16_t)tag };
		return true;
	}
	return false;
}

static bool is_trusted(const struct val_anchors *anchors, uint16_t tag)
{
	static const uint8_t root[] = { 0 };
	const struct val_anchor *anchor = val_anchors_above(anchors, root, 0);

	for (size_t i = 0; anchor && i < anchor->n_ds; i++) {
		const uint8_t *ds = anchor->ds[i].data;

		if (ds[0] << 8 == (tag & 0xff00) && ds[1] == (tag & 0xff))
			return true;
	}
	for (size_t i = 0; anchor && i < anchor->n_keys; i++) {
		const struct val_rdata *key = &anchor->keys[i];

		if (!(key->data[1] & VAL_KEY_REVOKED) && val_key_tag(key->data, key->len) == tag)
			return true;
	}
	return false;
}

bool sentinel_refuses(const struct sentinel *sentinel, const struct val_anchors *anchors)
{
	return is_trusted(anchors, sentinel->tag) != sentinel->is_ta;
}
