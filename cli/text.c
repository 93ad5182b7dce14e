#include "text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "sallyport/document.h"

/* Invisible or direction-changing code points: a name could otherwise be shown as another one. */
static const struct {
	uint32_t first, last;
} hidden[] = {
	{ 0x80, 0x9f },     { 0xad, 0xad },     { 0x61c, 0x61c },     { 0x180e, 0x180e },
	{ 0x200b, 0x200f }, { 0x2028, 0x202e }, { 0x2060, 0x206f },   { 0xfe00, 0xfe0f },
	{ 0xfeff, 0xfeff }, { 0xfff9, 0xfffb }, { 0xe0000, 0xe01ef },
};

static bool visible(uint32_t point)
{
	for (size_t i = 0; i < ARRAY_LEN(hidden); i++) {
		if (point >= hidden[i].first && point <= hidden[i].last)
			return false;
	}
	return true;
}

/* Write the octets at @s that belong together; returns how many were taken. */
static size_t put_one(FILE *out, enum text_kind kind, const unsigned char *s, size_t avail)
{
	uint32_t point;
	size_t n;

	if ((*s > ' ' && *s < 0x7f) || (*s == ' ' && kind == TEXT_PROSE)) {
		putc(*s, out);
		return 1;
	}
	n = kind == TEXT_PROSE ? utf8_len((const char *)s, avail, &point) : 0;
	if (n > 1 && visible(point)) {
		fwrite(s, 1, n, out);
		return n;
	}
	fprintf(out, "\\%03u", *s);
	return 1;
}

void text_put(FILE *out, enum text_kind kind, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t left = strlen(text);

	while (left > 0) {
		size_t n = put_one(out, kind, s, left);

		s += n;
		left -= n;
	}
}

void text_put_lines(FILE *out, const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;

	while (len > 0) {
		size_t n = 1;

		if (*s == '\n' || *s == '\t')
			putc(*s, out);
		else
			n = put_one(out, TEXT_PROSE, s, len);
		s += n;
		len -= n;
	}
}

char *text_escape(enum text_kind kind, const char *text)
{
	char *escaped = NULL;
	size_t len;
	FILE *out = open_memstream(&escaped, &len);

	if (!out)
		return NULL;
	text_put(out, kind, text);
	if (fclose(out) != 0) {
		free(escaped);
		return NULL;
	}
	return escaped;
}

size_t text_width(const char *escaped)
{
	size_t n = 0;

	for (; *escaped; escaped++)
		n += ((unsigned char)*escaped & 0xc0) != 0x80;
	return n;
}

char *text_format(const char *fmt, ...)
{
	va_list args;
	char *text;
	int r;

	va_start(args, fmt);
	r = vasprintf(&text, fmt, args);
	va_end(args);
	return r < 0 ? NULL : text;
}

void text_span(double seconds, char out[static TEXT_SPAN_LEN])
{
	static const struct {
		uint64_t s;
		char unit;
	} units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' } };
	uint64_t left;

	if (!(seconds > 0))
		seconds = 0;
	left = seconds > 1e15 ? UINT64_C(1000000000000000) : (uint64_t)seconds;
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (left < units[i].s && i + 1 < ARRAY_LEN(units))
			continue;
		if (i + 1 < ARRAY_LEN(units) && left % units[i].s / units[i + 1].s > 0)
			snprintf(out, TEXT_SPAN_LEN, "%" PRIu64 "%c %" PRIu64 "%c",
			         left / units[i].s, units[i].unit,
			         left % units[i].s / units[i + 1].s, units[i + 1].unit);
		else
			snprintf(out, TEXT_SPAN_LEN, "%" PRIu64 "%c", left / units[i].s,
			         units[i].unit);
		return;
	}
}
