/* val_chain.h - the way from a trust anchor down to the zone of a name. */
#pragma once

#include "val_denial.h"
#include "val_job.h"

struct val_chain {
	const struct val_config *config;
	struct val_budget *budget; /* of the job */
	uint8_t target[255];       /* the zone of this name is looked for */
	bool is_signer;            /* and said to begin there */
	/* Its own DS is asked for before those of the names on the way: now; the labels of the zone
	 * from which that was tried last. */
	bool leaping;
	unsigned int leapt;
	const struct val_anchor *anchor;
	struct val_trust *zone;   /* the result: SECURE, INSECURE or BOGUS; a reference */
	struct val_trust *parent; /* the zone that was asked for a DS; a reference */
	/* A failure of this job's own, which nobody else knows of: a reference, see val_job_hold().
	 */
	struct val_trust *failed;
	struct val_need need;
	/* What came for it: taken up in turns. NULL with given: it cannot be had. */
	bool given;
	struct val_message *message;
	/* Of a DS that is not there: its proof, or that of the wildcard that @alias came from. */
	struct val_denial *denial;
	const struct val_set *alias;
	unsigned int alias_labels; /* of its signature */
	/* A DS RRset that is believed, until the DNSKEY RRset is there: own copies. */
	size_t n_ds;
	struct val_rdata ds[LIMIT_VAL_DS];
	uint8_t *ds_octets;
	uint32_t ds_ttl_s;
};

enum val_chain_step {
	VAL_CHAIN_FOUND, /* ->zone: the deepest zone at or above target, or what stops the way there
	                  */
	VAL_CHAIN_NEED,  /* ->need is to be asked, and given to val_chain_give() */
	VAL_CHAIN_TURN,  /* run again in the next turn */
	VAL_CHAIN_NONE,  /* no anchor above */
	VAL_CHAIN_NEGATIVE, /* a negative one */
	VAL_CHAIN_LIMIT,    /* the budget is spent, or no memory */
};

void val_chain_init(struct val_chain *chain, const struct val_config *config,
                    struct val_budget *budget);
void val_chain_fini(struct val_chain *chain);
enum val_chain_target { VAL_CHAIN_NAME, VAL_CHAIN_SIGNER };
/* Look for the zone of @target, some name, or one that a signature says is a zone's; @from: the
 * anchor to begin at is the deepest above this name. */
void val_chain_begin(struct val_chain *chain, const uint8_t *target, enum val_chain_target kind,
                     const uint8_t *from, const struct val_now *now);
enum val_chain_step val_chain_run(struct val_chain *chain, const struct val_now *now);
/* Others may know of the failure, if there was one. */
void val_chain_hold(struct val_chain *chain);
void val_chain_give(struct val_chain *chain, struct val_message *message); /* consumed */
