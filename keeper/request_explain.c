/* keeper/request_explain.c - the verdict on one question and the whole reasoning, without asking
 * upstream. The order is the resolver's: hosts, zones other than ".", special-use names, policy.
 *
 * An older version is compiled again from the store; the last few stay in memory.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/explain.h"
#include "policy/judge.h"
#include "request.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/name.h"
#include "sallyport/special.h"
#include "zone.h"

#define CONSIDERED_MAX 256
#define TYPE_A 1
#define TYPE_OPT 41
#define TYPE_RRSIG 46
#define TYPE_META_FIRST 128 /* RFC 6895, section 3.1 */
#define TYPE_IXFR 251
#define TYPE_AXFR 252
#define TYPE_ANY 255

/* WHO NAME TYPE [version N] [at TIME] */
int request_asking_read(struct server_client *client, const char *const *words, size_t n,
                        struct request_asking *ret)
{
	int len;

	*ret = (struct request_asking){ .now_s = clock_wall_ns() / NS_PER_S };
	if (n < 4 || n % 2 != 0) {
		server_error(client,
		             "error: explain wants a workload or an address, a name and a type");
		return ERR_INVAL;
	}
	ret->who = words[1];
	len = name_from_text(words[2], ret->name);
	if (len < 0) {
		server_error(client, "error: \"%s\" is not a domain name", words[2]);
		return ERR_INVAL;
	}
	name_lower(ret->name, ret->name, (size_t)len);
	if (name_type_parse(words[3], &ret->type) < 0) {
		server_error(client, "error: \"%s\" is not a type", words[3]);
		return ERR_INVAL;
	}
	for (size_t i = 4; i + 1 < n; i += 2) {
		uint64_t ns;

		if (strcmp(words[i], "version") == 0 && request_number(words[i + 1], &ret->version))
			continue;
		if (strcmp(words[i], "at") == 0 &&
		    clock_parse_moment(words[i + 1], clock_wall_ns(), 0, &ns) == 0) {
			ret->now_s = ns / NS_PER_S;
			continue;
		}
		server_error(client, "error: \"%s %s\" is not understood", words[i], words[i + 1]);
		return ERR_INVAL;
	}
	return ERR_OK;
}

uint32_t request_workload(const struct policy_image *image, const char *who)
{
	struct policy_counts counts;
	uint8_t addr[ADDR_LEN];

	if (addr_parse(who, addr) == 0) /* a client's, or the listener's that it asks */
		return policy_workload(image, addr, addr);
	policy_image_counts(image, &counts);
	for (uint32_t i = 0; i < counts.workloads; i++) {
		struct policy_workload_info w;

		if (policy_image_workload(image, i, &w) == 0 && strcmp(w.name, who) == 0)
			return i;
	}
	return POLICY_NONE;
}

static bool in_hosts(const struct policy_image *image, const uint8_t *name)
{
	const uint8_t(*addrs)[ADDR_LEN];
	bool exists = false;

	policy_hosts(image, name, true, &exists, &addrs);
	return exists;
}

static const char *special_text(const struct keeper *k, const struct policy_image *image,
                                const uint8_t *name)
{
	const struct conf_zone *zone = zone_find(&k->config->resolver, name);

	if (in_hosts(image, name) || (zone && zone->name[0] != 0))
		return NULL;
	switch (special_of(name)) {
	case SPECIAL_NONE:
		return NULL;
	case SPECIAL_LOCALHOST:
		return "localhost: the loopback addresses";
	case SPECIAL_IPV4ONLY:
		return "ipv4only.arpa: its well-known A records, no AAAA";
	case SPECIAL_NXDOMAIN:
		return "special-use name: NXDOMAIN";
	case SPECIAL_NODATA:
		return "special-use name: NODATA";
	}
	return NULL;
}

/* What the resolver makes of types that are no data, after the policy's word. */
static void judge_type(uint16_t type, struct verdict *v)
{
	bool named = v->kind == VERDICT_ALLOW || v->reason == REASON_TYPE;

	if (type == TYPE_AXFR || type == TYPE_IXFR) {
		v->kind = VERDICT_DENY;
		v->reason = REASON_TRANSFER;
		v->denied = POLICY_DENIED_REFUSED;
	} else if (type == TYPE_ANY && named) {
		v->kind = VERDICT_ALLOW;
		v->reason = REASON_ANY;
	} else if ((type == 0 || type == TYPE_OPT || type == TYPE_RRSIG ||
	            type >= TYPE_META_FIRST) &&
	           type < 256 && named) {
		v->kind = VERDICT_LOCAL;
		v->reason = REASON_META;
	}
}

static json_t *rule_text(const struct policy_image *image, uint32_t rule)
{
	char text[POLICY_TEXT_LEN];

	if (rule == POLICY_NONE || policy_rule_text(image, rule, text, sizeof(text)) == 0)
		return json_null();
	return request_text(text);
}

static json_t *feed_text(const struct policy_image *image, uint32_t feed)
{
	return feed == POLICY_NONE ? json_null()
	                           : request_optional(policy_image_feed_name(image, feed));
}

static json_t *considered(const struct policy_image *image, const struct policy_considered *list,
                          size_t n)
{
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++) {
		const struct policy_considered *c = &list[i];
		struct policy_rule_info rule = { 0 };
		struct policy_profile_info profile = { 0 };
		bool is_rule =
		    c->rule != POLICY_NONE && policy_image_rule(image, c->rule, &rule) == 0;

		if (is_rule && policy_image_profile(image, rule.profile, &profile) < 0)
			profile = (struct policy_profile_info){ 0 };
		json_array_append_new(
		    array,
		    json_pack(
			"{s:o,s:o,s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:o}", "rule",
			rule_text(image, c->rule), "feed", feed_text(image, c->feed), "verdict",
			is_rule && rule.allow ? "allow" : "deny", "why", policy_why_str(c->why),
			"line", is_rule ? json_integer((json_int_t)rule.line) : json_null(),
			"profile", request_optional(profile.name), "owner",
			request_optional(rule.owner), "reason", request_optional(rule.reason),
			"ticket", request_optional(rule.ticket), "expires",
			rule.expires_s ? request_time(rule.expires_s * NS_PER_S) : json_null()));
	}
	return array;
}

static json_t *hosts(const struct policy_image *image, const uint8_t *name)
{
	json_t *array = json_array();

	for (int v4 = 1; v4 >= 0; v4--) {
		const uint8_t(*addrs)[ADDR_LEN];
		bool exists;
		size_t n = policy_hosts(image, name, v4, &exists, &addrs);

		for (size_t i = 0; i < n; i++) {
			char text[ADDR_TEXT_LEN];

			addr_text(addrs[i], text);
			json_array_append_new(array, json_string(text));
		}
	}
	return array;
}

static const char *denial_rcode(enum policy_denied denied)
{
	switch (denied) {
	case POLICY_DENIED_NXDOMAIN:
		return "NXDOMAIN";
	case POLICY_DENIED_REFUSED:
		return "REFUSED";
	case POLICY_DENIED_NODATA:
		return "NOERROR";
	}
	return "?";
}

json_t *request_explained(const struct keeper *k, const struct policy_image *image,
                          const struct request_asking *q, enum verdict_kind *ret_kind)
{
	static const char *const denied[] = { [POLICY_DENIED_NXDOMAIN] = "nxdomain",
		                              [POLICY_DENIED_REFUSED] = "refused",
		                              [POLICY_DENIED_NODATA] = "nodata" };
	static const char *const follow[] = { [POLICY_FOLLOW_NONE] = "none",
		                              [POLICY_FOLLOW_CHAIN] = "chain",
		                              [POLICY_FOLLOW_ANY] = "any" };
	CLEANUP(free) struct policy_considered *list = calloc(CONSIDERED_MAX, sizeof(*list));
	uint32_t workload = request_workload(image, q->who);
	struct policy_workload_info w = { 0 };
	struct policy_rule_info rule = { 0 };
	const struct conf_zone *zone = zone_find(&k->config->resolver, q->name);
	const char *special = special_text(k, image, q->name);
	char name[NAME_TEXT_LEN], type[NAME_TYPE_TEXT_LEN], zone_name[NAME_TEXT_LEN];
	struct verdict v = { .rule = POLICY_NONE, .feed = POLICY_NONE };
	size_t n = 0;
	bool has_rule, allowed;
	json_t *object;

	if (!list)
		return NULL;
	if (workload != POLICY_NONE) {
		n = policy_explain(image, workload, q->name, q->type, q->now_s, list,
		                   CONSIDERED_MAX, &v);
		n = MIN(n, (size_t)CONSIDERED_MAX);
		judge_type(q->type, &v);
		if (special)
			v = (struct verdict){ .kind = VERDICT_LOCAL,
				              .reason = REASON_SPECIAL,
				              .rule = POLICY_NONE,
				              .feed = POLICY_NONE };
		if (policy_image_workload(image, workload, &w) < 0)
			w = (struct policy_workload_info){ 0 };
	} else {
		v.reason = REASON_NO_WORKLOAD;
		v.denied = POLICY_DENIED_REFUSED;
	}
	has_rule = v.rule != POLICY_NONE && policy_image_rule(image, v.rule, &rule) == 0;
	allowed = v.kind != VERDICT_DENY;
	name_to_text(q->name, name);
	name_type_text(q->type, type);
	if (zone)
		name_to_text(zone->name, zone_name);
	object = json_pack("{s:o,s:o,s:s,s:s,s:s,s:s,s:o,s:o,s:o,s:I}", "workload",
	                   request_optional(w.name), "profile", request_optional(w.profile), "name",
	                   name, "type", type, "verdict", verdict_kind_str(v.kind), "reason",
	                   reason_str(v.reason), "rule", rule_text(image, v.rule), "rule_line",
	                   has_rule ? json_integer((json_int_t)rule.line) : json_null(), "feed",
	                   feed_text(image, v.feed), "policy_version", (json_int_t)image->version);
	json_object_set_new(
	    object, "denied",
	    allowed || v.denied >= ARRAY_LEN(denied) ? json_null() : json_string(denied[v.denied]));
	json_object_set_new(object, "rcode_if_denied",
	                    allowed ? json_null() : json_string(denial_rcode(v.denied)));
	json_object_set_new(object, "ports", request_ports(image, v.rule));
	json_object_set_new(object, "follow",
	                    has_rule && allowed && v.follow < ARRAY_LEN(follow)
	                        ? json_string(follow[v.follow])
	                        : json_null());
	json_object_set_new(object, "internal",
	                    json_boolean(v.internal || (allowed && zone && zone->internal)));
	json_object_set_new(object, "require_dnssec", json_boolean(v.require_dnssec));
	json_object_set_new(object, "observed", json_boolean(v.observed));
	json_object_set_new(object, "would_be",
	                    v.observed ? json_string(reason_str(v.would_be)) : json_null());
	json_object_set_new(object, "zone", zone ? json_string(zone_name) : json_null());
	json_object_set_new(object, "special", request_optional(special));
	json_object_set_new(object, "hosts", hosts(image, q->name));
	json_object_set_new(object, "considered", considered(image, list, n));
	*ret_kind = v.kind;
	return object;
}

static void answer(struct keeper *k, struct server_client *client, const struct policy_image *image,
                   const struct request_asking *q)
{
	enum verdict_kind kind;
	json_t *object = request_explained(k, image, q, &kind);

	if (!object) {
		server_error(client, "error: no memory");
		server_exit(client, 2);
		return;
	}
	server_json_give(client, object);
	server_exit(client, kind == VERDICT_DENY);
}

/* --- which version --------------------------------------------------------------------------- */

static struct edition *kept_edition(const struct keeper *k, uint32_t version)
{
	if (version == 0 || version == k->rollout.current->version)
		return k->rollout.current;
	for (size_t i = 0; i < KEEPER_EDITIONS; i++) {
		if (k->older[i] && k->older[i]->version == version)
			return k->older[i];
	}
	return NULL;
}

static void forget_words(struct keeper_explain *x)
{
	for (size_t i = 0; i < x->n_words; i++)
		free(x->words[i]);
	x->n_words = 0;
}

static void on_older(void *arg, struct compile_result *result)
{
	struct keeper *k = arg;
	struct keeper_explain *x = &k->explain;
	struct server_client *client = x->client;
	struct edition *edition = NULL;
	struct request_asking q;
	int image_fd = result->image_fd, r = ERR_CONFIG;

	x->compile = NULL;
	x->client = NULL;
	result->image_fd = -1;
	if (image_fd >= 0)
		r = edition_new(image_fd, x->version, "", k->config, &edition);
	if (r == 0) {
		edition_unref(k->older[k->next_older]);
		k->older[k->next_older] = edition;
		k->next_older = (k->next_older + 1) % KEEPER_EDITIONS;
	}
	if (client && r < 0) {
		server_error(client, "error: version %" PRIu32 " cannot be compiled any more",
		             x->version);
		for (size_t i = 0; i < result->n_lines; i++)
			server_error(client, "%s", result->lines[i]);
		server_exit(client, 2);
	} else if (client) {
		if (request_asking_read(client, (const char *const *)x->words, x->n_words, &q) < 0)
			server_exit(client, 2);
		else
			answer(k, client, &edition->image, &q);
	}
	forget_words(x);
}

static void explain_gone(void *arg)
{
	struct keeper *k = arg;

	k->explain.client = NULL; /* the version is kept for the next who asks */
}

static int compile_older(struct keeper *k, uint32_t version)
{
	CLEANUP(store_version_free) struct store_version *stored = NULL;
	CLEANUP(diag_fini) struct diag diag = { 0 };
	struct apply_texts texts;
	struct compile_feed *feeds = NULL;
	int r;

	diag_init(&diag);
	apply_texts_init(&texts);
	r = store_get(k->store, version, &stored, &diag);
	if (r == 0)
		r = apply_texts_load(&texts, k->store, stored, &diag);
	if (r == 0) {
		struct compile_text text = { .file = texts.file,
			                     .fd = texts.fd,
			                     .n_feeds = texts.n_feeds };

		feeds = calloc(MAX(texts.n_feeds, (size_t)1), sizeof(*feeds));
		for (size_t i = 0; feeds && i < texts.n_feeds; i++)
			feeds[i] = (struct compile_feed){ texts.feeds[i].name, texts.feeds[i].file,
				                          texts.feeds[i].fd };
		text.feeds = feeds;
		r = feeds ? compile_start(&k->loop, &k->config->users[CONFIG_COMPILER], &text,
		                          on_older, k, &k->explain.compile)
		          : ERR_NOMEM;
	}
	free(feeds);
	apply_texts_fini(&texts);
	return r;
}

static void ask_older(struct keeper *k, struct server_client *client,
                      const struct server_request *request, uint32_t version)
{
	struct keeper_explain *x = &k->explain;
	int r;

	if (x->compile || request->n_words > ARRAY_LEN(x->words)) {
		server_error(client, "error: another version is being compiled; try again");
		server_exit(client, 2);
		return;
	}
	r = compile_older(k, version);
	if (r < 0) {
		server_error(client, r == ERR_NOENT ? "error: there is no such policy version"
		                                    : "error: that version cannot be read");
		server_exit(client, 2);
		return;
	}
	forget_words(x);
	for (size_t i = 0; i < request->n_words; i++) {
		char *word = strdup(request->words[i]);

		if (word)
			x->words[x->n_words++] = word;
	}
	x->version = version;
	x->client = client;
	server_watch(client, explain_gone, k);
}

void request_explain(struct keeper *k, struct server_client *client,
                     const struct server_request *request)
{
	const struct edition *edition;
	struct request_asking q;

	if (request_asking_read(client, request->words, request->n_words, &q) < 0) {
		server_exit(client, 2);
		return;
	}
	edition = kept_edition(k, q.version);
	if (!edition) {
		ask_older(k, client, request, q.version);
	} else if (!edition->image.data) {
		server_error(client, "error: there is no policy yet: everything is refused");
		server_exit(client, 2);
	} else {
		answer(k, client, &edition->image, &q);
	}
}
