#include "refresh.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keeper.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/log.h"

#define TAG "anchors"
#define ASK_MS 30000         /* for the resolver to answer */
#define AHEAD_S (16 * 86400) /* a next refresh so far off was planned by another clock */

static bool is_active(const struct keeper *k)
{
	return k->config->rfc5011 && k->config->resolver.dnssec == DNSSEC_MODE_VALIDATE;
}

const struct upkeep_zone *refresh_zone(const struct keeper *k, const uint8_t *name)
{
	const struct upkeeps *u = &k->refresh.upkeeps;

	for (uint32_t i = 0; i < u->n_zones && is_active(k); i++) {
		if (name_equal(u->zones[i].name, name))
			return &u->zones[i];
	}
	return NULL;
}

/* --- what is in force ------------------------------------------------------------------------ */

/* Does another zone's anchor stand above this one? Then that decides when all keys are revoked. */
static bool is_last(const struct keeper *k, const uint8_t *name)
{
	const struct resolver_conf *conf = &k->config->resolver;

	for (uint32_t i = 0; i < conf->n_anchors; i++) {
		if (!name_equal(conf->anchors[i].name, name) &&
		    name_is_under(name, conf->anchors[i].name))
			return false;
	}
	return true;
}

static size_t trusted_of(const struct keeper *k, const struct upkeep_zone *zone,
                         struct conf_anchor *ret)
{
	const struct resolver_conf *conf = &k->config->resolver;

	return upkeep_anchors(zone, conf->anchors, conf->n_anchors, is_last(k, zone->name), ret);
}

void refresh_tell(const struct keeper *k, struct resolver_conf *conf)
{
	const struct resolver_conf *from = &k->config->resolver;
	const struct upkeeps *u = &k->refresh.upkeeps;

	if (!is_active(k))
		return;
	conf->n_anchors = 0;
	memset(conf->anchors, 0, sizeof(conf->anchors));
	for (uint32_t i = 0; i < from->n_anchors; i++) {
		if (!refresh_zone(k, from->anchors[i].name))
			conf->anchors[conf->n_anchors++] = from->anchors[i];
	}
	/* Each zone gives at most its keys and what is configured of it: there is room. */
	for (uint32_t i = 0; i < u->n_zones; i++)
		conf->n_anchors +=
		    (uint32_t)trusted_of(k, &u->zones[i], &conf->anchors[conf->n_anchors]);
}

/* --- which zones ----------------------------------------------------------------------------- */

static void save(const struct keeper *k)
{
	int r = upkeep_save(k->config->state_dir, &k->refresh.upkeeps);

	if (r < 0)
		log_error(TAG,
		          "%s/anchors cannot be written: %s; after a restart, what was seen "
		          "since is seen anew",
		          k->config->state_dir, err_str(r));
}

void refresh_stop(struct keeper *k)
{
	struct refresh *re = &k->refresh;

	if (re->verify)
		re->old = verify_cancel(re->verify) ? re->verify : NULL;
	re->verify = NULL;
	re->state = REFRESH_IDLE;
}

static bool is_configured(const struct keeper *k, const uint8_t *name)
{
	const struct resolver_conf *conf = &k->config->resolver;

	for (uint32_t i = 0; i < conf->n_anchors; i++) {
		if (name_equal(conf->anchors[i].name, name))
			return true;
	}
	return false;
}

void refresh_configured(struct keeper *k)
{
	const struct resolver_conf *conf = &k->config->resolver;
	struct upkeeps *u = &k->refresh.upkeeps;
	uint32_t kept = 0;

	refresh_stop(k);
	if (!is_active(k))
		return; /* what is remembered stays, should it be switched on again */
	for (uint32_t i = 0; i < u->n_zones; i++) {
		if (is_configured(k, u->zones[i].name) && kept++ != i)
			u->zones[kept - 1] = u->zones[i];
	}
	memset(&u->zones[kept], 0, (u->n_zones - kept) * sizeof(u->zones[0]));
	u->n_zones = kept;
	for (uint32_t i = 0; i < u->n_zones; i++)
		upkeep_name(&u->zones[i], conf->anchors, conf->n_anchors);
	for (uint32_t i = 0; i < conf->n_anchors; i++) {
		if (refresh_zone(k, conf->anchors[i].name))
			continue;
		if (u->n_zones == LIMIT_UPKEEP_ZONES) {
			log_warning(TAG,
			            "the anchors of %d zones are kept up; others stay as they "
			            "are configured",
			            LIMIT_UPKEEP_ZONES);
			return;
		}
		memcpy(u->zones[u->n_zones++].name, conf->anchors[i].name,
		       sizeof(conf->anchors[i].name));
	}
}

void refresh_load(struct keeper *k)
{
	int r = upkeep_load(k->config->state_dir, clock_wall_ns() / NS_PER_S, &k->refresh.upkeeps);

	if (r == ERR_DAMAGED)
		log_error(TAG,
		          "%s/anchors was damaged and is set aside: the configured anchors "
		          "count, and the zones' keys are looked at anew",
		          k->config->state_dir);
	else if (r < 0)
		log_error(TAG, "%s/anchors cannot be read: %s; the configured anchors count",
		          k->config->state_dir, err_str(r));
	refresh_configured(k);
}

/* --- one refresh ----------------------------------------------------------------------------- */

static const struct upkeep_key *key_of(const struct upkeep_zone *zone, const struct keys_id *id)
{
	for (uint32_t i = 0; i < zone->n_keys; i++) {
		const struct keys_id *other = &zone->keys[i].id;

		if (other->len == id->len && memcmp(other->rdata, id->rdata, id->len) == 0)
			return &zone->keys[i];
	}
	return NULL;
}

/* To the log, and for whom it concerns. NULL: not known. */
static void tell_change(struct keeper *k, const char *name, const struct upkeep_key *was,
                        const struct upkeep_key *is)
{
	enum upkeep_state before = was ? (enum upkeep_state)was->state : UPKEEP_START;
	enum upkeep_state after = is ? (enum upkeep_state)is->state : UPKEEP_START;
	char text[NAME_TEXT_LEN + 64];

	if (before == after)
		return;
	snprintf(text, sizeof(text), "%s key %u: %s -> %s", name, is ? is->id.tag : was->id.tag,
	         upkeep_state_str(before), upkeep_state_str(after));
	log_info(TAG, "%s", text);
	keeper_audit(k, STORE_UID_NONE, "anchor", text);
}

/* Each key that has come into another state; one that was pending and is gone, too. */
static void tell_changes(struct keeper *k, const struct upkeep_zone *was,
                         const struct upkeep_zone *is)
{
	char name[NAME_TEXT_LEN];

	name_to_text(is->name, name);
	for (uint32_t i = 0; i < is->n_keys; i++)
		tell_change(k, name, key_of(was, &is->keys[i].id), &is->keys[i]);
	for (uint32_t i = 0; i < was->n_keys; i++) {
		/* What was removed long ago may be forgotten for want of room; that is no change.
		 */
		if (was->keys[i].state != UPKEEP_REMOVED && !key_of(is, &was->keys[i].id))
			tell_change(k, name, &was->keys[i], NULL);
	}
	if (is->result != was->result)
		log_msg(is->result == UPKEEP_OK ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, TAG,
		        "%s keys: %s", name, upkeep_result_str((enum upkeep_result)is->result));
}

static void observe(struct keeper *k, const struct upkeep_seen *seen)
{
	struct upkeep_zone *zone = &k->refresh.upkeeps.zones[k->refresh.zone];
	const struct upkeep_times times = { .add_s = k->config->hold_down_s,
		                            .remove_s = k->config->hold_down_s,
		                            .least_s = k->config->refresh_s };
	CLEANUP(free) struct upkeep_zone *was = malloc(sizeof(*was));
	bool changed;

	k->refresh.state = REFRESH_IDLE;
	k->refresh.verify = NULL;
	if (!was)
		return; /* it is still due */
	*was = *zone;
	changed = upkeep_observe(zone, seen, &times);
	save(k); /* before anybody goes by it */
	tell_changes(k, was, zone);
	if (changed)
		tell_resolver(k);
}

static void unreachable(struct keeper *k)
{
	const struct upkeep_seen seen = { .now_s = clock_wall_ns() / NS_PER_S };

	observe(k, &seen);
}

static void on_verified(void *arg, const struct upkeep_seen *seen)
{
	struct keeper *k = arg;

	if (seen) {
		observe(k, seen);
		return;
	}
	log_error(TAG, "sallyport-anchor has failed; the keys are looked at again later");
	unreachable(k);
}

void refresh_keys(struct keeper *k, const struct role_msg *msg)
{
	struct refresh *re = &k->refresh;
	const struct upkeep_zone *zone = &re->upkeeps.zones[re->zone];
	struct conf_anchor trusted[ROLE_ANCHORS], configured[LIMIT_ANCHORS];
	const struct resolver_conf *conf = &k->config->resolver;
	struct verify_spec spec = { .loop = &k->loop,
		                    .user = &k->config->users[CONFIG_COMPILER],
		                    .trusted = trusted,
		                    .configured = configured,
		                    .keys = msg->payload,
		                    .keys_len = msg->len,
		                    .sha1 = conf->dnssec_sha1 != 0,
		                    .now_s = clock_wall_ns() / NS_PER_S };

	if (re->state != REFRESH_ASKED)
		return; /* it comes too late */
	for (uint32_t i = 0; i < conf->n_anchors; i++) {
		if (name_equal(conf->anchors[i].name, zone->name))
			configured[spec.n_configured++] = conf->anchors[i];
	}
	spec.n_trusted = trusted_of(k, zone, trusted);
	re->state = REFRESH_VERIFYING;
	if (verify_start(&spec, on_verified, k, &re->verify) < 0) {
		log_error(TAG, "sallyport-anchor cannot be started");
		unreachable(k);
	}
}

bool refresh_reaped(struct keeper *k, pid_t pid, int status)
{
	struct refresh *re = &k->refresh;

	if (verify_reaped(re->old, pid, status)) {
		re->old = NULL;
		return true;
	}
	return verify_reaped(re->verify, pid, status);
}

static bool is_due(const struct upkeep_zone *zone, uint64_t now_s)
{
	return zone->next_s <= now_s || zone->next_s > now_s + AHEAD_S;
}

static void ask(struct keeper *k, uint32_t i, uint64_t now_ns)
{
	struct refresh *re = &k->refresh;
	const uint8_t *name = re->upkeeps.zones[i].name;

	if (child_send(&k->children[ROLE_RESOLVER], ROLE_MSG_ASK_KEYS, 0, 0, name,
	               (size_t)name_wire_len(name, NAME_MAX_WIRE), NULL, 0) < 0)
		return;
	re->zone = i;
	re->state = REFRESH_ASKED;
	re->deadline_ns = now_ns + ASK_MS * NS_PER_MS;
}

void refresh_pulse(struct keeper *k, uint64_t now_ns)
{
	struct refresh *re = &k->refresh;
	uint64_t now_s = clock_wall_ns() / NS_PER_S;
	bool changed = false;

	if (!is_active(k) || k->stopping || k->children[ROLE_RESOLVER].state != CHILD_RUNNING)
		return;
	if (re->state == REFRESH_ASKED && now_ns > re->deadline_ns)
		unreachable(k);
	if (re->state != REFRESH_IDLE || re->old || k->tell.applied < k->tell.told)
		return;
	for (uint32_t i = 0; i < re->upkeeps.n_zones; i++)
		changed |= upkeep_tick(&re->upkeeps.zones[i], now_s);
	if (changed)
		save(k);
	for (uint32_t i = 0; i < re->upkeeps.n_zones && re->state == REFRESH_IDLE; i++) {
		if (is_due(&re->upkeeps.zones[i], now_s))
			ask(k, i, now_ns);
	}
}
