/* val_verify.c - the rules around a signature, each with its section; ldns does the arithmetic. */
#include "val_verify.h"

#include <string.h>

#include "sallyport/err.h"
#include "sallyport/name.h"
#include "val_canon.h"
#include "val_seen.h"
#include "val_trace.h"
#include "val_wire.h"

/* RFC 9904 and RFC 9905 say MUST NOT to signing with SHA-1 and leave validation to the operator;
 * see docs/configuration.md. 150 iterations are where RFC 9276, section 3.2, lets a resolver stop.
 */
const struct val_rules val_rules_default = {
	.sha1 = false,
	.skew_min_s = 3600,
	.skew_max_s = 86400,
	.iterations = 50,
	.iterations_hard = 150,
};

const char *val_why_str(enum val_why why)
{
#define WHY_TEXT(sym, ede, text) text,
	static const char *const texts[] = { VAL_WHYS(WHY_TEXT) };

	return (unsigned int)why < VAL_WHY_N ? texts[why] : "?";
}

uint16_t val_why_ede(enum val_why why)
{
#define WHY_EDE(sym, ede, text) ede,
	static const uint8_t edes[] = { VAL_WHYS(WHY_EDE) };

	return (unsigned int)why < VAL_WHY_N ? edes[why] : 0;
}

/* One public-key operation, if the budget has it, unless it has been done before. */
static enum val_why check(const struct val_key *key, const uint8_t *octets, size_t len,
                          const struct val_sig *sig, struct val_seen *seen,
                          struct val_budget *budget)
{
	struct val_seen_mark mark;

	if (seen) {
		mark = val_seen_mark(seen, key, octets, len, sig->signature, sig->signature_len);
		if (val_seen_has(seen, &mark))
			return VAL_WHY_NONE;
	}
	if (!val_budget_check(budget))
		return VAL_WHY_LIMIT;
	if (val_key_verify(key, octets, len, sig->signature, sig->signature_len)) {
		if (seen)
			val_seen_put(seen, &mark);
		return VAL_WHY_NONE;
	}
	val_budget_failed(budget);
	return VAL_WHY_SIGNATURE;
}

/* Inception and expiration are serial numbers (RFC 4034, section 3.1.5; RFC 1982): differences
 * modulo 2^32, taken as signed. */
static int32_t serial_diff(uint32_t a, uint32_t b)
{
	uint32_t diff = a - b;

	return diff > INT32_MAX ? -(int32_t)(UINT32_MAX - diff) - 1 : (int32_t)diff;
}

/* Clocks differ: a tenth of the lifetime is forgiven, within bounds. */
static int64_t skew(const struct val_sig *sig, const struct val_rules *rules)
{
	int64_t tenth = serial_diff(sig->expiration, sig->inception) / 10;

	return MIN(MAX(tenth, (int64_t)rules->skew_min_s), (int64_t)rules->skew_max_s);
}

static enum val_why check_times(const struct val_sig *sig, const struct val_rules *rules,
                                uint64_t now_s)
{
	uint32_t now = (uint32_t)now_s;

	if (serial_diff(sig->expiration, sig->inception) < 0)
		return VAL_WHY_PERIOD;
	if (serial_diff(now, sig->expiration) > skew(sig, rules))
		return VAL_WHY_EXPIRED;
	if (serial_diff(sig->inception, now) > skew(sig, rules))
		return VAL_WHY_NOT_YET;
	return VAL_WHY_NONE;
}

/* RFC 4035, section 5.3.1, in its order. */
static enum val_why check_fields(const struct val_set *set, const struct val_sig *sig,
                                 const uint8_t *zone, const struct val_rules *rules, uint64_t now_s)
{
	unsigned int n = name_labels(set->owner);

	if (!name_equal(sig->signer, zone) || !name_is_under(set->owner, zone))
		return VAL_WHY_SIGNER;
	/* Parents speak of DS, not the zone itself (RFC 4035, section 5.2). */
	if (set->type == VAL_TYPE_DS && name_equal(set->owner, zone) && n > 0)
		return VAL_WHY_SIGNER;
	/* Fewer labels than the zone has would be a wildcard above it: no zone can sign such. */
	if (n > 0 && set->owner[0] == 1 && set->owner[1] == '*')
		n--;
	if (sig->labels > n || sig->labels < name_labels(zone))
		return VAL_WHY_LABELS;
	return check_times(sig, rules, now_s);
}

/* RFC 4035, section 5.3.3: the smallest of the TTL received, the original, and what is left of the
 * signature's life; within the skew there is nothing left, and a little is granted. */
static uint32_t life_of(const struct val_sig *sig, uint64_t now_s)
{
	int32_t left = serial_diff(sig->expiration, (uint32_t)now_s);

	return (uint32_t)MAX(left, 1);
}

/* How near a signature came: of several the nearest is worth telling. */
static unsigned int nearness(enum val_why why)
{
	static const uint8_t table[VAL_WHY_N] = {
		[VAL_WHY_NONE] = 6,    [VAL_WHY_LIMIT] = 6,   [VAL_WHY_SIGNATURE] = 5,
		[VAL_WHY_EXPIRED] = 4, [VAL_WHY_NOT_YET] = 4, [VAL_WHY_PERIOD] = 4,
		[VAL_WHY_NO_KEY] = 3,  [VAL_WHY_LABELS] = 2,  [VAL_WHY_SIGNER] = 1,
	};

	return table[why];
}

struct keys_view { /* the keys to try: a zone's, or one */
	const struct val_key *keys;
	size_t n;
};

struct names { /* what a parent or an anchor says of a zone's keys */
	const struct val_rdata *ds;
	size_t n;
	bool are_keys;
};

struct attempt { /* at one RRset, with whatever keys there are */
	const struct val_set *set;
	const uint8_t *zone;
	const struct val_rules *rules;
	uint64_t now_s;
	struct val_budget *budget;
	struct val_canon *canon;
	unsigned int n_checks; /* LIMIT_VAL_CHECKS_SET */
};

static enum val_why attempt_canon(struct attempt *at)
{
	int r = val_canon_make(at->set, &at->canon);

	if (r == ERR_LIMIT)
		val_budget_meet(at->budget, VAL_LIMIT_RECORDS);
	if (r == ERR_NOMEM) /* no fault of the RRset's */
		at->budget->spent = true;
	if (r < 0)
		return r == ERR_MALFORMED ? VAL_WHY_MALFORMED : VAL_WHY_LIMIT;
	return VAL_WHY_NONE;
}

static bool is_meant(const struct val_key *key, const struct val_sig *sig)
{
	return key->tag == sig->tag && key->algorithm == sig->algorithm;
}

static enum val_why check_keys(struct attempt *at, const struct keys_view *view,
                               const struct val_rdata *rdata, const struct val_sig *sig)
{
	enum val_why why = VAL_WHY_NO_KEY;
	unsigned int n_same = 0;
	const uint8_t *octets = NULL;
	size_t len = 0;

	/* Whoever has more keys of one tag than that wants them all tried: none is. */
	for (size_t i = 0; i < view->n; i++)
		n_same += is_meant(&view->keys[i], sig);
	if (n_same > LIMIT_VAL_KEYS_TAG) {
		val_budget_meet(at->budget, VAL_LIMIT_KEYS_TAG);
		return VAL_WHY_LIMIT;
	}
	for (size_t i = 0; i < view->n; i++) {
		const struct val_key *key = &view->keys[i];

		if (!is_meant(key, sig))
			continue;
		if (at->n_checks == LIMIT_VAL_CHECKS_SET) {
			val_budget_meet(at->budget, VAL_LIMIT_CHECKS_SET);
			return VAL_WHY_LIMIT;
		}
		at->n_checks++;
		if (!octets)
			len = val_canon_signed(at->canon, rdata, sig, &octets);
		if (len == 0)
			return VAL_WHY_LABELS;
		why = check(key, octets, len, sig, at->rules->seen, at->budget);
		if (why != VAL_WHY_SIGNATURE)
			return why;
	}
	return why;
}

static void fill_verified(const struct attempt *at, const struct val_sig *sig,
                          struct val_verified *ret_verified)
{
	const uint8_t *owner = at->set->owner;
	unsigned int n = name_labels(owner);
	bool is_wildcard = owner[0] == 1 && owner[1] == '*';
	uint32_t life_s = life_of(sig, at->now_s);

	*ret_verified = (struct val_verified){
		.ttl_s = MIN(MIN(at->set->ttl, sig->original_ttl), life_s),
		.life_s = life_s,
		.original_ttl_s = sig->original_ttl,
		.labels = sig->labels,
		.wildcard = sig->labels < n && !(is_wildcard && sig->labels == n - 1),
		.tag = sig->tag,
		.algorithm = sig->algorithm,
	};
}

static void trace_signature(const struct attempt *at, const struct val_sig *sig, enum val_why why)
{
	val_trace(at->budget->trace, &(struct val_event){ .kind = VAL_EVENT_SIGNATURE,
	                                                  .why = why,
	                                                  .type = at->set->type,
	                                                  .tag = sig->tag,
	                                                  .ttl_s = at->set->ttl,
	                                                  .name = at->set->owner,
	                                                  .zone = at->zone,
	                                                  .sig = sig });
}

static void trace_match(const struct attempt *at, const struct names *names, size_t i,
                        const struct val_rdata *key, enum val_why why)
{
	val_trace(at->budget->trace, &(struct val_event){
					 .kind = VAL_EVENT_MATCH,
					 .why = why,
					 .type = names->are_keys ? VAL_TYPE_DNSKEY : VAL_TYPE_DS,
					 .name = at->set->owner,
					 .rdata = &names->ds[i],
					 .key = key,
				     });
}

static enum val_why verify(struct attempt *at, const struct keys_view *view,
                           struct val_verified *ret_verified)
{
	enum val_why nearest = VAL_WHY_RRSIG_MISSING;

	for (unsigned int i = 0; i < at->set->n_sigs; i++) {
		enum val_why why;
		struct val_sig sig;

		val_sig_read(&at->set->sigs[i], &sig);
		why = check_fields(at->set, &sig, at->zone, at->rules, at->now_s);
		if (why == VAL_WHY_NONE)
			why = check_keys(at, view, &at->set->sigs[i], &sig);
		trace_signature(at, &sig, why);
		if (why == VAL_WHY_NONE) {
			fill_verified(at, &sig, ret_verified);
			return VAL_WHY_NONE;
		}
		if (nearness(why) > nearness(nearest)) {
			nearest = why;
			ret_verified->tag = sig.tag;
		}
		/* Colliding keys cost nothing: another signature may still be good. */
		if (why == VAL_WHY_LIMIT &&
		    (at->n_checks == LIMIT_VAL_CHECKS_SET || at->budget->spent))
			break;
	}
	return nearest;
}

static void attempt_fini_cleanup(struct attempt *at)
{
	val_canon_free(at->canon);
}

enum val_why val_verify_set(const struct val_set *set, const uint8_t *zone,
                            const struct val_keys *keys, const struct val_rules *rules,
                            uint64_t now_s, struct val_budget *budget,
                            struct val_verified *ret_verified)
{
	CLEANUP(attempt_fini)
	struct attempt at = { set, zone, rules, now_s, budget, NULL, 0 };
	const struct keys_view view = { keys->keys, keys->n };
	enum val_why why = attempt_canon(&at);

	*ret_verified = (struct val_verified){ 0 };
	return why == VAL_WHY_NONE ? verify(&at, &view, ret_verified) : why;
}

static bool ds_supported(const struct val_rdata *ds, const struct val_rules *rules)
{
	return ds->len >= 5 && val_algorithm_supported(ds->data[2], rules->sha1) &&
	       val_digest_supported(ds->data[3], rules->sha1);
}

enum val_why val_ds_usable(const struct val_rdata *ds, size_t n_ds, const struct val_rules *rules)
{
	enum val_why why = VAL_WHY_DS_ALGORITHM;

	for (size_t i = 0; i < n_ds; i++) {
		if (ds_supported(&ds[i], rules))
			return VAL_WHY_NONE;
		if (ds[i].len >= 5 && val_algorithm_supported(ds[i].data[2], rules->sha1))
			why = VAL_WHY_DS_DIGEST;
	}
	return why;
}

/* The same of an anchor's DNSKEYs. */
static enum val_why keys_usable(const struct val_rdata *keys, size_t n,
                                const struct val_rules *rules)
{
	for (size_t i = 0; i < n; i++) {
		if (keys[i].len >= 4 && val_algorithm_supported(keys[i].data[3], rules->sha1))
			return VAL_WHY_NONE;
	}
	return VAL_WHY_DS_ALGORITHM;
}

/* RFC 4509, section 3: where a stronger digest stands beside it, SHA-1 is not looked at. */
static bool weaker_stands_back(const struct val_rdata *ds, size_t n_ds, size_t i,
                               const struct val_rules *rules)
{
	if (ds[i].data[3] != VAL_SHA1)
		return false;
	for (size_t j = 0; j < n_ds; j++) {
		if (ds_supported(&ds[j], rules) && ds[j].data[3] != VAL_SHA1)
			return true;
	}
	return false;
}

/* What is cheap to compare, before any digest. */
static bool may_name_key(const struct val_rdata *ds, bool ds_are_keys, const struct val_rdata *key)
{
	if (ds_are_keys)
		return ds->len == key->len;
	return key->len >= 4 && ds->data[2] == key->data[3] &&
	       val_u16(ds->data) == val_key_tag(key->data, key->len);
}

static bool names_key(const struct val_rdata *ds, bool ds_are_keys, const uint8_t *owner,
                      const struct val_rdata *key)
{
	if (ds_are_keys)
		return memcmp(ds->data, key->data, ds->len) == 0;
	return val_ds_matches(ds, owner, key);
}

/* Try one key of the RRset that a DS or anchor names. */
static enum val_why try_key(struct attempt *at, const struct val_rdata *rdata,
                            struct val_verified *ret_verified)
{
	struct val_key key;
	const struct keys_view view = { &key, 1 };
	uint16_t flags = rdata->len >= 4 ? val_u16(rdata->data) : 0;
	enum val_why why;

	if (!(flags & VAL_KEY_ZONE))
		return VAL_WHY_NO_ZONE_KEY;
	if (flags & VAL_KEY_REVOKED) /* RFC 5011, section 2.1 */
		return VAL_WHY_NO_SEP;
	if (!val_key_read(rdata, at->rules->sha1, &key))
		return VAL_WHY_NO_SEP;
	why = verify(at, &view, ret_verified);
	EVP_PKEY_free(key.pkey);
	return why;
}

/* Try the keys that @names' @i-th names. */
static enum val_why try_named(struct attempt *at, const struct names *names, size_t i,
                              struct val_verified *ret_verified)
{
	const struct val_rdata *ds = &names->ds[i];
	enum val_why nearest = VAL_WHY_NO_SEP;
	unsigned int n_same = 0;

	for (unsigned int k = 0; k < at->set->n_rrs; k++) {
		const struct val_rdata *key = &at->set->rrs[k];
		struct val_verified verified = { 0 };
		enum val_why why;

		if (!may_name_key(ds, names->are_keys, key))
			continue;
		if (n_same++ == LIMIT_VAL_KEYS_TAG) {
			val_budget_meet(at->budget, VAL_LIMIT_KEYS_TAG);
			return VAL_WHY_LIMIT;
		}
		if (!names_key(ds, names->are_keys, at->set->owner, key))
			continue;
		why = try_key(at, key, &verified);
		trace_match(at, names, i, key, why);
		if (why == VAL_WHY_NONE || why == VAL_WHY_NO_ZONE_KEY ||
		    nearness(why) > nearness(nearest)) {
			nearest = why;
			*ret_verified = verified;
		}
		if (why == VAL_WHY_NONE || why == VAL_WHY_LIMIT)
			break;
	}
	return nearest;
}

enum val_why val_verify_keys(const struct val_set *dnskey, const struct val_rdata *ds, size_t n_ds,
                             bool ds_are_keys, const struct val_rules *rules, uint64_t now_s,
                             struct val_budget *budget, struct val_verified *ret_verified)
{
	CLEANUP(attempt_fini)
	struct attempt at = { dnskey, dnskey->owner, rules, now_s, budget, NULL, 0 };
	const struct names names = { ds, n_ds, ds_are_keys };
	enum val_why nearest = VAL_WHY_NO_SEP, why;
	size_t n_tried = 0;

	*ret_verified = (struct val_verified){ 0 };
	why = ds_are_keys ? keys_usable(ds, n_ds, rules) : val_ds_usable(ds, n_ds, rules);
	if (why != VAL_WHY_NONE)
		return why;
	if (dnskey->n_sigs == 0)
		return VAL_WHY_RRSIG_MISSING;
	why = attempt_canon(&at);
	if (why != VAL_WHY_NONE)
		return why;
	for (size_t i = 0; i < n_ds; i++) {
		struct val_verified verified = { 0 };

		if (!ds_are_keys &&
		    (!ds_supported(&ds[i], rules) || weaker_stands_back(ds, n_ds, i, rules)))
			continue;
		/* A DS RRset is as long as somebody in the network made it; anchors are our own. */
		if (!ds_are_keys && n_tried++ == LIMIT_VAL_DS) {
			val_budget_meet(budget, VAL_LIMIT_DS);
			break;
		}
		why = try_named(&at, &names, i, &verified);
		if (why == VAL_WHY_NONE || why == VAL_WHY_NO_ZONE_KEY ||
		    nearness(why) > nearness(nearest)) {
			nearest = why;
			*ret_verified = verified;
		}
		if (why == VAL_WHY_NONE || why == VAL_WHY_LIMIT)
			return why;
	}
	/* Nobody whom the parent names has signed: what others signed proves nothing. */
	return nearest == VAL_WHY_NO_KEY ? VAL_WHY_NO_SEP : nearest;
}
