/* keeper/use.h - how much pinholes are used: fwsync counts the connections when somebody asks.
 *
 * One question is on its way at a time. Who asks meanwhile shares the next one with all others, so
 * that what is told was counted after it was asked. The newest numbers are kept as long as somebody
 * reads them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/role.h"

struct keeper;

struct use_waiter {
	/* From the loop, once; @known false: it could not be counted, or not in time. */
	void (*counted)(struct use_waiter *waiter, bool known);
	struct use_waiter *next;
	uint64_t number, deadline_ns;
};

struct use_memory {                  /* a row each of the ledger, written by fwsync */
	const struct role_use *rows; /* NULL: none */
	size_t n_rows, len;
};
struct use {
	struct use_memory now;
	uint64_t now_ns;         /* when its counting began */
	struct use_memory asked; /* of the question on its way */
	uint64_t asked_ns, number;
	struct use_waiter *waiters;
	size_t n_readers; /* waiters, too */
};

/* @waiter reads: after counted() unless it returns false, then at once and without knowing. In any
 * case use_leave() ends it; then counted() comes no more. */
bool use_wait(struct keeper *keeper, struct use_waiter *waiter);
void use_leave(struct keeper *keeper, struct use_waiter *waiter);
/* Row @row of the ledger, which was opened then. False: not known. */
bool use_read(const struct use *use, uint32_t row, uint64_t opened_ns, struct role_use *ret_use);
void use_counted(struct keeper *keeper, const struct role_msg *msg); /* ROLE_MSG_USED */
void use_lost(struct keeper *keeper);                                /* fwsync has died */
void use_pulse(struct keeper *keeper, uint64_t now_ns);              /* who waits too long */
void use_fini(struct use *use);
