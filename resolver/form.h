/* resolver/form.h - a guarded answer, ready to be sent: what one chain of entries becomes under one
 * verdict (design, section 3, guard).
 *
 * The guard walks the links, strips addresses that may not be given, lays the records out as a
 * message body with compression, and notes where the TTLs stand. A form belongs to one worker and
 * is memoised by it (memo.h) under everything the guard's outcome depends on.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "entry.h"
#include "policy/judge.h"
#include "sallyport/limits.h"

struct form {
	uint32_t refs;       /* one worker only: plain */
	uint64_t uid;        /* unique in the worker: key of held pinholes */
	uint64_t made_ns;    /* the moment from which ttls count down */
	uint64_t expires_ns; /* of the shortest link */
	uint16_t rcode;
	uint16_t ede;         /* or RECORD_NO_EDE */
	const char *ede_text; /* static, or NULL */
	uint8_t dnssec;       /* weakest link */
	bool stale, stripped;
	bool synthesized;   /* a link is made of other answers' proofs */
	bool led_on;        /* its SVCB or HTTPS targets have been looked up, see prefetch.h */
	enum reason reason; /* REASON_NONE, or why nothing is left (REBINDING, SOURCE, DNSSEC) */
	uint32_t min_ttl_s; /* smallest TTL at made_ns; 0 without records */
	uint16_t n_answer, n_authority;
	uint16_t n_ttls;  /* TTL fields */
	uint16_t n_addrs; /* addresses in it, hints included */
	uint8_t answer_id[ANSWER_ID_LEN];
	uint64_t told_generation; /* answers_generation at which record_answer was last written */
	uint64_t prefetch_ns;     /* no link is due for a refresh before; 0: not known yet */
	uint32_t *ttls;           /* offset in body and TTL at made_ns: ttls[2i], ttls[2i+1] */
	uint8_t *body; /* answer and authority sections; offsets of compression pointers are
	                  those of a message whose question is the first link's name */
	uint32_t body_len;
	uint32_t bytes; /* whole allocation */
	uint8_t n_links;
	uint16_t names_len; /* for pinhole requests: name and targets, as pinhole.h lays them */
	uint16_t names_cut;
	struct form_held {      /* a copy of its newest row in `held`, see open_held_until() */
		uint64_t epoch; /* 0: none */
		uint64_t until_ns;
		uint32_t workload;
		uint8_t addr[ADDR_LEN];
	} held;
	/* What a cached answer does not look at. */
	uint8_t (*addrs)[ADDR_LEN];
	uint8_t *names;
	struct entry **links; /* n_links; referenced */
};

struct form_spec {
	const uint8_t *qname; /* lower case; the body is laid out for it */
	uint16_t qtype;
	bool dnssec_ok;                    /* keep RRSIGs */
	bool drop_v4_hints, drop_v6_hints; /* no single source of that family */
	bool internal;        /* the entry rule permits private addresses (rule or zone) */
	uint32_t stale_ttl_s; /* nonzero: serve with this TTL, EDE 3 (or 19 for NXDOMAIN) */
	uint64_t now_ns;
	/* One for each link: may its own addresses be private? (hosts, internal zone and rule) */
	const bool *link_internal;
};

/**
 * Make the guarded form of @links (1..LIMIT_CHAIN, first answers the question itself; the last is
 * not an alias unless the chain ends there).
 *
 * Addresses: NETCLASS_NEVER is always stripped, NETCLASS_INTERNAL unless its link is internal. An
 * RRset that was altered loses its RRSIGs and the form carries EDE 17 (Filtered). If every address
 * went, it is NODATA with REASON_REBINDING. SVCB and HTTPS lose single hints the same way (a
 * parameter without values goes whole).
 *
 * Of a family whose hints are dropped A and AAAA records go, too (REASON_SOURCE if none is left).
 * An AAAA or hint that is a mapped IPv4 address always goes: it would be used as the other family.
 * A chain that ends in a failure has no records: SERVFAIL, REASON_UPSTREAM.
 *
 * A stale form (stale_ttl_s) expires after that TTL: memoised, it is RFC 8767's failure recheck
 * timer.
 *
 * Returns 0 (one reference for the caller), ERR_NOMEM or ERR_LIMIT (more than fits 64 KiB).
 */
int form_make(struct entry *const *links, size_t n_links, const struct form_spec *spec,
              uint64_t uid, struct form **ret_form) MUST_CHECK;
struct form *form_ref(struct form *form);
void form_unref(struct form *form); /* NULL is fine */

/* SVCB/HTTPS targets that a judge must see (RFC 9460): AliasMode and ServiceMode targets other than
 * ".", lower case. Returns their number (clamped to @cap) . */
size_t form_svcb_targets(const struct entry *entry, uint8_t (*ret_names)[NAME_MAX_WIRE],
                         size_t cap);

/* The TargetName of the entry's first AliasMode record, in the entry's octets; NULL: it has none
 * but
 * "." (RFC 9460, section 2.4.2: one is enough, and ServiceMode beside it is ignored). */
const uint8_t *form_svcb_alias(const struct entry *entry);

/* Presentation form of the records that the form really carries (what the guard stripped is not
 * among them), answer section first. Off the hot path; at most LIMIT_ANSWER_RRS. @each returns
 * false to stop. Returns 0, ERR_NOMEM or ERR_MALFORMED. */
struct form_record {
	const char *owner, *data; /* terminated; valid for the call */
	uint8_t addr[ADDR_LEN];   /* of A and AAAA, else zero */
	uint32_t ttl_s;           /* at made_ns */
	uint32_t upstream_ttl_s;  /* as the link has it */
	uint16_t type;
	uint8_t section; /* 1 answer, 2 authority */
	bool cut;        /* the text was longer than its buffer */
};
int form_records(const struct form *form, bool (*each)(void *ctx, const struct form_record *record),
                 void *ctx);
