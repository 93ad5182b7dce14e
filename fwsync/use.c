/* fwsync/use.c - connections counted by row. */
#include "use.h"

#include <sys/mman.h>

#include "sallyport/err.h"
#include "sallyport/shm.h"

void use_fini(struct use *use)
{
	if (use->rows)
		munmap(use->rows, use->len);
	*use = (struct use){ 0 };
}

int use_ask(struct use *use, int fd, uint64_t number)
{
	struct use next = { .number = number };
	void *data;
	int r = shm_map(fd, SHM_WRITE, sizeof(struct role_use), &data, &next.len);

	if (r < 0)
		return r;
	next.rows = data;
	next.n_rows = next.len / sizeof(*next.rows);
	use_fini(use);
	*use = next;
	return ERR_OK;
}

bool use_waits(const struct use *use)
{
	return use->rows && !use->begun_ns && !use->over;
}

void use_begin(struct use *use, uint64_t now_ns)
{
	use->begun_ns = now_ns;
}

static void add(struct role_use *row, struct use_flow flow)
{
	row->flows++;
	row->unaccounted += !flow.accounted;
	row->packets += flow.packets;
	row->octets += flow.octets;
}

void use_count(struct use *use, const struct book *book,
               const struct ledger_element candidates[static ELEMENT_CANDIDATES],
               struct use_flow flow)
{
	if (!use->begun_ns || use->over) /* asked for anew while the pass ran */
		return;
	for (int i = 0; i < ELEMENT_CANDIDATES; i++)
		for (uint32_t row = book_next(book, &candidates[i], BOOK_NONE); row != BOOK_NONE;
		     row = book_next(book, &candidates[i], row))
			if (row < use->n_rows)
				add(&use->rows[row], flow);
}

void use_end(struct use *use, int err)
{
	if (!use->begun_ns || use->over)
		return;
	use->over = true;
	if (err < 0)
		use->begun_ns = 0;
}

bool use_take(struct use *use, uint64_t *ret_number, uint64_t *ret_begun_ns)
{
	if (!use->over)
		return false;
	*ret_number = use->number;
	*ret_begun_ns = use->begun_ns;
	use_fini(use);
	return true;
}
