/* chain_text.h - a validated answer as a tree for people: what was asked, which keys and signatures
 * were looked at, and what came of it.
 */
#pragma once

#include <jansson.h>

#include "cli.h"

/* @dnssec: the object of that name in what the keeper explains. */
void chain_text_put(const struct cli *cli, const json_t *dnssec);

/* "ECDSAP256SHA256", or "algorithm 200". */
#define CHAIN_ALGORITHM_LEN 48
void chain_algorithm(const json_t *step, char out[static CHAIN_ALGORITHM_LEN]);
