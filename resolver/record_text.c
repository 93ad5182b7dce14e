/* resolver/record_text.c - records as people read them, for the history. */
#include <stdbool.h> /* before ldns, which would define bool as signed char */

#include <ldns/ldns.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "entry.h"
#include "form.h"
#include "sallyport/err.h"
#include "wire.h"

static void rr_free_cleanup(ldns_rr **rr)
{
	ldns_rr_free(*rr);
}
static void buffer_free_cleanup(ldns_buffer **buffer)
{
	ldns_buffer_free(*buffer);
}

/* Copy @text with everything but printable ASCII as \DDD. Returns 0 or ERR_NOSPC. */
static int copy_escaped(const uint8_t *text, size_t len, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		bool plain = text[i] >= ' ' && text[i] < 0x7f;
		size_t need = plain ? 1 : 4;

		if (n + need >= size) {
			out[n] = '\0';
			return ERR_NOSPC;
		}
		if (plain)
			out[n] = (char)text[i];
		else
			snprintf(out + n, 5, "\\%03u", text[i]);
		n += need;
	}
	out[n] = '\0';
	return ERR_OK;
}

/* RFC 3597, section 5: any RDATA as its length and octets. */
static void unknown_text(const ldns_rr *rr, ldns_buffer *buffer)
{
	size_t len = 0;

	for (size_t i = 0; i < ldns_rr_rd_count(rr); i++)
		len += ldns_rdf_size(ldns_rr_rdf(rr, i));
	ldns_buffer_clear(buffer);
	ldns_buffer_printf(buffer, "\\# %zu ", len);
	for (size_t i = 0; i < ldns_rr_rd_count(rr); i++) {
		const ldns_rdf *field = ldns_rr_rdf(rr, i);

		for (size_t j = 0; j < ldns_rdf_size(field); j++)
			ldns_buffer_printf(buffer, "%02x", ldns_rdf_data(field)[j]);
	}
}

/* Most records are addresses, and ldns has to be asked about none of them. */
static bool address_of(const ldns_rr *rr, uint8_t ret_addr[static ADDR_LEN])
{
	const ldns_rdf *first = ldns_rr_rd_count(rr) == 1 ? ldns_rr_rdf(rr, 0) : NULL;
	ldns_rr_type type = ldns_rr_get_type(rr);

	if (first && type == LDNS_RR_TYPE_A && ldns_rdf_size(first) == 4)
		addr_from_v4(ldns_rdf_data(first), ret_addr);
	else if (first && type == LDNS_RR_TYPE_AAAA && ldns_rdf_size(first) == ADDR_LEN)
		memcpy(ret_addr, ldns_rdf_data(first), ADDR_LEN);
	else
		return false;
	return true;
}

/* The data of @rr as in a zone file; as RFC 3597 has it for types that ldns does not know, and for
 * data that it finds no words for: the history must not lose a record because of its content. */
static int data_text(const ldns_rr *rr, char *out, size_t size)
{
	CLEANUP(buffer_free) ldns_buffer *buffer = ldns_buffer_new(1024);
	ldns_status status = LDNS_STATUS_OK;

	if (!buffer)
		return ERR_NOMEM;
	for (size_t i = 0; i < ldns_rr_rd_count(rr) && status == LDNS_STATUS_OK; i++) {
		if (i > 0)
			ldns_buffer_printf(buffer, " ");
		status = ldns_rdf2buffer_str(buffer, ldns_rr_rdf(rr, i));
	}
	if (status != LDNS_STATUS_OK)
		unknown_text(rr, buffer);
	if (ldns_buffer_status(buffer) != LDNS_STATUS_OK)
		return ERR_NOMEM;
	return copy_escaped(ldns_buffer_begin(buffer), ldns_buffer_position(buffer), out, size);
}

static int owner_text(const uint8_t *owner, char *out, size_t size)
{
	uint8_t lower[NAME_MAX_WIRE];
	char text[NAME_TEXT_LEN];

	name_lower(lower, owner, wire_name_len(owner));
	return copy_escaped((const uint8_t *)text, name_to_text(lower, text), out, size);
}

int record_text(const uint8_t *owner, uint16_t type, const uint8_t *rdata, uint16_t rdata_len,
                char *ret_owner, size_t owner_size, char *ret_data, size_t data_size)
{
	CLEANUP(rr_free) ldns_rr *rr = NULL;
	CLEANUP(free) uint8_t *wire = NULL;
	size_t pos = 0, len = 1 + WIRE_RR_FIXED + rdata_len;
	int r_owner, r_data;

	if (owner_size == 0 || data_size == 0)
		return ERR_NOSPC;
	wire = calloc(1, len); /* owned by the root: ldns is asked about the data only */
	if (!wire)
		return ERR_NOMEM;
	wire_put16(wire + 1, type);
	wire_put16(wire + 3, CLASS_IN);
	wire_put16(wire + 9, rdata_len);
	if (rdata_len > 0)
		memcpy(wire + 1 + WIRE_RR_FIXED, rdata, rdata_len);
	if (ldns_wire2rr(&rr, wire, len, &pos, LDNS_SECTION_ANSWER) != LDNS_STATUS_OK)
		return ERR_MALFORMED;
	r_owner = owner_text(owner, ret_owner, owner_size);
	r_data = data_text(rr, ret_data, data_size);
	return r_data < 0 ? r_data : r_owner;
}

int entry_rr_text(const struct entry *entry, const struct entry_rr *rr, char *owner,
                  size_t owner_size, char *data, size_t data_size)
{
	const uint8_t *octets = entry_octets(entry);

	return record_text(octets + rr->owner, rr->type, octets + rr->rdata, rr->rdata_len, owner,
	                   owner_size, data, data_size);
}

#define DATA_TEXT_MAX 16384

/* The TTL of the RRset in the links (they have one for all of its records, see entry.c). */
static uint32_t ttl_of_links(const struct form *form, const uint8_t *owner, uint16_t type,
                             uint8_t section)
{
	for (size_t i = 0; i < form->n_links; i++) {
		const struct entry *entry = form->links[i];
		const struct entry_rr *rrs = entry_rrs(entry);

		for (size_t j = 0; j < entry->n_rrs; j++) {
			if (rrs[j].type == type && rrs[j].section == section &&
			    name_equal(entry_octets(entry) + rrs[j].owner, owner))
				return rrs[j].ttl;
		}
	}
	return 0;
}

static int give_record(const struct form *form, const ldns_rr *rr, uint8_t section, char *data,
                       bool (*each)(void *ctx, const struct form_record *record), void *ctx,
                       bool *ret_go_on)
{
	const uint8_t *owner_wire = ldns_rdf_data(ldns_rr_owner(rr));
	char owner[NAME_TEXT_LEN];
	struct form_record record = {
		.owner = owner,
		.data = data,
		.ttl_s = ldns_rr_ttl(rr),
		.type = (uint16_t)ldns_rr_get_type(rr),
		.section = section,
	};
	bool has_address = address_of(rr, record.addr);
	int r;

	r = owner_text(owner_wire, owner, sizeof(owner));
	/* An IPv4 address in IPv6's clothes is written as what it is a record of. */
	if (r == 0 && has_address && (record.type == TYPE_A || !addr_is_v4(record.addr)))
		addr_text(record.addr, data);
	else if (r == 0)
		r = data_text(rr, data, DATA_TEXT_MAX);
	if (r < 0 && r != ERR_NOSPC)
		return r;
	record.cut = r == ERR_NOSPC;
	record.upstream_ttl_s = ttl_of_links(form, owner_wire, record.type, section);
	*ret_go_on = each(ctx, &record);
	return ERR_OK;
}

int form_records(const struct form *form, bool (*each)(void *ctx, const struct form_record *record),
                 void *ctx)
{
	const struct entry *question = form->links[0];
	size_t pos = WIRE_HEADER + question->name_len + 4u, len = pos + form->body_len;
	size_t n = MIN((size_t)LIMIT_ANSWER_RRS, (size_t)form->n_answer + form->n_authority);
	CLEANUP(free) uint8_t *msg = calloc(1, len);
	char data[DATA_TEXT_MAX];
	bool go_on = true;

	if (!msg)
		return ERR_NOMEM;
	memcpy(msg + WIRE_HEADER, question->name, question->name_len);
	memcpy(msg + pos, form->body, form->body_len);
	for (size_t i = 0; i < n && go_on; i++) {
		CLEANUP(rr_free) ldns_rr *rr = NULL;
		int r;

		if (ldns_wire2rr(&rr, msg, len, &pos, LDNS_SECTION_ANSWER) != LDNS_STATUS_OK)
			return ERR_MALFORMED;
		r = give_record(form, rr, i < form->n_answer ? 1 : 2, data, each, ctx, &go_on);
		if (r < 0)
			return r;
	}
	return ERR_OK;
}
