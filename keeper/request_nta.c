/* keeper/request_nta.c - negative trust anchors by command: nta add, list, remove. */
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "request.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/log.h"

#define RETRY_MS 30000 /* a store that cannot be written has been told of once */

enum { NAMED = NAME_TEXT_LEN + LIMIT_NTA_REASON + 100 }; /* room for a detail of the audit trail */

static void refuse(struct server_client *client, const struct diag *diag, int r)
{
	server_error(client, "error: %s", diag->n_items ? diag->items[0].text : err_str(r));
	server_exit(client, 2);
}

static json_t *describe(const struct nta *nta)
{
	char name[NAME_TEXT_LEN];
	bool configured = nta->since_ns == 0;

	name_to_text(nta->name, name);
	return json_pack(
	    "{s:s,s:o,s:s,s:o,s:o,s:o,s:o}", "name", name, "until", request_time(nta->until_ns),
	    "source", configured ? "file" : "command", "since",
	    configured ? json_null() : request_time(nta->since_ns), "uid",
	    configured || nta->uid == STORE_UID_NONE ? json_null() : json_integer(nta->uid), "user",
	    request_optional(nta->user), "reason", request_optional(nta->reason));
}

static json_t *in_force(const struct ntas *ntas, json_t *array)
{
	uint64_t now_ns = clock_wall_ns();

	for (size_t i = 0; i < ntas->n; i++) {
		if (ntas->list[i].until_ns > now_ns)
			json_array_append_new(array, describe(&ntas->list[i]));
	}
	return array;
}

json_t *request_ntas(const struct keeper *k)
{
	return in_force(&k->ntas, in_force(&k->config->ntas, json_array()));
}

void request_nta_list(struct keeper *k, struct server_client *client)
{
	json_t *array = request_ntas(k), *each;
	size_t i;

	json_array_foreach(array, i, each) server_json_give(client, json_incref(each));
	json_decref(array);
	server_exit(client, 0);
}

/* NAME SECONDS REASON into *ret_nta; complains and returns false. */
static bool read_words(struct server_client *client, const struct server_request *request,
                       struct nta *ret_nta)
{
	uint8_t name[NAME_MAX_WIRE];
	uint32_t seconds;
	int len;

	if (request->n_words != 4 || !request_number(request->words[2], &seconds)) {
		server_error(client, "error: nta-add wants a name, seconds and a reason");
		return false;
	}
	len = strchr(request->words[1], '*') ? ERR_INVAL : name_from_text(request->words[1], name);
	if (len <= 1) {
		server_error(client,
		             len < 0 ? "error: \"%s\" is not a domain name; write one such as "
		                       "corp.test: it and all below it is meant"
		                     : "error: %s: a negative trust anchor for the root would "
		                       "switch validation off; that is dnssec.mode: off",
		             request->words[1]);
		return false;
	}
	if (seconds > LIMIT_NTA_S) {
		server_error(client,
		             "error: a negative trust anchor by command lasts %d days at most; "
		             "renew it, or write dnssec.negative_trust_anchors, or for a zone that "
		             "stays unsigned upstreams[].dnssec: off",
		             LIMIT_NTA_S / 86400);
		return false;
	}
	memset(ret_nta, 0, sizeof(*ret_nta));
	name_lower(ret_nta->name, name, (size_t)len);
	if (nta_set_reason(ret_nta, request->words[3]) < 0) {
		server_error(client, "error: the reason is longer than %d octets; shorten it",
		             LIMIT_NTA_REASON);
		return false;
	}
	ret_nta->since_ns = clock_wall_ns();
	ret_nta->until_ns = ret_nta->since_ns + seconds * NS_PER_S;
	ret_nta->uid = request->uid;
	return true;
}

static int keep(struct keeper *k, const struct nta *nta, struct diag *diag)
{
	char name[NAME_TEXT_LEN], until[CLOCK_RFC3339_LEN], detail[NAMED];
	const struct store_actor actor = { nta->uid, nta->user[0] ? nta->user : NULL };
	const struct store_nta row = { name, nta->since_ns, nta->until_ns, actor, nta->reason };
	const struct store_audit audit = {
		.time_ns = nta->since_ns, .actor = actor, .action = "nta add", .detail = detail
	};

	name_to_text(nta->name, name);
	clock_rfc3339(nta->until_ns, until);
	snprintf(detail, sizeof(detail), "%s until %s%s%s", name, until, nta->reason[0] ? ": " : "",
	         nta->reason);
	return store_nta_put(k->store, &row, &audit, diag);
}

void request_nta_add(struct keeper *k, struct server_client *client,
                     const struct server_request *request)
{
	const struct passwd *pw = getpwuid(request->uid);
	CLEANUP(diag_fini) struct diag diag = { 0 };
	struct nta nta;
	int r;

	if (!read_words(client, request, &nta)) {
		server_exit(client, 2);
		return;
	}
	if (pw)
		snprintf(nta.user, sizeof(nta.user), "%s", pw->pw_name);
	diag_init(&diag);
	if (k->config->resolver.dnssec == DNSSEC_MODE_OFF)
		r = diag_set(&diag, ERR_INVAL,
		             "nothing is validated (dnssec.mode: off), so there is nothing to "
		             "except");
	else if (!ntas_find(&k->ntas, nta.name) && k->ntas.n == LIMIT_NTAS)
		r = diag_set(&diag, ERR_LIMIT,
		             "there are %d negative trust anchors by command already; remove one",
		             LIMIT_NTAS);
	else
		r = keep(k, &nta, &diag);
	if (r == 0)
		r = ntas_put(&k->ntas, &nta);
	if (r < 0) {
		refuse(client, &diag, r);
		return;
	}
	tell_resolver(k);
	tell_wait_give(k, client, describe(&nta));
}

/* Out of the store, with whom and why in the audit trail, then out of the list. */
static int take_out(struct keeper *k, const struct nta *nta, const struct store_actor *actor,
                    const char *action, struct diag *diag)
{
	char name[NAME_TEXT_LEN];
	const struct store_audit audit = {
		.time_ns = clock_wall_ns(), .actor = *actor, .action = action, .detail = name
	};
	int r;

	name_to_text(nta->name, name);
	r = store_nta_remove(k->store, name, &audit, diag);
	if (r == 0 || r == ERR_NOENT)
		ntas_drop(&k->ntas, nta);
	return r;
}

void request_nta_remove(struct keeper *k, struct server_client *client,
                        const struct server_request *request)
{
	const struct passwd *pw = getpwuid(request->uid);
	const struct store_actor actor = { request->uid, pw ? pw->pw_name : NULL };
	CLEANUP(diag_fini) struct diag diag = { 0 };
	uint8_t name[NAME_MAX_WIRE];
	const struct nta *nta = NULL;
	json_t *answer;
	int r = ERR_NOENT;

	diag_init(&diag);
	if (request->n_words == 2 && name_from_text(request->words[1], name) > 0)
		nta = ntas_find(&k->ntas, name);
	else
		r = diag_set(&diag, ERR_INVAL, "nta-remove wants a domain name");
	if (!nta && r == ERR_NOENT)
		r = diag_set(&diag, r, "there is no negative trust anchor %s%s", request->words[1],
		             ntas_find(&k->config->ntas, name)
		                 ? " by command; the configuration has it: take it out there"
		                 : "");
	if (!nta) {
		refuse(client, &diag, r);
		return;
	}
	answer = describe(nta);
	json_object_set_new(answer, "removed", json_true());
	r = take_out(k, nta, &actor, "nta remove", &diag);
	if (r < 0) {
		json_decref(answer);
		refuse(client, &diag, r);
		return;
	}
	tell_resolver(k);
	tell_wait_give(k, client, answer);
}

/* The resolver has let go of it at its time; it need not be told. */
void request_nta_pulse(struct keeper *k)
{
	const struct store_actor itself = { STORE_UID_NONE, NULL };
	uint64_t now_ns = clock_wall_ns();
	const struct nta *nta;

	if (clock_mono_ns() < k->nta_retry_ns)
		return;
	while ((nta = ntas_ended(&k->ntas, now_ns))) {
		CLEANUP(diag_fini) struct diag diag = { 0 };
		int r;

		diag_init(&diag);
		r = take_out(k, nta, &itself, "nta end", &diag);
		if (r < 0) {
			log_error("keeper", "%s", diag.n_items ? diag.items[0].text : err_str(r));
			k->nta_retry_ns = clock_mono_ns() + RETRY_MS * NS_PER_MS;
			return;
		}
	}
}
