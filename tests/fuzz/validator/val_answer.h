/* tests/fuzz/validator/val_answer.h - what the target tells of its verdicts. */
#pragma once

#include <stdbool.h>

#include "val_job.h"
#include "zone.h"

struct val_answer_told { /* all that a verdict `secure` rests on */
	uint64_t now_s;
	const uint8_t *anchor; /* RDATA of the root's DNSKEY */
	size_t anchor_len;
	const uint8_t *name;
	uint16_t type;
	enum val_kind kind;
	const uint8_t *target; /* of VAL_ALIAS */
	const struct answer *answer;
	unsigned int n_asked;
	const struct val_need *needs; /* n_asked */
	const struct answer *const *asked;
};

/* Called for each. */
void val_answer_tell(const struct val_answer_told *told);

/* Play one input. @anyones: the subject may be the attacker's own name, of which only a reference
 * can say what is right. */
void val_answer_play(const uint8_t *data, size_t size, bool anyones);
unsigned int val_answer_questions(void); /* how many there are to choose from, anyone's */
