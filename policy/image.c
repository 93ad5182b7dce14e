/* policy/image.c - opening an image, and listing what it holds. */
#include "policy/image.h"

#include <string.h>

#include "format.h"
#include "sallyport/err.h"

const size_t img_element_size[SEC_N] = {
	[SEC_STRINGS] = 1,
	[SEC_RULES] = sizeof(struct img_rule),
	[SEC_PORTS] = sizeof(struct policy_port),
	[SEC_TYPES] = sizeof(uint16_t),
	[SEC_PATTERNS] = 1,
	[SEC_PROFILES] = sizeof(struct img_profile),
	[SEC_PROFILE_RULES] = sizeof(uint32_t),
	[SEC_NAMES] = 1,
	[SEC_NODES] = sizeof(struct img_node),
	[SEC_SLOTS] = sizeof(uint32_t),
	[SEC_CANDIDATES] = sizeof(struct img_candidate),
	[SEC_WORKLOADS] = sizeof(struct img_workload),
	[SEC_SOURCES] = sizeof(struct prefix),
	[SEC_SINGLES] = ADDR_LEN,
	[SEC_SOURCE_LENS] = 1,
	[SEC_SOURCE_SLOTS] = sizeof(struct img_source),
	[SEC_FEEDS] = sizeof(struct img_feed),
	[SEC_COMBINATIONS] = sizeof(struct img_combination),
	[SEC_FEED_SLOTS] = sizeof(uint32_t),
	[SEC_FEED_TAGS] = 1,
	[SEC_FEED_NAMES] = 1,
	[SEC_HOSTS] = sizeof(struct img_host),
	[SEC_HOST_SLOTS] = sizeof(uint32_t),
	[SEC_HOST_ADDRS] = ADDR_LEN,
	[SEC_HOST_OF] = sizeof(uint32_t),
	[SEC_EXPIRIES] = sizeof(uint64_t),
};

/* Four lanes side by side, so that the multiplications overlap: about a millisecond for 5 MiB. It
 * is there to find damage; who could write to the block could write a checksum of any kind. */
struct lanes {
	uint64_t h[4];
};

static void lanes_take(struct lanes *lanes, const uint8_t *data, size_t len)
{
	static const uint64_t k[4] = { UINT64_C(0xa0761d6478bd642f), UINT64_C(0xe7037ed1a0b428db),
		                       UINT64_C(0x8ebc6af09c88c6e3), UINT64_C(0x589965cc75374cc3) };
	uint64_t word[4];

	for (; len > 0; data += MIN(len, sizeof(word)), len -= MIN(len, sizeof(word))) {
		memset(word, 0, sizeof(word));
		memcpy(word, data, MIN(len, sizeof(word)));
		for (size_t i = 0; i < 4; i++)
			lanes->h[i] = img_fold(lanes->h[i] ^ word[i], k[i]) + word[i];
	}
}

void img_checksum(const uint8_t *data, size_t len, uint8_t ret_sum[static IMG_CHECKSUM_LEN])
{
	const size_t at = offsetof(struct img_head, checksum);
	struct lanes lanes = { { len, ~len, len << 32, 1 } };

	lanes_take(&lanes, data, at);
	lanes_take(&lanes, data + at + IMG_CHECKSUM_LEN, len - at - IMG_CHECKSUM_LEN);
	memcpy(ret_sum, lanes.h, IMG_CHECKSUM_LEN);
}

static bool sections_fit(const struct img_head *head, const uint8_t *data)
{
	for (size_t i = 0; i < SEC_N; i++) {
		const struct img_section *sec = &head->sections[i];

		if (sec->offset % 8 || sec->offset < sizeof(*head) || sec->offset > head->len)
			return false;
		if (sec->count > (head->len - sec->offset) / img_element_size[i])
			return false;
	}

	const struct img_section *strings = &head->sections[SEC_STRINGS];

	return strings->count > 0 && data[strings->offset + strings->count - 1] == 0;
}

int policy_image_open(const void *data, size_t len, uint32_t version,
                      struct policy_image *ret_image)
{
	uint8_t sum[IMG_CHECKSUM_LEN];
	const struct img_head *head = data;

	if ((uintptr_t)data % 8 || len < sizeof(*head))
		return ERR_DAMAGED;
	if (head->magic != IMG_MAGIC)
		return ERR_DAMAGED;
	if (head->format != IMG_FORMAT || head->n_sections != SEC_N)
		return ERR_VERSION;
	if (head->len != len || !sections_fit(head, data))
		return ERR_DAMAGED;
	img_checksum(data, len, sum);
	if (memcmp(sum, head->checksum, sizeof(sum)) != 0)
		return ERR_DAMAGED;
	*ret_image = (struct policy_image){ .data = data, .len = len, .version = version };
	return ERR_OK;
}

void policy_image_counts(const struct policy_image *image, struct policy_counts *ret_counts)
{
	*ret_counts = (struct policy_counts){
		.workloads = (uint32_t)img_count(image, SEC_WORKLOADS),
		.profiles = (uint32_t)img_count(image, SEC_PROFILES),
		.rules = (uint32_t)img_count(image, SEC_RULES),
		.feeds = (uint32_t)img_count(image, SEC_FEEDS),
		.hosts =
		    (uint32_t)MIN(img_count(image, SEC_HOST_OF), img_count(image, SEC_HOST_ADDRS)),
		.feed_names = img_head(image)->n_feed_names,
	};
}

int policy_image_rule(const struct policy_image *image, uint32_t rule,
                      struct policy_rule_info *ret_info)
{
	const struct img_rule *r = IMG_AT(image, SEC_RULES, rule, struct img_rule);

	if (!r)
		return ERR_NOENT;
	*ret_info = (struct policy_rule_info){
		.allow = r->flags & IMG_ALLOW,
		.final = r->flags & IMG_FINAL,
		.internal = r->flags & IMG_INTERNAL,
		.require_dnssec = r->flags & IMG_DNSSEC,
		.profile = r->profile,
		.line = r->line,
		.col = r->col,
		.follow = r->follow <= POLICY_FOLLOW_ANY ? r->follow : POLICY_FOLLOW_NONE,
		.expires_s = r->expires_s,
		.pattern = img_string(image, r->pattern),
		.owner = img_string(image, r->owner),
		.reason = img_string(image, r->reason),
		.ticket = img_string(image, r->ticket),
	};
	return ERR_OK;
}

int policy_image_workload(const struct policy_image *image, uint32_t workload,
                          struct policy_workload_info *ret_info)
{
	const struct img_workload *w = IMG_AT(image, SEC_WORKLOADS, workload, struct img_workload);
	const struct img_profile *p =
	    w ? IMG_AT(image, SEC_PROFILES, w->profile, struct img_profile) : NULL;
	const struct prefix *sources =
	    w ? IMG_RANGE(image, SEC_SOURCES, w->sources, w->n_sources, struct prefix) : NULL;
	const struct prefix *listeners =
	    w ? IMG_RANGE(image, SEC_SOURCES, w->listeners, w->n_listeners, struct prefix) : NULL;

	if (!p || !sources || !listeners)
		return ERR_NOENT;
	*ret_info = (struct policy_workload_info){
		.name = img_string(image, w->name),
		.profile = img_string(image, p->name),
		.profile_id = w->profile,
		.observe = p->observe == 1,
		.n_sources = w->n_sources,
		.sources = sources,
		.n_listeners = w->n_listeners,
		.listeners = listeners,
		.n_rules = p->n_rules,
	};
	return ERR_OK;
}

int policy_image_profile(const struct policy_image *image, uint32_t profile,
                         struct policy_profile_info *ret_info)
{
	const struct img_profile *p = IMG_AT(image, SEC_PROFILES, profile, struct img_profile);

	if (!p)
		return ERR_NOENT;
	*ret_info = (struct policy_profile_info){
		.name = img_string(image, p->name),
		.observe = p->observe == 1,
		.denied = p->denied <= POLICY_DENIED_NODATA ? p->denied : POLICY_DENIED_NXDOMAIN,
		.n_allow = p->n_allow,
		.n_deny = p->n_deny,
		.n_feeds = (uint32_t)__builtin_popcountll(p->feeds),
		.n_workloads = p->n_workloads,
		.floor_s = p->floor_s,
		.grace_s = p->grace_s,
		.max_s = p->max_s,
		.addresses = p->addresses,
		.per_workload = p->per_workload,
	};
	return ERR_OK;
}

size_t policy_image_profile_rules(const struct policy_image *image, uint32_t profile,
                                  const uint32_t **ret_rules)
{
	const struct img_profile *p = IMG_AT(image, SEC_PROFILES, profile, struct img_profile);
	const uint32_t *rules =
	    p ? IMG_RANGE(image, SEC_PROFILE_RULES, p->rules, p->n_rules, uint32_t) : NULL;

	*ret_rules = rules;
	return rules ? p->n_rules : 0;
}

const char *policy_image_feed_name(const struct policy_image *image, uint32_t feed)
{
	const struct img_feed *f = IMG_AT(image, SEC_FEEDS, feed, struct img_feed);

	return f ? img_string(image, f->name) : NULL;
}

int policy_image_host(const struct policy_image *image, uint32_t i, const uint8_t **ret_name,
                      uint8_t ret_addr[static ADDR_LEN])
{
	const uint32_t *host = IMG_AT(image, SEC_HOST_OF, i, uint32_t);
	const uint8_t *addr = img_range(image, SEC_HOST_ADDRS, i, 1, ADDR_LEN);
	const struct img_host *h = host ? IMG_AT(image, SEC_HOSTS, *host, struct img_host) : NULL;
	const uint8_t *name = h ? IMG_RANGE(image, SEC_NAMES, h->name, h->name_len, uint8_t) : NULL;

	if (!name || !addr || name_wire_len(name, h->name_len) != (int)h->name_len)
		return ERR_NOENT;
	*ret_name = name;
	memcpy(ret_addr, addr, ADDR_LEN);
	return ERR_OK;
}
