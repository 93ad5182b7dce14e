/* tests/fuzz/keeper/keeper_explained.c - a resolver's rows become JSON that is ASCII and can be
 * read again, or nothing.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "explained.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct explain_row end;
	json_t *object = explained_json(data, size, &end), *again;
	char *text;

	if (!object)
		return 0;
	assert(end.kind == EXPLAIN_END);
	text = json_dumps(object, JSON_COMPACT);
	assert(text);
	for (const char *p = text; *p; p++)
		assert(*p >= 0x20 && *p < 0x7f);
	again = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert(again && json_equal(object, again));
	json_decref(again);
	json_decref(object);
	free(text);
	return 0;
}
