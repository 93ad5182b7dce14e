#include "settings.h"

#include <stdlib.h>
#include <string.h>

#include "sallyport/limits.h"

static void or_default(uint32_t *value, uint32_t fallback)
{
	if (*value == 0)
		*value = fallback;
}

static void clamp(uint32_t *value, uint32_t least, uint32_t most)
{
	*value = MIN(MAX(*value, least), most);
}

struct settings *settings_new(const struct resolver_conf *conf)
{
	struct settings *settings = calloc(1, sizeof(*settings));
	struct resolver_conf *c;

	if (!settings)
		return NULL;
	atomic_init(&settings->refs, 1);
	c = &settings->conf;
	*c = *conf;

	or_default(&c->in_flight, LIMIT_IN_FLIGHT);
	or_default(&c->in_flight_workload, LIMIT_IN_FLIGHT_WORKLOAD);
	or_default(&c->in_flight_client, LIMIT_IN_FLIGHT_CLIENT);
	or_default(&c->tcp_connections, LIMIT_TCP_CONNECTIONS);
	or_default(&c->tcp_connections_client, LIMIT_TCP_CONNECTIONS_CLIENT);
	or_default(&c->tcp_idle_ms, LIMIT_TCP_IDLE_MS);
	or_default(&c->tcp_read_ms, LIMIT_TCP_READ_MS);
	or_default(&c->query_ms, LIMIT_QUERY_MS);
	or_default(&c->udp_bytes, LIMIT_EDNS_UDP_BYTES);
	clamp(&c->udp_bytes, 512, LIMIT_EDNS_UDP_BYTES);
	clamp(&c->workers, 1, LIMIT_WORKERS);
	clamp(&c->n_listeners, 0, LIMIT_LISTENERS);
	clamp(&c->n_zones, 0, LIMIT_ZONES);
	for (uint32_t i = 0; i < c->n_zones; i++)
		c->zones[i].n_servers = MIN(c->zones[i].n_servers, (uint16_t)LIMIT_ZONE_SERVERS);

	settings->zones = zones_new(c);
	if (!settings->zones) {
		free(settings);
		return NULL;
	}
	return settings;
}

struct settings *settings_ref(struct settings *settings)
{
	atomic_fetch_add_explicit(&settings->refs, 1, memory_order_relaxed);
	return settings;
}

void settings_unref(struct settings *settings)
{
	if (!settings || atomic_fetch_sub_explicit(&settings->refs, 1, memory_order_acq_rel) != 1)
		return;
	zones_free(settings->zones);
	free(settings);
}

static bool same_zone(const struct conf_zone *a, const struct conf_zone *b)
{
	int len = name_wire_len(a->name, NAME_MAX_WIRE);

	if (len < 0 || memcmp(a->name, b->name, (size_t)len) != 0)
		return false;
	if (a->internal != b->internal || a->dnssec_off != b->dnssec_off ||
	    a->n_servers != b->n_servers)
		return false;
	for (unsigned int i = 0; i < a->n_servers; i++) {
		if (a->servers[i].port != b->servers[i].port ||
		    memcmp(a->servers[i].addr, b->servers[i].addr, ADDR_LEN) != 0)
			return false;
	}
	return true;
}

bool settings_same_zones(const struct settings *a, const struct settings *b)
{
	if (a->conf.n_zones != b->conf.n_zones)
		return false;
	for (uint32_t i = 0; i < a->conf.n_zones; i++) {
		if (!same_zone(&a->conf.zones[i], &b->conf.zones[i]))
			return false;
	}
	return true;
}
