/* keeper/request_dnssec.c - the policy's word on a question, and what the resolver finds when it
 * validates the answer anew (explained.h).
 */
#include <stdio.h>
#include <string.h>

#include "explained.h"
#include "policy/judge.h"
#include "request.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/limits.h"

/* --- asking ---------------------------------------------------------------------------------- */

static void gone(void *arg)
{
	struct keeper_dnssec *x = arg;

	x->client = NULL; /* its answer will find nobody */
}

static void finish(struct keeper_dnssec *x)
{
	if (x->client)
		server_watch(x->client, NULL, NULL);
	json_decref(x->policy);
	*x = (struct keeper_dnssec){ 0 };
}

static void fail(struct keeper_dnssec *x, const char *why)
{
	if (x->client) {
		server_error(x->client, "error: %s", why);
		server_exit(x->client, 2);
	}
	finish(x);
}

/* An address that is this workload's and nobody else's: it is in whose name the resolver asks. At a
 * listener that is anybody whom no source names: the listener's own address, or none at all. */
static bool address_of(const struct policy_image *image, const char *who,
                       struct explain_request *ask)
{
	static const uint8_t nobody[2][ADDR_LEN] = { { 0 }, { [10] = 0xff, [11] = 0xff } };
	uint32_t workload = request_workload(image, who);
	struct policy_workload_info info;

	if (addr_parse(who, ask->addr) == 0) {
		memcpy(ask->at, ask->addr, ADDR_LEN);
		return true;
	}
	if (workload == POLICY_NONE || policy_image_workload(image, workload, &info) < 0)
		return false;
	for (size_t i = 0; i < info.n_sources; i++) {
		memcpy(ask->addr, info.sources[i].addr, ADDR_LEN);
		if (policy_workload(image, ask->addr, NULL) == workload)
			return true;
	}
	for (size_t i = 0; i < info.n_listeners; i++) {
		const uint8_t *at = info.listeners[i].addr;
		const uint8_t *const asking[] = { at, nobody[addr_is_v4(at)] };

		memcpy(ask->at, at, ADDR_LEN);
		for (size_t a = 0; a < ARRAY_LEN(asking); a++) {
			memcpy(ask->addr, asking[a], ADDR_LEN);
			if (policy_workload(image, ask->addr, at) == workload)
				return true;
		}
	}
	return false;
}

static struct keeper_dnssec *free_place(struct keeper *k)
{
	for (size_t i = 0; i < KEEPER_DNSSEC; i++) {
		if (k->dnssec[i].id == 0)
			return &k->dnssec[i];
	}
	return NULL;
}

static const char *send_question(struct keeper *k, struct keeper_dnssec *x,
                                 const struct request_asking *q, const struct policy_image *image)
{
	struct explain_request ask = { .type = q->type };
	const struct child *resolver = &k->children[ROLE_RESOLVER];

	ask.name_len = (uint16_t)name_wire_len(q->name, sizeof(q->name));
	memcpy(ask.name, q->name, ask.name_len);
	if (!address_of(image, q->who, &ask))
		return "every source of this workload has a narrower workload inside, and other "
		       "workloads name whom its listeners could know; name an address instead";
	x->id = ++k->dnssec_last;
	x->deadline_ns =
	    clock_mono_ns() + (k->config->resolver.query_ms + KEEPER_DNSSEC_GRACE_MS) * NS_PER_MS;
	if (resolver->state != CHILD_RUNNING ||
	    child_send(&k->children[ROLE_RESOLVER], ROLE_MSG_EXPLAIN, x->id, 0, &ask, sizeof(ask),
	               NULL, 0) < 0)
		return "the resolver is not there to be asked; try again";
	return NULL;
}

static void ask_resolver(struct keeper *k, struct server_client *client,
                         const struct server_request *request, const struct request_asking *q,
                         json_t *policy)
{
	struct keeper_dnssec *x = free_place(k);
	char detail[NAME_TEXT_LEN + 128], name[NAME_TEXT_LEN];
	const char *why;

	if (!x) {
		json_decref(policy);
		server_error(client, "error: other explanations are under way; try again");
		server_exit(client, 2);
		return;
	}
	if (!keeper_audit_room(k, request)) { /* what is not audited is not asked */
		json_decref(policy);
		server_error(client,
		             "error: limit audit: each explanation is a row of the audit trail, "
		             "which has room for one every %d s from those who may only read; "
		             "try again, or ask as an administrator",
		             LIMIT_AUDIT_ROW_MS / 1000);
		server_exit(client, 2);
		return;
	}
	*x = (struct keeper_dnssec){ .client = client, .policy = policy };
	x->require = json_is_true(json_object_get(policy, "require_dnssec"));
	server_watch(client, gone, x);
	why = send_question(k, x, q, &k->rollout.current->image);
	if (why) {
		fail(x, why);
		return;
	}
	name_to_text(q->name, name);
	snprintf(detail, sizeof(detail), "%.63s %s %s", q->who, name, request->words[3]);
	keeper_audit(k, request->uid, "explain-dnssec", detail);
}

void request_explain_dnssec(struct keeper *k, struct server_client *client,
                            const struct server_request *request)
{
	const struct policy_image *image = &k->rollout.current->image;
	struct request_asking q;
	enum verdict_kind kind;
	json_t *policy;

	if (request_asking_read(client, request->words, request->n_words, &q) < 0) {
		server_exit(client, 2);
		return;
	}
	if (request->n_words != 4 || !image->data) {
		server_error(client, request->n_words != 4
		                         ? "error: what is asked now is judged by the policy of now"
		                         : "error: there is no policy yet: everything is refused");
		server_exit(client, 2);
		return;
	}
	policy = request_explained(k, image, &q, &kind);
	if (!policy) {
		server_error(client, "error: no memory");
		server_exit(client, 2);
	} else if (kind != VERDICT_ALLOW) { /* promise P2; or it is answered here */
		json_object_set_new(policy, "dnssec", json_null());
		server_json_give(client, policy);
		server_exit(client, kind == VERDICT_DENY);
	} else if (k->config->resolver.dnssec == DNSSEC_MODE_OFF) {
		json_decref(policy);
		server_error(client, "error: nothing is validated: the configuration says "
		                     "dnssec: {mode: off}; mode: validate would");
		server_exit(client, 2);
	} else {
		ask_resolver(k, client, request, &q, policy);
	}
}

/* --- answers --------------------------------------------------------------------------------- */

static int exit_of(const struct keeper_dnssec *x, const struct explain_row *end)
{
	switch ((enum explain_end)end->outcome) {
	case EXPLAIN_ANSWERED:
		return x->require && end->state != DNSSEC_SECURE;
	case EXPLAIN_DENIED:
	case EXPLAIN_BOGUS:
		return 1;
	case EXPLAIN_FAILED:
	case EXPLAIN_BUSY:
		break;
	}
	return 2;
}

void request_explained_dnssec(struct keeper *k, const struct role_msg *msg)
{
	struct keeper_dnssec *x = NULL;
	struct explain_row end = { .outcome = EXPLAIN_FAILED };
	json_t *dnssec;

	for (size_t i = 0; i < KEEPER_DNSSEC && !x; i++) {
		if (msg->a != 0 && k->dnssec[i].id == msg->a)
			x = &k->dnssec[i];
	}
	if (!x)
		return; /* too late, or never asked */
	dnssec = explained_json(msg->payload, msg->len, &end);
	if (!dnssec) {
		fail(x, "the resolver's explanation cannot be read");
		return;
	}
	if (end.outcome == EXPLAIN_BUSY) {
		json_decref(dnssec);
		fail(x, "another explanation is under way; try again");
		return;
	}
	if (x->client) {
		json_object_set_new(x->policy, "dnssec", dnssec);
		server_json_give(x->client, json_incref(x->policy));
		server_exit(x->client, exit_of(x, &end));
	} else {
		json_decref(dnssec);
	}
	finish(x);
}

void request_dnssec_pulse(struct keeper *k, uint64_t now_ns)
{
	for (size_t i = 0; i < KEEPER_DNSSEC; i++) {
		if (k->dnssec[i].id != 0 && k->dnssec[i].deadline_ns < now_ns)
			fail(&k->dnssec[i], "the resolver gave no explanation in time");
	}
}

void request_dnssec_lost(struct keeper *k)
{
	for (size_t i = 0; i < KEEPER_DNSSEC; i++) {
		if (k->dnssec[i].id != 0)
			fail(&k->dnssec[i],
			     "the resolver ended before it had explained; try again");
	}
}
