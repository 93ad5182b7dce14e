/* val_chain.h - the way from a trust anchor down to the zone of a name. */
#pragma once

#include "val_denial.h"
#include "val_job.h"

struct val_chain {
	const struct val_config *config;
	struct val_budget *budget; /* of the job */
	uint8_t target[255];       /* the zone of this name is looked for */
	const struct val_anchor *anchor;
	struct val_trust *zone;   /* the result: SECURE, INSECURE or BOGUS; a reference */
	struct val_trust *parent; /* the zone that was asked for a DS; a reference */
	struct val_need need;
	/* A DS RRset that is believed, until the DNSKEY RRset is there: own copies. */
	size_t n_ds;
	struct val_rdata ds[VAL_DS];
	uint8_t *ds_octets;
	uint32_t ds_ttl_s;
};

enum val_chain_step {
	VAL_CHAIN_FOUND, /* ->zone: the deepest zone at or above target, or what stops the way there
	                  */
	VAL_CHAIN_NEED,  /* ->need is to be asked, and given to val_chain_give() */
	VAL_CHAIN_NONE,  /* no anchor above */
	VAL_CHAIN_NEGATIVE, /* a negative one */
	VAL_CHAIN_LIMIT,    /* the budget is spent, or no memory */
};

void val_chain_init(struct val_chain *chain, const struct val_config *config,
                    struct val_budget *budget);
void val_chain_fini(struct val_chain *chain);
/* Look for the zone of @target; @from: the anchor to begin at is the deepest above this name. */
void val_chain_begin(struct val_chain *chain, const uint8_t *target, const uint8_t *from,
                     const struct val_now *now);
enum val_chain_step val_chain_run(struct val_chain *chain, const struct val_now *now);
void val_chain_give(struct val_chain *chain, const struct val_message *message,
                    const struct val_now *now);

/* Add those NSEC and NSEC3 RRsets of the message's authority that @zone's keys verify. Returns
 * VAL_WHY_NONE, or the reason why some did not. */
enum val_why val_chain_denial(const struct val_message *message, const struct val_trust *zone,
                              const struct val_config *config, struct val_budget *budget,
                              const struct val_now *now, struct val_denial *denial,
                              uint32_t *ttl_s);
