/* policy/format.h - the compiled image, octet by octet. Private to policy/.
 *
 *   struct img_head | section | section | ...        each section at a multiple of 8
 *
 * A section is an array of one kind of element; elements point at others by index into their
 * section, never by address, so the block works wherever it is mapped. Integers are in host order:
 * an image never leaves the machine that made it.
 *
 * Names are stored in wire form, lower case, with the root's zero octet, so that "is this the same
 * name" is one memcmp and never a comparison of hashes alone.
 *
 * Each profile has a hash table (a range of SLOTS) of nodes. A node is a name: the fixed suffix of
 * some pattern, or an exact name, or an ancestor of one; every ancestor is in the table, so a walk
 * from the root downwards ends at the first name that is missing. A node's candidates are the
 * patterns with this fixed suffix, own and inherited, strongest first: a reader takes the first
 * that matches, precedence is in the order.
 *
 * All feeds share one table (FEED_SLOTS, FEED_TAGS beside it so that a miss touches no name). An
 * entry is a combination (what the 64 feeds say of this name) and the name.
 *
 * Trust: policy_image_open() checks the checksum and that every section lies inside the block;
 * every index found inside is checked again before use. A damaged image can be wrong, never unsafe.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "policy/image.h"
#include "policy/judge.h"
#include "sallyport/prefix.h"

#define IMG_MAGIC UINT64_C(0x314c4f50594c4153) /* "SALYPOL1" */
#define IMG_FORMAT 3
#define IMG_CHECKSUM_LEN 32
#define IMG_PROBES_MAX 512 /* of one lookup; the compiler chooses another seed if it needs more */

enum img_section_id {
	SEC_STRINGS,       /* char; zero-terminated texts; the last octet is zero */
	SEC_RULES,         /* struct img_rule */
	SEC_PORTS,         /* struct policy_port */
	SEC_TYPES,         /* uint16_t */
	SEC_PATTERNS,      /* octets: labels with stars, see struct img_candidate */
	SEC_PROFILES,      /* struct img_profile */
	SEC_PROFILE_RULES, /* uint32_t: rules of each profile, own and inherited */
	SEC_NAMES,         /* octets: wire names of nodes and hosts */
	SEC_NODES,         /* struct img_node */
	SEC_SLOTS,         /* uint32_t: node + 1, or 0 */
	SEC_CANDIDATES,    /* struct img_candidate */
	SEC_WORKLOADS,     /* struct img_workload */
	SEC_SOURCES,       /* struct prefix: sources and listeners of each workload */
	SEC_SINGLES,       /* uint8_t[16]: single addresses of workloads, by family */
	SEC_SOURCE_LENS,   /* uint8_t: the prefix lengths in use, longest first */
	SEC_SOURCE_SLOTS,  /* struct img_source: by prefix, or listener */
	SEC_FEEDS,         /* struct img_feed */
	SEC_COMBINATIONS,  /* struct img_combination */
	SEC_FEED_SLOTS,    /* uint32_t: offset in FEED_NAMES + 1, or 0 */
	SEC_FEED_TAGS,     /* uint8_t */
	SEC_FEED_NAMES,    /* octets: uint16_t combination, wire name */
	SEC_HOSTS,         /* struct img_host */
	SEC_HOST_SLOTS,    /* uint32_t: host + 1, or 0 */
	SEC_HOST_ADDRS,    /* uint8_t[16] */
	SEC_HOST_OF,       /* uint32_t: the host of each of HOST_ADDRS */
	SEC_EXPIRIES,      /* uint64_t, ascending, each once */
	SEC_N
};

struct img_section {
	uint64_t offset, count; /* count: of elements */
};
struct img_head {
	uint64_t magic;
	uint32_t format, n_sections;
	uint64_t len;
	uint8_t checksum[IMG_CHECKSUM_LEN]; /* of everything but this field */
	uint64_t seed;
	uint32_t feed_labels_min, feed_labels_max; /* of the names in feeds */
	uint64_t n_feed_names;
	uint64_t feeds_with_pass; /* bit f: feed f has an exception somewhere */
	struct img_section sections[SEC_N];
};

enum img_rule_flag {
	IMG_ALLOW = 1,
	IMG_FINAL = 2,
	IMG_INTERNAL = 4,
	IMG_DNSSEC = 8,
};
struct img_rule {
	uint32_t profile, line, col;
	uint32_t pattern, owner, reason, ticket; /* STRINGS */
	uint32_t types, ports;                   /* first in TYPES, PORTS */
	uint16_t n_types;                        /* 0: the default of an allow, all of a deny */
	uint16_t n_ports;
	uint8_t flags, follow;
	uint16_t reserved;
	uint32_t reserved2;
	uint64_t expires_s; /* 0: never */
};

struct img_profile {
	uint32_t name;                            /* STRINGS */
	uint32_t rules, n_rules, n_allow, n_deny; /* rules: first in PROFILE_RULES */
	uint32_t slots, n_slots;
	uint32_t n_workloads;
	uint64_t feeds; /* bit f: feed f */
	uint32_t floor_s, grace_s, max_s, addresses, per_workload;
	uint32_t inbound, n_inbound; /* UDP ports from outside: first in PORTS */
	uint8_t observe, denied, has_final, reserved;
};

enum img_kind {               /* of a pattern; also its class: more is stronger */
	        IMG_ZONE = 1, /* the suffix and all below */
	        IMG_BELOW,    /* any labels, then n_labels given ones, then the suffix */
	        IMG_STAR,     /* n_labels given ones, some with stars, then the suffix */
	        IMG_EXACT,    /* the suffix alone */
};

/* The given labels are at PATTERNS[labels..], the one next to the suffix first. Each: a count of
 * pieces (1..), then each piece as length octet and octets; between two pieces stands a star. */
struct img_candidate {
	uint32_t rule;
	uint32_t labels;
	uint16_t labels_len;
	uint16_t literals; /* octets in all pieces */
	uint8_t kind, n_labels;
	uint8_t is_final;
	uint8_t reserved;
};

enum img_node_flag { IMG_NODE_FINAL = 1 }; /* some candidate is final */
struct img_node {
	uint32_t name; /* NAMES */
	uint32_t candidates;
	uint16_t n_candidates;
	uint8_t name_len, flags;
	uint32_t reserved;
	/* Until when an allow has its fixed suffix strictly below this name (0: none, UINT64_MAX:
	 * for ever), and the same for exact ones alone. */
	uint64_t below_until, exact_below_until;
};

struct img_workload {
	uint32_t name, profile;
	uint32_t sources, n_sources, listeners, n_listeners; /* SOURCES */
	uint32_t singles4, n_singles4, singles6, n_singles6;
};
/* In place of a prefix's length: an address at which queries arrive. */
#define IMG_LISTENER 129
struct img_source {
	struct prefix prefix;
	uint8_t reserved[3];
	uint32_t workload; /* POLICY_NONE: an empty slot */
};

struct img_feed {
	uint32_t name, reserved;
	uint64_t n_names;
};
struct img_combination { /* bit f: what feed f says */
	uint64_t block_exact, block_below, pass_exact, pass_below;
};

struct img_host {
	uint32_t name; /* NAMES */
	uint32_t name_len;
	uint32_t addrs4, n_addrs4, addrs6, n_addrs6; /* HOST_ADDRS */
};

/* Size of one element of each section. */
extern const size_t img_element_size[SEC_N];

static inline const struct img_head *img_head(const struct policy_image *image)
{
	return (const struct img_head *)(const void *)image->data;
}

static inline uint64_t img_count(const struct policy_image *image, enum img_section_id id)
{
	return img_head(image)->sections[id].count;
}

/* The whole section; may be empty. */
static inline const void *img_all(const struct policy_image *image, enum img_section_id id)
{
	return image->data + img_head(image)->sections[id].offset;
}

/* @n elements from @first on, or NULL when they are not all inside. */
static inline const void *img_range(const struct policy_image *image, enum img_section_id id,
                                    uint64_t first, uint64_t n, size_t size)
{
	uint64_t count = img_count(image, id);

	if (first > count || n > count - first)
		return NULL;
	return (const uint8_t *)img_all(image, id) + first * size;
}
#define IMG_RANGE(image, id, first, n, type)                                                       \
	((const type *)img_range(image, id, first, n, sizeof(type)))
#define IMG_AT(image, id, i, type) IMG_RANGE(image, id, i, 1, type)

/* A text of STRINGS; "" when the offset is outside. Terminated, for the section's last octet is 0.
 */
static inline const char *img_string(const struct policy_image *image, uint32_t offset)
{
	const char *text = IMG_AT(image, SEC_STRINGS, offset, char);

	return text ? text : "";
}

/* The hash of a name, built label by label from the root, so that all suffixes of a name cost as
 * much as the name. Not a cryptographic one; its seed depends on all the texts compiled, and the
 * compiler refuses tables in which a lookup would need more than IMG_PROBES_MAX probes. */
__extension__ typedef unsigned __int128 img_u128;

static inline uint64_t img_fold(uint64_t a, uint64_t b)
{
	img_u128 product = (img_u128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* @label: length octet and octets, lower case; 8 octets past its end must be readable. */
static inline uint64_t img_hash_label(uint64_t hash, const uint8_t *label)
{
	size_t left = 1 + (size_t)label[0];
	uint64_t word;

	hash ^= UINT64_C(0x9e3779b97f4a7c15);
	for (; left >= 8; left -= 8, label += 8) {
		memcpy(&word, label, 8);
		hash = img_fold(hash ^ word, UINT64_C(0xd6e8feb86659fd93));
	}
	memcpy(&word, label, 8);
	word &= (UINT64_C(1) << (8 * left)) - 1;
	return img_fold(hash ^ word ^ ((uint64_t)left << 56), UINT64_C(0xa0761d6478bd642f));
}

/* The first slot to look at among @n. */
static inline uint64_t img_slot(uint64_t hash, uint64_t n)
{
	return (uint64_t)(((img_u128)hash * n) >> 64);
}
static inline uint8_t img_tag(uint64_t hash)
{
	return (uint8_t)hash;
}

/* The slot hash of a source prefix. */
static inline uint64_t img_hash_prefix(uint64_t seed, const struct prefix *prefix)
{
	uint64_t a, b;

	memcpy(&a, prefix->addr, 8);
	memcpy(&b, prefix->addr + 8, 8);
	seed = img_fold(seed ^ a ^ prefix->len, UINT64_C(0xd6e8feb86659fd93));
	return img_fold(seed ^ b, UINT64_C(0xa0761d6478bd642f));
}

/* The checksum of @len octets at @data, which begin with a head; its checksum field is left out. */
void img_checksum(const uint8_t *data, size_t len, uint8_t ret_sum[static IMG_CHECKSUM_LEN]);
