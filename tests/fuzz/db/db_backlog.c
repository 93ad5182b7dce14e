/* tests/fuzz/db/db_backlog.c - any octets as the aggregation area.
 *
 * Input: n_entries (2 octets), then the content of half 0 (struct area_state, entries, names). The
 * checksum is made right, so that everything behind it is reached. What was loaded is saved and
 * must load again, the same.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "backlog.h"
#include "db/area.h"
#include "sallyport/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As in backlog.c: magic, generation, len, n_entries, checksum, content. */
static void write_half(uint8_t *half, uint64_t n_entries, const uint8_t *content, uint64_t len)
{
	const uint64_t head[4] = { UINT64_C(0x32414552414c5953), 1, len, n_entries };
	crypto_generichash_state state;

	memcpy(half, head, sizeof(head));
	crypto_generichash_init(&state, NULL, 0, 32);
	crypto_generichash_update(&state, half + 8, 24);
	crypto_generichash_update(&state, content, len);
	crypto_generichash_final(&state, half + 32, 32);
	memcpy(half + 64, content, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t *base;
	static struct agg agg, next;
	size_t bytes = historian_area_bytes(), bad, n;
	struct area area;
	uint16_t n_entries;

	if (size < 2 || size > bytes / 2 - 64)
		return 0;
	if (!base) {
		base =
		    mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (base == MAP_FAILED || sodium_init() < 0 || agg_init(&agg) < 0 ||
		    agg_init(&next) < 0)
			abort();
	}
	memcpy(&n_entries, data, 2);
	write_half(base, n_entries, data + 2, size - 2);
	memset(base + bytes / 2, 0, 64);
	if (area_init(&area, base, bytes) < 0)
		abort();
	agg_clear(&agg);
	agg_clear(&next);
	if (area_load(&area, &agg, &next, &bad) == 0) {
		n = agg.n + next.n;
		area_save(&area, &agg, &next, area.state.batch);
		agg_clear(&agg);
		agg_clear(&next);
		if (area_load(&area, &agg, &next, &bad) < 0 || agg.n + next.n != n || bad != 0)
			abort();
	}
	return 0;
}
