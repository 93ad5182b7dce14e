/* A client's datagram: parse it, answer it in every way, and check the answers. */
#include <stdbool.h> /* before ldns, which would define bool as signed char */

#include <ldns/ldns.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cookie.h"
#include "question.h"
#include "reply.h"
#include "sallyport/record.h"
#include "scan.h"
#include "special.h"
#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int ok)
{
	if (!ok)
		abort();
}

/* What we send is a message that we would accept ourselves, and that ldns reads. */
static void check(const uint8_t *out, struct reply_result result, const struct question *q,
                  size_t limit)
{
	ldns_pkt *pkt = NULL;

	require(result.len <= limit);
	if (result.len == 0)
		return;
	require(result.len >= WIRE_HEADER && wire_u16(out) == q->id && (out[2] & WIRE_QR));
	require(scan_message(out, result.len) == 0);
	if (q->have_question)
		require(memcmp(out + WIRE_HEADER, q->qname, q->name_len) == 0);
	if (result.truncated)
		require(wire_u16(out + 6) == 0 && wire_u16(out + 8) == 0);
	require(ldns_wire2pkt(&pkt, out, result.len) == LDNS_STATUS_OK);
	require(ldns_pkt_edns(pkt) == q->edns);
	ldns_pkt_free(pkt);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t secret[16] = "0123456789abcdef";
	static const uint8_t addr[ADDR_LEN] = { 0x20, 1, 0xd, 0xb8 };
	uint8_t out[1232], server[COOKIE_SERVER_LEN];
	struct question q;
	enum question_result result = question_parse(data, size, &q);
	struct reply reply = { .rcode = RCODE_NXDOMAIN,
		               .ede = 15,
		               .ede_text = "deny evil.test",
		               .ra = true,
		               .ad = true,
		               .server_cookie = server,
		               .udp_bytes = 1232 };

	if (result == QUESTION_DROP)
		return 0;
	require(name_wire_len(q.name, q.name_len) == q.name_len);
	require(name_labels(q.name) == q.labels);
	require(q.udp_bytes >= 512);
	if (q.have_question) {
		require(name_equal(q.name, q.qname));
		special_of(q.name);
	}
	if (q.cookie) {
		cookie_valid(secret, &q, addr, 1000);
		cookie_make(secret, q.cookie_client, addr, 1000, server);
	}
	/* A small limit, too, for truncation. */
	for (size_t limit = 300; limit <= sizeof(out); limit += sizeof(out) - 300) {
		reply.limit = limit;
		check(out, reply_plain(out, sizeof(out), &q, &reply), &q, limit);
		check(out, reply_denial(out, sizeof(out), &q, &reply), &q, limit);
		if (!q.have_question)
			continue;
		check(out, reply_any(out, sizeof(out), &q, &reply), &q, limit);
		check(out, reply_localhost(out, sizeof(out), &q, &reply), &q, limit);
		check(out, reply_ipv4only(out, sizeof(out), &q, &reply), &q, limit);
	}
	return 0;
}
