/* resolver/fetch.h - ask the upstreams one question; one exchange in flight for each question of a
 * worker, however many wait for it.
 *
 * The upstream message is built from nothing: the lower-case name with our own 0x20 case, our ID,
 * RD=1, CD=1 where we validate ourselves, OPT with DO=1 and 1232. Servers of the zone by smoothed
 * RTT, back-off from dead ones, at most LIMIT_UPSTREAM_TRIES sends, LIMIT_UPSTREAM_UDP_TRIES of
 * them by UDP; TCP on truncation, and on a near-miss (right server and socket, wrong ID, question
 * or case). Before every single send each waiter is asked whether the name may still leave (promise
 * P2); waiters that say no are ended with FETCH_DENIED, and when none is left nothing is sent.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "entry.h"
#include "sallyport/cleanup.h"

struct worker;
struct fetches;
struct fetch;

enum fetch_status {
	FETCH_FAILED = 0, /* no server gave a usable answer; a failure entry may be given */
	FETCH_OK,         /* entries were made and put into the cache */
	FETCH_DENIED,     /* may_send said no */
	FETCH_LIMIT,      /* too many in flight */
	FETCH_OVERSIZE,   /* as FETCH_FAILED; what a server gave is over a limit of ours */
};

/* A question asked again because its answer was bogus: at another server, then with CD=0 (RFC 6840,
 * appendix B: an upstream may have cached bad data that somebody asked for with CD=1). */
enum fetch_round {
	FETCH_FIRST = 0,
	FETCH_ELSEWHERE,
	FETCH_CHECKED,
	FETCH_ROUNDS,
};

struct fetch_waiter { /* in the caller's memory until done or fetch_cancel() */
	/* May the name be sent now? Judged by the policy of this moment. */
	bool (*may_send)(struct fetch_waiter *waiter);
	/* Called once, from the loop, never from fetch_join(). @entries are borrowed for the call:
	 * the first answers the question, then links of its chain that the same message carried. */
	void (*done)(struct fetch_waiter *waiter, enum fetch_status status,
	             struct entry *const *entries, size_t n_entries);
	uint32_t class;      /* whose question: a workload's index, POLICY_NONE for our own */
	struct fetch *fetch; /* private to fetches.c */
	struct fetch_waiter *next, **link;
};

struct fetches *fetches_new(struct worker *worker);
void fetches_free(struct fetches *fetches);

/* Ask for (@name, @type) in the zone @zone of the settings, or join who already asks. @name: lower
 * case. Returns 0 (done will be called), ERR_LIMIT or ERR_NOMEM (it will not). */
int fetch_join(struct worker *worker, const uint8_t *name, uint16_t type, uint16_t zone,
               struct fetch_waiter *waiter) MUST_CHECK;
/* The same in a later round; @avoid (with its port) gave the bogus answer. */
int fetch_join_round(struct worker *worker, const uint8_t *name, uint16_t type, uint16_t zone,
                     enum fetch_round round, const uint8_t avoid[static ADDR_LEN],
                     uint16_t avoid_port, struct fetch_waiter *waiter) MUST_CHECK;
/* Leave before done; the fetch goes on if others wait, else it ends after the exchange. Fine after
 * done, too, and for a zeroed waiter. */
void fetch_cancel(struct fetch_waiter *waiter);

/* Before the loop waits: tell the waiters of what has ended. */
void fetches_turn(struct worker *worker);
/* worker->settings and worker->servers are new ones with other zones: what is in flight is asked
 * again, of the servers that its name belongs to now. */
void fetches_zones_changed(struct worker *worker);
size_t fetches_in_flight(const struct worker *worker);
