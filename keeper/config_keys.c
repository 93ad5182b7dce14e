/* keeper/config_keys.c - every key of the configuration: kind, place, range. */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "config_dnssec.h"
#include "config_read.h"
#include "sallyport/err.h"
#include "sallyport/log.h"
#include "sallyport/name.h"
#include "sallyport/prefix.h"

#define AT(field) offsetof(struct config, field)
#define DAY_S 86400

/* --- users and groups ------------------------------------------------------------------------ */

static bool read_user(struct config_reader *r, struct fy_node *node, const char *what,
                      struct config_user *ret_user)
{
	char name[YAML_SCALAR_MAX];

	if (!yaml_scalar(&r->yaml, node, what, name))
		return false;
	if (r->names->user(name, &ret_user->uid, &ret_user->gid) < 0) {
		yaml_fault(
		    &r->yaml, node,
		    "%s: no user \"%s\" on this system; make it (adduser --system --group %s) or "
		    "name another",
		    what, name, name);
		return false;
	}
	if (ret_user->uid == 0) {
		yaml_fault(&r->yaml, node, "%s: a role never runs as root; name an ordinary user",
		           what);
		return false;
	}
	return true;
}

static void read_role_user(struct config_reader *r, struct fy_node *value, const char *what,
                           enum config_process process)
{
	struct config_user user;

	if (read_user(r, value, what, &user))
		r->config->users[process] = user;
}

static void own_user_resolver(struct config_reader *r, struct fy_node *key, struct fy_node *value)
{
	(void)key;
	read_role_user(r, value, "user.resolver", CONFIG_RESOLVER);
}
static void own_user_historian(struct config_reader *r, struct fy_node *key, struct fy_node *value)
{
	(void)key;
	read_role_user(r, value, "user.historian", CONFIG_HISTORIAN);
}
static void own_user_fwsync(struct config_reader *r, struct fy_node *key, struct fy_node *value)
{
	(void)key;
	read_role_user(r, value, "user.fwsync", CONFIG_FWSYNC);
}
static void own_user_compiler(struct config_reader *r, struct fy_node *key, struct fy_node *value)
{
	(void)key;
	read_role_user(r, value, "user.compiler", CONFIG_COMPILER);
}

static const struct key user_keys[] = {
	{ .name = "resolver", .kind = KEY_OWN, .own = own_user_resolver },
	{ .name = "historian", .kind = KEY_OWN, .own = own_user_historian },
	{ .name = "fwsync", .kind = KEY_OWN, .own = own_user_fwsync },
	{ .name = "compiler", .kind = KEY_OWN, .own = own_user_compiler },
	{ 0 },
};

static void own_user(struct config_reader *r, struct fy_node *key, struct fy_node *value)
{
	struct config_user user;

	if (yaml_is_mapping(value)) {
		config_read_mapping(r, key, value, "user", user_keys, NULL);
		return;
	}
	if (!value || yaml_is_sequence(value)) {
		yaml_fault(&r->yaml, key,
		           "user is neither a name nor a mapping of roles; write user: "
		           "sallyport, or {resolver: ..., historian: ..., fwsync: ...}");
		return;
	}
	if (!read_user(r, value, "user", &user))
		return;
	for (size_t i = 0; i < CONFIG_PROCESS_N; i++)
		r->config->users[i] = user;
}

static void read_group(struct config_reader *r, struct fy_node *key, struct fy_node *value,
                       const char *what, uint32_t *ret_gid)
{
	char name[YAML_SCALAR_MAX];
	uint32_t gid;

	if (!value || yaml_is_mapping(value) || yaml_is_sequence(value)) {
		yaml_fault(&r->yaml, key, "%s is not a group's name; write one", what);
		return;
	}
	if (!yaml_scalar(&r->yaml, value, what, name))
		return;
	if (r->names->group(name, &gid) < 0)
		yaml_fault(
		    &r->yaml, value,
		    "%s: no group \"%s\" on this system; make it (addgroup --system %s) or name "
		    "another",
		    what, name, name);
	else
		*ret_gid = gid;
}

static void own_admin_group(struct config_reader *r, struct fy_node *key, struct fy_node *value)
{
	read_group(r, key, value, "access.admin_group", &r->config->admin_gid);
}
static void own_analyst_group(struct config_reader *r, struct fy_node *key, struct fy_node *value)
{
	read_group(r, key, value, "access.analyst_group", &r->config->analyst_gid);
}

static const struct key access_keys[] = {
	{ .name = "admin_group", .kind = KEY_OWN, .own = own_admin_group },
	{ .name = "analyst_group", .kind = KEY_OWN, .own = own_analyst_group },
	{ 0 },
};

/* --- addresses ------------------------------------------------------------------------------- */

struct endpoint { /* one entry of listen or of a zone's servers */
	uint8_t addr[ADDR_LEN];
	bool addr_set;
	uint32_t port;
};

static bool is_unspecified(const uint8_t addr[static ADDR_LEN])
{
	static const uint8_t zero[ADDR_LEN];

	return memcmp(addr, zero, ADDR_LEN) == 0 ||
	       (addr_is_v4(addr) && memcmp(addr + 12, zero, 4) == 0);
}

static bool is_multicast(const uint8_t addr[static ADDR_LEN])
{
	return addr_is_v4(addr) ? addr[12] >= 224 : addr[0] == 0xff;
}

/* Reads into *reader->endpoint through a table, so that unknown keys are found as everywhere. */
static const struct key listen_keys[] = {
	{ .name = "address", .kind = KEY_OWN, .flags = KEY_REQUIRED },
	{ .name = "port",
	  .kind = KEY_COUNT,
	  .offset = offsetof(struct endpoint, port),
	  .min = 1,
	  .max = 65535 },
	{ .name = "tls", .kind = KEY_LATER },
	{ 0 },
};

/* KEY_OWN has no base to write to: the address is found in the mapping here, before the table is
 * walked with a reader that leaves it alone. */
static void own_nothing(struct config_reader *r, struct fy_node *key, struct fy_node *value)
{
	(void)r, (void)key, (void)value;
}

static bool read_endpoint(struct config_reader *r, struct fy_node *item, const char *path,
                          struct endpoint *ret)
{
	struct key keys[ARRAY_LEN(listen_keys)];
	struct fy_node *key, *value;
	void *iter = NULL;
	char text[YAML_SCALAR_MAX];
	size_t before = r->yaml.diag->n_errors;

	memcpy(keys, listen_keys, sizeof(keys));
	keys[0].own = own_nothing;
	*ret = (struct endpoint){ .port = 53 };
	config_read_mapping(r, item, item, path, keys, ret);
	while (yaml_next_pair(item, &iter, &key, &value)) {
		char name[YAML_SCALAR_MAX], what[64];

		if (!yaml_scalar(&r->yaml, key, "a key", name) || strcmp(name, "address") != 0)
			continue;
		snprintf(what, sizeof(what), "%s.address", path);
		if (!value || yaml_is_mapping(value) || yaml_is_sequence(value)) {
			yaml_fault(&r->yaml, key, "%s is not a single value; write one", what);
			continue;
		}
		if (!yaml_scalar(&r->yaml, value, what, text))
			continue;
		if (addr_parse(text, ret->addr) < 0)
			yaml_fault(
			    &r->yaml, value,
			    "%s: \"%s\" is not an IP address; write one such as 192.0.2.1 or "
			    "2001:db8::1",
			    what, text);
		else if (is_multicast(ret->addr))
			yaml_fault(&r->yaml, value, "%s: %s is not a host's address; name one",
			           what, text);
		else
			ret->addr_set = true;
	}
	return r->yaml.diag->n_errors == before && ret->addr_set;
}

static void own_listen(struct config_reader *r, struct fy_node *key, struct fy_node *item)
{
	struct resolver_conf *conf = &r->config->resolver;
	struct conf_listener *l;
	struct endpoint e;

	(void)key;
	if (!read_endpoint(r, item, "listen", &e) || conf->n_listeners == LIMIT_LISTENERS)
		return;
	for (size_t i = 0; i < conf->n_listeners; i++) {
		l = &conf->listeners[i];
		if (memcmp(l->addr, e.addr, ADDR_LEN) == 0 && l->port == e.port) {
			yaml_fault(&r->yaml, item,
			           "listen: this address and port are listed twice; "
			           "remove one");
			return;
		}
	}
	l = &conf->listeners[conf->n_listeners++];
	memcpy(l->addr, e.addr, ADDR_LEN);
	l->port = (uint16_t)e.port;
	l->wildcard = is_unspecified(e.addr);
}

/* --- upstreams ------------------------------------------------------------------------------- */

/* The zone that is being read is the last one, conf->zones[n_zones]; it counts when it is whole. */
static struct conf_zone *present_zone(struct config_reader *r)
{
	return &r->config->resolver.zones[r->config->resolver.n_zones];
}

static void own_zone(struct config_reader *r, struct fy_node *key, struct fy_node *value)
{
	struct resolver_conf *conf = &r->config->resolver;
	struct conf_zone *zone = present_zone(r);
	uint8_t wire[NAME_MAX_WIRE];
	char text[YAML_SCALAR_MAX];
	int len;

	if (!value || yaml_is_mapping(value) || yaml_is_sequence(value)) {
		yaml_fault(&r->yaml, key, "upstreams.zone is not a name; write one, or \".\"");
		return;
	}
	if (!yaml_scalar(&r->yaml, value, "upstreams.zone", text))
		return;
	for (const char *p = text; *p; p++) {
		if ((unsigned char)*p >= 0x80) {
			yaml_fault(&r->yaml, value,
			           "upstreams.zone: \"%s\" is not ASCII; write its "
			           "A-label (xn--...)",
			           text);
			return;
		}
	}
	len = name_from_text(text, wire);
	if (len < 0 || strchr(text, '*')) {
		yaml_fault(&r->yaml, value,
		           "upstreams.zone: \"%s\" is not a domain name; write one such "
		           "as corp.test, or \".\"",
		           text);
		return;
	}
	name_lower(zone->name, wire, (size_t)len);
	for (size_t i = 0; i < conf->n_zones; i++) {
		if (name_equal(conf->zones[i].name, zone->name)) {
			yaml_fault(&r->yaml, value,
			           "upstreams.zone: %s is listed twice; put all its "
			           "servers into one entry",
			           text);
			return;
		}
	}
}

static void own_server(struct config_reader *r, struct fy_node *key, struct fy_node *item)
{
	struct conf_zone *zone = present_zone(r);
	struct conf_server *server;
	struct endpoint e;

	(void)key;
	if (!read_endpoint(r, item, "upstreams.servers", &e) ||
	    zone->n_servers == LIMIT_ZONE_SERVERS)
		return;
	if (is_unspecified(e.addr)) {
		yaml_fault(&r->yaml, item,
		           "upstreams.servers.address: the unspecified address is nobody; "
		           "name the server's own");
		return;
	}
	for (size_t i = 0; i < zone->n_servers; i++) {
		server = &zone->servers[i];
		if (memcmp(server->addr, e.addr, ADDR_LEN) == 0 && server->port == e.port) {
			yaml_fault(&r->yaml, item,
			           "upstreams.servers: this server is listed twice; "
			           "remove one");
			return;
		}
	}
	server = &zone->servers[zone->n_servers++];
	memcpy(server->addr, e.addr, ADDR_LEN);
	server->port = (uint16_t)e.port;
}

struct zone_words {
	uint32_t internal, dnssec;
};
static const char *const no_yes[] = { "false", "true", NULL };
enum zone_dnssec { ZONE_DNSSEC_OFF, ZONE_DNSSEC_VALIDATE };
static const char *const zone_dnssec[] = { "off", "validate", NULL };
static const struct key zone_keys[] = {
	{ .name = "zone", .kind = KEY_OWN, .flags = KEY_REQUIRED, .own = own_zone },
	{ .name = "internal",
	  .kind = KEY_WORD,
	  .offset = offsetof(struct zone_words, internal),
	  .words = no_yes },
	{ .name = "dnssec",
	  .kind = KEY_WORD,
	  .offset = offsetof(struct zone_words, dnssec),
	  .words = zone_dnssec },
	{ .name = "servers",
	  .kind = KEY_LIST,
	  .flags = KEY_REQUIRED,
	  .own = own_server,
	  .keys = listen_keys,
	  .limit = LIMIT_ZONE_SERVERS },
	{ 0 },
};

static void own_upstream(struct config_reader *r, struct fy_node *key, struct fy_node *item)
{
	struct conf_zone *zone = present_zone(r);
	struct zone_words words = { .dnssec = UINT32_MAX };
	size_t before = r->yaml.diag->n_errors;

	(void)key;
	memset(zone, 0, sizeof(*zone));
	config_read_mapping(r, item, item, "upstreams", zone_keys, &words);
	if (r->yaml.diag->n_errors != before)
		return;
	zone->internal = (uint8_t)words.internal;
	zone->dnssec_off = words.dnssec == ZONE_DNSSEC_OFF;
	r->config->vouched[r->config->resolver.n_zones] = words.dnssec == ZONE_DNSSEC_VALIDATE;
	r->config->resolver.n_zones++;
}

/* --- firewall -------------------------------------------------------------------------------- */

static void own_interface(struct config_reader *r, struct fy_node *key, struct fy_node *value)
{
	struct fwsync_conf *conf = &r->config->fwsync;
	char text[YAML_SCALAR_MAX];

	(void)key;
	if (!yaml_scalar(&r->yaml, value, "an entry of firewall.guard.interfaces", text))
		return;
	if (strlen(text) >= GUARD_IFNAME_LEN || strpbrk(text, "/ ") || strcmp(text, ".") == 0 ||
	    strcmp(text, "..") == 0) {
		yaml_fault(&r->yaml, value,
		           "firewall.guard.interfaces: \"%s\" is not an interface's name; "
		           "at most 15 octets without / and space",
		           text);
		return;
	}
	if (strcmp(text, "lo") == 0) {
		yaml_fault(&r->yaml, value,
		           "firewall.guard.interfaces: lo carries the host's own traffic; "
		           "name the interfaces of the workloads");
		return;
	}
	if (conf->n_interfaces < ARRAY_LEN(conf->interfaces))
		memcpy(conf->interfaces[conf->n_interfaces++], text, strlen(text) + 1);
}

static void own_prefix(struct config_reader *r, struct fy_node *key, struct fy_node *value)
{
	struct fwsync_conf *conf = &r->config->fwsync;
	char text[YAML_SCALAR_MAX], right[PREFIX_TEXT_LEN];
	struct prefix prefix;
	int err;

	(void)key;
	if (!yaml_scalar(&r->yaml, value, "an entry of firewall.guard.prefixes", text))
		return;
	err = prefix_parse(text, &prefix);
	if (err == ERR_CONFIG) {
		prefix_text(&prefix, right);
		yaml_fault(&r->yaml, value,
		           "firewall.guard.prefixes: %s has bits beyond its length; "
		           "write %s",
		           text, right);
	} else if (err < 0) {
		yaml_fault(&r->yaml, value,
		           "firewall.guard.prefixes: \"%s\" is not a prefix; write one "
		           "such as 10.1.0.0/16 or 2001:db8::/32",
		           text);
	} else if (conf->n_prefixes < ARRAY_LEN(conf->prefixes)) {
		struct guard_prefix *out = &conf->prefixes[conf->n_prefixes++];

		memcpy(out->addr, prefix.addr, ADDR_LEN);
		out->len = prefix.len;
	}
}

static const struct key guard_keys[] = {
	{ .name = "interfaces", .kind = KEY_VALUES, .own = own_interface, .limit = 64 },
	{ .name = "prefixes", .kind = KEY_VALUES, .own = own_prefix, .limit = 1024 },
	{ 0 },
};

static void own_gateway_port(struct config_reader *r, struct fy_node *key, struct fy_node *value)
{
	struct fwsync_conf *conf = &r->config->fwsync;
	char text[YAML_SCALAR_MAX];
	unsigned int port;
	char proto[8], rest;

	(void)key;
	if (!yaml_scalar(&r->yaml, value, "an entry of firewall.gateway_ports", text))
		return;
	/* NOLINTNEXTLINE(cert-err34-c): five digits do not overflow */
	if (sscanf(text, "%7[a-z]/%5u%c", proto, &port, &rest) != 2 ||
	    (strcmp(proto, "tcp") != 0 && strcmp(proto, "udp") != 0) || port == 0 || port > 65535) {
		yaml_fault(&r->yaml, value,
		           "firewall.gateway_ports: \"%s\" is not a port; write tcp/22 or "
		           "udp/123",
		           text);
		return;
	}
	if (conf->n_gateway_ports == ARRAY_LEN(conf->gateway_ports))
		return;
	conf->gateway_ports[conf->n_gateway_ports].proto =
	    strcmp(proto, "tcp") == 0 ? IPPROTO_TCP : IPPROTO_UDP;
	conf->gateway_ports[conf->n_gateway_ports++].port = (uint16_t)port;
}

static void read_mark(struct config_reader *r, struct fy_node *key, struct fy_node *value,
                      const char *what, uint32_t *ret_mark)
{
	char text[YAML_SCALAR_MAX], *end;
	unsigned long long mark;

	if (!value || yaml_is_mapping(value) || yaml_is_sequence(value)) {
		yaml_fault(&r->yaml, key, "%s is not a number; write one bit, such as 0x10000000",
		           what);
		return;
	}
	if (!yaml_scalar(&r->yaml, value, what, text))
		return;
	mark = strtoull(text, &end, 0);
	if (*end || text[0] < '0' || text[0] > '9' || mark == 0 || mark > UINT32_MAX ||
	    (mark & (mark - 1)) != 0)
		yaml_fault(&r->yaml, value,
		           "%s: \"%s\" is not one bit of 32; write one such as 0x10000000", what,
		           text);
	else
		*ret_mark = (uint32_t)mark;
}

static void own_mark_egress(struct config_reader *r, struct fy_node *key, struct fy_node *value)
{
	read_mark(r, key, value, "firewall.mark.egress", &r->config->fwsync.mark_egress);
}
static void own_mark_inbound(struct config_reader *r, struct fy_node *key, struct fy_node *value)
{
	read_mark(r, key, value, "firewall.mark.inbound", &r->config->fwsync.mark_inbound);
}
static const struct key mark_keys[] = {
	{ .name = "egress", .kind = KEY_OWN, .own = own_mark_egress },
	{ .name = "inbound", .kind = KEY_OWN, .own = own_mark_inbound },
	{ 0 },
};

static const char *const firewall_modes[] = { "local", "none", NULL };
static const char *const hooks[] = { "forward", "!output", "!both", NULL };
static const char *const owners[] = { "off", "auto", NULL };
static const struct key firewall_keys[] = {
	{ .name = "mode",
	  .kind = KEY_WORD,
	  .offset = AT(resolver.firewall),
	  .words = firewall_modes },
	{ .name = "hook", .kind = KEY_WORD, .offset = AT(fwsync.hook), .words = hooks },
	{ .name = "guard", .kind = KEY_MAP, .keys = guard_keys },
	{ .name = "gateway_ports", .kind = KEY_VALUES, .own = own_gateway_port, .limit = 64 },
	{ .name = "ack_timeout",
	  .kind = KEY_DURATION_MS,
	  .offset = AT(resolver.ack_timeout_ms),
	  .min = 10,
	  .max = 5000 },
	{ .name = "mark", .kind = KEY_MAP, .keys = mark_keys },
	{ .name = "set_size",
	  .kind = KEY_COUNT,
	  .offset = AT(fwsync.set_size),
	  .min = 16,
	  .max = 4194304 },
	{ .name = "owner", .kind = KEY_WORD, .offset = AT(fwsync.owner), .words = owners },
	{ .name = "track_dns", .kind = KEY_WORD, .offset = AT(fwsync.track_dns), .words = no_yes },
	{ .name = "remote", .kind = KEY_LATER },
	{ 0 },
};

/* --- history, cache, limits, log ------------------------------------------------------------- */

#define KEEP_MIN_S DAY_S
#define KEEP_MAX_S (36500 * UINT64_C(86400))
static const struct key retention_keys[] = {
	{ .name = "allow",
	  .kind = KEY_DURATION_S,
	  .offset = AT(historian.allow_days_s),
	  .flags = KEY_OFF,
	  .min = KEEP_MIN_S,
	  .max = KEEP_MAX_S },
	{ .name = "deny",
	  .kind = KEY_DURATION_S,
	  .offset = AT(historian.deny_days_s),
	  .flags = KEY_OFF,
	  .min = KEEP_MIN_S,
	  .max = KEEP_MAX_S },
	{ .name = "max_size", .kind = KEY_LATER },
	{ .name = "deny_min", .kind = KEY_LATER },
	{ 0 },
};

static void own_retention(struct config_reader *r, struct fy_node *key, struct fy_node *value)
{
	static const struct key both[] = {
		{ .name = "both",
		  .kind = KEY_DURATION_S,
		  .flags = KEY_OFF,
		  .min = KEEP_MIN_S,
		  .max = KEEP_MAX_S },
		{ 0 },
	};
	struct historian_conf *conf = &r->config->historian;
	char text[YAML_SCALAR_MAX];
	uint32_t kept = UINT32_MAX;

	if (yaml_is_mapping(value)) {
		config_read_mapping(r, key, value, "history.retention", retention_keys, r->config);
		return;
	}
	if (!value || yaml_is_sequence(value)) {
		yaml_fault(&r->yaml, key,
		           "history.retention is neither a duration nor a mapping; write "
		           "90d, or {allow: 90d, deny: 365d}");
		return;
	}
	if (!yaml_scalar(&r->yaml, value, "history.retention", text))
		return;
	config_read_scalar(r, &both[0], value, "history.retention", text, &kept);
	if (kept != UINT32_MAX)
		conf->allow_days_s = conf->deny_days_s = kept;
}

static const struct key history_keys[] = {
	{ .name = "retention", .kind = KEY_OWN, .own = own_retention, .keys = retention_keys },
	{ .name = "per_workload_rows", .kind = KEY_LATER },
	{ 0 },
};

static const char *const off_on[] = { "off", "on", NULL };
static const struct key cache_keys[] = {
	{ .name = "size",
	  .kind = KEY_SIZE,
	  .offset = AT(resolver.cache_bytes),
	  .min = 1 << 20,
	  .max = UINT64_C(1) << 38 },
	{ .name = "max_ttl",
	  .kind = KEY_DURATION_S,
	  .offset = AT(resolver.cache_max_ttl_s),
	  .min = 1,
	  .max = 7 * DAY_S },
	{ .name = "negative_max_ttl",
	  .kind = KEY_DURATION_S,
	  .offset = AT(resolver.cache_negative_max_ttl_s),
	  .min = 1,
	  .max = DAY_S },
	{ .name = "serve_stale",
	  .kind = KEY_DURATION_S,
	  .flags = KEY_OFF,
	  .offset = AT(resolver.cache_serve_stale_s),
	  .min = 1,
	  .max = 7 * DAY_S },
	{ .name = "prefetch", .kind = KEY_WORD, .offset = AT(resolver.prefetch), .words = off_on },
	{ 0 },
};

static const struct key limits_keys[] = {
	{ .name = "in_flight",
	  .kind = KEY_COUNT,
	  .offset = AT(resolver.in_flight),
	  .min = 16,
	  .max = 1 << 20 },
	{ .name = "in_flight_workload",
	  .kind = KEY_COUNT,
	  .offset = AT(resolver.in_flight_workload),
	  .min = 1,
	  .max = 1 << 20 },
	{ .name = "in_flight_client",
	  .kind = KEY_COUNT,
	  .offset = AT(resolver.in_flight_client),
	  .min = 1,
	  .max = 1 << 20 },
	{ .name = "tcp_connections",
	  .kind = KEY_COUNT,
	  .offset = AT(resolver.tcp_connections),
	  .min = 1,
	  .max = 65536 },
	{ .name = "tcp_connections_client",
	  .kind = KEY_COUNT,
	  .offset = AT(resolver.tcp_connections_client),
	  .min = 1,
	  .max = 65536 },
	{ .name = "tcp_idle",
	  .kind = KEY_DURATION_MS,
	  .offset = AT(resolver.tcp_idle_ms),
	  .min = 100,
	  .max = 600000 },
	{ .name = "amplification",
	  .kind = KEY_SIZE,
	  .offset = AT(resolver.amplification),
	  .min = 4 << 10,
	  .max = UINT64_C(1) << 34 },
	{ .name = "query_time",
	  .kind = KEY_DURATION_MS,
	  .offset = AT(resolver.query_ms),
	  .min = 500,
	  .max = 30000 },
	{ 0 },
};

static const char *const log_formats[] = { "text", "json", NULL }; /* enum log_form */
static const char *const log_levels[] = { "error", "warning", "info", "debug", NULL };
static const struct key log_keys[] = {
	{ .name = "format", .kind = KEY_WORD, .offset = AT(log_form), .words = log_formats },
	{ .name = "level", .kind = KEY_WORD, .offset = AT(log_level), .words = log_levels },
	{ 0 },
};

/* --- the whole ------------------------------------------------------------------------------- */

static void own_workers(struct config_reader *r, struct fy_node *key, struct fy_node *value)
{
	static const struct key count = {
		.name = "workers",
		.kind = KEY_COUNT,
		.min = 1,
		.max = LIMIT_WORKERS,
	};
	char text[YAML_SCALAR_MAX];

	if (!value || yaml_is_mapping(value) || yaml_is_sequence(value))
		yaml_fault(&r->yaml, key, "workers is not a number; write auto or 1 to %d",
		           LIMIT_WORKERS);
	else if (yaml_scalar(&r->yaml, value, "workers", text) && strcmp(text, "auto") != 0)
		config_read_scalar(r, &count, value, "workers", text, &r->config->workers);
}

const struct key config_keys[] = {
	{ .name = "state_dir",
	  .kind = KEY_PATH,
	  .offset = AT(state_dir),
	  .max = CONFIG_PATH_MAX - 32 },
	/* 108 octets of sun_path less "/control.sock" and its terminator */
	{ .name = "run_dir", .kind = KEY_PATH, .offset = AT(run_dir), .max = 108 - 14 },
	{ .name = "user", .kind = KEY_OWN, .own = own_user, .keys = user_keys },
	{ .name = "workers", .kind = KEY_OWN, .own = own_workers },
	{ .name = "listen",
	  .kind = KEY_LIST,
	  .flags = KEY_REQUIRED,
	  .own = own_listen,
	  .keys = listen_keys,
	  .limit = LIMIT_LISTENERS },
	{ .name = "upstreams",
	  .kind = KEY_LIST,
	  .flags = KEY_REQUIRED,
	  .own = own_upstream,
	  .keys = zone_keys,
	  .limit = LIMIT_ZONES },
	{ .name = "dnssec", .kind = KEY_MAP, .keys = config_dnssec_keys },
	{ .name = "firewall", .kind = KEY_MAP, .keys = firewall_keys },
	{ .name = "history", .kind = KEY_MAP, .keys = history_keys },
	{ .name = "cache", .kind = KEY_MAP, .keys = cache_keys },
	{ .name = "limits", .kind = KEY_MAP, .keys = limits_keys },
	{ .name = "access", .kind = KEY_MAP, .keys = access_keys },
	{ .name = "log", .kind = KEY_MAP, .keys = log_keys },
	{ 0 },
};
