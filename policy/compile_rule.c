/* policy/compile_rule.c - one rule: its pattern, and what an allow opens. */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "compile_read.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/pinhole.h"

struct rule_reading {
	struct doc_rule *rule;
	const struct yaml_node *name, *zone;
	const struct yaml_node *types; /* of an empty list: a fault */
};

static void read_name(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	(void)r; /* read when it is known whether there is a zone, too */
	((struct rule_reading *)target)->name = value;
}
static void read_zone(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	(void)r; /* as above */
	((struct rule_reading *)target)->zone = value;
}

/* Keys that say what an allow opens mean nothing in a deny. */
static bool belongs_to_allow(struct doc_reader *r, const struct rule_reading *reading,
                             const struct yaml_node *value, const char *key)
{
	if (!reading->rule->allow)
		fault(r, value, "a deny opens nothing and has no '%s'; leave it out", key);
	return reading->rule->allow;
}

static const struct yaml_node *item_of(const struct yaml_node *value, size_t i)
{
	return value->kind == YAML_LIST ? value->items[i] : value;
}

static void read_types(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	struct rule_reading *reading = target;
	struct doc_rule *rule = reading->rule;
	size_t n = value->kind == YAML_LIST ? value->n : 1;
	uint16_t *types = region_alloc(&r->doc->region, (n + 1) * sizeof(*types));
	size_t kept = 0;

	if (!types) {
		r->err = ERR_NOMEM;
		return;
	}
	if (n == 0 || n > LIMIT_RULE_TYPES) {
		fault(r, value, "%zu types; write 1 to %d, or leave types out for the usual ones",
		      n, LIMIT_RULE_TYPES);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const struct yaml_node *item = item_of(value, i);
		const char *text = read_text(r, item, 32);
		uint16_t type;

		if (!text)
			continue;
		if (name_type_parse(text, &type) < 0) {
			fault(r, item,
			      "'%s' is no record type; write A, AAAA, MX, TXT, ... or TYPE65280",
			      text);
			continue;
		}
		/* RFC 6895, section 3.1: 0 and 128-255 are not data; 41 is OPT, 46 is RRSIG. */
		if (type == 0 || type == 41 || type == 46 || (type >= 128 && type <= 255)) {
			fault(r, item, "%s is never asked upstream; leave it out", text);
			continue;
		}
		types[kept++] = type;
	}
	rule->types = types;
	rule->n_types = (uint16_t)kept;
}

/* Ports: the numbers of a "tcp/8000-8100". Returns what is wrong, or NULL. */
static const char *parse_range(const char *text, unsigned int *ret_first, unsigned int *ret_last)
{
	unsigned int value[2] = { 0, 0 };
	int n = 0;

	for (;; text++) {
		size_t digits = strspn(text, "0123456789");

		if (digits == 0 || digits > 5)
			return "is no port; write tcp/443, tcp/8000-8100, udp/53, tcp/*, udp/*, "
			       "any, icmp "
			       "or none";
		for (; digits > 0; digits--)
			value[n] = value[n] * 10 + (unsigned int)(*text++ - '0');
		if (value[n] == 0 || value[n] > 65535)
			return "is out of range; ports are 1 to 65535";
		n++;
		if (*text != '-' || n == 2)
			break;
	}
	if (*text)
		return "is no port; write tcp/443, tcp/8000-8100, udp/53, tcp/*, udp/*, any, icmp "
		       "or "
		       "none";
	*ret_first = value[0];
	*ret_last = n == 2 ? value[1] : value[0];
	return *ret_first <= *ret_last ? NULL
	                               : "is the wrong way round; the smaller port comes first";
}

struct ports {
	struct policy_port list[LIMIT_RULE_PORTS];
	size_t n;
	bool none, over;
};

static void add_port(struct ports *ports, uint8_t kind, uint8_t proto, unsigned int port)
{
	const struct policy_port one = { .kind = kind, .proto = proto, .port = (uint16_t)port };

	for (size_t i = 0; i < ports->n; i++) {
		if (ports->list[i].kind == one.kind && ports->list[i].proto == one.proto &&
		    ports->list[i].port == one.port)
			return;
	}
	if (ports->n == LIMIT_RULE_PORTS)
		ports->over = true;
	else
		ports->list[ports->n++] = one;
}

static const char *parse_port(const char *text, struct ports *ports)
{
	uint8_t proto = strncmp(text, "udp/", 4) == 0 ? IPPROTO_UDP : IPPROTO_TCP;
	unsigned int first, last;
	const char *why;

	if (strcmp(text, "none") == 0) {
		ports->none = true;
		return NULL;
	}
	if (strcmp(text, "any") == 0) {
		add_port(ports, PINHOLE_KIND_ANY, 0, 0);
		return NULL;
	}
	if (strcmp(text, "icmp") == 0) {
		add_port(ports, PINHOLE_KIND_PROTO, IPPROTO_ICMP, 0);
		return NULL;
	}
	if (strncmp(text, "tcp/", 4) != 0 && strncmp(text, "udp/", 4) != 0)
		return "is no port; write tcp/443, tcp/8000-8100, udp/53, tcp/*, udp/*, any, icmp "
		       "or "
		       "none";
	if (strcmp(text + 4, "*") == 0) {
		add_port(ports, PINHOLE_KIND_PROTO, proto, 0);
		return NULL;
	}
	why = parse_range(text + 4, &first, &last);
	if (why)
		return why;
	for (unsigned int port = first; port <= last && !ports->over; port++)
		add_port(ports, PINHOLE_KIND_PORT, proto, port);
	return NULL;
}

static void keep_ports(struct doc_reader *r, const struct ports *ports,
                       const struct policy_port **ret_ports, uint16_t *ret_n)
{
	struct policy_port *copy =
	    region_alloc(&r->doc->region, (ports->n + 1) * sizeof(struct policy_port));

	if (!copy) {
		r->err = ERR_NOMEM;
		return;
	}
	if (ports->n)
		memcpy(copy, ports->list, ports->n * sizeof(*copy));
	*ret_ports = copy;
	*ret_n = (uint16_t)ports->n;
}

static void read_ports(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	struct rule_reading *reading = target;
	size_t n = value->kind == YAML_LIST ? value->n : 1;
	struct ports ports = { .n = 0 };

	if (!belongs_to_allow(r, reading, value, "ports"))
		return;
	if (n == 0) {
		fault(r, value,
		      "an empty list of ports; write none to open nothing, or leave ports "
		      "out for tcp/443");
		return;
	}
	for (size_t i = 0; i < n && !ports.over; i++) {
		const struct yaml_node *item = item_of(value, i);
		const char *text = read_text(r, item, 32);
		const char *why = text ? parse_port(text, &ports) : NULL;

		if (why)
			fault(r, item, "'%s' %s", text, why);
	}
	if (ports.over)
		fault(r, value, "more than %d ports; write tcp/* or udp/* instead",
		      LIMIT_RULE_PORTS);
	if (ports.none && ports.n > 0)
		fault(r, value, "none beside other ports; write either none or the ports");
	keep_ports(r, &ports, &reading->rule->ports, &reading->rule->n_ports);
}

/* Design, section 5: replies to connections from outside need a bit that a TCP SYN sets anyway, and
 * UDP on these ports alone. */
void doc_inbound_read(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	static const char no_inbound[] = "is no port that can be inbound; write udp/53 or "
					 "udp/5000-5010 (TCP from outside needs no entry)";
	struct doc_profile *p = target;
	size_t n = value->kind == YAML_LIST ? value->n : 1;
	struct ports ports = { .n = 0 };

	for (size_t i = 0; i < n && !ports.over; i++) {
		const struct yaml_node *item = item_of(value, i);
		const char *text = read_text(r, item, 32), *why = no_inbound;
		unsigned int first = 1, last = 0;

		if (!text)
			continue;
		if (strncmp(text, "udp/", 4) == 0 &&
		    strspn(text + 4, "0123456789-") == strlen(text + 4))
			why = parse_range(text + 4, &first, &last);
		if (why)
			fault(r, item, "'%s' %s", text, why);
		for (unsigned int port = first; !why && port <= last && !ports.over; port++)
			add_port(&ports, PINHOLE_KIND_PORT, IPPROTO_UDP, port);
	}
	if (ports.over)
		fault(r, value, "more than %d inbound ports; name fewer", LIMIT_RULE_PORTS);
	keep_ports(r, &ports, &p->inbound, &p->n_inbound);
	p->has_inbound = true;
}

static void read_follow(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	static const char *const words[] = { "none", "chain", "any", NULL };
	struct rule_reading *reading = target;
	int word;

	if (!belongs_to_allow(r, reading, value, "follow"))
		return;
	word = read_word(r, value, words);
	reading->rule->follow = word > 0 ? (uint8_t)word : POLICY_FOLLOW_NONE;
}

static void read_require(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	static const char *const words[] = { "dnssec", NULL };
	struct rule_reading *reading = target;
	size_t n = value->kind == YAML_LIST ? value->n : 1;

	if (!belongs_to_allow(r, reading, value, "require"))
		return;
	for (size_t i = 0; i < n; i++)
		reading->rule->dnssec |= read_word(r, item_of(value, i), words) == 0;
}

static void read_internal(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	struct rule_reading *reading = target;

	if (belongs_to_allow(r, reading, value, "internal"))
		reading->rule->internal = read_bool(r, value);
}

static void read_final(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	struct rule_reading *reading = target;

	if (reading->rule->allow)
		fault(r, value, "only a deny can be final; leave it out");
	else
		reading->rule->final = read_bool(r, value);
}

static void read_owner(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	const char *text = read_text(r, value, 1000);

	((struct rule_reading *)target)->rule->owner = text ? text : "";
}
static void read_reason(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	const char *text = read_text(r, value, 1000);

	((struct rule_reading *)target)->rule->reason = text ? text : "";
}
static void read_ticket(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	const char *text = read_text(r, value, 1000);

	((struct rule_reading *)target)->rule->ticket = text ? text : "";
}

static void read_expires(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	const char *text = read_text(r, value, 64);
	uint64_t ns;

	if (!text)
		return;
	/* A calendar date, never "2h": that would be another moment at each compilation. */
	if (strlen(text) < 10 || text[4] != '-' || clock_parse_moment(text, 0, 0, &ns) < 0 ||
	    ns < NS_PER_S) {
		fault(r, value, "'%s' is no date; write 2027-01-31 or 2027-01-31T12:00:00Z", text);
		return;
	}
	((struct rule_reading *)target)->rule->expires_s = ns / NS_PER_S;
}

static void read_pattern(struct doc_reader *r, const struct yaml_node *node,
                         const struct rule_reading *reading)
{
	const struct yaml_node *value = reading->zone ? reading->zone : reading->name;
	struct doc_rule *rule = reading->rule;
	char why[PATTERN_WHY_LEN];
	size_t len;
	char *text;

	if (!value) {
		fault(r, node, "this rule names nothing; write name: or zone:");
		return;
	}
	if (reading->name && reading->zone) {
		fault(r, reading->zone,
		      "name and zone in one rule; write one of them, and a second "
		      "rule for the other");
		return;
	}
	if (value->kind != YAML_TEXT) {
		fault(r, value, "a rule has one name; write one rule for each name");
		return;
	}
	if (pattern_parse(value->text, value->len, reading->zone ? PATTERN_ZONE : PATTERN_NAME,
	                  &rule->pattern, why) < 0) {
		fault(r, value, "'%.300s': %s", value->text, why);
		return;
	}
	len = value->len + (reading->zone ? 5 : 0);
	text = region_alloc(&r->doc->region, len + 1);
	if (!text) {
		r->err = ERR_NOMEM;
		return;
	}
	snprintf(text, len + 1, "%s%s", reading->zone ? "zone " : "", value->text);
	rule->text = text;
}

void doc_rule_read(struct doc_reader *r, const struct yaml_node *node, struct doc_rule *rule)
{
	static const struct doc_key keys[] = {
		{ "name", read_name, KEY_KNOWN },
		{ "zone", read_zone, KEY_KNOWN },
		{ "types", read_types, KEY_KNOWN },
		{ "ports", read_ports, KEY_KNOWN },
		{ "follow", read_follow, KEY_KNOWN },
		{ "require", read_require, KEY_KNOWN },
		{ "internal", read_internal, KEY_KNOWN },
		{ "final", read_final, KEY_KNOWN },
		{ "owner", read_owner, KEY_KNOWN },
		{ "reason", read_reason, KEY_KNOWN },
		{ "ticket", read_ticket, KEY_KNOWN },
		{ "expires", read_expires, KEY_KNOWN },
		{ "grant", NULL, KEY_LATER },
	};
	static const struct policy_port https = { .kind = PINHOLE_KIND_PORT,
		                                  .proto = IPPROTO_TCP,
		                                  .port = 443 };
	struct rule_reading reading = { .rule = rule };

	rule->follow = rule->allow ? POLICY_FOLLOW_CHAIN : POLICY_FOLLOW_NONE;
	if (rule->allow) {
		rule->ports = &https;
		rule->n_ports = 1;
	}
	read_keys(r, node, keys, ARRAY_LEN(keys), &reading, "rule");
	if (node->kind == YAML_MAP && r->err == ERR_OK)
		read_pattern(r, node, &reading);
}
