/* keeper/revoke.c - judging the ledger against a new policy. */
#include "revoke.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "guard.h"
#include "policy/judge.h"
#include "sallyport/err.h"
#include "sallyport/name.h"
#include "sallyport/special.h"
#include "zone.h"

#define TYPE_A 1
#define TYPE_AAAA 28
#define CHAIN_MAX 64 /* names of one reason: LIMIT_CHAIN targets and room; more: closed */

const uint8_t *revoke_listener(const struct ledger_reason *reason, size_t *ret_len)
{
	const size_t whole = sizeof(uint16_t) + ADDR_LEN;
	uint16_t len;

	*ret_len = 0;
	if (!(reason->names_flags & PINHOLE_NAMES_LISTENER) || reason->names_len < whole)
		return NULL;
	memcpy(&len, reason->names, sizeof(len));
	if (len != ADDR_LEN)
		return NULL;
	*ret_len = whole;
	return reason->names + sizeof(len);
}

uint32_t revoke_workload(const struct policy_image *image, const struct ledger_row *row,
                         const struct ledger_reason *reason)
{
	size_t len;

	return policy_workload(image, row->element.src, revoke_listener(reason, &len));
}

/* Names of a reason: a length (uint16_t), then that many octets of wire form. Returns their number,
 * or 0 when they break the format. */
static size_t read_names(const struct ledger_reason *reason, const uint8_t **ret_names)
{
	size_t n = 0, pos;

	if (reason->names_len > sizeof(reason->names))
		return 0;
	revoke_listener(reason, &pos);
	while (pos < reason->names_len) {
		uint16_t len;

		if (n == CHAIN_MAX || reason->names_len - pos < sizeof(len))
			return 0;
		memcpy(&len, reason->names + pos, sizeof(len));
		pos += sizeof(len);
		if (len > reason->names_len - pos ||
		    name_wire_len(reason->names + pos, len) != (int)len)
			return 0;
		ret_names[n++] = reason->names + pos;
		pos += len;
	}
	return n;
}

static bool covers(const struct policy_port *have, const struct pinhole_port *want)
{
	switch ((enum pinhole_proto_kind)have->kind) {
	case PINHOLE_KIND_ANY:
		return true;
	case PINHOLE_KIND_PROTO:
		return want->kind != PINHOLE_KIND_ANY && want->proto == have->proto;
	case PINHOLE_KIND_PORT:
		return want->kind == PINHOLE_KIND_PORT && want->proto == have->proto &&
		       want->port == have->port;
	}
	return false;
}

static bool port_stands(const struct policy_image *image, uint32_t rule,
                        const struct pinhole_port *want)
{
	const struct policy_port *ports;
	size_t n = policy_rule_ports(image, rule, &ports);

	for (size_t i = 0; i < n; i++) {
		if (covers(&ports[i], want))
			return true;
	}
	return false;
}

/* A name in hosts has the addresses that stand there, and no others. */
static bool hosts_agree(const struct policy_image *image, const uint8_t *name,
                        const uint8_t dst[static ADDR_LEN])
{
	const uint8_t(*addrs)[ADDR_LEN];
	bool exists = false;
	size_t n = policy_hosts(image, name, addr_is_v4(dst), &exists, &addrs);

	for (size_t i = 0; i < n; i++) {
		if (memcmp(addrs[i], dst, ADDR_LEN) == 0)
			return true;
	}
	return !exists;
}

static bool in_hosts(const struct policy_image *image, const uint8_t *name)
{
	const uint8_t(*addrs)[ADDR_LEN];
	bool exists = false;

	policy_hosts(image, name, true, &exists, &addrs);
	return exists;
}

static bool zone_is_internal(const struct resolver_conf *conf, const uint8_t *name)
{
	const struct conf_zone *zone = zone_find(conf, name);

	return zone && zone->internal;
}

/* Does the chain step inwards: into an internal zone, or to a name of hosts, from outside it? */
static bool crosses_inwards(const struct policy_image *image, const struct resolver_conf *conf,
                            const uint8_t *from, const uint8_t *to)
{
	if (in_hosts(image, to))
		return !in_hosts(image, from);
	return zone_is_internal(conf, to) && zone_find(conf, from) != zone_find(conf, to);
}

/* Answered by the resolver itself, so nothing is opened for it (design, section 3, judge). */
static bool is_special(const struct policy_image *image, const struct resolver_conf *conf,
                       const uint8_t *name)
{
	const struct conf_zone *zone = zone_find(conf, name);

	return special_of(name) != SPECIAL_NONE && !in_hosts(image, name) &&
	       (!zone || zone->name[0] == 0);
}

bool revoke_row_stands(const struct policy_image *image, const struct resolver_conf *conf,
                       uint64_t now_s, const struct ledger_row *row,
                       const struct ledger_reason *reason)
{
	const uint8_t *names[CHAIN_MAX];
	const struct ledger_element *element = &row->element;
	uint16_t type = addr_is_v4(element->dst) ? TYPE_A : TYPE_AAAA;
	struct verdict entry, last;
	uint32_t workload;
	size_t n;

	if (reason->names_flags & PINHOLE_NAMES_CUT)
		return false;
	n = read_names(reason, names);
	workload = revoke_workload(image, row, reason);
	if (n == 0 || workload == POLICY_NONE)
		return false;
	policy_judge(image, workload, names[0], type, now_s, &entry);
	if (entry.kind != VERDICT_ALLOW ||
	    (entry.require_dnssec && !(reason->names_flags & PINHOLE_NAMES_SECURE)) ||
	    is_special(image, conf, names[0]) || !port_stands(image, entry.rule, &element->port))
		return false;
	last = entry;
	for (size_t i = 1; i < n; i++) {
		policy_judge_target(image, workload, &entry, names[i], type, now_s,
		                    crosses_inwards(image, conf, names[i - 1], names[i]), &last);
		if (last.kind != VERDICT_ALLOW || is_special(image, conf, names[i]))
			return false;
	}
	if (!hosts_agree(image, names[n - 1], element->dst))
		return false;
	return last.internal || !guard_is_internal(element->dst) || in_hosts(image, names[n - 1]) ||
	       zone_is_internal(conf, names[n - 1]);
}

int revoke_list(const struct ledger *ledger, const struct policy_image *image,
                const struct resolver_conf *conf, uint64_t now_s, uint32_t trusted,
                struct role_close_row **ret_rows, size_t *ret_n)
{
	CLEANUP(free) struct role_close_row *rows = NULL;
	size_t n = 0, cap = 0;

	for (uint32_t i = 0; i < ledger_rows(ledger); i++) {
		struct ledger_reason reason;
		struct ledger_row row;

		/* A torn row is one that fwsync is writing now, under its newest guard table, or
		 * died in; its successor drops those. */
		if (ledger_read(ledger, i, &row, &reason) != 1)
			continue;
		if (trusted && row.policy_version == trusted)
			continue;
		if (image && revoke_row_stands(image, conf, now_s, &row, &reason))
			continue;
		if (n == cap) {
			size_t more = cap ? cap * 2 : 1024;
			struct role_close_row *grown = realloc(rows, more * sizeof(*rows));

			if (!grown)
				return ERR_NOMEM;
			rows = grown;
			cap = more;
		}
		rows[n++] = (struct role_close_row){ .opened_ns = row.opened_ns,
			                             .row = i,
			                             .policy_version = row.policy_version };
	}
	*ret_rows = TAKE(rows);
	*ret_n = n;
	return ERR_OK;
}
