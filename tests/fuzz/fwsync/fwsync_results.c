/* fwsync's results as the resolver reads them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/cleanup.h"
#include "sallyport/pinhole.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct pinhole_results *head;
	const struct pinhole_result *results;
	void *exact = malloc(size ? size : 1);

	if (!exact)
		return 0;
	memcpy(exact, data, size);
	if (pinhole_results_read(exact, size, &head, &results) == 0)
		for (unsigned int i = 0; i < head->n_results; i++)
			if (results[i].status > PINHOLE_MALFORMED)
				abort();
	free(exact);
	return 0;
}
