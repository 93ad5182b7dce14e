#include "ask.h"

#include <string.h>

#include "sallyport/limits.h"

#define FLAG_QR 0x80
#define FLAG_OPCODE 0x78
#define FLAG_TC 0x02
#define FLAG_RD 0x01
#define FLAG_CD 0x10
#define RCODE_MASK 0x0f
#define RCODE_NOERROR 0
#define RCODE_NXDOMAIN 3
#define RCODE_YXDOMAIN 6
#define TYPE_OPT 41
#define CLASS_IN 1
#define OPT_DO 0x80

static void put16(uint8_t *out, unsigned int value)
{
	out[0] = (uint8_t)(value >> 8);
	out[1] = (uint8_t)value;
}

static unsigned int get16(const uint8_t *in)
{
	return (unsigned int)in[0] << 8 | in[1];
}

void ask_init(struct ask *ask, const uint8_t *name, uint16_t type, bool checking_disabled,
              struct entropy *entropy)
{
	uint8_t bits[NAME_MAX_WIRE / 8 + 1];
	size_t i = (size_t)name_wire_len(name, NAME_MAX_WIRE);

	ask->id = entropy_u16(entropy);
	ask->type = type;
	ask->checking_disabled = checking_disabled;
	entropy_take(entropy, bits, i / 8 + 1);
	i = 0;
	while (name[i]) {
		size_t end = i + name[i] + 1U;

		ask->name[i] = name[i];
		for (i++; i < end; i++) {
			bool letter = name[i] >= 'a' && name[i] <= 'z';
			unsigned int bit = letter ? (unsigned int)bits[i / 8] >> (i % 8) & 1U : 0;

			ask->name[i] = (uint8_t)(name[i] ^ (bit << 5));
		}
	}
	ask->name[i] = 0;
	ask->name_len = (uint8_t)(i + 1);
}

size_t ask_write(const struct ask *ask, uint8_t out[static ASK_MAX])
{
	uint8_t *at = out;

	memset(out, 0, ASK_HEADER_LEN);
	put16(out, ask->id);
	out[2] = FLAG_RD;
	out[3] = ask->checking_disabled ? FLAG_CD : 0;
	put16(out + 4, 1);  /* QDCOUNT */
	put16(out + 10, 1); /* ARCOUNT: OPT */
	at += ASK_HEADER_LEN;

	memcpy(at, ask->name, ask->name_len);
	at += ask->name_len;
	put16(at, ask->type);
	put16(at + 2, CLASS_IN);
	at += 4;

	/* RFC 6891, section 6.1.2: root, OPT, UDP size, extended RCODE and version, flags, no
	 * options. */
	memset(at, 0, ASK_OPT_LEN);
	put16(at + 1, TYPE_OPT);
	put16(at + 3, LIMIT_EDNS_UDP_BYTES);
	at[7] = OPT_DO;
	return (size_t)(at + ASK_OPT_LEN - out);
}

static bool same_name(const struct ask *ask, const uint8_t *name, enum ask_case compare)
{
	uint8_t ours[NAME_MAX_WIRE], theirs[NAME_MAX_WIRE];

	if (compare == ASK_CASE_EXACT)
		return memcmp(name, ask->name, ask->name_len) == 0;
	/* Label lengths are below 'A': lowering leaves them alone. */
	name_lower(ours, ask->name, ask->name_len);
	name_lower(theirs, name, ask->name_len);
	return memcmp(ours, theirs, ask->name_len) == 0;
}

enum ask_result ask_check(const struct ask *ask, const uint8_t *msg, size_t len,
                          enum ask_case compare, uint16_t *ret_rcode)
{
	size_t end = ASK_HEADER_LEN + ask->name_len + 4U;
	const uint8_t *tail;

	if (len < end || get16(msg) != ask->id || (msg[2] & (FLAG_QR | FLAG_OPCODE)) != FLAG_QR ||
	    get16(msg + 4) != 1 || !same_name(ask, msg + ASK_HEADER_LEN, compare))
		return ASK_FOREIGN;
	tail = msg + ASK_HEADER_LEN + ask->name_len;
	if (get16(tail) != ask->type || get16(tail + 2) != CLASS_IN)
		return ASK_FOREIGN;

	if (msg[2] & FLAG_TC)
		return ASK_TRUNCATED;
	*ret_rcode = msg[3] & RCODE_MASK;
	if (*ret_rcode != RCODE_NOERROR && *ret_rcode != RCODE_NXDOMAIN &&
	    *ret_rcode != RCODE_YXDOMAIN)
		return ASK_FAILED;
	return ASK_USABLE;
}
