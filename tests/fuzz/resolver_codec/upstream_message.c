/* An upstream's message, all the way: scan, entries, form, reply; ldns reads the result, and the
 * guard's promise is checked on it: no address that the form does not list.
 *
 * Input: one octet of switches, then the message. What was asked is what its question says.
 */
#include <stdbool.h> /* before ldns, which would define bool as signed char */

#include <ldns/ldns.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "entry.h"
#include "form.h"
#include "netclass.h"
#include "reply.h"
#include "sallyport/clock.h"
#include "sallyport/record.h"
#include "scan.h"
#include "svcb.h"
#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW (1000 * NS_PER_S)

enum { DO = 1, NO_V4 = 2, NO_V6 = 4, INTERNAL = 8, STALE = 16, SMALL = 32 };

static void require(int ok)
{
	if (!ok)
		abort();
}

static bool accept_all(void *ctx, const uint8_t *name)
{
	(void)ctx;
	require(name_wire_len(name, NAME_MAX_WIRE) > 0);
	return true;
}

static void require_listed(const struct form *form, const uint8_t *addr, unsigned int switches)
{
	for (size_t i = 0; i < form->n_addrs; i++) {
		if (memcmp(form->addrs[i], addr, ADDR_LEN) == 0) {
			require(netclass_of(addr) >
			        (switches & INTERNAL ? NETCLASS_NEVER : NETCLASS_INTERNAL));
			require(!(switches & (addr_is_v4(addr) ? NO_V4 : NO_V6)));
			return;
		}
	}
	abort();
}

/* Every address that a client could take out of this record is in the form's list. */
static void check_record(const struct form *form, const ldns_rr *rr, unsigned int switches)
{
	uint8_t addr[ADDR_LEN], hints[256][ADDR_LEN], *wire = NULL;
	ldns_rr_type type = ldns_rr_get_type(rr);
	size_t len, n;

	if (type == LDNS_RR_TYPE_A) {
		addr_from_v4(ldns_rdf_data(ldns_rr_rdf(rr, 0)), addr);
		require_listed(form, addr, switches);
	} else if (type == LDNS_RR_TYPE_AAAA) {
		require_listed(form, ldns_rdf_data(ldns_rr_rdf(rr, 0)), switches);
	} else if (type == LDNS_RR_TYPE_SVCB || type == LDNS_RR_TYPE_HTTPS) {
		size_t head = ldns_rdf_size(ldns_rr_owner(rr)) + 10;

		require(ldns_rr2wire(&wire, rr, LDNS_SECTION_ANSWER, &len) == LDNS_STATUS_OK);
		require(svcb_check(wire + head, len - head) == 0);
		n = svcb_addrs(wire + head, len - head, hints, 256);
		for (size_t i = 0; i < n; i++)
			require_listed(form, hints[i], switches);
		free(wire);
	} else if (type == LDNS_RR_TYPE_RRSIG) {
		require(switches & DO);
	}
}

static void check_form(const struct form *form, const struct question *q, unsigned int switches)
{
	uint8_t *out = malloc(65535);
	struct reply reply = { .ede = RECORD_NO_EDE,
		               .ra = true,
		               .udp_bytes = 1232,
		               .limit = switches & SMALL ? 512 : 65535 };
	struct reply_result r;
	ldns_pkt *pkt = NULL;

	require(out != NULL);
	r = reply_form(out, 65535, q, &reply, form, NOW + NS_PER_S, 3600);
	require(r.len > 0 && r.len <= reply.limit);
	require(scan_message(out, r.len) == 0);
	require(ldns_wire2pkt(&pkt, out, r.len) == LDNS_STATUS_OK);
	require(r.truncated || ldns_pkt_ancount(pkt) == form->n_answer);
	require(!r.truncated || ldns_pkt_ancount(pkt) + ldns_pkt_nscount(pkt) == 0);
	for (size_t i = 0; i < ldns_pkt_ancount(pkt); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(ldns_pkt_answer(pkt), i);

		require(ldns_rr_ttl(rr) <= 3600);
		check_record(form, rr, switches);
	}
	for (size_t i = 0; i < ldns_pkt_nscount(pkt); i++)
		check_record(form, ldns_rr_list_rr(ldns_pkt_authority(pkt), i), switches);
	ldns_pkt_free(pkt);
	free(out);
}

static bool look(void *ctx, const struct form_record *record)
{
	(void)ctx;
	for (const char *p = record->data; *p; p++)
		require(*p >= ' ' && *p < 0x7f);
	for (const char *p = record->owner; *p; p++)
		require(*p >= ' ' && *p < 0x7f);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct entry_limits limits = { 86400, 900, 3600 };
	struct entry *entries[LIMIT_CHAIN];
	uint8_t query[WIRE_HEADER + NAME_MAX_WIRE + 4 + 11] = { 0, 1, 1, 0, 0, 1, [11] = 1 };
	struct form *form = NULL;
	unsigned int switches;
	struct question q;
	size_t name_len;
	int n;

	if (size < 1)
		return 0;
	switches = *data++;
	size--;
	if (scan_message(data, size) < 0)
		return 0;
	n = wire_u16(data + 4) == 1 ? name_wire_len(data + 12, size - 12) : -1;
	if (n < 0)
		return 0;
	name_len = (size_t)n;
	memcpy(query + 12, data + 12, name_len);
	memcpy(query + 12 + name_len, data + 12 + name_len, 4);
	memcpy(query + 16 + name_len, "\0\0\x29\4\xd0\0\0\0\0\0\0", 11);
	if (question_parse(query, 27 + name_len, &q) != QUESTION_OK)
		return 0;

	n = entry_from_message(data, size, q.name, q.qtype, NOW, &limits, accept_all, NULL, entries,
	                       LIMIT_CHAIN);
	if (n < 0)
		return 0;
	require(n >= 1 && n <= LIMIT_CHAIN);
	struct form_spec spec = {
		.qname = q.name,
		.qtype = q.qtype,
		.dnssec_ok = switches & DO,
		.drop_v4_hints = switches & NO_V4,
		.drop_v6_hints = switches & NO_V6,
		.internal = switches & INTERNAL,
		.stale_ttl_s = switches & STALE ? 30 : 0,
		.now_ns = switches & STALE ? NOW + 90000 * NS_PER_S : NOW,
	};
	if (form_make(entries, (size_t)n, &spec, 1, &form) == 0) {
		check_form(form, &q, switches);
		require(form_records(form, look, NULL) == 0);
		form_unref(form);
	}
	for (int i = 0; i < n; i++)
		entry_unref(entries[i]);
	return 0;
}
