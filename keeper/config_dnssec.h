/* keeper/config_dnssec.h - the keys under `dnssec:`. */
#pragma once

#include "config_read.h"

extern const struct key config_dnssec_keys[];

/* Across keys: validation needs an anchor; without one named, the root's. */
void config_dnssec_check(struct config_reader *r, struct fy_node *root);
