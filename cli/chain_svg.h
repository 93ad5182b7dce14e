/* chain_svg.h - a validated answer as a picture (SVG 1.1): zones from the anchor down with their
 * keys, the DS that lead from one to the next, and what was found at the end, each in its verdict's
 * colour.
 */
#pragma once

#include <jansson.h>
#include <stdio.h>

/* @dnssec: the object of that name in what the keeper explains. Texts are escaped, whatever they
 * hold. Returns 0 or ERR_NOMEM. */
int chain_svg_put(FILE *out, const json_t *dnssec);
