/* fwsync/firewall_restore.c - the table as it is wanted, with its pinholes, whatever is there. */
#include "firewall_core.h"

#include <errno.h>
#include <inttypes.h>

#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/log.h"

#define TAG "firewall"

/* With the table; not as many as fit, so that what is missing is closed a few ms sooner. */
#define RESTORE_FIRST ((size_t)1024)
#define RESTORE_TRIES 3 /* a turn of the loop */
#define RESTORE_TURNS 100
#define RANGES_A_MS 4u /* of an interval set, at least; ten times as many on an idle machine */

void firewall_beat_ahead(const struct firewall *fw, const struct table_guarded *a,
                         const struct table_guarded *b)
{
	uint64_t n = a->guarded.n + a->observed.n + (b ? b->guarded.n + b->observed.n : 0);
	uint64_t ms = MIN(n / RANGES_A_MS, (uint64_t)LIMIT_ROLE_BUSY_MS);

	if (fw->lane && ms > 0)
		atomic_store_explicit(&fw->lane->heartbeat_ns, clock_mono_ns() + ms * NS_PER_MS,
		                      memory_order_relaxed);
}

void firewall_beat(const struct firewall *fw)
{
	if (fw->lane)
		atomic_store_explicit(&fw->lane->heartbeat_ns, clock_mono_ns(),
		                      memory_order_relaxed);
}

bool firewall_whom_is_unknown(const struct firewall *fw, const struct guard *guard)
{
	return fw->conf.n_prefixes == 0 && fw->conf.n_interfaces == 0 && guard_version(guard) == 0;
}

struct table_want firewall_wanted(const struct firewall *fw)
{
	return (struct table_want){ .conf = &fw->conf,
		                    .guarded = &fw->guarded,
		                    .flags = fw->table_flags };
}

int firewall_adopt(struct firewall *fw)
{
	bool keep = firewall_whom_is_unknown(fw, &fw->guard) && fw->guarded.guarded.n == 0;
	struct table_want want = firewall_wanted(fw);
	int r;

	if (keep)
		want.guarded = NULL;
	r = table_install(&fw->nl, &want, TABLE_ADOPT);
	if (r == 0)
		fw->guarded_kept = keep;
	return r;
}

uint64_t firewall_wanted_until(const struct firewall *fw, const struct ledger_element *element)
{
	uint32_t version = guard_version(&fw->guard);

	if (!fw->held_back)
		return book_wanted_until(fw->book, element);
	return version > 0 ? book_wanted_by(fw->book, element, version) : 0;
}

/* The same, if it is @row that says so: of several rows of one element one speaks, for a
 * transaction must name an element once (RENEW_ADD_DELETE). */
static uint64_t put_back_until(const struct firewall *fw, uint32_t i, const struct ledger_row *row)
{
	uint32_t version = guard_version(&fw->guard);

	if (fw->held_back && version == 0)
		return 0;
	return book_speaks(fw->book, i, fw->held_back ? version : 0) ? row->expires_ns : 0;
}

/* The next @max elements of open rows, from row @next on, for the rest of their lives. */
static size_t gather(struct firewall *fw, uint32_t *next, size_t max)
{
	uint64_t now_ns = clock_mono_ns();
	size_t n = 0;

	for (; *next < book_size(fw->book) && n < max; (*next)++) {
		const struct ledger_row *row;
		uint64_t until_ns;

		if (book_state(fw->book, *next) != BOOK_LIVE || !book_row(fw->book, *next, &row))
			continue;
		until_ns = put_back_until(fw, *next, row);
		if (until_ns > now_ns)
			fw->wishes[n++] =
			    (struct element_wish){ row->element,
				                   (until_ns - now_ns) / NS_PER_MS + 1,
				                   book_ids(fw->book, *next) };
	}
	return n;
}

/* The elements of rows from @next on into the kernel, many at a time; *ret_n grows by them. */
static int put_back(struct firewall *fw, uint32_t next, uint64_t *ret_n)
{
	int r = 0;

	while (r == 0) {
		size_t n = gather(fw, &next, FIREWALL_WISHES);

		if (n == 0)
			break;
		r = elements_upsert(&fw->nl, fw->way, fw->wishes, n);
		*ret_n += n;
		firewall_beat(fw);
	}
	return r;
}

int firewall_put_back_all(struct firewall *fw, uint64_t *ret_n)
{
	*ret_n = 0;
	return put_back(fw, 0, ret_n);
}

/* A new table with the first of the open pinholes in its transaction, for until that is through the
 * old one filters, or none; the rest follow. */
int firewall_rebuild(struct firewall *fw, enum table_way way, uint64_t *ret_n)
{
	struct table_want want = firewall_wanted(fw);
	uint32_t next = 0;
	int r;

	firewall_beat_ahead(fw, &fw->guarded, way == TABLE_BUILD ? NULL : &fw->guarded);
	want.pinholes = fw->wishes;
	want.n_pinholes = gather(fw, &next, RESTORE_FIRST);
	r = table_install(&fw->nl, &want, way);
	if (r < 0)
		return r;
	fw->guarded_kept = false;
	book_set_complete(fw->book);
	*ret_n = want.n_pinholes;
	return put_back(fw, next, ret_n);
}

/* Only the table knows whom to filter: as long as it is there, it stays. */
static int restore_kept(struct firewall *fw, uint64_t *ret_n)
{
	uint32_t flags;
	int r = table_probe(&fw->nl, fw->conf.set_size, &flags);

	if (r < 0)
		return r;
	if (r != TABLE_OURS)
		return firewall_rebuild(fw, r == TABLE_ABSENT ? TABLE_BUILD : TABLE_REBUILD, ret_n);
	r = firewall_adopt(fw);
	if (r == 0)
		r = elements_flush(&fw->nl);
	if (r < 0)
		return r;
	book_set_complete(fw->book);
	return firewall_put_back_all(fw, ret_n);
}

static int restore_once(struct firewall *fw, uint64_t *ret_n)
{
	int r;

	if (fw->guarded_kept)
		return restore_kept(fw, ret_n);
	r = firewall_rebuild(fw, TABLE_RENEW, ret_n);
	/* A stranger's with other flags cannot be renewed, but replaced. */
	if (r < 0 && r != -EPERM && r != -ENOENT)
		r = firewall_rebuild(fw, TABLE_REBUILD, ret_n);
	return r;
}

int firewall_restore(struct firewall *fw)
{
	uint64_t n = 0, begin_ns = clock_mono_ns();
	int r = -EAGAIN;

	firewall_raise_epoch(fw);
	fw->table_lost = true;
	for (int try = 0; try < RESTORE_TRIES && r < 0; try++)
		r = restore_once(fw, &n);
	firewall_beat(fw);
	count(fw->lane, COUNT_FW_LOST);
	count(fw->lane, COUNT_FW_TABLE_LOST);
	if (r == -ENOENT && ++fw->restores_failed < RESTORE_TURNS)
		return ERR_OK; /* it was taken again meanwhile: at the next turn */
	if (r < 0) {
		log_error(TAG, "the table is lost and cannot be put back: %s", err_str(r));
		return r;
	}
	fw->restores_failed = 0;
	fw->table_lost = false;
	fw->want_cut = true; /* what passed meanwhile */
	fw->verifying = false;
	log_warning(TAG,
	            "somebody changed the table: put back with %" PRIu64 " pinholes in %" PRIu64
	            " ms, epoch %" PRIu64,
	            n, (clock_mono_ns() - begin_ns) / NS_PER_MS, firewall_epoch(fw));
	return ERR_OK;
}
