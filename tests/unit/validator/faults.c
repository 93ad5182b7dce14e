/* tests/unit/validator/faults.c - answers damaged, one verb a function. */
#include "faults.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/cleanup.h"
#include "sallyport/name.h"
#include "val_wire.h"

enum { WORDS = 12 };

struct fault {
	struct world *world;
	struct answer *answer;
	const uint8_t *name;
	uint16_t type;
	unsigned int n;
	char *words[WORDS];      /* the verb, then what follows */
	const char *rest[WORDS]; /* the line from that word on */
	/* OWNER TYPE of the verbs that have them */
	bool any_owner;
	uint8_t owner[NAME_MAX_WIRE];
	uint16_t of;
};

static const char *wire(const char *text, uint8_t ret_name[static NAME_MAX_WIRE])
{
	if (name_from_text(text, ret_name) < 0)
		return "no name";
	name_lower(ret_name, ret_name, val_name_size(ret_name));
	return NULL;
}

static bool is_sig(const struct val_row *row)
{
	return row->type == VAL_TYPE_RRSIG;
}

static bool is_chosen(const struct fault *fault, const struct val_row *row)
{
	uint16_t type = is_sig(row) ? val_u16(row->rdata) : row->type;

	return type == fault->of && (fault->any_owner || name_equal(row->owner, fault->owner));
}

enum { RECORDS = 1, SIGNATURES = 2 };

static unsigned int remove_chosen(struct fault *fault, unsigned int which)
{
	struct answer *answer = fault->answer;
	unsigned int kept = 0, n = answer->n;

	for (unsigned int i = 0; i < n; i++) {
		const struct val_row *row = &answer->rows[i];

		if (!is_chosen(fault, row) || !(which & (is_sig(row) ? SIGNATURES : RECORDS)))
			answer->rows[kept++] = *row;
	}
	answer->n = kept;
	return n - kept;
}

static uint8_t *copy_of(struct fault *fault, const uint8_t *octets, size_t len)
{
	uint8_t *copy = world_alloc(fault->world, len + 1);

	memcpy(copy, octets, len);
	return copy;
}

static const char *do_strip(struct fault *fault)
{
	struct answer *answer = fault->answer;
	unsigned int kept = 0;

	for (unsigned int i = 0; i < answer->n; i++) {
		uint16_t type = answer->rows[i].type;

		if (type != VAL_TYPE_RRSIG && type != VAL_TYPE_NSEC && type != VAL_TYPE_NSEC3)
			answer->rows[kept++] = answer->rows[i];
	}
	answer->n = kept;
	return NULL;
}

static const char *do_spoof(struct fault *fault)
{
	uint8_t section = VAL_ANSWER;
	struct zone_rr rr;
	const char *wrong =
	    record_parse(fault->world, fault->rest[1], (const uint8_t *)"", 3600, &rr);

	if (wrong)
		return wrong;
	memcpy(fault->owner, rr.owner, val_name_size(rr.owner));
	fault->of = rr.type;
	for (unsigned int i = 0; i < fault->answer->n; i++) {
		if (is_chosen(fault, &fault->answer->rows[i]))
			section = fault->answer->rows[i].section;
	}
	if (remove_chosen(fault, RECORDS) == 0)
		return "nothing to put it in the place of";
	answer_add(fault->answer, section, rr.owner, rr.type, rr.ttl, rr.rdata, rr.len);
	return NULL;
}

static const char *do_add(struct fault *fault)
{
	bool authority = strcmp(fault->words[1], "authority") == 0;
	struct zone_rr rr;
	const char *wrong =
	    record_parse(fault->world, fault->rest[2], (const uint8_t *)"", 3600, &rr);

	if (wrong)
		return wrong;
	answer_add(fault->answer, authority ? VAL_AUTHORITY : VAL_ANSWER, rr.owner, rr.type, rr.ttl,
	           rr.rdata, rr.len);
	return NULL;
}

struct fields {
	struct signing signing;
	struct zone *zone;
	struct key *key;
	unsigned int flip; /* octets of the signature */
	bool tag_given, algorithm_given;
	uint8_t signer[NAME_MAX_WIRE], owner[NAME_MAX_WIRE];
};

static uint32_t time_of(const char *text)
{
	return (uint32_t)((int64_t)ZONE_BASE_S + span_parse(text));
}

static const char *read_field(struct fault *fault, struct fields *fields, const char *word)
{
	struct signing *signing = &fields->signing;
	const char *value = strchr(word, '=');
	uint8_t name[NAME_MAX_WIRE];
	size_t len;

	if (!value)
		return "FIELD=VALUE";
	len = (size_t)(value++ - word);
#define IS(text) (len == strlen(text) && strncmp(word, text, len) == 0)
	if (IS("labels")) {
		signing->labels = (uint8_t)atoi(value);
	} else if (IS("tag")) {
		signing->tag = (uint16_t)atoi(value);
		fields->tag_given = true;
	} else if (IS("algorithm")) {
		signing->algorithm = (uint8_t)atoi(value);
		fields->algorithm_given = true;
	} else if (IS("ottl")) {
		signing->original_ttl = (uint32_t)strtoul(value, NULL, 10);
	} else if (IS("inception")) {
		signing->inception = time_of(value);
	} else if (IS("expiration")) {
		signing->expiration = time_of(value);
	} else if (IS("covered")) {
		return name_type_parse(value, &signing->covered) < 0 ? "no type" : NULL;
	} else if (IS("flip")) {
		fields->flip = (unsigned int)atoi(value);
	} else if (IS("signer")) {
		signing->signer = fields->signer;
		return wire(value, fields->signer);
	} else if (IS("owner")) {
		signing->owner = fields->owner;
		return wire(value, fields->owner);
	} else if (IS("zone")) {
		const char *wrong = wire(value, name);

		fields->zone = wrong ? NULL : world_find(fault->world, name);
		return fields->zone ? wrong : "no such zone";
	} else if (IS("key")) {
		unsigned int k = (unsigned int)atoi(value);

		if (!fields->zone || k >= fields->zone->n_keys)
			return "no such key";
		fields->key = &fields->zone->keys[k].key;
	} else {
		return "no such field";
	}
#undef IS
	return NULL;
}

static void write_fields(uint8_t *rdata, const struct signing *signing)
{
	val_put16(rdata, signing->covered);
	rdata[2] = signing->algorithm;
	rdata[3] = signing->labels;
	val_put32(rdata + 4, signing->original_ttl);
	val_put32(rdata + 8, signing->expiration);
	val_put32(rdata + 12, signing->inception);
	val_put16(rdata + 16, signing->tag);
}

static void fields_of(const struct val_row *row, struct fields *fields)
{
	const struct val_rdata rdata = { row->rdata, row->rdata_len };
	struct val_sig sig;

	val_sig_read(&rdata, &sig);
	*fields = (struct fields){ .signing = { .signer = sig.signer,
		                                .covered = sig.covered,
		                                .tag = sig.tag,
		                                .algorithm = sig.algorithm,
		                                .labels = sig.labels,
		                                .original_ttl = sig.original_ttl,
		                                .inception = sig.inception,
		                                .expiration = sig.expiration } };
}

/* Fields of the signatures are changed, the signatures are not. */
static const char *do_sig(struct fault *fault)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < fault->answer->n; i++) {
		struct val_row *row = &fault->answer->rows[i];
		size_t signer_len, new_len, rest;
		struct fields fields;
		uint8_t *rdata;

		if (!is_sig(row) || !is_chosen(fault, row))
			continue;
		fields_of(row, &fields);
		for (unsigned int w = 3; w < fault->n; w++) {
			const char *wrong = read_field(fault, &fields, fault->words[w]);

			if (wrong)
				return wrong;
		}
		signer_len = val_name_size(row->rdata + VAL_SIG_FIXED);
		new_len = val_name_size(fields.signing.signer);
		rest = row->rdata_len - VAL_SIG_FIXED - signer_len;
		rdata = world_alloc(fault->world, VAL_SIG_FIXED + new_len + rest);
		write_fields(rdata, &fields.signing);
		memcpy(rdata + VAL_SIG_FIXED, fields.signing.signer, new_len);
		memcpy(rdata + VAL_SIG_FIXED + new_len, row->rdata + VAL_SIG_FIXED + signer_len,
		       rest);
		for (unsigned int k = 0; k < fields.flip && k < rest; k++)
			rdata[VAL_SIG_FIXED + new_len + k] ^= 0xff;
		row->rdata = rdata;
		row->rdata_len = (uint16_t)(VAL_SIG_FIXED + new_len + rest);
		n++;
	}
	return n > 0 ? NULL : "no such signature";
}

static struct key *key_for(struct zone *zone, uint16_t type)
{
	for (unsigned int k = 0; k < zone->n_keys; k++) {
		if (type == VAL_TYPE_DNSKEY ? zone->keys[k].signs_keys : zone->keys[k].signs_data)
			return &zone->keys[k].key;
	}
	return NULL;
}

/* One new signature in the place of all. */
static const char *do_resign(struct fault *fault)
{
	const struct val_row *rows[ANSWER_ROWS], *old = NULL;
	struct val_row row;
	struct fields fields;
	unsigned int n = 0;

	for (unsigned int i = 0; i < fault->answer->n; i++) {
		const struct val_row *at = &fault->answer->rows[i];

		if (!is_chosen(fault, at))
			continue;
		if (is_sig(at))
			old = at;
		else
			n++;
	}
	if (!old || n == 0)
		return "nothing signed to sign again";
	row = *old;
	fields_of(&row, &fields);
	fields.zone = world_find(fault->world, fields.signing.signer);
	fields.signing.owner = row.owner;
	if (fields.signing.labels < name_labels(row.owner)) { /* as a wildcard, if it was one */
		const uint8_t *parent =
		    val_parent(row.owner, name_labels(row.owner) - fields.signing.labels);

		if (val_wildcard(parent, fields.owner))
			fields.signing.owner = fields.owner;
	}
	for (unsigned int w = 3; w < fault->n; w++) {
		const char *wrong = read_field(fault, &fields, fault->words[w]);

		if (wrong)
			return wrong;
	}
	if (!fields.zone)
		return "zone=NAME must be given";
	if (!fields.key)
		fields.key = key_for(fields.zone, fault->of);
	if (!fields.key)
		return "no key that signs";
	if (!fields.tag_given)
		fields.signing.tag = fields.key->tag;
	if (!fields.algorithm_given)
		fields.signing.algorithm = fields.key->algorithm;
	remove_chosen(fault, SIGNATURES);
	n = 0;
	for (unsigned int i = 0; i < fault->answer->n; i++) {
		if (is_chosen(fault, &fault->answer->rows[i]))
			rows[n++] = &fault->answer->rows[i];
	}
	row.rdata = world_sign(fault->world, fields.key, &fields.signing, rows, n, &row.rdata_len);
	fault->answer->rows[fault->answer->n++] = row;
	return NULL;
}

static const char *do_rename(struct fault *fault)
{
	uint8_t name[NAME_MAX_WIRE];
	const char *wrong = fault->n == 4 ? wire(fault->words[3], name) : "rename OWNER TYPE NEW";
	unsigned int n = 0;

	for (unsigned int i = 0; !wrong && i < fault->answer->n; i++) {
		struct val_row *row = &fault->answer->rows[i];

		if (!is_chosen(fault, row))
			continue;
		row->owner = copy_of(fault, name, val_name_size(name));
		n++;
	}
	return wrong ? wrong : n > 0 ? NULL : "no such RRset";
}

static const char *do_ttl(struct fault *fault)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < fault->answer->n; i++) {
		if (!is_chosen(fault, &fault->answer->rows[i]))
			continue;
		fault->answer->rows[i].ttl = (uint32_t)strtoul(fault->words[3], NULL, 10);
		n++;
	}
	return n > 0 ? NULL : "no such RRset";
}

static const char *do_garble(struct fault *fault)
{
	for (unsigned int i = 0; i < fault->answer->n; i++) {
		struct val_row *row = &fault->answer->rows[i];
		uint8_t *rdata;

		if (!is_chosen(fault, row) || is_sig(row) || row->rdata_len == 0)
			continue;
		rdata = copy_of(fault, row->rdata, row->rdata_len);
		rdata[row->rdata_len - 1] ^= 1;
		row->rdata = rdata;
		return NULL;
	}
	return "no such record";
}

static const char *do_flood(struct fault *fault)
{
	unsigned long n = strtoul(fault->words[3], NULL, 10);
	const struct val_row *model = NULL;

	for (unsigned int i = 0; i < fault->answer->n && !model; i++) {
		if (is_sig(&fault->answer->rows[i]) && is_chosen(fault, &fault->answer->rows[i]))
			model = &fault->answer->rows[i];
	}
	if (!model)
		return "no such signature";
	/* In front: the honest one comes last. */
	for (unsigned long i = 0; i < n && fault->answer->n < ANSWER_ROWS; i++) {
		uint8_t *rdata = copy_of(fault, model->rdata, model->rdata_len);
		struct val_row row = *model;

		val_put16(rdata + model->rdata_len - 8, (unsigned int)i);
		row.rdata = rdata;
		memmove(&fault->answer->rows[1], &fault->answer->rows[0],
		        fault->answer->n++ * sizeof(row));
		fault->answer->rows[0] = row;
		model++;
	}
	return NULL;
}

static const char *do_many(struct fault *fault)
{
	unsigned long n = strtoul(fault->words[3], NULL, 10);

	for (unsigned int i = 0; i < fault->answer->n; i++) {
		const struct val_row row = fault->answer->rows[i];

		if (is_sig(&row) || !is_chosen(fault, &row) || row.rdata_len < 4)
			continue;
		for (unsigned long k = 0; k < n; k++) {
			uint8_t *rdata = copy_of(fault, row.rdata, row.rdata_len);

			val_put16(rdata + row.rdata_len - 2, (unsigned int)k);
			rdata[row.rdata_len - 3] ^= 0x55;
			answer_add(fault->answer, row.section, row.owner, row.type, row.ttl, rdata,
			           row.rdata_len);
		}
		return NULL;
	}
	return "no such record";
}

static void upper(uint8_t *name)
{
	for (size_t i = 0, len = val_name_size(name); i < len; i++) {
		if (name[i] >= 'a' && name[i] <= 'z')
			name[i] = (uint8_t)(name[i] - 'a' + 'A');
	}
}

static const char *do_upper(struct fault *fault)
{
	for (unsigned int i = 0; i < fault->answer->n; i++) {
		struct val_row *row = &fault->answer->rows[i];
		uint8_t *owner = copy_of(fault, row->owner, val_name_size(row->owner));

		upper(owner);
		row->owner = owner;
		if (is_sig(row)) {
			uint8_t *rdata = copy_of(fault, row->rdata, row->rdata_len);

			upper(rdata + VAL_SIG_FIXED);
			row->rdata = rdata;
		}
	}
	return NULL;
}

static const char *do_reverse(struct fault *fault)
{
	struct answer *answer = fault->answer;

	for (unsigned int i = 0; i < answer->n / 2; i++) {
		struct val_row row = answer->rows[i];

		answer->rows[i] = answer->rows[answer->n - 1 - i];
		answer->rows[answer->n - 1 - i] = row;
	}
	return NULL;
}

static const char *do_double(struct fault *fault)
{
	unsigned int n = fault->answer->n;

	for (unsigned int i = 0; i < n && fault->answer->n < ANSWER_ROWS; i++)
		fault->answer->rows[fault->answer->n++] = fault->answer->rows[i];
	return NULL;
}

static const char *do_answer(struct fault *fault)
{
	world_answer(fault->world, fault->owner, fault->of, fault->answer);
	return NULL;
}

static const char *do_merge(struct fault *fault)
{
	struct answer *other = world_alloc(fault->world, sizeof(*other));

	world_answer(fault->world, fault->owner, fault->of, other);
	for (unsigned int i = 0; i < other->n && fault->answer->n < ANSWER_ROWS; i++)
		fault->answer->rows[fault->answer->n++] = other->rows[i];
	return NULL;
}

static const char *do_child(struct fault *fault)
{
	const struct zone *zone = world_find(fault->world, fault->name);

	if (!zone)
		return "no zone of that name";
	zone_answer(fault->world, zone, fault->name, fault->type, fault->answer);
	return NULL;
}

static const char *do_drop(struct fault *fault)
{
	return remove_chosen(fault, RECORDS | SIGNATURES) > 0 ? NULL : "no such RRset";
}

static const char *do_unsign(struct fault *fault)
{
	return remove_chosen(fault, SIGNATURES) > 0 ? NULL : "no such signature";
}

static const char *do_bare(struct fault *fault)
{
	return remove_chosen(fault, RECORDS) > 0 ? NULL : "no such records";
}

static const char *do_empty(struct fault *fault)
{
	fault->answer->n = 0;
	return NULL;
}

static const char *do_lost(struct fault *fault)
{
	fault->answer->missing = true;
	return NULL;
}

static const char *do_rcode(struct fault *fault)
{
	fault->answer->rcode = (uint16_t)atoi(fault->words[1]);
	return NULL;
}

static const struct verb {
	const char *name;
	unsigned int words; /* at least, after the verb */
	bool chooses;       /* the first two are OWNER TYPE */
	const char *(*apply)(struct fault *fault);
} verbs[] = {
	{ "empty", 0, false, do_empty },     { "lost", 0, false, do_lost },
	{ "strip", 0, false, do_strip },     { "drop", 2, true, do_drop },
	{ "unsign", 2, true, do_unsign },    { "bare", 2, true, do_bare },
	{ "spoof", 3, false, do_spoof },     { "add", 4, false, do_add },
	{ "sig", 3, true, do_sig },          { "resign", 2, true, do_resign },
	{ "rename", 3, true, do_rename },    { "ttl", 3, true, do_ttl },
	{ "garble", 2, true, do_garble },    { "flood", 3, true, do_flood },
	{ "many", 3, true, do_many },        { "upper", 0, false, do_upper },
	{ "reverse", 0, false, do_reverse }, { "double", 0, false, do_double },
	{ "answer", 2, true, do_answer },    { "merge", 2, true, do_merge },
	{ "child", 0, false, do_child },     { "rcode", 1, false, do_rcode },
};

static const char *choose(struct fault *fault)
{
	fault->any_owner = strcmp(fault->words[1], "*") == 0;
	if (name_type_parse(fault->words[2], &fault->of) < 0)
		return "no type";
	return fault->any_owner ? NULL : wire(fault->words[1], fault->owner);
}

const char *fault_apply(struct world *world, const char *line, const uint8_t *name, uint16_t type,
                        struct answer *answer)
{
	/* Rows keep what is in it. */
	struct fault *fault = world_alloc(world, sizeof(*fault));
	char copy[2000], *next;

	*fault = (struct fault){ .world = world, .answer = answer, .name = name, .type = type };
	snprintf(copy, sizeof(copy), "%s", line);
	for (char *word = strtok_r(copy, " \t", &next); word && fault->n < WORDS;
	     word = strtok_r(NULL, " \t", &next)) {
		fault->rest[fault->n] = line + (word - copy);
		fault->words[fault->n++] = word;
	}
	for (size_t i = 0; i < ARRAY_LEN(verbs) && fault->n > 0; i++) {
		const struct verb *verb = &verbs[i];
		const char *wrong = NULL;

		if (strcmp(verb->name, fault->words[0]) != 0)
			continue;
		if (fault->n - 1 < verb->words)
			return "too few words";
		if (verb->chooses)
			wrong = choose(fault);
		return wrong ? wrong : verb->apply(fault);
	}
	return "no such fault";
}
