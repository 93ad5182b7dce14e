/* resolver/message.c - what ldns reads, sorted into RRsets. */
#include "message.h"

#include <stdbool.h> /* before ldns, which would define bool as signed char */

#include <ldns/ldns.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/err.h"
#include "sallyport/limits.h"
#include "sallyport/name.h"
#include "svcb.h"
#include "wire.h"

void message_fini(struct message *m)
{
	free(m->order);
	free(m->rrs);
	free(m->octets);
}

static void rr_free_cleanup(ldns_rr **rr)
{
	ldns_rr_free(*rr);
}

static int add_octets(struct message *m, const uint8_t *data, size_t len, uint32_t *ret_offset)
{
	if (len > LIMIT_MSG_GROWN - m->n_octets)
		return ERR_LIMIT;
	if (len > m->octets_cap - m->n_octets) {
		size_t cap = (m->octets_cap + len) * 2;
		uint8_t *more = realloc(m->octets, cap);

		if (!more)
			return ERR_NOMEM;
		m->octets = more;
		m->octets_cap = cap;
	}
	if (len > 0)
		memcpy(m->octets + m->n_octets, data, len);
	*ret_offset = (uint32_t)m->n_octets;
	m->n_octets += len;
	return ERR_OK;
}

/* ---- reading ---- */

/* Behind the name at @pos; the scan has found it whole. */
static size_t skip_name(const uint8_t *msg, size_t pos)
{
	while (msg[pos] != 0 && msg[pos] < 0xc0)
		pos += 1u + msg[pos];
	return pos + (msg[pos] == 0 ? 1 : 2);
}

/* Beyond what ldns looks at: data that the guard will look into. */
static int check_rdata(uint16_t type, const uint8_t *rdata, size_t len)
{
	switch (type) {
	case TYPE_SVCB:
	case TYPE_HTTPS:
		return svcb_check(rdata, len);
	case TYPE_RRSIG:
		return len < 18 ? ERR_MALFORMED : ERR_OK;
	default:
		return ERR_OK;
	}
}

/* Take one record out of ldns' hands: its RDATA is the fields one after the other, uncompressed. */
static int take_rr(struct message *m, const ldns_rr *rr, uint8_t section)
{
	const ldns_rr_descriptor *descriptor = ldns_rr_descript((uint16_t)ldns_rr_get_type(rr));
	const ldns_rdf *owner = ldns_rr_owner(rr);
	struct message_rr *new = &m->rrs[m->n];
	size_t start;
	int r;

	if (ldns_rr_get_class(rr) != LDNS_RR_CLASS_IN)
		return ERR_OK;
	if (ldns_rr_rd_count(rr) < ldns_rr_descriptor_minimum(descriptor))
		return ERR_MALFORMED;

	new->section = section;
	new->type = (uint16_t)ldns_rr_get_type(rr);
	new->covered = 0;
	new->ttl = ldns_rr_ttl(rr);
	if (new->ttl > INT32_MAX) /* RFC 2181, section 8 */
		new->ttl = 0;
	new->owner_len = (uint8_t)ldns_rdf_size(owner);
	r = add_octets(m, ldns_rdf_data(owner), ldns_rdf_size(owner), &new->owner);
	if (r < 0)
		return r;
	start = m->n_octets;
	new->rdata = (uint32_t)start;
	for (size_t i = 0; i < ldns_rr_rd_count(rr); i++) {
		const ldns_rdf *field = ldns_rr_rdf(rr, i);
		uint32_t ignored;

		r = add_octets(m, ldns_rdf_data(field), ldns_rdf_size(field), &ignored);
		if (r < 0)
			return r;
	}
	if (m->n_octets - start > UINT16_MAX) /* it was compressed, and would not fit without */
		return ERR_MALFORMED;
	new->rdata_len = (uint16_t)(m->n_octets - start);
	r = check_rdata(new->type, message_rdata(m, new), new->rdata_len);
	if (r < 0)
		return r;
	if (new->type == TYPE_RRSIG)
		new->covered = wire_u16(message_rdata(m, new));
	m->n++;
	return ERR_OK;
}

/* Parse one record at *@pos. What ldns leaves unread of the RDATA is malformed. */
static int parse_rr(struct message *m, const uint8_t *msg, size_t len, size_t *pos, uint8_t section)
{
	CLEANUP(rr_free) ldns_rr *rr = NULL;
	size_t fixed = skip_name(msg, *pos);
	size_t end = fixed + WIRE_RR_FIXED + wire_u16(msg + fixed + 8);
	ldns_status status;

	status = ldns_wire2rr(&rr, msg, len, pos, LDNS_SECTION_ANSWER);
	if (status == LDNS_STATUS_MEM_ERR)
		return ERR_NOMEM;
	if (status != LDNS_STATUS_OK || *pos != end)
		return ERR_MALFORMED;
	return take_rr(m, rr, section);
}

/* The upper bits of the extended RCODE (RFC 6891, section 6.1.3). */
static uint16_t extended_rcode(const uint8_t *msg, size_t pos, unsigned int n_additional)
{
	for (unsigned int i = 0; i < n_additional; i++) {
		pos = skip_name(msg, pos);
		if (wire_u16(msg + pos) == TYPE_OPT)
			return (uint16_t)(msg[pos + 4] << 4);
		pos += WIRE_RR_FIXED + wire_u16(msg + pos + 8);
	}
	return 0;
}

/* ---- the index ---- */

struct key {
	const uint8_t *owner;
	uint8_t owner_len;
	uint8_t section;
	uint16_t type, covered;
};

static struct key key_of(const struct message *m, const struct message_rr *rr)
{
	return (struct key){ message_owner(m, rr), rr->owner_len, rr->section, rr->type,
		             rr->covered };
}

static int compare_numbers(unsigned int a, unsigned int b)
{
	return (a > b) - (a < b);
}

/* RFC 4343. Lengths of labels are below the letters, so lowering leaves them alone. */
static int compare_owners(const struct key *a, const struct key *b)
{
	int r = compare_numbers(a->owner_len, b->owner_len);

	for (unsigned int i = 0; r == 0 && i < a->owner_len; i++)
		r = compare_numbers(wire_lower(a->owner[i]), wire_lower(b->owner[i]));
	return r;
}

static int compare_keys(const struct key *a, const struct key *b)
{
	int r = compare_numbers(a->section, b->section);

	if (r == 0)
		r = compare_numbers(a->type, b->type);
	if (r == 0)
		r = compare_numbers(a->covered, b->covered);
	return r != 0 ? r : compare_owners(a, b);
}

/* In the order of the message where the keys are equal. */
static int compare_rrs(const void *a, const void *b, void *ctx)
{
	const struct message *m = ctx;
	uint16_t i = *(const uint16_t *)a, j = *(const uint16_t *)b;
	struct key x = key_of(m, &m->rrs[i]), y = key_of(m, &m->rrs[j]);
	int r = compare_keys(&x, &y);

	return r != 0 ? r : compare_numbers(i, j);
}

static int compare_at(const struct message *m, size_t at, const struct key *key)
{
	struct key other = key_of(m, &m->rrs[m->order[at]]);

	return compare_keys(&other, key);
}

static bool same_rdata(const struct message_rr *a, const struct message_rr *b,
                       const struct message *m)
{
	return a->rdata_len == b->rdata_len &&
	       memcmp(message_rdata(m, a), message_rdata(m, b), a->rdata_len) == 0;
}

/* Does the set that begins at @first and has come as far as n_order hold this record? */
static bool is_duplicate(const struct message *m, size_t first, const struct message_rr *rr)
{
	/* A set that is longer than what is taken of one is refused whole, so nobody minds. */
	if (m->n_order - first > LIMIT_RRSET_RECORDS)
		return false;
	for (size_t i = first; i < m->n_order; i++) {
		if (same_rdata(&m->rrs[m->order[i]], rr, m))
			return true;
	}
	return false;
}

static int make_index(struct message *m)
{
	size_t first = 0;

	m->order = malloc(MAX(m->n, (size_t)1) * sizeof(*m->order));
	if (!m->order)
		return ERR_NOMEM;
	for (size_t i = 0; i < m->n; i++)
		m->order[i] = (uint16_t)i;
	qsort_r(m->order, m->n, sizeof(*m->order), compare_rrs, m);

	for (size_t i = 0; i < m->n; i++) {
		const struct message_rr *rr = &m->rrs[m->order[i]];
		struct key key = key_of(m, rr);

		if (m->n_order > 0 && compare_at(m, m->n_order - 1, &key) != 0)
			first = m->n_order;
		if (!is_duplicate(m, first, rr))
			m->order[m->n_order++] = m->order[i];
	}
	return ERR_OK;
}

/* The first place whose key is not below @key. */
static size_t lower_bound(const struct message *m, const struct key *key)
{
	size_t low = 0, high = m->n_order;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_at(m, middle, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The set at @at, if it is that of @key. */
static struct message_set set_at(const struct message *m, size_t at, const struct key *key)
{
	size_t end = at;

	while (end < m->n_order && compare_at(m, end, key) == 0)
		end++;
	return (struct message_set){ m->order + at, end - at };
}

struct message_set message_find(const struct message *m, uint8_t section, uint16_t type,
                                uint16_t covered, const uint8_t *owner)
{
	struct key key = { owner, (uint8_t)wire_name_len(owner), section, type, covered };

	return set_at(m, lower_bound(m, &key), &key);
}

struct message_set message_next(const struct message *m, uint8_t section, uint16_t type,
                                size_t *pos)
{
	struct key least = { NULL, 0, section, type, 0 }, key;
	struct message_set set = { NULL, 0 };

	if (*pos == 0)
		*pos = lower_bound(m, &least);
	if (*pos == m->n_order)
		return set;
	key = key_of(m, &m->rrs[m->order[*pos]]);
	if (key.section != section || key.type != type)
		return set;
	set = set_at(m, *pos, &key);
	*pos += set.n;
	return set;
}

struct message_set message_find_above(const struct message *m, uint8_t section, uint16_t type,
                                      const uint8_t *name, enum message_self self)
{
	struct message_set set = { NULL, 0 };
	size_t pos = 0;

	if (message_next(m, section, type, &pos).n == 0) /* as of most messages */
		return set;
	if (self == MESSAGE_ABOVE && *name)
		name += 1 + *name;
	else if (self == MESSAGE_ABOVE)
		return set;
	for (;; name += 1 + *name) {
		set = message_find(m, section, type, 0, name);
		if (set.n > 0 || *name == 0)
			return set;
	}
}

int message_add(struct message *m, uint16_t type, const uint8_t *owner, const uint8_t *rdata,
                size_t rdata_len)
{
	struct message_rr *rr;
	int r;

	if (m->n == m->cap)
		return ERR_LIMIT;
	rr = &m->rrs[m->n];
	*rr = (struct message_rr){ .type = type, .rdata_len = (uint16_t)rdata_len };
	rr->owner_len = (uint8_t)wire_name_len(owner);
	r = add_octets(m, owner, rr->owner_len, &rr->owner);
	if (r == 0)
		r = add_octets(m, rdata, rdata_len, &rr->rdata);
	return r < 0 ? r : (int)m->n++;
}

int message_parse(struct message *m, uint8_t *msg, size_t len, const uint8_t *name, uint16_t type)
{
	unsigned int n_answer, n_authority;
	size_t pos = WIRE_HEADER;

	if (len < WIRE_HEADER || !(msg[2] & WIRE_QR))
		return ERR_MALFORMED;
	m->truncated = msg[2] & WIRE_TC;
	m->authoritative = msg[2] & WIRE_AA;
	m->has_question = wire_u16(msg + 4) != 0;
	if (m->has_question) {
		int n = name_wire_len(msg + pos, len - pos);

		if (n < 0 || !name_equal(msg + pos, name))
			return ERR_MALFORMED;
		/* Our own 0x20 case comes back here, and through compression in owners and data:
		 * nobody shall see it. */
		memcpy(msg + pos, name, (size_t)n);
		pos += (size_t)n;
		if (wire_u16(msg + pos) != type || wire_u16(msg + pos + 2) != CLASS_IN)
			return ERR_MALFORMED;
		pos += 4;
	}

	n_answer = wire_u16(msg + 6);
	n_authority = wire_u16(msg + 8);
	m->cap = n_answer + n_authority + LIMIT_CHAIN; /* and synthesized CNAMEs */
	m->rrs = calloc(m->cap, sizeof(*m->rrs));
	if (!m->rrs)
		return ERR_NOMEM;
	for (unsigned int i = 0; i < n_answer + n_authority; i++) {
		int r =
		    parse_rr(m, msg, len, &pos, i < n_answer ? SECTION_ANSWER : SECTION_AUTHORITY);

		if (r < 0)
			return r;
	}
	m->rcode = (uint16_t)(extended_rcode(msg, pos, wire_u16(msg + 10)) | (msg[3] & 15));
	return make_index(m);
}
