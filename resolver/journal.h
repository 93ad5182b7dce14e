/* resolver/journal.h - write what happened into the worker's history ring, before the answer goes.
 */
#pragma once

#include <stdint.h>

#include "client.h"
#include "form.h"
#include "question.h"
#include "sallyport/record.h"

struct worker;

struct journal_event {
	const struct client *client;
	const struct question *q; /* may lack a question (malformed): then name is "" */
	const struct verdict *verdict;
	enum reason reason; /* the final one, perhaps found after the verdict */
	struct form *form;  /* NULL: no answer data; told anew when told_generation is old */
	uint64_t id;
	uint64_t read_wall_ns, read_ns; /* when it was read */
	uint32_t policy_version, workload;
	uint32_t ttl_s;
	uint16_t rcode, ede;
	uint8_t dnssec; /* enum dnssec_state */
	uint16_t flags; /* enum record_flag */
};
/* Never blocks, never allocates; about 150 ns. Publishing is the worker's, once a batch. */
void journal_write(struct worker *worker, const struct journal_event *event);
