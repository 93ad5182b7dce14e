/* policy/lookup.c - the small questions to an image: who asks, which ports, which addresses. */
#include <stdio.h>
#include <string.h>

#include "format.h"
#include "policy/judge.h"
#include "sallyport/limits.h"

static uint32_t find_source(const struct policy_image *image, const struct prefix *key)
{
	const struct img_source *slots = img_all(image, SEC_SOURCE_SLOTS);
	uint64_t n = img_count(image, SEC_SOURCE_SLOTS);
	uint64_t slot = img_slot(img_hash_prefix(img_head(image)->seed, key), n);

	for (unsigned int i = 0; i < IMG_PROBES_MAX && slots[slot].workload != POLICY_NONE; i++) {
		const struct img_source *s = &slots[slot];

		if (s->prefix.len == key->len && memcmp(s->prefix.addr, key->addr, ADDR_LEN) == 0)
			return s->workload;
		if (++slot == n)
			slot = 0;
	}
	return POLICY_NONE;
}

uint32_t policy_workload(const struct policy_image *image, const uint8_t addr[static ADDR_LEN],
                         const uint8_t *at)
{
	const uint8_t *lens = img_all(image, SEC_SOURCE_LENS);
	uint64_t n_lens = MIN(img_count(image, SEC_SOURCE_LENS), UINT64_C(129));
	struct prefix listener = { .len = IMG_LISTENER };

	if (img_count(image, SEC_SOURCE_SLOTS) == 0)
		return POLICY_NONE;
	for (uint64_t l = 0; l < n_lens; l++) {
		struct prefix key = { .len = MIN(lens[l], (uint8_t)128) };
		unsigned int whole = key.len / 8;
		uint32_t workload;

		memcpy(key.addr, addr, whole);
		if (key.len % 8)
			key.addr[whole] = addr[whole] & (uint8_t)(0xff00 >> (key.len % 8));
		workload = find_source(image, &key);
		if (workload != POLICY_NONE)
			return workload;
	}
	if (!at)
		return POLICY_NONE;
	memcpy(listener.addr, at, ADDR_LEN);
	return find_source(image, &listener);
}

size_t policy_rule_ports(const struct policy_image *image, uint32_t rule,
                         const struct policy_port **ret_ports)
{
	const struct img_rule *r = IMG_AT(image, SEC_RULES, rule, struct img_rule);
	const struct policy_port *ports = NULL;

	/* Only an allow opens anything, whatever the image says. */
	if (r && (r->flags & IMG_ALLOW))
		ports = IMG_RANGE(image, SEC_PORTS, r->ports, r->n_ports, struct policy_port);
	*ret_ports = ports;
	return ports ? r->n_ports : 0;
}

size_t policy_inbound(const struct policy_image *image, uint32_t profile,
                      const struct policy_port **ret_ports)
{
	const struct img_profile *p = IMG_AT(image, SEC_PROFILES, profile, struct img_profile);
	const struct policy_port *ports =
	    p ? IMG_RANGE(image, SEC_PORTS, p->inbound, p->n_inbound, struct policy_port) : NULL;

	*ret_ports = ports;
	return ports ? p->n_inbound : 0;
}

static const struct img_workload *workload_at(const struct policy_image *image, uint32_t workload)
{
	return IMG_AT(image, SEC_WORKLOADS, workload, struct img_workload);
}

static const struct img_profile *profile_of(const struct policy_image *image, uint32_t workload)
{
	const struct img_workload *w = workload_at(image, workload);

	return w ? IMG_AT(image, SEC_PROFILES, w->profile, struct img_profile) : NULL;
}

void policy_pinhole(const struct policy_image *image, uint32_t workload,
                    struct policy_pinhole *ret_pinhole)
{
	const struct img_profile *p = profile_of(image, workload);

	*ret_pinhole = (struct policy_pinhole){ 0 };
	if (!p)
		return;
	*ret_pinhole = (struct policy_pinhole){
		.floor_s = p->floor_s,
		.grace_s = p->grace_s,
		.max_s = p->max_s,
		.addresses = p->addresses,
		.per_workload = p->per_workload,
	};
}

enum policy_denied policy_denied(const struct policy_image *image, uint32_t workload)
{
	const struct img_profile *p = profile_of(image, workload);

	return p && p->denied <= POLICY_DENIED_NODATA ? (enum policy_denied)p->denied
	                                              : POLICY_DENIED_NXDOMAIN;
}

uint32_t policy_profile_of(const struct policy_image *image, uint32_t workload)
{
	const struct img_workload *w = workload_at(image, workload);

	return w && w->profile < img_count(image, SEC_PROFILES) ? w->profile : POLICY_NONE;
}

size_t policy_single_sources(const struct policy_image *image, uint32_t workload, bool v4,
                             const uint8_t (**ret_addrs)[ADDR_LEN])
{
	const struct img_workload *w = workload_at(image, workload);
	uint32_t first = w ? (v4 ? w->singles4 : w->singles6) : 0;
	uint32_t n = w ? (v4 ? w->n_singles4 : w->n_singles6) : 0;

	*ret_addrs = (const uint8_t(*)[ADDR_LEN])img_range(image, SEC_SINGLES, first, n, ADDR_LEN);
	return *ret_addrs ? MIN(n, (uint32_t)LIMIT_WORKLOAD_OTHER_FAMILY) : 0;
}

size_t policy_hosts(const struct policy_image *image, const uint8_t *qname, bool v4,
                    bool *ret_exists, const uint8_t (**ret_addrs)[ADDR_LEN])
{
	const uint32_t *slots = img_all(image, SEC_HOST_SLOTS);
	uint64_t n_slots = img_count(image, SEC_HOST_SLOTS), slot;
	uint8_t name[NAME_MAX_WIRE + 8] = { 0 }, at[NAME_MAX_LABELS];
	unsigned int n_labels = 0, pos = 0;
	uint64_t hash = img_head(image)->seed;

	*ret_exists = false;
	*ret_addrs = NULL;
	if (n_slots == 0)
		return 0;
	while (qname[pos] != 0) {
		if (qname[pos] > 63 || n_labels == NAME_MAX_LABELS)
			return 0;
		at[n_labels++] = (uint8_t)pos;
		pos += 1u + qname[pos];
		if (pos >= NAME_MAX_WIRE)
			return 0;
	}
	name_lower(name, qname, pos + 1);
	while (n_labels > 0)
		hash = img_hash_label(hash, name + at[--n_labels]);
	slot = img_slot(hash, n_slots);
	for (unsigned int i = 0; i < IMG_PROBES_MAX && slots[slot] != 0; i++) {
		const struct img_host *h =
		    IMG_AT(image, SEC_HOSTS, slots[slot] - 1, struct img_host);
		const uint8_t *known =
		    h ? IMG_RANGE(image, SEC_NAMES, h->name, h->name_len, uint8_t) : NULL;

		if (known && h->name_len == pos + 1 && memcmp(known, name, pos + 1) == 0) {
			uint32_t n = v4 ? h->n_addrs4 : h->n_addrs6;

			*ret_exists = true;
			*ret_addrs = (const uint8_t(*)[ADDR_LEN])img_range(
			    image, SEC_HOST_ADDRS, v4 ? h->addrs4 : h->addrs6, n, ADDR_LEN);
			return *ret_addrs ? n : 0;
		}
		if (++slot == n_slots)
			slot = 0;
	}
	return 0;
}

uint64_t policy_next_expiry(const struct policy_image *image, uint64_t now_s)
{
	const uint64_t *moments = img_all(image, SEC_EXPIRIES);
	uint64_t low = 0, high = img_count(image, SEC_EXPIRIES);

	while (low < high) {
		uint64_t mid = low + (high - low) / 2;

		if (moments[mid] > now_s)
			high = mid;
		else
			low = mid + 1;
	}
	return low < img_count(image, SEC_EXPIRIES) ? moments[low] : UINT64_MAX;
}

/* Texts are cut at @cap and always terminated; cap 0 writes nothing. */
static size_t put_text(char *out, size_t cap, const char *before, const char *text)
{
	int n;

	if (cap == 0)
		return 0;
	n = snprintf(out, cap, "%s%s", before, text);
	if (n < 0) {
		out[0] = '\0';
		return 0;
	}
	return MIN((size_t)n, cap - 1);
}

size_t policy_rule_text(const struct policy_image *image, uint32_t rule, char *out, size_t cap)
{
	struct policy_rule_info info;

	if (policy_image_rule(image, rule, &info) < 0)
		return put_text(out, cap, "", "");
	return put_text(out, cap, info.allow ? "allow " : "deny ", info.pattern);
}

size_t policy_feed_text(const struct policy_image *image, uint32_t feed, char *out, size_t cap)
{
	const char *name = policy_image_feed_name(image, feed);

	return put_text(out, cap, "", name ? name : "");
}

size_t policy_workload_text(const struct policy_image *image, uint32_t workload, char *out,
                            size_t cap)
{
	const struct img_workload *w = workload_at(image, workload);

	return put_text(out, cap, "", w ? img_string(image, w->name) : "");
}

size_t policy_profile_text(const struct policy_image *image, uint32_t workload, char *out,
                           size_t cap)
{
	const struct img_profile *p = profile_of(image, workload);

	return put_text(out, cap, "", p ? img_string(image, p->name) : "");
}
