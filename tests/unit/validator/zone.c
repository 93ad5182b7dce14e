/* tests/unit/validator/zone.c - zone texts read; records, signatures and RRsets made. */
#include "zone.h"

#include <ldns/ldns.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/cleanup.h"
#include "sallyport/name.h"
#include "val_key.h"
#include "val_wire.h"

struct block {
	struct block *next;
	uint8_t octets[];
};

void *world_alloc(struct world *world, size_t size)
{
	struct block *block = calloc(1, sizeof(*block) + size);

	assert(block);
	block->next = world->arena;
	world->arena = block;
	return block->octets;
}

static const uint8_t *keep(struct world *world, const uint8_t *octets, size_t len)
{
	uint8_t *copy = world_alloc(world, len + 1);

	if (len > 0)
		memcpy(copy, octets, len);
	return copy;
}

void world_init(struct world *world)
{
	memset(world, 0, sizeof(*world));
}

void world_fini(struct world *world)
{
	for (unsigned int i = 0; i < world->n_zones; i++) {
		for (unsigned int k = 0; k < world->zones[i]->n_keys; k++)
			key_fini(&world->zones[i]->keys[k].key);
	}
	for (struct block *block = world->arena, *next; block; block = next) {
		next = block->next;
		free(block);
	}
	memset(world, 0, sizeof(*world));
}

struct zone *world_find(struct world *world, const uint8_t *name)
{
	for (unsigned int i = 0; i < world->n_zones; i++) {
		if (name_equal(world->zones[i]->name, name))
			return world->zones[i];
	}
	return NULL;
}

int64_t span_parse(const char *text)
{
	char *end;
	int64_t n = strtoll(text, &end, 10);

	switch (*end) {
	case 'd':
		return n * 86400;
	case 'h':
		return n * 3600;
	case 'm':
		return n * 60;
	default:
		return n;
	}
}

/* "13k#2.idle*40" */
static const char *read_key(struct zone *zone, const char *token)
{
	char name[NAME_TEXT_LEN], label[NAME_TEXT_LEN + 64], copy[64];
	char *mod, *end, *crowd = strchr(strcpy(copy, token), '*');
	unsigned int n_crowd = crowd ? (unsigned int)strtoul(crowd + 1, NULL, 10) : 0;
	struct zone_key *key = &zone->keys[zone->n_keys];
	uint16_t flags = VAL_KEY_ZONE;
	uint8_t protocol = 3, algorithm;
	char role;
	bool rsa;

	if (crowd)
		*crowd = '\0';
	mod = strchr(copy, '.');
	if (mod)
		*mod++ = '\0';
	algorithm = (uint8_t)strtoul(copy, &end, 10);
	role = *end;
	if (role != 'k' && role != 'z' && role != 'c')
		return "a key is ALGORITHM and k, z or c";
	*key = (struct zone_key){ .signs_keys = role != 'z',
		                  .signs_data = role != 'k',
		                  .published = true,
		                  .has_ds = role != 'z' };
	if (role != 'z')
		flags |= VAL_KEY_SEP;
	for (char *word = mod ? strtok_r(mod, ".", &end) : NULL; word;
	     word = strtok_r(NULL, ".", &end)) {
		if (strcmp(word, "nods") == 0)
			key->has_ds = false;
		else if (strcmp(word, "hidden") == 0)
			key->published = false;
		else if (strcmp(word, "idle") == 0)
			key->signs_keys = key->signs_data = false;
		else if (strcmp(word, "dsonly") == 0)
			key->published = key->signs_keys = key->signs_data = false;
		else if (strcmp(word, "revoked") == 0)
			flags |= VAL_KEY_REVOKED;
		else if (strcmp(word, "nozone") == 0)
			flags &= (uint16_t)~VAL_KEY_ZONE;
		else if (strcmp(word, "proto0") == 0)
			protocol = 0;
		else if (strcmp(word, "baddigest") == 0)
			key->bad_digest = true;
		else if (strcmp(word, "badsha256") == 0)
			key->bad_sha256 = true;
		else
			return "no such key option";
	}
	name_to_text(zone->name, name);
	rsa = algorithm == 5 || algorithm == 7 || algorithm == 8 || algorithm == 10;
	/* RSA keys of one role are the same in all zones: they take time to find. */
	snprintf(label, sizeof(label), "%s %s", rsa ? "rsa" : name,
	         rsa ? strpbrk(copy, "kzc") : copy);
	key_make(&key->key, algorithm, flags, protocol, label);
	zone->n_keys++;
	for (unsigned int i = 0; i < n_crowd && zone->n_keys < ZONE_KEYS; i++) {
		struct zone_key *other = &zone->keys[zone->n_keys++];

		*other = (struct zone_key){ .published = true };
		key_collide(&other->key, &key->key, i);
	}
	return NULL;
}

static void read_nsec3(struct zone *zone, char *text)
{
	char *salt;

	zone->denial = ZONE_NSEC3;
	zone->iterations = (uint16_t)strtoul(text, &salt, 10);
	if (*salt++ != ',')
		return;
	for (; salt[0] && salt[1] && zone->salt_len < sizeof(zone->salt); salt += 2) {
		char octet[] = { salt[0], salt[1], '\0' };

		zone->salt[zone->salt_len++] = (uint8_t)strtoul(octet, NULL, 16);
	}
}

static const char *read_option(struct zone *zone, char *word)
{
	char *end;

	if (*word >= '0' && *word <= '9')
		return zone->n_keys < ZONE_KEYS ? read_key(zone, word) : "too many keys";
	if (strcmp(word, "unsigned") == 0 || strcmp(word, "nsec") == 0) {
		return NULL;
	} else if (strcmp(word, "nsec3") == 0) {
		zone->denial = ZONE_NSEC3;
	} else if (strncmp(word, "nsec3=", 6) == 0) {
		read_nsec3(zone, word + 6);
	} else if (strcmp(word, "optout") == 0) {
		zone->opt_out = true;
	} else if (strcmp(word, "nodenial") == 0) {
		zone->denial = ZONE_NOTHING;
	} else if (strcmp(word, "nosoa") == 0) {
		zone->soa = false;
	} else if (strcmp(word, "nons") == 0) {
		zone->ns = false;
	} else if (strncmp(word, "ds=", 3) == 0) {
		zone->n_digests = 0;
		for (end = word + 3; *end >= '0' && *end <= '9' && zone->n_digests < 4;
		     end += *end == ',')
			zone->digests[zone->n_digests++] = (uint8_t)strtoul(end, &end, 10);
	} else if (strncmp(word, "times=", 6) == 0) {
		zone->inception = (uint32_t)((int64_t)ZONE_BASE_S + span_parse(word + 6));
		end = strchr(word, ',');
		if (!end)
			return "times=FROM,UNTIL";
		zone->expiration = (uint32_t)((int64_t)ZONE_BASE_S + span_parse(end + 1));
	} else if (strncmp(word, "ttl=", 4) == 0) {
		zone->ttl = (uint32_t)strtoul(word + 4, NULL, 10);
	} else {
		return "no such zone option";
	}
	return NULL;
}

const char *world_zone(struct world *world, const char *line)
{
	char copy[2000], *next, *word;
	uint8_t name[NAME_MAX_WIRE];
	struct zone *zone;

	snprintf(copy, sizeof(copy), "%s", line);
	word = strtok_r(copy, " \t", &next);
	if (!word || name_from_text(word, name) < 0)
		return "a zone needs a name";
	name_lower(name, name, val_name_size(name));
	zone = world_find(world, name);
	if (!zone) {
		if (world->n_zones == WORLD_ZONES)
			return "too many zones";
		zone = world_alloc(world, sizeof(*zone));
		world->zones[world->n_zones++] = zone;
	}
	for (unsigned int k = 0; k < zone->n_keys; k++)
		key_fini(&zone->keys[k].key);
	/* A zone that is described anew keeps its records. */
	memset(zone, 0, offsetof(struct zone, n_rrs));
	memcpy(zone->name, name, val_name_size(name));
	zone->soa = zone->ns = true;
	zone->digests[zone->n_digests++] = VAL_SHA256;
	zone->inception = ZONE_BASE_S - 86400;
	zone->expiration = ZONE_BASE_S + 14 * 86400;
	zone->ttl = 3600;
	while ((word = strtok_r(NULL, " \t", &next))) {
		const char *wrong = read_option(zone, word);

		if (wrong)
			return wrong;
	}
	return NULL;
}

const char *record_parse(struct world *world, const char *text, const uint8_t *origin, uint32_t ttl,
                         struct zone_rr *ret_rr)
{
	ldns_rdf *base = ldns_rdf_new_frm_data(LDNS_RDF_TYPE_DNAME, val_name_size(origin), origin);
	ldns_buffer *buffer = ldns_buffer_new(65535);
	ldns_rr *rr = NULL;
	ldns_status status = ldns_rr_new_frm_str(&rr, text, ttl, base, NULL);

	if (status == LDNS_STATUS_OK) {
		const ldns_rdf *owner = ldns_rr_owner(rr);

		status = ldns_rr_rdata2buffer_wire(buffer, rr);
		*ret_rr = (struct zone_rr){
			.owner = keep(world, ldns_rdf_data(owner), ldns_rdf_size(owner)),
			.rdata =
			    keep(world, ldns_buffer_begin(buffer), ldns_buffer_position(buffer)),
			.ttl = ldns_rr_ttl(rr),
			.type = (uint16_t)ldns_rr_get_type(rr),
			.len = (uint16_t)ldns_buffer_position(buffer),
		};
		ldns_rr_free(rr);
	}
	ldns_rdf_deep_free(base);
	ldns_buffer_free(buffer);
	return status == LDNS_STATUS_OK ? NULL : ldns_get_errorstr_by_id(status);
}

const char *world_record(struct world *world, struct zone *zone, const char *line)
{
	struct zone_rr rr;
	const char *wrong = record_parse(world, line, zone->name, zone->ttl, &rr);

	if (wrong)
		return wrong;
	if (zone->n_rrs == ZONE_RRS)
		return "too many records";
	zone->rrs[zone->n_rrs++] = rr;
	return NULL;
}

static void add_octets(struct world *world, struct zone *zone, const uint8_t *owner, uint16_t type,
                       const uint8_t *rdata, size_t len)
{
	assert(zone->n_rrs < ZONE_RRS);
	zone->rrs[zone->n_rrs++] =
	    (struct zone_rr){ keep(world, owner, val_name_size(owner)), keep(world, rdata, len),
		              zone->ttl, type, (uint16_t)len };
}

static void finish_apex(struct world *world, struct zone *zone)
{
	uint8_t param[5 + sizeof(zone->salt)] = { 1, 0 };

	assert(!world_record(world, zone, "@ NS ns"));
	assert(!world_record(world, zone, "@ SOA ns hostmaster 1 7200 3600 1209600 900"));
	for (unsigned int k = 0; k < zone->n_keys; k++) {
		const struct zone_key *key = &zone->keys[k];

		if (key->published)
			add_octets(world, zone, zone->name, VAL_TYPE_DNSKEY, key->key.rdata,
			           key->key.rdata_len);
	}
	if (zone->n_keys == 0 || zone->denial != ZONE_NSEC3)
		return;
	val_put16(param + 2, zone->iterations);
	param[4] = zone->salt_len;
	memcpy(param + 5, zone->salt, zone->salt_len);
	add_octets(world, zone, zone->name, 51 /* NSEC3PARAM */, param, 5u + zone->salt_len);
}

/* What the parent says of @zone. */
static void finish_cut(struct world *world, struct zone *parent, const struct zone *zone)
{
	uint8_t ds[KEY_DS_MAX], ns[NAME_MAX_WIRE] = { 2, 'n', 's' };

	memcpy(ns + 3, zone->name, val_name_size(zone->name));
	if (zone->ns)
		add_octets(world, parent, zone->name, VAL_TYPE_NS, ns, val_name_size(ns));
	for (unsigned int k = 0; k < zone->n_keys; k++) {
		const struct zone_key *key = &zone->keys[k];

		for (unsigned int d = 0; key->has_ds && d < zone->n_digests; d++) {
			size_t len = key_ds(&key->key, zone->name, zone->digests[d], ds);

			if (key->bad_digest || (key->bad_sha256 && ds[3] == VAL_SHA256))
				ds[len - 1] ^= 1;
			add_octets(world, parent, zone->name, VAL_TYPE_DS, ds, len);
		}
	}
}

void world_finish(struct world *world)
{
	for (unsigned int i = 0; i < world->n_zones; i++) {
		struct zone *zone = world->zones[i], *parent = NULL;

		finish_apex(world, zone);
		for (const uint8_t *name = zone->name; *name && !parent;) {
			name = val_parent(name, 1);
			parent = world_find(world, name);
		}
		if (parent)
			finish_cut(world, parent, zone);
	}
}

void answer_add(struct answer *answer, uint8_t section, const uint8_t *owner, uint16_t type,
                uint32_t ttl, const uint8_t *rdata, uint16_t len)
{
	assert(answer->n < ANSWER_ROWS);
	answer->rows[answer->n++] = (struct val_row){ owner, rdata, ttl, len, type, section };
}

void signing_init(struct signing *signing, const struct zone *zone, const struct key *key,
                  const uint8_t *owner, uint16_t type, uint32_t ttl)
{
	bool wildcard = owner[0] == 1 && owner[1] == '*';

	*signing = (struct signing){ .signer = zone->name,
		                     .owner = owner,
		                     .covered = type,
		                     .tag = key->tag,
		                     .algorithm = key->algorithm,
		                     .labels = (uint8_t)(name_labels(owner) - wildcard),
		                     .original_ttl = ttl,
		                     .inception = zone->inception,
		                     .expiration = zone->expiration };
}

size_t record_canonical(uint16_t type, const uint8_t *rdata, uint16_t len, uint8_t *out)
{
	uint8_t *wire = malloc(11u + len);
	ldns_buffer *buffer = ldns_buffer_new(65535);
	ldns_rr *rr = NULL;
	size_t pos = 0;

	memset(wire, 0, 11);
	val_put16(wire + 1, type);
	val_put16(wire + 3, 1);
	val_put16(wire + 9, len);
	if (len > 0) {
		memcpy(wire + 11, rdata, len);
		memcpy(out, rdata, len);
	}
	/* What is broken on purpose stays as it is. */
	if (ldns_wire2rr(&rr, wire, 11u + len, &pos, LDNS_SECTION_ANSWER) == LDNS_STATUS_OK) {
		ldns_rr2canonical(rr);
		if (ldns_rr_rdata2buffer_wire(buffer, rr) == LDNS_STATUS_OK &&
		    ldns_buffer_position(buffer) == len)
			memcpy(out, ldns_buffer_begin(buffer), len);
		ldns_rr_free(rr);
	}
	ldns_buffer_free(buffer);
	free(wire);
	return len;
}

static int cmp_rdata(const void *left, const void *right)
{
	const struct val_rdata *a = left, *b = right;
	int order = memcmp(a->data, b->data, MIN(a->len, b->len));

	return order != 0 ? order : (int)a->len - (int)b->len;
}

const uint8_t *world_sign(struct world *world, const struct key *key, const struct signing *signing,
                          const struct val_row *const *rows, unsigned int n, uint16_t *ret_len)
{
	size_t size = VAL_SIG_FIXED + NAME_MAX_WIRE, at, fields, owner_len;
	struct val_rdata *rdatas = calloc(n + 1, sizeof(*rdatas));
	uint8_t *text, *rdata = world_alloc(world, size + KEY_SIGNATURE_MAX);
	size_t signer_len = val_name_size(signing->signer);

	for (unsigned int i = 0; i < n; i++) {
		uint8_t *form = world_alloc(world, rows[i]->rdata_len + 1u);

		rdatas[i].len = (uint16_t)record_canonical(rows[i]->type, rows[i]->rdata,
		                                           rows[i]->rdata_len, form);
		rdatas[i].data = form;
		size += NAME_MAX_WIRE + 10 + rdatas[i].len;
	}
	qsort(rdatas, n, sizeof(*rdatas), cmp_rdata);
	val_put16(rdata, signing->covered);
	rdata[2] = signing->algorithm;
	rdata[3] = signing->labels;
	val_put32(rdata + 4, signing->original_ttl);
	val_put32(rdata + 8, signing->expiration);
	val_put32(rdata + 12, signing->inception);
	val_put16(rdata + 16, signing->tag);
	name_lower(rdata + VAL_SIG_FIXED, signing->signer, signer_len);
	fields = VAL_SIG_FIXED + signer_len;

	text = malloc(size);
	memcpy(text, rdata, fields);
	at = fields;
	owner_len = val_name_size(signing->owner);
	for (unsigned int i = 0; i < n; i++) {
		if (i > 0 && cmp_rdata(&rdatas[i - 1], &rdatas[i]) == 0)
			continue;
		name_lower(text + at, signing->owner, owner_len);
		val_put16(text + at + owner_len, signing->covered);
		val_put16(text + at + owner_len + 2, 1);
		val_put32(text + at + owner_len + 4, signing->original_ttl);
		val_put16(text + at + owner_len + 8, rdatas[i].len);
		memcpy(text + at + owner_len + 10, rdatas[i].data, rdatas[i].len);
		at += owner_len + 10 + rdatas[i].len;
	}
	*ret_len = (uint16_t)(fields + key_sign(key, text, at, rdata + fields));
	free(text);
	free(rdatas);
	return rdata;
}
