/* keeper/guard.c - the guard table from the policy image. */
#include "guard.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "policy/judge.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/name.h"
#include "sallyport/pinhole.h"

/* Not globally reachable, usable inside (IANA special-purpose address registries, RFC 6890 and its
 * updates). Loopback, link-local, multicast, reserved and unspecified are not here: fwsync never
 * opens those. */
static const char *const internals[] = {
	"10.0.0.0/8",      /* RFC 1918 */
	"172.16.0.0/12",   /* RFC 1918 */
	"192.168.0.0/16",  /* RFC 1918 */
	"100.64.0.0/10",   /* shared address space, RFC 6598 */
	"192.0.0.0/24",    /* IETF protocol assignments, RFC 6890 */
	"192.0.2.0/24",    /* documentation, RFC 5737 */
	"198.51.100.0/24", /* documentation, RFC 5737 */
	"203.0.113.0/24",  /* documentation, RFC 5737 */
	"198.18.0.0/15",   /* benchmarking, RFC 2544 */
	"fc00::/7",        /* unique local, RFC 4193 */
	"2001:db8::/32",   /* documentation, RFC 3849 */
	"3fff::/20",       /* documentation, RFC 9637 */
	"2001:2::/48",     /* benchmarking, RFC 5180 */
	"2001:10::/28",    /* ORCHID, RFC 4843 */
	"5f00::/16",       /* segment routing, RFC 9602 */
	"64:ff9b:1::/48",  /* local-use translation, RFC 8215 */
};
/* Carry an IPv4 address; what counts is that one. */
static const struct {
	const char *prefix;
	unsigned int at; /* octet where the IPv4 address begins */
	uint8_t mask;    /* Teredo stores the client's address inverted */
} carriers[] = {
	{ "64:ff9b::/96", 12, 0 },   /* NAT64, RFC 6052 */
	{ "64:ff9b:1::/48", 12, 0 }, /* RFC 8215 with a /96 of one's own */
	{ "2002::/16", 2, 0 },       /* 6to4, RFC 3056 */
	{ "2001::/32", 12, 0xff },   /* Teredo, RFC 4380 */
};

static bool in_list(const uint8_t addr[static ADDR_LEN])
{
	for (size_t i = 0; i < ARRAY_LEN(internals); i++) {
		struct prefix prefix;

		if (prefix_parse(internals[i], &prefix) == 0 && prefix_has(&prefix, addr))
			return true;
	}
	return false;
}

bool guard_is_internal(const uint8_t addr[static ADDR_LEN])
{
	if (in_list(addr))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(carriers); i++) {
		uint8_t v4[4], inner[ADDR_LEN];
		struct prefix prefix;

		if (prefix_parse(carriers[i].prefix, &prefix) < 0 || !prefix_has(&prefix, addr))
			continue;
		for (size_t j = 0; j < 4; j++)
			v4[j] = addr[carriers[i].at + j] ^ carriers[i].mask;
		addr_from_v4(v4, inner);
		if (in_list(inner))
			return true;
	}
	return false;
}

/* --- growing arrays -------------------------------------------------------------------------- */

struct array {
	void *data;
	uint32_t n, cap;
	size_t entry; /* octets */
};

static void array_free_cleanup(struct array *a)
{
	free(a->data);
}

static int array_add(struct array *a, const void *entry)
{
	if (a->n == a->cap) {
		uint32_t cap = a->cap ? a->cap * 2 : 64;
		void *data;

		if (a->cap > UINT32_MAX / 4)
			return ERR_LIMIT;
		data = realloc(a->data, (size_t)cap * a->entry);
		if (!data)
			return ERR_NOMEM;
		a->data = data;
		a->cap = cap;
	}
	memcpy((uint8_t *)a->data + (size_t)a->n++ * a->entry, entry, a->entry);
	return ERR_OK;
}

static int add_prefix(struct array *a, const struct prefix *prefix)
{
	struct guard_prefix out = { .len = prefix->len };

	memcpy(out.addr, prefix->addr, ADDR_LEN);
	return array_add(a, &out);
}

static int add_text(struct array *a, const char *text)
{
	struct prefix prefix;
	int r = prefix_parse(text, &prefix);

	return r < 0 ? r : add_prefix(a, &prefix);
}

static int by_prefix(const void *pa, const void *pb)
{
	const struct guard_prefix *a = pa, *b = pb;
	int d = memcmp(a->addr, b->addr, ADDR_LEN);

	return d ? d : (int)a->len - (int)b->len;
}

/* Drop what lies inside another entry: the kernel's interval sets refuse overlaps. After sorting, a
 * prefix comes right before everything that it contains. */
static void reduce(struct array *a)
{
	struct guard_prefix *p = a->data;
	uint32_t kept = 0;

	if (a->n)
		qsort(p, a->n, sizeof(*p), by_prefix);
	for (uint32_t i = 0; i < a->n; i++) {
		if (kept) {
			struct prefix last = { .len = p[kept - 1].len };

			memcpy(last.addr, p[kept - 1].addr, ADDR_LEN);
			if (prefix_has(&last, p[i].addr))
				continue;
		}
		p[kept++] = p[i];
	}
	a->n = kept;
}

/* --- ports ----------------------------------------------------------------------------------- */

struct port_union {
	bool any;
	bool protos[256];
	uint8_t tcp[65536 / 8], udp[65536 / 8]; /* a bit a port */
};

static void union_add(struct port_union *u, const struct policy_port *port)
{
	switch ((enum pinhole_proto_kind)port->kind) {
	case PINHOLE_KIND_PORT:
		if (port->proto == IPPROTO_TCP)
			u->tcp[port->port / 8] |= (uint8_t)(1 << port->port % 8);
		else if (port->proto == IPPROTO_UDP)
			u->udp[port->port / 8] |= (uint8_t)(1 << port->port % 8);
		break;
	case PINHOLE_KIND_PROTO:
		u->protos[port->proto] = true;
		break;
	case PINHOLE_KIND_ANY:
		u->any = true;
		break;
	}
}

/* The set bits as ranges. */
static int add_ranges(struct array *out, const uint8_t *bits, uint8_t kind, uint8_t proto)
{
	for (uint32_t first = 0; first < 65536; first++) {
		struct guard_ports range = { .kind = kind, .proto = proto };
		uint32_t last;
		int r;

		if (!(bits[first / 8] >> first % 8 & 1))
			continue;
		for (last = first; last < 65535 && (bits[(last + 1) / 8] >> (last + 1) % 8 & 1);)
			last++;
		range.first = (uint16_t)first;
		range.last = (uint16_t)last;
		r = array_add(out, &range);
		if (r < 0)
			return r;
		first = last;
	}
	return ERR_OK;
}

static int add_union(struct array *out, const struct port_union *u)
{
	int r;

	if (u->any) {
		r = array_add(out, &(struct guard_ports){ .kind = PINHOLE_KIND_ANY });
		if (r < 0)
			return r;
	}
	for (unsigned int proto = 0; proto < 256; proto++) {
		struct guard_ports entry = { .kind = PINHOLE_KIND_PROTO, .proto = (uint8_t)proto };

		if (!u->protos[proto])
			continue;
		r = array_add(out, &entry);
		if (r < 0)
			return r;
	}
	r = add_ranges(out, u->tcp, PINHOLE_KIND_PORT, IPPROTO_TCP);
	return r < 0 ? r : add_ranges(out, u->udp, PINHOLE_KIND_PORT, IPPROTO_UDP);
}

/* --- the table ------------------------------------------------------------------------------- */

struct profile_part { /* shared by the workloads of one profile */
	struct guard_section ports, internals;
	bool internal, follows_any, internals_known;
};

struct builder {
	const struct policy_image *image;
	const struct resolver_conf *zones;
	struct array workloads, sources, ports, internals, guarded, observed, interfaces;
	uint32_t n_hosts_judged;
};

static void builder_fini_cleanup(struct builder *b)
{
	array_free_cleanup(&b->workloads);
	array_free_cleanup(&b->sources);
	array_free_cleanup(&b->ports);
	array_free_cleanup(&b->internals);
	array_free_cleanup(&b->guarded);
	array_free_cleanup(&b->observed);
	array_free_cleanup(&b->interfaces);
}

static int add_inbound(struct builder *b, uint32_t profile)
{
	CLEANUP(free) struct port_union *u = calloc(1, sizeof(*u));
	const struct policy_port *ports;
	size_t n = policy_inbound(b->image, profile, &ports);

	if (!u)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++)
		union_add(u, &ports[i]);
	return add_ranges(&b->ports, u->udp, GUARD_PORTS_INBOUND, IPPROTO_UDP);
}

static int add_profile(struct builder *b, uint32_t profile, struct profile_part *ret_part)
{
	CLEANUP(free) struct port_union *u = calloc(1, sizeof(*u));
	const uint32_t *rules;
	size_t n = policy_image_profile_rules(b->image, profile, &rules);
	int r;

	if (!u)
		return ERR_NOMEM;
	*ret_part = (struct profile_part){ .ports.offset = b->ports.n };
	for (size_t i = 0; i < n; i++) {
		struct policy_rule_info rule;
		const struct policy_port *ports;
		size_t n_ports;

		if (policy_image_rule(b->image, rules[i], &rule) < 0 || !rule.allow)
			continue;
		ret_part->internal |= rule.internal;
		ret_part->follows_any |= rule.follow == POLICY_FOLLOW_ANY;
		n_ports = policy_rule_ports(b->image, rules[i], &ports);
		for (size_t j = 0; j < n_ports; j++)
			union_add(u, &ports[j]);
	}
	r = add_union(&b->ports, u);
	if (r == 0)
		r = add_inbound(b, profile);
	ret_part->ports.count = b->ports.n - ret_part->ports.offset;
	return r;
}

static int add_workload(struct builder *b, uint32_t i, const struct policy_workload_info *w,
                        const struct profile_part *part)
{
	struct guard_workload out = { .sources.offset = b->sources.n,
		                      .ports = part->ports,
		                      .internals = part->internals };
	struct policy_pinhole pinhole;
	size_t len = MIN(strlen(w->name), sizeof(out.name) - 1);
	int r;

	memcpy(out.name, w->name, len);
	for (size_t s = 0; s < w->n_sources; s++) {
		r = add_prefix(&b->sources, &w->sources[s]);
		if (r == 0 && w->observe)
			r = add_prefix(&b->observed, &w->sources[s]);
		if (r < 0)
			return r;
	}
	out.sources.count = b->sources.n - out.sources.offset;
	for (size_t l = 0; l < w->n_listeners; l++)
		out.listeners |=
		    prefix_is_v4(&w->listeners[l]) ? GUARD_LISTENER_V4 : GUARD_LISTENER_V6;
	policy_pinhole(b->image, i, &pinhole);
	out.life_max_s = pinhole.max_s;
	out.pinholes_max = pinhole.per_workload;
	return array_add(&b->workloads, &out);
}

#define TYPE_A 1
#define TYPE_AAAA 28
#define TYPE_SVCB 64
#define TYPE_HTTPS 65

/* Could the workload be allowed a name in an internal zone, whose answers may carry any address?
 * Asked of the zone itself, of what lies below, and of a name in it that no rule can know: only a
 * rule for everything there allows that one. */
static bool reaches_internal_zone(const struct builder *b, uint32_t workload, uint64_t now_s)
{
	static const uint16_t types[] = { TYPE_A, TYPE_AAAA };
	static const uint8_t label[] = { 9, 's', 'a', 'l', 'l', 'y', 'p', 'o', 'r', 't' };

	for (uint32_t i = 0; i < MIN(b->zones->n_zones, (uint32_t)LIMIT_ZONES); i++) {
		const struct conf_zone *zone = &b->zones->zones[i];
		int len = name_wire_len(zone->name, sizeof(zone->name));
		uint8_t probe[sizeof(label) + NAME_MAX_WIRE];

		if (!zone->internal || len < 0)
			continue;
		if (policy_allows_below(b->image, workload, zone->name))
			return true;
		memcpy(probe, label, sizeof(label));
		memcpy(probe + sizeof(label), zone->name, (size_t)len);
		for (size_t t = 0; t < ARRAY_LEN(types); t++) {
			struct verdict verdict;

			policy_judge(b->image, workload, zone->name, types[t], now_s, &verdict);
			if (verdict.kind == VERDICT_ALLOW)
				return true;
			if (sizeof(label) + (size_t)len > NAME_MAX_WIRE)
				continue;
			policy_judge(b->image, workload, probe, types[t], now_s, &verdict);
			if (verdict.kind == VERDICT_ALLOW)
				return true;
		}
	}
	return false;
}

/* Could the workload be given this address of hosts? Only by a rule for the name: a chain that
 * leads there from outside needs one, too. A feed does not stop every chain. */
static bool reaches_host(const struct builder *b, uint32_t workload,
                         const struct profile_part *part, const uint8_t *name,
                         const uint8_t addr[static ADDR_LEN], uint64_t now_s)
{
	const uint16_t types[] = { addr_is_v4(addr) ? TYPE_A : TYPE_AAAA, TYPE_SVCB, TYPE_HTTPS };

	for (size_t t = 0; t < ARRAY_LEN(types); t++) {
		struct verdict verdict;

		policy_judge(b->image, workload, name, types[t], now_s, &verdict);
		if (verdict.kind == VERDICT_ALLOW ||
		    (part->follows_any && verdict.reason == REASON_FEED))
			return true;
	}
	return false;
}

/* What the profile of @workload may reach though it is not globally reachable. */
static int add_internals(struct builder *b, uint32_t workload, struct profile_part *part)
{
	CLEANUP(array_free) struct array own = { .entry = sizeof(struct guard_prefix) };
	uint64_t now_s = clock_wall_ns() / NS_PER_S;
	struct prefix host = { .len = 128 };
	const uint8_t *name;
	int r = ERR_OK;

	for (uint32_t i = 0;
	     r == 0 && i < LIMIT_HOSTS && policy_image_host(b->image, i, &name, host.addr) == 0;
	     i++) {
		if (++b->n_hosts_judged > LIMIT_GUARD_HOSTS)
			return ERR_LIMIT;
		if (reaches_host(b, workload, part, name, host.addr, now_s))
			r = add_prefix(&own, &host);
	}
	part->internal |= reaches_internal_zone(b, workload, now_s);
	for (size_t i = 0; r == 0 && part->internal && i < ARRAY_LEN(internals); i++)
		r = add_text(&own, internals[i]);
	for (size_t i = 0; r == 0 && part->internal && i < ARRAY_LEN(carriers); i++)
		r = add_text(&own, carriers[i].prefix);
	reduce(&own);
	part->internals = (struct guard_section){ b->internals.n, own.n };
	for (uint32_t i = 0; r == 0 && i < own.n; i++)
		r = array_add(&b->internals, (const struct guard_prefix *)own.data + i);
	return r;
}

/* Whom some workload names: nobody else may open for them, whoever asks at his listener. Behind the
 * sources of all, once for all workloads that have a listener. */
static int add_named(struct builder *b)
{
	CLEANUP(array_free) struct array named = { .entry = sizeof(struct guard_prefix) };
	struct guard_workload *workloads = b->workloads.data;
	struct guard_section part = { .offset = b->sources.n };
	bool wanted = false;
	int r = ERR_OK;

	for (uint32_t i = 0; i < b->workloads.n; i++)
		wanted |= workloads[i].listeners != 0;
	if (!wanted)
		return ERR_OK;
	for (uint32_t i = 0; r == 0 && i < b->sources.n; i++)
		r = array_add(&named, (const struct guard_prefix *)b->sources.data + i);
	reduce(&named);
	part.count = named.n;
	for (uint32_t i = 0; r == 0 && i < named.n; i++)
		r = array_add(&b->sources, (const struct guard_prefix *)named.data + i);
	for (uint32_t i = 0; i < b->workloads.n; i++) {
		if (workloads[i].listeners)
			workloads[i].named = part;
	}
	return r;
}

static int add_policy(struct builder *b)
{
	CLEANUP(free) struct profile_part *parts = NULL;
	struct policy_counts counts;
	int r = ERR_OK;

	policy_image_counts(b->image, &counts);
	if (counts.workloads > LIMIT_WORKLOADS || counts.profiles > LIMIT_PROFILES)
		return ERR_LIMIT;
	parts = calloc(MAX(counts.profiles, 1u), sizeof(*parts));
	if (!parts)
		return ERR_NOMEM;
	for (uint32_t i = 0; r == 0 && i < counts.profiles; i++)
		r = add_profile(b, i, &parts[i]);
	for (uint32_t i = 0; r == 0 && i < counts.workloads; i++) {
		struct policy_workload_info w;

		if (policy_image_workload(b->image, i, &w) < 0 || w.profile_id >= counts.profiles)
			return ERR_DAMAGED;
		if (!parts[w.profile_id].internals_known) { /* the same for all of a profile */
			parts[w.profile_id].internals_known = true;
			r = add_internals(b, i, &parts[w.profile_id]);
		}
		if (r == 0)
			r = add_workload(b, i, &w, &parts[w.profile_id]);
	}
	return r < 0 ? r : add_named(b);
}

static int add_guarded(struct builder *b, const struct fwsync_conf *conf)
{
	const struct guard_prefix *prefixes = conf->prefixes;
	uint32_t n = MIN(conf->n_prefixes, (uint32_t)ARRAY_LEN(conf->prefixes));
	int r = ERR_OK;

	if (conf->n_prefixes == 0 && conf->n_interfaces == 0) {
		prefixes = b->sources.data;
		n = b->sources.n;
	}
	for (uint32_t i = 0; r == 0 && i < n; i++)
		r = array_add(&b->guarded, &prefixes[i]);
	for (uint32_t i = 0; r == 0 && i < MIN(conf->n_interfaces, 64u); i++)
		r = array_add(&b->interfaces, conf->interfaces[i]);
	reduce(&b->guarded);
	reduce(&b->observed);
	return r;
}

/* Lay the arrays behind the head, each at a multiple of 8. */
static int lay_out(const struct builder *b, void **ret_data, size_t *ret_len)
{
	struct guard_table head = { .magic = GUARD_MAGIC,
		                    .version = GUARD_VERSION,
		                    .policy_version = b->image ? b->image->version : 0 };
	const struct {
		const struct array *array;
		struct guard_section *section;
	} parts[] = {
		{ &b->workloads, &head.workloads },   { &b->sources, &head.sources },
		{ &b->ports, &head.ports },           { &b->internals, &head.internals },
		{ &b->guarded, &head.guarded },       { &b->observed, &head.observed },
		{ &b->interfaces, &head.interfaces },
	};
	size_t len = sizeof(head);
	uint8_t *data;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		len = (len + 7) & ~(size_t)7;
		*parts[i].section = (struct guard_section){ (uint32_t)len, parts[i].array->n };
		len += (size_t)parts[i].array->n * parts[i].array->entry;
		if (len > UINT32_MAX)
			return ERR_LIMIT;
	}
	head.len = (uint32_t)len;
	data = calloc(1, len);
	if (!data)
		return ERR_NOMEM;
	memcpy(data, &head, sizeof(head));
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		if (parts[i].array->n)
			memcpy(data + parts[i].section->offset, parts[i].array->data,
			       (size_t)parts[i].array->n * parts[i].array->entry);
	}
	*ret_data = data;
	*ret_len = len;
	return ERR_OK;
}

int guard_build(const struct policy_image *image, const struct fwsync_conf *conf,
                const struct resolver_conf *zones, void **ret_data, size_t *ret_len)
{
	CLEANUP(builder_fini)
	struct builder b = {
		.image = image,
		.zones = zones,
		.workloads.entry = sizeof(struct guard_workload),
		.sources.entry = sizeof(struct guard_prefix),
		.ports.entry = sizeof(struct guard_ports),
		.internals.entry = sizeof(struct guard_prefix),
		.guarded.entry = sizeof(struct guard_prefix),
		.observed.entry = sizeof(struct guard_prefix),
		.interfaces.entry = GUARD_IFNAME_LEN,
	};
	int r = image ? add_policy(&b) : ERR_OK;

	if (r == 0)
		r = add_guarded(&b, conf);
	return r < 0 ? r : lay_out(&b, ret_data, ret_len);
}
