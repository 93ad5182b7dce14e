/* val_job.c - which zone must have signed the subject, and did it?
 *
 *     BEGIN --> SIGNER(1..n) --chain--> CHECK --secure, insecure--> END
 *                  ^                      |
 *                  '----- next signer ----'--none left--> TRUTH --chain--> END
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
#include "val_wire.h"

enum {
	SIGNERS = 3,       /* guesses that are tried */
	CHECKS_A_TURN = 4, /* public-key operations, then others may run */
};

enum phase { PHASE_BEGIN, PHASE_SIGNER, PHASE_TRUTH, PHASE_END };

struct val_job {
	struct val_config config;
	struct val_subject subject;
	struct val_budget budget;
	struct val_chain chain;
	struct val_result result;
	enum phase phase;
	unsigned int n_signers, signer;
	uint8_t signers[SIGNERS][NAME_MAX_WIRE]; /* deepest first */
	enum val_why nearest;                    /* why no signer has counted yet */
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

struct val_job *val_job_new(const struct val_config *config, const struct val_subject *subject)
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
	val_budget_init(&job->budget);
	val_chain_init(&job->chain, &job->config, &job->budget);
	return job;
}

void val_job_free(struct val_job *job)
{
	if (!job)
		return;
	val_chain_fini(&job->chain);
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

const struct val_budget *val_job_budget(const struct val_job *job)
{
	return &job->budget;
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
	if (at == SIGNERS)
		return;
	if (job->n_signers < SIGNERS)
		job->n_signers++;
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

struct check {            /* of the subject, by one zone */
	enum val_why why; /* VAL_WHY_NONE: it is as @state says */
	enum val_state state;
	enum val_why because; /* of VAL_INSECURE */
};

static struct check by_proof(const struct val_job *job, enum val_proof proof, enum val_why missing)
{
	switch (proof) {
	case VAL_PROOF_DENIED:
		return (struct check){ VAL_WHY_NONE, VAL_SECURE, VAL_WHY_NONE };
	case VAL_PROOF_OPT_OUT:
		return (struct check){ VAL_WHY_NONE, VAL_INSECURE, VAL_WHY_OPT_OUT };
	case VAL_PROOF_TOO_MUCH:
		return (struct check){ VAL_WHY_NONE, VAL_INSECURE, VAL_WHY_ITERATIONS };
	case VAL_PROOF_EXCESSIVE:
		missing = job->budget.spent ? VAL_WHY_LIMIT : VAL_WHY_ITERATIONS;
		break;
	case VAL_PROOF_NONE:
		break;
	}
	return (struct check){ missing, VAL_BOGUS, VAL_WHY_NONE };
}

/* Data or an alias (RFC 4035, section 5.3). */
static struct check check_positive(struct val_job *job, const struct val_trust *zone,
                                   const struct val_now *now)
{
	const struct val_subject *subject = &job->subject;
	const struct val_set *set = main_set(job);
	struct val_verified verified;
	struct val_denial denial;
	struct check check = { VAL_WHY_RRSIG_MISSING, VAL_BOGUS, VAL_WHY_NONE };
	enum val_why why;

	if (!set)
		return check;
	check.why = val_verify_set(set, zone->name, zone->keys, job->config.rules, now->wall_s,
	                           &job->budget, &verified);
	if (check.why != VAL_WHY_NONE)
		return check;
	job->result.ttl_s = verified.ttl_s;
	job->result.tag = verified.tag;
	job->result.algorithm = verified.algorithm;
	if (subject->kind == VAL_ALIAS &&
	    !(set->type == VAL_TYPE_DNAME ? is_synthesized(subject, set)
	                                  : is_target(subject, set))) {
		check.why = VAL_WHY_DNAME;
		return check;
	}
	if (!verified.wildcard) {
		check.state = VAL_SECURE;
		return check;
	}
	/* A DNAME from a wildcard is nothing that could be synthesized from (RFC 6672, 3.3). */
	if (subject->kind == VAL_ALIAS && set->type == VAL_TYPE_DNAME) {
		check.why = VAL_WHY_LABELS;
		return check;
	}
	why = val_chain_denial(subject->message, zone, &job->config, &job->budget, now, &denial,
	                       &job->result.ttl_s);
	return by_proof(job, val_denial_wildcard(&denial, set->owner, verified.labels),
	                why != VAL_WHY_NONE ? why : VAL_WHY_WILDCARD);
}

/* The SOA tells how long the answer may be kept: when it is there, the zone must have signed it. */
static enum val_why check_soa(struct val_job *job, const struct val_trust *zone,
                              const struct val_now *now)
{
	const struct val_message *message = job->subject.message;

	for (size_t i = 0; i < message->n_sets; i++) {
		const struct val_set *set = &message->sets[i];
		struct val_verified verified;
		enum val_why why;

		if (set->section != VAL_AUTHORITY || set->type != VAL_TYPE_SOA || set->n_rrs == 0)
			continue;
		if (!name_equal(set->owner, zone->name))
			return VAL_WHY_SIGNER;
		why = val_verify_set(set, zone->name, zone->keys, job->config.rules, now->wall_s,
		                     &job->budget, &verified);
		if (why != VAL_WHY_NONE)
			return why;
		job->result.ttl_s = MIN(job->result.ttl_s, verified.ttl_s);
	}
	return VAL_WHY_NONE;
}

/* NODATA or NXDOMAIN (RFC 4035, section 5.4). */
static struct check check_negative(struct val_job *job, const struct val_trust *zone,
                                   const struct val_now *now)
{
	const struct val_subject *subject = &job->subject;
	struct val_denial denial;
	enum val_why why;
	enum val_proof proof;

	job->result.ttl_s = VAL_TRUST_CUT_TTL_S;
	why = check_soa(job, zone, now);
	if (why != VAL_WHY_NONE)
		return (struct check){ why, VAL_BOGUS, VAL_WHY_NONE };
	why = val_chain_denial(subject->message, zone, &job->config, &job->budget, now, &denial,
	                       &job->result.ttl_s);
	proof = subject->kind == VAL_NODATA
	            ? val_denial_nodata(&denial, subject->name, subject->type)
	            : val_denial_nxdomain(&denial, subject->name);
	return by_proof(job, proof, why != VAL_WHY_NONE ? why : VAL_WHY_NSEC_MISSING);
}

static enum val_step begin_chain(struct val_job *job, enum phase phase, const uint8_t *target,
                                 const struct val_now *now)
{
	job->phase = phase;
	val_chain_begin(&job->chain, target, zone_side(&job->subject), now);
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
	return end(job, VAL_BOGUS, (enum val_why)zone->why);
}

/* The chain has led to the signer that was guessed. */
static enum val_step check_signer(struct val_job *job, const struct val_now *now)
{
	const struct val_trust *zone = job->chain.zone;
	bool positive = job->subject.kind == VAL_DATA || job->subject.kind == VAL_ALIAS;
	struct check check;

	if (zone->kind == VAL_TRUST_INSECURE) /* it is above the subject: so is that */
		return end(job, VAL_INSECURE, (enum val_why)zone->why);
	if (zone->kind != VAL_TRUST_SECURE)
		return bogus_zone(job, zone);
	if (!name_equal(zone->name, job->chain.target)) { /* no zone begins there */
		job->nearest = VAL_WHY_SIGNER;
		return next_signer(job, now);
	}
	val_budget_message(&job->budget);
	check = positive ? check_positive(job, zone, now) : check_negative(job, zone, now);
	if (check.why == VAL_WHY_NONE && check.state == VAL_SECURE)
		memcpy(job->result.zone, zone->name, zone->name_len);
	if (check.why == VAL_WHY_NONE)
		return end(job, check.state, check.because);
	if (job->budget.spent)
		return end(job, VAL_BOGUS, VAL_WHY_LIMIT);
	job->nearest = check.why;
	return next_signer(job, now);
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

static enum val_step run_chain(struct val_job *job, const struct val_now *now)
{
	switch (val_chain_run(&job->chain, now)) {
	case VAL_CHAIN_FOUND:
		return job->phase == PHASE_TRUTH ? check_truth(job) : check_signer(job, now);
	case VAL_CHAIN_NEED:
		return VAL_NEED;
	case VAL_CHAIN_NONE:
		/* A signer above the deepest anchor: not the zone that is asked about. */
		if (job->phase == PHASE_SIGNER && job->chain.anchor) {
			job->nearest = VAL_WHY_SIGNER;
			return next_signer(job, now);
		}
		return end(job, VAL_INDETERMINATE, VAL_WHY_NO_ANCHOR);
	case VAL_CHAIN_NEGATIVE:
		return end(job, VAL_INSECURE, VAL_WHY_NTA);
	case VAL_CHAIN_LIMIT:
		break;
	}
	return end(job, VAL_BOGUS, VAL_WHY_LIMIT);
}

enum val_step val_job_run(struct val_job *job, const struct val_now *now)
{
	uint32_t checks = job->budget.checks;
	enum val_step step = VAL_TURN;

	while (step == VAL_TURN && checks - job->budget.checks < CHECKS_A_TURN) {
		switch (job->phase) {
		case PHASE_BEGIN:
			find_signers(job);
			step = next_signer(job, now);
			break;
		case PHASE_SIGNER:
		case PHASE_TRUTH:
			step = run_chain(job, now);
			break;
		case PHASE_END:
			return VAL_DONE;
		}
	}
	return step;
}

void val_job_give(struct val_job *job, const struct val_message *message, const struct val_now *now)
{
	val_chain_give(&job->chain, message, now);
}
