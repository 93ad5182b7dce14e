/* tests/fuzz/policy/policy_feed.c - any octets as a feed; the first one chooses the format. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/compile.h"
#include "policy/judge.h"
#include "sallyport/diag.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define POLICY(format)                                                                             \
	"version: 1\nworkloads: {w: {source: 192.0.2.1, profile: p}}\n"                            \
	"profiles: {p: {allow: [{zone: .}], feeds: [f]}}\nfeeds: {f: {file: f, format: " format    \
	"}}\n"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const policies[] = { POLICY("domains"), POLICY("hosts"), POLICY("rpz") };
	static const uint8_t name[] = "\1a\4test";
	struct policy_source policy = { .file = "p.yaml" };
	struct policy_feed_text feed = { .name = "f", .source = { .file = "f" } };
	struct policy_image image;
	struct verdict v;
	void *block;
	size_t len;

	if (size == 0 || size > 65536)
		return 0;
	policy.text = policies[data[0] % 3];
	policy.len = strlen(policy.text);
	feed.source.text = (const char *)data + 1;
	feed.source.len = size - 1;
	if (policy_compile(&policy, &feed, 1, 1800000000, &block, &len, NULL) < 0)
		return 0;
	if (policy_image_open(block, len, 1, &image) < 0)
		abort(); /* what we made does not open */
	policy_judge(&image, 0, name, 1, 1800000000, &v);
	free(block);
	return 0;
}
