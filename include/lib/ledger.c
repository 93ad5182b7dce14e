/* include/lib/ledger.c - make, map and read the ledger; only fwsync writes it. */
#include "sallyport/ledger.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "sallyport/cleanup.h"
#include "sallyport/err.h"
#include "sallyport/shm.h"

/* Tries of one copy before a reader calls it torn: the writer's part takes well under 1 us. */
#define READ_TRIES 64
#define CHUNK ((size_t)65536) /* of memory that is had at once */

static uint32_t quarter(uint32_t n)
{
	return n / 4 > 0 ? n / 4 : 1;
}

size_t ledger_bytes(uint32_t n_rows)
{
	size_t n_reasons = quarter(n_rows), n_more = quarter(quarter(n_rows));

	return sizeof(struct ledger_head) + n_rows * sizeof(struct ledger_row) +
	       n_reasons * sizeof(struct ledger_cell) + n_more * LIMIT_PINHOLE_NAMES;
}

/* Where everything lies follows from the number of rows. */
static void lay_out(struct ledger *ledger, struct ledger_head *head, uint32_t n_rows)
{
	*ledger = (struct ledger){ .head = head, .len = ledger_bytes(n_rows) };
	ledger->rows = (void *)(head + 1);
	ledger->cells = (void *)(ledger->rows + n_rows);
	ledger->more = (void *)(ledger->cells + quarter(n_rows));
}

void ledger_init(struct ledger *ledger, void *memory, uint32_t n_rows)
{
	struct ledger_head *head = memory;

	head->n_rows = n_rows;
	head->n_reasons = quarter(n_rows);
	head->n_more = quarter(quarter(n_rows));
	head->magic = LEDGER_MAGIC;
	lay_out(ledger, head, n_rows);
}

int ledger_create(uint32_t n_rows)
{
	CLEANUP(fd_close) int fd = -1;
	struct ledger ledger;
	void *data;
	size_t len;
	int r;

	if (n_rows == 0)
		return ERR_INVAL;
	fd = shm_create("sallyport-ledger", ledger_bytes(n_rows));
	if (fd < 0)
		return fd_take(&fd);
	r = shm_map(fd, SHM_WRITE, ledger_bytes(n_rows), &data, &len);
	if (r < 0)
		return r;
	ledger_init(&ledger, data, n_rows);
	munmap(data, len);
	return fd_take(&fd);
}

int ledger_head_ok(const struct ledger_head *head, size_t len)
{
	uint32_t n = head->n_rows;

	return head->magic == LEDGER_MAGIC && n > 0 && head->n_reasons == quarter(n) &&
	       head->n_more == quarter(quarter(n)) && ledger_bytes(n) <= len;
}

int ledger_open(struct ledger *ledger, int fd, int writable)
{
	struct ledger l = { .writable = writable }, whole;
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    st.st_size < (off_t)sizeof(struct ledger_head))
		return ERR_DAMAGED;
	l.len = (size_t)st.st_size;
	l.head =
	    mmap(NULL, l.len, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
	if (l.head == MAP_FAILED)
		return -errno;
	l.backed = calloc(l.len / CHUNK + 1, 1);
	if (!l.backed || !ledger_backed(&l, l.head, sizeof(*l.head)) ||
	    !ledger_head_ok(l.head, l.len)) {
		int r = l.backed ? ERR_DAMAGED : ERR_NOMEM;

		ledger_close(&l);
		return r;
	}
	lay_out(&whole, l.head, l.head->n_rows);
	whole.backed = l.backed;
	whole.len = l.len;
	whole.writable = writable;
	*ledger = whole;
	return ERR_OK;
}

void ledger_close(struct ledger *ledger)
{
	if (ledger->head)
		munmap(ledger->head, ledger->len);
	free(ledger->backed);
	*ledger = (struct ledger){ 0 };
}

int ledger_backed(const struct ledger *ledger, const void *at, size_t len)
{
	size_t from = (size_t)((const uint8_t *)at - (const uint8_t *)ledger->head);
	int advice = ledger->writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;

	if (!ledger->backed)
		return 1;
	for (size_t i = from / CHUNK; i <= (from + len - 1) / CHUNK; i++) {
		if (ledger->backed[i])
			continue;
		/* A kernel that does not know the advice (before 5.14) has had all of the file's
		 * pages from the beginning: keeper/ledger_file.c. */
		if (madvise((uint8_t *)ledger->head + i * CHUNK,
		            MIN(CHUNK, ledger->len - i * CHUNK), advice) < 0 &&
		    errno != EINVAL)
			return 0;
		ledger->backed[i] = 1;
	}
	return 1;
}

static int copy_part(struct ledger *to, void *dst, const struct ledger *from, const void *src,
                     size_t len)
{
	if (!ledger_backed(from, src, len) || !ledger_backed(to, dst, len))
		return -ENOSPC;
	memcpy(dst, src, len);
	return ERR_OK;
}

/* A row with what it points to; two rows of one reason copy it twice. */
static int copy_whole_row(struct ledger *to, const struct ledger *from, uint32_t i)
{
	uint32_t n_reasons = quarter(from->head->n_rows), reason;
	const struct ledger_cell *cell;
	int r = copy_part(to, &to->rows[i], from, &from->rows[i], sizeof(*to->rows));

	reason = to->rows[i].reason;
	if (r < 0 || reason >= n_reasons)
		return r;
	cell = &to->cells[reason];
	r = copy_part(to, &to->cells[reason], from, &from->cells[reason], sizeof(*cell));
	if (r < 0 || cell->names_len <= LEDGER_NAMES_NEAR || cell->more >= quarter(n_reasons))
		return r;
	return copy_part(to, to->more[cell->more], from, from->more[cell->more],
	                 LIMIT_PINHOLE_NAMES);
}

int ledger_copy(struct ledger *to, const struct ledger *from)
{
	uint32_t high = ledger_rows(from);
	int r = ERR_OK;

	for (uint32_t i = 0; r == 0 && i < high; i++)
		r = copy_whole_row(to, from, i);
	if (r < 0)
		return r;
	atomic_store(&to->head->rows_used, atomic_load(&from->head->rows_used));
	atomic_store(&to->head->reasons_used, atomic_load(&from->head->reasons_used));
	atomic_store(&to->head->rows_high, high);
	atomic_store(&to->head->complete, atomic_load(&from->head->complete));
	to->head->origin = from->head->origin;
	to->head->proof = from->head->proof;
	return ERR_OK;
}

/* Counts were checked against the memory's size when it was mapped; a writer cannot make the memory
 * smaller, but it could change the counts, so a reader takes them from the layout. */
static uint32_t rows_laid_out(const struct ledger *ledger)
{
	return (uint32_t)(((const uint8_t *)ledger->cells - (const uint8_t *)ledger->rows) /
	                  (ptrdiff_t)sizeof(*ledger->rows));
}

uint32_t ledger_rows(const struct ledger *ledger)
{
	uint32_t high = atomic_load_explicit(&ledger->head->rows_high, memory_order_acquire);

	return MIN(high, rows_laid_out(ledger));
}

/* Call @copy behind a version counter; false when it says no, or the writer was at it every time.
 * The copy races with the writer on purpose: a torn one is thrown away. */
static bool read_locked(const _Atomic uint32_t *version,
                        bool (*copy)(const struct ledger *ledger, uint32_t i, void *ret),
                        const struct ledger *ledger, uint32_t i, void *ret)
{
	for (int n = 0; n < READ_TRIES; n++) {
		uint32_t before = atomic_load_explicit(version, memory_order_acquire);
		bool good;

		if (before & 1)
			continue;
		good = copy(ledger, i, ret);
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(version, memory_order_relaxed) == before)
			return good;
	}
	return false;
}

static bool copy_row(const struct ledger *ledger, uint32_t i, void *ret)
{
	memcpy(ret, (const void *)&ledger->rows[i], sizeof(struct ledger_row));
	return true;
}

static bool copy_reason(const struct ledger *ledger, uint32_t i, void *ret)
{
	uint32_t n_more = quarter(quarter(rows_laid_out(ledger)));
	struct ledger_reason *reason = ret;
	struct ledger_cell cell;

	memcpy(&cell, (const void *)&ledger->cells[i], sizeof(cell));
	reason->rows = cell.rows;
	reason->query_id = cell.query_id;
	reason->since_wall_ns = cell.since_wall_ns;
	reason->policy_version = cell.policy_version;
	reason->rule = cell.rule;
	reason->names_len = cell.names_len;
	reason->names_flags = cell.names_flags;
	memcpy(reason->workload, cell.workload, sizeof(reason->workload));
	reason->workload[LIMIT_WORKLOAD_NAME] = '\0';
	if (cell.names_len <= LEDGER_NAMES_NEAR)
		memcpy(reason->names, cell.names, cell.names_len);
	else if (cell.names_len <= LIMIT_PINHOLE_NAMES && cell.more < n_more &&
	         ledger_backed(ledger, ledger->more[cell.more], LIMIT_PINHOLE_NAMES))
		memcpy(reason->names, ledger->more[cell.more], cell.names_len);
	else
		return false;
	return cell.rows > 0;
}

int ledger_read(const struct ledger *ledger, uint32_t i, struct ledger_row *ret_row,
                struct ledger_reason *ret_reason)
{
	if (i >= ledger_rows(ledger) ||
	    !ledger_backed(ledger, &ledger->rows[i], sizeof(*ledger->rows)) ||
	    !read_locked(&ledger->rows[i].version, copy_row, ledger, i, ret_row))
		return 0;

	uint32_t reason = ret_row->reason;

	return reason < quarter(rows_laid_out(ledger)) &&
	       ledger_backed(ledger, &ledger->cells[reason], sizeof(*ledger->cells)) &&
	       read_locked(&ledger->cells[reason].version, copy_reason, ledger, reason, ret_reason);
}
