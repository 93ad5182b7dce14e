/* resolver/rdata.c - the table of RDATA layouts. */
#include "rdata.h"

#include "sallyport/err.h"
#include "sallyport/name.h"
#include "wire.h"

const uint8_t *rdata_layout(uint16_t type)
{
	/* Names in the table by the RFC that defines the type. Fixed sizes are checked for the
	 * types whose data we look into; ldns checks the others. */
	static const uint8_t rest[] = { RDATA_REST, RDATA_END };
	static const uint8_t a[] = { 4, RDATA_END };
	static const uint8_t aaaa[] = { 16, RDATA_END };
	static const uint8_t name_1035[] = { RDATA_NAME_1035, RDATA_END };
	static const uint8_t soa[] = { RDATA_NAME_1035, RDATA_NAME_1035, 20, RDATA_END };
	static const uint8_t minfo[] = { RDATA_NAME_1035, RDATA_NAME_1035, RDATA_END };
	static const uint8_t mx[] = { 2, RDATA_NAME_1035, RDATA_END };
	static const uint8_t hinfo[] = { RDATA_STRING, RDATA_STRING, RDATA_END };
	static const uint8_t txt[] = { RDATA_STRINGS, RDATA_END };
	static const uint8_t name[] = { RDATA_NAME, RDATA_END };
	static const uint8_t names2[] = { RDATA_NAME, RDATA_NAME, RDATA_END };
	static const uint8_t pref_name[] = { 2, RDATA_NAME, RDATA_END };
	static const uint8_t px[] = { 2, RDATA_NAME, RDATA_NAME, RDATA_END };
	static const uint8_t sig[] = { 18, RDATA_NAME, RDATA_REST, RDATA_END };
	static const uint8_t name_rest[] = { RDATA_NAME, RDATA_REST, RDATA_END };
	static const uint8_t srv[] = { 6, RDATA_NAME, RDATA_END };
	static const uint8_t naptr[] = { 4,          RDATA_STRING, RDATA_STRING, RDATA_STRING,
		                         RDATA_NAME, RDATA_END };
	static const uint8_t hip[] = { RDATA_HIP, RDATA_NAMES, RDATA_END };
	static const uint8_t svcb[] = { 2, RDATA_NAME, RDATA_REST, RDATA_END };

	switch (type) {
	case TYPE_A:
		return a;
	case TYPE_AAAA:
		return aaaa;
	case TYPE_NS:
	case 3: /* MD */
	case 4: /* MF */
	case TYPE_CNAME:
	case 7:  /* MB */
	case 8:  /* MG */
	case 9:  /* MR */
	case 12: /* PTR */
		return name_1035;
	case TYPE_SOA:
		return soa;
	case 14: /* MINFO */
		return minfo;
	case 15: /* MX */
		return mx;
	case TYPE_HINFO:
		return hinfo;
	case 16: /* TXT */
	case 99: /* SPF */
		return txt;
	case TYPE_DNAME:
		return name;
	case 17: /* RP */
	case 58: /* TALINK */
		return names2;
	case 18:  /* AFSDB */
	case 21:  /* RT */
	case 36:  /* KX */
	case 107: /* LP */
		return pref_name;
	case 26: /* PX */
		return px;
	case 24: /* SIG */
	case TYPE_RRSIG:
		return sig;
	case 30: /* NXT */
	case TYPE_NSEC:
	case 249: /* TKEY */
	case 250: /* TSIG */
		return name_rest;
	case 33: /* SRV */
		return srv;
	case 35: /* NAPTR */
		return naptr;
	case 55: /* HIP */
		return hip;
	case TYPE_SVCB:
	case TYPE_HTTPS:
		return svcb;
	default:
		return rest;
	}
}

int rdata_next(struct rdata_cursor *cursor, size_t *ret_pos, size_t *ret_len)
{
	uint8_t field = *cursor->layout;
	const uint8_t *at = cursor->rdata + cursor->pos;
	size_t left = cursor->len - cursor->pos;
	size_t take;
	int kind = field;

	if (field == RDATA_END)
		return left == 0 ? RDATA_END : ERR_MALFORMED;

	if (field <= RDATA_FIXED_MAX) {
		kind = RDATA_FIXED_MAX;
		take = field;
		cursor->layout++;
	} else if (field == RDATA_REST) {
		take = left;
		cursor->layout++;
	} else if (field == RDATA_STRING || field == RDATA_STRINGS) {
		if (left == 0)
			return ERR_MALFORMED;
		take = 1u + at[0];
		if (field == RDATA_STRING || take == left)
			cursor->layout++;
	} else if (field == RDATA_HIP) {
		if (left < 4)
			return ERR_MALFORMED;
		take = 4u + at[0] + wire_u16(at + 2);
		cursor->layout++;
	} else { /* the three kinds of names */
		int len;

		if (field == RDATA_NAMES && left == 0) {
			cursor->layout++;
			return RDATA_END;
		}
		len = name_wire_len(at, left);
		if (len < 0)
			return ERR_MALFORMED;
		take = (size_t)len;
		if (field != RDATA_NAMES)
			cursor->layout++;
	}
	if (take > left)
		return ERR_MALFORMED;

	*ret_pos = cursor->pos;
	*ret_len = take;
	cursor->pos += take;
	return kind;
}
