/* sallyport/explain.h - how a resolver tells what it validated, step by step.
 *
 * The keeper asks with ROLE_MSG_EXPLAIN and is answered with one ROLE_MSG_EXPLAINED, whose payload
 * is rows, one after the other: EXPLAIN_LINK begins an attempt at one link of the answer, its steps
 * follow, EXPLAIN_VERDICT ends it; EXPLAIN_END is the last row. A reader trusts none of it: lengths
 * are checked here, texts are octets that anybody may have chosen.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/limits.h"
#include "sallyport/name.h"
#include "sallyport/prefix.h"

struct explain_request {        /* payload of ROLE_MSG_EXPLAIN */
	uint8_t addr[ADDR_LEN]; /* one of the workload's own: who would ask, */
	uint8_t at[ADDR_LEN];   /* and of which listener, for whom no source names */
	uint16_t type;
	uint16_t name_len;
	uint8_t name[NAME_MAX_WIRE + 1]; /* wire form, lower case */
};

/* X(symbol, text): the text is `step` in `--json` */
#define EXPLAIN_KINDS(X)                                                                           \
	X(LINK, "link")     /* name, type, outcome; zone: where an alias leads; text: upstream */  \
	X(ASKED, "asked")   /* name, type; outcome: enum explain_yes, was there an answer? */      \
	X(ANCHOR, "anchor") /* name, type, tag, algorithm, digest */                               \
	X(DS, "ds")         /* the same */                                                         \
	X(KEY, "key")       /* name, tag, algorithm, flags */                                      \
	X(MATCH, "match")   /* name, tag, algorithm, digest, why: a DS or anchor names that key */ \
	X(SIGNATURE, "signature") /* name, type, zone: the signer, tag ..., times, why */          \
	X(PROOF, "proof")         /* zone: the record's owner, text: its data; outcome: enum       \
	                             explain_fit, of name */                                       \
	X(DENIAL, "denial")       /* name, type; outcome: enum explain_proof */                    \
	X(TRUST, "trust")         /* name, type; outcome: enum explain_trust, why */               \
	X(ZONE, "zone")           /* the same of a zone that the chain has come to */              \
	X(VERDICT, "verdict") /* of the link: outcome: enum dnssec_state; zone, tag, why, rule */  \
	X(END, "end")         /* outcome: enum explain_end; state, rcode, ede, text */
#define EXPLAIN_KIND_ENUM_(sym, text) EXPLAIN_##sym,
enum explain_kind { EXPLAIN_KINDS(EXPLAIN_KIND_ENUM_) EXPLAIN_KIND_N };

/* Outcomes; zero is the safe value. */
enum explain_what { EXPLAIN_NODATA = 0, EXPLAIN_NXDOMAIN, EXPLAIN_DATA, EXPLAIN_ALIAS };
enum explain_yes { EXPLAIN_NO = 0, EXPLAIN_YES };
enum explain_fit { EXPLAIN_COVERS = 0, EXPLAIN_MATCHES };
enum explain_proof {
	EXPLAIN_PROOF_NONE = 0,
	EXPLAIN_PROOF_DENIED,
	EXPLAIN_PROOF_OPT_OUT,
	EXPLAIN_PROOF_TOO_MUCH,
	EXPLAIN_PROOF_EXCESSIVE,
	EXPLAIN_PROOF_LIMIT,
};
enum explain_trust {
	EXPLAIN_TRUST_BOGUS = 0,
	EXPLAIN_TRUST_NO_CUT,
	EXPLAIN_TRUST_NOT_THERE,
	EXPLAIN_TRUST_INSECURE,
	EXPLAIN_TRUST_SECURE,
};
enum explain_end {
	EXPLAIN_FAILED = 0, /* nothing usable came, or not in time: text says why */
	EXPLAIN_BUSY,       /* LIMIT_EXPLAINS are under way */
	EXPLAIN_DENIED,     /* the policy denies it, or a target of its chain: text */
	EXPLAIN_BOGUS,      /* answered SERVFAIL */
	EXPLAIN_ANSWERED,
};

/* Texts of a row, in this order behind it. */
enum explain_text {
	EXPLAIN_NAME = 0, /* presentation form */
	EXPLAIN_ZONE_NAME,
	EXPLAIN_WHY,    /* the reason's symbol, lower case; "": none */
	EXPLAIN_REASON, /* the same for people */
	EXPLAIN_RULE,   /* the RFC's section that decides */
	EXPLAIN_TEXT,
	EXPLAIN_TEXTS,
};

struct explain_row {
	uint16_t len; /* octets in all, a multiple of 4 */
	uint8_t kind; /* enum explain_kind */
	uint8_t outcome;
	uint16_t type;  /* of the RRset or question; 0: none */
	uint16_t tag;   /* of a key */
	uint16_t flags; /* of a DNSKEY */
	uint8_t algorithm, digest;
	uint8_t labels;  /* of a signature */
	uint8_t attempt; /* of a link: 1.. */
	uint8_t state;   /* enum dnssec_state */
	uint8_t cut;     /* of END: rows were left out at LIMIT_EXPLAIN_BYTES */
	uint16_t rcode, ede;
	uint32_t ttl_s;
	uint32_t inception, expiration; /* serial numbers (RFC 4034, section 3.1.5) */
	uint16_t text_len[EXPLAIN_TEXTS];
};

struct explain_view { /* a row that has been checked; texts are borrowed, not terminated */
	struct explain_row row;
	const char *text[EXPLAIN_TEXTS];
};

/* Add a row whose texts are @texts (NULL: ""), each cut at LIMIT_EXPLAIN_TEXT. @row->len and
 * text_len are filled. Returns 0 or ERR_NOSPC: then nothing was written. */
int explain_row_put(uint8_t *buf, size_t cap, size_t *len, struct explain_row *row,
                    const char *const texts[static EXPLAIN_TEXTS]) MUST_CHECK;
/* Read the row at *@pos and go on behind it. Returns 1, 0 at the end, or ERR_MALFORMED. */
int explain_row_read(const uint8_t *buf, size_t len, size_t *pos,
                     struct explain_view *ret_view) MUST_CHECK;
/* "link" ...; "?" if unknown. */
const char *explain_kind_str(unsigned int kind);
/* "ECDSAP256SHA256" (IANA's mnemonic), or NULL. */
const char *explain_algorithm_str(unsigned int algorithm);
