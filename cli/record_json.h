/* record_json.h - rows of the history as JSON: the stable names of `--json`.
 *
 * The names are a promise (docs/commands.md); tests/unit/cli/record_json.c holds them. Everything
 * from the network arrives escaped and is escaped once more here, which changes nothing then.
 */
#pragma once

#include <jansson.h>

#include "db/history.h"

/* A query or a gap. NULL without memory. */
json_t *record_json(const struct history_row *row);

json_t *record_top_json(enum history_top what, const struct history_top_row *row);
json_t *record_who_json(const struct history_who *who);
