/* keeper/request.c - which verb, whose right, and the short answers. */
#include "request.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/judge.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/name.h"
#include "sallyport/pinhole.h"

/* --- parts of answers ------------------------------------------------------------------------ */

json_t *request_time(uint64_t wall_ns)
{
	char text[CLOCK_RFC3339_LEN];

	clock_rfc3339(wall_ns, text);
	return json_string(text);
}

json_t *request_text(const char *text)
{
	json_t *string;
	char *copy;

	if (!text)
		return json_null();
	string = json_string(text);
	if (string)
		return string;
	copy = strdup(text); /* not UTF-8 */
	for (char *p = copy; p && *p; p++)
		*p = (unsigned char)*p >= 0x80 ? '?' : *p;
	string = copy ? json_string(copy) : NULL;
	free(copy);
	return string;
}

json_t *request_optional(const char *text)
{
	return text && *text ? request_text(text) : json_null();
}

json_t *request_prefix(const struct prefix *prefix)
{
	char text[PREFIX_TEXT_LEN];

	prefix_text(prefix, text);
	return json_string(text);
}

static void port_text(const struct policy_port *port, char *out, size_t cap)
{
	const char *proto = port->proto == IPPROTO_TCP   ? "tcp"
	                    : port->proto == IPPROTO_UDP ? "udp"
	                                                 : NULL;

	switch ((enum pinhole_proto_kind)port->kind) {
	case PINHOLE_KIND_ANY:
		snprintf(out, cap, "any");
		return;
	case PINHOLE_KIND_PROTO:
		if (port->proto == IPPROTO_ICMP)
			snprintf(out, cap, "icmp");
		else if (proto)
			snprintf(out, cap, "%s/*", proto);
		else
			snprintf(out, cap, "%u/*", port->proto);
		return;
	case PINHOLE_KIND_PORT:
		if (proto)
			snprintf(out, cap, "%s/%u", proto, port->port);
		else
			snprintf(out, cap, "%u/%u", port->proto, port->port);
		return;
	}
	snprintf(out, cap, "?");
}

json_t *request_ports(const struct policy_image *image, uint32_t rule)
{
	json_t *array = json_array();
	const struct policy_port *ports;
	size_t n = policy_rule_ports(image, rule, &ports);

	for (size_t i = 0; i < n; i++) {
		char text[32];

		port_text(&ports[i], text, sizeof(text));
		json_array_append_new(array, json_string(text));
	}
	return array;
}

bool request_number(const char *word, uint32_t *ret_number)
{
	char *end;
	unsigned long long n;

	if (*word < '0' || *word > '9')
		return false;
	n = strtoull(word, &end, 10);
	if (*end || n == 0 || n >= UINT32_MAX)
		return false;
	*ret_number = (uint32_t)n;
	return true;
}

/* --- reload, flush --------------------------------------------------------------------------- */

static void reload(struct keeper *k, struct server_client *client, uint32_t uid)
{
	CLEANUP(diag_fini) struct diag diag = { 0 };
	json_t *warnings;
	int r;

	diag_init(&diag);
	r = keeper_reload(k, &diag);
	keeper_audit(k, uid, "reload", r < 0 ? "refused: faults" : "");
	if (r < 0) {
		for (size_t i = 0; i < diag.n_items; i++) {
			const struct diag_item *item = &diag.items[i];
			const char *what = item->severity == DIAG_ERROR ? "error" : "warning";

			if (item->line)
				server_error(client, "%s:%u:%u: %s: %s", item->file, item->line,
				             item->col, what, item->text);
			else
				server_error(client, "%s: %s", what, item->text);
		}
		server_error(client, "error: the configuration is not taken, the old one stays");
		server_exit(client, 2);
		return;
	}
	warnings = json_array();
	for (size_t i = 0; i < diag.n_items; i++)
		json_array_append_new(warnings, request_text(diag.items[i].text));
	server_json_give(client, json_pack("{s:b,s:o}", "reloaded", 1, "warnings", warnings));
	server_exit(client, 0);
}

static void flush_gone(void *arg)
{
	struct server_client **slot = arg;

	*slot = NULL; /* its answer will find nobody */
}

static void flush(struct keeper *k, struct server_client *client,
                  const struct server_request *request)
{
	uint8_t wire[NAME_MAX_WIRE];
	uint64_t below = 0;
	int len = 0;

	if (request->n_words < 2 || request->n_words > 3) {
		server_error(client, "error: flush wants a name, or --all");
		server_exit(client, 2);
		return;
	}
	if (strcmp(request->words[1], "--all") != 0) {
		len = name_from_text(request->words[1], wire);
		if (len < 0) {
			server_error(client, "error: \"%s\" is not a domain name",
			             request->words[1]);
			server_exit(client, 2);
			return;
		}
		name_lower(wire, wire, (size_t)len);
	}
	if (request->n_words == 3)
		below = strcmp(request->words[2], "below") == 0;
	if (k->n_flushes == KEEPER_FLUSHES ||
	    child_send(&k->children[ROLE_RESOLVER], ROLE_MSG_FLUSH, below, 0, wire, (size_t)len,
	               NULL, 0) < 0) {
		server_error(client, "error: the resolver is not there to be flushed; try again");
		server_exit(client, 2);
		return;
	}
	keeper_audit(k, request->uid, "flush", request->words[1]);
	k->flushes[k->n_flushes] = client;
	server_watch(client, flush_gone, &k->flushes[k->n_flushes]);
	k->n_flushes++;
}

void request_flushed(struct keeper *k, uint64_t n)
{
	struct server_client *client;

	if (k->n_flushes == 0)
		return;
	client = k->flushes[0];
	k->n_flushes--;
	for (size_t i = 0; i < k->n_flushes; i++) {
		k->flushes[i] = k->flushes[i + 1];
		if (k->flushes[i])
			server_watch(k->flushes[i], flush_gone, &k->flushes[i]);
	}
	if (!client)
		return;
	server_json_give(client, json_pack("{s:I}", "flushed", (json_int_t)n));
	server_exit(client, 0);
}

void request_flush_lost(struct keeper *k)
{
	/* Its cache has gone with it: there is nothing left to flush. */
	while (k->n_flushes)
		request_flushed(k, 0);
}

/* --- status ---------------------------------------------------------------------------------- */

static json_t *roles(const struct keeper *k)
{
	json_t *array = json_array();

	for (size_t i = 0; i < ROLE_N; i++) {
		const struct child *c = &k->children[i];

		if (i == ROLE_FWSYNC && !k->rollout.firewall)
			continue;
		json_array_append_new(
		    array, json_pack("{s:s,s:i,s:s,s:i,s:o}", "role", role_str(c->role), "pid",
		                     (int)c->pid, "state", child_state_str(c->state), "restarts",
		                     (int)c->restarts, "since", request_time(c->since_wall_ns)));
	}
	return array;
}

static void counters(const struct keeper *k, json_t **ret_all, json_t **ret_limits)
{
	*ret_all = json_object();
	*ret_limits = json_object();
	for (int i = 0; i < COUNT_N; i++) {
		const char *name = counter_str((enum counter)i);
		uint64_t sum = 0;

		for (size_t role = 0; role < ROLE_N; role++)
			sum += stats_sum(k->shared.pages[role], (enum counter)i);
		json_object_set_new(*ret_all, name, json_integer((json_int_t)sum));
		/* The counters of limits carry the word in their names. */
		if (sum && strncmp(name, COUNTER_WHY, strlen(COUNTER_WHY)) != 0 &&
		    (strstr(name, "limit") || strstr(name, "full") || strstr(name, "lost")))
			json_object_set_new(*ret_limits, name, json_integer((json_int_t)sum));
	}
}

/* Links of answers by verdict, and those that are not secure by reason: out of all counters. */
static json_t *validated(const struct keeper *k, const json_t *all)
{
	static const char *const verdicts[] = { "secure", "insecure", "indeterminate", "bogus" };
	bool on = k->config->resolver.dnssec != DNSSEC_MODE_OFF;
	json_t *reasons = json_object(), *object = json_object();

	json_object_set_new(object, "mode", json_string(on ? "validate" : "off"));
	for (size_t i = 0; i < ARRAY_LEN(verdicts); i++) {
		char name[64];

		snprintf(name, sizeof(name), "dnssec_%s", verdicts[i]);
		json_object_set(object, verdicts[i], json_object_get(all, name));
	}
	for (int i = 0; i < COUNT_N; i++) {
		const char *name = counter_str((enum counter)i);
		json_t *n = json_object_get(all, name);

		if (strncmp(name, COUNTER_WHY, strlen(COUNTER_WHY)) == 0 &&
		    json_integer_value(n) > 0)
			json_object_set(reasons, name + strlen(COUNTER_WHY), n);
	}
	json_object_set_new(object, "reasons", reasons);
	return object;
}

static json_t *listening(const struct keeper *k)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < k->listeners->n; i++) {
		const struct conf_listener *l = &k->listeners->items[i].conf;
		char addr[ADDR_TEXT_LEN], text[ADDR_TEXT_LEN + 16];

		addr_text(l->addr, addr);
		snprintf(text, sizeof(text), addr_is_v4(l->addr) ? "%s:%u" : "[%s]:%u", addr,
		         l->port);
		json_array_append_new(array, json_string(text));
	}
	return array;
}

static json_t *upstreams(const struct keeper *k)
{
	json_t *array = json_array();
	const struct resolver_conf *conf = &k->config->resolver;

	for (uint32_t i = 0; i < conf->n_zones; i++) {
		char name[NAME_TEXT_LEN];

		name_to_text(conf->zones[i].name, name);
		for (uint32_t j = 0; j < conf->zones[i].n_servers; j++) {
			const struct conf_server *server = &conf->zones[i].servers[j];
			char addr[ADDR_TEXT_LEN];

			addr_text(server->addr, addr);
			json_array_append_new(
			    array,
			    json_sprintf(addr_is_v4(server->addr) ? "%s %s:%u" : "%s [%s]:%u", name,
			                 addr, server->port));
		}
	}
	return array;
}

/* What the resolver's probes have found of server @j of zone @i. */
static enum upstream_state fitness_of(const struct keeper *k, uint32_t i, uint32_t j)
{
	return upstream_state(&k->shared.pages[ROLE_RESOLVER]->upstreams, i,
	                      &k->config->resolver.zones[i], j);
}

static json_t *server_text(const struct conf_server *server)
{
	char addr[ADDR_TEXT_LEN];

	addr_text(server->addr, addr);
	return json_sprintf(addr_is_v4(server->addr) ? "%s:%u" : "[%s]:%u", addr, server->port);
}

static json_t *unfit_upstreams(const struct keeper *k)
{
	const struct resolver_conf *conf = &k->config->resolver;
	json_t *array = json_array();

	for (uint32_t i = 0; i < conf->n_zones; i++) {
		char name[NAME_TEXT_LEN];

		name_to_text(conf->zones[i].name, name);
		for (uint32_t j = 0; j < conf->zones[i].n_servers; j++) {
			enum upstream_state state = fitness_of(k, i, j);

			if (upstream_is_unfit(state))
				json_array_append_new(
				    array, json_pack("{s:s,s:o,s:s}", "zone", name, "server",
				                     server_text(&conf->zones[i].servers[j]),
				                     "state", upstream_state_str(state)));
		}
	}
	return array;
}

static void warn_about_upstreams(const struct keeper *k, json_t *array)
{
	const struct resolver_conf *conf = &k->config->resolver;

	for (uint32_t i = 0; i < conf->n_zones; i++) {
		char name[NAME_TEXT_LEN];

		name_to_text(conf->zones[i].name, name);
		for (uint32_t j = 0; j < conf->zones[i].n_servers; j++) {
			const char *wrong = upstream_wrong_str(fitness_of(k, i, j));
			char addr[ADDR_TEXT_LEN];

			addr_text(conf->zones[i].servers[j].addr, addr);
			if (wrong)
				json_array_append_new(
				    array, json_sprintf(
					       "upstream %s (port %u, zone %s) %s: it is not "
					       "asked while another server is fit",
					       addr, conf->zones[i].servers[j].port, name, wrong));
		}
	}
}

static void warn_about_guard(const struct keeper *k, json_t *array)
{
	const struct fwsync_conf *conf = &k->config->fwsync;

	if (k->rollout.firewall && conf->n_prefixes == 0 && conf->n_interfaces == 0)
		json_array_append_new(
		    array, json_string(
			       "firewall.guard is not set: only the workloads' own addresses are "
			       "filtered; a workload "
			       "that takes another address is not (name its interface or prefix)"));
}

static void warn_about_policy(const struct keeper *k, json_t *array)
{
	CLEANUP(diag_fini) struct diag diag = { 0 };

	diag_init(&diag);
	edition_warn(k->rollout.current, k->config, "", &diag);
	for (size_t i = 0; i < diag.n_items; i++)
		json_array_append_new(array, request_text(diag.items[i].text));
}

static json_t *warnings(const struct keeper *k)
{
	json_t *array = json_array();

	for (size_t i = 0; i < k->warnings.n_items; i++)
		json_array_append_new(array, request_text(k->warnings.items[i].text));
	warn_about_guard(k, array);
	warn_about_policy(k, array);
	warn_about_upstreams(k, array);
	request_anchor_warnings(k, array);
	for (size_t i = 0; i < ROLE_N; i++) {
		if (k->children[i].state == CHILD_BACKOFF)
			json_array_append_new(array, json_sprintf("%s keeps dying; see the log",
			                                          role_str((enum role)i)));
	}
	if (k->rollout.current->version == 0)
		json_array_append_new(array,
		                      json_string("no policy is loaded: everything is refused"));
	return array;
}

void request_status(struct keeper *k, struct server_client *client)
{
	const struct edition *e = k->rollout.current;
	const struct ledger_head *ledger = k->shared.ledger.head;
	json_t *all, *limits, *dnssec;

	counters(k, &all, &limits);
	dnssec = validated(k, all);
	server_json_give(
	    client,
	    json_pack(
		"{s:s,s:i,s:i,s:b,s:I,s:I,s:o,s:i,s:o,s:o,s:o,s:{s:I,s:I},s:o,s:o,s:o,s:{s:I},"
		"s:o,s:o,s:o}",
		"version", SALLYPORT_VERSION, "pid", (int)getpid(), "takeovers",
		(int)k->restart.count, "ready", (int)k->notified_ready, "uptime_s",
		(json_int_t)((clock_mono_ns() - k->started_mono_ns) / NS_PER_S), "policy_version",
		(json_int_t)e->version, "policy_applied",
		rollout_in_force(&k->rollout) ? json_integer((json_int_t)e->version) : json_null(),
		"workers", (int)k->config->workers, "roles", roles(k), "counters", all,
		"limits_hit", limits, "pinholes", "open",
		(json_int_t)atomic_load(&ledger->rows_used), "ledger_size",
		(json_int_t)ledger->n_rows, "listeners", listening(k), "upstreams", upstreams(k),
		"unfit_upstreams", unfit_upstreams(k), "history", "backlog_records",
		(json_int_t)shared_backlog(&k->shared), "warnings", warnings(k),
		"negative_trust_anchors", request_ntas(k), "dnssec", dnssec));
	server_exit(client, 0);
}

/* --- which verb ------------------------------------------------------------------------------ */

enum verb {
	VERB_STATUS,
	VERB_APPLY,
	VERB_VERSIONS,
	VERB_SHOW,
	VERB_FEED,
	VERB_ROLLBACK,
	VERB_EXPLAIN,
	VERB_EXPLAIN_DNSSEC,
	VERB_WORKLOADS,
	VERB_PROFILES,
	VERB_PINHOLES,
	VERB_FLUSH,
	VERB_RELOAD,
	VERB_RESTART,
	VERB_AUDIT,
	VERB_ANCHORS,
	VERB_NTA_ADD,
	VERB_NTA_LIST,
	VERB_NTA_REMOVE,
	VERB_N,
};
static const struct {
	const char *word;
	bool changes;
} verbs[VERB_N] = {
	[VERB_STATUS] = { "status", false },
	[VERB_APPLY] = { "policy-apply", true },
	[VERB_VERSIONS] = { "policy-versions", false },
	[VERB_SHOW] = { "policy-show", false },
	[VERB_FEED] = { "policy-feed", false },
	[VERB_ROLLBACK] = { "policy-rollback", true },
	[VERB_EXPLAIN] = { "explain", false },
	[VERB_EXPLAIN_DNSSEC] = { "explain-dnssec", false },
	[VERB_WORKLOADS] = { "workload-list", false },
	[VERB_PROFILES] = { "profile-list", false },
	[VERB_PINHOLES] = { "pinholes", false },
	[VERB_FLUSH] = { "flush", true },
	[VERB_RELOAD] = { "reload", true },
	[VERB_RESTART] = { "restart", true },
	[VERB_AUDIT] = { "audit", false },
	[VERB_ANCHORS] = { "anchors", false },
	[VERB_NTA_ADD] = { "nta-add", true },
	[VERB_NTA_LIST] = { "nta-list", false },
	[VERB_NTA_REMOVE] = { "nta-remove", true },
};

void request_handle(void *arg, struct server_client *client, const struct server_request *request)
{
	struct keeper *k = arg;
	bool asks_whether = request->n_words == 2 && strcmp(request->words[0], "may") == 0;
	const char *word = request->words[asks_whether];
	enum verb verb = VERB_STATUS;

	while (verb < VERB_N && strcmp(verbs[verb].word, word) != 0)
		verb++;
	if (verb == VERB_N) {
		server_error(client,
		             "error: this sallyportd does not know \"%.60s\"; is it older than "
		             "the command?",
		             word);
		server_exit(client, 2);
		return;
	}
	if (verbs[verb].changes && !request->may_change) {
		server_error(client, "error: %s is for root and the admin group", verbs[verb].word);
		if (keeper_audit_room(k, request))
			keeper_audit(k, request->uid, verbs[verb].word, "refused: not permitted");
		server_exit(client, 2);
		return;
	}
	if (asks_whether) {
		server_exit(client, 0);
		return;
	}
	switch (verb) {
	case VERB_STATUS:
		request_status(k, client);
		break;
	case VERB_APPLY:
		request_policy_apply(k, client, request);
		break;
	case VERB_VERSIONS:
		request_policy_versions(k, client);
		break;
	case VERB_SHOW:
		request_policy_show(k, client, request);
		break;
	case VERB_FEED:
		request_policy_feed(k, client, request);
		break;
	case VERB_ROLLBACK:
		request_policy_rollback(k, client, request);
		break;
	case VERB_EXPLAIN:
		request_explain(k, client, request);
		break;
	case VERB_EXPLAIN_DNSSEC:
		request_explain_dnssec(k, client, request);
		break;
	case VERB_WORKLOADS:
		request_workloads(k, client);
		break;
	case VERB_PROFILES:
		request_profiles(k, client);
		break;
	case VERB_PINHOLES:
		request_pinholes(k, client, request);
		break;
	case VERB_FLUSH:
		flush(k, client, request);
		break;
	case VERB_RELOAD:
		reload(k, client, request->uid);
		break;
	case VERB_RESTART:
		restart_request(k, client, request->uid);
		break;
	case VERB_AUDIT:
		request_audit(k, client, request);
		break;
	case VERB_ANCHORS:
		request_anchors(k, client);
		break;
	case VERB_NTA_ADD:
		request_nta_add(k, client, request);
		break;
	case VERB_NTA_LIST:
		request_nta_list(k, client);
		break;
	case VERB_NTA_REMOVE:
		request_nta_remove(k, client, request);
		break;
	case VERB_N:
		break;
	}
}
