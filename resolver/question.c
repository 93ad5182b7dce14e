/* resolver/question.c - read a client's message in one pass. */
#include "question.h"

#include <string.h>

#include "sallyport/err.h"
#include "sallyport/limits.h"
#include "wire.h"

#define UDP_BYTES_MIN                                                                              \
	512 /* RFC 1035, section 4.2.1; smaller values in OPT mean this (RFC 6891)                 \
	     */

/* RFC 1035, section 3.1, without compression: nothing precedes the question that could be pointed
 * at. Returns the position behind the name, or 0. */
static size_t read_qname(const uint8_t *msg, size_t len, struct question *q)
{
	size_t pos = WIRE_HEADER, out = 0;
	uint8_t labels = 0;

	for (;;) {
		size_t n, end;

		if (pos >= len)
			return 0;
		n = msg[pos++];
		q->name[out++] = (uint8_t)n;
		if (n == 0)
			break;
		/* Room for the label and at least the root's octet, in the name and in the message.
		 */
		if (n > 63 || out + n + 1 > NAME_MAX_WIRE || len - pos <= n)
			return 0;
		for (end = out + n; out < end; out++, pos++)
			q->name[out] = wire_lower(msg[pos]);
		labels++;
	}
	q->name_len = (uint8_t)out;
	q->labels = labels;
	return pos;
}

/* RFC 1995, section 3: an IXFR carries the client's SOA in the authority section. It is skipped so
 * that the transfer can be refused as what it is. Returns the position behind it, or 0. */
static size_t skip_ixfr_soa(const uint8_t *msg, size_t len, size_t pos)
{
	size_t rdlen;

	if (len - pos >= 2 && (msg[pos] & 0xc0) == 0xc0) {
		pos += 2; /* to the question's name, usually; where to does not matter to us */
	} else {
		int n = name_wire_len(msg + pos, len - pos);

		if (n < 0)
			return 0;
		pos += (size_t)n;
	}
	if (len - pos < WIRE_RR_FIXED || wire_u16(msg + pos) != TYPE_SOA)
		return 0;
	rdlen = wire_u16(msg + pos + 8);
	pos += WIRE_RR_FIXED;
	return len - pos < rdlen ? 0 : pos + rdlen;
}

/* Only the first COOKIE counts (RFC 7873, section 5.2); its length is 8, or 16 to 40 (section 4).
 */
static bool read_cookie(const uint8_t *data, size_t len, struct question *q)
{
	size_t server;

	if (q->cookie)
		return true;
	if (len < COOKIE_CLIENT_LEN)
		return false;
	server = len - COOKIE_CLIENT_LEN;
	if (server != 0 && (server < 8 || server > COOKIE_SERVER_MAX))
		return false;
	memcpy(q->cookie_client, data, COOKIE_CLIENT_LEN);
	memcpy(q->cookie_server, data + COOKIE_CLIENT_LEN, server);
	q->cookie_server_len = (uint8_t)server;
	q->cookie = true;
	return true;
}

/* The OPT record at @pos, which must be all that is left (RFC 6891, section 6.1). */
static enum question_result read_opt(const uint8_t *msg, size_t len, size_t pos, struct question *q)
{
	unsigned int n_options = 0;
	uint16_t size;

	if (len - pos < 1 + WIRE_RR_FIXED || msg[pos] != 0 || wire_u16(msg + pos + 1) != TYPE_OPT)
		return QUESTION_FORMERR;
	if (wire_u16(msg + pos + 9) != len - pos - 1 - WIRE_RR_FIXED)
		return QUESTION_FORMERR;
	size = wire_u16(msg + pos + 3);
	q->udp_bytes = size > UDP_BYTES_MIN ? size : UDP_BYTES_MIN;
	q->dnssec_ok = (msg[pos + 7] & 0x80) != 0;
	if (msg[pos + 6] != 0) { /* what options look like there is for that version to say */
		q->edns = true;
		return QUESTION_BADVERS;
	}

	for (pos += 1 + WIRE_RR_FIXED; pos < len;) {
		size_t n;

		if (len - pos < 4 || ++n_options > LIMIT_EDNS_OPTIONS)
			return QUESTION_FORMERR;
		n = wire_u16(msg + pos + 2);
		if (len - pos - 4 < n)
			return QUESTION_FORMERR;
		if (wire_u16(msg + pos) == EDNS_COOKIE && !read_cookie(msg + pos + 4, n, q))
			return QUESTION_FORMERR;
		pos += 4 + n;
	}
	q->edns = true;
	return QUESTION_OK;
}

size_t question_write(const uint8_t *name, uint16_t type, uint8_t ret_msg[static QUESTION_BYTES])
{
	size_t name_len = wire_name_len(name), len = WIRE_HEADER + name_len;

	memset(ret_msg, 0, WIRE_HEADER);
	ret_msg[2] = WIRE_RD;
	wire_put16(ret_msg + 4, 1);
	memcpy(ret_msg + WIRE_HEADER, name, name_len);
	wire_put16(ret_msg + len, type);
	wire_put16(ret_msg + len + 2, CLASS_IN);
	return len + 4;
}

enum question_result question_parse(const uint8_t *msg, size_t len, struct question *ret_q)
{
	struct question *q = ret_q;
	enum question_result result = QUESTION_OK;
	uint16_t n_authority, n_additional;
	size_t pos;

	q->msg = msg;
	q->len = 0;
	q->id = 0;
	q->opcode = 0;
	q->rd = q->ad = q->cd = false;
	q->have_question = false;
	q->qname = NULL;
	q->name[0] = 0;
	q->name_len = 1;
	q->labels = 0;
	q->qtype = q->qclass = 0;
	q->edns = q->dnssec_ok = q->cookie = false;
	q->udp_bytes = UDP_BYTES_MIN;
	q->cookie_server_len = 0;

	if (len < WIRE_HEADER || len > LIMIT_MSG_BYTES || (msg[2] & WIRE_QR))
		return QUESTION_DROP;
	q->len = (uint16_t)len;
	q->id = wire_u16(msg);
	q->opcode = (msg[2] >> 3) & 15;
	q->rd = msg[2] & WIRE_RD;
	q->ad = msg[3] & WIRE_AD;
	q->cd = msg[3] & WIRE_CD;
	if (q->opcode != 0)
		return QUESTION_NOTIMP;

	/* RFC 9619: one question, no more. None at all (RFC 7873, section 5.4) is optional to
	 * serve. */
	if (wire_u16(msg + 4) != 1)
		return QUESTION_FORMERR;
	pos = read_qname(msg, len, q);
	if (pos == 0 || len - pos < 4) {
		q->name[0] = 0;
		q->name_len = 1;
		q->labels = 0;
		return QUESTION_FORMERR;
	}
	q->qname = msg + WIRE_HEADER;
	q->qtype = wire_u16(msg + pos);
	q->qclass = wire_u16(msg + pos + 2);
	q->have_question = true;
	pos += 4;

	n_authority = wire_u16(msg + 8);
	n_additional = wire_u16(msg + 10);
	if (wire_u16(msg + 6) != 0 || n_additional > 1)
		return QUESTION_FORMERR;
	if (n_authority != 0) {
		if (n_authority != 1 || q->qtype != TYPE_IXFR)
			return QUESTION_FORMERR;
		pos = skip_ixfr_soa(msg, len, pos);
		if (pos == 0)
			return QUESTION_FORMERR;
	}
	if (n_additional == 1)
		result = read_opt(msg, len, pos, q);
	else if (pos != len)
		result = QUESTION_FORMERR;

	if (result == QUESTION_FORMERR) { /* an OPT that cannot be read was not sent */
		q->edns = q->dnssec_ok = q->cookie = false;
		q->udp_bytes = UDP_BYTES_MIN;
		q->cookie_server_len = 0;
	}
	return result;
}
