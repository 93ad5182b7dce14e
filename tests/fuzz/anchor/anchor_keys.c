/* tests/fuzz/anchor/anchor_keys.c - any octets as the payload of ROLE_MSG_KEYS.
 *
 * The trusted DS is of a key that nobody has, so nothing is ever verified; what is seen keeps its
 * bounds.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "judge.h"
#include "sallyport/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct judge_anchors trusted;
	static struct judgement judgement;
	uint8_t *payload = malloc(size + 1);

	if (!payload)
		return 0;
	memcpy(payload, data, size); /* of its exact size: a read beyond it is seen */
	payload = realloc(payload, size ? size : 1);
	trusted.n = 1;
	trusted.list[0].type = 43;
	trusted.list[0].len = 36;
	memcpy(trusted.list[0].rdata, "\x4f\x66\x0d\x02", 4);
	memset(trusted.list[0].rdata + 4, 0x5a, 32);
	if (size >= sizeof(trusted.list[0].name))
		memcpy(trusted.list[0].name, payload, sizeof(trusted.list[0].name));
	if (judge_keys(&trusted, &trusted, payload, size, true, 1800000000, &judgement) == ERR_OK) {
		if (judgement.verified || judgement.n_keys > KEYS_SEEN_MAX)
			abort();
		for (size_t i = 0; i < judgement.n_keys; i++) {
			if (judgement.keys[i].id.len < 5 ||
			    judgement.keys[i].id.len > LIMIT_ANCHOR_BYTES ||
			    (judgement.keys[i].id.rdata[1] & 0x80))
				abort();
		}
	}
	free(payload);
	return 0;
}
