/* db/catalog.h - the names behind the ids of one policy version, parsed (sallyport/catalog.h). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "sallyport/catalog.h"
#include "sallyport/cleanup.h"

#define CATALOG_BYTES_MAX (UINT32_C(512) << 20) /* larger: ERR_LIMIT */

struct catalog_workload {
	const char *workload, *profile;
};
struct catalog_rule {
	const char *rule; /* "allow db.corp.test" */
	const char *file;
	uint32_t line;
};
struct catalog {
	uint32_t version;
	size_t n_workloads, n_rules, n_feeds;
	struct catalog_workload *workloads;
	struct catalog_rule *rules;
	const char **feeds;
	char *text; /* what the pointers point into */
	size_t text_len;
};

/* Parse @len octets at @text (copied). Returns 0, ERR_MALFORMED, ERR_VERSION, ERR_LIMIT or
 * ERR_NOMEM. */
int catalog_parse(const void *text, size_t len, struct catalog **ret_catalog) MUST_CHECK;
void catalog_free(struct catalog *catalog); /* NULL is fine */
DEFINE_CLEANUP(struct catalog *, catalog_free)
