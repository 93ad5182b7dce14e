/* val_canon.c - RDATA in lower case where it has to be, sorted; the signed octets made from it. */
#include "val_canon.h"

#include <stdlib.h>
#include <string.h>

#include "sallyport/err.h"
#include "sallyport/limits.h"
#include "sallyport/name.h"
#include "val_wire.h"

/* Where the names are that the canonical form lowers. RFC 4034, section 6.2, names the types; RFC
 * 6840, section 5.1, takes NSEC out. RFC 3597, section 7: no type is ever added. */
static const struct layout {
	uint16_t type;
	uint8_t fixed;   /* octets before the first name */
	uint8_t strings; /* character strings behind them (NAPTR) */
	uint8_t names;
} layouts[] = {
	{ VAL_TYPE_NS, 0, 0, 1 },
	{ 3 /* MD */, 0, 0, 1 },
	{ 4 /* MF */, 0, 0, 1 },
	{ VAL_TYPE_CNAME, 0, 0, 1 },
	{ VAL_TYPE_SOA, 0, 0, 2 },
	{ 7 /* MB */, 0, 0, 1 },
	{ 8 /* MG */, 0, 0, 1 },
	{ 9 /* MR */, 0, 0, 1 },
	{ 12 /* PTR */, 0, 0, 1 },
	{ 14 /* MINFO */, 0, 0, 2 },
	{ 15 /* MX */, 2, 0, 1 },
	{ 17 /* RP */, 0, 0, 2 },
	{ 18 /* AFSDB */, 2, 0, 1 },
	{ 21 /* RT */, 2, 0, 1 },
	{ 24 /* SIG */, VAL_SIG_FIXED, 0, 1 },
	{ 26 /* PX */, 2, 0, 2 },
	{ 30 /* NXT */, 0, 0, 1 },
	{ 33 /* SRV */, 6, 0, 1 },
	{ 35 /* NAPTR */, 4, 3, 1 },
	{ 36 /* KX */, 2, 0, 1 },
	{ VAL_TYPE_DNAME, 0, 0, 1 },
	{ VAL_TYPE_RRSIG, VAL_SIG_FIXED, 0, 1 },
};

static int lower_names(const struct layout *layout, uint8_t *rdata, size_t len)
{
	size_t pos = layout->fixed;

	if (pos > len)
		return ERR_MALFORMED;
	for (unsigned int i = 0; i < layout->strings; i++) {
		if (pos >= len || rdata[pos] >= len - pos)
			return ERR_MALFORMED;
		pos += 1u + rdata[pos];
	}
	for (unsigned int i = 0; i < layout->names; i++) {
		int name_len = name_wire_len(rdata + pos, len - pos);

		if (name_len < 0)
			return ERR_MALFORMED;
		name_lower(rdata + pos, rdata + pos, (size_t)name_len);
		pos += (size_t)name_len;
	}
	return ERR_OK;
}

/* A6 (RFC 2874): prefix length, the rest of the address, then a name unless the prefix is empty. */
static int lower_a6(uint8_t *rdata, size_t len)
{
	const struct layout behind = { .fixed = 0, .names = 1 };
	size_t pos;

	if (len < 1 || rdata[0] > 128)
		return ERR_MALFORMED;
	pos = 1u + (128u - rdata[0] + 7u) / 8;
	if (pos > len)
		return ERR_MALFORMED;
	return rdata[0] == 0 ? ERR_OK : lower_names(&behind, rdata + pos, len - pos);
}

int val_canon_rdata(uint16_t type, const uint8_t *rdata, size_t len, uint8_t *out)
{
	if (out != rdata && len > 0)
		memcpy(out, rdata, len);
	if (type == 38)
		return lower_a6(out, len);
	for (size_t i = 0; i < ARRAY_LEN(layouts); i++) {
		if (layouts[i].type == type)
			return lower_names(&layouts[i], out, len);
	}
	return ERR_OK;
}

struct val_canon {
	uint8_t owner[NAME_MAX_WIRE];
	size_t owner_len;
	uint16_t type;
	size_t n;
	struct val_rdata *rrs; /* sorted, each once */
	uint8_t *octets;       /* of their RDATA */
	uint8_t *out;          /* what val_canon_signed() gives */
	size_t out_size;
};

/* RFC 4034, section 6.3: as left-justified octets; absent before zero. */
static int cmp_rdata(const void *left, const void *right)
{
	const struct val_rdata *a = left, *b = right;
	size_t len = MIN(a->len, b->len);
	int order = len > 0 ? memcmp(a->data, b->data, len) : 0;

	return order != 0 ? order : (int)a->len - (int)b->len;
}

static size_t unique(struct val_rdata *rrs, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (kept == 0 || cmp_rdata(&rrs[kept - 1], &rrs[i]) != 0)
			rrs[kept++] = rrs[i];
	}
	return kept;
}

int val_canon_make(const struct val_set *set, struct val_canon **ret_canon)
{
	CLEANUP(val_canon_free) struct val_canon *canon = NULL;
	size_t octets = 0, at = 0;
	int r;

	if (set->n_rrs > LIMIT_RRSET_RECORDS)
		return ERR_LIMIT;
	canon = calloc(1, sizeof(*canon));
	if (!canon)
		return ERR_NOMEM;
	canon->owner_len = val_name_size(set->owner);
	memcpy(canon->owner, set->owner, canon->owner_len);
	canon->type = set->type;
	for (unsigned int i = 0; i < set->n_rrs; i++)
		octets += set->rrs[i].len;
	/* The owner that is signed is never longer than the set's own, but for a wildcard's "*." */
	canon->out_size =
	    VAL_SIG_FIXED + NAME_MAX_WIRE + octets + set->n_rrs * (canon->owner_len + 2 + 10);
	canon->rrs = calloc(set->n_rrs + 1u, sizeof(*canon->rrs));
	canon->octets = malloc(octets + 1);
	canon->out = malloc(canon->out_size);
	if (!canon->rrs || !canon->octets || !canon->out)
		return ERR_NOMEM;
	for (unsigned int i = 0; i < set->n_rrs; i++) {
		r = val_canon_rdata(set->type, set->rrs[i].data, set->rrs[i].len,
		                    canon->octets + at);
		if (r < 0)
			return r;
		canon->rrs[i] = (struct val_rdata){ canon->octets + at, set->rrs[i].len };
		at += set->rrs[i].len;
	}
	qsort(canon->rrs, set->n_rrs, sizeof(*canon->rrs), cmp_rdata);
	canon->n = unique(canon->rrs, set->n_rrs);
	*ret_canon = TAKE(canon);
	return ERR_OK;
}

void val_canon_free(struct val_canon *canon)
{
	if (!canon)
		return;
	free(canon->rrs);
	free(canon->octets);
	free(canon->out);
	free(canon);
}

/* The owner as it was signed: itself, or the wildcard that it came from. Labels count neither the
 * root nor a leading asterisk (RFC 4034, section 3.1.3). Returns its length, 0: they do not fit. */
static size_t signed_owner(const struct val_canon *canon, unsigned int labels,
                           uint8_t ret_owner[static NAME_MAX_WIRE])
{
	unsigned int n = name_labels(canon->owner);
	bool is_wildcard = canon->owner[0] == 1 && canon->owner[1] == '*';
	const uint8_t *parent;

	if (labels == n - is_wildcard) {
		memcpy(ret_owner, canon->owner, canon->owner_len);
		return canon->owner_len;
	}
	if (labels >= n)
		return 0;
	parent = val_parent(canon->owner, n - labels);
	return val_wildcard(parent, ret_owner) ? 2 + val_name_size(parent) : 0;
}

size_t val_canon_signed(struct val_canon *canon, const struct val_rdata *rdata,
                        const struct val_sig *sig, const uint8_t **ret_octets)
{
	uint8_t owner[NAME_MAX_WIRE];
	size_t owner_len = signed_owner(canon, sig->labels, owner), at;
	uint8_t *p = canon->out;

	if (owner_len == 0)
		return 0;
	memcpy(p, rdata->data, VAL_SIG_FIXED);
	name_lower(p + VAL_SIG_FIXED, sig->signer, sig->signer_len);
	at = VAL_SIG_FIXED + sig->signer_len;
	for (size_t i = 0; i < canon->n; i++) {
		memcpy(p + at, owner, owner_len);
		at += owner_len;
		val_put16(p + at, canon->type);
		val_put16(p + at + 2, 1); /* class IN */
		val_put32(p + at + 4, sig->original_ttl);
		val_put16(p + at + 8, canon->rrs[i].len);
		at += 10;
		if (canon->rrs[i].len > 0)
			memcpy(p + at, canon->rrs[i].data, canon->rrs[i].len);
		at += canon->rrs[i].len;
	}
	*ret_octets = p;
	return at;
}
