/* tests/unit/fwsync/book_maker.h - a ledger in plain memory. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "sallyport/ledger.h"

static inline void *ledger_memory(struct ledger *ledger, uint32_t n_rows)
{
	uint32_t n_reasons = n_rows / 4 > 0 ? n_rows / 4 : 1;
	size_t len = sizeof(struct ledger_head) + n_rows * sizeof(struct ledger_row) +
	             n_reasons * sizeof(struct ledger_reason);
	struct ledger_head *head = calloc(1, len);

	if (!head)
		abort();
	head->magic = LEDGER_MAGIC;
	head->n_rows = n_rows;
	head->n_reasons = n_reasons;
	ledger->head = head;
	ledger->rows = (void *)(head + 1);
	ledger->reasons = (void *)(ledger->rows + n_rows);
	for (uint32_t i = 0; i < n_rows; i++)
		ledger->rows[i].reason = UINT32_MAX;
	return head;
}
