/* resolver/query_open.h - what pinholes an answer needs, for how long, and which TTL they carry.
 *
 * The one inequality behind promise P1, true of every answer with addresses that leaves:
 *
 *     now + TTL served + grace  <=  until        (until: when the kernel lets the pinhole go)
 *
 * `until` is reckoned from the moment of asking, before the kernel's acceptance, so it errs to the
 * safe side. Pure functions but for open_fill(), which reads the policy.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "form.h"
#include "pinhole_client.h"
#include "policy/judge.h"

struct worker;
struct asked;

/* Seconds that the form's records may still be used. */
uint32_t open_left_s(const struct form *form, uint64_t now_ns);
/* The TTL we should like to serve: what is left, at most max - grace. */
uint32_t open_ttl_wanted(const struct policy_pinhole *pinhole, uint32_t left_s);
/* Life to ask for: TTL and grace, at least floor and grace, at most max; a second more for the
 * way to the kernel and back. A form whose TTL counts down needs no renewal until it expires. */
uint32_t open_life_s(const struct policy_pinhole *pinhole, uint32_t ttl_s);

/* The TTL that pinholes which stand until @until_ns can carry. At most @wanted_s; less only if
 * that is at least half of it (else renewing is better). False: renew. */
bool open_ttl_held(const struct policy_pinhole *pinhole, uint64_t until_ns, uint64_t now_ns,
                   uint32_t wanted_s, uint32_t *ret_ttl_s);
/* The same right after opening: less than half is served, too. False: not even the grace is left.
 */
bool open_ttl_opened(const struct policy_pinhole *pinhole, uint64_t until_ns, uint64_t now_ns,
                     uint32_t wanted_s, uint32_t *ret_ttl_s);

/* Do answers under @verdict open anything at all? Not without a firewall, and not by a rule with
 * no ports (observe mode has no rule). */
bool open_needed(const struct worker *worker, const struct verdict *verdict);

/* Does the workload have addresses to open for in the family that the client does not ask from? */
bool open_has_other_source(const struct worker *worker, uint32_t workload, bool v4);

/* Room for what a request borrows. */
struct open_request {
	uint8_t src[1 + LIMIT_WORKLOAD_OTHER_FAMILY][ADDR_LEN];
	struct pinhole_port ports[LIMIT_RULE_PORTS];
	uint8_t names[LIMIT_PINHOLE_NAMES]; /* where the form's alone do not do */
};
/* Fill @ask to open @form's addresses for @asked. The arrays of @form and @room are borrowed until
 * the ask is done. Returns 0, ERR_LIMIT (more addresses than the profile allows in one answer) or
 * ERR_NOENT (addresses of a family in which the workload has no source). */
int open_fill(const struct worker *worker, const struct asked *asked, const struct form *form,
              const struct policy_pinhole *pinhole, bool internal, uint32_t life_s,
              struct open_request *room, struct pinhole_ask *ask);

/* held_until() and held_set() for @form, whose epoch is not 0. A form is mostly asked again by the
 * one who asked before: then its own copy of the row answers. */
uint64_t open_held_until(struct worker *worker, struct form *form,
                         const uint8_t addr[static ADDR_LEN], uint32_t workload, uint64_t epoch);
void open_held_set(struct worker *worker, struct form *form, const uint8_t addr[static ADDR_LEN],
                   uint32_t workload, uint64_t epoch, uint64_t until_ns);

/* The firewall's present epoch; 0: unknown, nothing counts as held. */
uint64_t open_epoch(const struct worker *worker);
