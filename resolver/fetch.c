/* resolver/fetch.c
 *
 *   ASKING --usable answer----------> ENDED (OK)      in the cache; fetches_turn() tells
 *   |  ^--timeout, TC, near-miss, failure: next try, while tries and servers are left
 *   '------nothing left, deadline---> ENDED (FAILED)
 *
 * A try that got no answer in time keeps its socket until the fetch ends: a recursive upstream may
 * need longer for a cold name than for a warm one, and its late answer is as good. So one fetch has
 * up to LIMIT_UPSTREAM_TRIES exchanges open, and the first good answer ends them all.
 */
#include "fetch_core.h"

#include <string.h>

#include "cache.h"
#include "fitness.h"
#include "sallyport/err.h"
#include "server.h"
#include "settings.h"

#define FAILURE_TTL_S 5 /* RFC 9520, section 3.2: at least 1 s, at most 5 minutes */
#define RCODE_SERVFAIL 2
#define TCP_TRY_NS (UINT64_C(1500) * NS_PER_MS)
#define ALL_DEAD_NS (UINT64_C(1500) * NS_PER_MS) /* nobody has answered for a while: fail soon */
#define BROKEN_MAX 2                             /* of one server, then no more tries there */
#define STARVED_NS (UINT64_C(100) * NS_PER_MS)   /* after so long there may be room */
#define STARVED_MAX 20                           /* times that it looks for room */
#define EXPLORE_ODDS 32 /* one question of so many goes to another living server */

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

void fetch_stop(struct fetch *fetch)
{
	stop_exchanges(fetch);
	forget_servers(fetch);
}

static void fail(struct fetch *fetch)
{
	struct worker *worker = fetch->worker;
	struct entry *entry;

	if (fetch->starved) {
		fetch_end(fetch, FETCH_LIMIT);
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
	fetch_end(fetch, fetch->oversize ? FETCH_OVERSIZE : FETCH_FAILED);
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

	if (!fetch_may_send(fetch)) {
		fetch_end(fetch, FETCH_DENIED);
		return ERR_DENIED;
	}
	*exchange = (struct exchange){
		.ops = &ops,
		.worker = fetch->worker,
		.server = fetch->servers[i].server,
		.owner = fetch,
		.class = fetch->waiters->class, /* there are some: one may send */
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
	const bool starved = fetch->starved; /* which is about the living ones */

	for (size_t i = 0; i < fetch->n_servers && !fetch->ended; i++) {
		if (fetch->servers[i].n_asked > 0 || fetch->servers[i].unfit ||
		    fetch->n_udp + 1 >= LIMIT_UPSTREAM_UDP_TRIES)
			continue;
		if (!server_probe(fetch->servers[i].server, now_of(fetch)))
			continue;
		(void)try(fetch, i); /* it was dead before, too */
		fetch->starved = starved;
	}
}

static size_t index_of(const struct fetch *fetch, const struct server *server)
{
	size_t i = 0;

	while (fetch->servers[i].server != server)
		i++;
	return i;
}

void fetch_on_timer(struct wheel_item *item)
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
		fetch_end(fetch, FETCH_FAILED);
	else if (now >= fetch->deadline_ns)
		fail(fetch);
	else
		advance(fetch);
}

/* ---- what comes back ---- */

uint16_t fetch_zone_of(const struct fetch *fetch, const uint8_t *name)
{
	const struct worker *worker = fetch->worker;

	return settings_zone_of(worker->settings, name, fetch->type, worker->wall_ns / NS_PER_S);
}

static bool same_zone(void *ctx, const uint8_t *name)
{
	const struct fetch *fetch = ctx;

	return fetch_zone_of(fetch, name) == fetch->zone;
}

/* Returns 0, an error (the message is of no use), or the RCODE by which it is a refusal after all:
 * its upper bits are in OPT (RFC 6891, section 6.1.3). */
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
	if (fetch->entries[0]->kind == ENTRY_FAILURE) {
		int rcode = fetch->entries[0]->rcode;

		entry_unref(TAKE(fetch->entries[0]));
		return rcode;
	}
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
	if (why == ERR_NOMEM) /* ours */
		return;
	count(fetch->worker->lane,
	      why == ERR_LIMIT ? COUNT_LIMIT_UPSTREAM_MESSAGE : COUNT_UPSTREAM_MALFORMED);
}

static void refused(struct fetch *fetch, size_t i, uint16_t rcode)
{
	fetch->servers[i].refused = true;
	if (!fetch->rcode_given)
		fetch->rcode = rcode;
	fetch->rcode_given = true;
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
			fetch_end(fetch, FETCH_OK);
			return;
		}
		if (r > 0)
			refused(fetch, i, (uint16_t)r);
		else
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
		refused(fetch, i, exchange->rcode);
		break;
	case EXCHANGE_MALFORMED: /* perhaps only what a zone's owner made it say: it is not dead */
		server_answered(server, rtt_ns, now);
		broken(fetch, i, ERR_MALFORMED);
		break;
	case EXCHANGE_OVERSIZE:
		server_answered(server, rtt_ns, now);
		broken(fetch, i, ERR_LIMIT);
		break;
	case EXCHANGE_EVICTED:
		if (exchange->alone) /* it has had its time there */
			fetch->servers[i].n_broken++;
		fetch->servers[i].alone = true;
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
		fetch_end(fetch, FETCH_FAILED); /* nobody on whose behalf it could be sent again */
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

	if (fetch_may_send(fetch))
		return true;
	fetch_end(fetch, FETCH_DENIED); /* which stops the exchange */
	return false;
}

static const struct exchange_ops ops = { .event = on_event, .may_send = on_may_send };

/* ---- beginning ---- */

void fetch_start(struct fetch *fetch)
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
