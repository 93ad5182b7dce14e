/* Two policies, divided by the first zero octet: what differs is told without a crash, and exactly
 * when something does. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "changes.h"
#include "textdiff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *old = (const char *)data;
	const char *cut = memchr(data, 0, size);
	size_t old_len = cut ? (size_t)(cut - old) : size;
	const char *new = cut ? cut + 1 : old;
	size_t new_len = cut ? size - old_len - 1 : old_len;
	struct changes changes = { 0 };
	char *text = NULL;
	size_t len;
	FILE *out;
	int differs;

	if (changes_find(old, old_len, new, new_len, &changes) == 0) {
		for (size_t i = 0; i < changes.n; i++)
			assert(changes.items[i].subject &&
			       (changes.items[i].before || changes.items[i].after));
		changes_fini(&changes);
	}
	out = open_memstream(&text, &len);
	if (!out)
		return 0;
	differs = textdiff_write(out, false, &(struct textdiff_text){ "old", old, old_len },
	                         &(struct textdiff_text){ "new", new, new_len });
	fclose(out);
	assert(differs == (old_len != new_len || memcmp(old, new, old_len) != 0));
	assert((len > 0) == differs);
	for (size_t i = 0; i < len; i++)
		assert((unsigned char)text[i] >= ' ' || text[i] == '\n' || text[i] == '\t');
	free(text);
	return 0;
}
