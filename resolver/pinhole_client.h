/* resolver/pinhole_client.h - have fwsync open what answers need, and wait for its word.
 *
 *   NEW --pinhole_ask()--> QUEUED --batch leaves--> SENT --confirmed----------> OPEN
 *                             '---------------------- '----refused, too late--> FAILED
 *
 * Requests of one loop turn leave as one batch; while a batch is in flight the next ones gather, a
 * queue for each workload, and leave in turns: one that needs thousands does not keep the others.
 * An answer leaves in OPEN only (promise P1). A confirmation that comes after its deadline finds
 * nobody and is counted.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "fair_queue.h"
#include "sallyport/cleanup.h"
#include "sallyport/pinhole.h"

/* Requests of one batch, which is what a newcomer waits for. More would hardly be cheaper: the
 * kernel's work grows with the elements, and the rest is shared by 8 already. */
#define PINHOLE_CLIENT_BATCH 8

struct worker;
struct pinhole_client;

struct pinhole_ask { /* in the caller's memory until done or pinhole_cancel() */
	/* Called once, from the loop, never from pinhole_ask(). @status PINHOLE_LATE also stands
	 * for "no word in time". */
	void (*done)(struct pinhole_ask *ask, enum pinhole_status status, uint32_t detail,
	             uint64_t epoch);
	struct pinhole_view view;       /* what to open; borrowed arrays live until done */
	struct pinhole_request request; /* view.request points here */
	struct fair_item turn;          /* private from here on */
	uint64_t deadline_ns;
	uint64_t seq;
	uint16_t slot;
	uint8_t state;
};

/* NULL: out of memory, or the loop would not take the handles. */
struct pinhole_client *pinhole_client_new(struct worker *worker);
/* The memory goes when the loop has closed the handles: run the loop once more. NULL is fine. */
void pinhole_client_free(struct pinhole_client *client);
/* Queue one request; its deadline is now + ack_timeout. Returns 0, ERR_LIMIT (LIMIT_PINHOLE_OPS or
 * too many queued) or ERR_CLOSED (the worker has no client: nobody to ask). */
int pinhole_ask(struct worker *worker, struct pinhole_ask *ask) MUST_CHECK;
void pinhole_cancel(struct worker *worker, struct pinhole_ask *ask);

/* At the end of a turn: its requests leave as a batch, if none is in flight. */
void pinhole_client_send(struct worker *worker);
/* What the loop's handles call; tests call them with a clock of their own. */
void pinhole_client_tick(struct worker *worker); /* end what is past its deadline */
/* One message from fwsync, 8-aligned. Whatever breaks the format is ignored: its batch times out.
 */
void pinhole_client_result(struct worker *worker, const void *msg, size_t len);
