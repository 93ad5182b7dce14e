/* keeper/anchor.c - word by word. */
#include "anchor.h"

#include <ctype.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sallyport/err.h"

enum { TYPE_DS = 43, TYPE_DNSKEY = 48, LINE_MAX_LEN = 4096 };

static char *next_word(char **rest)
{
	char *word = *rest + strspn(*rest, " \t\r");
	size_t len = strcspn(word, " \t\r");

	*rest = word + len + (word[len] != '\0');
	word[len] = '\0';
	return *word ? word : NULL;
}

static bool number(const char *word, unsigned long max, unsigned long *ret)
{
	char *end;

	if (!word || !isdigit((unsigned char)word[0]))
		return false;
	*ret = strtoul(word, &end, 10);
	return *end == '\0' && *ret <= max;
}

/* Three numbers, then octets in hex (DS) or base64 (DNSKEY). */
static int read_rdata(char *rest, struct conf_anchor *anchor, const char **why)
{
	unsigned long first, second, third;
	const size_t bits = anchor->type == TYPE_DS ? 4 : 6; /* a character stands for */
	size_t len = 0;
	int r;

	*why = "three numbers belong after the type";
	if (!number(next_word(&rest), 65535, &first) || !number(next_word(&rest), 255, &second) ||
	    !number(next_word(&rest), 255, &third))
		return ERR_INVAL;
	anchor->rdata[0] = (uint8_t)(first >> 8);
	anchor->rdata[1] = (uint8_t)first;
	anchor->rdata[2] = (uint8_t)second;
	anchor->rdata[3] = (uint8_t)third;
	if (anchor->type == TYPE_DS) {
		*why = "the digest is not hexadecimal";
		r = sodium_hex2bin(anchor->rdata + 4, sizeof(anchor->rdata) - 4, rest, strlen(rest),
		                   " \t\r", &len, NULL);
	} else {
		*why = "the key is not base64";
		r = sodium_base642bin(anchor->rdata + 4, sizeof(anchor->rdata) - 4, rest,
		                      strlen(rest), " \t\r", &len, NULL,
		                      sodium_base64_VARIANT_ORIGINAL);
	}
	if (r != 0 && strlen(rest) * bits / 8 > sizeof(anchor->rdata) - 4)
		*why = "the record is longer than any key or digest"; /* LIMIT_ANCHOR_BYTES */
	if (r != 0 || len == 0)
		return ERR_INVAL;
	anchor->len = (uint16_t)(4 + len);
	return ERR_OK;
}

/* A digest of another length can never match (RFC 4509, RFC 6605); a key without zone flag neither.
 */
static int check(const struct conf_anchor *anchor, const char **why)
{
	static const size_t digests[] = { [1] = 20, [2] = 32, [4] = 48 };
	size_t digest = anchor->rdata[3];

	if (anchor->type == TYPE_DS) {
		*why = "the digest has not the length of its type";
		return digest < ARRAY_LEN(digests) && digests[digest] != 0 &&
		               digests[digest] != anchor->len - 4u
		           ? ERR_INVAL
		           : ERR_OK;
	}
	*why = "the key lacks the zone flag (256), or its protocol is not 3";
	return (anchor->rdata[0] & 1) && anchor->rdata[2] == 3 ? ERR_OK : ERR_INVAL;
}

int anchor_read(const char *line, struct conf_anchor *ret_anchor, const char **ret_why)
{
	char copy[LINE_MAX_LEN], *rest = copy, *word;
	uint8_t name[NAME_MAX_WIRE];
	unsigned long ttl;
	size_t len = strcspn(line, ";");
	int name_len;

	*ret_why = "the line is too long";
	if (len >= sizeof(copy))
		return ERR_INVAL;
	memcpy(copy, line, len);
	copy[len] = '\0';
	word = next_word(&rest);
	if (!word)
		return ERR_NOENT;
	memset(ret_anchor, 0, sizeof(*ret_anchor));
	*ret_why = "the first word is no name";
	name_len = name_from_text(word, name);
	if (name_len < 0)
		return ERR_INVAL;
	name_lower(ret_anchor->name, name, (size_t)name_len);
	word = next_word(&rest);
	if (number(word, INT32_MAX, &ttl))
		word = next_word(&rest);
	if (word && strcasecmp(word, "IN") == 0)
		word = next_word(&rest);
	*ret_why = "neither DS nor DNSKEY";
	if (word && strcasecmp(word, "DS") == 0)
		ret_anchor->type = TYPE_DS;
	else if (word && strcasecmp(word, "DNSKEY") == 0)
		ret_anchor->type = TYPE_DNSKEY;
	else
		return ERR_INVAL;
	if (read_rdata(rest, ret_anchor, ret_why) < 0)
		return ERR_INVAL;
	return check(ret_anchor, ret_why);
}
