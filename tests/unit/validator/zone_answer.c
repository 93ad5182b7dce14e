/* tests/unit/validator/zone_answer.c - what a zone answers, with its proofs.
 *
 * Written from the servers' side of the RFCs (RFC 4035, section 3.1; RFC 5155, section 7.2), and
 * without anything of the validator's but names compared.
 */
#include "zone.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/cleanup.h"
#include "sallyport/name.h"
#include "val_key.h"
#include "val_wire.h"

enum { HASH = 20, LINKS = 400, TYPES = 64 };

/* One name of the zone's chain of NSEC or NSEC3 records. */
struct link {
	const uint8_t *name;
	uint8_t hash[HASH];
};

struct chain {
	unsigned int n;
	struct link links[LINKS];
};

struct reply { /* being made */
	struct world *world;
	const struct zone *zone;
	struct answer *answer;
	struct chain chain;
};

static bool has(const struct zone *zone, const uint8_t *name, uint16_t type)
{
	for (unsigned int i = 0; i < zone->n_rrs; i++) {
		if (zone->rrs[i].type == type && name_equal(zone->rrs[i].owner, name))
			return true;
	}
	return false;
}

/* With records, or with names below (an empty non-terminal). */
static bool exists(const struct zone *zone, const uint8_t *name)
{
	for (unsigned int i = 0; i < zone->n_rrs; i++) {
		if (name_is_under(zone->rrs[i].owner, name))
			return true;
	}
	return false;
}

/* The highest name at or above @name, below the apex, that has @type; NULL: none. */
static const uint8_t *highest(const struct zone *zone, const uint8_t *name, uint16_t type)
{
	unsigned int n = name_labels(name);

	for (unsigned int labels = name_labels(zone->name) + 1; labels <= n; labels++) {
		const uint8_t *at = val_parent(name, n - labels);

		if (has(zone, at, type))
			return at;
	}
	return NULL;
}

static bool is_cut(const struct zone *zone, const uint8_t *name)
{
	return !name_equal(name, zone->name) && has(zone, name, VAL_TYPE_NS);
}

/* The RRset @name/@type of the zone, shown as @owner (NULL: as it is written). */
static void put_set(struct reply *reply, uint8_t section, const uint8_t *name, uint16_t type,
                    const uint8_t *owner, uint32_t ttl_max)
{
	const struct zone *zone = reply->zone;
	struct answer *answer = reply->answer;
	const struct val_row *rows[ZONE_RRS];
	unsigned int n = 0;
	uint32_t ttl = zone->ttl;

	for (unsigned int i = 0; i < zone->n_rrs; i++) {
		const struct zone_rr *rr = &zone->rrs[i];

		if (rr->type != type || !name_equal(rr->owner, name))
			continue;
		ttl = rr->ttl;
		rows[n++] = &answer->rows[answer->n];
		answer_add(answer, section, owner ? owner : rr->owner, type, MIN(rr->ttl, ttl_max),
		           rr->rdata, rr->len);
	}
	if (n == 0 || (type == VAL_TYPE_NS && is_cut(zone, name)))
		return;
	for (unsigned int k = 0; k < zone->n_keys; k++) {
		const struct zone_key *key = &zone->keys[k];
		struct signing signing;
		const uint8_t *rdata;
		uint16_t len;

		if (!(type == VAL_TYPE_DNSKEY ? key->signs_keys : key->signs_data))
			continue;
		signing_init(&signing, zone, &key->key, name, type, ttl);
		rdata = world_sign(reply->world, &key->key, &signing, rows, n, &len);
		answer_add(answer, section, owner ? owner : rows[0]->owner, VAL_TYPE_RRSIG,
		           MIN(ttl, ttl_max), rdata, len);
	}
}

/* RFC 5155, section 5. */
static void hash_name(const struct zone *zone, const uint8_t *name, uint8_t hash[static HASH])
{
	uint8_t text[NAME_MAX_WIRE + sizeof(zone->salt)];
	size_t len = val_name_size(name);

	name_lower(text, name, len);
	for (unsigned int i = 0; i <= zone->iterations; i++) {
		memcpy(text + len, zone->salt, zone->salt_len);
		EVP_Digest(text, len + zone->salt_len, hash, NULL, EVP_sha1(), NULL);
		memcpy(text, hash, HASH);
		len = HASH;
	}
}

static int cmp_hash(const void *a, const void *b)
{
	return memcmp(((const struct link *)a)->hash, ((const struct link *)b)->hash, HASH);
}

static int cmp_name(const void *a, const void *b)
{
	uint8_t left[NAME_MAX_WIRE], right[NAME_MAX_WIRE];
	const uint8_t *x = ((const struct link *)a)->name, *y = ((const struct link *)b)->name;

	name_lower(left, x, val_name_size(x));
	name_lower(right, y, val_name_size(y));
	return val_name_cmp(left, right);
}

static void add_link(struct reply *reply, const uint8_t *name)
{
	struct chain *chain = &reply->chain;

	for (unsigned int i = 0; i < chain->n; i++) {
		if (name_equal(chain->links[i].name, name))
			return;
	}
	assert(chain->n < LINKS);
	chain->links[chain->n].name = name;
	hash_name(reply->zone, name, chain->links[chain->n++].hash);
}

static void make_chain(struct reply *reply)
{
	const struct zone *zone = reply->zone;
	bool nsec3 = zone->denial == ZONE_NSEC3;

	for (unsigned int i = 0; i < zone->n_rrs; i++) {
		const uint8_t *name = zone->rrs[i].owner, *cut = highest(zone, name, VAL_TYPE_NS);

		if ((cut && !name_equal(cut, name)) ||
		    (cut && nsec3 && zone->opt_out && !has(zone, name, VAL_TYPE_DS)))
			continue;
		add_link(reply, name);
		while (nsec3 && !name_equal(name, zone->name)) { /* empty non-terminals */
			name = val_parent(name, 1);
			add_link(reply, name);
		}
	}
	qsort(reply->chain.links, reply->chain.n, sizeof(struct link), nsec3 ? cmp_hash : cmp_name);
}

/* RFC 4034, section 4.1.2. */
static size_t write_bitmap(const struct zone *zone, const uint8_t *name, uint8_t *out)
{
	uint8_t bits[65536 / 8] = { 0 };
	bool cut = is_cut(zone, name), any = false;
	size_t at = 0;

	for (unsigned int i = 0; i < zone->n_rrs; i++) {
		uint16_t type = zone->rrs[i].type;

		if (!name_equal(zone->rrs[i].owner, name) ||
		    (cut && type != VAL_TYPE_NS && type != VAL_TYPE_DS))
			continue;
		bits[type / 8] |= (uint8_t)(0x80 >> (type & 7));
		any = any || !cut || type == VAL_TYPE_DS;
	}
	if (zone->denial == ZONE_NSEC)
		bits[VAL_TYPE_NSEC / 8] |= 0x80 >> (VAL_TYPE_NSEC & 7);
	if (zone->denial == ZONE_NSEC || any)
		bits[VAL_TYPE_RRSIG / 8] |= 0x80 >> (VAL_TYPE_RRSIG & 7);
	for (unsigned int window = 0; window < 256; window++) {
		unsigned int len = 32;

		while (len > 0 && bits[window * 32 + len - 1] == 0)
			len--;
		if (len == 0)
			continue;
		out[at] = (uint8_t)window;
		out[at + 1] = (uint8_t)len;
		memcpy(out + at + 2, bits + window * 32, len);
		at += 2 + len;
	}
	return at;
}

static const uint8_t *hashed_owner(struct reply *reply, const uint8_t hash[static HASH])
{
	static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUV"; /* RFC 4648, section 7 */
	const struct zone *zone = reply->zone;
	uint8_t *owner = world_alloc(reply->world, 33 + val_name_size(zone->name));

	owner[0] = 32;
	for (unsigned int i = 0; i < 32; i++) {
		unsigned int bit = i * 5, octet = bit / 8;
		unsigned int pair =
		    (unsigned int)hash[octet] << 8 | (octet + 1 < HASH ? hash[octet + 1] : 0);

		owner[1 + i] = (uint8_t)digits[(pair >> (11 - bit % 8)) & 31];
	}
	memcpy(owner + 33, zone->name, val_name_size(zone->name));
	return owner;
}

/* The NSEC or NSEC3 of link @i, signed, once. */
static void put_link(struct reply *reply, unsigned int i)
{
	const struct zone *zone = reply->zone;
	const struct link *link = &reply->chain.links[i];
	const struct link *next = &reply->chain.links[(i + 1) % reply->chain.n];
	struct answer *answer = reply->answer;
	uint8_t *rdata = world_alloc(reply->world, 9000);
	uint16_t type = zone->denial == ZONE_NSEC ? VAL_TYPE_NSEC : VAL_TYPE_NSEC3, len;
	const uint8_t *owner = link->name, *sig;
	const struct val_row *row;
	size_t at;

	if (zone->denial == ZONE_NSEC) {
		at = val_name_size(next->name);
		memcpy(rdata, next->name, at);
	} else {
		owner = hashed_owner(reply, link->hash);
		rdata[0] = 1;
		rdata[1] = zone->opt_out;
		val_put16(rdata + 2, zone->iterations);
		rdata[4] = zone->salt_len;
		memcpy(rdata + 5, zone->salt, zone->salt_len);
		at = 5u + zone->salt_len;
		rdata[at++] = HASH;
		memcpy(rdata + at, next->hash, HASH);
		at += HASH;
	}
	at += write_bitmap(zone, link->name, rdata + at);
	for (unsigned int k = 0; k < answer->n; k++) {
		if (answer->rows[k].type == type && name_equal(answer->rows[k].owner, owner))
			return;
	}
	row = &answer->rows[answer->n];
	answer_add(answer, VAL_AUTHORITY, owner, type, MIN(zone->ttl, 900u), rdata, (uint16_t)at);
	for (unsigned int k = 0; k < zone->n_keys; k++) {
		struct signing signing;

		if (!zone->keys[k].signs_data)
			continue;
		signing_init(&signing, zone, &zone->keys[k].key, owner, type, MIN(zone->ttl, 900u));
		sig = world_sign(reply->world, &zone->keys[k].key, &signing, &row, 1, &len);
		answer_add(answer, VAL_AUTHORITY, owner, VAL_TYPE_RRSIG, row->ttl, sig, len);
	}
}

/* The link at @name; -1: there is none. */
static int find_link(const struct reply *reply, const uint8_t *name)
{
	for (unsigned int i = 0; i < reply->chain.n; i++) {
		if (name_equal(reply->chain.links[i].name, name))
			return (int)i;
	}
	return -1;
}

static void put_match(struct reply *reply, const uint8_t *name)
{
	int i = find_link(reply, name);

	if (i >= 0)
		put_link(reply, (unsigned int)i);
}

/* The last link that is before @name; before the first comes the last. */
static void put_cover(struct reply *reply, const uint8_t *name)
{
	struct link at = { .name = name };
	unsigned int found = reply->chain.n - 1;
	bool nsec3 = reply->zone->denial == ZONE_NSEC3;

	if (reply->chain.n == 0 || find_link(reply, name) >= 0)
		return;
	hash_name(reply->zone, name, at.hash);
	for (unsigned int i = 0; i < reply->chain.n; i++) {
		const struct link *link = &reply->chain.links[i];

		if ((nsec3 ? cmp_hash(link, &at) : cmp_name(link, &at)) < 0)
			found = i;
	}
	put_link(reply, found);
}

static void put_cover_wildcard(struct reply *reply, const uint8_t *encloser)
{
	uint8_t *wildcard = world_alloc(reply->world, NAME_MAX_WIRE);

	if (val_wildcard(encloser, wildcard))
		put_cover(reply, wildcard);
}

/* The longest name at or above @name that the zone has (in its chain, for NSEC3). */
static const uint8_t *encloser_of(const struct reply *reply, const uint8_t *name, bool of_chain)
{
	while (!name_equal(name, reply->zone->name) &&
	       !(of_chain ? find_link(reply, name) >= 0 : exists(reply->zone, name)))
		name = val_parent(name, 1);
	return name;
}

static const uint8_t *next_closer(const uint8_t *name, const uint8_t *encloser)
{
	return val_parent(name, name_labels(name) - name_labels(encloser) - 1);
}

/* RFC 5155, section 7.2.1. */
static void put_encloser_proof(struct reply *reply, const uint8_t *name, bool of_chain)
{
	const uint8_t *encloser = encloser_of(reply, name, of_chain);

	put_match(reply, encloser);
	if (!name_equal(encloser, name))
		put_cover(reply, next_closer(name, encloser));
}

static void put_soa(struct reply *reply)
{
	if (reply->zone->soa)
		put_set(reply, VAL_AUTHORITY, reply->zone->name, VAL_TYPE_SOA, NULL, 900);
}

/* The name exists, the type does not. */
static void reply_nodata(struct reply *reply, const uint8_t *name)
{
	put_soa(reply);
	if (find_link(reply, name) >= 0)
		put_match(reply, name);
	else if (reply->zone->denial == ZONE_NSEC)
		put_cover(reply, name); /* empty non-terminal */
	else
		put_encloser_proof(reply, name, true); /* opt-out */
}

/* The name does not exist. */
static void reply_nxdomain(struct reply *reply, const uint8_t *name)
{
	const uint8_t *encloser = encloser_of(reply, name, false);

	reply->answer->rcode = 3;
	put_soa(reply);
	if (reply->zone->denial == ZONE_NSEC3) {
		put_encloser_proof(reply, name, true);
		encloser = encloser_of(reply, name, true);
	} else {
		put_cover(reply, name);
	}
	put_cover_wildcard(reply, encloser);
}

/* Data of the wildcard below @encloser, shown as @name. */
static void reply_wildcard(struct reply *reply, const uint8_t *name, uint16_t type,
                           const uint8_t *encloser, const uint8_t *wildcard)
{
	put_set(reply, VAL_ANSWER, wildcard, type, name, UINT32_MAX);
	if (reply->zone->denial == ZONE_NSEC3)
		put_cover(reply, next_closer(name, encloser));
	else
		put_cover(reply, name);
}

static void reply_wildcard_nodata(struct reply *reply, const uint8_t *name, const uint8_t *wildcard)
{
	put_soa(reply);
	if (reply->zone->denial == ZONE_NSEC3)
		put_encloser_proof(reply, name, false);
	else
		put_cover(reply, name);
	if (find_link(reply, wildcard) >= 0)
		put_match(reply, wildcard);
	else
		put_cover(reply, wildcard); /* names below the wildcard, nothing at it */
}

/* RFC 6672, section 3.1: the DNAME, and the CNAME that it makes. */
static void reply_dname(struct reply *reply, const uint8_t *name, const uint8_t *owner)
{
	const struct answer *answer = reply->answer;
	uint8_t *target = world_alloc(reply->world, 2 * NAME_MAX_WIRE);
	size_t prefix = val_name_size(name) - val_name_size(owner);

	put_set(reply, VAL_ANSWER, owner, VAL_TYPE_DNAME, NULL, UINT32_MAX);
	memcpy(target, name, prefix);
	memcpy(target + prefix, answer->rows[0].rdata, val_name_size(answer->rows[0].rdata));
	if (val_name_size(target) > NAME_MAX_WIRE) {
		reply->answer->rcode = 6; /* YXDOMAIN */
		return;
	}
	answer_add(reply->answer, VAL_ANSWER, name, VAL_TYPE_CNAME, answer->rows[0].ttl, target,
	           (uint16_t)val_name_size(target));
}

static void reply_missing_name(struct reply *reply, const uint8_t *name, uint16_t type)
{
	const uint8_t *encloser = encloser_of(reply, name, false);
	uint8_t *wildcard = world_alloc(reply->world, NAME_MAX_WIRE);

	if (!val_wildcard(encloser, wildcard) || !exists(reply->zone, wildcard))
		reply_nxdomain(reply, name);
	else if (has(reply->zone, wildcard, type))
		reply_wildcard(reply, name, type, encloser, wildcard);
	else if (has(reply->zone, wildcard, VAL_TYPE_CNAME))
		reply_wildcard(reply, name, VAL_TYPE_CNAME, encloser, wildcard);
	else
		reply_wildcard_nodata(reply, name, wildcard);
}

/* NSEC itself is asked for. */
static void reply_nsec(struct reply *reply, const uint8_t *name)
{
	put_match(reply, name);
	for (unsigned int i = 0; i < reply->answer->n; i++)
		reply->answer->rows[i].section = VAL_ANSWER;
}

/* The zone that a resolver asks: of DS, the parent (RFC 4035, section 3.1.4.1). */
static const struct zone *zone_of(struct world *world, const uint8_t *name, uint16_t type)
{
	const struct zone *deepest = NULL;

	for (unsigned int i = 0; i < world->n_zones; i++) {
		const struct zone *zone = world->zones[i];

		if (!name_is_under(name, zone->name) ||
		    (type == VAL_TYPE_DS && *name && name_equal(name, zone->name)))
			continue;
		if (!deepest || name_labels(zone->name) > name_labels(deepest->name))
			deepest = zone;
	}
	return deepest;
}

void world_answer(struct world *world, const uint8_t *name, uint16_t type, struct answer *answer)
{
	zone_answer(world, zone_of(world, name, type), name, type, answer);
}

void zone_answer(struct world *world, const struct zone *zone, const uint8_t *name, uint16_t type,
                 struct answer *answer)
{
	struct reply *reply = calloc(1, sizeof(*reply));
	const uint8_t *cut, *dname;

	assert(reply);
	answer->missing = !zone;
	answer->rcode = 0;
	answer->n = 0;
	*reply = (struct reply){ .world = world, .zone = zone, .answer = answer };
	if (!zone) {
		free(reply);
		return;
	}
	if (zone->n_keys > 0 && zone->denial != ZONE_NOTHING)
		make_chain(reply);
	cut = highest(zone, name, VAL_TYPE_NS);
	dname = *name ? highest(zone, val_parent(name, 1), VAL_TYPE_DNAME) : NULL;
	if (!dname && *name && !name_equal(name, zone->name) &&
	    has(zone, zone->name, VAL_TYPE_DNAME))
		dname = zone->name;
	if (cut && !(type == VAL_TYPE_DS && name_equal(cut, name)))
		answer->missing = true; /* delegated to a server that nobody plays */
	else if (dname && name_is_under(name, dname))
		reply_dname(reply, name, dname);
	else if (type == VAL_TYPE_NSEC && zone->denial == ZONE_NSEC && find_link(reply, name) >= 0)
		reply_nsec(reply, name);
	else if (has(zone, name, type))
		put_set(reply, VAL_ANSWER, name, type, NULL, UINT32_MAX);
	else if (has(zone, name, VAL_TYPE_CNAME))
		put_set(reply, VAL_ANSWER, name, VAL_TYPE_CNAME, NULL, UINT32_MAX);
	else if (exists(zone, name))
		reply_nodata(reply, name);
	else
		reply_missing_name(reply, name, type);
	free(reply);
}
