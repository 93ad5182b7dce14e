/* resolver/form.c - the guard, and the laying out of what it lets through. */
#include "form.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "layout.h"
#include "netclass.h"
#include "rdata.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "svcb.h"
#include "wire.h"

#define MSG_MAX 65535

/* One record in canonical form, for the answer's id: section, type, owner, RDATA; names in lower
 * case and whole (RFC 4034, section 6.2). */
struct canonical {
	const uint8_t *data;
	size_t len;
};

/* Work in progress; all of its memory is in one block, sized by what the links could need. */
struct making {
	const struct form_spec *spec;
	struct form form; /* its counts and flags */
	struct layout layout;
	size_t body_at;
	uint32_t *ttls;
	uint8_t (*addrs)[ADDR_LEN];
	size_t n_addrs, addrs_cap;
	uint8_t *scratch; /* one RDATA after the guard's editing */
	uint8_t *canon;
	size_t canon_len;
	struct canonical *canons;
	size_t n_canons;
	size_t n_kept_data;  /* A and AAAA that stayed */
	bool lost_to_source; /* stripped because of the family, not the address */
	uint8_t names[LIMIT_PINHOLE_NAMES];
};

/* An RRset of a link with its RRSIGs behind it: records first .. end - 1, data up to signatures
 * - 1. */
struct group {
	const struct entry *entry;
	size_t first, signatures, end;
	bool internal;
};

static const uint8_t *owner_of(const struct entry *entry, const struct entry_rr *rr)
{
	return entry_octets(entry) + rr->owner;
}

static const uint8_t *rdata_of(const struct entry *entry, const struct entry_rr *rr)
{
	return entry_octets(entry) + rr->rdata;
}

static bool same_set(const struct entry *entry, const struct entry_rr *a, const struct entry_rr *b)
{
	return a->type == b->type && a->section == b->section &&
	       (a->owner == b->owner || name_equal(owner_of(entry, a), owner_of(entry, b)));
}

/* The group that begins at @first. */
static struct group next_group(const struct entry *entry, size_t first, bool internal)
{
	const struct entry_rr *rrs = entry_rrs(entry);
	struct group g = { entry, first, first + 1, first + 1, internal };

	if (rrs[first].signature) { /* over nothing: a group of its own */
		g.signatures = first;
		return g;
	}
	while (g.signatures < entry->n_rrs && !rrs[g.signatures].signature &&
	       same_set(entry, &rrs[first], &rrs[g.signatures]))
		g.signatures++;
	for (g.end = g.signatures; g.end < entry->n_rrs && rrs[g.end].signature;)
		g.end++;
	return g;
}

/* The guard's word on an address record. */
static bool address_stays(const struct making *m, const struct group *g, const struct entry_rr *rr,
                          uint8_t ret_addr[static ADDR_LEN])
{
	const uint8_t *rdata = rdata_of(g->entry, rr);

	if (rr->type == TYPE_A) {
		if (rr->rdata_len != 4 || m->spec->drop_v4_hints)
			return false;
		addr_from_v4(rdata, ret_addr);
	} else {
		if (rr->rdata_len != ADDR_LEN || m->spec->drop_v6_hints || addr_is_v4(rdata))
			return false;
		memcpy(ret_addr, rdata, ADDR_LEN);
	}
	return netclass_of(ret_addr) > (g->internal ? NETCLASS_NEVER : NETCLASS_INTERNAL);
}

static struct svcb_filter filter_of(const struct making *m, const struct group *g)
{
	return (struct svcb_filter){ g->internal, m->spec->drop_v4_hints, m->spec->drop_v6_hints };
}

static bool is_svcb(uint16_t type)
{
	return type == TYPE_SVCB || type == TYPE_HTTPS;
}

static bool is_address(uint16_t type)
{
	return type == TYPE_A || type == TYPE_AAAA;
}

/* Would the guard change this RRset? */
static bool is_altered(struct making *m, const struct group *g)
{
	const struct entry_rr *rrs = entry_rrs(g->entry);

	for (size_t i = g->first; i < g->signatures; i++) {
		struct svcb_filter filter = filter_of(m, g);
		uint8_t addr[ADDR_LEN];

		if (is_address(rrs[i].type) && !address_stays(m, g, &rrs[i], addr))
			return true;
		if (is_svcb(rrs[i].type) &&
		    svcb_strip(rdata_of(g->entry, &rrs[i]), rrs[i].rdata_len, &filter,
		               m->scratch) != rrs[i].rdata_len)
			return true;
	}
	return false;
}

/* What is left of the TTL now. A stale link gets the TTL for stale data (RFC 8767, section 4). */
static uint32_t ttl_now(const struct making *m, const struct entry *entry,
                        const struct entry_rr *rr)
{
	uint64_t now = m->spec->now_ns, age_s, left_s;
	uint64_t until_ns = entry->dnssec_until_ns;

	if (now >= entry->expires_ns && m->spec->stale_ttl_s > 0)
		return m->spec->stale_ttl_s;
	age_s = now > entry->made_ns ? (now - entry->made_ns) / NS_PER_S : 0;
	left_s = age_s < rr->ttl ? rr->ttl - age_s : 0;
	/* RFC 4035, section 5.3.3: never longer than its signature is good for. */
	if (until_ns != 0)
		left_s = MIN(left_s, until_ns > now ? (until_ns - now) / NS_PER_S : 0);
	return (uint32_t)left_s;
}

static void canon_put(struct making *m, const uint8_t *data, size_t len, bool is_name)
{
	if (is_name)
		name_lower(m->canon + m->canon_len, data, len);
	else if (len > 0)
		memcpy(m->canon + m->canon_len, data, len);
	m->canon_len += len;
}

/* Append a record's canonical form. Returns false if an authority record is there already: two
 * links of one zone bring the same SOA and NSECs. */
static bool canon_add(struct making *m, const struct entry *entry, const struct entry_rr *rr,
                      const uint8_t *rdata, size_t rdata_len)
{
	struct canonical *c = &m->canons[m->n_canons];
	struct rdata_cursor cursor = { rdata_layout(rr->type), rdata, rdata_len, 0 };
	const uint8_t *owner = owner_of(entry, rr);
	uint8_t head[3] = { rr->section };
	size_t start = m->canon_len, pos, len;
	int field;

	wire_put16(head + 1, rr->type);
	canon_put(m, head, sizeof(head), false);
	canon_put(m, owner, wire_name_len(owner), true);
	while ((field = rdata_next(&cursor, &pos, &len)) > RDATA_END)
		canon_put(m, rdata + pos, len,
		          field == RDATA_NAME_1035 || field == RDATA_NAME || field == RDATA_NAMES);
	c->data = m->canon + start;
	c->len = m->canon_len - start;

	for (size_t i = 0; rr->section == 2 && i < m->n_canons; i++) {
		if (m->canons[i].len == c->len && memcmp(m->canons[i].data, c->data, c->len) == 0) {
			m->canon_len = start;
			return false;
		}
	}
	m->n_canons++;
	return true;
}

static void add_record(struct making *m, const struct group *g, const struct entry_rr *rr,
                       const uint8_t *rdata, size_t rdata_len)
{
	uint32_t ttl = ttl_now(m, g->entry, rr);
	struct form *f = &m->form;
	size_t ttl_at;

	if (!canon_add(m, g->entry, rr, rdata, rdata_len))
		return;
	layout_record(&m->layout, owner_of(g->entry, rr), rr->type, ttl, rdata, rdata_len, &ttl_at);
	m->ttls[2 * f->n_ttls] = (uint32_t)(ttl_at - m->body_at);
	m->ttls[2 * f->n_ttls + 1] = ttl;
	f->min_ttl_s = f->n_ttls == 0 ? ttl : MIN(f->min_ttl_s, ttl);
	f->n_ttls++;
	if (rr->section == 1)
		f->n_answer++;
	else
		f->n_authority++;
}

/* One data record through the guard. */
static void guard_record(struct making *m, const struct group *g, const struct entry_rr *rr)
{
	struct svcb_filter filter = filter_of(m, g);
	const uint8_t *rdata = rdata_of(g->entry, rr);
	size_t len = rr->rdata_len;

	if (is_address(rr->type)) {
		uint8_t *addr = m->addrs[m->n_addrs]; /* room is there: add_room() counted it */

		if (!address_stays(m, g, rr, addr)) {
			m->lost_to_source |=
			    rr->type == TYPE_A ? m->spec->drop_v4_hints : m->spec->drop_v6_hints;
			return;
		}
		m->n_addrs++;
		m->n_kept_data++;
	} else if (is_svcb(rr->type)) {
		len = svcb_strip(rdata, len, &filter, m->scratch);
		rdata = m->scratch;
		m->n_addrs +=
		    svcb_addrs(rdata, len, m->addrs + m->n_addrs, m->addrs_cap - m->n_addrs);
	}
	add_record(m, g, rr, rdata, len);
}

/* Records that only a client with DO=1 is given (RFC 4035, section 3.2.1), unless it asked for
 * them. */
static bool is_dnssec_only(const struct making *m, const struct entry_rr *rr)
{
	return rr->signature ||
	       (rr->section == 2 && rr->type != m->spec->qtype &&
	        (rr->type == TYPE_NSEC || rr->type == TYPE_NSEC3 || rr->type == TYPE_RRSIG));
}

static void guard_group(struct making *m, const struct group *g)
{
	const struct entry_rr *rrs = entry_rrs(g->entry);
	bool altered = is_altered(m, g);

	m->form.stripped |= altered;
	for (size_t i = g->first; i < g->signatures; i++) {
		if (m->spec->dnssec_ok || !is_dnssec_only(m, &rrs[i]))
			guard_record(m, g, &rrs[i]);
	}
	/* A signature over what was altered would only make the client think of an attack. */
	for (size_t i = g->signatures; i < g->end && m->spec->dnssec_ok && !altered; i++)
		add_record(m, g, &rrs[i], rdata_of(g->entry, &rrs[i]), rrs[i].rdata_len);
}

static void guard_section(struct making *m, struct entry *const *links, size_t n_links,
                          uint8_t section)
{
	for (size_t i = 0; i < n_links; i++) {
		bool internal =
		    m->spec->link_internal ? m->spec->link_internal[i] : m->spec->internal;

		for (size_t at = 0; at < links[i]->n_rrs;) {
			struct group g = next_group(links[i], at, internal);

			if (entry_rrs(links[i])[at].section == section)
				guard_group(m, &g);
			at = g.end;
		}
	}
}

static int compare_canonicals(const void *a, const void *b)
{
	const struct canonical *x = a, *y = b;
	int r = memcmp(x->data, y->data, MIN(x->len, y->len));

	return r != 0 ? r : (x->len > y->len) - (x->len < y->len);
}

/* BLAKE2b-128 over the question, the RCODE and the records, in an order that does not depend on how
 * the upstream happened to rotate them. Zero when there are no records. */
static void make_answer_id(struct making *m)
{
	crypto_generichash_state state;
	uint8_t head[4];

	if (m->n_canons == 0)
		return;
	qsort(m->canons, m->n_canons, sizeof(*m->canons), compare_canonicals);
	crypto_generichash_init(&state, NULL, 0, ANSWER_ID_LEN);
	crypto_generichash_update(&state, m->spec->qname, wire_name_len(m->spec->qname));
	wire_put16(head, m->spec->qtype);
	wire_put16(head + 2, m->form.rcode);
	crypto_generichash_update(&state, head, sizeof(head));
	for (size_t i = 0; i < m->n_canons; i++) {
		wire_put32(head, (uint32_t)m->canons[i].len);
		crypto_generichash_update(&state, head, sizeof(head));
		crypto_generichash_update(&state, m->canons[i].data, m->canons[i].len);
	}
	crypto_generichash_final(&state, m->form.answer_id, ANSWER_ID_LEN);
}

static int compare_addrs(const void *a, const void *b)
{
	return memcmp(a, b, ADDR_LEN);
}

/* Each address once: hints repeat what A and AAAA say, and every one costs a pinhole. */
static void sort_addrs(struct making *m)
{
	size_t n = 0;

	qsort(m->addrs, m->n_addrs, ADDR_LEN, compare_addrs);
	for (size_t i = 0; i < m->n_addrs; i++) {
		if (n == 0 || memcmp(m->addrs[n - 1], m->addrs[i], ADDR_LEN) != 0)
			memmove(m->addrs[n++], m->addrs[i], ADDR_LEN);
	}
	m->n_addrs = n;
}

static void add_name(struct making *m, const uint8_t *name)
{
	uint16_t len = (uint16_t)wire_name_len(name);

	if (m->form.names_cut || sizeof(m->names) - m->form.names_len < sizeof(len) + len) {
		m->form.names_cut = 1;
		return;
	}
	memcpy(m->names + m->form.names_len, &len, sizeof(len));
	name_lower(m->names + m->form.names_len + sizeof(len), name, len);
	m->form.names_len = (uint16_t)(m->form.names_len + sizeof(len) + len);
}

static void add_names(struct making *m, struct entry *const *links, size_t n_links)
{
	uint8_t targets[LIMIT_TARGETS][NAME_MAX_WIRE];
	size_t n;

	add_name(m, m->spec->qname);
	for (size_t i = 0; i < n_links; i++) {
		if (links[i]->target_len > 0)
			add_name(m, links[i]->target);
	}
	n = form_svcb_targets(links[n_links - 1], targets, ARRAY_LEN(targets));
	for (size_t i = 0; i < n; i++)
		add_name(m, targets[i]);
	if (n == ARRAY_LEN(targets)) /* there may be more */
		m->form.names_cut = 1;
}

/* RCODE, validation state and life of the whole, from its links. */
static void judge_links(struct making *m, struct entry *const *links, size_t n_links)
{
	const struct entry *last = links[n_links - 1];
	struct form *f = &m->form;

	f->dnssec = DNSSEC_SECURE;
	f->expires_ns = UINT64_MAX;
	for (size_t i = 0; i < n_links; i++) {
		bool stale = m->spec->stale_ttl_s > 0 && m->spec->now_ns >= links[i]->expires_ns;

		f->dnssec = MIN(f->dnssec, links[i]->dnssec);
		f->synthesized |= links[i]->synthesized;
		if (!stale && links[i]->dnssec_until_ns != 0)
			f->expires_ns = MIN(f->expires_ns, links[i]->dnssec_until_ns);
		f->stale |= stale;
		f->expires_ns =
		    MIN(f->expires_ns, stale ? m->spec->now_ns + m->spec->stale_ttl_s * NS_PER_S
		                             : links[i]->expires_ns);
	}
	switch ((enum entry_kind)last->kind) {
	case ENTRY_FAILURE:
		/* REFUSED and the like are between the upstream and us. */
		f->rcode = RCODE_SERVFAIL;
		f->reason = REASON_UPSTREAM;
		break;
	case ENTRY_NXDOMAIN:
		f->rcode = RCODE_NXDOMAIN;
		break;
	case ENTRY_YXDOMAIN:
		f->rcode = RCODE_YXDOMAIN;
		break;
	case ENTRY_DATA:
	case ENTRY_ALIAS:
	case ENTRY_NODATA:
		f->rcode = RCODE_NOERROR;
		break;
	}
}

/* What the guard did, in words for the client (RFC 8914) and for the history. */
static void judge_outcome(struct making *m)
{
	struct form *f = &m->form;

	f->ede = RECORD_NO_EDE;
	if (f->synthesized) {
		f->ede = EDE_SYNTHESIZED;
		f->ede_text = "denied by records of an earlier answer (RFC 8198)";
	}
	if (f->stale) {
		f->ede = f->rcode == RCODE_NXDOMAIN ? EDE_STALE_NXDOMAIN : EDE_STALE;
		f->ede_text = "the upstreams do not answer";
	}
	if (!f->stripped)
		return;
	/* No AD over what we have changed. */
	f->dnssec = MIN(f->dnssec, DNSSEC_INSECURE);
	f->ede = EDE_FILTERED;
	f->ede_text = m->lost_to_source ? "no single source address of that family"
	                                : "addresses that are not globally reachable were removed";
	if (is_address(m->spec->qtype) && m->n_kept_data == 0)
		f->reason = m->lost_to_source ? REASON_SOURCE : REASON_REBINDING;
}

/* Everything out of @m into one allocation. */
static int finish(struct making *m, struct entry *const *links, size_t n_links, uint64_t uid,
                  struct form **ret_form)
{
	size_t body_len = m->layout.len - m->body_at;
	size_t ttls_len = m->form.n_ttls * 2 * sizeof(uint32_t);
	size_t bytes = sizeof(struct form) + n_links * sizeof(*links) + ttls_len +
	               m->n_addrs * ADDR_LEN + m->form.names_len + body_len;
	struct form *f = malloc(bytes);
	uint8_t *at;

	if (!f)
		return ERR_NOMEM;
	*f = m->form;
	f->refs = 1;
	f->uid = uid;
	f->made_ns = m->spec->now_ns;
	f->n_addrs = (uint16_t)m->n_addrs;
	f->body_len = (uint32_t)body_len;
	f->bytes = (uint32_t)bytes;
	at = (uint8_t *)(f + 1);
	f->links = (struct entry **)(void *)at;
	for (size_t i = 0; i < n_links; i++)
		f->links[i] = entry_ref(links[i]);
	f->n_links = (uint8_t)n_links;
	at += n_links * sizeof(*links);
	f->ttls = (uint32_t *)(void *)at;
	memcpy(at, m->ttls, ttls_len);
	at += ttls_len;
	f->addrs = (uint8_t(*)[ADDR_LEN])at;
	memcpy(at, m->addrs, m->n_addrs * ADDR_LEN);
	at += m->n_addrs * ADDR_LEN;
	f->names = at;
	memcpy(at, m->names, m->form.names_len);
	at += m->form.names_len;
	f->body = at;
	memcpy(at, m->layout.msg + m->body_at, body_len);
	*ret_form = f;
	return ERR_OK;
}

/* How much of everything the links could need. */
struct room {
	size_t n_rrs, n_addrs, octets, rdata_max;
};

static void add_room(struct room *room, const struct entry *entry)
{
	const struct entry_rr *rrs = entry_rrs(entry);

	for (size_t i = 0; i < entry->n_rrs; i++) {
		room->n_rrs++;
		room->octets += 3u + NAME_MAX_WIRE + WIRE_RR_FIXED + rrs[i].rdata_len;
		room->rdata_max = MAX(room->rdata_max, (size_t)rrs[i].rdata_len);
		if (is_address(rrs[i].type))
			room->n_addrs++;
		else if (is_svcb(rrs[i].type))
			room->n_addrs += rrs[i].rdata_len / 4u;
	}
}

int form_make(struct entry *const *links, size_t n_links, const struct form_spec *spec,
              uint64_t uid, struct form **ret_form)
{
	CLEANUP(free) struct making *m = NULL;
	struct room room = { 0 };
	size_t msg_cap, n_octets;
	uint8_t *at;

	if (n_links == 0 || n_links > LIMIT_CHAIN)
		return ERR_LIMIT;
	for (size_t i = 0; i < n_links; i++)
		add_room(&room, links[i]);
	msg_cap = MIN((size_t)MSG_MAX, WIRE_HEADER + NAME_MAX_WIRE + 4 + room.octets);
	n_octets = room.n_rrs * (sizeof(struct canonical) + 2 * sizeof(uint32_t)) +
	           room.n_addrs * ADDR_LEN + room.rdata_max + room.octets + msg_cap;
	m = malloc(sizeof(*m) + n_octets);
	if (!m)
		return ERR_NOMEM;
	memset(m, 0, sizeof(*m));
	at = (uint8_t *)(m + 1);
	m->canons = (struct canonical *)(void *)at;
	at += room.n_rrs * sizeof(struct canonical);
	m->ttls = (uint32_t *)(void *)at;
	at += room.n_rrs * 2 * sizeof(uint32_t);
	m->addrs = (uint8_t(*)[ADDR_LEN])at;
	m->addrs_cap = room.n_addrs;
	at += room.n_addrs * ADDR_LEN;
	m->scratch = at;
	m->canon = at + room.rdata_max;
	m->spec = spec;
	layout_init(&m->layout, m->canon + room.octets, msg_cap, spec->qname);
	m->body_at = m->layout.len;

	judge_links(m, links, n_links);
	if (links[n_links - 1]->kind != ENTRY_FAILURE) {
		guard_section(m, links, n_links, 1);
		guard_section(m, links, n_links, 2);
	}
	if (m->layout.error)
		return m->layout.error;
	judge_outcome(m);
	make_answer_id(m);
	sort_addrs(m);
	add_names(m, links, n_links);
	return finish(m, links, n_links, uid, ret_form);
}

struct form *form_ref(struct form *form)
{
	form->refs++;
	return form;
}

void form_unref(struct form *form)
{
	if (!form || --form->refs > 0)
		return;
	for (size_t i = 0; i < form->n_links; i++)
		entry_unref(form->links[i]);
	free(form);
}

size_t form_svcb_targets(const struct entry *entry, uint8_t (*ret_names)[NAME_MAX_WIRE], size_t cap)
{
	const struct entry_rr *rrs = entry_rrs(entry);
	size_t n = 0;

	for (size_t i = 0; i < entry->n_rrs && n < cap; i++) {
		const uint8_t *target;
		bool seen = false;

		if (!is_svcb(rrs[i].type))
			continue;
		target = svcb_target(rdata_of(entry, &rrs[i]));
		if (*target == 0)
			continue;
		for (size_t j = 0; j < n && !seen; j++)
			seen = name_equal(ret_names[j], target);
		if (!seen)
			name_lower(ret_names[n++], target, wire_name_len(target));
	}
	return n;
}

const uint8_t *form_svcb_alias(const struct entry *entry)
{
	const struct entry_rr *rrs = entry_rrs(entry);

	for (size_t i = 0; i < entry->n_rrs; i++) {
		const uint8_t *rdata = rdata_of(entry, &rrs[i]);

		if (is_svcb(rrs[i].type) && wire_u16(rdata) == 0 && *svcb_target(rdata) != 0)
			return svcb_target(rdata);
	}
	return NULL;
}
