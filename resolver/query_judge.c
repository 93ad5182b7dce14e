/* resolver/query_judge.c - policy, chains and special-use names, in their order. */
#include "query_judge.h"

#include <string.h>

#include "client.h"
#include "follow_table.h"
#include "sallyport/clock.h"
#include "special.h"
#include "wire.h"
#include "worker.h"

#define TYPE_META_FIRST 128 /* RFC 6895, section 3.1: 128 to 255 are Q and meta types */
#define TYPE_META_LAST 255  /* from 256 on (URI, CAA ...) it is data again */
#define TYPE_AXFR 252
#define TYPE_ANY 255

static uint64_t now_s(const struct worker *worker)
{
	return worker->wall_ns / NS_PER_S;
}

static bool in_hosts(const struct worker *worker, const uint8_t *name)
{
	const uint8_t(*addrs)[ADDR_LEN];
	bool exists = false;

	policy_hosts(&worker->policy->image, name, true, &exists, &addrs);
	return exists;
}

/* Design, section 3.3: hosts, then zones other than ".", then special-use names. */
static enum special special_here(const struct worker *worker, const uint8_t *name)
{
	const struct zones *zones = worker->settings->zones;
	enum special special = special_of(name);
	uint16_t zone;

	if (special == SPECIAL_NONE || in_hosts(worker, name))
		return SPECIAL_NONE;
	zone = zones_find(zones, name);
	if (zone != ZONE_NONE && !zones_is_root(zones, zone))
		return SPECIAL_NONE;
	return special;
}

/* @target lies inside where @owner does not: in another zone that is internal, or in hosts. */
static bool crosses_inwards(const struct worker *worker, const uint8_t *owner,
                            const uint8_t *target)
{
	const struct zones *zones = worker->settings->zones;
	uint16_t zone;

	if (in_hosts(worker, target))
		return !in_hosts(worker, owner);
	zone = zones_find(zones, target);
	return zones_internal(zones, zone) && zones_find(zones, owner) != zone;
}

/* Types that are asked of servers never, or of zones only (RFC 6895, section 3.1). */
static bool is_meta(uint16_t type)
{
	return type == 0 || type == TYPE_OPT || type == TYPE_RRSIG ||
	       (type >= TYPE_META_FIRST && type <= TYPE_META_LAST);
}

/* A name that no rule allows, or that a feed lists, may still be the target of a chain that this
 * workload was given a moment ago, or of the one that began at @begin (NULL: of no other). */
static void judge_follow(struct worker *worker, const struct question *q, const uint8_t *begin,
                         struct judgement *j)
{
	const struct policy_image *image = &worker->policy->image;
	struct verdict entry, verdict;

	if (q->qtype != TYPE_A && q->qtype != TYPE_AAAA && q->qtype != TYPE_HTTPS &&
	    q->qtype != TYPE_SVCB)
		return;
	if (begin)
		memcpy(j->begin, begin, wire_name_len(begin));
	else if (!worker->follow || !follow_table_get(worker->follow, image->version, j->workload,
	                                              q->name, worker->now_ns, j->begin))
		return;
	policy_judge(image, j->workload, j->begin, q->qtype, now_s(worker), &entry);
	if (entry.kind != VERDICT_ALLOW)
		return;
	policy_judge_target(image, j->workload, &entry, q->name, q->qtype, now_s(worker),
	                    crosses_inwards(worker, j->begin, q->name), &verdict);
	if (verdict.kind != VERDICT_ALLOW)
		return;
	j->verdict = verdict;
	if (!verdict.observed)
		j->verdict.reason = REASON_FOLLOW;
	j->followed = true;
}

static void refuse(struct judgement *j, enum reason reason)
{
	j->action = JUDGE_REFUSE;
	j->verdict.kind = VERDICT_DENY;
	j->verdict.reason = reason;
}

static void judge(struct worker *worker, const struct question *q, const struct client *client,
                  const uint8_t *begin, struct judgement *ret)
{
	struct verdict *verdict = &ret->verdict;
	const struct policy_image *image;
	bool named;

	*verdict = (struct verdict){ .rule = POLICY_NONE, .feed = POLICY_NONE };
	ret->action = JUDGE_DENY;
	ret->policy_version = 0;
	ret->workload = ret->profile = POLICY_NONE;
	ret->followed = false;
	if (!worker->policy) {
		refuse(ret, REASON_NO_POLICY);
		return;
	}
	image = &worker->policy->image;
	ret->policy_version = image->version;
	ret->workload = policy_workload(image, client->addr, client->local);
	if (ret->workload == POLICY_NONE) {
		refuse(ret, REASON_NO_WORKLOAD);
		return;
	}
	ret->profile = policy_profile_of(image, ret->workload);
	if (q->qclass != CLASS_IN) {
		refuse(ret, REASON_META);
		return;
	}
	if (q->qtype == TYPE_AXFR || q->qtype == TYPE_IXFR) {
		refuse(ret, REASON_TRANSFER);
		return;
	}
	policy_judge(image, ret->workload, q->name, q->qtype, now_s(worker), verdict);
	if (verdict->kind == VERDICT_DENY &&
	    (verdict->reason == REASON_NO_RULE || verdict->reason == REASON_FEED))
		judge_follow(worker, q, begin, ret);

	/* No rule names a meta type, so "the type is not allowed" means that the name is. */
	named = verdict->kind == VERDICT_ALLOW || verdict->reason == REASON_TYPE;
	if (q->qtype == TYPE_ANY && named) {
		ret->action = JUDGE_HINFO;
		verdict->kind = VERDICT_ALLOW;
		verdict->reason = REASON_ANY;
	} else if (is_meta(q->qtype) && named) {
		ret->action = JUDGE_NODATA;
		verdict->kind = VERDICT_LOCAL;
		verdict->reason = REASON_META;
	} else if (verdict->kind == VERDICT_ALLOW) {
		/* RD=0 asks what others have asked before: cache snooping, and no client of ours
		 * needs it. A forwarder has no data of its own, so it refuses. */
		if (q->rd)
			ret->action = JUDGE_RESOLVE;
		else
			refuse(ret, REASON_META);
	}
}

void judge_policy(struct worker *worker, const struct question *q, const struct client *client,
                  struct judgement *ret)
{
	judge(worker, q, client, NULL, ret);
}

void judge_special(struct worker *worker, const struct question *q, struct judgement *j)
{
	if (j->workload == POLICY_NONE || q->qclass != CLASS_IN || q->qtype == TYPE_AXFR ||
	    q->qtype == TYPE_IXFR)
		return;
	switch (special_here(worker, q->name)) {
	case SPECIAL_NONE:
		return;
	case SPECIAL_LOCALHOST:
		j->action =
		    q->qtype == TYPE_A || q->qtype == TYPE_AAAA ? JUDGE_LOCALHOST : JUDGE_NODATA;
		break;
	case SPECIAL_IPV4ONLY:
		j->action = q->qtype == TYPE_A ? JUDGE_IPV4ONLY : JUDGE_NODATA;
		break;
	case SPECIAL_NXDOMAIN:
		j->action = JUDGE_NXDOMAIN;
		break;
	case SPECIAL_NODATA:
		j->action = JUDGE_NODATA;
		break;
	}
	j->verdict = (struct verdict){ .kind = VERDICT_LOCAL,
		                       .reason = REASON_SPECIAL,
		                       .rule = POLICY_NONE,
		                       .feed = POLICY_NONE };
	j->followed = false;
}

void judge_question(struct worker *worker, const struct question *q, const struct client *client,
                    const uint8_t *begin, struct judgement *ret)
{
	judge(worker, q, client, begin, ret);
	judge_special(worker, q, ret);
}

bool judge_target(struct worker *worker, const struct judgement *j, const uint8_t *owner,
                  const uint8_t *target, uint16_t qtype, struct verdict *ret_verdict)
{
	if (special_here(worker, target) != SPECIAL_NONE) {
		*ret_verdict = (struct verdict){ .reason = REASON_SPECIAL,
			                         .denied = POLICY_DENIED_NODATA,
			                         .rule = POLICY_NONE,
			                         .feed = POLICY_NONE };
		return false;
	}
	policy_judge_target(&worker->policy->image, j->workload, &j->verdict, target, qtype,
	                    now_s(worker), crosses_inwards(worker, owner, target), ret_verdict);
	return ret_verdict->kind == VERDICT_ALLOW;
}

bool judge_internal(struct worker *worker, const struct verdict *verdict, const uint8_t *name)
{
	const struct zones *zones = worker->settings->zones;

	return verdict->internal || in_hosts(worker, name) ||
	       zones_internal(zones, zones_find(zones, name));
}
