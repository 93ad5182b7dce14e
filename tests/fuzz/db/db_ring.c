/* tests/fuzz/db/db_ring.c - a producer that writes anything into its ring.
 *
 * Input: 8 octets head (host order), 1 octet: first slot to be filled, then the slots' content.
 * Every record that comes out is checked and folded as the historian does.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "agg.h"
#include "sallyport/err.h"
#include "sallyport/ring.h"

#define SLOTS 1024

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(struct agg *agg, const void *record, size_t len)
{
	const struct record *head = record;

	if (head->type == RECORD_QUERY && agg_query_check(record, len)) {
		/* Day 0 takes every time that lies in it; a full table is shrunk. */
		if (agg_put(agg, record, 0,
		            ((const struct record_query *)record)->time_ns % DAY_US) < 0 &&
		    !agg_shrink(agg))
			abort();
	} else if (head->type == RECORD_ANSWER && agg_answer_check(record, len)) {
		agg_put_answer(agg, record);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ring_head head;
	static struct ring_back back;
	static uint8_t slots[SLOTS * RING_SLOT];
	static _Alignas(8) uint8_t record[LIMIT_RECORD_BYTES];
	static struct agg agg;
	struct ring_consumer ring = { &head, slots, &back, SLOTS, 1 };
	uint64_t at = 0, pos = 0;
	size_t first;

	if (size < 9)
		return 0;
	if (!agg.entries && (sodium_init() < 0 || agg_init(&agg) < 0))
		abort();
	memcpy(&at, data, 8);
	first = (size_t)data[8] * 4 * RING_SLOT;
	memset(slots, 0, sizeof(slots));
	memcpy(slots + first, data + 9, MIN(size - 9, sizeof(slots) - first));
	atomic_store(&head.head, at);

	/* Each step moves on by a slot at least, or ends. */
	for (unsigned int i = 0; i <= SLOTS; i++) {
		uint64_t before = pos;
		int len = ring_get(&ring, &pos, record, sizeof(record));

		if (len > 0)
			take(&agg, record, (size_t)len);
		if (len <= 0)
			break;
		if (pos <= before || pos > at || i == SLOTS)
			abort();
	}
	agg_clear(&agg);
	return 0;
}
