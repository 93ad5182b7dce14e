/* val_message.c - rows sorted into RRsets. */
#include "val_message.h"

#include <stdlib.h>
#include <string.h>

#include "sallyport/err.h"
#include "sallyport/name.h"
#include "val_wire.h"

/* One allocation: message, sets, rdatas, sorted rows and the owners' octets. */

struct sorted {
	const struct val_row *row;
	const uint8_t *owner; /* lower case */
	uint16_t type;        /* the type covered, for an RRSIG */
	uint8_t owner_len;
	bool is_sig;
};

static int cmp_set(const struct sorted *a, const struct sorted *b)
{
	if (a->row->section != b->row->section)
		return a->row->section < b->row->section ? -1 : 1;
	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	if (a->owner_len != b->owner_len)
		return a->owner_len < b->owner_len ? -1 : 1;
	return memcmp(a->owner, b->owner, a->owner_len);
}

static int cmp_rdata(const struct val_row *a, const struct val_row *b)
{
	if (a->rdata_len != b->rdata_len)
		return a->rdata_len < b->rdata_len ? -1 : 1;
	return a->rdata_len > 0 ? memcmp(a->rdata, b->rdata, a->rdata_len) : 0;
}

/* By set, its records before its signatures, equal ones together. */
static int cmp_row(const void *left, const void *right)
{
	const struct sorted *a = left, *b = right;
	int order = cmp_set(a, b);

	if (order != 0)
		return order;
	if (a->is_sig != b->is_sig)
		return a->is_sig ? 1 : -1;
	return cmp_rdata(a->row, b->row);
}

/* The fixed fields and a whole name behind them (RFC 4034, section 3.1). */
static bool is_sig_whole(const struct val_row *row)
{
	return row->rdata_len > VAL_SIG_FIXED &&
	       name_wire_len(row->rdata + VAL_SIG_FIXED, row->rdata_len - VAL_SIG_FIXED) > 0;
}

static void fill(struct val_message *message, const struct sorted *rows, size_t n,
                 struct val_rdata *rdatas)
{
	struct val_set *set = NULL;
	size_t n_rdatas = 0;

	for (size_t i = 0; i < n; i++) {
		if (i == 0 || cmp_set(&rows[i - 1], &rows[i]) != 0) {
			set = &message->sets[message->n_sets++];
			*set = (struct val_set){ .owner = rows[i].owner,
				                 .type = rows[i].type,
				                 .section = rows[i].row->section,
				                 .ttl = UINT32_MAX };
		}
		set->ttl = MIN(set->ttl, rows[i].row->ttl);
		/* RFC 2181, section 5: the same record twice is one record. */
		if (i > 0 && cmp_row(&rows[i - 1], &rows[i]) == 0)
			continue;
		rdatas[n_rdatas] = (struct val_rdata){ rows[i].row->rdata, rows[i].row->rdata_len };
		if (set->n_rrs + set->n_sigs == 0)
			set->rrs = set->sigs = &rdatas[n_rdatas];
		n_rdatas++;
		if (rows[i].is_sig) {
			set->n_sigs++;
		} else {
			set->n_rrs++;
			set->sigs = &rdatas[n_rdatas];
		}
	}
}

int val_message_make(const struct val_row *rows, size_t n, uint16_t rcode,
                     struct val_message **ret_message)
{
	CLEANUP(free) struct sorted *sorted = calloc(n + 1, sizeof(*sorted));
	CLEANUP(val_message_free) struct val_message *message = NULL;
	size_t octets = 0, at;
	uint8_t *store;

	if (!sorted)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++)
		octets += val_name_size(rows[i].owner);
	at = sizeof(*message) + n * (sizeof(struct val_set) + sizeof(struct val_rdata));
	message = calloc(1, at + octets + sizeof(struct val_rdata));
	if (!message)
		return ERR_NOMEM;
	message->bytes = at + octets + sizeof(struct val_rdata);
	message->rcode = rcode;
	message->sets = (struct val_set *)(void *)(message + 1);
	store = (uint8_t *)message + at + sizeof(struct val_rdata);
	for (size_t i = 0; i < n; i++) {
		size_t len = val_name_size(rows[i].owner);

		sorted[i] = (struct sorted){ .row = &rows[i],
			                     .owner = store,
			                     .owner_len = (uint8_t)len,
			                     .type = rows[i].type,
			                     .is_sig = rows[i].type == VAL_TYPE_RRSIG };
		if (sorted[i].is_sig) {
			if (!is_sig_whole(&rows[i]))
				return ERR_MALFORMED;
			sorted[i].type = val_u16(rows[i].rdata);
		}
		name_lower(store, rows[i].owner, len);
		store += len;
	}
	qsort(sorted, n, sizeof(*sorted), cmp_row);
	fill(message, sorted, n, (struct val_rdata *)(void *)(message->sets + n));
	*ret_message = TAKE(message);
	return ERR_OK;
}

void val_message_free(struct val_message *message)
{
	free(message);
}

const struct val_set *val_message_find(const struct val_message *message, uint8_t section,
                                       const uint8_t *owner, uint16_t type)
{
	for (size_t i = 0; i < message->n_sets; i++) {
		const struct val_set *set = &message->sets[i];

		if (set->section == section && set->type == type && set->n_rrs > 0 &&
		    name_equal(set->owner, owner))
			return set;
	}
	return NULL;
}

const struct val_set *val_message_alias(const struct val_message *message, const uint8_t *name)
{
	const struct val_set *cname = val_message_find(message, VAL_ANSWER, name, VAL_TYPE_CNAME);

	if (cname && cname->n_sigs > 0)
		return cname;
	for (size_t i = 0; i < message->n_sets; i++) {
		const struct val_set *set = &message->sets[i];

		if (set->section == VAL_ANSWER && set->type == VAL_TYPE_DNAME && set->n_rrs > 0 &&
		    name_is_under(name, set->owner) && !name_equal(name, set->owner))
			return set;
	}
	return cname;
}

void val_sig_read(const struct val_rdata *rdata, struct val_sig *ret_sig)
{
	const uint8_t *p = rdata->data;
	size_t signer_len = val_name_size(p + VAL_SIG_FIXED);

	*ret_sig = (struct val_sig){
		.covered = val_u16(p),
		.algorithm = p[2],
		.labels = p[3],
		.original_ttl = val_u32(p + 4),
		.expiration = val_u32(p + 8),
		.inception = val_u32(p + 12),
		.tag = val_u16(p + 16),
		.signer = p + VAL_SIG_FIXED,
		.signer_len = signer_len,
		.signature = p + VAL_SIG_FIXED + signer_len,
		.signature_len = rdata->len - VAL_SIG_FIXED - signer_len,
	};
}
