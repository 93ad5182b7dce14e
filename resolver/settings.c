#include "settings.h"

#include <stdlib.h>
#include <string.h>

#include "proofs.h"
#include "sallyport/err.h"
#include "sallyport/limits.h"
#include "val_seen.h"
#include "wire.h"

static void or_default(uint32_t *value, uint32_t fallback)
{
	if (*value == 0)
		*value = fallback;
}

static void clamp(uint32_t *value, uint32_t least, uint32_t most)
{
	*value = MIN(MAX(*value, least), most);
}

static int add_anchor(struct val_anchors *anchors, const struct conf_anchor *anchor)
{
	if (name_wire_len(anchor->name, NAME_MAX_WIRE) < 0)
		return ERR_INVAL;
	return val_anchors_add(anchors, anchor->name, anchor->type, anchor->rdata,
	                       MIN(anchor->len, (uint16_t)LIMIT_ANCHOR_BYTES));
}

static int add_nta(struct val_anchors *anchors, const struct conf_nta *nta)
{
	if (name_wire_len(nta->name, NAME_MAX_WIRE) < 0 || nta->until_s == 0)
		return ERR_INVAL;
	return val_anchors_add_negative(anchors, nta->name, nta->until_s);
}

/* Anchors, with negative ones for zones with `dnssec: off` (without an end), and an empty table of
 * zones. */
static int add_validation(struct settings *settings)
{
	const struct resolver_conf *c = &settings->conf;
	CLEANUP(val_anchors_free) struct val_anchors *anchors = NULL;
	int r = ERR_OK;

	if (c->dnssec != DNSSEC_MODE_VALIDATE)
		return ERR_OK;
	anchors = val_anchors_new();
	if (!anchors)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < c->n_anchors && r == ERR_OK; i++)
		r = add_anchor(anchors, &c->anchors[i]);
	for (uint32_t i = 0; i < c->n_ntas && r == ERR_OK; i++)
		r = add_nta(anchors, &c->ntas[i]);
	for (uint32_t i = 0; i < c->n_zones && r == ERR_OK; i++) {
		if (c->zones[i].dnssec_off)
			r = val_anchors_add_negative(anchors, c->zones[i].name, 0);
	}
	if (r < 0)
		return r;
	settings->rules = val_rules_default;
	settings->rules.sha1 = c->dnssec_sha1;
	settings->rules.skew_min_s = c->dnssec_skew_min_s;
	settings->rules.skew_max_s = MAX(c->dnssec_skew_max_s, c->dnssec_skew_min_s);
	settings->rules.iterations_hard = (uint16_t)MIN(c->nsec3_iterations_hard, UINT16_MAX);
	settings->rules.iterations =
	    (uint16_t)MIN(c->nsec3_iterations, (uint32_t)settings->rules.iterations_hard);
	settings->validation.table = val_table_new(c->hash_key);
	settings->failures = val_failures_new(c->hash_key);
	settings->rules.seen = val_seen_new(c->hash_key);
	if (!settings->validation.table || !settings->failures || !settings->rules.seen)
		return ERR_NOMEM;
	if (c->dnssec_aggressive) {
		settings->proofs = proofs_new(c->hash_key);
		if (!settings->proofs)
			return ERR_NOMEM;
	}
	settings->validation.rules = &settings->rules;
	settings->validation.anchors = TAKE(anchors);
	return ERR_OK;
}

bool settings_disable_checking(const struct settings *settings, const uint8_t *name, uint16_t type)
{
	/* A DS is the parent's, and so is its validation (RFC 4035, section 2.4). */
	if (type == TYPE_DS && name[0] != 0)
		name += 1 + name[0];
	/* The times of negative anchors do not matter: either way we decide. */
	return settings->validation.anchors &&
	       val_anchors_above(settings->validation.anchors, name, 0) != NULL;
}

uint16_t settings_zone_of(const struct settings *settings, const uint8_t *name, uint16_t type,
                          uint64_t wall_s)
{
	const struct val_anchors *anchors = settings->validation.anchors;
	const struct val_anchor *anchor =
	    type == TYPE_DS && anchors ? val_anchors_above(anchors, name, wall_s) : NULL;

	return anchor && anchor->negative ? zones_find(settings->zones, name)
	                                  : zones_find_question(settings->zones, name, type);
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
	if (c->amplification == 0)
		c->amplification = LIMIT_AMPLIFICATION;
	clamp(&c->udp_bytes, 512, LIMIT_EDNS_UDP_BYTES);
	clamp(&c->workers, 1, LIMIT_WORKERS);
	clamp(&c->n_listeners, 0, LIMIT_LISTENERS);
	clamp(&c->n_zones, 0, LIMIT_ZONES);
	for (uint32_t i = 0; i < c->n_zones; i++)
		c->zones[i].n_servers = MIN(c->zones[i].n_servers, (uint16_t)LIMIT_ZONE_SERVERS);

	clamp(&c->n_anchors, 0, ROLE_ANCHORS);
	clamp(&c->n_ntas, 0, ARRAY_LEN(c->ntas));

	settings->zones = zones_new(c);
	if (!settings->zones || add_validation(settings) < 0) {
		settings_unref(settings);
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
	val_table_free(settings->validation.table);
	val_failures_free(settings->failures);
	val_seen_free(settings->rules.seen);
	val_anchors_free(settings->validation.anchors);
	proofs_free(settings->proofs);
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

/* What was judged under other anchors is judged anew. */
static bool same_validation(const struct resolver_conf *a, const struct resolver_conf *b)
{
	return a->dnssec == b->dnssec && a->dnssec_sentinel == b->dnssec_sentinel &&
	       a->dnssec_sha1 == b->dnssec_sha1 && a->nsec3_iterations == b->nsec3_iterations &&
	       a->nsec3_iterations_hard == b->nsec3_iterations_hard &&
	       a->dnssec_skew_min_s == b->dnssec_skew_min_s &&
	       a->dnssec_skew_max_s == b->dnssec_skew_max_s && a->n_anchors == b->n_anchors &&
	       memcmp(a->anchors, b->anchors, a->n_anchors * sizeof(a->anchors[0])) == 0 &&
	       a->n_ntas == b->n_ntas &&
	       memcmp(a->ntas, b->ntas, a->n_ntas * sizeof(a->ntas[0])) == 0;
}

bool settings_same_zones(const struct settings *a, const struct settings *b)
{
	if (a->conf.n_zones != b->conf.n_zones || !same_validation(&a->conf, &b->conf))
		return false;
	for (uint32_t i = 0; i < a->conf.n_zones; i++) {
		if (!same_zone(&a->conf.zones[i], &b->conf.zones[i]))
			return false;
	}
	return true;
}
