/* tests/fuzz/policy/policy_text.c - any octets as a policy: faults or an image that opens. */
#include <stdint.h>
#include <stdlib.h>

#include "policy/compile.h"
#include "policy/judge.h"
#include "sallyport/diag.h"

#include "../fyaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char feed_text[] = "bad.test\n";
	const struct policy_source source = { "p.yaml", (const char *)data, size };
	const struct policy_feed_text feeds[] = { { "f",
		                                    { "f", feed_text, sizeof(feed_text) - 1 } } };
	static const uint8_t name[] = "\1a\4test";
	struct policy_image image;
	struct diag diag;
	struct verdict v;
	void *block;
	size_t len;
	int r;

	if (size > 65536)
		return 0;
	diag_init(&diag);
	r = policy_compile(&source, feeds, 1, 1800000000, &block, &len, &diag);
	if (r == 0) {
		if (policy_image_open(block, len, 1, &image) < 0)
			abort(); /* what we made does not open */
		policy_judge(&image, 0, name, 1, 1800000000, &v);
		free(block);
	} else if (diag.n_errors == 0) {
		abort(); /* refused, and nobody says why */
	}
	diag_fini(&diag);
	return 0;
}
