/* resolver/query_wait.h - a query that waits: for an upstream, for fwsync, for a policy.
 *
 *                    .--------------------- judged again -------------------.
 *                    v                                                      |
 *   NEW --> RESOLVING --all links--> VALIDATING --> GUARDING --form--> OPENING --stale--> SWITCHING
 *               |                        |                 |
 *               '---------- denied, failed, answered ------'--> ENDED
 *
 * One block of memory a query; what it refers to (entries, form, client) is referenced and let go
 * in one place. Belongs to one worker; there is no lock. query_enter() alone assigns the state.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "entry.h"
#include "explain.h"
#include "fair_queue.h"
#include "fetch.h"
#include "form.h"
#include "pinhole_client.h"
#include "query_open.h"
#include "query_respond.h"
#include "tally.h"
#include "val_budget.h"
#include "val_failure.h"

enum query_limit {
	QUERY_TICK_MS = 20,          /* how exactly deadlines are kept */
	QUERY_STALE_AFTER_MS = 1800, /* RFC 8767, section 5: the client response timer */
	QUERY_STALE_TTL_S = 30,      /* RFC 8767, section 5 */
	QUERY_FAILURE_S = 5,         /* RFC 9520, section 3.2: 1 s at least, 5 min at most */
	QUERY_SWITCH_MS = 1000,      /* fwsync knows a newer policy: so long for it to come to us */
	QUERY_OPENS = 3,             /* times that one query asks fwsync: renewals after a loss */
	QUERY_FOLLOW_SLACK_S = 5, /* targets may be asked so long after the chain's TTL: whom it was
	                             given with TTL 0 or 1 must still have time to ask */
	QUERY_PREFETCHES = 64,    /* in flight, per worker; targets take half of it at most */
	QUERY_PREFETCH_MARKS = 256,
	QUERY_PREFETCH_LIFE_S = 10, /* shorter lives are not worth a prefetch */
};

enum query_state {
	QUERY_NEW = 0,
	QUERY_RESOLVING,  /* a fetch may be out */
	QUERY_VALIDATING, /* a fetch of DS or DNSKEY may be out */
	QUERY_GUARDING,
	QUERY_OPENING,   /* a pinhole request may be out */
	QUERY_SWITCHING, /* fwsync refused: judged by an older policy than its own */
	QUERY_ENDED,     /* freed */
};
enum query_step {
	STEP_NEXT,  /* go on in the (perhaps new) state */
	STEP_WAIT,  /* a callback will go on */
	STEP_ENDED, /* answered and freed: do not touch it any more */
};

struct query {
	struct fetch_waiter waiter;
	struct pinhole_ask ask;
	struct worker *worker;
	struct query *next, *prev; /* all in flight, oldest first */
	enum query_state state;
	bool fetching, asking; /* waiter, ask are with somebody else */
	bool prefetch;         /* nobody waits for the answer */
	struct explain
	    *explain;     /* of a prefetch: it only explains; not fresh data is its purpose */
	uint8_t n_before; /* of a prefetch of an SVCB or HTTPS target: links of the chain that
	                     leads there; else 0 */
	bool is_stale;    /* a link has expired */
	bool gave_way;    /* goes on when its turn comes: it is queued */
	bool adopted;     /* links come from a memoised form, as its guard left them */
	uint8_t n_opens;
	uint8_t n_fetches;

	struct asked asked;
	struct client client;
	struct question question;
	uint8_t message[12 + NAME_MAX_WIRE + 4]; /* header and question as they came */
	struct tally_key tally_client, tally_workload;

	uint64_t deadline_ns; /* of the whole query */
	uint64_t due_ns;      /* of the present state; 0: none */

	/* RESOLVING: the chain so far, and what the last message said beyond it. */
	struct entry *links[LIMIT_CHAIN];
	bool internal[LIMIT_CHAIN]; /* may the link's addresses be private? */
	bool observed;              /* some target is let through by observe mode only */
	uint8_t n_links, n_given;
	struct entry *given[LIMIT_CHAIN];
	size_t held_bytes;   /* of what it waits with, as counted for the limits */
	struct entry *stale; /* what the cache had of the link that is being asked for */
	/* VALIDATING: how many links are judged, the job for the next, and in which round it is. */
	uint8_t n_validated, round;
	struct val_failure failure; /* of the round before */
	struct entry *doubted;      /* what came in it, for who has set CD */
	bool whole;                 /* nothing was spent before the link at hand */
	uint8_t avoid[ADDR_LEN]; /* who gave the link of that round: in this one nothing is asked */
	uint16_t avoid_port;     /* there while there is another */
	struct val_job *job;
	struct fair_item way;        /* in queries->ways, */
	uint32_t way_class;          /* as whose */
	struct val_budget budget;    /* of all links together */
	uint32_t checks;             /* what was left of them when they were last counted */
	struct entry *need_entry;    /* what came for the job's need, which borrows from it */
	size_t need_bytes;           /* of that, and of what the job has made of it */
	struct val_message *records; /* of the link that is judged */
	uint64_t memo_generation;    /* before the first look into the cache */

	/* OPENING */
	struct form *form;
	struct policy_pinhole pinhole;
	uint64_t opened_ns; /* when it was asked for */
	uint32_t life_s;
	struct open_request room;
};

struct queries {
	struct worker *worker;
	struct query *first, *last;
	unsigned int n_in_flight, n_prefetches;
	size_t waiting_bytes; /* what they hold, by query_weigh() */
	uint64_t last_uid;    /* of forms; never reused */
	uint64_t settings_generation;
	struct fair_queue ways; /* who has given way to others: one goes on in a turn of the loop */
	uv_idle_t turns;        /* runs while there are some */
	uv_timer_t timer;       /* runs while something is in flight */
	uint64_t prefetched[QUERY_PREFETCH_MARKS]; /* uids of forms already refreshed */
};

/* A query for what @asked asks, in flight from now on; @asked->client is held. NULL: over a limit
 * or out of memory; it has been answered. */
struct query *query_new(struct worker *worker, const struct asked *asked);
/* One that asks on behalf of @asked's client without answering it. NULL: not now. */
struct query *query_new_prefetch(struct worker *worker, const struct asked *asked);
/* The same for a target to which a chain of @n_before links leads. It counts against the limits of
 * @asked's client and workload, and is not begun while these have used up half of them. */
struct query *query_new_target(struct worker *worker, const struct asked *asked,
                               unsigned int n_before);
/* Begin with a memoised form that lacks nothing but its pinholes. */
void query_adopt(struct query *q, struct form *form);
/* Go on until it waits or ends. */
void query_run(struct query *q);
void query_enter(struct query *q, enum query_state next);
/* Count what it holds, for it is going to wait with that. False: over a limit; of its links over
 * @most octets. */
bool query_weigh(struct query *q, size_t most) MUST_CHECK;

/* The ends; all of them free @q. */
enum query_step query_fail(struct query *q, const struct refusal *refusal);
enum query_step query_deny_target(struct query *q, const uint8_t *target,
                                  const struct verdict *verdict);
enum query_step query_end_judged(struct query *q); /* by asked.j, which is not JUDGE_RESOLVE */

/* Judge question, chain and the name that comes next by the policy of this moment. @ret_j is the
 * question's judgement; false with JUDGE_RESOLVE in it: the chain is denied at *ret_target. */
bool query_judge_again(struct query *q, struct judgement *ret_j, const uint8_t **ret_target,
                       struct verdict *ret_verdict);
/* The zone of `upstreams` that is asked (@name, @type) at this moment. */
uint16_t query_zone(const struct query *q, const uint8_t *name, uint16_t type);
/* The name that is asked, or will be asked, next. */
const uint8_t *query_pending(const struct query *q);

/* resolve.c: gather the links of the answer. */
enum query_step resolve_step(struct query *q);
void resolve_stop(struct query *q); /* leave the fetch */
/* Ask for the link @i again, in a later round: its data was bogus. What follows from it goes.
 * STEP_NEXT: it cannot be asked for, and all is as it was. */
enum query_step resolve_again(struct query *q, unsigned int i);
bool resolve_may_send(struct fetch_waiter *waiter); /* for what else a query has asked */
void resolve_denied(struct query *q);               /* it may not; ends the query, or nearly */
enum query_step resolve_too_heavy(struct query *q); /* it cannot wait with what it holds: its end */
enum query_step resolve_no_room(struct query *q);   /* nor does anything else for now: its end */
void resolve_due(struct query *q); /* waited long enough while stale data is at hand */

/* query_validate.c: is each link secure? */
enum query_step validate_step(struct query *q);
void validate_stop(struct query *q); /* leave the fetch */
/* Is the link that is asked for one whose last answer was bogus? */
bool validate_is_retried(const struct query *q);
/* The link could not be had again: what the round before found stands. STEP_NEXT: who has set CD
 * gets it, and the chain goes on from there. */
enum query_step validate_give_up(struct query *q);
/* And there is no time left: the query has ended. */
void validate_expire_retried(struct query *q);
void validate_forget(struct query *q); /* the job that is under way */
/* Has the answer to @name failed not long ago (RFC 9520)? Then the query has ended with *ret_step.
 */
bool validate_has_failed(struct query *q, const uint8_t *name, enum query_step *ret_step);
void validate_expire(struct query *q); /* it took too long: that is a failure, too */
/* One of those that have given way to others goes on; workloads take turns. False: there are none.
 */
bool validate_turn(struct worker *worker);

/* query_pin.c: open, then answer. */
enum query_step pin_step(struct query *q);
void pin_stop(struct query *q);
