/* tests/unit/resolver_query/query_chaos.c - everything at once, in random order: questions, slow
 * and failing upstreams, a firewall that opens, refuses, loses, stops and lags, policy switches,
 * new settings, flushes, time. What must hold at every moment is checked at every moment:
 *
 *   P1  an address leaves only while a pinhole for that client is open, of the present epoch, and
 * for at least the TTL and the grace; P2  a name leaves only if the policy of that moment allows
 * it; P4  every question is in the history exactly once; P5  an answer, and its record, agree with
 * one policy version, the one in force.
 */
#include <ldns/ldns.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache.h"
#include "client.h"
#include "query.h"
#include "rig.h"
#include "sallyport/clock.h"
#include "sallyport/name.h"

enum {
	NAMES = 12, /* n0 .. n11.example.org; the odd ones lead to tN.cdn.test */
	VARIANTS = 4,
	STEPS = 40000,
	ROWS = 64,
	GRACE_S = 60,
};

struct open_row {
	uint8_t src[ADDR_LEN], dst[ADDR_LEN];
	uint32_t version;
	uint64_t until_ns;
};

struct chaos {
	struct rig *rig;
	unsigned int seed;
	bool allowed[VARIANTS][NAMES];       /* the name has a rule */
	bool target_denied[VARIANTS][NAMES]; /* its target has a deny rule */
	struct open_row open[ROWS];          /* in the present epoch */
	unsigned int n_open;
	unsigned int n_with_addresses, n_denied, n_failed, n_records;
};

static unsigned int dice(struct chaos *c, unsigned int n)
{
	return (unsigned int)rand_r(&c->seed) % n;
}

static unsigned int variant(uint32_t version)
{
	return version % VARIANTS;
}

static unsigned int number_of(const char *name)
{
	return (unsigned int)strtoul(name + 1, NULL, 10);
}

static bool may_ask(const struct chaos *c, uint32_t version, unsigned int i)
{
	return c->allowed[variant(version)][i];
}

static bool may_follow(const struct chaos *c, uint32_t version, unsigned int i)
{
	return may_ask(c, version, i) && !c->target_denied[variant(version)][i];
}

static void make_policy(struct chaos *c)
{
	uint32_t v = variant(c->rig->policy_version + 1);
	char text[4096] = "version: 1\nprofiles:\n  web:\n    allow:\n"
			  "      - {name: always.example.org}\n";

	for (unsigned int i = 0; i < NAMES; i++) {
		if (c->allowed[v][i])
			snprintf(text + strlen(text), sizeof(text) - strlen(text),
			         "      - {name: n%u.example.org}\n", i);
	}
	strcat(text, "    deny:\n      - {name: never.example.org}\n");
	for (unsigned int i = 0; i < NAMES; i++) {
		if (c->target_denied[v][i])
			snprintf(text + strlen(text), sizeof(text) - strlen(text),
			         "      - {name: t%u.cdn.test}\n", i);
	}
	strcat(text, "workloads:\n  app01: {source: [10.1.0.2, 10.1.0.3], profile: web}\n");
	rig_policy(c->rig, text);
}

static void on_sent(struct rig *rig, const char *name, const char *type)
{
	const struct chaos *c = rig->ctx;
	unsigned int i = number_of(name);

	(void)type;
	if (name[0] == 'n' ? !may_ask(c, rig->policy_version, i)
	                   : !may_follow(c, rig->policy_version, i))
		fail_msg("%s left under version %u, which denies it", name, rig->policy_version);
}

static void on_opened(struct rig *rig, const struct pinhole_view *view)
{
	struct chaos *c = rig->ctx;

	/* fwsync says OPEN of the epoch before: as good as lost. */
	if (rig->firewall == RIG_FIREWALL_OLD_EPOCH)
		return;
	for (unsigned int i = 0; i < view->request->n_dst; i++) {
		struct open_row row = { .version = view->request->policy_version,
			                .until_ns =
			                    rig->worker.now_ns + view->request->life_s * NS_PER_S };

		memcpy(row.src, view->src[0], ADDR_LEN);
		memcpy(row.dst, view->dst[i], ADDR_LEN);
		/* The newest of a full table: the oldest rows have mostly expired. */
		if (c->n_open == ROWS) {
			memmove(c->open, c->open + 1, sizeof(c->open) - sizeof(c->open[0]));
			c->n_open--;
		}
		c->open[c->n_open++] = row;
	}
}

static bool is_open(const struct chaos *c, const uint8_t *src, const uint8_t *dst, uint32_t ttl)
{
	const struct worker *w = &c->rig->worker;

	for (unsigned int i = 0; i < c->n_open; i++) {
		const struct open_row *row = &c->open[i];

		if (memcmp(row->src, src, ADDR_LEN) == 0 && memcmp(row->dst, dst, ADDR_LEN) == 0 &&
		    row->version == c->rig->policy_version &&
		    row->until_ns >= w->now_ns + (ttl + (uint64_t)GRACE_S) * NS_PER_S)
			return true;
	}
	return false;
}

static void on_answered(struct rig *rig, const struct client *client, const uint8_t *msg,
                        size_t len)
{
	struct chaos *c = rig->ctx;
	ldns_rr_list *answer;
	ldns_pkt *pkt;
	char *name;
	unsigned int i;

	assert_int_equal(ldns_wire2pkt(&pkt, msg, len), LDNS_STATUS_OK);
	name = ldns_rdf2str(ldns_rr_owner(ldns_rr_list_rr(ldns_pkt_question(pkt), 0)));
	i = number_of(name);
	answer = ldns_pkt_answer(pkt);
	for (size_t j = 0; j < ldns_rr_list_rr_count(answer); j++) {
		const ldns_rr *rr = ldns_rr_list_rr(answer, j);
		uint8_t addr[ADDR_LEN];

		if (ldns_rr_get_type(rr) != LDNS_RR_TYPE_A)
			continue;
		addr_from_v4(ldns_rdf_data(ldns_rr_rdf(rr, 0)), addr);
		if (!is_open(c, client->addr, addr, ldns_rr_ttl(rr)))
			fail_msg("%s: an address leaves with TTL %u and no pinhole for it", name,
			         ldns_rr_ttl(rr));
		if (name[0] == 'n' && (!may_ask(c, rig->policy_version, i) ||
		                       (i % 2 && !may_follow(c, rig->policy_version, i))))
			fail_msg("%s is answered under version %u, which denies it", name,
			         rig->policy_version);
		c->n_with_addresses++;
	}
	c->n_denied += ldns_pkt_get_rcode(pkt) == LDNS_RCODE_NXDOMAIN;
	c->n_failed += ldns_pkt_get_rcode(pkt) == LDNS_RCODE_SERVFAIL;
	LDNS_FREE(name);
	ldns_pkt_free(pkt);
}

static void say(struct chaos *c, unsigned int i)
{
	static const unsigned int ttls[] = { 0, 1, 5, 40, 300, 86400 };
	char name[64], target[64], records[256];
	unsigned int ttl = ttls[dice(c, 6)];

	snprintf(name, sizeof(name), "n%u.example.org", i);
	snprintf(target, sizeof(target), "t%u.cdn.test", i);
	if (dice(c, 8) == 0) {
		rig_upstream_silent(c->rig, i % 2 ? target : name, "A");
		return;
	}
	if (i % 2) {
		snprintf(records, sizeof(records), "%s. %u IN CNAME %s.\n", name, ttl, target);
		if (dice(c, 2)) /* in one message, or the target in one of its own */
			snprintf(records + strlen(records), sizeof(records) - strlen(records),
			         "%s. %u IN A 8.8.1.%u\n", target, ttl, i);
		rig_upstream(c->rig, name, "A", 0, records);
		snprintf(records, sizeof(records), "%s. %u IN A 8.8.1.%u\n", target, ttl, i);
		rig_upstream(c->rig, target, "A", 0, records);
		return;
	}
	snprintf(records, sizeof(records), "%s. %u IN A 8.8.1.%u\n", name, ttl, i);
	rig_upstream(c->rig, name, "A", 0, records);
}

/* Records agree with the version that they name. Forget the answers: their places are needed. */
static void read_records(struct chaos *c)
{
	struct record_query r;
	char name[NAME_TEXT_LEN];
	unsigned int told;

	while (rig_record(c->rig, &r, name, sizeof(name), &told, NULL, 0)) {
		unsigned int i = number_of(name);

		c->n_records++;
		if (name[0] != 'n')
			continue;
		if (r.verdict == VERDICT_ALLOW && !may_ask(c, r.policy_version, i))
			fail_msg("%s: recorded as allowed by version %u", name, r.policy_version);
		if (r.verdict == VERDICT_DENY && r.reason == REASON_NO_RULE &&
		    may_ask(c, r.policy_version, i))
			fail_msg("%s: recorded as denied by version %u", name, r.policy_version);
	}
	ring_release(&c->rig->ring, c->rig->ring_pos);
}

/* Let everything end, and look whether everything did. */
static void settle(struct chaos *c)
{
	struct rig *rig = c->rig;

	rig->upstream = RIG_UPSTREAM_ANSWERS;
	rig->firewall = RIG_FIREWALL_OPENS;
	rig_firewall_speak(rig);
	rig_turn(rig);
	rig_advance_ms(rig, LIMIT_QUERY_MS);
	for (unsigned int i = 0; i < rig->n_answers; i++) {
		if (rig->answers[i].times != 1)
			fail_msg("a query was answered %u times", rig->answers[i].times);
	}
	rig->n_answers = 0;
	rig->sent[0] = rig->opened[0] = '\0';
}

static void new_epoch(struct chaos *c)
{
	atomic_fetch_add(&c->rig->epoch.epoch, 1);
	c->n_open = 0;
}

static void step(struct chaos *c)
{
	static const uint8_t root[1] = { 0 };
	static const enum rig_firewall_mode modes[] = { RIG_FIREWALL_OPENS,    RIG_FIREWALL_OPENS,
		                                        RIG_FIREWALL_OPENS,    RIG_FIREWALL_SILENT,
		                                        RIG_FIREWALL_STATUS,   RIG_FIREWALL_STOPPED,
		                                        RIG_FIREWALL_OLD_EPOCH };
	struct rig *rig = c->rig;
	char name[64];
	struct rig_ask ask = { .name = name, .type = "A" };

	switch (dice(c, 60)) {
	case 0:
		make_policy(c);
		rig->firewall_version = rig->policy_version;
		break;
	case 1: /* fwsync is told first, we are late */
		rig->firewall_version = rig->policy_version + 1;
		rig_turn(rig);
		rig_advance_ms(rig, dice(c, 1500));
		make_policy(c);
		break;
	case 2:
		new_epoch(c);
		break;
	case 3:
		rig->firewall = modes[dice(c, ARRAY_LEN(modes))];
		rig->firewall_status = (enum pinhole_status)(dice(c, 2) ? 0 : 2 + dice(c, 6));
		break;
	case 4:
		rig->upstream = dice(c, 2) ? RIG_UPSTREAM_HOLDS : RIG_UPSTREAM_ANSWERS;
		break;
	case 5:
		say(c, dice(c, NAMES));
		break;
	case 6:
		rig_firewall_speak(rig);
		break;
	case 7:
		rig_advance_ms(rig, dice(c, 400));
		break;
	case 8:
		rig_advance_ms(rig, dice(c, 60000));
		break;
	case 9:
		if (dice(c, 4) == 0)
			cache_flush(rig->worker.cache, root, true);
		break;
	case 10:
		if (dice(c, 8) == 0)
			queries_settings_changed(&rig->worker);
		break;
	default:
		snprintf(name, sizeof(name), "%c%u.%s", dice(c, 4) ? 'n' : 't', dice(c, NAMES),
		         "example.org");
		if (name[0] == 't')
			snprintf(name, sizeof(name), "t%u.cdn.test", dice(c, NAMES) | 1);
		ask.client = dice(c, 2) ? "10.1.0.2" : "10.1.0.3";
		ask.dnssec_ok = dice(c, 4) == 0;
		ask.tcp = dice(c, 4) == 0;
		rig_ask(rig, &ask);
		if (dice(c, 3))
			rig_turn(rig);
		break;
	}
}

static void promises_hold_whatever_comes_in_whatever_order(void **state)
{
	struct chaos *c = calloc(1, sizeof(*c));
	unsigned int asked = 0;

	(void)state;
	c->seed = 20261123;
	c->rig = rig_new(NULL);
	c->rig->ctx = c;
	for (unsigned int v = 0; v < VARIANTS; v++) {
		for (unsigned int i = 0; i < NAMES; i++) {
			c->allowed[v][i] = dice(c, 4) != 0;
			c->target_denied[v][i] = i % 2 && dice(c, 3) == 0;
		}
	}
	make_policy(c);
	for (unsigned int i = 0; i < NAMES; i++)
		say(c, i);
	c->rig->on_sent = on_sent;
	c->rig->on_opened = on_opened;
	c->rig->on_answered = on_answered;
	for (unsigned int i = 0; i < STEPS; i++) {
		step(c);
		if (c->rig->n_answers >= 255) {
			asked += c->rig->n_answers;
			settle(c);
			read_records(c);
			assert_int_equal(c->n_records, asked);
		}
	}
	asked += c->rig->n_answers;
	settle(c);
	read_records(c);
	assert_int_equal(c->n_records, asked);
	/* It was not quiet. */
	assert_true(c->n_with_addresses > 1000);
	assert_true(c->n_denied > 1000);
	assert_true(c->n_failed > 1000);
	assert_true(rig_count(c->rig, COUNT_HELD) > 200);
	assert_true(rig_count(c->rig, COUNT_REJUDGED) > 200);
	assert_true(rig_count(c->rig, COUNT_CACHE_STALE) > 10);
	assert_true(rig_count(c->rig, COUNT_PINHOLE_LATE) > 10);
	rig_free(c->rig);
	free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(promises_hold_whatever_comes_in_whatever_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
