/* keeper/request_pinholes.c - what is open now, explained from the ledger. */
#include <inttypes.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "policy/judge.h"
#include "request.h"
#include "revoke.h"
#include "sallyport/clock.h"
#include "sallyport/name.h"
#include "sallyport/pinhole.h"

#define ROWS_A_TURN 4096 /* looked at before the loop gets its turn again */

struct walk {
	struct use_waiter waiter; /* first: what is counted finds the walk by it */
	struct keeper *keeper;
	struct server_client *client;
	uint32_t next;
	bool use_known, warned;
	char workload[LIMIT_WORKLOAD_NAME + 1]; /* "": all */
};

/* The question's name, and the chain's; the listener, where it says who asked. */
static void put_names(json_t *object, const struct ledger_reason *reason)
{
	json_t *chain = json_array();
	char at[ADDR_TEXT_LEN];
	size_t pos, n = 0;
	const uint8_t *listener = revoke_listener(reason, &pos);

	if (listener)
		addr_text(listener, at);
	json_object_set_new(object, "listener", listener ? json_string(at) : json_null());
	while (pos + sizeof(uint16_t) <= reason->names_len) {
		char text[NAME_TEXT_LEN];
		uint16_t len;

		memcpy(&len, reason->names + pos, sizeof(len));
		pos += sizeof(len);
		if (len > reason->names_len - pos ||
		    name_wire_len(reason->names + pos, len) != (int)len)
			break;
		name_to_text(reason->names + pos, text);
		if (n++ == 0)
			json_object_set_new(object, "name", json_string(text));
		else
			json_array_append_new(chain, json_string(text));
		pos += len;
	}
	if (n == 0)
		json_object_set_new(object, "name", json_string("?"));
	json_object_set_new(object, "chain", chain);
}

static const char *proto_text(const struct pinhole_port *port)
{
	if (port->kind == PINHOLE_KIND_ANY)
		return "any";
	switch (port->proto) {
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return "icmp";
	default:
		return "other";
	}
}

/* The rule's text, if its version is still in memory. */
static json_t *rule_of(const struct keeper *k, const struct ledger_reason *reason)
{
	const struct edition *e = k->rollout.current;
	char text[POLICY_TEXT_LEN];

	for (size_t i = 0; e->version != reason->policy_version && i < KEEPER_EDITIONS; i++) {
		if (k->older[i] && k->older[i]->version == reason->policy_version)
			e = k->older[i];
	}
	if (e->version != reason->policy_version || !e->image.data ||
	    policy_rule_text(&e->image, reason->rule, text, sizeof(text)) == 0)
		return json_null();
	return request_text(text);
}

/* The connections of row @i; null when that is not known. */
static json_t *use_of(const struct walk *walk, uint32_t i, const struct ledger_row *row)
{
	struct role_use use;
	bool all;

	if (!walk->use_known || !use_read(&walk->keeper->use, i, row->opened_ns, &use))
		return json_null();
	all = use.unaccounted == 0;
	return json_pack("{s:I,s:o,s:o}", "flows", (json_int_t)use.flows, "packets",
	                 all ? json_integer((json_int_t)use.packets) : json_null(), "octets",
	                 all ? json_integer((json_int_t)use.octets) : json_null());
}

static void put_row(const struct walk *walk, struct server_client *client, uint32_t i,
                    const struct ledger_row *row, const struct ledger_reason *reason)
{
	const struct keeper *k = walk->keeper;
	uint64_t now = clock_mono_ns(), wall = clock_wall_ns();
	uint64_t age = now > row->opened_ns ? now - row->opened_ns : 0;
	uint64_t left = row->expires_ns > now ? row->expires_ns - now : 0;
	const struct pinhole_port *port = &row->element.port;
	char src[ADDR_TEXT_LEN], dst[ADDR_TEXT_LEN];
	json_t *object;

	addr_text(row->element.src, src);
	addr_text(row->element.dst, dst);
	object =
	    json_pack("{s:o,s:s,s:s,s:s,s:o}", "workload", request_text(reason->workload), "source",
	              src, "destination", dst, "proto", proto_text(port), "port",
	              port->kind == PINHOLE_KIND_PORT ? json_integer(port->port) : json_null());
	put_names(object, reason);
	json_object_set_new(object, "rule", rule_of(k, reason));
	json_object_set_new(object, "policy_version",
	                    json_integer((json_int_t)reason->policy_version));
	json_object_set_new(object, "rule_id", json_integer((json_int_t)reason->rule));
	json_object_set_new(object, "query_id", json_integer((json_int_t)reason->query_id));
	json_object_set_new(object, "opened", request_time(wall - age));
	json_object_set_new(object, "age_s", json_integer((json_int_t)(age / NS_PER_S)));
	json_object_set_new(object, "expires", request_time(wall + left));
	json_object_set_new(object, "left_s", json_integer((json_int_t)(left / NS_PER_S)));
	json_object_set_new(object, "use", use_of(walk, i, row));
	server_json_give(client, object);
}

static int more_rows(struct server_client *client, void *state)
{
	struct walk *walk = state;
	const struct ledger *ledger = &walk->keeper->shared.ledger;
	uint64_t now = clock_mono_ns();

	for (uint32_t i = 0; i < ROWS_A_TURN; i++) {
		struct ledger_reason reason;
		struct ledger_row row;

		if (walk->next >= ledger_rows(ledger)) {
			server_exit(client, 0);
			return 0;
		}
		if (ledger_read(ledger, walk->next++, &row, &reason) != 1 || row.expires_ns <= now)
			continue;
		if (*walk->workload && strcmp(walk->workload, reason.workload) != 0)
			continue;
		if (!walk->use_known && !walk->warned) {
			server_error(client, "warning: how much the pinholes are used is not "
			                     "known: the firewall role could not count "
			                     "connections, or not in time; see its log");
			walk->warned = true;
		}
		put_row(walk, client, walk->next - 1, &row, &reason);
	}
	return 1;
}

static void walk_done(void *arg)
{
	struct walk *walk = arg;

	use_leave(walk->keeper, &walk->waiter);
	free(walk);
}

static void begin(struct use_waiter *waiter, bool known)
{
	struct walk *walk = (struct walk *)(void *)waiter;

	walk->use_known = known;
	server_watch(walk->client, NULL, NULL);
	server_stream(walk->client, &(struct server_stream){ more_rows, walk_done, walk });
}

void request_pinholes(struct keeper *k, struct server_client *client,
                      const struct server_request *request)
{
	struct walk *walk = calloc(1, sizeof(*walk));

	if (!walk || request->n_words > 2 ||
	    (request->n_words == 2 && strlen(request->words[1]) > LIMIT_WORKLOAD_NAME)) {
		free(walk);
		server_error(client, "error: pinholes wants at most the name of a workload");
		server_exit(client, 2);
		return;
	}
	*walk = (struct walk){ .waiter.counted = begin, .keeper = k, .client = client };
	if (request->n_words == 2)
		memcpy(walk->workload, request->words[1], strlen(request->words[1]) + 1);
	server_watch(client, walk_done, walk);
	if (!use_wait(k, &walk->waiter))
		begin(&walk->waiter, false);
}
