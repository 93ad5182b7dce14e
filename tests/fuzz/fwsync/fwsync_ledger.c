/* A ledger of any octets, as a dead writer may have left it: read by the keeper's function, adopted
 * by a successor, who then counts right.
 *
 * Input: the proof in the head, then the rows, cells and long names of a ledger of 32 rows; cut or
 * filled with zeros. */
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/cleanup.h"
#include "sallyport/clock.h"

#include "../../unit/fwsync/book_maker.h"
#include "book.h"
#include "proof.h"

#define ROWS 32u
#define AGE_NS (UINT64_C(1000) * NS_PER_S)

static const struct boot boot = { .id = { 1, 2, 3, 4 }, .kernel = "6.1.0-42 #1 SMP x86_64" };

/* What is believed is all true. */
static void check_proof(const struct ledger_head *head)
{
	const struct ledger_proof *p = &head->proof;
	struct proof proof = { RENEW_N, false };

	if (!proof_recall(head, &boot, AGE_NS, &proof)) {
		if (proof.way != RENEW_N)
			abort();
		return;
	}
	if (proof.way >= RENEW_N || proof.owned_tables != (p->owned_tables == 1) ||
	    (p->version & 1) || p->proven_ns == 0 || p->proven_ns > AGE_NS ||
	    memcmp(&p->boot, &boot, sizeof(boot)) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t room = ledger_bytes(ROWS) - sizeof(struct ledger_head);
	struct ledger ledger;
	struct ledger_row row;
	struct ledger_reason reason;
	struct book *book;
	uint32_t dropped, used = 0;
	void *memory;

	if (sodium_init() < 0)
		return 0;
	memory = ledger_memory(&ledger, ROWS);
	if (size > 0)
		memcpy(&ledger.head->proof, data, MIN(size, sizeof(struct ledger_proof)));
	check_proof(ledger.head);
	if (size > sizeof(struct ledger_proof))
		memcpy(ledger.rows, data + sizeof(struct ledger_proof),
		       MIN(size - sizeof(struct ledger_proof), room));
	atomic_store(&ledger.head->rows_high, ROWS);
	for (uint32_t i = 0; i < ROWS + 2; i++)
		if (ledger_read(&ledger, i, &row, &reason) == 1 &&
		    (i >= ROWS || reason.names_len > LIMIT_PINHOLE_NAMES ||
		     !memchr(reason.workload, '\0', sizeof(reason.workload))))
			abort();
	if (book_new(&book, &ledger, 1000 * NS_PER_S, &dropped) < 0)
		abort();
	for (uint32_t i = 0; i < ROWS; i++) {
		const struct ledger_row *r;

		if (!book_row(book, i, &r))
			continue;
		used++;
		if (!book_explains(book, &r->element))
			abort();
	}
	if (used != ledger.head->rows_used)
		abort();
	for (uint64_t s = 0; s < 3000; s += 7)
		book_tick(book, (1000 + s) * NS_PER_S);
	book_flows_passed(book);
	for (uint32_t i = 0; i < ROWS; i++)
		if (book_state(book, i) != BOOK_FREE)
			book_remove(book, i);
	if (ledger.head->rows_used != 0 || ledger.head->reasons_used != 0)
		abort();
	book_free(book);
	free(memory);
	return 0;
}
