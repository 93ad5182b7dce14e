/* resolver/reply.c - messages to clients, written straight into the send buffer. */
#include "reply.h"

#include <string.h>

#include "cookie.h"
#include "sallyport/clock.h"
#include "sallyport/record.h"
#include "wire.h"

#define OPT_FIXED 11
#define OPTION_HEAD 4
#define ANY_TTL_S 300
#define LOCALHOST_TTL_S 300
#define IPV4ONLY_TTL_S 300

/* A position in @out; what was checked to fit once is not checked again. */
struct out {
	uint8_t *msg;
	size_t len, max;
	uint16_t rcode, ede;
	const char *ede_text;
};

static void put(struct out *out, const void *data, size_t len)
{
	if (len > 0)
		memcpy(out->msg + out->len, data, len);
	out->len += len;
}

static void put16(struct out *out, unsigned int v)
{
	wire_put16(out->msg + out->len, v);
	out->len += 2;
}

static void put32(struct out *out, uint32_t v)
{
	wire_put32(out->msg + out->len, v);
	out->len += 4;
}

static size_t question_len(const struct question *q)
{
	return q->have_question ? q->name_len + 4u : 0;
}

static bool has_cookie(const struct question *q, const struct reply *reply)
{
	return q->cookie && reply->server_cookie;
}

/* EXTRA-TEXT's length: cut at REPLY_EDE_TEXT, never inside a UTF-8 sequence. */
static size_t text_len(const char *text)
{
	size_t len = text ? strnlen(text, REPLY_EDE_TEXT + 1) : 0;

	if (len <= REPLY_EDE_TEXT)
		return len;
	for (len = REPLY_EDE_TEXT; len > 0 && ((uint8_t)text[len] & 0xc0) == 0x80;)
		len--;
	return len;
}

static size_t opt_len(const struct out *out, const struct question *q, const struct reply *reply)
{
	size_t len = OPT_FIXED;

	if (!q->edns)
		return 0;
	if (has_cookie(q, reply))
		len += OPTION_HEAD + COOKIE_CLIENT_LEN + COOKIE_SERVER_LEN;
	if (out->ede != RECORD_NO_EDE)
		len += OPTION_HEAD + 2 + text_len(out->ede_text);
	return len;
}

/* The header, with QDCOUNT and ARCOUNT; the other counts are filled in by whoever adds records. */
static void put_header(struct out *out, const struct question *q, const struct reply *reply)
{
	uint8_t *h = out->msg;

	memset(h, 0, WIRE_HEADER);
	wire_put16(h, q->id);
	h[2] = (uint8_t)(WIRE_QR | q->opcode << 3 | (q->rd ? WIRE_RD : 0));
	h[3] = (uint8_t)((reply->ra ? WIRE_RA : 0) | (q->cd ? WIRE_CD : 0) | (out->rcode & 15));
	/* RFC 6840, sections 5.7 and 5.8: AD only to those who said they understand it. */
	if (reply->ad && (q->ad || q->dnssec_ok))
		h[3] |= WIRE_AD;
	h[5] = q->have_question;
	h[11] = q->edns;
	out->len = WIRE_HEADER;
}

static void put_question(struct out *out, const struct question *q)
{
	if (!q->have_question)
		return;
	put(out, q->qname, q->name_len); /* in the client's case */
	put16(out, q->qtype);
	put16(out, q->qclass);
}

/* RFC 6891, section 6.1.2; the client's DO comes back (RFC 3225). */
static void put_opt(struct out *out, const struct question *q, const struct reply *reply)
{
	size_t text = text_len(out->ede_text);

	if (!q->edns)
		return;
	put(out, "", 1);
	put16(out, TYPE_OPT);
	put16(out, reply->udp_bytes);
	put32(out, (uint32_t)(out->rcode >> 4) << 24 | (q->dnssec_ok ? 0x8000u : 0));
	put16(out, (unsigned int)(opt_len(out, q, reply) - OPT_FIXED));
	if (has_cookie(q, reply)) {
		put16(out, EDNS_COOKIE);
		put16(out, COOKIE_CLIENT_LEN + COOKIE_SERVER_LEN);
		put(out, q->cookie_client, COOKIE_CLIENT_LEN);
		put(out, reply->server_cookie, COOKIE_SERVER_LEN);
	}
	if (out->ede != RECORD_NO_EDE) {
		put16(out, EDNS_EDE);
		put16(out, (unsigned int)(2 + text));
		put16(out, out->ede);
		put(out, out->ede_text, text);
	}
}

/* Decide what leaves, header and question written: true if @records octets fit between them and
 * OPT. False: TC=1 without records is already complete, or nothing fits at all (out->len is 0). */
static bool begin(struct out *out, const struct question *q, const struct reply *reply,
                  size_t records)
{
	size_t head = WIRE_HEADER + question_len(q);
	bool fits;

	if (!q->edns && out->rcode > 15)
		out->rcode = RCODE_SERVFAIL;
	if (head + records + opt_len(out, q, reply) > out->max)
		out->ede_text = NULL;
	if (head + records + opt_len(out, q, reply) > out->max)
		out->ede = RECORD_NO_EDE;
	fits = head + records + opt_len(out, q, reply) <= out->max;
	if (head + opt_len(out, q, reply) > out->max) {
		out->len = 0;
		return false;
	}
	put_header(out, q, reply);
	put_question(out, q);
	if (!fits) {
		out->msg[2] |= WIRE_TC;
		out->msg[3] &= (uint8_t)~WIRE_AD; /* about no data at all */
		put_opt(out, q, reply);
	}
	return fits;
}

static struct out start(uint8_t *msg, size_t cap, const struct reply *reply)
{
	return (struct out){
		.msg = msg,
		.max = cap < reply->limit ? cap : reply->limit,
		.rcode = reply->rcode,
		.ede = reply->ede,
		.ede_text = reply->ede_text,
	};
}

static struct reply_result result(const struct out *out)
{
	return (struct reply_result){ out->len, out->len > 0 && (out->msg[2] & WIRE_TC) != 0 };
}

/* Header and question, then @records octets that are ready but for their place, then OPT. */
static struct reply_result reply_records(struct out *out, const struct question *q,
                                         const struct reply *reply, const uint8_t *records,
                                         size_t len, unsigned int n_answer,
                                         unsigned int n_authority)
{
	if (!begin(out, q, reply, len))
		return result(out);
	put(out, records, len);
	wire_put16(out->msg + 6, n_answer);
	wire_put16(out->msg + 8, n_authority);
	put_opt(out, q, reply);
	return result(out);
}

struct reply_result reply_plain(uint8_t *out, size_t cap, const struct question *q,
                                const struct reply *reply)
{
	struct out o = start(out, cap, reply);

	return reply_records(&o, q, reply, NULL, 0, 0, 0);
}

/* Pointers to the question's name, at offset 12, stand for owner and MNAME. RNAME "nobody.invalid."
 * says that nobody reads mail about it (as RFC 6303, section 3 has it). */
static const uint8_t denial_soa[] = {
	0xc0, WIRE_HEADER,
	0,    TYPE_SOA,
	0,    CLASS_IN,
	0,    0,
	0,    REPLY_DENIAL_TTL,
	0,    38,          /* RDLENGTH */
	0xc0, WIRE_HEADER, /* MNAME */
	6,    'n',
	'o',  'b',
	'o',  'd',
	'y',  7,
	'i',  'n',
	'v',  'a',
	'l',  'i',
	'd',  0, /* RNAME */
	0,    0,
	0,    1, /* SERIAL */
	0,    0,
	0x0e, 0x10, /* REFRESH */
	0,    0,
	0x04, 0xb0, /* RETRY */
	0,    0x09,
	0x3a, 0x80, /* EXPIRE */
	0,    0,
	0,    REPLY_DENIAL_TTL, /* MINIMUM */
};
_Static_assert(sizeof(denial_soa) == 12 + 38, "RDLENGTH of the denial's SOA");

struct reply_result reply_denial(uint8_t *out, size_t cap, const struct question *q,
                                 const struct reply *reply)
{
	struct out o = start(out, cap, reply);

	if (!q->have_question)
		return reply_plain(out, cap, q, reply);
	return reply_records(&o, q, reply, denial_soa, sizeof(denial_soa), 0, 1);
}

struct reply_result reply_form(uint8_t *out, size_t cap, const struct question *q,
                               const struct reply *reply, const struct form *form, uint64_t now_ns,
                               uint32_t ttl_cap_s)
{
	struct out o = start(out, cap, reply);
	uint64_t age_ns = now_ns > form->made_ns ? now_ns - form->made_ns : 0;
	uint32_t age_s;
	uint8_t *body;

	if (o.rcode == RCODE_NOERROR)
		o.rcode = form->rcode;
	if (o.ede == RECORD_NO_EDE) {
		o.ede = form->ede;
		o.ede_text = form->ede_text;
	}
	if (!begin(&o, q, reply, form->body_len))
		return result(&o);
	body = o.msg + o.len;
	put(&o, form->body, form->body_len);
	age_s = age_ns / NS_PER_S > UINT32_MAX ? UINT32_MAX : (uint32_t)(age_ns / NS_PER_S);
	for (size_t i = 0; i < form->n_ttls; i++) {
		uint32_t ttl = form->ttls[2 * i + 1];

		ttl = ttl > age_s ? ttl - age_s : 0;
		wire_put32(body + form->ttls[2 * i], ttl < ttl_cap_s ? ttl : ttl_cap_s);
	}
	wire_put16(o.msg + 6, form->n_answer);
	wire_put16(o.msg + 8, form->n_authority);
	put_opt(&o, q, reply);
	return result(&o);
}

struct reply_result reply_any(uint8_t *out, size_t cap, const struct question *q,
                              const struct reply *reply)
{
	static const uint8_t hinfo[] = { 0xc0,     WIRE_HEADER, 0,   TYPE_HINFO, 0,
		                         CLASS_IN, 0,           0,   1,          44 /* ANY_TTL_S */,
		                         0,        9,           7,   'R',        'F',
		                         'C',      '8',         '4', '8',        '2',
		                         0 };
	struct out o = start(out, cap, reply);

	_Static_assert(ANY_TTL_S == 256 + 44, "TTL of the HINFO record");
	return reply_records(&o, q, reply, hinfo, sizeof(hinfo), 1, 0);
}

struct reply_result reply_localhost(uint8_t *out, size_t cap, const struct question *q,
                                    const struct reply *reply)
{
	uint8_t rr[2 + WIRE_RR_FIXED + ADDR_LEN] = { 0xc0, WIRE_HEADER };
	struct out o = start(out, cap, reply);
	size_t size = q->qtype == TYPE_A ? 4 : ADDR_LEN;

	if (q->qtype != TYPE_A && q->qtype != TYPE_AAAA)
		return reply_denial(out, cap, q, reply);
	wire_put16(rr + 2, q->qtype);
	wire_put16(rr + 4, CLASS_IN);
	wire_put32(rr + 6, LOCALHOST_TTL_S);
	wire_put16(rr + 10, (unsigned int)size);
	if (q->qtype == TYPE_A)
		rr[12] = 127;
	rr[12 + size - 1] = 1;
	return reply_records(&o, q, reply, rr, 12 + size, 1, 0);
}

/* RFC 8880, section 8: the zone's records, TTL one day there. A resolver on the way that knows no
 * better, and later moves behind a NAT64, shall not keep ours so long. */
struct reply_result reply_ipv4only(uint8_t *out, size_t cap, const struct question *q,
                                   const struct reply *reply)
{
	static const uint8_t rrs[] = {
		0xc0, WIRE_HEADER, 0, TYPE_A, 0, CLASS_IN, 0, 0, 1, 44, 0, 4, 192, 0, 0, 170,
		0xc0, WIRE_HEADER, 0, TYPE_A, 0, CLASS_IN, 0, 0, 1, 44, 0, 4, 192, 0, 0, 171,
	};
	struct out o = start(out, cap, reply);

	_Static_assert(IPV4ONLY_TTL_S == 256 + 44, "TTL of the records");
	if (q->qtype != TYPE_A)
		return reply_denial(out, cap, q, reply);
	return reply_records(&o, q, reply, rrs, sizeof(rrs), 2, 0);
}

struct reply_result reply_header_only(uint8_t *out, size_t cap, const struct question *q,
                                      uint16_t rcode)
{
	if (cap < WIRE_HEADER)
		return (struct reply_result){ 0, false };
	memset(out, 0, WIRE_HEADER);
	wire_put16(out, q->id);
	out[2] = (uint8_t)(WIRE_QR | q->opcode << 3 | (q->rd ? WIRE_RD : 0));
	out[3] = (uint8_t)(WIRE_RA | (q->cd ? WIRE_CD : 0) | (rcode & 15));
	return (struct reply_result){ WIRE_HEADER, false };
}
