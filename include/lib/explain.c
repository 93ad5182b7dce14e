/* include/lib/explain.c - rows of an explanation, written and read. */
#include "sallyport/explain.h"

#include <string.h>

#include "sallyport/err.h"

const char *explain_kind_str(unsigned int kind)
{
#define KIND_TEXT(sym, text) text,
	static const char *const texts[] = { EXPLAIN_KINDS(KIND_TEXT) };

	return kind < EXPLAIN_KIND_N ? texts[kind] : "?";
}

const char *explain_algorithm_str(unsigned int algorithm)
{
	static const char *const names[] = {
		[1] = "RSAMD5",
		[3] = "DSA",
		[5] = "RSASHA1",
		[6] = "DSA-NSEC3-SHA1",
		[7] = "RSASHA1-NSEC3-SHA1",
		[8] = "RSASHA256",
		[10] = "RSASHA512",
		[12] = "ECC-GOST",
		[13] = "ECDSAP256SHA256",
		[14] = "ECDSAP384SHA384",
		[15] = "ED25519",
		[16] = "ED448",
		[17] = "SM2SM3",
		[23] = "ECC-GOST12",
	};

	return algorithm < ARRAY_LEN(names) ? names[algorithm] : NULL;
}

int explain_row_put(uint8_t *buf, size_t cap, size_t *len, struct explain_row *row,
                    const char *const texts[static EXPLAIN_TEXTS])
{
	size_t need = sizeof(*row), padded;
	uint8_t *out = buf + *len;

	for (size_t i = 0; i < EXPLAIN_TEXTS; i++) {
		row->text_len[i] = texts[i] ? (uint16_t)strnlen(texts[i], LIMIT_EXPLAIN_TEXT) : 0;
		need += row->text_len[i];
	}
	padded = (need + 3) & ~(size_t)3;
	if (padded > cap - *len)
		return ERR_NOSPC;
	row->len = (uint16_t)padded;
	memset(out, 0, padded);
	memcpy(out, row, sizeof(*row));
	out += sizeof(*row);
	for (size_t i = 0; i < EXPLAIN_TEXTS; i++) {
		if (row->text_len[i] > 0)
			memcpy(out, texts[i], row->text_len[i]);
		out += row->text_len[i];
	}
	*len += padded;
	return ERR_OK;
}

int explain_row_read(const uint8_t *buf, size_t len, size_t *pos, struct explain_view *ret_view)
{
	struct explain_view view;
	size_t left = len - *pos, at = sizeof(view.row);

	if (*pos > len)
		return ERR_MALFORMED;
	if (left == 0)
		return 0;
	if (left < sizeof(view.row))
		return ERR_MALFORMED;
	memcpy(&view.row, buf + *pos, sizeof(view.row));
	if (view.row.len > left || view.row.len < sizeof(view.row) || view.row.len % 4 != 0 ||
	    view.row.kind >= EXPLAIN_KIND_N)
		return ERR_MALFORMED;
	for (size_t i = 0; i < EXPLAIN_TEXTS; i++) {
		if (view.row.text_len[i] > LIMIT_EXPLAIN_TEXT ||
		    view.row.text_len[i] > view.row.len - at)
			return ERR_MALFORMED;
		view.text[i] = (const char *)buf + *pos + at;
		at += view.row.text_len[i];
	}
	if (view.row.len - at >= 4)
		return ERR_MALFORMED;
	*pos += view.row.len;
	*ret_view = view;
	return 1;
}
