/* resolver/query_respond.h - the last two steps of a query: record, respond.
 *
 * Each function here writes the history record first, then sends the answer, and is the end of the
 * question: it is called exactly once for each struct asked.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "client.h"
#include "form.h"
#include "query_judge.h"
#include "question.h"

struct worker;

/* One question that somebody asked, and what we know of it. */
struct asked {
	struct client *client; /* borrowed or held; NULL for a prefetch, which nobody answers */
	const struct question *q;
	struct judgement j;
	uint64_t id; /* the history's */
	uint64_t read_ns, read_wall_ns;
	uint32_t limit;     /* octets of an answer: decided when it was read, for all of its way */
	uint16_t query_len; /* octets of the query */
	uint8_t dnssec;     /* enum dnssec_state, for an answer without records */
	bool proven;        /* by TCP, or with a valid server cookie: its address is not forged */
	uint16_t flags;     /* enum record_flag, as far as known */
	bool fetched;       /* an upstream was asked for it */
};

/* What is told of an answer that is not the one that was asked for. */
struct refusal {
	uint16_t rcode;
	uint16_t ede; /* RFC 8914, or RECORD_NO_EDE */
	enum reason reason;
	const char *text; /* EXTRA-TEXT, or NULL */
};

/* RFC 8914, section 4: those that wire.h does not name, because no form carries them. */
enum query_ede {
	EDE_OTHER = 0,
	EDE_NOT_READY = 14,
	EDE_BLOCKED = 15,
	EDE_PROHIBITED = 18,
	EDE_NOT_AUTHORITATIVE = 20,
	EDE_NO_REACHABLE_AUTHORITY = 22,
};

/* Every judgement but JUDGE_RESOLVE. */
void respond_judged(struct worker *worker, struct asked *asked);

/* A chain leads to @target, which @verdict (of the target) denies. The name itself is allowed, so
 * it is NODATA, or REFUSED where the profile refuses. */
void respond_target(struct worker *worker, struct asked *asked, const uint8_t *target,
                    const struct verdict *verdict);

/* The rule wants more of the answer than it is (REASON_DNSSEC): denied like a target. */
void respond_insecure(struct worker *worker, struct asked *asked, enum dnssec_state state);

/* A form, with no TTL above @ttl_cap_s. Whoever calls has seen to it that its pinholes are open, or
 * that respond_truncates() says it goes out without records. */
void respond_form(struct worker *worker, struct asked *asked, struct form *form,
                  uint32_t ttl_cap_s);
bool respond_truncates(struct worker *worker, const struct asked *asked, const struct form *form);

/* NODATA with a reason: no single source address of the answer's family. */
void respond_no_source(struct worker *worker, struct asked *asked);

/* SERVFAIL, FORMERR, NOTIMP, ... */
void respond_refusal(struct worker *worker, struct asked *asked, const struct refusal *refusal);

/* The header alone, for what could not be read so far. */
void respond_header_only(struct worker *worker, struct asked *asked, uint16_t rcode);

/* No answer: recorded as RECORD_UNANSWERED, the client let go. */
void respond_nothing(struct worker *worker, struct asked *asked, enum reason reason);
