/* fwsync/ranges.c - sort and merge. */
#include "ranges.h"

#include <stdlib.h>
#include <string.h>

#include "sallyport/err.h"

static const uint8_t v4_first[ADDR_LEN] = { [10] = 0xff, [11] = 0xff };
static const uint8_t v4_last[ADDR_LEN] = { [10] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

void ranges_fini(struct ranges *ranges)
{
	free(ranges->items);
	*ranges = (struct ranges){ 0 };
}

static int grow(struct ranges *ranges, size_t more)
{
	size_t cap = ranges->n + more;
	struct range *items;

	if (cap <= ranges->cap)
		return ERR_OK;
	items = realloc(ranges->items, cap * sizeof(*items));
	if (!items)
		return ERR_NOMEM;
	ranges->items = items;
	ranges->cap = cap;
	return ERR_OK;
}

int ranges_add(struct ranges *ranges, const struct guard_prefix *prefixes, size_t n)
{
	if (grow(ranges, n) < 0)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		struct range *range = &ranges->items[ranges->n++];
		unsigned int len = MIN(prefixes[i].len, 128);

		for (unsigned int byte = 0; byte < ADDR_LEN; byte++) {
			unsigned int bits = len > byte * 8 ? MIN(len - byte * 8, 8u) : 0;
			uint8_t mask = (uint8_t)(0xff00 >> bits);

			range->first[byte] = prefixes[i].addr[byte] & mask;
			range->last[byte] = prefixes[i].addr[byte] | (uint8_t)~mask;
		}
	}
	return ERR_OK;
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct range));
}

/* @next follows @addr directly. */
static bool follows(const uint8_t addr[static ADDR_LEN], const uint8_t next[static ADDR_LEN])
{
	uint8_t plus[ADDR_LEN];

	memcpy(plus, addr, ADDR_LEN);
	for (int i = ADDR_LEN - 1; i >= 0; i--)
		if (++plus[i] != 0)
			return memcmp(plus, next, ADDR_LEN) == 0;
	return false;
}

static void step(uint8_t addr[static ADDR_LEN], int by)
{
	for (int i = ADDR_LEN - 1; i >= 0; i--) {
		addr[i] = (uint8_t)(addr[i] + by);
		if (addr[i] != (by > 0 ? 0x00 : 0xff))
			break;
	}
}

/* Ranges that reach across the IPv4 block ("::/0") become up to three. */
static int cut_families(struct ranges *ranges)
{
	size_t n = ranges->n;

	if (grow(ranges, 2 * n) < 0)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		struct range *range = &ranges->items[i];

		if (memcmp(range->first, v4_first, ADDR_LEN) < 0 &&
		    memcmp(range->last, v4_first, ADDR_LEN) >= 0) {
			struct range *upper = &ranges->items[ranges->n++];

			memcpy(upper->last, range->last, ADDR_LEN);
			memcpy(upper->first, v4_first, ADDR_LEN);
			memcpy(range->last, v4_first, ADDR_LEN);
			step(range->last, -1);
		}
	}
	n = ranges->n;
	for (size_t i = 0; i < n; i++) {
		struct range *range = &ranges->items[i];

		if (memcmp(range->first, v4_last, ADDR_LEN) <= 0 &&
		    memcmp(range->last, v4_last, ADDR_LEN) > 0) {
			struct range *upper;

			if (grow(ranges, 1) < 0)
				return ERR_NOMEM;
			range = &ranges->items[i];
			upper = &ranges->items[ranges->n++];
			memcpy(upper->last, range->last, ADDR_LEN);
			memcpy(upper->first, v4_last, ADDR_LEN);
			step(upper->first, 1);
			memcpy(range->last, v4_last, ADDR_LEN);
		}
	}
	return ERR_OK;
}

int ranges_settle(struct ranges *ranges)
{
	size_t out = 0;
	int r;

	if (ranges->n == 0)
		return ERR_OK;
	r = cut_families(ranges);
	if (r < 0)
		return r;
	qsort(ranges->items, ranges->n, sizeof(*ranges->items), compare);
	for (size_t i = 1; i < ranges->n; i++) {
		struct range *last = &ranges->items[out];
		const struct range *next = &ranges->items[i];
		bool same_family = addr_is_v4(last->first) == addr_is_v4(next->first);

		if (same_family && (memcmp(next->first, last->last, ADDR_LEN) <= 0 ||
		                    follows(last->last, next->first))) {
			if (memcmp(next->last, last->last, ADDR_LEN) > 0)
				memcpy(last->last, next->last, ADDR_LEN);
		} else {
			ranges->items[++out] = *next;
		}
	}
	ranges->n = out + 1;
	return ERR_OK;
}

bool ranges_equal(const struct ranges *a, const struct ranges *b)
{
	return a->n == b->n &&
	       (a->n == 0 || memcmp(a->items, b->items, a->n * sizeof(*a->items)) == 0);
}
