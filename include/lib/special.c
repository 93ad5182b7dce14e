/* include/lib/special.c - the table of special-use names. */
#include "sallyport/special.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "sallyport/cleanup.h"
#include "sallyport/name.h"

enum treatment {
	LOCALHOST,
	NOTHING,  /* NXDOMAIN, apex and all below */
	EMPTY,    /* an empty zone (RFC 6303): NODATA at the apex, NXDOMAIN below */
	NODATA,   /* apex and all below */
	IPV4ONLY, /* its addresses at the apex, NXDOMAIN below */
};

struct row {
	const char *name; /* lower case, without the final dot */
	enum treatment treatment;
};

static const struct row top_level[] = {
	{ "localhost", LOCALHOST }, /* RFC 6761, section 6.3 */
	{ "invalid", NOTHING },     /* RFC 6761, section 6.4 */
	{ "onion", NOTHING },       /* RFC 7686 */
	{ "local", NOTHING },       /* RFC 6762 */
	{ "alt", NOTHING },         /* RFC 9476 */
	{ "internal", NOTHING },    /* reserved by ICANN for private use, 2024 */
};

static const struct row under_arpa[] = {
	{ "home.arpa", EMPTY },        /* RFC 8375 */
	{ "resolver.arpa", NODATA },   /* RFC 9462: DDR would lead clients past us */
	{ "ipv4only.arpa", IPV4ONLY }, /* RFC 8880 */
	{ "service.arpa", EMPTY },     /* RFC 9665 */
	{ "eap-noob.arpa", EMPTY },    /* RFC 9140 */
	{ "6tisch.arpa", EMPTY },      /* RFC 9031 */
	{ "10.in-addr.arpa", EMPTY },
	{ "168.192.in-addr.arpa", EMPTY },
	{ "0.in-addr.arpa", EMPTY },
	{ "127.in-addr.arpa", EMPTY },
	{ "254.169.in-addr.arpa", EMPTY },
	{ "2.0.192.in-addr.arpa", EMPTY },
	{ "100.51.198.in-addr.arpa", EMPTY },
	{ "113.0.203.in-addr.arpa", EMPTY },
	{ "255.255.255.255.in-addr.arpa", EMPTY },
	{ "170.0.0.192.in-addr.arpa", EMPTY }, /* RFC 8880 */
	{ "171.0.0.192.in-addr.arpa", EMPTY },
	{ "c.f.ip6.arpa", EMPTY }, /* unique local addresses, both halves */
	{ "d.f.ip6.arpa", EMPTY },
	{ "8.e.f.ip6.arpa", EMPTY }, /* link-local */
	{ "9.e.f.ip6.arpa", EMPTY },
	{ "a.e.f.ip6.arpa", EMPTY },
	{ "b.e.f.ip6.arpa", EMPTY },
	{ "8.b.d.0.1.0.0.2.ip6.arpa", EMPTY }, /* documentation */
	{ "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa", EMPTY },
	{ "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa", EMPTY },
};

/* Walk @text's labels and the last labels of @name together. @labels: the starts of @name's labels,
 * @n of them. Returns how many labels @text has if @name ends with them, else 0. */
static size_t ends_with(const uint8_t *const *labels, size_t n, const char *text)
{
	size_t n_text = 1;

	for (const char *p = text; *p; p++)
		n_text += *p == '.';
	if (n_text > n)
		return 0;
	labels += n - n_text;
	for (size_t i = 0; i < n_text; i++) {
		size_t len = strcspn(text, ".");

		if (labels[i][0] != len || memcmp(labels[i] + 1, text, len) != 0)
			return 0;
		text += len + 1;
	}
	return n_text;
}

/* 16.172.in-addr.arpa to 31.172 (RFC 1918), 64.100.in-addr.arpa to 127.100 (RFC 7793): decimal
 * labels in a range. Returns 4 if @name ends so, else 0. */
static size_t ends_with_span(const uint8_t *const *labels, size_t n, const char *parent,
                             unsigned int low, unsigned int high)
{
	const uint8_t *label;
	unsigned int value = 0;

	if (n < 4 || ends_with(labels, n, parent) == 0)
		return 0;
	label = labels[n - 4];
	if (label[0] < 2 || label[0] > 3 || label[1] == '0')
		return 0;
	for (unsigned int i = 1; i <= label[0]; i++) {
		if (label[i] < '0' || label[i] > '9')
			return 0;
		value = value * 10 + label[i] - '0';
	}
	return value >= low && value <= high ? 4 : 0;
}

static enum special answer(enum treatment treatment, bool apex)
{
	switch (treatment) {
	case LOCALHOST:
		return SPECIAL_LOCALHOST;
	case NOTHING:
		return SPECIAL_NXDOMAIN;
	case EMPTY:
		return apex ? SPECIAL_NODATA : SPECIAL_NXDOMAIN;
	case NODATA:
		return SPECIAL_NODATA;
	case IPV4ONLY:
		return apex ? SPECIAL_IPV4ONLY : SPECIAL_NXDOMAIN;
	}
	return SPECIAL_NXDOMAIN;
}

static enum special find(const struct row *rows, size_t n_rows, const uint8_t *const *labels,
                         size_t n)
{
	for (size_t i = 0; i < n_rows; i++) {
		size_t matched = ends_with(labels, n, rows[i].name);

		if (matched > 0)
			return answer(rows[i].treatment, matched == n);
	}
	return SPECIAL_NONE;
}

enum special special_of(const uint8_t *name)
{
	const uint8_t *labels[NAME_MAX_LABELS];
	size_t n = 0, matched;
	enum special special;

	for (; *name && n < ARRAY_LEN(labels); name += 1 + *name)
		labels[n++] = name;
	if (n == 0)
		return SPECIAL_NONE;
	/* Most names leave here. */
	if (ends_with(labels, n, "arpa") == 0)
		return find(top_level, ARRAY_LEN(top_level), labels, n);

	special = find(under_arpa, ARRAY_LEN(under_arpa), labels, n);
	if (special != SPECIAL_NONE)
		return special;
	matched = ends_with_span(labels, n, "172.in-addr.arpa", 16, 31);
	if (matched == 0)
		matched = ends_with_span(labels, n, "100.in-addr.arpa", 64, 127);
	return matched == 0 ? SPECIAL_NONE : answer(EMPTY, matched == n);
}
