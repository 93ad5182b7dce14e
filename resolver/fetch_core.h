/* resolver/fetch_core.h - what fetch.c (one question and its tries) and fetches.c (all of a
 * worker's, and who waits for them) share. Nobody else includes this.
 */
#pragma once

#include <sodium.h>

#include "exchange.h"
#include "fetch.h"
#include "sallyport/limits.h"
#include "wheel.h"
#include "worker.h"

#define FETCH_BUCKETS 4096

struct fetch {
	struct fetch *hash_next, **hash_link; /* while ASKING */
	struct fetch *ended_next;
	struct worker *worker;
	struct fetch_waiter *waiters;
	struct wheel_item timer;
	uint64_t deadline_ns;
	uint64_t hash;
	uint16_t type, zone;
	uint8_t round;           /* enum fetch_round */
	uint8_t avoid[ADDR_LEN]; /* of a later round: who gave the bogus answer */
	uint16_t avoid_port;
	uint16_t rcode; /* of the first server that said no; SERVFAIL otherwise */
	uint8_t name_len;
	uint8_t name[NAME_MAX_WIRE];
	uint8_t n_servers, n_tries;
	uint8_t n_udp; /* of the tries */
	uint8_t n_starved;
	bool ended;
	bool rcode_given; /* some server said no */
	bool starved;     /* a limit of ours keeps it from asking: it waits for room */
	bool oversize;    /* an answer held more than is taken */
	enum fetch_status status;
	struct {
		struct server *server; /* referenced */
		uint8_t n_asked;
		uint8_t n_broken;
		bool blamed;  /* this question has counted against it */
		bool refused; /* it has given its no */
		bool unfit;   /* it gives no signatures */
		bool tcp;     /* no more by UDP for this question */
		bool alone;   /* the next connection is not shared: the last one was lost or held
		                 up, perhaps by a neighbour's question */
	} servers[LIMIT_ZONE_SERVERS];
	struct exchange exchanges[LIMIT_UPSTREAM_TRIES];
	size_t n_entries;
	struct entry *entries[LIMIT_CHAIN];
};

struct fetches {
	struct worker *worker;
	size_t n;
	struct fetch *ended, **ended_tail;
	struct fetch_waiter *denied; /* to be told FETCH_DENIED */
	uv_timer_t again;            /* something ended while waiters were being told */
	uint8_t key[crypto_shorthash_KEYBYTES];
	struct fetch *buckets[FETCH_BUCKETS];
};

/* Promise P2, at the moment of sending: who says no leaves, and without a yes nothing is sent. */
bool fetch_may_send(struct fetch *fetch);
/* The only way out of ASKING. Its exchanges are stopped; waiters are told by fetches_turn(). */
void fetch_end(struct fetch *fetch, enum fetch_status status);

/* Ask the servers of its zone, or, without one, fail. */
void fetch_start(struct fetch *fetch);
/* Stop asking, and let go of the servers. */
void fetch_stop(struct fetch *fetch);
/* The zone that a question for @name, of its type, belongs to now. */
uint16_t fetch_zone_of(const struct fetch *fetch, const uint8_t *name);
void fetch_on_timer(struct wheel_item *item);
