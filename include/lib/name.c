/* include/lib/name.c - domain names in wire form. */
#include "sallyport/name.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sallyport/cleanup.h"
#include "sallyport/err.h"

int name_wire_len(const uint8_t *wire, size_t avail)
{
	size_t pos = 0;

	for (;;) {
		if (pos >= avail || pos >= NAME_MAX_WIRE)
			return ERR_MALFORMED;
		if (wire[pos] == 0)
			return (int)pos + 1;
		if (wire[pos] > 63)
			return ERR_MALFORMED;
		pos += 1 + (size_t)wire[pos];
	}
}

unsigned int name_labels(const uint8_t *wire)
{
	unsigned int n = 0;

	for (; *wire; wire += 1 + *wire)
		n++;
	return n;
}

static inline uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

void name_lower(uint8_t *dst, const uint8_t *src, size_t len)
{
	for (size_t i = 0; i < len; i++)
		dst[i] = lower(src[i]);
}

static size_t wire_len(const uint8_t *wire)
{
	size_t pos = 0;

	while (wire[pos])
		pos += 1 + (size_t)wire[pos];
	return pos + 1;
}

/* Length octets are 0..63, below 'A': lowering them changes nothing. */
static bool equal_octets(const uint8_t *a, const uint8_t *b, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (lower(a[i]) != lower(b[i]))
			return false;
	}
	return true;
}

bool name_equal(const uint8_t *a, const uint8_t *b)
{
	size_t len = wire_len(a);

	return len == wire_len(b) && equal_octets(a, b, len);
}

bool name_is_under(const uint8_t *name, const uint8_t *suffix)
{
	unsigned int n = name_labels(name), m = name_labels(suffix);

	if (n < m)
		return false;
	for (; n > m; n--)
		name += 1 + *name;
	return name_equal(name, suffix);
}

static size_t escape(uint8_t c, char *out)
{
	if (c == '.' || c == '\\' || c == '"' || c == '(' || c == ')' || c == ';' || c == '@' ||
	    c == '$') {
		out[0] = '\\';
		out[1] = (char)c;
		return 2;
	}
	if (c <= 0x20 || c >= 0x7f) {
		out[0] = '\\';
		out[1] = (char)('0' + c / 100);
		out[2] = (char)('0' + c / 10 % 10);
		out[3] = (char)('0' + c % 10);
		return 4;
	}
	out[0] = (char)c;
	return 1;
}

size_t name_to_text(const uint8_t *wire, char out[static NAME_TEXT_LEN])
{
	size_t n = 0;

	if (*wire == 0)
		out[n++] = '.';
	while (*wire) {
		uint8_t len = *wire++;

		for (; len > 0; len--) {
			uint8_t c = *wire++;

			if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')
				out[n++] = (char)c; /* nearly always */
			else
				n += escape(c, out + n);
		}
		out[n++] = '.';
	}
	out[n] = '\0';
	return n;
}

/* One octet of a label, escaped or not. Moves *@text; returns it, or -1. */
static int read_octet(const char **text)
{
	const unsigned char *p = (const unsigned char *)*text;
	int value;

	if (*p != '\\') {
		*text += 1;
		return *p;
	}
	if (!isdigit(p[1])) {
		*text += 2;
		return p[1] ? p[1] : -1;
	}
	if (!isdigit(p[2]) || !isdigit(p[3]))
		return -1;
	value = (p[1] - '0') * 100 + (p[2] - '0') * 10 + (p[3] - '0');
	*text += 4;
	return value <= 255 ? value : -1;
}

int name_from_text(const char *text, uint8_t ret_wire[static NAME_MAX_WIRE])
{
	uint8_t wire[NAME_MAX_WIRE];
	size_t start = 0, pos = 1; /* of the label's length octet; of the next octet */

	if (strcmp(text, ".") == 0) {
		ret_wire[0] = 0;
		return 1;
	}
	while (*text) {
		if (*text == '.') {
			if (pos == start + 1 || pos >= NAME_MAX_WIRE)
				return ERR_INVAL; /* an empty label, or no room for the next */
			wire[start] = (uint8_t)(pos - start - 1);
			start = pos++;
			text++;
			continue;
		}

		int c = read_octet(&text);

		if (c < 0 || pos >= NAME_MAX_WIRE || pos - start > 63)
			return ERR_INVAL;
		wire[pos++] = (uint8_t)c;
	}
	if (pos > start + 1) { /* no final dot */
		wire[start] = (uint8_t)(pos - start - 1);
		start = pos++;
	}
	if (start == 0 || pos > NAME_MAX_WIRE)
		return ERR_INVAL;
	wire[start] = 0;
	memcpy(ret_wire, wire, pos);
	return (int)pos;
}

/* IANA's resource record types that people meet (RFC 6895's registry). */
static const struct {
	const char *text;
	uint16_t type;
} types[] = {
	{ "A", 1 },           { "NS", 2 },       { "CNAME", 5 },       { "SOA", 6 },
	{ "NULL", 10 },       { "WKS", 11 },     { "PTR", 12 },        { "HINFO", 13 },
	{ "MINFO", 14 },      { "MX", 15 },      { "TXT", 16 },        { "RP", 17 },
	{ "AFSDB", 18 },      { "SIG", 24 },     { "KEY", 25 },        { "AAAA", 28 },
	{ "LOC", 29 },        { "SRV", 33 },     { "NAPTR", 35 },      { "KX", 36 },
	{ "CERT", 37 },       { "DNAME", 39 },   { "OPT", 41 },        { "APL", 42 },
	{ "DS", 43 },         { "SSHFP", 44 },   { "IPSECKEY", 45 },   { "RRSIG", 46 },
	{ "NSEC", 47 },       { "DNSKEY", 48 },  { "DHCID", 49 },      { "NSEC3", 50 },
	{ "NSEC3PARAM", 51 }, { "TLSA", 52 },    { "SMIMEA", 53 },     { "HIP", 55 },
	{ "CDS", 59 },        { "CDNSKEY", 60 }, { "OPENPGPKEY", 61 }, { "CSYNC", 62 },
	{ "ZONEMD", 63 },     { "SVCB", 64 },    { "HTTPS", 65 },      { "SPF", 99 },
	{ "EUI48", 108 },     { "EUI64", 109 },  { "TKEY", 249 },      { "TSIG", 250 },
	{ "IXFR", 251 },      { "AXFR", 252 },   { "MAILB", 253 },     { "MAILA", 254 },
	{ "ANY", 255 },       { "URI", 256 },    { "CAA", 257 },       { "AMTRELAY", 260 },
};

void name_type_text(uint16_t type, char out[static NAME_TYPE_TEXT_LEN])
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (types[i].type == type) {
			snprintf(out, NAME_TYPE_TEXT_LEN, "%s", types[i].text);
			return;
		}
	}
	snprintf(out, NAME_TYPE_TEXT_LEN, "TYPE%u", type);
}

int name_type_parse(const char *text, uint16_t *ret_type)
{
	unsigned int value = 0;
	const char *p = text + 4;

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (strcasecmp(types[i].text, text) == 0) {
			*ret_type = types[i].type;
			return ERR_OK;
		}
	}
	if (strncasecmp(text, "TYPE", 4) != 0 || !*p) /* RFC 3597, section 5 */
		return ERR_INVAL;
	for (; isdigit((unsigned char)*p) && value <= UINT16_MAX; p++)
		value = value * 10 + (unsigned int)(*p - '0');
	if (*p || value > UINT16_MAX)
		return ERR_INVAL;
	*ret_type = (uint16_t)value;
	return ERR_OK;
}

void name_rcode_text(unsigned int rcode, char out[static NAME_RCODE_TEXT_LEN])
{
	static const char *const texts[] = {
		"NOERROR",  "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP",  "REFUSED",
		"YXDOMAIN", "YXRRSET", "NXRRSET",  "NOTAUTH",  "NOTZONE", "DSOTYPENI",
	};
	const char *text = rcode < ARRAY_LEN(texts) ? texts[rcode]
	                   : rcode == 16            ? "BADVERS"
	                   : rcode == 23            ? "BADCOOKIE"
	                                            : NULL;

	if (text)
		snprintf(out, NAME_RCODE_TEXT_LEN, "%s", text);
	else
		snprintf(out, NAME_RCODE_TEXT_LEN, "RCODE%u", rcode);
}
