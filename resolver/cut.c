/* resolver/cut.c - cut an upstream message into the entries that the cache holds. */
#include <stdlib.h>
#include <string.h>

#include "entry_new.h"
#include "message.h"
#include "sallyport/err.h"
#include "sallyport/limits.h"
#include "wire.h"

#define RRSIG_FIXED 18u /* octets before the signer's name (RFC 4034, section 3.1) */

/* An entry under construction: chosen records, in the order in which they will stand. */
struct draft {
	const struct message *m;
	size_t n;
	struct {
		uint16_t rr;
		bool signature;
		uint32_t ttl;
	} picks[LIMIT_RRSET_RECORDS];
	uint32_t ttl; /* the smallest */
};

static int pick(struct draft *d, struct message_set set)
{
	if (set.n > LIMIT_RRSET_RECORDS - d->n)
		return ERR_LIMIT;
	for (size_t i = 0; i < set.n; i++) {
		const struct message_rr *rr = &d->m->rrs[set.rrs[i]];

		d->picks[d->n].rr = set.rrs[i];
		d->picks[d->n].signature = rr->type == TYPE_RRSIG && rr->covered != 0;
		d->n++;
	}
	return (int)set.n;
}

/* Pick an RRset and the RRSIGs over it; all get the smallest TTL among them (RFC 2181,
 * section 5.2), at most @ttl_max. Returns how many records the RRset has, without RRSIGs. */
static int pick_rrset(struct draft *d, struct message_set set, uint32_t ttl_max)
{
	const struct message_rr *rr;
	size_t first = d->n;
	uint32_t ttl = ttl_max;
	int n, r;

	n = pick(d, set);
	if (n <= 0)
		return n;
	rr = &d->m->rrs[set.rrs[0]];
	r = pick(d, message_find(d->m, rr->section, TYPE_RRSIG, rr->type, message_owner(d->m, rr)));
	if (r < 0)
		return r;
	for (size_t i = first; i < d->n; i++) {
		rr = &d->m->rrs[d->picks[i].rr];
		ttl = MIN(ttl, rr->ttl);
		if (d->picks[i].signature) /* RFC 4035, section 5.3.3: the original TTL */
			ttl = MIN(ttl, wire_u32(message_rdata(d->m, rr) + 4));
	}
	for (size_t i = first; i < d->n; i++)
		d->picks[i].ttl = ttl;
	d->ttl = MIN(d->ttl, ttl);
	return n;
}

/* The signer that an RRSIG over @set names: @zone, or, when it is not known which zone is meant,
 * the first above @name. NULL: none does. */
static const uint8_t *signer_of(const struct message *m, struct message_set set,
                                const uint8_t *zone, const uint8_t *name)
{
	const struct message_rr *rr = &m->rrs[set.rrs[0]];
	struct message_set sigs =
	    message_find(m, rr->section, TYPE_RRSIG, rr->type, message_owner(m, rr));

	for (size_t i = 0; i < sigs.n; i++) {
		const struct message_rr *sig = &m->rrs[sigs.rrs[i]];
		const uint8_t *signer = message_rdata(m, sig) + RRSIG_FIXED;

		if (name_wire_len(signer, sig->rdata_len - RRSIG_FIXED) > 0 &&
		    (zone ? name_equal(signer, zone) : name_is_under(name, signer)))
			return signer;
	}
	return NULL;
}

/* NSEC and NSEC3 with their RRSIGs in the authority section: what proves a denial of @name, or that
 * no closer name hides behind a wildcard (RFC 4035, section 3.1.3). Only those that @zone (NULL:
 * the first zone that any of them names) says it has signed: in a message about a chain others
 * belong to other links, and what nobody has signed is of no use to anybody. No more than an entry
 * can hold. */
static int pick_proofs(struct draft *d, const uint8_t *zone, const uint8_t *name, uint32_t ttl_max)
{
	static const uint16_t types[] = { TYPE_NSEC, TYPE_NSEC3 };
	const struct message *m = d->m;

	for (size_t t = 0; t < ARRAY_LEN(types); t++) {
		struct message_set set;
		size_t pos = 0, n = 0;

		while ((set = message_next(m, SECTION_AUTHORITY, types[t], &pos)).n > 0) {
			const uint8_t *signer;
			int r = ERR_OK;

			if (++n > LIMIT_RRSET_RECORDS)
				return ERR_LIMIT;
			signer = signer_of(m, set, zone, name);
			if (signer) {
				zone = signer;
				r = pick_rrset(d, set, ttl_max);
			}
			if (r < 0)
				return r;
		}
	}
	return ERR_OK;
}

/* An answer made from a wildcard has RRSIGs with fewer labels than its owner (RFC 4035, section
 * 5.3.4). Gives the signer, if it is the owner or above it. */
static const uint8_t *wildcard_signer(const struct draft *d, const uint8_t *owner)
{
	const struct message *m = d->m;

	for (size_t i = 0; i < d->n; i++) {
		const struct message_rr *rr = &m->rrs[d->picks[i].rr];
		const uint8_t *rdata = message_rdata(m, rr);

		if (!d->picks[i].signature || rdata[3] >= name_labels(owner))
			continue;
		if (name_wire_len(rdata + RRSIG_FIXED, rr->rdata_len - RRSIG_FIXED) > 0 &&
		    name_is_under(owner, rdata + RRSIG_FIXED))
			return rdata + RRSIG_FIXED;
	}
	return NULL;
}

/* What the work on one message shares. */
struct cut {
	struct message *m;
	const struct entry_limits *limits;
	uint64_t now_ns;
	uint16_t type;
};

/* Does record @i of the draft need octets for its owner, or does the name before it serve? */
static bool has_own_owner(const struct draft *d, size_t i, const uint8_t *name)
{
	const uint8_t *owner = message_owner(d->m, &d->m->rrs[d->picks[i].rr]);

	return !name_equal(owner, name) &&
	       (i == 0 || !name_equal(owner, message_owner(d->m, &d->m->rrs[d->picks[i - 1].rr])));
}

/* The entry that @d has chosen; @target of an alias, else NULL. NULL: out of memory. */
static struct entry *draft_finish(const struct draft *d, enum entry_kind kind, const uint8_t *name,
                                  const uint8_t *target, const struct cut *cut)
{
	const struct message *m = d->m;
	size_t target_len = target ? wire_name_len(target) : 0;
	size_t n_octets = target_len, at;
	struct entry *entry;
	uint8_t *octets;

	for (size_t i = 0; i < d->n; i++) {
		const struct message_rr *rr = &m->rrs[d->picks[i].rr];

		n_octets += rr->rdata_len;
		if (has_own_owner(d, i, name))
			n_octets += wire_name_len(message_owner(m, rr));
	}
	entry = entry_new(name, cut->type, d->n, n_octets, cut->now_ns);
	if (!entry)
		return NULL;
	entry->kind = (uint8_t)kind;
	octets = entry_own_octets(entry);
	at = entry->name_len;
	if (target) {
		name_lower(octets + at, target, target_len);
		entry->target = octets + at;
		entry->target_len = (uint8_t)target_len;
		at += target_len;
	}

	for (size_t i = 0; i < d->n; i++) {
		const struct message_rr *from = &m->rrs[d->picks[i].rr];
		struct entry_rr *rr = &entry_own_rrs(entry)[i];
		const uint8_t *owner = message_owner(m, from);

		if (has_own_owner(d, i, name)) {
			rr->owner = (uint32_t)at;
			memcpy(octets + at, owner, wire_name_len(owner));
			at += wire_name_len(owner);
		} else if (!name_equal(owner, name)) {
			rr->owner = entry_own_rrs(entry)[i - 1].owner;
		} /* else it is 0: the name itself */
		rr->rdata = (uint32_t)at;
		rr->rdata_len = from->rdata_len;
		if (from->rdata_len > 0)
			memcpy(octets + at, message_rdata(m, from), from->rdata_len);
		at += from->rdata_len;
		rr->ttl = d->picks[i].ttl;
		rr->type = from->type;
		rr->section = from->section;
		rr->signature = d->picks[i].signature;
	}
	entry_set_life(entry, d->ttl, cut->limits->serve_stale_s);
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

/* The link that a DNAME makes: the DNAME, its RRSIGs, and a CNAME of our own making; the CNAME that
 * the message carries says nothing that we would have to believe. */
static int cut_dname(const struct cut *cut, const uint8_t *name, struct message_set dname,
                     struct entry **ret_entry)
{
	struct message *m = cut->m;
	const struct message_rr *rr = &m->rrs[dname.rrs[0]];
	struct draft d = { .m = m, .ttl = cut->limits->max_ttl_s };
	uint8_t target[NAME_MAX_WIRE];
	size_t target_len;
	struct entry *entry;
	int r;

	r = pick_rrset(&d, dname, cut->limits->max_ttl_s);
	if (r != 1) /* RFC 6672, section 2.4: singletons */
		return r < 0 ? r : ERR_MALFORMED;
	target_len = substitute(name, message_owner(m, rr), message_rdata(m, rr), target);
	if (target_len == 0) {
		*ret_entry = draft_finish(&d, ENTRY_YXDOMAIN, name, NULL, cut);
		if (!*ret_entry)
			return ERR_NOMEM;
		(*ret_entry)->rcode = RCODE_YXDOMAIN;
		return ERR_OK;
	}

	if (d.n == LIMIT_RRSET_RECORDS)
		return ERR_LIMIT;
	r = message_add(m, TYPE_CNAME, name, target, target_len);
	if (r < 0)
		return r;
	d.picks[d.n].rr = (uint16_t)r;
	d.picks[d.n].signature = false;
	d.picks[d.n].ttl = d.ttl; /* RFC 6672, section 3.1 */
	d.n++;

	entry = cut->type == TYPE_CNAME ? draft_finish(&d, ENTRY_DATA, name, NULL, cut)
	                                : draft_finish(&d, ENTRY_ALIAS, name, target, cut);
	if (!entry)
		return ERR_NOMEM;
	entry_own_rrs(entry)[d.n - 1].section = SECTION_ANSWER;
	*ret_entry = entry;
	return ERR_OK;
}

/* Data of the type asked, or an alias. Gives NULL if the message has neither for @name. */
static int cut_positive(const struct cut *cut, const uint8_t *name, struct entry **ret_entry)
{
	const struct message *m = cut->m;
	struct draft d = { .m = m, .ttl = cut->limits->max_ttl_s };
	struct message_set set =
	    message_find_above(m, SECTION_ANSWER, TYPE_DNAME, name, MESSAGE_ABOVE);
	enum entry_kind kind = ENTRY_DATA;
	const uint8_t *signer;
	int n, r;

	*ret_entry = NULL;
	if (set.n > 0)
		return cut_dname(cut, name, set, ret_entry);

	set = message_find(m, SECTION_ANSWER, cut->type, 0, name);
	if (set.n == 0 && cut->type != TYPE_CNAME) {
		kind = ENTRY_ALIAS;
		set = message_find(m, SECTION_ANSWER, TYPE_CNAME, 0, name);
	}
	n = pick_rrset(&d, set, cut->limits->max_ttl_s);
	if (n <= 0)
		return n;
	if (n > 1 && (kind == ENTRY_ALIAS || cut->type == TYPE_CNAME))
		return ERR_MALFORMED; /* RFC 2181, section 10.1: one CNAME a name */
	signer = wildcard_signer(&d, name);
	if (signer) {
		r = pick_proofs(&d, signer, name, cut->limits->max_ttl_s);
		if (r < 0)
			return r;
	}
	*ret_entry = draft_finish(
	    &d, kind, name, kind == ENTRY_ALIAS ? message_rdata(m, &m->rrs[d.picks[0].rr]) : NULL,
	    cut);
	return *ret_entry ? ERR_OK : ERR_NOMEM;
}

/* The SOA of the zone that @name lies in, from the authority section. A SOA from elsewhere says
 * nothing about @name; of several zones above it the closest one is meant. */
static struct message_set find_soa(const struct message *m, const uint8_t *name)
{
	return message_find_above(m, SECTION_AUTHORITY, TYPE_SOA, name, MESSAGE_SELF_OR_ABOVE);
}

/* @soa: may be empty. */
static int cut_negative(const struct cut *cut, const uint8_t *name, struct message_set soa,
                        struct entry **ret_entry)
{
	const struct message *m = cut->m;
	const uint8_t *zone = NULL;
	struct draft d = { .m = m, .ttl = 0 };
	uint32_t ttl = 0; /* RFC 2308, section 5: what has no SOA is not kept */
	int r;

	if (soa.n > 0) { /* RFC 2308, section 5: the smaller of the SOA's own TTL and its MINIMUM */
		const struct message_rr *rr = &m->rrs[soa.rrs[0]];

		/* Two names of at least one octet each, then five numbers; the last is MINIMUM. A
		 * zone has one SOA. */
		if (rr->rdata_len < 22 || soa.n > 1)
			return ERR_MALFORMED;
		ttl = wire_u32(message_rdata(m, rr) + rr->rdata_len - 4);
		ttl = MIN(ttl > INT32_MAX ? 0 : ttl, rr->ttl);
		ttl = MIN(ttl, MIN(cut->limits->negative_max_ttl_s, cut->limits->max_ttl_s));
		d.ttl = ttl;
		r = pick_rrset(&d, soa, ttl);
		if (r < 0)
			return r;
		zone = message_owner(m, rr);
	}
	r = pick_proofs(&d, zone, name, ttl);
	if (r < 0)
		return r;
	*ret_entry = draft_finish(&d, m->rcode == RCODE_NXDOMAIN ? ENTRY_NXDOMAIN : ENTRY_NODATA,
	                          name, NULL, cut);
	if (!*ret_entry)
		return ERR_NOMEM;
	(*ret_entry)->rcode = m->rcode;
	return ERR_OK;
}

/* RFC 2308, section 2.2: NS records in the authority section without a SOA, from a server that does
 * not claim to be authoritative. */
static bool is_referral(const struct message *m)
{
	bool ns = false;

	if (m->authoritative || m->rcode != RCODE_NOERROR)
		return false;
	for (size_t i = 0; i < m->n; i++) {
		if (m->rrs[i].section != SECTION_AUTHORITY)
			continue;
		if (m->rrs[i].type == TYPE_SOA)
			return false;
		ns |= m->rrs[i].type == TYPE_NS;
	}
	return ns;
}

/* The first link: there is always one. */
static int cut_first(const struct cut *cut, const uint8_t *name, struct entry **ret_entry)
{
	struct message_set soa;
	int r;

	r = cut_positive(cut, name, ret_entry);
	if (r < 0 || *ret_entry)
		return r;
	soa = find_soa(cut->m, name);
	if (cut->m->rcode == RCODE_YXDOMAIN || (soa.n == 0 && is_referral(cut->m))) {
		*ret_entry = entry_failure(name, cut->type, RCODE_SERVFAIL, cut->now_ns,
		                           ENTRY_FAILURE_TTL_S);
		return *ret_entry ? ERR_OK : ERR_NOMEM;
	}
	return cut_negative(cut, name, soa, ret_entry);
}

/* A link behind an alias: NULL when the message says nothing that can be kept about it. */
static int cut_next(const struct cut *cut, const uint8_t *name, struct entry **ret_entry)
{
	struct message_set soa;
	int r;

	r = cut_positive(cut, name, ret_entry);
	if (r < 0 || *ret_entry)
		return r;
	soa = find_soa(cut->m, name);
	return soa.n > 0 ? cut_negative(cut, name, soa, ret_entry) : ERR_OK;
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
	size_t bytes;
	int r;

	r = cut_first(cut, name, &entries[0]);
	if (r < 0)
		return r;
	*n = 1;
	bytes = entries[0]->bytes;
	if (bytes > LIMIT_ANSWER_BYTES)
		return ERR_LIMIT;
	while (entries[*n - 1]->kind == ENTRY_ALIAS && *n < cap) {
		const uint8_t *target = entries[*n - 1]->target;

		if (met_before(entries, *n, target) || !accept || !accept(ctx, target))
			return ERR_OK;
		r = cut_next(cut, target, &entries[*n]);
		if (r < 0 || !entries[*n])
			return r;
		bytes += entries[*n]->bytes;
		if (bytes > LIMIT_ANSWER_BYTES) { /* the rest must be asked by itself */
			entry_unref(TAKE(entries[*n]));
			return ERR_OK;
		}
		++*n;
	}
	return contradicts(cut->m->rcode, entries[*n - 1]) ? ERR_MALFORMED : ERR_OK;
}

static void message_fini_cleanup(struct message *m)
{
	message_fini(m);
}

int entry_from_message(const uint8_t *msg, size_t len, const uint8_t *name, uint16_t type,
                       uint64_t now_ns, const struct entry_limits *limits,
                       bool (*accept)(void *ctx, const uint8_t *name), void *ctx,
                       struct entry **ret_entries, size_t cap)
{
	CLEANUP(message_fini) struct message m = { 0 };
	CLEANUP(free) uint8_t *copy = NULL;
	struct cut cut = { &m, limits, now_ns, type };
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
	r = message_parse(&m, copy, len, name, type);
	if (r < 0)
		return r;

	if (m.rcode != RCODE_NOERROR && m.rcode != RCODE_NXDOMAIN && m.rcode != RCODE_YXDOMAIN) {
		ret_entries[0] = entry_failure(name, type, m.rcode, now_ns, ENTRY_FAILURE_TTL_S);
		return ret_entries[0] ? 1 : ERR_NOMEM;
	}
	/* A cut message proves nothing, and who leaves the question out has not answered it. */
	if (m.truncated || !m.has_question)
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
