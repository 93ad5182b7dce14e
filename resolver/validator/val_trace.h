/* val_trace.h - what a job did and found, told step by step to whoever wants to explain it.
 *
 * A sink in val_config is called for each step, in order; without one a step costs one comparison.
 * All that an event points at is borrowed for the call.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "val_message.h"
#include "val_verify.h"

enum val_event_kind {
	VAL_EVENT_ASKED,     /* DS or DNSKEY of name; rdata is NULL, @outcome 0: it cannot be had */
	VAL_EVENT_ANCHOR,    /* trust begins at name: rdata is its DS or DNSKEY (type) */
	VAL_EVENT_DS,        /* one of the believed DS RRset of name: rdata */
	VAL_EVENT_KEY,       /* one of the DNSKEY RRset of name, not yet believed: rdata */
	VAL_EVENT_MATCH,     /* rdata (a DS or an anchor's DNSKEY) names the key `key` of name; why:
	                        NONE when that key has signed the RRset */
	VAL_EVENT_SIGNATURE, /* sig over RRset name, type, looked at with keys of zone: why */
	VAL_EVENT_PROOF,     /* an NSEC or NSEC3 (its owner: zone; rdata) matches or covers name */
	VAL_EVENT_DENIAL,    /* of name, or with a type of that alone: outcome (enum val_proof) */
	VAL_EVENT_TRUST,     /* of name is known from now on: outcome (enum val_trust_kind), why */
	VAL_EVENT_ZONE,      /* the chain has come to this zone: outcome (enum val_trust_kind) */
};

enum val_fit { VAL_COVERS = 0, VAL_MATCHES = 1 }; /* outcome of VAL_EVENT_PROOF */

struct val_event {
	enum val_event_kind kind;
	enum val_why why;
	unsigned int outcome;
	uint16_t type;
	uint16_t tag; /* of the key that decided; 0: none */
	uint32_t ttl_s;
	const uint8_t *name, *zone; /* lower case */
	const struct val_rdata *rdata, *key;
	const struct val_sig *sig;
};

struct val_trace {
	void (*event)(void *ctx, const struct val_event *event);
	void *ctx;
};

static inline void val_trace(const struct val_trace *trace, const struct val_event *event)
{
	if (trace)
		trace->event(trace->ctx, event);
}

/* The rule that decides when the reason is @why: "RFC 4035, section 5.3.1". Of VAL_WHY_NONE: "". */
const char *val_why_rule(enum val_why why);
/* Its symbol: "RRSIG_MISSING", "EXPIRED". In lower case a stable part of `--json`. */
const char *val_why_name(enum val_why why);
