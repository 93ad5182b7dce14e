/* tests/fuzz/resolver_io/io_frames.c - a TCP stream cut anywhere gives the same messages as the
 * whole.
 *
 * First octet: how the stream is cut. The rest: the stream.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/cleanup.h"
#include "tcp_frames.h"

#define CAP (2 + 64)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void mix(uint64_t *sum, const uint8_t *octets, size_t len)
{
	*sum = (*sum ^ len) * UINT64_C(0x100000001b3);
	for (size_t i = 0; i < len; i++)
		*sum = (*sum ^ octets[i]) * UINT64_C(0x100000001b3);
}

/* What the stream says, straight from the format. */
static uint64_t expected(const uint8_t *stream, size_t len)
{
	uint64_t sum = 0;
	size_t at = 0;

	while (len - at >= 2) {
		size_t want = (size_t)stream[at] << 8 | stream[at + 1];
		size_t whole = MIN(want, (size_t)CAP - 2);

		if (len - at - 2 < whole)
			break;
		mix(&sum, stream + at + 2, whole);
		if (len - at - 2 < want)
			break;
		at += 2 + want;
	}
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tcp_frames frames;
	uint8_t *buf;
	uint64_t sum = 0;
	size_t at = 1;

	if (size < 1)
		return 0;
	buf = malloc(CAP);
	if (!buf)
		return 0;
	tcp_frames_init(&frames, buf, CAP);
	while (at < size) {
		const uint8_t *msg;
		size_t room, len, piece = 1 + (data[0] * at) % 41;
		uint8_t *to = tcp_frames_room(&frames, &room);

		if (room == 0)
			abort();
		piece = MIN(MIN(piece, room), size - at);
		memcpy(to, data + at, piece);
		tcp_frames_added(&frames, piece);
		at += piece;
		while (tcp_frames_next(&frames, &msg, &len))
			mix(&sum, msg, len);
	}
	free(buf);
	if (sum != expected(data + 1, size - 1))
		abort();
	return 0;
}
