/* resolver/entry.c - entries: memory, life, copies, and those of our own making. */
#include "entry_new.h"

#include <stdlib.h>
#include <string.h>

#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/limits.h"
#include "wire.h"

#define SECTION_ANSWER 1
#define HOSTS_TTL_S 60

/* Ids tell entries apart in memo keys, over all workers of the process; nothing is read back from
 * the counter. */
static uint64_t next_id(void)
{
	static _Atomic uint64_t last;

	return atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
}

struct entry *entry_new(const uint8_t *name, uint16_t type, size_t n_rrs, size_t n_octets,
                        uint64_t now_ns)
{
	size_t head = offsetof(struct entry, tail) + n_rrs * sizeof(struct entry_rr), bytes;
	int name_len = name_wire_len(name, NAME_MAX_WIRE);
	struct entry *entry;
	uint8_t *own_name;

	if (name_len < 0)
		return NULL;
	bytes = head + (size_t)name_len + n_octets;
	bytes = MAX(bytes, sizeof(struct entry));
	entry = calloc(1, bytes);
	if (!entry)
		return NULL;
	atomic_init(&entry->refs, 1);
	atomic_init(&entry->freq, 0);
	entry->id = next_id();
	entry->bytes = (uint32_t)bytes;
	entry->type = type;
	entry->n_rrs = (uint16_t)n_rrs;
	entry->made_ns = entry->expires_ns = entry->stale_until_ns = now_ns;
	entry->name_len = (uint8_t)name_len;
	own_name = (uint8_t *)entry + head;
	name_lower(own_name, name, (size_t)name_len);
	entry->name = own_name;
	entry->target = own_name + name_len - 1; /* the root's octet */
	return entry;
}

uint8_t *entry_own_octets(struct entry *entry)
{
	return entry->tail + entry->n_rrs * sizeof(struct entry_rr);
}

const uint8_t *entry_octets(const struct entry *entry)
{
	return entry->tail + entry->n_rrs * sizeof(struct entry_rr);
}

struct entry_rr *entry_own_rrs(struct entry *entry)
{
	return (struct entry_rr *)(void *)entry->tail;
}

void entry_set_life(struct entry *entry, uint32_t ttl_s, uint32_t stale_s)
{
	entry->expires_ns = entry->made_ns + ttl_s * NS_PER_S;
	entry->stale_until_ns = entry->expires_ns + (ttl_s > 0 ? stale_s * NS_PER_S : 0);
}

struct entry *entry_failure(const uint8_t *name, uint16_t type, uint16_t rcode, uint64_t now_ns,
                            uint32_t ttl_s)
{
	struct entry *entry = entry_new(name, type, 0, 0, now_ns);

	if (!entry)
		return NULL;
	entry->kind = ENTRY_FAILURE;
	entry->rcode = rcode;
	entry_set_life(entry, ttl_s, 0);
	return entry;
}

struct entry *entry_from_hosts(const uint8_t *name, uint16_t type, const uint8_t (*addrs)[ADDR_LEN],
                               size_t n, uint64_t now_ns)
{
	bool v4 = type == TYPE_A;
	size_t size = v4 ? 4 : ADDR_LEN, n_taken = 0;
	struct entry *entry;
	uint8_t *octets;

	n = MIN(n, LIMIT_RRSET_RECORDS);
	if (type != TYPE_A && type != TYPE_AAAA)
		n = 0;
	for (size_t i = 0; i < n; i++)
		n_taken += addr_is_v4(addrs[i]) == v4;
	entry = entry_new(name, type, n_taken, n_taken * size, now_ns);
	if (!entry)
		return NULL;
	entry->kind = n_taken > 0 ? ENTRY_DATA : ENTRY_NODATA;
	entry_set_life(entry, HOSTS_TTL_S, 0);

	octets = entry_own_octets(entry);
	for (size_t i = 0, at = 0; i < n; i++) {
		struct entry_rr *rr = &entry_own_rrs(entry)[at];

		if (addr_is_v4(addrs[i]) != v4)
			continue;
		rr->rdata = (uint32_t)(entry->name_len + at * size);
		rr->rdata_len = (uint16_t)size;
		rr->ttl = HOSTS_TTL_S;
		rr->type = type;
		rr->section = SECTION_ANSWER;
		memcpy(octets + rr->rdata, addrs[i] + (v4 ? 12 : 0), size);
		at++;
	}
	return entry;
}

struct entry *entry_without(const struct entry *entry, const bool *drop)
{
	const struct entry_rr *from = entry_rrs(entry);
	const uint8_t *octets = entry_octets(entry);
	size_t n_octets = entry->bytes - (size_t)(octets - (const uint8_t *)entry), n = 0;
	bool data = false;
	struct entry *copy;

	for (size_t i = 0; i < entry->n_rrs; i++) {
		n += !drop[i] && !from[i].signature;
		data |= !drop[i] && from[i].type == entry->type;
	}
	if (!data)
		n = 0;
	copy = entry_new(entry->name, entry->type, n, n_octets - entry->name_len, entry->made_ns);
	if (!copy)
		return NULL;
	copy->kind = (uint8_t)(data ? entry->kind : ENTRY_NODATA);
	entry_set_validated(copy, (enum dnssec_state)entry->dnssec, entry->why,
	                    entry->dnssec_until_ns, entry->signed_until_ns);
	copy->rcode = entry->rcode;
	copy->expires_ns = entry->expires_ns;
	copy->stale_until_ns = entry->stale_until_ns;
	memcpy(copy->upstream, entry->upstream, ADDR_LEN);
	copy->upstream_port = entry->upstream_port;
	copy->zone = entry->zone;
	memcpy(entry_own_octets(copy), octets, n_octets); /* whole, so that offsets stay true */
	copy->target = entry_octets(copy) + (entry->target - octets);
	copy->target_len = entry->target_len;
	for (size_t i = 0, at = 0; i < entry->n_rrs && at < n; i++) {
		if (!drop[i] && !from[i].signature)
			entry_own_rrs(copy)[at++] = from[i];
	}
	return copy;
}

void entry_set_validated(struct entry *entry, enum dnssec_state state, unsigned int why,
                         uint64_t until_ns, uint64_t signed_until_ns)
{
	/* Nobody takes the old verdict for the new time. */
	atomic_store_explicit(&entry->dnssec_until_ns, 0, memory_order_release);
	atomic_store_explicit(&entry->dnssec, (uint8_t)state, memory_order_release);
	atomic_store_explicit(&entry->why, (uint8_t)why, memory_order_release);
	atomic_store_explicit(&entry->signed_until_ns, signed_until_ns, memory_order_release);
	atomic_store_explicit(&entry->dnssec_until_ns, until_ns, memory_order_release);
}

struct entry *entry_ref(struct entry *entry)
{
	atomic_fetch_add_explicit(&entry->refs, 1, memory_order_relaxed);
	return entry;
}

void entry_unref(struct entry *entry)
{
	/* Release: what this thread did with it comes before; acquire: the last one sees all of it.
	 */
	if (entry && atomic_fetch_sub_explicit(&entry->refs, 1, memory_order_acq_rel) == 1)
		free(entry);
}
