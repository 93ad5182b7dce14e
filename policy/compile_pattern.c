/* policy/compile_pattern.c - reading names and patterns. */
#include "compile_pattern.h"

#include <idn2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/err.h"

#define STAR 0x100 /* a star among octets */

struct label {
	uint16_t units[63]; /* octets, or STAR */
	uint8_t n;
	bool star;
	bool below; /* "**" */
};

struct reader {
	const char *text;
	size_t len, pos;
	char *why;
	struct label labels[NAME_MAX_LABELS];
	unsigned int n_labels;
};

static int wrong(struct reader *r, const char *why)
{
	snprintf(r->why, PATTERN_WHY_LEN, "%s", why);
	return ERR_CONFIG;
}

static int add_unit(struct reader *r, struct label *label, unsigned int unit)
{
	if (label->n == sizeof(label->units) / sizeof(label->units[0]))
		return wrong(r, "a label is longer than 63 octets; shorten it");
	if (unit >= 'A' && unit <= 'Z')
		unit |= 0x20;
	label->units[label->n++] = (uint16_t)unit;
	return ERR_OK;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int read_escape(struct reader *r, struct label *label)
{
	const char *p = r->text + r->pos + 1;
	size_t left = r->len - r->pos - 1;

	if (left == 0)
		return wrong(r, "a \\ stands at the end; write \\\\ for a backslash");
	if (!is_digit(p[0])) {
		if ((unsigned char)p[0] < 0x21 || (unsigned char)p[0] > 0x7e)
			return wrong(r, "a \\ before an octet that cannot be shown; write \\DDD");
		r->pos += 2;
		return add_unit(r, label, (unsigned char)p[0]);
	}
	if (left < 3 || !is_digit(p[1]) || !is_digit(p[2]))
		return wrong(r, "\\ and fewer than three digits; write \\DDD, say \\046 for a dot");

	unsigned int value = (unsigned int)((p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0'));

	if (value > 255)
		return wrong(r, "\\DDD is over 255; an octet is \\000 to \\255");
	r->pos += 4;
	return add_unit(r, label, value);
}

/* A label with letters outside ASCII: @len octets from the reader's place on. */
static int read_u_label(struct reader *r, struct label *label, size_t len)
{
	char copy[256];
	char *a_label = NULL;
	int err, result = ERR_OK;

	if (len >= sizeof(copy))
		return wrong(r, "a label is longer than 63 octets; shorten it");
	memcpy(copy, r->text + r->pos, len);
	copy[len] = '\0';
	if (strpbrk(copy, "*\\"))
		return wrong(r, "* or \\ in a label with letters outside ASCII; write the A-label "
		                "(xn--...)");
	err = idn2_to_ascii_8z(copy, &a_label, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (err != IDN2_OK) {
		snprintf(r->why, PATTERN_WHY_LEN,
		         "not a valid internationalized label (%s); write its A-label (xn--...)",
		         idn2_strerror(err));
		return ERR_CONFIG;
	}
	r->pos += len;
	if (*a_label == '\0' || strchr(a_label, '.'))
		result = wrong(r, "not a valid internationalized label; write its A-label "
		                  "(xn--...)");
	for (const char *p = a_label; *p && result == ERR_OK; p++)
		result = add_unit(r, label, (unsigned char)*p);
	idn2_free(a_label);
	return result;
}

static int read_label(struct reader *r)
{
	struct label *label;
	size_t end = r->pos;
	bool beyond_ascii = false;
	int err = ERR_OK;

	if (r->n_labels == NAME_MAX_LABELS)
		return wrong(r, "more than 127 labels; a name has at most 255 octets");
	label = &r->labels[r->n_labels];
	*label = (struct label){ 0 };
	for (; end < r->len && r->text[end] != '.'; end++) {
		if (r->text[end] == '\\' && end + 1 < r->len)
			end++;
		if ((unsigned char)r->text[end] >= 0x80)
			beyond_ascii = true;
	}
	if (end > r->len)
		end = r->len;
	if (end == r->pos)
		return wrong(r,
		             "an empty label (a dot at the beginning, or two in a row); leave the "
		             "dot out");
	if (beyond_ascii) {
		r->n_labels++;
		return read_u_label(r, label, end - r->pos);
	}
	while (r->pos < end && err == ERR_OK) {
		unsigned char c = (unsigned char)r->text[r->pos];

		if (c == '\\') {
			err = read_escape(r, label);
			continue;
		}
		if (c < 0x21 || c == 0x7f)
			return wrong(r,
			             "a blank or control character in a name; write it as \\DDD if "
			             "it is meant");
		r->pos++;
		if (c == '*') {
			label->below = label->n == 1 && label->star;
			label->star = true;
			err = add_unit(r, label, STAR);
		} else {
			label->below = false;
			err = add_unit(r, label, c);
		}
	}
	r->n_labels++;
	return err;
}

static int read_labels(struct reader *r)
{
	if (r->len == 0)
		return wrong(r, "an empty name; write a name, or \".\" for the root");
	if (r->len == 1 && r->text[0] == '.')
		return ERR_OK;
	while (r->pos < r->len) {
		int err = read_label(r);

		if (err < 0)
			return err;
		if (r->pos < r->len)
			r->pos++; /* the dot */
	}
	return ERR_OK;
}

static int check_stars(struct reader *r, enum pattern_use use)
{
	for (unsigned int i = 0; i < r->n_labels; i++) {
		const struct label *label = &r->labels[i];

		if (label->star && use == PATTERN_ZONE)
			return wrong(r,
			             "a zone with a *; a zone is the plain name, all below it is "
			             "meant anyway (or write name: instead of zone:)");
		if (label->star && use == PATTERN_HOST)
			return wrong(r, "a * in a host's name; write one plain name");
		if (label->below && i > 0)
			return wrong(r,
			             "** further inside; only \"**.\" in front stands for several "
			             "labels, a single * stays within its label");
		for (unsigned int u = 1; u < label->n; u++) {
			if (label->units[u] == STAR && label->units[u - 1] == STAR && !label->below)
				return wrong(r,
				             "** within a label; a single * stands for one or more "
				             "characters");
		}
	}
	return ERR_OK;
}

/* As in struct img_candidate: the number of pieces, then each piece. */
static int put_pieces(struct pattern *p, const struct label *label)
{
	size_t count_at = p->labels_len, piece_at;

	if (p->labels_len + 2u > sizeof(p->labels))
		return ERR_CONFIG;
	p->labels[count_at] = 1;
	piece_at = count_at + 1;
	p->labels[piece_at] = 0;
	p->labels_len = (uint16_t)(p->labels_len + 2);
	for (unsigned int i = 0; i < label->n; i++) {
		if (p->labels_len == sizeof(p->labels))
			return ERR_CONFIG;
		if (label->units[i] == STAR) {
			p->labels[count_at]++;
			piece_at = p->labels_len;
			p->labels[p->labels_len++] = 0;
		} else {
			p->labels[piece_at]++;
			p->labels[p->labels_len++] = (uint8_t)label->units[i];
			p->literals++;
		}
	}
	return ERR_OK;
}

static int assemble(struct reader *r, enum pattern_use use, struct pattern *p)
{
	bool below = r->n_labels > 0 && r->labels[0].below;
	unsigned int first = below ? 1 : 0, suffix = r->n_labels;
	size_t least = below ? 3 : 1; /* octets of the shortest name that matches */

	while (suffix > first && !r->labels[suffix - 1].star)
		suffix--;
	/* Without a star in front everything is the suffix. */
	for (unsigned int i = first; i < r->n_labels; i++)
		least += 1 + (size_t)r->labels[i].n;
	if (least > NAME_MAX_WIRE)
		return wrong(r, "longer than 255 octets; no name can be");
	for (unsigned int i = suffix; i < r->n_labels; i++) {
		p->suffix[p->suffix_len++] = r->labels[i].n;
		for (unsigned int u = 0; u < r->labels[i].n; u++)
			p->suffix[p->suffix_len++] = (uint8_t)r->labels[i].units[u];
	}
	p->suffix_len++; /* the root's zero octet */
	for (unsigned int i = suffix; i-- > first;) {
		if (put_pieces(p, &r->labels[i]) < 0)
			return wrong(r, "too many stars; write a simpler pattern");
		p->n_labels++;
	}
	if (use == PATTERN_ZONE)
		p->kind = IMG_ZONE;
	else if (below)
		p->kind = IMG_BELOW;
	else
		p->kind = p->n_labels > 0 ? IMG_STAR : IMG_EXACT;
	return ERR_OK;
}

int pattern_parse(const char *text, size_t len, enum pattern_use use, struct pattern *ret_pattern,
                  char why[static PATTERN_WHY_LEN])
{
	struct reader r = { .text = text, .len = len, .why = why };
	int err;

	*ret_pattern = (struct pattern){ 0 };
	if (len > 4 * NAME_MAX_WIRE + NAME_MAX_LABELS)
		return wrong(&r, "longer than 255 octets; no name can be");
	err = read_labels(&r);
	if (err == ERR_OK)
		err = check_stars(&r, use);
	return err == ERR_OK ? assemble(&r, use, ret_pattern) : err;
}

int pattern_compare(const struct pattern *a, const struct pattern *b)
{
	int r;

	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->suffix_len != b->suffix_len)
		return a->suffix_len < b->suffix_len ? -1 : 1;
	if (a->labels_len != b->labels_len)
		return a->labels_len < b->labels_len ? -1 : 1;
	r = memcmp(a->suffix, b->suffix, a->suffix_len);
	return r ? r : memcmp(a->labels, b->labels, a->labels_len);
}
