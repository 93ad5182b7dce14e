/* val_job.h - is this answer secure? The validator's one entrance.
 *
 *     val_job_new() ---> val_job_run() --VAL_NEED--> (ask it upstream) --> val_job_give() --.
 *                             ^                                                            |
 *                             '------------------------------------------------------------'
 *                             '--VAL_TURN--> (let others run first)
 *                             '--VAL_DONE--> job->result
 *
 * A job judges one link of an answer: data, an alias, NODATA or NXDOMAIN. It has no socket, no
 * clock and no thread: the time comes with each call, messages come when it asks for them. It asks
 * for DS and DNSKEY only, of the subject's name or of names above it, and never of a name at or
 * below a negative trust anchor. What it learns of zones goes into the shared table.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "val_anchor.h"
#include "val_message.h"
#include "val_trust.h"
#include "val_verify.h"

enum val_state { /* RFC 4035, section 4.3; zero is the safe value */
	         VAL_BOGUS = 0,
	         VAL_INDETERMINATE,
	         VAL_INSECURE,
	         VAL_SECURE,
};
const char *val_state_str(enum val_state state);

enum val_kind { VAL_DATA, VAL_ALIAS, VAL_NODATA, VAL_NXDOMAIN };

struct val_subject {
	const uint8_t *name; /* lower case */
	uint16_t type;
	enum val_kind kind;
	const uint8_t *target;             /* of VAL_ALIAS: where it leads, lower case */
	const struct val_message *message; /* borrowed while the job lives */
};

struct val_denial;
struct val_config { /* borrowed while the job lives */
	const struct val_rules *rules;
	struct val_anchors *anchors;
	struct val_table *table;
	const struct val_trace *trace; /* who is told of each step, or NULL (val_trace.h) */
	/* Who learns from each proof on the way that a DS is not there, or NULL: its records and
	 * the zone's SOA, verified, borrowed for the call, which may be kept for @ttl_s. */
	void (*denied)(void *ctx, const struct val_denial *denial, const struct val_set *soa,
	               uint32_t ttl_s);
	void *ctx;
};

struct val_now {
	uint64_t wall_s;  /* signatures live by it */
	uint64_t mono_ns; /* the table lives by it */
};

struct val_result {
	enum val_state state;
	enum val_why why; /* of everything but VAL_SECURE */
	uint32_t ttl_s;   /* of VAL_SECURE: the answer may be kept so long */
	uint32_t life_s;  /* of VAL_SECURE: its signatures last so long, whatever the TTL */
	uint8_t
	    name[255]; /* whose record or proof decided; with type, what to ask anew elsewhere */
	uint16_t type;
	uint16_t tag; /* of the key that signed the subject (secure), or that it names (bogus); 0 */
	uint8_t algorithm;
	uint8_t zone[255]; /* that signed the subject (secure), or whose keys were tried (bogus) */
	bool has_zone;
	uint64_t held_ns; /* of VAL_BOGUS: a failure that was known before, and until when it is
	                     held; 0: this job has found out */
};

enum val_step { VAL_DONE, VAL_NEED, VAL_TURN };

struct val_need {
	uint8_t name[255]; /* lower case */
	uint16_t type;     /* DS or DNSKEY */
};

struct val_job;
/* @budget is the query's, for all of its jobs one after the other. NULL: out of memory. */
struct val_job *val_job_new(const struct val_config *config, const struct val_subject *subject,
                            struct val_budget *budget);
void val_job_free(struct val_job *job); /* NULL is fine */
DEFINE_CLEANUP(struct val_job *, val_job_free)

/* Go on. After VAL_NEED, val_job_give() comes before the next run. */
enum val_step val_job_run(struct val_job *job, const struct val_now *now);
const struct val_need *val_job_need(const struct val_job *job);
/* What came for the need, or NULL: it cannot be had. Consumed; the octets of its RDATA must live
 * until the job needs something else, or is done. */
void val_job_give(struct val_job *job, struct val_message *message);
const struct val_result *val_job_result(const struct val_job *job);
/* Of a bogus result: what failed on the way is held from now on (RFC 9520), so that others do not
 * find out again. For who gives up; until then nobody knows of it. */
void val_job_hold(struct val_job *job);
/* Of a bogus result: before the answer is asked for anew, forget what may have changed since it was
 * found out: a zone's keys, and that no zone begins where the signatures say that one does. */
void val_job_doubt(struct val_job *job, const struct val_now *now);
/* Of a negative answer found secure: what proves it, borrowed from the job and its message; else
 * NULL. */
const struct val_denial *val_job_denial(const struct val_job *job);
