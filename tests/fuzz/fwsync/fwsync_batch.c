/* A worker's message, whatever it says: read, judged, planned, with a kernel that takes everything.
 * What is open afterwards must be what the guard table permits. */
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/clock.h"

#include "../../unit/fwsync/book_maker.h"
#include "../../unit/fwsync/guard_maker.h"
#include "batch.h"
#include "destination.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct guard_image *permitted;

static int upsert(struct kernel *kernel, const struct element_wish *wishes, size_t n)
{
	(void)kernel;
	for (size_t i = 0; i < n; i++) {
		const struct ledger_element *e = &wishes[i].element;
		bool ours = false;

		for (size_t s = 0; s < ARRAY_LEN(permitted->sources); s++) {
			struct prefix p = { .len = permitted->sources[s].len };

			memcpy(p.addr, permitted->sources[s].addr, ADDR_LEN);
			ours |= prefix_has(&p, e->src);
		}
		if (!ours || destination_of(e->dst) == DESTINATION_NEVER ||
		    addr_is_v4(e->src) != addr_is_v4(e->dst) ||
		    wishes[i].life_ms > 100000u * 1000u + BATCH_SLACK_MS + 1)
			abort();
	}
	return n <= LIMIT_PINHOLE_BATCH_ELEMENTS ? 0 : (abort(), -1);
}

static int remove_elements(struct kernel *kernel, const struct ledger_element *elements, size_t n)
{
	(void)kernel, (void)elements, (void)n;
	return 0;
}

static int restore(struct kernel *kernel)
{
	(void)kernel;
	return 0;
}

static uint64_t now_ns(struct kernel *kernel)
{
	(void)kernel;
	return 1000 * NS_PER_S;
}

static void pause_ms(struct kernel *kernel, unsigned int ms)
{
	(void)kernel, (void)ms;
}

static uint64_t epoch(struct kernel *kernel)
{
	(void)kernel;
	return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pinhole_view views[LIMIT_PINHOLE_REQUESTS];
	static struct pinhole_result results[LIMIT_PINHOLE_REQUESTS];
	struct kernel kernel = {
		upsert, remove_elements, restore, now_ns, now_ns, pause_ms, epoch
	};
	static struct guard_image image;
	struct guard guard = { .table = &image.head };
	static struct stats_lane lane;
	struct ledger ledger;
	struct book *book;
	struct batch *batch;
	uint32_t dropped;
	uint16_t n;
	void *msg, *memory;

	if (size > LIMIT_PINHOLE_MESSAGE || sodium_init() < 0)
		return 0;
	msg = malloc(size ? size : 1); /* aligned, and of exactly that size */
	if (!msg)
		return 0;
	memcpy(msg, data, size);
	if (pinhole_batch_read(msg, size, views, &n) == 0) {
		guard_image_make(&image, 5);
		permitted = &image;
		memory = ledger_memory(&ledger, 4096);
		if (book_new(&book, &ledger, now_ns(NULL), &dropped) < 0)
			abort();
		batch = batch_new(book, &guard, &kernel, &lane);
		if (!batch)
			abort();
		for (int twice = 0; twice < 2; twice++) {
			batch_put(batch, views, n, now_ns(NULL), results);
			batch_finish(batch);
		}
		for (unsigned int i = 0; i < n; i++)
			if (results[i].status > PINHOLE_MALFORMED ||
			    (results[i].status == PINHOLE_OPEN && results[i].epoch != 1))
				abort();
		/* Time passes; nothing may be left. */
		for (uint64_t s = 0; s < 110000; s += 60)
			book_tick(book, now_ns(NULL) + s * NS_PER_S);
		batch_free(batch);
		book_free(book);
		free(memory);
	}
	free(msg);
	return 0;
}
