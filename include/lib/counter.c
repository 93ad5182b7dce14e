/* include/lib/counter.c - the shared page of counters. */
#include "sallyport/counter.h"

#include <string.h>
#include <sys/mman.h>

#include "sallyport/err.h"
#include "sallyport/shm.h"

#define COUNTER_TEXT_(sym, text, what) [COUNT_##sym] = text,
static const char *const texts[COUNT_N] = { COUNTERS(COUNTER_TEXT_) };

const char *counter_str(enum counter counter)
{
	return counter < COUNT_N ? texts[counter] : "?";
}

int stats_create(void)
{
	CLEANUP(fd_close) int fd = shm_create("sallyport-stats", sizeof(struct stats_page));
	void *data;
	size_t len;
	int r;

	if (fd < 0)
		return fd_take(&fd);
	r = shm_map(fd, SHM_WRITE, sizeof(struct stats_page), &data, &len);
	if (r < 0)
		return r;
	((struct stats_page *)data)->magic = STATS_MAGIC;
	munmap(data, len);
	return fd_take(&fd);
}

int stats_map(int fd, int writable, struct stats_page **ret_page)
{
	void *data;
	size_t len;
	int r =
	    shm_map(fd, writable ? SHM_WRITE : SHM_READ, sizeof(struct stats_page), &data, &len);

	if (r < 0)
		return r;
	if (((struct stats_page *)data)->magic != STATS_MAGIC) {
		munmap(data, len);
		return ERR_DAMAGED;
	}
	*ret_page = data;
	return ERR_OK;
}

uint64_t stats_sum(const struct stats_page *page, enum counter counter)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < STATS_LANES; i++)
		sum += atomic_load_explicit(&page->lanes[i].counts[counter], memory_order_relaxed);
	return sum;
}
