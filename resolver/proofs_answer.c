/* resolver/proofs_answer.c - what the records around a name prove of it.
 *
 * Records are chosen by where they stand, generously; whether they prove anything, and what, the
 * validator's functions alone decide.
 */
#include <string.h>

#include "entry_new.h"
#include "proofs_own.h"
#include "sallyport/clock.h"
#include "sallyport/name.h"
#include "val_wire.h"
#include "wire.h"

enum { FOUND_MAX = 4 }; /* NSEC: name, wildcard; NSEC3: encloser, next closer, wildcard */

struct search {
	struct proofs *proofs;
	const struct proofs_question *question;
	struct proofs_zone zone; /* its soa is a reference */
	struct val_budget budget;
	struct val_denial denial;
	unsigned int n;
	struct proof *found[FOUND_MAX]; /* references */
};

static void search_fini_cleanup(struct search *s)
{
	for (unsigned int i = 0; i < s->n; i++)
		proof_unref(s->found[i]);
	proof_unref(s->zone.soa);
}

/* The deepest zone at or above the name; of a DS the parent's side is meant (RFC 4035, section
 * 2.4). */
static bool find_zone(struct search *s)
{
	const struct proofs_question *q = s->question;
	const uint8_t *name = q->name;

	if (q->type == TYPE_DS && name[0] != 0)
		name += 1 + name[0];
	for (; name_is_under(name, q->above); name += 1 + name[0]) {
		if (proofs_find_zone(s->proofs, name, q->zone, &s->zone))
			return true;
		if (name[0] == 0)
			break;
	}
	return false;
}

/* Look for the record at @owner or before it. Borrowed; NULL: there is none. */
static const struct proof *look(struct search *s, const uint8_t *owner)
{
	struct proof *proof =
	    s->n < FOUND_MAX ? proofs_find(s->proofs, &s->zone, owner, s->question->now_ns) : NULL;

	if (!proof)
		return NULL;
	for (unsigned int i = 0; i < s->n; i++) {
		if (s->found[i] == proof) {
			proof_unref(proof);
			return s->found[i];
		}
	}
	s->found[s->n++] = proof;
	val_denial_add(&s->denial, &proof->set);
	return proof;
}

/* The wildcard that would stand for the name is below the closest encloser: what the name shares
 * with either end of the gap that it lies in. */
static void gather_nsec(struct search *s)
{
	const uint8_t *name = s->question->name;
	const struct proof *gap = look(s, name);
	uint8_t next[NAME_MAX_WIRE], wildcard[NAME_MAX_WIRE];
	const uint8_t *rdata;
	unsigned int shared;

	if (!gap || name_equal(gap->set.owner, name))
		return;
	rdata =
	    gap->set.rrs[0].data; /* begins with a whole name: val_denial_add() has seen it once */
	name_lower(next, rdata, val_name_size(rdata));
	shared = MAX(val_common_labels(name, gap->set.owner), val_common_labels(name, next));
	if (val_wildcard(val_parent(name, name_labels(name) - shared), wildcard))
		look(s, wildcard);
}

/* Upwards until a name has a record of its own: that is the closest encloser, as far as is known.
 * The hash of each is kept for the proof. */
static void gather_nsec3(struct search *s)
{
	uint8_t owner[NAME_MAX_WIRE], closer[NAME_MAX_WIRE], wildcard[NAME_MAX_WIRE];
	const uint8_t *name = s->question->name;
	unsigned int above = name_labels(name) - name_labels(s->zone.name);
	bool have_closer = false;

	s->denial.iterations = s->zone.iterations;
	s->denial.salt_len = s->zone.salt_len;
	memcpy(s->denial.salt, s->zone.salt, s->zone.salt_len);
	for (unsigned int up = 0; up <= above; up++, name += 1 + name[0]) {
		struct proof *proof;
		bool match;

		if (!val_denial_owner(&s->denial, name, owner))
			return;
		proof = proofs_find(s->proofs, &s->zone, owner, s->question->now_ns);
		match = proof && name_equal(proof->set.owner, owner);
		proof_unref(proof);
		if (!match) {
			memcpy(closer, owner, val_name_size(owner));
			have_closer = true;
			continue;
		}
		look(s, owner);
		if (have_closer)
			look(s, closer);
		if (have_closer && val_wildcard(name, wildcard) &&
		    val_denial_owner(&s->denial, wildcard, owner))
			look(s, owner);
		return;
	}
}

static bool prove(struct search *s, enum entry_kind *ret_kind)
{
	const struct proofs_question *q = s->question;

	if (val_denial_nxdomain(&s->denial, q->name) == VAL_PROOF_DENIED)
		*ret_kind = ENTRY_NXDOMAIN;
	else if (val_denial_nodata(&s->denial, q->name, q->type) == VAL_PROOF_DENIED)
		*ret_kind = ENTRY_NODATA;
	else
		return false;
	return true;
}

/* ---- the answer ---- */

static size_t octets_of(const struct proof *proof)
{
	size_t n = val_name_size(proof->set.owner);

	for (unsigned int i = 0; i <= proof->set.n_sigs; i++)
		n += proof->rdata[i].len;
	return n;
}

struct laying { /* out of records */
	struct entry *entry;
	uint32_t ttl_s;
	size_t n, at; /* records and octets so far */
};

static void lay(struct laying *l, const struct proof *proof)
{
	uint8_t *octets = entry_own_octets(l->entry);
	size_t owner = l->at, len = val_name_size(proof->set.owner);

	memcpy(octets + owner, proof->set.owner, len);
	l->at += len;
	for (unsigned int i = 0; i <= proof->set.n_sigs; i++) {
		const struct val_rdata *rdata = &proof->rdata[i];

		entry_own_rrs(l->entry)[l->n++] =
		    (struct entry_rr){ .rdata = (uint32_t)l->at,
			               .owner = (uint32_t)owner,
			               .ttl = l->ttl_s,
			               .rdata_len = rdata->len,
			               .type = i == 0 ? proof->set.type : TYPE_RRSIG,
			               .section = VAL_AUTHORITY,
			               .signature = i > 0 };
		if (rdata->len > 0)
			memcpy(octets + l->at, rdata->data, rdata->len);
		l->at += rdata->len;
	}
}

static struct entry *make_entry(const struct search *s, enum entry_kind kind)
{
	const struct proofs_question *q = s->question;
	struct proof *soa = s->zone.soa;
	uint64_t until_ns = soa->until_ns;
	size_t n = 1 + soa->set.n_sigs, octets = octets_of(soa);
	struct laying l = { 0 };

	for (unsigned int i = 0; i < s->n; i++) {
		until_ns = MIN(until_ns, s->found[i]->until_ns);
		n += 1 + s->found[i]->set.n_sigs;
		octets += octets_of(s->found[i]);
	}
	/* Less than a second of life is none: the answer itself is due. */
	if (until_ns < q->now_ns + NS_PER_S)
		return NULL;
	l.ttl_s = (uint32_t)((until_ns - q->now_ns) / NS_PER_S);
	l.entry = entry_new(q->name, q->type, n, octets, q->now_ns);
	if (!l.entry)
		return NULL;
	l.at = l.entry->name_len;
	lay(&l, soa);
	for (unsigned int i = 0; i < s->n; i++)
		lay(&l, s->found[i]);
	l.entry->kind = (uint8_t)kind;
	l.entry->rcode = kind == ENTRY_NXDOMAIN ? RCODE_NXDOMAIN : RCODE_NOERROR;
	l.entry->synthesized = 1;
	memcpy(l.entry->upstream, s->zone.upstream, ADDR_LEN);
	l.entry->upstream_port = s->zone.upstream_port;
	l.entry->zone = q->zone;
	entry_set_life(l.entry, l.ttl_s, 0);
	entry_set_validated(l.entry, DNSSEC_SECURE, VAL_WHY_NONE, until_ns, until_ns);
	return l.entry;
}

struct entry *proofs_answer(struct proofs *proofs, const struct proofs_question *question)
{
	CLEANUP(search_fini) struct search s;
	enum entry_kind kind;

	s.n = 0;
	s.zone.soa = NULL;
	if (proofs_is_empty(proofs))
		return NULL;
	s.proofs = proofs;
	s.question = question;
	if (!find_zone(&s))
		return NULL;
	val_budget_init(&s.budget);
	val_denial_init(&s.denial, s.zone.name, question->rules, &s.budget);
	if (s.zone.type == VAL_TYPE_NSEC)
		gather_nsec(&s);
	else
		gather_nsec3(&s);
	return prove(&s, &kind) ? make_entry(&s, kind) : NULL;
}
