/* tests/fuzz/resolver_io/io_ask.c - whatever comes back, only the question's own answer is taken.
 *
 * The input is a message; the question is the fixed one of the seeds.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct ask ask = {
		.id = 0x1234, .type = 1, .name_len = 13, .name = "\3wWw\7exAmPle"
	};
	uint8_t query[ASK_MAX];
	size_t end = 12 + ask.name_len + 4U;
	uint16_t rcode = 0;
	enum ask_result exact, ignore;

	ask_write(&ask, query);
	exact = ask_check(&ask, data, size, ASK_CASE_EXACT, &rcode);
	ignore = ask_check(&ask, data, size, ASK_CASE_IGNORE, &rcode);
	if (exact != ASK_FOREIGN) {
		/* ID, number of questions and the question itself are ours, octet by octet. */
		if (size < end || memcmp(data, query, 2) != 0 || !(data[2] & 0x80) ||
		    memcmp(data + 4, query + 4, 2) != 0 ||
		    memcmp(data + 12, query + 12, end - 12) != 0)
			abort();
		if (ignore != exact)
			abort();
	}
	if (ignore == ASK_USABLE && rcode != 0 && rcode != 3 && rcode != 6)
		abort();
	return 0;
}
