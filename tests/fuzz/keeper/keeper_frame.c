/* tests/fuzz/keeper/keeper_frame.c - a request of the control socket, in pieces of any size. The
 * first octet says how large the pieces are.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "frame.h"
#include "sallyport/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame frame = { 0 };
	const char *words[8];
	size_t step, at = 1;

	if (size < 1)
		return 0;
	step = (size_t)data[0] + 1;
	while (at < size && frame_missing(&frame) > 0) {
		int n = frame_feed(&frame, data + at, MIN(step, size - at));

		if (n < 0) {
			frame_fini(&frame);
			return 0;
		}
		assert(n > 0 && (size_t)n <= step);
		at += (size_t)n;
	}
	if (frame_missing(&frame) == 0) {
		int n = control_words(frame.payload, frame.head.len, words, ARRAY_LEN(words));

		assert(n <= (int)ARRAY_LEN(words));
		for (int i = 0; i < n; i++)
			assert((const uint8_t *)words[i] >= frame.payload &&
			       (const uint8_t *)words[i] + strlen(words[i]) <
			           frame.payload + frame.head.len);
	}
	frame_fini(&frame);
	return 0;
}
