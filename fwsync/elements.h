/* fwsync/elements.h - put elements into the kernel's pinhole sets, renew, remove and read them. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"

#include "element.h"
#include "nl.h"

/* How an element gets a new end, whether it exists or not: proved at the start by selftest.h, the
 * first that works is used. None of them loses a packet in between. */
enum renew_way {
	RENEW_EXPIRATION,  /* add with an explicit expiration: Linux 6.12 and newer */
	RENEW_DESTROY_ADD, /* destroy (no error if absent), add: Linux 6.3 */
	RENEW_ADD_DELETE,  /* add, delete, add in one transaction: every kernel */
	RENEW_N
};
const char *renew_way_str(enum renew_way way);

struct element_wish {
	struct ledger_element element;
	uint64_t life_ms;
	struct element_ids ids;
};

/* Each is one transaction: 0 or what nl_commit() says. @n <= LIMIT_PINHOLE_BATCH_ELEMENTS. */
int elements_upsert(struct nl *nl, enum renew_way way, const struct element_wish *wishes,
                    size_t n) MUST_CHECK;
int elements_remove(struct nl *nl, enum renew_way way, const struct ledger_element *elements,
                    size_t n) MUST_CHECK;
/* Into a transaction that has been begun: elements that are not there yet. */
void elements_put_new(struct nl *nl, const struct element_wish *wishes, size_t n);
/* Empty all pinhole sets. */
int elements_flush(struct nl *nl) MUST_CHECK;

/* How long will the kernel keep @element? Returns 0 and the rest of its life, ERR_NOENT (it is not
 * there) or -errno. */
int elements_get(struct nl *nl, const struct ledger_element *element, uint64_t *ret_left_ms);

/* The same on any table and set, for the self-test. */
struct elements_place {
	const char *table, *set;
};
int elements_upsert_at(struct nl *nl, const struct elements_place *place, enum renew_way way,
                       const struct element_wish *wishes, size_t n);
int elements_get_at(struct nl *nl, const struct elements_place *place,
                    const struct ledger_element *element, uint64_t *ret_left_ms);
