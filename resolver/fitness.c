/* resolver/fitness.c - probes, and what their answers tell. */
#include "fitness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exchange.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/log.h"
#include "server.h"
#include "settings.h"
#include "wire.h"
#include "worker.h"

struct probe { /* of one server of one zone */
	struct exchange exchange;
	struct fitness *fitness;
	struct server *server; /* a reference */
	uint16_t zone;
	uint8_t index;   /* of the server in its zone */
	uint8_t n_sent;  /* of this probe; 0: none is under way */
	bool is_signed;  /* an anchor says so */
	bool tcp;        /* next by TCP */
	uint64_t due_ns; /* UINT64_MAX: when it is suspected */
	uint64_t not_before_ns;
	uint64_t late_ns; /* of the send that is out; 0: none */
	uint64_t gap_ns;
};

struct fitness {
	struct worker *worker;
	size_t n, n_running;
	struct probe *probes;
};

static struct upstream_words *words_of(const struct worker *worker)
{
	return worker->upstreams;
}

static const struct conf_zone *zone_of(const struct worker *worker, uint16_t zone)
{
	return &worker->settings->conf.zones[zone];
}

/* May the zone's own name be asked for, and is it known to be signed? */
static bool is_validated(const struct worker *worker, uint16_t zone, bool *ret_is_signed)
{
	const struct settings *settings = worker->settings;
	const struct conf_zone *conf = &settings->conf.zones[zone];
	const struct val_anchor *anchor;

	*ret_is_signed = false;
	if (!settings->validation.anchors)
		return false;
	anchor =
	    val_anchors_above(settings->validation.anchors, conf->name, worker->wall_ns / NS_PER_S);
	if (!anchor) /* islands only: the root says all the same whether it gives signatures */
		return conf->name[0] == 0;
	*ret_is_signed = name_equal(anchor->name, conf->name);
	return !anchor->negative;
}

/* ---- what an answer tells ---- */

struct sight { /* of an answer */
	bool opt, dnskey, signature;
};

/* The scan has found every record whole. */
static size_t skip_name(const uint8_t *msg, size_t pos)
{
	while (msg[pos] != 0 && msg[pos] < 0xc0)
		pos += 1u + msg[pos];
	return pos + (msg[pos] == 0 ? 1 : 2);
}

static struct sight look_at(const uint8_t *msg)
{
	unsigned int n_answer = wire_u16(msg + 6);
	unsigned int n = n_answer + wire_u16(msg + 8) + wire_u16(msg + 10);
	size_t pos = skip_name(msg, WIRE_HEADER) + 4;
	struct sight sight = { 0 };

	for (unsigned int i = 0; i < n; i++) {
		size_t fixed = skip_name(msg, pos), rdata = fixed + WIRE_RR_FIXED;
		uint16_t type = wire_u16(msg + fixed), len = wire_u16(msg + fixed + 8);

		sight.opt |= type == TYPE_OPT;
		sight.dnskey |= i < n_answer && type == TYPE_DNSKEY;
		sight.signature |= i < n_answer && type == TYPE_RRSIG && len >= 2 &&
		                   wire_u16(msg + rdata) == TYPE_DNSKEY;
		pos = rdata + len;
	}
	return sight;
}

/* A zone without an anchor of its own may be unsigned: that it has no DNSKEY tells nothing bad of
 * the server, and EDNS is not needed then. */
static enum upstream_state state_of(const struct probe *probe, const uint8_t *msg)
{
	struct sight sight = look_at(msg);

	if (sight.dnskey && sight.signature)
		return UPSTREAM_FIT;
	if (!sight.opt && (sight.dnskey || probe->is_signed))
		return UPSTREAM_NO_EDNS;
	if (sight.dnskey)
		return UPSTREAM_NO_RRSIG;
	return probe->is_signed ? UPSTREAM_NO_DNSKEY : UPSTREAM_FIT;
}

/* ---- one probe ---- */

static enum upstream_state known_state(const struct probe *probe)
{
	const struct worker *worker = probe->fitness->worker;

	return upstream_state(words_of(worker), probe->zone, zone_of(worker, probe->zone),
	                      probe->index);
}

static void say(const struct probe *probe, enum upstream_state state)
{
	const char *wrong = upstream_wrong_str(state);
	char server[ADDR_TEXT_LEN], zone[NAME_TEXT_LEN];

	addr_text(probe->server->addr, server);
	name_to_text(zone_of(probe->fitness->worker, probe->zone)->name, zone);
	log_kv(LOG_LEVEL_WARNING, "upstream", "server", server, "%s (port %u, zone %s)",
	       wrong ? wrong : "gives signatures again", probe->server->port, zone);
}

static void stop(struct probe *probe)
{
	exchange_stop(&probe->exchange);
	probe->fitness->n_running -= probe->n_sent > 0;
	probe->n_sent = 0;
	probe->late_ns = 0;
	probe->tcp = false;
}

/* The probe has ended. @state: what it has told; UNKNOWN: nothing. */
static void conclude(struct probe *probe, enum upstream_state state)
{
	struct worker *worker = probe->fitness->worker;
	enum upstream_state before = known_state(probe);
	uint64_t now = worker->now_ns;

	stop(probe);
	if (state == UPSTREAM_UNKNOWN)
		state = before;
	else if (state != before)
		upstream_set_state(words_of(worker), probe->zone, zone_of(worker, probe->zone),
		                   probe->index, state);
	if (state != before && (upstream_is_unfit(state) || upstream_is_unfit(before))) {
		count(worker->lane, COUNT_UPSTREAM_UNFIT);
		say(probe, state);
	}
	if (state == UPSTREAM_FIT) {
		probe->gap_ns = 0;
		probe->due_ns = UINT64_MAX;
		probe->not_before_ns = now + FITNESS_GAP_AGAIN_MS * NS_PER_MS;
		return;
	}
	probe->gap_ns = MAX(probe->gap_ns * 2, (uint64_t)FITNESS_GAP_MIN_MS * NS_PER_MS);
	probe->gap_ns = MIN(probe->gap_ns, (uint64_t)FITNESS_GAP_MAX_MS * NS_PER_MS);
	probe->due_ns = probe->not_before_ns = now + probe->gap_ns;
}

static void on_event(struct exchange *exchange, enum exchange_event event, const uint8_t *msg,
                     size_t len)
{
	struct probe *probe = exchange->owner;
	uint64_t now = exchange->worker->now_ns;
	enum upstream_state state = UPSTREAM_UNKNOWN;

	(void)len;            /* the scan has seen to it */
	probe->late_ns = now; /* the next turn sends again, unless this was an answer */
	switch (event) {
	case EXCHANGE_ANSWER:
		server_answered(probe->server, now - exchange->sent_ns, now);
		conclude(probe, state_of(probe, msg));
		break;
	case EXCHANGE_FAILED:
		/* RFC 6891, section 7: who does not know EDNS says so with these. */
		if (probe->is_signed &&
		    (exchange->rcode == RCODE_FORMERR || exchange->rcode == RCODE_NOTIMP))
			state = UPSTREAM_NO_EDNS;
		conclude(probe, state);
		break;
	case EXCHANGE_TRUNCATED:
	case EXCHANGE_NEAR_MISS:
		probe->tcp = true;
		break;
	case EXCHANGE_BROKEN:
	case EXCHANGE_EVICTED:
	case EXCHANGE_MALFORMED:
	case EXCHANGE_OVERSIZE:
		break;
	}
}

static bool on_may_send(struct exchange *exchange)
{
	struct probe *probe = exchange->owner;
	bool is_signed;

	if (is_validated(exchange->worker, probe->zone, &is_signed))
		return true;
	conclude(probe, UPSTREAM_UNKNOWN);
	return false;
}

static const struct exchange_ops ops = { .event = on_event, .may_send = on_may_send };

static void send_one(struct probe *probe)
{
	struct fitness *fitness = probe->fitness;
	struct worker *worker = fitness->worker;
	struct exchange *exchange = &probe->exchange;
	int r;

	if (!is_validated(worker, probe->zone, &probe->is_signed)) {
		if (known_state(probe) != UPSTREAM_UNKNOWN)
			upstream_set_state(words_of(worker), probe->zone,
			                   zone_of(worker, probe->zone), probe->index,
			                   UPSTREAM_UNKNOWN);
		conclude(probe, UPSTREAM_UNKNOWN);
		return;
	}
	if (probe->n_sent == FITNESS_SENDS) {
		conclude(probe, UPSTREAM_UNKNOWN);
		return;
	}
	*exchange = (struct exchange){
		.ops = &ops,
		.worker = worker,
		.server = probe->server,
		.owner = probe,
		.class = POLICY_NONE,
	};
	ask_init(&exchange->ask, zone_of(worker, probe->zone)->name, TYPE_DNSKEY, true,
	         &worker->entropy);
	fitness->n_running += probe->n_sent == 0;
	probe->n_sent++;
	probe->late_ns = worker->now_ns + FITNESS_ANSWER_MS * NS_PER_MS;
	count(worker->lane, COUNT_UPSTREAM_PROBES);
	r = probe->tcp ? exchange_tcp_start(exchange) : exchange_udp_start(exchange);
	if (r < 0)
		conclude(probe, UPSTREAM_UNKNOWN);
}

/* ---- all of them ---- */

static void forget(struct fitness *fitness)
{
	for (size_t i = 0; i < fitness->n; i++) {
		stop(&fitness->probes[i]);
		server_unref(fitness->probes[i].server);
	}
	free(TAKE(fitness->probes));
	fitness->n = fitness->n_running = 0;
}

struct fitness *fitness_new(struct worker *worker)
{
	struct fitness *fitness = calloc(1, sizeof(*fitness));

	if (!fitness)
		return NULL;
	fitness->worker = worker;
	if (fitness_settings_changed(fitness) < 0) {
		free(fitness);
		return NULL;
	}
	return fitness;
}

void fitness_free(struct fitness *fitness)
{
	if (!fitness)
		return;
	forget(fitness);
	free(fitness);
}

static void add_probe(struct fitness *fitness, uint16_t zone, size_t index, struct server *server)
{
	struct probe *probe = &fitness->probes[fitness->n++];

	*probe = (struct probe){ .fitness = fitness,
		                 .exchange = { .worker = fitness->worker },
		                 .server = server_ref(server),
		                 .zone = zone,
		                 .index = (uint8_t)index };
	/* What is known of it stays known; without a word of its own nobody could suspect it. */
	if (known_state(probe) == UPSTREAM_UNKNOWN)
		upstream_set_state(words_of(fitness->worker), zone, zone_of(fitness->worker, zone),
		                   probe->index, UPSTREAM_UNKNOWN);
}

int fitness_settings_changed(struct fitness *fitness)
{
	struct worker *worker;
	struct server *const *servers;
	size_t n = 0;

	if (!fitness)
		return ERR_OK;
	forget(fitness);
	worker = fitness->worker;
	for (uint32_t z = 0; z < worker->settings->conf.n_zones; z++)
		n += worker->settings->conf.zones[z].n_servers;
	if (n == 0 || !words_of(worker) || !worker->settings->validation.anchors)
		return ERR_OK;
	fitness->probes = calloc(n, sizeof(*fitness->probes));
	if (!fitness->probes)
		return ERR_NOMEM;
	for (uint32_t z = 0; z < worker->settings->conf.n_zones; z++) {
		size_t n_servers = servers_of_zone(worker->servers, (uint16_t)z, &servers);

		for (size_t i = 0; i < n_servers; i++)
			add_probe(fitness, (uint16_t)z, i, servers[i]);
	}
	return ERR_OK;
}

static bool is_due(const struct probe *probe, uint64_t now)
{
	const struct worker *worker = probe->fitness->worker;

	if (now < probe->not_before_ns)
		return false;
	return upstream_take_suspicion(words_of(worker), probe->zone, zone_of(worker, probe->zone),
	                               probe->index) ||
	       now >= probe->due_ns;
}

void fitness_turn(struct fitness *fitness)
{
	uint64_t now = fitness->worker->now_ns;

	for (size_t i = 0; i < fitness->n; i++) {
		struct probe *probe = &fitness->probes[i];

		if (probe->n_sent > 0 ? now < probe->late_ns
		                      : fitness->n_running == FITNESS_PROBES || !is_due(probe, now))
			continue;
		exchange_stop(&probe->exchange);
		send_one(probe);
	}
}

/* ---- for every worker ---- */

static bool has_words(const struct worker *worker, uint16_t zone)
{
	return words_of(worker) && zone < worker->settings->conf.n_zones;
}

bool fitness_is_unfit(const struct worker *worker, uint16_t zone, size_t server)
{
	return has_words(worker, zone) && worker->settings->validation.anchors &&
	       upstream_is_unfit(upstream_state(words_of(worker), zone, zone_of(worker, zone),
	                                        (unsigned int)server));
}

void fitness_suspect(const struct worker *worker, uint16_t zone)
{
	if (!has_words(worker, zone))
		return;
	for (unsigned int i = 0; i < zone_of(worker, zone)->n_servers; i++)
		upstream_suspect(words_of(worker), zone, zone_of(worker, zone), i);
}

enum upstream_state fitness_culprit(const struct worker *worker, uint16_t zone,
                                    char ret_text[static FITNESS_TEXT_LEN])
{
	const struct conf_zone *conf;
	enum upstream_state first;
	char addr[ADDR_TEXT_LEN];

	if (!has_words(worker, zone))
		return UPSTREAM_UNKNOWN;
	conf = zone_of(worker, zone);
	for (unsigned int i = 0; i < conf->n_servers; i++) {
		if (!fitness_is_unfit(worker, zone, i))
			return UPSTREAM_UNKNOWN;
	}
	if (conf->n_servers == 0)
		return UPSTREAM_UNKNOWN;
	first = upstream_state(words_of(worker), zone, conf, 0);
	if (!upstream_is_unfit(first)) /* it has changed while we looked */
		return UPSTREAM_UNKNOWN;
	addr_text(conf->servers[0].addr, addr);
	snprintf(ret_text, FITNESS_TEXT_LEN, "upstream %s %s", addr, upstream_wrong_str(first));
	return first;
}
