/* fwsync/firewall_verify.c - what strangers changed is put right, and every element looked at. */
#include "firewall_core.h"

#include <errno.h>
#include <inttypes.h>

#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/log.h"

#include "batch.h"

#define TAG "firewall"

#define VERIFY_A_TICK 512u        /* questions to the kernel, a few us each */
#define VERIFY_ROWS_A_TICK 65536u /* rows looked at */

/* Whatever the kernel has of @element, as the book wants it. */
static int put_right(struct firewall *fw, const struct ledger_element *element)
{
	uint64_t now_ns = clock_mono_ns(), until_ns = firewall_wanted_until(fw, element);
	struct element_wish wish = { .element = *element };

	if (until_ns <= now_ns)
		return elements_remove(&fw->nl, fw->way, element, 1);
	wish.life_ms = (until_ns - now_ns) / NS_PER_MS + 1;
	wish.ids = book_element_ids(fw->book, element);
	return elements_upsert(&fw->nl, fw->way, &wish, 1);
}

/* Strangers' changes. */

static int reconcile(struct firewall *fw, const struct ledger_element *elements, size_t n)
{
	int r = 0;

	firewall_raise_epoch(fw); /* nothing counts as held until it is put right */
	for (size_t i = 0; r == 0 && i < n; i++)
		r = put_right(fw, &elements[i]);
	if (r < 0)
		return firewall_restore(fw);
	count(fw->lane, COUNT_FW_LOST);
	fw->want_cut = true;
	log_warning(TAG, "somebody changed %zu pinholes: put right, epoch %" PRIu64, n,
	            firewall_epoch(fw));
	return ERR_OK;
}

/* An owned table nobody else can have changed, whoever's words were lost. */
static bool is_owned(const struct firewall *fw)
{
	return fw->table_flags & TABLE_FLAG_OWNER;
}

int firewall_news(struct firewall *fw)
{
	struct monitor_news *news = fw->news;
	int r = monitor_read(&fw->monitor, news);

	if (r <= 0)
		return r;
	if (news->lost && !is_owned(fw))
		log_warning(TAG, "the monitor lost words: nobody knows what was changed");
	if (news->table || news->others || (news->lost && !is_owned(fw)))
		return firewall_restore(fw);
	return news->n_elements > 0 ? reconcile(fw, news->elements, news->n_elements) : ERR_OK;
}

/* Verification, element by element. */

static int verify_row(struct firewall *fw, uint32_t i, const struct ledger_row *row)
{
	const uint64_t slack_ns = BATCH_SLACK_MS * NS_PER_MS;
	uint64_t now_ns = clock_mono_ns(), left_ms, end_ns;
	int r = elements_get(&fw->nl, &row->element, &left_ms);

	if (r == ERR_NOENT) {
		fw->verify_lost++;
		/* One that has just expired may have let connections in: it lingers. */
		if (row->expires_ns <= now_ns + slack_ns)
			book_shorten(fw->book, i, now_ns);
		else
			book_remove(fw->book, i);
		return 0;
	}
	if (r < 0)
		return r;
	end_ns = now_ns + left_ms * NS_PER_MS;
	/* For longer than any of us asked, or for ever (nothing left): somebody else's doing. */
	if (left_ms == 0 || end_ns > book_wanted_until(fw->book, &row->element) + 2 * slack_ns)
		return put_right(fw, &row->element);
	if (end_ns + slack_ns < row->expires_ns)
		book_shorten(fw->book, i, end_ns);
	book_confirm(fw->book, i, 0, MIN(end_ns, row->expires_ns), firewall_epoch(fw), 0);
	return 0;
}

int firewall_verify_some(struct firewall *fw)
{
	uint32_t asked = 0, size = book_size(fw->book);
	uint32_t stop = fw->verify_next + MIN(size - fw->verify_next, VERIFY_ROWS_A_TICK);

	for (; fw->verify_next < stop && asked < VERIFY_A_TICK; fw->verify_next++) {
		const struct ledger_row *row;
		int r;

		if (book_state(fw->book, fw->verify_next) != BOOK_LIVE ||
		    !book_row(fw->book, fw->verify_next, &row))
			continue;
		/* What was confirmed since needs no second look. */
		if (book_row_confirmed(fw->book, fw->verify_next, firewall_epoch(fw)))
			continue;
		asked++;
		r = verify_row(fw, fw->verify_next, row);
		if (r < 0)
			return r == -ENOENT ? firewall_restore(fw) : r;
	}
	if (fw->verify_next == size) {
		if (fw->verify_lost > 0) {
			log_warning(TAG,
			            "%" PRIu64 " pinholes of the ledger were not in the kernel",
			            fw->verify_lost);
			firewall_raise_epoch(fw);
		}
		fw->verifying = false;
		fw->want_cut |= book_complete(fw->book);
		log_info(TAG, "every pinhole of the ledger is verified");
	}
	return 0;
}
