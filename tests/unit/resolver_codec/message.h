/* tests/unit/resolver_codec/message.h - upstream messages from text, for tests.
 *
 * Sections are lines in presentation form; ldns writes them, compressed, so nothing here shares
 * code with what is tested. Wrong text ends the test.
 */
#pragma once

#include <stdbool.h> /* before ldns, which would define bool as signed char */

#include <ldns/ldns.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "sallyport/name.h"

struct message {
	uint8_t data[65535];
	size_t len;
};

enum message_flag { MESSAGE_AA = 1, MESSAGE_TC = 2, MESSAGE_QUERY = 4, MESSAGE_NO_QUESTION = 8 };

static inline void message_section(ldns_pkt *pkt, ldns_pkt_section section, const char *text)
{
	while (text && *text) {
		size_t len = strcspn(text, "\n");
		char *line = strndup(text, len);
		ldns_rr *rr = NULL;

		if (ldns_rr_new_frm_str(&rr, line, 300, NULL, NULL) != LDNS_STATUS_OK)
			fail_msg("not a record: %s", line);
		ldns_pkt_push_rr(pkt, section, rr);
		free(line);
		text += len + (text[len] == '\n');
	}
}

static inline struct message *message_new(const char *qname, uint16_t qtype, unsigned int rcode,
                                          unsigned int flags, const char *answer,
                                          const char *authority)
{
	struct message *m = calloc(1, sizeof(*m));
	ldns_pkt *pkt = ldns_pkt_new();
	ldns_rr *question = ldns_rr_new();
	uint8_t *wire = NULL;

	assert_non_null(m);
	ldns_rr_set_owner(question, ldns_dname_new_frm_str(qname));
	ldns_rr_set_type(question, qtype);
	ldns_rr_set_class(question, LDNS_RR_CLASS_IN);
	ldns_rr_set_question(question, true);
	if (flags & MESSAGE_NO_QUESTION)
		ldns_rr_free(question);
	else
		ldns_pkt_push_rr(pkt, LDNS_SECTION_QUESTION, question);
	ldns_pkt_set_qr(pkt, !(flags & MESSAGE_QUERY));
	ldns_pkt_set_aa(pkt, flags & MESSAGE_AA);
	ldns_pkt_set_tc(pkt, flags & MESSAGE_TC);
	ldns_pkt_set_rcode(pkt, (uint8_t)rcode);
	message_section(pkt, LDNS_SECTION_ANSWER, answer);
	message_section(pkt, LDNS_SECTION_AUTHORITY, authority);
	assert_int_equal(ldns_pkt2wire(&wire, pkt, &m->len), LDNS_STATUS_OK);
	assert_true(m->len <= sizeof(m->data));
	memcpy(m->data, wire, m->len);
	free(wire);
	ldns_pkt_free(pkt);
	return m;
}

/* A wire name from text, in a buffer of the caller's. */
static inline const uint8_t *wire_of(const char *text, uint8_t buffer[static NAME_MAX_WIRE])
{
	if (name_from_text(text, buffer) < 0)
		fail_msg("not a name: %s", text);
	return buffer;
}
#define WIRE(text) wire_of(text, (uint8_t[NAME_MAX_WIRE]){ 0 })
