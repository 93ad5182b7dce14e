/* include/lib/ledger.c - make, map and read the ledger; only fwsync writes it. */
#include "sallyport/ledger.h"

#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "sallyport/cleanup.h"
#include "sallyport/err.h"
#include "sallyport/shm.h"

/* Tries of one copy before a reader calls it torn: the writer's part takes well under 1 us. */
#define READ_TRIES 64

static size_t ledger_len(uint32_t n_rows, uint32_t n_reasons)
{
	return sizeof(struct ledger_head) + (size_t)n_rows * sizeof(struct ledger_row) +
	       (size_t)n_reasons * sizeof(struct ledger_reason);
}

int ledger_create(uint32_t n_rows)
{
	uint32_t n_reasons = n_rows / 4 > 0 ? n_rows / 4 : 1;
	CLEANUP(fd_close) int fd = -1;
	void *data;
	size_t len;
	int r;

	if (n_rows == 0)
		return ERR_INVAL;
	fd = shm_create("sallyport-ledger", ledger_len(n_rows, n_reasons));
	if (fd < 0)
		return fd_take(&fd);
	r = shm_map(fd, SHM_WRITE, ledger_len(n_rows, n_reasons), &data, &len);
	if (r < 0)
		return r;

	struct ledger_head *head = data;
	struct ledger_row *rows = (void *)(head + 1);

	head->n_rows = n_rows;
	head->n_reasons = n_reasons;
	for (uint32_t i = 0; i < n_rows; i++)
		rows[i].reason = UINT32_MAX;
	head->magic = LEDGER_MAGIC;
	munmap(data, len);
	return fd_take(&fd);
}

int ledger_open(struct ledger *ledger, int fd, int writable)
{
	struct ledger_head *head;
	void *data;
	size_t len;
	int r;

	r = shm_map(fd, writable ? SHM_WRITE : SHM_READ, sizeof(*head), &data, &len);
	if (r < 0)
		return r;
	head = data;
	if (head->magic != LEDGER_MAGIC || head->n_rows == 0 ||
	    head->n_reasons != (head->n_rows / 4 > 0 ? head->n_rows / 4 : 1) ||
	    ledger_len(head->n_rows, head->n_reasons) > len) {
		munmap(data, len);
		return ERR_DAMAGED;
	}
	ledger->head = head;
	ledger->rows = (void *)(head + 1);
	ledger->reasons = (void *)(ledger->rows + head->n_rows);
	return ERR_OK;
}

/* Copy @len octets behind a version counter; false when the writer was at it every time. The copy
 * races with the writer on purpose: a torn one is thrown away. */
static bool read_locked(const _Atomic uint32_t *version, void *ret, size_t len)
{
	for (int i = 0; i < READ_TRIES; i++) {
		uint32_t before = atomic_load_explicit(version, memory_order_acquire);

		if (before & 1)
			continue;
		memcpy(ret, (const void *)version, len);
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(version, memory_order_relaxed) == before)
			return true;
	}
	return false;
}

int ledger_read(const struct ledger *ledger, uint32_t i, struct ledger_row *ret_row,
                struct ledger_reason *ret_reason)
{
	/* Counts were checked against the memory's size when it was mapped; a writer cannot make
	 * the memory smaller, but it could change the counts, so they are never read twice. */
	const struct ledger_row *rows = ledger->rows;
	uint32_t n_rows = (uint32_t)(((const uint8_t *)ledger->reasons - (const uint8_t *)rows) /
	                             (ptrdiff_t)sizeof(*rows));

	if (i >= n_rows || !read_locked(&rows[i].version, ret_row, sizeof(*ret_row)))
		return 0;

	uint32_t reason = ret_row->reason;

	/* ledger_create() makes a quarter as many reasons as rows; see ledger_open(). */
	if (reason == UINT32_MAX || reason >= (n_rows / 4 > 0 ? n_rows / 4 : 1) ||
	    !read_locked(&ledger->reasons[reason].version, ret_reason, sizeof(*ret_reason)))
		return 0;
	if (ret_reason->rows == 0 || ret_reason->names_len > LIMIT_PINHOLE_NAMES)
		return 0;
	ret_reason->workload[LIMIT_WORKLOAD_NAME] = '\0';
	return 1;
}
