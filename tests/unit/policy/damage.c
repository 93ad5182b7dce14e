/* tests/unit/policy/damage.c - using an image in every way there is. */
#include "damage.h"

#include <string.h>

#include "format.h"
#include "policy/explain.h"
#include "policy/judge.h"

void damage_rechecksum(uint8_t *image, size_t len)
{
	uint8_t sum[IMG_CHECKSUM_LEN];

	if (len < sizeof(struct img_head))
		return;
	img_checksum(image, len, sum);
	memcpy(image + offsetof(struct img_head, checksum), sum, sizeof(sum));
}

void damage_relength(uint8_t *image, size_t len)
{
	uint64_t len64 = len;

	if (len >= sizeof(struct img_head))
		memcpy(image + offsetof(struct img_head, len), &len64, sizeof(len64));
}

/* Every octet of what was handed out is read. */
static volatile uint64_t sink;

static void read_octets(const void *p, size_t len)
{
	const uint8_t *octets = p;

	for (size_t i = 0; i < len; i++)
		sink += octets[i];
}

static void read_text(const char *text)
{
	if (text)
		read_octets(text, strlen(text));
}

static void list_all(const struct policy_image *image)
{
	struct policy_counts counts;
	char text[POLICY_TEXT_LEN];

	policy_image_counts(image, &counts);
	for (uint32_t i = 0; i < MIN(counts.rules, 64u) + 1; i++) {
		const struct policy_port *ports;
		size_t n_ports;
		struct policy_rule_info rule;

		if (policy_image_rule(image, i, &rule) == 0) {
			read_text(rule.pattern);
			read_text(rule.owner);
			read_text(rule.reason);
			read_text(rule.ticket);
		}
		n_ports = policy_rule_ports(image, i, &ports);
		read_octets(ports, n_ports * sizeof(*ports));
		policy_rule_text(image, i, text, sizeof(text));
	}
	for (uint32_t i = 0; i < MIN(counts.workloads, 64u) + 1; i++) {
		struct policy_workload_info workload;
		struct policy_pinhole pinhole;
		const uint8_t(*addrs)[ADDR_LEN];
		size_t n;

		if (policy_image_workload(image, i, &workload) == 0) {
			read_text(workload.name);
			read_text(workload.profile);
			read_octets(workload.sources,
			            workload.n_sources * sizeof(*workload.sources));
			read_octets(workload.listeners,
			            workload.n_listeners * sizeof(*workload.listeners));
		}
		policy_pinhole(image, i, &pinhole);
		sink += policy_denied(image, i) + policy_profile_of(image, i);
		n = policy_single_sources(image, i, true, &addrs);
		read_octets(addrs, n * ADDR_LEN);
		n = policy_single_sources(image, i, false, &addrs);
		read_octets(addrs, n * ADDR_LEN);
		policy_workload_text(image, i, text, sizeof(text));
		policy_profile_text(image, i, text, sizeof(text));
	}
	for (uint32_t i = 0; i < MIN(counts.profiles, 64u) + 1; i++) {
		struct policy_profile_info profile;
		const uint32_t *rules;
		const struct policy_port *ports;
		size_t n = policy_image_profile_rules(image, i, &rules);
		size_t n_ports = policy_inbound(image, i, &ports);

		if (policy_image_profile(image, i, &profile) == 0)
			read_text(profile.name);
		read_octets(rules, n * sizeof(*rules));
		read_octets(ports, n_ports * sizeof(*ports));
	}
	for (uint32_t i = 0; i < MIN(counts.feeds, 64u) + 1; i++)
		read_text(policy_image_feed_name(image, i));
	for (uint32_t i = 0; i < MIN(counts.hosts, 64u) + 1; i++) {
		uint8_t addr[ADDR_LEN];
		const uint8_t *name;

		if (policy_image_host(image, i, &name, addr) == 0)
			read_octets(name, (size_t)name_wire_len(name, NAME_MAX_WIRE));
	}
	sink += policy_next_expiry(image, 0) + policy_next_expiry(image, UINT64_MAX);
}

static const char *const names[] = {
	".",           "test",         "a.test",         "A.TEST",         "x.a.test",
	"b.test",      "q.xay.b.test", "q.q.xay.b.test", "u.v.b.test",     "c1d2e.b.test",
	"z.b.test",    "base.test",    "k.base.test",    "evil.base.test", "l.evil.base.test",
	"bad.test",    "x.bad2.test",  "m.bad3.test",    "ok.bad3.test",   "h.base.test",
	"example.org",
};

static void judge_all(const struct policy_image *image)
{
	static const uint16_t types[] = { 1, 16, 43 };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct policy_considered considered[8];
		const uint8_t(*addrs)[ADDR_LEN];
		uint8_t wire[NAME_MAX_WIRE];
		struct verdict v, target;
		bool exists;
		size_t n;

		if (name_from_text(names[i], wire) < 0)
			continue;
		for (uint32_t w = 0; w < 3; w++) {
			for (size_t t = 0; t < ARRAY_LEN(types); t++) {
				policy_judge(image, w, wire, types[t], 1800000000, &v);
				policy_judge_target(image, w, &v, wire, types[t], 1800000000,
				                    t == 1, &target);
			}
			sink += policy_allows_below(image, w, wire);
			sink += policy_explain(image, w, wire, 1, 1800000000, considered,
			                       ARRAY_LEN(considered), &v);
		}
		n = policy_hosts(image, wire, i % 2, &exists, &addrs);
		read_octets(addrs, n * ADDR_LEN);
	}
}

size_t damage_exercise(const uint8_t *data, size_t len)
{
	static const char *const addrs[] = { "192.0.2.1",     "10.1.2.3",     "2001:db8::1",
		                             "2001:db8:1::7", "198.51.100.1", "192.0.2.53" };
	struct policy_image image;

	if (policy_image_open(data, len, 1, &image) < 0)
		return 0;
	list_all(&image);
	judge_all(&image);
	for (size_t i = 0; i < ARRAY_LEN(addrs); i++) {
		uint8_t addr[ADDR_LEN];

		if (addr_parse(addrs[i], addr) == 0)
			sink += policy_workload(&image, addr, addr);
	}
	return 1;
}
