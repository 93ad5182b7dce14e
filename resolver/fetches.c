/* resolver/fetches.c - a worker's questions to upstreams: who joins one, who waits, who is told. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fetch_core.h"
#include "listen.h"
#include "sallyport/err.h"
#include "settings.h"

_Static_assert(crypto_shorthash_KEYBYTES == 16, "hash_key of the configuration");

/* ---- waiters ---- */

static void waiter_put(struct fetch_waiter **head, struct fetch_waiter *waiter)
{
	waiter->next = *head;
	waiter->link = head;
	if (*head)
		(*head)->link = &waiter->next;
	*head = waiter;
}

static void waiter_remove(struct fetch_waiter *waiter)
{
	*waiter->link = waiter->next;
	if (waiter->next)
		waiter->next->link = waiter->link;
	waiter->next = NULL;
	waiter->link = NULL;
	waiter->fetch = NULL;
}

void fetch_cancel(struct fetch_waiter *waiter)
{
	if (waiter->link)
		waiter_remove(waiter);
}

bool fetch_may_send(struct fetch *fetch)
{
	for (struct fetch_waiter *w = fetch->waiters, *next; w; w = next) {
		next = w->next;
		if (w->may_send(w))
			continue;
		waiter_remove(w);
		waiter_put(&fetch->worker->fetches->denied, w);
	}
	return fetch->waiters != NULL;
}

/* ---- the table of questions ---- */

static uint64_t hash_question(const struct fetches *fetches, const uint8_t *name, size_t len,
                              uint16_t type)
{
	uint8_t hash[crypto_shorthash_BYTES];
	uint64_t value;

	crypto_shorthash(hash, name, len, fetches->key);
	memcpy(&value, hash, sizeof(value));
	return value ^ type;
}

static void table_put(struct fetches *fetches, struct fetch *fetch)
{
	struct fetch **head = &fetches->buckets[fetch->hash % FETCH_BUCKETS];

	fetch->hash_next = *head;
	fetch->hash_link = head;
	if (*head)
		(*head)->hash_link = &fetch->hash_next;
	*head = fetch;
}

static void table_remove(struct fetch *fetch)
{
	assert(fetch->hash_link);
	*fetch->hash_link = fetch->hash_next;
	if (fetch->hash_next)
		fetch->hash_next->hash_link = fetch->hash_link;
	fetch->hash_link = NULL;
}

static struct fetch *table_find(const struct fetches *fetches, uint64_t hash, const uint8_t *name,
                                size_t len, uint16_t type, uint16_t zone, uint8_t round)
{
	struct fetch *fetch = fetches->buckets[hash % FETCH_BUCKETS];

	while (fetch && (fetch->hash != hash || fetch->type != type || fetch->zone != zone ||
	                 fetch->round != round || fetch->name_len != len ||
	                 memcmp(fetch->name, name, len) != 0))
		fetch = fetch->hash_next;
	return fetch;
}

/* ---- ending ---- */

void fetch_end(struct fetch *fetch, enum fetch_status status)
{
	struct fetches *fetches = fetch->worker->fetches;

	fetch->ended = true;
	fetch->status = status;
	wheel_clear(&fetch->timer);
	fetch_stop(fetch);
	table_remove(fetch);
	fetch->ended_next = NULL;
	*fetches->ended_tail = fetch;
	fetches->ended_tail = &fetch->ended_next;
}

/* ---- joining ---- */

int fetch_join(struct worker *worker, const uint8_t *name, uint16_t type, uint16_t zone,
               struct fetch_waiter *waiter)
{
	static const uint8_t nobody[ADDR_LEN];

	return fetch_join_round(worker, name, type, zone, FETCH_FIRST, nobody, 0, waiter);
}

int fetch_join_round(struct worker *worker, const uint8_t *name, uint16_t type, uint16_t zone,
                     enum fetch_round round, const uint8_t avoid[static ADDR_LEN],
                     uint16_t avoid_port, struct fetch_waiter *waiter)
{
	struct fetches *fetches = worker->fetches;
	int len = name_wire_len(name, NAME_MAX_WIRE);
	struct fetch *fetch;
	uint64_t hash;

	if (len < 0 || zone >= worker->settings->conf.n_zones)
		return ERR_INVAL;
	hash = hash_question(fetches, name, (size_t)len, type);
	fetch = table_find(fetches, hash, name, (size_t)len, type, zone, (uint8_t)round);
	if (fetch) {
		waiter->fetch = fetch;
		waiter_put(&fetch->waiters, waiter);
		return 0;
	}
	if (fetches->n >= LIMIT_UPSTREAM_FETCHES) {
		count(worker->lane, COUNT_LIMIT_UPSTREAM);
		return ERR_LIMIT;
	}
	fetch = calloc(1, sizeof(*fetch));
	if (!fetch)
		return ERR_NOMEM;
	fetch->worker = worker;
	fetch->type = type;
	fetch->zone = zone;
	fetch->round = (uint8_t)round;
	memcpy(fetch->avoid, avoid, sizeof(fetch->avoid));
	fetch->avoid_port = avoid_port;
	fetch->hash = hash;
	fetch->name_len = (uint8_t)len;
	memcpy(fetch->name, name, (size_t)len);
	fetch->timer.fire = fetch_on_timer;
	fetches->n++;
	table_put(fetches, fetch);
	waiter->fetch = fetch;
	waiter_put(&fetch->waiters, waiter);
	fetch_start(fetch);
	return 0;
}

/* ---- telling the waiters ---- */

static void fetch_free(struct fetch *fetch)
{
	for (size_t i = 0; i < fetch->n_entries; i++)
		entry_unref(fetch->entries[i]);
	fetch->worker->fetches->n--;
	free(fetch);
}

static void tell(struct worker *worker, struct fetch_waiter **head, enum fetch_status status,
                 struct entry *const *entries, size_t n)
{
	/* Each call may add, cancel or free other waiters: always the head, never a saved next. */
	while (*head) {
		struct fetch_waiter *waiter = *head;

		waiter_remove(waiter);
		waiter->done(waiter, status, entries, n);
		listeners_look(worker); /* a thousand may have asked the same */
	}
}

static void on_again(uv_timer_t *timer)
{
	(void)
	    timer; /* its firing has let the loop turn: fetches_turn() comes before the next wait */
}

void fetches_turn(struct worker *worker)
{
	struct fetches *fetches = worker->fetches;
	struct fetch *ended = fetches->ended;

	fetches->ended = NULL;
	fetches->ended_tail = &fetches->ended;
	tell(worker, &fetches->denied, FETCH_DENIED, NULL, 0);
	while (ended) {
		struct fetch *fetch = ended;

		ended = fetch->ended_next;
		tell(worker, &fetch->waiters, fetch->status, fetch->entries, fetch->n_entries);
		fetch_free(fetch);
	}
	/* What ended meanwhile waits for the next turn of the loop, which must not sleep. */
	if (fetches->ended || fetches->denied)
		uv_timer_start(&fetches->again, on_again, 0, 0);
}

/* ---- all of them ---- */

struct fetches *fetches_new(struct worker *worker)
{
	struct fetches *fetches = calloc(1, sizeof(*fetches));

	if (!fetches)
		return NULL;
	fetches->worker = worker;
	fetches->ended_tail = &fetches->ended;
	memcpy(fetches->key, worker->settings->conf.hash_key, sizeof(fetches->key));
	if (uv_timer_init(&worker->loop, &fetches->again) < 0) {
		free(fetches);
		return NULL;
	}
	fetches->again.data = fetches;
	return fetches;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void fetches_free(struct fetches *fetches)
{
	if (!fetches)
		return;
	/* Whoever waits has gone or does not want to know any more. */
	for (size_t i = 0; i < FETCH_BUCKETS; i++) {
		while (fetches->buckets[i])
			fetch_end(fetches->buckets[i], FETCH_FAILED);
	}
	while (fetches->denied)
		waiter_remove(fetches->denied);
	while (fetches->ended) {
		struct fetch *fetch = fetches->ended;

		fetches->ended = fetch->ended_next;
		while (fetch->waiters)
			waiter_remove(fetch->waiters);
		fetch_free(fetch);
	}
	uv_close((uv_handle_t *)&fetches->again, on_closed);
}

void fetches_zones_changed(struct worker *worker)
{
	struct fetches *fetches = worker->fetches;
	struct fetch *all = NULL;

	for (size_t i = 0; i < FETCH_BUCKETS; i++) {
		while (fetches->buckets[i]) {
			struct fetch *fetch = fetches->buckets[i];

			table_remove(fetch);
			fetch->ended_next = all;
			all = fetch;
		}
	}
	while (all) {
		struct fetch *fetch = all;

		all = fetch->ended_next;
		fetch_stop(fetch);
		fetch->zone = fetch_zone_of(fetch, fetch->name);
		table_put(fetches, fetch);
		/* Without a zone there are no servers, and it fails. */
		fetch_start(fetch);
	}
}

size_t fetches_in_flight(const struct worker *worker)
{
	return worker->fetches->n;
}
