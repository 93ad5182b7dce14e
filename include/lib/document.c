/* include/lib/document.c - one pass over a text, character by character. */
#include "sallyport/document.h"

#include <stdbool.h>

#include "sallyport/err.h"

#define BYTE_ORDER_MARK 0xfeff

size_t utf8_len(const char *s, size_t avail, uint32_t *ret_point)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *o = (const unsigned char *)s;
	uint32_t point;
	size_t n;

	if (avail == 0)
		return 0;
	if (o[0] < 0x80) {
		n = 1;
		point = o[0];
	} else if (o[0] >= 0xc2 && o[0] <= 0xdf) {
		n = 2;
		point = o[0] & 0x1f;
	} else if (o[0] >= 0xe0 && o[0] <= 0xef) {
		n = 3;
		point = o[0] & 0x0f;
	} else if (o[0] >= 0xf0 && o[0] <= 0xf4) {
		n = 4;
		point = o[0] & 0x07;
	} else {
		return 0;
	}
	if (n > avail)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((o[i] & 0xc0) != 0x80)
			return 0;
		point = point << 6 | (o[i] & 0x3f);
	}
	if (point < smallest[n] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
		return 0;
	*ret_point = point;
	return n;
}

static bool is_control(uint32_t point)
{
	if (point == '\t' || point == '\n' || point == '\r')
		return false;
	return point < 0x20 || (point >= 0x7f && point <= 0x9f);
}

/* What ends a line in any version of YAML: a directive after it might be read as one. */
static bool ends_line(uint32_t point)
{
	return point == '\n' || point == '\r' || point == 0x2028 || point == 0x2029;
}

int document_check(const char *file, const char *text, size_t len, struct diag *diag)
{
	unsigned int line = 1, col = 1;
	bool first = true; /* of its line */
	uint32_t point;

	for (size_t at = 0, n; at < len; at += n) {
		n = utf8_len(text + at, len - at, &point);
		if (n == 0) {
			diag_add(diag, DIAG_ERROR, file, line, col,
			         "octet 0x%02x is not UTF-8; save the file as UTF-8",
			         (unsigned char)text[at]);
			return ERR_CONFIG;
		}
		if (is_control(point)) {
			diag_add(diag, DIAG_ERROR, file, line, col,
			         "a control character (U+%04X); remove it", (unsigned int)point);
			return ERR_CONFIG;
		}
		if (first && point == '%') {
			diag_add(diag, DIAG_ERROR, file, line, col,
			         "a YAML directive has no meaning here; leave the line out");
			return ERR_CONFIG;
		}
		first = ends_line(point) || (at == 0 && point == BYTE_ORDER_MARK);
		col = point == '\n' ? 1 : col + (point != BYTE_ORDER_MARK);
		line += point == '\n';
	}
	return ERR_OK;
}
