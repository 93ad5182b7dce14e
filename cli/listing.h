/* listing.h - what the keeper lists, as lines of JSON or as a table: the shape of most verbs. */
#pragma once

#include "json.h"
#include "request.h"

/* Put the cells of one object into @table. */
typedef void listing_row_cb(const struct cli *cli, struct table *table, const json_t *object);

/* Ask @words and show every object. Returns the exit status. */
int listing_run(const struct cli *cli, const char *const *words, size_t n_words,
                const struct table_column *columns, size_t n_columns, listing_row_cb *row);
/* A cell for the `user` or `uid` of @object; @nobody when it has neither. */
void listing_put_actor(struct table *table, const json_t *object, const char *nobody);
