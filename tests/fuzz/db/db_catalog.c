/* tests/fuzz/db/db_catalog.c - any text as a catalog. */
#include <stdlib.h>
#include <string.h>

#include "catalog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(catalog_free) struct catalog *catalog = NULL;
	size_t sum = 0;

	if (catalog_parse(data, size, &catalog) < 0)
		return 0;
	/* Every text that it names can be read to its end. */
	for (size_t i = 0; i < catalog->n_workloads; i++)
		sum +=
		    strlen(catalog->workloads[i].workload) + strlen(catalog->workloads[i].profile);
	for (size_t i = 0; i < catalog->n_rules; i++)
		sum += strlen(catalog->rules[i].rule) + strlen(catalog->rules[i].file);
	for (size_t i = 0; i < catalog->n_feeds; i++)
		sum += strlen(catalog->feeds[i]);
	if (sum > size)
		abort();
	return 0;
}
