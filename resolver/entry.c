/* resolver/entry.c - cut an upstream message into the entries that the cache holds. */
#include "entry.h"

#include <stdbool.h> /* before ldns, which would define bool as signed char */

#include <ldns/ldns.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/limits.h"
#include "svcb.h"
#include "wire.h"

#define SECTION_ANSWER 1
#define SECTION_AUTHORITY 2
#define HOSTS_TTL_S 60

/* Ids tell entries apart in memo keys, over all workers of the process; nothing is read back from
 * the counter. */
static uint64_t next_id(void)
{
	static _Atomic uint64_t last;

	return atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
}

/* A growing store of octets; records point into it by offset. */
struct octets {
	uint8_t *data;
	size_t len, cap;
};

static int octets_add(struct octets *octets, const uint8_t *data, size_t len, uint32_t *ret_offset)
{
	if (len > octets->cap - octets->len) {
		size_t cap = (octets->cap + len) * 2;
		uint8_t *more = realloc(octets->data, cap);

		if (!more)
			return ERR_NOMEM;
		octets->data = more;
		octets->cap = cap;
	}
	if (len > 0)
		memcpy(octets->data + octets->len, data, len);
	*ret_offset = (uint32_t)octets->len;
	octets->len += len;
	return ERR_OK;
}

struct parsed_rr {
	uint32_t owner, rdata, ttl;
	uint16_t rdata_len, type, covered; /* covered: of an RRSIG */
	uint8_t section;
};

struct parsed {
	struct octets octets;
	struct parsed_rr *rrs;
	size_t n, cap;
	uint16_t rcode; /* extended */
	bool truncated, authoritative;
	bool has_question;
};

static void parsed_fini(struct parsed *parsed)
{
	free(parsed->rrs);
	free(parsed->octets.data);
}

static void parsed_fini_cleanup(struct parsed *parsed)
{
	parsed_fini(parsed);
}
static void rr_free_cleanup(ldns_rr **rr)
{
	ldns_rr_free(*rr);
}

static const uint8_t *owner_of(const struct parsed *p, const struct parsed_rr *rr)
{
	return p->octets.data + rr->owner;
}

static const uint8_t *rdata_of(const struct parsed *p, const struct parsed_rr *rr)
{
	return p->octets.data + rr->rdata;
}

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
static int add_rr(struct parsed *p, const ldns_rr *rr, uint8_t section)
{
	const ldns_rr_descriptor *descriptor = ldns_rr_descript((uint16_t)ldns_rr_get_type(rr));
	const ldns_rdf *owner = ldns_rr_owner(rr);
	struct parsed_rr *new = &p->rrs[p->n];
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
	r = octets_add(&p->octets, ldns_rdf_data(owner), ldns_rdf_size(owner), &new->owner);
	if (r < 0)
		return r;
	start = p->octets.len;
	new->rdata = (uint32_t)start;
	for (size_t i = 0; i < ldns_rr_rd_count(rr); i++) {
		const ldns_rdf *field = ldns_rr_rdf(rr, i);
		uint32_t ignored;

		r = octets_add(&p->octets, ldns_rdf_data(field), ldns_rdf_size(field), &ignored);
		if (r < 0)
			return r;
	}
	if (p->octets.len - start > UINT16_MAX) /* it was compressed, and would not fit without */
		return ERR_MALFORMED;
	new->rdata_len = (uint16_t)(p->octets.len - start);
	r = check_rdata(new->type, rdata_of(p, new), new->rdata_len);
	if (r < 0)
		return r;
	if (new->type == TYPE_RRSIG)
		new->covered = wire_u16(rdata_of(p, new));
	p->n++;
	return ERR_OK;
}

/* Parse one record at *@pos. What ldns leaves unread of the RDATA is malformed. */
static int parse_rr(struct parsed *p, const uint8_t *msg, size_t len, size_t *pos, uint8_t section)
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
	return add_rr(p, rr, section);
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

/* @msg: a copy that may be written to, of a message that has passed scan_message(). */
static int parse(struct parsed *p, uint8_t *msg, size_t len, const uint8_t *name, uint16_t type)
{
	unsigned int n_answer, n_authority;
	size_t pos = WIRE_HEADER;

	if (len < WIRE_HEADER || !(msg[2] & WIRE_QR))
		return ERR_MALFORMED;
	p->truncated = msg[2] & WIRE_TC;
	p->authoritative = msg[2] & WIRE_AA;
	p->has_question = wire_u16(msg + 4) != 0;
	if (p->has_question) {
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
	p->cap = n_answer + n_authority + LIMIT_CHAIN; /* and synthesized CNAMEs */
	p->rrs = calloc(p->cap, sizeof(*p->rrs));
	if (!p->rrs)
		return ERR_NOMEM;
	for (unsigned int i = 0; i < n_answer + n_authority; i++) {
		int r =
		    parse_rr(p, msg, len, &pos, i < n_answer ? SECTION_ANSWER : SECTION_AUTHORITY);

		if (r < 0)
			return r;
	}
	p->rcode = (uint16_t)(extended_rcode(msg, pos, wire_u16(msg + 10)) | (msg[3] & 15));
	return ERR_OK;
}

/* An entry under construction: chosen records, in the order in which they will stand. */
struct draft {
	const struct parsed *p;
	size_t n;
	struct {
		uint16_t rr;
		bool signature;
		uint32_t ttl;
	} picks[LIMIT_RRSET_RECORDS];
	uint32_t ttl; /* the smallest */
};

static bool same_rdata(const struct parsed *p, size_t a, size_t b)
{
	return p->rrs[a].rdata_len == p->rrs[b].rdata_len &&
	       memcmp(rdata_of(p, &p->rrs[a]), rdata_of(p, &p->rrs[b]), p->rrs[a].rdata_len) == 0;
}

/* Pick the records that match, each once (RFC 2181, section 5: no duplicates in an RRset). */
static int pick(struct draft *d, const uint8_t *owner, uint16_t type, uint16_t covered,
                uint8_t section)
{
	const struct parsed *p = d->p;
	size_t first = d->n;

	for (size_t i = 0; i < p->n; i++) {
		const struct parsed_rr *rr = &p->rrs[i];
		bool seen = false;

		if (rr->type != type || rr->section != section || rr->covered != covered ||
		    !name_equal(owner_of(p, rr), owner))
			continue;
		for (size_t j = first; j < d->n && !seen; j++)
			seen = same_rdata(p, d->picks[j].rr, i);
		if (seen)
			continue;
		if (d->n == LIMIT_RRSET_RECORDS)
			return ERR_LIMIT;
		d->picks[d->n].rr = (uint16_t)i;
		d->picks[d->n].signature = type == TYPE_RRSIG && covered != 0;
		d->n++;
	}
	return (int)(d->n - first);
}

/* Pick an RRset and the RRSIGs over it; all get the smallest TTL among them (RFC 2181,
 * section 5.2), at most @ttl_max. Returns how many records the RRset has, without RRSIGs. */
static int pick_rrset(struct draft *d, const uint8_t *owner, uint16_t type, uint8_t section,
                      uint32_t ttl_max)
{
	size_t first = d->n;
	uint32_t ttl = ttl_max;
	int n, r;

	n = pick(d, owner, type, 0, section);
	if (n <= 0)
		return n;
	r = pick(d, owner, TYPE_RRSIG, type, section);
	if (r < 0)
		return r;
	for (size_t i = first; i < d->n; i++)
		ttl = MIN(ttl, d->p->rrs[d->picks[i].rr].ttl);
	for (size_t i = first; i < d->n; i++)
		d->picks[i].ttl = ttl;
	d->ttl = MIN(d->ttl, ttl);
	return n;
}

/* NSEC and NSEC3 with their RRSIGs in the authority section: what proves a denial, or that no
 * closer name hides behind a wildcard (RFC 4035, section 3.1.3). Only those of @zone, names below
 * it. */
static int pick_proofs(struct draft *d, const uint8_t *zone, uint32_t ttl_max)
{
	const struct parsed *p = d->p;

	for (size_t i = 0; i < p->n; i++) {
		const struct parsed_rr *rr = &p->rrs[i];
		bool seen = false;
		int r;

		if ((rr->type != TYPE_NSEC && rr->type != TYPE_NSEC3) ||
		    rr->section != SECTION_AUTHORITY || !name_is_under(owner_of(p, rr), zone))
			continue;
		for (size_t j = 0; j < d->n && !seen; j++) {
			const struct parsed_rr *other = &p->rrs[d->picks[j].rr];

			seen = other->type == rr->type &&
			       name_equal(owner_of(p, other), owner_of(p, rr));
		}
		if (seen)
			continue;
		r = pick_rrset(d, owner_of(p, rr), rr->type, SECTION_AUTHORITY, ttl_max);
		if (r < 0)
			return r;
	}
	return ERR_OK;
}

/* An answer made from a wildcard has RRSIGs with fewer labels than its owner (RFC 4035, section
 * 5.3.4). Gives the signer, if it is the owner or above it. */
static const uint8_t *wildcard_signer(const struct draft *d, const uint8_t *owner)
{
	const struct parsed *p = d->p;

	for (size_t i = 0; i < d->n; i++) {
		const struct parsed_rr *rr = &p->rrs[d->picks[i].rr];
		const uint8_t *rdata = rdata_of(p, rr);

		if (!d->picks[i].signature || rdata[3] >= name_labels(owner))
			continue;
		if (name_wire_len(rdata + 18, rr->rdata_len - 18u) > 0 &&
		    name_is_under(owner, rdata + 18))
			return rdata + 18;
	}
	return NULL;
}

/* An entry whose octets begin with @name, and have @n_octets more behind it. */
static struct entry *entry_alloc(const uint8_t *name, uint16_t type, size_t n_rrs, size_t n_octets,
                                 uint64_t now_ns)
{
	size_t head = offsetof(struct entry, tail) + n_rrs * sizeof(struct entry_rr), bytes;
	int name_len = name_wire_len(name, NAME_MAX_WIRE);
	struct entry *entry;
	uint8_t *own_name;

	if (name_len < 0)
		return NULL;
	bytes = head + (size_t)name_len + n_octets;
	bytes = MAX(bytes, sizeof(struct entry));
	entry = calloc(1, bytes);
	if (!entry)
		return NULL;
	atomic_init(&entry->refs, 1);
	atomic_init(&entry->freq, 0);
	entry->id = next_id();
	entry->bytes = (uint32_t)bytes;
	entry->type = type;
	entry->n_rrs = (uint16_t)n_rrs;
	entry->made_ns = entry->expires_ns = entry->stale_until_ns = now_ns;
	entry->name_len = (uint8_t)name_len;
	own_name = (uint8_t *)entry + head;
	name_lower(own_name, name, (size_t)name_len);
	entry->name = own_name;
	entry->target = own_name + name_len - 1; /* the root's octet */
	return entry;
}

static uint8_t *octets_of(struct entry *entry)
{
	return entry->tail + entry->n_rrs * sizeof(struct entry_rr);
}

const uint8_t *entry_octets(const struct entry *entry)
{
	return entry->tail + entry->n_rrs * sizeof(struct entry_rr);
}

static struct entry_rr *rrs_of(struct entry *entry)
{
	return (struct entry_rr *)(void *)entry->tail;
}

static void set_life(struct entry *entry, uint32_t ttl_s, uint32_t stale_s)
{
	entry->expires_ns = entry->made_ns + ttl_s * NS_PER_S;
	/* What was to be used once only (TTL 0) is not kept for worse days. */
	entry->stale_until_ns = entry->expires_ns + (ttl_s > 0 ? stale_s * NS_PER_S : 0);
}

/* What the work on one message shares. */
struct cut {
	struct parsed *p;
	const struct entry_limits *limits;
	uint64_t now_ns;
	uint16_t type;
};

/* Does record @i of the draft need octets for its owner, or does the name before it serve? */
static bool has_own_owner(const struct draft *d, size_t i, const uint8_t *name)
{
	const uint8_t *owner = owner_of(d->p, &d->p->rrs[d->picks[i].rr]);

	return !name_equal(owner, name) &&
	       (i == 0 || !name_equal(owner, owner_of(d->p, &d->p->rrs[d->picks[i - 1].rr])));
}

/* The entry that @d has chosen; @target of an alias, else NULL. NULL: out of memory. */
static struct entry *draft_finish(const struct draft *d, enum entry_kind kind, const uint8_t *name,
                                  const uint8_t *target, const struct cut *cut)
{
	const struct parsed *p = d->p;
	size_t target_len = target ? wire_name_len(target) : 0;
	size_t n_octets = target_len, at;
	struct entry *entry;
	uint8_t *octets;

	for (size_t i = 0; i < d->n; i++) {
		const struct parsed_rr *rr = &p->rrs[d->picks[i].rr];

		n_octets += rr->rdata_len;
		if (has_own_owner(d, i, name))
			n_octets += wire_name_len(owner_of(p, rr));
	}
	entry = entry_alloc(name, cut->type, d->n, n_octets, cut->now_ns);
	if (!entry)
		return NULL;
	entry->kind = (uint8_t)kind;
	octets = octets_of(entry);
	at = entry->name_len;
	if (target) {
		name_lower(octets + at, target, target_len);
		entry->target = octets + at;
		entry->target_len = (uint8_t)target_len;
		at += target_len;
	}

	for (size_t i = 0; i < d->n; i++) {
		const struct parsed_rr *from = &p->rrs[d->picks[i].rr];
		struct entry_rr *rr = &rrs_of(entry)[i];
		const uint8_t *owner = owner_of(p, from);

		if (has_own_owner(d, i, name)) {
			rr->owner = (uint32_t)at;
			memcpy(octets + at, owner, wire_name_len(owner));
			at += wire_name_len(owner);
		} else if (!name_equal(owner, name)) {
			rr->owner = rrs_of(entry)[i - 1].owner;
		} /* else it is 0: the name itself */
		rr->rdata = (uint32_t)at;
		rr->rdata_len = from->rdata_len;
		if (from->rdata_len > 0)
			memcpy(octets + at, rdata_of(p, from), from->rdata_len);
		at += from->rdata_len;
		rr->ttl = d->picks[i].ttl;
		rr->type = from->type;
		rr->section = from->section;
		rr->signature = d->picks[i].signature;
	}
	set_life(entry, d->ttl, cut->limits->serve_stale_s);
	return entry;
}

/* RFC 6672, section 2.2: replace the DNAME's owner at the end of @name by its target. Returns the
 * length, or 0 when it would be over 255 octets. */
static size_t substitute(const uint8_t *name, const uint8_t *owner, const uint8_t *target,
                         uint8_t ret_name[static NAME_MAX_WIRE])
{
	size_t name_len = wire_name_len(name);
	size_t owner_len = wire_name_len(owner);
	size_t target_len = wire_name_len(target);
	size_t prefix = name_len - owner_len;

	if (prefix + target_len > NAME_MAX_WIRE)
		return 0;
	memcpy(ret_name, name, prefix);
	memcpy(ret_name + prefix, target, target_len);
	return prefix + target_len;
}

/* The DNAME above @name; of several the closest. NULL: none. */
static const struct parsed_rr *find_dname(const struct parsed *p, const uint8_t *name)
{
	const struct parsed_rr *best = NULL;

	for (size_t i = 0; i < p->n; i++) {
		const struct parsed_rr *rr = &p->rrs[i];

		if (rr->type != TYPE_DNAME || rr->section != SECTION_ANSWER ||
		    name_equal(owner_of(p, rr), name) || !name_is_under(name, owner_of(p, rr)))
			continue;
		if (!best || name_labels(owner_of(p, rr)) > name_labels(owner_of(p, best)))
			best = rr;
	}
	return best;
}

/* The link that a DNAME makes: the DNAME, its RRSIGs, and a CNAME of our own making; the CNAME that
 * the message carries says nothing that we would have to believe. */
static int cut_dname(const struct cut *cut, const uint8_t *name, const struct parsed_rr *dname,
                     struct entry **ret_entry)
{
	struct parsed *p = cut->p;
	struct draft d = { .p = p, .ttl = cut->limits->max_ttl_s };
	struct parsed_rr *cname = &p->rrs[p->n];
	uint8_t owner[NAME_MAX_WIRE], target[NAME_MAX_WIRE];
	size_t target_len;
	struct entry *entry;
	int r;

	/* Copies: the store of octets may move below. */
	memcpy(owner, owner_of(p, dname), wire_name_len(owner_of(p, dname)));
	r = pick_rrset(&d, owner, TYPE_DNAME, SECTION_ANSWER, cut->limits->max_ttl_s);
	if (r != 1) /* RFC 6672, section 2.4: singletons */
		return r < 0 ? r : ERR_MALFORMED;
	target_len = substitute(name, owner, rdata_of(p, dname), target);
	if (target_len == 0) {
		*ret_entry = draft_finish(&d, ENTRY_YXDOMAIN, name, NULL, cut);
		if (!*ret_entry)
			return ERR_NOMEM;
		(*ret_entry)->rcode = RCODE_YXDOMAIN;
		return ERR_OK;
	}

	if (p->n == p->cap || d.n == LIMIT_RRSET_RECORDS)
		return ERR_LIMIT;
	memset(cname, 0, sizeof(*cname));
	r = octets_add(&p->octets, name, wire_name_len(name), &cname->owner);
	if (r == 0)
		r = octets_add(&p->octets, target, target_len, &cname->rdata);
	if (r < 0)
		return r;
	cname->rdata_len = (uint16_t)target_len;
	cname->type = TYPE_CNAME;
	/* Section 0: never found again as if the message had carried it. */
	d.picks[d.n].rr = (uint16_t)p->n;
	d.picks[d.n].signature = false;
	d.picks[d.n].ttl = d.ttl; /* RFC 6672, section 3.1 */
	d.n++;
	p->n++;

	entry = cut->type == TYPE_CNAME ? draft_finish(&d, ENTRY_DATA, name, NULL, cut)
	                                : draft_finish(&d, ENTRY_ALIAS, name, target, cut);
	if (!entry)
		return ERR_NOMEM;
	rrs_of(entry)[d.n - 1].section = SECTION_ANSWER;
	*ret_entry = entry;
	return ERR_OK;
}

/* Data of the type asked, or an alias. Gives NULL if the message has neither for @name. */
static int cut_positive(const struct cut *cut, const uint8_t *name, struct entry **ret_entry)
{
	const struct parsed *p = cut->p;
	struct draft d = { .p = p, .ttl = cut->limits->max_ttl_s };
	const struct parsed_rr *dname = find_dname(p, name);
	enum entry_kind kind = ENTRY_DATA;
	const uint8_t *signer;
	int n, r;

	*ret_entry = NULL;
	if (dname)
		return cut_dname(cut, name, dname, ret_entry);

	n = pick_rrset(&d, name, cut->type, SECTION_ANSWER, cut->limits->max_ttl_s);
	if (n == 0 && cut->type != TYPE_CNAME) {
		kind = ENTRY_ALIAS;
		n = pick_rrset(&d, name, TYPE_CNAME, SECTION_ANSWER, cut->limits->max_ttl_s);
	}
	if (n <= 0)
		return n;
	if (n > 1 && (kind == ENTRY_ALIAS || cut->type == TYPE_CNAME))
		return ERR_MALFORMED; /* RFC 2181, section 10.1: one CNAME a name */
	signer = wildcard_signer(&d, name);
	if (signer) {
		r = pick_proofs(&d, signer, cut->limits->max_ttl_s);
		if (r < 0)
			return r;
	}
	*ret_entry = draft_finish(
	    &d, kind, name, kind == ENTRY_ALIAS ? rdata_of(p, &p->rrs[d.picks[0].rr]) : NULL, cut);
	return *ret_entry ? ERR_OK : ERR_NOMEM;
}

/* The SOA of a zone that @name lies in, from the authority section. NULL: none. */
static const struct parsed_rr *find_soa(const struct parsed *p, const uint8_t *name)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct parsed_rr *rr = &p->rrs[i];

		/* Two names of at least one octet each, then five numbers; the last is MINIMUM. */
		if (rr->type == TYPE_SOA && rr->section == SECTION_AUTHORITY &&
		    rr->rdata_len >= 22 && name_is_under(name, owner_of(p, rr)))
			return rr;
	}
	return NULL;
}

static int cut_negative(const struct cut *cut, const uint8_t *name, const struct parsed_rr *soa,
                        struct entry **ret_entry)
{
	const struct parsed *p = cut->p;
	struct draft d = { .p = p, .ttl = 0 };

	if (soa) { /* RFC 2308, section 5: the smaller of the SOA's own TTL and its MINIMUM */
		uint32_t ttl = wire_u32(rdata_of(p, soa) + soa->rdata_len - 4);
		int r;

		ttl = MIN(ttl > INT32_MAX ? 0 : ttl, soa->ttl);
		ttl = MIN(ttl, MIN(cut->limits->negative_max_ttl_s, cut->limits->max_ttl_s));
		d.ttl = ttl;
		r = pick_rrset(&d, owner_of(p, soa), TYPE_SOA, SECTION_AUTHORITY, ttl);
		if (r != 1) /* a zone has one SOA */
			return r < 0 ? r : ERR_MALFORMED;
		r = pick_proofs(&d, owner_of(p, soa), ttl);
		if (r < 0)
			return r;
	}
	*ret_entry = draft_finish(&d, p->rcode == RCODE_NXDOMAIN ? ENTRY_NXDOMAIN : ENTRY_NODATA,
	                          name, NULL, cut);
	if (!*ret_entry)
		return ERR_NOMEM;
	(*ret_entry)->rcode = p->rcode;
	return ERR_OK;
}

/* RFC 2308, section 2.2: NS records in the authority section without a SOA, from a server that does
 * not claim to be authoritative. */
static bool is_referral(const struct parsed *p)
{
	bool ns = false;

	if (p->authoritative || p->rcode != RCODE_NOERROR)
		return false;
	for (size_t i = 0; i < p->n; i++) {
		if (p->rrs[i].section != SECTION_AUTHORITY)
			continue;
		if (p->rrs[i].type == TYPE_SOA)
			return false;
		ns |= p->rrs[i].type == TYPE_NS;
	}
	return ns;
}

/* The first link: there is always one. */
static int cut_first(const struct cut *cut, const uint8_t *name, struct entry **ret_entry)
{
	const struct parsed_rr *soa;
	int r;

	r = cut_positive(cut, name, ret_entry);
	if (r < 0 || *ret_entry)
		return r;
	soa = find_soa(cut->p, name);
	if (cut->p->rcode == RCODE_YXDOMAIN || (!soa && is_referral(cut->p))) {
		*ret_entry = entry_failure(name, cut->type, RCODE_SERVFAIL, cut->now_ns,
		                           ENTRY_FAILURE_TTL_S);
		return *ret_entry ? ERR_OK : ERR_NOMEM;
	}
	return cut_negative(cut, name, soa, ret_entry);
}

/* A link behind an alias: NULL when the message says nothing that can be kept about it. */
static int cut_next(const struct cut *cut, const uint8_t *name, struct entry **ret_entry)
{
	const struct parsed_rr *soa;
	int r;

	r = cut_positive(cut, name, ret_entry);
	if (r < 0 || *ret_entry)
		return r;
	soa = find_soa(cut->p, name);
	return soa ? cut_negative(cut, name, soa, ret_entry) : ERR_OK;
}

static bool met_before(struct entry *const *entries, size_t n, const uint8_t *name)
{
	for (size_t i = 0; i < n; i++) {
		if (name_equal(entries[i]->name, name))
			return true;
	}
	return false;
}

/* RFC 6604, section 3: the RCODE is about the end of the chain. */
static bool contradicts(uint16_t rcode, const struct entry *last)
{
	switch ((enum entry_kind)last->kind) {
	case ENTRY_DATA:
		return rcode != RCODE_NOERROR;
	case ENTRY_YXDOMAIN: /* we have seen for ourselves that the name is too long */
	case ENTRY_ALIAS:    /* its end is not here */
	case ENTRY_FAILURE:
		return false;
	case ENTRY_NODATA:
	case ENTRY_NXDOMAIN:
		return rcode == RCODE_YXDOMAIN;
	}
	return true;
}

static int cut_chain(const struct cut *cut, const uint8_t *name,
                     bool (*accept)(void *ctx, const uint8_t *name), void *ctx,
                     struct entry **entries, size_t cap, size_t *n)
{
	int r;

	r = cut_first(cut, name, &entries[0]);
	if (r < 0)
		return r;
	*n = 1;
	while (entries[*n - 1]->kind == ENTRY_ALIAS && *n < cap) {
		const uint8_t *target = entries[*n - 1]->target;

		if (met_before(entries, *n, target) || !accept || !accept(ctx, target))
			return ERR_OK;
		r = cut_next(cut, target, &entries[*n]);
		if (r < 0 || !entries[*n])
			return r;
		++*n;
	}
	return contradicts(cut->p->rcode, entries[*n - 1]) ? ERR_MALFORMED : ERR_OK;
}

int entry_from_message(const uint8_t *msg, size_t len, const uint8_t *name, uint16_t type,
                       uint64_t now_ns, const struct entry_limits *limits,
                       bool (*accept)(void *ctx, const uint8_t *name), void *ctx,
                       struct entry **ret_entries, size_t cap)
{
	CLEANUP(parsed_fini) struct parsed p = { 0 };
	CLEANUP(free) uint8_t *copy = NULL;
	struct cut cut = { &p, limits, now_ns, type };
	struct entry *entries[LIMIT_CHAIN] = { NULL };
	size_t n = 0;
	int r;

	if (len > LIMIT_MSG_BYTES || cap == 0)
		return ERR_MALFORMED;
	copy = malloc(len + 1);
	if (!copy)
		return ERR_NOMEM;
	if (len > 0)
		memcpy(copy, msg, len);
	r = parse(&p, copy, len, name, type);
	if (r < 0)
		return r;

	if (p.rcode != RCODE_NOERROR && p.rcode != RCODE_NXDOMAIN && p.rcode != RCODE_YXDOMAIN) {
		ret_entries[0] = entry_failure(name, type, p.rcode, now_ns, ENTRY_FAILURE_TTL_S);
		return ret_entries[0] ? 1 : ERR_NOMEM;
	}
	/* A cut message proves nothing, and who leaves the question out has not answered it. */
	if (p.truncated || !p.has_question)
		return ERR_MALFORMED;

	r = cut_chain(&cut, name, accept, ctx, entries, MIN(cap, ARRAY_LEN(entries)), &n);
	if (r < 0) {
		for (size_t i = 0; i < n; i++)
			entry_unref(entries[i]);
		return r;
	}
	memcpy(ret_entries, entries, n * sizeof(struct entry *));
	return (int)n;
}

struct entry *entry_failure(const uint8_t *name, uint16_t type, uint16_t rcode, uint64_t now_ns,
                            uint32_t ttl_s)
{
	struct entry *entry = entry_alloc(name, type, 0, 0, now_ns);

	if (!entry)
		return NULL;
	entry->kind = ENTRY_FAILURE;
	entry->rcode = rcode;
	set_life(entry, ttl_s, 0);
	return entry;
}

struct entry *entry_from_hosts(const uint8_t *name, uint16_t type, const uint8_t (*addrs)[ADDR_LEN],
                               size_t n, uint64_t now_ns)
{
	bool v4 = type == TYPE_A;
	size_t size = v4 ? 4 : ADDR_LEN, n_taken = 0;
	struct entry *entry;
	uint8_t *octets;

	n = MIN(n, LIMIT_RRSET_RECORDS);
	if (type != TYPE_A && type != TYPE_AAAA)
		n = 0;
	for (size_t i = 0; i < n; i++)
		n_taken += addr_is_v4(addrs[i]) == v4;
	entry = entry_alloc(name, type, n_taken, n_taken * size, now_ns);
	if (!entry)
		return NULL;
	entry->kind = n_taken > 0 ? ENTRY_DATA : ENTRY_NODATA;
	set_life(entry, HOSTS_TTL_S, 0);

	octets = octets_of(entry);
	for (size_t i = 0, at = 0; i < n; i++) {
		struct entry_rr *rr = &rrs_of(entry)[at];

		if (addr_is_v4(addrs[i]) != v4)
			continue;
		rr->rdata = (uint32_t)(entry->name_len + at * size);
		rr->rdata_len = (uint16_t)size;
		rr->ttl = HOSTS_TTL_S;
		rr->type = type;
		rr->section = SECTION_ANSWER;
		memcpy(octets + rr->rdata, addrs[i] + (v4 ? 12 : 0), size);
		at++;
	}
	return entry;
}

struct entry *entry_without(const struct entry *entry, const bool *drop)
{
	const struct entry_rr *from = entry_rrs(entry);
	const uint8_t *octets = entry_octets(entry);
	size_t n_octets = entry->bytes - (size_t)(octets - (const uint8_t *)entry), n = 0;
	bool data = false;
	struct entry *copy;

	for (size_t i = 0; i < entry->n_rrs; i++) {
		n += !drop[i] && !from[i].signature;
		data |= !drop[i] && from[i].type == entry->type;
	}
	if (!data)
		n = 0;
	copy = entry_alloc(entry->name, entry->type, n, n_octets - entry->name_len, entry->made_ns);
	if (!copy)
		return NULL;
	copy->kind = (uint8_t)(data ? entry->kind : ENTRY_NODATA);
	copy->dnssec = entry->dnssec;
	copy->rcode = entry->rcode;
	copy->expires_ns = entry->expires_ns;
	copy->stale_until_ns = entry->stale_until_ns;
	memcpy(copy->upstream, entry->upstream, ADDR_LEN);
	copy->upstream_port = entry->upstream_port;
	copy->zone = entry->zone;
	memcpy(octets_of(copy), octets, n_octets); /* whole, so that offsets stay true */
	copy->target = entry_octets(copy) + (entry->target - octets);
	copy->target_len = entry->target_len;
	for (size_t i = 0, at = 0; i < entry->n_rrs && at < n; i++) {
		if (!drop[i] && !from[i].signature)
			rrs_of(copy)[at++] = from[i];
	}
	return copy;
}

struct entry *entry_ref(struct entry *entry)
{
	atomic_fetch_add_explicit(&entry->refs, 1, memory_order_relaxed);
	return entry;
}

void entry_unref(struct entry *entry)
{
	/* Release: what this thread did with it comes before; acquire: the last one sees all of it.
	 */
	if (entry && atomic_fetch_sub_explicit(&entry->refs, 1, memory_order_acq_rel) == 1)
		free(entry);
}
