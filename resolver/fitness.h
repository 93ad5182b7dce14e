/* resolver/fitness.h - can the upstream servers serve validated zones?
 *
 * The first worker asks each server of each zone that is validated for the zone's own DNSKEY RRset
 * (of the zone ".", the root's), with DO and CD: a name that its own server knows, and no label
 * that a workload has chosen (promise P2). It does so at the start, again after an answer that
 * lacked DNSKEY or RRSIG records (EDE 9 and 10), and while the server is unfit or has not told.
 * Zones under a negative trust anchor, and those without an anchor above them, are left alone.
 *
 *   UNKNOWN --clear answer--> FIT  <--> NO_EDNS, NO_DNSKEY, NO_RRSIG (unfit)
 *
 * An unfit server is passed over while a fit one lives (fetch.c). When all are unfit they are asked
 * all the same, for an unsigned zone below needs no signatures; what needs them fails validation:
 * SERVFAIL, and its text names the server. So a probe can only change who is asked, never what is
 * believed.
 *
 * States are shared by all workers through the stats page, where the keeper reads them. Without
 * answers nothing changes: whether a server lives is server.h's business.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/upstream.h"

struct worker;
struct fitness;

enum fitness_limit {
	FITNESS_PROBES = 16,         /* in flight; the others wait for their turn */
	FITNESS_SENDS = 3,           /* of one probe; TCP after a truncated answer is one of them */
	FITNESS_ANSWER_MS = 1500,    /* so long for each */
	FITNESS_GAP_MIN_MS = 2000,   /* between two probes of one server, */
	FITNESS_GAP_MAX_MS = 60000,  /* doubled while it is unfit or does not tell */
	FITNESS_GAP_AGAIN_MS = 5000, /* and when it was fit: whatever workloads ask for */
};

/* Of the first worker. NULL: out of memory. */
struct fitness *fitness_new(struct worker *worker);
void fitness_free(struct fitness *fitness); /* NULL is fine */
/* Send what is due; called a few times a second. */
void fitness_turn(struct fitness *fitness);
/* worker->settings and worker->servers are new ones: all that are validated now are probed. Returns
 * 0 or ERR_NOMEM (then nobody is). NULL is fine. */
int fitness_settings_changed(struct fitness *fitness);

/* For every worker; a worker of a test has no states. */
bool fitness_is_unfit(const struct worker *worker, uint16_t zone, size_t server);
/* Of this zone an answer lacked what a signed zone has. */
void fitness_suspect(const struct worker *worker, uint16_t zone);
/* Are all servers of @zone unfit? Then the state and the text ("upstream ADDRESS gives no ...") of
 * the first, else UPSTREAM_UNKNOWN. */
#define FITNESS_TEXT_LEN 128
enum upstream_state fitness_culprit(const struct worker *worker, uint16_t zone,
                                    char ret_text[static FITNESS_TEXT_LEN]);
