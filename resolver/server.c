#include "server.h"

#include <stdlib.h>
#include <string.h>

#include "exchange.h"
#include "sallyport/clock.h"
#include "sallyport/log.h"
#include "worker.h"

struct server_zone {
	size_t n;
	struct server *list[LIMIT_ZONE_SERVERS];
};
struct servers {
	size_t n_zones;
	struct server_zone zones[];
};

struct server *server_ref(struct server *server)
{
	server->refs++;
	return server;
}

void server_unref(struct server *server)
{
	if (--server->refs > 0)
		return;
	/* Connections hold references, so there are none, and so do exchanges. */
	upstream_udp_close_resting(server);
	free(server);
}

static struct server *find(const struct servers *servers, const struct conf_server *conf)
{
	for (size_t z = 0; servers && z < servers->n_zones; z++) {
		for (size_t i = 0; i < servers->zones[z].n; i++) {
			struct server *server = servers->zones[z].list[i];

			if (server->port == conf->port &&
			    memcmp(server->addr, conf->addr, ADDR_LEN) == 0)
				return server;
		}
	}
	return NULL;
}

static struct server *server_new(const struct conf_server *conf)
{
	struct server *server = calloc(1, sizeof(*server));

	if (!server)
		return NULL;
	server->refs = 1;
	memcpy(server->addr, conf->addr, ADDR_LEN);
	server->port = conf->port;
	return server;
}

struct servers *servers_new(const struct settings *settings, const struct servers *old)
{
	const struct resolver_conf *conf = &settings->conf;
	struct servers *servers;

	servers = calloc(1, sizeof(*servers) + conf->n_zones * sizeof(servers->zones[0]));
	if (!servers)
		return NULL;
	servers->n_zones = conf->n_zones;
	for (size_t z = 0; z < conf->n_zones; z++) {
		const struct conf_zone *zone = &conf->zones[z];
		struct server_zone *to = &servers->zones[z];

		for (size_t i = 0; i < zone->n_servers; i++) {
			struct server *server = find(old, &zone->servers[i]);

			if (!server)
				server = find(servers, &zone->servers[i]);
			server = server ? server_ref(server) : server_new(&zone->servers[i]);
			if (!server) {
				servers_free(servers);
				return NULL;
			}
			server->n_places++;
			to->list[to->n++] = server;
		}
	}
	return servers;
}

void servers_free(struct servers *servers)
{
	if (!servers)
		return;
	for (size_t z = 0; z < servers->n_zones; z++) {
		for (size_t i = 0; i < servers->zones[z].n; i++) {
			struct server *server = servers->zones[z].list[i];

			/* Only idle ones go; who is being asked still holds the server. */
			/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): one count is ours */
			if (--server->n_places == 0)
				exchange_tcp_retire(server);
			server_unref(server);
		}
	}
	free(servers);
}

size_t servers_of_zone(const struct servers *servers, uint16_t zone, struct server *const **ret)
{
	if (zone >= servers->n_zones)
		return 0;
	*ret = servers->zones[zone].list;
	return servers->zones[zone].n;
}

static void say(const struct server *server, const char *what)
{
	char text[ADDR_TEXT_LEN];

	addr_text(server->addr, text);
	log_kv(LOG_LEVEL_WARNING, "upstream", "server", text, "%s (port %u)", what, server->port);
}

/* RFC 6298, section 2, with the clock's granularity left out: it is nanoseconds. */
void server_answered(struct server *server, uint64_t rtt_ns, uint64_t now_ns)
{
	uint32_t rtt_us = (uint32_t)MIN(rtt_ns / 1000 + 1, UINT64_C(60000000));

	if (server->dead)
		say(server, "answers again");
	server->dead = false;
	server->n_failed = 0;
	server->answered_ns = now_ns;
	server->probe_gap_ns = 0;
	if (server->srtt_us == 0) {
		server->srtt_us = rtt_us;
		server->rttvar_us = rtt_us / 2;
		return;
	}
	uint32_t diff =
	    rtt_us > server->srtt_us ? rtt_us - server->srtt_us : server->srtt_us - rtt_us;

	server->rttvar_us = server->rttvar_us - server->rttvar_us / 4 + diff / 4;
	server->srtt_us = server->srtt_us - server->srtt_us / 8 + rtt_us / 8;
	if (server->srtt_us == 0)
		server->srtt_us = 1;
}

void server_failed(struct server *server, uint64_t now_ns)
{
	server->n_failed++;
	if (server->dead || server->n_failed < SERVER_DEAD_AFTER ||
	    (server->answered_ns && now_ns - server->answered_ns < SERVER_SILENT_MS * NS_PER_MS))
		return;
	server->dead = true;
	server->probe_gap_ns = SERVER_PROBE_MIN_MS * NS_PER_MS;
	server->probe_ns = now_ns + server->probe_gap_ns;
	say(server, "does not answer");
}

bool server_probe(struct server *server, uint64_t now_ns)
{
	if (!server->dead || now_ns < server->probe_ns)
		return false;
	server->probe_gap_ns =
	    MIN(server->probe_gap_ns * 2, (uint64_t)SERVER_PROBE_MAX_MS * NS_PER_MS);
	server->probe_ns = now_ns + server->probe_gap_ns;
	return true;
}

uint64_t server_timeout_ns(const struct server *server, unsigned int n_before)
{
	uint64_t ms = SERVER_TIMEOUT_FIRST_MS;

	if (server->srtt_us > 0)
		ms = (server->srtt_us + UINT64_C(4) * server->rttvar_us) / 1000;
	ms = MAX(ms, (uint64_t)SERVER_TIMEOUT_MIN_MS);
	ms = ms << MIN(n_before, 8U);
	return MIN(ms, (uint64_t)SERVER_TIMEOUT_MAX_MS) * NS_PER_MS;
}
