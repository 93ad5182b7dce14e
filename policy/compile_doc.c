/* policy/compile_doc.c - the top of the document: profiles, feeds, workloads, hosts. */
#include "compile_doc.h"

#include <stdlib.h>
#include <string.h>

#include "compile_read.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"

void policy_doc_fini(struct policy_doc *doc)
{
	free(doc->rules);
	free(doc->profiles);
	free(doc->feeds);
	free(doc->workloads);
	free(doc->hosts);
	region_fini(&doc->region);
	*doc = (struct policy_doc){ 0 };
}

/* Room for one more element; the limit is people's to hear of. */
static void *grow(struct doc_reader *r, const struct yaml_node *at, void *array, size_t n,
                  size_t *cap, size_t size, size_t limit, const char *what)
{
	size_t more;

	if (n >= limit) {
		fault(r, at, "more than %zu %s; split the policy", limit, what);
		return NULL;
	}
	if (n < *cap)
		return array;
	more = *cap ? *cap * 2 : 16;
	array = realloc(array, more * size);
	if (array)
		*cap = more;
	else
		r->err = ERR_NOMEM;
	return array;
}
#define GROW(r, at, doc, field, limit, what)                                                       \
	__extension__({                                                                            \
		void *more_ = grow(r, at, (doc)->field, (doc)->n_##field, &(doc)->cap_##field,     \
		                   sizeof(*(doc)->field), limit, what);                            \
		if (more_)                                                                         \
			(doc)->field = more_;                                                      \
		more_ != NULL;                                                                     \
	})

/* profiles */

static void read_mode(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	static const char *const words[] = { "enforce", "observe", NULL };
	struct doc_profile *p = target;

	p->observe = read_word(r, value, words) == 1;
}

static void read_denied(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	static const char *const words[] = { "nxdomain", "refused", "nodata", NULL };
	struct doc_profile *p = target;
	int word = read_word(r, value, words);

	p->has_denied = word >= 0;
	p->denied = word >= 0 ? (enum policy_denied)word : POLICY_DENIED_NXDOMAIN;
}

static void read_extends(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	struct doc_profile *p = target;

	p->extends = read_refs(r, value, "profile", &p->n_extends);
}

static void read_profile_feeds(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	struct doc_profile *p = target;

	p->feeds = read_refs(r, value, "feed", &p->n_feeds);
}

static void read_floor(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	((struct doc_profile *)target)->floor_s = read_duration_s(r, value);
}
static void read_grace(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	((struct doc_profile *)target)->grace_s = read_duration_s(r, value);
}
static void read_max(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	((struct doc_profile *)target)->max_s = read_duration_s(r, value);
}
static void read_addresses(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	((struct doc_profile *)target)->addresses = read_number(r, value, 1, LIMIT_RRSET_RECORDS);
}
static void read_per_workload(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	((struct doc_profile *)target)->per_workload = read_number(r, value, 1, 1000000);
}

static void read_pinhole(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	static const struct doc_key keys[] = {
		{ "floor", read_floor, KEY_KNOWN },
		{ "grace", read_grace, KEY_KNOWN },
		{ "max", read_max, KEY_KNOWN },
		{ "addresses", read_addresses, KEY_KNOWN },
		{ "per_workload", read_per_workload, KEY_KNOWN },
		{ "reuse_max", NULL, KEY_LATER },
	};
	struct doc_profile *p = target;

	p->pinhole_place = (struct doc_place){ value->line, value->col };
	read_keys(r, value, keys, ARRAY_LEN(keys), p, "pinhole");
}

static void read_rules(struct doc_reader *r, const struct yaml_node *value, bool allow)
{
	struct policy_doc *doc = r->doc;

	if (value->kind != YAML_LIST) {
		fault(r, value, "%s is not a list; write one rule a line, each after a dash",
		      allow ? "allow" : "deny");
		return;
	}
	for (size_t i = 0; i < value->n && r->err == ERR_OK; i++) {
		const struct yaml_node *node = value->items[i];

		if (!GROW(r, node, doc, rules, (size_t)LIMIT_RULES, "rules"))
			return;
		doc->rules[doc->n_rules] = (struct doc_rule){
			.profile = (uint32_t)(doc->n_profiles - 1),
			.place = { node->line, node->col },
			.allow = allow,
			.owner = "",
			.reason = "",
			.ticket = "",
		};
		doc_rule_read(r, node, &doc->rules[doc->n_rules]);
		if (doc->rules[doc->n_rules].text)
			doc->n_rules++;
	}
}

static void read_allow(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	(void)target; /* rules are kept in the document */
	read_rules(r, value, true);
}

static void read_deny(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	(void)target; /* rules are kept in the document */
	read_rules(r, value, false);
}

static void read_profile(struct doc_reader *r, const struct yaml_node *key,
                         const struct yaml_node *value)
{
	static const struct doc_key keys[] = {
		{ "mode", read_mode, KEY_KNOWN },
		{ "extends", read_extends, KEY_KNOWN },
		{ "denied", read_denied, KEY_KNOWN },
		{ "pinhole", read_pinhole, KEY_KNOWN },
		{ "allow", read_allow, KEY_KNOWN },
		{ "deny", read_deny, KEY_KNOWN },
		{ "feeds", read_profile_feeds, KEY_KNOWN },
		{ "inbound", doc_inbound_read, KEY_KNOWN },
		{ "tests", NULL, KEY_LATER },
		{ "learn", NULL, KEY_LATER },
		{ "grants", NULL, KEY_LATER },
	};
	struct policy_doc *doc = r->doc;
	struct doc_profile profile = { .place = { key->line, key->col } };

	profile.name = read_label(r, key, "profile");
	if (!GROW(r, key, doc, profiles, (size_t)LIMIT_PROFILES, "profiles"))
		return;
	doc->profiles[doc->n_profiles++] = profile;
	profile.first_rule = (uint32_t)doc->n_rules;
	/* `name:` and nothing else is a profile that allows nothing. */
	if (value->kind != YAML_TEXT || value->len > 0)
		read_keys(r, value, keys, ARRAY_LEN(keys), &profile, "profile");
	profile.n_rules = (uint32_t)doc->n_rules - profile.first_rule;
	doc->profiles[doc->n_profiles - 1] = profile;
}

/* feeds */

static void read_file(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	struct doc_feed *feed = target;

	feed->file = read_text(r, value, 1023);
	feed->file_place = (struct doc_place){ value->line, value->col };
	if (feed->file && !*feed->file) {
		fault(r, value, "no file is named; write the feed's file");
		feed->file = NULL;
	}
}

static void read_format(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	static const char *const words[] = { "domains", "hosts", "rpz", NULL };

	((struct doc_feed *)target)->format = (enum feed_format)(read_word(r, value, words) + 1);
}

static void read_feed(struct doc_reader *r, const struct yaml_node *key,
                      const struct yaml_node *value)
{
	static const struct doc_key keys[] = {
		{ "file", read_file, KEY_NEEDED }, { "format", read_format, KEY_NEEDED },
		{ "transfer", NULL, KEY_LATER },   { "primaries", NULL, KEY_LATER },
		{ "zone", NULL, KEY_LATER },       { "refresh", NULL, KEY_LATER },
	};
	struct policy_doc *doc = r->doc;
	struct doc_feed feed = { .place = { key->line, key->col } };

	feed.name = read_label(r, key, "feed");
	read_keys(r, value, keys, ARRAY_LEN(keys), &feed, "feed");
	if (GROW(r, key, doc, feeds, (size_t)LIMIT_FEEDS, "feeds"))
		doc->feeds[doc->n_feeds++] = feed;
}

/* workloads */

/* The items of a list, or what stands there instead of one: borrowed from @value. */
static const struct yaml_node *const *items_of(const struct yaml_node *const *value, size_t *ret_n)
{
	if ((*value)->kind != YAML_LIST) {
		*ret_n = 1;
		return value;
	}
	*ret_n = (*value)->n;
	return (const struct yaml_node *const *)(*value)->items;
}

static void read_source(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	struct doc_workload *w = target;
	size_t n;
	const struct yaml_node *const *items = items_of(&value, &n);

	w->known = true;
	if (n == 0 || n > LIMIT_WORKLOAD_SOURCES) {
		fault(r, value, "%zu sources; a workload has 1 to %d", n, LIMIT_WORKLOAD_SOURCES);
		return;
	}
	w->sources = region_alloc(&r->doc->region, n * sizeof(*w->sources));
	w->source_places = region_alloc(&r->doc->region, n * sizeof(*w->source_places));
	if (!w->sources || !w->source_places) {
		r->err = ERR_NOMEM;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const char *text = read_text(r, items[i], PREFIX_TEXT_LEN);
		struct prefix prefix;
		int err;

		if (!text)
			continue;
		err = prefix_parse(text, &prefix);
		if (err == ERR_CONFIG) {
			char right[PREFIX_TEXT_LEN];

			prefix_text(&prefix, right);
			fault(r, items[i], "'%s' has bits set beyond its length; %s would be right",
			      text, right);
			continue;
		}
		if (err < 0) {
			fault(r, items[i],
			      "'%s' is no address or prefix; write 192.0.2.1, 192.0.2.0/24 or "
			      "2001:db8::/64",
			      text);
			continue;
		}
		w->source_places[w->n_sources] =
		    (struct doc_place){ items[i]->line, items[i]->col };
		w->sources[w->n_sources++] = prefix;
	}
}

/* An address that one listener has, and no other: each interface has link-local ones of its own. */
static bool is_listeners(const uint8_t addr[static ADDR_LEN])
{
	static const uint8_t unspecified[ADDR_LEN];

	if (addr_is_v4(addr))
		return addr[12] != 0 && addr[12] < 224;
	return memcmp(addr, unspecified, ADDR_LEN) != 0 && addr[0] != 0xff &&
	       !(addr[0] == 0xfe && (addr[1] & 0xc0) == 0x80);
}

static void read_listener(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	struct doc_workload *w = target;
	size_t n;
	const struct yaml_node *const *items = items_of(&value, &n);

	w->known = true;
	if (n == 0 || n > LIMIT_WORKLOAD_LISTENERS) {
		fault(r, value, "%zu listeners; a workload has 1 to %d", n,
		      LIMIT_WORKLOAD_LISTENERS);
		return;
	}
	w->listeners = region_alloc(&r->doc->region, n * sizeof(*w->listeners));
	w->listener_places = region_alloc(&r->doc->region, n * sizeof(*w->listener_places));
	if (!w->listeners || !w->listener_places) {
		r->err = ERR_NOMEM;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const char *text = read_text(r, items[i], PREFIX_TEXT_LEN);
		struct prefix *listener = &w->listeners[w->n_listeners];

		if (!text)
			continue;
		if (addr_parse(text, listener->addr) < 0) {
			fault(r, items[i],
			      "'%s' is no address; write the listener's, 192.0.2.1 or "
			      "2001:db8::1, without port and length",
			      text);
			continue;
		}
		if (!is_listeners(listener->addr)) {
			fault(r, items[i],
			      "'%s' is not the address of one listener; write the one that these "
			      "clients ask",
			      text);
			continue;
		}
		listener->len = 128;
		w->listener_places[w->n_listeners++] =
		    (struct doc_place){ items[i]->line, items[i]->col };
	}
}

static void read_workload_profile(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	struct doc_workload *w = target;

	if (value->kind != YAML_TEXT) {
		fault(r, value, "a workload has one profile; write its name");
		return;
	}
	w->profile = (struct doc_ref){ .name = value->text,
		                       .place = { value->line, value->col },
		                       .id = POLICY_NONE };
}

static void read_workload(struct doc_reader *r, const struct yaml_node *key,
                          const struct yaml_node *value)
{
	static const struct doc_key keys[] = {
		{ "source", read_source, KEY_KNOWN },
		{ "listener", read_listener, KEY_KNOWN },
		{ "profile", read_workload_profile, KEY_NEEDED },
		{ "grants", NULL, KEY_LATER },
		{ "certificate", NULL, KEY_LATER },
	};
	struct policy_doc *doc = r->doc;
	struct doc_workload workload = { .place = { key->line, key->col } };

	workload.name = read_label(r, key, "workload");
	read_keys(r, value, keys, ARRAY_LEN(keys), &workload, "workload");
	if (value->kind == YAML_MAP && !workload.known)
		fault(r, value,
		      "this workload has neither 'source' nor 'listener'; add its clients' "
		      "addresses, or the listener's that only they ask");
	if (GROW(r, key, doc, workloads, (size_t)LIMIT_WORKLOADS, "workloads"))
		doc->workloads[doc->n_workloads++] = workload;
}

/* hosts */

static void read_host_name(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	struct doc_host *host = target;
	char why[PATTERN_WHY_LEN];

	if (value->kind != YAML_TEXT)
		fault(r, value, "a host has one name; write it as a text");
	else if (pattern_parse(value->text, value->len, PATTERN_HOST, &host->name, why) < 0)
		fault(r, value, "'%s': %s", value->text, why);
}

static void read_host_address(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	struct doc_host *host = target;
	const struct yaml_node *one[1] = { value };
	const struct yaml_node *const *items = one;
	size_t n = 1;

	if (value->kind == YAML_LIST) {
		items = (const struct yaml_node *const *)value->items;
		n = value->n;
	}
	host->addrs = region_alloc(&r->doc->region, (n + 1) * sizeof(*host->addrs));
	if (!host->addrs) {
		r->err = ERR_NOMEM;
		return;
	}
	if (n == 0)
		fault(r, value, "an empty list of addresses; write at least one");
	for (size_t i = 0; i < n; i++) {
		const char *text = read_text(r, items[i], ADDR_TEXT_LEN);

		if (text && addr_parse(text, host->addrs[host->n_addrs]) < 0)
			fault(r, items[i], "'%s' is no address; write 192.0.2.1 or 2001:db8::1",
			      text);
		else if (text)
			host->n_addrs++;
	}
}

static void read_hosts(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	static const struct doc_key keys[] = {
		{ "name", read_host_name, KEY_NEEDED },
		{ "address", read_host_address, KEY_NEEDED },
	};
	struct policy_doc *doc = r->doc;

	(void)target; /* it is the document */
	if (value->kind != YAML_LIST) {
		fault(r, value,
		      "hosts is not a list; write - {name: gw.example, address: 192.0.2.1}");
		return;
	}
	for (size_t i = 0; i < value->n && r->err == ERR_OK; i++) {
		const struct yaml_node *node = value->items[i];
		struct doc_host host = { .place = { node->line, node->col } };

		read_keys(r, node, keys, ARRAY_LEN(keys), &host, "hosts entry");
		if (!GROW(r, node, doc, hosts, (size_t)LIMIT_HOSTS, "hosts"))
			return;
		doc->hosts[doc->n_hosts++] = host;
	}
}

/* the top */

static void read_version(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	(void)target; /* there is one version only */
	if (value->kind != YAML_TEXT || strcmp(value->text, "1") != 0)
		fault(r, value,
		      "version '%s' of the policy language is not known; write version: 1",
		      value->kind == YAML_TEXT ? value->text : "?");
}

static void read_named(struct doc_reader *r, const struct yaml_node *value, const char *what,
                       void (*read)(struct doc_reader *, const struct yaml_node *,
                                    const struct yaml_node *))
{
	if (value->kind == YAML_TEXT && value->len == 0)
		return; /* `profiles:` and nothing else */
	if (value->kind != YAML_MAP) {
		fault(r, value, "%s is not a mapping; write NAME: {...} for each", what);
		return;
	}
	for (size_t i = 0; i < value->n && r->err == ERR_OK; i++) {
		if (value->items[2 * i]->kind == YAML_TEXT)
			read(r, value->items[2 * i], value->items[2 * i + 1]);
	}
}

static void read_profiles(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	(void)target; /* it is the document */
	read_named(r, value, "profiles", read_profile);
}
static void read_feeds(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	(void)target; /* it is the document */
	read_named(r, value, "feeds", read_feed);
}
static void read_workloads(struct doc_reader *r, void *target, const struct yaml_node *value)
{
	(void)target; /* it is the document */
	read_named(r, value, "workloads", read_workload);
}

int policy_doc_read(const struct policy_source *source, struct policy_doc *ret_doc,
                    struct diag *diag)
{
	static const struct doc_key keys[] = {
		{ "version", read_version, KEY_NEEDED },
		{ "profiles", read_profiles, KEY_NEEDED },
		{ "feeds", read_feeds, KEY_KNOWN },
		{ "workloads", read_workloads, KEY_NEEDED },
		{ "hosts", read_hosts, KEY_KNOWN },
		{ "tests", NULL, KEY_LATER },
		{ "grants", NULL, KEY_LATER },
	};
	struct doc_reader r = { .doc = ret_doc, .diag = diag, .file = source->file };
	struct yaml_node *root = NULL;
	size_t before = diag->n_errors;
	int err;

	*ret_doc = (struct policy_doc){ .file = source->file };
	if (source->len > LIMIT_POLICY_BYTES) {
		diag_add(diag, DIAG_ERROR, source->file, 0, 0,
		         "%zu octets of policy; at most %d, put long lists of names into feeds",
		         source->len, LIMIT_POLICY_BYTES);
		return ERR_CONFIG;
	}
	err = yaml_read(source, &ret_doc->region, &root, diag);
	if (err < 0)
		return err;
	if (!root) {
		diag_add(diag, DIAG_ERROR, source->file, 1, 1,
		         "the policy is empty; write version: 1, profiles and workloads");
		return ERR_CONFIG;
	}
	read_keys(&r, root, keys, ARRAY_LEN(keys), ret_doc, "policy");
	if (r.err == ERR_OK)
		doc_check(&r);
	if (r.err < 0)
		return r.err;
	return diag->n_errors > before ? ERR_CONFIG : ERR_OK;
}
