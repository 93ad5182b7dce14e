/* resolver/worker.h - one worker thread: its libuv loop and everything that only it touches.
 *
 * Shared with other workers, and nothing else: the policy slot, the answer cache, the follow table,
 * the tally of what is in use, the budgets of amplification, the immutable configuration. The main
 * thread speaks to a worker through its mailbox (uv_async_send); the worker speaks back through
 * atomics that the main thread reads.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "cache.h"
#include "entropy.h"
#include "memo.h"
#include "policy_slot.h"
#include "sallyport/cleanup.h"
#include "sallyport/clock.h"
#include "sallyport/counter.h"
#include "sallyport/pinhole.h"
#include "sallyport/ring.h"
#include "sallyport/role.h"
#include "val_failure.h"
#include "val_job.h"
#include "zones.h"

struct held;
struct key_answer;
struct key_fetch;
struct pinhole_client;
struct fetches;
struct queries;
struct listeners;
struct follow_table;
struct tally;
struct amplification;
struct servers;
struct fitness;
struct proofs;
struct explain;

/* Configuration and what derives from it; immutable, reference-counted, swapped at END. */
struct settings {
	_Atomic uint32_t refs;
	struct resolver_conf conf;
	struct zones *zones;
	/* DNSSEC; anchors are NULL when dnssec.mode is off. The table is shared by the workers. */
	struct val_rules rules;
	struct val_config validation;
	struct val_failures *failures;
	struct proofs *proofs; /* NULL: no aggressive use of them; shared by the workers, too */
};
void settings_unref(struct settings *settings);

struct worker {
	uv_loop_t loop;
	unsigned int index;        /* 0.. */
	struct settings *settings; /* this worker's reference */
	struct policy_slot *slot;  /* shared */
	struct policy_map
	    *policy;         /* in force in this worker; NULL: none yet (everything REFUSED) */
	struct cache *cache; /* shared */
	struct follow_table *follow;         /* shared */
	struct tally *tally;                 /* shared */
	struct amplification *amplification; /* shared */
	struct upstream_words *upstreams;    /* shared; NULL in tests */
	struct stats_lane *lane;             /* this worker's counters (lane index + 1) */
	struct ring_producer ring;           /* history */
	const struct pinhole_epoch *epoch;   /* read-only page; NULL when firewall.mode is none */
	int pinhole_fd;         /* SOCK_SEQPACKET to fwsync; -1 when firewall.mode is none */
	uint64_t now_ns;        /* CLOCK_MONOTONIC, read once a loop turn or batch */
	uint64_t wall_ns;       /* CLOCK_REALTIME, the same */
	uint64_t next_query_id; /* step: the number of workers */
	uint64_t n_waited;      /* queries so far that could not be answered at once */
	uint32_t workload_last; /* of the query before, */
	uint64_t company_ns;    /* and when that was another one than its own predecessor's */
	struct memo *memo;
	struct held *held;
	struct pinhole_client *pinholes;
	struct fetches *fetches;
	struct queries *queries;
	struct listeners *listeners;
	struct servers *servers; /* upstream state: RTT, back-off, sockets */
	struct fitness *fitness; /* of the first worker: it probes for all */
	struct entropy entropy;
	bool draining;
	_Atomic uint32_t
	    policy_version;           /* for the main thread: the version this worker judges by */
	struct wheel *wheel;          /* deadlines of fetches and connections */
	struct poller *poller;        /* their sockets */
	struct key_fetch *keys;       /* for the keeper */
	struct worker_thread *thread; /* private to worker.c; NULL where a test drives the loop */
};

static inline void worker_touch_clock(struct worker *worker) /* now_ns and wall_ns */
{
	worker->now_ns = clock_mono_ns();
	worker->wall_ns = clock_wall_ns();
}

/* Are there several workloads that ask? Then turns of the loop are short, so that each has its own
 * soon; one alone is served in larger batches, which cost less. */
#define WORKER_COMPANY_MS 100
static inline bool worker_in_company(const struct worker *worker)
{
	return worker->now_ns < worker->company_ns + WORKER_COMPANY_MS * NS_PER_MS;
}

static inline void worker_note_workload(struct worker *worker, uint32_t workload)
{
	if (workload == worker->workload_last)
		return;
	worker->workload_last = workload;
	worker->company_ns = worker->now_ns;
}

/* What a worker begins with. Everything but the descriptors is borrowed and outlives it. */
struct worker_spec {
	unsigned int index;
	struct settings *settings; /* the worker takes references of its own */
	struct cache *cache;
	struct policy_slot *slot;
	struct follow_table *follow;
	struct tally *tally;
	struct amplification *amplification;
	struct upstream_words *upstreams;
	struct stats_lane *lane;
	const struct pinhole_epoch *epoch;
	int ring_fd, ring_back_fd; /* borrowed for the call */
	int pinhole_fd;            /* owned by the worker after success; -1: none */
	int notify_fd; /* an eventfd: written when something that was asked for is done */
};

/* One configuration's worth of sockets for one worker. */
struct worker_listener {
	int fd; /* owned; -1 once taken */
	unsigned int index;
	int proto;
};
struct worker_set {
	struct settings *settings; /* a reference */
	struct cache *cache;       /* borrowed; another one when the zones have changed */
	uint64_t seq;              /* worker_applied() reports it */
	size_t n_listeners;
	struct worker_listener listeners[2 * LIMIT_LISTENERS];
};
void worker_set_free(struct worker_set *set); /* NULL is fine; closes what was not taken */

/* Make the loop and all parts; nothing runs yet. Returns 0, ERR_NOMEM, ERR_DAMAGED or -errno. */
int worker_new(const struct worker_spec *spec, struct worker **ret_worker) MUST_CHECK;
int worker_start(struct worker *worker) MUST_CHECK; /* the thread */

/* From the main thread, any time. The mailbox holds one of each kind: a newer set replaces one that
 * has not been taken yet (it names everything), so it can never be full. */
void worker_give_set(struct worker *worker, struct worker_set *set);
void worker_tell_policy(struct worker *worker);                   /* the slot has a newer image */
void worker_ask_keys(struct worker *worker, const uint8_t *name); /* as key_fetch_start() */
/* Have it explained; there is never more than one (LIMIT_EXPLAINS). Owned by the worker until
 * worker_take_explained() hands it back: NULL, it is not over yet. */
void worker_give_explain(struct worker *worker, struct explain *explain);
struct explain *worker_take_explained(struct worker *worker);
void worker_drain(struct worker *worker); /* finish what is in flight, then end the thread */

/* What the worker has done so far. */
uint64_t worker_applied(const struct worker *worker); /* seq of the newest set in force */
/* The newest answer to worker_ask_keys(), the caller's; or NULL. */
struct key_answer *worker_take_keys(struct worker *worker);
bool worker_ended(const struct worker *worker); /* drained; worker_join() will not wait long */
void worker_join(struct worker *worker);
