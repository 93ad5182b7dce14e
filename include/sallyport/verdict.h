/* sallyport/verdict.h - the words in which a query is judged, shared by policy, resolver, history
 * and command line. Each value's text is a stable part of `--json`.
 */
#pragma once

#include <stdint.h>

/* Zero is the safe value. */
enum verdict_kind {
	VERDICT_DENY = 0, /* the profile's denial is answered */
	VERDICT_ALLOW,    /* may be resolved and opened */
	VERDICT_LOCAL,    /* answered by ourselves without asking anybody (special-use names) */
	VERDICT_N
};

/* Why. X(symbol, text, what it means) */
#define REASONS(X)                                                                                 \
	X(NONE, "none", "not judged")                                                              \
	X(NO_WORKLOAD, "no workload", "the source belongs to no workload")                         \
	X(NO_POLICY, "no policy", "no policy version is loaded")                                   \
	X(NO_RULE, "no rule", "no rule of the profile names it")                                   \
	X(RULE, "rule", "a rule decided, allow or deny")                                           \
	X(FEED, "feed", "a feed lists it")                                                         \
	X(TYPE, "type", "the winning rule does not allow this type")                               \
	X(EXPIRED, "expired", "the only matching rule has expired")                                \
	X(FOLLOW, "follow", "the target of a chain that the workload was given")                   \
	X(ANCESTOR, "ancestor", "DS or DNSKEY above an allowed name")                              \
	X(OBSERVE, "observe", "would be denied, but the profile observes")                         \
	X(SPECIAL, "special", "a special-use name (RFC 6761), answered here")                      \
	X(ANY, "any", "type ANY, answered with HINFO (RFC 8482)")                                  \
	X(TRANSFER, "transfer", "AXFR or IXFR")                                                    \
	X(META, "meta", "a question that is never forwarded (RRSIG, other meta types, class)")     \
	X(TARGET, "target", "a chain leads to a denied name")                                      \
	X(REBINDING, "rebinding", "only addresses that are not globally reachable")                \
	X(DNSSEC, "dnssec", "the rule requires DNSSEC and the answer is not secure")               \
	X(BOGUS, "bogus", "DNSSEC validation failed: the answer is forged or broken")              \
	X(SOURCE, "source", "no single source address of the answer's family")                     \
	X(LIMIT, "limit", "a named limit was reached")                                             \
	X(PINHOLE, "pinhole", "the firewall did not confirm in time, or refused")                  \
	X(UPSTREAM, "upstream", "no usable answer from any upstream")                              \
	X(MALFORMED, "malformed", "the message breaks the format")                                 \
	X(INTERNAL, "internal", "our own failure (out of memory)")

#define VERDICT_REASON_ENUM_(sym, text, what) REASON_##sym,
enum reason { REASONS(VERDICT_REASON_ENUM_) REASON_N };

/* DNSSEC state of the data given out. Zero is the safe value. */
enum dnssec_state {
	DNSSEC_UNCHECKED = 0, /* validation is off */
	DNSSEC_BOGUS,
	DNSSEC_INDETERMINATE,
	DNSSEC_INSECURE,
	DNSSEC_SECURE,
	DNSSEC_N
};

const char *verdict_kind_str(unsigned int kind);  /* "deny", "allow", "local"; "?" if unknown */
const char *reason_str(unsigned int reason);      /* "no rule" ...; "?" if unknown */
const char *dnssec_state_str(unsigned int state); /* "unchecked" ...; "?" if unknown */
int reason_parse(const char *text);               /* the value, or ERR_INVAL */
