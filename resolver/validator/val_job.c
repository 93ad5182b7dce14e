/* val_job.c - which zone must have signed the subject, and did it?
 *
 *     BEGIN --> SIGNER(1..n) --chain--> SUBJECT --> DENIAL --secure, insecure--> END
 *                  ^                       |          |
 *                  '----- next signer -----+----------'--none left--> TRUTH --chain--> END
 *
 * The signatures name their zone, but are not believed: a signer is a guess that saves questions.
 * It counts when the chain finds exactly that zone and its keys verify the subject. When no guess
 * does, the chain to the subject's own name tells the truth: insecure, or signed and therefore
 * bogus.
 */
#include "val_job.h"

#include <stdlib.h>
#include <string.h>

#include "sallyport/err.h"
#include "sallyport/name.h"
#include "val_chain.h"
#include "val_denial.h"
#include "val_trace.h"
#include "val_wire.h"

enum phase {
	PHASE_BEGIN,
	PHASE_SIGNER,  /* the chain leads to a signer's zone */
	PHASE_SUBJECT, /* that zone's keys are tried at the subject's RRset, or its SOA */
	PHASE_DENIAL,  /* and at what proves that something is not there */
	PHASE_TRUTH,   /* the chain leads to the subject's own name */
	PHASE_END,
};

struct val_job {
	struct val_config config;
	struct val_subject subject;
	struct val_budget *budget; /* the query's */
	struct val_chain chain;
	struct val_result result;
	enum phase phase;
	unsigned int n_signers, signer;
	uint8_t signers[LIMIT_VAL_SIGNERS][NAME_MAX_WIRE]; /* deepest first */
	enum val_why nearest;                              /* why no signer has counted yet */
	struct val_denial *denial;    /* of PHASE_DENIAL, and what has proven it afterwards */
	struct val_verified verified; /* the RRset that is to have come from a wildcard */
};

const char *val_state_str(enum val_state state)
{
	switch (state) {
	case VAL_BOGUS:
		return "bogus";
	case VAL_INDETERMINATE:
		return "indeterminate";
	case VAL_INSECURE:
		return "insecure";
	case VAL_SECURE:
		return "secure";
	}
	return "?";
}

struct val_job *val_job_new(const struct val_config *config, const struct val_subject *subject,
                            struct val_budget *budget)
{
	struct val_job *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	job->config = *config;
	job->subject = *subject;
	job->result.why = VAL_WHY_LIMIT;
	job->nearest = VAL_WHY_RRSIG_MISSING;
	memcpy(job->result.name, subject->name, val_name_size(subject->name));
	job->result.type = subject->type;
	job->budget = budget;
	budget->trace = config->trace;
	val_chain_init(&job->chain, &job->config, budget);
	return job;
}

void val_job_free(struct val_job *job)
{
	if (!job)
		return;
	val_chain_fini(&job->chain);
	free(job->denial);
	free(job);
}

const struct val_need *val_job_need(const struct val_job *job)
{
	return &job->chain.need;
}

const struct val_result *val_job_result(const struct val_job *job)
{
	return &job->result;
}

const struct val_denial *val_job_denial(const struct val_job *job)
{
	bool is_negative = job->subject.kind == VAL_NODATA || job->subject.kind == VAL_NXDOMAIN;

	return is_negative && job->result.state == VAL_SECURE ? job->denial : NULL;
}

void val_job_hold(struct val_job *job)
{
	val_chain_hold(&job->chain);
}

static void forget_no_cut(struct val_table *table, const uint8_t *name, const struct val_now *now)
{
	CLEANUP(val_trust_unref)
	struct val_trust *known = val_table_get(table, name, now->mono_ns);

	if (known && (known->kind == VAL_TRUST_NO_CUT || known->kind == VAL_TRUST_NOT_THERE))
		val_table_forget(table, name);
}

void val_job_doubt(struct val_job *job, const struct val_now *now)
{
	const struct val_result *result = &job->result;
	const struct val_trust *parent = job->chain.parent;

	if (result->why == VAL_WHY_NO_KEY && result->has_zone)
		val_table_forget(job->config.table, result->zone);
	/* The same keys were tried at a DS, or at what proves that there is none. */
	if (result->why == VAL_WHY_NO_KEY && job->chain.failed && parent &&
	    result->type == VAL_TYPE_DS)
		val_table_forget(job->config.table, parent->name);
	forget_no_cut(job->config.table, result->name, now);
	for (unsigned int i = 0; i < job->n_signers; i++)
		forget_no_cut(job->config.table, job->signers[i], now);
}

static enum val_step end(struct val_job *job, enum val_state state, enum val_why why)
{
	job->result.state = state;
	job->result.why = state == VAL_SECURE ? VAL_WHY_NONE : why;
	job->phase = PHASE_END;
	return VAL_DONE;
}

/* DS belongs to the parent: its zone is looked for above the name (RFC 4035, section 2.4). */
static const uint8_t *zone_side(const struct val_subject *subject)
{
	return subject->type == VAL_TYPE_DS && subject->name[0] != 0 ? val_parent(subject->name, 1)
	                                                             : subject->name;
}

/* The RRset that a positive answer stands on. */
static const struct val_set *main_set(const struct val_job *job)
{
	const struct val_subject *subject = &job->subject;

	return subject->kind == VAL_ALIAS
	           ? val_message_alias(subject->message, subject->name)
	           : val_message_find(subject->message, VAL_ANSWER, subject->name, subject->type);
}

/* Is this RRset one that the subject needs verified? */
static bool is_needed(const struct val_job *job, const struct val_set *set,
                      const struct val_set *main)
{
	switch (job->subject.kind) {
	case VAL_DATA:
	case VAL_ALIAS:
		return set == main;
	case VAL_NODATA:
	case VAL_NXDOMAIN:
		return set->section == VAL_AUTHORITY &&
		       (set->type == VAL_TYPE_NSEC || set->type == VAL_TYPE_NSEC3 ||
		        set->type == VAL_TYPE_SOA);
	}
	return false;
}

static void add_signer(struct val_job *job, const uint8_t *signer)
{
	uint8_t lower[NAME_MAX_WIRE];
	unsigned int at = 0;

	name_lower(lower, signer, val_name_size(signer));
	if (!name_is_under(zone_side(&job->subject), lower))
		return;
	while (at < job->n_signers && name_labels(job->signers[at]) > name_labels(lower))
		at++;
	/* Both are ancestors of one name: equal length is the same name. */
	if (at < job->n_signers && name_labels(job->signers[at]) == name_labels(lower))
		return;
	if (job->n_signers < LIMIT_VAL_SIGNERS)
		job->n_signers++;
	else
		val_budget_meet(job->budget, VAL_LIMIT_SIGNERS);
	if (at == LIMIT_VAL_SIGNERS)
		return;
	memmove(&job->signers[at + 1], &job->signers[at],
	        (job->n_signers - 1 - at) * sizeof(job->signers[0]));
	memcpy(job->signers[at], lower, val_name_size(lower));
}

static void find_signers(struct val_job *job)
{
	const struct val_message *message = job->subject.message;
	const struct val_set *main = main_set(job);
	struct val_sig sig;

	for (size_t i = 0; i < message->n_sets; i++) {
		const struct val_set *set = &message->sets[i];

		if (!is_needed(job, set, main))
			continue;
		for (unsigned int s = 0; s < set->n_sigs; s++) {
			val_sig_read(&set->sigs[s], &sig);
			add_signer(job, sig.signer);
		}
	}
}

/* RFC 6672, section 2.2: the alias is the name with the DNAME's owner replaced by its target. */
static bool is_synthesized(const struct val_subject *subject, const struct val_set *dname)
{
	const struct val_rdata *rdata = &dname->rrs[0];
	size_t prefix = val_name_size(subject->name) - val_name_size(dname->owner);
	uint8_t name[NAME_MAX_WIRE];
	int len = name_wire_len(rdata->data, rdata->len);

	if (dname->n_rrs != 1 || len < 0 || prefix + (size_t)len > NAME_MAX_WIRE)
		return false;
	memcpy(name, subject->name, prefix);
	memcpy(name + prefix, rdata->data, (size_t)len);
	return name_equal(name, subject->target);
}

static bool is_target(const struct val_subject *subject, const struct val_set *cname)
{
	const struct val_rdata *rdata = &cname->rrs[0];

	return cname->n_rrs == 1 && name_wire_len(rdata->data, rdata->len) > 0 &&
	       name_equal(rdata->data, subject->target);
}

static enum val_step begin_chain(struct val_job *job, enum phase phase, const uint8_t *target,
                                 const struct val_now *now)
{
	job->phase = phase;
	val_chain_begin(&job->chain, target,
	                phase == PHASE_SIGNER ? VAL_CHAIN_SIGNER : VAL_CHAIN_NAME,
	                zone_side(&job->subject), now);
	return VAL_TURN;
}

static enum val_step next_signer(struct val_job *job, const struct val_now *now)
{
	if (job->signer < job->n_signers)
		return begin_chain(job, PHASE_SIGNER, job->signers[job->signer++], now);
	return begin_chain(job, PHASE_TRUTH, zone_side(&job->subject), now);
}

static enum val_step bogus_zone(struct val_job *job, const struct val_trust *zone)
{
	memcpy(job->result.name, zone->name, zone->name_len);
	job->result.type = zone->type;
	job->result.tag = zone->tag;
	job->result.has_zone = false;
	job->result.held_ns = job->chain.failed ? 0 : zone->held_ns;
	return end(job, VAL_BOGUS, (enum val_why)zone->why);
}

/* This signer's zone has not signed it: perhaps another one has. */
static enum val_step not_by(struct val_job *job, enum val_why why, uint16_t tag,
                            const struct val_now *now)
{
	const struct val_trust *zone = job->chain.zone;

	job->nearest = why;
	job->result.tag = tag;
	if (zone) {
		memcpy(job->result.zone, zone->name, zone->name_len);
		job->result.has_zone = true;
	}
	if (job->budget->spent)
		return end(job, VAL_BOGUS, VAL_WHY_LIMIT);
	return next_signer(job, now);
}

/* The chain has led to the signer that was guessed. */
static enum val_step check_signer(struct val_job *job, const struct val_now *now)
{
	const struct val_trust *zone = job->chain.zone;

	if (zone->kind == VAL_TRUST_INSECURE) /* it is above the subject: so is that */
		return end(job, VAL_INSECURE, (enum val_why)zone->why);
	if (zone->kind != VAL_TRUST_SECURE)
		return bogus_zone(job, zone);
	if (!name_equal(zone->name, job->chain.target)) /* no zone begins there */
		return not_by(job, VAL_WHY_SIGNER, 0, now);
	val_budget_message(job->budget);
	job->phase = PHASE_SUBJECT;
	return VAL_TURN;
}

static enum val_step secure(struct val_job *job)
{
	const struct val_trust *zone = job->chain.zone;

	job->result.tag = job->verified.tag;
	job->result.algorithm = job->verified.algorithm;
	memcpy(job->result.zone, zone->name, zone->name_len);
	job->result.has_zone = true;
	return end(job, VAL_SECURE, VAL_WHY_NONE);
}

static enum val_step begin_denial(struct val_job *job)
{
	job->denial = malloc(sizeof(*job->denial));
	if (!job->denial) {
		job->budget->spent = true;
		return end(job, VAL_BOGUS, VAL_WHY_LIMIT);
	}
	val_denial_init(job->denial, job->chain.zone->name, job->config.rules, job->budget);
	job->phase = PHASE_DENIAL;
	return VAL_TURN;
}

static enum val_why verify(struct val_job *job, const struct val_set *set,
                           struct val_verified *ret_verified, const struct val_now *now)
{
	const struct val_trust *zone = job->chain.zone;

	return val_verify_set(set, zone->name, zone->keys, job->config.rules, now->wall_s,
	                      job->budget, ret_verified);
}

/* Data or an alias (RFC 4035, section 5.3). */
static enum val_step check_positive(struct val_job *job, const struct val_now *now)
{
	const struct val_subject *subject = &job->subject;
	const struct val_set *set = main_set(job);
	struct val_verified *verified = &job->verified;
	enum val_why why;

	if (!set)
		return not_by(job, VAL_WHY_RRSIG_MISSING, 0, now);
	why = verify(job, set, verified, now);
	if (why != VAL_WHY_NONE)
		return not_by(job, why, verified->tag, now);
	job->result.ttl_s = verified->ttl_s;
	job->result.life_s = verified->life_s;
	if (subject->kind == VAL_ALIAS &&
	    !(set->type == VAL_TYPE_DNAME ? is_synthesized(subject, set) : is_target(subject, set)))
		return not_by(job, VAL_WHY_DNAME, verified->tag, now);
	if (!verified->wildcard)
		return secure(job);
	/* A DNAME from a wildcard is nothing that could be synthesized from (RFC 6672, 3.3). */
	if (subject->kind == VAL_ALIAS && set->type == VAL_TYPE_DNAME)
		return not_by(job, VAL_WHY_LABELS, verified->tag, now);
	return begin_denial(job);
}

/* NODATA or NXDOMAIN (RFC 4035, section 5.4). The SOA tells how long the answer may be kept: when
 * it is there, the zone must have signed it. */
static enum val_step check_negative(struct val_job *job, const struct val_now *now)
{
	const struct val_message *message = job->subject.message;

	job->result.ttl_s = VAL_TRUST_CUT_TTL_S;
	job->result.life_s = UINT32_MAX;
	for (size_t i = 0; i < message->n_sets; i++) {
		const struct val_set *set = &message->sets[i];
		struct val_verified verified;
		enum val_why why;

		if (set->section != VAL_AUTHORITY || set->type != VAL_TYPE_SOA || set->n_rrs == 0)
			continue;
		if (!name_equal(set->owner, job->chain.zone->name))
			return not_by(job, VAL_WHY_SIGNER, 0, now);
		why = verify(job, set, &verified, now);
		if (why != VAL_WHY_NONE)
			return not_by(job, why, verified.tag, now);
		job->result.ttl_s = MIN(job->result.ttl_s, verified.ttl_s);
		job->result.life_s = MIN(job->result.life_s, verified.life_s);
	}
	return begin_denial(job);
}

static bool is_positive(const struct val_job *job)
{
	return job->subject.kind == VAL_DATA || job->subject.kind == VAL_ALIAS;
}

static enum val_step check_subject(struct val_job *job, const struct val_now *now)
{
	return is_positive(job) ? check_positive(job, now) : check_negative(job, now);
}

static enum val_proof prove(struct val_job *job)
{
	const struct val_subject *subject = &job->subject;

	switch (subject->kind) {
	case VAL_DATA:
	case VAL_ALIAS:
		return val_denial_wildcard(job->denial, main_set(job)->owner, job->verified.labels);
	case VAL_NODATA:
		return val_denial_nodata(job->denial, subject->name, subject->type);
	case VAL_NXDOMAIN:
		return val_denial_nxdomain(job->denial, subject->name);
	}
	return VAL_PROOF_NONE;
}

static enum val_step check_denial(struct val_job *job, const struct val_now *now)
{
	CLEANUP(free) struct val_denial *denial = NULL;
	enum val_why why;
	enum val_proof proof;

	if (!val_denial_gather(job->denial, job->subject.message, job->chain.zone->keys,
	                       now->wall_s))
		return VAL_TURN;
	proof = prove(job);
	if (proof == VAL_PROOF_LATER)
		return VAL_TURN;
	denial = TAKE(job->denial);
	job->result.ttl_s = MIN(job->result.ttl_s, denial->ttl_s);
	job->result.life_s = MIN(job->result.life_s, denial->life_s);
	why = is_positive(job) ? VAL_WHY_WILDCARD : VAL_WHY_NSEC_MISSING;
	if (denial->why != VAL_WHY_NONE)
		why = denial->why;
	switch (proof) {
	case VAL_PROOF_DENIED:
		/* AD speaks of the authority section, too (RFC 4035, section 3.2.3), where all of
		 * the zone's proofs go out as they came: a forged one beside the good ones is one
		 * too many. */
		if (denial->partial)
			break;
		job->denial = TAKE(denial);
		return secure(job);
	case VAL_PROOF_OPT_OUT:
		return end(job, VAL_INSECURE, VAL_WHY_OPT_OUT);
	case VAL_PROOF_TOO_MUCH:
		return end(job, VAL_INSECURE, VAL_WHY_ITERATIONS);
	case VAL_PROOF_EXCESSIVE:
		why = VAL_WHY_ITERATIONS;
		break;
	case VAL_PROOF_LIMIT:
		why = VAL_WHY_LIMIT;
		break;
	case VAL_PROOF_NONE:
	case VAL_PROOF_LATER:
		break;
	}
	return not_by(job, why, denial->tag, now);
}

/* No signature was any good: is the name in a signed zone at all? */
static enum val_step check_truth(struct val_job *job)
{
	const struct val_trust *zone = job->chain.zone;

	if (zone->kind == VAL_TRUST_INSECURE)
		return end(job, VAL_INSECURE, (enum val_why)zone->why);
	if (zone->kind != VAL_TRUST_SECURE)
		return bogus_zone(job, zone);
	return end(job, VAL_BOGUS, job->nearest);
}

static void trace_zone(const struct val_job *job)
{
	const struct val_trust *zone = job->chain.zone;

	val_trace(job->budget->trace, &(struct val_event){ .kind = VAL_EVENT_ZONE,
	                                                   .why = (enum val_why)zone->why,
	                                                   .outcome = zone->kind,
	                                                   .tag = zone->tag,
	                                                   .name = zone->name });
}

static enum val_step run_chain(struct val_job *job, const struct val_now *now)
{
	switch (val_chain_run(&job->chain, now)) {
	case VAL_CHAIN_FOUND:
		trace_zone(job);
		return job->phase == PHASE_TRUTH ? check_truth(job) : check_signer(job, now);
	case VAL_CHAIN_NEED:
		return VAL_NEED;
	case VAL_CHAIN_TURN:
		return VAL_TURN;
	case VAL_CHAIN_NONE:
		/* A signer above the deepest anchor: not the zone that is asked about. */
		if (job->phase == PHASE_SIGNER && job->chain.anchor)
			return not_by(job, VAL_WHY_SIGNER, 0, now);
		return end(job, VAL_INDETERMINATE, VAL_WHY_NO_ANCHOR);
	case VAL_CHAIN_NEGATIVE:
		return end(job, VAL_INSECURE, VAL_WHY_NTA);
	case VAL_CHAIN_LIMIT:
		break;
	}
	return end(job, VAL_BOGUS, VAL_WHY_LIMIT);
}

static enum val_step run_phase(struct val_job *job, const struct val_now *now)
{
	switch (job->phase) {
	case PHASE_BEGIN:
		find_signers(job);
		return next_signer(job, now);
	case PHASE_SIGNER:
	case PHASE_TRUTH:
		return run_chain(job, now);
	case PHASE_SUBJECT:
		return check_subject(job, now);
	case PHASE_DENIAL:
		return check_denial(job, now);
	case PHASE_END:
		break;
	}
	return VAL_DONE;
}

enum val_step val_job_run(struct val_job *job, const struct val_now *now)
{
	enum val_step step = VAL_TURN;

	while (step == VAL_TURN && val_budget_has_turn(job->budget))
		step = run_phase(job, now);
	return step;
}

void val_job_give(struct val_job *job, struct val_message *message)
{
	val_chain_give(&job->chain, message);
}
