/* No text, escaped, holds an octet that could steer a terminal; names are printable ASCII. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = strndup((const char *)data, size);
	char *name = copy ? text_escape(TEXT_NAME, copy) : NULL;
	char *prose = copy ? text_escape(TEXT_PROSE, copy) : NULL;
	char *again = prose ? text_escape(TEXT_PROSE, prose) : NULL;

	for (const char *s = name; s && *s; s++)
		assert(*s > ' ' && *s < 0x7f);
	for (const char *s = prose; s && *s; s++) {
		assert((unsigned char)*s >= ' ' && *s != 0x7f);
		/* U+0080 to U+009F are controls, too; in UTF-8 they begin with C2. */
		assert((unsigned char)*s != 0xc2 || (unsigned char)s[1] >= 0xa0);
	}
	assert(!again || strcmp(again, prose) == 0);
	free(copy);
	free(name);
	free(prose);
	free(again);
	return 0;
}
