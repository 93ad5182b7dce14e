/* tests/fuzz/policy/policy_image.c - any octets as an image whose checksum and length are right. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "damage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;

	if (size == 0 || size > 65536)
		return 0;
	copy = malloc(size);
	if (!copy)
		return 0;
	memcpy(copy, data, size);
	damage_relength(copy, size);
	damage_rechecksum(copy, size);
	damage_exercise(copy, size);
	free(copy);
	return 0;
}
