/* resolver/worker.h - one worker thread: its libuv loop and everything that only it touches.
 *
 * Shared with other workers, and nothing else: the policy slot, the answer cache, the follow table,
 * the immutable configuration. The main thread speaks to a worker through its mailbox
 * (uv_async_send); the worker speaks back through atomics that the main thread reads.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "cache.h"
#include "memo.h"
#include "policy_slot.h"
#include "sallyport/counter.h"
#include "sallyport/pinhole.h"
#include "sallyport/ring.h"
#include "sallyport/role.h"
#include "zones.h"

struct held;
struct pinhole_client;
struct fetches;
struct queries;
struct listeners;
struct follow_table;
struct servers;

/* Configuration and what derives from it; immutable, reference-counted, swapped at END. */
struct settings {
	_Atomic uint32_t refs;
	struct resolver_conf conf;
	struct zones *zones;
};
void settings_unref(struct settings *settings);

struct worker {
	uv_loop_t loop;
	unsigned int index;           /* 0.. */
	struct settings *settings;    /* this worker's reference */
	struct policy_slot *slot;     /* shared */
	struct policy_map *policy;    /* in force in this worker; NULL: none yet (everything REFUSED) */
	struct cache *cache;          /* shared */
	struct follow_table *follow;  /* shared */
	struct stats_lane *lane;      /* this worker's counters (lane index + 1) */
	struct ring_producer ring;    /* history */
	const struct pinhole_epoch *epoch; /* read-only page; NULL when firewall.mode is none */
	int pinhole_fd;               /* SOCK_SEQPACKET to fwsync; -1 when firewall.mode is none */
	uint64_t now_ns;              /* CLOCK_MONOTONIC, read once a loop turn or batch */
	uint64_t wall_ns;             /* CLOCK_REALTIME, the same */
	uint64_t next_query_id;       /* step LIMIT_WORKERS */
	struct memo *memo;
	struct held *held;
	struct pinhole_client *pinholes;
	struct fetches *fetches;
	struct queries *queries;
	struct listeners *listeners;
	struct servers *servers;      /* upstream state: RTT, back-off */
	bool draining;
	_Atomic uint32_t policy_version; /* for the main thread: the version this worker judges by */
};

void worker_touch_clock(struct worker *worker); /* now_ns and wall_ns */
