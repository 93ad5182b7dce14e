/* tests/unit/fwsync/book_maker.h - a ledger in plain memory. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "sallyport/ledger.h"

static inline void *ledger_memory(struct ledger *ledger, uint32_t n_rows)
{
	void *memory = calloc(1, ledger_bytes(n_rows));

	if (!memory)
		abort();
	ledger_init(ledger, memory, n_rows);
	return memory;
}
