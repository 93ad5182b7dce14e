/* resolver/query_judge.h - what shall be done with a question, by the worker's present policy.
 *
 * Order: workload, class, transfers, policy (with the chains the workload was given), special-use
 * names. Nothing here waits, allocates or keeps anything; all of it may be asked again at any
 * moment (a policy switch, the moment of sending).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "policy/judge.h"
#include "question.h"
#include "sallyport/prefix.h"

struct worker;
struct client;

enum judge_action {                 /* zero is the safe value */
	            JUDGE_DENY = 0, /* the profile's denial */
	            JUDGE_REFUSE,   /* REFUSED: nobody's client, no policy, class, transfer, RD=0 */
	            JUDGE_RESOLVE,
	            JUDGE_HINFO,     /* ANY for an allowed name (RFC 8482) */
	            JUDGE_LOCALHOST, /* special-use names (special.h) */
	            JUDGE_IPV4ONLY,
	            JUDGE_NXDOMAIN,
	            JUDGE_NODATA, /* also for RRSIG and other types that are never forwarded */
};

struct judgement {
	struct verdict verdict;
	enum judge_action action;
	uint32_t policy_version; /* 0: none */
	uint32_t workload;       /* or POLICY_NONE */
	uint32_t profile;
	bool followed;                /* verdict.reason FOLLOW: begin is valid */
	uint8_t begin[NAME_MAX_WIRE]; /* where the chain began that leads to this name */
};

/* The policy's word, without special-use names: all that a question needs whose answer is
 * remembered (an answer to a special-use name never is). */
void judge_policy(struct worker *worker, const struct question *q, const struct client *client,
                  struct judgement *ret);
/* Amend @j if the name is a special-use one that neither hosts nor a zone of its own covers. */
void judge_special(struct worker *worker, const struct question *q, struct judgement *j);
/* Both. @begin: where a chain began that is known to lead here, whether or not the workload has
 * been given it; NULL: only what it has been given counts. */
void judge_question(struct worker *worker, const struct question *q, const struct client *client,
                    const uint8_t *begin, struct judgement *ret);

/**
 * May a chain that began under @j go on to @target?
 *
 * @owner  the name before it, lower case; so is @target.
 *
 * Fills @ret_verdict; true if allowed. Special-use names are never chain targets.
 */
bool judge_target(struct worker *worker, const struct judgement *j, const uint8_t *owner,
                  const uint8_t *target, uint16_t qtype, struct verdict *ret_verdict);

/* May addresses of @name (lower case) be private, under @verdict? By the rule, by the zone that its
 * data come from, or because hosts gives them. */
bool judge_internal(struct worker *worker, const struct verdict *verdict, const uint8_t *name);
