/* fwsync/firewall_close.c - revocation: rows go, their elements end, their connections are cut. */
#include "firewall_core.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/log.h"

#include "batch.h"

#define TAG "firewall"

static int compare_elements(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct ledger_element));
}

/* Elements of condemned rows (@n <= FIREWALL_CLOSED) end now, or when the longest of the remaining
 * reasons does; one of several condemned rows once. */
static int settle_elements(struct firewall *fw, struct ledger_element *elements, size_t n)
{
	struct ledger_element *gone = fw->closed;
	struct element_wish *kept = fw->wishes;
	uint64_t now_ns = clock_mono_ns();
	size_t n_gone = 0, n_kept = 0;
	int r = 0;

	qsort(elements, n, sizeof(*elements), compare_elements);
	for (size_t i = 0; i < n; i++) {
		uint64_t until_ns = firewall_wanted_until(fw, &elements[i]);

		if (i > 0 && compare_elements(&elements[i - 1], &elements[i]) == 0)
			continue;
		if (until_ns > now_ns)
			kept[n_kept++] =
			    (struct element_wish){ elements[i], (until_ns - now_ns) / NS_PER_MS + 1,
				                   book_element_ids(fw->book, &elements[i]) };
		else
			gone[n_gone++] = elements[i];
	}
	for (int try = 0; try < BATCH_TRIES; try++) {
		r = n_gone > 0 ? elements_remove(&fw->nl, fw->way, gone, n_gone) : 0;
		if (r == 0 && n_kept > 0)
			r = elements_upsert(&fw->nl, fw->way, kept, n_kept);
		if (r == 0) {
			count_add(fw->lane, COUNT_FW_CLOSED, n_gone);
			fw->closing_removed += n_gone;
			return 0;
		}
		if (r != -EINTR && r != -EAGAIN && r != -ERESTART && r != -ENOBUFS &&
		    r != ERR_TIMEOUT)
			break;
		count(fw->lane, COUNT_FW_RETRIES);
	}
	/* Condemned rows want nothing: rebuilding from the book closes them in any case. */
	log_warning(TAG, "elements could not be removed (%s): the table is made anew", err_str(r));
	r = firewall_restore(fw);
	if (r == 0) {
		count_add(fw->lane, COUNT_FW_CLOSED, n_gone);
		fw->closing_removed += n_gone;
	}
	return r;
}

/* What the keeper judged may be over: its row may be another pinhole's by now, or it was opened
 * anew under the new version. */
static bool still_judged(const struct firewall *fw, const struct role_close_row *judged,
                         const struct ledger_row **ret_row)
{
	const struct ledger_row *row;

	if (!book_row(fw->book, judged->row, &row) || row->opened_ns != judged->opened_ns ||
	    row->policy_version != judged->policy_version)
		return false;
	*ret_row = row;
	return true;
}

/* First the epoch, so that no answer leaves on the strength of what goes now; then the kernel lets
 * go of the elements, then the book of the rows that explain them. */
static int close_rows(struct firewall *fw, const uint32_t *rows, struct ledger_element *elements,
                      size_t n)
{
	int r;

	if (n == 0)
		return ERR_OK;
	firewall_raise_epoch(fw);
	fw->want_cut = true;
	r = settle_elements(fw, elements, n);
	for (size_t i = 0; r == 0 && i < n; i++)
		book_remove(fw->book, rows[i]);
	return r;
}

/* What the keeper has judged to have no reason any more, many rows at a time. */
static int close_judged(struct firewall *fw, const struct role_close_row *judged, size_t n)
{
	struct ledger_element elements[FIREWALL_CLOSED];
	uint32_t rows[FIREWALL_CLOSED];
	size_t n_rows = 0;
	int r = ERR_OK;

	for (size_t i = 0; r == 0 && i < n; i++) {
		const struct ledger_row *row;

		if (!still_judged(fw, &judged[i], &row))
			continue;
		elements[n_rows] = row->element;
		rows[n_rows++] = judged[i].row;
		book_condemn(fw->book, judged[i].row);
		if (n_rows == FIREWALL_CLOSED) {
			r = close_rows(fw, rows, elements, n_rows);
			n_rows = 0;
		}
	}
	return r < 0 ? r : close_rows(fw, rows, elements, n_rows);
}

/* The rows that are left of an earlier life have been judged. */
static int put_back_held(struct firewall *fw)
{
	uint64_t back = 0;
	int r;

	if (!fw->held_back)
		return ERR_OK;
	fw->held_back = false;
	r = firewall_put_back_all(fw, &back);
	if (r < 0)
		return firewall_restore(fw);
	if (back > 0)
		log_info(TAG, "%" PRIu64 " pinholes put back", back);
	return ERR_OK;
}

/* Nobody can say whether the new version still wants what nobody can explain. */
static int close_strangers(struct firewall *fw, uint32_t version)
{
	uint64_t kept = 0;
	int r;

	firewall_raise_epoch(fw);
	r = elements_flush(&fw->nl);
	if (r == 0)
		r = firewall_put_back_all(fw, &kept);
	if (r < 0)
		r = firewall_restore(fw);
	if (r < 0)
		return r;
	book_set_complete(fw->book);
	fw->want_cut = true;
	log_info(TAG, "pinholes that nobody can explain are closed with version %" PRIu32, version);
	return ERR_OK;
}

int firewall_close(struct firewall *fw, uint32_t version, const struct role_close_row *rows,
                   size_t n, bool last)
{
	int r;

	if (!fw->closing || fw->closing_version != version) {
		fw->closing = false;
		fw->closing_version = version;
		fw->closing_removed = 0;
	}
	r = close_judged(fw, rows, n);
	if (r < 0)
		return r;
	if (!last)
		return ERR_OK;
	r = put_back_held(fw);
	if (r == 0 && !book_complete(fw->book) && version != fw->first_version)
		r = close_strangers(fw, version);
	if (r < 0)
		return r;
	/* A predecessor may have died between a policy and what it had to close. */
	fw->want_cut_inbound |= !fw->inbound_known;
	fw->inbound_known = true;
	fw->closing = true;
	return ERR_OK;
}

bool firewall_closed(struct firewall *fw, uint32_t *ret_version, uint64_t *ret_removed)
{
	if (!fw->closing || fw->want_cut || fw->want_cut_inbound ||
	    (fw->flows.running && fw->flows.cutting))
		return false;
	fw->closing = false;
	*ret_version = fw->closing_version;
	*ret_removed = fw->closing_removed;
	fw->closing_removed = 0;
	return true;
}
