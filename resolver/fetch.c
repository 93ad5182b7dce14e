/* resolver/fetch.c
 *
 *   ASKING --usable answer--------------> ENDED (OK)      in the cache, waiters told by
 * fetches_turn() |  ^--timeout, TC, near-miss, failure: next try, while tries and servers are left
 *      '-----nothing left, deadline-----> ENDED (FAILED)
 *
 * A try that got no answer in time keeps its socket until the fetch ends: a recursive upstream may
 * need longer for a cold name than for a warm one, and its late answer is as good. So one fetch has
 * up to LIMIT_UPSTREAM_TRIES exchanges open, and the first good answer ends them all.
 */
#include "fetch.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "cache.h"
#include "exchange.h"
#include "fitness.h"
#include "listen.h"
#include "sallyport/err.h"
#include "sallyport/limits.h"
#include "server.h"
#include "settings.h"
#include "wheel.h"
#include "worker.h"

#define BUCKETS 4096
#define FAILURE_TTL_S 5 /* RFC 9520, section 3.2: at least 1 s, at most 5 minutes */
#define RCODE_SERVFAIL 2
#define TCP_TRY_NS (UINT64_C(1500) * NS_PER_MS)
#define ALL_DEAD_NS (UINT64_C(1500) * NS_PER_MS) /* nobody has answered for a while: fail soon */
#define BROKEN_MAX 2                             /* of one server, then no more tries there */
#define STARVED_NS (UINT64_C(100) * NS_PER_MS)   /* after so long there may be room */
#define STARVED_MAX 20                           /* times that it looks for room */
#define EXPLORE_ODDS 32 /* one question of so many goes to another living server */

struct fetch {
	struct fetch *hash_next, **hash_link; /* while ASKING */
	struct fetch *ended_next;
	struct worker *worker;
	struct fetch_waiter *waiters;
	struct wheel_item timer;
	uint64_t deadline_ns;
	uint64_t hash;
	uint16_t type, zone;
	uint8_t round;           /* enum fetch_round */
	uint8_t avoid[ADDR_LEN]; /* of a later round: who gave the bogus answer */
	uint16_t avoid_port;
	uint16_t rcode; /* of the first server that said no; SERVFAIL otherwise */
	uint8_t name_len;
	uint8_t name[NAME_MAX_WIRE];
	uint8_t n_servers, n_tries;
	uint8_t n_udp; /* of the tries */
	uint8_t n_starved;
	bool ended;
	bool rcode_given; /* some server said no */
	bool starved;     /* a limit of ours keeps it from asking: it waits for room */
	bool oversize;    /* an answer held more than is taken */
	enum fetch_status status;
	struct {
		struct server *server; /* referenced */
		uint8_t n_asked;
		uint8_t n_broken;
		bool blamed;  /* this question has counted against it */
		bool refused; /* it has given its no */
		bool unfit;   /* it gives no signatures */
		bool tcp;     /* no more by UDP for this question */
		bool alone;   /* the next connection is not shared: the last one was lost or held
		                 up, perhaps by a neighbour's question */
	} servers[LIMIT_ZONE_SERVERS];
	struct exchange exchanges[LIMIT_UPSTREAM_TRIES];
	size_t n_entries;
	struct entry *entries[LIMIT_CHAIN];
};

struct fetches {
	struct worker *worker;
	size_t n;
	struct fetch *ended, **ended_tail;
	struct fetch_waiter *denied; /* to be told FETCH_DENIED */
	uv_timer_t again;            /* something ended while waiters were being told */
	uint8_t key[crypto_shorthash_KEYBYTES];
	struct fetch *buckets[BUCKETS];
};
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

/* Promise P2, at the moment of sending: who says no leaves, and without a yes nothing is sent. */
static bool may_send(struct fetch *fetch)
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
	struct fetch **head = &fetches->buckets[fetch->hash % BUCKETS];

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
	struct fetch *fetch = fetches->buckets[hash % BUCKETS];

	while (fetch && (fetch->hash != hash || fetch->type != type || fetch->zone != zone ||
	                 fetch->round != round || fetch->name_len != len ||
	                 memcmp(fetch->name, name, len) != 0))
		fetch = fetch->hash_next;
	return fetch;
}

/* ---- ending ---- */

static void stop_exchanges(struct fetch *fetch)
{
	for (size_t i = 0; i < fetch->n_tries; i++)
		exchange_stop(&fetch->exchanges[i]);
}

static void forget_servers(struct fetch *fetch)
{
	for (size_t i = 0; i < fetch->n_servers; i++)
		server_unref(fetch->servers[i].server);
	memset(fetch->servers, 0, sizeof(fetch->servers));
	fetch->n_servers = 0;
}

static void end(struct fetch *fetch, enum fetch_status status)
{
	struct fetches *fetches = fetch->worker->fetches;

	fetch->ended = true;
	fetch->status = status;
	wheel_clear(&fetch->timer);
	stop_exchanges(fetch);
	forget_servers(fetch);
	table_remove(fetch);
	fetch->ended_next = NULL;
	*fetches->ended_tail = fetch;
	fetches->ended_tail = &fetch->ended_next;
}

static void fail(struct fetch *fetch)
{
	struct worker *worker = fetch->worker;
	struct entry *entry;

	if (fetch->starved) {
		end(fetch, FETCH_LIMIT);
		return;
	}
	count(worker->lane, COUNT_UPSTREAM_FAILED);
	entry =
	    entry_failure(fetch->name, fetch->type, fetch->rcode, worker->now_ns, FAILURE_TTL_S);
	if (entry) {
		entry->zone = fetch->zone; /* nobody else has it yet */
		cache_put(worker->cache, entry, worker->now_ns, worker->lane);
		fetch->entries[fetch->n_entries++] = entry;
	}
	end(fetch, fetch->oversize ? FETCH_OVERSIZE : FETCH_FAILED);
}

/* ---- trying ---- */

static uint64_t now_of(const struct fetch *fetch)
{
	return fetch->worker->now_ns;
}

/* However often it is sent, a question without an answer is one. */
static void blame(struct fetch *fetch, size_t i)
{
	if (!fetch->servers[i].blamed)
		server_failed(fetch->servers[i].server, now_of(fetch));
	fetch->servers[i].blamed = true;
}

/* Is an answer still to be expected? Once a server has said no, the dead ones are not waited for.
 */
static bool worth_waiting(const struct fetch *fetch)
{
	for (size_t i = 0; i < fetch->n_tries; i++) {
		const struct exchange *exchange = &fetch->exchanges[i];

		if (exchange->state != EXCHANGE_IDLE &&
		    !(fetch->rcode_given && exchange->server->dead))
			return true;
	}
	return false;
}

static bool usable(const struct fetch *fetch, size_t i)
{
	return !fetch->servers[i].refused && fetch->servers[i].n_broken < BROKEN_MAX &&
	       (fetch->servers[i].tcp || fetch->n_udp < LIMIT_UPSTREAM_UDP_TRIES);
}

/* Who gives no signatures is not asked while somebody lives who does. */
static bool is_passed_over(const struct fetch *fetch, size_t i)
{
	if (!fetch->servers[i].unfit)
		return false;
	for (size_t j = 0; j < fetch->n_servers; j++) {
		if (!fetch->servers[j].unfit && !fetch->servers[j].server->dead)
			return true;
	}
	return false;
}

static bool is_avoided(const struct fetch *fetch, const struct server *server)
{
	return fetch->round != FETCH_FIRST && server->port == fetch->avoid_port &&
	       memcmp(server->addr, fetch->avoid, ADDR_LEN) == 0;
}

/* Those asked less often before the others, where to be dead counts as once more: a living one that
 * does not answer may have died just now, and a dead one may be back. Then the living before the
 * dead, then the fastest; an unknown one counts as fast, so that it becomes known. */
static int choose(struct fetch *fetch)
{
	uint64_t best_score = UINT64_MAX;
	int best = -1, n_living = 0;

	for (size_t i = 0; i < fetch->n_servers; i++) {
		const struct server *server = fetch->servers[i].server;
		uint64_t rank = fetch->servers[i].n_asked + (server->dead ? 1u : 0u);
		uint64_t score = rank * UINT64_C(1000000000000) + server->srtt_us;

		if (!usable(fetch, i) || is_passed_over(fetch, i))
			continue;
		if (server->dead)
			score += UINT64_C(100000000000) + server->n_failed;
		else
			n_living++;
		if (is_avoided(fetch, server))
			score += UINT64_C(50000000000);
		if (score < best_score) {
			best_score = score;
			best = (int)i;
		}
	}
	if (fetch->n_tries > 0 || n_living < 2 || fetch->round != FETCH_FIRST)
		return best;

	uint16_t dice = entropy_u16(&fetch->worker->entropy);

	if (dice % EXPLORE_ODDS != 0)
		return best;
	dice = (uint16_t)(dice / EXPLORE_ODDS % fetch->n_servers);
	return fetch->servers[dice].server->dead || is_passed_over(fetch, dice) ? best : dice;
}

static const struct exchange_ops ops;

/* One send. Returns 0, ERR_DENIED (the fetch has ended), ERR_LIMIT (there is no room; the fetch is
 * starved) or another error. */
static int try(struct fetch *fetch, size_t i)
{
	struct exchange *exchange = &fetch->exchanges[fetch->n_tries];
	int r;

	if (!may_send(fetch)) {
		end(fetch, FETCH_DENIED);
		return ERR_DENIED;
	}
	*exchange = (struct exchange){
		.ops = &ops,
		.worker = fetch->worker,
		.server = fetch->servers[i].server,
		.owner = fetch,
		.alone = fetch->servers[i].alone,
	};
	ask_init(&exchange->ask, fetch->name, fetch->type,
	         fetch->round != FETCH_CHECKED &&
	             settings_disable_checking(fetch->worker->settings, fetch->name, fetch->type),
	         &fetch->worker->entropy);
	r = fetch->servers[i].tcp ? exchange_tcp_start(exchange) : exchange_udp_start(exchange);
	if (r == ERR_LIMIT || r == ERR_NOMEM) { /* no fault of the server's, and no try */
		fetch->starved = true;
		return ERR_LIMIT;
	}
	fetch->starved = false;
	fetch->n_tries++;
	fetch->n_udp = (uint8_t)(fetch->n_udp + !fetch->servers[i].tcp);
	fetch->servers[i].n_asked++;
	if (r < 0) {
		blame(fetch, i);
		fetch->servers[i].n_broken++;
	}
	return r;
}

static uint64_t wait_ns(const struct fetch *fetch, size_t i)
{
	unsigned int before = fetch->servers[i].n_asked ? fetch->servers[i].n_asked - 1U : 0;

	if (fetch->servers[i].tcp)
		return TCP_TRY_NS;
	return server_timeout_ns(fetch->servers[i].server, before);
}

static void wait_until(struct fetch *fetch, uint64_t due_ns)
{
	wheel_set(fetch->worker->wheel, &fetch->timer, MIN(due_ns, fetch->deadline_ns));
}

/* For a moment: others have sockets and connections that they will not need for long. */
static void wait_for_room(struct fetch *fetch)
{
	if (fetch->n_starved++ < STARVED_MAX)
		wait_until(fetch, now_of(fetch) + STARVED_NS);
	else
		fail(fetch);
}

/* The next try, or the end if there can be none and nothing is open any more. */
static void advance(struct fetch *fetch)
{
	while (fetch->n_tries < LIMIT_UPSTREAM_TRIES) {
		int i = choose(fetch), r;

		if (i < 0 || (fetch->servers[i].server->dead && fetch->servers[i].n_asked > 0 &&
		              fetch->rcode_given))
			break;
		r = try(fetch, (size_t)i);
		if (r == ERR_DENIED)
			return;
		if (r == 0) {
			wait_until(fetch, now_of(fetch) + wait_ns(fetch, (size_t)i));
			return;
		}
		if (r == ERR_LIMIT) {
			wait_for_room(fetch);
			return;
		}
	}
	if (worth_waiting(fetch))
		wait_until(fetch, fetch->deadline_ns);
	else
		fail(fetch);
}

/* A dead server that is due gets this question as well: if it lives again, we learn it from a
 * question that may leave anyhow and that does not wait for it. */
static void probe(struct fetch *fetch)
{
	for (size_t i = 0; i < fetch->n_servers && !fetch->ended; i++) {
		if (fetch->servers[i].n_asked > 0 || fetch->servers[i].unfit ||
		    fetch->n_udp + 1 >= LIMIT_UPSTREAM_UDP_TRIES)
			continue;
		if (!server_probe(fetch->servers[i].server, now_of(fetch)))
			continue;
		(void)try(fetch, i); /* it was dead before, too */
		fetch->starved = false;
	}
}

static size_t index_of(const struct fetch *fetch, const struct server *server)
{
	size_t i = 0;

	while (fetch->servers[i].server != server)
		i++;
	return i;
}

static void on_timer(struct wheel_item *item)
{
	struct fetch *fetch =
	    (struct fetch *)(void *)((char *)item - offsetof(struct fetch, timer));
	uint64_t now = now_of(fetch);

	/* Who waits for room waits for no answer. */
	for (size_t i = 0; i < fetch->n_tries && !fetch->starved; i++) {
		struct exchange *exchange = &fetch->exchanges[i];

		if (exchange->state == EXCHANGE_IDLE || exchange->timed_out)
			continue;
		exchange_late(exchange);
		if (exchange->state == EXCHANGE_TCP)
			fetch->servers[index_of(fetch, exchange->server)].alone = true;
		count(fetch->worker->lane, COUNT_UPSTREAM_TIMEOUTS);
		blame(fetch, index_of(fetch, exchange->server));
	}
	if (!fetch->waiters)
		end(fetch, FETCH_FAILED);
	else if (now >= fetch->deadline_ns)
		fail(fetch);
	else
		advance(fetch);
}

/* ---- what comes back ---- */

static uint16_t zone_of(const struct fetch *fetch, const uint8_t *name)
{
	const struct worker *worker = fetch->worker;

	return settings_zone_of(worker->settings, name, fetch->type, worker->wall_ns / NS_PER_S);
}

static bool same_zone(void *ctx, const uint8_t *name)
{
	const struct fetch *fetch = ctx;

	return zone_of(fetch, name) == fetch->zone;
}

/* Returns 0 or an error: then the message is of no use. */
static int take_answer(struct fetch *fetch, const struct exchange *exchange, const uint8_t *msg,
                       size_t len)
{
	struct worker *worker = fetch->worker;
	const struct resolver_conf *conf = &worker->settings->conf;
	const struct entry_limits limits = {
		.max_ttl_s = conf->cache_max_ttl_s,
		.negative_max_ttl_s = conf->cache_negative_max_ttl_s,
		.serve_stale_s = conf->cache_serve_stale_s,
	};
	int n = entry_from_message(msg, len, fetch->name, fetch->type, worker->now_ns, &limits,
	                           same_zone, fetch, fetch->entries, LIMIT_CHAIN);

	if (n < 0)
		return n;
	fetch->n_entries = (size_t)n;
	for (size_t i = 0; i < fetch->n_entries; i++) {
		struct entry *entry = fetch->entries[i];

		/* Still ours alone; from cache_put() on it does not change any more. */
		memcpy(entry->upstream, exchange->server->addr, ADDR_LEN);
		entry->upstream_port = exchange->server->port;
		entry->zone = fetch->zone;
		cache_put(worker->cache, entry, worker->now_ns, worker->lane);
	}
	return 0;
}

/* The server answers, but not so that it could be used. */
static void broken(struct fetch *fetch, size_t i, int why)
{
	fetch->servers[i].n_broken++;
	fetch->oversize |= why == ERR_LIMIT;
	count(fetch->worker->lane,
	      why == ERR_LIMIT ? COUNT_LIMIT_UPSTREAM_MESSAGE : COUNT_UPSTREAM_MALFORMED);
}

static void on_event(struct exchange *exchange, enum exchange_event event, const uint8_t *msg,
                     size_t len)
{
	struct fetch *fetch = exchange->owner;
	struct server *server = exchange->server;
	size_t i = index_of(fetch, server);
	uint64_t now = now_of(fetch), rtt_ns = now - exchange->sent_ns;
	int r;

	switch (event) {
	case EXCHANGE_ANSWER:
		server_answered(server, rtt_ns, now);
		r = take_answer(fetch, exchange, msg, len);
		if (r == 0) {
			end(fetch, FETCH_OK);
			return;
		}
		broken(fetch, i, r);
		break;
	case EXCHANGE_TRUNCATED:
		server_answered(server, rtt_ns, now);
		fetch->servers[i].tcp = true;
		break;
	case EXCHANGE_NEAR_MISS:
		fetch->servers[i].tcp = true;
		break;
	case EXCHANGE_FAILED:
		server_answered(server, rtt_ns, now);
		fetch->servers[i].refused = true;
		if (!fetch->rcode_given)
			fetch->rcode = exchange->rcode;
		fetch->rcode_given = true;
		break;
	case EXCHANGE_MALFORMED: /* perhaps only what a zone's owner made it say: it is not dead */
		server_answered(server, rtt_ns, now);
		broken(fetch, i, ERR_MALFORMED);
		break;
	case EXCHANGE_OVERSIZE:
		server_answered(server, rtt_ns, now);
		broken(fetch, i, ERR_LIMIT);
		break;
	case EXCHANGE_BROKEN:
		/* One connection's end is no verdict on the server and on all who shared it. */
		if (fetch->servers[i].tcp && !exchange->alone) {
			fetch->servers[i].alone = true;
			break;
		}
		fetch->servers[i].n_broken++;
		blame(fetch, i);
		break;
	}

	if (!fetch->waiters) {
		end(fetch, FETCH_FAILED); /* nobody on whose behalf it could be sent again */
		return;
	}
	/* The same server at once by TCP, for that is where the answer is; else the next best. */
	if ((event == EXCHANGE_TRUNCATED || event == EXCHANGE_NEAR_MISS) &&
	    fetch->n_tries < LIMIT_UPSTREAM_TRIES) {
		r = try(fetch, i);
		if (r == ERR_DENIED)
			return;
		if (r == 0) {
			wait_until(fetch, now + wait_ns(fetch, i));
			return;
		}
		if (r == ERR_LIMIT) {
			wait_for_room(fetch);
			return;
		}
	}
	advance(fetch);
}

static bool on_may_send(struct exchange *exchange)
{
	struct fetch *fetch = exchange->owner;

	if (may_send(fetch))
		return true;
	end(fetch, FETCH_DENIED); /* which stops the exchange */
	return false;
}

static const struct exchange_ops ops = { .event = on_event, .may_send = on_may_send };

/* ---- beginning ---- */

static void start(struct fetch *fetch)
{
	struct worker *worker = fetch->worker;
	struct server *const *servers = NULL;
	size_t n = servers_of_zone(worker->servers, fetch->zone, &servers);
	uint64_t budget_ns = worker->settings->conf.query_ms * NS_PER_MS * 3 / 4;
	bool all_dead = true;

	for (size_t i = 0; i < n; i++) {
		fetch->servers[i].server = server_ref(servers[i]);
		fetch->servers[i].unfit = fitness_is_unfit(worker, fetch->zone, i);
		all_dead = all_dead && servers[i]->dead;
	}
	fetch->n_servers = (uint8_t)n;
	fetch->n_tries = fetch->n_udp = fetch->n_starved = 0;
	fetch->starved = fetch->oversize = false;
	fetch->rcode = RCODE_SERVFAIL;
	fetch->rcode_given = false;
	/* The query has a deadline of its own: leave it time for what is done with a failure. */
	fetch->deadline_ns = worker->now_ns + (all_dead ? MIN(budget_ns, ALL_DEAD_NS) : budget_ns);
	advance(fetch);
	if (!fetch->ended && !all_dead)
		probe(fetch);
}

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
	fetch->timer.fire = on_timer;
	fetches->n++;
	table_put(fetches, fetch);
	waiter->fetch = fetch;
	waiter_put(&fetch->waiters, waiter);
	start(fetch);
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

static void tell(struct fetch_waiter **head, enum fetch_status status, struct entry *const *entries,
                 size_t n)
{
	/* Each call may add, cancel or free other waiters: always the head, never a saved next. */
	while (*head) {
		struct fetch_waiter *waiter = *head;

		waiter_remove(waiter);
		waiter->done(waiter, status, entries, n);
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
	tell(&fetches->denied, FETCH_DENIED, NULL, 0);
	while (ended) {
		struct fetch *fetch = ended;

		ended = fetch->ended_next;
		tell(&fetch->waiters, fetch->status, fetch->entries, fetch->n_entries);
		fetch_free(fetch);
		listeners_look(worker);
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
	for (size_t i = 0; i < BUCKETS; i++) {
		while (fetches->buckets[i])
			end(fetches->buckets[i], FETCH_FAILED);
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

	for (size_t i = 0; i < BUCKETS; i++) {
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
		stop_exchanges(fetch);
		forget_servers(fetch);
		fetch->zone = zone_of(fetch, fetch->name);
		table_put(fetches, fetch);
		/* Without a zone there are no servers, and it fails. */
		start(fetch);
	}
}

size_t fetches_in_flight(const struct worker *worker)
{
	return worker->fetches->n;
}
