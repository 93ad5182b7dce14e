/* resolver/question.h - a client's message: header, question and EDNS, without copying or ldns.
 *
 * Strict: exactly one question, no answer or authority records, at most one OPT, nothing behind it
 * (RFC 1035, RFC 6891, RFC 9619). Compression pointers in the question are malformed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/name.h"

#define QUESTION_BYTES (12 + NAME_MAX_WIRE + 4) /* header and question */
#define COOKIE_CLIENT_LEN 8
#define COOKIE_SERVER_MAX 32

struct question {
	const uint8_t *msg; /* borrowed: the client's message */
	uint16_t len;
	uint16_t id;
	uint8_t opcode;
	bool rd, ad, cd;
	bool have_question;          /* qname .. name_len are valid */
	const uint8_t *qname;        /* in msg, the client's case */
	uint8_t name[NAME_MAX_WIRE]; /* lower case */
	uint8_t name_len;
	uint8_t labels; /* without the root's */
	uint16_t qtype, qclass;
	bool edns; /* the client sent an OPT */
	bool dnssec_ok;
	uint16_t udp_bytes; /* what the client takes: 512 without EDNS, else at least 512 */
	bool cookie;        /* a COOKIE option of legal length came */
	uint8_t cookie_client[COOKIE_CLIENT_LEN];
	uint8_t cookie_server[COOKIE_SERVER_MAX];
	uint8_t cookie_server_len; /* 0, or 8..32 */
};

enum question_result {
	QUESTION_DROP = 0, /* shorter than a header, or a response: answering would reflect */
	QUESTION_OK,
	QUESTION_FORMERR, /* rcode 1; have_question tells whether it can be echoed */
	QUESTION_NOTIMP,  /* an opcode other than QUERY */
	QUESTION_BADVERS, /* EDNS version above 0 (RFC 6891, section 6.1.3) */
};
/* The question (@name, @type) as a client would ask it, without EDNS: for what asks itself. Returns
 * its length. */
size_t question_write(const uint8_t *name, uint16_t type, uint8_t ret_msg[static QUESTION_BYTES]);

/* Fills @ret_q as far as it gets. @msg stays the caller's and must outlive @ret_q. About 100 ns. */
enum question_result question_parse(const uint8_t *msg, size_t len, struct question *ret_q);
