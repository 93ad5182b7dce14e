/* keeper/tell.h - a running resolver is told what has changed, and callers wait until all of it is
 * in force.
 *
 * Each configuration that is handed down has a number, which the resolver tells back when every
 * worker goes by it. One is on its way at a time: what changes meanwhile goes with the next.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "sallyport/cleanup.h"

struct keeper;
struct server_client;

#define TELL_WAITERS 16
#define TELL_WAIT_MS 5000 /* for a resolver that does not say that it has changed */

struct tell_waiter {
	struct server_client *client; /* NULL: free, or it went away */
	json_t *answer;
	uint64_t number, deadline_ns;
};
struct tell {
	uint64_t told, applied; /* numbers: handed down last, in force */
	uint64_t told_ns;
	bool due; /* something has changed since */
	struct tell_waiter waiters[TELL_WAITERS];
};

/* From hand_down.c: the number of the configuration that is handed down now. */
uint64_t tell_next(struct keeper *keeper);
/* Something that the resolver is told has changed. */
void tell_resolver(struct keeper *keeper);
/* Answer @client when it is in force; @answer is consumed. */
void tell_wait_give(struct keeper *keeper, struct server_client *client, json_t *answer);
void tell_applied(struct keeper *keeper, uint64_t number); /* ROLE_MSG_CONFIGURED */
void tell_pulse(struct keeper *keeper, uint64_t now_ns);
void tell_fini(struct keeper *keeper);
