/* resolver/query_open.c - TTLs, lives, sources. */
#include "query_open.h"

#include <stdatomic.h>
#include <string.h>

#include "held.h"
#include "query_respond.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "wire.h"
#include "worker.h"

uint32_t open_left_s(const struct form *form, uint64_t now_ns)
{
	uint64_t age_s = now_ns > form->made_ns ? (now_ns - form->made_ns) / NS_PER_S : 0;

	return form->min_ttl_s > age_s ? form->min_ttl_s - (uint32_t)age_s : 0;
}

uint32_t open_ttl_wanted(const struct policy_pinhole *pinhole, uint32_t left_s)
{
	uint32_t most = pinhole->max_s > pinhole->grace_s ? pinhole->max_s - pinhole->grace_s : 0;

	return MIN(left_s, most);
}

uint32_t open_life_s(const struct policy_pinhole *pinhole, uint32_t ttl_s)
{
	uint64_t life = (uint64_t)MAX(ttl_s, pinhole->floor_s) + pinhole->grace_s + 1;

	return (uint32_t)MAX(MIN(life, pinhole->max_s), 1u);
}

bool open_ttl_opened(const struct policy_pinhole *pinhole, uint64_t until_ns, uint64_t now_ns,
                     uint32_t wanted_s, uint32_t *ret_ttl_s)
{
	uint64_t left_s = until_ns > now_ns ? (until_ns - now_ns) / NS_PER_S : 0;

	if (until_ns <= now_ns || left_s < pinhole->grace_s)
		return false;
	*ret_ttl_s = (uint32_t)MIN(left_s - pinhole->grace_s, wanted_s);
	return true;
}

bool open_ttl_held(const struct policy_pinhole *pinhole, uint64_t until_ns, uint64_t now_ns,
                   uint32_t wanted_s, uint32_t *ret_ttl_s)
{
	uint32_t ttl_s;

	if (!open_ttl_opened(pinhole, until_ns, now_ns, wanted_s, &ttl_s) ||
	    (uint64_t)ttl_s * 2 < wanted_s)
		return false;
	*ret_ttl_s = ttl_s;
	return true;
}

bool open_needed(const struct worker *worker, const struct verdict *verdict)
{
	const struct policy_port *ports;

	return worker->settings->conf.firewall != FIREWALL_NONE &&
	       policy_rule_ports(&worker->policy->image, verdict->rule, &ports) > 0;
}

bool open_has_other_source(const struct worker *worker, uint32_t workload, bool v4)
{
	const uint8_t(*addrs)[ADDR_LEN];

	return policy_single_sources(&worker->policy->image, workload, v4, &addrs) > 0;
}

/* Both fit: they stand before all others. */
static size_t put_name(struct open_request *room, size_t at, const uint8_t *octets, uint16_t len)
{
	memcpy(room->names + at, &len, sizeof(len));
	memcpy(room->names + at + sizeof(len), octets, len);
	return at + sizeof(len) + len;
}

/* The question and its chain, as a later policy will judge them. A target that was asked by itself
 * (REASON_FOLLOW) stands on the name where its chain began: that name comes first. Who is known by
 * the listener alone is so later on, too. */
static void fill_names(const struct policy_image *image, const struct asked *asked,
                       const struct form *form, struct open_request *room, struct pinhole_ask *ask)
{
	bool by_listener = policy_workload(image, asked->client->addr, NULL) == POLICY_NONE;
	size_t head = 0;

	ask->request.names_len = form->names_len;
	ask->request.names_flags = form->names_cut ? PINHOLE_NAMES_CUT : 0;
	if (form->dnssec == DNSSEC_SECURE)
		ask->request.names_flags |= PINHOLE_NAMES_SECURE;
	ask->view.names = form->names;
	if (!asked->j.followed && !by_listener)
		return;
	_Static_assert(sizeof(room->names) > 2 * sizeof(uint16_t) + ADDR_LEN + NAME_MAX_WIRE,
	               "put_name() is called twice at most");
	if (by_listener)
		head = put_name(room, head, asked->client->local, ADDR_LEN);
	if (asked->j.followed)
		head =
		    put_name(room, head, asked->j.begin, (uint16_t)wire_name_len(asked->j.begin));
	ask->view.names = room->names;
	ask->request.names_len = 0;
	if (by_listener)
		ask->request.names_flags |= PINHOLE_NAMES_LISTENER;
	if (head + form->names_len > sizeof(room->names)) {
		ask->request.names_flags |= PINHOLE_NAMES_CUT;
		return;
	}
	if (form->names_len > 0)
		memcpy(room->names + head, form->names, form->names_len);
	ask->request.names_len = (uint16_t)(head + form->names_len);
}

int open_fill(const struct worker *worker, const struct asked *asked, const struct form *form,
              const struct policy_pinhole *pinhole, bool internal, uint32_t life_s,
              struct open_request *room, struct pinhole_ask *ask)
{
	const struct policy_image *image = &worker->policy->image;
	const bool v4 = addr_is_v4(asked->client->addr);
	const uint8_t(*others)[ADDR_LEN];
	const struct policy_port *ports;
	size_t n_ports = policy_rule_ports(image, asked->j.verdict.rule, &ports), n_others = 0;
	bool own_family = false, other_family = false;
	uint16_t n_src = 0;

	if (form->n_addrs > pinhole->addresses || n_ports > LIMIT_RULE_PORTS)
		return ERR_LIMIT;
	for (uint16_t i = 0; i < form->n_addrs; i++) {
		if (addr_is_v4(form->addrs[i]) == v4)
			own_family = true;
		else
			other_family = true;
	}
	if (own_family)
		memcpy(room->src[n_src++], asked->client->addr, ADDR_LEN);
	if (other_family) {
		n_others = MIN(policy_single_sources(image, asked->j.workload, !v4, &others),
		               (size_t)LIMIT_WORKLOAD_OTHER_FAMILY);
		if (n_others == 0)
			return ERR_NOENT; /* the guard should have stripped them: nothing goes out
			                   */
	}
	for (size_t i = 0; i < n_others; i++)
		memcpy(room->src[n_src++], others[i], ADDR_LEN);
	for (size_t i = 0; i < n_ports; i++)
		room->ports[i] = (struct pinhole_port){ .kind = ports[i].kind,
			                                .proto = ports[i].proto,
			                                .port = ports[i].port };
	ask->request = (struct pinhole_request){
		.policy_version = asked->j.policy_version,
		.workload = asked->j.workload,
		.rule = asked->j.verdict.rule,
		.query_id = asked->id,
		.life_s = life_s,
		.flags = internal ? PINHOLE_INTERNAL : 0,
		.n_src = n_src,
		.n_dst = form->n_addrs,
		.n_ports = (uint16_t)n_ports,
	};
	ask->view = (struct pinhole_view){
		.request = &ask->request,
		.src = (const uint8_t(*)[ADDR_LEN])room->src,
		.dst = (const uint8_t(*)[ADDR_LEN])form->addrs,
		.ports = room->ports,
	};
	fill_names(image, asked, form, room, ask);
	return ERR_OK;
}

uint64_t open_epoch(const struct worker *worker)
{
	return worker->epoch ? atomic_load_explicit(&worker->epoch->epoch, memory_order_acquire)
	                     : 0;
}

static void note_held(struct form *form, const uint8_t *addr, uint32_t workload, uint64_t epoch,
                      uint64_t until_ns)
{
	form->held =
	    (struct form_held){ .epoch = epoch, .until_ns = until_ns, .workload = workload };
	memcpy(form->held.addr, addr, ADDR_LEN);
}

uint64_t open_held_until(struct worker *worker, struct form *form,
                         const uint8_t addr[static ADDR_LEN], uint32_t workload, uint64_t epoch)
{
	const struct form_held *held = &form->held;
	uint64_t until_ns;

	if (held->epoch == epoch && held->workload == workload &&
	    memcmp(held->addr, addr, ADDR_LEN) == 0)
		return held->until_ns;
	until_ns = held_until(worker->held, addr, workload, form->uid, epoch);
	if (until_ns)
		note_held(form, addr, workload, epoch, until_ns);
	return until_ns;
}

void open_held_set(struct worker *worker, struct form *form, const uint8_t addr[static ADDR_LEN],
                   uint32_t workload, uint64_t epoch, uint64_t until_ns)
{
	held_set(worker->held, addr, workload, form->uid, epoch, until_ns);
	note_held(form, addr, workload, epoch, until_ns);
}
