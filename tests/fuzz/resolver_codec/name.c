/* Names, from text and from the wire: what is read back is what was written. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/name.h"
#include "special.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int ok)
{
	if (!ok)
		abort();
}

/* A valid wire name through its text form and back, octet by octet. */
static void round_trip(const uint8_t *wire, size_t len)
{
	char text[NAME_TEXT_LEN];
	uint8_t back[NAME_MAX_WIRE], low[NAME_MAX_WIRE];
	size_t n = name_to_text(wire, text);

	require(n == strlen(text) && n < NAME_TEXT_LEN);
	for (size_t i = 0; i < n; i++)
		require(text[i] >= ' ' && text[i] < 0x7f);
	require(name_from_text(text, back) == (int)len);
	require(memcmp(back, wire, len) == 0);
	name_lower(low, wire, len);
	require(name_equal(low, wire) && name_is_under(wire, low));
	require(name_is_under(wire, (const uint8_t *)""));
	require(name_labels(wire) <= NAME_MAX_LABELS);
	special_of(low);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t wire[NAME_MAX_WIRE];
	char *text = malloc(size + 1);
	int len = name_wire_len(data, size);

	require(text != NULL);
	if (len > 0) {
		require((size_t)len <= size && len <= NAME_MAX_WIRE);
		round_trip(data, (size_t)len);
	}
	memcpy(text, data, size);
	text[size] = '\0';
	len = name_from_text(text, wire);
	if (len > 0) {
		require(name_wire_len(wire, (size_t)len) == len);
		round_trip(wire, (size_t)len);
	}
	free(text);
	return 0;
}
