/* policy/judge.h - may this workload ask this name? Straight from the compiled image.
 *
 * Pure: no allocation, no system call, no clock (the time is an argument), no lock; any number of
 * threads. The image is never trusted: every offset is checked against its bounds before use, so a
 * damaged image can only deny. The cost grows with the number of labels of the name (one or two
 * probes each in the profile's table, one in the feeds'), not with rules or feeds.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/image.h"
#include "sallyport/cleanup.h"
#include "sallyport/name.h"
#include "sallyport/prefix.h"
#include "sallyport/verdict.h"

#define POLICY_NONE UINT32_MAX /* no rule, feed or workload */

enum policy_denied { /* how a profile answers a denial; zero is the default */
	             POLICY_DENIED_NXDOMAIN = 0,
	             POLICY_DENIED_REFUSED,
	             POLICY_DENIED_NODATA,
};
enum policy_follow { POLICY_FOLLOW_NONE = 0, POLICY_FOLLOW_CHAIN, POLICY_FOLLOW_ANY };

/* Everything the resolver needs to go on. All zeros is a denial. */
struct verdict {
	enum verdict_kind kind;
	enum reason reason;
	enum policy_denied
	    denied; /* of a denial; NODATA already chosen where it must be: a type that
	               is not allowed, a name below which something is allowed */
	enum policy_follow follow;
	uint32_t rule; /* the winner (allow or deny), or POLICY_NONE */
	uint32_t feed; /* of a denial by a feed (or what observe mode passed), or POLICY_NONE */
	bool internal; /* the rule lets its own addresses be private */
	bool require_dnssec;
	bool observed; /* observe mode: allowed, though it would have been denied for reason
	                  would_be */
	enum reason would_be;
};

/* Which workload asks from @addr; the longest matching prefix wins. Only an address that no source
 * names is known by @at, the address at which its query arrived (NULL: by none). Returns the
 * workload's index (0..) or POLICY_NONE. */
uint32_t policy_workload(const struct policy_image *image, const uint8_t addr[static ADDR_LEN],
                         const uint8_t *at);

/**
 * Judge one question.
 *
 * @qname  valid wire form, any case.
 * @now_s  wall clock, seconds since 1970: rules expire by it.
 *
 * Fills @ret_verdict. An index out of range is a denial (REASON_NO_WORKLOAD). Special-use names and
 * meta types are the resolver's business, not judged here; hosts entries only make data, so a name
 * of hosts is judged like any other.
 */
void policy_judge(const struct policy_image *image, uint32_t workload, const uint8_t *qname,
                  uint16_t qtype, uint64_t now_s, struct verdict *ret_verdict);

/**
 * Judge the target of a chain that began at the rule of @entry (design, section 4, follow).
 *
 * @crosses_inwards  the target lies in an internal zone that the owner before it does not: only a
 *                   rule of the target's own allows it.
 *
 * chain: no rule becomes allow; any: a feed becomes allow, too; none: the target's own verdict. A
 * deny rule always wins, a feed wins but for any. On allow the verdict carries the ENTRY's rule,
 * ports, follow and require; its `internal` is true only if the target's own winning rule is
 * internal.
 */
void policy_judge_target(const struct policy_image *image, uint32_t workload,
                         const struct verdict *entry, const uint8_t *target, uint16_t qtype,
                         uint64_t now_s, bool crosses_inwards, struct verdict *ret_verdict);

/* A rule's ports, for pinholes. */
struct policy_port {
	uint8_t kind;  /* enum pinhole_proto_kind; no ports at all: answer but open nothing */
	uint8_t proto; /* as in struct pinhole_port */
	uint16_t port;
};
/* Borrowed from the image. Returns the number, 0 for `none` or an index out of range. */
size_t policy_rule_ports(const struct policy_image *image, uint32_t rule,
                         const struct policy_port **ret_ports);

/* UDP ports on which connections from outside may begin, of a profile. Borrowed likewise. */
size_t policy_inbound(const struct policy_image *image, uint32_t profile,
                      const struct policy_port **ret_ports);

/* A profile's numbers, of the workload's profile. Zeros when the index is out of range. */
struct policy_pinhole {
	uint32_t floor_s, grace_s, max_s;
	uint32_t addresses; /* of one answer */
	uint32_t per_workload;
};
void policy_pinhole(const struct policy_image *image, uint32_t workload,
                    struct policy_pinhole *ret_pinhole);
enum policy_denied policy_denied(const struct policy_image *image, uint32_t workload);

/* The single addresses (/32, /128) that the workload lists in the family, at most
 * LIMIT_WORKLOAD_OTHER_FAMILY; 0 when it lists a wider prefix of that family, or nothing. Borrowed
 * from the image. */
size_t policy_single_sources(const struct policy_image *image, uint32_t workload, bool v4,
                             const uint8_t (**ret_addrs)[ADDR_LEN]);

/* Addresses of a hosts entry. Returns their number, 0 when the name is not in hosts (or, with
 * *ret_exists, when it is but has no address of the family). Borrowed from the image. */
size_t policy_hosts(const struct policy_image *image, const uint8_t *qname, bool v4,
                    bool *ret_exists, const uint8_t (**ret_addrs)[ADDR_LEN]);

/* Does the profile allow anything at or below @name? (Such a denied name is NODATA, RFC 8020.) */
bool policy_allows_below(const struct policy_image *image, uint32_t workload, const uint8_t *name);

/* The earliest moment after @now_s at which some rule expires (seconds since 1970), or UINT64_MAX:
 * nothing that was derived from several verdicts may be kept past it. */
uint64_t policy_next_expiry(const struct policy_image *image, uint64_t now_s);

/* The profile of @workload, for keys of what was derived from verdicts; POLICY_NONE if unknown. */
uint32_t policy_profile_of(const struct policy_image *image, uint32_t workload);

/* For people: "allow db.corp.test", "deny zone evil.test", "allow **.updates.test". Returns the
 * length written; "" when the index is out of range. Sizes: POLICY_TEXT_LEN. */
#define POLICY_TEXT_LEN 1100
size_t policy_rule_text(const struct policy_image *image, uint32_t rule, char *out, size_t cap);
size_t policy_feed_text(const struct policy_image *image, uint32_t feed, char *out, size_t cap);
size_t policy_workload_text(const struct policy_image *image, uint32_t workload, char *out,
                            size_t cap);
size_t policy_profile_text(const struct policy_image *image, uint32_t workload, char *out,
                           size_t cap);
