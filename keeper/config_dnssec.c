/* keeper/config_dnssec.c - mode, trust anchors, what counts as supported. */
#include "config_dnssec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "anchor.h"
#include "config.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/name.h"
#include "yaml.h"

#define AT(field) offsetof(struct config, field)

enum { ANCHOR_FILE_MAX = 65536, TYPE_DS = 43 };

/* Every fault of a file with its line; anchors go to the end of the list. */
static void read_anchors(struct config_reader *r, struct fy_node *node, const char *path,
                         char *text)
{
	struct resolver_conf *conf = &r->config->resolver;
	uint32_t before = conf->n_anchors;
	unsigned int n_line = 0;
	const char *why;

	for (char *line = text, *end; line; line = end) {
		struct conf_anchor anchor;
		int err;

		end = strchr(line, '\n');
		if (end)
			*end++ = '\0';
		n_line++;
		err = anchor_read(line, &anchor, &why);
		if (err == ERR_NOENT)
			continue;
		if (err < 0) {
			yaml_fault(&r->yaml, node,
			           "dnssec.trust_anchors: %s, line %u: %s; write NAME [TTL] [IN] "
			           "DS TAG ALGORITHM DIGEST-TYPE DIGEST, or DNSKEY FLAGS 3 "
			           "ALGORITHM KEY",
			           path, n_line, why);
			return;
		}
		if (conf->n_anchors == LIMIT_ANCHORS) {
			yaml_fault(&r->yaml, node,
			           "dnssec.trust_anchors: more than %d records; leave some out",
			           LIMIT_ANCHORS);
			return;
		}
		conf->anchors[conf->n_anchors++] = anchor;
	}
	if (conf->n_anchors == before)
		yaml_fault(&r->yaml, node,
		           "dnssec.trust_anchors: %s has no record; put DS or DNSKEY records there",
		           path);
}

static void load_anchors(struct config_reader *r, struct fy_node *node, const char *path)
{
	const char *slash = strrchr(r->config->file, '/');
	char full[2 * CONFIG_PATH_MAX], *text = NULL;
	int err;

	if (!r->names->file)
		return;
	/* A relative path begins where the configuration lies. */
	if (path[0] == '/' || !slash)
		snprintf(full, sizeof(full), "%s", path);
	else
		snprintf(full, sizeof(full), "%.*s/%s", (int)(slash - r->config->file),
		         r->config->file, path);
	err = r->names->file(full, ANCHOR_FILE_MAX, &text);

	if (err < 0)
		yaml_fault(&r->yaml, node,
		           "dnssec.trust_anchors: %s cannot be read (%s); for the root's install "
		           "dns-root-data, or name a file with DS or DNSKEY records, or write "
		           "dnssec: {mode: off}",
		           path, err_str(err));
	else
		read_anchors(r, node, path, text);
	free(text);
}

static void own_anchor_file(struct config_reader *r, struct fy_node *key, struct fy_node *value)
{
	char path[YAML_SCALAR_MAX];

	(void)key;
	if (yaml_scalar(&r->yaml, value, "an entry of dnssec.trust_anchors", path))
		load_anchors(r, value, path);
}

/* --- negative trust anchors ------------------------------------------------------------------ */

/* The one that is being read is the last one, ntas.list[ntas.n]; it counts when it is whole. */
static struct nta *present_nta(struct config_reader *r)
{
	return &r->config->ntas.list[r->config->ntas.n];
}

static bool nta_scalar(struct config_reader *r, struct fy_node *key, struct fy_node *value,
                       const char *what, char text[static YAML_SCALAR_MAX])
{
	if (value && !yaml_is_mapping(value) && !yaml_is_sequence(value))
		return yaml_scalar(&r->yaml, value, what, text);
	yaml_fault(&r->yaml, key, "%s is not a single value; write one", what);
	return false;
}

static void own_nta_name(struct config_reader *r, struct fy_node *key, struct fy_node *value)
{
	struct nta *nta = present_nta(r);
	uint8_t wire[NAME_MAX_WIRE];
	char text[YAML_SCALAR_MAX];
	int len;

	if (!nta_scalar(r, key, value, "dnssec.negative_trust_anchors.name", text))
		return;
	len = name_from_text(text, wire);
	if (len < 0 || strchr(text, '*')) {
		yaml_fault(&r->yaml, value,
		           "dnssec.negative_trust_anchors.name: \"%s\" is not a domain name; write "
		           "one such as corp.test",
		           text);
		return;
	}
	if (len == 1)
		yaml_fault(&r->yaml, value,
		           "dnssec.negative_trust_anchors.name: the root's would switch validation "
		           "off; write dnssec.mode: off");
	name_lower(nta->name, wire, (size_t)len);
	if (ntas_find(&r->config->ntas, nta->name))
		yaml_fault(&r->yaml, value,
		           "dnssec.negative_trust_anchors: %s is listed twice; remove one", text);
}

static void own_nta_until(struct config_reader *r, struct fy_node *key, struct fy_node *value)
{
	char text[YAML_SCALAR_MAX];

	if (!nta_scalar(r, key, value, "dnssec.negative_trust_anchors.until", text))
		return;
	/* A span would begin anew with every start: only a moment is an end. */
	if (strlen(text) < sizeof("2027-01-01") - 1 ||
	    clock_parse_moment(text, 0, 0, &present_nta(r)->until_ns) < 0)
		yaml_fault(&r->yaml, value,
		           "dnssec.negative_trust_anchors.until: \"%s\" is not a moment; write one "
		           "such as 2027-01-01 or 2027-01-01T12:00:00Z",
		           text);
}

static void own_nta_reason(struct config_reader *r, struct fy_node *key, struct fy_node *value)
{
	char text[YAML_SCALAR_MAX];

	if (nta_scalar(r, key, value, "dnssec.negative_trust_anchors.reason", text) &&
	    nta_set_reason(present_nta(r), text) < 0)
		yaml_fault(
		    &r->yaml, value,
		    "dnssec.negative_trust_anchors.reason: longer than %d octets; shorten it",
		    LIMIT_NTA_REASON);
}

static const struct key nta_keys[] = {
	{ .name = "name", .kind = KEY_OWN, .flags = KEY_REQUIRED, .own = own_nta_name },
	{ .name = "until", .kind = KEY_OWN, .flags = KEY_REQUIRED, .own = own_nta_until },
	{ .name = "reason", .kind = KEY_OWN, .own = own_nta_reason },
	{ 0 },
};

static void own_nta(struct config_reader *r, struct fy_node *key, struct fy_node *item)
{
	size_t before = r->yaml.diag->n_errors;

	(void)key;
	*present_nta(r) = (struct nta){ .uid = STORE_UID_NONE };
	config_read_mapping(r, item, item, "dnssec.negative_trust_anchors", nta_keys, NULL);
	if (r->yaml.diag->n_errors == before)
		r->config->ntas.n++;
}

/* What is excepted is said at every start and check. */
static void warn_of_ntas(struct config_reader *r, struct fy_node *root)
{
	for (size_t i = 0; i < r->config->ntas.n; i++) {
		const struct nta *nta = &r->config->ntas.list[i];
		char name[NAME_TEXT_LEN], until[CLOCK_RFC3339_LEN];

		name_to_text(nta->name, name);
		clock_rfc3339(nta->until_ns, until);
		if (nta->until_ns <= clock_wall_ns()) {
			yaml_warn(&r->yaml, root,
			          "dnssec.negative_trust_anchors: %s ended at %s, so it is "
			          "validated; remove the entry",
			          name, until);
			continue;
		}
		yaml_warn(&r->yaml, root,
		          "dnssec.negative_trust_anchors: %s and all below it is not validated "
		          "until %s%s%s",
		          name, until, nta->reason[0] ? ": " : "", nta->reason);
	}
}

/* --- the keys -------------------------------------------------------------------------------- */

static const char *const modes[] = { "off", "validate", NULL };
static const char *const no_yes[] = { "false", "true", NULL };
const struct key config_dnssec_keys[] = {
	{ .name = "mode", .kind = KEY_WORD, .offset = AT(resolver.dnssec), .words = modes },
	{ .name = "trust_anchors", .kind = KEY_VALUES, .own = own_anchor_file, .limit = 16 },
	{ .name = "negative_trust_anchors",
	  .kind = KEY_LIST,
	  .own = own_nta,
	  .keys = nta_keys,
	  .limit = LIMIT_NTAS },
	{ .name = "sha1", .kind = KEY_WORD, .offset = AT(resolver.dnssec_sha1), .words = no_yes },
	{ .name = "aggressive",
	  .kind = KEY_WORD,
	  .offset = AT(resolver.dnssec_aggressive),
	  .words = no_yes },
	{ .name = "rfc5011", .kind = KEY_WORD, .offset = AT(rfc5011), .words = no_yes },
	{ .name = "hold_down",
	  .kind = KEY_DURATION_S,
	  .offset = AT(hold_down_s),
	  .min = 1,
	  .max = 365 * 86400 },
	{ .name = "refresh",
	  .kind = KEY_DURATION_S,
	  .offset = AT(refresh_s),
	  .min = 1,
	  .max = 86400 },
	{ .name = "sentinel",
	  .kind = KEY_WORD,
	  .offset = AT(resolver.dnssec_sentinel),
	  .words = no_yes },
	{ .name = "nsec3_iterations",
	  .kind = KEY_COUNT,
	  .offset = AT(resolver.nsec3_iterations),
	  .min = 0,
	  .max = 150 },
	{ .name = "nsec3_iterations_hard",
	  .kind = KEY_COUNT,
	  .offset = AT(resolver.nsec3_iterations_hard),
	  .min = 0,
	  .max = 2500 },
	{ .name = "skew_min",
	  .kind = KEY_DURATION_S,
	  .offset = AT(resolver.dnssec_skew_min_s),
	  .min = 0,
	  .max = 86400 },
	{ .name = "skew_max",
	  .kind = KEY_DURATION_S,
	  .offset = AT(resolver.dnssec_skew_max_s),
	  .min = 0,
	  .max = 7 * 86400 },
	{ 0 },
};

/* The validator keeps so many keys of a zone, and looks at so many DS. */
static void check_zones(struct config_reader *r, struct fy_node *root)
{
	const struct resolver_conf *conf = &r->config->resolver;

	for (uint32_t i = 0; i < conf->n_anchors; i++) {
		bool is_ds = conf->anchors[i].type == TYPE_DS;
		size_t n = 0, max = is_ds ? LIMIT_VAL_DS : LIMIT_UPKEEP_KEYS;
		char name[NAME_TEXT_LEN];

		for (uint32_t j = 0; j <= i; j++)
			n += conf->anchors[j].type == conf->anchors[i].type &&
			     name_equal(conf->anchors[j].name, conf->anchors[i].name);
		if (n != max + 1)
			continue;
		name_to_text(conf->anchors[i].name, name);
		yaml_fault(&r->yaml, root,
		           "dnssec.trust_anchors: more than %zu %s records of %s; leave some out",
		           max, is_ds ? "DS" : "DNSKEY", name);
	}
}

/* Does a negative one of the configuration stand at or above @name? Then nothing is validated. */
static bool is_excepted(const struct ntas *ntas, const uint8_t *name)
{
	for (size_t i = 0; i < ntas->n; i++) {
		if (name_is_under(name, ntas->list[i].name))
			return true;
	}
	return false;
}

/* The deepest anchor at or above @name; NULL: none. */
static const struct conf_anchor *anchor_above(const struct resolver_conf *conf, const uint8_t *name)
{
	const struct conf_anchor *deepest = NULL;

	for (uint32_t i = 0; i < conf->n_anchors; i++) {
		const struct conf_anchor *anchor = &conf->anchors[i];

		if (name_is_under(name, anchor->name) &&
		    (!deepest || name_labels(anchor->name) > name_labels(deepest->name)))
			deepest = anchor;
	}
	return deepest;
}

/* The public tree knows nothing of most internal zones, and proves it: what their servers say is
 * bogus then. Whether one is delegated with a DS cannot be seen from here, and to ask would tell of
 * it: who knows says so. */
static void warn_internal(struct config_reader *r, struct fy_node *root)
{
	const struct resolver_conf *conf = &r->config->resolver;

	for (uint32_t i = 0; i < conf->n_zones; i++) {
		const struct conf_zone *zone = &conf->zones[i];
		const struct conf_anchor *anchor = anchor_above(conf, zone->name);
		char name[NAME_TEXT_LEN];

		if (!zone->internal || zone->dnssec_off || r->config->vouched[i] ||
		    zone->name[0] == 0 || !anchor || anchor->name[0] != 0 ||
		    is_excepted(&r->config->ntas, zone->name))
			continue;
		name_to_text(zone->name, name);
		yaml_warn(&r->yaml, root,
		          "upstreams: the internal zone %s is validated from the root down: unless "
		          "its parents delegate it with a DS, its answers are bogus; write "
		          "\"dnssec: off\" for it, or name a file with its own DS in "
		          "dnssec.trust_anchors, or, if they do, write \"dnssec: validate\"",
		          name);
	}
}

/* Who writes "validate" relies on it. */
static void fault_vouched(struct config_reader *r, struct fy_node *root)
{
	const struct resolver_conf *conf = &r->config->resolver;

	for (uint32_t i = 0; i < conf->n_zones; i++) {
		char name[NAME_TEXT_LEN];

		if (!r->config->vouched[i])
			continue;
		name_to_text(conf->zones[i].name, name);
		yaml_fault(&r->yaml, root,
		           "upstreams: dnssec of %s is \"validate\", but dnssec.mode is off and "
		           "nothing is validated; make it validate, or remove the zone's",
		           name);
	}
}

void config_dnssec_check(struct config_reader *r, struct fy_node *root)
{
	struct resolver_conf *conf = &r->config->resolver;

	warn_of_ntas(r, root);
	check_zones(r, root);
	if (conf->nsec3_iterations > conf->nsec3_iterations_hard)
		yaml_fault(&r->yaml, root,
		           "dnssec.nsec3_iterations: %u is more than nsec3_iterations_hard, %u; "
		           "make it less, or that one more",
		           conf->nsec3_iterations, conf->nsec3_iterations_hard);
	if (conf->dnssec_skew_min_s > conf->dnssec_skew_max_s)
		yaml_fault(
		    &r->yaml, root,
		    "dnssec.skew_min: %u s is more than skew_max, %u s; make it less, or that "
		    "one more",
		    conf->dnssec_skew_min_s, conf->dnssec_skew_max_s);
	if (conf->dnssec == DNSSEC_MODE_VALIDATE && conf->n_anchors == 0 &&
	    r->yaml.diag->n_errors == 0)
		load_anchors(r, root, ANCHOR_FILE_ROOT);
	if (conf->dnssec == DNSSEC_MODE_VALIDATE)
		warn_internal(r, root);
	else
		fault_vouched(r, root);
}
