/* keeper/request_anchors.c - each zone's trust anchors: the keys, their states, and the newest look
 * at them. */
#include "request.h"

#include "sallyport/clock.h"

enum { TYPE_DS = 43 };

static json_t *moment(uint64_t s)
{
	return s ? request_time(s * NS_PER_S) : json_null();
}

static json_t *kept_up(const struct keeper *k, const struct upkeep_key *key)
{
	const struct resolver_conf *conf = &k->config->resolver;
	const char *source = "5011";

	for (uint32_t i = 0; i < conf->n_anchors; i++) {
		const struct upkeep_zone *zone = refresh_zone(k, conf->anchors[i].name);

		if (zone && upkeep_find(zone, &conf->anchors[i]) == key)
			source = "file";
	}
	return json_pack("{s:i,s:i,s:s,s:b,s:s,s:o,s:o,s:o}", "tag", (int)key->id.tag, "algorithm",
	                 (int)key->id.rdata[3], "state",
	                 upkeep_state_str((enum upkeep_state)key->state), "trusted",
	                 (int)upkeep_trusts(key), "source", source, "since", moment(key->since_s),
	                 "until", moment(key->until_s), "seen", moment(key->seen_s));
}

static json_t *configured(const struct conf_anchor *anchor)
{
	bool is_ds = anchor->type == TYPE_DS;
	int tag =
	    is_ds ? anchor->rdata[0] << 8 | anchor->rdata[1] : keys_tag(anchor->rdata, anchor->len);

	return json_pack("{s:i,s:i,s:s,s:b,s:s,s:n,s:n,s:n}", "tag", tag, "algorithm",
	                 (int)anchor->rdata[is_ds ? 2 : 3], "state", "configured", "trusted", 1,
	                 "source", "file", "since", "until", "seen");
}

static void give_zone(const struct keeper *k, struct server_client *client, const uint8_t *name)
{
	const struct resolver_conf *conf = &k->config->resolver;
	const struct upkeep_zone *zone = refresh_zone(k, name);
	json_t *keys = json_array();
	char text[NAME_TEXT_LEN];

	name_to_text(name, text);
	for (uint32_t i = 0; zone && i < zone->n_keys; i++)
		json_array_append_new(keys, kept_up(k, &zone->keys[i]));
	for (uint32_t i = 0; i < conf->n_anchors; i++) {
		if (name_equal(conf->anchors[i].name, name) &&
		    !(zone && upkeep_find(zone, &conf->anchors[i])))
			json_array_append_new(keys, configured(&conf->anchors[i]));
	}
	server_json_give(
	    client,
	    json_pack("{s:s,s:s,s:b,s:o,s:o,s:o,s:o,s:o,s:n}", "zone", text, "kind", "positive",
	              "kept_up", (int)(zone != NULL), "verified",
	              zone ? moment(zone->verified_s) : json_null(), "asked",
	              zone ? moment(zone->asked_s) : json_null(), "next",
	              zone ? moment(zone->next_s) : json_null(), "result",
	              zone ? json_string(upkeep_result_str((enum upkeep_result)zone->result))
	                   : json_null(),
	              "keys", keys, "until"));
}

static bool is_first(const struct resolver_conf *conf, uint32_t i)
{
	for (uint32_t j = 0; j < i; j++) {
		if (name_equal(conf->anchors[j].name, conf->anchors[i].name))
			return false;
	}
	return true;
}

/* A zone whose keys cannot be verified any more will roll without us, and be bogus then. */
void request_anchor_warnings(const struct keeper *k, json_t *array)
{
	const struct upkeeps *u = &k->refresh.upkeeps;

	for (uint32_t i = 0; i < u->n_zones; i++) {
		const struct upkeep_zone *zone = refresh_zone(k, u->zones[i].name);
		char name[NAME_TEXT_LEN], verified[CLOCK_RFC3339_LEN] = "never";

		if (!zone || zone->result == UPKEEP_OK || zone->result == UPKEEP_NEVER)
			continue;
		name_to_text(zone->name, name);
		if (zone->verified_s)
			clock_rfc3339(zone->verified_s * NS_PER_S, verified);
		json_array_append_new(
		    array,
		    json_sprintf("trust anchors of %s: %s at the newest look; last verified: "
		                 "%s; see `sallyport anchors`",
		                 name, upkeep_result_str((enum upkeep_result)zone->result),
		                 verified));
	}
}

void request_anchors(struct keeper *k, struct server_client *client)
{
	const struct resolver_conf *conf = &k->config->resolver;
	json_t *ntas = request_ntas(k), *nta;
	size_t i;

	for (uint32_t j = 0; j < conf->n_anchors; j++) {
		if (is_first(conf, j))
			give_zone(k, client, conf->anchors[j].name);
	}
	json_array_foreach(ntas, i, nta) server_json_give(
	    client, json_pack("{s:O,s:s,s:b,s:n,s:n,s:n,s:n,s:[{s:n,s:n,s:s,s:b,s:s,s:O,s:"
	                      "O,s:n}],s:O}",
	                      "zone", json_object_get(nta, "name"), "kind", "negative", "kept_up",
	                      0, "verified", "asked", "next", "result", "keys", "tag", "algorithm",
	                      "state", "negative", "trusted", 0, "source", "nta", "since",
	                      json_object_get(nta, "since"), "until", json_object_get(nta, "until"),
	                      "seen", "until", json_object_get(nta, "until")));
	json_decref(ntas);
	server_exit(client, 0);
}
