/* resolver/entry.h - one link of an answer as an upstream gave it: what the cache holds.
 *
 * An entry answers one question (name, type) by one step: data of the type, an alias (CNAME, or
 * DNAME with its synthesized CNAME), NODATA or NXDOMAIN with their SOA, YXDOMAIN with its DNAME, or
 * a failure. It is immutable once made and reference-counted across threads. It is made before the
 * guard: nothing of a policy is in it. Only records whose owner is the question's name (or a DNAME
 * above it) are taken; what was not asked is not cached.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/name.h"
#include "sallyport/prefix.h"
#include "sallyport/record.h"
#include "sallyport/verdict.h"

enum entry_kind {
	ENTRY_FAILURE = 0, /* cached briefly (RFC 9520); nothing is ever opened for it */
	ENTRY_DATA,
	ENTRY_ALIAS,
	ENTRY_NODATA,
	ENTRY_NXDOMAIN,
	ENTRY_YXDOMAIN, /* a DNAME that makes the name too long (RFC 6672, section 2.2); the DNAME
	                 */
};

struct entry_rr {       /* in wire order; offsets into the entry's own octets */
	uint32_t rdata; /* offset of RDATA, names in it uncompressed */
	uint32_t owner; /* offset of the owner's wire name (lower case is not forced) */
	uint32_t ttl;   /* as upstream gave it, capped (RFC 2181, section 8; cache.max_ttl) */
	uint16_t rdata_len;
	uint16_t type;
	uint8_t section;   /* 1 answer, 2 authority */
	uint8_t signature; /* it is an RRSIG over the RRset before it (given to DO=1 only) */
};

struct entry {
	_Atomic uint32_t refs;
	_Atomic uint8_t freq;   /* the cache's own (S3-FIFO) */
	uint8_t kind;           /* enum entry_kind */
	_Atomic uint8_t dnssec; /* enum dnssec_state, told by entry_set_validated() */
	_Atomic uint8_t why;    /* enum val_why of it */
	uint16_t type;
	uint16_t rcode; /* upstream's */
	uint16_t n_rrs;
	uint64_t id;                      /* unique in this process; part of memo keys */
	uint64_t made_ns;                 /* CLOCK_MONOTONIC */
	uint64_t expires_ns;              /* from the smallest TTL; RFC 2308 for negatives */
	uint64_t stale_until_ns;          /* expires_ns + serve_stale, or expires_ns */
	_Atomic uint64_t dnssec_until_ns; /* so long `dnssec` holds; 0: not validated */
	_Atomic uint64_t
	    signed_until_ns; /* so long its signatures last, should it be served stale */
	uint8_t upstream[ADDR_LEN];
	uint16_t upstream_port;
	uint16_t zone;       /* index of the upstreams zone that was asked */
	uint8_t synthesized; /* made of other answers' proofs (proofs.h), which came from there */
	uint32_t bytes;      /* all of the allocation, what the cache accounts */
	uint8_t target_len;  /* of an alias; 0: none, and target is "." */
	uint8_t name_len;
	const uint8_t *name;   /* lower case; the entry's own octets begin with it */
	const uint8_t *target; /* alias target, lower case; in the entry's own octets, too */
	/* then struct entry_rr[n_rrs] and octets, reached by entry_rrs(), entry_octets(): an entry
	 * is one allocation, but for its pointers into itself not one to be copied as it is */
	_Alignas(8) uint8_t tail[];
};
static inline const struct entry_rr *entry_rrs(const struct entry *entry)
{
	return (const struct entry_rr *)(const void *)entry->tail;
}
const uint8_t *entry_octets(const struct entry *entry);
/* Not out of `hosts`, and no failure of our own making. */
static inline bool entry_from_upstream(const struct entry *entry)
{
	return entry->upstream_port != 0;
}

/* A copy without the records that @drop (n_rrs of them) marks, and without RRSIGs, for they would
 * not fit what is left; NODATA if nothing of its type is left. NULL: out of memory. */
struct entry *entry_without(const struct entry *entry, const bool *drop);

/* What the validator found, and until when it holds: @until_ns while the entry is fresh,
 * @signed_until_ns when it is stale. From any thread: the last one counts, for all judge the same
 * records. All else of an entry never changes. */
void entry_set_validated(struct entry *entry, enum dnssec_state state, unsigned int why,
                         uint64_t until_ns, uint64_t signed_until_ns);

struct entry *entry_ref(struct entry *entry);
void entry_unref(struct entry *entry); /* NULL is fine */

/* A failure lives so long (RFC 9520, section 3.2: at least 1 s, at most 5 min). */
#define ENTRY_FAILURE_TTL_S 5

struct entry_limits { /* from the configuration */
	uint32_t max_ttl_s, negative_max_ttl_s, serve_stale_s;
};

/**
 * Cut a scanned upstream answer into its links: the question's own, then, as far as the message
 * carries them, those of the alias chain that begins there (each cached under its own name).
 * Parsing is ldns' (it has passed scan_message()).
 *
 * @name, @type   what was asked, lower case.
 * @accept        called for each further link's name: may data for it be believed from this
 *                upstream (same zone of `upstreams`)? Stops the chain at the first no.
 *
 * Fills up to LIMIT_CHAIN entries, each with one reference for the caller. Returns their number
 * (at least 1), or ERR_MALFORMED, ERR_LIMIT (LIMIT_RRSET_RECORDS), ERR_NOMEM. SERVFAIL, REFUSED and
 * the like make one ENTRY_FAILURE (YXDOMAIN, too, without the DNAME that proves it), and so does a
 * referral (NS records of a zone below, no SOA): an upstream of ours is expected to answer. The
 * caller sets upstream, upstream_port, zone and dnssec before it shares an entry.
 *
 * A negative answer without a SOA lives for no time at all (RFC 2308, section 5): it serves those
 * who wait for it. One at the end of a chain is left out; its name must be asked by itself.
 */
int entry_from_message(const uint8_t *msg, size_t len, const uint8_t *name, uint16_t type,
                       uint64_t now_ns, const struct entry_limits *limits,
                       bool (*accept)(void *ctx, const uint8_t *name), void *ctx,
                       struct entry **ret_entries, size_t cap);

/* A failure entry of our own (no upstream answered), living @ttl_s. NULL when out of memory. */
struct entry *entry_failure(const uint8_t *name, uint16_t type, uint16_t rcode, uint64_t now_ns,
                            uint32_t ttl_s);

/* Data that `hosts` gives: addresses of one family, TTL 60; n = 0 makes NODATA. */
struct entry *entry_from_hosts(const uint8_t *name, uint16_t type, const uint8_t (*addrs)[ADDR_LEN],
                               size_t n, uint64_t now_ns);

/* Presentation form of one record: the owner in lower case, the data as in a zone file, with every
 * octet that is not printable ASCII as \DDD. Off the hot path. Returns 0, ERR_NOSPC (a text was cut
 * to its size, terminated), ERR_MALFORMED or ERR_NOMEM. */
int entry_rr_text(const struct entry *entry, const struct entry_rr *rr, char *owner,
                  size_t owner_size, char *data, size_t data_size);
/* The same of any record: @owner as a wire name, @rdata uncompressed. */
int record_text(const uint8_t *owner, uint16_t type, const uint8_t *rdata, uint16_t rdata_len,
                char *ret_owner, size_t owner_size, char *ret_data, size_t data_size);
