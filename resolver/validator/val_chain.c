/* val_chain.c - label by label: is there a cut, is it signed, with which keys?
 *
 * From the deepest zone that is believed, each next name on the way is asked for its DS. The zone
 * proves that there is one (then its DNSKEY RRset must be signed by a key that the DS names), that
 * there is a delegation without one (from there on all is insecure), or that there is no delegation
 * (the zone goes on). No referral and no NS record is believed on the way.
 *
 * A signature names its zone. That is only a hint, but one that saves a question for each name on
 * the way that is none: the DS of the signer itself is asked for at once. It counts when the zone
 * that is believed has signed it, for then it is that zone which delegates there, and nothing can
 * be between; whoever could pass off an old DS for it could pass off old proofs for the names on
 * the way as well. Whatever else comes says nothing, and the way goes label by label. So nothing is
 * proven insecure, or not to be there, by a leap.
 */
#include "val_chain.h"

#include <stdlib.h>
#include <string.h>

#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/name.h"
#include "val_failure.h"
#include "val_trace.h"
#include "val_wire.h"

void val_chain_init(struct val_chain *chain, const struct val_config *config,
                    struct val_budget *budget)
{
	memset(chain, 0, sizeof(*chain));
	chain->config = config;
	chain->budget = budget;
}

static void forget_ds(struct val_chain *chain)
{
	free(chain->ds_octets);
	chain->ds_octets = NULL;
	chain->n_ds = 0;
}

static void forget_message(struct val_chain *chain)
{
	val_message_free(TAKE(chain->message));
	free(TAKE(chain->denial));
	chain->alias = NULL;
	chain->given = false;
}

static void set_zone(struct val_trust **place, struct val_trust *trust)
{
	val_trust_unref(*place);
	*place = trust;
}

void val_chain_fini(struct val_chain *chain)
{
	set_zone(&chain->zone, NULL);
	set_zone(&chain->parent, NULL);
	set_zone(&chain->failed, NULL);
	forget_ds(chain);
	forget_message(chain);
}

void val_chain_begin(struct val_chain *chain, const uint8_t *target, enum val_chain_target kind,
                     const uint8_t *from, const struct val_now *now)
{
	val_chain_fini(chain);
	chain->is_signer = kind == VAL_CHAIN_SIGNER;
	chain->leaping = false;
	chain->leapt = 0; /* the root's own: what it delegates has one label, nearly always */
	memcpy(chain->target, target, val_name_size(target));
	chain->anchor = val_anchors_above(chain->config->anchors, from, now->wall_s);
}

/* What was found of the name that was asked for. NULL: out of memory. */
static struct val_trust *make_trust(struct val_chain *chain, enum val_trust_kind kind,
                                    enum val_why why, struct val_keys *keys, uint32_t ttl_s,
                                    const struct val_now *now)
{
	static const uint32_t ttl_max_s[] = { [VAL_TRUST_BOGUS] = VAL_FAILURE_MAX_S,
		                              [VAL_TRUST_NO_CUT] = VAL_TRUST_CUT_TTL_S,
		                              [VAL_TRUST_NOT_THERE] = VAL_TRUST_CUT_TTL_S,
		                              [VAL_TRUST_INSECURE] = VAL_TRUST_CUT_TTL_S,
		                              [VAL_TRUST_SECURE] = VAL_TRUST_TTL_S };
	/* A TTL of 0 must still last until this job comes back to it. */
	uint64_t life_s = MAX(MIN(ttl_s, ttl_max_s[kind]), 1u);
	struct val_trust *trust =
	    val_trust_new(chain->need.name, kind, why, keys, now->mono_ns + life_s * NS_PER_S);

	if (!trust)
		chain->budget->spent = true;
	else
		trust->type = chain->need.type;
	return trust;
}

static void trace_trust(const struct val_chain *chain, const struct val_trust *trust)
{
	val_trace(chain->budget->trace, &(struct val_event){ .kind = VAL_EVENT_TRUST,
	                                                     .why = (enum val_why)trust->why,
	                                                     .outcome = trust->kind,
	                                                     .type = trust->type,
	                                                     .tag = trust->tag,
	                                                     .name = trust->name });
}

static void put(struct val_chain *chain, enum val_trust_kind kind, enum val_why why,
                struct val_keys *keys, uint16_t tag, uint32_t ttl_s, const struct val_now *now)
{
	CLEANUP(val_trust_unref)
	struct val_trust *trust = make_trust(chain, kind, why, keys, ttl_s, now);

	if (!trust)
		return;
	trust->tag = tag;
	trace_trust(chain, trust);
	if (val_table_put(chain->config->table, trust))
		val_budget_meet(chain->budget, VAL_LIMIT_KEYS_ALL);
}

/* RFC 9520: a failure is kept a while, the longer the more often it comes back; but not before the
 * job's owner has given up. A query that has nothing left to spend, whoever spent it, has found
 * out nothing of this zone: descend() tells it so. */
static void fail(struct val_chain *chain, enum val_why why, uint16_t tag, const struct val_now *now)
{
	uint8_t streak = val_table_streak(chain->config->table, chain->need.name, now->mono_ns);
	struct val_trust *trust;

	if (chain->budget->spent)
		return;
	trust = make_trust(chain, VAL_TRUST_BOGUS, why, NULL, val_failure_hold_s(streak), now);
	if (!trust)
		return;
	trust->tag = tag;
	trust->streak = streak;
	trust->held_ns = trust->expires_ns;
	trace_trust(chain, trust);
	set_zone(&chain->failed, trust);
}

void val_chain_hold(struct val_chain *chain)
{
	if (chain->failed)
		(void)val_table_put(chain->config->table, chain->failed); /* it has no keys */
}

/* Each record of @rdata as an event of its own. */
static void trace_records(const struct val_chain *chain, enum val_event_kind kind, uint16_t type,
                          const struct val_rdata *rdata, size_t n, uint32_t ttl_s)
{
	for (size_t i = 0; i < n && chain->budget->trace; i++)
		val_trace(chain->budget->trace, &(struct val_event){ .kind = kind,
		                                                     .type = type,
		                                                     .ttl_s = ttl_s,
		                                                     .name = chain->need.name,
		                                                     .rdata = &rdata[i] });
}

static enum val_chain_step ask(struct val_chain *chain, const uint8_t *name, uint16_t type)
{
	if (chain->budget->questions == 0)
		val_budget_meet(chain->budget, VAL_LIMIT_QUESTIONS);
	if (chain->budget->questions == 0 || chain->budget->spent) {
		chain->budget->spent = true;
		return VAL_CHAIN_LIMIT;
	}
	chain->budget->questions--;
	memcpy(chain->need.name, name, val_name_size(name));
	chain->need.type = type;
	return VAL_CHAIN_NEED;
}

/* An anchor may be given as keys, as DS, or as both: any that fits will do. What is unsupported
 * only decides when there is nothing else (RFC 4035, section 5.2). */
static enum val_why by_anchor(struct val_chain *chain, const struct val_set *set,
                              const struct val_now *now, struct val_verified *ret_verified)
{
	const struct val_rules *rules = chain->config->rules;
	const struct val_anchor *anchor = chain->anchor;
	enum val_why by_key = VAL_WHY_DS_ALGORITHM, by_ds = VAL_WHY_DS_ALGORITHM;

	trace_records(chain, VAL_EVENT_ANCHOR, VAL_TYPE_DNSKEY, anchor->keys, anchor->n_keys, 0);
	trace_records(chain, VAL_EVENT_ANCHOR, VAL_TYPE_DS, anchor->ds, anchor->n_ds, 0);
	if (anchor->n_keys > 0)
		by_key = val_verify_keys(set, anchor->keys, anchor->n_keys, true, rules,
		                         now->wall_s, chain->budget, ret_verified);
	if (by_key == VAL_WHY_NONE || anchor->n_ds == 0)
		return by_key;
	by_ds = val_verify_keys(set, anchor->ds, anchor->n_ds, false, rules, now->wall_s,
	                        chain->budget, ret_verified);
	if (anchor->n_keys == 0 || by_key == VAL_WHY_DS_ALGORITHM)
		return by_ds;
	return by_ds == VAL_WHY_DS_ALGORITHM || by_ds == VAL_WHY_DS_DIGEST ? by_key : by_ds;
}

/* The DNSKEY RRset of an anchor's zone, or of one whose DS is believed. */
static void take_keys(struct val_chain *chain, const struct val_now *now)
{
	const struct val_rules *rules = chain->config->rules;
	const struct val_message *message = chain->message;
	const struct val_set *set =
	    message ? val_message_find(message, VAL_ANSWER, chain->need.name, VAL_TYPE_DNSKEY)
		    : NULL;
	CLEANUP(val_keys_unref) struct val_keys *keys = NULL;
	struct val_verified verified = { 0 };
	enum val_why why = message ? VAL_WHY_DNSKEY_MISSING : VAL_WHY_UNREACHABLE;
	uint32_t ttl_s = VAL_TRUST_TTL_S;

	if (set && chain->n_ds > 0) {
		why = val_verify_keys(set, chain->ds, chain->n_ds, false, rules, now->wall_s,
		                      chain->budget, &verified);
		ttl_s = chain->ds_ttl_s;
	} else if (set) {
		why = by_anchor(chain, set, now, &verified);
	}
	forget_ds(chain);
	if (set)
		trace_records(chain, VAL_EVENT_KEY, VAL_TYPE_DNSKEY, set->rrs, set->n_rrs,
		              set->ttl);
	if (why == VAL_WHY_DS_ALGORITHM || why == VAL_WHY_DS_DIGEST) {
		put(chain, VAL_TRUST_INSECURE, why, NULL, 0, ttl_s, now);
		return;
	}
	if (why == VAL_WHY_NONE) {
		keys = val_keys_make(set, rules->sha1);
		if (keys) {
			if (keys->n_left_out > 0)
				val_budget_meet(chain->budget, VAL_LIMIT_KEYS);
			put(chain, VAL_TRUST_SECURE, VAL_WHY_NONE, keys, verified.tag,
			    MIN(ttl_s, verified.ttl_s), now);
			return;
		}
		chain->budget->spent = true;
		return;
	}
	fail(chain, why, verified.tag, now);
}

/* Until the zone's keys are there. */
static void keep_ds(struct val_chain *chain, const struct val_set *set, uint32_t ttl_s)
{
	size_t octets = 0;
	uint8_t *p;

	for (unsigned int i = 0; i < set->n_rrs; i++)
		octets += set->rrs[i].len;
	p = malloc(octets + 1);
	if (!p) {
		chain->budget->spent = true;
		return;
	}
	chain->ds_octets = p;
	chain->ds_ttl_s = ttl_s;
	if (set->n_rrs > LIMIT_VAL_DS)
		val_budget_meet(chain->budget, VAL_LIMIT_DS);
	/* Those that we can use first: a crowd of others must not push them out. */
	for (unsigned int pass = 0; pass < 2; pass++) {
		for (unsigned int i = 0; i < set->n_rrs && chain->n_ds < LIMIT_VAL_DS; i++) {
			bool usable =
			    val_ds_usable(&set->rrs[i], 1, chain->config->rules) == VAL_WHY_NONE;

			if (usable != (pass == 0))
				continue;
			memcpy(p, set->rrs[i].data, set->rrs[i].len);
			chain->ds[chain->n_ds++] = (struct val_rdata){ p, set->rrs[i].len };
			p += set->rrs[i].len;
		}
	}
}

/* What has been verified may serve other questions (RFC 8198), if the zone's SOA tells for how
 * long. That costs a signature more, so only as long as there are plenty. */
static void tell_denied(const struct val_chain *chain, const struct val_now *now)
{
	const struct val_config *config = chain->config;
	const struct val_trust *parent = chain->parent;
	const struct val_set *soa;
	struct val_verified verified;

	if (!config->denied || val_denial_opts_out(chain->denial) ||
	    chain->budget->checks < LIMIT_VAL_CHECKS / 2)
		return;
	soa = val_message_find(chain->message, VAL_AUTHORITY, parent->name, VAL_TYPE_SOA);
	if (soa && val_verify_set(soa, parent->name, parent->keys, config->rules, now->wall_s,
	                          chain->budget, &verified) == VAL_WHY_NONE)
		config->denied(config->ctx, chain->denial, soa,
		               MIN(chain->denial->ttl_s, verified.ttl_s));
}

/* No DS: which of the proofs is it? */
static bool take_denial(struct val_chain *chain, const struct val_now *now)
{
	const struct val_denial *denial = chain->denial;
	enum val_trust_kind kind = VAL_TRUST_BOGUS;
	enum val_why why = denial->why;

	switch (val_denial_ds(chain->denial, chain->need.name)) {
	case VAL_CUT_NONE:
		kind = VAL_TRUST_NO_CUT;
		why = VAL_WHY_NONE;
		break;
	case VAL_CUT_NOTHING:
		kind = VAL_TRUST_NOT_THERE;
		why = VAL_WHY_NONE;
		break;
	case VAL_CUT_INSECURE:
		kind = VAL_TRUST_INSECURE;
		why = VAL_WHY_NO_DS;
		break;
	case VAL_CUT_OPT_OUT:
		kind = VAL_TRUST_INSECURE;
		why = VAL_WHY_OPT_OUT;
		break;
	case VAL_CUT_TOO_MUCH:
		kind = VAL_TRUST_INSECURE;
		why = VAL_WHY_ITERATIONS;
		break;
	case VAL_CUT_EXCESSIVE:
		why = VAL_WHY_ITERATIONS;
		break;
	case VAL_CUT_LIMIT:
		why = VAL_WHY_LIMIT;
		break;
	case VAL_CUT_LATER:
		return false;
	case VAL_CUT_UNPROVEN:
		if (why == VAL_WHY_NONE)
			why = VAL_WHY_DS_UNPROVEN;
		break;
	}
	if (kind == VAL_TRUST_BOGUS) {
		fail(chain, why, denial->tag, now);
		return true;
	}
	if (why == VAL_WHY_NONE || why == VAL_WHY_NO_DS)
		tell_denied(chain, now);
	put(chain, kind, why, NULL, 0, denial->ttl_s, now);
	return true;
}

/* A CNAME that came from a wildcard needs its proof, or it would hide any delegation. */
static bool take_wildcard(struct val_chain *chain, const struct val_now *now)
{
	const struct val_denial *denial = chain->denial;
	enum val_why why = denial->why != VAL_WHY_NONE ? denial->why : VAL_WHY_WILDCARD;

	switch (val_denial_wildcard(chain->denial, chain->alias->owner, chain->alias_labels)) {
	case VAL_PROOF_DENIED:
		put(chain, VAL_TRUST_NO_CUT, VAL_WHY_NONE, NULL, 0, denial->ttl_s, now);
		return true;
	case VAL_PROOF_OPT_OUT:
		put(chain, VAL_TRUST_INSECURE, VAL_WHY_OPT_OUT, NULL, 0, denial->ttl_s, now);
		return true;
	case VAL_PROOF_TOO_MUCH:
		put(chain, VAL_TRUST_INSECURE, VAL_WHY_ITERATIONS, NULL, 0, denial->ttl_s, now);
		return true;
	case VAL_PROOF_LATER:
		return false;
	case VAL_PROOF_LIMIT:
		why = VAL_WHY_LIMIT;
		break;
	case VAL_PROOF_EXCESSIVE:
		why = VAL_WHY_ITERATIONS;
		break;
	case VAL_PROOF_NONE:
		break;
	}
	fail(chain, why, denial->tag, now);
	return true;
}

static void begin_denial(struct val_chain *chain)
{
	chain->denial = malloc(sizeof(*chain->denial));
	if (chain->denial)
		val_denial_init(chain->denial, chain->parent->name, chain->config->rules,
		                chain->budget);
	else
		chain->budget->spent = true;
}

/* An alias that the zone has signed stands where no delegation can be: a CNAME at the name (RFC
 * 1034, section 3.6.2), a DNAME above it (RFC 6672, section 2.4). */
static void take_alias(struct val_chain *chain, const struct val_set *set,
                       const struct val_now *now)
{
	const struct val_trust *parent = chain->parent;
	struct val_verified verified;
	enum val_why why = val_verify_set(set, parent->name, parent->keys, chain->config->rules,
	                                  now->wall_s, chain->budget, &verified);

	if (why == VAL_WHY_NONE && verified.wildcard && set->type == VAL_TYPE_DNAME)
		why = VAL_WHY_LABELS;
	if (why != VAL_WHY_NONE) {
		fail(chain, why, verified.tag, now);
		return;
	}
	if (!verified.wildcard) {
		put(chain, VAL_TRUST_NO_CUT, VAL_WHY_NONE, NULL, 0, verified.ttl_s, now);
		return;
	}
	chain->alias = set;
	chain->alias_labels = verified.labels;
	begin_denial(chain);
	if (chain->denial)
		chain->denial->ttl_s = verified.ttl_s;
}

static enum val_why check_ds(struct val_chain *chain, const struct val_set *set,
                             const struct val_now *now, struct val_verified *ret_verified)
{
	const struct val_trust *parent = chain->parent;
	enum val_why why = val_verify_set(set, parent->name, parent->keys, chain->config->rules,
	                                  now->wall_s, chain->budget, ret_verified);

	/* No delegation comes from a wildcard. */
	return why == VAL_WHY_NONE && ret_verified->wildcard ? VAL_WHY_LABELS : why;
}

/* A DS RRset that the zone has signed. */
static void believe_ds(struct val_chain *chain, const struct val_set *set, uint32_t ttl_s,
                       const struct val_now *now)
{
	enum val_why why = val_ds_usable(set->rrs, set->n_rrs, chain->config->rules);

	trace_records(chain, VAL_EVENT_DS, VAL_TYPE_DS, set->rrs, set->n_rrs, set->ttl);
	if (why != VAL_WHY_NONE) /* RFC 4035, section 5.2 */
		put(chain, VAL_TRUST_INSECURE, why, NULL, 0, ttl_s, now);
	else
		keep_ds(chain, set, ttl_s);
}

static void take_leap(struct val_chain *chain, const struct val_now *now)
{
	const struct val_message *message = chain->message;
	const struct val_set *set =
	    message ? val_message_find(message, VAL_ANSWER, chain->need.name, VAL_TYPE_DS) : NULL;
	struct val_verified verified;

	chain->leaping = false;
	if (set && val_ds_usable(set->rrs, set->n_rrs, chain->config->rules) == VAL_WHY_NONE &&
	    check_ds(chain, set, now, &verified) == VAL_WHY_NONE)
		believe_ds(chain, set, verified.ttl_s, now);
}

static void take_ds(struct val_chain *chain, const struct val_now *now)
{
	const struct val_message *message = chain->message;
	const struct val_set *set;
	struct val_verified verified;
	enum val_why why;

	if (!message) {
		fail(chain, VAL_WHY_UNREACHABLE, 0, now);
		return;
	}
	set = val_message_find(message, VAL_ANSWER, chain->need.name, VAL_TYPE_DS);
	if (!set) {
		set = val_message_alias(message, chain->need.name);
		if (set)
			take_alias(chain, set, now);
		else
			begin_denial(chain);
		return;
	}
	why = check_ds(chain, set, now, &verified);
	if (why == VAL_WHY_NONE)
		believe_ds(chain, set, verified.ttl_s, now);
	else
		fail(chain, why, verified.tag, now);
}

/* Go on with what came. Returns false when the turn is over. */
static bool take(struct val_chain *chain, const struct val_now *now)
{
	if (!val_budget_has_turn(chain->budget))
		return false;
	if (!chain->denial) {
		val_budget_message(chain->budget);
		if (chain->need.type == VAL_TYPE_DNSKEY)
			take_keys(chain, now);
		else if (chain->leaping)
			take_leap(chain, now);
		else
			take_ds(chain, now);
	}
	if (chain->denial) {
		if (!val_denial_gather(chain->denial, chain->message, chain->parent->keys,
		                       now->wall_s))
			return false;
		if (!(chain->alias ? take_wildcard(chain, now) : take_denial(chain, now)))
			return false;
	}
	forget_message(chain);
	return true;
}

void val_chain_give(struct val_chain *chain, struct val_message *message)
{
	val_trace(chain->budget->trace, &(struct val_event){ .kind = VAL_EVENT_ASKED,
	                                                     .outcome = message != NULL,
	                                                     .type = chain->need.type,
	                                                     .name = chain->need.name });
	chain->given = true;
	chain->message = message;
}

static enum val_chain_step descend(struct val_chain *chain, const struct val_now *now)
{
	const struct val_anchor *anchor = chain->anchor;
	unsigned int n = name_labels(chain->target), next = n + 1, deepest = 0;

	if (!anchor)
		return VAL_CHAIN_NONE;
	if (anchor->negative)
		return VAL_CHAIN_NEGATIVE;
	if (!name_is_under(chain->target, anchor->name))
		return VAL_CHAIN_NONE; /* above the anchor nothing can be said */
	if (chain->failed) {
		set_zone(&chain->zone, val_trust_ref(chain->failed));
		return VAL_CHAIN_FOUND;
	}
	if (chain->n_ds > 0)
		return ask(chain, chain->need.name, VAL_TYPE_DNSKEY);

	/* Upwards from the target to what is known; below it, `next` is the first name that is not
	 * known to have no cut. */
	for (unsigned int labels = n + 1; labels-- > name_labels(anchor->name);) {
		const uint8_t *name = val_parent(chain->target, n - labels);
		struct val_trust *known = val_table_get(chain->config->table, name, now->mono_ns);

		if (known &&
		    (known->kind == VAL_TRUST_NO_CUT || known->kind == VAL_TRUST_NOT_THERE)) {
			if (known->kind == VAL_TRUST_NOT_THERE)
				next = n + 1; /* so no cut is below it */
			val_trust_unref(known);
			continue;
		}
		if (!known) {
			next = labels;
			deepest = MAX(deepest, labels);
			continue;
		}
		if (known->kind != VAL_TRUST_SECURE || next > n) {
			set_zone(&chain->zone, known);
			return VAL_CHAIN_FOUND;
		}
		set_zone(&chain->parent, known);
		if (chain->is_signer && deepest == n && next < n && labels > chain->leapt) {
			chain->leaping = true;
			chain->leapt = labels;
			next = n;
		}
		return ask(chain, val_parent(chain->target, n - next), VAL_TYPE_DS);
	}
	return ask(chain, anchor->name, VAL_TYPE_DNSKEY);
}

enum val_chain_step val_chain_run(struct val_chain *chain, const struct val_now *now)
{
	if (chain->given && !take(chain, now))
		return VAL_CHAIN_TURN;
	return descend(chain, now);
}
