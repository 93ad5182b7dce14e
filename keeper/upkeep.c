#include "upkeep.h"

#include <string.h>

#define DAY_S UINT64_C(86400)
#define REVOKE 0x80 /* of the flags' second octet: RFC 5011, section 3 */

enum { TYPE_DS = 43, TYPE_DNSKEY = 48 };

const struct upkeep_times upkeep_times_default = { 30 * DAY_S, 30 * DAY_S, 3600 };

const char *upkeep_state_str(enum upkeep_state state)
{
	static const char *const texts[UPKEEP_STATE_N] = { "start",   "addpend", "valid",
		                                           "missing", "revoked", "removed" };

	return state < UPKEEP_STATE_N ? texts[state] : "?";
}

const char *upkeep_result_str(enum upkeep_result result)
{
	static const char *const texts[UPKEEP_RESULT_N] = {
		"not yet refreshed", "verified", "no answer with keys",
		"not signed by a trusted key", "verified, but more keys than are kept"
	};

	return result < UPKEEP_RESULT_N ? texts[result] : "?";
}

bool upkeep_trusts(const struct upkeep_key *key)
{
	return key->state == UPKEEP_VALID || key->state == UPKEEP_MISSING;
}

static void enter(struct upkeep_key *key, enum upkeep_state next, uint64_t now_s, uint64_t until_s)
{
	key->state = (uint8_t)next;
	key->since_s = now_s;
	key->until_s = until_s;
}

static struct upkeep_key *find(struct upkeep_zone *zone, const struct keys_id *id)
{
	for (uint32_t i = 0; i < zone->n_keys; i++) {
		struct upkeep_key *key = &zone->keys[i];

		if (key->id.len == id->len && memcmp(key->id.rdata, id->rdata, id->len) == 0)
			return key;
	}
	return NULL;
}

/* RFC 5011, section 2.3: how often a zone that answers is asked. */
static uint64_t refresh_interval_s(const struct upkeep_zone *zone, const struct upkeep_times *times)
{
	uint64_t half = MIN(zone->ttl_s / 2, zone->expires_in_s / 2);

	return MAX(times->least_s, MIN(15 * DAY_S, half));
}

/* RFC 5011, section 2.3: how soon one that did not is asked again. */
static uint64_t retry_interval_s(const struct upkeep_zone *zone, const struct upkeep_times *times)
{
	uint64_t tenth = MIN(zone->ttl_s / 10, zone->expires_in_s / 10);

	return MAX(times->least_s, MIN(DAY_S, tenth));
}

/* RFC 5011, section 2.4.1: thirty days, or the RRset's TTL if that is longer. */
static uint64_t add_hold_down_s(const struct upkeep_seen *seen, const struct upkeep_times *times)
{
	return MAX(times->add_s, (uint64_t)seen->ttl_s);
}

/* RFC 5011, section 2.1: at once, for ever, and by its own signature alone. */
static void on_revoked(struct upkeep_key *key, uint64_t now_s, const struct upkeep_times *times)
{
	if (key->state != UPKEEP_REVOKED && key->state != UPKEEP_REMOVED)
		enter(key, UPKEEP_REVOKED, now_s, now_s + times->remove_s); /* section 2.4.2 */
}

static bool is_shown(const struct upkeep_seen *seen, const struct upkeep_key *key)
{
	for (size_t i = 0; i < seen->n_keys; i++) {
		if (seen->keys[i].id.len == key->id.len &&
		    memcmp(seen->keys[i].id.rdata, key->id.rdata, key->id.len) == 0)
			return true;
	}
	return false;
}

/* For one more key; NULL: all that are there are needed. What is shown again is not forgotten, or
 * it would be taken for a new one. */
static struct upkeep_key *make_room(struct upkeep_zone *zone, const struct upkeep_seen *seen)
{
	struct upkeep_key *oldest = NULL;

	if (zone->n_keys < LIMIT_UPKEEP_KEYS)
		return &zone->keys[zone->n_keys++];
	for (uint32_t i = 0; i < zone->n_keys; i++) {
		struct upkeep_key *key = &zone->keys[i];

		if (key->state == UPKEEP_REMOVED && !key->named && !is_shown(seen, key) &&
		    (!oldest || key->since_s < oldest->since_s))
			oldest = key;
	}
	return oldest;
}

/* RFC 5011, section 4.2, NewKey: one with the SEP flag that was not there before. What the
 * configuration names needs no hold-down. */
static bool on_new(struct upkeep_zone *zone, const struct keys_seen *key,
                   const struct upkeep_seen *seen, const struct upkeep_times *times)
{
	struct upkeep_key *to;

	if (!key->configured && !(key->id.rdata[1] & 1))
		return true;
	to = make_room(zone, seen);
	if (!to)
		return false;
	*to = (struct upkeep_key){ .id = key->id,
		                   .named = key->configured != 0,
		                   .seen_s = seen->now_s };
	if (key->configured)
		enter(to, UPKEEP_VALID, seen->now_s, 0);
	else
		enter(to, UPKEEP_ADDPEND, seen->now_s, seen->now_s + add_hold_down_s(seen, times));
	return true;
}

/* RFC 5011, section 4.2, KeyPres and AddTime: only a sight after the hold-down makes it valid. */
static void on_present(struct upkeep_key *key, bool configured, uint64_t now_s)
{
	switch ((enum upkeep_state)key->state) {
	case UPKEEP_ADDPEND:
		if (configured || now_s >= key->until_s)
			enter(key, UPKEEP_VALID, now_s, 0);
		break;
	case UPKEEP_MISSING:
		enter(key, UPKEEP_VALID, now_s, 0);
		break;
	case UPKEEP_START:
	case UPKEEP_VALID:
	case UPKEEP_REVOKED: /* for ever */
	case UPKEEP_REMOVED:
	case UPKEEP_STATE_N:
		break;
	}
	key->seen_s = now_s;
}

/* RFC 5011, section 4.2, KeyRem. A pending key that goes is forgotten, so its hold-down begins anew
 * should it come back. */
static void on_absent(struct upkeep_zone *zone, uint64_t now_s)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < zone->n_keys; i++) {
		struct upkeep_key *key = &zone->keys[i];
		bool gone = key->seen_s != now_s;

		if (gone && key->state == UPKEEP_VALID)
			enter(key, UPKEEP_MISSING, now_s, 0);
		if (gone && key->state == UPKEEP_ADDPEND)
			continue;
		if (kept != i)
			zone->keys[kept] = *key;
		kept++;
	}
	memset(&zone->keys[kept], 0, (zone->n_keys - kept) * sizeof(zone->keys[0]));
	zone->n_keys = kept;
}

static void take_revocations(struct upkeep_zone *zone, const struct upkeep_seen *seen,
                             const struct upkeep_times *times)
{
	for (size_t i = 0; i < seen->n_keys; i++) {
		struct upkeep_key *key = find(zone, &seen->keys[i].id);

		if (key && seen->keys[i].revoked && seen->keys[i].self_signed)
			on_revoked(key, seen->now_s, times);
		/* The configuration's, which had not been seen: remembered all the same. */
		if (!key && seen->keys[i].configured && seen->keys[i].revoked &&
		    seen->keys[i].self_signed && (key = make_room(zone, seen))) {
			*key = (struct upkeep_key){ .id = seen->keys[i].id, .named = 1 };
			on_revoked(key, seen->now_s, times);
		}
	}
}

static enum upkeep_result take_keys(struct upkeep_zone *zone, const struct upkeep_seen *seen,
                                    const struct upkeep_times *times)
{
	enum upkeep_result result = UPKEEP_OK;

	for (size_t i = 0; i < seen->n_keys; i++) {
		const struct keys_seen *key = &seen->keys[i];
		struct upkeep_key *known = find(zone, &key->id);

		/* Revoked without its own signature proves nothing; nor is it the key any more. */
		if (key->revoked)
			continue;
		if (known)
			on_present(known, key->configured, seen->now_s);
		else if (!on_new(zone, key, seen, times))
			result = UPKEEP_LIMIT;
	}
	on_absent(zone, seen->now_s);
	zone->verified_s = seen->now_s;
	zone->ttl_s = seen->ttl_s;
	zone->expires_in_s = seen->expires_in_s;
	return result;
}

/* Which keys are trusted, as a number that is another one when they are. Of those that the
 * configuration names it is the revoked ones that count: one that the zone had not shown before was
 * trusted, and is so no more. */
static uint64_t trusted(const struct upkeep_zone *zone)
{
	uint64_t sum = 0, print;

	for (uint32_t i = 0; i < zone->n_keys; i++) {
		const struct upkeep_key *key = &zone->keys[i];
		bool revoked = key->state == UPKEEP_REVOKED || key->state == UPKEEP_REMOVED;

		if (!upkeep_trusts(key) && !(revoked && key->named))
			continue;
		memcpy(&print, key->id.sha256, sizeof(print));
		sum = sum * 31 + print * 2 + revoked + 1;
	}
	return sum;
}

bool upkeep_observe(struct upkeep_zone *zone, const struct upkeep_seen *seen,
                    const struct upkeep_times *times)
{
	uint64_t before = trusted(zone);

	zone->asked_s = seen->now_s;
	take_revocations(zone, seen, times);
	if (seen->verified)
		zone->result = take_keys(zone, seen, times);
	else
		zone->result = seen->reached ? UPKEEP_BOGUS : UPKEEP_UNREACHABLE;
	zone->next_s = seen->now_s + (seen->verified ? refresh_interval_s(zone, times)
	                                             : retry_interval_s(zone, times));
	upkeep_tick(zone, seen->now_s);
	return trusted(zone) != before;
}

/* RFC 5011, section 4.2, RemTime. */
bool upkeep_tick(struct upkeep_zone *zone, uint64_t now_s)
{
	bool changed = false;

	for (uint32_t i = 0; i < zone->n_keys; i++) {
		struct upkeep_key *key = &zone->keys[i];

		if (key->state != UPKEEP_REVOKED || now_s < key->until_s)
			continue;
		enter(key, UPKEEP_REMOVED, now_s, 0);
		changed = true;
	}
	return changed;
}

static bool is_same(const struct upkeep_key *key, const struct conf_anchor *anchor)
{
	const struct keys_id *id = &key->id;

	if (anchor->type == TYPE_DNSKEY)
		return anchor->len == id->len && memcmp(anchor->rdata, id->rdata, id->len) == 0;
	if (anchor->len < 4 || anchor->rdata[2] != id->rdata[3])
		return false;
	for (size_t i = 0; i < KEYS_DIGESTS; i++) {
		size_t len = keys_digest_len((unsigned int)i + 1);

		if (len != 0 && anchor->rdata[3] == i + 1 && anchor->len == 4 + len &&
		    memcmp(anchor->rdata + 4, keys_digest(id, (unsigned int)i + 1), len) == 0)
			return true;
	}
	return false;
}

const struct upkeep_key *upkeep_find(const struct upkeep_zone *zone,
                                     const struct conf_anchor *anchor)
{
	for (uint32_t i = 0; i < zone->n_keys; i++) {
		if (is_same(&zone->keys[i], anchor))
			return &zone->keys[i];
	}
	return NULL;
}

void upkeep_name(struct upkeep_zone *zone, const struct conf_anchor *configured, size_t n)
{
	for (uint32_t i = 0; i < zone->n_keys; i++) {
		struct upkeep_key *key = &zone->keys[i];

		key->named = 0;
		for (size_t j = 0; j < n; j++)
			key->named |= name_equal(configured[j].name, zone->name) &&
			              is_same(key, &configured[j]);
	}
}

static void put_key(const struct upkeep_zone *zone, const struct upkeep_key *key,
                    struct conf_anchor *to)
{
	memset(to, 0, sizeof(*to));
	memcpy(to->name, zone->name, sizeof(to->name));
	to->type = TYPE_DNSKEY;
	to->len = key->id.len;
	memcpy(to->rdata, key->id.rdata, key->id.len);
}

size_t upkeep_anchors(const struct upkeep_zone *zone, const struct conf_anchor *configured,
                      size_t n, bool is_last, struct conf_anchor *ret)
{
	size_t n_ret = 0, n_keys;

	for (uint32_t i = 0; i < zone->n_keys; i++) {
		if (upkeep_trusts(&zone->keys[i]))
			put_key(zone, &zone->keys[i], &ret[n_ret++]);
	}
	n_keys = n_ret;
	for (size_t i = 0; i < n; i++) {
		const struct upkeep_key *key = upkeep_find(zone, &configured[i]);
		bool is_key = configured[i].type == TYPE_DNSKEY;

		if (!name_equal(configured[i].name, zone->name) ||
		    (key && key->state != UPKEEP_ADDPEND) ||
		    (is_key && n_keys == LIMIT_UPKEEP_KEYS))
			continue;
		n_keys += is_key;
		ret[n_ret++] = configured[i];
	}
	if (n_ret > 0 || !is_last || zone->n_keys == 0)
		return n_ret;
	/* A revoked key as an anchor: the validator never lets one sign (section 2.1). */
	put_key(zone, &zone->keys[0], &ret[0]);
	ret[0].rdata[1] |= REVOKE;
	return 1;
}

bool upkeep_sound(const struct upkeep_zone *zone)
{
	if (name_wire_len(zone->name, NAME_MAX_WIRE) < 0 || zone->n_keys > LIMIT_UPKEEP_KEYS ||
	    zone->result >= UPKEEP_RESULT_N)
		return false;
	for (uint32_t i = 0; i < zone->n_keys; i++) {
		const struct upkeep_key *key = &zone->keys[i];

		if (key->state == UPKEEP_START || key->state >= UPKEEP_STATE_N || key->id.len < 5 ||
		    key->id.len > sizeof(key->id.rdata) || (key->id.rdata[1] & REVOKE))
			return false;
	}
	return true;
}
