#include "key_fetch.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "entry.h"
#include "fetch.h"
#include "sallyport/err.h"
#include "sallyport/keys.h"
#include "wire.h"
#include "worker.h"

/* Less than a message between roles takes, and more than one from an upstream has. */
enum { PAYLOAD_MAX = LIMIT_ROLE_MESSAGE - 256 };

struct key_fetch {
	struct fetch_waiter waiter;
	bool busy;
	struct keys_head head;
	_Atomic(struct key_answer *) answer;
};

struct key_fetch *key_fetch_new(void)
{
	return calloc(1, sizeof(struct key_fetch));
}

void key_fetch_free(struct key_fetch *fetch)
{
	if (!fetch)
		return;
	free(key_fetch_take(fetch));
	free(fetch);
}

struct key_answer *key_fetch_take(struct key_fetch *fetch)
{
	return atomic_exchange_explicit(&fetch->answer, NULL, memory_order_acq_rel);
}

/* The answer's DNSKEY and RRSIG records; more than fit are as good as none. */
static size_t write_records(const struct entry *entry, uint8_t *payload, size_t len)
{
	const struct entry_rr *rrs = entry_rrs(entry);
	const uint8_t *octets = entry_octets(entry);
	size_t begin = len;

	for (unsigned int i = 0; i < entry->n_rrs; i++) {
		const struct keys_row row = { rrs[i].ttl, rrs[i].type, rrs[i].rdata_len };

		if (rrs[i].owner != 0 || rrs[i].section != VAL_ANSWER ||
		    (row.type != TYPE_DNSKEY && row.type != TYPE_RRSIG))
			continue;
		if (keys_put(payload, PAYLOAD_MAX, &len, &row, octets + rrs[i].rdata) < 0)
			return begin;
	}
	return len;
}

static void tell(struct key_fetch *fetch, const struct entry *entry)
{
	struct key_answer *answer = malloc(sizeof(*answer) + PAYLOAD_MAX);

	fetch->busy = false;
	if (!answer)
		return; /* the keeper gives up waiting, and asks again */
	memcpy(answer->payload, &fetch->head, sizeof(fetch->head));
	answer->len = sizeof(fetch->head);
	if (entry && entry->kind == ENTRY_DATA)
		answer->len = write_records(entry, answer->payload, answer->len);
	free(atomic_exchange_explicit(&fetch->answer, answer, memory_order_acq_rel));
}

static bool may_send(struct fetch_waiter *waiter)
{
	(void)waiter; /* the keeper has named it */
	return true;
}

static void on_fetched(struct fetch_waiter *waiter, enum fetch_status status,
                       struct entry *const *entries, size_t n_entries)
{
	struct key_fetch *fetch =
	    (struct key_fetch *)(void *)((char *)waiter - offsetof(struct key_fetch, waiter));

	tell(fetch, status == FETCH_OK && n_entries > 0 ? entries[0] : NULL);
}

void key_fetch_start(struct key_fetch *fetch, struct worker *worker, const uint8_t *name)
{
	uint16_t zone = zones_find_question(worker->settings->zones, name, TYPE_DNSKEY);

	if (fetch->busy)
		return;
	memset(&fetch->head, 0, sizeof(fetch->head));
	memcpy(fetch->head.name, name, (size_t)name_wire_len(name, NAME_MAX_WIRE));
	fetch->busy = true;
	fetch->waiter = (struct fetch_waiter){
		.may_send = may_send,
		.done = on_fetched,
		.class = POLICY_NONE,
	};
	if (zone == ZONE_NONE || fetch_join(worker, name, TYPE_DNSKEY, zone, &fetch->waiter) < 0)
		tell(fetch, NULL);
}
