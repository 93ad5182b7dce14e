/* db/store_schema.h - the store's insides, for its own tests: migrations and damage. */
#pragma once

#include "db/store.h"
#include "sql.h"

extern const struct sql_schema store_schema;

/* store_open() with another schema. */
int store_open_schema(const char *path, const struct sql_schema *schema, struct store **ret_store,
                      struct diag *diag) MUST_CHECK;
sqlite3 *store_sqlite(struct store *store); /* borrowed */
